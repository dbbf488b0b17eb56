//! What has a density.

use burn::tensor::Tensor;

use super::{Draws, Generate, Latent};
use crate::{
    batch::Batch,
    distribution::Output,
    noise::Noise,
    objective::{Budget, Estimate, importance_estimate},
    subset::Subset,
};

/// The evidence lower bound of a batch, row by row, with its parts.
#[derive(Clone, Debug)]
pub struct Bound {
    /// `log p(x_m | z)` for one sample `z`, `[batch, modality]`: nats, summed over observed
    /// features, 0 where the modality is missing. Not rescaled.
    pub log_likelihood: Tensor<2>,
    /// Divergences of the posterior from the prior by space or level, `[batch]` each: nats,
    /// summed over latent features. Not weighted.
    pub divergences: Vec<(String, Tensor<1>)>,
}

impl Bound {
    /// The bound, `[batch]`: what is observed, minus all divergences.
    pub fn elbo(&self) -> Tensor<1> {
        let likelihood = self.log_likelihood.clone().sum_dim(1).squeeze_dim(1);
        self.divergences.iter().fold(likelihood, |bound, (_, kl)| bound - kl.clone())
    }
}

/// A log-likelihood to be estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LikelihoodQuery {
    /// The modalities whose density is wanted. Where one is missing it is left out of its row.
    pub targets: Subset,
    /// What is conditioned on.
    pub given: Given,
    /// How much work is done.
    pub budget: Budget,
}

/// What a likelihood is conditioned on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Nothing: the joint likelihood `log p(x_T)`.
    Nothing,
    /// `log p(x_T | x_S) = log p(x_T, x_S) - log p(x_S)`, each estimated by importance sampling:
    /// exact in the limit of many samples.
    Values(Subset),
    /// `log E[p(x_T | z)]` over the model's own `q(z | x_S)`, as MultiVae's `compute_cond_nll`: how
    /// well the model generates the targets. It is the conditional likelihood only as far as
    /// `q(z | x_S)` is the posterior.
    Posterior(Subset),
}

/// A model with densities of values: a generative model whose bound and likelihood can be measured.
pub trait Density: Generate {
    /// `log p(x_m | z)` of one modality, `[samples, batch]`: nats, summed over observed features,
    /// 0 where the modality is missing. Not rescaled.
    fn log_prob(&self, batch: &Batch, latent: &Latent, modality: usize) -> Tensor<2> {
        let mut decoded = self.decode(latent, Subset::single(modality));
        self.log_prob_of(batch, decoded.swap_remove(0), modality)
    }

    /// The same from the parameters that [`decode`](Generate::decode) gives of the modality, so that
    /// who has decoded need not do it again.
    fn log_prob_of(&self, batch: &Batch, parameters: Tensor<3>, modality: usize) -> Tensor<2> {
        let target = batch.target(modality);
        let log_prob = match self.decoder(modality) {
            Some(decoder) => decoder.log_prob(parameters, &target),
            None => {
                let spec = &self.modalities()[modality];
                let output = Output::new(parameters, &spec.shape, &[]);
                spec.likelihood.family().log_prob(&output, &target)
            }
        };
        log_prob * batch.presence().of(modality).unsqueeze_dim(0)
    }

    /// The evidence lower bound with `q(z | x_S)` as the posterior, on all observed modalities.
    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound;

    /// An estimate of `log p(x_T)` for each row by importance sampling; 0 for rows that observe no
    /// target.
    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate;

    /// An estimate of a log-likelihood for each row.
    fn log_likelihood(
        &self,
        batch: &Batch,
        query: &LikelihoodQuery,
        noise: &mut Noise,
    ) -> Estimate {
        let LikelihoodQuery { targets, given, budget } = *query;
        match given {
            Given::Nothing => self.joint_likelihood(batch, targets, budget, noise),
            Given::Values(given) => {
                let both = self.joint_likelihood(batch, targets.union(given), budget, noise);
                both.minus(self.joint_likelihood(batch, given, budget, noise))
            }
            Given::Posterior(given) => {
                let (rows, device) = (batch.rows(), batch.device());
                importance_estimate(rows, budget, &device, |samples| {
                    let draws = Draws::Samples(samples.len());
                    let latent = self.encode(batch, given, draws, noise);
                    let log_probs = targets.iter().map(|m| self.log_prob(batch, &latent, m));
                    log_probs.reduce(|sum, next| sum + next).expect("a subset is not empty")
                })
            }
        }
    }
}
