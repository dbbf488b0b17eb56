//! What a model must do.

use burn::{
    module::{Module, ModuleDisplay},
    optim::GradientsParams,
    tensor::{Device, Tensor},
};

use crate::{
    batch::{Batch, Progress},
    modality::{ModalityName, ModalitySpec},
    noise::Noise,
    objective::{Estimate, importance_estimate},
    subset::Subset,
};

/// An objective on a batch.
#[derive(Clone, Debug)]
pub struct Loss {
    /// What is minimised, `[1]`: nats, averaged over the rows of the batch.
    pub total: Tensor<1>,
    /// Parts of it by name, `[1]` each, in the same unit. Their names and number depend on the
    /// stage of the run only: [`MultimodalVae::terms`].
    pub terms: Vec<(String, Tensor<1>)>,
}

impl Loss {
    /// Gradients of the total in the parameters of a model.
    pub fn backward(&self, model: &impl Module) -> GradientsParams {
        GradientsParams::from_grads(self.total.clone().backward(), model)
    }

    /// The same values, from which no gradient comes.
    pub fn detach(self) -> Self {
        let detach = |(name, term): (String, Tensor<1>)| (name, term.detach());
        Self { total: self.total.detach(), terms: self.terms.into_iter().map(detach).collect() }
    }
}

/// The sum of two parts of an objective, term by term.
impl std::ops::Add for Loss {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let terms = self.terms.into_iter().zip(other.terms);
        Self {
            total: self.total + other.total,
            terms: terms.map(|((name, a), (_, b))| (name, a + b)).collect(),
        }
    }
}

/// Values of all latent spaces, for `samples` draws of `batch` rows.
#[derive(Clone, Debug)]
pub struct Latent {
    /// What all modalities share, `[samples, batch, features]` a level. Flat models have one
    /// level; hierarchical ones have several, the first being the one that decoders read.
    pub levels: Vec<Tensor<3>>,
    /// What is private to a modality, `[samples, batch, features]`, in the model's order; empty
    /// for models without private spaces.
    pub private: Vec<(ModalityName, Tensor<3>)>,
    /// Observed values that decoders read beside latent ones, `[samples, batch, features]`; empty
    /// for all but conditional models. See [`MultimodalVae::conditions`].
    pub conditions: Vec<(ModalityName, Tensor<3>)>,
}

impl Latent {
    /// One shared space.
    pub fn shared(z: Tensor<3>) -> Self {
        Self::hierarchy(vec![z])
    }

    /// Several levels of a shared space.
    pub fn hierarchy(levels: Vec<Tensor<3>>) -> Self {
        Self { levels, private: Vec::new(), conditions: Vec::new() }
    }

    /// The same with private spaces.
    pub fn with_private(self, private: Vec<(ModalityName, Tensor<3>)>) -> Self {
        Self { private, ..self }
    }

    /// What is private to a modality.
    pub fn private_of(&self, name: &ModalityName) -> Option<&Tensor<3>> {
        self.private.iter().find(|(n, _)| n == name).map(|(_, z)| z)
    }

    /// Every space with its name: `z`, or `z_1`, `z_2` and so on where there are several levels,
    /// then the private spaces as `z_NAME`.
    pub fn spaces(&self) -> Vec<(String, Tensor<3>)> {
        let one = self.levels.len() == 1;
        let level = |i: usize| if one { "z".to_owned() } else { format!("z_{}", i + 1) };
        let levels = self.levels.iter().enumerate().map(|(i, z)| (level(i), z.clone()));
        let private = self.private.iter().map(|(name, z)| (format!("z_{name}"), z.clone()));
        levels.chain(private).collect()
    }
}

/// Which values of a posterior are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draws {
    /// Its mean, as one sample.
    Mean,
    /// So many samples.
    Samples(usize),
}

impl Draws {
    /// How many values a row.
    pub fn count(self) -> usize {
        match self {
            Self::Mean => 1,
            Self::Samples(n) => n,
        }
    }
}

/// The evidence lower bound of a batch, row by row, with its parts.
#[derive(Clone, Debug)]
pub struct Bound {
    /// `log p(x_m | z)` for one sample `z`, `[batch, modality]`: nats, summed over features, 0
    /// where the modality is missing. Not rescaled.
    pub log_likelihood: Tensor<2>,
    /// Divergences of the posterior from the prior by space or level, `[batch]` each: nats,
    /// summed over latent features. Not weighted.
    pub divergences: Vec<(String, Tensor<1>)>,
}

impl Bound {
    /// The bound, `[batch]`: what is observed, minus all divergences.
    pub fn elbo(&self) -> Tensor<1> {
        let likelihood = self.log_likelihood.clone().sum_dim(1).squeeze_dim(1);
        self.divergences.iter().fold(likelihood, |bound, (_, kl)| bound - kl.clone())
    }
}

/// A log-likelihood to be estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LikelihoodQuery {
    /// The modalities whose density is wanted. Where one is missing it is left out of its row.
    pub targets: Subset,
    /// What is conditioned on.
    pub given: Given,
    /// How much work is done.
    pub budget: Budget,
}

/// What a likelihood is conditioned on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Nothing: the joint likelihood `log p(x_T)`.
    Nothing,
    /// `log p(x_T | x_S) = log p(x_T, x_S) - log p(x_S)`, each estimated by importance sampling:
    /// exact in the limit of many samples.
    Values(Subset),
    /// `log E[p(x_T | z)]` over the model's own `q(z | x_S)`, as MultiVae's `compute_cond_nll`: how
    /// well the model generates the targets. It is the conditional likelihood only as far as
    /// `q(z | x_S)` is the posterior.
    Posterior(Subset),
}

/// How much work an estimate is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Importance samples a row.
    pub samples: usize,
    /// How many latent rows are decoded at once: memory against speed.
    pub max_rows: usize,
}

/// Which part of a run learns what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its name, for logs.
    pub name: String,
    /// Prefixes of the paths of parameters that do not learn in this stage.
    pub frozen: Vec<String>,
    /// Number of epochs; `None` for all that are left.
    pub epochs: Option<usize>,
}

impl Stage {
    /// All epochs, all parameters.
    pub fn whole() -> Self {
        Self { name: "training".into(), frozen: Vec::new(), epochs: None }
    }
}

/// A multimodal variational autoencoder.
///
/// Every method accepts batches with missing modalities, unless
/// [`needs_complete_rows`](Self::needs_complete_rows) says otherwise: what a missing entry holds
/// has no influence on any result or gradient. `S` below is a given subset; a row uses those of
/// its modalities that it observes, and the prior if it observes none.
pub trait MultimodalVae: Module + ModuleDisplay + std::fmt::Display + Sync + 'static {
    /// The modalities, in the order of a batch's values.
    fn modalities(&self) -> &[ModalitySpec];

    /// Names of all terms of [`loss`](Self::loss), in its order, where the run stands so.
    fn terms(&self, progress: Progress) -> Vec<String>;

    /// The objective.
    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss;

    /// The objective, and the gradients that learning follows: those of its total, unless the
    /// model has an estimator of lower variance.
    fn gradients(&self, batch: &Batch, noise: &mut Noise) -> (Loss, GradientsParams) {
        let loss = self.loss(batch, noise);
        let gradients = loss.backward(self);
        (loss, gradients)
    }

    /// Latent values from `q(z | x_S)`, and from the prior for private spaces of modalities that
    /// are not given.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent;

    /// One sample of the prior of all spaces for each of `rows` rows.
    fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent;

    /// Latent values of all shared levels under those of the highest, `[samples, batch, features]`:
    /// each lower level is a sample of its prior given the one above. Flat models have one level.
    fn descend(&self, top: Tensor<3>, _noise: &mut Noise) -> Latent {
        Latent::shared(top)
    }

    /// Parameters of `p(x_m | z)` for the targets in the model's order,
    /// `[samples, batch, features]` each; see [`crate::distribution::Likelihood::mean`].
    fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>>;

    /// `log p(x_m | z)` of one modality, `[samples, batch]`: nats, summed over features, 0 where
    /// the modality is missing. Not rescaled.
    fn log_prob(&self, batch: &Batch, latent: &Latent, modality: usize) -> Tensor<2>;

    /// The evidence lower bound with `q(z | x_S)` as the posterior, on all observed modalities.
    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound;

    /// An estimate of `log p(x_T)` for each row by importance sampling; 0 for rows that observe no
    /// target.
    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate;

    /// An estimate of a log-likelihood for each row.
    fn log_likelihood(
        &self,
        batch: &Batch,
        query: &LikelihoodQuery,
        noise: &mut Noise,
    ) -> Estimate {
        let LikelihoodQuery { targets, given, budget } = *query;
        match given {
            Given::Nothing => self.joint_likelihood(batch, targets, budget, noise),
            Given::Values(given) => {
                let both = self.joint_likelihood(batch, targets.union(given), budget, noise);
                both.minus(self.joint_likelihood(batch, given, budget, noise))
            }
            Given::Posterior(given) => {
                let (rows, device) = (batch.rows(), batch.device());
                importance_estimate(rows, budget, &device, |samples| {
                    let draws = Draws::Samples(samples.len());
                    let latent = self.encode(batch, given, draws, noise);
                    let log_probs = targets.iter().map(|m| self.log_prob(batch, &latent, m));
                    log_probs.reduce(|sum, next| sum + next).expect("a subset is not empty")
                })
            }
        }
    }

    /// The modalities that the model takes as given and does not generate: encoding needs them,
    /// and they are no targets. `None` for all but conditional models.
    fn conditions(&self) -> Option<Subset> {
        None
    }

    /// The modalities that the model generates: all but its [`conditions`](Self::conditions).
    fn generated(&self) -> Subset {
        let all = Subset::full(self.modalities().len());
        match self.conditions() {
            Some(given) => Subset::new(all.iter().filter(|&m| !given.contains(m)))
                .expect("a model generates something"),
            None => all,
        }
    }

    /// Whether the objective is defined for complete rows only.
    fn needs_complete_rows(&self) -> bool {
        false
    }

    /// The stages of training, in order.
    fn stages(&self) -> Vec<Stage> {
        vec![Stage::whole()]
    }
}
