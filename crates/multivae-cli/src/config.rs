//! The configuration of `multivae train`: defaults, a file, flags and `--set`, in this order of
//! precedence.

use anyhow::{Context, Result};
use multivae::run::{RunConfig, table};
use toml::{Table, Value};

use crate::{arguments::TrainArguments, failure::bad_input};

/// From defaults, the file, flags and `--set`.
///
/// `origin` is what messages call the last.
pub(crate) fn of(arguments: &TrainArguments, origin: &str) -> Result<RunConfig> {
    let overrides = overrides(arguments)?;
    Ok(RunConfig::assemble(arguments.config.as_deref(), overrides, origin)?)
}

/// What flags and `--set` say, as one table.
fn overrides(arguments: &TrainArguments) -> Result<Table> {
    let mut table = Table::new();
    let mut put = |key: &str, value: Value| table::insert(&mut table, key, value);
    let number = |n: usize| i64::try_from(n).map(Value::Integer).context("a number is too large");
    if let Some(model) = &arguments.model {
        put("model.name", model.clone().into())?;
    }
    if let Some(data) = &arguments.data {
        put("data.source", data.clone().into())?;
    }
    let reading = &arguments.reading;
    if !reading.missing_codes.is_empty() {
        put("data.missing_codes", reading.missing_codes.clone().into())?;
    }
    let images = reading.images();
    if !images.is_identity() {
        let said = Table::try_from(images).context("a conversion is a table")?;
        said.into_iter().try_for_each(|(key, value)| put(&format!("data.images.{key}"), value))?;
    }
    if let Some(rate) = arguments.missing {
        put("data.missing.rate", rate.into())?;
        put("data.missing.pattern", "mcar".into())?;
    }
    if let Some(epochs) = arguments.epochs {
        put("train.epochs", number(epochs)?)?;
    }
    if let Some(rows) = arguments.batch_size {
        put("train.batch_size", number(rows)?)?;
    }
    if let Some(seed) = arguments.seed {
        let seed = i64::try_from(seed)
            .map_err(|_| bad_input(format!("`--seed`: expected at most {}", i64::MAX)))?;
        put("train.seed", seed.into())?;
    }
    for setting in &arguments.set {
        set(&mut table, setting)?;
    }
    Ok(table)
}

/// Puts what `--set KEY=VALUE` says into a table.
pub(crate) fn set(table: &mut Table, setting: &str) -> Result<()> {
    table::set(table, setting).with_context(|| format!("`--set {setting}`"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Task};

    fn of(arguments: &str) -> Result<RunConfig> {
        let words = ["multivae", "train"].into_iter().chain(arguments.split_whitespace());
        let Task::Train(arguments) = Arguments::try_parse_from(words)?.task else {
            unreachable!("the task is given above");
        };
        super::of(&arguments, "flags")
    }

    fn message(arguments: &str) -> String {
        format!("{:#}", of(arguments).expect_err("bad input"))
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
        std::fs::write(file.path(), text).expect("a file");
        file
    }

    #[test]
    fn no_arguments_are_the_main_job() {
        let config = of("").expect("defaults");
        assert_eq!(config, RunConfig::main_job());
        assert_eq!(config.default_folder(), Path::new("runs/mhvae-numerals"));
    }

    #[test]
    fn set_beats_flags_and_flags_beat_the_file() {
        let file =
            file("[train]\nepochs = 3\nbatch_size = 7\nseed = 9\n[model]\nname = \"mvae\"\n");
        let path = file.path().display();
        let config = of(&format!("--config {path} --epochs 4 --batch-size 8 --set train.epochs=5"));
        let config = config.expect("valid");
        assert_eq!((config.train.epochs, config.train.batch_size, config.train.seed), (5, 8, 9));
        assert_eq!(config.model.name(), "mvae");
    }

    #[test]
    fn another_variant_drops_the_settings_of_the_old_one() {
        let config = of("--set train.optimizer.momentum=0.5 --set train.optimizer.name=sgd");
        let optimizer = config.expect("valid").train.optimizer;
        assert_eq!(optimizer.name(), "sgd");
        assert!(format!("{optimizer:?}").contains("momentum: 0.5"), "{optimizer:?}");
        let config = of("--set train.optimizer.learning_rate=1e-2").expect("valid");
        assert_eq!(config.train.optimizer.learning_rate(), 1e-2);
    }

    #[test]
    fn a_rate_takes_entries_completely_at_random() {
        let missing = of("--missing 0.5").expect("valid").data.expect("given").missing;
        let missing = Table::try_from(missing).expect("plain data");
        assert_eq!(missing["rate"].as_float(), Some(0.5));
        assert_eq!(missing["pattern"].as_str(), Some("mcar"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_known_ones() {
        let text = message("--set train.epoch=3");
        assert!(text.contains("`epoch`") && text.contains("`epochs`"), "{text}");
        let file = file("[output]\npictures = 3\n");
        let text = message(&format!("--config {}", file.path().display()));
        assert!(text.contains("`pictures`") && text.contains("`pictures_every`"), "{text}");
        assert!(text.contains(&file.path().display().to_string()), "{text}");
    }
}
