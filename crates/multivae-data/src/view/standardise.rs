//! Values on the scale of a standardisation.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use multivae_core::{
    batch::{Batch, Values},
    dataset::{Dataset, DatasetError},
    modality::ModalitySpec,
    schema::Schema,
    subset::Subset,
};

use crate::{error::Result, standardise::Standardisation};

/// A data set with standardised values.
#[derive(Clone)]
pub struct Standardised {
    data: Arc<dyn Dataset>,
    standardisation: Arc<Standardisation>,
}

impl Standardised {
    /// The data set standardised by what was fitted before.
    ///
    /// # Errors
    ///
    /// As [`Standardisation::check`].
    pub fn new(data: Arc<dyn Dataset>, standardisation: Standardisation) -> Result<Self> {
        standardisation.check(data.modalities())?;
        Ok(Self { data, standardisation: Arc::new(standardisation) })
    }

    /// Standardised values of rows, `[rows, features]` flattened, from values in double precision,
    /// 0 where they are missing; `None` if the data has only batches.
    fn precise_rows(&self, rows: &[usize], modality: usize) -> Option<Vec<f32>> {
        let spec = &self.data.modalities()[modality];
        let moments = self.standardisation.moments(spec.name.as_str())?;
        let features = spec.features();
        let mut out = vec![0.0; rows.len() * features];
        let mut buffer = vec![0.0; features];
        for (out, &row) in out.chunks_exact_mut(features).zip(rows) {
            if !self.data.presence(row).contains(modality) {
                continue;
            }
            if !self.data.precise(row, modality, &mut buffer) {
                return None;
            }
            let cells = self.data.cells(row, modality);
            for (feature, (out, value)) in out.iter_mut().zip(&buffer).enumerate() {
                if cells.as_ref().is_none_or(|cells| cells[feature]) {
                    let (mean, std) = moments.of(feature);
                    *out = ((value - mean) / std) as f32;
                }
            }
        }
        Some(out)
    }
}

impl Dataset for Standardised {
    fn modalities(&self) -> &[ModalitySpec] {
        self.data.modalities()
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
        let mut batch = self.data.batch(rows, device)?;
        for (m, spec) in self.data.modalities().iter().enumerate() {
            let name = spec.name.as_str();
            if self.standardisation.moments(name).is_none() {
                continue;
            }
            if let Some(values) = self.precise_rows(rows, m) {
                let data = TensorData::new(values, [rows.len(), spec.features()]);
                batch = batch.with_values(m, Values::Dense(Tensor::from_data(data, device)))?;
            } else if let Some(values) = batch.values()[m].dense() {
                let values = self.standardisation.apply(name, values.clone());
                batch = batch.with_values(m, Values::Dense(values))?;
                // The filler is 0 on every scale.
                let values = batch.observed(m);
                batch = batch.with_values(m, values)?;
            }
        }
        Ok(batch)
    }

    fn in_epoch(&self, seed: u64, epoch: usize) -> Option<Arc<dyn Dataset>> {
        let data = self.data.in_epoch(seed, epoch)?;
        Some(Arc::new(Self { data, ..self.clone() }))
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
}
