//! MMVAE: a mixture of experts, with an importance-weighted bound.
//!
//! **Paper.** Shi, Siddharth, Paige and Torr, "Variational Mixture-of-Experts Autoencoders for
//! Multi-Modal Deep Generative Models", NeurIPS 2019, arXiv 1911.03393.
//!
//! **Generative process.** `z ~ p(z)`, Laplace or normal of location 0 with a scale that may be
//! learned, `x_m ~ p(x_m | z)`.
//!
//! **Inference.** `q(z | X) = 1/n Σ_m q(z | x_m)` over the `n` modalities that a row observes, of
//! the prior's family.
//!
//! **Objective.** `K` samples of each source `r`, every one decoded to every modality:
//!
//! ```text
//! loss = -mean_b 1/n_b Σ_r ln 1/K Σ_k w_rk
//! ln w_rk = Σ_m λ_m log p(x_m | z_rk) + β ( log p(z_rk) - log 1/n_b Σ_m q(z_rk | x_m) )
//! ```
//!
//! with sums over observed modalities: the looser of the paper's two bounds. Gradients are doubly
//! reparameterised (`dreg`) or not (`iwae`); the value is the bound's either way.
//!
//! **What differs from MultiVae.** Its `beta` is never read; here it weighs the divergence. Its
//! joint likelihood draws all samples from one expert and weighs them with the mixture, and so
//! converges to a wrong value; here samples are stratified over the experts. Its encoder draws one
//! expert for the whole batch and all samples; here each row and sample draws its own. The value it
//! reports with `dreg` is not the bound; here it is. It removes modalities from the caller's batch
//! that no row observes; here the batch stays as it is. Its configuration calls the mean of the
//! prior learned, which it is not; here only the scale is, and is so called.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows, `M` decoder calls of `M K B` rows.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::Family,
    mixture::Mixture,
    modality::ModalitySpec,
    model::{Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal, Step},
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::{Budget, Estimate, Rescale, importance_estimate},
    options,
    subset::Subset,
};
use serde_json::{Value, json};

use crate::{
    blocks::experts::{
        self, Estimator, ImportanceWeights, IwaeObjective, Sources, ZeroMeanPrior, folded, unfolded,
    },
    blocks::{self, ModalityConfig},
    exchange::models::{self as classes, Class},
    registry::Listed,
};

options! {
    /// Configuration of [`Mmvae`].
    pub struct MmvaeConfig {
        /// Features of the latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of the divergence from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Importance samples a source and row, at least 1.
        pub samples: usize = 10,
        /// Family of prior and posteriors: "normal", "normal_softplus" or "laplace_softmax".
        pub family: Family = Family::LaplaceSoftmax,
        /// Whether the scale of the prior is learned.
        pub learned_prior: bool = true,
        /// How gradients are estimated: "iwae" or "dreg".
        pub estimator: Estimator = Estimator::Dreg,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A mixture-of-experts VAE; see the [module](self).
#[derive(Module, Debug)]
pub struct Mmvae {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    prior: ZeroMeanPrior,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MmvaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for MmvaeConfig {
    const CLASS: Option<Class> = Some(classes::MMVAE);

    fn exercise(_specs: &[ModalitySpec]) -> Value {
        json!({ "samples": 4 })
    }
}

impl MmvaeConfig {
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
        blocks::check(self.samples > 0, "model.samples", "at least 1", self.samples)?;
        blocks::check_weight("model.beta", self.beta)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Mmvae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = vec![0; modalities.len()];
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let prior = ZeroMeanPrior::init(self.family, self.latent, self.learned_prior, device);
        let rescale = self.rescale.factors(&modalities);
        Ok(Mmvae { encoders, decoders, prior, modalities, config: self.clone(), rescale })
    }
}

impl Mmvae {
    fn objective(&self) -> IwaeObjective<'_> {
        let MmvaeConfig { estimator, beta, .. } = self.config;
        IwaeObjective { estimator, beta, rescale: &self.rescale }
    }

    /// The posteriors of the modalities in `which`.
    fn sources(&self, batch: &Batch, which: Subset) -> Sources {
        let unimodal = blocks::encode(&self.encoders, &self.modalities, batch, which);
        Sources::new(unimodal, which, self.config.family)
    }

    /// The mixture of the posteriors of the given modalities.
    fn mixture(&self, batch: &Batch, given: Subset) -> Mixture {
        let prior = self.prior.distribution(&batch.device());
        self.sources(batch, given).mixture(batch, &prior)
    }

    /// Weighs values `[source, samples, batch, latent]`.
    fn weigh(
        &self,
        batch: &Batch,
        sources: &Sources,
        z: &Tensor<4>,
        detach: bool,
    ) -> ImportanceWeights {
        let count = z.dims()[0];
        let z = folded(z);
        let likelihood = |m| {
            let values = || blocks::log_likelihood(&self.decoders, batch, m, z.clone());
            sources.members.contains(m).then(|| unfolded(values(), count))
        };
        let prior = self.prior.distribution(&batch.device());
        let mixture = sources.mixture(batch, &prior);
        let mixture = if detach { mixture.detach() } else { mixture };
        let log_p: Tensor<2> = prior.log_prob(z.clone());
        let log_ratio = unfolded(log_p - mixture.log_prob(&z), count);
        let log_likelihood = (0..self.modalities.len()).map(likelihood).collect();
        ImportanceWeights { log_likelihood, log_ratio }
    }

    /// The log-weights of `samples` samples of every source that the batch observes, and which
    /// sources a row has, `[source, batch]`.
    pub fn importance_weights(
        &self,
        batch: &Batch,
        samples: usize,
        noise: &mut Noise,
    ) -> (ImportanceWeights, Tensor<2>) {
        let sources = self.sources(batch, Sources::observed(batch));
        let z = experts::draw(&sources.shared, samples, noise);
        (self.weigh(batch, &sources, &z, false), sources.presence)
    }
}

impl Multimodal for Mmvae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Mmvae {
    fn terms(&self, _: Progress) -> Vec<String> {
        experts::terms(self)
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let (weights, sources) = self.importance_weights(batch, self.config.samples, noise);
        self.objective().loss(self.terms(batch.progress), &weights, &sources)
    }

    fn step(&self, batch: &Batch, noise: &mut Noise) -> Step {
        let sources = self.sources(batch, Sources::observed(batch));
        let z = experts::draw(&sources.shared, self.config.samples, noise);
        let weigh = |z: &[Tensor<4>], detach: bool| self.weigh(batch, &sources, &z[0], detach);
        let names = self.terms(batch.progress);
        self.objective().step(self, names, vec![z], &sources.presence, weigh)
    }
}

impl Encode for Mmvae {
    /// Samples of the mixture of the given modalities.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let mixture = self.mixture(batch, given);
        Latent::shared(match draws {
            Draws::Mean => mixture.mean().unsqueeze_dim(0),
            Draws::Samples(n) => mixture.sample(n, noise),
        })
    }
}

impl Generate for Mmvae {
    fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
        let prior = self.prior.distribution(device);
        Latent::shared(experts::draw_prior(&prior, Draws::Samples(1), rows, noise))
    }

    fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
        blocks::decode(&self.decoders, &self.modalities, latent, targets)
    }

    fn decoder(&self, modality: usize) -> Option<&Decoder> {
        Some(self.decoders.at(modality))
    }
}

impl Density for Mmvae {
    /// One sample a given modality.
    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        let samples = given.len();
        let mixture = self.mixture(batch, given);
        let (z, log_q) = mixture.stratified(0..samples, samples, noise);
        let prior = self.prior.distribution(&batch.device());
        let log_p: Tensor<2> = prior.log_prob(z.clone());
        let likelihoods = (0..self.modalities.len())
            .map(|m| blocks::log_likelihood(&self.decoders, batch, m, z.clone()).mean_dim(0))
            .collect();
        let kl = (log_q - log_p).mean_dim(0).squeeze_dim(0);
        blocks::bound(likelihoods, vec![("kl".into(), kl)])
    }

    /// Samples are stratified over the posteriors of the targets.
    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let mixture = self.mixture(batch, targets);
        let prior = self.prior.distribution(&batch.device());
        importance_estimate(batch.rows(), budget, &batch.device(), |samples| {
            let (z, log_q) = mixture.stratified(samples, budget.samples, noise);
            let log_p: Tensor<2> = prior.log_prob(z.clone());
            let ratio = log_p - log_q;
            blocks::importance_weights(&self.decoders, batch, targets, z, ratio, &[], noise)
        })
    }
}
