//! Rules of the source tree. Each is a function from what it reads to a list of complaints.

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::{
    pages::{self, Model},
    tree::{self, SourceFile},
    unsafe_code,
};

/// The crates by layer, lowest first. A crate uses those of lower layers only.
const LAYERS: &[&[&str]] = &[
    &[KERNELS, "multivae-files"],
    &["multivae-core"],
    &[
        "multivae-models",
        "multivae-data",
        "multivae-train",
        "multivae-metrics",
        "multivae-samplers",
    ],
    &["multivae-run", "multivae-report"],
    &["multivae"],
    &["multivae-cli", "multivae-benches", "xtask"],
    &["own-model", "multivae-fuzz", "multivae-python"],
];
/// Holds what is written for one backend, behind a feature that the facade turns on.
const KERNELS: &str = "multivae-kernels";
/// The layer from which on crates may name a backend.
const FACADE: usize = 4;
/// What a crate may have as a dev-dependency beside lower layers.
const TEST_KIT: &str = "multivae-testkit";
/// Builds without waiting for the library: it uses none of its crates.
const ALONE: &str = "xtask";
/// Crates that talk to a terminal.
const TALKING: &[&str] = &["crates/multivae-cli/", "benches/", "fuzz/", "xtask/"];
/// Features of Burn that are, or pull in, a backend.
const BACKENDS: &[&str] = &[
    "flex", "ndarray", "wgpu", "vulkan", "webgpu", "metal", "cuda", "rocm", "cpu", "tch", "candle",
    "remote", "default",
];
/// How many models a source may name close together, beside the list.
const FEW: usize = 2;
/// How many lines are close together.
const CLOSE: usize = 12;
/// Sources that name more models than that, and why they do.
const ENUMERATIONS: &[(&str, &str)] = &[
    (pages::LIST, "the list itself"),
    ("crates/multivae-models/src/exchange/models.rs", "the classes of another library"),
    ("crates/multivae-models/src/exchange/multiview_ae/models.rs", "the classes of another one"),
    ("crates/multivae-models/src/exchange/names.rs", "the networks of another library"),
    ("crates/multivae-models/tests/it/likelihood.rs", "a closed form of each"),
    ("crates/multivae-models/tests/it/work.rs", "the evaluations of networks of each"),
    ("crates/multivae-models/tests/it/joint.rs", "tests of those with a joint encoder"),
    ("crates/multivae-models/tests/it/experts.rs", "tests of the mixtures of experts"),
    ("crates/multivae-models/tests/it/subsets.rs", "tests of the mixtures over sets"),
    ("crates/multivae-models/tests/it/integrals.rs", "priors that are learned"),
    ("crates/multivae-models/tests/parity/adapters/experts.rs", "what those mixtures share"),
    ("crates/multivae-cli/tests/it/bad_input.rs", "messages that name some"),
    ("crates/multivae/tests/it/backends.rs", "one of each family, since builds are slow"),
    ("crates/multivae-cli/tests/it/tasks.rs", "those that want complete rows"),
    ("crates/multivae-cli/tests/it/every_model.rs", "those that want whole batches"),
    ("crates/multivae-cli/tests/it/sweep.rs", "some that are run beside each other"),
    ("benches/steps.rs", "some whose time is watched"),
    ("xtask/src/torture.rs", "one for each way to learn"),
];
/// Tables with a line for each model, written by hand.
const TABLES: &[&str] = &["README.md"];
/// Largest length of a committed file outside of a folder `assets`, in bytes.
const LARGEST: u64 = 1 << 20;

/// A crate of ours, as far as the rules read it.
#[derive(Clone, Debug, Default)]
struct Crate {
    name: String,
    dependencies: Vec<Dependency>,
    /// What its features enable; of [`KERNELS`], what its default enables.
    features: Vec<String>,
}

#[derive(Clone, Debug)]
struct Dependency {
    name: String,
    dev: bool,
    features: Vec<String>,
}

/// Prints the layers and every complaint; fails if there is one.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let metadata =
        MetadataCommand::new().current_dir(root).no_deps().exec().context("cargo metadata")?;
    let crates = crates(&metadata);
    let files = tree::files(root)?;
    println!("{}", graph(&crates));

    let mut complaints = layering(&crates);
    complaints.extend(backends(&crates));
    complaints.extend(printing(&files));
    complaints.extend(unfinished(&files));
    complaints.extend(large(&files));
    complaints.extend(licences(&files));
    complaints.extend(inheritance(&files)?);
    let version = metadata.packages.iter().find(|p| p.name == "multivae").map(|p| &p.version);
    complaints.extend(outdated(&version.context("there is a facade")?.to_string(), &files));
    complaints.extend(machine_paths(&files));
    complaints.extend(undescribed(&crates, &files));
    complaints.extend(pages::stale(&files)?);
    complaints.extend(unsafe_code::unexplained(&files));
    complaints.extend(unsafe_code::stale(&files));
    let models = pages::listed(&files)?;
    complaints.extend(enumerations(&models, &files));
    complaints.extend(unlisted(&models, &files));
    for complaint in &complaints {
        eprintln!("error: {complaint}");
    }
    if complaints.is_empty() {
        println!("{} crates and {} files are tidy", crates.len(), files.len());
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

fn crates(metadata: &Metadata) -> Vec<Crate> {
    let members = metadata.workspace_packages();
    members
        .iter()
        .map(|package| Crate {
            name: package.name.to_string(),
            dependencies: package
                .dependencies
                .iter()
                .map(|d| Dependency {
                    name: d.name.clone(),
                    dev: d.kind == DependencyKind::Development,
                    features: d.features.clone(),
                })
                .collect(),
            features: package
                .features
                .iter()
                .filter(|(name, _)| package.name.as_str() != KERNELS || *name == "default")
                .flat_map(|(_, enabled)| enabled.clone())
                .collect(),
        })
        .collect()
}

/// The layer of a crate.
fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&name))
}

/// One line a crate, highest layer first: its layer and the crates of ours that it uses.
fn graph(crates: &[Crate]) -> String {
    let ours = |name: &str| crates.iter().any(|c| c.name == name);
    let mut lines: Vec<(Option<usize>, String)> = crates
        .iter()
        .map(|c| {
            let layer = layer(&c.name);
            let mut used: Vec<_> = c
                .dependencies
                .iter()
                .filter(|d| ours(&d.name))
                .map(|d| if d.dev { format!("{} (dev)", d.name) } else { d.name.clone() })
                .collect();
            used.sort();
            used.dedup();
            let used = if used.is_empty() { "none of ours".into() } else { used.join(", ") };
            let place = layer.map_or("tests  ".into(), |layer| format!("layer {layer}"));
            (layer, format!("{place}  {:<18} -> {used}", c.name))
        })
        .collect();
    lines.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n")
}

/// A crate uses those of lower layers only.
fn layering(crates: &[Crate]) -> Vec<String> {
    let mut complaints = Vec::new();
    for user in crates {
        // The test kit stands where layer 2 does.
        let own = if user.name == TEST_KIT { Some(2) } else { layer(&user.name) };
        let Some(own) = own else {
            complaints.push(format!("crate `{}` is in no layer", user.name));
            continue;
        };
        for used in &user.dependencies {
            let Some(other) = layer(&used.name) else {
                if used.name == TEST_KIT && !used.dev {
                    complaints.push(format!("`{}` uses `{TEST_KIT}` outside of tests", user.name));
                }
                continue;
            };
            if user.name == ALONE {
                complaints.push(format!("`{ALONE}` uses `{}`; it uses none of ours", used.name));
            } else if other >= own {
                complaints.push(format!(
                    "`{}` of layer {own} uses `{}` of layer {other}",
                    user.name, used.name
                ));
            }
        }
    }
    complaints
}

/// Below the facade no crate chooses a backend, except for its tests.
fn backends(crates: &[Crate]) -> Vec<String> {
    let mut complaints = Vec::new();
    let lower = |c: &&Crate| layer(&c.name).is_none_or(|layer| layer < FACADE);
    for lower in crates.iter().filter(lower) {
        let chosen = lower
            .dependencies
            .iter()
            .filter(|d| d.name == "burn" && !d.dev)
            .flat_map(|d| d.features.iter().map(String::as_str))
            .chain(lower.features.iter().filter_map(|f| f.strip_prefix("burn/")));
        for feature in chosen.filter(|feature| BACKENDS.contains(feature)) {
            complaints.push(format!("`{}` chooses the backend `{feature}`", lower.name));
        }
    }
    complaints
}

/// Nothing below the command line prints.
fn printing(files: &[SourceFile]) -> Vec<String> {
    let macros = ["print!", "println!", "eprint!", "eprintln!", "dbg!"];
    let library = |path: &str| {
        path.ends_with(".rs")
            && path.contains("/src/")
            && !TALKING.iter().any(|talking| path.starts_with(talking))
    };
    lines(files, library)
        .filter(|(_, _, line)| !line.trim_start().starts_with("//"))
        .flat_map(|(path, number, line)| {
            let found = macros.iter().filter(move |name| has_word(line, name));
            found.map(move |name| format!("{path}:{number}: `{name}` in a library"))
        })
        .collect()
}

/// Nothing is left for later in the tree. Of a program, what its comments say counts, and the
/// macros; the words themselves may be part of what it prints.
fn unfinished(files: &[SourceFile]) -> Vec<String> {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let macros = [concat!("to", "do!"), concat!("unimple", "mented!")];
    lines(files, |_| true)
        .flat_map(|(path, number, line)| {
            let remark = match path.ends_with(".rs") {
                true => line.split_once("//").map_or("", |(_, comment)| comment),
                false => line,
            };
            let words = words.into_iter().filter(move |word| has_word(remark, word));
            let macros = macros.into_iter().filter(move |name| has_word(line, name));
            words.chain(macros).map(move |mark| format!("{path}:{number}: stray `{mark}`"))
        })
        .collect()
}

/// Large files are assets.
fn large(files: &[SourceFile]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.bytes > LARGEST && !file.path.split('/').any(|part| part == "assets"))
        .map(|file| {
            format!("{}: {} bytes, more than {LARGEST} outside of `assets`", file.path, file.bytes)
        })
        .collect()
}

/// Both licences are there in full.
fn licences(files: &[SourceFile]) -> Vec<String> {
    let wanted = [
        ("LICENSE-MIT", "Permission is hereby granted, free of charge"),
        ("LICENSE-APACHE", "END OF TERMS AND CONDITIONS"),
    ];
    wanted
        .into_iter()
        .filter(|(name, phrase)| {
            let file = files.iter().find(|file| file.path == *name);
            !file.and_then(|f| f.text.as_ref()).is_some_and(|text| text.contains(phrase))
        })
        .map(|(name, _)| format!("{name} is missing or not the whole text"))
        .collect()
}

/// What the workspace says once is not said again in a member.
fn inheritance(files: &[SourceFile]) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|f| f.path.ends_with("/Cargo.toml")) {
        let text = file.text.as_deref().unwrap_or_default();
        let manifest: toml::Table =
            toml::from_str(text).with_context(|| format!("{} is no TOML", file.path))?;
        let inherits = |value: Option<&toml::Value>| {
            value.and_then(|v| v.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
        };
        let package = manifest.get("package");
        let field = |name: &str| package.and_then(|p| p.get(name));
        let private = field("publish").and_then(toml::Value::as_bool) == Some(false);
        for name in ["version", "edition", "rust-version", "license"] {
            let exempt = private && name == "version";
            if !(inherits(field(name)) || exempt) {
                complaints.push(format!("{}: `{name}` is not the workspace's", file.path));
            }
        }
        if !inherits(manifest.get("lints").map(|lints| lints as &toml::Value)) {
            complaints.push(format!("{}: `lints` are not the workspace's", file.path));
        }
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let table = manifest.get(table).and_then(toml::Value::as_table);
            for (name, value) in table.into_iter().flatten() {
                if !inherits(Some(value)) {
                    complaints
                        .push(format!("{}: dependency `{name}` is not the workspace's", file.path));
                }
            }
        }
    }
    Ok(complaints)
}

/// The lines that users copy into their manifests name the version that there is.
fn outdated(version: &str, files: &[SourceFile]) -> Vec<String> {
    let mut complaints = Vec::new();
    let pages = lines(files, |path| path.ends_with(".md") && path != "CHANGELOG.md");
    for (path, number, line) in pages {
        for (at, _) in line.match_indices("multivae") {
            let Some((name, value)) = line[at..].split_once(" = ") else { continue };
            let value = value.strip_prefix("{ version = ").unwrap_or(value);
            let Some((named, _)) = value.strip_prefix('"').and_then(|v| v.split_once('"')) else {
                continue;
            };
            let fits = version == named || version.starts_with(&format!("{named}."));
            if name.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !fits {
                complaints.push(format!("{path}:{number}: `{name}` is {version}, not {named}"));
            }
        }
    }
    complaints
}

/// No text names a folder of one machine.
fn machine_paths(files: &[SourceFile]) -> Vec<String> {
    let folders =
        [concat!("/wo", "rk"), concat!("/t", "mp/"), concat!("/ro", "ot"), concat!("/ho", "me/")];
    lines(files, |path| path != "Cargo.lock")
        .flat_map(|(path, number, line)| {
            let found = folders.into_iter().filter(move |folder| has_absolute(line, folder));
            found.map(move |folder| format!("{path}:{number}: path `{folder}` of one machine"))
        })
        .collect()
}

/// The map of the code names every crate.
fn undescribed(crates: &[Crate], files: &[SourceFile]) -> Vec<String> {
    let map = files.iter().find(|file| file.path == "ARCHITECTURE.md");
    let text = map.and_then(|file| file.text.as_deref()).unwrap_or_default();
    crates
        .iter()
        .filter(|c| !text.contains(&format!("`{}`", c.name)))
        .map(|c| format!("ARCHITECTURE.md does not name `{}`", c.name))
        .collect()
}

/// Models are enumerated in their list, and nowhere else.
fn enumerations(models: &[Model], files: &[SourceFile]) -> Vec<String> {
    let own = |path: &str| models.iter().any(|m| path.ends_with(&format!("/{}.rs", m.module)));
    let known = |path: &str| ENUMERATIONS.iter().any(|(exempt, _)| *exempt == path);
    let sources = files.iter().filter(|f| f.path.ends_with(".rs"));
    let sources = sources.filter(|file| !own(&file.path) && !known(&file.path));
    let complaint = |file: &SourceFile| {
        let lines: Vec<&str> = file.text.as_deref().unwrap_or_default().lines().collect();
        let windows = lines.windows(CLOSE.min(lines.len()).max(1)).enumerate();
        let mut found = windows.map(|(at, window)| {
            let named = |model: &&Model| window.iter().any(|line| names(line, model));
            (at + 1, models.iter().filter(named).map(|m| m.name.as_str()).collect::<Vec<_>>())
        });
        let (line, found) = found.find(|(_, found)| found.len() > FEW)?;
        let (path, list) = (&file.path, pages::LIST);
        Some(format!("{path}:{line}: enumerates `{}`; the list is {list}", found.join("`, `")))
    };
    sources.filter_map(complaint).collect()
}

/// Whether a line of a source has the name of a model as a string, or one of its types.
fn names(line: &str, model: &Model) -> bool {
    let Model { name, variant, .. } = model;
    line.contains(&format!("\"{name}\""))
        || has_word(line, &format!("{variant}Config"))
        || has_word(line, &format!("Model::{variant}"))
        || has_word(line, &format!("ModelConfig::{variant}"))
}

/// Every table of models has a line for each, and for no other.
fn unlisted(models: &[Model], files: &[SourceFile]) -> Vec<String> {
    let tables = files.iter().filter(|file| TABLES.contains(&file.path.as_str()));
    let complaints = tables.flat_map(|file| {
        let text = file.text.as_deref().unwrap_or_default();
        let rows: Vec<&str> = text
            .lines()
            .skip_while(|line| *line != "## Models")
            .skip_while(|line| !line.starts_with("|---"))
            .skip(1)
            .map_while(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name))
            .collect();
        let missing = models.iter().filter(|model| !rows.contains(&model.name.as_str()));
        let missing: Vec<String> = missing
            .map(|model| format!("{}: no line for the model `{}`", file.path, model.name))
            .collect();
        let unknown = rows.iter().filter(|row| !models.iter().any(|model| model.name == **row));
        let unknown: Vec<String> = unknown
            .map(|row| format!("{}: a line for `{row}`, which is no model", file.path))
            .collect();
        missing.into_iter().chain(unknown)
    });
    complaints.collect()
}

/// Path, number and text of all lines of the chosen text files.
fn lines<'a>(
    files: &'a [SourceFile],
    chosen: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = (&'a str, usize, &'a str)> {
    files.iter().filter(move |file| chosen(&file.path)).flat_map(|file| {
        let text = file.text.as_deref().unwrap_or_default();
        text.lines().enumerate().map(|(i, line)| (file.path.as_str(), i + 1, line))
    })
}

/// Whether `word` stands in the line with no letter, digit or `_` before it, nor after it if it
/// ends with one.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let open = word.ends_with(part) && after.is_some_and(part);
        !before.is_some_and(part) && !open
    })
}

/// Whether `folder` starts an absolute path in the line.
fn has_absolute(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + folder.len()..].chars().next();
        let name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        // What follows a name, a `..` or another `/` is the rest of a longer path or of an address.
        let inside = before.is_some_and(|c| name(c) || matches!(c, '/' | '~' | '}' | ')'));
        !inside && (folder.ends_with('/') || !after.is_some_and(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, dependencies: &[(&str, bool, &[&str])]) -> Crate {
        let dependencies = dependencies
            .iter()
            .map(|(name, dev, features)| Dependency {
                name: (*name).into(),
                dev: *dev,
                features: features.iter().map(|f| (*f).to_owned()).collect(),
            })
            .collect();
        Crate { name: name.into(), dependencies, features: Vec::new() }
    }

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.into(), bytes: text.len() as u64, text: Some(text.into()) }
    }

    #[test]
    fn edges_to_lower_layers_are_allowed() {
        let crates = [
            named("multivae-train", &[("multivae-core", false, &[]), ("serde", false, &[])]),
            named("multivae-cli", &[("multivae", false, &[]), ("multivae-core", true, &[])]),
            named("multivae-data", &[("multivae-testkit", true, &[])]),
            named("multivae-testkit", &[("multivae-core", false, &[])]),
            named("xtask", &[("clap", false, &[])]),
        ];
        assert_eq!(layering(&crates), Vec::<String>::new());
    }

    #[test]
    fn edges_upwards_and_between_siblings_are_refused() {
        let bad = [
            ("multivae-core", "multivae-models", false),
            ("multivae-kernels", "multivae-core", false),
            ("multivae-train", "multivae-data", false),
            ("multivae-metrics", "multivae-models", true),
            ("multivae", "multivae-cli", true),
            ("multivae-benches", "multivae-cli", false),
            ("xtask", "multivae-core", false),
            ("multivae-models", "multivae-testkit", false),
            ("multivae-testkit", "multivae-models", false),
        ];
        for (user, used, dev) in bad {
            let complaints = layering(&[named(user, &[(used, dev, &[])])]);
            assert_eq!(complaints.len(), 1, "{user} -> {used}");
            assert!(complaints[0].contains(user) && complaints[0].contains(used), "{complaints:?}");
        }
    }

    #[test]
    fn a_crate_of_no_layer_is_refused() {
        assert_eq!(layering(&[named("multivae-new", &[])]).len(), 1);
    }

    #[test]
    fn the_graph_names_layers_and_edges() {
        let crates =
            [named("multivae-core", &[]), named("multivae-data", &[("multivae-core", false, &[])])];
        assert_eq!(
            graph(&crates),
            "layer 2  multivae-data      -> multivae-core\n\
             layer 1  multivae-core      -> none of ours"
        );
    }

    #[test]
    fn a_backend_below_the_facade_is_refused_unless_for_tests() {
        let chosen = named("multivae-core", &[("burn", false, &["std", "flex"])]);
        assert_eq!(backends(&[chosen]), ["`multivae-core` chooses the backend `flex`"]);
        let by_feature =
            Crate { features: vec!["burn/cuda".into()], ..named("multivae-train", &[]) };
        assert_eq!(backends(&[by_feature]), ["`multivae-train` chooses the backend `cuda`"]);
        let in_tests = named("multivae-core", &[("burn", true, &["flex"])]);
        let facade = named("multivae", &[("burn", false, &["flex"])]);
        assert_eq!(backends(&[in_tests, facade]), Vec::<String>::new());
    }

    #[test]
    fn printing_is_refused_in_libraries_only() {
        let text = "/// println!(\"in a doc\");\nfn f() {\n    println!(\"x\");\n    dbg!(1);\n}\n";
        assert_eq!(
            printing(&[file("crates/multivae-core/src/lib.rs", text)]),
            [
                "crates/multivae-core/src/lib.rs:3: `println!` in a library",
                "crates/multivae-core/src/lib.rs:4: `dbg!` in a library",
            ]
        );
        let allowed = ["crates/multivae-cli/src/main.rs", "crates/multivae/examples/a.rs"];
        for path in allowed {
            assert_eq!(printing(&[file(path, text)]), Vec::<String>::new());
        }
    }

    #[test]
    fn marks_of_unfinished_work_are_refused() {
        let text = format!(
            "fn f() {{ {}() }}\n// {}: later\n",
            concat!("to", "do!"),
            concat!("FIX", "ME")
        );
        let complaints = unfinished(&[file("a.rs", &text)]);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].starts_with("a.rs:1:") && complaints[1].starts_with("a.rs:2:"));
        let fine = ["const TODOS: u8 = 1;", "print(\"TODO\")"];
        for text in fine {
            assert_eq!(unfinished(&[file("b.rs", text)]), Vec::<String>::new(), "{text}");
        }
        assert_eq!(unfinished(&[file("a.md", concat!("TO", "DO: more"))]).len(), 1);
    }

    #[test]
    fn a_large_file_is_refused_outside_of_assets() {
        let of = |path: &str, bytes| SourceFile { path: path.into(), bytes, text: None };
        assert_eq!(large(&[of("a.bin", LARGEST + 1)]).len(), 1);
        assert_eq!(large(&[of("a.bin", LARGEST), of("x/assets/b", 9 * LARGEST)]).len(), 0);
    }

    #[test]
    fn a_missing_or_cut_licence_is_refused() {
        let mit = file("LICENSE-MIT", "Permission is hereby granted, free of charge, to ..");
        let cut = file("LICENSE-APACHE", "Apache License");
        assert_eq!(licences(&[mit, cut]), ["LICENSE-APACHE is missing or not the whole text"]);
        assert_eq!(licences(&[]).len(), 2);
    }

    const MANIFEST: &str = "[package]\nname = \"a\"\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
        [lints]\nworkspace = true\n[dependencies]\nburn = { workspace = true, features = [] }\n";

    #[test]
    fn a_member_that_says_the_workspaces_things_again_is_refused() {
        let check = |text: &str| inheritance(&[file("crates/a/Cargo.toml", text)]).expect("TOML");
        assert_eq!(check(MANIFEST), Vec::<String>::new());
        let bad = [
            ("\nversion.workspace = true", "\nversion = \"1.0.0\"", "`version`"),
            ("edition.workspace = true", "edition = \"2021\"", "`edition`"),
            ("[lints]\nworkspace = true", "", "`lints`"),
            ("{ workspace = true, features = [] }", "\"0.22\"", "dependency `burn`"),
        ];
        for (from, to, part) in bad {
            let complaints = check(&MANIFEST.replace(from, to));
            assert_eq!(complaints.len(), 1, "{to}: {complaints:?}");
            assert!(complaints[0].contains(part), "{complaints:?}");
        }
        let private = MANIFEST
            .replace("\nversion.workspace = true", "\nversion = \"0.0.0\"\npublish = false");
        assert_eq!(check(&private), Vec::<String>::new());
    }

    #[test]
    fn a_line_with_an_old_version_is_refused() {
        let bad = ["multivae-core = \"0.1\"", "so `multivae = { version = \"1.2.4\" }` and"];
        for text in bad {
            assert_eq!(outdated("1.2.3", &[file("a.md", text)]).len(), 1, "{text}");
        }
        let good = [
            "multivae = \"1.2\"",
            "multivae-core = { version = \"1.2.3\", a = \"0.1\" }",
            "burn = \"=0.1\"",
        ];
        for text in good {
            assert_eq!(outdated("1.2.3", &[file("a.md", text)]), Vec::<String>::new(), "{text}");
        }
        assert_eq!(outdated("1.2.3", &[file("CHANGELOG.md", bad[0])]), Vec::<String>::new());
    }

    #[test]
    fn a_path_of_one_machine_is_refused() {
        let bad = [
            concat!("see /wo", "rk/x"),
            concat!("\"/ro", "ot\""),
            concat!("cd /t", "mp/a"),
            concat!("/ho", "me/me"),
        ];
        for text in bad {
            assert_eq!(machine_paths(&[file("a.md", text)]).len(), 1, "{text}");
        }
        let good =
            [concat!("net/wo", "rk"), "/workspace", "https://a.org/root", "../tmp/", "~/.cache"];
        for text in good {
            assert_eq!(machine_paths(&[file("a.md", text)]), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_crate_that_the_map_leaves_out_is_refused() {
        let crates = [named("multivae-core", &[]), named("multivae-data", &[])];
        let map = file("ARCHITECTURE.md", "`multivae-core`");
        assert_eq!(undescribed(&crates, &[map]), ["ARCHITECTURE.md does not name `multivae-data`"]);
    }

    fn models() -> Vec<Model> {
        let line = |name: &str, variant: &str| {
            format!("{variant}, \"{name}\", \"A model\": crate::{name}::C => crate::{name}::M;\n")
        };
        let lines = line("abc", "Abc") + &line("abc_plus", "AbcPlus") + &line("xyz", "Xyz");
        let list = file(pages::LIST, &format!("models! {{\n{lines}}}"));
        pages::listed(&[list]).expect("a list")
    }

    #[test]
    fn an_enumeration_of_models_beside_the_list_is_refused() {
        let far = format!("[\"abc\", \"xyz\"]{}[\"abc_plus\"]", "\n".repeat(2 * CLOSE));
        let bad = [
            "const ALL: [&str; 3] = [\"abc\", \"abc_plus\", \"xyz\"];",
            "match name {\n    \"abc\" => 1,\n    \"abc_plus\" => 2,\n    \"xyz\" => 3,\n}",
            "use a::{AbcConfig, AbcPlusConfig};\nfn f(_: &ModelConfig::Xyz) {}",
        ];
        for text in bad {
            let complaints = enumerations(&models(), &[file("crates/a/src/b.rs", text)]);
            assert_eq!(complaints.len(), 1, "{text}");
            assert!(complaints[0].contains("b.rs:1: enumerates `abc`, `abc_plus`, `xyz`"));
        }
        let good = ["[\"abc\", \"xyz\"]", "\"abc\" \"abcd\" xyz AbcPlusConfigs", &far];
        for text in good {
            let found = enumerations(&models(), &[file("crates/a/src/b.rs", text)]);
            assert_eq!(found, Vec::<String>::new(), "{text}");
        }
        for path in [pages::LIST, "crates/multivae-models/src/abc.rs", "notes.md"] {
            let found = enumerations(&models(), &[file(path, bad[0])]);
            assert_eq!(found, Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn a_table_that_lacks_a_model_or_has_another_is_refused() {
        let table = |names: &[&str]| {
            let rows = names.iter().map(|name| format!("| `{name}` | a model |\n"));
            let rows: String = rows.collect();
            let text = format!("| `other` |\n## Models\n\n| name | is |\n|---|---|\n{rows}\n");
            unlisted(&models(), &[file("README.md", &text)])
        };
        assert_eq!(table(&["abc", "abc_plus", "xyz"]), Vec::<String>::new());
        assert_eq!(table(&["abc", "xyz"]), ["README.md: no line for the model `abc_plus`"]);
        let found = table(&["abc", "abc_plus", "xyz", "gone"]);
        assert_eq!(found, ["README.md: a line for `gone`, which is no model"]);
    }
}
