//! What models whose posterior of the shared space is one normal distribution do alike.

/// Generating of a model with the fields `decoders`, `modalities`, `private` (features of private
/// spaces; none at all for a model without them) and `config.latent`, from a standard normal prior of
/// all spaces.
macro_rules! decoded_spaces {
    ($model:ty) => {
        impl Generate for $model {
            fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
                let latent = self.config.latent;
                blocks::prior(&self.modalities, latent, &self.private, rows, device, noise)
            }

            fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
                blocks::decode(&self.decoders, &self.modalities, latent, targets)
            }

            fn decoder(&self, modality: usize) -> Option<&Decoder> {
                Some(self.decoders.at(modality))
            }
        }
    };
}

pub(crate) use decoded_spaces;

/// Encoding, generating and densities of a model with the fields `decoders`, `modalities`, `private`
/// (features of private spaces; none at all for a model without them) and `config.latent`, from its
/// method `posterior`, which gives the posterior of the shared space and the private ones for a
/// batch and a given subset. The prior of all spaces is standard normal.
macro_rules! normal_posterior {
    ($model:ty) => {
        const _: () = {
            use multivae_core::{
                model::{Bound, Density, Draws, Encode, Generate, Latent},
                objective::{Budget, Estimate},
            };

            impl Encode for $model {
                fn encode(
                    &self,
                    batch: &Batch,
                    given: Subset,
                    draws: Draws,
                    noise: &mut Noise,
                ) -> Latent {
                    let (shared, spaces) = self.posterior(batch, given);
                    let z = blocks::draw(&shared, draws, noise);
                    let private = blocks::codes(&self.modalities, &spaces, batch, draws, noise);
                    Latent::shared(z).with_private(private)
                }
            }

            $crate::blocks::posterior::decoded_spaces!($model);

            impl Density for $model {
                fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
                    let (shared, spaces) = self.posterior(batch, given);
                    let (decoders, modalities) = (&self.decoders, &self.modalities);
                    blocks::private_bound(decoders, modalities, batch, &shared, &spaces, noise)
                }

                fn joint_likelihood(
                    &self,
                    batch: &Batch,
                    targets: Subset,
                    budget: Budget,
                    noise: &mut Noise,
                ) -> Estimate {
                    let (shared, spaces) = self.posterior(batch, targets);
                    let decoders = &self.decoders;
                    blocks::estimate(decoders, batch, targets, budget, &shared, &spaces, noise)
                }
            }
        };
    };
}

pub(crate) use normal_posterior;
