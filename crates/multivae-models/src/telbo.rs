//! TELBO: a joint VAE first, then unimodal encoders for its decoders.
//!
//! **Paper.** Vedantam, Fischer, Huang and Murphy, "Generative Models of Visually Grounded
//! Imagination", ICLR 2018, arXiv 1705.10762.
//!
//! **Generative process.** `z ~ N(0, I)`, `x_m ~ p(x_m | z)` for every modality.
//!
//! **Inference.** `q(z | X)` is the normal posterior of one encoder that reads all modalities,
//! `q(z | x_m)` that of an encoder of modality `m`. Given several modalities but not all,
//! `q(z | x_S) ∝ p(z) Π_{m in S} q(z | x_m)`, as in the paper. A row uses those of the given
//! modalities that it observes.
//!
//! **Objective.** In the first `joint_epochs` epochs, with `z` from `q(z | X)`, for the joint
//! encoder and the decoders,
//!
//! ```text
//! loss = mean_b [ KL(q(z | X) ‖ p) - Σ_m λ_m log p(x_m | z) ]
//! ```
//!
//! and then, with `z_m` from `q(z | x_m)`, for the unimodal encoders alone,
//!
//! ```text
//! loss = mean_b Σ_m [ KL(q(z | x_m) ‖ p) - γ_m log p(x_m | z_m) ]
//! ```
//!
//! **What differs from MultiVae.** Its unimodal divergence takes the logarithm of the joint
//! variance for that of the unimodal one, which loses the entropy, so that unimodal variances
//! vanish; here it is the divergence of the unimodal posterior. It changes the stage one epoch too
//! early and reports the two stages on different scales, so that the model that it keeps has
//! unimodal encoders as they were at the start; here the second stage begins after `joint_epochs`
//! epochs, from the best model of the first, and is judged by itself. It runs the joint encoder
//! and all decoders once more in each step of the second stage; here they are left out. It encodes
//! from one modality or from all; here from any set. It takes the number of rows from the length
//! of the last modality's container, which is wrong for texts, and its joint likelihood cannot
//! index them; here both take any modality.
//!
//! **Incomplete data.** For encoding and likelihoods, not for training: the objective needs
//! complete rows.
//!
//! **Cost of a step.** First stage: one joint encoder call and `M` decoder calls of `B` rows.
//! Second stage: `M` encoder calls and `M` decoder calls of `B` rows.

use std::collections::BTreeMap;

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::Normal,
    fusion::{PriorExpert, Product},
    modality::{ModalityName, ModalitySpec},
    model::{Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal, Stage},
    module::Named,
    nn::{Decoder, EncoderNet, JointEncoder, JointEncoderConfig, Networks},
    noise::Noise,
    objective::{Budget, Estimate, Rescale},
    options,
    subset::Subset,
};
use serde_json::{Value, json};

use crate::{
    blocks::joint,
    blocks::{self, ModalityConfig},
    exchange::models::{self as classes, Class},
    registry::Listed,
};

options! {
    /// Configuration of [`Telbo`].
    pub struct TelboConfig {
        /// Features of the latent space, at least 1.
        pub latent: usize = 20,
        /// Epochs of the first stage, at least 1: the joint encoder and the decoders. The unimodal
        /// encoders learn in the rest of the run.
        pub joint_epochs: usize = 10,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::BySize,
        /// Weights of the likelihoods in the first stage by modality, at least 0; `rescale` for one
        /// that is not named.
        pub lambda: BTreeMap<ModalityName, f64> = BTreeMap::new(),
        /// Weights of the likelihoods in the second stage by modality, at least 0; `rescale` for
        /// one that is not named.
        pub gamma: BTreeMap<ModalityName, f64> = BTreeMap::new(),
        /// The joint encoder; what is not given follows the encoders of the modalities.
        pub joint_encoder: JointEncoderConfig = JointEncoderConfig::default(),
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A joint VAE with unimodal encoders for its decoders; see the [module](self).
#[derive(Module, Debug)]
pub struct Telbo {
    joint_encoder: JointEncoder,
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: TelboConfig,
    #[module(skip)]
    lambda: Vec<f64>,
    #[module(skip)]
    gamma: Vec<f64>,
}

impl Listed for TelboConfig {
    const CLASS: Option<Class> = Some(classes::TELBO);

    fn exercise(specs: &[ModalitySpec]) -> Value {
        json!({ "gamma": { specs[0].name.as_str(): 0.5 } })
    }
}

impl TelboConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete(&self.modalities, specs)?;
        self.joint_encoder = joint::complete(self.joint_encoder, &self.modalities, self.latent)?;
        self.check()?;
        self.weights(specs)?;
        Ok(self)
    }

    fn check(&self) -> Result<()> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        let epochs = self.joint_epochs;
        blocks::check(epochs > 0, "model.joint_epochs", "at least 1", epochs)?;
        self.rescale.check(self.modalities.len())
    }

    /// Weights of the likelihoods in the first and in the second stage.
    fn weights(&self, specs: &[ModalitySpec]) -> Result<(Vec<f64>, Vec<f64>)> {
        let factors = self.rescale.factors(specs);
        let lambda = blocks::weights("model.lambda", &self.lambda, specs, |m| factors[m])?;
        let gamma = blocks::weights("model.gamma", &self.gamma, specs, |m| factors[m])?;
        Ok((lambda, gamma))
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Telbo> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = vec![0; modalities.len()];
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let joint_encoder = self.joint_encoder.init(&modalities, self.latent, networks, device)?;
        let (lambda, gamma) = self.weights(&modalities)?;
        let config = self.clone();
        Ok(Telbo { joint_encoder, encoders, decoders, modalities, config, lambda, gamma })
    }
}

impl Telbo {
    /// The posterior given a subset, `[batch, latent]`.
    fn posterior(&self, batch: &Batch, given: Subset) -> Normal<2> {
        let rule = Product { prior: PriorExpert::Several, ..Product::with_prior() };
        joint::posterior(&self.joint_encoder, &self.encoders, batch, given, rule)
    }

    /// Whether the run is in its first stage.
    fn is_joint(&self, progress: Progress) -> bool {
        progress.epoch <= self.config.joint_epochs
    }

    /// The terms of the joint bound.
    fn joint(&self, batch: &Batch, noise: &mut Noise) -> Vec<Tensor<1>> {
        let posterior = joint::of_complete(&self.joint_encoder, batch);
        let z = blocks::draw(&posterior, Draws::Samples(1), noise);
        let mut terms = blocks::reconstructions(&self.decoders, batch, &z, &self.lambda);
        let kl: Tensor<1> = posterior.kl_standard();
        terms.push(kl.mean());
        terms
    }

    /// The terms of the unimodal bounds.
    fn unimodal(&self, batch: &Batch, noise: &mut Noise) -> Vec<Tensor<1>> {
        joint::check_complete(batch);
        let all = Subset::full(self.modalities.len());
        let experts = blocks::encode(&self.encoders, &self.modalities, batch, all).experts;
        let posteriors = Normal::new(experts.mean, experts.log_var);
        let shape = posteriors.mean.dims();
        let z = posteriors.rsample(noise.normal(shape, 1, &batch.device()));
        let mut terms: Vec<Tensor<1>> = z
            .split(1, 0)
            .into_iter()
            .zip(&self.gamma)
            .enumerate()
            .map(|(m, (z, weight))| {
                blocks::log_likelihood(&self.decoders, batch, m, z).mean() * -*weight
            })
            .collect();
        let kl: Tensor<2> = posteriors.kl_standard();
        terms.extend(kl.mean_dim(1).squeeze_dim::<1>(1).split(1, 0));
        terms
    }
}

impl Multimodal for Telbo {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Telbo {
    /// In the first stage `reconstruction/NAME` and `kl`, in the second
    /// `unimodal_reconstruction/NAME` and `unimodal_kl/NAME`.
    fn terms(&self, progress: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        if self.is_joint(progress) {
            names.push("kl".into());
        } else {
            names.iter_mut().for_each(|name| name.insert_str(0, "unimodal_"));
            names.extend(self.modalities.iter().map(|spec| format!("unimodal_kl/{}", spec.name)));
        }
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let terms = match self.is_joint(batch.progress) {
            true => self.joint(batch, noise),
            false => self.unimodal(batch, noise),
        };
        let total = Tensor::cat(terms.clone(), 0).sum();
        blocks::loss(total, self.terms(batch.progress), terms)
    }

    fn needs_complete_rows(&self) -> bool {
        true
    }

    fn stages(&self) -> Vec<Stage> {
        joint::stages(self.config.joint_epochs, &["encoders"])
    }
}

impl Encode for Telbo {
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        Latent::shared(blocks::draw(&self.posterior(batch, given), draws, noise))
    }
}

impl Generate for Telbo {
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

impl Density for Telbo {
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
