//! MoPoE: a mixture of products of experts over chosen sets of modalities.
//!
//! **Paper.** Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", ICLR 2021,
//! arXiv 2105.02470.
//!
//! **Generative process.** `z ~ N(0, I)`, for modalities with a private space `w_m ~ N(0, I)`,
//! `x_m ~ p(x_m | z, w_m)`.
//!
//! **Inference.** `q(z | X) = Σ_S π_S q_S(z)` with `q_S` the product of the experts of `S`, and of
//! the prior if `S` is the set of all modalities. The weights `π_S` are equal over the subsets
//! that a row observes completely.
//!
//! **Objective.** One component is drawn for each row, and `z` from it:
//!
//! ```text
//! loss = mean_b [ -Σ_m λ_m log p(x_m | z, w_m) + β ( Σ_S π_S KL(q_S ‖ p) + β_private Σ_m KL(q(w_m | x_m) ‖ p) ) ]
//! ```
//!
//! with sums over observed modalities. The divergence is the convexity bound of the mixture's.
//!
//! **What differs from MultiVae.** On complete data it deals components to rows by their place in
//! the batch, so that in a batch of fewer rows than subsets every row uses the full product; here
//! each row draws its component, whatever the batch. Its prior samples lack the private codes and
//! cannot be decoded; here they have them. It encodes what stands in missing entries when asked
//! for incomplete rows; here they are left out. Its joint likelihood draws from one component and
//! weighs with another density; here samples are stratified over all components and weighed with
//! the density they were drawn from. Its `compute_joint_nll_paper` is
//! [`Mopoe::likelihood_by_product`].
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls and `M` decoder calls of `B` rows.

use std::collections::BTreeMap;

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};
use multivae_core::{
    Error, Result,
    batch::{Batch, Progress},
    distribution::Normal,
    fusion::{PriorExpert, Product, mixture_weights, select_rows},
    mixture::Mixture,
    modality::{ModalityName, ModalitySpec},
    model::{Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal},
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::{Budget, Estimate, Rescale},
    options,
    subset::{Subset, Subsets},
};
use serde_json::{Value, json};

use crate::{
    blocks::{
        self, ModalityConfig, PrivateSpace,
        objective::{PrivateBound, Weights},
    },
    exchange::models::{self as classes, Class},
    registry::Listed,
};

options! {
    /// Configuration of [`Mopoe`].
    pub struct MopoeConfig {
        /// Features of the shared latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of all divergences from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Further weight of the divergences of private spaces, at least 0.
        pub beta_private: f64 = 1.0,
        /// Components of the mixture, each a list of modality names; empty for all subsets.
        pub subsets: Vec<Vec<ModalityName>> = Vec::new(),
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Features of private spaces by modality; a modality that is not named has none.
        pub private: BTreeMap<ModalityName, usize> = BTreeMap::new(),
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A mixture-of-products-of-experts VAE; see the [module](self).
#[derive(Module, Debug)]
pub struct Mopoe {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MopoeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
    #[module(skip)]
    subsets: Subsets,
    #[module(skip)]
    private: Vec<usize>,
}

impl Listed for MopoeConfig {
    const CLASS: Option<Class> = Some(classes::MOPOE);

    fn exercise(specs: &[ModalitySpec]) -> Value {
        json!({ "private": { specs[0].name.as_str(): 2 } })
    }
}

impl MopoeConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete(&self.modalities, specs)?;
        self.check()?;
        self.components(specs)?;
        blocks::private_sizes(&self.private, specs)?;
        Ok(self)
    }

    fn check(&self) -> Result<()> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check_weight("model.beta", self.beta)?;
        blocks::check_weight("model.beta_private", self.beta_private)?;
        self.rescale.check(self.modalities.len())
    }

    /// The components of the mixture.
    fn components(&self, specs: &[ModalitySpec]) -> Result<Subsets> {
        if !self.subsets.is_empty() {
            let named = |names: &Vec<ModalityName>| {
                Subset::named(specs, names.iter().map(ModalityName::as_str))
            };
            let list = self.subsets.iter().map(named).collect::<Result<Vec<_>>>()?;
            return Subsets::new(specs.len(), list);
        }
        if specs.len() > MOST_MODALITIES {
            return Err(Error::Config {
                field: "model.subsets".into(),
                expected: format!("a list of subsets, for more than {MOST_MODALITIES} modalities"),
                found: format!("all subsets of {}", specs.len()),
            });
        }
        Ok(Subsets::all(specs.len()))
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Mopoe> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let subsets = self.components(&modalities)?;
        let private = blocks::private_sizes(&self.private, &modalities)?;
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        let config = self.clone();
        Ok(Mopoe { encoders, decoders, modalities, config, rescale, subsets, private })
    }
}

/// All subsets of more modalities than this are more than a thousand components.
const MOST_MODALITIES: usize = 10;

impl Mopoe {
    /// The components of the mixture, in order.
    pub fn components(&self) -> &Subsets {
        &self.subsets
    }

    /// The posterior of the shared space and the sources of the private codes, given a subset.
    fn posterior(&self, batch: &Batch, given: Subset) -> (Normal<2>, Vec<PrivateSpace>) {
        let unimodal = blocks::encode(&self.encoders, &self.modalities, batch, given);
        let rule = self.rule(given);
        let shared = blocks::only(rule.of(&unimodal.experts, &blocks::all_of(given.len())));
        (shared, PrivateSpace::of(&unimodal, batch, &self.private))
    }

    /// The mean of the mixture over the subsets that each row can use, `[batch, latent]`.
    fn mixture_mean(&self, batch: &Batch) -> (Tensor<2>, Vec<PrivateSpace>) {
        let all = Subset::full(self.modalities.len());
        let unimodal = blocks::encode(&self.encoders, &self.modalities, batch, all);
        let components = Product::prior_on_full_set().of(&unimodal.experts, &self.subsets);
        let weights = self.weights(batch).1.unsqueeze_dim(2);
        let mean = (components.mean * weights).sum_dim(0).squeeze_dim(0);
        (mean, PrivateSpace::of(&unimodal, batch, &self.private))
    }

    /// The mixture of the products of the components within `targets`, and of `targets` itself,
    /// over those that a row observes.
    fn proposal(&self, batch: &Batch, targets: Subset) -> (Mixture, Vec<PrivateSpace>) {
        let unimodal = blocks::encode(&self.encoders, &self.modalities, batch, targets);
        let within = |s: &Subset| s.intersection(targets) == Some(*s) && *s != targets;
        let list: Vec<Subset> = self.subsets.iter().filter(within).chain([targets]).collect();
        // The experts are those of the targets, in order.
        let place = |m: usize| targets.iter().position(|t| t == m).expect("within the targets");
        let moved = list.iter().map(|s| Subset::new(s.iter().map(place)).expect("not empty"));
        let subsets = Subsets::new(targets.len(), moved.collect()).expect("different sets");
        let rule = self.rule(targets);
        let products = rule.of(&unimodal.experts, &subsets);
        let usable = |row: &Subset| {
            let of = |s: &Subset| s.iter().all(|m| row.contains(m));
            let found: Vec<usize> = (0..list.len()).filter(|&i| of(&list[i])).collect();
            // The product of the targets leaves out what the row lacks.
            if found.is_empty() { vec![list.len() - 1] } else { found }
        };
        let usable = batch.presence().rows().iter().map(usable).collect();
        let standard = Normal::standard_like(&products.mean.clone().narrow(0, 0, 1));
        let mixture = Mixture::new(products.into(), usable, &standard.into());
        (mixture, PrivateSpace::of(&unimodal, batch, &self.private))
    }

    /// How the modalities of a set are joined when only they are given.
    fn rule(&self, given: Subset) -> Product {
        if given == Subset::full(self.modalities.len()) {
            Product::prior_on_full_set()
        } else {
            Product { prior: PriorExpert::Never, ..Product::prior_on_full_set() }
        }
    }

    /// An estimate of `log p(x_T)` whose proposal is the product of the targets alone, as in
    /// MultiVae's `compute_joint_nll_paper`.
    pub fn likelihood_by_product(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let (shared, spaces) = self.posterior(batch, targets);
        blocks::estimate(&self.decoders, batch, targets, budget, &shared, &spaces, noise)
    }

    /// Weights of the components, `[batch][subset]` and as `[subset, batch]`.
    fn weights(&self, batch: &Batch) -> (Vec<Vec<f64>>, Tensor<2>) {
        let weights = mixture_weights(batch.presence().rows(), &self.subsets);
        let flat: Vec<f32> = weights.iter().flatten().map(|&w| w as f32).collect();
        let data = TensorData::new(flat, [weights.len(), self.subsets.len()]);
        (weights, Tensor::from_data(data, &batch.device()).transpose())
    }
}

impl Multimodal for Mopoe {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Mopoe {
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.push("kl".into());
        names.extend(blocks::private_terms(&self.modalities, &self.private));
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let all = Subset::full(self.modalities.len());
        let unimodal = blocks::encode(&self.encoders, &self.modalities, batch, all);
        let components = Product::prior_on_full_set().of(&unimodal.experts, &self.subsets);
        let (host_weights, weights) = self.weights(batch);
        let chosen = noise.categorical(&host_weights, 1);
        let chosen = components.clone().map(|stack| select_rows(&stack, &chosen, 1));
        let z = chosen.rsample(noise.normal(chosen.mean.dims(), 1, &batch.device()));
        let spaces = PrivateSpace::of(&unimodal, batch, &self.private);
        let kl = (components.kl_standard::<2>() * weights).sum() / batch.rows() as f64;
        let MopoeConfig { beta, beta_private, .. } = self.config;
        let private_weight = beta * beta_private;
        let weights = Weights { shared: beta, private: private_weight, rescale: &self.rescale };
        let bound =
            PrivateBound { decoders: &self.decoders, modalities: &self.modalities, weights };
        bound.loss(self.terms(batch.progress), batch, z, kl, &spaces, noise)
    }
}

impl Encode for Mopoe {
    /// Samples of the product of the given modalities; the mean of all is that of the mixture.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let all = Subset::full(self.modalities.len());
        let (z, spaces) = if given == all && draws == Draws::Mean {
            let (mean, spaces) = self.mixture_mean(batch);
            (mean.unsqueeze_dim(0), spaces)
        } else {
            let (shared, spaces) = self.posterior(batch, given);
            (blocks::draw(&shared, draws, noise), spaces)
        };
        let private = blocks::codes(&self.modalities, &spaces, batch, draws, noise);
        Latent::shared(z).with_private(private)
    }
}

impl Generate for Mopoe {
    fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
        let latent = self.config.latent;
        blocks::prior(&self.modalities, latent, &self.private, rows, device, noise)
    }

    fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
        blocks::decode(&self.decoders, &self.modalities, latent, targets)
    }

    fn decoder(&self, modality: usize) -> Option<&Decoder> {
        Some(self.decoders.at(modality))
    }
}

impl Density for Mopoe {
    fn log_prob(&self, batch: &Batch, latent: &Latent, modality: usize) -> Tensor<2> {
        let input = blocks::input(latent, &self.modalities[modality]);
        blocks::log_likelihood(&self.decoders, batch, modality, input)
    }

    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        let (shared, spaces) = self.posterior(batch, given);
        blocks::private_bound(&self.decoders, &self.modalities, batch, &shared, &spaces, noise)
    }

    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let (mixture, spaces) = self.proposal(batch, targets);
        let decoders = &self.decoders;
        blocks::estimate_by_mixture(decoders, batch, targets, budget, &mixture, &spaces, noise)
    }
}
