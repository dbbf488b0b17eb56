//! Sparse matrices as SciPy saves them.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use multivae_core::schema::Dtype;
use zip::{CompressionMethod, ZipArchive, read::ZipFile};

use super::{
    Array, ModalityTable, Numbers, ReadOptions,
    format::{self, Content, Format},
    npy::{Header, npy},
    stem,
};
use crate::{
    cells::MissingCells,
    error::{DataError, Result},
    storage::{DiskArray, IN_MEMORY, SparseRows, Storage},
};

/// The arrays of such a file.
const MEMBERS: [&str; 5] = ["indices.npy", "indptr.npy", "format.npy", "shape.npy", "data.npy"];

/// NPZ files of `scipy.sparse.save_npz`: one matrix of compressed rows or columns. Those that are
/// large and not packed stay on disk.
pub(super) struct Scipy;

impl Format for Scipy {
    fn name(&self) -> &'static str {
        "SciPy's sparse NPZ"
    }

    fn called(&self) -> &'static str {
        "a sparse matrix of SciPy in `.npz`"
    }

    fn content(&self) -> Content {
        Content::Array
    }

    fn is(&self, path: &Path) -> bool {
        let archive = || ZipArchive::new(File::open(path).ok()?).ok();
        format::ends(path, &["npz"], false)
            && archive().is_some_and(|archive| {
                let names: Vec<&str> = archive.file_names().collect();
                names.iter().any(|name| *name == MEMBERS[2])
                    && MEMBERS[3..].iter().all(|member| names.contains(member))
            })
    }

    fn block(&self, path: &Path, _said: ReadOptions) -> Result<ModalityTable> {
        block(path, IN_MEMORY)
    }

    fn arrays(&self, path: &Path) -> Result<Vec<Array>> {
        let table = self.block(path, ReadOptions::default())?;
        let mut values = vec![0.0; table.values.len()];
        table.values.read(0, &mut values)?;
        let shape = vec![table.rows, table.shape[0]];
        let numbers = Numbers::Floats(values);
        Ok(vec![Array { name: stem(path), shape, dtype: table.dtype, numbers }])
    }
}

/// An open file with the places of its arrays.
struct Members<'a> {
    path: &'a Path,
    archive: ZipArchive<File>,
}

impl Members<'_> {
    fn malformed(&self, reason: impl ToString) -> DataError {
        malformed(self.path, reason)
    }

    fn open(&mut self, name: &str) -> Result<ZipFile<'_, File>> {
        let path = self.path;
        self.archive.by_name(name).map_err(|error| malformed(path, format!("`{name}`: {error}")))
    }

    fn array(&mut self, name: &str) -> Result<Array> {
        let mut bytes = Vec::new();
        let read = self.open(name)?.read_to_end(&mut bytes);
        read.map_err(|error| self.malformed(format!("`{name}`: {error}")))?;
        npy(&self.path.join(name), name.trim_end_matches(".npy"), &bytes)
    }

    /// The format's name, which is text of bytes.
    fn format(&mut self) -> Result<String> {
        let mut bytes = Vec::new();
        let read = self.open(MEMBERS[2])?.read_to_end(&mut bytes);
        read.map_err(|error| self.malformed(error))?;
        let text = String::from_utf8_lossy(&bytes).replace('\0', "");
        Ok(text.rsplit('\n').next().unwrap_or_default().trim().to_owned())
    }

    /// An array where it lies in the file; `None` if it is packed.
    fn on_disk(&mut self, name: &str) -> Result<Option<DiskArray>> {
        let member = self.open(name)?;
        if member.compression() != CompressionMethod::Stored {
            return Ok(None);
        }
        let place = member.data_start();
        drop(member);
        let read = |cause| DataError::Read { path: self.path.into(), cause };
        let mut file = File::open(self.path).map_err(read)?;
        file.seek(SeekFrom::Start(place)).map_err(read)?;
        let Some(header) = Header::read(&mut file) else { return Ok(None) };
        let start = file.stream_position().map_err(read)?;
        let [count] = header.shape[..] else { return Ok(None) };
        DiskArray::open(self.path, start, count, header.dtype, header.big_endian).map(Some)
    }
}

fn malformed(path: &Path, reason: impl ToString) -> DataError {
    let (path, reason) = (path.into(), reason.to_string());
    DataError::Malformed { path, format: "SciPy NPZ", reason }
}

/// Numbers from 0 as `T`; `None` if one is not.
fn whole<T: TryFrom<i64>>(array: &Array) -> Option<Vec<T>> {
    let as_t = |value: i64| T::try_from(value).ok();
    match &array.numbers {
        Numbers::Integers(values) => values.iter().map(|&value| as_t(value)).collect(),
        Numbers::Bytes(values) => values.iter().map(|&value| as_t(i64::from(value))).collect(),
        _ => None,
    }
}

fn floats(numbers: Numbers) -> Option<Vec<f32>> {
    Some(match numbers {
        Numbers::Floats(values) => values,
        Numbers::Doubles(values) => values.into_iter().map(|value| value as f32).collect(),
        Numbers::Integers(values) => values.into_iter().map(|value| value as f32).collect(),
        Numbers::Bytes(values) => values.into_iter().map(f32::from).collect(),
        Numbers::Text(_) => return None,
    })
}

/// Columns that any matrix may have, and more of them for each byte of its file.
const WIDEST: usize = 1 << 20;
const COLUMNS: usize = 64;

/// The matrix of a file; one of more than `limit` bytes stays in it if it is not packed.
fn block(path: &Path, limit: u64) -> Result<ModalityTable> {
    let read = |cause| DataError::Read { path: path.into(), cause };
    let file = File::open(path).map_err(read)?;
    let size = file.metadata().map_err(read)?.len();
    let archive = ZipArchive::new(file).map_err(|error| malformed(path, error))?;
    let mut members = Members { path, archive };
    let format = members.format()?;
    if !["csr", "csc"].contains(&format.as_str()) {
        let reason = format!("it is a matrix `{format}`; save it with `.tocsr()`");
        return Err(members.malformed(reason));
    }
    let axes = members.array(MEMBERS[3])?;
    let (rows, width) = match whole::<usize>(&axes).as_deref() {
        Some(&[rows, width]) if rows > 0 && width > 0 => (rows, width),
        _ => return Err(members.malformed(format!("its shape is {:?}", axes.numbers))),
    };
    // Rows are bounded by where they begin; of columns nothing but the shape is said.
    if width > WIDEST.max(usize::try_from(size).unwrap_or(usize::MAX).saturating_mul(COLUMNS)) {
        let reason = format!("its shape claims {width} columns, in a file of {size} bytes");
        return Err(members.malformed(reason));
    }
    let starts = members.array(MEMBERS[1])?;
    let lines = if format == "csr" { rows } else { width };
    let starts: Vec<u64> = match whole(&starts) {
        Some(starts) if starts.len() == lines + 1 => starts,
        _ => {
            let reason = format!("`indptr` is not {} whole numbers from 0", lines + 1);
            return Err(members.malformed(reason));
        }
    };
    if format == "csr" && size > limit {
        let there = (members.on_disk(MEMBERS[0])?, members.on_disk(MEMBERS[4])?);
        if let (Some(columns), Some(values)) = there {
            let dtype = values.dtype();
            let found = SparseRows::on_disk(width, starts.clone(), columns, values)?;
            match found {
                Ok(rows) => return matrix(path, rows, None, dtype),
                // What has to be put in order is read into memory.
                Err(None) => {}
                Err(Some(reason)) => return Err(members.malformed(reason)),
            }
        }
    }
    let columns = members.array(MEMBERS[0])?;
    let Some(columns) = whole::<u32>(&columns) else {
        return Err(members.malformed("`indices` are not whole numbers from 0"));
    };
    let Array { numbers, dtype, .. } = members.array(MEMBERS[4])?;
    let Some(values) = floats(numbers) else {
        return Err(members.malformed("`data` are not numbers"));
    };
    let matrix_of = |starts, columns, values| match format.as_str() {
        "csr" => SparseRows::new(width, starts, columns, values),
        _ => SparseRows::of_columns(rows, starts, columns, values),
    };
    if let Some(place) = values.iter().position(|value| value.is_infinite()) {
        let line = starts.partition_point(|&start| start as usize <= place) - 1;
        let other = columns[place] as usize;
        let (row, value) = if format == "csr" { (line, other) } else { (other, line) };
        let found = f64::from(values[place]);
        return Err(DataError::Infinite { path: path.into(), row, value, found });
    }
    let sparse = matrix_of(starts, columns, values).map_err(|reason| members.malformed(reason))?;
    let (sparse, missing) = sparse.without_nan();
    matrix(path, sparse, missing, dtype)
}

fn matrix(
    path: &Path,
    sparse: SparseRows,
    missing: Option<MissingCells>,
    dtype: Dtype,
) -> Result<ModalityTable> {
    let shape = vec![sparse.width()];
    let table = ModalityTable::of_values(path, shape, Storage::Sparse(sparse), missing, dtype)?;
    Ok(ModalityTable { matrix: true, ..table })
}

#[cfg(test)]
mod tests {
    use std::{io::Write, path::PathBuf};

    use ndarray::{Array1, arr0};
    use ndarray_npy::{NpzWriter, WriteNpyExt};
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    /// As `scipy.sparse.save_npz` of SciPy 1.17.1 writes it: `format` is bytes.
    fn saved(
        packed: bool,
        format: &str,
        shape: [i64; 2],
        starts: &[i32],
        columns: &[i32],
        values: &[f32],
    ) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rna.npz");
        let mut zip = ZipWriter::new(File::create(&path).expect("writable"));
        let method = if packed { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let options = SimpleFileOptions::default().compression_method(method);
        let mut add = |name: &str, bytes: Vec<u8>| {
            zip.start_file(name, options).expect("a member");
            zip.write_all(&bytes).expect("writable");
        };
        fn npy<T: ndarray_npy::WritableElement + Clone>(values: &[T]) -> Vec<u8> {
            let mut bytes = Vec::new();
            Array1::from(values.to_vec()).write_npy(&mut bytes).expect("memory takes it");
            bytes
        }
        add("indices.npy", npy(columns));
        add("indptr.npy", npy(starts));
        let header = "{'descr': '|S3', 'fortran_order': False, 'shape': (), }";
        let header = format!("{header:<117}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(format.bytes());
        add("format.npy", bytes);
        add("shape.npy", npy(&shape));
        add("data.npy", npy(values));
        zip.finish().expect("written");
        (folder, path)
    }

    fn dense(table: &ModalityTable) -> Vec<f32> {
        let mut values = vec![9.0; table.values.len()];
        table.values.read(0, &mut values).expect("there");
        values
    }

    const DENSE: [f32; 6] = [0.0, 2.0, 0.0, 3.0, 0.0, 1.0];

    #[test]
    fn rows_and_columns_are_read_in_memory_and_on_disk() {
        for packed in [false, true] {
            let (_rows, path) =
                saved(packed, "csr", [2, 3], &[0, 1, 3], &[1, 0, 2], &[2.0, 3.0, 1.0]);
            assert!(Scipy.is(&path));
            assert_eq!(format::of(&path).expect("known").name(), Scipy.name());
            for limit in [0, IN_MEMORY] {
                let table = block(&path, limit).expect("valid");
                assert_eq!((dense(&table), table.rows, table.matrix), (DENSE.to_vec(), 2, true));
                let Storage::Sparse(sparse) = &table.values else { panic!("sparse") };
                assert_eq!(sparse.is_on_disk(), limit == 0 && !packed);
            }
        }
        let (_columns, path) =
            saved(true, "csc", [2, 3], &[0, 1, 2, 3], &[1, 0, 1], &[3.0, 2.0, 1.0]);
        assert_eq!(dense(&block(&path, 0).expect("valid")), DENSE);
        // Columns in any order are put in order in memory.
        let (_unordered, path) =
            saved(false, "csr", [2, 3], &[0, 1, 3], &[1, 2, 0], &[2.0, 1.0, 3.0]);
        assert_eq!(dense(&block(&path, 0).expect("valid")), DENSE);
    }

    #[test]
    fn nan_is_missing() {
        let (_folder, path) = saved(false, "csr", [2, 2], &[0, 1, 2], &[1, 0], &[f32::NAN, 3.0]);
        let table = block(&path, IN_MEMORY).expect("valid");
        let missing = table.missing.as_ref().expect("one");
        assert_eq!((missing.count(), missing.is_missing(0, 1)), (1, true));
        assert_eq!(dense(&table), [0.0, 0.0, 3.0, 0.0]);
    }

    #[test]
    fn what_is_no_such_matrix_is_refused() {
        let refused = |format: &str, shape, starts: &[i32], columns: &[i32], values: &[f32]| {
            let (_folder, path) = saved(false, format, shape, starts, columns, values);
            let message = |limit| block(&path, limit).map(|_| ()).expect_err("refused").to_string();
            (message(IN_MEMORY), message(0))
        };
        let (found, _) = refused("coo", [1, 1], &[0, 0], &[], &[]);
        assert!(found.ends_with("it is a matrix `coo`; save it with `.tocsr()`"), "{found}");
        let (found, _) = refused("csr", [2, 2], &[0, 0], &[], &[]);
        assert!(found.contains("`indptr` is not 3 whole numbers"), "{found}");
        for found in <[String; 2]>::from(refused("csr", [1, 2], &[0, 1], &[2], &[1.0])) {
            assert!(found.ends_with("row 0 has column 2, of 2"), "{found}");
        }
        for found in <[String; 2]>::from(refused("csr", [1, 2], &[0, 1], &[1], &[f32::INFINITY])) {
            assert!(found.contains("row 0, value 1") && found.contains("inf"), "{found}");
        }
        for found in <[String; 2]>::from(refused("csr", [1, 2], &[0, 2], &[1], &[1.0])) {
            assert!(found.contains("rows begin and end at"), "{found}");
        }
        let (found, _) = refused("csr", [0, 2], &[0], &[], &[]);
        assert!(found.contains("its shape is"), "{found}");
        // An NPZ of other arrays is none.
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.npz");
        let mut npz = NpzWriter::new(File::create(&path).expect("writable"));
        npz.add_array("data", &arr0(1.0f32)).expect("written");
        npz.finish().expect("written");
        assert!(!Scipy.is(&path));
    }
}
