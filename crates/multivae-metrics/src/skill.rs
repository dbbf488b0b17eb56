//! Whether what is decoded is closer to the observed values than a mean that takes no model.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use multivae_core::{
    batch::Batch,
    dataset::Dataset,
    modality::ModalitySpec,
    model::{Draws, Generate},
    noise::Noise,
    pass::{self, Pass},
    subset::Subset,
};
use serde::{Deserialize, Serialize};

use crate::{
    MetricsError,
    entry::{Entries, Entry},
    evaluate::{check, within},
    mean::{Mean, Running},
    rows::{Chosen, at_least, squared_errors},
};

/// How to compare with the mean of the training rows.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `batch_size` | 256 | rows at once | at least 1 |
/// | `rows` | all | rows at most, evenly spread | at least 1 |
/// | `train_rows` | all | training rows at most of which the mean is, evenly spread | at least 1 |
/// | `targets` | all | modalities at most that are decoded, evenly spread | at least 1 |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkillConfig {
    /// Rows at once, at least 1. The result does not depend on it.
    pub batch_size: usize,
    /// Rows at most, evenly spread; all if `None`.
    pub rows: Option<usize>,
    /// Training rows at most of which the mean is, evenly spread; all if `None`.
    pub train_rows: Option<usize>,
    /// Modalities at most that are decoded, evenly spread; all if `None`. The work grows with the
    /// square of the number of modalities otherwise.
    pub targets: Option<usize>,
}

impl Default for SkillConfig {
    fn default() -> Self {
        Self { batch_size: 256, rows: None, train_rows: None, targets: None }
    }
}

/// How much closer to the observed values a model comes than the mean of the training rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skill {
    /// Rows that were looked at.
    pub rows: usize,
    /// Training rows of which the mean is.
    pub train_rows: usize,
    /// Every modality that the model generates and that has numbers, from itself and from the
    /// others, where rows observe them and training rows observe it.
    pub pairs: Vec<PairSkill>,
}

/// From what a modality is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// From itself alone, with the conditions of a conditional model.
    Itself,
    /// From all others that a row observes.
    Others,
}

/// One modality from itself or from the others: squared errors in units of the data that the model
/// sees, averaged over the observed cells of a row, then over rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairSkill {
    /// The modalities that the posterior was given.
    pub given: Vec<String>,
    /// From what it was decoded.
    pub source: Source,
    /// The modality.
    pub target: String,
    /// How many rows observe the target and one of the given.
    pub rows: usize,
    /// Error of the mean of the modality's distribution at the posterior's mean.
    pub error: Mean,
    /// Error of the mean of the training rows that observe the modality, feature by feature.
    pub baseline: Mean,
    /// The first less the second, row by row: negative where the model is closer.
    pub difference: Mean,
}

impl PairSkill {
    /// The share of the baseline's error that the model does away with: 1 for a perfect model, 0 for
    /// one that is as good as the mean, negative for a worse one. Undefined where the mean has no
    /// error.
    pub fn explained(&self) -> f64 {
        1.0 - self.error.mean / self.baseline.mean
    }
}

impl Entries for Skill {
    fn entries(&self) -> Vec<Entry> {
        let of = |pair: &PairSkill| {
            let entry = |measure: &str, mean| {
                Entry::new("skill", measure, mean, pair.rows)
                    .given(&pair.given)
                    .target(&pair.target)
            };
            let explained = Entry {
                value: pair.explained(),
                standard_error: None,
                ..entry("explained", pair.error)
            };
            let explained = explained.value.is_finite().then_some(explained);
            let errors = [entry("error", pair.error), entry("baseline_error", pair.baseline)];
            explained.into_iter().chain(errors)
        };
        self.pairs.iter().flat_map(of).collect()
    }
}

/// Compares what a model decodes of every modality, from itself and from the others, with the mean
/// of the training rows.
///
/// # Errors
///
/// [`MetricsError::NoRows`], [`MetricsError::Modalities`] if model and data differ,
/// [`MetricsError::Config`], [`MetricsError::Pass`] if rows cannot be read,
/// [`MetricsError::NotFinite`] with the first row of which a decoded value is infinite or undefined.
pub fn skill(
    model: &dyn Generate,
    train: &dyn Dataset,
    data: &dyn Dataset,
    config: &SkillConfig,
    device: &Device,
) -> Result<Skill, MetricsError> {
    at_least(1, &[("batch_size", config.batch_size)])?;
    at_least(1, &[("rows", config.rows.unwrap_or(1))])?;
    at_least(1, &[("train_rows", config.train_rows.unwrap_or(1))])?;
    at_least(1, &[("targets", config.targets.unwrap_or(1))])?;
    check(model.modalities(), data)?;
    check(model.modalities(), train)?;
    let (train, chosen) =
        (Chosen::spread(train, config.train_rows), Chosen::spread(data, config.rows));
    let pass = Pass { batch_size: config.batch_size, seed: 0 };
    let means = means(&train, pass, device)?;
    let specs = model.modalities();
    let wanted: Vec<Wanted> =
        wanted(model, config.targets).filter(|wanted| means[wanted.target].is_some()).collect();
    let mut sums = vec![[Running::default(); 3]; wanted.len()];
    for batch in pass.batches(&chosen, device) {
        let (Range { start, .. }, batch) = batch?;
        let batch = batch.keeping();
        for (Wanted { given, target, .. }, sums) in wanted.iter().zip(&mut sums) {
            let target = *target;
            let rows = countable(&batch, *given, target, model.conditions());
            if rows.is_empty() {
                continue;
            }
            let latent = model.encode(&batch, *given, Draws::Mean, &mut Noise::of(&batch));
            let outputs = model.decode(&latent, Subset::single(target));
            let output = outputs.into_iter().next().expect("one target");
            let decoded = model.mean(output, target, batch.offset(target)).squeeze_dim::<2>(0);
            let mean = means[target].clone().expect("those without were left out");
            let mean = mean.unsqueeze_dim::<2>(0).expand(decoded.dims());
            let name = &specs[target].name;
            let read = |predicted: Tensor<2>, what: &str| {
                let errors = squared_errors(predicted, &batch, target).expect("numbers");
                pass::read(errors, &format!("{what} of `{name}`"))
            };
            let (errors, baseline) = (read(decoded, "error")?, read(mean, "error of the mean")?);
            for row in rows {
                let (error, baseline) = (f64::from(errors[row]), f64::from(baseline[row]));
                if !error.is_finite() {
                    let row = chosen.number(start + row);
                    let what = format!("squared error of `{name}`");
                    return Err(MetricsError::NotFinite { what, row, value: error });
                }
                for (sum, value) in sums.iter_mut().zip([error, baseline, error - baseline]) {
                    sum.push(value);
                }
            }
        }
    }
    let name = |m: usize| specs[m].name.to_string();
    let pairs = wanted.iter().zip(&sums).filter_map(|(wanted, sums)| {
        let [error, baseline, difference] = sums.each_ref().map(Running::finish);
        Some(PairSkill {
            given: wanted.given.iter().map(name).collect(),
            source: wanted.source,
            target: name(wanted.target),
            rows: sums[0].count(),
            error: error?,
            baseline: baseline?,
            difference: difference?,
        })
    });
    Ok(Skill { rows: chosen.len(), train_rows: train.len(), pairs: pairs.collect() })
}

/// What is decoded from what.
struct Wanted {
    given: Subset,
    source: Source,
    target: usize,
}

/// At most so many of the modalities that are generated, from itself and from the others, with all
/// conditions.
fn wanted(model: &dyn Generate, most: Option<usize>) -> impl Iterator<Item = Wanted> {
    let (all, conditions) = (model.modalities().len(), model.conditions());
    let generated: Vec<usize> = model.generated().iter().collect();
    let n = most.map_or(generated.len(), |most| most.min(generated.len()));
    (0..n).map(move |i| generated[i * generated.len() / n]).flat_map(move |target| {
        let own = Subset::single(target);
        let own = conditions.map_or(own, |conditions| own.union(conditions));
        let others = Subset::new((0..all).filter(|&m| m != target)).ok();
        let others = others.map(|given| Wanted { given, source: Source::Others, target });
        [Some(Wanted { given: own, source: Source::Itself, target }), others].into_iter().flatten()
    })
}

/// Rows that observe the target, one of the given, and what a conditional model needs.
fn countable(
    batch: &Batch,
    given: Subset,
    target: usize,
    conditions: Option<Subset>,
) -> Vec<usize> {
    let counts = |row: &Subset| {
        row.contains(target)
            && given.iter().any(|m| row.contains(m))
            && conditions.is_none_or(|needed| within(needed, *row))
    };
    let rows = batch.presence().rows().iter().enumerate();
    rows.filter(|(_, row)| counts(row)).map(|(row, _)| row).collect()
}

/// The mean of every feature over the rows and cells that observe it, `[features]`; 0 for a feature
/// that none observes, `None` for a modality that none does, and for texts.
fn means(
    data: &dyn Dataset,
    pass: Pass,
    device: &Device,
) -> Result<Vec<Option<Tensor<1>>>, MetricsError> {
    let specs = data.modalities();
    // Sum and number of values of each feature.
    let mut sums: Vec<Option<[Vec<f64>; 2]>> = vec![None; specs.len()];
    for batch in pass.batches(data, device) {
        let (_, batch) = batch?;
        for (m, (spec, sums)) in specs.iter().zip(&mut sums).enumerate() {
            let Some((values, cells)) = observed(&batch, m, spec) else { continue };
            let zeros = || vec![0.0; spec.features()];
            let sums = sums.get_or_insert_with(|| [zeros(), zeros()]);
            for (sum, values) in sums.iter_mut().zip([values, cells]) {
                let values = pass::read(values.sum_dim(0), &format!("mean of `{}`", spec.name))?;
                for (sum, value) in sum.iter_mut().zip(values) {
                    *sum += f64::from(value);
                }
            }
        }
    }
    let mean = |[sum, count]: [Vec<f64>; 2]| -> Tensor<1> {
        let of = |(sum, count): (f64, f64)| (sum / count.max(1.0)) as f32;
        let mean: Vec<f32> = sum.into_iter().zip(count).map(of).collect();
        Tensor::from_floats(mean.as_slice(), device)
    };
    Ok(sums.into_iter().map(|sums| sums.map(mean)).collect())
}

/// Values with zeros where they are missing, and 1 where they are not, `[batch, features]` each;
/// `None` of texts, and where no row observes the modality.
fn observed(batch: &Batch, m: usize, spec: &ModalitySpec) -> Option<(Tensor<2>, Tensor<2>)> {
    let any = batch.presence().rows().iter().any(|row| row.contains(m));
    let values = batch.observed(m).dense().cloned().filter(|_| any)?;
    Some((values, batch.observed_cells(m, spec.features())))
}

#[cfg(test)]
mod tests {
    use multivae_testkit::{Conditional, LinearGaussian, Rows};

    use super::*;
    use crate::{FEWEST_ROWS, FindingKind, skill_findings};

    const SLOPE: f32 = 3.0;

    /// Values of one sign in both modalities, and in the last row of the first alone.
    fn rows() -> Rows {
        let rows = (0..20).map(|row| {
            let value = if row % 2 == 0 { 3.0 } else { -3.0 };
            let second = value + (row as f32 * 0.7).sin() * 0.1;
            vec![Some(value), (row < 19).then_some(second)]
        });
        Rows::new(2, rows.collect())
    }

    fn of(slope: f32, config: &SkillConfig) -> Result<Skill, MetricsError> {
        let (data, device) = (rows(), Device::flex());
        let model = LinearGaussian::new(slope, data.modalities(), &device);
        skill(&model, &data, &data, config, &device)
    }

    #[test]
    fn errors_are_those_worked_out_by_hand_and_the_mean_is_of_observed_rows() {
        let report = of(SLOPE, &SkillConfig::default()).expect("valid");
        assert_eq!((report.rows, report.train_rows, report.pairs.len()), (20, 20, 4));
        let pair = &report.pairs[0];
        assert_eq!((pair.target.as_str(), pair.source, pair.rows), ("m0", Source::Itself, 20));
        // The mean is 0, and what is decoded is 9/10 of the value.
        assert!((pair.baseline.mean - 9.0).abs() < 1e-5, "{pair:?}");
        assert!((pair.error.mean - 0.09).abs() < 1e-5 && (pair.explained() - 0.99).abs() < 1e-6);
        assert!((pair.difference.mean + 8.91).abs() < 1e-5);
        // The row without the second modality counts for neither direction.
        assert!(report.pairs[1..].iter().all(|pair| pair.rows == 19), "{report:?}");
        assert_eq!(report.pairs[1].given, ["m1"]);
        assert_eq!(skill_findings(&report), []);
    }

    #[test]
    fn a_model_that_is_worse_than_the_mean_is_found_out_with_its_figures() {
        // Decoded values are of the other sign: the model has learned the opposite.
        let (data, device) = (rows(), Device::flex());
        let model = LinearGaussian::new(SLOPE, data.modalities(), &device);
        let opposite = Rows::new(
            2,
            (0..20)
                .map(|row| {
                    let value = if row % 2 == 0 { 3.0 } else { -3.0 };
                    vec![Some(value), Some(-value)]
                })
                .collect(),
        );
        let report = skill(&model, &data, &opposite, &SkillConfig::default(), &device);
        let findings = skill_findings(&report.expect("valid"));
        let kinds: Vec<_> = findings.iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, [FindingKind::WorseThanMean; 2], "{findings:?}");
        let text = &findings[0].text;
        for part in ["from `m1`", "worse than the mean", "on 20 rows", "32.", "9."] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_model_that_decodes_the_same_for_every_row_is_no_better_than_the_mean() {
        let findings = skill_findings(&of(0.0, &SkillConfig::default()).expect("valid"));
        let kinds: Vec<_> = findings.iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, [FindingKind::NoBetterThanMean; 4], "{findings:?}");
    }

    #[test]
    fn of_a_few_rows_nothing_is_said() {
        let config = SkillConfig { rows: Some(FEWEST_ROWS - 1), ..SkillConfig::default() };
        assert_eq!(skill_findings(&of(0.0, &config).expect("valid")), []);
    }

    #[test]
    fn rows_are_spread_and_batches_do_not_matter() {
        let config =
            SkillConfig { batch_size: 3, rows: Some(7), train_rows: Some(4), targets: None };
        let parts = of(SLOPE, &config).expect("valid");
        assert_eq!((parts.rows, parts.train_rows, parts.pairs[0].rows), (7, 4, 7));
        let whole = of(SLOPE, &SkillConfig { batch_size: 100, ..config }).expect("valid");
        for (a, b) in parts.pairs.iter().zip(&whole.pairs) {
            assert!((a.error.mean - b.error.mean).abs() < 1e-6, "{a:?} {b:?}");
        }
        let few = of(SLOPE, &SkillConfig { targets: Some(1), ..SkillConfig::default() });
        assert!(few.expect("valid").pairs.iter().all(|pair| pair.target == "m0"));
        let error = of(SLOPE, &SkillConfig { batch_size: 0, ..SkillConfig::default() });
        assert!(matches!(error, Err(MetricsError::Config { .. })));
    }

    #[test]
    fn a_conditional_model_is_compared_on_what_it_generates() {
        let (data, device) = (rows(), Device::flex());
        let model = Conditional::new(SLOPE, data.modalities(), &device);
        let report = skill(&model, &data, &data, &SkillConfig::default(), &device).expect("valid");
        assert!(!report.pairs.is_empty());
        for pair in &report.pairs {
            assert!(pair.target != "m0" && pair.given.contains(&"m0".to_owned()), "{pair:?}");
        }
    }
}
