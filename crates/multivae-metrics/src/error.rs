//! What can go wrong in a measurement.

use multivae_core::dataset::DatasetError;

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// A configuration value out of its range.
    #[error("`{field}`: expected {expected}, found {found}")]
    Config {
        /// The field.
        field: &'static str,
        /// What is possible.
        expected: &'static str,
        /// What was given.
        found: usize,
    },
    /// The data set has no rows.
    #[error("the data set has no rows to evaluate")]
    NoRows,
    /// No row has what a conditional model needs.
    #[error("no row observes {conditions}, from which the model generates")]
    NoConditions {
        /// The modalities that the model takes as given.
        conditions: String,
    },
    /// Model and data differ in their modalities.
    #[error("the model has the modalities {expected}, the data set has {found}")]
    Modalities {
        /// Those of the model.
        expected: String,
        /// Those of the data set.
        found: String,
    },
    /// Rows could not be read.
    #[error("rows {start}..{end} of the data set cannot be read")]
    Data {
        /// The first row of the batch.
        start: usize,
        /// One past its last row.
        end: usize,
        /// Why.
        source: DatasetError,
    },
    /// A value does not fit its modality.
    #[error(transparent)]
    Batch(#[from] multivae_core::Error),
    /// A measured value is infinite or not a number.
    #[error("{what} of row {row} is {value}")]
    NotFinite {
        /// What was measured.
        what: String,
        /// The row of the data set.
        row: usize,
        /// The value.
        value: f64,
    },
    /// A device failed while it was read.
    #[error("{what} cannot be read from the device: {reason}")]
    Device {
        /// What was read.
        what: String,
        /// Why.
        reason: String,
    },
}
