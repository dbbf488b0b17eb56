//! Settings, data and model that do not go together.

use std::sync::Arc;

use multivae_core::dataset::Dataset;
use multivae_train::{
    Checkpoint, Display, EarlyStopping, Fitted, History, Interrupt, TrainConfig, TrainError,
    Trainer,
};

use crate::kit::{Tiny, config, data, tiny, toy};

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
fn public_types_can_be_sent_between_threads() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Trainer<Tiny>>();
    send::<Fitted<Tiny>>();
    send::<Display>();
    send::<TrainError>();
    sync::<TrainError>();
    send::<History>();
    sync::<History>();
    send::<Checkpoint>();
    sync::<Checkpoint>();
    send::<Interrupt>();
    sync::<Interrupt>();
}
