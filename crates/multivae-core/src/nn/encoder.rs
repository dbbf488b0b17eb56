//! Encoders: from values of a modality to posteriors.

use burn::{
    module::{DisplaySettings, Module, ModuleDisplay},
    tensor::{Device, Tensor},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Encoder, Encoding,
    layer::{Flow, LayerConfig},
    networks::{CustomEncoder, Networks, Request},
    pairs::JoinedPairs,
    presets::{self, Activation},
    sequential::{Sequential, SequentialConfig, Stream, check_output},
};
use crate::{
    Error, Result,
    batch::Values,
    distribution::{Normal, Support},
    modality::ModalitySpec,
};

/// An encoder as data: a preset by name, layers, or a network of the user.
///
/// | kind | for | source |
/// |---|---|---|
/// | `mlp` | any shape | Encoder_VAE_MLP of MultiVae |
/// | `conv` | images and volumes of any size | convolutions that halve |
/// | `polymnist_conv`, `polymnist_conv_adapted` | 3×28×28 | Sutter et al. 2021 |
/// | `polymnist_resnet` | 3×28×28 | Palumbo et al. 2023 |
/// | `svhn` | 3×32×32 | Shi et al. 2019 |
/// | `cub_image` | 3×64×64 | Palumbo et al. 2024 |
/// | `cub_text` | captions | Palumbo et al. 2024 |
/// | `branches` | what its layers take | [`BranchesConfig`] |
/// | `custom` | what the user's network takes | [`Networks`] |
///
/// The shapes are those of the sources: a preset takes any shape that its layers can.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum EncoderConfig {
    /// A multilayer perceptron with linear heads. A private space has two more heads.
    Mlp {
        /// Widths of the hidden layers.
        #[serde(default = "presets::encoder_widths")]
        hidden: Vec<usize>,
        /// What follows each hidden layer.
        #[serde(default)]
        activation: Activation,
    },
    /// Convolutions of kernel 3 that halve height and width, and of volumes the depth, a hidden
    /// linear layer, linear heads.
    Conv {
        /// Channels after each convolution.
        channels: Vec<usize>,
        /// Width of the linear layer.
        #[serde(default = "presets::conv_width")]
        hidden: usize,
    },
    /// Three convolutions, a linear layer as wide as the latent space, linear heads without bias.
    PolymnistConv {},
    /// Three convolutions with convolutional heads. A private space has convolutions of its own.
    PolymnistConvAdapted {},
    /// Residual blocks with linear heads. A private space has blocks of its own.
    PolymnistResnet {},
    /// Three convolutions with convolutional heads.
    Svhn {},
    /// Residual blocks that act before they convolve, with linear heads.
    CubImage {
        /// Height of the last feature map of 64 rows.
        #[serde(default = "presets::cub_start")]
        start: usize,
        /// Channels of the first block.
        #[serde(default = "presets::cub_filters")]
        filters: usize,
        /// Most channels of a block.
        #[serde(default = "presets::cub_encoder_filters")]
        max_filters: usize,
    },
    /// A transformer over tokens with linear heads over all positions.
    CubText {
        /// Length of the token vectors.
        #[serde(default = "presets::text_size")]
        size: usize,
        /// Attention heads.
        #[serde(default = "presets::text_heads")]
        heads: usize,
        /// Width of the network of a position.
        #[serde(default = "presets::text_hidden")]
        hidden: usize,
        /// Number of transformer layers.
        #[serde(default = "presets::text_layers")]
        layers: usize,
        /// Share of features set to 0 while a model trains.
        #[serde(default = "presets::text_dropout")]
        dropout: f64,
    },
    /// Layers.
    Branches(BranchesConfig),
    /// A network of the user's.
    Custom {
        /// Its name among the [`Networks`].
        name: String,
        /// Settings that its builder reads.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        settings: Value,
    },
}

/// An encoder as layers: a branch for the shared space, and one for a private space.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchesConfig {
    /// To the space that all modalities share.
    pub shared: BranchConfig,
    /// To the private space, where the model has one. If not given it is two linear heads on the
    /// shared trunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<PrivateBranchConfig>,
}

/// Layers, and two heads on them. A size left open is that of the latent space, in the trunk too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchConfig {
    /// From the values to what the heads read.
    #[serde(default)]
    pub trunk: Vec<LayerConfig>,
    /// To the mean.
    #[serde(default = "linear_head")]
    pub mean: Vec<LayerConfig>,
    /// To the natural logarithm of the variance.
    #[serde(default = "linear_head")]
    pub log_var: Vec<LayerConfig>,
}

/// Layers of a private space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateBranchConfig {
    /// From the values to what the heads read; if not given, the heads read the shared trunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<Vec<LayerConfig>>,
    /// To the mean.
    #[serde(default = "linear_head")]
    pub mean: Vec<LayerConfig>,
    /// To the natural logarithm of the variance.
    #[serde(default = "linear_head")]
    pub log_var: Vec<LayerConfig>,
}

fn linear_head() -> Vec<LayerConfig> {
    vec![LayerConfig::linear_open()]
}

impl Default for BranchConfig {
    fn default() -> Self {
        Self { trunk: Vec::new(), mean: linear_head(), log_var: linear_head() }
    }
}

impl Default for PrivateBranchConfig {
    fn default() -> Self {
        Self { trunk: None, mean: linear_head(), log_var: linear_head() }
    }
}

impl BranchConfig {
    /// A trunk with linear heads.
    pub fn new(trunk: Vec<LayerConfig>) -> Self {
        Self { trunk, ..Self::default() }
    }

    /// The same with two heads of the same layers.
    pub fn with_heads(self, head: Vec<LayerConfig>) -> Self {
        Self { mean: head.clone(), log_var: head, ..self }
    }
}

impl From<BranchConfig> for BranchesConfig {
    fn from(shared: BranchConfig) -> Self {
        Self { shared, private: None }
    }
}

impl BranchesConfig {
    /// The same with layers like the shared ones, and weights of their own, for a private space.
    pub fn with_private_copy(mut self) -> Self {
        let BranchConfig { trunk, mean, log_var } = self.shared.clone();
        self.private = Some(PrivateBranchConfig { trunk: Some(trunk), mean, log_var });
        self
    }
}

impl EncoderConfig {
    /// A perceptron of the default widths.
    pub fn mlp() -> Self {
        Self::Mlp { hidden: presets::encoder_widths(), activation: Activation::default() }
    }

    /// An encoder that suits a modality: convolutions for images and volumes that are at least 8
    /// along each axis, but for grey images of at most 1024 pixels, a transformer for texts with a
    /// large vocabulary, else a perceptron, as published models have it for MNIST (JMVAE, MVAE,
    /// MMVAE).
    pub fn default_for(spec: &ModalitySpec) -> Self {
        match spec.shape.as_slice() {
            shape if presets::is_small_grey(shape) => Self::mlp(),
            [3, 28, 28] => Self::PolymnistConv {},
            [_, 32, 32] => Self::Svhn {},
            shape if presets::grid(shape).is_some() => Self::Conv {
                channels: presets::conv_channels(&shape[1..]),
                hidden: presets::conv_width(),
            },
            [_, _] if is_long_text(spec) => {
                Self::CubText { size: 128, heads: 4, hidden: 256, layers: 2, dropout: 0.1 }
            }
            _ => Self::mlp(),
        }
    }

    /// The layers of a preset for values of a shape; `None` for a network of the user.
    pub fn expand(&self, shape: &[usize]) -> Option<BranchesConfig> {
        Some(match self {
            Self::Mlp { hidden, activation } => {
                BranchConfig::new(presets::mlp_trunk(hidden, *activation)).into()
            }
            Self::Conv { channels, hidden } => {
                BranchConfig::new(presets::conv_trunk(shape, channels, *hidden)).into()
            }
            Self::PolymnistConv {} => presets::polymnist_conv_encoder(),
            Self::PolymnistConvAdapted {} => presets::polymnist_conv_adapted_encoder(),
            Self::PolymnistResnet {} => presets::polymnist_resnet_encoder(),
            Self::Svhn {} => presets::svhn_encoder(),
            Self::CubImage { start, filters, max_filters } => {
                presets::cub_image_encoder(shape, *start, *filters, *max_filters)
            }
            Self::CubText { size, heads, hidden, layers, dropout } => {
                presets::cub_text_encoder(*size, *heads, *hidden, *layers, *dropout)
            }
            Self::Branches(branches) => branches.clone(),
            Self::Custom { .. } => return None,
        })
    }

    /// Builds the encoder of values of a shape.
    ///
    /// `latent` is the shape of the shared space, of the heads' choice if `None`; `private` is the
    /// number of features of a private space. `name` says in errors which encoder of the model it
    /// is.
    ///
    /// # Errors
    ///
    /// [`Error::Layer`], [`Error::Output`] if the heads yield another shape,
    /// [`Error::MissingCustom`], or what the builder of a network of the user says.
    pub fn init(
        &self,
        name: &str,
        shape: &[usize],
        latent: Option<&[usize]>,
        private: Option<usize>,
        networks: &Networks,
        device: &Device,
    ) -> Result<EncoderNet> {
        let net = self.init_open(name, shape, latent, private, networks, device)?;
        check_output(&format!("{name}, mean"), net.latent_shape(), latent)?;
        Ok(net)
    }

    /// The same where `open` is a suggestion for the shape of the shared space, and no need.
    pub(crate) fn init_open(
        &self,
        name: &str,
        shape: &[usize],
        open: Option<&[usize]>,
        private: Option<usize>,
        networks: &Networks,
        device: &Device,
    ) -> Result<EncoderNet> {
        if let Self::Custom { name: custom, settings } = self {
            let request =
                Request { network: name, input: shape, output: open, private, settings, device };
            let latent = open.ok_or_else(|| Error::Config {
                field: name.to_owned(),
                expected: "a network whose latent shape follows from its place".into(),
                found: format!("the custom encoder `{custom}`"),
            })?;
            let encoder = networks.encoder(custom, &request)?;
            return Ok(EncoderNet::Custom(CustomEncoderNet {
                net: encoder,
                latent: latent.to_vec(),
                private,
            }));
        }
        let branches = self.expand(shape).expect("all but networks of the user are layers");
        branches.init(name, shape, open, private, device).map(EncoderNet::Branches)
    }
}

/// Whether a perceptron on one-hot vectors would be larger than a transformer.
fn is_long_text(spec: &ModalitySpec) -> bool {
    matches!(spec.likelihood.family().support(), Support::Simplex) && spec.features() > 1 << 14
}

impl BranchesConfig {
    fn init(
        &self,
        name: &str,
        shape: &[usize],
        open: Option<&[usize]>,
        private: Option<usize>,
        device: &Device,
    ) -> Result<Branches> {
        let build =
            |layers: &[LayerConfig], part: &str, input: &[usize], open: Option<&[usize]>| {
                SequentialConfig(layers.to_vec()).init_open(
                    &format!("{name}, {part}"),
                    input,
                    open,
                    device,
                )
            };
        let BranchConfig { trunk, mean, log_var } = &self.shared;
        let trunk = build(trunk, "trunk", shape, open)?;
        let mean = build(mean, "mean", trunk.output_shape(), open)?;
        let log_var = build(log_var, "log_var", trunk.output_shape(), open)?;
        check_output(
            &format!("{name}, log_var"),
            log_var.output_shape(),
            Some(mean.output_shape()),
        )?;
        let private = private
            .map(|features| {
                let default = PrivateBranchConfig::default();
                let PrivateBranchConfig { trunk: own, mean, log_var } =
                    self.private.as_ref().unwrap_or(&default);
                let features = [features];
                let open = Some(features.as_slice());
                let own = own
                    .as_ref()
                    .map(|layers| build(layers, "private trunk", shape, open))
                    .transpose()?;
                let input = own.as_ref().unwrap_or(&trunk).output_shape().to_vec();
                let mean = build(mean, "private mean", &input, open)?;
                let log_var = build(log_var, "private log_var", &input, open)?;
                for (part, head) in [("mean", &mean), ("log_var", &log_var)] {
                    check_output(&format!("{name}, private {part}"), head.output_shape(), open)?;
                }
                Ok::<_, Error>(PrivateBranch { trunk: own, mean, log_var })
            })
            .transpose()?;
        let latent = mean.output_shape().to_vec();
        Ok(Branches { shared: Branch { trunk, mean, log_var }, private, latent })
    }
}

/// An encoder.
#[derive(Module, Debug)]
#[module(custom_display)]
#[non_exhaustive]
// A box is no module, and models hold a handful of these.
#[allow(clippy::large_enum_variant)]
pub enum EncoderNet {
    /// Of layers.
    Branches(Branches),
    /// A network of the user's.
    Custom(CustomEncoderNet),
}

impl EncoderNet {
    /// Shape of the mean without the batch axis, in which it lies flat in memory: `[latent]` or
    /// `[channels, height, width]`.
    pub fn latent_shape(&self) -> &[usize] {
        match self {
            Self::Branches(branches) => &branches.latent,
            Self::Custom(custom) => &custom.latent,
        }
    }

    /// How many values of a row all layers to the shared space put out together; of a network of
    /// the user, mean and log-variance.
    pub fn kept_values(&self) -> usize {
        match self {
            Self::Branches(Branches { shared: Branch { trunk, mean, log_var }, .. }) => {
                [trunk, mean, log_var].map(Sequential::kept_values).iter().sum()
            }
            Self::Custom(custom) => 2 * custom.latent.iter().product::<usize>(),
        }
    }
}

impl EncoderNet {
    /// Features of a private space, if there is one.
    pub fn private_features(&self) -> Option<usize> {
        match self {
            Self::Branches(Branches { private, .. }) => {
                private.as_ref().map(|branch| branch.mean.output_shape().iter().product())
            }
            Self::Custom(custom) => custom.private,
        }
    }

    /// Whether the result of a row may depend on others while the network learns, as under batch
    /// normalisation; of a network of the user it is not known.
    pub fn mixes_rows(&self) -> bool {
        match self {
            Self::Branches(Branches {
                shared: Branch { trunk, mean, log_var }, private, ..
            }) => {
                let own = private
                    .iter()
                    .flat_map(|branch| branch.trunk.iter().chain([&branch.mean, &branch.log_var]));
                [trunk, mean, log_var].into_iter().chain(own).any(Sequential::mixes_rows)
            }
            Self::Custom(_) => true,
        }
    }
}

impl EncoderNet {
    /// The posteriors of the shared space of vectors that are joined end to end: mean and log-variance
    /// side by side, `[pairs * rows, 2 latent]`. As [`Encoder::encode`] on [`JoinedPairs::joined`].
    pub fn encode_pairs(&self, pairs: &JoinedPairs<'_>) -> Tensor<2> {
        match self {
            Self::Branches(Branches { shared: Branch { trunk, mean, log_var }, .. }) => {
                mean.beside(log_var, trunk.of_pairs(pairs, mean.reads()))
            }
            Self::Custom(_) => self.encode_beside(pairs.joined()),
        }
    }

    /// As [`Encoder::encode`], of the shared space: mean and log-variance side by side,
    /// `[rows, 2 latent]`.
    pub fn encode_beside(&self, values: Tensor<2>) -> Tensor<2> {
        let values = Values::Dense(values);
        match self {
            Self::Branches(Branches { shared: Branch { trunk, mean, log_var }, .. }) => {
                mean.beside(log_var, Stream::Flow(trunk.values(&values)))
            }
            Self::Custom(custom) => {
                let Normal { mean, log_var } = custom.encode(&values).shared;
                Tensor::cat(vec![mean, log_var], 1)
            }
        }
    }
}

impl ModuleDisplay for EncoderNet {
    fn format(&self, settings: DisplaySettings) -> String {
        match self {
            Self::Branches(branches) => branches.format(settings),
            Self::Custom(custom) => custom.net.format(settings),
        }
    }
}

impl Encoder for EncoderNet {
    fn encode(&self, values: &Values) -> Encoding {
        match self {
            Self::Branches(branches) => branches.encode(values),
            Self::Custom(custom) => custom.encode(values),
        }
    }
}

/// An encoder of the user's, and the shape it was asked for.
#[derive(Module, Debug)]
pub struct CustomEncoderNet {
    net: CustomEncoder,
    #[module(skip)]
    latent: Vec<usize>,
    #[module(skip)]
    private: Option<usize>,
}

impl CustomEncoderNet {
    /// The user's encoder.
    pub fn encoder(&self) -> &CustomEncoder {
        &self.net
    }

    /// # Panics
    ///
    /// If the user's encoder yields other shapes than it was asked for.
    fn encode(&self, values: &Values) -> Encoding {
        let encoding = self.net.encode(values);
        let check = |what: &str, found: &Normal<2>, features: usize| {
            let expected = [values.rows(), features];
            for (parameter, found) in [("mean", &found.mean), ("log_var", &found.log_var)] {
                assert!(
                    found.dims() == expected,
                    "an encoder of the user's yields a {what}{parameter} of {:?}, not {expected:?}",
                    found.dims()
                );
            }
        };
        check("", &encoding.shared, self.latent.iter().product());
        match (&encoding.private, self.private) {
            (Some(private), Some(features)) => check("private ", private, features),
            (None, Some(_)) => panic!("an encoder of the user's lacks the private posterior"),
            (_, None) => {}
        }
        encoding
    }
}

/// An encoder of layers; see [`BranchesConfig`].
#[derive(Module, Debug)]
pub struct Branches {
    /// To the shared space.
    pub shared: Branch,
    /// To the private space.
    pub private: Option<PrivateBranch>,
    #[module(skip)]
    latent: Vec<usize>,
}

/// See [`BranchConfig`].
#[derive(Module, Debug)]
pub struct Branch {
    /// From the values to what the heads read.
    pub trunk: Sequential,
    /// To the mean.
    pub mean: Sequential,
    /// To the log-variance.
    pub log_var: Sequential,
}

/// See [`PrivateBranchConfig`].
#[derive(Module, Debug)]
pub struct PrivateBranch {
    /// From the values to what the heads read.
    pub trunk: Option<Sequential>,
    /// To the mean.
    pub mean: Sequential,
    /// To the log-variance.
    pub log_var: Sequential,
}

impl Encoder for Branches {
    fn encode(&self, values: &Values) -> Encoding {
        let heads = |mean: &Sequential, log_var: &Sequential, flow: Flow| {
            Normal::new(mean.flow(flow.clone()).x, log_var.flow(flow).x)
        };
        let flow = self.shared.trunk.values(values);
        let private = self.private.as_ref().map(|branch| {
            let own = branch.trunk.as_ref().map(|trunk| trunk.values(values));
            heads(&branch.mean, &branch.log_var, own.unwrap_or_else(|| flow.clone()))
        });
        Encoding { shared: heads(&self.shared.mean, &self.shared.log_var, flow), private }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::{init_parameters, tests::without_gradient};

    fn init(
        config: &EncoderConfig,
        shape: &[usize],
        latent: &[usize],
        private: Option<usize>,
    ) -> Result<EncoderNet> {
        let networks = Networks::default();
        config.init("encoder of `a`", shape, Some(latent), private, &networks, &Device::flex())
    }

    fn parse(text: &str) -> EncoderConfig {
        serde_json::from_str(text).expect("valid")
    }

    /// The number of parameters of a preset of 64 latent features, after it has encoded one row.
    fn count(kind: &str, shape: &[usize], private: Option<usize>) -> usize {
        let net = init(&parse(&format!(r#"{{"kind":"{kind}"}}"#)), shape, &[64], private)
            .expect("the shape it is for");
        let row = Tensor::zeros([1, shape.iter().product()], &Device::flex());
        let Encoding { shared, private: own } = net.encode(&Values::Dense(row));
        assert_eq!((shared.mean.dims(), shared.log_var.dims()), ([1, 64], [1, 64]), "{kind}");
        assert_eq!(own.map(|own| own.mean.dims()), private.map(|features| [1, features]));
        assert_eq!(net.latent_shape(), [64]);
        net.num_params()
    }

    #[test]
    fn presets_have_the_parameters_of_their_sources() {
        let mlp = init(&EncoderConfig::mlp(), &[1, 28, 28], &[10], None).expect("any shape");
        assert_eq!(mlp.num_params(), 674_836);
        assert_eq!(count("svhn", &[3, 32, 32], None), 427_872);
        assert_eq!(count("polymnist_conv", &[3, 28, 28], None), 232_576);
        assert_eq!(count("polymnist_resnet", &[3, 28, 28], None), 2_275_904);
        assert_eq!(count("cub_image", &[3, 64, 64], None), 9_058_880);
        // Three convolutions of 93 248 and two heads of 64 · (128 · 16 + 1).
        assert_eq!(count("polymnist_conv_adapted", &[3, 28, 28], None), 93_248 + 262_272);
    }

    #[test]
    fn private_spaces_have_branches_of_their_own_where_the_source_has() {
        assert_eq!(count("polymnist_resnet", &[3, 28, 28], Some(64)), 2 * 2_275_904);
        assert_eq!(count("polymnist_conv_adapted", &[3, 28, 28], Some(64)), 2 * (93_248 + 262_272));
        assert_eq!(count("polymnist_conv", &[3, 28, 28], Some(64)), 2 * 232_576);
        // Two more heads on one trunk.
        assert_eq!(count("svhn", &[3, 32, 32], Some(32)), 427_872 + 2 * 32 * (128 * 16 + 1));
        let style = parse(r#"{"kind":"mlp","hidden":[512]}"#);
        let style = init(&style, &[784], &[10], Some(3)).expect("any shape");
        assert_eq!(style.num_params(), 785 * 512 + 513 * 2 * 13);
    }

    #[test]
    fn a_text_encoder_has_an_embedding_transformers_and_heads_over_all_positions() {
        let config = parse(r#"{"kind":"cub_text","size":8,"heads":2,"hidden":16,"layers":3}"#);
        let net = init(&config, &[5, 11], &[4], None).expect("a text");
        let attention = 4 * (8 * 8 + 8);
        let layer = attention + (8 * 16 + 16) + (16 * 8 + 8) + 4 * 8;
        assert_eq!(net.num_params(), 11 * 8 + 3 * layer + 2 * (5 * 8 + 1) * 4);
    }

    #[test]
    fn any_modality_has_a_default_that_encodes_and_learns() {
        let device = Device::flex().autodiff();
        for shape in [
            &[1_usize, 28, 28] as &[usize],
            &[3, 28, 28],
            &[3, 32, 32],
            &[3, 64, 64],
            &[3, 12, 12],
            &[2, 9, 31],
            &[1, 5, 9],
            &[1, 9, 8, 11],
            &[2, 7, 8, 8],
            &[6],
            &[10],
            &[1],
            &[4, 3],
            &[2, 3, 4, 5],
        ] {
            let spec = ModalitySpec::new("a", shape).expect("valid");
            let config = EncoderConfig::default_for(&spec);
            let net = config
                .init("encoder of `a`", shape, Some(&[5]), Some(3), &Networks::default(), &device)
                .unwrap_or_else(|error| panic!("{error}"));
            let net = init_parameters(net);
            let x = Tensor::ones([2, spec.features()], &device) * 0.5;
            let Encoding { shared, private } = net.encode(&Values::Dense(x));
            let private = private.expect("asked for");
            assert_eq!((shared.mean.dims(), private.mean.dims()), ([2, 5], [2, 3]), "{shape:?}");
            let loss = shared.mean.sum() + shared.log_var.sum() + private.mean.sum();
            let gradients = (loss + private.log_var.sum()).backward();
            assert_eq!(without_gradient(&net, &gradients), Vec::<String>::new(), "{shape:?}");
        }
    }

    #[test]
    fn a_long_text_has_a_transformer_by_default() {
        let spec = ModalitySpec::new("caption", &[32, 1590]).expect("valid");
        let spec = spec.with_likelihood(crate::distribution::Likelihood::Categorical {});
        let config = EncoderConfig::default_for(&spec);
        assert!(matches!(config, EncoderConfig::CubText { .. }), "{config:?}");
    }

    #[test]
    fn presets_expand_to_branches_that_build_the_same() {
        let config = parse(r#"{"kind":"svhn"}"#);
        let branches = EncoderConfig::Branches(config.expand(&[3, 32, 32]).expect("a preset"));
        let text = serde_json::to_string(&branches).expect("plain data");
        assert_eq!(parse(&text), branches);
        let count = |config: &EncoderConfig| {
            init(config, &[3, 32, 32], &[7], Some(2)).expect("fits").num_params()
        };
        assert_eq!(count(&branches), count(&config));
        let custom = EncoderConfig::Custom { name: "x".into(), settings: Value::Null };
        assert_eq!(custom.expand(&[3]), None);
    }

    #[test]
    fn configs_read_with_defaults_and_refuse_unknown_keys() {
        assert_eq!(parse(r#"{"kind":"mlp"}"#), EncoderConfig::mlp());
        let heads = parse(r#"{"kind":"branches","shared":{"trunk":[{"kind":"relu"}]}}"#);
        let expected = BranchConfig::new(vec![LayerConfig::Relu {}]);
        assert_eq!(heads, EncoderConfig::Branches(expected.into()));
        for wrong in [
            r#"{"kind":"mlp","hiden":[3]}"#,
            r#"{"kind":"svhn","x":1}"#,
            r#"{"kind":"branches","shared":{},"privat":{}}"#,
            r#"{"kind":"branches","shared":{"trunk":[{"kind":"relu","x":1}]}}"#,
            r#"{"kind":"resnet"}"#,
        ] {
            assert!(serde_json::from_str::<EncoderConfig>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn errors_name_the_part_and_the_layer() {
        let error = init(&parse(r#"{"kind":"svhn"}"#), &[3, 16, 16], &[4], None)
            .expect_err("the third map is 2 × 2");
        assert_eq!(
            error.to_string(),
            "encoder of `a`, mean: layer 0 (conv2d) cannot take an input of shape [128, 2, 2]: \
             a kernel of 4 does not fit into 2"
        );
        let wrong =
            parse(r#"{"kind":"branches","shared":{"mean":[{"kind":"linear","outputs":3}]}}"#);
        let error = init(&wrong, &[2], &[4], None).expect_err("3 is not 4");
        assert!(matches!(error, Error::Output { .. }), "{error}");
    }

    #[test]
    fn heads_may_yield_maps() {
        let head = vec![LayerConfig::conv2d(None, 1, 1, 0), LayerConfig::SoftClamp { limit: 10.0 }];
        let branch = BranchConfig::new(Vec::new()).with_heads(head);
        let config = EncoderConfig::Branches(branch.into());
        let net = init(&config, &[4, 3, 2], &[5, 3, 2], None).expect("fits");
        assert_eq!(net.latent_shape(), [5, 3, 2]);
        let row = Values::Dense(Tensor::ones([1, 24], &Device::flex()));
        assert_eq!(net.encode(&row).shared.log_var.dims(), [1, 30]);
    }
}
