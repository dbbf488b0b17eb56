//! Pieces of objectives: reductions, schedules, rescaling, importance-sampled likelihoods.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use multivae_core::{
//!     batch::Progress,
//!     modality::ModalitySpec,
//!     objective::{LogMeanExp, Rescale, Warmup, iwae, mean_over_sources},
//! };
//!
//! // An image of 12 values and a table of 3, to weigh the same.
//! let specs = [ModalitySpec::new("image", &[3, 2, 2])?, ModalitySpec::new("table", &[3])?];
//! assert_eq!(Rescale::BySize.factors(&specs), [1.0, 4.0]);
//!
//! // Half-way through the second of four epochs of warm-up.
//! assert_eq!(Warmup { epochs: 4 }.weight(Progress::new(2, 0.5)), 0.375);
//! assert_eq!(Warmup { epochs: 4 }.weight(Progress::DONE), 1.0);
//!
//! let device = Device::flex();
//! let near = |found: f32, expected: f32| assert!((found - expected).abs() < 1e-5, "{found}");
//!
//! // One row with the importance weights 1 and 3: ln 2, whose error is sd / (√2 · mean) = 1 / (2√2).
//! let weights = Tensor::<2>::from_floats([[1.0], [3.0]], &device).log();
//! let estimate = LogMeanExp::new(1, &device).push(weights.clone()).estimate();
//! near(estimate.log_likelihood.into_scalar(), 2_f32.ln());
//! near(estimate.standard_error.into_scalar(), 0.125_f32.sqrt());
//!
//! // The same as an objective, of one source of samples, `[source, samples, batch]`.
//! let one = Tensor::<2>::ones([1, 1], &device);
//! near(iwae(weights.unsqueeze_dim(0), &one).into_scalar(), -(2_f32.ln()));
//!
//! // Means over the sources that a row has: (1 + 3) / 2 and 5.
//! let values = Tensor::<2>::from_floats([[1.0, 5.0], [3.0, 9.0]], &device);
//! let sources = Tensor::<2>::from_floats([[1.0, 1.0], [1.0, 0.0]], &device);
//! near(mean_over_sources(values, &sources).into_scalar(), 3.5);
//! # Ok::<(), multivae_core::Error>(())
//! ```

use burn::{
    module::Module,
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{Device, Tensor, activation},
};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result, batch::Progress, distribution::Normal, mixture::log_sum_exp,
    modality::ModalitySpec,
};

/// How the log-likelihoods of modalities of different size are weighed against each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rescale {
    /// All have weight one.
    #[default]
    None,
    /// A modality of `n` features has weight `max / n`, `max` being the largest number of
    /// features, so that all weigh the same.
    BySize,
    /// Given weights, in the order of the modalities.
    Given(Vec<f64>),
}

impl Rescale {
    /// # Errors
    ///
    /// [`Error::Config`] if given weights are not `modalities` finite numbers of at least 0.
    pub fn check(&self, modalities: usize) -> Result<()> {
        match self {
            Self::Given(weights)
                if weights.len() != modalities
                    || weights.iter().any(|w| !(w.is_finite() && *w >= 0.0)) =>
            {
                Err(Error::Config {
                    field: "model.rescale.given".into(),
                    expected: format!("{modalities} finite numbers of at least 0"),
                    found: format!("{weights:?}"),
                })
            }
            _ => Ok(()),
        }
    }

    /// One weight per modality.
    pub fn factors(&self, specs: &[ModalitySpec]) -> Vec<f64> {
        let largest = specs.iter().map(ModalitySpec::features).max().unwrap_or(1);
        match self {
            Self::None => vec![1.0; specs.len()],
            Self::BySize => specs.iter().map(|s| largest as f64 / s.features() as f64).collect(),
            Self::Given(weights) => weights.clone(),
        }
    }
}

/// Linear growth of a weight from 0 to 1 over the first `epochs` epochs; 0 epochs for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Warmup {
    /// Length in epochs.
    pub epochs: usize,
}

impl Warmup {
    /// The weight: `(epoch - 1 + fraction) / epochs`, and 1 from epoch `epochs` on.
    ///
    /// Source: Wu and Goodman 2018, as their code and MultiVae have it; the step to 1 comes at
    /// the start of the last epoch.
    pub fn weight(self, progress: Progress) -> f64 {
        if progress.epoch >= self.epochs {
            return 1.0;
        }
        ((progress.epoch as f64 - 1.0 + progress.fraction) / self.epochs as f64).clamp(0.0, 1.0)
    }
}

/// How much work an estimate is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Importance samples per row.
    pub samples: usize,
    /// How many latent rows are decoded at once: memory against speed.
    pub max_rows: usize,
}

/// A log-likelihood per row, estimated by importance sampling.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// The estimate, `[batch]`, nats.
    pub log_likelihood: Tensor<1>,
    /// Its standard error by the delta method, `[batch]`.
    pub standard_error: Tensor<1>,
}

impl Estimate {
    /// The difference from an estimate that was made independently: that of a ratio.
    pub fn minus(self, other: Self) -> Self {
        let squares = self.standard_error.square() + other.standard_error.square();
        Self {
            log_likelihood: self.log_likelihood - other.log_likelihood,
            standard_error: squares.sqrt(),
        }
    }
}

/// A log-mean-exp of weights that come in chunks, in memory that does not grow.
#[derive(Clone, Debug)]
pub struct LogMeanExp {
    max: Tensor<1>,
    /// Sums of `exp(weight - max)` and of its square.
    sum: Tensor<1>,
    squares: Tensor<1>,
    count: usize,
}

impl LogMeanExp {
    /// Nothing yet, for `rows` rows.
    pub fn new(rows: usize, device: &Device) -> Self {
        Self {
            max: Tensor::full([rows], f32::MIN, device),
            sum: Tensor::zeros([rows], device),
            squares: Tensor::zeros([rows], device),
            count: 0,
        }
    }

    /// Takes log-weights `[samples, batch]`.
    pub fn push(self, log_weights: Tensor<2>) -> Self {
        let [samples, _] = log_weights.dims();
        let max = log_weights.clone().max_dim(0).squeeze_dim::<1>(0).max_pair(self.max.clone());
        let scale = (self.max - max.clone()).exp();
        let weights = (log_weights - max.clone().unsqueeze_dim(0)).exp();
        Self {
            sum: self.sum * scale.clone() + weights.clone().sum_dim(0).squeeze_dim(0),
            squares: self.squares * scale.square() + weights.square().sum_dim(0).squeeze_dim(0),
            max,
            count: self.count + samples,
        }
    }

    /// `log(mean(exp(weights)))` with its standard error `sd(w) / (sqrt(n) mean(w))`.
    pub fn estimate(self) -> Estimate {
        let n = self.count as f64;
        let mean = self.sum / n;
        let variance = (self.squares / n - mean.clone().square()).clamp_min(0.0);
        Estimate {
            log_likelihood: mean.clone().log() + self.max,
            standard_error: (variance / n).sqrt() / mean,
        }
    }
}

/// Estimates `log E_q[exp(weight)]` per row, in chunks whose latent rows do not exceed
/// `budget.max_rows`; `weights` gives the log-weights `[n, batch]` of a range of `n` samples.
pub fn importance_estimate(
    rows: usize,
    Budget { samples, max_rows }: Budget,
    device: &Device,
    mut weights: impl FnMut(std::ops::Range<usize>) -> Tensor<2>,
) -> Estimate {
    let chunk = (max_rows / rows.max(1)).clamp(1, samples.max(1));
    let mut sum = LogMeanExp::new(rows, device);
    let mut start = 0;
    while start < samples {
        let end = (start + chunk).min(samples);
        sum = sum.push(weights(start..end));
        start = end;
    }
    sum.estimate()
}

/// The importance-weighted bound over several sources of samples, negated: `[1]`.
///
/// From log-weights `[source, samples, batch]` and which sources a row has, `[source, batch]`:
/// `-mean_b 1/n_b Σ_r [ln 1/K Σ_k exp(w_rkb)]` over the `n_b` sources of a row.
///
/// Source: Burda et al. 2016; Shi et al. 2019, the looser of their two bounds.
pub fn iwae(log_weights: Tensor<3>, sources: &Tensor<2>) -> Tensor<1> {
    let [_, samples, _] = log_weights.dims();
    let bounds = log_sum_exp(log_weights, 1).squeeze_dim::<2>(1) - (samples as f64).ln();
    mean_over_sources(bounds, sources).neg()
}

/// The mean over rows of the mean over a row's sources, `[1]`, of `[source, batch]`.
pub fn mean_over_sources(values: Tensor<2>, sources: &Tensor<2>) -> Tensor<1> {
    let count = sources.clone().sum_dim(0).clamp_min(1.0);
    ((values * sources.clone()).sum_dim(0) / count).mean()
}

/// Gradients of [`iwae`] with the doubly reparameterised estimator.
///
/// `samples` are reparameterised, `[source, samples, batch, features]` each; `log_weights` gives
/// `[source, samples, batch]` for values that it must use in their place, and must not let
/// gradients reach the parameters of posterior densities. With normalised weights `w`, decoders and
/// priors learn from `Σ_k w_k ∂ log_weight_k`, encoders from `Σ_k w_k² ∂ log_weight_k / ∂z_k ∂z_k`.
///
/// Two backward passes and no second forward pass: one to `∂ log_weight / ∂z`, one from there.
///
/// Source: Tucker et al. 2019, "Doubly reparameterized gradient estimators"; Shi et al. 2019.
pub fn dreg<M: Module>(
    model: &M,
    samples: Vec<Tensor<4>>,
    sources: &Tensor<2>,
    log_weights: impl FnOnce(&[Tensor<4>]) -> Tensor<3>,
) -> GradientsParams {
    let leaves: Vec<Tensor<4>> =
        samples.iter().map(|z| z.clone().detach().require_grad()).collect();
    let log_weights = log_weights(&leaves);
    let weights = activation::softmax(log_weights.clone().detach(), 1);
    let sum = (log_weights * weights.clone()).sum_dim(1).squeeze_dim::<2>(1);
    let first = mean_over_sources(sum, sources).neg().backward();
    let weights = weights.unsqueeze_dim::<4>(3);
    let surrogate = samples
        .into_iter()
        .zip(&leaves)
        .filter_map(|(z, leaf)| {
            let gradient = Tensor::from_inner(leaf.grad(&first)?);
            Some((z * (gradient * weights.clone())).sum())
        })
        .reduce(|sum, next| sum + next);
    let mut gradients = GradientsAccumulator::new();
    gradients.accumulate(model, GradientsParams::from_grads(first, model));
    if let Some(surrogate) = surrogate {
        gradients.accumulate(model, GradientsParams::from_grads(surrogate.backward(), model));
    }
    gradients.grads()
}

/// `log p(z) - log q(z)` of standard-normal prior and normal posterior, for samples
/// `[samples, batch, latent]`; `[samples, batch]`, summed over latent features.
pub fn log_prior_ratio(z: &Tensor<3>, posterior: &Normal<3>) -> Tensor<2> {
    let prior = Normal::standard_like(z);
    prior.log_prob(z.clone()) - posterior.log_prob(z.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warmup_is_zero_at_the_start_and_one_from_the_last_epoch() {
        let warmup = Warmup { epochs: 4 };
        let at = |epoch, fraction| warmup.weight(Progress::new(epoch, fraction));
        assert_eq!(at(1, 0.0), 0.0);
        assert_eq!(at(2, 0.5), 0.375);
        assert_eq!(at(4, 0.0), 1.0);
        assert_eq!(warmup.weight(Progress::DONE), 1.0);
        assert_eq!(Warmup { epochs: 0 }.weight(Progress::new(1, 0.0)), 1.0);
    }

    #[test]
    fn rescaling_by_size_equals_multivae() {
        let specs = [
            ModalitySpec::new("mnist", &[1, 28, 28]).expect("valid"),
            ModalitySpec::new("svhn", &[3, 32, 32]).expect("valid"),
        ];
        let factors = Rescale::BySize.factors(&specs);
        assert!((factors[0] - 3.9183673).abs() < 1e-6 && factors[1] == 1.0, "{factors:?}");
    }

    #[test]
    fn log_mean_exp_in_chunks_equals_the_whole() {
        let device = Device::flex();
        let rows = [[-1000.0_f32, 3.0], [-1001.0, -2.0], [-999.0, 0.5], [-1005.0, 80.0]];
        let whole = LogMeanExp::new(2, &device).push(Tensor::from_floats(rows, &device)).estimate();
        let chunks = rows
            .iter()
            .fold(LogMeanExp::new(2, &device), |sum, row| {
                sum.push(Tensor::from_floats([*row], &device))
            })
            .estimate();
        let expected = [
            -999.0 + (1.0 + (-1f64).exp() + (-2f64).exp() + (-6f64).exp()).ln() - 4f64.ln(),
            80.0 - 4f64.ln(),
        ];
        for (estimate, name) in [(whole, "whole"), (chunks, "chunks")] {
            let values: Vec<f32> =
                estimate.log_likelihood.into_data().try_into_vec().expect("floats");
            for (value, expected) in values.iter().zip(expected) {
                assert!((f64::from(*value) - expected).abs() < 1e-3, "{name}: {values:?}");
            }
        }
    }
}
