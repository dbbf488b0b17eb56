//! The network Inception-v3, of which the Fréchet inception distance takes features.

use std::{fmt::Debug, fs, path::Path};

use burn::tensor::{
    Device, Tensor, TensorData,
    module::{avg_pool2d, max_pool2d},
    ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions},
};
use multivae_core::modality::ModalitySpec;
use multivae_kernels::{Activation, Order, conv2d};
use pytorch_reader::{DType, PytorchReader};
use safetensors::{Dtype, SafeTensors, tensor::Metadata};

use crate::{MetricsError, features::Features};

/// Height and width that the network sees.
const SIDE: usize = 299;
/// Images at once: the first layers hold 10 MB of each.
const CHUNK: usize = 8;
/// What is added to variances of batch normalisation.
const EPSILON: f64 = 1e-3;

/// Inception-v3 (Szegedy, Vanhoucke, Ioffe, Shlens and Wojna 2016), with weights from a file.
///
/// There are two variants with the same names of weights, told apart by the number of classes of
/// the last layer, which is not used:
///
/// - 1008 classes, or no last layer: the network of 2015 by which Fréchet inception distances are
///   published, `pt_inception-2015-12-05-6726825d.pth`. Its average pools leave the border out,
///   and the last block has a maximum in place of an average.
/// - 1000 classes: that of torchvision, `inception_v3_google-0cc3c7bd.pth`.
///
/// Files are `.safetensors`, or what `torch.save` writes of a dictionary of weights. Nothing is
/// ever downloaded.
///
/// Images have values between 0 and 1. One channel is taken three times, two get a third of zeros,
/// and of more the first three count. They are resized to 299 by 299 bilinearly, smoothed where
/// they get smaller, as by torchvision.
#[derive(Debug)]
pub struct Inception {
    layers: Vec<Layer>,
}

impl Inception {
    /// Reads the weights that it takes to the given number of features: 64, 192, 768 or, as it is
    /// published, 2048.
    ///
    /// # Errors
    ///
    /// [`MetricsError::Config`] for another number, [`MetricsError::Weights`] if the file cannot be
    /// read or lacks a weight.
    pub fn load(path: &Path, features: usize, device: &Device) -> Result<Self, MetricsError> {
        let blocks = match features {
            64 => 1,
            192 => 2,
            768 => 3,
            2048 => 4,
            found => {
                let expected = "64, 192, 768 or 2048";
                return Err(MetricsError::Config { field: "features", expected, found });
            }
        };
        let wrong = |reason| MetricsError::Weights { path: path.display().to_string(), reason };
        let weights = Weights::open(path).map_err(wrong)?;
        let layers = Builder::new(&weights, device).blocks(blocks).map_err(wrong)?;
        Ok(Self { layers })
    }

    /// Features of images `[batch, channels, height, width]` of values between 0 and 1,
    /// `[batch, features]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let chunks = images.split(CHUNK, 0).into_iter().map(|images| {
            let images = resize(three_channels(images), [SIDE; 2]) * 2.0 - 1.0;
            let maps = Layer::chain(&self.layers, images);
            maps.flatten::<3>(2, 3).mean_dim(2).squeeze_dim::<2>(2)
        });
        Tensor::cat(chunks.collect(), 0)
    }
}

impl Features for Inception {
    fn name(&self) -> &'static str {
        "inception"
    }

    /// # Panics
    ///
    /// If the modality is not an image.
    fn features(&self, values: Tensor<2>, spec: &ModalitySpec) -> Tensor<2> {
        let [channels, height, width] =
            spec.shape[..].try_into().expect("Inception reads images of three axes");
        let rows = values.dims()[0];
        self.forward(values.reshape([rows, channels, height, width]))
    }
}

/// The same with three channels.
fn three_channels(images: Tensor<4>) -> Tensor<4> {
    match images.dims()[1] {
        1 => images.repeat(&[1, 3, 1, 1]),
        2 => {
            let none = images.clone().narrow(1, 0, 1).zeros_like();
            Tensor::cat(vec![images, none], 1)
        }
        3 => images,
        _ => images.narrow(1, 0, 3),
    }
}

/// Bilinear resizing to height and width, with the pixels' centres in place, and smoothed where an
/// axis gets shorter: each axis is a matrix.
fn resize(images: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [batch, channels, height, width] = images.dims();
    if [height, width] == size {
        return images;
    }
    let device = images.device();
    let images = images.reshape([batch * channels * height, width]);
    let images = images.matmul(shares(width, size[1], &device));
    let images = images.reshape([batch * channels, height, size[1]]).swap_dims(1, 2);
    let images = images.reshape([batch * channels * size[1], height]);
    let images = images.matmul(shares(height, size[0], &device));
    images.reshape([batch, channels, size[1], size[0]]).swap_dims(2, 3)
}

/// How much each of `from` pixels gives to each of `to`, `[from, to]`: a triangle around its
/// centre, as wide as two pixels of the coarser of both.
fn shares(from: usize, to: usize, device: &Device) -> Tensor<2> {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let mut shares = vec![0.0; from * to];
    for pixel in 0..to {
        let centre = (pixel as f64 + 0.5) * scale;
        let share = |other: usize| (1.0 - ((other as f64 + 0.5 - centre) / reach).abs()).max(0.0);
        let total: f64 = (0..from).map(share).sum();
        for other in 0..from {
            shares[other * to + pixel] = share(other) / total;
        }
    }
    Tensor::from_data(TensorData::new(shares, [from, to]).convert::<f32>(), device)
}

/// A part of the network.
#[derive(Debug)]
enum Layer {
    /// A convolution with its normalisation folded in, and what is above 0.
    Unit { weight: Tensor<4>, bias: Tensor<1>, stride: usize, padding: [usize; 2] },
    /// The maximum of 3 by 3 pixels, at every second one without a border, or at each with one.
    MaxPool { halving: bool },
    /// The mean of 3 by 3 pixels; whether zeros beyond the border count.
    AvgPool { with_border: bool },
    /// Chains of layers side by side, their channels one after the other.
    Branches(Vec<Vec<Layer>>),
}

impl Layer {
    /// All of some layers, one after the other.
    fn chain(layers: &[Self], maps: Tensor<4>) -> Tensor<4> {
        layers.iter().enumerate().fold(maps, |maps, (i, layer)| {
            let next = layers.get(i + 1);
            // What lies between convolutions is read by them alone.
            let inner = next.is_some_and(|next| matches!(next, Self::Unit { .. }));
            layer.forward(maps, if inner { Order::Pixels } else { Order::Planes })
        })
    }

    /// `order` is that of the result, where the layer has a choice.
    fn forward(&self, maps: Tensor<4>, order: Order) -> Tensor<4> {
        match self {
            Self::Unit { weight, bias, stride, padding } => {
                let options = ConvOptions::new([*stride; 2], *padding, [1, 1], 1);
                let (weight, bias) = (weight.clone(), Some(bias.clone()));
                conv2d(maps, weight, bias, options, Activation::Relu, order)
            }
            Self::MaxPool { halving } => {
                let (stride, padding) = if *halving { (2, 0) } else { (1, 1) };
                let options = MaxPoolOptions::new([3, 3]).with_stride([stride; 2]);
                max_pool2d(maps, options.with_padding([padding; 2]))
            }
            Self::AvgPool { with_border } => {
                let options = AvgPoolOptions::new([3, 3]).with_stride([1, 1]).with_padding([1, 1]);
                avg_pool2d(maps, options.with_count_include_pad(*with_border))
            }
            Self::Branches(branches) => {
                let chain = |layers: &Vec<Self>| Self::chain(layers, maps.clone());
                Tensor::cat(branches.iter().map(chain).collect(), 1)
            }
        }
    }
}

/// A convolution in a block: its name, its channels, its kernel, and whether it halves the map.
/// One that does not halve it leaves its size as it is.
type Conv = (&'static str, usize, [usize; 2], bool);

/// One that leaves the size as it is.
fn keep(name: &'static str, channels: usize, kernel: [usize; 2]) -> Conv {
    (name, channels, kernel, false)
}

/// One of 3 by 3 that halves the map.
fn halve(name: &'static str, channels: usize) -> Conv {
    (name, channels, [3, 3], true)
}

/// Puts the network together.
struct Builder<'a> {
    weights: &'a Weights,
    /// Whether it is the network of 2015.
    published: bool,
    device: &'a Device,
}

impl<'a> Builder<'a> {
    fn new(weights: &'a Weights, device: &'a Device) -> Self {
        Self { weights, published: weights.length("fc.bias") != Some(1000), device }
    }

    /// The first of four blocks.
    fn blocks(&self, count: usize) -> Result<Vec<Layer>, String> {
        let stem = |name: &str, channels, kernel, stride, padding| {
            self.unit(name, channels, [kernel; 2], stride, [padding; 2])
        };
        let mut layers = vec![
            stem("Conv2d_1a_3x3", [3, 32], 3, 2, 0)?,
            stem("Conv2d_2a_3x3", [32, 32], 3, 1, 0)?,
            stem("Conv2d_2b_3x3", [32, 64], 3, 1, 1)?,
            Layer::MaxPool { halving: true },
        ];
        if count > 1 {
            layers.push(stem("Conv2d_3b_1x1", [64, 80], 1, 1, 0)?);
            layers.push(stem("Conv2d_4a_3x3", [80, 192], 3, 1, 0)?);
            layers.push(Layer::MaxPool { halving: true });
        }
        if count > 2 {
            for (name, channels, pool) in
                [("Mixed_5b", 192, 32), ("Mixed_5c", 256, 64), ("Mixed_5d", 288, 64)]
            {
                layers.push(self.block_a(name, channels, pool)?);
            }
            layers.push(self.block_b("Mixed_6a")?);
            for (name, inner) in
                [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)]
            {
                layers.push(self.block_c(name, inner)?);
            }
        }
        if count > 3 {
            layers.push(self.block_d("Mixed_7a")?);
            layers.push(self.block_e("Mixed_7b", 1280, self.average())?);
            let last =
                if self.published { Layer::MaxPool { halving: false } } else { self.average() };
            layers.push(self.block_e("Mixed_7c", 2048, last)?);
        }
        Ok(layers)
    }

    fn average(&self) -> Layer {
        Layer::AvgPool { with_border: !self.published }
    }

    /// 35 by 35, at three sizes of kernels.
    fn block_a(&self, name: &str, from: usize, pool: usize) -> Result<Layer, String> {
        Ok(Layer::Branches(vec![
            self.chain(name, from, &[keep("branch1x1", 64, [1, 1])])?,
            self.chain(
                name,
                from,
                &[keep("branch5x5_1", 48, [1, 1]), keep("branch5x5_2", 64, [5, 5])],
            )?,
            self.chain(
                name,
                from,
                &[
                    keep("branch3x3dbl_1", 64, [1, 1]),
                    keep("branch3x3dbl_2", 96, [3, 3]),
                    keep("branch3x3dbl_3", 96, [3, 3]),
                ],
            )?,
            self.pooled(name, from, self.average(), pool)?,
        ]))
    }

    /// From 35 by 35 to 17 by 17.
    fn block_b(&self, name: &str) -> Result<Layer, String> {
        Ok(Layer::Branches(vec![
            self.chain(name, 288, &[halve("branch3x3", 384)])?,
            self.chain(
                name,
                288,
                &[
                    keep("branch3x3dbl_1", 64, [1, 1]),
                    keep("branch3x3dbl_2", 96, [3, 3]),
                    halve("branch3x3dbl_3", 96),
                ],
            )?,
            vec![Layer::MaxPool { halving: true }],
        ]))
    }

    /// 17 by 17, with rows and columns of 7.
    fn block_c(&self, name: &str, inner: usize) -> Result<Layer, String> {
        Ok(Layer::Branches(vec![
            self.chain(name, 768, &[keep("branch1x1", 192, [1, 1])])?,
            self.chain(
                name,
                768,
                &[
                    keep("branch7x7_1", inner, [1, 1]),
                    keep("branch7x7_2", inner, [1, 7]),
                    keep("branch7x7_3", 192, [7, 1]),
                ],
            )?,
            self.chain(
                name,
                768,
                &[
                    keep("branch7x7dbl_1", inner, [1, 1]),
                    keep("branch7x7dbl_2", inner, [7, 1]),
                    keep("branch7x7dbl_3", inner, [1, 7]),
                    keep("branch7x7dbl_4", inner, [7, 1]),
                    keep("branch7x7dbl_5", 192, [1, 7]),
                ],
            )?,
            self.pooled(name, 768, self.average(), 192)?,
        ]))
    }

    /// From 17 by 17 to 8 by 8.
    fn block_d(&self, name: &str) -> Result<Layer, String> {
        Ok(Layer::Branches(vec![
            self.chain(name, 768, &[keep("branch3x3_1", 192, [1, 1]), halve("branch3x3_2", 320)])?,
            self.chain(
                name,
                768,
                &[
                    keep("branch7x7x3_1", 192, [1, 1]),
                    keep("branch7x7x3_2", 192, [1, 7]),
                    keep("branch7x7x3_3", 192, [7, 1]),
                    halve("branch7x7x3_4", 192),
                ],
            )?,
            vec![Layer::MaxPool { halving: true }],
        ]))
    }

    /// 8 by 8, with rows and columns of 3 side by side.
    fn block_e(&self, name: &str, from: usize, pool: Layer) -> Result<Layer, String> {
        let side_by_side = |row, column| -> Result<Layer, String> {
            Ok(Layer::Branches(vec![
                self.chain(name, 384, &[keep(row, 384, [1, 3])])?,
                self.chain(name, 384, &[keep(column, 384, [3, 1])])?,
            ]))
        };
        let mut short = self.chain(name, from, &[keep("branch3x3_1", 384, [1, 1])])?;
        short.push(side_by_side("branch3x3_2a", "branch3x3_2b")?);
        let long = [keep("branch3x3dbl_1", 448, [1, 1]), keep("branch3x3dbl_2", 384, [3, 3])];
        let mut long = self.chain(name, from, &long)?;
        long.push(side_by_side("branch3x3dbl_3a", "branch3x3dbl_3b")?);
        Ok(Layer::Branches(vec![
            self.chain(name, from, &[keep("branch1x1", 320, [1, 1])])?,
            short,
            long,
            self.pooled(name, from, pool, 192)?,
        ]))
    }

    fn pooled(
        &self,
        block: &str,
        from: usize,
        pool: Layer,
        channels: usize,
    ) -> Result<Vec<Layer>, String> {
        let mut layers = vec![pool];
        layers.extend(self.chain(block, from, &[keep("branch_pool", channels, [1, 1])])?);
        Ok(layers)
    }

    /// Convolutions one after the other.
    fn chain(&self, block: &str, from: usize, convs: &[Conv]) -> Result<Vec<Layer>, String> {
        let inputs = std::iter::once(from).chain(convs.iter().map(|conv| conv.1));
        let unit = |(from, &(name, to, kernel, halving)): (usize, &Conv)| {
            let (stride, padding) =
                if halving { (2, [0; 2]) } else { (1, kernel.map(|side| side / 2)) };
            self.unit(&format!("{block}.{name}"), [from, to], kernel, stride, padding)
        };
        inputs.zip(convs).map(unit).collect()
    }

    /// A convolution from and to so many channels, with its normalisation.
    fn unit(
        &self,
        name: &str,
        [from, to]: [usize; 2],
        [height, width]: [usize; 2],
        stride: usize,
        padding: [usize; 2],
    ) -> Result<Layer, String> {
        let read =
            |part: &str, shape: &[usize]| self.weights.read(&format!("{name}.{part}"), shape);
        let shape = [to, from, height, width];
        let mut weight = read("conv.weight", &shape)?;
        let [scale, shift] = [read("bn.weight", &[to])?, read("bn.bias", &[to])?];
        let [mean, variance] = [read("bn.running_mean", &[to])?, read("bn.running_var", &[to])?];
        let mut bias = Vec::with_capacity(to);
        for (channel, weight) in weight.chunks_mut(from * height * width).enumerate() {
            let factor = scale[channel] / (variance[channel] + EPSILON).sqrt();
            weight.iter_mut().for_each(|weight| *weight *= factor);
            bias.push(shift[channel] - mean[channel] * factor);
        }
        let data = |values: Vec<f64>, shape: &[usize]| {
            TensorData::new(values, shape.to_vec()).convert::<f32>()
        };
        Ok(Layer::Unit {
            weight: Tensor::from_data(data(weight, &shape), self.device),
            bias: Tensor::from_data(data(bias, &[to]), self.device),
            stride,
            padding,
        })
    }
}

/// A file of weights.
enum Weights {
    Safetensors { bytes: Vec<u8>, start: usize, entries: Metadata },
    Pickle(PytorchReader),
}

impl Weights {
    fn open(path: &Path) -> Result<Self, String> {
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let bytes = fs::read(path).map_err(|error| error.to_string())?;
            let (header, entries) =
                SafeTensors::read_metadata(&bytes).map_err(|error| error.to_string())?;
            Ok(Self::Safetensors { bytes, start: header + size_of::<u64>(), entries })
        } else {
            PytorchReader::new(path).map(Self::Pickle).map_err(|error| error.to_string())
        }
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        match self {
            Self::Safetensors { entries, .. } => entries.info(name).map(|info| &info.shape[..]),
            Self::Pickle(reader) => reader.get(name).map(pytorch_reader::Tensor::shape),
        }
    }

    /// The length of a vector, if it is there.
    fn length(&self, name: &str) -> Option<usize> {
        self.shape(name)?.first().copied()
    }

    /// All values of a weight of a shape.
    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, String> {
        let Some(found) = self.shape(name) else { return Err(format!("it has no `{name}`")) };
        if found != shape {
            return Err(format!("`{name}` has the shape {found:?}, expected {shape:?}"));
        }
        let unknown = |kind: &dyn Debug| Err(format!("`{name}` has the type {kind:?}"));
        let single = |bytes| f64::from(f32::from_le_bytes(bytes));
        match self {
            Self::Safetensors { bytes, start, entries } => {
                let info = entries.info(name).expect("its shape is known");
                let (from, to) = info.data_offsets;
                let values = &bytes[start + from..start + to];
                match info.dtype {
                    Dtype::F32 => Ok(numbers(values, single)),
                    Dtype::F64 => Ok(numbers(values, f64::from_le_bytes)),
                    kind => unknown(&kind),
                }
            }
            Self::Pickle(reader) => {
                let tensor = reader.get(name).expect("its shape is known");
                let values = tensor.read().map_err(|error| error.to_string())?;
                let single = |bytes| f64::from(f32::from_ne_bytes(bytes));
                match tensor.dtype() {
                    DType::F32 => Ok(numbers(&values, single)),
                    DType::F64 => Ok(numbers(&values, f64::from_ne_bytes)),
                    kind => unknown(&kind),
                }
            }
        }
    }
}

/// Numbers of `N` bytes each.
fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|bytes| number(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn channels_become_three() {
        let device = Device::flex();
        let images = |channels: usize| {
            let numbers: Vec<f32> = (1..=channels).map(|channel| channel as f32).collect();
            Tensor::<1>::from_floats(numbers.as_slice(), &device).reshape([1, channels, 1, 1])
        };
        let of = |channels| values(three_channels(images(channels)));
        assert_eq!(of(1), [1.0, 1.0, 1.0]);
        assert_eq!(of(2), [1.0, 2.0, 0.0]);
        assert_eq!(of(3), [1.0, 2.0, 3.0]);
        assert_eq!(of(5), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn doubling_interpolates_and_halving_smooths() {
        let device = Device::flex();
        let row = |numbers: &[f32]| {
            Tensor::<1>::from_floats(numbers, &device).reshape([1, 1, 1, numbers.len()])
        };
        let doubled = values(resize(row(&[0.0, 4.0]), [1, 4]));
        assert_eq!(doubled, [0.0, 1.0, 3.0, 4.0]);
        // A triangle two pixels wide to each side: 3/8 for the nearest two, 1/8 for the next,
        // and what would lie beyond the border is left out.
        let halved = values(resize(row(&[0.0, 0.0, 8.0, 8.0, 0.0, 0.0]), [1, 3]));
        let expected = [8.0 / 7.0, 6.0, 8.0 / 7.0];
        for (found, expected) in halved.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{halved:?}");
        }
    }
}
