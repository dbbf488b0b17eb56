//! mcVAE: coordinated channels, each of which reconstructs all, with sparse latents on request.
//!
//! **Paper.** Antelmi, Ayache, Robert and Lorenzi, "Sparse Multi-Channel Variational Autoencoder for
//! the Joint Analysis of Heterogeneous Data", ICML 2019; Molchanov, Ashukha and Vetrov, "Variational
//! Dropout Sparsifies Deep Neural Networks", ICML 2017, arXiv 1701.05369, for the sparse form.
//!
//! **Generative process.** `z ~ p(z)`, `x_m ~ p(x_m | z)` for every modality. `p(z)` is `N(0, I)`,
//! or with `sparse` log-uniform in each feature, which is no distribution: samples of the prior are
//! then those of `N(0, I)`, and there is no density.
//!
//! **Inference.** A mixture with equal weights of the experts `q(z | x_m)` of the modalities that a
//! row observes; the prior for a row without any. With `sparse` the variance of feature `d` is
//! `α_d μ_d²`, the dropout rates `p_d = α_d / (1 + α_d)` being the same for all modalities; encoded
//! values of features whose rate is at least `threshold` are 0.
//!
//! **Objective.** With `z_j ~ q(z | x_j)` of each of the `n` modalities that a row observes,
//!
//! ```text
//! loss = mean_b 1/n Σ_j [ -Σ_m λ_m log p(x_m | z_j) + β KL(q(z | x_j) ‖ p(z)) ]
//! ```
//!
//! with sums over observed modalities. With `sparse` the divergence is the approximation of Molchanov
//! et al. (2017), up to a constant.
//!
//! **What differs from multi-view-AE.** It divides likelihoods by `M²` and divergences by nothing; here,
//! as in the paper, the objective is the mean bound of the modalities, and its objective is this one
//! with `beta = β M²`, divided by `M`. There a sparse model without a threshold is silently a dense
//! one; here the two are independent. It draws `z_j` anew for each decoder; here all modalities are
//! reconstructed from one sample. Which features are kept is a method here
//! ([`Mcvae::kept`]) and a term of the objective, their number. It takes complete rows only.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows, `M` decoder calls of `M B` rows.

use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::Normal,
    fusion::Experts,
    mixture::Mixture,
    modality::ModalitySpec,
    model::{
        Bound, Capability, Density, Draws, Encode, Generate, Lacks, Latent, Learn, Loss,
        Multimodal, MultimodalModel,
    },
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::{Budget, Estimate, Rescale},
    options,
    subset::Subset,
};
use serde_json::{Value, json};

use crate::{
    blocks::{
        self, ModalityConfig,
        codes::{self, CodeNet, Codes, cross_reconstructions, shares},
        sparse,
    },
    registry::Listed,
};

options! {
    /// Configuration of [`Mcvae`].
    pub struct McvaeConfig {
        /// Features of the latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of the divergences from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Whether features learn dropout rates, by which those that are not needed are told.
        pub sparse: bool = false,
        /// Dropout rate from which encoded values of a feature are 0, above 0; 1 keeps them all.
        /// Only a sparse model has rates.
        pub threshold: f64 = 1.0,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A VAE of coordinated channels; see the [module](self).
#[derive(Module, Debug)]
pub struct Mcvae {
    channels: Channels,
}

/// Encoders and decoders, which have a density where they are dense.
#[derive(Module, Debug)]
struct Channels {
    /// Posteriors of a dense model.
    encoders: Named<EncoderNet>,
    /// Means of a sparse one.
    mean_encoders: Named<CodeNet>,
    /// `ln α`, `[1, latent]`, of a sparse one.
    log_alpha: Option<Param<Tensor<2>>>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: McvaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for McvaeConfig {
    fn exercise(specs: &[ModalitySpec]) -> Value {
        // One form for some data, the other for other.
        json!({ "sparse": specs.len() == 2 })
    }
}

impl McvaeConfig {
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
        let used = self.sparse || self.threshold == 1.0;
        let expected = "1, since only a sparse model has dropout rates";
        blocks::check(used, "model.threshold", expected, self.threshold)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Mcvae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let (none, no_means) =
            (Vec::<(String, EncoderNet)>::new(), Vec::<(String, CodeNet)>::new());
        let (encoders, mean_encoders, decoders) = if self.sparse {
            let (means, decoders) =
                codes::networks(&self.modalities, self.latent, networks, device)?;
            (none.into_iter().collect(), means, decoders)
        } else {
            let private = vec![0; modalities.len()];
            let (encoders, decoders) =
                blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
            (encoders, no_means.into_iter().collect(), decoders)
        };
        let channels = Channels {
            encoders,
            mean_encoders,
            log_alpha: self.sparse.then(|| sparse::log_alpha(self.latent, device)),
            decoders,
            rescale: self.rescale.factors(&modalities),
            modalities,
            config: self.clone(),
        };
        Ok(Mcvae { channels })
    }
}

impl Mcvae {
    /// The dropout rate of each feature, `[latent]`; `None` for a dense model.
    pub fn dropout_rates(&self) -> Option<Tensor<1>> {
        self.channels.dropout_rates()
    }

    /// 1 for features whose dropout rate is below the threshold, `[latent]`; `None` for a dense
    /// model.
    pub fn kept(&self) -> Option<Tensor<1>> {
        self.channels.kept()
    }
}

impl Channels {
    fn dropout_rates(&self) -> Option<Tensor<1>> {
        self.log_alpha.as_ref().map(sparse::dropout_rates)
    }

    fn kept(&self) -> Option<Tensor<1>> {
        self.dropout_rates().map(|rates| sparse::kept(rates, self.config.threshold))
    }

    /// The posteriors of the modalities in `which`.
    fn experts(&self, batch: &Batch, which: Subset) -> Experts {
        let Some(log_alpha) = &self.log_alpha else {
            return blocks::encode(&self.encoders, &self.modalities, batch, which).experts;
        };
        sparse::experts(
            &Codes::encode(&self.mean_encoders, &self.modalities, batch, which),
            log_alpha,
        )
    }

    /// The divergence of each expert from the prior, `[modality, batch]`.
    fn divergences(&self, experts: &Experts) -> Tensor<2> {
        let posterior = Normal::new(experts.mean.clone(), experts.log_var.clone());
        match self.config.sparse {
            true => sparse::divergence(&posterior),
            false => posterior.kl_standard(),
        }
    }

    /// The mixture of the posteriors of the given modalities.
    fn mixture(&self, batch: &Batch, given: Subset) -> Mixture {
        let experts = self.experts(batch, given);
        let prior = Normal::standard_like(&experts.mean.clone().narrow(0, 0, 1).narrow(1, 0, 1));
        let components = Normal::new(experts.mean, experts.log_var).into();
        Mixture::of_experts(components, batch.presence().rows(), given, &prior.into())
    }
}

impl Multimodal for Channels {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Multimodal for Mcvae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.channels.modalities
    }
}

impl MultimodalModel for Mcvae {
    fn learner(&self) -> &dyn Learn {
        self
    }

    fn encoder(&self) -> std::result::Result<&dyn Encode, Lacks> {
        Ok(&self.channels)
    }

    fn generator(&self) -> std::result::Result<&dyn Generate, Lacks> {
        Ok(&self.channels)
    }

    fn density(&self) -> std::result::Result<&dyn Density, Lacks> {
        match self.channels.config.sparse {
            true => Err(Lacks::new(
                Capability::Density,
                "the prior of sparse latents is log-uniform, which is no distribution",
            )),
            false => Ok(&self.channels),
        }
    }
}

impl Learn for Mcvae {
    /// `kept` is the number of features that a sparse model keeps.
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(self.modalities());
        names.push("kl".into());
        names.extend(self.channels.config.sparse.then(|| "kept".into()));
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let Channels { decoders, config, rescale, .. } = &self.channels;
        let experts = self.channels.experts(batch, Subset::full(decoders.len()));
        let posterior = Normal::new(experts.mean.clone(), experts.log_var.clone());
        let z = posterior.rsample(noise.normal(posterior.mean.dims(), 1, &batch.device()));
        let weights = shares(&experts.presence);
        let mut terms = cross_reconstructions(decoders, batch, &z, &weights, rescale);
        let kl = self.channels.divergences(&experts) * weights;
        let kl = kl.sum() / batch.rows() as f64;
        let total = blocks::sum(&terms) + kl.clone() * config.beta;
        terms.push(kl);
        terms.extend(self.kept().map(Tensor::sum));
        blocks::loss(total, self.terms(batch.progress), terms)
    }
}

impl Encode for Channels {
    /// Samples of the mixture of the given modalities; 0 in features that are not kept.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let mixture = self.mixture(batch, given);
        let z = match draws {
            Draws::Mean => mixture.mean().unsqueeze_dim(0),
            Draws::Samples(n) => mixture.sample(n, noise),
        };
        Latent::shared(match self.kept() {
            Some(kept) => z * kept.unsqueeze_dims::<3>(&[0, 1]),
            None => z,
        })
    }
}

impl Generate for Channels {
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

impl Density for Channels {
    /// One sample a given modality.
    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        let (mixture, samples) = (self.mixture(batch, given), given.len());
        let (decoders, modalities) = (&self.decoders, &self.modalities);
        blocks::mixture_bound(decoders, modalities, batch, samples, &mixture, &[], noise)
    }

    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let (mixture, decoders) = (self.mixture(batch, targets), &self.decoders);
        blocks::estimate_by_mixture(decoders, batch, targets, budget, &mixture, &[], noise)
    }
}

#[cfg(test)]
mod tests {
    use multivae_core::module::init_parameters;

    use super::*;

    fn model(config: McvaeConfig) -> Result<Mcvae> {
        let specs = ["a", "b"].map(|name| ModalitySpec::new(name, &[3]).expect("valid"));
        let config = McvaeConfig { latent: 2, ..config }.with_modalities(&specs)?;
        config.init(&Networks::default(), &Device::flex()).map(init_parameters)
    }

    #[test]
    fn a_sparse_model_is_sparse_without_a_threshold_and_keeps_all_features() {
        let model = model(McvaeConfig { sparse: true, ..McvaeConfig::default() }).expect("a model");
        assert!(model.density().is_err());
        let kept = model.kept().expect("it is sparse").sum().into_scalar::<f32>();
        assert_eq!(kept, 2.0);
        let values = || Tensor::<2>::ones([3, 3], &Device::flex());
        let batch = Batch::complete(vec![values(), values()]).expect("one size");
        let loss = model.loss(&batch, &mut Noise::zero());
        let names: Vec<_> = loss.terms.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["reconstruction/a", "reconstruction/b", "kl", "kept"]);
    }

    #[test]
    fn features_of_high_dropout_are_zero_in_what_is_encoded() {
        let config = McvaeConfig { sparse: true, threshold: 0.7, ..McvaeConfig::default() };
        let mut model = model(config).expect("a model");
        // Rates of 1/(1 + e^-1) = 0.73 and 1/2.
        let rates = Tensor::<2>::from_floats([[1.0, 0.0]], &Device::flex());
        model.channels.log_alpha = Some(Param::from_tensor(rates));
        let values = || Tensor::<2>::ones([1, 3], &Device::flex());
        let batch = Batch::complete(vec![values(), values()]).expect("one size");
        let encoder = model.encoder().expect("it encodes");
        let z = encoder.encode(&batch, Subset::full(2), Draws::Mean, &mut Noise::zero()).z();
        let z: Vec<f32> = z.into_data().try_into_vec().expect("floats");
        assert!(z[0] == 0.0 && z[1] != 0.0, "{z:?}");
    }

    #[test]
    fn a_threshold_of_a_dense_model_is_refused() {
        let error = model(McvaeConfig { threshold: 0.5, ..McvaeConfig::default() });
        assert!(error.expect_err("no rates").to_string().contains("model.threshold"));
    }
}
