//! Objectives that several models have.

use burn::tensor::Tensor;
use multivae_core::{
    batch::Batch,
    distribution::Normal,
    modality::ModalitySpec,
    model::{Draws, Latent, Loss},
    module::Named,
    nn::Decoder,
    noise::Noise,
};

use crate::blocks::{self, PrivateSpace, Unimodal};

/// Weights of the parts of an objective.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// Of the divergence of the shared space.
    pub shared: f64,
    /// Of the divergences of private spaces.
    pub private: f64,
    /// Of the log-likelihoods per modality.
    pub rescale: &'a [f64],
}

/// `-Σ_m λ_m log p(x_m | z, w_m) + β D + β' Σ_m KL(w_m)`, averaged over rows: the objective of models
/// that draw one value of the shared space, and one of each private space.
pub struct PrivateBound<'a> {
    /// One decoder per modality, of shared and private codes side by side.
    pub decoders: &'a Named<Decoder>,
    /// The modalities, in the model's order.
    pub modalities: &'a [ModalitySpec],
    /// The weights.
    pub weights: Weights<'a>,
}

impl PrivateBound<'_> {
    /// For values `z` `[1, batch, latent]` and a divergence `D` `[1]`. Terms are
    /// `reconstruction/NAME`, `D` and `kl_private/NAME` of spaces that were encoded.
    pub fn loss(
        &self,
        names: Vec<String>,
        batch: &Batch,
        z: Tensor<3>,
        divergence: Tensor<1>,
        spaces: &[PrivateSpace],
        noise: &mut Noise,
    ) -> Loss {
        let private = blocks::codes(self.modalities, spaces, batch, Draws::Samples(1), noise);
        let latent = Latent::shared(z).with_private(private);
        let likelihoods = blocks::log_likelihoods(self.decoders, self.modalities, batch, &latent);
        let mut terms = blocks::reconstruction_means(&likelihoods, self.weights.rescale);
        let mut total = blocks::sum(&terms) + divergence.clone() * self.weights.shared;
        terms.push(divergence);
        for (_, kl) in blocks::private_divergences(self.modalities, spaces) {
            let kl = kl.mean();
            total = total + kl.clone() * self.weights.private;
            terms.push(kl);
        }
        blocks::loss(total, names, terms)
    }

    /// The same for a sample of a posterior, `[batch, latent]`, and its divergence from the prior.
    pub fn of_posterior(
        &self,
        names: Vec<String>,
        batch: &Batch,
        posterior: &Normal<2>,
        spaces: &[PrivateSpace],
        noise: &mut Noise,
    ) -> Loss {
        let z = blocks::draw(posterior, Draws::Samples(1), noise);
        let kl = posterior.kl_standard::<1>().mean();
        self.loss(names, batch, z, kl, spaces, noise)
    }
}

/// `log p(x_m | z)` of every modality for one sample `z` of a joint posterior, `[1, batch, latent]`,
/// and `log p(x_m | z_m)` for one of each modality's own, `[modality, batch, latent]`: `[1, batch]`
/// each. A decoder is called once.
pub fn joint_and_own(
    decoders: &Named<Decoder>,
    batch: &Batch,
    z: &Tensor<3>,
    own: &Tensor<3>,
) -> (Vec<Tensor<2>>, Vec<Tensor<2>>) {
    let likelihoods = (0..decoders.len()).map(|m| {
        let both = Tensor::cat(vec![z.clone(), own.clone().narrow(0, m, 1)], 0);
        blocks::log_likelihood(decoders, batch, m, both)
    });
    likelihoods.map(|both| (both.clone().narrow(0, 0, 1), both.narrow(0, 1, 1))).unzip()
}

/// The bounds of a joint posterior of the shared space and of each modality's own, every one with
/// private codes of all modalities: the objective of DMVAE.
pub struct SingleBounds<'a> {
    /// One decoder per modality, of shared and private codes side by side.
    pub decoders: &'a Named<Decoder>,
    /// The modalities, in the model's order.
    pub modalities: &'a [ModalitySpec],
    /// Features of private spaces.
    pub private: &'a [usize],
    /// Weight of the divergences of the shared space.
    pub beta: f64,
    /// Weights of the divergences of private spaces.
    pub private_betas: &'a [f64],
    /// Weights of the log-likelihoods per modality.
    pub rescale: &'a [f64],
}

impl SingleBounds<'_> {
    /// Names of the terms.
    pub fn terms(&self) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(self.modalities);
        names.push("kl".into());
        names.extend(blocks::private_terms(self.modalities, self.private));
        names.push("joint".into());
        names.extend(blocks::terms("single", self.modalities));
        names
    }

    /// The sum of the bounds, negated, of all modalities of a batch and the joint posterior
    /// `[1, batch, latent]`.
    pub fn loss(
        &self,
        batch: &Batch,
        unimodal: &Unimodal,
        joint: Normal<3>,
        noise: &mut Noise,
    ) -> Loss {
        let experts = &unimodal.experts;
        // The joint posterior and those of single modalities, `[1 + modality, batch, latent]`.
        let stack = |joint, experts: &Tensor<3>| Tensor::cat(vec![joint, experts.clone()], 0);
        let shared =
            Normal::new(stack(joint.mean, &experts.mean), stack(joint.log_var, &experts.log_var));
        let z = shared.rsample(noise.normal(shared.mean.dims(), 1, &batch.device()));
        let spaces = PrivateSpace::of(unimodal, batch, self.private);
        let draws = Draws::Samples(self.modalities.len() + 1);
        let private = blocks::codes(self.modalities, &spaces, batch, draws, noise);
        let latent = Latent::shared(z).with_private(private);

        // All that follows is `[1 + modality, batch]`.
        let likelihoods = blocks::log_likelihoods(self.decoders, self.modalities, batch, &latent);
        let kl: Tensor<2> = shared.kl_standard();
        let mut negative = kl.clone() * self.beta;
        for (likelihood, weight) in likelihoods.iter().zip(self.rescale) {
            negative = negative - likelihood.clone() * *weight;
        }
        let private = blocks::private_divergences(self.modalities, &spaces);
        let betas = self.private_betas.iter().zip(self.private).filter(|(_, size)| **size > 0);
        for ((_, kl), (beta, _)) in private.iter().zip(betas) {
            negative = negative + (kl.clone() * *beta).unsqueeze_dim(0);
        }
        let presence = experts.presence.clone();
        let weights = Tensor::cat(vec![presence.clone().narrow(0, 0, 1).ones_like(), presence], 0);
        let bounds = blocks::row_means(&(negative * weights));

        let first = |x: &Tensor<2>| x.clone().narrow(0, 0, 1);
        let of_joint: Vec<Tensor<2>> = likelihoods.iter().map(first).collect();
        let mut terms = blocks::reconstruction_means(&of_joint, self.rescale);
        terms.push(first(&kl).mean());
        terms.extend(private.into_iter().map(|(_, kl)| kl.mean()));
        let total = blocks::sum(&bounds);
        terms.extend(bounds);
        blocks::loss(total, self.terms(), terms)
    }
}
