//! What a data set must do.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use multivae_core::{
//!     batch::{Batch, Presence, Values},
//!     dataset::{Dataset, DatasetError},
//!     modality::ModalitySpec,
//!     pass::Pass,
//!     subset::Subset,
//! };
//!
//! /// Three rows of two numbers `i` and `10 i`, the last without the second.
//! struct Numbers(Vec<ModalitySpec>);
//!
//! impl Dataset for Numbers {
//!     fn modalities(&self) -> &[ModalitySpec] {
//!         &self.0
//!     }
//!
//!     fn len(&self) -> usize {
//!         3
//!     }
//!
//!     fn presence(&self, row: usize) -> Subset {
//!         if row == 2 { Subset::single(0) } else { Subset::full(2) }
//!     }
//!
//!     fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
//!         let column = |factor: f32| {
//!             let values: Vec<f32> = rows.iter().map(|&row| row as f32 * factor).collect();
//!             let values = Tensor::<1>::from_floats(values.as_slice(), device);
//!             Values::Dense(values.unsqueeze_dim(1))
//!         };
//!         let presence = rows.iter().map(|&row| self.presence(row)).collect();
//!         Ok(Batch::new(vec![column(1.0), column(10.0)], Presence::new(presence, 2, device))?)
//!     }
//! }
//!
//! let data = Numbers(vec![ModalitySpec::new("a", &[1])?, ModalitySpec::new("b", &[1])?]);
//! assert_eq!(data.incomplete_rows(), 1);
//! // Once through all rows, two at a time: what the last row lacks is 0, whatever stands there.
//! let pass = Pass { batch_size: 2, seed: 0 };
//! let mut sums = Vec::new();
//! for batch in pass.batches(&data, &Device::flex()) {
//!     let (rows, batch) = batch?;
//!     let b = batch.observed(1).dense().expect("numbers").clone();
//!     sums.push((rows, b.sum().into_scalar::<f32>()));
//! }
//! assert_eq!(sums, [(0..2, 10.0), (2..3, 0.0)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::Arc;

use burn::tensor::Device;

use crate::{
    batch::Batch,
    modality::ModalitySpec,
    schema::{Fingerprint, Schema},
    subset::Subset,
};

/// An error of a data set: any, since data sets of users have their own.
pub type DatasetError = Box<dyn std::error::Error + Send + Sync>;

/// Rows of several modalities, read by number.
///
/// A batch is asked for by all its row numbers at once, so that an implementation gathers them in
/// one go.
pub trait Dataset: Send + Sync {
    /// The modalities, in the order of a batch's values.
    fn modalities(&self) -> &[ModalitySpec];

    /// Number of rows.
    fn len(&self) -> usize;

    /// Whether there are no rows.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The given rows, in the given order, on `device`.
    ///
    /// # Errors
    ///
    /// When rows cannot be read.
    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError>;

    /// The observed modalities of a row.
    fn presence(&self, row: usize) -> Subset;

    /// The class label of a row, where there are labels.
    fn label(&self, _row: usize) -> Option<i64> {
        None
    }

    /// The identifier of a row; its number if the data has none.
    fn id(&self, row: usize) -> String {
        row.to_string()
    }

    /// What is known of the data as it was read: columns, types, scales, names of classes.
    fn schema(&self) -> Option<&Schema> {
        None
    }

    /// Which values of a row's modality are observed, `[features]`; `None` if all are, or if the
    /// row lacks the modality.
    fn cells(&self, _row: usize, _modality: usize) -> Option<Vec<bool>> {
        None
    }

    /// Writes the values of a row's modality, `[features]`, to `out` in double precision, where
    /// the data has more digits than a batch; `false` if a batch has all that there is, and then
    /// `out` is left as it was.
    fn precise(&self, _row: usize, _modality: usize, _out: &mut [f64]) -> bool {
        false
    }

    /// The same rows as a run learns from them in an epoch, from 1, where values are drawn anew each
    /// time they are read; `None` if they are the same in every epoch.
    fn in_epoch(&self, _seed: u64, _epoch: usize) -> Option<Arc<dyn Dataset>> {
        None
    }

    /// Codes of the contents, by which a change is noticed.
    fn fingerprint(&self) -> Option<Fingerprint> {
        None
    }

    /// Rows that lack a modality.
    fn incomplete_rows(&self) -> usize {
        let all = self.modalities().len();
        (0..self.len()).filter(|&row| self.presence(row).len() < all).count()
    }
}
