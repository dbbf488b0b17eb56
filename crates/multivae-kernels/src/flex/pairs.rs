//! Sums of blocks of rows, with what follows them.

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        tensor::FloatTensor,
    },
    tensor::Tensor,
};
use burn_flex::FlexTensor;
use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::{activation, dense, shape, suits, tensor, values};
use crate::Activation;

/// Values of a block that are worked on at a time, in all pairs: sums of gradients of some sixty
/// blocks stay in the second-level cache.
const PART: usize = 1 << 10;

/// The sums, or `None` where they are not for this kernel.
pub(crate) fn sum_pairs(
    left: &Tensor<2>,
    right: &Tensor<2>,
    pairs: &[[usize; 2]],
    rows: usize,
    activation: Activation,
) -> Option<Tensor<2>> {
    let features = left.dims()[1];
    let holds = |matrix: &Tensor<2>, side: usize| {
        let blocks = pairs.iter().map(|pair| pair[side] + 1).max().unwrap_or(0);
        matrix.dims()[1] == features && matrix.dims()[0] >= blocks * rows && suits(matrix)
    };
    let empty = pairs.is_empty() || rows * features == 0;
    (!empty && holds(left, 0) && holds(right, 1)).then(|| {
        let pairs = Pairs { list: pairs.to_vec(), block: rows * features, activation };
        let [left, right] = [left, right].map(|matrix| matrix.clone().into_dispatch());
        Tensor::from_dispatch(Dispatch::sum_pairs(left, right, pairs))
    })
}

/// What is added to what.
#[derive(Clone, Debug)]
pub(crate) struct Pairs {
    /// Places of blocks on the left and on the right.
    list: Vec<[usize; 2]>,
    /// Values of a block.
    block: usize,
    activation: Activation,
}

/// The operation that a backend has to know.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait SumPairs: Backend {
    /// Of two matrices.
    fn sum_pairs(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        pairs: Pairs,
    ) -> FloatTensor<Self>;
}

impl Pairs {
    /// The two blocks of a pair.
    fn blocks<'a>(&self, [i, j]: [usize; 2], [left, right]: [&'a [f32]; 2]) -> [&'a [f32]; 2] {
        [&left[i * self.block..][..self.block], &right[j * self.block..][..self.block]]
    }

    fn forward(&self, left: &FlexTensor, right: &FlexTensor) -> FlexTensor {
        let features = shape(left)[1];
        let (left, right) = (dense(left), dense(right));
        let sides = [values(&left), values(&right)];
        let mut sums = vec![0.0; self.list.len() * self.block];
        sums.par_chunks_mut(self.block).zip(&self.list).for_each(|(sums, &pair)| {
            let [left, right] = self.blocks(pair, sides);
            let parts = sums.chunks_mut(PART).zip(left.chunks(PART)).zip(right.chunks(PART));
            for ((sums, left), right) in parts {
                Arch::new().dispatch(Sums { sums, left, right });
                activation::apply(sums, self.activation);
            }
        });
        tensor(sums, &[self.list.len() * self.block / features, features])
    }

    /// Gradients in both sides from that in the sums.
    fn gradients(&self, gradient: &[f32], sides: [&[f32]; 2]) -> [Vec<f32>; 2] {
        let mut found = sides.map(|side| vec![0.0; side.len()]);
        let [of_left, of_right] = &mut found;
        let parts = by_part(of_left, self.block).into_iter().zip(by_part(of_right, self.block));
        let parts: Vec<_> = parts.collect();
        // Each part of all blocks on its own: pairs add up in their order.
        parts.into_par_iter().enumerate().for_each(|(part, (mut of_left, mut of_right))| {
            let first = part * PART;
            let count = PART.min(self.block - first);
            let (mut slope, mut sums) = ([0.0; PART], [0.0; PART]);
            let (slope, sums) = (&mut slope[..count], &mut sums[..count]);
            for (place, &[i, j]) in self.list.iter().enumerate() {
                slope.copy_from_slice(&gradient[place * self.block + first..][..count]);
                if self.activation != Activation::Identity {
                    let [left, right] = self.blocks([i, j], sides).map(|block| &block[first..]);
                    Arch::new().dispatch(Sums { sums, left, right });
                    if self.activation.is_known_by_output() {
                        activation::apply(sums, self.activation);
                    }
                    activation::to_gradient_here(self.activation, slope, sums);
                }
                let sums = [&mut *of_left[i], &mut *of_right[j]];
                Arch::new().dispatch(AddToBoth { slope, sums });
            }
        });
        found
    }
}

/// The blocks of a matrix, cut into parts: for each part that of all blocks.
fn by_part(matrix: &mut [f32], block: usize) -> Vec<Vec<&mut [f32]>> {
    let mut parts: Vec<Vec<&mut [f32]>> = Vec::new();
    parts.resize_with(block.div_ceil(PART), Vec::new);
    for block in matrix.chunks_exact_mut(block) {
        for (parts, part) in parts.iter_mut().zip(block.chunks_mut(PART)) {
            parts.push(part);
        }
    }
    parts
}

struct Sums<'a> {
    sums: &'a mut [f32],
    left: &'a [f32],
    right: &'a [f32],
}

impl NullaryFnOnce for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for ((sum, left), right) in self.sums.iter_mut().zip(self.left).zip(self.right) {
            *sum = left + right;
        }
    }
}

/// Adds the same values to two sums.
struct AddToBoth<'a> {
    slope: &'a [f32],
    sums: [&'a mut [f32]; 2],
}

impl NullaryFnOnce for AddToBoth<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let [left, right] = self.sums;
        for ((slope, left), right) in self.slope.iter().zip(left).zip(right) {
            *left += slope;
            *right += slope;
        }
    }
}

impl SumPairs for Flex {
    fn sum_pairs(left: FlexTensor, right: FlexTensor, pairs: Pairs) -> FlexTensor {
        pairs.forward(&left, &right)
    }
}

impl<C: CheckpointStrategy> SumPairs for Autodiff<Flex, C> {
    fn sum_pairs(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        pairs: Pairs,
    ) -> FloatTensor<Self> {
        let nodes = [left.node(), right.node()];
        let sums = pairs.forward(left.primitive(), right.primitive());
        match SumPairsBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let sides = [dense(left.primitive()), dense(right.primitive())];
                prep.finish((pairs, sides), sums)
            }
            OpsKind::UnTracked(prep) => prep.finish(sums),
        }
    }
}

#[derive(Debug)]
struct SumPairsBackward;

impl Backward<Flex, 2> for SumPairsBackward {
    type State = (Pairs, [FlexTensor; 2]);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let (pairs, sides) = ops.state;
        let gradient = dense(&gradients.consume::<Flex>(&ops.node));
        let [left, right] = &sides;
        let found = pairs.gradients(values(&gradient), [values(left), values(right)]);
        for ((parent, found), side) in ops.parents.into_iter().zip(found).zip(&sides) {
            if let Some(node) = parent {
                gradients.register::<Flex>(node.id, tensor(found, &shape(side)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let numbers = |count: usize| -> Vec<f32> {
            (0..count).map(|i| ((i * 37 + 11) % 101) as f32 * 0.0137 - 0.7).collect()
        };
        let list: Vec<[usize; 2]> = (0..40).map(|i| [i % 7, i % 3]).collect();
        let pairs = Pairs { list, block: 3 * PART + 5, activation: Activation::Silu };
        let (left, right) = (numbers(7 * pairs.block), numbers(3 * pairs.block));
        let gradient = numbers(40 * pairs.block);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let work = || pairs.gradients(&gradient, [&left, &right]);
            pool.expect("threads start").install(work)
        };
        let one = run(1);
        assert!(one == run(2) && one == run(5));
    }
}
