//! How well clusters of latent values are classes.

use std::collections::BTreeMap;

use burn::tensor::Device;
use linfa::{
    DatasetBase,
    traits::{Fit, Predict},
};
use linfa_clustering::KMeans;
use multivae_core::{
    dataset::Dataset,
    model::Encode,
    pass::{Pass, Table},
    subset::Subset,
};
use ndarray_linfa::{Array2, Axis};
use ndarray_rand::rand::{SeedableRng, rngs::StdRng};
use pathfinding::prelude::{Matrix, kuhn_munkres};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    MetricsError,
    entry::{Entries, Entry},
    evaluate::{check, within},
    mean::{Mean, Running},
    reconstruction::PosteriorValue,
    rows::{Chosen, at_least, classes},
};

/// Iterations stop when centres move by less than the root of this share of the features' mean
/// variance, as in scikit-learn.
const TOLERANCE: f64 = 1e-4;

/// How latent values are clustered.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `batch_size` | 256 | rows at once | at least 1 |
/// | `seed` | 0 | what samples and first centres derive from | |
/// | `given` | none | the modalities that the posterior is given; none for all that a row observes | |
/// | `space` | `shared` | the latent space; `shared` for all levels of the shared one together | |
/// | `posterior` | `mean` | what of a posterior is clustered: its `mean`, or one `sample` | |
/// | `clusters` | none | number of clusters; none for the number of classes | at least 1 |
/// | `runs` | 20 | independent fits | at least 1 |
/// | `starts` | 1 | first centres that a run tries, of which it takes the best fit | at least 1 |
/// | `iterations` | 300 | most iterations of a fit | at least 1 |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusteringConfig {
    /// Rows at once, at least 1. The result does not depend on it.
    pub batch_size: usize,
    /// What samples and first centres derive from.
    pub seed: u64,
    /// The modalities that the posterior is given, where only rows count that observe them all;
    /// none for all that a row observes.
    pub given: Vec<String>,
    /// The latent space, named as by [`Latent::spaces`](multivae_core::model::Latent::spaces);
    /// `shared` for all levels of the shared one together.
    pub space: String,
    /// What of a posterior is clustered.
    pub posterior: PosteriorValue,
    /// Number of clusters, at least 1; none for the number of classes of the training rows.
    pub clusters: Option<usize>,
    /// Independent fits, at least 1.
    pub runs: usize,
    /// First centres that a run tries, of which it takes the best fit, at least 1.
    pub starts: usize,
    /// Most iterations of a fit, at least 1.
    pub iterations: usize,
}

impl Default for ClusteringConfig {
    fn default() -> Self {
        Self {
            batch_size: 256,
            seed: 0,
            given: Vec::new(),
            space: "shared".to_owned(),
            posterior: PosteriorValue::default(),
            clusters: None,
            runs: 20,
            starts: 1,
            iterations: 300,
        }
    }
}

/// How well k-means on latent values of training rows finds the classes of test rows.
///
/// Means are over runs, and their standard errors tell of the first centres only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clustering {
    /// The modalities that the posterior was given; none for all that a row observes.
    pub given: Vec<String>,
    /// The latent space.
    pub space: String,
    /// Number of clusters.
    pub clusters: usize,
    /// Number of runs.
    pub runs: usize,
    /// Training rows that the clusters are from.
    pub train_rows: usize,
    /// Test rows with a label, on which they are measured.
    pub rows: usize,
    /// Share of the test rows whose label is the most frequent one among the training rows of
    /// their cluster. Several clusters may have the same label: more clusters never hurt.
    pub majority_accuracy: Mean,
    /// See [`ClusterScores::accuracy`].
    pub accuracy: Mean,
    /// See [`ClusterScores::mutual_information`].
    pub mutual_information: Mean,
    /// See [`ClusterScores::adjusted_rand_index`].
    pub adjusted_rand_index: Mean,
}

impl Entries for Clustering {
    fn entries(&self) -> Vec<Entry> {
        let measures = [
            ("majority_accuracy", self.majority_accuracy),
            ("accuracy", self.accuracy),
            ("normalized_mutual_information", self.mutual_information),
            ("adjusted_rand_index", self.adjusted_rand_index),
        ];
        let entry = |(measure, mean): (&str, Mean)| {
            let entry = Entry::new("clustering", measure, mean, self.runs);
            entry.given(&self.given).target(&self.space)
        };
        measures.into_iter().map(entry).collect()
    }
}

/// How well clusters are classes; each at most 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterScores {
    /// Number of rows.
    pub rows: usize,
    /// Number of classes among them.
    pub classes: usize,
    /// Number of clusters that have a row.
    pub clusters: usize,
    /// Share of the rows whose cluster is assigned to their class, in the assignment of clusters
    /// to classes, one to one, that has most of them.
    pub accuracy: f64,
    /// Mutual information of cluster and class over the mean of their entropies, at least 0.
    pub mutual_information: f64,
    /// Share of pairs of rows on which clusters and classes agree, adjusted so that chance has 0
    /// (Hubert and Arabie 1985).
    pub adjusted_rand_index: f64,
}

impl ClusterScores {
    /// Its numbers as rows of a table, about what has assigned the clusters, such as `cmvae`.
    pub fn entries(&self, target: &str) -> Vec<Entry> {
        let share = |count: f64| Mean {
            mean: count,
            standard_error: (count * (1.0 - count) / self.rows as f64).sqrt(),
        };
        let entry =
            |measure, mean| Entry::new("clustering", measure, mean, self.rows).target(target);
        let exact = |measure, value| Entry {
            standard_error: None,
            ..entry(measure, Mean { mean: value, standard_error: 0.0 })
        };
        vec![
            entry("accuracy", share(self.accuracy)),
            exact("normalized_mutual_information", self.mutual_information),
            exact("adjusted_rand_index", self.adjusted_rand_index),
        ]
    }
}

/// Scores clusters by the labels of their rows.
///
/// # Panics
///
/// If there are no rows, or the lengths differ.
pub fn score_clusters(labels: &[i64], assigned: &[usize]) -> ClusterScores {
    assert_eq!(labels.len(), assigned.len(), "every row has a label and a cluster");
    assert!(!labels.is_empty(), "there are rows");
    let table = Contingency::new(labels, assigned);
    ClusterScores {
        rows: labels.len(),
        classes: table.classes.len(),
        clusters: table.counts.len(),
        accuracy: table.assigned() as f64 / labels.len() as f64,
        mutual_information: table.mutual_information(),
        adjusted_rand_index: table.adjusted_rand_index(),
    }
}

/// How many rows of each cluster have each label.
struct Contingency {
    /// The labels, ascending.
    classes: Vec<i64>,
    /// Rows by cluster that has any, and by class.
    counts: BTreeMap<usize, Vec<i64>>,
}

impl Contingency {
    fn new(labels: &[i64], assigned: &[usize]) -> Self {
        let classes = classes(labels.iter().copied());
        let mut counts = BTreeMap::new();
        for (label, &cluster) in labels.iter().zip(assigned) {
            let row = counts.entry(cluster).or_insert_with(|| vec![0; classes.len()]);
            row[classes.binary_search(label).expect("one of the labels")] += 1;
        }
        Self { classes, counts }
    }

    /// The most frequent label of each cluster, of equally frequent ones the smallest.
    fn majorities(&self) -> BTreeMap<usize, i64> {
        let majority = |counts: &Vec<i64>| {
            let most = counts.iter().max().expect("a cluster has rows");
            self.classes[counts.iter().position(|count| count == most).expect("it is there")]
        };
        self.counts.iter().map(|(&cluster, counts)| (cluster, majority(counts))).collect()
    }

    /// Rows in the class of their cluster, in the best assignment of clusters to classes.
    fn assigned(&self) -> i64 {
        let rows = self.counts.values().cloned();
        let weights = Matrix::from_rows(rows).expect("every cluster has a count for each class");
        let wide = weights.rows <= weights.columns;
        kuhn_munkres(&if wide { weights } else { weights.transposed() }).0
    }

    /// Rows of each cluster, and of each class.
    fn sums(&self) -> [Vec<f64>; 2] {
        let mut classes = vec![0.0; self.classes.len()];
        let mut clusters = Vec::new();
        for counts in self.counts.values() {
            clusters.push(counts.iter().sum::<i64>() as f64);
            for (class, &count) in classes.iter_mut().zip(counts) {
                *class += count as f64;
            }
        }
        [clusters, classes]
    }

    /// Over the mean of the entropies; 1 if there is one cluster and one class.
    fn mutual_information(&self) -> f64 {
        let [clusters, classes] = self.sums();
        let rows: f64 = clusters.iter().sum();
        let entropy =
            |sums: &[f64]| -> f64 { sums.iter().map(|sum| -sum / rows * (sum / rows).ln()).sum() };
        let mean = (entropy(&clusters) + entropy(&classes)) / 2.0;
        if mean == 0.0 {
            return 1.0;
        }
        let mut information = 0.0;
        for (counts, cluster) in self.counts.values().zip(&clusters) {
            for (&count, class) in counts.iter().zip(&classes).filter(|(count, _)| **count > 0) {
                let count = count as f64;
                information += count / rows * (count * rows / (cluster * class)).ln();
            }
        }
        (information / mean).clamp(0.0, 1.0)
    }

    /// 1 if there is one cluster and one class.
    fn adjusted_rand_index(&self) -> f64 {
        let pairs = |counts: &mut dyn Iterator<Item = f64>| -> f64 {
            counts.map(|count| count * (count - 1.0) / 2.0).sum()
        };
        let [clusters, classes] = self.sums();
        let rows: f64 = clusters.iter().sum();
        let together = pairs(&mut self.counts.values().flatten().map(|&count| count as f64));
        let [clusters, classes] = [clusters, classes].map(|sums| pairs(&mut sums.into_iter()));
        let chance = clusters * classes / pairs(&mut [rows].into_iter());
        let most = (clusters + classes) / 2.0;
        // Both partitions are trivial, and the same: one cluster, or one for each row.
        if most - chance == 0.0 || rows == 1.0 {
            return 1.0;
        }
        (together - chance) / (most - chance)
    }
}

/// Clusters the latent values of training rows by k-means, and measures the clusters on test rows.
///
/// Centres are found by k-means++ and Lloyd's iterations, from the seed and the number of the run.
/// Where all latent values are the same there is but one cluster that has rows.
///
/// # Errors
///
/// [`MetricsError::Config`] for a number out of its range, or more clusters than training rows;
/// [`MetricsError::Modality`] and [`MetricsError::Space`] for what the model does not have,
/// [`MetricsError::NoLabels`] if no row of a set counts and has a label,
/// [`MetricsError::NoRows`], [`MetricsError::Modalities`], [`MetricsError::Pass`],
/// [`MetricsError::NotFinite`] for a latent value that is infinite or undefined.
pub fn clustering(
    model: &dyn Encode,
    train: &dyn Dataset,
    test: &dyn Dataset,
    config: &ClusteringConfig,
    device: &Device,
) -> Result<Clustering, MetricsError> {
    let numbers = [
        ("batch_size", config.batch_size),
        ("clusters", config.clusters.unwrap_or(1)),
        ("runs", config.runs),
        ("starts", config.starts),
        ("iterations", config.iterations),
    ];
    at_least(1, &numbers)?;
    let train = Points::new(model, train, config, device)?;
    let test = Points::new(model, test, config, device)?;
    let (labels, known) = train.labelled();
    let (test_labels, test_known) = test.labelled();
    for (which, labels) in [("training", &labels), ("test", &test_labels)] {
        if labels.is_empty() {
            return Err(MetricsError::NoLabels { which });
        }
    }
    let clusters = config.clusters.unwrap_or(classes(labels.iter().copied()).len());
    let train_rows = train.values.nrows();
    if clusters > train_rows {
        let expected = "no more clusters than training rows";
        return Err(MetricsError::Config { field: "clusters", expected, found: clusters });
    }
    let variance = train.values.var_axis(Axis(0), 0.0).mean().unwrap_or(0.0);
    let records = DatasetBase::from(train.values.view());
    let runs: Vec<(f64, ClusterScores)> = (0..config.runs as u64)
        .into_par_iter()
        .map(|run| {
            let seed = config.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(run);
            let fit = KMeans::params_with_rng(clusters, StdRng::seed_from_u64(seed))
                .n_runs(config.starts)
                .max_n_iterations(config.iterations as u64)
                .tolerance((TOLERANCE * variance).sqrt().max(f64::MIN_POSITIVE))
                .fit(&records)
                .expect("parameters are in range, and values are finite");
            let of = |values: &Array2<f64>, known: &[usize]| -> Vec<usize> {
                let assigned = fit.predict(values);
                known.iter().map(|&row| assigned[row]).collect()
            };
            let majorities = Contingency::new(&labels, &of(&train.values, &known)).majorities();
            let assigned = of(&test.values, &test_known);
            let right = assigned.iter().zip(&test_labels);
            let right = right.filter(|(cluster, label)| majorities.get(cluster) == Some(label));
            let share = right.count() as f64 / test_labels.len() as f64;
            (share, score_clusters(&test_labels, &assigned))
        })
        .collect();
    let mean = |of: fn(&(f64, ClusterScores)) -> f64| {
        let mut sum = Running::default();
        runs.iter().for_each(|run| sum.push(of(run)));
        sum.finish().expect("at least one run")
    };
    Ok(Clustering {
        given: config.given.clone(),
        space: config.space.clone(),
        clusters,
        runs: config.runs,
        train_rows,
        rows: test_labels.len(),
        majority_accuracy: mean(|run| run.0),
        accuracy: mean(|run| run.1.accuracy),
        mutual_information: mean(|run| run.1.mutual_information),
        adjusted_rand_index: mean(|run| run.1.adjusted_rand_index),
    })
}

/// Latent values of the rows that count, with their labels.
struct Points {
    /// `[rows, features]`.
    values: Array2<f64>,
    labels: Vec<Option<i64>>,
}

impl Points {
    fn new(
        model: &dyn Encode,
        data: &dyn Dataset,
        config: &ClusteringConfig,
        device: &Device,
    ) -> Result<Self, MetricsError> {
        let specs = model.modalities();
        check(specs, data)?;
        let all = Subset::full(specs.len());
        let (given, needed) = match config.given.as_slice() {
            [] => (all, model.conditions()),
            names => {
                let given = Subset::named(specs, names.iter().map(String::as_str))?;
                let conditions = model.conditions().unwrap_or(given);
                (given.union(conditions), Some(given.union(conditions)))
            }
        };
        let counts = |row: usize| needed.is_none_or(|needed| within(needed, data.presence(row)));
        let data = Chosen::new(data, (0..data.len()).filter(|&row| counts(row)).collect());
        if data.is_empty() {
            return Ok(Self { values: Array2::zeros((0, 0)), labels: Vec::new() });
        }
        let pass = Pass { batch_size: config.batch_size, seed: config.seed };
        let tables = pass.encode(model, &data, given, config.posterior.draws(), device)?;
        let private = |name: &str| specs.iter().any(|spec| name == format!("z_{}", spec.name));
        let wanted = |table: &&Table| match config.space.as_str() {
            "shared" => !private(&table.name),
            space => table.name == space,
        };
        let chosen: Vec<&Table> = tables.iter().filter(wanted).collect();
        if chosen.is_empty() {
            let known = tables.iter().map(|table| format!("`{}`", table.name));
            return Err(MetricsError::Space {
                space: config.space.clone(),
                known: known.collect::<Vec<_>>().join(", "),
            });
        }
        let mut values = Vec::new();
        for row in 0..data.len() {
            for table in &chosen {
                let part = &table.values[row * table.features..][..table.features];
                if let Some(&value) = part.iter().find(|value| !value.is_finite()) {
                    let what = format!("latent value `{}`", table.name);
                    let (row, value) = (data.number(row), value.into());
                    return Err(MetricsError::NotFinite { what, row, value });
                }
                values.extend(part.iter().copied().map(f64::from));
            }
        }
        let features = chosen.iter().map(|table| table.features).sum();
        let values = Array2::from_shape_vec((data.len(), features), values)
            .expect("every row has every feature");
        Ok(Self { values, labels: (0..data.len()).map(|row| data.label(row)).collect() })
    }

    /// The labels, and the points that have them.
    fn labelled(&self) -> (Vec<i64>, Vec<usize>) {
        let labelled = self.labels.iter().enumerate();
        labelled.filter_map(|(point, label)| Some(((*label)?, point))).unzip()
    }
}

#[cfg(test)]
mod tests {
    use multivae_core::{batch::Batch, dataset::DatasetError, modality::ModalitySpec};
    use multivae_testkit::{LinearGaussian, Rows};

    use super::*;

    /// Rows with labels.
    struct Labelled(Rows, Vec<Option<i64>>);

    impl Dataset for Labelled {
        fn modalities(&self) -> &[ModalitySpec] {
            self.0.modalities()
        }

        fn len(&self) -> usize {
            self.0.len()
        }

        fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
            self.0.batch(rows, device)
        }

        fn presence(&self, row: usize) -> Subset {
            self.0.presence(row)
        }

        fn label(&self, row: usize) -> Option<i64> {
            self.1[row]
        }
    }

    /// Three groups far from each other, the first two of one class.
    fn rows(labelled: bool) -> Labelled {
        let group = |row: usize| (row % 3) as f32 * 10.0 + row as f32 / 100.0;
        let cells = (0..30).map(|row| vec![Some(group(row)), (row > 2).then(|| group(row))]);
        let labels = (0..30).map(|row| labelled.then_some(i64::from(row % 3 == 2)));
        Labelled(Rows::new(2, cells.collect()), labels.collect())
    }

    fn of(data: &Labelled, config: &ClusteringConfig) -> Result<Clustering, MetricsError> {
        let device = Device::flex();
        let model = LinearGaussian::new(0.8, data.modalities(), &device);
        clustering(&model, data, data, config, &device)
    }

    #[test]
    fn separate_groups_are_found_and_counted_by_majority_and_by_assignment() {
        let data = rows(true);
        let config = ClusteringConfig { clusters: Some(3), starts: 10, ..Default::default() };
        // Rows 0 to 2 miss a modality, which moves their posterior: all others are given both.
        let config = ClusteringConfig { given: vec!["m0".into(), "m1".into()], ..config };
        let found = of(&data, &config).expect("valid");
        assert_eq!((found.train_rows, found.rows, found.runs, found.clusters), (27, 27, 20, 3));
        assert_eq!(found.majority_accuracy, Mean { mean: 1.0, standard_error: 0.0 });
        // One of the first two groups goes without a class.
        assert!((found.accuracy.mean - 2.0 / 3.0).abs() < 1e-12, "{found:?}");
        assert_eq!(of(&data, &config).expect("valid"), found);
        let fewer = of(&data, &ClusteringConfig { clusters: Some(1), ..config }).expect("valid");
        assert!((fewer.majority_accuracy.mean - 2.0 / 3.0).abs() < 1e-12, "{fewer:?}");
        assert_eq!(fewer.mutual_information.mean, 0.0);
    }

    #[test]
    fn without_given_modalities_every_row_counts_with_what_it_observes() {
        let found = of(&rows(true), &ClusteringConfig::default()).expect("valid");
        assert_eq!((found.rows, found.clusters), (30, 2));
    }

    #[test]
    fn equal_latent_values_make_one_cluster() {
        let cells = (0..6).map(|_| vec![Some(1.0)]).collect();
        let data = Labelled(Rows::new(1, cells), (0..6).map(|row| Some(row % 2)).collect());
        let found = of(&data, &ClusteringConfig::default()).expect("valid");
        assert_eq!((found.accuracy.mean, found.mutual_information.mean), (0.5, 0.0));
    }

    #[test]
    fn what_is_not_there_is_an_error_by_its_name() {
        let error = |data: &Labelled, config: ClusteringConfig| {
            of(data, &config).expect_err("something is not there").to_string()
        };
        let found = error(&rows(false), ClusteringConfig::default());
        assert!(found.contains("label"), "{found}");
        // No row observes both.
        let apart = Rows::new(2, vec![vec![Some(1.0), None], vec![None, Some(1.0)]]);
        let both = vec!["m0".into(), "m1".into()];
        let config = ClusteringConfig { given: both, ..Default::default() };
        let found = error(&Labelled(apart, vec![Some(0), Some(1)]), config);
        assert!(found.contains("label"), "{found}");
        let config = ClusteringConfig { space: "z_m0".into(), ..Default::default() };
        let found = error(&rows(true), config);
        assert!(found.contains("`z_m0`") && found.contains("`z`"), "{found}");
        let config = ClusteringConfig { given: vec!["m7".into()], ..Default::default() };
        assert!(error(&rows(true), config).contains("`m7`"));
        let config = ClusteringConfig { clusters: Some(31), ..Default::default() };
        assert!(error(&rows(true), config).contains("`clusters`"));
    }

    #[test]
    fn more_clusters_than_classes_and_fewer_are_assigned_one_to_one() {
        let labels = [5, 5, 5, 9, 9, 9];
        assert_eq!(score_clusters(&labels, &[0, 0, 1, 2, 2, 2]).accuracy, 5.0 / 6.0);
        assert_eq!(score_clusters(&labels, &[3; 6]).accuracy, 0.5);
        assert_eq!(score_clusters(&labels, &[1, 1, 1, 0, 0, 0]).accuracy, 1.0);
    }

    #[test]
    fn trivial_partitions_agree_with_themselves() {
        let one = score_clusters(&[4, 4, 4], &[1, 1, 1]);
        assert_eq!((one.mutual_information, one.adjusted_rand_index), (1.0, 1.0));
        let each = score_clusters(&[1, 2, 3], &[2, 0, 1]);
        assert_eq!((each.mutual_information, each.adjusted_rand_index), (1.0, 1.0));
    }
}
