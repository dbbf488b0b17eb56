//! Codes without a distribution: deterministic encoders, whose codes all decoders read.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Values},
    modality::ModalitySpec,
    model::{Draws, Latent},
    module::Named,
    nn::{Decoder, EncoderConfig, EncoderNet, NetworkConfig, NetworkNet, Networks},
    subset::Subset,
};

use crate::blocks::{self, ModalityConfig};

/// A network from values to a code: what an encoder has without its log-variance.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a model has one a modality")]
pub enum CodeNet {
    /// The trunk and the mean of an encoder of layers.
    Layers(NetworkNet),
    /// An encoder of the user's, whose mean is the code.
    Encoder(EncoderNet),
}

impl CodeNet {
    /// The network of a modality.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub fn init(
        config: &ModalityConfig,
        latent: usize,
        networks: &Networks,
        device: &Device,
    ) -> Result<Self> {
        let spec = config.spec()?;
        let encoder = config.encoder.clone().unwrap_or_else(|| EncoderConfig::default_for(&spec));
        let (name, latent) = (format!("encoder of `{}`", spec.name), [latent]);
        let shape = spec.input_shape();
        let latent = Some(latent.as_slice());
        Ok(match encoder.expand(&shape) {
            Some(branches) => {
                let mut layers = branches.shared.trunk;
                layers.extend(branches.shared.mean);
                let network = NetworkConfig::layers(layers);
                Self::Layers(network.init(&name, &shape, latent, networks, device)?)
            }
            None => Self::Encoder(encoder.init(&name, &shape, latent, None, networks, device)?),
        })
    }

    /// Codes of what is read of a modality of a batch, `[batch, latent]`; rows that lack it have no
    /// influence on others, see [`EncoderNet::encode_observed`].
    pub fn encode(&self, values: &Values, batch: &Batch, modality: usize) -> Tensor<2> {
        batch.once(self, modality, || match self {
            Self::Layers(layers) => layers.forward_observed(values, batch, modality),
            Self::Encoder(encoder) => encoder.encode_observed(values, batch, modality).shared.mean,
        })
    }
}

/// A [`CodeNet`] and a decoder of its codes for each modality.
///
/// # Errors
///
/// When a network cannot be built.
pub fn networks(
    modalities: &[ModalityConfig],
    latent: usize,
    networks: &Networks,
    device: &Device,
) -> Result<(Named<CodeNet>, Named<Decoder>)> {
    let (mut encoders, mut decoders) = (Vec::new(), Vec::new());
    for config in modalities {
        let spec = config.spec()?;
        let decoder = config.decoder.clone().unwrap_or_else(|| NetworkConfig::default_for(&spec));
        let decoder = Decoder::init(&decoder, &spec, &[latent], networks, device)?;
        let encoder = CodeNet::init(config, latent, networks, device)?;
        encoders.push((config.name.to_string(), encoder));
        decoders.push((config.name.to_string(), decoder));
    }
    Ok((encoders.into_iter().collect(), decoders.into_iter().collect()))
}

/// The codes of a batch.
#[derive(Clone, Debug)]
pub struct Codes {
    /// Codes, `[source, batch, latent]`: those of single modalities in order, or one for all.
    pub values: Tensor<3>,
    /// 1 where a row has such a code, `[source, batch]`.
    pub presence: Tensor<2>,
}

impl Codes {
    /// The codes of the modalities in `which`, each encoded once.
    pub fn encode(
        encoders: &Named<CodeNet>,
        specs: &[ModalitySpec],
        batch: &Batch,
        which: Subset,
    ) -> Self {
        let code = |m: usize| encoders.at(m).encode(&batch.input(m, &specs[m]), batch, m);
        Self {
            values: Tensor::stack(which.iter().map(code).collect(), 0),
            presence: Tensor::stack(which.iter().map(|m| batch.presence().of(m)).collect(), 0),
        }
    }

    /// The mean of the codes that a row has, `[batch, latent]`; 0 where it has none.
    pub fn mean(&self) -> Tensor<2> {
        let weights = shares(&self.presence).unsqueeze_dim::<3>(2);
        (self.values.clone() * weights).sum_dim(0).squeeze_dim(0)
    }

    /// The same mean as the one code of a row.
    pub fn joined(&self) -> Self {
        let any = self.presence.clone().sum_dim(0).clamp_max(1.0);
        Self { values: self.mean().unsqueeze_dim(0), presence: any }
    }

    /// The same mean as so many equal samples, `[samples, batch, latent]`.
    pub fn draw(&self, draws: Draws) -> Tensor<3> {
        let mean = self.mean();
        let [batch, latent] = mean.dims();
        mean.unsqueeze_dim::<3>(0).expand([draws.count(), batch, latent])
    }
}

/// The codes of all modalities, `[batch, latent]` each, in spaces of their own.
pub fn each(encoders: &Named<CodeNet>, specs: &[ModalitySpec], batch: &Batch) -> Vec<Tensor<2>> {
    let code =
        |(encoder, m): (&CodeNet, usize)| encoder.encode(&batch.input(m, &specs[m]), batch, m);
    encoders.values().zip(0..).map(code).collect()
}

/// Latent values of a model without a shared space: the code of each modality, 0 where it is not
/// given or not observed.
pub fn separate(
    encoders: &Named<CodeNet>,
    specs: &[ModalitySpec],
    latent: usize,
    batch: &Batch,
    given: Subset,
    draws: Draws,
) -> Latent {
    let code = |(m, spec): (usize, &ModalitySpec)| {
        let code = match given.contains(m) {
            true => {
                let presence = batch.presence().of(m).unsqueeze_dim::<2>(1);
                encoders.at(m).encode(&batch.input(m, spec), batch, m) * presence
            }
            false => Tensor::zeros([batch.rows(), latent], &batch.device()),
        };
        let shape = [draws.count(), batch.rows(), latent];
        (spec.name.clone(), code.unsqueeze_dim::<3>(0).expand(shape))
    };
    Latent::of_modalities(specs.iter().enumerate().map(code).collect())
}

/// Equal weights of the sources of a row that add up to 1, `[source, batch]`, from what it has.
pub fn shares(presence: &Tensor<2>) -> Tensor<2> {
    presence.clone() / presence.clone().sum_dim(0).clamp_min(1.0)
}

/// `-λ_m log p(x_m | z_j)` of each modality, `[1]`, summed over sources with weights
/// `[source, batch]` and averaged over rows, for values `[source, batch, latent]`. A decoder is
/// called once.
pub fn cross_reconstructions(
    decoders: &Named<Decoder>,
    batch: &Batch,
    z: &Tensor<3>,
    weights: &Tensor<2>,
    rescale: &[f64],
) -> Vec<Tensor<1>> {
    let of = |(m, weight): (usize, &f64)| {
        let likelihoods = blocks::log_likelihood(decoders, batch, m, z.clone()) * weights.clone();
        likelihoods.sum() * (-*weight / batch.rows() as f64)
    };
    rescale.iter().enumerate().map(of).collect()
}

/// Capabilities of a model without densities whose codes have one space, from its method `codes`,
/// which gives the [`Codes`] of a batch and a given subset, and the fields `decoders`, `modalities`
/// and `config.latent`.
macro_rules! deterministic_codes {
    ($model:ty) => {
        const _: () = {
            use multivae_core::model::{Draws, Encode, Generate, Lacks, Latent, MultimodalModel};

            impl MultimodalModel for $model {
                fn learner(&self) -> &dyn Learn {
                    self
                }

                fn encoder(&self) -> std::result::Result<&dyn Encode, Lacks> {
                    Ok(self)
                }

                fn generator(&self) -> std::result::Result<&dyn Generate, Lacks> {
                    Ok(self)
                }
            }

            impl Encode for $model {
                fn encode(
                    &self,
                    batch: &Batch,
                    given: Subset,
                    draws: Draws,
                    _: &mut Noise,
                ) -> Latent {
                    Latent::shared(self.codes(batch, given).draw(draws))
                }
            }

            impl Generate for $model {
                fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
                    Latent::shared(noise.normal([1, rows, self.config.latent], 1, device))
                }

                fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
                    blocks::decode(&self.decoders, &self.modalities, latent, targets)
                }

                fn decoder(&self, modality: usize) -> Option<&Decoder> {
                    Some(self.decoders.at(modality))
                }
            }
        };
    };
}

pub(crate) use deterministic_codes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_several_modalities_is_the_mean_of_those_that_a_row_has() {
        let device = Device::flex();
        let codes = Codes {
            values: Tensor::from_floats([[[1.0], [1.0], [9.0]], [[4.0], [9.0], [9.0]]], &device),
            presence: Tensor::from_floats([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]], &device),
        };
        let numbers = |x: Tensor<2>| x.into_data().try_into_vec::<f32>().expect("floats");
        assert_eq!(numbers(codes.mean()), [2.5, 1.0, 0.0]);
        assert_eq!(numbers(codes.joined().presence), [1.0, 1.0, 0.0]);
        assert_eq!(codes.draw(Draws::Samples(4)).dims(), [4, 3, 1]);
    }
}
