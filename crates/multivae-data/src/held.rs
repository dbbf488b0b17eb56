//! Data that a program has in memory, under a name that stands for a path.
//!
//! Whatever takes a source takes the name: [`DataConfig::open`](crate::DataConfig::open),
//! [`DataConfig::open_new`](crate::DataConfig::open_new), [`inspect`](crate::inspect()), and the runs
//! and tasks that stand on them. What is held is read as files are: arrays as NPY, tables as
//! Arrow.
//!
//! ```
//! use multivae_core::dataset::Dataset;
//! use multivae_data::{DataConfig, HeldData, HeldModality};
//!
//! let blood = HeldModality::doubles(vec![4, 2], vec![1.0, 0.5, 2.0, 0.4, 3.0, 0.6, 2.0, f64::NAN]);
//! let held = HeldData::new(vec![("blood".into(), blood)]).hold();
//! let opened = DataConfig::new(held.source()).read()?;
//! assert_eq!((opened.data.len(), opened.data.cells(3, 0)), (4, Some(vec![true, false])));
//! // What nobody holds any more is gone.
//! let source = held.source().to_owned();
//! drop(held);
//! assert!(DataConfig::new(source).read().is_err());
//! # Ok::<(), multivae_data::DataError>(())
//! ```

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use multivae_core::schema::{Dtype, ImageConversion};

use crate::{
    assemble::{Files, Source},
    error::{DataError, Place, Result},
    folder,
    read::{self, Array, Ids, LabelFile, ModalityTable, Numbers, ReadOptions, TextTable},
    reading::Reading,
    storage::{self, HeldArray, SparseRows, Storage},
};

/// What the names of held data begin with.
const PREFIX: &str = "memory:";
/// What stands for the folder of the data in messages.
const ORIGIN: &str = "data";
/// Names of the columns of identifiers and labels, in messages and results.
const ID: &str = "id";
const LABELS: &str = "labels";

static HELD: RwLock<BTreeMap<u64, Arc<HeldData>>> = RwLock::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Numbers that another part of the program owns; they must not change while the data is held.
pub type SharedFloats = Arc<dyn AsRef<[f32]> + Send + Sync>;

/// Modalities, and what is known of their rows.
#[derive(Debug, Default)]
pub struct HeldData {
    modalities: Vec<(String, HeldModality)>,
    labels: Option<HeldLabels>,
}

/// The values of one modality, and what is known of them.
#[derive(Debug)]
pub struct HeldModality {
    values: Values,
    columns: Option<Vec<String>>,
    ids: Option<Vec<String>>,
    matrix: bool,
}

enum Values {
    Floats {
        shape: Vec<usize>,
        values: SharedFloats,
    },
    Doubles {
        shape: Vec<usize>,
        values: Vec<f64>,
    },
    Bytes {
        shape: Vec<usize>,
        dtype: Dtype,
        values: Vec<u8>,
    },
    Integers {
        shape: Vec<usize>,
        dtype: Dtype,
        values: Vec<i64>,
    },
    Sparse {
        dtype: Dtype,
        rows: SparseRows,
    },
    #[cfg(feature = "arrow")]
    Table(Vec<arrow_array::RecordBatch>),
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, shape) = match self {
            Self::Floats { shape, .. } => ("floats", shape.clone()),
            Self::Doubles { shape, .. } => ("doubles", shape.clone()),
            Self::Bytes { shape, .. } => ("bytes", shape.clone()),
            Self::Integers { shape, .. } => ("integers", shape.clone()),
            Self::Sparse { rows, .. } => ("sparse rows", vec![rows.rows(), rows.width()]),
            #[cfg(feature = "arrow")]
            Self::Table(batches) => {
                ("table", vec![batches.iter().map(|batch| batch.num_rows()).sum()])
            }
        };
        write!(f, "{kind} {shape:?}")
    }
}

#[derive(Debug)]
enum HeldLabels {
    Whole(Vec<Option<i64>>),
    Words { words: Vec<String>, ids: Option<Vec<String>> },
}

/// Keeps data in reach of its name, until it is dropped.
#[derive(Debug)]
#[must_use = "what nobody holds is gone"]
pub struct Held {
    number: u64,
    source: String,
}

impl Held {
    /// The name that stands for the data wherever a path can stand.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.write().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// Whether a source is the name of held data, be it still held or not.
pub fn is_held(source: &str) -> bool {
    source.starts_with(PREFIX)
}

/// What a name stands for; `None` for the name of no such data.
pub(crate) fn of(source: &str) -> Option<Result<Arc<HeldData>>> {
    let number = source.strip_prefix(PREFIX)?;
    let held = HELD.read().unwrap_or_else(PoisonError::into_inner);
    let found = number.parse().ok().and_then(|number: u64| held.get(&number).cloned());
    Some(found.ok_or_else(|| DataError::Gone { name: source.to_owned() }))
}

impl HeldModality {
    fn of(values: Values) -> Self {
        Self { values, columns: None, ids: None, matrix: false }
    }

    /// Single precision, row by row; NaN is missing. Large arrays are not copied.
    pub fn floats(shape: Vec<usize>, values: SharedFloats) -> Self {
        Self::of(Values::Floats { shape, values })
    }

    /// Double precision, row by row; NaN is missing.
    pub fn doubles(shape: Vec<usize>, values: Vec<f64>) -> Self {
        Self::of(Values::Doubles { shape, values })
    }

    /// Bytes, such as those of images, or truth values.
    pub fn bytes(shape: Vec<usize>, dtype: Dtype, values: Vec<u8>) -> Self {
        Self::of(Values::Bytes { shape, dtype, values })
    }

    /// Whole numbers, of the type that results are to have.
    pub fn integers(shape: Vec<usize>, dtype: Dtype, values: Vec<i64>) -> Self {
        Self::of(Values::Integers { shape, dtype, values })
    }

    /// Rows of which most values are 0.
    pub fn sparse(rows: SparseRows, dtype: Dtype) -> Self {
        Self::of(Values::Sparse { dtype, rows })
    }

    /// A table, each of whose columns is of a kind of its own.
    #[cfg(feature = "arrow")]
    pub fn table(batches: Vec<arrow_array::RecordBatch>) -> Self {
        Self::of(Values::Table(batches))
    }

    /// The same with a name for each value of a row.
    #[must_use]
    pub fn with_columns(self, columns: Vec<String>) -> Self {
        Self { columns: Some(columns), ..self }
    }

    /// The same with an identifier for each row.
    #[must_use]
    pub fn with_ids(self, ids: Vec<String>) -> Self {
        Self { ids: Some(ids), ..self }
    }

    /// The same, whose columns are the features of one assay and have one likelihood.
    #[must_use]
    pub fn as_matrix(self) -> Self {
        Self { matrix: true, ..self }
    }

    fn read(&self, name: &str, path: &Path) -> Result<ModalityTable> {
        let array = |shape: &[usize], dtype: Dtype, numbers: Numbers| {
            let found: usize = numbers.len();
            if shape.iter().product::<usize>() != found {
                return Err(DataError::Shape {
                    modality: name.to_owned(),
                    path: path.into(),
                    expected: format!("{shape:?}"),
                    found: format!("{found} values"),
                });
            }
            Array { name: name.to_owned(), shape: shape.to_vec(), dtype, numbers }.block(path)
        };
        let mut block = match &self.values {
            Values::Floats { shape, values } => {
                let there = (**values).as_ref();
                match shape.split_first() {
                    Some((_, rest)) if size_of_val(there) as u64 > storage::COPIED => {
                        let features = rest.iter().product::<usize>().max(1);
                        let held = HeldArray::new(Arc::clone(values));
                        let missing = held.missing(features, path)?;
                        let rest = if rest.is_empty() { vec![1] } else { rest.to_vec() };
                        let values = Storage::Held(held);
                        ModalityTable::of_values(path, rest, values, missing, Dtype::F32)?
                    }
                    _ => array(shape, Dtype::F32, Numbers::Floats(there.to_vec()))?,
                }
            }
            Values::Doubles { shape, values } => {
                array(shape, Dtype::F64, Numbers::Doubles(values.clone()))?
            }
            Values::Bytes { shape, dtype, values } => {
                array(shape, *dtype, Numbers::Bytes(values.clone()))?
            }
            Values::Integers { shape, dtype, values } => {
                array(shape, *dtype, Numbers::Integers(values.clone()))?
            }
            Values::Sparse { dtype, rows } => {
                let (rows, missing) = rows.clone().without_nan();
                if rows.is_empty() {
                    let reason = "it has no values";
                    return Err(DataError::EmptyFile { path: path.into(), reason });
                }
                let shape = vec![rows.width()];
                ModalityTable::of_values(path, shape, Storage::Sparse(rows), missing, *dtype)?
            }
            #[cfg(feature = "arrow")]
            Values::Table(batches) => read::arrow::held(path, batches.clone())?,
        };
        if let Some(columns) = &self.columns {
            block.columns = Some(columns.clone());
            block.check_columns(name)?;
        }
        if let Some(ids) = &self.ids {
            read::check_ids(path, ids)?;
            block.candidates.clear();
            block.give_ids(&given(ids), path)?;
        }
        block.matrix |= self.matrix;
        Ok(block)
    }
}

fn given(ids: &[String]) -> Ids {
    let reason = "they were given with the rows".into();
    Ids { column: None, reason, ids: ids.to_vec() }
}

impl HeldData {
    /// Modalities by their names. Rows are matched by identifiers if all have them, else by place.
    pub fn new(modalities: Vec<(String, HeldModality)>) -> Self {
        Self { modalities, labels: None }
    }

    /// The same with a class for each row, in the order of the rows.
    #[must_use]
    pub fn with_labels(self, labels: Vec<Option<i64>>) -> Self {
        Self { labels: Some(HeldLabels::Whole(labels)), ..self }
    }

    /// The same with the name of a class for each row, empty for none; with identifiers, in any order.
    #[must_use]
    pub fn with_named_labels(self, words: Vec<String>, ids: Option<Vec<String>>) -> Self {
        Self { labels: Some(HeldLabels::Words { words, ids }), ..self }
    }

    /// Gives the data a name.
    pub fn hold(self) -> Held {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let data = Arc::new(self);
        HELD.write().unwrap_or_else(PoisonError::into_inner).insert(number, data);
        Held { number, source: format!("{PREFIX}{number}") }
    }

    /// What stands for its files.
    pub(crate) fn files(&self, reading: Reading) -> Result<Files> {
        let origin = Path::new(ORIGIN);
        let mut sources: Vec<Source> = Vec::new();
        for (name, modality) in &self.modalities {
            let path = origin.join(name);
            if sources.iter().any(|source| source.name == *name) {
                return Err(DataError::DuplicateModality {
                    modality: name.clone(),
                    first: path.clone(),
                    second: path,
                });
            }
            let block = modality.read(name, &path)?;
            let codes = reading.codes_of(name, &[]);
            let source = Source::plain(name.clone(), block, codes, ImageConversion::default());
            sources.push(Source { held: true, ..source });
        }
        if sources.is_empty() {
            let reason = "it has no modalities";
            return Err(DataError::EmptyFile { path: origin.into(), reason });
        }
        let label_codes = reading.codes_of_labels();
        let said = ReadOptions { codes: Some(&label_codes), ..ReadOptions::default() };
        let labels = self.labels.as_ref().map(|labels| labels.file(origin, said)).transpose()?;
        let notes = Vec::new();
        Ok(Files { sources, labels, label_codes, splits: None, notes, rows: None })
    }
}

impl HeldLabels {
    fn file(&self, origin: &Path, said: ReadOptions) -> Result<LabelFile> {
        let path: PathBuf = origin.join(LABELS);
        let array = |numbers: Numbers, dtype: Dtype, rows: usize| {
            let array = Array { name: LABELS.into(), shape: vec![rows], dtype, numbers };
            array.labels(&path, said).map(LabelFile::Values)
        };
        match self {
            Self::Whole(labels) => match labels.iter().copied().collect::<Option<Vec<i64>>>() {
                Some(whole) => array(Numbers::Integers(whole), Dtype::I64, labels.len()),
                None => {
                    let number = |label: &Option<i64>| label.map_or(f64::NAN, |label| label as f64);
                    let numbers = Numbers::Doubles(labels.iter().map(number).collect());
                    array(numbers, Dtype::F64, labels.len())
                }
            },
            Self::Words { words, ids: None } => {
                array(Numbers::Text(words.clone()), Dtype::Text, words.len())
            }
            Self::Words { words, ids: Some(ids) } => {
                read::check_ids(&path, ids)?;
                if words.len() != ids.len() {
                    return Err(DataError::RowCounts {
                        first: path.clone(),
                        first_rows: words.len(),
                        second: path.join(ID),
                        second_rows: ids.len(),
                    });
                }
                Ok(LabelFile::Table(TextTable {
                    path,
                    columns: vec![(ID.into(), ids.clone()), (folder::LABELS.into(), words.clone())],
                    named: true,
                    places: (0..words.len() as u64).map(Place::Row).collect(),
                    id: Some(0),
                    wanted: Some(1),
                    notes: Vec::new(),
                }))
            }
        }
    }
}

#[cfg(all(test, feature = "arrow"))]
mod tests {
    use multivae_core::dataset::Dataset;

    use super::*;
    use crate::{
        config::DataConfig,
        fixture::{Folder, npy, text},
    };

    fn values(data: &dyn Dataset) -> Vec<Vec<f32>> {
        let rows: Vec<usize> = (0..data.len()).collect();
        let batch = data.batch(&rows, &burn::tensor::Device::flex()).expect("there");
        let dense = batch.values().iter().map(|values| values.dense().expect("numbers").clone());
        dense.map(|values| values.into_data().try_into_vec().expect("floats")).collect()
    }

    #[test]
    fn what_is_held_is_what_the_same_files_hold() {
        let table = "id,x,kind\nr2,0.5,a\nr0,,b\nr1,2.5,a\nr3,1,b\n";
        let folder = Folder::new([
            ("a.npy", npy(4, 3)),
            ("ids.csv", text("id\nr0\nr1\nr2\nr3\n")),
            ("b.csv", text(table)),
            ("labels.csv", text("id,label\nr3,u\nr2,v\nr1,u\nr0,v\n")),
        ]);
        let files = DataConfig::new(folder.source()).open().expect("whole");
        let array = files.train.modalities().iter().position(|spec| spec.name.as_str() == "a");
        let opened = DataConfig::new(folder.source()).read().expect("whole").raw;
        let mut numbers = Vec::new();
        for row in 0..4 {
            let mut out = [0.0; 3];
            assert!(opened.precise(row, array.expect("its name"), &mut out));
            numbers.extend(out.map(|value| value as f32));
        }
        let ids = |ids: [usize; 4]| ids.map(|id| format!("r{id}")).to_vec();
        let order: Vec<usize> =
            (0..4).map(|row| opened.id(row)[1..].parse().expect("a number")).collect();
        let a = HeldModality::floats(vec![4, 3], Arc::new(numbers))
            .with_ids(order.iter().map(|row| format!("r{row}")).collect());
        let fields =
            [("x", arrow_schema::DataType::Float64), ("kind", arrow_schema::DataType::Utf8)]
                .map(|(name, kind)| arrow_schema::Field::new(name, kind, true));
        let batch = arrow_array::RecordBatch::try_new(
            Arc::new(arrow_schema::Schema::new(fields.to_vec())),
            vec![
                Arc::new(arrow_array::Float64Array::from(vec![
                    Some(0.5),
                    None,
                    Some(2.5),
                    Some(1.0),
                ])),
                Arc::new(arrow_array::StringArray::from(vec!["a", "b", "a", "b"])),
            ],
        );
        let b = HeldModality::table(vec![batch.expect("two columns")]).with_ids(ids([2, 0, 1, 3]));
        let labels = ["u", "v", "u", "v"].map(str::to_owned).to_vec();
        let held = HeldData::new(vec![("a".into(), a), ("b".into(), b)])
            .with_named_labels(labels, Some(ids([3, 2, 1, 0])))
            .hold();
        let memory = DataConfig::new(held.source()).open().expect("whole");
        let found = |splits: &crate::Splits| {
            let data = &splits.train;
            let rows = 0..data.len();
            let about: Vec<_> = rows.map(|row| (data.id(row), data.label(row))).collect();
            let cells: Vec<_> = (0..data.len()).map(|row| data.cells(row, 1)).collect();
            (about, cells, values(data), splits.record.schema.specs())
        };
        assert_eq!(found(&files), found(&memory));
        // It is opened again as a run does, and refused once it is gone.
        let again = DataConfig::new(held.source())
            .reopen(&memory.record, &memory.standardisation)
            .expect("the same");
        assert_eq!(values(&again.train), values(&memory.train));
        let config = DataConfig::new(held.source());
        drop(held);
        let gone = config.reopen(&memory.record, &memory.standardisation).map(|_| ());
        let gone = gone.expect_err("dropped").to_string();
        assert!(gone.ends_with("in the memory of a program and is no longer: give the data again"));
    }

    #[test]
    fn a_column_of_words_or_classes_alone_is_a_modality() {
        let words = |cells: [&str; 4]| {
            let field = arrow_schema::Field::new("t", arrow_schema::DataType::Utf8, true);
            let cells = arrow_array::StringArray::from(cells.to_vec());
            let schema = Arc::new(arrow_schema::Schema::new(vec![field]));
            let batch = arrow_array::RecordBatch::try_new(schema, vec![Arc::new(cells)]);
            HeldModality::table(vec![batch.expect("one column")])
        };
        let numbers = || HeldModality::doubles(vec![4, 2], (0..8).map(f64::from).collect());
        let ids = || ["p", "q", "r", "s"].map(str::to_owned).to_vec();
        let of = |cells: [&str; 4], with: bool| {
            let (t, a) = (words(cells), numbers());
            let (t, a) = if with { (t.with_ids(ids()), a.with_ids(ids())) } else { (t, a) };
            let held = HeldData::new(vec![("t".into(), t), ("a".into(), a)]).hold();
            DataConfig::new(held.source()).read().expect("two modalities")
        };
        let texts = ["a red bird", "a blue bird with wings", "one of many", "none so far"];
        for with in [false, true] {
            let text = of(texts, with);
            let known = text.data.schema().expect("its own").modalities[0].clone();
            assert!(known.text.is_some(), "{known:?}");
            let classes = of(["i", "ii", "i", "ii"], with);
            let known = classes.data.schema().expect("its own").modalities[0].clone();
            assert!(known.table.is_some(), "{known:?}");
            // Who gives rows without identifiers has them in one order.
            assert!(!classes.report.warnings.iter().any(|w| w.to_string().contains("place")));
        }
        let mixed = vec![("t".into(), words(texts).with_ids(ids())), ("a".into(), numbers())];
        let held = HeldData::new(mixed).hold();
        let report = DataConfig::new(held.source()).read().expect("by place").report;
        let said = report.warnings.iter().map(ToString::to_string).collect::<String>();
        assert!(said.contains("`a` has no identifiers") && said.contains("same index"), "{said}");
    }

    #[test]
    fn what_cannot_be_data_is_refused_by_its_name() {
        let one = |modality| HeldData::new(vec![("a".into(), modality)]);
        let of = |data: HeldData| {
            let held = data.hold();
            DataConfig::new(held.source()).read().map(|_| ()).expect_err("refused").to_string()
        };
        let doubles = |rows: usize| HeldModality::doubles(vec![rows, 2], vec![1.5; 2 * rows]);
        let cases = [
            (
                one(HeldModality::doubles(vec![2, 3], vec![0.0; 5])),
                "(`data/a`): expected [2, 3], found 5 values",
            ),
            (one(HeldModality::doubles(vec![0, 3], vec![])), "`data/a` is empty: it has no rows"),
            (
                one(HeldModality::doubles(vec![1, 2], vec![0.0, f64::INFINITY])),
                "`data/a`, row 0, value 1",
            ),
            (
                one(doubles(2).with_ids(vec!["r".into(), "r".into()])),
                "`data/a`: identifier `r` is given twice",
            ),
            (one(doubles(2).with_columns(vec!["x".into()])), "expected 2 names"),
            (one(doubles(2)).with_labels(vec![Some(1); 3]), "3"),
            (HeldData::default(), "`data` is empty: it has no modalities"),
            (
                HeldData::new(vec![("a".into(), doubles(2)), ("b".into(), doubles(3))]),
                "`data/a` has 2 rows",
            ),
        ];
        let other = cases.into_iter().filter_map(|(data, expected)| {
            let found = of(data);
            (!found.contains(expected)).then(|| format!("{found} has not {expected}"))
        });
        assert_eq!(other.collect::<Vec<_>>(), Vec::<String>::new());
    }

    #[test]
    fn large_arrays_are_standardised_to_the_same_bits_where_they_lie() {
        let numbers: Vec<f32> = (0..600).map(|i| ((i * 37 % 101) as f32) * 0.31 - 7.0).collect();
        let copied = HeldModality::floats(vec![200, 3], Arc::new(numbers.clone()));
        let copied = HeldData::new(vec![("a".into(), copied)]).hold();
        let copied = DataConfig::new(copied.source()).open().expect("whole");
        let shared = Storage::Held(HeldArray::new(Arc::new(numbers)));
        let changed = copied.standardisation.apply_to(
            &crate::MemoryDataset::new(vec![(copied.train.modalities()[0].clone(), shared)])
                .expect("one modality"),
        );
        let changed = changed.expect("its own").select(copied.train.stored_rows());
        assert_eq!(values(&changed), values(&copied.train));
    }
}
