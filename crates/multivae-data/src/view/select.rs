//! Some rows of a data set.

use std::sync::Arc;

use burn::tensor::Device;
use multivae_core::{
    batch::Batch,
    dataset::{Dataset, DatasetError},
    modality::ModalitySpec,
    schema::Schema,
    subset::Subset,
};

use crate::{
    error::{DataError, Result},
    split::SplitIndices,
};

/// Some rows of a data set, in any order.
#[derive(Clone)]
pub struct Select {
    data: Arc<dyn Dataset>,
    rows: Arc<[usize]>,
}

impl Select {
    /// The given rows, in the given order.
    ///
    /// # Errors
    ///
    /// [`DataError::Row`] for a row that does not exist.
    pub fn new(data: Arc<dyn Dataset>, rows: Vec<usize>) -> Result<Self> {
        match rows.iter().find(|&&row| row >= data.len()) {
            Some(&row) => Err(DataError::Row { row, rows: data.len() }),
            None => Ok(Self { data, rows: rows.into() }),
        }
    }

    /// Training, validation and test rows.
    ///
    /// # Errors
    ///
    /// As [`Select::new`].
    pub fn split(data: &Arc<dyn Dataset>, parts: &SplitIndices) -> Result<[Self; 3]> {
        let part = |rows: &[usize]| Self::new(data.clone(), rows.to_vec());
        Ok([part(&parts.train)?, part(&parts.valid)?, part(&parts.test)?])
    }

    /// At most `n` of the rows that observe all of `wanted`, evenly spread, since rows of one class
    /// often follow each other. None if no row does.
    pub fn some(data: Arc<dyn Dataset>, n: usize, wanted: Option<Subset>) -> Self {
        let observes = |&row: &usize| {
            wanted.is_none_or(|wanted| wanted.iter().all(|m| data.presence(row).contains(m)))
        };
        let fitting: Vec<_> = (0..data.len()).filter(observes).collect();
        let n = n.min(fitting.len());
        let rows = (0..n).map(|i| fitting[i * fitting.len() / n]).collect();
        Self { data, rows }
    }

    /// The row of the data below of each row.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }
}

impl Dataset for Select {
    fn modalities(&self) -> &[ModalitySpec] {
        self.data.modalities()
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
        if let Some(&row) = rows.iter().find(|&&row| row >= self.len()) {
            return Err(DataError::Row { row, rows: self.len() }.into());
        }
        let rows: Vec<_> = rows.iter().map(|&row| self.rows[row]).collect();
        self.data.batch(&rows, device)
    }

    fn in_epoch(&self, seed: u64, epoch: usize) -> Option<Arc<dyn Dataset>> {
        let data = self.data.in_epoch(seed, epoch)?;
        Some(Arc::new(Self { data, ..self.clone() }))
    }

    fn presence(&self, row: usize) -> Subset {
        self.data.presence(self.rows[row])
    }

    fn label(&self, row: usize) -> Option<i64> {
        self.data.label(self.rows[row])
    }

    fn id(&self, row: usize) -> String {
        self.data.id(self.rows[row])
    }

    fn schema(&self) -> Option<&Schema> {
        self.data.schema()
    }

    fn cells(&self, row: usize, modality: usize) -> Option<Vec<bool>> {
        self.data.cells(self.rows[row], modality)
    }

    fn precise(&self, row: usize, modality: usize, out: &mut [f64]) -> bool {
        self.data.precise(self.rows[row], modality, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDataset;

    fn data() -> Arc<dyn Dataset> {
        let spec = |name| ModalitySpec::new(name, &[1]).expect("valid");
        let values = || (0..10).map(|i| i as f32).collect::<Vec<_>>().into();
        let presence = (0..10).map(|row| match row % 2 {
            0 => Subset::full(2),
            _ => Subset::single(0),
        });
        let data = MemoryDataset::new(vec![(spec("a"), values()), (spec("b"), values())])
            .and_then(|data| data.with_presence(presence.collect()))
            .expect("a part");
        Arc::new(data)
    }

    #[test]
    fn rows_that_do_not_exist_are_refused() {
        let error = Select::new(data(), vec![3, 10]).err().expect("ten rows");
        assert_eq!(error.to_string(), "row 10 was asked for, the data has 10");
        let two = Select::new(data(), vec![3, 1]).expect("rows exist");
        let error = two.batch(&[2], &Device::flex()).expect_err("two rows");
        assert_eq!(error.to_string(), "row 2 was asked for, the data has 2");
        assert_eq!((two.id(0), two.presence(1)), ("3".into(), Subset::single(0)));
    }

    #[test]
    fn some_rows_are_evenly_spread_over_those_that_observe_what_is_wanted() {
        let some = Select::some(data(), 3, Some(Subset::full(2)));
        assert_eq!(some.rows(), [0, 2, 6]);
        assert_eq!(Select::some(data(), 100, None).len(), 10);
        let nested = Select::new(Arc::new(some), vec![2]).expect("rows exist");
        assert_eq!(nested.id(0), "6");
    }

    #[test]
    fn splits_are_selections() {
        let parts = SplitIndices { train: vec![0, 4], valid: vec![], test: vec![9] };
        let [train, valid, test] = Select::split(&data(), &parts).expect("rows exist");
        assert_eq!((train.len(), valid.is_empty(), test.id(0)), (2, true, "9".into()));
    }
}
