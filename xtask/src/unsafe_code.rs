//! Every place of code that the compiler does not check, and why it is right.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::tree::SourceFile;

/// The page that lists them.
pub(crate) const PAGE: &str = "docs/unsafe.md";
/// How far above its place a reason may end, in lines that are not of it.
const NEAR: usize = 3;

/// A place.
#[derive(Debug, PartialEq)]
struct Place<'a> {
    path: &'a str,
    line: usize,
    /// Why it is right, or what its caller promises; empty if nothing is said.
    reason: String,
}

/// Places of which nothing is said.
pub(crate) fn unexplained(files: &[SourceFile]) -> Vec<String> {
    let places = places(files).into_iter().filter(|place| place.reason.is_empty());
    places
        .map(|Place { path, line, .. }| {
            format!("{path}:{line}: `unsafe` without a comment `SAFETY:` or a section `# Safety`")
        })
        .collect()
}

/// A page that is not what the code says.
pub(crate) fn stale(files: &[SourceFile]) -> Vec<String> {
    let found = files.iter().find(|file| file.path == PAGE).and_then(|file| file.text.as_deref());
    match found == Some(page(files).as_str()) {
        true => Vec::new(),
        false => vec![format!("{PAGE}: not what the code says; run `cargo xtask docs`")],
    }
}

/// What else was tried, and how.
const SANITIZER: &str = "\
The kernels' tests were run under AddressSanitizer, with Burn, `gemm`, `pulp` and the kernels compiled by it and their own assertions on, on a processor with AVX-512: 48 passed, and nothing was found, neither memory that is not theirs nor memory that is lost.
A program that reads beyond a vector was caught by the same flags.

```sh
export RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=target/asan
cargo test -p multivae-kernels --features flex --lib --target x86_64-unknown-linux-gnu \\
  --config 'profile.dev.package.multivae-kernels.opt-level=1'
```

The products of `bf16`, which came later, passed their tests under it with their own code and that of `direct` and `gemm` compiled by it, on a processor that has the instructions.
The stable compiler comes with the runtime of the sanitizer; the build takes some 25 minutes on one core, the tests two.
Valgrind 3.19 ran the eight tests of products, windows and transposes in a program of a release, on the instructions of AVX2, since it knows none of AVX-512, and found nothing.
Miri was not run: it comes with nightly compilers only, and knows few instructions of AVX-512.
";

/// Writes the page.
pub(crate) fn write(root: &std::path::Path, files: &[SourceFile]) -> Result<()> {
    let complaints = unexplained(files);
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    std::fs::write(root.join(PAGE), page(files))?;
    println!("{PAGE}");
    Ok(())
}

/// Places by file with their reasons.
fn page(files: &[SourceFile]) -> String {
    let mut by_file: BTreeMap<&str, Vec<Place>> = BTreeMap::new();
    for place in places(files) {
        by_file.entry(place.path).or_default().push(place);
    }
    let count: usize = by_file.values().map(Vec::len).sum();
    let mut text = format!(
        "# Unsafe code\n\n\
         The compiler refuses `unsafe` in every crate (`unsafe_code = \"deny\"`) but where a line allows it.\n\
         There are {count} such places in {} files: kernels on slices, vectors of the processor, and an option of the allocator.\n\
         Each says why it is right; `cargo xtask tidy` refuses one that does not.\n\
         The tests of the kernels compare every one of them with Burn's own operations, over shapes that random numbers choose.\n\n\
         {SANITIZER}\n\
         This page is written by `cargo xtask docs`.\n",
        by_file.len()
    );
    for (path, places) in by_file {
        text += &format!(
            "\n## {path}\n\n| number | why it is right, or what its caller promises |\n|---|---|\n"
        );
        for (i, place) in places.iter().enumerate() {
            text += &format!("| {} | {} |\n", i + 1, place.reason.replace('|', "\\|"));
        }
    }
    text
}

/// Uses of `unsafe` in programs and libraries, without their attributes and comments.
fn places(files: &[SourceFile]) -> Vec<Place<'_>> {
    let own = |file: &&SourceFile| file.path.ends_with(".rs") && !file.path.starts_with("xtask/");
    files.iter().filter(own).flat_map(of).collect()
}

fn of(file: &SourceFile) -> Vec<Place<'_>> {
    let lines: Vec<&str> = file.text.as_deref().unwrap_or_default().lines().collect();
    let mut places = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let used = code.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|w| w == "unsafe");
        if used && !code.contains('"') {
            let reason = reason(&lines[..i]);
            places.push(Place { path: &file.path, line: i + 1, reason });
        }
    }
    places
}

/// What the comment says that ends close above.
fn reason(above: &[&str]) -> String {
    let comment = |line: &str| line.trim_start().starts_with("//");
    let near = above.len().saturating_sub(NEAR);
    let Some(end) = above[near..].iter().rposition(|line| comment(line)).map(|i| near + i) else {
        return String::new();
    };
    let start = above[..end].iter().rposition(|line| !comment(line)).map_or(0, |i| i + 1);
    let text: Vec<&str> = above[start..=end]
        .iter()
        .map(|line| line.trim_start().trim_start_matches('/').trim())
        .collect();
    let said = text.iter().position(|line| line.starts_with("SAFETY:") || *line == "# Safety");
    let Some(from) = said else { return String::new() };
    let text = text[from..].join(" ");
    let text = text.trim_start_matches("SAFETY:").trim_start_matches("# Safety").trim();
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> SourceFile {
        let bytes = text.len() as u64;
        SourceFile { path: "crates/a/src/b.rs".into(), bytes, text: Some(text.into()) }
    }

    #[test]
    fn a_place_without_a_reason_is_refused() {
        let bad = [
            "fn f() {\n    unsafe { g() }\n}\n",
            "// A reason, but no obligation.\nfn f() { unsafe { g() } }\n",
            "// SAFETY: far away.\n\n\n\n\nfn f() { unsafe { g() } }\n",
            "/// Does it.\nunsafe fn f() {}\n",
        ];
        for text in bad {
            assert_eq!(unexplained(&[file(text)]).len(), 1, "{text}");
        }
        let good = [
            "// SAFETY: it is.\nfn f() { unsafe { g() } }\n",
            "/// Does it.\n///\n/// # Safety\n///\n/// The caller knows.\n#[inline]\nunsafe fn f() {}\n",
            "#![allow(unsafe_code)]\n// unsafe\nlet a = \"unsafe\";\n",
        ];
        for text in good {
            assert_eq!(unexplained(&[file(text)]), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn the_page_has_each_place_with_its_whole_reason() {
        let text = "// SAFETY: there is room\n// for it.\nlet a = unsafe { g() };\n";
        let page = page(&[file(text)]);
        assert!(page.contains("There are 1 such places in 1 files"), "{page}");
        assert!(page.ends_with("| 1 | there is room for it. |\n"), "{page}");
        let found = SourceFile { path: PAGE.into(), bytes: 0, text: Some(page) };
        assert_eq!(stale(&[file(text), found]), Vec::<String>::new());
        assert_eq!(stale(&[file(text)]).len(), 1);
    }
}
