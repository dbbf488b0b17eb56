//! MMVAE++: a mixture of experts whose shared features learn from other modalities only.
//!
//! **Paper.** Märtens and Yau, "Disentangling shared and private latent factors in multimodal Variational
//! Autoencoders", MLCB 2023, arXiv 2403.06338.
//!
//! **Generative process.** `u ~ N(0, I)` shared, `w_m ~ N(0, I)` for each modality, `x_m ~ p(x_m | u, w_m)`.
//!
//! **Inference.** `q(u | X) = 1/n Σ_m q(u | x_m)` over the `n` modalities that a row observes,
//! `q(w_m | x_m)` normal; the prior for what a row lacks.
//!
//! **Objective.** With `u_j ~ q(u | x_j)`, `w_j ~ q(w_j | x_j)`,
//!
//! ```text
//! loss = mean_b 1/n Σ_j [ -λ_j log p(x_j | ū_j, w_j) - Σ_{m≠j} λ_m log p(x_m | u_j, 0)
//!                         + β ( KL(q(u | x_j) ‖ p(u)) + KL(q(w_j | x_j) ‖ p(w_j)) ) ]
//! ```
//!
//! with sums over observed modalities. `ū` is `u` without gradients: a modality reconstructs itself from
//! what others made of the shared features, so that these hold only what predicts another modality, and
//! the private ones the rest. Where another modality is the source, private features are 0.
//!
//! **What differs from the authors' code.** It adds up the sources where the mean over them is taken here,
//! so that rows with fewer modalities weigh the same; it has two modalities and a third that is only
//! decoded, and its weight of the divergences grows over all epochs, here over `warmup`.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows, `M` decoder calls of `M B` rows.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::Normal,
    mixture::Mixture,
    modality::ModalitySpec,
    model::{Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal},
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::{Budget, Estimate, Rescale, Warmup},
    options,
    subset::Subset,
};

use crate::{
    blocks::{self, ModalityConfig, PrivateSpace, Unimodal, codes::shares},
    registry::Listed,
};

options! {
    /// Configuration of [`MmvaePlusPlus`].
    pub struct MmvaePlusPlusConfig {
        /// Features of the shared latent space, at least 1.
        pub latent: usize = 20,
        /// Features of the private space of each modality, at least 1.
        pub private: usize = 10,
        /// Weight of all divergences from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Epochs over which that weight grows from 0 to `beta`; 0 for none.
        pub warmup: Warmup = Warmup { epochs: 0 },
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A mixture-of-experts VAE with private codes; see the [module](self).
#[derive(Module, Debug)]
pub struct MmvaePlusPlus {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MmvaePlusPlusConfig,
    #[module(skip)]
    rescale: Vec<f64>,
    #[module(skip)]
    private: Vec<usize>,
}

impl Listed for MmvaePlusPlusConfig {}

impl MmvaePlusPlusConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete(&self.modalities, specs)?;
        self.check()?;
        Ok(self)
    }

    fn check(&self) -> Result<()> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check(self.private > 0, "model.private", "at least 1", self.private)?;
        blocks::check_weight("model.beta", self.beta)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<MmvaePlusPlus> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = vec![self.private; modalities.len()];
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        let config = self.clone();
        Ok(MmvaePlusPlus { encoders, decoders, modalities, config, rescale, private })
    }
}

impl MmvaePlusPlus {
    fn encode_all(&self, batch: &Batch, which: Subset) -> Unimodal {
        blocks::encode(&self.encoders, &self.modalities, batch, which)
    }

    /// The posterior of the shared space and the sources of the private codes, given a subset.
    fn posterior(&self, batch: &Batch, given: Subset) -> (Mixture, Vec<PrivateSpace>) {
        let unimodal = self.encode_all(batch, given);
        let spaces = PrivateSpace::of(&unimodal, batch, &self.private);
        let shared = Normal::new(unimodal.experts.mean, unimodal.experts.log_var);
        let prior = Normal::standard_like(&shared.mean.clone().narrow(0, 0, 1).narrow(1, 0, 1));
        let rows = batch.presence().rows();
        (Mixture::of_experts(shared.into(), rows, given, &prior.into()), spaces)
    }
}

/// What the decoder of modality `m` reads of shared values of all sources `[source, batch, latent]` and
/// its own private values `[1, batch, private]`.
fn read(m: usize, shared: &Tensor<3>, private: Tensor<3>) -> Tensor<3> {
    let [sources, _, _] = shared.dims();
    let own: Vec<f32> = (0..sources).map(|j| f32::from(u8::from(j == m))).collect();
    let own = Tensor::<1>::from_floats(own.as_slice(), &shared.device()).reshape([sources, 1, 1]);
    let others = own.clone().neg() + 1.0;
    let shared = shared.clone() * others + shared.clone().detach() * own.clone();
    Tensor::cat(vec![shared, private * own], 2)
}

impl Multimodal for MmvaePlusPlus {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for MmvaePlusPlus {
    /// All are means over the sources of a row.
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.push("kl".into());
        names.extend(blocks::private_terms(&self.modalities, &self.private));
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let unimodal = self.encode_all(batch, Subset::full(self.modalities.len()));
        let experts = &unimodal.experts;
        let shared = Normal::new(experts.mean.clone(), experts.log_var.clone());
        let u = shared.rsample(noise.normal(shared.mean.dims(), 1, &batch.device()));
        let spaces = PrivateSpace::of(&unimodal, batch, &self.private);
        let private = blocks::codes(&self.modalities, &spaces, batch, Draws::Samples(1), noise);
        let weights = shares(&experts.presence);
        let rows = batch.rows() as f64;
        let likelihood = |(m, (_, w)): (usize, (_, Tensor<3>))| {
            let input = read(m, &u, w);
            let likelihood = blocks::log_likelihood(&self.decoders, batch, m, input);
            (likelihood * weights.clone()).sum() * (-self.rescale[m] / rows)
        };
        let mut terms: Vec<_> = private.into_iter().enumerate().map(likelihood).collect();
        let mut divergences = vec![(shared.kl_standard::<2>() * weights.clone()).sum() / rows];
        // In rows that lack the modality the divergence is 0.
        let share = weights.max_dim(0).squeeze_dim::<1>(0);
        for (_, kl) in blocks::private_divergences(&self.modalities, &spaces) {
            divergences.push((kl * share.clone()).mean());
        }
        let beta = self.config.beta * self.config.warmup.weight(batch.progress);
        let total = blocks::sum(&terms) + blocks::sum(&divergences) * beta;
        terms.extend(divergences);
        blocks::loss(total, self.terms(batch.progress), terms)
    }
}

impl Encode for MmvaePlusPlus {
    /// Samples of the mixture of the given modalities, and of the private spaces of all.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let (mixture, spaces) = self.posterior(batch, given);
        let u = match draws {
            Draws::Mean => mixture.mean().unsqueeze_dim(0),
            Draws::Samples(n) => mixture.sample(n, noise),
        };
        let private = blocks::codes(&self.modalities, &spaces, batch, draws, noise);
        Latent::shared(u).with_private(private)
    }
}

blocks::posterior::decoded_spaces!(MmvaePlusPlus);

impl Density for MmvaePlusPlus {
    /// One sample a given modality.
    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        let (mixture, spaces) = self.posterior(batch, given);
        let (decoders, modalities) = (&self.decoders, &self.modalities);
        blocks::mixture_bound(decoders, modalities, batch, given.len(), &mixture, &spaces, noise)
    }

    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let (mixture, spaces) = self.posterior(batch, targets);
        let decoders = &self.decoders;
        blocks::estimate_by_mixture(decoders, batch, targets, budget, &mixture, &spaces, noise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_values_learn_from_other_modalities_only_and_private_ones_from_their_own() {
        let device = Device::flex().autodiff();
        let leaf = |x: Tensor<3>| x.require_grad();
        let shared = leaf(Tensor::from_floats([[[2.0]], [[3.0]]], &device));
        let private = leaf(Tensor::from_floats([[[5.0]]], &device));
        let input = read(0, &shared, private.clone());
        let values: Vec<f32> = input.clone().into_data().try_into_vec().expect("floats");
        // Each source: its shared value, and the private one where it is the modality's own.
        assert_eq!(values, [2.0, 5.0, 3.0, 0.0]);
        let gradients = input.sum().backward();
        let of = |x: &Tensor<3>| -> Vec<f32> {
            let gradient = x.grad(&gradients).expect("a gradient");
            gradient.into_data().try_into_vec().expect("floats")
        };
        assert_eq!(of(&shared), [0.0, 1.0]);
        assert_eq!(of(&private), [1.0]);
    }
}
