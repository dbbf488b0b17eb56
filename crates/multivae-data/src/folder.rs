//! Data as files lie in a folder, or as arrays in one file.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::{
    assemble::{Files, Source},
    error::{DataError, Result},
    read::{self, Block, Kind, Said},
};

/// The stem of the file of class labels, or the name of their array.
const LABELS: &str = "labels";

/// One modality for each file or folder of images in a folder, named by its stem; or for each array
/// of an NPZ or safetensors file.
pub(crate) fn open(path: &Path) -> Result<Files> {
    if path.is_dir() {
        return folder(path);
    }
    match Kind::of(path) {
        Ok(Kind::Npz | Kind::Safetensors) => arrays(path),
        _ => Err(DataError::UnsupportedFile {
            path: path.into(),
            expected: "a folder, a manifest `.toml`, `.npz` or `.safetensors`",
        }),
    }
}

fn folder(path: &Path) -> Result<Files> {
    let mut files: Vec<(String, PathBuf)> =
        read::entries(path)?.into_iter().map(|path| (read::stem(&path), path)).collect();
    files.sort();
    if let Some(pair) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(DataError::DuplicateModality {
            modality: pair[0].0.clone(),
            first: pair[0].1.clone(),
            second: pair[1].1.clone(),
        });
    }
    let labels = files.iter().position(|(name, _)| name == LABELS);
    let labels = labels.map(|place| files.remove(place).1);
    if files.is_empty() {
        let reason = "it has no files of modalities";
        return Err(DataError::EmptyFile { path: path.into(), reason });
    }
    let blocks: Vec<Result<Block>> =
        files.par_iter().map(|(_, path)| read::block(path, Said::default())).collect();
    let sources = files
        .into_iter()
        .zip(blocks)
        .map(|((name, _), block)| Ok(Source { name, block: block?, shape: None, likelihood: None }))
        .collect::<Result<_>>()?;
    let labels = labels.map(|path| read::labels(&path, Said::default())).transpose()?;
    Ok(Files { sources, labels, splits: None })
}

fn arrays(path: &Path) -> Result<Files> {
    let mut labels = None;
    let mut sources = Vec::new();
    for array in read::arrays(path)? {
        let name = array.name.clone();
        if name == LABELS {
            labels = Some(array.labels(path)?);
        } else {
            let block = array.block(&path.join(&name))?;
            sources.push(Source { name, block, shape: None, likelihood: None });
        }
    }
    if sources.is_empty() {
        let reason = "it has no arrays of modalities";
        return Err(DataError::EmptyFile { path: path.into(), reason });
    }
    Ok(Files { sources, labels, splits: None })
}
