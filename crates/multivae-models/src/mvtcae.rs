//! MVTCAE: a product of experts that maximises total correlation.
//!
//! **Paper.** Hwang, Kim, Hong and Kim, "Multi-View Representation Learning via Total Correlation
//! Objective", NeurIPS 2021.
//!
//! **Generative process.** `z ~ N(0, I)`, `x_m ~ p(x_m | z)` for every modality.
//!
//! **Inference.** `q(z | x_S) ∝ Π_{m in S} q(z | x_m)`, a product of normal experts without the
//! prior; a missing modality is left out of the product, and a row without any has the prior.
//!
//! **Objective.** With `q` the product of all that a row observes and `M` the number of the
//! model's modalities,
//!
//! ```text
//! loss = mean_b [ -(M - α)/M Σ_m λ_m log p(x_m | z)
//!                 + β ( α/M Σ_m KL(q ‖ q(z | x_m)) + (1 - α) KL(q ‖ p(z)) ) ]
//! ```
//!
//! with sums over observed modalities. `α` weighs the conditional information bottleneck, by which
//! each modality should predict the joint posterior, against the bound of a VAE.
//!
//! **What differs from MultiVae.** The value is the same, including `M`, which is the full number
//! for rows that lack some modalities. It encodes what stands in missing entries when asked for
//! incomplete rows; here they are left out. A row that observes nothing stops its run; here such a
//! row has the prior. It waits for the device three times a step, to look for values that are no
//! numbers; here nothing waits.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls and `M` decoder calls of `B` rows.

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
    model::{Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal},
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::{Budget, Estimate, Rescale},
    options,
    subset::Subset,
};

use crate::{
    blocks::{self, ModalityConfig},
    exchange::models::{self as classes, Class},
    registry::Listed,
};

options! {
    /// Configuration of [`Mvtcae`].
    pub struct MvtcaeConfig {
        /// Features of the latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of the divergences from single modalities' posteriors, 0 to 1; that from the
        /// prior has the rest.
        pub alpha: f64 = 0.1,
        /// Weight of all divergences, at least 0.
        pub beta: f64 = 2.5,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A total-correlation VAE; see the [module](self).
#[derive(Module, Debug)]
pub struct Mvtcae {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MvtcaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for MvtcaeConfig {
    const CLASS: Option<Class> = Some(classes::MVTCAE);
}

impl MvtcaeConfig {
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
        let share = (0.0..=1.0).contains(&self.alpha);
        blocks::check(share, "model.alpha", "a number from 0 to 1", self.alpha)?;
        blocks::check_weight("model.beta", self.beta)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Mvtcae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = vec![0; modalities.len()];
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        Ok(Mvtcae { encoders, decoders, modalities, config: self.clone(), rescale })
    }
}

impl Mvtcae {
    /// The posterior of the modalities in `given`, `[batch, latent]`.
    fn posterior(&self, batch: &Batch, given: Subset) -> Normal<2> {
        blocks::posterior(&self.encoders, &self.modalities, batch, given, Product::without_prior())
    }
}

impl Multimodal for Mvtcae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Mvtcae {
    /// `kl` is the divergence from the prior, `kl_expert/NAME` that from the posterior of a
    /// modality.
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.push("kl".into());
        names.extend(blocks::terms("kl_expert", &self.modalities));
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let m = self.modalities.len();
        let experts =
            blocks::encode(&self.encoders, &self.modalities, batch, Subset::full(m)).experts;
        let joint = blocks::only(Product::without_prior().of(&experts, &blocks::all_of(m)));
        let latent = Latent::shared(blocks::draw(&joint, Draws::Samples(1), noise));
        let likelihoods = blocks::log_likelihoods(&self.decoders, &self.modalities, batch, &latent);

        let mut terms = blocks::reconstruction_means(&likelihoods, &self.rescale);
        let kl = joint.kl_standard::<1>().mean();
        let from_experts = blocks::row_means(&blocks::expert_divergences(&joint, &experts));
        let (alpha, m) = (self.config.alpha, m as f64);
        let divergence = blocks::sum(&from_experts) * (alpha / m) + kl.clone() * (1.0 - alpha);
        let total = blocks::sum(&terms) * ((m - alpha) / m) + divergence * self.config.beta;
        terms.push(kl);
        terms.extend(from_experts);
        blocks::loss(total, self.terms(batch.progress), terms)
    }
}

impl Encode for Mvtcae {
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        Latent::shared(blocks::draw(&self.posterior(batch, given), draws, noise))
    }
}

impl Generate for Mvtcae {
    fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
        Latent::shared(noise.normal([1, rows, self.config.latent], 1, device))
    }

    fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
        blocks::decode(&self.decoders, &self.modalities, latent, targets)
    }

    fn decoder(&self, modality: usize) -> Option<&Decoder> {
        Some(self.decoders.at(modality))
    }
}

impl Density for Mvtcae {
    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        blocks::shared_bound(&self.decoders, batch, &self.posterior(batch, given), noise)
    }

    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let posterior = self.posterior(batch, targets);
        blocks::estimate(&self.decoders, batch, targets, budget, &posterior, &[], noise)
    }
}
