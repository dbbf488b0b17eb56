#![doc = include_str!("../README.md")]

mod align;
pub mod bundle;
pub mod config;
mod error;
pub mod files;
#[cfg(feature = "hub")]
pub mod hub;
mod impute;
mod run;
pub mod table;
mod trained;
pub mod weights;

pub use align::{AlignedDataset, evenly};
pub use bundle::Bundle;
pub use config::{ObservedMask, OutputConfig, RunConfig, TrainSection};
pub use error::{Result, RunError};
pub use impute::{Impute, Imputed, Interval};
pub use run::{OpenedRows, Run, RunFolder, absolute};
pub use trained::{Offsets, Trained, generate, init, standardised};
