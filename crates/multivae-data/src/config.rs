//! The description of data in a run, and how it becomes data.

use std::path::Path;

use multivae_core::dataset::Dataset;
use serde::{Deserialize, Serialize};

use crate::{
    assemble::{Assembled, LoadReport},
    embedded,
    error::{DataError, Result},
    folder, manifest,
    memory::MemoryDataset,
    missing::MissingConfig,
    split::{Parts, SplitConfig},
    standardise::{Standardisation, Standardise},
};

/// Which data, and what is done to it.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `source` | `"polydigits"` | an embedded data set ([`crate::embedded()`]), or the path of a folder, an NPZ or safetensors file, or a manifest `.toml` |
/// | `modalities` | 3 for `polydigits` | how many modalities of `polydigits`, 2 to 5 |
/// | `rows` | all | how many rows are used, drawn by the split's seed |
/// | `split` | 70 % train, 10 % valid, 20 % test | see [`SplitConfig`] |
/// | `missing` | none | modalities that are taken from training and validation rows, see [`MissingConfig`] |
/// | `standardise` | `"auto"` | see [`Standardise`] |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// An embedded data set or a path.
    pub source: String,
    /// How many modalities of `polydigits`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modalities: Option<usize>,
    /// How many rows are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// How rows are shared out.
    pub split: SplitConfig,
    /// Modalities that are taken from training and validation rows.
    pub missing: MissingConfig,
    /// Whether tables are standardised.
    pub standardise: Standardise,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self::new("polydigits")
    }
}

/// The data of a run.
#[derive(Clone, Debug)]
pub struct Splits {
    /// Rows to learn from.
    pub train: MemoryDataset,
    /// Rows to choose the best epoch by.
    pub valid: MemoryDataset,
    /// Rows that nothing is chosen by; they lack only what the data itself lacks.
    pub test: MemoryDataset,
    /// What the values were shifted and scaled by, fitted on `train`.
    pub standardisation: Standardisation,
    /// What was found when the data was read.
    pub report: LoadReport,
}

impl DataConfig {
    /// The data of `source`, with defaults.
    pub fn new(source: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            modalities: None,
            rows: None,
            split: SplitConfig::default(),
            missing: MissingConfig::default(),
            standardise: Standardise::default(),
        }
    }

    /// Reads, splits, takes modalities away, and standardises by what is left to train.
    ///
    /// # Errors
    ///
    /// Any [`DataError`].
    pub fn open(&self) -> Result<Splits> {
        let Loaded { data, parts, report } = self.load()?;
        let masked = self.missing.mask(&data)?;
        let part = |rows: &[usize]| self.missing.drop_rows(masked.select(rows));
        let train = part(&parts.train);
        if train.is_empty() {
            let reason =
                if parts.train.is_empty() { "it was given none" } else { "none is complete" };
            return Err(DataError::NoRows { reason: reason.into() });
        }
        let standardisation = Standardisation::fit(&train, self.standardise)?;
        // The values are changed once; the splits are selections of them.
        let changed = standardisation.apply_to(&data)?;
        let values: Vec<_> =
            (0..data.modalities().len()).map(|m| changed.storage(m).clone()).collect();
        Ok(Splits {
            train: train.with_storage(values.clone()),
            valid: part(&parts.valid).with_storage(values.clone()),
            test: data.select(&parts.test).with_storage(values),
            standardisation,
            report,
        })
    }

    /// All rows as the data has them, standardised by what was fitted before.
    ///
    /// # Errors
    ///
    /// Any [`DataError`]; [`DataError::Standardisation`] if it belongs to other data.
    pub fn open_all(&self, standardisation: &Standardisation) -> Result<MemoryDataset> {
        standardisation.apply_to(&self.load()?.data)
    }

    fn load(&self) -> Result<Loaded> {
        let embedded = embedded::load(&self.source, self.modalities, self.rows, &self.split);
        if let Some(loaded) = embedded {
            let (data, parts) = loaded?;
            return Ok(Loaded { report: LoadReport::complete(&data), data, parts });
        }
        let path = Path::new(&self.source);
        if !path.exists() {
            return Err(DataError::UnknownSource {
                name: self.source.clone(),
                known: embedded::names(),
            });
        }
        no_modalities(self.modalities, &self.source)?;
        let inside = path.join("manifest.toml");
        let files = if path.is_dir() && inside.exists() {
            manifest::open(&inside)?
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            manifest::open(path)?
        } else {
            folder::open(path)?
        };
        let Assembled { data, parts, report } = files.join()?;
        match (parts, self.rows) {
            (Some(parts), None) => Ok(Loaded { data, parts, report }),
            (Some(_), Some(rows)) => Err(DataError::Config {
                field: "rows".into(),
                expected: "nothing, since the manifest says which rows are used".into(),
                found: rows.to_string(),
            }),
            (None, limit) => {
                let kept = embedded::kept(data.len(), limit, self.split.seed)?;
                let parts = self.split.parts(kept.len())?;
                let data = if kept.len() < data.len() { data.select(&kept) } else { data };
                Ok(Loaded { data, parts, report })
            }
        }
    }
}

struct Loaded {
    data: MemoryDataset,
    parts: Parts,
    report: LoadReport,
}

/// Refuses a number of modalities where it cannot be chosen.
pub(crate) fn no_modalities(modalities: Option<usize>, source: &str) -> Result<()> {
    match modalities {
        None => Ok(()),
        Some(found) => Err(DataError::Config {
            field: "modalities".into(),
            expected: format!("nothing, since `{source}` has all its modalities"),
            found: found.to_string(),
        }),
    }
}
