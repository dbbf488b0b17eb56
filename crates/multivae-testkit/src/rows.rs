//! Rows held in memory.

use burn::tensor::{Device, Tensor, TensorData};
use multivae_core::{
    batch::{Batch, Presence, Values},
    dataset::{Dataset, DatasetError},
    modality::ModalitySpec,
    subset::Subset,
};

/// Modalities of one feature each; a cell is `None` where its modality is missing.
#[derive(Clone, Debug)]
pub struct Rows {
    specs: Vec<ModalitySpec>,
    cells: Vec<Vec<Option<f32>>>,
    labels: Option<Vec<i64>>,
}

impl Rows {
    /// One inner vector per row, each as long as there are modalities; these are called `m0`, `m1`
    /// and so on.
    ///
    /// # Panics
    ///
    /// If a row has another length or observes nothing.
    pub fn new(modalities: usize, cells: Vec<Vec<Option<f32>>>) -> Self {
        for (row, cells) in cells.iter().enumerate() {
            assert_eq!(cells.len(), modalities, "row {row}");
            assert!(cells.iter().any(Option::is_some), "row {row} observes nothing");
        }
        let specs = (0..modalities)
            .map(|m| ModalitySpec::new(&format!("m{m}"), &[1]).expect("a valid name and shape"))
            .collect();
        Self { specs, cells, labels: None }
    }

    /// The same with a class label per row.
    ///
    /// # Panics
    ///
    /// If there are not as many as rows.
    #[must_use]
    pub fn with_labels(mut self, labels: Vec<i64>) -> Self {
        assert_eq!(labels.len(), self.cells.len(), "one label a row");
        self.labels = Some(labels);
        self
    }

    /// The cells of a row.
    pub fn row(&self, row: usize) -> &[Option<f32>] {
        &self.cells[row]
    }
}

impl Dataset for Rows {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.specs
    }

    fn len(&self) -> usize {
        self.cells.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
        let values = (0..self.specs.len())
            .map(|m| {
                // What stands in for a missing value must not matter: a value that would show.
                let column: Vec<f32> =
                    rows.iter().map(|&row| self.cells[row][m].unwrap_or(1e6)).collect();
                let shape = [rows.len(), 1];
                Values::Dense(Tensor::from_data(TensorData::new(column, shape), device))
            })
            .collect();
        let observed = rows.iter().map(|&row| self.presence(row)).collect();
        let labels = self.labels.as_ref();
        let labels = labels.map(|labels| rows.iter().map(|&row| labels[row]).collect());
        let presence = Presence::new(observed, self.specs.len(), device);
        Ok(Batch::new(values, presence)?.with_labels(labels)?)
    }

    fn presence(&self, row: usize) -> Subset {
        let cells = self.cells[row].iter().enumerate();
        Subset::new(cells.filter(|(_, cell)| cell.is_some()).map(|(m, _)| m))
            .expect("every row observes a modality")
    }

    fn label(&self, row: usize) -> Option<i64> {
        self.labels.as_ref().map(|labels| labels[row])
    }
}
