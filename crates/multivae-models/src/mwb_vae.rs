//! MWB-VAE: a mixture of the Wasserstein barycentres of all sets of modalities.
//!
//! **Paper.** Qiu et al., "Multimodal Variational Autoencoder: a Barycentric View", AAAI 2025,
//! arXiv 2412.20487.
//!
//! **Generative process.** `z ~ N(0, I)`, for modalities with a private space `w_m ~ N(0, I)`,
//! `x_m ~ p(x_m | z, w_m)`.
//!
//! **Inference.** `q(z | X) = Σ_S π_S q_S(z)` with `q_S` the barycentre of the normal
//! experts of `S`, with equal weights, in the Wasserstein distance of order 2: the mean of their means
//! and of their deviations.
//! The weights `π_S` are equal over the subsets that a row observes completely. Given a set of
//! modalities, what is encoded is `q_S` of that set, over what the row observes of it.
//!
//! **Objective.** One component is drawn for each row, and `z` from it:
//!
//! ```text
//! loss = mean_b [ -Σ_m λ_m log p(x_m | z, w_m) + β ( Σ_S π_S KL(q_S ‖ p) + Σ_m KL(q(w_m | x_m) ‖ p) ) ]
//! ```
//!
//! with sums over observed modalities. The divergence is the convexity bound of the mixture's.
//!
//! **What differs from the authors' work.** No code of theirs was found: the barycentre is the known
//! one of diagonal normal distributions, the mixture that of MoPoE with it in place of the product.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls and `M` decoder calls of `B` rows.

use std::collections::BTreeMap;

use multivae_core::{modality::ModalityName, objective::Rescale, options};

use crate::blocks::{
    ModalityConfig,
    pooling::barycentre,
    subset_mixture::{SubsetsConfig, subset_mixture_vae},
};

options! {
    /// Configuration of [`MwbVae`].
    pub struct MwbVaeConfig {
        /// Features of the shared latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of all divergences from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Components of the mixture: a list of lists of modality names; empty for all subsets; or
        /// { sampled = n } for n of all subsets, drawn for each row in each step, where all are too many.
        pub subsets: SubsetsConfig = SubsetsConfig::default(),
        /// Features of private spaces by modality; a modality that is not named has none.
        pub private: BTreeMap<ModalityName, usize> = BTreeMap::new(),
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

subset_mixture_vae! {
    /// A mixture of barycentres of experts; see the [module](self).
    pub struct MwbVae, MwbVaeConfig, barycentre;
}
