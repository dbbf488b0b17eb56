//! Which files of a repository are brought, and from where.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Hub, Progress, cache::Cache, client::Client, listing::Listing, place::Place};
use crate::{
    bundle::{CARD, CONFIG, REFERENCE, SUMS, WEIGHTS, sums},
    error::{Result, RunError},
};

/// The largest list of checksums.
const LONGEST_LIST: u64 = 1 << 20;
/// Under which MultiVae saves weights. It is a pickle, which is read and never executed.
const REFERENCE_WEIGHTS: &str = "model.pt";
/// With which version of Python MultiVae has saved.
const ENVIRONMENT: &str = "environment.json";
/// How the names of files end that hold pickles.
pub(super) const PICKLES: [&str; 7] =
    [".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib"];

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bundle.
    Bundle,
    /// A model that the Python library MultiVae has saved.
    Reference,
}

/// What was brought.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The commit that the revision is.
    pub commit: String,
    /// What it is.
    pub kind: Kind,
    /// The files, in the order in which they were brought.
    pub files: Vec<String>,
    /// Files with pickles, which were left where they are.
    pub left: Vec<String>,
}

impl Hub {
    /// Brings a bundle, or what is needed of a model of MultiVae, into an empty folder. Whatever was
    /// brought before comes from the cache; all of it where a variable forbids to ask.
    ///
    /// # Errors
    ///
    /// [`RunError::Hub`] for what is not there, not allowed, neither a bundle nor a model of
    /// MultiVae, or not what its checksums say; [`RunError::Unreachable`]; [`RunError::Bundle`] for
    /// a list of checksums that is none; [`RunError::Read`] and [`RunError::Write`].
    pub fn pull(&self, place: &Place, folder: &Path, progress: Progress<'_>) -> Result<Pulled> {
        let cache = Cache::new(&self.settings.cache, &place.repository);
        if let Some(variable) = self.settings.offline {
            let commit = cache.commit(place, variable)?;
            let names = cache.names(&commit)?;
            let get = |name: &str| cache.file(place, &commit, name);
            return collect(place, &commit, &names, folder, &get);
        }
        let client = self.reader()?;
        let Listing { commit, entries } = client.listing(place)?;
        let names: Vec<_> = entries.iter().map(|entry| entry.name.clone()).collect();
        let get = |name: &str| {
            let entry = entries.iter().find(|entry| entry.name == name).expect("it is listed");
            if name == SUMS && entry.size > LONGEST_LIST {
                let reason = format!("expected at most {LONGEST_LIST} bytes, found {}", entry.size);
                return Err(RunError::hub(format!("`{place}`, `{name}`"), reason));
            }
            client.bring(&cache, place, &commit, entry, progress)?;
            Ok(cache.blob(&entry.sum))
        };
        let pulled = collect(place, &commit, &names, folder, &get)?;
        // What is noted is whole.
        cache.note(&place.revision, &commit)?;
        Ok(pulled)
    }

    /// Who asks for what may be everybody's.
    fn reader(&self) -> Result<Client> {
        let mut settings = self.settings.clone();
        if !settings.implicit_token {
            settings.token = None;
        }
        Client::new(&settings)
    }
}

/// Puts the files of what is among `names` into a folder.
fn collect(
    place: &Place,
    commit: &str,
    names: &[String],
    folder: &Path,
    get: &dyn Fn(&str) -> Result<PathBuf>,
) -> Result<Pulled> {
    let kind = kind(place, names)?;
    let has = |name: &str| names.iter().any(|other| other == name);
    let mut files = Vec::new();
    let mut take = |name: &str| {
        let to = folder.join(name);
        let content = get(name)?;
        fs::copy(&content, &to).map_err(|error: io::Error| RunError::Write {
            path: to.clone(),
            cause: error.into(),
        })?;
        files.push(name.to_owned());
        Ok::<_, RunError>(to)
    };
    match kind {
        Kind::Bundle => {
            let list = take(SUMS)?;
            let list = fs::read(&list).map_err(|cause| RunError::Read { path: list, cause })?;
            for (name, _) in sums::parse(&list, &format!("{place}/{SUMS}"))? {
                if !has(&name) {
                    let reason = format!("`{SUMS}` lists it, and the repository does not hold it");
                    return Err(RunError::hub(format!("`{place}`, `{name}`"), reason));
                }
                take(&name)?;
            }
            if has(CARD) && !folder.join(CARD).exists() {
                take(CARD)?;
            }
        }
        Kind::Reference => {
            let weights = if has(REFERENCE_WEIGHTS) { REFERENCE_WEIGHTS } else { WEIGHTS };
            take(REFERENCE)?;
            take(weights)?;
            if has(ENVIRONMENT) {
                take(ENVIRONMENT)?;
            }
        }
    }
    let left = pickles(names).filter(|name| !files.contains(name)).collect();
    Ok(Pulled { commit: commit.to_owned(), kind, files, left })
}

fn pickles(names: &[String]) -> impl Iterator<Item = String> {
    names
        .iter()
        .filter(|name| PICKLES.iter().any(|end| name.to_lowercase().ends_with(end)))
        .cloned()
}

/// What a repository with these files holds.
fn kind(place: &Place, names: &[String]) -> Result<Kind> {
    let has = |name: &str| names.iter().any(|other| other == name);
    if has(SUMS) {
        return Ok(Kind::Bundle);
    }
    if has(REFERENCE) && (has(REFERENCE_WEIGHTS) || has(WEIGHTS)) {
        return Ok(Kind::Reference);
    }
    let pickles: Vec<_> = pickles(names).map(|name| format!("`{name}`")).collect();
    let found = if !pickles.is_empty() {
        format!("has pickles only, {}, which are never executed", pickles.join(", "))
    } else if has(CONFIG) {
        format!("has `{CONFIG}` without `{SUMS}`")
    } else if names.is_empty() {
        "has no files".to_owned()
    } else {
        "is neither a bundle nor a model of MultiVae".to_owned()
    };
    let reason = format!(
        "{found}: expected `{SUMS}`, which `multivae push` writes, or `{REFERENCE}` with \
         `{REFERENCE_WEIGHTS}` or `{WEIGHTS}`, as the Python library MultiVae does"
    );
    Err(RunError::hub(format!("`{place}`"), reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_a_bundle_nor_a_model_of_the_reference_is_refused_by_what_it_has() {
        let place: Place = "ada/gait".parse().expect("a place");
        let of = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            kind(&place, &names).map_err(|error| error.to_string())
        };
        assert_eq!(of(&["config.json", "SHA256SUMS", "model.pkl"]), Ok(Kind::Bundle));
        assert_eq!(of(&["model_config.json", "model.pt"]), Ok(Kind::Reference));
        assert_eq!(of(&["model_config.json", "model.safetensors"]), Ok(Kind::Reference));
        for (names, part) in [
            (&["pytorch_model.bin", "README.md"][..], "has pickles only, `pytorch_model.bin`"),
            (&["encoders.PKL"], "has pickles only, `encoders.PKL`"),
            (&["model_config.json"], "is neither a bundle nor a model of MultiVae"),
            (&["config.json", "model.safetensors"], "has `config.json` without `SHA256SUMS`"),
            (&[], "has no files"),
        ] {
            let error = of(names).expect_err(part);
            assert!(error.starts_with("`ada/gait@main`: ") && error.contains(part), "{error}");
        }
    }
}
