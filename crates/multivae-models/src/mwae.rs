//! mWAE: autoencoders whose codes a Wasserstein critic holds to the prior.
//!
//! **Paper.** Tolstikhin, Bousquet, Gelly and Schölkopf, "Wasserstein Auto-Encoders", ICLR 2018,
//! arXiv 1711.01558; Arjovsky, Chintala and Bottou, "Wasserstein GAN", 2017, arXiv 1701.07875, for
//! the critic; the form for several modalities is multi-view-AE's.
//!
//! **Generative process.** `z ~ N(0, I)`, `x_m` the reconstruction from `z`: there is no density.
//!
//! **Inference.** `z_m = f_m(x_m)`, without noise; given several modalities, the mean of the codes of
//! those that a row observes, and 0 for a row without any.
//!
//! **Objective.** Three phases a batch, with `D` the value of the critic, over the `n` modalities
//! that a row observes:
//!
//! ```text
//! autoencoder: mean_b 1/n² Σ_j Σ_m -λ_m log p(x_m | z_j)              encoders and decoders learn
//! critic:      mean_b 1/(n + 1) [ -D(z) + Σ_j D(z_j) ], z ~ N(0, I)                  it learns
//! generator:   mean_b -1/n Σ_j D(z_j)                                           encoders learn
//! ```
//!
//! The critic makes `critic_steps` steps, after each of which its weights are kept within `clip` of
//! zero.
//!
//! **What differs from multi-view-AE.** Its critic ends in a sigmoid, since it is built before it is
//! told that it is one; here it is linear at the end, as a Wasserstein critic has to be. It makes one
//! step a batch there; here as many as are asked for. It is linear throughout by default, here a
//! perceptron. It takes complete rows only. As to likelihoods and codes of several modalities see
//! `ae`.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows in each phase, `M` decoder calls of `M B` rows, and
//! the critic on `(2 M + 1) B` codes.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    modality::ModalitySpec,
    model::{Learn, Loss, Multimodal, Stage},
    module::Named,
    nn::{Decoder, NetworkConfig, NetworkNet, Networks},
    noise::Noise,
    objective::Rescale,
    options,
    subset::Subset,
};

use crate::{
    ae::pairs,
    blocks::{
        self, ModalityConfig,
        adversary::{self, Adversary, Critic},
        codes::{self, CodeNet, Codes, deterministic_codes},
    },
    registry::Listed,
};

options! {
    /// Configuration of [`Mwae`].
    pub struct MwaeConfig {
        /// Features of a code, at least 1.
        pub latent: usize = 20,
        /// Steps of the critic a batch, at least 1.
        pub critic_steps: usize = 1,
        /// How far from zero weights of the critic may be, above 0.
        pub clip: f64 = 0.01,
        /// From a code to the value of the critic; a perceptron if not given.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub critic: Option<NetworkConfig> = None,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// Wasserstein autoencoders; see the [module](self).
#[derive(Module, Debug)]
pub struct Mwae {
    encoders: Named<CodeNet>,
    decoders: Named<Decoder>,
    critic: NetworkNet,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MwaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for MwaeConfig {}

impl MwaeConfig {
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
        let (steps, clip) = (self.critic_steps, self.clip);
        blocks::check(steps > 0, "model.critic_steps", "at least 1", steps)?;
        let bound = clip > 0.0 && clip.is_finite();
        blocks::check(bound, "model.clip", "a finite number above 0", clip)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Mwae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let (encoders, decoders) =
            codes::networks(&self.modalities, self.latent, networks, device)?;
        let critic = self.critic.clone().unwrap_or_else(NetworkConfig::mlp);
        let critic = critic.init("critic", &[self.latent], Some(&[1]), networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        Ok(Mwae { encoders, decoders, critic, modalities, config: self.clone(), rescale })
    }
}

impl Mwae {
    /// The codes of the modalities in `given`.
    pub fn codes(&self, batch: &Batch, given: Subset) -> Codes {
        Codes::encode(&self.encoders, &self.modalities, batch, given)
    }
}

impl Multimodal for Mwae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Mwae {
    /// The phases have terms of their own: reconstructions of the first; what samples of the prior
    /// and codes cost the critic in the second, `critic_prior` and `critic_codes`; what the critic
    /// costs the encoders in the third, `generator`.
    fn terms(&self, progress: Progress) -> Vec<String> {
        adversary::terms(&self.modalities, progress.phase)
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let codes = self.codes(batch, Subset::full(self.modalities.len()));
        let adversary = Adversary {
            network: &self.critic,
            critic: Critic::Wasserstein,
            decoders: &self.decoders,
            modalities: &self.modalities,
            rescale: &self.rescale,
        };
        let weights = pairs(&codes);
        adversary.loss(batch, &codes, &weights, noise)
    }

    fn stages(&self) -> Vec<Stage> {
        adversary::stages(self.config.critic_steps, Some(self.config.clip))
    }
}

deterministic_codes!(Mwae);
