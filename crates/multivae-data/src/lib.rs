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
//!   `labels.*`; a folder of images or volumes is a modality, too, and `ids.csv` names the rows of
//!   arrays; or
//! - a folder of volumes by the names of BIDS, of which suffixes are the modalities; or
//! - an NPZ, safetensors, MATLAB or HDF5 file, whose arrays are the modalities, and `labels`; or
//! - an `.h5ad`, whose `X` is the modality, or an `.h5mu` or a file of 10x Genomics with several, or
//!   the first two as Zarr: rows are called and ordered as in the file, matrices stay sparse, and a
//!   column `label`, `labels` or `class` of words is the labels; or
//! - a [`manifest`] in TOML, which gives shapes, likelihoods, columns of identifiers and fixed
//!   splits; or a folder that has one as `manifest.toml`.
//!
//! | file | what is read |
//! |---|---|
//! | `.npy`, `.npz` | `f16`, `bf16`, `f32`, `f64`, `bool`, integers; the first axis is the rows; text as `labels` and `ids` |
//! | `.safetensors` | `F16`, `BF16`, `F32`, `F64`, `BOOL`, integers; the first axis is the rows; tensors by name |
//! | `.csv`, `.tsv`, `.txt`, any with `.gz` | numbers, below a header line or without one, separated by commas, semicolons, tabs, bars or spaces |
//! | `.parquet`, `.arrow`, `.feather` | columns of numbers, text, dates, truth values, categories with their order; lists of numbers as vectors; the index of pandas as identifiers |
//! | `.xlsx`, `.ods` | a sheet of a workbook, below lines of titles; the first that holds something, or `sheet` in a manifest |
//! | `.jsonl`, `.ndjson`, either with `.gz` | an object of numbers, text and truth values a line |
//! | `.idx`, `-ubyte`, either with `.gz` | IDX, the format of MNIST |
//! | folder of `.png`, `.jpg`, `.tif` | images of one size, `[channels, height, width]` in `[0, 1]` with all of 8 or 16 bits; the stem is the identifier; if it holds a folder for each class, these are the labels |
//! | folder of `.nii`, `.nii.gz`, `.hdr` with `.img` | NIfTI-1 and NIfTI-2, `[channels, depth, height, width]`; the stem is the identifier |
//! | folder of `sub-01_T1w.nii.gz`, or of `sub-01/..` | BIDS: the suffix is the modality, subject and session the identifier |
//! | folder of `case-7/case-7_flair.nii.gz` | the rest of the name is the modality, the folder the identifier |
//! | `.nii`, `.nii.gz` | volumes on the fourth axis, one for each row |
//! | `.mat` | MATLAB 5: numbers, logical, sparse and text as `labels` and `ids`; the first axis is the rows; 7.3 as HDF5; 4 is known and refused |
//! | `.h5ad` | AnnData: `X`, and in a manifest by `array` also `raw/X`, `layers/NAME`, `obsm/NAME`; dense, CSR or CSC; columns of `obs` as labels, splits or identifiers |
//! | `.h5mu` | MuData: the `X` of each modality; in a manifest by `array` also `NAME`, `mod/NAME/layers/..` and `obsm/..` of all rows |
//! | `.h5` of 10x Genomics | counts, a modality for each type of features |
//! | other `.h5`, `.hdf5` | arrays, in a manifest by their path, such as `array = "group/name"` |
//! | `.zarr` | AnnData, MuData and arrays in folders of Zarr, versions 2 and 3 |
//!
//! Formats beside the plain ones are features of this crate, all of which are on unless others are
//! chosen. A file of HDF5 or Zarr that claims more values than 1032 times its own bytes and 64 MB can
//! hold is refused before any memory is asked for.
//!
//! *Rows.* Files with identifiers are joined by them, in the order in which they first occur; what
//! a file does not have is missing in that row. Identifiers are the names of image files, an array
//! `ids`, and in tables the column `id`, the first column if it has no name, or else a column of
//! values that all differ: one with a usual name (`sample`, `patient_id`), one of words, or the only
//! one whose values are those of another file. [`JoinReport`] says which and why. Files without
//! identifiers must have the same rows. If no row has two modalities, the files are refused with the
//! likely reason.
//!
//! *Text.* A table whose only column is text, or the column that a manifest names, becomes tokens of
//! the words of the training split; see [`text`].
//!
//! *Missing values.* An empty cell, `NaN`, `NA` and the other codes of pandas, R and clinical
//! exports are missing cells; a row that observes one cell of a modality observes it. Numbers that
//! mean missing, such as -999, are warned of, and named in [`DataConfig::missing_codes`] or a
//! manifest.
//!
//! *Tables with types.* Text that reads as a number is one in every format, and keeps its digits as
//! an identifier (`001`); days and times become dates; what is null is missing, whatever stands under
//! it; categories are taken by their text. What cannot be read, such as records within records, is
//! left out with a warning. A file never takes more than 1024 times its size, and 64 MiB, of memory,
//! whatever its header says: what claims more is refused.
//!
//! *Values.* Whole numbers of images `[channels, height, width]` are scaled to `[0, 1]` by the least
//! of 8, 10, 12, 14 and 16 bits that holds those of the training split, unless all are 0 or 1.
//! Channels, size and background of images are changed on request, [`DataConfig::images`]. Arrays of
//! rows with three axes and more than four channels are refused, since most are volumes, which are
//! `[1, depth, height, width]`; a manifest can say their shape. Values of `f64`, of large integers
//! and of text keep their digits until they are standardised. Class labels are whole numbers, or
//! words, which are numbered alphabetically; rows whose label is missing have none. Columns of
//! numbers are never taken for classes.
//!
//! *Volumes* are as their files have them: the depth is the slowest axis of voxels and the width the
//! fastest, and values are the stored numbers times the slope plus the intercept in double precision.
//! Scans of one modality have one shape and orientation, scans of one subject one orientation in all
//! modalities; others are refused with both files. Classes of voxels, named as such (`dseg`, `mask`,
//! `seg`), by the header, or by `label_map`, are rounded to whole numbers. A row is a volume or, on
//! request ([`slices`]), a slice across an anatomical axis: its identifier is `SUBJECT/slice-012`,
//! what other files say of a subject is said of all its slices, and they fall into one split. Values
//! take 4 bytes each in memory, 8 where single precision would lose digits; while it is read, a file
//! takes its own unpacked length and 8 bytes for each value beside that. What does not fit is refused
//! before it is read.
//!
//! *MATLAB*: while a file is read it takes its length, and 24 bytes for each value that it has. A
//! sparse array is held with its zeros, and refused if these are more than 4096 times its file and 64 MiB.
//! Variables that are no arrays of numbers are left out and named.
//!
//! [`slices`]: multivae_core::schema::ImageConversion::slices
//!
//! *New data* for a model is opened with [`DataConfig::open_new`] by the [schema] of the data that it
//! was trained on: columns are matched by name, scales put right or refused, and nothing is inferred
//! anew. A run's own data is opened again with [`DataConfig::reopen`], which refuses data that has
//! changed and keeps each row in its split.
//!
//! [schema]: multivae_core::schema::Schema
//!
//! *Likelihoods*, unless a manifest gives them: Bernoulli if all values are 0 or 1; Laplace of scale
//! 0.75 for other images in `[0, 1]`, as in the field's benchmarks; else unit normal.
//!
//! # Map
//!
//! | item | holds |
//! |---|---|
//! | [`DataConfig`], [`Splits`] | the description of data in a run, and what becomes of it |
//! | [`inspect()`] | what a source holds, before anything is trained on it |
//! | [`research()`] | published data sets, as they are distributed |
//! | [`embedded()`] | the embedded data sets, their origin and licences |
//! | [`MemoryDataset`] | rows in memory, selected without copies, gathered a batch at a time |
//! | [`split`] | training, validation and test rows by a seed |
//! | [`missing`] | modalities missing at random, by class, and complete cases |
//! | [`standardise`] | mean and deviation of the training rows, applied and undone |
//! | [`view`] | rows, masks, standardisation and alignment over any data set |
//! | [`cells`] | which single values are missing |
//! | [`NewRows`] | new rows from the memory of a program, such as those of a request |
//! | [`HeldData`] | data from the memory of a program, under a name that stands for a path |
//! | [`Origin`], [`TableText`] | the file of a modality, and its text with other cells |
//! | [`ColumnCells`], [`write_parquet()`] | tables of columns with types, as they are written |
//! | [`record`] | what a run keeps of its data: schema, fingerprint, split |
//! | [`report`] | what was found when data was read, with warnings and remedies |
//! | [`data_code`] | a short code of data and rows |
//! | [`mod@pack`] | data in a form of which random rows are read fast |
//! | [`storage`] | values in memory, compressed, or in their file |
//! | [`text`] | text as tokens of a vocabulary, and back |
//! | [`manifest`] | the format of manifests |
//! | [`annotate`](mod@annotate) | results in a copy of an `.h5ad` or `.h5mu` |
//! | [`read_alone()`] | one file, tried with its reader |
//! | [`DataError`] | what can be wrong, and where |

#[cfg(feature = "hdf5")]
pub mod annotate;
mod assemble;
mod axes;
#[cfg(test)]
mod cases;
pub mod cells;
mod columns;
pub mod config;
mod conform;
pub mod embedded;
pub mod error;
mod fingerprint;
#[cfg(test)]
mod fixture;
mod folder;
pub mod given;
pub mod held;
pub mod inspect;
mod join;
pub mod manifest;
pub mod memory;
pub mod missing;
mod mixed;
#[cfg(test)]
mod museum;
mod origin;
pub mod pack;
mod range;
mod read;
mod reading;
pub mod record;
pub mod report;
pub mod research;
pub mod split;
pub mod standardise;
pub mod storage;
mod suspicious;
pub mod text;
pub mod view;

pub use cells::MissingCells;
pub use columns::{ColumnCells, write_parquet};
pub use config::{DataConfig, Opened, Splits};
pub use conform::{EmptyRows, Lacking, MissingColumns};
pub use embedded::{Info, embedded};
pub use error::{DataError, Place};
pub use fingerprint::data_code;
pub use given::{NewCell, NewModality, NewRow, NewRows};
pub use held::{Held, HeldData, HeldModality, is_held};
pub use inspect::{Inspection, inspect};
pub use memory::MemoryDataset;
pub use missing::{MissingConfig, Pattern};
pub use mixed::cell_text;
pub use origin::Origin;
pub use read::csv::TableText;
pub use read::read_alone;
pub use record::{DataRecord, RowKey, SplitAssignment};
pub use report::{IdEvidence, JoinKind, JoinReport, LoadReport, ModalityReport, Warning};
pub use research::{ResearchSet, research};
pub use split::{SplitConfig, SplitIndices};
pub use standardise::{Standardisation, Standardise};
pub use storage::Storage;
pub use text::TextCodec;
