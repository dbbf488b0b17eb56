//! A run as lines of JSON.

use std::{io::Write, path::Path};

use serde_json::{Map, Value, json};

use crate::observer::{Artifact, EpochSummary, Observed, Observer, RunEnd, RunInfo, StepInfo};

/// The kind of the lines of finished epochs.
const EPOCH: &str = "epoch";

/// Writes what happens as one JSON object a line, each with its kind under `"event"`.
///
/// | `event` | other keys |
/// |---|---|
/// | `run_started` | those of [`RunInfo`] |
/// | `epoch_started` | `epoch`, `epochs` |
/// | `step`, if [asked for](Self::steps) | `epoch`, `step`, `turn`, `phase`, `rows`, `terms` |
/// | `epoch` | those of [`EpochSummary`]; `train` and `valid` are objects by term |
/// | `artifact` | `path`, `kind` |
/// | `message` | `message` |
/// | `run_ended` | `stopped` with `epochs` and `best_epoch`, or `error` |
///
/// Numbers that are not finite are `null`.
#[derive(Debug)]
pub struct JsonLines<W> {
    writer: W,
    detail: Detail,
}

/// Which lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    Epochs,
    Run,
    Steps,
}

impl<W: Write + Send> JsonLines<W> {
    /// Writes to a file, a pipe or a buffer.
    pub fn new(writer: W) -> Self {
        Self { writer, detail: Detail::Run }
    }

    /// The same with a line for every step.
    pub fn steps(self) -> Self {
        Self { detail: Detail::Steps, ..self }
    }

    /// The same with lines of finished epochs and no others.
    pub fn epochs(self) -> Self {
        Self { detail: Detail::Epochs, ..self }
    }

    fn write(&mut self, event: &str, value: Value) -> Observed {
        if self.detail == Detail::Epochs && event != EPOCH {
            return Ok(());
        }
        let mut line = Map::from_iter([("event".to_owned(), Value::from(event))]);
        if let Value::Object(entries) = value {
            line.extend(entries);
        }
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        self.writer.write_all(text.as_bytes())?;
        Ok(self.writer.flush()?)
    }
}

/// Values by name.
fn object<'a>(terms: impl Iterator<Item = (&'a String, &'a f64)>) -> Value {
    terms.map(|(name, value)| (name.clone(), Value::from(*value))).collect::<Map<_, _>>().into()
}

impl<W: Write + Send> Observer for JsonLines<W> {
    fn run_started(&mut self, run: &RunInfo) -> Observed {
        self.write("run_started", serde_json::to_value(run)?)
    }

    fn epoch_started(&mut self, epoch: usize, epochs: usize) -> Observed {
        self.write("epoch_started", json!({ "epoch": epoch, "epochs": epochs }))
    }

    fn step(&mut self, step: &StepInfo<'_>) -> Observed {
        if self.detail < Detail::Steps {
            return Ok(());
        }
        let terms = object(step.terms.iter().zip(step.values));
        let StepInfo { epoch, step, turn, phase, rows, .. } = *step;
        self.write(
            "step",
            json!({
                "epoch": epoch, "step": step, "turn": turn, "phase": phase, "rows": rows,
                "terms": terms,
            }),
        )
    }

    fn epoch_finished(&mut self, summary: &EpochSummary) -> Observed {
        let terms = |terms: &[(String, f64)]| object(terms.iter().map(|(n, v)| (n, v)));
        self.write(
            EPOCH,
            json!({
                "epoch": summary.epoch,
                "epochs": summary.epochs,
                "train": terms(&summary.train),
                "valid": terms(&summary.valid),
                "rate": summary.rate,
                "best": summary.best,
                "train_seconds": summary.train_seconds,
                "seconds": summary.seconds,
            }),
        )
    }

    fn artifact(&mut self, path: &Path, kind: Artifact) -> Observed {
        self.write("artifact", json!({ "path": path, "kind": kind }))
    }

    fn event(&mut self, message: &str) -> Observed {
        self.write("message", json!({ "message": message }))
    }

    fn run_ended(&mut self, end: &RunEnd<'_>) -> Observed {
        let value = match end {
            RunEnd::Stopped { why, epochs, best_epoch } => {
                json!({ "stopped": why, "epochs": epochs, "best_epoch": best_epoch })
            }
            RunEnd::Failed(error) => json!({ "error": error.to_string() }),
        };
        self.write("run_ended", value)
    }
}
