//! The description of a case's networks as configurations of ours, and the names of weights.

use std::collections::BTreeMap;

use multivae_core::{
    modality::ModalitySpec,
    nn::{
        BranchConfig, BranchesConfig, EncoderConfig, HierarchyConfig, LayerConfig, NetworkConfig,
        PrivateBranchConfig,
    },
};
use serde_json::{Value, json};

use super::{Problem, broken};

/// Where a parameter of ours stands in the reference.
pub(super) struct WeightName {
    pub name: String,
    /// Whether the two axes are swapped, as those of linear layers.
    pub transposed: bool,
}

/// The reference's prefix of each layer of ours.
#[derive(Default)]
pub(super) struct Layout(BTreeMap<String, (String, bool)>);

impl Layout {
    fn put(&mut self, ours: String, theirs: String, linear: bool) {
        self.0.insert(ours, (theirs, linear));
    }

    /// The reference's name of the parameter at a path of ours; the path itself if it has none.
    pub fn name(&self, path: &str) -> WeightName {
        // Variants of enums stand in our paths and not in the reference's.
        let variants = ["Branches", "Layers", "Linear", "Conv2d", "ConvTranspose2d"];
        let segments: Vec<&str> = path.split('.').filter(|s| !variants.contains(s)).collect();
        let (last, layer) = segments.split_last().expect("a path has a segment");
        match self.0.get(&layer.join(".")) {
            Some((theirs, linear)) => WeightName {
                name: format!("{theirs}.{last}"),
                transposed: *linear && *last == "weight",
            },
            None => WeightName { name: path.to_owned(), transposed: false },
        }
    }
}

fn text<'v>(value: &'v Value, key: &str) -> Result<&'v str, Problem> {
    value.get(key).and_then(Value::as_str).ok_or_else(|| broken(format!("arch: no `{key}` in {value}")))
}

fn list<'v>(value: &'v Value, key: &str) -> Result<&'v [Value], Problem> {
    value
        .get(key)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .ok_or_else(|| broken(format!("arch: no list `{key}` in {value}")))
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_json::from_value(value.clone()).map_err(|e| broken(format!("arch: {value}: {e}")))
}

/// One operation as a layer of ours.
fn layer(op: &Value) -> Result<LayerConfig, Problem> {
    let get = |key: &str| op.get(key).cloned().unwrap_or(Value::Null);
    parse(match text(op, "op")? {
        "linear" => json!({"kind": "linear", "outputs": get("out")}),
        "conv2d" => json!({
            "kind": "conv2d", "channels": get("out"), "kernel": get("kernel"),
            "stride": get("stride"), "padding": get("padding"),
        }),
        "conv_transpose2d" => json!({
            "kind": "conv_transpose2d", "channels": get("out"), "kernel": get("kernel"),
            "stride": get("stride"), "padding": get("padding"),
            "output_padding": get("output_padding"),
        }),
        "reshape" => json!({"kind": "reshape", "shape": get("shape")}),
        simple @ ("flatten" | "relu" | "silu" | "sigmoid" | "identity") => json!({"kind": simple}),
        other => return Err(Problem::Todo(format!("layer `{other}`"))),
    })
}

/// The layers of a network, whose weights stand under `theirs` in the case and `ours` here.
fn layers(
    network: &Value,
    ours: &str,
    theirs: &str,
    layout: &mut Layout,
) -> Result<Vec<LayerConfig>, Problem> {
    list(network, "layers")?
        .iter()
        .enumerate()
        .map(|(i, op)| {
            if let Some(param) = op.get("param").and_then(Value::as_str) {
                let linear = text(op, "op")? == "linear";
                layout.put(format!("{ours}.layers.{i}"), format!("{theirs}.{param}"), linear);
            }
            layer(op)
        })
        .collect()
}

/// A head of an encoder: one layer, and a transform behind it.
fn head(
    network: &Value,
    head: &str,
    ours: &str,
    theirs: &str,
    layout: &mut Layout,
) -> Result<Vec<LayerConfig>, Problem> {
    let param = text(&network["heads"], head)?;
    let (layer, linear) = match network.get("head_op") {
        None | Some(Value::Null) => (json!({"kind": "linear"}), true),
        Some(op) if text(op, "op")? == "conv2d" => (
            json!({
                "kind": "conv2d", "channels": op["channels"], "kernel": op["kernel"],
                "stride": op["stride"], "padding": op["padding"],
            }),
            false,
        ),
        Some(op) => return Err(Problem::Todo(format!("head {op}"))),
    };
    layout.put(format!("{ours}.layers.0"), format!("{theirs}.{param}"), linear);
    let mut layers = vec![parse(layer)?];
    match network.get("head_transform").and_then(Value::as_str) {
        None => {}
        Some("10*tanh(x/10)") => layers.push(parse(json!({"kind": "soft_clamp", "limit": 10.0}))?),
        Some(other) => return Err(Problem::Todo(format!("head transform `{other}`"))),
    }
    Ok(layers)
}

/// A network with heads for a mean and a log-variance.
fn branch(
    network: &Value,
    ours: &str,
    theirs: &str,
    layout: &mut Layout,
) -> Result<BranchConfig, Problem> {
    Ok(BranchConfig {
        trunk: layers(network, &format!("{ours}.trunk"), theirs, layout)?,
        mean: head(network, "embedding", &format!("{ours}.mean"), theirs, layout)?,
        log_var: head(network, "log_covariance", &format!("{ours}.log_var"), theirs, layout)?,
    })
}

/// The encoder of a modality, with a private branch if it has style heads.
pub(super) fn encoder(
    arch: &Value,
    group: &str,
    name: &str,
    layout: &mut Layout,
) -> Result<EncoderConfig, Problem> {
    let network = &arch[group][name];
    let (ours, theirs) = (format!("{group}.{name}"), format!("{group}.{name}"));
    let shared = branch(network, &format!("{ours}.shared"), &theirs, layout)?;
    let private = match network["heads"].get("style_embedding") {
        None => None,
        Some(_) => Some(PrivateBranchConfig {
            // The reference's private heads read the shared trunk.
            trunk: None,
            mean: head(network, "style_embedding", &format!("{ours}.private.mean"), &theirs, layout)?,
            log_var: head(
                network,
                "style_log_covariance",
                &format!("{ours}.private.log_var"),
                &theirs,
                layout,
            )?,
        }),
    };
    Ok(EncoderConfig::Branches(BranchesConfig { shared, private }))
}

/// The decoder of a modality.
pub(super) fn decoder(
    arch: &Value,
    group: &str,
    name: &str,
    layout: &mut Layout,
) -> Result<NetworkConfig, Problem> {
    let path = format!("{group}.{name}");
    let layers = layers(&arch[group][name], &format!("{path}.net"), &path, layout)?;
    Ok(NetworkConfig::Layers { layers })
}
