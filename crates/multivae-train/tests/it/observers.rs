//! What a run tells while it goes on.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use burn::tensor::Device;
use multivae_core::{dataset::Dataset, model::Learn, noise::Noise};
use multivae_train::{
    Artifact, EpochSummary, JsonLines, Observed, Observer, RunEnd, RunInfo, Split, StepInfo,
    Stopped, TrainConfig, Trainer,
};
use serde_json::{Map, Value};

use crate::kit::{Kind, Tiny, VALID, checkpoints, config, data, metrics, tiny, weights};

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn write(&self, line: String) -> Observed {
        self.0.lock().expect("not poisoned").push(line);
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("not poisoned").clone()
    }
}

impl Observer for Diary {
    fn run_started(&mut self, run: &RunInfo) -> Observed {
        assert_eq!((run.modalities.join(" "), run.seed), ("a b".to_owned(), 3));
        let batch_size = &run.configuration["train"]["batch_size"];
        let model = &run.configuration["model"];
        self.write(format!("run {} of {}: {batch_size} {model}", run.epochs_done, run.epochs))
    }

    fn epoch_started(&mut self, epoch: usize, epochs: usize) -> Observed {
        self.write(format!("start {epoch} of {epochs}"))
    }

    fn step(&mut self, step: &StepInfo<'_>) -> Observed {
        assert_eq!(step.terms.len(), step.values.len());
        let sum: f64 = step.values[1..].iter().sum();
        assert!((sum - step.values[0]).abs() < 1e-4 && step.terms[0] == "loss");
        self.write(format!("step {} of {}: {} rows", step.step, step.phase, step.rows))
    }

    fn progress(&mut self, split: Split, done: usize, rows: usize) -> Observed {
        self.write(format!("{split} {done} of {rows}"))
    }

    fn epoch_finished(&mut self, summary: &EpochSummary) -> Observed {
        let EpochSummary { epoch, train, valid, rate, train_seconds, seconds, .. } = summary;
        assert!(0.0 < *train_seconds && train_seconds < seconds && rate.is_some());
        self.write(format!("end {epoch}: {} and {} terms", train.len(), valid.len()))
    }

    fn artifact(&mut self, path: &Path, kind: Artifact) -> Observed {
        assert!(path.exists());
        let name = path.file_name().ok_or("no name")?.to_string_lossy().into_owned();
        self.write(format!("{kind:?} {name}"))
    }

    fn run_ended(&mut self, end: &RunEnd<'_>) -> Observed {
        match end {
            RunEnd::Failed(error) => self.write(format!("failed: {error}")),
            RunEnd::Stopped { why, epochs, .. } => self.write(format!("{why:?} after {epochs}")),
            _ => self.write("ended".into()),
        }
    }
}

#[test]
fn an_observer_is_told_of_run_epochs_steps_and_rows_in_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let diary = Diary::default();
    let config = TrainConfig { epochs: 2, batch_size: 21, evaluate_every: 2, ..config() };
    Trainer::new(config, dir.path())
        .configuration(Map::from_iter([("model".to_owned(), Value::from("tiny"))]))
        .observe(Box::new(diary.clone()))
        .fit(tiny(7), train, valid)
        .expect("trains");
    let lines = diary.lines();
    // Steps and checkpoints come on threads of their own.
    let on_other_threads =
        |line: &&String| ["step", "Checkpoint"].iter().any(|word| line.starts_with(word));
    let told: Vec<&String> = lines.iter().filter(|line| !on_other_threads(line)).collect();
    let expected = [
        "run 0 of 2: 21 \"tiny\"",
        "start 1 of 2",
        "train 21 of 42",
        "train 42 of 42",
        "valid 0 of 12",
        "end 1: 4 and 0 terms",
        "start 2 of 2",
        "train 21 of 42",
        "train 42 of 42",
        "valid 0 of 12",
        "valid 12 of 12",
        "end 2: 4 and 4 terms",
        "Metrics metrics.jsonl",
        "Finished after 2",
    ];
    assert_eq!(told, expected);
    let mut others: Vec<&String> = lines.iter().filter(on_other_threads).collect();
    others.sort();
    let expected = [
        "Checkpoint epoch-1.ckpt",
        "Checkpoint epoch-2.ckpt",
        "step 1 of training: 21 rows",
        "step 1 of training: 21 rows",
        "step 2 of training: 21 rows",
        "step 2 of training: 21 rows",
    ];
    assert_eq!(others, expected);
}

/// Fails or panics when an epoch begins.
struct Broken {
    panics: bool,
    calls: Arc<Mutex<usize>>,
}

impl Observer for Broken {
    fn epoch_started(&mut self, _: usize, _: usize) -> Observed {
        *self.calls.lock().expect("not poisoned") += 1;
        if self.panics { panic!("no disk") } else { Err("no disk".into()) }
    }
}

#[test]
fn an_observer_that_fails_is_dropped_and_changes_nothing() {
    let (plain, watched) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (train, valid) = data();
    let expected = Trainer::new(config(), plain.path())
        .fit(tiny(7), train.clone(), valid.clone())
        .expect("trains");
    let diary = Diary::default();
    let calls: [Arc<Mutex<usize>>; 2] = Default::default();
    let fitted = Trainer::new(config(), watched.path())
        .observe(Box::new(Broken { panics: false, calls: calls[0].clone() }))
        .observe(Box::new(Broken { panics: true, calls: calls[1].clone() }))
        .observe(Box::new(diary.clone()))
        .fit(tiny(7), train, valid)
        .expect("trains");
    assert_eq!(weights(&fitted.last, ""), weights(&expected.last, ""));
    assert_eq!(metrics(watched.path()), metrics(plain.path()));
    assert!(calls.iter().all(|calls| *calls.lock().expect("not poisoned") == 1));
    assert_eq!(diary.lines().iter().filter(|line| line.starts_with("end")).count(), 6);
}

#[test]
fn an_observer_is_told_how_a_run_has_failed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let diary = Diary::default();
    Trainer::new(config(), dir.path())
        .observe(Box::new(diary.clone()))
        .fit(tiny(7).with_fault((2, 1), Kind::Panic), train, valid)
        .expect_err("panics");
    let last = diary.lines().pop();
    assert_eq!(last.as_deref(), Some("failed: training panicked: the model is broken"));
}

/// A buffer that several hold.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_run_can_be_followed_as_json_lines() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let (epochs, steps) = (Shared::default(), Shared::default());
    let fitted = Trainer::new(config(), dir.path())
        .observe(Box::new(JsonLines::new(epochs.clone())))
        .observe(Box::new(JsonLines::new(steps.clone()).steps()))
        .fit(tiny(7), train, valid)
        .expect("trains");
    let lines = |shared: &Shared| -> Vec<Value> {
        let bytes = shared.0.lock().expect("not poisoned").clone();
        let text = String::from_utf8(bytes).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let of = |lines: &[Value], event: &str| -> Vec<Value> {
        lines.iter().filter(|line| line["event"] == event).cloned().collect()
    };
    let plain = lines(&epochs);
    assert_eq!(plain[0]["event"], "run_started");
    assert_eq!(plain[0]["configuration"]["train"]["optimizer"]["name"], "adam");
    let ends = of(&plain, "epoch");
    assert_eq!(ends.len(), 6);
    let loss = fitted.history.get(4, Split::Valid, "loss");
    assert_eq!(ends[3]["valid"]["loss"].as_f64(), loss);
    let end = plain.last().expect("lines");
    assert_eq!((&end["event"], &end["stopped"]), (&"run_ended".into(), &"finished".into()));
    assert_eq!(fitted.stopped, Stopped::Finished);
    assert!(of(&plain, "step").is_empty());
    let every = lines(&steps);
    assert_eq!(of(&every, "step").len(), 36);
    assert!(of(&every, "step")[7]["terms"]["kl"].is_f64());
}

#[test]
fn epochs_are_validated_and_written_as_often_as_asked() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let config =
        TrainConfig { epochs: 7, evaluate_every: 3, checkpoint_every: 4, keep_last: 9, ..config() };
    let fitted = Trainer::new(config, dir.path()).fit(tiny(7), train, valid).expect("trains");
    let validated: Vec<usize> =
        (1..=7).filter(|&e| fitted.history.get(e, Split::Valid, "loss").is_some()).collect();
    assert_eq!(validated, [3, 6, 7]);
    let mut expected = vec![4, 7];
    // Each best epoch so far is written too.
    let losses = |e: usize| fitted.history.get(e, Split::Valid, "loss").expect("measured");
    expected.extend([3, 6].iter().filter(|&&e| (3..e).step_by(3).all(|f| losses(e) < losses(f))));
    expected.sort_unstable();
    let expected: Vec<String> = expected.iter().map(|e| format!("epoch-{e}.ckpt")).collect();
    assert_eq!(checkpoints(dir.path()), expected);
}

#[test]
fn a_callback_is_given_the_model_that_was_validated() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let rows = valid.clone();
    let epochs = Arc::new(Mutex::new(Vec::new()));
    let seen = epochs.clone();
    Trainer::new(config(), dir.path())
        .on_epoch(move |model: &Tiny, epoch, history| {
            let order: Vec<usize> = (0..VALID).collect();
            let (mut sum, mut at) = (0.0, 0);
            for (step, rows_of) in order.chunks(8).enumerate() {
                let mut batch = rows.batch(rows_of, &Device::flex())?;
                batch.key.seed = 3;
                batch.key.step = step as u64;
                let loss = model.loss(&batch, &mut Noise::of(&batch)).total;
                sum += loss.into_scalar::<f64>() * rows_of.len() as f64;
                at += rows_of.len();
            }
            let logged = history.get(epoch, Split::Valid, "loss").ok_or("not measured")?;
            seen.lock().expect("not poisoned").push((sum / at as f64 - logged).abs());
            Ok(())
        })
        .fit(tiny(7), train, valid)
        .expect("trains");
    let differences = epochs.lock().expect("not poisoned");
    assert_eq!(differences.len(), 6);
    assert!(differences.iter().all(|d| *d < 1e-9), "{differences:?}");
}
