//! Convolutions as matrix products on slices of `f32`.
//!
//! A transposed convolution is the adjoint of a convolution, so three operations serve both:
//! [`Convolution::forward`], its adjoint [`Convolution::adjoint`], and the gradient
//! [`Convolution::weight_gradient`].
//!
//! The batch is cut into parts of a few images, the same on every machine, and the parts run in
//! parallel. Each writes its own images; weight gradients are summed over parts in a fixed order.
//! So results do not depend on the number or the timing of threads.

mod im2col;
pub(crate) mod operation;

use std::{cell::RefCell, iter, ops::Range};

use rayon::prelude::*;

use super::{
    activation::apply,
    gemm::{Into, Matrix, multiply},
    transpose::transposed,
};
use crate::Activation;

/// Number of values in the patches that are worked on at a time: they stay in the second-level
/// cache, and are enough rows for a product that runs at full speed.
const PATCHES: usize = 1 << 17;

/// Fewest pixels of an image whose planes are multiplied as they lie.
const FEWEST_PIXELS: usize = 16;

/// Largest number of partial weight gradients.
const PARTIALS: usize = 16;

/// Number of values in all partial weight gradients, unless four already have more.
const PARTIAL_VALUES: usize = 1 << 22;

/// What sliding a kernel over an image needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Channels of the image.
    pub(crate) channels: usize,
    /// Height and width of the image.
    pub(crate) input: [usize; 2],
    /// Height and width of what the kernel yields.
    pub(crate) output: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    /// Border above and on the left.
    pub(crate) padding: [usize; 2],
    /// Border below and on the right.
    pub(crate) end: [usize; 2],
}

impl Geometry {
    fn padded(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.padding[axis] + self.input[axis] + self.end[axis])
    }

    /// Number of values that one row of the kernel sees.
    fn run(&self) -> usize {
        self.kernel[1] * self.channels
    }

    /// Number of values that the kernel sees.
    fn patch(&self) -> usize {
        self.kernel[0] * self.run()
    }

    fn pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    fn image(&self) -> usize {
        self.channels * self.input[0] * self.input[1]
    }

    fn padded_image(&self) -> usize {
        self.padded()[0] * self.padded()[1] * self.channels
    }

    /// Whether a patch is a pixel, so that nothing has to be gathered.
    fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1]
            && self.stride == [1, 1]
            && self.padding == [0, 0]
            && self.end == [0, 0]
    }
}

/// A convolution of images `x` `[batch, channels, height, width]` with `weight`
/// `[features, channels, kernel height, kernel width]` to `y` `[batch, features, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Convolution {
    pub(crate) batch: usize,
    pub(crate) features: usize,
    pub(crate) geometry: Geometry,
}

/// Buffers of a thread, kept from call to call.
#[derive(Debug, Default)]
struct Scratch {
    last: Vec<f32>,
    padded: Vec<f32>,
    patches: Vec<f32>,
    pixels: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The first values of a buffer, whatever they are.
fn take(buffer: &mut Vec<f32>, count: usize) -> &mut [f32] {
    if buffer.len() < count {
        buffer.resize(count, 0.0);
    }
    &mut buffer[..count]
}

impl Convolution {
    /// `y` of `x`; the bias is `[features]`.
    pub(crate) fn forward(
        &self,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Vec<f32> {
        let Self { features, geometry, .. } = *self;
        if self.is_product() {
            let strides = [geometry.channels, 1];
            return self.products(
                [features, geometry.channels],
                x,
                Matrix { values: weight, strides },
                bias,
                activation,
            );
        }
        let weight = self.pack(weight);
        let mut y = vec![0.0; self.batch * self.outputs()];
        self.parts(&mut y, self.outputs()).for_each(|(images, y)| {
            SCRATCH.with_borrow_mut(|Scratch { last, padded, patches, pixels }| {
                let padded = self.pad(x, images.clone(), last, padded);
                let pixels = take(pixels, images.len() * self.outputs());
                for rows in self.tiles(images.len()) {
                    let patches = self.gather(padded, rows.clone(), patches);
                    let count = rows.len() * geometry.output[1];
                    let start = rows.start * geometry.output[1] * features;
                    multiply(
                        [count, geometry.patch(), features],
                        Matrix { values: patches, strides: [geometry.patch(), 1] },
                        Matrix { values: &weight, strides: [features, 1] },
                        &mut pixels[start..start + count * features],
                        Into::Replace,
                    );
                }
                for (y, pixels) in iter::zip(
                    y.chunks_exact_mut(self.outputs()),
                    pixels.chunks_exact(self.outputs()),
                ) {
                    im2col::planes(pixels, bias, features, y);
                    apply(y, activation);
                }
            });
        });
        y
    }

    /// The adjoint of [`Self::forward`], which is the gradient in `x` where `y` holds that of the
    /// output, and the transposed convolution; the bias is `[channels]`.
    pub(crate) fn adjoint(
        &self,
        y: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Vec<f32> {
        let Self { features, geometry, .. } = *self;
        if self.is_product() {
            let strides = [1, geometry.channels];
            return self.products(
                [geometry.channels, features],
                y,
                Matrix { values: weight, strides },
                bias,
                activation,
            );
        }
        let weight = transposed(&self.pack(weight), [geometry.patch(), features]);
        let mut x = vec![0.0; self.batch * geometry.image()];
        self.parts(&mut x, geometry.image()).for_each(|(images, x)| {
            SCRATCH.with_borrow_mut(|Scratch { last, padded, patches, pixels }| {
                let pixels = self.pixels(y, images.clone(), pixels);
                let padded = take(padded, images.len() * geometry.padded_image());
                if !geometry.is_pointwise() {
                    padded.fill(0.0);
                }
                for rows in self.tiles(images.len()) {
                    let count = rows.len() * geometry.output[1];
                    let start = rows.start * geometry.output[1];
                    let right = Matrix { values: &weight, strides: [geometry.patch(), 1] };
                    let left = &pixels[start * features..][..count * features];
                    let left = Matrix { values: left, strides: [features, 1] };
                    let shape = [count, features, geometry.patch()];
                    if geometry.is_pointwise() {
                        let start = start * geometry.channels;
                        let padded = &mut padded[start..start + count * geometry.channels];
                        multiply(shape, left, right, padded, Into::Replace);
                    } else {
                        let patches = take(patches, count * geometry.patch());
                        multiply(shape, left, right, patches, Into::Replace);
                        im2col::scatter(&geometry, patches, rows, padded);
                    }
                }
                let last = take(last, geometry.image());
                for (x, padded) in iter::zip(
                    x.chunks_exact_mut(geometry.image()),
                    padded.chunks_exact(geometry.padded_image()),
                ) {
                    im2col::unpad(&geometry, padded, bias, last, x);
                    apply(x, activation);
                }
            });
        });
        x
    }

    /// Whether planes can be multiplied as they lie: a pointwise convolution of images that are
    /// long enough for vector instructions.
    fn is_product(&self) -> bool {
        self.geometry.is_pointwise() && self.geometry.pixels() >= FEWEST_PIXELS
    }

    /// The matrix `[outputs, inputs]` times each image `[inputs, pixels]`, and a bias `[outputs]`.
    fn products(
        &self,
        [outputs, inputs]: [usize; 2],
        images: &[f32],
        matrix: Matrix<'_>,
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Vec<f32> {
        let pixels = self.geometry.pixels();
        let mut products = vec![0.0; self.batch * outputs * pixels];
        self.parts(&mut products, outputs * pixels).for_each(|(range, products)| {
            for (image, product) in range.zip(products.chunks_exact_mut(outputs * pixels)) {
                let values = &images[image * inputs * pixels..][..inputs * pixels];
                let image = Matrix { values, strides: [pixels, 1] };
                multiply([outputs, inputs, pixels], matrix, image, product, Into::Replace);
                im2col::add_bias(product, bias, pixels);
                apply(product, activation);
            }
        });
        products
    }

    /// Gradient in the weight from the input `x` and the gradient `y` in the output.
    pub(crate) fn weight_gradient(&self, x: &[f32], y: &[f32]) -> Vec<f32> {
        let Self { features, geometry, .. } = *self;
        let count = features * geometry.patch();
        let partials = (PARTIAL_VALUES / count.max(1)).clamp(4, PARTIALS);
        let parts: Vec<Range<usize>> = ranges(self.batch, self.part()).collect();
        let share = parts.len().div_ceil(partials).max(1);
        let gradients: Vec<Vec<f32>> = parts
            .par_chunks(share)
            .map(|parts| {
                let mut gradient = vec![0.0; count];
                for images in parts {
                    self.add_weight_gradient(x, y, images.clone(), &mut gradient);
                }
                gradient
            })
            .collect();
        let mut gradients = gradients.into_iter();
        let mut sum = gradients.next().unwrap_or_else(|| vec![0.0; count]);
        for gradient in gradients {
            iter::zip(&mut sum, gradient).for_each(|(sum, value)| *sum += value);
        }
        self.unpack(&sum)
    }

    /// Adds the share of some images, in the order of [`Self::pack`].
    fn add_weight_gradient(
        &self,
        x: &[f32],
        y: &[f32],
        images: Range<usize>,
        gradient: &mut [f32],
    ) {
        let Self { features, geometry, .. } = *self;
        SCRATCH.with_borrow_mut(|Scratch { last, padded, patches, pixels }| {
            let padded = self.pad(x, images.clone(), last, padded);
            let pixels = self.pixels(y, images.clone(), pixels);
            for rows in self.tiles(images.len()) {
                let patches = self.gather(padded, rows.clone(), patches);
                let count = rows.len() * geometry.output[1];
                let start = rows.start * geometry.output[1] * features;
                multiply(
                    [geometry.patch(), count, features],
                    Matrix { values: patches, strides: [1, geometry.patch()] },
                    Matrix {
                        values: &pixels[start..start + count * features],
                        strides: [features, 1],
                    },
                    gradient,
                    Into::Add,
                );
            }
        });
    }

    /// Values of one image of the output.
    fn outputs(&self) -> usize {
        self.features * self.geometry.pixels()
    }

    /// Number of images that are worked on together.
    fn part(&self) -> usize {
        (PATCHES / (self.geometry.pixels() * self.geometry.patch()).max(1)).max(1)
    }

    /// The batch in parts, each with its images of a result.
    fn parts<'a>(
        &self,
        result: &'a mut [f32],
        image: usize,
    ) -> impl ParallelIterator<Item = (Range<usize>, &'a mut [f32])> {
        let (batch, part) = (self.batch, self.part());
        result
            .par_chunks_mut(part * image)
            .enumerate()
            .map(move |(index, values)| (index * part..((index + 1) * part).min(batch), values))
    }

    /// Rows of the output of some images, as many at a time as [`PATCHES`] allows.
    fn tiles(&self, images: usize) -> impl Iterator<Item = Range<usize>> {
        let row = self.geometry.output[1] * self.geometry.patch();
        ranges(images * self.geometry.output[0], (PATCHES / row.max(1)).max(1))
    }

    /// Some images with their channels last and a border of zeros.
    fn pad<'a>(
        &self,
        x: &[f32],
        images: Range<usize>,
        last: &mut Vec<f32>,
        buffer: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        let geometry = &self.geometry;
        let last = take(last, geometry.image());
        let padded = take(buffer, images.len() * geometry.padded_image());
        let x = &x[images.start * geometry.image()..images.end * geometry.image()];
        for (x, padded) in iter::zip(
            x.chunks_exact(geometry.image()),
            padded.chunks_exact_mut(geometry.padded_image()),
        ) {
            im2col::pad(geometry, x, last, padded);
        }
        padded
    }

    /// The output of some images with its features last.
    fn pixels<'a>(&self, y: &[f32], images: Range<usize>, buffer: &'a mut Vec<f32>) -> &'a [f32] {
        let pixels = take(buffer, images.len() * self.outputs());
        let y = &y[images.start * self.outputs()..images.end * self.outputs()];
        for (y, pixels) in
            iter::zip(y.chunks_exact(self.outputs()), pixels.chunks_exact_mut(self.outputs()))
        {
            im2col::channels_last(y, self.features, pixels);
        }
        pixels
    }

    /// The patches of some rows of the output.
    fn gather<'a>(
        &self,
        padded: &'a [f32],
        rows: Range<usize>,
        buffer: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        let geometry = &self.geometry;
        let row = geometry.output[1] * geometry.patch();
        if geometry.is_pointwise() {
            return &padded[rows.start * row..rows.end * row];
        }
        let patches = take(buffer, rows.len() * row);
        im2col::gather(geometry, padded, rows, patches);
        patches
    }

    /// The weight as `[kernel height, kernel width, channels, features]`.
    fn pack(&self, weight: &[f32]) -> Vec<f32> {
        let features = self.features;
        let (mut last, mut packed) = (vec![0.0; weight.len()], vec![0.0; weight.len()]);
        im2col::planes(weight, None, self.geometry.patch(), &mut last);
        for (row, packed_row) in self.order().enumerate() {
            packed[packed_row * features..][..features]
                .copy_from_slice(&last[row * features..][..features]);
        }
        packed
    }

    /// The inverse of [`Self::pack`].
    fn unpack(&self, packed: &[f32]) -> Vec<f32> {
        let features = self.features;
        let (mut last, mut weight) = (vec![0.0; packed.len()], vec![0.0; packed.len()]);
        for (row, packed_row) in self.order().enumerate() {
            last[row * features..][..features]
                .copy_from_slice(&packed[packed_row * features..][..features]);
        }
        im2col::channels_last(&last, self.geometry.patch(), &mut weight);
        weight
    }

    /// Where `[channels, kernel height, kernel width]` lie when channels come last.
    fn order(&self) -> impl Iterator<Item = usize> {
        let channels = self.geometry.channels;
        let taps = self.geometry.kernel[0] * self.geometry.kernel[1];
        (0..channels).flat_map(move |channel| (0..taps).map(move |tap| tap * channels + channel))
    }
}

/// Sums `[batch, channels, pixels]` over batch and pixels.
pub(crate) fn sum_channels(values: &[f32], channels: usize, pixels: usize) -> Vec<f32> {
    const LANES: usize = 16;
    let sum = |channel: usize| {
        let planes = values.chunks_exact(pixels).skip(channel).step_by(channels);
        let plane = |plane: &[f32]| {
            let (blocks, rest) = plane.as_chunks::<LANES>();
            let mut lanes = [0.0_f32; LANES];
            for block in blocks {
                iter::zip(&mut lanes, block).for_each(|(lane, value)| *lane += value);
            }
            f64::from(lanes.iter().sum::<f32>() + rest.iter().sum::<f32>())
        };
        planes.map(plane).sum::<f64>() as f32
    };
    (0..channels).into_par_iter().map(sum).collect()
}

/// `0..count` in ranges of a size, the last one perhaps shorter.
fn ranges(count: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(size).map(move |start| start..(start + size).min(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + 11) % 101) as f32 * 0.0137 - 0.7).collect()
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let geometry = Geometry {
            channels: 12,
            input: [9, 10],
            output: [5, 5],
            kernel: [3, 3],
            stride: [2, 2],
            padding: [1, 1],
            end: [1, 1],
        };
        let convolution = Convolution { batch: 613, features: 10, geometry };
        let x = values(613 * geometry.image());
        let y = values(613 * convolution.outputs());
        let weight = values(10 * geometry.patch());
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().expect("threads start").install(|| {
                (
                    convolution.forward(&x, &weight, None, Activation::Identity),
                    convolution.adjoint(&y, &weight, None, Activation::Identity),
                    convolution.weight_gradient(&x, &y),
                )
            })
        };
        let one = run(1);
        assert!(613 > 3 * convolution.part(), "the batch has several parts");
        assert!(one == run(2) && one == run(5));
    }

    #[test]
    fn sums_over_channels_are_those_of_the_definition() {
        let sums = sum_channels(&values(3 * 4 * 37), 4, 37);
        for (channel, sum) in sums.into_iter().enumerate() {
            let expected: f32 = (0..3)
                .flat_map(|image| (0..37).map(move |pixel| (image * 4 + channel) * 37 + pixel))
                .map(|index| values(3 * 4 * 37)[index])
                .sum();
            assert!((sum - expected).abs() < 1e-4, "{sum} {expected}");
        }
    }
}
