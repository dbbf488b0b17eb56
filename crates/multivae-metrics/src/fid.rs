//! How far generated values are from observed ones as distributions.

use burn::tensor::{Device, Int, Tensor, TensorData};
use multivae_core::{
    dataset::Dataset,
    modality::{ModalityName, ModalitySpec},
    model::{Draws, Generate, Latent},
    noise::Noise,
    pass::{self, Pass},
    subset::Subset,
};
use serde::{Deserialize, Serialize};

use crate::{
    MetricsError,
    distance::{FeatureSet, Frechet, Moments, kernel_distance, precision_recall},
    entry::{Entries, Entry},
    evaluate::{check, given_with},
    features::Features,
    mean::Mean,
    rows::{Chosen, at_least, rows_that_observe},
};

/// How distances of distributions are measured.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `batch_size` | 256 | rows at once | at least 1 |
/// | `seed` | 0 | what samples and random subsets derive from | |
/// | `max_rows` | 10000 | rows of a set at most, evenly spread over the data | at least 2 |
/// | `kid_subsets` | 20 | random subsets of the kernel distance | at least 1 |
/// | `kid_subset_size` | 1000 | rows of each of them at most | at least 2 |
/// | `neighbours` | 3 | the neighbour that says how far precision and recall reach | at least 1 |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FidConfig {
    /// Rows at once, at least 1. The result does not depend on it.
    pub batch_size: usize,
    /// What samples and random subsets derive from.
    pub seed: u64,
    /// Rows of a set at most, at least 2, evenly spread over the data. Fréchet distances are
    /// comparable for equal numbers of rows only.
    pub max_rows: usize,
    /// Random subsets of the kernel distance, at least 1.
    pub kid_subsets: usize,
    /// Rows of each of them at most, at least 2.
    pub kid_subset_size: usize,
    /// The neighbour that says how far precision and recall reach, at least 1.
    pub neighbours: usize,
}

impl Default for FidConfig {
    fn default() -> Self {
        Self {
            batch_size: 256,
            seed: 0,
            max_rows: 10_000,
            kid_subsets: 20,
            kid_subset_size: 1000,
            neighbours: 3,
        }
    }
}

impl FidConfig {
    fn check(&self) -> Result<(), MetricsError> {
        let numbers = [("max_rows", self.max_rows), ("kid_subset_size", self.kid_subset_size)];
        at_least(2, &numbers)?;
        let numbers = [
            ("batch_size", self.batch_size),
            ("kid_subsets", self.kid_subsets),
            ("neighbours", self.neighbours),
        ];
        at_least(1, &numbers)
    }
}

/// How far generated values of every modality are from the observed ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fid {
    /// Values generated from given modalities, each modality from every subset of the others among
    /// [`given_subsets`](crate::given_subsets), with the conditions of a conditional model.
    pub conditional: Vec<SetDistance>,
    /// Values generated from nothing.
    pub joint: Vec<SetDistance>,
}

/// How far a set of generated values of a modality is from the observed ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetDistance {
    /// The modalities from which they were generated; none for joint samples.
    pub given: Vec<String>,
    /// The modality.
    pub target: String,
    /// By which features: [`Features::name`].
    pub features: String,
    /// Rows of the data that observe the modality.
    pub observed: usize,
    /// Generated rows: those that observe the given, or samples.
    pub generated: usize,
    /// The [`Frechet`] distance. It has no standard error: it is no mean, and sets drawn from these
    /// by chance lie farther apart than they do.
    pub fid: f64,
    /// The kernel distance, see [`kernel_distance`].
    pub kid: Mean,
    /// Share of the generated rows that lie where observed ones are, see [`precision_recall`];
    /// `None` if a set has no more rows than it takes neighbours.
    pub precision: Option<Mean>,
    /// Share of the observed rows that lie where generated ones are.
    pub recall: Option<Mean>,
}

impl Entries for Fid {
    /// Measures have the name of their features, since only those of the same are comparable.
    fn entries(&self) -> Vec<Entry> {
        self.conditional.iter().chain(&self.joint).flat_map(SetDistance::entries).collect()
    }
}

impl SetDistance {
    /// Its numbers as rows of a table.
    pub fn entries(&self) -> Vec<Entry> {
        let entry = |measure: &str, mean, rows| {
            let measure = format!("{measure}_{}", self.features);
            Entry::new("fid", &measure, mean, rows).given(&self.given).target(&self.target)
        };
        let fid = Mean { mean: self.fid, standard_error: 0.0 };
        let share = |measure: &str, mean: Option<Mean>, rows| Some(entry(measure, mean?, rows));
        let entries = [
            Some(Entry { standard_error: None, ..entry("fid", fid, self.generated) }),
            Some(entry("kid", self.kid, self.generated)),
            share("precision", self.precision, self.generated),
            share("recall", self.recall, self.observed),
        ];
        entries.into_iter().flatten().collect()
    }
}

/// Compares generated with observed values in features of each modality: what is generated from
/// every subset of the other modalities, one sample of the posterior per row, and from the given
/// joint samples. Of generated values the mean of their distribution is compared.
///
/// Modalities without features are left out, and so are sets of fewer than 2 rows. `joint` may be
/// empty. `progress` is told the share that is done.
///
/// # Errors
///
/// [`MetricsError::NoRows`], [`MetricsError::Modalities`] if model and data differ,
/// [`MetricsError::Modality`] for features of a modality that the model does not have,
/// [`MetricsError::Config`], [`MetricsError::Pass`], [`MetricsError::NotFinite`] with the first row
/// that has a feature that is infinite or undefined.
///
/// # Panics
///
/// If features do not fit their modality.
pub fn fid(
    model: &dyn Generate,
    data: &dyn Dataset,
    joint: impl Iterator<Item = Latent>,
    extractors: &[(ModalityName, &dyn Features)],
    config: &FidConfig,
    device: &Device,
    progress: &dyn Fn(f64),
) -> Result<Fid, MetricsError> {
    config.check()?;
    check(model.modalities(), data)?;
    let data = &Chosen::spread(data, Some(config.max_rows));
    let all_given = given_with(model.modalities().len(), model.conditions());
    // Observed values, every given subset, and joint samples.
    let steps = all_given.len() as f64 + 2.0;
    let observed = Observed::all(model, data, extractors, config, device)?;
    let mut conditional = Vec::new();
    for (number, &given) in all_given.iter().enumerate() {
        let part = |share: f64| progress((1.0 + number as f64 + share) / steps);
        part(0.0);
        let wanted = |of: &&Observed<'_>| !given.contains(of.modality);
        let targets: Vec<&Observed<'_>> = observed.iter().filter(wanted).collect();
        let step = number as u64;
        conditional.extend(from_given(model, data, given, step, &targets, config, device, &part)?);
    }
    let targets: Vec<&Observed<'_>> = observed.iter().collect();
    let joint = from_joint(model, joint, &targets, config)?;
    progress(1.0);
    Ok(Fid { conditional, joint })
}

/// The same for joint samples alone, such as those of another sampler.
///
/// # Errors
///
/// As [`fid`].
///
/// # Panics
///
/// As [`fid`].
pub fn joint_fid(
    model: &dyn Generate,
    data: &dyn Dataset,
    joint: impl Iterator<Item = Latent>,
    extractors: &[(ModalityName, &dyn Features)],
    config: &FidConfig,
    device: &Device,
) -> Result<Vec<SetDistance>, MetricsError> {
    config.check()?;
    check(model.modalities(), data)?;
    let data = Chosen::spread(data, Some(config.max_rows));
    let observed = Observed::all(model, &data, extractors, config, device)?;
    let targets: Vec<&Observed<'_>> = observed.iter().collect();
    from_joint(model, joint, &targets, config)
}

/// Distances of what is generated from given modalities.
#[expect(clippy::too_many_arguments, reason = "it is a part of one function")]
fn from_given(
    model: &dyn Generate,
    data: &Chosen<'_>,
    given: Subset,
    step: u64,
    targets: &[&Observed<'_>],
    config: &FidConfig,
    device: &Device,
    progress: &dyn Fn(f64),
) -> Result<Vec<SetDistance>, MetricsError> {
    let specs = model.modalities();
    // An error means that there is nothing to generate.
    let Ok(wanted) = Subset::new(targets.iter().map(|target| target.modality)) else {
        return Ok(Vec::new());
    };
    let mut sets = vec![Set::default(); targets.len()];
    let pass = Pass { batch_size: config.batch_size, seed: config.seed };
    for batch in pass.batches(data, device) {
        let (range, mut batch) = batch?;
        let rows = rows_that_observe(&batch, given);
        if !rows.is_empty() {
            batch.key.step = step;
            let draws = Draws::Samples(1);
            let latent = model.encode(&batch, given, draws, &mut Noise::of(&batch));
            let outputs = model.decode(&latent, wanted);
            for (target, set) in targets.iter().zip(&mut sets) {
                let output = output_of(target.modality, wanted, &outputs);
                let spec = &specs[target.modality];
                let offset = batch.offset(target.modality);
                let values = model.mean(output, target.modality, offset).squeeze_dim(0);
                let values = choose(values, &rows);
                set.push(target.features, values, spec, |i| data.number(range.start + rows[i]))?;
            }
        }
        progress(range.end as f64 / data.len() as f64);
    }
    let names: Vec<String> = given.iter().map(|m| specs[m].name.to_string()).collect();
    let of = |(target, set): (&&Observed<'_>, Set)| target.distance(&set, &names, specs, config);
    Ok(targets.iter().zip(sets).filter_map(of).collect())
}

/// Distances of what is decoded from joint samples.
fn from_joint(
    model: &dyn Generate,
    joint: impl Iterator<Item = Latent>,
    targets: &[&Observed<'_>],
    config: &FidConfig,
) -> Result<Vec<SetDistance>, MetricsError> {
    let specs = model.modalities();
    let Ok(wanted) = Subset::new(targets.iter().map(|target| target.modality)) else {
        return Ok(Vec::new());
    };
    let mut sets = vec![Set::default(); targets.len()];
    let mut done = 0;
    for latent in joint {
        if done >= config.max_rows {
            break;
        }
        let outputs = model.decode(&latent, wanted);
        let mut count = 0;
        for (target, set) in targets.iter().zip(&mut sets) {
            let output = output_of(target.modality, wanted, &outputs);
            let spec = &specs[target.modality];
            let values: Tensor<2> = model.mean(output, target.modality, None).flatten(0, 1);
            count = values.dims()[0].min(config.max_rows - done);
            set.push(target.features, values.narrow(0, 0, count), spec, |i| done + i)?;
        }
        done += count;
    }
    let of = |(target, set): (&&Observed<'_>, Set)| target.distance(&set, &[], specs, config);
    Ok(targets.iter().zip(sets).filter_map(of).collect())
}

/// The output of a modality among those of the decoded ones.
fn output_of(modality: usize, decoded: Subset, outputs: &[Tensor<3>]) -> Tensor<3> {
    let place = decoded.iter().position(|m| m == modality).expect("it was decoded");
    outputs[place].clone()
}

/// Some rows of `[rows, values]`.
fn choose(values: Tensor<2>, rows: &[usize]) -> Tensor<2> {
    if values.dims()[0] == rows.len() {
        return values;
    }
    let device = values.device();
    let numbers: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let numbers = TensorData::new(numbers, [rows.len()]);
    values.select(0, Tensor::<1, Int>::from_data(numbers, &device))
}

/// The features of a set; nothing is known of them before the first rows.
#[derive(Clone, Debug, Default)]
struct Set(Option<FeatureSet>);

impl Set {
    /// Adds the features of values, `[rows, values]`; `place` says where a row is from.
    fn push(
        &mut self,
        features: &dyn Features,
        values: Tensor<2>,
        spec: &ModalitySpec,
        place: impl Fn(usize) -> usize,
    ) -> Result<(), MetricsError> {
        if values.dims()[0] == 0 {
            return Ok(());
        }
        let found = features.features(values, spec);
        let width = found.dims()[1];
        let what = format!("a feature `{}` of `{}`", features.name(), spec.name);
        let found = pass::read(found, &what)?;
        if let Some(at) = found.iter().position(|value| !value.is_finite()) {
            let (row, value) = (place(at / width), found[at].into());
            return Err(MetricsError::NotFinite { what, row, value });
        }
        self.0.get_or_insert_with(|| FeatureSet::new(width)).push(&found);
        Ok(())
    }

    /// Those of at least 2 rows.
    fn finish(self) -> Option<FeatureSet> {
        self.0.filter(|set| set.rows() > 1)
    }
}

/// The observed values of a modality.
struct Observed<'a> {
    modality: usize,
    features: &'a dyn Features,
    set: FeatureSet,
    frechet: Frechet,
}

impl<'a> Observed<'a> {
    /// Of every modality that the model generates, that has features, and of which there are rows.
    fn all(
        model: &dyn Generate,
        data: &Chosen<'_>,
        extractors: &[(ModalityName, &'a dyn Features)],
        config: &FidConfig,
        device: &Device,
    ) -> Result<Vec<Self>, MetricsError> {
        let specs = model.modalities();
        let mut sets = Vec::new();
        for (name, features) in extractors {
            let chosen = Subset::named(specs, [name.as_str()])?;
            let modality = chosen.iter().next().expect("a subset is not empty");
            if model.generated().contains(modality) {
                sets.push((modality, *features, Set::default()));
            }
        }
        let pass = Pass { batch_size: config.batch_size, seed: config.seed };
        for batch in pass.batches(data, device) {
            let (range, batch) = batch?;
            for (modality, features, set) in &mut sets {
                let rows = rows_that_observe(&batch, Subset::single(*modality));
                if rows.is_empty() {
                    continue;
                }
                let spec = &specs[*modality];
                let classes = spec.shape[spec.shape.len() - 1];
                let values = choose(batch.values()[*modality].flat(classes), &rows);
                set.push(*features, values, spec, |i| data.number(range.start + rows[i]))?;
            }
        }
        let whole = sets.into_iter().filter_map(|(modality, features, set)| {
            let set = set.finish()?;
            let frechet = Frechet::from(&Moments::of(&set));
            Some(Self { modality, features, set, frechet })
        });
        Ok(whole.collect())
    }

    /// `None` for fewer than 2 rows.
    fn distance(
        &self,
        generated: &Set,
        given: &[String],
        specs: &[ModalitySpec],
        config: &FidConfig,
    ) -> Option<SetDistance> {
        let generated = generated.clone().finish()?;
        let (subsets, size) = (config.kid_subsets, config.kid_subset_size);
        let enough = generated.rows().min(self.set.rows()) > config.neighbours;
        let shares = enough.then(|| precision_recall(&self.set, &generated, config.neighbours));
        Some(SetDistance {
            given: given.to_vec(),
            target: specs[self.modality].name.to_string(),
            features: self.features.name().to_owned(),
            observed: self.set.rows(),
            generated: generated.rows(),
            fid: self.frechet.distance(&Moments::of(&generated)),
            kid: kernel_distance(&self.set, &generated, subsets, size, config.seed),
            precision: shares.map(|shares| shares.precision),
            recall: shares.map(|shares| shares.recall),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use multivae_testkit::{Conditional, LinearGaussian, Rows};

    use super::*;
    use crate::features::RawValues;

    const SLOPE: f32 = 0.8;

    /// 300 rows of two modalities, evenly between -2 and 2 in some order; of every tenth the
    /// second is missing.
    fn rows() -> Rows {
        let value = |row: usize, step: usize| (row * step % 300) as f32 / 75.0 - 2.0;
        let row = |row: usize| {
            vec![Some(value(row, 7)), (!row.is_multiple_of(10)).then(|| value(row, 11) + 0.5)]
        };
        Rows::new(2, (0..300).map(row).collect())
    }

    fn extractors(names: &[&str]) -> Vec<(ModalityName, &'static dyn Features)> {
        let name = |name: &&str| ModalityName::new(*name).expect("valid");
        names.iter().map(|n| (name(n), &RawValues as &dyn Features)).collect()
    }

    fn of(names: &[&str], config: &FidConfig, joint: &[f32]) -> Result<Fid, MetricsError> {
        let (data, device) = (rows(), Device::flex());
        let model = LinearGaussian::new(SLOPE, data.modalities(), &device);
        let latent = |z: &[f32]| {
            Latent::shared(Tensor::<1>::from_floats(z, &device).reshape([1, z.len(), 1]))
        };
        let joint = joint.chunks(7).map(latent);
        fid(&model, &data, joint, &extractors(names), config, &device, &|_| ())
    }

    fn moments(values: &[f64]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, variance.sqrt())
    }

    /// The observed values of a modality.
    fn column(modality: usize) -> Vec<f64> {
        let data = rows();
        (0..300).filter_map(|row| data.row(row)[modality].map(f64::from)).collect()
    }

    fn between(a: (f64, f64), b: (f64, f64)) -> f64 {
        (a.0 - b.0).powi(2) + (a.1 - b.1).powi(2)
    }

    #[test]
    fn joint_samples_are_as_far_as_their_means_and_deviations_say() {
        let z: Vec<f32> = (0..50).map(|i| i as f32 / 10.0 - 1.0).collect();
        let found = of(&["m0", "m1"], &FidConfig::default(), &z).expect("valid").joint;
        let generated: Vec<f64> = z.iter().map(|z| f64::from(*z) * f64::from(SLOPE)).collect();
        assert_eq!(found.len(), 2);
        for (modality, found) in found.iter().enumerate() {
            let expected = between(moments(&column(modality)), moments(&generated));
            assert!((found.fid - expected).abs() < 1e-5, "{found:?} {expected}");
            assert_eq!((found.observed, found.generated), ([300, 270][modality], 50));
            assert!(found.given.is_empty());
        }
    }

    #[test]
    fn conditional_samples_are_about_as_far_as_the_model_says() {
        let found = of(&["m0", "m1"], &FidConfig::default(), &[]).expect("valid");
        assert!(found.joint.is_empty());
        let pairs: Vec<_> = found.conditional.iter().map(|c| (&c.given[..], &c.target)).collect();
        assert_eq!(pairs.len(), 2, "{pairs:?}");
        let slope = f64::from(SLOPE);
        let precision = 1.0 + slope * slope;
        for (modality, found) in [(1, &found.conditional[0]), (0, &found.conditional[1])] {
            assert_eq!(found.target, format!("m{modality}"));
            assert_eq!(found.given, [format!("m{}", 1 - modality)]);
            // All rows that observe the given, whether or not they observe the target.
            assert_eq!(found.generated, [270, 300][modality]);
            let (mean, deviation) = moments(&column(1 - modality));
            let share = slope * slope / precision;
            let variance = (share * deviation).powi(2) + slope * slope / precision;
            let expected = between(moments(&column(modality)), (share * mean, variance.sqrt()));
            assert!((found.fid - expected).abs() < 0.15 * expected, "{found:?} {expected}");
            assert!(found.precision.is_some_and(|precision| precision.mean > 0.9), "{found:?}");
        }
    }

    #[test]
    fn batches_do_not_matter_and_fewer_rows_are_spread_over_the_data() {
        let whole = of(&["m0"], &FidConfig::default(), &[]).expect("valid");
        let config = FidConfig { batch_size: 13, ..Default::default() };
        let parts = of(&["m0"], &config, &[]).expect("valid");
        assert_eq!((whole.conditional.len(), parts.conditional.len()), (1, 1));
        let (a, b) = (&whole.conditional[0], &parts.conditional[0]);
        assert!((a.fid - b.fid).abs() < 1e-5 && (a.kid.mean - b.kid.mean).abs() < 1e-5);
        let config = FidConfig { max_rows: 30, ..Default::default() };
        let few = of(&["m0"], &config, &[0.0; 100]).expect("valid");
        // Every tenth row, of all of which the second modality is missing.
        assert!(few.conditional.is_empty());
        assert_eq!((few.joint[0].observed, few.joint[0].generated), (30, 30));
    }

    #[test]
    fn a_conditional_model_is_compared_on_what_it_generates() {
        let (data, device) = (rows(), Device::flex());
        let model = Conditional::new(SLOPE, data.modalities(), &device);
        let told = RefCell::new(Vec::new());
        let report = fid(
            &model,
            &data,
            std::iter::empty(),
            &extractors(&["m0", "m1"]),
            &FidConfig::default(),
            &device,
            &|share| told.borrow_mut().push(share),
        )
        .expect("valid");
        assert_eq!(report.conditional.len(), 1);
        assert_eq!(report.conditional[0].target, "m1");
        let measures: Vec<_> = report.entries().into_iter().map(|entry| entry.measure).collect();
        assert_eq!(measures, ["fid_values", "kid_values", "precision_values", "recall_values"]);
        let told = told.into_inner();
        assert!(told.is_sorted() && told.last() == Some(&1.0), "{told:?}");
    }

    #[test]
    fn what_is_out_of_range_unknown_or_infinite_is_an_error() {
        let config = FidConfig { neighbours: 0, ..Default::default() };
        let error = of(&["m0"], &config, &[]).expect_err("no neighbour").to_string();
        assert!(error.contains("`neighbours`"), "{error}");
        let error = of(&["m7"], &FidConfig::default(), &[]).expect_err("no modality").to_string();
        assert!(error.contains("`m7`"), "{error}");
        let error =
            of(&["m0"], &FidConfig::default(), &[0.0, f32::INFINITY]).expect_err("infinite");
        assert!(matches!(error, MetricsError::NotFinite { row: 1, .. }), "{error}");
    }
}
