//! A model with several latent spaces.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    batch::{Batch, Progress},
    modality::ModalitySpec,
    model::{Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal},
    noise::Noise,
    objective::{Budget, Estimate},
    subset::Subset,
};

use crate::LinearGaussian;

/// [`LinearGaussian`] with a level below its latent value, and a modality-specific space for its first
/// modality.
///
/// The lower level is twice the upper one, with certainty. The private value is minus the upper
/// level in posteriors and standard normal under the prior, so that fits of both can be told from
/// fits of each. Decoders read half the lower level.
#[derive(Module, Debug)]
pub struct Layered {
    model: LinearGaussian,
}

impl Layered {
    /// As [`LinearGaussian::new`].
    pub fn new(slope: f32, modalities: &[ModalitySpec], device: &Device) -> Self {
        Self { model: LinearGaussian::new(slope, modalities, device) }
    }

    fn with_private(&self, latent: Latent, value: Tensor<3>) -> Latent {
        latent.with_private(vec![(self.modalities()[0].name.clone(), value)])
    }

    /// The latent value of [`LinearGaussian`].
    fn inner(latent: &Latent) -> Latent {
        Latent::shared(latent.z() * 0.5)
    }
}

impl Multimodal for Layered {
    fn modalities(&self) -> &[ModalitySpec] {
        self.model.modalities()
    }
}

impl Learn for Layered {
    fn terms(&self, progress: Progress) -> Vec<String> {
        self.model.terms(progress)
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        self.model.loss(batch, noise)
    }
}

impl Encode for Layered {
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let top = self.model.encode(batch, given, draws, noise).z();
        self.with_private(self.descend(top.clone(), noise), top.neg())
    }
}

impl Generate for Layered {
    fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
        let top = self.model.prior(rows, device, noise).z();
        let private = noise.normal([1, rows, 1], 1, device);
        self.with_private(self.descend(top, noise), private)
    }

    fn descend(&self, top: Tensor<3>, _noise: &mut Noise) -> Latent {
        Latent::hierarchy(vec![top.clone() * 2.0, top])
    }

    fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
        self.model.decode(&Self::inner(latent), targets)
    }
}

impl Density for Layered {
    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        self.model.bound(batch, given, noise)
    }

    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        self.model.joint_likelihood(batch, targets, budget, noise)
    }
}
