//! Samplers: latent values from the prior, from a Gaussian mixture and from a flow, and how far what
//! they generate lies from the data.
//!
//! ```text
//! $ cargo run --release --example samplers
//! prior: mor 2.03, zer 17.33
//! gmm: mor 0.36, zer 7.00
//! maf: mor 0.71, zer 9.77
//! ```

use std::{error::Error, sync::Arc};

use multivae::{
    core::{model::Latent, pass::Pass},
    metrics::{Features, FidConfig, RawValues, joint_fid},
    prelude::*,
};

const ROWS: usize = 400;

#[expect(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let data = DataConfig::new("mfeat").open()?;
    let device = Device::flex();
    device.seed(0);
    let config = ModelConfig::named("mopoe").expect("a model of the list");
    let config = config.with_modalities(data.train.modalities())?;
    let model = config.init(&Networks::default(), &device)?;
    let run = tempfile::tempdir()?;
    let settings = TrainConfig { epochs: 10, ..TrainConfig::default() };
    let (train, valid) = (Arc::new(data.train), Arc::new(data.valid));
    let fitted = Trainer::new(settings, run.path()).fit(model, train.clone(), valid)?;
    let model = fitted.model.generator()?;

    // Fréchet distances to the test rows in the values themselves, of the modalities of fewest
    // features.
    let targets = ["mor", "zer"].map(|name| Subset::named(model.modalities(), [name]));
    let targets = targets.into_iter().collect::<Result<Vec<_>, _>>()?;
    let places = targets.iter().flat_map(|target| target.iter());
    let features: Vec<_> =
        places.map(|m| (model.modalities()[m].name.clone(), &RawValues as &dyn Features)).collect();
    let show = |name: &str, latent: Vec<Latent>| -> Result<(), Box<dyn Error + Send + Sync>> {
        let config = FidConfig::default();
        let found = joint_fid(model, &data.test, latent.into_iter(), &features, &config, &device)?;
        let distances = found.iter().map(|d| format!("{} {:.2}", d.target, d.fid));
        println!("{name}: {}", distances.collect::<Vec<_>>().join(", "));
        Ok(())
    };

    let prior = PriorSampler { rows: ROWS, chunk: 200, seed: 0 };
    show("prior", prior.chunks(model, &device)?.collect())?;
    for kind in ["gmm", "maf"] {
        // Fitted to samples of the posteriors of the training rows.
        let config = SamplerConfig::named(kind).expect("a kind of sampler");
        let pass = Pass { batch_size: 256, seed: 0 };
        let sampler = Sampler::fit(model, &*train, &config, pass, &device, &|_share| ())?;
        show(kind, sampler.chunks(model, ROWS, 200, 0, &device)?.collect())?;
    }
    Ok(())
}
