//! Decoders: from latent values to distributions of a modality.

mod module;

use burn::{
    module::Param,
    tensor::{Device, Tensor},
};

use super::{
    Network,
    network::{NetworkConfig, NetworkNet},
    networks::Networks,
    sequential::check_output,
};
use crate::{
    Result, batch::Target, distribution::Output, modality::ModalitySpec, module::Named,
    noise::Noise,
};

/// A network with the likelihood that its output parametrises, and what that learns.
///
/// Its parameters are those of the network under `net`, and the tensors of the likelihood under
/// their own names, such as `log_scale`.
#[derive(Clone, Debug)]
pub struct Decoder {
    net: NetworkNet,
    /// What the likelihood learns, in its order.
    learned: Named<Param<Tensor<1>>>,
    spec: ModalitySpec,
}

impl Decoder {
    /// Joins a network to a modality, whose likelihood says what shape the network must yield.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Output`] if the network yields another shape.
    ///
    /// # Panics
    ///
    /// If the likelihood is one of the user's that was not looked up; see [`Networks::resolve`].
    pub fn new(spec: ModalitySpec, net: NetworkNet, device: &Device) -> Result<Self> {
        let family = spec.likelihood.family();
        check_output(
            &format!("decoder of `{}`", spec.name),
            net.output_shape(),
            Some(&family.output_shape(&spec.shape)),
        )?;
        let learned = family.learned(&spec.shape).into_iter().map(|learned| {
            let initial = Tensor::from_floats(learned.initial.as_slice(), device);
            (learned.name, Param::from_tensor(initial))
        });
        Ok(Self { net, learned: learned.collect(), spec })
    }

    /// Builds the network of a modality from latent values of `input` shape, and joins the two.
    ///
    /// # Errors
    ///
    /// As [`NetworkConfig::init`] and [`Networks::resolve`].
    pub fn init(
        config: &NetworkConfig,
        spec: &ModalitySpec,
        input: &[usize],
        networks: &Networks,
        device: &Device,
    ) -> Result<Self> {
        let spec = networks.resolve(spec.clone())?;
        let name = format!("decoder of `{}`", spec.name);
        let output = spec.likelihood.family().output_shape(&spec.shape);
        let net = config.init(&name, input, Some(&output), networks, device)?;
        Self::new(spec, net, device)
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
    /// `[samples, batch, parameters * features]`, in one call of the network: first all features of
    /// the first parameter, then those of the second.
    ///
    /// # Panics
    ///
    /// If a network of the user yields another number of features than the likelihood asks for.
    pub fn decode(&self, z: Tensor<3>) -> Tensor<3> {
        let [samples, batch, latent] = z.dims();
        let output = self.net.forward(z.reshape([samples * batch, latent]));
        let width = self.net.output_shape().iter().product();
        let (found, expected) = (output.dims(), [samples * batch, width]);
        assert!(
            found == expected,
            "decoder of `{}`: expected an output of {expected:?}, found {found:?}",
            self.spec.name
        );
        output.reshape([samples, batch, width])
    }

    /// `log p(x | output)` of what the batch observes, `[samples, batch]`, summed over observed
    /// features, nats.
    pub fn log_prob(&self, output: Tensor<3>, target: &Target) -> Tensor<2> {
        let learned = self.learned_values();
        let output = Output::new(output, &self.spec.shape, &learned);
        self.spec.likelihood.family().log_prob(&output, target)
    }

    /// The mean of the likelihood, `[samples, batch, features]`: what to show of an output. The
    /// offset, `[batch]`, is added to the logarithm of means of counts.
    pub fn mean(&self, output: Tensor<3>, offset: Option<&Tensor<1>>) -> Tensor<3> {
        let learned = self.learned_values();
        let output = Output::new(output, &self.spec.shape, &learned);
        self.spec.likelihood.family().mean(&output, offset)
    }

    /// One value for each output, `[samples, batch, features]`; see [`mean`](Self::mean).
    pub fn sample(
        &self,
        output: Tensor<3>,
        offset: Option<&Tensor<1>>,
        noise: &mut Noise,
    ) -> Tensor<3> {
        let learned = self.learned_values();
        let output = Output::new(output, &self.spec.shape, &learned);
        self.spec.likelihood.family().sample(&output, offset, noise)
    }

    /// A tensor that the likelihood learns, by its name: `log_scale`, `[1]` or `[features]`, of a
    /// normal likelihood whose scale is learned.
    pub fn learned(&self, name: &str) -> Option<Tensor<1>> {
        self.learned.get(name).map(Param::val)
    }

    fn learned_values(&self) -> Vec<Tensor<1>> {
        self.learned.values().map(Param::val).collect()
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;

    use super::*;
    use crate::{
        Error,
        batch::Values,
        distribution::{Likelihood, Scale},
        module::{init_parameters, parameters, tests::without_gradient},
    };

    fn decoder(likelihood: Likelihood, device: &Device) -> Decoder {
        let spec = ModalitySpec::new("a", &[2, 3]).expect("valid").with_likelihood(likelihood);
        let config = NetworkConfig::default_for(&spec);
        Decoder::init(&config, &spec, &[4], &Networks::default(), device).expect("any shape")
    }

    #[test]
    fn samples_are_folded_into_rows_and_back() {
        let device = Device::flex();
        let decoder = init_parameters(decoder(Likelihood::default(), &device));
        let z = Tensor::<1>::from_floats([0.1, -0.4, 0.9, 1.3, 0.0, 0.7, -1.0, 0.2], &device);
        let output = decoder.decode(z.clone().reshape([2, 1, 4]));
        assert_eq!(output.dims(), [2, 1, 6]);
        let second = decoder.decode(z.narrow(0, 4, 4).reshape([1, 1, 4]));
        assert!(output.narrow(0, 1, 1).all_close(second, None, Some(1e-6)));
    }

    #[test]
    fn a_learned_scale_is_a_parameter_that_starts_at_one_and_learns() {
        let device = Device::flex().autodiff();
        let learned = init_parameters(decoder(Likelihood::normal(Scale::Learned), &device));
        assert_eq!(parameters(&learned).last().map(|p| p.path.as_str()), Some("log_scale"));
        let scale = learned.learned("log_scale").expect("it is learned");
        assert_eq!(scale.into_scalar::<f32>(), 0.0);
        let output = learned.decode(Tensor::ones([3, 2, 4], &device));
        let ones = Target::from(Values::Dense(Tensor::ones([2, 6], &device)));
        let log_prob = learned.log_prob(output.clone(), &ones);
        assert_eq!(log_prob.dims(), [3, 2]);
        let fixed = decoder(Likelihood::default(), &device);
        let same = fixed.log_prob(output, &ones);
        assert!(log_prob.clone().all_close(same, None, Some(1e-5)));
        assert!(without_gradient(&learned, &log_prob.sum().backward()).is_empty());
        assert!(fixed.learned("log_scale").is_none());
    }

    #[test]
    fn the_mean_is_that_of_the_likelihood() {
        let device = Device::flex();
        let decoder = decoder(Likelihood::Categorical {}, &device);
        let mean = decoder.mean(Tensor::ones([1, 2, 6], &device), None);
        assert!(mean.all_close(Tensor::full([1, 2, 6], 1.0 / 3.0, &device), None, Some(1e-6)));
    }

    #[test]
    fn a_likelihood_says_how_much_a_network_yields() {
        let device = Device::flex();
        let decoded = decoder(Likelihood::normal(Scale::Decoded), &device);
        let output = decoded.decode(Tensor::ones([1, 2, 4], &device));
        assert_eq!(output.dims(), [1, 2, 12]);
        assert_eq!(decoded.mean(output.clone(), None).dims(), [1, 2, 6]);
        assert_eq!(decoded.sample(output, None, &mut Noise::zero()).dims(), [1, 2, 6]);
    }

    #[test]
    fn a_scale_per_feature_learns_and_comes_back_from_a_record() {
        let device = Device::flex().autodiff();
        let build =
            || init_parameters(decoder(Likelihood::laplace(Scale::LearnedPerFeature), &device));
        let (saved, fresh) = (build(), build());
        let shapes: Vec<_> = parameters(&saved).into_iter().map(|p| (p.path, p.shape)).collect();
        assert!(shapes.contains(&("log_scale".to_owned(), vec![6])), "{shapes:?}");
        let ones = Target::from(Values::Dense(Tensor::ones([2, 6], &device)));
        let log_prob = saved.log_prob(saved.decode(Tensor::ones([3, 2, 4], &device)), &ones);
        assert!(without_gradient(&saved, &log_prob.sum().backward()).is_empty());
        assert_ne!(parameters(&fresh), parameters(&saved));
        assert_eq!(parameters(&fresh.load_record(saved.clone().into_record())), parameters(&saved));
    }

    #[test]
    fn a_likelihood_that_was_not_given_is_refused_with_those_that_were() {
        let device = Device::flex();
        let custom = crate::distribution::likelihood::Custom::named("gumbel");
        let spec = ModalitySpec::new("a", &[2]).expect("valid").with_likelihood(custom.into());
        let error = Decoder::init(
            &NetworkConfig::mlp(),
            &spec,
            &[4],
            &Networks::default()
                .with_likelihood("weibull", crate::distribution::likelihood::Poisson),
            &device,
        );
        let error = error.expect_err("there is no `gumbel`").to_string();
        assert_eq!(error, "unknown custom likelihood `gumbel`; there are weibull");
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
