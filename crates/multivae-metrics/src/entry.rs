//! Every measure as rows of one table.

use serde::{Deserialize, Serialize};

use crate::mean::Mean;

/// One measured number, with what it is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Which report it is from, such as `coherence`.
    pub report: String,
    /// What was measured, such as `accuracy`.
    pub measure: String,
    /// The modalities that were given; empty where nothing was.
    pub given: Vec<String>,
    /// The modality, latent space or other thing that it is about; empty for the whole.
    pub target: String,
    /// The number.
    pub value: f64,
    /// Its standard error, where it is a mean over rows or runs.
    pub standard_error: Option<f64>,
    /// How many rows, or runs, it is from.
    pub count: usize,
}

impl Entry {
    /// A mean about everything, from nothing given.
    pub(crate) fn new(report: &str, measure: &str, mean: Mean, count: usize) -> Self {
        Self {
            report: report.to_owned(),
            measure: measure.to_owned(),
            given: Vec::new(),
            target: String::new(),
            value: mean.mean,
            standard_error: Some(mean.standard_error),
            count,
        }
    }

    /// The same from given modalities.
    pub(crate) fn given(self, given: &[String]) -> Self {
        Self { given: given.to_vec(), ..self }
    }

    /// The same about a target.
    pub(crate) fn target(self, target: &str) -> Self {
        Self { target: target.to_owned(), ..self }
    }
}

/// A report that can be laid out as a table.
pub trait Entries {
    /// All of its numbers, in a fixed order.
    fn entries(&self) -> Vec<Entry>;
}
