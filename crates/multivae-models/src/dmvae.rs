//! DMVAE: a space that all modalities share, and a private one for each.
//!
//! **Paper.** Lee and Pavlovic, "Private-Shared Disentangled Multimodal VAE for Learning of Latent
//! Representations", CVPR workshops 2021.
//!
//! **Generative process.** `z ~ N(0, I)` and for every modality `w_m ~ N(0, I)`,
//! `x_m ~ p(x_m | z, w_m)`.
//!
//! **Inference.** `q(z | x_S) ∝ p(z) Π_{m in S} q(z | x_m)`, a product of normal experts and the
//! prior; a missing modality is left out of the product. `q(w_m | x_m)` is normal.
//!
//! **Objective.** For a posterior `q` of the shared space, with `z ~ q` and `w_m ~ q(w_m | x_m)`
//! drawn for each `q` anew,
//!
//! ```text
//! L(q) = -Σ_m λ_m log p(x_m | z, w_m) + β KL(q ‖ p(z)) + Σ_m β_m KL(q(w_m | x_m) ‖ p(w_m))
//! loss = mean_b [ L(q(z | X)) + Σ_k L(q(z | x_k)) ]
//! ```
//!
//! with sums over observed modalities. The posteriors of single modalities in the second term are
//! their experts, without the prior; every modality is generated from each of them.
//!
//! **What differs from MultiVae.** The value is the same. Its joint likelihood adds up the
//! log-densities of prior and proposal over all chunks of samples and over all rows, so that only
//! the first chunk of the first row is right, and fails where the samples are no multiple of the
//! chunk; here each sample has its own. It fails without sizes of private spaces; here they have a
//! default. It reports a sum over batches of means as the mean over rows; here every mean is over
//! rows. It encodes a missing modality's private code from what stands there when asked for
//! incomplete rows; here it is the prior's.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows, `M` decoder calls of `(M + 1) B` rows.

use std::collections::BTreeMap;

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::Normal,
    fusion::Product,
    modality::{ModalityName, ModalitySpec},
    model::{Learn, Loss, Multimodal},
    module::Named,
    nn::{Decoder, EncoderNet, Networks},
    noise::Noise,
    objective::Rescale,
    options,
    subset::Subset,
};
use serde_json::{Value, json};

use crate::{
    blocks::{
        self, ModalityConfig, PrivateSpace, objective::SingleBounds, posterior::normal_posterior,
    },
    exchange::models::{self as classes, Class},
    registry::Listed,
};

options! {
    /// Configuration of [`Dmvae`].
    pub struct DmvaeConfig {
        /// Features of the shared latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of the divergences of shared posteriors from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Features of private spaces by modality, 4 for one that is not named; 0 for none.
        pub private: BTreeMap<ModalityName, usize> = BTreeMap::new(),
        /// Weights of the private divergences by modality, at least 0; 1 for one that is not named.
        pub private_betas: BTreeMap<ModalityName, f64> = BTreeMap::new(),
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// Features of the private space of a modality of which nothing else is said.
const PRIVATE: usize = 4;

/// A VAE with shared and private spaces; see the [module](self).
#[derive(Module, Debug)]
pub struct Dmvae {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: DmvaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
    #[module(skip)]
    private: Vec<usize>,
    #[module(skip)]
    private_betas: Vec<f64>,
}

impl Listed for DmvaeConfig {
    const CLASS: Option<Class> = Some(classes::DMVAE);

    fn exercise(specs: &[ModalitySpec]) -> Value {
        json!({ "private": { specs[0].name.as_str(): 2, specs[1].name.as_str(): 0 } })
    }
}

impl DmvaeConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete(&self.modalities, specs)?;
        self.check()?;
        for spec in specs {
            self.private.entry(spec.name.clone()).or_insert(PRIVATE);
        }
        blocks::private_sizes(&self.private, specs)?;
        self.betas(specs)?;
        Ok(self)
    }

    fn check(&self) -> Result<()> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check_weight("model.beta", self.beta)?;
        self.rescale.check(self.modalities.len())
    }

    /// Weights of the private divergences.
    fn betas(&self, specs: &[ModalitySpec]) -> Result<Vec<f64>> {
        blocks::weights("model.private_betas", &self.private_betas, specs, |_| 1.0)
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Dmvae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let private = blocks::private_sizes(&self.private, &modalities)?;
        let private_betas = self.betas(&modalities)?;
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        let config = self.clone();
        Ok(Dmvae { encoders, decoders, modalities, config, rescale, private, private_betas })
    }
}

impl Dmvae {
    /// The posterior of the shared space and the sources of the private codes, given a subset.
    fn posterior(&self, batch: &Batch, given: Subset) -> (Normal<2>, Vec<PrivateSpace>) {
        let unimodal = blocks::encode(&self.encoders, &self.modalities, batch, given);
        let rule = Product::with_prior();
        let shared = blocks::only(rule.of(&unimodal.experts, &blocks::all_of(given.len())));
        (shared, PrivateSpace::of(&unimodal, batch, &self.private))
    }

    fn bounds(&self) -> SingleBounds<'_> {
        SingleBounds {
            decoders: &self.decoders,
            modalities: &self.modalities,
            private: &self.private,
            beta: self.config.beta,
            private_betas: &self.private_betas,
            rescale: &self.rescale,
        }
    }
}

impl Multimodal for Dmvae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Dmvae {
    /// `joint` and `single/NAME` are the parts of the sum, one a posterior of the shared space;
    /// the others are those of `joint`.
    fn terms(&self, _: Progress) -> Vec<String> {
        self.bounds().terms()
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let m = self.modalities.len();
        let unimodal = blocks::encode(&self.encoders, &self.modalities, batch, Subset::full(m));
        let joint = Product::with_prior().of(&unimodal.experts, &blocks::all_of(m));
        self.bounds().loss(batch, &unimodal, joint, noise)
    }
}

normal_posterior!(Dmvae);

#[cfg(test)]
mod tests {
    use multivae_core::{model::Density, module::init_parameters, objective::Budget};

    use super::*;

    #[test]
    fn a_joint_likelihood_depends_on_neither_the_chunks_nor_the_other_rows() {
        let device = Device::flex();
        let specs = ["a", "b"].map(|name| ModalitySpec::new(name, &[3]).expect("valid"));
        let config = DmvaeConfig { latent: 2, ..DmvaeConfig::default() };
        let config = config.with_modalities(&specs).expect("the data suits");
        let model = init_parameters(config.init(&Networks::default(), &device).expect("a model"));
        let batch = |rows: usize| {
            let values = || Tensor::<2>::ones([rows, 3], &device) * 0.4;
            Batch::complete(vec![values(), values()]).expect("one size")
        };
        let estimate = |rows, max_rows| {
            let budget = Budget { samples: 10, max_rows };
            let all = Subset::full(2);
            // Without noise all samples are one.
            let found = model.joint_likelihood(&batch(rows), all, budget, &mut Noise::zero());
            found.log_likelihood.max().into_scalar::<f32>()
        };
        let whole = estimate(1, 10);
        // 7 divides neither 10 samples nor anything else here.
        for (rows, max_rows) in [(1, 3), (1, 7), (3, 30), (3, 4)] {
            assert!((estimate(rows, max_rows) - whole).abs() < 1e-4, "{rows} rows, {max_rows}");
        }
    }

    #[test]
    fn every_modality_has_a_private_space_unless_it_says_otherwise() {
        let specs = ["a", "b"].map(|name| ModalitySpec::new(name, &[3]).expect("valid"));
        let private = [(specs[1].name.clone(), 0)].into();
        let config = DmvaeConfig { private, ..DmvaeConfig::default() };
        let config = config.with_modalities(&specs).expect("the data suits");
        assert_eq!(config.private.into_values().collect::<Vec<_>>(), [PRIVATE, 0]);
    }
}
