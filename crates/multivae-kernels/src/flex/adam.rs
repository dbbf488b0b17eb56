//! A step of Adam in one pass over memory.

use burn::{backend::Flex, tensor::Tensor};
use burn_flex::FlexTensor;
use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::{dense, suits, values};
use crate::adam::Step;

/// Values that a thread works on at a time.
const PART: usize = 1 << 15;

/// Whether the kernel is for these weights and moments.
pub(crate) fn is_for<const D: usize>(tensors: &[Tensor<D>; 3], gradient: &Tensor<D>) -> bool {
    let fits = |tensor: &Tensor<D>| {
        suits(tensor) && !tensor.device().is_autodiff() && tensor.shape() == gradient.shape()
    };
    gradient.shape().num_elements() > 0 && fits(gradient) && tensors.iter().all(fits)
}

/// The weights and the two moments after a step, in place where nobody else holds them.
///
/// # Panics
///
/// If it [is not for](is_for) them.
pub(crate) fn step<const D: usize>(
    step: Step,
    tensors: [Tensor<D>; 3],
    gradient: &Tensor<D>,
) -> [Tensor<D>; 3] {
    let primitive = |tensor: Tensor<D>| -> FlexTensor {
        tensor.try_into_primitive::<Flex>().expect("its backend was checked")
    };
    let gradient = dense(&primitive(gradient.clone()));
    let mut tensors = tensors.map(|tensor| {
        let tensor = primitive(tensor);
        if is_whole(&tensor) { tensor } else { tensor.to_contiguous() }
    });
    let [weights, moment_1, moment_2] = &mut tensors;
    // Copies where somebody else holds the values.
    step.run(
        weights.storage_mut(),
        values(&gradient),
        moment_1.storage_mut(),
        moment_2.storage_mut(),
    );
    tensors.map(Tensor::from_primitive::<Flex>)
}

/// Whether a tensor is all of its storage, in order.
fn is_whole(tensor: &FlexTensor) -> bool {
    let count = tensor.layout().shape().num_elements();
    tensor.is_contiguous() && tensor.storage::<f32>().len() == count
}

impl Step {
    fn run(self, weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let parts = weights
            .par_chunks_mut(PART)
            .zip(gradient.par_chunks(PART))
            .zip(first.par_chunks_mut(PART))
            .zip(second.par_chunks_mut(PART));
        parts.for_each(|(((weights, gradient), first), second)| {
            Arch::new().dispatch(Part { step: self, weights, gradient, first, second });
        });
    }
}

struct Part<'a> {
    step: Step,
    weights: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl NullaryFnOnce for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { step, weights, gradient, first, second } = self;
        let Step { beta_1, beta_2, decay, shrink, rate, epsilon } = step;
        for (((weight, gradient), first), second) in
            weights.iter_mut().zip(gradient).zip(first).zip(second)
        {
            let gradient = gradient + decay * *weight;
            *first = beta_1 * *first + (1.0 - beta_1) * gradient;
            *second = beta_2 * *second + (1.0 - beta_2) * gradient * gradient;
            *weight = shrink * *weight - rate * *first / (second.sqrt() + epsilon);
        }
    }
}
