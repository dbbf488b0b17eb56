//! Networks as data: layers with inferred shapes, presets by name, networks of the user.

use burn::{
    module::{Module, ModuleDisplay},
    tensor::Tensor,
};

use crate::{batch::Values, distribution::Normal};

/// What an encoder says of a modality.
#[derive(Clone, Debug)]
pub struct Encoding {
    /// Posterior of the space that all modalities share, `[batch, latent]`.
    pub shared: Normal<2>,
    /// Posterior of the modality's private space, `[batch, private]`, if it has one.
    pub private: Option<Normal<2>>,
}

/// A network from values to a distribution.
pub trait Encoder: Module + ModuleDisplay + Sync + 'static {
    /// The posterior of each row.
    fn encode(&self, values: &Values) -> Encoding;
}

/// A network from features to features.
pub trait Network: Module + ModuleDisplay + Sync + 'static {
    /// From `[rows, inputs]` to `[rows, outputs]`.
    fn forward(&self, input: Tensor<2>) -> Tensor<2>;
}
