//! What a run tells while it goes on.

use std::{
    error::Error,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use serde_json::Value;

use crate::{TrainError, panic_message, split::Split};

/// What an observer answers: an error if it can no longer do its work.
pub type Observed = Result<(), Box<dyn Error + Send + Sync>>;

/// Receives what happens in a run; every method may be left out.
///
/// A run may have several. Calls come from several threads, one at a time, and the run waits for
/// each: what takes long belongs on a thread of the observer's own. One that returns an error or
/// panics is not called again, of which `tracing` warns once; the run goes on as if it had never
/// been there.
///
/// ```
/// use multivae_train::{EpochSummary, Observed, Observer};
///
/// #[derive(Default)]
/// struct Slowest(f64);
///
/// impl Observer for Slowest {
///     fn epoch_finished(&mut self, summary: &EpochSummary) -> Observed {
///         self.0 = self.0.max(summary.seconds);
///         Ok(())
///     }
/// }
/// ```
pub trait Observer: Send {
    /// A run begins or goes on; nothing was trained yet.
    fn run_started(&mut self, run: &RunInfo) -> Observed {
        let _ = run;
        Ok(())
    }

    /// An epoch of training begins.
    fn epoch_started(&mut self, epoch: usize, epochs: usize) -> Observed {
        let _ = (epoch, epochs);
        Ok(())
    }

    /// The values of a step of training are known. A step that is taken in parts, on several
    /// devices or by accumulation, comes in as many calls. One that was left out does not come.
    fn step(&mut self, step: &StepInfo<'_>) -> Observed {
        let _ = step;
        Ok(())
    }

    /// So many of the rows of a split are done. In training a row counts once for every step that
    /// is made with it.
    fn progress(&mut self, split: Split, done: usize, rows: usize) -> Observed {
        let _ = (split, done, rows);
        Ok(())
    }

    /// An epoch has ended, validation included.
    fn epoch_finished(&mut self, summary: &EpochSummary) -> Observed {
        let _ = summary;
        Ok(())
    }

    /// Something to look at was shown; see [`Exhibits`].
    fn exhibit(&mut self, exhibit: &Arc<Exhibit>) -> Observed {
        let _ = exhibit;
        Ok(())
    }

    /// A file of the run is whole under its name.
    fn artifact(&mut self, path: &Path, kind: Artifact) -> Observed {
        let _ = (path, kind);
        Ok(())
    }

    /// Something out of the ordinary: a step left out, weights restored, a new stage.
    fn event(&mut self, message: &str) -> Observed {
        let _ = message;
        Ok(())
    }

    /// The run has ended; nothing comes after it.
    fn run_ended(&mut self, end: &RunEnd<'_>) -> Observed {
        let _ = end;
        Ok(())
    }
}

/// What a run is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunInfo {
    /// Its directory.
    pub dir: PathBuf,
    /// All settings: those of the training under `train`, beside what
    /// [`Trainer::configuration`](crate::Trainer::configuration) was given.
    pub configuration: Value,
    /// Names of the modalities.
    pub modalities: Vec<String>,
    /// Epochs of the whole run.
    pub epochs: usize,
    /// Epochs that were done before; 0 of a new run.
    pub epochs_done: usize,
    /// Training rows.
    pub rows: usize,
    /// Validation rows.
    pub validation_rows: usize,
    /// The seed.
    pub seed: u64,
    /// How many parameters the model has.
    pub parameters: usize,
}

/// The values of a step of training.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StepInfo<'a> {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The batch within the epoch, from 1.
    pub step: usize,
    /// Which of the steps with that batch it is, from 1.
    pub turn: usize,
    /// Name of the phase.
    pub phase: &'a str,
    /// The rows that the values are means of.
    pub rows: usize,
    /// Names of the terms, the total first.
    pub terms: &'a [String],
    /// Their values, nats, averaged over rows.
    pub values: &'a [f64],
}

/// What an epoch came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EpochSummary {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Epochs of the whole run.
    pub epochs: usize,
    /// Terms on training rows, the total first: nats, averaged over rows.
    pub train: Vec<(String, f64)>,
    /// Terms on validation rows; empty if the epoch was not validated.
    pub valid: Vec<(String, f64)>,
    /// The learning rate of the last step.
    pub rate: Option<f64>,
    /// Whether it is the best epoch of its stage so far.
    pub best: bool,
    /// How long its steps took, the reading of rows included.
    pub train_seconds: f64,
    /// How long all of it took: steps, validation, checkpoint.
    pub seconds: f64,
}

/// Something to look at beside numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Exhibit {
    /// The epoch that it shows, from 1.
    pub epoch: usize,
    /// What it is called, the same in every epoch.
    pub name: String,
    /// What it is.
    pub content: Content,
}

/// What an exhibit is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A picture, as the bytes of a PNG.
    Png(Vec<u8>),
    /// Values whose distribution is shown.
    Values(Vec<f32>),
}

/// Where a callback puts what observers are to show: see
/// [`Trainer::exhibits`](crate::Trainer::exhibits). Clones are the same place.
#[derive(Clone, Debug, Default)]
pub struct Exhibits(Arc<Mutex<Vec<Arc<Exhibit>>>>);

impl Exhibits {
    /// Shows something to all observers, once the callback has returned.
    pub fn show(&self, exhibit: Exhibit) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(exhibit));
    }

    fn take(&self) -> Vec<Arc<Exhibit>> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a file of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Artifact {
    /// The state of the run after an epoch. The run removes it when it is no longer needed.
    Checkpoint,
    /// The measurements of all epochs; comes at the end of a run.
    Metrics,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// All epochs are done.
    Finished,
    /// The validation loss no longer fell.
    Early,
    /// It was asked to; resuming goes on.
    Interrupted,
}

/// How a run ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunEnd<'a> {
    /// As it should, or as it was asked to.
    Stopped {
        /// Why.
        why: Stopped,
        /// Epochs done.
        epochs: usize,
        /// The best epoch of the last stage.
        best_epoch: Option<usize>,
    },
    /// By an error.
    Failed(&'a TrainError),
}

/// The observers of a run, which several threads and launches use.
#[derive(Clone, Default)]
pub(crate) struct Observers {
    list: Arc<Mutex<Vec<Box<dyn Observer>>>>,
    exhibits: Exhibits,
}

impl Observers {
    pub(crate) fn new(observers: Vec<Box<dyn Observer>>, exhibits: Exhibits) -> Self {
        Self { list: Arc::new(Mutex::new(observers)), exhibits }
    }

    /// Shows what a callback has put among the exhibits.
    pub(crate) fn show(&self) {
        for exhibit in self.exhibits.take() {
            self.each(|observer| observer.exhibit(&exhibit));
        }
    }

    /// Calls each observer, and drops those that fail.
    pub(crate) fn each(&self, mut call: impl FnMut(&mut dyn Observer) -> Observed) {
        // Panics are caught below: what a poisoned lock holds is as good as ever.
        let mut observers = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        observers.retain_mut(|observer| {
            let result = catch_unwind(AssertUnwindSafe(|| call(observer.as_mut())));
            let reason = match result {
                Ok(Ok(())) => return true,
                Ok(Err(error)) => error.to_string(),
                Err(panic) => format!("it panicked: {}", panic_message(&*panic)),
            };
            tracing::warn!("an observer of the run is no longer told of it: {reason}");
            false
        });
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observers")
    }
}
