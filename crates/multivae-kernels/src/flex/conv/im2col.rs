//! Rearrangements around the matrix products.
//!
//! Images come as `[channels, height, width]`. Inside, the channels lie last, with a border of
//! zeros (*padded*): what a kernel sees in one of its rows is then one run of
//! `kernel width * channels` values, whatever the stride, and no tap needs a test for the border.

use std::ops::Range;

use super::Geometry;
use crate::flex::transpose::transpose;

/// Writes planes `[channels, pixels]` as `[pixels, channels]`.
pub(crate) fn channels_last(planes: &[f32], channels: usize, out: &mut [f32]) {
    if channels == 0 || planes.is_empty() {
        return;
    }
    let pixels = planes.len() / channels;
    transpose(planes, [channels, pixels], pixels, out, channels);
}

/// Writes `[pixels, channels]` as planes `[channels, pixels]`, and adds a bias to each channel.
pub(crate) fn planes(values: &[f32], bias: Option<&[f32]>, channels: usize, out: &mut [f32]) {
    if channels == 0 || values.is_empty() {
        return;
    }
    let pixels = values.len() / channels;
    transpose(values, [pixels, channels], channels, out, pixels);
    add_bias(out, bias, pixels);
}

/// Adds its bias to each plane of `pixels` values.
pub(crate) fn add_bias(planes: &mut [f32], bias: Option<&[f32]>, pixels: usize) {
    let Some(bias) = bias else { return };
    for (plane, bias) in planes.chunks_exact_mut(pixels).zip(bias.iter().cycle()) {
        plane.iter_mut().for_each(|value| *value += bias);
    }
}

/// Writes an image as a padded one; the border is written as well. `last` has room for an image.
pub(crate) fn pad(geometry: &Geometry, image: &[f32], last: &mut [f32], padded: &mut [f32]) {
    let Geometry { channels, input: [height, width], .. } = *geometry;
    channels_last(image, channels, last);
    padded.fill(0.0);
    for (row, line) in last.chunks_exact(width * channels).enumerate().take(height) {
        padded[inside(geometry, row)..][..line.len()].copy_from_slice(line);
    }
}

/// Writes the inside of a padded image as planes, and adds a bias to each channel. `last` has room
/// for an image.
pub(crate) fn unpad(
    geometry: &Geometry,
    padded: &[f32],
    bias: Option<&[f32]>,
    last: &mut [f32],
    image: &mut [f32],
) {
    let Geometry { channels, input: [_, width], .. } = *geometry;
    for (row, line) in last.chunks_exact_mut(width * channels).enumerate() {
        line.copy_from_slice(&padded[inside(geometry, row)..][..width * channels]);
    }
    planes(last, bias, channels, image);
}

/// Where a row of the image begins in the padded image.
fn inside(geometry: &Geometry, row: usize) -> usize {
    let Geometry { channels, padding: [top, left], .. } = *geometry;
    let [_, padded_width] = geometry.padded();
    ((top + row) * padded_width + left) * channels
}

/// Writes for each pixel of some rows of the output what the kernel sees there,
/// `[pixels, kernel height, kernel width, channels]`.
///
/// Rows are counted through all images of `padded`.
pub(crate) fn gather(geometry: &Geometry, padded: &[f32], rows: Range<usize>, patches: &mut [f32]) {
    let run = geometry.run();
    let mut patches = patches.chunks_exact_mut(run);
    each_run(geometry, rows, |start| {
        let patch = patches.next().expect("one for each run");
        copy(patch, &padded[start..start + run]);
    });
}

/// Adds to the padded images what [`gather`] would have read from there: its adjoint.
pub(crate) fn scatter(
    geometry: &Geometry,
    patches: &[f32],
    rows: Range<usize>,
    padded: &mut [f32],
) {
    let run = geometry.run();
    let mut patches = patches.chunks_exact(run);
    each_run(geometry, rows, |start| {
        let patch = patches.next().expect("one for each run");
        for (sum, value) in padded[start..start + run].iter_mut().zip(patch) {
            *sum += value;
        }
    });
}

/// Calls a function with the start of each run, in the order of patches.
fn each_run(geometry: &Geometry, rows: Range<usize>, mut visit: impl FnMut(usize)) {
    let Geometry { channels, output: [height, width], kernel, stride, .. } = *geometry;
    let [padded_height, padded_width] = geometry.padded();
    let line = padded_width * channels;
    for row in rows {
        let (image, y) = (row / height, row % height);
        let start = (image * padded_height + y * stride[0]) * line;
        for x in 0..width {
            let start = start + x * stride[1] * channels;
            for k in 0..kernel[0] {
                visit(start + k * line);
            }
        }
    }
}

/// Values that are copied at a time.
const LANES: usize = 8;

/// Copies short runs without a call.
fn copy(to: &mut [f32], from: &[f32]) {
    let (to_blocks, to_rest) = to.as_chunks_mut::<LANES>();
    let (from_blocks, from_rest) = from.as_chunks::<LANES>();
    to_blocks.iter_mut().zip(from_blocks).for_each(|(to, from)| *to = *from);
    to_rest.iter_mut().zip(from_rest).for_each(|(to, from)| *to = *from);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + 11) % 101) as f32).collect()
    }

    #[test]
    fn channels_move_to_the_end_and_back() {
        for channels in [1, 3, 8, 19] {
            for pixels in [1, 7, 16, 25] {
                let image = values(channels * pixels);
                let (mut last, mut back) = (vec![-1.0; image.len()], vec![-1.0; image.len()]);
                channels_last(&image, channels, &mut last);
                for channel in 0..channels {
                    for pixel in 0..pixels {
                        let value = last[pixel * channels + channel];
                        assert_eq!(value, image[channel * pixels + pixel]);
                    }
                }
                planes(&last, None, channels, &mut back);
                assert_eq!(back, image);
            }
        }
    }

    #[test]
    fn a_padded_image_is_the_image_within_zeros() {
        let geometry = Geometry {
            channels: 3,
            input: [5, 9],
            output: [4, 5],
            kernel: [3, 2],
            stride: [2, 2],
            padding: [1, 2],
            end: [2, 0],
        };
        let image = values(3 * 5 * 9);
        let [height, width] = geometry.padded();
        let mut padded = vec![f32::NAN; height * width * 3];
        let mut last = vec![f32::NAN; image.len()];
        pad(&geometry, &image, &mut last, &mut padded);
        assert_eq!(padded.iter().sum::<f32>(), image.iter().sum::<f32>());
        let mut back = vec![f32::NAN; image.len()];
        unpad(&geometry, &padded, Some(&[1.0, 2.0, 3.0]), &mut last, &mut back);
        for (channel, (back, image)) in
            back.chunks_exact(45).zip(image.chunks_exact(45)).enumerate()
        {
            assert!(back.iter().zip(image).all(|(b, a)| *b == a + channel as f32 + 1.0));
        }
    }

    #[test]
    fn scattering_is_the_adjoint_of_gathering() {
        let geometry = Geometry {
            channels: 3,
            input: [5, 9],
            output: [3, 5],
            kernel: [3, 2],
            stride: [2, 2],
            padding: [1, 1],
            end: [1, 0],
        };
        let [height, width] = geometry.padded();
        let padded = values(2 * height * width * 3);
        let patches = values(2 * 3 * 5 * geometry.patch());
        let mut gathered = vec![f32::NAN; patches.len()];
        gather(&geometry, &padded, 0..6, &mut gathered);
        let mut scattered = vec![0.0; padded.len()];
        scatter(&geometry, &patches, 0..6, &mut scattered);
        let inner = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        assert_eq!(inner(&gathered, &patches), inner(&padded, &scattered));
    }
}
