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

use multivae_core::{nn::NetworkConfig, objective::Rescale, options};

use crate::blocks::{ModalityConfig, adversary::adversarial_codes, codes::shares};

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

adversarial_codes! {
    /// Adversarial autoencoders with one code; see the [module](self).
    pub struct JointAae, JointAaeConfig;
    critic: Critic::Classifier,
    codes: |codes| codes.joined(),
    weights: |batch, _| shares(&batch.presence().mask().transpose()).max_dim(0),
    check: |_| Ok(()),
    stages: |_| adversary::stages(1, None),
}
