//! Every measure as rows of one table.

use serde::{Deserialize, Deserializer, Serialize};

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
    /// The number. JSON has no infinite or undefined ones: they are written as `null`, and read as
    /// undefined.
    #[serde(deserialize_with = "number")]
    pub value: f64,
    /// Its standard error, where it is a mean over rows or runs.
    pub standard_error: Option<f64>,
    /// How many rows, or runs, it is from.
    pub count: usize,
}

/// A number, or `null` for what is none.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_reads_back_as_none() {
        let mean = Mean { mean: f64::INFINITY, standard_error: f64::NAN };
        let text = serde_json::to_string(&Entry::new("report", "psnr", mean, 3)).expect("plain");
        let entry: Entry = serde_json::from_str(&text).expect("own text");
        assert!(entry.value.is_nan() && entry.standard_error.is_none() && entry.count == 3);
    }
}
