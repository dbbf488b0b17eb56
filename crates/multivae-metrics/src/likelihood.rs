//! Log-likelihoods: of all that is observed, and of modalities from given ones.

use serde::{Deserialize, Serialize};

use crate::{
    entry::{Entries, Entry},
    mean::Mean,
};

/// How likelihoods are estimated.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `batch_size` | 64 | rows at once | at least 1 |
/// | `seed` | 0 | what the latent samples derive from | |
/// | `samples` | 1000 | importance samples a row | at least 1 |
/// | `chunk` | 50 | samples of a row that are decoded at once | at least 1 |
/// | `rows` | all | most rows that are used, evenly spread over the data | at least 1 |
/// | `conditional` | true | whether likelihoods from given subsets are estimated, too | |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LikelihoodConfig {
    /// Rows at once, at least 1. The result does not depend on it.
    pub batch_size: usize,
    /// What the latent samples derive from.
    pub seed: u64,
    /// Importance samples a row, at least 1.
    pub samples: usize,
    /// Samples of a row that are decoded at once, at least 1: memory against speed. Other values
    /// draw other samples.
    pub chunk: usize,
    /// Most rows that are used, at least 1; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// Whether likelihoods from given subsets are estimated, too.
    pub conditional: bool,
}

impl Default for LikelihoodConfig {
    fn default() -> Self {
        Self { batch_size: 64, seed: 0, samples: 1000, chunk: 50, rows: None, conditional: true }
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
    /// Importance samples a row.
    pub samples: usize,
    /// `log p(x)` of all that a row observes; of a conditional model given its conditions.
    pub joint: LogLikelihood,
    /// Every modality that the model generates from every given subset without it, over the rows
    /// that observe both. Where no row does, there is no entry.
    pub conditional: Vec<ConditionalLikelihood>,
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
        self.joint.entries("joint_log_likelihood").into_iter().chain(conditional).collect()
    }
}
