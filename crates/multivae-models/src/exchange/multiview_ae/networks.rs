//! Networks of the library as ours, and how their layers are called.

use multivae_core::{
    distribution::Likelihood,
    nn::{
        BranchConfig, BranchesConfig, EncoderConfig, LayerConfig, NetworkConfig,
        PrivateBranchConfig,
    },
};
use serde_json::{Map, Value, json};

use super::{
    super::{
        Result,
        names::{Beside, Place},
    },
    settings::{Settings, architecture, field, likelihood, whole},
    weights::Change,
};
use crate::ModalityConfig;

/// Where everything stands in the library.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) places: Vec<Place>,
    pub(super) beside: Beside,
    /// What is done to arrays before they are parameters here.
    pub(super) changes: Vec<Change>,
}

impl Layout {
    /// Encoders have another name here than others have: those of posteriors whose variances follow
    /// from the means.
    pub(super) fn with_mean_encoders(mut self) -> Self {
        for place in &mut self.places {
            if let Some(rest) = place.ours.strip_prefix("encoders.") {
                place.ours = format!("mean_encoders.{rest}");
            }
        }
        self
    }

    /// All of it is a part of the model here.
    pub(super) fn within(mut self, part: &str) -> Self {
        let places = self.places.iter_mut().map(|place| &mut place.ours);
        let parameters = self.beside.parameters.iter_mut().map(|(ours, _)| ours);
        for path in places.chain(parameters) {
            *path = format!("{part}.{path}");
        }
        self
    }
}

/// Layers, and what those with weights are called below the network's name.
struct Stack {
    layers: Vec<LayerConfig>,
    names: Vec<String>,
}

/// What an encoder yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heads {
    /// A code.
    Code,
    /// The mean of a posterior whose variance follows from it.
    Mean,
    /// A mean and a log-variance.
    Both,
    /// The same, of which so many features are private and come first.
    Split(usize),
    /// A mean and a log-variance of each of two spaces.
    Private,
}

/// An encoder of a view, or of all.
pub(super) struct Encoder {
    trunk: Stack,
    head: LayerConfig,
    heads: Heads,
}

impl Encoder {
    /// Reads the encoder of a view, or what all have in common.
    pub(super) fn read(settings: &Settings, view: Option<usize>, heads: Heads) -> Result<Self> {
        let (name, values) = settings.network("encoder", view);
        let (class, variational) = match architecture(&name, values)? {
            "mlp.Encoder" => ("mlp", false),
            "cnn.Encoder" => ("cnn", false),
            "mlp.VariationalEncoder" => ("mlp", true),
            "cnn.VariationalEncoder" => ("cnn", true),
            _ => return Err(no_counterpart(&name, values)),
        };
        if variational != (heads != Heads::Code) {
            let text = match variational {
                true => "an encoder without a variance",
                false => "a variational encoder",
            };
            return Err(field(format!("{name}._target_"), text, &values["_target_"]));
        }
        if heads == Heads::Code && values["enc_dist"]["_target_"] != json!(DEFAULT) {
            let key = format!("{name}.enc_dist");
            return Err(field(key, &format!("`{DEFAULT}`"), &values["enc_dist"]));
        }
        let reader = Network::new(&name, values)?;
        let mut trunk = match class {
            "mlp" => reader.perceptron("encoder_layers")?,
            _ => reader.layers("encoder_layers", 0)?,
        };
        if heads == Heads::Code {
            // The last one of the list.
            let number = match class {
                "mlp" => trunk.names.len(),
                _ => reader.listed().count(),
            };
            trunk.names.push(format!("encoder_layers.{number}"));
        } else {
            trunk.names.push("enc_mean_layer".into());
        }
        if !matches!(heads, Heads::Code | Heads::Mean) {
            trunk.names.push("enc_logvar_layer".into());
        }
        if matches!(heads, Heads::Split(_) | Heads::Private) {
            trunk.names.push("enc_mean_layer_private".into());
            trunk.names.push("enc_logvar_layer_private".into());
        }
        Ok(Self { trunk, head: reader.open(), heads })
    }

    /// As one of ours.
    pub(super) fn config(&self) -> EncoderConfig {
        let head = || vec![self.head.clone()];
        let shared =
            BranchConfig { trunk: self.trunk.layers.clone(), mean: head(), log_var: head() };
        let private = matches!(self.heads, Heads::Split(_) | Heads::Private)
            .then(|| PrivateBranchConfig { trunk: None, mean: head(), log_var: head() });
        EncoderConfig::Branches(BranchesConfig { shared, private })
    }

    /// As one of ours with the layers of another for the private space.
    pub(super) fn config_beside(&self, private: &Self) -> EncoderConfig {
        let head = || vec![private.head.clone()];
        let private = PrivateBranchConfig {
            trunk: Some(private.trunk.layers.clone()),
            mean: head(),
            log_var: head(),
        };
        let shared = BranchConfig {
            trunk: self.trunk.layers.clone(),
            mean: vec![self.head.clone()],
            log_var: vec![self.head.clone()],
        };
        EncoderConfig::Branches(BranchesConfig { shared, private: Some(private) })
    }

    /// Where it stands: here below one path, there below another.
    pub(super) fn place(&self, ours: String, theirs: String, layout: &mut Layout) {
        if let Heads::Split(size) = self.heads {
            for head in ["enc_mean_layer", "enc_logvar_layer"] {
                let layer = format!("{theirs}.{head}");
                layout.changes.push(Change::Split { layer, size });
            }
        }
        layout.places.push(Place::new(ours, theirs, vec![self.trunk.names.clone()]));
    }
}

/// The distribution of codes.
const DEFAULT: &str = "multiviewae.base.distributions.Default";

/// The decoder of a view.
pub(super) struct Decoder {
    pub(super) config: NetworkConfig,
    pub(super) likelihood: Likelihood,
    names: Vec<String>,
    /// By which `logvar_out` becomes the logarithm of a scale.
    factor: Option<f32>,
}

impl Decoder {
    pub(super) fn read(settings: &Settings, view: usize) -> Result<Self> {
        let (name, values) = settings.network("decoder", Some(view));
        let reader = Network::new(&name, values)?;
        let (mut stack, learned) = match architecture(&name, values)? {
            "mlp.Decoder" => {
                let mut stack = reader.perceptron("decoder_layers")?;
                stack.names.push(format!("decoder_layers.{}", stack.names.len()));
                (stack, false)
            }
            "mlp.VariationalDecoder" => {
                let mut stack = reader.perceptron("decoder_layers")?;
                stack.names.push("dec_mean_layer".into());
                (stack, true)
            }
            "cnn.Decoder" => (reader.of_latent()?, false),
            _ => return Err(no_counterpart(&name, values)),
        };
        if architecture(&name, values)?.starts_with("mlp") {
            stack.layers.push(reader.open());
        }
        let (likelihood, factor) = likelihood(&name, values, learned)?;
        let config = NetworkConfig::layers(stack.layers);
        Ok(Self { config, likelihood, names: stack.names, factor })
    }

    /// Where it stands, the first `rotated` inputs coming last here.
    pub(super) fn place(&self, name: &str, view: usize, rotated: usize, layout: &mut Layout) {
        let theirs = format!("decoders.{view}");
        if let Some(factor) = self.factor {
            let array = format!("{theirs}.logvar_out");
            let ours = format!("decoders.{name}.log_scale");
            layout.beside.parameters.push((ours, array.clone()));
            layout.changes.push(Change::Scale { array, factor });
        }
        if let (true, Some(first)) = (rotated > 0, self.names.first()) {
            let array = format!("{theirs}.{first}.weight");
            layout.changes.push(Change::Rotate { array, columns: rotated });
        }
        let tables = vec![self.names.clone()];
        layout.places.push(Place::new(format!("decoders.{name}.net"), theirs, tables));
    }
}

/// The views with their networks, where each has an encoder of its own.
pub(super) fn modalities(
    settings: &Settings,
    heads: Heads,
) -> Result<(Vec<ModalityConfig>, Layout)> {
    let mut layout = Layout::default();
    let mut encoders = Vec::new();
    for (m, view) in settings.views.iter().enumerate() {
        let encoder = Encoder::read(settings, Some(m), heads)?;
        encoder.place(format!("encoders.{}", view.name), format!("encoders.{m}"), &mut layout);
        encoders.push(Some(encoder.config()));
    }
    let rotated = if let Heads::Split(size) = heads { size } else { 0 };
    let modalities = with_decoders(settings, encoders, rotated, &mut layout)?;
    Ok((modalities, layout))
}

/// The views with encoders as given.
pub(super) fn with_decoders(
    settings: &Settings,
    encoders: Vec<Option<EncoderConfig>>,
    rotated: usize,
    layout: &mut Layout,
) -> Result<Vec<ModalityConfig>> {
    let mut found = Vec::new();
    for (m, (view, encoder)) in settings.views.iter().zip(encoders).enumerate() {
        let decoder = Decoder::read(settings, m)?;
        decoder.place(view.name.as_str(), m, rotated, layout);
        found.push(ModalityConfig {
            shape: view.shape.clone(),
            likelihood: Some(decoder.likelihood),
            encoder,
            decoder: Some(decoder.config),
            ..ModalityConfig::new(view.name.clone())
        });
    }
    Ok(found)
}

fn no_counterpart(name: &str, values: &Value) -> super::super::ExchangeError {
    let expected = "a network without labels: those on labels have no counterpart here";
    field(format!("{name}._target_"), expected, &values["_target_"])
}

/// The section of a network.
struct Network<'a> {
    name: &'a str,
    values: &'a Map<String, Value>,
    bias: bool,
    non_linear: bool,
}

impl<'a> Network<'a> {
    fn new(name: &'a str, values: &'a Value) -> Result<Self> {
        let Some(values) = values.as_object() else {
            return Err(field(name, "a mapping", values));
        };
        const KNOWN: &[&str] = &[
            "_target_",
            "hidden_layer_dim",
            "bias",
            "non_linear",
            "enc_dist",
            "dec_dist",
            "init_logvar",
            "multiple_latents",
            "num_cat",
            "one_hot",
        ];
        let unknown = |key: &&String| !KNOWN.contains(&key.as_str()) && !key.starts_with("layer");
        if let Some(key) = values.keys().find(unknown) {
            let text = format!("one of the keys {}", KNOWN.join(", "));
            return Err(field(format!("{name}.{key}"), &text, &values[key]));
        }
        let flag = |key: &str, default: bool| match values.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| field(format!("{name}.{key}"), "true or false", value)),
        };
        let (bias, non_linear) = (flag("bias", true)?, flag("non_linear", false)?);
        Ok(Self { name, values, bias, non_linear })
    }

    /// A linear layer whose size its role decides.
    fn open(&self) -> LayerConfig {
        LayerConfig::Linear { outputs: None, bias: self.bias }
    }

    /// Linear layers, each with what follows, all but the last one.
    fn perceptron(&self, list: &str) -> Result<Stack> {
        let key = format!("{}.hidden_layer_dim", self.name);
        let widths = match self.values.get("hidden_layer_dim") {
            Some(Value::Array(widths)) => widths.as_slice(),
            None => &[],
            Some(other) => return Err(field(key, "a list of whole numbers", other)),
        };
        let mut stack = Stack { layers: Vec::new(), names: Vec::new() };
        for (i, width) in widths.iter().enumerate() {
            let outputs = Some(whole(&key, width)?);
            stack.layers.push(LayerConfig::Linear { outputs, bias: self.bias });
            stack.names.push(format!("{list}.{i}"));
            self.activate(&mut stack);
        }
        Ok(stack)
    }

    fn activate(&self, stack: &mut Stack) {
        if self.non_linear {
            stack.layers.push(LayerConfig::Relu {});
        }
    }

    /// The entries that name layers, in order.
    fn listed(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.values.iter().filter(|(key, _)| key.starts_with("layer"))
    }

    /// The layers of the list from number `skip` on, each with what follows.
    fn layers(&self, list: &str, skip: usize) -> Result<Stack> {
        let mut stack = Stack { layers: Vec::new(), names: Vec::new() };
        for (i, (key, value)) in self.listed().enumerate().skip(skip) {
            let (layer, weights) = layer(&format!("{}.{key}", self.name), value)?;
            stack.layers.push(layer);
            if weights {
                stack.names.push(format!("{list}.{i}"));
            }
            self.activate(&mut stack);
        }
        Ok(stack)
    }

    /// The layers of a decoder, the first of which has its inputs from its role, and the last of
    /// which nothing follows.
    fn of_latent(&self) -> Result<Stack> {
        let Some((key, first)) = self.listed().next() else {
            return Err(field(format!("{}.layer0", self.name), "a layer", &Value::Null));
        };
        let key = format!("{}.{key}", self.name);
        if first["layer"] != "Linear" {
            return Err(field(key, "the layer `Linear`", first));
        }
        let outputs = Some(whole(&format!("{key}.out_features"), &first["out_features"])?);
        let linear = LayerConfig::Linear { outputs, bias: self.bias };
        let mut stack = Stack { layers: vec![linear], names: vec!["decoder_layers.0".into()] };
        self.activate(&mut stack);
        let rest = self.layers("decoder_layers", 1)?;
        stack.layers.extend(rest.layers);
        stack.names.extend(rest.names);
        if self.non_linear {
            stack.layers.pop();
        }
        Ok(stack)
    }
}

/// A layer of PyTorch, and whether it has weights.
fn layer(name: &str, value: &Value) -> Result<(LayerConfig, bool)> {
    let Some(values) = value.as_object() else { return Err(field(name, "a layer", value)) };
    let get = |key: &str| values.get(key).cloned().unwrap_or(Value::Null);
    let kind = values.get("layer").and_then(Value::as_str).unwrap_or_default();
    // What each layer has here, by the name there, beside what must be as PyTorch has it by default.
    const SAME: &[(&str, &str)] =
        &[("kernel_size", "kernel"), ("stride", "stride"), ("padding", "padding")];
    let convolution: Vec<(&str, &str)> = SAME
        .iter()
        .copied()
        .chain([
            ("out_channels", "channels"),
            ("output_padding", "output_padding"),
            ("bias", "bias"),
        ])
        .collect();
    let (ours, keys, weights): (&str, Vec<(&str, &str)>, bool) = match kind {
        "Linear" => ("linear", vec![("out_features", "outputs"), ("bias", "bias")], true),
        "Conv2d" => ("conv2d", convolution, true),
        "ConvTranspose2d" => ("conv_transpose2d", convolution, true),
        "Conv3d" => ("conv3d", convolution, true),
        "ConvTranspose3d" => ("conv_transpose3d", convolution, true),
        "BatchNorm1d" | "BatchNorm2d" | "BatchNorm3d" => ("batch_norm", Vec::new(), true),
        "MaxPool2d" => ("max_pool", SAME.to_vec(), false),
        "AvgPool2d" => ("avg_pool", SAME.to_vec(), false),
        "Flatten" => ("flatten", Vec::new(), false),
        "Unflatten" => ("reshape", vec![("unflattened_size", "shape")], false),
        "ReLU" => ("relu", Vec::new(), false),
        "LeakyReLU" => ("leaky_relu", vec![("negative_slope", "slope")], false),
        "Sigmoid" => ("sigmoid", Vec::new(), false),
        "Tanh" => ("tanh", Vec::new(), false),
        "SiLU" => ("silu", Vec::new(), false),
        "GELU" => ("gelu", Vec::new(), false),
        "Softplus" => ("softplus", Vec::new(), false),
        "Identity" => ("identity", Vec::new(), false),
        "Dropout" => ("dropout", vec![("p", "rate")], false),
        _ => {
            let expected = "a layer that is here, too: Linear, Conv2d, ConvTranspose2d, Conv3d, \
                            ConvTranspose3d, BatchNorm, MaxPool2d, AvgPool2d, Flatten, Unflatten, \
                            ReLU, LeakyReLU, Sigmoid, Tanh, SiLU, GELU, Softplus, Identity, Dropout";
            return Err(field(format!("{name}.layer"), expected, &get("layer")));
        }
    };
    // What says how much comes in, which follows here.
    const INPUTS: &[&str] = &["layer", "in_features", "in_channels", "num_features", "inplace"];
    let defaults = json!({
        "dilation": 1, "groups": 1, "padding_mode": "zeros", "ceil_mode": false,
        "return_indices": false, "count_include_pad": true, "start_dim": 1, "end_dim": -1, "dim": 1,
        "eps": 1e-5, "momentum": 0.1, "affine": true, "track_running_stats": true, "beta": 1,
        "threshold": 20, "approximate": "none",
    });
    let mut table = json!({ "kind": ours });
    for (key, value) in values {
        if let Some((_, own)) = keys.iter().find(|(theirs, _)| theirs == key) {
            table[*own] = value.clone();
        } else if !INPUTS.contains(&key.as_str()) && defaults.get(key) != Some(value) {
            let expected = match defaults.get(key) {
                Some(default) => format!("{default}, which the layer here has"),
                None => "nothing: the layer here has no such option".to_owned(),
            };
            return Err(field(format!("{name}.{key}"), &expected, value));
        }
    }
    if kind == "Dropout" && table["rate"].is_null() {
        table["rate"] = json!(0.5);
    }
    let layer = serde_json::from_value(table)
        .map_err(|error| field(name, &format!("a layer of kind `{ours}` ({error})"), value))?;
    Ok((layer, weights))
}
