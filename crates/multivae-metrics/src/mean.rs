//! A running mean with its standard error.

use serde::{Deserialize, Serialize};

/// A mean over rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Its standard error: the rows' standard deviation over the root of their number. 0 for one
    /// row, of which nothing is known.
    pub standard_error: f64,
}

/// Takes values one by one; numerically stable (Welford 1962).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Running {
    count: usize,
    mean: f64,
    squares: f64,
}

impl Running {
    pub(crate) fn push(&mut self, value: f64) {
        self.count += 1;
        let distance = value - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (value - self.mean);
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Of the values, not of their mean; 0 for fewer than two.
    pub(crate) fn variance(&self) -> f64 {
        if self.count > 1 { self.squares / (self.count as f64 - 1.0) } else { 0.0 }
    }

    /// `None` if there was no value.
    pub(crate) fn finish(&self) -> Option<Mean> {
        let n = self.count as f64;
        let standard_error = (self.variance() / n).sqrt();
        (self.count > 0).then_some(Mean { mean: self.mean, standard_error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_its_standard_error_also_far_from_zero() {
        let mut running = Running::default();
        for value in [1e9 + 1.0, 1e9 + 2.0, 1e9 + 6.0] {
            running.push(value);
        }
        let mean = running.finish().expect("three values");
        assert_eq!(mean.mean, 1e9 + 3.0);
        // Squares of -2, -1 and 3 over 2, over 3.
        assert!((mean.standard_error - (14.0f64 / 2.0 / 3.0).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn no_value_has_no_mean_and_one_value_no_error() {
        assert_eq!(Running::default().finish(), None);
        let mut running = Running::default();
        running.push(4.0);
        assert_eq!(running.finish(), Some(Mean { mean: 4.0, standard_error: 0.0 }));
    }
}
