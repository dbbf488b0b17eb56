//! One layer: as data, and as a module.

use std::fmt;

use burn::{
    module::{Module, Param},
    nn::{
        BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Embedding, EmbeddingConfig, GroupNorm,
        GroupNormConfig, Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig,
        PaddingConfig2d, PositionalEncoding, PositionalEncodingConfig,
        activation::ActivationConfig,
        conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig},
        pool::{AvgPool2d, AvgPool2dConfig, MaxPool2d, MaxPool2dConfig},
        transformer::{TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput},
    },
    tensor::{
        Bool, Device, Int, Tensor, activation,
        ops::{ConvOptions, ConvTransposeOptions},
    },
};
use multivae_kernels as kernels;
use serde::{Deserialize, Serialize};

use super::sequential::{Fault, Sequential, infer};

/// The two spatial extents of something, height and width. In files it is one number where both
/// are equal, else a list of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "PairForm", into = "PairForm")]
pub struct Pair(pub [usize; 2]);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum PairForm {
    Both(usize),
    Each([usize; 2]),
}

impl From<PairForm> for Pair {
    fn from(form: PairForm) -> Self {
        match form {
            PairForm::Both(size) => Self([size; 2]),
            PairForm::Each(sizes) => Self(sizes),
        }
    }
}

impl From<Pair> for PairForm {
    fn from(Pair(sizes): Pair) -> Self {
        if sizes[0] == sizes[1] { Self::Both(sizes[0]) } else { Self::Each(sizes) }
    }
}

impl From<usize> for Pair {
    fn from(size: usize) -> Self {
        Self([size; 2])
    }
}

impl From<[usize; 2]> for Pair {
    fn from(sizes: [usize; 2]) -> Self {
        Self(sizes)
    }
}

/// A layer as data.
///
/// Sizes of inputs are never given: they follow from the shape of what comes in. Shapes are
/// without the batch axis: `[features]`, `[channels, height, width]`, or `[length, size]` for
/// sequences. A linear layer takes any of them as one flat vector.
///
/// The size of the last layer that has one may be left open: it becomes what the network's role
/// needs, such as the number of latent features.
///
/// ```
/// use multivae_core::nn::LayerConfig;
///
/// let layer: LayerConfig = serde_json::from_str(
///     r#"{"kind": "conv2d", "channels": 32, "kernel": 3, "stride": 2, "padding": 1}"#,
/// )?;
/// assert_eq!(layer, LayerConfig::conv2d(32, 3, 2, 1));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum LayerConfig {
    /// An affine map of all features of a row, to `[outputs]`.
    Linear {
        /// Number of outputs; open if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outputs: Option<usize>,
        /// Whether a vector is added.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// A convolution of an image; `[channels, (height + 2 padding - kernel) / stride + 1, ..]`.
    Conv2d {
        /// Number of output channels; open if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channels: Option<usize>,
        /// Size of the kernel.
        kernel: Pair,
        /// Step between places of the kernel.
        #[serde(default = "one")]
        stride: Pair,
        /// Zeros around the image.
        #[serde(default = "zero")]
        padding: Pair,
        /// Whether a value a channel is added.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// A transposed convolution of an image;
    /// `[channels, (height - 1) stride - 2 padding + kernel + output_padding, ..]`. A vector is an
    /// image of one pixel.
    ConvTranspose2d {
        /// Number of output channels; open if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channels: Option<usize>,
        /// Size of the kernel.
        kernel: Pair,
        /// Step between places of the kernel.
        #[serde(default = "one")]
        stride: Pair,
        /// What is cut off around the result.
        #[serde(default = "zero")]
        padding: Pair,
        /// What is added to the result at the bottom and the right, less than the stride.
        #[serde(default = "zero")]
        output_padding: Pair,
        /// Whether a value a channel is added.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// Normalisation over the rows of a batch, of each feature or each channel of an image. While
    /// a model trains it needs more than one value a channel.
    BatchNorm {},
    /// Normalisation of each row over its features, or of each position over its size.
    LayerNorm {},
    /// Normalisation of each row of images over groups of channels.
    GroupNorm {
        /// Number of groups, which divides the number of channels.
        groups: usize,
    },
    /// `max(x, 0)`.
    Relu {},
    /// `x` where positive, `slope x` elsewhere.
    LeakyRelu {
        /// Slope below 0.
        #[serde(default = "default_slope")]
        slope: f64,
    },
    /// `x sigmoid(x)`.
    Silu {},
    /// `x Φ(x)`.
    Gelu {},
    /// Hyperbolic tangent.
    Tanh {},
    /// `1 / (1 + exp(-x))`.
    Sigmoid {},
    /// `ln(1 + exp(x))`.
    Softplus {},
    /// `limit tanh(x / limit)`: the identity near 0, never beyond the limit.
    SoftClamp {
        /// Largest magnitude.
        limit: f64,
    },
    /// What comes in.
    Identity {},
    /// Features set to 0 at random while a model trains. The draws are those of the device's
    /// generator.
    Dropout {
        /// Share of the features, in `[0, 1)`.
        rate: f64,
    },
    /// `shortcut(x) + scale layers(x)`. The shortcut is the identity, or where the number of
    /// channels or features changes a 1×1 convolution or a linear layer without bias.
    Residual {
        /// What is added to the shortcut. It keeps height and width.
        layers: Vec<LayerConfig>,
        /// Factor of what is added.
        #[serde(default = "unit")]
        scale: f64,
    },
    /// Means over windows of an image. Zeros of the padding count.
    AvgPool {
        /// Size of the window.
        kernel: Pair,
        /// Step between windows; the window's size if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<Pair>,
        /// Zeros around the image.
        #[serde(default = "zero")]
        padding: Pair,
    },
    /// Largest values of windows of an image. The padding does not count.
    MaxPool {
        /// Size of the window.
        kernel: Pair,
        /// Step between windows; the window's size if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<Pair>,
        /// Border around the image.
        #[serde(default = "zero")]
        padding: Pair,
    },
    /// Each pixel repeated.
    Upsample {
        /// How many times, along height and width.
        factor: Pair,
    },
    /// One vector of all features.
    Flatten {},
    /// The same features in another shape.
    Reshape {
        /// The shape, without the batch axis.
        shape: Vec<usize>,
    },
    /// A vector for each token: from `[length, vocabulary]` to `[length, size]`.
    ///
    /// Tokens are looked up; one-hot values and probabilities are multiplied with the table.
    /// Padding, and positions whose one-hot vector is all 0, become 0 and are masked in
    /// transformer layers after it.
    Embedding {
        /// Length of the vectors.
        size: usize,
        /// Vectors start uniform in ± this; standard normal if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        range: Option<f64>,
        /// Whether the vectors are multiplied by √size.
        #[serde(default)]
        scaled: bool,
    },
    /// Adds `sin(p 10000^(-2i/size))` to entry `2i` and the cosine to entry `2i + 1` of position
    /// `p`. Source: Vaswani et al. 2017.
    Positions {},
    /// Self-attention and a network a position, each with a residual sum and a layer
    /// normalisation after it; of `[length, size]`. Padding is not attended to, and 0 in the
    /// result, in training as in validation. Source: Vaswani et al. 2017.
    Transformer {
        /// Number of attention heads, which divides the size.
        heads: usize,
        /// Width of the network of a position.
        hidden: usize,
        /// How many such layers.
        layers: usize,
        /// Share of features set to 0 while a model trains, in `[0, 1)`.
        #[serde(default = "default_rate")]
        dropout: f64,
    },
}

fn yes() -> bool {
    true
}

fn zero() -> Pair {
    0.into()
}

fn one() -> Pair {
    1.into()
}

fn unit() -> f64 {
    1.0
}

fn default_slope() -> f64 {
    0.01
}

fn default_rate() -> f64 {
    0.1
}

impl LayerConfig {
    /// A linear layer of so many outputs.
    pub fn linear(outputs: usize) -> Self {
        Self::Linear { outputs: Some(outputs), bias: true }
    }

    /// A linear layer whose size the network's role decides.
    pub fn linear_open() -> Self {
        Self::Linear { outputs: None, bias: true }
    }

    /// A convolution with bias.
    pub fn conv2d(
        channels: impl Into<Option<usize>>,
        kernel: impl Into<Pair>,
        stride: impl Into<Pair>,
        padding: impl Into<Pair>,
    ) -> Self {
        Self::Conv2d {
            channels: channels.into(),
            kernel: kernel.into(),
            stride: stride.into(),
            padding: padding.into(),
            bias: true,
        }
    }

    /// A transposed convolution with bias.
    pub fn conv_transpose2d(
        channels: impl Into<Option<usize>>,
        kernel: impl Into<Pair>,
        stride: impl Into<Pair>,
        padding: impl Into<Pair>,
        output_padding: impl Into<Pair>,
    ) -> Self {
        Self::ConvTranspose2d {
            channels: channels.into(),
            kernel: kernel.into(),
            stride: stride.into(),
            padding: padding.into(),
            output_padding: output_padding.into(),
            bias: true,
        }
    }

    /// Its name in files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Linear { .. } => "linear",
            Self::Conv2d { .. } => "conv2d",
            Self::ConvTranspose2d { .. } => "conv_transpose2d",
            Self::BatchNorm {} => "batch_norm",
            Self::LayerNorm {} => "layer_norm",
            Self::GroupNorm { .. } => "group_norm",
            Self::Relu {} => "relu",
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::Silu {} => "silu",
            Self::Gelu {} => "gelu",
            Self::Tanh {} => "tanh",
            Self::Sigmoid {} => "sigmoid",
            Self::Softplus {} => "softplus",
            Self::SoftClamp { .. } => "soft_clamp",
            Self::Identity {} => "identity",
            Self::Dropout { .. } => "dropout",
            Self::Residual { .. } => "residual",
            Self::AvgPool { .. } => "avg_pool",
            Self::MaxPool { .. } => "max_pool",
            Self::Upsample { .. } => "upsample",
            Self::Flatten {} => "flatten",
            Self::Reshape { .. } => "reshape",
            Self::Embedding { .. } => "embedding",
            Self::Positions {} => "positions",
            Self::Transformer { .. } => "transformer",
        }
    }

    /// Whether its output has its input's shape whatever that is, so that the layer before it may
    /// be the one of open size.
    pub(crate) fn keeps_shape(&self) -> bool {
        matches!(
            self,
            Self::BatchNorm {}
                | Self::LayerNorm {}
                | Self::GroupNorm { .. }
                | Self::Relu {}
                | Self::LeakyRelu { .. }
                | Self::Silu {}
                | Self::Gelu {}
                | Self::Tanh {}
                | Self::Sigmoid {}
                | Self::Softplus {}
                | Self::SoftClamp { .. }
                | Self::Identity {}
                | Self::Dropout { .. }
        )
    }

    /// The shape of its output; `open` is the shape that an open size has to fit.
    pub(crate) fn output(
        &self,
        input: &[usize],
        open: Option<&[usize]>,
    ) -> Result<Vec<usize>, String> {
        match self {
            Self::Linear { outputs, .. } => {
                let open = || open.map(|shape| shape.iter().product());
                let outputs = outputs.or_else(open).ok_or("its `outputs` must be given here")?;
                positive("outputs", outputs)?;
                Ok(vec![outputs])
            }
            Self::Conv2d { channels, kernel, stride, padding, .. } => {
                let size = window(image(input)?, *kernel, *stride, *padding)?;
                Ok(vec![channels_of(*channels, open, size)?, size[0], size[1]])
            }
            Self::ConvTranspose2d { channels, kernel, stride, padding, output_padding, .. } => {
                let [_, height, width] = image(&pixel(input))?;
                let mut size = [0; 2];
                for (axis, extent) in [height, width].into_iter().enumerate() {
                    let [k, s, p, o] =
                        [kernel, stride, padding, output_padding].map(|pair| pair.0[axis]);
                    positive("kernel", k)?;
                    positive("stride", s)?;
                    if o >= s {
                        return Err(format!(
                            "its `output_padding` {o} must be below its stride {s}"
                        ));
                    }
                    size[axis] = ((extent - 1) * s + k + o)
                        .checked_sub(2 * p)
                        .filter(|&extent| extent > 0)
                        .ok_or_else(|| format!("its `padding` {p} leaves nothing"))?;
                }
                Ok(vec![channels_of(*channels, open, size)?, size[0], size[1]])
            }
            Self::BatchNorm {} => match input.len() {
                1 | 3 => Ok(input.to_vec()),
                _ => Err("it needs [features] or [channels, height, width]".into()),
            },
            Self::LayerNorm {} => match input.len() {
                1 | 2 => Ok(input.to_vec()),
                _ => Err("it needs [features] or [length, size]; images have `group_norm`".into()),
            },
            Self::GroupNorm { groups } => {
                let [channels, ..] = image(input)?;
                if *groups == 0 || channels % groups != 0 {
                    return Err(format!("{channels} channels do not split into {groups} groups"));
                }
                Ok(input.to_vec())
            }
            Self::SoftClamp { limit } if !(*limit > 0.0 && limit.is_finite()) => {
                Err(format!("its `limit` must be positive, not {limit}"))
            }
            Self::LeakyRelu { slope } if !slope.is_finite() => {
                Err(format!("its `slope` must be finite, not {slope}"))
            }
            Self::Dropout { rate } => share("rate", *rate).map(|()| input.to_vec()),
            Self::Residual { layers, scale } => {
                if !scale.is_finite() {
                    return Err(format!("its `scale` must be finite, not {scale}"));
                }
                let shapes = infer(layers, input, None).map_err(
                    |Fault { layer, kind, input, reason }| {
                        format!("inside, layer {layer} ({kind}) cannot take {input:?}: {reason}")
                    },
                )?;
                let output = shapes.last().expect("the input is the first shape");
                let fits = match (input, output.as_slice()) {
                    ([_], [_]) => true,
                    ([_, h, w], [_, height, width]) => h == height && w == width,
                    (input, output) => input == output,
                };
                if !fits {
                    return Err(format!("its layers yield {output:?}, which adds to no shortcut"));
                }
                Ok(output.clone())
            }
            Self::AvgPool { kernel, stride, padding }
            | Self::MaxPool { kernel, stride, padding } => {
                for (k, p) in kernel.0.into_iter().zip(padding.0) {
                    if 2 * p > k {
                        return Err(format!(
                            "its `padding` {p} must be at most half the kernel {k}"
                        ));
                    }
                }
                let shape = image(input)?;
                let [height, width] = window(shape, *kernel, stride.unwrap_or(*kernel), *padding)?;
                Ok(vec![shape[0], height, width])
            }
            Self::Upsample { factor: Pair(factor) } => {
                let [channels, height, width] = image(input)?;
                positive("factor", factor[0].min(factor[1]))?;
                Ok(vec![channels, height * factor[0], width * factor[1]])
            }
            Self::Flatten {} => Ok(vec![input.iter().product()]),
            Self::Reshape { shape } => {
                let (expected, found): (usize, usize) =
                    (input.iter().product(), shape.iter().product());
                if expected != found || shape.is_empty() {
                    return Err(format!("{expected} features do not have the shape {shape:?}"));
                }
                Ok(shape.clone())
            }
            Self::Embedding { size, range, .. } => {
                let [length, _] = sequence(input)?;
                positive("size", *size)?;
                if range.is_some_and(|range| !(range >= 0.0 && range.is_finite())) {
                    return Err(format!("its `range` must not be negative, but is {range:?}"));
                }
                Ok(vec![length, *size])
            }
            Self::Positions {} => {
                let [length, size] = sequence(input)?;
                if size % 2 != 0 || length > TIMESCALE {
                    return Err(format!("it needs an even size and at most {TIMESCALE} positions"));
                }
                Ok(input.to_vec())
            }
            Self::Transformer { heads, hidden, layers, dropout } => {
                let [_, size] = sequence(input)?;
                positive("hidden", *hidden)?;
                positive("layers", *layers)?;
                share("dropout", *dropout)?;
                if *heads == 0 || size % heads != 0 {
                    return Err(format!("a size of {size} does not split into {heads} heads"));
                }
                Ok(input.to_vec())
            }
            Self::Relu {}
            | Self::LeakyRelu { .. }
            | Self::Silu {}
            | Self::Gelu {}
            | Self::Tanh {}
            | Self::Sigmoid {}
            | Self::Softplus {}
            | Self::SoftClamp { .. }
            | Self::Identity {} => Ok(input.to_vec()),
        }
    }

    /// Builds the layer between two shapes that [`output`](Self::output) has related.
    ///
    /// Linear and convolutional layers start as in PyTorch, weights and biases uniform in
    /// ±1/√fan-in, which is what Burn does too: for transposed convolutions, fan-in is the number
    /// of output channels times the size of the kernel.
    pub(crate) fn init(&self, input: &[usize], output: &[usize], device: &Device) -> Layer {
        let features = |shape: &[usize]| shape.iter().product::<usize>();
        match self {
            Self::Linear { bias, .. } => Layer::Linear(
                LinearConfig::new(features(input), features(output)).with_bias(*bias).init(device),
            ),
            Self::Conv2d { kernel, stride, padding: Pair([height, width]), bias, .. } => {
                Layer::Conv2d(
                    Conv2dConfig::new([input[0], output[0]], kernel.0)
                        .with_stride(stride.0)
                        .with_padding(PaddingConfig2d::Explicit(*height, *width, *height, *width))
                        .with_bias(*bias)
                        .init(device),
                )
            }
            Self::ConvTranspose2d { kernel, stride, padding, output_padding, bias, .. } => {
                Layer::ConvTranspose2d(
                    ConvTranspose2dConfig::new([input[0], output[0]], kernel.0)
                        .with_stride(stride.0)
                        .with_padding(padding.0)
                        .with_padding_out(output_padding.0)
                        .with_bias(*bias)
                        .init(device),
                )
            }
            Self::BatchNorm {} => Layer::BatchNorm(BatchNormConfig::new(input[0]).init(device)),
            Self::LayerNorm {} => {
                Layer::LayerNorm(LayerNormConfig::new(input[input.len() - 1]).init(device))
            }
            Self::GroupNorm { groups } => {
                Layer::GroupNorm(GroupNormConfig::new(*groups, input[0]).init(device))
            }
            Self::Dropout { rate } => Layer::Dropout(DropoutConfig::new(*rate).init()),
            Self::Residual { layers, scale } => {
                let body = Sequential::of(layers, input, None, device)
                    .expect("the shapes inside were inferred before");
                let shortcut = match (input, output) {
                    (a, b) if a == b => None,
                    ([channels, ..], [outputs, _, _]) => Some(Layer::Conv2d(
                        Conv2dConfig::new([*channels, *outputs], [1, 1])
                            .with_bias(false)
                            .init(device),
                    )),
                    (input, output) => Some(Layer::Linear(
                        LinearConfig::new(features(input), features(output))
                            .with_bias(false)
                            .init(device),
                    )),
                };
                Layer::Residual(Residual {
                    body,
                    shortcut: shortcut.into_iter().collect(),
                    scale: *scale,
                })
            }
            Self::AvgPool { kernel, stride, padding: Pair([height, width]) } => Layer::AvgPool(
                AvgPool2dConfig::new(kernel.0)
                    .with_strides(stride.unwrap_or(*kernel).0)
                    .with_padding(PaddingConfig2d::Explicit(*height, *width, *height, *width))
                    .init(),
            ),
            Self::MaxPool { kernel, stride, padding: Pair([height, width]) } => Layer::MaxPool(
                MaxPool2dConfig::new(kernel.0)
                    .with_strides(stride.unwrap_or(*kernel).0)
                    .with_padding(PaddingConfig2d::Explicit(*height, *width, *height, *width))
                    .init(),
            ),
            Self::Embedding { size, range, scaled } => {
                let initializer = match range {
                    Some(range) => Initializer::Uniform { min: -range, max: *range },
                    None => Initializer::Normal { mean: 0.0, std: 1.0 },
                };
                Layer::Embedding(Embed {
                    table: EmbeddingConfig::new(input[1], *size)
                        .with_initializer(initializer)
                        .init(device),
                    scale: if *scaled { (*size as f64).sqrt() } else { 1.0 },
                })
            }
            Self::Positions {} => Layer::Positions(
                PositionalEncodingConfig::new(input[1])
                    .with_max_sequence_size(input[0])
                    .with_max_timescale(TIMESCALE)
                    .init(device),
            ),
            Self::Transformer { heads, hidden, layers, dropout } => Layer::Transformer(
                transformer(input[1], *heads, *hidden, *layers, *dropout, device),
            ),
            Self::Relu {} => Layer::function(Function::Relu),
            Self::LeakyRelu { slope } => Layer::function(Function::LeakyRelu(*slope)),
            Self::Silu {} => Layer::function(Function::Silu),
            Self::Gelu {} => Layer::function(Function::Gelu),
            Self::Tanh {} => Layer::function(Function::Tanh),
            Self::Sigmoid {} => Layer::function(Function::Sigmoid),
            Self::Softplus {} => Layer::function(Function::Softplus),
            Self::SoftClamp { limit } => Layer::function(Function::SoftClamp(*limit)),
            Self::Upsample { factor } => Layer::function(Function::Upsample(factor.0)),
            Self::Identity {} | Self::Flatten {} | Self::Reshape { .. } => {
                Layer::function(Function::Identity)
            }
        }
    }
}

/// The time scale of [`LayerConfig::Positions`], and so the largest length.
const TIMESCALE: usize = 10_000;

fn positive(field: &str, value: usize) -> Result<(), String> {
    if value == 0 { Err(format!("its `{field}` must be at least 1")) } else { Ok(()) }
}

fn share(field: &str, value: f64) -> Result<(), String> {
    let valid = (0.0..1.0).contains(&value);
    if valid { Ok(()) } else { Err(format!("its `{field}` must be in [0, 1), not {value}")) }
}

/// A vector as an image of one pixel.
fn pixel(input: &[usize]) -> Vec<usize> {
    match input {
        [features] => vec![*features, 1, 1],
        _ => input.to_vec(),
    }
}

fn image(input: &[usize]) -> Result<[usize; 3], String> {
    input.try_into().map_err(|_| "it needs an image [channels, height, width]".into())
}

fn sequence(input: &[usize]) -> Result<[usize; 2], String> {
    input.try_into().map_err(|_| "it needs a sequence [length, size]".into())
}

/// Height and width of what a sliding window yields.
fn window(
    [_, height, width]: [usize; 3],
    kernel: Pair,
    stride: Pair,
    padding: Pair,
) -> Result<[usize; 2], String> {
    let mut size = [0; 2];
    for (axis, extent) in [height, width].into_iter().enumerate() {
        let [k, s, p] = [kernel, stride, padding].map(|pair| pair.0[axis]);
        positive("kernel", k)?;
        positive("stride", s)?;
        let room = extent + 2 * p;
        if room < k {
            return Err(format!("a kernel of {k} does not fit into {room}"));
        }
        size[axis] = (room - k) / s + 1;
    }
    Ok(size)
}

/// Number of channels, where it is open from the features of the shape it has to fit.
fn channels_of(
    channels: Option<usize>,
    open: Option<&[usize]>,
    [height, width]: [usize; 2],
) -> Result<usize, String> {
    let channels = match (channels, open) {
        (Some(channels), _) => channels,
        (None, Some([channels, _, _])) => *channels,
        (None, Some(shape)) => {
            let features: usize = shape.iter().product();
            if !features.is_multiple_of(height * width) {
                return Err(format!("images of {height}×{width} do not have {features} features"));
            }
            features / (height * width)
        }
        (None, None) => return Err("its `channels` must be given here".into()),
    };
    positive("channels", channels)?;
    Ok(channels)
}

/// Post-norm layers with ReLU, started as PyTorch does: the projections of attention uniform as
/// one matrix after Glorot and Bengio 2010, their biases 0, all else as linear layers.
fn transformer(
    size: usize,
    heads: usize,
    hidden: usize,
    layers: usize,
    dropout: f64,
    device: &Device,
) -> TransformerEncoder {
    let mut encoder = TransformerEncoderConfig::new(size, hidden, heads, layers)
        .with_dropout(dropout)
        .with_activation(ActivationConfig::Relu)
        .init(device);
    // Of a matrix from `size` to three times `size`.
    let bound = (6.0 / (4 * size) as f64).sqrt();
    let zeros = || -> Option<Param<Tensor<1>>> { Some(Initializer::Zeros.init([size], device)) };
    for layer in &mut encoder.layers {
        let attention = &mut layer.mha;
        for projection in [&mut attention.query, &mut attention.key, &mut attention.value] {
            projection.weight =
                Initializer::Uniform { min: -bound, max: bound }.init([size, size], device);
            projection.bias = zeros();
        }
        attention.output.bias = zeros();
    }
    encoder
}

/// A layer as a module.
///
/// Values travel as `[rows, features]`. Each layer is told the shape of what comes in, and gives
/// it that shape at its own entry, so that a batch of one row keeps its axis.
#[derive(Module, Debug)]
#[non_exhaustive]
pub enum Layer {
    /// See [`LayerConfig::Linear`].
    Linear(Linear),
    /// See [`LayerConfig::Conv2d`].
    Conv2d(Conv2d),
    /// See [`LayerConfig::ConvTranspose2d`].
    ConvTranspose2d(ConvTranspose2d),
    /// See [`LayerConfig::BatchNorm`].
    BatchNorm(BatchNorm),
    /// See [`LayerConfig::LayerNorm`].
    LayerNorm(LayerNorm),
    /// See [`LayerConfig::GroupNorm`].
    GroupNorm(GroupNorm),
    /// See [`LayerConfig::Dropout`].
    Dropout(Dropout),
    /// See [`LayerConfig::Residual`].
    Residual(Residual),
    /// See [`LayerConfig::AvgPool`].
    AvgPool(AvgPool2d),
    /// See [`LayerConfig::MaxPool`].
    MaxPool(MaxPool2d),
    /// See [`LayerConfig::Embedding`].
    Embedding(Embed),
    /// See [`LayerConfig::Positions`].
    Positions(PositionalEncoding),
    /// See [`LayerConfig::Transformer`].
    Transformer(TransformerEncoder),
    /// A layer without parameters.
    Function(FunctionLayer),
}

/// What travels from layer to layer.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    /// `[rows, features]`.
    pub(crate) x: Tensor<2>,
    /// 1 where a sequence has a token, 0 for padding, `[rows, length]`; `None` where nothing is
    /// padded.
    pub(crate) mask: Option<Tensor<2>>,
}

impl Layer {
    fn function(function: Function) -> Self {
        Self::Function(FunctionLayer { function })
    }

    /// From `[rows, ..]`, each row of shape `input`, to `[rows, features]`.
    pub(crate) fn forward(&self, flow: Flow, input: &[usize]) -> Flow {
        let Flow { x, mask } = flow;
        let rows = x.dims()[0];
        let image = |x: Tensor<2>| x.reshape([rows, input[0], input[1], input[2]]);
        let sequence = |x: Tensor<2>| x.reshape([rows, input[0], input[1]]);
        let x = match self {
            Self::Linear(layer) => layer.forward(x),
            Self::Conv2d(layer) => conv2d(layer, image(x)).flatten(1, 3),
            Self::ConvTranspose2d(layer) if input.len() == 1 => {
                conv_transpose2d(layer, x.reshape([rows, input[0], 1, 1])).flatten(1, 3)
            }
            Self::ConvTranspose2d(layer) => conv_transpose2d(layer, image(x)).flatten(1, 3),
            Self::BatchNorm(layer) if input.len() == 3 => layer.forward(image(x)).flatten(1, 3),
            Self::BatchNorm(layer) => layer.forward(x),
            Self::LayerNorm(layer) if input.len() == 2 => layer.forward(sequence(x)).flatten(1, 2),
            Self::LayerNorm(layer) => layer.forward(x),
            Self::GroupNorm(layer) => layer.forward(image(x)).flatten(1, 3),
            Self::Dropout(layer) => layer.forward(x),
            Self::Residual(layer) => layer.forward(x, mask.clone(), input),
            Self::AvgPool(layer) => layer.forward(image(x)).flatten(1, 3),
            Self::MaxPool(layer) => layer.forward(image(x)).flatten(1, 3),
            Self::Embedding(layer) => return layer.forward_dense(sequence(x)),
            Self::Positions(layer) => layer.forward(sequence(x)).flatten(1, 2),
            Self::Transformer(layer) => attend(layer, sequence(x), mask.clone()).flatten(1, 2),
            Self::Function(layer) => layer.function.apply(x, input),
        };
        Flow { x, mask }
    }
}

/// What the module computes, by the fast kernels where there are some.
fn conv2d(layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let padding = match layer.padding {
        PaddingConfig2d::Explicit(top, left, bottom, right) => [(top, bottom), (left, right)],
        PaddingConfig2d::Valid => [(0, 0); 2],
        // It depends on the image; no layer is built with it.
        PaddingConfig2d::Same => return layer.forward(x),
    };
    kernels::conv2d(
        x,
        layer.weight.val(),
        layer.bias.as_ref().map(Param::val),
        ConvOptions::new_with_padding(layer.stride, padding, layer.dilation, layer.groups),
    )
}

/// What the module computes, by the fast kernels where there are some.
fn conv_transpose2d(layer: &ConvTranspose2d, x: Tensor<4>) -> Tensor<4> {
    kernels::conv_transpose2d(
        x,
        layer.weight.val(),
        layer.bias.as_ref().map(Param::val),
        ConvTransposeOptions::new(
            layer.stride,
            layer.padding,
            layer.padding_out,
            layer.dilation,
            layer.groups,
        ),
    )
}

/// The transformer layers under a padding mask `[rows, length]`, with zeros where it is 0.
fn attend(layer: &TransformerEncoder, x: Tensor<3>, mask: Option<Tensor<2>>) -> Tensor<3> {
    let Some(mask) = mask else { return layer.forward(TransformerEncoderInput::new(x)) };
    let padding: Tensor<2, Bool> = mask.clone().equal_elem(0.0);
    layer.forward(TransformerEncoderInput::new(x).mask_pad(padding)) * mask.unsqueeze_dim(2)
}

/// See [`LayerConfig::Residual`].
#[derive(Module, Debug)]
pub struct Residual {
    body: Sequential,
    /// One layer, or none for the identity. A vector, since a layer holds a residual.
    shortcut: Vec<Layer>,
    scale: f64,
}

impl Residual {
    fn forward(&self, x: Tensor<2>, mask: Option<Tensor<2>>, input: &[usize]) -> Tensor<2> {
        let flow = Flow { x, mask };
        let shortcut =
            self.shortcut.iter().fold(flow.clone(), |flow, layer| layer.forward(flow, input));
        let body = self.body.flow(flow).x;
        shortcut.x + if self.scale == 1.0 { body } else { body * self.scale }
    }
}

/// See [`LayerConfig::Embedding`].
#[derive(Module, Debug)]
pub struct Embed {
    table: Embedding,
    scale: f64,
}

impl Embed {
    /// From tokens and their mask, `[rows, length]` each.
    pub(crate) fn forward_tokens(&self, ids: Tensor<2, Int>, mask: Tensor<2>) -> Flow {
        self.masked(self.table.forward(ids), mask)
    }

    /// From one-hot values `[rows, length, vocabulary]`.
    fn forward_dense(&self, x: Tensor<3>) -> Flow {
        let mask: Tensor<2> = x.clone().abs().sum_dim(2).greater_elem(0.0).float().squeeze_dim(2);
        let [rows, length, vocabulary] = x.dims();
        let vectors = x.reshape([rows * length, vocabulary]).matmul(self.table.weight.val());
        let size = vectors.dims()[1];
        self.masked(vectors.reshape([rows, length, size]), mask)
    }

    fn masked(&self, vectors: Tensor<3>, mask: Tensor<2>) -> Flow {
        let factor = mask.clone() * self.scale;
        Flow { x: (vectors * factor.unsqueeze_dim(2)).flatten(1, 2), mask: Some(mask) }
    }
}

/// A layer without parameters.
#[derive(Module, Debug)]
pub struct FunctionLayer {
    #[module(skip)]
    function: Function,
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Identity,
    Relu,
    LeakyRelu(f64),
    Silu,
    Gelu,
    Tanh,
    Sigmoid,
    Softplus,
    SoftClamp(f64),
    Upsample([usize; 2]),
}

impl Function {
    fn apply(self, x: Tensor<2>, input: &[usize]) -> Tensor<2> {
        match self {
            Self::Identity => x,
            Self::Relu => activation::relu(x),
            Self::LeakyRelu(slope) => activation::leaky_relu(x, slope),
            Self::Silu => activation::silu(x),
            Self::Gelu => activation::gelu(x),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => activation::sigmoid(x),
            Self::Softplus => activation::softplus(x, 1.0),
            Self::SoftClamp(limit) => (x / limit).tanh() * limit,
            Self::Upsample([down, right]) => {
                let [planes, height, width] = [x.dims()[0] * input[0], input[1], input[2]];
                let rows = x.dims()[0];
                x.reshape([planes, height, 1, width, 1])
                    .expand([planes, height, down, width, right])
                    .reshape([rows, input[0] * height * down * width * right])
            }
        }
    }
}

impl fmt::Display for LayerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}
