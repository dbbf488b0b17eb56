//! What generates.

use burn::tensor::{Device, Tensor};

use super::{Encode, Latent};
use crate::{distribution::Output, nn::Decoder, noise::Noise, subset::Subset};

/// A model that decodes latent values, and has a distribution of them to draw from.
pub trait Generate: Encode {
    /// One sample of the prior of all spaces for each of `rows` rows.
    fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent;

    /// Latent values of all shared levels under those of the highest, `[samples, batch, features]`:
    /// each lower level is a sample of its prior given the one above. Flat models have one level.
    fn descend(&self, top: Tensor<3>, _noise: &mut Noise) -> Latent {
        Latent::shared(top)
    }

    /// Parameters of `p(x_m | z)` for the targets in the model's order,
    /// `[samples, batch, parameters]` each; see [`Generate::mean`].
    fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>>;

    /// The decoder of a modality, if the model has one: it holds what its likelihood learns. A model
    /// without decoders has likelihoods that learn nothing.
    fn decoder(&self, _modality: usize) -> Option<&Decoder> {
        None
    }

    /// The mean of `p(x_m | z)`, `[samples, batch, features]`, from the parameters of a modality
    /// that [`decode`](Self::decode) gives: what to show of them. The offset of a batch, `[batch]`,
    /// is added to the logarithm of means of counts; see
    /// [`Batch::offset`](crate::batch::Batch::offset).
    fn mean(
        &self,
        parameters: Tensor<3>,
        modality: usize,
        offset: Option<&Tensor<1>>,
    ) -> Tensor<3> {
        match self.decoder(modality) {
            Some(decoder) => decoder.mean(parameters, offset),
            None => {
                let spec = &self.modalities()[modality];
                let output = Output::new(parameters, &spec.shape, &[]);
                spec.likelihood.family().mean(&output, offset)
            }
        }
    }

    /// One value of `p(x_m | z)` for each of its means; see [`mean`](Self::mean).
    fn sample(
        &self,
        parameters: Tensor<3>,
        modality: usize,
        offset: Option<&Tensor<1>>,
        noise: &mut Noise,
    ) -> Tensor<3> {
        match self.decoder(modality) {
            Some(decoder) => decoder.sample(parameters, offset, noise),
            None => {
                let spec = &self.modalities()[modality];
                let output = Output::new(parameters, &spec.shape, &[]);
                spec.likelihood.family().sample(&output, offset, noise)
            }
        }
    }

    /// The modalities that the model generates: all but its [`conditions`](Encode::conditions).
    fn generated(&self) -> Subset {
        let all = Subset::full(self.modalities().len());
        match self.conditions() {
            Some(given) => Subset::new(all.iter().filter(|&m| !given.contains(m)))
                .expect("a model generates something"),
            None => all,
        }
    }
}
