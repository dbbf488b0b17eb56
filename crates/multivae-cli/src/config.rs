//! The configuration of a run: one TOML, made of defaults, a file, flags and `--set`, in this
//! order of precedence.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use multivae::{data::DataConfig, models::ModelConfig, train::TrainConfig};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::{arguments::TrainArguments, failure::bad_input};

/// The version of the format that this program writes, and the newest it reads.
pub(crate) const VERSION: i64 = 1;
/// The model of `multivae train` without arguments.
const DEFAULT_MODEL: &str = "mopoe";
/// The epochs of `multivae train` without arguments: some minutes on two cores.
const DEFAULT_EPOCHS: usize = 30;
/// Keys that tell which variant of a setting a table is.
const TAGS: [&str; 2] = ["name", "kind"];

/// Everything that determines a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunConfig {
    /// Version of the format.
    pub(crate) version: i64,
    /// File with what the values were shifted and scaled by; in the configuration of a run only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) standardisation: Option<String>,
    /// The model.
    pub(crate) model: ModelConfig,
    /// The data; none of a model that was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<DataConfig>,
    /// The training.
    #[serde(default)]
    pub(crate) train: TrainConfig,
    /// What else the run writes.
    #[serde(default)]
    pub(crate) output: OutputConfig,
}

/// What a run writes besides its checkpoints and measurements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OutputConfig {
    /// Epochs between two pictures of reconstructions and cross generations; 0 for none.
    pub(crate) pictures_every: usize,
    /// Rows of the validation split in a picture, at least 1.
    pub(crate) picture_rows: usize,
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self { pictures_every: 5, picture_rows: 8 }
    }
}

impl RunConfig {
    /// All defaults of a model.
    pub(crate) fn named(model: &str) -> Result<Self> {
        let Some(config) = ModelConfig::named(model) else {
            let known = ModelConfig::list().into_iter().map(|(name, _)| format!("`{name}`"));
            let known: Vec<_> = known.collect();
            return Err(bad_input(format!(
                "unknown model `{model}`; there are {}",
                known.join(", ")
            )));
        };
        let train = TrainConfig { epochs: DEFAULT_EPOCHS, ..TrainConfig::default() };
        Ok(Self {
            version: VERSION,
            standardisation: None,
            model: config,
            data: Some(DataConfig::default()),
            train,
            output: OutputConfig::default(),
        })
    }

    /// Of a model that was not trained here, and has no data of its own.
    pub(crate) fn imported(model: ModelConfig) -> Self {
        Self {
            version: VERSION,
            standardisation: None,
            model,
            data: None,
            train: TrainConfig::default(),
            output: OutputConfig::default(),
        }
    }

    /// From defaults, the file, flags and `--set`.
    pub(crate) fn of(arguments: &TrainArguments) -> Result<Self> {
        let file = match &arguments.config {
            None => Table::new(),
            Some(path) => read(path)?,
        };
        let overrides = overrides(arguments)?;
        let name = name_of(&overrides).or_else(|| name_of(&file)).unwrap_or(DEFAULT_MODEL);
        let mut table = Table::try_from(Self::named(name)?).context("the defaults are no TOML")?;
        // First without flags, so that a mistake in the file is reported as one.
        merge(&mut table, file);
        if let Some(path) = &arguments.config {
            parse(table.clone()).with_context(|| format!("configuration `{}`", path.display()))?;
        }
        merge(&mut table, overrides);
        let config = parse(table).context("configuration by flags and `--set`")?;
        if config.output.picture_rows == 0 {
            return Err(bad_input("`output.picture_rows`: expected at least 1, found 0"));
        }
        config.train.check()?;
        Ok(config)
    }

    /// Reads the configuration that a run has stored.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        parse(read(path)?).with_context(|| format!("configuration `{}`", path.display()))
    }

    /// As TOML that reads back.
    pub(crate) fn text(&self) -> Result<String> {
        let shown = "the configuration is no TOML";
        if self.data.is_some() {
            return toml::to_string(self).context(shown);
        }
        // Nothing was trained here, so there is nothing to say of it.
        let mut table = Table::try_from(self).context(shown)?;
        table.remove("train");
        table.remove("output");
        toml::to_string(&table).context(shown)
    }

    /// Where a run goes that is not told.
    pub(crate) fn folder(&self) -> PathBuf {
        let source = self.data.as_ref().map_or("data", |data| data.source.as_str());
        let data =
            Path::new(source).file_stem().map_or("data".into(), |stem| stem.to_string_lossy());
        Path::new("runs").join(format!("{}-{data}", self.model.name()))
    }
}

/// Lays the section `model` of a file over the configuration of a model; entries of `modalities`
/// by their names.
pub(crate) fn describe(model: &ModelConfig, path: &Path) -> Result<ModelConfig> {
    let shown = || format!("configuration `{}`", path.display());
    let mut file = read(path)?;
    file.remove("version");
    let over = file.remove("model");
    if let Some(key) = file.keys().next() {
        return Err(bad_input(format!("{}: unknown key `{key}`; there is `model`", shown())));
    }
    let Some(Value::Table(mut over)) = over else {
        return Err(bad_input(format!("{}: expected a section `model`", shown())));
    };
    let mut table = Table::try_from(model).context("the model is no TOML")?;
    if let (Some(name), Some(own)) = (over.get("name"), table.get("name"))
        && name != own
    {
        return Err(bad_input(format!("{}: `model.name`: expected {own}, found {name}", shown())));
    }
    if let (Some(Value::Array(base)), Some(Value::Array(list))) =
        (table.get_mut("modalities"), over.get("modalities").cloned())
    {
        over.remove("modalities");
        for entry in list {
            let name = entry.get("name").cloned();
            let place = base.iter_mut().find(|base| base.get("name") == name.as_ref());
            let (Some(Value::Table(base)), Value::Table(entry)) = (place, entry) else {
                return Err(bad_input(format!(
                    "{}: `model.modalities`: expected modalities of the model, found {}",
                    shown(),
                    name.map_or_else(|| "one without a name".into(), |name| name.to_string())
                )));
            };
            merge(base, entry);
        }
    }
    merge(&mut table, over);
    ModelConfig::deserialize(Value::Table(table))
        .map_err(|error| bad_input(format!("{}: {error}", shown())))
}

/// A file as a table, of a version that this program knows.
fn read(path: &Path) -> Result<Table> {
    let shown = || format!("configuration `{}`", path.display());
    let text = std::fs::read_to_string(path)
        .map_err(|error| bad_input(format!("{} cannot be read: {error}", shown())))?;
    let wrong = |error: String| bad_input(format!("{}: {error}", shown()));
    let table: Table = if path.extension().is_some_and(|extension| extension == "json") {
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?
    } else {
        toml::from_str(&text).map_err(|error| wrong(error.to_string()))?
    };
    match table.get("version") {
        None | Some(Value::Integer(1..=VERSION)) => Ok(table),
        Some(version) => Err(bad_input(format!(
            "{}: `version`: expected {VERSION} or lower, found {version}; \
             a newer program has written it",
            shown()
        ))),
    }
}

fn parse(table: Table) -> Result<RunConfig> {
    RunConfig::deserialize(Value::Table(table)).map_err(|error| bad_input(error.to_string()))
}

/// The name of the model that a table chooses.
fn name_of(table: &Table) -> Option<&str> {
    table.get("model")?.get("name")?.as_str()
}

/// What flags and `--set` say, as one table.
fn overrides(arguments: &TrainArguments) -> Result<Table> {
    let mut table = Table::new();
    let mut put = |key: &str, value: Value| insert(&mut table, key, value);
    let number = |n: usize| i64::try_from(n).map(Value::Integer).context("a number is too large");
    if let Some(model) = &arguments.model {
        put("model.name", model.clone().into())?;
    }
    if let Some(data) = &arguments.data {
        put("data.source", data.clone().into())?;
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
    let Some((key, value)) = setting.split_once('=') else {
        return Err(bad_input(format!("`--set {setting}`: expected KEY=VALUE")));
    };
    // What is no TOML value is text: `--set train.optimizer.name=sgd` needs no quotes.
    let parsed = toml::from_str::<Table>(&format!("value = {value}")).ok();
    let value = parsed
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    insert(table, key.trim(), value).with_context(|| format!("`--set {setting}`"))
}

/// Puts a value under a key such as `train.optimizer.name`.
fn insert(table: &mut Table, key: &str, value: Value) -> Result<()> {
    let mut place = table;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if part.is_empty() {
            return Err(bad_input(format!("`{key}` is no key: expected names joined by dots")));
        }
        if parts.peek().is_none() {
            place.insert(part.to_owned(), value);
            return Ok(());
        }
        let next = place.entry(part).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = next else {
            return Err(bad_input(format!("`{key}`: `{part}` is set to a value before")));
        };
        place = next;
    }
    Ok(())
}

/// Lays `over` over `base`, table by table. Where a table changes its variant, as an optimiser
/// does with its `name`, the settings of the old variant are dropped.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => {
                let differs = |tag: &str| match (base.get(tag), over.get(tag)) {
                    (Some(old), Some(new)) => old != new,
                    _ => false,
                };
                if TAGS.into_iter().any(differs) {
                    *base = over;
                } else {
                    merge(base, over);
                }
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Task};

    fn of(arguments: &str) -> Result<RunConfig> {
        let words = ["multivae", "train"].into_iter().chain(arguments.split_whitespace());
        let Task::Train(arguments) = Arguments::try_parse_from(words)?.task else {
            unreachable!("the task is given above");
        };
        RunConfig::of(&arguments)
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
    fn no_arguments_are_the_defaults() {
        let config = of("").expect("defaults");
        assert_eq!(config, RunConfig::named(DEFAULT_MODEL).expect("listed"));
        assert_eq!(config.folder(), Path::new("runs/mopoe-polydigits"));
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

    #[test]
    fn an_unknown_model_is_refused_with_the_known_ones() {
        let text = message("--model vae");
        assert!(text.contains("unknown model `vae`; there are "), "{text}");
        assert!(
            ModelConfig::NAMES.iter().all(|name| text.contains(&format!("`{name}`"))),
            "{text}"
        );
    }

    #[test]
    fn a_newer_version_is_refused_and_none_is_the_first() {
        let newer = file("version = 2\n");
        let text = message(&format!("--config {}", newer.path().display()));
        assert!(text.contains("expected 1 or lower, found 2"), "{text}");
        let none = file("[train]\nepochs = 2\n");
        assert!(of(&format!("--config {}", none.path().display())).is_ok());
    }

    #[test]
    fn every_configuration_reads_what_it_writes() {
        for name in ModelConfig::NAMES {
            let config = RunConfig::named(name).expect("listed");
            let text = toml::to_string(&config).expect("plain data");
            let again: RunConfig = toml::from_str(&text).expect("own text");
            assert_eq!(again, config, "{text}");
        }
    }
}
