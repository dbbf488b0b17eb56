//! Training of multimodal VAEs on burn-train, with exact resume.
//!
//! burn-train has the loop, the optimisers, several devices and a dashboard. What it lacks for
//! long runs that must be repeatable is here: an order of rows and a noise that derive from the
//! seed, checkpoints that are whole or absent, a history that strategies ask instead of
//! remembering, named terms that are checked in every step, and stages.
//!
//! ```no_run
//! use std::{path::Path, sync::Arc};
//! use multivae_core::{dataset::Dataset, model::TrainableModel};
//! use multivae_train::{TrainConfig, TrainError, Trainer};
//!
//! fn train<M: TrainableModel>(
//!     model: M,
//!     train: Arc<dyn Dataset>,
//!     valid: Arc<dyn Dataset>,
//! ) -> Result<M, TrainError> {
//!     let config = TrainConfig { epochs: 20, ..TrainConfig::default() };
//!     let fitted = Trainer::new(config, Path::new("runs/first")).fit(model, train, valid)?;
//!     // The weights of the epoch with the lowest validation loss.
//!     Ok(fitted.model)
//! }
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `config` | the settings of a run, and their TOML with comments |
//! | `trainer` | runs: stages, launches of burn-train, resuming |
//! | `rows` | the loader: batches in an order that derives from (seed, epoch) |
//! | `fit` | a model as burn-train wants it: steps, clipping, values that are not finite |
//! | `vault` | checkpoints |
//! | `history` | what was measured |
//! | `epoch` | what happens after an epoch: checkpoint, callback, early stopping |
//! | `report` | what a run tells while it goes on |

mod config;
mod context;
mod epoch;
mod error;
mod fit;
mod history;
mod report;
mod rows;
mod schedule;
mod terms;
mod trainer;
mod vault;

pub use config::{
    Adam, AdamW, ClipConfig, ClipNorm, ClipValue, Constant, Cosine, EarlyStopping, Exponential,
    Linear, NoClip, NonFinite, OptimizerConfig, RmsProp, ScheduleConfig, Sgd, Steps, TrainConfig,
};
pub use context::Interrupt;
pub use epoch::OnEpoch;
pub use error::{Result, TrainError};
pub use history::{History, Split};
pub use report::{Display, Report, Summary};
pub use terms::LOSS;
pub use trainer::{Fitted, Stopped, Trainer, load_best};
pub use vault::{Checkpoint, latest_intact, save_weights};

/// What a panic says.
fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".into())
}
