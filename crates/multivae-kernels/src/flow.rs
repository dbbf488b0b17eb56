//! Products of normal densities that are seen through flows.

#[cfg(feature = "flex")]
use std::sync::Arc;

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex;

/// A normal density seen through a flow, to some power: `(N(f(z); mean, scale²) |∂f/∂z|)^power`.
///
/// The flow is one of masked autoregressive blocks, each followed by a reversal of its features,
/// or none at all.
#[derive(Clone, Debug)]
pub struct FlowFactor {
    /// The layers of each block, in order: weight `[inputs, outputs]` and bias `[outputs]`, with
    /// ReLU between them. What a mask hides is 0 in the weight; it costs nothing where units are
    /// sorted by what they see. The last outputs are a shift and a log-scale of each feature,
    /// `[2 * features]`, and the block is `(z - shift) exp(-log_scale)`.
    pub blocks: Vec<Vec<(Tensor<2>, Tensor<1>)>>,
    /// Log-scales of blocks are held within ± this.
    pub limit: f32,
    /// Means, `[batch, features]`.
    pub mean: Tensor<2>,
    /// Deviations, `[batch, features]`, above 0.
    pub scale: Tensor<2>,
    /// Of each row, `[batch]`; a row of power 0 does not look at the density at all.
    pub power: Vec<f32>,
}

/// A product of [`FlowFactor`]s that is evaluated many times, as Monte Carlo does, with weights
/// that are constants: they are laid out once.
///
/// The kernel is for `f32` on the Flex backend. Elsewhere there is none, and the caller composes
/// the density of what it has.
#[derive(Clone, Debug)]
pub struct FlowProduct {
    #[cfg(feature = "flex")]
    product: Arc<flex::flow::Product>,
}

impl FlowProduct {
    /// Lays weights out, or says `None` where the kernel is not for these tensors: on another
    /// backend, in automatic differentiation, of another type, or without entries.
    ///
    /// # Panics
    ///
    /// If shapes do not fit each other.
    #[cfg_attr(not(feature = "flex"), expect(unused_variables, reason = "there is no kernel"))]
    pub fn new(factors: &[FlowFactor]) -> Option<Self> {
        #[cfg(feature = "flex")]
        return flex::flow::Product::new(factors)
            .map(|product| Self { product: Arc::new(product) });
        #[cfg(not(feature = "flex"))]
        None
    }

    /// Logarithm of the product, `[samples * batch]`, nats, of values
    /// `[samples * batch, features]` with the number of the sample slowest, and its gradient in
    /// them.
    ///
    /// # Panics
    ///
    /// If values are not rows of so many features, whole batches of them, `f32` on the plain Flex
    /// backend.
    #[cfg_attr(not(feature = "flex"), expect(unused_variables, reason = "there is no kernel"))]
    pub fn log_density(&self, values: Tensor<2>) -> (Tensor<1>, Tensor<2>) {
        #[cfg(feature = "flex")]
        return self.product.log_density(values);
        #[cfg(not(feature = "flex"))]
        unreachable!("it cannot be made")
    }
}
