//! Data sets that the field publishes its results on, as they are distributed: `NAME:PATH`.
//!
//! A set is a file in this folder and a line in [`research()`]. Rows that a set gives for training are
//! those of the training split but for every tenth, by which the best epoch is chosen; those that it
//! gives to test are the test split.

use std::path::Path;

use multivae_core::schema::Dtype;

use crate::{
    assemble::{Files, Fixed, RowName, Source},
    error::{DataError, Place, Result},
    read::{self, Array, Ids, LabelFile, Labels, ModalityTable, Numbers, ReadOptions, TextTable},
    reading::Reading,
    report::Warning,
    storage::Storage,
};

mod cdsprites;
mod celeba;
mod cub;
mod download;
mod make;
mod mhd;
mod mnist_labels;
mod mnist_svhn;
mod polymnist;

pub use download::{Checksum, Download};
pub use make::{MakeConfig, Making};

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
    /// Rows for training and rows to test of the set as it was published, if that is known.
    pub published: Option<[usize; 2]>,
    open: fn(&ResearchSet, &Path, Reading) -> Result<Files>,
}

/// The published data sets that are read as they are distributed.
pub fn research() -> &'static [ResearchSet] {
    &[
        ResearchSet {
            name: "polymnist",
            about: "PolyMNIST, or its translated form: images of one digit on photographs, 3x28x28",
            layout: "train/m0/INDEX.DIGIT.png .. and test/m0/INDEX.DIGIT.png .., or train/m0.pt .., \
                     labels.pt and these of test, or a folder MMNIST of either",
            published: Some([60_000, 10_000]),
            open: polymnist::open,
        },
        ResearchSet {
            name: "mnist-labels",
            about: "MNIST, 1x28x28, and its labels, one-hot of 10",
            layout: "train-images-idx3-ubyte, train-labels-idx1-ubyte and both of t10k, each also `.gz`",
            published: Some([60_000, 10_000]),
            open: mnist_labels::open,
        },
        ResearchSet {
            name: "mnist-svhn",
            about: "pairs of one digit of MNIST, 1x28x28, and of SVHN, 3x32x32",
            layout: "the files of mnist-labels, or MNIST/raw with them, beside train_32x32.mat and \
                     test_32x32.mat",
            published: Some([280_340, 50_000]),
            open: mnist_svhn::open,
        },
        ResearchSet {
            name: "mnist-svhn-text",
            about: "the same, and the name of the digit in 8 characters",
            layout: "the files of mnist-svhn",
            published: Some([280_340, 50_000]),
            open: mnist_svhn::open_with_text,
        },
        ResearchSet {
            name: "cub",
            about: "CUB: photographs of birds, 3x64x64, and captions of up to 32 words, ten of each",
            layout: "text_trainvalclasses.txt, text_testclasses.txt, train/CLASS/*.jpg and \
                     test/CLASS/*.jpg, or a folder cub with them",
            published: Some([88_550, 29_330]),
            open: cub::open,
        },
        ResearchSet {
            name: "celeba",
            about: "CelebA: faces, 3x64x64, and 18 attributes that can be seen",
            layout: "img_align_celeba/*.jpg, list_attr_celeba.txt and list_eval_partition.txt, or a \
                     folder celeba with them",
            published: Some([182_637, 19_962]),
            open: celeba::open,
        },
        ResearchSet {
            name: "celeba-40",
            about: "the same with all 40 attributes",
            layout: "the files of celeba",
            published: Some([182_637, 19_962]),
            open: celeba::open_all,
        },
        ResearchSet {
            name: "mhd",
            about: "MHD: a digit as image, 1x28x28, as pen trajectory, as sound, 1x32x96, and as label",
            layout: "mhd_train.pt and mhd_test.pt",
            published: None,
            open: mhd::open,
        },
        ResearchSet {
            name: "cdsprites",
            about: "CdSprites+: images of shapes, 3x64x64, and captions",
            layout: "traindata.h5, and testdata.h5 if there is one",
            published: None,
            open: cdsprites::open,
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
        (self.open)(self, path, reading)
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

/// Numbered identifiers of the rows for training and of those to test.
fn numbered(training: usize, test: usize) -> Vec<String> {
    let of = |split: &str, rows: usize| {
        (0..rows).map(|row| format!("{split}/{row}")).collect::<Vec<_>>()
    };
    [of("train", training), of("test", test)].concat()
}

/// The same block with these identifiers of its rows.
fn known(mut block: ModalityTable, ids: &[String]) -> ModalityTable {
    let reason = "rows are numbered by the files".to_owned();
    block.ids = Some(Ids { column: None, reason, ids: ids.to_vec() });
    block
}

/// A tensor of shares of white as images: bytes if all are such shares, which takes a quarter of the
/// memory and is what the same images are as PNG.
fn shares(path: &Path, array: Array) -> Result<ModalityTable> {
    let Array { name, shape, dtype, numbers } = array;
    let byte = |value: &f32| {
        let byte = (value * 255.0).round();
        ((0.0..=255.0).contains(&byte) && byte / 255.0 == *value).then_some(byte as u8)
    };
    let bytes = match &numbers {
        Numbers::Floats(values) if shape.len() == 4 => values.iter().map(byte).collect(),
        _ => None,
    };
    match bytes {
        Some(bytes) => {
            Array { name, shape, dtype: Dtype::U8, numbers: Numbers::Bytes(bytes) }.block(path)
        }
        None => Array { name, shape, dtype, numbers }.block(path),
    }
}

/// Whole numbers of a tensor, one for each row.
fn whole(set: &ResearchSet, path: &Path, array: Array) -> Result<Vec<i64>> {
    let rows = array.shape.first().copied().unwrap_or(0);
    let found = format!("{} of shape {:?} in `{}`", array.name, array.shape, read::name(path));
    if array.shape.iter().product::<usize>() != rows {
        return Err(set.other(path, found));
    }
    match array.labels(path, ReadOptions::default())? {
        Labels { values, names: None, .. } => {
            values.into_iter().collect::<Option<_>>().ok_or_else(|| set.other(path, found))
        }
        Labels { names: Some(_), .. } => Err(set.other(path, found)),
    }
}

/// One-hot values of ten digits.
fn one_hot(set: &ResearchSet, path: &Path, labels: &[i64], at: &Path) -> Result<ModalityTable> {
    if let Some(label) = labels.iter().find(|label| !(0..10).contains(*label)) {
        return Err(set.other(path, format!("a label {label}")));
    }
    let values = labels
        .iter()
        .flat_map(|&label| (0..10).map(move |class| f32::from(u8::from(class == label))))
        .collect();
    ModalityTable::of_values(at, vec![10], Storage::Floats(values), None, Dtype::U8)
}

/// Which rows are for training, for the choice of the best epoch, and to test.
enum Parts {
    /// The first so many are for training but for every tenth, the others to test.
    First(usize),
    /// These.
    Rows([Vec<usize>; 3]),
    /// None is said.
    Free,
}

/// A set of modalities with the identifiers and classes of their rows.
fn files(
    set: &ResearchSet,
    path: &Path,
    sources: Vec<Source>,
    (ids, classes): (Vec<String>, Option<Vec<String>>),
    parts: Parts,
    reading: Reading,
) -> Files {
    let rows = ids.len();
    let parts = match parts {
        Parts::First(training) => {
            let (valid, train) = (0..training).partition(|row| row % 10 == 9);
            Some([train, valid, (training..rows).collect()])
        }
        Parts::Rows(parts) => Some(parts),
        Parts::Free => None,
    };
    let mut notes = Vec::new();
    if let (Some(published), Some([train, valid, test])) = (set.published, &parts) {
        let found = [train.len() + valid.len(), test.len()];
        if found != published {
            notes.push(Warning::new(
                format!("`{}`", set.name),
                format!(
                    "{} rows are for training and {} to test; the published set has {} and {}",
                    found[0], found[1], published[0], published[1]
                ),
                "results are not those of the published set unless this is meant",
            ));
        }
    }
    let of = |rows: Vec<usize>| {
        rows.into_iter().map(|row| RowName::Id(ids[row].clone())).collect::<Vec<_>>()
    };
    let splits = parts.map(|[train, valid, test]| Fixed::Lists {
        path: path.into(),
        train: of(train),
        valid: of(valid),
        test: of(test),
    });
    let labels = classes.map(|classes| {
        LabelFile::Table(TextTable {
            path: path.into(),
            places: (0..rows).map(|row| Place::Row(row as u64)).collect(),
            columns: vec![("id".into(), ids), ("class".into(), classes)],
            named: true,
            id: Some(0),
            wanted: Some(1),
            notes: Vec::new(),
        })
    });
    let label_codes = reading.codes_of_labels();
    Files { sources, labels, label_codes, splits, notes, rows: None }
}
