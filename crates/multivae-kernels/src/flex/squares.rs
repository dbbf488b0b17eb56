//! Squares and their sum, without an array of them.

use burn::{backend::Flex, tensor::Tensor};
use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::{dense, suits, tensor, values};

/// Values that a thread works on at a time.
const PART: usize = 1 << 15;
/// Sums side by side: what the registers of a processor hold, some times over.
const SIDE: usize = 64;

/// Whether the kernel is for a tensor.
pub(crate) fn is_for<const D: usize>(tensor: &Tensor<D>) -> bool {
    suits(tensor) && !tensor.device().is_autodiff()
}

/// The sum of the squares of all values.
///
/// # Panics
///
/// If it [is not for](is_for) them.
pub(crate) fn sum<const D: usize>(of: Tensor<D>) -> Tensor<1> {
    let of = dense(&of.try_into_primitive::<Flex>().expect("its backend was checked"));
    // Parts are added in their order, whichever thread was first.
    let parts = values(&of).par_chunks(PART).map(|values| Arch::new().dispatch(Part(values)));
    let sum: f64 = parts.collect::<Vec<_>>().into_iter().sum();
    Tensor::from_primitive::<Flex>(tensor(vec![sum as f32], &[1]))
}

struct Part<'a>(&'a [f32]);

impl NullaryFnOnce for Part<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let (whole, rest) = self.0.as_chunks::<SIDE>();
        let mut sums = [0.0_f32; SIDE];
        for values in whole {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value * value;
            }
        }
        let rest: f64 = rest.iter().map(|value| f64::from(value * value)).sum();
        sums.iter().copied().map(f64::from).sum::<f64>() + rest
    }
}
