//! AE: an autoencoder for each modality, whose codes all decoders read.
//!
//! **Paper.** None of its own; this form is multi-view-AE's (Lawry Aguila et al. 2023, JOSS 8(85)).
//!
//! **Generative process.** None: a code has no distribution. Samples of the prior are those of
//! `N(0, I)`, for which the objective gives no reason; a fitted sampler is the way to generate.
//!
//! **Inference.** `z_m = f_m(x_m)`, without noise; given several modalities, the mean of the codes of
//! those that a row observes, and 0 for a row without any.
//!
//! **Objective.** Every modality is reconstructed from every code, over the `n` modalities that a
//! row observes:
//!
//! ```text
//! loss = mean_b 1/n² Σ_j Σ_m -λ_m log p(x_m | z_j)
//! ```
//!
//! **What differs from multi-view-AE.** Its likelihood is the squared error without factor or
//! constant; here it is that of the modality, and a normal one of scale `√½` differs by a constant.
//! It has no code for several modalities; here it is their mean. It takes complete rows only.
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
    modality::ModalitySpec,
    model::{Learn, Loss, Multimodal},
    module::Named,
    nn::{Decoder, Networks},
    noise::Noise,
    objective::Rescale,
    options,
    subset::Subset,
};

use crate::{
    blocks::{
        self, ModalityConfig,
        codes::{self, CodeNet, Codes, cross_reconstructions, deterministic_codes, shares},
    },
    registry::Listed,
};

options! {
    /// Configuration of [`Ae`].
    pub struct AeConfig {
        /// Features of a code, at least 1.
        pub latent: usize = 20,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// Autoencoders with coordinated codes; see the [module](self).
#[derive(Module, Debug)]
pub struct Ae {
    encoders: Named<CodeNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: AeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for AeConfig {}

impl AeConfig {
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
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Ae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let (encoders, decoders) =
            codes::networks(&self.modalities, self.latent, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        Ok(Ae { encoders, decoders, modalities, config: self.clone(), rescale })
    }
}

impl Ae {
    /// The codes of the modalities in `given`.
    pub fn codes(&self, batch: &Batch, given: Subset) -> Codes {
        Codes::encode(&self.encoders, &self.modalities, batch, given)
    }
}

impl Multimodal for Ae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Ae {
    fn terms(&self, _: Progress) -> Vec<String> {
        blocks::reconstruction_terms(&self.modalities)
    }

    fn loss(&self, batch: &Batch, _: &mut Noise) -> Loss {
        let codes = self.codes(batch, Subset::full(self.modalities.len()));
        let weights = pairs(&codes);
        let (decoders, z) = (&self.decoders, &codes.values);
        let terms = cross_reconstructions(decoders, batch, z, &weights, &self.rescale);
        blocks::loss(blocks::sum(&terms), self.terms(batch.progress), terms)
    }
}

/// `1/n²` where a row has a code, `[source, batch]`.
pub(crate) fn pairs(codes: &Codes) -> Tensor<2> {
    shares(&codes.presence).square()
}

deterministic_codes!(Ae);
