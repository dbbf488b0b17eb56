//! What a model can do.
//!
//! A model is a set of capabilities, each a trait without generics, so that whoever needs one takes
//! a `&dyn` of it:
//!
//! | trait | who asks | what it gives |
//! |---|---|---|
//! | [`Learn`] | trainers | stages and phases, terms, objective, step |
//! | [`Encode`] | encoding, probes, clustering, samplers | latent values of rows |
//! | [`Generate`] | generation, coherence, imputation | the prior, decodings |
//! | [`Density`] | bounds, likelihoods | log-densities of values |
//!
//! [`MultimodalModel`] says which of them a model has. A model with all of them implements the four
//! traits and nothing else; one that lacks some, such as an adversarial autoencoder without a
//! density, implements [`MultimodalModel`] by hand and gives the reason.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use multivae_core::{
//!     batch::{Batch, Presence, Progress, Values},
//!     distribution::Normal,
//!     modality::ModalitySpec,
//!     model::{
//!         Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal,
//!         MultimodalModel,
//!     },
//!     noise::Noise,
//!     objective::{Budget, Estimate, importance_estimate, log_prior_ratio},
//!     subset::Subset,
//! };
//!
//! /// `z ~ N(0, 1)`, and each modality is one number `x_m ~ N(z, 1)`.
//! struct Numbers(Vec<ModalitySpec>);
//!
//! impl Numbers {
//!     /// The posterior `N(Σ x / (1 + n), 1 / (1 + n))` of `n` observed numbers, `[1, batch, 1]`.
//!     fn posterior(&self, batch: &Batch, given: Subset) -> Normal<3> {
//!         let zeros = Tensor::<2>::zeros([batch.rows(), 1], &batch.device());
//!         let (mut sum, mut n) = (zeros.clone(), zeros);
//!         for m in given.iter() {
//!             sum = sum + batch.observed(m).dense().expect("numbers").clone();
//!             n = n + batch.presence().of(m).unsqueeze_dim(1);
//!         }
//!         Normal::new(sum / (n.clone() + 1.0), (n + 1.0).log().neg()).map(|x| x.unsqueeze_dim(0))
//!     }
//!
//!     fn draw(&self, posterior: &Normal<3>, draws: usize, noise: &mut Noise) -> Tensor<3> {
//!         let [_, rows, latent] = posterior.mean.dims();
//!         posterior.rsample(noise.normal([draws, rows, latent], 1, &posterior.mean.device()))
//!     }
//! }
//!
//! impl Multimodal for Numbers {
//!     fn modalities(&self) -> &[ModalitySpec] {
//!         &self.0
//!     }
//! }
//!
//! impl Encode for Numbers {
//!     fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
//!         let posterior = self.posterior(batch, given);
//!         Latent::shared(match draws {
//!             Draws::Mean => posterior.mean,
//!             Draws::Samples(n) => self.draw(&posterior, n, noise),
//!         })
//!     }
//! }
//!
//! impl Generate for Numbers {
//!     fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
//!         Latent::shared(noise.normal([1, rows, 1], 1, device))
//!     }
//!
//!     fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
//!         targets.iter().map(|_| latent.z()).collect()
//!     }
//! }
//!
//! impl Density for Numbers {
//!     fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
//!         let posterior = self.posterior(batch, given);
//!         let latent = Latent::shared(self.draw(&posterior, 1, noise));
//!         let log_probs = (0..self.0.len()).map(|m| self.log_prob(batch, &latent, m));
//!         let kl: Tensor<2> = posterior.kl(&Normal::standard_like(&posterior.mean));
//!         Bound {
//!             log_likelihood: Tensor::cat(log_probs.collect(), 0).transpose(),
//!             divergences: vec![("z".into(), kl.squeeze_dim(0))],
//!         }
//!     }
//!
//!     fn joint_likelihood(
//!         &self,
//!         batch: &Batch,
//!         targets: Subset,
//!         budget: Budget,
//!         noise: &mut Noise,
//!     ) -> Estimate {
//!         let posterior = self.posterior(batch, targets);
//!         importance_estimate(batch.rows(), budget, &batch.device(), |samples| {
//!             let z = self.draw(&posterior, samples.len(), noise);
//!             let ratio = log_prior_ratio(&z, &posterior);
//!             let latent = Latent::shared(z);
//!             targets.iter().fold(ratio, |sum, m| sum + self.log_prob(batch, &latent, m))
//!         })
//!     }
//! }
//!
//! impl Learn for Numbers {
//!     fn terms(&self, _: Progress) -> Vec<String> {
//!         vec!["kl".into()]
//!     }
//!
//!     fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
//!         let bound = self.bound(batch, Subset::full(self.0.len()), noise);
//!         let kl = bound.divergences[0].1.clone().mean();
//!         Loss { total: bound.elbo().mean().neg(), terms: vec![("kl".into(), kl)] }
//!     }
//! }
//!
//! // The four traits make it a model, whose capabilities are asked for as trait objects.
//! let model: &dyn MultimodalModel =
//!     &Numbers(vec![ModalitySpec::new("a", &[1])?, ModalitySpec::new("b", &[1])?]);
//! let (generator, density) = (model.generator().expect("decodes"), model.density().expect("has one"));
//!
//! let device = Device::flex();
//! let (a, b) = (Subset::single(0), Subset::single(1));
//! let values = [[[3.0], [2.0]], [[3.0], [f32::NAN]]].map(|x| Tensor::<2>::from_floats(x, &device));
//! // The second row lacks `b`.
//! let presence = Presence::new(vec![Subset::full(2), a], 2, &device);
//! let batch = Batch::new(values.map(Values::Dense).into(), presence)?;
//! let noise = &mut Noise::seeded(0);
//!
//! // `Encode` and `Generate`: `b` from all that a row observes, Σ x / (1 + n).
//! let latent = generator.encode(&batch, Subset::full(2), Draws::Mean, noise);
//! assert_eq!(latent.dims(), [1, 2]);
//! let generated = &generator.decode(&latent, b)[0];
//! let numbers: Vec<f32> = generated.clone().into_data().try_into_vec().expect("floats");
//! assert_eq!(numbers, [2.0, 1.0]);
//!
//! // `Density`: log N(a | 0, 2). The proposal is the posterior, so that one sample says it all.
//! let budget = Budget { samples: 1, max_rows: 100 };
//! let estimate = density.joint_likelihood(&batch, a, budget, noise);
//! let found: Vec<f32> = estimate.log_likelihood.into_data().try_into_vec().expect("floats");
//! for (x, found) in [3.0_f32, 2.0].into_iter().zip(found) {
//!     let expected = -x * x / 4.0 - 0.5 * (4.0 * std::f32::consts::PI).ln();
//!     assert!((found - expected).abs() < 1e-5, "{found} {expected}");
//! }
//! // The bound counts what is observed only, and lies below the likelihood.
//! let bound = density.bound(&batch, Subset::full(2), &mut Noise::zero());
//! assert_eq!(bound.log_likelihood.dims(), [2, 2]);
//! assert_eq!(bound.log_likelihood.slice([1..2, 1..2]).into_scalar::<f32>(), 0.0);
//! // `Learn`: terms have the names that were announced.
//! let loss = model.learner().loss(&batch, noise);
//! assert_eq!(loss.terms[0].0, model.learner().terms(batch.progress)[0]);
//! # Ok::<(), multivae_core::Error>(())
//! ```

mod custom;
mod density;
mod encode;
mod generate;
mod latent;
mod learn;

pub use custom::{CustomModel, DynModel};
pub use density::{Bound, Density, Given, LikelihoodQuery};
pub use encode::{Draws, Encode};
pub use generate::Generate;
pub use latent::{Latent, Space};
pub use learn::{Learn, Loss, Phase, Rows, Stage, Step};

use std::fmt;

use burn::module::{Module, ModuleDisplay};

use crate::modality::ModalitySpec;

/// Something about several modalities.
pub trait Multimodal: Send + Sync {
    /// The modalities, in the order of a batch's values.
    fn modalities(&self) -> &[ModalitySpec];
}

/// A model, whatever it can do.
pub trait MultimodalModel: Multimodal {
    /// How it learns.
    fn learner(&self) -> &dyn Learn;

    /// How it encodes.
    ///
    /// # Errors
    ///
    /// [`Lacks`], with the reason, if it does not.
    fn encoder(&self) -> Result<&dyn Encode, Lacks> {
        Err(Lacks::new(Capability::Encoder, "it has no latent values"))
    }

    /// How it generates.
    ///
    /// # Errors
    ///
    /// [`Lacks`], with the reason, if it does not.
    fn generator(&self) -> Result<&dyn Generate, Lacks> {
        Err(Lacks::new(Capability::Generator, "it has no decoders"))
    }

    /// Which densities it has.
    ///
    /// # Errors
    ///
    /// [`Lacks`], with the reason, if it has none.
    fn density(&self) -> Result<&dyn Density, Lacks> {
        Err(Lacks::new(Capability::Density, "its objective is no bound of a likelihood"))
    }
}

impl<T: Learn + Density> MultimodalModel for T {
    fn learner(&self) -> &dyn Learn {
        self
    }

    fn encoder(&self) -> Result<&dyn Encode, Lacks> {
        Ok(self)
    }

    fn generator(&self) -> Result<&dyn Generate, Lacks> {
        Ok(self)
    }

    fn density(&self) -> Result<&dyn Density, Lacks> {
        Ok(self)
    }
}

/// A capability that a model may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// [`Encode`].
    Encoder,
    /// [`Generate`].
    Generator,
    /// [`Density`].
    Density,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoder => "does not encode",
            Self::Generator => "does not generate",
            Self::Density => "has no density",
        })
    }
}

/// Why something cannot be asked of a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model {capability}: {reason}")]
pub struct Lacks {
    /// What it lacks.
    pub capability: Capability,
    /// Why, as the second half of a sentence.
    pub reason: String,
}

impl Lacks {
    /// A capability with the reason for its absence.
    pub fn new(capability: Capability, reason: impl Into<String>) -> Self {
        Self { capability, reason: reason.into() }
    }
}

/// A model that a trainer can hold: a Burn module that says what it can do.
///
/// Implemented for every type that fulfils it.
pub trait TrainableModel:
    MultimodalModel + Module + ModuleDisplay + fmt::Display + Sync + 'static
{
}

impl<T: MultimodalModel + Module + ModuleDisplay + fmt::Display + Sync + 'static> TrainableModel
    for T
{
}
