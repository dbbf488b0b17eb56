//! Networks as data: layers with inferred shapes, presets by name, networks of the user.
//!
//! A network is described by a config that is plain data, and built by its `init`, which infers
//! every shape, or says which layer of which network cannot take what comes to it. Values travel
//! flat, `[rows, features]`; layers that need an image or a sequence reshape.
//!
//! | role | config | module | trait |
//! |---|---|---|---|
//! | values to posteriors | [`EncoderConfig`] | [`EncoderNet`] | [`Encoder`] |
//! | features to features | [`NetworkConfig`] | [`NetworkNet`] | [`Network`] |
//! | latent values to a likelihood | [`NetworkConfig`] and the modality | [`Decoder`] | |
//! | values of all modalities to a posterior | [`JointEncoderConfig`] | [`JointEncoder`] | |
//! | a hierarchical model's ladders | [`HierarchyConfig`] | [`Hierarchy`] | |
//! | data to a base distribution and back | [`FlowConfig`] | [`FlowNet`] | |
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use multivae_core::{
//!     batch::Values,
//!     modality::ModalitySpec,
//!     nn::{Decoder, Encoder, EncoderConfig, NetworkConfig, Networks},
//! };
//!
//! let (networks, device) = (Networks::default(), Device::flex());
//! let spec = ModalitySpec::new("photo", &[3, 64, 64])?;
//! let encoder = EncoderConfig::default_for(&spec)
//!     .init("encoder of `photo`", &spec.shape, Some(&[20]), None, &networks, &device)?;
//! let config = NetworkConfig::default_for(&spec);
//! let decoder = Decoder::init(&config, &spec, &[20], &networks, &device)?;
//!
//! let photos = Tensor::zeros([2, 3 * 64 * 64], &device);
//! let posterior = encoder.encode(&Values::Dense(photos)).shared;
//! let output = decoder.decode(posterior.mean.unsqueeze_dim(0));
//! assert_eq!(output.dims(), [1, 2, 3 * 64 * 64]);
//! # Ok::<(), multivae_core::Error>(())
//! ```

mod decoder;
mod encoder;
mod flow;
pub mod hierarchy;
mod joint;
mod layer;
mod network;
mod networks;
mod observed;
mod pairs;
mod presets;
mod sequential;

pub use decoder::Decoder;
pub use encoder::{
    Branch, BranchConfig, Branches, BranchesConfig, CustomEncoderNet, EncoderConfig, EncoderNet,
    PrivateBranch, PrivateBranchConfig,
};
pub use flow::{FlowBlocks, FlowConfig, FlowNet, Transformed};
pub use hierarchy::{Hierarchy, HierarchyConfig, PosteriorConfig, PosteriorNet};
pub use joint::{JointEncoder, JointEncoderConfig};
pub use layer::{Embed, FunctionLayer, Layer, LayerConfig, Pair, Residual, Triple};
pub use network::{CustomNetworkNet, NetworkConfig, NetworkNet};
pub use networks::{CustomEncoder, CustomNetwork, DynEncoder, DynNetwork, Networks, Request};
pub use observed::ObservedRows;
pub use pairs::JoinedPairs;
pub use presets::Activation;
pub use sequential::{Sequential, SequentialConfig};

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
    /// Posterior of the modality-specific latents, `[batch, private]`, if the modality has any.
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

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::modality::ModalitySpec;

    #[test]
    fn everything_crosses_threads() {
        fn check<T: Send + Sync>() {}
        check::<EncoderConfig>();
        check::<EncoderNet>();
        check::<NetworkConfig>();
        check::<NetworkNet>();
        check::<Networks>();
        check::<Decoder>();
        check::<HierarchyConfig>();
        check::<Hierarchy>();
        check::<FlowConfig>();
        check::<FlowNet>();
        check::<CustomEncoder>();
        check::<CustomNetwork>();
    }

    #[test]
    fn networks_display_their_layers_by_number() {
        let spec = ModalitySpec::new("a", &[2, 9, 9]).expect("valid");
        let net = EncoderConfig::default_for(&spec)
            .init("a", &spec.shape, Some(&[2]), None, &Networks::default(), &Device::flex())
            .expect("any shape");
        let text = net.to_string();
        assert!(text.starts_with("Branches {"), "{text}");
        assert!(text.contains("0: Conv2d {ch_in: 2, ch_out: 32"), "{text}");
        assert!(text.contains("1: Relu\n") && !text.contains("_0"), "{text}");
    }

    #[test]
    fn paths_say_branch_head_layer_and_field() {
        let net = EncoderConfig::Mlp { hidden: vec![3], activation: Activation::Relu }
            .init("a", &[2], Some(&[1]), Some(1), &Networks::default(), &Device::flex())
            .expect("any shape");
        let paths: Vec<String> =
            crate::module::parameters(&net).iter().map(|p| p.exchange_path(|_| false)).collect();
        assert_eq!(
            paths,
            [
                "shared.trunk.layers.0.weight",
                "shared.trunk.layers.0.bias",
                "shared.mean.layers.0.weight",
                "shared.mean.layers.0.bias",
                "shared.log_var.layers.0.weight",
                "shared.log_var.layers.0.bias",
                "private.mean.layers.0.weight",
                "private.mean.layers.0.bias",
                "private.log_var.layers.0.weight",
                "private.log_var.layers.0.bias",
            ]
        );
    }
}
