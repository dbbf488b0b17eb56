//! Convolutions on slices of `f32`.
//!
//! Images are worked on with their channels last and a border of zeros: what a kernel sees is then
//! a few runs of values. The transposed convolution, which is also the gradient in the input, sees
//! the gradient in the output likewise: for a stride of two, pixels of the image in even rows and
//! even columns come of some taps of the kernel, those in odd ones of others, so that there are
//! four smaller kernels, each for a quarter of the pixels. Weight gradients are sums over pixels
//! of outer products.
//!
//! The batch is cut into parts of a few images, the same on every machine, and the parts run in
//! parallel. Each writes its own images; weight gradients are summed over parts in a fixed order.
//! So results do not depend on the number or the timing of threads.

pub(crate) mod operation;
mod slide;

use std::{iter, ops::Range};

use rayon::prelude::*;

use self::slide::{Cells, Frame, SCRATCH, Scratch, Slide, take};
use super::{
    bf16,
    direct::{self, Panels, Windows},
    gemm, room,
    transpose::{transpose, transposed},
};
use crate::{Activation, Order, Precision};

/// Number of values in the images that are worked on at a time: they stay in the second-level
/// cache.
const VALUES: usize = 1 << 16;

/// Columns of cells, at most.
const CELL: usize = 16;

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
    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Number of values that the kernel sees.
    fn patch(&self) -> usize {
        self.taps() * self.channels
    }
}

/// A convolution of images `x` `[batch, channels, height, width]` with `weight`
/// `[features, channels, kernel height, kernel width]` to `y` `[batch, features, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Convolution {
    pub(crate) batch: usize,
    pub(crate) features: usize,
    pub(crate) geometry: Geometry,
    /// Of the products.
    pub(crate) precision: Precision,
}

/// Images in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Images<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) order: Order,
}

/// What taps of a kernel make of one axis: every `stride`-th pixel of the image, from `first` on.
#[derive(Clone, Copy, Debug)]
struct Phase {
    first: usize,
    /// The first tap; others follow a stride apart.
    tap: usize,
    taps: usize,
}

impl Convolution {
    /// `y` of `x`; the bias is `[features]`.
    pub(crate) fn forward(
        &self,
        x: Images<'_>,
        weight: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
        order: Order,
    ) -> Vec<f32> {
        self.count();
        self.along(weight).run(self.batch, x, bias, activation, order, self.precision)
    }

    /// The adjoint of [`Self::forward`], which is the gradient in `x` where `y` holds that of the
    /// output, and the transposed convolution; the bias is `[channels]`.
    pub(crate) fn adjoint(
        &self,
        y: Images<'_>,
        weight: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
        order: Order,
    ) -> Vec<f32> {
        self.count();
        match self.cell() {
            Some(size) => {
                let bias = bias.map(|bias| bias.repeat(size[0] * size[1]));
                let bias = bias.as_deref();
                let slide = self.against_by_cells(weight, size);
                slide.run(self.batch, y, bias, activation, order, self.precision)
            }
            None => {
                let slide = self.against(weight);
                slide.run(self.batch, y, bias, activation, order, self.precision)
            }
        }
    }

    /// Gradient in the weight from the input `x` and the gradient `y` in the output.
    pub(crate) fn weight_gradient(&self, x: Images<'_>, y: Images<'_>) -> Vec<f32> {
        self.count();
        let part = self.part(&self.frame());
        let columns = self.features.next_multiple_of(direct::lanes());
        let windows = self.windows(part, columns);
        let count = windows.depth() * columns;
        let partials = (PARTIAL_VALUES / count.max(1)).clamp(4, PARTIALS);
        let parts: Vec<Range<usize>> = ranges(self.batch, part).collect();
        let share = parts.len().div_ceil(partials).max(1);
        let gradients: Vec<Vec<f32>> = parts
            .par_chunks(share)
            .map(|parts| {
                let mut gradient = vec![0.0; count];
                for images in parts {
                    self.add_weight_gradient(&windows, x, y, images.clone(), &mut gradient);
                }
                gradient
            })
            .collect();
        let mut gradients = gradients.into_iter();
        let mut sum = gradients.next().unwrap_or_else(|| vec![0.0; count]);
        for gradient in gradients {
            iter::zip(&mut sum, gradient).for_each(|(sum, value)| *sum += value);
        }
        self.unpack(&sum, columns)
    }

    /// Adds the share of some images, `[kernel height, kernel width, channels, columns]`, of which
    /// the features are the first columns.
    fn add_weight_gradient(
        &self,
        windows: &Windows,
        x: Images<'_>,
        y: Images<'_>,
        images: Range<usize>,
        gradient: &mut [f32],
    ) {
        let pixels = self.pixels();
        let columns = gradient.len() / windows.depth();
        SCRATCH.with_borrow_mut(|Scratch { last, framed, pixels: buffer, outer, .. }| {
            let source = self.frame().fill(x, images.clone(), last, framed);
            let image = self.features * pixels;
            let values = &y.values[images.start * image..images.end * image];
            let rows = images.len() * pixels;
            let y = match y.order {
                Order::Pixels if columns == self.features => values,
                order => {
                    let wide = take(buffer, rows * columns);
                    wide.fill(0.0);
                    for (y, wide) in iter::zip(
                        values.chunks_exact(image),
                        wide.chunks_exact_mut(pixels * columns),
                    ) {
                        if order == Order::Planes {
                            transpose(y, [self.features, pixels], pixels, room(wide), columns);
                        } else {
                            let rows = y.chunks_exact(self.features);
                            iter::zip(wide.chunks_exact_mut(columns), rows)
                                .for_each(|(wide, row)| wide[..row.len()].copy_from_slice(row));
                        }
                    }
                    wide
                }
            };
            let places = &windows.places[..rows];
            match self.precision {
                Precision::Bf16 if bf16::available() => {
                    bf16::add_outer(windows, places, source, y, columns, gradient, outer);
                }
                _ => direct::add_outer(windows, places, source, y, columns, gradient),
            }
        });
    }

    /// Adds to the count of floating-point operations.
    fn count(&self) {
        gemm::count([self.batch * self.pixels(), self.geometry.patch(), self.features]);
    }

    /// Pixels of the output.
    fn pixels(&self) -> usize {
        self.geometry.output[0] * self.geometry.output[1]
    }

    /// Number of images that are worked on together.
    fn part(&self, frame: &Frame) -> usize {
        let Geometry { channels, input: [height, width], .. } = self.geometry;
        let images = (channels * height * width).max(self.features * self.pixels());
        (VALUES / (frame.framed() + images).max(1)).clamp(1, self.batch.max(1))
    }

    /// `x` as the kernel slides over it.
    fn frame(&self) -> Frame {
        let Geometry { channels, input, padding, end, .. } = self.geometry;
        Frame { channels, size: input, before: padding, after: end }
    }

    /// What the kernel sees of some images, for each pixel of the output, which has some columns.
    fn windows(&self, images: usize, columns: usize) -> Windows {
        let Geometry { channels, output: [height, width], kernel, stride, .. } = self.geometry;
        let (image, line) = (self.frame().framed(), self.frame().line());
        let mut places = Vec::with_capacity(images * self.pixels());
        for number in 0..images {
            for y in 0..height {
                for x in 0..width {
                    let from = y * stride[0] * line + x * stride[1] * channels;
                    places.push([number * image + from, places.len() * columns]);
                }
            }
        }
        Windows { taps: kernel[0], line, run: kernel[1] * channels, places }
    }

    /// The convolution.
    fn along(&self, weight: &[f32]) -> Slide {
        let Self { features, geometry, .. } = *self;
        let frame = self.frame();
        let part = self.part(&frame);
        let last = transposed(weight, [features, geometry.patch()]);
        let mut panels = Panels::new([geometry.patch(), features]);
        for (row, packed) in self.order().enumerate() {
            for panel in panels.each_from(packed) {
                let row = &last[row * features + panel.first..][..panel.columns];
                panel.values[..row.len()].copy_from_slice(row);
            }
        }
        let windows = vec![(self.windows(part, features), panels)];
        Slide { frame, windows, cells: None, output: [features, self.pixels()], part }
    }

    /// Its adjoint.
    fn against(&self, weight: &[f32]) -> Slide {
        let Self { features, geometry, .. } = *self;
        let Geometry { channels, input: [height, width], kernel, stride, padding, .. } = geometry;
        let most = self.taps_at_most();
        let frame = self.behind(stride);
        let part = self.part(&frame);
        let last = transposed(weight, [features, geometry.patch()]);
        let [rows, columns] = [0, 1].map(|axis| {
            (0..stride[axis]).map(move |tap| Phase {
                first: (tap + stride[axis] - padding[axis] % stride[axis]) % stride[axis],
                tap,
                taps: kernel[axis].saturating_sub(tap).div_ceil(stride[axis]),
            })
        });
        let columns: Vec<Phase> = columns.collect();
        let mut windows = Vec::new();
        for row in rows {
            for &column in &columns {
                let start = |phase: Phase, axis: usize, pixel: usize| {
                    (pixel + padding[axis]) / stride[axis] + most[axis] - phase.taps
                };
                let seen = row.taps * column.taps > 0;
                let mut places = Vec::new();
                for number in 0..part {
                    for y in (row.first..height).step_by(stride[0]) {
                        for x in (column.first..width).step_by(stride[1]) {
                            let [down, right] = [start(row, 0, y), start(column, 1, x)];
                            let from = down * frame.line() + right * features;
                            let from = if seen { number * frame.framed() + from } else { 0 };
                            let to = (number * height + y) * width + x;
                            places.push([from, to * channels]);
                        }
                    }
                }
                let (taps, run) = if seen { (row.taps, column.taps * features) } else { (0, 0) };
                let mut panels = Panels::new([taps * run, channels]);
                // What lies last in the window met the first tap.
                let taps_of = |phase: Phase, stride: usize| {
                    (0..phase.taps).rev().map(move |i| phase.tap + i * stride)
                };
                let taps_in_order = taps_of(row, stride[0])
                    .flat_map(|y| taps_of(column, stride[1]).map(move |x| y * kernel[1] + x));
                for (number, tap) in taps_in_order.enumerate() {
                    for panel in panels.each_from(number * features) {
                        let first = (panel.first * geometry.taps() + tap) * features;
                        let stride = geometry.taps() * features;
                        let shape = [panel.columns, features];
                        let out = room(panel.values);
                        transpose(&last[first..], shape, stride, out, panel.stride);
                    }
                }
                windows.push((Windows { taps, line: frame.line(), run, places }, panels));
            }
        }
        Slide { frame, windows, cells: None, output: [channels, height * width], part }
    }

    /// How many taps meet a pixel of the image, at most.
    fn taps_at_most(&self) -> [usize; 2] {
        let Geometry { kernel, stride, .. } = self.geometry;
        [0, 1].map(|axis| kernel[axis].div_ceil(stride[axis]))
    }

    /// `y` as the adjoint sees it, which writes the image cell by cell, each of whole strides:
    /// windows begin before the first pixel that meets them, and may end behind the last.
    fn behind(&self, cell: [usize; 2]) -> Frame {
        let Geometry { input, output, stride, padding, .. } = self.geometry;
        let after = [0, 1].map(|axis| {
            let cells = (padding[axis] + input[axis] - 1) / cell[axis] + 1;
            (cells * (cell[axis] / stride[axis])).saturating_sub(output[axis])
        });
        let before = self.taps_at_most().map(|most| most - 1);
        Frame { channels: self.features, size: output, before, after }
    }

    /// Height and width of the cells that the adjoint writes where channels alone would fill less
    /// than half of a vector: a stride high, and as many strides wide as vectors have room for.
    fn cell(&self) -> Option<[usize; 2]> {
        let Geometry { channels, stride, .. } = self.geometry;
        let least = channels * stride[0] * stride[1];
        let size = [stride[0], stride[1] * (CELL / least.max(1)).max(1)];
        (least <= CELL && channels < CELL / 2).then_some(size)
    }

    /// The adjoint for images of few channels: one kernel, in which taps that do not meet a pixel of
    /// a cell are zeros.
    fn against_by_cells(&self, weight: &[f32], size: [usize; 2]) -> Slide {
        let Self { features, geometry, .. } = *self;
        let Geometry { channels, input, kernel, stride, padding, .. } = geometry;
        let axes = [0, 1];
        let first = axes.map(|axis| padding[axis] / size[axis]);
        let last = axes.map(|axis| (padding[axis] + input[axis] - 1) / size[axis]);
        let most = self.taps_at_most();
        let steps = axes.map(|axis| size[axis] / stride[axis]);
        // Pixels of the output that meet a cell.
        let seen = axes.map(|axis| most[axis] + steps[axis] - 1);
        let frame = self.behind(size);
        let cells = Cells {
            channels,
            image: input,
            size,
            count: axes.map(|axis| last[axis] + 1 - first[axis]),
            before: axes.map(|axis| padding[axis] % size[axis]),
        };
        let part = self.part(&frame);
        let columns = channels * size[0] * size[1];
        let mut places = Vec::with_capacity(part * cells.count[0] * cells.count[1]);
        for number in 0..part {
            for y in first[0]..=last[0] {
                for x in first[1]..=last[1] {
                    let from = y * steps[0] * frame.line() + x * steps[1] * features;
                    places.push([number * frame.framed() + from, places.len() * columns]);
                }
            }
        }
        let mut panels = Panels::new([seen[0] * seen[1] * features, columns]);
        // The tap by which a place of a window meets a pixel of the cell.
        let tap = |axis: usize, place: usize, pixel: usize| {
            let tap =
                (pixel + (most[axis] - 1) * stride[axis]).checked_sub(place * stride[axis])?;
            (tap < kernel[axis]).then_some(tap)
        };
        for place in 0..seen[0] * seen[1] {
            for panel in panels.each_from(place * features) {
                for column in panel.first..panel.first + panel.columns {
                    let (pixel, channel) = (column / channels, column % channels);
                    let down = tap(0, place / seen[1], pixel / size[1]);
                    let right = tap(1, place % seen[1], pixel % size[1]);
                    let Some((down, right)) = down.zip(right) else { continue };
                    let from = channel * geometry.taps() + down * kernel[1] + right;
                    for feature in 0..features {
                        panel.values[feature * panel.stride + column - panel.first] =
                            weight[feature * geometry.patch() + from];
                    }
                }
            }
        }
        let windows =
            Windows { taps: seen[0], line: frame.line(), run: seen[1] * features, places };
        let output = [channels, input[0] * input[1]];
        Slide { frame, windows: vec![(windows, panels)], cells: Some(cells), output, part }
    }

    /// A gradient `[kernel height, kernel width, channels, columns]` as that of the weight.
    fn unpack(&self, packed: &[f32], columns: usize) -> Vec<f32> {
        let (features, patch) = (self.features, self.geometry.patch());
        let mut last = vec![0.0; patch * features];
        for (row, packed_row) in self.order().enumerate() {
            last[row * features..][..features]
                .copy_from_slice(&packed[packed_row * columns..][..features]);
        }
        transposed(&last, [patch, features])
    }

    /// Where `[channels, kernel height, kernel width]` lie when channels come last.
    fn order(&self) -> impl Iterator<Item = usize> {
        let (channels, taps) = (self.geometry.channels, self.geometry.taps());
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
        for precision in [Precision::F32, Precision::Bf16] {
            let convolution = Convolution { batch: 613, features: 10, geometry, precision };
            independent(convolution);
        }
    }

    fn independent(convolution: Convolution) {
        let geometry = convolution.geometry;
        let x = values(613 * 12 * 90);
        let y = values(613 * 10 * convolution.pixels());
        let weight = values(10 * geometry.patch());
        let [x, y] = [&x, &y].map(|values| Images { values, order: Order::Planes });
        let (none, order) = (Activation::Identity, Order::Pixels);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().expect("threads start").install(|| {
                (
                    convolution.forward(x, &weight, None, none, order),
                    convolution.adjoint(y, &weight, None, none, order),
                    convolution.weight_gradient(x, y),
                )
            })
        };
        let one = run(1);
        assert!(613 > 3 * convolution.part(&convolution.frame()), "the batch has several parts");
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
