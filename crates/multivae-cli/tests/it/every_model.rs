//! Every model of the list: a run that was interrupted and resumed is the run that never stopped, and a
//! run on two devices, or on several ranks, makes the steps of one, or is refused.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use burn::tensor::Device;
use multivae::{
    core::{
        batch::Batch,
        dataset::{Dataset, DatasetError},
        modality::ModalitySpec,
        model::MultimodalModel,
        nn::Networks,
        subset::Subset,
    },
    models::{Model, ModelConfig},
    run::init,
    train::{
        Adam, Collective, Fitted, Interrupt, OptimizerConfig, Sgd, Stopped, Threads, TrainConfig,
        TrainError, Trainer,
    },
};
use serde_json::{Value, json};

use crate::shares::{Incomplete, weights};

/// Rows of training and validation; batches of [`BATCH`] leave a rest.
const ROWS: [usize; 2] = [22, 9];
const BATCH: usize = 8;
const EPOCHS: usize = 3;

/// Rows of which a model that needs it sees the complete ones only, and which may stop a run.
struct Rows {
    data: Incomplete,
    kept: Vec<usize>,
    /// Batches that were read.
    read: AtomicUsize,
    /// After so many of them.
    stop: Mutex<Option<(usize, Interrupt)>>,
}

impl Rows {
    fn new(count: usize, complete: bool) -> Self {
        // Two rows in seven are complete.
        let data = Incomplete::new(4 * count);
        let kept = |row: &usize| !complete || data.presence(*row).len() == 3;
        let kept: Vec<usize> = (0..data.len()).filter(kept).take(count).collect();
        assert_eq!(kept.len(), count);
        Self { data, kept, read: AtomicUsize::new(0), stop: Mutex::new(None) }
    }
}

impl Dataset for Rows {
    fn modalities(&self) -> &[ModalitySpec] {
        self.data.modalities()
    }

    fn len(&self) -> usize {
        self.kept.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
        let read = self.read.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some((most, interrupt)) = &*self.stop.lock().expect("not poisoned")
            && read == *most
        {
            interrupt.stop();
        }
        let rows: Vec<usize> = rows.iter().map(|&row| self.kept[row]).collect();
        self.data.batch(&rows, device)
    }

    fn presence(&self, row: usize) -> Subset {
        self.data.presence(self.kept[row])
    }
}

/// Every model of the list with all its parts, and the hierarchical one with its critics too.
pub(crate) fn cases() -> Vec<(&'static str, Value)> {
    let critics = json!({ "adversarial": 0.5, "adversarial_after": 0, "warmup": 0 });
    let listed = ModelConfig::NAMES.iter().map(|name| (*name, json!({})));
    listed.chain([("mhvae", critics)]).collect()
}

/// One model at a time: weights are drawn from what all threads share.
static DRAWN: Mutex<()> = Mutex::new(());

/// A small model, whose stages are an epoch each but for the last, with the weights of a seed.
pub(crate) fn model(name: &str, options: &Value, seed: u64) -> Model {
    let specs = Incomplete::new(1).modalities().to_vec();
    let listed = ModelConfig::named(name).expect("a model of the list");
    let mut value = serde_json::to_value(&listed).expect("plain data");
    value["latent"] = json!(2);
    let exercise = listed.exercise(&specs);
    for (key, option) in [&exercise, options].into_iter().flat_map(Value::as_object).flatten() {
        value[key] = option.clone();
    }
    for (key, option) in value.as_object_mut().expect("a table") {
        if key.ends_with("_epochs") {
            *option = json!(1);
        }
    }
    let config: ModelConfig = serde_json::from_value(value).expect("fields of the model");
    let config = config.with_modalities(&specs).expect("the data suits");
    let _alone = DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    init(&config, &Networks::default(), seed, &Device::flex()).expect("a model")
}

fn trainer(folder: &Path, optimizer: OptimizerConfig) -> Trainer<Model> {
    let config = TrainConfig {
        epochs: EPOCHS,
        batch_size: BATCH,
        seed: 4,
        optimizer,
        ..TrainConfig::default()
    };
    Trainer::new(config, folder)
}

fn data(model: &Model) -> [Arc<Rows>; 2] {
    let complete = model.learner().needs_complete_rows();
    ROWS.map(|count| Arc::new(Rows::new(count, complete)))
}

fn adam() -> OptimizerConfig {
    OptimizerConfig::Adam(Adam { learning_rate: 0.01, ..Adam::default() })
}

#[test]
fn an_interrupted_run_of_every_model_goes_on_as_if_nothing_had_been() {
    for (name, options) in cases() {
        let model = self::model(name, &options, 5);
        let history = |folder: &Path| {
            std::fs::read_to_string(folder.join("metrics.jsonl")).expect("a history")
        };
        let whole = tempfile::tempdir().expect("a folder");
        let [train, valid] = data(&model);
        let unbroken = trainer(whole.path(), adam()).fit(model.clone(), train.clone(), valid);
        let unbroken: Fitted<Model> = unbroken.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_ne!(weights(&unbroken.last), weights(&model), "{name} learns nothing");

        // In the second epoch, which is the first of a second stage.
        let at = train.read.load(Ordering::SeqCst) / EPOCHS + 2;
        let folder = tempfile::tempdir().expect("a folder");
        let interrupt = Interrupt::new();
        let [train, valid] = data(&model);
        *train.stop.lock().expect("not poisoned") = Some((at, interrupt.clone()));
        let broken = trainer(folder.path(), adam()).interrupt(interrupt).fit(model, train, valid);
        let broken = broken.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(broken.stopped, Stopped::Interrupted, "{name}");
        assert_eq!(broken.epochs, 1, "{name}");

        // Other weights, which the checkpoint replaces.
        let other = self::model(name, &options, 6);
        let [train, valid] = data(&other);
        let resumed = trainer(folder.path(), adam()).resume(other, train, valid);
        let resumed = resumed.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(weights(&resumed.last) == weights(&unbroken.last), "{name}: other last weights");
        assert!(weights(&resumed.model) == weights(&unbroken.model), "{name}: other best weights");
        assert_eq!(history(folder.path()), history(whole.path()), "{name}");
    }
}

/// The learning rate by which runs that round otherwise are compared, and how far their weights may be
/// apart.
pub(crate) fn rate_and_most(name: &str) -> (f64, f32) {
    // Its precisions have no bound near a mean of 0: the sums of two devices, which round
    // otherwise, part within some steps of another size.
    if name == "sparse_mvae" { (1e-6, 2e-7) } else { (1e-3, 2e-5) }
}

/// A run on several devices, or on the ranks of which this is one.
pub(crate) fn fit(
    model: &Model,
    name: &str,
    devices: usize,
    ranks: Option<Arc<dyn Collective>>,
    folder: &Path,
) -> Result<Fitted<Model>, TrainError> {
    let sgd = Sgd { learning_rate: rate_and_most(name).0, ..Sgd::default() };
    let [train, valid] = data(model);
    let mut trainer = trainer(folder, OptimizerConfig::Sgd(sgd));
    if let Some(ranks) = ranks {
        trainer = trainer.ranks(ranks);
    }
    trainer.devices(vec![Device::flex(); devices]).fit(model.clone(), train, valid)
}

/// Largest difference.
pub(crate) fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

#[test]
fn two_and_four_ranks_make_the_steps_of_one_with_every_model_or_are_refused() {
    let (mut refused, mut apart) = (Vec::new(), Vec::new());
    for (name, options) in cases() {
        let model = &self::model(name, &options, 5);
        let folder = tempfile::tempdir().expect("a folder");
        let alone = fit(model, name, 1, None, &folder.path().join("alone"));
        let one = weights(&alone.unwrap_or_else(|error| panic!("{name}: {error}")).last);
        for ranks in [2, 4] {
            let own = &folder.path().join(ranks.to_string());
            let all: Vec<_> = thread::scope(|scope| {
                let fit = |rank: Threads| fit(model, name, 1, Some(Arc::new(rank)), own);
                let ranks = Threads::new(ranks).into_iter();
                let threads: Vec<_> = ranks.map(|rank| scope.spawn(move || fit(rank))).collect();
                threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
            });
            let mut found = Vec::new();
            for ended in all {
                match ended {
                    Ok(fitted) => found.push(weights(&fitted.last)),
                    Err(TrainError::Config { field, .. }) if field == "ranks" => refused.push(name),
                    Err(TrainError::Rank { .. }) => {}
                    Err(error) => panic!("{name}: {error}"),
                }
            }
            assert!(found.iter().all(|weights| *weights == found[0]), "{name}: ranks differ");
            let off = found.first().map_or(0.0, |several| distance(&one, several));
            if off > rate_and_most(name).1 {
                apart.push(format!("{name}, {ranks} ranks: weights differ by {off}"));
            }
        }
    }
    assert!(apart.is_empty(), "{apart:#?}");
    refused.dedup();
    assert_eq!(refused, ["nexus", "dccae", "dcca_ey"]);
}

#[test]
fn two_devices_make_the_steps_of_one_with_every_model_or_are_refused() {
    let (mut refused, mut apart) = (Vec::new(), Vec::new());
    for (name, options) in cases() {
        let model = self::model(name, &options, 5);
        let most = rate_and_most(name).1;
        let fit = |devices: usize| {
            let folder = tempfile::tempdir().expect("a folder");
            fit(&model, name, devices, None, folder.path())
        };
        let one = weights(&fit(1).unwrap_or_else(|error| panic!("{name}: {error}")).last);
        match fit(2) {
            Ok(two) => {
                let off = distance(&one, &weights(&two.last));
                if off > most {
                    apart.push(format!("{name}: weights differ by {off}"));
                }
            }
            Err(TrainError::Config { field, .. }) if field == "devices" => refused.push(name),
            Err(error) => panic!("{name}: {error}"),
        }
        let stages = model.learner().stages();
        let mut phases = stages.iter().flat_map(|stage| &stage.phases);
        let whole = phases.any(|phase| !phase.rows.divisible());
        assert_eq!(refused.last() == Some(&name), whole, "{name}");
    }
    assert!(apart.is_empty(), "{apart:#?}");
    // With the scales of codes of a batch, or their correlations.
    assert_eq!(refused, ["nexus", "dccae", "dcca_ey"]);
}
