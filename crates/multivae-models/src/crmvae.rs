//! CRMVAE: a product of experts whose modalities also reconstruct themselves.
//!
//! **Paper.** "Mitigating the Limitations of Multimodal VAEs with Coordination-Based Approach",
//! OpenReview Rn8u4MYgeNJ.
//!
//! **Generative process.** `z ~ N(0, I)`, `x_m ~ p(x_m | z)` for every modality.
//!
//! **Inference.** `q(z | x_S) ∝ Π_{m in S} q(z | x_m)`, a product of normal experts without the
//! prior; a missing modality is left out of the product, and a row without any has the prior.
//!
//! **Objective.** With `q` the product of all that a row observes, `z ~ q`, `z_m ~ q(z | x_m)` and
//! `M` the number of the model's modalities,
//!
//! ```text
//! loss = mean_b [ -1/(2 (M + 1)) Σ_m λ_m ( log p(x_m | z) + log p(x_m | z_m) )
//!                 + β/(M + 1) ( KL(q ‖ p(z)) + Σ_m KL(q ‖ q(z | x_m)) ) ]
//! ```
//!
//! with sums over observed modalities.
//!
//! **What differs from MultiVae.** Its loss is the sum over the batch, so that the step grows with
//! the batch; here it is the mean. The weights are those of its code; its documentation lacks the ½
//! of the reconstructions, which is the same as half of `beta`, but for a factor of the whole. `M` is the full number for rows that lack some modalities, as there. It
//! encodes what stands in missing entries when asked for incomplete rows; here they are left out.
//! It decodes twice for each modality, here once.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows, `M` decoder calls of `2 B` rows.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::Normal,
    fusion::Product,
    modality::ModalitySpec,
    model::{Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal},
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::{Budget, Estimate, Rescale},
    options,
    subset::Subset,
};

use crate::{
    blocks::{self, ModalityConfig, objective::joint_and_own},
    exchange::models::{self as classes, Class},
    registry::Listed,
};

options! {
    /// Configuration of [`Crmvae`].
    pub struct CrmvaeConfig {
        /// Features of the latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of all divergences, at least 0.
        pub beta: f64 = 2.5,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A VAE of coordinated reconstructions; see the [module](self).
#[derive(Module, Debug)]
pub struct Crmvae {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: CrmvaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for CrmvaeConfig {
    const CLASS: Option<Class> = Some(classes::CRMVAE);
}

impl CrmvaeConfig {
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
        blocks::check_weight("model.beta", self.beta)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Crmvae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = vec![0; modalities.len()];
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        Ok(Crmvae { encoders, decoders, modalities, config: self.clone(), rescale })
    }
}

impl Crmvae {
    /// The posterior of the modalities in `given`, `[batch, latent]`.
    fn posterior(&self, batch: &Batch, given: Subset) -> Normal<2> {
        blocks::posterior(&self.encoders, &self.modalities, batch, given, Product::without_prior())
    }
}

impl Multimodal for Crmvae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Crmvae {
    /// `reconstruction/NAME` is that from the joint posterior, `self_reconstruction/NAME` that from
    /// the modality's own; `kl` is the divergence from the prior, `kl_expert/NAME` that from the
    /// posterior of a modality.
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.extend(blocks::terms("self_reconstruction", &self.modalities));
        names.push("kl".into());
        names.extend(blocks::terms("kl_expert", &self.modalities));
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let m = self.modalities.len();
        let experts =
            blocks::encode(&self.encoders, &self.modalities, batch, Subset::full(m)).experts;
        let joint = blocks::only(Product::without_prior().of(&experts, &blocks::all_of(m)));
        let z = blocks::draw(&joint, Draws::Samples(1), noise);
        let unimodal = Normal::new(experts.mean.clone(), experts.log_var.clone());
        let own = unimodal.rsample(noise.normal(unimodal.mean.dims(), 1, &batch.device()));

        let (joint_likelihoods, own_likelihoods) = joint_and_own(&self.decoders, batch, &z, &own);
        let mut terms = blocks::reconstruction_means(&joint_likelihoods, &self.rescale);
        terms.extend(blocks::reconstruction_means(&own_likelihoods, &self.rescale));
        let reconstruction = blocks::sum(&terms);
        terms.push(joint.kl_standard::<1>().mean());
        terms.extend(blocks::row_means(&blocks::expert_divergences(&joint, &experts)));
        let divergence = blocks::sum(&terms[2 * m..]);
        let total = (reconstruction * 0.5 + divergence * self.config.beta) / (m as f64 + 1.0);
        blocks::loss(total, self.terms(batch.progress), terms)
    }
}

impl Encode for Crmvae {
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        Latent::shared(blocks::draw(&self.posterior(batch, given), draws, noise))
    }
}

impl Generate for Crmvae {
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

impl Density for Crmvae {
    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        blocks::shared_bound(&self.decoders, batch, &self.posterior(batch, given), noise)
    }

    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let posterior = self.posterior(batch, targets);
        blocks::estimate(&self.decoders, batch, targets, budget, &posterior, &[], noise)
    }
}

#[cfg(test)]
mod tests {
    use multivae_core::module::init_parameters;

    use super::*;

    #[test]
    fn the_loss_of_equal_rows_does_not_grow_with_their_number() {
        let device = Device::flex();
        let specs = ["a", "b"].map(|name| ModalitySpec::new(name, &[3]).expect("valid"));
        let config = CrmvaeConfig { latent: 2, ..CrmvaeConfig::default() };
        let config = config.with_modalities(&specs).expect("the data suits");
        let model = init_parameters(config.init(&Networks::default(), &device).expect("a model"));
        let loss = |rows: usize| {
            let values = || Tensor::<2>::ones([rows, 3], &device) * 0.4;
            let batch = Batch::complete(vec![values(), values()]).expect("one size");
            model.loss(&batch, &mut Noise::zero()).total.into_scalar::<f32>()
        };
        let one = loss(1);
        assert!((loss(8) - one).abs() < 1e-4 * one.abs(), "{one} {}", loss(8));
    }
}
