//! Similarity of images: signal to noise, and structure at one scale and at several.

use std::array;

use burn::tensor::{
    Device, Tensor, TensorData, activation::relu, module::avg_pool2d, ops::AvgPoolOptions,
};
use multivae_kernels::{Similarity, structural_similarity};

/// Pixels on each side of the window's centre: 11 by 11 in all.
const RADIUS: usize = 5;
/// Standard deviation of the window, in pixels.
const SIGMA: f64 = 1.5;
const K1: f64 = 0.01;
const K2: f64 = 0.03;
/// Weights of the scales, from fine to coarse (Wang, Simoncelli and Bovik 2003).
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// The smallest error that a signal-to-noise ratio can come from, as a share of the data range: the
/// precision of the values.
const LEAST_ERROR: f64 = 1.0 / (1 << 24) as f64;

/// The peak signal-to-noise ratio `10 log10(range² / MSE)` in decibel, from the mean squared error
/// of an image and the largest difference that two pixels can have. At most 144.5 dB, as far as
/// values are precise, so that an image without any error has one.
pub fn psnr(mean_squared_error: f64, data_range: f64) -> f64 {
    let least = LEAST_ERROR * LEAST_ERROR;
    -10.0 * (mean_squared_error / (data_range * data_range)).max(least).log10()
}

/// Structural similarity of each image with its reference, `[batch]`, at most 1.
///
/// Images are `[batch, channels, height, width]` and `data_range` is the largest difference that
/// two pixels can have. Means, variances and covariances are taken under a Gaussian window of
/// 11 by 11 pixels and standard deviation 1.5; with `c1 = (0.01 range)²`, `c2 = (0.03 range)²`
/// the map
///
/// ```text
/// (2 μx μy + c1) (2 σxy + c2) / ((μx² + μy² + c1) (σx² + σy² + c2))
/// ```
///
/// is averaged over pixels and channels. Images are reflected at their borders, as torchmetrics
/// does it. (Wang, Bovik, Sheikh and Simoncelli 2004.)
///
/// # Panics
///
/// If the shapes differ, or a side has fewer than 6 pixels.
pub fn ssim(images: Tensor<4>, references: Tensor<4>, data_range: f64) -> Tensor<1> {
    compare(images, references, data_range, 1).swap_remove(0).whole
}

/// The map of which [`ssim`] is the mean, `[batch, channels, height, width]`.
///
/// # Panics
///
/// As [`ssim`].
pub fn ssim_map(images: Tensor<4>, references: Tensor<4>, data_range: f64) -> Tensor<4> {
    Maps::new(images, references, data_range).similarity.swap_dims(2, 3)
}

/// At how many scales images of a size can be compared by [`ms_ssim`]: up to 5, which take more
/// than 160 pixels a side; 0 where a side is too small for [`ssim`].
///
/// The rule for `n` scales is that of torchmetrics: a side of more than 10 pixels after division by
/// `(n - 1)²`, and of more than 5 at the coarsest scale.
pub fn scales(height: usize, width: usize) -> usize {
    let side = height.min(width);
    let fits = |&n: &usize| side / (n - 1).pow(2) > 2 * RADIUS && side >> (n - 1) > RADIUS;
    match (2..=WEIGHTS.len()).rev().find(fits) {
        Some(n) => n,
        None => usize::from(side > RADIUS),
    }
}

/// Structural similarity over several scales of each image with its reference, `[batch]`, 0 to 1.
///
/// It is the product over [`scales`] of the contrast term `(2 σxy + c2) / (σx² + σy² + c2)`, away
/// from the borders, and at the coarsest of [`ssim`], each at least 0 and raised to its weight;
/// from one scale to the next images are halved by averaging. With 5 scales this is the published
/// measure and that of torchmetrics. Smaller images have fewer, with the weights of the finest
/// divided by their sum, and values that are not comparable to it. (Wang, Simoncelli and Bovik
/// 2003.)
///
/// # Panics
///
/// If the shapes differ, or a side has fewer than 6 pixels.
pub fn ms_ssim(images: Tensor<4>, references: Tensor<4>, data_range: f64) -> Tensor<1> {
    let [_, over_scales] = similarities(images, references, data_range);
    over_scales
}

/// [`ssim`], which is that of the finest scale, and [`ms_ssim`], `[batch]` each.
///
/// # Panics
///
/// As [`ssim`].
pub(crate) fn similarities(
    images: Tensor<4>,
    references: Tensor<4>,
    data_range: f64,
) -> [Tensor<1>; 2] {
    let [_, _, height, width] = images.dims();
    let count = scales(height, width).max(1);
    // The published weights sum to 1.0001, and are taken as they are.
    let whole = count == WEIGHTS.len();
    let total: f64 = if whole { 1.0 } else { WEIGHTS[..count].iter().sum() };
    let mut found = compare(images, references, data_range, count);
    let single = found[0].whole.clone();
    let coarsest = found.pop().expect("there is at least one scale").whole;
    let factors = found.into_iter().map(|finer| finer.contrast).chain([coarsest]);
    let factors = factors.zip(WEIGHTS).map(|(x, weight)| relu(x).powf_scalar(weight / total));
    [single, factors.reduce(|product, factor| product * factor).expect("one at each scale")]
}

/// Both means of each image at each scale, by the kernel where it is for them.
fn compare(
    images: Tensor<4>,
    references: Tensor<4>,
    data_range: f64,
    scales: usize,
) -> Vec<Similarity> {
    let [_, _, height, width] = images.dims();
    let least = height.min(width);
    assert!(least > RADIUS, "a side has at least {} pixels, not {least}", RADIUS + 1);
    let taps = taps().map(|tap| tap as f32);
    let constants = constants(data_range).map(|constant| constant as f32);
    structural_similarity(&images, &references, &taps, constants, scales)
        .unwrap_or_else(|| composed(images, references, data_range, scales))
}

/// The same from maps of all pixels.
fn composed(
    mut images: Tensor<4>,
    mut references: Tensor<4>,
    data_range: f64,
    scales: usize,
) -> Vec<Similarity> {
    let halve = || AvgPoolOptions::new([2, 2]).with_stride([2, 2]);
    let of = |scale: usize| {
        if scale > 0 {
            images = avg_pool2d(images.clone(), halve());
            references = avg_pool2d(references.clone(), halve());
        }
        Maps::new(images.clone(), references.clone(), data_range).means()
    };
    (0..scales).map(of).collect()
}

/// The map of similarities and its contrast term, `[batch, channels, width, height]`.
struct Maps {
    similarity: Tensor<4>,
    contrast: Tensor<4>,
}

impl Maps {
    fn new(images: Tensor<4>, references: Tensor<4>, data_range: f64) -> Self {
        let dims = images.dims();
        assert_eq!(dims, references.dims(), "images and references have the same shape");
        let [batch, channels, height, width] = dims;
        let [c1, c2] = constants(data_range);
        // Variances do not change when an image loses a constant, and lose fewer digits.
        let centre = |images: &Tensor<4>| -> Tensor<4> {
            let pixels = channels * height * width;
            images.clone().reshape([batch, 1, 1, pixels]).mean_dim(3)
        };
        let centres = [centre(&images), centre(&references)];
        let x = images - centres[0].clone();
        let y = references - centres[1].clone();
        // Of the variances only their sum is asked for.
        let squares = x.clone().square() + y.clone().square();
        let moments = vec![squares, x.clone() * y.clone(), x, y];
        let blurred = blur(Tensor::cat(moments, 0)).chunk(4, 0);
        let [squares, products, x, y]: [Tensor<4>; 4] =
            blurred.try_into().expect("four parts of equal length");
        let variances = (squares - (x.clone().square() + y.clone().square())).clamp_min(0.0);
        let covariance = products - x.clone() * y.clone();
        let contrast = (covariance * 2.0 + c2) / (variances + c2);
        let [of_x, of_y] = centres;
        let (x, y) = (x + of_x, y + of_y);
        let luminance = (x.clone() * y.clone() * 2.0 + c1) / (x.square() + y.square() + c1);
        Self { similarity: luminance * contrast.clone(), contrast }
    }

    /// The means of each image, of contrasts over the pixels whose window lies within it.
    fn means(self) -> Similarity {
        let [batch, _, width, height] = self.contrast.dims();
        let inner = [width, height].map(|side| side.saturating_sub(2 * RADIUS));
        let contrast = match inner {
            [0, _] | [_, 0] => Tensor::full([batch], f32::NAN, &self.contrast.device()),
            [width, height] => {
                mean(self.contrast.narrow(2, RADIUS, width).narrow(3, RADIUS, height))
            }
        };
        Similarity { whole: mean(self.similarity), contrast }
    }
}

/// `c1` and `c2`.
fn constants(data_range: f64) -> [f64; 2] {
    [K1, K2].map(|k| (k * data_range).powi(2))
}

/// The weights of the window along an axis, which add up to 1.
fn taps() -> [f64; 2 * RADIUS + 1] {
    let taps: [f64; 2 * RADIUS + 1] =
        array::from_fn(|tap| (-0.5 * ((tap as f64 - RADIUS as f64) / SIGMA).powi(2)).exp());
    let total: f64 = taps.iter().sum();
    taps.map(|tap| tap / total)
}

/// The mean of each row, `[batch]`.
fn mean(map: Tensor<4>) -> Tensor<1> {
    map.flatten::<2>(1, 3).mean_dim(1).squeeze_dim(1)
}

/// Images under the Gaussian window, with their axes swapped: `[batch, channels, width, height]`.
///
/// The window is a product of one for each axis, and each is a matrix into which the reflection
/// at the borders is worked.
fn blur(images: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = images.dims();
    let device = images.device();
    let images = images.reshape([batch * channels * height, width]).matmul(window(width, &device));
    let images = images.reshape([batch * channels, height, width]).swap_dims(1, 2);
    let images = images.reshape([batch * channels * width, height]);
    images.matmul(window(height, &device)).reshape([batch, channels, width, height])
}

/// Column `i` holds the weights of all pixels of an axis at pixel `i`, `[size, size]`.
fn window(size: usize, device: &Device) -> Tensor<2> {
    assert!(size > RADIUS, "a side has at least 6 pixels, not {size}");
    let taps = taps();
    let mut weights = vec![0.0; size * size];
    for pixel in 0..size {
        for (tap, weight) in taps.iter().enumerate() {
            let at = (pixel + tap).abs_diff(RADIUS);
            let at = if at < size { at } else { 2 * (size - 1) - at };
            weights[at * size + pixel] += weight;
        }
    }
    Tensor::from_data(TensorData::new(weights, [size, size]).convert::<f32>(), device)
}

#[cfg(test)]
mod tests {
    use multivae_core::noise::Noise;

    use super::*;

    fn image(side: usize, at: impl Fn(usize, usize) -> f32) -> Tensor<4> {
        let values: Vec<f32> = (0..side * side).map(|i| at(i / side, i % side)).collect();
        Tensor::from_data(TensorData::new(values, [1, 1, side, side]), &Device::flex())
    }

    #[test]
    fn an_image_is_wholly_similar_to_itself_and_to_nothing_else() {
        let stripes = image(12, |row, _| f32::from(u8::from(row % 2 == 0)));
        let found = ssim(stripes.clone(), stripes.clone(), 1.0).into_scalar::<f32>();
        assert!((found - 1.0).abs() < 1e-6, "{found}");
        // The other stripes have the same means and variances, and the opposite covariance.
        let found = ssim(stripes.clone(), stripes * -1.0 + 1.0, 1.0).into_scalar::<f32>();
        assert!(found < -0.9, "{found}");
    }

    #[test]
    fn flat_images_differ_in_luminance_only() {
        let (x, y): (f64, f64) = (0.3, 0.6);
        let found = ssim(image(6, |_, _| 0.3), image(6, |_, _| 0.6), 1.0).into_scalar::<f32>();
        let expected = (2.0 * x * y + 1e-4) / (x * x + y * y + 1e-4);
        assert!((f64::from(found) - expected).abs() < 1e-6, "{found} {expected}");
    }

    #[test]
    fn a_larger_data_range_forgives_more() {
        let (a, b) =
            (image(8, |row, _| row as f32 / 8.0), image(8, |_, column| column as f32 / 8.0));
        let of = |range| ssim(a.clone(), b.clone(), range).into_scalar::<f32>();
        assert!(of(255.0) > of(1.0) + 0.1);
    }

    #[test]
    fn the_kernel_finds_what_maps_of_all_pixels_say() {
        for (shape, scales) in [([2, 3, 28, 28], 2), ([1, 1, 6, 50], 1), ([3, 2, 47, 61], 3)] {
            let images = |seed: u64| {
                let mut noise = Noise::seeded(seed);
                noise.uniform(shape, 0, &Device::flex())
            };
            let (x, noise) = (images(0), images(1));
            let y: Tensor<4> = x.clone() * 0.7 + noise * 0.3;
            let kernel = compare(x.clone(), y.clone(), 1.0, scales);
            let maps = composed(x, y, 1.0, scales);
            assert_eq!((kernel.len(), maps.len()), (scales, scales));
            for (kernel, maps) in kernel.into_iter().zip(maps) {
                for (found, expected) in
                    [(kernel.whole, maps.whole), (kernel.contrast, maps.contrast)]
                {
                    let of = |means: Tensor<1>| -> Vec<f32> { means.into_data().iter().collect() };
                    for (found, expected) in of(found).into_iter().zip(of(expected)) {
                        let neither = found.is_nan() && expected.is_nan();
                        assert!(neither || (found - expected).abs() < 1e-5, "{found}, {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn scales_follow_from_the_smaller_side() {
        let sides = [(5, 0), (6, 1), (11, 1), (12, 2), (43, 2), (44, 3), (98, 3), (99, 4)];
        for (side, expected) in sides.into_iter().chain([(175, 4), (176, 5), (1000, 5)]) {
            assert_eq!(scales(side, 2000), expected, "{side}");
        }
    }
}
