//! Stages: parts of a model that learn one after the other.

use multivae_core::model::Stage;
use multivae_train::{Exponential, ScheduleConfig, Stopped, TrainConfig, TrainError, Trainer};

use crate::kit::{Kind, Tiny, checkpoints, config, data, metrics, tiny, weights};

/// Three epochs of the encoders and the decoders, then the decoders alone.
fn staged(seed: u64) -> Tiny {
    let stage = |name: &str, frozen: &[&str], epochs| Stage {
        phases: Stage::whole().phases,
        name: name.into(),
        frozen: frozen.iter().map(ToString::to_string).collect(),
        epochs,
    };
    let mut model = tiny(seed);
    model.stages = vec![stage("joint", &[], Some(3)), stage("decoders", &["encoders"], None)];
    model
}

fn halving() -> TrainConfig {
    TrainConfig { schedule: ScheduleConfig::Exponential(Exponential { gamma: 0.5 }), ..config() }
}

#[test]
fn a_stage_starts_from_the_best_weights_with_a_fresh_optimiser_and_trains_its_part() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let first = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = first.clone();
    let fitted = Trainer::new(halving(), dir.path())
        .on_epoch(move |model: &Tiny, _, _| {
            seen.lock().expect("not poisoned").push(model.clone());
            Ok(())
        })
        .fit(staged(7), train, valid)
        .expect("trains");
    let seen = first.lock().expect("not poisoned");
    let best = fitted.history.best("loss", multivae_train::Split::Valid, 1..=3).expect("measured");
    let of_first = &seen[best - 1];
    assert_eq!(weights(&fitted.last, "encoders"), weights(of_first, "encoders"));
    assert_ne!(weights(&fitted.last, "decoders"), weights(of_first, "decoders"));
    assert_ne!(weights(of_first, "encoders"), weights(&tiny(7), "encoders"));
    let rates: Vec<f64> = (1..=6).filter_map(|epoch| fitted.history.rate(epoch)).collect();
    assert_eq!(rates, [0.02, 0.01, 0.005, 0.02, 0.01, 0.005]);
    assert!(fitted.best_epoch.is_some_and(|epoch| epoch > 3), "{:?}", fitted.best_epoch);
}

#[test]
fn a_run_that_was_broken_off_in_any_stage_is_the_unbroken_run() {
    let whole = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let unbroken = Trainer::new(halving(), whole.path())
        .fit(staged(7), train.clone(), valid.clone())
        .expect("trains");
    for at in [(3, 5), (4, 0), (5, 3)] {
        let dir = tempfile::tempdir().expect("a folder");
        Trainer::new(halving(), dir.path())
            .fit(staged(7).with_fault(at, Kind::Panic), train.clone(), valid.clone())
            .expect_err("panics");
        let resumed = Trainer::new(halving(), dir.path())
            .resume(staged(8), train.clone(), valid.clone())
            .expect("goes on");
        assert_eq!(resumed.stopped, Stopped::Finished);
        assert_eq!(weights(&resumed.last, ""), weights(&unbroken.last, ""), "{at:?}");
        assert_eq!(weights(&resumed.model, ""), weights(&unbroken.model, ""), "{at:?}");
        assert_eq!(metrics(dir.path()), metrics(whole.path()), "{at:?}");
        assert_eq!(checkpoints(dir.path()), checkpoints(whole.path()), "{at:?}");
    }
}

#[test]
fn stages_that_cannot_be_are_refused() {
    let (train, valid) = data();
    let refused = |model: Tiny, config: TrainConfig| {
        let dir = tempfile::tempdir().expect("a folder");
        match Trainer::new(config, dir.path()).fit(model, train.clone(), valid.clone()) {
            Err(error @ TrainError::Config { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        refused(staged(7), TrainConfig { epochs: 1, ..config() }),
        "`epochs`: expected at least 2, one for each stage of the model: `joint`, `decoders`, \
         found 1"
    );
    // More epochs would move the boundary that the run has passed.
    let dir = tempfile::tempdir().expect("a folder");
    let mut model = staged(7);
    model.stages[0].epochs = None;
    model.stages[1].epochs = Some(2);
    let run = |epochs| Trainer::new(TrainConfig { epochs, ..config() }, dir.path());
    run(4).fit(model.clone(), train.clone(), valid.clone()).expect("trains");
    let error = run(6).resume(model, train.clone(), valid.clone()).expect_err("has moved");
    assert!(error.to_string().starts_with("`epochs of the stages`"), "{error}");

    let mut model = staged(7);
    model.stages[0].frozen = vec!["encoder".into()];
    assert_eq!(
        refused(model, config()),
        "`frozen of stage joint`: expected the beginning of a parameter's path, found encoder"
    );
}

/// Keeps the events of a run.
#[derive(Clone, Default)]
struct Events(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

impl multivae_train::Observer for Events {
    fn event(&mut self, message: &str) -> multivae_train::Observed {
        self.0.lock().expect("not poisoned").push(message.into());
        Ok(())
    }
}

#[test]
fn a_run_that_is_too_short_for_its_stages_shortens_them_and_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let events = Events::default();
    let fitted = Trainer::new(TrainConfig { epochs: 3, ..halving() }, dir.path())
        .observe(Box::new(events.clone()))
        .fit(staged(7), train, valid)
        .expect("trains");
    // Three asked for and the rest: two epochs and one.
    let rates: Vec<f64> = (1..=3).filter_map(|epoch| fitted.history.rate(epoch)).collect();
    assert_eq!(rates, [0.02, 0.01, 0.02]);
    let events = events.0.lock().expect("not poisoned");
    let expected = "3 epochs are fewer than the stages of the model ask for: 2 of 3 for `joint`, \
                    1 for `decoders`";
    assert_eq!(*events, [expected, "stage decoders"]);
}
