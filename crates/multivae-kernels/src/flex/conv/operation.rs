//! The convolutions as operations of the Flex backend, with and without automatic differentiation.

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
    tensor::{
        Shape, Tensor,
        ops::{ConvOptions, ConvTransposeOptions},
    },
};
use burn_flex::{FlexTensor, Layout};
use rayon::prelude::*;

use super::{Convolution, Geometry, Images, sum_channels};
use crate::{
    Activation, Order, Precision,
    flex::{
        self, activation, dense, fill, linear::column_sums, stored, suits, transpose::transpose,
        values, values_mut,
    },
};

/// A tensor with its place in the graph.
type Tracked = FloatTensor<Autodiff<Flex>>;

/// A convolution, or the transposed one of the same geometry, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Operation {
    convolution: Convolution,
    transposed: bool,
    activation: Activation,
    /// Of the output.
    order: Order,
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
    order: Order,
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
    let precision = Precision::current();
    let convolution = Convolution { batch, features, geometry, precision };
    call(x, weight, bias, Operation { convolution, transposed: false, activation, order })
}

/// The transposed convolution, or `None` where it is not for these kernels.
pub(crate) fn conv_transpose2d(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
    options: &ConvTransposeOptions<2>,
    activation: Activation,
    order: Order,
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
    let precision = Precision::current();
    let convolution = Convolution { batch, features, geometry, precision };
    call(x, weight, bias, Operation { convolution, transposed: true, activation, order })
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
        let Convolution { batch, features, geometry, .. } = self.convolution;
        let (channels, [height, width]) =
            if behind { (features, geometry.output) } else { (geometry.channels, geometry.input) };
        [batch, channels, height, width]
    }

    /// What comes out of the convolution and, where it has to be kept for its derivative, what
    /// goes into the activation.
    fn forward(
        &self,
        x: &FlexTensor,
        weight: &FlexTensor,
        bias: Option<&FlexTensor>,
    ) -> (FlexTensor, Option<FlexTensor>) {
        let (x, weight, bias) = (images(x.clone()), dense(weight), bias.map(dense));
        let (x, weight) = (read(&x), values(&weight));
        let bias = bias.as_ref().map(values);
        let fused = self.activation.is_known_by_output();
        let first = if fused { self.activation } else { Activation::Identity };
        let y = if self.transposed {
            self.convolution.adjoint(x, weight, bias, first, self.order)
        } else {
            self.convolution.forward(x, weight, bias, first, self.order)
        };
        if fused {
            return (tensor(y, self.output(), self.order), None);
        }
        let mut after = y.clone();
        activation::apply_all(&mut after, self.activation);
        let [after, y] = [after, y].map(|y| tensor(y, self.output(), self.order));
        (after, Some(y))
    }

    /// Gradient in the input, in the order of the latter, from that in the output.
    fn input_gradient(&self, weight: &FlexTensor, y: Images<'_>, order: Order) -> FlexTensor {
        let (weight, none) = (dense(weight), Activation::Identity);
        let x = if self.transposed {
            self.convolution.forward(y, values(&weight), None, none, order)
        } else {
            self.convolution.adjoint(y, values(&weight), None, none, order)
        };
        tensor(x, self.shape(self.transposed), order)
    }

    /// Gradient in the weight from the input and the gradient in the output.
    fn weight_gradient(&self, x: &FlexTensor, y: Images<'_>) -> FlexTensor {
        let Convolution { features, geometry, .. } = self.convolution;
        let x = images(x.clone());
        let (before, behind) = if self.transposed { (y, read(&x)) } else { (read(&x), y) };
        let weight = self.convolution.weight_gradient(before, behind);
        let [height, width] = geometry.kernel;
        tensor(weight, [features, geometry.channels, height, width], Order::Planes)
    }

    fn bias_gradient(&self, y: Images<'_>) -> FlexTensor {
        let [_, channels, height, width] = self.output();
        let sums = match y.order {
            Order::Planes => sum_channels(y.values, channels, height * width),
            Order::Pixels => column_sums(y.values, channels),
        };
        flex::tensor(sums, &[channels])
    }
}

/// Strides of images whose channels lie last.
fn pixels([_, channels, height, width]: [usize; 4]) -> [usize; 4] {
    [channels * height * width, 1, width * channels, channels]
}

/// The order of images, where they have one and lie without gaps.
fn order(images: &FlexTensor) -> Option<Order> {
    let layout = images.layout();
    let &[batch, channels, height, width] = &layout.shape()[..] else { return None };
    let whole = images.storage::<f32>().len() == layout.num_elements();
    let strides = pixels([batch, channels, height, width]);
    let last = layout.strides().iter().zip(strides).all(|(&a, b)| usize::try_from(a) == Ok(b));
    if images.is_contiguous() {
        Some(Order::Planes)
    } else if whole && last {
        Some(Order::Pixels)
    } else {
        None
    }
}

/// The images in one of the orders, without gaps.
fn images(tensor: FlexTensor) -> FlexTensor {
    if order(&tensor).is_some() { tensor } else { tensor.to_contiguous() }
}

/// Values of what [`images`] has yielded.
fn read(images: &FlexTensor) -> Images<'_> {
    match order(images).expect("they are in one of the orders") {
        Order::Planes => Images { values: values(images), order: Order::Planes },
        Order::Pixels => Images { values: images.storage(), order: Order::Pixels },
    }
}

fn tensor(values: Vec<f32>, shape: [usize; 4], order: Order) -> FlexTensor {
    let tensor = flex::tensor(values, &shape);
    match order {
        Order::Planes => tensor,
        Order::Pixels => {
            let strides = pixels(shape).map(usize::cast_signed).to_vec();
            tensor.with_layout(Layout::new(Shape::from(shape), strides, 0))
        }
    }
}

/// The images in another order.
#[allow(unsafe_code)]
fn reorder(tensor: FlexTensor, to: Order) -> FlexTensor {
    let from = images(tensor);
    let Images { values, order } = read(&from);
    if order == to {
        return from;
    }
    let &[batch, channels, height, width] = &from.layout().shape()[..] else {
        panic!("images have four axes")
    };
    let pixels = height * width;
    let [rows, columns] = if to == Order::Pixels { [channels, pixels] } else { [pixels, channels] };
    let image = channels * pixels;
    let write = |out: &mut [MaybeUninit<f32>]| {
        let images = out.par_chunks_exact_mut(image).zip(values.par_chunks_exact(image));
        images.for_each(|(out, image)| {
            transpose(image, [rows, columns], columns, out, rows);
        });
    };
    // SAFETY: there are whole images, each of which is transposed.
    let out = unsafe { fill(values.len(), write) };
    self::tensor(out, [batch, channels, height, width], to)
}

impl Convolve for Flex {
    fn convolve(x: FlexTensor, weight: FlexTensor, operation: Operation) -> FlexTensor {
        operation.forward(&x, &weight, None).0
    }

    fn convolve_with_bias(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        operation: Operation,
    ) -> FlexTensor {
        operation.forward(&x, &weight, Some(&bias)).0
    }
}

impl<C: CheckpointStrategy> Convolve for Autodiff<Flex, C> {
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        operation: Operation,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node()];
        let (y, before) = operation.forward(x.primitive(), weight.primitive(), None);
        match WithoutBias.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state =
                    State::of(operation, &x, &weight, before.as_ref().unwrap_or(&y), |tensor| {
                        prep.checkpoint(tensor)
                    });
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
        let (y, before) =
            operation.forward(x.primitive(), weight.primitive(), Some(bias.primitive()));
        match WithBias.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state =
                    State::of(operation, &x, &weight, before.as_ref().unwrap_or(&y), |tensor| {
                        prep.checkpoint(tensor)
                    });
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
    /// Of the input.
    order: Order,
    /// What tells the derivative of what follows the convolution, if something does.
    kept: Option<FlexTensor>,
}

impl State {
    /// The input is needed for the gradient in the weight only, and the other way round.
    fn of(
        operation: Operation,
        x: &Tracked,
        weight: &Tracked,
        kept: &FlexTensor,
        mut store: impl FnMut(&Tracked) -> NodeId,
    ) -> Self {
        Self {
            operation,
            order: order(x.primitive()).unwrap_or(Order::Planes),
            x: weight.is_tracked().then(|| store(x)),
            weight: x.is_tracked().then(|| store(weight)),
            kept: (operation.activation != Activation::Identity).then(|| kept.clone()),
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
        register([x, weight, bias], gradient, ops.state, gradients, checkpointer);
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
        register([x, weight, None], gradient, ops.state, gradients, checkpointer);
    }
}

/// Computes the gradients that are asked for.
fn register(
    [x_node, weight_node, bias_node]: [Option<NodeId>; 3],
    gradient: FlexTensor,
    State { operation, x, weight, order, kept }: State,
    gradients: &mut Gradients,
    checkpointer: &mut Checkpointer,
) {
    let mut gradient = reorder(gradient, operation.order);
    if let Some(kept) = kept {
        let kept = read(&kept).values;
        activation::to_gradient(operation.activation, values_mut(&mut gradient), kept);
    }
    // An image of one channel or pixel is in both orders.
    let y = Images { order: operation.order, ..read(&gradient) };
    let [x, weight] = [x, weight].map(|node| stored(checkpointer, node));
    if let Some((node, weight)) = x_node.zip(weight) {
        gradients.register::<Flex>(node, operation.input_gradient(&weight, y, order));
    }
    if let Some((node, x)) = weight_node.zip(x) {
        gradients.register::<Flex>(node, operation.weight_gradient(&x, y));
    }
    if let Some(node) = bias_node {
        gradients.register::<Flex>(node, operation.bias_gradient(y));
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
            let y = conv2d(&x, &weight, None, &options, Activation::Identity, Order::Pixels)
                .expect("they are for this");
            assert_eq!(y.sum().into_scalar::<f32>(), (2 * 3 * 9 * 27) as f32);
            let options = ConvTransposeOptions::new([1, 1], [0, 0], [0, 0], [1, 1], 1);
            let y =
                conv_transpose2d(&x, &weight, None, &options, Activation::Identity, Order::Pixels)
                    .expect("they are for this");
            assert_eq!(y.sum().into_scalar::<f32>(), (2 * 3 * 25 * 27) as f32);
        }
    }
}
