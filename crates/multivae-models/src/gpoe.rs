//! gPoE: a product of experts whose powers are learned, for each modality and latent feature.
//!
//! **Paper.** Lawry Aguila, Chapman and Altmann, "Multi-modal Variational Autoencoders for
//! normative modelling across multiple imaging modalities", MICCAI 2023, arXiv 2303.12706; Cao and
//! Fleet, "Generalized Product of Experts for Automatic and Principled Fusion of Gaussian Process
//! Predictions", arXiv 1410.7827.
//!
//! **Generative process.** `z ~ N(0, I)`, for modalities with a private space `w_m ~ N(0, I)`,
//! `x_m ~ p(x_m | z, w_m)`.
//!
//! **Inference.** `q(z | x_S) ∝ Π_{m in S} q(z | x_m)^{a_m}`, a product of normal experts with a
//! power `a_m` for each modality and feature, without the prior. Powers are learned; of the
//! modalities that a row observes they add up to 1, or with `powers = "free"` each is between 0 and
//! 1. A missing modality is left out, and a row without any has the prior.
//!
//! **Objective.**
//!
//! ```text
//! loss = mean_b [ -Σ_m λ_m log p(x_m | z, w_m) + β ( KL(q ‖ p(z)) + β_private Σ_m KL(q(w_m | x_m) ‖ p(w_m)) ) ]
//! ```
//!
//! with sums over observed modalities.
//!
//! **What differs from multi-view-AE.** Its powers start at 1/M and need not add up to 1, so that
//! two experts that agree may yield a posterior wider than either, and one without any is possible;
//! here they add up to 1 unless they are asked to be free. Its powers are cut off at 0 and 1 after
//! each step, where they then learn nothing more; here they are a smooth map of what is learned. It
//! divides the likelihoods by `M`, and private divergences too; here the objective is the bound,
//! and its objective is this one with `beta = β M` and `beta_private = 1/M`, divided by `M`. It
//! takes complete rows only.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls and `M` decoder calls of `B` rows.

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
        objective::{PrivateBound, Weights},
        posterior::normal_posterior,
        powers::{ExpertPowers, Powers},
    },
    registry::Listed,
};

options! {
    /// Configuration of [`Gpoe`].
    pub struct GpoeConfig {
        /// Features of the shared latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of all divergences from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Further weight of the divergences of private spaces, at least 0.
        pub beta_private: f64 = 1.0,
        /// What holds the powers of the experts: "normalised" if they add up to 1 over what a row
        /// observes, "free" if each is between 0 and 1.
        pub powers: Powers = Powers::Normalised,
        /// Features of private spaces by modality; a modality that is not named has none.
        pub private: BTreeMap<ModalityName, usize> = BTreeMap::new(),
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A VAE with a generalised product of experts; see the [module](self).
#[derive(Module, Debug)]
pub struct Gpoe {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    powers: ExpertPowers,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: GpoeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
    #[module(skip)]
    private: Vec<usize>,
}

impl Listed for GpoeConfig {
    fn exercise(specs: &[ModalitySpec]) -> Value {
        json!({ "private": { specs[0].name.as_str(): 2 } })
    }
}

impl GpoeConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete(&self.modalities, specs)?;
        self.check()?;
        blocks::private_sizes(&self.private, specs)?;
        Ok(self)
    }

    fn check(&self) -> Result<()> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check_weight("model.beta", self.beta)?;
        blocks::check_weight("model.beta_private", self.beta_private)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Gpoe> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = blocks::private_sizes(&self.private, &modalities)?;
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let powers = ExpertPowers::init(&modalities, self.latent, self.powers, device);
        let rescale = self.rescale.factors(&modalities);
        let config = self.clone();
        Ok(Gpoe { encoders, decoders, powers, modalities, config, rescale, private })
    }
}

impl Gpoe {
    /// The powers of all experts for rows that observe them all, `[modality, 1, latent]`.
    pub fn powers(&self) -> Tensor<3> {
        let all = Subset::full(self.modalities.len());
        let device = self.powers.device();
        self.powers.of(all, &Tensor::ones([self.modalities.len(), 1], &device))
    }

    /// The posterior of the shared space and the sources of the private codes, given a subset.
    fn posterior(&self, batch: &Batch, given: Subset) -> (Normal<2>, Vec<PrivateSpace>) {
        let unimodal = blocks::encode(&self.encoders, &self.modalities, batch, given);
        let shared = blocks::only(self.powers.product(&unimodal.experts, given));
        (shared, PrivateSpace::of(&unimodal, batch, &self.private))
    }
}

impl Multimodal for Gpoe {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Gpoe {
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.push("kl".into());
        names.extend(blocks::private_terms(&self.modalities, &self.private));
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let (shared, spaces) = self.posterior(batch, Subset::full(self.modalities.len()));
        let GpoeConfig { beta, beta_private, .. } = self.config;
        let private_weight = beta * beta_private;
        let weights = Weights { shared: beta, private: private_weight, rescale: &self.rescale };
        let bound =
            PrivateBound { decoders: &self.decoders, modalities: &self.modalities, weights };
        bound.of_posterior(self.terms(batch.progress), batch, &shared, &spaces, noise)
    }
}

normal_posterior!(Gpoe);
