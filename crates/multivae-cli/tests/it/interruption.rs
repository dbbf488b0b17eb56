//! A run that is interrupted or killed and resumed is the run that never stopped.

use std::{
    fs,
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use burn::module::{ModuleVisitor, Param};
use multivae::{
    core::nn::Networks,
    models::{Model, ModelConfig},
    prelude::{Device, Module, Tensor},
    train::{Checkpoint, load_best},
};

use crate::place::{CONFIG, Place, error};

/// Long enough to be stopped on its way.
const LONG: &str = "train --config small.toml --epochs 60 --out run";

/// Weights below a path.
struct Values<'a> {
    prefix: &'a str,
    path: Vec<String>,
    found: Vec<f32>,
}

impl ModuleVisitor for Values<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.path.join(".").starts_with(self.prefix) {
            self.found.extend(param.val().into_data().iter::<f32>());
        }
    }
}

fn below(model: &Model, prefix: &str) -> Vec<f32> {
    let mut values = Values { prefix, path: Vec::new(), found: Vec::new() };
    model.visit(&mut values);
    assert!(!values.found.is_empty(), "there is nothing below `{prefix}`");
    values.found
}

/// The newest checkpoint, and a model of its kind.
fn newest(place: &Place) -> (Checkpoint, Model) {
    let text = fs::read_to_string(place.path("run/run.toml")).expect("a configuration");
    let table: toml::Table = toml::from_str(&text).expect("TOML");
    let config: ModelConfig = table["model"].clone().try_into().expect("a model");
    let model = config.init(&Networks::default(), &Device::flex()).expect("valid");
    let newest = Checkpoint::newest(&place.path("run")).expect("intact");
    (newest.expect("there is one"), model)
}

/// All weights of the newest checkpoint.
fn weights(place: &Place) -> Vec<f32> {
    let (newest, model) = newest(place);
    below(&newest.model(model).expect("the same model"), "")
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
    // What is best so far can be used at once.
    place.succeeds("encode run/bundle --data data --out from_bundle.npz");
    place.succeeds("encode run --data data --out from_run.npz");
    let file = |name: &str| fs::read(place.path(name)).expect("an encoding");
    assert_eq!(file("from_bundle.npz"), file("from_run.npz"));

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

/// A kill may come between the last epoch and the bundle of it.
#[test]
fn the_bundle_of_an_earlier_end_is_replaced_by_that_of_the_last_epoch() {
    let place = Place::new();
    place.succeeds("train --config small.toml --epochs 2 --out run");
    place.succeeds("export run --out early");
    place.succeeds("train --resume run --epochs 30");
    let weights = |folder: &str| {
        fs::read(place.path(&format!("{folder}/model.safetensors"))).expect("a bundle")
    };
    let last = weights("run/bundle");
    assert_ne!(weights("early"), last);
    fs::remove_dir_all(place.path("run/bundle")).expect("a folder");
    fs::rename(place.path("early"), place.path("run/bundle")).expect("the same disk");
    place.succeeds("train --resume run");
    assert_eq!(weights("run/bundle"), last);
}

/// A kill may come between a checkpoint and the removal of those that it makes superfluous.
#[test]
fn checkpoints_that_are_no_longer_kept_are_removed_when_a_run_goes_on() {
    let place = Place::new();
    place.succeeds("train --config small.toml --epochs 9 --set train.keep_last=1 --out run");
    let before = place.content();
    let folder = place.path("run/checkpoints");
    fs::copy(folder.join("epoch-9.ckpt"), folder.join("epoch-1.ckpt")).expect("a copy");
    place.succeeds("train --resume run");
    assert_eq!(place.content(), before);
}

/// A kill may come between the checkpoint of an epoch and the picture of it.
#[test]
fn the_picture_of_the_newest_checkpoint_is_made_up_for() {
    let place = Place::new();
    let settings = "--set data.rows=40 --set model.latent=2 --set output.pictures_every=2";
    place.succeeds(&format!(
        "train --model mvae --data mnist-labels --epochs 3 {settings} --out run"
    ));
    let picture = |epoch: usize| place.path(&format!("run/pictures/epoch-{epoch}.png"));
    fs::remove_file(picture(3)).expect("the last epoch has a picture");
    place.succeeds("train --resume run --epochs 4");
    assert!(!picture(3).exists(), "no picture is due there any more");
    let whole = fs::read(picture(4)).expect("a picture");
    fs::remove_file(picture(4)).expect("a picture");
    place.succeeds("train --resume run");
    assert_eq!(fs::read(picture(4)).expect("made up for"), whole);
}

#[test]
fn data_that_changed_since_is_noticed() {
    let place = Place::new();
    place.succeeds("train --config small.toml --epochs 2 --out run");
    let text = fs::read_to_string(place.path("data/gait.csv")).expect("a table");
    place.file("data/gait.csv", text.replace(",0.", ",9."));
    place.fails("train --resume run --epochs 4", 2, &["data", "has changed"]);
}

/// A place whose configuration is of a model with two stages, the second after 20 epochs.
fn staged(model: &str) -> Place {
    let place = Place::new();
    let model = format!("name = \"{model}\"\njoint_epochs = 20");
    place.file("small.toml", CONFIG.replace("name = \"mopoe\"", &model));
    place
}

#[test]
fn a_run_killed_in_its_second_stage_resumes_to_the_same_weights() {
    let unbroken = staged("telbo");
    unbroken.succeeds(LONG);
    let place = staged("telbo");
    let mut child = place.start(LONG);
    // Two lines an epoch: the second stage is on its way.
    wait_for(&place.path("run/metrics.jsonl"), 61, &mut child);
    child.kill().expect("it still runs");
    child.wait().expect("a child");
    place.succeeds("train --resume run");
    assert_eq!(outcome(&place), outcome(&unbroken));
    assert_eq!(place.left_over(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn the_second_stage_trains_what_is_unimodal_and_nothing_else() {
    for (name, unimodal) in [("telbo", vec!["encoders"]), ("jnf", vec!["encoders", "flows"])] {
        let place = staged(name);
        place.succeeds("train --config small.toml --epochs 21 --set train.keep_last=30 --out run");
        let run = place.path("run");
        let (newest, model) = newest(&place);
        let of = |checkpoint: Checkpoint| checkpoint.model(model.clone()).expect("the same model");
        let at = |epoch: usize| {
            let path = run.join(format!("checkpoints/epoch-{epoch}.ckpt"));
            Checkpoint::read(&path).expect("intact")
        };
        let start = of(at(at(20).best().expect("the best of the first stage")));
        let best = load_best(&run, model.clone()).expect("the same model");
        let last = of(newest);
        for still in ["joint_encoder", "decoders"] {
            assert_eq!(below(&last, still), below(&start, still), "{name}: {still}");
            assert_eq!(below(&best, still), below(&start, still), "{name}: {still}");
        }
        // The model that a run is worth has learned in both stages.
        for learns in unimodal {
            assert_ne!(below(&best, learns), below(&start, learns), "{name}: {learns}");
        }
    }
}
