//! HELVAE: experts that are pooled by their Hellinger affinities.
//!
//! **Paper.** Vo and Valera, AISTATS 2026, arXiv 2601.06572.
//!
//! **Generative process.** `z ~ N(0, I)`, for modalities with a private space `w_m ~ N(0, I)`,
//! `x_m ~ p(x_m | z, w_m)`.
//!
//! **Inference.** `q(z | x_S)` is the normal distribution with the moments of the Hölder pool of order ½
//! of the normal experts that a row observes, `(Σ_m √q(z | x_m))²` up to a factor: a mixture of the
//! experts and of `√(q_i q_j)` for each pair, which weighs as much as the two overlap. A row without any
//! has the prior.
//!
//! **Objective.**
//!
//! ```text
//! loss = mean_b [ -Σ_m λ_m log p(x_m | z, w_m) + β ( KL(q ‖ p(z)) + Σ_m KL(q(w_m | x_m) ‖ p(w_m)) ) ]
//! ```
//!
//! with sums over observed modalities.
//!
//! **What differs from the authors' code.** The posterior is the same. Its variance is the mean of squared
//! distances, not a difference of moments, so that none is lost in single precision and no smallest
//! variance is needed. Their mixture over subsets is not here.
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
        pooling::hellinger,
        posterior::normal_posterior,
    },
    registry::Listed,
};

options! {
    /// Configuration of [`Helvae`].
    pub struct HelvaeConfig {
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

/// A VAE with Hellinger pooling of experts; see the [module](self).
#[derive(Module, Debug)]
pub struct Helvae {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: HelvaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
    #[module(skip)]
    private: Vec<usize>,
}

impl Listed for HelvaeConfig {
    fn exercise(specs: &[ModalitySpec]) -> Value {
        json!({ "private": { specs[0].name.as_str(): 2 } })
    }
}

impl HelvaeConfig {
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
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Helvae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = blocks::private_sizes(&self.private, &modalities)?;
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        Ok(Helvae { encoders, decoders, modalities, config: self.clone(), rescale, private })
    }
}

impl Helvae {
    /// The posterior of the shared space and the sources of the private codes, given a subset.
    fn posterior(&self, batch: &Batch, given: Subset) -> (Normal<2>, Vec<PrivateSpace>) {
        let unimodal = blocks::encode(&self.encoders, &self.modalities, batch, given);
        let shared = hellinger(&unimodal.experts);
        (shared, PrivateSpace::of(&unimodal, batch, &self.private))
    }
}

impl Multimodal for Helvae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Helvae {
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

normal_posterior!(Helvae);
