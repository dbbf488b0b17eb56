//! A run that was broken off and resumed is the run that never stopped.

use burn::{optim::GradientsParams, tensor::Device};
use multivae_core::{
    batch::{NoiseKey, Progress, Purpose},
    dataset::Dataset,
    model::Learn,
    noise::Noise,
};
use multivae_train::{
    Adam, AdamW, Constant, EarlyStopping, Interrupt, LOSS, OptimizerConfig, RmsProp,
    ScheduleConfig, Sgd, Split, Stopped, TrainConfig, TrainError, Trainer, load_best, save_weights,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::kit::{
    Kind, ROWS, Tiny, checkpoints, config, data, in_own_process, metrics, own_dir, tiny, weights,
};

/// The order of rows that runs promise.
pub(crate) fn shuffled(rows: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut key = [0; 32];
    for (place, part) in key.chunks_exact_mut(8).zip([seed, epoch, 0, u64::MAX]) {
        place.copy_from_slice(&part.to_le_bytes());
    }
    let mut rng = ChaCha8Rng::from_seed(key);
    let mut order: Vec<usize> = (0..rows).collect();
    for i in (1..rows).rev() {
        order.swap(i, ((u128::from(rng.next_u64()) * (i as u128 + 1)) >> 64) as usize);
    }
    order
}

/// The same training by hand.
fn by_hand(mut model: Tiny, data: &dyn Dataset, epochs: u64) -> Tiny {
    use burn::module::Module;
    let device = Device::flex().autodiff();
    model = model.train().fork(&device);
    let mut adam = config().optimizer.init();
    let steps = data.len().div_ceil(8);
    let mut done = 0;
    for epoch in 1..=epochs {
        for (step, rows) in shuffled(data.len(), 3, epoch).chunks(8).enumerate() {
            let mut batch = data.batch(rows, &device).expect("readable");
            batch.key = NoiseKey { seed: 3, epoch, step: step as u64, first_row: 0 };
            batch.purpose = Purpose::Train;
            batch.progress = Progress::new(epoch as usize, step as f64 / steps as f64);
            let loss = model.loss(&batch, &mut Noise::of(&batch));
            let gradients = GradientsParams::from_grads(loss.total.backward(), &model);
            let share = done as f64 / (steps * 6) as f64;
            let rate = 0.02 * (0.5 * (1.0 + (share * std::f64::consts::PI).cos()));
            model = adam.step(rate, model, gradients);
            done += 1;
        }
    }
    model
}

#[test]
fn a_run_makes_the_steps_of_a_loop_by_hand() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let fitted =
        Trainer::new(config(), dir.path()).fit(tiny(7), train.clone(), valid).expect("trains");
    assert_eq!(fitted.stopped, Stopped::Finished);
    assert_eq!(weights(&fitted.last, ""), weights(&by_hand(tiny(7), &*train, 6), ""));
    assert_eq!(ROWS, train.len());
}

#[test]
fn a_run_that_was_broken_off_in_any_step_and_resumed_is_the_unbroken_run() {
    let whole = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let unbroken = Trainer::new(config(), whole.path())
        .fit(tiny(7), train.clone(), valid.clone())
        .expect("trains");
    for at in [(1, 3), (3, 0), (4, 5), (6, 2)] {
        let dir = tempfile::tempdir().expect("a folder");
        let error = Trainer::new(config(), dir.path())
            .fit(tiny(7).with_fault(at, Kind::Panic), train.clone(), valid.clone())
            .expect_err("panics");
        assert!(matches!(&error, TrainError::Panic(m) if m == "the model is broken"), "{error}");
        // Other weights, but for a run that has to start again.
        let start = if at.0 == 1 { tiny(7) } else { tiny(8) };
        let resumed = Trainer::new(config(), dir.path())
            .resume(start, train.clone(), valid.clone())
            .expect("goes on");
        assert_eq!(weights(&resumed.last, ""), weights(&unbroken.last, ""), "{at:?}");
        assert_eq!(weights(&resumed.model, ""), weights(&unbroken.model, ""), "{at:?}");
        assert_eq!(metrics(dir.path()), metrics(whole.path()), "{at:?}");
        assert_eq!(checkpoints(dir.path()), checkpoints(whole.path()), "{at:?}");
        let best = load_best(dir.path(), tiny(9)).expect("intact");
        assert_eq!(weights(&best, ""), weights(&unbroken.model, ""), "{at:?}");
    }
}

#[test]
fn a_killed_process_leaves_a_run_that_can_be_resumed() {
    let (train, valid) = data();
    if let Some(dir) = own_dir() {
        let model = tiny(7).with_fault((4, 0), Kind::Kill);
        let end = Trainer::new(config(), &dir).fit(model, train, valid);
        panic!("still there: {end:?}");
    }
    let whole = tempfile::tempdir().expect("a folder");
    let dir = tempfile::tempdir().expect("a folder");
    Trainer::new(config(), whole.path())
        .fit(tiny(7), train.clone(), valid.clone())
        .expect("trains");
    let test = "resume::a_killed_process_leaves_a_run_that_can_be_resumed";
    // An abort leaves no exit code on Unix, a panic leaves 101.
    assert_ne!(in_own_process(test, dir.path()).code(), Some(101), "it outlived its end");
    // That of epoch 3 may have been on its way to the disk, beside its place.
    let mut left = checkpoints(dir.path());
    left.retain(|name| name.ends_with(".ckpt"));
    let newest = left.last().expect("a checkpoint");
    assert!(["epoch-2.ckpt", "epoch-3.ckpt"].contains(&newest.as_str()), "{newest}");
    Trainer::new(config(), dir.path()).resume(tiny(8), train, valid).expect("goes on");
    assert_eq!(checkpoints(dir.path()), checkpoints(whole.path()), "nothing half-written stays");
    assert_eq!(metrics(dir.path()), metrics(whole.path()));
    let best = |dir| weights(&load_best(dir, tiny(9)).expect("intact"), "");
    assert_eq!(best(dir.path()), best(whole.path()));
}

#[test]
fn dropout_is_the_same_after_a_resume() {
    // Burn has one generator a process, which the other tests move.
    let Some(own) = own_dir() else {
        let dir = tempfile::tempdir().expect("a folder");
        let test = "resume::dropout_is_the_same_after_a_resume";
        assert!(in_own_process(test, dir.path()).success());
        return;
    };
    let (train, valid) = data();
    let (whole, dir) = (own.join("whole"), own.join("broken"));
    let fit = |dir: &std::path::Path, model: Tiny| {
        Trainer::new(config(), dir).fit(model, train.clone(), valid.clone())
    };
    let unbroken = fit(&whole, tiny(7).with_dropout()).expect("trains");
    fit(&dir, tiny(7).with_dropout().with_fault((3, 2), Kind::Panic)).expect_err("panics");
    Device::flex().seed(1234);
    let resumed = Trainer::new(config(), &dir)
        .resume(tiny(8).with_dropout(), train.clone(), valid.clone())
        .expect("goes on");
    assert_eq!(weights(&resumed.last, ""), weights(&unbroken.last, ""));
    let plain = fit(&own.join("plain"), tiny(7)).expect("trains");
    assert_ne!(weights(&plain.last, ""), weights(&unbroken.last, ""), "dropout has no effect");
}

#[test]
fn an_interrupted_run_stops_within_the_epoch_and_goes_on_as_if_nothing_had_been() {
    let whole = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let unbroken = Trainer::new(config(), whole.path())
        .fit(tiny(7), train.clone(), valid.clone())
        .expect("trains");
    // An epoch reads 6 batches for training and 2 for validation.
    for (in_training, batches, done) in
        [(true, 3 * 6 + 2, 3), (true, 3 * 6 + 6, 3), (true, 2, 0), (false, 3 * 2 + 1, 3)]
    {
        let dir = tempfile::tempdir().expect("a folder");
        let interrupt = Interrupt::new();
        let (train, valid) = data();
        let rows = if in_training { &train } else { &valid };
        *rows.stop.lock().expect("not poisoned") = Some((batches, interrupt.clone()));
        let fitted = Trainer::new(config(), dir.path())
            .interrupt(interrupt)
            .fit(tiny(7), train, valid)
            .expect("stops");
        assert_eq!((fitted.stopped, fitted.epochs), (Stopped::Interrupted, done), "{batches}");
        assert_eq!(fitted.history.last_epoch(), done);
        let (train, valid) = data();
        let start = if done == 0 { tiny(7) } else { tiny(8) };
        let resumed =
            Trainer::new(config(), dir.path()).resume(start, train, valid).expect("goes on");
        assert_eq!(weights(&resumed.last, ""), weights(&unbroken.last, ""), "{batches}");
        assert_eq!(metrics(dir.path()), metrics(whole.path()), "{batches}");
    }
}

#[test]
fn a_run_interrupted_after_an_epoch_keeps_that_epoch() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let interrupt = Interrupt::new();
    let handle = interrupt.clone();
    let fitted = Trainer::new(config(), dir.path())
        .interrupt(interrupt)
        .on_epoch(move |_, epoch, _| {
            if epoch == 2 {
                handle.stop();
            }
            Ok(())
        })
        .fit(tiny(7), train, valid)
        .expect("stops");
    assert_eq!((fitted.stopped, fitted.epochs), (Stopped::Interrupted, 2));
    assert!(checkpoints(dir.path()).contains(&"epoch-2.ckpt".to_owned()));
}

#[test]
fn a_finished_run_is_not_trained_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let first = Trainer::new(config(), dir.path())
        .fit(tiny(7), train.clone(), valid.clone())
        .expect("trains");
    let again = Trainer::new(config(), dir.path())
        .on_epoch(|_, epoch, _| Err(format!("epoch {epoch} was trained").into()))
        .resume(tiny(8), train, valid)
        .expect("is done");
    assert_eq!((again.stopped, again.epochs), (Stopped::Finished, 6));
    assert_eq!(again.best_epoch, first.best_epoch);
    assert_eq!(weights(&again.model, ""), weights(&first.model, ""));
    assert_eq!(weights(&again.last, ""), weights(&first.last, ""));
}

#[test]
fn a_run_with_more_epochs_goes_on() {
    let constant = |epochs| TrainConfig {
        epochs,
        schedule: ScheduleConfig::Constant(Constant {}),
        ..config()
    };
    let (long, dir) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (train, valid) = data();
    let whole = Trainer::new(constant(5), long.path())
        .fit(tiny(7), train.clone(), valid.clone())
        .expect("trains");
    Trainer::new(constant(2), dir.path())
        .fit(tiny(7), train.clone(), valid.clone())
        .expect("trains");
    let more = Trainer::new(constant(5), dir.path()).resume(tiny(8), train, valid).expect("trains");
    assert_eq!(weights(&more.last, ""), weights(&whole.last, ""));
    assert_eq!(more.epochs, 5);
}

#[test]
fn a_run_that_stopped_early_stops_in_the_same_epoch_when_it_was_broken_off() {
    // The learning rate is too large to go on improving.
    let config = TrainConfig {
        epochs: 60,
        schedule: ScheduleConfig::Constant(Constant {}),
        early_stopping: Some(EarlyStopping { patience: 3, min_delta: 0.0 }),
        ..config()
    };
    let whole = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let unbroken = Trainer::new(config.clone(), whole.path())
        .fit(tiny(7), train.clone(), valid.clone())
        .expect("trains");
    let end = unbroken.epochs;
    assert_eq!(unbroken.stopped, Stopped::Early);
    assert!((5..60).contains(&end), "{end}");
    assert_eq!(unbroken.best_epoch, Some(end - 3));
    for epoch in [end - 2, end] {
        let dir = tempfile::tempdir().expect("a folder");
        Trainer::new(config.clone(), dir.path())
            .fit(tiny(7).with_fault((epoch as u64, 1), Kind::Panic), train.clone(), valid.clone())
            .expect_err("panics");
        // The second time there is nothing to do.
        for _ in 0..2 {
            let resumed = Trainer::new(config.clone(), dir.path())
                .resume(tiny(8), train.clone(), valid.clone())
                .expect("goes on");
            assert_eq!((resumed.stopped, resumed.epochs), (Stopped::Early, end));
            assert_eq!(resumed.best_epoch, unbroken.best_epoch);
            assert_eq!(weights(&resumed.model, ""), weights(&unbroken.model, ""));
            assert_eq!(metrics(dir.path()), metrics(whole.path()));
        }
    }
}

#[test]
fn settings_that_make_another_run_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let short = TrainConfig { epochs: 1, ..config() };
    Trainer::new(short, dir.path()).fit(tiny(7), train.clone(), valid.clone()).expect("trains");
    let cases = [
        ("seed", "3", "4", TrainConfig { seed: 4, ..config() }),
        ("batch_size", "8", "4", TrainConfig { batch_size: 4, ..config() }),
        ("accumulate", "1", "2", TrainConfig { accumulate: 2, ..config() }),
        (
            "optimizer.name",
            "adam",
            "sgd",
            TrainConfig { optimizer: OptimizerConfig::Sgd(Sgd::default()), ..config() },
        ),
    ];
    for (name, before, now, config) in cases {
        let error = Trainer::new(config, dir.path())
            .resume(tiny(7), train.clone(), valid.clone())
            .expect_err(name);
        match error {
            TrainError::Config { field, expected, found } => {
                assert_eq!((&*field, &*found), (name, now));
                assert!(expected.starts_with(before), "{expected}");
            }
            other => panic!("{name}: {other}"),
        }
    }
    let error = Trainer::new(config(), dir.path())
        .resume(tiny(7), crate::kit::toy(ROWS + 1, 1), valid)
        .expect_err("another number of rows");
    assert_eq!(error.to_string(), "`training rows`: expected 42 as in the run so far, found 43");
}

#[test]
fn every_optimiser_goes_on_exactly() {
    let optimizers = [
        OptimizerConfig::AdamW(AdamW { amsgrad: true, ..AdamW::default() }),
        OptimizerConfig::Adam(Adam { weight_decay: 0.1, ..Adam::default() }),
        OptimizerConfig::Sgd(Sgd { momentum: 0.9, nesterov: true, ..Sgd::default() }),
        OptimizerConfig::RmsProp(RmsProp { momentum: 0.5, centered: true, ..RmsProp::default() }),
    ];
    for optimizer in optimizers {
        let config = TrainConfig { epochs: 3, warmup_steps: 8, optimizer, ..config() };
        let (whole, dir) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (train, valid) = data();
        let unbroken = Trainer::new(config.clone(), whole.path())
            .fit(tiny(7), train.clone(), valid.clone())
            .expect("trains");
        Trainer::new(config.clone(), dir.path())
            .fit(tiny(7).with_fault((3, 1), Kind::Panic), train.clone(), valid.clone())
            .expect_err("panics");
        let resumed = Trainer::new(config.clone(), dir.path())
            .resume(tiny(8), train, valid)
            .expect("goes on");
        let name = config.optimizer.name();
        assert_eq!(weights(&resumed.last, ""), weights(&unbroken.last, ""), "{name}");
        let loss = |epoch| unbroken.history.get(epoch, Split::Train, LOSS).expect("measured");
        assert!(loss(3) < loss(1), "{name} does not learn");
    }
}

#[test]
fn weights_from_elsewhere_are_read_and_not_trained_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    save_weights(dir.path(), &tiny(7)).expect("written");
    let model = load_best(dir.path(), tiny(8)).expect("intact");
    assert_eq!(weights(&model, ""), weights(&tiny(7), ""));
    let again = save_weights(dir.path(), &tiny(9));
    assert!(matches!(again, Err(TrainError::Occupied(_))), "{again:?}");
    let error = Trainer::new(config(), dir.path()).resume(tiny(8), train, valid);
    let text = error.expect_err("there is nothing to go on from").to_string();
    assert!(text.contains("weights that were trained elsewhere"), "{text}");
    assert_eq!(checkpoints(dir.path()), ["epoch-0.ckpt"]);
}

#[test]
fn a_run_of_an_earlier_version_goes_on() {
    // Two epochs of the usual run, written before a batch could have several steps.
    let dir = tempfile::tempdir().expect("a folder");
    let written = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/before-phases");
    let folder = dir.path().join("checkpoints");
    std::fs::create_dir(&folder).expect("made");
    std::fs::copy(written.join("epoch-2.ckpt"), folder.join("epoch-2.ckpt")).expect("copied");
    std::fs::copy(written.join("metrics.jsonl"), dir.path().join("metrics.jsonl")).expect("copied");
    let (train, valid) = data();
    let whole = tempfile::tempdir().expect("a folder");
    let unbroken = Trainer::new(config(), whole.path())
        .fit(tiny(7), train.clone(), valid.clone())
        .expect("trains");
    let resumed =
        Trainer::new(config(), dir.path()).resume(tiny(8), train, valid).expect("goes on");
    assert_eq!((resumed.epochs, resumed.best_epoch), (6, unbroken.best_epoch));
    // Another processor may round in another way than the one that wrote it.
    let apart = crate::kit::distance(&weights(&resumed.last, ""), &weights(&unbroken.last, ""));
    assert!(apart < 1e-4, "{apart}");
}
