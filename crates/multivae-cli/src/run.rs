//! The folder of a run, read back.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor, TensorData};
use multivae::{
    core::{
        batch::{Batch, Presence, Values},
        dataset::{Dataset, DatasetError},
        modality::ModalitySpec,
        model::MultimodalModel,
        nn::Networks,
        subset::Subset,
    },
    data::{DataConfig, MemoryDataset, Splits, Standardisation},
    device,
    models::{Model, ModelConfig},
    train::{self, TrainError},
};

use crate::{arguments::RunArguments, config::RunConfig, failure::bad_input, files};

/// File of the configuration in a run's folder.
pub(crate) const CONFIG: &str = "run.toml";
/// File of the standardisation in a run's folder.
pub(crate) const STANDARDISATION: &str = "standardisation.json";
/// File of the measurements of the training in a run's folder.
pub(crate) const METRICS: &str = "metrics.jsonl";

/// What a run has stored, before any weights.
pub(crate) struct Stored {
    pub(crate) folder: PathBuf,
    pub(crate) config: RunConfig,
    pub(crate) standardisation: Standardisation,
}

impl Stored {
    /// Reads the folder.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        if !path.is_file() {
            return Err(bad_input(format!(
                "`{}` is not the folder of a run: it has no {CONFIG}",
                folder.display()
            )));
        }
        let config = RunConfig::load(&path)?;
        let Some(file) = &config.standardisation else {
            return Err(bad_input(format!(
                "configuration `{}`: expected `standardisation`, the name of a file; found none",
                path.display()
            )));
        };
        let standardisation = Standardisation::load(&folder.join(file))?;
        Ok(Self { folder: folder.to_owned(), config, standardisation })
    }

    /// The run's own data.
    pub(crate) fn data(&self) -> Result<&DataConfig> {
        self.config.data.as_ref().ok_or_else(|| {
            bad_input(format!(
                "the run `{}` was imported and has no data of its own: give `--data`",
                self.folder.display()
            ))
        })
    }

    /// Writes a new folder's files of a run that has no checkpoints yet.
    pub(crate) fn write(
        config: &RunConfig,
        standardisation: &Standardisation,
        folder: &Path,
    ) -> Result<()> {
        let config =
            RunConfig { standardisation: Some(STANDARDISATION.to_owned()), ..config.clone() };
        standardisation.save(&folder.join(STANDARDISATION))?;
        write_config(&config, folder)
    }
}

/// Writes the configuration of a run.
pub(crate) fn write_config(config: &RunConfig, folder: &Path) -> Result<()> {
    let text = config.text()?;
    files::write_whole(&folder.join(CONFIG), |file| Ok(file.write_all(text.as_bytes())?))
}

/// A model with its first weights, which derive from the seed.
pub(crate) fn init(config: &ModelConfig, seed: u64, device: &Device) -> Result<Model> {
    device.seed(seed);
    let model = config.init(&Networks::default(), device)?;
    // Burn draws a parameter when it is first used: now, before anything else is drawn.
    Ok(multivae::core::module::settle(model))
}

/// A run with its best weights.
pub(crate) struct Run {
    pub(crate) stored: Stored,
    pub(crate) model: Model,
    pub(crate) device: Device,
}

impl Run {
    /// Reads the folder and the best weights.
    pub(crate) fn open(arguments: &RunArguments) -> Result<Self> {
        Self::open_on(&arguments.run, arguments.device.as_deref())
    }

    /// The same on a device; `None` for the default one.
    pub(crate) fn open_on(folder: &Path, device: Option<&str>) -> Result<Self> {
        let stored = Stored::open(folder)?;
        let device = device::open(device)?;
        let model = init(&stored.config.model, 0, &device)?;
        let model = train::load_best(&stored.folder, model).map_err(damaged)?;
        Ok(Self { stored, model, device })
    }

    /// The run's own data, as it was when the run began.
    fn splits(&self) -> Result<Splits> {
        let splits = self.stored.data()?.open()?;
        if splits.standardisation != self.stored.standardisation {
            return Err(changed(&self.stored));
        }
        Ok(splits)
    }

    /// The training split of the run's own data.
    pub(crate) fn train_split(&self) -> Result<Aligned> {
        Aligned::new(self.splits()?.train, &self.model)
    }

    /// The test split of the run's own data.
    pub(crate) fn test_split(&self) -> Result<Aligned> {
        let test = self.splits()?.test;
        if test.is_empty() {
            return Err(bad_input("the test split of the run's data has no rows"));
        }
        Aligned::new(test, &self.model)
    }

    /// All rows of other data, or of the run's own as they were before modalities were taken from
    /// them, standardised as the run's.
    pub(crate) fn all_rows(&self, source: Option<&str>) -> Result<Aligned> {
        let own = self.stored.config.data.as_ref();
        let config = match source {
            Some(source) if own.is_none_or(|own| absolute(source) != own.source) => {
                DataConfig::new(source)
            }
            _ => self.stored.data()?.clone(),
        };
        let data = config.open_all(&self.stored.standardisation)?;
        if data.is_empty() {
            return Err(bad_input(format!("the data `{}` has no rows", config.source)));
        }
        Aligned::new(data, &self.model)
    }

    /// The named modalities; all if no names are given.
    pub(crate) fn subset(&self, names: Option<&[String]>) -> Result<Subset> {
        let specs = self.model.modalities();
        Ok(match names {
            None => Subset::full(specs.len()),
            Some(names) => Subset::named(specs, names.iter().map(String::as_str))?,
        })
    }

    /// The named modalities to encode from, with all that a conditional model needs; all if no
    /// names are given.
    pub(crate) fn given(&self, names: Option<&[String]>) -> Result<Subset> {
        let (given, specs) = (self.subset(names)?, self.model.modalities());
        match self.model.encoder()?.conditions() {
            Some(needed) if needed.union(given) != given => Err(bad_input(format!(
                "`--given {}`: `{}` generates from `{}`, which has to be given",
                given.label(specs),
                self.stored.config.model.name(),
                needed.label(specs)
            ))),
            _ => Ok(given),
        }
    }

    /// The named modalities to generate; all that the model generates if no names are given.
    pub(crate) fn targets(&self, names: Option<&[String]>) -> Result<Subset> {
        let (generated, specs) = (self.model.generator()?.generated(), self.model.modalities());
        let Some(names) = names else { return Ok(generated) };
        let targets = self.subset(Some(names))?;
        if targets.union(generated) != generated {
            return Err(bad_input(format!(
                "`--target {}`: `{}` generates `{}` only",
                targets.label(specs),
                self.stored.config.model.name(),
                generated.label(specs)
            )));
        }
        Ok(targets)
    }
}

/// The error about a checkpoint that cannot be read, which is among what was given.
pub(crate) fn damaged(error: TrainError) -> anyhow::Error {
    bad_input(error.to_string())
}

/// The error about data that is not what a run began with.
pub(crate) fn changed(stored: &Stored) -> anyhow::Error {
    bad_input(format!(
        "the data `{}` has changed since the run `{}` began: its training rows have other means \
         and standard deviations",
        stored.config.data.as_ref().map_or("", |data| data.source.as_str()),
        stored.folder.display()
    ))
}

/// An embedded data set's name as it is, a path from the root.
pub(crate) fn absolute(source: &str) -> String {
    let embedded = multivae::data::embedded().iter().any(|info| info.name == source);
    match fs::canonicalize(source) {
        Ok(path) if !embedded => path.to_string_lossy().into_owned(),
        _ => source.to_owned(),
    }
}

/// At most `n` of the rows, evenly spread.
pub(crate) fn evenly(rows: &[usize], n: usize) -> Vec<usize> {
    let n = n.min(rows.len());
    (0..n).map(|i| rows[i * rows.len() / n]).collect()
}

/// Data with the modalities of a model in the model's order; those that the data lacks are
/// missing in every row.
pub(crate) struct Aligned {
    data: MemoryDataset,
    specs: Vec<ModalitySpec>,
    /// Place of each modality of the model in the data.
    places: Vec<Option<usize>>,
    /// The rows of the data that observe a modality of the model.
    rows: Vec<usize>,
}

impl Aligned {
    /// Checks the data against the model.
    pub(crate) fn new(data: MemoryDataset, model: &impl MultimodalModel) -> Result<Self> {
        let specs = model.modalities().to_vec();
        let found = data.modalities();
        for spec in found {
            Subset::named(&specs, [spec.name.as_str()])
                .with_context(|| format!("the data has the modality `{}`", spec.name))?;
        }
        let mut places = Vec::new();
        for spec in &specs {
            let place = found.iter().position(|other| other.name == spec.name);
            if let Some(other) = place.map(|place| &found[place])
                && other.shape != spec.shape
            {
                return Err(multivae::core::Error::Shape {
                    modality: spec.name.to_string(),
                    expected: format!("{:?}, as the model has it", spec.shape),
                    found: format!("{:?} in the data", other.shape),
                }
                .into());
            }
            places.push(place);
        }
        let rows = (0..data.len()).collect();
        Ok(Self { data, specs, places, rows })
    }

    /// At most `n` of the rows that observe all of `wanted`, evenly spread: rows of one class often
    /// follow each other.
    pub(crate) fn some(mut self, n: usize, wanted: Subset) -> Result<Self> {
        let observes = |row: usize| wanted.iter().all(|m| self.presence(row).contains(m));
        let fitting: Vec<_> = (0..self.len()).filter(|&row| observes(row)).collect();
        if fitting.is_empty() {
            return Err(bad_input(format!("no row observes `{}`", wanted.label(&self.specs))));
        }
        self.rows = evenly(&fitting, n).into_iter().map(|row| self.rows[row]).collect();
        Ok(self)
    }

    /// At most `n` of the rows, evenly spread.
    pub(crate) fn at_most(mut self, n: usize) -> Self {
        self.rows = evenly(&self.rows, n);
        self
    }
}

impl Dataset for Aligned {
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
            // Any filler will do where a modality is missing.
            None => Values::Dense(Tensor::from_data(
                TensorData::zeros::<f32, _>([rows.len(), spec.features()]),
                device,
            )),
        });
        let observed = rows.iter().map(|&row| self.presence(row)).collect();
        let presence = Presence::new(observed, self.specs.len(), device);
        let labels = batch.labels().map(<[i64]>::to_vec);
        Ok(Batch::new(values.collect(), presence)?.with_labels(labels)?)
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
}
