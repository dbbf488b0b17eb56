//! Nexus: a code for each modality, and a shared space above the codes.
//!
//! **Paper.** Vasco, Yin, Melo and Paiva, "Leveraging hierarchy in multimodal generative models for
//! effective cross-modality inference", Neural Networks 2022.
//!
//! **Generative process.** `z ~ N(0, I)`, for every modality a code
//! `c_m ~ N(f_m(z), s_m² I)` and `x_m ~ p(x_m | c_m)`. `f_m` is a top decoder; `s_m` is 1, or
//! learned for the modalities in `adaptive`.
//!
//! **Inference.** `q(c_m | x_m)` is normal, for each modality alone. A top encoder turns a code
//! into a message; the mean of the messages is encoded to a normal `q(z | c_S)`. A row uses those
//! of the given modalities that it observes, and the prior if it observes none.
//!
//! **Objective.** With `c_m ~ q(c_m | x_m)`, a copy `c̄_m` of it that gradients do not pass, and `z`
//! from the posterior given those copies,
//!
//! ```text
//! bottom = Σ_m [ -λ_m log p(x_m | c_m) + w β_m KL(q(c_m | x_m) ‖ N(0, I)) ]
//! top    = -Σ_m γ_m log N(c̄_m; f_m(z), s_m² I) + w β_top KL(q(z | c̄) ‖ p(z))
//! loss   = mean_b [ bottom + top ]
//! ```
//!
//! with sums over observed modalities. `w` grows from 0 to 1 over the first `warmup` epochs. For
//! the modalities in `adaptive`, `s_m²` in the loss is the mean of `(c̄_m - f_m(z))²` over features
//! and over the rows of the batch that observe the modality; gradients pass it. Such an objective is one
//! of a whole batch, which is neither shared among devices nor taken in parts. With probability
//! `dropout` a training row sends only some of its messages: a number from 1 to all but one, each
//! number and each choice being equally likely.
//!
//! **What differs from MultiVae.** Its default top decoders end in a sigmoid and yield codes
//! between 0 and 1, while codes are normal; here they end in a linear layer. It drops messages in
//! evaluation too, where they make the result depend on chance, and never in batches that carry
//! masks; here each training row drops among what it observes, and evaluation drops nothing. It
//! divides by zero without warm-up; here that is weight 1. Its weight `w` rises once an epoch, by
//! `epoch / warmup`, here with every batch from 0. Adaptive scales there count what stands in
//! missing entries; here only what is observed. It encodes missing entries when asked for
//! incomplete rows; here they send no message. It reads a number from the device for each row and
//! step; here nothing waits. It has no joint likelihood; here it follows from the generative
//! process. Outside of the loss, where a scale has to be that of the model and not of a batch, an
//! adaptive `s_m` is a parameter, which learns the likelihood of the codes under `f_m(z)` and has no
//! influence on what else is learned.
//!
//! Latent values hold the code of every modality. What is not given, and samples of the prior, have
//! the means `f_m(z)` as codes, as in the paper; only bounds and likelihoods draw them.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` calls each of encoders, decoders, top encoders and top decoders, one
//! joint encoder call, all of `B` rows.

use std::collections::BTreeMap;

use burn::{
    module::{Module, Param},
    nn::Initializer,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress, Purpose, Values},
    distribution::Normal,
    modality::{ModalityName, ModalitySpec},
    model::{
        Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal, Phase, Rows,
        Stage,
    },
    module::Named,
    nn::{
        Activation, Decoder, Encoder, EncoderConfig, EncoderNet, Network, NetworkConfig,
        NetworkNet, Networks,
    },
    noise::Noise,
    objective::{Budget, Estimate, Rescale, Warmup, importance_estimate, log_prior_ratio},
    options,
    subset::Subset,
};
use serde_json::{Value, json};

use crate::{
    blocks::{self, ModalityConfig},
    exchange::models::{self as classes, Class},
    registry::Listed,
};

options! {
    /// Configuration of [`Nexus`].
    pub struct NexusConfig {
        /// Features of the shared latent space, at least 1.
        pub latent: usize = 20,
        /// Features of a message, at least 1.
        pub message: usize = 10,
        /// Probability that a training row sends only some of its messages, 0 to 1.
        pub dropout: f64 = 0.0,
        /// Epochs over which the weights of all divergences grow from 0; 0 for none.
        pub warmup: Warmup = Warmup { epochs: 20 },
        /// Weight of the divergence of the shared posterior from the prior, at least 0.
        pub top_beta: f64 = 1.0,
        /// Modalities the scale of whose codes, given the shared space, is that of the data; of the
        /// others it is 1.
        pub adaptive: Vec<ModalityName> = Vec::new(),
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Features of the codes by modality, at least 1; 16 for one that is not named.
        pub private: BTreeMap<ModalityName, usize> = BTreeMap::new(),
        /// Weights of the divergences of the codes by modality, at least 0; 1 for one that is not
        /// named.
        pub bottom_betas: BTreeMap<ModalityName, f64> = BTreeMap::new(),
        /// Weights of the likelihoods of the codes given the shared space by modality, at least 0;
        /// 1 for one that is not named.
        pub gammas: BTreeMap<ModalityName, f64> = BTreeMap::new(),
        /// From codes to messages by modality; perceptrons where not given.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub top_encoders: BTreeMap<ModalityName, NetworkConfig> = BTreeMap::new(),
        /// From the mean message to the shared posterior; a perceptron if not given.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub top_encoder: Option<EncoderConfig> = None,
        /// From the shared space to means of codes by modality; perceptrons where not given.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub top_decoders: BTreeMap<ModalityName, NetworkConfig> = BTreeMap::new(),
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// Features of the code of a modality of which nothing else is said.
const PRIVATE: usize = 16;

/// A VAE of codes with a shared space above; see the [module](self).
#[derive(Module, Debug)]
pub struct Nexus {
    encoders: Named<EncoderNet>,
    decoders: Named<Decoder>,
    top_encoders: Named<NetworkNet>,
    top_encoder: EncoderNet,
    top_decoders: Named<NetworkNet>,
    /// Natural logarithms of the scales of adaptive modalities' codes, `[1]` each.
    log_scales: Named<Param<Tensor<1>>>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: NexusConfig,
    #[module(skip)]
    rescale: Vec<f64>,
    #[module(skip)]
    bottom_betas: Vec<f64>,
    #[module(skip)]
    gammas: Vec<f64>,
}

impl Listed for NexusConfig {
    const CLASS: Option<Class> = Some(classes::NEXUS);

    fn exercise(specs: &[ModalitySpec]) -> Value {
        let first = specs[0].name.as_str();
        json!({ "private": { first: 2 }, "adaptive": [first], "dropout": 0.5 })
    }
}

impl NexusConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete(&self.modalities, specs)?;
        for spec in specs {
            let name = || spec.name.clone();
            self.private.entry(name()).or_insert(PRIVATE);
            self.top_encoders.entry(name()).or_insert_with(top_encoder);
            self.top_decoders.entry(name()).or_insert_with(NetworkConfig::mlp);
        }
        self.top_encoder.get_or_insert_with(EncoderConfig::mlp);
        self.check(specs)?;
        Ok(self)
    }

    fn check(&self, specs: &[ModalitySpec]) -> Result<()> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check(self.message > 0, "model.message", "at least 1", self.message)?;
        let share = (0.0..=1.0).contains(&self.dropout);
        blocks::check(share, "model.dropout", "a number from 0 to 1", self.dropout)?;
        blocks::check_weight("model.top_beta", self.top_beta)?;
        for (spec, size) in specs.iter().zip(blocks::private_sizes(&self.private, specs)?) {
            let field = format!("model.private.{}", spec.name);
            blocks::check(size > 0, &field, "at least 1", size)?;
        }
        let named = self.adaptive.iter().chain(self.top_encoders.keys());
        for name in named.chain(self.top_decoders.keys()) {
            Subset::named(specs, [name.as_str()])?;
        }
        self.bottom_betas(specs)?;
        self.gammas(specs)?;
        self.rescale.check(self.modalities.len())
    }

    /// Weights of the divergences of the codes.
    fn bottom_betas(&self, specs: &[ModalitySpec]) -> Result<Vec<f64>> {
        blocks::weights("model.bottom_betas", &self.bottom_betas, specs, |_| 1.0)
    }

    /// Weights of the likelihoods of the codes.
    fn gammas(&self, specs: &[ModalitySpec]) -> Result<Vec<f64>> {
        blocks::weights("model.gammas", &self.gammas, specs, |_| 1.0)
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Nexus> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check(&modalities)?;
        let sizes = blocks::private_sizes(&self.private, &modalities)?;
        let (mut encoders, mut decoders) = (Vec::new(), Vec::new());
        let (mut top_encoders, mut top_decoders) = (Vec::new(), Vec::new());
        for (config, &size) in self.modalities.iter().zip(&sizes) {
            let (encoder, decoder) = blocks::autoencoder(config, size, 0, networks, device)?;
            let given = self.top_encoders.get(&config.name).cloned();
            let top_encoder = given.unwrap_or_else(top_encoder).init(
                &format!("top encoder of `{}`", config.name),
                &[size],
                Some(&[self.message]),
                networks,
                device,
            )?;
            let given = self.top_decoders.get(&config.name).cloned();
            let top_decoder = given.unwrap_or_else(NetworkConfig::mlp).init(
                &format!("top decoder of `{}`", config.name),
                &[self.latent],
                Some(&[size]),
                networks,
                device,
            )?;
            let name = || config.name.to_string();
            encoders.push((name(), encoder));
            decoders.push((name(), decoder));
            top_encoders.push((name(), top_encoder));
            top_decoders.push((name(), top_decoder));
        }
        let top_encoder = self.top_encoder.clone().unwrap_or_else(EncoderConfig::mlp).init(
            "top encoder",
            &[self.message],
            Some(&[self.latent]),
            None,
            networks,
            device,
        )?;
        let adaptive = modalities.iter().filter(|spec| self.adaptive.contains(&spec.name));
        let log_scale =
            |spec: &ModalitySpec| (spec.name.to_string(), Initializer::Zeros.init([1], device));
        Ok(Nexus {
            encoders: encoders.into_iter().collect(),
            decoders: decoders.into_iter().collect(),
            top_encoders: top_encoders.into_iter().collect(),
            top_encoder,
            top_decoders: top_decoders.into_iter().collect(),
            log_scales: adaptive.map(log_scale).collect(),
            rescale: self.rescale.factors(&modalities),
            bottom_betas: self.bottom_betas(&modalities)?,
            gammas: self.gammas(&modalities)?,
            modalities,
            config: self.clone(),
        })
    }
}

/// From codes to messages, where nothing else is said: as wide as the default encoders.
fn top_encoder() -> NetworkConfig {
    NetworkConfig::Mlp {
        hidden: vec![512, 512],
        activation: Activation::default(),
        output: Activation::None,
    }
}

/// Codes of a modality, `[samples, batch, features]`, with its number.
type Codes = Vec<(usize, Tensor<3>)>;

impl Nexus {
    /// The posteriors of the codes of the modalities in `given`, `[batch, features]`, with their
    /// numbers.
    fn posteriors(&self, batch: &Batch, given: Subset) -> Vec<(usize, Normal<2>)> {
        let encode = |m: usize| {
            let (encoder, spec) = (self.encoders.at(m), &self.modalities[m]);
            blocks::encoding(encoder, spec, batch, m).shared.bounded()
        };
        given.iter().map(|m| (m, encode(m))).collect()
    }

    /// Draws codes from their posteriors.
    fn codes(posteriors: &[(usize, Normal<2>)], draws: Draws, noise: &mut Noise) -> Codes {
        posteriors.iter().map(|(m, q)| (*m, blocks::draw(q, draws, noise))).collect()
    }

    /// 1 where a row sends the message of a modality, `[batch, modality]`: what it observes, but
    /// for what it drops in training.
    fn sent(&self, batch: &Batch, noise: &mut Noise) -> Tensor<2> {
        let (presence, modalities) = (batch.presence().mask(), self.modalities.len());
        if batch.purpose == Purpose::Evaluate || self.config.dropout == 0.0 || modalities < 2 {
            return presence;
        }
        // Whether a row drops, how many it keeps, and a key for each modality.
        let uniform = noise.uniform([batch.rows(), 2 + modalities], 0, &batch.device());
        let column = |i| uniform.clone().narrow(1, i, 1);
        let drops = column(0).lower_scalar(self.config.dropout).float();
        let kept = (column(1) * (presence.clone().sum_dim(1) - 1.0)).floor() + 1.0;
        let keys = uniform.narrow(1, 2, modalities);
        // The rank of a modality's key among those of the observed ones.
        let before = keys
            .clone()
            .unsqueeze_dim::<3>(1)
            .expand([batch.rows(), modalities, modalities])
            .lower(keys.unsqueeze_dim::<3>(2).expand([batch.rows(), modalities, modalities]))
            .float();
        let rank = (before * presence.clone().unsqueeze_dim(1)).sum_dim(2).squeeze_dim::<2>(2);
        let kept = rank.lower(kept.expand([batch.rows(), modalities])).float();
        presence * (kept * drops.clone() + (drops - 1.0).neg())
    }

    /// The posterior of the shared space given codes, `[samples, batch, latent]`, of which a row
    /// uses those that it sends; the prior for rows that send none.
    fn shared(&self, batch: &Batch, codes: &Codes, sent: &Tensor<2>) -> Normal<3> {
        let mask = |m: usize| sent.clone().narrow(1, m, 1).unsqueeze_dim::<3>(0);
        let message = |(m, code): &(usize, Tensor<3>)| {
            let [samples, rows, features] = code.dims();
            let code = Values::Dense(code.clone().reshape([samples * rows, features]));
            let message = self.top_encoders.at(*m).forward_observed(&code, batch, *m);
            let features = message.dims()[1];
            message.reshape([samples, rows, features]) * mask(*m)
        };
        let messages = codes.iter().map(message);
        let sum = messages.reduce(|sum, next| sum + next).expect("a subset is not empty");
        let count = codes.iter().map(|(m, _)| mask(*m)).reduce(|sum, next| sum + next);
        let count = count.expect("a subset is not empty");
        let mean = sum / count.clone().clamp_min(1.0);
        let [samples, rows, message] = mean.dims();
        let mean = Values::Dense(mean.reshape([samples * rows, message]));
        let posterior = self.top_encoder.encode(&mean).shared.bounded();
        // A standard normal has mean and log-variance zero.
        let any = count.clamp_max(1.0);
        posterior.map(|x| x.reshape([samples, rows, self.config.latent]) * any.clone())
    }

    /// `p(c_m | z)`, `[samples, batch, features]`, with the scale of the model.
    fn code(&self, z: &Tensor<3>, modality: usize) -> Normal<3> {
        let mean = apply(self.top_decoders.at(modality), z);
        let log_var = match self.log_scale(modality) {
            Some(log_scale) => (log_scale * 2.0).reshape([1, 1, 1]).expand(mean.dims()),
            None => mean.zeros_like(),
        };
        Normal::new(mean, log_var)
    }

    /// The learned scale of a modality's codes, `[1]`, where it is adaptive.
    fn log_scale(&self, modality: usize) -> Option<Tensor<1>> {
        self.log_scales.get(self.modalities[modality].name.as_str()).map(Param::val)
    }

    /// The mean code of a modality, `[samples, batch, features]`.
    fn mean_code(&self, z: &Tensor<3>, modality: usize) -> Tensor<3> {
        apply(self.top_decoders.at(modality), z)
    }

    /// What the decoder of a modality reads: its code, or the mean code where there is none.
    fn input(&self, latent: &Latent, modality: usize) -> Tensor<3> {
        match latent.of(&self.modalities[modality].name) {
            Some(code) => code.clone(),
            None => self.mean_code(&latent.z(), modality),
        }
    }

    /// Latent values with the given codes in rows that observe them, and mean codes elsewhere.
    fn latent(&self, batch: &Batch, z: Tensor<3>, codes: &Codes) -> Latent {
        let code = |m: usize| {
            let mean = self.mean_code(&z, m);
            match codes.iter().find(|(given, _)| *given == m) {
                Some((_, own)) => own_or(batch, m, own.clone(), mean),
                None => mean,
            }
        };
        let specs = self.modalities.iter().enumerate();
        let private = specs.map(|(m, spec)| (spec.name.clone(), code(m))).collect();
        Latent::shared(z).with_private(private)
    }

    /// `-log N(c̄_m; f_m(z), s_m² I)`, `[1]`, averaged over rows, with 0 for those that lack the
    /// modality, for one sample.
    ///
    /// The scale of an adaptive modality is the one under which its codes in this batch are
    /// likeliest. The learned scale is told to follow by a term whose value is 0.
    fn code_loss(
        &self,
        batch: &Batch,
        modality: usize,
        code: &Tensor<3>,
        z: &Tensor<3>,
    ) -> Tensor<1> {
        let presence = batch.presence().of(modality);
        let of = |p: Normal<3>| {
            let log_prob = p.log_prob::<2>(code.clone()).squeeze_dim::<1>(0);
            (log_prob * presence.clone()).mean().neg()
        };
        let own = self.code(z, modality);
        if self.log_scale(modality).is_none() {
            return of(own);
        }
        let mean = own.mean;
        let squares: Tensor<1> =
            (code.clone() - mean.clone()).square().mean_dim(2).squeeze_dims(&[0, 2]);
        let count = presence.clone().sum();
        let none = count.clone().equal_scalar(0.0).float();
        let variance = ((squares * presence.clone()).sum() + none) / count.clamp_min(1.0);
        let log_var = variance.clamp_min(LEAST_VARIANCE).log().reshape([1, 1, 1]);
        let loss = of(Normal::new(mean.clone(), log_var.expand(mean.dims())));
        let follow = of(Normal::new(mean.detach(), own.log_var));
        loss + (follow.clone() - follow.detach())
    }
}

/// What keeps the variance of codes away from zero.
const LEAST_VARIANCE: f64 = 1e-12;

/// A network on `[samples, batch, inputs]`, in one call.
fn apply(net: &NetworkNet, input: &Tensor<3>) -> Tensor<3> {
    let [samples, rows, inputs] = input.dims();
    let output = net.forward(input.clone().reshape([samples * rows, inputs]));
    let outputs = output.dims()[1];
    output.reshape([samples, rows, outputs])
}

/// Values `[samples, batch, features]` of a modality in rows that observe it, others elsewhere.
fn own_or(batch: &Batch, modality: usize, own: Tensor<3>, other: Tensor<3>) -> Tensor<3> {
    let missing = batch.presence().of(modality).equal_scalar(0.0).unsqueeze_dims::<3>(&[0, 2]);
    own.mask_where(missing.expand(other.dims()), other)
}

impl Multimodal for Nexus {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Nexus {
    /// `reconstruction/NAME` and `kl_private/NAME` are those of the codes, `code/NAME` is the
    /// negative log-likelihood of the code given the shared space, with its weight, and `kl` the
    /// divergence of the shared space.
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.extend(blocks::terms("kl_private", &self.modalities));
        names.extend(blocks::terms("code", &self.modalities));
        names.push("kl".into());
        names
    }

    fn stages(&self) -> Vec<Stage> {
        let phase = Phase::whole();
        // The scale of an adaptive modality is that of the batch.
        let adaptive = !self.config.adaptive.is_empty();
        let phase = if adaptive { phase.rows(Rows::Whole(1)) } else { phase };
        vec![Stage::whole().phases(vec![phase])]
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let all = Subset::full(self.modalities.len());
        let weight = self.config.warmup.weight(batch.progress);
        let posteriors = self.posteriors(batch, all);
        let codes = Self::codes(&posteriors, Draws::Samples(1), noise);
        let likelihoods: Vec<Tensor<2>> = codes
            .iter()
            .map(|(m, code)| blocks::log_likelihood(&self.decoders, batch, *m, code.clone()))
            .collect();
        let mut terms = blocks::reconstruction_means(&likelihoods, &self.rescale);
        let mut total = blocks::sum(&terms);
        for ((m, posterior), beta) in posteriors.iter().zip(&self.bottom_betas) {
            let kl = (posterior.kl_standard::<1>() * batch.presence().of(*m)).mean();
            total = total + kl.clone() * (weight * beta);
            terms.push(kl);
        }

        // The levels learn from one another's values, not through them.
        let codes: Codes = codes.into_iter().map(|(m, code)| (m, code.detach())).collect();
        let posterior = self.shared(batch, &codes, &self.sent(batch, noise));
        let z = posterior.rsample(noise.normal(posterior.mean.dims(), 1, &batch.device()));
        for ((m, code), gamma) in codes.iter().zip(&self.gammas) {
            let loss = self.code_loss(batch, *m, code, &z) * *gamma;
            total = total + loss.clone();
            terms.push(loss);
        }
        let kl = posterior.kl_standard::<2>().mean();
        total = total + kl.clone() * (weight * self.config.top_beta);
        terms.push(kl);
        blocks::loss(total, self.terms(batch.progress), terms)
    }
}

impl Encode for Nexus {
    /// Codes of what is given and observed are drawn, or their means; all others are mean codes.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let codes = Self::codes(&self.posteriors(batch, given), draws, noise);
        let posterior = self.shared(batch, &codes, &batch.presence().mask());
        let z = match draws {
            Draws::Mean => posterior.mean,
            Draws::Samples(_) => {
                posterior.rsample(noise.normal(posterior.mean.dims(), 1, &batch.device()))
            }
        };
        self.latent(batch, z, &codes)
    }
}

impl Generate for Nexus {
    fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
        let z = noise.normal([1, rows, self.config.latent], 1, device);
        let specs = self.modalities.iter().enumerate();
        let private = specs.map(|(m, spec)| (spec.name.clone(), self.mean_code(&z, m))).collect();
        Latent::shared(z).with_private(private)
    }

    fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
        targets.iter().map(|m| self.decoders.at(m).decode(self.input(latent, m))).collect()
    }

    fn decoder(&self, modality: usize) -> Option<&Decoder> {
        Some(self.decoders.at(modality))
    }
}

impl Density for Nexus {
    /// Divergences of codes are those of one sample, `log q(c_m | x_m) - log p(c_m | z)`; codes
    /// that are not given are drawn from `p(c_m | z)` and have none.
    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        let posteriors = self.posteriors(batch, given);
        let codes = Self::codes(&posteriors, Draws::Samples(1), noise);
        let shared = self.shared(batch, &codes, &batch.presence().mask());
        let z = shared.rsample(noise.normal(shared.mean.dims(), 1, &batch.device()));
        let kl = shared.kl_standard::<2>().squeeze_dim(0);
        let mut divergences = vec![("kl".to_owned(), kl)];
        let mut likelihoods = Vec::new();
        for (m, spec) in self.modalities.iter().enumerate() {
            let p = self.code(&z, m);
            let drawn = p.rsample(noise.normal(p.mean.dims(), 1, &batch.device()));
            let place = posteriors.iter().position(|(given, _)| *given == m);
            let code = match place {
                Some(place) => {
                    let code = codes[place].1.clone();
                    let ratio = code_ratio(batch, &posteriors[place], &code, &p);
                    divergences
                        .push((format!("kl_private/{}", spec.name), ratio.neg().squeeze_dim(0)));
                    own_or(batch, m, code, drawn)
                }
                None => drawn,
            };
            likelihoods.push(blocks::log_likelihood(&self.decoders, batch, m, code));
        }
        blocks::bound(likelihoods, divergences)
    }

    /// Weights `Π p(x_m | c_m) p(c_m | z) p(z) / (Π q(c_m | x_m) q(z | c))` over observed targets.
    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let posteriors = self.posteriors(batch, targets);
        importance_estimate(batch.rows(), budget, &batch.device(), |samples| {
            let codes = Self::codes(&posteriors, Draws::Samples(samples.len()), noise);
            let shared = self.shared(batch, &codes, &batch.presence().mask());
            let z = shared.rsample(noise.normal(shared.mean.dims(), 1, &batch.device()));
            let ratio = log_prior_ratio(&z, &shared);
            posteriors.iter().zip(codes).fold(ratio, |weights, (posterior, (m, code))| {
                let ratio = code_ratio(batch, posterior, &code, &self.code(&z, m));
                weights + ratio + blocks::log_likelihood(&self.decoders, batch, m, code)
            })
        })
    }
}

/// `log p(c_m | z) - log q(c_m | x_m)` of codes, `[samples, batch]`; 0 where the modality is
/// missing.
fn code_ratio(
    batch: &Batch,
    (modality, posterior): &(usize, Normal<2>),
    code: &Tensor<3>,
    p: &Normal<3>,
) -> Tensor<2> {
    let posterior = posterior.clone().map(|x| x.unsqueeze_dim::<3>(0));
    let ratio: Tensor<2> = p.log_prob(code.clone()) - posterior.log_prob(code.clone());
    ratio * batch.presence().of(*modality).unsqueeze_dim(0)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use burn::optim::GradientsParams;
    use multivae_core::{batch::Presence, module::init_parameters};

    use super::*;

    const ROWS: usize = 200;

    fn model(modalities: usize, config: NexusConfig) -> Nexus {
        let name = |m| format!("m{m}");
        let specs: Vec<_> =
            (0..modalities).map(|m| ModalitySpec::new(&name(m), &[3]).expect("valid")).collect();
        let config = NexusConfig { latent: 2, ..config }.with_modalities(&specs);
        let config = config.expect("the data suits");
        init_parameters(
            config.init(&Networks::default(), &Device::flex().autodiff()).expect("a model"),
        )
    }

    /// Rows of different values that lack this and that, where a large value stands.
    fn batch(modalities: usize) -> Batch {
        let device = Device::flex().autodiff();
        let all: Vec<_> = multivae_core::subset::Subsets::all(modalities).iter().collect();
        let rows: Vec<Subset> = (0..ROWS).map(|row| all[row % all.len()]).collect();
        let presence = Presence::new(rows, modalities, &device);
        let values = |m: usize| {
            let value = |i: usize| (0.7 * i as f32 + m as f32).sin();
            let data: Vec<f32> = (0..ROWS * 3).map(value).collect();
            let x = Tensor::<1>::from_floats(data.as_slice(), &device).reshape([ROWS, 3]);
            let missing = presence.of(m).equal_scalar(0.0).unsqueeze_dim::<2>(1).expand([ROWS, 3]);
            Values::Dense(x.mask_fill(missing, 1e3))
        };
        let inputs = (0..modalities).map(values).collect();
        let mut batch = Batch::new(inputs, presence).expect("one size");
        batch.purpose = Purpose::Train;
        batch
    }

    fn term(model: &Nexus, name: &str) -> f64 {
        let loss = model.loss(&batch(2), &mut Noise::seeded(3));
        let (_, value) = loss.terms.into_iter().find(|(n, _)| n == name).expect("a term");
        f64::from(value.into_scalar::<f32>())
    }

    #[test]
    fn training_rows_drop_some_of_the_messages_they_have_and_others_none() {
        let modalities = 4;
        let model = model(modalities, NexusConfig { dropout: 1.0, ..NexusConfig::default() });
        let mut batch = batch(modalities);
        let sent = model.sent(&batch, &mut Noise::seeded(0));
        let sent: Vec<f32> = sent.into_data().try_into_vec().expect("floats");
        let mut counts = [0; 4];
        for (row, observed) in sent.chunks(modalities).zip(batch.presence().rows()) {
            let count = row.iter().filter(|&&s| s == 1.0).count();
            assert!(row.iter().enumerate().all(|(m, &s)| s == 0.0 || observed.contains(m)));
            assert!((1..observed.len().max(2)).contains(&count), "{count} of {observed}");
            counts[count - 1] += usize::from(observed.len() == modalities);
        }
        // Of four messages 1, 2 or 3 are sent, equally often.
        assert!(counts[..3].iter().all(|&count| count > 0) && counts[3] == 0, "{counts:?}");
        batch.purpose = Purpose::Evaluate;
        let sent = model.sent(&batch, &mut Noise::seeded(0)).into_data();
        assert_eq!(sent, batch.presence().mask().into_data());
    }

    #[test]
    fn half_of_the_rows_drop_messages_at_rate_one_half() {
        let model = model(2, NexusConfig { dropout: 0.5, ..NexusConfig::default() });
        let device = Device::flex().autodiff();
        let values = || Tensor::<2>::zeros([ROWS, 3], &device);
        let mut batch = Batch::complete(vec![values(), values()]).expect("one size");
        batch.purpose = Purpose::Train;
        let sent = model.sent(&batch, &mut Noise::seeded(0)).sum().into_scalar::<f32>();
        let dropped = 2.0 * ROWS as f32 - sent;
        assert!((dropped - 100.0).abs() < 5.0 * 50f32.sqrt(), "{dropped}");
    }

    #[test]
    fn encoders_learn_from_the_codes_alone() {
        let whole = model(2, NexusConfig::default());
        let bottom = Nexus {
            gammas: vec![0.0; 2],
            config: NexusConfig { top_beta: 0.0, ..whole.config.clone() },
            ..whole.clone()
        };
        let gradients = |model: &Nexus| {
            let loss = model.loss(&batch(2), &mut Noise::seeded(3)).total;
            GradientsParams::from_grads(loss.backward(), &model.encoders)
        };
        let (a, b) = (gradients(&whole), gradients(&bottom));
        assert!(!a.is_empty());
        for parameter in multivae_core::module::parameters(&whole.encoders) {
            let of = |g: &GradientsParams| g.get::<2>(parameter.id).map(|g| g.into_data());
            if parameter.shape.len() == 2 {
                assert_eq!(of(&a), of(&b), "{}", parameter.path);
                assert!(of(&a).is_some());
            }
        }
    }

    #[test]
    fn an_adaptive_scale_is_that_of_the_observed_codes_and_a_parameter_follows_it() {
        let names = vec![ModalityName::new("m0").expect("valid")];
        let adaptive = model(2, NexusConfig { adaptive: names, ..NexusConfig::default() });
        let fixed =
            Nexus { log_scales: std::iter::empty::<(String, _)>().collect(), ..adaptive.clone() };
        let features = PRIVATE as f64;
        let observed = batch(2).presence().rows().iter().filter(|row| row.contains(0)).count();
        let share = observed as f64 / ROWS as f64;
        // With scale 1: share D/2 ln 2π + squares / 2.
        let squares = 2.0 * term(&fixed, "code/m0") - share * features * TAU.ln();
        let variance = squares / (share * features);
        let expected = share * features / 2.0 * (TAU.ln() + variance.ln() + 1.0);
        let found = term(&adaptive, "code/m0");
        assert!((found - expected).abs() < 1e-3 * expected.abs(), "{found} {expected}");

        let (log_scale, id) = {
            let scale = adaptive.log_scales.at(0);
            (scale.val(), scale.id)
        };
        let loss = adaptive.loss(&batch(2), &mut Noise::seeded(3)).total;
        let gradients = GradientsParams::from_grads(loss.backward(), &adaptive);
        let gradient = gradients.get::<1>(id).expect("it learns").into_scalar::<f32>();
        let expected = share * features - squares;
        assert!((f64::from(gradient) - expected).abs() < 1e-3 * expected.abs(), "{gradient}");

        let other = Param::initialized(id, log_scale + 1.0);
        let other = Nexus { log_scales: [("m0", other)].into_iter().collect(), ..adaptive };
        assert_eq!(term(&other, "code/m0"), found);
    }

    #[test]
    fn codes_that_are_not_given_are_not_confined() {
        let model = model(2, NexusConfig::default());
        let latent = model.prior(ROWS, &Device::flex().autodiff(), &mut Noise::seeded(0));
        let code = latent.private().next().expect("every modality has a code").1.clone();
        assert!(code.min().into_scalar::<f32>() < 0.0);
    }
}
