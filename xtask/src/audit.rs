//! What the program stands on: licences, sources, and crates of which there are several versions.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};

/// Licences under which a crate may be part of the program: none asks for the source of what is linked
/// to it. The same are in `deny.toml`, for those who have `cargo deny`.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
/// Crates whose manifest names no licence, and what their file of it is.
const CLARIFIED: &[(&str, &str)] = &[("cfg_block", "Apache-2.0")];
/// Features of the program that need nothing of the machine that it is built on.
const FEATURES: &str = "remote,text";

/// A crate that the program or the building of it needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Used {
    name: String,
    version: String,
    license: Option<String>,
    /// Where it comes from, if not from the registry.
    elsewhere: Option<String>,
}

/// Prints the tables and every complaint; fails if there is one.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let used = used(root)?;
    let mut by_licence: BTreeMap<&str, usize> = BTreeMap::new();
    for one in &used {
        *by_licence.entry(one.license.as_deref().unwrap_or("none")).or_default() += 1;
    }
    let mut rows: Vec<_> = by_licence.into_iter().collect();
    rows.sort_by_key(|(licence, count)| (std::cmp::Reverse(*count), *licence));
    for (licence, count) in rows {
        println!("{count:>4}  {licence}");
    }
    let several = several(&used);
    for (name, versions) in &several {
        println!("{name} in {} versions: {}", versions.len(), versions.join(", "));
    }
    let complaints = complaints(&used);
    for complaint in &complaints {
        eprintln!("error: {complaint}");
    }
    println!("{} crates, {} of them in several versions", used.len(), several.len());
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All crates but ours that the program is built of, with what may be built in on any machine.
fn used(root: &Path) -> Result<Vec<Used>> {
    let output = crate::cargo()
        .args(["tree", "--edges", "normal,build", "--package", "multivae-cli"])
        .args(["--features", FEATURES, "--prefix", "none", "--format", "{p};{l}"])
        .current_dir(root)
        .output()
        .context("cargo does not start")?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).context("cargo tree")?;
    let mut used: Vec<Used> = text.lines().filter_map(|line| of(line, root)).collect();
    used.sort();
    used.dedup();
    Ok(used)
}

/// A crate as `cargo tree` writes it; `None` if it is ours.
fn of(line: &str, root: &Path) -> Option<Used> {
    // What was said of it before is left out below it, and marked so.
    let line = line.trim_end_matches(" (*)");
    let (package, license) = line.split_once(';')?;
    let mut words = package.split(' ');
    let (name, version) = (words.next()?, words.next()?.trim_start_matches('v'));
    let besides: Vec<&str> = words.filter(|word| *word != "(proc-macro)").collect();
    let elsewhere = besides.join(" ");
    if elsewhere.starts_with(&format!("({}", root.display())) {
        return None;
    }
    let clarified = CLARIFIED.iter().find(|(other, _)| *other == name);
    let license = clarified.map_or(license, |(_, license)| license);
    Some(Used {
        name: name.to_owned(),
        version: version.to_owned(),
        license: (!license.is_empty()).then(|| license.to_owned()),
        elsewhere: (!elsewhere.is_empty()).then_some(elsewhere),
    })
}

fn several(used: &[Used]) -> Vec<(&str, Vec<&str>)> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for one in used {
        versions.entry(&one.name).or_default().insert(&one.version);
    }
    let several = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    several.map(|(name, versions)| (name, versions.into_iter().collect())).collect()
}

fn complaints(used: &[Used]) -> Vec<String> {
    let mut complaints = Vec::new();
    for Used { name, version, license, elsewhere } in used {
        match license {
            None => complaints.push(format!("`{name}` {version} names no licence")),
            Some(license) if !is_allowed(license) => {
                complaints.push(format!("`{name}` {version} has the licence `{license}`"));
            }
            Some(_) => {}
        }
        if let Some(elsewhere) = elsewhere {
            complaints.push(format!("`{name}` {version} is not of the registry: {elsewhere}"));
        }
    }
    complaints
}

/// Whether an expression of licences can be met by those that are allowed.
fn is_allowed(expression: &str) -> bool {
    // Older crates write a slash where either may be chosen.
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    either(&words, &mut at).is_some_and(|allowed| allowed && at == words.len())
}

fn either(words: &[&str], at: &mut usize) -> Option<bool> {
    let mut allowed = both(words, at)?;
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        allowed |= both(words, at)?;
    }
    Some(allowed)
}

fn both(words: &[&str], at: &mut usize) -> Option<bool> {
    let mut allowed = one(words, at)?;
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        allowed &= one(words, at)?;
    }
    Some(allowed)
}

fn one(words: &[&str], at: &mut usize) -> Option<bool> {
    let word = *words.get(*at)?;
    *at += 1;
    if word == "(" {
        let allowed = either(words, at)?;
        return (words.get(*at) == Some(&")")).then(|| {
            *at += 1;
            allowed
        });
    }
    let mut name = word.to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", words.get(*at + 1)?);
        *at += 2;
    }
    // What is given beyond a licence can be left.
    let plain = name.split(" WITH ").next().unwrap_or_default();
    Some(ALLOWED.contains(&name.as_str()) || ALLOWED.contains(&plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_allowed_if_it_can_be_met() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND AGPL-3.0", "", "MIT OR", "(MIT"]
        {
            assert!(!is_allowed(bad), "{bad}");
        }
    }

    #[test]
    fn a_crate_without_licence_or_from_elsewhere_is_refused() {
        let root = Path::new("/tree");
        let of = |line: &str| -> Vec<String> {
            complaints(&of(line, root).into_iter().collect::<Vec<_>>())
        };
        let good = [
            "a v1.0.0;MIT",
            "a v1.0.0 (proc-macro);MIT OR GPL-3.0 (*)",
            "ours v0.1.0 (/tree/a);MIT",
        ];
        for line in good {
            assert_eq!(of(line), Vec::<String>::new(), "{line}");
        }
        assert_eq!(of("a v1.0.0;"), ["`a` 1.0.0 names no licence"]);
        assert_eq!(of("a v1.0.0;AGPL-3.0 (*)"), ["`a` 1.0.0 has the licence `AGPL-3.0`"]);
        let found = of("a v1.0.0 (https://example.org/a#12);MIT");
        assert_eq!(found, ["`a` 1.0.0 is not of the registry: (https://example.org/a#12)"]);
    }

    #[test]
    fn the_allowed_licences_are_those_of_the_file_for_cargo_deny() {
        let text = include_str!("../../deny.toml");
        let file: toml::Table = toml::from_str(text).expect("TOML");
        let listed = file["licenses"]["allow"].as_array().expect("a list");
        let listed: Vec<&str> = listed.iter().filter_map(|name| name.as_str()).collect();
        assert_eq!(listed, ALLOWED);
    }
}
