//! Affine maps of rows, with what follows them.

use std::mem::MaybeUninit;

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex,
        autodiff::{
            NodeId,
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

use super::{
    activation::{PART, apply, to_gradient},
    dense, fill,
    gemm::{Matrix, product, product_into},
    room, shape, stored, suits, tensor,
    transpose::transposed,
    values, values_mut,
};
use crate::{Activation, Precision};

/// Rows whose gradients are summed one by one before the sums are.
const BLOCK: usize = 128;

/// A tensor with its place in the graph.
type Tracked = FloatTensor<Autodiff<Flex>>;

/// The map, or `None` where it is not for this kernel.
pub(crate) fn linear(
    x: &Tensor<2>,
    weight: &Tensor<2>,
    bias: &Tensor<1>,
    activation: Activation,
) -> Option<Tensor<2>> {
    let ([rows, inputs], [depth, outputs]) = (x.dims(), weight.dims());
    let fits = inputs == depth && bias.dims() == [outputs];
    let empty = [rows, inputs, outputs].contains(&0);
    (fits && !empty && suits(x) && suits(weight) && suits(bias)).then(|| {
        let [x, weight] = [x, weight].map(|tensor| tensor.clone().into_dispatch());
        let bias = bias.clone().into_dispatch();
        Tensor::from_dispatch(Dispatch::linear(x, weight, bias, activation, Precision::current()))
    })
}

/// The operation that a backend has to know.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait Linear: Backend {
    /// Of rows `[rows, inputs]` by a weight `[inputs, outputs]` and a bias `[outputs]`.
    fn linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
        precision: Precision,
    ) -> FloatTensor<Self>;
}

/// Values of an output that are made at a time, where there are many: they stay in the second-level
/// cache until what follows the map is done.
const VALUES: usize = 1 << 16;

/// Fewest rows that are worth packing the weight once more.
const ROWS: usize = 256;

/// Fewest parts that keep threads as busy as a product on all of them does.
const PARTS: usize = 8;

/// How many rows are worked on at a time; all, if they are few.
fn part(rows: usize, outputs: usize) -> usize {
    let part = (VALUES / outputs).max(ROWS);
    if rows.div_ceil(part) < PARTS { rows } else { part }
}

/// What comes out and, where it has to be kept for its derivative, what goes into the activation.
#[allow(unsafe_code)]
fn forward(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: &FlexTensor,
    activation: Activation,
    precision: Precision,
) -> (FlexTensor, Option<FlexTensor>) {
    let (rows, [inputs, outputs]) = (shape(x)[0], [0, 1].map(|axis| shape(weight)[axis]));
    let (x, weight, bias) = (dense(x), dense(weight), dense(bias));
    let (x, weight, bias) = (values(&x), values(&weight), values(&bias));
    let (part, tensor) = (part(rows, outputs), |y: Vec<f32>| tensor(y, &[rows, outputs]));
    let map = |x: &[f32], y: &mut [MaybeUninit<f32>]| {
        let left = Matrix { values: x, strides: [inputs, 1] };
        let right = Matrix { values: weight, strides: [outputs, 1] };
        let shape = [x.len() / inputs, inputs, outputs];
        product_into(shape, left, right, y, precision, part < rows);
    };
    let add = |y: &mut [f32]| Arch::new().dispatch(AddBias { y, bias });
    if activation.is_known_by_output() {
        let write = |y: &mut [MaybeUninit<f32>]| {
            let parts = y.par_chunks_mut(part * outputs).zip(x.par_chunks(part * inputs));
            parts.for_each(|(y, x)| {
                map(x, y);
                // SAFETY: the product is there.
                each(unsafe { y.assume_init_mut() }, outputs, |y| {
                    add(y);
                    apply(y, activation);
                });
            });
        };
        // SAFETY: every row is in one of the parts.
        return (tensor(unsafe { fill(rows * outputs, write) }), None);
    }
    let mut before = vec![0.0; rows * outputs];
    let write = |y: &mut [MaybeUninit<f32>]| {
        let parts = y.par_chunks_mut(part * outputs).zip(x.par_chunks(part * inputs));
        parts.zip(before.par_chunks_mut(part * outputs)).for_each(|((y, x), before)| {
            map(x, room(before));
            let rows = PART.div_ceil(outputs) * outputs;
            let both = y.par_chunks_mut(rows).zip(before.par_chunks_mut(rows));
            both.for_each(|(y, before)| {
                add(before);
                apply(y.write_copy_of_slice(before), activation);
            });
        });
    };
    // SAFETY: as above.
    let y = unsafe { fill(rows * outputs, write) };
    (tensor(y), Some(tensor(before)))
}

/// Calls a function with some rows at a time.
fn each(y: &mut [f32], outputs: usize, f: impl Fn(&mut [f32]) + Send + Sync) {
    y.par_chunks_mut(PART.div_ceil(outputs) * outputs).for_each(f);
}

/// Adds the bias to every row.
struct AddBias<'a> {
    y: &'a mut [f32],
    bias: &'a [f32],
}

impl NullaryFnOnce for AddBias<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for y in self.y.chunks_exact_mut(self.bias.len()) {
            for (y, bias) in y.iter_mut().zip(self.bias) {
                *y += bias;
            }
        }
    }
}

/// Sums of columns, `[columns]`.
pub(super) fn column_sums(values: &[f32], columns: usize) -> Vec<f32> {
    let mut sums = vec![0.0; columns];
    let mut block_sums = vec![0.0; columns];
    Arch::new().dispatch(AddRows { values, sums: &mut sums, block_sums: &mut block_sums });
    sums
}

struct AddRows<'a> {
    values: &'a [f32],
    sums: &'a mut [f32],
    /// Room for as many.
    block_sums: &'a mut [f32],
}

impl NullaryFnOnce for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { values, sums, block_sums } = self;
        let columns = sums.len();
        for block in values.chunks(BLOCK * columns) {
            block_sums.fill(0.0);
            for row in block.chunks_exact(columns) {
                for (sum, value) in block_sums.iter_mut().zip(row) {
                    *sum += value;
                }
            }
            for (sum, block) in sums.iter_mut().zip(&*block_sums) {
                *sum += block;
            }
        }
    }
}

impl Linear for Flex {
    fn linear(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        activation: Activation,
        precision: Precision,
    ) -> FlexTensor {
        forward(&x, &weight, &bias, activation, precision).0
    }
}

impl<C: CheckpointStrategy> Linear for Autodiff<Flex, C> {
    fn linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let (y, before) =
            forward(x.primitive(), weight.primitive(), bias.primitive(), activation, precision);
        match LinearBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let mut store = |tensor: &Tracked| prep.checkpoint(tensor);
                let state = State {
                    // The input is needed for the gradient in the weight only, and the other way
                    // round.
                    x: weight.is_tracked().then(|| store(&x)),
                    weight: x.is_tracked().then(|| store(&weight)),
                    activation: (activation != Activation::Identity)
                        .then(|| (activation, before.unwrap_or_else(|| y.clone()))),
                    precision,
                };
                prep.finish(state, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct State {
    x: Option<NodeId>,
    weight: Option<NodeId>,
    /// The activation and what tells its derivative: what came out of it, or else what went in.
    activation: Option<(Activation, FlexTensor)>,
    precision: Precision,
}

#[derive(Debug)]
struct LinearBackward;

impl Backward<Flex, 3> for LinearBackward {
    type State = State;

    fn backward(
        self,
        ops: Ops<State, 3>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [x_node, weight_node, bias_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let State { x, weight, activation, precision } = ops.state;
        let mut gradient = dense(&gradients.consume::<Flex>(&ops.node));
        let [rows, outputs] = [0, 1].map(|axis| shape(&gradient)[axis]);
        let [x, weight] =
            [x, weight].map(|node| stored(checkpointer, node).map(|tensor| dense(&tensor)));
        let weight = weight.map(|weight| {
            let inputs = shape(&weight)[0];
            (inputs, transposed(values(&weight), [inputs, outputs]))
        });
        let part = part(rows, outputs);
        let mut sums = vec![0.0; rows.div_ceil(part) * outputs];
        // Of some rows: sums for the bias, and the gradient in the input.
        let of_rows =
            |gradient: &[f32], sums: &mut [f32], of_x: Option<&mut [MaybeUninit<f32>]>| {
                if bias_node.is_some() {
                    sums.copy_from_slice(&column_sums(gradient, outputs));
                }
                if let Some(((inputs, weight), of_x)) = weight.as_ref().zip(of_x) {
                    let left = Matrix { values: gradient, strides: [outputs, 1] };
                    let right = Matrix { values: weight, strides: [*inputs, 1] };
                    let shape = [gradient.len() / outputs, outputs, *inputs];
                    product_into(shape, left, right, of_x, precision, part < rows);
                }
            };
        let write = |of_x: &mut [MaybeUninit<f32>]| {
            let inputs = weight.as_ref().map_or(0, |(inputs, _)| *inputs);
            let mut parts = of_x.chunks_mut((part * inputs).max(1));
            let sums = sums.chunks_mut(outputs).map(|sums| (sums, parts.next()));
            let parts: Vec<_> = sums.collect();
            match activation {
                // While they are near, gradients become those in what goes into the activation.
                Some((kind, kept)) => values_mut(&mut gradient)
                    .par_chunks_mut(part * outputs)
                    .zip(values(&kept).par_chunks(part * outputs))
                    .zip(parts)
                    .for_each(|((gradient, kept), (sums, of_x))| {
                        to_gradient(kind, gradient, kept);
                        of_rows(gradient, sums, of_x);
                    }),
                None => values(&gradient)
                    .par_chunks(part * outputs)
                    .zip(parts)
                    .for_each(|(gradient, (sums, of_x))| of_rows(gradient, sums, of_x)),
            }
        };
        let count = weight.as_ref().map_or(0, |(inputs, _)| rows * inputs);
        #[allow(unsafe_code)]
        // SAFETY: every row is in one of the parts, if the gradient has any values.
        let of_x = unsafe { fill(count, write) };
        if let Some((node, (inputs, _))) = x_node.zip(weight) {
            gradients.register::<Flex>(node, tensor(of_x, &[rows, inputs]));
        }
        let gradient = values(&gradient);
        if let Some((node, x)) = weight_node.zip(x) {
            let inputs = shape(&x)[1];
            let product = product(
                [inputs, rows, outputs],
                Matrix { values: values(&x), strides: [1, inputs] },
                Matrix { values: gradient, strides: [outputs, 1] },
                precision,
            );
            gradients.register::<Flex>(node, tensor(product, &[inputs, outputs]));
        }
        if let Some(node) = bias_node {
            let sums = column_sums(&sums, outputs);
            gradients.register::<Flex>(node, tensor(sums, &[outputs]));
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
        for [rows, inputs, outputs] in [[130, 700, 520], [3000, 40, 70]] {
            let x = tensor(numbers(rows * inputs), &[rows, inputs]);
            let weight = tensor(numbers(inputs * outputs), &[inputs, outputs]);
            let bias = tensor(numbers(outputs), &[outputs]);
            let kinds = [Activation::Relu, Activation::Silu];
            let precisions = [Precision::F32, Precision::Bf16];
            for (activation, precision) in
                kinds.into_iter().flat_map(|kind| precisions.map(|precision| (kind, precision)))
            {
                let run = |threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
                    let (y, _) = pool
                        .build()
                        .expect("threads start")
                        .install(|| forward(&x, &weight, &bias, activation, precision));
                    values(&y).to_vec()
                };
                let one = run(1);
                assert!(one == run(2) && one == run(5));
            }
        }
    }
}
