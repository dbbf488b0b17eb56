//! What goes wrong is an error that says what, and costs one epoch at most.

use std::{fs, sync::atomic::Ordering};

use burn::tensor::Device;
use multivae_train::{
    ClipConfig, ClipNorm, ClipValue, NoClip, NonFinite, Split, Stopped, TrainConfig, TrainError,
    Trainer, latest_intact, load_best,
};

use crate::kit::{Kind, checkpoints, config, data, distance, metrics, tiny, weights};

fn with(non_finite: NonFinite) -> TrainConfig {
    TrainConfig { non_finite, ..config() }
}

#[test]
fn a_term_that_is_not_finite_is_named_and_leaves_the_last_checkpoint() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let error = Trainer::new(config(), dir.path())
        .fit(tiny(7).with_fault((3, 4), Kind::NotFinite), train.clone(), valid.clone())
        .expect_err("is not finite");
    match &error {
        TrainError::NotFinite { term, modality, split, epoch, step, value } => {
            assert_eq!((&**term, modality.as_deref()), ("reconstruction/b", Some("b")));
            assert_eq!((*split, *epoch, *step), (Split::Train, 3, 5));
            assert!(value.is_nan());
        }
        other => panic!("{other}"),
    }
    assert_eq!(error.to_string(), "`reconstruction/b` is NaN in epoch 3, train step 5");
    assert_eq!(checkpoints(dir.path()), ["epoch-1.ckpt", "epoch-2.ckpt"]);
    assert_eq!(metrics(dir.path()).lines().count(), 4);
    Trainer::new(config(), dir.path()).resume(tiny(8), train, valid).expect("goes on");
}

#[test]
fn a_gradient_that_is_not_finite_does_not_reach_the_weights() {
    let (norm, value) = (ClipNorm { max: 1.0 }, ClipValue { max: 1.0 });
    let clips = [ClipConfig::None(NoClip {}), ClipConfig::Norm(norm), ClipConfig::Value(value)];
    for clip in clips {
        let dir = tempfile::tempdir().expect("a folder");
        let (train, valid) = data();
        let error = Trainer::new(TrainConfig { clip, ..config() }, dir.path())
            .fit(tiny(7).with_fault((2, 1), Kind::Gradient), train, valid)
            .expect_err("is not finite");
        assert_eq!(error.to_string(), "`gradient` is NaN in epoch 2, train step 2");
    }
}

#[test]
fn a_step_that_is_not_finite_can_be_left_out() {
    for kind in [Kind::NotFinite, Kind::Gradient] {
        let dir = tempfile::tempdir().expect("a folder");
        let (train, valid) = data();
        let fitted = Trainer::new(with(NonFinite::Skip), dir.path())
            .fit(tiny(7).with_fault((3, 4), kind), train, valid)
            .expect("goes on");
        assert_eq!((fitted.stopped, fitted.epochs), (Stopped::Finished, 6));
        let loss = fitted.history.get(3, Split::Train, "loss").expect("measured");
        assert!(loss.is_finite() && weights(&fitted.last, "").iter().all(|w| w.is_finite()));
    }
}

#[test]
fn a_step_is_left_out_as_a_whole() {
    let parts = TrainConfig { batch_size: 4, accumulate: 2, ..with(NonFinite::Skip) };
    let run = |kind, devices, config: &TrainConfig| {
        let dir = tempfile::tempdir().expect("a folder");
        let (train, valid) = data();
        let fitted = Trainer::new(config.clone(), dir.path())
            .devices(vec![Device::flex(); devices])
            .fit(tiny(7).with_fault((3, 2), kind), train, valid)
            .expect("goes on");
        weights(&fitted.last, "")
    };
    for (devices, config) in [(1, &parts), (2, &with(NonFinite::Skip))] {
        let whole = run(Kind::NotFinite, devices, config);
        let later = run(Kind::LaterParts, devices, config);
        assert!(distance(&whole, &later) < 1e-5, "{devices}");
    }
}

#[test]
fn a_validation_that_is_not_finite_follows_the_same_policy() {
    // Validation has the noise of epoch 0.
    let fit = |non_finite| {
        let dir = tempfile::tempdir().expect("a folder");
        let (train, valid) = data();
        let model = tiny(7).with_fault((0, 1), Kind::NotFinite);
        Trainer::new(with(non_finite), dir.path()).fit(model, train, valid)
    };
    let error = fit(NonFinite::Stop).expect_err("is not finite");
    assert_eq!(error.to_string(), "`reconstruction/b` is NaN in epoch 1, valid step 2");
    let fitted = fit(NonFinite::Skip).expect("goes on");
    let value = fitted.history.get(6, Split::Valid, "reconstruction/b").expect("measured");
    assert!(value.is_nan());
    assert_eq!((fitted.best_epoch, fitted.epochs), (None, 6));
}

#[test]
fn terms_that_were_not_declared_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let mut model = tiny(7);
    model.declared.truncate(2);
    let error = Trainer::new(config(), dir.path()).fit(model, train, valid).expect_err("differ");
    assert!(matches!(&error, TrainError::Terms { found, .. } if found.len() == 3), "{error}");
}

#[test]
fn an_epoch_of_nothing_but_steps_left_out_ends_the_run() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let error = Trainer::new(with(NonFinite::Skip), dir.path())
        .fit(tiny(7).with_fault((3, 4), Kind::NeverFinite), train, valid)
        .expect_err("is past saving");
    assert!(matches!(error, TrainError::NotFinite { epoch: 4, .. }), "{error}");
    assert!(latest_intact(dir.path()).expect("readable").is_some());
}

#[test]
fn the_best_weights_can_be_restored() {
    let (train, valid) = data();
    let fit = |fault: Option<((u64, u64), Kind)>, dir: &std::path::Path| {
        let model = match fault {
            Some((at, kind)) => tiny(7).with_fault(at, kind),
            None => tiny(7),
        };
        Trainer::new(with(NonFinite::RestoreBest), dir).fit(model, train.clone(), valid.clone())
    };
    let dir = tempfile::tempdir().expect("a folder");
    let fitted = fit(Some(((3, 4), Kind::NotFinite)), dir.path()).expect("goes on");
    assert_eq!((fitted.stopped, fitted.epochs), (Stopped::Finished, 6));
    assert_eq!(fitted.history.get(3, Split::Train, "loss"), None);
    let rate = |epoch| fitted.history.rate(epoch).expect("measured");
    // The epoch that was given up counts in the schedule.
    let whole = fit(None, tempfile::tempdir().expect("a folder").path()).expect("trains");
    assert_eq!(rate(4), whole.history.rate(4).expect("measured"));

    // Broken off after that, the run is the same.
    let broken = tempfile::tempdir().expect("a folder");
    let model = tiny(7).with_fault((3, 4), Kind::NotFinite);
    let handle = multivae_train::Interrupt::new();
    let stop = handle.clone();
    Trainer::new(with(NonFinite::RestoreBest), broken.path())
        .interrupt(handle)
        .on_epoch(move |_, epoch, _| {
            if epoch == 4 {
                stop.stop();
            }
            Ok(())
        })
        .fit(model, train.clone(), valid.clone())
        .expect("stops");
    let resumed = Trainer::new(with(NonFinite::RestoreBest), broken.path())
        .resume(tiny(8), train.clone(), valid.clone())
        .expect("goes on");
    assert_eq!(weights(&resumed.last, ""), weights(&fitted.last, ""));
    assert_eq!(metrics(broken.path()), metrics(dir.path()));

    // A model that is never finite again ends with the best weights it had.
    let dir = tempfile::tempdir().expect("a folder");
    let fitted = fit(Some(((3, 4), Kind::NeverFinite)), dir.path()).expect("ends");
    assert_eq!((fitted.epochs, fitted.history.last_epoch()), (6, 2));
    assert_eq!(weights(&fitted.last, ""), weights(&fitted.model, ""));

    // There is nothing to restore in the first epoch.
    let dir = tempfile::tempdir().expect("a folder");
    let error = fit(Some(((1, 4), Kind::NotFinite)), dir.path()).expect_err("no best epoch");
    assert!(matches!(error, TrainError::NotFinite { epoch: 1, .. }), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_refused_and_the_one_before_it_serves() {
    let (train, valid) = data();
    let whole = tempfile::tempdir().expect("a folder");
    let unbroken = Trainer::new(config(), whole.path())
        .fit(tiny(7), train.clone(), valid.clone())
        .expect("trains");
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 3] = [
        ("damaged", |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
        }),
        ("cut", |bytes| bytes.truncate(bytes.len() - 7)),
        ("foreign", |bytes| *bytes = b"{}".to_vec()),
    ];
    for (name, damage) in damages {
        let dir = tempfile::tempdir().expect("a folder");
        Trainer::new(config(), dir.path())
            .fit(tiny(7).with_fault((5, 1), Kind::Panic), train.clone(), valid.clone())
            .expect_err("panics");
        let newest = dir.path().join("checkpoints/epoch-4.ckpt");
        let mut bytes = fs::read(&newest).expect("exists");
        damage(&mut bytes);
        fs::write(&newest, bytes).expect("written");
        let resume =
            || Trainer::new(config(), dir.path()).resume(tiny(8), train.clone(), valid.clone());
        match resume().expect_err(name) {
            TrainError::Checkpoint { path, previous, .. } => {
                assert_eq!(path, newest, "{name}");
                assert_eq!(previous, Some(dir.path().join("checkpoints/epoch-3.ckpt")), "{name}");
            }
            other => panic!("{name}: {other}"),
        }
        fs::remove_file(&newest).expect("exists");
        let resumed = resume().expect("goes on");
        assert_eq!(weights(&resumed.last, ""), weights(&unbroken.last, ""), "{name}");
        assert_eq!(metrics(dir.path()), metrics(whole.path()), "{name}");
    }
}

#[test]
fn weights_of_another_model_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    Trainer::new(TrainConfig { epochs: 1, ..config() }, dir.path())
        .fit(tiny(7), train.clone(), valid.clone())
        .expect("trains");
    let mut other = tiny(7);
    other.decoders.truncate(1);
    let reasons = [
        load_best(dir.path(), other.clone()).map(|_| ()),
        Trainer::new(config(), dir.path()).resume(other, train, valid).map(|_| ()),
    ];
    for result in reasons {
        let error = result.expect_err("has one decoder").to_string();
        assert!(error.contains("does not fit the model"), "{error}");
    }
}

#[test]
fn a_run_without_checkpoints_has_no_best_weights() {
    let dir = tempfile::tempdir().expect("a folder");
    let error = load_best(dir.path(), tiny(7)).expect_err("nothing there");
    assert!(error.to_string().contains("holds no checkpoint"), "{error}");
}

#[test]
fn a_disk_that_cannot_be_written_ends_the_run_with_an_error() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let aside = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("checkpoints");
    let moved = aside.path().join("checkpoints");
    let error = Trainer::new(config(), dir.path())
        .on_epoch(move |_, epoch, _| {
            if epoch == 2 {
                fs::rename(&folder, &moved)?;
                fs::write(&folder, "not a folder")?;
            }
            Ok(())
        })
        .fit(tiny(7), train, valid)
        .expect_err("cannot be written");
    assert!(
        matches!(&error, TrainError::Checkpoint { reason, .. } if reason.contains("written")),
        "{error}"
    );
    assert!(latest_intact(aside.path()).expect("readable").is_some());
}

#[test]
fn rows_that_cannot_be_read_end_the_run_with_the_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let broken = train.clone();
    let error = Trainer::new(config(), dir.path())
        .on_epoch(move |_, epoch, _| {
            broken.broken.store(epoch == 2, Ordering::SeqCst);
            Ok(())
        })
        .fit(tiny(7), train, valid)
        .expect_err("cannot be read");
    assert!(matches!(&error, TrainError::Data(_)), "{error}");
    assert_eq!(error.to_string(), "rows cannot be read: the file is gone");
    assert_eq!(checkpoints(dir.path()), ["epoch-1.ckpt", "epoch-2.ckpt"]);
}

#[test]
fn a_callback_that_fails_or_panics_ends_the_run() {
    for panics in [false, true] {
        let dir = tempfile::tempdir().expect("a folder");
        let (train, valid) = data();
        let error = Trainer::new(config(), dir.path())
            .on_epoch(
                move |_, _, _| {
                    if panics { panic!("no pictures") } else { Err("no pictures".into()) }
                },
            )
            .fit(tiny(7), train, valid)
            .expect_err("fails");
        let expected = match panics {
            true => "training panicked: no pictures",
            false => "the callback after epoch 1 failed: no pictures",
        };
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_used_directory_is_not_overwritten() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let short = TrainConfig { epochs: 1, ..config() };
    let fit = || Trainer::new(short.clone(), dir.path()).fit(tiny(7), train.clone(), valid.clone());
    fit().expect("trains");
    assert!(matches!(fit(), Err(TrainError::Occupied(_))));
}

#[test]
fn two_runs_do_not_share_a_directory() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let (path, rows) = (dir.path().to_owned(), (train.clone(), valid.clone()));
    Trainer::new(TrainConfig { epochs: 1, ..config() }, dir.path())
        .on_epoch(move |_, _, _| {
            let second =
                Trainer::new(config(), &path).resume(tiny(7), rows.0.clone(), rows.1.clone());
            match second {
                Err(TrainError::Busy(_)) => Ok(()),
                other => Err(format!("{other:?}").into()),
            }
        })
        .fit(tiny(7), train, valid)
        .expect("is alone");
}
