//! Values as arrays of NumPy and columns of tables.

use multivae::data::ColumnCells;
use multivae_cli::program::{Array, Output, OutputPart};
use numpy::{IntoPyArray, PyArrayMethods};
use pyo3::{prelude::*, types::PyDict};

/// Identifiers, parts and notes.
pub(crate) fn of<'py>(py: Python<'py>, output: Output) -> PyResult<Bound<'py, PyDict>> {
    let Output { ids, parts, notes } = output;
    let whole = PyDict::new(py);
    whole.set_item("ids", ids)?;
    let parts = parts.into_iter().map(|part| part_of(py, part)).collect::<PyResult<Vec<_>>>()?;
    whole.set_item("parts", parts)?;
    whole.set_item("notes", notes)?;
    Ok(whole)
}

fn part_of<'py>(py: Python<'py>, part: OutputPart) -> PyResult<Bound<'py, PyDict>> {
    let OutputPart { name, original, columns, values, cells } = part;
    let about = PyDict::new(py);
    about.set_item("name", name)?;
    about.set_item("original", original)?;
    about.set_item("columns", columns)?;
    about.set_item("values", array(py, values)?)?;
    let cells = cells.map(|cells| {
        let column = |(name, cells)| Ok((name, column(py, cells)?));
        cells.into_iter().map(column).collect::<PyResult<Vec<(String, Bound<'py, PyDict>)>>>()
    });
    about.set_item("cells", cells.transpose()?)?;
    Ok(about)
}

pub(crate) fn array(py: Python<'_>, values: Array) -> PyResult<Bound<'_, PyAny>> {
    fn shaped<'py, T: numpy::Element>(
        py: Python<'py>,
        shape: Vec<usize>,
        values: Vec<T>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Ok(values.into_pyarray(py).reshape(shape)?.into_any())
    }
    match values {
        Array::Floats(shape, values) => shaped(py, shape, values),
        Array::Doubles(shape, values) => shaped(py, shape, values),
        Array::Bytes(shape, values) => shaped(py, shape, values),
        Array::Words(shape, values) => shaped(py, shape, values),
        Array::Integers(shape, values) => shaped(py, shape, values),
        Array::Flags(shape, values) => shaped(py, shape, values),
        Array::Text(texts) => Ok(texts.into_pyobject(py)?.into_any()),
    }
}

/// The cells of a column: `values`, of whole numbers and truth values with `missing`, of classes their
/// places with `names`.
fn column(py: Python<'_>, cells: ColumnCells) -> PyResult<Bound<'_, PyDict>> {
    fn optional<T: Copy + Default>(values: Vec<Option<T>>) -> (Vec<T>, Vec<bool>) {
        values.into_iter().map(|value| (value.unwrap_or_default(), value.is_none())).unzip()
    }
    let about = PyDict::new(py);
    let kind = match cells {
        ColumnCells::Floats(values) => {
            about.set_item("values", values.into_pyarray(py))?;
            "number"
        }
        ColumnCells::Doubles(values) => {
            about.set_item("values", values.into_pyarray(py))?;
            "number"
        }
        ColumnCells::Integers(values) => {
            let (values, missing) = optional(values);
            about.set_item("values", values.into_pyarray(py))?;
            about.set_item("missing", missing.into_pyarray(py))?;
            "integer"
        }
        ColumnCells::Flags(values) => {
            let (values, missing) = optional(values);
            about.set_item("values", values.into_pyarray(py))?;
            about.set_item("missing", missing.into_pyarray(py))?;
            "flag"
        }
        ColumnCells::Text(values) => {
            about.set_item("values", values)?;
            "text"
        }
        ColumnCells::Classes { places, names } => {
            let place = |place: Option<usize>| place.map_or(-1, |place| place as i64);
            let places: Vec<i64> = places.into_iter().map(place).collect();
            about.set_item("values", places.into_pyarray(py))?;
            about.set_item("names", names)?;
            "category"
        }
        ColumnCells::Days(values) => {
            let values: Vec<f64> = values.into_iter().map(|day| day.unwrap_or(f64::NAN)).collect();
            about.set_item("values", values.into_pyarray(py))?;
            "day"
        }
        _ => "unknown",
    };
    about.set_item("kind", kind)?;
    Ok(about)
}
