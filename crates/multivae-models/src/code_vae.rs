//! CoDE-VAE: experts whose errors are correlated, over all sets of modalities.
//!
//! **Paper.** Mancisidor et al., "Aggregation of Dependent Expert Distributions in Multimodal
//! Variational Autoencoders", ICML 2025, arXiv 2505.01134.
//!
//! **Generative process.** `z ~ N(0, I)`, `x_m ~ p(x_m | z)` for every modality.
//!
//! **Inference.** `q(z | x_S)` is the consensus of normal experts whose errors have the correlation `ρ`
//! in each feature: with `Σ_ij = s_i R_ij s_j`, `R_ij = ρ` for `i ≠ j`, variance `1 / (1ᵀ Σ⁻¹ 1)` and mean
//! `1ᵀ Σ⁻¹ μ / (1ᵀ Σ⁻¹ 1)`, over what a row observes; the prior for a row without any. `ρ = 0` is the product
//! of experts.
//!
//! **Objective.** Over all subsets `S` of modalities that a row observes completely, with
//! `z_S ~ q(z | x_S)`,
//!
//! ```text
//! loss = mean_b Σ_S ω_S [ -Σ_m λ_m log p(x_m | z_S) + β KL(q(z | x_S) ‖ p(z)) ] - γ H(ω)
//! ```
//!
//! with sums over observed modalities. The weights `ω`, a soft maximum, are learned, and add up to 1 over
//! the subsets that a row can use; `H` is the entropy of those of all subsets.
//!
//! **What differs from the authors' code.** The posterior is theirs in closed form, without the inverse of a
//! matrix for each row and feature. All subsets are evaluated in one pass. Its private codes are not
//! here. It takes complete rows only.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows, `M` decoder calls of `(2^M - 1) B` rows.

use burn::{
    module::{Initializer, Module, Param},
    tensor::{Device, Tensor, TensorData, activation},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::Normal,
    fusion::mixture_weights,
    modality::ModalitySpec,
    model::{Learn, Loss, Multimodal},
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::Rescale,
    options,
    subset::{Subset, Subsets},
};

use crate::{
    blocks::{
        self, ModalityConfig, PrivateSpace, pooling::correlated, posterior::normal_posterior,
    },
    registry::Listed,
};

options! {
    /// Configuration of [`CodeVae`].
    pub struct CodeVaeConfig {
        /// Features of the latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of the divergences from the prior, at least 0.
        pub beta: f64 = 5.0,
        /// Correlation of the errors of experts, at least 0 and below 1.
        pub correlation: f64 = 0.5,
        /// Weight of the entropy of the weights of subsets, at least 0.
        pub entropy: f64 = 1000.0,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A VAE of dependent experts; see the [module](self).
#[derive(Module, Debug)]
pub struct CodeVae {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    /// What the weights of all subsets are the soft maximum of.
    logits: Param<Tensor<1>>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: CodeVaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
    #[module(skip)]
    private: Vec<usize>,
}

impl Listed for CodeVaeConfig {}

/// All subsets of more modalities than this are more than a thousand, each of which is decoded.
const MOST_MODALITIES: usize = 10;

impl CodeVaeConfig {
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
        blocks::check_weight("model.entropy", self.entropy)?;
        let share = (0.0..1.0).contains(&self.correlation);
        let expected = "at least 0 and below 1";
        blocks::check(share, "model.correlation", expected, self.correlation)?;
        let count = self.modalities.len();
        let expected = format!("at most {MOST_MODALITIES}, since all their subsets are decoded");
        blocks::check(count <= MOST_MODALITIES, "model.modalities", &expected, count)?;
        self.rescale.check(count)
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<CodeVae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = vec![0; modalities.len()];
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let logits = Initializer::Zeros.init([Subsets::all(modalities.len()).len()], device);
        let rescale = self.rescale.factors(&modalities);
        let config = self.clone();
        Ok(CodeVae { encoders, decoders, logits, modalities, config, rescale, private })
    }
}

impl CodeVae {
    /// The weights of all subsets, by size, then in order, `[subset]`.
    pub fn weights(&self) -> Tensor<1> {
        activation::softmax(self.logits.val(), 0)
    }

    /// The posterior of the modalities in `given`, and no private spaces.
    fn posterior(&self, batch: &Batch, given: Subset) -> (Normal<2>, Vec<PrivateSpace>) {
        let experts = blocks::encode(&self.encoders, &self.modalities, batch, given).experts;
        let all = blocks::all_of(given.len());
        (blocks::only(correlated(&experts, &all, self.config.correlation)), Vec::new())
    }

    /// The weights of the subsets for each row, `[subset, batch]`, which add up to 1.
    fn row_weights(&self, batch: &Batch, subsets: &Subsets) -> Tensor<2> {
        let usable = mixture_weights(batch.presence().rows(), subsets).into_iter().flatten();
        let usable: Vec<f32> = usable.map(|w| f32::from(u8::from(w > 0.0))).collect();
        let data = TensorData::new(usable, [batch.rows(), subsets.len()]);
        let usable = Tensor::<2>::from_data(data, &batch.device()).transpose();
        let lacking = (usable.clone() - 1.0) * FAR;
        activation::softmax(self.logits.val().unsqueeze_dim::<2>(1) + lacking, 0) * usable
    }
}

/// What is taken from the logits of subsets that a row cannot use.
const FAR: f64 = 1e9;

impl Multimodal for CodeVae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for CodeVae {
    /// All are averaged with the weights of subsets, but for `entropy`, which is that of the weights.
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.extend(["kl".into(), "entropy".into()]);
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let m = self.modalities.len();
        let experts =
            blocks::encode(&self.encoders, &self.modalities, batch, Subset::full(m)).experts;
        let subsets = Subsets::all(m);
        let posteriors = correlated(&experts, &subsets, self.config.correlation);
        let z = posteriors.rsample(noise.normal(posteriors.mean.dims(), 1, &batch.device()));
        let weights = self.row_weights(batch, &subsets);
        let rows = batch.rows() as f64;
        let mean = |values: Tensor<2>| (values * weights.clone()).sum() / rows;
        let likelihood = |(m, scale): (usize, &f64)| {
            mean(blocks::log_likelihood(&self.decoders, batch, m, z.clone())) * -*scale
        };
        let mut terms: Vec<_> = self.rescale.iter().enumerate().map(likelihood).collect();
        let kl = mean(posteriors.kl_standard());
        let log_weights = activation::log_softmax(self.logits.val(), 0);
        let entropy = (log_weights.clone().exp() * log_weights).sum().neg();
        let total = blocks::sum(&terms) + kl.clone() * self.config.beta
            - entropy.clone() * self.config.entropy;
        terms.extend([kl, entropy]);
        blocks::loss(total, self.terms(batch.progress), terms)
    }
}

normal_posterior!(CodeVae);
