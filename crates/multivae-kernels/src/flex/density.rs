//! Log-densities of many values, summed over features.

use std::marker::PhantomData;

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

use super::{dense, math, suits, tensor, values};
use crate::density::Density;

/// Fewest values that are worth a thread.
const PART: usize = 1 << 15;

/// Number of sums that a row is added up in.
const LANES: usize = 16;

/// The log-density, or `None` where it is not for this kernel.
pub(crate) fn log_density(
    density: Density,
    output: &Tensor<3>,
    values: &Tensor<2>,
) -> Option<Tensor<2>> {
    let fits = output.dims()[1..] == values.dims()[..];
    let empty = output.shape().num_elements() == 0;
    (fits && !empty && suits(output) && suits(values)).then(|| {
        let [output, values] = [output.clone().into_dispatch(), values.clone().into_dispatch()];
        Tensor::from_dispatch(Dispatch::log_density(output, values, density))
    })
}

/// The operation that a backend has to know.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait LogDensity: Backend {
    /// Of values `[batch, features]` given outputs `[samples, batch, features]`:
    /// `[samples, batch]`.
    fn log_density(
        output: FloatTensor<Self>,
        values: FloatTensor<Self>,
        density: Density,
    ) -> FloatTensor<Self>;
}

/// A density without its constants.
trait Term: Sync {
    /// Of a value `x` given an output `o`.
    fn term(o: f32, x: f32) -> f32;

    /// Its derivative in the output.
    fn slope(o: f32, x: f32) -> f32;
}

struct Normal;
struct Laplace;
struct Bernoulli;

impl Term for Normal {
    #[inline(always)]
    fn term(o: f32, x: f32) -> f32 {
        -0.5 * (o - x) * (o - x)
    }

    #[inline(always)]
    fn slope(o: f32, x: f32) -> f32 {
        x - o
    }
}

impl Term for Laplace {
    #[inline(always)]
    fn term(o: f32, x: f32) -> f32 {
        -(o - x).abs()
    }

    #[inline(always)]
    fn slope(o: f32, x: f32) -> f32 {
        // Burn's sign of zero is zero.
        f32::from(i8::from(x > o) - i8::from(x < o))
    }
}

impl Term for Bernoulli {
    #[inline(always)]
    fn term(o: f32, x: f32) -> f32 {
        x * o - math::softplus(o)
    }

    #[inline(always)]
    fn slope(o: f32, x: f32) -> f32 {
        x - math::sigmoid(o)
    }
}

/// Terms of each pair of an output and a value, summed over features.
fn sums<T: Term>(features: usize, output: &[f32], x: &[f32], _: T) -> Vec<f32> {
    let mut sums = vec![0.0; output.len() / features];
    let part = PART.div_ceil(features);
    sums.par_chunks_mut(part).enumerate().for_each(|(number, sums)| {
        let first = number * part;
        Arch::new().dispatch(Sums::<T> { features, output, x, first, sums, term: PhantomData });
    });
    sums
}

struct Sums<'a, T> {
    features: usize,
    output: &'a [f32],
    x: &'a [f32],
    /// The row of the first sum.
    first: usize,
    sums: &'a mut [f32],
    term: PhantomData<T>,
}

impl<T: Term> NullaryFnOnce for Sums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { features, output, x, first, sums, .. } = self;
        let batch = x.len() / features;
        for (row, sum) in (first..).zip(sums) {
            let output = &output[row * features..][..features];
            let x = &x[row % batch * features..][..features];
            let (outputs, output_rest) = output.as_chunks::<LANES>();
            let (xs, x_rest) = x.as_chunks::<LANES>();
            let mut lanes = [0.0; LANES];
            for (output, x) in outputs.iter().zip(xs) {
                for lane in 0..LANES {
                    lanes[lane] += T::term(output[lane], x[lane]);
                }
            }
            for lane in 0..output_rest.len() {
                lanes[lane] += T::term(output_rest[lane], x_rest[lane]);
            }
            let mut total = 0.0;
            for lane in lanes {
                total += lane;
            }
            *sum = total;
        }
    }
}

/// Slope of each pair of an output and a value, times the gradient of its row.
fn slopes<T: Term>(features: usize, output: &[f32], x: &[f32], gradient: &[f32], _: T) -> Vec<f32> {
    let mut slopes = vec![0.0; output.len()];
    let part = PART.div_ceil(features);
    slopes.par_chunks_mut(part * features).enumerate().for_each(|(number, slopes)| {
        let first = number * part;
        let term = PhantomData;
        Arch::new().dispatch(Slopes::<T> { features, output, x, gradient, first, slopes, term });
    });
    slopes
}

struct Slopes<'a, T> {
    features: usize,
    output: &'a [f32],
    x: &'a [f32],
    gradient: &'a [f32],
    /// The row of the first slopes.
    first: usize,
    slopes: &'a mut [f32],
    term: PhantomData<T>,
}

impl<T: Term> NullaryFnOnce for Slopes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { features, output, x, gradient, first, slopes, .. } = self;
        let batch = x.len() / features;
        for (row, slopes) in (first..).zip(slopes.chunks_exact_mut(features)) {
            let output = &output[row * features..][..features];
            let x = &x[row % batch * features..][..features];
            let factor = gradient[row];
            for ((slope, output), x) in slopes.iter_mut().zip(output).zip(x) {
                *slope = factor * T::slope(*output, *x);
            }
        }
    }
}

impl Density {
    fn forward(self, output: &FlexTensor, x: &FlexTensor) -> FlexTensor {
        let (output, x) = (dense(output), dense(x));
        let shape = output.layout().shape();
        let (rows, features) = ([shape[0], shape[1]], shape[2]);
        let (output, x) = (values(&output), values(&x));
        let sums = match self {
            Self::Normal => sums(features, output, x, Normal),
            Self::Laplace => sums(features, output, x, Laplace),
            Self::Bernoulli => sums(features, output, x, Bernoulli),
        };
        tensor(sums, &rows)
    }

    /// Gradient in the outputs from that in the sums.
    fn output_gradient(self, output: &FlexTensor, x: &FlexTensor, gradient: &[f32]) -> Vec<f32> {
        let features = output.layout().shape()[2];
        let (output, x) = (values(output), values(x));
        match self {
            Self::Normal => slopes(features, output, x, gradient, Normal),
            Self::Laplace => slopes(features, output, x, gradient, Laplace),
            Self::Bernoulli => slopes(features, output, x, gradient, Bernoulli),
        }
    }

    /// Gradient in the values from that in the sums; `of_output` is that in the outputs.
    fn values_gradient(self, output: &FlexTensor, gradient: &[f32], of_output: &[f32]) -> Vec<f32> {
        let shape = output.layout().shape();
        let (batch, features) = (shape[1], shape[2]);
        let output = values(output);
        let mut sums = vec![0.0; batch * features];
        for (row, factor) in gradient.iter().enumerate() {
            let range = row * features..(row + 1) * features;
            let sums = &mut sums[row % batch * features..][..features];
            match self {
                Self::Normal | Self::Laplace => {
                    sums.iter_mut().zip(&of_output[range]).for_each(|(sum, slope)| *sum -= slope);
                }
                Self::Bernoulli => {
                    sums.iter_mut().zip(&output[range]).for_each(|(sum, o)| *sum += factor * o);
                }
            }
        }
        sums
    }
}

impl LogDensity for Flex {
    fn log_density(output: FlexTensor, values: FlexTensor, density: Density) -> FlexTensor {
        density.forward(&output, &values)
    }
}

impl<C: CheckpointStrategy> LogDensity for Autodiff<Flex, C> {
    fn log_density(
        output: FloatTensor<Self>,
        values: FloatTensor<Self>,
        density: Density,
    ) -> FloatTensor<Self> {
        let nodes = [output.node(), values.node()];
        let sums = density.forward(output.primitive(), values.primitive());
        match LogDensityBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let stored = [prep.checkpoint(&output), prep.checkpoint(&values)];
                prep.finish(State { density, stored }, sums)
            }
            OpsKind::UnTracked(prep) => prep.finish(sums),
        }
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct State {
    density: Density,
    /// Outputs and values.
    stored: [NodeId; 2],
}

#[derive(Debug)]
struct LogDensityBackward;

impl Backward<Flex, 2> for LogDensityBackward {
    type State = State;

    fn backward(
        self,
        ops: Ops<State, 2>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let State { density, stored } = ops.state;
        let [output_node, values_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let gradient = dense(&gradients.consume::<Flex>(&ops.node));
        let gradient = values(&gradient);
        let [output, x] =
            stored.map(|node| dense(&checkpointer.retrieve_node_output::<FlexTensor>(node)));
        let of_output = density.output_gradient(&output, &x, gradient);
        if let Some(node) = values_node {
            let of_values = density.values_gradient(&output, gradient, &of_output);
            gradients.register::<Flex>(node, tensor(of_values, x.layout().shape()));
        }
        if let Some(node) = output_node {
            gradients.register::<Flex>(node, tensor(of_output, output.layout().shape()));
        }
    }
}
