//! JNF: a joint VAE first, then unimodal posteriors that are normalizing flows.
//!
//! **Paper.** Senellart, Chadebec and Allassonnière, "Improving Multimodal Joint Variational
//! Autoencoders through Normalizing Flows and Correlation Analysis", 2023, arXiv 2305.11832.
//!
//! **Generative process.** `z ~ N(0, I)`, `x_m ~ p(x_m | z)` for every modality.
//!
//! **Inference.** `q(z | X)` is the normal posterior of one encoder that reads all modalities.
//! `q(z | x_m) = N(f_m(z); encoder_m(x_m)) |det ∂f_m / ∂z|` with a flow `f_m` from `z` to a base
//! distribution. Given several modalities but not all,
//!
//! ```text
//! q(z | x_S) ∝ Π_{m in S} q(z | x_m) / p(z)^(|S| - 1)
//! ```
//!
//! the posterior if modalities are independent given `z`, from which Hamiltonian Monte Carlo
//! samples. A row uses those of the given modalities that it observes. The factor is a density only
//! where the unimodal posteriors are together sharper than the prior that is divided out.
//!
//! **Objective.** In the first `joint_epochs` epochs, with `z` from `q(z | X)`, for the joint
//! encoder and the decoders,
//!
//! ```text
//! loss = mean_b [ β KL(q(z | X) ‖ p) - Σ_m λ_m log p(x_m | z) ]
//! ```
//!
//! and then, with `z` from the `q(z | X)` of the end of that stage, for the unimodal encoders and
//! the flows,
//!
//! ```text
//! loss = - mean_b Σ_m log q(z | x_m)
//! ```
//!
//! **What differs from MultiVae.** Its subset posterior divides by the prior once, whatever the
//! number of modalities; here it is divided out as often as the product counts it too much. Its
//! chains start at samples of a base distribution, which are no values of `z`; here these are taken
//! through the inverse flow. It encodes the modalities anew in each of the leapfrog steps, 1100
//! times by default; here once. The mean that it gives for several modalities is a random sample;
//! here it is the mode that [`multivae_core::hmc::mode`] climbs to from the mean of the unimodal
//! posteriors' own. Of a single modality both give the value that the flow maps to the mean of the
//! base. It decodes in the second stage for its metrics; here that is left out. A latent space of
//! one feature crashes its flows; here they are affine. It takes the number of rows from the length
//! of the last modality's container, which is wrong for texts, and its joint likelihood cannot
//! index them; here both take any modality.
//!
//! The bound given several modalities but not all is that of the mixture of their posteriors, since
//! the chains' distribution has no density. Divergences of flows and of that mixture are estimated
//! from the one sample of the bound.
//!
//! **Incomplete data.** For encoding and likelihoods, not for training: the objective needs
//! complete rows.
//!
//! **Cost of a step.** First stage: one joint encoder call and `M` decoder calls of `B` rows.
//! Second stage: one joint encoder call, `M` encoder calls and `M` flow calls of `B` rows.

use std::collections::BTreeMap;

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    distribution::Normal,
    hmc::{self, HmcConfig},
    mixture::Mixture,
    modality::{ModalityName, ModalitySpec},
    model::{Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal, Stage},
    module::Named,
    nn::{Decoder, EncoderNet, FlowConfig, FlowNet, JointEncoder, JointEncoderConfig, Networks},
    noise::Noise,
    objective::{Budget, Estimate, Rescale},
    options,
    subset::Subset,
};
use serde_json::{Value, json};

use crate::{
    blocks::joint::{self, Proposal},
    blocks::{self, ModalityConfig},
    exchange::models::{self as classes, Class},
    registry::Listed,
};

options! {
    /// Configuration of [`Jnf`].
    pub struct JnfConfig {
        /// Features of the latent space, at least 1.
        pub latent: usize = 20,
        /// Epochs of the first stage, at least 1: the joint encoder and the decoders. The unimodal
        /// encoders and the flows learn in the rest of the run.
        pub joint_epochs: usize = 10,
        /// Weight of the divergence from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// The flow of a modality that `flows` does not name.
        pub flow: FlowConfig = FlowConfig::default(),
        /// Flows by modality.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub flows: BTreeMap<ModalityName, FlowConfig> = BTreeMap::new(),
        /// How the chains move that sample given several modalities but not all.
        pub hmc: HmcConfig = HmcConfig::default(),
        /// The joint encoder; what is not given follows the encoders of the modalities.
        pub joint_encoder: JointEncoderConfig = JointEncoderConfig::default(),
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A joint VAE with unimodal posteriors that are flows; see the [module](self).
#[derive(Module, Debug)]
pub struct Jnf {
    joint_encoder: JointEncoder,
    encoders: Named<EncoderNet>,
    flows: Named<FlowNet>,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: JnfConfig,
    #[module(skip)]
    rescale: Vec<f64>,
}

impl Listed for JnfConfig {
    const CLASS: Option<Class> = Some(classes::JNF);

    fn exercise(_specs: &[ModalitySpec]) -> Value {
        json!({ "hmc": { "steps": 3, "leapfrog": 2 } })
    }
}

impl JnfConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete(&self.modalities, specs)?;
        self.joint_encoder = joint::complete(self.joint_encoder, &self.modalities, self.latent)?;
        self.check(specs)?;
        Ok(self)
    }

    fn check(&self, specs: &[ModalitySpec]) -> Result<()> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        let epochs = self.joint_epochs;
        blocks::check(epochs > 0, "model.joint_epochs", "at least 1", epochs)?;
        blocks::check_weight("model.beta", self.beta)?;
        self.rescale.check(self.modalities.len())?;
        self.flow.check("model.flow")?;
        for (name, flow) in &self.flows {
            Subset::named(specs, [name.as_str()])?;
            flow.check(&format!("model.flows.{name}"))?;
        }
        self.hmc.check("model.hmc")
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Jnf> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check(&modalities)?;
        let private = vec![0; modalities.len()];
        let (encoders, decoders) =
            blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
        let joint_encoder = self.joint_encoder.init(&modalities, self.latent, networks, device)?;
        let flow = |ModalitySpec { name, .. }: &ModalitySpec| {
            let config = self.flows.get(name).unwrap_or(&self.flow);
            let net = config.init(&format!("flow of `{name}`"), self.latent, device)?;
            Ok((name.to_string(), net))
        };
        let flows = modalities.iter().map(flow).collect::<Result<Vec<_>>>()?.into_iter().collect();
        let rescale = self.rescale.factors(&modalities);
        let config = self.clone();
        Ok(Jnf { joint_encoder, encoders, flows, decoders, modalities, config, rescale })
    }
}

impl Jnf {
    /// The flow of a modality, from values of `z` to its base distribution.
    pub fn flow(&self, modality: usize) -> &FlowNet {
        self.flows.at(modality)
    }

    /// Whether the run is in its first stage.
    fn is_joint(&self, progress: Progress) -> bool {
        progress.epoch <= self.config.joint_epochs
    }

    /// The terms of the joint bound.
    fn joint(&self, batch: &Batch, noise: &mut Noise) -> Vec<Tensor<1>> {
        let posterior = joint::of_complete(&self.joint_encoder, batch);
        let z = blocks::draw(&posterior, Draws::Samples(1), noise);
        let mut terms = blocks::reconstructions(&self.decoders, batch, &z, &self.rescale);
        let kl: Tensor<1> = posterior.kl_standard();
        terms.push(kl.mean());
        terms
    }

    /// `-log q(z | x_m)` of each modality, averaged over rows, for a sample of the joint
    /// posterior, through which no gradient passes.
    fn unimodal(&self, batch: &Batch, noise: &mut Noise) -> Vec<Tensor<1>> {
        let joint = joint::of_complete(&self.joint_encoder, batch).map(Tensor::detach);
        let z = blocks::draw(&joint, Draws::Samples(1), noise).squeeze_dim::<2>(0);
        let all = Subset::full(self.modalities.len());
        let experts = blocks::encode(&self.encoders, &self.modalities, batch, all).experts;
        let of = |(m, flow): (usize, &FlowNet)| {
            let one = |x: &Tensor<3>| x.clone().narrow(0, m, 1).squeeze_dim::<2>(0);
            let base = flow.forward(z.clone());
            let expert = Normal::new(one(&experts.mean), one(&experts.log_var));
            let log_q: Tensor<1> = expert.log_prob(base.value);
            (log_q + base.log_det).mean().neg()
        };
        self.flows.values().enumerate().map(of).collect()
    }

    /// The joint posterior in rows that the joint encoder serves, else the mixture of the
    /// posteriors of the given modalities.
    fn proposal(&self, batch: &Batch, given: Subset) -> Proposal {
        let proposal = joint::proposal(&self.joint_encoder, &self.encoders, batch, given);
        let mut flows = vec![None; usize::from(proposal.served.any())];
        if !proposal.served.all() {
            flows.extend(given.iter().map(|m| Some(self.flows.at(m).valid())));
        }
        Proposal { mixture: proposal.mixture.through(flows), ..proposal }
    }
}

/// Whether a row has several components, whose product has to be sampled.
fn several(mixture: &Mixture) -> Vec<bool> {
    mixture.usable().iter().map(|row| row.len() > 1).collect()
}

impl Multimodal for Jnf {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Jnf {
    /// In the first stage `reconstruction/NAME` and `kl`, which is not weighted; in the second
    /// `cross_entropy/NAME` of the joint posterior and that of the modality.
    fn terms(&self, progress: Progress) -> Vec<String> {
        if self.is_joint(progress) {
            let mut names = blocks::reconstruction_terms(&self.modalities);
            names.push("kl".into());
            return names;
        }
        self.modalities.iter().map(|spec| format!("cross_entropy/{}", spec.name)).collect()
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let names = self.terms(batch.progress);
        if self.is_joint(batch.progress) {
            let terms = self.joint(batch, noise);
            let kl = terms[terms.len() - 1].clone() * self.config.beta;
            return blocks::loss(blocks::sum(&terms[..terms.len() - 1]) + kl, names, terms);
        }
        let terms = self.unimodal(batch, noise);
        blocks::loss(blocks::sum(&terms), names, terms)
    }

    fn needs_complete_rows(&self) -> bool {
        true
    }

    fn stages(&self) -> Vec<Stage> {
        joint::stages(self.config.joint_epochs, &["encoders", "flows"])
    }
}

impl Encode for Jnf {
    /// Of several modalities but not all, samples are the ends of chains and the mean is a mode;
    /// see the [module](self).
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let mixture = self.proposal(batch, given).mixture.detach();
        let several = several(&mixture);
        let [rows, latent] = [batch.rows(), self.config.latent];
        let n = draws.count();
        let start = match draws {
            Draws::Mean => mixture.mean().unsqueeze_dim::<3>(0),
            Draws::Samples(n) if several.contains(&true) => mixture.sample(n, noise),
            Draws::Samples(n) => mixture.sample_in_turn(0..n, noise),
        };
        if !several.contains(&true) {
            return Latent::shared(start);
        }
        let flat = start.clone().reshape([n * rows, latent]);
        let product = mixture.product();
        let end = match draws {
            Draws::Mean => hmc::mode(flat, &product),
            Draws::Samples(n) => hmc::sample(&self.config.hmc, flat, n, noise, &product).samples,
        };
        Latent::shared(joint::choose(&several, end.reshape([n, rows, latent]), start))
    }
}

impl Generate for Jnf {
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

impl Density for Jnf {
    /// Given several modalities but not all, the posterior is the mixture of theirs.
    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        let Proposal { mixture, served, of_all } = self.proposal(batch, given);
        let z = match several(&mixture).contains(&true) {
            true => mixture.sample(1, noise),
            false => mixture.sample_in_turn(0..1, noise),
        };
        let prior: Tensor<2> = Normal::standard_like(&z).log_prob(z.clone());
        let ratio = mixture.log_prob(&z) - prior;
        let kl = match of_all {
            Some(of_all) => {
                let exact: Tensor<1> = of_all.kl_standard();
                served.choose(exact.unsqueeze_dim::<2>(1), ratio.transpose()).squeeze_dim(1)
            }
            None => ratio.squeeze_dim(0),
        };
        let likelihoods = (0..self.modalities.len())
            .map(|m| blocks::log_likelihood(&self.decoders, batch, m, z.clone()))
            .collect();
        blocks::bound(likelihoods, vec![("kl".into(), kl)])
    }

    /// The proposal is the joint posterior for rows that observe all modalities, all being
    /// targets, else the mixture of the posteriors of the single targets.
    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let proposal = self.proposal(batch, targets);
        let (decoders, mixture) = (&self.decoders, &proposal.mixture);
        blocks::estimate_by_mixture(decoders, batch, targets, budget, mixture, &[], noise)
    }
}

#[cfg(test)]
mod tests {
    use burn::{
        module::{ModuleMapper, Param},
        tensor::TensorData,
    };
    use multivae_core::{
        batch::{Presence, Values},
        nn::{Encoder, EncoderConfig, Encoding, LayerConfig, NetworkConfig},
    };
    use serde_json::Value;

    use super::*;

    /// The posterior `N(x, 0.6)`, whatever the modality.
    #[derive(Module, Debug)]
    struct Exact {
        #[module(skip)]
        log_var: f64,
    }

    impl Encoder for Exact {
        fn encode(&self, values: &Values) -> Encoding {
            let mean = values.dense().expect("dense values").clone();
            let log_var = mean.full_like(self.log_var);
            Encoding { shared: Normal::new(mean, log_var), private: None }
        }
    }

    const VARIANCE: f64 = 0.6;
    const DATA: [f32; 4] = [1.0, 0.2, 0.6, -3.0];

    struct All(f64);

    impl ModuleMapper for All {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|old| old.full_like(self.0))
        }
    }

    /// Four modalities of one feature with such posteriors, seen through flows whose parameters
    /// have one value: of 0 they change nothing.
    fn model(flow: f64, hmc: HmcConfig) -> Jnf {
        let specs: Vec<_> = ["a", "b", "c", "d"]
            .iter()
            .map(|name| ModalitySpec::new(name, &[1]).expect("valid"))
            .collect();
        let modalities = specs.iter().map(|spec| ModalityConfig {
            encoder: Some(EncoderConfig::Custom { name: "exact".into(), settings: Value::Null }),
            ..ModalityConfig::new(spec.name.clone())
        });
        let inputs = specs.iter().map(|spec| {
            let layers = vec![LayerConfig::linear(1)];
            (spec.name.clone(), NetworkConfig::layers(layers))
        });
        let config = JnfConfig {
            latent: 1,
            hmc,
            joint_encoder: JointEncoderConfig { inputs: inputs.collect(), encoder: None },
            modalities: modalities.collect(),
            ..JnfConfig::default()
        };
        let networks =
            Networks::default().with_encoder("exact", |_| Exact { log_var: VARIANCE.ln() });
        let config = config.with_modalities(&specs).expect("the data suits");
        let mut model = config.init(&networks, &Device::flex()).expect("a model");
        model.flows = model.flows.map(&mut All(flow));
        model
    }

    /// One row that observes some of the four.
    fn row(observed: Subset) -> Batch {
        let device = Device::flex();
        let value =
            |x: f32| Values::Dense(Tensor::from_data(TensorData::new(vec![x], [1, 1]), &device));
        let presence = Presence::new(vec![observed], 4, &device);
        Batch::new(DATA.map(value).into(), presence).expect("one size")
    }

    fn codes(model: &Jnf, batch: &Batch, given: Subset, draws: Draws) -> Vec<f64> {
        let z = model.encode(batch, given, draws, &mut Noise::seeded(3)).z();
        z.into_data().iter::<f64>().collect()
    }

    #[test]
    fn the_prior_is_divided_out_once_for_each_modality_beyond_the_first() {
        let hmc = HmcConfig { steps: 20, leapfrog: 5, step_size: 0.2 };
        let model = model(0.0, hmc);
        let three = Subset::full(3);
        // What is given and missing counts as little as what is observed and not given.
        for (observed, given) in [(Subset::full(4), three), (three, Subset::full(4))] {
            let batch = row(observed);
            // Precision 3 / v - 2.
            let precision = 3.0 / VARIANCE - 2.0;
            let mean = f64::from(DATA[..3].iter().sum::<f32>()) / VARIANCE / precision;
            let mode = codes(&model, &batch, given, Draws::Mean)[0];
            assert!((mode - mean).abs() < 0.01, "{mode} is not {mean}");
            let n = 4000;
            let z = codes(&model, &batch, given, Draws::Samples(n));
            let average = z.iter().sum::<f64>() / n as f64;
            let variance = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / n as f64;
            let error = 5.0 / (n as f64 * precision).sqrt();
            assert!((average - mean).abs() < error, "{average} is not {mean}");
            let error = 5.0 * (2.0 / n as f64).sqrt() / precision;
            assert!((variance - 1.0 / precision).abs() < error, "{variance}, {precision}");
        }
    }

    #[test]
    fn chains_start_at_samples_of_the_unimodal_posteriors() {
        // Steps so short that a chain stays where it starts.
        let model = model(0.5, HmcConfig { steps: 1, leapfrog: 1, step_size: 1e-6 });
        let n = 2000;
        let given = Subset::new([0, 2]).expect("not empty");
        let batch = row(Subset::full(4));
        let mean = |given| {
            let z = codes(&model, &batch, given, Draws::Samples(n));
            z.iter().sum::<f64>() / n as f64
        };
        let halves = 0.5 * (mean(Subset::single(0)) + mean(Subset::single(2)));
        let starts = mean(given);
        // The flow takes a deviation of 0.8 to one of 2.1.
        assert!((starts - halves).abs() < 5.0 * 2.5 / (n as f64).sqrt(), "{starts} {halves}");
        // The base distributions have means of 1 and 0.6.
        assert!(starts > 2.0, "{starts}");
    }

    #[test]
    fn the_mean_of_several_modalities_is_not_random() {
        let model = model(0.3, HmcConfig::default());
        let (batch, given) = (row(Subset::full(4)), Subset::full(2));
        let code = |seed| {
            let latent = model.encode(&batch, given, Draws::Mean, &mut Noise::seeded(seed));
            latent.z().into_scalar::<f32>()
        };
        assert_eq!(code(1), code(2));
    }
}
