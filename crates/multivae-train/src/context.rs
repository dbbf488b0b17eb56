//! What the parts of one launch share.

use std::{
    mem,
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
use multivae_kernels::{Precision, is_eager};

use crate::{
    TrainError,
    collective::Collective,
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
    /// The processes that make the steps together.
    pub(crate) ranks: Arc<dyn Collective>,
    /// By which this process is asked to end the run.
    pub(crate) asked: Interrupt,
    /// The run's handle. Where there are several ranks it is used once all of them know of it, so that
    /// they end after the same step; otherwise it is the one above.
    pub(crate) interrupt: Interrupt,
    /// The launch's handle.
    pub(crate) stop: Interrupter,
    pub(crate) policy: NonFinite,
    pub(crate) clip: ClipConfig,
    pub(crate) precision: Precision,
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
            found: Found::default(),
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
    /// What this rank has found in validation, where there are several.
    found: Found,
}

/// What a rank has found in its batches of validation.
#[derive(Default)]
struct Found {
    /// Values times rows, summed.
    sums: Vec<f64>,
    rows: usize,
    /// The first step with a value that is not finite, the term's place and the value.
    wrong: Option<(usize, usize, f64)>,
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
    /// step that is not finite is to be left out, it has to be known before the weights change; and
    /// several ranks bring their gradients to the host anyway.
    pub(crate) fn reads_later(&self, device: &Device) -> bool {
        self.policy != NonFinite::Skip && !is_eager(device) && !self.ranks.is_several()
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

    /// What all ranks have found, by the numbers of each; none if one of them has gone. Whoever was
    /// asked to end the run tells the others on the way.
    fn meet(&self, numbers: &[f64]) -> Option<Vec<Vec<f64>>> {
        let asked = f64::from(u8::from(self.asked.is_stopped()));
        let mine: Vec<f64> = std::iter::once(asked).chain(numbers.iter().copied()).collect();
        let all = match self.ranks.gather(&mine) {
            Ok(all) => all,
            Err(gone) => {
                self.fail(gone);
                return None;
            }
        };
        let each = all.chunks(mine.len());
        if each.clone().any(|numbers| numbers[0] != 0.0) {
            self.interrupt.stop();
        }
        Some(each.map(|numbers| numbers[1..].to_vec()).collect())
    }

    /// Where there are several ranks: ends the launch on all of them if one was asked to.
    pub(crate) fn agree_on_end(&self) {
        if self.ranks.is_several() && !self.failed() {
            self.meet(&[]);
        }
    }

    /// The means of terms over the rows of all ranks, and how many these are; those of this rank are
    /// given. None if there is nothing to go on with.
    pub(crate) fn of_all_ranks(&self, values: &[f64], rows: usize) -> Option<(Vec<f64>, usize)> {
        let mine: Vec<f64> = std::iter::once(rows as f64).chain(values.iter().copied()).collect();
        // Ranks without rows have no values.
        let all = self.meet(&mine)?.into_iter().filter(|of_rank| of_rank[0] > 0.0);
        let (mut sums, mut rows) = (vec![0.0; values.len()], 0.0);
        for of_rank in all {
            rows += of_rank[0];
            sums.iter_mut().zip(&of_rank[1..]).for_each(|(sum, value)| *sum += of_rank[0] * value);
        }
        Some((sums.into_iter().map(|sum| sum / rows).collect(), rows as usize))
    }

    /// Keeps what a batch of validation came to on this rank.
    pub(crate) fn found(&self, values: &[f64], step: usize, rows: usize) {
        let mut state = self.state();
        let found = &mut state.found;
        found.sums.resize(values.len(), 0.0);
        found.sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += rows as f64 * value);
        found.rows += rows;
        if found.wrong.is_none()
            && let Some(term) = wrong(values)
        {
            found.wrong = Some((step, term, values[term]));
        }
    }

    /// What the batches of validation came to on all ranks: means over rows, how many these are, and
    /// the first value that is not finite.
    pub(crate) fn found_by_all(
        &self,
        place: Place,
    ) -> Option<(Vec<f64>, usize, Option<NonFiniteValue>)> {
        let Found { mut sums, rows, wrong } = mem::take(&mut self.state().found);
        let terms = &self.phase(place).terms;
        sums.resize(terms.len(), 0.0);
        let (step, term, value) = wrong.unwrap_or((usize::MAX, 0, 0.0));
        let mut mine = vec![rows as f64, step as f64, term as f64, value];
        mine.append(&mut sums);
        let all = self.meet(&mine)?;
        let rows: f64 = all.iter().map(|of_rank| of_rank[0]).sum();
        let mean = |i: usize| all.iter().map(|of_rank| of_rank[4 + i]).sum::<f64>() / rows;
        let means = (0..terms.len()).map(mean).collect();
        let first = all.iter().min_by(|a, b| a[1].total_cmp(&b[1])).expect("there are ranks");
        let wrong = (first[1] < usize::MAX as f64).then(|| NonFiniteValue {
            term: terms[first[2] as usize].clone(),
            place: Place { step: first[1] as usize, ..place },
            value: first[3],
        });
        Some((means, rows as usize, wrong))
    }

    /// Compares the weights of all ranks by a checksum, and ends the launch if they differ.
    pub(crate) fn compare_weights(&self, checksum: u32) {
        let Some(all) = self.meet(&[f64::from(checksum)]) else { return };
        if let Some(rank) = all.iter().position(|of_rank| *of_rank != all[0]) {
            self.fail(TrainError::Apart { rank, epoch: self.epoch() });
        }
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
        if self.ranks.is_first() {
            tracing::warn!("{message}");
        }
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

/// The place of a value that is not finite. The total is not whenever a term is not: the term says more.
pub(crate) fn wrong(values: &[f64]) -> Option<usize> {
    let found = values.iter().skip(1).chain(values.first()).position(|v| !v.is_finite())?;
    Some((found + 1) % values.len())
}

/// An error of which only the words are passed on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct MessageError(pub(crate) String);
