//! What a run tells while it goes on.

use std::sync::{Arc, Mutex};

use burn::tensor::Device;
use multivae_core::{dataset::Dataset, model::Learn, noise::Noise};
use multivae_train::{Display, Report, Split, Summary, TrainConfig, Trainer};

use crate::kit::{Tiny, VALID, checkpoints, config, data, tiny};

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn write(&self, line: String) {
        self.0.lock().expect("not poisoned").push(line);
    }
}

impl Report for Diary {
    fn epoch_started(&mut self, epoch: usize, epochs: usize) {
        self.write(format!("start {epoch} of {epochs}"));
    }

    fn progress(&mut self, split: Split, done: usize, rows: usize) {
        self.write(format!("{split} {done} of {rows}"));
    }

    fn epoch_finished(&mut self, summary: &Summary) {
        let Summary { epoch, train, valid, rate, train_seconds, seconds, .. } = summary;
        assert!(0.0 < *train_seconds && train_seconds < seconds && rate.is_some());
        self.write(format!("end {epoch}: {} and {} terms", train.len(), valid.len()));
    }
}

#[test]
fn a_report_is_told_of_epochs_and_rows_in_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let diary = Diary::default();
    let config = TrainConfig { epochs: 2, batch_size: 21, evaluate_every: 2, ..config() };
    Trainer::new(config, dir.path())
        .display(Display::Report(Box::new(diary.clone())))
        .fit(tiny(7), train, valid)
        .expect("trains");
    let lines = diary.0.lock().expect("not poisoned");
    let expected = [
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
    ];
    assert_eq!(*lines, expected);
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
