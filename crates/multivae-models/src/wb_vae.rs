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
//! of diagonal normal distributions. Their mixture of barycentres of subsets is `mwb_vae`.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls and `M` decoder calls of `B` rows.

use std::collections::BTreeMap;

use multivae_core::{modality::ModalityName, objective::Rescale, options};

use crate::blocks::{ModalityConfig, pooled::pooled_vae, pooling::barycentre};

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

pooled_vae! {
    /// A VAE with a barycentre of experts; see the [module](self).
    pub struct WbVae, WbVaeConfig, barycentre;
}
