//! What latent values hold: classes, used dimensions, the share of each modality, and what is left
//! of it when modalities are missing.

use burn::tensor::{Device, Tensor};
use linfa::{
    Dataset as Records, ParamGuard,
    traits::{Fit, Predict},
};
use linfa_logistic::{MultiFittedLogisticRegression, MultiLogisticRegression};
use multivae_core::{
    batch::{Batch, NoiseKey, Presence},
    dataset::Dataset,
    distribution::{Laplace, Normal},
    modality::ModalitySpec,
    model::{Density, Draws, Encode, Latent},
    noise::Noise,
    pass::{self, Pass, Table},
    subset::Subset,
};
use ndarray_linfa::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::{
    MetricsError,
    entry::{Entries, Entry},
    evaluate::{check, given_with, within},
    mean::{Mean, Running},
    rows::{Chosen, at_least, classes},
};

/// How the representation is measured.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `batch_size` | 256 | rows at once | at least 1 |
/// | `seed` | 0 | what latent samples and missing modalities derive from | |
/// | `penalty` | 1 | weight of half the squared norm of the probe, against the sum over rows | at least 0 |
/// | `iterations` | 300 | most steps of the probe's fit | at least 1 |
/// | `samples` | 64 | latent samples per row from which divergences are estimated | at least 3 |
/// | `active` | 0.01 | the least variance of a posterior mean that counts as active | above 0 |
/// | `missing_rates` | 0, 0.1, ..., 0.9 | shares of modalities that are taken from test rows | `[0, 1)` |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepresentationConfig {
    /// Rows at once, at least 1. The result does not depend on it.
    pub batch_size: usize,
    /// What latent samples and missing modalities derive from.
    pub seed: u64,
    /// Weight of half the squared norm of the probe's weights, against the cross-entropy summed
    /// over rows. 1 is the default of scikit-learn.
    pub penalty: f64,
    /// Most steps of the probe's fit, at least 1.
    pub iterations: usize,
    /// Latent samples per row from which divergences are estimated, at least 3.
    pub samples: usize,
    /// The least variance over rows of a posterior mean that counts as active.
    pub active: f64,
    /// Shares of modalities that are taken from test rows, each in `[0, 1)`.
    pub missing_rates: Vec<f64>,
}

impl Default for RepresentationConfig {
    fn default() -> Self {
        Self {
            batch_size: 256,
            seed: 0,
            penalty: 1.0,
            iterations: 300,
            samples: 64,
            active: 0.01,
            missing_rates: (0..10).map(|tenth| f64::from(tenth) / 10.0).collect(),
        }
    }
}

/// What the latent values of a model hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Representation {
    /// Test rows.
    pub rows: usize,
    /// The least variance of a posterior mean that counts as active.
    pub least_variance: f64,
    /// Linear probes; none if the data has no labels.
    pub probes: Vec<Probe>,
    /// Every latent space, dimension by dimension.
    pub spaces: Vec<SpaceUse>,
    /// What each modality that the model generates adds; none if there is one modality only.
    pub contributions: Vec<Contribution>,
    /// What is left when modalities are missing at random, by their share.
    pub robustness: Vec<Robustness>,
}

/// How well a linear classifier tells classes from posterior means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// The modalities that the posterior was given.
    pub given: Vec<String>,
    /// The latent space: `shared` for all levels of the shared one together, `all` for those of all
    /// modalities together where there is no shared one.
    pub space: String,
    /// Training rows that observe any of the given.
    pub train_rows: usize,
    /// Test rows that observe the given.
    pub rows: usize,
    /// The share of test rows whose class is told.
    pub accuracy: Mean,
}

/// How much a latent space is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpaceUse {
    /// The space, named as by [`Latent::spaces`](multivae_core::model::Latent::spaces).
    pub space: String,
    /// Dimensions whose posterior mean has a variance over rows of more than the least one
    /// (Burda et al. 2016).
    pub active: usize,
    /// Dimension by dimension.
    pub dimensions: Vec<DimensionUse>,
}

/// How much a latent dimension is used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DimensionUse {
    /// Variance over rows of the posterior's mean.
    pub variance: f64,
    /// Divergence of the posterior from the prior, in nats, averaged over rows; see
    /// [`representation`].
    pub kl: Mean,
}

impl SpaceUse {
    /// Whether a dimension is active, or its divergence at least `kl` nats.
    pub(crate) fn is_used(&self, dimension: usize, active: f64, kl: f64) -> bool {
        let dimension = &self.dimensions[dimension];
        dimension.variance > active || dimension.kl.mean >= kl
    }
}

/// What a modality adds to the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// The modality.
    pub modality: String,
    /// Rows that observe it and another.
    pub rows: usize,
    /// How far the posterior's mean moves when the modality is left out: squared distance over the
    /// total variance of posterior means, averaged over rows. 0 if the encoder ignores it.
    pub shift: Mean,
    /// By how much the bound falls, in nats, when the modality is left out of what is encoded.
    pub bound: Mean,
    /// By how much the log-likelihood of the modality falls, in nats, when latent values are of
    /// the prior instead of the posterior of all that the row observes, over all rows that observe
    /// the modality. 0 if the decoder ignores them.
    pub decoding: Mean,
}

/// What is left when a share of all modalities is missing at random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Robustness {
    /// The rate at which modalities were taken from test rows. Each row keeps one.
    pub rate: f64,
    /// The share that was in fact missing, of what the rows observe.
    pub missing: f64,
    /// Accuracy of the probe that was fitted with all that training rows observe; `None` without
    /// labels.
    pub accuracy: Option<Mean>,
    /// The evidence lower bound of all that a row observes, in nats, with the posterior of what is
    /// left.
    pub bound: Mean,
    /// `log p(x_m | z)` in nats, averaged over the modalities that were taken and rows; `None`
    /// where none was.
    pub hidden: Option<Mean>,
}

impl Representation {
    /// The probe of a given set and a space.
    pub fn probe(&self, given: &[&str], space: &str) -> Option<&Probe> {
        self.probes.iter().find(|probe| probe.space == space && probe.given == given)
    }
}

/// Name of the report in tables.
const REPORT: &str = "representation";

/// What a probe calls all levels of the shared space.
const SHARED: &str = "shared";

/// What it calls the spaces of all modalities, where there is no shared one.
const ALL: &str = "all";

impl Entries for Representation {
    fn entries(&self) -> Vec<Entry> {
        let entry = |measure, mean, count| Entry::new(REPORT, measure, mean, count);
        let exact = |measure, value, count| {
            let mean = Mean { mean: value, standard_error: 0.0 };
            Entry { standard_error: None, ..entry(measure, mean, count) }
        };
        let probes = self.probes.iter().map(|probe| {
            // Means over given modalities are of one space, and not over spaces.
            let measure = match probe.space.as_str() {
                SHARED | ALL => "probe_accuracy",
                _ => "space_probe_accuracy",
            };
            entry(measure, probe.accuracy, probe.rows).given(&probe.given).target(&probe.space)
        });
        let spaces = self.spaces.iter().flat_map(|space| {
            let active = exact("active_units", space.active as f64, self.rows).target(&space.space);
            let of = |(i, dimension): (usize, &DimensionUse)| {
                let name = format!("{} {i}", space.space);
                [
                    entry("dimension_kl", dimension.kl, self.rows).target(&name),
                    exact("dimension_variance", dimension.variance, self.rows).target(&name),
                ]
            };
            let dimensions = space.dimensions.iter().enumerate().flat_map(of);
            std::iter::once(active).chain(dimensions).collect::<Vec<_>>()
        });
        let contributions = self.contributions.iter().flat_map(|part| {
            let of = |measure, mean| entry(measure, mean, part.rows).target(&part.modality);
            [
                of("contribution_shift", part.shift),
                of("contribution_bound", part.bound),
                of("contribution_decoding", part.decoding),
            ]
        });
        let robustness = self.robustness.iter().flat_map(|point| {
            let target = format!("{:.2}", point.rate);
            let of = |measure, mean| entry(measure, mean, self.rows).target(&target);
            [
                point.accuracy.map(|mean| of("robustness_accuracy", mean)),
                Some(of("robustness_bound", point.bound)),
                point.hidden.map(|mean| of("robustness_hidden", mean)),
            ]
        });
        probes.chain(spaces).chain(contributions).chain(robustness.flatten()).collect()
    }
}

impl RepresentationConfig {
    fn check(&self) -> Result<(), MetricsError> {
        at_least(1, &[("batch_size", self.batch_size), ("iterations", self.iterations)])?;
        at_least(3, &[("samples", self.samples)])?;
        let range = |field, expected, found: f64, holds| {
            if holds { Ok(()) } else { Err(MetricsError::Range { field, expected, found }) }
        };
        let (penalty, active) = (self.penalty, self.active);
        range("penalty", "at least 0", penalty, penalty >= 0.0 && penalty.is_finite())?;
        range("active", "a number above 0", active, active > 0.0 && active.is_finite())?;
        self.missing_rates.iter().try_for_each(|&rate| {
            range("missing_rates", "0 or more and below 1", rate, (0.0..1.0).contains(&rate))
        })
    }
}

/// Measures what latent values hold: probes are fitted on training rows, all else is of test rows.
///
/// *Probes* are multinomial logistic regressions on posterior means, standardised by the training
/// rows, for every given subset of [`given_subsets`](crate::given_subsets) on the shared space, and
/// for all modalities together on every space alone. They are fitted on the training rows that
/// observe any of the given, so that few complete rows are no obstacle, and tested on the test rows
/// that observe all of it.
///
/// *Divergences by dimension.* A model gives its divergence per space at most, and a mixture none in
/// closed form. So each row's posterior is sampled, given all that the row observes, and taken for
/// a normal or a Laplace distribution at its own mean, whichever the fourth moment of all samples
/// is nearer to; its scale is that of the samples, and the bias of their logarithm is taken off. The
/// prior's location and scale are those of 4096 samples of it, and of a conditional model those of
/// samples given the conditions. This is exact in the limit of many samples where posterior and
/// prior are of one of the two families with independent dimensions. For a mixture it is the
/// divergence of a single distribution of the same moments. In the lower levels of a hierarchical
/// model, and in modality-specific spaces that are generated from the shared one, it is that from the
/// prior's marginals.
///
/// *Contributions* compare posteriors of all that a row observes with those of all but one
/// modality, under the same noise.
///
/// *Robustness.* Each modality of a test row is taken with the same probability; a row that would
/// lose all keeps one. Which are taken derives from the seed, and what is missing at a low rate is
/// missing at all higher ones. What a conditional model needs is never taken.
///
/// # Errors
///
/// [`MetricsError::Config`], [`MetricsError::Range`]; [`MetricsError::NoRows`],
/// [`MetricsError::NoConditions`], [`MetricsError::Modalities`] as in
/// [`evaluate`](crate::evaluate); [`MetricsError::Probe`] if a probe cannot be fitted;
/// [`MetricsError::NotFinite`]; [`MetricsError::Pass`].
pub fn representation(
    model: &dyn Density,
    train: &dyn Dataset,
    test: &dyn Dataset,
    config: &RepresentationConfig,
    device: &Device,
    progress: &dyn Fn(f64),
) -> Result<Representation, MetricsError> {
    let (study, train, test) = Study::new(model, train, test, config, device)?;
    let places = study.owned_spaces(&test)?;
    let (probes, probe) = study.probes(&train, &test, &places, &|share| progress(0.4 * share))?;
    let spaces = study.spaces(model, &test, &places)?;
    progress(0.5);
    let shared = places.iter().filter(|place| place.modality.is_none()).map(|place| &place.name);
    let shared: Vec<_> = shared.collect();
    let variance = spaces.iter().filter(|space| shared.contains(&&space.space));
    let variance =
        variance.flat_map(|space| &space.dimensions).map(|dimension| dimension.variance).sum();
    let contributions = study.contributions(model, &test, variance)?;
    progress(0.7);
    let robustness =
        study.robustness(model, &test, probe.as_ref(), &|share| progress(0.7 + 0.3 * share))?;
    Ok(Representation {
        rows: test.len(),
        least_variance: config.active,
        probes,
        spaces,
        contributions,
        robustness,
    })
}

/// The linear probes of [`representation`] alone, of a model that has no density: the other parts
/// are empty.
///
/// # Errors
///
/// As [`representation`].
pub fn probes(
    model: &dyn Encode,
    train: &dyn Dataset,
    test: &dyn Dataset,
    config: &RepresentationConfig,
    device: &Device,
    progress: &dyn Fn(f64),
) -> Result<Representation, MetricsError> {
    let (study, train, test) = Study::new(model, train, test, config, device)?;
    let places = study.owned_spaces(&test)?;
    let (probes, _) = study.probes(&train, &test, &places, progress)?;
    Ok(Representation {
        rows: test.len(),
        least_variance: config.active,
        probes,
        spaces: Vec::new(),
        contributions: Vec::new(),
        robustness: Vec::new(),
    })
}

/// The rows that observe what a conditional model needs.
fn with_conditions<'a>(
    model: &dyn Encode,
    data: &'a dyn Dataset,
) -> Result<Chosen<'a>, MetricsError> {
    let counts =
        |row: &usize| model.conditions().is_none_or(|needed| within(needed, data.presence(*row)));
    let rows: Vec<usize> = (0..data.len()).filter(counts).collect();
    if let (true, Some(needed)) = (rows.is_empty(), model.conditions()) {
        let names = needed.iter().map(|m| format!("`{}`", model.modalities()[m].name));
        return Err(MetricsError::NoConditions {
            conditions: names.collect::<Vec<_>>().join(", "),
        });
    }
    Ok(Chosen::new(data, rows))
}

/// A latent space among those of a model.
struct OwnedSpace {
    name: String,
    /// The modality whose latents it holds; `None` for a shared space.
    modality: Option<usize>,
}

/// What everything is measured with.
struct Study<'a> {
    model: &'a dyn Encode,
    specs: &'a [ModalitySpec],
    config: &'a RepresentationConfig,
    device: &'a Device,
}

/// Parts of the study that have noise of their own, as the epoch of its key.
#[derive(Clone, Copy)]
enum Part {
    Spaces = 1,
    Contributions,
    Robustness,
    Missing,
}

/// Rows of the prior that are sampled.
const PRIOR_ROWS: usize = 4096;

/// Fourth moment over the squared variance, above which samples are nearer to a Laplace (6) than to
/// a normal (3) distribution.
const LAPLACE: f64 = 4.5;

impl<'a> Study<'a> {
    /// With the training and test rows that it is about.
    fn new(
        model: &'a dyn Encode,
        train: &'a dyn Dataset,
        test: &'a dyn Dataset,
        config: &'a RepresentationConfig,
        device: &'a Device,
    ) -> Result<(Self, Chosen<'a>, Chosen<'a>), MetricsError> {
        config.check()?;
        let specs = model.modalities();
        check(specs, train)?;
        check(specs, test)?;
        let (train, test) = (with_conditions(model, train)?, with_conditions(model, test)?);
        Ok((Self { model, specs, config, device }, train, test))
    }
}

impl Study<'_> {
    fn full(&self) -> Subset {
        Subset::full(self.specs.len())
    }

    fn pass(&self) -> Pass {
        Pass { batch_size: self.config.batch_size, seed: self.config.seed }
    }

    fn noise(&self, batch: &Batch, part: Part) -> Noise {
        Noise::keyed(NoiseKey { epoch: part as u64, ..batch.key })
    }

    /// The spaces of the model.
    fn owned_spaces(&self, data: &dyn Dataset) -> Result<Vec<OwnedSpace>, MetricsError> {
        let first = Chosen::new(data, vec![0]);
        let batch = self.pass().batches(&first, self.device).next();
        let (_, batch) = batch.expect("the data has a row")?;
        let latent = self.model.encode(&batch, self.full(), Draws::Mean, &mut Noise::of(&batch));
        let private = latent.private().map(|(name, _)| {
            Some(self.specs.iter().position(|spec| spec.name == *name).expect("a modality"))
        });
        let modalities = latent.levels().map(|_| None).chain(private);
        let places = latent.named().into_iter().zip(modalities);
        Ok(places.map(|((name, _), modality)| OwnedSpace { name, modality }).collect())
    }

    /// All probes, and that of the shared space given all that a row observes.
    fn probes(
        &self,
        train: &dyn Dataset,
        test: &dyn Dataset,
        places: &[OwnedSpace],
        progress: &dyn Fn(f64),
    ) -> Result<(Vec<Probe>, Option<LinearProbe>), MetricsError> {
        let labelled = |data: &dyn Dataset, counts: &dyn Fn(Subset) -> bool| -> Vec<usize> {
            let rows = 0..data.len();
            rows.filter(|&row| data.label(row).is_some() && counts(data.presence(row))).collect()
        };
        // Without a shared space all others stand in its place, side by side.
        let (joint, levels) = match places.iter().filter(|p| p.modality.is_none()).count() {
            0 => (ALL, places.len()),
            levels => (SHARED, levels),
        };
        let several = places.len() > 1;
        let all = given_with(self.specs.len(), self.model.conditions());
        let mut probes = Vec::new();
        for (number, &given) in all.iter().enumerate() {
            let any = |observed: Subset| given.intersection(observed).is_some();
            let train = Chosen::new(train, labelled(train, &any));
            let test = Chosen::new(test, labelled(test, &|observed| within(given, observed)));
            let of = |data: &Chosen| {
                self.pass().encode(self.model, data, given, Draws::Mean, self.device)
            };
            progress(number as f64 / all.len() as f64);
            if classes_of(&train).len() < 2 || test.is_empty() {
                continue;
            }
            let (learn, check) = (of(&train)?, of(&test)?);
            let mut spaces = vec![(joint.to_owned(), 0..levels)];
            if given == self.full() && several {
                spaces.extend(places.iter().enumerate().map(|(i, p)| (p.name.clone(), i..i + 1)));
            }
            for (space, range) in spaces {
                let records = Matrix::of(&learn[range.clone()]);
                let probe = self.fit(&train, records, given)?;
                let found = probe.predict(Matrix::of(&check[range]));
                let mut right = Running::default();
                for (row, found) in found.into_iter().enumerate() {
                    right.push(f64::from(u8::from(test.label(row) == Some(found))));
                }
                let Some(accuracy) = right.finish() else { continue };
                probes.push(Probe {
                    given: given.iter().map(|m| self.specs[m].name.to_string()).collect(),
                    space,
                    train_rows: train.len(),
                    rows: test.len(),
                    accuracy,
                });
            }
        }
        let train = Chosen::new(train, labelled(train, &|_| true));
        if classes_of(&train).len() < 2 {
            return Ok((probes, None));
        }
        let tables =
            self.pass().encode(self.model, &train, self.full(), Draws::Mean, self.device)?;
        let probe = self.fit(&train, Matrix::of(&tables[..levels]), self.full())?;
        Ok((probes, Some(probe)))
    }

    fn fit(
        &self,
        data: &dyn Dataset,
        records: Matrix,
        given: Subset,
    ) -> Result<LinearProbe, MetricsError> {
        let labels = (0..data.len()).filter_map(|row| data.label(row)).collect();
        LinearProbe::fit(records, labels, self.config).map_err(|reason| MetricsError::Probe {
            given: format!("`{}`", given.label(self.specs)),
            reason,
        })
    }

    fn spaces(
        &self,
        model: &dyn Density,
        data: &dyn Dataset,
        places: &[OwnedSpace],
    ) -> Result<Vec<SpaceUse>, MetricsError> {
        let draws = Draws::Samples(self.config.samples);
        let prior = match model.conditions() {
            Some(_) => None,
            None => {
                let key = NoiseKey { seed: self.config.seed, epoch: 0, step: 0, first_row: 0 };
                Some(model.prior(PRIOR_ROWS, self.device, &mut Noise::keyed(key)))
            }
        };
        let prior = prior.map(|latent| {
            // Rows of the prior are samples of one row.
            let spaces = latent.named().into_iter();
            spaces.map(|(_, z)| Moments::of_one(z.swap_dims(0, 1))).collect::<Vec<_>>()
        });
        let mut sums: Vec<Vec<DimensionSums>> = places.iter().map(|_| Vec::new()).collect();
        let mut shapes = vec![Shape::default(); places.len()];
        for batch in self.pass().batches(data, self.device) {
            let (range, batch) = batch?;
            let batch = batch.keeping();
            let mut noise = self.noise(&batch, Part::Spaces);
            let mut moments = |given: Subset| {
                let mean = model.encode(&batch, given, Draws::Mean, &mut noise).named();
                let samples = model.encode(&batch, given, draws, &mut noise).named();
                let spaces = mean.into_iter().zip(samples);
                spaces.map(|((_, mean), (_, z))| Moments::of(mean, z)).collect::<Vec<_>>()
            };
            let posterior = moments(self.full());
            let conditional = model.conditions().map(&mut moments);
            let prior = prior.as_ref().or(conditional.as_ref()).expect("one of the two is known");
            for (i, (posterior, prior)) in posterior.into_iter().zip(prior).enumerate() {
                let name = &places[i].name;
                let counts = |row: usize| {
                    let observed = batch.presence().rows()[row];
                    places[i].modality.is_none_or(|m| observed.contains(m))
                };
                let what = format!("divergence of `{name}`");
                let features = posterior.location.dims()[1];
                let location = pass::read(posterior.location.clone(), &what)?;
                let [normal, laplace] = posterior.divergences(prior);
                let (normal, laplace) = (pass::read(normal, &what)?, pass::read(laplace, &what)?);
                let fourth = pass::read(posterior.fourth, &what)?;
                let variance = pass::read(posterior.variance, &what)?;
                sums[i].resize_with(features, DimensionSums::default);
                for (at, &value) in normal.iter().enumerate() {
                    let (row, dimension) = (at / features, at % features);
                    if !counts(row) {
                        continue;
                    }
                    if !value.is_finite() {
                        let (row, value) = (range.start + row, value.into());
                        return Err(MetricsError::NotFinite { what, row, value });
                    }
                    let sum = &mut sums[i][dimension];
                    sum.location.push(location[at].into());
                    sum.normal.push(value.into());
                    sum.laplace.push(laplace[at].into());
                    shapes[i].fourth += f64::from(fourth[at]);
                    shapes[i].squares += f64::from(variance[at]).powi(2);
                }
            }
        }
        let spaces = places.iter().zip(sums).zip(shapes).filter_map(|((place, sums), shape)| {
            let laplace = shape.kurtosis(self.config.samples) > LAPLACE;
            let dimension = |sum: DimensionSums| {
                let kl = if laplace { sum.laplace } else { sum.normal }.finish()?;
                Some(DimensionUse { variance: sum.location.variance(), kl })
            };
            let dimensions = sums.into_iter().map(dimension).collect::<Option<Vec<_>>>()?;
            let active = dimensions.iter().filter(|d| d.variance > self.config.active).count();
            Some(SpaceUse { space: place.name.clone(), active, dimensions })
        });
        Ok(spaces.collect())
    }

    fn contributions(
        &self,
        model: &dyn Density,
        data: &dyn Dataset,
        variance: f64,
    ) -> Result<Vec<Contribution>, MetricsError> {
        let full = self.full();
        let parts: Vec<(usize, Subset)> = model
            .generated()
            .iter()
            .filter_map(|m| Some((m, Subset::new(full.iter().filter(|&n| n != m)).ok()?)))
            .collect();
        let mut sums: Vec<[Running; 3]> = vec![Default::default(); parts.len()];
        for batch in self.pass().batches(data, self.device) {
            let (range, batch) = batch?;
            let batch = batch.keeping();
            let noise = || self.noise(&batch, Part::Contributions);
            let mean = |given| joined(model.encode(&batch, given, Draws::Mean, &mut noise()));
            let bound = |given| model.bound(&batch, given, &mut noise()).elbo();
            let (whole_mean, whole_bound) = (mean(full), bound(full));
            let latent = model.encode(&batch, full, Draws::Samples(1), &mut noise());
            let prior = match model.conditions() {
                Some(given) => model.encode(&batch, given, Draws::Samples(1), &mut noise()),
                None => model.prior(batch.rows(), self.device, &mut noise()),
            };
            for (&(m, rest), sums) in parts.iter().zip(&mut sums) {
                let name = &self.specs[m].name;
                let read = |tensor: Tensor<1>, what: &str| {
                    let what = format!("{what} of `{name}`");
                    finite(tensor, what, range.start, &batch, |observed| observed.contains(m))
                };
                let moved = (whole_mean.clone() - mean(rest)).square().sum_dim(1).squeeze_dim(1);
                let moved = read(moved, "shift")?;
                let fallen = read(whole_bound.clone() - bound(rest), "bound")?;
                let [own, other] =
                    [&latent, &prior].map(|z| model.log_prob(&batch, z, m).squeeze_dim::<1>(0));
                let decoding = read(own - other, "log-likelihood")?;
                for (i, observed) in batch.presence().rows().iter().enumerate() {
                    if !observed.contains(m) {
                        continue;
                    }
                    sums[2].push(decoding[i]);
                    if observed.len() > 1 {
                        let share = if variance > 0.0 { moved[i] / variance } else { 0.0 };
                        sums[0].push(share);
                        sums[1].push(fallen[i]);
                    }
                }
            }
        }
        let contributions = parts.iter().zip(&sums).filter_map(|(&(m, _), sums)| {
            Some(Contribution {
                modality: self.specs[m].name.to_string(),
                rows: sums[0].count(),
                shift: sums[0].finish()?,
                bound: sums[1].finish()?,
                decoding: sums[2].finish()?,
            })
        });
        Ok(contributions.collect())
    }

    fn robustness(
        &self,
        model: &dyn Density,
        data: &dyn Dataset,
        probe: Option<&LinearProbe>,
        progress: &dyn Fn(f64),
    ) -> Result<Vec<Robustness>, MetricsError> {
        let (full, modalities) = (self.full(), self.specs.len());
        let mut sums = vec![RateSums::default(); self.config.missing_rates.len()];
        for batch in self.pass().batches(data, self.device) {
            let (range, batch) = batch?;
            let uniform = self.noise(&batch, Part::Missing).uniform(
                [batch.rows(), modalities],
                0,
                self.device,
            );
            let uniform = pass::read(uniform, "uniform values")?;
            for (&rate, sums) in self.config.missing_rates.iter().zip(&mut sums) {
                let kept: Vec<Subset> = batch
                    .presence()
                    .rows()
                    .iter()
                    .zip(uniform.chunks(modalities))
                    .map(|(&observed, uniform)| keep(observed, uniform, rate, model.conditions()))
                    .collect();
                let presence = Presence::new(kept.clone(), modalities, self.device);
                let masked =
                    batch.clone().with_presence(presence).map_err(pass::PassError::from)?;
                let noise = || self.noise(&batch, Part::Robustness);
                let divergences = model.bound(&masked, full, &mut noise()).divergences;
                let kl = divergences.into_iter().map(|(_, kl)| kl).reduce(|sum, kl| sum + kl);
                let latent = model.encode(&masked, full, Draws::Samples(1), &mut noise());
                let mut likelihoods = Vec::new();
                for m in model.generated().iter() {
                    let likelihood = model.log_prob(&batch, &latent, m).squeeze_dim::<1>(0);
                    let what = format!("log-likelihood of `{}`", self.specs[m].name);
                    let observes = |observed: Subset| observed.contains(m);
                    likelihoods.push((m, finite(likelihood, what, range.start, &batch, observes)?));
                }
                let kl = match kl {
                    Some(kl) => finite(kl, "divergence".into(), range.start, &batch, |_| true)?,
                    None => vec![0.0; batch.rows()],
                };
                let found = match probe {
                    None => None,
                    Some(probe) => {
                        let mean = model.encode(&masked, full, Draws::Mean, &mut noise());
                        Some(probe.predict(Matrix::read(joined(mean))?))
                    }
                };
                for (i, (observed, kept)) in batch.presence().rows().iter().zip(&kept).enumerate() {
                    let (mut bound, mut hidden) = (-kl[i], Running::default());
                    for (m, likelihood) in &likelihoods {
                        if observed.contains(*m) {
                            bound += likelihood[i];
                            if !kept.contains(*m) {
                                hidden.push(likelihood[i]);
                            }
                        }
                    }
                    sums.bound.push(bound);
                    if let Some(hidden) = hidden.finish() {
                        sums.hidden.push(hidden.mean);
                    }
                    sums.observed += observed.len();
                    sums.missing += observed.len() - kept.len();
                    if let (Some(found), Some(label)) = (&found, data.label(range.start + i)) {
                        sums.right.push(f64::from(u8::from(found[i] == label)));
                    }
                }
            }
            progress(range.end as f64 / data.len() as f64);
        }
        let rates = self.config.missing_rates.iter().zip(&sums).filter_map(|(&rate, sums)| {
            Some(Robustness {
                rate,
                missing: sums.missing as f64 / sums.observed as f64,
                accuracy: sums.right.finish(),
                bound: sums.bound.finish()?,
                hidden: sums.hidden.finish(),
            })
        });
        Ok(rates.collect())
    }
}

/// What is left of a row: what has a uniform value of at least the rate, and what is needed; if
/// nothing is, that of the largest value.
fn keep(observed: Subset, uniform: &[f32], rate: f64, needed: Option<Subset>) -> Subset {
    let stays = |&m: &usize| {
        f64::from(uniform[m]) >= rate || needed.is_some_and(|needed| needed.contains(m))
    };
    Subset::new(observed.iter().filter(stays)).unwrap_or_else(|_| {
        let last = observed.iter().max_by(|&a, &b| uniform[a].total_cmp(&uniform[b]));
        Subset::single(last.expect("a subset is not empty"))
    })
}

/// The levels of the shared space side by side, `[batch, features]`, of one draw.
fn joined(latent: Latent) -> Tensor<2> {
    Tensor::cat(latent.levels().cloned().collect(), 2).squeeze_dim(0)
}

/// The values of rows, of which those that count are finite.
fn finite(
    tensor: Tensor<1>,
    what: String,
    start: usize,
    batch: &Batch,
    counts: impl Fn(Subset) -> bool,
) -> Result<Vec<f64>, MetricsError> {
    let values: Vec<f64> = pass::read(tensor, &what)?.into_iter().map(f64::from).collect();
    let mut rows = values.iter().zip(batch.presence().rows());
    match rows.position(|(value, observed)| counts(*observed) && !value.is_finite()) {
        Some(i) => Err(MetricsError::NotFinite { what, row: start + i, value: values[i] }),
        None => Ok(values),
    }
}

/// What is summed at one rate.
#[derive(Clone, Default)]
struct RateSums {
    right: Running,
    bound: Running,
    hidden: Running,
    observed: usize,
    missing: usize,
}

/// What is summed of one dimension.
#[derive(Default)]
struct DimensionSums {
    location: Running,
    normal: Running,
    laplace: Running,
}

/// Moments of all samples of a space.
#[derive(Clone, Copy, Default)]
struct Shape {
    fourth: f64,
    squares: f64,
}

impl Shape {
    /// Fourth moment over the squared variance, of sums over estimates from `samples` each.
    fn kurtosis(self, samples: usize) -> f64 {
        let (ratio, n) = (self.fourth / self.squares, samples as f64);
        // The square of an estimated variance is too large by its own variance,
        // (kurtosis - 1) / n of it.
        ratio * (1.0 - 1.0 / n) / (1.0 - ratio / n)
    }
}

/// Moments of samples about a known location, `[rows, features]` each.
struct Moments {
    location: Tensor<2>,
    variance: Tensor<2>,
    /// Mean distance.
    distance: Tensor<2>,
    fourth: Tensor<2>,
    samples: f64,
}

impl Moments {
    /// Of a location `[1, rows, features]` and samples `[samples, rows, features]`.
    fn of(location: Tensor<3>, z: Tensor<3>) -> Self {
        let samples = z.dims()[0] as f64;
        let away = z - location.clone();
        let square = away.clone().square();
        let mean = |x: Tensor<3>| x.mean_dim(0).squeeze_dim::<2>(0);
        Self {
            location: location.squeeze_dim(0),
            // A dimension that never moves has no density.
            variance: mean(square.clone()).clamp_min(SMALLEST),
            distance: mean(away.abs()).clamp_min(SMALLEST),
            fourth: mean(square.square()),
            samples,
        }
    }

    /// Of samples `[samples, 1, features]` of an unknown location.
    fn of_one(z: Tensor<3>) -> Self {
        Self::of(z.clone().mean_dim(0), z)
    }

    /// Divergences from another, of normal and of Laplace distributions, `[rows, features]` each.
    fn divergences(&self, prior: &Self) -> [Tensor<2>; 2] {
        let [rows, features] = self.location.dims();
        let single = |x: &Tensor<2>| x.clone().expand([rows, features]).unsqueeze_dim::<3>(2);
        let normal = |m: &Self, wider: f64| {
            Normal::new(single(&m.location), (single(&m.variance) * wider).log())
        };
        let laplace =
            |m: &Self, wider: f64| Laplace::new(single(&m.location), single(&m.distance) * wider);
        let n = prior.samples;
        // So that inverses are right on average; their logarithms are then too high by as much.
        let wider = [n / (n - 2.0), n / (n - 1.0)];
        let [normal, laplace] = [
            normal(self, 1.0).kl::<2>(&normal(prior, wider[0])),
            laplace(self, 1.0).kl::<2>(&laplace(prior, wider[1])),
        ];
        // Of samples a variance is chi-squared and a mean distance gamma distributed. Their
        // logarithms are too low on average.
        let [(own_variance, own_distance), (variance, distance)] =
            [self, prior].map(|m| (low_log(m.samples / 2.0), low_log(m.samples)));
        [
            normal - (own_variance - variance) / 2.0 - wider[0].ln() / 2.0,
            laplace - (own_distance - distance) - wider[1].ln(),
        ]
    }
}

/// `ln shape - digamma(shape)`: how much the logarithm of a gamma distributed value of mean 1 is
/// below 0 on average.
fn low_log(shape: f64) -> f64 {
    0.5 / shape + 1.0 / (12.0 * shape * shape)
}

/// The least variance, and mean distance, of samples.
const SMALLEST: f64 = 1e-12;

/// Values of rows, `[rows, features]`.
struct Matrix(Array2<f64>);

impl Matrix {
    /// Spaces side by side, of one draw.
    fn of(tables: &[Table]) -> Self {
        let (rows, width) = (tables[0].rows, tables.iter().map(|table| table.features).sum());
        let mut values = Vec::with_capacity(rows * width);
        for row in 0..rows {
            for table in tables {
                let of_row = &table.values[row * table.features..(row + 1) * table.features];
                values.extend(of_row.iter().map(|&value| f64::from(value)));
            }
        }
        Self::new(rows, width, values)
    }

    fn read(tensor: Tensor<2>) -> Result<Self, MetricsError> {
        let [rows, width] = tensor.dims();
        let values = pass::read(tensor, "latent values")?;
        Ok(Self::new(rows, width, values.into_iter().map(f64::from).collect()))
    }

    fn new(rows: usize, width: usize, values: Vec<f64>) -> Self {
        Self(Array2::from_shape_vec((rows, width), values).expect("as many values as places"))
    }
}

/// The different labels of a data set, ascending.
fn classes_of(data: &dyn Dataset) -> Vec<i64> {
    classes((0..data.len()).filter_map(|row| data.label(row)))
}

/// A linear classifier of standardised features.
struct LinearProbe {
    mean: Array1<f64>,
    /// 1 where all values are equal.
    deviation: Array1<f64>,
    fitted: MultiFittedLogisticRegression<f64, i64>,
}

impl LinearProbe {
    fn fit(
        Matrix(mut records): Matrix,
        labels: Vec<i64>,
        config: &RepresentationConfig,
    ) -> Result<Self, String> {
        let rows = records.nrows() as f64;
        let mean = records.columns().into_iter().map(|column| column.sum() / rows);
        let mean: Array1<f64> = mean.collect();
        records -= &mean;
        let deviation = records.columns().into_iter().map(|column| {
            let deviation = (column.dot(&column) / rows).sqrt();
            if deviation > 0.0 { deviation } else { 1.0 }
        });
        let deviation: Array1<f64> = deviation.collect();
        records /= &deviation;
        let settings = MultiLogisticRegression::default()
            .alpha(config.penalty)
            .max_iterations(config.iterations as u64)
            .check()
            .map_err(|error| error.to_string())?;
        let fitted = settings
            .fit(&Records::new(records, Array1::from(labels)))
            .map_err(|error| error.to_string())?;
        Ok(Self { mean, deviation, fitted })
    }

    fn predict(&self, Matrix(mut records): Matrix) -> Vec<i64> {
        records -= &self.mean;
        records /= &self.deviation;
        self.fitted.predict(&records).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use multivae_testkit::{Conditional, LinearGaussian, Rows};

    use super::*;

    const SLOPE: f32 = 2.0;

    /// Rows of two classes, of which the first two modalities show the class by their sign.
    fn data(rows: usize, first: u64) -> Rows {
        let noise = Noise::seeded(first).normal([rows, 3], 0, &Device::flex());
        let noise: Vec<f32> = noise.into_data().try_into_vec().expect("floats");
        let labels: Vec<i64> = (0..rows).map(|row| (row % 2) as i64).collect();
        let cells = noise.chunks(3).zip(&labels).map(|(noise, &label)| {
            let sign = if label == 1 { 3.0 } else { -3.0 };
            vec![Some(sign + noise[0]), Some(sign + noise[1]), Some(sign + noise[2])]
        });
        Rows::new(3, cells.collect()).with_labels(labels)
    }

    fn of(config: &RepresentationConfig) -> Representation {
        let (train, test, device) = (data(60, 1), data(40, 2), Device::flex());
        let model = LinearGaussian::new(SLOPE, train.modalities(), &device);
        representation(&model, &train, &test, config, &device, &|_| {}).expect("valid")
    }

    #[test]
    fn probes_tell_classes_from_every_subset() {
        let found = of(&RepresentationConfig::default());
        assert_eq!(found.probes.len(), 7);
        let probe = found.probe(&["m0", "m2"], "shared").expect("a subset");
        assert_eq!((probe.train_rows, probe.rows), (60, 40));
        assert!(probe.accuracy.mean > 0.95, "{probe:?}");
    }

    #[test]
    fn probes_alone_are_those_of_the_whole_study() {
        let (train, test, device) = (data(60, 1), data(40, 2), Device::flex());
        let model = LinearGaussian::new(SLOPE, train.modalities(), &device);
        let config = RepresentationConfig::default();
        let alone = probes(&model, &train, &test, &config, &device, &|_| {}).expect("valid");
        assert_eq!(alone.probes, of(&config).probes);
        assert!(alone.spaces.is_empty() && alone.robustness.is_empty());
    }

    #[test]
    fn probes_learn_from_incomplete_rows_and_are_tested_on_complete_ones() {
        let hide = |data: Rows| {
            let rows = (0..data.len()).map(|row| {
                let mut cells = data.row(row).to_vec();
                cells[row % 3] = None;
                cells
            });
            let labels = (0..data.len()).filter_map(|row| data.label(row)).collect();
            Rows::new(3, rows.collect()).with_labels(labels)
        };
        let (train, device) = (hide(data(60, 1)), Device::flex());
        let model = LinearGaussian::new(SLOPE, train.modalities(), &device);
        let config = RepresentationConfig::default();
        let of = |test: Rows| {
            representation(&model, &train, &test, &config, &device, &|_| {}).expect("valid")
        };
        let found = of(data(40, 2));
        let probe = found.probe(&["m0", "m1", "m2"], "shared").expect("all");
        assert_eq!((probe.train_rows, probe.rows), (60, 40));
        assert!(probe.accuracy.mean > 0.95, "{probe:?}");
        let probe = found.probe(&["m0"], "shared").expect("one");
        assert_eq!((probe.train_rows, probe.rows), (40, 40));
        let found = of(hide(data(42, 2)));
        assert!(found.probe(&["m0", "m1", "m2"], "shared").is_none());
        assert_eq!(found.probe(&["m0", "m1"], "shared").map(|probe| probe.rows), Some(14));
    }

    #[test]
    fn labels_that_values_do_not_show_are_told_by_chance_only() {
        let (train, test, device) = (data(60, 1), data(40, 2), Device::flex());
        let shuffled: Vec<i64> = (0..40).map(|row| (row / 2 % 2) as i64).collect();
        let test = test.with_labels(shuffled);
        let model = LinearGaussian::new(SLOPE, train.modalities(), &device);
        let config = RepresentationConfig::default();
        let found = representation(&model, &train, &test, &config, &device, &|_| {});
        let found = found.expect("valid");
        let probe = found.probe(&["m0"], "shared").expect("a subset");
        assert!((0.3..0.7).contains(&probe.accuracy.mean), "{probe:?}");
    }

    #[test]
    fn divergences_by_dimension_are_the_closed_form() {
        let test = data(40, 2);
        let found = of(&RepresentationConfig { samples: 400, ..Default::default() });
        let space = &found.spaces[0];
        assert_eq!((space.space.as_str(), space.dimensions.len(), space.active), ("z", 1, 1));
        let slope = f64::from(SLOPE);
        let variance = 1.0 / (1.0 + 3.0 * slope * slope);
        let means: Vec<f64> = (0..40)
            .map(|row| {
                let sum: f32 = test.row(row).iter().flatten().sum();
                slope * f64::from(sum) * variance
            })
            .collect();
        let kl = means.iter().map(|mean| (mean * mean + variance - variance.ln() - 1.0) / 2.0);
        let kl = kl.sum::<f64>() / 40.0;
        let dimension = space.dimensions[0];
        // The prior's scale is of 4096 samples, one part in 45.
        assert!((dimension.kl.mean - kl).abs() < 0.05 * kl, "{dimension:?} {kl}");
        let mean = means.iter().sum::<f64>() / 40.0;
        let variance = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / 39.0;
        assert!((dimension.variance - variance).abs() < 1e-4, "{dimension:?} {variance}");
    }

    #[test]
    fn few_samples_do_not_bias_divergences() {
        let kl = |samples| {
            let found = of(&RepresentationConfig { samples, ..Default::default() });
            found.spaces[0].dimensions[0].kl.mean
        };
        let (few, many) = (kl(8), kl(2000));
        // Without the correction it would be 1 / 16 and more.
        assert!((few - many).abs() < 0.04, "{few} {many}");
    }

    #[test]
    fn laplace_samples_are_told_from_normal_ones() {
        let device = Device::flex();
        let mut noise = Noise::seeded(3);
        let kurtosis = |z: Tensor<3>| {
            let moments = Moments::of(Tensor::zeros([1, 50, 4], &device), z);
            let sum = |x: Tensor<2>| f64::from(x.sum().into_scalar::<f32>());
            let squares = sum(moments.variance.clone().square());
            Shape { fourth: sum(moments.fourth), squares }.kurtosis(64)
        };
        let normal = kurtosis(noise.normal([64, 50, 4], 1, &device));
        let laplace = kurtosis(noise.laplace([64, 50, 4], 1, &device) * 0.3);
        assert!((normal - 3.0).abs() < 0.3, "{normal}");
        assert!((laplace - 6.0).abs() < 1.2 && laplace > LAPLACE, "{laplace}");
    }

    #[test]
    fn a_laplace_posterior_has_its_own_divergence() {
        let device = Device::flex();
        let mut noise = Noise::seeded(4);
        let mean = Tensor::<3>::ones([1, 20, 1], &device);
        let z = noise.laplace([400, 20, 1], 1, &device) * 0.5 + mean.clone();
        let prior = Moments::of_one(noise.laplace([20_000, 1, 1], 0, &device));
        let [_, found] = Moments::of(mean, z).divergences(&prior);
        let found = f64::from(found.mean().into_scalar::<f32>());
        let exact = 2f64.ln() + (0.5 * (-2f64).exp() + 1.0) - 1.0;
        assert!((found - exact).abs() < 0.03, "{found} {exact}");
    }

    #[test]
    fn contributions_are_what_leaving_out_changes() {
        let found = of(&RepresentationConfig::default());
        let part = &found.contributions[1];
        assert_eq!((part.modality.as_str(), part.rows), ("m1", 40));
        // Two of three values tell nearly as much as all three.
        assert!(part.shift.mean > 0.0 && part.shift.mean < 0.1, "{part:?}");
        assert!(part.bound.mean > 0.0, "{part:?}");
        assert!(part.decoding.mean > 4.0 * part.decoding.standard_error, "{part:?}");
    }

    #[test]
    fn a_model_of_slope_zero_uses_nothing() {
        let (train, test, device) = (data(20, 1), data(40, 2), Device::flex());
        let model = LinearGaussian::new(0.0, train.modalities(), &device);
        let config = RepresentationConfig { samples: 500, ..Default::default() };
        let found = representation(&model, &train, &test, &config, &device, &|_| {});
        let found = found.expect("valid");
        assert_eq!(found.spaces[0].active, 0);
        assert!(found.spaces[0].dimensions[0].kl.mean.abs() < 0.005, "{:?}", found.spaces);
        for part in &found.contributions {
            assert_eq!((part.shift.mean, part.decoding.mean), (0.0, 0.0), "{part:?}");
        }
        let kinds: Vec<_> = crate::findings(&found).into_iter().map(|f| f.kind).collect();
        assert!(kinds.contains(&crate::FindingKind::PosteriorCollapse), "{kinds:?}");
        assert!(kinds.contains(&crate::FindingKind::IgnoredByDecoder), "{kinds:?}");
        assert!(kinds.contains(&crate::FindingKind::IgnoredByEncoder), "{kinds:?}");
    }

    #[test]
    fn the_bound_falls_as_modalities_go_missing() {
        let missing_rates = vec![0.0, 0.4, 0.8];
        let found = of(&RepresentationConfig { missing_rates, ..Default::default() });
        let [none, some, most] = &found.robustness[..] else { panic!("three rates") };
        assert_eq!((none.missing, none.hidden), (0.0, None));
        assert!(none.missing < some.missing && some.missing < most.missing);
        assert!(most.missing <= 2.0 / 3.0, "a row keeps one: {most:?}");
        assert!(none.bound.mean > some.bound.mean && some.bound.mean > most.bound.mean);
        assert!(none.accuracy.expect("labels").mean > 0.95);
        assert!(some.hidden.is_some());
    }

    #[test]
    fn the_result_does_not_depend_on_the_batch_size() {
        let config = RepresentationConfig::default();
        let whole = of(&config).entries();
        let parts = of(&RepresentationConfig { batch_size: 7, ..config }).entries();
        assert_eq!(whole.len(), parts.len());
        for (a, b) in whole.iter().zip(&parts) {
            let near = (a.value - b.value).abs() < 1e-4 * a.value.abs().max(1.0);
            assert!(near, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_row_keeps_what_is_needed_or_its_last_modality() {
        let full = Subset::full(3);
        let kept = |rate, needed| keep(full, &[0.2, 0.7, 0.5], rate, needed);
        assert_eq!(kept(0.0, None), full);
        assert_eq!(kept(0.6, None), Subset::single(1));
        assert_eq!(kept(0.9, None), Subset::single(1));
        assert_eq!(kept(0.9, Some(Subset::single(0))), Subset::single(0));
    }

    #[test]
    fn a_conditional_model_keeps_its_conditions() {
        let (train, test, device) = (data(20, 1), data(30, 2), Device::flex());
        let model = Conditional::new(SLOPE, train.modalities(), &device);
        let config = RepresentationConfig { samples: 300, ..Default::default() };
        let found = representation(&model, &train, &test, &config, &device, &|_| {});
        let found = found.expect("valid");
        assert!(found.probes.iter().all(|probe| probe.given[0] == "m0"));
        let names: Vec<_> = found.contributions.iter().map(|part| &part.modality).collect();
        assert_eq!(names, ["m1", "m2"]);
        // The prior is the posterior given the condition.
        let slope = f64::from(SLOPE);
        let [one, three] = [1.0, 3.0].map(|k| 1.0 / (1.0 + k * slope * slope));
        let kl: f64 = (0..30)
            .map(|row| {
                let values: Vec<f64> = test.row(row).iter().flatten().map(|&x| x.into()).collect();
                let mean = slope * values.iter().sum::<f64>() * three;
                let away = (mean - slope * values[0] * one).powi(2);
                (three / one - (three / one).ln() + away / one - 1.0) / 2.0
            })
            .sum::<f64>()
            / 30.0;
        let estimate = found.spaces[0].dimensions[0].kl;
        assert!((estimate.mean - kl).abs() < 0.05, "{estimate:?} {kl}");
    }

    #[test]
    fn data_without_labels_have_no_probe() {
        let (rows, device) = (Rows::new(2, vec![vec![Some(1.0), Some(0.5)]; 4]), Device::flex());
        let model = LinearGaussian::new(SLOPE, rows.modalities(), &device);
        let config = RepresentationConfig::default();
        let found = representation(&model, &rows, &rows, &config, &device, &|_| {});
        let found = found.expect("valid");
        assert!(found.probes.is_empty());
        assert!(found.robustness.iter().all(|point| point.accuracy.is_none()));
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let config = RepresentationConfig { missing_rates: vec![1.0], ..Default::default() };
        let error = config.check().expect_err("nothing would be left");
        assert_eq!(error.to_string(), "`missing_rates`: expected 0 or more and below 1, found 1");
    }
}
