//! The modalities of a model, in its order.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use multivae_core::{
    batch::{Batch, Presence, Values},
    dataset::{Dataset, DatasetError},
    modality::ModalitySpec,
    schema::{ModalitySchema, Schema},
    subset::Subset,
};

use crate::error::{DataError, Result, list};

/// Data with the modalities of a model in the model's order; those that the data lacks are missing
/// in every row.
#[derive(Clone)]
pub struct Aligned {
    data: Arc<dyn Dataset>,
    specs: Arc<[ModalitySpec]>,
    /// Place of each modality of the model in the data.
    places: Arc<[Option<usize>]>,
    schema: Option<Arc<Schema>>,
}

impl Aligned {
    /// Checks the data against the modalities of a model.
    ///
    /// # Errors
    ///
    /// [`DataError::UnknownModality`] for a modality that the model does not have,
    /// [`DataError::Shape`] for one of another shape.
    pub fn new(data: Arc<dyn Dataset>, specs: &[ModalitySpec]) -> Result<Self> {
        let found = data.modalities();
        for spec in found {
            if !specs.iter().any(|known| known.name == spec.name) {
                return Err(DataError::UnknownModality {
                    modality: spec.name.to_string(),
                    known: list(specs.iter().map(|known| known.name.as_str())),
                });
            }
        }
        let mut places = Vec::new();
        for spec in specs {
            let place = found.iter().position(|other| other.name == spec.name);
            if let Some(other) = place.map(|place| &found[place])
                && other.shape != spec.shape
            {
                return Err(DataError::Shape {
                    modality: spec.name.to_string(),
                    path: "data".into(),
                    expected: format!("{:?}, as the model has it", spec.shape),
                    found: format!("{:?}", other.shape),
                });
            }
            places.push(place);
        }
        let schema = data.schema().map(|schema| {
            let entry = |spec: &ModalitySpec| {
                let known = schema.modality(spec.name.as_str()).cloned();
                known.unwrap_or_else(|| ModalitySchema::new(spec.clone()))
            };
            let modalities = specs.iter().map(entry).collect();
            Arc::new(Schema { modalities, ..schema.clone() })
        });
        Ok(Self { specs: specs.into(), places: places.into(), schema, data })
    }
}

impl Dataset for Aligned {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.specs
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
        let batch = self.data.batch(rows, device)?;
        // The data is in the model's order already, as nearly always.
        if self.places.iter().enumerate().all(|(m, place)| *place == Some(m)) {
            return Ok(batch);
        }
        let values = self.specs.iter().zip(&*self.places).map(|(spec, place)| match place {
            Some(place) => batch.values()[*place].clone(),
            // Any filler will do where a modality is missing.
            None => Values::Dense(Tensor::from_data(
                TensorData::zeros::<f32, _>([rows.len(), spec.features()]),
                device,
            )),
        });
        let observed = rows.iter().map(|&row| self.presence(row)).collect();
        let presence = Presence::new(observed, self.specs.len(), device);
        let places = || self.places.iter();
        let cells = places().map(|place| batch.cells((*place)?).cloned()).collect();
        let offsets = places().map(|place| batch.offset((*place)?).cloned()).collect();
        Ok(Batch::new(values.collect(), presence)?
            .with_cells(cells)?
            .with_offsets(offsets)?
            .with_covariates(batch.covariates().to_vec())?
            .with_labels(batch.labels().map(<[i64]>::to_vec))?)
    }

    fn in_epoch(&self, seed: u64, epoch: usize) -> Option<Arc<dyn Dataset>> {
        let data = self.data.in_epoch(seed, epoch)?;
        Some(Arc::new(Self { data, ..self.clone() }))
    }

    fn presence(&self, row: usize) -> Subset {
        let observed = self.data.presence(row);
        let places = self.places.iter().enumerate();
        let own = places.filter(|(_, place)| place.is_some_and(|place| observed.contains(place)));
        Subset::new(own.map(|(m, _)| m))
            .expect("a row observes a modality of its data, and all of these are the model's")
    }

    fn label(&self, row: usize) -> Option<i64> {
        self.data.label(row)
    }

    fn id(&self, row: usize) -> String {
        self.data.id(row)
    }

    fn schema(&self) -> Option<&Schema> {
        self.schema.as_deref()
    }

    fn cells(&self, row: usize, modality: usize) -> Option<Vec<bool>> {
        self.data.cells(row, self.places[modality]?)
    }

    fn precise(&self, row: usize, modality: usize, out: &mut [f64]) -> bool {
        self.places[modality].is_some_and(|place| self.data.precise(row, place, out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDataset;

    fn spec(name: &str, features: usize) -> ModalitySpec {
        ModalitySpec::new(name, &[features]).expect("valid")
    }

    fn data() -> Arc<dyn Dataset> {
        let data = MemoryDataset::new(vec![
            (spec("b", 1), vec![5.0f32, 6.0].into()),
            (spec("a", 2), vec![1.0f32, 2.0, 3.0, 4.0].into()),
        ]);
        Arc::new(data.and_then(|data| data.with_labels(vec![7, 8])).expect("two rows"))
    }

    #[test]
    fn modalities_come_in_the_models_order_and_absent_ones_are_missing() {
        let specs = [spec("a", 2), spec("c", 3), spec("b", 1)];
        let aligned = Aligned::new(data(), &specs).expect("the model has both");
        let batch = aligned.batch(&[1, 0], &Device::flex()).expect("rows exist");
        let values = |m: usize| -> Vec<f32> {
            let values = batch.values()[m].dense().expect("dense").clone();
            values.into_data().try_into_vec().expect("floats")
        };
        assert_eq!(
            (values(0), values(1), values(2)),
            (vec![3.0, 4.0, 1.0, 2.0], vec![0.0; 6], vec![6.0, 5.0])
        );
        let observed = Subset::new([0, 2]).expect("two");
        assert_eq!(batch.presence().rows(), [observed; 2]);
        assert_eq!(batch.labels(), Some([8, 7].as_slice()));
    }

    #[test]
    fn modalities_that_the_model_has_not_or_of_another_shape_are_refused() {
        let error = Aligned::new(data(), &[spec("a", 2)]).err().expect("`b` is not there");
        assert_eq!(error.to_string(), "the model has no modality `b`; it has `a`");
        let error =
            Aligned::new(data(), &[spec("a", 3), spec("b", 1)]).err().expect("two are not 3");
        assert!(
            error.to_string().contains("expected [3], as the model has it, found [2]"),
            "{error}"
        );
    }
}
