//! A trained model as a few files that can be given away.
//!
//! | file | holds |
//! |---|---|
//! | `SHA256SUMS` | checksums of all other files but the card, as `sha256sum -c` reads them |
//! | `config.json` | what the files are, their version, the configuration of the model |
//! | `standardisation.json` | what the values were shifted and scaled by |
//! | `schema.json` | what is known of the columns of tables, of types and of classes; optional |
//! | `model.safetensors` | the weights, with the names and the layout of PyTorch |
//! | `model_config.json` | the configuration as the Python library MultiVae reads it, where it can rebuild the model |
//! | `README.md` | a card for people, free to be edited |
//!
//! They lie in a folder, or in one plain tar archive, which opens from memory as well. Other files
//! may lie in the folder, and are not read.

mod archive;
mod card;
pub(crate) mod sums;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use multivae_core::{modality::ModalitySpec, nn::Networks, schema::Schema};
use multivae_data::Standardisation;
use multivae_models::{
    Model, ModelConfig,
    exchange::{self, Entry, ExchangeError, Weights},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use self::card::Abilities;
pub use self::card::{Details, Measured, Results};
use crate::{
    error::{Result, RunError},
    files::{self, NewFolder},
    trained::Trained,
    weights,
};

pub(crate) const SUMS: &str = "SHA256SUMS";
pub(crate) const CONFIG: &str = "config.json";
const STANDARDISATION: &str = "standardisation.json";
const SCHEMA: &str = "schema.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const REFERENCE: &str = "model_config.json";
pub(crate) const CARD: &str = "README.md";
/// Files that a bundle may lack.
#[cfg(feature = "hub")]
pub(crate) const OPTIONAL: [&str; 2] = [SCHEMA, REFERENCE];

/// What `config.json` says that the files are.
const FORMAT: &str = "multivae-bundle";

/// A trained model that is complete by itself: configuration, standardisation, weights, and a card
/// that says what it is. Nothing of the training is needed to use it.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use multivae_core::{modality::ModalitySpec, model::Draws, noise::Noise};
/// use multivae_data::Standardisation;
/// use multivae_models::ModelConfig;
/// use multivae_run::{Bundle, init};
///
/// # let device = Device::flex();
/// # let specs = [ModalitySpec::new("blood", &[3])?, ModalitySpec::new("gait", &[2])?];
/// # let config = ModelConfig::named("mopoe").expect("listed").with_modalities(&specs)?;
/// # let model = init(&config, &Default::default(), 0, &device)?;
/// # let bytes = Bundle::new(&model, &config, &Standardisation::none(&specs))?.to_bytes()?;
/// # let blood = Tensor::<2>::zeros([4, 3], &device);
/// // `Bundle::open` takes a folder or an archive by its path.
/// let trained = Bundle::from_bytes(&bytes)?.load(&device)?;
/// let rows = trained.batch(&[("blood", blood)])?;
/// let latent = trained.encode(&rows, trained.given(&["blood"])?, Draws::Mean, &mut Noise::zero())?;
/// let gait = trained.generate(&latent, trained.targets(&["gait"])?)?;
/// assert_eq!(gait[0].dims(), [1, 4, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bundle {
    config: ModelConfig,
    specs: Vec<ModalitySpec>,
    standardisation: Standardisation,
    schema: Option<Value>,
    weights: Vec<Entry>,
    card: String,
    /// What the model can do, if it was made.
    abilities: Option<Abilities>,
    /// Where it was read, for messages.
    origin: PathBuf,
}

/// The content of `config.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    format: String,
    version: u32,
    modalities: Vec<ModalitySpec>,
    model: ModelConfig,
}

/// What is looked at before anything else of `config.json`.
#[derive(Deserialize)]
struct Head {
    format: Option<String>,
    version: Option<i64>,
}

impl Bundle {
    /// The version of the format that is written, and the newest that is read.
    pub const VERSION: u32 = 1;

    /// Of a model and its complete configuration.
    ///
    /// # Errors
    ///
    /// [`RunError::Exchange`] if weights cannot be read from their device, [`RunError::Data`] if
    /// the standardisation is of other data.
    pub fn new(
        model: &Model,
        config: &ModelConfig,
        standardisation: &Standardisation,
    ) -> Result<Self> {
        let specs = model.modalities().to_vec();
        standardisation.check(&specs)?;
        let weights = exchange::entries(model, config)?;
        let bundle = Self {
            config: config.clone(),
            specs,
            standardisation: standardisation.clone(),
            schema: None,
            weights,
            card: String::new(),
            abilities: Some(Abilities::of(model)),
            origin: PathBuf::new(),
        };
        let reference = exchange::describe(config).is_some();
        let card = bundle.card_with(&Details { reference, ..Details::default() });
        Ok(bundle.with_card(card))
    }

    /// With what is known of columns, types and classes.
    pub fn with_schema(self, schema: Value) -> Self {
        Self { schema: Some(schema), ..self }
    }

    /// The same, of data that was read here.
    pub fn with_known(self, schema: &Schema) -> Self {
        let value = serde_json::to_value(schema).expect("numbers and names have a JSON form");
        self.with_schema(value)
    }

    /// With another card, as Markdown.
    pub fn with_card(self, card: impl Into<String>) -> Self {
        Self { card: card.into(), ..self }
    }

    /// The same, of a bundle that was opened and of which the model was made: its card says how it is
    /// used.
    pub fn with_model(self, model: &Model) -> Self {
        Self { abilities: Some(Abilities::of(model)), ..self }
    }

    /// A card as it is written for the bundle, with more than it knows of itself.
    pub fn card_with(&self, details: &Details) -> String {
        let known = card::Known {
            abilities: self.abilities.as_ref(),
            config: &self.config,
            specs: &self.specs,
            standardisation: &self.standardisation,
            weights: &self.weights,
        };
        card::write(&known, details)
    }

    /// The configuration of the model, complete.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The modalities, in the order of a batch's values.
    pub fn modalities(&self) -> &[ModalitySpec] {
        &self.specs
    }

    /// What the values of the data were shifted and scaled by.
    pub fn standardisation(&self) -> &Standardisation {
        &self.standardisation
    }

    /// What is known of columns, types and classes.
    pub fn schema(&self) -> Option<&Value> {
        self.schema.as_ref()
    }

    /// The card, as Markdown.
    pub fn card(&self) -> &str {
        &self.card
    }

    /// The weights by their names.
    pub fn weights(&self) -> &[Entry] {
        &self.weights
    }

    /// Whether a folder is meant to be a bundle, intact or not.
    pub fn is_at(folder: &Path) -> bool {
        folder.join(SUMS).is_file()
    }

    /// The names of the files of a bundle in a folder: its list, what that lists, and the card if
    /// there is one.
    ///
    /// # Errors
    ///
    /// [`RunError::Bundle`] for a list that is none, [`RunError::Read`].
    pub fn members(folder: &Path) -> Result<Vec<String>> {
        let path = folder.join(SUMS);
        let list = fs::read(&path).map_err(|cause| RunError::Read { path, cause })?;
        let listed = sums::parse(&list, &shown(folder, SUMS))?;
        let mut names = vec![SUMS.to_owned()];
        names.extend(listed.into_iter().map(|(name, _)| name));
        if folder.join(CARD).is_file() {
            names.push(CARD.to_owned());
        }
        Ok(names)
    }

    /// What the bundle in a folder knows of columns, types and classes, if there is a bundle. No other
    /// file of it is read.
    ///
    /// # Errors
    ///
    /// [`RunError::Bundle`] for a file that is damaged, [`RunError::Read`].
    pub fn schema_in(folder: &Path) -> Result<Option<Value>> {
        if !Self::is_at(folder) {
            return Ok(None);
        }
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|cause| RunError::Read { path, cause })
        };
        let listed = sums::parse(&read(SUMS)?, &shown(folder, SUMS))?;
        let Some((_, sum)) = listed.into_iter().find(|(name, _)| name == SCHEMA) else {
            return Ok(None);
        };
        let content = read(SCHEMA)?;
        check_sum(&content, &sum, &shown(folder, SCHEMA))?;
        json(&content, &shown(folder, SCHEMA)).map(Some)
    }

    /// Reads a folder or an archive and checks it whole.
    ///
    /// # Errors
    ///
    /// [`RunError::Bundle`] for a file that is missing, damaged, foreign or newer;
    /// [`RunError::Data`] for a standardisation of other modalities; [`RunError::Read`].
    pub fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            let bytes =
                fs::read(path).map_err(|cause| RunError::Read { path: path.into(), cause })?;
            return Self::of_archive(&bytes, path);
        }
        if !Self::is_at(path) {
            let reason = if path.join(CONFIG).is_file() {
                "is missing: the folder is not a bundle, or one of an earlier program; write it \
                 again with `export`"
            } else {
                "is missing: the folder is not a bundle"
            };
            return Err(RunError::bundle(shown(path, SUMS), reason));
        }
        let read = |name: &str| {
            let file = path.join(name);
            fs::read(&file).map_err(|cause| RunError::Read { path: file, cause })
        };
        let mut found = BTreeMap::new();
        found.insert(SUMS.to_owned(), read(SUMS)?);
        for (name, _) in sums::parse(&found[SUMS], &shown(path, SUMS))? {
            if path.join(&name).is_file() {
                found.insert(name.clone(), read(&name)?);
            }
        }
        if path.join(CARD).is_file() {
            found.insert(CARD.to_owned(), read(CARD)?);
        }
        Self::of_files(found, path)
    }

    /// Reads an archive in memory and checks it whole.
    ///
    /// # Errors
    ///
    /// As [`Bundle::open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::of_archive(bytes, Path::new("bundle"))
    }

    fn of_archive(bytes: &[u8], origin: &Path) -> Result<Self> {
        let wrong = |reason| RunError::bundle(origin.display().to_string(), reason);
        Self::of_files(archive::unpack(bytes).map_err(wrong)?, origin)
    }

    fn of_files(mut found: BTreeMap<String, Vec<u8>>, origin: &Path) -> Result<Self> {
        let place = |name: &str| shown(origin, name);
        let missing = |name: &str| RunError::bundle(place(name), "is missing");
        let list = found.remove(SUMS).ok_or_else(|| missing(SUMS))?;
        let list = sums::parse(&list, &place(SUMS))?;
        for name in [CONFIG, STANDARDISATION, WEIGHTS] {
            if list.iter().all(|(other, _)| other != name) {
                return Err(RunError::bundle(place(SUMS), format!("does not list `{name}`")));
            }
        }
        for (name, sum) in &list {
            let content = found.get(name).ok_or_else(|| missing(name))?;
            check_sum(content, sum, &place(name))?;
            // A newer program may have other files; its version is what is to be told.
            if name == CONFIG {
                check_head(content, &place(CONFIG))?;
            }
        }
        let get = |name: &str| {
            list.iter().find(|(other, _)| other == name).map(|(name, _)| found[name].as_slice())
        };
        let config: Config = json(get(CONFIG).expect("it is listed"), &place(CONFIG))?;
        let standardisation: Standardisation =
            json(get(STANDARDISATION).expect("it is listed"), &place(STANDARDISATION))?;
        if !(1..=Standardisation::VERSION).contains(&standardisation.version) {
            let (expected, found) = (Standardisation::VERSION, standardisation.version);
            let reason = format!("`version`: expected {expected}, found {found}");
            return Err(RunError::bundle(place(STANDARDISATION), reason));
        }
        standardisation.check(&config.modalities)?;
        let schema = get(SCHEMA).map(|bytes| json(bytes, &place(SCHEMA))).transpose()?;
        let weights = weights::from_safetensors(get(WEIGHTS).expect("it is listed"))
            .map_err(|reason| RunError::bundle(place(WEIGHTS), reason))?;
        let card = found.get(CARD).map(|card| String::from_utf8_lossy(card).into_owned());
        Ok(Self {
            config: config.model,
            specs: config.modalities,
            standardisation,
            schema,
            weights,
            card: card.unwrap_or_default(),
            abilities: None,
            origin: origin.to_owned(),
        })
    }

    /// The model with its weights.
    ///
    /// # Errors
    ///
    /// As [`Bundle::load_with`].
    pub fn load(&self, device: &Device) -> Result<Trained> {
        self.load_with(&Networks::default(), device)
    }

    /// The same for a model with networks of the user.
    ///
    /// # Errors
    ///
    /// [`RunError::Core`] for a model that cannot be built, [`RunError::Bundle`] if its modalities
    /// are not those of the bundle, [`RunError::Weights`] if its weights are not.
    pub fn load_with(&self, networks: &Networks, device: &Device) -> Result<Trained> {
        let model = self.config.init(networks, device)?;
        if model.modalities() != self.specs {
            let reason = format!(
                "`modalities`: expected those of `model`, {}; found {}",
                listed(model.modalities()),
                listed(&self.specs)
            );
            return Err(RunError::bundle(shown(&self.origin, CONFIG), reason));
        }
        let file = || shown(&self.origin, WEIGHTS);
        let complaints = unlike(exchange::layout(&model, &self.config), &self.weights);
        if !complaints.is_empty() {
            let source = ExchangeError::Weights(complaints);
            return Err(RunError::Weights { file: file(), source });
        }
        let weights = Weights::unordered(self.weights.clone());
        let model = exchange::fill(model, &self.config, &weights)
            .map_err(|source| RunError::Weights { file: file(), source })?;
        Ok(Trained {
            config: self.config.clone(),
            model,
            standardisation: self.standardisation.clone(),
            device: device.clone(),
        })
    }

    /// Writes it into a new or empty folder, which appears whole or not at all.
    ///
    /// # Errors
    ///
    /// [`RunError::Occupied`] if the folder holds something, [`RunError::Write`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        files::check_free(folder, "choose another folder")?;
        self.write(folder)?.finish()
    }

    /// Writes it in place of the bundle in a folder, if there is one.
    ///
    /// # Errors
    ///
    /// [`RunError::Occupied`] if the folder holds something else, [`RunError::Write`].
    pub fn replace(&self, folder: &Path) -> Result<()> {
        if !Self::is_at(folder) {
            return self.save(folder);
        }
        self.write(folder)?.replace()
    }

    /// Writes it as an archive, which appears whole or not at all.
    ///
    /// # Errors
    ///
    /// [`RunError::Write`].
    pub fn save_archive(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes()?;
        files::write_whole(path, |file| file.write_all(&bytes))
    }

    /// Its archive. The same bundle gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`RunError::Bundle`] if it has no form as files.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(archive::pack(&self.content()?))
    }

    fn write(&self, folder: &Path) -> Result<NewFolder> {
        let new = NewFolder::new(folder)?;
        for (name, content) in self.content()? {
            files::write_whole(&new.path().join(name), |file| file.write_all(&content))?;
        }
        Ok(new)
    }

    /// All files by name, the card last.
    ///
    /// # Errors
    ///
    /// [`RunError::Bundle`] if it has no form as files.
    pub fn content(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let config = Config {
            format: FORMAT.to_owned(),
            version: Self::VERSION,
            modalities: self.specs.clone(),
            model: self.config.clone(),
        };
        let weights = weights::to_safetensors(&self.weights)
            .map_err(|reason| RunError::bundle(shown(&self.origin, WEIGHTS), reason))?;
        let mut files = vec![
            (CONFIG, text(&config, CONFIG)?),
            (STANDARDISATION, text(&self.standardisation, STANDARDISATION)?),
        ];
        if let Some(schema) = &self.schema {
            files.push((SCHEMA, text(schema, SCHEMA)?));
        }
        files.push((WEIGHTS, weights));
        if let Some(reference) = exchange::describe(&self.config) {
            files.push((REFERENCE, text(&reference, REFERENCE)?));
        }
        files.insert(0, (SUMS, sums::write(&files)));
        files.push((CARD, self.card.clone().into_bytes()));
        Ok(files)
    }
}

/// Where names and shapes differ. What other libraries may leave out or add, such as counters, is
/// not left out or added here.
fn unlike(expected: Vec<(String, Vec<usize>)>, found: &[Entry]) -> Vec<String> {
    let expected: BTreeMap<_, _> = expected.into_iter().collect();
    let found: BTreeMap<_, _> = found.iter().map(|entry| (&entry.name, &entry.shape)).collect();
    let compared = expected.iter().filter_map(|(name, shape)| match found.get(name) {
        None => Some(format!("`{name}` of shape {shape:?} is missing")),
        Some(other) if *other != shape => {
            Some(format!("`{name}`: expected the shape {shape:?}, found {other:?}"))
        }
        Some(_) => None,
    });
    let besides = found.iter().filter(|(name, _)| !expected.contains_key(**name));
    let besides = besides
        .map(|(name, shape)| format!("`{name}` of shape {shape:?} has no place in the model"));
    compared.chain(besides).collect()
}

/// Refuses a content that is not the one that was listed.
fn check_sum(content: &[u8], sum: &str, place: &str) -> Result<()> {
    let actual = sums::of(content);
    if actual == sum {
        return Ok(());
    }
    let reason = format!("is damaged or changed: expected the checksum {sum}, found {actual}");
    Err(RunError::bundle(place, reason))
}

/// Refuses what is no bundle, or one of a newer program.
fn check_head(bytes: &[u8], place: &str) -> Result<()> {
    let head: Head = json(bytes, place)?;
    if head.format.as_deref() != Some(FORMAT) {
        let found = head.format.map_or("none".to_owned(), |format| format!("\"{format}\""));
        let reason = format!("`format`: expected \"{FORMAT}\", found {found}");
        return Err(RunError::bundle(place, reason));
    }
    let newest = i64::from(Bundle::VERSION);
    match head.version {
        Some(version) if (1..=newest).contains(&version) => Ok(()),
        Some(version) if version > newest => Err(RunError::bundle(
            place,
            format!(
                "`version`: expected {newest} or lower, found {version}; a newer program has \
                 written it"
            ),
        )),
        other => {
            let found = other.map_or("none".to_owned(), |version| version.to_string());
            Err(RunError::bundle(place, format!("`version`: expected {newest}, found {found}")))
        }
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8], place: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| RunError::bundle(place, error))
}

fn text(value: &impl Serialize, name: &str) -> Result<Vec<u8>> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|error| RunError::bundle(name, error))?;
    text.push(b'\n');
    Ok(text)
}

/// A file of a bundle in messages.
fn shown(origin: &Path, name: &str) -> String {
    origin.join(name).display().to_string()
}

/// Modalities in messages.
fn listed(specs: &[ModalitySpec]) -> String {
    let specs: Vec<_> = specs.iter().map(|s| format!("`{}` {:?}", s.name, s.shape)).collect();
    specs.join(", ")
}
