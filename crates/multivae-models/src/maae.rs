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

use multivae_core::{nn::NetworkConfig, objective::Rescale, options};

use crate::{
    ae::pairs,
    blocks::{ModalityConfig, adversary::adversarial_codes},
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

adversarial_codes! {
    /// Adversarial autoencoders; see the [module](self).
    pub struct Maae, MaaeConfig;
    critic: Critic::Classifier,
    codes: |codes| codes,
    weights: |_, codes| pairs(codes),
    check: |_| Ok(()),
    stages: |_| adversary::stages(1, None),
}
