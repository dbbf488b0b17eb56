//! mmJSD: a mixture of experts that approaches a dynamic prior.
//!
//! **Paper.** Sutter, Daunhawer and Vogt, "Multimodal Generative Learning Utilizing
//! Jensen-Shannon-Divergence", NeurIPS 2020, arXiv 2006.08242.
//!
//! **Generative process.** `z ~ N(0, I)`, for modalities with a private space `w_m ~ N(0, I)`,
//! `x_m ~ p(x_m | z, w_m)`.
//!
//! **Inference.** `q(z | X) = 1/n Σ_m q(z | x_m)` over the `n` modalities that a row observes, in
//! training; what is encoded is the dynamic prior `f(z) ∝ p(z)^π Π_m q(z | x_m)^{(1 - π)/n}`, the
//! geometric mean of experts and prior, with `π = 1/(M + 1)`, or 0 without `prior_expert`.
//!
//! **Objective.** One expert is drawn for each row, and `z` from it:
//!
//! ```text
//! JSD  = π KL(p(z) ‖ f) + (1 - π)/n Σ_m KL(q(z | x_m) ‖ f)
//! loss = mean_b [ -Σ_m λ_m log p(x_m | z, w_m) + α JSD + β Σ_m KL(q(w_m | x_m) ‖ p(w_m)) ]
//! ```
//!
//! with sums over observed modalities.
//!
//! **What differs from multi-view-AE.** It divides the divergence by `M + 1` and leaves out that of
//! the prior, which is an expert of `f` only where there are no private spaces; here, as in the
//! paper, the prior is one in both or in none. Its objective with private spaces is this one with
//! `prior_expert = false`, `alpha = α M / (M + 1)` and `beta = β/M`. It deals the rows of a batch to
//! experts in blocks, the same rows to the same expert in every epoch, and one block to the prior;
//! here each row draws one of its experts. It takes complete rows only.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls and `M` decoder calls of `B` rows.

use std::collections::BTreeMap;

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::Normal,
    fusion::{Experts, geometric_mean, mixture_weights, select_rows},
    modality::{ModalityName, ModalitySpec},
    model::{Learn, Loss, Multimodal},
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::Rescale,
    options,
    subset::{Subset, Subsets},
};
use serde_json::{Value, json};

use crate::{
    blocks::{
        self, ModalityConfig, PrivateSpace,
        codes::shares,
        objective::{PrivateBound, Weights},
        posterior::normal_posterior,
    },
    registry::Listed,
};

options! {
    /// Configuration of [`Mmjsd`].
    pub struct MmjsdConfig {
        /// Features of the shared latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of the Jensen-Shannon divergence, at least 0.
        pub alpha: f64 = 1.0,
        /// Weight of the divergences of private spaces from their prior, at least 0.
        pub beta: f64 = 1.0,
        /// Whether the prior is one of the distributions that are to agree.
        pub prior_expert: bool = true,
        /// Features of private spaces by modality; a modality that is not named has none.
        pub private: BTreeMap<ModalityName, usize> = BTreeMap::new(),
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A mixture-of-experts VAE with a dynamic prior; see the [module](self).
#[derive(Module, Debug)]
pub struct Mmjsd {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MmjsdConfig,
    #[module(skip)]
    rescale: Vec<f64>,
    #[module(skip)]
    private: Vec<usize>,
}

impl Listed for MmjsdConfig {
    fn exercise(specs: &[ModalitySpec]) -> Value {
        json!({ "private": { specs[0].name.as_str(): 2 } })
    }
}

impl MmjsdConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete(&self.modalities, specs)?;
        self.check()?;
        blocks::private_sizes(&self.private, specs)?;
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
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Mmjsd> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = blocks::private_sizes(&self.private, &modalities)?;
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        Ok(Mmjsd { encoders, decoders, modalities, config: self.clone(), rescale, private })
    }
}

impl Mmjsd {
    /// Weight of the prior among the distributions that are to agree.
    fn prior_weight(&self) -> f64 {
        if self.config.prior_expert { 1.0 / (self.modalities.len() as f64 + 1.0) } else { 0.0 }
    }

    /// The dynamic prior of so many experts, `[batch, latent]`.
    fn dynamic_prior(&self, experts: &Experts) -> Normal<2> {
        let all = blocks::all_of(experts.mean.dims()[0]);
        blocks::only(geometric_mean(experts, &all, self.prior_weight()))
    }

    /// The dynamic prior of a subset and the sources of the private codes.
    fn posterior(&self, batch: &Batch, given: Subset) -> (Normal<2>, Vec<PrivateSpace>) {
        let unimodal = blocks::encode(&self.encoders, &self.modalities, batch, given);
        let shared = self.dynamic_prior(&unimodal.experts);
        (shared, PrivateSpace::of(&unimodal, batch, &self.private))
    }

    /// The mean Jensen-Shannon divergence of all experts and the prior, `[1]`.
    fn divergence(&self, experts: &Experts) -> Tensor<1> {
        let dynamic = self.dynamic_prior(experts);
        let of_prior: Tensor<1> = Normal::standard_like(&dynamic.mean).kl(&dynamic);
        let dynamic = dynamic.map(|x| x.unsqueeze_dim::<3>(0).expand(experts.mean.dims()));
        let single = Normal::new(experts.mean.clone(), experts.log_var.clone());
        let of_experts: Tensor<2> = single.kl(&dynamic) * shares(&experts.presence);
        let rows = experts.mean.dims()[1] as f64;
        let prior = self.prior_weight();
        of_prior.mean() * prior + of_experts.sum() * ((1.0 - prior) / rows)
    }
}

impl Multimodal for Mmjsd {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Mmjsd {
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.push("jsd".into());
        names.extend(blocks::private_terms(&self.modalities, &self.private));
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let m = self.modalities.len();
        let unimodal = blocks::encode(&self.encoders, &self.modalities, batch, Subset::full(m));
        let experts = &unimodal.experts;
        let singles = Subsets::new(m, (0..m).map(Subset::single).collect());
        let singles = singles.expect("different modalities");
        let chosen = noise.categorical(&mixture_weights(batch.presence().rows(), &singles), 1);
        let pick = |stack: &Tensor<3>| select_rows(stack, &chosen, 1);
        let expert = Normal::new(pick(&experts.mean), pick(&experts.log_var));
        let z = expert.rsample(noise.normal(expert.mean.dims(), 1, &batch.device()));
        let spaces = PrivateSpace::of(&unimodal, batch, &self.private);
        let MmjsdConfig { alpha, beta, .. } = self.config;
        let weights = Weights { shared: alpha, private: beta, rescale: &self.rescale };
        let bound =
            PrivateBound { decoders: &self.decoders, modalities: &self.modalities, weights };
        let (names, divergence) = (self.terms(batch.progress), self.divergence(experts));
        bound.loss(names, batch, z, divergence, &spaces, noise)
    }
}

normal_posterior!(Mmjsd);

#[cfg(test)]
mod tests {
    use multivae_core::{module::init_parameters, noise::Draw};

    use super::*;

    fn model(prior_expert: bool) -> Mmjsd {
        let specs = ["a", "b"].map(|name| ModalitySpec::new(name, &[3]).expect("valid"));
        let config = MmjsdConfig { latent: 2, prior_expert, ..MmjsdConfig::default() };
        let config = config.with_modalities(&specs).expect("the data suits");
        init_parameters(config.init(&Networks::default(), &Device::flex()).expect("a model"))
    }

    #[test]
    fn experts_that_agree_still_diverge_from_the_prior_where_it_is_one_of_them() {
        let device = Device::flex();
        // N(2, 1) twice: the dynamic prior with N(0, 1) is N(4/3, 1), from which the divergences are
        // 8/9 and twice 2/9, of each of the two features.
        let experts = Experts::new(
            Tensor::full([2, 1, 2], 2.0, &device),
            Tensor::zeros([2, 1, 2], &device),
            Tensor::ones([2, 1], &device),
        );
        let found = |prior| model(prior).divergence(&experts).into_scalar::<f32>();
        let expected = 2.0 / 3.0 * (8.0 / 9.0 + 2.0 * 2.0 / 9.0);
        assert!((found(true) - expected).abs() < 1e-5, "{}", found(true));
        assert!(found(false).abs() < 1e-5);
    }

    #[test]
    fn each_row_draws_the_expert_from_which_it_is_reconstructed() {
        let (device, model) = (Device::flex(), model(true));
        let batch = Batch::complete(vec![
            Tensor::ones([1, 3], &device),
            Tensor::full([1, 3], -2.0, &device),
        ]);
        let batch = batch.expect("one size");
        let of = |expert: usize| {
            let zeros = Draw::Normal(vec![1, 1, 2], vec![0.0; 2]);
            let mut noise = Noise::recorded([Draw::Choice(vec![expert]), zeros]);
            model.loss(&batch, &mut noise).total.into_scalar::<f32>()
        };
        assert_ne!(of(0), of(1));
    }
}
