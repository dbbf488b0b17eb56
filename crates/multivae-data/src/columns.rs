//! Tables of columns with types, as they are written.

use std::{io::Write, path::Path};

use crate::error::Result;

/// The cells of a column that is written, one for each row.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ColumnCells {
    /// Single precision; what is not a number is missing.
    Floats(Vec<f32>),
    /// Double precision; what is not a number is missing.
    Doubles(Vec<f64>),
    /// Whole numbers.
    Integers(Vec<Option<i64>>),
    /// Truth values.
    Flags(Vec<Option<bool>>),
    /// Text.
    Text(Vec<Option<String>>),
    /// Classes, by their place among the names.
    Classes {
        /// The class of each row.
        places: Vec<Option<usize>>,
        /// Names of the classes.
        names: Vec<String>,
    },
    /// Days since 1970 began; as times if one is not whole.
    Days(Vec<Option<f64>>),
}

/// Writes a table as Parquet, packed with zstd; `path` is the file's name in messages.
///
/// # Errors
///
/// [`DataError::Write`](crate::DataError::Write); [`DataError::Feature`](crate::DataError::Feature)
/// in a build without the feature `arrow`.
///
/// # Panics
///
/// If the columns have different numbers of rows, or a class no name.
#[cfg_attr(
    feature = "arrow",
    doc = r#"
```
use multivae_data::{ColumnCells, write_parquet};

let columns = [
    ("id".to_owned(), ColumnCells::Text(vec![Some("a".into()), Some("b".into())])),
    ("z_0".to_owned(), ColumnCells::Floats(vec![0.5, f32::NAN])),
];
let mut bytes = Vec::new();
write_parquet("z.parquet".as_ref(), &mut bytes, &columns)?;
assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
# Ok::<(), multivae_data::DataError>(())
```
"#
)]
pub fn write_parquet(
    path: &Path,
    into: impl Write + Send,
    columns: &[(String, ColumnCells)],
) -> Result<()> {
    written(path, into, columns)
}

#[cfg(not(feature = "arrow"))]
fn written(path: &Path, _: impl Write + Send, _: &[(String, ColumnCells)]) -> Result<()> {
    let (format, feature) = ("Parquet", "arrow");
    Err(crate::DataError::Feature { path: path.into(), format, feature })
}

#[cfg(feature = "arrow")]
fn written(path: &Path, into: impl Write + Send, columns: &[(String, ColumnCells)]) -> Result<()> {
    use std::sync::Arc;

    use arrow_array::RecordBatch;
    use arrow_schema::{Field, Schema};
    use parquet::{
        arrow::ArrowWriter,
        basic::{Compression, ZstdLevel},
        errors::ParquetError,
        file::properties::WriterProperties,
    };

    let refused = |error: ParquetError| crate::DataError::Write {
        path: path.into(),
        cause: std::io::Error::other(error),
    };
    let (fields, arrays): (Vec<_>, Vec<_>) = columns
        .iter()
        .map(|(name, cells)| {
            let array = cells.array();
            (Field::new(name, array.data_type().clone(), true), array)
        })
        .unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .expect("columns of one length are a table");
    let packed = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(packed).build();
    let mut writer =
        ArrowWriter::try_new(into, batch.schema(), Some(properties)).map_err(refused)?;
    writer.write(&batch).map_err(refused)?;
    writer.close().map_err(refused)?;
    Ok(())
}

#[cfg(feature = "arrow")]
impl ColumnCells {
    fn array(&self) -> arrow_array::ArrayRef {
        use std::sync::Arc;

        use arrow_array::{
            BooleanArray, Date32Array, DictionaryArray, Float32Array, Float64Array, Int32Array,
            Int64Array, StringArray, TimestampMicrosecondArray, types::Int32Type,
        };

        match self {
            Self::Floats(values) => {
                let known = |&value: &f32| (!value.is_nan()).then_some(value);
                Arc::new(values.iter().map(known).collect::<Float32Array>())
            }
            Self::Doubles(values) => {
                let known = |&value: &f64| (!value.is_nan()).then_some(value);
                Arc::new(values.iter().map(known).collect::<Float64Array>())
            }
            Self::Integers(values) => Arc::new(Int64Array::from(values.clone())),
            Self::Flags(values) => Arc::new(BooleanArray::from(values.clone())),
            Self::Text(texts) => {
                Arc::new(texts.iter().map(Option::as_deref).collect::<StringArray>())
            }
            Self::Classes { places, names } => {
                let place = |place: &Option<usize>| {
                    place.map(|place| i32::try_from(place).expect("there are fewer classes"))
                };
                let keys = Int32Array::from(places.iter().map(place).collect::<Vec<_>>());
                let names = Arc::new(StringArray::from(names.clone()));
                let array = DictionaryArray::<Int32Type>::try_new(keys, names);
                Arc::new(array.expect("every class has a name"))
            }
            Self::Days(days) if days.iter().flatten().all(|day| day.fract() == 0.0) => {
                let whole = |day: &Option<f64>| day.map(|day| day as i32);
                Arc::new(days.iter().map(whole).collect::<Date32Array>())
            }
            Self::Days(days) => {
                let at = |day: &Option<f64>| day.map(|day| (day * 86_400e6).round() as i64);
                Arc::new(days.iter().map(at).collect::<TimestampMicrosecondArray>())
            }
        }
    }
}

#[cfg(all(test, feature = "arrow"))]
mod tests {
    use multivae_core::dataset::Dataset;

    use super::*;
    use crate::{DataConfig, fixture::Folder};

    #[test]
    fn what_was_written_is_read_with_its_types() {
        let rows = 30;
        let some = |place: usize| (place % 5 != 3).then_some(place);
        let columns: [(&str, ColumnCells); 7] = [
            ("id", ColumnCells::Text((0..rows).map(|row| Some(format!("r{row}"))).collect())),
            ("x", ColumnCells::Floats((0..rows).map(|row| 0.1 * row as f32).collect())),
            ("y", ColumnCells::Doubles((0..rows).map(|row| 1.0 / (1.0 + row as f64)).collect())),
            (
                "n",
                ColumnCells::Integers(
                    (0..rows).map(|row| some(row).map(|n| (n * n) as i64)).collect(),
                ),
            ),
            ("f", ColumnCells::Flags((0..rows).map(|row| some(row).map(|n| n % 2 == 0)).collect())),
            (
                "c",
                ColumnCells::Classes {
                    places: (0..rows).map(|row| some(row).map(|n| n % 3)).collect(),
                    names: ["u", "v", "w"].map(String::from).to_vec(),
                },
            ),
            (
                "d",
                ColumnCells::Days(
                    (0..rows).map(|row| some(row).map(|n| 100.0 + n as f64)).collect(),
                ),
            ),
        ];
        let columns = columns.map(|(name, cells)| (name.to_owned(), cells));
        let folder = Folder::new([]);
        let mut bytes = Vec::new();
        write_parquet(Path::new("a.parquet"), &mut bytes, &columns).expect("memory takes it");
        folder.write("a.parquet", &bytes);
        let opened = DataConfig::new(folder.source()).read().expect("whole");
        let schema = opened.data.schema().expect("it was read");
        let table = schema.modalities[0].table.as_ref().expect("mixed");
        let kinds: Vec<_> = table.iter().map(|c| (c.name.as_str(), c.kind.name())).collect();
        let expected = [
            ("x", "real"),
            ("y", "positive"),
            ("n", "count"),
            ("f", "binary"),
            ("c", "categorical"),
            ("d", "date"),
        ];
        assert_eq!((kinds, opened.data.id(3)), (expected.to_vec(), "r3".into()));
        let mut values = vec![0.0; 8];
        opened.file_units(22, 0, &mut values);
        let place = |name: &str| table.iter().find(|c| c.name == name).expect("there").first;
        assert_eq!(values[place("x")], f64::from(0.1f32 * 22.0));
        assert_eq!((values[place("y")], values[place("n")]), (1.0 / 23.0, 484.0));
        assert_eq!(values[place("c")..][..3], [0.0, 1.0, 0.0]);
        assert_eq!(values[place("d")], 122.0);
    }
}
