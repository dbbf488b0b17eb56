//! The values of a modality, wherever they lie.
//!
//! Values of most data are in memory. Those that are mostly 0 stay compressed, and those of large
//! files stay in their file, until a batch is gathered; see [`SparseRows`] and [`DiskArray`]. Texts
//! are numbers of tokens until then, see [`TokenRows`].

use multivae_core::schema::{Dtype, ValueScale};
use rayon::prelude::*;

use crate::error::{DataError, Result};

mod disk;
mod draws;
mod held;
mod sparse;
mod tokens;
mod view;

pub use disk::DiskArray;
pub(crate) use disk::Place;
pub use draws::Draws;
pub(crate) use draws::key;
pub(crate) use held::COPIED;
pub use held::HeldArray;
pub use sparse::SparseRows;
pub(crate) use tokens::Pending;
pub use tokens::TokenRows;
pub(crate) use view::Change;
pub use view::View;

/// Bytes up to which a file of values is read into memory whole.
pub(crate) const IN_MEMORY: u64 = 256 << 20;

/// Values that are looked at together.
const BLOCK: usize = 1 << 14;

/// The values of one modality, row by row.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Storage {
    /// The values themselves.
    Floats(Vec<f32>),
    /// Images as they come from files, a quarter of the memory: a byte `b` is the value `b / 255`.
    Bytes(Vec<u8>),
    /// Values with more digits than `f32` has, until they are standardised; a batch rounds them.
    Doubles(Vec<f64>),
    /// Values of which most are 0.
    Sparse(SparseRows),
    /// Values that stay in their file.
    Disk(DiskArray),
    /// Values that another part of the program owns.
    Held(HeldArray),
    /// Tokens of texts, whose values are one-hot.
    Tokens(TokenRows),
    /// Values of another storage that are changed as they are read.
    View(View),
    /// Zeros and ones whose probabilities are the values of another storage.
    Draws(Draws),
}

/// Least and greatest value, and whether all are whole numbers.
type Extent = (f64, f64, bool);

const NOTHING: Extent = (f64::INFINITY, f64::NEG_INFINITY, true);

fn extended(seen: Extent, values: &[f64]) -> Extent {
    values.iter().fold(seen, |(low, high, whole), &value| {
        (low.min(value), high.max(value), whole && value.fract() == 0.0)
    })
}

impl Storage {
    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Bytes(values) => values.len(),
            Self::Doubles(values) => values.len(),
            Self::Sparse(rows) => rows.len(),
            Self::Disk(array) => array.len(),
            Self::Held(array) => array.len(),
            Self::Tokens(rows) => rows.len(),
            Self::View(view) => view.len(),
            Self::Draws(draws) => draws.len(),
        }
    }

    /// Values in as little memory as keeps all their digits: `f32` if that changes none.
    pub fn precise(values: Vec<f64>) -> Self {
        if values.par_iter().all(|&value| f64::from(value as f32) == value) {
            Self::Floats(values.into_iter().map(|value| value as f32).collect())
        } else {
            Self::Doubles(values)
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether most of its values are 0, and not kept.
    pub(crate) fn is_sparse(&self) -> bool {
        match self {
            Self::Sparse(_) => true,
            Self::View(view) => view.base().is_sparse(),
            _ => false,
        }
    }

    /// Whether its values can have more digits than `f32`.
    pub(crate) fn is_double(&self) -> bool {
        match self {
            Self::Doubles(_) => true,
            Self::Disk(array) => !matches!(
                array.dtype(),
                Dtype::Bool
                    | Dtype::U8
                    | Dtype::I8
                    | Dtype::U16
                    | Dtype::I16
                    | Dtype::F16
                    | Dtype::Bf16
                    | Dtype::F32
            ),
            Self::View(view) => view.base().is_double(),
            _ => false,
        }
    }

    /// Its tokens, if its values are those of text.
    pub fn tokens(&self) -> Option<&TokenRows> {
        match self {
            Self::Tokens(rows) => Some(rows),
            _ => None,
        }
    }

    /// Whether its values are in memory one by one; others are changed as they are read.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Floats(_) | Self::Bytes(_) | Self::Doubles(_))
    }

    /// Writes values `from..from + out.len()` to `out`.
    ///
    /// # Errors
    ///
    /// [`DataError::Read`](crate::DataError::Read) if a file cannot be read any more.
    pub(crate) fn read(&self, from: usize, out: &mut [f32]) -> Result<()> {
        let range = from..from + out.len();
        match self {
            Self::Floats(values) => out.copy_from_slice(&values[range]),
            Self::Bytes(values) => {
                for (out, &byte) in out.iter_mut().zip(&values[range]) {
                    *out = f32::from(byte) / 255.0;
                }
            }
            Self::Doubles(values) => {
                for (out, &value) in out.iter_mut().zip(&values[range]) {
                    *out = value as f32;
                }
            }
            Self::Sparse(rows) => rows.read(from, out)?,
            Self::Disk(array) => array.read(from, out)?,
            Self::Held(array) => array.read(from, out),
            Self::Tokens(rows) => rows.read(from, out),
            Self::View(view) => view.read(from, out)?,
            Self::Draws(draws) => draws.read(from, out)?,
        }
        Ok(())
    }

    /// Writes values `from..from + out.len()` to `out`, with all their digits.
    ///
    /// # Errors
    ///
    /// As [`Storage::read`].
    pub(crate) fn read_precise(&self, from: usize, out: &mut [f64]) -> Result<()> {
        let range = from..from + out.len();
        match self {
            Self::Floats(values) => {
                for (out, &value) in out.iter_mut().zip(&values[range]) {
                    *out = f64::from(value);
                }
            }
            Self::Bytes(values) => {
                for (out, &byte) in out.iter_mut().zip(&values[range]) {
                    // As a batch has it, in single precision.
                    *out = f64::from(f32::from(byte) / 255.0);
                }
            }
            Self::Doubles(values) => out.copy_from_slice(&values[range]),
            Self::Sparse(rows) => rows.read(from, out)?,
            Self::Disk(array) => array.read_precise(from, out)?,
            Self::Held(array) => array.read_precise(from, out),
            Self::Tokens(rows) => rows.read(from, out),
            Self::View(view) => view.read_precise(from, out)?,
            Self::Draws(draws) => draws.read(from, out)?,
        }
        Ok(())
    }

    /// One value, with all its digits; for many, [`Storage::read_precise`] is faster.
    ///
    /// # Errors
    ///
    /// As [`Storage::read`].
    pub(crate) fn value(&self, place: usize) -> Result<f64> {
        let mut value = [0.0];
        self.read_precise(place, &mut value)?;
        Ok(value[0])
    }

    /// Makes the values at `places` 0. Those of files stay: that they are missing is said by their
    /// cells.
    pub(crate) fn zero(&mut self, places: &[usize]) {
        match self {
            Self::Floats(values) => places.iter().for_each(|&place| values[place] = 0.0),
            Self::Bytes(values) => places.iter().for_each(|&place| values[place] = 0),
            Self::Doubles(values) => places.iter().for_each(|&place| values[place] = 0.0),
            Self::Sparse(rows) => rows.zero(places),
            Self::Disk(_) | Self::Held(_) | Self::Tokens(_) | Self::View(_) | Self::Draws(_) => {}
        }
    }

    /// What is found in all values, block by block: `seen` of what was seen before and a block, and
    /// `join` of two of these.
    pub(crate) fn fold<T: Clone + Send + Sync>(
        &self,
        none: T,
        seen: impl Fn(T, usize, &[f64]) -> T + Sync,
        join: impl Fn(T, T) -> T + Sync + Send,
    ) -> Result<T> {
        let blocks = self.len().div_ceil(BLOCK);
        let of_block = |block: usize| {
            let from = block * BLOCK;
            let mut values = vec![0.0; BLOCK.min(self.len() - from)];
            self.read_precise(from, &mut values)?;
            Ok(seen(none.clone(), from, &values))
        };
        (0..blocks).into_par_iter().map(of_block).try_reduce(|| none.clone(), |a, b| Ok(join(a, b)))
    }

    /// Least and greatest value, and whether all are whole numbers.
    pub(crate) fn extent(&self) -> Result<(f64, f64, bool)> {
        if let Self::Sparse(rows) = self {
            return rows.extent();
        }
        if let Self::Tokens(rows) = self {
            let low = if rows.classes() > 1 { 0.0 } else { 1.0 };
            return Ok((low, 1.0, true));
        }
        let join = |a: Extent, b: Extent| (a.0.min(b.0), a.1.max(b.1), a.2 && b.2);
        self.fold(NOTHING, |seen, _, values| extended(seen, values), join)
    }

    /// Whether all values are such.
    pub(crate) fn all(&self, such: impl Fn(f64) -> bool + Sync) -> Result<bool> {
        if let Self::Tokens(rows) = self {
            return Ok(such(1.0) && (rows.classes() == 1 || such(0.0)));
        }
        let seen =
            |seen: bool, _: usize, values: &[f64]| seen && values.iter().all(|&value| such(value));
        self.fold(true, seen, |a, b| a && b)
    }

    /// Values of one scale on another one.
    pub(crate) fn rescaled(self, from: ValueScale, to: ValueScale) -> Result<Self> {
        if from == to {
            return Ok(self);
        }
        if let Self::Disk(array) = self {
            return Ok(Self::Disk(array.rescaled(from, to)));
        }
        if let Self::Held(array) = self {
            return Ok(Self::Held(array.rescaled(from, to)));
        }
        let mut out = vec![0.0f32; self.len()];
        out.par_chunks_mut(BLOCK).enumerate().try_for_each(|(block, out)| {
            let mut values = vec![0.0; out.len()];
            self.read_precise(block * BLOCK, &mut values)?;
            for (out, value) in out.iter_mut().zip(values) {
                *out = to.apply(from.invert(value)) as f32;
            }
            Ok::<_, DataError>(())
        })?;
        Ok(Self::Floats(out))
    }

    /// Rows in another order, some again and again, of which the values stay where they are.
    pub(crate) fn rows_of(base: Self, places: &[Option<usize>], features: usize) -> Self {
        Self::View(View::of_rows(base, places, features))
    }

    /// Rows in another order; 0 where there are none.
    pub(crate) fn gather(self, places: &[Option<usize>], features: usize) -> Self {
        fn rows<T: Copy + Default + Send + Sync>(
            values: &[T],
            places: &[Option<usize>],
            features: usize,
        ) -> Vec<T> {
            let mut out = vec![T::default(); places.len() * features];
            out.par_chunks_exact_mut(features).zip(places).for_each(|(out, place)| {
                if let Some(place) = place {
                    out.copy_from_slice(&values[place * features..(place + 1) * features]);
                }
            });
            out
        }
        let as_they_are = places.len() * features == self.len()
            && places.iter().enumerate().all(|(row, place)| *place == Some(row));
        if as_they_are {
            return self;
        }
        match self {
            Self::Floats(values) => Self::Floats(rows(&values, places, features)),
            Self::Bytes(values) => Self::Bytes(rows(&values, places, features)),
            Self::Doubles(values) => Self::Doubles(rows(&values, places, features)),
            Self::Sparse(rows) if !rows.is_on_disk() => Self::Sparse(rows.gather(places)),
            Self::Tokens(rows) => Self::Tokens(rows.gather(places)),
            other => Self::View(View::of_rows(other, places, features)),
        }
    }
}

impl From<Vec<f32>> for Storage {
    fn from(values: Vec<f32>) -> Self {
        Self::Floats(values)
    }
}

impl From<Vec<u8>> for Storage {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_storage_of_the_same_values_says_the_same() {
        let dense = vec![0.0, 2.0, 0.0, 0.0, 0.0, 7.0, 1.0, 0.0, 0.0];
        let sparse = SparseRows::new(3, vec![0, 1, 2, 3], vec![1, 2, 0], vec![2.0, 7.0, 1.0])
            .expect("valid");
        let plain = Storage::Floats(dense.clone());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.bin");
        let bytes: Vec<u8> = dense.iter().flat_map(|v: &f32| v.to_le_bytes()).collect();
        std::fs::write(&path, [&[9; 5][..], &bytes].concat()).expect("writable");
        let disk = DiskArray::open(&path, 5, 9, Dtype::F32, false);
        let others = [
            Storage::Sparse(sparse.clone()),
            Storage::Disk(disk.expect("there")),
            Storage::Held(HeldArray::new(std::sync::Arc::new(dense.clone()))),
            Storage::Doubles(dense.iter().copied().map(f64::from).collect()),
        ];
        let places = [Some(2), None, Some(0), Some(0)];
        let read = |storage: &Storage, from: usize, count: usize| {
            let (mut single, mut double) = (vec![9.0; count], vec![9.0; count]);
            storage.read(from, &mut single).expect("there");
            storage.read_precise(from, &mut double).expect("there");
            assert!(single.iter().zip(&double).all(|(a, b)| f64::from(*a) == *b));
            single
        };
        let gathered = plain.clone().gather(&places, 3);
        for other in others {
            assert_eq!((other.len(), other.is_empty()), (9, false));
            assert_eq!(other.extent().expect("there"), plain.extent().expect("there"));
            for (from, count) in [(0, 9), (3, 3), (1, 4), (8, 1), (4, 0)] {
                assert_eq!(read(&other, from, count), dense[from..from + count], "{other:?}");
            }
            assert!(other.all(|value| value < 8.0).expect("there"));
            assert!(!other.all(|value| value < 7.0).expect("there"));
            let rows = other.clone().gather(&places, 3);
            assert_eq!(read(&rows, 0, 12), read(&gathered, 0, 12));
            assert_eq!(read(&rows, 4, 7), read(&gathered, 4, 7));
            let half = ValueScale::up_to(2.0);
            let halved = other.clone().rescaled(ValueScale::IDENTITY, half).expect("there");
            assert_eq!(read(&halved, 0, 9)[5], 3.5);
            // Rows that are where they were are not copied.
            let same: Vec<_> = (0..3).map(Some).collect();
            assert_eq!(other.clone().gather(&same, 3), other);
        }
    }

    #[test]
    fn rows_in_another_order_keep_their_digits() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.bin");
        let seconds = [1_700_000_000.125f64, 1_700_000_060.25];
        std::fs::write(&path, seconds.map(f64::to_le_bytes).concat()).expect("writable");
        let disk = DiskArray::open(&path, 0, 2, Dtype::F64, false).expect("two");
        let turned = Storage::Disk(disk).gather(&[Some(1), Some(0)], 1);
        let mut out = [0.0; 2];
        turned.read_precise(0, &mut out).expect("there");
        assert_eq!(out, [seconds[1], seconds[0]]);
        assert!(turned.is_double());
    }
}
