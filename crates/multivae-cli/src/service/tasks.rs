//! What is computed for a request: the rows as the program reads them from files, and what its tasks
//! would write.

use std::{fmt, sync::Arc, time::Instant};

use anyhow::Result;
use multivae::{
    core::{dataset::Dataset, model::MultimodalModel, pass::Pass, subset::Subset},
    data::{EmptyRows, Lacking},
    run::{Impute, OpenedRows, Run},
    samplers::PriorSampler,
};

use super::{
    refusal::Refusal,
    request::{Asked, Settings},
};
use crate::{
    encode,
    generate::{self, Decoded},
    impute,
    watched::Watched,
    written::Written,
};

/// Rows at once at most, as the tasks of the program take them unless something else is said.
const BATCH: usize = 256;
/// Values at once, unless a row has more: what is computed between two looks at the clock.
const AT_ONCE: usize = 1 << 18;
/// Rows of the prior if it is not said how many.
const PRIOR: u64 = 10;
/// Values of an answer at most.
const VALUES: u64 = 1 << 24;
/// Latent samples of an answer at most, of all rows.
const DRAWS: u64 = 1 << 18;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Encode,
    Generate,
    Impute,
}

impl Task {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Generate => "generate",
            Self::Impute => "impute",
        }
    }
}

/// A request may not take longer.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooLate;

impl fmt::Display for TooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it takes longer than a request may take")
    }
}

impl std::error::Error for TooLate {}

/// An answer.
pub(super) struct Answer {
    pub(super) task: Task,
    pub(super) written: Written,
    /// What was found in the rows, and what was done about it.
    pub(super) notes: Vec<String>,
}

/// Rows that are computed between two looks at the clock: the fewer, the more values a row has and the
/// more samples are drawn of it. What comes out does not depend on it.
fn rows_at_once(run: &Run, task: Task, samples: Option<usize>) -> usize {
    let features = run.trained.modalities().iter().map(|spec| spec.features()).sum::<usize>();
    at_once(features, if task == Task::Impute { samples.unwrap_or(1) } else { 1 })
}

fn at_once(features: usize, samples: usize) -> usize {
    (AT_ONCE / features.saturating_mul(samples).max(1)).clamp(1, BATCH)
}

/// Does what is asked for, which ends at the deadline at the latest between two batches.
pub(super) fn answer(
    run: &Run,
    task: Task,
    asked: Asked,
    most_rows: u64,
    deadline: Instant,
) -> Result<Answer> {
    asked.check(task)?;
    let Asked { rows, settings } = asked;
    let count = rows.as_ref().map_or(settings.n.unwrap_or(PRIOR), |rows| rows.len() as u64);
    if count > most_rows {
        return Err(Refusal::too_many("too_many_rows", "rows", most_rows, count).into());
    }
    check_draws(run, task, count, &settings)?;
    let Some(rows) = rows else {
        return from_prior(run, count, &settings, deadline);
    };
    let missing_columns = settings.missing_columns.unwrap_or_default();
    let empty_rows = if task == Task::Impute { EmptyRows::LeaveOut } else { EmptyRows::Refuse };
    let OpenedRows { files, .. } = run.open_new(rows, Lacking { missing_columns, empty_rows })?;
    // Rows that are read come before any work on them.
    let before = move |_: &[usize]| match Instant::now() < deadline {
        true => Ok(()),
        false => Err(TooLate.into()),
    };
    let data = Arc::new(Watched { data: Arc::new(files.data.clone()), before });
    let rows = OpenedRows { data: run.trained.align(data)?, files };
    let mut notes: Vec<String> =
        rows.files.report.warnings.iter().map(ToString::to_string).collect();
    if let Some(first) = rows.files.empty_rows.first() {
        let count = rows.files.empty_rows.len();
        notes.push(format!("rows that observe nothing are left out: {count}, first `{first}`"));
    }
    let (seed, samples) = (settings.seed.unwrap_or(0), settings.samples.map(|n| n as usize));
    let batch_size = rows_at_once(run, task, samples);
    let given = || -> Result<Subset> { Ok(run.trained.given(&words(settings.given.as_ref()))?) };
    let written = match task {
        Task::Encode => {
            let (pass, given) = (Pass { batch_size, seed }, given()?);
            let parts = encode::parts(run, &rows.data, given, samples, pass)?;
            notes.extend(encode::notes(run, &rows.data, given)?);
            let written = Written::of(task.name(), &rows.data, rows.files.data.schema());
            written.with_presence(&rows.data).with_parts(parts)
        }
        Task::Generate => {
            let targets = run.trained.targets(&words(settings.target.as_ref()))?;
            check_values(run, count, targets)?;
            let given = match &settings.given {
                Some(_) => given()?,
                None => {
                    let there = rows.files.data.modalities().iter().map(|spec| spec.name.as_str());
                    run.trained.given(&there.collect::<Vec<_>>())?
                }
            };
            check_given(run, &rows, given)?;
            let decoded = Decoded::of(run, &rows.data, given, targets, batch_size)?;
            decoded.written(run, &rows.data, Some(&rows.files), given, targets)?
        }
        Task::Impute => {
            check_values(run, count, run.trained.targets(&[])?)?;
            let how = Impute { batch_size, seed, samples };
            let (written, said) = impute::written(run, &rows, &how)?;
            notes.extend(said);
            written
        }
    };
    Ok(Answer { task, written, notes })
}

fn from_prior(run: &Run, count: u64, settings: &Settings, deadline: Instant) -> Result<Answer> {
    let task = Task::Generate;
    if count == 0 {
        return Err(Refusal::setting("n", "1 or more", 0).into());
    }
    let targets = run.trained.targets(&words(settings.target.as_ref()))?;
    check_values(run, count, targets)?;
    let seed = settings.seed.unwrap_or(0);
    let chunk = rows_at_once(run, task, None);
    let sampler = PriorSampler { rows: count as usize, chunk, seed };
    let chunks = sampler.chunks(run.trained.model.generator()?, &run.trained.device);
    let chunks = chunks.map_err(|error| {
        Refusal::new(422, "lacks", format!("{error}; give rows as `modalities`"))
    })?;
    let timed = chunks.map(|latent| match Instant::now() < deadline {
        true => Ok(latent),
        false => Err(TooLate.into()),
    });
    let means = generate::of_latents(run, timed, targets)?;
    let written = generate::written_latents(run, task.name(), means, targets)?;
    Ok(Answer { task, written, notes: Vec::new() })
}

fn words(names: Option<&Vec<String>>) -> Vec<&str> {
    names.into_iter().flatten().map(String::as_str).collect()
}

/// Refuses more draws than an answer or the memory of one batch has room for.
fn check_draws(run: &Run, task: Task, rows: u64, settings: &Settings) -> Result<(), Refusal> {
    let Some(samples) = settings.samples else { return Ok(()) };
    match task {
        Task::Impute => {
            if samples < 2 {
                return Err(Refusal::setting("samples", "2 or more", samples));
            }
            let specs = run.trained.modalities();
            let widest = specs.iter().map(|spec| spec.features()).max().unwrap_or(1) as u64;
            let found = samples.saturating_mul(widest);
            if found > VALUES {
                let what = "values of the draws of a row";
                return Err(Refusal::too_many("too_many_values", what, VALUES, found));
            }
        }
        _ => {
            if samples == 0 {
                return Err(Refusal::setting("samples", "1 or more", samples));
            }
            let found = rows.saturating_mul(samples);
            if found > DRAWS {
                return Err(Refusal::too_many("too_many_values", "samples", DRAWS, found));
            }
        }
    }
    Ok(())
}

/// Refuses an answer of too many values.
fn check_values(run: &Run, rows: u64, targets: Subset) -> Result<(), Refusal> {
    let specs = run.trained.modalities();
    let width: u64 = targets.iter().map(|m| specs[m].features() as u64).sum();
    let found = rows.saturating_mul(width);
    if found <= VALUES {
        return Ok(());
    }
    Err(Refusal::too_many("too_many_values", "values in an answer", VALUES, found))
}

/// Refuses rows that lack something of what they are generated from.
fn check_given(run: &Run, rows: &OpenedRows, given: Subset) -> Result<(), Refusal> {
    let lacks = |&row: &usize| given.union(rows.data.presence(row)) != rows.data.presence(row);
    let Some(row) = (0..rows.data.len()).find(lacks) else { return Ok(()) };
    let label = given.label(run.trained.modalities());
    let id = rows.data.id(row);
    let message = format!("row `{id}` does not observe all of `{label}`, which is given");
    Err(Refusal::new(422, "rows", message).with("row", id).with("expected", label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_time_is_kept_within_the_work_of_so_many_values_or_one_row() {
        assert_eq!(at_once(5, 1), BATCH);
        assert_eq!(at_once(1024, 1), BATCH);
        for (features, samples) in [(1025, 1), (4000, 1), (5, 1000), (20_000, 10), (1 << 18, 1)] {
            let rows = at_once(features, samples);
            assert!((1..=BATCH).contains(&rows), "{features} {samples}");
            assert!(rows * features * samples <= AT_ONCE, "{features} {samples}");
        }
        assert_eq!(at_once(196_608, 1), 1);
        assert_eq!(at_once(usize::MAX, 2), 1);
        assert_eq!(at_once(0, 1), BATCH);
    }
}
