//! The reference networks as data.
//!
//! Each is named by what it was published with; shapes and numbers of parameters are those of the
//! reference implementations, which the tests check.

use serde::{Deserialize, Serialize};

use super::{
    encoder::{BranchConfig, BranchesConfig},
    layer::LayerConfig,
};

/// A function of one value, as the short options of presets name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// The identity.
    None,
    /// See [`LayerConfig::Relu`].
    #[default]
    Relu,
    /// See [`LayerConfig::Silu`].
    Silu,
    /// See [`LayerConfig::Gelu`].
    Gelu,
    /// See [`LayerConfig::Tanh`].
    Tanh,
    /// See [`LayerConfig::Sigmoid`].
    Sigmoid,
    /// See [`LayerConfig::Softplus`].
    Softplus,
}

impl Activation {
    pub(crate) fn none() -> Self {
        Self::None
    }

    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// The layer, unless it is the identity.
    pub fn layer(self) -> Option<LayerConfig> {
        Some(match self {
            Self::None => return None,
            Self::Relu => LayerConfig::Relu {},
            Self::Silu => LayerConfig::Silu {},
            Self::Gelu => LayerConfig::Gelu {},
            Self::Tanh => LayerConfig::Tanh {},
            Self::Sigmoid => LayerConfig::Sigmoid {},
            Self::Softplus => LayerConfig::Softplus {},
        })
    }
}

/// The least extent of images and volumes for which convolutions are the default.
const SMALLEST_IMAGE: usize = 8;
/// The most pixels of grey images for which a perceptron is the default.
const SMALL_GREY: usize = 1024;

pub(crate) fn encoder_widths() -> Vec<usize> {
    vec![512, 512]
}

pub(crate) fn decoder_widths() -> Vec<usize> {
    vec![512]
}

pub(crate) fn conv_width() -> usize {
    256
}

pub(crate) fn cub_start() -> usize {
    16
}

pub(crate) fn cub_filters() -> usize {
    64
}

pub(crate) fn cub_encoder_filters() -> usize {
    1024
}

pub(crate) fn cub_decoder_filters() -> usize {
    512
}

pub(crate) fn text_size() -> usize {
    512
}

pub(crate) fn text_heads() -> usize {
    4
}

pub(crate) fn text_hidden() -> usize {
    1024
}

pub(crate) fn text_layers() -> usize {
    4
}

pub(crate) fn text_dropout() -> f64 {
    0.5
}

/// Hidden layers of a perceptron.
pub(crate) fn mlp_trunk(hidden: &[usize], activation: Activation) -> Vec<LayerConfig> {
    hidden
        .iter()
        .flat_map(|&width| [Some(LayerConfig::linear(width)), activation.layer()])
        .flatten()
        .collect()
}

/// A perceptron of open size.
pub(crate) fn mlp_network(
    hidden: &[usize],
    activation: Activation,
    output: Activation,
) -> Vec<LayerConfig> {
    let mut layers = mlp_trunk(hidden, activation);
    layers.push(LayerConfig::linear_open());
    layers.extend(output.layer());
    layers
}

/// Extents of an image or volume of which each is large enough for convolutions.
pub(crate) fn grid(shape: &[usize]) -> Option<&[usize]> {
    let extents = shape.get(1..).filter(|extents| matches!(extents.len(), 2 | 3))?;
    extents.iter().all(|&extent| extent >= SMALLEST_IMAGE).then_some(extents)
}

/// Whether values are a grey image as small as those of MNIST, for which published models have
/// perceptrons: in the time that an epoch of convolutions takes these have seven, and have learned
/// more.
pub(crate) fn is_small_grey(shape: &[usize]) -> bool {
    matches!(*shape, [1, height, width] if height * width <= SMALL_GREY)
}

/// Channels that double to at most 256 while maps are larger than 4: from 32 for images, and from 8
/// for volumes, whose maps have many more places.
pub(crate) fn conv_channels(extents: &[usize]) -> Vec<usize> {
    let mut extent = extents.iter().copied().min().unwrap_or(1).div_ceil(2);
    let mut channels = vec![if extents.len() == 3 { 8 } else { 32 }];
    while extent > 4 && channels.len() < 6 {
        channels.push((2 * channels[channels.len() - 1]).min(256));
        extent = extent.div_ceil(2);
    }
    channels
}

/// A convolution of images, or of volumes for 3 `axes`.
pub(crate) fn conv(
    axes: usize,
    channels: impl Into<Option<usize>>,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> LayerConfig {
    match axes {
        3 => LayerConfig::conv3d(channels, kernel, stride, padding),
        _ => LayerConfig::conv2d(channels, kernel, stride, padding),
    }
}

/// A convolution that halves all extents, rounding up.
pub(crate) fn halve(axes: usize, channels: usize) -> LayerConfig {
    conv(axes, channels, 3, 2, 1)
}

/// A transposed convolution to given extents, from half of them rounded up.
pub(crate) fn double(channels: impl Into<Option<usize>>, extents: &[usize]) -> LayerConfig {
    let odd = |extent: usize| (extent + 1) % 2;
    match *extents {
        [depth, height, width] => {
            LayerConfig::conv_transpose3d(channels, 3, 2, 1, [depth, height, width].map(odd))
        }
        [height, width] => {
            LayerConfig::conv_transpose2d(channels, 3, 2, 1, [height, width].map(odd))
        }
        _ => unreachable!("images and volumes have 2 and 3 extents"),
    }
}

/// Extents after none, one, two and up to `times` halvings.
pub(crate) fn halvings(extents: &[usize], times: usize) -> Vec<Vec<usize>> {
    let halved = |extents: &Vec<usize>| Some(extents.iter().map(|n| n.div_ceil(2)).collect());
    std::iter::successors(Some(extents.to_vec()), halved).take(times + 1).collect()
}

pub(crate) fn conv_trunk(shape: &[usize], channels: &[usize], hidden: usize) -> Vec<LayerConfig> {
    let axes = shape.len().saturating_sub(1);
    let mut layers: Vec<LayerConfig> =
        channels.iter().flat_map(|&c| [halve(axes, c), LayerConfig::Relu {}]).collect();
    layers.extend([LayerConfig::linear(hidden), LayerConfig::Relu {}]);
    layers
}

/// The mirror of [`conv_trunk`], to an image or volume of these extents.
pub(crate) fn conv_decoder(
    extents: &[usize],
    channels: &[usize],
    hidden: usize,
) -> Vec<LayerConfig> {
    let sizes = halvings(extents, channels.len());
    let mut layers = vec![LayerConfig::linear(hidden), LayerConfig::Relu {}];
    let Some(&deepest) = channels.last() else {
        layers.push(LayerConfig::linear_open());
        return layers;
    };
    let shape = [&[deepest], &sizes[channels.len()][..]].concat();
    layers.extend([
        LayerConfig::linear(shape.iter().product()),
        LayerConfig::Relu {},
        LayerConfig::Reshape { shape },
    ]);
    for i in (1..channels.len()).rev() {
        layers.extend([double(channels[i - 1], &sizes[i]), LayerConfig::Relu {}]);
    }
    layers.push(double(None, &sizes[0]));
    layers
}

fn polymnist_convolutions() -> Vec<LayerConfig> {
    [32, 64, 128].into_iter().flat_map(|c| [halve(2, c), LayerConfig::Relu {}]).collect()
}

pub(crate) fn polymnist_conv_encoder() -> BranchesConfig {
    let mut trunk = polymnist_convolutions();
    trunk.extend([LayerConfig::linear_open(), LayerConfig::Relu {}]);
    let branch = BranchConfig::new(trunk)
        .with_heads(vec![LayerConfig::Linear { outputs: None, bias: false }]);
    BranchesConfig::from(branch).with_private_copy()
}

pub(crate) fn polymnist_conv_adapted_encoder() -> BranchesConfig {
    let branch = BranchConfig::new(polymnist_convolutions())
        .with_heads(vec![LayerConfig::conv2d(None, 4, 2, 0)]);
    BranchesConfig::from(branch).with_private_copy()
}

pub(crate) fn polymnist_conv_decoder() -> Vec<LayerConfig> {
    vec![
        LayerConfig::linear(2048),
        LayerConfig::Relu {},
        LayerConfig::Reshape { shape: vec![128, 4, 4] },
        LayerConfig::conv_transpose2d(64, 3, 2, 1, 0),
        LayerConfig::Relu {},
        LayerConfig::conv_transpose2d(32, 3, 2, 1, 1),
        LayerConfig::Relu {},
        LayerConfig::conv_transpose2d(None, 3, 2, 1, 1),
    ]
}

/// Slope of the leaky ReLU of all residual networks.
const SLOPE: f64 = 0.2;

/// Factor of what a residual block adds.
const RESIDUAL: f64 = 0.1;

fn leaky() -> LayerConfig {
    LayerConfig::LeakyRelu { slope: SLOPE }
}

fn conv3(channels: impl Into<Option<usize>>) -> LayerConfig {
    LayerConfig::conv2d(channels, 3, 1, 1)
}

/// A block that convolves before it acts.
fn post_block(inputs: usize, outputs: usize) -> LayerConfig {
    let hidden = inputs.min(outputs);
    let layers = vec![conv3(hidden), leaky(), conv3(outputs), leaky()];
    LayerConfig::Residual { layers, scale: RESIDUAL }
}

/// A block that acts before it convolves.
fn pre_block(inputs: usize, outputs: usize) -> LayerConfig {
    let hidden = inputs.min(outputs);
    let layers = vec![leaky(), conv3(hidden), leaky(), conv3(outputs)];
    LayerConfig::Residual { layers, scale: RESIDUAL }
}

fn shrink() -> LayerConfig {
    LayerConfig::AvgPool { kernel: 3.into(), stride: Some(2.into()), padding: 1.into() }
}

fn grow() -> LayerConfig {
    LayerConfig::Upsample { factor: 2.into() }
}

pub(crate) fn polymnist_resnet_encoder() -> BranchesConfig {
    let branch = BranchConfig::new(vec![
        conv3(64),
        post_block(64, 64),
        shrink(),
        post_block(64, 128),
        shrink(),
        post_block(128, 256),
    ]);
    BranchesConfig::from(branch).with_private_copy()
}

pub(crate) fn polymnist_resnet_decoder() -> Vec<LayerConfig> {
    vec![
        LayerConfig::linear(256 * 7 * 7),
        LayerConfig::Reshape { shape: vec![256, 7, 7] },
        post_block(256, 128),
        grow(),
        post_block(128, 64),
        grow(),
        post_block(64, 64),
        conv3(None),
        leaky(),
    ]
}

pub(crate) fn svhn_encoder() -> BranchesConfig {
    let trunk = [32, 64, 128]
        .into_iter()
        .flat_map(|c| [LayerConfig::conv2d(c, 4, 2, 1), LayerConfig::Relu {}])
        .collect();
    let head = vec![LayerConfig::conv2d(None, 4, 2, 0)];
    let mut branches =
        BranchesConfig::from(BranchConfig::new(trunk).with_heads(head)).with_private_copy();
    // The heads of a private space read the shared convolutions.
    if let Some(private) = &mut branches.private {
        private.trunk = None;
    }
    branches
}

pub(crate) fn svhn_decoder(output: Activation) -> Vec<LayerConfig> {
    let mut layers = vec![
        LayerConfig::conv_transpose2d(128, 4, 1, 0, 0),
        LayerConfig::Relu {},
        LayerConfig::conv_transpose2d(64, 4, 2, 1, 0),
        LayerConfig::Relu {},
        LayerConfig::conv_transpose2d(32, 4, 2, 1, 0),
        LayerConfig::Relu {},
        LayerConfig::conv_transpose2d(None, 4, 2, 1, 0),
    ];
    layers.extend(output.layer());
    layers
}

/// How often `extent` halves before it is at `start`.
fn cub_levels(extent: usize, start: usize) -> u32 {
    (extent / start.max(1)).checked_ilog2().unwrap_or(0)
}

fn cub_channels(filters: usize, max_filters: usize, level: u32) -> usize {
    filters.saturating_mul(1 << level).min(max_filters)
}

pub(crate) fn cub_image_encoder(
    shape: &[usize],
    start: usize,
    filters: usize,
    max_filters: usize,
) -> BranchesConfig {
    let extent = shape.iter().skip(1).copied().min().unwrap_or(1);
    let channels = |level| cub_channels(filters, max_filters, level);
    let mut trunk = vec![conv3(filters), pre_block(filters, filters)];
    for level in 0..cub_levels(extent, start) {
        trunk.extend([shrink(), pre_block(channels(level), channels(level + 1))]);
    }
    trunk.push(leaky());
    BranchConfig::new(trunk).into()
}

pub(crate) fn cub_image_decoder(
    [_, height, width]: [usize; 3],
    start: usize,
    filters: usize,
    max_filters: usize,
) -> Vec<LayerConfig> {
    let levels = cub_levels(height.min(width), start);
    let channels = |level| cub_channels(filters, max_filters, level);
    let sizes = halvings(&[height, width], levels as usize);
    let shape = [&[channels(levels)], &sizes[levels as usize][..]].concat();
    let mut layers =
        vec![LayerConfig::linear(shape.iter().product()), LayerConfig::Reshape { shape }];
    for level in (0..levels).rev() {
        layers.extend([pre_block(channels(level + 1), channels(level)), grow()]);
        // Twice the half of an odd extent, rounded up, is one too many.
        let (half, whole) = (&sizes[level as usize + 1], &sizes[level as usize]);
        let kernel = [0, 1].map(|axis| 1 + 2 * half[axis] - whole[axis]);
        if kernel != [1, 1] {
            layers.push(LayerConfig::conv2d(channels(level), kernel, 1, 0));
        }
    }
    layers.extend([pre_block(channels(0), filters), leaky(), conv3(None)]);
    layers
}

pub(crate) fn cub_text_encoder(
    size: usize,
    heads: usize,
    hidden: usize,
    layers: usize,
    dropout: f64,
) -> BranchesConfig {
    BranchConfig::new(vec![
        LayerConfig::Embedding { size, range: Some(0.1), scaled: true },
        LayerConfig::Positions {},
        LayerConfig::Dropout { rate: dropout },
        LayerConfig::Transformer { heads, hidden, layers, dropout },
    ])
    .into()
}
