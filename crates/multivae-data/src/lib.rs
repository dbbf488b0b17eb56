//! Multimodal data: read, joined, split, standardised, and made incomplete on purpose.

pub mod assemble;
pub mod config;
pub mod embedded;
pub mod error;
pub mod memory;
pub mod missing;
pub mod split;
pub mod standardise;

mod folder;
mod manifest;
mod read;

pub use assemble::{LoadReport, ModalityReport};
pub use config::{DataConfig, Splits};
pub use embedded::{Info, embedded};
pub use error::DataError;
pub use memory::{MemoryDataset, Storage};
pub use missing::{MissingConfig, Pattern};
pub use split::{Parts, SplitConfig};
pub use standardise::{Standardisation, Standardise};
