//! WB-VAE: the Wasserstein barycentre of the posteriors of single modalities.
//!
//! **Paper.** Qiu et al., "Multimodal Variational Autoencoder: a Barycentric View", AAAI 2025,
//! arXiv 2412.20487.
//!
//! **Generative process.** `z ~ N(0, I)`, for modalities with a private space `w_m ~ N(0, I)`,
//! `x_m ~ p(x_m | z, w_m)`.
//!
//! **Inference.** `q(z | x_S)` is the barycentre of the normal experts that a row observes, with equal
//! weights, in the Wasserstein distance of order 2: the mean of their means and of their deviations.
//! A row without any has the prior.
//!
//! **Objective.**
//!
//! ```text
//! loss = mean_b [ -Σ_m λ_m log p(x_m | z, w_m) + β ( KL(q ‖ p(z)) + Σ_m KL(q(w_m | x_m) ‖ p(w_m)) ) ]
//! ```
//!
//! with sums over observed modalities.
//!
//! **What differs from the authors' work.** No code of theirs was found: the barycentre is the known one
//! of diagonal normal distributions. Their mixture of barycentres of subsets is not here.
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
        pooling::barycentre,
        posterior::normal_posterior,
    },
    registry::Listed,
};

options! {
    /// Configuration of [`WbVae`].
    pub struct WbVaeConfig {
        /// Features of the shared latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of all divergences from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Features of private spaces by modality; a modality that is not named has none.
        pub private: BTreeMap<ModalityName, usize> = BTreeMap::new(),
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A VAE with a barycentre of experts; see the [module](self).
#[derive(Module, Debug)]
pub struct WbVae {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: WbVaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
    #[module(skip)]
    private: Vec<usize>,
}

impl Listed for WbVaeConfig {
    fn exercise(specs: &[ModalitySpec]) -> Value {
        json!({ "private": { specs[0].name.as_str(): 2 } })
    }
}

impl WbVaeConfig {
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
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<WbVae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = blocks::private_sizes(&self.private, &modalities)?;
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        Ok(WbVae { encoders, decoders, modalities, config: self.clone(), rescale, private })
    }
}

impl WbVae {
    /// The posterior of the shared space and the sources of the private codes, given a subset.
    fn posterior(&self, batch: &Batch, given: Subset) -> (Normal<2>, Vec<PrivateSpace>) {
        let unimodal = blocks::encode(&self.encoders, &self.modalities, batch, given);
        let shared = barycentre(&unimodal.experts);
        (shared, PrivateSpace::of(&unimodal, batch, &self.private))
    }
}

impl Multimodal for WbVae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for WbVae {
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.push("kl".into());
        names.extend(blocks::private_terms(&self.modalities, &self.private));
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let (shared, spaces) = self.posterior(batch, Subset::full(self.modalities.len()));
        let beta = self.config.beta;
        let weights = Weights { shared: beta, private: beta, rescale: &self.rescale };
        let bound =
            PrivateBound { decoders: &self.decoders, modalities: &self.modalities, weights };
        bound.of_posterior(self.terms(batch.progress), batch, &shared, &spaces, noise)
    }
}

normal_posterior!(WbVae);
