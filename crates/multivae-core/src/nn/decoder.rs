//! Decoders: from latent values to distributions of a modality.

use burn::{
    module::{Module, Param},
    nn::Initializer,
    tensor::{Device, Tensor},
};

use super::{
    Network,
    network::{NetworkConfig, NetworkNet},
    networks::Networks,
    sequential::check_output,
};
use crate::{Result, batch::Values, distribution::Scale, modality::ModalitySpec};

/// A network with the likelihood that its output parametrises.
#[derive(Module, Debug)]
pub struct Decoder {
    net: NetworkNet,
    /// Natural logarithm of the likelihood's scale, `[1]`, where that is learned.
    log_scale: Option<Param<Tensor<1>>>,
    #[module(skip)]
    spec: ModalitySpec,
}

impl Decoder {
    /// Joins a network to a modality. A learned scale starts at 1.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Output`] if the network yields another shape than the modality's.
    pub fn new(spec: ModalitySpec, net: NetworkNet, device: &Device) -> Result<Self> {
        check_output(
            &format!("decoder of `{}`", spec.name),
            net.output_shape(),
            Some(&spec.shape),
        )?;
        let learned = matches!(spec.likelihood.scale(), Some(Scale::Learned(_)));
        let log_scale = learned.then(|| Initializer::Zeros.init([1], device));
        Ok(Self { net, log_scale, spec })
    }

    /// Builds the network of a modality from latent values of `input` shape, and joins the two.
    ///
    /// # Errors
    ///
    /// As [`NetworkConfig::init`].
    pub fn init(
        config: &NetworkConfig,
        spec: &ModalitySpec,
        input: &[usize],
        networks: &Networks,
        device: &Device,
    ) -> Result<Self> {
        let name = format!("decoder of `{}`", spec.name);
        let net = config.init(&name, input, Some(&spec.shape), networks, device)?;
        Self::new(spec.clone(), net, device)
    }

    /// The modality.
    pub fn spec(&self) -> &ModalitySpec {
        &self.spec
    }

    /// The network.
    pub fn net(&self) -> &NetworkNet {
        &self.net
    }

    /// From latent values `[samples, batch, latent]` to parameters of the likelihood
    /// `[samples, batch, features]`, in one call of the network.
    ///
    /// # Panics
    ///
    /// If a network of the user yields another number of features than the modality has.
    pub fn decode(&self, z: Tensor<3>) -> Tensor<3> {
        let [samples, batch, latent] = z.dims();
        let output = self.net.forward(z.reshape([samples * batch, latent]));
        let (found, expected) = (output.dims(), [samples * batch, self.spec.features()]);
        assert!(
            found == expected,
            "decoder of `{}`: expected an output of {expected:?}, found {found:?}",
            self.spec.name
        );
        output.reshape([samples, batch, expected[1]])
    }

    /// `log p(x | output)` of the batch's values, `[samples, batch]`, summed over features, nats.
    pub fn log_prob(&self, output: Tensor<3>, values: &Values) -> Tensor<2> {
        let log_scale = self.log_scale.as_ref().map(Param::val);
        self.spec.likelihood.log_prob(output, values, &self.spec.shape, log_scale)
    }

    /// The mean of the likelihood, `[.., features]`: what to show of an output.
    pub fn mean<const D: usize>(&self, output: Tensor<D>) -> Tensor<D> {
        self.spec.likelihood.mean(output, &self.spec.shape)
    }

    /// The scale of the likelihood, `[1]`, where it is learned.
    pub fn learned_scale(&self) -> Option<Tensor<1>> {
        self.log_scale.as_ref().map(|log_scale| log_scale.val().exp())
    }
}
