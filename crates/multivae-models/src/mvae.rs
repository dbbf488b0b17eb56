//! MVAE: a product of experts trained on sub-sampled sets of modalities.
//!
//! **Paper.** Wu and Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised
//! Learning", NeurIPS 2018, arXiv 1802.05335.
//!
//! **Generative process.** `z ~ N(0, I)`, `x_m ~ p(x_m | z)` for every modality.
//!
//! **Inference.** `q(z | x_S) ∝ p(z) Π_{m in S} q(z | x_m)`, a product of normal experts and the
//! prior; a missing modality is left out of the product. With `rule = "mean"` means and log-variances of
//! the same experts are averaged instead.
//!
//! **Objective.** With `T` the set of all modalities, each single one, and `random_subsets`
//! subsets of sizes 2 to `M - 1` drawn anew for each training batch,
//!
//! ```text
//! loss = Σ_{S in T} mean_b [ β KL(q(z | x_S) ‖ p(z)) - Σ_{m in S} λ_m log p(x_m | z_S) ]
//! ```
//!
//! The mean is over the rows that observe a modality of `S`. `β` grows from 0 over the first
//! `warmup` epochs.
//!
//! **What differs from MultiVae.** The value is the same. All subsets are evaluated in one pass,
//! each modality being encoded once and decoded once. Validation uses the full `β` and no random
//! subsets, so that epochs can be compared. More random subsets than there are is an error with
//! its reason, not a crash. The rule `mean` is multi-view-AE's `join_type = "Mean"`; the part of its
//! objective that this one has without sub-sampling.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows, `M` decoder calls of `(2 + k_m) B` rows,
//! `k_m` being the number of random subsets with modality `m`.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress, Purpose},
    distribution::Normal,
    fusion::{self, Experts, Product},
    modality::ModalitySpec,
    model::{Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal},
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::{Budget, Estimate, Rescale, Warmup},
    options,
    subset::{Subset, Subsets},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    blocks::{self, ModalityConfig},
    exchange::models::{self as classes, Class},
    registry::Listed,
};

options! {
    /// Configuration of [`Mvae`].
    pub struct MvaeConfig {
        /// Features of the latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of the divergence from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Epochs over which the weight of the divergence grows from 0 to `beta`; 0 for none.
        pub warmup: Warmup = Warmup { epochs: 0 },
        /// Whether the bounds of single modalities and of random subsets are added to the joint
        /// one.
        pub subsampling: bool = true,
        /// Random subsets of 2 to `M - 1` modalities a training batch, at most `2^M - M - 2`.
        pub random_subsets: usize = 0,
        /// How experts are joined: "product", or "mean" of their means and log-variances; the prior is
        /// one of them either way.
        pub rule: Rule = Rule::Product,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// How posteriors of single modalities and the prior are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// By their product.
    #[default]
    Product,
    /// By the mean of their means and of their log-variances.
    Mean,
}

impl Rule {
    /// The posteriors of all subsets, `[subset, batch, latent]`.
    fn join(self, experts: &Experts, subsets: &Subsets) -> Normal<3> {
        match self {
            Self::Product => Product::with_prior().of(experts, subsets),
            Self::Mean => fusion::mean(experts, subsets, true),
        }
    }
}

/// A product-of-experts VAE; see the [module](self).
#[derive(Module, Debug)]
pub struct Mvae {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MvaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

/// The bounds of several subsets on one batch.
#[derive(Clone, Debug)]
pub struct SubsetBounds {
    /// The subsets.
    pub subsets: Subsets,
    /// 1 where a row observes a modality of the subset, `[subset, batch]`.
    pub kept: Tensor<2>,
    /// How many rows those are, per subset; see [`Batch::share_of`].
    pub counts: Vec<f64>,
    /// `λ_m log p(x_m | z_S)`, `[subset, batch]` a modality; 0 where `S` lacks `m` or the row does.
    pub log_likelihood: Vec<Tensor<2>>,
    /// `KL(q(z | x_S) ‖ p(z))`, `[subset, batch]`.
    pub kl: Tensor<2>,
}

impl SubsetBounds {
    /// The mean over the rows that observe the subset, `[1]`, of values `[subset, batch]`.
    pub fn mean(&self, values: &Tensor<2>, subset: usize) -> Tensor<1> {
        let row = |x: &Tensor<2>| x.clone().narrow(0, subset, 1);
        (row(values) * row(&self.kept)).sum() / self.counts[subset]
    }

    /// `beta KL - Σ_m λ_m log p`, `[subset, batch]`.
    pub fn negative(&self, beta: f64) -> Tensor<2> {
        self.log_likelihood
            .iter()
            .fold(self.kl.clone() * beta, |bound, likelihood| bound - likelihood.clone())
    }
}

impl Listed for MvaeConfig {
    const CLASS: Option<Class> = Some(classes::MVAE);

    fn exercise(specs: &[ModalitySpec]) -> Value {
        match specs.len() {
            2 => json!({ "rule": "mean" }),
            _ => json!({ "random_subsets": 2 }),
        }
    }
}

impl MvaeConfig {
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
        let m = self.modalities.len() as u32;
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check_weight("model.beta", self.beta)?;
        self.rescale.check(self.modalities.len())?;
        let subsets = 2usize.saturating_pow(m).saturating_sub(m as usize + 2);
        blocks::check(
            self.random_subsets <= if m > 2 { subsets } else { 0 },
            "model.random_subsets",
            &format!("at most {subsets}, the subsets of 2 to M - 1 of {m} modalities"),
            self.random_subsets,
        )
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Mvae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = vec![0; modalities.len()];
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        Ok(Mvae { encoders, decoders, modalities, config: self.clone(), rescale })
    }
}

impl Mvae {
    /// The subsets whose bounds make up the objective: all modalities, single ones, random ones.
    fn subsets(&self, purpose: Purpose, noise: &mut Noise) -> Subsets {
        let m = self.modalities.len();
        let mut list = vec![Subset::full(m)];
        if self.config.subsampling && m > 1 {
            list.extend((0..m).map(Subset::single));
            if purpose == Purpose::Train && self.config.random_subsets > 0 {
                let candidates: Vec<_> =
                    Subsets::all(m).iter().filter(|s| (2..m).contains(&s.len())).collect();
                let chosen = noise.choose(self.config.random_subsets, candidates.len());
                list.extend(chosen.into_iter().map(|i| candidates[i]));
            }
        }
        Subsets::new(m, list).expect("full, single and middle-sized sets differ")
    }

    /// The bounds of the subsets that make up the objective, in one pass.
    pub fn subset_bounds(&self, batch: &Batch, noise: &mut Noise) -> SubsetBounds {
        let subsets = self.subsets(batch.purpose, noise);
        let (t, m) = (subsets.len(), self.modalities.len());
        let experts =
            blocks::encode(&self.encoders, &self.modalities, batch, Subset::full(m)).experts;
        let kept = subsets.membership(&batch.device()).matmul(experts.presence.clone());
        let posteriors = self.config.rule.join(&experts, &subsets);
        let [_, rows, latent] = posteriors.mean.dims();
        let z = posteriors.rsample(noise.normal([t, rows, latent], 1, &batch.device()));
        let log_likelihood = (0..m)
            .map(|m| {
                let holding = subsets.holding(m);
                let z = blocks::pick(&z, &holding);
                let likelihood = blocks::log_likelihood(&self.decoders, batch, m, z);
                blocks::place(likelihood * self.rescale[m], &holding, t)
            })
            .collect();
        let observes = |set: Subset| batch.share_of(|row| row.intersection(set).is_some());
        SubsetBounds {
            counts: subsets.iter().map(observes).collect(),
            subsets,
            kept: kept.greater_scalar(0.0).float(),
            log_likelihood,
            kl: posteriors.kl_standard(),
        }
    }

    /// The posterior of the modalities in `given`, `[batch, latent]`.
    fn posterior(&self, batch: &Batch, given: Subset) -> Normal<2> {
        let experts = blocks::encode(&self.encoders, &self.modalities, batch, given).experts;
        blocks::only(self.config.rule.join(&experts, &blocks::all_of(given.len())))
    }
}

impl Multimodal for Mvae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Mvae {
    /// `joint`, `single/NAME` and `random` are the parts of the sum; `reconstruction/NAME` and
    /// `kl` are those of the joint bound.
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.extend(["kl".into(), "joint".into()]);
        if self.config.subsampling && self.modalities.len() > 1 {
            names.extend(self.modalities.iter().map(|spec| format!("single/{}", spec.name)));
            if self.config.random_subsets > 0 {
                names.push("random".into());
            }
        }
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let m = self.modalities.len();
        let beta = self.config.beta * self.config.warmup.weight(batch.progress);
        let bounds = self.subset_bounds(batch, noise);
        let negative = bounds.negative(beta);
        let subsets: Vec<Tensor<1>> =
            (0..bounds.subsets.len()).map(|t| bounds.mean(&negative, t)).collect();
        let mut values: Vec<Tensor<1>> =
            bounds.log_likelihood.iter().map(|l| bounds.mean(l, 0).neg()).collect();
        values.extend([bounds.mean(&bounds.kl, 0), subsets[0].clone()]);
        values.extend(subsets[1..].iter().take(m).cloned());
        if self.config.subsampling && self.config.random_subsets > 0 {
            let random = subsets.get(m + 1..).filter(|random| !random.is_empty());
            values.push(random.map_or_else(|| subsets[0].zeros_like(), blocks::sum));
        }
        Loss {
            total: blocks::sum(&subsets),
            terms: self.terms(batch.progress).into_iter().zip(values).collect(),
        }
    }
}

impl Encode for Mvae {
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        Latent::shared(blocks::draw(&self.posterior(batch, given), draws, noise))
    }
}

impl Generate for Mvae {
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

impl Density for Mvae {
    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        let posterior = self.posterior(batch, given);
        blocks::shared_bound(&self.decoders, batch, &posterior, noise)
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
