//! Where networks and parameters of ours stand in the reference, and how the layers of known
//! networks are called there.

use std::collections::BTreeMap;

use multivae_core::{
    modality::ModalityName,
    nn::{
        EncoderConfig, FlowBlocks, FlowConfig, HierarchyConfig, JointEncoderConfig, NetworkConfig,
        PosteriorConfig,
    },
};

use super::weights::Weights;
use crate::{ModalityConfig, ModelConfig};

/// A network, and what is known of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Path of the network here, without names of enum variants.
    pub(super) ours: String,
    /// Path of the network in the reference.
    pub(super) theirs: String,
    /// Names of the layers that have weights, in our order; one list for each network of the
    /// reference that it may be. The name of a network that is one layer is empty.
    pub(super) tables: Vec<Vec<String>>,
    /// What the reference has there and we do not.
    pub(super) extra: Extra,
}

/// What the reference has below a network and we do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extra {
    /// Nothing.
    None,
    /// A layer of this name and the last layer's shape, whose output nothing reads.
    Unused(String),
    /// The masks of the layers of an autoregressive block.
    Masks,
}

impl Place {
    pub(super) fn new(ours: String, theirs: String, tables: Vec<Vec<String>>) -> Self {
        Self { ours, theirs, tables, extra: Extra::None }
    }
}

/// The networks of a model. What is below none of them is called as here.
pub(super) fn places(config: &ModelConfig) -> Vec<Place> {
    let modalities = modalities(config);
    match config {
        ModelConfig::Mhvae(config) => config.blocks.as_ref().map_or_else(Vec::new, hierarchy),
        ModelConfig::Jmvae(config) => with_joint(&config.joint_encoder, &modalities),
        ModelConfig::Telbo(config) => with_joint(&config.joint_encoder, &modalities),
        ModelConfig::Jnf(config) => {
            let flow = |c: &ModalityConfig| config.flows.get(&c.name).unwrap_or(&config.flow);
            let flows = modalities.iter().flat_map(|c| flow_blocks(c.name.as_str(), flow(c)));
            let mut places = with_joint(&config.joint_encoder, &modalities);
            places.extend(flows);
            places
        }
        ModelConfig::Nexus(config) => {
            let mut places = autoencoders(&modalities);
            for (name, config) in &config.top_encoders {
                let path = format!("top_encoders.{name}");
                // The reference has whole encoders there and reads their means.
                let tables = match config {
                    NetworkConfig::Mlp { hidden, .. } => {
                        let mut layers = perceptron(hidden.len());
                        layers.push("embedding".into());
                        vec![layers]
                    }
                    _ => Vec::new(),
                };
                let extra = Extra::Unused("log_var".into());
                places.push(Place { extra, ..Place::new(path.clone(), path, tables) });
            }
            for (name, config) in &config.top_decoders {
                let path = format!("top_decoders.{name}");
                places.push(Place::new(path.clone(), path, network(config)));
            }
            let tables = config.top_encoder.as_ref().map_or_else(Vec::new, encoder);
            places.push(Place::new("top_encoder".into(), "joint_encoder".into(), tables));
            places
        }
        ModelConfig::Cvae(config) => {
            let main = modalities.iter().find(|c| Some(&c.name) == config.main.as_ref());
            let decoder = main.and_then(|config| config.decoder.as_ref());
            let tables = decoder.map_or_else(Vec::new, network);
            let mut places =
                vec![Place::new("decoder.net".into(), "decoder.network".into(), tables)];
            let encoder = ["joint_encoder", "encoder"];
            places.extend(joint_encoder(encoder, &config.joint_encoder, &modalities));
            if let Some(prior) = &config.prior_network {
                places.extend(joint_encoder(["prior_network"; 2], prior, &modalities));
            }
            places
        }
        _ => autoencoders(&modalities),
    }
}

/// What is in no network.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside {
    /// Our path and the reference's name of each parameter.
    pub(super) parameters: Vec<(String, String)>,
    /// Names and features of what is fixed to 0 here and there, `[1, features]`.
    pub(super) zeros: Vec<(String, usize)>,
    /// Our paths of what the reference does not have.
    pub(super) ours: Vec<String>,
}

impl Beside {
    /// A prior of mean 0, whose raw scale may be learned.
    fn prior(&mut self, ours: &str, names: [String; 2], features: usize, learned: bool) {
        let [mean, scale] = names;
        self.zeros.push((mean, features));
        if learned {
            self.parameters.push((format!("{ours}.raw"), scale));
        } else {
            self.zeros.push((scale, features));
        }
    }

    /// One for each modality.
    fn priors(
        &mut self,
        modalities: &[ModalityConfig],
        names: [&str; 2],
        features: usize,
        learned: bool,
    ) {
        for ModalityConfig { name, .. } in modalities {
            let names = names.map(|list| format!("{list}.{name}"));
            self.prior(&format!("modality_priors.{name}"), names, features, learned);
        }
    }
}

/// What a model has beside its networks.
pub(super) fn beside(config: &ModelConfig) -> Beside {
    let mut beside = Beside::default();
    match config {
        ModelConfig::Mmvae(config) => {
            let names = ["prior_mean".into(), "prior_log_var".into()];
            beside.prior("prior", names, config.latent, config.learned_prior);
        }
        ModelConfig::MmvaePlus(config) => {
            let lists = ["mean_priors", "logvars_priors"];
            let names = lists.map(|list| format!("{list}.shared"));
            let features = config.latent + config.private;
            beside.prior("prior", names, features, config.learned_prior);
            let learned = config.learned_modality_priors;
            beside.priors(&config.modalities, lists, config.private, learned);
        }
        ModelConfig::Cmvae(config) => {
            let names = ["w_mean_prior".into(), "w_logvar_prior".into()];
            beside.prior("", names, config.private, false);
            let lists = ["r_mean_priors", "r_logvars_priors"];
            let learned = config.learned_modality_priors;
            beside.priors(&config.modalities, lists, config.private, learned);
            for c in 0..config.clusters {
                let names = (format!("cluster_locations.{c}"), format!("mean_clusters.{c}"));
                beside.parameters.push(names);
                beside.zeros.push((format!("logvar_clusters.{c}"), config.latent));
            }
            beside.parameters.push(("cluster_logits".into(), "_pc_params".into()));
        }
        ModelConfig::Nexus(config) => {
            let adaptive = config.adaptive.iter();
            beside.ours.extend(adaptive.map(|name| format!("log_scales.{name}")));
        }
        _ => {}
    }
    beside
}

/// The modalities in the order in which a joint encoder takes them, if the weights say it.
pub(super) fn order_of_modalities(weights: &Weights) -> Option<Vec<String>> {
    let parts = ["joint_encoder.encoders", "encoder.encoders"];
    parts.into_iter().map(|part| weights.parts(part)).find(|names| !names.is_empty())
}

/// The modalities of any model, as far as they are known.
pub(super) fn modalities(config: &ModelConfig) -> Vec<ModalityConfig> {
    // What a model of the user has under that key is its own matter.
    if let ModelConfig::Custom(_) = config {
        return Vec::new();
    }
    // Every other configuration has this key, and leaves it out while it is empty.
    let values = serde_json::to_value(config).expect("configurations are plain data");
    values.get("modalities").cloned().map_or_else(Vec::new, |modalities| {
        serde_json::from_value(modalities).expect("configurations read back")
    })
}

/// The keys of a configuration that would describe a part which the reference has pickled, and
/// that are not there.
pub(super) fn keys_of_part(config: &ModelConfig, part: &str) -> Vec<String> {
    if let ModelConfig::Mhvae(config) = config {
        return if config.blocks.is_none() { vec!["blocks".into()] } else { Vec::new() };
    }
    let each = |key: &str, there: &dyn Fn(&ModalityConfig) -> bool| -> Vec<String> {
        let open = modalities(config).into_iter().filter(|config| !there(config));
        open.map(|config| format!("modalities.{}.{key}", config.name)).collect()
    };
    match (part, config) {
        ("joint_encoder", ModelConfig::Jmvae(config)) => joint_key(part, &config.joint_encoder),
        ("joint_encoder", ModelConfig::Telbo(config)) => joint_key(part, &config.joint_encoder),
        ("joint_encoder", ModelConfig::Jnf(config)) => joint_key(part, &config.joint_encoder),
        ("flows", ModelConfig::Jnf(config)) => keys(part, &config.modalities, &config.flows),
        ("joint_encoder", ModelConfig::Nexus(config)) => {
            let open = config.top_encoder.is_none();
            open.then(|| "top_encoder".to_owned()).into_iter().collect()
        }
        ("top_encoders", ModelConfig::Nexus(config)) => {
            keys(part, &config.modalities, &config.top_encoders)
        }
        ("top_decoders", ModelConfig::Nexus(config)) => {
            keys(part, &config.modalities, &config.top_decoders)
        }
        ("encoder", ModelConfig::Cvae(config)) => joint_key("joint_encoder", &config.joint_encoder),
        ("prior_network", ModelConfig::Cvae(config)) => {
            config.prior_network.as_ref().map_or_else(Vec::new, |prior| joint_key(part, prior))
        }
        ("decoder", ModelConfig::Cvae(config)) => {
            let main = config.main.as_ref();
            each("decoder", &|config| config.decoder.is_some() || Some(&config.name) != main)
        }
        ("encoders", _) => each("encoder", &|config| config.encoder.is_some()),
        ("decoders", _) => each("decoder", &|config| config.decoder.is_some()),
        // A part that we have no key for.
        (other, _) => vec![other.to_owned()],
    }
}

/// The keys of networks by modality that are not described.
fn keys<T>(
    part: &str,
    modalities: &[ModalityConfig],
    there: &BTreeMap<ModalityName, T>,
) -> Vec<String> {
    let open = modalities.iter().filter(|config| !there.contains_key(&config.name));
    open.map(|config| format!("{part}.{}", config.name)).collect()
}

/// The key of a joint encoder that is not described.
fn joint_key(key: &str, config: &JointEncoderConfig) -> Vec<String> {
    config.encoder.is_none().then(|| format!("{key}.encoder")).into_iter().collect()
}

/// Encoders and decoders by modality, and a joint encoder.
fn with_joint(config: &JointEncoderConfig, modalities: &[ModalityConfig]) -> Vec<Place> {
    let mut places = autoencoders(modalities);
    places.extend(joint_encoder(["joint_encoder"; 2], config, modalities));
    places
}

/// The blocks of a flow, which take turns with batch normalisations if there are any.
fn flow_blocks(name: &str, config: &FlowConfig) -> Vec<Place> {
    let FlowBlocks { blocks, layers, batch_norm, .. } = match *config {
        FlowConfig::Maf(blocks) | FlowConfig::Iaf(blocks) => blocks,
        _ => return Vec::new(),
    };
    let path = format!("flows.{name}");
    let step = if batch_norm { 2 } else { 1 };
    let mut places = Vec::new();
    for k in 0..blocks {
        let numbers: Vec<usize> = (0..=layers).map(|layer| 2 * layer).collect();
        let ours = format!("{path}.blocks.{k}");
        let theirs = format!("{path}.net.{}", step * k);
        let block = Place::new(ours, theirs, vec![numbered("net", &numbers)]);
        places.push(Place { extra: Extra::Masks, ..block });
        if batch_norm {
            let ours = format!("{path}.norms.{k}");
            let theirs = format!("{path}.net.{}", step * k + 1);
            places.push(Place::new(ours, theirs, vec![vec![String::new()]]));
        }
    }
    places
}

/// The encoder of all modalities, in which the reference has whole encoders of each and reads
/// their means.
fn joint_encoder(
    [ours, theirs]: [&str; 2],
    config: &JointEncoderConfig,
    modalities: &[ModalityConfig],
) -> Vec<Place> {
    let read = modalities.iter().filter(|modality| config.inputs.contains_key(&modality.name));
    let inputs = read.map(|config| {
        let ours = format!("{ours}.inputs.{}", config.name);
        let theirs = format!("{theirs}.encoders.{}", config.name);
        // Without the last head, and without a private space.
        let table = config.encoder.as_ref().and_then(|config| encoder(config).into_iter().next());
        let unused = table.as_ref().and_then(|table| table.last().cloned()).unwrap_or_default();
        let tables = table.map(|mut table| {
            table.pop();
            table
        });
        let extra = Extra::Unused(unused);
        Place { extra, ..Place::new(ours, theirs, tables.into_iter().collect()) }
    });
    let tables = match &config.encoder {
        // MultipleHeadJointEncoder.
        Some(EncoderConfig::Mlp { hidden, .. }) => {
            let trunk = (0..hidden.len()).map(|i| format!("enc.{i}.0")).collect();
            vec![heads(trunk, "fc1", "fc2")]
        }
        _ => Vec::new(),
    };
    let encoder = Place::new(format!("{ours}.encoder"), theirs.to_owned(), tables);
    inputs.chain([encoder]).collect()
}

/// Encoders and decoders by modality.
fn autoencoders(modalities: &[ModalityConfig]) -> Vec<Place> {
    let encoders = modalities.iter().map(|config| {
        let path = format!("encoders.{}", config.name);
        Place::new(path.clone(), path, config.encoder.as_ref().map_or_else(Vec::new, encoder))
    });
    let decoders = modalities.iter().map(|config| {
        let path = format!("decoders.{}", config.name);
        let tables = config.decoder.as_ref().map_or_else(Vec::new, network);
        Place::new(format!("{path}.net"), path, tables)
    });
    encoders.chain(decoders).collect()
}

/// The ladders of a hierarchy. The reference counts the network to the top among the blocks up.
fn hierarchy(blocks: &HierarchyConfig) -> Vec<Place> {
    let mut places = Vec::new();
    let mut put = |ours: String, theirs: String| {
        places.push(Place::new(format!("hierarchy.{ours}"), theirs, Vec::new()));
    };
    for name in blocks.encoders.keys() {
        put(format!("encoders.{name}"), format!("encoders.{name}"));
        put(format!("decoders.{name}.net"), format!("decoders.{name}"));
    }
    for (name, ladder) in &blocks.bottom_up {
        for i in 0..ladder.len() {
            put(format!("bottom_up.{name}.{i}"), format!("bottom_up_blocks.{name}.{i}"));
        }
        put(format!("top.{name}"), format!("bottom_up_blocks.{name}.{}", ladder.len()));
    }
    for i in 0..blocks.top_down.len() {
        put(format!("top_down.{i}"), format!("top_down_blocks.{i}"));
    }
    for i in 0..blocks.prior.len() {
        put(format!("prior.{i}"), format!("prior_blocks.{i}"));
    }
    match &blocks.posterior {
        PosteriorConfig::Shared(levels) => {
            for i in 0..levels.len() {
                put(format!("posterior.{i}"), format!("posterior_blocks.{i}"));
            }
        }
        PosteriorConfig::PerModality(ladders) => {
            for (name, levels) in ladders {
                for i in 0..levels.len() {
                    put(format!("posterior.{name}.{i}"), format!("posterior_blocks.{name}.{i}"));
                }
            }
        }
    }
    places
}

/// Names of a perceptron's layers.
fn perceptron(layers: usize) -> Vec<String> {
    (0..layers).map(|i| format!("layers.{i}.0")).collect()
}

/// Two heads.
fn heads(mut layers: Vec<String>, mean: &str, log_var: &str) -> Vec<String> {
    layers.extend([mean.to_owned(), log_var.to_owned()]);
    layers
}

/// Layers of one `Sequential`, by number.
fn numbered(prefix: &str, numbers: &[usize]) -> Vec<String> {
    numbers.iter().map(|i| format!("{prefix}.{i}")).collect()
}

/// The layers of a residual block.
fn block(prefix: &str, changes_channels: bool) -> Vec<String> {
    let shortcut = changes_channels.then(|| format!("{prefix}.shortcut_layer"));
    let mut layers = numbered(&format!("{prefix}.conv_layers"), &[0, 2]);
    layers.extend(shortcut);
    layers
}

/// What the layers of an encoder are called in the reference, if it is one of the reference's:
/// without a private space, and with one.
fn encoder(config: &EncoderConfig) -> Vec<Vec<String>> {
    match config {
        // Encoder_VAE_MLP and Encoder_VAE_MLP_Style.
        EncoderConfig::Mlp { hidden, .. } => {
            let shared = heads(perceptron(hidden.len()), "embedding", "log_var");
            vec![shared.clone(), heads(shared, "style_embedding", "style_log_var")]
        }
        // EncoderConvMMNIST.
        EncoderConfig::PolymnistConv {} => {
            let trunk = numbered("shared_encoder", &[0, 2, 4, 7]);
            vec![heads(trunk, "class_mu", "class_logvar")]
        }
        // EncoderConvMMNIST_adapted and EncoderConvMMNIST_multilatents.
        EncoderConfig::PolymnistConvAdapted {} => {
            let branch = |trunk: &str, head: &str| {
                let trunk = numbered(trunk, &[0, 2, 4]);
                heads(trunk, &format!("{head}_mu"), &format!("{head}_logvar"))
            };
            let shared = branch("encoder_class", "class");
            let both = [shared.clone(), branch("encoder_style", "style")].concat();
            vec![branch("shared_encoder", "class"), shared, both]
        }
        // EncoderResnetMMNIST.
        EncoderConfig::PolymnistResnet {} => {
            let branch = |name: &str| {
                let mut trunk = vec![format!("conv_img_{name}")];
                for (i, changes) in [(0, false), (2, true), (4, true)] {
                    trunk.extend(block(&format!("resnet_{name}.{i}"), changes));
                }
                heads(trunk, &format!("fc_mu_{name}"), &format!("fc_lv_{name}"))
            };
            vec![branch("u"), [branch("u"), branch("w")].concat()]
        }
        // Encoder_VAE_SVHN.
        EncoderConfig::Svhn {} => vec![heads(numbered("enc", &[0, 2, 4]), "c1", "c2")],
        _ => Vec::new(),
    }
}

/// What the layers of a decoder are called in the reference, if it is one of the reference's.
fn network(config: &NetworkConfig) -> Vec<Vec<String>> {
    match config {
        // Decoder_AE_MLP.
        NetworkConfig::Mlp { hidden, .. } => vec![perceptron(hidden.len() + 1)],
        // CubTextDecoderMLP.
        NetworkConfig::CubText {} => vec![perceptron(2)],
        // DecoderConvMMNIST.
        NetworkConfig::PolymnistConv {} => vec![numbered("decoder", &[0, 3, 5, 7])],
        // DecoderResnetMMNIST.
        NetworkConfig::PolymnistResnet {} => {
            let mut layers = vec!["fc".to_owned()];
            for (i, changes) in [(0, true), (2, true), (4, false)] {
                layers.extend(block(&format!("resnet.{i}"), changes));
            }
            layers.push("conv_img.0".into());
            vec![layers]
        }
        // Decoder_VAE_SVHN.
        NetworkConfig::Svhn { .. } => vec![numbered("dec", &[0, 2, 4, 6])],
        _ => Vec::new(),
    }
}
