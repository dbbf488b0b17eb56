//! Shares of a batch make the steps of the whole one, though its rows lack modalities.

use std::sync::Arc;

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Device, Tensor, TensorData},
};
use multivae::{
    core::{
        batch::{Batch, Presence, Values},
        dataset::{Dataset, DatasetError},
        modality::ModalitySpec,
        module::init_parameters,
        nn::Networks,
        noise::Noise,
        subset::Subset,
    },
    models::{Model, ModelConfig},
    train::{ClipConfig, NoClip, OptimizerConfig, Sgd, TrainConfig, Trainer},
};

const FEATURES: usize = 4;

/// Random rows, each with some of three modalities.
pub(crate) struct Incomplete {
    modalities: Vec<ModalitySpec>,
    values: Vec<f32>,
}

impl Incomplete {
    pub(crate) fn new(rows: usize) -> Self {
        let modality = |name| ModalitySpec::new(name, &[FEATURES]).expect("valid");
        let values: Tensor<2> = Noise::seeded(1).normal([rows, 3 * FEATURES], 0, &Device::flex());
        Self {
            modalities: ["a", "b", "c"].map(modality).to_vec(),
            values: values.into_data().try_into_vec().expect("floats"),
        }
    }
}

impl Dataset for Incomplete {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }

    fn len(&self) -> usize {
        self.values.len() / (3 * FEATURES)
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
        let values = (0..3).map(|m| {
            let of = |&row: &usize| &self.values[(row * 3 + m) * FEATURES..][..FEATURES];
            let values: Vec<f32> = rows.iter().flat_map(of).copied().collect();
            let data = TensorData::new(values, [rows.len(), FEATURES]);
            Values::Dense(Tensor::from_data(data, device))
        });
        let present = rows.iter().map(|&row| self.presence(row)).collect();
        Ok(Batch::new(values.collect(), Presence::new(present, 3, device))?)
    }

    fn presence(&self, row: usize) -> Subset {
        match row % 7 {
            0 | 4 => Subset::single(0),
            1 => Subset::single(1),
            2 | 3 => Subset::new([0, 2]).expect("two modalities"),
            _ => Subset::full(3),
        }
    }
}

/// Weights of all parameters.
pub(crate) fn weights(model: &Model) -> Vec<f32> {
    struct Flat(Vec<f32>);
    impl ModuleVisitor for Flat {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().try_into_vec::<f32>().expect("floats"));
        }
    }
    let mut flat = Flat(Vec::new());
    model.visit(&mut flat);
    flat.0
}

#[test]
fn gradients_of_mvae_are_those_of_one_device_though_shares_observe_unequal_rows() {
    let data = Arc::new(Incomplete::new(22));
    let config = ModelConfig::named("mvae").expect("in the list");
    let config = config.with_modalities(data.modalities()).expect("fits");
    let model = init_parameters(config.init(&Networks::default(), &Device::flex()).expect("valid"));
    // At rate 1 the change of a weight in a single step is its gradient.
    let step = |devices: usize, accumulate: usize| -> Vec<f32> {
        let dir = tempfile::tempdir().expect("a folder");
        let sgd = Sgd { learning_rate: 1.0, ..Sgd::default() };
        let config = TrainConfig {
            epochs: 1,
            batch_size: 22 / accumulate,
            accumulate,
            optimizer: OptimizerConfig::Sgd(sgd),
            clip: ClipConfig::None(NoClip::default()),
            ..TrainConfig::default()
        };
        let fitted = Trainer::new(config, dir.path())
            .devices(vec![Device::flex(); devices])
            .fit(model.clone(), data.clone(), data.clone())
            .expect("trains");
        weights(&fitted.last).iter().zip(weights(&model)).map(|(a, b)| a - b).collect()
    };
    let one = step(1, 1);
    let largest = one.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
    for (devices, accumulate) in [(2, 1), (1, 2), (2, 2)] {
        let several = step(devices, accumulate);
        let apart = one.iter().zip(several).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5 * largest, "{devices} devices, {accumulate} parts: {apart} {largest}");
    }
}
