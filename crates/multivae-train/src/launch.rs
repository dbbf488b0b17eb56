//! One launch of burn-train: a stage, or what is left of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use burn::{
    lr_scheduler::module_lr_scheduler::ModuleLrScheduler,
    store::RecordError,
    tensor::{Bytes, Device},
    train::{
        ExecutionStrategy, Interrupter, Learner, MultiDeviceOptim, SupervisedTraining,
        TrainingError, checkpoint::Checkpoint as _,
    },
};
use multivae_core::{batch::Progress, dataset::Dataset, model::TrainableModel};

use crate::{
    Result, TrainError,
    checkpoint::{
        CHECKPOINTS, Checkpoint, Checkpoints, Collector, Fingerprint, MODEL, OPTIMIZER, Part,
        Parts, SCHEDULER, optimizer_of,
    },
    collective::{Collective, agree},
    config::TrainConfig,
    context::{Context, Interrupt, Live},
    epoch::{AfterEpoch, Keep, ModelSelection, OnEpoch},
    fit::{Fit, Kept},
    history::History,
    latest_intact,
    logger::Logger,
    observer::Observers,
    panic_message,
    plan::{self, PhasePlan, StageEpochs},
    preflight::cutting,
    renderer::{ProgressLogger, Silent},
    rows::{Cutting, Source, TrainRows, ValidRows, share_of_rank},
    schedule::Curve,
    split::Split,
    terms::{Rate, Term},
};

/// The data of a run, its files, and what it is recognised by.
pub(crate) struct Run {
    pub(crate) config: TrainConfig,
    pub(crate) dir: PathBuf,
    pub(crate) ranks: Arc<dyn Collective>,
    /// Where it is trained; the first device makes the steps.
    pub(crate) devices: Vec<Device>,
    pub(crate) train: Arc<dyn Dataset>,
    pub(crate) valid: Arc<dyn Dataset>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) history: History,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) stages: Vec<StageEpochs>,
    /// By which this process is asked to end the run, and what all ranks have been asked.
    pub(crate) asked: Interrupt,
    pub(crate) interrupt: Interrupt,
    pub(crate) observers: Observers,
    /// Whether Burn's renderer is used.
    pub(crate) dashboard: bool,
}

/// What a launch of burn-train is to do.
pub(crate) struct Launch<'a, M> {
    pub(crate) selection: &'a ModelSelection,
    pub(crate) stage: &'a StageEpochs,
    pub(crate) model: M,
    /// Records to go on from.
    pub(crate) start: Option<Parts>,
    /// Epochs done.
    pub(crate) done: usize,
    pub(crate) on_epoch: Option<Arc<Mutex<OnEpoch<M>>>>,
}

/// How a launch ended.
pub(crate) struct Launched<M> {
    pub(crate) model: M,
    pub(crate) completed: usize,
}

impl Run {
    /// By what the epochs of a stage are compared.
    pub(crate) fn selection(&self, stage: usize) -> ModelSelection {
        let last = stage + 1 == self.stages.len();
        let stage = &self.stages[stage];
        ModelSelection {
            history: self.history.clone(),
            split: if self.valid.is_empty() { Split::Train } else { Split::Valid },
            from: stage.from,
            to: stage.to,
            early_stopping: self.config.early_stopping.clone().filter(|_| last),
        }
    }

    /// A checkpoint, which the first rank reads for all.
    pub(crate) fn checkpoint(&self, epoch: usize) -> Result<Checkpoint> {
        let ranks = &*self.ranks;
        let path = self.checkpoints.path(epoch);
        let read = ranks.is_first().then(|| Checkpoint::read(&path)).transpose();
        let found = Checkpoint::shared(ranks, agree(ranks, read)?)?;
        Ok(found.expect("the first rank has read it"))
    }

    /// Records of a model with fresh optimisers and the schedule of a stage, after `epoch` or at
    /// its start.
    pub(crate) fn fresh(
        &self,
        stage: &StageEpochs,
        mut parts: Parts,
        epoch: Option<usize>,
    ) -> Result<Parts> {
        let epoch = epoch.unwrap_or(stage.from);
        let model = parts.remove(MODEL).expect("a checkpoint was read into a model");
        let bytes = |record: Result<Bytes, RecordError>| {
            record.map_err(|error| TrainError::Checkpoint {
                path: self.checkpoints.path(epoch),
                reason: format!("cannot be written: {error}"),
                previous: None,
            })
        };
        let scheduler = bytes(self.scheduler(stage, epoch).to_record().checkpoint_into_bytes())?;
        let mut fresh = Parts::from([(MODEL.to_owned(), model), (SCHEDULER.to_owned(), scheduler)]);
        for (i, phase) in stage.phases.iter().enumerate() {
            let (optimizer, _) = plan::optimizer(phase, &self.config);
            let name = if i == 0 { OPTIMIZER.to_owned() } else { optimizer_of(&phase.name) };
            fresh.insert(name, bytes(optimizer.init().into_bytes())?);
        }
        Ok(fresh)
    }

    /// How the training rows of a stage are cut.
    fn cutting(&self, stage: &StageEpochs) -> Cutting {
        cutting(&self.config, stage, self.devices.len() * self.ranks.ranks())
    }

    /// The learning rate of a stage, as it is after an epoch.
    fn scheduler(&self, stage: &StageEpochs, epoch: usize) -> ModuleLrScheduler {
        let turns = stage.turns().len();
        let steps = self.cutting(stage).steps(self.train.len(), turns);
        let curve = Curve::new(&self.config, stage.epochs(), steps, turns);
        curve.after(epoch - stage.from).into()
    }

    /// One launch of burn-train, from the epochs that are done to the end of the stage.
    pub(crate) fn launch<M: TrainableModel>(&self, launch: Launch<M>) -> Result<Launched<M>> {
        let Launch { selection, stage, model, start, done, on_epoch } = launch;
        let model = match &start {
            // Its parameters keep the identities by which optimisers know them.
            Some(parts) => Checkpoint::weights(parts, model, &self.checkpoints.path(done))?,
            None => model,
        };
        let phases = plan::phases(&model, stage, &self.config)?;
        let context = Arc::new(self.context(phases, start.as_ref(), done)?);
        let model = plan::freeze(model.train(), stage);
        let resumes = start.is_some();
        let collector =
            Collector::new(self.checkpoints.clone(), context.clone(), start.unwrap_or_default());
        let kept: Kept<M> = Kept::default();
        let after = AfterEpoch {
            selection: selection.clone(),
            context: context.clone(),
            kept: kept.clone(),
            on_epoch,
        };
        let mut training = self.training(stage, selection, &context, &collector, after);
        if resumes {
            training = training.checkpoint(done);
        }
        let learner = Learner::new(
            Fit::new(model, context.clone(), kept),
            context.phases[0].optimizer.init(),
            self.scheduler(stage, stage.from),
        );
        // burn-train panics where it cannot go on; its threads are joined on the way.
        let result = catch_unwind(AssertUnwindSafe(|| training.launch(learner)));
        // What was measured in an epoch that was broken off is no part of the run.
        self.history.cut(context.completed())?;
        if let Some(error) = context.take_error() {
            return Err(error);
        }
        let result = result.map_err(|panic| TrainError::Panic(panic_message(&*panic)))?;
        if let Some(error) = result.error {
            return Err(translate(&error, &self.dir));
        }
        Ok(Launched { model: result.model.model, completed: context.completed() })
    }

    /// What the parts of a launch share.
    fn context(
        &self,
        phases: Vec<PhasePlan>,
        start: Option<&Parts>,
        done: usize,
    ) -> Result<Context> {
        let later = phases.iter().skip(1);
        let optimizers = later
            .map(|phase| {
                let optimizer = phase.optimizer.init();
                let Some(parts) = start else { return Ok(optimizer) };
                let refuse = |reason: String| TrainError::Checkpoint {
                    path: self.checkpoints.path(done),
                    reason: format!("optimiser of phase {}: {reason}", phase.name),
                    previous: None,
                };
                let bytes = parts.get(&optimizer_of(&phase.name)).ok_or_else(|| {
                    refuse("there is none; the run was made with other phases, start anew".into())
                })?;
                optimizer.from_bytes(bytes.clone()).map_err(|error| refuse(error.to_string()))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Context {
            ranks: self.ranks.clone(),
            asked: self.asked.clone(),
            interrupt: self.interrupt.clone(),
            stop: Interrupter::new(),
            policy: self.config.non_finite,
            clip: self.config.clip.clone(),
            precision: self.config.precision,
            observers: self.observers.clone(),
            modalities: self.fingerprint.modalities.clone(),
            phases,
            optimizers: Mutex::new(optimizers),
            epochs: self.stages.last().map_or(0, |stage| stage.to),
            live: Live::new(done),
        })
    }

    /// Burn's training with our loaders, checkpointers, strategies and metrics.
    fn training<M: TrainableModel>(
        &self,
        stage: &StageEpochs,
        selection: &ModelSelection,
        context: &Arc<Context>,
        collector: &Arc<Collector>,
        after: AfterEpoch<M>,
    ) -> SupervisedTraining<Fit<M>> {
        let main = self.devices[0].clone();
        let turns = stage.turns();
        let source = |data: &Arc<dyn Dataset>, cutting: Cutting, turns: Vec<usize>| Source {
            share: (0, data.len() * turns.len()),
            data: data.clone(),
            cutting,
            turns: turns.into(),
            clock: stage.clock,
            seed: self.config.seed,
            device: main.clone(),
            context: context.clone(),
        };
        let cutting = self.cutting(stage);
        let mut of_train = source(&self.train, cutting, turns);
        let (rank, ranks) = (self.ranks.rank(), self.ranks.ranks());
        of_train.share = share_of_rank(of_train.share.1, rank, ranks);
        let train = TrainRows::new(of_train, context.completed());
        let least = stage.phases[0].rows.least();
        let undivided = Cutting { accumulate: 1, devices: 1, least, ..cutting };
        let valid = ValidRows {
            source: source(&self.valid, undivided, vec![0]),
            // Objectives tell stages by the epoch: an earlier stage is judged as at its end.
            progress: match self.stages.last() == Some(stage) {
                true => Progress::DONE,
                false => stage.clock.end(),
            },
            every: self.config.evaluate_every,
            last: stage.to,
        };
        let part = |name| Part { collector: collector.clone(), name };
        let keep = Keep::new(
            &self.config,
            selection.clone(),
            self.fingerprint.clone(),
            collector.clone(),
            context.clone(),
        );
        let strategy = match self.devices.len() {
            1 => ExecutionStrategy::single(main.clone()),
            _ => ExecutionStrategy::multi(self.devices.clone(), MultiDeviceOptim::OptimMainDevice),
        };
        let mut training =
            SupervisedTraining::<Fit<M>>::new(&self.dir, Arc::new(train), Arc::new(valid))
                .num_epochs(stage.to)
                .with_interrupter(context.stop.clone())
                .with_custom_checkpointers(part(MODEL), part(OPTIMIZER), part(SCHEDULER))
                .with_checkpointing_strategy(keep)
                .early_stopping(after)
                .with_metric_logger(Logger::new(self.history.clone(), context.clone()))
                .with_progress_logger(ProgressLogger::new(self.observers.clone()))
                .with_training_strategy(strategy.into())
                // It would install a subscriber for the whole process.
                .with_application_logger(None);
        // The dashboard shows them in this order, and opens on the first.
        for phase in &context.phases {
            for (place, name) in (phase.first..).zip(&phase.terms) {
                training = training.metric_train_numeric(Term::new(name, place));
                if phase.first == 0 {
                    training = training.metric_valid_numeric(Term::new(name, place));
                }
            }
        }
        training = training.metric_train_numeric(Rate::default());
        if !self.dashboard {
            training = training.renderer(Box::new(Silent));
        }
        if self.config.accumulate > 1 {
            training = training.grads_accumulation(self.config.accumulate);
        }
        training
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
            previous: latest_intact(dir).ok().flatten(),
        },
        TrainingError::EventProcessor(error) => TrainError::Device(error.to_string()),
    }
}
