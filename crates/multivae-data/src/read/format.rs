//! Formats of files.
//!
//! A format is a file in this folder that implements [`Format`], and a line in [`FORMATS`].

use std::{path::Path, sync::LazyLock};

#[cfg(feature = "excel")]
use super::excel::Excel;
use super::{
    Array, LabelFile, ModalityTable, ReadOptions, TextTable,
    csv::Csv,
    idx::Idx,
    image::Images,
    lines::JsonLines,
    name,
    npy::{Npy, Npz},
    only,
    safetensors::Safetensors,
};
#[cfg(feature = "arrow")]
use super::{feather::Feather, parquet::Parquet};
use crate::{
    assemble::Files,
    error::{DataError, Result},
    folder,
    reading::Reading,
};

/// The formats that are read. A path is of the first that says so.
static FORMATS: &[&dyn Format] = &[
    &Npy,
    &Npz,
    &Csv,
    #[cfg(feature = "arrow")]
    &Parquet,
    #[cfg(not(feature = "arrow"))]
    &Absent::new("Parquet", "`.parquet`", "arrow", |path| ends(path, PARQUET, false)),
    #[cfg(feature = "arrow")]
    &Feather,
    #[cfg(not(feature = "arrow"))]
    &Absent::new("Arrow", "`.arrow`, `.feather`", "arrow", |path| ends(path, ARROW, false)),
    #[cfg(feature = "excel")]
    &Excel,
    #[cfg(not(feature = "excel"))]
    &Absent::new("Excel", "`.xlsx`, `.ods`", "excel", |path| ends(path, EXCEL, false)),
    &JsonLines,
    &Safetensors,
    &Idx,
    &Images,
];

/// How files of formats behind a feature end.
pub(super) const PARQUET: &[&str] = &["parquet", "pq"];
pub(super) const ARROW: &[&str] = &["arrow", "feather", "ipc", "arrows"];
pub(super) const EXCEL: &[&str] = &["xlsx", "xlsm", "xlsb", "xls", "ods"];

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Columns with names, which can hold identifiers, classes and splits.
    Table,
    /// One array of numbers.
    Array,
    /// Several arrays by name, of which a manifest can name one by `array`.
    Arrays,
    /// Images, one for each row.
    Images,
    /// What this build cannot read.
    Absent,
}

/// Files of one format.
///
/// What a format does not do itself follows from its arrays, or from its text if it is a table.
pub(crate) trait Format: Sync {
    /// Its name in messages.
    fn name(&self) -> &'static str;

    /// How its files are called, in a list of formats.
    fn called(&self) -> &'static str;

    /// What its files hold.
    fn content(&self) -> Content;

    /// Whether a file or folder is of this format.
    fn is(&self, path: &Path) -> bool;

    /// Whether a first line of its files can name the columns, or be a row.
    fn has_header(&self) -> bool {
        false
    }

    /// Whether a file can hold several arrays or tables, of which a manifest names one.
    fn has_parts(&self) -> bool {
        self.content() == Content::Arrays
    }

    /// All arrays of a file.
    fn arrays(&self, path: &Path) -> Result<Vec<Array>> {
        Err(DataError::UnsupportedFile { path: path.into(), expected: "a file of arrays" })
    }

    /// All cells of a table as text.
    fn text(&self, path: &Path, _said: ReadOptions) -> Result<TextTable> {
        Err(DataError::UnsupportedFile { path: path.into(), expected: "a table" })
    }

    /// The values of one modality.
    fn block(&self, path: &Path, said: ReadOptions) -> Result<ModalityTable> {
        only(path, self.arrays(path)?, said.array)?.block(path)
    }

    /// Class labels.
    fn labels(&self, path: &Path, said: ReadOptions) -> Result<LabelFile> {
        if self.content() == Content::Table {
            return Ok(LabelFile::Table(self.text(path, said)?.without_codes(said)));
        }
        let array = only(path, self.arrays(path)?, said.array)?;
        Ok(LabelFile::Values(array.labels(path, said)?))
    }

    /// All modalities of a file of several.
    fn files(&self, path: &Path, reading: Reading) -> Result<Files> {
        match self.content() {
            Content::Arrays => folder::arrays(path, self.arrays(path)?, reading),
            _ => Err(not_a_source(path)),
        }
    }
}

/// A format that this build of the library was made without, so that its files are known for what
/// they are.
#[allow(dead_code, reason = "a build with every feature has none")]
pub(crate) struct Absent {
    pub(crate) name: &'static str,
    pub(crate) called: &'static str,
    /// The feature of this crate that reads it.
    pub(crate) feature: &'static str,
    pub(crate) is: fn(&Path) -> bool,
}

impl Absent {
    #[allow(dead_code, reason = "a build with every feature has none")]
    pub(crate) const fn new(
        name: &'static str,
        called: &'static str,
        feature: &'static str,
        is: fn(&Path) -> bool,
    ) -> Self {
        Self { name, called, feature, is }
    }

    fn error<T>(&self, path: &Path) -> Result<T> {
        let Self { name, feature, .. } = *self;
        Err(DataError::Feature { path: path.into(), format: name, feature })
    }
}

impl Format for Absent {
    fn name(&self) -> &'static str {
        self.name
    }

    fn called(&self) -> &'static str {
        self.called
    }

    fn content(&self) -> Content {
        Content::Absent
    }

    fn is(&self, path: &Path) -> bool {
        (self.is)(path)
    }

    fn arrays(&self, path: &Path) -> Result<Vec<Array>> {
        self.error(path)
    }

    fn text(&self, path: &Path, _said: ReadOptions) -> Result<TextTable> {
        self.error(path)
    }

    fn files(&self, path: &Path, _reading: Reading) -> Result<Files> {
        self.error(path)
    }
}

/// The format of a file or folder.
pub(crate) fn of(path: &Path) -> Result<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.is(path)).ok_or_else(|| {
        static CALLED: LazyLock<String> = LazyLock::new(|| {
            let called: Vec<_> = FORMATS.iter().map(|format| format.called()).collect();
            let (last, others) = called.split_last().expect("there are formats");
            format!("{} or {last}", others.join(", "))
        });
        DataError::UnsupportedFile { path: path.into(), expected: &CALLED }
    })
}

/// Refuses what is no data set of several modalities.
pub(crate) fn not_a_source(path: &Path) -> DataError {
    static SOURCES: LazyLock<String> = LazyLock::new(|| {
        let several = FORMATS.iter().filter(|format| format.content() == Content::Arrays);
        let called: Vec<_> = several.map(|format| format.called()).collect();
        format!("a folder, a manifest `.toml`, or a file of several arrays: {}", called.join(", "))
    });
    DataError::UnsupportedFile { path: path.into(), expected: &SOURCES }
}

/// Whether a file's name ends with a point and one of `ends`, in any case; if `packed`, also with
/// `.gz` after it.
pub(super) fn ends(path: &Path, ends: &[&str], packed: bool) -> bool {
    let name = name(path).to_ascii_lowercase();
    let plain = if packed { name.strip_suffix(".gz").unwrap_or(&name) } else { &name };
    let end = plain.rsplit_once('.').map(|(_, end)| end);
    !path.is_dir() && end.is_some_and(|end| ends.contains(&end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_are_refused_with_those_that_are_read() {
        for path in ["a", "a.npy.gz", "a.gz", "a.pt"] {
            let error = of(Path::new(path)).err().expect("not read").to_string();
            assert!(error.starts_with(&format!("`{path}`: expected `.npy`, ")), "{error}");
            assert!(error.contains(" or a folder of "), "{error}");
        }
    }

    #[test]
    fn a_format_of_another_build_is_refused_with_the_feature_that_reads_it() {
        let format = Absent {
            name: "HDF5",
            called: "`.h5`",
            feature: "hdf5",
            is: |path| ends(path, &["h5"], false),
        };
        let path = Path::new("a.h5");
        assert!(format.is(path) && !format.is(Path::new("a.csv")));
        let expected = "`a.h5` is a file of HDF5, which this build does not read: build \
                        `multivae-data` with the feature `hdf5`";
        for error in [
            format.block(path, ReadOptions::default()).err(),
            format.labels(path, ReadOptions::default()).err(),
            format.text(path, ReadOptions::default()).err(),
            format.files(path, Reading::default()).err(),
        ] {
            assert_eq!(error.expect("not read").to_string(), expected);
        }
    }

    #[test]
    fn the_end_of_a_name_says_the_format_in_any_case() {
        for (path, expected) in [
            ("a.NPY", "NPY"),
            ("a.npz", "NPZ"),
            ("a.b.csv.gz", "CSV"),
            ("a.TSV", "CSV"),
            ("a.safetensors", "safetensors"),
            ("train-images-idx3-ubyte.gz", "IDX"),
            ("a.jsonl.gz", "JSON lines"),
            ("a.Parquet", "Parquet"),
            ("a.feather", "Arrow"),
            ("a.xlsx", "Excel"),
            ("a.ods", "Excel"),
        ] {
            assert_eq!(of(Path::new(path)).expect("known").name(), expected);
        }
    }
}
