//! Which values a likelihood is a distribution over.

use std::fmt;

/// The values that a likelihood takes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Support {
    /// Any finite number.
    Real,
    /// Finite numbers above 0.
    Positive,
    /// Numbers from 0 to 1.
    Unit,
    /// Numbers from 0 to 1 whose sum over the last axis is 1.
    Simplex,
    /// Whole numbers from 0.
    Counts,
    /// Whole numbers from 0 below a number of classes.
    Levels(usize),
    /// What a test of the user's accepts.
    Where {
        /// The values in words, as `angles in radians`.
        expected: &'static str,
        /// The test.
        accepts: fn(f32) -> bool,
        /// A value that it accepts, to stand where a cell is missing.
        example: f32,
    },
}

/// How far from 1 the sum of probabilities may be.
const SUM_TOLERANCE: f32 = 1e-3;

impl Support {
    /// Whether a single value belongs to it.
    pub fn accepts(self, value: f32) -> bool {
        let whole = value >= 0.0 && value.fract() == 0.0;
        match self {
            Self::Real => value.is_finite(),
            Self::Positive => value > 0.0 && value.is_finite(),
            Self::Unit | Self::Simplex => (0.0..=1.0).contains(&value),
            Self::Counts => whole && value.is_finite(),
            Self::Levels(classes) => whole && value < classes as f32,
            Self::Where { accepts, .. } => accepts(value),
        }
    }

    /// The column of the first observed value of a row of `shape` that does not belong to it: of
    /// probabilities that do not add up, the first. `observed` says of a column whether anything
    /// is there.
    pub fn first_outside(
        self,
        row: &[f32],
        shape: &[usize],
        observed: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let outside = |&column: &usize| observed(column) && !self.accepts(row[column]);
        if let Some(column) = (0..row.len()).find(outside) {
            return Some(column);
        }
        let Self::Simplex = self else { return None };
        let classes = shape.last().copied().unwrap_or(1).max(1);
        (0..row.len()).step_by(classes).find(|&start| {
            let end = (start + classes).min(row.len());
            let sum: f32 = row[start..end].iter().sum();
            (start..end).all(&observed) && (sum - 1.0).abs() > SUM_TOLERANCE
        })
    }

    /// A value that belongs to it, to stand where a cell is missing.
    pub fn example(self) -> f32 {
        match self {
            Self::Real | Self::Unit | Self::Simplex | Self::Counts | Self::Levels(_) => 0.0,
            Self::Positive => 1.0,
            Self::Where { example, .. } => example,
        }
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Real => f.write_str("finite numbers"),
            Self::Positive => f.write_str("finite numbers above 0"),
            Self::Unit => f.write_str("values from 0 to 1"),
            Self::Simplex => f.write_str("values from 0 to 1 whose sum over the last axis is 1"),
            Self::Counts => f.write_str("whole numbers from 0"),
            Self::Levels(classes) => {
                write!(f, "whole numbers from 0 to {}", classes.saturating_sub(1))
            }
            Self::Where { expected, .. } => f.write_str(expected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_and_fractional_counts_are_found_by_their_column() {
        let first = |row: &[f32]| Support::Counts.first_outside(row, &[row.len()], |_| true);
        assert_eq!(first(&[0.0, 3.0, 1e6]), None);
        assert_eq!(first(&[0.0, -1.0]), Some(1));
        assert_eq!(first(&[0.5, 1.0]), Some(0));
        assert_eq!(first(&[0.0, 1.0, f32::INFINITY]), Some(2));
    }

    #[test]
    fn what_is_not_observed_may_be_anything() {
        let row = [f32::NAN, 1.0];
        assert_eq!(Support::Counts.first_outside(&row, &[2], |column| column == 1), None);
        let half = [1.0, f32::NAN, 0.0, 1.0];
        assert_eq!(Support::Simplex.first_outside(&half, &[2, 2], |column| column != 1), None);
    }

    #[test]
    fn probabilities_that_do_not_add_up_are_found() {
        let row = [0.5, 0.5, 0.7, 0.7];
        assert_eq!(Support::Simplex.first_outside(&row, &[2, 2], |_| true), Some(2));
    }

    #[test]
    fn classes_end_before_their_number() {
        assert!(Support::Levels(3).accepts(2.0) && !Support::Levels(3).accepts(3.0));
    }
}
