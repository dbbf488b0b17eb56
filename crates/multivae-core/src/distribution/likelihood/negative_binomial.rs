//! The negative binomial likelihood.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Learned, LikelihoodFamily, Output, Scale, Support, count};
use crate::{Result, noise::Noise};

/// Counts that vary more than their mean; the output, with the offset added, is the logarithm of
/// the mean `μ`, within ±20. The variance is `μ + μ² / θ` with the dispersion `θ`.
///
/// The parameterisation is that of scvi-tools, Lopez et al. 2018. Encoders see `ln(1 + x)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NegativeBinomial {
    /// Dispersion `θ`; counts are Poisson's where it is large.
    #[serde(default = "learned_per_feature")]
    pub dispersion: Scale,
}

/// As single-cell models have it: a dispersion for each gene.
pub(super) const fn learned_per_feature() -> Scale {
    Scale::LearnedPerFeature
}

impl Default for NegativeBinomial {
    fn default() -> Self {
        Self { dispersion: learned_per_feature() }
    }
}

impl LikelihoodFamily for NegativeBinomial {
    fn name(&self) -> &str {
        "negative_binomial"
    }

    fn parameters(&self) -> usize {
        self.dispersion.parameters()
    }

    fn support(&self) -> Support {
        Support::Counts
    }

    fn learned(&self, shape: &[usize]) -> Vec<Learned> {
        self.dispersion.learned("log_dispersion", shape)
    }

    fn check(&self, field: &str) -> Result<()> {
        self.dispersion.check(&format!("{field}.dispersion"))
    }

    fn terms(
        &self,
        output: &Output<'_>,
        values: Tensor<3>,
        offset: Option<&Tensor<1>>,
    ) -> Tensor<3> {
        let parameters = [count::log_mean(output, offset), self.dispersion.log(output)];
        let [log_mean, log_dispersion] = parameters.clone();
        count::negative_binomial(log_mean, log_dispersion, values).attach(parameters.into())
    }

    fn mean(&self, output: &Output<'_>, offset: Option<&Tensor<1>>) -> Tensor<3> {
        count::exp(count::log_mean(output, offset))
    }

    /// Poisson counts of a rate that is gamma distributed.
    fn sample(
        &self,
        output: &Output<'_>,
        offset: Option<&Tensor<1>>,
        noise: &mut Noise,
    ) -> Tensor<3> {
        let mean = self.mean(output, offset);
        let dispersion = count::exp(self.dispersion.log(output)).expand(mean.dims());
        let rate = noise.gamma(dispersion.clone(), 1) * mean / dispersion;
        noise.poisson(rate, 1)
    }

    fn encode_view(&self, values: Tensor<2>) -> Tensor<2> {
        values.log1p()
    }
}
