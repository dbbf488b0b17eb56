//! MoPoE: a mixture of products of experts over chosen sets of modalities.
//!
//! **Paper.** Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", ICLR 2021,
//! arXiv 2105.02470.
//!
//! **Generative process.** `z ~ N(0, I)`, for modalities with a private space `w_m ~ N(0, I)`,
//! `x_m ~ p(x_m | z, w_m)`.
//!
//! **Inference.** `q(z | X) = Σ_S π_S q_S(z)` with `q_S` the product of the experts of `S`, and of
//! the prior if `S` is the set of all modalities. The weights `π_S` are equal over the subsets
//! that a row observes completely.
//!
//! **Objective.** One component is drawn for each row, and `z` from it:
//!
//! ```text
//! loss = mean_b [ -Σ_m λ_m log p(x_m | z, w_m) + β ( Σ_S π_S KL(q_S ‖ p) + β_private Σ_m KL(q(w_m | x_m) ‖ p) ) ]
//! ```
//!
//! with sums over observed modalities. The divergence is the convexity bound of the mixture's. With
//! `subsets = { sampled = n }` each row draws `n` subsets of what it observes, the first of which `z`
//! comes from; the sum over subsets is the mean over them, which is the same on average.
//!
//! **What differs from MultiVae.** On complete data it deals components to rows by their place in
//! the batch, so that in a batch of fewer rows than subsets every row uses the full product; here
//! each row draws its component, whatever the batch. Its prior samples lack the private codes and
//! cannot be decoded; here they have them. It encodes what stands in missing entries when asked
//! for incomplete rows; here they are left out. Its joint likelihood draws from one component and
//! weighs with another density; here samples are stratified over all components and weighed with
//! the density they were drawn from. Its `compute_joint_nll_paper` is
//! [`Mopoe::likelihood_by_product`].
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls and `M` decoder calls of `B` rows; a product for each of the
//! `2^M - 1` subsets, or of the `n` that are drawn.

use std::collections::BTreeMap;

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::Batch,
    distribution::Normal,
    fusion::{Experts, PriorExpert, Product},
    modality::{ModalityName, ModalitySpec},
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::{Budget, Estimate, Rescale},
    options,
    subset::{Subset, Subsets},
};
use serde_json::{Value, json};

use crate::{
    blocks::{
        self, ModalityConfig,
        objective::Weights,
        subset_mixture::{Components, SubsetMixture, SubsetsConfig, subset_mixture},
    },
    exchange::models::{self as classes, Class},
    registry::Listed,
};

options! {
    /// Configuration of [`Mopoe`].
    pub struct MopoeConfig {
        /// Features of the shared latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of all divergences from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Further weight of the divergences of private spaces, at least 0.
        pub beta_private: f64 = 1.0,
        /// Components of the mixture: a list of lists of modality names; empty for all subsets; or
        /// { sampled = n } for n of all subsets, drawn for each row in each step, where all are too many.
        pub subsets: SubsetsConfig = SubsetsConfig::default(),
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Features of private spaces by modality; a modality that is not named has none.
        pub private: BTreeMap<ModalityName, usize> = BTreeMap::new(),
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A mixture-of-products-of-experts VAE; see the [module](self).
#[derive(Module, Debug)]
pub struct Mopoe {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MopoeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
    #[module(skip)]
    components: Components,
    #[module(skip)]
    private: Vec<usize>,
}

impl Listed for MopoeConfig {
    const CLASS: Option<Class> = Some(classes::MOPOE);

    fn exercise(specs: &[ModalitySpec]) -> Value {
        json!({ "private": { specs[0].name.as_str(): 2 } })
    }
}

impl MopoeConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete(&self.modalities, specs)?;
        self.check()?;
        Components::new(&self.subsets, specs)?;
        blocks::private_sizes(&self.private, specs)?;
        Ok(self)
    }

    fn check(&self) -> Result<()> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check_weight("model.beta", self.beta)?;
        blocks::check_weight("model.beta_private", self.beta_private)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Mopoe> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let components = Components::new(&self.subsets, &modalities)?;
        let private = blocks::private_sizes(&self.private, &modalities)?;
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        let config = self.clone();
        Ok(Mopoe { encoders, decoders, modalities, config, rescale, components, private })
    }
}

impl Mopoe {
    /// The components of the mixture.
    pub fn components(&self) -> &Components {
        &self.components
    }

    fn mixture(&self) -> SubsetMixture<'_> {
        let MopoeConfig { beta, beta_private, .. } = self.config;
        let private = beta * beta_private;
        SubsetMixture {
            encoders: &self.encoders,
            decoders: &self.decoders,
            modalities: &self.modalities,
            private: &self.private,
            components: &self.components,
            rule: product,
            weights: Weights { shared: beta, private, rescale: &self.rescale },
        }
    }

    /// An estimate of `log p(x_T)` whose proposal is the product of the targets alone, as in
    /// MultiVae's `compute_joint_nll_paper`.
    pub fn likelihood_by_product(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let (shared, spaces) = self.mixture().posterior(batch, targets);
        blocks::estimate(&self.decoders, batch, targets, budget, &shared, &spaces, noise)
    }
}

/// Products of experts, of which that of all modalities has the prior too.
fn product(experts: &Experts, subsets: &Subsets, all: bool) -> Normal<3> {
    let rule = Product::prior_on_full_set();
    let rule = if all { rule } else { Product { prior: PriorExpert::Never, ..rule } };
    rule.of(experts, subsets)
}

subset_mixture!(Mopoe);
