//! A run that is interrupted or killed and resumed is the run that never stopped.

use std::{
    fs,
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use multivae::{
    core::nn::Networks,
    models::ModelConfig,
    prelude::{Device, Module, Tensor},
    train::Checkpoint,
};

use crate::place::{Place, error};

/// Long enough to be stopped on its way.
const LONG: &str = "train --config small.toml --epochs 60 --out run";

/// All weights of the newest checkpoint.
fn weights(place: &Place) -> Vec<f32> {
    #[derive(Default)]
    struct Values(Vec<f32>);
    impl burn::module::ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>());
        }
    }
    let text = fs::read_to_string(place.path("run/run.toml")).expect("a configuration");
    let table: toml::Table = toml::from_str(&text).expect("TOML");
    let config: ModelConfig = table["model"].clone().try_into().expect("a model");
    let model = config.init(&Networks::default(), &Device::flex()).expect("valid");
    let newest = Checkpoint::newest(&place.path("run")).expect("intact");
    let model = newest.expect("there is one").model(model).expect("the same model");
    let mut values = Values::default();
    model.visit(&mut values);
    values.0
}

/// What must be equal: history, best weights as seen through an encoding, last weights.
fn outcome(place: &Place) -> (String, Vec<u8>, Vec<f32>) {
    place.succeeds("encode run --out z.npz");
    let history = fs::read_to_string(place.path("run/metrics.jsonl")).expect("a history");
    (history, fs::read(place.path("z.npz")).expect("an encoding"), weights(place))
}

fn unbroken() -> (String, Vec<u8>, Vec<f32>) {
    let place = Place::new();
    place.succeeds(LONG);
    outcome(&place)
}

/// Waits until the file has so many lines.
fn wait_for(path: &Path, lines: usize, child: &mut Child) {
    let start = Instant::now();
    loop {
        let found = fs::read_to_string(path).map_or(0, |text| text.lines().count());
        let ended = child.try_wait().expect("a child").is_some();
        if found >= lines {
            return;
        }
        assert!(!ended, "the run has ended after {found} of {lines} lines");
        assert!(start.elapsed() < Duration::from_secs(120), "{found} of {lines} lines");
        thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_exits_with_130_and_resumes_to_the_same_weights() {
    let place = Place::new();
    let mut child = place.start(LONG);
    wait_for(&place.path("run/metrics.jsonl"), 9, &mut child);
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("the command is there").success());
    let output = child.wait_with_output().expect("a child");
    let message = error(&output);
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(message.contains("--resume run"), "{message}");
    assert_eq!(place.left_over(), Vec::<std::path::PathBuf>::new());

    let finished = place.succeeds("train --resume run");
    assert!(finished.contains("60 epochs"), "{finished}");
    assert_eq!(outcome(&place), unbroken());
}

#[test]
fn a_run_killed_at_any_moment_resumes_to_the_same_weights() {
    let expected = unbroken();
    // At the very start, and at several moments later that no epoch's end is bound to.
    for (lines, delay) in [(0, 0), (3, 1), (20, 3), (51, 7)] {
        let place = Place::new();
        let mut child = place.start(LONG);
        wait_for(&place.path("run/run.toml"), 1, &mut child);
        wait_for(&place.path("run/metrics.jsonl"), lines, &mut child);
        thread::sleep(Duration::from_millis(delay));
        child.kill().expect("it still runs");
        child.wait().expect("a child");
        place.succeeds("train --resume run");
        assert_eq!(outcome(&place), expected, "killed after {lines} lines and {delay} ms");
        assert_eq!(place.left_over(), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn a_finished_run_says_so_and_goes_on_with_more_epochs() {
    let place = Place::new();
    place.succeeds("train --config small.toml --epochs 2 --out run");
    let before = place.content();
    let text = place.succeeds("train --resume run");
    assert!(text.contains("`run` is finished: 2 epochs"), "{text}");
    assert_eq!(place.content(), before);
    let text = place.succeeds("train --resume run --epochs 4");
    assert!(text.contains("epoch 4/4") && !text.contains("epoch 2/4"), "{text}");
    let text = place.succeeds("train --resume run");
    assert!(text.contains("`run` is finished: 4 epochs"), "{text}");
}

#[test]
fn data_that_changed_since_is_noticed() {
    let place = Place::new();
    place.succeeds("train --config small.toml --epochs 2 --out run");
    let text = fs::read_to_string(place.path("data/gait.csv")).expect("a table");
    place.file("data/gait.csv", text.replace(",0.", ",9."));
    place.fails("train --resume run --epochs 4", 2, &["data", "has changed"]);
}
