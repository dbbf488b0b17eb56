//! A network of one's own in a model of the library: written, trained, saved, read back.
//!
//! ```text
//! $ cargo run --release --example own_network
//! elbo -230.3 nats
//! ```

use std::{error::Error, sync::Arc};

use burn::nn::{Linear, LinearConfig};
use multivae::prelude::*;

/// All that a network which the library does not have needs to be.
#[derive(Module, Debug)]
struct Lookup {
    mean: Linear,
    log_var: Linear,
}

impl Encoder for Lookup {
    fn encode(&self, values: &Values) -> Encoding {
        let x = values.dense().expect("labels are dense").clone();
        let shared = Normal::new(self.mean.forward(x.clone()), self.log_var.forward(x));
        Encoding { shared, private: None }
    }
}

/// The configuration knows the network by its name.
const CONFIG: &str = r#"
    name = "mvae"
    latent = 8

    [[modalities]]
    name = "label"
    encoder = { kind = "custom", name = "lookup" }
"#;

#[expect(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<(), Box<dyn Error>> {
    let networks = Networks::default().with_encoder("lookup", |request| {
        let head = || LinearConfig::new(request.inputs(), request.outputs()).init(request.device);
        Lookup { mean: head(), log_var: head() }
    });
    let data = DataConfig { rows: Some(1000), ..DataConfig::new("mnist-labels") }.open()?;
    let config: ModelConfig = toml::from_str(CONFIG)?;
    let config = config.with_modalities(data.train.modalities())?;

    let device = Device::flex();
    device.seed(0);
    let model = config.init(&networks, &device)?;
    let run = tempfile::tempdir()?;
    let settings = TrainConfig { epochs: 3, ..TrainConfig::default() };
    Trainer::new(settings, run.path()).fit(model, Arc::new(data.train), Arc::new(data.valid))?;

    // The configuration and the folder of the run are the model, as long as the network is there.
    let saved = toml::to_string(&config)?;
    let read: ModelConfig = toml::from_str(&saved)?;
    let again = load_best(run.path(), read.init(&networks, &device)?)?;
    let evaluation = evaluate(again.density()?, &data.test, &EvaluateConfig::default(), &device)?;
    println!("elbo {:.1} nats", evaluation.elbo.mean);
    Ok(())
}
