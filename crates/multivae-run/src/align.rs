//! Data in the order of a model's modalities.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use multivae_core::{
    batch::{Batch, Presence, Values},
    dataset::{Dataset, DatasetError},
    modality::ModalitySpec,
    subset::Subset,
};

use crate::error::{Result, RunError};

/// Data with the modalities of a model in the model's order; those that the data lacks are
/// missing in every row.
///
/// ```
/// use std::sync::Arc;
/// use multivae_core::{dataset::Dataset, modality::ModalitySpec, subset::Subset};
/// use multivae_data::DataConfig;
/// use multivae_run::AlignedDataset;
///
/// // Images and labels, for a model that knows sounds as well.
/// let data = DataConfig { rows: Some(20), ..DataConfig::new("mnist-labels") }.open()?.train;
/// let sound = ModalitySpec::new("sound", &[4])?;
/// let mut specs = vec![sound];
/// specs.extend_from_slice(data.modalities());
/// let aligned = AlignedDataset::new(Arc::new(data), &specs)?;
/// assert_eq!(aligned.modalities()[0].name.as_str(), "sound");
/// assert_eq!(aligned.presence(0), Subset::new([1, 2])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct AlignedDataset {
    data: Arc<dyn Dataset>,
    specs: Vec<ModalitySpec>,
    /// Place of each modality of the model in the data.
    places: Vec<Option<usize>>,
    /// The chosen rows of the data.
    rows: Vec<usize>,
}

impl AlignedDataset {
    /// All rows of the data, for a model of the modalities `specs`.
    ///
    /// # Errors
    ///
    /// [`RunError::Modality`] for a modality that the model does not have,
    /// [`multivae_core::Error::Shape`] for one of another shape.
    pub fn new(data: Arc<dyn Dataset>, specs: &[ModalitySpec]) -> Result<Self> {
        let found = data.modalities();
        if let Some(other) = found.iter().find(|other| specs.iter().all(|s| s.name != other.name)) {
            let known: Vec<_> = specs.iter().map(|spec| format!("`{}`", spec.name)).collect();
            return Err(RunError::Modality {
                name: other.name.to_string(),
                known: known.join(", "),
            });
        }
        let mut places = Vec::new();
        for spec in specs {
            let place = found.iter().position(|other| other.name == spec.name);
            if let Some(other) = place.map(|place| &found[place])
                && other.shape != spec.shape
            {
                return Err(RunError::Core(multivae_core::Error::Shape {
                    modality: spec.name.to_string(),
                    expected: format!("{:?}, as the model has it", spec.shape),
                    found: format!("{:?} in the data", other.shape),
                }));
            }
            places.push(place);
        }
        let rows = (0..data.len()).collect();
        Ok(Self { data, specs: specs.to_vec(), places, rows })
    }

    /// At most `n` of the rows that observe all of `wanted`, evenly spread: rows of one class often
    /// follow each other.
    ///
    /// # Errors
    ///
    /// [`RunError::Unobserved`] if there is no such row.
    pub fn some(mut self, n: usize, wanted: Subset) -> Result<Self> {
        let observes = |row: usize| wanted.iter().all(|m| self.presence(row).contains(m));
        let fitting: Vec<_> = (0..self.len()).filter(|&row| observes(row)).collect();
        if fitting.is_empty() {
            return Err(RunError::Unobserved { wanted: wanted.label(&self.specs) });
        }
        self.rows = evenly(&fitting, n).into_iter().map(|row| self.rows[row]).collect();
        Ok(self)
    }

    /// The given rows, in their order.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn select(mut self, rows: &[usize]) -> Self {
        self.rows = rows.iter().map(|&row| self.rows[row]).collect();
        self
    }

    /// Place of each row in the data that was aligned, from 0.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Which values of a row's modality are missing, `[features]`; all if the row lacks it.
    pub fn missing(&self, row: usize, modality: usize) -> Vec<bool> {
        let observed = self.presence(row).contains(modality);
        match self.cells(row, modality) {
            Some(cells) if observed => cells.into_iter().map(|there| !there).collect(),
            _ => vec![!observed; self.specs[modality].features()],
        }
    }

    /// At most `n` of the rows, evenly spread.
    pub fn at_most(mut self, n: usize) -> Self {
        self.rows = evenly(&self.rows, n);
        self
    }
}

/// At most `n` of the rows, evenly spread.
///
/// ```
/// assert_eq!(multivae_run::evenly(&[0, 1, 2, 3, 4, 5], 3), [0, 2, 4]);
/// ```
pub fn evenly(rows: &[usize], n: usize) -> Vec<usize> {
    let n = n.min(rows.len());
    (0..n).map(|i| rows[i * rows.len() / n]).collect()
}

impl Dataset for AlignedDataset {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.specs
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
        let own: Vec<_> = rows.iter().map(|&row| self.rows[row]).collect();
        let batch = self.data.batch(&own, device)?;
        let values = self.specs.iter().zip(&self.places).map(|(spec, place)| match place {
            Some(place) => batch.values()[*place].clone(),
            None => filler(spec, rows.len(), device),
        });
        let observed = rows.iter().map(|&row| self.presence(row)).collect();
        let presence = Presence::new(observed, self.specs.len(), device);
        let places = || self.places.iter();
        let cells = places().map(|place| batch.cells((*place)?).cloned()).collect();
        let offsets = places().map(|place| batch.offset((*place)?).cloned()).collect();
        let aligned = Batch::new(values.collect(), presence)?
            .with_cells(cells)?
            .with_offsets(offsets)?
            .with_covariates(batch.covariates().to_vec())?
            .with_labels(batch.labels().map(<[i64]>::to_vec))?;
        Ok(aligned)
    }

    fn in_epoch(&self, seed: u64, epoch: usize) -> Option<Arc<dyn Dataset>> {
        let data = self.data.in_epoch(seed, epoch)?;
        Some(Arc::new(Self { data, ..self.clone() }))
    }

    fn presence(&self, row: usize) -> Subset {
        let observed = self.data.presence(self.rows[row]);
        let places = self.places.iter().enumerate();
        let own = places.filter(|(_, place)| place.is_some_and(|place| observed.contains(place)));
        Subset::new(own.map(|(m, _)| m))
            .expect("a row observes a modality of its data, and all of these are the model's")
    }

    fn label(&self, row: usize) -> Option<i64> {
        self.data.label(self.rows[row])
    }

    fn id(&self, row: usize) -> String {
        self.data.id(self.rows[row])
    }

    fn cells(&self, row: usize, modality: usize) -> Option<Vec<bool>> {
        self.data.cells(self.rows[row], self.places[modality]?)
    }

    fn precise(&self, row: usize, modality: usize, out: &mut [f64]) -> bool {
        let place = self.places[modality];
        place.is_some_and(|place| self.data.precise(self.rows[row], place, out))
    }
}

/// What stands where a modality is missing in every row: any values will do.
pub(crate) fn filler(spec: &ModalitySpec, rows: usize, device: &Device) -> Values {
    let zeros = TensorData::zeros::<f32, _>([rows, spec.features()]);
    Values::Dense(Tensor::from_data(zeros, device))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two modalities, of the first of which a cell is missing, with all that a batch may carry.
    struct Rows(Vec<ModalitySpec>);

    impl Dataset for Rows {
        fn modalities(&self) -> &[ModalitySpec] {
            &self.0
        }

        fn len(&self) -> usize {
            2
        }

        fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
            let n = rows.len();
            let values = vec![
                Values::Dense(Tensor::ones([n, 2], device)),
                Values::Dense(Tensor::ones([n, 1], device)),
            ];
            let first: Tensor<2> = Tensor::from_floats([[1.0, 0.0]], device);
            let batch = Batch::new(values, Presence::complete(n, 2, device))?
                .with_cells(vec![Some(first.repeat_dim(0, n)), None])?
                .with_offsets(vec![None, Some(Tensor::ones([n], device))])?
                .with_covariates(vec![("age".into(), Tensor::ones([n, 1], device))])?
                .with_labels(Some(rows.iter().map(|&row| row as i64).collect()))?;
            Ok(batch)
        }

        fn presence(&self, _: usize) -> Subset {
            Subset::full(2)
        }
    }

    #[test]
    fn all_that_a_batch_carries_stays_with_its_modality() {
        let spec = |name: &str, features: usize| ModalitySpec::new(name, &[features]).expect("ok");
        let data = Arc::new(Rows(vec![spec("a", 2), spec("b", 1)]));
        let model = [spec("b", 1), spec("c", 3), spec("a", 2)];
        let aligned = AlignedDataset::new(data, &model).expect("its shapes");
        let batch = aligned.batch(&[1, 0], &Device::flex()).expect("two rows");
        batch.check(&model).expect("as the model has it");
        assert!(batch.cells(0).is_none() && batch.cells(1).is_none());
        let cells: Vec<f32> = batch.cells(2).expect("a mask").clone().into_data().iter().collect();
        assert_eq!(cells, [1.0, 0.0, 1.0, 0.0]);
        assert!(batch.offset(0).is_some() && batch.offset(2).is_none());
        assert_eq!(batch.covariates().len(), 1);
        assert_eq!(batch.labels(), Some([1, 0].as_slice()));
        assert_eq!(batch.presence().rows(), [Subset::new([0, 2]).expect("two"); 2]);
    }
}
