//! NPY and NPZ, the formats of NumPy.

use std::{
    io::{Cursor, Read},
    path::Path,
};

use ndarray::ArrayD;
use ndarray_npy::{ReadNpyExt, ReadableElement, npy::header::Header};
use zip::ZipArchive;

use super::{Array, Numbers};
use crate::error::{DataError, Result};

const TYPES: &str = "f32, f64, bool, or integers of 8 to 64 bits";

/// The array of an NPY file.
pub(super) fn npy(path: &Path, name: &str, bytes: &[u8]) -> Result<Array> {
    let malformed = |reason| DataError::Malformed { path: path.into(), format: "NPY", reason };
    let mut rest = bytes;
    let header = Header::from_reader(&mut rest).map_err(|error| malformed(error.to_string()))?;
    let descriptor = header.type_descriptor.to_string();
    let kind = descriptor.trim_matches('\'').trim_start_matches(['<', '>', '|', '=']);
    let size = kind.get(1..).and_then(|size| size.parse::<usize>().ok());
    let values = header.shape.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
    // Before any memory is asked for, so that a damaged header cannot ask for too much.
    if let (Some(size), Some(values)) = (size, values)
        && values.checked_mul(size) != Some(rest.len())
    {
        return Err(malformed(format!(
            "shape {:?} of type {descriptor} does not fit {} bytes of data",
            header.shape,
            rest.len()
        )));
    }
    let malformed_data = |error: ndarray_npy::ReadNpyError| malformed(error.to_string());
    macro_rules! integers {
        ($type:ty) => {
            Numbers::Integers(
                read::<$type>(bytes)
                    .map_err(malformed_data)?
                    .into_iter()
                    .map(|v| v as i64)
                    .collect(),
            )
        };
    }
    let numbers = match kind {
        "f4" => Numbers::Floats(read::<f32>(bytes).map_err(malformed_data)?),
        "f8" => {
            let values = read::<f64>(bytes).map_err(malformed_data)?;
            Numbers::Floats(values.into_iter().map(|value| value as f32).collect())
        }
        "u1" => Numbers::Bytes(read::<u8>(bytes).map_err(malformed_data)?),
        "b1" => {
            let values = read::<bool>(bytes).map_err(malformed_data)?;
            Numbers::Bytes(values.into_iter().map(u8::from).collect())
        }
        "i1" => integers!(i8),
        "i2" => integers!(i16),
        "i4" => integers!(i32),
        "i8" => integers!(i64),
        "u2" => integers!(u16),
        "u4" => integers!(u32),
        "u8" => integers!(u64),
        _ => {
            return Err(DataError::Type {
                path: path.display().to_string(),
                expected: TYPES,
                found: descriptor.trim_matches('\'').into(),
            });
        }
    };
    Ok(Array { name: name.into(), shape: header.shape, numbers })
}

/// The arrays of an NPZ file, in its order.
pub(super) fn npz(path: &Path, bytes: Vec<u8>) -> Result<Vec<Array>> {
    let malformed = |reason| DataError::Malformed { path: path.into(), format: "NPZ", reason };
    let mut archive =
        ZipArchive::new(Cursor::new(bytes)).map_err(|error| malformed(error.to_string()))?;
    let mut arrays = Vec::new();
    for entry in 0..archive.len() {
        let mut file = archive.by_index(entry).map_err(|error| malformed(error.to_string()))?;
        let name = file.name().to_owned();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| malformed(format!("`{name}`: {error}")))?;
        let plain = name.strip_suffix(".npy").unwrap_or(&name);
        arrays.push(npy(&path.join(&name), plain, &bytes)?);
    }
    if arrays.is_empty() {
        return Err(DataError::EmptyFile { path: path.into(), reason: "it has no arrays" });
    }
    Ok(arrays)
}

/// The values in row-major order, however they are stored.
fn read<T: ReadableElement + Clone>(bytes: &[u8]) -> Result<Vec<T>, ndarray_npy::ReadNpyError> {
    let array = ArrayD::<T>::read_npy(bytes)?;
    if array.is_standard_layout() {
        Ok(array.into_raw_vec_and_offset().0)
    } else {
        Ok(array.iter().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, ArrayD, ShapeBuilder};
    use ndarray_npy::{NpzWriter, WriteNpyExt};
    use proptest::prelude::*;

    use super::*;

    fn file<T: ndarray_npy::WritableElement + Clone>(array: &ArrayD<T>) -> Vec<u8> {
        let mut bytes = Vec::new();
        array.write_npy(&mut bytes).expect("memory takes it");
        bytes
    }

    fn open(bytes: &[u8]) -> Result<Array> {
        npy(Path::new("a.npy"), "a", bytes)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(rows in 0usize..5, features in 1usize..4, seed: u64) {
            let values: Vec<f32> =
                (0..rows * features).map(|i| (seed as f32).sin() * i as f32).collect();
            let array = ArrayD::from_shape_vec(vec![rows, features], values.clone()).expect("fits");
            let found = open(&file(&array)).expect("valid");
            prop_assert_eq!(found.shape, [rows, features]);
            let Numbers::Floats(found) = found.numbers else { panic!("floats") };
            prop_assert_eq!(found, values);
        }
    }

    #[test]
    fn all_number_types_are_read() {
        fn check<T: ndarray_npy::WritableElement + Clone>(values: [T; 2], expected: &str) {
            let array = ArrayD::from_shape_vec(vec![2], values.to_vec()).expect("fits");
            assert_eq!(format!("{:?}", open(&file(&array)).expect("valid").numbers), expected);
        }
        check([1f32, 2.5], "Floats([1.0, 2.5])");
        check([1f64, 2.5], "Floats([1.0, 2.5])");
        check([1u8, 2], "Bytes([1, 2])");
        check([false, true], "Bytes([0, 1])");
        check([-1i8, 2], "Integers([-1, 2])");
        check([-1i16, 2], "Integers([-1, 2])");
        check([-1i32, 2], "Integers([-1, 2])");
        check([i64::MIN, 2], "Integers([-9223372036854775808, 2])");
        check([1u16, 2], "Integers([1, 2])");
        check([1u32, 2], "Integers([1, 2])");
        check([1u64, 2], "Integers([1, 2])");
    }

    #[test]
    fn column_major_arrays_are_read_row_by_row() {
        let array =
            ArrayD::from_shape_vec(vec![2, 2].f(), vec![1f32, 3.0, 2.0, 4.0]).expect("fits");
        let Numbers::Floats(found) = open(&file(&array)).expect("valid").numbers else {
            panic!("floats")
        };
        assert_eq!(found, [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn truncated_foreign_and_oversized_files_are_refused() {
        let bytes = file(&ArrayD::from_shape_vec(vec![4], vec![1f32; 4]).expect("fits"));
        for cut in [3, 20, bytes.len() - 1] {
            let error = open(&bytes[..cut]).expect_err("truncated");
            assert!(error.to_string().starts_with("`a.npy` is not a valid NPY file"), "{error}");
        }
        assert!(matches!(open(b"\x89PNG\r\n\x1a\n    "), Err(DataError::Malformed { .. })));
        let text = String::from_utf8_lossy(&bytes[..80]).replace("(4,)", "(1000000000000000000,)");
        let mut huge = b"\x93NUMPY\x01\x00".to_vec();
        let header = text.split_once('{').expect("a header").1;
        let header = format!("{{{}\n", header.trim_end());
        huge.extend((header.len() as u16).to_le_bytes());
        huge.extend(header.bytes());
        let error = open(&huge).expect_err("more than there is");
        assert!(error.to_string().contains("does not fit 0 bytes of data"), "{error}");
    }

    #[test]
    fn other_types_are_refused_by_name() {
        let mut bytes = file(&ArrayD::from_shape_vec(vec![2], vec![1f64; 2]).expect("fits"));
        let place = bytes.windows(3).position(|w| w == b"<f8").expect("a descriptor");
        bytes[place..place + 3].copy_from_slice(b"<c8");
        let error = open(&bytes).expect_err("complex numbers");
        assert!(error.to_string().ends_with("found `<c8`"), "{error}");
    }

    #[test]
    fn an_npz_file_gives_its_arrays_in_order() {
        let mut writer = NpzWriter::new_compressed(Cursor::new(Vec::new()));
        writer.add_array("z", &Array2::<f32>::zeros((3, 2))).expect("memory takes it");
        writer.add_array("a", &Array2::<u8>::zeros((3, 1))).expect("memory takes it");
        let bytes = writer.finish().expect("memory takes it").into_inner();
        let arrays = npz(Path::new("a.npz"), bytes.clone()).expect("valid");
        let found: Vec<_> = arrays.iter().map(|a| (a.name.as_str(), a.shape.as_slice())).collect();
        assert_eq!(found, [("z", [3, 2].as_slice()), ("a", [3, 1].as_slice())]);
        let cut = bytes[..bytes.len() / 2].to_vec();
        let error = npz(Path::new("a.npz"), cut).expect_err("truncated");
        assert!(error.to_string().starts_with("`a.npz` is not a valid NPZ file"), "{error}");
    }
}
