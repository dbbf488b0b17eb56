//! Small classifiers of single modalities, by which generated values are told apart.

use serde::{Deserialize, Serialize};

use crate::{
    entry::{Entries, Entry},
    mean::Mean,
};

/// What is known of a classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassifierReport {
    /// The modality that it reads.
    pub modality: String,
    /// The classes, ascending; scores are in this order.
    pub classes: Vec<i64>,
    /// Rows that it learned from.
    pub train_rows: usize,
    /// Epochs after which it was best on rows held out.
    pub epochs: usize,
    /// Share of the rows held out that it told right.
    pub valid_accuracy: Mean,
    /// Rows of the test.
    pub rows: usize,
    /// Share of the test rows that it told right: the most that a generated modality can reach.
    pub accuracy: Mean,
}

impl Entries for ClassifierReport {
    fn entries(&self) -> Vec<Entry> {
        vec![Entry::new("classifier", "accuracy", self.accuracy, self.rows).target(&self.modality)]
    }
}
