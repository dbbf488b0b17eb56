//! MHVAE: a hierarchy of latent levels with one product of experts per level.
//!
//! **Paper.** Dorent et al., "Unified Brain MR-Ultrasound Synthesis using Multi-Modal
//! Hierarchical Representations", MICCAI 2023, arXiv 2309.08747; without its adversarial term.
//!
//! **Generative process.** `z_L ~ N(0, I)`, `z_i ~ p(z_i | z_{i+1})` normal for `i = L-1 .. 1`,
//! `x_m ~ p(x_m | z_1)`.
//!
//! **Inference.** A bottom-up pass of each modality gives features `s_1 .. s_{L-1}` and the
//! posterior `q(z_L | x_m)`. From the top down, for a set `S` of modalities,
//!
//! ```text
//! q(z_i | z_{i+1}, x_S) ∝ p(z_i | z_{i+1}) Π_{m in S} q(z_i | z_{i+1}, x_m)
//! ```
//!
//! a product of the level's prior and one normal expert per observed modality.
//!
//! **Objective.** Averaged over all `2^M - 1` sets,
//!
//! ```text
//! loss = mean_S mean_b [ -Σ_m λ_m log p(x_m | z_1) + β Σ_i KL(q(z_i | z_{i+1}, x_S) ‖ p(z_i | z_{i+1})) ]
//! ```
//!
//! All observed modalities are reconstructed, also those that are not in `S`. A set of which a row
//! observes nothing contributes its reconstruction from the prior.
//!
//! **What differs from MultiVae.** The loss is the mean over rows, not the sum. Samples of the
//! prior go through all levels; the reference returns values of the top level, which its decoders
//! cannot read. Divergences are reported as averages over all sets, not those of the last one.
//! The set axis is folded into the batch, so that each network runs once a step. Likelihoods are
//! estimated, with the hierarchical posterior as the proposal.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls and `M (L - 1)` bottom-up calls of `B` rows; with
//! `T = 2^M - 1`, `L - 1` top-down and `L - 1` prior calls of `T B` rows, `(L - 1) M` posterior
//! calls of `2^(M-1) B` rows (`L - 1` calls of all of them if blocks are shared), `M` decoder calls
//! of `T B` rows.
//!
//! **Memory.** A step keeps what all layers put out for `T` sets, gigabytes for five modalities of
//! images. With `memory_mb` the sets are walked in parts, as many at once as the budget allows;
//! encoders and bottom-up blocks still run once, and loss and gradients are the same.

use std::ops::Range;

use burn::{
    module::Module,
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{Device, Gradients, Tensor},
};
use multivae_core::{
    Error, Result,
    batch::{Batch, Progress, Values},
    distribution::Normal,
    fusion::{Experts, Member, POE_FLOOR, PriorExpert, Product, product_with},
    modality::ModalitySpec,
    model::{Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal, Step},
    nn::{
        Decoder, Encoder, EncoderNet, Hierarchy, HierarchyConfig, Network, Networks, ObservedRows,
        PosteriorConfig,
    },
    noise::Noise,
    objective::{Budget, Estimate, Rescale, importance_estimate},
    options,
    subset::{Subset, Subsets},
};

use crate::{
    blocks::{self, ModalityConfig},
    exchange::models::{self as classes, Class},
    registry::Listed,
};

options! {
    /// Configuration of [`Mhvae`].
    pub struct MhvaeConfig {
        /// Features of the top level of the default networks, at least 1.
        pub latent: usize = 64,
        /// Levels of the hierarchy, 1 to 16.
        pub levels: usize = 3,
        /// Weight of all divergences, at least 0.
        pub beta: f64 = 1.0,
        /// Whether the default networks have one posterior block a level for all modalities, or one
        /// for each.
        pub shared_posterior: bool = true,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Megabytes that the sets walked at once may keep for the backward pass, above 0; none
        /// walks all sets at once.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub memory_mb: Option<f64> = None,
        /// All networks; by default what suits the modalities' shapes.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub blocks: Option<HierarchyConfig> = None,
        /// Likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A hierarchical VAE with a product of experts per level; see the [module](self).
#[derive(Module, Debug)]
pub struct Mhvae {
    hierarchy: Hierarchy,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MhvaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for MhvaeConfig {
    const CLASS: Option<Class> = Some(classes::MHVAE);
}

impl MhvaeConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        if let Some(config) =
            self.modalities.iter().find(|c| c.encoder.is_some() || c.decoder.is_some())
        {
            return Err(Error::Config {
                field: format!("model.modalities.{}.encoder", config.name),
                expected: "the networks of mhvae in `model.blocks`".into(),
                found: "a network of the modality".into(),
            });
        }
        self.modalities = blocks::complete_likelihoods(&self.modalities, specs)?;
        self.check()?;
        let specs = blocks::specs(&self.modalities)?;
        let blocks = self.blocks.take().unwrap_or_else(|| self.default_blocks(&specs));
        blocks.check(&specs)?;
        self.blocks = Some(blocks);
        Ok(self)
    }

    fn default_blocks(&self, specs: &[ModalitySpec]) -> HierarchyConfig {
        let mut blocks = HierarchyConfig::default_for(specs, self.levels, self.latent);
        if let (PosteriorConfig::Shared(shared), false) = (&blocks.posterior, self.shared_posterior)
        {
            let each = specs.iter().map(|spec| (spec.name.clone(), shared.clone()));
            blocks.posterior = PosteriorConfig::PerModality(each.collect());
        }
        blocks
    }

    fn check(&self) -> Result<()> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check((1..=16).contains(&self.levels), "model.levels", "1 to 16", self.levels)?;
        let found = self.blocks.as_ref().map_or(self.levels, HierarchyConfig::levels);
        blocks::check(found == self.levels, "model.levels", "as many as `blocks` has", found)?;
        blocks::check_weight("model.beta", self.beta)?;
        let memory = self.memory_mb.unwrap_or(1.0);
        blocks::check(memory > 0.0, "model.memory_mb", "above 0, or none", memory)?;
        let most = MOST_MODALITIES;
        let n = self.modalities.len();
        blocks::check(
            n <= most,
            "modalities",
            &format!("at most {most}, of {} sets", 1 << most),
            n,
        )?;
        self.rescale.check(n)
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Mhvae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let default = || self.default_blocks(&modalities);
        let blocks = self.blocks.clone().unwrap_or_else(default);
        let hierarchy = blocks.init(&modalities, self.latent, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        Ok(Mhvae { hierarchy, modalities, config: self.clone(), rescale })
    }
}

/// All sets of more modalities than this are more than a thousand.
const MOST_MODALITIES: usize = 10;

/// One level of a top-down pass.
struct Level {
    /// `[subset, batch, features]`.
    z: Tensor<3>,
    posterior: Normal<3>,
    prior: Normal<3>,
}

/// Where standard normal values come from.
trait Standard {
    /// As many as there are in `x`, `[subset, batch, features]`.
    fn like(&mut self, x: &Tensor<3>) -> Tensor<3>;
}

impl Standard for Noise {
    fn like(&mut self, x: &Tensor<3>) -> Tensor<3> {
        self.normal(x.dims(), 1, &x.device())
    }
}

/// The values of some subsets, among those of all subsets.
struct Share<I>(I, Range<usize>);

impl<'a, I: Iterator<Item = &'a Tensor<3>>> Standard for Share<I> {
    fn like(&mut self, _: &Tensor<3>) -> Tensor<3> {
        let Self(levels, subsets) = self;
        levels.next().expect("a tensor a level").clone().slice(subsets.clone())
    }
}

impl Level {
    fn sample(posterior: Normal<3>, prior: Normal<3>, noise: &mut impl Standard) -> Self {
        let z = posterior.rsample(noise.like(&posterior.mean));
        Self { z, posterior, prior }
    }
}

impl Level {
    /// `KL(posterior ‖ prior)`, `[subset, batch]`.
    fn kl(&self) -> Tensor<2> {
        self.posterior.kl(&self.prior)
    }

    /// `log p(z) - log q(z)`, `[subset, batch]`.
    fn log_ratio(&self) -> Tensor<2> {
        self.prior.log_prob::<2>(self.z.clone()) - self.posterior.log_prob(self.z.clone())
    }
}

/// The bottom-up pass of some modalities.
struct BottomUp {
    /// Numbers of the modalities.
    members: Vec<usize>,
    /// Features of each level below the top, `[batch, features]`, by member.
    skips: Vec<Vec<Tensor<2>>>,
    /// Posteriors of the top level.
    experts: Experts,
    /// The rows that networks of a member may see, by member, if not all; see
    /// [`ObservedRows::in_training`].
    observed: Vec<Option<ObservedRows>>,
}

/// The top-down pass of a stack of subsets.
pub struct SubsetBounds {
    /// `λ_m log p(x_m | z_1)`, `[subset, batch]` a modality; 0 where the modality is missing.
    pub log_likelihood: Vec<Tensor<2>>,
    /// `KL_i`, `[subset, batch]` a level, level 1 first.
    pub kl: Vec<Tensor<2>>,
}

impl Mhvae {
    /// Runs encoders and bottom-up blocks of the modalities in `which`, each once.
    fn bottom_up(&self, batch: &Batch, which: Subset) -> BottomUp {
        let members: Vec<usize> = which.iter().filter(|&m| m < self.modalities.len()).collect();
        let (mut skips, mut mean, mut log_var, mut presence) = (vec![], vec![], vec![], vec![]);
        for &m in &members {
            let values = batch.input(m, &self.modalities[m]);
            let mut levels =
                vec![self.hierarchy.encoders.at(m).forward_observed(&values, batch, m)];
            for block in self.hierarchy.bottom_up.at(m) {
                let below = Values::Dense(levels[levels.len() - 1].clone());
                levels.push(block.forward_observed(&below, batch, m));
            }
            let below = Values::Dense(levels[levels.len() - 1].clone());
            let top = self.hierarchy.top.at(m).encode_observed(&below, batch, m);
            let top = top.shared.bounded();
            mean.push(top.mean);
            log_var.push(top.log_var);
            presence.push(batch.presence().of(m));
            skips.push(levels);
        }
        let experts = Experts::new(
            Tensor::stack(mean, 0),
            Tensor::stack(log_var, 0),
            Tensor::stack(presence, 0),
        );
        let observed = members.iter().map(|&m| ObservedRows::in_training(batch, m)).collect();
        BottomUp { members, skips, experts, observed }
    }

    /// All levels, level 1 first, of a stack whose top level has the posterior `top`
    /// `[subset, batch, latent]`; `holding[i]` are the places of the stack that use the i-th member
    /// of `bottom_up`.
    fn top_down(
        &self,
        top: Normal<3>,
        bottom_up: Option<(&BottomUp, &[Vec<usize>])>,
        noise: &mut impl Standard,
    ) -> Vec<Level> {
        let prior = Normal::standard_like(&top.mean);
        let top = Level::sample(top, prior, noise);
        self.below(top, bottom_up, noise)
    }

    /// The same under a given top level.
    fn below(
        &self,
        top: Level,
        bottom_up: Option<(&BottomUp, &[Vec<usize>])>,
        noise: &mut impl Standard,
    ) -> Vec<Level> {
        let [stack, rows, _] = top.z.dims();
        let mut levels = vec![top];
        let folded = |x: &Tensor<3>| {
            let [_, _, features] = x.dims();
            x.clone().reshape([stack * rows, features])
        };
        for i in (0..self.hierarchy.top_down.len()).rev() {
            let above = &levels[levels.len() - 1].z;
            let hidden = self.hierarchy.top_down[i].forward(folded(above));
            let prior =
                self.hierarchy.prior[i].encode(&Values::Dense(hidden.clone())).shared.bounded();
            let prior = prior.map(|x| stacked(x, stack, rows));
            let hidden = stacked(hidden, stack, rows);
            let members = bottom_up.map_or_else(Vec::new, |(pass, holding)| {
                self.posteriors(i, &hidden, pass, holding)
            });
            let posterior =
                if members.is_empty() { prior.clone() } else { product_with(&prior, &members) };
            levels.push(Level::sample(posterior, prior, noise));
        }
        levels.reverse();
        levels
    }

    /// The posteriors of a level below the top, of each member in the subsets that hold it.
    fn posteriors(
        &self,
        level: usize,
        hidden: &Tensor<3>,
        pass: &BottomUp,
        holding: &[Vec<usize>],
    ) -> Vec<Member> {
        let [_, rows, _] = hidden.dims();
        let used: Vec<usize> = (0..holding.len()).filter(|&i| !holding[i].is_empty()).collect();
        let block = |i: usize| self.hierarchy.posterior.at(level, pass.members[i]);
        let observed = |i: usize| pass.observed[i].as_ref().filter(|_| block(i).mixes_rows());
        // Channels come first in memory, so that joining features joins the channels of images.
        let input = |&i: &usize| {
            let (held, skip) = (&holding[i], &pass.skips[i][level]);
            let [_, width] = skip.dims();
            let skip = skip.clone().unsqueeze_dim::<3>(0).expand([held.len(), rows, width]);
            let input = Tensor::cat(vec![blocks::pick(hidden, held), skip], 2);
            let [held, _, width] = input.dims();
            let input = Values::Dense(input.reshape([held * rows, width]));
            match observed(i) {
                None => Some(input),
                Some(observed) => (!observed.is_empty()).then(|| observed.take(&input)),
            }
        };
        // None where no row observes the modality.
        let inputs: Vec<Option<Tensor<2>>> =
            used.iter().map(|i| input(i)?.dense().cloned()).collect();
        let run = |block: &EncoderNet, input| block.encode(&Values::Dense(input)).shared.bounded();
        let outputs: Vec<Option<Normal<2>>> = match self.hierarchy.posterior.shared(level) {
            // One call for all modalities.
            Some(block) if inputs.iter().any(Option::is_some) => {
                let some: Vec<Tensor<2>> = inputs.iter().flatten().cloned().collect();
                let sizes: Vec<usize> = some.iter().map(|x| x.dims()[0]).collect();
                let all = run(block, Tensor::cat(some, 0));
                let means = all.mean.split_with_sizes(sizes.clone(), 0).into_iter();
                let mut parts = means.zip(all.log_var.split_with_sizes(sizes, 0));
                let mut next = || parts.next().map(|(mean, log_var)| Normal::new(mean, log_var));
                inputs.iter().map(|input| input.as_ref().and_then(|_| next())).collect()
            }
            _ => {
                let own = |(&i, input): (&usize, Option<Tensor<2>>)| Some(run(block(i), input?));
                used.iter().zip(inputs).map(own).collect()
            }
        };
        let member = |(posterior, i): (Option<Normal<2>>, usize)| {
            let held = holding[i].len();
            let posterior = match (posterior, observed(i)) {
                (Some(posterior), None) => posterior,
                (Some(posterior), Some(observed)) => posterior.map(|x| observed.place(x)),
                (None, _) => {
                    let features = block(i).latent_shape().iter().product();
                    let zeros = Tensor::zeros([held * rows, features], &hidden.device());
                    Normal::new(zeros.clone(), zeros)
                }
            };
            Member {
                posterior: posterior.map(|x| stacked(x, held, rows)),
                subsets: holding[i].clone(),
                presence: pass.experts.presence.clone().narrow(0, i, 1).squeeze_dim(0),
            }
        };
        outputs.into_iter().zip(used).map(member).collect()
    }

    /// The posterior of the top level for a stack of subsets of the members.
    fn top(&self, pass: &BottomUp, subsets: &Subsets) -> Normal<3> {
        Product { prior: PriorExpert::Always, floor: POE_FLOOR }.of(&pass.experts, subsets)
    }

    /// All levels of `samples` draws, given a bottom-up pass of the modalities to condition on.
    fn sample(&self, pass: &BottomUp, samples: usize, noise: &mut Noise) -> Vec<Level> {
        let n = pass.members.len();
        let [_, rows, latent] = pass.experts.mean.dims();
        let top = self.top(pass, &blocks::all_of(n)).map(|x| x.expand([samples, rows, latent]));
        let holding = vec![(0..samples).collect::<Vec<_>>(); n];
        self.top_down(top, Some((pass, &holding)), noise)
    }

    /// The bounds of all subsets, in one pass; subsets as [`Subsets::all`].
    pub fn subset_bounds(&self, batch: &Batch, noise: &mut Noise) -> SubsetBounds {
        let n = self.modalities.len();
        self.bounds(batch, &self.bottom_up(batch, Subset::full(n)), &self.subsets(), noise)
    }

    /// The bounds of some subsets, given the bottom-up pass of all modalities.
    fn bounds(
        &self,
        batch: &Batch,
        pass: &BottomUp,
        subsets: &Subsets,
        noise: &mut impl Standard,
    ) -> SubsetBounds {
        let n = self.modalities.len();
        let holding: Vec<_> = (0..n).map(|m| subsets.holding(m)).collect();
        let levels = self.top_down(self.top(pass, subsets), Some((pass, &holding)), noise);
        let log_likelihood = (0..n)
            .map(|m| {
                let z = levels[0].z.clone();
                blocks::log_likelihood(&self.hierarchy.decoders, batch, m, z) * self.rescale[m]
            })
            .collect();
        SubsetBounds { log_likelihood, kl: levels.iter().map(Level::kl).collect() }
    }

    /// The part of the objective that some subsets add: `share` of their mean.
    fn objective(&self, bounds: SubsetBounds, share: f64, progress: Progress) -> Loss {
        // Means over subsets and rows at once.
        let likelihoods: Vec<Tensor<1>> =
            bounds.log_likelihood.into_iter().map(|l| l.mean() * -share).collect();
        let divergences: Vec<Tensor<1>> =
            bounds.kl.into_iter().map(|kl| kl.mean() * share).collect();
        let total = Tensor::cat(likelihoods.clone(), 0).sum()
            + Tensor::cat(divergences.clone(), 0).sum() * self.config.beta;
        let terms = likelihoods.into_iter().chain(divergences).collect();
        blocks::loss(total, self.terms(progress), terms)
    }

    /// The objective, as the sum of the parts that the memory budget allows; `each` is called with
    /// every part as soon as it is there.
    fn walk(
        &self,
        batch: &Batch,
        pass: &BottomUp,
        noise: &mut Noise,
        mut each: impl FnMut(Loss) -> Loss,
    ) -> Loss {
        let (subsets, at_once) = (self.subsets(), self.at_once(batch.rows()));
        if at_once == subsets.len() {
            let bounds = self.bounds(batch, pass, &subsets, noise);
            return each(self.objective(bounds, 1.0, batch.progress));
        }
        // The noise that all subsets at once would see, the top level first.
        let features = self.hierarchy.shapes().iter().rev().map(|s| s.iter().product::<usize>());
        let device = batch.device();
        let noise: Vec<Tensor<3>> = features
            .map(|features| noise.normal([subsets.len(), batch.rows(), features], 1, &device))
            .collect();
        let parts = (0..subsets.len()).step_by(at_once).map(|first| {
            let range = first..subsets.len().min(first + at_once);
            let share = range.len() as f64 / subsets.len() as f64;
            let mut noise = Share(noise.iter(), range.clone());
            let bounds = self.bounds(batch, pass, &subsets.part(range), &mut noise);
            each(self.objective(bounds, share, batch.progress))
        });
        parts.reduce(Loss::plus).expect("there is a subset")
    }

    fn subsets(&self) -> Subsets {
        Subsets::all(self.modalities.len())
    }

    /// How many subsets the memory budget lets walk at once.
    fn at_once(&self, rows: usize) -> usize {
        let subsets = self.subsets().len();
        let Some(budget) = self.config.memory_mb else { return subsets };
        let megabytes = (rows * self.kept_values() * size_of::<f32>()) as f64 / 1e6;
        ((budget / megabytes) as usize).clamp(1, subsets)
    }

    /// About how many values of a row and a subset a step keeps.
    fn kept_values(&self) -> usize {
        let Hierarchy { top_down, prior, posterior, decoders, .. } = &self.hierarchy;
        let n = self.modalities.len();
        let below = top_down.iter().zip(prior).enumerate().map(|(i, (top_down, prior))| {
            // A modality is in half of the subsets.
            let posteriors = (0..n).map(|m| posterior.at(i, m).kept_values()).sum::<usize>() / 2;
            top_down.kept_values() + prior.kept_values() + posteriors
        });
        let decoders = (0..n).map(|m| decoders.at(m).net().kept_values());
        below.chain(decoders).sum()
    }
}

impl BottomUp {
    /// The same values, from which gradients go no further.
    fn cut(&self) -> Self {
        let leaf = |x: &Tensor<2>| x.clone().detach().require_grad();
        Self {
            members: self.members.clone(),
            skips: self.skips.iter().map(|levels| levels.iter().map(leaf).collect()).collect(),
            experts: Experts::new(
                self.experts.mean.clone().detach().require_grad(),
                self.experts.log_var.clone().detach().require_grad(),
                self.experts.presence.clone(),
            ),
            observed: self.observed.clone(),
        }
    }
}

/// Gradients with respect to the values of a bottom-up pass, summed over parts of a step.
struct Pullback {
    skips: Vec<Option<Tensor<2>>>,
    experts: [Option<Tensor<3>>; 2],
}

impl Pullback {
    fn new(pass: &BottomUp) -> Self {
        Self { skips: vec![None; pass.skips.iter().flatten().count()], experts: [None, None] }
    }

    fn add(&mut self, leaves: &BottomUp, gradients: &Gradients) {
        fn add<const D: usize>(
            sum: &mut Option<Tensor<D>>,
            leaf: &Tensor<D>,
            gradients: &Gradients,
        ) {
            if let Some(part) = leaf.grad(gradients) {
                *sum = Some(match sum.take() {
                    Some(sum) => sum + part,
                    None => part,
                });
            }
        }
        for (sum, leaf) in self.skips.iter_mut().zip(leaves.skips.iter().flatten()) {
            add(sum, leaf, gradients);
        }
        for (sum, leaf) in
            self.experts.iter_mut().zip([&leaves.experts.mean, &leaves.experts.log_var])
        {
            add(sum, leaf, gradients);
        }
    }

    /// `Σ x · dloss/dx` over all values `x` of the pass: its gradients are those of the loss.
    fn product(self, pass: &BottomUp) -> Tensor<1> {
        fn product<const D: usize>(
            (gradient, x): (Option<Tensor<D>>, &Tensor<D>),
        ) -> Option<Tensor<1>> {
            Some((x.clone() * Tensor::from_inner(gradient?)).sum())
        }
        let skips = self.skips.into_iter().zip(pass.skips.iter().flatten()).filter_map(product);
        let experts = self
            .experts
            .into_iter()
            .zip([&pass.experts.mean, &pass.experts.log_var])
            .filter_map(product);
        let all = skips.chain(experts).reduce(|sum, part| sum + part);
        all.expect("the top level depends on every expert")
    }
}

/// From `[stack * rows, features]` to `[stack, rows, features]`.
fn stacked(x: Tensor<2>, stack: usize, rows: usize) -> Tensor<3> {
    let [_, features] = x.dims();
    x.reshape([stack, rows, features])
}

impl Multimodal for Mhvae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Mhvae {
    fn terms(&self, _: Progress) -> Vec<String> {
        let levels = (1..=self.config.levels).map(|i| format!("kl_{i}"));
        blocks::reconstruction_terms(&self.modalities).into_iter().chain(levels).collect()
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let pass = self.bottom_up(batch, Subset::full(self.modalities.len()));
        self.walk(batch, &pass, noise, |part| part)
    }

    fn step(&self, batch: &Batch, noise: &mut Noise) -> Step {
        if self.at_once(batch.rows()) == self.subsets().len() {
            return self.loss(batch, noise).into();
        }
        let pass = self.bottom_up(batch, Subset::full(self.modalities.len()));
        let leaves = pass.cut();
        let mut pullback = Pullback::new(&pass);
        let mut gradients = GradientsAccumulator::new();
        let loss = self.walk(batch, &leaves, noise, |part| {
            let found = part.total.clone().backward();
            pullback.add(&leaves, &found);
            gradients.accumulate(self, GradientsParams::from_grads(found, self));
            part.detach()
        });
        let found = pullback.product(&pass).backward();
        gradients.accumulate(self, GradientsParams::from_grads(found, self));
        Step { loss, gradients: Some(gradients.grads()) }
    }
}

impl Encode for Mhvae {
    /// With [`Draws::Mean`], the mean of each level given the mean of the one above.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let pass = self.bottom_up(batch, given);
        let levels = match draws {
            Draws::Mean => self.sample(&pass, 1, &mut Noise::zero()),
            Draws::Samples(n) => self.sample(&pass, n, noise),
        };
        Latent::hierarchy(levels.into_iter().map(|level| level.z).collect())
    }
}

impl Generate for Mhvae {
    fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
        let latent = self.hierarchy.shapes()[self.config.levels - 1].iter().product();
        let standard = Normal::standard_like(&Tensor::zeros([1, rows, latent], device));
        let levels = self.top_down(standard, None, noise);
        Latent::hierarchy(levels.into_iter().map(|level| level.z).collect())
    }

    fn descend(&self, top: Tensor<3>, noise: &mut Noise) -> Latent {
        let prior = Normal::standard_like(&top);
        let top = Level { z: top, posterior: prior.clone(), prior };
        let levels = self.below(top, None, noise);
        Latent::hierarchy(levels.into_iter().map(|level| level.z).collect())
    }

    fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
        targets.iter().map(|m| self.hierarchy.decoders.at(m).decode(latent.z())).collect()
    }

    fn decoder(&self, modality: usize) -> Option<&Decoder> {
        Some(self.hierarchy.decoders.at(modality))
    }
}

impl Density for Mhvae {
    fn log_prob(&self, batch: &Batch, latent: &Latent, modality: usize) -> Tensor<2> {
        let z = latent.z();
        blocks::log_likelihood(&self.hierarchy.decoders, batch, modality, z)
    }

    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        let levels = self.sample(&self.bottom_up(batch, given), 1, noise);
        let likelihoods = (0..self.modalities.len())
            .map(|m| {
                blocks::log_likelihood(&self.hierarchy.decoders, batch, m, levels[0].z.clone())
            })
            .collect();
        let divergences = levels
            .iter()
            .enumerate()
            .map(|(i, level)| (format!("kl_{}", i + 1), level.kl().squeeze_dim(0)))
            .collect();
        blocks::bound(likelihoods, divergences)
    }

    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let pass = self.bottom_up(batch, targets);
        importance_estimate(batch.rows(), budget, &batch.device(), |samples| {
            let levels = self.sample(&pass, samples.len(), noise);
            let ratio = levels.iter().map(Level::log_ratio).reduce(|sum, ratio| sum + ratio);
            let decoders = &self.hierarchy.decoders;
            targets.iter().fold(ratio.expect("there is a level"), |weights, m| {
                weights + blocks::log_likelihood(decoders, batch, m, levels[0].z.clone())
            })
        })
    }
}
