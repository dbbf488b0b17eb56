//! MVP: a mixture of experts with private codes, whose priors are mixtures that are learned.
//!
//! **Paper.** "Multimodal Disentanglement by Latent Variable Separation with Surrogate Modal Specifics
//! and Mixture-of-Distributions Priors", SIAM Journal on Imaging Sciences 2025, doi 10.1137/24M1701514;
//! Tomczak and Welling, "VAE with a VampPrior", AISTATS 2018, arXiv 1705.07120, for priors that are
//! posteriors of pseudo-inputs.
//!
//! **Generative process.** `u ~ p(u)`, `w_m ~ p_m(w)` for each modality, `x_m ~ p(x_m | u, w_m)`, with
//!
//! ```text
//! p(u) = 1/C Σ_c p_c(u)        p_m(w) = 1/C_m Σ_c q(w | h_mc)
//! ```
//!
//! The components `p_c` are learned. A private posterior is read from features, `q(w | h_m(x_m))`, by
//! two linear maps, and the components of `p_m` are what these make of learned *pseudo-features* `h_mc`.
//!
//! **Inference.** `q(u | X) = 1/n Σ_m q(u | x_m)` over the `n` modalities that a row observes,
//! `q(w_m | x_m)` of the same family.
//!
//! **Objective.** As MMVAE+ with these priors. Where `x_m` is decoded from another source, its private
//! code comes from a *surrogate* of its own features, so that only `u` carries what the modalities
//! share: the nearest pseudo-feature, or the mean of all by `softmax(-distance² / τ)`:
//!
//! ```text
//! loss = -mean_b 1/n_b Σ_r ln 1/K Σ_k w_rk
//! ln w_rk = λ_r log p(x_r | u_rk, w_rk) + Σ_{m≠r} λ_m log p(x_m | u_rk, w̃_mrk)
//!         + β ( log p(u_rk) + log p_r(w_rk) - log 1/n_b Σ_m q(u_rk | x_m) - log q(w_rk | x_r) )
//! ```
//!
//! with `w̃_mrk ~ q(w | surrogate of h_m(x_m))` and sums over observed modalities. Pseudo-features learn
//! from what is decoded from them, not from the density of the prior. Gradients are doubly
//! reparameterised (`dreg`) or not (`iwae`); the value is the bound's either way.
//!
//! **What differs from the authors' code.** Its doubly reparameterised objective weighs with the prior
//! of MMVAE+, a single distribution; here both estimators have the mixtures. It asks for the private
//! code of a modality that is to be generated from the features of that modality itself, as if it were
//! given; here it comes from the prior `p_m`. The components of its `p(u)` are linear maps of 12544
//! numbers that nothing else reads; here location and scale are parameters themselves. It keeps
//! pseudo-features within ±1; here they are free and begin there. It takes complete rows only.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `2 M` encoder calls of `B` rows, `M` decoder calls of `M K B` rows; one
//! log-sum-exp over `[components, M K, B, latent]`.

use burn::{
    module::{Initializer, Module, Param},
    tensor::{Device, Int, Tensor, TensorData, activation},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::{Family, LocationScale, Normal},
    mixture::log_sum_exp,
    modality::{ModalityName, ModalitySpec},
    model::{Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal, Step},
    module::Named,
    nn::{Decoder, EncoderNet, LayerConfig, Network, NetworkConfig, NetworkNet, Networks},
    noise::Noise,
    objective::{Budget, Estimate, Rescale, importance_estimate},
    options,
    subset::Subset,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    blocks::codes::CodeNet,
    blocks::experts::{
        self, Choice, Estimator, ImportanceWeights, IwaeObjective, SharedPrior, Sources,
    },
    blocks::{self, ModalityConfig},
    registry::Listed,
};

options! {
    /// Configuration of [`Mvp`].
    pub struct MvpConfig {
        /// Features of the shared latent space, at least 1.
        pub latent: usize = 20,
        /// Features of the private space of each modality, at least 1.
        pub private: usize = 10,
        /// Features of a modality from which its private code is read, at least 1.
        pub features: usize = 64,
        /// Components of the prior of the shared space, at least 1.
        pub components: usize = 20,
        /// Pseudo-features of a modality, at least 1: the components of the prior of its private space.
        pub pseudo_features: usize = 50,
        /// Where the private code of a modality comes from that is decoded from another: "nearest" for
        /// the pseudo-feature that is nearest to its own features, { weighted = τ } for the mean of all
        /// by their distances.
        pub surrogate: Surrogate = Surrogate::Nearest,
        /// Weight of the divergence from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Importance samples a source and row, at least 1.
        pub samples: usize = 10,
        /// Family of priors and posteriors: "normal", "normal_softplus" or "laplace_softmax".
        pub family: Family = Family::LaplaceSoftmax,
        /// How gradients are estimated: "iwae" or "dreg".
        pub estimator: Estimator = Estimator::Dreg,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// What stands for the features of a modality where its private code is to tell nothing of them alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surrogate {
    /// The pseudo-feature at the least distance.
    #[default]
    Nearest,
    /// The mean of the pseudo-features with weights `softmax(-distance² / τ)`, `τ` above 0.
    Weighted(f64),
}

impl Surrogate {
    /// Surrogates of features `[batch, features]` among pseudo-features `[pseudo, features]`. What is
    /// chosen takes no gradient, the pseudo-features do.
    fn of(self, features: &Tensor<2>, pseudo: &Tensor<2>) -> Tensor<2> {
        let distance = squared_distances(features.clone().detach(), pseudo.clone().detach());
        match self {
            Self::Nearest => pseudo.clone().select(0, distance.argmin(1).squeeze_dim::<1>(1)),
            Self::Weighted(temperature) => {
                activation::softmax(distance / -temperature, 1).matmul(pseudo.clone())
            }
        }
    }
}

/// `|a_i - b_j|²`, `[a, b]`, of rows of features.
fn squared_distances(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let square = |x: &Tensor<2>| x.clone().square().sum_dim(1);
    square(&a) + square(&b).transpose() - a.matmul(b.transpose()) * 2.0
}

/// A mixture with equal weights of components that are the same for all rows, `[component, 1, features]`.
#[derive(Clone, Debug)]
pub struct SharedMixture(pub LocationScale<3>);

impl SharedMixture {
    /// Log-density, `[samples, batch]`, of values `[samples, batch, features]`.
    pub fn log_prob(&self, value: &Tensor<3>) -> Tensor<2> {
        let components = self.0.clone().map(|x| x.unsqueeze_dim::<4>(1));
        let log_prob: Tensor<3> = components.log_prob(value.clone().unsqueeze_dim::<4>(0));
        let count = log_prob.dims()[0] as f64;
        log_sum_exp(log_prob, 0).squeeze_dim::<2>(0) - count.ln()
    }

    /// Values of `rows` rows, `[samples, batch, features]`, each of a component at random; for
    /// [`Draws::Mean`] the location of a component that is drawn.
    pub fn draw(&self, draws: Draws, rows: usize, noise: &mut Noise) -> Tensor<3> {
        let LocationScale { family, location, scale } = &self.0;
        let ([count, _, features], device) = (location.dims(), location.device());
        let samples = draws.count();
        let chosen = noise.categorical(&vec![vec![1.0; count]; rows], samples);
        let chosen: Vec<i64> = chosen.into_iter().map(|component| component as i64).collect();
        let chosen = TensorData::new(chosen, [samples * rows]);
        let chosen = Tensor::<1, Int>::from_data(chosen, &device);
        let of = |stack: &Tensor<3>| {
            let table = stack.clone().squeeze_dim::<2>(1);
            table.select(0, chosen.clone()).reshape([samples, rows, features])
        };
        match draws {
            Draws::Mean => of(location),
            Draws::Samples(_) => {
                let noise = family.noise([samples, rows, features], 1, &device, noise);
                of(location) + of(scale) * noise
            }
        }
    }
}

/// From a modality to the posterior of its private space, and what the prior of that space is made of.
#[derive(Module, Debug)]
pub struct PrivateNet {
    features: CodeNet,
    mean: NetworkNet,
    raw_scale: NetworkNet,
    /// `[pseudo, features]`.
    pseudo_features: Param<Tensor<2>>,
}

impl PrivateNet {
    fn init(
        config: &MvpConfig,
        modality: &ModalityConfig,
        networks: &Networks,
        device: &Device,
    ) -> Result<Self> {
        let head = |part: &str| {
            let layers = NetworkConfig::layers(vec![LayerConfig::linear_open()]);
            let name = format!("private {part} of `{}`", modality.name);
            layers.init(&name, &[config.features], Some(&[config.private]), networks, device)
        };
        let begin = Initializer::Uniform { min: -1.0, max: 1.0 };
        Ok(Self {
            features: CodeNet::init(modality, config.features, networks, device)?,
            mean: head("mean")?,
            raw_scale: head("scale")?,
            pseudo_features: begin.init([config.pseudo_features, config.features], device),
        })
    }

    /// What the linear maps make of features `[rows, features]`: mean and what the scale is the map of.
    fn read(&self, features: Tensor<2>) -> Normal<2> {
        let raw = self.raw_scale.forward(features.clone());
        Normal::new(self.mean.forward(features), raw).bounded()
    }
}

/// A mixture-of-experts VAE with learned mixtures as priors; see the [module](self).
#[derive(Module, Debug)]
pub struct Mvp {
    encoders: Named<EncoderNet>,
    private: Named<PrivateNet>,
    decoders: Named<Decoder>,
    /// Locations of the components of the prior of the shared space, `[component, latent]`.
    prior_locations: Param<Tensor<2>>,
    /// What their scales are the map of, `[component, latent]`.
    prior_raw_scales: Param<Tensor<2>>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MvpConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for MvpConfig {
    fn exercise(specs: &[ModalitySpec]) -> Value {
        let surrogate = match specs.len() {
            2 => json!({ "weighted": 0.5 }),
            _ => json!("nearest"),
        };
        json!({
            "samples": 4, "private": 2, "features": 5, "components": 3, "pseudo_features": 4,
            "surrogate": surrogate,
        })
    }
}

impl MvpConfig {
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
        for (field, value) in [
            ("model.latent", self.latent),
            ("model.private", self.private),
            ("model.features", self.features),
            ("model.components", self.components),
            ("model.pseudo_features", self.pseudo_features),
            ("model.samples", self.samples),
        ] {
            blocks::check(value > 0, field, "at least 1", value)?;
        }
        if let Surrogate::Weighted(temperature) = self.surrogate {
            let valid = temperature.is_finite() && temperature > 0.0;
            let field = "model.surrogate.weighted";
            blocks::check(valid, field, "a finite number above 0", temperature)?;
        }
        blocks::check_weight("model.beta", self.beta)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom. Locations of the
    /// prior and pseudo-features start uniform in `[-1, 1)`.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Mvp> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let (mut encoders, mut private, mut decoders) = (Vec::new(), Vec::new(), Vec::new());
        for (config, spec) in self.modalities.iter().zip(&modalities) {
            let name = spec.name.to_string();
            let net = PrivateNet::init(self, config, networks, device)?;
            let (encoder, _) = blocks::autoencoder(config, self.latent, 0, networks, device)?;
            let decoder = config.decoder.clone();
            let decoder = decoder.unwrap_or_else(|| NetworkConfig::default_for(spec));
            let inputs = [self.latent + self.private];
            let decoder = Decoder::init(&decoder, spec, &inputs, networks, device)?;
            encoders.push((name.clone(), encoder));
            private.push((name.clone(), net));
            decoders.push((name, decoder));
        }
        let begin = Initializer::Uniform { min: -1.0, max: 1.0 };
        let shape = [self.components, self.latent];
        Ok(Mvp {
            encoders: encoders.into_iter().collect(),
            private: private.into_iter().collect(),
            decoders: decoders.into_iter().collect(),
            prior_locations: begin.init(shape, device),
            prior_raw_scales: Initializer::Zeros.init(shape, device),
            rescale: self.rescale.factors(&modalities),
            modalities,
            config: self.clone(),
        })
    }
}

impl Mvp {
    fn objective(&self) -> IwaeObjective<'_> {
        let MvpConfig { estimator, beta, .. } = self.config;
        IwaeObjective { estimator, beta, rescale: &self.rescale }
    }

    /// The prior of the shared space.
    pub fn shared_prior(&self) -> SharedMixture {
        let (location, raw) = (self.prior_locations.val(), self.prior_raw_scales.val());
        let components = self.config.family.with_raw_scale(location, raw);
        SharedMixture(components.map(|x| x.unsqueeze_dim(1)))
    }

    /// The prior of the private space of a modality. It gives no gradient to the pseudo-features.
    pub fn private_prior(&self, modality: usize) -> SharedMixture {
        let net = self.private.at(modality);
        let Normal { mean, log_var } = net.read(net.pseudo_features.val().detach());
        let components = self.config.family.with_raw_scale(mean, log_var);
        SharedMixture(components.map(|x| x.unsqueeze_dim(1)))
    }

    /// The posteriors of the modalities in `which`, and the features `[batch, features]` that private
    /// ones are read from, one each.
    fn sources(&self, batch: &Batch, which: Subset) -> (Sources, Vec<Tensor<2>>) {
        let mut unimodal = blocks::encode(&self.encoders, &self.modalities, batch, which);
        let features: Vec<Tensor<2>> = which
            .iter()
            .map(|m| {
                let input = batch.input(m, &self.modalities[m]);
                self.private.at(m).features.encode(&input, batch, m)
            })
            .collect();
        for (m, features) in which.iter().zip(&features) {
            unimodal.private[m] = Some(self.private.at(m).read(features.clone()));
        }
        (Sources::new(unimodal, which, self.config.family), features)
    }

    /// Reparameterised samples of shared and private codes of every source.
    fn samples(&self, sources: &Sources, samples: usize, noise: &mut Noise) -> Vec<Tensor<4>> {
        let private = experts::draw(sources.private(), samples, noise);
        vec![experts::draw(&sources.shared, samples, noise), private]
    }

    /// Private codes of each modality that is not their source, from the surrogate of its features,
    /// `[(sources - 1) * samples, batch, private]` by modality; `None` for one that the batch lacks.
    fn surrogates(
        &self,
        sources: &Sources,
        features: &[Tensor<2>],
        samples: usize,
        noise: &mut Noise,
    ) -> Vec<Option<Tensor<3>>> {
        let [count, rows] = sources.presence.dims();
        let code = |m: usize| {
            let place = sources.members.iter().position(|source| source == m)?;
            let net = self.private.at(m);
            let pseudo = net.pseudo_features.val();
            let surrogate = self.config.surrogate.of(&features[place], &pseudo);
            let Normal { mean, log_var } = net.read(surrogate);
            let posterior = self.config.family.with_raw_scale(mean, log_var);
            let posterior = posterior.map(|x| x.unsqueeze_dim::<3>(0));
            let draws = Draws::Samples((count - 1) * samples);
            (count > 1).then(|| experts::draw_prior(&posterior, draws, rows, noise))
        };
        (0..self.modalities.len()).map(code).collect()
    }

    /// The log-weights of `samples` samples of every source that the batch observes, and which
    /// sources a row has, `[source, batch]`.
    pub fn importance_weights(
        &self,
        batch: &Batch,
        samples: usize,
        noise: &mut Noise,
    ) -> (ImportanceWeights, Tensor<2>) {
        let (sources, features) = self.sources(batch, Sources::observed(batch));
        let codes = self.samples(&sources, samples, noise);
        let surrogates = self.surrogates(&sources, &features, samples, noise);
        (self.weigh(batch, &sources, &codes, &surrogates, false), sources.presence)
    }

    /// Weighs shared and private codes `[source, samples, batch, features]`.
    fn weigh(
        &self,
        batch: &Batch,
        sources: &Sources,
        codes: &[Tensor<4>],
        surrogates: &[Option<Tensor<3>>],
        detach: bool,
    ) -> ImportanceWeights {
        let count = codes[0].dims()[0];
        let u = experts::folded(&codes[0]);
        let (mixture, private) = (sources.own_mixture(batch), sources.private().clone());
        let (mixture, private) = match detach {
            true => (mixture.detach(), private.detach()),
            false => (mixture, private),
        };
        let log_ratio = self.shared_prior().log_prob(&u) - mixture.log_prob(&u);
        let of_source = |(place, m): (usize, usize)| {
            let w = codes[1].clone().narrow(0, place, 1).squeeze_dim::<3>(0);
            self.private_prior(m).log_prob(&w)
        };
        let log_p_w = sources.members.iter().enumerate().map(of_source).collect();
        let log_q_w: Tensor<3> =
            private.map(|x| x.unsqueeze_dim::<4>(1)).log_prob(codes[1].clone());
        ImportanceWeights {
            log_likelihood: experts::cross_likelihoods(
                &self.decoders,
                batch,
                sources.members,
                codes,
                surrogates,
            ),
            log_ratio: experts::unfolded(log_ratio, count) + Tensor::stack(log_p_w, 0) - log_q_w,
        }
    }

    /// The posterior of the private space of a modality that was encoded, `[1, batch, private]`.
    fn private_posterior(&self, sources: &Sources, modality: usize) -> Option<LocationScale<3>> {
        let place = sources.members.iter().position(|source| source == modality)?;
        Some(sources.private().clone().map(|x| x.narrow(0, place, 1)))
    }

    /// Private codes of all modalities, `[samples, batch, private]`: from the posterior where it was
    /// encoded, from the prior where it was not or the row lacks it.
    fn private_codes(
        &self,
        batch: &Batch,
        sources: &Sources,
        draws: Draws,
        noise: &mut Noise,
    ) -> Vec<(ModalityName, Tensor<3>)> {
        let rows = batch.rows();
        let code = |(m, spec): (usize, &ModalitySpec)| {
            let observed = batch.presence().rows().iter().all(|row| row.contains(m));
            let own = self.private_posterior(sources, m);
            let own = own.map(|q| experts::draw_prior(&q, draws, rows, noise));
            let mut prior = || self.private_prior(m).draw(draws, rows, noise);
            let code = match own {
                None => prior(),
                Some(own) if observed => own,
                Some(own) => {
                    let presence = batch.presence().of(m).unsqueeze_dims::<3>(&[0, 2]);
                    own * presence.clone() + prior() * (presence.neg() + 1.0)
                }
            };
            (spec.name.clone(), code)
        };
        self.modalities.iter().enumerate().map(code).collect()
    }

    /// `log p_m(w) - log q(w | x_m)` of codes `[samples, batch, private]` of a modality that was
    /// encoded, `[samples, batch]`; 0 in rows that lack it.
    fn private_ratio(
        &self,
        batch: &Batch,
        sources: &Sources,
        modality: usize,
        code: &Tensor<3>,
    ) -> Tensor<2> {
        let posterior = self.private_posterior(sources, modality).expect("it was encoded");
        let log_q: Tensor<2> = posterior.log_prob(code.clone());
        let log_p = self.private_prior(modality).log_prob(code);
        (log_p - log_q) * batch.presence().of(modality).unsqueeze_dim::<2>(0)
    }
}

impl SharedPrior for Mvp {
    fn log_prob(&self, shared: &Tensor<3>) -> Tensor<2> {
        self.shared_prior().log_prob(shared)
    }

    /// For [`Draws::Mean`], the location of a component that is drawn.
    fn draw(&self, draws: Draws, rows: usize, _: &Device, noise: &mut Noise) -> Tensor<3> {
        self.shared_prior().draw(draws, rows, noise)
    }
}

impl Multimodal for Mvp {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Mvp {
    fn terms(&self, _: Progress) -> Vec<String> {
        experts::terms(self)
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let (weights, sources) = self.importance_weights(batch, self.config.samples, noise);
        self.objective().loss(self.terms(batch.progress), &weights, &sources)
    }

    fn step(&self, batch: &Batch, noise: &mut Noise) -> Step {
        let samples = self.config.samples;
        let (sources, features) = self.sources(batch, Sources::observed(batch));
        let codes = self.samples(&sources, samples, noise);
        let surrogates = self.surrogates(&sources, &features, samples, noise);
        let weigh = |codes: &[Tensor<4>], detach: bool| {
            self.weigh(batch, &sources, codes, &surrogates, detach)
        };
        let names = self.terms(batch.progress);
        self.objective().step(self, names, codes, &sources.presence, weigh)
    }
}

impl Encode for Mvp {
    /// Samples of the mixture of the given modalities, and of the private spaces of all.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let (sources, _) = self.sources(batch, given);
        let u = match draws {
            Draws::Samples(n) => sources.values(batch, self, Choice::Random(n), noise).0,
            Draws::Mean => sources.mean(batch, self, noise),
        };
        Latent::shared(u).with_private(self.private_codes(batch, &sources, draws, noise))
    }
}

impl Generate for Mvp {
    fn prior(&self, rows: usize, _: &Device, noise: &mut Noise) -> Latent {
        let draws = Draws::Samples(1);
        let u = self.shared_prior().draw(draws, rows, noise);
        let code = |(m, spec): (usize, &ModalitySpec)| {
            (spec.name.clone(), self.private_prior(m).draw(draws, rows, noise))
        };
        Latent::shared(u).with_private(self.modalities.iter().enumerate().map(code).collect())
    }

    fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
        blocks::decode(&self.decoders, &self.modalities, latent, targets)
    }

    fn decoder(&self, modality: usize) -> Option<&Decoder> {
        Some(self.decoders.at(modality))
    }
}

impl Density for Mvp {
    /// Of one sample a given modality.
    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        let ((sources, _), samples) = (self.sources(batch, given), given.len());
        let choice = Choice::Stratified(0..samples, samples);
        let (u, log_q) = sources.values(batch, self, choice, noise);
        let kl = (log_q - self.shared_prior().log_prob(&u)).mean_dim(0).squeeze_dim(0);
        let codes = self.private_codes(batch, &sources, Draws::Samples(samples), noise);
        let mut divergences = vec![("kl".to_owned(), kl)];
        for m in given.iter() {
            let (name, code) = &codes[m];
            let ratio = self.private_ratio(batch, &sources, m, code);
            let kl = ratio.mean_dim(0).squeeze_dim::<1>(0).neg();
            divergences.push((format!("kl_private/{name}"), kl));
        }
        let latent = Latent::shared(u).with_private(codes);
        let likelihoods = blocks::log_likelihoods(&self.decoders, &self.modalities, batch, &latent);
        blocks::bound(likelihoods.into_iter().map(|l| l.mean_dim(0)).collect(), divergences)
    }

    /// Importance samples: shared codes stratified over the targets, private ones of the targets from
    /// their posteriors, weighed with `p(u) Π p_m(w_m)`.
    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let (sources, _) = self.sources(batch, targets);
        importance_estimate(batch.rows(), budget, &batch.device(), |samples| {
            let draws = Draws::Samples(samples.len());
            let choice = Choice::Stratified(samples, budget.samples);
            let (u, log_q) = sources.values(batch, self, choice, noise);
            let ratio = self.shared_prior().log_prob(&u) - log_q;
            targets.iter().fold(ratio, |weights, m| {
                let posterior = self.private_posterior(&sources, m).expect("it was encoded");
                let code = experts::draw_prior(&posterior, draws, batch.rows(), noise);
                let input = blocks::decoder_input(&u, Some(&code));
                let likelihood = blocks::log_likelihood(&self.decoders, batch, m, input);
                weights + self.private_ratio(batch, &sources, m, &code) + likelihood
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::module::ModuleMapper;
    use multivae_core::module::init_parameters;

    use super::*;

    fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().try_into_vec().expect("floats")
    }

    fn model(estimator: Estimator) -> Mvp {
        let specs = ["a", "b"].map(|name| ModalitySpec::new(name, &[3]).expect("valid"));
        let config = MvpConfig {
            latent: 2,
            private: 2,
            features: 3,
            components: 2,
            pseudo_features: 3,
            samples: 2,
            family: Family::Normal,
            estimator,
            ..MvpConfig::default()
        };
        let config = config.with_modalities(&specs).expect("the data suits");
        let device = Device::flex().autodiff();
        init_parameters(config.init(&Networks::default(), &device).expect("a model"))
    }

    fn batch(b: f32) -> Batch {
        let device = Device::flex().autodiff();
        let a = Tensor::<2>::from_floats([[0.2, -1.0, 0.4], [1.0, 0.1, -0.6]], &device);
        Batch::complete(vec![a.clone(), a * b]).expect("one size")
    }

    #[test]
    fn surrogates_are_the_nearest_pseudo_features_or_their_weighted_mean() {
        let device = Device::flex();
        let pseudo = Tensor::<2>::from_floats([[0.0, 0.0], [3.0, 0.0]], &device);
        let features = Tensor::<2>::from_floats([[1.0, 5.0], [2.0, -5.0]], &device);
        let of = |surrogate: Surrogate| numbers(surrogate.of(&features, &pseudo));
        assert_eq!(of(Surrogate::Nearest), [0.0, 0.0, 3.0, 0.0]);
        // Squared distances 26 and 29, 29 and 26.
        let share = 1.0 / (1.0 + (-3.0_f32 / 2.0).exp());
        let expected = [3.0 * (1.0 - share), 0.0, 3.0 * share, 0.0];
        for (found, expected) in of(Surrogate::Weighted(2.0)).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn both_estimators_weigh_with_the_mixture() {
        struct Move(f32);
        impl ModuleMapper for Move {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let by = self.0;
                param.map(|old| (old + by).detach().require_grad())
            }
        }
        for estimator in [Estimator::Iwae, Estimator::Dreg] {
            let first = model(estimator);
            let moved = Mvp {
                prior_locations: Move(2.0).map_float(first.prior_locations.clone()),
                ..first.clone()
            };
            let value = |model: &Mvp| {
                let step = model.step(&batch(0.5), &mut Noise::seeded(1));
                step.into_gradients(model).0.total.into_scalar::<f32>()
            };
            assert_ne!(value(&first), value(&moved), "{estimator:?}");
        }
    }

    #[test]
    fn the_private_code_of_what_is_not_given_tells_nothing_of_it() {
        let model = model(Estimator::Dreg);
        let code = |batch: &Batch| {
            let noise = &mut Noise::seeded(3);
            let latent = model.encode(batch, Subset::single(0), Draws::Samples(3), noise);
            latent.named().into_iter().flat_map(|(_, z)| numbers(z)).collect::<Vec<f32>>()
        };
        assert_eq!(code(&batch(0.5)), code(&batch(-2.0)));
    }

    #[test]
    fn pseudo_features_learn_from_what_is_decoded_only() {
        let model = model(Estimator::Iwae);
        let pseudo = || model.private.at(0).pseudo_features.val();
        let w = Tensor::<3>::ones([1, 2, 2], &Device::flex().autodiff());
        let gradients = model.private_prior(0).log_prob(&w).sum().backward();
        assert!(pseudo().grad(&gradients).is_none());
        let gradients = model.loss(&batch(0.5), &mut Noise::seeded(1)).total.backward();
        let gradient = numbers(pseudo().grad(&gradients).expect("they are decoded"));
        assert!(gradient.iter().any(|g| *g != 0.0));
    }
}
