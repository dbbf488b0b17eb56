//! Lines of code, tests and documentation.

use std::{collections::BTreeMap, path::Path, process::ExitCode};

use anyhow::Result;

use crate::tree;

/// Lines by what they are; blank lines are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lines {
    code: usize,
    tests: usize,
    docs: usize,
}

/// Prints one line a crate and their sum.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let mut crates: BTreeMap<String, Lines> = BTreeMap::new();
    for file in tree::files(root)? {
        let (Some(text), true) = (&file.text, file.path.ends_with(".rs")) else { continue };
        let lines = count(&file.path, text);
        let total = crates.entry(crate_of(&file.path)).or_default();
        total.code += lines.code;
        total.tests += lines.tests;
        total.docs += lines.docs;
    }
    println!("{:<20} {:>7} {:>7} {:>7}", "crate", "code", "tests", "docs");
    let mut sum = Lines::default();
    for (name, lines) in &crates {
        println!("{name:<20} {:>7} {:>7} {:>7}", lines.code, lines.tests, lines.docs);
        sum.code += lines.code;
        sum.tests += lines.tests;
        sum.docs += lines.docs;
    }
    println!("{:<20} {:>7} {:>7} {:>7}", "all", sum.code, sum.tests, sum.docs);
    Ok(ExitCode::SUCCESS)
}

/// The folder of a crate: `crates/NAME/..` or `NAME/..`.
fn crate_of(path: &str) -> String {
    let mut parts = path.split('/');
    let first = parts.next().unwrap_or_default();
    let name = if first == "crates" { parts.next().unwrap_or_default() } else { first };
    name.to_owned()
}

/// Counts a file. Unit tests are what follows `#[cfg(test)]` at the start of a line, since they
/// come last in a file.
fn count(path: &str, text: &str) -> Lines {
    let mut in_tests = path.split('/').any(|part| part == "tests");
    let mut lines = Lines::default();
    for line in text.lines() {
        in_tests |= line == "#[cfg(test)]";
        let line = line.trim_start();
        if line.is_empty() {
        } else if line.starts_with("//") {
            lines.docs += 1;
        } else if in_tests {
            lines.tests += 1;
        } else {
            lines.code += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_tests_and_docs_are_told_apart() {
        let text = "//! Doc.\nfn f() {\n\n    // Why.\n}\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(count("a/src/lib.rs", text), Lines { code: 2, tests: 3, docs: 2 });
        assert_eq!(count("a/tests/it/main.rs", text), Lines { code: 0, tests: 5, docs: 2 });
    }

    #[test]
    fn a_crate_is_named_by_its_folder() {
        assert_eq!(crate_of("crates/multivae-core/src/lib.rs"), "multivae-core");
        assert_eq!(crate_of("xtask/src/main.rs"), "xtask");
    }
}
