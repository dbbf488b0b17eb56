//! A run that was broken off and resumed is the run that never stopped.

use burn::{
    optim::{AdamConfig, GradientsParams},
    tensor::Device,
};
use multivae_core::{
    batch::{NoiseKey, Progress, Purpose},
    dataset::Dataset,
    model::MultimodalVae,
    noise::Noise,
};
use multivae_train::{Stopped, TrainError, Trainer, load_best};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::kit::{Kind, ROWS, Tiny, checkpoints, config, data, metrics, tiny, weights};

/// The order of rows that runs promise.
fn shuffled(rows: usize, seed: u64, epoch: u64) -> Vec<usize> {
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
    let mut adam = AdamConfig::new().with_epsilon(1e-8).init();
    let steps = data.len().div_ceil(8);
    let mut done = 0;
    for epoch in 1..=epochs {
        for (step, rows) in shuffled(data.len(), 3, epoch).chunks(8).enumerate() {
            let mut batch = data.batch(rows, &device).expect("readable");
            batch.key = NoiseKey { seed: 3, epoch, step: step as u64, first_row: 0 };
            batch.purpose = Purpose::Train;
            batch.progress =
                Progress { epoch: epoch as usize, fraction: step as f64 / steps as f64 };
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
