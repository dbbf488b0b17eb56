//! Runs: stage after stage, from the start or from where one was broken off.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use burn::{
    store::{ModuleRecord, RecordError},
    tensor::{Bytes, Device},
};
use multivae_core::{dataset::Dataset, model::TrainableModel, module::init_parameters};
use serde_json::{Map, Value};

use crate::{
    Result, TrainError,
    checkpoint::{CHECKPOINTS, Checkpoint, Checkpoints, Fingerprint, Header, OPTIMIZER},
    collective::{Alone, Collective, Together, agree},
    config::{NonFinite, TrainConfig},
    context::Interrupt,
    epoch::{ModelSelection, OnEpoch},
    history::History,
    launch::{Launch, Run},
    observer::{Artifact, Exhibits, Observer, Observers, RunEnd, RunInfo, Stopped},
    plan::{StageEpochs, optimizer_names, stages},
    preflight,
};

/// File of the history in a run's directory.
pub(crate) const METRICS: &str = "metrics.jsonl";

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
///
/// # Phases
///
/// Where the model's [stages](multivae_core::model::Stage) have several phases, every batch is taken
/// by each of them in order, as often as it says: a *turn* each. The rows are the same in all turns;
/// the noise differs, since the step of its [key](multivae_core::batch::NoiseKey) holds the number
/// of the turn in its upper 32 bits. Each phase has an optimiser of its own, and computes gradients
/// of what learns in it only: a parameter of two phases has a state in each. The schedule of the
/// learning rate counts batches, not turns. Losses are recorded as `loss` for the first phase, the
/// one that is validated and judged, and as `loss/NAME` for the others.
///
/// # Examples
///
/// A generator and a critic: the model says what its phases are, the settings which optimiser each
/// has.
///
/// ```
/// use std::sync::Arc;
///
/// use burn::tensor::{Device, Tensor};
/// use multivae_core::{
///     batch::{Batch, Progress},
///     model::{Learn, Loss, Phase, Stage},
///     noise::Noise,
/// };
/// use multivae_train::{Split, TrainConfig, Trainer};
/// # use burn::{module::Module, nn::{Linear, LinearConfig}};
/// # use multivae_core::{
/// #     dataset::{Dataset, DatasetError}, modality::ModalitySpec,
/// #     model::{Multimodal, MultimodalModel}, subset::Subset,
/// # };
/// # #[derive(Module, Debug)]
/// # struct Gan {
/// #     generator: Linear,
/// #     critic: Linear,
/// #     #[module(skip)]
/// #     modalities: Vec<ModalitySpec>,
/// # }
/// # impl Multimodal for Gan {
/// #     fn modalities(&self) -> &[ModalitySpec] { &self.modalities }
/// # }
/// # impl MultimodalModel for Gan {
/// #     fn learner(&self) -> &dyn Learn { self }
/// # }
/// # struct Ones(Vec<ModalitySpec>);
/// # impl Dataset for Ones {
/// #     fn modalities(&self) -> &[ModalitySpec] { &self.0 }
/// #     fn len(&self) -> usize { 32 }
/// #     fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
/// #         Ok(Batch::complete(vec![Tensor::ones([rows.len(), 2], device)])?)
/// #     }
/// #     fn presence(&self, _: usize) -> Subset { Subset::full(1) }
/// # }
///
/// impl Learn for Gan {
///     fn stages(&self) -> Vec<Stage> {
///         vec![Stage::whole().phases(vec![
///             Phase::new("generator", &["generator"]),
///             Phase::new("critic", &["critic"]).repeats(2).clip(0.1),
///         ])]
///     }
///
///     fn terms(&self, progress: Progress) -> Vec<String> {
///         vec![["deceit", "difference"][progress.phase].into()]
///     }
///
///     fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
///         let observed = batch.observed(0).dense().expect("numbers").clone();
///         let noise = noise.normal(observed.dims(), 0, &batch.device());
///         let score = |x: Tensor<2>| self.critic.forward(x).mean();
///         let generated = score(self.generator.forward(noise));
///         let value = match batch.progress.phase {
///             0 => -generated,
///             _ => generated - score(observed),
///         };
///         let name = self.terms(batch.progress).remove(0);
///         Loss { total: value.clone(), terms: vec![(name, value)] }
///     }
/// }
///
/// let config: TrainConfig = toml::from_str(
///     "epochs = 2
///     [phases.critic.optimizer]
///     name = 'rmsprop'
///     learning_rate = 5e-5",
/// )?;
/// # let device = Device::flex();
/// # let modalities = vec![ModalitySpec::new("point", &[2])?];
/// # let model = Gan {
/// #     generator: LinearConfig::new(2, 2).init(&device),
/// #     critic: LinearConfig::new(2, 1).init(&device),
/// #     modalities: modalities.clone(),
/// # };
/// # let (train, valid) = (Arc::new(Ones(modalities.clone())), Arc::new(Ones(modalities)));
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let fitted = Trainer::new(config, dir).fit(model, train, valid)?;
/// assert!(fitted.history.get(2, Split::Train, "loss/critic").is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Trainer<M> {
    config: TrainConfig,
    dir: PathBuf,
    devices: Vec<Device>,
    ranks: Arc<dyn Collective>,
    dashboard: bool,
    observers: Vec<Box<dyn Observer>>,
    exhibits: Exhibits,
    configuration: Map<String, Value>,
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

impl<M: TrainableModel> Trainer<M> {
    /// A run in a directory, which is made if there is none.
    pub fn new(config: TrainConfig, dir: &Path) -> Self {
        Self {
            config,
            dir: dir.into(),
            devices: Vec::new(),
            ranks: Arc::new(Alone),
            dashboard: false,
            observers: Vec::new(),
            exhibits: Exhibits::default(),
            configuration: Map::new(),
            interrupt: Interrupt::new(),
            on_epoch: None,
        }
    }

    /// Trains on this device, and not on the one where the model lies.
    pub fn device(self, device: Device) -> Self {
        self.devices(vec![device])
    }

    /// Trains on several devices: each gets a part of every batch, gradients are added on the
    /// first. The steps are those of one device, but for the order in which numbers are added, if
    /// the objective is a mean over rows, or over some of them by
    /// [`Batch::share_of`](multivae_core::batch::Batch::share_of). Statistics that layers take of
    /// their batch are those of its share.
    pub fn devices(mut self, devices: Vec<Device>) -> Self {
        self.devices = devices;
        self
    }

    /// Makes the steps of the run together with other processes, or threads: each calls
    /// [`fit`](Self::fit) or [`resume`](Self::resume) with the same settings, model and data, and has one
    /// device. Each takes a share of every batch, with the noise that these rows have anyway, and
    /// gradients are summed once a step: what [`devices`](Self::devices) says of several devices holds of
    /// several ranks too. Batches of validation are dealt out whole. Dropout draws other masks.
    ///
    /// The first rank alone reads and writes the directory, has observers and is called after epochs;
    /// first weights are its own. Checkpoints know nothing of ranks: a run goes on with another number
    /// of them.
    ///
    /// A rank that fails on its own [ends](Collective::abort) the run on all of them.
    pub fn ranks(mut self, ranks: Arc<dyn Collective>) -> Self {
        self.ranks = ranks;
        self
    }

    /// Tells an observer what happens; may be called several times, for several of them.
    pub fn observe(mut self, observer: Box<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Where the function that is called after every epoch puts pictures and values that observers,
    /// trackers among them, are to show.
    pub fn exhibits(&self) -> Exhibits {
        self.exhibits.clone()
    }

    /// Whether Burn's own renderer shows the run, beside all observers: its terminal dashboard, if
    /// Burn's feature `tui` is on and the output is a terminal, otherwise a line for every batch on
    /// the standard output. Off by default.
    pub fn dashboard(mut self, dashboard: bool) -> Self {
        self.dashboard = dashboard;
        self
    }

    /// What observers are told of the run's configuration beside the settings of its training:
    /// entries such as `model` and `data`.
    pub fn configuration(mut self, configuration: Map<String, Value>) -> Self {
        self.configuration = configuration;
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
        self.run(model, train, valid, true)
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
        self.run(model, train, valid, false)
    }

    fn run(
        mut self,
        model: M,
        train: Arc<dyn Dataset>,
        valid: Arc<dyn Dataset>,
        is_new: bool,
    ) -> Result<Fitted<M>> {
        let ranks = Arc::clone(&self.ranks);
        let _together = Together(&*ranks);
        let checked = self.checked(model, &*train, &*valid, is_new);
        let checked = agree(&*ranks, checked)?;
        let opened = ranks.is_first().then(|| self.opened()).transpose();
        let opened = agree(&*ranks, opened)?;
        let result = self.trained(checked, opened, train, valid);
        if let Err(error) = &result
            && ranks.is_several()
            && !error.is_of_all()
        {
            ranks.abort(&error.to_string());
        }
        result
    }

    /// What is known before anything is written.
    fn checked(
        &mut self,
        model: M,
        train: &dyn Dataset,
        valid: &dyn Dataset,
        is_new: bool,
    ) -> Result<Checked<M>> {
        if is_new
            && self.ranks.is_first()
            && Checkpoint::newest(&self.dir).map_or(true, |found| found.is_some())
        {
            return Err(TrainError::Occupied(self.dir.clone()));
        }
        self.config.check()?;
        let model = init_parameters(model);
        let devices = match self.devices.is_empty() {
            true => burn::module::Module::devices(&model).into_iter().take(1).collect(),
            false => std::mem::take(&mut self.devices),
        };
        if devices.is_empty() {
            return Err(TrainError::config("model", "parameters to learn", "none"));
        }
        let (stages, note) = stages(model.learner(), self.config.epochs)?;
        let ranks = self.ranks.ranks();
        preflight::check(&self.config, &stages, &model, train, valid, &devices, ranks)?;
        let precision = preflight::precision(self.config.precision, &devices);
        let notes = note.into_iter().chain(precision).collect();
        Ok(Checked { model, devices, stages, notes })
    }

    /// Holds the directory, and finds what is there.
    fn opened(&self) -> Result<Opened> {
        let lock = lock(&self.dir)?;
        let checkpoints = Checkpoints::open(&self.dir, self.config.keep_last)?;
        let newest = Checkpoint::newest(&self.dir)?;
        Ok(Opened { _lock: lock, checkpoints, newest })
    }

    fn trained(
        mut self,
        checked: Checked<M>,
        opened: Option<Opened>,
        train: Arc<dyn Dataset>,
        valid: Arc<dyn Dataset>,
    ) -> Result<Fitted<M>> {
        let Checked { model, devices, stages, notes } = checked;
        let ranks = Arc::clone(&self.ranks);
        let (_lock, checkpoints, newest) = match opened {
            Some(Opened { _lock, checkpoints, newest }) => (Some(_lock), checkpoints, newest),
            None => (None, Checkpoints::elsewhere(&self.dir, self.config.keep_last), None),
        };
        let newest = Checkpoint::shared(&*ranks, newest)?;
        let model = match newest {
            None => first_weights(&*ranks, model)?,
            Some(_) => model,
        };
        let fingerprint = Fingerprint {
            seed: self.config.seed,
            batch_size: self.config.batch_size,
            accumulate: self.config.accumulate,
            rows: train.len(),
            validation_rows: valid.len(),
            modalities: model.modalities().iter().map(|spec| spec.name.to_string()).collect(),
            optimizer: self.config.optimizer.name().into(),
            phases: optimizer_names(&self.config),
        };
        if let Some(newest) = &newest {
            check_continuation(newest, &fingerprint, &stages)?;
            if ranks.is_first() {
                // A kill may have come before what it made superfluous was removed.
                checkpoints.prune(newest.epoch(), newest.best());
            }
        }
        let done = newest.as_ref().map_or(0, Checkpoint::epoch);
        tracing::info!(
            "`{}`: {done} of {} epochs are done",
            self.dir.display(),
            self.config.epochs
        );
        let path = self.dir.join(METRICS);
        let read = ranks.is_first().then(|| History::read(&path)).transpose()?;
        let history = History::shared(&*ranks, &path, read)?;
        history.cut(done)?;
        let configuration = self.described();
        let trackers = self.config.track.iter();
        self.observers
            .extend(trackers.map(|track| Box::new(track.follower()) as Box<dyn Observer>));
        if !ranks.is_first() {
            // They would tell everything once more.
            self.observers.clear();
            self.on_epoch = None;
        }
        let observers = Observers::new(std::mem::take(&mut self.observers), self.exhibits);
        let info = RunInfo {
            dir: self.dir.clone(),
            configuration,
            modalities: fingerprint.modalities.clone(),
            epochs: self.config.epochs,
            epochs_done: done,
            rows: train.len(),
            validation_rows: valid.len(),
            seed: self.config.seed,
            parameters: burn::module::Module::num_params(&model),
        };
        observers.each(|observer| observer.run_started(&info));
        for note in notes.iter().filter(|_| ranks.is_first()) {
            tracing::warn!("{note}");
            observers.each(|observer| observer.event(note));
        }
        let run = Run {
            config: self.config,
            dir: self.dir,
            devices,
            // Nobody but burn-train knows when its dashboard ends a run.
            dashboard: self.dashboard && !ranks.is_several(),
            interrupt: match ranks.is_several() {
                true => Interrupt::new(),
                false => self.interrupt.clone(),
            },
            asked: self.interrupt,
            ranks,
            train,
            valid,
            checkpoints,
            history,
            fingerprint,
            stages,
            observers,
        };
        let result = run_stages(&run, self.on_epoch, model, newest);
        if run.ranks.is_first() && run.history.path().exists() {
            let path = run.history.path();
            run.observers.each(|observer| observer.artifact(path, Artifact::Metrics));
        }
        let end = match &result {
            Ok(fitted) => RunEnd::Stopped {
                why: fitted.stopped,
                epochs: fitted.epochs,
                best_epoch: fitted.best_epoch,
            },
            Err(error) => RunEnd::Failed(error),
        };
        run.observers.each(|observer| observer.run_ended(&end));
        result
    }

    /// The settings, with what the caller says of the rest of the configuration.
    fn described(&mut self) -> Value {
        let mut all = std::mem::take(&mut self.configuration);
        let train = serde_json::to_value(&self.config).expect("settings are plain data");
        all.insert("train".into(), train);
        all.into()
    }
}

/// A run that was found to be possible.
struct Checked<M> {
    model: M,
    devices: Vec<Device>,
    stages: Vec<StageEpochs>,
    notes: Vec<String>,
}

/// The directory of a run, which the first rank holds.
struct Opened {
    _lock: File,
    checkpoints: Checkpoints,
    newest: Option<Checkpoint>,
}

/// The model of the first rank on all of them: what derives from the data, such as first means, may
/// differ in its last bits between processors.
fn first_weights<M: TrainableModel>(ranks: &dyn Collective, model: M) -> Result<M> {
    if !ranks.is_several() {
        return Ok(model);
    }
    let bytes = match ranks.is_first() {
        true => model.clone().into_record().into_bytes().map(|bytes| bytes.to_vec()),
        false => Ok(Vec::new()),
    };
    let device = |error: RecordError| TrainError::Device(error.to_string());
    let mut bytes = bytes.map_err(device)?;
    ranks.share(&mut bytes, 0)?;
    if ranks.is_first() {
        return Ok(model);
    }
    let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes)).map_err(device)?;
    model.try_load_record(record).map_err(|error| {
        TrainError::config("model", "the same on all ranks", format!("another: {error}"))
    })
}

/// Checks that a run goes on as it was begun.
fn check_continuation(
    newest: &Checkpoint,
    fingerprint: &Fingerprint,
    stages: &[StageEpochs],
) -> Result<()> {
    let Some(run) = &newest.header.run else {
        return Err(TrainError::config(
            "resume",
            "a run that was trained here",
            "weights that were trained elsewhere",
        ));
    };
    run.check(fingerprint)?;
    let stage = stages.iter().find(|s| (s.from + 1..=s.to).contains(&newest.epoch()));
    if let Some(stage) = stage.filter(|stage| stage.from != newest.header.stage_start) {
        return Err(TrainError::config(
            "epochs of the stages",
            format!(
                "the stage of epoch {} to begin after epoch {} as in the run so far",
                newest.epoch(),
                newest.header.stage_start
            ),
            format!("after epoch {}", stage.from),
        ));
    }
    Ok(())
}

/// Runs what is left of the stages.
fn run_stages<M: TrainableModel>(
    run: &Run,
    on_epoch: Option<OnEpoch<M>>,
    model: M,
    newest: Option<Checkpoint>,
) -> Result<Fitted<M>> {
    let mut last = match &newest {
        Some(newest) => newest.model(model.clone())?,
        None => model.clone(),
    };
    let mut done = newest.as_ref().map_or(0, Checkpoint::epoch);
    let mut newest = newest.map(|newest| newest.parts);
    let on_epoch = on_epoch.map(|call| Arc::new(Mutex::new(call)));
    let mut stopped = Stopped::Finished;
    for (i, stage) in run.stages.iter().enumerate() {
        if done >= stage.to && i + 1 < run.stages.len() {
            continue;
        }
        let selection = run.selection(i);
        while done < stage.to {
            if done > stage.from && selection.is_over(done) {
                stopped = Stopped::Early;
                break;
            }
            if run.interrupt.is_stopped() {
                stopped = Stopped::Interrupted;
                break;
            }
            let start = if done > stage.from {
                Some(newest.take().expect("read at the start, or restored"))
            } else if i > 0 {
                let before = run.selection(i - 1);
                let best = run.checkpoint(before.best(done).unwrap_or(done))?;
                run.observers.each(|observer| observer.event(&format!("stage {}", stage.name)));
                Some(run.fresh(stage, best.parts, None)?)
            } else {
                None
            };
            let launch = Launch {
                selection: &selection,
                stage,
                model: model.clone(),
                start,
                done,
                on_epoch: on_epoch.clone(),
            };
            match run.launch(launch) {
                Ok(launched) => {
                    last = launched.model;
                    done = launched.completed;
                    if done < stage.to {
                        let over = selection.is_over(done);
                        stopped = if over { Stopped::Early } else { Stopped::Interrupted };
                        break;
                    }
                }
                Err(error) => {
                    done = restore(run, &selection, stage, error)?;
                    let restored = run.checkpoint(done)?;
                    last = restored.model(model.clone())?;
                    newest = Some(restored.parts);
                }
            }
        }
        if stopped != Stopped::Finished {
            break;
        }
    }
    fitted(run, last, done, stopped)
}

/// After a value that is not finite: makes the failed epoch one that ends with the best weights so
/// far, and says which epoch that is.
fn restore(
    run: &Run,
    selection: &ModelSelection,
    stage: &StageEpochs,
    error: TrainError,
) -> Result<usize> {
    let TrainError::NotFinite { epoch, .. } = error else { return Err(error) };
    let best = selection.best(epoch - 1);
    let (NonFinite::RestoreBest, Some(best)) = (run.config.non_finite, best) else {
        return Err(error);
    };
    let message = format!("{error}: going on from epoch {best}");
    if run.ranks.is_first() {
        tracing::warn!("{message}");
    }
    run.observers.each(|observer| observer.event(&message));
    let source = run.checkpoint(best)?;
    let is_optimizer = |name: &str| name.split('/').next() == Some(OPTIMIZER);
    let mut optimizers = source.parts.clone();
    optimizers.retain(|name, _| is_optimizer(name));
    let mut parts = run.fresh(stage, source.parts, Some(epoch))?;
    parts.extend(optimizers);
    let header = Header::new(epoch, stage.from, Some(best), run.fingerprint.clone());
    if run.ranks.is_first() {
        run.checkpoints.write(header, &parts)?;
    }
    let path = run.checkpoints.path(epoch);
    run.observers.each(|observer| observer.artifact(&path, Artifact::Checkpoint));
    Ok(epoch)
}

fn fitted<M: TrainableModel>(
    run: &Run,
    last: M,
    done: usize,
    stopped: Stopped,
) -> Result<Fitted<M>> {
    let last = last.valid();
    let stage = run.stages.iter().rposition(|stage| stage.from < done).unwrap_or(0);
    let best_epoch = run.selection(stage).best(done);
    let model = match best_epoch {
        // A run that was interrupted may have gone on since.
        Some(best) if best < done || stopped == Stopped::Interrupted => {
            // Not into a clone, with which it would share the running statistics of its layers.
            run.checkpoint(best)?.model(last.valid())?
        }
        _ => last.clone(),
    };
    let history = run.history.clone();
    Ok(Fitted { model, last, best_epoch, epochs: done, history, stopped })
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
        reason: "holds no checkpoint, as of a run that ended before its first epoch did: go on with it by `train --resume`".into(),
        previous: None,
    })?;
    match newest.best() {
        Some(best) if best != newest.epoch() => {
            Checkpoint::read(&folder.join(format!("epoch-{best}.ckpt")))?.model(model)
        }
        _ => newest.model(model),
    }
}

/// Holds the directory of a run, until the file is closed: by the end of the process at the latest.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    let error = |error| TrainError::file(&path, error);
    fs::create_dir_all(dir).map_err(error)?;
    let file = File::create(&path).map_err(error)?;
    for _ in 0..WAITS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(WAIT),
            // Some file systems have no locks. They are a help, and no condition.
            Err(TryLockError::Error(_)) | Ok(()) => return Ok(file),
        }
    }
    Err(TrainError::Busy(dir.into()))
}

/// How often a directory is asked for, and how long is waited in between: a program that is started
/// beside a run that ends holds what it held for a moment, until it has become its own.
const WAITS: usize = 20;
const WAIT: Duration = Duration::from_millis(50);
