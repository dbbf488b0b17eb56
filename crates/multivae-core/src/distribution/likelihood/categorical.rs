//! The categorical likelihood.

use burn::tensor::{Tensor, activation::log_softmax};

use super::{LikelihoodFamily, Output, Support};
use crate::{
    batch::{Target, Values},
    distribution,
    noise::Noise,
};

/// One-hot values, probabilities or tokens; the output is logits over the last axis of the
/// modality's shape.
///
/// `log p(x) = Σ_c x_c log_softmax(l)_c` of each position. A position with a missing class counts
/// with the classes that it observes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Categorical;

fn classes(output: &Output<'_>) -> usize {
    output.shape()[output.shape().len() - 1]
}

/// `[samples * batch, positions, classes]`.
fn by_position(output: &Output<'_>) -> Tensor<3> {
    let [samples, batch, features] = output.dims();
    let classes = classes(output);
    output.all().reshape([samples * batch, features / classes, classes])
}

impl LikelihoodFamily for Categorical {
    fn name(&self) -> &str {
        "categorical"
    }

    fn support(&self) -> Support {
        Support::Simplex
    }

    fn terms(&self, output: &Output<'_>, values: Tensor<3>, _: Option<&Tensor<1>>) -> Tensor<3> {
        log_softmax(by_position(output), 2).reshape(output.dims()) * values
    }

    fn log_prob(&self, output: &Output<'_>, target: &Target) -> Tensor<2> {
        let samples = output.dims()[0];
        let (values, output) = match (&target.values, &target.cells) {
            (Values::Tokens { ids, mask }, _) => {
                let ids = ids.clone().repeat(&[samples, 1]);
                let mask = mask.clone().repeat(&[samples, 1]);
                return distribution::Categorical::new(output.all(), classes(output))
                    .log_prob_tokens(ids, mask);
            }
            (Values::Dense(values), None) => (values.clone(), output.clone()),
            (Values::Dense(values), Some(cells)) => {
                let missing = cells.clone().equal_scalar(0.0);
                (values.clone().mask_fill(missing.clone(), 0.0), output.without(&missing))
            }
        };
        distribution::Categorical::new(output.all(), classes(&output))
            .log_prob(values.unsqueeze_dim::<3>(0))
    }

    fn mean(&self, output: &Output<'_>, _: Option<&Tensor<1>>) -> Tensor<3> {
        distribution::Categorical::new(output.all(), classes(output)).mean()
    }

    /// One-hot values, by the largest of logits with Gumbel noise.
    fn sample(&self, output: &Output<'_>, _: Option<&Tensor<1>>, noise: &mut Noise) -> Tensor<3> {
        let (dims, classes) = (output.dims(), classes(output));
        // A column of a table can hold one class only, and Burn has no one-hot values of one class.
        if classes == 1 {
            return Tensor::ones(dims, &output.all().device());
        }
        let logits = by_position(output);
        let uniform = noise.uniform(dims, 1, &output.all().device());
        let gumbel = uniform.clamp(1e-20, 1.0 - 6e-8).log().neg().log().neg();
        let noisy = logits.clone() + gumbel.reshape(logits.dims());
        noisy.argmax(2).squeeze_dim::<2>(2).one_hot::<3>(classes).float().reshape(dims)
    }
}
