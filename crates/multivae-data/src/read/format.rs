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
    mat::Mat,
    name,
    npy::{Npy, Npz},
    only,
    safetensors::Safetensors,
    scipy::Scipy,
    tree,
    volume::{Bids, Nifti, Volumes},
};
#[cfg(feature = "arrow")]
use super::{feather, parquet};
use crate::{
    assemble::Files,
    error::{DataError, Result},
    folder,
    reading::Reading,
};

/// The formats that are read. A path is of the first that says so.
static FORMATS: &[&dyn Format] = &[
    &Npy,
    &Scipy,
    &Npz,
    &Csv,
    PARQUET,
    ARROW,
    EXCEL,
    &JsonLines,
    &Safetensors,
    &Idx,
    HDF5,
    ZARR,
    &Mat,
    &Nifti,
    &Bids,
    &Volumes,
    &Images,
];

#[cfg(feature = "hdf5")]
const HDF5: &dyn Format = &tree::hdf5::FORMAT;
#[cfg(not(feature = "hdf5"))]
const HDF5: &dyn Format =
    &Absent { name: tree::HDF5, called: tree::HDF5_FILES, feature: "hdf5", is: tree::is_hdf5 };

#[cfg(feature = "zarr")]
const ZARR: &dyn Format = &tree::zarr::FORMAT;
#[cfg(not(feature = "zarr"))]
const ZARR: &dyn Format =
    &Absent { name: tree::ZARR, called: tree::ZARR_FILES, feature: "zarr", is: tree::is_zarr };

#[cfg(feature = "arrow")]
const PARQUET: &dyn Format = &parquet::FORMAT;
#[cfg(not(feature = "arrow"))]
const PARQUET: &dyn Format =
    &Absent { name: "Parquet", called: "`.parquet`", feature: "arrow", is: is_parquet };

#[cfg(feature = "arrow")]
const ARROW: &dyn Format = &feather::FORMAT;
#[cfg(not(feature = "arrow"))]
const ARROW: &dyn Format =
    &Absent { name: "Arrow", called: "`.arrow`, `.feather`", feature: "arrow", is: is_arrow };

#[cfg(feature = "excel")]
const EXCEL: &dyn Format = &Excel;
#[cfg(not(feature = "excel"))]
const EXCEL: &dyn Format =
    &Absent { name: "Excel", called: "`.xlsx`, `.ods`", feature: "excel", is: is_workbook };

/// Whether a file is called as Parquet files are.
pub(super) fn is_parquet(path: &Path) -> bool {
    ends(path, &["parquet", "pq"], false)
}

/// Whether a file is called as those of Arrow are.
pub(super) fn is_arrow(path: &Path) -> bool {
    ends(path, &["arrow", "feather", "ipc", "arrows"], false)
}

/// Whether a file is called as workbooks are.
pub(super) fn is_workbook(path: &Path) -> bool {
    ends(path, &["xlsx", "xlsm", "xlsb", "xls", "ods"], false)
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Columns with names, which can hold identifiers, classes and splits.
    Table,
    /// One array of numbers.
    Array,
    /// Several arrays by name, of which a manifest can name one by `array`.
    Arrays,
    /// Several arrays by name, beside a table of what is known of the rows.
    Annotated,
    /// Images, one for each row.
    Images,
    /// Volumes, one for each row.
    Volumes,
    /// What this build cannot read.
    #[allow(dead_code, reason = "a build with every feature has none")]
    Absent,
}

impl Content {
    /// Whether a file holds arrays of which one can be named. What cannot be read could.
    pub(crate) fn has_arrays(self) -> bool {
        matches!(self, Self::Arrays | Self::Annotated | Self::Absent)
    }

    /// Whether a file holds columns of which one can be named. What cannot be read could.
    pub(crate) fn has_columns(self) -> bool {
        matches!(self, Self::Table | Self::Annotated | Self::Absent)
    }
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
        self.content().has_arrays()
    }

    /// Whether its modalities are volumes, of which slices can be taken.
    fn is_volumes(&self) -> bool {
        self.content() == Content::Volumes
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

#[allow(dead_code, reason = "a build with every feature has none")]
impl Absent {
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
    let found = FORMATS.iter().copied().find(|format| format.is(path));
    found.ok_or_else(|| DataError::UnsupportedFile { path: path.into(), expected: called() })
}

/// How the files of all formats are called.
pub(crate) fn called() -> &'static str {
    static CALLED: LazyLock<String> = LazyLock::new(|| {
        let called: Vec<_> = FORMATS.iter().map(|format| format.called()).collect();
        let (last, others) = called.split_last().expect("there are formats");
        format!("{} or {last}", others.join(", "))
    });
    &CALLED
}

/// Refuses what is no data set of several modalities.
pub(crate) fn not_a_source(path: &Path) -> DataError {
    static SOURCES: LazyLock<String> = LazyLock::new(|| {
        let several = FORMATS.iter().filter(|format| format.content().has_arrays());
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
    end.is_some_and(|end| ends.contains(&end)) && !path.is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_are_refused_with_those_that_are_read() {
        // DICOM is not read: scans are converted to NIfTI by other programs.
        for path in ["a", "a.npy.gz", "a.gz", "a.pt", "a.dcm"] {
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
