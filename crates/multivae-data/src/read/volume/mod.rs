//! Volumes: scans as NIfTI files, a modality in a folder or all of them by the names of BIDS.

use std::path::{Path, PathBuf};

use multivae_core::schema::ImageConversion;
use rayon::prelude::*;

use super::{
    LabelFile, ModalityTable, ReadOptions, entries,
    format::{self, Content, Format},
    name, only_name,
};
use crate::{
    assemble::{Files, Source},
    error::{DataError, Result},
    reading::Reading,
    report::Warning,
};

mod bids;
#[cfg(test)]
mod cases;
mod modality;
mod nifti;
mod orientation;
pub(crate) mod slices;

pub(crate) use modality::{check_between, scans};

use self::{
    bids::Group,
    modality::{Scan, modality},
    nifti::Header,
};

/// What lies beside scans and says something about them.
const BESIDE: [&str; 5] = ["json", "bval", "bvec", "tsv", "txt"];

/// A folder of scans, each a row of one modality.
pub(super) struct Volumes;

impl Format for Volumes {
    fn name(&self) -> &'static str {
        "volumes"
    }

    fn called(&self) -> &'static str {
        "a folder of volumes `.nii`, `.nii.gz` or `.hdr` with `.img`"
    }

    fn content(&self) -> Content {
        Content::Volumes
    }

    fn is(&self, path: &Path) -> bool {
        path.is_dir() && entries(path).is_ok_and(|found| found.iter().any(|p| nifti::is_called(p)))
    }

    fn block(&self, path: &Path, said: ReadOptions) -> Result<ModalityTable> {
        modality(path, &of_folder(path)?, said)
    }

    fn labels(&self, path: &Path, _said: ReadOptions) -> Result<LabelFile> {
        Err(DataError::UnsupportedFile { path: path.into(), expected: "a file of labels" })
    }
}

/// The scans of a folder, named by their files.
fn of_folder(folder: &Path) -> Result<Vec<Scan>> {
    let (scans, others): (Vec<PathBuf>, Vec<PathBuf>) =
        entries(folder)?.into_iter().partition(|path| nifti::is_called(path) && !path.is_dir());
    match others.into_iter().find(|path| !format::ends(path, &BESIDE, false)) {
        Some(path) => Err(DataError::UnsupportedFile {
            path,
            expected: "a volume `.nii`, `.nii.gz` or `.hdr` with `.img`, as others in the folder",
        }),
        None => Ok(scans_of(scans)),
    }
}

/// Files as scans, named by them; the values of a pair are read by its header.
fn scans_of(files: Vec<PathBuf>) -> Vec<Scan> {
    let scan = |path: &PathBuf| {
        let is_second =
            format::ends(path, &["img"], true) && nifti::other_of_pair(path, "hdr").is_some();
        nifti::is_called(path) && !is_second
    };
    let scans = files.into_iter().filter(scan);
    scans.map(|path| Scan { id: nifti::stem(&path), path }).collect()
}

/// A file of one volume, or of several on its fourth axis, which are rows.
pub(super) struct Nifti;

impl Format for Nifti {
    fn name(&self) -> &'static str {
        "NIfTI"
    }

    fn called(&self) -> &'static str {
        "`.nii` of several volumes (also `.gz`)"
    }

    fn content(&self) -> Content {
        Content::Array
    }

    fn is(&self, path: &Path) -> bool {
        nifti::is_called(path) && !path.is_dir()
    }

    fn block(&self, path: &Path, _said: ReadOptions) -> Result<ModalityTable> {
        let header = Header::read(path)?;
        let rows = header.channels;
        if rows == 1 {
            return Err(DataError::Shape {
                modality: nifti::stem(path),
                path: path.into(),
                expected: "a folder of volumes, one for each row, or volumes on a fourth axis"
                    .into(),
                found: format!("one volume, {header}"),
            });
        }
        let mut block = modality::of_series(path, &header)?;
        let found = format!("its {rows} volumes on the fourth axis are rows");
        block.notes.push(Warning::note(name(path), found));
        Ok(block)
    }

    fn labels(&self, path: &Path, _said: ReadOptions) -> Result<LabelFile> {
        Err(DataError::UnsupportedFile { path: path.into(), expected: "a file of labels" })
    }
}

/// A folder of scans of several modalities, by the names of BIDS: `sub-01_T1w.nii.gz`, all in it or
/// in folders of subjects as `sub-01/anat/`.
pub(super) struct Bids;

impl Format for Bids {
    fn name(&self) -> &'static str {
        "BIDS"
    }

    fn called(&self) -> &'static str {
        "a folder of volumes by the names of BIDS (`sub-01_T1w.nii.gz`)"
    }

    fn content(&self) -> Content {
        Content::Arrays
    }

    fn is(&self, path: &Path) -> bool {
        bids::is(path)
    }

    fn is_volumes(&self) -> bool {
        true
    }

    fn block(&self, path: &Path, said: ReadOptions) -> Result<ModalityTable> {
        let groups = bids::groups(path)?;
        let place = only_name(path, groups.iter().map(|group| &group.name), said.array)?;
        modality(&path.join(&groups[place].name), &groups[place].scans, said)
    }

    fn labels(&self, path: &Path, _said: ReadOptions) -> Result<LabelFile> {
        Err(DataError::UnsupportedFile { path: path.into(), expected: "a file of labels" })
    }

    fn files(&self, path: &Path, reading: Reading) -> Result<Files> {
        let mut sources = Vec::new();
        for Group { name, scans } in bids::groups(path)? {
            let codes = reading.codes_of(&name, &[]);
            let images = reading.volumes_of(&name, ImageConversion::default());
            let said = ReadOptions { codes: Some(&codes), images, ..ReadOptions::default() };
            let block = modality(&path.join(&name), &scans, said)?;
            sources.push(Source::plain(name, block, codes, images));
        }
        let label_codes = reading.codes_of_labels();
        let said = ReadOptions { codes: Some(&label_codes), ..ReadOptions::default() };
        let mut notes = Vec::new();
        let mut labels = None;
        for beside in bids::beside(path)? {
            if super::stem(&beside) == "labels" && labels.is_none() {
                labels = Some(format::of(&beside)?.labels(&beside, said)?);
            } else if format::of(&beside).is_ok() {
                notes.push(Warning::new(
                    name(&beside),
                    "it is passed over: beside volumes by the names of BIDS only `labels` is read",
                    "name it in a manifest, as a modality or as labels",
                ));
            }
        }
        Ok(Files { sources, labels, label_codes, splits: None, notes, rows: None })
    }
}

/// The headers of scans.
fn headers(scans: &[Scan]) -> Result<Vec<Header>> {
    let headers: Vec<_> = scans.par_iter().map(|scan| Header::read(&scan.path)).collect();
    headers.into_iter().collect()
}
