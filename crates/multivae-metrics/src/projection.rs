//! Latent values in few dimensions, to be looked at.

use faer::Side;
use ndarray_rand::rand::{Rng, SeedableRng, rngs::StdRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{MetricsError, distance::Moments, rows::at_least};

/// Principal components of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct PrincipalComponents {
    /// What is subtracted from a row first, `[features]`.
    pub mean: Vec<f64>,
    /// Directions of unit length, those of most variance first, `[dimensions, features]`. Of each
    /// the entry of largest size is positive.
    pub directions: Vec<Vec<f64>>,
    /// The rows along them, `[rows, dimensions]`.
    pub rows: Vec<Vec<f64>>,
    /// Share of the whole variance along each; 0 where there is no variance.
    pub explained: Vec<f64>,
}

/// The principal components of rows `[rows, features]`, at most as many dimensions as there are
/// features.
///
/// # Errors
///
/// [`MetricsError::NotFinite`] with the first row that has an infinite or undefined value,
/// [`MetricsError::TooFewRows`] for fewer than 2.
///
/// # Panics
///
/// If there are no features, or the last row is not whole.
pub fn principal_components(
    values: &[f32],
    features: usize,
    dimensions: usize,
) -> Result<PrincipalComponents, MetricsError> {
    check(values, features, 2)?;
    let mut moments = Moments::new(features);
    moments.push(values);
    let (mean, covariance) = (moments.mean(), moments.covariance());
    let eigen = covariance.self_adjoint_eigen(Side::Lower).expect("values are finite");
    let (vectors, variances) = (eigen.U(), eigen.S().column_vector());
    let total: f64 = variances.iter().map(|v| v.max(0.0)).sum();
    // Eigenvalues are ascending.
    let chosen: Vec<usize> = (0..features).rev().take(dimensions).collect();
    let direction = |&column: &usize| {
        let entries: Vec<f64> = vectors.col(column).iter().copied().collect();
        let largest = entries.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
        let sign = largest.unwrap_or(1.0).signum();
        entries.into_iter().map(|entry| entry * sign).collect()
    };
    let directions: Vec<Vec<f64>> = chosen.iter().map(direction).collect();
    let along = |row: &[f32], direction: &[f64]| -> f64 {
        let centred = row.iter().zip(&mean).map(|(&value, mean)| f64::from(value) - mean);
        centred.zip(direction).map(|(value, entry)| value * entry).sum()
    };
    let rows = values
        .chunks(features)
        .map(|row| directions.iter().map(|direction| along(row, direction)).collect())
        .collect();
    let share =
        |&column: &usize| if total > 0.0 { variances[column].max(0.0) / total } else { 0.0 };
    let explained = chosen.iter().map(share).collect();
    Ok(PrincipalComponents { mean, directions, rows, explained })
}

/// How rows are laid out in two dimensions by t-SNE.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `seed` | 0 | what small shifts of the first places derive from | |
/// | `perplexity` | 30 | about how many neighbours a row keeps; less where there are few rows | above 0 |
/// | `iterations` | 1000 | steps of the descent | at least 1 |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TsneConfig {
    /// What small shifts of the first places derive from.
    pub seed: u64,
    /// About how many neighbours a row keeps, above 0; at most a third of the other rows.
    pub perplexity: f64,
    /// Steps of the descent, at least 1.
    pub iterations: usize,
}

impl Default for TsneConfig {
    fn default() -> Self {
        Self { seed: 0, perplexity: 30.0, iterations: 1000 }
    }
}

/// Steps in which rows attract each other more than they should, so that groups find together,
/// and by how much; and the momentum of the descent during these steps and after them.
const EARLY: usize = 250;
const EXAGGERATION: f64 = 12.0;
const MOMENTUM: [f64; 2] = [0.5, 0.8];

/// Places of rows `[rows, features]` in the plane by t-SNE, of which only neighbourhoods mean
/// something (van der Maaten and Hinton 2008).
///
/// All pairs of rows are worked out, without approximation, so that places depend on values and
/// settings alone. That takes seconds for a thousand rows, and four times as long for twice
/// as many. The first places are the principal components.
///
/// # Errors
///
/// As [`principal_components`], with at least 3 rows; [`MetricsError::Range`] and
/// [`MetricsError::Config`] for a setting out of its range.
///
/// # Panics
///
/// As [`principal_components`].
pub fn tsne(
    values: &[f32],
    features: usize,
    config: &TsneConfig,
) -> Result<Vec<[f64; 2]>, MetricsError> {
    if !(config.perplexity > 0.0 && config.perplexity.is_finite()) {
        let (expected, found) = ("a positive number", config.perplexity);
        return Err(MetricsError::Range { field: "perplexity", expected, found });
    }
    at_least(1, &[("iterations", config.iterations)])?;
    check(values, features, 3)?;
    let rows = values.len() / features;
    let affinities = affinities(values, features, config.perplexity.min((rows - 1) as f64 / 3.0));
    let mut places = first_places(values, features, config.seed)?;
    let mut speeds = vec![[0.0; 2]; rows];
    let mut gains = vec![[1.0_f64; 2]; rows];
    let rate = (rows as f64 / EXAGGERATION / 4.0).max(50.0);
    for step in 0..config.iterations {
        let early = step < EARLY;
        let attraction = if early { EXAGGERATION } else { 1.0 };
        let slopes = slopes(&affinities, &places, attraction);
        let momentum = MOMENTUM[usize::from(!early)];
        for row in 0..rows {
            for axis in 0..2 {
                let (slope, speed) = (slopes[row][axis], &mut speeds[row][axis]);
                let gain = &mut gains[row][axis];
                // Steps grow while they go on in one direction (Jacobs 1988).
                let onward = slope * *speed < 0.0;
                *gain = if onward { *gain + 0.2 } else { (*gain * 0.8).max(0.01) };
                *speed = momentum * *speed - rate * *gain * slope;
                places[row][axis] += *speed;
            }
        }
    }
    Ok(places)
}

/// How likely two rows are neighbours, `[rows, rows]`, symmetric, with sum 1: for each row normal
/// around it, as wide as it takes for the perplexity.
fn affinities(values: &[f32], features: usize, perplexity: f64) -> Vec<f64> {
    let rows = values.len() / features;
    let of_row = |row: usize| {
        let own = &values[row * features..][..features];
        let distance = |other: &[f32]| -> f64 {
            own.iter().zip(other).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
        };
        let distances: Vec<f64> = values.chunks(features).map(distance).collect();
        neighbours(&distances, row, perplexity)
    };
    let directed: Vec<Vec<f64>> = (0..rows).into_par_iter().map(of_row).collect();
    let both = |row: usize, other: usize| (directed[row][other] + directed[other][row]) / 2.0;
    let pairs = (0..rows).flat_map(|row| (0..rows).map(move |other| (row, other)));
    pairs.map(|(row, other)| both(row, other) / rows as f64).collect()
}

/// Probabilities over the other rows that fall as a normal density with squared distance, and
/// whose entropy is the logarithm of the perplexity, as far as there is such a width.
fn neighbours(distances: &[f64], row: usize, perplexity: f64) -> Vec<f64> {
    let others = || distances.iter().enumerate().filter(move |(other, _)| *other != row);
    let nearest = others().map(|(_, d)| *d).fold(f64::INFINITY, f64::min);
    let mean = others().map(|(_, d)| d - nearest).sum::<f64>() / (distances.len() - 1) as f64;
    // All are equally far: no width makes a difference.
    let scale = if mean > 0.0 { mean } else { 1.0 };
    let distances: Vec<f64> = distances.iter().map(|d| (d - nearest) / scale).collect();
    let weigh = |precision: f64, weights: &mut Vec<f64>| -> f64 {
        weights.clear();
        weights.extend(distances.iter().map(|d| (-precision * d).exp()));
        weights[row] = 0.0;
        weights.iter().sum()
    };
    let mut weights = Vec::with_capacity(distances.len());
    // The entropy falls as the precision grows: bisection of its logarithm.
    let (mut low, mut high) = (-20.0_f64, 20.0_f64);
    for _ in 0..40 {
        let precision = ((low + high) / 2.0).exp();
        let total = weigh(precision, &mut weights);
        let distance: f64 = weights.iter().zip(&distances).map(|(w, d)| w * d).sum();
        let entropy = total.ln() + precision * distance / total;
        let middle = (low + high) / 2.0;
        if entropy > perplexity.ln() { low = middle } else { high = middle }
    }
    let total = weigh(((low + high) / 2.0).exp(), &mut weights);
    weights.into_iter().map(|weight| weight / total).collect()
}

/// The first two principal components, with a deviation of 1e-4 along the first, and shifts of a
/// hundredth of it so that no two rows are in one place.
fn first_places(values: &[f32], features: usize, seed: u64) -> Result<Vec<[f64; 2]>, MetricsError> {
    let components = principal_components(values, features, 2)?.rows;
    let squares: f64 = components.iter().map(|row| row[0] * row[0]).sum();
    let deviation = (squares / components.len() as f64).sqrt();
    let scale = if deviation > 0.0 { 1e-4 / deviation } else { 0.0 };
    let mut rng = StdRng::seed_from_u64(seed);
    let mut shift = || rng.gen_range(-1e-6..1e-6);
    // Rows of one feature have one component.
    let along = |row: &[f64], axis: usize| row.get(axis).copied().unwrap_or(0.0) * scale;
    Ok(components.iter().map(|row| [0, 1].map(|axis| along(row, axis) + shift())).collect())
}

/// The gradient of the divergence of neighbourhoods in the plane from the affinities, of which the
/// attracting part is multiplied.
fn slopes(affinities: &[f64], places: &[[f64; 2]], attraction: f64) -> Vec<[f64; 2]> {
    let rows = places.len();
    let [xs, ys] = [0, 1].map(|axis| places.iter().map(|place| place[axis]).collect::<Vec<_>>());
    let forces: Vec<[f64; 5]> = affinities
        .par_chunks(rows)
        .zip(places)
        .map(|(affinities, &place)| forces(affinities, &xs, &ys, place))
        .collect();
    // Every row is at no distance from itself.
    let total = forces.iter().map(|force| force[4]).sum::<f64>() - rows as f64;
    let slope =
        |force: &[f64; 5], axis: usize| 4.0 * (attraction * force[axis] - force[axis + 2] / total);
    forces.iter().map(|force| [slope(force, 0), slope(force, 1)]).collect()
}

/// What pulls a place along both axes, what pushes it, and how near all places are.
fn forces(affinities: &[f64], xs: &[f64], ys: &[f64], [x, y]: [f64; 2]) -> [f64; 5] {
    // So many sums side by side are additions of vectors for the compiler.
    const LANES: usize = 8;
    let mut sums = [[0.0; LANES]; 5];
    let mut add = |lane: usize, affinity: f64, other_x: f64, other_y: f64| {
        let (dx, dy) = (x - other_x, y - other_y);
        let near = 1.0 / (1.0 + dx * dx + dy * dy);
        let (pull, push) = (affinity * near, near * near);
        sums[0][lane] += pull * dx;
        sums[1][lane] += pull * dy;
        sums[2][lane] += push * dx;
        sums[3][lane] += push * dy;
        sums[4][lane] += near;
    };
    let [affinities, xs, ys] = [affinities, xs, ys].map(<[f64]>::as_chunks::<LANES>);
    for ((affinities, xs), ys) in affinities.0.iter().zip(xs.0).zip(ys.0) {
        for lane in 0..LANES {
            add(lane, affinities[lane], xs[lane], ys[lane]);
        }
    }
    for (lane, affinity) in affinities.1.iter().enumerate() {
        add(lane, *affinity, xs.1[lane], ys.1[lane]);
    }
    sums.map(|lanes| lanes.iter().sum())
}

/// At least so many rows, all of their values finite.
fn check(values: &[f32], features: usize, least: usize) -> Result<(), MetricsError> {
    assert!(features > 0, "a row has features");
    assert_eq!(values.len() % features, 0, "rows are whole");
    let rows = values.len() / features;
    if rows < least {
        return Err(MetricsError::TooFewRows { needed: least, found: rows });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(MetricsError::NotFinite {
            what: "a latent value".to_owned(),
            row: at / features,
            value: values[at].into(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_a_line_have_one_component_along_it() {
        let values: Vec<f32> =
            (0..9).flat_map(|i| [3.0 * i as f32, 4.0 * i as f32 + 1.0]).collect();
        let found = principal_components(&values, 2, 2).expect("finite");
        assert!((found.explained[0] - 1.0).abs() < 1e-12 && found.explained[1] < 1e-12);
        for (found, expected) in found.directions[0].iter().zip([0.6, 0.8]) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
        for (i, row) in found.rows.iter().enumerate() {
            assert!((row[0] - 5.0 * (i as f64 - 4.0)).abs() < 1e-6, "{row:?}");
        }
    }

    #[test]
    fn equal_rows_have_components_without_variance() {
        let found = principal_components(&[0.5; 12], 3, 2).expect("finite");
        assert_eq!(found.explained, [0.0, 0.0]);
        assert_eq!(found.rows, vec![vec![0.0, 0.0]; 4]);
    }

    /// Two groups of rows far from each other.
    fn groups() -> Vec<f32> {
        let value = |row: usize, column: usize| {
            let noise = ((row * 31 + column * 17) % 23) as f32 / 23.0;
            if row < 30 { noise } else { noise + 20.0 }
        };
        (0..60).flat_map(|row| (0..4).map(move |column| value(row, column))).collect()
    }

    #[test]
    fn groups_stay_apart_and_the_layout_follows_from_the_seed() {
        let config = TsneConfig { perplexity: 10.0, iterations: 400, ..Default::default() };
        let places = tsne(&groups(), 4, &config).expect("finite");
        let distance =
            |a: usize, b: usize| (places[a][0] - places[b][0]).hypot(places[a][1] - places[b][1]);
        let nearest = |row: usize| {
            let others = (0..60).filter(|&other| other != row);
            others.min_by(|&a, &b| distance(row, a).total_cmp(&distance(row, b)))
        };
        for row in 0..60 {
            let nearest = nearest(row).expect("there are others");
            assert_eq!(nearest < 30, row < 30, "{row} is next to {nearest}");
        }
        assert_eq!(tsne(&groups(), 4, &config).expect("finite"), places);
        let other = TsneConfig { seed: 1, ..config };
        assert_ne!(tsne(&groups(), 4, &other).expect("finite"), places);
    }

    #[test]
    fn a_row_has_as_many_neighbours_as_the_perplexity_says() {
        let distances: Vec<f64> = (0..50).map(|row| f64::from(row * row)).collect();
        let weights = neighbours(&distances, 0, 7.0);
        let entropy: f64 = weights.iter().filter(|w| **w > 0.0).map(|w| -w * w.ln()).sum();
        assert!((entropy.exp() - 7.0).abs() < 1e-6, "{}", entropy.exp());
        assert_eq!(weights[0], 0.0);
    }

    #[test]
    fn slopes_are_the_derivatives_of_the_divergence() {
        let affinities = affinities(&groups()[..40], 4, 3.0);
        let places: Vec<[f64; 2]> =
            (0..10).map(|i| [f64::from(i * i % 7), f64::from(i * 3 % 5) / 2.0]).collect();
        let divergence = |places: &[[f64; 2]]| -> f64 {
            let near = |a: [f64; 2], b: [f64; 2]| {
                1.0 / (1.0 + (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2))
            };
            let pairs =
                || (0..10).flat_map(|i| (0..10).map(move |j| (i, j))).filter(|(i, j)| i != j);
            let total: f64 = pairs().map(|(i, j)| near(places[i], places[j])).sum();
            let part = |(i, j): (usize, usize)| {
                let p = affinities[i * 10 + j];
                p * (p * total / near(places[i], places[j])).ln()
            };
            pairs().map(part).sum()
        };
        let slopes = slopes(&affinities, &places, 1.0);
        for (row, axis) in [(0, 0), (3, 1), (9, 0)] {
            let moved = |by: f64| {
                let mut places = places.clone();
                places[row][axis] += by;
                divergence(&places)
            };
            let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            let found = slopes[row][axis];
            assert!((found - numeric).abs() < 1e-7, "{found} {numeric}");
        }
    }

    #[test]
    fn few_rows_equal_rows_and_one_feature_have_places() {
        let config = TsneConfig { iterations: 50, ..Default::default() };
        for (values, features) in [(vec![0.5; 30], 3), ((0..7).map(|i| i as f32).collect(), 1)] {
            let places = tsne(&values, features, &config).expect("finite");
            assert_eq!(places.len(), values.len() / features);
            assert!(places.iter().flatten().all(|place| place.is_finite()), "{places:?}");
        }
    }

    #[test]
    fn a_value_that_is_no_number_is_an_error_with_its_row() {
        let error = principal_components(&[0.0, 1.0, f32::NAN, 2.0], 2, 1).expect_err("no number");
        assert!(matches!(error, MetricsError::NotFinite { row: 1, .. }), "{error}");
        let error = tsne(&[0.0; 4], 2, &TsneConfig::default()).expect_err("2 rows");
        assert!(matches!(error, MetricsError::TooFewRows { needed: 3, found: 2 }), "{error}");
    }
}
