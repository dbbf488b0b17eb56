//! One layer: as data, and as a module.

use std::fmt;

use burn::{
    module::{DisplaySettings, Module, ModuleDisplay, Param, RunningState},
    nn::{
        BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Embedding, EmbeddingConfig, GroupNorm,
        GroupNormConfig, Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig,
        PaddingConfig2d, PaddingConfig3d, PositionalEncoding, PositionalEncodingConfig,
        activation::ActivationConfig,
        conv::{
            Conv2d, Conv2dConfig, Conv3d, Conv3dConfig, ConvTranspose2d, ConvTranspose2dConfig,
            ConvTranspose3d, ConvTranspose3dConfig,
        },
        pool::{AvgPool2d, AvgPool2dConfig, MaxPool2d, MaxPool2dConfig},
        transformer::{TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput},
    },
    tensor::{
        Bool, Device, Int, Tensor, activation,
        module::batch_norm as batch_norm_by,
        ops::{ConvOptions, ConvTransposeOptions},
    },
};
use multivae_kernels::{self as kernels, Activation, Order};
use serde::{Deserialize, Serialize};

use super::sequential::{Fault, Sequential, Stream, infer};

/// Extents that are one number in files where all are equal, else a list.
macro_rules! extents {
    ($(#[$about:meta])* $name:ident, $form:ident, $from:literal, $count:literal) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = $from, into = $from)]
        pub struct $name(pub [usize; $count]);

        #[derive(Serialize, Deserialize)]
        #[serde(untagged)]
        enum $form {
            All(usize),
            Each([usize; $count]),
        }

        impl From<$form> for $name {
            fn from(form: $form) -> Self {
                match form {
                    $form::All(size) => Self([size; $count]),
                    $form::Each(sizes) => Self(sizes),
                }
            }
        }

        impl From<$name> for $form {
            fn from($name(sizes): $name) -> Self {
                if sizes.iter().all(|&size| size == sizes[0]) {
                    Self::All(sizes[0])
                } else {
                    Self::Each(sizes)
                }
            }
        }

        impl From<usize> for $name {
            fn from(size: usize) -> Self {
                Self([size; $count])
            }
        }

        impl From<[usize; $count]> for $name {
            fn from(sizes: [usize; $count]) -> Self {
                Self(sizes)
            }
        }
    };
}

extents! {
    /// The two spatial extents of something, height and width. In files it is one number where both
    /// are equal, else a list of two.
    Pair, PairForm, "PairForm", 2
}

extents! {
    /// The three spatial extents of something, depth, height and width. In files it is one number
    /// where all are equal, else a list of three.
    Triple, TripleForm, "TripleForm", 3
}

/// A layer as data.
///
/// Sizes of inputs are never given: they follow from the shape of what comes in. Shapes are
/// without the batch axis: `[features]`, `[channels, height, width]`, `[channels, depth, height,
/// width]`, or `[length, size]` for sequences. A linear layer takes any of them as one flat vector.
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
        /// Whether a value per channel is added.
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
        /// Whether a value per channel is added.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// A convolution of a volume; `[channels, (depth + 2 padding - kernel) / stride + 1, ..]`.
    Conv3d {
        /// Number of output channels; open if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channels: Option<usize>,
        /// Size of the kernel.
        kernel: Triple,
        /// Step between places of the kernel.
        #[serde(default = "one")]
        stride: Triple,
        /// Zeros around the volume.
        #[serde(default = "zero")]
        padding: Triple,
        /// Whether a value per channel is added.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// A transposed convolution of a volume;
    /// `[channels, (depth - 1) stride - 2 padding + kernel + output_padding, ..]`. A vector is a
    /// volume of one voxel.
    ConvTranspose3d {
        /// Number of output channels; open if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channels: Option<usize>,
        /// Size of the kernel.
        kernel: Triple,
        /// Step between places of the kernel.
        #[serde(default = "one")]
        stride: Triple,
        /// What is cut off around the result.
        #[serde(default = "zero")]
        padding: Triple,
        /// What is added to the result at its far ends, less than the stride.
        #[serde(default = "zero")]
        output_padding: Triple,
        /// Whether a value per channel is added.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// Normalisation over the rows of a batch, of each feature or each channel of an image: while a
    /// model trains, those that observe the modality whose encoder the layer is in. A batch of one
    /// value per channel, of which there is no variance, is normalised by the running statistics, as
    /// in evaluation, and leaves them as they are.
    BatchNorm {},
    /// Normalisation of each row over its features, or of each position over its size.
    LayerNorm {},
    /// Normalisation of each row of images or volumes over groups of channels.
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
    /// channels or features changes a convolution of kernel 1 or a linear layer without bias.
    Residual {
        /// What is added to the shortcut. It keeps all extents but the channels.
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

fn zero<T: From<usize>>() -> T {
    0.into()
}

fn one<T: From<usize>>() -> T {
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
    /// The same with a size that is left open fixed.
    #[must_use]
    pub fn closed(mut self, size: usize) -> Self {
        if let Self::Linear { outputs: open, .. }
        | Self::Conv2d { channels: open, .. }
        | Self::ConvTranspose2d { channels: open, .. }
        | Self::Conv3d { channels: open, .. }
        | Self::ConvTranspose3d { channels: open, .. } = &mut self
        {
            open.get_or_insert(size);
        }
        self
    }

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

    /// A convolution of volumes with bias.
    pub fn conv3d(
        channels: impl Into<Option<usize>>,
        kernel: impl Into<Triple>,
        stride: impl Into<Triple>,
        padding: impl Into<Triple>,
    ) -> Self {
        Self::Conv3d {
            channels: channels.into(),
            kernel: kernel.into(),
            stride: stride.into(),
            padding: padding.into(),
            bias: true,
        }
    }

    /// A transposed convolution of volumes with bias.
    pub fn conv_transpose3d(
        channels: impl Into<Option<usize>>,
        kernel: impl Into<Triple>,
        stride: impl Into<Triple>,
        padding: impl Into<Triple>,
        output_padding: impl Into<Triple>,
    ) -> Self {
        Self::ConvTranspose3d {
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
            Self::Conv3d { .. } => "conv3d",
            Self::ConvTranspose3d { .. } => "conv_transpose3d",
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
                match (outputs, open()) {
                    (Some(outputs), _) => positive("outputs", *outputs).map(|()| vec![*outputs]),
                    (None, Some(outputs)) => Ok(vec![outputs]),
                    (None, None) => Err("its `outputs` must be given here".into()),
                }
            }
            Self::Conv2d { channels, kernel, stride, padding, .. } => {
                let [_, height, width] = image(input)?;
                let size = window([height, width], kernel.0, stride.0, padding.0)?;
                Ok([&[channels_of(*channels, open, size)?], &size[..]].concat())
            }
            Self::Conv3d { channels, kernel, stride, padding, .. } => {
                let [_, depth, height, width] = volume(input)?;
                let size = window([depth, height, width], kernel.0, stride.0, padding.0)?;
                Ok([&[channels_of(*channels, open, size)?], &size[..]].concat())
            }
            Self::ConvTranspose2d { channels, kernel, stride, padding, output_padding, .. } => {
                let [_, height, width] = image(&pixel::<3>(input))?;
                let by = [kernel.0, stride.0, padding.0, output_padding.0];
                let size = unfolded([height, width], by)?;
                Ok([&[channels_of(*channels, open, size)?], &size[..]].concat())
            }
            Self::ConvTranspose3d { channels, kernel, stride, padding, output_padding, .. } => {
                let [_, depth, height, width] = volume(&pixel::<4>(input))?;
                let by = [kernel.0, stride.0, padding.0, output_padding.0];
                let size = unfolded([depth, height, width], by)?;
                Ok([&[channels_of(*channels, open, size)?], &size[..]].concat())
            }
            Self::BatchNorm {} => match input.len() {
                1 | 3 | 4 => Ok(input.to_vec()),
                _ => Err("it needs [features] or [channels, height, width], or a volume".into()),
            },
            Self::LayerNorm {} => match input.len() {
                1 | 2 => Ok(input.to_vec()),
                _ => Err("it needs [features] or [length, size]; images have `group_norm`".into()),
            },
            Self::GroupNorm { groups } => {
                let channels = match input.len() {
                    4 => volume(input)?[0],
                    _ => image(input)?[0],
                };
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
                    ([_, a @ ..], [_, b @ ..]) if a.len() > 1 => a == b,
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
                    bounded("padding", p)?;
                    if 2 * p > k {
                        return Err(format!(
                            "its `padding` {p} must be at most half the kernel {k}"
                        ));
                    }
                }
                let shape = image(input)?;
                let stride = stride.unwrap_or(*kernel);
                let [height, width] = window([shape[1], shape[2]], kernel.0, stride.0, padding.0)?;
                Ok(vec![shape[0], height, width])
            }
            Self::Upsample { factor: Pair(factor) } => {
                let [channels, height, width] = image(input)?;
                positive("factor", factor[0])?;
                positive("factor", factor[1])?;
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
            Self::Conv3d {
                kernel, stride, padding: Triple([depth, height, width]), bias, ..
            } => Layer::Conv3d(
                Conv3dConfig::new([input[0], output[0]], kernel.0)
                    .with_stride(stride.0)
                    .with_padding(PaddingConfig3d::Explicit(*depth, *height, *width))
                    .with_bias(*bias)
                    .init(device),
            ),
            Self::ConvTranspose3d { kernel, stride, padding, output_padding, bias, .. } => {
                Layer::ConvTranspose3d(
                    ConvTranspose3dConfig::new([input[0], output[0]], kernel.0)
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
                    ([channels, ..], [outputs, _, _, _]) => Some(Layer::Conv3d(
                        Conv3dConfig::new([*channels, *outputs], [1; 3])
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

/// The largest size of anything: far beyond use, and safe to multiply.
const LARGEST: usize = 1 << 20;

fn positive(field: &str, value: usize) -> Result<(), String> {
    match value {
        0 => Err(format!("its `{field}` must be at least 1")),
        value => bounded(field, value),
    }
}

fn bounded(field: &str, value: usize) -> Result<(), String> {
    let possible = value <= LARGEST;
    if possible { Ok(()) } else { Err(format!("its `{field}` is above {LARGEST}")) }
}

fn share(field: &str, value: f64) -> Result<(), String> {
    let valid = (0.0..1.0).contains(&value);
    if valid { Ok(()) } else { Err(format!("its `{field}` must be in [0, 1), not {value}")) }
}

/// A vector as an image or volume, a shape of `D` axes, of one pixel or voxel.
fn pixel<const D: usize>(input: &[usize]) -> Vec<usize> {
    match input {
        [features] => {
            let mut shape = vec![1; D];
            shape[0] = *features;
            shape
        }
        _ => input.to_vec(),
    }
}

fn image(input: &[usize]) -> Result<[usize; 3], String> {
    input.try_into().map_err(|_| "it needs an image [channels, height, width]".into())
}

fn volume(input: &[usize]) -> Result<[usize; 4], String> {
    input.try_into().map_err(|_| "it needs a volume [channels, depth, height, width]".into())
}

fn sequence(input: &[usize]) -> Result<[usize; 2], String> {
    input.try_into().map_err(|_| "it needs a sequence [length, size]".into())
}

/// Extents of what a sliding window yields.
fn window<const N: usize>(
    extents: [usize; N],
    kernel: [usize; N],
    stride: [usize; N],
    padding: [usize; N],
) -> Result<[usize; N], String> {
    let mut size = [0; N];
    for axis in 0..N {
        let [k, s, p] = [kernel, stride, padding].map(|extents| extents[axis]);
        positive("kernel", k)?;
        positive("stride", s)?;
        bounded("padding", p)?;
        let room = extents[axis] + 2 * p;
        if room < k {
            return Err(format!("a kernel of {k} does not fit into {room}"));
        }
        size[axis] = (room - k) / s + 1;
    }
    Ok(size)
}

/// Extents of what a transposed convolution yields, by its kernel, stride, padding and output
/// padding.
fn unfolded<const N: usize>(
    extents: [usize; N],
    by: [[usize; N]; 4],
) -> Result<[usize; N], String> {
    let mut size = [0; N];
    for axis in 0..N {
        let [k, s, p, o] = by.map(|extents| extents[axis]);
        positive("kernel", k)?;
        positive("stride", s)?;
        bounded("padding", p)?;
        if o >= s {
            return Err(format!("its `output_padding` {o} must be below its stride {s}"));
        }
        size[axis] = ((extents[axis] - 1) * s + k + o)
            .checked_sub(2 * p)
            .filter(|&extent| extent > 0)
            .ok_or_else(|| format!("its `padding` {p} leaves nothing"))?;
    }
    Ok(size)
}

/// Number of channels, where it is open from the features of the shape it has to fit.
fn channels_of<const N: usize>(
    channels: Option<usize>,
    open: Option<&[usize]>,
    size: [usize; N],
) -> Result<usize, String> {
    match (channels, open) {
        (Some(channels), _) => positive("channels", channels).map(|()| channels),
        (None, Some([channels, extents @ ..])) if extents.len() == N => Ok(*channels),
        (None, Some(shape)) => {
            let features: usize = shape.iter().product();
            let places: usize = size.iter().product();
            if !features.is_multiple_of(places) {
                let size = size.map(|extent| extent.to_string()).join("×");
                let what = if N == 2 { "images" } else { "volumes" };
                return Err(format!("{what} of {size} do not have {features} features"));
            }
            Ok(features / places)
        }
        (None, None) => Err("its `channels` must be given here".into()),
    }
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
#[module(custom_display)]
#[non_exhaustive]
pub enum Layer {
    /// See [`LayerConfig::Linear`].
    Linear(Linear),
    /// See [`LayerConfig::Conv2d`].
    Conv2d(Conv2d),
    /// See [`LayerConfig::ConvTranspose2d`].
    ConvTranspose2d(ConvTranspose2d),
    /// See [`LayerConfig::Conv3d`].
    Conv3d(Conv3d),
    /// See [`LayerConfig::ConvTranspose3d`].
    ConvTranspose3d(ConvTranspose3d),
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

impl ModuleDisplay for Layer {
    fn format(&self, settings: DisplaySettings) -> String {
        match self {
            Self::Linear(layer) => layer.format(settings),
            Self::Conv2d(layer) => layer.format(settings),
            Self::ConvTranspose2d(layer) => layer.format(settings),
            Self::Conv3d(layer) => layer.format(settings),
            Self::ConvTranspose3d(layer) => layer.format(settings),
            Self::BatchNorm(layer) => layer.format(settings),
            Self::LayerNorm(layer) => layer.format(settings),
            Self::GroupNorm(layer) => layer.format(settings),
            Self::Dropout(layer) => layer.format(settings),
            Self::Residual(layer) => layer.format(settings),
            Self::AvgPool(layer) => layer.format(settings),
            Self::MaxPool(layer) => layer.format(settings),
            Self::Embedding(layer) => layer.format(settings),
            Self::Positions(layer) => layer.format(settings),
            Self::Transformer(layer) => layer.format(settings),
            Self::Function(layer) => format!("{:?}", layer.function),
        }
    }
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

    /// What the layer is as a function of single values, where there are kernels for it.
    pub(crate) fn activation(&self) -> Option<Activation> {
        let Self::Function(layer) = self else { return None };
        layer.function.activation()
    }

    /// Whether the result of a row depends on others while the layer learns.
    pub(crate) fn mixes_rows(&self) -> bool {
        match self {
            Self::BatchNorm(_) => true,
            Self::Residual(layer) => layer.body.mixes_rows(),
            _ => false,
        }
    }

    /// Whether it is a convolution of images, which has [`Self::convolve`].
    pub(crate) fn is_convolution(&self) -> bool {
        matches!(self, Self::Conv2d(_) | Self::ConvTranspose2d(_))
    }

    /// A convolution of images `[rows, channels, height, width]`, and what follows it.
    ///
    /// # Panics
    ///
    /// If the layer is none.
    pub(crate) fn convolve(&self, x: Tensor<4>, activation: Activation, order: Order) -> Tensor<4> {
        match self {
            Self::Conv2d(layer) => conv2d(layer, x, activation, order),
            Self::ConvTranspose2d(layer) => conv_transpose2d(layer, x, activation, order),
            _ => panic!("{self} is no convolution"),
        }
    }

    /// The layer as a map of each of two parts that are joined, features after features or channels
    /// after channels: what it yields is the sum of both. `None` where it is no affine map.
    pub(crate) fn of_parts(&self, parts: [&Tensor<2>; 2], input: &[usize]) -> Option<Parts> {
        let [left, right] = parts.map(Clone::clone);
        let first = left.dims()[1];
        match (self, input) {
            (Self::Linear(layer), _) => {
                let [a, b] = cut(&layer.weight.val(), 0, first);
                let bias = layer.bias.as_ref().map(Param::val);
                Some(Parts::Flat([
                    kernels::linear(left, a, bias, Activation::Identity),
                    kernels::linear(right, b, None, Activation::Identity),
                ]))
            }
            (Self::Conv2d(layer), &[_, height, width])
                if layer.groups == 1 && first % (height * width) == 0 =>
            {
                let channels = |x: &Tensor<2>| x.dims()[1] / (height * width);
                let images = [&left, &right]
                    .map(|x| x.clone().reshape([x.dims()[0], channels(x), height, width]));
                let [a, b] = cut(&layer.weight.val(), 1, channels(&left));
                let bias = layer.bias.as_ref().map(Param::val);
                let [left, right] = images;
                let map = |x, weight, bias| {
                    conv2d_by(layer, weight, bias, x, Activation::Identity, Order::Pixels)
                };
                Some(Parts::Images([map(left, a, bias), map(right, b, None)]))
            }
            _ => None,
        }
    }

    /// This map and another of the same kind as one; `None` where they are none.
    pub(crate) fn beside<'a>(&'a self, other: &'a Self) -> Option<Beside<'a>> {
        match (self, other) {
            (Self::Linear(a), Self::Linear(b)) if a.bias.is_some() == b.bias.is_some() => {
                Some(Beside::Linear([a, b]))
            }
            (Self::Conv2d(a), Self::Conv2d(b)) => {
                let geometry = |layer: &Conv2d| {
                    (
                        layer.kernel_size,
                        layer.stride,
                        layer.dilation,
                        layer.groups,
                        layer.padding.clone(),
                    )
                };
                let alike = geometry(a) == geometry(b) && a.bias.is_some() == b.bias.is_some();
                (alike && a.groups == 1).then_some(Beside::Conv2d([a, b]))
            }
            _ => None,
        }
    }

    /// `[rows, features]` as images; a vector is one of a single pixel.
    pub(crate) fn image(x: Tensor<2>, input: &[usize]) -> Tensor<4> {
        let rows = x.dims()[0];
        match *input {
            [channels, height, width] => x.reshape([rows, channels, height, width]),
            _ => x.reshape([rows, input[0], 1, 1]),
        }
    }

    /// From `[rows, ..]`, each row of shape `input`, to `[rows, features]`.
    pub(crate) fn forward(&self, flow: Flow, input: &[usize]) -> Flow {
        let Flow { x, mask } = flow;
        let rows = x.dims()[0];
        // A mask ends with the sequence that it masks.
        let mask = mask.filter(|mask| input.len() == 2 && input[0] == mask.dims()[1]);
        let image = |x: Tensor<2>| x.reshape([rows, input[0], input[1], input[2]]);
        let volume = |x: Tensor<2>| match *input {
            [channels, depth, height, width] => x.reshape([rows, channels, depth, height, width]),
            // A vector is one of a single voxel.
            _ => x.reshape([rows, input[0], 1, 1, 1]),
        };
        let sequence = |x: Tensor<2>| x.reshape([rows, input[0], input[1]]);
        let x = match self {
            Self::Linear(layer) => linear(layer, x, Activation::Identity),
            Self::Conv2d(_) | Self::ConvTranspose2d(_) => {
                let image = Self::image(x, input);
                self.convolve(image, Activation::Identity, Order::Planes).flatten(1, 3)
            }
            Self::Conv3d(layer) => layer.forward(volume(x)).flatten(1, 4),
            Self::ConvTranspose3d(layer) => layer.forward(volume(x)).flatten(1, 4),
            Self::BatchNorm(layer) if input.len() == 4 => {
                batch_norm(layer, volume(x)).flatten(1, 4)
            }
            Self::BatchNorm(layer) if input.len() == 3 => batch_norm(layer, image(x)).flatten(1, 3),
            Self::BatchNorm(layer) => batch_norm(layer, x),
            Self::LayerNorm(layer) if input.len() == 2 => layer.forward(sequence(x)).flatten(1, 2),
            Self::LayerNorm(layer) => layer.forward(x),
            Self::GroupNorm(layer) if input.len() == 4 => layer.forward(volume(x)).flatten(1, 4),
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

/// What the module computes, but for a single value per channel, which has no statistics.
fn batch_norm<const D: usize>(layer: &BatchNorm, x: Tensor<D>) -> Tensor<D> {
    let values = x.dims().iter().product::<usize>() / x.dims()[1];
    if values > 1 {
        return layer.forward(x);
    }
    let device = x.device();
    let running = |state: &RunningState<Tensor<1>>| state.value_sync().to_device(&device);
    batch_norm_by(
        x,
        layer.gamma.val(),
        layer.beta.val(),
        running(&layer.running_mean),
        running(&layer.running_var),
        layer.epsilon,
    )
}

/// What the module computes and what follows it, by the fast kernels where there are some.
pub(crate) fn linear(layer: &Linear, x: Tensor<2>, activation: Activation) -> Tensor<2> {
    let bias = layer.bias.as_ref().map(Param::val);
    kernels::linear(x, layer.weight.val(), bias, activation)
}

/// What a layer makes of each of two parts of its input.
#[derive(Debug)]
pub(crate) enum Parts {
    /// `[rows, features]` each.
    Flat([Tensor<2>; 2]),
    /// `[rows, channels, height, width]` each.
    Images([Tensor<4>; 2]),
}

/// Two maps of the same input as one, whose outputs stand side by side.
#[derive(Debug)]
pub(crate) enum Beside<'a> {
    Linear([&'a Linear; 2]),
    Conv2d([&'a Conv2d; 2]),
}

impl Beside<'_> {
    /// From `[rows, ..]`, each row of shape `input`, to `[rows, outputs of both]`.
    pub(crate) fn forward(&self, x: Stream, input: &[usize], activation: Activation) -> Tensor<2> {
        fn biases(both: [Option<&Param<Tensor<1>>>; 2]) -> Option<Tensor<1>> {
            let [a, b] = both;
            a.zip(b).map(|(a, b)| Tensor::cat(vec![a.val(), b.val()], 0))
        }
        match self {
            Self::Linear([a, b]) => {
                let weight = Tensor::cat(vec![a.weight.val(), b.weight.val()], 1);
                let bias = biases([a.bias.as_ref(), b.bias.as_ref()]);
                kernels::linear(x.flat().x, weight, bias, activation)
            }
            Self::Conv2d([a, b]) => {
                let weight = Tensor::cat(vec![a.weight.val(), b.weight.val()], 0);
                let bias = biases([a.bias.as_ref(), b.bias.as_ref()]);
                let image = match x {
                    Stream::Flow(flow) => Layer::image(flow.x, input),
                    Stream::Image(image) => image,
                };
                conv2d_by(a, weight, bias, image, activation, Order::Planes).flatten(1, 3)
            }
        }
    }
}

/// A tensor cut in two along an axis.
fn cut<const D: usize>(tensor: &Tensor<D>, axis: usize, first: usize) -> [Tensor<D>; 2] {
    let rest = tensor.dims()[axis] - first;
    [tensor.clone().narrow(axis, 0, first), tensor.clone().narrow(axis, first, rest)]
}

/// What the module computes and what follows it, by the fast kernels where there are some.
fn conv2d(layer: &Conv2d, x: Tensor<4>, activation: Activation, order: Order) -> Tensor<4> {
    let bias = layer.bias.as_ref().map(Param::val);
    conv2d_by(layer, layer.weight.val(), bias, x, activation, order)
}

/// The same by another weight and another bias.
fn conv2d_by(
    layer: &Conv2d,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    x: Tensor<4>,
    activation: Activation,
    order: Order,
) -> Tensor<4> {
    let padding = match layer.padding {
        PaddingConfig2d::Explicit(top, left, bottom, right) => [(top, bottom), (left, right)],
        PaddingConfig2d::Valid => [(0, 0); 2],
        // It depends on the image.
        PaddingConfig2d::Same => unreachable!("no layer is built with it"),
    };
    let options =
        ConvOptions::new_with_padding(layer.stride, padding, layer.dilation, layer.groups);
    kernels::conv2d(x, weight, bias, options, activation, order)
}

/// What the module computes and what follows it, by the fast kernels where there are some.
fn conv_transpose2d(
    layer: &ConvTranspose2d,
    x: Tensor<4>,
    activation: Activation,
    order: Order,
) -> Tensor<4> {
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
        activation,
        order,
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
    /// The function, where there are kernels for it.
    fn activation(self) -> Option<Activation> {
        Some(match self {
            Self::Identity => Activation::Identity,
            Self::Relu => Activation::Relu,
            // What comes out tells on which side of 0 it went in.
            Self::LeakyRelu(slope) if slope > 0.0 => Activation::LeakyRelu(slope as f32),
            Self::Silu => Activation::Silu,
            Self::Sigmoid => Activation::Sigmoid,
            Self::SoftClamp(limit) => Activation::SoftClamp(limit as f32),
            _ => return None,
        })
    }

    fn apply(self, x: Tensor<2>, input: &[usize]) -> Tensor<2> {
        if let Some(activation) = self.activation() {
            return kernels::activate(x, activation);
        }
        match self {
            Self::LeakyRelu(slope) => activation::leaky_relu(x, slope),
            Self::Gelu => activation::gelu(x),
            Self::Tanh => x.tanh(),
            Self::Softplus => activation::softplus(x, 1.0),
            Self::Upsample([down, right]) => {
                let [planes, height, width] = [x.dims()[0] * input[0], input[1], input[2]];
                let rows = x.dims()[0];
                x.reshape([planes, height, 1, width, 1])
                    .expand([planes, height, down, width, right])
                    .reshape([rows, input[0] * height * down * width * right])
            }
            _ => unreachable!("there are kernels for it"),
        }
    }
}

impl fmt::Display for LayerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Error,
        batch::Values,
        module::{init_parameters, parameters, tests::without_gradient},
        nn::{Network, SequentialConfig},
    };

    fn build(layers: &[LayerConfig], input: &[usize]) -> Sequential {
        let config = SequentialConfig(layers.to_vec());
        config.init("net", input, None, &Device::flex()).expect("the shapes fit")
    }

    fn run(layers: &[LayerConfig], input: &[usize], values: &[f32]) -> Vec<f32> {
        let features: usize = input.iter().product();
        let x = Tensor::<1>::from_floats(values, &Device::flex());
        let y = build(layers, input).forward(x.reshape([values.len() / features, features]));
        y.into_data().try_into_vec().expect("floats")
    }

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len(), "{found:?} {expected:?}");
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-5, "expected {expected:?}, found {found:?}");
        }
    }

    fn refused(layer: LayerConfig, input: &[usize], reason: &str) {
        let kind = layer.kind();
        let config = SequentialConfig(vec![LayerConfig::Identity {}, layer]);
        match config.init("net", input, None, &Device::flex()) {
            Err(Error::Layer { network, layer: 1, kind: found, input: shape, reason: why }) => {
                assert_eq!((network.as_str(), found, shape.as_slice()), ("net", kind, input));
                assert!(why.contains(reason), "{why}");
            }
            other => panic!("{kind} on {input:?}: {other:?}"),
        }
    }

    /// One layer of every kind, with an input shape it takes and the shape it yields.
    fn every_kind() -> Vec<(LayerConfig, Vec<usize>, Vec<usize>)> {
        use LayerConfig as L;
        let image = || vec![4, 7, 6];
        let scan = || vec![4, 5, 4, 3];
        let text = || vec![5, 8];
        vec![
            (L::linear(3), image(), vec![3]),
            (L::conv2d(8, 3, 2, 1), image(), vec![8, 4, 3]),
            (L::conv2d(8, [3, 1], [1, 2], 0), image(), vec![8, 5, 3]),
            (L::conv_transpose2d(2, 3, 2, 1, [0, 1]), image(), vec![2, 13, 12]),
            (L::conv_transpose2d(2, 4, 1, 0, 0), vec![6], vec![2, 4, 4]),
            (L::conv3d(3, 3, 2, 1), scan(), vec![3, 3, 2, 2]),
            (L::conv3d(3, [1, 3, 2], [1, 2, 1], [0, 1, 0]), scan(), vec![3, 5, 2, 2]),
            (L::conv_transpose3d(2, 3, 2, 1, [0, 1, 1]), scan(), vec![2, 9, 8, 6]),
            (L::conv_transpose3d(2, 2, 1, 0, 0), vec![6], vec![2, 2, 2, 2]),
            (L::BatchNorm {}, scan(), scan()),
            (L::GroupNorm { groups: 2 }, scan(), scan()),
            (L::Residual { layers: vec![L::conv3d(4, 3, 1, 1)], scale: 0.1 }, scan(), scan()),
            (
                L::Residual { layers: vec![L::conv3d(2, 3, 1, 1)], scale: 1.0 },
                scan(),
                vec![2, 5, 4, 3],
            ),
            (L::BatchNorm {}, image(), image()),
            (L::BatchNorm {}, vec![4], vec![4]),
            (L::LayerNorm {}, text(), text()),
            (L::LayerNorm {}, vec![4], vec![4]),
            (L::GroupNorm { groups: 2 }, image(), image()),
            (L::Relu {}, image(), image()),
            (L::LeakyRelu { slope: 0.1 }, image(), image()),
            (L::Silu {}, image(), image()),
            (L::Gelu {}, image(), image()),
            (L::Tanh {}, image(), image()),
            (L::Sigmoid {}, image(), image()),
            (L::Softplus {}, image(), image()),
            (L::SoftClamp { limit: 2.0 }, image(), image()),
            (L::Identity {}, image(), image()),
            (L::Dropout { rate: 0.5 }, image(), image()),
            (L::Residual { layers: vec![L::conv2d(4, 3, 1, 1)], scale: 0.1 }, image(), image()),
            (
                L::Residual { layers: vec![L::conv2d(2, 3, 1, 1)], scale: 1.0 },
                image(),
                vec![2, 7, 6],
            ),
            (L::Residual { layers: vec![L::linear(3)], scale: 1.0 }, vec![4], vec![3]),
            (
                L::AvgPool { kernel: 3.into(), stride: Some(2.into()), padding: 1.into() },
                image(),
                vec![4, 4, 3],
            ),
            (
                L::MaxPool { kernel: 2.into(), stride: None, padding: 0.into() },
                image(),
                vec![4, 3, 3],
            ),
            (L::Upsample { factor: [2, 3].into() }, image(), vec![4, 14, 18]),
            (L::Flatten {}, image(), vec![168]),
            (L::Reshape { shape: vec![8, 21] }, image(), vec![8, 21]),
            (L::Embedding { size: 6, range: None, scaled: true }, text(), vec![5, 6]),
            (L::Positions {}, text(), text()),
            (L::Transformer { heads: 2, hidden: 16, layers: 2, dropout: 0.1 }, text(), text()),
        ]
    }

    #[test]
    fn every_layer_yields_its_inferred_shape_even_for_one_row() {
        for (layer, input, output) in every_kind() {
            let net = build(std::slice::from_ref(&layer), &input);
            assert_eq!(net.output_shape(), output, "{layer:?}");
            for rows in [1, 3] {
                let x = Tensor::ones([rows, input.iter().product()], &Device::flex());
                let found = net.forward(x).dims();
                assert_eq!(found, [rows, output.iter().product()], "{layer:?}");
            }
        }
    }

    #[test]
    fn every_parameter_of_every_layer_gets_a_gradient() {
        let device = Device::flex().autodiff();
        for (layer, input, _) in every_kind() {
            let config = SequentialConfig(vec![layer.clone()]);
            let net =
                init_parameters(config.init("net", &input, None, &device).expect("the shapes fit"));
            if parameters(&net).is_empty() {
                continue;
            }
            let x = Tensor::<1>::from_floats([0.3, -0.2, 1.0], &device).reshape([3, 1]);
            let gradients = net.forward(x.expand([3, input.iter().product()])).sum().backward();
            let mut without = without_gradient(&net, &gradients);
            without.retain(|path| !path.contains("running"));
            assert_eq!(without, Vec::<String>::new(), "{layer:?}");
        }
    }

    #[test]
    fn every_layer_reads_and_writes_as_text_and_knows_its_name() {
        for (layer, ..) in every_kind() {
            let text = serde_json::to_string(&layer).expect("plain data");
            assert!(text.starts_with(&format!(r#"{{"kind":"{}""#, layer.kind())), "{text}");
            assert_eq!(serde_json::from_str::<LayerConfig>(&text).expect("its own text"), layer);
            let wrong = format!(r#"{},"extra":1}}"#, &text[..text.len() - 1]);
            let error = serde_json::from_str::<LayerConfig>(&wrong).expect_err("unknown key");
            assert!(error.to_string().contains("extra"), "{error}");
        }
    }

    #[test]
    fn shapes_that_a_layer_cannot_take_are_refused_with_the_reason() {
        use LayerConfig as L;
        refused(L::conv2d(8, 3, 1, 0), &[12], "an image");
        refused(L::conv2d(8, 3, 1, 0), &[1, 4, 4, 4], "an image");
        refused(L::conv3d(8, 3, 1, 0), &[1, 4, 8], "a volume");
        refused(L::conv3d(8, [3, 5, 3], 1, 0), &[1, 4, 4, 8], "a kernel of 5 does not fit into 4");
        refused(L::conv_transpose3d(1, 3, 2, 1, 2), &[1, 4, 4, 4], "below its stride 2");
        refused(L::conv2d(8, 5, 1, 0), &[1, 4, 8], "a kernel of 5 does not fit into 4");
        refused(L::conv2d(0, 3, 1, 1), &[1, 4, 8], "`channels` must be at least 1");
        refused(L::conv2d(None, 3, 1, 1), &[1, 4, 8], "`channels` must be given");
        refused(L::linear_open(), &[4], "`outputs` must be given");
        refused(L::linear(usize::MAX), &[4], "`outputs` is above");
        refused(L::conv2d(1, 3, 1, usize::MAX / 2), &[1, 4, 4], "`padding` is above");
        refused(L::Upsample { factor: [1 << 20, 1 << 20].into() }, &[1, 4, 4], "more than");
        refused(L::conv_transpose2d(1, 3, 2, 1, 2), &[1, 4, 4], "below its stride 2");
        refused(L::conv_transpose2d(1, 1, 1, 3, 0), &[1, 4, 4], "leaves nothing");
        refused(L::BatchNorm {}, &[4, 5], "[features] or [channels");
        refused(L::LayerNorm {}, &[1, 2, 3], "group_norm");
        refused(L::GroupNorm { groups: 3 }, &[4, 2, 2], "3 groups");
        refused(L::Dropout { rate: 1.0 }, &[4], "in [0, 1)");
        refused(L::SoftClamp { limit: 0.0 }, &[4], "must be positive");
        refused(L::Reshape { shape: vec![3, 3] }, &[8], "8 features");
        refused(L::Embedding { size: 4, range: None, scaled: false }, &[7], "a sequence");
        refused(L::Positions {}, &[4, 3], "an even size");
        refused(
            L::Transformer { heads: 3, hidden: 4, layers: 1, dropout: 0.0 },
            &[4, 8],
            "3 heads",
        );
        refused(
            L::Residual { layers: vec![L::conv2d(2, 3, 2, 1)], scale: 1.0 },
            &[2, 4, 4],
            "adds to no shortcut",
        );
        refused(
            L::Residual { layers: vec![L::Relu {}, L::conv2d(2, 9, 1, 0)], scale: 1.0 },
            &[2, 4, 4],
            "inside, layer 1 (conv2d)",
        );
        refused(
            L::AvgPool { kernel: 2.into(), stride: None, padding: 2.into() },
            &[2, 4, 4],
            "half the kernel",
        );
    }

    #[test]
    fn average_pooling_counts_the_padding_and_maximum_pooling_does_not() {
        let (kernel, padding) = (Pair::from(3), Pair::from(1));
        let stride = Some(Pair::from(2));
        let average = LayerConfig::AvgPool { kernel, stride, padding };
        close(&run(&[average], &[1, 2, 2], &[9.0, 18.0, 27.0, 36.0]), &[10.0]);
        let largest = LayerConfig::MaxPool { kernel, stride, padding };
        close(&run(&[largest], &[1, 2, 2], &[-9.0, -18.0, -27.0, -36.0]), &[-9.0]);
    }

    /// A layer of which all weights are 1 and the bias is 0.
    fn summing(layer: &LayerConfig, input: &[usize], values: &[f32]) -> Vec<f32> {
        let net = build(std::slice::from_ref(layer), input);
        let ones = |weight: &Param<Tensor<5>>| weight.clone().map(|w| w.ones_like());
        let x = Tensor::<1>::from_floats(values, &Device::flex()).reshape([1, values.len()]);
        let layer = match net.layers()[0].clone() {
            Layer::Conv3d(l) => Layer::Conv3d(Conv3d { weight: ones(&l.weight), bias: None, ..l }),
            Layer::ConvTranspose3d(l) => {
                Layer::ConvTranspose3d(ConvTranspose3d { weight: ones(&l.weight), bias: None, ..l })
            }
            other => panic!("{other:?} is no convolution of volumes"),
        };
        layer.forward(Flow { x, mask: None }, input).x.into_data().try_into_vec().expect("floats")
    }

    #[test]
    fn convolutions_of_volumes_go_over_depth_height_and_width() {
        let values: Vec<f32> = (0..8).map(|value| value as f32).collect();
        // Sums over pairs along the depth, whose planes are 4 apart.
        let found = summing(&LayerConfig::conv3d(1, [2, 1, 1], 1, 0), &[1, 2, 2, 2], &values);
        close(&found, &[4.0, 6.0, 8.0, 10.0]);
        let found = summing(&LayerConfig::conv3d(1, [1, 1, 2], 2, 0), &[1, 2, 2, 2], &values);
        close(&found, &[1.0]);
        let grown = LayerConfig::conv_transpose3d(1, [1, 1, 2], [1, 1, 2], 0, 0);
        let found = summing(&grown, &[1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
        close(&found, &[1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
    }

    #[test]
    fn gradients_of_convolutions_of_volumes_are_those_of_linear_maps() {
        let device = Device::flex().autodiff();
        let wave = |count: usize, phase: f32| -> Tensor<1> {
            let values: Vec<f32> = (0..count).map(|i| (i as f32 * 1.7 + phase).sin()).collect();
            Tensor::from_floats(values.as_slice(), &device)
        };
        for (layer, input) in [
            (LayerConfig::conv3d(3, 3, 2, 1), [2, 5, 4, 7]),
            (LayerConfig::conv3d(2, [1, 3, 2], [1, 2, 3], [0, 1, 0]), [3, 4, 5, 6]),
            (LayerConfig::conv_transpose3d(2, 3, 2, 1, [0, 1, 1]), [3, 3, 4, 2]),
        ] {
            let config = SequentialConfig(vec![layer.clone()]);
            let net = init_parameters(config.init("net", &input, None, &device).expect("fits"));
            let features: usize = input.iter().product();
            let row = |phase| wave(features, phase).reshape([1, features]);
            let zero = net.forward(Tensor::zeros([1, features], &device));
            let outputs = zero.dims()[1];
            let side = wave(outputs, 0.3).reshape([1, outputs]);
            let product = |x: Tensor<2>| {
                ((net.forward(x) - zero.clone()) * side.clone()).sum().into_scalar::<f32>()
            };
            let x = row(0.0).require_grad();
            let gradients = (net.forward(x.clone()) * side.clone()).sum().backward();
            let of_x: Vec<f32> =
                x.grad(&gradients).expect("tracked").into_data().try_into_vec().expect("floats");
            let dot = |a: &[f32], b: Tensor<2>| -> f32 {
                let b: Vec<f32> = b.into_data().try_into_vec().expect("floats");
                a.iter().zip(b).map(|(a, b)| a * b).sum()
            };
            // The map is linear in what comes in, and so is known by its gradient.
            for phase in [0.0, 1.0, 2.5] {
                let (found, expected) = (dot(&of_x, row(phase)), product(row(phase)));
                assert!((found - expected).abs() < 1e-3, "{layer}: {found}, {expected}");
            }
            // And in its weights.
            let weight = match &net.layers()[0] {
                Layer::Conv3d(layer) => layer.weight.val(),
                Layer::ConvTranspose3d(layer) => layer.weight.val(),
                other => panic!("{other:?} is no convolution of volumes"),
            };
            let of_weight = weight.grad(&gradients).expect("tracked");
            let values =
                |x: Tensor<5>| -> Vec<f32> { x.into_data().try_into_vec().expect("floats") };
            let of_weight: Vec<f32> = of_weight.into_data().try_into_vec().expect("floats");
            let found: f32 = of_weight.iter().zip(values(weight)).map(|(a, b)| a * b).sum();
            let expected = product(row(0.0));
            assert!((found - expected).abs() < 1e-3, "{layer}: {found}, {expected}");
        }
    }

    #[test]
    fn extents_are_one_number_where_all_are_equal() {
        let text = |layer: &LayerConfig| serde_json::to_string(layer).expect("plain data");
        let layer = LayerConfig::conv3d(1, 3, [1, 2, 2], 1);
        assert!(text(&layer).contains(r#""kernel":3,"stride":[1,2,2],"padding":1"#));
        let short = r#"{"kind":"conv3d","channels":1,"kernel":[1,2,3]}"#;
        let found: LayerConfig = serde_json::from_str(short).expect("valid");
        assert_eq!(found, LayerConfig::conv3d(1, [1, 2, 3], 1, 0));
    }

    #[test]
    fn upsampling_repeats_pixels() {
        let layer = LayerConfig::Upsample { factor: [2, 3].into() };
        let expected = [1., 1., 1., 2., 2., 2., 1., 1., 1., 2., 2., 2.];
        close(&run(&[layer], &[1, 1, 2], &[1.0, 2.0]), &expected);
    }

    #[test]
    fn functions_equal_pytorch() {
        let at = |layer| run(&[layer], &[3], &[-1.5, 0.0, 2.0]);
        close(&at(LayerConfig::LeakyRelu { slope: 0.2 }), &[-0.3, 0.0, 2.0]);
        close(&at(LayerConfig::Silu {}), &[-0.27363843, 0.0, 1.7615942]);
        close(&at(LayerConfig::Gelu {}), &[-0.100_210_8, 0.0, 1.9544997]);
        close(&at(LayerConfig::Softplus {}), &[0.20141332, 2_f32.ln(), 2.126_928]);
        close(&at(LayerConfig::SoftClamp { limit: 2.0 }), &[-1.2702979, 0.0, 1.5231884]);
    }

    #[test]
    fn positions_are_sines_and_cosines() {
        let found = run(&[LayerConfig::Positions {}], &[2, 4], &[0.0; 8]);
        let expected = [0.0, 1.0, 0.0, 1.0, 1f32.sin(), 1f32.cos(), 0.01f32.sin(), 0.01f32.cos()];
        close(&found, &expected);
    }

    #[test]
    fn a_residual_block_is_its_shortcut_plus_a_share_of_its_layers() {
        let layers = vec![LayerConfig::Relu {}];
        let found = run(&[LayerConfig::Residual { layers, scale: 0.1 }], &[2], &[2.0, -3.0]);
        close(&found, &[2.2, -3.0]);
    }

    #[test]
    fn weights_and_biases_start_uniform_within_the_bounds_of_pytorch() {
        let largest = |values: Vec<f32>| values.iter().fold(0.0_f32, |max, v| max.max(v.abs()));
        let check = |layer: LayerConfig, input: &[usize], fan_in: usize| {
            let bound = 1.0 / (fan_in as f32).sqrt();
            let net = build(&[layer], input);
            let (weight, bias) = match &net.layers()[0] {
                Layer::Linear(l) => (l.weight.to_data(), &l.bias),
                Layer::Conv2d(l) => (l.weight.to_data(), &l.bias),
                Layer::ConvTranspose2d(l) => (l.weight.to_data(), &l.bias),
                Layer::Conv3d(l) => (l.weight.to_data(), &l.bias),
                Layer::ConvTranspose3d(l) => (l.weight.to_data(), &l.bias),
                other => panic!("{other:?} has no fan-in"),
            };
            let bias = bias.as_ref().expect("with bias").to_data();
            for values in [weight, bias] {
                let largest = largest(values.try_into_vec().expect("floats"));
                assert!((0.9 * bound..=bound).contains(&largest), "{largest}, bound {bound}");
            }
        };
        check(LayerConfig::linear(300), &[50], 50);
        check(LayerConfig::conv2d(300, 3, 1, 1), &[5, 4, 4], 45);
        // Of a transposed convolution the number of outputs counts.
        check(LayerConfig::conv_transpose2d(300, 3, 1, 1, 0), &[5, 4, 4], 2700);
        check(LayerConfig::conv3d(300, 2, 1, 0), &[5, 4, 4, 4], 40);
        check(LayerConfig::conv_transpose3d(100, 3, 1, 1, 0), &[5, 4, 4, 4], 2700);
    }

    #[test]
    fn attention_starts_as_in_pytorch() {
        let layer = LayerConfig::Transformer { heads: 2, hidden: 4, layers: 1, dropout: 0.0 };
        let net = build(&[layer], &[3, 64]);
        let Layer::Transformer(encoder) = &net.layers()[0] else { panic!("a transformer") };
        let attention = &encoder.layers[0].mha;
        let max = |tensor: Tensor<2>| tensor.abs().max().into_scalar::<f32>();
        let bound = (6.0 / 256.0_f32).sqrt();
        for projection in [&attention.query, &attention.key, &attention.value] {
            let found = max(projection.weight.val());
            assert!((0.9 * bound..=bound).contains(&found), "{found}, bound {bound}");
        }
        let found = max(attention.output.weight.val());
        assert!((0.9 * 0.125..=0.125).contains(&found), "{found}");
        let bias = attention.output.bias.as_ref().expect("with bias").val();
        assert_eq!(bias.abs().max().into_scalar::<f32>(), 0.0);
    }

    fn text_net() -> Sequential {
        init_parameters(build(
            &[
                LayerConfig::Embedding { size: 8, range: None, scaled: true },
                LayerConfig::Positions {},
                LayerConfig::Dropout { rate: 0.5 },
                LayerConfig::Transformer { heads: 2, hidden: 16, layers: 2, dropout: 0.5 },
            ],
            &[4, 5],
        ))
    }

    fn tokens(ids: [[i32; 4]; 2], mask: [[f32; 4]; 2]) -> Values {
        let device = Device::flex();
        Values::Tokens {
            ids: Tensor::from_ints(ids, &device),
            mask: Tensor::from_floats(mask, &device),
        }
    }

    #[test]
    fn padding_has_no_influence_and_is_zero_in_the_result() {
        let net = text_net();
        let mask = [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]];
        let out = |ids| net.forward_values(&tokens(ids, mask));
        let (a, b) = (out([[1, 2, 0, 0], [4, 3, 2, 1]]), out([[1, 2, 4, 99], [4, 3, 2, 1]]));
        assert_eq!(a.to_data(), b.to_data());
        let padded = a.clone().slice([0..1, 16..32]).abs().max().into_scalar::<f32>();
        assert_eq!(padded, 0.0);
        let other = out([[1, 3, 0, 0], [4, 3, 2, 1]]);
        assert!(!a.slice([0..1, 0..8]).all_close(other.slice([0..1, 0..8]), None, None));
    }

    #[test]
    fn a_text_without_tokens_gives_zeros_and_no_nan() {
        let mask = [[0.0; 4], [1.0; 4]];
        let out = text_net().forward_values(&tokens([[0; 4], [1; 4]], mask));
        assert_eq!(out.clone().slice([0..1, 0..32]).abs().max().into_scalar::<f32>(), 0.0);
        assert!(out.sum().into_scalar::<f32>().is_finite());
    }

    #[test]
    fn one_hot_values_give_what_tokens_give() {
        let net = text_net();
        let mut one_hot = [0.0_f32; 20];
        for (position, id) in [3, 1, 4].into_iter().enumerate() {
            one_hot[position * 5 + id] = 1.0;
        }
        let dense = Tensor::<1>::from_floats(one_hot, &Device::flex()).reshape([1, 20]);
        let dense = net.forward(dense.repeat(&[2, 1]));
        let ids = tokens([[3, 1, 4, 2]; 2], [[1.0, 1.0, 1.0, 0.0]; 2]);
        let tokens = net.forward_values(&ids);
        assert!(dense.all_close(tokens, Some(1e-5), Some(1e-5)));
    }

    #[test]
    fn tokens_meet_a_perceptron_as_one_hot_vectors() {
        let net = build(&[LayerConfig::Identity {}], &[4, 5]);
        let ids = tokens([[3, 1, 4, 2]; 2], [[1.0, 1.0, 1.0, 0.0]; 2]);
        let found: Vec<f32> = net.forward_values(&ids).into_data().try_into_vec().expect("floats");
        let ones: Vec<usize> = (0..20).filter(|&i| found[i] == 1.0).collect();
        assert_eq!(ones, [3, 6, 14]);
        assert_eq!(found.iter().sum::<f32>(), 6.0);
    }
}
