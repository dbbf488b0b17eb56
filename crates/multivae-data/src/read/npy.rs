//! NPY and NPZ, the formats of NumPy.

use std::{
    fs::File,
    io::{Cursor, Read, Seek, SeekFrom},
    path::Path,
};

use multivae_core::schema::Dtype;
use ndarray_npy::npy::{self, header::Layout};
use zip::ZipArchive;

use super::{
    Array, ModalityTable, Numbers, ReadOptions, bytes,
    element::Element,
    format::{self, Content, Format},
    only, stem,
};
use crate::{
    error::{DataError, Result},
    storage::{DiskArray, IN_MEMORY, Storage},
};

const TYPES: &str = "f16, bf16, f32, f64, bool, text, or integers of 8 to 64 bits";
const PICKLED: &str = "numbers or text; these are pickled Python objects: save them with \
     `numpy.asarray(x, float)`, or `numpy.asarray(x, 'U')` for text";

/// Files of one array.
pub(super) struct Npy;

impl Format for Npy {
    fn name(&self) -> &'static str {
        "NPY"
    }

    fn called(&self) -> &'static str {
        "`.npy`"
    }

    fn content(&self) -> Content {
        Content::Array
    }

    fn is(&self, path: &Path) -> bool {
        format::ends(path, &["npy"], false)
    }

    fn arrays(&self, path: &Path) -> Result<Vec<Array>> {
        Ok(vec![npy(path, &stem(path), &bytes(path)?.0)?])
    }

    fn block(&self, path: &Path, said: ReadOptions) -> Result<ModalityTable> {
        match on_disk(path, IN_MEMORY)? {
            Some(table) => Ok(table),
            None => only(path, self.arrays(path)?, said.array)?.block(path),
        }
    }
}

/// The values of a file of more than `limit` bytes, which stay in it; `None` of a smaller one, and of
/// one whose values are not numbers row by row.
fn on_disk(path: &Path, limit: u64) -> Result<Option<ModalityTable>> {
    let read = |cause| DataError::Read { path: path.into(), cause };
    let mut file = File::open(path).map_err(read)?;
    if file.metadata().map_err(read)?.len() <= limit {
        return Ok(None);
    }
    // What is wrong about a header is said when the file is read whole.
    let Some(Header { shape, dtype, big_endian }) = Header::read(&mut file) else {
        return Ok(None);
    };
    let Some((rows, shape)) = shape.split_first() else { return Ok(None) };
    let shape = if shape.is_empty() { vec![1] } else { shape.to_vec() };
    let features: usize = shape.iter().product();
    let values = rows.checked_mul(features).filter(|&values| values > 0);
    let Some(values) = values else { return Ok(None) };
    let start = file.stream_position().map_err(read)?;
    let array = DiskArray::open(path, start, values, dtype, big_endian)?;
    let missing = array.missing(features)?;
    Ok(Some(ModalityTable::of_values(path, shape, Storage::Disk(array), missing, dtype)?))
}

/// What numbers row by row are.
pub(super) struct Header {
    pub(super) shape: Vec<usize>,
    pub(super) dtype: Dtype,
    pub(super) big_endian: bool,
}

impl Header {
    /// The header of an NPY file, read to its end; `None` if what follows is not numbers row by row.
    pub(super) fn read(file: &mut File) -> Option<Self> {
        // Of an archive a member may lie anywhere.
        let place = file.stream_position().ok()?;
        let mut start = Vec::new();
        Read::by_ref(file).take(START).read_to_end(&mut start).ok()?;
        if is_header_beyond(&start, file.metadata().ok()?.len()) {
            return None;
        }
        file.seek(SeekFrom::Start(place)).ok()?;
        let header = npy::header::Header::from_reader(file).ok()?;
        let descriptor = header.type_descriptor.to_string();
        let kind = descriptor.trim_matches('\'').trim_start_matches(['<', '>', '|', '=']);
        let (dtype, _) = numbers(kind, &[], false)?;
        let by_rows = matches!(header.layout, Layout::Standard) || header.shape.len() < 2;
        let big_endian = descriptor.contains('>');
        (by_rows && dtype != Dtype::Text).then_some(Self { shape: header.shape, dtype, big_endian })
    }
}

/// Archives of arrays by name.
pub(super) struct Npz;

impl Format for Npz {
    fn name(&self) -> &'static str {
        "NPZ"
    }

    fn called(&self) -> &'static str {
        "`.npz`"
    }

    fn content(&self) -> Content {
        Content::Arrays
    }

    fn is(&self, path: &Path) -> bool {
        format::ends(path, &["npz"], false)
    }

    fn arrays(&self, path: &Path) -> Result<Vec<Array>> {
        npz(path, bytes(path)?.0)
    }
}

/// Bytes that say how long a header is.
const START: u64 = 12;

/// Whether a header claims to be longer than its file, which is not to be asked of the memory.
fn is_header_beyond(start: &[u8], length: u64) -> bool {
    // Versions after the first have four bytes for it.
    let claimed = match start {
        [_, _, _, _, _, _, 0 | 1, _, a, b, ..] => u64::from(u16::from_le_bytes([*a, *b])),
        [_, _, _, _, _, _, _, _, a, b, c, d, ..] => u64::from(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => 0,
    };
    claimed > length
}

/// The array of an NPY file.
pub(super) fn npy(path: &Path, name: &str, bytes: &[u8]) -> Result<Array> {
    let malformed = |reason| DataError::Malformed { path: path.into(), format: "NPY", reason };
    if is_header_beyond(bytes, bytes.len() as u64) {
        return Err(malformed("its header claims to be longer than the file".into()));
    }
    let mut rest = bytes;
    let header = npy::header::Header::from_reader(&mut rest)
        .map_err(|error| malformed(error.to_string()))?;
    let descriptor = header.type_descriptor.to_string();
    let kind = descriptor.trim_matches('\'').trim_start_matches(['<', '>', '|', '=']);
    let size = kind.get(1..).and_then(|size| size.parse::<usize>().ok());
    let size = size.map(|size| if kind.starts_with('U') { 4 * size } else { size });
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
    let (dtype, numbers) = match numbers(kind, rest, descriptor.contains('>')) {
        Some(found) => found,
        None => {
            return Err(DataError::Type {
                path: path.display().to_string(),
                expected: if kind == "O" { PICKLED } else { TYPES },
                found: descriptor.trim_matches('\'').into(),
            });
        }
    };
    let numbers = match header.layout {
        Layout::Standard => numbers,
        Layout::Fortran => numbers.by_rows(&header.shape),
    };
    Ok(Array { name: name.into(), shape: header.shape, dtype, numbers })
}

/// The values of a type, in the order in which they are stored.
fn numbers(kind: &str, data: &[u8], big: bool) -> Option<(Dtype, Numbers)> {
    let dtype = match kind {
        "f2" => Dtype::F16,
        // As the package `ml_dtypes` stores it.
        "V2" => Dtype::Bf16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        "u1" => Dtype::U8,
        "b1" => Dtype::Bool,
        "i1" => Dtype::I8,
        "i2" => Dtype::I16,
        "i4" => Dtype::I32,
        "i8" => Dtype::I64,
        "u2" => Dtype::U16,
        "u4" => Dtype::U32,
        "u8" => Dtype::U64,
        _ => return text(kind, data, big),
    };
    Some((dtype, Element { dtype, big }.numbers(data)))
}

/// Text of fixed length, in points of Unicode or bytes.
fn text(kind: &str, data: &[u8], big: bool) -> Option<(Dtype, Numbers)> {
    let width: usize = kind.get(1..)?.parse().ok().filter(|width| *width > 0)?;
    let text = match kind.get(..1)? {
        "U" => data
            .chunks_exact(4 * width)
            .map(|cell| {
                let points = cell.as_chunks::<4>().0.iter().map(|&bytes| {
                    if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
                });
                points
                    .filter(|&point| point != 0)
                    .map(|c| char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect()
            })
            .collect(),
        "S" => data
            .chunks_exact(width)
            .map(|cell| String::from_utf8_lossy(cell).trim_end_matches('\0').to_owned())
            .collect(),
        _ => return None,
    };
    Some((Dtype::Text, Numbers::Text(text)))
}

/// The arrays of an NPZ file in memory, in its order, which may take `most` bytes when they are
/// unpacked.
pub(crate) fn npz_within(path: &Path, bytes: &[u8], most: u64) -> Result<Vec<Array>> {
    let malformed = |reason| DataError::Malformed { path: path.into(), format: "NPZ", reason };
    let mut archive =
        ZipArchive::new(Cursor::new(bytes)).map_err(|error| malformed(error.to_string()))?;
    let mut arrays = Vec::new();
    let mut left = most;
    for entry in 0..archive.len() {
        let file = archive.by_index(entry).map_err(|error| malformed(error.to_string()))?;
        let name = file.name().to_owned();
        let mut bytes = Vec::new();
        // Whatever the entry says of its length.
        let read = file.take(left.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| malformed(format!("`{name}`: {error}")))?;
        let taken = bytes.len() as u64;
        left = left.checked_sub(taken).ok_or_else(|| {
            malformed(format!("its arrays take more than {most} bytes when they are unpacked"))
        })?;
        let plain = name.strip_suffix(".npy").unwrap_or(&name);
        arrays.push(npy(&path.join(plain), plain, &bytes)?);
    }
    if arrays.is_empty() {
        return Err(DataError::EmptyFile { path: path.into(), reason: "it has no arrays" });
    }
    Ok(arrays)
}

/// The arrays of an NPZ file, in its order.
fn npz(path: &Path, bytes: Vec<u8>) -> Result<Vec<Array>> {
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
    fn a_large_file_stays_on_disk_and_says_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.npy");
        let limited = |bytes: &[u8], limit| {
            std::fs::write(&path, bytes).expect("writable");
            on_disk(&path, limit).expect("valid")
        };
        let rows = ArrayD::from_shape_fn(vec![7, 2], |at| (at[0] * 2 + at[1]) as f64 + 0.125);
        let images = ArrayD::from_shape_fn(vec![3, 1, 2, 2], |at| (at[0] * 80 + at[3]) as u8);
        let gaps = ArrayD::from_shape_fn(vec![4, 2], |at| [f32::NAN, 2.0][(at[0] + at[1]) % 2]);
        for bytes in [file(&rows), file(&images), file(&gaps)] {
            let table = limited(&bytes, 100).expect("larger");
            let whole = open(&bytes).expect("valid").block(&path).expect("valid");
            assert!(matches!(table.values, Storage::Disk(_)));
            assert_eq!((&table.shape, table.rows), (&whole.shape, whole.rows));
            assert_eq!((table.scale, table.dtype), (whole.scale, whole.dtype));
            assert_eq!(table.missing, whole.missing);
            let read = |storage: &Storage| {
                let mut values = vec![9.0; storage.len()];
                storage.read(0, &mut values).expect("there");
                values
            };
            assert_eq!(read(&table.values), read(&whole.values));
        }
        assert!(limited(&file(&rows), 1 << 20).is_none(), "small files are read whole");
        let turned = rows.t().as_standard_layout().into_owned();
        let fortran = file(&turned.reversed_axes().into_dyn());
        assert!(limited(&fortran, 100).is_none(), "columns one after the other");
        assert!(limited(b"no array", 1).is_none(), "what is wrong is said elsewhere");
    }

    #[test]
    fn all_number_types_are_read() {
        fn check<T: ndarray_npy::WritableElement + Clone>(values: [T; 2], expected: &str) {
            let array = ArrayD::from_shape_vec(vec![2], values.to_vec()).expect("fits");
            assert_eq!(format!("{:?}", open(&file(&array)).expect("valid").numbers), expected);
        }
        check([1f32, 2.5], "Floats([1.0, 2.5])");
        check([1f64, 2.5], "Doubles([1.0, 2.5])");
        check([1u8, 2], "Bytes([1, 2])");
        check([false, true], "Bytes([0, 1])");
        check([-1i8, 2], "Integers([-1, 2])");
        check([-1i16, 2], "Integers([-1, 2])");
        check([-1i32, 2], "Integers([-1, 2])");
        check([i64::MIN, 2], "Integers([-9223372036854775808, 2])");
        check([1u16, 2], "Integers([1, 2])");
        check([1u32, 2], "Integers([1, 2])");
        check([1u64, 2], "Integers([1, 2])");
        check([1u64, u64::MAX], "Doubles([1.0, 1.8446744073709552e19])");
    }

    /// An NPY file of version 1 with the given type and data.
    fn raw(descriptor: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': {descriptor}, 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn half_floats_and_text_are_read() {
        let halves: Vec<u8> =
            [0x3c00u16, 0xc100, 0x0001, 0x7e00].into_iter().flat_map(u16::to_le_bytes).collect();
        let found = open(&raw("'<f2'", "(4,)", &halves)).expect("valid");
        let Numbers::Floats(values) = found.numbers else { panic!("floats") };
        assert_eq!((found.dtype, &values[..3]), (Dtype::F16, &[1.0, -2.5, 2f32.powi(-24)][..]));
        assert!(values[3].is_nan());
        let text: Vec<u8> =
            ['c', 'ä', '\0', 'd'].into_iter().flat_map(|c| (c as u32).to_le_bytes()).collect();
        let found = open(&raw("'<U2'", "(2,)", &text)).expect("valid");
        assert_eq!(found.numbers, Numbers::Text(vec!["cä".into(), "d".into()]));
        let found = open(&raw("'|S3'", "(2,)", b"ab\0xyz")).expect("valid");
        assert_eq!(found.numbers, Numbers::Text(vec!["ab".into(), "xyz".into()]));
    }

    #[test]
    fn valid_files_of_other_kinds_are_not_called_invalid() {
        let error = open(&raw("'|O'", "(2,)", b"\x80\x03]q")).expect_err("objects").to_string();
        assert!(error.contains("pickled Python objects: save them with"), "{error}");
        let error = open(&raw("[('x', '<f4'), ('y', '<f4')]", "(1,)", &[0; 8]));
        let error = error.expect_err("a structure").to_string();
        assert!(error.starts_with("`a.npy`: expected values of type f16"), "{error}");
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
