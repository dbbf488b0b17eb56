//! MMVAE+: a mixture of experts with private codes and auxiliary priors.
//!
//! **Paper.** Palumbo, Daunhawer and Vogt, "MMVAE+: Enhancing the Generative Quality of Multimodal
//! VAEs without Compromises", ICLR 2023, OpenReview sdQGxouELX.
//!
//! **Generative process.** `(u, w) ~ p`, Laplace or normal of location 0 or of a learned one, `u` shared and a `w_m`
//! for each modality, `x_m ~ p(x_m | u, w_m)`.
//!
//! **Inference.** `q(u | X) = 1/n Σ_m q(u | x_m)` over the `n` modalities that a row observes,
//! `q(w_m | x_m)` of the same family.
//!
//! **Objective.** `K` samples of each source `r`. Where `x_m` is decoded from another source, its
//! private code comes from an auxiliary prior `r_m(w)`, so that only `u` can carry what the
//! modalities share:
//!
//! ```text
//! loss = -mean_b 1/n_b Σ_r ln 1/K Σ_k w_rk
//! ln w_rk = λ_r log p(x_r | u_rk, w_rk) + Σ_{m≠r} λ_m log p(x_m | u_rk, w̃_mrk)
//!         + β ( log p(u_rk, w_rk) - log 1/n_b Σ_m q(u_rk | x_m) - log q(w_rk | x_r) )
//! ```
//!
//! with sums over observed modalities. Gradients are doubly reparameterised (`dreg`) or not
//! (`iwae`); the value is the bound's either way.
//!
//! **What differs from MultiVae.** Its joint likelihood removes the last modality from the batch
//! and with it from the value; here all are counted, and private codes come from their own
//! posteriors, so that the estimate converges to `log p(X)` of the generative process. Its samples
//! of the prior give all modalities one private code; here each has its own. With a learned prior
//! it maps the scales of private codes on their own when it encodes and together with the shared
//! ones when it learns; here always together. Its encoder draws one expert for the whole batch;
//! here each row and sample draws its own. A modality may be called `shared`. The value it reports
//! with `dreg` is not the bound; here it is. Only the scales of priors are learned, and are so
//! called; the location too only on request.
//!
//! **What differs from multi-view-AE.** It draws the samples that are weighed anew after those that are
//! decoded, adds up rows, and divides by `M` once more. Its auxiliary priors are no parameters and never
//! learn, and one draw of theirs serves all rows. Its prior of shared and private codes has a location;
//! here with `learned_location`.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows, `M` decoder calls of `M K B` rows.

use burn::{
    module::{Initializer, Module, Param},
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::{Family, LocationScale},
    modality::ModalitySpec,
    model::{Draws, Learn, Loss, Multimodal, Step},
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::{Budget, Estimate, Rescale},
    options,
    subset::Subset,
};
use serde_json::{Value, json};

use crate::{
    blocks::experts::{
        self, Estimator, GenerativePrior, ImportanceWeights, IwaeObjective, PrivateExperts,
        PrivatePrior, SharedPrior, ZeroMeanPrior,
    },
    blocks::{self, ModalityConfig},
    exchange::models::{self as classes, Class},
    registry::Listed,
};

options! {
    /// Configuration of [`MmvaePlus`].
    pub struct MmvaePlusConfig {
        /// Features of the shared latent space, at least 1.
        pub latent: usize = 20,
        /// Features of the private space of each modality, at least 1.
        pub private: usize = 10,
        /// Weight of the divergence from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Importance samples a source and row, at least 1.
        pub samples: usize = 10,
        /// Family of priors and posteriors: "normal", "normal_softplus" or "laplace_softmax".
        pub family: Family = Family::LaplaceSoftmax,
        /// Whether the scale of the prior of shared and private codes is learned.
        pub learned_prior: bool = false,
        /// Whether its location is learned.
        pub learned_location: bool = false,
        /// Whether the scales of the auxiliary priors are learned.
        pub learned_modality_priors: bool = true,
        /// Where private codes of modalities that are not given come from: "shared" for the prior,
        /// "modality" for the auxiliary prior.
        pub private_prior: PrivatePrior = PrivatePrior::Shared,
        /// How gradients are estimated: "iwae" or "dreg".
        pub estimator: Estimator = Estimator::Dreg,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A mixture-of-experts VAE with private codes; see the [module](self).
#[derive(Module, Debug)]
pub struct MmvaePlus {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    /// Of shared and private codes together.
    prior: ZeroMeanPrior,
    /// Location of that prior, `[1, features]`, where it is learned; it starts at 0.
    location: Option<Param<Tensor<2>>>,
    modality_priors: Named<ZeroMeanPrior>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MmvaePlusConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for MmvaePlusConfig {
    const CLASS: Option<Class> = Some(classes::MMVAE_PLUS);

    fn exercise(specs: &[ModalitySpec]) -> Value {
        let learned_location = specs.len() > 2;
        json!({
            "samples": 4, "private": 2, "learned_prior": true, "learned_location": learned_location,
        })
    }
}

impl MmvaePlusConfig {
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
        blocks::check(self.private > 0, "model.private", "at least 1", self.private)?;
        blocks::check(self.samples > 0, "model.samples", "at least 1", self.samples)?;
        blocks::check_weight("model.beta", self.beta)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<MmvaePlus> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let Self { latent, private, family, .. } = *self;
        let sizes = vec![private; modalities.len()];
        let (encoders, decoders) =
            blocks::networks(&self.modalities, latent, &sizes, networks, device)?;
        let prior = ZeroMeanPrior::init(family, latent + private, self.learned_prior, device);
        let location =
            (self.learned_location).then(|| Initializer::Zeros.init([1, latent + private], device));
        let modality_priors = experts::modality_priors(
            &modalities,
            family,
            private,
            self.learned_modality_priors,
            device,
        );
        let rescale = self.rescale.factors(&modalities);
        let config = self.clone();
        Ok(MmvaePlus {
            encoders,
            decoders,
            prior,
            location,
            modality_priors,
            modalities,
            config,
            rescale,
        })
    }
}

impl MmvaePlus {
    fn objective(&self) -> IwaeObjective<'_> {
        let MmvaePlusConfig { estimator, beta, .. } = self.config;
        IwaeObjective { estimator, beta, rescale: &self.rescale }
    }

    fn experts(&self) -> PrivateExperts<'_> {
        PrivateExperts {
            encoders: &self.encoders,
            decoders: &self.decoders,
            modality_priors: &self.modality_priors,
            modalities: &self.modalities,
            family: self.config.family,
            private_prior: self.config.private_prior,
            prior: self,
        }
    }

    /// The log-weights of `samples` samples of every source that the batch observes, and which
    /// sources a row has, `[source, batch]`.
    pub fn importance_weights(
        &self,
        batch: &Batch,
        samples: usize,
        noise: &mut Noise,
    ) -> (ImportanceWeights, Tensor<2>) {
        self.experts().importance_weights(batch, samples, noise)
    }

    /// A share of the prior's features, `[1, 1, features]`.
    fn prior_of(&self, start: usize, features: usize, device: &Device) -> LocationScale<3> {
        let mut prior = self.prior.distribution(device);
        if let Some(location) = &self.location {
            prior.location = location.val().unsqueeze_dim(0);
        }
        prior.map(|x| x.narrow(2, start, features))
    }
}

impl SharedPrior for MmvaePlus {
    fn log_prob(&self, shared: &Tensor<3>) -> Tensor<2> {
        self.prior_of(0, self.config.latent, &shared.device()).log_prob(shared.clone())
    }

    fn draw(&self, draws: Draws, rows: usize, device: &Device, noise: &mut Noise) -> Tensor<3> {
        let prior = self.prior_of(0, self.config.latent, device);
        experts::draw_prior(&prior, draws, rows, noise)
    }
}

impl GenerativePrior for MmvaePlus {
    fn private(&self, device: &Device) -> LocationScale<3> {
        self.prior_of(self.config.latent, self.config.private, device)
    }
}

impl Multimodal for MmvaePlus {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for MmvaePlus {
    fn terms(&self, _: Progress) -> Vec<String> {
        experts::terms(self)
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let (weights, sources) = self.importance_weights(batch, self.config.samples, noise);
        self.objective().loss(self.terms(batch.progress), &weights, &sources)
    }

    fn step(&self, batch: &Batch, noise: &mut Noise) -> Step {
        let samples = self.config.samples;
        self.experts().step(self, &self.objective(), batch, samples, noise)
    }
}

experts::private_experts!(MmvaePlus);
