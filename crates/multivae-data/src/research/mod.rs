//! Data sets that the field publishes its results on, as they are distributed: `NAME:PATH`.
//!
//! A set is a file in this folder and a line in [`research()`]. Rows that a set gives for training are
//! those of the training split but for every tenth, by which the best epoch is chosen; those that it
//! gives to test are the test split.

use std::path::Path;

use crate::{
    assemble::{Files, Fixed, RowName, Source},
    error::{DataError, Place, Result},
    read::{LabelFile, ModalityTable, TextTable},
    reading::Reading,
    storage::Storage,
};

mod mnist_labels;
mod polymnist;

/// A published data set.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ResearchSet {
    /// Its name before the path in [`crate::DataConfig::source`].
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// What lies at the path.
    pub layout: &'static str,
    open: fn(&Path, Reading) -> Result<Files>,
}

/// The published data sets that are read as they are distributed.
pub fn research() -> &'static [ResearchSet] {
    &[
        ResearchSet {
            name: "polymnist",
            about: "PolyMNIST, or its translated form: images of one digit on photographs, 3x28x28",
            layout: "train/m0/INDEX.DIGIT.png .. and test/m0/INDEX.DIGIT.png .., or a folder MMNIST of these",
            open: polymnist::open,
        },
        ResearchSet {
            name: "mnist-labels",
            about: "MNIST, 1x28x28, and its labels, one-hot of 10",
            layout: "train-images-idx3-ubyte, train-labels-idx1-ubyte and both of t10k, each also `.gz`",
            open: mnist_labels::open,
        },
    ]
}

/// The set and the path of a source `NAME:PATH`; `None` of another source.
pub(crate) fn of(source: &str) -> Option<(&'static ResearchSet, &Path)> {
    let (name, path) = source.split_once(':')?;
    research().iter().find(|set| set.name == name).map(|set| (set, Path::new(path)))
}

impl ResearchSet {
    /// Its files.
    pub(crate) fn open(&self, path: &Path, reading: Reading) -> Result<Files> {
        if !path.exists() {
            let cause = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(DataError::Read { path: path.into(), cause });
        }
        (self.open)(path, reading)
    }

    /// The error of a path at which something else lies.
    fn other(&self, path: &Path, found: impl Into<String>) -> DataError {
        DataError::Shape {
            modality: self.name.into(),
            path: path.into(),
            expected: self.layout.into(),
            found: found.into(),
        }
    }
}

/// The rows of one file after those of another.
fn joined(first: ModalityTable, second: ModalityTable) -> Result<ModalityTable> {
    if first.shape != second.shape {
        return Err(DataError::Shape {
            modality: crate::read::name(&second.path),
            path: second.path,
            expected: format!("{:?}, as in `{}`", first.shape, first.path.display()),
            found: format!("{:?}", second.shape),
        });
    }
    let values = match (first.values, second.values) {
        (Storage::Bytes(a), Storage::Bytes(b)) => Storage::Bytes([a, b].concat()),
        (a, b) => {
            let mut values = vec![0.0; a.len() + b.len()];
            let (of_a, of_b) = values.split_at_mut(a.len());
            a.read(0, of_a)?;
            b.read(0, of_b)?;
            Storage::Floats(values)
        }
    };
    let rows = first.rows + second.rows;
    let notes = [first.notes, second.notes].concat();
    Ok(ModalityTable { rows, values, ids: None, notes, ..first })
}

/// A set of modalities with the identifiers and classes of their rows, of which the first `training`
/// are for training.
fn files(
    path: &Path,
    sources: Vec<Source>,
    ids: Vec<String>,
    classes: Vec<String>,
    training: usize,
    reading: Reading,
) -> Files {
    let of = |rows: &mut dyn Iterator<Item = usize>| {
        rows.map(|row| RowName::Id(ids[row].clone())).collect::<Vec<_>>()
    };
    let splits = Fixed::Lists {
        path: path.into(),
        train: of(&mut (0..training).filter(|row| row % 10 != 9)),
        valid: of(&mut (0..training).filter(|row| row % 10 == 9)),
        test: of(&mut (training..ids.len())),
    };
    let labels = TextTable {
        path: path.into(),
        places: (0..ids.len()).map(|row| Place::Row(row as u64)).collect(),
        columns: vec![("id".into(), ids), ("class".into(), classes)],
        named: true,
        id: Some(0),
        wanted: Some(1),
        notes: Vec::new(),
    };
    Files {
        sources,
        labels: Some(LabelFile::Table(labels)),
        label_codes: reading.codes_of_labels(),
        splits: Some(splits),
        notes: Vec::new(),
        rows: None,
    }
}
