//! Encoders of all modalities at once.

use std::collections::BTreeMap;

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use serde::{Deserialize, Serialize};

use super::{Encoder, EncoderConfig, EncoderNet, NetworkConfig, NetworkNet, Networks};
use crate::{
    Error, Result,
    batch::{Batch, Values},
    distribution::Normal,
    modality::{ModalityName, ModalitySpec},
    module::Named,
};

/// A joint encoder as data: a network per modality, whose features are joined in the order of the
/// modalities and read by one encoder.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `inputs` | as the modality's encoder up to its mean | network of a modality, by name |
/// | `encoder` | a perceptron | from all features to the posterior |
///
/// Source: Suzuki et al. 2016; MultipleHeadJointEncoder of MultiVae, whose default heads are such
/// copies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JointEncoderConfig {
    /// From the values of a modality to features; what is not given is as the modality's encoder.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<ModalityName, NetworkConfig>,
    /// From the features of all modalities to the posterior.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<EncoderConfig>,
}

impl JointEncoderConfig {
    /// Fills in what is not given, for modalities with these encoders.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownModality`]; [`Error::Config`] if an input has to be given, since the
    /// encoder it would follow is a network of the user's.
    pub fn complete(
        mut self,
        encoders: &[(&ModalitySpec, &EncoderConfig)],
        latent: usize,
    ) -> Result<Self> {
        let specs: Vec<ModalitySpec> = encoders.iter().map(|(spec, _)| (*spec).clone()).collect();
        for name in self.inputs.keys() {
            crate::subset::Subset::named(&specs, [name.as_str()])?;
        }
        for (spec, encoder) in encoders {
            if self.inputs.contains_key(&spec.name) {
                continue;
            }
            let branches = encoder.expand(&spec.input_shape()).ok_or_else(|| Error::Config {
                field: format!("model.joint_encoder.inputs.{}", spec.name),
                expected: "a network, since the modality's encoder is custom".into(),
                found: "nothing".into(),
            })?;
            let layers = branches.shared.trunk.into_iter().chain(branches.shared.mean);
            let layers = layers.map(|layer| layer.closed(latent)).collect();
            self.inputs.insert(spec.name.clone(), NetworkConfig::Layers { layers });
        }
        self.encoder.get_or_insert_with(EncoderConfig::mlp);
        Ok(self)
    }

    /// Builds the encoder of these modalities, in their order; the configuration is complete.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if it is not, or as [`NetworkConfig::init`] and [`EncoderConfig::init`].
    pub fn init(
        &self,
        specs: &[ModalitySpec],
        latent: usize,
        networks: &Networks,
        device: &Device,
    ) -> Result<JointEncoder> {
        let missing = |field: String| Error::Config {
            field,
            expected: "a network".into(),
            found: "nothing".into(),
        };
        let (mut inputs, mut read) = (Vec::new(), Vec::new());
        let mut width = 0;
        for spec in specs {
            let field = || format!("model.joint_encoder.inputs.{}", spec.name);
            let config = self.inputs.get(&spec.name).ok_or_else(|| missing(field()))?;
            let name = format!("joint encoder, input `{}`", spec.name);
            let net = config.init(&name, &spec.input_shape(), None, networks, device)?;
            width += net.output_shape().iter().product::<usize>();
            inputs.push((spec.name.to_string(), net));
            read.push(networks.resolve(spec.clone())?);
        }
        let encoder = self.encoder.as_ref();
        let encoder = encoder.ok_or_else(|| missing("model.joint_encoder.encoder".into()))?;
        let encoder =
            encoder.init("joint encoder", &[width], Some(&[latent]), None, networks, device)?;
        Ok(JointEncoder { inputs: inputs.into_iter().collect(), encoder, read })
    }
}

/// An encoder of several modalities at once; see [`JointEncoderConfig`].
#[derive(Module, Debug)]
pub struct JointEncoder {
    /// From the values of a modality to features.
    pub inputs: Named<NetworkNet>,
    /// From the features of all modalities to the posterior.
    pub encoder: EncoderNet,
    /// The modalities, in order.
    #[module(skip)]
    read: Vec<ModalitySpec>,
}

impl JointEncoder {
    /// The modalities that it reads, in order.
    pub fn modalities(&self) -> &[ModalitySpec] {
        &self.read
    }

    /// The posterior, `[batch, latent]`, of rows that observe all of its modalities; `modalities`
    /// are their numbers in the batch.
    pub fn encode(&self, batch: &Batch, modalities: impl Iterator<Item = usize>) -> Normal<2> {
        let inputs = modalities.zip(&self.read).map(|(m, spec)| batch.input(m, spec));
        self.encode_inputs(inputs)
    }

    /// The posterior, `[batch, latent]`, given what encoders read of all of its modalities, in its
    /// order; see [`ModalitySpec::input`].
    pub fn encode_inputs(&self, inputs: impl Iterator<Item = Values>) -> Normal<2> {
        let features = self.inputs.values().zip(inputs);
        let features = features.map(|(net, input)| net.forward_values(&input)).collect();
        self.encoder.encode(&Values::Dense(Tensor::cat(features, 1))).shared.bounded()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::{init_parameters, tests::without_gradient};

    fn specs() -> Vec<ModalitySpec> {
        vec![
            ModalitySpec::new("photo", &[3, 28, 28]).expect("valid"),
            ModalitySpec::new("blood", &[5]).expect("valid"),
        ]
    }

    fn complete(config: JointEncoderConfig) -> Result<JointEncoderConfig> {
        let specs = specs();
        let encoders: Vec<_> = specs.iter().map(EncoderConfig::default_for).collect();
        config.complete(&specs.iter().zip(&encoders).collect::<Vec<_>>(), 4)
    }

    #[test]
    fn the_default_follows_the_encoders_and_every_parameter_learns() {
        let config = complete(JointEncoderConfig::default()).expect("known encoders");
        let device = Device::flex().autodiff();
        let net = init_parameters(
            config.init(&specs(), 4, &Networks::default(), &device).expect("known shapes"),
        );
        let values = |n: usize| Tensor::<2>::ones([2, n], &device) * 0.3;
        let batch = Batch::complete(vec![values(3 * 28 * 28), values(5)]).expect("one size");
        let posterior = net.encode(&batch, 0..2);
        assert_eq!(posterior.mean.dims(), [2, 4]);
        let sum = posterior.mean.sum() + posterior.log_var.sum();
        assert!(without_gradient(&net, &sum.backward()).is_empty());
    }

    #[test]
    fn a_configuration_reads_back_and_names_are_checked() {
        let config = complete(JointEncoderConfig::default()).expect("known encoders");
        let text = serde_json::to_string(&config).expect("plain data");
        assert_eq!(serde_json::from_str::<JointEncoderConfig>(&text).expect("its own"), config);
        let name = ModalityName::new("nobody").expect("valid");
        let wrong = JointEncoderConfig {
            inputs: [(name, NetworkConfig::mlp())].into(),
            ..JointEncoderConfig::default()
        };
        let error = complete(wrong).expect_err("no such modality");
        assert!(matches!(error, Error::UnknownModality { .. }), "{error}");
    }
}
