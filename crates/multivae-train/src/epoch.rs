//! What happens after an epoch.
//!
//! The strategies have no state: they ask the history every time, so that a resumed run decides
//! as one that never stopped.

use std::{
    error::Error,
    sync::{Arc, Mutex},
};

use burn::train::{
    EarlyStoppingStrategy,
    checkpoint::{CheckpointingAction, CheckpointingStrategy},
    metric::store::{Aggregate, EventStoreClient, Split as BurnSplit},
};

use crate::{
    TrainError,
    checkpoint::{Collector, Fingerprint, Header},
    config::{EarlyStopping, TrainConfig},
    context::Context,
    fit::Kept,
    history::History,
    names::LOSS,
    observer::EpochSummary,
    split::Split,
};

/// A function of the caller that is called after every epoch with the model in validation form,
/// the epoch and what was measured so far.
pub type OnEpoch<M> =
    Box<dyn FnMut(&M, usize, &History) -> Result<(), Box<dyn Error + Send + Sync>> + Send>;

/// By what a stage is judged.
#[derive(Clone, Debug)]
pub(crate) struct ModelSelection {
    pub(crate) history: History,
    /// The split whose loss decides.
    pub(crate) split: Split,
    /// The epochs of the stage are those after `from`, up to `to`.
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) early_stopping: Option<EarlyStopping>,
}

impl ModelSelection {
    /// The best epoch of the stage up to `epoch`.
    pub(crate) fn best(&self, epoch: usize) -> Option<usize> {
        self.history.best(LOSS, self.split, self.from + 1..=epoch)
    }

    /// Whether training ends early with `epoch`.
    pub(crate) fn is_over(&self, epoch: usize) -> bool {
        let Some(stop) = &self.early_stopping else { return false };
        // Only an epoch that was measured can disappoint.
        if self.history.get(epoch, self.split, LOSS).is_none() {
            return false;
        }
        let (mut lowest, mut improved) = (f64::INFINITY, self.from);
        for (e, value) in self.history.values(LOSS, self.split, self.from + 1..=epoch) {
            if value < lowest - stop.min_delta {
                (lowest, improved) = (value, e);
            }
        }
        epoch - improved >= stop.patience
    }
}

/// Decides whether an epoch is written.
pub(crate) struct Keep {
    pub(crate) selection: ModelSelection,
    pub(crate) every: usize,
    pub(crate) run: Fingerprint,
    pub(crate) collector: Arc<Collector>,
    pub(crate) context: Arc<Context>,
}

impl Keep {
    pub(crate) fn new(
        config: &TrainConfig,
        selection: ModelSelection,
        run: Fingerprint,
        collector: Arc<Collector>,
        context: Arc<Context>,
    ) -> Self {
        Self { selection, every: config.checkpoint_every, run, collector, context }
    }
}

impl CheckpointingStrategy for Keep {
    fn checkpointing(
        &mut self,
        epoch: usize,
        store: &EventStoreClient,
    ) -> Vec<CheckpointingAction> {
        // The history is written on the store's thread: its answer comes after all of the epoch.
        store.find_metric(LOSS, epoch, Aggregate::Mean, &BurnSplit::Train);
        self.context.check_epoch();
        if self.context.failed() || !self.context.ranks.is_first() {
            return Vec::new();
        }
        let best = self.selection.best(epoch);
        let last = epoch == self.selection.to
            || self.selection.is_over(epoch)
            || self.context.interrupt.is_stopped();
        if !(epoch.is_multiple_of(self.every) || last || best == Some(epoch)) {
            return Vec::new();
        }
        let header = Header::new(epoch, self.selection.from, best, self.run.clone());
        match self.context.optimizer_states() {
            Ok(states) => self.collector.announce(header, states),
            Err(error) => {
                self.context.fail(error);
                return Vec::new();
            }
        }
        vec![CheckpointingAction::Save]
    }
}

/// Reports the epoch, calls the caller and decides whether training ends.
pub(crate) struct AfterEpoch<M> {
    pub(crate) selection: ModelSelection,
    pub(crate) context: Arc<Context>,
    pub(crate) kept: Kept<M>,
    pub(crate) on_epoch: Option<Arc<Mutex<OnEpoch<M>>>>,
}

impl<M> Clone for AfterEpoch<M> {
    fn clone(&self) -> Self {
        Self {
            selection: self.selection.clone(),
            context: self.context.clone(),
            kept: self.kept.clone(),
            on_epoch: self.on_epoch.clone(),
        }
    }
}

impl<M: Send> AfterEpoch<M> {
    fn call(&self, epoch: usize) {
        let kept = self.kept.lock().expect("no thread panics while it holds the model").take();
        let (Some(model), Some(call)) = (kept, &self.on_epoch) else { return };
        let mut call = call.lock().expect("a panic of the callback ends the run");
        if let Err(source) = call(&model, epoch, &self.selection.history) {
            self.context.fail(TrainError::Callback { epoch, source });
        }
        self.context.observers.show();
    }
}

impl<M: Send + 'static> EarlyStoppingStrategy for AfterEpoch<M> {
    fn should_stop(&mut self, epoch: usize, _: &EventStoreClient) -> bool {
        let context = &self.context;
        if context.failed() {
            return true;
        }
        let history = &self.selection.history;
        let [trained, whole] = context.end_epoch(epoch);
        let summary = EpochSummary {
            epoch,
            epochs: context.epochs,
            train: history.terms(epoch, Split::Train),
            valid: history.terms(epoch, Split::Valid),
            rate: history.rate(epoch),
            best: self.selection.best(epoch) == Some(epoch),
            train_seconds: trained.as_secs_f64(),
            seconds: whole.as_secs_f64(),
        };
        context.observers.each(|observer| observer.epoch_finished(&summary));
        self.call(epoch);
        context.agree_on_end();
        context.is_over() || self.selection.is_over(epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The epoch in which training ends early, for losses of the epochs after `from`.
    fn end(patience: usize, min_delta: f64, from: usize, losses: &[Option<f64>]) -> Option<usize> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("metrics.jsonl");
        let lines: String = losses
            .iter()
            .enumerate()
            .filter_map(|(i, loss)| Some((i + 1, (*loss)?)))
            .map(|(epoch, loss)| {
                let loss = serde_json::Value::from(loss);
                format!("{{\"epoch\":{epoch},\"split\":\"valid\",\"terms\":{{\"loss\":{loss}}}}}\n")
            })
            .collect();
        std::fs::write(&path, lines).expect("written");
        let selection = ModelSelection {
            history: History::read(&path).expect("readable"),
            split: Split::Valid,
            from,
            to: losses.len(),
            early_stopping: Some(EarlyStopping { patience, min_delta }),
        };
        (from + 1..=losses.len()).find(|epoch| selection.is_over(*epoch))
    }

    #[test]
    fn training_ends_after_so_many_epochs_without_improvement() {
        let losses = [9.0, 5.0, 6.0, 4.9, 4.8, 4.9, 5.0, 1.0].map(Some);
        assert_eq!(end(2, 0.0, 0, &losses), Some(7));
        assert_eq!(end(3, 0.0, 0, &losses), None);
        // Improvements of less than one half do not count.
        assert_eq!(end(2, 0.5, 0, &losses), Some(4));
        // A stage does not look at the epochs before it.
        assert_eq!(
            end(2, 0.0, 5, &[1.0, 1.0, 1.0, 1.0, 1.0, 9.0, 8.0, 9.0, 9.0].map(Some)),
            Some(9)
        );
    }

    #[test]
    fn epochs_that_were_not_validated_or_not_finite_do_not_end_training_by_themselves() {
        let some = Some;
        assert_eq!(end(2, 0.0, 0, &[None, None, None, some(3.0), None, some(4.0)]), Some(6));
        assert_eq!(
            end(2, 0.0, 0, &[some(3.0), some(f64::NAN), some(f64::NAN), some(2.0)]),
            Some(3)
        );
    }
}
