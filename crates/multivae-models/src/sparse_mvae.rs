//! Sparse MVAE: a product of experts whose latent features learn dropout rates.
//!
//! **Paper.** Wu and Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised Learning",
//! NeurIPS 2018, arXiv 1802.05335, for the product; Molchanov, Ashukha and Vetrov, "Variational Dropout
//! Sparsifies Deep Neural Networks", ICML 2017, arXiv 1701.05369, for the rates; the two together are
//! multi-view-AE's.
//!
//! **Generative process.** `z ~ p(z)`, log-uniform in each feature, `x_m ~ p(x_m | z)` for every modality.
//! The prior is no distribution: samples of it are those of `N(0, I)`, and there is no density.
//!
//! **Inference.** `q(z | x_S) ∝ Π_{m in S} q(z | x_m)`, a product of normal experts without the prior; the
//! variance of feature `d` of an expert is `α_d μ_d²`, the dropout rates `p_d = α_d / (1 + α_d)` being the
//! same for all modalities. A missing modality is left out, and a row without any has `N(0, I)`. Encoded
//! values of features whose rate is at least `threshold` are 0.
//!
//! **Objective.**
//!
//! ```text
//! loss = mean_b [ -Σ_m λ_m log p(x_m | z) + β D(q) ]
//! ```
//!
//! with sums over observed modalities and `D` the approximation of the divergence from the log-uniform
//! prior of Molchanov et al. (2017), up to a constant. `β` grows from 0 over the first `warmup` epochs.
//!
//! **What differs from multi-view-AE.** There it is `sparse = True` of its mVAE, which without a threshold
//! is silently dense; here the two are independent. It ignores the threshold when it predicts; here
//! encoded values follow it. Which features are kept is a method here ([`SparseMvae::kept`]) and a term of
//! the objective, their number. It takes complete rows only.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls and `M` decoder calls of `B` rows.

use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::Normal,
    fusion::Product,
    modality::ModalitySpec,
    model::{
        Capability, Density, Draws, Encode, Generate, Lacks, Latent, Learn, Loss, Multimodal,
        MultimodalModel,
    },
    module::Named,
    nn::{Decoder, Networks},
    noise::Noise,
    objective::{Rescale, Warmup},
    options,
    subset::Subset,
};

use crate::{
    blocks::{
        self, ModalityConfig,
        codes::{self, CodeNet, Codes},
        sparse,
    },
    registry::Listed,
};

options! {
    /// Configuration of [`SparseMvae`].
    pub struct SparseMvaeConfig {
        /// Features of the latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of the divergence from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Epochs over which the weight of the divergence grows from 0 to `beta`; 0 for none.
        pub warmup: Warmup = Warmup { epochs: 0 },
        /// Dropout rate from which encoded values of a feature are 0, above 0; 1 keeps them all.
        pub threshold: f64 = 1.0,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A product-of-experts VAE with sparse latents; see the [module](self).
#[derive(Module, Debug)]
pub struct SparseMvae {
    mean_encoders: Named<CodeNet>,
    /// `ln α`, `[1, latent]`.
    log_alpha: Param<Tensor<2>>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: SparseMvaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for SparseMvaeConfig {}

impl SparseMvaeConfig {
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
        let rate = self.threshold > 0.0 && self.threshold <= 1.0;
        blocks::check(rate, "model.threshold", "above 0 and at most 1", self.threshold)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<SparseMvae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let (mean_encoders, decoders) =
            codes::networks(&self.modalities, self.latent, networks, device)?;
        let log_alpha = sparse::log_alpha(self.latent, device);
        let rescale = self.rescale.factors(&modalities);
        let config = self.clone();
        Ok(SparseMvae { mean_encoders, log_alpha, decoders, modalities, config, rescale })
    }
}

impl SparseMvae {
    /// The dropout rate of each feature, `[latent]`.
    pub fn dropout_rates(&self) -> Tensor<1> {
        sparse::dropout_rates(&self.log_alpha)
    }

    /// 1 for features whose dropout rate is below the threshold, `[latent]`.
    pub fn kept(&self) -> Tensor<1> {
        sparse::kept(self.dropout_rates(), self.config.threshold)
    }

    /// The posterior of the modalities in `given`, `[batch, latent]`.
    fn posterior(&self, batch: &Batch, given: Subset) -> Normal<2> {
        let codes = Codes::encode(&self.mean_encoders, &self.modalities, batch, given);
        let experts = sparse::experts(&codes, &self.log_alpha);
        blocks::only(Product::without_prior().of(&experts, &blocks::all_of(given.len())))
    }
}

impl Multimodal for SparseMvae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl MultimodalModel for SparseMvae {
    fn learner(&self) -> &dyn Learn {
        self
    }

    fn encoder(&self) -> std::result::Result<&dyn Encode, Lacks> {
        Ok(self)
    }

    fn generator(&self) -> std::result::Result<&dyn Generate, Lacks> {
        Ok(self)
    }

    fn density(&self) -> std::result::Result<&dyn Density, Lacks> {
        let reason = "the prior of sparse latents is log-uniform, which is no distribution";
        Err(Lacks::new(Capability::Density, reason))
    }
}

impl Learn for SparseMvae {
    /// `kept` is the number of features that are kept.
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.extend(["kl".into(), "kept".into()]);
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let posterior = self.posterior(batch, Subset::full(self.modalities.len()));
        let z = blocks::draw(&posterior, Draws::Samples(1), noise);
        let mut terms = blocks::reconstructions(&self.decoders, batch, &z, &self.rescale);
        let kl = sparse::divergence::<2, 1>(&posterior).mean();
        let beta = self.config.beta * self.config.warmup.weight(batch.progress);
        let total = blocks::sum(&terms) + kl.clone() * beta;
        terms.extend([kl, self.kept().sum()]);
        blocks::loss(total, self.terms(batch.progress), terms)
    }
}

impl Encode for SparseMvae {
    /// 0 in features that are not kept.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let z = blocks::draw(&self.posterior(batch, given), draws, noise);
        Latent::shared(z * self.kept().unsqueeze_dims::<3>(&[0, 1]))
    }
}

impl Generate for SparseMvae {
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

#[cfg(test)]
mod tests {
    use multivae_core::module::init_parameters;

    use super::*;

    #[test]
    fn features_whose_rate_is_at_the_threshold_are_encoded_as_zero() {
        let specs = ["a", "b"].map(|name| ModalitySpec::new(name, &[3]).expect("valid"));
        let config = SparseMvaeConfig { latent: 2, threshold: 0.5, ..Default::default() };
        let config = config.with_modalities(&specs).expect("the data suits");
        let model = config.init(&Networks::default(), &Device::flex()).expect("a model");
        let mut model = init_parameters(model);
        let device = Device::flex();
        model.log_alpha = Param::from_tensor(Tensor::from_floats([[-1.0, 0.0]], &device));
        let batch = Batch::complete(vec![Tensor::ones([1, 3], &device); 2]).expect("one size");
        let noise = &mut Noise::zero();
        let latent = model.encode(&batch, Subset::full(2), Draws::Mean, noise).z();
        let latent: Vec<f32> = latent.into_data().try_into_vec().expect("floats");
        assert!(latent[0] != 0.0 && latent[1] == 0.0, "{latent:?}");
        assert!(model.density().is_err());
    }
}
