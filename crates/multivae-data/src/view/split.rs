//! Training, validation and test rows of any data set.

use std::sync::Arc;

use multivae_core::dataset::Dataset;

use super::{Select, Standardised};
use crate::{
    error::{DataError, Result},
    missing::MissingConfig,
    split::SplitConfig,
    standardise::{Standardisation, Standardise},
};

/// Any data set, split, made incomplete and standardised: what
/// [`DataConfig::open`](crate::DataConfig::open) does to files.
#[derive(Clone)]
pub struct DatasetSplits {
    /// Rows to learn from.
    pub train: Arc<dyn Dataset>,
    /// Rows to choose the best epoch by.
    pub valid: Arc<dyn Dataset>,
    /// Rows that nothing is chosen by; they lack only what the data itself lacks.
    pub test: Arc<dyn Dataset>,
    /// What the values were shifted and scaled by, fitted on `train` in one pass.
    pub standardisation: Standardisation,
}

impl DatasetSplits {
    /// Splits the rows, takes modalities or values from training and validation, and standardises by
    /// what is left to train.
    ///
    /// # Errors
    ///
    /// [`DataError::NoRows`] if nothing is left to train; as [`SplitConfig::parts_of`],
    /// [`MissingConfig::view`] and [`Standardisation::fit`].
    pub fn new(
        data: &Arc<dyn Dataset>,
        split: &SplitConfig,
        missing: &MissingConfig,
        standardise: Standardise,
    ) -> Result<Self> {
        let parts = split.parts_of(&**data)?;
        let masked = missing.mask_view(data.clone())?;
        let part = |rows: &[usize]| -> Result<Arc<dyn Dataset>> {
            missing.drop_view(Arc::new(Select::new(masked.clone(), rows.to_vec())?))
        };
        let train = part(&parts.train)?;
        if train.is_empty() {
            return Err(DataError::NoRows { reason: "none is complete".into() });
        }
        let standardisation = Standardisation::fit(&*train, standardise)?;
        let scaled = |data: Arc<dyn Dataset>| -> Result<Arc<dyn Dataset>> {
            Ok(Arc::new(Standardised::new(data, standardisation.clone())?))
        };
        let test = Arc::new(Select::new(data.clone(), parts.test)?);
        Ok(Self {
            valid: scaled(part(&parts.valid)?)?,
            test: scaled(test)?,
            train: scaled(train)?,
            standardisation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataConfig, Pattern};

    #[test]
    fn any_data_set_is_split_as_files_are() {
        for pattern in [Pattern::Mcar, Pattern::CompleteCases, Pattern::Blocks] {
            let missing = MissingConfig { pattern, rate: 0.3, seed: 1 };
            let config = DataConfig { missing, ..DataConfig::new("mfeat") };
            let expected = config.open().expect("embedded");
            let data: Arc<dyn Dataset> =
                Arc::new(DataConfig::new("mfeat").read().expect("embedded").data);
            let found = DatasetSplits::new(&data, &config.split, &missing, config.standardise);
            let found = found.expect("enough rows");
            assert_eq!(found.standardisation, expected.standardisation, "{pattern:?}");
            for (a, b) in [
                (&found.train, &expected.train),
                (&found.valid, &expected.valid),
                (&found.test, &expected.test),
            ] {
                assert_eq!(a.len(), b.len());
                for row in 0..a.len() {
                    assert_eq!((a.id(row), a.presence(row)), (b.id(row), b.presence(row)));
                    assert_eq!(a.cells(row, 3), b.cells(row, 3));
                }
            }
        }
    }
}
