//! Settings, data and model that do not go together.

use std::sync::Arc;

use multivae_core::dataset::Dataset;
use multivae_train::{
    Checkpoint, ClipConfig, ClipNorm, ClipValue, EarlyStopping, Fitted, History, Interrupt, NoClip,
    OptimizerConfig, ScheduleConfig, Sgd, TrainConfig, TrainError, Trainer,
};

use crate::kit::{Needs, Tiny, config, data, tiny, toy, weights};

fn refused(config: TrainConfig, train: Arc<dyn Dataset>, valid: Arc<dyn Dataset>) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    match Trainer::new(config, &dir.path().join("run")).fit(tiny(7), train, valid) {
        Err(error @ TrainError::Config { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn empty_data_and_settings_out_of_range_are_refused() {
    let (train, valid) = data();
    assert_eq!(
        refused(config(), toy(0, 1), valid.clone()),
        "`training rows`: expected at least 1, found 0"
    );
    assert_eq!(
        refused(TrainConfig { batch_size: 0, ..config() }, train.clone(), valid.clone()),
        "`batch_size`: expected at least 1, found 0"
    );
    let early = TrainConfig { early_stopping: Some(EarlyStopping::default()), ..config() };
    assert_eq!(
        refused(early, train, toy(0, 1)),
        "`early_stopping`: expected validation rows to watch, found none"
    );
}

/// How far the weights of a single step of gradient descent at rate 1 are from where they were.
fn step(clip: ClipConfig) -> Vec<f32> {
    let dir = tempfile::tempdir().expect("a folder");
    let optimizer = OptimizerConfig::Sgd(Sgd { learning_rate: 1.0, ..Sgd::default() });
    let schedule = ScheduleConfig::default();
    let config = TrainConfig { epochs: 1, batch_size: 64, optimizer, schedule, clip, ..config() };
    let (train, valid) = data();
    let fitted = Trainer::new(config, dir.path()).fit(tiny(7), train, valid).expect("trains");
    let (before, after) = (weights(&tiny(7), ""), weights(&fitted.last, ""));
    after.iter().zip(before).map(|(a, b)| a - b).collect()
}

#[test]
fn gradients_are_clipped_over_all_parameters() {
    let norm = |step: &[f32]| step.iter().map(|d| d * d).sum::<f32>().sqrt();
    let free = step(ClipConfig::None(NoClip {}));
    assert!(norm(&free) > 1.0, "{}", norm(&free));
    // Under Adam a norm over all parameters slows those that do not have it.
    assert_eq!(ClipConfig::default(), ClipConfig::None(NoClip {}));
    let scaled = step(ClipConfig::Norm(ClipNorm { max: 0.5 }));
    assert!((norm(&scaled) - 0.5).abs() < 1e-5, "{}", norm(&scaled));
    for (free_entry, scaled) in free.iter().zip(&scaled) {
        assert!((free_entry * 0.5 / norm(&free) - scaled).abs() < 1e-5, "another direction");
    }
    for (free, bounded) in free.iter().zip(step(ClipConfig::Value(ClipValue { max: 0.125 }))) {
        assert!((free.clamp(-0.125, 0.125) - bounded).abs() < 1e-6);
    }
}

#[test]
fn without_validation_rows_the_training_loss_decides() {
    let dir = tempfile::tempdir().expect("a folder");
    let fitted =
        Trainer::new(config(), dir.path()).fit(tiny(7), data().0, toy(0, 1)).expect("trains");
    let best = fitted.history.best("loss", multivae_train::Split::Train, ..);
    assert!(best.is_some());
    assert_eq!(fitted.best_epoch, best);
}

#[test]
fn data_without_what_the_objective_reads_is_refused() {
    let refused = |needs: Needs| {
        let dir = tempfile::tempdir().expect("a folder");
        let (train, valid) = data();
        let mut model = tiny(7);
        model.needs = needs;
        match Trainer::new(config(), &dir.path().join("run")).fit(model, train, valid) {
            Err(error @ TrainError::Config { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        refused(Needs { labels: true, ..Needs::default() }),
        "`labels of the training rows`: expected a class label in every row, since the model's \
         objective learns from them, found 42 rows without one"
    );
    let covariates = ["age", "site"].map(String::from).to_vec();
    assert_eq!(
        refused(Needs { covariates, ..Needs::default() }),
        "`covariates of the training rows`: expected `age`, `site`, which the model's objective \
         reads, found no `age`, `site`"
    );
}

#[test]
fn public_types_can_be_sent_between_threads() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Trainer<Tiny>>();
    send::<Fitted<Tiny>>();
    send::<TrainError>();
    sync::<TrainError>();
    send::<History>();
    sync::<History>();
    send::<Checkpoint>();
    sync::<Checkpoint>();
    send::<Interrupt>();
    sync::<Interrupt>();
}
