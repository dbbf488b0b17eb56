//! Reading files.

use std::{
    collections::HashSet,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use multivae_core::schema::{Dtype, ImageConversion, TableColumn, ValueScale};

use crate::{
    cells::MissingCells,
    error::{DataError, Place, Result, list},
    reading::MissingCodes,
    report::Warning,
    storage::Storage,
};

mod alone;
#[cfg(feature = "arrow")]
pub(crate) mod arrow;
pub(crate) mod csv;
mod dialect;
pub(crate) mod element;
#[cfg(feature = "excel")]
mod excel;
#[cfg(feature = "arrow")]
mod feather;
pub(crate) mod format;
pub(crate) mod given;
#[cfg(any(feature = "arrow", feature = "excel", feature = "zarr"))]
mod guard;
mod idx;
pub(crate) mod image;
mod lines;
mod mat;
pub(crate) mod npy;
pub(crate) mod number;
mod palette;
#[cfg(feature = "arrow")]
mod parquet;
mod room;
mod safetensors;
mod scipy;
mod signature;
#[cfg_attr(
    not(all(feature = "arrow", feature = "excel")),
    allow(dead_code, reason = "some ways to read a table are those of one format")
)]
mod table;
mod tiff;
pub(crate) mod torch;
pub(crate) mod tree;
pub(crate) mod volume;

pub use alone::read_alone;

/// Names that columns of identifiers usually have, without case and marks, the most usual first.
const USUAL_IDS: &[&str] = &[
    "id",
    "ids",
    "identifier",
    "sampleid",
    "sample",
    "samples",
    "samplename",
    "patientid",
    "patient",
    "subjectid",
    "subject",
    "participantid",
    "participant",
    "caseid",
    "cellid",
    "barcode",
    "barcodes",
    "cellbarcode",
    "cell",
    "donorid",
    "donor",
    "individual",
    "individualid",
    "bcrpatientbarcode",
    "case",
    "index",
    "rowname",
    "rownames",
    "unnamed0",
    "uid",
    "uuid",
    "guid",
    "key",
    "mrn",
    "ptid",
    "rid",
    "eid",
    "fid",
    "iid",
    "recordid",
    "record",
    "accession",
    "name",
    "obs",
    "obsnames",
    "observation",
    "specimen",
    "specimenid",
    "aliquot",
    "filename",
    "file",
];

/// How usual a column's name is for identifiers, 0 the most; `None` if it is not.
pub(crate) fn usual_id(column: &str) -> Option<usize> {
    let plain: String =
        column.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    USUAL_IDS.iter().position(|usual| *usual == plain)
}

/// The values of one modality.
#[derive(Debug)]
pub(crate) struct ModalityTable {
    pub(crate) path: PathBuf,
    /// Identifiers of the rows, where they are certain.
    pub(crate) ids: Option<Ids>,
    /// Columns of a table that can hold identifiers.
    pub(crate) candidates: Vec<Candidate>,
    /// Shape of one row.
    pub(crate) shape: Vec<usize>,
    /// Names of the features, if the file names them.
    pub(crate) columns: Option<Vec<String>>,
    /// Columns of a table that are no features, since not all their cells are numbers.
    pub(crate) words: Vec<Words>,
    /// The columns in the order of the file, once each has a kind; see `mixed`.
    pub(crate) table: Option<Vec<TableColumn>>,
    pub(crate) rows: usize,
    /// Row by row, after `scale`; 0 where a value is missing.
    pub(crate) values: Storage,
    /// The missing values; `None` if nothing is missing.
    pub(crate) missing: Option<MissingCells>,
    /// The type of the values in the file.
    pub(crate) dtype: Dtype,
    /// From the file's units to `values`.
    pub(crate) scale: ValueScale,
    /// What is unusual about the file.
    pub(crate) notes: Vec<Warning>,
    /// Whether its columns are the features of one assay, which have one likelihood, and not columns
    /// of which each is of a kind of its own.
    pub(crate) matrix: bool,
    /// Where the values stand in a table; `None` for other files.
    pub(crate) layout: Option<Layout>,
}

impl ModalityTable {
    /// Values without names: those of images are put on their scale, see [`image_scale`].
    pub(crate) fn of_values(
        path: &Path,
        shape: Vec<usize>,
        values: Storage,
        missing: Option<MissingCells>,
        dtype: Dtype,
    ) -> Result<Self> {
        let rows = values.len() / shape.iter().product::<usize>();
        let (scale, values) = if matches!(values, Storage::Bytes(_)) {
            (ValueScale::up_to(255.0), values)
        } else {
            let (low, high, whole) = values.extent()?;
            let scale = image_scale(shape.len(), whole && dtype != Dtype::Bool, low, high);
            (scale, values.rescaled(ValueScale::IDENTITY, scale)?)
        };
        Ok(Self {
            path: path.into(),
            ids: None,
            candidates: Vec::new(),
            shape,
            columns: None,
            words: Vec::new(),
            table: None,
            rows,
            values,
            missing,
            dtype,
            scale,
            notes: Vec::new(),
            matrix: false,
            layout: None,
        })
    }
}

/// A column of a table whose cells are not all numbers.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    /// Its place in the file.
    pub(crate) column: usize,
    pub(crate) name: String,
    pub(crate) cells: Vec<String>,
    /// Place, contents and expectation of the first cell that is no number.
    pub(crate) bad: (Place, String, &'static str),
    /// Whether the file says that they are of few classes.
    pub(crate) classes: bool,
    /// The classes in their order, if the file says one.
    pub(crate) levels: Option<Vec<String>>,
}

/// Where the values of a modality stand in a table.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Whether it was said that the first line names the columns.
    pub(crate) header: Option<bool>,
    /// The column of identifiers, as it was said.
    pub(crate) said_id: Option<String>,
    /// Names of all columns of the file.
    pub(crate) names: Vec<String>,
    /// The column of each feature, of a mixed table that of each of its columns; `None` for one
    /// that the file does not have.
    pub(crate) columns: Vec<Option<usize>>,
    /// The column of identifiers, if there is one.
    pub(crate) id: Option<usize>,
    /// Whether a comma is the decimal mark.
    pub(crate) comma: bool,
    /// Whether the file is text, of which single cells can be written anew.
    pub(crate) text: bool,
}

/// Identifiers of the rows of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    /// The column they stand in, if it is one.
    pub(crate) column: Option<String>,
    /// Why they are taken for identifiers.
    pub(crate) reason: String,
    pub(crate) ids: Vec<String>,
}

/// A column of a table that can hold identifiers: its values all differ.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) column: String,
    /// Whether the file names its columns.
    pub(crate) named: bool,
    /// How usual the name is for identifiers, 0 the most; `None` if it is not.
    pub(crate) usual: Option<usize>,
    /// Whether it was named as such, or is called `id`, or is the column without a name.
    pub(crate) certain: bool,
    /// Its place among the features, if its values are numbers.
    pub(crate) feature: Option<usize>,
    /// Place, contents and expectation of the first cell that is no number.
    pub(crate) bad: Option<(Place, String, &'static str)>,
    pub(crate) ids: Vec<String>,
}

/// All cells of a table, as text.
#[derive(Debug)]
pub(crate) struct TextTable {
    pub(crate) path: PathBuf,
    /// Name and cells of each column.
    pub(crate) columns: Vec<(String, Vec<String>)>,
    /// Whether the file names its columns.
    pub(crate) named: bool,
    /// Where each row stands.
    pub(crate) places: Vec<Place>,
    /// The column of identifiers, where it is certain.
    pub(crate) id: Option<usize>,
    /// The column that was asked for.
    pub(crate) wanted: Option<usize>,
    /// What is unusual about the file.
    pub(crate) notes: Vec<Warning>,
}

impl TextTable {
    /// The same with nothing where a cell beside the identifiers holds one of the codes.
    fn without_codes(mut self, said: ReadOptions) -> Self {
        let id = self.id;
        for (_, (_, cells)) in
            self.columns.iter_mut().enumerate().filter(|&(place, _)| Some(place) != id)
        {
            cells.iter_mut().filter(|cell| said.is_code(cell)).for_each(String::clear);
        }
        self
    }
}

/// Class labels; rows without one are not labelled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) path: PathBuf,
    pub(crate) values: Vec<Option<i64>>,
    /// Names of the classes, if labels are not whole numbers.
    pub(crate) names: Option<Vec<String>>,
}

/// A file of labels.
#[derive(Debug)]
pub(crate) enum LabelFile {
    /// One label per row, by place.
    Values(Labels),
    /// A table, of which one column holds the labels and another perhaps identifiers.
    Table(TextTable),
}

/// What is said about a file beside its path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadOptions<'a> {
    /// Name of the array in a file of several.
    pub(crate) array: Option<&'a str>,
    /// Name of the column of a table that is wanted: of labels and splits, or of text, which are no
    /// identifiers.
    pub(crate) column: Option<&'a str>,
    /// Name of the column of identifiers.
    pub(crate) id: Option<&'a str>,
    /// Whether a table names its columns in its first line.
    pub(crate) header: Option<bool>,
    /// What images are made to be.
    pub(crate) images: ImageConversion,
    /// Codes that say that nothing was measured, beside the usual ones.
    pub(crate) codes: Option<&'a MissingCodes>,
}

impl ReadOptions<'_> {
    /// Whether a cell holds one of the codes.
    fn is_code(&self, cell: &str) -> bool {
        self.codes.is_some_and(|codes| codes.holds(cell))
    }

    /// Whether a number is one of the codes.
    fn is_number_code(&self, value: f64) -> bool {
        self.codes.is_some_and(|codes| codes.numbers().contains(&value))
    }
}

/// Numbers of a file, in the form in which they are stored.
#[derive(Debug, PartialEq)]
pub(crate) enum Numbers {
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    Bytes(Vec<u8>),
    Integers(Vec<i64>),
    Text(Vec<String>),
}

/// An array with its rows as the first axis.
#[derive(Debug)]
pub(crate) struct Array {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: Dtype,
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
    let dot = plain.rsplit_once('.').filter(|_| !path.is_dir());
    dot.map_or(plain, |(stem, _)| stem).into()
}

/// The place of the only array of a file, or of the named one.
fn only_name<S: AsRef<str>>(
    path: &Path,
    names: impl Iterator<Item = S> + Clone,
    wanted: Option<&str>,
) -> Result<usize> {
    let place = match wanted {
        Some(wanted) => names.clone().position(|name| name.as_ref() == wanted),
        None => (names.clone().count() == 1).then_some(0),
    };
    place.ok_or_else(|| DataError::Array {
        path: path.into(),
        expected: match wanted {
            Some(name) => format!("an array `{name}`"),
            None => "one array, or the name of one in a manifest".into(),
        },
        found: list(names),
    })
}

/// The only array of a file, or the named one.
fn only(path: &Path, mut arrays: Vec<Array>, name: Option<&str>) -> Result<Array> {
    let place = only_name(path, arrays.iter().map(|array| &array.name), name)?;
    Ok(arrays.swap_remove(place))
}

/// The contents of a file, unpacked if they are packed, whatever the file is called; and what is
/// unusual about that.
pub(crate) fn bytes(path: &Path) -> Result<(Vec<u8>, Vec<Warning>)> {
    let read = |cause| DataError::Read { path: path.into(), cause };
    let bytes = fs::read(path).map_err(read)?;
    if bytes.is_empty() {
        return Err(DataError::EmptyFile { path: path.into(), reason: "it has no bytes" });
    }
    let name = name(path).to_ascii_lowercase();
    let (called, packed) = (name.ends_with(".gz"), bytes.starts_with(&[0x1f, 0x8b]));
    let table = [".csv", ".tsv", ".tab", ".txt"].iter().any(|end| name.contains(end));
    let foreign = |bytes: &[u8]| signature::foreign(path, "CSV", &bytes[..bytes.len().min(64)]);
    if table && !packed && signature::of(&bytes).is_some() {
        return Err(foreign(&bytes));
    }
    let mut notes = Vec::new();
    if packed != called {
        let found = if packed {
            "it is packed with gzip and not called `.gz`"
        } else {
            "it is called `.gz` and not packed"
        };
        notes.push(Warning::note(self::name(path), found));
    }
    if !packed {
        return Ok((bytes, notes));
    }
    let mut out = Vec::new();
    MultiGzDecoder::new(&bytes[..]).read_to_end(&mut out).map_err(|cause| {
        DataError::Malformed { path: path.into(), format: "gzip", reason: cause.to_string() }
    })?;
    if out.is_empty() {
        return Err(DataError::EmptyFile { path: path.into(), reason: "it unpacks to no bytes" });
    }
    if table && signature::of(&out).is_some() {
        return Err(foreign(&out));
    }
    Ok((out, notes))
}

/// Files of file managers.
const OF_MANAGERS: [&str; 4] = ["thumbs.db", "desktop.ini", "__macosx", "icon\r"];

/// What lies in a folder, by name, but for hidden files and those that file managers leave behind.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = |cause| DataError::Read { path: folder.into(), cause };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let name = name(&path).to_lowercase();
        if !name.starts_with('.') && !OF_MANAGERS.contains(&&*name) {
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

/// A half-precision number from its bits.
pub(crate) fn half(bits: u16) -> f32 {
    half::f16::from_bits(bits).to_f32()
}

/// A number of which the upper half of single precision is given.
pub(crate) fn brain(bits: u16) -> f32 {
    half::bf16::from_bits(bits).to_f32()
}

/// Unsigned integers: as integers if all fit.
fn unsigned(values: Vec<u64>) -> Numbers {
    match values.iter().map(|&value| i64::try_from(value)).collect() {
        Ok(values) => Numbers::Integers(values),
        Err(_) => Numbers::Doubles(values.into_iter().map(|value| value as f64).collect()),
    }
}

/// The scale of the values of images `[channels, height, width]`: whole numbers from 0 become
/// values from 0 to 1 by the least of 8, 10, 12, 14 and 16 bits that holds them all; others stay.
pub(crate) fn image_scale(rank: usize, whole: bool, low: f64, high: f64) -> ValueScale {
    let tops = [255.0, 1023.0, 4095.0, 16383.0, 65535.0];
    match tops.into_iter().find(|&top| high <= top) {
        Some(top) if rank == 3 && whole && low >= 0.0 && high > 1.0 => ValueScale::up_to(top),
        _ => ValueScale::IDENTITY,
    }
}

/// A stored value in the units of its file, as it is written there.
pub(crate) fn as_in_file(value: f64, scale: ValueScale) -> f64 {
    let value = scale.invert(value);
    // Single precision does not give back every quotient.
    let whole = !scale.is_identity() && (value - value.round()).abs() < 1e-3;
    crate::standardise::as_written(if whole { value.round() } else { value })
}

/// Labels of words or numbers: whole numbers as they are; else the different words in alphabetical
/// order are the classes. Cells that say that nothing is known are no labels.
pub(crate) fn classes(cells: &[String]) -> (Vec<Option<i64>>, Option<Vec<String>>) {
    let known = |cell: &String| !number::is_unlabelled(cell);
    let whole = |cell: &str| {
        let float = || cell.parse::<f64>().ok().filter(|v| v.fract() == 0.0 && v.abs() < 9e15);
        cell.parse::<i64>().ok().or_else(|| float().map(|value| value as i64))
    };
    if cells.iter().filter(|cell| known(cell)).all(|cell| whole(cell).is_some()) {
        return (cells.iter().map(|cell| whole(cell)).collect(), None);
    }
    let mut names: Vec<String> = cells.iter().filter(|cell| known(cell)).cloned().collect();
    names.sort();
    names.dedup();
    (in_classes(cells, &names), Some(names))
}

/// Labels of words that are among the classes.
pub(crate) fn in_classes(cells: &[String], names: &[String]) -> Vec<Option<i64>> {
    let class = |cell: &String| names.iter().position(|name| name == cell).map(|i| i as i64);
    let places: std::collections::HashMap<&String, i64> =
        names.iter().filter_map(|name| Some((name, class(name)?))).collect();
    cells.iter().map(|cell| places.get(cell).copied()).collect()
}

impl Array {
    /// As values of a modality.
    ///
    /// Whole numbers of images are scaled to `[0, 1]`, unless all of them are 0 or 1 and so are in
    /// it; see [`image_scale`].
    pub(crate) fn block(self, path: &Path) -> Result<ModalityTable> {
        let Self { shape, numbers, name, dtype } = self;
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
        let infinite = |place: usize, found: f64| DataError::Infinite {
            path: path.into(),
            row: place / features,
            value: place % features,
            found,
        };
        let mut missing = None;
        let values = match numbers {
            Numbers::Bytes(bytes) if shape.len() == 3 && bytes.iter().any(|&byte| byte > 1) => {
                Storage::Bytes(bytes)
            }
            Numbers::Bytes(bytes) => Storage::Floats(bytes.into_iter().map(f32::from).collect()),
            Numbers::Integers(values) => {
                Storage::precise(values.into_iter().map(|value| value as f64).collect())
            }
            Numbers::Floats(mut values) => {
                if let Some(place) = values.iter().position(|value| value.is_infinite()) {
                    return Err(infinite(place, f64::from(values[place])));
                }
                missing = MissingCells::from_flags(features, values.iter().map(|v| v.is_nan()));
                values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
                Storage::Floats(values)
            }
            Numbers::Doubles(mut values) => {
                let finite = |value: &f64| !(*value as f32).is_infinite();
                if let Some(place) = values.iter().position(|value| !finite(value)) {
                    return Err(infinite(place, values[place]));
                }
                missing = MissingCells::from_flags(features, values.iter().map(|v| v.is_nan()));
                values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
                Storage::precise(values)
            }
            Numbers::Text(cells) => {
                return Err(DataError::Value {
                    modality: name,
                    row: "0".into(),
                    expected: "numbers; text is read as `labels` and `ids` only".into(),
                    found: cells.into_iter().next().unwrap_or_default(),
                });
            }
        };
        ModalityTable::of_values(path, shape, values, missing, dtype)
    }

    /// As class labels.
    pub(crate) fn labels(self, path: &Path, said: ReadOptions) -> Result<Labels> {
        self.check_one_per_row(path, "labels")?;
        let missing = |value: f64| said.codes.is_some_and(|codes| codes.numbers().contains(&value));
        let whole = |values: Vec<f64>| {
            let bad = values.iter().position(|v| !(v.is_nan() || v.fract() == 0.0));
            if let Some(row) = bad {
                return Err(DataError::Value {
                    modality: "labels".into(),
                    row: row.to_string(),
                    expected: "a whole number".into(),
                    found: values[row].to_string(),
                });
            }
            let known = |v: f64| (!v.is_nan() && !missing(v)).then_some(v as i64);
            Ok(values.into_iter().map(known).collect())
        };
        let (values, names) = match self.numbers {
            Numbers::Integers(values) => {
                let known = |value: i64| (!missing(value as f64)).then_some(value);
                (values.into_iter().map(known).collect(), None)
            }
            Numbers::Bytes(values) => {
                let known = |value: u8| (!missing(f64::from(value))).then_some(i64::from(value));
                (values.into_iter().map(known).collect(), None)
            }
            Numbers::Floats(values) => (whole(values.into_iter().map(f64::from).collect())?, None),
            Numbers::Doubles(values) => (whole(values)?, None),
            Numbers::Text(mut cells) => {
                cells.iter_mut().filter(|cell| said.is_code(cell)).for_each(String::clear);
                classes(&cells)
            }
        };
        Ok(Labels { path: path.into(), values, names })
    }

    /// As identifiers of rows.
    pub(crate) fn ids(self, path: &Path) -> Result<Vec<String>> {
        self.check_one_per_row(path, "ids")?;
        let ids = match self.numbers {
            Numbers::Text(ids) => ids,
            Numbers::Integers(values) => values.iter().map(i64::to_string).collect(),
            Numbers::Bytes(values) => values.iter().map(u8::to_string).collect(),
            Numbers::Floats(values) => values.iter().map(f32::to_string).collect(),
            Numbers::Doubles(values) => values.iter().map(f64::to_string).collect(),
        };
        check_ids(path, &ids)?;
        Ok(ids)
    }

    fn check_one_per_row(&self, path: &Path, what: &str) -> Result<()> {
        let rows = self.shape.first().copied().unwrap_or_default();
        if rows == 0 {
            return Err(DataError::EmptyFile { path: path.into(), reason: "it has no rows" });
        }
        if self.shape.iter().product::<usize>() != rows {
            return Err(DataError::Shape {
                modality: what.into(),
                path: path.into(),
                expected: "one value per row".into(),
                found: format!("{:?} for each of {rows} rows", &self.shape[1..]),
            });
        }
        Ok(())
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
    fn a_truncated_gzip_file_and_an_empty_file_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv.gz");
        fs::write(&path, [0x1f, 0x8b, 8, 0, 0, 0]).expect("writable");
        let error = bytes(&path).expect_err("truncated");
        assert!(error.to_string().contains("is not a valid gzip file"), "{error}");
        fs::write(&path, []).expect("writable");
        assert!(matches!(bytes(&path), Err(DataError::EmptyFile { .. })));
        fs::write(&path, b"id,x\n").expect("writable");
        let (plain, notes) = bytes(&path).expect("not packed");
        assert_eq!((&plain[..], notes.len()), (&b"id,x\n"[..], 1));
        fs::write(&path, b"PK\x03\x04").expect("writable");
        let error = bytes(&path).expect_err("a workbook").to_string();
        assert!(error.ends_with("a workbook of a spreadsheet; call it `.xlsx`"), "{error}");
        let error = bytes(&folder.path().join("b.csv")).expect_err("absent");
        assert!(error.to_string().contains("b.csv` cannot be read"), "{error}");
    }

    #[test]
    fn bytes_of_images_are_scaled_and_other_bytes_are_not() {
        let array = |shape: &[usize], bytes: &[u8]| {
            let shape = shape.to_vec();
            let numbers = Numbers::Bytes(bytes.to_vec());
            Array { name: "a".into(), shape, dtype: Dtype::U8, numbers }
                .block(Path::new("a"))
                .expect("valid")
                .values
        };
        assert_eq!(array(&[1, 1, 1, 2], &[0, 255]), Storage::Bytes(vec![0, 255]));
        assert_eq!(array(&[1, 1, 1, 2], &[0, 1]), Storage::Floats(vec![0.0, 1.0]));
        assert_eq!(array(&[1, 2], &[0, 255]), Storage::Floats(vec![0.0, 255.0]));
    }

    #[test]
    fn nan_makes_its_cell_missing_and_infinity_is_refused() {
        let array = |values: Vec<f32>| {
            let (numbers, dtype) = (Numbers::Floats(values), Dtype::F32);
            Array { name: "a".into(), shape: vec![2, 2], dtype, numbers }.block(Path::new("a.npy"))
        };
        let block = array(vec![1.0, f32::NAN, 3.0, 4.0]).expect("missing cells are allowed");
        let missing = block.missing.expect("one");
        assert_eq!((missing.count(), missing.is_missing(0, 1)), (1, true));
        assert_eq!(block.values, Storage::Floats(vec![1.0, 0.0, 3.0, 4.0]));
        assert_eq!(array(vec![1.0; 4]).expect("complete").missing, None);
        let error = array(vec![1.0, 2.0, 3.0, f32::INFINITY]).expect_err("infinite");
        assert_eq!(
            error.to_string(),
            "`a.npy`, row 1, value 1: expected a finite number or NaN, found `inf`"
        );
    }

    #[test]
    fn values_are_as_precise_as_in_their_file() {
        let array = |numbers, dtype| {
            let array = Array { name: "a".into(), shape: vec![2, 1], dtype, numbers };
            array.block(Path::new("a.npy")).expect("valid").values
        };
        let seconds = vec![1_700_000_000.0, 1_700_000_060.0];
        let found = array(Numbers::Doubles(seconds.clone()), Dtype::F64);
        assert_eq!(found, Storage::Doubles(seconds));
        let found = array(Numbers::Integers(vec![16_777_216, 16_777_217]), Dtype::I64);
        assert_eq!(found, Storage::Doubles(vec![16_777_216.0, 16_777_217.0]));
        let found = array(Numbers::Doubles(vec![0.5, 2.0]), Dtype::F64);
        assert_eq!(found, Storage::Floats(vec![0.5, 2.0]));
    }

    #[test]
    fn whole_numbers_of_images_are_scaled_by_their_bits() {
        let array = |values: Vec<i64>| {
            let shape = vec![1, 1, 1, values.len()];
            let numbers = Numbers::Integers(values);
            let array = Array { name: "a".into(), shape, dtype: Dtype::U16, numbers };
            array.block(Path::new("a.npy")).expect("valid")
        };
        for (values, top) in [
            (vec![0, 255], 255.0),
            (vec![0, 3531], 4095.0),
            (vec![7, 65535], 65535.0),
            (vec![0, 1], 1.0),
            (vec![-1024, 3000], 1.0),
            (vec![0, 70000], 1.0),
        ] {
            let block = array(values.clone());
            assert_eq!(block.scale, ValueScale::up_to(top), "{values:?}");
            let expected = values.iter().map(|&v| (v as f64 / top) as f32).collect();
            assert_eq!(block.values, Storage::Floats(expected));
        }
    }

    #[test]
    fn labels_are_whole_numbers_or_words_one_per_row_and_can_be_unknown() {
        let labels = |shape: &[usize], numbers: Numbers| {
            let (shape, dtype) = (shape.to_vec(), Dtype::F32);
            Array { name: "l".into(), shape, dtype, numbers }
                .labels(Path::new("l.npy"), ReadOptions::default())
        };
        let floats = |values: &[f32]| Numbers::Floats(values.to_vec());
        let found = labels(&[3, 1], floats(&[1.0, f32::NAN, 3.0])).expect("whole");
        assert_eq!(found.values, [Some(1), None, Some(3)]);
        let error = labels(&[2], floats(&[1.0, 0.5])).expect_err("a half");
        assert_eq!(
            error.to_string(),
            "modality `labels`, row `1`: expected a whole number, found `0.5`"
        );
        let error = labels(&[1, 2], floats(&[1.0, 2.0])).expect_err("two per row");
        assert!(error.to_string().contains("expected one value per row"), "{error}");
        let words = Numbers::Text(["dog", "nan", "cat"].map(String::from).to_vec());
        let found = labels(&[3], words).expect("words");
        assert_eq!(found.values, [Some(1), None, Some(0)]);
        assert_eq!(found.names, Some(vec!["cat".into(), "dog".into()]));
    }

    #[test]
    fn one_unknown_label_does_not_make_words_of_numbers() {
        let cells = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        assert_eq!(classes(&cells("7 NA -2 3.0")), (vec![Some(7), None, Some(-2), Some(3)], None));
        let (found, names) = classes(&cells("b NA 10 b"));
        assert_eq!(found, [Some(1), None, Some(0), Some(1)]);
        assert_eq!(names, Some(vec!["10".into(), "b".into()]));
    }

    #[test]
    fn usual_names_of_identifiers_are_known_in_any_writing() {
        for name in ["ID", "sample_id", "Patient", "Sample ID", "bcr_patient_barcode", "Unnamed: 0"]
        {
            assert!(usual_id(name).is_some(), "{name}");
        }
        assert!(usual_id("x0").is_none() && usual_id("age").is_none() && usual_id("").is_none());
    }
}
