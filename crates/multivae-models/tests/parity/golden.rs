//! Reads values recorded from the Python library multi-view-AE, all in one file, and compares this
//! library with them.
//!
//! Its networks are linear, and its noise is off: every sample is the location of its posterior.
//! A case holds inputs, weights by the library's names, losses by component and encoded values. Where
//! the library is wrong, the values of the right objective are compared, or ours are brought into the
//! form of the library: what a model's documentation says of the difference is said here in numbers.

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{Device, Tensor, TensorData},
};
use multivae_core::{
    batch::{Batch, Progress},
    distribution::{Family, Likelihood, Normal, Scale},
    fusion::{Experts, Product, geometric_mean, mean as mean_rule},
    modality::{ModalityName, ModalitySpec},
    model::{Draws, Loss, MultimodalModel},
    module::init_parameters,
    nn::{BranchConfig, EncoderConfig, JointEncoderConfig, LayerConfig, NetworkConfig, Networks},
    noise::{Draw, Noise},
    subset::{Subset, Subsets},
};
use multivae_models::{
    ModalityConfig, Model, ModelConfig,
    ae::AeConfig,
    blocks::{
        experts::Estimator,
        pooling::{barycentre, correlated, hellinger, mean_divergences},
        powers::Powers,
    },
    dccae::DccaeConfig,
    dvcca::DvccaConfig,
    gpoe::GpoeConfig,
    jmvae::JmvaeConfig,
    maae::MaaeConfig,
    mcvae::McvaeConfig,
    me_mvae::MeMvaeConfig,
    mmjsd::MmjsdConfig,
    mmvae::MmvaeConfig,
    mmvae_plus::MmvaePlusConfig,
    mopoe::MopoeConfig,
    mvae::{MvaeConfig, Rule},
    mvtcae::MvtcaeConfig,
    mwae::MwaeConfig,
    sparse_mvae::SparseMvaeConfig,
    weighted_dmvae::WeightedDmvaeConfig,
};
use serde::Deserialize;
use serde_json::Value;

use super::{Problem, broken, calls::Outcome};

/// Tolerance of single precision against double.
const RELATIVE: f64 = 2e-5;
/// Below this a difference is none, whatever the size of the value.
const ABSOLUTE: f64 = 2e-5;

/// A matrix, or a row of one, as nested lists.
type Matrix = Vec<Vec<f64>>;

/// What the file holds.
#[derive(Debug, Deserialize)]
pub struct Golden {
    /// Values of each view.
    x: Vec<Matrix>,
    cases: BTreeMap<String, GoldenCase>,
    #[serde(default)]
    primitives: Value,
    #[serde(default)]
    new_methods: Value,
}

#[derive(Debug, Deserialize)]
struct GoldenCase {
    model: String,
    #[serde(default)]
    overrides: Value,
    z_dim: usize,
    params: BTreeMap<String, Value>,
    #[serde(default)]
    z_real: Matrix,
    losses: BTreeMap<String, f64>,
    /// Losses of what the library should compute.
    #[serde(alias = "losses_paper_correct_cross_term", alias = "losses_if_critic_linear")]
    losses_paper_correct: Option<BTreeMap<String, f64>>,
    latents_eval: Vec<Matrix>,
}

/// How a case is computed here.
struct Plan {
    config: ModelConfig,
    /// Recorded draws; none for zeros throughout.
    draws: Vec<Draw>,
    /// Powers of experts that are set, `[latent]` of each view.
    powers: Option<Matrix>,
}

impl Plan {
    fn new(config: impl Into<ModelConfig>) -> Self {
        Self { config: config.into(), draws: Vec::new(), powers: None }
    }
}

/// Pairs of what was found and what is expected, by name.
type Pairs = Vec<(String, f64, f64)>;

impl Golden {
    /// From the contents of the file.
    ///
    /// # Errors
    ///
    /// [`Problem::Broken`].
    pub fn new(json: &str) -> Result<Self, Problem> {
        serde_json::from_str(json).map_err(|error| broken(error.to_string()))
    }

    /// The names of the cases, and of single rules.
    pub fn names(&self) -> Vec<String> {
        let rules = RULES.iter().map(|rule| format!("rule/{rule}"));
        self.cases.keys().cloned().chain(rules).collect()
    }

    /// The model of a case, as the library calls it.
    pub fn model(&self, name: &str) -> &str {
        self.cases.get(name).map_or("rule", |case| &case.model)
    }

    /// Compares a case.
    ///
    /// # Errors
    ///
    /// [`Problem::Todo`] for what has no counterpart here, [`Problem::Broken`].
    pub fn run(&self, name: &str, device: &Device) -> Result<Outcome, Problem> {
        let pairs = match name.strip_prefix("rule/") {
            Some(rule) => self.rule(rule, device)?,
            None => {
                let case = self.cases.get(name);
                let case = case.ok_or_else(|| broken(format!("there is no case `{name}`")))?;
                self.compare(name, case, device)?
            }
        };
        let left_out = self.cases.get(name).filter(|case| case.is_mixture());
        let mut outcome = Outcome {
            name: name.to_owned(),
            compared: pairs.len(),
            left_out: left_out.map_or(0, GoldenCase::latent_values),
            max_rel: 0.0,
            failures: Vec::new(),
            todo: Vec::new(),
        };
        for (what, found, expected) in pairs {
            let off = (found - expected).abs();
            if off <= ABSOLUTE + RELATIVE * expected.abs() {
                outcome.max_rel = outcome.max_rel.max(off / expected.abs().max(1.0));
            } else {
                outcome.failures.push(format!("{what}: {found}, expected {expected}"));
            }
        }
        Ok(outcome)
    }

    fn specs(&self, likelihood: &Likelihood) -> Vec<ModalitySpec> {
        let spec = |(m, x): (usize, &Matrix)| {
            let spec = ModalitySpec::new(format!("v{m}").as_str(), &[x[0].len()]).expect("valid");
            spec.with_likelihood(likelihood.clone())
        };
        self.x.iter().enumerate().map(spec).collect()
    }

    fn batch(&self, device: &Device) -> Batch {
        let values = self.x.iter().map(|x| matrix(x, device)).collect();
        Batch::complete(values).expect("as many rows of each view")
    }

    fn compare(&self, name: &str, case: &GoldenCase, device: &Device) -> Result<Pairs, Problem> {
        let plan = self.plan(name, case)?;
        let deterministic = matches!(case.model.as_str(), "AE" | "mAAE" | "mWAE" | "DCCAE");
        let specs = self.specs(&match deterministic {
            // The squared error, but for a constant.
            true => Likelihood::normal(0.5_f64.sqrt()),
            false => Likelihood::normal(Scale::LearnedPerFeature),
        });
        let batch = self.batch(device);
        let of = |config: ModelConfig| self.model_of(case, config, &plan, &specs, device);
        let model = of(plan.config.clone())?;
        let loss = |model: &Model, phase: usize| {
            let mut noise = match plan.draws.is_empty() {
                true => Noise::zero(),
                false => Noise::recorded(plan.draws.clone()),
            };
            let batch = batch.clone().at(Progress::DONE.in_phase(phase));
            Parts(model.learner().loss(&batch, &mut noise))
        };
        let mut pairs = self.losses(case, &|phase| loss(&model, phase))?;
        if case.model.ends_with("DMVAE") {
            // The part of likelihoods is what is left without divergences.
            let mut config = serde_json::to_value(&plan.config).expect("plain data");
            config["beta"] = 0.0.into();
            config["private_betas"] = serde_json::json!({ "v0": 0.0, "v1": 0.0 });
            let config = serde_json::from_value(config).expect("its own data");
            let expected = case.expected()["ll"];
            pairs.push(("ll".into(), -loss(&of(config)?, 0).total(), expected));
        }
        if !case.is_mixture() {
            pairs.extend(self.latents(case, &model, &batch));
        }
        Ok(pairs)
    }

    /// The configuration of a case as one of ours.
    fn plan(&self, name: &str, case: &GoldenCase) -> Result<Plan, Problem> {
        let views = self.x.len();
        let m = views as f64;
        let rows = self.x[0].len();
        let private = |size: usize| (0..views).map(|m| (view(m), size)).collect();
        let split = case.overrides["model"]["s_dim"].as_u64().unwrap_or(0) as usize;
        let latent = case.z_dim - split;
        let modalities = self.modalities();
        let normal = |shape: Vec<usize>| {
            let size = shape.iter().product();
            Draw::Normal(shape, vec![0.0; size])
        };
        let real = || {
            let flat = case.z_real.concat().into_iter().map(|x| x as f32).collect();
            vec![Draw::Normal(vec![1, rows, latent], flat)]
        };
        // Powers of one: the product of experts without the prior.
        let ones = || Some(vec![vec![1.0; latent]; views]);
        let given = || case.params.get("poe_weight").map(numbers);
        Ok(match case.model.as_str() {
            "AE" => Plan::new(AeConfig { latent, modalities, ..Default::default() }),
            "DCCAE" => Plan::new(DccaeConfig { latent, modalities, ..Default::default() }),
            "mAAE" => {
                let critic = Some(linear());
                let config = MaaeConfig { latent, critic, modalities, ..Default::default() };
                Plan { draws: real(), ..Plan::new(config) }
            }
            "mWAE" => {
                let critic = Some(linear());
                let config = MwaeConfig { latent, critic, modalities, ..Default::default() };
                Plan { draws: real(), ..Plan::new(config) }
            }
            "mcVAE" => {
                let sparse = case.overrides["model"]["sparse"].as_bool().unwrap_or(false);
                let beta = m * m;
                Plan::new(McvaeConfig { latent, beta, sparse, modalities, ..Default::default() })
            }
            "DVCCA" => {
                let private = private(case.z_dim);
                Plan::new(DvccaConfig { latent, private, modalities, ..Default::default() })
            }
            "me_mVAE" => Plan::new(MeMvaeConfig { latent, modalities, ..Default::default() }),
            "mVAE" if case.overrides["model"]["use_prior"] == false => {
                let powers = Powers::Free;
                let config = GpoeConfig { latent, powers, modalities, ..Default::default() };
                Plan { powers: ones(), ..Plan::new(config) }
            }
            "mVAE" if case.overrides["model"]["sparse"] == true => {
                Plan::new(SparseMvaeConfig { latent, modalities, ..Default::default() })
            }
            "mVAE" => {
                let rule = match case.overrides["model"]["join_type"].as_str() {
                    None => Rule::Product,
                    Some("Mean") => Rule::Mean,
                    Some(other) => return Err(Problem::Todo(format!("join_type {other}"))),
                };
                // Nothing is left of the divergence at the first epoch of the warm-up.
                let beta = if name.ends_with("epoch0") { 0.0 } else { 1.0 };
                Plan::new(MvaeConfig {
                    latent,
                    beta,
                    rule,
                    subsampling: false,
                    modalities,
                    ..Default::default()
                })
            }
            "weighted_mVAE" => {
                let (beta, powers) = (m, Powers::Free);
                let config = GpoeConfig { latent, beta, powers, modalities, ..Default::default() };
                Plan { powers: given(), ..Plan::new(config) }
            }
            "DMVAE" | "weighted_DMVAE" => {
                let (beta, powers, private) = (m, Powers::Free, private(split));
                let config = WeightedDmvaeConfig {
                    latent,
                    beta,
                    powers,
                    private,
                    modalities,
                    ..Default::default()
                };
                Plan { powers: given().or_else(ones), ..Plan::new(config) }
            }
            "mmJSD" => {
                let config = MmjsdConfig {
                    latent,
                    alpha: m / (m + 1.0),
                    beta: 1.0 / m,
                    prior_expert: false,
                    private: private(split),
                    modalities,
                    ..Default::default()
                };
                // Rows are dealt to views in blocks.
                let blocks = (0..rows).map(|row| row * views / rows).collect();
                let mut draws = vec![Draw::Choice(blocks), normal(vec![1, rows, latent])];
                draws.extend((0..views).map(|_| normal(vec![1, rows, split])));
                Plan { draws, ..Plan::new(config) }
            }
            "MoPoEVAE" => {
                let config = MopoeConfig { latent, modalities, ..Default::default() };
                // Blocks of equal size, and what is left to the last subset.
                let (count, subsets) = ((1 << views) - 1, rows / ((1 << views) - 1));
                let blocks = (0..rows).map(|row| (row / subsets).min(count - 1)).collect();
                let draws = vec![Draw::Choice(blocks), normal(vec![1, rows, latent])];
                Plan { draws, ..Plan::new(config) }
            }
            "mvtCAE" => {
                let alpha = 0.5;
                let beta = 1.0;
                let config = MvtcaeConfig { latent, alpha, beta, modalities, ..Default::default() };
                Plan::new(config)
            }
            "mmVAE" => Plan::new(MmvaeConfig {
                latent,
                samples: 1,
                family: Family::Normal,
                learned_prior: false,
                estimator: Estimator::Iwae,
                modalities,
                ..Default::default()
            }),
            "mmVAEPlus" => {
                let size = |key: &str| case.overrides["model"][key].as_u64().unwrap_or(0) as usize;
                Plan::new(MmvaePlusConfig {
                    latent: size("u_dim"),
                    private: size("w_dim"),
                    samples: 1,
                    family: Family::Normal,
                    learned_prior: true,
                    learned_location: true,
                    learned_modality_priors: false,
                    estimator: Estimator::Iwae,
                    modalities,
                    ..Default::default()
                })
            }
            "JMVAE" => {
                let same = NetworkConfig::layers(Vec::new());
                let inputs = (0..views).map(|m| (view(m), same.clone())).collect();
                let encoder = Some(heads());
                Plan::new(JmvaeConfig {
                    latent,
                    alpha: 1.0,
                    joint_encoder: JointEncoderConfig { inputs, encoder },
                    modalities,
                    ..Default::default()
                })
            }
            other => return Err(Problem::Todo(format!("model `{other}`"))),
        })
    }

    fn modalities(&self) -> Vec<ModalityConfig> {
        let modality = |m| ModalityConfig {
            encoder: Some(heads()),
            decoder: Some(linear()),
            ..ModalityConfig::new(view(m))
        };
        (0..self.x.len()).map(modality).collect()
    }

    /// The model of a case with its weights.
    fn model_of(
        &self,
        case: &GoldenCase,
        config: ModelConfig,
        plan: &Plan,
        specs: &[ModalitySpec],
        device: &Device,
    ) -> Result<Model, Problem> {
        let config = config.with_modalities(specs).map_err(|error| broken(error.to_string()))?;
        let model = config.init(&Networks::default(), device);
        let model = model.map_err(|error| broken(error.to_string()))?;
        let mut load = Load { case, powers: plan.powers.as_ref(), path: vec![], problems: vec![] };
        let model = init_parameters(model).map(&mut load);
        match load.problems.is_empty() {
            true => Ok(model),
            false => Err(broken(load.problems.join("; "))),
        }
    }

    /// Losses of ours in the form of the library, by component.
    fn losses(&self, case: &GoldenCase, loss: &dyn Fn(usize) -> Parts) -> Result<Pairs, Problem> {
        let m = self.x.len() as f64;
        let features: usize = self.x.iter().map(|x| x[0].len()).sum();
        // What the likelihood of a squared error has beside it, summed over all views.
        let constant = 0.5 * std::f64::consts::PI.ln() * features as f64;
        let of = loss(0);
        let (total, ll) = (of.total(), -of.sum("reconstruction/"));
        let found: Vec<(&str, f64)> = match case.model.as_str() {
            "AE" => vec![("loss", total - constant / m)],
            "DCCAE" => vec![
                ("loss", total - constant),
                ("recon_loss", -ll - constant),
                ("cca_loss", of.term("correlation")),
            ],
            "mAAE" => {
                let (critic, generator) = (loss(1), loss(2).total());
                // Its objective of the critic is another one, of the same parts.
                let disc = (critic.term("critic_prior") - m - m * generator) / (m + 1.0);
                let right = critic.term("critic_prior") + m * critic.term("critic_codes");
                let right = (right / (m + 1.0) - critic.total()).abs();
                if right > ABSOLUTE {
                    return Err(broken(format!("parts of the critic are off by {right}")));
                }
                vec![("recon", total - constant / m), ("gen", generator + 1.0), ("disc", disc)]
            }
            "mWAE" => vec![
                ("recon", total - constant / m),
                ("disc", loss(1).total()),
                ("gen", loss(2).total()),
            ],
            "mcVAE" => {
                vec![("loss", total / m), ("kl", of.term("kl") * m), ("ll", ll / m)]
            }
            "weighted_mVAE" => vec![("loss", total / m), ("kl", of.term("kl")), ("ll", ll / m)],
            "DVCCA" => {
                let kl = of.term("kl") + of.sum("kl_private/");
                vec![("loss", total), ("kl", kl), ("ll", ll)]
            }
            "me_mVAE" => vec![
                ("loss", total),
                ("kl", of.term("kl")),
                ("ll", ll),
                ("ll_separate", -of.sum("self_reconstruction/")),
                ("kl_separate", of.sum("kl_single/")),
            ],
            "mmJSD" => vec![
                ("loss", total),
                ("jsd", of.term("jsd") * m / (m + 1.0)),
                ("kl", of.sum("kl_private/") / m),
                ("ll", ll),
            ],
            "JMVAE" => {
                let kls = of.term("kl") + of.sum("kl_unimodal/");
                vec![("loss", total), ("kls", kls), ("ll", ll)]
            }
            "mmVAE" | "mmVAEPlus" => vec![("loss", total * self.x[0].len() as f64 / m)],
            "mvtCAE" => vec![("loss", total), ("kl_grp", of.term("kl"))],
            "mVAE" | "MoPoEVAE" => vec![("loss", total), ("kl", of.term("kl")), ("ll", ll)],
            _ => vec![("loss", total)],
        };
        let expected = |name: &str| {
            let value = case.expected().get(name);
            value.copied().ok_or_else(|| broken(format!("no loss `{name}`")))
        };
        let pair = |(name, found): (&str, f64)| Ok((name.to_owned(), found, expected(name)?));
        found.into_iter().map(pair).collect()
    }

    /// Encoded values: of each view alone where the library has a list of them, else of all.
    fn latents(&self, case: &GoldenCase, model: &Model, batch: &Batch) -> Pairs {
        let views = self.x.len();
        let encoder = model.encoder().expect("all models encode");
        let joint = case.latents_eval.len() == 1
            || matches!(case.model.as_str(), "mmJSD" | "DMVAE" | "weighted_DMVAE" | "DVCCA");
        let mut pairs = Vec::new();
        for (m, expected) in case.latents_eval.iter().enumerate() {
            let given = if joint { Subset::full(views) } else { Subset::single(m) };
            let latent = encoder.encode(batch, given, Draws::Mean, &mut Noise::zero());
            let shared = latent.first().cloned();
            let own = latent.of(&view(m)).cloned();
            // Private codes stand first, but for one model.
            let parts = match case.model.as_str() {
                "DVCCA" | "mmVAEPlus" => [shared, own],
                _ => [own, shared],
            };
            let parts: Vec<Tensor<3>> = parts.into_iter().flatten().collect();
            let found = Tensor::cat(parts, 2).into_data().iter::<f64>().collect::<Vec<f64>>();
            let expected = expected.concat();
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                pairs.push((format!("latent {m}, {i}"), *found, *expected));
            }
            let sizes = ("numbers of a latent".into(), found.len() as f64, expected.len() as f64);
            pairs.push(sizes);
        }
        pairs
    }

    /// A rule that joins experts.
    fn rule(&self, rule: &str, device: &Device) -> Result<Pairs, Problem> {
        let p = &self.primitives;
        let stack = |key: &str| -> Tensor<3> {
            let views: Vec<Matrix> = p[key].as_array().into_iter().flatten().map(numbers).collect();
            Tensor::stack(views.iter().map(|x| matrix(x, device)).collect(), 0)
        };
        if p.is_null() {
            return Err(Problem::Todo("the file has no primitives".into()));
        }
        let (mean, log_var) = (stack("mu"), stack("logvar"));
        let [count, rows, _] = mean.dims();
        let presence = Tensor::ones([count, rows], device);
        let experts = Experts::new(mean.clone(), log_var.clone(), presence);
        let all = Subsets::new(count, vec![Subset::full(count)]).expect("not empty");
        let found = match rule {
            "poe" => Product::without_prior().of(&experts, &all),
            "alpha_poe_uniform" => geometric_mean(&experts, &all, 0.0),
            "mean" => mean_rule(&experts, &all, false),
            "normal_kl_0_1" => {
                let expert = |i| {
                    let pick = |x: &Tensor<3>| x.clone().narrow(0, i, 1).reshape([2, 1]);
                    Normal::<2>::new(pick(&mean), pick(&log_var))
                };
                let kl: Tensor<1> = expert(0).kl(&expert(1));
                return Ok(zipped("kl", kl, &numbers(&p[rule]).concat()));
            }
            "helvae" => {
                let (found, expected) = (hellinger(&experts, &all), &self.new_methods[rule]);
                let mut pairs = zipped("mu", found.mean, &numbers(&expected["mu"]).concat());
                let variance = found.log_var.exp();
                pairs.extend(zipped("var", variance, &numbers(&expected["var"]).concat()));
                return Ok(pairs);
            }
            "code_rho_0.5" => {
                let (found, expected) = (correlated(&experts, &all, 0.5), &self.new_methods[rule]);
                let mut pairs = zipped("mu", found.mean, &numbers(&expected["mu"]).concat());
                let variance = found.log_var.exp();
                pairs.extend(zipped("var", variance, &numbers(&expected["var"]).concat()));
                return Ok(pairs);
            }
            "w2_barycenter" => {
                let (found, expected) = (barycentre(&experts, &all), &self.new_methods[rule]);
                let mut pairs = zipped("mu", found.mean, &numbers(&expected["mu"]).concat());
                let deviation = (found.log_var * 0.5).exp();
                pairs.extend(zipped("std", deviation, &numbers(&expected["std"]).concat()));
                return Ok(pairs);
            }
            "mmvm_kl_alpha0" => {
                let found = mean_divergences(&experts).sum();
                return Ok(zipped("kl", found, &numbers(&self.new_methods[rule]).concat()));
            }
            other => return Err(Problem::Todo(format!("rule `{other}`"))),
        };
        let mut pairs = zipped("mu", found.mean, &numbers(&p[rule]["mu"]).concat());
        pairs.extend(zipped("logvar", found.log_var, &numbers(&p[rule]["logvar"]).concat()));
        Ok(pairs)
    }
}

/// The rules that are compared.
const RULES: &[&str] = &[
    "poe",
    "alpha_poe_uniform",
    "normal_kl_0_1",
    "helvae",
    "w2_barycenter",
    "mmvm_kl_alpha0",
    "mean",
    "code_rho_0.5",
];

impl GoldenCase {
    /// Whether latent values of all views come from a mixture over sets of views, as in training,
    /// where the library takes the product of all of them.
    fn is_mixture(&self) -> bool {
        self.model == "MoPoEVAE"
    }

    fn latent_values(&self) -> usize {
        self.latents_eval.iter().flatten().map(Vec::len).sum()
    }

    /// The losses of the right objective, where the library has another.
    fn expected(&self) -> &BTreeMap<String, f64> {
        self.losses_paper_correct.as_ref().unwrap_or(&self.losses)
    }

    /// How many features of its latent values are private.
    fn split(&self) -> usize {
        self.overrides["model"]["s_dim"].as_u64().unwrap_or(0) as usize
    }

    /// What stands in a parameter of ours, `[outputs, inputs]` or a vector, by its path without
    /// variants.
    fn parameter(&self, path: &str) -> Result<Matrix, String> {
        let get = |name: String| {
            let found = self.params.get(&name).map(numbers);
            found.ok_or_else(|| format!("no weight `{name}` for `{path}`"))
        };
        let segments: Vec<&str> = path.split('.').filter(|s| *s != "channels").collect();
        let field = segments.last().copied().unwrap_or_default();
        let view = segments.get(1).and_then(|s| s.strip_prefix('v')).unwrap_or("0");
        let linear = matches!(self.model.as_str(), "AE" | "mAAE" | "mWAE" | "DCCAE");
        let split = self.split();
        match segments[0] {
            "log_alpha" => get("log_alpha".into()),
            "prior" => get("logvar_priors_shared".into()),
            "location" => get("mean_priors_shared".into()),
            "critic" => get(format!("discriminator.linear_layers.0.{field}")),
            "joint_encoder" => {
                let head = if path.contains("log_var") { "logvar" } else { "mean" };
                get(format!("encoders.0.enc_{head}_layer.{field}"))
            }
            "decoders" if field == "log_scale" => {
                let log_var = get(format!("decoders.{view}.logvar_out"))?;
                Ok(vec![log_var[0].iter().map(|x| x / 2.0).collect()])
            }
            "decoders" => {
                let layer = if linear { "decoder_layers.0" } else { "dec_mean_layer" };
                let mut weight = get(format!("decoders.{view}.{layer}.{field}"))?;
                if field == "weight" {
                    // Shared features first.
                    weight.iter_mut().for_each(|row| row.rotate_left(split));
                }
                Ok(weight)
            }
            _ => {
                let number = match self.model.as_str() {
                    "JMVAE" => view.parse::<usize>().map_err(|e| e.to_string())? + 1,
                    _ => view.parse().map_err(|e: std::num::ParseIntError| e.to_string())?,
                };
                let private = path.contains(".private.");
                let head = if path.contains("log_var") { "logvar" } else { "mean" };
                let own = self.model == "DVCCA" && (private || number > 0);
                let network = if own { "private_encoders" } else { "encoders" };
                let layer = match linear {
                    true => "encoder_layers.0".to_owned(),
                    false if private && self.model == "mmVAEPlus" => {
                        format!("enc_{head}_layer_private")
                    }
                    false => format!("enc_{head}_layer"),
                };
                let mut found = get(format!("{network}.{number}.{layer}.{field}"))?;
                if split > 0 {
                    let cut = |list: &mut Vec<f64>| {
                        *list = if private { list[..split].into() } else { list[split..].into() };
                    };
                    match field {
                        "bias" => cut(&mut found[0]),
                        _ if private => found.truncate(split),
                        _ => drop(found.drain(..split)),
                    }
                }
                Ok(found)
            }
        }
    }
}

/// Sets every parameter.
struct Load<'a> {
    case: &'a GoldenCase,
    powers: Option<&'a Matrix>,
    path: Vec<String>,
    problems: Vec<String>,
}

impl ModuleMapper for Load<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let variant = |segment: &&String| segment.starts_with(char::is_uppercase);
        let path: Vec<&str> =
            self.path.iter().filter(|s| !variant(s)).map(String::as_str).collect();
        let found = match (path[0], self.powers) {
            ("powers", Some(powers)) => {
                let m: usize = path[2].trim_start_matches('v').parse().unwrap_or(0);
                // Log-odds, of 1 those that single precision tells from nothing else.
                let logit = |w: &f64| (w / (1.0 - w).max(1e-17)).ln();
                Ok(vec![powers[m].iter().map(logit).collect()])
            }
            _ => self.case.parameter(&path.join(".")),
        };
        let shape = param.val().dims();
        let values = match found {
            Ok(values) => values,
            Err(problem) => {
                self.problems.push(problem);
                return param;
            }
        };
        let (rows, columns) = (values.len(), values[0].len());
        // Ours are `[inputs, outputs]`.
        let turned = path.last() == Some(&"weight");
        let flat: Vec<f32> = match turned {
            true => (0..rows * columns).map(|i| values[i % rows][i / rows] as f32).collect(),
            false => values.concat().into_iter().map(|x| x as f32).collect(),
        };
        if flat.len() != shape.iter().product::<usize>() {
            self.problems.push(format!("`{}`: {rows} × {columns} for {shape:?}", path.join(".")));
            return param;
        }
        param.map(|old| {
            let learns = old.is_require_grad();
            Tensor::from_data(TensorData::new(flat, shape), &old.device()).set_require_grad(learns)
        })
    }
}

/// A loss by its parts.
struct Parts(Loss);

impl Parts {
    fn total(&self) -> f64 {
        scalar(&self.0.total)
    }

    fn term(&self, name: &str) -> f64 {
        let found = self.0.terms.iter().find(|(n, _)| n == name);
        found.map_or(f64::NAN, |(_, value)| scalar(value))
    }

    fn sum(&self, prefix: &str) -> f64 {
        let found = self.0.terms.iter().filter(|(name, _)| name.starts_with(prefix));
        found.map(|(_, value)| scalar(value)).sum()
    }
}

fn scalar(value: &Tensor<1>) -> f64 {
    f64::from(value.clone().into_scalar::<f32>())
}

fn view(m: usize) -> ModalityName {
    ModalityName::new(format!("v{m}")).expect("valid")
}

fn heads() -> EncoderConfig {
    EncoderConfig::Branches(BranchConfig::default().into())
}

fn linear() -> NetworkConfig {
    NetworkConfig::layers(vec![LayerConfig::linear_open()])
}

/// Numbers of a list, or of a list of lists, as rows.
fn numbers(value: &Value) -> Matrix {
    let list = |v: &Value| v.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    match value.get(0) {
        Some(first) if first.is_array() => {
            value.as_array().into_iter().flatten().map(list).collect()
        }
        _ => vec![list(value)],
    }
}

fn matrix(rows: &Matrix, device: &Device) -> Tensor<2> {
    let flat: Vec<f32> = rows.concat().into_iter().map(|x| x as f32).collect();
    Tensor::from_data(TensorData::new(flat, [rows.len(), rows[0].len()]), device)
}

fn zipped<const D: usize>(what: &str, found: Tensor<D>, expected: &[f64]) -> Pairs {
    let found: Vec<f64> = found.into_data().iter::<f64>().collect();
    let pair =
        |(i, (found, expected)): (usize, (&f64, &f64))| (format!("{what} {i}"), *found, *expected);
    found.iter().zip(expected).enumerate().map(pair).collect()
}
