//! The history as burn-train writes it.

use std::{collections::HashMap, sync::Arc};

use burn::train::{
    logger::MetricLogger,
    metric::{
        MetricDefinition, MetricId, NumericEntry,
        store::{EpochSummary, MetricsUpdate, Split as BurnSplit},
    },
};
use serde_json::{Map, Value};

use crate::{
    TrainError,
    context::Context,
    history::{History, Line},
    names::RATE,
    split::Split,
};

/// Turns the final values of a split into a line.
pub(crate) struct Logger {
    history: History,
    context: Arc<Context>,
    names: HashMap<MetricId, String>,
    terms: Map<String, Value>,
    rate: Option<f64>,
    /// Whether any row was measured.
    seen: bool,
}

impl Logger {
    pub(crate) fn new(history: History, context: Arc<Context>) -> Self {
        Self { history, context, names: HashMap::new(), terms: Map::new(), rate: None, seen: false }
    }
}

impl MetricLogger for Logger {
    fn log(&mut self, update: MetricsUpdate, _: usize, _: &BurnSplit) {
        for update in update.entries_numeric {
            let name = &self.names[&update.entry.metric_id];
            match update.numeric_entry {
                Some(NumericEntry::Final(value)) if name == RATE => self.rate = Some(value),
                Some(NumericEntry::Final(value)) => {
                    self.terms.insert(name.clone(), Value::from(value));
                }
                Some(_) => self.seen |= name != RATE,
                None => {}
            }
        }
    }

    fn read_numeric(
        &mut self,
        _: &str,
        _: usize,
        _: &BurnSplit,
    ) -> Result<Vec<NumericEntry>, String> {
        // All who ask ask the history itself.
        Ok(Vec::new())
    }

    fn log_metric_definition(&mut self, definition: MetricDefinition) {
        self.names.insert(definition.metric_id, definition.name.to_string());
    }

    fn log_epoch_summary(&mut self, summary: EpochSummary) {
        let terms = std::mem::take(&mut self.terms);
        let rate = self.rate.take();
        if !std::mem::take(&mut self.seen) {
            return;
        }
        let split = match summary.split {
            BurnSplit::Train => Split::Train,
            BurnSplit::Valid | BurnSplit::Test(_) => Split::Valid,
        };
        let rate = rate.filter(|_| split == Split::Train);
        let line = Line { epoch: summary.epoch_number, split, terms, rate };
        if let Err(error) = self.history.add(line) {
            self.context.fail(TrainError::file(self.history.path(), error));
        }
    }
}
