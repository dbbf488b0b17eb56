//! The log-normal likelihood.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Learned, LikelihoodFamily, Normalisation, Output, Scale, Support, normal};
use crate::{Result, noise::Noise};

/// Positive values; the output is the mean `m` of their logarithms, and the scale `s` their
/// deviation.
///
/// `log p(x) = log N(ln x; m, s²) - ln x`, and the mean is `exp(m + s² / 2)`. Encoders see
/// `ln x`, and 0 where a cell is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogNormal {
    /// Standard deviation of the logarithm.
    #[serde(default)]
    pub scale: Scale,
}

/// Largest logarithm of a mean or a sample, so that both are finite in single precision.
const LOG_LIMIT: f64 = 80.0;

impl LikelihoodFamily for LogNormal {
    fn name(&self) -> &str {
        "log_normal"
    }

    fn parameters(&self) -> usize {
        self.scale.parameters()
    }

    fn support(&self) -> Support {
        Support::Positive
    }

    fn learned(&self, shape: &[usize]) -> Vec<Learned> {
        self.scale.learned("log_scale", shape)
    }

    fn check(&self, field: &str) -> Result<()> {
        self.scale.check(&format!("{field}.scale"))
    }

    fn terms(&self, output: &Output<'_>, values: Tensor<3>, _: Option<&Tensor<1>>) -> Tensor<3> {
        let logarithm = values.log();
        normal::terms(output.parameter(0), self.scale.log(output), logarithm.clone()) - logarithm
    }

    fn mean(&self, output: &Output<'_>, _: Option<&Tensor<1>>) -> Tensor<3> {
        let variance = (self.scale.log(output) * 2.0).exp();
        (output.parameter(0) + variance * 0.5).clamp_max(LOG_LIMIT).exp()
    }

    fn sample(&self, output: &Output<'_>, _: Option<&Tensor<1>>, noise: &mut Noise) -> Tensor<3> {
        let mean = output.parameter(0);
        let noise = noise.normal(mean.dims(), 1, &mean.device());
        (mean + self.scale.log(output).exp() * noise).clamp(-LOG_LIMIT, LOG_LIMIT).exp()
    }

    fn normalisation(&self, _feature: usize) -> Normalisation {
        Normalisation::GeometricMean
    }

    fn encode_view(&self, values: Tensor<2>) -> Tensor<2> {
        let missing = values.clone().lower_equal_elem(0.0);
        values.mask_fill(missing, 1.0).log()
    }
}
