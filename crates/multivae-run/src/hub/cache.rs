//! What was brought is kept as the Hub's own programs keep it, so that each finds what another has
//! brought.
//!
//! | file | holds |
//! |---|---|
//! | `models--OWNER--NAME/refs/REVISION` | the commit that the revision was, without an end of line |
//! | `models--OWNER--NAME/snapshots/COMMIT/FILE` | a link to the content |
//! | `models--OWNER--NAME/blobs/CHECKSUM` | the content |
//! | `.locks/models--OWNER--NAME/CHECKSUM.lock` | nothing; who brings the content has it locked |

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{
    listing::{Entry, Sum},
    place::{Place, Repository, is_commit},
};
use crate::{
    error::{Result, RunError},
    files,
};

/// The end of the name of a content that is not whole yet. Other programs have other ends.
const PART: &str = ".multivae.incomplete";

/// The part of a cache that is of one repository.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    root: PathBuf,
    folder: String,
}

impl Cache {
    pub(super) fn new(root: &Path, repository: &Repository) -> Self {
        let folder = format!("models--{}--{}", repository.owner(), repository.name());
        Self { root: root.to_owned(), folder }
    }

    fn place(&self) -> PathBuf {
        self.root.join(&self.folder)
    }

    /// Where the content of a file is, if it is there.
    pub(super) fn blob(&self, sum: &Sum) -> PathBuf {
        self.place().join("blobs").join(sum.digits())
    }

    /// Where the content is while it is not whole.
    pub(super) fn part(&self, sum: &Sum) -> PathBuf {
        self.place().join("blobs").join(format!("{}{PART}", sum.digits()))
    }

    fn snapshot(&self, commit: &str) -> PathBuf {
        self.place().join("snapshots").join(commit)
    }

    /// Makes the folders, and holds the lock of a content until it is dropped.
    pub(super) fn lock(&self, sum: &Sum) -> Result<File> {
        let locks = self.root.join(".locks").join(&self.folder);
        let blobs = self.place().join("blobs");
        for folder in [&locks, &blobs] {
            fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))?;
        }
        let path = locks.join(format!("{}.lock", sum.digits()));
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(&path);
        let file = file.map_err(|error| unwritable(&path, error))?;
        match file.lock() {
            // Without locks two programs bring the same at a time, and checksums show what is whole.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => {
                Err(unwritable(&path, error))
            }
            _ => Ok(file),
        }
    }

    /// Names a content, as a file of a commit.
    pub(super) fn link(&self, commit: &str, entry: &Entry) -> Result<()> {
        let snapshot = self.snapshot(commit);
        let path = snapshot.join(&entry.name);
        let refused = |error: io::Error| unwritable(&path, error);
        fs::create_dir_all(&snapshot).map_err(refused)?;
        let blob = self.blob(&entry.sum);
        // Another program may have put a copy there.
        if fs::canonicalize(&path)
            .is_ok_and(|there| fs::canonicalize(&blob).is_ok_and(|b| b == there))
        {
            return Ok(());
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
            _ => {}
        }
        let relative = Path::new("..").join("..").join("blobs").join(entry.sum.digits());
        if symlink(&relative, &path).is_ok() {
            return Ok(());
        }
        let mut from = File::open(&blob).map_err(refused)?;
        files::write_whole(&path, |file| io::copy(&mut from, file).map(drop))
    }

    /// Notes which commit a revision is.
    pub(super) fn note(&self, revision: &str, commit: &str) -> Result<()> {
        if revision == commit {
            return Ok(());
        }
        let path = self.place().join("refs").join(revision);
        if fs::read_to_string(&path).is_ok_and(|noted| noted == commit) {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))?;
        }
        files::write_whole(&path, |file| file.write_all(commit.as_bytes()))
    }

    /// The commit that a revision was when it was last asked for.
    ///
    /// # Errors
    ///
    /// If it never was; `offline` is the variable that forbids to ask.
    pub(super) fn commit(&self, place: &Place, offline: &str) -> Result<String> {
        let missing = |what: String| {
            let reason = format!(
                "{what} in the cache `{}`, and `{offline}` forbids to ask the hub",
                self.root.display()
            );
            RunError::hub(format!("`{place}`"), reason)
        };
        let commit = if is_commit(&place.revision) {
            place.revision.clone()
        } else {
            let path = self.place().join("refs").join(&place.revision);
            let noted = fs::read_to_string(path).unwrap_or_default();
            let noted = noted.trim();
            if !is_commit(noted) {
                return Err(missing("is not".into()));
            }
            noted.to_owned()
        };
        if !self.snapshot(&commit).is_dir() {
            return Err(missing(format!("has no files of its commit {commit}")));
        }
        Ok(commit)
    }

    /// The names of the files of a commit that are there.
    pub(super) fn names(&self, commit: &str) -> Result<Vec<String>> {
        let folder = self.snapshot(commit);
        let refused = |cause| RunError::Read { path: folder.clone(), cause };
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(refused)? {
            let name = entry.map_err(refused)?.file_name();
            names.extend(name.into_string());
        }
        names.sort();
        Ok(names)
    }

    /// A file of a commit, whose content has the checksum that names it.
    pub(super) fn file(&self, place: &Place, commit: &str, name: &str) -> Result<PathBuf> {
        let path = self.snapshot(commit).join(name);
        let wrong = |reason: String| RunError::hub(format!("`{place}`, `{name}`"), reason);
        let read = |path: &Path, cause| RunError::Read { path: path.to_owned(), cause };
        let content = fs::canonicalize(&path).map_err(|error| read(&path, error))?;
        let root = fs::canonicalize(&self.root).map_err(|error| read(&self.root, error))?;
        if !content.starts_with(&root) {
            return Err(wrong(format!(
                "`{}` in the cache is a link out of it, to `{}`",
                path.display(),
                content.display()
            )));
        }
        // The content of a copy has no name of its own; the checksums of a bundle show what is
        // wrong with it.
        let link = fs::read_link(&path).ok();
        let named = link.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
        if let Some(sum) = named.and_then(Sum::of_text) {
            let found = sum.of_file(&content).map_err(|error| read(&content, error))?;
            if let Some(what) = sum.differs(&found) {
                return Err(wrong(format!(
                    "`{}` in the cache is damaged: {what}",
                    content.display()
                )));
            }
        }
        Ok(content)
    }
}

/// The error about a place that is the user's.
fn unwritable(path: &Path, error: io::Error) -> RunError {
    let cause = format!("{error}; `HF_HUB_CACHE` names another folder");
    RunError::Write { path: path.to_owned(), cause: cause.into() }
}

#[cfg(unix)]
fn symlink(to: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, path)
}

#[cfg(not(unix))]
fn symlink(_to: &Path, _path: &Path) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache with one file of one commit.
    fn cache() -> (tempfile::TempDir, Cache, Entry) {
        let folder = tempfile::tempdir().expect("a folder");
        let repository = "ada/gait".parse().expect("a name");
        let cache = Cache::new(folder.path(), &repository);
        let entry = Entry { name: "config.json".into(), size: 3, sum: Sum::git(b"abc") };
        let lock = cache.lock(&entry.sum).expect("writable");
        fs::write(cache.blob(&entry.sum), b"abc").expect("writable");
        drop(lock);
        cache.link(&commit(), &entry).expect("writable");
        (folder, cache, entry)
    }

    fn commit() -> String {
        "0c".repeat(20)
    }

    fn place(revision: &str) -> Place {
        format!("ada/gait@{revision}").parse().expect("a place")
    }

    #[test]
    fn a_revision_is_a_commit_without_an_end_of_line() {
        let (folder, cache, _) = cache();
        let at = folder.path().join("models--ada--gait");
        cache.note("refs/pr/1", &commit()).expect("writable");
        assert_eq!(fs::read(at.join("refs/refs/pr/1")).expect("noted"), commit().as_bytes());
        cache.note(&commit(), &commit()).expect("nothing to do");
        assert!(!at.join("refs").join(commit()).exists());
        assert_eq!(cache.commit(&place("refs/pr/1"), "X").expect("noted"), commit());
        assert_eq!(cache.commit(&place(&commit()), "X").expect("there"), commit());
        // What others have written with an end of line is read too.
        fs::write(at.join("refs/main"), format!("{}\n", commit())).expect("writable");
        assert_eq!(cache.commit(&place("main"), "X").expect("noted"), commit());
        let error = cache.commit(&place("v1"), "X").expect_err("unknown").to_string();
        assert!(error.contains("`ada/gait@v1`") && error.contains("`X` forbids"), "{error}");
    }

    #[test]
    fn a_file_of_a_commit_is_a_link_to_its_content() {
        let (folder, cache, entry) = cache();
        let path =
            folder.path().join("models--ada--gait/snapshots").join(commit()).join("config.json");
        let expected = Path::new("../../blobs").join(entry.sum.digits());
        assert_eq!(fs::read_link(&path).expect("a link"), expected);
        cache.link(&commit(), &entry).expect("it is there");
        assert_eq!(cache.names(&commit()).expect("there"), ["config.json"]);
        let file = cache.file(&place("main"), &commit(), "config.json").expect("there");
        assert_eq!(fs::read(file).expect("the content"), b"abc");
    }

    #[test]
    fn a_damaged_content_and_a_link_out_of_the_cache_are_refused() {
        let (folder, cache, entry) = cache();
        let error =
            || cache.file(&place("main"), &commit(), "config.json").expect_err("wrong").to_string();
        fs::write(cache.blob(&entry.sum), b"abd").expect("writable");
        assert!(error().contains("is damaged: expected the Git checksum f2ba8f84"), "{}", error());
        let outside = tempfile::tempdir().expect("a folder");
        let secret = outside.path().join(entry.sum.digits());
        fs::write(&secret, b"abc").expect("writable");
        let path =
            folder.path().join("models--ada--gait/snapshots").join(commit()).join("config.json");
        fs::remove_file(&path).expect("there");
        symlink(&secret, &path).expect("writable");
        assert!(error().contains("is a link out of it"), "{}", error());
    }
}
