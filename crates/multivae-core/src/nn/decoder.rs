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
use crate::{Result, batch::Target, distribution::Scale, modality::ModalitySpec};

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

    /// `log p(x | output)` of what the batch observes, `[samples, batch]`, summed over observed
    /// features, nats.
    pub fn log_prob(&self, output: Tensor<3>, target: &Target) -> Tensor<2> {
        let log_scale = self.log_scale.as_ref().map(Param::val);
        self.spec.likelihood.log_prob(output, target, &self.spec.shape, log_scale)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Error,
        batch::Values,
        distribution::{LearnedScale, Likelihood},
        module::{parameters, settle, tests::without_gradient},
    };

    fn decoder(likelihood: Likelihood, device: &Device) -> Decoder {
        let spec = ModalitySpec::new("a", &[2, 3]).expect("valid").with_likelihood(likelihood);
        let config = NetworkConfig::default_for(&spec);
        Decoder::init(&config, &spec, &[4], &Networks::default(), device).expect("any shape")
    }

    #[test]
    fn samples_are_folded_into_rows_and_back() {
        let device = Device::flex();
        let decoder = settle(decoder(Likelihood::default(), &device));
        let z = Tensor::<1>::from_floats([0.1, -0.4, 0.9, 1.3, 0.0, 0.7, -1.0, 0.2], &device);
        let output = decoder.decode(z.clone().reshape([2, 1, 4]));
        assert_eq!(output.dims(), [2, 1, 6]);
        let second = decoder.decode(z.narrow(0, 4, 4).reshape([1, 1, 4]));
        assert!(output.narrow(0, 1, 1).all_close(second, None, Some(1e-6)));
    }

    #[test]
    fn a_learned_scale_is_a_parameter_that_starts_at_one_and_learns() {
        let device = Device::flex().autodiff();
        let likelihood = Likelihood::Normal {
            scale: crate::distribution::Scale::Learned(LearnedScale::Learned),
        };
        let learned = settle(decoder(likelihood, &device));
        assert_eq!(parameters(&learned).last().map(|p| p.path.as_str()), Some("log_scale"));
        let scale = learned.learned_scale().expect("it is learned");
        assert_eq!(scale.into_scalar::<f32>(), 1.0);
        let output = learned.decode(Tensor::ones([3, 2, 4], &device));
        let ones = Target::from(Values::Dense(Tensor::ones([2, 6], &device)));
        let log_prob = learned.log_prob(output.clone(), &ones);
        assert_eq!(log_prob.dims(), [3, 2]);
        let fixed = decoder(Likelihood::default(), &device);
        let same = fixed.log_prob(output, &ones);
        assert!(log_prob.clone().all_close(same, None, Some(1e-5)));
        assert!(without_gradient(&learned, &log_prob.sum().backward()).is_empty());
        assert!(fixed.learned_scale().is_none());
    }

    #[test]
    fn the_mean_is_that_of_the_likelihood() {
        let device = Device::flex();
        let decoder = decoder(Likelihood::Categorical {}, &device);
        let mean = decoder.mean(Tensor::<3>::ones([1, 2, 6], &device));
        assert!(mean.all_close(Tensor::full([1, 2, 6], 1.0 / 3.0, &device), None, Some(1e-6)));
    }

    #[test]
    fn a_network_of_another_shape_is_refused() {
        let device = Device::flex();
        let spec = ModalitySpec::new("a", &[2, 3]).expect("valid");
        let net = NetworkConfig::mlp()
            .init("net", &[4], Some(&[5]), &Networks::default(), &device)
            .expect("any shape");
        let error = Decoder::new(spec, net, &device).expect_err("5 is not 6");
        assert!(matches!(error, Error::Output { .. }), "{error}");
    }
}
