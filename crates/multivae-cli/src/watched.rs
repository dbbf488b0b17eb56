//! Data of which somebody hears before rows are read.

use std::ops::Deref;

use burn::tensor::Device;
use multivae::core::{
    batch::Batch,
    dataset::{Dataset, DatasetError},
    modality::ModalitySpec,
    schema::Schema,
    subset::Subset,
};

/// The rows of `data`, each batch of which is read after `before` was told its numbers, unless that
/// fails.
pub(crate) struct Watched<D, F> {
    pub(crate) data: D,
    pub(crate) before: F,
}

impl<D, F> Dataset for Watched<D, F>
where
    D: Deref<Target: Dataset> + Send + Sync,
    F: Fn(&[usize]) -> Result<(), DatasetError> + Send + Sync,
{
    fn modalities(&self) -> &[ModalitySpec] {
        self.data.modalities()
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
        (self.before)(rows)?;
        self.data.batch(rows, device)
    }

    fn presence(&self, row: usize) -> Subset {
        self.data.presence(row)
    }

    fn label(&self, row: usize) -> Option<i64> {
        self.data.label(row)
    }

    fn id(&self, row: usize) -> String {
        self.data.id(row)
    }

    fn schema(&self) -> Option<&Schema> {
        self.data.schema()
    }

    fn cells(&self, row: usize, modality: usize) -> Option<Vec<bool>> {
        self.data.cells(row, modality)
    }

    fn precise(&self, row: usize, modality: usize, out: &mut [f64]) -> bool {
        self.data.precise(row, modality, out)
    }
}
