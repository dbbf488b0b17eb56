//! JMVAE: a joint encoder, and unimodal encoders that approach it.
//!
//! **Paper.** Suzuki, Nakayama and Matsuo, "Joint Multimodal Learning with Deep Generative
//! Models", 2016, arXiv 1611.01891.
//!
//! **Generative process.** `z ~ N(0, I)`, `x_m ~ p(x_m | z)` for every modality.
//!
//! **Inference.** `q(z | X)` is the normal posterior of one encoder that reads all modalities,
//! `q(z | x_m)` that of an encoder of modality `m`. Given several modalities but not all,
//! `q(z | x_S) ∝ Π_{m in S} q(z | x_m)`, without the prior. A row uses those of the given
//! modalities that it observes.
//!
//! **Objective.** With `z` from `q(z | X)`,
//!
//! ```text
//! loss = mean_b [ -Σ_m λ_m log p(x_m | z) + w ( β KL(q(z | X) ‖ p) + α Σ_m KL(q(z | X) ‖ q(z | x_m)) ) ]
//! ```
//!
//! `w` grows from 0 to 1 over the first `warmup` epochs.
//!
//! **What differs from MultiVae.** Its weight `w` rises once an epoch, by `epoch / warmup`; here it
//! rises with every batch, and starts at 0. Validation uses `w = 1`, so that epochs can be
//! compared; the reference compares them from the epoch after `warmup` on only. It takes the number
//! of rows from the length of the last modality's container, which is wrong for texts, and its
//! joint likelihood cannot index them; here both take any modality. It refuses to encode rows that
//! lack a modality; here the product leaves out what a row lacks. Its likelihood keeps the history
//! of gradients and decodes row by row; here rows and samples are decoded together.
//!
//! **Incomplete data.** For encoding and likelihoods, not for training: the objective needs
//! complete rows.
//!
//! **Cost of a step.** `M` encoder calls, one joint encoder call and `M` decoder calls of `B` rows.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::Normal,
    fusion::{PriorExpert, Product},
    modality::ModalitySpec,
    model::{Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal},
    module::Named,
    nn::{Decoder, EncoderNet, JointEncoder, JointEncoderConfig, Networks},
    noise::Noise,
    objective::{Budget, Estimate, Rescale, Warmup},
    options,
    subset::Subset,
};

use crate::{
    blocks::joint,
    blocks::{self, ModalityConfig},
    exchange::models::{self as classes, Class},
    registry::Listed,
};

options! {
    /// Configuration of [`Jmvae`].
    pub struct JmvaeConfig {
        /// Features of the latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of the divergences of the joint posterior from the unimodal ones, at least 0.
        pub alpha: f64 = 0.1,
        /// Weight of the divergence from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Epochs over which the weights of all divergences grow from 0; 0 for none.
        pub warmup: Warmup = Warmup { epochs: 0 },
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// The joint encoder; what is not given follows the encoders of the modalities.
        pub joint_encoder: JointEncoderConfig = JointEncoderConfig::default(),
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A joint encoder with unimodal ones that approach it; see the [module](self).
#[derive(Module, Debug)]
pub struct Jmvae {
    joint_encoder: JointEncoder,
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: JmvaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for JmvaeConfig {
    const CLASS: Option<Class> = Some(classes::JMVAE);
}

impl JmvaeConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete(&self.modalities, specs)?;
        self.joint_encoder = joint::complete(self.joint_encoder, &self.modalities, self.latent)?;
        self.check()?;
        Ok(self)
    }

    fn check(&self) -> Result<()> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check_weight("model.alpha", self.alpha)?;
        blocks::check_weight("model.beta", self.beta)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Jmvae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = vec![0; modalities.len()];
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let joint_encoder = self.joint_encoder.init(&modalities, self.latent, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        let config = self.clone();
        Ok(Jmvae { joint_encoder, encoders, decoders, modalities, config, rescale })
    }
}

impl Jmvae {
    /// The posterior given a subset, `[batch, latent]`.
    fn posterior(&self, batch: &Batch, given: Subset) -> Normal<2> {
        let rule = Product { prior: PriorExpert::Never, ..Product::with_prior() };
        joint::posterior(&self.joint_encoder, &self.encoders, batch, given, rule)
    }
}

impl Multimodal for Jmvae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Jmvae {
    /// `kl` is the divergence from the prior, `kl_unimodal/NAME` those from the unimodal
    /// posteriors; none is weighted.
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.push("kl".into());
        names.extend(self.modalities.iter().map(|spec| format!("kl_unimodal/{}", spec.name)));
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let posterior = joint::of_complete(&self.joint_encoder, batch);
        let all = Subset::full(self.modalities.len());
        let experts = blocks::encode(&self.encoders, &self.modalities, batch, all).experts;
        let z = blocks::draw(&posterior, Draws::Samples(1), noise);
        let mut terms = blocks::reconstructions(&self.decoders, batch, &z, &self.rescale);
        let reconstruction = Tensor::cat(terms.clone(), 0).sum();

        let kl: Tensor<1> = posterior.kl_standard();
        let unimodal = Normal::new(experts.mean, experts.log_var);
        let apart: Tensor<2> = posterior.map(|x| x.unsqueeze_dim::<3>(0)).kl(&unimodal);
        let apart: Tensor<1> = apart.mean_dim(1).squeeze_dim(1);
        let kl = kl.mean();
        let divergence = kl.clone() * self.config.beta + apart.clone().sum() * self.config.alpha;
        terms.push(kl);
        terms.extend(apart.split(1, 0));
        let total = reconstruction + divergence * self.config.warmup.weight(batch.progress);
        blocks::loss(total, self.terms(batch.progress), terms)
    }

    fn needs_complete_rows(&self) -> bool {
        true
    }
}

impl Encode for Jmvae {
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        Latent::shared(blocks::draw(&self.posterior(batch, given), draws, noise))
    }
}

impl Generate for Jmvae {
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

impl Density for Jmvae {
    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        blocks::shared_bound(&self.decoders, batch, &self.posterior(batch, given), noise)
    }

    /// The proposal is the joint posterior for rows that observe all modalities, all being
    /// targets, else the mixture of the posteriors of the single targets.
    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let proposal = joint::proposal(&self.joint_encoder, &self.encoders, batch, targets);
        let (decoders, mixture) = (&self.decoders, &proposal.mixture);
        blocks::estimate_by_mixture(decoders, batch, targets, budget, mixture, &[], noise)
    }
}
