//! me-MVAE: a product of experts, with a bound for each modality alone.
//!
//! **Paper.** Wu and Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised
//! Learning", NeurIPS 2018, arXiv 1802.05335; this form is multi-view-AE's.
//!
//! **Generative process.** `z ~ N(0, I)`, `x_m ~ p(x_m | z)` for every modality.
//!
//! **Inference.** `q(z | x_S) ∝ Π_{m in S} q(z | x_m)`, a product of normal experts, of which the
//! prior is one with `prior_expert`; a missing modality is left out, and a row without any has the
//! prior.
//!
//! **Objective.** With `q` the product of all that a row observes, `z ~ q` and `z_m ~ q(z | x_m)`,
//!
//! ```text
//! loss = mean_b [ -Σ_m λ_m ( log p(x_m | z) + log p(x_m | z_m) )
//!                 + β ( KL(q ‖ p(z)) + β_single Σ_m KL(q(z | x_m) ‖ p(z)) ) ]
//! ```
//!
//! with sums over observed modalities. `β` grows from 0 over the first `warmup` epochs. Each
//! modality reconstructs itself alone; the single posteriors are their experts, without the prior.
//! `mvae` has products with the prior throughout, and bounds of random subsets.
//!
//! **What differs from multi-view-AE.** The value is the same. Its warm-up reaches `β` one epoch
//! earlier, is part of what it judges epochs by, and grows once an epoch; here it grows with every
//! batch, and validation has the full `β`. Its decoders are called twice, here once. Its
//! log-likelihoods average means over batches, so that rows of the last, smaller one weigh more; here
//! each row counts once. It takes complete rows only.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows, `M` decoder calls of `2 B` rows.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::Normal,
    fusion::Product,
    modality::ModalitySpec,
    model::{Draws, Learn, Loss, Multimodal},
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::{Rescale, Warmup},
    options,
    subset::Subset,
};

use crate::{
    blocks::{
        self, ModalityConfig, PrivateSpace, objective::joint_and_own, posterior::normal_posterior,
    },
    registry::Listed,
};

options! {
    /// Configuration of [`MeMvae`].
    pub struct MeMvaeConfig {
        /// Features of the latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of all divergences from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Further weight of the divergences of single modalities, at least 0.
        pub beta_single: f64 = 1.0,
        /// Epochs over which the weight of the divergences grows from 0 to `beta`; 0 for none.
        pub warmup: Warmup = Warmup { epochs: 0 },
        /// Whether the prior is an expert of the product.
        pub prior_expert: bool = false,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A product-of-experts VAE with single bounds; see the [module](self).
#[derive(Module, Debug)]
pub struct MeMvae {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MeMvaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
    #[module(skip)]
    private: Vec<usize>,
}

impl Listed for MeMvaeConfig {}

impl MeMvaeConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete(&self.modalities, specs)?;
        self.check()?;
        Ok(self)
    }

    fn check(&self) -> Result<()> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check_weight("model.beta", self.beta)?;
        blocks::check_weight("model.beta_single", self.beta_single)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<MeMvae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = vec![0; modalities.len()];
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        Ok(MeMvae { encoders, decoders, modalities, config: self.clone(), rescale, private })
    }
}

impl MeMvae {
    fn rule(&self) -> Product {
        if self.config.prior_expert { Product::with_prior() } else { Product::without_prior() }
    }

    /// The posterior of the modalities in `given`, and no private spaces.
    fn posterior(&self, batch: &Batch, given: Subset) -> (Normal<2>, Vec<PrivateSpace>) {
        let (encoders, modalities) = (&self.encoders, &self.modalities);
        (blocks::posterior(encoders, modalities, batch, given, self.rule()), Vec::new())
    }
}

impl Multimodal for MeMvae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for MeMvae {
    /// `self_reconstruction/NAME` and `kl_single/NAME` are those of the bounds of single
    /// modalities.
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.extend(blocks::terms("self_reconstruction", &self.modalities));
        names.push("kl".into());
        names.extend(blocks::terms("kl_single", &self.modalities));
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let m = self.modalities.len();
        let MeMvaeConfig { beta, beta_single, warmup, .. } = self.config;
        let experts =
            blocks::encode(&self.encoders, &self.modalities, batch, Subset::full(m)).experts;
        let joint = blocks::only(self.rule().of(&experts, &blocks::all_of(m)));
        let z = blocks::draw(&joint, Draws::Samples(1), noise);
        let single = Normal::new(experts.mean.clone(), experts.log_var.clone());
        let own = single.rsample(noise.normal(single.mean.dims(), 1, &batch.device()));

        let (joint_likelihoods, own_likelihoods) = joint_and_own(&self.decoders, batch, &z, &own);
        let mut terms = blocks::reconstruction_means(&joint_likelihoods, &self.rescale);
        terms.extend(blocks::reconstruction_means(&own_likelihoods, &self.rescale));
        let reconstruction = blocks::sum(&terms);
        terms.push(joint.kl_standard::<1>().mean());
        terms.extend(blocks::row_means(&(single.kl_standard::<2>() * experts.presence)));
        let divergence = terms[2 * m].clone() + blocks::sum(&terms[2 * m + 1..]) * beta_single;
        let total = reconstruction + divergence * (beta * warmup.weight(batch.progress));
        blocks::loss(total, self.terms(batch.progress), terms)
    }
}

normal_posterior!(MeMvae);
