//! Sums of squares, of which norms of gradients are made.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex;

/// The sum of the squares of all values: `[1]`.
///
/// Burn's composition writes an array of all squares first. The kernel is for tensors without
/// automatic differentiation, as gradients are.
pub fn sum_of_squares<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if flex::squares::is_for(&tensor) {
        return flex::squares::sum(tensor);
    }
    composed(tensor)
}

fn composed<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    // Faster than a square on the CPU.
    (tensor.clone() * tensor).sum()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Int};

    use super::*;

    #[test]
    fn the_kernel_sums_what_burn_sums_wherever_it_lies() {
        let device = Device::flex();
        for (rows, columns, from) in [(1, 1, 0), (7, 64, 0), (3, 129, 2), (40, 3000, 5)] {
            let count = (rows * (columns + from)) as i64;
            let whole =
                Tensor::<1, Int>::arange(1..count + 1, &device).float().sin().mul_scalar(3.0);
            let part = whole.reshape([rows, columns + from]).slice([0..rows, from..from + columns]);
            for tensor in [part.clone(), part.transpose()] {
                let kernel: f32 = sum_of_squares(tensor.clone()).into_scalar();
                let burn: f32 = composed(tensor.clone()).into_scalar();
                assert!(
                    (kernel / burn - 1.0).abs() < 1e-5,
                    "{:?}: {kernel}, {burn}",
                    tensor.dims()
                );
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        let device = Device::flex();
        for (bad, place) in [(f32::NAN, 3), (f32::INFINITY, 70_000)] {
            let mut values = vec![1.0; 100_000];
            values[place] = bad;
            let tensor = Tensor::<1>::from_floats(&values[..], &device);
            let sum: f32 = sum_of_squares(tensor).into_scalar();
            assert!(!sum.is_finite(), "{bad}: {sum}");
        }
    }
}
