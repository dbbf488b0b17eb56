//! Going once through the rows of a data set.

use std::ops::Range;

use burn::tensor::{Device, Tensor};

use crate::{
    batch::{Batch, NoiseKey},
    dataset::{Dataset, DatasetError},
    model::{Draws, Encode},
    noise::Noise,
    subset::Subset,
};

/// Why a pass ends early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassError {
    /// Rows could not be read.
    #[error("rows {start}..{end} of the data set cannot be read")]
    Data {
        /// The first row of the batch.
        start: usize,
        /// One past its last row.
        end: usize,
        /// Why.
        source: DatasetError,
    },
    /// A row's values do not fit the model.
    #[error(transparent)]
    Batch(#[from] crate::Error),
    /// A device failed while it was read.
    #[error("{what} cannot be read from the device: {reason}")]
    Device {
        /// What was read.
        what: String,
        /// Why.
        reason: String,
    },
}

/// How rows are gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Rows at once, at least 1: memory against speed. Noise does not depend on it.
    pub batch_size: usize,
    /// What noise derives from.
    pub seed: u64,
}

impl Pass {
    /// All rows in order, in batches, each with the noise of its place in the data.
    ///
    /// # Panics
    ///
    /// If the batch size is 0.
    pub fn batches<'a>(
        self,
        data: &'a dyn Dataset,
        device: &'a Device,
    ) -> impl Iterator<Item = Result<(Range<usize>, Batch), PassError>> + 'a {
        assert!(self.batch_size > 0, "a batch has at least one row");
        (0..data.len()).step_by(self.batch_size).map(move |start| {
            let end = data.len().min(start + self.batch_size);
            let rows: Vec<usize> = (start..end).collect();
            let mut batch = data.batch(&rows, device).map_err(|source| PassError::Data {
                start,
                end,
                source,
            })?;
            batch.check(data.modalities())?;
            batch.key = NoiseKey { seed: self.seed, epoch: 0, step: 0, first_row: start };
            Ok((start..end, batch))
        })
    }

    /// Latent values of all rows from `q(z | x_S)`, one table per space, named and ordered as
    /// by [`Latent::spaces`](crate::model::Latent::spaces).
    ///
    /// # Errors
    ///
    /// [`PassError`].
    ///
    /// # Panics
    ///
    /// If the batch size is 0.
    pub fn encode(
        self,
        model: &dyn Encode,
        data: &dyn Dataset,
        given: Subset,
        draws: Draws,
        device: &Device,
    ) -> Result<Vec<Table>, PassError> {
        let (rows, samples) = (data.len(), draws.count());
        let mut tables: Vec<Table> = Vec::new();
        for batch in self.batches(data, device) {
            let (range, batch) = batch?;
            let latent = model.encode(&batch, given, draws, &mut Noise::of(&batch));
            for (i, (space, values)) in latent.spaces().enumerate() {
                let [_, size, features] = values.dims();
                if tables.len() == i {
                    let values = vec![0.0; samples * rows * features];
                    tables.push(Table { name: space.name(), samples, rows, features, values });
                }
                let table = &mut tables[i];
                let values = read(values.clone(), &format!("latent values `{}`", table.name))?;
                for (sample, part) in values.chunks(size * features).enumerate() {
                    let from = (sample * rows + range.start) * features;
                    table.values[from..from + part.len()].copy_from_slice(part);
                }
            }
        }
        Ok(tables)
    }
}

/// A typical offset of each modality: the median over the rows that observe it, the mean of the two
/// in the middle if there are two; `None` of modalities without offsets, or that no row observes.
///
/// Of the training rows it stands for the size, such as the library size of counts, of a row that
/// has none: one that lacks the modality, or a sample of the prior.
///
/// # Errors
///
/// [`PassError`].
pub fn typical_offsets(
    data: &dyn Dataset,
    batch_size: usize,
    device: &Device,
) -> Result<Vec<Option<f32>>, PassError> {
    let mut offsets: Vec<Vec<f32>> = vec![Vec::new(); data.modalities().len()];
    for batch in (Pass { batch_size, seed: 0 }).batches(data, device) {
        let (_, batch) = batch?;
        for (m, all) in offsets.iter_mut().enumerate() {
            let Some(own) = batch.offset(m) else { continue };
            let name = &data.modalities()[m].name;
            let own = read(own.clone(), &format!("offsets of `{name}`"))?;
            let rows = batch.presence().rows().iter().zip(own);
            all.extend(rows.filter(|(row, _)| row.contains(m)).map(|(_, offset)| offset));
        }
    }
    let median = |mut all: Vec<f32>| {
        all.sort_unstable_by(f32::total_cmp);
        let middle = all.len().checked_sub(1)? / 2;
        let (low, high) = (all[middle], all[all.len() / 2]);
        Some(low + (high - low) / 2.0)
    };
    Ok(offsets.into_iter().map(median).collect())
}

/// Values of one latent space for all rows of a data set, on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The space.
    pub name: String,
    /// Draws per row.
    pub samples: usize,
    /// Number of rows.
    pub rows: usize,
    /// Values per row and draw.
    pub features: usize,
    /// All of them, `[samples, rows, features]`.
    pub values: Vec<f32>,
}

/// The values of a tensor, row-major, read from its device; `what` is for the error.
///
/// # Errors
///
/// [`PassError::Device`].
pub fn read<const D: usize>(tensor: Tensor<D>, what: &str) -> Result<Vec<f32>, PassError> {
    let data = tensor
        .try_into_data()
        .map_err(|e| PassError::Device { what: what.to_owned(), reason: e.to_string() })?;
    Ok(data.iter::<f32>().collect())
}
