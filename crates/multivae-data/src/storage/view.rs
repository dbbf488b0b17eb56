//! Values that are changed as they are read.

use std::sync::Arc;

use super::Storage;
use crate::error::Result;

/// Rows of another storage, in another order or standardised.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    base: Arc<Storage>,
    features: usize,
    /// The row of the base that each row is, [`NONE`] for one without values; `None` if all are where
    /// they were.
    rows: Option<Arc<[usize]>>,
    change: Option<Arc<Change>>,
}

const NONE: usize = usize::MAX;

/// What is done to the values of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) mean: Vec<f64>,
    pub(crate) std: Vec<f64>,
    /// Between which values of each feature they are kept.
    pub(crate) limits: Option<Vec<(f32, f32)>>,
}

impl View {
    /// The rows at `places`; zeros where there are none.
    pub(super) fn of_rows(base: Storage, places: &[Option<usize>], features: usize) -> Self {
        let rows: Arc<[usize]> = places.iter().map(|place| place.unwrap_or(NONE)).collect();
        match base {
            Storage::View(Self { base, rows: Some(of), change: None, .. }) => {
                let look = |row: &usize| if *row == NONE { NONE } else { of[*row] };
                let rows = Some(rows.iter().map(look).collect());
                Self { base, features, rows, change: None }
            }
            base => Self { base: Arc::new(base), features, rows: Some(rows), change: None },
        }
    }

    /// The same rows, changed.
    pub(crate) fn changed(base: Arc<Storage>, change: Change) -> Self {
        let features = change.mean.len();
        Self { base, features, rows: None, change: Some(Arc::new(change)) }
    }

    /// What it is a view of.
    pub(super) fn base(&self) -> &Storage {
        &self.base
    }

    pub(super) fn len(&self) -> usize {
        self.rows.as_ref().map_or(self.base.len(), |rows| rows.len() * self.features)
    }

    /// As [`View::read`], with all digits unless values are changed.
    pub(super) fn read_precise(&self, from: usize, out: &mut [f64]) -> Result<()> {
        if self.change.is_none() {
            return self.each(from, out.len(), |place, _, values| {
                out[place..place + values.len()].copy_from_slice(values);
            });
        }
        let mut single = vec![0.0; out.len()];
        self.read(from, &mut single)?;
        out.iter_mut().zip(single).for_each(|(out, value)| *out = f64::from(value));
        Ok(())
    }

    pub(super) fn read(&self, from: usize, out: &mut [f32]) -> Result<()> {
        self.each(from, out.len(), |place, feature, values| {
            let out = &mut out[place..place + values.len()];
            match &self.change {
                None => out.iter_mut().zip(values).for_each(|(out, value)| *out = *value as f32),
                Some(change) => {
                    for ((out, value), f) in out.iter_mut().zip(values).zip(feature..) {
                        *out = ((value - change.mean[f]) / change.std[f]) as f32;
                        if let Some(limits) = &change.limits {
                            *out = out.clamp(limits[f].0, limits[f].1);
                        }
                    }
                }
            }
        })
    }

    /// Calls `see` with the parts of `count` values that lie in one row: their place among these,
    /// their first feature, and their values in the base.
    fn each(
        &self,
        from: usize,
        count: usize,
        mut see: impl FnMut(usize, usize, &[f64]),
    ) -> Result<()> {
        let mut values = vec![0.0; self.features];
        let mut place = 0;
        while place < count {
            let (row, feature) = ((from + place) / self.features, (from + place) % self.features);
            let part = &mut values[..(self.features - feature).min(count - place)];
            match self.rows.as_ref().map_or(row, |rows| rows[row]) {
                NONE => part.fill(0.0),
                row => self.base.read_precise(row * self.features + feature, part)?,
            }
            see(place, feature, part);
            place += part.len();
        }
        Ok(())
    }
}
