//! The Laplace likelihood.

use std::f64::consts::LN_2;

use burn::tensor::Tensor;
use multivae_kernels::Density;
use serde::{Deserialize, Serialize};

use super::{Learned, LikelihoodFamily, Normalisation, Output, Scale, Support, located::Located};
use crate::{Result, batch::Target, noise::Noise};

/// Real values with heavier tails; the output is the location.
///
/// `log p(x) = -|x - m| / s - ln(2 s)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Laplace {
    /// Scale.
    #[serde(default)]
    pub scale: Scale,
}

const LOCATED: Located = Located { density: Density::Laplace, power: 1, constant: LN_2 };

impl LikelihoodFamily for Laplace {
    fn name(&self) -> &str {
        "laplace"
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
        let log_scale = self.scale.log(output);
        let distance = (values - output.parameter(0)).abs() * log_scale.clone().neg().exp();
        distance.neg() - log_scale - LN_2
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
        let location = output.parameter(0);
        let noise = noise.laplace(location.dims(), 1, &location.device());
        location + self.scale.log(output).exp() * noise
    }

    fn normalisation(&self, _feature: usize) -> Normalisation {
        Normalisation::Standard
    }
}
