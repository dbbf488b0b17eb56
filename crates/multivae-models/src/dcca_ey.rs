//! DCCA-EY: encoders whose codes are correlated, by an objective without an eigenproblem.
//!
//! **Paper.** Chapman, Wells and Lawry Aguila, "Unconstrained Stochastic CCA: Unifying Multiview and
//! Self-Supervised Learning", ICLR 2024, arXiv 2310.01012.
//!
//! **Generative process.** None: there are no decoders.
//!
//! **Inference.** `z_m = f_m(x_m)`, without noise, each in a space of its own; the code of a
//! modality that is not given or not observed is 0.
//!
//! **Objective.** Over the rows of a batch at once,
//!
//! ```text
//! C = 1/M Σ_ij Cov(z_i, z_j),  V = 1/M Σ_i Cov(z_i)
//! loss = -2 tr C + tr V²
//! ```
//!
//! Its least value is minus the sum of the squares of the largest canonical eigenvalues: of two
//! modalities each is 1 plus a canonical correlation. Unlike that of `dccae` it does not degenerate in
//! small batches, which have to have two rows only.
//!
//! **What differs from the authors' code.** The value is the same for any number of modalities. A
//! batch is never shared or taken in parts, since the mean of the objective of its parts is another
//! one.
//!
//! **Incomplete data.** For encoding only: the objective is one of complete rows.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows.

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
    nn::Networks,
    noise::Noise,
    options,
    subset::Subset,
};

use crate::{
    blocks::{
        self, ModalityConfig,
        codes::{self, CodeNet},
        joint::check_complete,
    },
    registry::Listed,
};

options! {
    /// Configuration of [`DccaEy`].
    pub struct DccaEyConfig {
        /// Features of a code, at least 1.
        pub latent: usize = 20,
        /// Networks by modality; what is not given comes from the data. Decoders are not used.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// Encoders with correlated codes; see the [module](self).
#[derive(Module, Debug)]
pub struct DccaEy {
    encoders: Named<CodeNet>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: DccaEyConfig,
}

impl Listed for DccaEyConfig {}

impl DccaEyConfig {
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
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<DccaEy> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let encoder = |config: &ModalityConfig| {
            let net = CodeNet::init(config, self.latent, networks, device)?;
            Ok((config.name.to_string(), net))
        };
        let encoders = self.modalities.iter().map(encoder).collect::<Result<Vec<_>>>()?;
        let encoders = encoders.into_iter().collect();
        Ok(DccaEy { encoders, modalities, config: self.clone() })
    }
}

impl Multimodal for DccaEy {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for DccaEy {
    /// `reward` is `-2 tr C`, `penalty` is `tr V²`.
    fn terms(&self, _: Progress) -> Vec<String> {
        vec!["reward".into(), "penalty".into()]
    }

    /// # Panics
    ///
    /// If a row lacks a modality.
    fn loss(&self, batch: &Batch, _: &mut Noise) -> Loss {
        check_complete(batch);
        let codes = codes::each(&self.encoders, &self.modalities, batch);
        let (reward, penalty) = parts(codes);
        let total = reward.clone() + penalty.clone();
        blocks::loss(total, self.terms(batch.progress), vec![reward, penalty])
    }

    fn needs_complete_rows(&self) -> bool {
        true
    }

    fn stages(&self) -> Vec<Stage> {
        vec![Stage::whole().phases(vec![Phase::whole().rows(Rows::Whole(2))])]
    }
}

/// `-2 tr C` and `tr V²` of codes `[batch, latent]` a modality.
fn parts(codes: Vec<Tensor<2>>) -> (Tensor<1>, Tensor<1>) {
    let (count, rows) = (codes.len() as f64, codes[0].dims()[0] as f64);
    let scale = 1.0 / (count * (rows - 1.0).max(1.0));
    let centred: Vec<Tensor<2>> = codes.into_iter().map(|z| z.clone() - z.mean_dim(0)).collect();
    let own = centred.iter().map(|z| z.clone().transpose().matmul(z.clone()));
    let own = own.reduce(|sum, next| sum + next).expect("there are modalities") * scale;
    let all = centred.into_iter().reduce(|sum, z| sum + z).expect("there are modalities");
    (all.square().sum() * (-2.0 * scale), own.square().sum())
}

impl MultimodalModel for DccaEy {
    fn learner(&self) -> &dyn Learn {
        self
    }

    fn encoder(&self) -> std::result::Result<&dyn Encode, Lacks> {
        Ok(self)
    }

    fn generator(&self) -> std::result::Result<&dyn Generate, Lacks> {
        Err(Lacks::new(Capability::Generator, "it has no decoders"))
    }
}

impl Encode for DccaEy {
    /// A code of each modality: 0 where it is not given or not observed.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, _: &mut Noise) -> Latent {
        codes::separate(&self.encoders, &self.modalities, self.config.latent, batch, given, draws)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_best_size_and_correlation_reach_the_least_value() {
        let device = Device::flex();
        let loss = |size: f32, sign: f32| {
            let z = Tensor::<2>::from_floats([[size], [-size]], &device);
            let (reward, penalty) = parts(vec![z.clone() + 5.0, z * sign]);
            (reward + penalty).into_scalar::<f32>()
        };
        // Of variance v each: -4 v + v², which is least at 2, where it is minus the square of 1 + 1.
        assert!((loss(1.0, 1.0) + 4.0).abs() < 1e-4, "{}", loss(1.0, 1.0));
        assert!(loss(0.9, 1.0) > loss(1.0, 1.0) && loss(1.1, 1.0) > loss(1.0, 1.0));
        // Codes that are opposite are as if of no correlation: nothing is gained.
        assert!((loss(1.0, -1.0) - 4.0).abs() < 1e-4, "{}", loss(1.0, -1.0));
    }
}
