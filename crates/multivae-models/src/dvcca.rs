//! DVCCA: one modality encodes what all share, with private spaces on request.
//!
//! **Paper.** Wang, Yan, Lee and Livescu, "Deep Variational Canonical Correlation Analysis", 2016,
//! arXiv 1610.03454.
//!
//! **Generative process.** `z ~ N(0, I)`, for modalities with a private space `w_m ~ N(0, I)`,
//! `x_m ~ p(x_m | z, w_m)`.
//!
//! **Inference.** `q(z | x_S) = q(z | x_p)` of the primary modality `p` alone; the prior for rows
//! that lack it or where it is not given. `q(w_m | x_m)` is normal.
//!
//! **Objective.**
//!
//! ```text
//! loss = mean_b [ -Σ_m λ_m log p(x_m | z, w_m) + β ( KL(q(z | x_p) ‖ p(z)) + Σ_m KL(q(w_m | x_m) ‖ p(w_m)) ) ]
//! ```
//!
//! with sums over observed modalities. In rows that lack the primary modality `z` is a sample of the
//! prior, which is the bound of what they observe.
//!
//! **What differs from multi-view-AE.** With private spaces it takes for the divergence of the
//! shared space that of the last modality's shared and private codes together, whose private part
//! so counts twice; here it is that of the shared space. Its sparse option is on and without effect; here
//! there is none. Each of its networks takes a step of its own, up to `1 + 2 M` passes a batch; here
//! there is one. The primary modality there is the first; here it is the first unless another is
//! named. It takes complete rows only.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** One encoder call for the primary modality and each one with a private space,
//! `M` decoder calls, all of `B` rows.

use std::collections::BTreeMap;

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::Normal,
    modality::{ModalityName, ModalitySpec},
    model::{Learn, Loss, Multimodal},
    module::Named,
    nn::{Decoder, EncoderConfig, EncoderNet, NetworkConfig, Networks},
    noise::Noise,
    objective::Rescale,
    options,
    subset::Subset,
};
use serde_json::{Value, json};

use crate::{
    blocks::{
        self, ModalityConfig, PrivateSpace,
        objective::{PrivateBound, Weights},
        posterior::normal_posterior,
    },
    registry::Listed,
};

options! {
    /// Configuration of [`Dvcca`].
    pub struct DvccaConfig {
        /// Features of the shared latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of all divergences from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// The modality that encodes the shared space; the first of the data if not given.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub primary: Option<ModalityName> = None,
        /// Features of private spaces by modality; a modality that is not named has none.
        pub private: BTreeMap<ModalityName, usize> = BTreeMap::new(),
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A VAE whose shared space is encoded by one modality; see the [module](self).
#[derive(Module, Debug)]
pub struct Dvcca {
    /// Of the primary modality, to both its spaces, and of others with a private space to that.
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: DvccaConfig,
    #[module(skip)]
    rescale: Vec<f64>,
    #[module(skip)]
    private: Vec<usize>,
    /// Number of the primary modality.
    #[module(skip)]
    primary: usize,
}

impl Listed for DvccaConfig {
    fn exercise(specs: &[ModalitySpec]) -> Value {
        json!({ "private": { specs[0].name.as_str(): 2, specs[1].name.as_str(): 1 } })
    }
}

impl DvccaConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete(&self.modalities, specs)?;
        self.primary.get_or_insert_with(|| specs[0].name.clone());
        self.check(specs)?;
        Ok(self)
    }

    /// The number of the primary modality.
    fn check(&self, specs: &[ModalitySpec]) -> Result<usize> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check_weight("model.beta", self.beta)?;
        blocks::private_sizes(&self.private, specs)?;
        self.rescale.check(self.modalities.len())?;
        let named = self.primary.iter().map(ModalityName::as_str);
        let primary = match self.primary {
            Some(_) => Subset::named(specs, named)?.iter().next(),
            None => None,
        };
        Ok(primary.unwrap_or(0))
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Dvcca> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        let primary = self.check(&modalities)?;
        let private = blocks::private_sizes(&self.private, &modalities)?;
        let (mut encoders, mut decoders) = (Vec::new(), Vec::new());
        for (m, (config, &size)) in self.modalities.iter().zip(&private).enumerate() {
            let (name, spec) = (config.name.to_string(), &modalities[m]);
            let default = || NetworkConfig::default_for(spec);
            let decoder = config.decoder.clone().unwrap_or_else(default);
            let input = [self.latent + size];
            let decoder = Decoder::init(&decoder, spec, &input, networks, device)?;
            decoders.push((name.clone(), decoder));
            let (first, second) = match m == primary {
                true => (self.latent, (size > 0).then_some(size)),
                false => (size, None),
            };
            if first > 0 {
                let default = || EncoderConfig::default_for(spec);
                let encoder = config.encoder.clone().unwrap_or_else(default);
                let of = format!("encoder of `{name}`");
                let (shape, first) = (spec.input_shape(), [first]);
                let first = Some(first.as_slice());
                encoders.push((name, encoder.init(&of, &shape, first, second, networks, device)?));
            }
        }
        Ok(Dvcca {
            encoders: encoders.into_iter().collect(),
            decoders: decoders.into_iter().collect(),
            rescale: self.rescale.factors(&modalities),
            modalities,
            config: self.clone(),
            private,
            primary,
        })
    }
}

impl Dvcca {
    /// The posterior of the shared space and the sources of the private codes, given a subset.
    fn posterior(&self, batch: &Batch, given: Subset) -> (Normal<2>, Vec<PrivateSpace>) {
        let zeros = Tensor::zeros([batch.rows(), self.config.latent], &batch.device());
        let mut shared = Normal::standard_like(&zeros);
        let mut spaces: Vec<_> =
            self.private.iter().map(|&size| PrivateSpace::Prior(size)).collect();
        for m in given.iter() {
            let spec = &self.modalities[m];
            let Some(encoder) = self.encoders.get(spec.name.as_str()) else { continue };
            let encoding = blocks::encoding(encoder, spec, batch, m);
            // A standard normal has mean and log-variance zero.
            let presence = batch.presence().of(m).unsqueeze_dim::<2>(1);
            let observed = |q: Normal<2>| q.bounded().map(|x| x * presence.clone());
            let private = match m == self.primary {
                true => {
                    shared = observed(encoding.shared);
                    encoding.private
                }
                false => Some(encoding.shared),
            };
            if let Some(private) = private {
                spaces[m] = PrivateSpace::Posterior(observed(private));
            }
        }
        (shared, spaces)
    }
}

impl Multimodal for Dvcca {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Dvcca {
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.push("kl".into());
        names.extend(blocks::private_terms(&self.modalities, &self.private));
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let (shared, spaces) = self.posterior(batch, Subset::full(self.modalities.len()));
        let beta = self.config.beta;
        let weights = Weights { shared: beta, private: beta, rescale: &self.rescale };
        let bound =
            PrivateBound { decoders: &self.decoders, modalities: &self.modalities, weights };
        bound.of_posterior(self.terms(batch.progress), batch, &shared, &spaces, noise)
    }
}

normal_posterior!(Dvcca);
