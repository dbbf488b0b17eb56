//! The folder of a run that an earlier program has written; `multivae-run` has it among its tests.

use std::{fs, path::Path};

use crate::place::Place;

/// A place with a copy of the run as `run`.
fn with_earlier_run() -> Place {
    let place = Place::new();
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("../multivae-run/tests/it/assets/run-1");
    let files = ["run.toml", "standardisation.json", "metrics.jsonl", "checkpoints/epoch-2.ckpt"];
    for name in files {
        place.file(&format!("run/{name}"), fs::read(run.join(name)).expect("an asset"));
    }
    place
}

#[test]
fn an_earlier_run_is_evaluated_as_it_was() {
    let place = with_earlier_run();
    let text = place.succeeds("evaluate run");
    let line = text.lines().find(|line| line.starts_with("elbo")).expect("a bound");
    let mut words = line.split_whitespace().skip(1);
    assert_eq!(words.next(), Some("20"), "{line}");
    let bound: f64 = words.next().and_then(|word| word.parse().ok()).expect("a number");
    assert!((bound + 1016.1171).abs() < 1e-2, "{line}");
}

#[test]
fn an_earlier_run_goes_on_as_it_would_have() {
    let place = with_earlier_run();
    let text = place.succeeds("train --resume run --epochs 3");
    assert!(text.contains("the best is 3 with a valid loss of 1953.62"), "{text}");
    assert!(place.path("run/bundle/model.safetensors").is_file());
}

#[test]
fn an_earlier_run_that_is_finished_gets_its_bundle() {
    let place = with_earlier_run();
    let text = place.succeeds("train --resume run");
    assert!(text.contains("`run` is finished: 2 epochs"), "{text}");
    place.succeeds("encode run --out z.npz");
    place.succeeds("encode run/bundle --data mfeat --out all.npz");
}

#[test]
fn what_version_0_2_has_written_is_used_as_it_is() {
    let place = Place::new();
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("../multivae-run/tests/it/assets/run-0.2");
    for name in ["blood.csv", "gait.csv"] {
        place.file(&format!("ward/{name}"), fs::read(run.join("data").join(name)).expect("it"));
    }
    let names = ["run.toml", "standardisation.json", "data.json", "metrics.jsonl"];
    for name in names.into_iter().chain(["checkpoints/epoch-2.ckpt"]) {
        place.file(&format!("run/{name}"), fs::read(run.join(name)).expect("an asset"));
    }
    let sampler = "sampler.safetensors";
    let bytes = fs::read(run.join("sampler").join(sampler)).expect("an asset");
    place.file(&format!("run/samplers/gmm/{sampler}"), bytes);
    place.succeeds("encode run --data ward --out z.csv");
    let text = fs::read_to_string(place.path("z.csv")).expect("written");
    let row = text.lines().nth(1).expect("a row");
    let values: Vec<f64> = row.split(',').skip(1).map(|cell| cell.parse().expect("it")).collect();
    assert!(row.starts_with("p00,") && (values[0] + 0.026_960_693).abs() < 1e-5, "{row}");
    place.succeeds("sampler sample run --kind gmm -n 3 --out sampled.npz");
    // It goes on with data that has moved.
    let text = place.succeeds("train --resume run --data ward --epochs 3");
    assert!(text.contains("`run`: 3 epochs"), "{text}");
}
