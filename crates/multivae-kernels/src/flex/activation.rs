//! Functions of single values, and their gradients.

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

use super::{dense, math, shape, suits, tensor, values, values_mut};
use crate::Activation;

/// Values that a thread works on at a time.
pub(super) const PART: usize = 1 << 15;

/// The function of every value, or `None` where it is not for this kernel.
pub(crate) fn activate<const D: usize>(x: &Tensor<D>, activation: Activation) -> Option<Tensor<D>> {
    let empty = x.shape().num_elements() == 0;
    (!empty && suits(x)).then(|| {
        let x = x.clone().into_dispatch();
        Tensor::from_dispatch(Dispatch::activate(x, activation))
    })
}

/// Replaces values by the function of them, on the calling thread.
pub(super) fn apply(values: &mut [f32], activation: Activation) {
    if activation != Activation::Identity {
        Arch::new().dispatch(Apply { values, activation });
    }
}

/// The same on all threads.
pub(super) fn apply_all(values: &mut [f32], activation: Activation) {
    values.par_chunks_mut(PART).for_each(|values| apply(values, activation));
}

struct Apply<'a> {
    values: &'a mut [f32],
    activation: Activation,
}

impl NullaryFnOnce for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        /// A loop for each function, so that none of them asks which it is.
        macro_rules! each {
            (|$x:ident| $value:expr) => {
                for value in self.values {
                    let $x = *value;
                    *value = $value;
                }
            };
        }
        match self.activation {
            Activation::Identity => {}
            // What is not a number stays so.
            Activation::Relu => each!(|x| if x < 0.0 { 0.0 } else { x }),
            Activation::LeakyRelu(slope) => each!(|x| if x < 0.0 { slope * x } else { x }),
            Activation::Sigmoid => each!(|x| math::sigmoid(x)),
            Activation::Silu => each!(|x| x * math::sigmoid(x)),
            Activation::SoftClamp(limit) => each!(|x| limit * math::tanh(x / limit)),
            Activation::Clamp(limit) => each!(|x| math::clamp(x, limit)),
            Activation::Precision(floor) => each!(|x| 1.0 / (math::exp(x) + floor)),
            Activation::NegLog => each!(|x| -math::ln(x)),
        }
    }
}

/// Replaces the gradient in what comes out by that in what goes in. `kept` is what comes out; but
/// what goes in, where the derivative does not follow from the former.
pub(super) fn to_gradient(activation: Activation, gradient: &mut [f32], kept: &[f32]) {
    let parts = gradient.par_chunks_mut(PART).zip(kept.par_chunks(PART));
    parts.for_each(|(gradient, kept)| to_gradient_here(activation, gradient, kept));
}

/// The same on the calling thread.
pub(super) fn to_gradient_here(activation: Activation, gradient: &mut [f32], kept: &[f32]) {
    Arch::new().dispatch(Gradient { gradient, kept, activation });
}

struct Gradient<'a> {
    gradient: &'a mut [f32],
    kept: &'a [f32],
    activation: Activation,
}

impl NullaryFnOnce for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { gradient, kept, activation } = self;
        macro_rules! each {
            (|$g:ident, $kept:ident| $value:expr) => {
                for (gradient, kept) in gradient.iter_mut().zip(kept) {
                    let ($g, $kept) = (*gradient, *kept);
                    *gradient = $value;
                }
            };
        }
        match activation {
            Activation::Identity => {}
            Activation::Relu => each!(|g, y| if y > 0.0 { g } else { 0.0 }),
            Activation::LeakyRelu(slope) => each!(|g, y| if y < 0.0 { slope * g } else { g }),
            Activation::Sigmoid => each!(|g, y| g * y * (1.0 - y)),
            Activation::Silu => each!(|g, x| {
                let s = math::sigmoid(x);
                g * s * (1.0 + x * (1.0 - s))
            }),
            Activation::SoftClamp(limit) => each!(|g, y| {
                let t = y / limit;
                g * (1.0 - t * t)
            }),
            Activation::Clamp(limit) => {
                each!(|g, y| if y <= -limit || y >= limit { 0.0 } else { g });
            }
            Activation::Precision(floor) => each!(|g, x| {
                let variance = math::exp(x);
                let y = 1.0 / (variance + floor);
                -g * (variance * y) * y
            }),
            Activation::NegLog => each!(|g, y| -g * math::exp(y)),
        }
    }
}

fn forward(x: &FlexTensor, activation: Activation) -> FlexTensor {
    let x = dense(x);
    let mut y = values(&x).to_vec();
    apply_all(&mut y, activation);
    tensor(y, &shape(&x))
}

/// The operation that a backend has to know.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait Activate: Backend {
    /// Of every value.
    fn activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;
}

impl Activate for Flex {
    fn activate(x: FlexTensor, activation: Activation) -> FlexTensor {
        forward(&x, activation)
    }
}

impl<C: CheckpointStrategy> Activate for Autodiff<Flex, C> {
    fn activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        let y = forward(x.primitive(), activation);
        match ActivateBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let known = activation.is_known_by_output();
                let kept = if known { y.clone() } else { dense(x.primitive()) };
                prep.finish((activation, kept), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[derive(Debug)]
struct ActivateBackward;

impl Backward<Flex, 1> for ActivateBackward {
    type State = (Activation, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [parent] = ops.parents;
        let (activation, kept) = ops.state;
        let mut gradient = gradients.consume::<Flex>(&ops.node);
        if let Some(node) = parent {
            gradient = dense(&gradient);
            to_gradient(activation, values_mut(&mut gradient), values(&kept));
            gradients.register::<Flex>(node.id, gradient);
        }
    }
}
