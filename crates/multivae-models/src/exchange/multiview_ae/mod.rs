//! Models of the Python library multi-view-AE: what its settings and the names of its weights are
//! here.
//!
//! Its settings are YAML, merged over its defaults; its weights are in a checkpoint of PyTorch
//! Lightning. This touches neither: who calls it reads both, into JSON and arrays.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | the library's defaults, merging, classes and distributions |
//! | `networks` | its networks as ours, and how their layers are called |
//! | `models` | the options of each model |
//! | `weights` | its arrays, cut and named so that each is one parameter here |
//!
//! An imported model encodes and decodes as the library does, and has the library's objective up to
//! a constant factor, but for what the library does wrong, which [`Saved::notes`] says. What has no
//! counterpart here is refused by its name. What the library does with a trained model and ours does
//! otherwise: it returns draws where a decoder is Bernoulli, and unnormalised scores where it is
//! categorical; here both are the mean, probabilities.
//!
//! ```
//! use multivae_core::nn::Networks;
//! use multivae_models::exchange::{Weights, multiview_ae::{Saved, View}};
//! use serde_json::json;
//!
//! let views = [View::new("blood", &[3])?, View::new("gait", &[2])?];
//! let settings = json!({ "model": { "beta": 2.0, "z_dim": 4 } });
//! let saved = Saved::read("mcVAE", &views, None, &settings, &Weights::unordered(Vec::new()))?;
//! assert_eq!(saved.config().name(), "mcvae");
//!
//! let unknown = json!({ "model": { "betta": 2.0 } });
//! let error = Saved::read("mcVAE", &views, None, &unknown, &Weights::unordered(Vec::new()));
//! assert!(error.expect_err("there is no `betta`").to_string().contains("unknown key `betta`"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Source: Lawry Aguila et al., "multi-view-AE", JOSS 8(85), 5093, 2023.

mod models;
mod networks;
mod settings;
mod weights;

use burn::module::Module;
use multivae_core::modality::{ModalityName, ModalitySpec};
use serde_json::Value;

use self::{networks::Layout, settings::Settings};
use super::{ExchangeError, Result, Weights, names};
use crate::{ModalityConfig, ModelConfig};

/// A view of the library's data, which it only numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What it is called here.
    pub name: ModalityName,
    /// Shape of a row.
    pub shape: Vec<usize>,
}

impl View {
    /// A view of a name and a shape.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Model`] for a name that no modality can have.
    pub fn new(name: &str, shape: &[usize]) -> Result<Self> {
        Ok(Self { name: ModalityName::new(name)?, shape: shape.to_vec() })
    }
}

/// A model that multi-view-AE has saved.
#[derive(Clone, Debug)]
pub struct Saved {
    config: ModelConfig,
    layout: Layout,
    notes: Vec<String>,
}

impl Saved {
    /// Names of the models that are read, as the library writes them.
    pub fn classes() -> impl Iterator<Item = &'static str> {
        models::CLASSES.iter().map(|(name, _)| *name)
    }

    /// Reads a model by its name in the library: its views in order, the latent features that its
    /// constructor was given, and its settings, which need not be complete. The weights tell what
    /// the settings do not.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Class`], [`ExchangeError::Field`] for a value that is wrong or has no
    /// counterpart here, [`ExchangeError::UnknownField`], [`ExchangeError::Model`].
    pub fn read(
        class: &str,
        views: &[View],
        latent: Option<usize>,
        settings: &Value,
        weights: &Weights,
    ) -> Result<Self> {
        let Some((class, read)) = models::CLASSES.iter().find(|(name, _)| *name == class) else {
            let known: Vec<_> = Self::classes().map(|name| format!("`{name}`")).collect();
            return Err(ExchangeError::Class { found: class.into(), known: known.join(", ") });
        };
        let settings = Settings::new(class, views, latent, settings)?;
        let models::Model { config, layout, notes } = read(&settings, weights)?;
        let specs = names::modalities(&config)
            .iter()
            .map(ModalityConfig::spec)
            .collect::<Result<Vec<ModalitySpec>, _>>()?;
        Ok(Self { config: config.with_modalities(&specs)?, layout, notes })
    }

    /// The complete configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What is different about the model here, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The model, built from [`config`](Self::config), with the weights of the library. Every one
    /// must find its place.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Weights`] with everything that does not fit.
    pub fn fill<M: Module>(&self, model: M, weights: &Weights) -> Result<M> {
        let weights = self.layout.adapt(weights)?;
        super::weights::fill_places(model, &self.layout.places, &self.layout.beside, &weights)
    }
}
