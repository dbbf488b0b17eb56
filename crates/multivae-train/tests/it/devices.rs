//! Shares of batches, in space and in time.

use burn::tensor::Device;
use multivae_train::{TrainConfig, Trainer};

use crate::kit::{config, data, distance, tiny, weights};

/// Weights after a run on so many devices.
fn on(devices: usize, config: TrainConfig) -> Vec<f32> {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let fitted = Trainer::new(config, dir.path())
        .devices(vec![Device::flex(); devices])
        .fit(tiny(7), train, valid)
        .expect("trains");
    weights(&fitted.last, "")
}

#[test]
fn several_devices_make_the_steps_of_one() {
    let one = on(1, config());
    // The last batch of an epoch has two rows: with three devices one gets none.
    for devices in [2, 3] {
        let several = on(devices, config());
        assert!(distance(&one, &several) < 1e-5, "{devices}: {}", distance(&one, &several));
    }
}

#[test]
fn accumulated_half_batches_make_the_steps_of_whole_ones() {
    let halves = on(1, TrainConfig { batch_size: 4, accumulate: 2, ..config() });
    let whole = on(1, config());
    assert!(distance(&halves, &whole) < 1e-5, "{}", distance(&halves, &whole));
    let both = on(2, TrainConfig { batch_size: 4, accumulate: 2, ..config() });
    assert!(distance(&both, &whole) < 1e-5, "{}", distance(&both, &whole));
}
