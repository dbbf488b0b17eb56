//! What the benchmarks share: models and batches of the embedded data sets.
//!
//! `cargo bench -p multivae-benches` runs them all: `laws.rs` times fusion and densities, `conv.rs`
//! convolutions, `passes.rs` maps, densities and the optimiser against those of Burn, `reading.rs`
//! batches of random rows, `steps.rs` whole training steps.

use burn::tensor::Device;
use multivae_core::{
    batch::{Batch, Purpose},
    dataset::Dataset,
    module::init_parameters,
    nn::Networks,
};
use multivae_data::DataConfig;
use multivae_models::{Model, ModelConfig};

/// A model with all defaults for a data set, and its first training rows as a batch.
///
/// # Panics
///
/// If there is no such model or data set.
pub fn workload(model: &str, data: &str, rows: usize, device: &Device) -> (Model, Batch) {
    let config = DataConfig { source: data.to_owned(), ..DataConfig::default() };
    let train = config.open().expect("an embedded data set").train;
    let config = ModelConfig::named(model).expect("a model of the list");
    let config = config.with_modalities(train.modalities()).expect("defaults suit the data");
    let model = init_parameters(config.init(&Networks::default(), device).expect("defaults build"));
    let rows: Vec<usize> = (0..rows).collect();
    let mut batch = train.batch(&rows, device).expect("rows of the data set");
    batch.purpose = Purpose::Train;
    (model, batch)
}
