//! Inception's features against torchvision's, on the same weights.
//!
//! The weights of the network are 90 MB, so that both sides make them from the names of the
//! weights, and only features are recorded.

use std::{fs, path::Path};

use burn::tensor::Device;
use multivae_metrics::{Inception, MetricsError};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::Value;

use crate::recorded::floats;
use crate::recorded::{Agreement, number, numbers, recorded, tensor, unit};

/// A number of a name: FNV-1a of 32 bits.
fn weight_seed(name: &str) -> u64 {
    let mix = |number: u32, byte: u8| (number ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    name.bytes().fold(0x811C_9DC5, mix).into()
}

/// Writes the weights of `random_weights` of the generator, of the names and shapes that it has
/// recorded, and a last layer of some classes.
fn write_weights(path: &Path, classes: usize) {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, shape) in recorded("weights").as_object().expect("shapes by name") {
        let shape: Vec<usize> = numbers(shape).into_iter().map(|side| side as usize).collect();
        let values = unit(weight_seed(name), shape.iter().product());
        let fan_in: usize = shape[1..].iter().product();
        let value = |u: f64| match name.rsplit_once('.') {
            Some((_, "running_var")) => 0.5 + u,
            Some((unit, "weight")) if unit.ends_with("bn") => 0.5 + u,
            Some((_, "weight")) => (2.0 * u - 1.0) * (6.0 / fan_in as f64).sqrt(),
            _ => (2.0 * u - 1.0) * 0.1,
        };
        let bytes = values.flat_map(|u| (value(u) as f32).to_le_bytes()).collect();
        tensors.push((name.clone(), shape, bytes));
    }
    tensors.push(("fc.bias".to_owned(), vec![classes], vec![0; 4 * classes]));
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("whole");
        (name.clone(), view)
    });
    let bytes = safetensors::serialize(views, None).expect("tensors");
    fs::write(path, bytes).expect("a temporary folder");
}

fn features(path: &Path, count: usize, case: &Value) -> Vec<f64> {
    let [seed, channels, height, width] =
        ["seed", "channels", "height", "width"].map(|key| number(case, key));
    let pixels = unit(seed as u64, channels * height * width).collect();
    let inception = Inception::load(path, count, &Device::flex()).expect("all weights");
    floats(inception.forward(tensor(pixels, [1, channels, height, width])))
}

#[test]
fn recorded_features_are_those_of_torchvision() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, key, classes) in [
        ("Inception of torchvision", "torchvision", 1000),
        ("Inception of 2015", "published", 1008),
    ] {
        let path = folder.path().join(format!("{key}.safetensors"));
        write_weights(&path, classes);
        let mut agreement = Agreement::of(name);
        for case in recorded("inception").as_array().expect("a list") {
            agreement.see_scaled(&features(&path, 2048, case), &numbers(&case[key]));
        }
        agreement.show();
        if key == "published" {
            let mut agreement = Agreement::of("Inception of 2015, earlier blocks");
            let case = &recorded("inception")[0];
            for count in [64, 192, 768] {
                let found: Vec<f64> =
                    features(&path, count, case).into_iter().step_by(count / 64).collect();
                agreement.see_scaled(&found, &numbers(&case[count.to_string()]));
            }
            agreement.show();
        }
    }
}

#[test]
fn a_file_that_is_not_there_or_lacks_a_weight_is_an_error_that_names_it() {
    let error = |path: &Path, features| {
        let error = Inception::load(path, features, &Device::flex()).expect_err("no weights");
        error.to_string()
    };
    let found = error(Path::new("nowhere/inception.pth"), 2048);
    assert!(found.contains("`nowhere/inception.pth`"), "{found}");
    let found = error(Path::new("nowhere/inception.safetensors"), 2048);
    assert!(found.contains("`nowhere/inception.safetensors`"), "{found}");
    // Two weights, of which one has another shape than that of Inception.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/two.pth");
    let found = error(&path, 64);
    assert!(found.contains("`Conv2d_1a_3x3.bn.weight` has the shape [8]"), "{found}");
    let error = Inception::load(&path, 100, &Device::flex()).expect_err("no block has 100");
    assert!(matches!(error, MetricsError::Config { field: "features", .. }), "{error}");
}
