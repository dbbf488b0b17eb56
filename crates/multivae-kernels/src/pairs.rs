//! Sums of blocks of rows.

use burn::tensor::{Int, Tensor, TensorData};

use crate::Activation;
#[cfg(feature = "flex")]
use crate::flex;

/// `activation(left_i + right_j)` for each of some pairs `(i, j)`, where `left_i` is the i-th block of
/// `rows` rows of a matrix `[blocks * rows, features]`, and `right_j` one of another:
/// `[pairs * rows, features]`.
///
/// An affine map of two vectors joined end to end is the sum of a map of each: where many pairs are
/// made of few vectors, each is mapped once, and the sums are all that is left to do.
///
/// # Panics
///
/// If the matrices have other numbers of columns, or do not hold the blocks.
pub fn sum_pairs(
    left: Tensor<2>,
    right: Tensor<2>,
    pairs: &[[usize; 2]],
    rows: usize,
    activation: Activation,
) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if let Some(sums) = flex::pairs::sum_pairs(&left, &right, pairs, rows, activation) {
        return sums;
    }
    plain(left, right, pairs, rows, activation)
}

fn plain(
    left: Tensor<2>,
    right: Tensor<2>,
    pairs: &[[usize; 2]],
    rows: usize,
    activation: Activation,
) -> Tensor<2> {
    let features = left.dims()[1];
    let blocks = |matrix: Tensor<2>, side: usize| {
        let places: Vec<i64> = pairs.iter().map(|pair| pair[side] as i64).collect();
        let places = TensorData::new(places, [pairs.len()]);
        let places = Tensor::<1, Int>::from_data(places, &matrix.device());
        let blocks = matrix.dims()[0] / rows;
        matrix.reshape([blocks, rows * features]).select(0, places)
    };
    let sums = blocks(left, 0) + blocks(right, 1);
    activation.plain(sums.reshape([pairs.len() * rows, features]))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::near::assert_near;

    type Function = fn(Tensor<2>, Tensor<2>, &[[usize; 2]], usize, Activation) -> Tensor<2>;

    fn numbers(shape: [usize; 2], seed: usize, device: &Device) -> Tensor<2> {
        let number = |i| ((i * 37 + seed * 11) % 101) as f32 * 0.05 - 2.5;
        let values = (0..shape[0] * shape[1]).map(number).collect::<Vec<f32>>();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// The sums and both gradients.
    fn all(
        f: Function,
        pairs: &[[usize; 2]],
        [rows, features]: [usize; 2],
        activation: Activation,
        swapped: bool,
    ) -> [Vec<f32>; 3] {
        let device = Device::flex().autodiff();
        let matrix = |blocks: usize, seed| {
            if swapped {
                numbers([features, blocks * rows], seed, &device).swap_dims(0, 1)
            } else {
                numbers([blocks * rows, features], seed, &device)
            }
        };
        let (left, right) = (matrix(4, 1).require_grad(), matrix(3, 2).require_grad());
        let sums = f(left.clone(), right.clone(), pairs, rows, activation);
        let factor = numbers([pairs.len() * rows, features], 3, &device);
        let gradients = (sums.clone() * factor).sum().backward();
        let list = |data: TensorData| data.try_into_vec().expect("floats");
        [
            list(sums.into_data()),
            list(left.grad(&gradients).expect("tracked").into_data()),
            list(right.grad(&gradients).expect("tracked").into_data()),
        ]
    }

    #[test]
    fn sums_and_gradients_are_those_of_burn() {
        // The last block of the left is in no pair, a pair is there twice.
        let pairs = [[0, 0], [2, 0], [1, 1], [0, 2], [1, 2], [2, 2], [0, 0]];
        for activation in crate::activation::ALL {
            for shape in [[1, 1], [3, 5], [64, 40], [7, 700]] {
                for swapped in [false, true] {
                    let found = all(sum_pairs, &pairs, shape, activation, swapped);
                    let expected = all(plain, &pairs, shape, activation, swapped);
                    for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        let what = format_args!("{part} of {shape:?} {activation:?}");
                        assert_near(found, expected, 1e-5, what);
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_frozen_has_no_gradient_and_the_rest_has() {
        let device = Device::flex().autodiff();
        let left = Tensor::<2>::ones([2, 3], &device);
        let right = Tensor::<2>::ones([4, 3], &device).require_grad();
        let sums = sum_pairs(left.clone(), right.clone(), &[[0, 1], [0, 1]], 2, Activation::Relu);
        let gradients = sums.sum().backward();
        assert!(left.grad(&gradients).is_none());
        let gradient = right.grad(&gradients).expect("tracked").into_data();
        let gradient: Vec<f32> = gradient.try_into_vec().expect("floats");
        assert_eq!(gradient, [[0.0; 6], [2.0; 6]].concat());
    }
}
