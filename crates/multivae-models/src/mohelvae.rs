//! MoHELVAE: a mixture of the Hellinger pools of all sets of modalities.
//!
//! **Paper.** Vo and Valera, AISTATS 2026, arXiv 2601.06572.
//!
//! **Generative process.** `z ~ N(0, I)`, for modalities with a private space `w_m ~ N(0, I)`,
//! `x_m ~ p(x_m | z, w_m)`.
//!
//! **Inference.** `q(z | X) = Σ_S π_S q_S(z)` with `q_S` the normal distribution with the
//! moments of the Hölder pool of order ½ of the experts of `S`; see `helvae`.
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
//! **What differs from the authors' code.** Each row draws its component; there rows are dealt to
//! components by their place in the batch. As to the posterior see `helvae`. It takes complete rows
//! only.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls and `M` decoder calls of `B` rows.

use std::collections::BTreeMap;

use multivae_core::{modality::ModalityName, objective::Rescale, options};

use crate::blocks::{
    ModalityConfig,
    pooling::hellinger,
    subset_mixture::{SubsetsConfig, subset_mixture_vae},
};

options! {
    /// Configuration of [`Mohelvae`].
    pub struct MohelvaeConfig {
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
    /// A mixture of Hellinger pools of experts; see the [module](self).
    pub struct Mohelvae, MohelvaeConfig, hellinger;
}
