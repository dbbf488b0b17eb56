//! What is measured.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use burn::{
    module::Module,
    optim::ModuleOptimizer,
    tensor::{Device, Distribution, Tensor},
};
use multivae::{
    core::{
        batch::{Batch, Progress, Purpose},
        dataset::Dataset,
        modality::ModalityName,
        model::{Draws, Given, LikelihoodQuery, MultimodalModel},
        module::{freeze, init_parameters},
        nn::Networks,
        noise::Noise,
        objective::Budget,
        subset::Subset,
    },
    data::{MemoryDataset, Storage},
    device::{self, on_workers},
    metrics::{
        Classifiers, Classify, ClusteringConfig, CoherenceConfig, Features, FidConfig,
        ReconstructionConfig, clustering, coherence, fid, reconstruction,
    },
    models::{Model, ModelConfig},
    train::{
        Adam, EpochSummary, Observed, Observer, OptimizerConfig, Precision, TrainConfig, Trainer,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Result, looks::Looks, workloads::Workload};

/// Rows of an epoch.
const EPOCH: usize = 4096;
/// Rows that are encoded, and generated from.
const ROWS: usize = 1024;
/// Rows whose likelihood is estimated, and of a first estimate to warm up.
const ESTIMATED: [usize; 2] = [256, 4];
/// Importance samples of a likelihood.
const SAMPLES: usize = 1000;
/// Latent rows that are decoded at once in a likelihood.
const DECODED: usize = 6400;
/// Rows that a model is evaluated on.
const EVALUATED: usize = 1000;
/// Steps before the first one that is timed.
const WARM_UP: usize = 4;

/// A thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    Ready,
    Peak,
    TrainStep,
    SecondStage,
    Epoch,
    Run,
    Encode,
    Generate,
    Sample,
    JointNll,
    Coherence,
    Reconstruction,
    Frechet,
    Clustering,
}

/// What learns in a stage.
struct Learner {
    model: Model,
    optimizer: ModuleOptimizer,
    batch: Batch,
}

/// Seconds of the last epoch's steps.
struct EpochTime(Arc<Mutex<f64>>);

impl Observer for EpochTime {
    fn epoch_finished(&mut self, summary: &EpochSummary) -> Observed {
        if let Ok(mut seconds) = self.0.lock() {
            *seconds = summary.train_seconds;
        }
        Ok(())
    }
}

/// A model and its data, made when they are first needed.
pub(crate) struct Subject {
    config: ModelConfig,
    workload: Workload,
    device: Device,
    precision: Precision,
    learners: [Option<Learner>; 2],
    model: Option<Model>,
}

impl Subject {
    pub(crate) fn new(config: ModelConfig, workload: Workload, device: &str) -> Result<Self> {
        let (device, precision) = match device.strip_suffix(":bf16") {
            Some(device) => (device, Precision::Bf16),
            None => (device, Precision::F32),
        };
        let device = device::open(Some(device))?;
        if !precision.is_on(&device) {
            return Err("the device has no such precision".into());
        }
        Ok(Self { config, workload, device, precision, learners: [None, None], model: None })
    }

    pub(crate) fn measure(&mut self, measure: Measure, count: usize) -> Result<Value> {
        match measure {
            Measure::Ready => Ok(json!({})),
            Measure::Peak => Ok(self.peak(count)),
            Measure::TrainStep => self.steps(0, count),
            Measure::SecondStage => self.steps(1, count),
            Measure::Epoch => self.runs(count, false),
            Measure::Run => self.runs(count, true),
            Measure::Encode => self.passes(count, Self::encode),
            Measure::Generate => self.passes(count, Self::generate),
            Measure::Sample => self.samples(count),
            Measure::JointNll => self.likelihoods(count),
            Measure::Coherence
            | Measure::Reconstruction
            | Measure::Frechet
            | Measure::Clustering => self.evaluations(measure, count),
        }
    }

    /// The speed of a product that is limited by arithmetic alone.
    fn peak(&self, count: usize) -> Value {
        const SIDE: usize = 2048;
        let (uniform, shape) = (Distribution::Uniform(-1.0, 1.0), [SIDE, SIDE]);
        let x = Tensor::<2>::random(shape, uniform, &self.device);
        let mut ms = Vec::new();
        for _ in 0..=count {
            let start = Instant::now();
            let product = x.clone().matmul(x.clone());
            product.sum().into_data();
            ms.push(start.elapsed().as_secs_f64() * 1e3);
        }
        let least = ms.iter().copied().fold(f64::INFINITY, f64::min);
        json!({ "ms": ms, "gflops": 2.0 * (SIDE as f64).powi(3) / least / 1e6 })
    }

    fn fresh(&self, device: &Device) -> Result<Model> {
        Ok(init_parameters(self.config.init(&Networks::default(), device)?))
    }

    fn steps(&mut self, stage: usize, count: usize) -> Result<Value> {
        // The first step of a turn finds its threads asleep and its caches full of others' values.
        let warm_up = if self.learners[stage].is_none() { WARM_UP } else { 1 };
        let mut learner = match self.learners[stage].take() {
            Some(learner) => learner,
            None => self.learner(stage)?,
        };
        let (mut whole, mut gradient, mut optimiser) = (Vec::new(), Vec::new(), Vec::new());
        let mut operations = 0;
        for step in 0..warm_up + count {
            learner.batch.key.step += 1;
            let before = multivae_kernels::operations();
            let start = Instant::now();
            let Learner { model, batch, mut optimizer } = learner;
            // On workers, as the trainer does it.
            let made =
                || model.learner().step(&batch, &mut Noise::of(&batch)).into_gradients(&model);
            let (loss, gradients) = self.precision.scope(|| on_workers(&self.device, made));
            let middle = start.elapsed();
            let model = on_workers(&self.device, || optimizer.step(1e-3, model, gradients));
            learner = Learner { model, optimizer, batch };
            let end = start.elapsed();
            let value = loss.total.into_scalar::<f32>();
            let all = start.elapsed();
            operations = multivae_kernels::operations() - before;
            if !value.is_finite() {
                return Err(format!("the loss is {value}").into());
            }
            if step >= warm_up {
                whole.push(all.as_secs_f64() * 1e3);
                gradient.push(middle.as_secs_f64() * 1e3);
                optimiser.push((end - middle).as_secs_f64() * 1e3);
            }
        }
        let parameters = learner.model.num_params();
        self.learners[stage] = Some(learner);
        Ok(json!({
            "ms": whole,
            "parts": { "gradients": gradient, "optimiser": optimiser },
            "parameters": parameters,
            "gflop": operations as f64 / 1e9,
            "rows": self.workload.batch,
        }))
    }

    fn learner(&self, stage: usize) -> Result<Learner> {
        let device = self.device.clone().autodiff();
        let model = self.fresh(&device)?;
        let stages = model.learner().stages();
        let chosen = stages.get(stage).ok_or("the model has one stage")?;
        let before: usize = stages[..stage].iter().filter_map(|stage| stage.epochs).sum();
        let mut batch = self.batch(&model, self.workload.batch, &device)?;
        batch.purpose = Purpose::Train;
        batch.progress = Progress::new(before + 1, 0.0);
        let model = freeze(model, &chosen.frozen);
        let optimizer = OptimizerConfig::Adam(Adam::default()).init();
        Ok(Learner { model, optimizer, batch })
    }

    /// Random rows, all complete.
    fn batch(&self, model: &Model, rows: usize, device: &Device) -> Result<Batch> {
        let uniform = Distribution::Uniform(0.0, 1.0);
        let random = |features| Tensor::<2>::random([rows, features], uniform, device);
        let values = model.modalities().iter().map(|spec| random(spec.features()));
        Ok(Batch::complete(values.collect())?)
    }

    fn data(&self, model: &Model, rows: usize) -> Result<MemoryDataset> {
        let batch = self.batch(model, rows, &self.device)?;
        let values = batch.values().iter().zip(model.modalities()).map(|(values, spec)| {
            let values = values.dense().ok_or("values are numbers")?.clone().into_data();
            Ok((spec.clone(), Storage::Floats(values.iter::<f32>().collect())))
        });
        Ok(MemoryDataset::new(values.collect::<Result<_>>()?)?)
    }

    /// Runs of one epoch. What is timed is the epoch, rows in random order and steps, or the run
    /// with all that it makes and writes.
    fn runs(&self, count: usize, whole: bool) -> Result<Value> {
        let mut ms = Vec::new();
        // The first is for warming up.
        for _ in 0..=count {
            let model = self.fresh(&self.device)?;
            let train = Arc::new(self.data(&model, EPOCH)?);
            let valid = Arc::new(self.data(&model, 1)?);
            let run = tempfile::tempdir()?;
            let config = TrainConfig {
                epochs: model.learner().stages().len(),
                batch_size: self.workload.batch,
                precision: self.precision,
                ..TrainConfig::default()
            };
            if config.epochs > 1 {
                return Err("a model of two stages has no run of one epoch".into());
            }
            let epoch = Arc::new(Mutex::new(0.0));
            let trainer = Trainer::new(config, run.path())
                .device(self.device.clone())
                .observe(Box::new(EpochTime(epoch.clone())));
            let start = Instant::now();
            trainer.fit(model, train, valid)?;
            let seconds = match whole {
                true => start.elapsed().as_secs_f64(),
                false => *epoch.lock().map_err(|_| "the run has panicked")?,
            };
            ms.push(seconds * 1e3);
        }
        Ok(json!({ "ms": ms[1..], "rows": EPOCH }))
    }

    fn model(&mut self) -> Result<Model> {
        if self.model.is_none() {
            self.model = Some(self.fresh(&self.device)?);
        }
        Ok(self.model.clone().ok_or("it was just made")?)
    }

    /// Times of a function on all rows, in batches.
    fn passes(&mut self, count: usize, pass: fn(&Model, &Batch)) -> Result<Value> {
        let model = self.model()?;
        let data = self.data(&model, ROWS)?;
        let rows: Vec<usize> = (0..ROWS).collect();
        let mut ms = Vec::new();
        for repetition in 0..=count {
            let start = Instant::now();
            for part in rows.chunks(self.workload.batch) {
                let batch = data.batch(part, &self.device).map_err(|e| e.to_string())?;
                on_workers(&self.device, || pass(&model, &batch));
            }
            // The first is for warming up.
            if repetition > 0 {
                ms.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        Ok(json!({ "ms": ms, "rows": ROWS }))
    }

    fn encode(model: &Model, batch: &Batch) {
        let all = Subset::full(model.modalities().len());
        let latent =
            model.density().expect("a VAE").encode(batch, all, Draws::Mean, &mut Noise::of(batch));
        for level in latent.levels().cloned() {
            level.into_data();
        }
    }

    fn generate(model: &Model, batch: &Batch) {
        let given = model.density().expect("a VAE").conditions().unwrap_or(Subset::single(0));
        let latent = model.density().expect("a VAE").encode(
            batch,
            given,
            Draws::Samples(1),
            &mut Noise::of(batch),
        );
        for output in model
            .density()
            .expect("a VAE")
            .decode(&latent, model.density().expect("a VAE").generated())
        {
            output.into_data();
        }
    }

    /// Draws where two modalities of several are given, which is where some models have to search.
    fn samples(&mut self, count: usize) -> Result<Value> {
        let model = self.model()?;
        if model.modalities().len() < 3 || model.density().expect("a VAE").conditions().is_some() {
            return Err("two of the modalities are all".into());
        }
        let batch = self.batch(&model, self.workload.batch, &self.device)?;
        let given = Subset::new([0, 1])?;
        let mut ms = Vec::new();
        // The first is for warming up.
        for repetition in 0..=count {
            let start = Instant::now();
            on_workers(&self.device, || {
                let latent = model.density().expect("a VAE").encode(
                    &batch,
                    given,
                    Draws::Samples(1),
                    &mut Noise::of(&batch),
                );
                for level in latent.levels().cloned() {
                    level.into_data();
                }
            });
            if repetition > 0 {
                ms.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        Ok(json!({ "ms": ms, "rows": self.workload.batch }))
    }

    fn likelihoods(&mut self, count: usize) -> Result<Value> {
        let model = self.model()?;
        let [rows, few] = ESTIMATED;
        let batch = self.batch(&model, rows, &self.device)?;
        let query = LikelihoodQuery {
            targets: model.density().expect("a VAE").generated(),
            given: model
                .density()
                .expect("a VAE")
                .conditions()
                .map_or(Given::Nothing, Given::Values),
            budget: Budget { samples: SAMPLES, max_rows: DECODED },
        };
        let estimate = |batch: &Batch| -> Result<f64> {
            let start = Instant::now();
            let value = on_workers(&self.device, || {
                let estimate = model.density().expect("a VAE").log_likelihood(
                    batch,
                    &query,
                    &mut Noise::of(batch),
                );
                estimate.log_likelihood.sum().into_scalar::<f32>()
            });
            match value.is_finite() {
                true => Ok(start.elapsed().as_secs_f64() * 1e3),
                false => Err(format!("the likelihood is {value}").into()),
            }
        };
        estimate(&self.batch(&model, few, &self.device)?)?;
        let ms = (0..count).map(|_| estimate(&batch)).collect::<Result<Vec<_>>>()?;
        Ok(json!({ "ms": ms, "rows": rows }))
    }

    /// The measures of `evaluate`, from all subsets of the modalities, of which each shows one of ten
    /// classes to a classifier that has learned nothing.
    fn evaluations(&mut self, measure: Measure, count: usize) -> Result<Value> {
        if self.workload.name != "polymnist" {
            return Err("classifiers are there for PolyMNIST".into());
        }
        let (model, device) = (self.model()?, self.device.clone());
        let labels = |rows: usize| (0..rows as i64).map(|row| row % 10).collect::<Vec<_>>();
        let data = self.data(&model, EVALUATED)?.with_labels(labels(EVALUATED))?;
        let looks = model
            .modalities()
            .iter()
            .map(|spec| Ok((spec.name.clone(), Looks::new(spec, &device)?)));
        let looks: Vec<(ModalityName, Looks)> = looks.collect::<Result<_>>()?;
        let batch_size = self.workload.batch;
        let evaluate = || -> Result<()> {
            let (density, quiet) = (model.density()?, |_: f64| {});
            match measure {
                Measure::Coherence => {
                    let list =
                        looks.iter().map(|(name, look)| (name.as_str(), look as &dyn Classify));
                    let classifiers = Classifiers::new(list)?;
                    let config = CoherenceConfig { batch_size, ..CoherenceConfig::default() };
                    coherence(density, &data, &classifiers, &config, &device, &quiet)?;
                }
                Measure::Reconstruction => {
                    let config = ReconstructionConfig { batch_size, ..Default::default() };
                    reconstruction(density, &data, &config, &device)?;
                }
                Measure::Frechet => {
                    let list =
                        looks.iter().map(|(name, look)| (name.clone(), look as &dyn Features));
                    let (list, config) =
                        (list.collect::<Vec<_>>(), FidConfig { batch_size, ..Default::default() });
                    fid(density, &data, std::iter::empty(), &list, &config, &device, &quiet)?;
                }
                _ => {
                    let config = ClusteringConfig { batch_size, ..ClusteringConfig::default() };
                    clustering(density, &data, &data, &config, &device)?;
                }
            }
            Ok(())
        };
        let mut ms = Vec::new();
        for _ in 0..count {
            let start = Instant::now();
            on_workers(&device, || evaluate().map_err(|error| error.to_string()))?;
            ms.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(json!({ "ms": ms, "rows": EVALUATED }))
    }
}
