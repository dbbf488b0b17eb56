//! A model that the library does not have: the joint posterior is the average of the unimodal ones.
//!
//! **Generative process.** `z ~ N(0, I)`, `x_m ~ p(x_m | z)` for every modality.
//!
//! **Inference.** `q(z | x_S) = N(mean_m μ_m, mean_m σ²_m)` over the modalities of `S` that a row
//! observes, the prior if it observes none.
//!
//! **Objective.** `loss = mean_b [ β KL(q(z | x) ‖ p(z)) - Σ_m log p(x_m | z) ]`, in nats.
//!
//! **Incomplete data.** Yes.

use burn::module::Module;
use multivae::{
    core::{
        Result,
        batch::Progress,
        fusion,
        model::{Bound, Loss},
        module::Named,
        nn::{Decoder, EncoderNet},
        objective::{Budget, Estimate},
    },
    models::{ModalityConfig, blocks, custom::CustomConfig},
    prelude::*,
};
use serde::{Deserialize, Serialize};

/// Settings of [`Average`], the section `[model]` of a run's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AverageConfig {
    /// Features of the latent space, at least 1.
    pub latent: usize,
    /// Weight of the divergence from the prior, at least 0.
    pub beta: f64,
    /// Networks and likelihoods by modality; what is not given comes from the data.
    pub modalities: Vec<ModalityConfig>,
}

impl Default for AverageConfig {
    fn default() -> Self {
        Self { latent: 20, beta: 1.0, modalities: Vec::new() }
    }
}

impl CustomConfig for AverageConfig {
    type Model = Average;

    fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check_weight("model.beta", self.beta)?;
        self.modalities = blocks::complete(&self.modalities, specs)?;
        Ok(self)
    }

    fn init(&self, networks: &Networks, device: &Device) -> Result<Average> {
        let modalities = blocks::specs(&self.modalities)?;
        let private = vec![0; modalities.len()];
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        Ok(Average { encoders, decoders, modalities, latent: self.latent, beta: self.beta })
    }
}

/// A VAE whose joint posterior is an average; see the [module](self).
#[derive(Module, Debug)]
pub(crate) struct Average {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    latent: usize,
    #[module(skip)]
    beta: f64,
}

impl Average {
    /// `q(z | x_S)`, `[batch, latent]`.
    fn posterior(&self, batch: &Batch, given: Subset) -> Normal<2> {
        let experts = blocks::encode(&self.encoders, &self.modalities, batch, given).experts;
        blocks::only(fusion::mean(&experts, &blocks::all_of(given.len()), false))
    }
}

impl Multimodal for Average {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Average {
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.push("kl".into());
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let posterior = self.posterior(batch, Subset::full(self.modalities.len()));
        let z = blocks::draw(&posterior, Draws::Samples(1), noise);
        let weights = vec![1.0; self.modalities.len()];
        let mut terms = blocks::reconstructions(&self.decoders, batch, &z, &weights);
        let kl = posterior.kl_standard::<1>().mean();
        let total = blocks::sum(&terms) + kl.clone() * self.beta;
        terms.push(kl);
        blocks::loss(total, self.terms(batch.progress), terms)
    }
}

impl Encode for Average {
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        Latent::shared(blocks::draw(&self.posterior(batch, given), draws, noise))
    }
}

impl Generate for Average {
    fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
        Latent::shared(noise.normal([1, rows, self.latent], 1, device))
    }

    fn decoder(&self, modality: usize) -> Option<&Decoder> {
        Some(self.decoders.at(modality))
    }

    fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
        blocks::decode(&self.decoders, &self.modalities, latent, targets)
    }
}

impl Density for Average {
    fn log_prob(&self, batch: &Batch, latent: &Latent, modality: usize) -> Tensor<2> {
        blocks::log_likelihood(&self.decoders, batch, modality, latent.z())
    }

    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        blocks::shared_bound(&self.decoders, batch, &self.posterior(batch, given), noise)
    }

    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let posterior = self.posterior(batch, targets);
        blocks::estimate(&self.decoders, batch, targets, budget, &posterior, &[], noise)
    }
}
