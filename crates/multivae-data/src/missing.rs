//! Rows that lack modalities, or single values of them, made on purpose.

use std::{ops::Range, sync::Arc};

use multivae_core::{dataset::Dataset, modality::ModalitySpec, subset::Subset};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{
    cells::MissingCells,
    error::{DataError, Result},
    memory::MemoryDataset,
    view::{Masked, Select},
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
    /// Single values completely at random, each with the same probability; see [`cells`].
    Cells,
    /// Single values with a probability that differs between the columns; see [`columns`].
    Columns,
    /// Runs of neighbouring columns, another one in each row; see [`blocks`].
    Blocks,
    /// Rows that lack a modality are dropped, those that the data lacks and those that
    /// [`Pattern::Mcar`] takes at the same rate and seed: what a model that needs complete rows
    /// would have to learn from.
    CompleteCases,
}

/// Missing modalities, or values of them, of the training and validation rows.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `pattern` | `"none"` | `"none"`, `"mcar"`, `"class_dependent"` or `"complete_cases"` for modalities; `"cells"`, `"columns"` or `"blocks"` for single values | |
/// | `rate` | 0.0 | probability that a modality, or a value, is missing; for `"class_dependent"` and `"columns"` its mean over the classes or columns | `[0, 1)` |
/// | `seed` | 0 | from which the missing entries derive | |
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MissingConfig {
    /// Which modalities or values go missing.
    pub pattern: Pattern,
    /// Probability that a modality, or a value, is missing.
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

    /// A view of any data set with missing modalities or values, or without the rows that lack a
    /// modality.
    ///
    /// # Errors
    ///
    /// As [`MissingConfig::apply`].
    pub fn view(&self, data: Arc<dyn Dataset>) -> Result<Arc<dyn Dataset>> {
        self.drop_view(self.mask_view(data)?)
    }

    /// A view with all rows, and missing modalities or values.
    pub(crate) fn mask_view(&self, data: Arc<dyn Dataset>) -> Result<Arc<dyn Dataset>> {
        Ok(match self.taken(&*data)? {
            Taken::Nothing => data,
            Taken::Modalities(presence) => Arc::new(Masked::modalities(data, presence)?),
            Taken::Cells(cells) => Arc::new(Masked::cells(data, cells)?),
        })
    }

    pub(crate) fn drop_view(&self, data: Arc<dyn Dataset>) -> Result<Arc<dyn Dataset>> {
        if self.pattern != Pattern::CompleteCases {
            return Ok(data);
        }
        let all = data.modalities().len();
        let complete = (0..data.len()).filter(|&row| data.presence(row).len() == all).collect();
        Ok(Arc::new(Select::new(data, complete)?))
    }

    /// The data set with all its rows, and missing modalities or values.
    pub(crate) fn mask(&self, data: &MemoryDataset) -> Result<MemoryDataset> {
        match self.taken(data)? {
            Taken::Nothing => Ok(data.clone()),
            Taken::Modalities(presence) => data.clone().with_presence(presence),
            Taken::Cells(cells) => data.clone().with_missing_cells(cells),
        }
    }

    fn taken(&self, data: &dyn Dataset) -> Result<Taken> {
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
            Pattern::None => Ok(Taken::Nothing),
            Pattern::Mcar | Pattern::CompleteCases => {
                mcar_presence(data, self.rate, self.seed).map(Taken::Modalities)
            }
            Pattern::ClassDependent => {
                let classes = classes(data)?;
                let table = class_rates(data.modalities().len(), classes.len(), self.rate);
                class_presence(data, &table, self.seed).map(Taken::Modalities)
            }
            Pattern::Cells => lost_cells(data, self.rate, self.seed).map(Taken::Cells),
            Pattern::Columns => lost_columns(data, self.rate, self.seed).map(Taken::Cells),
            Pattern::Blocks => lost_blocks(data, self.rate, self.seed).map(Taken::Cells),
        }
    }

    pub(crate) fn drop_rows(&self, data: MemoryDataset) -> MemoryDataset {
        match self.pattern {
            Pattern::CompleteCases => data.complete_cases(),
            Pattern::None
            | Pattern::Mcar
            | Pattern::ClassDependent
            | Pattern::Cells
            | Pattern::Columns
            | Pattern::Blocks => data,
        }
    }
}

/// What goes missing.
enum Taken {
    Nothing,
    /// Each row observes these modalities and no more.
    Modalities(Vec<Subset>),
    /// These values of each modality.
    Cells(Vec<Option<MissingCells>>),
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
    data.clone().with_presence(mcar_presence(data, rate, seed)?)
}

fn mcar_presence(data: &dyn Dataset, rate: f64, seed: u64) -> Result<Vec<Subset>> {
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
    data.clone().with_presence(class_presence(data, rates, seed)?)
}

fn class_presence(data: &dyn Dataset, rates: &[Vec<f64>], seed: u64) -> Result<Vec<Subset>> {
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

/// Takes each value of each modality with probability `rate`, independently.
///
/// A modality of which a row loses all values is missing there. A row that would lose everything
/// keeps the first value that it has.
///
/// # Errors
///
/// [`DataError::Config`] if `rate` is not in `[0, 1)`.
pub fn cells(data: &MemoryDataset, rate: f64, seed: u64) -> Result<MemoryDataset> {
    data.clone().with_missing_cells(lost_cells(data, rate, seed)?)
}

fn lost_cells(data: &dyn Dataset, rate: f64, seed: u64) -> Result<Vec<Option<MissingCells>>> {
    check_rate(rate)?;
    take_cells(data, seed, |features, _, random| {
        (0..features).map(|_| random.random::<f64>() < rate).collect()
    })
}

/// Takes values with a probability that differs between the columns of a modality: it rises evenly
/// over the columns, in an order of the seed's, as widely as probabilities can around the mean
/// `rate`. So some columns are nearly complete and others nearly empty, as in clinical tables.
///
/// Rows keep a value as with [`cells`].
///
/// # Errors
///
/// [`DataError::Config`] if `rate` is not in `[0, 1)`.
pub fn columns(data: &MemoryDataset, rate: f64, seed: u64) -> Result<MemoryDataset> {
    data.clone().with_missing_cells(lost_columns(data, rate, seed)?)
}

fn lost_columns(data: &dyn Dataset, rate: f64, seed: u64) -> Result<Vec<Option<MissingCells>>> {
    check_rate(rate)?;
    let modalities = data.modalities();
    let rates: Vec<Vec<f64>> = modalities
        .iter()
        .enumerate()
        .map(|(m, spec)| {
            let mut rates = class_rates(1, spec.features(), rate).remove(0);
            rates.shuffle(&mut stream(seed, modalities.len() + m));
            rates
        })
        .collect();
    take_cells(data, seed, |_, m, random| {
        rates[m].iter().map(|&rate| random.random::<f64>() < rate).collect()
    })
}

/// Takes a run of neighbouring columns of each modality from each row, which begins anywhere, goes
/// on at the first column after the last, and is `rate` of the columns long on average: values that
/// are measured together are missing together.
///
/// Rows keep a value as with [`cells`].
///
/// # Errors
///
/// [`DataError::Config`] if `rate` is not in `[0, 1)`.
pub fn blocks(data: &MemoryDataset, rate: f64, seed: u64) -> Result<MemoryDataset> {
    data.clone().with_missing_cells(lost_blocks(data, rate, seed)?)
}

fn lost_blocks(data: &dyn Dataset, rate: f64, seed: u64) -> Result<Vec<Option<MissingCells>>> {
    check_rate(rate)?;
    take_cells(data, seed, |features, _, random| {
        let length = (rate * features as f64 + random.random::<f64>()) as usize;
        let start = (random.random::<f64>() * features as f64) as usize;
        (0..features).map(|f| (f + features - start) % features < length).collect()
    })
}

fn check_rate(rate: f64) -> Result<()> {
    if (0.0..1.0).contains(&rate) {
        return Ok(());
    }
    Err(DataError::Config {
        field: "rate".into(),
        expected: "a probability from 0 to below 1".into(),
        found: rate.to_string(),
    })
}

/// Takes the values of `lost(features, modality, random)` from each row.
fn take_cells(
    data: &dyn Dataset,
    seed: u64,
    lost: impl Fn(usize, usize, &mut ChaCha8Rng) -> Vec<bool>,
) -> Result<Vec<Option<MissingCells>>> {
    let specs = data.modalities();
    // What is one cell in a table is taken as one, be it several features.
    let whole = |spec: &ModalitySpec| {
        let schema = data.schema()?;
        Some(schema.modality(spec.name.as_str())?.cells()).filter(|_| spec.shape.len() == 1)
    };
    let whole: Vec<Option<Vec<Range<usize>>>> = specs.iter().map(whole).collect();
    let mut taken: Vec<MissingCells> = Vec::new();
    for (m, spec) in specs.iter().enumerate() {
        let features = spec.features();
        // A stream for each modality: what a modality lacks does not depend on the other ones.
        let mut random = stream(seed, m);
        let mut cells = MissingCells::none(data.len(), features);
        for row in 0..data.len() {
            let mut lost = lost(features, m, &mut random);
            for cell in whole[m].iter().flatten() {
                let first = lost[cell.start];
                lost[cell.clone()].fill(first);
            }
            for feature in (0..features).filter(|&feature| lost[feature]) {
                cells.take(row, feature);
            }
        }
        taken.push(cells);
    }
    for row in 0..data.len() {
        let kept = |m: usize| -> Option<usize> {
            let before = data.cells(row, m);
            let there = |&f: &usize| before.as_ref().is_none_or(|cells| cells[f]);
            (0..specs[m].features()).filter(there).find(|&f| !taken[m].is_missing(row, f))
        };
        if data.presence(row).iter().all(|m| kept(m).is_none()) {
            let first = data.presence(row).iter().next().expect("a subset is not empty");
            let before = data.cells(row, first);
            let place = before.and_then(|cells| cells.iter().position(|&there| there));
            let place = place.unwrap_or(0);
            let cell = whole[first].iter().flatten().find(|cell| cell.contains(&place));
            let cell = cell.cloned().unwrap_or(place..place + 1);
            cell.for_each(|feature| taken[first].give_back(row, feature));
        }
    }
    let some = |cells: MissingCells| (cells.count() > 0).then_some(cells);
    Ok(taken.into_iter().map(some).collect())
}

/// The different labels, ascending.
fn classes(data: &dyn Dataset) -> Result<Vec<i64>> {
    let mut classes: Vec<i64> = (0..data.len()).filter_map(|row| data.label(row)).collect();
    classes.sort_unstable();
    classes.dedup();
    if classes.is_empty() { Err(DataError::NoLabels) } else { Ok(classes) }
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
    data: &dyn Dataset,
    seed: u64,
    rates: &[Vec<f64>],
    keep: impl Fn(usize) -> usize,
) -> Result<Vec<Subset>> {
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
    Ok(presence)
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

    fn table(rows: usize, features: usize) -> MemoryDataset {
        let one = |name| {
            let spec = ModalitySpec::new(name, &[features]).expect("valid");
            (spec, vec![1.0f32; rows * features].into())
        };
        MemoryDataset::new(vec![one("a"), one("b")]).expect("whole rows")
    }

    fn lost(data: &MemoryDataset, row: usize, modality: usize, feature: usize) -> bool {
        !data.presence(row).contains(modality)
            || data.cells(row, modality).is_some_and(|cells| !cells[feature])
    }

    #[test]
    fn single_values_go_missing_at_the_rate_asked_for() {
        for pattern in [Pattern::Cells, Pattern::Columns, Pattern::Blocks] {
            for rate in [0.1, 0.5] {
                let config = MissingConfig { pattern, rate, seed: 2 };
                let data = config.apply(&table(400, 10)).expect("a probability");
                let count = (0..400)
                    .flat_map(|row| (0..10).map(move |f| (row, f)))
                    .filter(|&(row, f)| lost(&data, row, 1, f))
                    .count();
                let found = count as f64 / 4000.0;
                assert!((found - rate).abs() < 0.05, "{pattern:?} {rate} {found}");
                assert_eq!(data.len(), 400);
            }
        }
    }

    #[test]
    fn columns_differ_and_blocks_hold_together() {
        let data = columns(&table(500, 10), 0.5, 1).expect("a probability");
        let mut rates: Vec<_> = (0..10)
            .map(|f| (0..500).filter(|&row| lost(&data, row, 0, f)).count() as f64 / 500.0)
            .collect();
        rates.sort_by(f64::total_cmp);
        assert!(rates[0] < 0.1 && rates[9] > 0.9, "{rates:?}");
        let data = blocks(&table(50, 10), 0.3, 1).expect("a probability");
        for row in 0..50 {
            let flags: Vec<_> = (0..10).map(|f| lost(&data, row, 0, f)).collect();
            let starts = (0..10).filter(|&f| flags[f] && !flags[(f + 9) % 10]).count();
            assert_eq!((flags.iter().filter(|lost| **lost).count(), starts), (3, 1), "{flags:?}");
        }
    }

    #[test]
    fn every_row_keeps_a_value() {
        let data = cells(&table(500, 2), 0.95, 3).expect("a probability");
        for row in 0..500 {
            let kept = data.presence(row).iter().any(|m| (0..2).any(|f| !lost(&data, row, m, f)));
            assert!(kept, "{row}");
        }
        // What was missing before stays missing.
        let again = cells(&data, 0.5, 4).expect("a probability");
        for (row, f) in (0..500).flat_map(|row| [(row, 0), (row, 1)]) {
            assert!(!lost(&data, row, 0, f) || lost(&again, row, 0, f), "{row} {f}");
        }
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
