//! How close reconstructed and generated values are to the observed ones.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use multivae_core::{
    batch::Batch,
    dataset::Dataset,
    modality::ModalitySpec,
    model::{Density, Draws},
    noise::Noise,
    pass::{self, Pass},
    schema::ModalitySchema,
    subset::Subset,
};
use serde::{Deserialize, Serialize};

use crate::{
    MetricsError,
    entry::{Entries, Entry},
    evaluate::{check, given_with},
    mean::{Mean, Running},
    rows::{at_least, rows_that_observe, squared_errors},
    ssim::{psnr, scales, similarities},
};

/// Which value of a posterior is decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PosteriorValue {
    /// Its mean.
    #[default]
    Mean,
    /// One sample of it.
    Sample,
}

impl PosteriorValue {
    /// The same for [`Encode::encode`](multivae_core::model::Encode::encode).
    pub fn draws(self) -> Draws {
        match self {
            Self::Mean => Draws::Mean,
            Self::Sample => Draws::Samples(1),
        }
    }
}

/// How to compare reconstructions.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `batch_size` | 256 | rows at once | at least 1 |
/// | `seed` | 0 | what samples derive from | |
/// | `posterior` | `mean` | what of a posterior is decoded: its `mean`, or one `sample` | |
/// | `data_range` | 1.0 | the largest difference that two pixels can have, for PSNR and SSIM; 1.0 is that of images from 0 to 1, and others have neither unless another is said | above 0 |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReconstructionConfig {
    /// Rows at once, at least 1. The result does not depend on it.
    pub batch_size: usize,
    /// What samples derive from.
    pub seed: u64,
    /// What of a posterior is decoded.
    pub posterior: PosteriorValue,
    /// The largest difference that two pixels can have, above 0: 1 for images between 0 and 1.
    /// MultiVae takes the range that it finds in a batch, so that its values depend on batches.
    pub data_range: f64,
}

impl Default for ReconstructionConfig {
    fn default() -> Self {
        Self { batch_size: 256, seed: 0, posterior: PosteriorValue::default(), data_range: 1.0 }
    }
}

/// How close every modality is to what is decoded of it from every given subset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReconstructionReport {
    /// The data range of [`ReconstructionConfig`].
    pub data_range: f64,
    /// Every modality that the model generates from every given subset of
    /// [`given_subsets`](crate::given_subsets) with its conditions, where a row observes both.
    pub pairs: Vec<Reconstructed>,
}

/// One modality from a given subset; means over the rows that observe all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reconstructed {
    /// The modalities that the posterior was given.
    pub given: Vec<String>,
    /// The modality that was decoded; reconstructed if it is among the given, else generated.
    pub target: String,
    /// How many rows observe the given and the target.
    pub rows: usize,
    /// `-log p(target | z)` by the modality's likelihood, in nats, summed over features.
    pub cross_entropy: Mean,
    /// Squared difference between the target and the mean of its distribution, averaged over the
    /// cells that a row observes; `None` for text.
    pub mean_squared_error: Option<Mean>,
    /// See [`psnr`], of each row; `None` but for images, and for those with values beyond 0 to 1, as
    /// scans have, unless their `data_range` is said.
    pub psnr: Option<Mean>,
    /// See [`ssim`](crate::ssim()); `None` but for such images of at least 6 pixels a side.
    pub ssim: Option<Mean>,
    /// See [`ms_ssim`](crate::ms_ssim); `None` but for such images of at least 2 scales.
    pub ms_ssim: Option<Mean>,
    /// At how many scales images were compared; 0 but for such images.
    pub scales: usize,
}

impl ReconstructionReport {
    /// The pair of a given set and a target.
    pub fn pair(&self, given: &[&str], target: &str) -> Option<&Reconstructed> {
        self.pairs.iter().find(|pair| pair.target == target && pair.given == given)
    }
}

impl Entries for ReconstructionReport {
    fn entries(&self) -> Vec<Entry> {
        let of = |pair: &Reconstructed| {
            let means = [
                Some(pair.cross_entropy),
                pair.mean_squared_error,
                pair.psnr,
                pair.ssim,
                pair.ms_ssim,
            ];
            let entry = |(mean, measure): (Option<Mean>, &str)| {
                let entry = Entry::new("reconstruction", measure, mean?, pair.rows);
                Some(entry.given(&pair.given).target(&pair.target))
            };
            means.into_iter().zip(MEASURES).filter_map(entry).collect::<Vec<_>>()
        };
        self.pairs.iter().flat_map(of).collect()
    }
}

/// Compares every modality with what the model decodes of it from every given subset.
///
/// What a conditional model takes as given is given in every subset and is no target, and rows
/// that lack it do not count. A row's sample derives from the seed and its number.
///
/// # Errors
///
/// [`MetricsError::NoRows`], [`MetricsError::Modalities`] if model and data differ,
/// [`MetricsError::Config`], [`MetricsError::Range`] if the data range is not positive,
/// [`MetricsError::Pass`] if rows cannot be read, [`MetricsError::NotFinite`] with the first row
/// that has an infinite or undefined value.
pub fn reconstruction(
    model: &dyn Density,
    data: &dyn Dataset,
    config: &ReconstructionConfig,
    device: &Device,
) -> Result<ReconstructionReport, MetricsError> {
    at_least(1, &[("batch_size", config.batch_size)])?;
    if !(config.data_range > 0.0 && config.data_range.is_finite()) {
        return Err(MetricsError::Range {
            field: "data_range",
            expected: "a positive number",
            found: config.data_range,
        });
    }
    check(model.modalities(), data)?;
    let specs = model.modalities();
    let all_given = given_with(specs.len(), model.conditions());
    let mut sums = vec![vec![[Running::default(); MEASURES.len()]; specs.len()]; all_given.len()];
    let comparable: Vec<bool> = specs
        .iter()
        .map(|spec| {
            let known = data.schema().and_then(|schema| schema.modality(spec.name.as_str()));
            known.is_none_or(|known| has_range(known, config.data_range))
        })
        .collect();
    let pass = Pass { batch_size: config.batch_size, seed: config.seed };
    for batch in pass.batches(data, device) {
        let (Range { start, .. }, batch) = batch?;
        let mut batch = batch.keeping();
        for (number, &given) in all_given.iter().enumerate() {
            let rows: Vec<Vec<usize>> = (0..specs.len())
                .map(|m| rows_that_observe(&batch, given.union(Subset::single(m))))
                .collect();
            let wanted = model.generated().iter().filter(|&m| !rows[m].is_empty());
            // An error means that there is nothing to decode.
            let Ok(targets) = Subset::new(wanted) else { continue };
            batch.key.step = number as u64;
            let draws = config.posterior.draws();
            let latent = model.encode(&batch, given, draws, &mut Noise::of(&batch));
            for (m, output) in targets.iter().zip(model.decode(&latent, targets)) {
                let log_prob = model.log_prob_of(&batch, output.clone(), m);
                let mean = model.mean(output, m, batch.offset(m));
                let values = measure(&specs[m], &batch, m, mean, log_prob, config)?;
                let measures = if comparable[m] { MEASURES.len() } else { OF_ANY };
                let values = values.iter().take(measures);
                for ((values, sum), what) in values.zip(&mut sums[number][m]).zip(MEASURES) {
                    let Some(values) = values else { continue };
                    for &row in &rows[m] {
                        let value = values[row];
                        if !value.is_finite() {
                            let what = format!("{what} of `{}`", specs[m].name);
                            return Err(MetricsError::NotFinite { what, row: start + row, value });
                        }
                        sum.push(value);
                    }
                }
            }
        }
    }
    let name = |m: usize| specs[m].name.to_string();
    let comparable = &comparable;
    let pairs = all_given.iter().zip(&sums).flat_map(|(given, sums)| {
        sums.iter().enumerate().filter_map(move |(m, sums)| {
            let [cross_entropy, mean_squared_error, psnr, ssim, ms_ssim] =
                sums.each_ref().map(Running::finish);
            Some(Reconstructed {
                given: given.iter().map(name).collect(),
                target: name(m),
                rows: sums[0].count(),
                cross_entropy: cross_entropy?,
                mean_squared_error,
                psnr,
                ssim,
                ms_ssim,
                scales: image(&specs[m])
                    .filter(|_| comparable[m])
                    .map_or(0, |[_, height, width]| scales(height, width)),
            })
        })
    });
    Ok(ReconstructionReport { data_range: config.data_range, pairs: pairs.collect() })
}

/// What [`measure`] measures.
const MEASURES: [&str; 5] = ["cross_entropy", "mean_squared_error", "psnr", "ssim", "ms_ssim"];

/// The data range of images from 0 to 1.
const UNIT: f64 = 1.0;
/// How many of these do not need to know how far pixels can differ.
const OF_ANY: usize = 2;

/// Whether the data range is that of the values: one that is said, or that of images from 0 to 1 if
/// they are such, as they were put on a scale when they were read.
fn has_range(known: &ModalitySchema, data_range: f64) -> bool {
    let width = known.range.map(|[low, high]| (high - low) / known.scale.factor);
    data_range != UNIT || width.is_none_or(|width| width <= UNIT)
}

/// `[channels, height, width]` of images.
fn image(spec: &ModalitySpec) -> Option<[usize; 3]> {
    spec.shape.as_slice().try_into().ok()
}

/// The [`MEASURES`] of all rows, whatever they are of rows that miss the modality; `None` where it
/// has no such measure.
fn measure(
    spec: &ModalitySpec,
    batch: &Batch,
    modality: usize,
    mean: Tensor<3>,
    log_prob: Tensor<2>,
    config: &ReconstructionConfig,
) -> Result<[Option<Vec<f64>>; MEASURES.len()], MetricsError> {
    let column = |values: Tensor<1>, measure: usize| -> Result<Vec<f64>, MetricsError> {
        let values = pass::read(values, &format!("{} of `{}`", MEASURES[measure], spec.name))?;
        Ok(values.into_iter().map(f64::from).collect())
    };
    let cross_entropy = column(log_prob.neg().squeeze_dim(0), 0)?;
    let mean: Tensor<2> = mean.squeeze_dim(0);
    let observed = batch.observed(modality);
    let (Some(values), Some(error)) =
        (observed.dense(), squared_errors(mean.clone(), batch, modality))
    else {
        return Ok([Some(cross_entropy), None, None, None, None]);
    };
    let error = column(error, 1)?;
    let Some([channels, height, width]) = image(spec) else {
        return Ok([Some(cross_entropy), Some(error), None, None, None]);
    };
    let range = config.data_range;
    let ratio = error.iter().map(|&error| psnr(error, range)).collect();
    let scales = scales(height, width);
    let images = |values: Tensor<2>| {
        let rows = values.dims()[0];
        values.reshape([rows, channels, height, width])
    };
    if scales == 0 {
        return Ok([Some(cross_entropy), Some(error), Some(ratio), None, None]);
    }
    let [single, over_scales] = similarities(images(mean), images(values.clone()), range);
    let over_scales = (scales > 1).then(|| column(over_scales, 4)).transpose()?;
    Ok([Some(cross_entropy), Some(error), Some(ratio), Some(column(single, 3)?), over_scales])
}

#[cfg(test)]
mod tests {
    use multivae_core::schema::ValueScale;
    use multivae_testkit::{Conditional, LinearGaussian, Rows};

    use super::*;

    const SLOPE: f32 = 0.8;

    fn rows() -> Rows {
        Rows::new(
            3,
            vec![
                vec![Some(0.5), Some(-1.0), Some(0.2)],
                vec![Some(1.5), None, Some(2.0)],
                vec![None, Some(0.3), None],
            ],
        )
    }

    fn of(config: &ReconstructionConfig) -> Result<ReconstructionReport, MetricsError> {
        let (data, device) = (rows(), Device::flex());
        let model = LinearGaussian::new(SLOPE, data.modalities(), &device);
        reconstruction(&model, &data, config, &device)
    }

    #[test]
    fn errors_and_cross_entropies_are_those_worked_out_by_hand() {
        let report = of(&ReconstructionConfig::default()).expect("valid");
        let pair = report.pair(&["m0"], "m2").expect("rows 0 and 1 observe both");
        let slope = f64::from(SLOPE);
        let decoded = |x: f64| slope * slope * x / (1.0 + slope * slope);
        let errors = [(0.2 - decoded(0.5)).powi(2), (2.0 - decoded(1.5)).powi(2)];
        let mean = (errors[0] + errors[1]) / 2.0;
        let found = pair.mean_squared_error.expect("numbers");
        assert!((found.mean - mean).abs() < 1e-6, "{pair:?}");
        assert!((found.standard_error - (errors[1] - errors[0]).abs() / 2.0).abs() < 1e-6);
        let cross_entropy = 0.5 * (std::f64::consts::TAU.ln() + mean);
        assert!((pair.cross_entropy.mean - cross_entropy).abs() < 1e-6, "{pair:?}");
        assert_eq!((pair.rows, pair.psnr, pair.ssim, pair.ms_ssim), (2, None, None, None));
    }

    #[test]
    fn rows_that_miss_the_target_or_the_given_do_not_count() {
        let report = of(&ReconstructionConfig::default()).expect("valid");
        let rows = |given: &[&str], target| report.pair(given, target).map(|pair| pair.rows);
        assert_eq!(rows(&["m1"], "m2"), Some(1));
        assert_eq!(rows(&["m1"], "m1"), Some(2));
        assert_eq!(rows(&["m0", "m1", "m2"], "m0"), Some(1));
        // All but the two from m0 and m1 to m1, and so on: each of 7 subsets has 3 targets.
        assert_eq!(report.pairs.len(), 21);
    }

    #[test]
    fn samples_do_not_depend_on_the_batch_size_and_differ_from_means() {
        let config =
            ReconstructionConfig { posterior: PosteriorValue::Sample, ..Default::default() };
        let whole = of(&config).expect("valid");
        let parts = of(&ReconstructionConfig { batch_size: 1, ..config }).expect("valid");
        let means = of(&ReconstructionConfig::default()).expect("valid");
        for ((a, b), c) in parts.pairs.iter().zip(&whole.pairs).zip(&means.pairs) {
            assert!((a.cross_entropy.mean - b.cross_entropy.mean).abs() < 1e-5, "{a:?} {b:?}");
            assert!((a.cross_entropy.mean - c.cross_entropy.mean).abs() > 1e-5, "{a:?} {c:?}");
        }
    }

    #[test]
    fn a_conditional_model_is_compared_on_what_it_generates() {
        let (data, device) = (rows(), Device::flex());
        let model = Conditional::new(SLOPE, data.modalities(), &device);
        let report = reconstruction(&model, &data, &ReconstructionConfig::default(), &device)
            .expect("valid");
        assert!(!report.pairs.is_empty());
        for pair in &report.pairs {
            assert!(pair.given.iter().any(|m| m == "m0") && pair.target != "m0", "{pair:?}");
        }
    }

    #[test]
    fn images_have_all_measures_and_others_have_none() {
        let image = ModalitySpec::new("image", &[1, 12, 12]).expect("valid");
        let values = Batch::complete(vec![Tensor::full([2, 144], 0.5, &Device::flex())]);
        let values = values.expect("one modality");
        let output = Tensor::full([1, 2, 144], 0.6, &Device::flex());
        let log_prob = || Tensor::full([1, 2], -3.0, &Device::flex());
        let config = ReconstructionConfig::default();
        let found = measure(&image, &values, 0, output.clone(), log_prob(), &config).expect("read");
        let found = found.map(|values| values.expect("an image")[1]);
        assert_eq!(found[0], 3.0);
        assert!((found[1] - 0.01).abs() < 1e-7 && (found[2] - 20.0).abs() < 1e-4, "{found:?}");
        assert!(found[3] < 1.0 && found[4] < 1.0, "{found:?}");
        let same = output.clone() - 0.1;
        let found = measure(&image, &values, 0, same, log_prob(), &config).expect("read");
        let psnr = found[2].as_ref().expect("an image")[0];
        assert!((psnr - 144.494).abs() < 1e-3, "{psnr}");
        let vector = ModalitySpec::new("vector", &[144]).expect("valid");
        let found =
            measure(&vector, &values, 0, output.clone(), log_prob(), &config).expect("read");
        assert_eq!(found.map(|values| values.is_some()), [true, true, false, false, false]);
        // Cells that were not measured have no error, whatever stands there.
        let cells = Tensor::cat(
            vec![Tensor::ones([2, 1], &Device::flex()), Tensor::zeros([2, 143], &Device::flex())],
            1,
        );
        let filled = Tensor::full([2, 144], f32::NAN, &Device::flex())
            .mask_fill(cells.clone().greater_scalar(0.5), 0.4);
        let holes = Batch::complete(vec![filled]).and_then(|b| b.with_cells(vec![Some(cells)]));
        let holes = holes.expect("one modality");
        let found = measure(&vector, &holes, 0, output, log_prob(), &config).expect("read");
        let error = found[1].as_ref().expect("numbers")[0];
        assert!((error - 0.04).abs() < 1e-6, "{error}");
    }

    #[test]
    fn scans_in_units_of_their_own_have_no_range_unless_it_is_said() {
        let spec = ModalitySpec::new("scan", &[1, 12, 12]).expect("valid");
        let known = |range, scale| ModalitySchema {
            range: Some(range),
            scale,
            ..ModalitySchema::new(spec.clone())
        };
        let scan = known([-1000.0, 3071.0], ValueScale::IDENTITY);
        assert!(!has_range(&scan, 1.0) && has_range(&scan, 6.0));
        assert!(has_range(&known([0.0, 255.0], ValueScale::up_to(255.0)), 1.0));
        assert!(has_range(&known([0.0, 1.0], ValueScale::IDENTITY), 1.0));
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let config = ReconstructionConfig { data_range: 0.0, ..Default::default() };
        let error = of(&config).expect_err("no range").to_string();
        assert!(error.contains("`data_range`"), "{error}");
        let config = ReconstructionConfig { batch_size: 0, ..Default::default() };
        assert!(matches!(of(&config), Err(MetricsError::Config { .. })));
    }
}
