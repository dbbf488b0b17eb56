//! Fewer modalities, and fewer values of them.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use multivae_core::{
    batch::{Batch, Presence},
    dataset::{Dataset, DatasetError},
    modality::ModalitySpec,
    schema::Schema,
    subset::Subset,
};

use crate::{
    cells::MissingCells,
    error::{DataError, Result},
};

/// A data set of which modalities, or single values, are taken.
#[derive(Clone)]
pub struct Masked {
    data: Arc<dyn Dataset>,
    presence: Arc<[Subset]>,
    /// Values that are taken beside those that the data lacks.
    taken: Arc<[Option<MissingCells>]>,
}

impl Masked {
    /// Row `i` observes `presence[i]` and no more.
    ///
    /// # Errors
    ///
    /// [`DataError::Config`] if there is not one set per row, or a row would observe what the data
    /// lacks.
    pub fn modalities(data: Arc<dyn Dataset>, presence: Vec<Subset>) -> Result<Self> {
        let bad = |field: String, expected: String, found: String| {
            Err(DataError::Config { field, expected, found })
        };
        if presence.len() != data.len() {
            let found = presence.len().to_string();
            return bad("presence".into(), format!("{} rows", data.len()), found);
        }
        for (row, new) in presence.iter().enumerate() {
            let old = data.presence(row);
            if new.iter().any(|m| !old.contains(m)) {
                let expected = format!("a part of the modalities {old}");
                return bad(format!("presence of row {row}"), expected, new.to_string());
            }
        }
        let taken = vec![None; data.modalities().len()].into();
        Ok(Self { data, presence: presence.into(), taken })
    }

    /// Without the values of `taken`, one entry per modality; a row of which all values of a
    /// modality are missing lacks it.
    ///
    /// # Errors
    ///
    /// [`DataError::Config`] if there is not one entry per modality with all rows;
    /// [`DataError::EmptyRows`] if a row is left with nothing.
    pub fn cells(data: Arc<dyn Dataset>, taken: Vec<Option<MissingCells>>) -> Result<Self> {
        let rows = data.len();
        let fits = taken.iter().flatten().all(|cells| cells.rows() == rows);
        if taken.len() != data.modalities().len() || !fits {
            return Err(DataError::Config {
                field: "missing cells".into(),
                expected: format!("{rows} rows of {} modalities", data.modalities().len()),
                found: format!("{} entries", taken.len()),
            });
        }
        let mut this = Self {
            presence: (0..rows).map(|row| data.presence(row)).collect(),
            taken: taken.into(),
            data,
        };
        let mut presence = Vec::with_capacity(rows);
        let mut lost = Vec::new();
        for row in 0..rows {
            let keeps = |m: &usize| {
                this.taken[*m].is_none()
                    || this.observed(row, *m).is_none_or(|cells| cells.contains(&true))
            };
            match Subset::new(this.data.presence(row).iter().filter(keeps)) {
                Ok(kept) => presence.push(kept),
                Err(_) => lost.push(row),
            }
        }
        if let Some(&first) = lost.first() {
            let first = this.data.id(first);
            return Err(DataError::EmptyRows { first, count: lost.len() });
        }
        this.presence = presence.into();
        Ok(this)
    }

    /// Which values of a row are observed; `None` if all are.
    fn observed(&self, row: usize, modality: usize) -> Option<Vec<bool>> {
        let before = self.data.cells(row, modality);
        let Some(taken) = &self.taken[modality] else { return before };
        if taken.missing_in(row) == 0 {
            return before;
        }
        let features = self.data.modalities()[modality].features();
        let before = before.unwrap_or_else(|| vec![true; features]);
        Some((0..features).map(|f| before[f] && !taken.is_missing(row, f)).collect())
    }
}

impl Dataset for Masked {
    fn modalities(&self) -> &[ModalitySpec] {
        self.data.modalities()
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
        let mut batch = self.data.batch(rows, device)?;
        let specs = self.data.modalities();
        let presence = rows.iter().map(|&row| self.presence[row]).collect();
        batch = batch.with_presence(Presence::new(presence, specs.len(), device))?;
        let mut cells = Vec::with_capacity(specs.len());
        for (m, spec) in specs.iter().enumerate() {
            let of_rows: Vec<_> = rows.iter().map(|&row| Dataset::cells(self, row, m)).collect();
            let some = of_rows.iter().any(Option::is_some);
            cells.push(some.then(|| {
                let features = spec.features();
                let one = |cells: &Option<Vec<bool>>| match cells {
                    Some(cells) => cells.iter().map(|&there| f32::from(u8::from(there))).collect(),
                    None => vec![1.0; features],
                };
                let mask: Vec<f32> = of_rows.iter().flat_map(one).collect();
                Tensor::from_data(TensorData::new(mask, [rows.len(), features]), device)
            }));
        }
        batch = batch.with_cells(cells)?;
        // As rows in memory have it: 0 where something is missing.
        for m in 0..specs.len() {
            let values = batch.observed(m);
            batch = batch.with_values(m, values)?;
        }
        Ok(batch)
    }

    fn in_epoch(&self, seed: u64, epoch: usize) -> Option<Arc<dyn Dataset>> {
        let data = self.data.in_epoch(seed, epoch)?;
        Some(Arc::new(Self { data, ..self.clone() }))
    }

    fn presence(&self, row: usize) -> Subset {
        self.presence[row]
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
        if self.presence[row].contains(modality) { self.observed(row, modality) } else { None }
    }

    fn precise(&self, row: usize, modality: usize, out: &mut [f64]) -> bool {
        if !self.presence[row].contains(modality) || !self.data.precise(row, modality, out) {
            return false;
        }
        if let Some(observed) = self.observed(row, modality) {
            out.iter_mut().zip(observed).filter(|(_, there)| !there).for_each(|(v, _)| *v = 0.0);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDataset;

    fn data() -> Arc<dyn Dataset> {
        let spec = |name| ModalitySpec::new(name, &[2]).expect("valid");
        let values = || vec![1.0f32, 2.0, 3.0, 4.0].into();
        let data = MemoryDataset::new(vec![(spec("a"), values()), (spec("b"), values())]);
        Arc::new(data.expect("two rows"))
    }

    #[test]
    fn what_is_taken_is_zero_and_said_to_be_missing() {
        let cells = MissingCells::from_flags(2, [false, true, true, true]);
        let view = Masked::cells(data(), vec![cells, None]).expect("rows keep `b`");
        assert_eq!(
            (Dataset::cells(&view, 0, 0), view.presence(1)),
            (Some(vec![true, false]), Subset::single(1))
        );
        let batch = view.batch(&[0, 1], &Device::flex()).expect("rows exist");
        let values = batch.values()[0].dense().expect("dense").clone().into_data();
        assert_eq!(values.try_into_vec::<f32>().expect("floats"), [1.0, 0.0, 0.0, 0.0]);
        let less = Masked::modalities(Arc::new(view), vec![Subset::single(1); 2]).expect("a part");
        assert_eq!(less.presence(0), Subset::single(1));
    }

    #[test]
    fn nothing_can_be_observed_that_the_data_lacks() {
        let less = Masked::modalities(data(), vec![Subset::single(0); 2]).expect("a part");
        let more = Masked::modalities(Arc::new(less), vec![Subset::full(2); 2]);
        assert!(matches!(more.err(), Some(DataError::Config { .. })));
        let all = MissingCells::from_flags(2, [true; 4]);
        let none = Masked::cells(data(), vec![all.clone(), all]).err().expect("nothing is left");
        assert!(none.to_string().starts_with("row `0` observes no modality"), "{none}");
    }
}
