//! Names of scans after BIDS, the Brain Imaging Data Structure, and after folders of subjects.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

use super::{BESIDE, modality::Scan, nifti, scans_of};
use crate::{
    error::{DataError, Result},
    read::{entries, format, name},
};

/// Folders of subjects, of sessions, and of kinds of scans.
const DEPTH: usize = 3;

/// The scans of one modality.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) scans: Vec<Scan>,
}

/// A name as `sub-01_ses-2_run-1_T1w`.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    /// Subject and session, `sub-01_ses-2`.
    id: String,
    /// What else tells files apart, `run-1`.
    entities: String,
    /// `T1w`.
    suffix: String,
}

impl Name {
    fn of(stem: &str) -> Option<Self> {
        let parts: Vec<&str> = stem.split('_').collect();
        let (suffix, entities) = parts.split_last()?;
        let (subject, others) = entities.split_first()?;
        let entity = |part: &&str| {
            part.split_once('-').is_some_and(|(key, value)| !key.is_empty() && !value.is_empty())
        };
        let is = subject.starts_with("sub-") && entities.iter().all(entity);
        if !is || suffix.is_empty() || suffix.contains('-') {
            return None;
        }
        let (sessions, others): (Vec<&str>, Vec<&str>) =
            others.iter().partition(|part| part.starts_with("ses-"));
        let id = [&[*subject], &sessions[..]].concat().join("_");
        Some(Self { id, entities: others.join("_"), suffix: (*suffix).to_owned() })
    }
}

/// Whether a folder holds scans by the names of BIDS, itself or in folders of subjects.
pub(super) fn is(folder: &Path) -> bool {
    let found = if folder.is_dir() { entries(folder).unwrap_or_default() } else { Vec::new() };
    found.iter().any(|path| named(path).is_some() || (is_subject(path) && holds(path, DEPTH)))
        || of_subjects(&found).is_some()
}

/// The scans of folders of subjects, each called after its folder, as `case-7/case-7_flair.nii.gz`.
///
/// Folders of modalities, as `flair/flair_7.nii.gz`, look alike; of subjects there are more than
/// endings of names.
fn of_subjects(found: &[PathBuf]) -> Option<Vec<(Name, PathBuf)>> {
    let folders: Vec<&PathBuf> = found.iter().filter(|path| path.is_dir()).collect();
    // A look at one file of each tells large folders of images apart.
    let is_scan = |folder: &&PathBuf| {
        let shown = |path: &PathBuf| !name(path).starts_with('.');
        let paths = std::fs::read_dir(folder).ok().into_iter().flatten().flatten();
        let first = paths.map(|entry| entry.path()).find(shown);
        first.is_some_and(|path| nifti::is_called(&path) || format::ends(&path, &BESIDE, false))
    };
    if folders.is_empty() || !folders.iter().all(is_scan) {
        return None;
    }
    let mut scans = Vec::new();
    for folder in &folders {
        let id = name(folder);
        for Scan { id: stem, path } in scans_of(entries(folder).ok()?) {
            let suffix = stem.strip_prefix(&id)?.strip_prefix(['_', '-'])?;
            if suffix.is_empty() || Name::of(&stem).is_some() {
                return None;
            }
            let (id, suffix) = (id.clone(), suffix.to_owned());
            scans.push((Name { id, entities: String::new(), suffix }, path));
        }
    }
    let suffixes: HashSet<&str> = scans.iter().map(|(name, _)| name.suffix.as_str()).collect();
    (!suffixes.is_empty() && folders.len() > suffixes.len()).then_some(scans)
}

/// The name of a scan, if it is one of BIDS.
fn named(path: &Path) -> Option<Name> {
    Name::of(&nifti::stem(path)).filter(|_| nifti::is_called(path) && !path.is_dir())
}

fn is_subject(path: &Path) -> bool {
    path.is_dir() && name(path).starts_with("sub-")
}

fn holds(folder: &Path, depth: usize) -> bool {
    entries(folder).unwrap_or_default().iter().any(|path| match path.is_dir() {
        true => depth > 1 && holds(path, depth - 1),
        false => named(path).is_some(),
    })
}

/// What lies in the folder itself beside scans and subjects.
pub(super) fn beside(folder: &Path) -> Result<Vec<PathBuf>> {
    let others = |path: &PathBuf| !path.is_dir() && !nifti::is_called(path);
    Ok(entries(folder)?.into_iter().filter(others).collect())
}

/// The scans by modality: by their suffix, and where a subject has several of one suffix by what
/// else their names say.
pub(super) fn groups(folder: &Path) -> Result<Vec<Group>> {
    let named = match of_subjects(&entries(folder)?) {
        Some(named) => named,
        None => of_bids(folder)?,
    };
    let mut seen = HashSet::new();
    let several: HashSet<String> = named
        .iter()
        .filter(|(name, _)| !seen.insert((name.id.clone(), name.suffix.clone())))
        .map(|(name, _)| name.suffix.clone())
        .collect();
    let mut groups: BTreeMap<String, Vec<Scan>> = BTreeMap::new();
    for (Name { id, entities, suffix }, path) in named {
        let name = match several.contains(&suffix) && !entities.is_empty() {
            true => format!("{suffix}_{entities}"),
            false => suffix,
        };
        groups.entry(name).or_default().push(Scan { id, path });
    }
    Ok(groups.into_iter().map(|(name, scans)| Group { name, scans }).collect())
}

/// The scans by the names of BIDS.
fn of_bids(folder: &Path) -> Result<Vec<(Name, PathBuf)>> {
    let mut scans = Vec::new();
    collect(folder, 0, &mut scans)?;
    let mut named = Vec::new();
    for Scan { id, path } in scans {
        let Some(name) = Name::of(&id) else {
            return Err(DataError::UnsupportedFile {
                path,
                expected: "a name of BIDS as others in the folder have, `sub-01_T1w.nii.gz`",
            });
        };
        named.push((name, path));
    }
    Ok(named)
}

/// The scans of a folder and of those in it, which at the top are subjects.
fn collect(folder: &Path, depth: usize, scans: &mut Vec<Scan>) -> Result<()> {
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) =
        entries(folder)?.into_iter().partition(|path| path.is_dir());
    scans.extend(scans_of(files));
    for inside in folders {
        if depth < DEPTH && (depth > 0 || is_subject(&inside)) {
            collect(&inside, depth + 1, scans)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_subject_and_a_suffix() {
        let name = |id: &str, entities: &str, suffix: &str| {
            Some(Name { id: id.into(), entities: entities.into(), suffix: suffix.into() })
        };
        assert_eq!(Name::of("sub-01_T1w"), name("sub-01", "", "T1w"));
        assert_eq!(
            Name::of("sub-01_ses-b_task-rest_run-2_bold"),
            name("sub-01_ses-b", "task-rest_run-2", "bold")
        );
        for other in ["sub-01", "01_T1w", "sub-01_T1w-x", "sub-01_", "sub-01__T1w", "T1w"] {
            assert_eq!(Name::of(other), None, "{other}");
        }
    }
}
