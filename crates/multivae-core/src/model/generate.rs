//! What generates.

use burn::tensor::{Device, Tensor};

use super::{Encode, Latent};
use crate::{noise::Noise, subset::Subset};

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

    /// The mean of `p(x_m | z)`, `[samples, batch, features]`, from the parameters of a modality
    /// that [`decode`](Self::decode) gives: what to show of them.
    fn mean(&self, parameters: Tensor<3>, modality: usize) -> Tensor<3> {
        let spec = &self.modalities()[modality];
        spec.likelihood.mean(parameters, &spec.shape)
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
