//! Models of the Python library MultiVae, "the reference": what its configurations and the names
//! of its weights are here.
//!
//! This is the only place that knows how the reference calls things. It touches no file: who calls
//! it reads JSON and arrays, and writes them.
//!
//! | file | holds |
//! |---|---|
//! | `reference` | `model_config.json`: what all models have there |
//! | `models` | the keys of each model, read and written |
//! | `names` | where each network and parameter of ours stands in the reference, and how the weights of known networks are called |
//! | `weights` | arrays under the reference's names, into a model and out of it |
//! | [`multiview_ae`] | the same of the library multi-view-AE, which is only read |
//!
//! Weights are laid out as in PyTorch: those of linear layers are `[outputs, inputs]`.
//!
//! ```
//! use burn::tensor::Device;
//! use multivae_core::nn::Networks;
//! use multivae_models::exchange::{self, Reference, Weights};
//!
//! let json = serde_json::from_str(
//!     r#"{"name": "MVAEConfig", "n_modalities": 1, "latent_dim": 2, "input_dims": {"blood": [3]}}"#,
//! )?;
//! let config = Reference::read(&json)?.config()?;
//! let model = config.init(&Networks::default(), &Device::flex())?;
//!
//! let entries = exchange::entries(&model, &config)?;
//! assert_eq!(entries[0].name, "encoders.blood.layers.0.0.weight");
//! assert_eq!(entries[0].shape, [512, 3]);
//! let layout = exchange::layout(&model, &config);
//! assert!(layout.iter().zip(&entries).all(|((name, shape), e)| (name, shape) == (&e.name, &e.shape)));
//! let again = exchange::fill(model, &config, &Weights::ordered(entries))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod models;
pub mod multiview_ae;
mod names;
mod reference;
mod weights;

pub use models::{Example, example, is_known};
pub use reference::{Part, Reference, describe};
pub use weights::{Entry, Weights, entries, fill, layout};

/// Why a model cannot be exchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// A class of the reference that has no counterpart here.
    #[error("`{found}` is the configuration of no model that can be read; there are {known}")]
    Class {
        /// The class.
        found: String,
        /// Those that can be read.
        known: String,
    },
    /// A value of the reference's configuration that cannot be understood.
    #[error("`{field}`: expected {expected}, found {found}")]
    Field {
        /// Its key.
        field: String,
        /// What is possible.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A key that the reference's configuration does not have.
    #[error("unknown key `{field}` of {class}; there are {known}")]
    UnknownField {
        /// The class.
        class: &'static str,
        /// The key.
        field: String,
        /// The keys that exist.
        known: String,
    },
    /// Weights that do not fit the model.
    #[error("the weights do not fit the model:{}", lines(.0))]
    Weights(Vec<String>),
    /// A parameter cannot be read from its device.
    #[error("parameter `{path}` cannot be read from its device: {reason}")]
    Device {
        /// Path of the parameter.
        path: String,
        /// Why.
        reason: String,
    },
    /// What the configuration says cannot be built.
    #[error(transparent)]
    Model(#[from] multivae_core::Error),
}

/// A result whose error is [`ExchangeError`].
pub type Result<T, E = ExchangeError> = std::result::Result<T, E>;

/// How many complaints are shown.
const SHOWN: usize = 12;

/// The first complaints, a line each.
fn lines(complaints: &[String]) -> String {
    let mut text: String =
        complaints.iter().take(SHOWN).map(|complaint| format!("\n  {complaint}")).collect();
    if complaints.len() > SHOWN {
        text += &format!("\n  and {} more", complaints.len() - SHOWN);
    }
    text
}
