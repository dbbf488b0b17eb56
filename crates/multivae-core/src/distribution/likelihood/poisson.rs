//! The Poisson likelihood.

use burn::tensor::Tensor;

use super::{LikelihoodFamily, Output, Support, count};
use crate::noise::Noise;

/// Counts; the output, with the offset added, is the logarithm of the mean, within ±20.
///
/// `log p(x) = x η - exp(η) - ln x!`. Encoders see `ln(1 + x)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Poisson;

impl LikelihoodFamily for Poisson {
    fn name(&self) -> &str {
        "poisson"
    }

    fn support(&self) -> Support {
        Support::Counts
    }

    fn output_of_means(&self, means: &[f32]) -> Option<Vec<f32>> {
        Some(count::output_of_means(means, self.parameters()))
    }

    fn terms(
        &self,
        output: &Output<'_>,
        values: Tensor<3>,
        offset: Option<&Tensor<1>>,
    ) -> Tensor<3> {
        let log_mean = count::log_mean(output, offset);
        count::poisson(log_mean.clone(), values).attach(vec![log_mean])
    }

    fn mean(&self, output: &Output<'_>, offset: Option<&Tensor<1>>) -> Tensor<3> {
        count::exp(count::log_mean(output, offset))
    }

    fn sample(
        &self,
        output: &Output<'_>,
        offset: Option<&Tensor<1>>,
        noise: &mut Noise,
    ) -> Tensor<3> {
        noise.poisson(self.mean(output, offset), 1)
    }

    fn encode_view(&self, values: Tensor<2>) -> Tensor<2> {
        values.log1p()
    }
}
