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

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Error, Result,
    batch::{Batch, Progress, Values},
    distribution::Normal,
    fusion::{Experts, Member, POE_FLOOR, PriorExpert, Product, product_with},
    modality::ModalitySpec,
    model::{Bound, Budget, Draws, Latent, Loss, MultimodalVae},
    nn::{Encoder, EncoderNet, Hierarchy, HierarchyConfig, Network, Networks, PosteriorConfig},
    noise::Noise,
    objective::{Estimate, Rescale, importance_estimate},
    subset::{Subset, Subsets},
};
use serde::{Deserialize, Serialize};

use crate::parts::{self, ModalityConfig};

/// Configuration of [`Mhvae`].
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `latent` | 64 | features of the top level | at least 1 |
/// | `levels` | 3 | levels of the hierarchy | 1 to 16 |
/// | `beta` | 1.0 | weight of all divergences | at least 0 |
/// | `shared_posterior` | true | one posterior block a level for all modalities, or one each | |
/// | `rescale` | `"none"` | weights of the modalities' likelihoods | `"none"`, `"by_size"`, `{ given = [..] }` |
/// | `blocks` | by the modalities' shapes | all networks | |
/// | `modalities` | from the data | likelihoods by modality | |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MhvaeConfig {
    /// Features of the top level of the default networks, at least 1.
    pub latent: usize,
    /// Levels of the hierarchy, 1 to 16.
    pub levels: usize,
    /// Weight of all divergences, at least 0.
    pub beta: f64,
    /// Whether the default networks have one posterior block a level for all modalities, or one
    /// for each.
    pub shared_posterior: bool,
    /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
    pub rescale: Rescale,
    /// All networks; by default what suits the modalities' shapes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<HierarchyConfig>,
    /// Likelihoods by modality; what is not given comes from the data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modalities: Vec<ModalityConfig>,
}

impl Default for MhvaeConfig {
    fn default() -> Self {
        Self {
            latent: 64,
            levels: 3,
            beta: 1.0,
            shared_posterior: true,
            rescale: Rescale::None,
            blocks: None,
            modalities: Vec::new(),
        }
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
        self.modalities = parts::complete_likelihoods(&self.modalities, specs)?;
        self.check()?;
        let specs = parts::specs(&self.modalities)?;
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
        parts::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        parts::check((1..=16).contains(&self.levels), "model.levels", "1 to 16", self.levels)?;
        let found = self.blocks.as_ref().map_or(self.levels, HierarchyConfig::levels);
        parts::check(found == self.levels, "model.levels", "as many as `blocks` has", found)?;
        parts::check_weight("model.beta", self.beta)?;
        let most = MOST_MODALITIES;
        let n = self.modalities.len();
        parts::check(
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
        let modalities = parts::specs(&self.modalities)?;
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

impl Level {
    fn sample(posterior: Normal<3>, prior: Normal<3>, noise: &mut Noise) -> Self {
        let mean = &posterior.mean;
        let z = posterior.rsample(noise.normal(mean.dims(), 1, &mean.device()));
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
            let values = batch.observed(m);
            let mut levels = vec![self.hierarchy.encoders.at(m).forward_values(&values)];
            for block in self.hierarchy.bottom_up.at(m) {
                levels.push(block.forward(levels[levels.len() - 1].clone()));
            }
            let top =
                self.hierarchy.top.at(m).encode(&Values::Dense(levels[levels.len() - 1].clone()));
            let top = top.shared.bounded();
            mean.push(top.mean);
            log_var.push(top.log_var);
            presence.push(batch.presence.of(m));
            skips.push(levels);
        }
        let experts = Experts::new(
            Tensor::stack(mean, 0),
            Tensor::stack(log_var, 0),
            Tensor::stack(presence, 0),
        );
        BottomUp { members, skips, experts }
    }

    /// All levels, level 1 first, of a stack whose top level has the posterior `top`
    /// `[subset, batch, latent]`; `holding[i]` are the places of the stack that use the i-th member
    /// of `bottom_up`.
    fn top_down(
        &self,
        top: Normal<3>,
        bottom_up: Option<(&BottomUp, &[Vec<usize>])>,
        noise: &mut Noise,
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
        noise: &mut Noise,
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
        // Channels come first in memory, so that joining features joins the channels of images.
        let inputs: Vec<Tensor<2>> = holding
            .iter()
            .zip(&pass.skips)
            .map(|(held, skips)| {
                let [_, width] = skips[level].dims();
                let skip =
                    skips[level].clone().unsqueeze_dim::<3>(0).expand([held.len(), rows, width]);
                let input = Tensor::cat(vec![parts::pick(hidden, held), skip], 2);
                let [held, _, width] = input.dims();
                input.reshape([held * rows, width])
            })
            .collect();
        let run = |block: &EncoderNet, input| block.encode(&Values::Dense(input)).shared.bounded();
        let outputs: Vec<Normal<2>> = if let Some(block) = self.hierarchy.posterior.shared(level) {
            // One call for all modalities.
            let sizes: Vec<usize> = inputs.iter().map(|x| x.dims()[0]).collect();
            let all = run(block, Tensor::cat(inputs, 0));
            let means = all.mean.split_with_sizes(sizes.clone(), 0);
            let log_vars = all.log_var.split_with_sizes(sizes, 0);
            means
                .into_iter()
                .zip(log_vars)
                .map(|(mean, log_var)| Normal::new(mean, log_var))
                .collect()
        } else {
            let blocks = pass.members.iter().map(|&m| self.hierarchy.posterior.at(level, m));
            blocks.zip(inputs).map(|(block, input)| run(block, input)).collect()
        };
        outputs
            .into_iter()
            .zip(holding)
            .enumerate()
            .map(|(i, (posterior, held))| Member {
                posterior: posterior.map(|x| stacked(x, held.len(), rows)),
                subsets: held.clone(),
                presence: pass.experts.presence.clone().narrow(0, i, 1).squeeze_dim(0),
            })
            .collect()
    }

    /// The posterior of the top level for a stack of subsets of the members.
    fn top(&self, pass: &BottomUp, subsets: &Subsets) -> Normal<3> {
        Product { prior: PriorExpert::Always, floor: POE_FLOOR }.of(&pass.experts, subsets)
    }

    /// All levels of `samples` draws, given a bottom-up pass of the modalities to condition on.
    fn sample(&self, pass: &BottomUp, samples: usize, noise: &mut Noise) -> Vec<Level> {
        let n = pass.members.len();
        let [_, rows, latent] = pass.experts.mean.dims();
        let top = self.top(pass, &parts::all_of(n)).map(|x| x.expand([samples, rows, latent]));
        let holding = vec![(0..samples).collect::<Vec<_>>(); n];
        self.top_down(top, Some((pass, &holding)), noise)
    }

    /// The bounds of all subsets, in one pass; subsets as [`Subsets::all`].
    pub fn subset_bounds(&self, batch: &Batch, noise: &mut Noise) -> SubsetBounds {
        let n = self.modalities.len();
        let subsets = Subsets::all(n);
        let pass = self.bottom_up(batch, Subset::full(n));
        let holding: Vec<_> = (0..n).map(|m| subsets.holding(m)).collect();
        let levels = self.top_down(self.top(&pass, &subsets), Some((&pass, &holding)), noise);
        let log_likelihood = (0..n)
            .map(|m| {
                let z = levels[0].z.clone();
                parts::log_likelihood(&self.hierarchy.decoders, batch, m, z) * self.rescale[m]
            })
            .collect();
        SubsetBounds { log_likelihood, kl: levels.iter().map(Level::kl).collect() }
    }
}

/// From `[stack * rows, features]` to `[stack, rows, features]`.
fn stacked(x: Tensor<2>, stack: usize, rows: usize) -> Tensor<3> {
    let [_, features] = x.dims();
    x.reshape([stack, rows, features])
}

impl MultimodalVae for Mhvae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }

    fn terms(&self, _: Progress) -> Vec<String> {
        let levels = (1..=self.config.levels).map(|i| format!("kl_{i}"));
        parts::reconstruction_terms(&self.modalities).into_iter().chain(levels).collect()
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let bounds = self.subset_bounds(batch, noise);
        // Means over subsets and rows at once.
        let likelihoods: Vec<Tensor<1>> =
            bounds.log_likelihood.into_iter().map(|l| l.mean().neg()).collect();
        let divergences: Vec<Tensor<1>> = bounds.kl.into_iter().map(Tensor::mean).collect();
        let total = Tensor::cat(likelihoods.clone(), 0).sum()
            + Tensor::cat(divergences.clone(), 0).sum() * self.config.beta;
        let terms = likelihoods.into_iter().chain(divergences).collect();
        parts::loss(total, self.terms(batch.progress), terms)
    }

    /// With [`Draws::Mean`], the mean of each level given the mean of the one above.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let pass = self.bottom_up(batch, given);
        let levels = match draws {
            Draws::Mean => self.sample(&pass, 1, &mut Noise::zero()),
            Draws::Samples(n) => self.sample(&pass, n, noise),
        };
        Latent::hierarchy(levels.into_iter().map(|level| level.z).collect())
    }

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
        targets
            .iter()
            .map(|m| self.hierarchy.decoders.at(m).decode(latent.levels[0].clone()))
            .collect()
    }

    fn log_prob(&self, batch: &Batch, latent: &Latent, modality: usize) -> Tensor<2> {
        let z = latent.levels[0].clone();
        parts::log_likelihood(&self.hierarchy.decoders, batch, modality, z)
    }

    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        let levels = self.sample(&self.bottom_up(batch, given), 1, noise);
        let likelihoods = (0..self.modalities.len())
            .map(|m| parts::log_likelihood(&self.hierarchy.decoders, batch, m, levels[0].z.clone()))
            .collect();
        let divergences = levels
            .iter()
            .enumerate()
            .map(|(i, level)| (format!("kl_{}", i + 1), level.kl().squeeze_dim(0)))
            .collect();
        parts::bound(likelihoods, divergences)
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
                weights + parts::log_likelihood(decoders, batch, m, levels[0].z.clone())
            })
        })
    }
}
