//! Numbers that another part of the program owns.

use std::{fmt, path::Path};

use multivae_core::schema::ValueScale;
use rayon::prelude::*;

use super::{BLOCK, disk::rescaled};
use crate::{
    cells::MissingCells,
    error::{DataError, Result},
    held::SharedFloats,
};

/// Bytes up to which numbers that others own are copied: what is changed once is read faster.
pub(crate) const COPIED: u64 = 64 << 20;

/// Numbers in single precision that another part of the program owns, such as an array of NumPy's. They
/// are never copied whole. NaN is read as 0.
#[derive(Clone)]
pub struct HeldArray {
    values: SharedFloats,
    scale: ValueScale,
}

impl fmt::Debug for HeldArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} floats", self.len())
    }
}

impl PartialEq for HeldArray {
    fn eq(&self, other: &Self) -> bool {
        self.scale == other.scale && self.values() == other.values()
    }
}

impl HeldArray {
    /// These numbers, which must not change from now on.
    pub fn new(values: SharedFloats) -> Self {
        Self { values, scale: ValueScale::IDENTITY }
    }

    fn values(&self) -> &[f32] {
        (*self.values).as_ref()
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.values().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same values on another scale.
    pub(super) fn rescaled(self, from: ValueScale, to: ValueScale) -> Self {
        Self { scale: rescaled(self.scale, from, to), ..self }
    }

    /// Which of the values, `features` to a row, are missing, since they are NaN; `None` if none is.
    ///
    /// # Errors
    ///
    /// [`DataError::Infinite`] with the first infinite value of the array `path`.
    pub(crate) fn missing(&self, features: usize, path: &Path) -> Result<Option<MissingCells>> {
        let values = self.values();
        if let Some(place) = values.par_iter().position_first(|value| value.is_infinite()) {
            return Err(DataError::Infinite {
                path: path.into(),
                row: place / features,
                value: place % features,
                found: f64::from(values[place]),
            });
        }
        if !values.par_chunks(BLOCK).any(|block| block.iter().any(|value| value.is_nan())) {
            return Ok(None);
        }
        Ok(MissingCells::from_flags(features, values.iter().map(|value| value.is_nan())))
    }

    pub(super) fn read(&self, from: usize, out: &mut [f32]) {
        let values = &self.values()[from..from + out.len()];
        for (out, &value) in out.iter_mut().zip(values) {
            *out = match value.is_nan() {
                true => 0.0,
                false => self.scale.apply(f64::from(value)) as f32,
            };
        }
    }

    pub(super) fn read_precise(&self, from: usize, out: &mut [f64]) {
        let values = &self.values()[from..from + out.len()];
        for (out, &value) in out.iter_mut().zip(values) {
            *out = if value.is_nan() { 0.0 } else { self.scale.apply(f64::from(value)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn numbers_of_others_are_read_as_those_of_files() {
        let values: SharedFloats = Arc::new(vec![0.0, 51.0, f32::NAN, 255.0]);
        let held = HeldArray::new(values);
        let missing = held.missing(2, Path::new("a")).expect("finite").expect("one");
        assert_eq!((missing.count(), missing.is_missing(1, 0)), (1, true));
        let scaled = held.clone().rescaled(ValueScale::IDENTITY, ValueScale::up_to(255.0));
        let (mut single, mut double) = ([9.0f32; 3], [9.0f64; 3]);
        scaled.read(1, &mut single);
        scaled.read_precise(1, &mut double);
        assert_eq!((single, double), ([0.2, 0.0, 1.0], [0.2, 0.0, 1.0]));
        let infinite = HeldArray::new(Arc::new(vec![1.0, 2.0, f32::NEG_INFINITY]));
        let error = infinite.missing(2, Path::new("a")).expect_err("infinite").to_string();
        assert!(error.contains("row 1, value 0"), "{error}");
    }
}
