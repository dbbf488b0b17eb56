//! A small model and small data.

use std::{
    collections::BTreeSet,
    fmt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use burn::{
    module::{Module, ModuleVisitor, Param},
    nn::{Dropout, DropoutConfig, Linear},
    tensor::{Device, Tensor, TensorData},
};
use multivae_core::{
    batch::{Batch, Presence, Progress, Values},
    dataset::{Dataset, DatasetError},
    modality::ModalitySpec,
    model::{Learn, Loss, Multimodal, MultimodalModel, Stage},
    noise::Noise,
    subset::Subset,
};
use multivae_train::{Adam, Cosine, Interrupt, OptimizerConfig, ScheduleConfig, TrainConfig};

/// Sizes of the two modalities and of the latent space.
const SIZES: [usize; 2] = [6, 4];
const LATENT: usize = 3;

/// Rows of the data sets; neither is a multiple of the batch size.
pub(crate) const ROWS: usize = 42;
pub(crate) const VALID: usize = 12;

/// Where the tiny model goes wrong, in training.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fault {
    /// Epoch and step, from 1 and 0.
    pub(crate) at: Option<(u64, u64)>,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Kind {
    /// The reconstruction of `b` is not a number.
    #[default]
    NotFinite,
    /// The same, in the parts of the step after its first.
    LaterParts,
    /// All from there on is not a number.
    NeverFinite,
    /// Only the gradient is not finite.
    Gradient,
    /// The step panics.
    Panic,
    /// The process is killed.
    Kill,
}

/// Two linear encoders, a mean of their outputs with unit variance, two linear decoders.
#[derive(Module, Debug)]
pub(crate) struct Tiny {
    pub(crate) encoders: Vec<Linear>,
    pub(crate) decoders: Vec<Linear>,
    dropout: Dropout,
    #[module(skip)]
    specs: Vec<ModalitySpec>,
    #[module(skip)]
    pub(crate) fault: Fault,
    #[module(skip)]
    pub(crate) stages: Vec<Stage>,
    /// What `terms` says.
    #[module(skip)]
    pub(crate) declared: Vec<String>,
    #[module(skip)]
    pub(crate) needs: Needs,
}

/// What the tiny model says that it reads beside the modalities.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs {
    pub(crate) labels: bool,
    pub(crate) covariates: Vec<String>,
}

pub(crate) fn specs() -> Vec<ModalitySpec> {
    ["a", "b"]
        .iter()
        .zip(SIZES)
        .map(|(name, n)| ModalitySpec::new(name, &[n]).expect("valid"))
        .collect()
}

/// A layer with weights that do not come from the generator of the process.
pub(crate) fn linear(noise: &mut Noise, inputs: usize, outputs: usize) -> Linear {
    let device = Device::flex();
    Linear {
        weight: Param::from_tensor(noise.normal([inputs, outputs], 0, &device) * 0.3),
        bias: Some(Param::from_tensor(Tensor::zeros([outputs], &device))),
    }
}

/// The model with weights of a seed.
pub(crate) fn tiny(seed: u64) -> Tiny {
    let mut noise = Noise::seeded(seed);
    Tiny {
        encoders: SIZES.iter().map(|&n| linear(&mut noise, n, LATENT)).collect(),
        decoders: SIZES.iter().map(|&n| linear(&mut noise, LATENT, n)).collect(),
        needs: Needs::default(),
        dropout: DropoutConfig::new(0.0).init(),
        specs: specs(),
        fault: Fault::default(),
        stages: vec![Stage::whole()],
        declared: ["reconstruction/a", "reconstruction/b", "kl"].map(String::from).to_vec(),
    }
}

impl Tiny {
    pub(crate) fn with_fault(mut self, at: (u64, u64), kind: Kind) -> Self {
        self.fault = Fault { at: Some(at), kind };
        self
    }

    pub(crate) fn with_dropout(mut self) -> Self {
        self.dropout = DropoutConfig::new(0.5).init();
        self
    }

    fn faulty(&self, batch: &Batch) -> Option<Kind> {
        let now = (batch.key.epoch, batch.key.step);
        match (self.fault.at, self.fault.kind) {
            (Some(at), Kind::NeverFinite) if now >= at => Some(Kind::NotFinite),
            (Some(at), Kind::LaterParts) => {
                (at == now && batch.key.first_row > 0).then_some(Kind::NotFinite)
            }
            (Some(at), kind) if at == now => Some(kind),
            _ => None,
        }
    }
}

impl Multimodal for Tiny {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.specs
    }
}

impl Learn for Tiny {
    fn terms(&self, _: Progress) -> Vec<String> {
        self.declared.clone()
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let fault = self.faulty(batch);
        match fault {
            Some(Kind::Panic) => panic!("the model is broken"),
            Some(Kind::Kill) => std::process::abort(),
            _ => {}
        }
        let x: Vec<Tensor<2>> =
            batch.values().iter().map(|v| v.dense().expect("dense").clone()).collect();
        let mean = self
            .encoders
            .iter()
            .zip(&x)
            .map(|(encoder, x)| encoder.forward(x.clone()))
            .reduce(|a, b| a + b)
            .expect("two")
            / 2.0;
        let shape = mean.dims();
        let z = mean.clone() + noise.normal(shape, 0, &batch.device());
        let z = self.dropout.forward(z);
        let kl = (mean.square() * 0.5).sum_dim(1).mean();
        let mut terms: Vec<(String, Tensor<1>)> = self
            .decoders
            .iter()
            .zip(&x)
            .zip(&self.specs)
            .map(|((decoder, x), spec)| {
                let error = (decoder.forward(z.clone()) - x.clone()).square() * 0.5;
                (format!("reconstruction/{}", spec.name), error.sum_dim(1).mean())
            })
            .collect();
        match fault {
            Some(Kind::NotFinite) => terms[1].1 = terms[1].1.clone() * f32::NAN,
            // The square root has an infinite slope at zero.
            Some(Kind::Gradient) => {
                let zero = terms[1].1.clone() * 0.0;
                terms[1].1 = terms[1].1.clone() + zero.sqrt();
            }
            _ => {}
        }
        terms.push(("kl".into(), kl));
        let total = terms.iter().map(|(_, t)| t.clone()).reduce(|a, b| a + b).expect("three terms");
        Loss { total, terms }
    }

    fn stages(&self) -> Vec<Stage> {
        self.stages.clone()
    }

    fn needs_labels(&self) -> bool {
        self.needs.labels
    }

    fn covariates(&self) -> BTreeSet<String> {
        self.needs.covariates.iter().cloned().collect()
    }
}

impl MultimodalModel for Tiny {
    fn learner(&self) -> &dyn Learn {
        self
    }
}

/// Rows with a common cause in both modalities.
pub(crate) struct Toy {
    specs: Vec<ModalitySpec>,
    values: Vec<Vec<f32>>,
    rows: usize,
    /// What a row observes.
    present: fn(usize) -> Subset,
    /// Rows cannot be read any more.
    pub(crate) broken: AtomicBool,
    /// Batches to be read before a handle is used.
    pub(crate) stop: Mutex<Option<(usize, Interrupt)>>,
}

impl fmt::Debug for Toy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Toy")
    }
}

pub(crate) fn toy(rows: usize, seed: u64) -> Arc<Toy> {
    toy_with(rows, seed, |_| Subset::full(2))
}

/// The same rows, each with what it observes.
pub(crate) fn toy_with(rows: usize, seed: u64, present: fn(usize) -> Subset) -> Arc<Toy> {
    let mut noise = Noise::seeded(seed);
    let device = Device::flex();
    let z: Tensor<2> = noise.normal([rows, 2], 0, &device);
    let values = SIZES
        .iter()
        .map(|&n| {
            let mix: Tensor<2> = Noise::seeded(99).normal([2, n], 0, &device);
            let spread: Tensor<2> = noise.normal([rows, n], 0, &device);
            let x = z.clone().matmul(mix) + spread * 0.3;
            x.into_data().try_into_vec().expect("floats")
        })
        .collect();
    Arc::new(Toy {
        specs: specs(),
        values,
        rows,
        present,
        broken: AtomicBool::new(false),
        stop: Mutex::default(),
    })
}

/// The usual rows for training and validation.
pub(crate) fn data() -> (Arc<Toy>, Arc<Toy>) {
    (toy(ROWS, 1), toy(VALID, 2))
}

impl Dataset for Toy {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.specs
    }

    fn len(&self) -> usize {
        self.rows
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err("the file is gone".into());
        }
        if let Some((left, interrupt)) = &mut *self.stop.lock().expect("not poisoned") {
            *left = left.saturating_sub(1);
            if *left == 0 {
                interrupt.stop();
            }
        }
        let values = self
            .values
            .iter()
            .zip(SIZES)
            .map(|(values, n)| {
                let taken: Vec<f32> =
                    rows.iter().flat_map(|&r| values[r * n..][..n].to_vec()).collect();
                Values::Dense(Tensor::from_data(TensorData::new(taken, [rows.len(), n]), device))
            })
            .collect();
        let present = rows.iter().map(|&row| (self.present)(row)).collect();
        Ok(Batch::new(values, Presence::new(present, 2, device))?)
    }

    fn presence(&self, row: usize) -> Subset {
        (self.present)(row)
    }
}

/// Six epochs of batches of 8.
pub(crate) fn config() -> TrainConfig {
    TrainConfig {
        epochs: 6,
        batch_size: 8,
        seed: 3,
        optimizer: OptimizerConfig::Adam(Adam { learning_rate: 0.02, ..Adam::default() }),
        schedule: ScheduleConfig::Cosine(Cosine::default()),
        ..TrainConfig::default()
    }
}

/// Weights of the parameters whose path begins with a prefix.
pub(crate) fn weights(model: &impl Module, prefix: &str) -> Vec<f32> {
    struct Flat<'a>(Vec<f32>, Vec<String>, &'a str);
    impl ModuleVisitor for Flat<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.1.push(name.into());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.1.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.1.join(".").starts_with(self.2) {
                let values: Vec<f32> = param.val().into_data().try_into_vec().expect("floats");
                self.0.extend(values);
            }
        }
    }
    let mut flat = Flat(Vec::new(), Vec::new(), prefix);
    model.visit(&mut flat);
    flat.0
}

/// Names of the files in a run's folder of checkpoints.
pub(crate) fn checkpoints(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("checkpoints")).expect("exists");
    let mut names: Vec<String> =
        entries.map(|e| e.expect("entry").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

pub(crate) fn metrics(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("metrics.jsonl")).expect("exists")
}

/// The largest difference.
pub(crate) fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Runs the test that calls it once more, in a process of its own; how that ended. There,
/// [`own_dir`] is `dir`.
pub(crate) fn in_own_process(test: &str, dir: &Path) -> std::process::ExitStatus {
    std::process::Command::new(std::env::current_exe().expect("known"))
        .args([test, "--exact", "--nocapture"])
        .env(OWN_DIR, dir)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .expect("starts")
}

/// The folder of a test in a process of its own; `None` in the process of all tests.
pub(crate) fn own_dir() -> Option<std::path::PathBuf> {
    std::env::var_os(OWN_DIR).map(Into::into)
}

const OWN_DIR: &str = "MULTIVAE_TEST_DIR";
