//! DCCAE: autoencoders whose codes are correlated as much as can be.
//!
//! **Paper.** Wang, Arora, Livescu and Bilmes, "On Deep Multi-View Representation Learning", ICML
//! 2015, arXiv 1602.01024.
//!
//! **Generative process.** None: a code has no distribution, and a decoder reads the code of its own
//! modality only.
//!
//! **Inference.** `z_m = f_m(x_m)`, without noise, each in a space of its own; the code of a
//! modality that is not given or not observed is 0.
//!
//! **Objective.** Over the rows of a batch at once,
//!
//! ```text
//! loss = λ Σ_m mean_b -λ_m log p(x_m | z_m) - Σ_k ρ_k
//! ```
//!
//! with `ρ_k` the largest canonical eigenvalues of the codes, as many as a code has features: of two
//! modalities each is 1 plus a canonical correlation. A batch has to have more rows than all codes
//! together have features.
//!
//! **What differs from multi-view-AE.** The value and its gradient are the same; the eigenproblem is
//! solved on the host in double precision and its gradient derived from the eigenvectors, in place of
//! one through a decomposition. A batch that is too small, whose eigenvalues are all `M` whatever the
//! codes, is refused. Its optimiser is L-BFGS by default, here as for all models. As to likelihoods see
//! `ae`.
//!
//! **Incomplete data.** For encoding only: the objective is one of complete rows.
//!
//! **Cost of a step.** `M` encoder calls and `M` decoder calls of `B` rows, and an eigenproblem of
//! `M` times the features of a code.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    modality::ModalitySpec,
    model::{
        Capability, Draws, Encode, Generate, Lacks, Latent, Learn, Loss, Multimodal,
        MultimodalModel, Phase, Rows, Stage,
    },
    module::Named,
    nn::{Decoder, Networks},
    noise::Noise,
    objective::Rescale,
    options,
    subset::Subset,
};
use serde_json::{Value, json};

use crate::{
    blocks::{
        self, ModalityConfig,
        codes::{self, CodeNet},
        correlation::canonical_loss,
        joint::check_complete,
    },
    registry::Listed,
};

options! {
    /// Configuration of [`Dccae`].
    pub struct DccaeConfig {
        /// Features of a code, at least 1; all codes together have fewer than a batch has rows.
        pub latent: usize = 10,
        /// Weight of the reconstructions, at least 0.
        pub lambda: f64 = 1.0,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// Autoencoders with correlated codes; see the [module](self).
#[derive(Module, Debug)]
pub struct Dccae {
    encoders: Named<CodeNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: DccaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for DccaeConfig {
    fn exercise(_specs: &[ModalitySpec]) -> Value {
        json!({ "latent": 1 })
    }
}

impl DccaeConfig {
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
        blocks::check_weight("model.lambda", self.lambda)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Dccae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let (encoders, decoders) =
            codes::networks(&self.modalities, self.latent, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        Ok(Dccae { encoders, decoders, modalities, config: self.clone(), rescale })
    }
}

impl Multimodal for Dccae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Dccae {
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.push("correlation".into());
        names
    }

    /// # Panics
    ///
    /// If a row lacks a modality.
    fn loss(&self, batch: &Batch, _: &mut Noise) -> Loss {
        check_complete(batch);
        let codes = codes::each(&self.encoders, &self.modalities, batch);
        let own = |(m, z): (usize, &Tensor<2>)| {
            blocks::log_likelihood(&self.decoders, batch, m, z.clone().unsqueeze_dim(0))
        };
        let likelihoods: Vec<Tensor<2>> = codes.iter().enumerate().map(own).collect();
        let mut terms = blocks::reconstruction_means(&likelihoods, &self.rescale);
        let correlation = canonical_loss(&codes);
        let total = blocks::sum(&terms) * self.config.lambda + correlation.clone();
        terms.push(correlation);
        blocks::loss(total, self.terms(batch.progress), terms)
    }

    fn needs_complete_rows(&self) -> bool {
        true
    }

    fn stages(&self) -> Vec<Stage> {
        let least = self.modalities.len() * self.config.latent + 1;
        vec![Stage::whole().phases(vec![Phase::whole().rows(Rows::Whole(least))])]
    }
}

impl MultimodalModel for Dccae {
    fn learner(&self) -> &dyn Learn {
        self
    }

    fn encoder(&self) -> std::result::Result<&dyn Encode, Lacks> {
        Ok(self)
    }

    fn generator(&self) -> std::result::Result<&dyn Generate, Lacks> {
        Err(Lacks::new(
            Capability::Generator,
            "each decoder reads the code of its own modality, of which others tell nothing",
        ))
    }
}

impl Encode for Dccae {
    /// A code of each modality: 0 where it is not given or not observed.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, _: &mut Noise) -> Latent {
        codes::separate(&self.encoders, &self.modalities, self.config.latent, batch, given, draws)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_in_which_any_codes_are_correlated_are_refused() {
        let specs = ["a", "b"].map(|name| ModalitySpec::new(name, &[3]).expect("valid"));
        let config = DccaeConfig { latent: 4, ..DccaeConfig::default() };
        let config = config.with_modalities(&specs).expect("the data suits");
        let model = config.init(&Networks::default(), &Device::flex()).expect("a model");
        assert_eq!(model.stages()[0].phases[0].rows, Rows::Whole(9));
    }
}
