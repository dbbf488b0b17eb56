//! The Bernoulli likelihood.

use burn::tensor::{Tensor, activation::softplus};

use super::{LikelihoodFamily, Output, Support};
use crate::{batch::Target, distribution, noise::Noise};

/// Values from 0 to 1; the output is log-odds.
///
/// `log p(x) = x l - ln(1 + exp(l))`: the log-probability of binary values, the negative
/// cross-entropy of grey ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bernoulli;

/// Log-odds under which 0 is certain in single precision.
const IMPOSSIBLE: f64 = -1e4;

impl LikelihoodFamily for Bernoulli {
    fn name(&self) -> &str {
        "bernoulli"
    }

    fn support(&self) -> Support {
        Support::Unit
    }

    fn terms(&self, output: &Output<'_>, values: Tensor<3>, _: Option<&Tensor<1>>) -> Tensor<3> {
        values * output.all() - softplus(output.all(), 1.0)
    }

    fn log_prob(&self, output: &Output<'_>, target: &Target) -> Tensor<2> {
        let values = super::dense(self, target);
        let (logits, values) = match &target.cells {
            None => (output.all(), values),
            // A missing cell is a 0 that was certain: it adds nothing, and no gradient passes.
            Some(cells) => {
                let missing = cells.clone().equal_scalar(0.0);
                let values = values.mask_fill(missing.clone(), 0.0);
                let missing = missing.unsqueeze_dim::<3>(0).expand(output.dims());
                (output.all().mask_fill(missing, IMPOSSIBLE), values)
            }
        };
        distribution::Bernoulli::new(logits).log_prob(values)
    }

    fn mean(&self, output: &Output<'_>, _: Option<&Tensor<1>>) -> Tensor<3> {
        distribution::Bernoulli::new(output.all()).mean()
    }

    fn sample(&self, output: &Output<'_>, _: Option<&Tensor<1>>, noise: &mut Noise) -> Tensor<3> {
        let mean = self.mean(output, None);
        noise.uniform(mean.dims(), 1, &mean.device()).lower(mean).float()
    }
}
