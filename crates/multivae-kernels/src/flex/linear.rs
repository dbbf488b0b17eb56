//! Affine maps of rows, with what follows them.

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
    dense,
    gemm::{Matrix, product},
    shape, stored, suits, tensor,
    transpose::transposed,
    values, values_mut,
};
use crate::Activation;

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
        Tensor::from_dispatch(Dispatch::linear(x, weight, bias, activation))
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
    ) -> FloatTensor<Self>;
}

fn forward(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: &FlexTensor,
    activation: Activation,
) -> FlexTensor {
    let (rows, [inputs, outputs]) = (shape(x)[0], [0, 1].map(|axis| shape(weight)[axis]));
    let (x, weight, bias) = (dense(x), dense(weight), dense(bias));
    let (x, weight, bias) = (values(&x), values(&weight), values(&bias));
    let mut y = product(
        [rows, inputs, outputs],
        Matrix { values: x, strides: [inputs, 1] },
        Matrix { values: weight, strides: [outputs, 1] },
    );
    let part = PART.div_ceil(outputs) * outputs;
    y.par_chunks_mut(part).for_each(|y| {
        Arch::new().dispatch(AddBias { y, bias });
        apply(y, activation);
    });
    tensor(y, &[rows, outputs])
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
    ) -> FlexTensor {
        forward(&x, &weight, &bias, activation)
    }
}

impl<C: CheckpointStrategy> Linear for Autodiff<Flex, C> {
    fn linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let y = forward(x.primitive(), weight.primitive(), bias.primitive(), activation);
        match LinearBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let mut store = |tensor: &Tracked| prep.checkpoint(tensor);
                let state = State {
                    // The input is needed for the gradient in the weight only, and the other way
                    // round.
                    x: weight.is_tracked().then(|| store(&x)),
                    weight: x.is_tracked().then(|| store(&weight)),
                    activation: (activation != Activation::Identity)
                        .then(|| (activation, y.clone())),
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
    /// The activation and what came out of it.
    activation: Option<(Activation, FlexTensor)>,
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
        let State { x, weight, activation } = ops.state;
        let mut gradient = dense(&gradients.consume::<Flex>(&ops.node));
        let [rows, outputs] = [0, 1].map(|axis| shape(&gradient)[axis]);
        if let Some((kind, y)) = activation {
            to_gradient(kind, values_mut(&mut gradient), values(&y));
        }
        let gradient = values(&gradient);
        let [x, weight] =
            [x, weight].map(|node| stored(checkpointer, node).map(|tensor| dense(&tensor)));
        if let Some((node, weight)) = x_node.zip(weight) {
            let inputs = shape(&weight)[0];
            let weight = transposed(values(&weight), [inputs, outputs]);
            let product = product(
                [rows, outputs, inputs],
                Matrix { values: gradient, strides: [outputs, 1] },
                Matrix { values: &weight, strides: [inputs, 1] },
            );
            gradients.register::<Flex>(node, tensor(product, &[rows, inputs]));
        }
        if let Some((node, x)) = weight_node.zip(x) {
            let inputs = shape(&x)[1];
            let product = product(
                [inputs, rows, outputs],
                Matrix { values: values(&x), strides: [1, inputs] },
                Matrix { values: gradient, strides: [outputs, 1] },
            );
            gradients.register::<Flex>(node, tensor(product, &[inputs, outputs]));
        }
        if let Some(node) = bias_node {
            gradients.register::<Flex>(node, tensor(column_sums(gradient, outputs), &[outputs]));
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
        let [rows, inputs, outputs] = [130, 700, 520];
        let x = tensor(numbers(rows * inputs), &[rows, inputs]);
        let weight = tensor(numbers(inputs * outputs), &[inputs, outputs]);
        let bias = tensor(numbers(outputs), &[outputs]);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let y = pool
                .build()
                .expect("threads start")
                .install(|| forward(&x, &weight, &bias, Activation::Relu));
            values(&y).to_vec()
        };
        let one = run(1);
        assert!(one == run(2) && one == run(5));
    }
}
