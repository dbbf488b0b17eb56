//! NPZ files that `numpy.load` reads without pickle.

use std::{
    io::{Seek, Write},
    path::Path,
};

use anyhow::{Context, Result, bail};
use burn::tensor::Tensor;
use multivae::{core::pass, run::files};
use ndarray::ArrayD;
use ndarray_npy::{NpzWriter, WriteNpyError, WriteNpyExt};

/// One array of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// `float32`.
    Floats(Vec<usize>, Vec<f32>),
    /// `float64`.
    Doubles(Vec<usize>, Vec<f64>),
    /// `uint8`.
    Bytes(Vec<usize>, Vec<u8>),
    /// `uint16`.
    Words(Vec<usize>, Vec<u16>),
    /// `int64`.
    Integers(Vec<usize>, Vec<i64>),
    /// `bool`.
    Flags(Vec<usize>, Vec<bool>),
    /// `str` of the length of the longest.
    Text(Vec<String>),
}

impl Array {
    /// The values of a tensor, reshaped.
    pub(crate) fn of<const D: usize>(tensor: Tensor<D>, shape: Vec<usize>) -> Result<Self> {
        Ok(Self::Floats(shape, pass::read(tensor, "values")?))
    }

    /// Its axes.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Floats(shape, _)
            | Self::Doubles(shape, _)
            | Self::Bytes(shape, _)
            | Self::Words(shape, _)
            | Self::Integers(shape, _)
            | Self::Flags(shape, _) => shape.clone(),
            Self::Text(texts) => vec![texts.len()],
        }
    }

    /// The same values with other axes.
    pub(crate) fn reshaped(self, shape: Vec<usize>) -> Self {
        match self {
            Self::Floats(_, values) => Self::Floats(shape, values),
            Self::Doubles(_, values) => Self::Doubles(shape, values),
            Self::Bytes(_, values) => Self::Bytes(shape, values),
            Self::Words(_, values) => Self::Words(shape, values),
            Self::Integers(_, values) => Self::Integers(shape, values),
            Self::Flags(_, values) => Self::Flags(shape, values),
            text @ Self::Text(_) => text,
        }
    }

    /// The values of one place of the first axis as cells of a table; what is no number is empty.
    pub(crate) fn row(&self, row: usize) -> Vec<String> {
        let features: usize = self.shape().iter().skip(1).product();
        let range = row * features..(row + 1) * features;
        let float = |value: f64, shown: String| if value.is_nan() { String::new() } else { shown };
        match self {
            Self::Floats(_, values) => {
                values[range].iter().map(|v| float(f64::from(*v), v.to_string())).collect()
            }
            Self::Doubles(_, values) => {
                values[range].iter().map(|v| float(*v, v.to_string())).collect()
            }
            Self::Bytes(_, values) => values[range].iter().map(u8::to_string).collect(),
            Self::Words(_, values) => values[range].iter().map(u16::to_string).collect(),
            Self::Integers(_, values) => values[range].iter().map(i64::to_string).collect(),
            Self::Flags(_, values) => {
                values[range].iter().map(|flag| u8::from(*flag).to_string()).collect()
            }
            Self::Text(texts) => texts[range].to_vec(),
        }
    }
}

/// Writes the arrays by name, the whole file or none of it.
pub(crate) fn write(path: &Path, arrays: &[(String, Array)]) -> Result<()> {
    Ok(files::write_whole(path, |file| write_to(file, arrays))?)
}

/// Writes the arrays by name.
pub(crate) fn write_to(file: impl Write + Seek, arrays: &[(String, Array)]) -> Result<()> {
    let mut npz = NpzWriter::new(file);
    for (name, array) in arrays {
        // The writer adds the `.npy` that `numpy.load` takes off.
        let shown = || format!("array `{name}`");
        match array {
            Array::Floats(shape, values) => npz.add_array(name, &shaped(shape, values)?),
            Array::Doubles(shape, values) => npz.add_array(name, &shaped(shape, values)?),
            Array::Bytes(shape, values) => npz.add_array(name, &shaped(shape, values)?),
            Array::Words(shape, values) => npz.add_array(name, &shaped(shape, values)?),
            Array::Integers(shape, values) => npz.add_array(name, &shaped(shape, values)?),
            Array::Flags(shape, values) => npz.add_array(name, &shaped(shape, values)?),
            Array::Text(values) => npz.add_array(name, &Text(values)),
        }
        .with_context(shown)?;
    }
    npz.finish()?.flush()?;
    Ok(())
}

/// Writes one array as an NPY file.
pub(crate) fn write_npy(file: impl Write, array: &Array) -> Result<()> {
    Ok(match array {
        Array::Floats(shape, values) => shaped(shape, values)?.write_npy(file),
        Array::Doubles(shape, values) => shaped(shape, values)?.write_npy(file),
        Array::Bytes(shape, values) => shaped(shape, values)?.write_npy(file),
        Array::Words(shape, values) => shaped(shape, values)?.write_npy(file),
        Array::Integers(shape, values) => shaped(shape, values)?.write_npy(file),
        Array::Flags(shape, values) => shaped(shape, values)?.write_npy(file),
        Array::Text(values) => Text(values).write_npy(file),
    }?)
}

fn shaped<T: Clone>(shape: &[usize], values: &[T]) -> Result<ArrayD<T>> {
    match ArrayD::from_shape_vec(shape, values.to_vec()) {
        Ok(array) => Ok(array),
        Err(_) => bail!("{} values are not of shape {shape:?}", values.len()),
    }
}

/// Strings as numpy's fixed-width UTF-32, type `<U`.
struct Text<'a>(&'a [String]);

impl WriteNpyExt for Text<'_> {
    fn write_npy<W: Write>(&self, mut writer: W) -> Result<(), WriteNpyError> {
        // numpy has no text of width 0.
        let width = self.0.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
        let count = self.0.len();
        let mut header =
            format!("{{'descr': '<U{width}', 'fortran_order': False, 'shape': ({count},), }}");
        // Format 1.0: 10 bytes before the header, which ends with a line feed at a multiple of 64.
        let fill = (64 - (10 + header.len() + 1) % 64) % 64;
        header.extend(std::iter::repeat_n(' ', fill));
        header.push('\n');
        let length = u16::try_from(header.len()).expect("the header holds two numbers");
        writer.write_all(b"\x93NUMPY\x01\x00")?;
        writer.write_all(&length.to_le_bytes())?;
        writer.write_all(header.as_bytes())?;
        for text in self.0 {
            let mut codes: Vec<u32> = text.chars().map(u32::from).collect();
            codes.resize(width, 0);
            for code in codes {
                writer.write_all(&code.to_le_bytes())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ndarray_npy::NpzReader;

    use super::*;

    #[test]
    fn arrays_are_read_back_by_name() {
        let arrays = [
            ("z".to_owned(), Array::Floats(vec![2, 1], vec![0.5, -1.0])),
            ("labels".to_owned(), Array::Integers(vec![2], vec![3, 4])),
            ("observed".to_owned(), Array::Flags(vec![1, 2], vec![true, false])),
            ("ids".to_owned(), Array::Text(vec!["a".into(), "bé".into()])),
        ];
        let mut file = Cursor::new(Vec::new());
        write_to(&mut file, &arrays).expect("memory");
        let mut npz = NpzReader::new(Cursor::new(file.into_inner())).expect("a zip file");
        assert_eq!(npz.names().expect("names"), ["z", "labels", "observed", "ids"]);
        let z: ArrayD<f32> = npz.by_name("z").expect("an array");
        assert_eq!((z.shape(), z.as_slice()), (&[2, 1][..], Some(&[0.5, -1.0][..])));
        let labels: ArrayD<i64> = npz.by_name("labels").expect("an array");
        assert_eq!(labels.as_slice(), Some(&[3, 4][..]));
    }

    #[test]
    fn text_is_numpys_fixed_width_text() {
        let mut bytes = Vec::new();
        Text(&["a".into(), "bé".into()]).write_npy(&mut bytes).expect("memory");
        // `numpy.save` writes the same bytes for `np.array(["a", "bé"])`.
        assert_eq!(bytes.len() % 64, 2 * 2 * 4);
        assert!(bytes.starts_with(b"\x93NUMPY\x01\x00\x76\x00{'descr': '<U2', "));
        assert_eq!(&bytes[128..], b"a\0\0\0\0\0\0\0b\0\0\0\xe9\0\0\0");
    }

    #[test]
    fn values_that_do_not_fit_their_shape_are_an_error() {
        let wrong = [("z".to_owned(), Array::Floats(vec![3], vec![0.0]))];
        assert!(write_to(Cursor::new(Vec::new()), &wrong).is_err());
    }
}
