//! The tasks of the program for another program that has them in its own process, such as one in
//! Python. They print nothing and handle no signals.
//!
//! Data that is in memory has a name of its own, which stands wherever a path can: see
//! [`HeldData`](multivae::data::HeldData). Tasks compute on the threads that kernels use.
//!
//! ```
//! use std::sync::Arc;
//! use multivae::train::Interrupt;
//! use multivae_cli::program::{self, Choice, Told};
//!
//! # let place = tempfile::tempdir()?;
//! # let folder = place.path().join("run").display().to_string();
//! let words = ["--model", "mvae", "--data", "mfeat", "--epochs", "1", "--set", "data.rows=100"];
//! let words = words.iter().copied().chain(["--out", &folder]).map(str::to_owned);
//! let epochs = |told: Told| {
//!     if let Told::Epoch(epoch) = told {
//!         assert_eq!(epoch.epoch, 1);
//!     }
//! };
//! let trained = program::train(words, Arc::new(epochs), Interrupt::new())?;
//! assert!(!trained.interrupted);
//! let run = program::open(&trained.folder, None)?;
//! let latent = program::encode(&run, None, &Choice::default())?;
//! assert_eq!((latent.ids.len(), latent.parts[0].values.shape()), (100, vec![100, 20]));
//! # Ok::<(), anyhow::Error>(())
//! ```

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Error, Result};
use clap::Parser;
pub use multivae::report::Report;
use multivae::{
    core::{
        dataset::Dataset,
        model::{Draws, MultimodalModel},
        noise::Noise,
        pass::Pass,
    },
    data::{ColumnCells, EmptyRows, Lacking, MissingColumns},
    device::{self, on_workers},
    metrics::{EvaluateConfig, Evaluation},
    models::exchange::{Entry, Weights, fill},
    run::{Impute, OpenedRows, Run, RunConfig, RunFolder, Trained},
    samplers::PriorSampler,
    train::{EpochSummary, Interrupt, Observed, Observer, RunInfo, Split},
};

pub use crate::npz::Array;
use crate::{
    arguments::{Arguments, Task},
    columns, comments, encode as latents, evaluate,
    failure::{self, Outcome, bad_input},
    generate::{self as decoded, Decoded},
    given, impute as imputed, train as training,
    written::{Part, Role, Written},
};

/// What is told while a model is trained.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Told {
    /// A line for people: what is trained, how it ended, what looks wrong.
    Line(String),
    /// Something out of the ordinary: a step left out, weights restored, a new stage.
    Event(String),
    /// The run begins or goes on.
    Started(Box<RunInfo>),
    /// So many of the rows of an epoch are done.
    Progress {
        /// Rows done.
        done: usize,
        /// Rows of the epoch.
        rows: usize,
    },
    /// An epoch has ended.
    Epoch(Box<EpochSummary>),
}

/// Who is told; called from several threads.
pub type Listener = Arc<dyn Fn(Told) + Send + Sync>;

/// How training has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The folder of the run.
    pub folder: PathBuf,
    /// Whether it was interrupted, so that it can be resumed.
    pub interrupted: bool,
}

/// Which rows, from what, and how.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Modalities that are given; without it all, or those that the rows have.
    pub given: Option<Vec<String>>,
    /// Modalities that are generated; without it all that can be.
    pub target: Option<Vec<String>>,
    /// Draws of each row; without it the mean of the posterior.
    pub samples: Option<usize>,
    /// What draws derive from.
    pub seed: u64,
    /// Rows at once: memory against speed.
    pub batch_size: usize,
    /// What is done about columns that new data lacks.
    pub missing_columns: MissingColumns,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            given: None,
            target: None,
            samples: None,
            seed: 0,
            batch_size: 256,
            missing_columns: MissingColumns::default(),
        }
    }
}

impl Choice {
    fn check(&self, least: usize) -> Result<()> {
        if self.batch_size == 0 {
            return Err(bad_input("`batch_size`: expected 1 or more, found 0"));
        }
        match self.samples {
            Some(samples) if samples < least => {
                Err(bad_input(format!("`samples`: expected {least} or more, found {samples}")))
            }
            _ => Ok(()),
        }
    }

    fn rows(&self, run: &Run, source: Option<&str>, empty_rows: EmptyRows) -> Result<OpenedRows> {
        let lacking = Lacking { missing_columns: self.missing_columns, empty_rows };
        Ok(run.open_rows(source, lacking)?)
    }
}

/// What a task makes of rows.
#[derive(Debug)]
pub struct Output {
    /// Identifiers of the rows, their numbers if the data has none; empty for samples of the prior.
    pub ids: Vec<String>,
    /// The values.
    pub parts: Vec<OutputPart>,
    /// What is to be known of it.
    pub notes: Vec<String>,
}

/// Values of all rows.
#[derive(Debug)]
pub struct OutputPart {
    /// The modality, or the latent space.
    pub name: String,
    /// Whether these are values that were read, beside which others were generated.
    pub original: bool,
    /// Names of the values of a row.
    pub columns: Option<Vec<String>>,
    /// The values, the first axis the rows; of several draws these are the first axis.
    pub values: Array,
    /// The columns of a table whose columns are of several kinds, or text, in its own terms.
    pub cells: Option<Vec<(String, ColumnCells)>>,
}

impl Output {
    fn of(written: Written, notes: Vec<String>) -> Self {
        let ids = written.ids.unwrap_or_default();
        let parts = written.parts.into_iter().map(OutputPart::of).collect();
        Self { ids, parts, notes }
    }
}

impl OutputPart {
    fn of(part: Part) -> Self {
        let cells =
            (part.table.is_some() || part.texts.is_some()).then(|| columns::of("", None, &[&part]));
        Self {
            name: part.name,
            original: part.role == Role::Original,
            columns: part.columns,
            values: part.values,
            cells,
        }
    }
}

/// The program with these arguments, the first of which is its name, as in a process of its own, of
/// which it gives the exit code.
pub fn main(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> u8 {
    match Arguments::try_parse_from(words) {
        Ok(arguments) => crate::with(&arguments),
        Err(error) => {
            // There is nowhere left to say that this failed.
            let _ = error.print();
            u8::try_from(error.exit_code()).unwrap_or(failure::BAD_INPUT)
        }
    }
}

/// An error with its causes, in one line.
pub fn message(error: &Error) -> String {
    failure::causes(error)
}

/// Whether an error is about what was given, and not about what it was done with.
pub fn is_about_input(error: &Error) -> bool {
    failure::code(error) == failure::BAD_INPUT
}

fn words(names: Option<&Vec<String>>) -> Vec<&str> {
    names.into_iter().flatten().map(String::as_str).collect()
}

fn parsed(name: &str, words: impl IntoIterator<Item = String>) -> Result<Task> {
    let words = ["multivae".to_owned(), name.to_owned()].into_iter().chain(words);
    let arguments = Arguments::try_parse_from(words).map_err(|error| {
        let text = error.to_string();
        bad_input(text.strip_prefix("error: ").unwrap_or(&text).trim().to_owned())
    })?;
    Ok(arguments.task)
}

/// A task of the program by its name and arguments, which prints its lines.
///
/// # Errors
///
/// As the program's.
pub fn task(words: impl IntoIterator<Item = String>) -> Result<()> {
    let mut words = words.into_iter();
    let name = words.next().unwrap_or_default();
    crate::run(&parsed(&name, words)?).map(|_| ())
}

/// `multivae train` with these arguments, also to go on with a run.
///
/// # Errors
///
/// As the program's.
pub fn train(
    words: impl IntoIterator<Item = String>,
    listener: Listener,
    interrupt: Interrupt,
) -> Result<Ended> {
    let Task::Train(arguments) = parsed("train", words)? else {
        unreachable!("the task is named above");
    };
    let (folder, outcome) = training::listened(&arguments, listener, interrupt)?;
    Ok(Ended { folder, interrupted: outcome == Outcome::Interrupted })
}

/// A run, or a bundle, with its best weights; on the default device if none is named.
///
/// # Errors
///
/// As [`Run::open`].
pub fn open(folder: &Path, device: Option<&str>) -> Result<Run> {
    given::run_on(folder, device)
}

/// The model of a bundle in memory, as a run without data of its own.
///
/// # Errors
///
/// As [`RunFolder::from_bytes`].
pub fn open_bytes(bytes: &[u8], device: Option<&str>) -> Result<Run> {
    let folder = RunFolder::from_bytes(bytes)?;
    Ok(folder.load(&device::open(device)?)?)
}

/// The same model with other weights, all of them by the names of its bundle. Its folder, if it has one,
/// still holds those of before.
///
/// # Errors
///
/// For weights that are missing, of another shape, or of no place in the model.
pub fn with_weights(run: &Run, weights: Vec<Entry>) -> Result<Run> {
    let Trained { model, config, .. } = &run.trained;
    let model = fill(model.clone(), config, &Weights::unordered(weights))?;
    Ok(Run { trained: Trained { model, ..run.trained.clone() }, ..run.clone() })
}

/// The configuration of a model with all defaults and what they mean, as TOML.
///
/// # Errors
///
/// For an unknown model.
pub fn defaults(model: &str) -> Result<String> {
    comments::commented(&RunConfig::named(model)?)
}

/// Latent values of rows, of the run's own data or of a source: a part for each space.
///
/// # Errors
///
/// As `multivae encode`.
pub fn encode(run: &Run, source: Option<&str>, choice: &Choice) -> Result<Output> {
    choice.check(1)?;
    let given = run.trained.given(&words(choice.given.as_ref()))?;
    let OpenedRows { data, files } = choice.rows(run, source, EmptyRows::Refuse)?;
    let pass = Pass { batch_size: choice.batch_size, seed: choice.seed };
    on_workers(&run.trained.device, || {
        let parts = latents::parts(run, &data, given, choice.samples, pass)?;
        let notes = latents::notes(run, &data, given)?;
        let written = Written::of("encode", &data, files.data.schema()).with_parts(parts);
        Ok(Output::of(written, notes))
    })
}

/// The targets of rows that observe all that is given, at the mean of the posterior or at draws of
/// it, which are the first axis then; beside it the values of the rows themselves.
///
/// # Errors
///
/// As `multivae generate`; for rows that lack something of what is given.
pub fn generate(run: &Run, source: Option<&str>, choice: &Choice) -> Result<Output> {
    choice.check(1)?;
    let targets = run.trained.targets(&words(choice.target.as_ref()))?;
    let rows = choice.rows(run, source, EmptyRows::Refuse)?;
    let given = match &choice.given {
        Some(_) => run.trained.given(&words(choice.given.as_ref()))?,
        None => {
            let there = rows.files.data.modalities().iter().map(|spec| spec.name.as_str());
            run.trained.given(&there.collect::<Vec<_>>())?
        }
    };
    let lacking = decoded::lacking(&rows.data, given);
    if let Some((first, count)) = lacking {
        let label = given.label(run.trained.modalities());
        let others =
            if count > 1 { format!(", nor do {} others", count - 1) } else { String::new() };
        return Err(bad_input(format!(
            "row `{first}` does not observe all of `{label}`, which is given{others}"
        )));
    }
    on_workers(&run.trained.device, || {
        let Some(samples) = choice.samples else {
            let decoded = Decoded::of(run, &rows.data, given, targets, choice.batch_size)?;
            let files = Some(&rows.files);
            let written = decoded.written(run, &rows.data, files, given, targets)?;
            return Ok(Output::of(written, Vec::new()));
        };
        let Trained { model, device, .. } = &run.trained;
        // As many values at once as without draws.
        let batch_size = (choice.batch_size / samples).max(1);
        let pass = Pass { batch_size, seed: choice.seed };
        let encoder = model.encoder()?;
        let draws = pass.batches(&rows.data, device).map(|batch| {
            let (_, batch) = batch?;
            let mut noise = Noise::of(&batch);
            Ok((encoder.encode(&batch, given, Draws::Samples(samples), &mut noise), batch))
        });
        let written = decoded::written_draws(run, &rows, draws, targets)?;
        Ok(Output::of(written, Vec::new()))
    })
}

/// Rows of the prior of the model.
///
/// # Errors
///
/// As `multivae generate --prior`.
pub fn sample(run: &Run, rows: usize, choice: &Choice) -> Result<Output> {
    choice.check(1)?;
    if rows == 0 {
        return Err(bad_input("`n`: expected 1 or more, found 0"));
    }
    let targets = run.trained.targets(&words(choice.target.as_ref()))?;
    on_workers(&run.trained.device, || {
        let sampler = PriorSampler { rows, chunk: choice.batch_size, seed: choice.seed };
        let chunks = sampler.chunks(run.trained.model.generator()?, &run.trained.device);
        let chunks = chunks.map_err(|error| bad_input(error.to_string()))?;
        let means = decoded::of_latents(run, chunks.map(Ok), targets)?;
        Ok(Output::of(decoded::written_latents(run, "generate", means, targets)?, Vec::new()))
    })
}

/// Rows with all their missing values imputed, and for each modality `NAME.imputed`, which of them
/// were; of draws also `NAME.std`, `NAME.low` and `NAME.high`.
///
/// # Errors
///
/// As `multivae impute`.
pub fn impute(run: &Run, source: Option<&str>, choice: &Choice) -> Result<Output> {
    choice.check(2)?;
    let rows = choice.rows(run, source, EmptyRows::LeaveOut)?;
    let how = Impute { batch_size: choice.batch_size, seed: choice.seed, samples: choice.samples };
    on_workers(&run.trained.device, || {
        let (written, mut notes) = imputed::written(run, &rows, &how)?;
        if let Some(first) = rows.files.empty_rows.first() {
            let count = rows.files.empty_rows.len();
            notes.insert(
                0,
                format!("rows that observe nothing are left out: {count}, first `{first}`"),
            );
        }
        Ok(Output::of(written, notes))
    })
}

/// The bound of rows and its parts; of the test split of the run if no source is given.
///
/// # Errors
///
/// As `multivae evaluate`.
pub fn score(run: &Run, source: Option<&str>, choice: &Choice) -> Result<Evaluation> {
    choice.check(1)?;
    let data = match source {
        None => run.test_split()?,
        Some(_) => choice.rows(run, source, EmptyRows::Refuse)?.data,
    };
    let config = EvaluateConfig { batch_size: choice.batch_size, seed: choice.seed };
    on_workers(&run.trained.device, || {
        let density = run.trained.model.density()?;
        Ok(multivae::metrics::evaluate(density, &data, &config, &run.trained.device)?)
    })
}

/// `multivae evaluate` with these arguments, the first of which is the run; nothing is written but
/// the classifiers of a run that has none.
///
/// # Errors
///
/// As the program's.
pub fn evaluate(words: impl IntoIterator<Item = String>) -> Result<Report> {
    let Task::Evaluate(arguments) = parsed("evaluate", words)? else {
        unreachable!("the task is named above");
    };
    on_workers(&device::open(arguments.run.device.as_deref())?, || evaluate::report_of(&arguments))
}

/// Tells a listener what an observer is told.
pub(crate) struct Telling(pub(crate) Listener);

impl Observer for Telling {
    fn run_started(&mut self, run: &RunInfo) -> Observed {
        (self.0)(Told::Started(Box::new(run.clone())));
        Ok(())
    }

    fn progress(&mut self, split: Split, done: usize, rows: usize) -> Observed {
        if split == Split::Train {
            (self.0)(Told::Progress { done, rows });
        }
        Ok(())
    }

    fn epoch_finished(&mut self, summary: &EpochSummary) -> Observed {
        (self.0)(Told::Epoch(Box::new(summary.clone())));
        Ok(())
    }

    fn event(&mut self, message: &str) -> Observed {
        (self.0)(Told::Event(message.to_owned()));
        Ok(())
    }
}
