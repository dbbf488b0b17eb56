//! The diagonal normal distribution.

use burn::tensor::Tensor;
use multivae_kernels as kernels;

use super::{LN_2PI, sum_last};

/// Independent normal values along the last axis.
#[derive(Clone, Debug)]
pub struct Normal<const D: usize> {
    /// Mean, `[.., features]`.
    pub mean: Tensor<D>,
    /// Natural logarithm of the variance, `[.., features]`.
    pub log_var: Tensor<D>,
}

/// Largest magnitude of a log-variance that a network may give: deviations from 5e-5 to 2e4, whose
/// squares, precisions and ratios are finite in single precision.
pub const LOG_VAR_LIMIT: f64 = 20.0;

impl<const D: usize> Normal<D> {
    /// Takes means and log-variances of one shape.
    pub fn new(mean: Tensor<D>, log_var: Tensor<D>) -> Self {
        Self { mean, log_var }
    }

    /// Mean 0 and variance 1, shaped like `tensor`.
    pub fn standard_like(tensor: &Tensor<D>) -> Self {
        Self::new(tensor.zeros_like(), tensor.zeros_like())
    }

    /// Log-density summed over the last axis; `R` is `D - 1`.
    pub fn log_prob<const R: usize>(&self, value: Tensor<D>) -> Tensor<R> {
        let square = (value - self.mean.clone()).square() * self.log_var.clone().neg().exp();
        sum_last((square + self.log_var.clone() + LN_2PI) * -0.5)
    }

    /// `mean + exp(log_var / 2) * noise`, differentiable in the parameters.
    pub fn rsample(&self, noise: Tensor<D>) -> Tensor<D> {
        kernels::rsample(self.mean.clone(), self.log_var.clone(), noise)
    }

    /// Divergence from the standard normal, summed over the last axis; `R` is `D - 1`.
    pub fn kl_standard<const R: usize>(&self) -> Tensor<R> {
        let terms =
            self.mean.clone().square() + self.log_var.clone().exp() - self.log_var.clone() - 1.0;
        sum_last(terms * 0.5)
    }

    /// Divergence `KL(self ‖ other)`, summed over the last axis; `R` is `D - 1`.
    pub fn kl<const R: usize>(&self, other: &Self) -> Tensor<R> {
        let parameters = |normal: &Self| [normal.mean.clone(), normal.log_var.clone()];
        kernels::normal_kl(parameters(self), parameters(other)).squeeze_dim(D - 1)
    }

    /// The same with log-variances held within ±[`LOG_VAR_LIMIT`], as the output of a network has
    /// to be before it is exponentiated.
    pub fn bounded(self) -> Self {
        let clamp = kernels::Activation::Clamp(LOG_VAR_LIMIT as f32);
        Self { log_var: kernels::activate(self.log_var, clamp), ..self }
    }

    /// Both parameters under a function.
    pub fn map<const R: usize>(self, f: impl Fn(Tensor<D>) -> Tensor<R>) -> Normal<R> {
        Normal { mean: f(self.mean), log_var: f(self.log_var) }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::distribution::tests::{close, integrates_to_one, kl_is_the_mean_log_ratio, scalar};

    fn normal(mean: f32, log_var: f32) -> Normal<2> {
        let device = Device::flex();
        Normal::new(
            Tensor::from_floats([[mean]], &device),
            Tensor::from_floats([[log_var]], &device),
        )
    }

    fn log_prob(q: &Normal<2>, x: f32) -> f64 {
        scalar::<1>(q.log_prob(Tensor::from_floats([[x]], &Device::flex())))
    }

    #[test]
    fn log_prob_equals_multivae() {
        let q = normal(0.2, 2.0 * 0.75_f32.ln());
        close(log_prob(&q, 1.0), -1.2001454, 1e-6, "normal at 1");
    }

    #[test]
    fn density_integrates_to_one() {
        let q = normal(0.7, -0.4);
        integrates_to_one(|x| log_prob(&q, x), "normal");
    }

    #[test]
    fn kl_is_its_definition() {
        let (q, p) = (normal(1.0, -0.5), normal(-0.3, 0.4));
        let kl = scalar::<1>(q.kl(&p));
        kl_is_the_mean_log_ratio(kl, |x| log_prob(&q, x), |x| log_prob(&p, x), "normal");
        close(scalar::<1>(q.kl_standard()), scalar::<1>(q.kl(&normal(0.0, 0.0))), 1e-6, "standard");
    }

    #[test]
    fn kl_of_two_experts_equals_multivae() {
        let device = Device::flex();
        let q = Normal::<2>::new(
            Tensor::from_floats([[1.0, -2.0]], &device),
            Tensor::from_floats([[0.0, 1.0]], &device),
        );
        let p = Normal::new(
            Tensor::from_floats([[0.5, 3.0]], &device),
            Tensor::from_floats([[-1.0, 0.5]], &device),
        );
        close(scalar::<1>(q.kl(&p)), 8.3549204, 1e-6, "KLg");
        close(scalar::<1>(q.kl_standard()), 2.8591409, 1e-6, "KLn");
    }

    #[test]
    fn a_sample_is_mean_plus_deviation_times_noise() {
        let noise = Tensor::from_floats([[2.0]], &Device::flex());
        close(scalar(normal(1.0, 4f32.ln()).rsample(noise)), 5.0, 1e-6, "sample");
    }
}
