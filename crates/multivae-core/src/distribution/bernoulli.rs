//! The Bernoulli distribution on logits.

use burn::tensor::{Tensor, activation::sigmoid};
use multivae_kernels::{Density, log_density};

/// Independent binary values along the last axis.
#[derive(Clone, Debug)]
pub struct Bernoulli<const D: usize> {
    /// Log-odds, `[.., features]`.
    pub logits: Tensor<D>,
}

impl<const D: usize> Bernoulli<D> {
    /// Takes log-odds.
    pub fn new(logits: Tensor<D>) -> Self {
        Self { logits }
    }

    /// Probability of one, `[.., features]`.
    pub fn mean(&self) -> Tensor<D> {
        sigmoid(self.logits.clone())
    }
}

impl Bernoulli<3> {
    /// `x logit - softplus(logit)` of values `[batch, features]` in `[0, 1]`, summed over features,
    /// `[samples, batch]`: the log-probability of binary values, the negative cross-entropy of
    /// grey ones.
    pub fn log_prob(self, value: Tensor<2>) -> Tensor<2> {
        log_density(Density::Bernoulli, self.logits, value)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::distribution::tests::{close, scalar};

    fn log_prob(logit: f32, x: f32) -> f64 {
        let device = Device::flex();
        let p = Bernoulli::<3>::new(Tensor::from_floats([[[logit]]], &device));
        scalar::<2>(p.log_prob(Tensor::from_floats([[x]], &device)))
    }

    #[test]
    fn log_prob_equals_multivae() {
        close(log_prob(0.3, 1.0), -0.5543552, 1e-6, "bernoulli at 1");
    }

    #[test]
    fn probabilities_add_up_to_one() {
        for logit in [-3.0, 0.0, 0.4, 20.0] {
            close(log_prob(logit, 0.0).exp() + log_prob(logit, 1.0).exp(), 1.0, 1e-6, "sum");
        }
    }

    #[test]
    fn grey_values_interpolate_the_cross_entropy() {
        let middle = 0.3 * log_prob(0.7, 1.0) + 0.7 * log_prob(0.7, 0.0);
        close(log_prob(0.7, 0.3), middle, 1e-6, "grey");
    }

    #[test]
    fn extreme_logits_stay_finite() {
        assert!(log_prob(1e4, 0.0).is_finite() && log_prob(-1e4, 1.0).is_finite());
    }
}
