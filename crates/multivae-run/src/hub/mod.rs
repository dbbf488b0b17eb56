//! Trained models on the Hugging Face Hub, or on a server that speaks as it does.
//!
//! What is pushed is a [bundle](crate::Bundle), never a pickle; what is pulled is a bundle, or a
//! model that the Python library MultiVae has put there. The client is written here and not taken
//! from `hf-hub`, which sends large files inline to servers without Xet, makes repositories public
//! that an organisation wants private, and brings an asynchronous runtime with a second stack of
//! HTTP.
//!
//! ```no_run
//! use multivae_run::{Bundle, hub::{Hub, Settings}};
//!
//! let hub = Hub::new(Settings::from_environment()?);
//! let folder = tempfile::tempdir()?;
//! let pulled = hub.pull(&"ada/gait@v1.0".parse()?, folder.path(), &|_, _, _| {})?;
//! let bundle = Bundle::open(folder.path())?;
//! // The same files, whatever the tag becomes.
//! assert_eq!(pulled.commit.len(), 40);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cache;
mod client;
mod lfs;
mod listing;
mod place;
mod pull;
mod push;
mod settings;
mod transfer;

pub use place::{Place, Repository};
pub use pull::{Kind, Pulled};
pub use push::{Push, Pushed};
pub use settings::{Settings, Token};

/// What is told how far a file is: its name, how many bytes of it were moved, and how many there
/// are.
pub type Progress<'a> = &'a dyn Fn(&str, u64, u64);

/// A hub.
#[derive(Clone, Debug)]
pub struct Hub {
    settings: Settings,
}

impl Hub {
    /// With settings. Nothing is asked yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}
