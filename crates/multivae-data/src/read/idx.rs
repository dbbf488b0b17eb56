//! IDX, the format of MNIST.

use std::path::Path;

use multivae_core::schema::Dtype;

use super::{
    Array, Numbers, bytes,
    format::{self, Content, Format},
    name, stem,
};
use crate::error::{DataError, Result};

/// Files of one array, as those of MNIST.
pub(super) struct Idx;

impl Format for Idx {
    fn name(&self) -> &'static str {
        "IDX"
    }

    fn called(&self) -> &'static str {
        "`.idx`, `-ubyte` (IDX, also `.gz`)"
    }

    fn content(&self) -> Content {
        Content::Array
    }

    fn is(&self, path: &Path) -> bool {
        let name = name(path).to_ascii_lowercase();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        format::ends(path, &["idx"], true) || plain.ends_with("-ubyte") && !path.is_dir()
    }

    fn arrays(&self, path: &Path) -> Result<Vec<Array>> {
        Ok(vec![array(path, &bytes(path)?.0)?])
    }
}

/// The array of an IDX file; images `[rows, height, width]` become `[rows, 1, height, width]`.
fn array(path: &Path, bytes: &[u8]) -> Result<Array> {
    let malformed =
        |reason: String| DataError::Malformed { path: path.into(), format: "IDX", reason };
    let Some(([0, 0, kind, rank], rest)) = bytes.split_first_chunk::<4>() else {
        return Err(malformed("it does not start with two zeros, a type and a rank".into()));
    };
    let Some((axes, data)) = rest.split_at_checked(4 * usize::from(*rank)) else {
        return Err(malformed(format!("it ends within the lengths of its {rank} axes")));
    };
    let mut shape: Vec<usize> =
        axes.as_chunks::<4>().0.iter().map(|&axis| u32::from_be_bytes(axis) as usize).collect();
    let size = match kind {
        0x08 | 0x09 => 1,
        0x0b => 2,
        0x0c | 0x0d => 4,
        0x0e => 8,
        _ => return Err(malformed(format!("its type is {kind:#04x}"))),
    };
    let bytes = shape.iter().try_fold(size, |product: usize, &axis| product.checked_mul(axis));
    if bytes != Some(data.len()) {
        return Err(malformed(format!(
            "shape {shape:?} of {size}-byte values does not fit {} bytes of data",
            data.len()
        )));
    }
    if shape.len() == 3 {
        shape.insert(1, 1);
    }
    let (dtype, numbers) = match kind {
        0x08 => (Dtype::U8, Numbers::Bytes(data.to_vec())),
        0x09 => (Dtype::I8, Numbers::Integers(values(data, |b| i64::from(i8::from_be_bytes(b))))),
        0x0b => (Dtype::I16, Numbers::Integers(values(data, |b| i64::from(i16::from_be_bytes(b))))),
        0x0c => (Dtype::I32, Numbers::Integers(values(data, |b| i64::from(i32::from_be_bytes(b))))),
        0x0d => (Dtype::F32, Numbers::Floats(values(data, f32::from_be_bytes))),
        _ => (Dtype::F64, Numbers::Doubles(values(data, f64::from_be_bytes))),
    };
    Ok(Array { name: stem(path), shape, dtype, numbers })
}

fn values<const N: usize, T>(data: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(kind: u8, shape: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, kind, shape.len() as u8];
        bytes.extend(shape.iter().flat_map(|axis| axis.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    fn open(bytes: &[u8]) -> Result<Array> {
        array(Path::new("a-idx3-ubyte"), bytes)
    }

    #[test]
    fn images_get_a_channel() {
        let found = open(&file(8, &[2, 1, 2], &[0, 9, 200, 255])).expect("valid");
        assert_eq!((found.name.as_str(), found.shape.as_slice()), ("a", [2, 1, 1, 2].as_slice()));
        assert_eq!(format!("{:?}", found.numbers), "Bytes([0, 9, 200, 255])");
    }

    #[test]
    fn big_endian_values_are_read() {
        let floats: Vec<u8> = [1.5f32, -2.0].into_iter().flat_map(f32::to_be_bytes).collect();
        let found = open(&file(0x0d, &[2], &floats)).expect("valid");
        assert_eq!(format!("{:?}", found.numbers), "Floats([1.5, -2.0])");
        let found = open(&file(0x0b, &[1], &[0xff, 0xfe])).expect("valid");
        assert_eq!(format!("{:?}", found.numbers), "Integers([-2])");
    }

    #[test]
    fn truncated_and_foreign_files_are_refused() {
        let whole = file(8, &[2, 1, 2], &[0; 4]);
        for bytes in [&whole[..2], &whole[..9], &whole[..19], b"id,a\n1,2\n", &file(7, &[1], &[0])]
        {
            let error = open(bytes).expect_err("not whole");
            assert!(error.to_string().contains("is not a valid IDX file"), "{error}");
        }
        let error = open(&file(0x0e, &[u32::MAX; 4], &[])).expect_err("more than there is");
        assert!(error.to_string().contains("does not fit 0 bytes"), "{error}");
    }
}
