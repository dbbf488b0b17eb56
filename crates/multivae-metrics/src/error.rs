//! What can go wrong in a measurement.

use multivae_core::pass::PassError;

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
    /// A number of the configuration out of its range.
    #[error("`{field}`: expected {expected}, found {found}")]
    Range {
        /// The field.
        field: &'static str,
        /// What is possible.
        expected: &'static str,
        /// What was given.
        found: f64,
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
    /// Rows of too few classes.
    #[error("{what}: expected rows with labels of at least 2 classes, found {found}")]
    TooFewClasses {
        /// What is trained.
        what: String,
        /// How many classes there are.
        found: usize,
    },
    /// Classifiers that cannot be used together, or with a model.
    #[error("classifiers: {0}")]
    Classifiers(String),
    /// A classifier's file that cannot be read or written.
    #[error("classifier `{path}`: {reason}")]
    ClassifierFile {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A linear probe that cannot be fitted.
    #[error("the linear probe given {given} cannot be fitted: {reason}")]
    Probe {
        /// What the posterior was given.
        given: String,
        /// Why.
        reason: String,
    },
    /// Model and data differ in their modalities.
    #[error("the model has the modalities {expected}, the data set has {found}")]
    Modalities {
        /// Those of the model.
        expected: String,
        /// Those of the data set.
        found: String,
    },
    /// A modality that the model does not have.
    #[error(transparent)]
    Modality(#[from] multivae_core::Error),
    /// A latent space that the model does not have.
    #[error("the model has no latent space `{space}`, it has {known}")]
    Space {
        /// The space.
        space: String,
        /// Those of the model.
        known: String,
    },
    /// Weights of a network that cannot be used.
    #[error("the weights `{path}` cannot be used: {reason}")]
    Weights {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Too few rows.
    #[error("expected at least {needed} rows, found {found}")]
    TooFewRows {
        /// How many it takes.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// No row that counts has a label.
    #[error("no row of the {which} data that counts has a label")]
    NoLabels {
        /// Which data: `training` or `test`.
        which: &'static str,
    },
    /// Rows could not be read, do not fit the model, or a device failed.
    #[error(transparent)]
    Pass(#[from] PassError),
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
}
