//! Rows that lack modalities, made on purpose.

use multivae_core::{dataset::Dataset, subset::Subset};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{
    error::{DataError, Result},
    memory::MemoryDataset,
};

/// Which modalities go missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// None but those that the data lacks anyway.
    #[default]
    None,
    /// Completely at random: each modality but the first with the same probability; see [`mcar`].
    Mcar,
    /// With a probability that differs between classes; see [`class_dependent`].
    ClassDependent,
    /// Rows that lack a modality are dropped, those that the data lacks and those that
    /// [`Pattern::Mcar`] takes at the same rate and seed: what a model that needs complete rows
    /// would have to learn from.
    CompleteCases,
}

/// Missing modalities of the training and validation rows.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `pattern` | `"none"` | `"none"`, `"mcar"`, `"class_dependent"` or `"complete_cases"` | |
/// | `rate` | 0.0 | probability that a modality is missing; for `"class_dependent"` its mean over the classes | `[0, 1)` |
/// | `seed` | 0 | from which the missing entries derive | |
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MissingConfig {
    /// Which modalities go missing.
    pub pattern: Pattern,
    /// Probability that a modality is missing.
    pub rate: f64,
    /// From which the missing entries derive.
    pub seed: u64,
}

impl MissingConfig {
    /// The data set with missing modalities, or without the rows that lack one.
    ///
    /// # Errors
    ///
    /// [`DataError::Config`] for a rate out of its range or that the pattern does not use,
    /// [`DataError::NoLabels`].
    pub fn apply(&self, data: &MemoryDataset) -> Result<MemoryDataset> {
        let masked = self.mask(data)?;
        Ok(self.drop_rows(masked))
    }

    /// The data set with all its rows, and missing modalities.
    pub(crate) fn mask(&self, data: &MemoryDataset) -> Result<MemoryDataset> {
        let bad = |expected: &str| DataError::Config {
            field: "missing.rate".into(),
            expected: expected.into(),
            found: self.rate.to_string(),
        };
        if !(0.0..1.0).contains(&self.rate) {
            return Err(bad("a probability from 0 to below 1"));
        }
        match self.pattern {
            Pattern::None if self.rate > 0.0 => Err(bad("0, since `missing.pattern` is `none`")),
            Pattern::None => Ok(data.clone()),
            Pattern::Mcar | Pattern::CompleteCases => mcar(data, self.rate, self.seed),
            Pattern::ClassDependent => {
                let classes = classes(data)?;
                let table = class_rates(data.modalities().len(), classes.len(), self.rate);
                class_dependent(data, &table, self.seed)
            }
        }
    }

    pub(crate) fn drop_rows(&self, data: MemoryDataset) -> MemoryDataset {
        match self.pattern {
            Pattern::CompleteCases => data.complete_cases(),
            Pattern::None | Pattern::Mcar | Pattern::ClassDependent => data,
        }
    }
}

/// Takes each modality but the first from each row with probability `rate`, independently: missing
/// completely at random, as in the incomplete PolyMNIST of the field.
///
/// The first modality is always kept, so that every row observes one; in a row that lacks it
/// already, the first one that the row has.
///
/// # Errors
///
/// [`DataError::Config`] if `rate` is not in `[0, 1)`.
pub fn mcar(data: &MemoryDataset, rate: f64, seed: u64) -> Result<MemoryDataset> {
    let first = |row| data.presence(row).iter().next().expect("a subset is not empty");
    let firsts: Vec<_> = (0..data.len()).map(first).collect();
    let rates: Vec<Vec<f64>> = (0..data.modalities().len())
        .map(|m| firsts.iter().map(|&first| if m == first { 0.0 } else { rate }).collect())
        .collect();
    take(data, seed, &rates, |row| firsts[row])
}

/// Takes modality `m` from a row of the class of number `k` with probability `rates[m][k]`: missing
/// depending on the class, as in the incomplete MHD of the field.
///
/// Classes are numbered in the order of their labels. A row that would lose all its modalities
/// keeps one, drawn uniformly from those that it had.
///
/// # Errors
///
/// [`DataError::NoLabels`]; [`DataError::Config`] if `rates` has another shape than `[modality,
/// class]` or holds anything but probabilities.
pub fn class_dependent(
    data: &MemoryDataset,
    rates: &[Vec<f64>],
    seed: u64,
) -> Result<MemoryDataset> {
    let classes = classes(data)?;
    let modalities = data.modalities().len();
    if rates.len() != modalities || rates.iter().any(|r| r.len() != classes.len()) {
        return Err(DataError::Config {
            field: "rates".into(),
            expected: format!("{modalities} lists of {} probabilities", classes.len()),
            found: format!("{:?}", rates.iter().map(Vec::len).collect::<Vec<_>>()),
        });
    }
    let class = |row| classes.binary_search(&data.label(row)?).ok();
    let of_rows: Vec<Option<usize>> = (0..data.len()).map(class).collect();
    // A row without a label goes by the mean of the classes.
    let of_row = |rates: &Vec<f64>, class: Option<usize>| match class {
        Some(class) => rates[class],
        None => rates.iter().sum::<f64>() / rates.len() as f64,
    };
    let rates: Vec<Vec<f64>> = rates
        .iter()
        .map(|rates| of_rows.iter().map(|&class| of_row(rates, class)).collect())
        .collect();
    // The kept one is drawn for every row, so that it is no matter which rows need it.
    let mut keep = stream(seed, modalities);
    let keep: Vec<f64> = (0..data.len()).map(|_| keep.random()).collect();
    take(data, seed, &rates, |row| {
        let before = data.presence(row);
        let nth = (keep[row] * before.len() as f64) as usize;
        before.iter().nth(nth).expect("a uniform number is below 1")
    })
}

/// The different labels, ascending.
fn classes(data: &MemoryDataset) -> Result<Vec<i64>> {
    let labels = data.labels().ok_or(DataError::NoLabels)?;
    let mut classes: Vec<i64> = labels.into_iter().flatten().collect();
    classes.sort_unstable();
    classes.dedup();
    Ok(classes)
}

/// Rates `[modality, class]` whose mean over the classes is `rate`: they rise evenly over the
/// classes, as widely as probabilities can around that mean, and each modality starts at another
/// class.
fn class_rates(modalities: usize, classes: usize, rate: f64) -> Vec<Vec<f64>> {
    let spread = rate.min(1.0 - rate);
    let of = |m: usize, class: usize| {
        let place = (class + m * classes / modalities) % classes;
        let place = if classes > 1 { place as f64 / (classes - 1) as f64 } else { 0.5 };
        (rate + spread * (2.0 * place - 1.0)).clamp(0.0, 1.0)
    };
    (0..modalities).map(|m| (0..classes).map(|class| of(m, class)).collect()).collect()
}

/// Takes modalities by `rates[modality][row]`; a row that would lose all keeps `keep(row)`.
fn take(
    data: &MemoryDataset,
    seed: u64,
    rates: &[Vec<f64>],
    keep: impl Fn(usize) -> usize,
) -> Result<MemoryDataset> {
    if let Some(rate) = rates.iter().flatten().find(|rate| !(0.0..=1.0).contains(*rate)) {
        return Err(DataError::Config {
            field: "rates".into(),
            expected: "probabilities".into(),
            found: rate.to_string(),
        });
    }
    // A stream for each modality: what a modality lacks does not depend on the other ones.
    let taken: Vec<Vec<bool>> = rates
        .iter()
        .enumerate()
        .map(|(m, rates)| {
            let mut stream = stream(seed, m);
            rates.iter().map(|&rate| stream.random::<f64>() < rate).collect()
        })
        .collect();
    let presence = (0..data.len())
        .map(|row| {
            let kept = data.presence(row).iter().filter(|&m| !taken[m][row]);
            Subset::new(kept).unwrap_or_else(|_| Subset::single(keep(row)))
        })
        .collect();
    data.clone().with_presence(presence)
}

fn stream(seed: u64, number: usize) -> ChaCha8Rng {
    let mut stream = ChaCha8Rng::seed_from_u64(seed);
    stream.set_stream(number as u64);
    stream
}

#[cfg(test)]
mod tests {
    use multivae_core::modality::ModalitySpec;
    use proptest::prelude::*;

    use super::*;

    fn data(rows: usize, modalities: usize) -> MemoryDataset {
        let one = |m| {
            let spec = ModalitySpec::new(&format!("m{m}"), &[1]).expect("valid");
            (spec, vec![1.0f32; rows].into())
        };
        MemoryDataset::new((0..modalities).map(one).collect())
            .and_then(|data| data.with_labels((0..rows as i64).map(|row| row % 10).collect()))
            .expect("as many labels as rows")
    }

    fn rate(data: &MemoryDataset, modality: usize) -> f64 {
        let missing = (0..data.len()).filter(|&row| !data.presence(row).contains(modality)).count();
        missing as f64 / data.len() as f64
    }

    proptest! {
        #[test]
        fn every_row_keeps_a_modality_and_rates_are_kept(
            rate_ in 0.0..0.99, seed: u64, modalities in 1usize..6,
        ) {
            let data = mcar(&data(2000, modalities), rate_, seed).expect("a probability");
            prop_assert!(rate(&data, 0) == 0.0);
            for m in 1..modalities {
                // Six standard deviations of a mean of 2000 draws, at most.
                prop_assert!((rate(&data, m) - rate_).abs() < 6.0 * 0.5 / 2000f64.sqrt());
            }
        }
    }

    #[test]
    fn a_row_without_the_first_modality_keeps_its_own_first_one() {
        let presence = vec![Subset::new([1, 2]).expect("two"); 300];
        let data = data(300, 3).with_presence(presence).expect("a part");
        let data = mcar(&data, 0.5, 0).expect("a probability");
        assert!((0..300).all(|row| data.presence(row).contains(1)));
        assert!((0..300).any(|row| !data.presence(row).contains(2)));
        assert!((0..300).all(|row| !data.presence(row).contains(0)));
    }

    #[test]
    fn some_classes_miss_more_and_the_mean_is_the_rate() {
        for mean in [0.3, 0.8] {
            let config = MissingConfig { pattern: Pattern::ClassDependent, rate: mean, seed: 3 };
            let data = config.apply(&data(20_000, 5)).expect("labelled");
            for m in 0..5 {
                let of_class = |class| {
                    let rows: Vec<_> =
                        (0..data.len()).filter(|&row| data.label(row) == Some(class)).collect();
                    rate(&data.select(&rows), m)
                };
                let rates: Vec<_> = (0..10).map(of_class).collect();
                let (low, high) =
                    rates.iter().fold((1f64, 0f64), |(l, h), &r| (l.min(r), h.max(r)));
                assert!(high - low > 0.3, "{rates:?}");
                // Rows that would lose everything keep one modality, which lowers high rates.
                assert!((rate(&data, m) - mean).abs() < if mean < 0.5 { 0.02 } else { 0.12 });
            }
        }
    }

    #[test]
    fn rates_of_classes_are_probabilities_with_the_mean_asked_for() {
        for (modalities, classes, mean) in [(1, 1, 0.4), (3, 10, 0.0), (5, 7, 0.9), (2, 2, 0.5)] {
            for rates in class_rates(modalities, classes, mean) {
                assert!(rates.iter().all(|rate| (0.0..=1.0).contains(rate)), "{rates:?}");
                let found = rates.iter().sum::<f64>() / classes as f64;
                assert!((found - mean).abs() < 1e-12, "{rates:?}");
            }
        }
    }

    #[test]
    fn complete_cases_are_those_that_lack_nothing_at_the_same_rate_and_seed() {
        let config = |pattern| MissingConfig { pattern, rate: 0.4, seed: 5 };
        let masked = config(Pattern::Mcar).apply(&data(1000, 3)).expect("a probability");
        let complete = config(Pattern::CompleteCases).apply(&data(1000, 3)).expect("a probability");
        assert_eq!(complete.len(), masked.len() - masked.incomplete_rows());
        assert_eq!(complete.incomplete_rows(), 0);
        // (1 - 0.4)^2 of the rows, within six standard deviations.
        assert!((complete.len() as f64 - 360.0).abs() < 91.0, "{}", complete.len());
    }

    #[test]
    fn a_seed_gives_one_mask_and_another_seed_another() {
        let mask = |seed| {
            let data = mcar(&data(50, 3), 0.5, seed).expect("a probability");
            (0..50).map(|row| data.presence(row)).collect::<Vec<_>>()
        };
        assert_eq!(mask(1), mask(1));
        assert_ne!(mask(1), mask(2));
    }

    #[test]
    fn rates_out_of_range_are_refused() {
        for rate in [-0.1, 1.0, f64::NAN] {
            let config = MissingConfig { pattern: Pattern::Mcar, rate, seed: 0 };
            let error = config.apply(&data(3, 2)).expect_err("no probability");
            assert!(error.to_string().starts_with("`missing.rate`: expected a prob"), "{error}");
        }
        let config = MissingConfig { rate: 0.5, ..Default::default() };
        let error = config.apply(&data(3, 2)).expect_err("no pattern");
        assert!(error.to_string().contains("`missing.pattern` is `none`"), "{error}");
        let error = class_dependent(&data(20, 2), &[vec![0.5; 10]], 0).expect_err("one modality");
        assert!(error.to_string().contains("expected 2 lists of 10"), "{error}");
    }

    #[test]
    fn class_dependence_needs_labels() {
        let spec = ModalitySpec::new("a", &[1]).expect("valid");
        let data = MemoryDataset::new(vec![(spec, vec![1.0f32].into())]).expect("one row");
        let error = class_dependent(&data, &[vec![]], 0).expect_err("no labels");
        assert!(matches!(error, DataError::NoLabels), "{error}");
    }
}
