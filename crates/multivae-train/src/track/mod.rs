//! Runs followed by other programs: TensorBoard and MLflow.
//!
//! A tracker has a thread of its own and a bounded queue, so that one that is slow or out of reach
//! costs the run nothing. It is told of what happens, and takes what it has missed from
//! `metrics.jsonl`: an epoch is sent once all before it were, in whichever run of the program. What
//! a tracker already has it says itself when a run goes on, so that no step is sent twice.
//!
//! | file | holds |
//! |---|---|
//! | `follower` | the observer, its queue and its thread |
//! | `tensorboard` | event files in the run's folder |
//! | `records` | their records and messages |
//! | `mlflow` | a server of MLflow, over HTTP |
//! | `server` | requests, and why they fail |

mod follower;
#[cfg(feature = "mlflow")]
mod mlflow;
mod records;
#[cfg(feature = "mlflow")]
mod server;
mod tensorboard;

use std::{error::Error, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::follower::Follower;
use crate::{
    Result, TrainError,
    observer::{Exhibit, RunInfo, Stopped},
};

/// Who follows a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Track {
    /// Event files in the folder `tensorboard` of the run, for TensorBoard.
    Tensorboard,
    /// A server of MLflow, at `MLFLOW_TRACKING_URI`. It needs the feature `mlflow`.
    Mlflow,
}

impl Track {
    /// Its name in a configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tensorboard => "tensorboard",
            Self::Mlflow => "mlflow",
        }
    }

    /// # Errors
    ///
    /// [`TrainError::Config`] for a tracker that this program was built without.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Mlflow if cfg!(not(feature = "mlflow")) => {
                let expected = "trackers that this program was built with, without MLflow";
                Err(TrainError::config("track", expected, self.name()))
            }
            _ => Ok(()),
        }
    }

    /// The observer of a run.
    pub(crate) fn follower(self) -> Follower {
        match self {
            Self::Tensorboard => {
                Follower::new(self.name(), Box::<tensorboard::EventFile>::default())
            }
            #[cfg(feature = "mlflow")]
            Self::Mlflow => Follower::new(self.name(), Box::<mlflow::Client>::default()),
            #[cfg(not(feature = "mlflow"))]
            Self::Mlflow => unreachable!("it is refused before a run begins"),
        }
    }
}

/// Why a tracker did not take something.
type Failure = Box<dyn Error + Send + Sync>;

/// An epoch as a tracker gets it.
#[derive(Clone, Debug, PartialEq)]
struct Point {
    epoch: usize,
    /// Names and values: `train/loss`, .., `valid/loss`, .., `learning_rate`; values may be not
    /// finite. Those of training come first.
    values: Vec<(String, f64)>,
    /// Milliseconds since 1970.
    time: u64,
}

/// How a run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Stopped(Stopped),
    Failed,
}

/// What a tracker does. Whatever it answers with an error is tried again.
trait Sink: Send {
    /// A run begins or goes on; gives the last epoch that the tracker already has.
    fn start(&mut self, run: &RunInfo) -> Result<usize, Failure>;

    /// Takes an epoch, all of it or nothing.
    fn epoch(&mut self, point: &Point) -> Result<(), Failure>;

    /// Takes a picture or values, which are not sent again if it fails.
    fn exhibit(&mut self, exhibit: &Arc<Exhibit>) -> Result<(), Failure>;

    /// The run has ended.
    fn end(&mut self, ending: Ending) -> Result<(), Failure>;
}

/// The leaves of a configuration by their path, `train.batch_size`; lists are leaves.
fn leaves(configuration: &Value) -> Vec<(String, Value)> {
    fn add(path: &str, value: &Value, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(values) => {
                for (key, value) in values {
                    let dot = if path.is_empty() { "" } else { "." };
                    add(&format!("{path}{dot}{key}"), value, found);
                }
            }
            leaf => found.push((path.to_owned(), leaf.clone())),
        }
    }
    let mut found = Vec::new();
    add("", configuration, &mut found);
    found
}

/// A leaf as text.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}
