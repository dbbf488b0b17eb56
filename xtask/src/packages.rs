//! What is published: in which order, and whether each package has all that it needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};
use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// What lies in every package.
const ALWAYS: &[&str] = &["README.md", "LICENSE-MIT", "LICENSE-APACHE"];
/// The largest package that the registry takes, in bytes.
const LARGEST: u64 = 10 << 20;
/// Macros that read files when a crate is built.
const READING: &[&str] = &["include_str!(\"", "include_bytes!(\"", "include!(\""];

/// Packs every published crate without building it, prints their order, and every complaint; asks the
/// registry as well, if that is wanted: whether it has all dependencies, in these versions.
pub(crate) fn run(root: &Path, registry: bool) -> Result<ExitCode> {
    let metadata =
        MetadataCommand::new().current_dir(root).no_deps().exec().context("cargo metadata")?;
    let members = metadata.workspace_packages();
    let packages: Vec<&Package> =
        members.iter().copied().filter(|package| package.publish != Some(Vec::new())).collect();
    let mut complaints = Vec::new();
    let order = order(&packages);
    ensure!(order.len() == packages.len(), "crates depend on each other in a circle");
    let chosen = order.iter().flat_map(|name| ["--package", name]);
    cargo(root, ["package", "--no-verify", "--quiet"].into_iter().chain(chosen))?;
    for (i, name) in order.iter().enumerate() {
        let package = packages.iter().find(|p| p.name.as_str() == *name).context("it is one")?;
        let list = cargo(root, ["package", "--list", "--package", name])?;
        let listed: BTreeSet<&str> = list.lines().collect();
        let folder = package.manifest_path.parent().context("a manifest lies in a folder")?;
        let file = format!("package/{name}-{}.crate", package.version);
        let bytes = fs::metadata(metadata.target_directory.join(file))?.len();
        println!("{:>2}. {name} {}, {} files, {bytes} bytes", i + 1, package.version, listed.len());
        complaints.extend(lacking(package, &listed, bytes));
        let sources = listed.iter().filter(|path| path.ends_with(".rs"));
        for path in sources {
            let text = fs::read_to_string(folder.join(path)).with_context(|| (*path).to_owned())?;
            let missing = outside(path, &text, &listed).into_iter();
            complaints
                .extend(missing.map(|file| format!("{name}: {path} reads `{file}`, not packed")));
        }
    }
    if registry && complaints.is_empty() {
        let mut publish = crate::cargo();
        publish.args(["publish", "--dry-run", "--no-verify", "--workspace", "--allow-dirty"]);
        let output = publish.current_dir(root).output().context("cargo does not start")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo: {said}");
        let odd = said.lines().filter(|line| line.starts_with("warning: "));
        let odd = odd.filter(|line| !line.contains("due to dry run"));
        complaints.extend(odd.map(|line| format!("cargo publish: {line}")));
        println!("the registry takes all of them, as far as it can be asked without an account");
    }
    for complaint in &complaints {
        eprintln!("error: {complaint}");
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What cargo says; what is not committed is packed as well.
fn cargo<'a>(root: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Result<String> {
    let mut cargo = crate::cargo();
    cargo.args(arguments).args(["--allow-dirty", "--offline"]).current_dir(root);
    let output = cargo.output().context("cargo does not start")?;
    ensure!(output.status.success(), "cargo: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The packages, each after all that it depends on.
fn order<'a>(packages: &[&'a Package]) -> Vec<&'a str> {
    let name = |package: &&'a Package| package.name.as_str();
    let names: BTreeSet<&str> = packages.iter().map(name).collect();
    // What tests depend on is left out of a package unless it has a version.
    let needs = |package: &&'a Package| -> BTreeSet<&'a str> {
        let needed = package.dependencies.iter().filter(|dependency| {
            dependency.kind != DependencyKind::Development || !dependency.req.comparators.is_empty()
        });
        needed.map(|dependency| dependency.name.as_str()).filter(|n| names.contains(n)).collect()
    };
    let mut left: BTreeMap<&str, BTreeSet<&str>> =
        packages.iter().map(|package| (name(package), needs(package))).collect();
    let mut order = Vec::new();
    while let Some((&next, _)) = left.iter().find(|(_, needs)| needs.is_empty()) {
        left.remove(next);
        for needs in left.values_mut() {
            needs.remove(next);
        }
        order.push(next);
    }
    order
}

fn lacking(package: &Package, listed: &BTreeSet<&str>, bytes: u64) -> Vec<String> {
    let name = &package.name;
    let files = ALWAYS.iter().filter(|file| !listed.contains(**file));
    let mut complaints: Vec<String> =
        files.map(|file| format!("{name}: {file} is not packed")).collect();
    let fields = [
        ("description", package.description.is_some()),
        ("license", package.license.is_some()),
        ("repository", package.repository.is_some()),
        ("readme", package.readme.is_some()),
    ];
    let missing = fields.iter().filter(|(_, there)| !there);
    complaints.extend(missing.map(|(field, _)| format!("{name}: no `{field}`")));
    if bytes > LARGEST {
        complaints.push(format!("{name}: {bytes} bytes, and the registry takes {LARGEST}"));
    }
    complaints.extend(words("keywords", &package.keywords).map(|text| format!("{name}: {text}")));
    complaints
        .extend(words("categories", &package.categories).map(|text| format!("{name}: {text}")));
    let unbound = package.dependencies.iter().filter(|dependency| {
        let development = dependency.kind == DependencyKind::Development;
        // Cargo leaves out what tests depend on by its path alone.
        dependency.req.comparators.is_empty() && !(development && dependency.path.is_some())
    });
    complaints.extend(unbound.map(|dependency| {
        format!("{name}: the registry takes no `{}` of any version", dependency.name)
    }));
    complaints
}

/// What the registry does not take of keywords and categories.
fn words(field: &str, words: &[String]) -> impl Iterator<Item = String> {
    let many = (words.len() > 5).then(|| format!("{} `{field}`, of 5 at most", words.len()));
    let bad = |word: &&String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | ':');
        let starts = word.starts_with(|c: char| c.is_ascii_alphanumeric());
        word.len() > 20 || !starts || !word.chars().all(plain)
    };
    let bad: Vec<String> = words
        .iter()
        .filter(bad)
        .map(|word| format!("`{word}` in `{field}`: 20 letters, digits, `-`, `_` or `+` at most"))
        .collect();
    many.into_iter().chain(bad)
}

/// Files that a source reads and its package lacks.
fn outside(path: &str, text: &str, listed: &BTreeSet<&str>) -> Vec<String> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let read = text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| {
        READING.iter().filter_map(move |reads| {
            let (_, rest) = line.split_once(reads)?;
            rest.split_once('"').map(|(file, _)| file)
        })
    });
    let missing = read.filter(|file| {
        let place = plain(&folder.join(file));
        !place.is_some_and(|place| listed.contains(place.as_str()))
    });
    missing.map(str::to_owned).collect()
}

/// A path without `..`; `None` if it leaves its folder.
fn plain(path: &Path) -> Option<String> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            part => plain.push(part),
        }
    }
    Some(plain.to_string_lossy().replace('\\', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_a_package_lacks_is_found() {
        let listed = BTreeSet::from(["src/a.css", "assets/b.png"]);
        let find = |text: &str| outside("src/lib.rs", text, &listed);
        let good =
            "include_str!(\"a.css\")\ninclude_bytes!(\"../assets/b.png\")\n// include!(\"c\")";
        assert_eq!(find(good), Vec::<String>::new());
        let bad =
            "#![doc = include_str!(\"../../../README.md\")]\nconst A: &str = include_str!(\"c\");";
        assert_eq!(find(bad), ["../../../README.md", "c"]);
    }

    #[test]
    fn keywords_that_the_registry_does_not_take_are_found() {
        let found = |list: &[&str]| {
            let list: Vec<String> = list.iter().map(|&word| word.to_owned()).collect();
            words("keywords", &list).collect::<Vec<_>>()
        };
        assert_eq!(found(&["vae", "deep-learning", "c++"]), Vec::<String>::new());
        assert_eq!(found(&["a b", "-a", "variational-autoencoders"]).len(), 3);
        assert_eq!(found(&["a", "b", "c", "d", "e", "f"]), ["6 `keywords`, of 5 at most"]);
    }
}
