//! Codes that are held to the prior by a critic, which learns to tell them from samples of it.

use burn::tensor::{Tensor, activation};
use multivae_core::{
    batch::Batch,
    modality::ModalitySpec,
    model::{Loss, Phase, Stage},
    module::Named,
    nn::{Decoder, Network, NetworkNet},
    noise::Noise,
};

use crate::blocks::{
    self,
    codes::{Codes, cross_reconstructions, shares},
};

/// What a critic's value of codes means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Critic {
    /// The log-odds of being a sample of the prior: Goodfellow et al. 2014.
    Classifier,
    /// A function whose means are compared: Arjovsky et al. 2017.
    Wasserstein,
    /// 1 for what it takes for real and 0 for what it does not: Mao et al. 2017.
    LeastSquares,
}

impl Critic {
    /// What a value is worth, less being better, where `real` is what it should be taken for.
    pub fn cost<const D: usize>(self, value: Tensor<D>, real: bool) -> Tensor<D> {
        let signed = |value: Tensor<D>| if real { value.neg() } else { value };
        match self {
            Self::Classifier => activation::softplus(signed(value), 1.0),
            Self::Wasserstein => signed(value),
            Self::LeastSquares => (value - f64::from(u8::from(real))).square(),
        }
    }
}

/// Three phases: the autoencoders, the critic, and the encoders against the critic.
pub fn stages(steps: usize, clip: Option<f64>) -> Vec<Stage> {
    let critic = Phase { clip, ..Phase::new("critic", &["critic"]).repeats(steps) };
    vec![Stage::whole().phases(vec![
        Phase::new("autoencoder", &["encoders", "decoders"]),
        critic,
        Phase::new("generator", &["encoders"]),
    ])]
}

/// Names of the terms of a phase.
pub fn terms(modalities: &[ModalitySpec], phase: usize) -> Vec<String> {
    match phase {
        0 => blocks::reconstruction_terms(modalities),
        1 => vec!["critic_prior".into(), "critic_codes".into()],
        _ => vec!["generator".into()],
    }
}

/// What the objectives of all phases need of a model.
pub struct Adversary<'a> {
    /// From codes to a value.
    pub network: &'a NetworkNet,
    /// What that value means.
    pub critic: Critic,
    /// One decoder per modality.
    pub decoders: &'a Named<Decoder>,
    /// The modalities.
    pub modalities: &'a [ModalitySpec],
    /// Weights of the log-likelihoods per modality.
    pub rescale: &'a [f64],
}

impl Adversary<'_> {
    /// The objective of the phase that the batch names, on its codes. `weights`, `[source, batch]`,
    /// are those of reconstructions from each code.
    pub fn loss(
        &self,
        batch: &Batch,
        codes: &Codes,
        weights: &Tensor<2>,
        noise: &mut Noise,
    ) -> Loss {
        let names = terms(self.modalities, batch.progress.phase);
        match batch.progress.phase {
            0 => {
                let (decoders, z) = (self.decoders, &codes.values);
                let terms = cross_reconstructions(decoders, batch, z, weights, self.rescale);
                blocks::loss(blocks::sum(&terms), names, terms)
            }
            1 => self.of_critic(batch, codes, names, noise),
            _ => {
                let cost = self.critic.cost(self.values(codes.values.clone()), true);
                let total = (cost * shares(&codes.presence)).sum() / batch.rows() as f64;
                blocks::loss(total.clone(), names, vec![total])
            }
        }
    }

    /// The critic's objective: a sample of the prior weighs as much as each code of a row. No
    /// gradient reaches the encoders.
    fn of_critic(
        &self,
        batch: &Batch,
        codes: &Codes,
        names: Vec<String>,
        noise: &mut Noise,
    ) -> Loss {
        let [_, rows, latent] = codes.values.dims();
        let prior = self.values(noise.normal([1, rows, latent], 1, &batch.device()));
        let prior = self.critic.cost(prior, true);
        let own = self.critic.cost(self.values(codes.values.clone().detach()), false);
        let weights = codes.presence.clone();
        let all = weights.clone().sum_dim(0) + 1.0;
        let sum = prior.clone() + (own.clone() * weights).sum_dim(0);
        let total = (sum / all).mean();
        let own = (own * shares(&codes.presence)).sum() / rows as f64;
        blocks::loss(total, names, vec![prior.mean(), own])
    }

    /// What the critic says of codes `[source, batch, latent]`, `[source, batch]`.
    fn values(&self, z: Tensor<3>) -> Tensor<2> {
        let [sources, rows, latent] = z.dims();
        self.network.forward(z.reshape([sources * rows, latent])).reshape([sources, rows])
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn a_classifier_gains_nothing_from_being_surer_than_sure() {
        let sure = |critic: Critic| {
            let value = Tensor::<1>::from_floats([-60.0], &Device::flex());
            critic.cost(value, false).into_scalar::<f32>()
        };
        assert!((0.0..1e-6).contains(&sure(Critic::Classifier)));
        // Only bounds of its weights hold a Wasserstein critic.
        assert_eq!(sure(Critic::Wasserstein), -60.0);
        // Least squares hold it to 0 and 1.
        assert_eq!(sure(Critic::LeastSquares), 3600.0);
    }

    #[test]
    fn a_wasserstein_critic_is_clipped_and_makes_its_steps() {
        let stages = stages(5, Some(0.01));
        let phases: Vec<_> = stages[0].phases.iter().map(|p| (p.repeats, p.clip)).collect();
        assert_eq!(phases, [(1, None), (5, Some(0.01)), (1, None)]);
    }
}
