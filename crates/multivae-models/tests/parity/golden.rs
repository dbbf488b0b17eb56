//! Reads values recorded from the Python library multi-view-AE, all in one file, and compares this
//! library with them.
//!
//! Its networks are linear, and its noise is off: every sample is the location of its posterior.
//! A case holds inputs, weights by the library's names, losses by component and encoded values. Where
//! the library is wrong, the values of the right objective are compared, or ours are brought into the
//! form of the library: what a model's documentation says of the difference is said here in numbers.
//! Configurations and weights are those that an import makes.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use multivae_core::{
    batch::{Batch, Progress},
    distribution::Normal,
    fusion::{Experts, Product, geometric_mean, mean as mean_rule},
    modality::ModalityName,
    model::{Draws, Loss, MultimodalModel},
    module::init_parameters,
    nn::Networks,
    noise::{Draw, Noise},
    subset::{Subset, Subsets},
};
use multivae_models::{
    Model, ModelConfig,
    blocks::pooling::{barycentre, correlated, hellinger, mean_divergences},
    exchange::{
        Entry, Weights,
        multiview_ae::{Saved, View},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

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
    saved: Saved,
    weights: Weights,
    /// Recorded draws; none for zeros throughout.
    draws: Vec<Draw>,
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

    fn batch(&self, device: &Device) -> Batch {
        let values = self.x.iter().map(|x| matrix(x, device)).collect();
        Batch::complete(values).expect("as many rows of each view")
    }

    fn compare(&self, name: &str, case: &GoldenCase, device: &Device) -> Result<Pairs, Problem> {
        let plan = self.plan(name, case)?;
        let batch = self.batch(device);
        let of = |config: ModelConfig| model_of(config, &plan, device);
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
            let none = json!({ "v0": 0.0, "v1": 0.0 });
            let config = with(&plan.config, &[("beta", json!(0.0)), ("private_betas", none)]);
            let expected = case.expected()["ll"];
            pairs.push(("ll".into(), -loss(&of(config)?, 0).total(), expected));
        }
        if !case.is_mixture() {
            pairs.extend(self.latents(case, &model, &batch));
        }
        Ok(pairs)
    }

    /// A case as an import makes it.
    fn plan(&self, name: &str, case: &GoldenCase) -> Result<Plan, Problem> {
        let views = self.x.len();
        let rows = self.x[0].len();
        let split = case.overrides["model"]["s_dim"].as_u64().unwrap_or(0) as usize;
        let latent = case.z_dim - split;
        let normal = |shape: Vec<usize>| {
            let size = shape.iter().product();
            Draw::Normal(shape, vec![0.0; size])
        };
        let draws = match case.model.as_str() {
            "mAAE" | "mWAE" => {
                let flat = case.z_real.concat().into_iter().map(|x| x as f32).collect();
                vec![Draw::Normal(vec![1, rows, latent], flat)]
            }
            "mmJSD" => {
                // Rows are dealt to views in blocks.
                let blocks = (0..rows).map(|row| row * views / rows).collect();
                let mut draws = vec![Draw::Choice(blocks), normal(vec![1, rows, latent])];
                draws.extend((0..views).map(|_| normal(vec![1, rows, split])));
                draws
            }
            "MoPoEVAE" => {
                // Blocks of equal size, and what is left to the last subset.
                let (count, subsets) = ((1 << views) - 1, rows / ((1 << views) - 1));
                let blocks = (0..rows).map(|row| (row / subsets).min(count - 1)).collect();
                vec![Draw::Choice(blocks), normal(vec![1, rows, latent])]
            }
            _ => Vec::new(),
        };
        let view = |(m, x): (usize, &Matrix)| View::new(&format!("v{m}"), &[x[0].len()]);
        let problem = |error: multivae_models::exchange::ExchangeError| broken(error.to_string());
        let named = self.x.iter().enumerate().map(view).collect::<Result<Vec<_>, _>>();
        let settings = match &case.overrides {
            Value::Null => json!({}),
            overrides => overrides.clone(),
        };
        let weights = Weights::unordered(case.params.iter().map(entry).collect());
        let (named, latent) = (named.map_err(problem)?, Some(case.z_dim));
        let saved = Saved::read(&case.model, &named, latent, &settings, &weights);
        let saved = saved.map_err(problem)?;
        let mut config = saved.config().clone();
        // Nothing is left of the divergence at the first epoch of the warm-up.
        if name.ends_with("epoch0") {
            config = with(&config, &[("beta", json!(0.0))]);
        }
        // Its encoded values are those before features are dropped.
        if case.overrides["model"]["sparse"] == true {
            config = with(&config, &[("threshold", json!(1.0))]);
        }
        Ok(Plan { config, saved, weights, draws })
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
            let name = ModalityName::new(format!("v{m}")).expect("valid");
            let shared = latent.first().cloned();
            let own = latent.of(&name).cloned();
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
}

/// A configuration with other values.
fn with(config: &ModelConfig, values: &[(&str, Value)]) -> ModelConfig {
    let mut all = serde_json::to_value(config).expect("plain data");
    for (key, value) in values {
        all[*key] = value.clone();
    }
    serde_json::from_value(all).expect("its own data")
}

/// The model of a case with its weights.
fn model_of(config: ModelConfig, plan: &Plan, device: &Device) -> Result<Model, Problem> {
    let model = config.init(&Networks::default(), device);
    let model = init_parameters(model.map_err(|error| broken(error.to_string()))?);
    plan.saved.fill(model, &plan.weights).map_err(|error| broken(error.to_string()))
}

/// A weight of the library.
fn entry((name, value): (&String, &Value)) -> Entry {
    let rows = numbers(value);
    let nested = value.get(0).is_some_and(Value::is_array);
    let shape = if nested { vec![rows.len(), rows[0].len()] } else { vec![rows[0].len()] };
    let values = rows.concat().into_iter().map(|x| x as f32).collect();
    Entry { name: name.clone(), shape, values }
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
