//! What can go wrong.

use std::path::{Path, PathBuf};

use multivae_core::{model::Generate, pass::PassError};

/// A result whose error is [`SamplerError`].
pub type Result<T, E = SamplerError> = std::result::Result<T, E>;

/// Why nothing can be fitted, sampled, written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SamplerError {
    /// The model generates from values that a sampler does not have.
    #[error("a conditional model has no prior of its own: it generates from {conditions}")]
    Conditional {
        /// The modalities that it takes as given.
        conditions: String,
    },
    /// A setting is out of its range.
    #[error(transparent)]
    Config(#[from] multivae_core::Error),
    /// Rows cannot be encoded.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// There are too few rows to fit anything.
    #[error("expected at least {needed} rows to fit a sampler, found {found}")]
    Rows {
        /// The fewest that will do.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// A number is infinite or none.
    #[error("{what} is not finite")]
    NotFinite {
        /// What it is.
        what: String,
    },
    /// The sampler was fitted to a model with other latent spaces.
    #[error(
        "the sampler is of another model: expected {expected}, as the model has it; found {found}"
    )]
    Model {
        /// The model's modalities and latent spaces.
        expected: String,
        /// Those of the sampler.
        found: String,
    },
    /// A file cannot be read or is no sampler.
    #[error("sampler `{}`: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A sampler cannot be written.
    #[error("sampler `{}` cannot be written: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl SamplerError {
    /// Refuses conditional models.
    pub(crate) fn of_conditions(model: &dyn Generate) -> Result<()> {
        let Some(conditions) = model.conditions() else { return Ok(()) };
        let names: Vec<String> =
            conditions.iter().map(|m| format!("`{}`", model.modalities()[m].name)).collect();
        Err(Self::Conditional { conditions: names.join(", ") })
    }

    pub(crate) fn file(path: &Path, reason: impl ToString) -> Self {
        Self::File { path: path.into(), reason: reason.to_string() }
    }

    pub(crate) fn write(path: &Path, reason: impl ToString) -> Self {
        Self::Write { path: path.into(), reason: reason.to_string() }
    }
}
