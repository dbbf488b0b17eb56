//! Parts of data sets, and what is asked of settings everywhere.

use burn::tensor::{Device, Tensor};
use multivae_core::{
    batch::Batch,
    dataset::{Dataset, DatasetError},
    modality::ModalitySpec,
    subset::Subset,
};

use crate::{MetricsError, evaluate::within};

/// Some rows of a data set.
pub(crate) struct Chosen<'a> {
    data: &'a dyn Dataset,
    rows: Vec<usize>,
}

impl<'a> Chosen<'a> {
    /// The given rows, in the given order.
    pub(crate) fn new(data: &'a dyn Dataset, rows: Vec<usize>) -> Self {
        Self { data, rows }
    }

    /// At most `most` rows, evenly spread; rows of one class often follow each other.
    pub(crate) fn spread(data: &'a dyn Dataset, most: Option<usize>) -> Self {
        let n = most.map_or(data.len(), |most| most.min(data.len()));
        Self::new(data, (0..n).map(|i| i * data.len() / n).collect())
    }

    /// Where a row is in the whole data.
    pub(crate) fn number(&self, row: usize) -> usize {
        self.rows[row]
    }
}

impl Dataset for Chosen<'_> {
    fn modalities(&self) -> &[ModalitySpec] {
        self.data.modalities()
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
        let own: Vec<usize> = rows.iter().map(|&row| self.rows[row]).collect();
        self.data.batch(&own, device)
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
}

/// The rows of a batch that observe all of a set.
pub(crate) fn rows_that_observe(batch: &Batch, needed: Subset) -> Vec<usize> {
    let rows = batch.presence().rows().iter().enumerate();
    rows.filter(|(_, observed)| within(needed, **observed)).map(|(row, _)| row).collect()
}

/// The squared error of each row, `[batch]`, averaged over the cells that it observes, whatever it
/// is of rows that miss the modality; `None` for text.
pub(crate) fn squared_errors(
    predicted: Tensor<2>,
    batch: &Batch,
    modality: usize,
) -> Option<Tensor<1>> {
    let values = batch.observed(modality).dense()?.clone();
    let squares = (predicted - values).square();
    let mean = match batch.cells(modality) {
        None => squares.mean_dim(1),
        Some(_) => {
            let cells = batch.observed_cells(modality, squares.dims()[1]);
            (squares * cells.clone()).sum_dim(1) / cells.sum_dim(1).clamp_min(1.0)
        }
    };
    Some(mean.squeeze_dim(1))
}

/// Refuses a setting below its least value.
pub(crate) fn at_least(
    least: usize,
    settings: &[(&'static str, usize)],
) -> Result<(), MetricsError> {
    let expected = match least {
        1 => "at least 1",
        2 => "at least 2",
        _ => "at least 3",
    };
    match settings.iter().find(|(_, found)| *found < least) {
        Some(&(field, found)) => Err(MetricsError::Config { field, expected, found }),
        None => Ok(()),
    }
}

/// The different labels, ascending.
pub(crate) fn classes(labels: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut classes: Vec<i64> = labels.collect();
    classes.sort_unstable();
    classes.dedup();
    classes
}
