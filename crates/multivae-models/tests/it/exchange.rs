//! The weights of the recorded cases find their places by the names of the reference, and come back
//! under them.

use burn::tensor::Device;
use multivae_core::{module::init_parameters, nn::Networks};
use multivae_models::{
    Model, ModelConfig,
    exchange::{self, Entry, Reference, Weights},
};
use serde_json::{Value, json};

use crate::{parity::Case, reference::cases};

/// A perceptron of the recorded one's widths; the last layer of a decoder is the output.
fn perceptron(network: &Value) -> Value {
    let layers = network["layers"].as_array().expect("layers");
    let mut hidden: Vec<&Value> =
        layers.iter().filter(|op| op["op"] == "linear").map(|op| &op["out"]).collect();
    match network.get("output_activation").and_then(Value::as_str) {
        None => json!({ "kind": "mlp", "hidden": hidden }),
        Some(output) => {
            hidden.pop();
            let output = if output == "identity" { "none" } else { output };
            json!({ "kind": "mlp", "hidden": hidden, "output": output })
        }
    }
}

/// The configuration of a case, with networks of the recorded widths.
fn config(case: &Case) -> ModelConfig {
    let description = case.description();
    let arch = &description.arch;
    let reference = Reference::read(&description.config).expect("it can be read");
    let mut json = serde_json::to_value(reference.open_config()).expect("plain data");
    let conditional = description.model == "cvae";
    for modality in json["modalities"].as_array_mut().expect("modalities") {
        let name = modality["name"].as_str().expect("a name").to_owned();
        if conditional {
            modality["encoder"] = perceptron(&arch["encoder"]["encoders"][&name]);
            if description.config["main_modality"] == name {
                modality["decoder"] = perceptron(&arch["decoder"]["network"]);
            }
            continue;
        }
        for (ours, theirs) in [("encoder", "encoders"), ("decoder", "decoders")] {
            modality[ours] = perceptron(&arch[theirs][&name]);
        }
    }
    // What encodes all modalities at once.
    let joint = if conditional { "encoder" } else { "joint_encoder" };
    if arch[joint]["type"] == "MultipleHeadJointEncoder" {
        json["joint_encoder"]["encoder"] = perceptron(&arch[joint]);
    }
    if arch["prior_network"].is_object() {
        json["prior_network"]["encoder"] = perceptron(&arch["prior_network"]);
    }
    if description.model == "nexus" {
        json["top_encoder"] = perceptron(&arch["joint_encoder"]);
        for part in ["top_encoders", "top_decoders"] {
            for (name, network) in arch[part].as_object().expect("networks") {
                json[part][name] = perceptron(network);
            }
        }
    }
    if let Some(flows) = arch["flows"].as_object() {
        for (name, flow) in flows {
            json["flows"][name] = json!({
                "kind": flow["type"].as_str().expect("a type").to_lowercase(),
                "blocks": flow["n_made_blocks"],
                "hidden": flow["hidden_size"],
                "layers": flow["n_hidden_in_made"],
                "batch_norm": flow["include_batch_norm"],
            });
        }
    }
    let config = serde_json::from_value(json).expect("networks of ours");
    reference.complete(config).expect("described")
}

#[test]
fn the_weights_of_every_recorded_case_are_read_by_name_and_written_again() {
    let mut models = Vec::new();
    for (name, files) in cases() {
        let [json, weights, tensors] = ["case.json", "weights.safetensors", "tensors.safetensors"]
            .map(|file| files[file].as_slice());
        let case =
            Case::new(json, weights, tensors).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let model = case.description().model.clone();
        // Its networks are the user's, and go by their order, which these files do not keep.
        if model == "mhvae" || !exchange::is_known(&model) {
            continue;
        }
        let config = config(&case);
        let given: Vec<Entry> = case
            .weights
            .iter()
            .map(|(name, array)| Entry {
                name: name.clone(),
                shape: array.shape.clone(),
                values: array.values.clone(),
            })
            .collect();
        let fresh: Model = init_parameters(
            config.init(&Networks::default(), &Device::flex()).expect("a complete configuration"),
        );
        let filled = exchange::fill(fresh, &config, &Weights::unordered(given.clone()))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut found = exchange::entries(&filled, &config).expect("on the CPU");
        found.sort_by(|a, b| a.name.cmp(&b.name));
        // What only we have.
        found.retain(|entry| !entry.name.starts_with("log_scales."));
        assert_eq!(found.len(), given.len(), "{name}");
        for (found, given) in found.iter().zip(&given) {
            // What nothing reads is not kept.
            let whole = ["encoder.encoders.", "prior_network.encoders.", "top_encoders."];
            let unread = whole.iter().any(|part| given.name.contains(part))
                && given.name.contains(".log_var.");
            assert_eq!(found.name, given.name, "{name}");
            assert!(unread || found == given, "{name}: {}", given.name);
        }
        if !models.contains(&model) {
            models.push(model);
        }
    }
    let known = ModelConfig::NAMES.iter().filter(|name| exchange::is_known(name));
    let missing: Vec<_> = known.filter(|name| !models.iter().any(|m| m == *name)).collect();
    assert_eq!(missing, [&"mhvae"]);
}
