//! A case with its model built and loaded, and what adapters read from it.

use std::collections::BTreeMap;

use burn::{
    module::{Flag, Module, ModuleMapper, Param},
    tensor::Device,
};
use multivae_core::{
    batch::Batch,
    distribution::Likelihood,
    modality::{ModalityName, ModalitySpec},
    model::{Loss, MultimodalModel},
    module::init_parameters,
    nn::Networks,
    noise::{Draw, Noise, standard_laplace},
    objective::{Rescale, Warmup},
};
use multivae_models::{ModalityConfig, Model};
use serde_json::Value;

use super::{
    Case, Problem,
    adapters::{Adapter, adapter},
    broken, calls,
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
    pub adapter: &'static dyn Adapter,
}

impl<'a> Recorded<'a> {
    /// The model as a call finds it: with the stored weights, in the call's mode.
    pub fn new(case: &'a Case, call: &Call, device: &Device) -> Result<Self, Problem> {
        let device = device.clone().autodiff();
        let adapter = adapter(&case.description.model)?;
        let specs = specs(case)?;
        let (config, layout) = adapter.config(case, &specs)?;
        let model = config
            .init(&Networks::default(), &device)
            .map_err(|error| broken(format!("the model cannot be built: {error}")))?;
        let model = calls::load(init_parameters(model), case, &layout)?;
        let model = if call.mode == "train" { model } else { model.map(&mut Evaluating) };
        Ok(Self { case, device, specs, model, layout, adapter })
    }

    /// The configuration of the case, in the reference's words.
    pub fn config(&self) -> &Value {
        &self.case.description.config
    }

    pub fn loss(&self, model: &Model, batch: &Batch, draws: Vec<Draw>) -> Result<Loss, Problem> {
        let mut noise = Noise::recorded(draws);
        let loss = model.learner().loss(batch, &mut noise);
        self.used_up(&noise)?;
        Ok(loss)
    }

    /// Checks that all recorded noise was asked for.
    pub fn used_up(&self, noise: &Noise) -> Result<(), Problem> {
        match noise.remaining() {
            0 => Ok(()),
            n => Err(broken(format!("{n} recorded draws were not used"))),
        }
    }

    /// The values of a draw.
    pub fn draw(&self, draw: &RecordedDraw) -> Result<Vec<f32>, Problem> {
        self.case.noise(draw)
    }

    /// A recorded draw of normal or Laplace values under another shape of the same size.
    pub fn shaped(&self, draw: &RecordedDraw, shape: Vec<usize>) -> Result<Draw, Problem> {
        let values = self.draw(draw)?;
        if values.len() != shape.iter().product::<usize>() {
            return Err(broken(format!("draw `{}` {:?}: not {shape:?}", draw.label, draw.shape)));
        }
        standard(draw, shape, values)
    }

    /// Recorded draws of one kind, joined in their order under a shape.
    pub fn joined<'d>(
        &self,
        draws: impl IntoIterator<Item = &'d RecordedDraw>,
        shape: Vec<usize>,
    ) -> Result<Draw, Problem> {
        let mut values = Vec::new();
        let mut first = None;
        for draw in draws {
            values.extend(self.draw(draw)?);
            first.get_or_insert(draw);
        }
        let first = first.ok_or_else(|| broken("no draws to join"))?;
        if values.len() != shape.iter().product::<usize>() {
            return Err(broken(format!("draws `{}` and on: not {shape:?}", first.label)));
        }
        standard(first, shape, values)
    }

    /// A recorded draw of so many samples a row, `[samples, rows, features]`.
    pub fn values(
        &self,
        draw: &RecordedDraw,
        samples: usize,
        rows: usize,
    ) -> Result<Draw, Problem> {
        self.shaped(draw, vec![samples, rows, draw.len / (samples * rows)])
    }
}

/// Batch normalisations use their running statistics, and gradients are still to be had.
struct Evaluating;

impl ModuleMapper for Evaluating {
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.with_value(false)
    }
}

/// Base noise of a kind as values of location 0 and scale 1.
fn standard(draw: &RecordedDraw, shape: Vec<usize>, values: Vec<f32>) -> Result<Draw, Problem> {
    match draw.kind.as_str() {
        "normal" => Ok(Draw::Normal(shape, values)),
        "uniform" => Ok(Draw::Uniform(shape, values)),
        "laplace_base" => {
            let values = values.into_iter().map(|u| standard_laplace(f64::from(u))).collect();
            Ok(Draw::Laplace(shape, values))
        }
        other => Err(broken(format!("draw `{}`: kind {other}", draw.label))),
    }
}

pub(super) fn number(config: &Value, key: &str, default: f64) -> f64 {
    config.get(key).and_then(Value::as_f64).unwrap_or(default)
}

pub(super) fn latent(config: &Value) -> Result<usize, Problem> {
    let latent = config.get("latent_dim").and_then(Value::as_u64);
    latent.map(|v| v as usize).ok_or_else(|| broken("config.latent_dim is missing"))
}

pub(super) fn warmup(config: &Value) -> Warmup {
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
                // What a conditional model does not generate has none.
                None => Likelihood::default(),
                other => return Err(Problem::Todo(format!("distribution {other:?}"))),
            };
            ModalitySpec::new(&modality.name, &modality.dims)
                .map(|spec| spec.with_likelihood(likelihood))
                .map_err(|error| broken(error.to_string()))
        })
        .collect()
}

pub(super) fn private_sizes(case: &Case, specs: &[ModalitySpec]) -> Vec<usize> {
    let sizes = case.description.config.get("modalities_specific_dim");
    let size = |spec: &ModalitySpec| {
        sizes.and_then(|s| s.get(spec.name.as_str())).and_then(Value::as_u64).unwrap_or(0) as usize
    };
    specs.iter().map(size).collect()
}

pub(super) fn rescale(config: &Value, specs: &[ModalitySpec]) -> Result<Rescale, Problem> {
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

/// Encoders and decoders of every modality, and where their weights go.
pub(super) fn autoencoders(
    case: &Case,
    specs: &[ModalitySpec],
    layout: &mut Layout,
) -> Result<Vec<ModalityConfig>, Problem> {
    let arch = &case.description.arch;
    specs
        .iter()
        .map(|spec| {
            let name = spec.name.as_str();
            Ok(ModalityConfig {
                shape: spec.shape.clone(),
                likelihood: Some(spec.likelihood.clone()),
                encoder: Some(network::encoder(arch, "encoders", name, layout)?),
                decoder: Some(network::decoder(arch, "decoders", name, layout)?),
                ..ModalityConfig::new(spec.name.clone())
            })
        })
        .collect()
}

/// Sizes of private spaces by name.
pub(super) fn private(case: &Case, specs: &[ModalitySpec]) -> BTreeMap<ModalityName, usize> {
    let sizes = specs.iter().zip(private_sizes(case, specs));
    sizes.filter(|(_, size)| *size > 0).map(|(spec, size)| (spec.name.clone(), size)).collect()
}

/// Numbers by modality, where the configuration has them.
pub(super) fn numbers(
    config: &Value,
    key: &str,
    specs: &[ModalitySpec],
) -> BTreeMap<ModalityName, f64> {
    let given = |spec: &ModalitySpec| {
        let number = config.get(key)?.get(spec.name.as_str())?.as_f64()?;
        Some((spec.name.clone(), number))
    };
    specs.iter().filter_map(given).collect()
}

/// The configuration of a case, in the reference's words.
pub(super) fn given(case: &Case) -> &Value {
    &case.description.config
}
