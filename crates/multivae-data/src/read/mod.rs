//! Reading files.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use crate::{
    error::{DataError, Result, list},
    memory::Storage,
};

pub(crate) mod csv;
mod idx;
mod image;
mod npy;
mod safetensors;

/// The kinds of files that are read.
pub(crate) const KINDS: &str = "`.npy`, `.npz`, `.csv`, `.csv.gz`, `.safetensors`, `.idx`, `-ubyte` \
     (IDX, also `.gz`) or a folder of `.png` or `.jpg` images";

/// The values of one modality.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) path: PathBuf,
    /// Identifiers of the rows.
    pub(crate) ids: Option<Vec<String>>,
    /// Shape of one row.
    pub(crate) shape: Vec<usize>,
    /// Row by row; 0 where a row is missing.
    pub(crate) values: Storage,
    /// Rows with NaN or an empty cell.
    pub(crate) missing: Vec<bool>,
}

/// Class labels.
#[derive(Debug)]
pub(crate) struct Labels {
    pub(crate) path: PathBuf,
    pub(crate) ids: Option<Vec<String>>,
    pub(crate) values: Vec<i64>,
    /// Names of the classes, if labels are not whole numbers.
    pub(crate) names: Option<Vec<String>>,
}

/// What is said about a file beside its path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said<'a> {
    /// Name of the array in a file of several.
    pub(crate) array: Option<&'a str>,
    /// Name of the column of a table that is wanted.
    pub(crate) column: Option<&'a str>,
    /// Name of the column of identifiers.
    pub(crate) id: Option<&'a str>,
}

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Npy,
    Npz,
    Csv,
    Safetensors,
    Idx,
    Images,
}

impl Kind {
    /// By the name of the file; of a folder, images.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Ok(Self::Images);
        }
        let name = name(path).to_ascii_lowercase();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        let zipped = plain.len() < name.len();
        match plain.rsplit_once('.').map(|(_, extension)| extension) {
            Some("npy") if !zipped => Ok(Self::Npy),
            Some("npz") if !zipped => Ok(Self::Npz),
            Some("csv") => Ok(Self::Csv),
            Some("safetensors") if !zipped => Ok(Self::Safetensors),
            Some("idx") => Ok(Self::Idx),
            _ if plain.ends_with("-ubyte") => Ok(Self::Idx),
            _ => Err(DataError::UnsupportedFile { path: path.into(), expected: KINDS }),
        }
    }
}

/// Numbers of a file, in the form in which they are stored.
#[derive(Debug)]
pub(crate) enum Numbers {
    Floats(Vec<f32>),
    Bytes(Vec<u8>),
    Integers(Vec<i64>),
}

/// An array with its rows as the first axis.
#[derive(Debug)]
pub(crate) struct Array {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) numbers: Numbers,
}

/// Name of the modality of a file: the file's name without its extensions.
pub(crate) fn stem(path: &Path) -> String {
    let name = name(path);
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    let plain = plain.strip_suffix("-ubyte").unwrap_or(plain);
    let idx = plain.rsplit_once("-idx").filter(|(_, n)| n.bytes().all(|b| b.is_ascii_digit()));
    if let Some((stem, _)) = idx {
        return stem.into();
    }
    let dot = if path.is_dir() { None } else { plain.rsplit_once('.') };
    dot.map_or(plain, |(stem, _)| stem).into()
}

/// The values of one modality in a file or a folder of images.
pub(crate) fn block(path: &Path, said: Said) -> Result<Block> {
    match Kind::of(path)? {
        Kind::Csv => csv::block(path, said.id),
        Kind::Images => image::block(path),
        Kind::Npy | Kind::Npz | Kind::Safetensors | Kind::Idx => one(path, said.array)?.block(path),
    }
}

/// All arrays of a file.
pub(crate) fn arrays(path: &Path) -> Result<Vec<Array>> {
    let bytes = bytes(path)?;
    match Kind::of(path)? {
        Kind::Npy => Ok(vec![npy::npy(path, &stem(path), &bytes)?]),
        Kind::Npz => npy::npz(path, bytes),
        Kind::Safetensors => safetensors::arrays(path, &bytes),
        Kind::Idx => Ok(vec![idx::array(path, &bytes)?]),
        Kind::Csv | Kind::Images => {
            Err(DataError::UnsupportedFile { path: path.into(), expected: "a file of arrays" })
        }
    }
}

/// Class labels in a file.
pub(crate) fn labels(path: &Path, said: Said) -> Result<Labels> {
    match Kind::of(path)? {
        Kind::Csv => csv::labels(path, said),
        Kind::Npy | Kind::Npz | Kind::Safetensors | Kind::Idx => {
            one(path, said.array)?.labels(path)
        }
        Kind::Images => {
            Err(DataError::UnsupportedFile { path: path.into(), expected: "a file of labels" })
        }
    }
}

/// The only array of a file, or the named one.
fn one(path: &Path, name: Option<&str>) -> Result<Array> {
    let mut arrays = arrays(path)?;
    let place = match name {
        Some(name) => arrays.iter().position(|array| array.name == name),
        None => (arrays.len() == 1).then_some(0),
    };
    match place {
        Some(place) => Ok(arrays.swap_remove(place)),
        None => Err(DataError::Array {
            path: path.into(),
            expected: match name {
                Some(name) => format!("an array `{name}`"),
                None => "one array, or the name of one in a manifest".into(),
            },
            found: list(arrays.iter().map(|array| &array.name)),
        }),
    }
}

/// The contents of a file, unpacked if it ends in `.gz`.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>> {
    let read = |cause| DataError::Read { path: path.into(), cause };
    let bytes = fs::read(path).map_err(read)?;
    if bytes.is_empty() {
        return Err(DataError::EmptyFile { path: path.into(), reason: "it has no bytes" });
    }
    if path.extension() != Some(OsStr::new("gz")) {
        return Ok(bytes);
    }
    let mut out = Vec::new();
    MultiGzDecoder::new(&bytes[..]).read_to_end(&mut out).map_err(|cause| {
        DataError::Malformed { path: path.into(), format: "gzip", reason: cause.to_string() }
    })?;
    if out.is_empty() {
        return Err(DataError::EmptyFile { path: path.into(), reason: "it unpacks to no bytes" });
    }
    Ok(out)
}

/// What lies in a folder, by name, but for hidden files.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = |cause| DataError::Read { path: folder.into(), cause };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if !name(&path).starts_with('.') {
            entries.push(path);
        }
    }
    entries.sort();
    Ok(entries)
}

/// Refuses identifiers that are given twice.
pub(crate) fn check_ids(path: &Path, ids: &[String]) -> Result<()> {
    let mut seen = HashSet::new();
    match ids.iter().find(|id| !seen.insert(*id)) {
        None => Ok(()),
        Some(id) => Err(DataError::DuplicateId { path: path.into(), id: id.clone() }),
    }
}

/// The last part of a path.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Array {
    /// As values of a modality.
    ///
    /// Bytes of images are scaled to `[0, 1]`, unless all of them are 0 or 1 and so are in it.
    pub(crate) fn block(self, path: &Path) -> Result<Block> {
        let Self { shape, numbers, name } = self;
        let Some((&rows, rest)) = shape.split_first() else {
            return Err(DataError::Shape {
                modality: name,
                path: path.into(),
                expected: "an array whose first axis is the rows".into(),
                found: "a single number".into(),
            });
        };
        let shape = if rest.is_empty() { vec![1] } else { rest.to_vec() };
        let features: usize = shape.iter().product();
        if rows == 0 || features == 0 {
            let reason = if rows == 0 { "it has no rows" } else { "its rows have no values" };
            return Err(DataError::EmptyFile { path: path.into(), reason });
        }
        let mut missing = vec![false; rows];
        let values = match numbers {
            Numbers::Bytes(bytes) if shape.len() == 3 && bytes.iter().any(|&byte| byte > 1) => {
                Storage::Bytes(bytes)
            }
            Numbers::Bytes(bytes) => Storage::Floats(bytes.into_iter().map(f32::from).collect()),
            Numbers::Integers(values) => {
                Storage::Floats(values.into_iter().map(|value| value as f32).collect())
            }
            Numbers::Floats(mut values) => {
                for (row, values) in values.chunks_exact_mut(features).enumerate() {
                    if let Some(value) = values.iter().position(|value| value.is_infinite()) {
                        let found = values[value];
                        return Err(DataError::Infinite { path: path.into(), row, value, found });
                    }
                    if values.iter().any(|value| value.is_nan()) {
                        missing[row] = true;
                        values.fill(0.0);
                    }
                }
                Storage::Floats(values)
            }
        };
        Ok(Block { path: path.into(), ids: None, shape, values, missing })
    }

    /// As class labels.
    pub(crate) fn labels(self, path: &Path) -> Result<Labels> {
        let rows = self.shape.first().copied().unwrap_or_default();
        if rows == 0 {
            return Err(DataError::EmptyFile { path: path.into(), reason: "it has no rows" });
        }
        if self.shape.iter().product::<usize>() != rows {
            return Err(DataError::Shape {
                modality: "labels".into(),
                path: path.into(),
                expected: "one label a row".into(),
                found: format!("{:?} for each of {rows} rows", &self.shape[1..]),
            });
        }
        let values = match self.numbers {
            Numbers::Integers(values) => values,
            Numbers::Bytes(values) => values.into_iter().map(i64::from).collect(),
            Numbers::Floats(values) => {
                let bad = values.iter().position(|v| !v.is_finite() || v.fract() != 0.0);
                if let Some(row) = bad {
                    return Err(DataError::Value {
                        modality: "labels".into(),
                        row: row.to_string(),
                        expected: "a whole number".into(),
                        found: values[row],
                    });
                }
                values.into_iter().map(|value| value as i64).collect()
            }
        };
        Ok(Labels { path: path.into(), ids: None, values, names: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modality_is_named_by_the_stem_of_its_file() {
        for (path, expected) in [
            ("a/rna.csv.gz", "rna"),
            ("rna.npy", "rna"),
            ("train-images-idx3-ubyte.gz", "train-images"),
            ("labels.idx", "labels"),
            ("digits-ubyte", "digits"),
        ] {
            assert_eq!(stem(Path::new(path)), expected);
        }
    }

    #[test]
    fn other_kinds_of_files_are_refused_with_those_that_are_read() {
        for path in ["a.txt", "a", "a.npy.gz", "a.gz", "a.pt"] {
            let error = Kind::of(Path::new(path)).expect_err("not read");
            assert!(
                error.to_string().starts_with(&format!("`{path}`: expected `.npy`, ")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_truncated_gzip_file_and_an_empty_file_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv.gz");
        fs::write(&path, [0x1f, 0x8b, 8, 0, 0, 0]).expect("writable");
        let error = bytes(&path).expect_err("truncated");
        assert!(error.to_string().contains("is not a valid gzip file"), "{error}");
        fs::write(&path, []).expect("writable");
        assert!(matches!(bytes(&path), Err(DataError::EmptyFile { .. })));
        let error = bytes(&folder.path().join("b.csv")).expect_err("absent");
        assert!(error.to_string().contains("b.csv` cannot be read"), "{error}");
    }

    #[test]
    fn bytes_of_images_are_scaled_and_other_bytes_are_not() {
        let array = |shape: &[usize], bytes: &[u8]| {
            let shape = shape.to_vec();
            let numbers = Numbers::Bytes(bytes.to_vec());
            Array { name: "a".into(), shape, numbers }.block(Path::new("a")).expect("valid").values
        };
        assert_eq!(array(&[1, 1, 1, 2], &[0, 255]), Storage::Bytes(vec![0, 255]));
        assert_eq!(array(&[1, 1, 1, 2], &[0, 1]), Storage::Floats(vec![0.0, 1.0]));
        assert_eq!(array(&[1, 2], &[0, 255]), Storage::Floats(vec![0.0, 255.0]));
    }

    #[test]
    fn nan_makes_its_row_missing_and_infinity_is_refused() {
        let array = |values: Vec<f32>| {
            let numbers = Numbers::Floats(values);
            Array { name: "a".into(), shape: vec![2, 2], numbers }.block(Path::new("a.npy"))
        };
        let block = array(vec![1.0, f32::NAN, 3.0, 4.0]).expect("missing rows are allowed");
        assert_eq!(block.missing, [true, false]);
        assert_eq!(block.values, Storage::Floats(vec![0.0, 0.0, 3.0, 4.0]));
        let error = array(vec![1.0, 2.0, 3.0, f32::INFINITY]).expect_err("infinite");
        assert_eq!(
            error.to_string(),
            "`a.npy`, row 1, value 1: expected a finite number or NaN, found `inf`"
        );
    }

    #[test]
    fn labels_are_whole_numbers_one_a_row() {
        let labels = |shape: &[usize], values: &[f32]| {
            let numbers = Numbers::Floats(values.to_vec());
            Array { name: "l".into(), shape: shape.to_vec(), numbers }.labels(Path::new("l.npy"))
        };
        assert_eq!(labels(&[2, 1], &[1.0, 3.0]).expect("whole").values, [1, 3]);
        let error = labels(&[2], &[1.0, 0.5]).expect_err("a half");
        assert_eq!(
            error.to_string(),
            "modality `labels`, row `1`: expected a whole number, found `0.5`"
        );
        let error = labels(&[1, 2], &[1.0, 2.0]).expect_err("two a row");
        assert!(error.to_string().contains("expected one label a row"), "{error}");
    }
}
