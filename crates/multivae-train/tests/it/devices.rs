//! Shares of batches, in space and in time.

use burn::{
    module::Module,
    nn::Linear,
    tensor::{Device, Tensor},
};
use multivae_core::{
    batch::{Batch, Progress},
    modality::ModalitySpec,
    model::{Learn, Loss, Multimodal, MultimodalModel},
    noise::Noise,
    subset::Subset,
};
use multivae_train::{OptimizerConfig, ScheduleConfig, Sgd, TrainConfig, Trainer};

use crate::kit::{ROWS, VALID, config, data, distance, linear, specs, tiny, toy_with, weights};

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

/// Predicts the mean of each modality, from the rows that observe it.
#[derive(Module, Debug)]
struct Means {
    means: Vec<Linear>,
    #[module(skip)]
    specs: Vec<ModalitySpec>,
    /// Divides by the rows of the share that observe a modality, as if it were the whole step.
    #[module(skip)]
    alone: bool,
}

fn means(alone: bool) -> Means {
    let mut noise = Noise::seeded(7);
    let specs = specs();
    let means = specs.iter().map(|spec| linear(&mut noise, 1, spec.features())).collect();
    Means { means, specs, alone }
}

impl Multimodal for Means {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.specs
    }
}

impl Learn for Means {
    fn terms(&self, _: Progress) -> Vec<String> {
        self.specs.iter().map(|spec| spec.name.to_string()).collect()
    }

    fn loss(&self, batch: &Batch, _: &mut Noise) -> Loss {
        let one = Tensor::ones([batch.rows(), 1], &batch.device());
        let terms: Vec<(String, Tensor<1>)> = (0..2)
            .map(|m| {
                let x = batch.observed(m).dense().expect("dense").clone();
                let error = (self.means[m].forward(one.clone()) - x).square().sum_dim(1);
                let sum = (error.squeeze_dim::<1>(1) * batch.presence().of(m)).sum();
                let observing = |row: &Subset| row.contains(m);
                let count = match self.alone {
                    true => batch.presence().rows().iter().filter(|r| observing(r)).count() as f64,
                    false => batch.share_of(|row| observing(&row)),
                };
                (
                    self.specs[m].name.to_string(),
                    sum / if self.alone { count.max(1.0) } else { count },
                )
            })
            .collect();
        Loss { total: terms[0].1.clone() + terms[1].1.clone(), terms }
    }
}

impl MultimodalModel for Means {
    fn learner(&self) -> &dyn Learn {
        self
    }
}

#[test]
fn shares_weigh_by_the_rows_that_an_objective_counts() {
    // Unequal in every batch, so that no two shares observe the same number.
    fn present(row: usize) -> Subset {
        match row % 5 {
            0 | 3 => Subset::single(0),
            1 => Subset::single(1),
            _ => Subset::full(2),
        }
    }
    let last = |devices: usize, accumulate: usize, alone: bool| {
        let dir = tempfile::tempdir().expect("a folder");
        let config = TrainConfig {
            epochs: 2,
            batch_size: 12 / accumulate,
            accumulate,
            optimizer: OptimizerConfig::Sgd(Sgd { learning_rate: 0.1, ..Sgd::default() }),
            schedule: ScheduleConfig::default(),
            ..config()
        };
        let fitted = Trainer::new(config, dir.path())
            .devices(vec![Device::flex(); devices])
            .fit(means(alone), toy_with(ROWS, 1, present), toy_with(VALID, 2, present))
            .expect("trains");
        weights(&fitted.last, "")
    };
    let one = last(1, 1, false);
    assert_eq!(one, last(1, 1, true), "a whole step is divided by its own rows");
    for (devices, accumulate) in [(2, 1), (3, 1), (1, 2), (2, 2)] {
        let several = last(devices, accumulate, false);
        let apart = distance(&one, &several);
        assert!(apart < 1e-5, "{devices} devices, {accumulate} parts: {apart}");
        let alone = distance(&one, &last(devices, accumulate, true));
        assert!(alone > 1e-3, "{devices} devices, {accumulate} parts: {alone}");
    }
}
