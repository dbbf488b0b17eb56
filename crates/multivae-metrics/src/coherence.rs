//! Coherence: whether what is generated shows the class of what was given.

use burn::tensor::Device;
use multivae_core::{
    dataset::Dataset,
    modality::ModalitySpec,
    model::{Draws, Generate, Latent},
    noise::Noise,
    pass::Pass,
    subset::Subset,
};
use serde::{Deserialize, Serialize};

use crate::{
    MetricsError,
    classifier::Classifiers,
    entry::{Entries, Entry},
    evaluate::{check, given_with, within},
    mean::{Mean, Running},
    rows::at_least,
};

/// How coherence is measured.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `batch_size` | 256 | rows at once | at least 1 |
/// | `seed` | 0 | what the latent samples derive from | |
/// | `draws` | 1 | latent samples per row | at least 1 |
/// | `reconstructions` | false | whether given modalities are targets, too | |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoherenceConfig {
    /// Rows at once, at least 1. The result does not depend on it.
    pub batch_size: usize,
    /// What the latent samples derive from.
    pub seed: u64,
    /// Latent samples per row, at least 1.
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
    /// Latent samples per row.
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

/// Measures coherence on all rows that have a label.
///
/// For each batch and each given subset of [`given_subsets`](crate::given_subsets) the posterior is
/// sampled once and serves all targets; the mean of each target's distribution is classified. A row
/// counts where it observes all that is given, whether or not it observes the target. Rows are
/// reproducible: a row's samples derive from the seed and its number, whatever the batch size.
///
/// `macro_recall` is what MultiVae reports. Unlike there, a class without rows is left out instead
/// of counted as 0, incomplete rows are used, and reconstructions stay out of the averages.
///
/// # Errors
///
/// [`MetricsError::Config`]; [`MetricsError::NoRows`], [`MetricsError::Modalities`] as in
/// [`evaluate`](crate::evaluate); [`MetricsError::Classifiers`] if one is for a modality that the
/// model does not have, or there is none for what it generates; [`MetricsError::NoLabels`] if no
/// row has one of the classes; [`MetricsError::Pass`].
pub fn coherence(
    model: &dyn Generate,
    data: &dyn Dataset,
    classifiers: &Classifiers,
    config: &CoherenceConfig,
    device: &Device,
    progress: &dyn Fn(f64),
) -> Result<Coherence, MetricsError> {
    at_least(1, &[("batch_size", config.batch_size), ("draws", config.draws)])?;
    let specs = model.modalities();
    check(specs, data)?;
    let targets = classifiers.targets(model)?;
    let classes = classifiers.classes();
    let place = |label: Option<i64>| label.and_then(|label| classes.binary_search(&label).ok());
    let labels: Vec<Option<usize>> = (0..data.len()).map(|row| place(data.label(row))).collect();
    if labels.iter().all(Option::is_none) {
        return Err(MetricsError::NoLabels { which: "test" });
    }
    let wanted = |given: Subset| -> Option<Subset> {
        let counts = |m: &usize| config.reconstructions || !given.contains(*m);
        Subset::new(targets.iter().filter(counts)).ok()
    };
    let mut pairs: Vec<Kept> = Vec::new();
    let mut starts = Vec::new();
    for given in given_with(specs.len(), model.conditions()) {
        let Some(wanted) = wanted(given) else { continue };
        starts.push((given, wanted, pairs.len()));
        pairs.extend(wanted.iter().map(|target| Kept { given, target, rows: Vec::new() }));
    }
    let pass = Pass { batch_size: config.batch_size, seed: config.seed };
    for batch in pass.batches(data, device) {
        let (range, batch) = batch?;
        let mut batch = batch.keeping();
        for (number, &(given, wanted, start)) in starts.iter().enumerate() {
            batch.key.step = number as u64;
            let draws = Draws::Samples(config.draws);
            let latent = model.encode(&batch, given, draws, &mut Noise::of(&batch));
            let outputs = model.decode(&latent, wanted);
            for (i, (target, output)) in wanted.iter().zip(outputs).enumerate() {
                let mean = model.mean(output, target, batch.offset(target));
                let found = classifiers.classify(&specs[target], mean)?;
                let observed = batch.presence().rows().iter();
                for (place, (row, observed)) in range.clone().zip(observed).enumerate() {
                    let Some(class) = labels[row].filter(|_| within(given, *observed)) else {
                        continue;
                    };
                    let of_row = found.iter().skip(place).step_by(range.len());
                    let right = of_row.filter(|&&found| found == class).count();
                    let share = right as f64 / config.draws as f64;
                    pairs[start + i].rows.push((row, class, share));
                }
            }
        }
        progress(range.end as f64 / data.len() as f64);
    }
    let rows = labels.iter().flatten().count();
    Ok(Table { specs, classes, labels: data.len() }.report(&starts, &pairs, rows, config.draws))
}

/// What a pair is averaged from.
struct Kept {
    given: Subset,
    target: usize,
    /// Number of the row, place of its class, share of right draws.
    rows: Vec<(usize, usize, f64)>,
}

/// A linear combination of means over rows. What each row adds to its error is kept, so that the
/// error of a sum of means over the same rows is right.
#[derive(Clone)]
struct Linear {
    mean: f64,
    /// By row; their squares add up to the squared standard error.
    parts: Vec<f64>,
}

impl Linear {
    fn zero(rows: usize) -> Self {
        Self { mean: 0.0, parts: vec![0.0; rows] }
    }

    /// Adds `weight` times the mean of values of different rows.
    fn add_mean(&mut self, values: &[(usize, f64)], weight: f64) {
        let n = values.len() as f64;
        let mean = values.iter().map(|(_, value)| value).sum::<f64>() / n;
        self.mean += weight * mean;
        if values.len() > 1 {
            let scale = weight / (n * (n - 1.0)).sqrt();
            for &(row, value) in values {
                self.parts[row] += scale * (value - mean);
            }
        }
    }

    fn add(&mut self, other: &Self, weight: f64) {
        self.mean += weight * other.mean;
        for (part, other) in self.parts.iter_mut().zip(&other.parts) {
            *part += weight * other;
        }
    }

    fn finish(&self) -> Mean {
        let squares: f64 = self.parts.iter().map(|part| part * part).sum();
        Mean { mean: self.mean, standard_error: squares.sqrt() }
    }
}

/// Accuracy and macro recall.
struct Averages {
    accuracy: Linear,
    macro_recall: Linear,
}

impl Averages {
    fn zero(rows: usize) -> Self {
        Self { accuracy: Linear::zero(rows), macro_recall: Linear::zero(rows) }
    }

    fn add(&mut self, other: &Self, weight: f64) {
        self.accuracy.add(&other.accuracy, weight);
        self.macro_recall.add(&other.macro_recall, weight);
    }

    fn finish(&self) -> Scores {
        Scores { accuracy: self.accuracy.finish(), macro_recall: self.macro_recall.finish() }
    }
}

/// What the averages are about.
struct Table<'a> {
    specs: &'a [ModalitySpec],
    classes: &'a [i64],
    /// Number of rows of the data.
    labels: usize,
}

impl Table<'_> {
    fn report(
        &self,
        starts: &[(Subset, Subset, usize)],
        kept: &[Kept],
        rows: usize,
        draws: usize,
    ) -> Coherence {
        let (mut pairs, mut subsets) = (Vec::new(), Vec::new());
        let mut sizes: Vec<Vec<Averages>> = (0..self.specs.len()).map(|_| Vec::new()).collect();
        for &(given, wanted, start) in starts {
            let of_subset = &kept[start..start + wanted.len()];
            let count = of_subset[0].rows.len();
            if count == 0 {
                continue;
            }
            let generated: Vec<_> =
                of_subset.iter().filter(|pair| !given.contains(pair.target)).collect();
            let mut sum = Averages::zero(self.labels);
            for pair in of_subset {
                let averages = self.averages(pair);
                pairs.push(self.pair(pair, &averages));
                if !given.contains(pair.target) {
                    sum.add(&averages, 1.0 / generated.len() as f64);
                }
            }
            if !generated.is_empty() {
                subsets.push(SubsetCoherence {
                    given: self.names(given),
                    targets: generated.len(),
                    rows: count,
                    scores: sum.finish(),
                });
                sizes[given.len() - 1].push(sum);
            }
        }
        let sizes = sizes.iter().enumerate().filter(|(_, of_size)| !of_size.is_empty());
        let sizes = sizes.map(|(i, of_size)| {
            let mut mean = Averages::zero(self.labels);
            of_size.iter().for_each(|part| mean.add(part, 1.0 / of_size.len() as f64));
            SizeCoherence {
                given: i + 1,
                subsets: of_size.len(),
                scores: mean.finish(),
                accuracy_deviation: deviation(of_size.iter().map(|part| part.accuracy.mean)),
                macro_recall_deviation: deviation(
                    of_size.iter().map(|part| part.macro_recall.mean),
                ),
            }
        });
        let sizes = sizes.collect();
        Coherence { rows, draws, classes: self.classes.to_vec(), pairs, subsets, sizes }
    }

    fn names(&self, given: Subset) -> Vec<String> {
        given.iter().map(|m| self.specs[m].name.to_string()).collect()
    }

    /// The rows of each class that has some.
    fn by_class(&self, pair: &Kept) -> Vec<(usize, Vec<(usize, f64)>)> {
        let of = |class: usize| {
            let rows = pair.rows.iter().filter(|(_, of_row, _)| *of_row == class);
            (class, rows.map(|&(row, _, share)| (row, share)).collect::<Vec<_>>())
        };
        (0..self.classes.len()).map(of).filter(|(_, rows)| !rows.is_empty()).collect()
    }

    fn averages(&self, pair: &Kept) -> Averages {
        let mut averages = Averages::zero(self.labels);
        let all: Vec<_> = pair.rows.iter().map(|&(row, _, share)| (row, share)).collect();
        averages.accuracy.add_mean(&all, 1.0);
        let by_class = self.by_class(pair);
        for (_, rows) in &by_class {
            averages.macro_recall.add_mean(rows, 1.0 / by_class.len() as f64);
        }
        averages
    }

    fn pair(&self, pair: &Kept, averages: &Averages) -> PairCoherence {
        let recall = |(class, rows): (usize, Vec<(usize, f64)>)| {
            let mut recall = Running::default();
            rows.iter().for_each(|&(_, share)| recall.push(share));
            let class = self.classes[class];
            Some(ClassRecall { class, rows: rows.len(), recall: recall.finish()? })
        };
        PairCoherence {
            given: self.names(pair.given),
            target: self.specs[pair.target].name.to_string(),
            reconstructed: pair.given.contains(pair.target),
            rows: pair.rows.len(),
            scores: averages.finish(),
            by_class: self.by_class(pair).into_iter().filter_map(recall).collect(),
        }
    }
}

/// Standard deviation, divided by the number of values.
fn deviation(values: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
    let n = values.len() as f64;
    let mean = values.clone().sum::<f64>() / n;
    (values.map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt()
}

/// Measures whether all modalities that are generated from one latent value show the same class.
///
/// The latent values come from anywhere: the prior, or another sampler. The mean of each modality's
/// distribution is classified.
///
/// # Errors
///
/// [`MetricsError::Classifiers`] as in [`coherence`], or if fewer than two modalities have one;
/// [`MetricsError::NoRows`] if there are no latent values; [`MetricsError::Pass`].
pub fn joint_coherence(
    model: &dyn Generate,
    latents: impl Iterator<Item = Latent>,
    classifiers: &Classifiers,
) -> Result<JointCoherence, MetricsError> {
    let specs = model.modalities();
    let targets = classifiers.targets(model)?;
    if targets.len() < 2 {
        return Err(MetricsError::Classifiers(format!(
            "expected one for at least 2 modalities that the model generates, found one for {}",
            targets.label(specs)
        )));
    }
    let classes = classifiers.classes();
    let (mut coherence, mut agreement) = (Running::default(), Running::default());
    let mut shown = vec![0_usize; classes.len()];
    for latent in latents {
        let outputs = targets.iter().zip(model.decode(&latent, targets));
        let found = outputs
            .map(|(m, output)| classifiers.classify(&specs[m], model.mean(output, m, None)))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..found[0].len() {
            let mut votes = vec![0_usize; classes.len()];
            found.iter().for_each(|of_modality| votes[of_modality[row]] += 1);
            let most = (0..votes.len()).rev().max_by_key(|&class| votes[class]);
            let most = most.expect("there are classes");
            shown[most] += 1;
            let pairs = |n: usize| (n * n.saturating_sub(1) / 2) as f64;
            let agreeing: f64 = votes.iter().map(|&n| pairs(n)).sum();
            coherence.push(f64::from(u8::from(votes[most] == targets.len())));
            agreement.push(agreeing / pairs(targets.len()));
        }
    }
    let (Some(mean), Some(agreement)) = (coherence.finish(), agreement.finish()) else {
        return Err(MetricsError::NoRows);
    };
    let rows = coherence.count();
    let share = |(&class, &n): (&i64, &usize)| ClassShare { class, share: n as f64 / rows as f64 };
    Ok(JointCoherence {
        rows,
        modalities: targets.iter().map(|m| specs[m].name.to_string()).collect(),
        coherence: mean,
        agreement,
        by_class: classes.iter().zip(&shown).map(share).collect(),
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;
    use multivae_testkit::{Conditional, LinearGaussian, Rows};

    use super::*;
    use crate::Classify;

    /// Class 3 for values below 0, else class 7; the other way round if flipped.
    struct Sign {
        flipped: bool,
    }

    impl Classify for Sign {
        fn classes(&self) -> &[i64] {
            &[3, 7]
        }

        fn scores(&self, values: &Tensor<2>) -> Tensor<2> {
            let sign = if self.flipped { -1.0 } else { 1.0 };
            Tensor::cat(vec![values.clone() * -sign, values.clone() * sign], 1)
        }
    }

    const RIGHT: Sign = Sign { flipped: false };
    const WRONG: Sign = Sign { flipped: true };

    /// Values so large that samples of the posterior have their sign.
    fn data() -> Rows {
        let cells = vec![
            vec![Some(9.0), Some(9.0), Some(9.0)],
            vec![Some(-9.0), None, Some(-9.0)],
            vec![Some(9.0), Some(9.0), None],
            vec![Some(-9.0), Some(9.0), Some(9.0)],
            vec![Some(9.0), Some(9.0), Some(9.0)],
        ];
        // The label of row 2 is not what it shows, and that of row 4 is no class.
        Rows::new(3, cells).with_labels(vec![7, 3, 3, 7, 5])
    }

    fn measure(config: &CoherenceConfig, third: &Sign) -> Coherence {
        let (data, device) = (data(), Device::flex());
        let model = LinearGaussian::new(2.0, data.modalities(), &device);
        let list: [(&str, &dyn Classify); 3] = [("m0", &RIGHT), ("m1", &RIGHT), ("m2", third)];
        let classifiers = Classifiers::new(list).expect("the same classes");
        coherence(&model, &data, &classifiers, config, &device, &|_| {}).expect("valid")
    }

    #[test]
    fn accuracy_and_macro_recall_are_those_worked_out_by_hand() {
        let found = measure(&CoherenceConfig { draws: 3, ..Default::default() }, &RIGHT);
        assert_eq!((found.rows, found.draws), (4, 3));
        // Rows 0 and 1 are right, row 2 is not, and of row 3 only `m0` is not.
        let pair = found.pair(&["m0"], "m1").expect("every row observes it");
        assert_eq!((pair.rows, pair.reconstructed), (4, false));
        assert_eq!(pair.scores.accuracy.mean, 0.5);
        // Squares of 0.5 four times over 3, over 4.
        assert!((pair.scores.accuracy.standard_error - (1.0f64 / 12.0).sqrt()).abs() < 1e-12);
        let recalls: Vec<_> =
            pair.by_class.iter().map(|c| (c.class, c.rows, c.recall.mean)).collect();
        assert_eq!(recalls, [(3, 2, 0.5), (7, 2, 0.5)]);
        let pair = found.pair(&["m1"], "m0").expect("three rows");
        assert_eq!(pair.rows, 3);
        assert!((pair.scores.accuracy.mean - 2.0 / 3.0).abs() < 1e-12);
        // The one row of class 3 is wrong, both of class 7 are right.
        assert_eq!(pair.scores.macro_recall.mean, 0.5);
        // All given: nothing is left to generate.
        assert!(found.pairs.iter().all(|pair| pair.given.len() < 3));
        assert_eq!(found.pairs.len(), 9);
    }

    #[test]
    fn averages_are_over_subsets_of_a_size() {
        let found = measure(&CoherenceConfig::default(), &RIGHT);
        let subset = |given: &[&str]| {
            found.subsets.iter().find(|subset| subset.given == given).expect("a subset")
        };
        // From m0 half is right, from m1 and m2 two of three.
        let means = [subset(&["m0"]), subset(&["m1"]), subset(&["m2"])]
            .map(|subset| subset.scores.accuracy.mean);
        let mean = means.iter().sum::<f64>() / 3.0;
        let size = found.size(1).expect("three subsets");
        assert_eq!((size.subsets, subset(&["m1"]).targets), (3, 2));
        assert!((size.scores.accuracy.mean - mean).abs() < 1e-12, "{size:?} {means:?}");
        let deviation = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / 3.0;
        assert!((size.accuracy_deviation - deviation.sqrt()).abs() < 1e-12, "{size:?}");
        assert_eq!(found.sizes.iter().map(|size| size.given).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn the_error_of_a_mean_over_targets_of_the_same_rows_is_not_halved() {
        let found = measure(&CoherenceConfig::default(), &RIGHT);
        let subset = found.subsets.iter().find(|subset| subset.given == ["m0"]).expect("given");
        // Both targets are right in the same rows.
        let pair = found.pair(&["m0"], "m1").expect("given").scores.accuracy;
        let error = subset.scores.accuracy.standard_error;
        assert!((error - pair.standard_error).abs() < 1e-12, "{error} {pair:?}");
    }

    #[test]
    fn reconstructions_are_pairs_but_in_no_average() {
        let config = CoherenceConfig { reconstructions: true, ..Default::default() };
        let (with, without) = (measure(&config, &RIGHT), measure(&Default::default(), &RIGHT));
        assert_eq!(with.pairs.len(), 21);
        let pair = with.pair(&["m0"], "m0").expect("a reconstruction");
        assert!(pair.reconstructed);
        assert_eq!(with.sizes.len(), without.sizes.len());
        assert_eq!(with.sizes[0].scores, without.sizes[0].scores);
    }

    #[test]
    fn a_flipped_classifier_of_two_classes_gives_the_complement() {
        let found = measure(&CoherenceConfig::default(), &WRONG);
        let accuracy = |target| {
            let pair = found.pair(&["m0", "m1"], target);
            pair.expect("given").scores.accuracy.mean
        };
        let right = measure(&CoherenceConfig::default(), &RIGHT);
        let pair = right.pair(&["m0", "m1"], "m2").expect("given").scores.accuracy.mean;
        assert!((accuracy("m2") - (1.0 - pair)).abs() < 1e-12);
    }

    #[test]
    fn the_result_does_not_depend_on_the_batch_size() {
        let config = CoherenceConfig { draws: 2, ..Default::default() };
        let whole = measure(&config, &RIGHT).entries();
        let parts = measure(&CoherenceConfig { batch_size: 2, ..config }, &RIGHT).entries();
        assert_eq!(whole, parts);
    }

    #[test]
    fn joint_coherence_counts_latent_values_of_one_class() {
        let (data, device) = (data(), Device::flex());
        let model = LinearGaussian::new(2.0, data.modalities(), &device);
        let latents = || (0..3_u64).map(|seed| model.prior(5, &device, &mut Noise::seeded(seed)));
        let of = |third: &Sign| {
            let list: [(&str, &dyn Classify); 3] = [("m0", &RIGHT), ("m1", &RIGHT), ("m2", third)];
            let classifiers = Classifiers::new(list).expect("the same classes");
            joint_coherence(&model, latents(), &classifiers).expect("valid")
        };
        let right = of(&RIGHT);
        assert_eq!((right.rows, right.coherence.mean, right.agreement.mean), (15, 1.0, 1.0));
        let shares: f64 = right.by_class.iter().map(|class| class.share).sum();
        assert!((shares - 1.0).abs() < 1e-12);
        let wrong = of(&WRONG);
        assert_eq!(wrong.coherence.mean, 0.0);
        assert!((wrong.agreement.mean - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(wrong.by_class, right.by_class);
    }

    #[test]
    fn a_conditional_model_is_given_its_conditions() {
        let (data, device) = (data(), Device::flex());
        let model = Conditional::new(2.0, data.modalities(), &device);
        let list: [(&str, &dyn Classify); 2] = [("m0", &RIGHT), ("m1", &RIGHT)];
        let classifiers = Classifiers::new(list).expect("the same classes");
        let config = CoherenceConfig::default();
        let found = coherence(&model, &data, &classifiers, &config, &device, &|_| {});
        let found = found.expect("valid");
        // `m2` has no classifier.
        let pairs: Vec<_> =
            found.pairs.iter().map(|pair| (pair.given.join("+"), pair.target.clone())).collect();
        assert_eq!(pairs, [("m0".into(), "m1".into()), ("m0+m2".into(), "m1".to_owned())]);
    }

    #[test]
    fn classifiers_that_do_not_fit_are_refused() {
        let (data, device) = (data(), Device::flex());
        let model = LinearGaussian::new(2.0, data.modalities(), &device);
        let of = |name| {
            let list: [(&str, &dyn Classify); 1] = [(name, &RIGHT)];
            let classifiers = Classifiers::new(list).expect("one");
            let config = CoherenceConfig::default();
            coherence(&model, &data, &classifiers, &config, &device, &|_| {})
        };
        assert!(of("m0").is_ok());
        let error = of("sound").expect_err("no such modality").to_string();
        assert_eq!(error, "classifiers: the model has no modality `sound`");
        let none = Rows::new(3, vec![vec![Some(1.0), None, None]]);
        let classifiers = Classifiers::new([("m0", &RIGHT as &dyn Classify)]).expect("one");
        let config = CoherenceConfig::default();
        let error = coherence(&model, &none, &classifiers, &config, &device, &|_| {});
        assert!(matches!(error, Err(MetricsError::NoLabels { .. })));
        assert!(Classifiers::new([]).is_err());
        let twice: [(&str, &dyn Classify); 2] = [("m0", &RIGHT), ("m0", &RIGHT)];
        assert!(Classifiers::new(twice).is_err());
    }
}
