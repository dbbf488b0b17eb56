//! Brings files into the cache: a transfer that breaks goes on where it broke.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    path::Path,
    thread,
    time::Duration,
};

use super::{
    Progress,
    cache::Cache,
    client::{Answer, Ask, Client, escaped},
    listing::Entry,
    place::Place,
};
use crate::error::{Result, RunError};

/// How often a transfer that breaks is taken up again where nothing more of it has come.
const TRIES: u32 = 4;
/// How a file begins that only names a large one.
const POINTER: &[u8] = b"version https://git-lfs";

/// What came of an answer.
enum Came {
    /// All of it.
    Whole,
    /// Not all; why.
    Part(String),
}

impl Client {
    /// Brings one file, unless it is in the cache.
    pub(super) fn bring(
        &self,
        cache: &Cache,
        place: &Place,
        commit: &str,
        entry: &Entry,
        progress: Progress<'_>,
    ) -> Result<()> {
        let (blob, part) = (cache.blob(&entry.sum), cache.part(&entry.sum));
        let shown = format!("`{place}`, `{}`", entry.name);
        let _lock = cache.lock(&entry.sum)?;
        if blob.is_file() {
            let found = entry.sum.of_file(&blob);
            let found = found.map_err(|cause| RunError::Read { path: blob.clone(), cause })?;
            match entry.sum.differs(&found) {
                None => return cache.link(commit, entry),
                Some(what) => {
                    tracing::warn!(
                        "{shown}: `{}` is damaged, and brought again: {what}",
                        blob.display()
                    );
                }
            }
        }
        self.transfer(&part, place, commit, entry, &shown, progress)?;
        let found = entry.sum.of_file(&part);
        let found = found.map_err(|cause| RunError::Read { path: part.clone(), cause })?;
        if let Some(what) = entry.sum.differs(&found) {
            // What is wrong would be wrong again if it were taken up.
            fs::remove_file(&part).map_err(|error| unwritable(&part, error))?;
            return Err(RunError::hub(shown, what));
        }
        fs::rename(&part, &blob).map_err(|error| unwritable(&blob, error))?;
        cache.link(commit, entry)
    }

    /// Brings all bytes into `part`, going on with what is there.
    fn transfer(
        &self,
        part: &Path,
        place: &Place,
        commit: &str,
        entry: &Entry,
        shown: &str,
        progress: Progress<'_>,
    ) -> Result<()> {
        let url =
            self.url(&format!("/{}/resolve/{commit}/{}", place.repository, escaped(&entry.name)));
        let mut idle = 0;
        loop {
            let mut before = length(part);
            if before > entry.size {
                fs::remove_file(part).map_err(|error| unwritable(part, error))?;
                before = 0;
            }
            if before == entry.size && before > 0 {
                return Ok(());
            }
            let range = format!("bytes={before}-");
            let mut ask = Ask::get(&url);
            if before > 0 {
                ask = ask.header("Range", &range);
            }
            let answer = self.send(&ask, shown)?;
            if let Some(found) = answer.first("x-repo-commit").filter(|found| *found != commit) {
                let reason = format!("expected the commit {commit}, found {}", self.clean(found));
                return Err(RunError::hub(shown, reason));
            }
            let why = match self.pour(answer, part, before, entry, shown, progress)? {
                Came::Whole => return Ok(()),
                Came::Part(why) => why,
            };
            let now = length(part);
            idle = if now > before { 0 } else { idle + 1 };
            if idle == TRIES {
                let reason = format!(
                    "the transfer broke after {now} of {} bytes, which are kept: {why}; give the \
                     command again",
                    entry.size
                );
                return Err(RunError::unreachable(shown, reason));
            }
            thread::sleep(Duration::from_millis(100 << idle));
        }
    }

    /// Writes what comes behind the bytes that are there.
    fn pour(
        &self,
        answer: Answer,
        part: &Path,
        before: u64,
        entry: &Entry,
        shown: &str,
        progress: Progress<'_>,
    ) -> Result<Came> {
        // `bytes FROM-TO/ALL`
        let range =
            answer.header("content-range").and_then(|text| text.trim().strip_prefix("bytes "));
        let begin = range.and_then(|text| text.split_once('-')?.0.parse::<u64>().ok());
        let all = match answer.status {
            200 => answer.header("content-length").and_then(|text| text.trim().parse::<u64>().ok()),
            _ => range.and_then(|text| text.split_once('/')?.1.parse().ok()),
        };
        let from = match answer.status {
            200 => 0,
            206 if begin == Some(before) => before,
            416 if before > 0 => {
                // What is there is not the beginning of what the server has.
                fs::remove_file(part).map_err(|error| unwritable(part, error))?;
                return Ok(Came::Part("the server has no such part".into()));
            }
            _ => return Err(self.refusal(answer, shown)),
        };
        if answer.is_html() {
            let reason =
                "expected the file, found a page of HTML; is there a proxy that asks for a name?";
            return Err(RunError::hub(shown, reason));
        }
        if let Some(all) = all.filter(|all| *all != entry.size) {
            let reason = format!("expected {} bytes, found {all}{}", entry.size, pointer(answer));
            return Err(RunError::hub(shown, reason));
        }
        let mut options = OpenOptions::new();
        // A server that does not know ranges begins anew.
        options.create(true).write(true).append(from > 0).truncate(from == 0);
        let mut to = options.open(part).map_err(|error| unwritable(part, error))?;
        let (mut body, mut block, mut done) = (answer.into_reader(), vec![0; 1 << 16], from);
        let why = loop {
            let count = match body.read(&mut block) {
                Ok(0) => break "the server has closed the connection".to_owned(),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => break self.clean(&error.to_string()),
            };
            done += count as u64;
            if done > entry.size {
                drop(to);
                fs::remove_file(part).map_err(|error| unwritable(part, error))?;
                let reason = format!("expected {} bytes, found more", entry.size);
                return Err(RunError::hub(shown, reason));
            }
            to.write_all(&block[..count]).map_err(|error| unwritable(part, error))?;
            progress(&entry.name, done, entry.size);
        };
        to.sync_all().map_err(|error| unwritable(part, error))?;
        Ok(if done == entry.size { Came::Whole } else { Came::Part(why) })
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.len())
}

/// What is said of a file that only names a large one.
fn pointer(answer: Answer) -> &'static str {
    let mut bytes = Vec::new();
    // It is for a message only.
    let _ = answer.into_reader().take(POINTER.len() as u64).read_to_end(&mut bytes);
    if bytes == POINTER { ", a pointer of Git LFS in place of the file" } else { "" }
}

fn unwritable(path: &Path, error: io::Error) -> RunError {
    RunError::Write { path: path.to_owned(), cause: error.into() }
}
