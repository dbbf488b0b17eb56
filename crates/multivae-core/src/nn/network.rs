//! Networks from features to features: decoders, and the blocks of hierarchical models.

use burn::{
    module::{DisplaySettings, Module, ModuleDisplay},
    tensor::{Device, Tensor},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Network,
    layer::LayerConfig,
    networks::{CustomNetwork, Networks, Request},
    presets::{self, Activation},
    sequential::{Sequential, SequentialConfig, check_output},
};
use crate::{Error, Result, batch::Values, modality::ModalitySpec};

/// A network as data: a preset by name, layers, or a network of the user.
///
/// | kind | for | source |
/// |---|---|---|
/// | `mlp` | any shape | Decoder_AE_MLP of MultiVae, without its sigmoid |
/// | `conv` | images and volumes of any size | transposed convolutions that double |
/// | `polymnist_conv` | 3×28×28 | Sutter et al. 2021 |
/// | `polymnist_resnet` | 3×28×28 | Palumbo et al. 2023 |
/// | `svhn` | 3×32×32 | Shi et al. 2019, without its sigmoid |
/// | `cub_image` | 3×64×64, and images of any size | Palumbo et al. 2024 |
/// | `cub_text` | captions | CubTextDecoderMLP of MultiVae |
/// | `layers` | what its layers yield | |
/// | `custom` | what the user's network yields | [`Networks`] |
///
/// No preset ends in a sigmoid: the modality's likelihood says what the output means, and reads
/// log-odds where values are in `[0, 1]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum NetworkConfig {
    /// A multilayer perceptron.
    Mlp {
        /// Widths of the hidden layers.
        #[serde(default = "presets::decoder_widths")]
        hidden: Vec<usize>,
        /// What follows each hidden layer.
        #[serde(default)]
        activation: Activation,
        /// What follows the last layer.
        #[serde(default = "Activation::none", skip_serializing_if = "Activation::is_none")]
        output: Activation,
    },
    /// A hidden linear layer, then transposed convolutions of kernel 3 that double height and
    /// width, and of volumes the depth.
    Conv {
        /// Channels before each transposed convolution, the largest map first.
        channels: Vec<usize>,
        /// Width of the linear layer.
        #[serde(default = "presets::conv_width")]
        hidden: usize,
    },
    /// A linear layer and three transposed convolutions.
    PolymnistConv {},
    /// A linear layer and residual blocks; a leaky ReLU of slope 0.2 acts on the output.
    PolymnistResnet {},
    /// Four transposed convolutions.
    Svhn {
        /// What follows the last layer.
        #[serde(default = "Activation::none", skip_serializing_if = "Activation::is_none")]
        output: Activation,
    },
    /// A linear layer and residual blocks that act before they convolve.
    CubImage {
        /// Height of the first feature map of 64 rows.
        #[serde(default = "presets::cub_start")]
        start: usize,
        /// Channels of the last block.
        #[serde(default = "presets::cub_filters")]
        filters: usize,
        /// Most channels of a block.
        #[serde(default = "presets::cub_decoder_filters")]
        max_filters: usize,
    },
    /// A perceptron of one hidden layer of 512, to logits.
    CubText {},
    /// Layers.
    Layers {
        /// In order; the size of the last one may be open.
        layers: Vec<LayerConfig>,
    },
    /// A network of the user's.
    Custom {
        /// Its name among the [`Networks`].
        name: String,
        /// Settings that its builder reads.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        settings: Value,
    },
}

impl NetworkConfig {
    /// A perceptron of the default widths.
    pub fn mlp() -> Self {
        Self::Mlp {
            hidden: presets::decoder_widths(),
            activation: Activation::default(),
            output: Activation::None,
        }
    }

    /// A network of layers.
    pub fn layers(layers: Vec<LayerConfig>) -> Self {
        Self::Layers { layers }
    }

    /// A decoder that suits a modality: transposed convolutions for images and volumes that are at
    /// least 8 along each axis, but for grey images of at most 1024 pixels, else a perceptron.
    pub fn default_for(spec: &ModalitySpec) -> Self {
        if presets::is_small_grey(&spec.shape) {
            return Self::mlp();
        }
        match spec.likelihood.family().output_shape(&spec.shape).as_slice() {
            [3, 28, 28] => Self::PolymnistConv {},
            [_, 32, 32] => Self::Svhn { output: Activation::None },
            shape if presets::grid(shape).is_some() => Self::Conv {
                channels: presets::conv_channels(&shape[1..]),
                hidden: presets::conv_width(),
            },
            _ => Self::mlp(),
        }
    }

    /// The layers of a preset for outputs of a shape; `None` for a network of the user.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a preset for images is asked for another shape; `name` is its field.
    pub fn expand(&self, name: &str, output: &[usize]) -> Result<Option<Vec<LayerConfig>>> {
        let image = || -> Result<[usize; 3]> {
            output.try_into().map_err(|_| Error::Config {
                field: name.to_owned(),
                expected: "an image [channels, height, width] for a decoder of images".into(),
                found: format!("{output:?}"),
            })
        };
        Ok(Some(match self {
            Self::Mlp { hidden, activation, output } => {
                presets::mlp_network(hidden, *activation, *output)
            }
            Self::Conv { channels, hidden } => {
                let extents = output.get(1..).filter(|extents| matches!(extents.len(), 2 | 3));
                let extents = extents.ok_or_else(|| Error::Config {
                    field: name.to_owned(),
                    expected: "an image [channels, height, width] or a volume [channels, depth, \
                               height, width] for a decoder of convolutions"
                        .into(),
                    found: format!("{output:?}"),
                })?;
                presets::conv_decoder(extents, channels, *hidden)
            }
            Self::PolymnistConv {} => presets::polymnist_conv_decoder(),
            Self::PolymnistResnet {} => presets::polymnist_resnet_decoder(),
            Self::Svhn { output } => presets::svhn_decoder(*output),
            Self::CubImage { start, filters, max_filters } => {
                presets::cub_image_decoder(image()?, *start, *filters, *max_filters)
            }
            Self::CubText {} => presets::mlp_network(&[512], Activation::Relu, Activation::None),
            Self::Layers { layers } => layers.clone(),
            Self::Custom { .. } => return Ok(None),
        }))
    }

    /// Builds the network from an input shape to an output shape, or to whatever it yields where
    /// no output is asked for. `name` says in errors which network of the model it is. A network of
    /// the user is called once, with a row of zeros, to see what it yields.
    ///
    /// # Errors
    ///
    /// [`Error::Layer`], [`Error::Output`] if it yields another shape, [`Error::Config`] for a
    /// preset without an output shape, [`Error::MissingCustom`], or what the builder of a network
    /// of the user says.
    pub fn init(
        &self,
        name: &str,
        input: &[usize],
        output: Option<&[usize]>,
        networks: &Networks,
        device: &Device,
    ) -> Result<NetworkNet> {
        match self {
            Self::Layers { layers } => SequentialConfig(layers.clone())
                .init(name, input, output, device)
                .map(NetworkNet::Layers),
            Self::Custom { name: custom, settings } => {
                let request =
                    Request { network: name, input, output, private: None, settings, device };
                let net = networks.network(custom, &request)?;
                // Only the network knows what it yields, so it is asked.
                let row = Tensor::zeros([1, request.inputs()], device).without_autodiff();
                let found = vec![net.valid().forward(row).dims()[1]];
                check_output(name, &found, output)?;
                let output = output.map_or(found, <[usize]>::to_vec);
                Ok(NetworkNet::Custom(CustomNetworkNet { net, output }))
            }
            preset => {
                let output = output.ok_or_else(|| Error::Config {
                    field: name.to_owned(),
                    expected: "layers or a custom network, since its output shape is open".into(),
                    found: "a preset".into(),
                })?;
                let layers = preset.expand(name, output)?.expect("presets are layers");
                SequentialConfig(layers)
                    .init(name, input, Some(output), device)
                    .map(NetworkNet::Layers)
            }
        }
    }
}

/// A network from features to features.
#[derive(Module, Debug)]
#[module(custom_display)]
#[non_exhaustive]
pub enum NetworkNet {
    /// Of layers.
    Layers(Sequential),
    /// A network of the user's.
    Custom(CustomNetworkNet),
}

impl NetworkNet {
    /// Shape of what comes out, without the batch axis, in which it lies flat in memory.
    pub fn output_shape(&self) -> &[usize] {
        match self {
            Self::Layers(layers) => layers.output_shape(),
            Self::Custom(custom) => &custom.output,
        }
    }

    /// How many values of a row all layers put out together; of a network of the user, its output.
    pub fn kept_values(&self) -> usize {
        match self {
            Self::Layers(layers) => layers.kept_values(),
            Self::Custom(custom) => custom.output.iter().product(),
        }
    }

    /// Whether the result of a row may depend on others while the network learns, as under batch
    /// normalisation; of a network of the user it is not known.
    pub fn mixes_rows(&self) -> bool {
        match self {
            Self::Layers(layers) => layers.mixes_rows(),
            Self::Custom(_) => true,
        }
    }
}

impl NetworkNet {
    /// From values of a modality to `[rows, outputs]`; see [`Sequential::forward_values`].
    ///
    /// # Panics
    ///
    /// If tokens are given to a network of the user, or to one whose input is no text.
    pub fn forward_values(&self, values: &Values) -> Tensor<2> {
        match (self, values) {
            (Self::Layers(layers), values) => layers.forward_values(values),
            (Self::Custom(custom), Values::Dense(values)) => custom.net.forward(values.clone()),
            (Self::Custom(_), Values::Tokens { .. }) => {
                panic!("tokens come to a network of the user, which reads features")
            }
        }
    }
}

impl ModuleDisplay for NetworkNet {
    fn format(&self, settings: DisplaySettings) -> String {
        match self {
            Self::Layers(layers) => layers.format(settings),
            Self::Custom(custom) => custom.net.format(settings),
        }
    }
}

impl Network for NetworkNet {
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Layers(layers) => layers.forward(input),
            Self::Custom(custom) => custom.net.forward(input),
        }
    }
}

/// A network of the user's, and the shape it was asked for.
#[derive(Module, Debug)]
pub struct CustomNetworkNet {
    net: CustomNetwork,
    #[module(skip)]
    output: Vec<usize>,
}

impl CustomNetworkNet {
    /// The user's network.
    pub fn network(&self) -> &CustomNetwork {
        &self.net
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        module::{init_parameters, tests::without_gradient},
        nn::EncoderConfig,
    };

    fn parse(text: &str) -> NetworkConfig {
        serde_json::from_str(text).expect("valid")
    }

    fn init(config: &NetworkConfig, inputs: usize, output: &[usize]) -> Result<NetworkNet> {
        config.init("net", &[inputs], Some(output), &Networks::default(), &Device::flex())
    }

    /// The number of parameters of a preset of 64 latent features, after it has decoded one row.
    fn count(kind: &str, output: &[usize]) -> usize {
        let net = init(&parse(&format!(r#"{{"kind":"{kind}"}}"#)), 64, output).expect("its shape");
        let found = net.forward(Tensor::zeros([1, 64], &Device::flex())).dims();
        assert_eq!(found, [1, output.iter().product()], "{kind}");
        assert_eq!(net.output_shape(), output);
        net.num_params()
    }

    /// A convolution or a linear layer with bias.
    fn weights(inputs: usize, outputs: usize, places: usize) -> usize {
        outputs * (inputs * places + 1)
    }

    fn block(inputs: usize, outputs: usize) -> usize {
        let hidden = inputs.min(outputs);
        let shortcut = if inputs == outputs { 0 } else { inputs * outputs };
        weights(inputs, hidden, 9) + weights(hidden, outputs, 9) + shortcut
    }

    #[test]
    fn presets_have_the_parameters_of_their_sources() {
        assert_eq!(count("svhn", &[3, 32, 32]), 296_675);
        assert_eq!(count("mlp", &[1, 28, 28]), weights(64, 512, 1) + weights(512, 784, 1));
        assert_eq!(count("cub_text", &[32, 20]), weights(64, 512, 1) + weights(512, 640, 1));
        assert_eq!(
            count("polymnist_conv", &[3, 28, 28]),
            weights(64, 2048, 1) + weights(128, 64, 9) + weights(64, 32, 9) + weights(32, 3, 9)
        );
        let tail = block(64, 64) + weights(64, 3, 9);
        let blocks = block(256, 128) + block(128, 64) + tail;
        assert_eq!(count("polymnist_resnet", &[3, 28, 28]), weights(64, 12_544, 1) + blocks);
        assert_eq!(count("cub_image", &[3, 64, 64]), weights(64, 65_536, 1) + blocks);
    }

    #[test]
    fn any_modality_has_a_default_that_decodes_and_learns() {
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
            &[1],
            &[4, 3],
        ] {
            let spec = ModalitySpec::new("a", shape).expect("valid");
            let net = NetworkConfig::default_for(&spec)
                .init("net", &[5], Some(shape), &Networks::default(), &device)
                .unwrap_or_else(|error| panic!("{error}"));
            let net = init_parameters(net);
            let output = net.forward(Tensor::ones([2, 5], &device));
            assert_eq!(output.dims(), [2, spec.features()], "{shape:?}");
            let without = without_gradient(&net, &output.sum().backward());
            assert_eq!(without, Vec::<String>::new(), "{shape:?}");
        }
    }

    #[test]
    fn grey_images_of_at_most_1024_pixels_have_perceptrons_on_both_sides() {
        let is_mlp = |shape: &[usize]| {
            let spec = ModalitySpec::new("a", shape).expect("valid");
            let sides = [
                matches!(NetworkConfig::default_for(&spec), NetworkConfig::Mlp { .. }),
                matches!(EncoderConfig::default_for(&spec), EncoderConfig::Mlp { .. }),
            ];
            assert_eq!(sides[0], sides[1], "{shape:?}");
            sides[0]
        };
        for shape in [[1, 28, 28], [1, 32, 32], [1, 8, 8], [1, 16, 64]] {
            assert!(is_mlp(&shape), "{shape:?}");
        }
        for shape in [[1, 32, 33], [1, 64, 64], [2, 28, 28], [3, 28, 28], [3, 32, 32]] {
            assert!(!is_mlp(&shape), "{shape:?}");
        }
    }

    #[test]
    fn residual_decoders_of_images_take_any_size() {
        for shape in [[3, 64, 64], [3, 65, 70], [1, 33, 47], [2, 20, 16]] {
            let config = parse(r#"{"kind":"cub_image","filters":4,"max_filters":8}"#);
            let net = init(&config, 5, &shape).unwrap_or_else(|error| panic!("{error}"));
            let output = net.forward(Tensor::ones([1, 5], &Device::flex()));
            assert_eq!(output.dims(), [1, shape.iter().product()], "{shape:?}");
        }
    }

    #[test]
    fn a_sigmoid_ends_a_decoder_only_if_asked_for() {
        let limits = |text: &str| {
            let net = init(&parse(text), 2, &[6]).expect("any shape");
            let output = net.forward(Tensor::ones([1, 2], &Device::flex()) * -1e4);
            (output.clone().min().into_scalar::<f32>(), output.max().into_scalar::<f32>())
        };
        let (min, max) = limits(r#"{"kind":"mlp","output":"sigmoid"}"#);
        assert!((0.0..=1.0).contains(&min) && (0.0..=1.0).contains(&max));
        let (min, max) = limits(r#"{"kind":"mlp"}"#);
        assert!(min < 0.0 || max > 1.0, "{min} {max}");
    }

    #[test]
    fn layers_may_yield_what_they_like_where_nothing_is_needed() {
        let layers = vec![LayerConfig::conv2d(4, 3, 2, 1), LayerConfig::Silu {}];
        let config = NetworkConfig::layers(layers);
        let net = config
            .init("net", &[2, 7, 6], None, &Networks::default(), &Device::flex())
            .expect("fits");
        assert_eq!(net.output_shape(), [4, 4, 3]);
        let preset = NetworkConfig::mlp();
        let error = preset.init("net", &[2], None, &Networks::default(), &Device::flex());
        assert!(matches!(error, Err(Error::Config { .. })), "{error:?}");
    }

    #[test]
    fn a_decoder_of_images_refuses_other_shapes() {
        let error = init(&parse(r#"{"kind":"cub_image"}"#), 4, &[10]).expect_err("no image");
        assert!(matches!(error, Error::Config { .. }), "{error}");
        let error = init(&parse(r#"{"kind":"svhn"}"#), 4, &[3, 28, 28]).expect_err("32 × 32");
        assert!(matches!(error, Error::Output { .. }), "{error}");
    }

    #[test]
    fn configs_read_with_defaults_and_refuse_unknown_keys() {
        assert_eq!(parse(r#"{"kind":"mlp"}"#), NetworkConfig::mlp());
        let config = parse(r#"{"kind":"layers","layers":[{"kind":"linear"}]}"#);
        assert_eq!(config, NetworkConfig::layers(vec![LayerConfig::linear_open()]));
        let text = serde_json::to_string(&config).expect("plain data");
        assert_eq!(parse(&text), config);
        for wrong in [r#"{"kind":"mlp","hiden":[3]}"#, r#"{"kind":"polymnist_conv","x":1}"#] {
            assert!(serde_json::from_str::<NetworkConfig>(wrong).is_err(), "{wrong}");
        }
    }
}
