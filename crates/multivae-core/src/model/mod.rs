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
