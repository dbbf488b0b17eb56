//! `multivae train`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor};
use indicatif::{ProgressBar, ProgressStyle};
use multivae::{
    core::{
        dataset::Dataset,
        model::{Draws, MultimodalModel},
        nn::Networks,
        noise::Noise,
        start::at_means,
        subset::Subset,
    },
    data::{MemoryDataset, Splits, Standardisation, is_held},
    device::{self, on_workers},
    models::{Model, ModelConfig},
    run::{
        AlignedDataset, Bundle, RunConfig, RunError, RunFolder, absolute,
        files::{self, NewFolder},
        init,
    },
    train::{
        Checkpoint, Collective, Content, EpochSummary, Exhibit, Exhibits, Fitted, Interrupt,
        JsonLines, LOSS, Observed, Observer, Split, Stopped, TrainError, Trainer, agree, join,
    },
};
use serde_json::Value;

use crate::{
    arguments::TrainArguments,
    check, closing, config,
    failure::{Outcome, bad_input, of_rank},
    generate::{means, original},
    picture,
    program::{Listener, Telling, Told},
    terminal::{self, print_err, print_out},
};

/// Folder of the pictures in a run's folder.
pub(crate) const PICTURES: &str = "pictures";

/// Starts or resumes a run.
pub(crate) fn run(arguments: &TrainArguments) -> Result<Outcome> {
    started(arguments, None).map(|(_, outcome)| outcome)
}

/// The same for a program that listens, and interrupts it; gives the folder of the run, too.
pub(crate) fn listened(
    arguments: &TrainArguments,
    listener: Listener,
    interrupt: Interrupt,
) -> Result<(PathBuf, Outcome)> {
    started(arguments, Some((listener, interrupt)))
}

fn started(
    arguments: &TrainArguments,
    listener: Option<(Listener, Interrupt)>,
) -> Result<(PathBuf, Outcome)> {
    let ranks = join()?;
    if !ranks.is_first() {
        terminal::hush();
    }
    let result = match &arguments.resume {
        None => start(arguments, listener, &ranks),
        Some(folder) => resume(arguments, folder, listener, &ranks),
    };
    result.map_err(|error| of_rank(error, ranks.rank()))
}

/// Where a run is trained.
struct Place {
    folder: PathBuf,
    /// Those who train it together; the first alone writes, and says what happens.
    ranks: Arc<dyn Collective>,
    /// The first is where the model lies.
    devices: Vec<Device>,
    json: bool,
    /// How long it is trained, in minutes.
    minutes: Option<f64>,
    /// The program that is told in place of the terminal, and interrupts the run.
    listener: Option<(Listener, Interrupt)>,
}

impl Place {
    /// A line about what happens, on standard error.
    fn tell(&self, line: &str) {
        if !self.ranks.is_first() {
            return;
        }
        match &self.listener {
            Some((listener, _)) => listener(Told::Line(line.to_owned())),
            None => print_err(line),
        }
    }

    /// What the run ends by before its last epoch.
    fn interrupt(&self) -> Result<Interrupt> {
        match &self.listener {
            Some((_, interrupt)) => Ok(interrupt.clone()),
            None => terminal::interrupt(),
        }
    }
}

/// The devices to train on.
fn devices(arguments: &TrainArguments) -> Result<Vec<Device>> {
    let names = arguments.devices.iter().chain(&arguments.device);
    let named = names.map(|name| Ok(device::open(Some(name))?)).collect::<Result<Vec<_>>>()?;
    Ok(if named.is_empty() { vec![device::open(None)?] } else { named })
}

/// A run that is about to begin; nothing was written yet.
struct Prepared {
    config: RunConfig,
    place: Place,
    model: Model,
    splits: Splits,
}

fn start(
    arguments: &TrainArguments,
    listener: Option<(Listener, Interrupt)>,
    ranks: &Arc<dyn Collective>,
) -> Result<(PathBuf, Outcome)> {
    let prepared = agree(&**ranks, prepared(arguments, listener, ranks))?;
    let Prepared { config, place, model, splits } = prepared;
    let write = || -> Result<()> {
        let new = NewFolder::new(&place.folder)?;
        RunFolder::write(new.path(), &config, &splits.standardisation)?;
        splits.record.save(&new.path().join(RunFolder::DATA))?;
        new.finish()?;
        Ok(())
    };
    agree(&**ranks, ranks.is_first().then(write).transpose())?;
    let result = train(&config, &place, model, splits, None, Trainer::fit);
    if let Err(error) = &result
        && ranks.is_first()
        && error
            .downcast_ref::<TrainError>()
            .is_some_and(|e| matches!(e, TrainError::Config { .. }))
    {
        // Nothing was trained: the folder would only be in the way of the next try.
        let _ = fs::remove_dir_all(&place.folder);
    }
    Ok((place.folder, result?))
}

fn prepared(
    arguments: &TrainArguments,
    listener: Option<(Listener, Interrupt)>,
    ranks: &Arc<dyn Collective>,
) -> Result<Prepared> {
    // In another program there are no flags.
    let origin = if listener.is_some() { "settings" } else { "configuration by flags and `--set`" };
    let mut config = config::of(arguments, origin)?;
    if let Some(track) = &arguments.track {
        config.train.track.clone_from(track);
        config.train.check()?;
    }
    let folder = arguments.out.clone().unwrap_or_else(|| config.default_folder());
    let shown = folder.display();
    let instead = format!("go on with `--resume {shown}`, or choose another folder with `--out`");
    files::check_free(&folder, &instead)?;
    let devices = devices(arguments)?;
    let mut data = config.data_for_model()?;
    let splits = data.open()?;
    data.source = absolute(&data.source);
    config.data = Some(data);
    config.model = config.model_for(splits.train.modalities())?;
    let (json, minutes) = (arguments.json, arguments.minutes);
    let place = Place { folder, ranks: Arc::clone(ranks), devices, json, minutes, listener };
    if let Some(size) = large(&config.model)? {
        place.tell(&size);
    }
    let model = init(&config.model, &Networks::default(), config.train.seed, &place.devices[0])?;
    check_rows(&config, &model, &splits)?;
    check_labels(&config, &splits)?;
    Ok(Prepared { config, place, model, splits })
}

/// Parameters from which on the memory for them is said before it is taken.
const MANY: usize = 50_000_000;

/// How much memory the parameters of a large model take, before they take it.
fn large(config: &ModelConfig) -> Result<Option<String>> {
    // Weights are drawn at their first use, which never comes.
    let model = config.init(&Networks::default(), &Device::flex())?;
    let parameters = burn::module::Module::num_params(&model);
    if parameters < MANY {
        return Ok(None);
    }
    let widest = model.modalities().iter().max_by_key(|spec| spec.features());
    let widest = widest.map_or(String::new(), |spec| {
        let shape: Vec<_> = spec.shape.iter().map(ToString::to_string).collect();
        format!("; the largest modality is `{}` of {}", spec.name, shape.join("x"))
    });
    // The weights, their gradients, and two moments of the optimiser, in single precision.
    let memory = (parameters * 16) as f64 / (1u64 << 30) as f64;
    Ok(Some(format!(
        "{parameters} parameters take about {memory:.1} GiB of memory while they are trained{widest}"
    )))
}

/// Refuses rows that the model cannot learn from, and says what to do.
fn check_rows(config: &RunConfig, model: &Model, splits: &Splits) -> Result<()> {
    let incomplete = splits.train.incomplete_rows() + splits.valid.incomplete_rows();
    if !model.learner().needs_complete_rows() || incomplete == 0 {
        return Ok(());
    }
    let accepts = |name: &&str| -> Option<bool> {
        let config = ModelConfig::named(name)?.with_modalities(model.modalities()).ok()?;
        // Its weights are drawn at their first use, which never comes.
        let other = config.init(&Networks::default(), &Device::flex()).ok()?;
        Some(!other.learner().needs_complete_rows())
    };
    let names = ModelConfig::NAMES.iter().filter(|name| accepts(name) == Some(true));
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    Err(bad_input(format!(
        "`{}` learns from rows with all modalities, and {incomplete} of {} rows lack one: leave them \
         out with `--set data.missing.pattern=complete_cases`, or take a model that accepts them, \
         {}",
        config.model.name(),
        splits.train.len() + splits.valid.len(),
        names.join(", ")
    )))
}

/// Refuses to promise a measure of classes where there are none.
fn check_labels(config: &RunConfig, splits: &Splits) -> Result<()> {
    let labelled = |rows: &MemoryDataset| rows.labels().is_some_and(|labels| !labels.is_empty());
    if !config.output.coherence || (labelled(&splits.train) && labelled(&splits.test)) {
        return Ok(());
    }
    Err(bad_input(
        "`output.coherence`: expected data with labels, in the training rows and in the test rows; \
         leave it at false for this data",
    ))
}

fn resume(
    arguments: &TrainArguments,
    folder: &Path,
    listener: Option<(Listener, Interrupt)>,
    ranks: &Arc<dyn Collective>,
) -> Result<(PathBuf, Outcome)> {
    let found = agree(&**ranks, found(arguments, folder, listener, ranks))?;
    let (Prepared { config, place, model, splits }, newest) = found;
    let outcome = train(&config, &place, model, splits, newest.as_ref(), Trainer::resume)?;
    Ok((place.folder, outcome))
}

/// A run that is about to go on, and its newest checkpoint.
fn found(
    arguments: &TrainArguments,
    folder: &Path,
    listener: Option<(Listener, Interrupt)>,
    ranks: &Arc<dyn Collective>,
) -> Result<(Prepared, Option<Checkpoint>)> {
    let mut stored = RunFolder::open(folder)?;
    let devices = devices(arguments)?;
    if stored.config.data.is_none() {
        return Err(bad_input(format!(
            "the run `{}` was imported: there is no training to go on with",
            folder.display()
        )));
    }
    if let (Some(source), Some(data)) = (&arguments.data, &mut stored.config.data) {
        data.source = absolute(source);
    }
    let splits = stored.splits()?;
    // Before anything is changed; the trainer would find it later.
    let newest = match ranks.is_first() {
        true => Checkpoint::newest(folder).map_err(RunError::Train)?,
        false => None,
    };
    if ranks.is_first() {
        files::sweep(folder);
    }
    let epochs = arguments.epochs.filter(|&n| n != stored.config.train.epochs);
    if let Some(epochs) = epochs {
        stored.config.train.epochs = epochs;
        stored.config.train.check()?;
    }
    if let Some(track) = &arguments.track {
        stored.config.train.track.clone_from(track);
        stored.config.train.check()?;
    }
    let changed = epochs.is_some() || arguments.data.is_some() || arguments.track.is_some();
    if changed && ranks.is_first() {
        stored.save_config()?;
    }
    let config = stored.config;
    let model = init(&config.model, &Networks::default(), config.train.seed, &devices[0])?;
    let (json, minutes) = (arguments.json, arguments.minutes);
    let (folder, ranks) = (stored.path, Arc::clone(ranks));
    let place = Place { folder, ranks, devices, json, minutes, listener };
    Ok((Prepared { config, place, model, splits }, newest))
}

/// How a trainer is set off: [`Trainer::fit`] or [`Trainer::resume`].
type Launch = fn(
    Trainer<Model>,
    Model,
    Arc<dyn Dataset>,
    Arc<dyn Dataset>,
) -> Result<Fitted<Model>, TrainError>;

/// Trains, from the newest checkpoint on if there is one, shows how it goes, and says what came of it.
fn train(
    config: &RunConfig,
    place: &Place,
    model: Model,
    splits: Splits,
    newest: Option<&Checkpoint>,
    launch: Launch,
) -> Result<Outcome> {
    let ranks = &*place.ranks;
    // Also of a run that goes on: it may have been stopped before its first checkpoint.
    let model = at_means(model, &splits.train, &place.devices[0]).map_err(anyhow::Error::from);
    let model = agree(ranks, model)?;
    let incomplete = splits.train.incomplete_rows() + splits.valid.incomplete_rows();
    place.tell(&format!(
        "{} on {}: {} training and {} validation rows{}, {} modalities, {} parameters, in `{}`",
        config.model.name(),
        match config.data.as_ref().map(|data| data.source.as_str()) {
            Some(source) if is_held(source) => "data in memory",
            source => source.unwrap_or_default(),
        },
        splits.train.len(),
        splits.valid.len(),
        match incomplete {
            0 => String::new(),
            n => format!(", {n} of which lack a modality"),
        },
        splits.train.modalities().len(),
        burn::module::Module::num_params(&model),
        place.folder.display()
    ));
    let epochs_run = Arc::new(AtomicUsize::new(0));
    let dashboard = cfg!(feature = "dashboard") && terminal::is_watched() && !place.json;
    let dashboard = dashboard && place.listener.is_none() && !ranks.is_several();
    let (count, last) = (Arc::clone(&epochs_run), config.train.epochs);
    let shows = || -> Result<_> {
        let pictures = Pictures::new(config, place, &splits, &model)?;
        if let (Some(pictures), Some(newest)) = (&pictures, newest) {
            pictures.make_up(newest, &model, last)?;
        }
        Ok((pictures, Shown::new(config, place, &splits, &model)?))
    };
    let shows = agree(ranks, ranks.is_first().then(shows).transpose())?;
    let (pictures, shown) = shows.unwrap_or_default();
    let interrupt = agree(ranks, place.interrupt())?;
    // The first rank has the time for all.
    let minutes = place.minutes.filter(|_| ranks.is_first());
    let time = minutes.map(|minutes| Time::limit(minutes, &interrupt));
    let mut trainer = Trainer::new(config.train.clone(), &place.folder)
        .devices(place.devices.clone())
        .ranks(Arc::clone(&place.ranks))
        .dashboard(dashboard)
        .configuration(described(config)?)
        .interrupt(interrupt);
    let exhibits = trainer.exhibits();
    trainer = trainer.on_epoch(move |model, epoch, _| {
        count.fetch_add(1, Ordering::SeqCst);
        let due = |every: usize| epoch.is_multiple_of(every) || epoch == last;
        if let Some(pictures) = pictures.as_ref().filter(|pictures| due(pictures.every)) {
            let path = on_workers(&pictures.device, || pictures.draw(model, epoch))
                .map_err(|error| format!("{error:#}"))?;
            if shown.is_some()
                && let Ok(bytes) = fs::read(path)
            {
                let content = Content::Png(bytes);
                exhibits.show(Exhibit { epoch, name: "pictures".into(), content });
            }
        }
        // What only trackers see does not end a run.
        if let Some(shown) = shown.as_ref().filter(|shown| due(shown.every))
            && let Err(error) = on_workers(&shown.device, || shown.latents(model, epoch, &exhibits))
        {
            tracing::warn!("latent values of epoch {epoch} are not shown: {error:#}");
        }
        Ok(())
    });
    if place.json {
        trainer = trainer.observe(Box::new(JsonLines::new(io::stdout()).epochs()));
    }
    // The dashboard has the terminal for itself.
    if let Some((listener, _)) = &place.listener {
        trainer = trainer.observe(Box::new(Telling(Arc::clone(listener))));
    } else if !dashboard {
        trainer = trainer.observe(Box::new(Console::new(place.json)));
    }
    let Splits { train, valid, standardisation, .. } = splits;
    let (train, valid): (Arc<dyn Dataset>, Arc<dyn Dataset>) = (Arc::new(train), Arc::new(valid));
    let fitted = launch(trainer, model, Arc::clone(&train), Arc::clone(&valid))?;
    let epochs_run = epochs_run.load(Ordering::SeqCst);
    let close = || {
        bundle(config, place, &fitted, &standardisation, epochs_run)?;
        if epochs_run > 0 && fitted.stopped != Stopped::Interrupted {
            let device = &place.devices[0];
            for line in check::lines(&fitted.model, &train, &valid, epochs_run, device) {
                say(place, line)?;
            }
        }
        let over = time.is_some_and(|time| time.is_over());
        summarise(place, &fitted, epochs_run, over)
    };
    let outcome = agree(ranks, ranks.is_first().then(close).transpose())?;
    let interrupted = outcome == Some(Outcome::Interrupted);
    // All processes end alike.
    let first = ranks.gather(&[f64::from(u8::from(interrupted))])?[0];
    Ok(if first == 0.0 { Outcome::Done } else { Outcome::Interrupted })
}

/// The time that a run has.
struct Time {
    over: Arc<AtomicBool>,
}

impl Time {
    /// Ends the run after so many minutes from now.
    fn limit(minutes: f64, interrupt: &Interrupt) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (flag, interrupt) = (Arc::clone(&over), interrupt.clone());
        // It ends with the process.
        thread::spawn(move || {
            thread::sleep(Duration::from_secs_f64(minutes * 60.0));
            if !interrupt.is_stopped() {
                flag.store(true, Ordering::SeqCst);
                interrupt.stop();
            }
        });
        Self { over }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

/// Writes the best weights of a run for use elsewhere, unless those are there already. After a kill
/// between its last epoch and its end a run has none, or those of an earlier interrupt.
fn bundle(
    config: &RunConfig,
    place: &Place,
    fitted: &Fitted<Model>,
    standardisation: &Standardisation,
    epochs_run: usize,
) -> Result<()> {
    let folder = place.folder.join(RunFolder::BUNDLE);
    if fitted.epochs == 0 {
        return Ok(());
    }
    let bundle = Bundle::new(&fitted.model, &config.model, standardisation)?;
    let bundle = match RunFolder::record_at(&place.folder)? {
        Some(record) => bundle.with_known(&record.schema),
        None => bundle,
    };
    let there = (epochs_run == 0).then(|| Bundle::open(&folder).ok()).flatten();
    if there.is_some_and(|there| there.weights() == bundle.weights()) {
        return Ok(());
    }
    Ok(bundle.replace(&folder)?)
}

/// The configuration beside the training, for observers.
fn described(config: &RunConfig) -> Result<serde_json::Map<String, Value>> {
    let Value::Object(mut all) = serde_json::to_value(config)? else {
        unreachable!("a configuration is a table");
    };
    all.remove("train");
    Ok(all)
}

/// Says how a run has ended.
fn summarise(
    place: &Place,
    fitted: &Fitted<Model>,
    epochs_run: usize,
    over: bool,
) -> Result<Outcome> {
    let folder = place.folder.display();
    if fitted.stopped == Stopped::Interrupted {
        let (why, outcome) = match over {
            true => ("the time is over", Outcome::Done),
            false => ("interrupted", Outcome::Interrupted),
        };
        place.tell(&format!(
            "{why} after {} whole epochs; go on with `multivae train --resume {folder}`",
            fitted.epochs
        ));
        return Ok(outcome);
    }
    let best = fitted.best_epoch.map_or(String::new(), |epoch| {
        let split = if fitted.history.get(epoch, Split::Valid, LOSS).is_some() {
            Split::Valid
        } else {
            Split::Train
        };
        let loss = fitted.history.get(epoch, split, LOSS).unwrap_or(f64::NAN);
        format!(", the best is {epoch} with a {split} loss of {loss:.4}")
    });
    let epochs = fitted.epochs;
    let message = match (epochs_run, fitted.stopped) {
        (0, _) => format!("`{folder}` is finished: {epochs} epochs{best}"),
        (_, Stopped::Early) => {
            format!(
                "`{folder}`: stopped after {epochs} epochs, since the loss no longer fell{best}"
            )
        }
        _ => format!("`{folder}`: {epochs} epochs{best}"),
    };
    let lines = closing::lines(&place.folder, PICTURES, &place.devices[0])?;
    for line in std::iter::once(message).chain(lines) {
        say(place, line)?;
    }
    Ok(Outcome::Done)
}

/// A line for people, on standard output unless that holds JSON only.
fn say(place: &Place, line: String) -> Result<()> {
    if place.json || place.listener.is_some() {
        place.tell(&line);
    } else {
        print_out(line)?;
    }
    Ok(())
}

/// A line an epoch on standard output, and a bar on standard error if that is a terminal.
struct Console {
    bar: ProgressBar,
    /// Whether standard output is for others: what happens goes to standard error all the same.
    silent: bool,
    /// Epochs so far, and how long they took.
    epochs: usize,
    seconds: f64,
}

impl Console {
    fn new(silent: bool) -> Self {
        let style =
            ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} rows, {eta} left")
                .expect("the template is valid");
        let bar = ProgressBar::no_length().with_style(style);
        Self { bar, silent, epochs: 0, seconds: 0.0 }
    }
}

impl Observer for Console {
    fn epoch_started(&mut self, epoch: usize, epochs: usize) -> Observed {
        self.bar.reset();
        self.bar.set_prefix(format!("epoch {epoch}/{epochs}"));
        Ok(())
    }

    fn progress(&mut self, split: Split, done: usize, rows: usize) -> Observed {
        if split == Split::Train {
            self.bar.set_length(rows as u64);
            self.bar.set_position(done as u64);
        }
        Ok(())
    }

    fn epoch_finished(&mut self, summary: &EpochSummary) -> Observed {
        self.epochs += 1;
        self.seconds += summary.seconds;
        if self.silent {
            return Ok(());
        }
        let loss = |terms: &[(String, f64)]| {
            let total = terms.iter().find(|(name, _)| name == LOSS);
            total.map_or("-".to_owned(), |(_, value)| format!("{value:.4}"))
        };
        let width = summary.epochs.to_string().len();
        let left = summary.epochs.saturating_sub(summary.epoch);
        let line = format!(
            "epoch {:>width$}/{}  train loss {:>12}  valid loss {:>12}  {:.1} s{}{}",
            summary.epoch,
            summary.epochs,
            loss(&summary.train),
            loss(&summary.valid),
            summary.seconds,
            match left {
                0 => String::new(),
                _ =>
                    format!(", {} left", duration(self.seconds / self.epochs as f64 * left as f64)),
            },
            if summary.best { "  best so far" } else { "" },
        );
        self.bar.suspend(|| print_out(line))?;
        Ok(())
    }

    fn event(&mut self, message: &str) -> Observed {
        self.bar.suspend(|| print_err(message));
        Ok(())
    }
}

/// A length of time as people say it.
fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..100 => format!("{seconds} s"),
        100..6000 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Draws some rows while training: of each image modality the originals, their reconstructions
/// from all modalities, and what each other modality alone makes of it, or what the conditions of a
/// conditional model do.
struct Pictures {
    every: usize,
    folder: PathBuf,
    rows: AlignedDataset,
    images: Vec<usize>,
    standardisation: Standardisation,
    device: Device,
}

impl Pictures {
    /// `None` if there is nothing to draw.
    fn new(
        config: &RunConfig,
        place: &Place,
        splits: &Splits,
        model: &Model,
    ) -> Result<Option<Self>> {
        let specs = model.modalities().iter().enumerate();
        let images: Vec<_> =
            specs.filter(|(_, spec)| picture::is_drawable(spec)).map(|(m, _)| m).collect();
        let every = config.output.pictures_every;
        if images.is_empty() || every == 0 || model.generator().is_err() {
            return Ok(None);
        }
        let data: &MemoryDataset =
            if splits.valid.is_empty() { &splits.train } else { &splits.valid };
        // Evenly spread, since rows of one class often follow each other.
        let n = data.len().min(config.output.picture_rows);
        let chosen: Vec<_> = (0..n).map(|i| i * data.len() / n).collect();
        Ok(Some(Self {
            every,
            folder: place.folder.join(PICTURES),
            rows: AlignedDataset::new(Arc::new(data.select(&chosen)), model.modalities())?,
            images,
            standardisation: splits.standardisation.clone(),
            device: place.devices[0].clone(),
        }))
    }

    /// Draws the picture of a checkpoint's epoch, if a kill came between the two.
    fn make_up(&self, newest: &Checkpoint, model: &Model, last: usize) -> Result<()> {
        let epoch = newest.epoch();
        let due = epoch.is_multiple_of(self.every) || epoch == last;
        if !due || self.path(epoch).exists() {
            return Ok(());
        }
        let model = newest.model(model.clone()).map_err(RunError::Train)?;
        let model = burn::module::Module::valid(&model);
        on_workers(&self.device, || self.draw(&model, epoch)).map(|_| ())
    }

    fn path(&self, epoch: usize) -> PathBuf {
        self.folder.join(format!("epoch-{epoch}.png"))
    }

    /// Gives the path of the picture.
    fn draw(&self, model: &Model, epoch: usize) -> Result<PathBuf> {
        let rows: Vec<_> = (0..self.rows.len()).collect();
        let batch = self
            .rows
            .batch(&rows, &self.device)
            .map_err(|error| anyhow::anyhow!(error).context("rows cannot be read"))?;
        let specs = model.modalities();
        let generator = model.generator()?;
        // One posterior for each given set serves all targets.
        let sets = match generator.conditions() {
            Some(conditions) => vec![conditions],
            None => (0..specs.len()).map(Subset::single).collect(),
        };
        let generated = generator.generated();
        let targets = self.images.iter().copied().filter(|&m| generated.contains(m));
        let targets = Subset::new(targets).ok();
        let from = |given: Subset| {
            let Some(targets) = targets else { return Vec::new() };
            let latent = generator.encode(&batch, given, Draws::Mean, &mut Noise::zero());
            let means = means(generator, &self.standardisation, &latent, targets);
            targets.iter().zip(means).collect::<Vec<_>>()
        };
        let all = from(Subset::full(specs.len()));
        let fewer: Vec<_> = sets.into_iter().map(|given| (given, from(given))).collect();
        let of = |m: usize, means: &[(usize, Tensor<2>)]| {
            means.iter().find(|(target, _)| *target == m).map(|(_, mean)| mean.clone())
        };
        let mut drawn = Vec::new();
        for &m in &self.images {
            let spec = &specs[m];
            if let Some(values) = original(&self.standardisation, &batch, spec, m) {
                drawn.push(picture::row(spec, values, |row| self.rows.presence(row).contains(m))?);
            }
            if let Some(mean) = of(m, &all) {
                drawn.push(picture::row(spec, mean, |_| true)?);
            }
            for (given, means) in fewer.iter().filter(|(given, _)| !given.contains(m)) {
                let observed =
                    |row| given.union(self.rows.presence(row)) == self.rows.presence(row);
                if let Some(mean) = of(m, means) {
                    drawn.push(picture::row(spec, mean, observed)?);
                }
            }
        }
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("folder `{}`", self.folder.display()))?;
        let path = self.path(epoch);
        picture::write(&path, &drawn)?;
        Ok(path)
    }
}

/// What trackers show of a model: how its latent values are distributed.
struct Shown {
    every: usize,
    rows: AlignedDataset,
    device: Device,
}

/// Rows whose latent values are shown: enough for a histogram, and encoded in no time.
const SHOWN_ROWS: usize = 256;

impl Shown {
    /// `None` if nobody follows the run.
    fn new(
        config: &RunConfig,
        place: &Place,
        splits: &Splits,
        model: &Model,
    ) -> Result<Option<Self>> {
        if config.train.track.is_empty() || model.encoder().is_err() {
            return Ok(None);
        }
        let data: &MemoryDataset =
            if splits.valid.is_empty() { &splits.train } else { &splits.valid };
        let n = data.len().min(SHOWN_ROWS);
        let chosen: Vec<_> = (0..n).map(|i| i * data.len() / n).collect();
        Ok(Some(Self {
            every: config.output.pictures_every.max(1),
            rows: AlignedDataset::new(Arc::new(data.select(&chosen)), model.modalities())?,
            device: place.devices[0].clone(),
        }))
    }

    /// Shows the means of all latent spaces.
    fn latents(&self, model: &Model, epoch: usize, exhibits: &Exhibits) -> Result<()> {
        let rows: Vec<_> = (0..self.rows.len()).collect();
        let batch = self
            .rows
            .batch(&rows, &self.device)
            .map_err(|error| anyhow::anyhow!(error).context("rows cannot be read"))?;
        let all = Subset::full(model.modalities().len());
        let latent = model.encoder()?.encode(&batch, all, Draws::Mean, &mut Noise::zero());
        for (space, values) in latent.named() {
            let values = values.into_data().iter::<f32>().collect();
            let name = format!("latent/{space}");
            exhibits.show(Exhibit { epoch, name, content: Content::Values(values) });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use multivae::{core::modality::ModalitySpec, models::ModelConfig};

    use super::{duration, large};

    #[test]
    fn the_memory_of_a_volume_is_said_before_it_is_taken() {
        let size = |shape: [usize; 4]| {
            let spec = ModalitySpec::new("mri", &shape).expect("valid");
            let config = ModelConfig::named("mvae").expect("listed");
            large(&config.with_modalities(&[spec]).expect("one modality")).expect("it can be built")
        };
        assert_eq!(size([1, 8, 8, 8]), None);
        // Convolutions, which a volume of few slices has not.
        assert_eq!(size([1, 64, 64, 64]), None);
        let said = size([1, 4, 256, 256]).expect("many parameters");
        assert!(
            said.starts_with("268992040 parameters") && said.contains("about 4.0 GiB"),
            "{said}"
        );
        assert!(said.ends_with("the largest modality is `mri` of 1x4x256x256"), "{said}");
    }

    #[test]
    fn lengths_of_time_are_rounded_as_people_do() {
        let cases = [(0.4, "0 s"), (99.4, "99 s"), (119.0, "2 min"), (7500.0, "2 h 5 min")];
        for (seconds, expected) in cases {
            assert_eq!(duration(seconds), expected);
        }
    }
}
