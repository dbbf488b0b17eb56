//! Runs: stages, launches, resuming.

use std::{
    fs::{self, File, TryLockError},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use burn::{
    lr_scheduler::module_lr_scheduler::ModuleLrScheduler,
    module::Module,
    store::RecordError,
    tensor::{Bytes, Device},
    train::{
        ExecutionStrategy, Interrupter, Learner, MultiDeviceOptim, SupervisedTraining,
        TrainingError, checkpoint::Checkpoint as _,
    },
};
use multivae_core::{
    batch::Progress,
    dataset::Dataset,
    model::TrainableModel,
    module::{self, parameters, settle},
};

use crate::{
    Result, TrainError,
    config::{NonFinite, TrainConfig},
    context::{Context, Interrupt, Live},
    epoch::{AfterEpoch, Judge, Keep, OnEpoch},
    fit::{Fit, Kept},
    history::{History, Split},
    panic_message,
    report::{Adapter, Display, SharedReport},
    rows::{Source, TrainRows, ValidRows},
    schedule::Curve,
    terms::{LOSS, RATE, Rate, Term},
    vault::{
        CHECKPOINTS, Checkpoint, Collector, Fingerprint, Header, MODEL, OPTIMIZER, Part, Parts,
        SCHEDULER, Vault,
    },
};

/// File of the history in a run's directory.
const METRICS: &str = "metrics.jsonl";

/// File by which a run holds its directory.
const LOCK: &str = ".lock";

/// Trains a model in a directory, on burn-train.
///
/// The directory gets `metrics.jsonl` (see [`History`]) and `checkpoints/epoch-N.ckpt` (see
/// [`Checkpoint`]). A run that was killed at any moment and resumed gives the same weights, bit
/// for bit, and the same files as one that never stopped, on one or two devices; with three or
/// more, gradients are added in the order in which the devices answer. What a run can go back to
/// are whole epochs.
///
/// One run at a time holds the directory.
pub struct Trainer<M> {
    config: TrainConfig,
    dir: PathBuf,
    devices: Vec<Device>,
    display: Display,
    interrupt: Interrupt,
    on_epoch: Option<OnEpoch<M>>,
}

/// What came of a run.
#[derive(Debug)]
pub struct Fitted<M> {
    /// The model with the weights of the best epoch of the last stage, in validation form; the
    /// last weights if no epoch was finished.
    pub model: M,
    /// The model with the weights at the end of the run, in validation form.
    pub last: M,
    /// The epoch with the lowest validation loss in the last stage, or the lowest training loss
    /// if there are no validation rows.
    pub best_epoch: Option<usize>,
    /// Epochs done.
    pub epochs: usize,
    /// What was measured.
    pub history: History,
    /// Why the run ended.
    pub stopped: Stopped,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// All epochs are done.
    Finished,
    /// The validation loss no longer fell.
    Early,
    /// It was asked to; resuming goes on.
    Interrupted,
}

/// Epochs of a stage.
#[derive(Clone, Debug, PartialEq)]
struct Span {
    name: String,
    frozen: Vec<String>,
    /// The epochs are those after `from`, up to `to`.
    from: usize,
    to: usize,
}

/// The data of a run, and what it is recognised by.
struct Run {
    train: Arc<dyn Dataset>,
    valid: Arc<dyn Dataset>,
    vault: Vault,
    history: History,
    fingerprint: Fingerprint,
    spans: Vec<Span>,
    report: SharedReport,
    /// Whether Burn's renderer is used.
    dashboard: bool,
    steps_per_epoch: usize,
}

/// What a launch of burn-train is to do.
struct Leg<'a, M> {
    judge: &'a Judge,
    span: &'a Span,
    model: M,
    /// Records to go on from.
    start: Option<Parts>,
    /// Epochs done.
    done: usize,
    on_epoch: Option<Arc<Mutex<OnEpoch<M>>>>,
}

/// How a launch ended.
struct Launched<M> {
    model: M,
    completed: usize,
}

impl<M: TrainableModel> Trainer<M> {
    /// A run in a directory, which is made if there is none.
    pub fn new(config: TrainConfig, dir: &Path) -> Self {
        Self {
            config,
            dir: dir.into(),
            devices: Vec::new(),
            display: Display::Silent,
            interrupt: Interrupt::new(),
            on_epoch: None,
        }
    }

    /// Trains on this device, and not on the one where the model lies.
    pub fn device(self, device: Device) -> Self {
        self.devices(vec![device])
    }

    /// Trains on several devices: each gets a part of every batch, gradients are added on the
    /// first. The steps are those of one device, but for the order in which numbers are added.
    pub fn devices(mut self, devices: Vec<Device>) -> Self {
        self.devices = devices;
        self
    }

    /// How the run is shown; not at all by default.
    pub fn display(mut self, display: Display) -> Self {
        self.display = display;
        self
    }

    /// A handle that ends the run from outside.
    pub fn interrupt(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// Calls a function after every epoch, on the thread that trains.
    ///
    /// It is given the model in validation form, the epoch and what was measured so far. Its
    /// error ends the run.
    pub fn on_epoch(
        mut self,
        call: impl FnMut(&M, usize, &History) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
        + Send
        + 'static,
    ) -> Self {
        self.on_epoch = Some(Box::new(call));
        self
    }

    /// Starts a run at epoch 1.
    ///
    /// # Errors
    ///
    /// [`TrainError::Occupied`] if the directory holds checkpoints; [`TrainError::Config`] for
    /// settings, data and model that do not go together; and all other variants for what goes
    /// wrong on the way.
    pub fn fit(
        self,
        model: M,
        train: Arc<dyn Dataset>,
        valid: Arc<dyn Dataset>,
    ) -> Result<Fitted<M>> {
        if Checkpoint::newest(&self.dir).map_or(true, |found| found.is_some()) {
            return Err(TrainError::Occupied(self.dir));
        }
        self.run(model, train, valid)
    }

    /// Goes on from the newest checkpoint, or starts at epoch 1 if there is none.
    ///
    /// The model must have the architecture of the run; its weights do not matter if there is a
    /// checkpoint. A run that is finished is not trained further, unless the number of epochs has
    /// grown. Settings that would make it another run are refused: seed, batch size, accumulation,
    /// number of rows, modalities, kind of optimiser. A learning rate and its schedule may change,
    /// and hold from here on.
    ///
    /// # Errors
    ///
    /// As [`Trainer::fit`], and [`TrainError::Checkpoint`] if the newest checkpoint is not intact.
    pub fn resume(
        self,
        model: M,
        train: Arc<dyn Dataset>,
        valid: Arc<dyn Dataset>,
    ) -> Result<Fitted<M>> {
        self.run(model, train, valid)
    }

    fn run(
        mut self,
        model: M,
        train: Arc<dyn Dataset>,
        valid: Arc<dyn Dataset>,
    ) -> Result<Fitted<M>> {
        self.config.check()?;
        self.check(&model, &*train, &*valid)?;
        let model = settle(model);
        let spans = spans(&model, self.config.epochs)?;
        let _lock = lock(&self.dir)?;
        let vault = Vault::open(&self.dir, self.config.keep_last)?;
        let newest = Checkpoint::newest(&self.dir)?;
        let fingerprint = Fingerprint {
            seed: self.config.seed,
            batch_size: self.config.batch_size,
            accumulate: self.config.accumulate,
            rows: train.len(),
            validation_rows: valid.len(),
            modalities: model.modalities().iter().map(|spec| spec.name.to_string()).collect(),
            optimizer: self.config.optimizer.name().into(),
        };
        if let Some(newest) = &newest {
            let Some(run) = &newest.header.run else {
                return Err(TrainError::config(
                    "resume",
                    "a run that was trained here",
                    "weights that were trained elsewhere",
                ));
            };
            run.check(&fingerprint)?;
            let span = spans.iter().find(|s| (s.from + 1..=s.to).contains(&newest.epoch()));
            if let Some(span) = span.filter(|span| span.from != newest.header.stage_start) {
                return Err(TrainError::config(
                    "epochs of the stages",
                    format!(
                        "the stage of epoch {} to begin after epoch {} as in the run so far",
                        newest.epoch(),
                        newest.header.stage_start
                    ),
                    format!("after epoch {}", span.from),
                ));
            }
        }
        let done = newest.as_ref().map_or(0, Checkpoint::epoch);
        tracing::info!(
            "`{}`: {done} of {} epochs are done",
            self.dir.display(),
            self.config.epochs
        );
        let history = History::read(&self.dir.join(METRICS))?;
        history.cut(done)?;
        let dashboard = matches!(self.display, Display::Dashboard);
        let report = match std::mem::replace(&mut self.display, Display::Silent) {
            Display::Report(report) => SharedReport::new(report),
            Display::Dashboard | Display::Silent => SharedReport::default(),
        };
        let steps_per_epoch =
            Source::steps(train.len(), self.config.batch_size, self.config.accumulate);
        let run = Run {
            train,
            valid,
            vault,
            history,
            fingerprint,
            spans,
            report,
            dashboard,
            steps_per_epoch,
        };
        self.stages(&run, model, newest)
    }

    /// Runs what is left of the stages.
    fn stages(mut self, run: &Run, model: M, newest: Option<Checkpoint>) -> Result<Fitted<M>> {
        let mut last = match &newest {
            Some(newest) => newest.model(model.clone())?,
            None => model.clone(),
        };
        let mut done = newest.as_ref().map_or(0, Checkpoint::epoch);
        let mut newest = newest.map(|newest| newest.parts);
        let on_epoch = self.on_epoch.take().map(|call| Arc::new(Mutex::new(call)));
        let mut stopped = Stopped::Finished;
        for (i, span) in run.spans.iter().enumerate() {
            if done >= span.to && i + 1 < run.spans.len() {
                continue;
            }
            let judge = self.judge(run, i);
            while done < span.to {
                if done > span.from && judge.is_over(done) {
                    stopped = Stopped::Early;
                    break;
                }
                if self.interrupt.is_stopped() {
                    stopped = Stopped::Interrupted;
                    break;
                }
                let start = if done > span.from {
                    Some(newest.take().expect("read at the start, or restored"))
                } else if i > 0 {
                    let before = self.judge(run, i - 1);
                    let best = self.checkpoint(run, before.best(done).unwrap_or(done))?;
                    run.report.with(|report| report.event(&format!("stage {}", span.name)));
                    // Burn would panic on weights of another model.
                    best.model(model.clone())?;
                    Some(self.fresh(run, span, best.parts, None)?)
                } else {
                    None
                };
                let leg = Leg {
                    judge: &judge,
                    span,
                    model: model.clone(),
                    start,
                    done,
                    on_epoch: on_epoch.clone(),
                };
                match self.launch(run, leg) {
                    Ok(launched) => {
                        last = launched.model;
                        done = launched.completed;
                        if done < span.to {
                            let over = judge.is_over(done);
                            stopped = if over { Stopped::Early } else { Stopped::Interrupted };
                            break;
                        }
                    }
                    Err(error) => {
                        done = self.restore(run, &judge, span, error)?;
                        let restored = self.checkpoint(run, done)?;
                        last = restored.model(model.clone())?;
                        newest = Some(restored.parts);
                    }
                }
            }
            if stopped != Stopped::Finished {
                break;
            }
        }
        self.fitted(run, last, done, stopped)
    }

    /// After a value that is not finite: makes the failed epoch one that ends with the best
    /// weights so far, and says which epoch that is.
    fn restore(&self, run: &Run, judge: &Judge, span: &Span, error: TrainError) -> Result<usize> {
        let TrainError::NotFinite { epoch, .. } = error else { return Err(error) };
        let best = judge.best(epoch - 1);
        let (NonFinite::RestoreBest, Some(best)) = (self.config.non_finite, best) else {
            return Err(error);
        };
        let message = format!("{error}: going on from epoch {best}");
        tracing::warn!("{message}");
        run.report.with(|report| report.event(&message));
        let source = self.checkpoint(run, best)?;
        let optimizer = source.parts.get(OPTIMIZER).cloned();
        let mut parts = self.fresh(run, span, source.parts, Some(epoch))?;
        parts.extend(optimizer.map(|bytes| (OPTIMIZER.to_owned(), bytes)));
        let header = Header::new(epoch, span.from, Some(best), run.fingerprint.clone());
        run.vault.write(header, &parts)?;
        Ok(epoch)
    }

    /// Records of a model with a fresh optimiser and the schedule of a stage, after `epoch` or at
    /// its start.
    fn fresh(
        &self,
        run: &Run,
        span: &Span,
        mut parts: Parts,
        epoch: Option<usize>,
    ) -> Result<Parts> {
        let model = parts.remove(MODEL).expect("a checkpoint was read into a model");
        let bytes = |record: Result<Bytes, RecordError>| {
            record.map_err(|error| TrainError::Checkpoint {
                path: run.vault.path(epoch.unwrap_or(span.from)),
                reason: format!("cannot be written: {error}"),
                previous: None,
            })
        };
        let optimizer = bytes(self.config.optimizer.init().into_bytes())?;
        let scheduler = self.scheduler(run, span, epoch.unwrap_or(span.from));
        let scheduler = bytes(scheduler.to_record().checkpoint_into_bytes())?;
        let named = [(MODEL, model), (OPTIMIZER, optimizer), (SCHEDULER, scheduler)];
        Ok(named.map(|(name, bytes)| (name.to_owned(), bytes)).into())
    }

    /// The learning rate of a stage, as it is after an epoch.
    fn scheduler(&self, run: &Run, span: &Span, epoch: usize) -> ModuleLrScheduler {
        let curve = Curve::new(&self.config, span.to - span.from, run.steps_per_epoch);
        curve.after((epoch - span.from) * run.steps_per_epoch).into()
    }

    fn judge(&self, run: &Run, stage: usize) -> Judge {
        let span = &run.spans[stage];
        let last = stage + 1 == run.spans.len();
        Judge {
            history: run.history.clone(),
            split: if run.valid.is_empty() { Split::Train } else { Split::Valid },
            from: span.from,
            to: span.to,
            early_stopping: self.config.early_stopping.clone().filter(|_| last),
        }
    }

    fn checkpoint(&self, run: &Run, epoch: usize) -> Result<Checkpoint> {
        Checkpoint::read(&run.vault.path(epoch))
    }

    /// One launch of burn-train, from `done` to the end of the stage.
    fn launch(&self, run: &Run, leg: Leg<M>) -> Result<Launched<M>> {
        let Leg { judge, span, model, start, done, on_epoch } = leg;
        // Objectives tell stages by the epoch: an earlier stage is judged as at its end.
        let end = match run.spans.last() == Some(span) {
            true => Progress::DONE,
            false => Progress::new(span.to, 0.0),
        };
        let names =
            std::iter::once(LOSS.to_owned()).chain(model.learner().terms(end)).collect::<Vec<_>>();
        let context = Arc::new(Context {
            interrupt: self.interrupt.clone(),
            stop: Interrupter::new(),
            policy: self.config.non_finite,
            clip: self.config.clip.clone(),
            report: run.report.clone(),
            modalities: run.fingerprint.modalities.clone(),
            terms: names.clone(),
            epochs: run.spans.last().map_or(0, |span| span.to),
            live: Live::new(done),
        });
        let devices = match self.devices.is_empty() {
            true => model.devices().into_iter().take(1).collect(),
            false => self.devices.clone(),
        };
        let main =
            devices.first().cloned().expect("a model has parameters, and they lie somewhere");
        let source = |data: &Arc<dyn Dataset>, accumulate| Source {
            data: data.clone(),
            batch_size: self.config.batch_size,
            accumulate,
            seed: self.config.seed,
            device: main.clone(),
            share: (0, data.len()),
            context: context.clone(),
        };
        let train = TrainRows::new(source(&run.train, self.config.accumulate), done);
        let valid = ValidRows {
            source: source(&run.valid, 1),
            progress: end,
            every: self.config.evaluate_every,
            last: span.to,
        };
        let model = freeze(model.train(), span)?;
        let resumes = start.is_some();
        let collector =
            Collector::new(run.vault.clone(), context.clone(), start.unwrap_or_default());
        let part = |name| Part { collector: collector.clone(), name };
        let kept: Kept<M> = Kept::default();
        let keep = Keep::new(
            &self.config,
            judge.clone(),
            run.fingerprint.clone(),
            collector.clone(),
            context.clone(),
        );
        let after = AfterEpoch {
            judge: judge.clone(),
            context: context.clone(),
            kept: kept.clone(),
            on_epoch,
        };
        let strategy = match devices.len() {
            1 => ExecutionStrategy::single(main),
            _ => ExecutionStrategy::multi(devices, MultiDeviceOptim::OptimMainDevice),
        };
        let mut training =
            SupervisedTraining::<Fit<M>>::new(&self.dir, Arc::new(train), Arc::new(valid))
                .num_epochs(span.to)
                .with_interrupter(context.stop.clone())
                .with_custom_checkpointers(part(MODEL), part(OPTIMIZER), part(SCHEDULER))
                .with_checkpointing_strategy(keep)
                .early_stopping(after)
                .with_metric_logger(run.history.logger(context.clone()))
                .with_training_strategy(strategy.into())
                // It would install a subscriber for the whole process.
                .with_application_logger(None)
                .metric_train_numeric(Rate::default());
        for (place, name) in names.iter().enumerate() {
            training = training
                .metric_train_numeric(Term::new(name, place))
                .metric_valid_numeric(Term::new(name, place));
        }
        if !run.dashboard {
            training = training.renderer(Box::new(Adapter::new(run.report.clone())));
        }
        if resumes {
            training = training.checkpoint(done);
        }
        if self.config.accumulate > 1 {
            training = training.grads_accumulation(self.config.accumulate);
        }
        let learner = Learner::new(
            Fit::new(model, context.clone(), kept),
            self.config.optimizer.init(),
            self.scheduler(run, span, span.from),
        );
        // burn-train panics where it cannot go on; its threads are joined on the way.
        let result = catch_unwind(AssertUnwindSafe(|| training.launch(learner)));
        // What was measured in an epoch that was broken off is no part of the run.
        run.history.cut(context.completed())?;
        if let Some(error) = context.take_error() {
            return Err(error);
        }
        let result = result.map_err(|panic| TrainError::Panic(panic_message(&*panic)))?;
        if let Some(error) = result.error {
            return Err(translate(&error, &self.dir));
        }
        Ok(Launched { model: result.model.model, completed: context.completed() })
    }

    fn fitted(&self, run: &Run, last: M, done: usize, stopped: Stopped) -> Result<Fitted<M>> {
        let last = last.valid();
        let stage = run.spans.iter().rposition(|span| span.from < done).unwrap_or(0);
        let best_epoch = self.judge(run, stage).best(done);
        let model = match best_epoch {
            // A run that was interrupted may have gone on since.
            Some(best) if best < done || stopped == Stopped::Interrupted => {
                self.checkpoint(run, best)?.model(last.clone())?
            }
            _ => last.clone(),
        };
        let history = run.history.clone();
        Ok(Fitted { model, last, best_epoch, epochs: done, history, stopped })
    }

    /// Checks that settings, model and data go together.
    fn check(&self, model: &M, train: &dyn Dataset, valid: &dyn Dataset) -> Result<()> {
        if train.is_empty() {
            return Err(TrainError::config("training rows", "at least 1", 0));
        }
        if valid.is_empty() && self.config.early_stopping.is_some() {
            return Err(TrainError::config("early_stopping", "validation rows to watch", "none"));
        }
        for (split, data) in [("training", train), ("validation", valid)] {
            let shapes = |specs: &[multivae_core::modality::ModalitySpec]| -> Vec<String> {
                specs.iter().map(|spec| format!("{} {:?}", spec.name, spec.shape)).collect()
            };
            let (expected, found) = (shapes(model.modalities()), shapes(data.modalities()));
            if !data.is_empty() && expected != found {
                return Err(TrainError::config(
                    format!("modalities of the {split} data"),
                    format!("{} as in the model", expected.join(", ")),
                    found.join(", "),
                ));
            }
            let incomplete = match model.learner().needs_complete_rows() {
                true => data.incomplete_rows(),
                false => 0,
            };
            if incomplete > 0 {
                return Err(TrainError::config(
                    format!("{split} rows"),
                    "all modalities in every row, since the model's objective needs them; leave the \
                     other rows out, or take a model that accepts missing modalities",
                    format!("{incomplete} rows that lack one"),
                ));
            }
        }
        for span in spans(model, self.config.epochs)? {
            let terms = model.learner().terms(Progress::new(span.to, 0.0));
            for (i, name) in terms.iter().enumerate() {
                if name == LOSS || name == RATE || terms[..i].contains(name) {
                    let expected = format!("names other than `{LOSS}` and `{RATE}`, each once");
                    return Err(TrainError::config("terms of the model", expected, name));
                }
            }
        }
        Ok(())
    }
}

/// Loads the best weights of a run into a model of the same architecture.
///
/// # Errors
///
/// [`TrainError::Checkpoint`] if there is no checkpoint, or one is not intact, or is of another
/// model.
pub fn load_best<M: TrainableModel>(dir: &Path, model: M) -> Result<M> {
    let folder = dir.join(CHECKPOINTS);
    let newest = Checkpoint::newest(dir)?.ok_or_else(|| TrainError::Checkpoint {
        path: folder.clone(),
        reason: "holds no checkpoint".into(),
        previous: None,
    })?;
    match newest.best() {
        Some(best) if best != newest.epoch() => {
            Checkpoint::read(&folder.join(format!("epoch-{best}.ckpt")))?.model(model)
        }
        _ => newest.model(model),
    }
}

/// The epochs of the stages of a run of `epochs` epochs.
fn spans<M: TrainableModel>(model: &M, epochs: usize) -> Result<Vec<Span>> {
    let stages = model.learner().stages();
    let fixed: usize = stages.iter().filter_map(|stage| stage.epochs).sum();
    let open = stages.iter().any(|stage| stage.epochs.is_none());
    if fixed + usize::from(open) > epochs {
        let each: Vec<String> = stages
            .iter()
            .map(|stage| match stage.epochs {
                Some(epochs) => format!("{epochs} of `{}`", stage.name),
                None => format!("the rest of `{}`", stage.name),
            })
            .collect();
        let least = fixed + usize::from(open);
        let expected =
            format!("at least {least} for the stages of the model, {}", each.join(" and "));
        return Err(TrainError::config("epochs", expected, epochs));
    }
    let mut from = 0;
    let mut left = epochs - fixed;
    let mut spans = Vec::new();
    for stage in stages {
        let length = stage.epochs.unwrap_or_else(|| std::mem::take(&mut left));
        if length > 0 {
            let to = from + length;
            spans.push(Span { name: stage.name, frozen: stage.frozen, from, to });
            from = to;
        }
    }
    if spans.is_empty() {
        return Err(TrainError::config("stages of the model", "at least one epoch", "none"));
    }
    Ok(spans)
}

/// Lets the parameters of a stage learn, and no others.
fn freeze<M: Module>(model: M, span: &Span) -> Result<M> {
    let parameters = parameters(&model);
    let unused = |prefix: &&String| !parameters.iter().any(|p| p.is_below(prefix));
    if let Some(unused) = span.frozen.iter().find(unused) {
        return Err(TrainError::config(
            format!("frozen of stage {}", span.name),
            "the beginning of a parameter's path",
            unused,
        ));
    }
    Ok(module::freeze(model, &span.frozen))
}

/// Holds the directory of a run, until the file is closed: by the end of the process at the latest.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    let error = |error| TrainError::file(&path, error);
    fs::create_dir_all(dir).map_err(error)?;
    let file = File::create(&path).map_err(error)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(TrainError::Busy(dir.into())),
        // Some file systems have no locks. They are a help, and no condition.
        Err(TryLockError::Error(_)) | Ok(()) => Ok(file),
    }
}

/// Says in our words what burn-train reports.
fn translate(error: &TrainingError, dir: &Path) -> TrainError {
    match error {
        TrainingError::Dataset(error) => TrainError::Data(error.to_string().into()),
        TrainingError::Workers(_) => TrainError::Panic(error.to_string()),
        TrainingError::Checkpoint(error) => TrainError::Checkpoint {
            path: dir.join(CHECKPOINTS),
            reason: error.to_string(),
            previous: crate::latest_intact(dir).ok().flatten(),
        },
        TrainingError::EventProcessor(error) => TrainError::Device(error.to_string()),
    }
}
