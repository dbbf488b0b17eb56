//! The configuration of a run: one TOML.

use std::path::{Path, PathBuf};

use multivae_core::{distribution::Likelihood, modality::ModalitySpec, subset::Subset};
use multivae_data::DataConfig;
use multivae_models::ModelConfig;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::{
    error::{Result, RunError},
    files,
    table::{self, origin},
};

/// The version of the format that is written, and the newest that is read.
pub const VERSION: i64 = 1;

/// The model of a configuration that names data only.
const DEFAULT_MODEL: &str = "mopoe";

/// What a configuration that names neither a model nor data is: the main job, which shows in minutes
/// what the library is for.
const MAIN_JOB: &str = include_str!("main_job.toml");

/// The epochs of a configuration that does not say: some minutes on two cores.
const DEFAULT_EPOCHS: usize = 30;

/// The section of the training: typed with the feature `train`, else kept as it stands.
#[cfg(feature = "train")]
pub type TrainSection = multivae_train::TrainConfig;

/// The section of the training: typed with the feature `train`, else kept as it stands.
#[cfg(not(feature = "train"))]
pub type TrainSection = Table;

/// Everything that determines a run.
///
/// ```
/// use multivae_run::{RunConfig, table};
/// use toml::Table;
///
/// let mut over = Table::new();
/// table::set(&mut over, "model.name=mvae")?;
/// table::set(&mut over, "model.latent=10")?;
/// let config = RunConfig::assemble(None, over, "settings of the example")?;
/// assert_eq!(config.model.name(), "mvae");
/// // What is written reads back.
/// assert_eq!(toml::from_str::<RunConfig>(&config.text()?)?, config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Version of the format.
    pub version: i64,
    /// File with what the values were shifted and scaled by; in the configuration of a run only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standardisation: Option<String>,
    /// Of which modalities encoders read which cells are observed; none if not given.
    #[serde(default, skip_serializing_if = "ObservedMask::is_none")]
    pub observed_mask: ObservedMask,
    /// The model.
    pub model: ModelConfig,
    /// The data; none of a model that was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataConfig>,
    /// The training.
    #[serde(default)]
    pub train: TrainSection,
    /// What else the run writes.
    #[serde(default)]
    pub output: OutputConfig,
}

/// Of which modalities encoders read which cells are observed, beside the values: see
/// [`ModalitySpec::input_shape`]. In files it is a truth value for all modalities but sequences,
/// whose padding is masked already, or a list of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ObservedMask {
    /// Of all, or of none.
    All(bool),
    /// Of these.
    Of(Vec<String>),
}

impl Default for ObservedMask {
    fn default() -> Self {
        Self::All(false)
    }
}

impl ObservedMask {
    /// Whether it is of no modality.
    pub fn is_none(&self) -> bool {
        match self {
            Self::All(all) => !all,
            Self::Of(names) => names.is_empty(),
        }
    }

    /// The modalities of the data, told of which their mask is read.
    fn applied(&self, specs: &[ModalitySpec]) -> Result<Vec<ModalitySpec>> {
        if let Self::Of(names) = self
            && !names.is_empty()
        {
            Subset::named(specs, names.iter().map(String::as_str))
                .map_err(|error| RunError::setting("observed_mask", error.to_string()))?;
        }
        let reads = |spec: &ModalitySpec| match self {
            Self::All(all) => *all && !spec.is_sequence(),
            Self::Of(names) => names.iter().any(|name| name == spec.name.as_str()),
        };
        let told = |spec: &ModalitySpec| match reads(spec) {
            true => spec.clone().with_observed_mask(),
            false => spec.clone(),
        };
        Ok(specs.iter().map(told).collect())
    }
}

/// What a run writes besides its checkpoints and measurements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutputConfig {
    /// Epochs between two pictures of reconstructions and cross generations; 0 for none.
    pub pictures_every: usize,
    /// Rows of the validation split in a picture, at least 1.
    pub picture_rows: usize,
    /// Whether coherence is measured on the test rows when the run ends; it takes labels, and
    /// classifiers are trained for it.
    pub coherence: bool,
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self { pictures_every: 5, picture_rows: 8, coherence: false }
    }
}

impl RunConfig {
    /// All defaults of a model.
    ///
    /// # Errors
    ///
    /// [`RunError::UnknownModel`].
    pub fn named(model: &str) -> Result<Self> {
        let Some(config) = ModelConfig::named(model) else {
            let known = ModelConfig::list().into_iter().map(|(name, _)| format!("`{name}`"));
            let known: Vec<_> = known.collect();
            return Err(RunError::UnknownModel { name: model.into(), known: known.join(", ") });
        };
        let data = Some(DataConfig::default());
        Ok(Self { data, train: default_training(), ..Self::imported(config) })
    }

    /// The main job: what `train` does when it is told nothing.
    ///
    /// # Panics
    ///
    /// Never: the file is part of the crate.
    pub fn main_job() -> Self {
        let table: Table = toml::from_str(MAIN_JOB).expect("a test reads it");
        let name = name_of(&table).expect("it names its model");
        let mut whole = Self::named(name)
            .and_then(|config| as_table(&config, "the defaults"))
            .expect("a model of the list");
        table::merge(&mut whole, table);
        Self::parse(whole, "main_job.toml").expect("a test reads it")
    }

    /// Of a model that was not trained here, and has no data of its own.
    pub fn imported(model: ModelConfig) -> Self {
        Self {
            version: VERSION,
            standardisation: None,
            observed_mask: ObservedMask::default(),
            model,
            data: None,
            train: TrainSection::default(),
            output: OutputConfig::default(),
        }
    }

    /// From defaults, then a file, then further settings, each laid over those before. The defaults
    /// are those of the named model, of MoPoE if only data is named, and else the
    /// [main job](Self::main_job).
    ///
    /// `overrides_origin` is what messages call the last.
    ///
    /// # Errors
    ///
    /// [`RunError::Config`] for unknown keys and values that cannot be, [`RunError::UnknownModel`].
    pub fn assemble(file: Option<&Path>, overrides: Table, overrides_origin: &str) -> Result<Self> {
        let table = file.map(table::read).transpose()?.unwrap_or_default();
        let base = match name_of(&overrides).or_else(|| name_of(&table)) {
            Some(name) => Self::named(name)?,
            None if names_data(&overrides) || names_data(&table) => Self::named(DEFAULT_MODEL)?,
            None => Self::main_job(),
        };
        let mut whole = as_table(&base, "the defaults")?;
        // First without overrides, so that a mistake in the file is reported as one.
        table::merge(&mut whole, table);
        if let Some(path) = file {
            Self::parse(whole.clone(), &origin(path))?;
        }
        table::merge(&mut whole, overrides);
        let config = Self::parse(whole, overrides_origin)?;
        config.check()?;
        Ok(config)
    }

    /// # Errors
    ///
    /// [`RunError::Setting`], and what the training says of its section.
    fn check(&self) -> Result<()> {
        if self.output.picture_rows == 0 {
            return Err(RunError::setting("output.picture_rows", "expected at least 1, found 0"));
        }
        #[cfg(feature = "train")]
        self.train.check()?;
        Ok(())
    }

    /// The data with the likelihoods that the configuration of the model says, so that values are
    /// checked and standardised as they have to be.
    ///
    /// # Errors
    ///
    /// [`RunError::Setting`] if both say a likelihood of a modality, and not the same.
    pub fn data_for_model(&self) -> Result<DataConfig> {
        #[derive(Deserialize)]
        struct Said {
            #[serde(default)]
            modalities: Vec<Modality>,
        }
        #[derive(Deserialize)]
        struct Modality {
            name: String,
            likelihood: Option<Likelihood>,
        }
        let mut data = self.data.clone().unwrap_or_default();
        let model = serde_json::to_value(&self.model);
        let said: Option<Said> = model.ok().and_then(|model| serde_json::from_value(model).ok());
        for Modality { name, likelihood } in said.into_iter().flat_map(|said| said.modalities) {
            let Some(likelihood) = likelihood else { continue };
            let known = data.likelihoods.entry(name.clone()).or_insert_with(|| likelihood.clone());
            if *known != likelihood {
                let reason = format!("another one of `{name}` than that of its model");
                return Err(RunError::setting("data.likelihoods", reason));
            }
        }
        Ok(data)
    }

    /// The configuration of the model, complete for data of these modalities, with what is said of
    /// all models: of which modalities encoders read the mask of cells.
    ///
    /// # Errors
    ///
    /// [`RunError::Setting`] for modalities that the data lacks, and as
    /// [`ModelConfig::with_modalities`].
    pub fn model_for(&self, data: &[ModalitySpec]) -> Result<ModelConfig> {
        Ok(self.model.clone().with_modalities(&self.observed_mask.applied(data)?)?)
    }

    /// Reads the configuration that a run has stored.
    ///
    /// # Errors
    ///
    /// [`RunError::Config`].
    pub fn load(path: &Path) -> Result<Self> {
        let mut table = table::read(path)?;
        as_earlier(&mut table);
        Self::parse(table, &origin(path))
    }

    /// Writes it as TOML, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`RunError::Write`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = self.text()?;
        files::write_whole(path, |file| std::io::Write::write_all(file, text.as_bytes()))
    }

    /// As TOML that reads back; of an imported model without the sections of the training.
    ///
    /// # Errors
    ///
    /// [`RunError::Config`] if a value has no form in TOML.
    pub fn text(&self) -> Result<String> {
        let wrong =
            |error: toml::ser::Error| RunError::config("the configuration is no TOML", error);
        if self.data.is_some() {
            return toml::to_string(self).map_err(wrong);
        }
        // Nothing was trained here, so there is nothing to say of it.
        let mut table = as_table(self, "the configuration")?;
        table.remove("train");
        table.remove("output");
        toml::to_string(&table).map_err(wrong)
    }

    /// The folder of a run that is not told where to go: `runs/MODEL-DATA`.
    pub fn default_folder(&self) -> PathBuf {
        let source = self.data.as_ref().map_or("data", |data| data.source.as_str());
        let data =
            Path::new(source).file_stem().map_or("data".into(), |stem| stem.to_string_lossy());
        Path::new("runs").join(format!("{}-{data}", self.model.name()))
    }

    fn parse(table: Table, origin: &str) -> Result<Self> {
        Self::deserialize(Value::Table(table)).map_err(|error| RunError::config(origin, error))
    }
}

/// Keys that earlier programs did not have, and what they did: a run's own file says all keys of the
/// program that has written it, so that what it does not say is not the default of today.
const EARLIER: &[(&str, &str, i64)] = &[("mhvae", "warmup", 0), ("mhvae", "free_bits", 0)];

fn as_earlier(table: &mut Table) {
    let name = name_of(table).map(str::to_owned);
    let Some(Value::Table(model)) = table.get_mut("model") else { return };
    for (_, key, value) in EARLIER.iter().filter(|(of, ..)| name.as_deref() == Some(*of)) {
        model.entry(*key).or_insert(Value::Integer(*value));
    }
}

/// The training of a configuration that does not say.
fn default_training() -> TrainSection {
    #[cfg(feature = "train")]
    return TrainSection { epochs: DEFAULT_EPOCHS, ..TrainSection::default() };
    #[cfg(not(feature = "train"))]
    return Table::from_iter([("epochs".to_owned(), Value::Integer(DEFAULT_EPOCHS as i64))]);
}

fn as_table(value: &impl Serialize, what: &str) -> Result<Table> {
    Table::try_from(value).map_err(|error| RunError::config(format!("{what} is no TOML"), error))
}

/// The name of the model that a table chooses.
fn name_of(table: &Table) -> Option<&str> {
    table.get("model")?.get("name")?.as_str()
}

/// Whether a table chooses data.
fn names_data(table: &Table) -> bool {
    table.get("data").is_some_and(|data| data.get("source").is_some())
}

/// Lays the section `model` of a file over the configuration of a model; entries of `modalities`
/// by their names.
///
/// # Errors
///
/// [`RunError::Config`] for other sections, another model and unknown keys or modalities.
pub fn describe(model: &ModelConfig, path: &Path) -> Result<ModelConfig> {
    let wrong = |reason: String| RunError::config(origin(path), reason);
    let mut file = table::read(path)?;
    file.remove("version");
    let over = file.remove("model");
    if let Some(key) = file.keys().next() {
        return Err(wrong(format!("unknown key `{key}`; there is `model`")));
    }
    let Some(Value::Table(mut over)) = over else {
        return Err(wrong("expected a section `model`".into()));
    };
    let mut table = as_table(model, "the model")?;
    if let (Some(name), Some(own)) = (over.get("name"), table.get("name"))
        && name != own
    {
        return Err(wrong(format!("`model.name`: expected {own}, found {name}")));
    }
    if let (Some(Value::Array(base)), Some(Value::Array(list))) =
        (table.get_mut("modalities"), over.get("modalities").cloned())
    {
        over.remove("modalities");
        for entry in list {
            let name = entry.get("name").cloned();
            let place = base.iter_mut().find(|base| base.get("name") == name.as_ref());
            let (Some(Value::Table(base)), Value::Table(entry)) = (place, entry) else {
                let found = name.map_or_else(|| "one without a name".into(), |n| n.to_string());
                return Err(wrong(format!(
                    "`model.modalities`: expected modalities of the model, found {found}"
                )));
            };
            table::merge(base, entry);
        }
    }
    table::merge(&mut table, over);
    ModelConfig::deserialize(Value::Table(table)).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use multivae_core::{distribution::Likelihood, nn::Networks};

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
        std::fs::write(file.path(), text).expect("a file");
        file
    }

    fn assembled(file: Option<&Path>, settings: &[&str]) -> Result<RunConfig> {
        let mut over = Table::new();
        for setting in settings {
            table::set(&mut over, setting)?;
        }
        RunConfig::assemble(file, over, "settings")
    }

    fn message(file: Option<&Path>, settings: &[&str]) -> String {
        assembled(file, settings).expect_err("bad input").to_string()
    }

    #[test]
    fn a_file_of_an_earlier_program_means_what_it_did() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.toml");
        let config = RunConfig::named("mhvae").expect("listed");
        let text = config.text().expect("own text");
        assert!(text.contains("warmup = 10"), "{text}");
        let shorter = text.replace("warmup = 10\n", "").replace("free_bits = 2.0\n", "");
        std::fs::write(&path, shorter).expect("writable");
        let earlier = RunConfig::load(&path).expect("own text").text().expect("own text");
        assert!(earlier.contains("warmup = 0") && earlier.contains("free_bits = 0.0"), "{earlier}");
        config.save(&path).expect("writable");
        assert_eq!(RunConfig::load(&path).expect("own text"), config);
    }

    #[test]
    fn nothing_said_is_the_defaults() {
        let config = assembled(None, &[]).expect("defaults");
        assert_eq!(config, RunConfig::main_job());
        assert_eq!(config.default_folder(), Path::new("runs/mhvae-numerals"));
        let missing = &config.data.expect("given").missing;
        assert!(missing.rate > 0.2 && config.output.coherence);
    }

    #[test]
    fn a_setting_changes_the_main_job_and_a_model_or_data_takes_its_place() {
        let longer = assembled(None, &["train.epochs=99", "model.beta=0.5"]).expect("valid");
        let RunConfig { train, model, data, .. } = RunConfig::main_job();
        assert_eq!((longer.train.epochs, &longer.data), (99, &data));
        assert_eq!(longer.model.name(), model.name());
        assert_ne!((longer.train, longer.model), (train, model));

        let named = assembled(None, &["model.name=mhvae"]).expect("valid");
        assert_eq!(named, RunConfig::named("mhvae").expect("listed"));
        assert_eq!(named.data.expect("given").missing.rate, 0.0);

        let mfeat = assembled(None, &["data.source=mfeat"]).expect("valid");
        let expected = RunConfig::named(DEFAULT_MODEL).expect("listed");
        assert_eq!((mfeat.model, mfeat.output), (expected.model, expected.output));
    }

    #[test]
    fn settings_beat_the_file_and_the_file_beats_the_defaults() {
        let file = file("[data]\nrows = 9\nsource = \"mfeat\"\n[model]\nname = \"mvae\"\n");
        let config = assembled(Some(file.path()), &["data.rows=5"]).expect("valid");
        let data = config.data.expect("given");
        assert_eq!((data.rows, data.source.as_str()), (Some(5), "mfeat"));
        assert_eq!(config.model.name(), "mvae");
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_known_ones_and_its_place() {
        let text = message(None, &["output.pictures=3"]);
        assert!(text.contains("settings") && text.contains("`pictures_every`"), "{text}");
        let file = file("[output]\npictures = 3\n");
        let text = message(Some(file.path()), &[]);
        assert!(text.contains("`pictures`") && text.contains("`pictures_every`"), "{text}");
        assert!(text.contains(&file.path().display().to_string()), "{text}");
    }

    #[test]
    fn an_unknown_model_is_refused_with_the_known_ones() {
        let text = message(None, &["model.name=vae"]);
        assert!(text.contains("unknown model `vae`; there are "), "{text}");
        assert!(ModelConfig::NAMES.iter().all(|n| text.contains(&format!("`{n}`"))), "{text}");
    }

    #[test]
    fn a_newer_version_is_refused_and_none_is_the_first() {
        let newer = file("version = 2\n");
        let text = message(Some(newer.path()), &[]);
        assert!(text.contains("expected 1 or lower, found 2"), "{text}");
        assert!(assembled(Some(file("[output]\npicture_rows = 2\n").path()), &[]).is_ok());
    }

    #[test]
    fn every_configuration_reads_what_it_writes() {
        for name in ModelConfig::NAMES {
            let config = RunConfig::named(name).expect("listed");
            let text = config.text().expect("plain data");
            let again: RunConfig = toml::from_str(&text).expect("own text");
            assert_eq!(again, config, "{text}");
        }
    }

    #[test]
    fn masks_are_read_of_all_modalities_but_sequences_or_of_those_that_are_named() {
        let spec = |name: &str, shape: &[usize]| ModalitySpec::new(name, shape).expect("valid");
        let text = spec("text", &[3, 4]).with_likelihood(Likelihood::Categorical {});
        let data = [spec("blood", &[5]), text, spec("scan", &[1, 8, 8])];
        let read = |settings: &[&str]| {
            let config = assembled(None, settings)?;
            let text = config.text()?;
            assert_eq!(toml::from_str::<RunConfig>(&text).expect("own text"), config);
            // Nothing is written where nothing is asked for.
            assert_eq!(text.contains("observed_mask"), !settings.is_empty(), "{text}");
            let model = serde_json::to_value(config.model_for(&data)?).expect("plain data");
            let modalities = model["modalities"].as_array().expect("complete").clone();
            let again: ModelConfig = serde_json::from_value(model).expect("own value");
            again.init(&Networks::default(), &Device::flex())?;
            Ok::<_, RunError>(
                modalities.iter().map(|m| m["observed_mask"] == true).collect::<Vec<_>>(),
            )
        };
        assert_eq!(read(&[]).expect("defaults"), [false; 3]);
        assert_eq!(read(&["observed_mask=true"]).expect("valid"), [true, false, true]);
        let named = read(&["observed_mask=[\"blood\"]"]).expect("valid");
        assert_eq!(named, [true, false, false]);
        let own = "model.modalities=[{name=\"scan\", observed_mask=true}]";
        let config = assembled(None, &[own]).expect("valid").model_for(&data).expect("suits");
        let model = serde_json::to_value(config).expect("plain data");
        assert_eq!(model["modalities"][2]["observed_mask"], true);
        for (setting, part) in [("[\"bloods\"]", "`bloods`"), ("[\"text\"]", "padding")] {
            let error = read(&[&format!("observed_mask={setting}")]).expect_err("refused");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn an_imported_model_says_nothing_of_training() {
        let model = ModelConfig::named("mvae").expect("listed");
        let text = RunConfig::imported(model).text().expect("plain data");
        assert!(!text.contains("train") && !text.contains("output"), "{text}");
    }
}
