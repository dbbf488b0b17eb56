//! Joint AAE: one code for all modalities, which a critic holds to the prior.
//!
//! **Paper.** Makhzani, Shlens, Jaitly, Goodfellow and Frey, "Adversarial Autoencoders", 2015,
//! arXiv 1511.05644; the form for several modalities is that of earlier versions of multi-view-AE.
//!
//! **Generative process.** `z ~ N(0, I)`, `x_m` the reconstruction from `z`: there is no density.
//!
//! **Inference.** `z = 1/n Σ_m f_m(x_m)` over the `n` given modalities that a row observes, without
//! noise; 0 for a row without any.
//!
//! **Objective.** Three steps a batch, with `D` the probability that the critic gives a code for
//! being a sample of the prior:
//!
//! ```text
//! autoencoder: mean_b 1/n Σ_m -λ_m log p(x_m | z)                     encoders and decoders learn
//! critic:      mean_b -½ [ ln D(z') + ln(1 - D(z)) ], z' ~ N(0, I)                   it learns
//! generator:   mean_b -ln D(z)                                                 encoders learn
//! ```
//!
//! with sums over observed modalities.
//!
//! **What differs from multi-view-AE.** Its critic's objective is the sum of the two terms, here
//! their mean. The constant 1 in its generator's objective has no effect and is not here. Logarithms
//! of probabilities are computed from log-odds, without a small number. Its critic is linear by
//! default, here a perceptron. It takes complete rows only. As to likelihoods see `ae`.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows three times, `M` decoder calls of `B` rows, and
//! the critic on `3 B` codes.

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
    blocks::{
        self, ModalityConfig,
        adversary::{self, Adversary, Critic},
        codes::{self, CodeNet, Codes, deterministic_codes, shares},
    },
    registry::Listed,
};

options! {
    /// Configuration of [`JointAae`].
    pub struct JointAaeConfig {
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

/// Adversarial autoencoders with one code; see the [module](self).
#[derive(Module, Debug)]
pub struct JointAae {
    encoders: Named<CodeNet>,
    decoders: Named<Decoder>,
    critic: NetworkNet,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: JointAaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for JointAaeConfig {}

impl JointAaeConfig {
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
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<JointAae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let (encoders, decoders) =
            codes::networks(&self.modalities, self.latent, networks, device)?;
        let critic = self.critic.clone().unwrap_or_else(NetworkConfig::mlp);
        let critic = critic.init("critic", &[self.latent], Some(&[1]), networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        Ok(JointAae { encoders, decoders, critic, modalities, config: self.clone(), rescale })
    }
}

impl JointAae {
    /// The joint code of the modalities in `given`, as one source.
    pub fn codes(&self, batch: &Batch, given: Subset) -> Codes {
        Codes::encode(&self.encoders, &self.modalities, batch, given).joined()
    }
}

impl Multimodal for JointAae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for JointAae {
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
        let weights = shares(&batch.presence().mask().transpose()).max_dim(0);
        adversary.loss(batch, &codes, &weights, noise)
    }

    fn stages(&self) -> Vec<Stage> {
        adversary::stages(1, None)
    }
}

deterministic_codes!(JointAae);
