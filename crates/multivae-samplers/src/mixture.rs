//! Mixtures of normal distributions with full covariances, fitted by expectation maximisation.
//!
//! Centres start from k-means (linfa-clustering). Densities stay logarithms throughout, which is
//! why the iterations are here: with a hundred latent features, exponentials of log-densities are
//! zero or infinite in double precision.
//!
//! Source: Dempster, Laird and Rubin 1977; start, floor and end as in scikit-learn.

use std::f64::consts::TAU;

use burn::tensor::{Device, Tensor, TensorData};
use faer::{Mat, Par, Side, linalg::triangular_solve::solve_lower_triangular_in_place};
use linfa::{
    DatasetBase,
    traits::{Fit, Predict},
};
use linfa_clustering::KMeans;
use multivae_core::noise::Noise;
use ndarray_linfa::Array2;
use ndarray_rand::rand::{SeedableRng, rngs::StdRng};

use crate::{MixtureConfig, Result, SamplerError};

/// Share of a row that a component without rows counts as, so that it has a mean.
const EMPTY: f64 = 10.0 * f64::EPSILON;

/// A mixture of normal distributions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mixture {
    pub(crate) features: usize,
    /// Weights, which add up to one.
    pub(crate) weights: Vec<f64>,
    /// Means, `[component, features]`.
    pub(crate) means: Vec<f64>,
    /// Lower triangles `L` of the covariances `L Lᵀ`, `[component, features, features]`.
    pub(crate) factors: Vec<f64>,
}

impl Mixture {
    /// Fits rows of values, `[rows, features]`. There are fewer components than asked for if there
    /// are fewer rows.
    pub(crate) fn fit(
        values: &[f32],
        features: usize,
        config: &MixtureConfig,
        seed: u64,
        progress: &dyn Fn(f64),
    ) -> Result<Self> {
        let rows = values.len() / features;
        if rows < 2 {
            return Err(SamplerError::Rows { needed: 2, found: rows });
        }
        let components = config.components.min(rows);
        if components < config.components {
            tracing::warn!(
                "{} components were asked for, and there are {rows} values: there will be {rows}",
                config.components
            );
        }
        let x = Mat::from_fn(rows, features, |i, j| f64::from(values[i * features + j]));
        let mut shares = start(&x, components, seed)?;
        let mut before = f64::NEG_INFINITY;
        let mut mixture = Self::maximise(&x, &shares, config.covariance_floor)?;
        for iteration in 0..config.max_iterations {
            let density = mixture.expect(&x, &mut shares);
            if !density.is_finite() {
                return Err(SamplerError::NotFinite { what: "the density of the mixture".into() });
            }
            mixture = Self::maximise(&x, &shares, config.covariance_floor)?;
            // Mostly tens of iterations are enough, and none can say how many are left.
            progress(1.0 - 20.0 / (20.0 + iteration as f64));
            if (density - before).abs() < config.tolerance {
                break;
            }
            before = density;
        }
        progress(1.0);
        Ok(mixture)
    }

    /// The mixture under which rows `x` are likeliest, given the shares `[rows, component]` of the
    /// components in them.
    fn maximise(x: &Mat<f64>, shares: &Mat<f64>, floor: f64) -> Result<Self> {
        let (rows, features, components) = (x.nrows(), x.ncols(), shares.ncols());
        let mut mixture = Self {
            features,
            weights: Vec::with_capacity(components),
            means: Vec::with_capacity(components * features),
            factors: Vec::with_capacity(components * features * features),
        };
        let sums = shares.transpose() * x;
        for k in 0..components {
            let count = shares.col(k).iter().sum::<f64>() + EMPTY;
            let mean: Vec<f64> = (0..features).map(|j| sums[(k, j)] / count).collect();
            let scaled = Mat::from_fn(features, rows, |j, i| {
                (x[(i, j)] - mean[j]) * (shares[(i, k)] / count).sqrt()
            });
            let mut covariance = &scaled * scaled.transpose();
            for j in 0..features {
                covariance[(j, j)] += floor;
            }
            let factor = covariance.llt(Side::Lower).map_err(|_| SamplerError::NotFinite {
                what: format!("the inverse covariance of component {k} of the mixture"),
            })?;
            let lower = factor.L();
            let lower = (0..features)
                .flat_map(|i| (0..features).map(move |j| if j <= i { lower[(i, j)] } else { 0.0 }));
            mixture.factors.extend(lower);
            mixture.means.extend(mean);
            mixture.weights.push(count / rows as f64);
        }
        let total: f64 = mixture.weights.iter().sum();
        mixture.weights.iter_mut().for_each(|weight| *weight /= total);
        Ok(mixture)
    }

    /// Puts the shares of the components in the rows; gives the mean log-density of a row.
    fn expect(&self, x: &Mat<f64>, shares: &mut Mat<f64>) -> f64 {
        let joint = self.log_joint(x);
        let (rows, mut sum) = (x.nrows(), 0.0);
        for i in 0..rows {
            let total = log_sum_exp((0..self.weights.len()).map(|k| joint[(i, k)]));
            sum += total;
            for k in 0..self.weights.len() {
                shares[(i, k)] = (joint[(i, k)] - total).exp();
            }
        }
        sum / rows as f64
    }

    /// Log of weight times density by row and component, `[rows, component]`.
    fn log_joint(&self, x: &Mat<f64>) -> Mat<f64> {
        let (rows, features) = (x.nrows(), self.features);
        let mut joint = Mat::zeros(rows, self.weights.len());
        for (k, weight) in self.weights.iter().enumerate() {
            let mean = &self.means[k * features..][..features];
            let factor = &self.factors[k * features * features..][..features * features];
            let lower = Mat::from_fn(features, features, |i, j| factor[i * features + j]);
            let mut white = Mat::from_fn(features, rows, |j, i| x[(i, j)] - mean[j]);
            solve_lower_triangular_in_place(lower.as_ref(), white.as_mut(), Par::Seq);
            let log_det: f64 = (0..features).map(|j| lower[(j, j)].ln()).sum();
            let constant = weight.ln() - log_det - 0.5 * features as f64 * TAU.ln();
            for i in 0..rows {
                let distance: f64 = white.col(i).iter().map(|v| v * v).sum();
                joint[(i, k)] = constant - 0.5 * distance;
            }
        }
        joint
    }

    /// Log-density of rows `[rows, features]`, nats.
    pub(crate) fn log_density(&self, values: &[f32]) -> Vec<f64> {
        let (rows, features) = (values.len() / self.features, self.features);
        let x = Mat::from_fn(rows, features, |i, j| f64::from(values[i * features + j]));
        let joint = self.log_joint(&x);
        (0..rows).map(|i| log_sum_exp((0..self.weights.len()).map(|k| joint[(i, k)]))).collect()
    }

    /// Samples, `[rows, features]`: each row of a component of its own, so that rows are
    /// exchangeable.
    pub(crate) fn draw(&self, rows: usize, noise: &mut Noise, device: &Device) -> Tensor<2> {
        let (features, components) = (self.features, self.weights.len());
        let chosen = noise.categorical(&vec![self.weights.clone(); rows], 1);
        let normal = noise.normal([rows, features], 0, device);
        let single = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<_>>();
        (0..components)
            .map(|k| {
                let mean = single(&self.means[k * features..][..features]);
                let factor =
                    single(&self.factors[k * features * features..][..features * features]);
                let mean = Tensor::<2>::from_data(TensorData::new(mean, [1, features]), device);
                let factor =
                    Tensor::<2>::from_data(TensorData::new(factor, [features, features]), device);
                let is: Vec<f32> = chosen.iter().map(|&c| f32::from(u8::from(c == k))).collect();
                let is = Tensor::<2>::from_data(TensorData::new(is, [rows, 1]), device);
                (normal.clone().matmul(factor.transpose()) + mean) * is
            })
            .reduce(|sum, next| sum + next)
            .expect("a mixture has a component")
    }
}

/// Shares of 0 and 1 by k-means, `[rows, component]`.
fn start(x: &Mat<f64>, components: usize, seed: u64) -> Result<Mat<f64>> {
    let (rows, features) = (x.nrows(), x.ncols());
    let points = Array2::from_shape_fn((rows, features), |(i, j)| x[(i, j)]);
    let points = DatasetBase::from(points);
    let means = KMeans::params_with_rng(components, StdRng::seed_from_u64(seed)).n_runs(1);
    let means = means
        .fit(&points)
        .map_err(|_| SamplerError::NotFinite { what: "the distance of rows from means".into() })?;
    let nearest = means.predict(points.records());
    Ok(Mat::from_fn(rows, components, |i, k| f64::from(u8::from(nearest[i] == k))))
}

fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return largest;
    }
    largest + values.map(|value| (value - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{grid, integral, moments, ring};

    fn fit(values: &[f32], features: usize, components: usize) -> Mixture {
        let config = MixtureConfig { components, ..MixtureConfig::default() };
        Mixture::fit(values, features, &config, 0, &|_| ()).expect("finite values")
    }

    #[test]
    fn one_component_is_the_mean_and_the_covariance() {
        let values = [0.0, 0.0, 2.0, 2.0, 4.0, 1.0];
        let mixture = fit(&values, 2, 1);
        assert_eq!(mixture.weights, [1.0]);
        let close = |a: f64, b: f64| (a - b).abs() < 1e-5;
        assert!(close(mixture.means[0], 2.0) && close(mixture.means[1], 1.0), "{mixture:?}");
        // Covariances over 3 rows: 8/3, 2/3, 2/3; their triangle by hand.
        let (a, b) = ((8.0_f64 / 3.0).sqrt(), (2.0 / 3.0) / (8.0_f64 / 3.0).sqrt());
        let c = (2.0 / 3.0 - b * b).sqrt();
        let expected = [a, 0.0, b, c];
        for (found, expected) in mixture.factors.iter().zip(expected) {
            assert!(close(*found, expected), "{mixture:?}");
        }
    }

    #[test]
    fn components_far_apart_are_found_with_their_weights() {
        // Three quarters around (5, 0), one quarter around (-5, 1).
        let values: Vec<f32> = (0..400)
            .flat_map(|i| {
                let (x, y) = if i % 4 == 0 { (-5.0, 1.0) } else { (5.0, 0.0) };
                let angle = i as f32 * 0.7;
                [x + 0.5 * angle.sin(), y + 0.5 * angle.cos()]
            })
            .collect();
        let mixture = fit(&values, 2, 2);
        let small = usize::from(mixture.weights[1] < mixture.weights[0]);
        assert!((mixture.weights[small] - 0.25).abs() < 1e-6, "{mixture:?}");
        assert!((mixture.means[2 * small] + 5.0).abs() < 0.05, "{mixture:?}");
        assert!((mixture.means[2 * (1 - small)] - 5.0).abs() < 0.05, "{mixture:?}");
    }

    #[test]
    fn the_density_integrates_to_one() {
        let mixture = fit(&ring(500), 2, 5);
        let total = integral(&mixture.log_density(&grid()));
        assert!((total - 1.0).abs() < 1e-3, "{total}");
    }

    #[test]
    fn the_density_is_that_of_the_formula() {
        // Two components of one feature.
        let mixture = Mixture {
            features: 1,
            weights: vec![0.3, 0.7],
            means: vec![-1.0, 2.0],
            factors: vec![0.5, 2.0],
        };
        let normal = |x: f64, mean: f64, deviation: f64| {
            (-0.5 * ((x - mean) / deviation).powi(2)).exp() / (deviation * TAU.sqrt())
        };
        for (x, found) in [-3.0, 0.0, 40.0].iter().zip(mixture.log_density(&[-3.0, 0.0, 40.0])) {
            let expected = (0.3 * normal(*x, -1.0, 0.5) + 0.7 * normal(*x, 2.0, 2.0)).ln();
            assert!((found - expected).abs() < 1e-9 * expected.abs(), "{x}: {found} {expected}");
        }
    }

    #[test]
    fn many_features_do_not_underflow() {
        // Log-densities of about -3000, whose exponentials are 0 in double precision.
        let values: Vec<f32> =
            (0..300 * 400).map(|k| 100.0 * ((k * k % 977) as f32 * 0.37).sin()).collect();
        let mixture = fit(&values, 400, 3);
        assert!(mixture.log_density(&values[..400])[0].is_finite());
    }

    #[test]
    fn samples_have_the_moments_of_the_mixture_and_are_not_in_order() {
        let device = Device::flex();
        let values = ring(2000);
        let mixture = fit(&values, 2, 8);
        let sampled = mixture.draw(20_000, &mut Noise::seeded(1), &device);
        let sampled: Vec<f32> = sampled.into_data().try_into_vec().expect("floats");
        let (found, expected) = (moments(&sampled), moments(&values));
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 0.05, "{found} {expected}");
        }
        // Rows grouped by component would have means of parts far apart.
        let (first, last) = (moments(&sampled[..10_000]), moments(&sampled[30_000..]));
        for (first, last) in first.iter().zip(last) {
            assert!((first - last).abs() < 0.1, "{first} {last}");
        }
    }

    #[test]
    fn there_are_no_more_components_than_rows() {
        let mixture = fit(&[0.0, 1.0, 5.0, 6.0], 2, 10);
        assert_eq!(mixture.weights.len(), 2);
        let one = Mixture::fit(&[0.0, 1.0], 2, &MixtureConfig::default(), 0, &|_| ());
        assert!(one.expect_err("one row").to_string().contains("at least 2 rows"));
    }

    #[test]
    fn equal_rows_have_a_density() {
        let mixture = fit(&[1.0; 40], 2, 3);
        assert!(mixture.log_density(&[1.0, 1.0])[0] > 5.0);
    }
}
