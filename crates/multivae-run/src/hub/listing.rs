//! What a revision of a repository holds.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde::Deserialize;
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{
    client::{Ask, Client, escaped},
    place::{Place, is_commit, is_hex},
};
use crate::error::{Result, RunError};

/// How many parts of a list are read.
const PARTS: usize = 100;

/// The checksum by which a hub knows a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    /// Of large files.
    Sha256(String),
    /// Of others, as Git has it.
    Git(String),
}

impl Sum {
    /// The checksum that a text is, by its length.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        if is_hex(text, 64) {
            Some(Self::Sha256(text.to_owned()))
        } else if is_hex(text, 40) {
            Some(Self::Git(text.to_owned()))
        } else {
            None
        }
    }

    /// Its digits, by which a cache names the file.
    pub(super) fn digits(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::Git(digits) => digits,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA-256",
            Self::Git(_) => "Git checksum",
        }
    }

    /// The checksum of this kind of some content.
    pub(super) fn of(&self, content: &[u8]) -> Self {
        let length = content.len() as u64;
        self.read(&mut &*content, length).expect("memory can be read")
    }

    /// The checksum of this kind of a file.
    pub(super) fn of_file(&self, path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        self.read(&mut file, length)
    }

    fn read(&self, from: &mut dyn Read, length: u64) -> io::Result<Self> {
        Ok(match self {
            Self::Sha256(_) => Self::Sha256(digits(Sha256::new(), from)?),
            Self::Git(_) => {
                Self::Git(digits(Sha1::new().chain_update(format!("blob {length}\0")), from)?)
            }
        })
    }

    /// What differs from what was expected, if something does.
    pub(super) fn differs(&self, found: &Self) -> Option<String> {
        let (kind, expected) = (self.kind(), self.digits());
        (self != found).then(|| format!("expected the {kind} {expected}, found {}", found.digits()))
    }

    /// The checksum of Git of some content.
    #[cfg(test)]
    pub(super) fn git(content: &[u8]) -> Self {
        Self::Git(String::new()).of(content)
    }

    /// SHA-256 of some content.
    pub(super) fn sha256(content: &[u8]) -> Self {
        Self::Sha256(String::new()).of(content)
    }
}

fn digits<D: Digest>(mut sum: D, from: &mut dyn Read) -> io::Result<String> {
    let mut block = vec![0; 1 << 16];
    loop {
        match from.read(&mut block)? {
            0 => break,
            count => sum.update(&block[..count]),
        }
    }
    Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A file right in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) sum: Sum,
}

/// The files right in a repository at one commit. What lies in folders is not listed.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) entries: Vec<Entry>,
}

impl Listing {
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

/// An entry as hubs write it.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    oid: Option<String>,
    #[serde(default)]
    size: u64,
    lfs: Option<Large>,
}

#[derive(Deserialize)]
struct Large {
    oid: String,
    size: u64,
}

impl Client {
    /// The commit that a revision is, which may be asked about under its name.
    pub(super) fn commit(&self, place: &Place) -> Result<String> {
        let (shown, revision) = (format!("`{place}`"), escaped(&place.revision));
        let url = self.url(&format!("/api/models/{}/revision/{revision}", place.repository));
        let answer = self.json(&Ask::get(url), &shown)?;
        let found = answer.get("sha").and_then(Value::as_str).unwrap_or_default();
        if !is_commit(found) {
            let found = self.clean(found);
            let reason =
                format!("expected `sha`, a commit of 40 hexadecimal digits, found `{found}`");
            return Err(RunError::hub(shown, reason));
        }
        if is_commit(&place.revision) && place.revision != found {
            let reason = format!("expected the commit asked for, found {found}");
            return Err(RunError::hub(shown, reason));
        }
        Ok(found.to_owned())
    }

    /// What a revision holds.
    pub(super) fn listing(&self, place: &Place) -> Result<Listing> {
        let (commit, shown) = (self.commit(place)?, format!("`{place}`"));
        let own = format!("{}/", self.endpoint);
        let mut url = self.url(&format!("/api/models/{}/tree/{commit}", place.repository));
        let mut entries = Vec::new();
        for _ in 0..PARTS {
            let answer = self.expect(&Ask::get(url), &shown)?;
            let next = answer.header("link").and_then(next_part).map(str::to_owned);
            for line in read(self.read_json(answer, &shown)?, &shown)? {
                entries.extend(entry(line, &shown)?);
            }
            match next {
                None => return Ok(Listing { commit, entries }),
                Some(next) if next.starts_with(&own) => url = next,
                Some(_) => {
                    let reason = "the list of its files goes on at another server";
                    return Err(RunError::hub(shown, reason));
                }
            }
        }
        Err(RunError::hub(shown, format!("the list of its files has more than {PARTS} parts")))
    }
}

fn read(answer: Value, shown: &str) -> Result<Vec<Line>> {
    serde_json::from_value(answer).map_err(|error| {
        RunError::hub(shown, format!("expected a list of files with `type` and `path`: {error}"))
    })
}

/// A file right in the repository; `None` of what is no such file.
fn entry(line: Line, shown: &str) -> Result<Option<Entry>> {
    let name = line.path;
    let wrong = |reason: String| RunError::hub(format!("{shown}, `{name}`"), reason);
    if name.split(['/', '\\']).any(|part| part.is_empty() || part == ".." || part == ".") {
        return Err(wrong("expected a path in the repository, found one that leaves it".into()));
    }
    match line.kind.as_str() {
        "file" if !name.contains('/') => {}
        "file" | "directory" => return Ok(None),
        kind => return Err(wrong(format!("expected a file or a folder, found `{kind}`"))),
    }
    let (size, sum) = match (&line.lfs, &line.oid) {
        // Some write what it is before it.
        (Some(large), _) => {
            (large.size, Sum::of_text(large.oid.strip_prefix("sha256:").unwrap_or(&large.oid)))
        }
        (None, Some(oid)) => (line.size, Sum::of_text(oid)),
        (None, None) => (line.size, None),
    };
    match (sum, line.lfs.is_some()) {
        (Some(sum @ Sum::Sha256(_)), true) | (Some(sum @ Sum::Git(_)), false) => {
            Ok(Some(Entry { name, size, sum }))
        }
        _ => Err(wrong("expected a checksum, `lfs.oid` or `oid`, found none".into())),
    }
}

/// The address of the next part in a header `Link`.
fn next_part(link: &str) -> Option<&str> {
    let part = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    part.split_once('<')?.1.split_once('>').map(|(url, _)| url)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn checksums_are_those_of_git_and_of_sha256sum() {
        // What `git hash-object` and `sha256sum` say of a file with `abc`.
        let git = Sum::Git("f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f".into());
        assert_eq!(Sum::git(b"abc"), git);
        let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sum::sha256(b"abc"), Sum::of_text(digits).expect("64 digits"));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        std::fs::write(&path, b"abc").expect("writable");
        assert_eq!(git.of_file(&path).expect("there"), git);
        let other = git.differs(&Sum::git(b"abd")).expect("another");
        assert!(other.starts_with("expected the Git checksum f2ba8f84"), "{other}");
        assert_eq!(Sum::of_text(&digits[1..]), None);
    }

    fn listed(value: Value) -> Result<Vec<Entry>> {
        let lines = read(value, "`a/b@main`")?;
        let entries: Result<Vec<_>> =
            lines.into_iter().map(|line| entry(line, "`a/b@main`")).collect();
        Ok(entries?.into_iter().flatten().collect())
    }

    #[test]
    fn files_right_in_a_repository_are_listed_with_size_and_checksum() {
        let (git, large) = ("0a".repeat(20), "0b".repeat(32));
        let found = listed(json!([
            {"type": "file", "path": "config.json", "oid": git, "size": 3},
            {"type": "file", "path": "w", "oid": git, "size": 130, "lfs": {"oid": large, "size": 9, "pointerSize": 130}},
            {"type": "directory", "path": "pictures", "oid": git, "size": 0},
            {"type": "file", "path": "pictures/a.png", "oid": git, "size": 3},
        ]))
        .expect("valid");
        let entry = |name: &str, size, sum| Entry { name: name.into(), size, sum };
        assert_eq!(found[0], entry("config.json", 3, Sum::Git(git)));
        assert_eq!(found[1], entry("w", 9, Sum::Sha256(large)));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_list_with_what_is_no_file_of_the_repository_is_refused() {
        let git = "0a".repeat(20);
        for (line, part) in [
            (json!({"type": "file", "path": "../a", "oid": git}), "`../a`: expected a path in the"),
            (json!({"type": "file", "path": "/a", "oid": git}), "found one that leaves it"),
            (json!({"type": "file", "path": "a/..\\b", "oid": git}), "found one that leaves it"),
            (json!({"type": "symlink", "path": "a", "oid": git}), "found `symlink`"),
            (json!({"type": "file", "path": "a", "oid": "1"}), "expected a checksum"),
            (json!({"type": "file", "path": "a"}), "expected a checksum"),
            (json!({"type": "file", "path": "a", "lfs": {"oid": git, "size": 1}}), "a checksum"),
            (json!({"path": "a"}), "expected a list of files"),
        ] {
            let error = listed(json!([line])).expect_err(part).to_string();
            assert!(error.contains(part) && error.starts_with("`a/b@main`"), "{error}");
        }
        assert!(listed(json!({"error": "x"})).is_err());
    }

    #[test]
    fn the_next_part_of_a_list_is_where_the_header_says() {
        let link = "<http://hub/x?cursor=1>; rel=\"next\", <http://hub/y>; rel=\"prev\"";
        assert_eq!(next_part(link), Some("http://hub/x?cursor=1"));
        assert_eq!(next_part("<http://hub/y>; rel=\"prev\""), None);
    }
}
