//! The convolutions as operations of the Flex backend, with and without automatic differentiation.

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
    tensor::{
        Tensor,
        ops::{ConvOptions, ConvTransposeOptions},
    },
};
use burn_flex::FlexTensor;

use super::{Convolution, Geometry, sum_channels};
use crate::{
    Activation,
    flex::{activation, dense, suits, tensor, values},
};

/// A tensor with its place in the graph.
type Tracked = FloatTensor<Autodiff<Flex>>;

/// A convolution, or the transposed one of the same geometry, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Operation {
    convolution: Convolution,
    transposed: bool,
    /// One whose derivative is known by its output.
    activation: Activation,
}

/// The operations that a backend has to know. Two, since the macro knows no optional tensors.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait Convolve: Backend {
    /// Both kinds of convolution.
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        operation: Operation,
    ) -> FloatTensor<Self>;

    /// Both kinds of convolution, and a bias that is added.
    fn convolve_with_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        operation: Operation,
    ) -> FloatTensor<Self>;
}

/// The convolution, or `None` where it is not for these kernels.
pub(crate) fn conv2d(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
    options: &ConvOptions<2>,
    activation: Activation,
) -> Option<Tensor<4>> {
    let ConvOptions { stride, padding, dilation, groups } = *options;
    let [batch, channels, height, width] = x.dims();
    let [features, inputs, kernel @ ..] = weight.dims();
    let input = [height, width];
    if dilation != [1, 1] || groups != 1 || inputs != channels {
        return None;
    }
    let mut output = [0; 2];
    for axis in 0..2 {
        let room = input[axis] + padding[axis].0 + padding[axis].1;
        output[axis] = room.checked_sub(kernel[axis])? / stride[axis] + 1;
    }
    let geometry = Geometry {
        channels,
        input,
        output,
        kernel,
        stride,
        padding: padding.map(|(start, _)| start),
        end: padding.map(|(_, end)| end),
    };
    let convolution = Convolution { batch, features, geometry };
    call(x, weight, bias, Operation { convolution, transposed: false, activation })
}

/// The transposed convolution, or `None` where it is not for these kernels.
pub(crate) fn conv_transpose2d(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
    options: &ConvTransposeOptions<2>,
    activation: Activation,
) -> Option<Tensor<4>> {
    let ConvTransposeOptions { stride, padding, padding_out, dilation, groups } = *options;
    let [batch, features, height, width] = x.dims();
    let [inputs, channels, kernel @ ..] = weight.dims();
    let output = [height, width];
    if dilation != [1, 1] || groups != 1 || inputs != features {
        return None;
    }
    let mut input = [0; 2];
    for axis in 0..2 {
        let room = output[axis].checked_sub(1)? * stride[axis] + kernel[axis] + padding_out[axis];
        input[axis] = room.checked_sub(2 * padding[axis])?;
    }
    let geometry = Geometry { channels, input, output, kernel, stride, padding, end: padding };
    let convolution = Convolution { batch, features, geometry };
    call(x, weight, bias, Operation { convolution, transposed: true, activation })
}

fn call(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
    operation: Operation,
) -> Option<Tensor<4>> {
    let empty = x.shape().num_elements() == 0 || weight.shape().num_elements() == 0;
    if empty
        || operation.output().contains(&0)
        || !suits(x)
        || !suits(weight)
        || bias.is_some_and(|bias| !suits(bias) || bias.dims() != [operation.output()[1]])
    {
        return None;
    }
    let [x, weight] = [x, weight].map(|tensor| tensor.clone().into_dispatch());
    Some(Tensor::from_dispatch(match bias.map(|bias| bias.clone().into_dispatch()) {
        Some(bias) => Dispatch::convolve_with_bias(x, weight, bias, operation),
        None => Dispatch::convolve(x, weight, operation),
    }))
}

impl Operation {
    fn output(&self) -> [usize; 4] {
        self.shape(!self.transposed)
    }

    /// Shape of one side of the convolution: `[batch, features, height, width]` behind it, or
    /// `[batch, channels, height, width]` before it.
    fn shape(&self, behind: bool) -> [usize; 4] {
        let Convolution { batch, features, geometry } = self.convolution;
        let (channels, [height, width]) =
            if behind { (features, geometry.output) } else { (geometry.channels, geometry.input) };
        [batch, channels, height, width]
    }

    fn forward(
        &self,
        x: &FlexTensor,
        weight: &FlexTensor,
        bias: Option<&FlexTensor>,
    ) -> FlexTensor {
        let (x, weight, bias) = (dense(x), dense(weight), bias.map(dense));
        let bias = bias.as_ref().map(values);
        let y = if self.transposed {
            self.convolution.adjoint(values(&x), values(&weight), bias, self.activation)
        } else {
            self.convolution.forward(values(&x), values(&weight), bias, self.activation)
        };
        tensor(y, &self.output())
    }

    /// Gradient in the input from that in the output.
    fn input_gradient(&self, weight: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let (weight, none) = (dense(weight), Activation::Identity);
        let x = if self.transposed {
            self.convolution.forward(values(gradient), values(&weight), None, none)
        } else {
            self.convolution.adjoint(values(gradient), values(&weight), None, none)
        };
        tensor(x, &self.shape(self.transposed))
    }

    /// Gradient in the weight from the input and the gradient in the output.
    fn weight_gradient(&self, x: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let Convolution { features, geometry, .. } = self.convolution;
        let x = dense(x);
        let (before, behind) = if self.transposed { (gradient, &x) } else { (&x, gradient) };
        let weight = self.convolution.weight_gradient(values(before), values(behind));
        let [height, width] = geometry.kernel;
        tensor(weight, &[features, geometry.channels, height, width])
    }

    fn bias_gradient(&self, gradient: &FlexTensor) -> FlexTensor {
        let [_, channels, height, width] = self.output();
        tensor(sum_channels(values(gradient), channels, height * width), &[channels])
    }
}

impl Convolve for Flex {
    fn convolve(x: FlexTensor, weight: FlexTensor, operation: Operation) -> FlexTensor {
        operation.forward(&x, &weight, None)
    }

    fn convolve_with_bias(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        operation: Operation,
    ) -> FlexTensor {
        operation.forward(&x, &weight, Some(&bias))
    }
}

impl<C: CheckpointStrategy> Convolve for Autodiff<Flex, C> {
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        operation: Operation,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node()];
        let y = operation.forward(x.primitive(), weight.primitive(), None);
        match WithoutBias.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = State::of(operation, &x, &weight, &y, |tensor| prep.checkpoint(tensor));
                prep.finish(state, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn convolve_with_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        operation: Operation,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let y = operation.forward(x.primitive(), weight.primitive(), Some(bias.primitive()));
        match WithBias.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = State::of(operation, &x, &weight, &y, |tensor| prep.checkpoint(tensor));
                prep.finish(state, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct State {
    operation: Operation,
    x: Option<NodeId>,
    weight: Option<NodeId>,
    /// What came out, where something follows the convolution.
    y: Option<FlexTensor>,
}

impl State {
    /// The input is needed for the gradient in the weight only, and the other way round.
    fn of(
        operation: Operation,
        x: &Tracked,
        weight: &Tracked,
        y: &FlexTensor,
        mut store: impl FnMut(&Tracked) -> NodeId,
    ) -> Self {
        Self {
            operation,
            x: weight.is_tracked().then(|| store(x)),
            weight: x.is_tracked().then(|| store(weight)),
            y: (operation.activation != Activation::Identity).then(|| y.clone()),
        }
    }
}

#[derive(Debug)]
struct WithBias;

#[derive(Debug)]
struct WithoutBias;

impl Backward<Flex, 3> for WithBias {
    type State = State;

    fn backward(
        self,
        ops: Ops<State, 3>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [x, weight, bias] = ops.parents.map(|parent| parent.map(|node| node.id));
        let gradient = gradients.consume::<Flex>(&ops.node);
        register([x, weight, bias], &gradient, ops.state, gradients, checkpointer);
    }
}

impl Backward<Flex, 2> for WithoutBias {
    type State = State;

    fn backward(
        self,
        ops: Ops<State, 2>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [x, weight] = ops.parents.map(|parent| parent.map(|node| node.id));
        let gradient = gradients.consume::<Flex>(&ops.node);
        register([x, weight, None], &gradient, ops.state, gradients, checkpointer);
    }
}

/// Computes the gradients that are asked for.
fn register(
    [x_node, weight_node, bias_node]: [Option<NodeId>; 3],
    gradient: &FlexTensor,
    State { operation, x, weight, y }: State,
    gradients: &mut Gradients,
    checkpointer: &mut Checkpointer,
) {
    let mut gradient = dense(gradient);
    if let Some(y) = y {
        let inner = activation::gradient(operation.activation, values(&gradient), values(&y));
        gradient = tensor(inner, &operation.output());
    }
    // Each stored tensor is to be retrieved exactly once.
    let mut stored = |node: Option<NodeId>| {
        node.map(|node| checkpointer.retrieve_node_output::<FlexTensor>(node))
    };
    let (x, weight) = (stored(x), stored(weight));
    if let Some((node, weight)) = x_node.zip(weight) {
        gradients.register::<Flex>(node, operation.input_gradient(&weight, &gradient));
    }
    if let Some((node, x)) = weight_node.zip(x) {
        gradients.register::<Flex>(node, operation.weight_gradient(&x, &gradient));
    }
    if let Some(node) = bias_node {
        gradients.register::<Flex>(node, operation.bias_gradient(&gradient));
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn the_kernels_run_on_flex_with_and_without_gradients() {
        for device in [Device::flex(), Device::flex().autodiff()] {
            let x = Tensor::<4>::ones([2, 3, 5, 5], &device);
            let weight = Tensor::<4>::ones([3, 3, 3, 3], &device);
            let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
            let y = conv2d(&x, &weight, None, &options, Activation::Identity)
                .expect("they are for this");
            assert_eq!(y.sum().into_scalar::<f32>(), (2 * 3 * 9 * 27) as f32);
            let options = ConvTransposeOptions::new([1, 1], [0, 0], [0, 0], [1, 1], 1);
            let y = conv_transpose2d(&x, &weight, None, &options, Activation::Identity)
                .expect("they are for this");
            assert_eq!(y.sum().into_scalar::<f32>(), (2 * 3 * 25 * 27) as f32);
        }
    }
}
