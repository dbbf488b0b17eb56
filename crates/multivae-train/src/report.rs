//! What a run tells while it goes on.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use burn::train::{
    LearnerSummary,
    logger::{EvaluationProgressLogger, TrainingProgressLogger},
    metric::MetricDefinition,
    renderer::{
        EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
        MetricsRendererTraining,
    },
};

use crate::history::Split;

/// How a run is shown.
pub enum Display {
    /// Burn's own renderer: its terminal dashboard, if Burn's feature `tui` is on and the output
    /// is a terminal, otherwise a line for every batch on the standard output.
    Dashboard,
    /// A receiver of the caller.
    Report(Box<dyn Report>),
    /// Not at all.
    Silent,
}

/// Receives the progress of a run; every method may be left out.
///
/// Calls come from several threads, one at a time.
pub trait Report: Send {
    /// An epoch of training begins.
    fn epoch_started(&mut self, epoch: usize, epochs: usize) {
        let _ = (epoch, epochs);
    }

    /// So many of the rows of a split are done.
    fn progress(&mut self, split: Split, done: usize, rows: usize) {
        let _ = (split, done, rows);
    }

    /// An epoch has ended, validation included.
    fn epoch_finished(&mut self, summary: &Summary) {
        let _ = summary;
    }

    /// Something out of the ordinary: a step left out, weights restored, a new stage.
    fn event(&mut self, message: &str) {
        let _ = message;
    }
}

/// What an epoch came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
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

/// A receiver that several threads and launches use.
#[derive(Clone, Default)]
pub(crate) struct SharedReport(Option<Arc<Mutex<Box<dyn Report>>>>);

impl SharedReport {
    pub(crate) fn new(report: Box<dyn Report>) -> Self {
        Self(Some(Arc::new(Mutex::new(report))))
    }

    /// Calls the receiver, if there is one.
    pub(crate) fn with(&self, call: impl FnOnce(&mut dyn Report)) {
        if let Some(report) = &self.0 {
            // A receiver that has panicked is not called again: the run ends by that panic.
            if let Ok(mut report) = report.lock() {
                call(report.as_mut());
            }
        }
    }
}

impl fmt::Debug for SharedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedReport")
    }
}

/// A renderer of burn-train that only passes progress on.
pub(crate) struct Adapter {
    report: SharedReport,
    split: Split,
    rows: usize,
}

impl Adapter {
    pub(crate) fn new(report: SharedReport) -> Self {
        Self { report, split: Split::Train, rows: 0 }
    }
}

impl TrainingProgressLogger for Adapter {
    fn start(&mut self, _: usize, _: usize, _: Option<usize>, _: Option<&str>) {}

    fn update_epoch(&mut self, _: usize) {}

    fn start_split(&mut self, split: &str, rows: usize) {
        self.split = if split == "train" { Split::Train } else { Split::Valid };
        self.rows = rows;
    }

    fn update_split(&mut self, done: usize) {
        let (split, rows) = (self.split, self.rows);
        self.report.with(|report| report.progress(split, done, rows));
    }

    fn end_split(&mut self) {}

    fn end(&mut self) {}

    fn log_event_training(&mut self, _: String) {}
}

impl MetricsRendererTraining for Adapter {
    fn update_train(&mut self, _: MetricState) {}

    fn update_valid(&mut self, _: MetricState) {}

    fn on_train_end(
        &mut self,
        _: Option<LearnerSummary>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
}

impl MetricsRenderer for Adapter {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, _: MetricDefinition) {}
}

// A renderer must be one for evaluations too; there are none.

impl MetricsRendererEvaluation for Adapter {
    fn update_test(&mut self, _: EvaluationName, _: MetricState) {}

    fn on_test_end(&mut self, _: Option<LearnerSummary>) -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
}

impl EvaluationProgressLogger for Adapter {
    fn start_global_progress(&mut self, _: usize) {}

    fn start_test(&mut self, _: &str, _: usize) {}

    fn update_test_progress(&mut self, _: usize) {}

    fn end_test(&mut self) {}

    fn end_global_progress(&mut self) {}

    fn log_event_evaluation(&mut self, _: String) {}
}
