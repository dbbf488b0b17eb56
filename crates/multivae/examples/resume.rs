//! A run that is interrupted and resumed has the weights of one that never stopped.
//!
//! ```text
//! $ cargo run --release --example resume
//! interrupted after epoch 2 of 4
//! resumed: all 1556443 weights are the same
//! ```

use std::{error::Error, sync::Arc};

use burn::module::{ModuleVisitor, Param};
use multivae::{
    prelude::*,
    train::{Interrupt, Stopped},
};

/// All weights of a model, one after the other.
struct Weights(Vec<f32>);

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.val().into_data().try_into_vec::<f32>();
        self.0.extend(values.expect("single precision"));
    }
}

fn weights(model: &Model) -> Vec<f32> {
    let mut weights = Weights(Vec::new());
    model.visit(&mut weights);
    weights.0
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let data = DataConfig { rows: Some(600), ..DataConfig::new("mnist-labels") }.open()?;
    let config = ModelConfig::named("mopoe").expect("a model of the list");
    let config = config.with_modalities(data.train.modalities())?;
    let (train, valid) = (Arc::new(data.train), Arc::new(data.valid));
    let device = Device::flex();
    let settings = TrainConfig { epochs: 4, ..TrainConfig::default() };
    // First weights come from the seed of the device.
    let model = || {
        device.seed(0);
        config.init(&Networks::default(), &device)
    };

    let whole = tempfile::tempdir()?;
    let unbroken = Trainer::new(settings.clone(), whole.path());
    let unbroken = unbroken.fit(model()?, train.clone(), valid.clone())?;

    // The same run, asked to stop after its second epoch. A program may ask from any thread, such
    // as one that handles Ctrl-C; a kill has the same effect, but for the epoch at work.
    let broken = tempfile::tempdir()?;
    let interrupt = Interrupt::new();
    let stop = interrupt.clone();
    let first = Trainer::new(settings.clone(), broken.path())
        .interrupt(interrupt)
        .on_epoch(move |_, epoch, _| {
            if epoch == 2 {
                stop.stop();
            }
            Ok(())
        })
        .fit(model()?, train.clone(), valid.clone())?;
    assert_eq!(first.stopped, Stopped::Interrupted);
    println!("interrupted after epoch {} of {}", first.epochs, settings.epochs);

    let resumed = Trainer::new(settings, broken.path()).resume(model()?, train, valid)?;
    assert_eq!(resumed.stopped, Stopped::Finished);
    let (found, expected) = (weights(&resumed.last), weights(&unbroken.last));
    assert_eq!(found, expected);
    println!("resumed: all {} weights are the same", found.len());
    Ok(())
}
