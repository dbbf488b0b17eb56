//! Log-likelihoods: of all that is observed, and of modalities from given ones.

use std::collections::HashMap;

use burn::tensor::Device;
use multivae_core::{
    batch::Batch,
    dataset::Dataset,
    model::{Density, Given, LikelihoodQuery},
    noise::Noise,
    objective::{Budget, Estimate},
    pass::{self, Pass},
    subset::Subset,
};
use serde::{Deserialize, Serialize};

use crate::{
    MetricsError,
    entry::{Entries, Entry},
    evaluate::{check, given_with, within},
    mean::{Mean, Running},
    rows::{Chosen, at_least},
};

/// How likelihoods are estimated.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `batch_size` | 64 | rows at once | at least 1 |
/// | `seed` | 0 | what the latent samples derive from | |
/// | `samples` | 1000 | importance samples per row | at least 1 |
/// | `chunk` | 50 | samples of a row that are decoded at once | at least 1 |
/// | `rows` | all | most rows that are used, evenly spread over the data | at least 1 |
/// | `marginal` | true | whether likelihoods of single modalities are estimated, too | |
/// | `conditional` | true | whether likelihoods from given subsets are estimated, too: with many modalities most of the work | |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LikelihoodConfig {
    /// Rows at once, at least 1. The result does not depend on it.
    pub batch_size: usize,
    /// What the latent samples derive from.
    pub seed: u64,
    /// Importance samples per row, at least 1.
    pub samples: usize,
    /// Samples of a row that are decoded at once, at least 1: memory against speed. Other values
    /// draw other samples.
    pub chunk: usize,
    /// Most rows that are used, at least 1; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// Whether likelihoods of single modalities are estimated, too.
    pub marginal: bool,
    /// Whether likelihoods from given subsets are estimated, too.
    pub conditional: bool,
}

impl Default for LikelihoodConfig {
    fn default() -> Self {
        Self {
            batch_size: 64,
            seed: 0,
            samples: 1000,
            chunk: 50,
            rows: None,
            marginal: true,
            conditional: true,
        }
    }
}

/// A mean of log-likelihoods over rows, in nats, summed over features.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLikelihood {
    /// How many rows.
    pub rows: usize,
    /// The mean, with the standard error over rows.
    #[serde(flatten)]
    pub mean: Mean,
    /// The mean over rows of the standard error of a row's estimate. Where it is large the
    /// estimate is too low: its logarithm is of a mean that few samples make.
    pub sampling_error: f64,
}

/// Estimated log-likelihoods of a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likelihoods {
    /// Importance samples per row.
    pub samples: usize,
    /// `log p(x)` of all that a row observes; of a conditional model given its conditions.
    pub joint: LogLikelihood,
    /// `log p(x_m)` of single modalities, over the rows that observe them; none of a conditional model,
    /// and none if there is but one modality.
    pub marginal: Vec<MarginalLikelihood>,
    /// Every modality that the model generates from every given subset without it, over the rows
    /// that observe both. Where no row does, there is no entry.
    pub conditional: Vec<ConditionalLikelihood>,
}

/// The log-likelihood of one modality, whatever else a row observes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarginalLikelihood {
    /// The modality.
    pub target: String,
    /// `log p(x_m)`.
    pub values: LogLikelihood,
}

/// The log-likelihood of one modality from a given subset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConditionalLikelihood {
    /// The modalities that are given.
    pub given: Vec<String>,
    /// The modality whose density it is.
    pub target: String,
    /// `log p(x_T | x_S)`: the conditional density of the model.
    pub values: LogLikelihood,
    /// `log E[p(x_T | z)]` over the model's own `q(z | x_S)`: how well it generates.
    pub posterior: LogLikelihood,
}

impl Likelihoods {
    /// The entry of a given set and a target.
    pub fn conditional(&self, given: &[&str], target: &str) -> Option<&ConditionalLikelihood> {
        self.conditional.iter().find(|entry| entry.target == target && entry.given == given)
    }
}

impl LogLikelihood {
    fn entries(&self, measure: &str) -> [Entry; 2] {
        let error = Mean { mean: self.sampling_error, standard_error: 0.0 };
        let error = Entry::new(REPORT, &format!("{measure}_sampling_error"), error, self.rows);
        [Entry::new(REPORT, measure, self.mean, self.rows), Entry { standard_error: None, ..error }]
    }
}

/// Name of the report in tables.
const REPORT: &str = "likelihood";

impl Entries for Likelihoods {
    fn entries(&self) -> Vec<Entry> {
        let conditional = self.conditional.iter().flat_map(|entry| {
            let values = entry.values.entries("conditional_log_likelihood");
            let posterior = entry.posterior.entries("generated_log_likelihood");
            let about = |row: Entry| row.given(&entry.given).target(&entry.target);
            values.into_iter().chain(posterior).map(about).collect::<Vec<_>>()
        });
        let marginal = self.marginal.iter().flat_map(|entry| {
            let values = entry.values.entries("marginal_log_likelihood");
            values.map(|row| row.target(&entry.target))
        });
        let joint = self.joint.entries("joint_log_likelihood").into_iter();
        joint.chain(marginal).chain(conditional).collect()
    }
}

/// Estimates log-likelihoods by importance sampling.
///
/// A marginal likelihood is the joint one of a single modality, with the posterior given it as the
/// proposal. The joint likelihood is what MultiVae calls `joint_likelihood`, there with the other sign. A
/// conditional one is the difference of two joint ones, each of which is estimated once for all
/// the pairs in which it occurs; that over the posterior is MultiVae's `compute_cond_nll`, with the
/// other sign. Rows are reproducible: a row's samples derive from the seed and its number among
/// the rows used, whatever the batch size.
///
/// # Errors
///
/// [`MetricsError::Config`]; [`MetricsError::NoRows`], [`MetricsError::NoConditions`],
/// [`MetricsError::Modalities`] as in [`evaluate`](crate::evaluate); [`MetricsError::Pass`];
/// [`MetricsError::NotFinite`] with the first row, among those used, that has such a value.
pub fn likelihood(
    model: &dyn Density,
    data: &dyn Dataset,
    config: &LikelihoodConfig,
    device: &Device,
    progress: &dyn Fn(f64),
) -> Result<Likelihoods, MetricsError> {
    let rows = config.rows.unwrap_or(1);
    at_least(
        1,
        &[
            ("batch_size", config.batch_size),
            ("samples", config.samples),
            ("chunk", config.chunk),
            ("rows", rows),
        ],
    )?;
    let specs = model.modalities();
    check(specs, data)?;
    let data = Chosen::spread(data, config.rows);
    let full = Subset::full(specs.len());
    let mut joint = Sum::default();
    let mut singles: Vec<(usize, Sum)> = Vec::new();
    if config.marginal && model.conditions().is_none() && specs.len() > 1 {
        singles.extend((0..specs.len()).map(|m| (m, Sum::default())));
    }
    let mut pairs: Vec<Pair> = Vec::new();
    if config.conditional {
        for given in given_with(specs.len(), model.conditions()) {
            let targets = model.generated().iter().filter(|&m| !given.contains(m));
            pairs.extend(targets.map(|target| Pair { given, target, sums: Default::default() }));
        }
    }
    let pass = Pass { batch_size: config.batch_size, seed: config.seed };
    for batch in pass.batches(&data, device) {
        let (range, batch) = batch?;
        let mut work = Work { model, config, start: range.start, batch, known: HashMap::new() };
        let counts: Vec<bool> = work
            .observed()
            .map(|observed| model.conditions().is_none_or(|needed| within(needed, observed)))
            .collect();
        let all = work.joint(full)?;
        joint.push(&work.finite(&all, &counts, "joint log-likelihood")?);
        for (m, sum) in &mut singles {
            let target = Subset::single(*m);
            let counts: Vec<bool> = work.observed().map(|observed| observed.contains(*m)).collect();
            if counts.contains(&true) {
                let values = work.joint(target)?;
                let what = format!("log-likelihood of `{}`", target.label(specs));
                sum.push(&work.finite(&values, &counts, &what)?);
            }
        }
        for pair in &mut pairs {
            let (given, target) = (pair.given, Subset::single(pair.target));
            let both = given.union(target);
            let counts: Vec<bool> =
                work.observed().map(|observed| within(both, observed)).collect();
            if !counts.contains(&true) {
                continue;
            }
            let values = work.joint(both)?.minus(work.joint(given)?);
            let posterior = work.posterior(given, pair.target);
            let label = format!("`{}` given `{}`", target.label(specs), given.label(specs));
            let what = format!("log-likelihood of {label}");
            pair.sums[0].push(&work.finite(&values, &counts, &what)?);
            pair.sums[1].push(&work.finite(&posterior, &counts, &what)?);
        }
        progress(range.end as f64 / data.len() as f64);
    }
    let names = |set: Subset| set.iter().map(|m| specs[m].name.to_string()).collect::<Vec<_>>();
    let Some(joint) = joint.finish() else {
        let names: Vec<_> = model.conditions().map(names).unwrap_or_default();
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        return Err(MetricsError::NoConditions { conditions: names.join(", ") });
    };
    let conditional = pairs.iter().filter_map(|pair| {
        Some(ConditionalLikelihood {
            given: names(pair.given),
            target: specs[pair.target].name.to_string(),
            values: pair.sums[0].finish()?,
            posterior: pair.sums[1].finish()?,
        })
    });
    let marginal = singles.iter().filter_map(|(m, sum)| {
        let target = specs[*m].name.to_string();
        Some(MarginalLikelihood { target, values: sum.finish()? })
    });
    Ok(Likelihoods {
        samples: config.samples,
        joint,
        marginal: marginal.collect(),
        conditional: conditional.collect(),
    })
}

/// A target from a given subset, with what is summed of its values and over its posterior.
struct Pair {
    given: Subset,
    target: usize,
    sums: [Sum; 2],
}

/// Estimates and their own errors.
#[derive(Default)]
struct Sum {
    values: Running,
    errors: Running,
}

impl Sum {
    fn push(&mut self, rows: &[(f64, f64)]) {
        for &(value, error) in rows {
            self.values.push(value);
            self.errors.push(error);
        }
    }

    fn finish(&self) -> Option<LogLikelihood> {
        Some(LogLikelihood {
            rows: self.values.count(),
            mean: self.values.finish()?,
            sampling_error: self.errors.finish()?.mean,
        })
    }
}

/// A batch and what was estimated of it.
struct Work<'a> {
    model: &'a dyn Density,
    config: &'a LikelihoodConfig,
    start: usize,
    batch: Batch,
    /// Joint likelihoods of subsets.
    known: HashMap<Subset, Estimate>,
}

impl Work<'_> {
    fn observed(&self) -> impl Iterator<Item = Subset> + '_ {
        self.batch.presence().rows().iter().copied()
    }

    /// Samples of a row at once are as many in every batch, so that rows see the same noise.
    fn budget(&self) -> Budget {
        let Self { config, batch, .. } = self;
        let chunk = config.chunk.min(config.samples);
        Budget { samples: config.samples, max_rows: chunk * batch.rows() }
    }

    /// The noise of an estimate.
    fn noise(&mut self, given: Subset, target: u64) -> Noise {
        self.batch.key.step = given.iter().fold(0, |bits, m| bits | 1 << m);
        self.batch.key.epoch = target;
        Noise::of(&self.batch)
    }

    fn joint(&mut self, targets: Subset) -> Result<Estimate, MetricsError> {
        if let Some(known) = self.known.get(&targets) {
            return Ok(known.clone());
        }
        let (budget, mut noise) = (self.budget(), self.noise(targets, 0));
        let estimate = self.model.joint_likelihood(&self.batch, targets, budget, &mut noise);
        self.known.insert(targets, estimate.clone());
        Ok(estimate)
    }

    fn posterior(&mut self, given: Subset, target: usize) -> Estimate {
        let query = LikelihoodQuery {
            targets: Subset::single(target),
            given: Given::Posterior(given),
            budget: self.budget(),
        };
        let mut noise = self.noise(given, target as u64 + 1);
        self.model.log_likelihood(&self.batch, &query, &mut noise)
    }

    /// Estimates with their errors, of the rows that count.
    fn finite(
        &self,
        estimate: &Estimate,
        counts: &[bool],
        what: &str,
    ) -> Result<Vec<(f64, f64)>, MetricsError> {
        let values = pass::read(estimate.log_likelihood.clone(), what)?;
        let errors = pass::read(estimate.standard_error.clone(), what)?;
        let mut rows = Vec::new();
        for (i, (value, error)) in values.into_iter().zip(errors).enumerate() {
            let value = f64::from(value);
            if !counts[i] {
                continue;
            }
            if !value.is_finite() {
                let (what, row) = (what.to_owned(), self.start + i);
                return Err(MetricsError::NotFinite { what, row, value });
            }
            rows.push((value, error.into()));
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use multivae_testkit::{Conditional, LinearGaussian, Rows, log_density};

    use super::*;

    const SLOPE: f32 = 0.8;

    fn rows() -> Rows {
        Rows::new(
            3,
            vec![
                vec![Some(0.5), Some(-1.0), Some(0.2)],
                vec![Some(1.5), None, Some(2.0)],
                vec![None, Some(0.3), None],
                vec![Some(-0.7), Some(0.9), None],
            ],
        )
    }

    fn of(data: &Rows, config: &LikelihoodConfig) -> Likelihoods {
        let device = Device::flex();
        let model = LinearGaussian::new(SLOPE, data.modalities(), &device);
        likelihood(&model, data, config, &device, &|_| {}).expect("valid")
    }

    fn density(values: &[f32]) -> f64 {
        let values: Vec<f64> = values.iter().map(|&value| value.into()).collect();
        log_density(SLOPE.into(), &values)
    }

    /// `log N(x; slope * mean, 1 + slope² * variance)` with the posterior of one given value.
    fn predictive(given: f32, x: f32) -> f64 {
        let (slope, given, x) = (f64::from(SLOPE), f64::from(given), f64::from(x));
        let variance = 1.0 / (1.0 + slope * slope);
        let (mean, spread) = (slope * slope * given * variance, 1.0 + slope * slope * variance);
        -0.5 * (std::f64::consts::TAU.ln() + spread.ln() + (x - mean).powi(2) / spread)
    }

    #[test]
    fn likelihoods_of_a_linear_gaussian_model_are_the_closed_forms() {
        let data = rows();
        let found = of(&data, &LikelihoodConfig { samples: 20_000, ..Default::default() });
        let joint = [
            density(&[0.5, -1.0, 0.2]),
            density(&[1.5, 2.0]),
            density(&[0.3]),
            density(&[-0.7, 0.9]),
        ];
        let mean = joint.iter().sum::<f64>() / 4.0;
        assert!((found.joint.mean.mean - mean).abs() < 1e-5, "{:?} {mean}", found.joint);
        assert_eq!(found.joint.rows, 4);
        let [first, second, third] = &found.marginal[..] else { panic!("three modalities") };
        for (entry, values) in
            [(first, &[0.5, 1.5, -0.7][..]), (second, &[-1.0, 0.3, 0.9]), (third, &[0.2, 2.0])]
        {
            let mean = values.iter().map(|&x| density(&[x])).sum::<f64>() / values.len() as f64;
            assert_eq!(entry.values.rows, values.len());
            assert!((entry.values.mean.mean - mean).abs() < 1e-5, "{entry:?} {mean}");
        }
        let config = LikelihoodConfig {
            samples: 20_000,
            marginal: false,
            conditional: false,
            ..Default::default()
        };
        let alone = of(&data, &config);
        assert_eq!((alone.joint, alone.marginal, alone.conditional), (found.joint, vec![], vec![]));
        // Rows 0 and 3 observe both.
        let pair = found.conditional(&["m0"], "m1").expect("two rows");
        let conditional =
            [density(&[0.5, -1.0]) - density(&[0.5]), density(&[-0.7, 0.9]) - density(&[-0.7])];
        let mean = conditional.iter().sum::<f64>() / 2.0;
        assert_eq!(pair.values.rows, 2);
        assert!((pair.values.mean.mean - mean).abs() < 1e-5, "{pair:?} {mean}");
        // The posterior is exact, so that its predictive density is the conditional one.
        let mean = (predictive(0.5, -1.0) + predictive(-0.7, 0.9)) / 2.0;
        let error = 5.0 * pair.posterior.sampling_error;
        assert!(error > 0.0 && error < 0.05, "{pair:?}");
        assert!((pair.posterior.mean.mean - mean).abs() < error, "{pair:?} {mean}");
        let spread = (conditional[0] - conditional[1]).abs() / 2.0;
        assert!((pair.values.mean.standard_error - spread).abs() < 1e-5, "{pair:?} {spread}");
    }

    #[test]
    fn the_result_does_not_depend_on_the_batch_size() {
        let config = LikelihoodConfig { samples: 50, chunk: 7, ..Default::default() };
        let whole = of(&rows(), &config);
        for batch_size in [1, 3] {
            let parts = of(&rows(), &LikelihoodConfig { batch_size, ..config.clone() });
            assert_eq!(parts.conditional.len(), whole.conditional.len());
            for (a, b) in parts.conditional.iter().zip(&whole.conditional) {
                let difference = a.posterior.mean.mean - b.posterior.mean.mean;
                assert!(difference.abs() < 1e-5, "{batch_size}: {a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_pair_that_no_row_observes_has_no_entry() {
        let data = Rows::new(2, vec![vec![Some(1.0), None], vec![None, Some(1.0)]]);
        assert_eq!(of(&data, &LikelihoodConfig::default()).conditional, []);
    }

    #[test]
    fn fewer_rows_are_spread_over_the_data() {
        let cells = (0..10).map(|i| vec![Some(i as f32), Some(0.0)]).collect();
        let config = LikelihoodConfig { rows: Some(2), ..Default::default() };
        let found = of(&Rows::new(2, cells), &config);
        let mean = (density(&[0.0, 0.0]) + density(&[5.0, 0.0])) / 2.0;
        assert_eq!(found.joint.rows, 2);
        assert!((found.joint.mean.mean - mean).abs() < 1e-4, "{:?} {mean}", found.joint);
    }

    #[test]
    fn a_conditional_model_is_given_its_conditions() {
        let (data, device) = (rows(), Device::flex());
        let model = Conditional::new(SLOPE, data.modalities(), &device);
        let config = LikelihoodConfig { samples: 10, ..Default::default() };
        let found = likelihood(&model, &data, &config, &device, &|_| {}).expect("valid");
        let joint = [
            density(&[0.5, -1.0, 0.2]) - density(&[0.5]),
            density(&[1.5, 2.0]) - density(&[1.5]),
            density(&[-0.7, 0.9]) - density(&[-0.7]),
        ];
        let mean = joint.iter().sum::<f64>() / 3.0;
        assert!((found.joint.mean.mean - mean).abs() < 1e-5, "{:?} {mean}", found.joint);
        assert!(found.conditional.iter().all(|pair| pair.given[0] == "m0" && pair.target != "m0"));
        assert!(found.conditional(&["m0"], "m1").is_some());
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let (data, device) = (rows(), Device::flex());
        let model = LinearGaussian::new(SLOPE, data.modalities(), &device);
        let config = LikelihoodConfig { rows: Some(0), ..Default::default() };
        let error = likelihood(&model, &data, &config, &device, &|_| {}).expect_err("0 rows");
        assert_eq!(error.to_string(), "`rows`: expected at least 1, found 0");
    }
}
