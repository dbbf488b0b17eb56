//! Networks of the user: builders by name, and the erased modules they yield; likelihoods too.

use std::{collections::BTreeMap, fmt, sync::Arc};

use burn::tensor::{Device, Tensor};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Encoder, Encoding, Network};
use crate::{
    Error, Result,
    batch::Values,
    distribution::{Likelihood, LikelihoodFamily, likelihood::Custom as CustomLikelihood},
    modality::ModalitySpec,
    module::{Custom, DynModule, Slot},
};

/// What the builder of a network is told.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Which network of the model it will be, for messages.
    pub network: &'a str,
    /// Shape of what goes in, without the batch axis.
    pub input: &'a [usize],
    /// Shape of what must come out, of an encoder that of the latent space; `None` where the
    /// network decides.
    pub output: Option<&'a [usize]>,
    /// Of an encoder, features of the modality-specific latents, if the modality has any.
    pub private: Option<usize>,
    /// The settings that the config has for the network, null if none.
    pub settings: &'a Value,
    /// Where parameters lie.
    pub device: &'a Device,
}

impl Request<'_> {
    /// Number of features that go in.
    pub fn inputs(&self) -> usize {
        self.input.iter().product()
    }

    /// Number of features that must come out.
    ///
    /// # Panics
    ///
    /// If the network decides it.
    pub fn outputs(&self) -> usize {
        self.output.expect("the role asks for an output shape").iter().product()
    }

    /// The settings as a type of the user's.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if they are not of that type.
    pub fn settings_as<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(self.settings).map_err(|error| Error::Config {
            field: format!("{}.settings", self.network),
            expected: error.to_string(),
            found: self.settings.to_string(),
        })
    }
}

type Build<T> = Arc<dyn Fn(&Request<'_>) -> Result<T> + Send + Sync>;

/// How to build the networks of the user, and their likelihoods, by the names that configs call
/// them.
///
/// It holds builders and not networks: a clone of a Burn module keeps the identities of its
/// parameters, so that two modalities served by clones of one network would share gradients.
///
/// ```
/// use burn::{module::Module, nn::{Linear, LinearConfig}, tensor::Tensor};
/// use multivae_core::{
///     batch::Values,
///     distribution::Normal,
///     nn::{Encoder, Encoding, Networks},
/// };
///
/// #[derive(Module, Debug)]
/// struct Pose {
///     mean: Linear,
///     log_var: Linear,
/// }
///
/// impl Encoder for Pose {
///     fn encode(&self, values: &Values) -> Encoding {
///         let x = values.dense().expect("poses are dense").clone();
///         let shared = Normal::new(self.mean.forward(x.clone()), self.log_var.forward(x));
///         Encoding { shared, private: None }
///     }
/// }
///
/// let networks = Networks::default().with_encoder("pose", |request| {
///     let head = || LinearConfig::new(request.inputs(), request.outputs()).init(request.device);
///     Pose { mean: head(), log_var: head() }
/// });
/// ```
#[derive(Clone, Default)]
pub struct Networks {
    encoders: BTreeMap<String, Build<CustomEncoder>>,
    networks: BTreeMap<String, Build<CustomNetwork>>,
    likelihoods: BTreeMap<String, Arc<dyn LikelihoodFamily>>,
}

impl Networks {
    /// Adds an encoder, or replaces the one of that name.
    pub fn with_encoder<E: Encoder>(
        self,
        name: &str,
        build: impl Fn(&Request<'_>) -> E + Send + Sync + 'static,
    ) -> Self {
        self.try_with_encoder(name, move |request| Ok(build(request)))
    }

    /// Adds an encoder whose settings may be wrong.
    pub fn try_with_encoder<E: Encoder>(
        mut self,
        name: &str,
        build: impl Fn(&Request<'_>) -> Result<E> + Send + Sync + 'static,
    ) -> Self {
        let build = move |request: &Request<'_>| build(request).map(CustomEncoder::new);
        self.encoders.insert(name.to_owned(), Arc::new(build));
        self
    }

    /// Adds a network that is no encoder, such as a decoder, or replaces the one of that name.
    pub fn with_network<N: Network>(
        self,
        name: &str,
        build: impl Fn(&Request<'_>) -> N + Send + Sync + 'static,
    ) -> Self {
        self.try_with_network(name, move |request| Ok(build(request)))
    }

    /// Adds a network whose settings may be wrong.
    pub fn try_with_network<N: Network>(
        mut self,
        name: &str,
        build: impl Fn(&Request<'_>) -> Result<N> + Send + Sync + 'static,
    ) -> Self {
        let build = move |request: &Request<'_>| build(request).map(CustomNetwork::new);
        self.networks.insert(name.to_owned(), Arc::new(build));
        self
    }

    /// Adds a likelihood, or replaces the one of that name. It holds no parameters of its own: what
    /// it learns is in the decoders that it is asked for; see [`LikelihoodFamily::learned`].
    pub fn with_likelihood(mut self, name: &str, family: impl LikelihoodFamily + 'static) -> Self {
        self.likelihoods.insert(name.to_owned(), Arc::new(family));
        self
    }

    /// The modality with its likelihood looked up, if that is one of the user's.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownLikelihood`], with the names there are, or as [`ModalitySpec::check`].
    pub fn resolve(&self, mut spec: ModalitySpec) -> Result<ModalitySpec> {
        if let Likelihood::Custom(CustomLikelihood { name, .. }) = &spec.likelihood {
            let family = self.likelihoods.get(name).ok_or_else(|| Error::UnknownLikelihood {
                name: name.clone(),
                known: match self.likelihoods.is_empty() {
                    true => "none".into(),
                    false => self.likelihoods.keys().cloned().collect::<Vec<_>>().join(", "),
                },
            })?;
            spec.likelihood = CustomLikelihood::found(name, family.clone()).into();
            spec.check()?;
        }
        Ok(spec)
    }

    pub(crate) fn encoder(&self, name: &str, request: &Request<'_>) -> Result<CustomEncoder> {
        find(&self.encoders, name)?(request)
    }

    pub(crate) fn network(&self, name: &str, request: &Request<'_>) -> Result<CustomNetwork> {
        find(&self.networks, name)?(request)
    }
}

fn find<'a, T>(builders: &'a BTreeMap<String, Build<T>>, name: &str) -> Result<&'a Build<T>> {
    builders.get(name).ok_or_else(|| Error::MissingCustom(name.to_owned()))
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Networks")
            .field("encoders", &self.encoders.keys())
            .field("networks", &self.networks.keys())
            .field("likelihoods", &self.likelihoods.keys())
            .finish()
    }
}

/// An encoder of unknown type.
pub type CustomEncoder = Custom<dyn DynEncoder>;

/// A network of unknown type.
pub type CustomNetwork = Custom<dyn DynNetwork>;

/// The face of an [`Encoder`] that can be a trait object; implemented for every one.
pub trait DynEncoder: DynModule {
    /// See [`Encoder::encode`].
    fn dyn_encode(&self, values: &Values) -> Encoding;
    /// See [`Clone::clone`].
    fn dyn_clone(&self) -> Box<dyn DynEncoder>;
}

/// The face of a [`Network`] that can be a trait object; implemented for every one.
pub trait DynNetwork: DynModule {
    /// See [`Network::forward`].
    fn dyn_forward(&self, input: Tensor<2>) -> Tensor<2>;
    /// See [`Clone::clone`].
    fn dyn_clone(&self) -> Box<dyn DynNetwork>;
}

impl<T: Encoder> DynEncoder for Slot<T> {
    fn dyn_encode(&self, values: &Values) -> Encoding {
        self.get().encode(values)
    }

    fn dyn_clone(&self) -> Box<dyn DynEncoder> {
        Box::new(self.clone())
    }
}

impl<T: Network> DynNetwork for Slot<T> {
    fn dyn_forward(&self, input: Tensor<2>) -> Tensor<2> {
        self.get().forward(input)
    }

    fn dyn_clone(&self) -> Box<dyn DynNetwork> {
        Box::new(self.clone())
    }
}

impl CustomEncoder {
    /// Hides the type of an encoder.
    pub fn new(encoder: impl Encoder) -> Self {
        Self::from_box(Box::new(Slot::new(encoder)))
    }
}

impl CustomNetwork {
    /// Hides the type of a network.
    pub fn new(network: impl Network) -> Self {
        Self::from_box(Box::new(Slot::new(network)))
    }
}

impl Clone for CustomEncoder {
    fn clone(&self) -> Self {
        Self::from_box(self.role().dyn_clone())
    }
}

impl Clone for CustomNetwork {
    fn clone(&self) -> Self {
        Self::from_box(self.role().dyn_clone())
    }
}

impl Encoder for CustomEncoder {
    fn encode(&self, values: &Values) -> Encoding {
        self.role().dyn_encode(values)
    }
}

impl Network for CustomNetwork {
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        self.role().dyn_forward(input)
    }
}

#[cfg(test)]
mod tests {
    use burn::{
        module::Module,
        nn::{Linear, LinearConfig},
    };
    use serde::Deserialize;

    use super::*;
    use crate::{
        distribution::Normal,
        module::{init_parameters, parameters},
        nn::{EncoderConfig, NetworkConfig},
    };

    #[derive(Module, Debug)]
    struct Pose {
        head: Linear,
    }

    impl Encoder for Pose {
        fn encode(&self, values: &Values) -> Encoding {
            let x = values.dense().expect("poses are dense").clone();
            let mean = self.head.forward(x);
            Encoding { shared: Normal::new(mean.clone(), mean), private: None }
        }
    }

    impl Network for Pose {
        fn forward(&self, input: Tensor<2>) -> Tensor<2> {
            self.head.forward(input)
        }
    }

    #[derive(Deserialize)]
    struct Settings {
        bias: bool,
    }

    fn networks() -> Networks {
        Networks::default()
            .try_with_encoder("pose", |request| {
                let Settings { bias } = request.settings_as()?;
                let head = LinearConfig::new(request.inputs(), request.outputs()).with_bias(bias);
                Ok(Pose { head: head.init(request.device) })
            })
            .with_network("pose", |request| Pose {
                head: LinearConfig::new(request.inputs(), 7).init(request.device),
            })
    }

    fn custom(settings: &str) -> EncoderConfig {
        let text = format!(r#"{{"kind":"custom","name":"pose","settings":{settings}}}"#);
        serde_json::from_str(&text).expect("valid")
    }

    fn encoder(config: &EncoderConfig, networks: &Networks) -> Result<crate::nn::EncoderNet> {
        config.init("encoder of `pose`", &[2, 3], Some(&[4]), None, networks, &Device::flex())
    }

    #[test]
    fn a_network_of_the_user_is_built_to_shape_and_reads_its_settings() {
        let with = encoder(&custom(r#"{"bias":true}"#), &networks()).expect("registered");
        let without = encoder(&custom(r#"{"bias":false}"#), &networks()).expect("registered");
        assert_eq!((with.num_params(), without.num_params()), (28, 24));
        assert_eq!(with.latent_shape(), [4]);
        let values = Values::Dense(Tensor::ones([1, 6], &Device::flex()));
        assert_eq!(with.encode(&values).shared.mean.dims(), [1, 4]);
    }

    #[test]
    fn settings_of_another_type_are_an_error_that_names_the_network() {
        let error = encoder(&custom("{}"), &networks()).expect_err("no `bias`");
        assert!(error.to_string().contains("`encoder of `pose`.settings`"), "{error}");
        assert!(error.to_string().contains("bias"), "{error}");
    }

    #[test]
    fn a_network_that_was_not_given_is_an_error() {
        let error = encoder(&custom("null"), &Networks::default()).expect_err("not there");
        assert_eq!(error, Error::MissingCustom("pose".into()));
    }

    #[test]
    fn the_weights_of_a_network_of_the_user_come_back_from_a_record() {
        let saved =
            init_parameters(encoder(&custom(r#"{"bias":true}"#), &networks()).expect("registered"));
        let fresh = encoder(&custom(r#"{"bias":true}"#), &networks()).expect("registered");
        assert_ne!(parameters(&fresh), parameters(&saved));
        let loaded = fresh.load_record(saved.clone().into_record());
        assert_eq!(parameters(&loaded), parameters(&saved));
        let values = Values::Dense(Tensor::ones([2, 6], &Device::flex()));
        let mean = |net: &crate::nn::EncoderNet| net.encode(&values).shared.mean.to_data();
        assert_eq!(mean(&loaded), mean(&saved));
    }

    #[test]
    fn two_networks_of_one_name_do_not_share_parameters() {
        let networks = networks();
        let config = custom(r#"{"bias":true}"#);
        let ids = |net: crate::nn::EncoderNet| parameters(&net)[0].id;
        let build = || encoder(&config, &networks).expect("registered");
        assert_ne!(ids(build()), ids(build()));
    }

    #[test]
    fn a_network_is_asked_for_its_output() {
        let config = NetworkConfig::Custom { name: "pose".into(), settings: Value::Null };
        let init = |output: Option<&[usize]>| {
            config.init("net", &[3], output, &networks(), &Device::flex().autodiff())
        };
        assert_eq!(init(None).expect("registered").output_shape(), [7]);
        assert_eq!(init(Some(&[7, 1, 1])).expect("registered").output_shape(), [7, 1, 1]);
        let error = init(Some(&[8])).expect_err("it yields 7");
        assert_eq!(error.to_string(), "net: expected an output of [8], found [7]");
    }

    #[test]
    #[should_panic(expected = "an encoder of the user's yields a mean of [2, 4], not [2, 5]")]
    fn an_encoder_that_yields_another_shape_is_refused_when_it_is_called() {
        let networks = Networks::default().with_encoder("pose", |request| Pose {
            head: LinearConfig::new(request.inputs(), 4).init(request.device),
        });
        let config = custom("null");
        let net = config.init("net", &[6], Some(&[5]), None, &networks, &Device::flex());
        let values = Values::Dense(Tensor::ones([2, 6], &Device::flex()));
        net.expect("encoders are seen only when called").encode(&values);
    }
}
