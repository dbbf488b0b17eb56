#![doc = include_str!("../README.md")]
//!
//! ## How it is made
//!
//! burn-train has the loop, the optimisers, several devices and a dashboard. What it lacks for
//! long runs that must be repeatable is here: an order of rows and a noise that derive from the
//! seed, checkpoints that are whole or absent, a history that strategies ask instead of
//! remembering, named terms that are checked in every step, stages and phases.
//!
//! | module | holds |
//! |---|---|
//! | `config` | the settings of a run, and their TOML with comments |
//! | `trainer` | runs: stage after stage, resuming |
//! | `preflight` | what is checked before anything is written |
//! | `plan` | stages and phases: epochs, parameters, optimisers, names of terms |
//! | `launch` | one launch of burn-train |
//! | `rows` | the loader: batches in an order that derives from (seed, epoch) |
//! | `fit` | a model as burn-train wants it: steps, clipping, values that are not finite |
//! | `terms`, `schedule` | loss terms as metrics, the learning rate of each step |
//! | `checkpoint` | checkpoints |
//! | `history`, `logger` | what was measured, and how burn-train writes it |
//! | `epoch` | what happens after an epoch: checkpoint, callback, early stopping |
//! | `observer`, `json_lines` | what a run tells while it goes on |
//! | `track` | runs followed by TensorBoard and MLflow |
//! | `renderer` | what burn-train tells of its progress |
//! | `collective` | ranks that make the steps of one run together |
//! | `launcher` | whether this process is one of several; `mpi` joins them |
//! | `context` | what the parts of a launch share |

mod checkpoint;
mod collective;
mod config;
mod context;
mod epoch;
mod error;
mod fit;
mod generator;
mod history;
mod json_lines;
mod launch;
mod launcher;
mod logger;
#[cfg(feature = "mpi")]
mod mpi;
mod names;
mod observer;
mod plan;
mod preflight;
mod renderer;
mod rows;
mod schedule;
mod split;
mod terms;
mod track;
mod trainer;

pub use checkpoint::{Checkpoint, latest_intact, save_weights};
pub use collective::{Alone, Collective, Threads, agree};
pub use config::{
    Adam, AdamW, ClipConfig, ClipNorm, ClipValue, Constant, Cosine, EarlyStopping, Exponential,
    Linear, NoClip, NonFinite, OptimizerConfig, PhaseConfig, RmsProp, ScheduleConfig, Sgd, Steps,
    TrainConfig,
};
pub use context::Interrupt;
pub use epoch::OnEpoch;
pub use error::{Result, TrainError};
pub use generator::alone;
pub use history::History;
pub use json_lines::JsonLines;
pub use launcher::{check_single, join};
pub use multivae_kernels::Precision;
pub use names::LOSS;
pub use observer::{
    Artifact, Content, EpochSummary, Exhibit, Exhibits, Observed, Observer, RunEnd, RunInfo,
    StepInfo, Stopped,
};
pub use split::Split;
pub use track::Track;
pub use trainer::{Fitted, Trainer, load_best};

/// What a panic says.
fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".into())
}
