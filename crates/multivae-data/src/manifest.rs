//! Data as a manifest describes it.
//!
//! ```toml
//! [[modality]]
//! name = "scan"                            # in batches, files and parameters
//! file = "scans"                           # relative to the manifest; a folder of images
//! shape = [1, 64, 64]                      # optional: as in the file
//! likelihood = { kind = "bernoulli" }      # optional: see below
//!
//! [[modality]]
//! name = "genes"
//! file = "genes.csv"
//! id = "sample"                            # optional: the column of identifiers, else `id`
//!
//! [[modality]]
//! name = "proteins"
//! file = "arrays.npz"
//! array = "proteins"                       # of a file with several
//!
//! [labels]                                 # optional
//! file = "clinical.csv"
//! column = "stage"                         # of a table with several
//! id = "sample"
//!
//! [splits]                                 # optional: lists of row numbers or identifiers, or
//! file = "clinical.csv"                    # a column of `train`, `valid` and `test`
//! column = "split"
//! id = "sample"
//! ```

use std::path::{Path, PathBuf};

use multivae_core::distribution::Likelihood;
use rayon::prelude::*;
use serde::Deserialize;

use crate::{
    assemble::{Files, Fixed, Part, RowName, Source},
    error::{DataError, Result},
    read::{self, Block, Kind, Said, csv},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    modality: Vec<ModalityEntry>,
    labels: Option<LabelsEntry>,
    splits: Option<SplitsEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModalityEntry {
    name: String,
    file: PathBuf,
    array: Option<String>,
    id: Option<String>,
    shape: Option<Vec<usize>>,
    likelihood: Option<Likelihood>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelsEntry {
    file: PathBuf,
    array: Option<String>,
    column: Option<String>,
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitsEntry {
    file: Option<PathBuf>,
    column: Option<String>,
    id: Option<String>,
    train: Option<Vec<RowName>>,
    valid: Option<Vec<RowName>>,
    test: Option<Vec<RowName>>,
}

/// Reads a manifest and the files that it names.
pub(crate) fn open(path: &Path) -> Result<Files> {
    let bytes = read::bytes(path)?;
    let bad = |line: Option<usize>, reason: String| DataError::Manifest {
        path: path.into(),
        line: line.map(|line| format!(", line {line}")).unwrap_or_default(),
        reason,
    };
    let text = str::from_utf8(&bytes).map_err(|_| bad(None, "it is not UTF-8".into()))?;
    let Manifest { modality, labels, splits } = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        bad(line, error.message().into())
    })?;
    if modality.is_empty() {
        return Err(bad(None, "it has no `[[modality]]`".into()));
    }
    for (place, entry) in modality.iter().enumerate() {
        if let Some(other) = modality[..place].iter().find(|other| other.name == entry.name) {
            return Err(DataError::DuplicateModality {
                modality: entry.name.clone(),
                first: other.file.clone(),
                second: entry.file.clone(),
            });
        }
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let blocks: Vec<Result<Block>> = modality
        .par_iter()
        .map(|ModalityEntry { name, file, array, id, .. }| {
            let field = format!("modality `{name}`");
            let file = folder.join(file);
            check_said(&file, &field, array, id, &None, &bad)?;
            read::block(&file, Said { array: array.as_deref(), column: None, id: id.as_deref() })
        })
        .collect();
    let sources = modality
        .into_iter()
        .zip(blocks)
        .map(|(ModalityEntry { name, shape, likelihood, .. }, block)| {
            Ok(Source { name, block: block?, shape, likelihood })
        })
        .collect::<Result<_>>()?;
    let labels = labels
        .map(|LabelsEntry { file, array, column, id }| {
            let file = folder.join(file);
            check_said(&file, "`labels`", &array, &id, &column, &bad)?;
            let said =
                Said { array: array.as_deref(), column: column.as_deref(), id: id.as_deref() };
            read::labels(&file, said)
        })
        .transpose()?;
    let splits = splits.map(|splits| fixed(path, folder, splits, &bad)).transpose()?;
    Ok(Files { sources, labels, splits })
}

/// Refuses what a file of its kind does not have.
fn check_said(
    file: &Path,
    entry: &str,
    array: &Option<String>,
    id: &Option<String>,
    column: &Option<String>,
    bad: &impl Fn(Option<usize>, String) -> DataError,
) -> Result<()> {
    let kind = Kind::of(file)?;
    let table = kind == Kind::Csv;
    let arrays = matches!(kind, Kind::Npz | Kind::Safetensors);
    for (field, given, has) in [
        ("array", array.is_some(), arrays),
        ("id", id.is_some(), table),
        ("column", column.is_some(), table),
    ] {
        if given && !has {
            let reason = format!("{entry}: `{field}` is given, and `{}` has none", file.display());
            return Err(bad(None, reason));
        }
    }
    Ok(())
}

fn fixed(
    path: &Path,
    folder: &Path,
    entry: SplitsEntry,
    bad: &impl Fn(Option<usize>, String) -> DataError,
) -> Result<Fixed> {
    match entry {
        SplitsEntry { file: Some(file), column, id, train: None, valid: None, test: None } => {
            let file = folder.join(file);
            if Kind::of(&file)? != Kind::Csv {
                let expected = "a table of splits, `.csv` or `.csv.gz`";
                return Err(DataError::UnsupportedFile { path: file, expected });
            }
            let said = Said { array: None, column: column.as_deref(), id: id.as_deref() };
            let csv::Column { name, ids, cells } = csv::column(&file, said)?;
            let part = |(line, cell): (u64, String)| match cell.as_str() {
                "train" => Ok(Part::Train),
                "valid" => Ok(Part::Valid),
                "test" => Ok(Part::Test),
                _ => Err(DataError::Cell {
                    path: file.clone(),
                    line,
                    column: name.clone(),
                    expected: "`train`, `valid` or `test`",
                    found: cell,
                }),
            };
            let parts = cells.into_iter().map(part).collect::<Result<_>>()?;
            Ok(Fixed::Column { path: file, ids, parts })
        }
        SplitsEntry { file: None, column: None, id: None, train: Some(train), valid, test } => {
            Ok(Fixed::Lists {
                path: path.into(),
                train,
                valid: valid.unwrap_or_default(),
                test: test.unwrap_or_default(),
            })
        }
        _ => Err(bad(
            None,
            "`splits`: expected either `file` or the lists `train`, `valid`, `test`".into(),
        )),
    }
}
