//! Models of the user: known to every program that links them, under a name.
//!
//! A model's configuration implements [`CustomConfig`], and [`register`] gives it a name. From then
//! on it is a model like those of the list: [`ModelConfig`](crate::ModelConfig) reads and writes it,
//! the trainer fits it, runs are opened with it, and the command line takes it by its name.
//!
//! ```
//! use burn::{module::Module, nn::{Linear, LinearConfig}, tensor::{Device, Tensor}};
//! use multivae_core::{
//!     Result,
//!     batch::{Batch, Progress},
//!     modality::ModalitySpec,
//!     model::{Learn, Loss, Multimodal, MultimodalModel},
//!     nn::Networks,
//!     noise::Noise,
//! };
//! use multivae_models::{ModelConfig, custom::{CustomConfig, register}};
//! use serde::{Deserialize, Serialize};
//!
//! /// Predicts the second modality from the first: a regression, no VAE.
//! #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct RegressionConfig {
//!     ridge: f64,
//!     modalities: Vec<ModalitySpec>,
//! }
//!
//! #[derive(Module, Debug)]
//! struct Regression {
//!     map: Linear,
//!     #[module(skip)]
//!     config: RegressionConfig,
//! }
//!
//! impl CustomConfig for RegressionConfig {
//!     type Model = Regression;
//!
//!     fn with_modalities(self, specs: &[ModalitySpec]) -> Result<Self> {
//!         Ok(Self { modalities: specs.to_vec(), ..self })
//!     }
//!
//!     fn init(&self, _: &Networks, device: &Device) -> Result<Regression> {
//!         let [inputs, outputs] = [0, 1].map(|m| self.modalities[m].features());
//!         let map = LinearConfig::new(inputs, outputs).init(device);
//!         Ok(Regression { map, config: self.clone() })
//!     }
//! }
//!
//! impl Multimodal for Regression {
//!     fn modalities(&self) -> &[ModalitySpec] {
//!         &self.config.modalities
//!     }
//! }
//!
//! impl Learn for Regression {
//!     fn terms(&self, _: Progress) -> Vec<String> {
//!         vec!["error".into()]
//!     }
//!
//!     fn loss(&self, batch: &Batch, _: &mut Noise) -> Loss {
//!         let [x, y] = [0, 1].map(|m| batch.observed(m).dense().expect("tables").clone());
//!         let error = (self.map.forward(x) - y).square().sum_dim(1).mean();
//!         let ridge = self.map.weight.val().square().sum() * self.config.ridge;
//!         Loss { total: error.clone() + ridge, terms: vec![("error".into(), error)] }
//!     }
//!
//!     fn needs_complete_rows(&self) -> bool {
//!         true
//!     }
//! }
//!
//! // It learns, and neither encodes nor generates: that is what the defaults say of it.
//! impl MultimodalModel for Regression {
//!     fn learner(&self) -> &dyn Learn {
//!         self
//!     }
//! }
//!
//! register::<RegressionConfig>("regression", "The second modality from the first")?;
//! let config: ModelConfig = serde_json::from_str(r#"{"name": "regression", "ridge": 0.1}"#)
//!     .expect("a model that is known by now");
//! let specs = [ModalitySpec::new("x", &[3])?, ModalitySpec::new("y", &[2])?];
//! let model = config.with_modalities(&specs)?.init(&Networks::default(), &Device::flex())?;
//! let error = model.density().map(|_| ()).expect_err("it has no density");
//! assert!(error.to_string().starts_with("the model has no density"));
//! # Ok::<(), multivae_core::Error>(())
//! ```

use std::{
    any::TypeId,
    collections::BTreeMap,
    marker::PhantomData,
    sync::{Arc, PoisonError, RwLock},
};

use burn::tensor::Device;
use multivae_core::{
    Error, Result,
    modality::ModalitySpec,
    model::{CustomModel, TrainableModel},
    nn::Networks,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::registry::LISTED;

/// The configuration of a model of the user.
///
/// Its [`Default`] is the model with all default settings. As data it is a table; the key `name` is
/// the model's and not among its fields.
pub trait CustomConfig: Default + Serialize + DeserializeOwned + 'static {
    /// The model that it configures.
    type Model: TrainableModel;

    /// Fills in what the data says. The result is complete: it and a record rebuild the model.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other, or a value is out of its range.
    fn with_modalities(self, specs: &[ModalitySpec]) -> Result<Self>;

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    fn init(&self, networks: &Networks, device: &Device) -> Result<Self::Model>;
}

/// Makes a model known under a name, for the whole program; a second time is no error for the same
/// configuration type.
///
/// # Errors
///
/// [`Error::Config`] for a name that another model has.
pub fn register<C: CustomConfig>(name: &str, about: &str) -> Result<()> {
    let taken = |what: &str| Error::Config {
        field: "name of a model".into(),
        expected: "one that no other model has".into(),
        found: format!("`{name}`, {what}"),
    };
    if name.is_empty() || LISTED.contains(&name) {
        return Err(taken("a model of the library"));
    }
    let entry = Entry {
        about: Arc::from(about),
        configuration: TypeId::of::<C>(),
        model: Arc::new(Erased::<C>(PhantomData)),
    };
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    match known.get(name) {
        Some(other) if other.configuration != entry.configuration => {
            Err(taken("which was registered before"))
        }
        _ => {
            known.insert(name.to_owned(), entry);
            Ok(())
        }
    }
}

/// The models that were registered so far: name and one line about it, by name.
pub fn registered() -> Vec<(String, String)> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known.iter().map(|(name, entry)| (name.clone(), entry.about.to_string())).collect()
}

/// A registered model's name with its settings as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    name: String,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

impl Settings {
    /// A registered model with its default settings; `None` for an unknown name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let entry = find(name)?;
        // A configuration that is no table is told of when it is read.
        let settings = entry.model.default(name).unwrap_or_default();
        Some(Self { name: name.to_owned(), settings })
    }

    /// From data; the settings are checked against the model's configuration.
    pub(crate) fn read(name: &str, mut settings: Map<String, Value>) -> Result<Self> {
        settings.remove("name");
        known(name)?.model.check(name, &settings)?;
        Ok(Self { name: name.to_owned(), settings })
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn with_modalities(self, specs: &[ModalitySpec]) -> Result<Self> {
        let model = known(&self.name)?.model;
        let settings = model.with_modalities(&self.name, &self.settings, specs)?;
        Ok(Self { settings, ..self })
    }

    pub(crate) fn init(&self, networks: &Networks, device: &Device) -> Result<CustomModel> {
        known(&self.name)?.model.init(&self.name, &self.settings, networks, device)
    }
}

/// Whether a model of that name was registered.
pub(crate) fn is_registered(name: &str) -> bool {
    find(name).is_some()
}

type Table = Map<String, Value>;

/// A registered model.
#[derive(Clone)]
struct Entry {
    about: Arc<str>,
    configuration: TypeId,
    model: Arc<dyn DynConfig>,
}

/// The face of a [`CustomConfig`] that can be a trait object: its settings are data. The name is
/// for messages.
trait DynConfig: Send + Sync {
    fn default(&self, name: &str) -> Result<Table>;
    fn check(&self, name: &str, settings: &Table) -> Result<()>;
    fn with_modalities(&self, name: &str, given: &Table, specs: &[ModalitySpec]) -> Result<Table>;
    fn init(
        &self,
        name: &str,
        settings: &Table,
        networks: &Networks,
        device: &Device,
    ) -> Result<CustomModel>;
}

/// A configuration type, without a value.
struct Erased<C>(PhantomData<fn() -> C>);

impl<C: CustomConfig> DynConfig for Erased<C> {
    fn default(&self, name: &str) -> Result<Table> {
        settings(name, &C::default())
    }

    fn check(&self, name: &str, settings: &Table) -> Result<()> {
        read::<C>(name, settings).map(|_| ())
    }

    fn with_modalities(&self, name: &str, given: &Table, specs: &[ModalitySpec]) -> Result<Table> {
        settings(name, &read::<C>(name, given)?.with_modalities(specs)?)
    }

    fn init(
        &self,
        name: &str,
        settings: &Table,
        networks: &Networks,
        device: &Device,
    ) -> Result<CustomModel> {
        read::<C>(name, settings)?.init(networks, device).map(CustomModel::new)
    }
}

/// Known for the whole program, since what reads a configuration is given no context.
static KNOWN: RwLock<BTreeMap<String, Entry>> = RwLock::new(BTreeMap::new());

fn find(name: &str) -> Option<Entry> {
    KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
}

fn known(name: &str) -> Result<Entry> {
    find(name).ok_or_else(|| Error::MissingCustom(name.to_owned()))
}

fn settings<C: Serialize>(name: &str, config: &C) -> Result<Table> {
    match serde_json::to_value(config) {
        Ok(Value::Object(table)) => Ok(table),
        Ok(other) => Err(wrong(name, "a table of settings", other.to_string())),
        Err(error) => Err(wrong(name, "settings that are plain data", error.to_string())),
    }
}

fn read<C: DeserializeOwned>(name: &str, settings: &Table) -> Result<C> {
    C::deserialize(Value::Object(settings.clone()))
        .map_err(|error| wrong(name, "settings of this model", error.to_string()))
}

fn wrong(name: &str, expected: &str, found: String) -> Error {
    Error::Config { field: format!("model `{name}`"), expected: expected.into(), found }
}
