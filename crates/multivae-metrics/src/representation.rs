//! What latent values hold: classes, used dimensions, the share of each modality, and what is left
//! of it when modalities are missing.

use serde::{Deserialize, Serialize};

use crate::{
    entry::{Entries, Entry},
    mean::Mean,
};

/// How the representation is measured.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `batch_size` | 256 | rows at once | at least 1 |
/// | `seed` | 0 | what latent samples and missing modalities derive from | |
/// | `penalty` | 1 | weight of half the squared norm of the probe, against the sum over rows | at least 0 |
/// | `iterations` | 1000 | most steps of the probe's fit | at least 1 |
/// | `samples` | 64 | latent samples a row from which divergences are estimated | at least 2 |
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
    /// Latent samples a row from which divergences are estimated, at least 2.
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
            iterations: 1000,
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
    /// What each modality adds.
    pub contributions: Vec<Contribution>,
    /// What is left when modalities are missing at random, by their share.
    pub robustness: Vec<Robustness>,
}

/// How well a linear classifier tells classes from posterior means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// The modalities that the posterior was given.
    pub given: Vec<String>,
    /// The latent space: `shared` for all levels of the shared one together.
    pub space: String,
    /// Training rows that observe the given.
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
    /// Divergence of the posterior from the prior, in nats, averaged over rows. It is estimated
    /// from samples; see the documentation of its measure.
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
    /// the prior instead of its posterior. 0 if the decoder ignores them; `None` for conditions,
    /// which are not generated.
    pub decoding: Option<Mean>,
}

/// What is left when a share of all modalities is missing at random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Robustness {
    /// The rate at which modalities were taken from test rows. Each row keeps one.
    pub rate: f64,
    /// The share that was in fact missing, of what the rows observe.
    pub missing: f64,
    /// Accuracy of the probe that was fitted on complete posteriors; `None` without labels.
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

impl Entries for Representation {
    fn entries(&self) -> Vec<Entry> {
        let entry = |measure, mean, count| Entry::new(REPORT, measure, mean, count);
        let exact = |measure, value, count| {
            let mean = Mean { mean: value, standard_error: 0.0 };
            Entry { standard_error: None, ..entry(measure, mean, count) }
        };
        let probes = self.probes.iter().map(|probe| {
            entry("probe_accuracy", probe.accuracy, probe.rows)
                .given(&probe.given)
                .target(&probe.space)
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
                Some(of("contribution_shift", part.shift)),
                Some(of("contribution_bound", part.bound)),
                part.decoding.map(|mean| of("contribution_decoding", mean)),
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
        probes.chain(spaces).chain(contributions.flatten()).chain(robustness.flatten()).collect()
    }
}
