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

use multivae_core::{nn::NetworkConfig, objective::Rescale, options};

use crate::{
    ae::pairs,
    blocks::{ModalityConfig, adversary::adversarial_codes},
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

adversarial_codes! {
    /// Wasserstein autoencoders; see the [module](self).
    pub struct Mwae, MwaeConfig;
    critic: Critic::Wasserstein,
    codes: |codes| codes,
    weights: |_, codes| pairs(codes),
    check: |config| {
        let (steps, clip) = (config.critic_steps, config.clip);
        blocks::check(steps > 0, "model.critic_steps", "at least 1", steps)?;
        let bound = clip > 0.0 && clip.is_finite();
        blocks::check(bound, "model.clip", "a finite number above 0", clip)
    },
    stages: |config| adversary::stages(config.critic_steps, Some(config.clip)),
}
