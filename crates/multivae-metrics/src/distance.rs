//! Distances between two sets of features: Fréchet, kernel, precision and recall.

use faer::{Accum, Mat, MatRef, Par, Side, linalg::matmul::matmul};
use ndarray_rand::rand::{SeedableRng, rngs::StdRng, seq::index};
use rayon::prelude::*;

use crate::mean::{Mean, Running};

/// Rows that are taken in at once, and rows of which distances to all others are held at once.
const BLOCK: usize = 256;

/// Features of the rows of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureSet {
    features: usize,
    values: Vec<f32>,
}

impl FeatureSet {
    /// No rows of so many features.
    ///
    /// # Panics
    ///
    /// If there are no features.
    pub fn new(features: usize) -> Self {
        assert!(features > 0, "a row has features");
        Self { features, values: Vec::new() }
    }

    /// Adds rows, `[rows, features]`, one after the other.
    ///
    /// # Panics
    ///
    /// If the last row is not whole.
    pub fn push(&mut self, rows: &[f32]) {
        assert_eq!(rows.len() % self.features, 0, "rows are whole");
        self.values.extend_from_slice(rows);
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.features
    }

    /// Features of a row.
    pub fn features(&self) -> usize {
        self.features
    }

    /// A row's features.
    ///
    /// # Panics
    ///
    /// If there are fewer rows.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.features..][..self.features]
    }

    /// Some rows in f64, `[rows, features]`.
    fn matrix(&self, rows: &[usize]) -> Mat<f64> {
        Mat::from_fn(rows.len(), self.features, |i, j| self.row(rows[i])[j].into())
    }

    fn whole(&self) -> Mat<f64> {
        self.matrix(&(0..self.rows()).collect::<Vec<_>>())
    }
}

/// Mean and covariance of rows that come one after the other, in f64.
#[derive(Clone, Debug)]
pub struct Moments {
    rows: usize,
    /// What is taken from every row so that no digits are lost: the mean of the first ones.
    shift: Vec<f64>,
    sum: Vec<f64>,
    products: Mat<f64>,
}

impl Moments {
    /// Of no rows of so many features.
    pub fn new(features: usize) -> Self {
        Self {
            rows: 0,
            shift: Vec::new(),
            sum: vec![0.0; features],
            products: Mat::zeros(features, features),
        }
    }

    /// Of all rows of a set.
    pub fn of(set: &FeatureSet) -> Self {
        let mut moments = Self::new(set.features);
        moments.push(&set.values);
        moments
    }

    /// Takes rows in, `[rows, features]`, one after the other.
    ///
    /// # Panics
    ///
    /// If the last row is not whole.
    pub fn push(&mut self, rows: &[f32]) {
        let features = self.sum.len();
        assert_eq!(rows.len() % features, 0, "rows are whole");
        for block in rows.chunks(BLOCK * features) {
            let count = block.len() / features;
            let value = |i: usize, j: usize| f64::from(block[i * features + j]);
            if self.shift.is_empty() {
                let mean = |j| (0..count).map(|i| value(i, j)).sum::<f64>() / count as f64;
                self.shift = (0..features).map(mean).collect();
            }
            let shifted = Mat::from_fn(count, features, |i, j| value(i, j) - self.shift[j]);
            for (j, sum) in self.sum.iter_mut().enumerate() {
                *sum += shifted.col(j).iter().sum::<f64>();
            }
            let transposed = shifted.transpose();
            matmul(self.products.as_mut(), Accum::Add, transposed, &shifted, 1.0, Par::Seq);
            self.rows += count;
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The mean.
    pub(crate) fn mean(&self) -> Vec<f64> {
        let sums = self.sum.iter().zip(&self.shift);
        sums.map(|(sum, shift)| sum / self.rows as f64 + shift).collect()
    }

    /// The unbiased covariance.
    pub(crate) fn covariance(&self) -> Mat<f64> {
        let n = self.rows as f64;
        let features = self.sum.len();
        Mat::from_fn(features, features, |i, j| {
            (self.products[(i, j)] - self.sum[i] * self.sum[j] / n) / (n - 1.0)
        })
    }
}

/// The Fréchet distance from one set of features, of which all that it takes is worked out once.
///
/// Between normal distributions with the moments of both sets it is
///
/// ```text
/// |μ1 - μ2|² + tr(Σ1) + tr(Σ2) - 2 tr((Σ1 Σ2)^½)
/// ```
///
/// The trace of the root is the sum of the roots of the eigenvalues of `Σ1^½ Σ2 Σ1^½`, which is
/// symmetric; eigenvalues below 0, which are rounding errors, count as 0. (Heusel, Ramsauer,
/// Unterthiner, Nessler and Hochreiter 2017.)
///
/// It is larger the fewer rows there are, and can be compared for equal numbers of rows only.
#[derive(Clone, Debug)]
pub struct Frechet {
    mean: Vec<f64>,
    trace: f64,
    root: Mat<f64>,
}

impl Frechet {
    /// From the set with these moments.
    ///
    /// # Panics
    ///
    /// If they are of fewer than 2 rows, or of values that are not finite.
    pub fn from(moments: &Moments) -> Self {
        assert!(moments.rows > 1, "a covariance takes 2 rows");
        let covariance = moments.covariance();
        let features = covariance.nrows();
        let eigen = covariance.self_adjoint_eigen(Side::Lower).expect("values are finite");
        let (vectors, values) = (eigen.U(), eigen.S().column_vector());
        let scaled =
            Mat::from_fn(features, features, |i, j| vectors[(i, j)] * values[j].max(0.0).sqrt());
        let root = &scaled * vectors.transpose();
        Self { mean: moments.mean(), trace: trace(covariance.as_ref()), root }
    }

    /// To the set with these moments, at least 0.
    ///
    /// # Panics
    ///
    /// As [`Frechet::from`], or if the number of features differs.
    pub fn distance(&self, moments: &Moments) -> f64 {
        assert!(moments.rows > 1, "a covariance takes 2 rows");
        assert_eq!(self.mean.len(), moments.sum.len(), "both have the same features");
        let covariance = moments.covariance();
        let product = &self.root * &covariance * &self.root;
        let values = product.self_adjoint_eigenvalues(Side::Lower).expect("values are finite");
        let root: f64 = values.into_iter().map(|value| value.max(0.0).sqrt()).sum();
        let means = self.mean.iter().zip(moments.mean());
        let apart: f64 = means.map(|(a, b)| (a - b).powi(2)).sum();
        (apart + self.trace + trace(covariance.as_ref()) - 2.0 * root).max(0.0)
    }
}

fn trace(matrix: MatRef<'_, f64>) -> f64 {
    (0..matrix.nrows()).map(|i| matrix[(i, i)]).sum()
}

/// The kernel distance of two sets: the squared maximum mean discrepancy under the kernel
/// `(x y / features + 1)³`, unbiased, as the mean over random subsets of both. About 0 for sets of
/// one distribution, for any number of rows; it can be below 0.
///
/// `size` is the number of rows of a subset, at most that of the smaller set. Where it is that of
/// both sets one subset is all that there is. The standard error takes as many subsets to be
/// independent as do not overlap. (Bińkowski, Sutherland, Arbel and Gretton 2018.)
///
/// # Panics
///
/// If a set has fewer than 2 rows, the number of features differs, or `subsets` is 0.
pub fn kernel_distance(
    first: &FeatureSet,
    second: &FeatureSet,
    subsets: usize,
    size: usize,
    seed: u64,
) -> Mean {
    assert_eq!(first.features, second.features, "both have the same features");
    assert!(subsets > 0, "there is a subset");
    let (rows, other) = (first.rows(), second.rows());
    let size = size.min(rows).min(other);
    assert!(size > 1, "a subset has at least 2 rows");
    let subsets = if size == rows && size == other { 1 } else { subsets };
    let mut rng = StdRng::seed_from_u64(seed);
    // Drawn one after the other, so that they depend on the seed alone.
    let chosen: Vec<_> = (0..subsets)
        .map(|_| [rows, other].map(|rows| index::sample(&mut rng, rows, size).into_vec()))
        .collect();
    let distances: Vec<f64> =
        chosen.par_iter().map(|[a, b]| discrepancy(&first.matrix(a), &second.matrix(b))).collect();
    let mut sum = Running::default();
    distances.into_iter().for_each(|distance| sum.push(distance));
    let mean = sum.finish().expect("there is a subset");
    let apart = (rows.min(other) / size).clamp(1, subsets) as f64;
    Mean { standard_error: mean.standard_error * (subsets as f64 / apart).sqrt(), ..mean }
}

/// The unbiased squared discrepancy of two sets of equal size, `[rows, features]`.
fn discrepancy(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    let (rows, features) = (a.nrows(), a.ncols() as f64);
    let kernel = |x: &Mat<f64>, y: &Mat<f64>, same: bool| -> f64 {
        let products = x * y.transpose();
        let value = |i: usize, j: usize| (products[(i, j)] / features + 1.0).powi(3);
        let column = |j: usize| -> f64 {
            (0..rows).filter(|&i| !(same && i == j)).map(|i| value(i, j)).sum()
        };
        (0..rows).map(column).sum()
    };
    let n = rows as f64;
    (kernel(a, a, true) + kernel(b, b, true)) / (n * (n - 1.0))
        - 2.0 * kernel(a, b, false) / (n * n)
}

/// How much of one set lies where the other one is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionRecall {
    /// Share of the generated rows that lie where observed ones are: quality.
    pub precision: Mean,
    /// Share of the observed rows that lie where generated ones are: diversity.
    pub recall: Mean,
}

/// Precision and recall of a generated set against an observed one.
///
/// A set is where one of its rows is no farther than from its `neighbours`-th nearest row of the
/// set. (Kynkäänniemi, Karras, Laine, Lehtinen and Aila 2019.)
///
/// # Panics
///
/// If `neighbours` is 0, a set has no more rows than that, or the number of features differs.
pub fn precision_recall(
    observed: &FeatureSet,
    generated: &FeatureSet,
    neighbours: usize,
) -> PrecisionRecall {
    assert_eq!(observed.features, generated.features, "both have the same features");
    let [observed, generated] =
        [observed, generated].map(|set| Neighbourhood::new(set, neighbours));
    PrecisionRecall {
        precision: observed.share_of(&generated),
        recall: generated.share_of(&observed),
    }
}

/// Where a set is.
struct Neighbourhood {
    rows: Mat<f64>,
    norms: Vec<f64>,
    /// Squared distance of each row to its last neighbour.
    radii: Vec<f64>,
}

impl Neighbourhood {
    fn new(set: &FeatureSet, neighbours: usize) -> Self {
        assert!(neighbours > 0, "there is a neighbour");
        assert!(set.rows() > neighbours, "a set has more than {neighbours} rows");
        let rows = set.whole();
        let norms = (0..rows.nrows()).map(|i| rows.row(i).squared_norm_l2()).collect();
        let mut of = Self { rows, norms, radii: Vec::new() };
        of.radii = of.of_all_rows(&of, |row, distances| {
            // The row itself is none of its neighbours.
            distances.swap_remove(row);
            *distances.select_nth_unstable_by(neighbours - 1, f64::total_cmp).1
        });
        of
    }

    /// The share of the rows of another set that lie where this one is.
    fn share_of(&self, other: &Self) -> Mean {
        let within = other.of_all_rows(self, |_, distances| {
            distances.iter().zip(&self.radii).any(|(distance, radius)| distance <= radius)
        });
        let mut sum = Running::default();
        within.into_iter().for_each(|within| sum.push(f64::from(u8::from(within))));
        sum.finish().expect("a set has rows")
    }

    /// What a function makes of each row's squared distances to all rows of another set.
    fn of_all_rows<T: Send>(
        &self,
        other: &Self,
        of: impl Fn(usize, &mut Vec<f64>) -> T + Sync,
    ) -> Vec<T> {
        let count = self.rows.nrows();
        let starts: Vec<usize> = (0..count).step_by(BLOCK).collect();
        let blocks = starts.into_par_iter().map(|start| {
            let size = BLOCK.min(count - start);
            let products = &other.rows * self.rows.subrows(start, size).transpose();
            let row = |i: usize| {
                let product = products.col(i).iter().zip(&other.norms);
                let norm = self.norms[start + i];
                let mut distances = product
                    .map(|(product, other)| (norm + other - 2.0 * product).max(0.0))
                    .collect();
                of(start + i, &mut distances)
            };
            (0..size).map(row).collect::<Vec<T>>()
        });
        blocks.collect::<Vec<_>>().into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(features: usize, rows: &[f32]) -> FeatureSet {
        let mut set = FeatureSet::new(features);
        set.push(rows);
        set
    }

    /// Rows on a line, evenly apart.
    fn line(rows: usize, from: f32, step: f32) -> FeatureSet {
        set(1, &(0..rows).map(|i| from + step * i as f32).collect::<Vec<_>>())
    }

    fn frechet(a: &FeatureSet, b: &FeatureSet) -> f64 {
        Frechet::from(&Moments::of(a)).distance(&Moments::of(b))
    }

    #[test]
    fn in_one_dimension_the_frechet_distance_is_that_of_means_and_deviations() {
        // Deviations of 0, 1, ..., 9 and of twice that are s and 2 s; means 4.5 and 109.
        let (a, b) = (line(10, 0.0, 1.0), line(10, 100.0, 2.0));
        let s = (82.5_f64 / 9.0).sqrt();
        let expected = (109.0_f64 - 4.5).powi(2) + s * s;
        assert!((frechet(&a, &b) - expected).abs() < 1e-9 * expected);
        assert!(frechet(&a, &a) < 1e-12);
    }

    #[test]
    fn moments_in_blocks_are_those_of_all_rows_also_far_from_zero() {
        let values: Vec<f32> = (0..2000).map(|i| 1e4 + ((i * 37) % 101) as f32).collect();
        let whole = Moments::of(&set(2, &values));
        let mut parts = Moments::new(2);
        values.chunks(2 * 7).for_each(|part| parts.push(part));
        assert_eq!(parts.rows(), 1000);
        let shifted: Vec<f32> = values.iter().map(|value| value - 1e4).collect();
        let near = Moments::of(&set(2, &shifted)).covariance();
        for moments in [whole, parts] {
            let covariance = moments.covariance();
            for (i, j) in [(0, 0), (0, 1), (1, 1)] {
                let (found, expected) = (covariance[(i, j)], near[(i, j)]);
                assert!((found - expected).abs() < 1e-9 * near[(0, 0)], "{found} {expected}");
            }
        }
    }

    #[test]
    fn sets_with_fewer_rows_than_features_have_a_distance() {
        let a = set(4, &[1.0, 2.0, 3.0, 4.0, 2.0, 2.0, 3.0, 4.0]);
        let b = set(4, &[0.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
        assert!((frechet(&a, &b) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn kernel_distances_are_about_zero_within_a_distribution_and_above_between_two() {
        let (even, odd) = (line(200, 0.0, 0.02), line(200, 0.01, 0.02));
        let same = kernel_distance(&even, &odd, 10, 100, 0);
        let apart = kernel_distance(&even, &line(200, 2.0, 0.02), 10, 100, 0);
        assert!(same.mean.abs() < 3.0 && apart.mean > 100.0, "{same:?} {apart:?}");
        assert!(same.standard_error > 0.0);
        assert_eq!(kernel_distance(&even, &odd, 10, 100, 0), same);
        assert_ne!(kernel_distance(&even, &odd, 10, 100, 1), same);
        // More rows than there are: all of them, once.
        assert_eq!(kernel_distance(&even, &odd, 10, 300, 1).standard_error, 0.0);
    }

    #[test]
    fn precision_tells_of_quality_and_recall_of_diversity() {
        let observed = line(100, 0.0, 1.0);
        // All within a tenth of the observed.
        let narrow = precision_recall(&observed, &line(100, 0.0, 0.1), 3);
        assert_eq!(narrow.precision.mean, 1.0);
        assert!((narrow.recall.mean - 0.1).abs() < 0.02, "{narrow:?}");
        // Half of it beyond.
        let beyond = precision_recall(&observed, &line(100, 50.0, 1.0), 1);
        assert!((beyond.precision.mean - 0.51).abs() < 1e-9, "{beyond:?}");
        assert!((beyond.recall.mean - 0.51).abs() < 1e-9, "{beyond:?}");
        assert!((beyond.recall.standard_error - 0.05).abs() < 1e-3);
    }
}
