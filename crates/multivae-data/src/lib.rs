//! Multimodal data: read, joined to rows, split, standardised, and made incomplete on purpose.
//!
//! A sample of multimodal data is spread over files of different kinds, and for most real data some
//! of its modalities are missing. This crate turns such files into rows that say what they observe,
//! refuses files that do not fit together with a message that says where, and holds a few real data
//! sets, so that a first run needs neither files nor a network.
//!
//! ```
//! use burn::tensor::Device;
//! use multivae_core::dataset::Dataset;
//! use multivae_data::{DataConfig, MissingConfig, Pattern};
//!
//! // Six feature sets of handwritten numerals; half of their entries are taken from training.
//! let config = DataConfig {
//!     missing: MissingConfig { pattern: Pattern::Mcar, rate: 0.5, seed: 0 },
//!     ..DataConfig::new("mfeat")
//! };
//! let splits = config.open()?;
//! assert_eq!((splits.train.len(), splits.valid.len(), splits.test.len()), (1400, 200, 400));
//! assert!(splits.train.incomplete_rows() > 1200 && splits.test.incomplete_rows() == 0);
//!
//! let batch = splits.train.batch(&[0, 1, 2], &Device::flex())?;
//! assert_eq!(batch.values()[0].dense().map(|values| values.dims()), Some([3, 216]));
//! // Back to the units of the files.
//! let values = batch.values()[0].dense().expect("a table").clone();
//! let original = splits.standardisation.invert("fac", values);
//! # assert_eq!(original.dims(), [3, 216]);
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```
//!
//! # Own data
//!
//! [`DataConfig::source`] is the path of
//!
//! - a folder with a file for each modality, named by the file's stem, and class labels in
//!   `labels.*`; a folder of images is a modality, too; or
//! - an NPZ or safetensors file, whose arrays are the modalities, and `labels`; or
//! - a [`manifest`] in TOML, which gives shapes, likelihoods, columns of identifiers and fixed
//!   splits; or a folder that has one as `manifest.toml`.
//!
//! | file | what is read |
//! |---|---|
//! | `.npy`, `.npz` | `f32`, `f64`, `bool`, integers; the first axis is the rows |
//! | `.safetensors` | `F32`, `F64`, `BOOL`, integers; the first axis is the rows; tensors by name |
//! | `.csv`, `.csv.gz` | numbers below a header line; the column `id`, or a first column without a name, holds identifiers |
//! | `.idx`, `-ubyte`, either with `.gz` | IDX, the format of MNIST |
//! | folder of `.png`, `.jpg` | images of one size, `[channels, height, width]` in `[0, 1]`; the stem is the identifier |
//!
//! *Rows.* Files with identifiers are joined by them, in the order in which they first occur; what
//! a file does not have is missing in that row. Files without identifiers must have the same rows.
//! A row with an empty cell, `NaN` or `NA` lacks the modality; [`LoadReport`] counts such rows.
//!
//! *Values.* Bytes of images `[channels, height, width]` are scaled to `[0, 1]`, unless all of them
//! are 0 or 1. Class labels are whole numbers, or words, which are numbered alphabetically. Columns
//! of numbers are never taken for classes.
//!
//! *Likelihoods*, unless a manifest gives them: Bernoulli if all values are 0 or 1; Laplace of scale
//! 0.75 for other images in `[0, 1]`, as in the field's benchmarks; else unit normal.
//!
//! # Map
//!
//! | item | holds |
//! |---|---|
//! | [`DataConfig`], [`Splits`] | the description of data in a run, and what becomes of it |
//! | [`embedded()`] | the embedded data sets, their origin and licences |
//! | [`MemoryDataset`] | rows in memory, selected without copies, gathered a batch at a time |
//! | [`split`] | training, validation and test rows by a seed |
//! | [`missing`] | modalities missing at random, by class, and complete cases |
//! | [`standardise`] | mean and deviation of the training rows, applied and undone |
//! | [`manifest`] | the format of manifests |
//! | [`DataError`] | what can be wrong, and where |

mod assemble;
pub mod cells;
pub mod config;
mod conform;
pub mod embedded;
pub mod error;
mod fingerprint;
#[cfg(test)]
mod fixture;
mod folder;
mod join;
pub mod manifest;
pub mod memory;
pub mod missing;
mod read;
pub mod record;
pub mod report;
pub mod split;
pub mod standardise;

pub use cells::MissingCells;
pub use config::{DataConfig, Opened, Splits};
pub use conform::MissingColumns;
pub use embedded::{Info, embedded};
pub use error::DataError;
pub use memory::{MemoryDataset, Storage};
pub use missing::{MissingConfig, Pattern};
pub use record::{DataRecord, RowKey, SplitAssignment};
pub use report::{IdEvidence, JoinKind, JoinReport, LoadReport, ModalityReport, Warning};
pub use split::{Parts, SplitConfig};
pub use standardise::{Standardisation, Standardise};
