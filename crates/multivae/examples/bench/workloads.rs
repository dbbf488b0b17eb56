//! The models and data that are compared with the Python library MultiVae: its settings, networks
//! and batches.

use multivae::{
    core::modality::ModalitySpec,
    models::{
        ModelConfig,
        exchange::{self, Example, Reference},
    },
};
use serde_json::{Value, json};

use crate::Result;

/// Data and sizes of a comparison.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    modalities: Modalities,
    latent: usize,
    private: usize,
    pub(crate) batch: usize,
}

/// Names and shapes.
type Modalities = &'static [(&'static str, &'static [usize])];

/// What `modalities:N` is made of.
const ALIKE: Modalities = &[
    ("m0", &[40]),
    ("m1", &[40]),
    ("m2", &[40]),
    ("m3", &[40]),
    ("m4", &[40]),
    ("m5", &[40]),
    ("m6", &[40]),
    ("m7", &[40]),
];

/// The workload of a name; `modalities:N` is like `tabular`, with `N` modalities of 40 features.
pub(crate) fn find(name: &str) -> Result<Workload> {
    if let Some(workload) = WORKLOADS.iter().find(|known| known.name == name) {
        return Ok(Workload { ..*workload });
    }
    let count = name.strip_prefix("modalities:").and_then(|count| count.parse::<usize>().ok());
    match count.and_then(|count| ALIKE.get(..count)) {
        Some(modalities) if modalities.len() > 1 => {
            Ok(Workload { name: "modalities", modalities, ..WORKLOADS[0] })
        }
        _ => Err(format!("no workload `{name}`").into()),
    }
}

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "tabular",
        modalities: &[("a", &[40]), ("b", &[60]), ("c", &[20])],
        latent: 10,
        private: 5,
        batch: 64,
    },
    Workload {
        name: "mnist_svhn",
        modalities: &[("mnist", &[1, 28, 28]), ("svhn", &[3, 32, 32])],
        latent: 20,
        private: 10,
        batch: 128,
    },
    Workload {
        name: "polymnist",
        modalities: &[
            ("m0", &[3, 28, 28]),
            ("m1", &[3, 28, 28]),
            ("m2", &[3, 28, 28]),
            ("m3", &[3, 28, 28]),
            ("m4", &[3, 28, 28]),
        ],
        latent: 64,
        private: 32,
        batch: 128,
    },
];

/// The modalities that a model sees: a conditional one has one condition but on `tabular`.
fn modalities(model: &str, workload: &Workload) -> Vec<(&'static str, &'static [usize])> {
    let count = match (model, workload.name) {
        ("cvae", "polymnist") => 2,
        _ => workload.modalities.len(),
    };
    workload.modalities[..count].to_vec()
}

/// The configuration of a model on a workload, with some fields of it set: `memory_mb=600`.
pub(crate) fn config(model: &str, workload: &Workload, set: &[String]) -> Result<ModelConfig> {
    let mut value = serde_json::to_value(standard(model, workload)?)?;
    for assignment in set {
        let (key, new) = assignment.split_once('=').ok_or("expected KEY=VALUE")?;
        value[key] = serde_json::from_str(new).unwrap_or_else(|_| json!(new));
    }
    let config: ModelConfig = serde_json::from_value(value)?;
    if model != "mhvae" {
        return Ok(config);
    }
    // The networks of the example are its defaults.
    let specs: Vec<ModalitySpec> = modalities(model, workload)
        .iter()
        .map(|(name, shape)| ModalitySpec::new(name, shape))
        .collect::<std::result::Result<_, _>>()?;
    Ok(config.with_modalities(&specs)?)
}

fn standard(model: &str, workload: &Workload) -> Result<ModelConfig> {
    let modalities = modalities(model, workload);
    let images = workload.name == "polymnist";
    if model == "mhvae" {
        return Ok(serde_json::from_value(json!({
            "name": "mhvae", "latent": 128, "shared_posterior": false, "warmup": 0, "free_bits": 0,
        }))?);
    }
    let by_name = |value: &dyn Fn(&[usize]) -> Value| -> Value {
        modalities.iter().map(|(name, shape)| ((*name).to_owned(), value(shape))).collect()
    };
    let names: Vec<&str> = workload.modalities.iter().map(|(name, _)| *name).collect();
    let data = Example { data: workload.name, modalities: &names, private: workload.private };
    let mut json = exchange::example(model, &data).ok_or(format!("no model `{model}`"))?;
    json["input_dims"] = by_name(&|shape| json!(shape));
    if json["latent_dim"].is_null() {
        json["latent_dim"] = json!(workload.latent);
    }
    if model == "cvae" {
        let names: Vec<&str> = modalities.iter().map(|(name, _)| *name).collect();
        let main = if workload.name == "mnist_svhn" { names.len() - 1 } else { 0 };
        json["main_modality"] = json!(names[main]);
        let others = names.iter().enumerate().filter(|(m, _)| *m != main);
        json["conditioning_modalities"] = others.map(|(_, name)| json!(name)).collect();
        if images {
            json["decoder_dist"] = json!("laplace");
            json["decoder_dist_params"] = json!({ "scale": 0.75 });
            json["custom_architectures"] = json!(["encoder"]);
        }
    } else {
        json["n_modalities"] = json!(modalities.len());
        if images {
            json["decoders_dist"] = by_name(&|_| json!("laplace"));
            json["decoder_dist_params"] = by_name(&|_| json!({ "scale": 0.75 }));
            json["custom_architectures"] = json!(["encoders", "decoders"]);
        }
    }
    let reference = Reference::read(&json)?;
    if !images {
        return Ok(reference.config()?);
    }
    // The networks of PolyMNIST.
    let mut open = serde_json::to_value(reference.open_config())?;
    let latent = json["latent_dim"].clone();
    if model == "cvae" {
        let half = |channels: usize| json!({ "kind": "conv2d", "channels": channels, "kernel": 3, "stride": 2, "padding": 1 });
        let head = json!({ "kind": "conv2d", "channels": latent, "kernel": 4, "stride": 2 });
        let relu = json!({ "kind": "relu" });
        let layers = [half(32), relu.clone(), half(64), relu.clone(), half(128), relu, head];
        let input = json!({ "kind": "layers", "layers": layers });
        let encoder = json!({ "kind": "mlp", "hidden": [512, 512] });
        open["joint_encoder"] =
            json!({ "inputs": by_name(&|_| input.clone()), "encoder": encoder });
    } else {
        for modality in open["modalities"].as_array_mut().ok_or("no modalities")? {
            modality["encoder"] = json!({ "kind": "polymnist_conv_adapted" });
            modality["decoder"] = json!({ "kind": "polymnist_conv" });
        }
    }
    Ok(reference.complete(serde_json::from_value(open)?)?)
}
