//! CVAE: one modality given all others.
//!
//! **Paper.** Sohn, Lee and Yan, "Learning Structured Output Representation using Deep Conditional
//! Generative Models", NeurIPS 2015; Kingma and Welling, "An Introduction to Variational
//! Autoencoders", 2019, arXiv 1906.02691.
//!
//! **Generative process.** `z ~ p(z | c)` and `y ~ p(y | z, c)`, `y` being the main modality and
//! `c` all others, which are not generated. `p(z | c)` is `N(0, I)`, or the normal distribution
//! that a network makes of `c`.
//!
//! **Inference.** `q(z | y, c)` is the normal posterior of one encoder that reads all modalities.
//! Without `y` what is known of `z` is `p(z | c)`.
//!
//! **Objective.**
//!
//! ```text
//! loss = mean_b [ -log p(y | z, c) + β KL(q(z | y, c) ‖ p(z | c)) ]
//! ```
//!
//! **What differs from MultiVae.** The value is the same. It removes the scale of the likelihood
//! from its own configuration, so that a saved model comes back with scale 1; here configuration
//! and record rebuild the model. It takes the name of a conditioning modality apart into letters,
//! and finds none of them; here a name is a name. It reads the conditions even if only the main
//! modality is named as given; here what is not given is not read. It has no likelihoods; here it
//! has `log p(y | c)`.
//!
//! **Incomplete data.** For encoding and likelihoods, not for training: the objective needs
//! complete rows. A row that lacks `y` has `p(z | c)`; conditions that it lacks, or that are not
//! given, have the value 0, as have those of samples of the prior.
//!
//! **Cost of a step.** One call each of the joint encoder, the decoder, and the prior network if
//! there is one, all of `B` rows.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Error, Result,
    batch::{Batch, Progress, Values},
    distribution::Normal,
    modality::{ModalityName, ModalitySpec},
    model::{Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal},
    nn::{Decoder, EncoderConfig, JointEncoder, JointEncoderConfig, NetworkConfig, Networks},
    noise::Noise,
    objective::{Budget, Estimate, importance_estimate},
    options,
    subset::Subset,
};
use serde_json::{Value, json};

use crate::{
    blocks::joint::{self, JointRows},
    blocks::{self, ModalityConfig},
    exchange::models::{self as classes, Class},
    registry::Listed,
};

options! {
    /// Configuration of [`Cvae`].
    pub struct CvaeConfig {
        /// Features of the latent space, at least 1.
        pub latent: usize = 20,
        /// Weight of the divergence from the prior, at least 0.
        pub beta: f64 = 1.0,
        /// The modality that is generated; if not given, the last one of the data that does not
        /// condition.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub main: Option<ModalityName> = None,
        /// All other modalities, in the order in which the decoder reads them; empty for that of
        /// the data.
        pub conditioning: Vec<ModalityName> = Vec::new(),
        /// The encoder of all modalities; what is not given follows the encoders of the modalities.
        pub joint_encoder: JointEncoderConfig = JointEncoderConfig::default(),
        /// From the conditions to the prior; the standard normal if not given. What is not given of
        /// it follows the encoders of the modalities.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub prior_network: Option<JointEncoderConfig> = None,
        /// Networks and likelihoods by modality; what is not given comes from the data. Only the
        /// main modality has a decoder.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A conditional VAE; see the [module](self).
#[derive(Module, Debug)]
pub struct Cvae {
    joint_encoder: JointEncoder,
    decoder: Decoder,
    prior_network: Option<JointEncoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: CvaeConfig,
    /// Number of the main modality.
    #[module(skip)]
    main: usize,
    /// Numbers of the others, in the order in which they are read.
    #[module(skip)]
    conditioning: Vec<usize>,
}

/// Which modality is generated, and which condition it.
struct Roles {
    main: usize,
    conditioning: Vec<usize>,
}

impl Listed for CvaeConfig {
    const CLASS: Option<Class> = Some(classes::CVAE);

    fn exercise(specs: &[ModalitySpec]) -> Value {
        if specs.len() > 2 { json!({ "prior_network": {} }) } else { json!({}) }
    }
}

impl CvaeConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete_likelihoods(&self.modalities, specs)?;
        let roles = self.roles(specs)?;
        self.main = Some(specs[roles.main].name.clone());
        self.conditioning = roles.conditioning.iter().map(|&m| specs[m].name.clone()).collect();
        for (config, spec) in self.modalities.iter_mut().zip(specs) {
            config.encoder.get_or_insert_with(|| EncoderConfig::default_for(spec));
        }
        let decoder = &mut self.modalities[roles.main].decoder;
        decoder.get_or_insert_with(|| NetworkConfig::default_for(&specs[roles.main]));
        self.joint_encoder = joint::complete(self.joint_encoder, &self.modalities, self.latent)?;
        if let Some(prior) = self.prior_network.take() {
            let read = roles.conditioning.iter().map(|&m| self.modalities[m].clone());
            let read: Vec<_> = read.collect();
            self.prior_network = Some(joint::complete(prior, &read, self.latent)?);
        }
        self.check()?;
        Ok(self)
    }

    fn check(&self) -> Result<()> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check_weight("model.beta", self.beta)
    }

    /// The roles of the modalities.
    fn roles(&self, specs: &[ModalitySpec]) -> Result<Roles> {
        let number = |name: &ModalityName| {
            let subset = Subset::named(specs, [name.as_str()])?;
            Ok::<_, Error>(subset.iter().next().expect("a subset is not empty"))
        };
        let wrong = |field: &str, expected: String, found: String| {
            Err(Error::Config { field: format!("model.{field}"), expected, found })
        };
        let given = self.conditioning.iter().map(number).collect::<Result<Vec<_>>>()?;
        let main = match &self.main {
            Some(name) => Some(number(name)?),
            None => (0..specs.len()).rev().find(|m| !given.contains(m)),
        };
        let names = || self.conditioning.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>();
        let Some(main) = main else {
            return wrong("conditioning", "all modalities but one".into(), names().join(", "));
        };
        let others: Vec<usize> = (0..specs.len()).filter(|&m| m != main).collect();
        if others.is_empty() {
            let expected = "two modalities or more, of which one is generated".into();
            return wrong("modalities", expected, format!("`{}`", specs[main].name));
        }
        let mut sorted = given.clone();
        sorted.sort_unstable();
        if !given.is_empty() && sorted != others {
            let expected = format!("all modalities but `{}`, each once", specs[main].name);
            return wrong("conditioning", expected, names().join(", "));
        }
        for &m in &others {
            if self.modalities.get(m).is_some_and(|config| config.decoder.is_some()) {
                let name = &specs[m].name;
                return wrong(
                    &format!("modalities.{name}.decoder"),
                    format!("none, since `{name}` is not generated"),
                    "a network".into(),
                );
            }
        }
        Ok(Roles { main, conditioning: if given.is_empty() { others } else { given } })
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<Cvae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let Roles { main, conditioning } = self.roles(&modalities)?;
        let read: Vec<_> = conditioning.iter().map(|&m| modalities[m].clone()).collect();
        let width: usize = read.iter().map(ModalitySpec::features).sum();
        let spec = &modalities[main];
        let decoder = self.modalities[main].decoder.clone();
        let decoder = decoder.unwrap_or_else(|| NetworkConfig::default_for(spec));
        let prior = |config: &JointEncoderConfig| config.init(&read, self.latent, networks, device);
        Ok(Cvae {
            joint_encoder: self.joint_encoder.init(&modalities, self.latent, networks, device)?,
            decoder: Decoder::init(&decoder, spec, &[self.latent + width], networks, device)?,
            prior_network: self.prior_network.as_ref().map(prior).transpose()?,
            modalities,
            config: self.clone(),
            main,
            conditioning,
        })
    }
}

impl Cvae {
    /// What networks read of the conditions in their order, zeros where they are not given or
    /// missing.
    fn conditions_of(&self, batch: &Batch, given: Subset) -> Vec<Values> {
        let of = |&m: &usize| match given.contains(m) {
            true => batch.input(m, &self.modalities[m]),
            false => nothing(&self.modalities[m], batch.values()[m].zeros_like()),
        };
        self.conditioning.iter().map(of).collect()
    }

    /// `p(z | c)`, `[batch, latent]`.
    fn prior_given(&self, conditions: &[Values]) -> Normal<2> {
        match &self.prior_network {
            Some(network) => network.encode_inputs(conditions.iter().cloned()),
            None => {
                let rows = conditions[0].rows();
                let zeros = Tensor::zeros([rows, self.config.latent], &conditions[0].device());
                Normal::new(zeros.clone(), zeros)
            }
        }
    }

    /// The posterior of rows that observe all if all is given, else the prior, `[batch, latent]`.
    fn posterior(&self, batch: &Batch, given: Subset, prior: &Normal<2>) -> Normal<2> {
        let served = JointRows::new(batch, given);
        if !served.any() {
            return prior.clone();
        }
        let posterior = self.joint_encoder.encode(batch, given.iter());
        Normal::new(
            served.choose(posterior.mean, prior.mean.clone()),
            served.choose(posterior.log_var, prior.log_var.clone()),
        )
    }

    /// Latent values with the conditions beside them.
    fn latent(&self, z: Tensor<3>, conditions: &[Values]) -> Latent {
        let samples = z.dims()[0];
        let named = |(&m, values): (&usize, &Values)| {
            let spec = &self.modalities[m];
            // The decoder reads values without the mask that encoders may read behind them.
            let values = values.flat(spec.shape[spec.shape.len() - 1]);
            let values = values.narrow(1, 0, spec.features());
            (spec.name.clone(), values.unsqueeze_dim::<3>(0).repeat(&[samples, 1, 1]))
        };
        let conditions = self.conditioning.iter().zip(conditions).map(named).collect();
        Latent::shared(z).with_conditions(conditions)
    }

    /// What the decoder reads: `z`, then the conditions in their order.
    fn input(latent: &Latent) -> Tensor<3> {
        let conditions = latent.conditions().map(|(_, values)| values.clone());
        Tensor::cat(std::iter::once(latent.z()).chain(conditions).collect(), 2)
    }

    /// `log p(y | z, c)`, `[samples, batch]`, 0 where `y` is missing.
    fn log_likelihood(&self, batch: &Batch, latent: &Latent) -> Tensor<2> {
        let output = self.decoder.decode(Self::input(latent));
        self.log_prob_of(batch, output, self.main)
    }
}

/// What networks read of a modality of which nothing is observed, given zeros for its values.
fn nothing(spec: &ModalitySpec, zeros: Values) -> Values {
    let rows = zeros.rows();
    let cells = || Tensor::zeros([rows, spec.features()], &zeros.device());
    spec.input(zeros.clone(), cells)
}

impl Multimodal for Cvae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for Cvae {
    fn terms(&self, _: Progress) -> Vec<String> {
        vec![format!("reconstruction/{}", self.modalities[self.main].name), "kl".into()]
    }

    /// # Panics
    ///
    /// If a row lacks a modality.
    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let all = Subset::full(self.modalities.len());
        let posterior = joint::of_complete(&self.joint_encoder, batch);
        let conditions = self.conditions_of(batch, all);
        let z = blocks::draw(&posterior, Draws::Samples(1), noise);
        let latent = self.latent(z, &conditions);
        let reconstruction = self.log_likelihood(batch, &latent).mean().neg();
        let kl = posterior.kl::<1>(&self.prior_given(&conditions)).mean();
        let total = reconstruction.clone() + kl.clone() * self.config.beta;
        blocks::loss(total, self.terms(batch.progress), vec![reconstruction, kl])
    }

    fn needs_complete_rows(&self) -> bool {
        true
    }
}

impl Encode for Cvae {
    /// Values of the posterior where all is given and observed, else of `p(z | c)`.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let conditions = self.conditions_of(batch, given);
        let posterior = self.posterior(batch, given, &self.prior_given(&conditions));
        self.latent(blocks::draw(&posterior, draws, noise), &conditions)
    }

    fn conditions(&self) -> Option<Subset> {
        let conditions = Subset::new(self.conditioning.iter().copied());
        Some(conditions.expect("there is a condition"))
    }
}

impl Generate for Cvae {
    /// One sample of `p(z | c)` a row, with conditions 0.
    fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
        let zeros = |&m: &usize| {
            let spec = &self.modalities[m];
            nothing(spec, Values::Dense(Tensor::zeros([rows, spec.features()], device)))
        };
        let conditions: Vec<_> = self.conditioning.iter().map(zeros).collect();
        let prior = self.prior_given(&conditions);
        self.latent(blocks::draw(&prior, Draws::Samples(1), noise), &conditions)
    }

    /// # Panics
    ///
    /// If a target is not [`generated`](Generate::generated).
    fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
        assert!(
            targets == self.generated(),
            "a conditional model generates `{}`, not {}",
            self.modalities[self.main].name,
            targets.label(&self.modalities)
        );
        vec![self.decoder.decode(Self::input(latent))]
    }

    fn decoder(&self, modality: usize) -> Option<&Decoder> {
        (modality == self.main).then_some(&self.decoder)
    }
}

impl Density for Cvae {
    /// `log p(y | z, c)` for the main modality; 0 for the others, which have no density.
    fn log_prob(&self, batch: &Batch, latent: &Latent, modality: usize) -> Tensor<2> {
        if modality == self.main {
            return self.log_likelihood(batch, latent);
        }
        let [samples, rows, _] = latent.z().dims();
        Tensor::zeros([samples, rows], &batch.device())
    }

    /// The bound of `log p(y | c)`.
    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        let conditions = self.conditions_of(batch, given);
        let prior = self.prior_given(&conditions);
        let posterior = self.posterior(batch, given, &prior);
        let z = blocks::draw(&posterior, Draws::Samples(1), noise);
        let latent = self.latent(z, &conditions);
        let of = |m| self.log_prob(batch, &latent, m);
        let likelihoods = (0..self.modalities.len()).map(of).collect();
        blocks::bound(likelihoods, vec![("kl".into(), posterior.kl(&prior))])
    }

    /// `log p(y | c)` with all conditions that a row observes, if `y` is among the targets; 0 if
    /// not, since conditions have no density.
    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let (rows, device) = (batch.rows(), batch.device());
        if !targets.contains(self.main) {
            let zeros = Tensor::zeros([rows], &device);
            return Estimate { log_likelihood: zeros.clone(), standard_error: zeros };
        }
        let all = Subset::full(self.modalities.len());
        let conditions = self.conditions_of(batch, all);
        let prior = self.prior_given(&conditions);
        let posterior = self.posterior(batch, all, &prior);
        let [prior, posterior] = [prior, posterior].map(|q| q.map(|x| x.unsqueeze_dim::<3>(0)));
        importance_estimate(rows, budget, &device, |samples| {
            let shape = [samples.len(), rows, self.config.latent];
            let z = posterior.rsample(noise.normal(shape, 1, &device));
            let ratio: Tensor<2> = prior.log_prob(z.clone()) - posterior.log_prob(z.clone());
            ratio + self.log_likelihood(batch, &self.latent(z, &conditions))
        })
    }
}

#[cfg(test)]
mod tests {
    use multivae_core::{distribution::Likelihood, module::init_parameters};

    use super::*;

    fn specs() -> Vec<ModalitySpec> {
        let spec = |name| ModalitySpec::new(name, &[2]).expect("valid");
        vec![spec("a"), spec("b"), spec("c").with_likelihood(Likelihood::laplace(0.1))]
    }

    fn name(name: &str) -> ModalityName {
        ModalityName::new(name).expect("valid")
    }

    fn model(config: &CvaeConfig) -> Cvae {
        init_parameters(config.init(&Networks::default(), &Device::flex()).expect("a model"))
    }

    fn batch() -> Batch {
        let device = Device::flex();
        let values = |x: f32| Tensor::full([3, 2], x, &device);
        Batch::complete(vec![values(0.3), values(-0.8), values(0.5)]).expect("one size")
    }

    #[test]
    fn the_last_modality_that_does_not_condition_is_generated() {
        let roles = |main: Option<&str>, conditioning: &[&str]| {
            let config = CvaeConfig {
                main: main.map(name),
                conditioning: conditioning.iter().map(|n| name(n)).collect(),
                ..CvaeConfig::default()
            };
            let config = config.with_modalities(&specs())?;
            Ok::<_, Error>((config.main, config.conditioning))
        };
        assert_eq!(roles(None, &[]), Ok((Some(name("c")), vec![name("a"), name("b")])));
        assert_eq!(roles(None, &["c", "a"]), Ok((Some(name("b")), vec![name("c"), name("a")])));
        assert_eq!(roles(Some("a"), &[]), Ok((Some(name("a")), vec![name("b"), name("c")])));
        for (main, conditioning) in
            [(None, &["a", "b", "c"] as &[_]), (None, &["a"]), (Some("a"), &["a", "b"])]
        {
            let error = roles(main, conditioning).expect_err("no such roles");
            assert!(error.to_string().contains("model.conditioning"), "{error}");
        }
        assert!(roles(Some("x"), &[]).is_err());
        let error = CvaeConfig::default().with_modalities(&specs()[..1]).expect_err("one");
        assert!(error.to_string().contains("two modalities or more"), "{error}");
    }

    #[test]
    fn a_decoder_of_a_condition_is_refused() {
        let decoder = Some(NetworkConfig::mlp());
        let modalities = vec![ModalityConfig { decoder, ..ModalityConfig::new(name("a")) }];
        let config = CvaeConfig { modalities, ..CvaeConfig::default() };
        let error = config.with_modalities(&specs()).expect_err("`a` is a condition");
        assert!(error.to_string().contains("model.modalities.a.decoder"), "{error}");
    }

    #[test]
    fn the_scale_of_the_likelihood_survives_the_configuration() {
        let config = CvaeConfig::default().with_modalities(&specs()).expect("the data suits");
        let text = serde_json::to_string(&config).expect("plain data");
        let again: CvaeConfig = serde_json::from_str(&text).expect("its own text");
        let first = model(&config);
        let second = model(&again).load_record(first.clone().into_record());
        let loss =
            |model: &Cvae| model.loss(&batch(), &mut Noise::zero()).total.into_scalar::<f32>();
        assert_eq!(loss(&first), loss(&second));
        assert_eq!(again.modalities[2].likelihood, Some(Likelihood::laplace(0.1)));
    }

    #[test]
    fn without_a_condition_or_the_main_modality_the_posterior_is_not_used() {
        let config = CvaeConfig {
            latent: 2,
            prior_network: Some(JointEncoderConfig::default()),
            ..CvaeConfig::default()
        };
        let model = model(&config.with_modalities(&specs()).expect("the data suits"));
        let mean = |given: &[usize]| {
            let given = Subset::new(given.iter().copied()).expect("not empty");
            let latent = model.encode(&batch(), given, Draws::Mean, &mut Noise::zero());
            latent.z().into_data()
        };
        // The main modality is not read with fewer than all.
        assert_eq!(mean(&[0, 1]), model.prior_of(&[0, 1]));
        assert_eq!(mean(&[0, 2]), model.prior_of(&[0]));
        assert_ne!(mean(&[0, 1, 2]), mean(&[0, 1]));
        assert_ne!(mean(&[0, 1]), mean(&[0]));
    }

    impl Cvae {
        /// The mean of the prior under some conditions of the batch.
        fn prior_of(&self, given: &[usize]) -> burn::tensor::TensorData {
            let given = Subset::new(given.iter().copied()).expect("not empty");
            let mean = self.prior_given(&self.conditions_of(&batch(), given)).mean;
            mean.unsqueeze_dim::<3>(0).into_data()
        }
    }

    #[test]
    #[should_panic(expected = "a conditional model generates `c`, not a")]
    fn a_condition_is_not_decoded() {
        let model = model(&CvaeConfig::default().with_modalities(&specs()).expect("suits"));
        let latent = model.prior(1, &Device::flex(), &mut Noise::zero());
        model.decode(&latent, Subset::single(0));
    }
}
