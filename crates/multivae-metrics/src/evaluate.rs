//! The bound, its parts, and reconstructions from every given subset.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use multivae_core::{
    batch::Batch,
    dataset::Dataset,
    modality::ModalitySpec,
    model::{Density, Draws},
    noise::Noise,
    pass::{self, Pass},
    subset::{Subset, Subsets},
};
use serde::{Deserialize, Serialize};

use crate::{
    MetricsError,
    entry::{Entries, Entry},
    mean::{Mean, Running},
    rows::squared_errors,
};

/// How to evaluate.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `batch_size` | 256 | rows at once | at least 1 |
/// | `seed` | 0 | what the latent samples derive from | |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Rows at once, at least 1. The result does not depend on it.
    pub batch_size: usize,
    /// What the latent samples derive from.
    pub seed: u64,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self { batch_size: 256, seed: 0 }
    }
}

/// What a model makes of a data set. All in nats, summed over features, averaged over rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Rows of the data set, of a conditional model those that observe its conditions.
    pub rows: usize,
    /// The evidence lower bound, all that a row observes being given and wanted; of a conditional
    /// model that of the density given its conditions.
    pub elbo: Mean,
    /// `log p(x_m | z)` for one `z` from the posterior of all that a row observes.
    pub log_likelihood: Vec<ModalityMean>,
    /// Divergence of that posterior from the prior, by space or level.
    pub kl: Vec<SpaceMean>,
    /// Every modality that the model generates from every given subset of [`given_subsets`] with
    /// its conditions, where a row observes both. Where no row does, there is no entry.
    pub cross: Vec<Cross>,
}

impl Evaluation {
    /// The entry of a given set and a target.
    pub fn cross(&self, given: &[&str], target: &str) -> Option<&Cross> {
        self.cross.iter().find(|c| c.target == target && c.given == given)
    }
}

impl Entries for Evaluation {
    fn entries(&self) -> Vec<Entry> {
        let entry = |measure, mean, rows| Entry::new("evaluation", measure, mean, rows);
        let likelihood = |part: &ModalityMean| {
            entry("log_likelihood", part.mean, part.rows).target(&part.modality)
        };
        let cross = |cross: &Cross| {
            let entry = |measure, mean| {
                entry(measure, mean, cross.rows).given(&cross.given).target(&cross.target)
            };
            let error = cross.mean_squared_error.map(|mean| entry("mean_squared_error", mean));
            [Some(entry("cross_log_likelihood", cross.log_likelihood)), error]
        };
        let mut entries = vec![entry("elbo", self.elbo, self.rows)];
        entries.extend(self.log_likelihood.iter().map(likelihood));
        entries.extend(self.kl.iter().map(|kl| entry("kl", kl.mean, self.rows).target(&kl.space)));
        entries.extend(self.cross.iter().flat_map(cross).flatten());
        entries
    }
}

/// A mean over the rows that observe a modality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModalityMean {
    /// The modality.
    pub modality: String,
    /// How many rows observe it.
    pub rows: usize,
    /// The mean over them.
    #[serde(flatten)]
    pub mean: Mean,
}

/// A mean of a latent space or level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpaceMean {
    /// The space.
    pub space: String,
    /// The mean over all rows.
    #[serde(flatten)]
    pub mean: Mean,
}

/// One modality from a given subset, over the rows that observe all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cross {
    /// The modalities that the posterior was given.
    pub given: Vec<String>,
    /// The modality that was decoded; reconstructed if it is among the given, else generated.
    pub target: String,
    /// How many rows observe the given and the target.
    pub rows: usize,
    /// Squared difference between the target and the mean of its distribution at the posterior's
    /// mean, averaged over features; `None` for text.
    pub mean_squared_error: Option<Mean>,
    /// `log p(target | z)` for one `z` from the posterior of the given.
    pub log_likelihood: Mean,
}

/// The subsets from which modalities are reconstructed: all of them for up to 5 modalities (31);
/// beyond that single modalities, all but one, and all, so that the work grows as `2 M + 1`.
///
/// # Panics
///
/// If `modalities` is not 1 to 64.
pub fn given_subsets(modalities: usize) -> Vec<Subset> {
    if modalities <= 5 {
        return Subsets::all(modalities).iter().collect();
    }
    let all_but = |left: usize| {
        Subset::new((0..modalities).filter(|&m| m != left)).expect("more than one modality")
    };
    let singles = (0..modalities).map(Subset::single);
    singles.chain((0..modalities).map(all_but)).chain([Subset::full(modalities)]).collect()
}

/// Those of [`given_subsets`] that hold what a conditional model needs.
pub(crate) fn given_with(modalities: usize, conditions: Option<Subset>) -> Vec<Subset> {
    let holds = |given: &Subset| conditions.is_none_or(|needed| within(needed, *given));
    given_subsets(modalities).into_iter().filter(holds).collect()
}

/// Evaluates a model on all rows of a data set.
///
/// For each batch and each given subset the posterior is computed once for its bound and once for
/// its mean, and serves all targets. What a conditional model takes as given is given in every
/// subset and is no target, and rows that lack it do not count. Rows are reproducible: a row's sample derives from the seed
/// and its number, whatever the batch size.
///
/// # Errors
///
/// [`MetricsError::NoRows`], [`MetricsError::NoConditions`] if no row counts,
/// [`MetricsError::Modalities`] if model and data differ, [`MetricsError::Pass`] if rows cannot be read, [`MetricsError::NotFinite`] with the first row
/// that has an infinite or undefined value.
pub fn evaluate(
    model: &dyn Density,
    data: &dyn Dataset,
    config: &EvaluateConfig,
    device: &Device,
) -> Result<Evaluation, MetricsError> {
    if config.batch_size == 0 {
        return Err(MetricsError::Config { field: "batch_size", expected: "at least 1", found: 0 });
    }
    check(model.modalities(), data)?;
    let specs = model.modalities();
    let full = Subset::full(specs.len());
    let targets = model.generated();
    let mut sums = Sums::new(specs.len(), targets, model.conditions());
    let pass = Pass { batch_size: config.batch_size, seed: config.seed };
    for batch in pass.batches(data, device) {
        let (Range { start, .. }, batch) = batch?;
        let mut batch = batch.keeping();
        for (number, given) in sums.given.clone().into_iter().enumerate() {
            batch.key.step = number as u64;
            let bound = model.bound(&batch, given, &mut Noise::of(&batch));
            let label = given.label(specs);
            let likelihood =
                read(bound.log_likelihood, &format!("log-likelihood given `{label}`"), start)?;
            if given == full {
                for (i, (space, kl)) in bound.divergences.into_iter().enumerate() {
                    let values =
                        read(kl.unsqueeze_dim::<2>(1), &format!("KL of `{space}`"), start)?;
                    sums.divergence(i, space, &batch, &values);
                }
                sums.bound(&batch, &likelihood);
            }
            let latent = model.encode(&batch, given, Draws::Mean, &mut Noise::of(&batch));
            let mut errors = vec![None; specs.len()];
            for (m, output) in targets.iter().zip(model.decode(&latent, targets)) {
                let mean = model.mean(output, m, batch.offset(m));
                errors[m] = squared_error(mean, &specs[m], &batch, m)?;
            }
            sums.cross(number, &batch, &likelihood, &errors);
        }
    }
    sums.finish(specs)
}

/// Model and data have the same modalities, and there are rows.
pub(crate) fn check(specs: &[ModalitySpec], data: &dyn Dataset) -> Result<(), MetricsError> {
    let list = |specs: &[ModalitySpec]| {
        let names: Vec<_> = specs.iter().map(|s| format!("`{}` {:?}", s.name, s.shape)).collect();
        names.join(", ")
    };
    let (expected, found) = (list(specs), list(data.modalities()));
    if expected != found {
        return Err(MetricsError::Modalities { expected, found });
    }
    if data.is_empty() { Err(MetricsError::NoRows) } else { Ok(()) }
}

/// The mean squared error of each row over its observed cells, or `None` for text.
fn squared_error(
    mean: Tensor<3>,
    spec: &ModalitySpec,
    batch: &Batch,
    modality: usize,
) -> Result<Option<Vec<Vec<f64>>>, MetricsError> {
    let errors = squared_errors(mean.squeeze_dim(0), batch, modality);
    let Some(errors) = errors else { return Ok(None) };
    // Not checked to be finite: what is decoded for rows that miss the modality does not count.
    raw(errors.unsqueeze_dim(1), &format!("mean squared error of `{}`", spec.name)).map(Some)
}

/// The rows of `[batch, columns]`, whatever they hold.
pub(crate) fn raw(values: Tensor<2>, what: &str) -> Result<Vec<Vec<f64>>, MetricsError> {
    let columns = values.dims()[1];
    let values: Vec<f64> = pass::read(values, what)?.into_iter().map(f64::from).collect();
    Ok(values.chunks(columns).map(<[f64]>::to_vec).collect())
}

/// The rows of `[batch, columns]`, all finite.
fn read(values: Tensor<2>, what: &str, start: usize) -> Result<Vec<Vec<f64>>, MetricsError> {
    let rows = raw(values, what)?;
    for (i, row) in rows.iter().enumerate() {
        if let Some(&value) = row.iter().find(|v| !v.is_finite()) {
            return Err(MetricsError::NotFinite { what: what.to_owned(), row: start + i, value });
        }
    }
    Ok(rows)
}

/// Everything that is summed over the batches.
struct Sums {
    given: Vec<Subset>,
    targets: Subset,
    /// What a row has to observe to count.
    conditions: Option<Subset>,
    elbo: Running,
    log_likelihood: Vec<Running>,
    kl: Vec<(String, Running)>,
    /// The divergences of the rows of the current batch, summed over spaces.
    total_kl: Vec<f64>,
    /// Log-likelihood and squared error, `[given][target]`.
    cross: Vec<Vec<(Running, Running)>>,
    rows: usize,
}

impl Sums {
    fn new(modalities: usize, targets: Subset, conditions: Option<Subset>) -> Self {
        let given = given_with(modalities, conditions);
        Self {
            targets,
            conditions,
            elbo: Running::default(),
            log_likelihood: vec![Running::default(); modalities],
            kl: Vec::new(),
            total_kl: Vec::new(),
            cross: vec![vec![Default::default(); modalities]; given.len()],
            given,
            rows: 0,
        }
    }

    /// Whether a row that observes this counts.
    fn counts(&self, observed: Subset) -> bool {
        self.conditions.is_none_or(|needed| within(needed, observed))
    }

    /// Takes the divergence of space number `i`, before [`bound`](Self::bound).
    fn divergence(&mut self, i: usize, space: String, batch: &Batch, values: &[Vec<f64>]) {
        if self.kl.len() == i {
            self.kl.push((space, Running::default()));
        }
        self.total_kl.resize(values.len(), 0.0);
        for (row, observed) in batch.presence().rows().iter().enumerate() {
            self.total_kl[row] += values[row][0];
            if self.counts(*observed) {
                self.kl[i].1.push(values[row][0]);
            }
        }
    }

    fn bound(&mut self, batch: &Batch, likelihood: &[Vec<f64>]) {
        let kl = std::mem::take(&mut self.total_kl);
        for (row, observed) in batch.presence().rows().iter().enumerate() {
            if !self.counts(*observed) {
                continue;
            }
            self.rows += 1;
            let mut sum = -kl.get(row).copied().unwrap_or(0.0);
            for m in observed.iter().filter(|&m| self.targets.contains(m)) {
                sum += likelihood[row][m];
                self.log_likelihood[m].push(likelihood[row][m]);
            }
            self.elbo.push(sum);
        }
    }

    fn cross(
        &mut self,
        number: usize,
        batch: &Batch,
        likelihood: &[Vec<f64>],
        errors: &[Option<Vec<Vec<f64>>>],
    ) {
        let given = self.given[number];
        for (row, observed) in batch.presence().rows().iter().enumerate() {
            if !within(given, *observed) {
                continue;
            }
            for m in observed.iter().filter(|&m| self.targets.contains(m)) {
                let (of_likelihood, of_error) = &mut self.cross[number][m];
                of_likelihood.push(likelihood[row][m]);
                if let Some(errors) = &errors[m] {
                    of_error.push(errors[row][0]);
                }
            }
        }
    }

    fn finish(self, specs: &[ModalitySpec]) -> Result<Evaluation, MetricsError> {
        let Some(elbo) = self.elbo.finish() else {
            let names = self.conditions.iter().flat_map(|conditions| conditions.iter());
            let names: Vec<_> = names.map(|m| format!("`{}`", specs[m].name)).collect();
            return Err(MetricsError::NoConditions { conditions: names.join(", ") });
        };
        let name = |m: usize| specs[m].name.to_string();
        let log_likelihood = self.log_likelihood.iter().enumerate().filter_map(|(m, sum)| {
            Some(ModalityMean { modality: name(m), rows: sum.count(), mean: sum.finish()? })
        });
        let kl = self.kl.iter().filter_map(|(space, sum)| {
            Some(SpaceMean { space: space.clone(), mean: sum.finish()? })
        });
        let cross = self.given.iter().zip(&self.cross).flat_map(|(given, targets)| {
            targets.iter().enumerate().filter_map(move |(m, (likelihood, error))| {
                Some(Cross {
                    given: given.iter().map(name).collect(),
                    target: name(m),
                    rows: likelihood.count(),
                    mean_squared_error: error.finish(),
                    log_likelihood: likelihood.finish()?,
                })
            })
        });
        Ok(Evaluation {
            rows: self.rows,
            elbo,
            log_likelihood: log_likelihood.collect(),
            kl: kl.collect(),
            cross: cross.collect(),
        })
    }
}

/// Whether a set holds all of another.
pub(crate) fn within(part: Subset, whole: Subset) -> bool {
    part.union(whole) == whole
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

    fn of(data: &Rows, config: &EvaluateConfig) -> Result<Evaluation, MetricsError> {
        let device = Device::flex();
        evaluate(&LinearGaussian::new(SLOPE, data.modalities(), &device), data, config, &device)
    }

    fn mean(values: &[f64]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        (mean, if n > 1.0 { (squares / (n - 1.0) / n).sqrt() } else { 0.0 })
    }

    fn close(found: Mean, expected: (f64, f64), what: &str) {
        let far = |a: f64, b: f64| (a - b).abs() > 1e-5 * b.abs().max(1.0);
        assert!(
            !far(found.mean, expected.0) && !far(found.standard_error, expected.1),
            "{what}: expected {expected:?}, found {found:?}"
        );
    }

    #[test]
    fn the_bound_of_an_exact_posterior_is_the_mean_log_density() {
        let data = rows();
        let densities: Vec<f64> = (0..data.len())
            .map(|row| {
                let values: Vec<f64> = data.row(row).iter().flatten().map(|&x| x.into()).collect();
                log_density(SLOPE.into(), &values)
            })
            .collect();
        let evaluation = of(&data, &EvaluateConfig::default()).expect("valid");
        close(evaluation.elbo, mean(&densities), "elbo");
        let kl = &evaluation.kl[0];
        let likelihoods: f64 =
            evaluation.log_likelihood.iter().map(|l| l.mean.mean * l.rows as f64).sum();
        let total = likelihoods / 4.0 - kl.mean.mean;
        assert!((total - evaluation.elbo.mean).abs() < 1e-5, "{total} {:?}", evaluation.elbo);
    }

    #[test]
    fn cross_errors_are_those_worked_out_by_hand() {
        let data = rows();
        let evaluation = of(&data, &EvaluateConfig::default()).expect("valid");
        let slope = f64::from(SLOPE);
        // Given m0 alone, z is at slope x / (1 + slope²), and m2 at slope times that.
        let from_m0 = |x: f64| slope * slope * x / (1.0 + slope * slope);
        let errors = [(0.2 - from_m0(0.5)).powi(2), (2.0 - from_m0(1.5)).powi(2)];
        let cross = evaluation.cross(&["m0"], "m2").expect("rows 0 and 1 observe both");
        assert_eq!(cross.rows, 2);
        close(cross.mean_squared_error.expect("numbers"), mean(&errors), "m0 to m2");
        // Only row 0 observes all three.
        let both = |x: f64, y: f64| slope * slope * (x + y) / (1.0 + 2.0 * slope * slope);
        let cross = evaluation.cross(&["m0", "m1"], "m2").expect("row 0");
        assert_eq!(cross.rows, 1);
        let error = (0.2 - both(0.5, -1.0)).powi(2);
        close(cross.mean_squared_error.expect("numbers"), (error, 0.0), "m0 and m1 to m2");
    }

    #[test]
    fn the_result_does_not_depend_on_the_batch_size() {
        let data = rows();
        let whole = of(&data, &EvaluateConfig::default()).expect("valid");
        for batch_size in [1, 2, 3] {
            let parts = of(&data, &EvaluateConfig { batch_size, seed: 0 }).expect("valid");
            assert_eq!(parts.cross.len(), whole.cross.len());
            for (a, b) in parts.cross.iter().zip(&whole.cross) {
                assert_eq!((&a.given, &a.target, a.rows), (&b.given, &b.target, b.rows));
                let b = b.log_likelihood;
                close(a.log_likelihood, (b.mean, b.standard_error), "log-likelihood");
            }
        }
    }

    #[test]
    fn a_pair_that_no_row_observes_has_no_entry() {
        let data = Rows::new(2, vec![vec![Some(1.0), None], vec![None, Some(1.0)]]);
        let evaluation = of(&data, &EvaluateConfig::default()).expect("valid");
        assert!(evaluation.cross(&["m0"], "m1").is_none());
        assert_eq!(evaluation.cross(&["m0"], "m0").map(|c| c.rows), Some(1));
        assert_eq!(evaluation.cross.len(), 2);
    }

    #[test]
    fn a_conditional_model_is_given_its_conditions_and_evaluated_on_the_rest() {
        let (data, device) = (rows(), Device::flex());
        let model = Conditional::new(SLOPE, data.modalities(), &device);
        let config = EvaluateConfig::default();
        let evaluation = evaluate(&model, &data, &config, &device).expect("valid");
        // Row 2 lacks the condition.
        let densities = [0, 1, 3].map(|row| {
            let values: Vec<f64> = data.row(row).iter().flatten().map(|&x| x.into()).collect();
            log_density(SLOPE.into(), &values) - log_density(SLOPE.into(), &values[..1])
        });
        assert_eq!(evaluation.rows, 3);
        close(evaluation.elbo, mean(&densities), "elbo");
        let names: Vec<_> = evaluation.log_likelihood.iter().map(|l| l.modality.clone()).collect();
        assert_eq!(names, ["m1", "m2"]);
        assert_eq!(evaluation.cross.len(), 8);
        for cross in &evaluation.cross {
            assert!(cross.given.iter().any(|m| m == "m0") && cross.target != "m0", "{cross:?}");
        }
        let none = Rows::new(3, vec![vec![None, Some(1.0), None]]);
        let error = evaluate(&model, &none, &config, &device).expect_err("no condition");
        assert!(error.to_string().contains("`m0`"), "{error}");
    }

    #[test]
    fn subsets_are_capped_beyond_five_modalities() {
        assert_eq!(given_subsets(5).len(), 31);
        let sizes: Vec<_> = given_subsets(7).iter().map(|s| s.len()).collect();
        assert_eq!(sizes, [1, 1, 1, 1, 1, 1, 1, 6, 6, 6, 6, 6, 6, 6, 7]);
    }

    #[test]
    fn an_infinite_value_is_an_error_with_its_row() {
        let data = Rows::new(1, vec![vec![Some(1.0)], vec![Some(f32::INFINITY)]]);
        let error = of(&data, &EvaluateConfig { batch_size: 1, seed: 0 }).expect_err("infinite");
        assert!(matches!(error, MetricsError::NotFinite { row: 1, .. }), "{error}");
    }

    #[test]
    fn data_of_other_modalities_and_empty_data_are_refused() {
        let device = Device::flex();
        let (data, other) = (rows(), Rows::new(2, vec![vec![Some(1.0), None]]));
        let model = LinearGaussian::new(SLOPE, data.modalities(), &device);
        let error = evaluate(&model, &other, &EvaluateConfig::default(), &device);
        let error = error.expect_err("2 modalities are not 3").to_string();
        assert!(error.contains("`m2` [1]"), "{error}");
        let error = of(&Rows::new(2, vec![]), &EvaluateConfig::default());
        assert!(matches!(error, Err(MetricsError::NoRows)));
        let error = of(&data, &EvaluateConfig { batch_size: 0, seed: 0 });
        assert!(matches!(error, Err(MetricsError::Config { .. })));
    }

    #[test]
    fn an_evaluation_reads_and_writes_as_json() {
        let evaluation = of(&rows(), &EvaluateConfig::default()).expect("valid");
        let text = serde_json::to_string(&evaluation).expect("plain data");
        let read: Evaluation = serde_json::from_str(&text).expect("own text");
        // The reader of JSON may be off in the last digit.
        close(read.elbo, (evaluation.elbo.mean, evaluation.elbo.standard_error), "elbo");
        let names = |e: &Evaluation| -> Vec<_> {
            e.cross.iter().map(|c| (c.given.clone(), c.target.clone(), c.rows)).collect()
        };
        assert_eq!(names(&read), names(&evaluation));
    }
}
