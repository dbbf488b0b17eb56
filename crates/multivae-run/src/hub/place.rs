//! Names of repositories and of revisions in them.

use std::{fmt, str::FromStr};

use crate::error::{Result, RunError};

/// The longest part of a name.
const LONGEST: usize = 96;
/// The longest name of a revision.
const LONGEST_REVISION: usize = 200;

/// A repository of models, `OWNER/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    owner: String,
    name: String,
}

impl Repository {
    /// The user or organisation that has it.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Its name there.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for Repository {
    type Err = RunError;

    /// Names are what the Hub allows, so that one is always a path of two parts and never another.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            RunError::hub(
                format!("`{text}`"),
                "expected OWNER/NAME of letters, digits, `-`, `_` and `.`, which neither begin nor \
                 end with `-` or `.`",
            )
        };
        let (owner, name) = text.split_once('/').ok_or_else(wrong)?;
        let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        let edge = |c: char| matches!(c, '-' | '.');
        let valid = |part: &str| {
            (1..=LONGEST).contains(&part.len())
                && !part.contains(odd)
                && !part.starts_with(edge)
                && !part.ends_with(edge)
                && !part.contains("--")
                && !part.contains("..")
        };
        if !valid(owner) || !valid(name) || name.ends_with(".git") {
            return Err(wrong());
        }
        Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
    }
}

/// A revision of a repository: a branch, a tag or a commit.
///
/// ```
/// use multivae_run::hub::Place;
///
/// let place: Place = "ada/gait@v1.0".parse()?;
/// assert_eq!((place.repository.owner(), place.revision.as_str()), ("ada", "v1.0"));
/// assert_eq!("ada/gait".parse::<Place>()?.revision, "main");
/// assert!("ada/../gait".parse::<Place>().is_err());
/// # Ok::<(), multivae_run::RunError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The repository.
    pub repository: Repository,
    /// The revision.
    pub revision: String,
}

impl Place {
    /// The branch of a new repository.
    pub const MAIN: &str = "main";

    /// Its newest commit.
    pub fn newest(repository: &Repository) -> Self {
        Self { repository: repository.clone(), revision: Self::MAIN.to_owned() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.revision)
    }
}

impl FromStr for Place {
    type Err = RunError;

    fn from_str(text: &str) -> Result<Self> {
        let Some((repository, revision)) = text.split_once('@') else {
            return Ok(Self::newest(&text.parse()?));
        };
        let repository: Repository = repository.parse()?;
        let odd = |c: char| {
            !c.is_ascii_graphic() || matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '\\' | '@')
        };
        let parts = revision.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with(['.', '-'])
                && !part.ends_with('.')
                && !part.ends_with(".lock")
                && !part.contains("..")
        });
        if revision.len() > LONGEST_REVISION || revision.contains(odd) || !parts {
            let reason = "expected a branch, a tag or a commit behind `@`";
            return Err(RunError::hub(format!("`{text}`"), reason));
        }
        Ok(Self { repository, revision: revision.to_owned() })
    }
}

/// Whether a text is the whole name of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    is_hex(text, 40)
}

/// Whether a text is a number of hexadecimal digits in lower case.
pub(super) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_a_path_to_elsewhere_is_none() {
        for text in ["ada/gait@main", "a_b/c.d-e@refs/pr/1", "a/b@0123456"] {
            assert_eq!(text.parse::<Place>().expect(text).to_string(), text);
        }
        let long = "a".repeat(97);
        for text in [
            "gait",
            "",
            "/",
            "ada/",
            "/gait",
            "ada/gait/x",
            "../gait",
            "ada/..",
            "ada/.gait",
            "ada/ga it",
            "ada/g--b",
            "ada/gait.git",
            "-ada/gait",
            "ada/gait-",
            "a%2fb/c",
            "ada/gait@",
            "ada/gait@../x",
            "ada/gait@a..b",
            "ada/gait@/a",
            "ada/gait@a/",
            "ada/gait@a//b",
            "ada/gait@-x",
            "ada/gait@.x",
            "ada/gait@a b",
            "ada/gait@a\nb",
            "ada/gait@a?b",
            "ada/gait@a\\b",
            "ada/gait@a.lock",
            "ada/gait@a@b",
            &format!("ada/{long}"),
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_commit_is_named_whole() {
        assert!(is_commit(&"0a".repeat(20)));
        assert!(!is_commit(&"0a".repeat(19)) && !is_commit(&"0A".repeat(20)) && !is_commit("main"));
    }
}
