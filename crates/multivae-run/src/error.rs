//! What can go wrong with runs and bundles.

use std::{error::Error, io, path::PathBuf};

use multivae_core::{dataset::DatasetError, model::Lacks, pass::PassError};
use multivae_data::DataError;
use multivae_models::exchange::ExchangeError;

/// A result whose error is [`RunError`].
pub type Result<T, E = RunError> = std::result::Result<T, E>;

/// Why a configuration, a run or a bundle cannot be read, used or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No model of the list has this name.
    #[error("unknown model `{name}`; there are {known}")]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// A configuration that cannot be understood, or is of a newer program.
    #[error("{origin}: {reason}")]
    Config {
        /// Where it comes from, such as "configuration `run.toml`".
        origin: String,
        /// The field, what was expected and what was found.
        reason: String,
    },
    /// A setting such as `train.epochs=3` that cannot be put into a table.
    #[error("setting `{setting}`: {reason}")]
    Setting {
        /// The setting, or its key.
        setting: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder that is not the folder of a run.
    #[error("`{}` is not the folder of a run: it has no {missing}", .folder.display())]
    NoRun {
        /// The folder.
        folder: PathBuf,
        /// The file that it lacks.
        missing: &'static str,
    },
    /// A run without data of its own was asked for rows.
    #[error("the run `{}` was imported and has no data of its own", .folder.display())]
    NoData {
        /// The folder of the run.
        folder: PathBuf,
    },
    /// The data of a run is not where it was.
    #[error("the data of the run `{}` is not at `{source_path}` any more", .folder.display())]
    Moved {
        /// The folder of the run.
        folder: PathBuf,
        /// Where the data was.
        source_path: String,
    },
    /// Columns of new data cannot be told apart, since the run has kept no names of its own.
    #[error(
        "the run `{}` was made by an earlier program and has kept no names of columns: columns \
         that new data lacks cannot be masked; train it again, or give data with all columns",
        .folder.display()
    )]
    NoColumns {
        /// The folder of the run.
        folder: PathBuf,
    },
    /// A pass through rows that ended early.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// Data without a row that can be used.
    #[error("{what} has no rows")]
    NoRows {
        /// The data.
        what: String,
    },
    /// No row has all that was asked for.
    #[error("no row observes `{wanted}`")]
    Unobserved {
        /// The modalities.
        wanted: String,
    },
    /// Data with a modality that the model does not have.
    #[error("the data has the modality `{name}`, and the model has {known}")]
    Modality {
        /// The modality.
        name: String,
        /// Those of the model.
        known: String,
    },
    /// A conditional model was not given what it generates from.
    #[error("`{model}` generates from `{needed}`, which has to be given; found `{given}`")]
    Given {
        /// The model.
        model: String,
        /// The modalities given.
        given: String,
        /// Those that have to be.
        needed: String,
    },
    /// Modalities that a model does not generate.
    #[error("`{model}` generates `{generated}` only; found `{targets}`")]
    Targets {
        /// The model.
        model: String,
        /// The modalities asked for.
        targets: String,
        /// Those that can be generated.
        generated: String,
    },
    /// A file of a bundle that is missing, damaged, foreign or newer.
    #[error("`{file}`: {reason}")]
    Bundle {
        /// The file.
        file: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// Weights that are not those of the model that is described beside them.
    #[error("`{file}`: {source}")]
    Weights {
        /// The file.
        file: String,
        /// What does not fit.
        source: ExchangeError,
    },
    /// The weights of a model cannot be given the names of PyTorch, or not be read.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// A hub that has not what was asked for, does not allow it, or answers something else.
    #[error("{place}: {reason}")]
    Hub {
        /// Repository, revision and file.
        place: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A hub that does not answer, or fails.
    #[error("{place}: {reason}")]
    Unreachable {
        /// Repository, revision and file.
        place: String,
        /// What it says.
        reason: String,
    },
    /// A place that holds something.
    #[error("{what}: {instead}")]
    Occupied {
        /// The place and what is there.
        what: String,
        /// What to do.
        instead: String,
    },
    /// The operating system refused.
    #[error("`{}` cannot be read: {cause}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file or folder could not be written; nothing of it is left.
    #[error("`{}` cannot be written: {cause}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// Rows cannot be read.
    #[error("rows cannot be read: {0}")]
    Rows(#[source] DatasetError),
    /// A model, a network or a batch cannot be built.
    #[error(transparent)]
    Core(#[from] multivae_core::Error),
    /// The model cannot do what is asked for.
    #[error(transparent)]
    Lacks(#[from] Lacks),
    /// Data or its standardisation cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Settings of the training or a checkpoint cannot be used.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Train(#[from] multivae_train::TrainError),
}

impl RunError {
    pub(crate) fn config(origin: impl Into<String>, reason: impl ToString) -> Self {
        Self::Config { origin: origin.into(), reason: reason.to_string() }
    }

    pub(crate) fn bundle(file: impl Into<String>, reason: impl ToString) -> Self {
        Self::Bundle { file: file.into(), reason: reason.to_string() }
    }

    #[cfg(feature = "hub")]
    pub(crate) fn hub(place: impl Into<String>, reason: impl ToString) -> Self {
        Self::Hub { place: place.into(), reason: reason.to_string() }
    }

    #[cfg(feature = "hub")]
    pub(crate) fn unreachable(place: impl Into<String>, reason: impl ToString) -> Self {
        Self::Unreachable { place: place.into(), reason: reason.to_string() }
    }

    pub(crate) fn setting(setting: &str, reason: impl ToString) -> Self {
        Self::Setting { setting: setting.to_owned(), reason: reason.to_string() }
    }
}
