//! MHVAE: a hierarchy of latent levels with one product of experts per level.
//!
//! **Paper.** Dorent et al., "Unified Brain MR-Ultrasound Synthesis using Multi-Modal
//! Hierarchical Representations", MICCAI 2023, arXiv 2309.08747; Mao et al., "Least Squares Generative
//! Adversarial Networks", ICCV 2017, for its adversarial term; Kingma et al., "Improved Variational
//! Inference with Inverse Autoregressive Flow", NeurIPS 2016, for free bits.
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
//! With `subsets = { sampled = n }` the mean is over `n` different sets, of which each is as likely as
//! any other: on average the same objective, at a cost that grows with `n M` and not with `M 2^M`, for more
//! modalities than ten. They are drawn for a batch and not for a row, so that a block is called with whole
//! batches of few sets, as with all of them: rows of sets of their own would have to be gathered for each
//! modality, and all devices of a step would not share what they do. What a validation batch draws follows
//! from its noise key, as all else that is random: it is the same in every epoch, so that epochs can be
//! compared. Bounds and likelihoods are of the modalities that they are asked for, and draw no sets. There
//! are no critics then.
//!
//! All observed modalities are reconstructed, also those that are not in `S`. A set of which a row
//! observes nothing contributes its reconstruction from the prior. `β` grows from 0 over the first
//! `warmup` epochs, so that levels are in use before they are held to their priors, and the divergence of
//! a level counts as at least `free_bits` nats in each row and set, so that nothing is gained by leaving
//! the level at its prior. Two modalities of `polydigits`, three levels, batches of 32, 14 epochs, nats
//! given both modalities of test rows:
//!
//! | rows | `warmup` | `free_bits` | `z_1` | `z_2` | `z_3` | bound |
//! |---|---|---|---|---|---|---|
//! | 700 | 0 | 0 | | 0.00 | 0.00 | |
//! | 700 | 10 | 0 | | 0.06 | 10.39 | 134 better |
//! | 1000 | 10 | 0 | 99.5 | 0.07 | 14.6 | -2975.8 |
//! | 1000 | 10 | 1 | 100.1 | 0.43 | 14.7 | -2978.3 |
//! | 1000 | 10 | 2 | 100.8 | 0.98 | 14.5 | -2975.2 |
//! | 1000 | 10 | 4 | 98.8 | 3.50 | 14.9 | -2975.8 |
//!
//! **Adversarial term.** With `adversarial` above 0, each modality has a critic `D_m`, which judges an
//! image by its patches. After `adversarial_after` epochs a batch has two phases: the hierarchy learns
//! from the loss above and, with `x̂_m` the mean of `p(x_m | z_1)`, `d_m` the number of features, and
//! means over patches, from
//!
//! ```text
//! γ 1/(2^M - 1) mean_b Σ_{S = {k}, k observed} Σ_m d_m/M (D_m(x̂_m) - 1)²
//! ```
//!
//! of all modalities given single ones, also of those that the row lacks; then the critics from
//!
//! ```text
//! Σ_m [ mean_b (D_m(x_m) - 1)² + mean_b mean_S D_m(x̂_m)² ]
//! ```
//!
//! at `critic_rate` times the learning rate. Cells that were not observed are 0 in both.
//!
//! With it and without, on 2000 rows of two modalities of `polydigits`, 24 epochs with batches of 32, the
//! term from the 13th on, one seed; test rows, distances of prior samples in features of classifiers:
//!
//! | `γ` | bound | `z_1` | `z_2` | `z_3` | Fréchet distance | PSNR | PSNR from the other |
//! |---|---|---|---|---|---|---|---|
//! | 0 | -2904 | 141 | 6.6 | 67 | 119, 136 | 15.5, 15.4 | 10.5, 11.9 |
//! | 1 | -2932 | 139 | 4.5 | 11 | 58, 81 | 15.0, 14.4 | 10.5, 7.8 |
//!
//! Samples are nearer to the data, values farther from their own, and pictures have more texture. The
//! digits of one modality are not told from the other's in either (coherence 0.11).
//!
//! **What differs from MultiVae.** The loss is the mean over rows, not the sum. Samples of the
//! prior go through all levels; the reference returns values of the top level, which its decoders
//! cannot read. Divergences are reported as averages over all sets, not those of the last one.
//! The set axis is folded into the batch, so that each network runs once a step. Likelihoods are
//! estimated, with the hierarchical posterior as the proposal. It has no adversarial term.
//!
//! **What differs from the authors' code.** It sums over three sets of two modalities; here and in
//! MultiVae the objective is a mean over all sets, and the adversarial term is scaled with it. Its images
//! have the smooth L1 distance in place of a likelihood. Its divergences grow over all epochs; here over
//! `warmup`. Its critics see what was decoded from the second modality alone; here from each single one.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls and `M (L - 1)` bottom-up calls of `B` rows; with
//! `T = 2^M - 1`, or the `n` sets that are drawn, `L - 1` top-down and `L - 1` prior calls of `T B` rows,
//! `M` decoder calls of `T B` rows, and `L - 1` posterior calls for all pairs of a set and one of its
//! modalities, about `M T B / 2` rows (`(L - 1) M` calls if blocks are not shared). A posterior block that
//! begins with an affine map or a convolution has it on `h_i` and `s_i` apart, `W [h; s] = W_h h + W_s s`:
//! of `T B` rows and of `M B`, and pairs are sums of the two. The adversarial term adds a critic call of
//! `M B` rows a modality; the phase of the critics takes the calls of a step for single modalities, and
//! two critic calls of `M B` and `B` rows.
//!
//! **Memory.** A step keeps what all layers put out for `T` sets, gigabytes for five modalities of
//! images. With `memory_mb` the sets are walked in parts, as many at once as the budget allows;
//! encoders and bottom-up blocks still run once, and loss and gradients are the same.

use std::{collections::BTreeMap, ops::Range};

use burn::{
    module::Module,
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{Device, Gradients, Tensor},
};
use multivae_core::{
    Error, Result,
    batch::{Batch, Progress, Purpose, Values},
    distribution::Normal,
    fusion::{Conditional, Experts, POE_FLOOR, PriorExpert, Product, product_with},
    modality::{ModalityName, ModalitySpec},
    model::{
        Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal, Phase, Stage,
        Step,
    },
    module::Named,
    nn::{
        Decoder, Encoder, EncoderNet, Hierarchy, HierarchyConfig, JoinedPairs, Network,
        NetworkConfig, NetworkNet, Networks, ObservedRows, PosteriorConfig,
    },
    noise::Noise,
    objective::{Budget, Estimate, Rescale, Warmup, importance_estimate},
    options,
    subset::{Subset, Subsets},
};

use serde_json::{Value, json};

use crate::{
    blocks::{
        self, ModalityConfig,
        adversary::Critic,
        codes::shares,
        critics::{self, Critics},
        subset_mixture::{SampledSubsets, SubsetsConfig},
    },
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
        /// Epochs over which the weight of the divergences grows from 0 to `beta`; 0 for none. Without
        /// it the upper levels are soon given up.
        pub warmup: Warmup = Warmup { epochs: 10 },
        /// Nats that the divergence of a level counts as at least, in each row and set; 0 for none.
        /// Without them a level between others stays at its prior.
        pub free_bits: f64 = 2.0,
        /// Weight of the adversarial term, at least 0; 0 for none, and no critics.
        pub adversarial: f64 = 0.0,
        /// Epochs before the adversarial term, in which critics do not learn either.
        pub adversarial_after: usize = 100,
        /// What the learning rate of critics is multiplied by, above 0.
        pub critic_rate: f64 = 0.1,
        /// Critics by modality, from its values to one value, or to one a patch; what is not given suits
        /// the shape.
        pub critics: BTreeMap<ModalityName, NetworkConfig> = BTreeMap::new(),
        /// Sets that the objective is a mean over: empty for all; or { sampled = n } for n of all, drawn for
        /// each batch, where all are too many.
        pub subsets: SubsetsConfig = SubsetsConfig::default(),
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
    /// None without an adversarial term.
    critics: Named<NetworkNet>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MhvaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
    #[module(skip)]
    sets: Sets,
}

/// Which sets of modalities an objective is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sets {
    /// All, which weigh the same in every row. Critics judge what is decoded from single modalities.
    #[default]
    All,
    /// So many of all, drawn for each batch, which weigh the same in every row.
    Sampled { count: usize },
    /// All modalities, one of them alone, and a set of the others, which is drawn for each batch that
    /// is learned from, and is all others elsewhere. Those of which a row observes anything weigh the
    /// same. Critics judge what is decoded from the second and the third, and learn from modalities
    /// that are not in them.
    Three {
        /// The modality that is alone.
        reference: usize,
    },
}

impl Sets {
    /// The sets of a batch.
    pub(crate) fn of(self, modalities: usize, batch: &Batch, noise: &mut Noise) -> Subsets {
        let reference = match self {
            Self::All => return Subsets::all(modalities),
            Self::Sampled { count } => return drawn(modalities, count, noise),
            Self::Three { reference } => reference,
        };
        let others: Vec<usize> = (0..modalities).filter(|&m| m != reference).collect();
        let mut list = vec![Subset::full(modalities), Subset::single(reference)];
        if !others.is_empty() {
            let count = (1_usize << others.len()) - 1;
            let drawn = match batch.purpose {
                Purpose::Train => noise.choose(1, count)[0] + 1,
                Purpose::Evaluate => count,
            };
            let members = others.iter().enumerate().filter(|(place, _)| (drawn >> place) & 1 == 1);
            list.push(Subset::new(members.map(|(_, &m)| m)).expect("a number above 0 has a bit"));
        }
        list.dedup();
        Subsets::new(modalities, list).expect("the reference is in no set of the others")
    }

    /// How many sets a batch has at most.
    fn most(self, modalities: usize) -> usize {
        match self {
            Self::All => (1 << modalities) - 1,
            Self::Sampled { count } => count.min((1 << modalities) - 1),
            Self::Three { .. } => 3,
        }
    }

    /// Whether critics judge what is decoded from a set.
    fn is_judged(self, set: Subset, modalities: usize) -> bool {
        match self {
            Self::All | Self::Sampled { .. } => set.len() == 1,
            Self::Three { .. } => set != Subset::full(modalities),
        }
    }

    /// The weights of sets in each row, `[set, batch]`, which add up to 1; `None` if all weigh the
    /// same.
    fn weights(self, subsets: &Subsets, batch: &Batch) -> Option<Tensor<2>> {
        match self {
            Self::All | Self::Sampled { .. } => None,
            Self::Three { .. } => Some(shares(&usable(subsets, batch))),
        }
    }
}

/// So many different sets of all, each as likely as any other; all, if they are no more.
fn drawn(modalities: usize, count: usize, noise: &mut Noise) -> Subsets {
    let all = (1_usize << modalities) - 1;
    if count >= all {
        return Subsets::all(modalities);
    }
    // A number from 1 is a set in binary.
    let set = |number: usize| {
        let members = (0..modalities).filter(|m| ((number + 1) >> m) & 1 == 1);
        Subset::new(members).expect("a number above 0 has a bit")
    };
    let sets = noise.choose(count, all).into_iter().map(set).collect();
    Subsets::new(modalities, sets).expect("different numbers are different sets")
}

/// 1 where a row observes anything of a set, `[set, batch]`.
fn usable(subsets: &Subsets, batch: &Batch) -> Tensor<2> {
    let observed = subsets.membership(&batch.device()).matmul(batch.presence().mask().transpose());
    observed.greater_scalar(0.0).float()
}

impl Listed for MhvaeConfig {
    const CLASS: Option<Class> = Some(classes::MHVAE);

    fn exercise(specs: &[ModalitySpec]) -> Value {
        // With critics for some data, without them for other.
        match specs.len() {
            2 => json!({
                "adversarial": 0.5, "adversarial_after": 1, "free_bits": 0.01, "warmup": 0,
            }),
            _ => json!({ "free_bits": 0, "warmup": 0 }),
        }
    }
}

impl MhvaeConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(self, specs: &[ModalitySpec]) -> Result<Self> {
        let sets = self.sets()?;
        self.completed(specs, sets)
    }

    /// The same for a model of other sets.
    pub(crate) fn completed(mut self, specs: &[ModalitySpec], sets: Sets) -> Result<Self> {
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
        self.check(sets)?;
        let specs = blocks::specs(&self.modalities)?;
        let blocks = self.blocks.take().unwrap_or_else(|| self.default_blocks(&specs));
        blocks.check(&specs)?;
        self.blocks = Some(blocks);
        if self.adversarial > 0.0 {
            critics::complete(&mut self.critics, &specs)?;
        }
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

    fn sets(&self) -> Result<Sets> {
        match &self.subsets {
            SubsetsConfig::Given(list) => {
                let expected = "empty for all sets, or { sampled = n }";
                blocks::check(list.is_empty(), "model.subsets", expected, "a list of sets")?;
                Ok(Sets::All)
            }
            SubsetsConfig::Sampled(SampledSubsets { sampled: count }) => {
                let (field, expected) = ("model.subsets.sampled", format!("1 to {MOST_DRAWN}"));
                blocks::check((1..=MOST_DRAWN).contains(count), field, &expected, count)?;
                let expected = "0 with `model.subsets.sampled`: few of the sets that are drawn are \
                                single modalities, which critics judge";
                let judged = self.adversarial > 0.0;
                blocks::check(!judged, "model.adversarial", expected, self.adversarial)?;
                Ok(Sets::Sampled { count: *count })
            }
        }
    }

    fn check(&self, sets: Sets) -> Result<()> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check((1..=16).contains(&self.levels), "model.levels", "1 to 16", self.levels)?;
        let found = self.blocks.as_ref().map_or(self.levels, HierarchyConfig::levels);
        blocks::check(found == self.levels, "model.levels", "as many as `blocks` has", found)?;
        blocks::check_weight("model.beta", self.beta)?;
        blocks::check_weight("model.free_bits", self.free_bits)?;
        blocks::check_weight("model.adversarial", self.adversarial)?;
        let rate = self.critic_rate > 0.0 && self.critic_rate.is_finite();
        blocks::check(rate, "model.critic_rate", "a finite number above 0", self.critic_rate)?;
        let used = self.adversarial > 0.0 || self.critics.is_empty();
        let expected = "none, since `model.adversarial` is 0";
        blocks::check(used, "model.critics", expected, self.critics.len())?;
        let memory = self.memory_mb.unwrap_or(1.0);
        blocks::check(memory > 0.0, "model.memory_mb", "above 0, or none", memory)?;
        let n = self.modalities.len();
        let (most, sets) = match sets {
            Sets::All => {
                let way = "or `model.subsets = { sampled = n }`";
                (MOST_MODALITIES, format!(", of {} sets, {way}", 1 << MOST_MODALITIES))
            }
            Sets::Sampled { .. } => (MOST_TO_DRAW_FROM, String::new()),
            Sets::Three { .. } => (MOST_IN_A_SET, String::new()),
        };
        blocks::check(n <= most, "modalities", &format!("at most {most}{sets}"), n)?;
        self.rescale.check(n)
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Mhvae> {
        self.built(self.sets()?, networks, device)
    }

    /// The same for a model of other sets.
    pub(crate) fn built(&self, sets: Sets, networks: &Networks, device: &Device) -> Result<Mhvae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check(sets)?;
        let default = || self.default_blocks(&modalities);
        let blocks = self.blocks.clone().unwrap_or_else(default);
        let hierarchy = blocks.init(&modalities, self.latent, networks, device)?;
        let critics = match self.adversarial > 0.0 {
            true => critics::init(&self.critics, &modalities, networks, device)?,
            false => Vec::<(String, NetworkNet)>::new().into_iter().collect(),
        };
        let rescale = self.rescale.factors(&modalities);
        Ok(Mhvae { hierarchy, critics, modalities, config: self.clone(), rescale, sets })
    }
}

/// All sets of more modalities than this are more than a thousand.
const MOST_MODALITIES: usize = 10;

/// Most sets that are drawn for a batch: those of [`MOST_MODALITIES`].
const MOST_DRAWN: usize = 1 << MOST_MODALITIES;

/// Most modalities whose sets have numbers.
const MOST_TO_DRAW_FROM: usize = 60;

/// Most modalities among which a set is drawn.
const MOST_IN_A_SET: usize = 16;

/// The phase in which critics learn.
const CRITICS: usize = 1;

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
            let encoder = self.hierarchy.encoders.at(m);
            let (levels, top) = batch.once(encoder, m, || {
                let values = batch.input(m, &self.modalities[m]);
                let mut levels = vec![encoder.forward_observed(&values, batch, m)];
                for block in self.hierarchy.bottom_up.at(m) {
                    let below = Values::Dense(levels[levels.len() - 1].clone());
                    levels.push(block.forward_observed(&below, batch, m));
                }
                let below = Values::Dense(levels[levels.len() - 1].clone());
                let top = self.hierarchy.top.at(m).encode_observed(&below, batch, m);
                (levels, top.shared.bounded())
            });
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
            let posterior = match bottom_up {
                None => prior.clone(),
                Some((pass, holding)) => {
                    let posteriors = self.posteriors(i, &hidden, pass, holding);
                    let (pairs, presence) = (&pairs(holding), pass.experts.presence.clone());
                    product_with(&prior, Conditional { pairs, posteriors, presence })
                }
            };
            levels.push(Level::sample(posterior, prior, noise));
        }
        levels.reverse();
        levels
    }

    /// The posteriors of a level below the top given single modalities: mean and log-variance of each
    /// pair of a subset and a member that it holds, `[pairs * batch, 2 features]`, in the order of
    /// [`pairs`].
    fn posteriors(
        &self,
        level: usize,
        hidden: &Tensor<3>,
        pass: &BottomUp,
        holding: &[Vec<usize>],
    ) -> Tensor<2> {
        let [_, rows, width] = hidden.dims();
        let given =
            |block: &EncoderNet, hidden: Tensor<3>, members: Range<usize>, pairs: &[[usize; 2]]| {
                let [stack, ..] = hidden.dims();
                let left = hidden.reshape([stack * rows, width]);
                let skips = pass.skips[members.clone()].iter().map(|levels| levels[level].clone());
                let right = Tensor::cat(skips.collect(), 0);
                encode(block, &JoinedPairs { left, right, pairs, rows }, &pass.observed[members])
            };
        if let Some(block) = self.hierarchy.posterior.shared(level) {
            return given(block, hidden.clone(), 0..holding.len(), &pairs(holding));
        }
        // Each modality by its own block, on the subsets that hold it.
        let own =
            holding.iter().enumerate().filter(|(_, held)| !held.is_empty()).map(|(i, held)| {
                let block = self.hierarchy.posterior.at(level, pass.members[i]);
                let places: Vec<[usize; 2]> = (0..held.len()).map(|place| [place, 0]).collect();
                given(block, blocks::pick(hidden, held), i..i + 1, &places)
            });
        Tensor::cat(own.collect(), 0)
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
        let pass = self.bottom_up(batch, Subset::full(n));
        self.bounds(batch, &pass, &Subsets::all(n), noise).0
    }

    /// All levels of a stack of subsets, given the bottom-up pass of all modalities.
    fn levels(&self, pass: &BottomUp, subsets: &Subsets, noise: &mut impl Standard) -> Vec<Level> {
        let holding: Vec<_> = (0..self.modalities.len()).map(|m| subsets.holding(m)).collect();
        self.top_down(self.top(pass, subsets), Some((pass, &holding)), noise)
    }

    /// The bounds of some subsets, and what decoders yield for them, `[subset, batch, outputs]` a
    /// modality.
    fn bounds(
        &self,
        batch: &Batch,
        pass: &BottomUp,
        subsets: &Subsets,
        noise: &mut impl Standard,
    ) -> (SubsetBounds, Vec<Tensor<3>>) {
        let levels = self.levels(pass, subsets, noise);
        let decoders = &self.hierarchy.decoders;
        let outputs: Vec<Tensor<3>> =
            decoders.values().map(|decoder| decoder.decode(levels[0].z.clone())).collect();
        let log_likelihood = |(m, output): (usize, &Tensor<3>)| {
            let log_prob = decoders.at(m).log_prob(output.clone(), &batch.target(m));
            log_prob * batch.presence().of(m).unsqueeze_dim(0) * self.rescale[m]
        };
        let log_likelihood = outputs.iter().enumerate().map(log_likelihood).collect();
        let kl = levels.iter().map(Level::kl).collect();
        (SubsetBounds { log_likelihood, kl }, outputs)
    }

    /// The part of the objective that some subsets add.
    fn objective(
        &self,
        batch: &Batch,
        subsets: &Subsets,
        (bounds, outputs): (SubsetBounds, Vec<Tensor<3>>),
        part: &Part,
    ) -> Loss {
        let beta = self.config.beta * self.config.warmup.weight(batch.progress);
        // Means over subsets and rows at once.
        let likelihoods: Vec<Tensor<1>> =
            bounds.log_likelihood.into_iter().map(|l| part.mean(l, -1.0)).collect();
        let mean = |kl: &Tensor<2>| part.mean(kl.clone(), 1.0);
        let divergences: Vec<Tensor<1>> = bounds.kl.iter().map(mean).collect();
        let free = self.config.free_bits;
        let held = match free > 0.0 {
            true => bounds.kl.iter().map(|kl| mean(&kl.clone().clamp_min(free))).collect(),
            false => divergences.clone(),
        };
        let mut total =
            Tensor::cat(likelihoods.clone(), 0).sum() + Tensor::cat(held, 0).sum() * beta;
        let mut terms: Vec<_> = likelihoods.into_iter().chain(divergences).collect();
        if self.is_judged(batch.progress) {
            let adversarial = self.adversarial(batch, subsets, &outputs, part);
            total = total + adversarial.clone() * self.config.adversarial;
            terms.push(adversarial);
        }
        blocks::loss(total, self.terms(batch.progress), terms)
    }

    /// Whether critics judge what is decoded where the run stands so.
    fn is_judged(&self, progress: Progress) -> bool {
        !self.critics.is_empty() && progress.epoch > self.config.adversarial_after
    }

    fn critics(&self) -> Critics<'_> {
        let (networks, modalities) = (&self.critics, &self.modalities);
        Critics { networks, modalities, kind: Critic::LeastSquares }
    }

    /// What decoders show of a stack of outputs of a modality, `[stack, batch, features]`.
    fn shown(&self, batch: &Batch, m: usize, outputs: Tensor<3>) -> Tensor<3> {
        self.hierarchy.decoders.at(m).mean(outputs, batch.offset_or(m, 0.0).as_ref())
    }

    /// The part of the adversarial term that some subsets add, from what decoders yield for them.
    fn adversarial(
        &self,
        batch: &Batch,
        subsets: &Subsets,
        outputs: &[Tensor<3>],
        part: &Part,
    ) -> Tensor<1> {
        let judged = self.judged(subsets);
        if judged.is_empty() {
            return Tensor::zeros([1], &batch.device());
        }
        let shown = |(m, outputs): (usize, &Tensor<3>)| {
            self.shown(batch, m, blocks::pick(outputs, &judged))
        };
        let shown: Vec<Tensor<3>> = outputs.iter().enumerate().map(shown).collect();
        let cost = self.critics().generator(batch, &shown);
        let all: Vec<Subset> = subsets.iter().collect();
        let sets = Subsets::new(subsets.modalities(), judged.iter().map(|&s| all[s]).collect());
        let cost = cost * usable(&sets.expect("some of different sets"), batch);
        let cost = match &part.weights {
            None => cost * (part.share / subsets.len() as f64),
            Some(weights) => cost * pick_rows(weights, &judged),
        };
        cost.sum() / batch.rows() as f64
    }

    /// The places of the subsets that critics judge.
    fn judged(&self, subsets: &Subsets) -> Vec<usize> {
        let n = self.modalities.len();
        let judged = |(_, set): &(usize, Subset)| self.sets.is_judged(*set, n);
        subsets.iter().enumerate().filter(judged).map(|(place, _)| place).collect()
    }

    /// The objective of the critics: what is observed, and what is decoded from the sets that they
    /// judge.
    fn loss_of_critics(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let n = self.modalities.len();
        let subsets = self.sets.of(n, batch, noise);
        let sets: Vec<Subset> = subsets.iter().filter(|s| self.sets.is_judged(*s, n)).collect();
        let subsets = Subsets::new(n, sets.clone()).expect("there are several modalities");
        let pass = self.bottom_up(batch, Subset::full(n));
        let levels = self.levels(&pass, &subsets, noise);
        let shown = |(m, decoder): (usize, &Decoder)| {
            self.shown(batch, m, decoder.decode(levels[0].z.clone()).detach())
        };
        let shown: Vec<_> = self.hierarchy.decoders.values().enumerate().map(shown).collect();
        let usable = usable(&subsets, batch);
        let weights = |m: usize| {
            let counts = |set: &Subset| self.sets == Sets::All || !set.contains(m);
            let counts: Vec<f32> = sets.iter().map(|s| f32::from(u8::from(counts(s)))).collect();
            let counts = Tensor::<1>::from_floats(counts.as_slice(), &batch.device());
            shares(&(usable.clone() * counts.unsqueeze_dim::<2>(1)))
        };
        let weights: Vec<Tensor<2>> = (0..n).map(weights).collect();
        let (observed, decoded) = self.critics().losses(batch, &shown, &weights);
        let total = observed.clone() + decoded.clone();
        blocks::loss(total, self.terms(batch.progress), vec![observed, decoded])
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
        let subsets = self.sets.of(self.modalities.len(), batch, noise);
        let weights = self.sets.weights(&subsets, batch);
        let at_once = self.at_once(batch.rows()).min(subsets.len());
        if at_once == subsets.len() {
            let bounds = self.bounds(batch, pass, &subsets, noise);
            return each(self.objective(batch, &subsets, bounds, &Part { share: 1.0, weights }));
        }
        // The noise that all subsets at once would see, the top level first.
        let features = self.hierarchy.shapes().iter().rev().map(|s| s.iter().product::<usize>());
        let device = batch.device();
        let noise: Vec<Tensor<3>> = features
            .map(|features| noise.normal([subsets.len(), batch.rows(), features], 1, &device))
            .collect();
        let parts = (0..subsets.len()).step_by(at_once).map(|first| {
            let range = first..subsets.len().min(first + at_once);
            let weights = weights.clone().map(|w| w.narrow(0, first, range.len()));
            let share = range.len() as f64 / subsets.len() as f64;
            let mut noise = Share(noise.iter(), range.clone());
            let sets = subsets.part(range);
            let bounds = self.bounds(batch, pass, &sets, &mut noise);
            each(self.objective(batch, &sets, bounds, &Part { share, weights }))
        });
        parts.reduce(Loss::plus).expect("there is a subset")
    }

    /// How many subsets the memory budget lets walk at once.
    fn at_once(&self, rows: usize) -> usize {
        let subsets = self.sets.most(self.modalities.len());
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

/// The sets of a part of an objective.
struct Part {
    /// How many of all sets they are.
    share: f64,
    /// Weights of the sets in each row, `[set, batch]`, which add up to 1 over all sets; `None` if all
    /// weigh the same.
    weights: Option<Tensor<2>>,
}

impl Part {
    /// What these sets add to the mean over sets and rows of values `[set, batch]`, times a sign.
    fn mean(&self, values: Tensor<2>, sign: f64) -> Tensor<1> {
        match &self.weights {
            None => values.mean() * (sign * self.share),
            Some(weights) => {
                let rows = weights.dims()[1] as f64;
                (values * weights.clone()).sum() * (sign / rows)
            }
        }
    }
}

/// Some rows of a matrix.
fn pick_rows(matrix: &Tensor<2>, rows: &[usize]) -> Tensor<2> {
    let rows = rows.iter().map(|&row| matrix.clone().narrow(0, row, 1));
    Tensor::cat(rows.collect(), 0)
}

/// Each place of a stack and each member that it uses, members in order; `holding` as in
/// [`Mhvae::top_down`].
fn pairs(holding: &[Vec<usize>]) -> Vec<[usize; 2]> {
    let of =
        |(i, places): (usize, &Vec<usize>)| places.iter().map(move |&place| [place, i]).collect();
    holding.iter().enumerate().flat_map::<Vec<_>, _>(of).collect()
}

/// What a block makes of pairs, mean and log-variance side by side, `[pairs * rows, 2 features]`. Where
/// it mixes rows it sees those rows alone that observe the member on the right, and the others have
/// zeros.
fn encode(
    block: &EncoderNet,
    pairs: &JoinedPairs<'_>,
    observed: &[Option<ObservedRows>],
) -> Tensor<2> {
    if !block.mixes_rows() || observed.iter().all(Option::is_none) {
        return block.encode_pairs(pairs);
    }
    let (joined, rows) = (pairs.joined(), pairs.rows);
    // None where no row observes the member.
    let seen = |(place, &[_, member]): (usize, &[usize; 2])| {
        let input = joined.clone().narrow(0, place * rows, rows);
        match &observed[member] {
            None => Some(input),
            Some(observed) if observed.is_empty() => None,
            Some(observed) => observed.take(&Values::Dense(input)).dense().cloned(),
        }
    };
    let inputs: Vec<Option<Tensor<2>>> = pairs.pairs.iter().enumerate().map(seen).collect();
    let some: Vec<Tensor<2>> = inputs.iter().flatten().cloned().collect();
    let sizes: Vec<usize> = some.iter().map(|x| x.dims()[0]).collect();
    let mut found = match some.is_empty() {
        true => Vec::new(),
        false => block.encode_beside(Tensor::cat(some, 0)).split_with_sizes(sizes, 0),
    }
    .into_iter();
    let features = 2 * block.latent_shape().iter().product::<usize>();
    let place = |(input, &[_, member]): (&Option<Tensor<2>>, &[usize; 2])| {
        let output = input.as_ref().and_then(|_| found.next());
        match (output, &observed[member]) {
            (None, _) => Tensor::zeros([rows, features], &joined.device()),
            (Some(output), None) => output,
            (Some(output), Some(observed)) => observed.place(output),
        }
    };
    Tensor::cat(inputs.iter().zip(pairs.pairs).map(place).collect(), 0)
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
    /// `adversarial` is what critics cost the hierarchy, not weighted. The phase of the critics has
    /// terms of its own: what observed and decoded values cost them.
    fn terms(&self, progress: Progress) -> Vec<String> {
        if progress.phase == CRITICS {
            return vec!["critic_observed".into(), "critic_decoded".into()];
        }
        let levels = (1..=self.config.levels).map(|i| format!("kl_{i}"));
        let judged = self.is_judged(progress).then(|| "adversarial".to_owned());
        let names = blocks::reconstruction_terms(&self.modalities).into_iter();
        names.chain(levels).chain(judged).collect()
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        if batch.progress.phase == CRITICS {
            return self.loss_of_critics(batch, noise);
        }
        let pass = self.bottom_up(batch, Subset::full(self.modalities.len()));
        self.walk(batch, &pass, noise, |part| part)
    }

    fn step(&self, batch: &Batch, noise: &mut Noise) -> Step {
        let at_once = self.at_once(batch.rows()) == self.sets.most(self.modalities.len());
        if at_once || batch.progress.phase == CRITICS {
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

    fn stages(&self) -> Vec<Stage> {
        if self.critics.is_empty() {
            return vec![Stage::whole()];
        }
        let MhvaeConfig { adversarial_after: after, critic_rate, .. } = self.config;
        let before = Stage::new("hierarchy").epochs(after).frozen(&["critics"]);
        let judged = Stage::new("adversarial").phases(vec![
            Phase::new("hierarchy", &["hierarchy"]),
            Phase::new("critics", &["critics"]).rate(critic_rate),
        ]);
        let before = (after > 0).then_some(before);
        before.into_iter().chain([judged]).collect()
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

#[cfg(test)]
mod tests {
    use multivae_core::{batch::Presence, module::init_parameters, noise::Draw};

    use super::*;

    fn model(config: MhvaeConfig) -> Mhvae {
        let specs = ["a", "b"].map(|name| ModalitySpec::new(name, &[3]).expect("valid"));
        let config = MhvaeConfig { latent: 2, levels: 2, ..config };
        let config = config.with_modalities(&specs).expect("the data suits");
        init_parameters(config.init(&Networks::default(), &Device::flex()).expect("a model"))
    }

    fn batch(epoch: usize) -> Batch {
        let device = Device::flex();
        let rows = vec![Subset::full(2), Subset::single(1)];
        let values = |x: f32| Values::Dense(Tensor::full([2, 3], x, &device));
        let presence = Presence::new(rows, 2, &device);
        let batch = Batch::new(vec![values(0.5), values(-1.0)], presence).expect("one size");
        batch.at(Progress::new(epoch, 0.0))
    }

    fn total(loss: &Loss) -> f32 {
        loss.total.clone().into_scalar()
    }

    #[test]
    fn critics_judge_after_their_epochs_and_leave_what_is_before_as_it_is() {
        let judged = MhvaeConfig { adversarial: 2.0, adversarial_after: 3, ..Default::default() };
        let judged = model(judged);
        let plain = Mhvae {
            critics: Vec::<(String, NetworkNet)>::new().into_iter().collect(),
            ..judged.clone()
        };
        let of = |model: &Mhvae, epoch| model.loss(&batch(epoch), &mut Noise::seeded(1));
        assert_eq!(total(&of(&judged, 3)), total(&of(&plain, 3)));
        assert_eq!(of(&judged, 3).terms.len(), of(&plain, 9).terms.len());
        let (with, without) = (of(&judged, 4), of(&plain, 4));
        let (name, term) = with.terms.last().expect("there are terms");
        assert_eq!(name, "adversarial");
        let term: f32 = term.clone().into_scalar();
        assert!(term > 0.0 && (total(&with) - total(&without) - 2.0 * term).abs() < 1e-4);
        assert_eq!(plain.stages(), [Stage::whole()]);
        let stages = judged.stages();
        assert_eq!((stages[0].epochs, stages[0].frozen[0].as_str()), (Some(3), "critics"));
        assert_eq!(stages[1].phases[1].rate, 0.1);
    }

    #[test]
    fn the_adversarial_term_is_that_of_values_decoded_from_single_modalities() {
        let judged = model(MhvaeConfig { adversarial: 1.0, ..Default::default() });
        let batch = batch(usize::MAX);
        let pass = judged.bottom_up(&batch, Subset::full(2));
        let (subsets, mut noise) = (Subsets::all(2), Noise::seeded(5));
        let (_, outputs) = judged.bounds(&batch, &pass, &subsets, &mut noise);
        let part = Part { share: 1.0, weights: None };
        let found: f32 = judged.adversarial(&batch, &subsets, &outputs, &part).into_scalar();
        // By hand: sets {a}, {b} and both; the second row lacks `a`.
        let mut expected = 0.0;
        for (set, row) in [(0, 0), (1, 0), (1, 1)] {
            for (m, output) in outputs.iter().enumerate() {
                let shown = judged.shown(&batch, m, output.clone());
                let shown = shown.slice([set..set + 1, row..row + 1]).reshape([1, 3]);
                let value: f32 = judged.critics.at(m).forward(shown).into_scalar();
                expected += 3.0 / 2.0 * (value - 1.0).powi(2);
            }
        }
        expected /= 2.0 * 3.0;
        assert!((found - expected).abs() < 1e-4 * expected, "{found}, expected {expected}");
    }

    #[test]
    fn a_level_below_its_free_bits_costs_as_much_as_one_at_them() {
        let of = |free_bits: f64, warmup: usize| {
            let warmup = Warmup { epochs: warmup };
            model(MhvaeConfig { free_bits, warmup, ..Default::default() })
        };
        let (plain, mut free) = (of(0.0, 0), of(0.0, 0));
        free.hierarchy = plain.hierarchy.clone();
        free.config.free_bits = 1e4;
        let loss = |model: &Mhvae, epoch| model.loss(&batch(epoch), &mut Noise::seeded(1));
        let term = |loss: &Loss, part: &str| -> f32 {
            let of = loss.terms.iter().filter(|(name, _)| name.starts_with(part));
            of.map(|(_, x)| x.clone().into_scalar::<f32>()).sum()
        };
        let found = loss(&free, 1);
        let expected = term(&found, "reconstruction") + 2e4;
        assert!((total(&found) - expected).abs() < 0.1, "{} {expected}", total(&found));
        // What is reported is the divergence itself.
        assert_eq!(term(&found, "kl_"), term(&loss(&plain, 1), "kl_"));
        let mut growing = plain.clone();
        growing.config.warmup = Warmup { epochs: 4 };
        let found = loss(&growing, 1);
        assert!((total(&found) - term(&found, "reconstruction")).abs() < 1e-4);
        assert_eq!(total(&loss(&growing, 4)), total(&loss(&plain, 4)));
    }

    fn sampled(modalities: usize, sampled: usize) -> Result<Mhvae> {
        let specs: Vec<ModalitySpec> = (0..modalities)
            .map(|m| ModalitySpec::new(&format!("m{m}"), &[2]).expect("valid"))
            .collect();
        let subsets = match sampled {
            0 => SubsetsConfig::default(),
            sampled => SubsetsConfig::Sampled(SampledSubsets { sampled }),
        };
        let config = MhvaeConfig { latent: 2, levels: 2, subsets, ..Default::default() };
        let config = config.with_modalities(&specs)?;
        Ok(init_parameters(config.init(&Networks::default(), &Device::flex().autodiff())?))
    }

    /// Rows of which every second lacks every second modality.
    fn rows(modalities: usize) -> Batch {
        let device = Device::flex().autodiff();
        let mut noise = Noise::seeded(7);
        let values = (0..modalities).map(|_| noise.normal([4, 2], 0, &device));
        let values: Vec<Values> = values.map(Values::Dense).collect();
        let observed = |row: usize| {
            Subset::new((0..modalities).filter(|m| row.is_multiple_of(2) || m.is_multiple_of(2)))
        };
        let observed = (0..4).map(|row| observed(row).expect("not empty")).collect();
        Batch::new(values, Presence::new(observed, modalities, &device)).expect("one size")
    }

    #[test]
    fn the_mean_over_all_draws_of_a_set_is_the_objective_of_all_sets() {
        let (all, one) = (sampled(3, 0).expect("few"), sampled(3, 1).expect("one"));
        let one = Mhvae { hierarchy: all.hierarchy.clone(), ..one };
        let batch = rows(3);
        let expected = total(&all.loss(&batch, &mut Noise::zero()));
        let of = |number: usize| {
            let zeros =
                |features: usize| Draw::Normal(vec![1, 4, features], vec![0.0; 4 * features]);
            let features = one.hierarchy.shapes().iter().rev().map(|s| s.iter().product());
            let draws = [Draw::Choice(vec![number])].into_iter().chain(features.map(zeros));
            total(&one.loss(&batch, &mut Noise::recorded(draws)))
        };
        let found: Vec<f32> = (0..7).map(of).collect();
        assert!(found.iter().any(|x| (x - expected).abs() > 1e-3), "{found:?}");
        let mean = found.iter().sum::<f32>() / 7.0;
        assert!((mean - expected).abs() < 1e-4 * expected.abs(), "{mean}, expected {expected}");
    }

    #[test]
    fn each_set_is_drawn_as_often_as_any_other_and_none_twice() {
        let mut counts = [0_i32; 7];
        for seed in 0..2000 {
            let sets = drawn(3, 2, &mut Noise::seeded(seed));
            assert_eq!(sets.len(), 2);
            for set in sets.iter() {
                counts[Subsets::all(3).position(set).expect("a set")] += 1;
            }
        }
        // 571 of 4000 each; four standard deviations are 81.
        assert!(counts.iter().all(|count| (count - 571).abs() < 81), "{counts:?}");
        assert_eq!(drawn(3, 9, &mut Noise::seeded(0)), Subsets::all(3));
    }

    #[test]
    fn a_batch_that_is_evaluated_draws_the_same_sets_each_time() {
        let (model, batch) = (sampled(5, 2).expect("two"), rows(5));
        let of = |batch: &Batch| total(&model.loss(batch, &mut Noise::of(batch)));
        assert_eq!(of(&batch), of(&batch));
    }

    #[test]
    fn twelve_and_twenty_modalities_learn_from_sets_that_are_drawn() {
        for modalities in [12, 20] {
            let (model, batch) = (sampled(modalities, 3).expect("three"), rows(modalities));
            let step = model.step(&batch, &mut Noise::seeded(1));
            let (loss, gradients) = step.into_gradients(&model);
            assert!(total(&loss).is_finite() && !gradients.is_empty());
        }
        let error = sampled(12, 0).expect_err("4095 sets").to_string();
        assert!(error.contains("{ sampled = n }"), "{error}");
    }

    #[test]
    fn critics_without_an_adversarial_term_are_refused() {
        let name = ModalityName::new("a").expect("valid");
        let critics = [(name, NetworkConfig::mlp())].into();
        let specs = [ModalitySpec::new("a", &[3]).expect("valid")];
        let config = MhvaeConfig { critics, ..MhvaeConfig::default() };
        let error = config.with_modalities(&specs).expect_err("nothing is judged").to_string();
        assert!(error.contains("model.critics") && error.contains("adversarial"), "{error}");
    }
}
