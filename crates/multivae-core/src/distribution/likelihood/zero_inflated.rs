//! Likelihoods of counts with zeros beside them.

use burn::tensor::{Tensor, activation::sigmoid};
use serde::{Deserialize, Serialize};

use super::{
    Learned, LikelihoodFamily, NegativeBinomial, Output, Poisson, Scale, Support, count,
    negative_binomial::learned_per_feature,
};
use crate::{Result, noise::Noise};

/// [`Poisson`] counts that are 0 with a probability of their own; the second parameter is its
/// log-odds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZeroInflatedPoisson;

/// [`NegativeBinomial`] counts that are 0 with a probability of their own; the last parameter is
/// its log-odds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroInflatedNegativeBinomial {
    /// Dispersion; see [`NegativeBinomial`].
    #[serde(default = "learned_per_feature")]
    pub dispersion: Scale,
}

impl Default for ZeroInflatedNegativeBinomial {
    fn default() -> Self {
        Self { dispersion: learned_per_feature() }
    }
}

impl ZeroInflatedNegativeBinomial {
    fn counts(self) -> NegativeBinomial {
        NegativeBinomial { dispersion: self.dispersion }
    }

    /// The number of the parameter that inflates.
    fn inflation(self) -> usize {
        self.dispersion.parameters()
    }
}

/// Counts that are kept with probability `1 - π`, `π` of log-odds.
fn kept(counts: Tensor<3>, log_odds: Tensor<3>, noise: &mut Noise) -> Tensor<3> {
    let uniform = noise.uniform(counts.dims(), 1, &counts.device());
    counts * uniform.greater_equal(sigmoid(log_odds)).float()
}

impl LikelihoodFamily for ZeroInflatedPoisson {
    fn name(&self) -> &str {
        "zero_inflated_poisson"
    }

    fn parameters(&self) -> usize {
        2
    }

    fn support(&self) -> Support {
        Support::Counts
    }

    fn output_of_means(&self, means: &[f32]) -> Option<Vec<f32>> {
        // At log-odds of 0 half of the counts are kept.
        let means: Vec<f32> = means.iter().map(|mean| 2.0 * mean).collect();
        Some(count::output_of_means(&means, self.parameters()))
    }

    fn terms(
        &self,
        output: &Output<'_>,
        values: Tensor<3>,
        offset: Option<&Tensor<1>>,
    ) -> Tensor<3> {
        let (log_mean, log_odds) = (count::log_mean(output, offset), output.parameter(1));
        let counted = count::poisson(log_mean.clone(), values.clone());
        count::zero_inflated(counted, log_odds.clone(), values).attach(vec![log_mean, log_odds])
    }

    fn mean(&self, output: &Output<'_>, offset: Option<&Tensor<1>>) -> Tensor<3> {
        Poisson.mean(output, offset) * sigmoid(output.parameter(1).neg())
    }

    fn sample(
        &self,
        output: &Output<'_>,
        offset: Option<&Tensor<1>>,
        noise: &mut Noise,
    ) -> Tensor<3> {
        kept(Poisson.sample(output, offset, noise), output.parameter(1), noise)
    }

    fn encode_view(&self, values: Tensor<2>) -> Tensor<2> {
        values.log1p()
    }
}

impl LikelihoodFamily for ZeroInflatedNegativeBinomial {
    fn name(&self) -> &str {
        "zero_inflated_negative_binomial"
    }

    fn parameters(&self) -> usize {
        self.inflation() + 1
    }

    fn support(&self) -> Support {
        Support::Counts
    }

    fn learned(&self, shape: &[usize]) -> Vec<Learned> {
        self.counts().learned(shape)
    }

    fn check(&self, field: &str) -> Result<()> {
        self.counts().check(field)
    }

    fn output_of_means(&self, means: &[f32]) -> Option<Vec<f32>> {
        // At log-odds of 0 half of the counts are kept.
        let means: Vec<f32> = means.iter().map(|mean| 2.0 * mean).collect();
        Some(count::output_of_means(&means, self.parameters()))
    }

    fn terms(
        &self,
        output: &Output<'_>,
        values: Tensor<3>,
        offset: Option<&Tensor<1>>,
    ) -> Tensor<3> {
        let log_mean = count::log_mean(output, offset);
        let log_dispersion = self.dispersion.log(output);
        let log_odds = output.parameter(self.inflation());
        let counted =
            count::negative_binomial(log_mean.clone(), log_dispersion.clone(), values.clone());
        count::zero_inflated(counted, log_odds.clone(), values).attach(vec![
            log_mean,
            log_dispersion,
            log_odds,
        ])
    }

    fn mean(&self, output: &Output<'_>, offset: Option<&Tensor<1>>) -> Tensor<3> {
        self.counts().mean(output, offset) * sigmoid(output.parameter(self.inflation()).neg())
    }

    fn sample(
        &self,
        output: &Output<'_>,
        offset: Option<&Tensor<1>>,
        noise: &mut Noise,
    ) -> Tensor<3> {
        let counts = self.counts().sample(output, offset, noise);
        kept(counts, output.parameter(self.inflation()), noise)
    }

    fn encode_view(&self, values: Tensor<2>) -> Tensor<2> {
        values.log1p()
    }
}
