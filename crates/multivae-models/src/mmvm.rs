//! MMVM: posteriors of single modalities that approach each other through a data-dependent prior.
//!
//! **Paper.** Sutter et al., "Unity by Diversity: Improved Representation Learning for Multimodal
//! VAEs", NeurIPS 2024, arXiv 2403.05300.
//!
//! **Generative process.** For a row the prior of a code is the mixture of the posteriors of its
//! modalities, `h(z | X) = 1/n Σ_m q(z | x_m)`, and `x_m ~ p(x_m | z_m)`. It depends on the data, so that
//! there is no density; samples of the prior are those of `N(0, I)`.
//!
//! **Inference.** `z_m ~ q(z | x_m)`, normal, for each modality alone; given several, the mixture with
//! equal weights of those that a row observes, and the prior for a row without any.
//!
//! **Objective.** With `z_m ~ q(z | x_m)`,
//!
//! ```text
//! loss = mean_b Σ_m [ -λ_m log p(x_m | z_m)
//!                     + β ( a KL(q(z | x_m) ‖ N(0, I)) + (1 - a)/n Σ_j KL(q(z | x_m) ‖ q(z | x_j)) ) ]
//! ```
//!
//! with sums over the `n` observed modalities: the mean of divergences is at least that from the mixture.
//! `a` falls from 1 to 0 over the first `warmup` epochs.
//!
//! **What differs from the authors' code.** The value is the same. Its `a` falls over a number of steps,
//! by one of several curves; here linearly over epochs, and evaluation has `a = 0`. It weighs modalities
//! by their size; here that is `rescale = "by_size"`. It takes complete rows only.
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
    mixture::Mixture,
    modality::ModalitySpec,
    model::{Draws, Encode, Generate, Lacks, Latent, Learn, Loss, Multimodal, MultimodalModel},
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::{Rescale, Warmup},
    options,
    subset::Subset,
};

use crate::{
    blocks::{self, ModalityConfig, pooling::mean_divergences},
    registry::Listed,
};

options! {
    /// Configuration of [`Mmvm`].
    pub struct MmvmConfig {
        /// Features of the latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of the divergences, at least 0.
        pub beta: f64 = 1.0,
        /// Epochs over which the prior turns from the standard normal to the mixture; 0 for none.
        pub warmup: Warmup = Warmup { epochs: 10 },
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A VAE with a mixture of posteriors as prior; see the [module](self).
#[derive(Module, Debug)]
pub struct Mmvm {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MmvmConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for MmvmConfig {}

impl MmvmConfig {
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
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Mmvm> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = vec![0; modalities.len()];
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        Ok(Mmvm { encoders, decoders, modalities, config: self.clone(), rescale })
    }
}

impl Multimodal for Mmvm {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl MultimodalModel for Mmvm {
    fn learner(&self) -> &dyn Learn {
        self
    }

    fn encoder(&self) -> std::result::Result<&dyn Encode, Lacks> {
        Ok(self)
    }

    fn generator(&self) -> std::result::Result<&dyn Generate, Lacks> {
        Ok(self)
    }
}

impl Learn for Mmvm {
    /// `kl_standard` is the divergence from the standard normal prior, `kl_mixture` that from the
    /// other modalities; neither is weighted.
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.extend(["kl_standard".into(), "kl_mixture".into()]);
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let m = self.modalities.len();
        let experts =
            blocks::encode(&self.encoders, &self.modalities, batch, Subset::full(m)).experts;
        let q = Normal::new(experts.mean.clone(), experts.log_var.clone());
        let z = q.rsample(noise.normal(q.mean.dims(), 1, &batch.device()));
        let own =
            |m: usize| blocks::log_likelihood(&self.decoders, batch, m, z.clone().narrow(0, m, 1));
        let likelihoods: Vec<Tensor<2>> = (0..m).map(own).collect();
        let mut terms = blocks::reconstruction_means(&likelihoods, &self.rescale);
        let rows = batch.rows() as f64;
        let standard = (q.kl_standard::<2>() * experts.presence.clone()).sum() / rows;
        let mixture = mean_divergences(&experts).sum() / rows;
        let weight = self.config.warmup.weight(batch.progress);
        let divergence = standard.clone() * (1.0 - weight) + mixture.clone() * weight;
        let total = blocks::sum(&terms) + divergence * self.config.beta;
        terms.extend([standard, mixture]);
        blocks::loss(total, self.terms(batch.progress), terms)
    }
}

impl Encode for Mmvm {
    /// Samples of the mixture of the given modalities.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let experts = blocks::encode(&self.encoders, &self.modalities, batch, given).experts;
        let prior = Normal::standard_like(&experts.mean.clone().narrow(0, 0, 1).narrow(1, 0, 1));
        let components = Normal::new(experts.mean, experts.log_var).into();
        let rows = batch.presence().rows();
        let mixture = Mixture::of_experts(components, rows, given, &prior.into());
        Latent::shared(match draws {
            Draws::Mean => mixture.mean().unsqueeze_dim(0),
            Draws::Samples(n) => mixture.sample(n, noise),
        })
    }
}

impl Generate for Mmvm {
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
