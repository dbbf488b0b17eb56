//! The description of data in a run, and how it becomes data.

use std::{collections::BTreeMap, path::Path};

use multivae_core::{
    dataset::Dataset,
    distribution::Likelihood,
    schema::{ImageConversion, Schema},
};
use serde::{Deserialize, Serialize};

use crate::{
    assemble::{self, Assembled, Files},
    conform::{Known, Lacking},
    embedded,
    error::{DataError, Result, list},
    fingerprint, folder, held, manifest,
    memory::MemoryDataset,
    missing::MissingConfig,
    origin::Origin,
    range,
    reading::{self, Reading},
    record::{DataRecord, REMEDY, SplitAssignment},
    report::LoadReport,
    research,
    split::{SplitConfig, SplitIndices},
    standardise::{Standardisation, Standardise},
    text,
};

/// Which data, and what is done to it.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `source` | `"numerals"` | an embedded data set ([`crate::embedded()`]), a published one as `NAME:PATH` ([`crate::research()`]), or the path of a folder, an NPZ, safetensors or MATLAB file, a manifest `.toml`, or the name of data that the program has in memory ([`crate::held`]) |
/// | `modalities` | 3 for `polydigits` | how many modalities of `polydigits`, 2 to 5 |
/// | `rows` | all | how many rows are used, drawn by the split's seed |
/// | `split` | 70 % train, 10 % valid, 20 % test | see [`SplitConfig`] |
/// | `missing` | none | modalities that are taken from training and validation rows, see [`MissingConfig`] |
/// | `standardise` | `"auto"` | see [`Standardise`] |
/// | `missing_codes` | none | codes in files that mean that nothing was measured, beside the usual ones, as `[-999, "LOD"]` |
/// | `library_size` | none | modalities of counts whose means are relative to the size of a row, as `["rna"]`: the offset of a row is the logarithm of its mean observed count |
/// | `binarise` | none | modalities whose values are probabilities, as those of grey images: a batch holds draws of 0 and 1, of training rows anew in each epoch and of others the same each time (Salakhutdinov and Murray, ICML 2008), and their likelihood is `bernoulli` |
/// | `likelihoods` | by the values | likelihoods of modalities by name, where the data is not to say them, as `{ rna = { kind = "negative_binomial" } }`; values that one cannot have are refused, and what is standardised follows it |
/// | `images` | as they are | channels, size and background of all images, slices of all volumes, and whether values are classes, see [`ImageConversion`] |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// An embedded data set or a path; `./mfeat` is a folder of the name of an embedded one.
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
    /// Codes in files that mean that nothing was measured, beside the usual ones.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "reading::codes")]
    pub missing_codes: Vec<String>,
    /// Modalities of counts whose means are relative to the size of a row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub library_size: Vec<String>,
    /// Modalities whose values are probabilities, of which batches hold draws of 0 and 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub binarise: Vec<String>,
    /// Likelihoods of modalities by name, where neither values nor a manifest are to say them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub likelihoods: BTreeMap<String, Likelihood>,
    /// What images are made to be, where a manifest does not say it.
    #[serde(skip_serializing_if = "ImageConversion::is_identity")]
    pub images: ImageConversion,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self::new("numerals")
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
    /// What has to be kept, so that the data is opened the same way again.
    pub record: DataRecord,
}

/// All rows of data, as a model takes them.
#[derive(Clone, Debug)]
pub struct Opened {
    /// All rows, standardised.
    pub data: MemoryDataset,
    /// The same rows before standardisation, with all digits that their files have.
    pub raw: MemoryDataset,
    /// Where each modality was read from, in the data's order; none for embedded data.
    pub origins: Vec<Origin>,
    /// Identifiers of rows that observe nothing and were left out.
    pub empty_rows: Vec<String>,
    /// What was found when the data was read, and what was changed so that it fits.
    pub report: LoadReport,
}

impl Opened {
    /// New data from what stands for its files.
    pub(crate) fn new(
        files: Files,
        known: &Known,
        standardisation: &Standardisation,
    ) -> Result<Self> {
        let Assembled { data, parts, report, origins, empty_rows } = files.join(Some(known))?;
        let read = Read { data, parts, report, origins, empty_rows };
        let derived = Derived::known(known, &read.data);
        Self::of_new(read.completed(&derived)?.tokenised(known)?, standardisation)
    }

    fn of_new(read: Read, standardisation: &Standardisation) -> Result<Self> {
        let Read { data: raw, mut report, origins, empty_rows, .. } = read;
        let (data, mut outside) = standardisation.apply_to_new(&raw)?;
        outside.iter().for_each(|warning| tracing::warn!("{warning}"));
        report.warnings.append(&mut outside);
        Ok(Self { data, raw, origins, empty_rows, report })
    }

    /// Writes the values of a row's modality, `[features]`, in the units of its file to `out`;
    /// those that are missing are no numbers.
    ///
    /// # Panics
    ///
    /// If there is no such row or modality, or `out` has another length.
    pub fn file_units(&self, row: usize, modality: usize, out: &mut [f64]) {
        if !self.raw.precise(row, modality, out) {
            out.fill(f64::NAN);
            return;
        }
        let known = self.raw.schema().and_then(|schema| schema.modalities.get(modality));
        if let Some(known) = known.filter(|known| !known.scale.is_identity()) {
            for value in &mut *out {
                // Single precision does not give back every quotient.
                let scaled = known.scale.invert(*value);
                let near = (scaled - scaled.round()).abs() < 1e-7 * known.scale.factor.abs();
                let whole = known.dtype.is_integer() || near;
                *value = if whole { scaled.round() } else { scaled };
            }
        } else if let Some(known) = known {
            known.in_file_units(out);
        }
        if let Some(cells) = self.raw.cells(row, modality) {
            out.iter_mut().zip(cells).filter(|(_, there)| !there).for_each(|(v, _)| *v = f64::NAN);
        }
    }
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
            missing_codes: Vec::new(),
            library_size: Vec::new(),
            binarise: Vec::new(),
            likelihoods: BTreeMap::new(),
            images: ImageConversion::default(),
        }
    }

    /// Reads, splits, takes modalities away, and standardises by what is left to train.
    ///
    /// # Errors
    ///
    /// Any [`DataError`].
    pub fn open(&self) -> Result<Splits> {
        let loaded = self.load(None)?.split(self)?.with_vocabulary()?.in_training_range()?;
        let record = loaded.record();
        let Loaded { data, parts, report } = loaded;
        self.share_out(data, &parts, report, record, None)
    }

    /// The data of a run of an earlier version, which has kept nothing of its data but how it was
    /// standardised: read and split as training data, and refused if its training rows have other
    /// means or deviations.
    ///
    /// # Errors
    ///
    /// [`DataError::Changed`]; any other [`DataError`].
    pub fn reopen_unrecorded(&self, fitted: &Standardisation) -> Result<Splits> {
        let loaded = self.load(None)?.split(self)?;
        let record = loaded.record();
        let Loaded { data, parts, report } = loaded;
        let train = self.missing.drop_rows(self.missing.mask(&data)?.select(&parts.train));
        if train.is_empty() || !Standardisation::fit(&train, self.standardise)?.agrees(fitted) {
            return Err(DataError::Changed {
                name: self.name().to_owned(),
                changes: "its training rows have other means and standard deviations".into(),
                remedy: REMEDY.into(),
            });
        }
        self.share_out(data, &parts, report, record, Some(fitted))
    }

    /// The data of a run that began with [`DataConfig::open`]: read by the run's description, with
    /// the run's split and standardisation, and refused if it is not what it was.
    ///
    /// # Errors
    ///
    /// [`DataError::Changed`] with what changed; any other [`DataError`].
    pub fn reopen(&self, record: &DataRecord, fitted: &Standardisation) -> Result<Splits> {
        let Read { data, report, .. } = self.load(Some(&Known::own(&record.schema)))?;
        record.check(&report.fingerprint, self.name())?;
        let (parts, _) = record.split.parts(&data, self.name())?;
        self.share_out(data, &parts, report, record.clone(), Some(fitted))
    }

    /// All rows of the data of a run, as they were before anything was taken from them; refused as
    /// [`DataConfig::reopen`] does.
    ///
    /// # Errors
    ///
    /// [`DataError::Changed`] with what changed; any other [`DataError`].
    pub fn reopen_all(&self, record: &DataRecord, fitted: &Standardisation) -> Result<Opened> {
        let Read { data: raw, report, origins, empty_rows, .. } =
            self.load(Some(&Known::own(&record.schema)))?;
        record.check(&report.fingerprint, self.name())?;
        Ok(Opened { data: fitted.apply_to(&raw)?, raw, origins, empty_rows, report })
    }

    /// All rows as the data has them, standardised by what was fitted before.
    ///
    /// # Errors
    ///
    /// Any [`DataError`]; [`DataError::Standardisation`] if it belongs to other data.
    pub fn open_all(&self, standardisation: &Standardisation) -> Result<Opened> {
        let Read { data: raw, report, origins, empty_rows, .. } =
            self.load(None)?.with_vocabulary()?;
        Ok(Opened { data: standardisation.apply_to(&raw)?, raw, origins, empty_rows, report })
    }

    /// All rows of new data, one or a million, read by the description of the data that a model
    /// was trained on and never as if it were training data: columns are matched by name, values
    /// put on the scale of the training, likelihoods and shapes are the model's, and nothing is
    /// split. Modalities of the model can be absent; `lacking` says what is done about columns and
    /// rows.
    ///
    /// # Errors
    ///
    /// [`DataError::UnknownModality`], [`DataError::Columns`], [`DataError::Scale`] for data that
    /// does not fit the description; any other [`DataError`].
    pub fn open_new(
        &self,
        schema: &Schema,
        standardisation: &Standardisation,
        lacking: Lacking,
    ) -> Result<Opened> {
        schema.check()?;
        Opened::of_new(self.load(Some(&Known { schema, lacking, own: false }))?, standardisation)
    }

    /// The rows as they are in the files, neither split nor standardised, and what was found.
    ///
    /// # Errors
    ///
    /// Any [`DataError`].
    pub fn read(&self) -> Result<Opened> {
        let Read { data, report, origins, empty_rows, .. } = self.load(None)?.with_vocabulary()?;
        Ok(Opened { raw: data.clone(), data, origins, empty_rows, report })
    }

    fn share_out(
        &self,
        data: MemoryDataset,
        parts: &SplitIndices,
        report: LoadReport,
        record: DataRecord,
        fitted: Option<&Standardisation>,
    ) -> Result<Splits> {
        let masked = self.missing.mask(&data)?;
        let part = |rows: &[usize]| self.missing.drop_rows(masked.select(rows));
        let train = part(&parts.train);
        if train.is_empty() {
            let reason =
                if parts.train.is_empty() { "it was given none" } else { "none is complete" };
            return Err(DataError::NoRows { reason: reason.into() });
        }
        let standardisation = match fitted {
            Some(fitted) => fitted.clone(),
            None => Standardisation::fit(&train, self.standardise)?,
        };
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
            record,
        })
    }

    /// The data with the likelihoods that are said, which its values must be able to have.
    fn with_likelihoods(&self, data: MemoryDataset) -> Result<MemoryDataset> {
        let said = self.said_likelihoods();
        if said.is_empty() {
            return Ok(data);
        }
        self.check_likelihoods(data.modalities().iter().map(|spec| spec.name.as_str()))?;
        let data = data.with_likelihoods(&said)?;
        assemble::check_values(&data)?;
        Ok(data)
    }

    /// Likelihoods of modalities by name, those included that follow from what else is said.
    fn said_likelihoods(&self) -> BTreeMap<String, Likelihood> {
        let drawn = self.binarise.iter().cloned();
        let drawn = drawn.map(|name| (name, Likelihood::Bernoulli {}));
        drawn.chain(self.likelihoods.clone()).collect()
    }

    fn check_likelihoods<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) -> Result<()> {
        let unknown = |said: &&String| !names.clone().any(|name| name == said.as_str());
        match self.likelihoods.keys().find(unknown) {
            None => Ok(()),
            Some(unknown) => Err(DataError::Config {
                field: "likelihoods".into(),
                expected: format!("names of modalities, of {}", list(names)),
                found: unknown.clone(),
            }),
        }
    }

    /// What the data is called in messages.
    fn name(&self) -> &str {
        if held::is_held(&self.source) { "data in memory" } else { &self.source }
    }

    /// Refuses what is said about reading files where none are read.
    fn check_unread(&self) -> Result<()> {
        let said = [
            ("missing_codes", self.missing_codes.join(", ")),
            (
                "images",
                if self.images.is_identity() { String::new() } else { "a conversion".into() },
            ),
        ];
        match said.into_iter().find(|(_, found)| !found.is_empty()) {
            None => Ok(()),
            Some((field, found)) => Err(DataError::Config {
                field: field.into(),
                expected: format!(
                    "nothing, since `{}` is embedded and not read from files",
                    self.source
                ),
                found,
            }),
        }
    }

    /// All rows; their splits where the data says them.
    fn load(&self, known: Option<&Known>) -> Result<Read> {
        let read = self.load_files(known)?;
        let Some(known) = known else {
            let (library_size, binarise) = (self.library_size.clone(), self.binarise.clone());
            return read.completed(&Derived { library_size, binarise });
        };
        let derived = Derived::known(known, &read.data);
        read.completed(&derived)?.tokenised(known)
    }

    fn load_files(&self, known: Option<&Known>) -> Result<Read> {
        let embedded = embedded::load(&self.source, self.modalities, self.rows, &self.split);
        if let Some(loaded) = embedded {
            self.check_unread()?;
            let (data, parts) = loaded?;
            let data = self.with_likelihoods(data)?;
            if let Some(known) = known {
                known.check_specs(data.modalities())?;
            }
            let mut report = LoadReport::complete(&data);
            report.fingerprint = fingerprint::of(&data);
            let (origins, empty_rows) = (Vec::new(), Vec::new());
            return Ok(Read { report, data, parts: Some(parts), origins, empty_rows });
        }
        let held = held::of(&self.source).transpose()?;
        let set = research::of(&self.source);
        let path = Path::new(&self.source);
        if held.is_none() && set.is_none() && !path.exists() {
            return Err(DataError::UnknownSource {
                name: self.source.clone(),
                known: embedded::names(),
            });
        }
        embedded::no_modalities(self.modalities, &self.source)?;
        let inside = path.join("manifest.toml");
        let reading = Reading {
            codes: &self.missing_codes,
            images: self.images,
            known: known.map(|known| known.schema),
        };
        let mut files = if let Some(held) = held {
            held.files(reading)?
        } else if let Some((set, path)) = set {
            set.open(path, reading)?
        } else if path.is_dir() && inside.exists() {
            manifest::open(&inside, reading)?
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            manifest::open(path, reading)?
        } else {
            folder::open(path, reading)?
        };
        // Of data that a model knows it says the likelihoods.
        if known.is_none() {
            self.check_likelihoods(files.sources.iter().map(|source| source.name.as_str()))?;
            let mut said = self.said_likelihoods();
            for source in &mut files.sources {
                source.likelihood = said.remove(&source.name).or(source.likelihood.take());
            }
        }
        if self.images.slices.is_some() && files.sources.iter().all(|s| s.images.slices.is_none()) {
            return Err(DataError::Config {
                field: "images.slices".into(),
                expected: format!("nothing, since `{}` has no volumes", self.source),
                found: "slices".into(),
            });
        }
        let Assembled { data, parts, mut report, origins, empty_rows } = files.join(known)?;
        if let (Some(_), Some(rows)) = (&parts, self.rows) {
            return Err(DataError::Config {
                field: "rows".into(),
                expected: "nothing, since the manifest says which rows are used".into(),
                found: rows.to_string(),
            });
        }
        let kept = embedded::kept(data.len(), self.rows, self.split.seed)?;
        if kept.len() == data.len() {
            return Ok(Read { data, parts, report, origins, empty_rows });
        }
        let data = data.select(&kept);
        let origins = origins.into_iter().map(|origin| origin.select(&kept)).collect();
        report.fingerprint = fingerprint::of(&data);
        Ok(Read { data, parts, report, origins, empty_rows })
    }
}

/// The schema of a data set; what its specifications say if it has none.
fn schema_of(data: &MemoryDataset) -> Schema {
    data.schema().cloned().unwrap_or_else(|| Schema::of_specs(data.modalities()))
}

/// Names of modalities of which something is derived from their values.
struct Derived {
    /// Offsets, from the sizes of rows.
    library_size: Vec<String>,
    /// Zeros and ones, drawn.
    binarise: Vec<String>,
}

impl Derived {
    /// Of data that a model knows.
    fn known(known: &Known, data: &MemoryDataset) -> Self {
        Self {
            library_size: known.names(data, |known| known.library_size),
            binarise: known.names(data, |known| known.binarise),
        }
    }
}

/// Rows as they were read.
struct Read {
    data: MemoryDataset,
    /// Splits that the data says.
    parts: Option<SplitIndices>,
    report: LoadReport,
    origins: Vec<Origin>,
    empty_rows: Vec<String>,
}

impl Read {
    /// With what is derived from its values.
    fn completed(mut self, derived: &Derived) -> Result<Self> {
        for name in &derived.library_size {
            self.data = self.data.with_library_size(name)?;
        }
        for name in &derived.binarise {
            self.data = self.data.with_binarise(name)?;
        }
        Ok(self)
    }

    /// Text as tokens of the known vocabulary.
    fn tokenised(mut self, known: &Known) -> Result<Self> {
        text::finish(&mut self.data, &mut self.report, text::By::Known(known.schema))?;
        Ok(self)
    }

    /// Text as tokens of the training rows, or of all if nothing says which these are.
    fn with_vocabulary(mut self) -> Result<Self> {
        let all = || (0..self.data.len()).collect();
        let train = self.parts.as_ref().map_or_else(all, |parts| parts.train.clone());
        text::finish(&mut self.data, &mut self.report, text::By::Training(&train))?;
        Ok(self)
    }

    fn split(self, config: &DataConfig) -> Result<Loaded> {
        let Self { data, parts, report, .. } = self;
        let parts = match parts {
            Some(parts) => parts,
            None => config.split.parts_of(&data)?,
        };
        Ok(Loaded { data, parts, report })
    }
}

struct Loaded {
    data: MemoryDataset,
    parts: SplitIndices,
    report: LoadReport,
}

impl Loaded {
    /// Text as tokens of the training rows.
    fn with_vocabulary(mut self) -> Result<Self> {
        text::finish(&mut self.data, &mut self.report, text::By::Training(&self.parts.train))?;
        Ok(self)
    }

    /// The same with range and scale as the training rows have them.
    fn in_training_range(mut self) -> Result<Self> {
        if let Some((data, warnings)) = range::of_training(&self.data, &self.parts.train)? {
            if !warnings.is_empty() {
                self.report.fingerprint = fingerprint::of(&data);
            }
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            self.report.warnings.extend(warnings);
            self.data = data;
        }
        Ok(self)
    }

    /// What a run has to keep of it.
    fn record(&self) -> DataRecord {
        DataRecord {
            version: DataRecord::VERSION,
            schema: schema_of(&self.data),
            fingerprint: self.report.fingerprint.clone(),
            split: SplitAssignment::of(&self.data, &self.parts),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{
        fixture::{Folder, npy, text},
        missing::Pattern,
    };

    fn refused(config: DataConfig) -> String {
        config.open().map(|_| ()).expect_err("refused").to_string()
    }

    #[test]
    fn every_embedded_set_opens_split_and_standardised() {
        for info in embedded::embedded() {
            let config = DataConfig::new(info.name);
            let Splits { train, valid, test, standardisation, report, .. } =
                config.open().expect("embedded");
            assert_eq!(train.len() + valid.len() + test.len(), info.rows);
            assert_eq!(report, LoadReport { rows: info.rows, ..report.clone() });
            standardisation.check(train.modalities()).expect("its own");
            for (m, spec) in train.modalities().iter().enumerate() {
                let name = spec.name.as_str();
                let table = spec.likelihood == Likelihood::normal(1.0);
                assert_eq!(standardisation.moments(name).is_some(), table, "{name}");
                let values = train.values(m);
                let square = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
                // Constant features stay constant, so that the mean square can be below 1.
                assert!(!table || (0.9..1.001).contains(&square), "{name}: {square}");
            }
            let all = config.open_all(&standardisation).expect("its own").data;
            assert_eq!(all.len(), info.rows);
            let row = test.stored_rows()[0];
            assert_eq!(all.select(&[row]).values(1), test.select(&[0]).values(1));
            assert_eq!(all.id(row), test.id(0));
        }
    }

    #[test]
    fn modalities_are_taken_from_training_and_validation_and_not_from_the_test() {
        for pattern in [Pattern::Mcar, Pattern::ClassDependent] {
            let missing = MissingConfig { pattern, rate: 0.5, seed: 1 };
            let config = DataConfig { missing, rows: Some(400), ..DataConfig::new("mfeat") };
            let splits = config.open().expect("embedded");
            assert!(splits.train.incomplete_rows() > 200, "{}", splits.train.incomplete_rows());
            assert!(splits.valid.incomplete_rows() > 20);
            assert_eq!(splits.test.incomplete_rows(), 0);
        }
        let missing = MissingConfig { pattern: Pattern::CompleteCases, rate: 0.2, seed: 1 };
        let config = DataConfig { missing, rows: Some(400), ..DataConfig::new("mfeat") };
        let splits = config.open().expect("embedded");
        assert!((50..150).contains(&splits.train.len()), "{}", splits.train.len());
        assert_eq!((splits.train.incomplete_rows(), splits.test.len()), (0, 80));
    }

    #[test]
    fn the_standardisation_is_that_of_observed_training_rows() {
        let rows: String = (0..20).map(|row| format!("r{row},{}\n", row + 2)).collect();
        let folder = Folder::new([("a.csv", text(&format!("id,x\n{rows}")))]);
        let config = DataConfig::new(folder.source());
        let splits = config.open().expect("whole");
        let train: Vec<f32> =
            splits.train.stored_rows().iter().map(|&row| row as f32 + 2.0).collect();
        let mean = train.iter().sum::<f32>() / train.len() as f32;
        let moments = splits.standardisation.moments("a").expect("a table");
        assert!((moments.mean[0] - f64::from(mean)).abs() < 1e-5, "{moments:?}");
        let mut test = splits.test.values(0);
        splits.standardisation.invert_slice("a", &mut test);
        for (value, row) in test.iter().zip(splits.test.stored_rows()) {
            assert!((value - (*row as f32 + 2.0)).abs() < 1e-4);
        }
        let plain = DataConfig { standardise: Standardise::None, ..config }.open().expect("whole");
        assert_eq!(plain.train.values(0), train);
    }

    #[test]
    fn a_config_survives_toml_and_refuses_unknown_keys() {
        let config = DataConfig {
            modalities: Some(4),
            missing: MissingConfig { pattern: Pattern::ClassDependent, rate: 0.3, seed: 2 },
            split: SplitConfig { valid: 0.25, test: 0.0, seed: 9 },
            ..DataConfig::default()
        };
        let written = toml::to_string(&config).expect("plain data");
        assert_eq!(toml::from_str::<DataConfig>(&written).expect("just written"), config);
        let read = toml::from_str::<DataConfig>("source = 'mfeat'").expect("defaults");
        assert_eq!(read, DataConfig::new("mfeat"));
        let error = toml::from_str::<DataConfig>("sorce = 'mfeat'").expect_err("a typo");
        assert!(error.to_string().contains("unknown field `sorce`"), "{error}");
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let rows = |rows| DataConfig { rows: Some(rows), ..Default::default() };
        let modalities = |source, modalities| DataConfig {
            modalities: Some(modalities),
            ..DataConfig::new(source)
        };
        for (config, expected) in [
            (
                DataConfig::new("polydigit"),
                "`polydigit` is neither an embedded data set (`numerals`, `polydigits`, `mnist-labels`, `mfeat`) \
                 nor an existing file or folder",
            ),
            (rows(0), "`rows`: expected 1 to the data's 5000 rows, found `0`"),
            (
                rows(2),
                "the training split has no rows: 2 rows, of which 1 for validation and 1 to test",
            ),
            (
                modalities("polydigits", 6),
                "`modalities`: expected 2 to 5 modalities of `polydigits`, found `6`",
            ),
            (
                modalities("mfeat", 2),
                "`modalities`: expected nothing, since `mfeat` has all its modalities, found `2`",
            ),
        ] {
            assert_eq!(refused(config), expected);
        }
    }

    #[test]
    fn likelihoods_that_are_said_are_those_of_the_data_and_its_values_are_checked() {
        let counts = "x,y\n1,20\n2,30\n0,10\n5,70\n1,0\n3,11\n2,8\n9,1\n4,4\n0,3\n";
        let folder = Folder::new([("a.csv", text(counts)), ("b.npy", npy(10, 2))]);
        let said = |name: &str, likelihood| DataConfig {
            likelihoods: BTreeMap::from([(name.to_owned(), likelihood)]),
            ..DataConfig::new(folder.source())
        };
        let config = said("a", Likelihood::Poisson {});
        let splits = config.open().expect("counts");
        assert_eq!(splits.train.modalities()[0].likelihood, Likelihood::Poisson {});
        // What is counted is not standardised.
        assert!(splits.standardisation.moments("a").is_none());
        let again = config.reopen(&splits.record, &splits.standardisation).expect("the same");
        assert_eq!(again.train.values(0), splits.train.values(0));
        assert_eq!(again.train.modalities(), splits.train.modalities());
        let other = said("c", Likelihood::Poisson {});
        assert_eq!(
            refused(other),
            "`likelihoods`: expected names of modalities, of `a`, `b`, found `c`"
        );
        let embedded = DataConfig {
            likelihoods: BTreeMap::from([("fou".to_owned(), Likelihood::laplace(0.5))]),
            ..DataConfig::new("mfeat")
        };
        let splits = embedded.open().expect("numbers");
        let laplace = |data: &MemoryDataset| {
            let mut specs = data.modalities().iter();
            specs.any(|spec| spec.likelihood == Likelihood::laplace(0.5))
        };
        assert!(laplace(&splits.train));
        let again = embedded.reopen(&splits.record, &splits.standardisation).expect("the same");
        assert!(laplace(&again.train));
        let no_counts = DataConfig {
            likelihoods: BTreeMap::from([("fou".to_owned(), Likelihood::Poisson {})]),
            ..DataConfig::new("mfeat")
        };
        let found = refused(no_counts);
        assert!(found.contains("modality `fou`, row") && found.contains("poisson"), "{found}");
    }

    #[test]
    fn values_that_are_probabilities_are_drawn_for_each_epoch_to_learn_from_and_once_for_others() {
        let config = DataConfig {
            rows: Some(200),
            binarise: vec!["image".into()],
            ..DataConfig::new("mnist-labels")
        };
        let splits = config.open().expect("images");
        assert_eq!(splits.train.modalities()[0].likelihood, Likelihood::Bernoulli {});
        let values = |data: &dyn Dataset| -> Vec<f32> {
            let rows: Vec<_> = (0..data.len()).collect();
            let batch = data.batch(&rows, &Device::flex()).expect("rows exist");
            batch.values()[0].dense().expect("dense").clone().into_data().try_into_vec().expect("f")
        };
        let epoch = |data: &MemoryDataset, seed, epoch| {
            values(&*data.in_epoch(seed, epoch).expect("its values are drawn"))
        };
        let first = epoch(&splits.train, 1, 1);
        assert!(first.iter().all(|&value| value == 0.0 || value == 1.0));
        assert_eq!(first, epoch(&splits.train, 1, 1));
        for other in [epoch(&splits.train, 1, 2), epoch(&splits.train, 2, 1)] {
            assert!(first.iter().zip(&other).filter(|(a, b)| a != b).count() > first.len() / 100);
        }
        // The rows of a split among all.
        let of = |all: &MemoryDataset, part: &MemoryDataset| {
            let place = |row| all.stored_rows().iter().position(|stored| stored == row);
            let places = part.stored_rows().iter().map(|row| place(row).expect("one of all"));
            all.select(&places.collect::<Vec<_>>())
        };
        // As near to the grey values as the mean of so many draws.
        let grey = of(&config.read().expect("images").raw, &splits.train);
        let draws: Vec<_> = (1..=40).map(|e| epoch(&splits.train, 1, e)).collect();
        let error = grey.values(0).into_iter().enumerate().map(|(i, grey)| {
            let mean = draws.iter().map(|draw| draw[i]).sum::<f32>() / 40.0;
            (mean - grey).powi(2) - grey * (1.0 - grey) / 40.0
        });
        assert!((error.sum::<f32>() / first.len() as f32).abs() < 1e-5);
        // What is not learned from, and what is opened again, is the same each time.
        let again = config.reopen(&splits.record, &splits.standardisation).expect("the same");
        for (a, b) in [(&splits.valid, &again.valid), (&splits.test, &again.test)] {
            assert_eq!(values(a), values(b));
            assert!(values(a).iter().all(|&value| value == 0.0 || value == 1.0));
        }
        assert_eq!(epoch(&again.train, 1, 3), epoch(&splits.train, 1, 3));
        let new = DataConfig { binarise: Vec::new(), ..config.clone() };
        let schema = &splits.record.schema;
        let new = new.open_new(schema, &splits.standardisation, Lacking::default());
        let new = new.expect("as the model knows it");
        assert_eq!(values(&of(&new.data, &splits.test)), values(&splits.test));
        assert!(new.raw.values(0).iter().any(|&value| value > 0.0 && value < 1.0));
        assert!(DataConfig::new("mfeat").open().expect("tables").train.in_epoch(1, 1).is_none());

        let unknown = DataConfig { binarise: vec!["scan".into()], ..config.clone() };
        let expected = "`binarise`: expected modalities, of `image`, `label`, found `scan`";
        assert_eq!(refused(unknown), expected);
        let likelihoods = BTreeMap::from([("image".to_owned(), Likelihood::normal(0.1))]);
        assert_eq!(
            refused(DataConfig { likelihoods, ..config }),
            "`binarise`: expected modalities with a bernoulli likelihood, found `image, normal`"
        );
        let folder = Folder::new([("a.csv", text("x,y\n0.5,0.1\n1,0.2\n0,1.5\n1,0\n0,0\n"))]);
        let outside = DataConfig { binarise: vec!["a".into()], ..DataConfig::new(folder.source()) };
        let found = refused(outside);
        let named = ["modality `a`", "row", "1.5", "column `y`", "from 0 to 1"];
        assert!(named.iter().all(|part| found.contains(part)), "{found}");
    }

    #[test]
    fn data_of_which_nothing_can_be_learned_is_refused() {
        let column = format!("x\n1\n{}", "NaN\n".repeat(9));
        let folder = Folder::new([("a.npy", npy(10, 2)), ("b.csv", text(&column))]);
        let split = SplitConfig { valid: 0.2, test: 0.7, seed: 3 };
        let config = DataConfig { split, ..DataConfig::new(folder.source()) };
        assert_eq!(refused(config), "modality `b`: no row of the training split observes it");
        let missing = MissingConfig { pattern: Pattern::CompleteCases, rate: 0.0, seed: 0 };
        let config = DataConfig { split, missing, ..DataConfig::new(folder.source()) };
        assert_eq!(refused(config), "the training split has no rows: none is complete");
    }

    #[test]
    fn other_files_and_choices_that_a_manifest_makes_are_refused() {
        let folder = Folder::new([
            ("a.npy", npy(4, 1)),
            (
                "manifest.toml",
                text("splits = { train = [0, 1] }\n[[modality]]\nname = 'a'\nfile = 'a.npy'"),
            ),
        ]);
        let config = DataConfig::new(folder.source());
        assert_eq!(config.open().expect("whole").train.len(), 2);
        let rows = DataConfig { rows: Some(2), ..config };
        assert!(refused(rows).starts_with("`rows`: expected nothing, since the manifest says"));
        let file = DataConfig::new(folder.path("a.npy").display().to_string());
        let found = folder.message(refused(file));
        assert!(found.starts_with("`a.npy`: expected a folder, a manifest `.toml`"), "{found}");
    }
}
