//! MLD: autoencoders of single modalities first, then a diffusion of all their codes together.
//!
//! **Paper.** Bounoua, Franzese and Michiardi, "Multi-Modal Latent Diffusion", Entropy 2024, arXiv
//! 2306.04445; Wesego and Rooshenas, "Score-Based Multimodal Autoencoders", TMLR 2024, arXiv
//! 2305.15708; Song et al., "Score-Based Generative Modeling through Stochastic Differential
//! Equations", ICLR 2021, arXiv 2011.13456; Salimans and Ho, "Progressive Distillation for Fast
//! Sampling of Diffusion Models", ICLR 2022, arXiv 2202.00512, for the velocities.
//!
//! **Generative process.** The codes of all modalities side by side, standardised, are where a flow ends
//! that begins with `ε ~ N(0, I)`, and `x_m ~ p(x_m | z_m)`. With `θ` from `π/2` to 0,
//!
//! ```text
//! dz_θ / dθ = v(z_θ, θ)        z_θ = cos θ z + sin θ ε        v = E[cos θ ε - sin θ z | z_θ]
//! ```
//!
//! **Inference.** `z_m = f_m(x_m)` without noise, or `z_m ~ q(z_m | x_m)` with `autoencoders =
//! "variational"`, for the modalities that are given and a row observes. The codes of the others are
//! where the same flow ends while the known ones stay as they are: the network reads an angle for each
//! modality, 0 for one that is known, so that `v` is that of the conditional distribution. The mean of
//! all is the end of the flow from `ε = 0`, which is the mean of a normal distribution.
//!
//! **Objective.** In the first `autoencoder_epochs` epochs, for each modality by itself,
//!
//! ```text
//! loss = mean_b Σ_m [ -λ_m log p(x_m | z_m) + β KL(q(z_m | x_m) ‖ N(0, I)) ]
//! ```
//!
//! the second term with variational autoencoders only; and then, for the denoising network alone,
//!
//! ```text
//! loss = mean_b n_b / |D_b| Σ_{m in D_b} ‖v̂_m(z_θ, θ) - (cos θ ε_m - sin θ z_m)‖²        θ ~ U(0, π/2)
//! ```
//!
//! with `D_b` the modalities among the `n_b` observed ones that are diffused. With the probability
//! `given` a row keeps a random set of its codes, at angle 0, and the others are diffused; otherwise all
//! are. A modality that a row lacks is pure noise at the angle `π/2` and counts nowhere, so that the
//! network learns the distribution of the rest without it.
//!
//! Location and scale by which codes are standardised are learned in the first stage: those of the
//! normal distribution that fits the codes. They add nothing to the value of the objective and give no
//! gradient to the codes.
//!
//! **What differs from the authors' codes.** One keeps the same set of a whole batch and needs complete
//! rows; here each row has its own, of what it observes. Its noise is predicted, and its steps follow a
//! stochastic equation, 1000 of them or 250 with repetitions; here velocities and Heun's method, of
//! `steps` steps that are denser towards the end, with noise at the start only. It standardises by the
//! first batch, the other by all rows. Its weights are averaged over steps for sampling; here they are
//! those that are best in validation. The other fills in what is missing by a network without masks;
//! here as above. Guidance by an energy is not here.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** First stage: `M` encoder calls and `M` decoder calls of `B` rows. Second stage:
//! `M` encoder calls and one call of the denoising network of `B` rows. A sample takes `2 steps` calls of
//! that network.

use std::f64::consts::FRAC_PI_2;

use burn::{
    module::{Initializer, Module, Param},
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::Normal,
    modality::ModalitySpec,
    model::{
        Capability, Density, Draws, Encode, Generate, Lacks, Latent, Learn, Loss, Multimodal,
        MultimodalModel, Stage,
    },
    module::Named,
    nn::{Decoder, EncoderNet, NetworkConfig, Networks},
    noise::Noise,
    objective::Rescale,
    options,
    subset::Subset,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    blocks::{
        self, ModalityConfig,
        codes::CodeNet,
        diffusion::{Denoiser, default_middle, flow},
    },
    registry::Listed,
};

options! {
    /// Configuration of [`Mld`].
    pub struct MldConfig {
        /// Features of the code of a modality, at least 1. The latent space has as many for each.
        pub latent: usize = 20,
        /// Epochs of the first stage, at least 1: the autoencoders. The denoising network learns in the
        /// rest of the run.
        pub autoencoder_epochs: usize = 10,
        /// What the first stage learns: "deterministic" or "variational" autoencoders.
        pub autoencoders: Autoencoders = Autoencoders::Deterministic,
        /// Weight of the divergence of a variational autoencoder from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Share of the rows that keep the codes of some modalities while the others are diffused, 0 to 1.
        pub given: f64 = 0.2,
        /// Steps of the flow from noise to codes, at least 1.
        pub steps: usize = 50,
        /// Features between the parts of the denoising network, at least 1.
        pub width: usize = 256,
        /// The middle of the denoising network, from `width` features to as many; two residual blocks if
        /// not given.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub denoiser: Option<NetworkConfig> = None,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// What the first stage learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Autoencoders {
    /// Codes without noise.
    #[default]
    Deterministic,
    /// Codes with a normal posterior each.
    Variational,
}

/// From a modality to its code.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a model has one a modality")]
pub enum CodeEncoder {
    /// Without noise.
    Deterministic(CodeNet),
    /// With a normal posterior.
    Variational(EncoderNet),
}

/// A code, `[batch, latent]`, or its posterior.
enum Code {
    Value(Tensor<2>),
    Posterior(Normal<2>),
}

impl CodeEncoder {
    fn encode(&self, spec: &ModalitySpec, batch: &Batch, modality: usize) -> Code {
        match self {
            Self::Deterministic(net) => {
                Code::Value(net.encode(&batch.input(modality, spec), batch, modality))
            }
            Self::Variational(net) => {
                Code::Posterior(blocks::encoding(net, spec, batch, modality).shared.bounded())
            }
        }
    }
}

impl Code {
    /// Values, `[samples, batch, latent]`: equal ones of a code without noise.
    fn draw(&self, draws: Draws, noise: &mut Noise) -> Tensor<3> {
        match self {
            Self::Value(code) => {
                let [batch, latent] = code.dims();
                code.clone().unsqueeze_dim::<3>(0).expand([draws.count(), batch, latent])
            }
            Self::Posterior(posterior) => blocks::draw(posterior, draws, noise),
        }
    }
}

/// Location and scale of the codes of a modality: `standard = code e^-s - b`.
#[derive(Module, Debug)]
pub struct CodeScale {
    /// `s` over [`RATE`], `[latent]`.
    log_scale: Param<Tensor<1>>,
    /// `b` over [`RATE`], `[latent]`.
    offset: Param<Tensor<1>>,
}

/// What parameters of [`CodeScale`] are multiplied by: a step of an optimiser moves them by more than it
/// moves weights, since codes of any size have to be standardised by the end of the first stage.
const RATE: f64 = 10.0;

impl CodeScale {
    fn init(latent: usize, device: &Device) -> Self {
        let zeros = || Initializer::Zeros.init([latent], device);
        Self { log_scale: zeros(), offset: zeros() }
    }

    /// `s` and `b`, `[1, 1, latent]`.
    fn parts(&self) -> (Tensor<3>, Tensor<3>) {
        let part = |param: &Param<Tensor<1>>| (param.val() * RATE).unsqueeze_dims(&[0, 0]);
        (part(&self.log_scale), part(&self.offset))
    }

    fn standardise(&self, code: Tensor<3>) -> Tensor<3> {
        let (log_scale, offset) = self.parts();
        code * log_scale.neg().exp() - offset
    }

    fn restore(&self, standard: Tensor<3>) -> Tensor<3> {
        let (log_scale, offset) = self.parts();
        (standard + offset) * log_scale.exp()
    }

    /// The mean over features of the negative log-density of codes under the normal distribution that is
    /// standardised by it, up to a constant, `[samples, batch]`.
    fn misfit(&self, code: Tensor<3>) -> Tensor<2> {
        let (log_scale, _) = self.parts();
        (self.standardise(code).square() * 0.5 + log_scale).mean_dim(2).squeeze_dim(2)
    }
}

/// Autoencoders and a diffusion of their codes; see the [module](self).
#[derive(Module, Debug)]
pub struct Mld {
    encoders: Named<CodeEncoder>,
    decoders: Named<Decoder>,
    scales: Named<CodeScale>,
    denoiser: Denoiser,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MldConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for MldConfig {
    fn exercise(specs: &[ModalitySpec]) -> Value {
        let autoencoders = if specs.len() == 2 { "variational" } else { "deterministic" };
        json!({ "autoencoders": autoencoders, "given": 0.5, "steps": 4, "width": 8 })
    }
}

impl MldConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete(&self.modalities, specs)?;
        self.check()?;
        let width = self.width;
        self.denoiser.get_or_insert_with(|| default_middle(width));
        Ok(self)
    }

    fn check(&self) -> Result<()> {
        for (field, value) in [
            ("model.latent", self.latent),
            ("model.autoencoder_epochs", self.autoencoder_epochs),
            ("model.steps", self.steps),
            ("model.width", self.width),
        ] {
            blocks::check(value > 0, field, "at least 1", value)?;
        }
        blocks::check_weight("model.beta", self.beta)?;
        let valid = (0.0..=1.0).contains(&self.given);
        blocks::check(valid, "model.given", "a number from 0 to 1", self.given)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Mld> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let (mut encoders, mut decoders, mut scales) = (Vec::new(), Vec::new(), Vec::new());
        for config in &self.modalities {
            let name = config.name.to_string();
            let (encoder, decoder) = blocks::autoencoder(config, self.latent, 0, networks, device)?;
            encoders.push((
                name.clone(),
                match self.autoencoders {
                    Autoencoders::Variational => CodeEncoder::Variational(encoder),
                    Autoencoders::Deterministic => {
                        let net = CodeNet::init(config, self.latent, networks, device)?;
                        CodeEncoder::Deterministic(net)
                    }
                },
            ));
            decoders.push((name.clone(), decoder));
            scales.push((name, CodeScale::init(self.latent, device)));
        }
        Ok(Mld {
            encoders: encoders.into_iter().collect(),
            decoders: decoders.into_iter().collect(),
            scales: scales.into_iter().collect(),
            denoiser: Denoiser::init(
                &self.modalities,
                self.latent,
                self.width,
                &self.denoiser.clone().unwrap_or_else(|| default_middle(self.width)),
                networks,
                device,
            )?,
            rescale: self.rescale.factors(&modalities),
            modalities,
            config: self.clone(),
        })
    }
}

impl Mld {
    /// Whether the run is in its first stage.
    fn is_first(&self, progress: Progress) -> bool {
        progress.epoch <= self.config.autoencoder_epochs
    }

    fn code(&self, batch: &Batch, modality: usize) -> Code {
        self.encoders.at(modality).encode(&self.modalities[modality], batch, modality)
    }

    /// The objective of the autoencoders.
    fn autoencoders(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let rows = batch.rows() as f64;
        let (mut terms, mut divergences, mut misfits) = (Vec::new(), Vec::new(), Vec::new());
        for (m, weight) in self.rescale.iter().enumerate() {
            let code = self.code(batch, m);
            let presence = batch.presence().of(m);
            let z = code.draw(Draws::Samples(1), noise);
            let misfit = self.scales.at(m).misfit(z.clone().detach());
            misfits.push((misfit * presence.clone().unsqueeze_dim(0)).sum() / rows);
            terms.push(blocks::log_likelihood(&self.decoders, batch, m, z).mean() * -*weight);
            if let Code::Posterior(posterior) = code {
                divergences.push((posterior.kl_standard::<1>() * presence).sum() / rows);
            }
        }
        let mut total = blocks::sum(&terms);
        if !divergences.is_empty() {
            total = total + blocks::sum(&divergences) * self.config.beta;
        }
        // Learns, and adds nothing to the value.
        let misfit = blocks::sum(&misfits);
        let total = total + (misfit.clone() - misfit.detach());
        terms.extend(divergences);
        blocks::loss(total, self.terms(batch.progress), terms)
    }

    /// The objective of the denoising network.
    fn denoising(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let (rows, device, latent) = (batch.rows(), batch.device(), self.config.latent);
        let all = Subset::full(self.modalities.len());
        let codes = self.codes(batch, all, Draws::Samples(1), noise).squeeze_dim::<2>(0).detach();
        let presence = batch.presence().mask();
        let diffused = presence.clone() - self.kept(&presence, noise);
        let angle = noise.uniform([rows, 1], 0, &device) * FRAC_PI_2;
        // Nothing is known of what a row lacks.
        let missing = presence.clone().neg() + 1.0;
        let angles = diffused.clone() * angle + missing * FRAC_PI_2;
        let wide = |x: &Tensor<2>| self.by_feature(x);
        let (cosine, sine) = (wide(&angles.clone().cos()), wide(&angles.clone().sin()));
        let random = noise.normal(codes.dims(), 0, &device);
        let noisy = codes.clone() * cosine.clone() + random.clone() * sine.clone();
        let expected = random * cosine - codes * sine;
        let error = (self.denoiser.velocity(&noisy, &angles) - expected).square();
        let counts = |x: &Tensor<2>| x.clone().sum_dim(1);
        let weights = diffused.clone() * counts(&presence) / counts(&diffused).clamp_min(1.0);
        let error = error * wide(&weights);
        let term = |m: usize| error.clone().narrow(1, m * latent, latent).sum() / rows as f64;
        let terms: Vec<Tensor<1>> = all.iter().map(term).collect();
        blocks::loss(blocks::sum(&terms), self.terms(batch.progress), terms)
    }

    /// 1 where the code of an observed modality is kept, `[batch, modality]`: in a share of the rows, and
    /// there never all.
    fn kept(&self, presence: &Tensor<2>, noise: &mut Noise) -> Tensor<2> {
        let ([rows, modalities], device) = (presence.dims(), presence.device());
        let chosen = noise.uniform([rows, 1], 0, &device).lower_scalar(self.config.given).float();
        let share = noise.uniform([rows, 1], 0, &device).expand([rows, modalities]);
        let kept = noise.uniform([rows, modalities], 0, &device).lower(share).float();
        let kept = kept * presence.clone() * chosen;
        let left = (presence.clone() - kept.clone()).sum_dim(1).clamp_max(1.0);
        kept * left
    }

    /// Values of modalities `[rows, modality]` for each of their features, `[rows, modality * latent]`.
    fn by_feature(&self, values: &Tensor<2>) -> Tensor<2> {
        let ([rows, modalities], latent) = (values.dims(), self.config.latent);
        let wide = values.clone().unsqueeze_dim::<3>(2).expand([rows, modalities, latent]);
        wide.reshape([rows, modalities * latent])
    }

    /// Standardised codes side by side, `[samples, batch, modality * latent]`; 0 where the modality is
    /// not given or not observed.
    fn codes(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Tensor<3> {
        let code = |m: usize| {
            if !given.contains(m) {
                let shape = [draws.count(), batch.rows(), self.config.latent];
                return Tensor::zeros(shape, &batch.device());
            }
            let code = self.scales.at(m).standardise(self.code(batch, m).draw(draws, noise));
            code * batch.presence().of(m).unsqueeze_dims::<3>(&[0, 2])
        };
        Tensor::cat((0..self.modalities.len()).map(code).collect(), 2)
    }

    /// Codes, `[samples, batch, modality * latent]`, that are `known` where `mask`, `[batch, modality]`, is
    /// 1, and elsewhere where the flow from `start` ends.
    fn complete(&self, known: Tensor<3>, mask: &Tensor<2>, start: Tensor<3>) -> Tensor<3> {
        let [samples, rows, features] = known.dims();
        let flat = |x: Tensor<3>| x.reshape([samples * rows, features]);
        let open = mask.clone().neg().add_scalar(1.0).repeat(&[samples, 1]);
        let moving = self.by_feature(&open);
        let start = flat(known) + flat(start) * moving.clone();
        let end = flow(start, self.config.steps, |codes, angle| {
            self.denoiser.velocity(codes, &(open.clone() * angle)) * moving.clone()
        });
        end.reshape([samples, rows, features])
    }
}

impl Multimodal for Mld {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl MultimodalModel for Mld {
    fn learner(&self) -> &dyn Learn {
        self
    }

    fn encoder(&self) -> std::result::Result<&dyn Encode, Lacks> {
        Ok(self)
    }

    fn generator(&self) -> std::result::Result<&dyn Generate, Lacks> {
        Ok(self)
    }

    fn density(&self) -> std::result::Result<&dyn Density, Lacks> {
        Err(Lacks::new(
            Capability::Density,
            "its codes are where a flow ends, whose density is not evaluated",
        ))
    }
}

impl Learn for Mld {
    /// In the first stage `reconstruction/NAME`, and with variational autoencoders `kl/NAME`, which is not
    /// weighted; in the second `denoising/NAME`, the squared error of the velocities.
    fn terms(&self, progress: Progress) -> Vec<String> {
        if !self.is_first(progress) {
            return blocks::terms("denoising", &self.modalities).collect();
        }
        let mut names = blocks::reconstruction_terms(&self.modalities);
        if self.config.autoencoders == Autoencoders::Variational {
            names.extend(blocks::terms("kl", &self.modalities));
        }
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        match self.is_first(batch.progress) {
            true => self.autoencoders(batch, noise),
            false => self.denoising(batch, noise),
        }
    }

    fn stages(&self) -> Vec<Stage> {
        let epochs = self.config.autoencoder_epochs;
        vec![
            Stage::new("autoencoders").frozen(&["denoiser"]).epochs(epochs),
            Stage::new("diffusion").frozen(&["encoders", "decoders", "scales"]),
        ]
    }
}

impl Encode for Mld {
    /// Standardised codes of all modalities side by side; those that are not given or not observed are
    /// drawn given the others. See the [module](self) for the mean.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let all = Subset::full(self.modalities.len());
        let known = self.codes(batch, given, draws, noise);
        if given == all && batch.presence().is_complete() {
            return Latent::shared(known);
        }
        let start = match draws {
            Draws::Mean => known.zeros_like(),
            Draws::Samples(_) => noise.normal(known.dims(), 1, &batch.device()),
        };
        let asked: Vec<f32> = all.iter().map(|m| f32::from(u8::from(given.contains(m)))).collect();
        let asked = Tensor::<1>::from_floats(asked.as_slice(), &batch.device());
        let mask = batch.presence().mask() * asked.unsqueeze_dim(0);
        Latent::shared(self.complete(known, &mask, start))
    }
}

impl Generate for Mld {
    fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
        let modalities = self.modalities.len();
        let start = noise.normal([1, rows, modalities * self.config.latent], 1, device);
        let mask = Tensor::zeros([rows, modalities], device);
        Latent::shared(self.complete(start.zeros_like(), &mask, start))
    }

    fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
        let (z, size) = (latent.z(), self.config.latent);
        let decode = |m: usize| {
            let code = self.scales.at(m).restore(z.clone().narrow(2, m * size, size));
            self.decoders.at(m).decode(code)
        };
        targets.iter().map(decode).collect()
    }

    fn decoder(&self, modality: usize) -> Option<&Decoder> {
        Some(self.decoders.at(modality))
    }
}

#[cfg(test)]
mod tests {
    use burn::{
        optim::{AdamConfig, GradientsParams},
        tensor::TensorData,
    };
    use multivae_core::{
        batch::{NoiseKey, Presence, Values},
        module::{freeze, init_parameters},
        nn::{Encoder, EncoderConfig, Encoding, Network},
    };

    use super::*;

    fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().try_into_vec().expect("floats")
    }

    /// Mean and variance.
    fn moments(values: &[f32]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        (mean, values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n)
    }

    #[test]
    fn a_row_keeps_some_of_what_it_observes_and_never_all() {
        let specs = ["a", "b", "c"].map(|name| ModalitySpec::new(name, &[1]).expect("valid"));
        let config = MldConfig { given: 0.5, ..MldConfig::default() };
        let config = config.with_modalities(&specs).expect("the data suits");
        let model = config.init(&Networks::default(), &Device::flex()).expect("a model");
        let rows: Vec<Subset> = (0..3000)
            .map(|row| Subset::new((0..3).filter(|m| row % 3 < 2 || *m != 1)))
            .collect::<Result<_>>()
            .expect("sets");
        let presence = Presence::new(rows, 3, &Device::flex()).mask();
        let kept = model.kept(&presence, &mut Noise::seeded(1));
        let (kept, presence) = (numbers(kept), numbers(presence));
        let rows = || kept.chunks(3).zip(presence.chunks(3));
        assert!(rows().all(|(kept, observed)| kept.iter().zip(observed).all(|(k, o)| k <= o)));
        let sum = |values: &[f32]| values.iter().sum::<f32>();
        assert!(rows().all(|(kept, observed)| sum(kept) < sum(observed)));
        let any = rows().filter(|(kept, _)| sum(kept) > 0.0).count() as f64 / 3000.0;
        // Half of the rows; of n modalities none or all are drawn with probability 2 / (n + 1).
        let expected = 0.5 * (2.0 / 3.0 * (1.0 - 2.0 / 4.0) + 1.0 / 3.0 * (1.0 - 2.0 / 3.0));
        assert!((any - expected).abs() < 0.03, "{any} {expected}");
    }

    #[test]
    fn codes_of_any_size_come_back_from_their_standard_form() {
        let device = Device::flex();
        let scale = CodeScale {
            log_scale: Param::from_tensor(Tensor::from_floats([0.2, -0.1], &device)),
            offset: Param::from_tensor(Tensor::from_floats([0.3, 0.05], &device)),
        };
        let code = Tensor::<3>::from_floats([[[7.0, -0.3], [0.0, 2.0]]], &device);
        let back = numbers(scale.restore(scale.standardise(code.clone())));
        for (found, expected) in back.iter().zip(numbers(code)) {
            assert!((found - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{found} {expected}");
        }
    }

    /// What comes in, and a known posterior around it.
    #[derive(Module, Debug)]
    struct Same {
        #[module(skip)]
        nothing: (),
    }

    impl Encoder for Same {
        fn encode(&self, values: &Values) -> Encoding {
            let mean = values.dense().expect("numbers").clone();
            Encoding { shared: Normal::new(mean.clone(), mean.full_like(-20.0)), private: None }
        }
    }

    impl Network for Same {
        fn forward(&self, input: Tensor<2>) -> Tensor<2> {
            input
        }
    }

    /// Correlation of neighbours in the chain `a`, `b`, `c` of standard normal values.
    const CORRELATION: f64 = 0.8;

    fn chain(rows: usize, noise: &mut Noise) -> Vec<Tensor<2>> {
        let device = Device::flex().autodiff();
        let mut next = || noise.normal([rows, 1], 0, &device);
        let rest = (1.0 - CORRELATION * CORRELATION).sqrt();
        let a = next();
        let b = a.clone() * CORRELATION + next() * rest;
        let c = b.clone() * CORRELATION + next() * rest;
        vec![a, b, c]
    }

    /// Learns from rows of which a third lacks `a`, a third `b`, and a third nothing.
    fn learned(steps: usize) -> Mld {
        let specs = ["a", "b", "c"].map(|name| ModalitySpec::new(name, &[1]).expect("valid"));
        let modality = |spec: &ModalitySpec| ModalityConfig {
            encoder: Some(EncoderConfig::Custom { name: "same".into(), settings: Value::Null }),
            decoder: Some(NetworkConfig::Custom { name: "same".into(), settings: Value::Null }),
            ..ModalityConfig::new(spec.name.clone())
        };
        let config = MldConfig {
            latent: 1,
            autoencoder_epochs: 1,
            given: 0.5,
            width: 48,
            modalities: specs.iter().map(modality).collect(),
            ..MldConfig::default()
        };
        let config = config.with_modalities(&specs).expect("the data suits");
        let networks = Networks::default()
            .with_encoder("same", |_| Same { nothing: () })
            .with_network("same", |_| Same { nothing: () });
        let device = Device::flex().autodiff();
        device.seed(5);
        let model = init_parameters(config.init(&networks, &device).expect("a model"));
        let frozen = model.stages()[1].frozen.clone();
        let mut model = freeze(model, &frozen);
        let mut adam = AdamConfig::new().init();
        let rows = 240;
        let sets = [Subset::new([1, 2]), Subset::new([0, 2]), Subset::new([0, 1, 2])]
            .map(|set| set.expect("not empty"));
        let presence: Vec<Subset> = (0..rows).map(|row| sets[row % 3]).collect();
        for step in 0..steps {
            let key = NoiseKey { seed: 2, epoch: 2, step: step as u64, first_row: 0 };
            let mut noise = Noise::keyed(key);
            let values = chain(rows, &mut noise).into_iter().map(Values::Dense).collect();
            let presence = Presence::new(presence.clone(), 3, &device);
            let batch = Batch::new(values, presence).expect("one size");
            let loss = model.loss(&batch, &mut noise).total;
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            let rate = 4e-3 * (1.0 - step as f64 / steps as f64);
            model = adam.step(rate, model, gradients);
        }
        model
    }

    #[test]
    fn samples_given_any_modalities_have_the_conditional_moments() {
        let model = learned(4000);
        let device = Device::flex().autodiff();
        let (rows, samples) = (3, 1500);
        let values = [[-1.0_f32, 0.2, 1.2], [0.5, -0.8, 1.0], [1.5, 0.3, -0.5]];
        let columns =
            values.map(|x| Tensor::<1>::from_data(TensorData::new(x.to_vec(), [3]), &device));
        let batch =
            Batch::complete(columns.map(|x| x.unsqueeze_dim(1)).to_vec()).expect("one size");
        let draw = |given: Subset| {
            let noise = &mut Noise::seeded(11);
            let z = model.encode(&batch, given, Draws::Samples(samples), noise).z();
            let mean = model.encode(&batch, given, Draws::Mean, noise).z();
            (z, numbers(mean))
        };
        let r = CORRELATION;
        // Given `a`: b ~ N(r a, 1 - r²), c ~ N(r² a, 1 - r⁴). Given `a` and `c`: b around
        // r (a + c) / (1 + r²), variance (1 - r²) / (1 + r²). Given `b`: a and c ~ N(r b, 1 - r²).
        type Moments = fn(f64, [f64; 3]) -> (f64, f64);
        let cases: [(&[usize], usize, Moments); 5] = [
            (&[0], 1, |r, x| (r * x[0], 1.0 - r * r)),
            (&[0], 2, |r, x| (r * r * x[0], 1.0 - r.powi(4))),
            (&[0, 2], 1, |r, x| (r * (x[0] + x[2]) / (1.0 + r * r), (1.0 - r * r) / (1.0 + r * r))),
            (&[1], 0, |r, x| (r * x[1], 1.0 - r * r)),
            (&[1], 2, |r, x| (r * x[1], 1.0 - r * r)),
        ];
        for (given, target, moments_of) in cases {
            let (z, means) = draw(Subset::new(given.iter().copied()).expect("not empty"));
            for row in 0..rows {
                let x = [0, 1, 2].map(|m| f64::from(values[m][row]));
                let own = |m: usize| z.clone().narrow(1, row, 1).narrow(2, m, 1);
                for &m in given {
                    let stays = numbers(own(m)).iter().all(|v| (f64::from(*v) - x[m]).abs() < 1e-5);
                    assert!(stays, "{given:?}: what is given changes");
                }
                let (mean, variance) = moments(&numbers(own(target)));
                let (expected_mean, expected_variance) = moments_of(r, x);
                let of = format!("{target} given {given:?}, row {row}");
                assert!((mean - expected_mean).abs() < 0.12, "{of}: {mean} {expected_mean}");
                let ratio = variance / expected_variance;
                assert!((0.75..1.3).contains(&ratio), "{of}: {variance} {expected_variance}");
                let centre = f64::from(means[row * 3 + target]);
                assert!((centre - expected_mean).abs() < 0.12, "{of}: {centre} {expected_mean}");
            }
        }
        // Nothing given: a standard normal chain.
        let prior = model.prior(4000, &device, &mut Noise::seeded(12)).z();
        let column = |m: usize| numbers(prior.clone().narrow(2, m, 1));
        for (m, of) in ["a", "b", "c"].iter().enumerate() {
            let (mean, variance) = moments(&column(m));
            assert!(mean.abs() < 0.1 && (0.8..1.25).contains(&variance), "{of}: {mean} {variance}");
        }
        let product = |a: usize, b: usize| {
            let pairs = column(a).into_iter().zip(column(b));
            let products: Vec<f32> = pairs.map(|(a, b)| a * b).collect();
            moments(&products).0
        };
        assert!((product(0, 1) - r).abs() < 0.12 && (product(0, 2) - r * r).abs() < 0.12);
    }

    #[test]
    fn the_first_stage_learns_the_scale_of_codes_without_adding_to_its_value() {
        let device = Device::flex().autodiff();
        let codes = Noise::seeded(1).normal([1, 500, 2], 1, &device) * 6.0 + 3.0;
        let mut scale = CodeScale::init(2, &device);
        let mut adam = AdamConfig::new().init();
        for _ in 0..700 {
            let loss = scale.misfit(codes.clone()).mean();
            let gradients = GradientsParams::from_grads(loss.backward(), &scale);
            scale = adam.step(2e-3, scale, gradients);
        }
        let (mean, variance) = moments(&numbers(scale.standardise(codes)));
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.1, "{mean} {variance}");

        let specs = ["a", "b"].map(|name| ModalitySpec::new(name, &[3]).expect("valid"));
        let config = MldConfig { latent: 2, ..MldConfig::default() };
        let config = config.with_modalities(&specs).expect("the data suits");
        let model = init_parameters(config.init(&Networks::default(), &device).expect("a model"));
        let batch = Batch::complete(vec![Tensor::ones([4, 3], &device); 2]).expect("one size");
        let loss = model.loss(&batch.at(Progress::new(1, 0.0)), &mut Noise::seeded(0));
        let parts: f32 = loss.terms.iter().map(|(_, term)| term.clone().into_scalar::<f32>()).sum();
        assert!((loss.total.into_scalar::<f32>() - parts).abs() < 1e-4);
    }
}
