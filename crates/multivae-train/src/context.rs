//! What the parts of one launch share.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use burn::{
    data::dataset::DatasetError,
    optim::ModuleOptimizer,
    tensor::{Bytes, Device, Tensor},
    train::{Interrupter, TrainingError},
};
use multivae_kernels::is_eager;

use crate::{
    TrainError,
    config::{ClipConfig, NonFinite},
    names::GRADIENT,
    observer::Observers,
    plan::PhasePlan,
    split::Split,
};

/// A handle that ends a run from outside: another thread, a signal handler.
///
/// The step at work is finished. The run then ends with
/// [`Stopped::Interrupted`](crate::Stopped::Interrupted), and can be resumed from its last
/// checkpoint. Clones are the same handle.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// A handle that has not been used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to end. Only stores a flag, and so may be called from a signal handler.
    pub fn stop(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether the run was asked to end.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What the loader, the steps, the checkpoints and the strategies of one launch share.
pub(crate) struct Context {
    /// The run's handle.
    pub(crate) interrupt: Interrupt,
    /// The launch's handle.
    pub(crate) stop: Interrupter,
    pub(crate) policy: NonFinite,
    pub(crate) clip: ClipConfig,
    pub(crate) observers: Observers,
    /// Names of the modalities.
    pub(crate) modalities: Vec<String>,
    /// What is done with every batch.
    pub(crate) phases: Vec<PhasePlan>,
    /// The optimisers of all phases but the first, which burn-train has.
    ///
    /// One for each phase, so that a parameter of two phases has a state in each.
    pub(crate) optimizers: Mutex<Vec<ModuleOptimizer>>,
    /// Epochs of the whole run.
    pub(crate) epochs: usize,
    pub(crate) live: Live,
}

/// What changes in the course of a launch.
pub(crate) struct Live {
    state: Mutex<State>,
    /// The last epoch that ended.
    completed: AtomicUsize,
}

impl Live {
    /// Before a launch that goes on after so many epochs.
    pub(crate) fn new(done: usize) -> Self {
        let state = State {
            error: None,
            epoch: done,
            at: Place::default(),
            made: 0,
            skipped: None,
            norm: None,
            started: Instant::now(),
            trained: Duration::ZERO,
        };
        Self { state: Mutex::new(state), completed: AtomicUsize::new(done) }
    }
}

/// What changes from step to step.
struct State {
    error: Option<TrainError>,
    epoch: usize,
    /// The step of training at work.
    at: Place,
    /// Steps of the epoch that were made.
    made: usize,
    /// What was wrong with the last step that was left out.
    skipped: Option<NonFiniteValue>,
    /// The norm of the last gradient, `[1]`, still on its device.
    norm: Option<(Tensor<1>, Place)>,
    started: Instant,
    /// How long the steps of the epoch took.
    trained: Duration,
}

/// A step of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) split: Split,
    pub(crate) epoch: usize,
    /// The batch within the epoch, from 1.
    pub(crate) step: usize,
    /// Which of the steps with that batch it is, from 0.
    pub(crate) turn: usize,
    pub(crate) phase: usize,
}

impl Default for Place {
    fn default() -> Self {
        Self { split: Split::Train, epoch: 0, step: 0, turn: 0, phase: 0 }
    }
}

/// A value that is not finite.
#[derive(Clone, Debug)]
pub(crate) struct NonFiniteValue {
    pub(crate) term: String,
    pub(crate) place: Place,
    pub(crate) value: f64,
}

impl Context {
    /// Ends the launch with an error; the first one counts.
    pub(crate) fn fail(&self, error: TrainError) {
        let message = error.to_string();
        self.state().error.get_or_insert(error);
        self.stop.fail(TrainingError::Dataset(DatasetError::new(MessageError(message))));
    }

    /// Whether the launch has failed.
    pub(crate) fn failed(&self) -> bool {
        self.stop.error().is_some()
    }

    /// The error of the launch.
    pub(crate) fn take_error(&self) -> Option<TrainError> {
        self.state().error.take()
    }

    /// An epoch of training begins; called once a device.
    pub(crate) fn begin_epoch(&self, epoch: usize) {
        let mut state = self.state();
        if state.epoch == epoch {
            return;
        }
        state.epoch = epoch;
        state.made = 0;
        state.skipped = None;
        state.started = Instant::now();
        drop(state);
        self.observers.each(|observer| observer.epoch_started(epoch, self.epochs));
    }

    /// The steps of an epoch are made, and validation begins.
    pub(crate) fn end_training(&self) {
        let mut state = self.state();
        state.trained = state.started.elapsed();
    }

    /// An epoch has ended; how long its steps and all of it took.
    pub(crate) fn end_epoch(&self, epoch: usize) -> [Duration; 2] {
        self.live.completed.store(epoch, Ordering::SeqCst);
        let state = self.state();
        [state.trained, state.started.elapsed()]
    }

    /// The epoch at work, or the last one.
    pub(crate) fn epoch(&self) -> usize {
        self.state().epoch
    }

    /// The last epoch that ended.
    pub(crate) fn completed(&self) -> usize {
        self.live.completed.load(Ordering::SeqCst)
    }

    /// A step of training begins.
    pub(crate) fn begin_step(&self, at: Place) {
        self.state().at = at;
    }

    /// The step of training at work.
    pub(crate) fn step(&self) -> Place {
        self.state().at
    }

    /// The phase of a step.
    pub(crate) fn phase(&self, place: Place) -> &PhasePlan {
        &self.phases[place.phase]
    }

    /// Whether values of a device are read while the next steps are on their way to it. Where a
    /// step that is not finite is to be left out, it has to be known before the weights change.
    pub(crate) fn reads_later(&self, device: &Device) -> bool {
        self.policy != NonFinite::Skip && !is_eager(device)
    }

    /// Waits for values; none if the device has failed.
    pub(crate) fn read(&self, values: Tensor<1>) -> Option<Vec<f64>> {
        match values.try_into_data() {
            Ok(data) => Some(data.iter().collect()),
            Err(error) => {
                self.fail(TrainError::Device(error.to_string()));
                None
            }
        }
    }

    /// Waits for the norm of a gradient; none if it is not finite.
    pub(crate) fn read_norm(&self, norm: Tensor<1>, place: Place) -> Option<f64> {
        let value = *self.read(norm)?.first()?;
        if !value.is_finite() {
            let term = match place.phase {
                0 => GRADIENT.to_owned(),
                _ => format!("{GRADIENT}/{}", self.phase(place).name),
            };
            self.not_finite(NonFiniteValue { term, place, value });
            return None;
        }
        Some(value)
    }

    /// Keeps the norm of the gradient at work, to be read with the values of the next step.
    pub(crate) fn keep_norm(&self, norm: Tensor<1>) {
        let place = self.step();
        self.state().norm = Some((norm, place));
    }

    /// The norm that was kept.
    pub(crate) fn take_norm(&self) -> Option<(Tensor<1>, Place)> {
        self.state().norm.take()
    }

    /// Whether the launch is to end, after passing a request from outside on to burn-train.
    pub(crate) fn is_over(&self) -> bool {
        if self.interrupt.is_stopped() && !self.stop.should_stop() {
            self.stop.stop(Some("asked to end"));
        }
        self.stop.should_stop()
    }

    /// Whether a part of the step at work is not finite, so that all of it is left out.
    pub(crate) fn leaves_out(&self) -> bool {
        let now = self.step();
        self.state().skipped.as_ref().is_some_and(|found| found.place == now)
    }

    /// A step of training was made.
    pub(crate) fn step_made(&self) {
        self.state().made += 1;
    }

    /// A value is not finite: ends the launch, or notes that the step is left out.
    pub(crate) fn not_finite(&self, found: NonFiniteValue) {
        if self.policy != NonFinite::Skip {
            self.fail(self.error_of(found));
            return;
        }
        let message = format!("{}: left out", self.error_of(found.clone()));
        tracing::warn!("{message}");
        self.observers.each(|observer| observer.event(&message));
        if found.place.split == Split::Train {
            self.state().skipped = Some(found);
        }
    }

    /// Ends the launch if the weights are past saving: the gradient of the last step was not
    /// finite, or the epoch had no step that was made.
    pub(crate) fn check_epoch(&self) {
        if let Some((norm, place)) = self.take_norm() {
            self.read_norm(norm, place);
        }
        let state = self.state();
        let found = state.skipped.clone().filter(|_| state.made == 0);
        drop(state);
        if let Some(found) = found {
            self.fail(self.error_of(found));
        }
    }

    /// The states of the optimisers that burn-train does not have, by phase.
    pub(crate) fn optimizer_states(&self) -> Result<Vec<(String, Bytes)>, TrainError> {
        let optimizers = self.optimizers.lock().expect("no thread panics while it holds them");
        let phases = self.phases.iter().skip(1);
        phases
            .zip(&*optimizers)
            .map(|(phase, optimizer)| {
                let bytes = optimizer.into_bytes().map_err(|error| {
                    let reason = format!("the optimiser of phase {}: {error}", phase.name);
                    TrainError::Device(reason)
                })?;
                Ok((phase.name.clone(), bytes))
            })
            .collect()
    }

    fn error_of(&self, found: NonFiniteValue) -> TrainError {
        let NonFiniteValue { term, place: Place { split, epoch, step, .. }, value } = found;
        // What is named after a phase is named after no modality.
        let own = self.phases.iter().any(|phase| phase.terms[1..].contains(&term));
        let last = term.rsplit('/').next().filter(|_| own);
        let modality = self.modalities.iter().find(|name| Some(name.as_str()) == last).cloned();
        TrainError::NotFinite { term, modality, split, epoch, step, value }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.live.state.lock().expect("no thread panics while it holds the state")
    }
}

/// An error of which only the words are passed on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct MessageError(pub(crate) String);
