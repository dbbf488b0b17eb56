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

/// A model of deterministic codes that a critic holds to the prior: its struct, from a configuration with
/// the fields `latent`, `critic`, `rescale` and `modalities`, and all capabilities. Models differ in
///
/// - `critic`: what a value of the critic means,
/// - `codes`: `fn(Codes) -> Codes`, the codes that are judged and decoded, from those of modalities,
/// - `weights`: `fn(&Batch, &Codes) -> Tensor<2>`, those of reconstructions from each code,
/// - `check`: `fn(&Config) -> Result<()>`, of the fields that others lack,
/// - `stages`: `fn(&Config) -> Vec<Stage>`.
macro_rules! adversarial_codes {
    (
        $(#[doc = $doc:literal])+ pub struct $model:ident, $config:ident;
        critic: $critic:expr,
        codes: $codes:expr,
        weights: $weights:expr,
        check: $check:expr,
        stages: $stages:expr,
    ) => {
        use burn::{module::Module, tensor::{Device, Tensor}};
        use multivae_core::{
            Result,
            batch::{Batch, Progress},
            modality::ModalitySpec,
            model::{Learn, Loss, Multimodal, Stage},
            module::Named,
            nn::{Decoder, NetworkNet, Networks},
            noise::Noise,
            subset::Subset,
        };

        use $crate::{
            blocks::{
                self,
                adversary::{self, Adversary, Critic},
                codes::{CodeNet, Codes},
            },
            registry::Listed,
        };

        $(#[doc = $doc])+
        #[derive(Module, Debug)]
        pub struct $model {
            encoders: Named<CodeNet>,
            decoders: Named<Decoder>,
            critic: NetworkNet,
            #[module(skip)]
            modalities: Vec<ModalitySpec>,
            #[module(skip)]
            config: $config,
            #[module(skip)]
            rescale: Vec<f64>,
        }

        impl Listed for $config {}

        impl $config {
            /// Fills in what the data says.
            ///
            /// # Errors
            ///
            /// When configuration and data contradict each other.
            pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
                self.modalities = blocks::complete(&self.modalities, specs)?;
                self.critic.get_or_insert_with(NetworkConfig::mlp);
                self.check()?;
                Ok(self)
            }

            fn check(&self) -> Result<()> {
                blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
                let own: fn(&Self) -> Result<()> = $check;
                own(self)?;
                self.rescale.check(self.modalities.len())
            }

            /// Builds the model; `networks` holds those that the configuration calls custom.
            ///
            /// # Errors
            ///
            /// When a value is out of its range or a network cannot be built.
            pub fn init(&self, networks: &Networks, device: &Device) -> Result<$model> {
                let modalities = blocks::resolved(&self.modalities, networks)?;
                self.check()?;
                let latent = [self.latent];
                let (encoders, decoders) =
                    blocks::codes::networks(&self.modalities, self.latent, networks, device)?;
                let critic = self.critic.clone().unwrap_or_else(NetworkConfig::mlp);
                let critic = critic.init("critic", &latent, Some(&[1]), networks, device)?;
                let rescale = self.rescale.factors(&modalities);
                let config = self.clone();
                Ok($model { encoders, decoders, critic, modalities, config, rescale })
            }
        }

        impl $model {
            /// The codes that are judged and decoded, of the modalities in `given`.
            pub fn codes(&self, batch: &Batch, given: Subset) -> Codes {
                let joined: fn(Codes) -> Codes = $codes;
                joined(Codes::encode(&self.encoders, &self.modalities, batch, given))
            }
        }

        impl Multimodal for $model {
            fn modalities(&self) -> &[ModalitySpec] {
                &self.modalities
            }
        }

        impl Learn for $model {
            /// The phases have terms of their own: reconstructions of the first; what samples of the
            /// prior and codes cost the critic in the second, `critic_prior` and `critic_codes`; what
            /// the critic costs the encoders in the third, `generator`.
            fn terms(&self, progress: Progress) -> Vec<String> {
                adversary::terms(&self.modalities, progress.phase)
            }

            fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
                let codes = self.codes(batch, Subset::full(self.modalities.len()));
                let adversary = Adversary {
                    network: &self.critic,
                    critic: $critic,
                    decoders: &self.decoders,
                    modalities: &self.modalities,
                    rescale: &self.rescale,
                };
                let weights: fn(&Batch, &Codes) -> Tensor<2> = $weights;
                adversary.loss(batch, &codes, &weights(batch, &codes), noise)
            }

            fn stages(&self) -> Vec<Stage> {
                let stages: fn(&$config) -> Vec<Stage> = $stages;
                stages(&self.config)
            }
        }

        $crate::blocks::codes::deterministic_codes!($model);
    };
}

pub(crate) use adversarial_codes;

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
