//! The normal likelihood.

use burn::tensor::Tensor;
use multivae_kernels::Density;
use serde::{Deserialize, Serialize};

use super::{Learned, LikelihoodFamily, Normalisation, Output, Scale, Support, located::Located};
use crate::{Result, batch::Target, distribution::LN_2PI, noise::Noise};

/// Real values; the output is the mean, and the deviation is the scale.
///
/// `log p(x) = -(x - m)² / (2 s²) - ln s - ln(2π) / 2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normal {
    /// Standard deviation.
    #[serde(default)]
    pub scale: Scale,
}

const LOCATED: Located = Located { density: Density::Normal, power: 2, constant: LN_2PI / 2.0 };

impl LikelihoodFamily for Normal {
    fn name(&self) -> &str {
        "normal"
    }

    fn parameters(&self) -> usize {
        self.scale.parameters()
    }

    fn support(&self) -> Support {
        Support::Real
    }

    fn learned(&self, shape: &[usize]) -> Vec<Learned> {
        self.scale.learned("log_scale", shape)
    }

    fn check(&self, field: &str) -> Result<()> {
        self.scale.check(&format!("{field}.scale"))
    }

    fn terms(&self, output: &Output<'_>, values: Tensor<3>, _: Option<&Tensor<1>>) -> Tensor<3> {
        terms(output.parameter(0), self.scale.log(output), values)
    }

    fn log_prob(&self, output: &Output<'_>, target: &Target) -> Tensor<2> {
        let values = super::dense(self, target);
        LOCATED
            .log_prob(self.scale, output, values, target)
            .unwrap_or_else(|| super::sum_of_terms(self, output, target))
    }

    fn mean(&self, output: &Output<'_>, _: Option<&Tensor<1>>) -> Tensor<3> {
        output.parameter(0)
    }

    fn sample(&self, output: &Output<'_>, _: Option<&Tensor<1>>, noise: &mut Noise) -> Tensor<3> {
        let mean = output.parameter(0);
        let noise = noise.normal(mean.dims(), 1, &mean.device());
        mean + self.scale.log(output).exp() * noise
    }

    fn normalisation(&self, _feature: usize) -> Normalisation {
        Normalisation::Standard
    }
}

/// Log-densities of single values given mean and log-deviation.
pub(super) fn terms(mean: Tensor<3>, log_scale: Tensor<3>, values: Tensor<3>) -> Tensor<3> {
    let distance = (values - mean) * log_scale.clone().neg().exp();
    distance.square() * -0.5 - log_scale - LN_2PI / 2.0
}
