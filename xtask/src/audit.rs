//! What the program stands on: licences, sources, crates of which there are several versions, and what
//! is known to be wrong with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};
use cargo_metadata::semver::{Version, VersionReq};
use serde::Deserialize;

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
/// Features of the program whose crates are known on any machine, also where they cannot be built.
const FEATURES: &str = "mpi,remote,text";

/// A crate that the program or the building of it needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Used {
    name: String,
    version: String,
    license: Option<String>,
    /// Where it comes from, if not from the registry.
    elsewhere: Option<String>,
}

/// The file for `cargo deny`, which says what is left out and why.
const DENY: &str = "deny.toml";

/// Prints the tables and every complaint; fails if there is one. `advisories` is a copy of the list of
/// RustSec, <https://github.com/rustsec/advisory-db>.
pub(crate) fn run(root: &Path, advisories: Option<&Path>) -> Result<ExitCode> {
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
    let mut complaints = complaints(&used);
    if let Some(folder) = advisories {
        let path = root.join(DENY);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let list = advisories_in(folder)?;
        let about = list.iter().filter(|one| used.iter().any(|used| used.name == one.package));
        println!("{} advisories, {} of crates that are used", list.len(), about.count());
        let (known, unknown): (Vec<_>, Vec<_>) =
            against(&list, &used)?.into_iter().partition(|(id, _)| passed_over(&text, id));
        known.iter().for_each(|(_, text)| println!("passed over in {DENY}: {text}"));
        complaints.extend(unknown.into_iter().map(|(_, text)| text));
    }
    for complaint in &complaints {
        eprintln!("error: {complaint}");
    }
    println!("{} crates, {} of them in several versions", used.len(), several.len());
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is known of some versions of a crate.
#[derive(Debug, PartialEq)]
struct Advisory {
    id: String,
    package: String,
    title: String,
    /// Of what kind, if it is no vulnerability.
    informational: Option<String>,
    /// Versions that it is not about.
    spared: Vec<VersionReq>,
}

/// Reads an advisory: TOML in a fence, then Markdown. `None` of one that was taken back.
fn advisory(text: &str) -> Result<Option<Advisory>> {
    #[derive(Deserialize)]
    struct Head {
        advisory: Said,
        #[serde(default)]
        versions: Versions,
    }
    #[derive(Deserialize)]
    struct Said {
        id: String,
        package: String,
        informational: Option<String>,
        withdrawn: Option<String>,
    }
    #[derive(Default, Deserialize)]
    struct Versions {
        #[serde(default)]
        patched: Vec<VersionReq>,
        #[serde(default)]
        unaffected: Vec<VersionReq>,
    }
    let rest = text.strip_prefix("```toml\n").context("no TOML at its beginning")?;
    let (head, rest) = rest.split_once("\n```").context("TOML without an end")?;
    let Head { advisory: said, versions } = toml::from_str(head)?;
    let title = rest.lines().find_map(|line| line.strip_prefix("# "));
    Ok(said.withdrawn.is_none().then(|| Advisory {
        id: said.id,
        package: said.package,
        title: title.unwrap_or_default().to_owned(),
        informational: said.informational,
        spared: [versions.patched, versions.unaffected].concat(),
    }))
}

/// All advisories of crates.
fn advisories_in(folder: &Path) -> Result<Vec<Advisory>> {
    let mut all = Vec::new();
    let read = |folder: &Path| -> Result<Vec<_>> {
        let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        entries.map(|entry| Ok(entry?.path())).collect()
    };
    for package in read(&folder.join("crates"))? {
        for path in read(&package)? {
            let text = fs::read_to_string(&path)?;
            all.extend(advisory(&text).with_context(|| path.display().to_string())?);
        }
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(all)
}

/// The advisories that are about versions that are used, with what they say.
fn against(list: &[Advisory], used: &[Used]) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for one in list {
        for used in used.iter().filter(|used| used.name == one.package) {
            let version: Version = used.version.parse()?;
            if !one.spared.iter().any(|spared| spared.matches(&version)) {
                let kind = one.informational.as_deref().unwrap_or("vulnerable");
                let Advisory { id, package, title, .. } = one;
                found.push((id.clone(), format!("`{package}` {version}: {id}, {kind}: {title}")));
            }
        }
    }
    Ok(found)
}

/// Whether the file for `cargo deny` passes an advisory over.
fn passed_over(deny: &str, id: &str) -> bool {
    let file: Option<toml::Table> = toml::from_str(deny).ok();
    let ignored = file.as_ref().and_then(|file| file.get("advisories")?.get("ignore")?.as_array());
    ignored.is_some_and(|list| {
        list.iter().any(|entry| entry.get("id").and_then(toml::Value::as_str) == Some(id))
    })
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

    #[test]
    fn a_version_that_an_advisory_does_not_spare_is_found() {
        let text = "```toml\n[advisory]\nid = \"RUSTSEC-1\"\npackage = \"a\"\n\
                    [versions]\npatched = [\">= 1.2.3\"]\nunaffected = [\"< 1.1\"]\n```\n\n# Wrong sums\n";
        let one = advisory(text).expect("well-formed").expect("not taken back");
        let used = ["1.0.9", "1.1.0", "1.2.2", "1.2.3", "2.0.0"];
        let used =
            used.map(|version| of(&format!("a v{version};MIT"), Path::new("/")).expect("used"));
        let found = against(&[one], &used).expect("versions");
        let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "`a` 1.1.0: RUSTSEC-1, vulnerable: Wrong sums",
                "`a` 1.2.2: RUSTSEC-1, vulnerable: Wrong sums"
            ]
        );
        let back = text.replace("package", "withdrawn = \"2020-01-01\"\npackage");
        assert_eq!(advisory(&back).expect("well-formed"), None);
        assert!(advisory("# No TOML").is_err());
    }

    #[test]
    fn an_advisory_is_passed_over_only_with_its_name() {
        let deny = "[advisories]\nignore = [{ id = \"RUSTSEC-1\", reason = \"never called\" }]\n";
        assert!(passed_over(deny, "RUSTSEC-1"));
        assert!(!passed_over(deny, "RUSTSEC-12") && !passed_over("", "RUSTSEC-1"));
    }
}
