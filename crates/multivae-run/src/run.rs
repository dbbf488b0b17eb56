//! The folder of a run, read back.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::Device;
use multivae_core::{dataset::Dataset, nn::Networks, schema::Schema};
use multivae_data::{
    DataConfig, DataRecord, Lacking, MissingColumns, NewRows, Opened, Splits, Standardisation,
    is_held,
};

use crate::{
    align::AlignedDataset,
    bundle::Bundle,
    config::RunConfig,
    error::{Result, RunError},
    trained::Trained,
};

/// What the folder of a run holds, before any weights; or a bundle, a folder or an archive, which is a
/// run without data of its own.
///
/// ```
/// use multivae_core::dataset::Dataset;
/// use multivae_data::DataConfig;
/// use multivae_run::{RunConfig, RunFolder};
///
/// let place = tempfile::tempdir()?;
/// let data = DataConfig { rows: Some(50), ..DataConfig::new("mfeat") };
/// let splits = data.open()?;
/// let config = RunConfig { data: Some(data), ..RunConfig::named("mvae")? };
/// RunFolder::write(place.path(), &config, &splits.standardisation)?;
/// splits.record.save(&place.path().join(RunFolder::DATA))?;
///
/// let folder = RunFolder::open(place.path())?;
/// assert_eq!(folder.config.model.name(), "mvae");
/// // The data is what it was: values, identifiers, labels and rows.
/// assert_eq!(folder.splits()?.test.len(), 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RunFolder {
    /// Where it is.
    pub path: PathBuf,
    /// The configuration.
    pub config: RunConfig,
    /// What the values were shifted and scaled by.
    pub standardisation: Standardisation,
    /// What is kept of the run's data: columns, scales and classes, codes of the contents, and which
    /// row is in which split. Runs of earlier programs and imported ones have none.
    pub record: Option<DataRecord>,
    /// The weights, if the folder itself is a bundle.
    bundle: Option<Bundle>,
}

impl RunFolder {
    /// File of the configuration.
    pub const CONFIG: &str = "run.toml";
    /// File of the standardisation.
    pub const STANDARDISATION: &str = "standardisation.json";
    /// File of what is kept of the run's data.
    pub const DATA: &str = "data.json";
    /// File of the measurements of the training.
    pub const METRICS: &str = "metrics.jsonl";
    /// Folder of the bundle with the best weights.
    pub const BUNDLE: &str = "bundle";

    /// Reads the folder.
    ///
    /// # Errors
    ///
    /// [`RunError::NoRun`], [`RunError::Config`], [`RunError::Data`] for the standardisation,
    /// [`RunError::Bundle`] if the folder or file is a bundle that is not intact.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_file() {
            return Ok(Self::of_bundle(path, Bundle::open(path)?));
        }
        let file = path.join(Self::CONFIG);
        if !file.is_file() {
            if Bundle::is_at(path) {
                return Ok(Self::of_bundle(path, Bundle::open(path)?));
            }
            return Err(RunError::NoRun { folder: path.into(), missing: Self::CONFIG });
        }
        let config = RunConfig::load(&file)?;
        let Some(name) = &config.standardisation else {
            let origin = crate::table::origin(&file);
            let reason = "expected `standardisation`, the name of a file; found none";
            return Err(RunError::config(origin, reason));
        };
        let standardisation = Standardisation::load(&path.join(name))?;
        let record = Self::record_at(path)?;
        Ok(Self { path: path.to_owned(), config, standardisation, record, bundle: None })
    }

    /// The bundle in an archive in memory, as a run without data of its own.
    ///
    /// # Errors
    ///
    /// [`RunError::Bundle`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Ok(Self::of_bundle(Path::new("archive"), Bundle::from_bytes(bytes)?))
    }

    /// What is kept of the data of the run in a folder, if it keeps anything.
    ///
    /// # Errors
    ///
    /// [`RunError::Data`] for a file that cannot be read.
    pub fn record_at(path: &Path) -> Result<Option<DataRecord>> {
        let file = path.join(Self::DATA);
        Ok(if file.is_file() { Some(DataRecord::load(&file)?) } else { None })
    }

    /// What is known of columns, types, scales and classes of the data that the model was trained on.
    ///
    /// # Errors
    ///
    /// [`RunError::Bundle`] for a bundle whose schema cannot be read.
    pub fn schema(&self) -> Result<Option<Schema>> {
        if let Some(record) = &self.record {
            return Ok(Some(record.schema.clone()));
        }
        let value = match (&self.bundle, &self.config.data) {
            (Some(bundle), _) => bundle.schema().cloned(),
            // What was imported knows of the data what its bundle does.
            (None, None) => Bundle::schema_in(&self.path.join(Self::BUNDLE))?,
            (None, Some(_)) => None,
        };
        let Some(value) = value else { return Ok(None) };
        let wrong = |reason: String| RunError::bundle(self.path.display().to_string(), reason);
        let schema: Schema = serde_json::from_value(value)
            .map_err(|error| wrong(format!("its schema cannot be read: {error}")))?;
        schema.check()?;
        Ok(Some(schema))
    }

    fn of_bundle(path: &Path, bundle: Bundle) -> Self {
        Self {
            path: path.to_owned(),
            config: RunConfig::imported(bundle.config().clone()),
            standardisation: bundle.standardisation().clone(),
            record: None,
            bundle: Some(bundle),
        }
    }

    /// Writes the files of a run that has no checkpoints yet into a folder.
    ///
    /// # Errors
    ///
    /// [`RunError::Write`].
    pub fn write(path: &Path, config: &RunConfig, standardisation: &Standardisation) -> Result<()> {
        let config =
            RunConfig { standardisation: Some(Self::STANDARDISATION.into()), ..config.clone() };
        standardisation.save(&path.join(Self::STANDARDISATION))?;
        config.save(&path.join(Self::CONFIG))
    }

    /// Writes the configuration, after a change of it.
    ///
    /// # Errors
    ///
    /// [`RunError::Write`].
    pub fn save_config(&self) -> Result<()> {
        self.config.save(&self.path.join(Self::CONFIG))
    }

    /// The description of the run's own data.
    ///
    /// # Errors
    ///
    /// [`RunError::NoData`].
    pub fn data(&self) -> Result<&DataConfig> {
        let none = || RunError::NoData { folder: self.path.clone() };
        self.config.data.as_ref().ok_or_else(none)
    }

    /// The description of the run's own data, which is where it was.
    fn data_there(&self) -> Result<&DataConfig> {
        let data = self.data()?;
        let place = published(&data.source).map_or(data.source.as_str(), |(_, place)| place);
        let named = is_embedded(&data.source) || is_held(&data.source);
        if named || Path::new(place).exists() {
            return Ok(data);
        }
        Err(RunError::Moved { folder: self.path.clone(), source_path: data.source.clone() })
    }

    /// The run's own data, as it was when the run began, each row in its split.
    ///
    /// # Errors
    ///
    /// [`RunError::NoData`], [`RunError::Moved`]; [`RunError::Data`], which says what changed if the data is not what it
    /// was.
    pub fn splits(&self) -> Result<Splits> {
        let data = self.data_there()?;
        Ok(match &self.record {
            Some(record) => data.reopen(record, &self.standardisation)?,
            None => data.reopen_unrecorded(&self.standardisation)?,
        })
    }

    /// The model with the best weights so far.
    ///
    /// # Errors
    ///
    /// As [`RunFolder::load_with`].
    pub fn load(self, device: &Device) -> Result<Run> {
        self.load_with(&Networks::default(), device)
    }

    /// The same for a model with networks of the user.
    ///
    /// With the feature `train` the weights are those of the checkpoints, else those of the bundle
    /// that is written at the end of the training.
    ///
    /// # Errors
    ///
    /// [`RunError::Core`] for a model that cannot be built; [`RunError::Train`], without the
    /// feature [`RunError::Bundle`], for weights that are missing, damaged or of another model.
    pub fn load_with(self, networks: &Networks, device: &Device) -> Result<Run> {
        let trained = match &self.bundle {
            Some(bundle) => bundle.load_with(networks, device)?,
            None => self.weights(networks, device)?,
        };
        Ok(Run { folder: self, trained })
    }

    #[cfg(feature = "train")]
    fn weights(&self, networks: &Networks, device: &Device) -> Result<Trained> {
        let config = self.config.model.clone();
        let model = crate::trained::init(&config, networks, 0, device)?;
        let model = multivae_train::load_best(&self.path, model)?;
        let standardisation = self.standardisation.clone();
        Ok(Trained { config, model, standardisation, device: device.clone() })
    }

    #[cfg(not(feature = "train"))]
    fn weights(&self, networks: &Networks, device: &Device) -> Result<Trained> {
        Bundle::open(&self.path.join(Self::BUNDLE))?.load_with(networks, device)
    }
}

/// A run with its best weights.
///
/// ```no_run
/// use std::path::Path;
/// use burn::tensor::Device;
/// use multivae_core::{dataset::Dataset, model::Draws, noise::Noise};
/// use multivae_run::Run;
///
/// let device = Device::flex();
/// let run = Run::open(Path::new("runs/mhvae-numerals"), &device)?;
/// let batch = run.test_split()?.batch(&[0, 1, 2], &device)?;
/// let given = run.trained.given(&["mnist"])?;
/// let latent = run.trained.encode(&batch, given, Draws::Mean, &mut Noise::zero())?;
/// let images = run.trained.generate(&latent, run.trained.targets(&["photo"])?)?;
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Run {
    /// Its folder.
    pub folder: RunFolder,
    /// The model with its best weights.
    pub trained: Trained,
}

impl Run {
    /// Reads the folder and the best weights.
    ///
    /// # Errors
    ///
    /// As [`RunFolder::open`] and [`RunFolder::load_with`].
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        RunFolder::open(path)?.load(device)
    }

    /// The training split of the run's own data.
    ///
    /// # Errors
    ///
    /// As [`RunFolder::splits`].
    pub fn train_split(&self) -> Result<AlignedDataset> {
        self.trained.align(Arc::new(self.folder.splits()?.train))
    }

    /// The test split of the run's own data.
    ///
    /// # Errors
    ///
    /// As [`RunFolder::splits`], and [`RunError::NoRows`].
    pub fn test_split(&self) -> Result<AlignedDataset> {
        let test = self.folder.splits()?.test;
        if test.is_empty() {
            return Err(RunError::NoRows { what: "the test split of the run's data".into() });
        }
        self.trained.align(Arc::new(test))
    }

    /// All rows of other data, or of the run's own as they were before modalities were taken from
    /// them, standardised as the run's. Other data must have all columns.
    ///
    /// # Errors
    ///
    /// As [`Run::open_rows`].
    pub fn all_rows(&self, source: Option<&str>) -> Result<AlignedDataset> {
        Ok(self.open_rows(source, Lacking::default())?.data)
    }

    /// The same rows with what they are in their files; `lacking` says what is done about columns
    /// and rows that other data lacks.
    ///
    /// # Errors
    ///
    /// [`RunError::NoData`] for an imported run that is given none, [`RunError::Moved`],
    /// [`RunError::Data`],
    /// [`RunError::NoRows`], [`RunError::NoColumns`] if columns are to be masked in a run of an
    /// earlier program, and as [`AlignedDataset::new`].
    pub fn open_rows(&self, source: Option<&str>, lacking: Lacking) -> Result<OpenedRows> {
        let own = self.folder.config.data.as_ref();
        let RunFolder { record, standardisation, .. } = &self.folder;
        let (config, new) = match source {
            Some(source) if own.is_none_or(|own| absolute(source) != own.source) => {
                (DataConfig::new(source), true)
            }
            _ => (self.folder.data_there()?.clone(), false),
        };
        let files = match (record, self.folder.schema()?) {
            (Some(record), _) if !new => config.reopen_all(record, standardisation)?,
            (_, Some(schema)) if new => config.open_new(&schema, standardisation, lacking)?,
            _ if new && lacking.missing_columns == MissingColumns::Mask => {
                return Err(RunError::NoColumns { folder: self.folder.path.clone() });
            }
            _ => config.open_all(standardisation)?,
        };
        if files.data.is_empty() {
            return Err(RunError::NoRows { what: format!("the data `{}`", config.source) });
        }
        Ok(OpenedRows { data: self.trained.align(Arc::new(files.data.clone()))?, files })
    }

    /// New rows that a program has in memory, read as new data is from files.
    ///
    /// # Errors
    ///
    /// [`RunError::Data`], and as [`AlignedDataset::new`].
    pub fn open_new(&self, rows: NewRows, lacking: Lacking) -> Result<OpenedRows> {
        let known = self.known()?;
        let files = rows.open(&known, &self.folder.standardisation, lacking)?;
        Ok(OpenedRows { data: self.trained.align(Arc::new(files.data.clone()))?, files })
    }

    /// What is known of columns, types, scales and classes: of runs that have kept nothing of their
    /// data, names and shapes of the modalities only.
    ///
    /// # Errors
    ///
    /// As [`RunFolder::schema`].
    pub fn known(&self) -> Result<Schema> {
        let plain = || Schema::of_specs(self.trained.modalities());
        Ok(self.folder.schema()?.unwrap_or_else(plain))
    }

    /// The run without its folder, data and training, to be given away.
    ///
    /// # Errors
    ///
    /// As [`Bundle::new`].
    pub fn bundle(&self) -> Result<Bundle> {
        let Trained { config, model, standardisation, .. } = &self.trained;
        let bundle = Bundle::new(model, config, standardisation)?;
        Ok(match self.folder.schema()? {
            Some(schema) => bundle.with_known(&schema),
            None => bundle,
        })
    }
}

/// Rows for the model of a run, and what they are in their files.
#[derive(Clone)]
pub struct OpenedRows {
    /// The rows in the order of the model's modalities.
    pub data: AlignedDataset,
    /// The same rows as they were read, in the order of the files' modalities.
    pub files: Opened,
}

fn is_embedded(source: &str) -> bool {
    multivae_data::embedded().iter().any(|info| info.name == source)
}

/// Name and folder of a published data set.
fn published(source: &str) -> Option<(&str, &str)> {
    let (name, place) = source.split_once(':')?;
    multivae_data::research().iter().any(|set| set.name == name).then_some((name, place))
}

/// The name of embedded data and of data in memory as it is, a path from the root: what a run keeps as
/// the source of its data.
pub fn absolute(source: &str) -> String {
    if let Some((name, place)) = published(source) {
        return format!("{name}:{}", absolute(place));
    }
    match fs::canonicalize(source) {
        Ok(path) if !is_embedded(source) => path.to_string_lossy().into_owned(),
        _ => source.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_set_is_where_its_folder_is() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = fs::canonicalize(place.path()).expect("it is there").display().to_string();
        let source = absolute(&format!("mnist-labels:{folder}/."));
        assert_eq!(source, format!("mnist-labels:{folder}"));
        assert_eq!(absolute("memory:1"), "memory:1");
        assert_eq!(absolute("mfeat"), "mfeat");
        let splits = DataConfig { rows: Some(20), ..DataConfig::new("mfeat") }.open();
        let config = RunConfig { data: Some(DataConfig::new(source)), ..RunConfig::main_job() };
        let run = place.path().join("run");
        fs::create_dir(&run).expect("a folder");
        let standardisation = splits.expect("embedded").standardisation;
        RunFolder::write(&run, &config, &standardisation).expect("written");
        let run = RunFolder::open(&run).expect("written");
        assert!(run.data_there().is_ok());
        drop(place);
        assert!(matches!(run.data_there(), Err(RunError::Moved { .. })));
    }
}
