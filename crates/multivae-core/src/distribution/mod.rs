//! Distributions of latent values and of data.
//!
//! Each is a struct of parameter tensors whose last axis is the event: `log_prob` and `kl` sum
//! over it and give one number less an axis. [`Likelihood`] names the distribution that a decoder
//! parametrises; [`likelihood`] holds one file for each.

mod bernoulli;
mod categorical;
mod family;
mod laplace;
pub mod likelihood;
mod normal;

pub use bernoulli::Bernoulli;
pub use categorical::Categorical;
pub use family::{Family, LocationScale};
pub use laplace::Laplace;
pub use likelihood::{
    ColumnRun, Learned, Likelihood, LikelihoodFamily, Mixed, Normalisation, Output, Scale, Support,
};
pub use normal::{LOG_VAR_LIMIT, Normal};

use burn::tensor::Tensor;

/// Sums over the last axis and drops it.
fn sum_last<const D: usize, const R: usize>(tensor: Tensor<D>) -> Tensor<R> {
    tensor.sum_dim(D - 1).squeeze_dim(D - 1)
}

/// Natural logarithm of 2π.
const LN_2PI: f64 = 1.837_877_066_409_345_3;

/// One harness for all distributions: densities against values worked out by hand, samples
/// against their density, divergences against their definition.
#[cfg(test)]
pub(crate) mod tests {
    use burn::tensor::Tensor;

    /// The only value of a tensor.
    pub(crate) fn scalar<const D: usize>(tensor: Tensor<D>) -> f64 {
        let values: Vec<f32> = tensor.into_data().try_into_vec().expect("floats");
        assert_eq!(values.len(), 1);
        f64::from(values[0])
    }

    pub(crate) fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
        assert!(
            (found - expected).abs() <= tolerance * expected.abs().max(1.0),
            "{what}: expected {expected}, found {found}"
        );
    }

    /// A density on the line integrates to one.
    pub(crate) fn integrates_to_one(log_prob: impl Fn(f32) -> f64, what: &str) {
        let step = 0.01;
        let total: f64 =
            (-4000..=4000).map(|i| log_prob(i as f32 * step).exp() * f64::from(step)).sum();
        close(total, 1.0, 1e-3, what);
    }

    /// A divergence equals the mean of the log-ratio over the grid.
    pub(crate) fn kl_is_the_mean_log_ratio(
        kl: f64,
        q: impl Fn(f32) -> f64,
        p: impl Fn(f32) -> f64,
        what: &str,
    ) {
        let step = 0.01;
        let mean: f64 = (-4000..=4000)
            .map(|i| {
                let x = i as f32 * step;
                let log_q = q(x);
                log_q.exp() * (log_q - p(x)) * f64::from(step)
            })
            .sum();
        close(kl, mean, 1e-3, what);
    }
}
