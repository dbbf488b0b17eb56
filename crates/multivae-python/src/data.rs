//! Data of Python's libraries, held in memory under a name.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
    ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader},
    types::Int32Type,
};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use multivae::{
    core::schema::Dtype,
    data::{Held, HeldData, HeldModality, storage::SparseRows},
};
use numpy::{
    PyArrayDyn, PyArrayMethods, PyReadonlyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods,
};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyCapsule, PyDict},
};

/// The name of capsules that hold streams of tables.
const STREAM: &std::ffi::CStr = c"arrow_array_stream";

/// Modalities one by one, which then have a name that stands for a path as long as this lives.
#[pyclass(module = "multivae_rs._native")]
#[derive(Default)]
pub(crate) struct Data {
    modalities: Vec<(String, HeldModality)>,
    labels: Option<Labels>,
    held: Option<Held>,
}

enum Labels {
    Whole(Vec<Option<i64>>),
    Words(Vec<String>, Option<Vec<String>>),
}

#[pymethods]
impl Data {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// An array whose memory is in the order of its rows; `dtype` is the type that it had.
    #[pyo3(signature = (name, values, dtype, *, columns, ids, matrix))]
    fn array(
        &mut self,
        name: String,
        values: &Bound<'_, PyAny>,
        dtype: &str,
        columns: Option<Vec<String>>,
        ids: Option<Vec<String>>,
        matrix: bool,
    ) -> PyResult<()> {
        let dtype = dtype_of(dtype)?;
        let modality = if let Ok(array) = values.cast::<PyArrayDyn<f32>>() {
            HeldModality::floats(array.shape().to_vec(), Arc::new(NumpyFloats::new(array)?))
        } else if let Ok(array) = values.cast::<PyArrayDyn<f64>>() {
            HeldModality::doubles(array.shape().to_vec(), array.readonly().as_slice()?.to_vec())
        } else if let Ok(array) = values.cast::<PyArrayDyn<u8>>() {
            let bytes = array.readonly().as_slice()?.to_vec();
            HeldModality::bytes(array.shape().to_vec(), dtype, bytes)
        } else if let Ok(array) = values.cast::<PyArrayDyn<i64>>() {
            let whole = array.readonly().as_slice()?.to_vec();
            HeldModality::integers(array.shape().to_vec(), dtype, whole)
        } else {
            return Err(PyTypeError::new_err(format!(
                "modality `{name}`: not an array of numbers"
            )));
        };
        self.add(name, modality, columns, ids, matrix);
        Ok(())
    }

    /// Compressed sparse rows.
    #[pyo3(signature = (name, width, starts, places, values, dtype, *, columns, ids, matrix))]
    #[allow(clippy::too_many_arguments, reason = "the parts of a sparse matrix")]
    fn sparse(
        &mut self,
        name: String,
        width: usize,
        starts: PyReadonlyArray1<'_, i64>,
        places: PyReadonlyArray1<'_, i64>,
        values: PyReadonlyArray1<'_, f32>,
        dtype: &str,
        columns: Option<Vec<String>>,
        ids: Option<Vec<String>>,
        matrix: bool,
    ) -> PyResult<()> {
        let wrong = |reason: String| PyValueError::new_err(format!("modality `{name}`: {reason}"));
        let starts = starts.as_slice()?.iter().map(|&start| u64::try_from(start));
        let starts = starts.collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))?;
        let places = places.as_slice()?.iter().map(|&place| u32::try_from(place));
        let places = places.collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))?;
        let values = values.as_slice()?.to_vec();
        let rows = SparseRows::new(width, starts, places, values).map_err(wrong)?;
        let modality = HeldModality::sparse(rows, dtype_of(dtype)?);
        self.add(name, modality, columns, ids, matrix);
        Ok(())
    }

    /// A table, column by column.
    #[pyo3(signature = (name, columns, *, ids))]
    fn table(
        &mut self,
        name: String,
        columns: Vec<(String, Bound<'_, PyDict>)>,
        ids: Option<Vec<String>>,
    ) -> PyResult<()> {
        let mut fields = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (column, cells) in columns {
            let (array, ordered) = cells_of(&cells).map_err(|error| {
                PyTypeError::new_err(format!("modality `{name}`, column `{column}`: {error}"))
            })?;
            let field = match array.data_type() {
                DataType::Dictionary(..) => {
                    Field::new_dictionary(column, DataType::Int32, DataType::Utf8, true)
                        .with_dict_is_ordered(ordered)
                }
                plain => Field::new(column, plain.clone(), true),
            };
            fields.push(field);
            arrays.push(array);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|error| of_arrow(&name, &error))?;
        self.add(name, HeldModality::table(vec![batch]), None, ids, false);
        Ok(())
    }

    /// A table of a library that hands its memory over, by its method `__arrow_c_stream__`.
    #[pyo3(signature = (name, table, *, ids))]
    fn arrow(
        &mut self,
        name: String,
        table: &Bound<'_, PyAny>,
        ids: Option<Vec<String>>,
    ) -> PyResult<()> {
        let capsule = table.call_method0("__arrow_c_stream__")?;
        let batches = batches(capsule.cast::<PyCapsule>()?).map_err(|error| match error {
            Failed::Python(error) => error,
            Failed::Arrow(error) => of_arrow(&name, &error),
        })?;
        self.add(name, HeldModality::table(batches), None, ids, false);
        Ok(())
    }

    /// A class for each row.
    fn labels(&mut self, labels: Vec<Option<i64>>) {
        self.labels = Some(Labels::Whole(labels));
    }

    /// The name of a class for each row, empty for none.
    #[pyo3(signature = (words, *, ids))]
    fn named_labels(&mut self, words: Vec<String>, ids: Option<Vec<String>>) {
        self.labels = Some(Labels::Words(words, ids));
    }

    /// The name that stands for the data; nothing can be added from then on.
    fn hold(&mut self) -> String {
        let held = self.held.get_or_insert_with(|| {
            let data = HeldData::new(std::mem::take(&mut self.modalities));
            let data = match self.labels.take() {
                None => data,
                Some(Labels::Whole(labels)) => data.with_labels(labels),
                Some(Labels::Words(words, ids)) => data.with_named_labels(words, ids),
            };
            data.hold()
        });
        held.source().to_owned()
    }
}

impl Data {
    fn add(
        &mut self,
        name: String,
        mut modality: HeldModality,
        columns: Option<Vec<String>>,
        ids: Option<Vec<String>>,
        matrix: bool,
    ) {
        if let Some(columns) = columns {
            modality = modality.with_columns(columns);
        }
        if let Some(ids) = ids {
            modality = modality.with_ids(ids);
        }
        if matrix {
            modality = modality.as_matrix();
        }
        self.modalities.push((name, modality));
    }
}

fn dtype_of(name: &str) -> PyResult<Dtype> {
    let unknown = |_| PyTypeError::new_err(format!("`{name}` is no type of numbers"));
    serde_json::from_value(name.into()).map_err(unknown)
}

fn of_arrow(name: &str, error: &ArrowError) -> PyErr {
    PyValueError::new_err(format!("modality `{name}`: {error}"))
}

/// The cells of a column, and whether its classes have an order.
fn cells_of(cells: &Bound<'_, PyDict>) -> PyResult<(ArrayRef, bool)> {
    let part = |name: &str| {
        let missing = || PyTypeError::new_err(format!("its `{name}` is missing"));
        cells.get_item(name)?.ok_or_else(missing)
    };
    let kind: String = part("kind")?.extract()?;
    let missing: Option<PyReadonlyArray1<'_, bool>> = match cells.get_item("missing")? {
        Some(missing) if !missing.is_none() => Some(missing.extract()?),
        _ => None,
    };
    let lacks = |row: usize| -> PyResult<bool> {
        Ok(match &missing {
            Some(missing) => missing.as_slice()?.get(row).copied().unwrap_or(false),
            None => false,
        })
    };
    let optional = |values: &[i64]| -> PyResult<Vec<Option<i64>>> {
        let cells = values.iter().enumerate();
        cells.map(|(row, &value)| Ok((!lacks(row)?).then_some(value))).collect()
    };
    let values = part("values")?;
    let array: ArrayRef = match kind.as_str() {
        "number" => {
            let values: PyReadonlyArray1<'_, f64> = values.extract()?;
            let cells = values.as_slice()?.iter().map(|&value| (!value.is_nan()).then_some(value));
            Arc::new(Float64Array::from(cells.collect::<Vec<_>>()))
        }
        "integer" => {
            let values: PyReadonlyArray1<'_, i64> = values.extract()?;
            Arc::new(Int64Array::from(optional(values.as_slice()?)?))
        }
        "time" => {
            let values: PyReadonlyArray1<'_, i64> = values.extract()?;
            Arc::new(TimestampMicrosecondArray::from(optional(values.as_slice()?)?))
        }
        "flag" => {
            let values: PyReadonlyArray1<'_, bool> = values.extract()?;
            let cells = values.as_slice()?.iter().enumerate();
            let cells = cells.map(|(row, &flag)| Ok((!lacks(row)?).then_some(flag)));
            Arc::new(BooleanArray::from(cells.collect::<PyResult<Vec<_>>>()?))
        }
        "category" => {
            let values: PyReadonlyArray1<'_, i64> = values.extract()?;
            let names: Vec<String> = part("names")?.extract()?;
            let places = values.as_slice()?.iter().map(|&place| i32::try_from(place).ok());
            let places: Int32Array =
                places.map(|place| place.filter(|&place| place >= 0)).collect();
            let names = Arc::new(StringArray::from(names));
            let classes = DictionaryArray::<Int32Type>::try_new(places, names);
            Arc::new(classes.map_err(|error| PyValueError::new_err(error.to_string()))?)
        }
        "text" => Arc::new(StringArray::from(values.extract::<Vec<Option<String>>>()?)),
        other => return Err(PyTypeError::new_err(format!("`{other}` is no kind of cells"))),
    };
    let ordered = cells.get_item("ordered")?.map_or(Ok(false), |ordered| ordered.extract())?;
    Ok((array, ordered))
}

enum Failed {
    Python(PyErr),
    Arrow(ArrowError),
}

/// The tables of a stream.
#[allow(unsafe_code)]
fn batches(capsule: &Bound<'_, PyCapsule>) -> Result<Vec<RecordBatch>, Failed> {
    let stream = capsule.pointer_checked(Some(STREAM)).map_err(Failed::Python)?;
    // SAFETY: a capsule of this name holds a stream of the interface of Arrow, which is moved out of it;
    // what is left there says that it was taken, and the capsule does not release it again.
    let reader = unsafe {
        RecordBatchStreamReader::from_raw(stream.cast::<FFI_ArrowArrayStream>().as_ptr())
    };
    reader.map_err(Failed::Arrow)?.collect::<Result<_, _>>().map_err(Failed::Arrow)
}

/// An array of NumPy's in single precision, in the order of its rows, that is read where it lies.
struct NumpyFloats {
    /// Keeps the memory.
    _owner: Py<PyArrayDyn<f32>>,
    values: *const [f32],
}

// SAFETY: the memory is only read, from any thread, and given back with the owner, whose count of
// references is changed under the lock of the interpreter or later by PyO3.
#[allow(unsafe_code)]
unsafe impl Send for NumpyFloats {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for NumpyFloats {}

impl NumpyFloats {
    fn new(array: &Bound<'_, PyArrayDyn<f32>>) -> PyResult<Self> {
        let borrowed: PyReadonlyArrayDyn<'_, f32> = array.readonly();
        let values: *const [f32] = borrowed.as_slice()?;
        Ok(Self { _owner: array.clone().unbind(), values })
    }
}

impl AsRef<[f32]> for NumpyFloats {
    #[allow(unsafe_code)]
    fn as_ref(&self) -> &[f32] {
        // SAFETY: the owner keeps the memory where it is: NumPy refuses to resize an array that others
        // refer to. That nobody writes to it is asked of the user, as of whoever lends an array.
        unsafe { &*self.values }
    }
}
