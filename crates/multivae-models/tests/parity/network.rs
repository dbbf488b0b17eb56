//! The description of a case's networks as configurations of ours, and the names of weights.

use std::collections::BTreeMap;

use multivae_core::{
    modality::ModalitySpec,
    nn::{
        BranchConfig, BranchesConfig, EncoderConfig, FlowBlocks, FlowConfig, HierarchyConfig,
        JointEncoderConfig, LayerConfig, NetworkConfig, PosteriorConfig, PrivateBranchConfig,
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
pub(super) struct Layout {
    layers: BTreeMap<String, (String, bool)>,
    parameters: BTreeMap<String, String>,
    /// Weights of the reference that have no place in ours; see [`Absent`].
    absent: BTreeMap<String, Absent>,
    /// Prefixes of parameters of ours that the reference lacks.
    own: Vec<String>,
}

/// Why a weight of the reference has no place in ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// It is zero and never learns: ours has it as a constant.
    Zero,
    /// Nothing depends on it.
    Unused,
}

impl Layout {
    fn put(&mut self, ours: String, theirs: String, linear: bool) {
        self.layers.insert(ours, (theirs, linear));
    }

    /// Places a parameter that belongs to no layer.
    pub fn parameter(&mut self, ours: impl Into<String>, theirs: impl Into<String>) {
        self.parameters.insert(ours.into(), theirs.into());
    }

    /// Says that a layer or a weight of the reference is used by no result, and has no place here.
    pub fn skip(&mut self, theirs: impl Into<String>) {
        self.leave(theirs, Absent::Unused);
    }

    /// Leaves out a layer or a weight of the reference.
    pub fn leave(&mut self, theirs: impl Into<String>, why: Absent) {
        self.absent.insert(theirs.into(), why);
    }

    /// Why a weight of the reference has no place here; `None` if it should have one.
    pub fn absence(&self, name: &str) -> Option<Absent> {
        let layer = name.rsplit_once('.').map_or(name, |(layer, _)| layer);
        self.absent.get(name).or_else(|| self.absent.get(layer)).copied()
    }

    /// Whether a weight of the reference has no place here.
    pub fn skips(&self, name: &str) -> bool {
        self.absence(name).is_some()
    }

    /// Says that what is below a path of ours is unknown to the reference, and stays as it is.
    pub fn own(&mut self, ours: &str) {
        self.own.push(format!("{ours}."));
    }

    /// Whether the reference lacks the parameter at a path of ours.
    pub fn is_own(&self, path: &str) -> bool {
        self.own.iter().any(|own| path.starts_with(own))
    }

    /// The reference's name of the parameter at a path of ours; the path itself if it has none.
    pub fn name(&self, path: &str) -> WeightName {
        // Variants of enums stand in our paths and not in the reference's.
        let variants =
            ["Branches", "Layers", "Linear", "Conv2d", "ConvTranspose2d", "Shared", "PerModality"];
        let segments: Vec<&str> = path.split('.').filter(|s| !variants.contains(s)).collect();
        let (last, layer) = segments.split_last().expect("a path has a segment");
        if let Some(theirs) = self.parameters.get(path) {
            return WeightName { name: theirs.clone(), transposed: false };
        }
        match self.layers.get(&layer.join(".")) {
            Some((theirs, linear)) => WeightName {
                name: format!("{theirs}.{last}"),
                transposed: *linear && *last == "weight",
            },
            None => WeightName { name: path.to_owned(), transposed: false },
        }
    }
}

fn text<'v>(value: &'v Value, key: &str) -> Result<&'v str, Problem> {
    value
        .get(key)
        .and_then(Value::as_str)
        .ok_or_else(|| broken(format!("arch: no `{key}` in {value}")))
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
        // What comes in is joined already.
        "concat_embeddings" => json!({"kind": "identity"}),
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
            mean: head(
                network,
                "style_embedding",
                &format!("{ours}.private.mean"),
                &theirs,
                layout,
            )?,
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

/// The joint encoder of all modalities.
pub(super) fn joint_encoder(
    arch: &Value,
    specs: &[ModalitySpec],
    layout: &mut Layout,
) -> Result<JointEncoderConfig, Problem> {
    several(&arch["joint_encoder"], "joint_encoder", "joint_encoder", specs, layout)
}

/// An encoder of several modalities, whose weights stand under `theirs` in the case and `ours`
/// here.
pub(super) fn several(
    joint: &Value,
    ours: &str,
    theirs: &str,
    specs: &[ModalitySpec],
    layout: &mut Layout,
) -> Result<JointEncoderConfig, Problem> {
    let mut inputs = BTreeMap::new();
    for spec in specs {
        let network = &joint["encoders"][spec.name.as_str()];
        let theirs = format!("{theirs}.encoders.{}", spec.name);
        let ours = format!("{ours}.inputs.{}", spec.name);
        inputs.insert(spec.name.clone(), up_to_mean(network, &ours, &theirs, layout)?);
    }
    let encoder = branch(joint, &format!("{ours}.encoder.shared"), theirs, layout)?;
    Ok(JointEncoderConfig { inputs, encoder: Some(EncoderConfig::Branches(encoder.into())) })
}

/// The flow of a modality.
pub(super) fn flow(arch: &Value, name: &str, layout: &mut Layout) -> Result<FlowConfig, Problem> {
    let flow = &arch["flows"][name];
    let count = |key: &str| {
        let value = flow.get(key).and_then(Value::as_u64);
        value.map(|v| v as usize).ok_or_else(|| broken(format!("arch: no `{key}` in {flow}")))
    };
    let (blocks, hidden, layers) =
        (count("n_made_blocks")?, count("hidden_size")?, count("n_hidden_in_made")?);
    let batch_norm = flow["include_batch_norm"].as_bool().unwrap_or(false);
    for block in 0..blocks {
        // Blocks and batch normalisations take turns.
        let place = if batch_norm { 2 * block } else { block };
        for layer in 0..=layers {
            let theirs = format!("flows.{name}.net.{place}.net.{}", 2 * layer);
            layout.skip(format!("{theirs}.mask"));
            layout.put(format!("flows.{name}.blocks.{block}.layers.{layer}"), theirs, true);
        }
        if batch_norm {
            let theirs = format!("flows.{name}.net.{}", place + 1);
            layout.put(format!("flows.{name}.norms.{block}"), theirs, false);
        }
    }
    match text(flow, "type")? {
        "MAF" => Ok(FlowConfig::Maf(FlowBlocks { blocks, hidden, layers, batch_norm })),
        "IAF" => Ok(FlowConfig::Iaf(FlowBlocks { blocks, hidden, layers, batch_norm })),
        other => Err(Problem::Todo(format!("flow `{other}`"))),
    }
}

/// An encoder of which only the mean is read. Its head for log-variances has no place here.
pub(super) fn up_to_mean(
    network: &Value,
    ours: &str,
    theirs: &str,
    layout: &mut Layout,
) -> Result<NetworkConfig, Problem> {
    let mut layers = layers(network, ours, theirs, layout)?;
    let mean = text(&network["heads"], "embedding")?;
    layout.put(format!("{ours}.layers.{}", layers.len()), format!("{theirs}.{mean}"), true);
    layers.push(parse(json!({"kind": "linear", "outputs": network["latent_dim"]}))?);
    layout.skip(format!("{theirs}.{}", text(&network["heads"], "log_covariance")?));
    Ok(NetworkConfig::Layers { layers })
}

/// A network of layers.
pub(super) fn network(
    network: &Value,
    ours: &str,
    theirs: &str,
    layout: &mut Layout,
) -> Result<NetworkConfig, Problem> {
    Ok(NetworkConfig::Layers { layers: layers(network, ours, theirs, layout)? })
}

/// An encoder without private branch.
pub(super) fn shared_encoder(
    network: &Value,
    ours: &str,
    theirs: &str,
    layout: &mut Layout,
) -> Result<EncoderConfig, Problem> {
    let branch = branch(network, &format!("{ours}.shared"), theirs, layout)?;
    Ok(EncoderConfig::Branches(branch.into()))
}

/// The networks of a hierarchical model.
pub(super) fn hierarchy(
    arch: &Value,
    specs: &[ModalitySpec],
) -> Result<(HierarchyConfig, Layout), Problem> {
    let mut layout = Layout::default();
    let layout = &mut layout;
    let mut encoders = BTreeMap::new();
    let mut bottom_up = BTreeMap::new();
    let mut top = BTreeMap::new();
    let mut decoders = BTreeMap::new();
    let mut posteriors = BTreeMap::new();
    let separate = arch["posterior_blocks"].is_object();
    for spec in specs {
        let name = spec.name.as_str();
        let network = |group: &str, path: &str, layout: &mut Layout| {
            let theirs = format!("{group}.{name}");
            let layers = layers(&arch[group][name], &format!("hierarchy.{path}"), &theirs, layout)?;
            Ok::<_, Problem>(NetworkConfig::Layers { layers })
        };
        let encoder = network("encoders", &format!("encoders.{name}"), layout)?;
        let decoder = network("decoders", &format!("decoders.{name}.net"), layout)?;
        let ladder = list(&arch["bottom_up_blocks"], name)?;
        let (last, blocks) =
            ladder.split_last().ok_or_else(|| broken("arch: no bottom-up block"))?;
        let blocks = blocks
            .iter()
            .enumerate()
            .map(|(i, block)| {
                let path = format!("{name}.{i}");
                let ours = format!("hierarchy.bottom_up.{path}");
                let layers = layers(block, &ours, &format!("bottom_up_blocks.{path}"), layout)?;
                Ok(NetworkConfig::Layers { layers })
            })
            .collect::<Result<Vec<_>, Problem>>()?;
        let last = {
            let theirs = format!("bottom_up_blocks.{name}.{}", blocks.len());
            branch(last, &format!("hierarchy.top.{name}.shared"), &theirs, layout)?
        };
        if separate {
            let ours = format!("hierarchy.posterior.{name}");
            let theirs = format!("posterior_blocks.{name}");
            let blocks = heads(list(&arch["posterior_blocks"], name)?, &ours, &theirs, layout)?;
            posteriors.insert(spec.name.clone(), blocks);
        }
        encoders.insert(spec.name.clone(), encoder);
        bottom_up.insert(spec.name.clone(), blocks);
        top.insert(spec.name.clone(), EncoderConfig::Branches(last.into()));
        decoders.insert(spec.name.clone(), decoder);
    }
    let top_down = list(arch, "top_down_blocks")?
        .iter()
        .enumerate()
        .map(|(i, block)| {
            let (ours, theirs) =
                (format!("hierarchy.top_down.{i}"), format!("top_down_blocks.{i}"));
            Ok(NetworkConfig::Layers { layers: layers(block, &ours, &theirs, layout)? })
        })
        .collect::<Result<_, Problem>>()?;
    let prior = heads(list(arch, "prior_blocks")?, "hierarchy.prior", "prior_blocks", layout)?;
    let posterior = if separate {
        PosteriorConfig::PerModality(posteriors)
    } else {
        let blocks = list(arch, "posterior_blocks")?;
        PosteriorConfig::Shared(heads(blocks, "hierarchy.posterior", "posterior_blocks", layout)?)
    };
    let config = HierarchyConfig { encoders, bottom_up, top, top_down, prior, posterior, decoders };
    Ok((config, std::mem::take(layout)))
}

/// A list of networks with heads.
fn heads(
    blocks: &[Value],
    ours: &str,
    theirs: &str,
    layout: &mut Layout,
) -> Result<Vec<EncoderConfig>, Problem> {
    blocks
        .iter()
        .enumerate()
        .map(|(i, block)| {
            let ours = format!("{ours}.{i}.shared");
            let branch = branch(block, &ours, &format!("{theirs}.{i}"), layout)?;
            Ok(EncoderConfig::Branches(branch.into()))
        })
        .collect()
}
