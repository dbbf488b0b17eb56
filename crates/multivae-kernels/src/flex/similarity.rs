//! Structural similarity of images, one after the other, whose moments stay in the cache.

use std::array;

use burn::{backend::Flex, tensor::Tensor};
use burn_flex::FlexTensor;
use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::{dense, suits, tensor, values};
use crate::similarity::Similarity;

/// Both images, the sum of their squares, which is all that is asked of these, and their product.
const MOMENTS: usize = 4;
/// Pixels side by side, whose moments stay in registers while the window passes over them.
const SIDE: usize = 16;

/// The means of each image at each scale, or `None` where they are not for this kernel.
pub(crate) fn compare(
    images: &Tensor<4>,
    references: &Tensor<4>,
    taps: &[f32],
    constants: [f32; 2],
    scales: usize,
) -> Option<Vec<Similarity>> {
    let [batch, channels, height, width] = images.dims();
    let plain = |images: &Tensor<4>| suits(images) && !images.device().is_autodiff();
    let coarsest = height.min(width) >> (scales - 1);
    let small = batch * channels == 0 || coarsest <= taps.len() / 2;
    if !plain(images) || !plain(references) || small {
        return None;
    }
    let [images, references] = [images, references].map(flex);
    let (sides, size) = ([height, width], channels * height * width);
    let pairs = values(&images).par_chunks(size).zip(values(&references).par_chunks(size));
    let mut found = vec![[0.0; 2]; batch * scales];
    let places = found.par_chunks_mut(scales).zip(pairs);
    places.for_each_init(
        || Room::new(channels, sides, taps.len() / 2),
        |room, (found, (image, reference))| {
            let sources = [image, reference];
            Arch::new().dispatch(Compared { sources, sides, taps, constants, room, found });
        },
    );
    let means = |scale: usize, which: usize| {
        let of = found.iter().skip(scale).step_by(scales).map(|means| means[which]);
        Tensor::from_primitive::<Flex>(tensor(of.collect(), &[batch]))
    };
    let of = |scale| Similarity { whole: means(scale, 0), contrast: means(scale, 1) };
    Some((0..scales).map(of).collect())
}

fn flex(images: &Tensor<4>) -> FlexTensor {
    dense(&images.clone().try_into_primitive::<Flex>().expect("its backend was checked"))
}

/// What a thread works in, the same for all images. Rows are filled up to whole blocks of [`SIDE`], with
/// values that count for nothing.
struct Room {
    /// A row of each moment, reflected at both ends.
    line: [Vec<f32>; MOMENTS],
    /// A plane of each moment under the window of its rows.
    plane: [Vec<f32>; MOMENTS],
    /// Sums over the rows of a plane, of similarities and of contrasts.
    sums: [Vec<f32>; 2],
    /// Both images, at one scale after the other.
    images: [Vec<f32>; 2],
}

impl Room {
    fn new(channels: usize, [height, width]: [usize; 2], reach: usize) -> Self {
        let filled = width.next_multiple_of(SIDE);
        let of = |count| array::from_fn(|_| vec![0.0; count]);
        let size = channels * height * width;
        Self {
            line: of(filled + 2 * reach),
            plane: of(height * filled),
            sums: [vec![0.0; filled], vec![0.0; filled]],
            images: [vec![0.0; size], vec![0.0; size]],
        }
    }
}

/// An image and its reference.
struct Compared<'a> {
    sources: [&'a [f32]; 2],
    sides: [usize; 2],
    taps: &'a [f32],
    constants: [f32; 2],
    room: &'a mut Room,
    /// Both means, by scale.
    found: &'a mut [[f32; 2]],
}

impl NullaryFnOnce for Compared<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { sources, mut sides, taps, constants, room, found } = self;
        let Room { line, plane, sums, images } = room;
        let channels = sources[0].len() / (sides[0] * sides[1]);
        for (image, source) in images.iter_mut().zip(sources) {
            image.copy_from_slice(source);
        }
        for (scale, found) in found.iter_mut().enumerate() {
            if scale > 0 {
                images.iter_mut().for_each(|image| halve(image, channels, sides));
                sides = sides.map(|side| side / 2);
            }
            let sources = images.each_ref().map(|image| &image[..channels * sides[0] * sides[1]]);
            *found = means(sources, sides, taps, constants, [&mut *line, &mut *plane], sums);
        }
    }
}

/// Means of two by two pixels, in place; what is left over at the border is dropped.
#[inline(always)]
fn halve(image: &mut [f32], channels: usize, [height, width]: [usize; 2]) {
    let [rows, columns] = [height / 2, width / 2];
    for plane in 0..channels {
        for row in 0..rows {
            for column in 0..columns {
                // Nothing is read any more where this writes.
                let from = (plane * height + 2 * row) * width + 2 * column;
                let [above, below] = [from, from + width].map(|at| image[at] + image[at + 1]);
                image[(plane * rows + row) * columns + column] = 0.25 * (above + below);
            }
        }
    }
}

/// Both means at one scale.
#[inline(always)]
fn means(
    sources: [&[f32]; 2],
    [height, width]: [usize; 2],
    taps: &[f32],
    constants: [f32; 2],
    [line, plane]: [&mut [Vec<f32>; MOMENTS]; 2],
    sums: &mut [Vec<f32>; 2],
) -> [f32; 2] {
    let (reach, filled) = (taps.len() / 2, width.next_multiple_of(SIDE));
    // Variances do not change when an image loses a constant, and lose fewer digits.
    let centres = sources.map(centre);
    let mut totals = [0.0_f64; 2];
    let [image, reference] = sources.map(|source| source.chunks_exact(height * width));
    for planes in image.zip(reference) {
        for row in 0..height {
            let rows = [planes.0, planes.1].map(|plane| &plane[row * width..][..width]);
            moments(rows, centres, reach, line);
            for at in (0..filled).step_by(SIDE) {
                let under = under(taps, |tap| array::from_fn(|m| block(&line[m], at + tap)));
                for (plane, under) in plane.iter_mut().zip(under) {
                    plane[row * filled + at..][..SIDE].copy_from_slice(&under);
                }
            }
        }
        sums.iter_mut().for_each(|sums| sums.fill(0.0));
        for row in 0..height {
            let whole = row >= reach && row + reach < height;
            for at in (0..filled).step_by(SIDE) {
                let under = under(taps, |tap| {
                    let from = reflected(row + tap, reach, height) * filled + at;
                    array::from_fn(|m| block(&plane[m], from))
                });
                combine(&under, centres, constants, whole, sums, at);
            }
        }
        let inner = reach..width.saturating_sub(reach).max(reach);
        for ((total, sums), columns) in totals.iter_mut().zip(&*sums).zip([0..width, inner]) {
            *total += sums[columns].iter().copied().map(f64::from).sum::<f64>();
        }
    }
    let channels = sources[0].len() / (height * width);
    let inner = [height, width].map(|side| side.saturating_sub(2 * reach));
    let counts = [height * width, inner[0] * inner[1]].map(|pixels| (channels * pixels) as f64);
    array::from_fn(|which| (totals[which] / counts[which]) as f32)
}

/// Sums of blocks of moments, weighed by the taps.
#[inline(always)]
fn under<'a>(
    taps: &[f32],
    blocks: impl Fn(usize) -> [&'a [f32; SIDE]; MOMENTS],
) -> [[f32; SIDE]; MOMENTS] {
    let mut sums = [[0.0; SIDE]; MOMENTS];
    for (tap, weight) in taps.iter().enumerate() {
        for (sums, block) in sums.iter_mut().zip(blocks(tap)) {
            for (sum, value) in sums.iter_mut().zip(block) {
                *sum += value * weight;
            }
        }
    }
    sums
}

#[inline(always)]
fn block(values: &[f32], at: usize) -> &[f32; SIDE] {
    values[at..].first_chunk().expect("rows are of whole blocks")
}

/// The mean of all values.
#[inline(always)]
fn centre(values: &[f32]) -> f32 {
    let (parts, rest) = values.as_chunks::<16>();
    let mut sums = [0.0_f32; 16];
    for part in parts {
        for (sum, value) in sums.iter_mut().zip(part) {
            *sum += value;
        }
    }
    let total = sums.iter().chain(rest).copied().map(f64::from).sum::<f64>();
    (total / values.len() as f64) as f32
}

/// Which row a tap reads: `place` begins `reach` rows before the first.
#[inline(always)]
fn reflected(place: usize, reach: usize, rows: usize) -> usize {
    let at = place.abs_diff(reach);
    if at < rows { at } else { 2 * (rows - 1) - at }
}

/// The moments of a row, with `reach` reflected values at both ends.
#[inline(always)]
fn moments(
    [x, y]: [&[f32]; 2],
    [of_x, of_y]: [f32; 2],
    reach: usize,
    [squares, products, line_x, line_y]: &mut [Vec<f32>; MOMENTS],
) {
    for (source, centre, line) in [(x, of_x, &mut *line_x), (y, of_y, &mut *line_y)] {
        let width = source.len();
        for (value, source) in line[reach..].iter_mut().zip(source) {
            *value = source - centre;
        }
        for far in 1..=reach {
            line[reach - far] = line[reach + far];
            line[reach + width - 1 + far] = line[reach + width - 1 - far];
        }
    }
    let both = squares.iter_mut().zip(products).zip(line_x.iter().zip(&*line_y));
    for ((square, product), (x, y)) in both {
        (*square, *product) = (x * x + y * y, x * y);
    }
}

/// Adds the similarities of a block of a row, and its contrasts if its windows lie within the image's rows.
#[inline(always)]
fn combine(
    [squares, products, x, y]: &[[f32; SIDE]; MOMENTS],
    [of_x, of_y]: [f32; 2],
    [c1, c2]: [f32; 2],
    whole: bool,
    [similarities, contrasts]: &mut [Vec<f32>; 2],
    at: usize,
) {
    let share = f32::from(u8::from(whole));
    let sums = similarities[at..][..SIDE].iter_mut().zip(&mut contrasts[at..][..SIDE]);
    for (i, (similarity, contrasts)) in sums.enumerate() {
        let (x, y) = (x[i], y[i]);
        let variances = (squares[i] - (x * x + y * y)).max(0.0);
        let contrast = (2.0 * (products[i] - x * y) + c2) / (variances + c2);
        let (x, y) = (x + of_x, y + of_y);
        let luminance = (2.0 * x * y + c1) / (x * x + y * y + c1);
        *similarity += luminance * contrast;
        *contrasts += share * contrast;
    }
}
