//! Training, validation and test rows.

use multivae_core::dataset::Dataset;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{
    error::{DataError, Result},
    read::volume::slices,
};

/// How rows are shared out; the same for the same seed and number of rows, or of subjects where rows
/// are slices of their volumes.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `valid` | 0.1 | share of the rows for validation | `[0, 1)` |
/// | `test` | 0.2 | share of the rows for the test | `[0, 1)`, with `valid` below 1 |
/// | `seed` | 0 | from which the order derives | |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// Share of the rows for validation.
    pub valid: f64,
    /// Share of the rows for the test.
    pub test: f64,
    /// From which the order derives.
    pub seed: u64,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self { valid: 0.1, test: 0.2, seed: 0 }
    }
}

impl SplitConfig {
    /// Shares out `rows` rows. A share above 0 has at least one row.
    ///
    /// # Errors
    ///
    /// [`DataError::Config`] for shares out of their range, [`DataError::NoRows`] if none are left
    /// for training.
    pub fn parts(&self, rows: usize) -> Result<SplitIndices> {
        self.shared_out(rows, "rows")
    }

    /// Shares out the rows of a data set. Rows that are slices of one volume, see
    /// [`slices`](multivae_core::schema::ImageConversion::slices), fall into one part with all
    /// rows of their subject, and the shares are of subjects.
    ///
    /// # Errors
    ///
    /// As [`SplitConfig::parts`].
    pub fn parts_of(&self, data: &dyn Dataset) -> Result<SplitIndices> {
        let Some(subjects) = slices::subjects(data) else { return self.parts(data.len()) };
        let count = subjects.iter().max().map_or(0, |last| last + 1);
        let parts = self.shared_out(count, "subjects")?;
        let rows = |part: &[usize]| {
            let mut chosen = vec![false; count];
            part.iter().for_each(|&subject| chosen[subject] = true);
            (0..subjects.len()).filter(|&row| chosen[subjects[row]]).collect()
        };
        Ok(SplitIndices {
            train: rows(&parts.train),
            valid: rows(&parts.valid),
            test: rows(&parts.test),
        })
    }

    fn shared_out(&self, rows: usize, what: &str) -> Result<SplitIndices> {
        self.check()?;
        let count = |share: f64| {
            let rounded = (share * rows as f64).round() as usize;
            if share > 0.0 { rounded.max(1) } else { 0 }
        };
        let (test, valid) = (count(self.test), count(self.valid));
        if rows <= test + valid {
            return Err(DataError::NoRows {
                reason: format!(
                    "{rows} {what}, of which {valid} for validation and {test} to test"
                ),
            });
        }
        let order = shuffled(rows, self.seed);
        let sorted = |part: &[usize]| {
            let mut part = part.to_vec();
            part.sort_unstable();
            part
        };
        Ok(SplitIndices {
            test: sorted(&order[..test]),
            valid: sorted(&order[test..test + valid]),
            train: sorted(&order[test + valid..]),
        })
    }

    fn check(&self) -> Result<()> {
        let bad = |field: &str, expected: &str, found: f64| DataError::Config {
            field: format!("split.{field}"),
            expected: expected.into(),
            found: found.to_string(),
        };
        for (field, share) in [("valid", self.valid), ("test", self.test)] {
            if !(0.0..1.0).contains(&share) {
                return Err(bad(field, "a share from 0 to below 1", share));
            }
        }
        if self.valid + self.test >= 1.0 {
            let expected = "shares `valid` and `test` that leave rows to train";
            return Err(bad("valid + test", expected, self.valid + self.test));
        }
        Ok(())
    }
}

/// The rows of each split, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitIndices {
    /// Rows to learn from.
    pub train: Vec<usize>,
    /// Rows to choose the best epoch by.
    pub valid: Vec<usize>,
    /// Rows that nothing is chosen by.
    pub test: Vec<usize>,
}

impl SplitIndices {
    /// The three splits with their names.
    pub fn named(&self) -> [(&'static str, &[usize]); 3] {
        [("train", &self.train), ("valid", &self.valid), ("test", &self.test)]
    }
}

/// The numbers below `n` in an order of the seed's.
pub(crate) fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<_> = (0..n).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn splits_are_disjoint_and_complete(
            rows in 3usize..500, valid in 0.0..0.45, test in 0.0..0.45, seed: u64,
        ) {
            let parts = SplitConfig { valid, test, seed }.parts(rows);
            prop_assume!(parts.is_ok() || rows > 20);
            let parts = parts.expect("enough rows");
            let mut all = [parts.train, parts.valid, parts.test].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..rows).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_seed_gives_one_split_and_another_seed_another() {
        let parts = |seed| SplitConfig { seed, ..Default::default() }.parts(100).expect("valid");
        assert_eq!(parts(1), parts(1));
        assert_ne!(parts(1), parts(2));
        assert_eq!((parts(1).train.len(), parts(1).valid.len(), parts(1).test.len()), (70, 10, 20));
    }

    #[test]
    fn a_small_share_has_a_row_and_no_share_has_none() {
        let parts = SplitConfig { valid: 0.01, test: 0.0, seed: 0 }.parts(5).expect("valid");
        assert_eq!((parts.train.len(), parts.valid.len(), parts.test.len()), (4, 1, 0));
    }

    #[test]
    fn shares_out_of_range_are_refused_by_field() {
        for (valid, test, field) in [
            (-0.1, 0.2, "split.valid"),
            (0.1, f64::NAN, "split.test"),
            (0.1, 1.0, "split.test"),
            (0.5, 0.5, "split.valid + test"),
        ] {
            let error = SplitConfig { valid, test, seed: 0 }.parts(10).expect_err("out of range");
            assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
        }
    }

    #[test]
    fn too_few_rows_are_refused() {
        let error = SplitConfig::default().parts(2).expect_err("none to train");
        assert!(matches!(error, DataError::NoRows { .. }), "{error}");
    }
}
