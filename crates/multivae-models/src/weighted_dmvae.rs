//! Weighted DMVAE: shared and private spaces, joined by a product of experts with learned powers.
//!
//! **Paper.** Lee and Pavlovic, "Private-Shared Disentangled Multimodal VAE for Learning of Latent
//! Representations", CVPR workshops 2021, with the product of Cao and Fleet, arXiv 1410.7827; this
//! form is multi-view-AE's.
//!
//! **Generative process.** `z ~ N(0, I)` and for every modality `w_m ~ N(0, I)`,
//! `x_m ~ p(x_m | z, w_m)`.
//!
//! **Inference.** `q(z | x_S) ∝ Π_{m in S} q(z | x_m)^{a_m}` as in `gpoe`, without the prior, with a
//! learned power for each modality and feature; a missing modality is left out, and a row without
//! any has the prior. `q(w_m | x_m)` is normal.
//!
//! **Objective.** That of `dmvae`: for a posterior `q` of the shared space, with `z ~ q` and
//! `w_m ~ q(w_m | x_m)` drawn for each `q` anew,
//!
//! ```text
//! L(q) = -Σ_m λ_m log p(x_m | z, w_m) + β KL(q ‖ p(z)) + Σ_m β_m KL(q(w_m | x_m) ‖ p(w_m))
//! loss = mean_b [ L(q(z | X)) + Σ_k L(q(z | x_k)) ]
//! ```
//!
//! with sums over observed modalities.
//!
//! **What differs from multi-view-AE.** In the terms of single posteriors it decodes modality `i`
//! from the shared code of `i` and the private code of `j`; here, as in the paper, from the shared
//! code of `j` and its own private code. It counts the joint divergence `M` times in the sum over
//! modalities, that of single ones too: its objective is this one with `beta = β M`. It leaves the
//! weights of modalities out of the joint term; here they are in all. Each modality's networks take
//! a step of their own there, `M + 1` passes a batch; here there is one. Powers are those of
//! `gpoe`. It takes complete rows only.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows, `M` decoder calls of `(M + 1) B` rows.

use std::collections::BTreeMap;

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::Normal,
    modality::{ModalityName, ModalitySpec},
    model::{Learn, Loss, Multimodal},
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::Rescale,
    options,
    subset::Subset,
};
use serde_json::{Value, json};

use crate::{
    blocks::{
        self, ModalityConfig, PrivateSpace,
        objective::SingleBounds,
        posterior::normal_posterior,
        powers::{ExpertPowers, Powers},
    },
    registry::Listed,
};

options! {
    /// Configuration of [`WeightedDmvae`].
    pub struct WeightedDmvaeConfig {
        /// Features of the shared latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of the divergences of shared posteriors from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// What holds the powers of the experts: "normalised" if they add up to 1 over what a row
        /// observes, "free" if each is between 0 and 1.
        pub powers: Powers = Powers::Normalised,
        /// Features of private spaces by modality, 4 for one that is not named; 0 for none.
        pub private: BTreeMap<ModalityName, usize> = BTreeMap::new(),
        /// Weights of the private divergences by modality, at least 0; 1 for one that is not named.
        pub private_betas: BTreeMap<ModalityName, f64> = BTreeMap::new(),
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// Features of the private space of a modality of which nothing else is said.
const PRIVATE: usize = 4;

/// A VAE with shared and private spaces and learned powers; see the [module](self).
#[derive(Module, Debug)]
pub struct WeightedDmvae {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    powers: ExpertPowers,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: WeightedDmvaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
    #[module(skip)]
    private: Vec<usize>,
    #[module(skip)]
    private_betas: Vec<f64>,
}

impl Listed for WeightedDmvaeConfig {
    fn exercise(specs: &[ModalitySpec]) -> Value {
        json!({ "private": { specs[0].name.as_str(): 2, specs[1].name.as_str(): 0 } })
    }
}

impl WeightedDmvaeConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete(&self.modalities, specs)?;
        self.check()?;
        for spec in specs {
            self.private.entry(spec.name.clone()).or_insert(PRIVATE);
        }
        blocks::private_sizes(&self.private, specs)?;
        self.betas(specs)?;
        Ok(self)
    }

    fn check(&self) -> Result<()> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check_weight("model.beta", self.beta)?;
        self.rescale.check(self.modalities.len())
    }

    /// Weights of the private divergences.
    fn betas(&self, specs: &[ModalitySpec]) -> Result<Vec<f64>> {
        blocks::weights("model.private_betas", &self.private_betas, specs, |_| 1.0)
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<WeightedDmvae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = blocks::private_sizes(&self.private, &modalities)?;
        let private_betas = self.betas(&modalities)?;
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        Ok(WeightedDmvae {
            encoders,
            decoders,
            powers: ExpertPowers::init(&modalities, self.latent, self.powers, device),
            rescale: self.rescale.factors(&modalities),
            modalities,
            config: self.clone(),
            private,
            private_betas,
        })
    }
}

impl WeightedDmvae {
    /// The posterior of the shared space and the sources of the private codes, given a subset.
    fn posterior(&self, batch: &Batch, given: Subset) -> (Normal<2>, Vec<PrivateSpace>) {
        let unimodal = blocks::encode(&self.encoders, &self.modalities, batch, given);
        let shared = blocks::only(self.powers.product(&unimodal.experts, given));
        (shared, PrivateSpace::of(&unimodal, batch, &self.private))
    }

    fn bounds(&self) -> SingleBounds<'_> {
        SingleBounds {
            decoders: &self.decoders,
            modalities: &self.modalities,
            private: &self.private,
            beta: self.config.beta,
            private_betas: &self.private_betas,
            rescale: &self.rescale,
        }
    }
}

impl Multimodal for WeightedDmvae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for WeightedDmvae {
    /// `joint` and `single/NAME` are the parts of the sum, one a posterior of the shared space;
    /// the others are those of `joint`.
    fn terms(&self, _: Progress) -> Vec<String> {
        self.bounds().terms()
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let all = Subset::full(self.modalities.len());
        let unimodal = blocks::encode(&self.encoders, &self.modalities, batch, all);
        let joint = self.powers.product(&unimodal.experts, all);
        self.bounds().loss(batch, &unimodal, joint, noise)
    }
}

normal_posterior!(WeightedDmvae);
