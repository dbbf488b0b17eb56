//! Running statistics of batch normalisation, read and compared as those of a recorded case.
//!
//! The convention is torch's: a batch has weight 0.1, and its variance, divided by `n - 1`, goes
//! into the running one as well as into the normalisation. Burn's own layer has the same weight,
//! but normalises by the variance divided by `n`.

use burn::tensor::Device;
use serde_json::json;

use crate::{
    parity::{Array, Call, Case, Expected, Outcome, run},
    reference::cases,
};

const CALL: &str = "statistics";
const MOMENTUM: f64 = 0.1;
/// Where the statistics start.
const BEFORE: [f64; 2] = [0.5, 2.0];

/// A case whose flows have batch normalisations, and whose statistics after a call follow from the
/// noise alone: the joint posterior is standard normal, and the blocks of the flows are identities.
/// `spread` is the variance of values, given with their mean.
fn case(momentum: f64, spread: fn(&[f64], f64) -> f64) -> Case {
    let files = &cases()["jnf_default"];
    let mut case = Case::new(
        &files["case.json"],
        &files["weights.safetensors"],
        &files["tensors.safetensors"],
    )
    .unwrap_or_else(|problem| panic!("{problem}"));
    let rows = case.description.batch;
    let second_stage =
        |call: &&Call| call.call == "forward" && call.mode == "train" && call.kwargs["epoch"] == 11;
    let call = case.description.calls.iter().find(second_stage).cloned();
    let mut call = call.expect("a call of the second stage");
    let draw = call.noise.first().expect("the joint draw").clone();
    let noise = case.noise(&draw).unwrap_or_else(|problem| panic!("{problem}"));
    let latent = noise.len() / rows;

    for (name, array) in &mut case.weights {
        let flat = name.starts_with("joint_encoder.fc") || name.starts_with("flows.");
        if flat && !name.ends_with("mask") {
            array.values.fill(0.0);
        }
    }
    case.description.calls.clear();
    call.id = CALL.into();
    call.expected = Expected::default();
    call.tolerance.tensor =
        Some(serde_json::from_value(json!({ "rtol": 1e-5, "atol": 1e-6 })).expect("bounds"));
    let names: Vec<String> = case.description.modalities.iter().map(|m| m.name.clone()).collect();
    for name in names {
        let flow = &mut case.description.arch["flows"][&name];
        flow["include_batch_norm"] = json!(true);
        let blocks = flow["n_made_blocks"].as_u64().expect("a count") as usize;
        // Blocks and batch normalisations take turns.
        for block in (1..blocks).rev() {
            let prefix = format!("flows.{name}.net.{block}.");
            let moved: Vec<String> =
                case.weights.keys().filter(|n| n.starts_with(&prefix)).cloned().collect();
            for old in moved {
                let array = case.weights.remove(&old).expect("listed");
                let rest = &old[prefix.len()..];
                case.weights.insert(format!("flows.{name}.net.{}.{rest}", 2 * block), array);
            }
        }
        // Each entry reverses the features, so that a normalisation sees them reversed.
        let mut columns: Vec<Vec<f64>> = (0..latent)
            .rev()
            .map(|i| noise.chunks(latent).map(|row| f64::from(row[i])).collect())
            .collect();
        for block in 0..blocks {
            let place = format!("flows.{name}.net.{}", 2 * block + 1);
            let [mut means, mut variances] = [Vec::new(), Vec::new()];
            for column in &mut columns {
                let mean = column.iter().sum::<f64>() / rows as f64;
                let mix = |before, now| ((1.0 - momentum) * before + momentum * now) as f32;
                means.push(mix(BEFORE[0], mean));
                variances.push(mix(BEFORE[1], spread(column, mean)));
                let deviation = (unbiased(column, mean) + 1e-5).sqrt();
                column.iter_mut().for_each(|x| *x = (*x - mean) / deviation);
            }
            let vector = |values: Vec<f32>| Array { shape: vec![latent], values };
            for (key, value) in [
                ("log_gamma", 0.0),
                ("beta", 0.0),
                ("running_mean", BEFORE[0]),
                ("running_var", BEFORE[1]),
            ] {
                let start = vector(vec![value as f32; latent]);
                case.weights.insert(format!("{place}.{key}"), start);
            }
            for (key, values) in [("running_mean", means), ("running_var", variances)] {
                let name = format!("expected.{CALL}.buffer.{place}.{key}");
                case.tensors.insert(name.clone(), vector(values));
                call.expected.tensors.push(name);
            }
        }
    }
    case.description.calls.push(call);
    case
}

fn unbiased(values: &[f64], mean: f64) -> f64 {
    biased(values, mean) * values.len() as f64 / (values.len() - 1) as f64
}

fn biased(values: &[f64], mean: f64) -> f64 {
    values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64
}

fn outcome(momentum: f64, spread: fn(&[f64], f64) -> f64) -> Outcome {
    run(&case(momentum, spread), &Device::flex()).unwrap_or_else(|problem| panic!("{problem}"))
}

#[test]
fn running_statistics_after_a_call_equal_the_closed_form() {
    let outcome = outcome(MOMENTUM, unbiased);
    assert!(outcome.failures.is_empty() && outcome.todo.is_empty(), "{outcome:#?}");
    assert!(outcome.compared > 0, "nothing was compared");
}

#[test]
fn wrong_statistics_make_the_comparison_fail() {
    let variances = outcome(MOMENTUM, biased);
    let half = variances.compared / 2;
    assert_eq!(variances.failures.len(), half, "{variances:#?}");
    let momentum = outcome(1.0 - MOMENTUM, unbiased);
    assert_eq!(momentum.failures.len(), momentum.compared, "{momentum:#?}");
}
