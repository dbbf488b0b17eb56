//! The Laplace distribution.

use burn::tensor::Tensor;

use super::sum_last;

/// Independent Laplace values along the last axis.
#[derive(Clone, Debug)]
pub struct Laplace<const D: usize> {
    /// Location, `[.., features]`.
    pub location: Tensor<D>,
    /// Scale, positive, `[.., features]`.
    pub scale: Tensor<D>,
}

impl<const D: usize> Laplace<D> {
    /// Takes locations and positive scales of one shape.
    pub fn new(location: Tensor<D>, scale: Tensor<D>) -> Self {
        Self { location, scale }
    }

    /// Log-density summed over the last axis; `R` is `D - 1`.
    pub fn log_prob<const R: usize>(&self, value: Tensor<D>) -> Tensor<R> {
        let distance = (value - self.location.clone()).abs() / self.scale.clone();
        sum_last((distance + (self.scale.clone() * 2.0).log()).neg())
    }

    /// `location + scale * noise`, differentiable in the parameters; see
    /// [`crate::noise::Noise::laplace`].
    pub fn rsample(&self, noise: Tensor<D>) -> Tensor<D> {
        self.location.clone() + self.scale.clone() * noise
    }

    /// Divergence `KL(self ‖ other)`, summed over the last axis; `R` is `D - 1`.
    ///
    /// `ln(b'/b) + (b exp(-d/b) + d) / b' - 1` with `d` the distance of the locations.
    pub fn kl<const R: usize>(&self, other: &Self) -> Tensor<R> {
        let distance = (self.location.clone() - other.location.clone()).abs();
        let near = (distance.clone().neg() / self.scale.clone()).exp() * self.scale.clone();
        let ratio = (other.scale.clone() / self.scale.clone()).log();
        sum_last(ratio + (near + distance) / other.scale.clone() - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::distribution::tests::{close, integrates_to_one, kl_is_the_mean_log_ratio, scalar};

    fn laplace(location: f32, scale: f32) -> Laplace<2> {
        let device = Device::flex();
        Laplace::new(
            Tensor::from_floats([[location]], &device),
            Tensor::from_floats([[scale]], &device),
        )
    }

    fn log_prob(q: &Laplace<2>, x: f32) -> f64 {
        scalar::<1>(q.log_prob(Tensor::from_floats([[x]], &Device::flex())))
    }

    #[test]
    fn log_prob_equals_multivae() {
        close(log_prob(&laplace(0.2, 0.75), 1.0), -1.4721318, 1e-6, "laplace at 1");
    }

    #[test]
    fn density_integrates_to_one() {
        let q = laplace(0.5, 0.8);
        integrates_to_one(|x| log_prob(&q, x), "laplace");
    }

    #[test]
    fn kl_is_its_definition() {
        let (q, p) = (laplace(1.0, 0.7), laplace(-0.3, 1.4));
        kl_is_the_mean_log_ratio(
            scalar::<1>(q.kl(&p)),
            |x| log_prob(&q, x),
            |x| log_prob(&p, x),
            "laplace",
        );
    }

    #[test]
    fn a_sample_is_location_plus_scale_times_noise() {
        // The upper quartile of the standard distribution is ln 2.
        let noise = Tensor::from_floats([[2f32.ln()]], &Device::flex());
        let q = laplace(1.0, 2.0);
        close(scalar(q.rsample(noise)), 1.0 + 2.0 * 2f64.ln(), 1e-6, "upper quartile");
    }
}
