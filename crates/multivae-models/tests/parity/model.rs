//! The model of a case: its configuration, the order of its noise, its reductions and metrics.
//!
//! This is the only place that knows how the reference orders its draws and reduces its losses.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use multivae_core::{
    batch::{Batch, Purpose},
    distribution::Likelihood,
    modality::{ModalityName, ModalitySpec},
    model::{Loss, MultimodalVae},
    module::settle,
    nn::Networks,
    noise::{Draw, Noise},
    objective::{Rescale, Warmup},
    subset::{Subset, Subsets},
};
use multivae_models::{
    ModalityConfig, Model, ModelConfig, mhvae::MhvaeConfig, mopoe::MopoeConfig, mvae::MvaeConfig,
};
use serde_json::Value;

use super::{
    Case, Problem, broken,
    calls::{self, scalar},
    case::{Call, RecordedDraw},
    network::{self, Layout},
};

/// A case with its model built and loaded.
pub(super) struct Recorded<'a> {
    pub case: &'a Case,
    pub device: Device,
    pub specs: Vec<ModalitySpec>,
    pub model: Model,
    pub layout: Layout,
    /// Features of each modality's private space.
    private: Vec<usize>,
}

impl<'a> Recorded<'a> {
    pub fn new(case: &'a Case, device: &Device) -> Result<Self, Problem> {
        let device = device.clone().autodiff();
        let specs = specs(case)?;
        let (config, layout) = config(case, &specs)?;
        let model = config
            .init(&Networks::default(), &device)
            .map_err(|error| broken(format!("the model cannot be built: {error}")))?;
        let model = calls::load(settle(model), case, &layout)?;
        let private = private_sizes(case, &specs);
        Ok(Self { case, device, specs, model, layout, private })
    }

    /// How the reference's loss is reduced, relative to ours, which is the mean over rows.
    ///
    /// MVAE and MoPoE: the same. MHVAE: the sum over rows.
    pub fn reduction(&self, batch: &Batch) -> f64 {
        match &self.model {
            Model::Mhvae(_) => batch.rows() as f64,
            _ => 1.0,
        }
    }

    pub fn loss(&self, model: &Model, batch: &Batch, draws: Vec<Draw>) -> Result<Loss, Problem> {
        let mut noise = Noise::recorded(draws);
        let loss = model.loss(batch, &mut noise);
        match noise.remaining() {
            0 => Ok(loss),
            n => Err(broken(format!("{n} recorded draws were not used"))),
        }
    }

    /// Loss, its sum and the metrics, as the reference names and reduces them.
    pub fn scalars(
        &self,
        batch: &Batch,
        loss: &Loss,
        draws: Vec<Draw>,
    ) -> Result<BTreeMap<String, f64>, Problem> {
        let rows = batch.rows() as f64;
        let total = scalar(loss.total.clone());
        let mut found = BTreeMap::new();
        let term = |name: &str| {
            let term = loss.terms.iter().find(|(n, _)| n == name);
            term.map(|(_, value)| scalar(value.clone()))
                .ok_or_else(|| broken(format!("the loss has no term `{name}`")))
        };
        let mut noise = Noise::recorded(draws);
        match &self.model {
            Model::Mvae(model) => {
                let config = &self.case.description.config;
                let beta = number(config, "beta", 1.0) * warmup(config).weight(batch.progress);
                let bounds = model.subset_bounds(batch, &mut noise);
                let negative = bounds.negative(beta);
                let reconstruction = bounds.negative(0.0);
                for (t, subset) in bounds.subsets.iter().enumerate() {
                    if !batch
                        .presence
                        .rows()
                        .iter()
                        .any(|row| subset.iter().any(|m| row.contains(m)))
                    {
                        continue;
                    }
                    let mut names: Vec<&str> =
                        subset.iter().map(|m| self.specs[m].name.as_str()).collect();
                    names.sort_unstable();
                    let key = names.join("_");
                    let mut put = |name: String, values: &Tensor<2>| {
                        found.insert(format!("metrics.{name}"), scalar(bounds.mean(values, t)));
                    };
                    put(key.clone(), &negative);
                    put(format!("kld{key}"), &bounds.kl);
                    put(format!("recon{key}"), &reconstruction);
                }
                found.insert("metrics.beta".into(), beta);
                found.extend([("loss".into(), total), ("loss_sum".into(), total * rows)]);
            }
            Model::Mopoe(_) => {
                for spec in &self.specs {
                    let value = term(&format!("reconstruction/{}", spec.name))?;
                    found.insert(format!("metrics.recon_{}", spec.name), value);
                }
                found.insert("metrics.joint_divergence".into(), term("kl")?);
                found.extend([("loss".into(), total), ("loss_sum".into(), total * rows)]);
            }
            Model::Mhvae(model) => {
                let bounds = model.subset_bounds(batch, &mut noise);
                for (i, kl) in bounds.kl.iter().enumerate() {
                    let last = kl.dims()[0] - 1;
                    let sum = scalar(kl.clone().narrow(0, last, 1).sum());
                    found.insert(format!("metrics.kl_{}", i + 1), sum);
                }
                found.extend([("loss".into(), total * rows), ("loss_sum".into(), total * rows)]);
            }
            _ => return Err(Problem::Todo("metrics of this model".into())),
        }
        Ok(found)
    }

    fn draw(&self, draw: &RecordedDraw) -> Result<Vec<f32>, Problem> {
        self.case.noise(draw)
    }

    /// A recorded normal draw under another shape of the same size.
    fn normal(&self, draw: &RecordedDraw, shape: Vec<usize>) -> Result<Draw, Problem> {
        let values = self.draw(draw)?;
        if draw.kind != "normal" || values.len() != shape.iter().product::<usize>() {
            return Err(broken(format!(
                "draw `{}`: {} {:?} is not a normal {shape:?}",
                draw.label, draw.kind, draw.shape
            )));
        }
        Ok(Draw::Normal(shape, values))
    }

    /// The draws of a loss in our order: all subsets of a level at once.
    pub fn forward_draws(
        &self,
        call: &Call,
        batch: &Batch,
        noise: &[RecordedDraw],
    ) -> Result<Vec<Draw>, Problem> {
        let rows = batch.rows();
        let mut noise = noise.iter();
        let mut next =
            || noise.next().ok_or_else(|| broken(format!("{}: too few recorded draws", call.id)));
        match &self.model {
            Model::Mvae(_) => {
                let mut found = Vec::new();
                let n = self.specs.len();
                let config = &self.case.description.config;
                let mut subsets = vec![Subset::full(n)];
                if config.get("use_subsampling").and_then(Value::as_bool).unwrap_or(true) {
                    if n > 1 {
                        subsets.extend((0..n).map(Subset::single));
                    }
                    let random = number(config, "k", 0.0) as usize;
                    if batch.purpose == Purpose::Train && n > 2 && random > 0 {
                        // An index into the subsets of middle size, by size, then in order.
                        let chosen: Vec<usize> =
                            self.draw(next()?)?.iter().map(|&v| v as usize).collect();
                        let candidates: Vec<Subset> =
                            Subsets::all(n).iter().filter(|s| (2..n).contains(&s.len())).collect();
                        for &i in &chosen {
                            subsets.push(*candidates.get(i).ok_or_else(|| {
                                broken(format!("{}: no subset number {i}", call.id))
                            })?);
                        }
                        found.push(Draw::Choice(chosen));
                    }
                }
                let latent = latent(&self.case.description.config)?;
                let mut values = Vec::new();
                for subset in &subsets {
                    // The reference draws for the rows that observe the subset only.
                    let observes =
                        |row: usize| subset.iter().any(|m| batch.presence.rows()[row].contains(m));
                    let mut dense = vec![0.0; rows * latent];
                    let kept: Vec<usize> = (0..rows).filter(|&row| observes(row)).collect();
                    if !kept.is_empty() {
                        let draw = next()?;
                        let Draw::Normal(_, drawn) = self.normal(draw, vec![kept.len(), latent])?
                        else {
                            unreachable!("`normal` gives normal draws")
                        };
                        for (i, row) in kept.into_iter().enumerate() {
                            dense[row * latent..][..latent]
                                .copy_from_slice(&drawn[i * latent..][..latent]);
                        }
                    }
                    values.extend(dense);
                }
                found.push(Draw::Normal(vec![subsets.len(), rows, latent], values));
                Ok(found)
            }
            Model::Mopoe(model) => {
                let components = model.components().len();
                let chosen = if self.case.description.incomplete {
                    self.draw(next()?)?.iter().map(|&v| v as usize).collect()
                } else {
                    // The reference deals rows to components by their place in the batch.
                    let share = rows / components;
                    (0..rows)
                        .map(|row| row.checked_div(share).unwrap_or(components).min(components - 1))
                        .collect()
                };
                let mut found = vec![Draw::Choice(chosen)];
                found.push(
                    self.normal(next()?, vec![1, rows, latent(&self.case.description.config)?])?,
                );
                for &size in self.private.iter().filter(|&&size| size > 0) {
                    found.push(self.normal(next()?, vec![1, rows, size])?);
                }
                Ok(found)
            }
            Model::Mhvae(_) => {
                let subsets = Subsets::all(self.specs.len()).len();
                let draws: Vec<&RecordedDraw> = noise.collect();
                let levels = draws.len() / subsets;
                (0..levels)
                    .map(|level| {
                        let mut values = Vec::new();
                        for subset in 0..subsets {
                            values.extend(self.draw(draws[subset * levels + level])?);
                        }
                        let features = values.len() / (subsets * rows);
                        Ok(Draw::Normal(vec![subsets, rows, features], values))
                    })
                    .collect()
            }
            _ => Err(Problem::Todo("noise of this model".into())),
        }
    }

    /// The draws of `encode`: each space `[samples, batch, features]`.
    pub fn encode_draws(
        &self,
        call: &Call,
        batch: &Batch,
        samples: usize,
    ) -> Result<Vec<Draw>, Problem> {
        call.noise
            .iter()
            // MoPoE draws components of incomplete rows and does not use them.
            .filter(|draw| draw.kind != "categorical")
            .map(|draw| {
                let features = draw.len / (samples * batch.rows());
                self.normal(draw, vec![samples, batch.rows(), features])
            })
            .collect()
    }

    /// The draws of samples of the prior.
    pub fn prior_draws(&self, call: &Call, rows: usize) -> Result<Vec<Draw>, Problem> {
        call.noise.iter().map(|draw| self.normal(draw, vec![1, rows, draw.len / rows])).collect()
    }

    /// The draws of a likelihood. The reference draws all spaces once a sample for the conditional
    /// one, all samples of a space at once for the joint one; ours draws all samples of a space at
    /// once, and private spaces of the target only.
    pub fn likelihood_draws(
        &self,
        call: &Call,
        batch: &Batch,
        target: Option<usize>,
        samples: usize,
    ) -> Result<Vec<Draw>, Problem> {
        let rows = batch.rows();
        let draws: Vec<&RecordedDraw> =
            call.noise.iter().filter(|draw| draw.kind != "categorical").collect();
        let repeats = if target.is_some() { samples } else { 1 };
        if draws.is_empty() || !draws.len().is_multiple_of(repeats) {
            return Err(broken(format!("{}: {} draws of {samples} samples", call.id, draws.len())));
        }
        let spaces = draws.len() / repeats;
        let private: Vec<usize> = (0..self.specs.len()).filter(|&m| self.private[m] > 0).collect();
        // Hierarchical models have one space a level, all of which are used.
        let wanted =
            |space: usize| match (target, space.checked_sub(1).and_then(|i| private.get(i))) {
                (Some(target), Some(&m)) => m == target,
                _ => true,
            };
        (0..spaces)
            .filter(|&space| wanted(space))
            .map(|space| {
                let mut values = Vec::new();
                for repeat in 0..repeats {
                    values.extend(self.draw(draws[repeat * spaces + space])?);
                }
                let features = values.len() / (samples * rows);
                Ok(Draw::Normal(vec![samples, rows, features], values))
            })
            .collect()
    }
}

fn number(config: &Value, key: &str, default: f64) -> f64 {
    config.get(key).and_then(Value::as_f64).unwrap_or(default)
}

fn latent(config: &Value) -> Result<usize, Problem> {
    let latent = config.get("latent_dim").and_then(Value::as_u64);
    latent.map(|v| v as usize).ok_or_else(|| broken("config.latent_dim is missing"))
}

fn warmup(config: &Value) -> Warmup {
    Warmup { epochs: number(config, "warmup", 10.0) as usize }
}

fn specs(case: &Case) -> Result<Vec<ModalitySpec>, Problem> {
    case.description
        .modalities
        .iter()
        .map(|modality| {
            let scale = modality.dist_params.get("scale").and_then(Value::as_f64).unwrap_or(1.0);
            let likelihood = match modality.dist.as_deref() {
                Some("normal") => Likelihood::normal(scale),
                Some("laplace") => Likelihood::laplace(scale),
                Some("bernoulli") => Likelihood::Bernoulli {},
                Some("categorical") => Likelihood::Categorical {},
                other => return Err(Problem::Todo(format!("distribution {other:?}"))),
            };
            ModalitySpec::new(&modality.name, &modality.dims)
                .map(|spec| spec.with_likelihood(likelihood))
                .map_err(|error| broken(error.to_string()))
        })
        .collect()
}

fn private_sizes(case: &Case, specs: &[ModalitySpec]) -> Vec<usize> {
    let sizes = case.description.config.get("modalities_specific_dim");
    let size = |spec: &ModalitySpec| {
        sizes.and_then(|s| s.get(spec.name.as_str())).and_then(Value::as_u64).unwrap_or(0) as usize
    };
    specs.iter().map(size).collect()
}

fn rescale(config: &Value, specs: &[ModalitySpec]) -> Result<Rescale, Problem> {
    if !config.get("uses_likelihood_rescaling").and_then(Value::as_bool).unwrap_or(false) {
        return Ok(Rescale::None);
    }
    match config.get("rescale_factors") {
        None | Some(Value::Null) => Ok(Rescale::BySize),
        Some(factors) => specs
            .iter()
            .map(|spec| {
                let factor = factors.get(spec.name.as_str()).and_then(Value::as_f64);
                factor.ok_or_else(|| broken(format!("no rescale factor of `{}`", spec.name)))
            })
            .collect::<Result<_, _>>()
            .map(Rescale::Given),
    }
}

/// The configuration of the case as one of ours, and where its weights go.
fn config(case: &Case, specs: &[ModalitySpec]) -> Result<(ModelConfig, Layout), Problem> {
    let description = &case.description;
    let given = &description.config;
    let arch = &description.arch;
    let rescale = rescale(given, specs)?;
    let beta = number(given, "beta", 1.0);
    let autoencoders = || -> Result<(Vec<ModalityConfig>, Layout), Problem> {
        let mut layout = Layout::default();
        let modalities = specs
            .iter()
            .map(|spec| {
                let name = spec.name.as_str();
                Ok(ModalityConfig {
                    shape: spec.shape.clone(),
                    likelihood: Some(spec.likelihood),
                    encoder: Some(network::encoder(arch, "encoders", name, &mut layout)?),
                    decoder: Some(network::decoder(arch, "decoders", name, &mut layout)?),
                    ..ModalityConfig::new(spec.name.clone())
                })
            })
            .collect::<Result<_, Problem>>()?;
        Ok((modalities, layout))
    };
    match description.model.as_str() {
        "mvae" => {
            let (modalities, layout) = autoencoders()?;
            let config = MvaeConfig {
                latent: latent(given)?,
                beta,
                warmup: warmup(given),
                subsampling: given.get("use_subsampling").and_then(Value::as_bool).unwrap_or(true),
                random_subsets: if specs.len() > 2 { number(given, "k", 0.0) as usize } else { 0 },
                rescale,
                modalities,
            };
            Ok((config.into(), layout))
        }
        "mopoe" => {
            let (modalities, layout) = autoencoders()?;
            let subsets = given.get("subsets").and_then(Value::as_object);
            let names = |list: &Value| {
                let names = list.as_array().into_iter().flatten().filter_map(Value::as_str);
                names
                    .map(|name| ModalityName::new(name).map_err(|e| broken(e.to_string())))
                    .collect()
            };
            let subsets: Vec<Vec<ModalityName>> = subsets
                .into_iter()
                .flat_map(|subsets| subsets.values())
                .map(names)
                .collect::<Result<_, _>>()?;
            let private = specs
                .iter()
                .zip(private_sizes(case, specs))
                .filter(|(_, size)| *size > 0)
                .map(|(spec, size)| (spec.name.clone(), size))
                .collect();
            let config = MopoeConfig {
                latent: latent(given)?,
                beta,
                beta_private: number(given, "beta_style", 1.0),
                subsets: subsets.into_iter().filter(|names| !names.is_empty()).collect(),
                rescale,
                private,
                modalities,
            };
            Ok((config.into(), layout))
        }
        "mhvae" => {
            let (blocks, layout) = network::hierarchy(arch, specs)?;
            let modalities = specs
                .iter()
                .map(|spec| ModalityConfig {
                    shape: spec.shape.clone(),
                    likelihood: Some(spec.likelihood),
                    ..ModalityConfig::new(spec.name.clone())
                })
                .collect();
            let config = MhvaeConfig {
                latent: latent(given)?,
                levels: number(given, "n_latent", 3.0) as usize,
                beta,
                shared_posterior: arch.get("posterior_blocks").is_some_and(Value::is_array),
                rescale,
                blocks: Some(blocks),
                modalities,
            };
            Ok((config.into(), layout))
        }
        other => Err(Problem::Todo(format!("model `{other}`"))),
    }
}
