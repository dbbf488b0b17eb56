//! Numbers that stay in their file.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use multivae_core::schema::{Dtype, ValueScale};

use crate::{
    cells::MissingCells,
    error::{DataError, Result},
    read::element::Element,
};

/// Numbers of one type that lie one after the other in a file, read when they are asked for: the
/// operating system keeps what is read often, and gives the memory back when others need it. NaN is
/// read as 0.
#[derive(Clone, Debug)]
pub struct DiskArray {
    file: Arc<File>,
    path: PathBuf,
    place: Place,
    len: usize,
    element: Element,
    scale: ValueScale,
}

/// Where the numbers lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    /// One after the other from this byte on.
    From(u64),
    /// In chunks of as many numbers each, which begin at these bytes.
    #[cfg_attr(not(feature = "hdf5"), allow(dead_code, reason = "only HDF5 has them"))]
    Chunks { starts: Arc<[u64]>, len: usize },
}

impl Place {
    /// The byte of a number, and how many numbers lie there one after the other.
    fn of(&self, number: usize, size: usize) -> (u64, usize) {
        match self {
            Self::From(offset) => (offset + (number * size) as u64, usize::MAX),
            Self::Chunks { starts, len } => {
                let (chunk, inside) = (number / len, number % len);
                (starts[chunk] + (inside * size) as u64, len - inside)
            }
        }
    }

    /// The byte behind the last of so many numbers; `None` if they have no place.
    fn end(&self, numbers: usize, size: usize) -> Option<u64> {
        let bytes = |numbers: usize| (numbers as u64).checked_mul(size as u64);
        match self {
            Self::From(offset) => offset.checked_add(bytes(numbers)?),
            Self::Chunks { starts, len } if starts.len() == numbers.div_ceil((*len).max(1)) => {
                let ends = starts.iter().enumerate().map(|(chunk, start)| {
                    start.checked_add(bytes((*len).min(numbers - chunk * len))?)
                });
                ends.collect::<Option<Vec<u64>>>()?.into_iter().max().or(Some(0))
            }
            Self::Chunks { .. } => None,
        }
    }
}

impl PartialEq for DiskArray {
    fn eq(&self, other: &Self) -> bool {
        let parts = |array: &Self| (array.len, array.element, array.scale);
        let places = self.path == other.path && self.place == other.place;
        places && parts(self) == parts(other)
    }
}

impl DiskArray {
    /// `len` numbers from the byte `offset` of a file.
    ///
    /// # Errors
    ///
    /// [`DataError::Read`]; [`DataError::Malformed`] if the file is shorter; [`DataError::Type`] for
    /// text.
    pub fn open(
        path: &Path,
        offset: u64,
        len: usize,
        dtype: Dtype,
        big_endian: bool,
    ) -> Result<Self> {
        Self::placed(path, Place::From(offset), len, Element { dtype, big: big_endian })
    }

    /// `len` numbers at their places in a file.
    ///
    /// # Errors
    ///
    /// As [`DiskArray::open`].
    pub(crate) fn placed(path: &Path, place: Place, len: usize, element: Element) -> Result<Self> {
        let read = |cause| DataError::Read { path: path.into(), cause };
        let (dtype, size) = (element.dtype, element.size());
        if size == 0 {
            return Err(DataError::Type {
                path: path.display().to_string(),
                expected: "numbers",
                found: dtype.to_string(),
            });
        }
        let file = File::open(path).map_err(read)?;
        let there = file.metadata().map_err(read)?.len();
        if place.end(len, size).is_none_or(|end| end > there) {
            let from = match &place {
                Place::From(offset) => format!("from byte {offset}"),
                Place::Chunks { starts, .. } => format!("in {} chunks", starts.len()),
            };
            return Err(DataError::Malformed {
                path: path.into(),
                format: "array",
                reason: format!("{len} values of type {dtype} {from} do not fit its {there} bytes"),
            });
        }
        let scale = ValueScale::IDENTITY;
        Ok(Self { file: Arc::new(file), path: path.into(), place, len, element, scale })
    }

    /// Their type in the file.
    pub fn dtype(&self) -> Dtype {
        self.element.dtype
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Which of the values, `features` to a row, are missing, since they are NaN; `None` if none is.
    ///
    /// # Errors
    ///
    /// [`DataError::Infinite`] with the first infinite value; [`DataError::Read`].
    pub(crate) fn missing(&self, features: usize) -> Result<Option<MissingCells>> {
        if !matches!(self.dtype(), Dtype::F16 | Dtype::Bf16 | Dtype::F32 | Dtype::F64) {
            return Ok(None);
        }
        let mut missing: Option<MissingCells> = None;
        let rows = self.len / features.max(1);
        let mut buffer = vec![0.0; super::BLOCK];
        for from in (0..self.len).step_by(super::BLOCK) {
            let count = super::BLOCK.min(self.len - from);
            self.raw(from, &mut buffer[..count])?;
            for (place, &found) in buffer[..count].iter().enumerate() {
                let (row, value) = ((from + place) / features, (from + place) % features);
                if found.is_nan() {
                    missing
                        .get_or_insert_with(|| MissingCells::none(rows, features))
                        .take(row, value);
                } else if (found as f32).is_infinite() {
                    return Err(self.infinite(row, value, found));
                }
            }
        }
        Ok(missing)
    }

    /// The error of a value of this file that is infinite.
    pub(super) fn infinite(&self, row: usize, value: usize, found: f64) -> DataError {
        DataError::Infinite { path: self.path.clone(), row, value, found }
    }

    /// The same values on another scale.
    pub(super) fn rescaled(self, from: ValueScale, to: ValueScale) -> Self {
        Self { scale: rescaled(self.scale, from, to), ..self }
    }

    pub(super) fn read(&self, from: usize, out: &mut [f32]) -> Result<()> {
        let mut values = vec![0.0; out.len()];
        self.read_precise(from, &mut values)?;
        out.iter_mut().zip(values).for_each(|(out, value)| *out = value as f32);
        Ok(())
    }

    pub(super) fn read_precise(&self, from: usize, out: &mut [f64]) -> Result<()> {
        self.raw(from, out)?;
        for value in out {
            *value = if value.is_nan() { 0.0 } else { self.scale.apply(*value) };
        }
        Ok(())
    }

    /// The numbers as they are in the file.
    pub(super) fn raw(&self, from: usize, out: &mut [f64]) -> Result<()> {
        let size = self.element.size();
        let mut bytes = vec![0; out.len() * size];
        let mut done = 0;
        while done < out.len() {
            let (offset, run) = self.place.of(from + done, size);
            let count = run.min(out.len() - done);
            read_at(&self.file, offset, &mut bytes[done * size..(done + count) * size])
                .map_err(|cause| DataError::Read { path: self.path.clone(), cause })?;
            done += count;
        }
        let mut out = out.iter_mut();
        self.element.numbers(&bytes).each(|number| {
            if let Some(out) = out.next() {
                *out = number;
            }
        });
        Ok(())
    }
}

/// A scale and then the way from one scale to another, as one.
pub(super) fn rescaled(scale: ValueScale, from: ValueScale, to: ValueScale) -> ValueScale {
    // `to.apply(from.invert(scale.apply(x)))`.
    let factor = scale.factor / from.factor * to.factor;
    let zero = from.invert(scale.apply(0.0));
    ValueScale { offset: -(zero - to.offset) / to.factor * factor, factor }
}

/// Fills `out` from the byte `offset` on, wherever other threads read.
#[cfg(unix)]
fn read_at(file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

/// Fills `out` from the byte `offset` on, wherever other threads read.
#[cfg(windows)]
fn read_at(file: &File, mut offset: u64, mut out: &mut [u8]) -> io::Result<()> {
    while !out.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_read(file, out, offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        offset += count as u64;
        out = &mut out[count..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.bin");
        std::fs::write(&path, bytes).expect("writable");
        (folder, path)
    }

    fn values(array: &DiskArray) -> Vec<f64> {
        let mut out = vec![9.0; array.len()];
        array.read_precise(0, &mut out).expect("there");
        out
    }

    #[test]
    fn numbers_in_chunks_are_read_across_their_ends() {
        // 7 numbers of 2 bytes in chunks of 3, the second before the first.
        let bytes: Vec<u8> =
            [9u16, 3, 4, 5, 9, 0, 1, 2, 6, 9, 9].into_iter().flat_map(u16::to_le_bytes).collect();
        let (_folder, path) = file(&bytes);
        let open = |starts: &[u64], len| {
            let place = Place::Chunks { starts: starts.into(), len: 3 };
            DiskArray::placed(&path, place, len, Element { dtype: Dtype::U16, big: false })
        };
        let array = open(&[10, 2, 16], 7).expect("seven");
        assert_eq!(values(&array), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut part = [0.0; 3];
        array.read_precise(2, &mut part).expect("there");
        assert_eq!(part, [2.0, 3.0, 4.0]);
        for (starts, len) in [(&[10, 2, 21][..], 7), (&[10, 2], 7), (&[10, 18, 2], 6)] {
            let error = open(starts, len).expect_err("beyond the file").to_string();
            assert!(error.contains("chunks do not fit its 22 bytes"), "{error}");
        }
    }

    #[test]
    fn numbers_of_every_type_are_read_in_either_order_of_bytes() {
        macro_rules! check {
            ($type:ty, $dtype:expr, $value:expr) => {
                for big in [false, true] {
                    let value: $type = $value;
                    let bytes = if big { value.to_be_bytes() } else { value.to_le_bytes() };
                    let (_folder, path) = file(&[&[7][..], &bytes, &bytes].concat());
                    let array = DiskArray::open(&path, 1, 2, $dtype, big).expect("two");
                    assert_eq!(values(&array), [value as f64; 2], "{}", $dtype);
                }
            };
        }
        check!(u8, Dtype::U8, 200);
        check!(i8, Dtype::I8, -100);
        check!(u16, Dtype::U16, 60_000);
        check!(i16, Dtype::I16, -30_000);
        check!(u32, Dtype::U32, 4_000_000_000);
        check!(i32, Dtype::I32, -2_000_000_000);
        check!(u64, Dtype::U64, 1 << 50);
        check!(i64, Dtype::I64, -(1 << 50));
        check!(f32, Dtype::F32, -1.25);
        check!(f64, Dtype::F64, 1_700_000_000.125);
        let (_folder, path) = file(&[0x00, 0x3c, 2]);
        assert_eq!(values(&DiskArray::open(&path, 0, 1, Dtype::F16, false).expect("one")), [1.0]);
        assert_eq!(values(&DiskArray::open(&path, 2, 1, Dtype::Bool, false).expect("one")), [1.0]);
    }

    #[test]
    fn nan_is_missing_and_infinity_and_a_short_file_are_refused() {
        let bytes: Vec<u8> =
            [1.0f32, f32::NAN, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let (_folder, path) = file(&bytes);
        let array = DiskArray::open(&path, 0, 4, Dtype::F32, false).expect("four");
        let missing = array.missing(2).expect("finite").expect("one");
        assert_eq!((missing.count(), missing.is_missing(0, 1)), (1, true));
        assert_eq!(values(&array), [1.0, 0.0, 3.0, 4.0]);
        let error = DiskArray::open(&path, 4, 4, Dtype::F32, false).expect_err("too short");
        assert!(error.to_string().contains("4 values of type f32 from byte 4"), "{error}");
        assert!(DiskArray::open(&path, 0, usize::MAX, Dtype::F64, false).is_err());
        let (_folder, path) = file(&f32::INFINITY.to_le_bytes());
        let array = DiskArray::open(&path, 0, 1, Dtype::F32, false).expect("one");
        let error = array.missing(1).expect_err("infinite").to_string();
        assert!(error.contains("row 0, value 0") && error.contains("inf"), "{error}");
        assert!(DiskArray::open(&path, 0, 1, Dtype::Text, false).is_err());
    }
}
