//! Checksums of files, a line each, as `sha256sum` writes them.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

use crate::error::{Result, RunError};

/// The checksum of a content.
pub(super) fn of(content: &[u8]) -> String {
    shown(&Sha256::digest(content))
}

/// The checksum of a file, of which a part is in memory at a time.
pub(crate) fn of_file(path: &Path) -> io::Result<String> {
    let (mut file, mut sum) = (File::open(path)?, Sha256::new());
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(shown(&sum.finalize())),
            count => sum.update(&block[..count]),
        }
    }
}

fn shown(sum: &[u8]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The line of a file.
pub(crate) fn line(sum: &str, name: &str) -> String {
    format!("{sum}  {name}\n")
}

/// The list of files with their checksums.
pub(super) fn write(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    files.iter().flat_map(|(name, content)| line(&of(content), name).into_bytes()).collect()
}

/// The names and checksums of a list; `place` is its own for messages. Each name is that of a file
/// beside the list, and is given once.
pub(crate) fn parse(list: &[u8], place: &str) -> Result<Vec<(String, String)>> {
    let wrong = |reason: String| RunError::bundle(place, reason);
    let text = std::str::from_utf8(list).map_err(|_| wrong("is no text".into()))?;
    let mut found: Vec<(String, String)> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let number = i + 1;
        let parts = line.split_once("  ").filter(|(sum, _)| {
            sum.len() == 64 && sum.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        let Some((sum, name)) = parts else {
            return Err(wrong(format!(
                "line {number}: expected a checksum, two spaces and a name, found `{line}`"
            )));
        };
        if !is_plain(name) {
            return Err(wrong(format!(
                "line {number}: expected the name of a file in the bundle, found `{name}`"
            )));
        }
        if found.iter().any(|(other, _)| other == name) {
            return Err(wrong(format!("line {number}: `{name}` is listed twice")));
        }
        found.push((name.to_owned(), sum.to_owned()));
    }
    Ok(found)
}

/// Whether a name is that of a file in the folder itself, on any system.
pub(crate) fn is_plain(name: &str) -> bool {
    let bad = |c: char| matches!(c, '/' | '\\' | ':') || c.is_control();
    !name.is_empty() && !name.starts_with('.') && !name.contains(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_back() {
        let list = write(&[("a.json", b"{}".to_vec()), ("b", Vec::new())]);
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let found = parse(&list, "list").expect("own list");
        assert_eq!(found[0], ("a.json".to_owned(), of(b"{}")));
        assert_eq!(found[1], ("b".to_owned(), empty.to_owned()));
    }

    #[test]
    fn lines_that_are_no_checksums_and_names_elsewhere_are_refused() {
        let sum = of(b"");
        for (line, part) in [
            ("a.json".to_owned(), "line 1: expected a checksum"),
            (format!("{}  a", sum.to_uppercase()), "expected a checksum"),
            (format!("{}  a", &sum[1..]), "expected a checksum"),
            (format!("{sum}  ../a"), "expected the name of a file in the bundle, found `../a`"),
            (format!("{sum}  /a"), "expected the name of a file"),
            (format!("{sum}  a\\b"), "expected the name of a file"),
            (format!("{sum}  c:a"), "expected the name of a file"),
            (format!("{sum}  ."), "expected the name of a file"),
            (format!("{sum}  a\n{sum}  a"), "line 2: `a` is listed twice"),
        ] {
            let error = parse(line.as_bytes(), "list").expect_err("refused").to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
        assert!(parse(&[0xff], "list").is_err());
    }
}
