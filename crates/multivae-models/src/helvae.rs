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
//! variance is needed. Their mixture over subsets is `mohelvae`.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls and `M` decoder calls of `B` rows.

use std::collections::BTreeMap;

use multivae_core::{modality::ModalityName, objective::Rescale, options};

use crate::blocks::{ModalityConfig, pooled::pooled_vae, pooling::hellinger};

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

pooled_vae! {
    /// A VAE with Hellinger pooling of experts; see the [module](self).
    pub struct Helvae, HelvaeConfig, hellinger;
}
