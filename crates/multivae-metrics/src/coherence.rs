//! Coherence: whether what is generated shows the class of what was given.

use serde::{Deserialize, Serialize};

use crate::{
    entry::{Entries, Entry},
    mean::Mean,
};

/// How coherence is measured.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `batch_size` | 256 | rows at once | at least 1 |
/// | `seed` | 0 | what the latent samples derive from | |
/// | `draws` | 1 | latent samples a row | at least 1 |
/// | `reconstructions` | false | whether given modalities are targets, too | |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoherenceConfig {
    /// Rows at once, at least 1. The result does not depend on it.
    pub batch_size: usize,
    /// What the latent samples derive from.
    pub seed: u64,
    /// Latent samples a row, at least 1.
    pub draws: usize,
    /// Whether given modalities are targets, too. Such pairs are in no average over targets.
    pub reconstructions: bool,
}

impl Default for CoherenceConfig {
    fn default() -> Self {
        Self { batch_size: 256, seed: 0, draws: 1, reconstructions: false }
    }
}

/// Two ways to average whether classes are right, both in `[0, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The share of rows and draws with the right class; the standard error is over rows.
    pub accuracy: Mean,
    /// The mean over classes of the share within a class. A class without rows is left out.
    pub macro_recall: Mean,
}

impl Scores {
    fn entries(&self, prefix: &str, rows: usize) -> [Entry; 2] {
        let entry =
            |measure: &str, mean| Entry::new(REPORT, &format!("{prefix}{measure}"), mean, rows);
        [entry("accuracy", self.accuracy), entry("macro_recall", self.macro_recall)]
    }
}

/// How often what is generated from given modalities shows their class.
///
/// The classes are told by classifiers, which err: their own accuracy on real values is what a
/// perfect model would reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coherence {
    /// Rows with a class label that is among `classes`.
    pub rows: usize,
    /// Latent samples a row.
    pub draws: usize,
    /// The classes that the classifiers tell apart, ascending.
    pub classes: Vec<i64>,
    /// Every given subset with every target that has a classifier, over the rows that observe the
    /// given. Where no row does, there is no entry.
    pub pairs: Vec<PairCoherence>,
    /// Every given subset, averaged over the targets that were not given.
    pub subsets: Vec<SubsetCoherence>,
    /// Every number of given modalities, averaged over its subsets.
    pub sizes: Vec<SizeCoherence>,
}

/// One target from one given subset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairCoherence {
    /// The modalities that the posterior was given.
    pub given: Vec<String>,
    /// The modality that was generated and classified.
    pub target: String,
    /// Whether the target is among the given.
    pub reconstructed: bool,
    /// How many rows observe the given.
    pub rows: usize,
    /// The averages.
    #[serde(flatten)]
    pub scores: Scores,
    /// Class by class; classes without rows are left out.
    pub by_class: Vec<ClassRecall>,
}

/// The rows of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassRecall {
    /// The class.
    pub class: i64,
    /// Its rows.
    pub rows: usize,
    /// The share of them, and of draws, whose class was kept.
    pub recall: Mean,
}

/// A mean over the targets that were not given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubsetCoherence {
    /// The modalities that the posterior was given.
    pub given: Vec<String>,
    /// How many targets.
    pub targets: usize,
    /// How many rows observe the given.
    pub rows: usize,
    /// The averages.
    #[serde(flatten)]
    pub scores: Scores,
}

/// A mean over the subsets of one size, as papers print it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizeCoherence {
    /// How many modalities were given.
    pub given: usize,
    /// How many subsets of this size.
    pub subsets: usize,
    /// The averages; their standard errors are over rows.
    #[serde(flatten)]
    pub scores: Scores,
    /// Standard deviation of the accuracy over the subsets, divided by their number.
    pub accuracy_deviation: f64,
    /// Standard deviation of the macro recall over the subsets, divided by their number.
    pub macro_recall_deviation: f64,
}

impl Coherence {
    /// The entry of a given set and a target.
    pub fn pair(&self, given: &[&str], target: &str) -> Option<&PairCoherence> {
        self.pairs.iter().find(|pair| pair.target == target && pair.given == given)
    }

    /// The average over the subsets of so many given modalities.
    pub fn size(&self, given: usize) -> Option<&SizeCoherence> {
        self.sizes.iter().find(|size| size.given == given)
    }
}

/// Name of the report in tables.
const REPORT: &str = "coherence";

impl Entries for Coherence {
    fn entries(&self) -> Vec<Entry> {
        let sizes = self.sizes.iter().flat_map(|size| {
            let target = format!("{} given", size.given);
            let deviation = |measure: &str, value| Entry {
                value,
                standard_error: None,
                ..Entry::new(REPORT, measure, size.scores.accuracy, size.subsets)
            };
            let [accuracy, recall] = size.scores.entries("mean_", self.rows);
            let entries = [
                accuracy,
                deviation("deviation_accuracy", size.accuracy_deviation),
                recall,
                deviation("deviation_macro_recall", size.macro_recall_deviation),
            ];
            entries.map(|entry| entry.target(&target))
        });
        let subsets = self.subsets.iter().flat_map(|subset| {
            subset.scores.entries("mean_", subset.rows).map(|entry| entry.given(&subset.given))
        });
        let pairs = self.pairs.iter().flat_map(|pair| {
            let recall = |class: &ClassRecall| {
                Entry::new(REPORT, "recall", class.recall, class.rows)
                    .given(&pair.given)
                    .target(&format!("{} {}", pair.target, class.class))
            };
            let scores = pair.scores.entries("", pair.rows);
            let scores = scores.map(|entry| entry.given(&pair.given).target(&pair.target));
            scores.into_iter().chain(pair.by_class.iter().map(recall)).collect::<Vec<_>>()
        });
        sizes.chain(subsets).chain(pairs).collect()
    }
}

/// How often all modalities that are generated from one latent value show one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JointCoherence {
    /// How many latent values.
    pub rows: usize,
    /// The modalities that were classified.
    pub modalities: Vec<String>,
    /// The share of latent values from which all modalities get the same class.
    pub coherence: Mean,
    /// The share of pairs of modalities that get the same class.
    pub agreement: Mean,
    /// How often the class that most modalities show is each class, of those that are generated
    /// at all: shares that add up to one. Equal numbers count for the first class.
    pub by_class: Vec<ClassShare>,
}

/// How often a class is generated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassShare {
    /// The class.
    pub class: i64,
    /// Its share.
    pub share: f64,
}

impl Entries for JointCoherence {
    fn entries(&self) -> Vec<Entry> {
        let entry = |measure, mean| Entry::new("joint_coherence", measure, mean, self.rows);
        let share = |class: &ClassShare| {
            // Of a share among independent rows.
            let standard_error = (class.share * (1.0 - class.share) / self.rows as f64).sqrt();
            entry("class_share", Mean { mean: class.share, standard_error })
                .target(&class.class.to_string())
        };
        let means = [entry("coherence", self.coherence), entry("agreement", self.agreement)];
        means.into_iter().chain(self.by_class.iter().map(share)).collect()
    }
}
