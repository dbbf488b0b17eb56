//! Structural similarity of images.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex;

/// How alike images are under a window, as means over each of them.
#[derive(Clone, Debug)]
pub struct Similarity {
    /// The mean of luminance times contrast over pixels and channels, `[batch]`.
    pub whole: Tensor<1>,
    /// The mean of the contrast over channels and pixels whose window lies within the image, `[batch]`; not
    /// a number where there are none.
    pub contrast: Tensor<1>,
}

/// How alike images are to references, both `[batch, channels, height, width]`, at so many scales, under
/// a window that is a product of `taps` for each axis: an odd number of weights that add up to 1.
///
/// With means `μ`, variances and covariances `σ` under the window and the constants `[c1, c2]`, the
/// luminance of a pixel is `(2 μx μy + c1) / (μx² + μy² + c1)` and its contrast
/// `(2 σxy + c2) / (σx² + σy² + c2)`. Images are reflected at their borders, the border itself not
/// repeated. The first scale is that of the images; from one to the next they are halved by averaging two by
/// two pixels, and a row or column that is left over is dropped.
///
/// `None` where the kernel is not for the tensors, or a side has at the last scale no more pixels than the
/// window reaches to one side: other backends, and automatic differentiation, compute it from its terms,
/// as in `multivae-metrics`.
///
/// # Panics
///
/// If the shapes differ, there is no scale, or an even number of taps.
pub fn structural_similarity(
    images: &Tensor<4>,
    references: &Tensor<4>,
    taps: &[f32],
    constants: [f32; 2],
    scales: usize,
) -> Option<Vec<Similarity>> {
    assert_eq!(images.dims(), references.dims(), "images and references have the same shape");
    assert!(scales > 0, "there is a scale");
    assert_eq!(taps.len() % 2, 1, "a window has a centre");
    #[cfg(feature = "flex")]
    return flex::similarity::compare(images, references, taps, constants, scales);
    #[cfg(not(feature = "flex"))]
    {
        let _ = constants;
        None
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Int, TensorData};

    use super::*;

    const TAPS: [f32; 5] = [0.1, 0.2, 0.4, 0.2, 0.1];
    const CONSTANTS: [f32; 2] = [1e-4, 9e-4];

    fn images(shape: [usize; 4], from: i64, scale: f64, shift: f64) -> Tensor<4> {
        let count = shape.iter().product::<usize>() as i64;
        let values = Tensor::<1, Int>::arange(from..from + count, &Device::flex()).float();
        (values.sin() * scale + shift).reshape(shape)
    }

    fn floats<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
        tensor.clone().into_data().iter::<f64>().collect()
    }

    /// Both means of an image by the definition.
    fn defined([x, y]: [&[f64]; 2], [channels, height, width]: [usize; 3]) -> [f64; 2] {
        let reach = TAPS.len() as isize / 2;
        let reflected = |at: isize, side: usize| {
            let (at, last) = (at.unsigned_abs(), side - 1);
            if at > last { 2 * last - at } else { at }
        };
        let (mut sums, mut counts) = ([0.0; 2], [0.0; 2]);
        for (plane, row, column) in (0..channels).flat_map(|plane| {
            (0..height).flat_map(move |row| (0..width).map(move |column| (plane, row, column)))
        }) {
            let mean = |of: &dyn Fn(usize) -> f64| {
                let mut sum = 0.0;
                for (i, down) in TAPS.iter().enumerate() {
                    for (j, right) in TAPS.iter().enumerate() {
                        let i = reflected(row as isize + i as isize - reach, height);
                        let j = reflected(column as isize + j as isize - reach, width);
                        let weight = f64::from(*down) * f64::from(*right);
                        sum += weight * of((plane * height + i) * width + j);
                    }
                }
                sum
            };
            let (of_x, of_y) = (mean(&|at| x[at]), mean(&|at| y[at]));
            let variances = mean(&|at| (x[at] - of_x).powi(2)) + mean(&|at| (y[at] - of_y).powi(2));
            let covariance = mean(&|at| (x[at] - of_x) * (y[at] - of_y));
            let [c1, c2] = CONSTANTS.map(f64::from);
            let contrast = (2.0 * covariance + c2) / (variances + c2);
            let luminance = (2.0 * of_x * of_y + c1) / (of_x * of_x + of_y * of_y + c1);
            sums[0] += luminance * contrast;
            counts[0] += 1.0;
            let within = |at: usize, side: usize| at as isize >= reach && at + 2 < side;
            if within(row, height) && within(column, width) {
                sums[1] += contrast;
                counts[1] += 1.0;
            }
        }
        [sums[0] / counts[0], sums[1] / counts[1]]
    }

    /// Means of two by two pixels of `[batch, channels, height, width]`.
    fn halved(images: &Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = images.dims();
        let (values, [rows, columns]) = (floats(images), [height / 2, width / 2]);
        let at = |plane: usize, row: usize, column: usize| {
            let from = (plane * height + 2 * row) * width + 2 * column;
            [from, from + 1, from + width, from + width + 1].map(|i| values[i]).iter().sum::<f64>()
        };
        let means: Vec<f32> = (0..batch * channels)
            .flat_map(|plane| (0..rows).map(move |row| (plane, row)))
            .flat_map(|(plane, row)| (0..columns).map(move |column| (plane, row, column)))
            .map(|(plane, row, column)| (at(plane, row, column) / 4.0) as f32)
            .collect();
        let shape = [batch, channels, rows, columns];
        Tensor::from_data(TensorData::new(means, shape), &Device::flex())
    }

    #[test]
    fn images_are_as_alike_as_the_definition_says() {
        for (shape, scales) in
            [([1, 1, 5, 5], 1), ([3, 2, 7, 13], 2), ([2, 3, 28, 28], 3), ([2, 1, 3, 40], 1)]
        {
            let (mut x, mut y) = (images(shape, 1, 0.4, 0.5), images(shape, 2, 0.3, 0.6));
            let found = structural_similarity(&x, &y, &TAPS, CONSTANTS, scales);
            let found = found.expect("the kernel");
            assert_eq!(found.len(), scales);
            for (scale, found) in found.iter().enumerate() {
                if scale > 0 {
                    (x, y) = (halved(&x), halved(&y));
                }
                let [_, sides @ ..] = x.dims();
                let found = [floats(&found.whole), floats(&found.contrast)];
                let (x, y, size) = (floats(&x), floats(&y), sides.iter().product());
                for (image, (x, y)) in x.chunks(size).zip(y.chunks(size)).enumerate() {
                    for (found, expected) in found.iter().zip(defined([x, y], sides)) {
                        let found = found[image];
                        let neither = found.is_nan() && expected.is_nan();
                        let same = neither || (found - expected).abs() < 2e-5;
                        assert!(same, "{sides:?}, image {image}: {found}, not {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn parts_of_larger_arrays_are_read_where_they_lie() {
        let (x, y) = (images([2, 3, 9, 8], 1, 0.4, 0.5), images([2, 3, 9, 8], 2, 0.3, 0.6));
        let of = |x: Tensor<4>, y: Tensor<4>| {
            let found = structural_similarity(&x, &y, &TAPS, CONSTANTS, 1).expect("the kernel");
            floats(&found[0].whole)
        };
        let part = |images: &Tensor<4>| images.clone().narrow(1, 1, 1).swap_dims(2, 3);
        let whole =
            |images: &Tensor<4>| Tensor::from_data(part(images).into_data(), &Device::flex());
        assert_eq!(of(part(&x), part(&y)), of(whole(&x), whole(&y)));
    }

    #[test]
    fn images_as_small_as_the_window_and_gradients_are_left_to_others() {
        let of = |images: &Tensor<4>, scales: usize| {
            structural_similarity(images, images, &TAPS, CONSTANTS, scales).is_some()
        };
        assert!(of(&images([1, 1, 3, 3], 0, 1.0, 0.0), 1));
        assert!(!of(&images([1, 1, 2, 9], 0, 1.0, 0.0), 1));
        assert!(!of(&images([1, 1, 5, 9], 0, 1.0, 0.0), 2));
        let learning = Tensor::ones([1, 1, 9, 9], &Device::flex().autodiff());
        assert!(!of(&learning, 1));
    }
}
