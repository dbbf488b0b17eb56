//! CMVAE: a mixture of experts with private codes and clusters in the shared space.
//!
//! **Paper.** Palumbo, Manduchi, Laguna, Chopard and Vogt, "Deep Generative Clustering with
//! Multimodal Diffusion Variational Autoencoders", ICLR 2024, OpenReview k5THrhXDV3; its diffusion
//! decoders are no part of it here.
//!
//! **Generative process.** `c ~ π`, `u | c` Laplace or normal around the cluster's location,
//! `w_m ~ p(w)`, `x_m ~ p(x_m | u, w_m)`.
//!
//! **Inference.** As MMVAE+; the posterior over clusters is the exact `p(c | u)`.
//!
//! **Objective.** As MMVAE+ with `p(u) = Σ_c π_c p(u | c)`: since the posterior over clusters is
//! exact, the sum over clusters in the paper's bound is this logarithm of a sum:
//!
//! ```text
//! loss = -mean_b 1/n_b Σ_r ln 1/K Σ_k w_rk
//! ln w_rk = λ_r log p(x_r | u_rk, w_rk) + Σ_{m≠r} λ_m log p(x_m | u_rk, w̃_mrk)
//!         + β ( log p(u_rk) + log p(w_rk) - log 1/n_b Σ_m q(u_rk | x_m) - log q(w_rk | x_r) )
//! ```
//!
//! **What differs from MultiVae.** After pruning it cannot be trained or evaluated, goes on with
//! the first clusters and not with those that were kept, and forgets the pruning when it is saved;
//! here a pruned cluster has weight zero in every formula, finite gradients, and its place in the
//! record. It never considers a single cluster, and encodes all data anew for every number of
//! clusters; here one is a candidate, and data is encoded once. Its mean code of several modalities
//! is that of one expert drawn at random; here it is the mean over them. Its private codes in the
//! likelihood come from the auxiliary priors; here from their own posteriors. One draw of an expert
//! a batch, and the value with `dreg`, differ as in MMVAE+.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows, `M` decoder calls of `M K B` rows; one
//! log-sum-exp over `[clusters, M K, B, latent]`.

use burn::{
    module::{Initializer, Module, Param},
    tensor::{Device, Int, Tensor, TensorData, activation},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::{Family, LocationScale},
    mixture::log_sum_exp,
    modality::ModalitySpec,
    model::{Draws, Learn, Loss, Multimodal, Step},
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::{Budget, Estimate, Rescale},
    options,
    subset::Subset,
};
use serde_json::{Value, json};

use crate::{
    blocks::experts::{
        self, Estimator, GenerativePrior, ImportanceWeights, IwaeObjective, PrivateExperts,
        PrivatePrior, SharedPrior, ZeroMeanPrior,
    },
    blocks::{self, ModalityConfig},
    exchange::models::{self as classes, Class},
    registry::Listed,
};

options! {
    /// Configuration of [`Cmvae`].
    pub struct CmvaeConfig {
        /// Clusters of the shared space, at least 1.
        pub clusters: usize = 10,
        /// Features of the shared latent space, at least 1.
        pub latent: usize = 20,
        /// Features of the private space of each modality, at least 1.
        pub private: usize = 10,
        /// Weight of the divergence from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Importance samples a source and row, at least 1.
        pub samples: usize = 10,
        /// Family of priors and posteriors: "normal", "normal_softplus" or "laplace_softmax".
        pub family: Family = Family::LaplaceSoftmax,
        /// Whether the scales of the auxiliary priors are learned.
        pub learned_modality_priors: bool = true,
        /// Where private codes of modalities that are not given come from: "shared" for the prior,
        /// "modality" for the auxiliary prior.
        pub private_prior: PrivatePrior = PrivatePrior::Shared,
        /// How gradients are estimated: "iwae" or "dreg".
        pub estimator: Estimator = Estimator::Dreg,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A clustering mixture-of-experts VAE; see the [module](self).
#[derive(Module, Debug)]
pub struct Cmvae {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    modality_priors: Named<ZeroMeanPrior>,
    /// Location of each cluster, `[1, latent]`.
    cluster_locations: Vec<Param<Tensor<2>>>,
    /// Weights of the clusters before softmax, `[clusters]`; [`PRUNED`] for one that was pruned.
    cluster_logits: Param<Tensor<1>>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: CmvaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

/// Logit of a pruned cluster: its weight is 0 in single precision, and unlike with minus infinity
/// so are its products and gradients.
pub const PRUNED: f32 = -1e30;

/// The clusters of some rows.
#[derive(Clone, Debug)]
pub struct Clusters {
    /// The cluster of each row: that which most of its modalities are in, the first of several;
    /// that of the largest weight for a row without any modality.
    pub labels: Vec<usize>,
    /// `p(c | u_m)` of one sample of each modality, `[modality, cluster, batch]`; 0 where the row
    /// lacks it.
    pub probabilities: Tensor<3>,
    /// `Σ_c p(c | u_m) log(p(u_m | c) p(c) / p(c | u_m))` a latent feature, averaged over the
    /// modalities that a row observes, `[batch]`: `log p(u)` a feature.
    pub log_density: Tensor<1>,
}

/// What a pruning found.
#[derive(Clone, Debug, PartialEq)]
pub struct Pruning {
    /// By number of clusters, from all to one: the score, lower being better.
    pub scores: Vec<(usize, f64)>,
    /// Whether a cluster was kept.
    pub kept: Vec<bool>,
}

impl Listed for CmvaeConfig {
    const CLASS: Option<Class> = Some(classes::CMVAE);

    fn exercise(_specs: &[ModalitySpec]) -> Value {
        json!({ "samples": 4, "private": 2 })
    }
}

impl CmvaeConfig {
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
        blocks::check(self.clusters > 0, "model.clusters", "at least 1", self.clusters)?;
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check(self.private > 0, "model.private", "at least 1", self.private)?;
        blocks::check(self.samples > 0, "model.samples", "at least 1", self.samples)?;
        blocks::check_weight("model.beta", self.beta)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom. The locations
    /// of the clusters start uniform in `[-1, 1)`, their weights equal.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Cmvae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let Self { latent, private, family, .. } = *self;
        let sizes = vec![private; modalities.len()];
        let (encoders, decoders) =
            blocks::networks(&self.modalities, latent, &sizes, networks, device)?;
        let modality_priors = experts::modality_priors(
            &modalities,
            family,
            private,
            self.learned_modality_priors,
            device,
        );
        let uniform = Initializer::Uniform { min: -1.0, max: 1.0 };
        let location = |_| uniform.init([1, latent], device);
        Ok(Cmvae {
            encoders,
            decoders,
            modality_priors,
            cluster_locations: (0..self.clusters).map(location).collect(),
            cluster_logits: Initializer::Zeros.init([self.clusters], device),
            rescale: self.rescale.factors(&modalities),
            modalities,
            config: self.clone(),
        })
    }
}

impl Cmvae {
    fn objective(&self) -> IwaeObjective<'_> {
        let CmvaeConfig { estimator, beta, .. } = self.config;
        IwaeObjective { estimator, beta, rescale: &self.rescale }
    }

    fn experts(&self) -> PrivateExperts<'_> {
        PrivateExperts {
            encoders: &self.encoders,
            decoders: &self.decoders,
            modality_priors: &self.modality_priors,
            modalities: &self.modalities,
            family: self.config.family,
            private_prior: self.config.private_prior,
            prior: self,
        }
    }

    /// The log-weights of `samples` samples of every source that the batch observes, and which
    /// sources a row has, `[source, batch]`.
    pub fn importance_weights(
        &self,
        batch: &Batch,
        samples: usize,
        noise: &mut Noise,
    ) -> (ImportanceWeights, Tensor<2>) {
        self.experts().importance_weights(batch, samples, noise)
    }

    /// `log p(u | c)`, `[cluster, samples, batch]`, of values `[samples, batch, latent]`.
    fn log_given_cluster(&self, u: &Tensor<3>) -> Tensor<3> {
        let family = self.config.family;
        let clusters = self.locations().unsqueeze_dims::<4>(&[1, 1]);
        let clusters = family.with_raw_scale(clusters.clone(), clusters.zeros_like());
        clusters.log_prob(u.clone().unsqueeze_dim::<4>(0))
    }

    /// Locations of the clusters, `[cluster, latent]`.
    fn locations(&self) -> Tensor<2> {
        Tensor::cat(self.cluster_locations.iter().map(Param::val).collect(), 0)
    }

    /// `log π`, `[cluster, 1, 1]`.
    fn log_weights(logits: Tensor<1>) -> Tensor<3> {
        activation::log_softmax(logits, 0).unsqueeze_dims::<3>(&[1, 2])
    }

    /// One sample of the posterior of each modality, and `log p(u | c)` of it,
    /// `[cluster, modality, batch]`.
    fn cluster_densities(&self, batch: &Batch, noise: &mut Noise) -> Tensor<3> {
        let all = Subset::full(self.modalities.len());
        let sources = self.experts().sources(batch, all);
        let u = experts::draw(&sources.shared, 1, noise);
        self.log_given_cluster(&experts::folded(&u))
    }

    /// The clusters of a batch's rows.
    pub fn predict_clusters(&self, batch: &Batch, noise: &mut Noise) -> Clusters {
        let presence = batch.presence().mask().transpose();
        let logits = self.cluster_logits.val();
        let densities = self.cluster_densities(batch, noise);
        let (labels, probabilities, log_density) =
            assign(densities, &presence, logits, self.config.latent);
        Clusters { labels, probabilities: probabilities.swap_dims(0, 1), log_density }
    }

    /// Leaves out the least populated clusters, one after the other, and keeps the number of
    /// clusters of the lowest score: the mean over rows of
    /// `β H(c | u) / ln(clusters) - log p(u) / latent`, averaged over the modalities of a row.
    ///
    /// Source: Palumbo et al. 2024, as MultiVae scores it.
    ///
    /// # Panics
    ///
    /// If there are no batches.
    pub fn prune(
        self,
        batches: impl IntoIterator<Item = Batch>,
        noise: &mut Noise,
    ) -> (Self, Pruning) {
        let (mut densities, mut presence) = (Vec::new(), Vec::new());
        for batch in batches {
            densities.push(self.cluster_densities(&batch, noise).detach());
            presence.push(batch.presence().mask().transpose());
        }
        let (densities, presence) = (Tensor::cat(densities, 2), Tensor::cat(presence, 1));
        let count = self.config.clusters;
        let original: Vec<f32> =
            self.cluster_logits.val().into_data().convert::<f32>().iter().collect();
        let device = densities.device();
        let tensor = |logits: &[f32]| {
            Tensor::<1>::from_data(TensorData::new(logits.to_vec(), [count]), &device)
        };
        let mut logits = original;
        let mut best: Option<(f64, Vec<f32>)> = None;
        let mut scores = Vec::new();
        loop {
            let left: Vec<usize> = (0..count).filter(|&c| logits[c] > PRUNED / 2.0).collect();
            let (labels, probabilities, log_density) =
                assign(densities.clone(), &presence, tensor(&logits), self.config.latent);
            let score = score(probabilities, &presence, log_density, left.len(), self.config.beta);
            scores.push((left.len(), score));
            if best.as_ref().is_none_or(|(lowest, _)| score < *lowest) {
                best = Some((score, logits.clone()));
            }
            if left.len() == 1 {
                break;
            }
            let members = |c: usize| labels.iter().filter(|&&label| label == c).count();
            let least =
                left.into_iter().min_by_key(|&c| members(c)).expect("more than one is left");
            logits[least] = PRUNED;
        }
        let (_, logits) = best.expect("all clusters were scored");
        let kept = logits.iter().map(|&logit| logit > PRUNED / 2.0).collect();
        let cluster_logits = self.cluster_logits.clone().map(|old| {
            let data = TensorData::new(logits.clone(), [count]);
            Tensor::from_data(data, &old.device()).set_require_grad(old.is_require_grad())
        });
        (Self { cluster_logits, ..self }, Pruning { scores, kept })
    }
}

/// Labels, `p(c | u)` `[cluster, modality, batch]` and the density a feature `[batch]`, of
/// `log p(u | c)` `[cluster, modality, batch]` where `presence` `[modality, batch]` is 1.
fn assign(
    densities: Tensor<3>,
    presence: &Tensor<2>,
    logits: Tensor<1>,
    latent: usize,
) -> (Vec<usize>, Tensor<3>, Tensor<1>) {
    let log_joint = densities + Cmvae::log_weights(logits.clone());
    let probabilities = activation::softmax(log_joint.clone(), 0);
    let [count, modalities, rows] = probabilities.dims();
    let log_density = log_sum_exp(log_joint, 0).squeeze_dim::<2>(0) / latent as f64;
    let observed = presence.clone().sum_dim(0).clamp_min(1.0);
    let log_density = ((log_density * presence.clone()).sum_dim(0) / observed).squeeze_dim(0);
    // Votes of the modalities, and less than a vote for the weight of the cluster.
    let choice: Tensor<2, Int> = probabilities.clone().argmax(0).squeeze_dim(0);
    let clusters = Tensor::<1, Int>::arange(0..count as i64, &choice.device());
    let votes = choice
        .unsqueeze_dim::<3>(0)
        .expand([count, modalities, rows])
        .equal(clusters.reshape([count, 1, 1]).expand([count, modalities, rows]))
        .float()
        * presence.clone().unsqueeze_dim(0);
    let votes: Tensor<2> = votes.sum_dim(1).squeeze_dim(1);
    let none = presence.clone().sum_dim(0).equal_scalar(0.0).float();
    let weights = activation::softmax(logits, 0).reshape([count, 1]);
    let labels = (votes + weights * none).argmax(0);
    let labels = labels.into_data().iter::<i64>().map(|label| label as usize).collect();
    (labels, probabilities * presence.clone().unsqueeze_dim(0), log_density)
}

/// The score of a number of clusters; see [`Cmvae::prune`].
fn score(
    probabilities: Tensor<3>,
    presence: &Tensor<2>,
    log_density: Tensor<1>,
    clusters: usize,
    beta: f64,
) -> f64 {
    let log = probabilities.clone().clamp_min(f32::MIN_POSITIVE).log();
    let entropy = (probabilities * log).sum_dim(0).squeeze_dim::<2>(0).neg();
    let observed = presence.clone().sum_dim(0).clamp_min(1.0);
    let entropy = ((entropy * presence.clone()).sum_dim(0) / observed).squeeze_dim::<1>(0);
    let largest = if clusters > 1 { (clusters as f64).ln() } else { 1.0 };
    let score = entropy * (beta / largest) - log_density;
    f64::from(score.mean().into_scalar::<f32>())
}

impl SharedPrior for Cmvae {
    fn log_prob(&self, shared: &Tensor<3>) -> Tensor<2> {
        let log_weights = Self::log_weights(self.cluster_logits.val());
        log_sum_exp(self.log_given_cluster(shared) + log_weights, 0).squeeze_dim(0)
    }

    /// For [`Draws::Mean`], the location of a cluster that is drawn.
    fn draw(&self, draws: Draws, rows: usize, device: &Device, noise: &mut Noise) -> Tensor<3> {
        let samples = draws.count();
        let weights = activation::softmax(self.cluster_logits.val(), 0);
        let weights: Vec<f64> = weights.into_data().iter::<f64>().collect();
        let chosen = noise.categorical(&vec![weights; rows], samples);
        let chosen: Vec<i64> = chosen.into_iter().map(|c| c as i64).collect();
        let chosen = TensorData::new(chosen, [samples * rows]);
        let chosen = Tensor::<1, Int>::from_data(chosen, device);
        let latent = self.config.latent;
        let location = self.locations().select(0, chosen).reshape([samples, rows, latent]);
        match draws {
            Draws::Mean => location,
            Draws::Samples(_) => {
                let family = self.config.family;
                let around = family.with_raw_scale(location.clone(), location.zeros_like());
                around.rsample(family.noise([samples, rows, latent], 1, device, noise))
            }
        }
    }
}

impl GenerativePrior for Cmvae {
    fn private(&self, device: &Device) -> LocationScale<3> {
        self.config.family.standard([1, 1, self.config.private], device)
    }
}

impl Multimodal for Cmvae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Cmvae {
    fn terms(&self, _: Progress) -> Vec<String> {
        experts::terms(self)
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let (weights, sources) = self.importance_weights(batch, self.config.samples, noise);
        self.objective().loss(self.terms(batch.progress), &weights, &sources)
    }

    fn step(&self, batch: &Batch, noise: &mut Noise) -> Step {
        let samples = self.config.samples;
        self.experts().step(self, &self.objective(), batch, samples, noise)
    }
}

experts::private_experts!(Cmvae);
