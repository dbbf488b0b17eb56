//! Views: some rows of a data set, fewer of its modalities, its values on another scale or its
//! modalities in another order, of any [`Dataset`](multivae_core::dataset::Dataset) and without copies of its values.
//!
//! [`MemoryDataset`](crate::MemoryDataset) does the same faster for rows in memory. Views are for
//! data that is not: they ask the data below for a batch and change that.
//!
//! ```
//! use std::sync::Arc;
//! use multivae_core::dataset::Dataset;
//! use multivae_data::{DataConfig, Standardisation, Standardise, view::{Select, Standardised}};
//!
//! let data: Arc<dyn Dataset> = Arc::new(DataConfig::new("mfeat").read()?.data);
//! let train = Select::new(data.clone(), (0..1500).collect())?;
//! // One pass over the rows, whatever the data set is.
//! let fitted = Standardisation::fit(&train, Standardise::Auto)?;
//! let test = Standardised::new(Arc::new(Select::new(data, (1500..2000).collect())?), fitted)?;
//! assert_eq!(test.len(), 500);
//! # Ok::<(), multivae_data::DataError>(())
//! ```

mod align;
mod mask;
mod select;
mod split;
mod standardise;

pub use align::Aligned;
pub use mask::Masked;
pub use select::Select;
pub use split::DatasetSplits;
pub use standardise::Standardised;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burn::tensor::Device;
    use multivae_core::{
        batch::Batch,
        dataset::{Dataset, DatasetError},
        modality::ModalitySpec,
        subset::Subset,
    };

    use super::*;
    use crate::{
        DataConfig, MemoryDataset, MissingConfig, Pattern, Standardisation, Standardise,
        cells::MissingCells, split::SplitConfig,
    };

    /// Rows as a user's data set gives them: batches, and nothing more.
    struct Plain(MemoryDataset);

    impl Dataset for Plain {
        fn modalities(&self) -> &[ModalitySpec] {
            self.0.modalities()
        }
        fn len(&self) -> usize {
            self.0.len()
        }
        fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
            self.0.batch(rows, device)
        }
        fn presence(&self, row: usize) -> Subset {
            self.0.presence(row)
        }
        fn label(&self, row: usize) -> Option<i64> {
            self.0.label(row)
        }
        fn cells(&self, row: usize, modality: usize) -> Option<Vec<bool>> {
            self.0.cells(row, modality)
        }
    }

    fn same(a: &dyn Dataset, b: &dyn Dataset, rows: &[usize]) {
        let batch = |data: &dyn Dataset| data.batch(rows, &Device::flex()).expect("rows exist");
        let (left, right) = (batch(a), batch(b));
        let floats = |tensor: burn::tensor::Tensor<2>| -> Vec<f32> {
            tensor.into_data().try_into_vec().expect("floats")
        };
        for m in 0..a.modalities().len() {
            let of = |batch: &Batch| floats(batch.values()[m].dense().expect("dense").clone());
            assert_eq!(of(&left), of(&right), "modality {m}");
            let cells = |batch: &Batch| batch.cells(m).cloned().map(floats);
            assert_eq!(cells(&left), cells(&right), "cells of modality {m}");
        }
        assert_eq!(left.presence().rows(), right.presence().rows());
        assert_eq!(left.labels(), right.labels());
    }

    #[test]
    fn views_over_a_data_set_give_the_batches_of_rows_in_memory() {
        for pattern in [Pattern::None, Pattern::Mcar, Pattern::Cells] {
            let rate = if pattern == Pattern::None { 0.0 } else { 0.4 };
            let missing = MissingConfig { pattern, rate, seed: 3 };
            let config = DataConfig { missing, ..DataConfig::new("mfeat") };
            let splits = config.open().expect("embedded");
            let data = DataConfig::new("mfeat").read().expect("embedded").data;
            let parts = SplitConfig::default().parts(data.len()).expect("enough rows");
            let data: Arc<dyn Dataset> = Arc::new(data);
            let masked = missing.view(data).expect("a probability");
            let train = Select::new(masked, parts.train.clone()).expect("rows exist");
            let fitted = Standardisation::fit(&train, Standardise::Auto).expect("observed");
            assert_eq!(fitted, splits.standardisation, "{pattern:?}");
            let train = Standardised::new(Arc::new(train), fitted).expect("its own");
            assert_eq!(train.len(), splits.train.len());
            same(&train, &splits.train, &[5, 0, 1399, 5]);
            assert_eq!(train.id(7), splits.train.id(7));
        }
    }

    #[test]
    fn data_that_only_has_batches_is_standardised_as_well() {
        let spec = ModalitySpec::new("a", &[2]).expect("valid");
        let values: Vec<f32> = (0..600).map(|i| (i * i % 97) as f32).collect();
        let cells = MissingCells::from_flags(2, (0..600).map(|i| i % 7 == 0));
        let data = MemoryDataset::new(vec![(spec, values.into())])
            .and_then(|data| data.with_missing_cells(vec![cells]))
            .expect("rows keep a value");
        let fitted = Standardisation::fit(&data, Standardise::Auto).expect("observed");
        let plain = Standardisation::fit(&Plain(data.clone()), Standardise::Auto);
        assert_eq!(plain.expect("observed"), fitted);
        let memory = fitted.apply_to(&data).expect("its own");
        let view = Standardised::new(Arc::new(Plain(data)), fitted).expect("its own");
        let batch = |data: &dyn Dataset| -> Vec<f32> {
            let batch = data.batch(&[3, 1, 299], &Device::flex()).expect("rows exist");
            batch.values()[0].dense().expect("dense").clone().into_data().try_into_vec().expect("f")
        };
        for (a, b) in batch(&memory).into_iter().zip(batch(&view)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}
