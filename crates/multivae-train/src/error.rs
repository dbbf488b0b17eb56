//! What can go wrong in a run.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

use crate::split::Split;

/// A result whose error is [`TrainError`].
pub type Result<T, E = TrainError> = std::result::Result<T, E>;

/// Why a run could not start, go on or be read back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A loss term, or the norm of the gradient, is not a finite number.
    #[error("`{term}` is {value} in epoch {epoch}, {split} step {step}")]
    NotFinite {
        /// Name of the term, as [`terms`](multivae_core::model::Learn::terms) has it;
        /// `loss` for the total and `gradient` for the norm of the gradient.
        term: String,
        /// The modality that the term's name ends with, if any.
        modality: Option<String>,
        /// Whether it was found in training or in validation.
        split: Split,
        /// The epoch, from 1.
        epoch: usize,
        /// The step within the epoch, from 1.
        step: usize,
        /// What was found.
        value: f64,
    },
    /// Rows could not be read.
    #[error("rows cannot be read: {0}")]
    Data(#[source] Box<dyn Error + Send + Sync>),
    /// A checkpoint could not be written, or what was read is not one.
    #[error("checkpoint `{}`: {reason}{}", .path.display(), offer(.previous.as_deref()))]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The newest other checkpoint that is intact.
        previous: Option<PathBuf>,
    },
    /// A setting is out of its range, or contradicts the data, the model or the run so far.
    #[error("`{field}`: expected {expected}, found {found}")]
    Config {
        /// The setting.
        field: String,
        /// What is possible.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A new run was to start where another has left its checkpoints.
    #[error(
        "`{}` holds the checkpoints of another run; resume it, or choose another directory",
        .0.display()
    )]
    Occupied(PathBuf),
    /// Another run is at work in the directory.
    #[error("another run is at work in `{}`", .0.display())]
    Busy(PathBuf),
    /// A file other than a checkpoint could not be read or written.
    #[error("`{}`: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A model reports other terms than it declares.
    #[error("the model declares the terms {expected:?} and reports {found:?}")]
    Terms {
        /// Names from [`terms`](multivae_core::model::Learn::terms).
        expected: Vec<String>,
        /// Names from [`loss`](multivae_core::model::Learn::loss).
        found: Vec<String>,
    },
    /// Another of the processes that make the steps of the run together cannot go on.
    #[error("rank {rank} cannot go on: {reason}")]
    Rank {
        /// Which one, from 0.
        rank: usize,
        /// Why.
        reason: String,
    },
    /// The weights of the processes that make the steps of the run together are no longer the same.
    #[error(
        "the weights of rank {rank} are not those of rank 0 after epoch {epoch}: all processes must \
         run the same program on processors of the same kind; `--resume` goes on from the last \
         checkpoint"
    )]
    Apart {
        /// The first whose weights differ, from 0.
        rank: usize,
        /// The epoch, from 1.
        epoch: usize,
    },
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
    /// A step or a thread of training panicked.
    #[error("training panicked: {0}")]
    Panic(String),
    /// The caller's function after an epoch failed.
    #[error("the callback after epoch {epoch} failed: {source}")]
    Callback {
        /// The epoch.
        epoch: usize,
        /// What the function returned.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl TrainError {
    pub(crate) fn config(
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Self {
        Self::Config { field: field.into(), expected: expected.into(), found: found.to_string() }
    }

    /// Whether all ranks of the run have come to it: nobody has to be told.
    pub(crate) fn is_of_all(&self) -> bool {
        matches!(self, Self::NotFinite { .. } | Self::Rank { .. } | Self::Apart { .. })
    }

    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}

fn offer(previous: Option<&Path>) -> String {
    match previous {
        Some(path) => format!(
            "; `{}` is intact: move the damaged file away and resume to go on from it",
            path.display()
        ),
        None => String::new(),
    }
}
