//! Runs that other programs follow.

use std::{
    fs,
    io::{self, Write},
    net::TcpListener,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::place::{Place, error};

const TRAIN: &str = "train --config small.toml --out run --track tensorboard";

/// The one event file of the run.
fn event_file(place: &Place) -> PathBuf {
    let entries = fs::read_dir(place.path("run/tensorboard")).expect("a folder");
    let files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().expect("one")
}

/// How often a tag was written.
fn count(place: &Place, tag: &str) -> usize {
    let bytes = fs::read(event_file(place)).expect("a file");
    bytes.windows(tag.len()).filter(|window| *window == tag.as_bytes()).count()
}

#[test]
fn an_event_file_has_every_epoch_once_however_often_the_run_goes_on() {
    let place = Place::new();
    place.succeeds(TRAIN);
    assert_eq!((count(&place, "train/loss"), count(&place, "valid/loss")), (2, 2));
    assert_eq!(count(&place, "latent/z"), 1);
    let config = fs::read_to_string(place.path("run/run.toml")).expect("it is there");
    assert!(config.contains(r#"track = ["tensorboard"]"#), "{config}");
    place.succeeds("train --resume run --epochs 5");
    assert_eq!((count(&place, "train/loss"), count(&place, "valid/loss")), (5, 5));
    place.succeeds("train --resume run");
    assert_eq!(count(&place, "train/loss"), 5);
}

#[test]
fn a_tracker_that_comes_late_is_told_of_all_that_was() {
    let place = Place::new();
    place.succeeds("train --config small.toml --out run");
    place.succeeds("train --resume run --epochs 3 --track tensorboard");
    assert_eq!(count(&place, "train/loss"), 3);
}

#[test]
fn a_run_that_was_killed_has_every_epoch_once() {
    let place = Place::new();
    let mut child = place.start(&format!("{TRAIN} --epochs 60"));
    let history = place.path("run/metrics.jsonl");
    let start = Instant::now();
    while fs::read_to_string(&history).map_or(0, |text| text.lines().count()) < 12 {
        assert!(child.try_wait().expect("a child").is_none(), "it runs");
        assert!(start.elapsed() < Duration::from_secs(120));
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("it still runs");
    child.wait().expect("a child");
    place.succeeds("train --resume run");
    assert_eq!((count(&place, "train/loss"), count(&place, "valid/loss")), (60, 60));
}

#[test]
fn a_server_out_of_reach_changes_nothing_about_the_run_but_a_warning() {
    let place = Place::new();
    place.succeeds("train --config small.toml --out plain");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let mut command = place.command("train --config small.toml --out run --track mlflow");
    command.env("MLFLOW_TRACKING_URI", format!("http://me:secret@{free}"));
    let output = command.output().expect("it starts");
    let message = error(&output);
    assert!(output.status.success(), "{message}");
    let said = |text: &str| message.matches(text).count();
    assert_eq!(said("mlflow cannot be told of the run"), 1, "{message}");
    assert_eq!(said("epochs 1 to 2 were not sent"), 1, "{message}");
    assert!(!message.contains("secret"), "{message}");
    let history = |run: &str| fs::read(place.path(run).join("metrics.jsonl")).expect("a history");
    assert_eq!(history("run"), history("plain"));
    assert!(place.left_over().is_empty());
}

#[test]
fn trackers_that_are_none_are_refused() {
    let place = Place::new();
    let arguments = |track: &str| format!("train --config small.toml --out run --track {track}");
    place.fails(&arguments("tensorboard,tensorboard"), 2, &["track", "each tracker once"]);
    place.fails(
        "train --config small.toml --out run --set train.track=[\"wandb\"]",
        2,
        &["wandb", "tensorboard", "mlflow"],
    );
}

#[test]
fn tensorboard_reads_what_a_run_has_written() {
    let installed = Command::new("python3").args(["-c", "import tensorboard"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        // Not captured as the output of tests is.
        let said = "NOT CHECKED: `python3` has no tensorboard to read the event file\n";
        io::stderr().write_all(said.as_bytes()).expect("it is open");
        return;
    }
    let place = Place::new();
    place.succeeds(TRAIN);
    place.succeeds("train --resume run --epochs 4");
    let script = "import json, sys\n\
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n\
        a = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'histograms': 0})\n\
        a.Reload()\n\
        s = {k: [[e.step, e.value] for e in a.Scalars(k)] for k in a.Tags()['scalars']}\n\
        h = {k: [[e.step, e.histogram_value.num] for e in a.Histograms(k)]\n\
        \x20    for k in a.Tags()['histograms']}\n\
        print(json.dumps([s, h, a.Tags()['tensors']]))\n";
    let output = Command::new("python3")
        .args(["-W", "ignore", "-c", script])
        .arg(place.path("run/tensorboard"))
        .output()
        .expect("it was started before");
    assert!(output.status.success(), "{}", error(&output));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = fs::read_to_string(place.path("run/metrics.jsonl")).expect("a history");
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let split = line["split"].as_str().expect("a word");
        for (term, value) in line["terms"].as_object().expect("terms") {
            let points = found[0][format!("{split}/{term}")].as_array().expect("a curve");
            let at: Vec<&Value> = points.iter().filter(|p| p[0] == line["epoch"]).collect();
            assert_eq!(at.len(), 1, "{split}/{term} at {}", line["epoch"]);
            let (found, value) = (at[0][1].as_f64(), value.as_f64());
            assert_eq!(found.map(|x| x as f32), value.map(|x| x as f32), "{split}/{term}");
        }
    }
    let rows = found[1]["latent/z"].as_array().expect("a histogram").len();
    assert!(rows >= 1, "{found}");
    assert!(found[2].as_array().expect("a list").contains(&"configuration/text_summary".into()));
}
