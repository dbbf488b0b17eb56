//! A few steps from the same weights, on the same rows, with the same noise.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Device, Tensor},
};
use multivae::{
    core::module::init_parameters,
    data::{MemoryDataset, Storage},
    device::{self, BACKENDS},
    prelude::*,
    train::{
        ClipConfig, ClipNorm, OptimizerConfig, Sgd, Split, TrainConfig, TrainError, latest_intact,
    },
};

/// One of each family: product of experts with images, mixture, stratified mixture with private
/// spaces, flows in two stages, hierarchy.
const FAMILIES: &[&str] = &["mopoe", "mmvae", "mmvae_plus", "jnf", "mhvae"];

/// The drivers that SwiftShader and others are named by; without one a GPU backend has nothing to run on.
const DRIVERS: &str = "VK_DRIVER_FILES";

/// Held by each test while it runs: Burn's generator, from which first weights come and which
/// training seeds, belongs to the process.
static GENERATOR: Mutex<()> = Mutex::new(());

/// Rows of a table, an image and a label, from formulas.
fn rows(count: usize, shift: usize) -> MemoryDataset {
    let likelihood = Likelihood::laplace(0.75);
    let specs = [("table", vec![5]), ("image", vec![1, 8, 8]), ("other", vec![4])];
    let modalities = specs.into_iter().enumerate().map(|(m, (name, shape))| {
        let spec = ModalitySpec::new(name, &shape).expect("valid");
        let spec = if m == 0 { spec.with_likelihood(likelihood.clone()) } else { spec };
        let values = 0..count * spec.features();
        let value = |i: usize| 0.5 + 0.5 * ((i + 7 * shift) as f32 * 0.37 + m as f32).sin();
        (spec, Storage::Floats(values.map(value).collect()))
    });
    MemoryDataset::new(modalities.collect()).expect("one size")
}

fn model(name: &str) -> Model {
    let config = ModelConfig::named(name).expect("a model of the list");
    let mut value = serde_json::to_value(config).expect("plain data");
    if name == "jnf" {
        value["joint_epochs"] = serde_json::json!(1);
    }
    let config: ModelConfig = serde_json::from_value(value).expect("fields of the model");
    let config = config.with_modalities(rows(1, 0).modalities()).expect("the data suits");
    let device = Device::flex();
    device.seed(3);
    init_parameters(config.init(&Networks::default(), &device).expect("a model"))
}

fn config() -> TrainConfig {
    TrainConfig { epochs: 2, batch_size: 8, seed: 5, ..TrainConfig::default() }
}

fn fit(
    config: TrainConfig,
    model: Model,
    devices: Vec<Device>,
    folder: &Path,
) -> Result<Fitted<Model>, TrainError> {
    let (train, valid) = (Arc::new(rows(20, 0)), Arc::new(rows(6, 1)));
    Trainer::new(config, folder).devices(devices).fit(model, train, valid)
}

fn train(model: Model, devices: Vec<Device>, folder: &Path) -> (Vec<f64>, Vec<f32>) {
    outcome(&fit(config(), model, devices, folder).expect("trains"))
}

/// Loss by epoch, and weights, after a run.
fn outcome(fitted: &Fitted<Model>) -> (Vec<f64>, Vec<f32>) {
    let losses = (1..=2).map(|epoch| {
        [Split::Train, Split::Valid]
            .map(|split| fitted.history.get(epoch, split, "loss").expect("every epoch is measured"))
    });
    (losses.flatten().collect(), weights(&fitted.last))
}

fn weights(model: &Model) -> Vec<f32> {
    struct Read(Vec<f32>);
    impl ModuleVisitor for Read {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let values = param.val().into_data().try_into_vec::<f32>();
            self.0.extend(values.expect("floats"));
        }
    }
    let mut read = Read(Vec::new());
    model.visit(&mut read);
    read.0
}

/// Largest difference.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

/// Backends other than the default one that can run here.
fn others() -> Vec<&'static str> {
    let here = |name: &str| name != "wgpu" || std::env::var_os(DRIVERS).is_some();
    let built = BACKENDS.iter().filter(|b| b.built && b.name != "flex" && b.name != "remote");
    let names: Vec<&str> = built.map(|b| b.name).filter(|name| here(name)).collect();
    assert!(!names.is_empty(), "no other backend to compare with");
    names
}

/// Values that are read while the next step is on its way still end the run before a checkpoint.
#[test]
fn a_run_that_diverges_ends_on_every_backend() {
    let _alone = GENERATOR.lock();
    let sgd = Sgd { learning_rate: 1e30, ..Sgd::default() };
    for name in others() {
        let device = device::open(Some(name)).expect("a device");
        let folder = tempfile::tempdir().expect("a folder");
        let config = TrainConfig { optimizer: OptimizerConfig::Sgd(sgd.clone()), ..config() };
        let error = fit(config, model("mopoe"), vec![device], folder.path());
        let error = error.err().expect("weights of 1e30 give no loss");
        let TrainError::NotFinite { epoch: 1, step: 2, .. } = error else {
            panic!("{name}: {error}");
        };
        let checkpoint = latest_intact(folder.path()).expect("a folder");
        assert_eq!(checkpoint, None, "{name}");
    }
}

/// The norm stays on a device whose values are read later.
#[test]
fn gradients_are_clipped_alike_on_every_backend() {
    let _alone = GENERATOR.lock();
    let folder = tempfile::tempdir().expect("a folder");
    let steps = |max: f64, device: Device, name: &str| {
        let config = TrainConfig {
            optimizer: OptimizerConfig::Sgd(Sgd { learning_rate: 0.01, ..Sgd::default() }),
            clip: ClipConfig::Norm(ClipNorm { max }),
            ..config()
        };
        let fitted = fit(config, model("mopoe"), vec![device], &folder.path().join(name));
        weights(&fitted.expect("trains").last)
    };
    let clipped = steps(1.0, Device::flex(), "flex");
    let free = steps(1e6, Device::flex(), "free");
    assert!(distance(&clipped, &free) > 1e-3, "nothing to clip");
    for name in others() {
        let found = steps(1.0, device::open(Some(name)).expect("a device"), name);
        let off = distance(&found, &clipped);
        assert!(off < 1e-5, "{name}: weights differ by {off}");
    }
}

#[test]
fn every_backend_makes_the_steps_of_the_default_one() {
    let _alone = GENERATOR.lock();
    let names = others();
    let folder = tempfile::tempdir().expect("a folder");
    let mut expected = BTreeMap::new();
    for family in FAMILIES {
        let own = folder.path().join(format!("{family}-flex"));
        expected.insert(family, train(model(family), vec![Device::flex()], &own));
    }
    for name in names {
        let device = device::open(Some(name)).expect("a device");
        for (family, (losses, weights)) in &expected {
            let own = folder.path().join(format!("{family}-{name}"));
            let (found, moved) = train(model(family), vec![device.clone()], &own);
            for (found, expected) in found.iter().zip(losses) {
                let off = (found - expected).abs() / expected.abs();
                assert!(off < 1e-4, "{family} on {name}: {found}, on flex {expected}");
            }
            // Adam divides by the gradient's size: where that is about zero, signs may differ.
            let off = distance(&moved, weights);
            assert!(off < 1e-2, "{family} on {name}: weights differ by {off}");
        }
    }
}

/// A device that another thread lends over loopback.
fn lent() -> Device {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    thread::spawn(move || device::serve(Device::flex(), port));
    let name = format!("remote:ws://127.0.0.1:{port}");
    for _ in 0..100 {
        match device::open(Some(&name)) {
            Ok(device) => return device,
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
    panic!("`{name}` does not answer");
}

#[test]
fn two_remote_devices_make_the_steps_of_one_with_the_whole_batch() {
    let _alone = GENERATOR.lock();
    let folder = tempfile::tempdir().expect("a folder");
    // Not Adam: it divides by the gradient's size, so that where that is about zero a rounding of the
    // sum over devices decides the sign of a whole step.
    let steps = |devices: Vec<Device>, name: &str| {
        let sgd = Sgd { learning_rate: 0.01, ..Sgd::default() };
        let config = TrainConfig {
            optimizer: OptimizerConfig::Sgd(sgd),
            clip: ClipConfig::Norm(ClipNorm { max: 1.0 }),
            ..config()
        };
        let fitted = fit(config, model("mopoe"), devices, &folder.path().join(name));
        outcome(&fitted.expect("trains"))
    };
    let (losses, one) = steps(vec![Device::flex()], "one");
    let (found, two) = steps(vec![lent(), lent()], "two");
    for (found, expected) in found.iter().zip(&losses) {
        let off = (found - expected).abs() / expected.abs();
        assert!(off < 1e-5, "{found}, on one device {expected}");
    }
    let moved = distance(&one, &weights(&model("mopoe")));
    let off = distance(&two, &one);
    assert!(off < 1e-3 * moved, "weights differ by {off}, and moved by {moved}");
}
