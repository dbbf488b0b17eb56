//! New rows for a trained model that a program has in memory, such as those of a request.
//!
//! They are read as a file is, by the description of the data that the model was trained on: columns
//! by name, classes and dates by their text, values in the units of the data, and what is `null` is
//! missing.
//!
//! ```
//! use multivae_core::{dataset::Dataset, modality::ModalitySpec, schema::{ModalitySchema, Schema}};
//! use multivae_data::{Lacking, NewModality, NewRows, Standardisation};
//!
//! let blood = ModalitySpec::new("blood", &[2])?;
//! let mut schema = Schema::of_specs(&[blood]);
//! schema.modalities[0].columns = Some(vec!["iron".into(), "zinc".into()]);
//! let rows: NewModality = serde_json::from_str(r#"[{"zinc": 2, "iron": 1.5}, [3, null]]"#)?;
//! let rows = NewRows::new(vec![("blood".into(), rows)], None);
//! let standardisation = Standardisation::none(&schema.specs());
//! let opened = rows.open(&schema, &standardisation, Lacking::default())?;
//! let mut values = [0.0; 2];
//! opened.file_units(0, 0, &mut values);
//! assert_eq!((opened.data.len(), values), (2, [1.5, 2.0]));
//! assert_eq!(opened.data.cells(1, 0), Some(vec![true, false]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt,
    path::{Path, PathBuf},
};

use multivae_core::schema::{ImageConversion, ModalitySchema, Schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

use crate::{
    assemble::{Files, Source},
    config::Opened,
    conform::{Known, Lacking},
    error::{DataError, Result, list},
    folder,
    read::{self, Array, ReadOptions, given},
    reading::Reading,
    standardise::Standardisation,
};

/// What stands for the path of a file in messages.
const ORIGIN: &str = "rows";
/// Lists within lists at most: no modality has more axes.
const DEEPEST: usize = 8;

/// Rows of named modalities in the units of the data.
#[derive(Debug)]
pub struct NewRows(Kind);

#[derive(Debug)]
enum Kind {
    Lists { modalities: Vec<(String, NewModality)>, ids: Option<Vec<String>> },
    Arrays(Vec<Array>),
}

/// The rows of one modality.
///
/// As JSON it is a list of rows, or an object with `rows` and, if rows are lists of another order than
/// the model's, `columns`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewModality {
    /// The columns of rows that are lists, if these are not in the order of the model.
    pub columns: Option<Vec<String>>,
    /// One for each row.
    pub rows: Vec<NewRow>,
}

/// A row of one modality.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NewRow {
    /// It lacks the modality.
    Missing,
    /// Cells by their columns; a column that other rows have and this one does not is missing.
    Named(Vec<(String, NewCell)>),
    /// Cells in order, and the lengths of the lists that they were nested in.
    List {
        /// Empty for a single value.
        shape: Vec<usize>,
        /// All of them, the last axis the fastest.
        cells: Vec<NewCell>,
    },
}

impl NewRow {
    /// How many values it gives.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Named(cells) => cells.len(),
            Self::List { cells, .. } => cells.len(),
        }
    }
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NewCell {
    /// It is missing.
    Missing,
    /// A number.
    Number(f64),
    /// A whole number with all its digits.
    Whole(i64),
    /// A truth value.
    Flag(bool),
    /// Text, which is a number if it reads as one.
    Text(Box<str>),
}

impl NewRows {
    /// Rows by modality, with their identifiers; without these they are known by their numbers from 0.
    pub fn new(modalities: Vec<(String, NewModality)>, ids: Option<Vec<String>>) -> Self {
        Self(Kind::Lists { modalities, ids })
    }

    /// The arrays of an NPZ file in memory, as a file of this kind is read; unpacked they may take
    /// `most` bytes.
    ///
    /// # Errors
    ///
    /// [`DataError::Malformed`] for another or a damaged file, or one that takes more.
    pub fn from_npz(bytes: &[u8], most: u64) -> Result<Self> {
        Ok(Self(Kind::Arrays(read::npy::npz_within(Path::new(ORIGIN), bytes, most)?)))
    }

    /// How many rows there are: of arrays, in the longest.
    pub fn len(&self) -> usize {
        let rows = |array: &Array| array.shape.first().copied().unwrap_or(0);
        match &self.0 {
            Kind::Lists { modalities, ids } => {
                let of = modalities.iter().map(|(_, modality)| modality.rows.len()).max();
                of.or(ids.as_ref().map(Vec::len)).unwrap_or(0)
            }
            Kind::Arrays(arrays) => arrays.iter().map(rows).max().unwrap_or(0),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows as a model takes them, by the description of the data that it was trained on; see
    /// [`DataConfig::open_new`](crate::DataConfig::open_new).
    ///
    /// # Errors
    ///
    /// [`DataError`]; its paths are the names of modalities below `rows`.
    pub fn open(
        self,
        schema: &Schema,
        standardisation: &Standardisation,
        lacking: Lacking,
    ) -> Result<Opened> {
        schema.check()?;
        if self.is_empty() {
            return Err(DataError::EmptyFile { path: ORIGIN.into(), reason: "there are none" });
        }
        let known = Known { schema, lacking, own: false };
        let reading =
            Reading { codes: &[], images: ImageConversion::default(), known: Some(schema) };
        let files = match self.0 {
            Kind::Arrays(arrays) => folder::arrays(Path::new(ORIGIN), arrays, reading)?,
            Kind::Lists { modalities, ids } => files(modalities, ids, &known, reading)?,
        };
        Opened::new(files, &known, standardisation)
    }
}

/// Modalities as if each were a file.
fn files(
    modalities: Vec<(String, NewModality)>,
    ids: Option<Vec<String>>,
    known: &Known,
    reading: Reading,
) -> Result<Files> {
    let (first, rows) =
        modalities.first().map_or((ORIGIN, 0), |(name, first)| (name, first.rows.len()));
    if let Some(ids) = &ids {
        read::check_ids(Path::new(ORIGIN), ids)?;
    }
    let lengths = modalities.iter().map(|(name, modality)| (name.as_str(), modality.rows.len()));
    let mut lengths = lengths.chain(ids.as_ref().map(|ids| ("ids", ids.len())));
    if let Some((other, found)) = lengths.find(|(_, found)| *found != rows) {
        return Err(DataError::Shape {
            modality: other.to_owned(),
            path: ORIGIN.into(),
            expected: format!("{rows} rows, as `{first}` has"),
            found: found.to_string(),
        });
    }
    let ids = ids.unwrap_or_else(|| (0..rows).map(|row| row.to_string()).collect());
    let mut sources = Vec::new();
    let mut seen = HashSet::new();
    for (name, modality) in &modalities {
        let path = PathBuf::from(ORIGIN).join(name);
        if !seen.insert(name) {
            return Err(DataError::DuplicateModality {
                modality: name.clone(),
                first: path.clone(),
                second: path,
            });
        }
        let entry = known.schema.modality(name).ok_or_else(|| DataError::UnknownModality {
            modality: name.clone(),
            known: list(known.schema.modalities.iter().map(|known| known.spec.name.as_str())),
        })?;
        let NewModality { columns, rows } = modality;
        if rows.iter().all(|row| *row == NewRow::Missing) {
            continue;
        }
        let codes = reading.codes_of(name, &[]);
        let block = if is_table(entry, modality) {
            let said = ReadOptions {
                codes: Some(&codes),
                column: reading.text_of(name),
                ..ReadOptions::default()
            };
            given::table(&path, entry, columns.clone(), rows, &ids, said)?
        } else {
            given::array(&path, entry, rows, &ids)?
        };
        sources.push(Source::plain(name.clone(), block, codes, ImageConversion::default()));
    }
    if sources.is_empty() {
        let first = ids.first().cloned().unwrap_or_default();
        return Err(DataError::EmptyRows { first, count: rows });
    }
    let label_codes = reading.codes_of_labels();
    let rows = Some(ids);
    Ok(Files { sources, labels: None, label_codes, splits: None, notes: Vec::new(), rows })
}

/// Whether rows have columns with names, said or known.
fn is_table(known: &ModalitySchema, modality: &NewModality) -> bool {
    let named = |row: &NewRow| matches!(row, NewRow::Named(_));
    // Tokens one by one, in place of the text.
    let tokens = |row: &NewRow| matches!(row, NewRow::List { shape, .. } if shape.len() == 2);
    modality.columns.is_some()
        || modality.rows.iter().any(named)
        || known.table.is_some()
        || known.columns.is_some()
        || (known.text.is_some() && !modality.rows.iter().any(tokens))
}

impl<'de> Deserialize<'de> for NewModality {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct Rows;
        impl<'de> Visitor<'de> for Rows {
            type Value = NewModality;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of rows, or an object with `rows`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<NewModality, A::Error> {
                let mut rows = Vec::new();
                while let Some(row) = items.next_element()? {
                    rows.push(row);
                }
                Ok(NewModality { columns: None, rows })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NewModality, A::Error> {
                let (mut columns, mut rows) = (None, None);
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    match &*key {
                        "columns" if columns.is_none() => columns = Some(map.next_value()?),
                        "rows" if rows.is_none() => rows = Some(map.next_value()?),
                        "columns" | "rows" => {
                            return Err(de::Error::custom(format!("`{key}` is given twice")));
                        }
                        _ => return Err(de::Error::unknown_field(&key, &["columns", "rows"])),
                    }
                }
                let rows = rows.ok_or_else(|| de::Error::missing_field("rows"))?;
                Ok(NewModality { columns: columns.unwrap_or_default(), rows })
            }
        }
        source.deserialize_any(Rows)
    }
}

impl<'de> Deserialize<'de> for NewRow {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = NewRow;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a row: an object of columns, a list of values, text, or `null`")
    }

    fn visit_unit<E: de::Error>(self) -> Result<NewRow, E> {
        Ok(NewRow::Missing)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<NewRow, E> {
        CellVisitor.visit_bool(value).map(single)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<NewRow, E> {
        CellVisitor.visit_i64(value).map(single)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<NewRow, E> {
        CellVisitor.visit_u64(value).map(single)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<NewRow, E> {
        CellVisitor.visit_f64(value).map(single)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<NewRow, E> {
        CellVisitor.visit_str(text).map(single)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<NewRow, A::Error> {
        let mut list = Nested { shape: Vec::new(), cells: Vec::new(), leaves: None };
        list.take(items, 0)?;
        Ok(NewRow::List { shape: list.shape.into_iter().flatten().collect(), cells: list.cells })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NewRow, A::Error> {
        let mut cells: Vec<(String, NewCell)> = Vec::new();
        let mut seen = HashSet::new();
        while let Some(column) = map.next_key::<String>()? {
            if !seen.insert(column.clone()) {
                return Err(de::Error::custom(format!("column `{column}` is given twice")));
            }
            cells.push((column, map.next_value()?));
        }
        Ok(NewRow::Named(cells))
    }
}

fn single(cell: NewCell) -> NewRow {
    NewRow::List { shape: Vec::new(), cells: vec![cell] }
}

impl<'de> Deserialize<'de> for NewCell {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = NewCell;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a number, text, `true`, `false` or `null`")
    }

    fn visit_unit<E: de::Error>(self) -> Result<NewCell, E> {
        Ok(NewCell::Missing)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<NewCell, E> {
        Ok(NewCell::Flag(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<NewCell, E> {
        Ok(NewCell::Whole(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<NewCell, E> {
        Ok(i64::try_from(value).map_or(NewCell::Number(value as f64), NewCell::Whole))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<NewCell, E> {
        Ok(NewCell::Number(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<NewCell, E> {
        Ok(NewCell::Text(text.into()))
    }
}

/// Lists within lists while they are read.
struct Nested {
    /// The length of the lists of each depth, once one has ended.
    shape: Vec<Option<usize>>,
    cells: Vec<NewCell>,
    /// How deep values stand.
    leaves: Option<usize>,
}

impl Nested {
    fn take<'de, A: SeqAccess<'de>>(&mut self, mut items: A, depth: usize) -> Result<(), A::Error> {
        if depth >= DEEPEST {
            return Err(de::Error::custom(format!("lists are nested deeper than {DEEPEST}")));
        }
        if self.shape.len() == depth {
            self.shape.push(None);
        }
        let mut length = 0;
        while items.next_element_seed(Item { list: self, depth: depth + 1 })?.is_some() {
            length += 1;
        }
        match self.shape[depth].replace(length) {
            Some(other) if other != length => Err(de::Error::custom(format!(
                "lists beside each other have {other} and {length} values"
            ))),
            _ => Ok(()),
        }
    }

    fn push<E: de::Error>(&mut self, cell: NewCell, depth: usize) -> Result<(), E> {
        if *self.leaves.get_or_insert(depth) != depth || self.shape.len() > depth {
            return Err(E::custom("values stand beside lists"));
        }
        self.cells.push(cell);
        Ok(())
    }
}

/// A value or a list in a list.
struct Item<'a> {
    list: &'a mut Nested,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a number, text, `true`, `false`, `null`, or a list of these")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.list.push(NewCell::Missing, self.depth)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.list.push(CellVisitor.visit_bool(value)?, self.depth)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.list.push(CellVisitor.visit_i64(value)?, self.depth)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.list.push(CellVisitor.visit_u64(value)?, self.depth)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.list.push(CellVisitor.visit_f64(value)?, self.depth)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.list.push(CellVisitor.visit_str(text)?, self.depth)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        if self.list.leaves.is_some_and(|leaves| leaves <= self.depth) {
            return Err(de::Error::custom("values stand beside lists"));
        }
        self.list.take(items, self.depth)
    }
}

#[cfg(test)]
mod tests {
    use multivae_core::{
        dataset::Dataset,
        modality::ModalitySpec,
        schema::{ColumnKind, Dtype, TableColumn, TextSchema, TextTokens, ValueScale},
    };

    use super::*;
    use crate::{EmptyRows, MissingColumns};

    /// A table with names, a mixed table, images of bytes, and text.
    fn schema() -> Schema {
        let spec = |name: &str, shape: &[usize]| ModalitySpec::new(name, shape).expect("valid");
        let mut schema = Schema::of_specs(&[
            spec("blood", &[2]),
            spec("clinic", &[3]),
            spec("scan", &[1, 2, 2]),
            spec("note", &[2, 4]),
        ]);
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        schema.modalities[0].columns = Some(words(&["iron", "zinc"]));
        let column = |name: &str, first, kind| TableColumn { name: name.into(), first, kind };
        schema.modalities[1].table = Some(vec![
            column("stage", 0, ColumnKind::Categorical { classes: words(&["i", "ii"]) }),
            column("remark", 0, ColumnKind::Text),
            column("age", 2, ColumnKind::Count),
        ]);
        schema.modalities[2].dtype = Dtype::U8;
        schema.modalities[2].scale = ValueScale::up_to(255.0);
        schema.modalities[3].text = Some(TextSchema {
            column: "text".into(),
            tokens: TextTokens::Words { vocabulary: words(&["<pad>", "<unk>", "red", "bird"]) },
        });
        schema
    }

    fn rows(text: &str) -> NewRows {
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let modalities = value.as_object().expect("an object").iter();
        let modalities = modalities.map(|(name, rows)| {
            (name.clone(), serde_json::from_value(rows.clone()).expect("rows"))
        });
        NewRows::new(modalities.collect(), None)
    }

    fn opened(text: &str) -> Result<Opened, String> {
        let schema = schema();
        let standardisation = Standardisation::none(&schema.specs());
        let opened = rows(text).open(&schema, &standardisation, Lacking::default());
        opened.map_err(|error| error.to_string())
    }

    fn values(opened: &Opened, row: usize, name: &str) -> Vec<f64> {
        let specs = opened.data.modalities();
        let place = specs.iter().position(|spec| spec.name.as_str() == name).expect("there");
        let mut values = vec![0.0; specs[place].features()];
        opened.file_units(row, place, &mut values);
        values
    }

    #[test]
    fn rows_are_read_by_name_or_by_the_order_of_the_model() {
        let opened = opened(
            r#"{"blood": [{"zinc": 2, "iron": "1.5"}, [3, null], null],
                "clinic": [{"age": 60, "stage": "ii"}, ["i", 40], {"stage": null, "age": 5}],
                "scan": [[[[0, 255], [51, 1]]], [1, 1, 0, 3], null],
                "note": ["red bird", null, "Bird"]}"#,
        );
        let opened = opened.expect("it fits");
        assert_eq!(values(&opened, 0, "blood"), [1.5, 2.0]);
        assert!(values(&opened, 1, "blood")[1].is_nan());
        assert_eq!(values(&opened, 0, "clinic"), [0.0, 1.0, 60.0]);
        assert_eq!(values(&opened, 1, "clinic"), [1.0, 0.0, 40.0]);
        assert_eq!(values(&opened, 0, "scan"), [0.0, 255.0, 51.0, 1.0]);
        assert_eq!(values(&opened, 1, "scan"), [1.0, 1.0, 0.0, 3.0]);
        assert_eq!(opened.data.text(0, 3), Some("red bird"));
        let presence = |row| opened.data.presence(row).iter().collect::<Vec<_>>();
        assert_eq!(
            [presence(0), presence(1), presence(2)],
            [vec![0, 1, 2, 3], vec![0, 1, 2], vec![1, 3]]
        );
    }

    #[test]
    fn values_are_in_the_units_of_the_data_however_small_they_are() {
        for text in ["[0, 1, 1, 0]", "[0.0, 1.0, 1.0, 0.0]"] {
            let opened = opened(&format!(r#"{{"scan": [{text}]}}"#)).expect("bytes");
            assert_eq!(values(&opened, 0, "scan"), [0.0, 1.0, 1.0, 0.0]);
        }
    }

    #[test]
    fn other_columns_of_lists_are_said_and_a_row_at_the_end_can_be_missing() {
        let found = opened(r#"{"blood": {"columns": ["zinc", "iron"], "rows": [[1, 2]]}}"#);
        assert_eq!(values(&found.expect("both"), 0, "blood"), [2.0, 1.0]);
        let found = opened(r#"{"blood": [[1, 2], null], "scan": [null, [0, 0, 9, 0]]}"#);
        let found = found.expect("each has something");
        assert_eq!((found.data.len(), found.data.presence(1).len()), (2, 1));
    }

    #[test]
    fn what_does_not_fit_is_said_by_modality_row_and_column() {
        for (text, parts) in [
            (r#"{"bone": [[1]]}"#, &["no modality `bone`", "`blood`"][..]),
            (r#"{"blood": []}"#, &["`rows` is empty"]),
            (r#"{"blood": [null]}"#, &["row `0` observes no modality"]),
            (r#"{"blood": [{"iron": 1}]}"#, &["`blood`", "it lacks the columns `zinc`"]),
            (r#"{"blood": [{"iron": 1, "zinc": 1, "lead": 2}]}"#, &["not trained on", "`lead`"]),
            (r#"{"blood": [[1, 2], [1, 2, 3]]}"#, &["`blood`", "2 values", "[3] in row 1"]),
            (r#"{"blood": [[1, 2], [1, "x"]]}"#, &["`rows/blood`, row 1, column `zinc`", "`x`"]),
            (r#"{"scan": [[[[0, 1]]]]}"#, &["`scan`", "[1, 2, 2]", "[1, 1, 2] in row 0"]),
            (r#"{"scan": [[0, 1, "a", 2]]}"#, &["`rows/scan`, row 0, column `2`", "`a`"]),
            (r#"{"scan": [{"a": 1}]}"#, &["scan"]),
            (r#"{"blood": [[1, 2]], "scan": []}"#, &["`scan`", "1 rows, as `blood` has", "0"]),
        ] {
            let error = opened(text).map(|_| ()).expect_err(text);
            for part in parts {
                assert!(error.contains(part), "{text}: {part} is not in {error}");
            }
        }
    }

    #[test]
    fn lists_of_different_lengths_or_depths_are_refused_while_they_are_read() {
        for (text, part) in [
            ("[[[1, 2], [3]]]", "have 2 and 1 values"),
            ("[[1, [2]]]", "values stand beside lists"),
            ("[[[2], 1]]", "values stand beside lists"),
            ("[[[[[[[[[[[[1]]]]]]]]]]]]", "nested deeper than 8"),
            ("[{\"a\": 1, \"a\": 2}]", "`a` is given twice"),
            ("[{\"a\": [1]}]", "expected a number, text"),
            ("{\"columns\": [\"a\"]}", "missing field `rows`"),
            ("{\"rows\": [], \"shape\": []}", "unknown field `shape`"),
            ("3", "a list of rows"),
        ] {
            let found = serde_json::from_str::<NewModality>(text).map(|_| ());
            let error = found.expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn an_archive_takes_no_more_memory_than_is_allowed() {
        let mut writer = ndarray_npy::NpzWriter::new_compressed(std::io::Cursor::new(Vec::new()));
        let zeros = ndarray::Array2::<f32>::zeros((5, 2));
        writer.add_array("blood", &zeros).expect("memory takes it");
        let bytes = writer.finish().expect("memory takes it").into_inner();
        assert_eq!(NewRows::from_npz(&bytes, 1000).expect("168 bytes").len(), 5);
        let error = NewRows::from_npz(&bytes, 100).map(|_| ()).expect_err("too large");
        assert!(error.to_string().contains("more than 100 bytes"), "{error}");
        let error = NewRows::from_npz(&bytes[..50], 1000).map(|_| ()).expect_err("cut");
        assert!(error.to_string().starts_with("`rows` is not a valid NPZ file"), "{error}");
    }

    #[test]
    fn columns_can_be_masked_and_empty_rows_left_out() {
        let schema = schema();
        let standardisation = Standardisation::none(&schema.specs());
        let lacking =
            Lacking { missing_columns: MissingColumns::Mask, empty_rows: EmptyRows::LeaveOut };
        let rows = rows(r#"{"blood": [{"iron": 1}, null]}"#);
        let opened = rows.open(&schema, &standardisation, lacking).expect("masked");
        assert_eq!((opened.data.len(), opened.empty_rows), (1, vec!["1".to_owned()]));
        assert_eq!(opened.data.cells(0, 0), Some(vec![true, false]));
    }
}
