//! Files into a repository, by one commit: all of them are there afterwards, or none.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    Hub, Progress,
    client::{Ask, Client},
    listing::{Entry, Listing, Sum},
    place::{Place, Repository},
    pull::PICKLES,
};
use crate::{
    bundle::{CARD, OPTIONAL, SUMS, sums},
    error::{Result, RunError},
};

/// How much of a file a hub looks at to say how it wants it.
const SAMPLE: usize = 512;
/// Files that a repository may have before anything was pushed to it.
const EMPTY: [&str; 5] = [".gitattributes", ".gitignore", CARD, "LICENSE", "LICENSE.md"];

/// What is to be pushed.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// The repository, which is made if it is not there.
    pub repository: &'a Repository,
    /// The files of a bundle and the pictures of its card, by name.
    pub files: &'a [(String, Vec<u8>)],
    /// Whether everybody may see it. A new repository is private otherwise.
    pub public: bool,
    /// What is said of the commit.
    pub message: &'a str,
}

/// What was pushed.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The commit that has the files.
    pub commit: String,
    /// Where people find it.
    pub address: String,
    /// Whether the repository was made.
    pub created: bool,
    /// Files that were new or changed; none if all were there.
    pub sent: Vec<String>,
    /// Files of the bundle that was there before which the new one does not have.
    pub removed: Vec<String>,
    /// What the hub finds odd about the card.
    pub warnings: Vec<String>,
}

impl Hub {
    /// Pushes a bundle.
    ///
    /// # Errors
    ///
    /// [`RunError::Hub`] for files that are no bundle, without a token, for a token without rights,
    /// for a card that the hub does not take, for a repository that is public without being asked
    /// for or that holds something else; [`RunError::Unreachable`].
    pub fn push(&self, push: &Push<'_>, progress: Progress<'_>) -> Result<Pushed> {
        let Push { repository, files, .. } = *push;
        let shown = format!("`{repository}`");
        let wrong = |reason: String| RunError::hub(&shown, reason);
        if let Some(variable) = self.settings.offline {
            return Err(wrong(format!("`{variable}` forbids to ask the hub")));
        }
        check(repository, files)?;
        let client = Client::new(&self.settings)?;
        if client.token().is_none() {
            return Err(wrong(
                "needs a token that may write: set `HF_TOKEN`, or log in with `hf auth login`"
                    .into(),
            ));
        }
        client.check_token(&shown)?;
        let warnings = match files.iter().find(|(name, _)| name == CARD) {
            Some((_, card)) => client.check_card(card, &shown)?,
            None => Vec::new(),
        };
        let created = client.prepare(repository, push.public)?;
        let before = client.head(repository)?;
        let entries = before.as_ref().map_or(&[][..], |listing| &listing.entries);
        check_free(repository, entries)?;
        let new: Vec<_> = client.modes(repository, files)?;
        let changed: Vec<_> = new.iter().filter(|file| !file.is_there(entries)).collect();
        let removed: Vec<_> = OPTIONAL
            .iter()
            .filter(|name| entries.iter().any(|entry| entry.name == **name))
            .filter(|name| files.iter().all(|(other, _)| other != *name))
            .map(|name| (*name).to_owned())
            .collect();
        let commit = match &before {
            Some(before) if changed.is_empty() && removed.is_empty() => before.commit.clone(),
            _ => {
                let large = changed.iter().filter(|file| file.large);
                let large: Vec<_> = large.map(|file| (file.name, file.content)).collect();
                if !large.is_empty() {
                    client.upload(repository, &large, progress)?;
                }
                let parent = before.as_ref().map(|listing| listing.commit.as_str());
                client.send_commit(push, parent, &changed, &removed, &new)?
            }
        };
        Ok(Pushed {
            commit,
            address: client.url(&format!("/{repository}")),
            created,
            sent: changed.iter().map(|file| file.name.to_owned()).collect(),
            removed,
            warnings,
        })
    }
}

/// A file as a hub wants it.
struct New<'a> {
    name: &'a str,
    content: &'a [u8],
    large: bool,
}

impl New<'_> {
    fn is_there(&self, entries: &[Entry]) -> bool {
        let found = entries.iter().find(|entry| entry.name == self.name);
        found.is_some_and(|entry| entry.sum == entry.sum.of(self.content))
    }

    /// Its line in a commit.
    fn line(&self) -> Value {
        if self.large {
            let sum = Sum::sha256(self.content);
            let size = self.content.len();
            json!({"key": "lfsFile", "value": {
                "path": self.name, "algo": "sha256", "oid": sum.digits(), "size": size,
            }})
        } else {
            let content = STANDARD.encode(self.content);
            json!({"key": "file", "value": {
                "content": content, "path": self.name, "encoding": "base64",
            }})
        }
    }
}

/// Refuses what is no bundle, and pickles.
fn check(repository: &Repository, files: &[(String, Vec<u8>)]) -> Result<()> {
    let wrong =
        |name: &str, reason: &str| Err(RunError::hub(format!("`{repository}`, `{name}`"), reason));
    if files.iter().all(|(name, _)| name != SUMS) {
        return wrong(SUMS, "is missing: what is pushed is a bundle");
    }
    for (i, (name, _)) in files.iter().enumerate() {
        if !sums::is_plain(name) {
            return wrong(name, "expected the name of a file right in the repository");
        }
        if PICKLES.iter().any(|end| name.to_lowercase().ends_with(end)) {
            return wrong(name, "may be a pickle, which is never pushed");
        }
        if files[..i].iter().any(|(other, _)| other == name) {
            return wrong(name, "is there twice");
        }
    }
    Ok(())
}

/// Refuses a repository that holds something else than a bundle.
fn check_free(repository: &Repository, entries: &[Entry]) -> Result<()> {
    if entries.iter().any(|entry| entry.name == SUMS) {
        return Ok(());
    }
    let others = entries.iter().filter(|entry| !EMPTY.contains(&entry.name.as_str()));
    let others: Vec<_> = others.map(|entry| format!("`{}`", entry.name)).collect();
    if others.is_empty() {
        return Ok(());
    }
    let reason =
        format!("holds something else than a bundle, {}: choose another name", others.join(", "));
    Err(RunError::hub(format!("`{repository}`"), reason))
}

impl Client {
    /// Refuses a token that may only read, where the hub says what it may.
    fn check_token(&self, shown: &str) -> Result<()> {
        let answer = self.send(&Ask::get(self.url("/api/whoami-v2")), shown)?;
        if answer.status == 404 {
            return Ok(());
        }
        if !answer.is_good() {
            return Err(self.refusal(answer, shown));
        }
        let who = self.read_json(answer, shown)?;
        let role = who.pointer("/auth/accessToken/role").and_then(Value::as_str);
        if role == Some("read") {
            let origin = self.token().map_or("", |token| token.origin());
            let reason = format!("the token of {origin} may only read: make one that may write");
            return Err(RunError::hub(shown, reason));
        }
        Ok(())
    }

    /// Asks what the hub thinks of a card, where it can be asked; gives what it finds odd.
    fn check_card(&self, card: &[u8], shown: &str) -> Result<Vec<String>> {
        let shown = format!("{shown}, `{CARD}`");
        let content = String::from_utf8_lossy(card);
        let body = json!({"content": content, "repoType": "model"});
        let answer = self.send(&Ask::post(self.url("/api/validate-yaml"), &body), &shown)?;
        match answer.status {
            404 | 405 => return Ok(Vec::new()),
            400 => {}
            _ if answer.is_good() => {}
            _ => return Err(self.refusal(answer, &shown)),
        }
        let bad = !answer.is_good();
        let said = self.read_json(answer, &shown)?;
        let all = |key: &str| -> Vec<String> {
            let list = said.get(key).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(|one| Some(self.clean(one.get("message")?.as_str()?))).collect()
        };
        let errors = all("errors");
        if bad || !errors.is_empty() {
            let reason =
                format!("the hub does not take what stands at its top: {}", errors.join("; "));
            return Err(RunError::hub(shown, reason));
        }
        Ok(all("warnings"))
    }

    /// Makes the repository if it is not there. One that everybody sees is left alone unless that
    /// is asked for.
    fn prepare(&self, repository: &Repository, public: bool) -> Result<bool> {
        let shown = format!("`{repository}`");
        let url = self.url(&format!("/api/models/{repository}"));
        let mut created = false;
        let mut found = self.send(&Ask::get(&url), &shown)?;
        if found.status == 404 {
            let visibility = if public { "public" } else { "private" };
            let body = json!({
                "name": repository.name(),
                "organization": repository.owner(),
                "visibility": visibility,
            });
            let answer = self.send(&Ask::post(self.url("/api/repos/create"), &body), &shown)?;
            match answer.status {
                // It is there: somebody was quicker, or it cannot be seen.
                409 => {}
                _ if answer.is_good() => created = true,
                _ => return Err(self.refusal(answer, &shown)),
            }
            found = self.send(&Ask::get(&url), &shown)?;
        }
        if !found.is_good() {
            return Err(self.refusal(found, &shown));
        }
        let private = self.read_json(found, &shown)?.get("private").and_then(Value::as_bool);
        match private {
            Some(false) if !public => {
                let how = if created { "was made so by the hub" } else { "was so before" };
                let reason = format!(
                    "is seen by everybody, which {how}; nothing was sent: give `--public` if it may be"
                );
                Err(RunError::hub(shown, reason))
            }
            None if !public => {
                let reason = "the hub does not say whether it is private, so that nothing was sent: give \
                              `--public` if everybody may see it";
                Err(RunError::hub(shown, reason))
            }
            _ => Ok(created),
        }
    }

    /// What the newest commit holds; `None` if there is no commit.
    fn head(&self, repository: &Repository) -> Result<Option<Listing>> {
        let url = self.url(&format!("/api/models/{repository}/revision/{}", Place::MAIN));
        let shown = format!("`{repository}`");
        let answer = self.send(&Ask::get(url), &shown)?;
        match answer.status {
            404 => Ok(None),
            _ if answer.is_good() => self.listing(&Place::newest(repository)).map(Some),
            _ => Err(self.refusal(answer, &shown)),
        }
    }

    /// How the hub wants each file.
    fn modes<'a>(
        &self,
        repository: &Repository,
        files: &'a [(String, Vec<u8>)],
    ) -> Result<Vec<New<'a>>> {
        let about = |(name, content): &(String, Vec<u8>)| {
            let sample = STANDARD.encode(&content[..content.len().min(SAMPLE)]);
            json!({"path": name, "sample": sample, "size": content.len()})
        };
        let body = json!({"files": files.iter().map(about).collect::<Vec<_>>()});
        let url = self.url(&format!("/api/models/{repository}/preupload/{}", Place::MAIN));
        let answer = self.json(&Ask::post(url, &body), &format!("`{repository}`"))?;
        let listed = answer.get("files").and_then(Value::as_array);
        let new = |(name, content): &'a (String, Vec<u8>)| {
            let wrong = |reason: String| RunError::hub(format!("`{repository}`, `{name}`"), reason);
            let is_it = |file: &&Value| file.get("path").and_then(Value::as_str) == Some(name);
            let file = listed.and_then(|files| files.iter().find(is_it));
            if file.and_then(|file| file.get("shouldIgnore")?.as_bool()) == Some(true) {
                return Err(wrong("`.gitignore` of the repository leaves it out".into()));
            }
            let large = match file.and_then(|file| file.get("uploadMode")?.as_str()) {
                // An empty one has no content to be put anywhere.
                Some("lfs") => !content.is_empty(),
                Some("regular") => false,
                other => {
                    let found = self.clean(other.unwrap_or("none"));
                    return Err(wrong(format!(
                        "expected `uploadMode`, `lfs` or `regular`, found `{found}`"
                    )));
                }
            };
            Ok(New { name, content, large })
        };
        files.iter().map(new).collect()
    }

    /// Makes the commit, and checks that it holds `all`.
    fn send_commit(
        &self,
        push: &Push<'_>,
        parent: Option<&str>,
        changed: &[&New<'_>],
        removed: &[String],
        all: &[New<'_>],
    ) -> Result<String> {
        let repository = push.repository;
        let shown = format!("`{repository}`");
        let mut header = json!({"summary": push.message, "description": ""});
        if let Some(parent) = parent {
            // What somebody else has pushed meanwhile is not overwritten.
            header["parentCommit"] = parent.into();
        }
        let mut lines = vec![json!({"key": "header", "value": header})];
        lines.extend(changed.iter().map(|file| file.line()));
        lines.extend(
            removed.iter().map(|name| json!({"key": "deletedFile", "value": {"path": name}})),
        );
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let url = self.url(&format!("/api/models/{repository}/commit/{}", Place::MAIN));
        let ask = Ask::post_text(url, text, "application/x-ndjson");
        let made = match self.send(&ask, &shown) {
            Ok(answer) if answer.is_good() => Ok(self.read_json(answer, &shown)?),
            Ok(answer) => Err(self.refusal(answer, &shown)),
            Err(error) => Err(error),
        };
        let place = match &made {
            Ok(answer) => {
                let commit = answer.get("commitOid").and_then(Value::as_str);
                commit.map_or_else(
                    || Ok(Place::newest(repository)),
                    |commit| format!("{repository}@{commit}").parse(),
                )?
            }
            Err(_) => Place::newest(repository),
        };
        // An answer may be lost after the commit was made.
        let listing = match (self.listing(&place), made) {
            (Ok(listing), Ok(_)) => listing,
            (Ok(listing), Err(_)) if all.iter().all(|file| file.is_there(&listing.entries)) => {
                listing
            }
            (_, Err(error)) | (Err(error), Ok(_)) => return Err(error),
        };
        match all.iter().find(|file| !file.is_there(&listing.entries)) {
            None => Ok(listing.commit),
            Some(file) => {
                let found = listing.get(file.name).map(|entry| {
                    entry.sum.differs(&entry.sum.of(file.content)).unwrap_or_default()
                });
                let found = found.unwrap_or_else(|| "it is not there".to_owned());
                let reason = format!("the hub holds another content than was pushed: {found}");
                Err(RunError::hub(format!("`{place}`, `{}`", file.name), reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<(String, Vec<u8>)> {
        names.iter().map(|name| ((*name).to_owned(), b"abc".to_vec())).collect()
    }

    #[test]
    fn what_is_no_bundle_and_what_may_be_a_pickle_is_never_sent() {
        let repository: Repository = "ada/gait".parse().expect("a name");
        assert!(check(&repository, &files(&["SHA256SUMS", "config.json", "README.md"])).is_ok());
        for (names, part) in [
            (&["config.json"][..], "what is pushed is a bundle"),
            (&["SHA256SUMS", "model.pt"], "`model.pt`: may be a pickle"),
            (&["SHA256SUMS", "a.PKL"], "may be a pickle"),
            (&["SHA256SUMS", "../a"], "expected the name of a file"),
            (&["SHA256SUMS", "a", "a"], "is there twice"),
        ] {
            let error = check(&repository, &files(names)).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_repository_with_something_else_is_left_alone() {
        let repository: Repository = "ada/gait".parse().expect("a name");
        let free = |names: &[&str]| {
            let entry =
                |name: &&str| Entry { name: (*name).into(), size: 3, sum: Sum::git(b"abc") };
            let entries: Vec<_> = names.iter().map(entry).collect();
            check_free(&repository, &entries).map_err(|error| error.to_string())
        };
        assert_eq!(free(&[]), Ok(()));
        assert_eq!(free(&[".gitattributes", "README.md"]), Ok(()));
        assert_eq!(free(&["SHA256SUMS", "notes.txt"]), Ok(()));
        assert!(free(&["README.md", "model.pt"]).expect_err("a model").contains("`model.pt`"));
    }
}
