//! What an evaluation was made with.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use multivae::{
    core::{dataset::Dataset, model::MultimodalModel, schema::Fingerprint},
    data::{data_code, is_held},
    report::Fact,
    run::{Run, RunFolder},
    train::{History, LOSS, Split},
};

use crate::arguments::EvaluateArguments;

/// The data's name: of a path its last part.
pub(crate) fn data_name(source: &str) -> String {
    if is_held(source) {
        return "data in memory".into();
    }
    let path = std::path::Path::new(source);
    path.file_name().map_or_else(|| source.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Model, data, training, program and device; `files` is the code of what was evaluated, `timings` are seconds by what took them.
pub(crate) fn facts(
    run: &Run,
    data: &dyn Dataset,
    files: Option<&Fingerprint>,
    arguments: &EvaluateArguments,
    timings: &[(String, f64)],
) -> Result<Vec<Fact>> {
    let fact = |name: &str, value: String| Fact { name: name.to_owned(), value };
    let config = &run.folder.config;
    let specs = run.trained.model.modalities().iter();
    let specs: Vec<_> = specs
        .map(|spec| {
            let shape: Vec<_> = spec.shape.iter().map(ToString::to_string).collect();
            format!("{} ({})", spec.name, shape.join("\u{d7}"))
        })
        .collect();
    let mut facts = vec![
        fact("Model", config.model.name().to_owned()),
        fact("Parameters", burn::module::Module::num_params(&run.trained.model).to_string()),
        fact("Modalities", specs.join(", ")),
    ];
    let source = arguments.data.as_deref().or(config.data.as_ref().map(|d| d.source.as_str()));
    if let Some(source) = source {
        facts.push(fact("Evaluated data", data_name(source)));
    }
    let incomplete = data.incomplete_rows();
    let incomplete = if incomplete == 0 {
        String::new()
    } else {
        format!(", {incomplete} of them lack a modality")
    };
    facts.push(fact("Evaluated rows", format!("{}{incomplete}", data.len())));
    if let Some(files) = files {
        let rows = (0..data.len()).map(|row| data.id(row));
        facts.push(fact(Fact::MEASURED_ON, data_code(files, rows)));
    }
    if let Some(record) = &run.folder.record {
        let none: [&str; 0] = [];
        facts.push(fact(Fact::TRAINED_ON, data_code(&record.fingerprint, none)));
    }
    if let Some(own) = &config.data {
        facts.push(fact("Training data", data_name(&own.source)));
        if own.missing.rate > 0.0 {
            let rate = format!("{:.0} % of the modalities", 100.0 * own.missing.rate);
            facts.push(fact("Taken away in training", rate));
        }
        facts.extend(training(run)?.map(|value| fact(TRAINING, value)));
        facts.push(fact("Seed of the training", config.train.seed.to_string()));
    }
    facts.push(fact("Seed of the evaluation", arguments.run.seed.to_string()));
    if run.trained.model.encoder()?.conditions().is_none() {
        let sampler = arguments.sampler.as_ref().map(|folder| folder.to_string_lossy());
        let sampler = sampler.map_or("the prior".to_owned(), |folder| data_name(&folder));
        facts.push(fact("Joint samples", format!("of {sampler}")));
    }
    facts.push(fact("Program", format!("multivae {}", env!("CARGO_PKG_VERSION"))));
    facts.push(fact("Device", arguments.run.device.clone().unwrap_or_else(|| "flex".to_owned())));
    facts.push(fact("Day", today()));
    let timings: Vec<_> =
        timings.iter().map(|(name, seconds)| format!("{name} {seconds:.1} s")).collect();
    facts.push(fact("Time", timings.join(", ")));
    Ok(facts)
}

/// The name of what says how long a run was trained.
pub(crate) const TRAINING: &str = "Training";

/// How long a run was trained, and which of its weights are the best; `None` of an imported one.
pub(crate) fn training(run: &Run) -> Result<Option<String>> {
    if run.folder.config.data.is_none() {
        return Ok(None);
    }
    let history = History::read(&run.folder.path.join(RunFolder::METRICS))?;
    let epochs = history.last_epoch();
    let split = match history.get(epochs, Split::Valid, LOSS) {
        Some(_) => Split::Valid,
        None => Split::Train,
    };
    let best = history.best(LOSS, split, ..);
    let best = best.map_or(String::new(), |best| format!(", weights of epoch {best}"));
    Ok(Some(format!("{epochs} epochs{best}")))
}

/// The day in UTC, as `2026-01-31`.
fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    day((since / 86_400) as i64)
}

/// The date of a number of days after 1970-01-01.
fn day(days: i64) -> String {
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let (mut year, mut left) = (1970, days);
    while left >= 365 + i64::from(leap(year)) {
        left -= 365 + i64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while left >= lengths[month] {
        left -= lengths[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(59), "1970-03-01");
        assert_eq!(day(11_016), "2000-02-29");
        assert_eq!(day(20_453), "2025-12-31");
    }

    #[test]
    fn data_is_named_by_the_last_part_of_its_path() {
        assert_eq!(data_name("polydigits"), "polydigits");
        assert_eq!(data_name("some/where/patients"), "patients");
    }
}
