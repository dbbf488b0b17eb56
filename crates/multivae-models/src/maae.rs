//! mAAE: autoencoders whose codes a critic holds to the prior.
//!
//! **Paper.** Makhzani, Shlens, Jaitly, Goodfellow and Frey, "Adversarial Autoencoders", 2015,
//! arXiv 1511.05644; the form for several modalities is multi-view-AE's.
//!
//! **Generative process.** `z ~ N(0, I)`, `x_m` the reconstruction from `z`: there is no density.
//!
//! **Inference.** `z_m = f_m(x_m)`, without noise; given several modalities, the mean of the codes of
//! those that a row observes, and 0 for a row without any.
//!
//! **Objective.** Three steps a batch, with `D` the probability that the critic gives a code for
//! being a sample of the prior, over the `n` modalities that a row observes:
//!
//! ```text
//! autoencoder: mean_b 1/n² Σ_j Σ_m -λ_m log p(x_m | z_j)              encoders and decoders learn
//! critic:      mean_b -1/(n + 1) [ ln D(z) + Σ_j ln(1 - D(z_j)) ], z ~ N(0, I)       it learns
//! generator:   mean_b -1/n Σ_j ln D(z_j)                                        encoders learn
//! ```
//!
//! **What differs from multi-view-AE.** Its critic minimises `1 - ln D(z_j)` with the wrong sign in
//! place of `-ln(1 - D(z_j))`, which is bounded only by a small number inside of the logarithm; here
//! it is the objective of the paper. The constant 1 in its generator's objective has no effect and
//! is not here. Logarithms of probabilities are computed from log-odds, without a small number. Its
//! critic is linear by default, here a perceptron. It takes complete rows only. As to likelihoods and
//! codes of several modalities see `ae`.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows three times, `M` decoder calls of `M B` rows, and
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
    /// Configuration of [`Maae`].
    pub struct MaaeConfig {
        /// Features of a code, at least 1.
        pub latent: usize = 20,
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

/// Adversarial autoencoders; see the [module](self).
#[derive(Module, Debug)]
pub struct Maae {
    encoders: Named<CodeNet>,
    decoders: Named<Decoder>,
    critic: NetworkNet,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MaaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for MaaeConfig {}

impl MaaeConfig {
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
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Maae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let (encoders, decoders) =
            codes::networks(&self.modalities, self.latent, networks, device)?;
        let critic = self.critic.clone().unwrap_or_else(NetworkConfig::mlp);
        let critic = critic.init("critic", &[self.latent], Some(&[1]), networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        Ok(Maae { encoders, decoders, critic, modalities, config: self.clone(), rescale })
    }
}

impl Maae {
    /// The codes of the modalities in `given`.
    pub fn codes(&self, batch: &Batch, given: Subset) -> Codes {
        Codes::encode(&self.encoders, &self.modalities, batch, given)
    }
}

impl Multimodal for Maae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Maae {
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
            critic: Critic::Classifier,
            decoders: &self.decoders,
            modalities: &self.modalities,
            rescale: &self.rescale,
        };
        let weights = pairs(&codes);
        adversary.loss(batch, &codes, &weights, noise)
    }

    fn stages(&self) -> Vec<Stage> {
        adversary::stages(1, None)
    }
}

deterministic_codes!(Maae);
