//! The calls of a case, their expected values, the comparison.

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    optim::{AdamConfig, GradientsParams},
    tensor::{Device, Int, Tensor, TensorData},
};
use multivae_core::{
    batch::{Batch, Presence, Progress, Purpose, Values},
    modality::ModalityName,
    model::{Draws, Given, Latent, LikelihoodQuery, MultimodalModel},
    module::freeze,
    noise::{Draw, Noise},
    objective::Budget,
    subset::Subset,
};
use multivae_models::Model;
use serde_json::Value;

use super::{
    Case, Problem, broken,
    case::{Array, Bounds, Call, Quirk},
    model::Recorded,
    network::{Absent, Layout, WeightName},
};

/// What a case came to.
#[derive(Debug)]
pub struct Outcome {
    pub name: String,
    /// Entries that were compared.
    pub compared: usize,
    /// Entries left out, each affected by a quirk of the reference that is not harmless.
    pub left_out: usize,
    /// The largest relative difference of an entry that is within its tolerance.
    pub max_rel: f64,
    /// One line an entry that differs.
    pub failures: Vec<String>,
    /// One line a call that asks for what is not implemented.
    pub todo: Vec<String>,
}

/// What a call gave: scalars, tensors and gradients under the names of the case.
#[derive(Default)]
pub(super) struct Found {
    pub scalars: BTreeMap<String, f64>,
    pub tensors: BTreeMap<String, Vec<f32>>,
    /// `None` for a parameter without gradient.
    pub grads: BTreeMap<String, Option<Vec<f32>>>,
}

/// Compares a case.
///
/// # Errors
///
/// When its model cannot be built at all.
pub fn run(case: &Case, device: &Device) -> Result<Outcome, Problem> {
    let mut outcome = Outcome {
        name: case.description.name.clone(),
        compared: 0,
        left_out: 0,
        max_rel: 0.0,
        failures: Vec::new(),
        todo: Vec::new(),
    };
    if case.description.calls.is_empty() {
        outcome.failures.push("the case has no calls".into());
    }
    for call in &case.description.calls {
        if outcome.leaves_out_all(call) {
            continue;
        }
        // Calls are independent: each starts from the stored weights and statistics.
        let recorded = Recorded::new(case, call, device)?;
        match perform(&recorded, call) {
            Ok(found) => outcome.compare(&recorded, call, &found)?,
            Err(Problem::Todo(why)) => outcome.todo.push(format!("{}: {why}", call.id)),
            Err(Problem::Broken(why)) => outcome.failures.push(format!("{}: {why}", call.id)),
        }
    }
    Ok(outcome)
}

impl Outcome {
    fn compare(
        &mut self,
        recorded: &Recorded<'_>,
        call: &Call,
        found: &Found,
    ) -> Result<(), Problem> {
        let case = recorded.case;
        let tolerance = |bounds: Option<Bounds>, what: &str| {
            bounds.ok_or_else(|| broken(format!("{}: no tolerance for {what}", call.id)))
        };
        for (name, &expected) in &call.expected.scalars {
            if self.leaves_out(call, name) {
                continue;
            }
            let bounds = tolerance(call.tolerance.scalar, "scalars")?;
            match found.scalars.get(name) {
                Some(&value) => self.entry(call, name, &[expected], &[value], bounds),
                None => self.missing(call, name),
            }
        }
        for full in &call.expected.tensors {
            let name = full
                .strip_prefix(&format!("expected.{}.", call.id))
                .ok_or_else(|| broken(format!("{}: unexpected tensor name `{full}`", call.id)))?;
            if self.leaves_out(call, name) {
                continue;
            }
            let bounds = tolerance(call.tolerance.tensor, "tensors")?;
            let expected = wide(&case.tensor(full)?.values);
            match found.tensors.get(name) {
                Some(values) => {
                    let rows = recorded.adapter.rows_of_fillers(recorded, call, name)?;
                    self.left_out += rows.len();
                    let (expected, values) = (
                        without_rows(recorded, call, expected, &rows)?,
                        without_rows(recorded, call, wide(values), &rows)?,
                    );
                    self.entry(call, name, &expected, &values, bounds);
                }
                None => self.missing(call, name),
            }
        }
        if !call.expected.grads.is_empty() {
            self.gradients(case, call, found, tolerance(call.tolerance.grad, "gradients")?)?;
        }
        for name in &call.expected.grad_none {
            let zero = found
                .grads
                .get(name)
                .is_some_and(|g| g.as_ref().is_none_or(|g| g.iter().all(|&v| v == 0.0)));
            self.compared += 1;
            if !zero {
                self.failures.push(format!("{} grad.{name}: expected none", call.id));
            }
        }
        Ok(())
    }

    /// Per parameter, relative to the larger of its own largest entry and a share of the largest
    /// of all.
    fn gradients(
        &mut self,
        case: &Case,
        call: &Call,
        found: &Found,
        bounds: Bounds,
    ) -> Result<(), Problem> {
        let expected: Vec<(&String, &Array)> = call
            .expected
            .grads
            .iter()
            .map(|name| Ok((name, case.tensor(&format!("grad.{}.{name}", call.id))?)))
            .collect::<Result<_, Problem>>()?;
        let largest =
            expected.iter().map(|(_, array)| max_abs(&wide(&array.values))).fold(0.0, f64::max);
        for (name, array) in expected {
            if self.leaves_out(call, "grad") {
                continue;
            }
            let Some(Some(values)) = found.grads.get(name) else {
                self.missing(call, &format!("grad.{name}"));
                continue;
            };
            let expected = wide(&array.values);
            let scale = max_abs(&expected).max(bounds.floor * largest);
            let bounds = Bounds { rtol: 0.0, atol: bounds.rtol * scale, floor: 0.0 };
            self.entry(call, &format!("grad.{name}"), &expected, &wide(values), bounds);
        }
        Ok(())
    }

    fn entry(&mut self, call: &Call, name: &str, expected: &[f64], found: &[f64], bounds: Bounds) {
        self.compared += 1;
        if expected.len() != found.len() {
            let (e, f) = (expected.len(), found.len());
            self.failures.push(format!("{} {name}: expected {e} values, got {f}", call.id));
            return;
        }
        let scale = max_abs(expected).max(f64::MIN_POSITIVE);
        let mut largest = 0.0_f64;
        for (&e, &f) in expected.iter().zip(found) {
            let difference = (f - e).abs();
            if difference.is_nan() || difference > bounds.atol + bounds.rtol * e.abs() {
                self.failures.push(format!("{} {name}: expected {e}, got {f}", call.id));
                return;
            }
            largest = largest.max(difference / scale);
        }
        self.max_rel = self.max_rel.max(largest);
    }

    fn missing(&mut self, call: &Call, name: &str) {
        self.compared += 1;
        self.failures.push(format!("{} {name}: expected, got nothing", call.id));
    }

    /// Whether a quirk that is not harmless affects an entry.
    fn leaves_out(&mut self, call: &Call, name: &str) -> bool {
        let out = is_affected(call, name);
        self.left_out += usize::from(out);
        out
    }

    /// Whether such quirks affect all that a call expects, so that its arguments need no place
    /// here.
    fn leaves_out_all(&mut self, call: &Call) -> bool {
        let expected = &call.expected;
        let prefix = format!("expected.{}.", call.id);
        let tensors = expected.tensors.iter().map(|full| full.strip_prefix(&prefix));
        let out = expected.grads.is_empty()
            && expected.grad_none.is_empty()
            && expected.scalars.keys().all(|name| is_affected(call, name))
            && tensors.into_iter().all(|name| name.is_some_and(|name| is_affected(call, name)));
        if out {
            self.left_out += expected.scalars.len() + expected.tensors.len();
        }
        out
    }
}

/// Whether a quirk that is not harmless affects an entry of a call.
fn is_affected(call: &Call, name: &str) -> bool {
    let quirks = call.quirk.iter().flatten().filter(|q| !q.harmless);
    quirks.into_iter().any(|Quirk { affects, .. }| {
        affects.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern || name.starts_with(&format!("{pattern}.")),
        })
    })
}

/// The values `[samples, rows, features]` of all rows but these.
fn without_rows(
    recorded: &Recorded<'_>,
    call: &Call,
    values: Vec<f64>,
    left_out: &[usize],
) -> Result<Vec<f64>, Problem> {
    if left_out.is_empty() {
        return Ok(values);
    }
    let rows = call.rows.as_ref().map_or(recorded.case.description.batch, Vec::len);
    let features = values.len() / (count(&call.kwargs, "N", 1)? * rows);
    let kept = values.chunks(features).enumerate().filter(|(i, _)| !left_out.contains(&(i % rows)));
    Ok(kept.flat_map(|(_, row)| row.to_vec()).collect())
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn max_abs(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |max, v| max.max(v.abs()))
}

/// The values of a tensor.
pub(super) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("a tensor of floats has floats")
}

/// The only value of a tensor.
pub(super) fn scalar(tensor: Tensor<1>) -> f64 {
    f64::from(values(tensor)[0])
}

fn perform(recorded: &Recorded<'_>, call: &Call) -> Result<Found, Problem> {
    match call.call.as_str() {
        "forward" => forward(recorded, call),
        "train_steps" => train_steps(recorded, call),
        "encode" => encode(recorded, call),
        "decode" => decode(recorded, call),
        "predict" => predict(recorded, call),
        "generate_from_prior" => match recorded.model.density().expect("a VAE").conditions() {
            Some(conditions) => prior_given(recorded, call, conditions),
            None => generate_from_prior(recorded, call),
        },
        "compute_joint_nll" | "compute_joint_nll_paper" => joint_nll(recorded, call),
        "compute_cond_nll" => cond_nll(recorded, call),
        _ => recorded.adapter.other(recorded, call),
    }
}

/// A keyword argument, or its default.
pub(super) fn count(kwargs: &Value, key: &str, default: usize) -> Result<usize, Problem> {
    match kwargs.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value
            .as_u64()
            .map(|v| v as usize)
            .ok_or_else(|| broken(format!("`{key}` is no count: {value}"))),
    }
}

pub(super) fn flag(kwargs: &Value, key: &str) -> bool {
    kwargs.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// Refuses arguments that are not understood, so that none is passed over in silence.
pub(super) fn only(kwargs: &Value, known: &[&str]) -> Result<(), Problem> {
    let unknown =
        kwargs.as_object().into_iter().flatten().find(|(k, _)| !known.contains(&k.as_str()));
    match unknown {
        Some((key, _)) => Err(Problem::Todo(format!("argument `{key}`"))),
        None => Ok(()),
    }
}

/// The modalities that an argument names: a name, a list of names, or "all".
pub(super) fn subset(recorded: &Recorded<'_>, value: Option<&Value>) -> Result<Subset, Problem> {
    let all = Subset::full(recorded.specs.len());
    let names: Vec<&str> = match value {
        None => return Ok(all),
        Some(Value::String(name)) if name == "all" => return Ok(all),
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(other) => return Err(broken(format!("no set of modalities: {other}"))),
    };
    Subset::named(&recorded.specs, names).map_err(|error| broken(error.to_string()))
}

/// The rows of the case that a call is given, as a batch.
pub(super) fn batch(recorded: &Recorded<'_>, call: &Call) -> Result<Batch, Problem> {
    let case = recorded.case;
    let rows: Vec<usize> =
        call.rows.clone().unwrap_or_else(|| (0..case.description.batch).collect());
    let index: Vec<i64> = rows.iter().map(|&r| r as i64).collect();
    let index = Tensor::<1, Int>::from_data(TensorData::new(index, [rows.len()]), &recorded.device);
    let mut inputs = Vec::new();
    for spec in &recorded.specs {
        let input = case.tensor(&format!("input.{}", spec.name))?.rows(&recorded.device);
        inputs.push(Values::Dense(input.select(0, index.clone())));
    }
    let n = recorded.specs.len();
    let presence = if case.description.incomplete {
        let masks = recorded
            .specs
            .iter()
            .map(|spec| case.tensor(&format!("mask.{}", spec.name)))
            .collect::<Result<Vec<_>, _>>()?;
        let flags: Vec<bool> =
            rows.iter().flat_map(|&r| masks.iter().map(move |m| m.values[r] != 0.0)).collect();
        Presence::from_flags(&flags, n, &recorded.device).map_err(|e| broken(e.to_string()))?
    } else {
        Presence::complete(rows.len(), n, &recorded.device)
    };
    let mut batch = Batch::new(inputs, presence).map_err(|error| broken(error.to_string()))?;
    let mode = if call.mode == "train" { Purpose::Train } else { Purpose::Evaluate };
    batch.purpose = recorded.adapter.purpose(mode);
    Ok(batch)
}

/// Where the reference's arguments say that the run stands.
fn progress(kwargs: &Value) -> Result<Progress, Problem> {
    let fraction = kwargs.get("batch_ratio").and_then(Value::as_f64).unwrap_or(0.0);
    Ok(Progress::new(count(kwargs, "epoch", 1)?, fraction))
}

fn forward(recorded: &Recorded<'_>, call: &Call) -> Result<Found, Problem> {
    only(&call.kwargs, &["epoch", "batch_ratio", "K"])?;
    if let Some(samples) = call.kwargs.get("K") {
        // The number of samples is a part of our configuration.
        let mut case = recorded.case.clone();
        case.description.config["K"] = samples.clone();
        let mut call = call.clone();
        call.kwargs.as_object_mut().expect("it has a key").remove("K");
        return forward(&Recorded::new(&case, &call, &recorded.device)?, &call);
    }
    let mut batch = batch(recorded, call)?;
    batch.progress = recorded.adapter.progress(progress(&call.kwargs)?);
    let draws = recorded.adapter.forward_draws(recorded, call, &batch, &call.noise)?;
    let loss = recorded.loss(&recorded.model, &batch, draws.clone())?;
    // What follows would move the statistics once more.
    let tensors = running_statistics(recorded);
    let scalars = recorded.adapter.scalars(recorded, &batch, &loss, draws.clone())?;
    let mut found = Found { scalars, tensors, ..Found::default() };
    if !call.expected.grads.is_empty() || !call.expected.grad_none.is_empty() {
        let frozen = frozen(&recorded.model, batch.progress);
        let model = freeze(recorded.model.clone(), &frozen);
        let (_, gradients) =
            model.learner().step(&batch, &mut Noise::recorded(draws)).into_gradients(&model);
        let factor = recorded.adapter.reduction(&batch);
        found.grads = read_gradients(recorded, &gradients, factor);
    }
    Ok(found)
}

/// The running means and variances of batch normalisations, as `buffer.` and their name in the
/// reference.
fn running_statistics(recorded: &Recorded<'_>) -> BTreeMap<String, Vec<f32>> {
    struct Read<'a> {
        layout: &'a Layout,
        path: Vec<String>,
        found: BTreeMap<String, Vec<f32>>,
    }
    impl ModuleVisitor for Read<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.path.last().is_some_and(|name| name.starts_with("running_")) {
                let name = self.layout.name(&self.path.join(".")).name;
                self.found.insert(format!("buffer.{name}"), values(param.val()));
            }
        }
    }
    let mut read = Read { layout: &recorded.layout, path: Vec::new(), found: BTreeMap::new() };
    // What was learned from a batch is gathered where the model is turned to evaluation.
    recorded.model.valid().visit(&mut read);
    read.found
}

/// Prefixes of the parameters that do not learn in the stage of an epoch.
fn frozen(model: &Model, progress: Progress) -> Vec<String> {
    let mut end = 0_usize;
    for stage in model.learner().stages() {
        end = stage.epochs.map_or(usize::MAX, |epochs| end + epochs);
        if progress.epoch <= end {
            return stage.frozen;
        }
    }
    Vec::new()
}

/// The gradients of all parameters under the names of the case, those of tied ones added up.
fn read_gradients(
    recorded: &Recorded<'_>,
    gradients: &GradientsParams,
    factor: f64,
) -> BTreeMap<String, Option<Vec<f32>>> {
    struct Read<'a> {
        layout: &'a Layout,
        gradients: &'a GradientsParams,
        factor: f64,
        path: Vec<String>,
        found: BTreeMap<String, Option<Vec<f32>>>,
    }
    impl ModuleVisitor for Read<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let WeightName { name, transposed } = self.layout.name(&self.path.join("."));
            let gradient = self.gradients.get::<D>(param.id).map(|gradient| {
                let gradient = gradient * self.factor;
                values(if transposed { gradient.swap_dims(0, 1) } else { gradient })
            });
            self.found.insert(name, gradient);
        }
    }
    let (layout, path, found) = (&recorded.layout, Vec::new(), BTreeMap::new());
    let mut read = Read { layout, gradients, factor, path, found };
    recorded.model.visit(&mut read);
    let mut found = read.found;
    let skipped = recorded.case.weights.keys().filter(|name| layout.skips(name));
    found.extend(skipped.map(|name| (name.clone(), None)));
    for group in &recorded.case.description.tied_parameters {
        let sum = group.iter().filter_map(|name| found.get(name).cloned().flatten()).reduce(
            |mut sum, gradient| {
                sum.iter_mut().zip(gradient).for_each(|(s, g)| *s += g);
                sum
            },
        );
        for name in group {
            found.insert(name.clone(), sum.clone());
        }
    }
    found
}

fn train_steps(recorded: &Recorded<'_>, call: &Call) -> Result<Found, Problem> {
    let kwargs = &call.kwargs;
    only(kwargs, &["steps", "optimizer", "lr", "betas", "eps", "forward"])?;
    if kwargs.get("optimizer").and_then(Value::as_str) != Some("Adam") {
        return Err(Problem::Todo(format!("optimizer {:?}", kwargs.get("optimizer"))));
    }
    let number =
        |value: Option<&Value>, default: f64| value.and_then(Value::as_f64).unwrap_or(default);
    let beta = |i: usize, default: f64| number(kwargs.get("betas").and_then(|b| b.get(i)), default);
    let steps = count(kwargs, "steps", 1)?;
    let mut batch = batch(recorded, call)?;
    let forward = kwargs.get("forward").unwrap_or(&Value::Null);
    batch.progress = recorded.adapter.progress(progress(forward)?);
    let mut optimizer = AdamConfig::new()
        .with_beta_1(beta(0, 0.9) as f32)
        .with_beta_2(beta(1, 0.999) as f32)
        .with_epsilon(number(kwargs.get("eps"), 1e-8) as f32)
        .init();
    let mut model: Model = recorded.model.clone();
    let mut found = Found::default();
    let per_step = call.noise.len() / steps.max(1);
    for step in 0..steps {
        let noise = &call.noise[step * per_step..(step + 1) * per_step];
        let draws = recorded.adapter.forward_draws(recorded, call, &batch, noise)?;
        let loss = recorded.loss(&model, &batch, draws.clone())?;
        let value = recorded.adapter.value(recorded, &model, &batch, &loss, draws.clone())?;
        found.scalars.insert(format!("loss.{step}"), value);
        let (_, mut gradients) =
            model.learner().step(&batch, &mut Noise::recorded(draws)).into_gradients(&model);
        let factor = recorded.adapter.reduction(&batch);
        model.visit(&mut Scale { gradients: &mut gradients, factor });
        tie(recorded, &model, &mut gradients);
        model = optimizer.step(number(kwargs.get("lr"), 1e-3), model, gradients);
    }
    Ok(found)
}

/// Multiplies gradients by the factor of the reference's reduction.
struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient * self.factor);
        }
    }
}

/// Gives every parameter of a tied group the sum of the group's gradients, so that parameters
/// that start equal stay equal, as the one parameter of the reference.
fn tie(recorded: &Recorded<'_>, model: &Model, gradients: &mut GradientsParams) {
    struct Tie<'a, 'b> {
        recorded: &'a Recorded<'b>,
        gradients: &'a mut GradientsParams,
        path: Vec<String>,
        sums: BTreeMap<usize, Vec<f32>>,
        adding: bool,
    }
    impl ModuleVisitor for Tie<'_, '_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let name = self.recorded.layout.name(&self.path.join(".")).name;
            let groups = &self.recorded.case.description.tied_parameters;
            let Some(group) = groups.iter().position(|group| group.contains(&name)) else { return };
            if self.adding {
                let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
                let gradient = values(gradient);
                let sum = self.sums.entry(group).or_insert_with(|| vec![0.0; gradient.len()]);
                sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
            } else if let Some(sum) = self.sums.get(&group) {
                let data = TensorData::new(sum.clone(), param.val().dims());
                let device = self.recorded.device.clone().inner();
                self.gradients.register::<D>(param.id, Tensor::from_data(data, &device));
            }
        }
    }
    let (path, sums) = (Vec::new(), BTreeMap::new());
    let mut tie = Tie { recorded, gradients, path, sums, adding: true };
    model.visit(&mut tie);
    tie.adding = false;
    model.visit(&mut tie);
}

/// Latent values as `encode` of the reference returns them.
fn latent(recorded: &Recorded<'_>, call: &Call, batch: &Batch) -> Result<Latent, Problem> {
    let given = subset(recorded, call.kwargs.get("cond_mod"))?;
    // A conditional model of the reference reads the conditions whether they are named or not.
    let reads = recorded
        .model
        .density()
        .expect("a VAE")
        .conditions()
        .map_or(given, |conditions| given.union(conditions));
    latent_given(recorded, call, batch, reads)
}

fn latent_given(
    recorded: &Recorded<'_>,
    call: &Call,
    batch: &Batch,
    given: Subset,
) -> Result<Latent, Problem> {
    let n = count(&call.kwargs, "N", 1)?;
    let draws = if flag(&call.kwargs, "return_mean") { Draws::Mean } else { Draws::Samples(n) };
    let mut noise =
        Noise::recorded(recorded.adapter.encode_draws(recorded, call, batch, &call.noise, n)?);
    let latent = recorded.model.density().expect("a VAE").encode(batch, given, draws, &mut noise);
    recorded.used_up(&noise)?;
    Ok(match draws {
        Draws::Mean => latent.map(|z| z.repeat(&[n, 1, 1])),
        Draws::Samples(_) => latent,
    })
}

fn encode(recorded: &Recorded<'_>, call: &Call) -> Result<Found, Problem> {
    only(&call.kwargs, &["cond_mod", "N", "return_mean", "flatten", "ignore_incomplete"])?;
    let batch = batch(recorded, call)?;
    Ok(spaces(&latent(recorded, call, &batch)?))
}

/// Samples of the prior under the conditions of the batch.
fn prior_given(recorded: &Recorded<'_>, call: &Call, conditions: Subset) -> Result<Found, Problem> {
    only(&call.kwargs, &["N", "flatten"])?;
    let batch = batch(recorded, call)?;
    Ok(spaces(&latent_given(recorded, call, &batch, conditions)?))
}

/// All latent values under their names.
fn spaces(latent: &Latent) -> Found {
    let mut tensors = BTreeMap::from([("z".to_owned(), values(latent.z()))]);
    for (i, z) in latent.levels().enumerate() {
        tensors.insert(format!("all_z.z_{}", i + 1), values(z.clone()));
    }
    for (name, z) in latent.private() {
        tensors.insert(format!("modalities_z.{name}"), values(z.clone()));
    }
    for (name, x) in latent.conditions() {
        tensors.insert(format!("cond_mod_data.{name}"), values(x.clone()));
    }
    Found { tensors, ..Found::default() }
}

/// The modalities that an argument names, those that the model generates if it names none.
fn targets(recorded: &Recorded<'_>, value: Option<&Value>) -> Result<Subset, Problem> {
    match value {
        None => Ok(recorded.model.density().expect("a VAE").generated()),
        value => subset(recorded, value),
    }
}

/// The decoder's outputs of all targets under their names.
pub(super) fn reconstructions(recorded: &Recorded<'_>, latent: &Latent, targets: Subset) -> Found {
    let outputs = recorded.model.density().expect("a VAE").decode(latent, targets);
    let names = targets.iter().map(|m| format!("recon.{}", recorded.specs[m].name));
    Found { tensors: names.zip(outputs.into_iter().map(values)).collect(), ..Found::default() }
}

fn predict(recorded: &Recorded<'_>, call: &Call) -> Result<Found, Problem> {
    only(
        &call.kwargs,
        &["cond_mod", "gen_mod", "N", "flatten", "ignore_incomplete", "return_mean"],
    )?;
    let latent = latent(recorded, call, &batch(recorded, call)?)?;
    let targets = targets(recorded, call.kwargs.get("gen_mod"))?;
    Ok(reconstructions(recorded, &latent, targets))
}

fn decode(recorded: &Recorded<'_>, call: &Call) -> Result<Found, Problem> {
    only(&call.kwargs, &["modalities", "use_bottom_z_for_recon"])?;
    let names = call.embedding.as_ref().ok_or_else(|| broken("`embedding` is missing"))?;
    // Whatever the leading axes are, they become rows.
    let array = |name: &Value, features: usize| {
        let name = name.as_str().ok_or_else(|| broken("`embedding` names no tensor"))?;
        let values = recorded.case.tensor(name)?.values.clone();
        let shape = [1, values.len() / features, features];
        Ok::<_, Problem>(Tensor::<3>::from_data(TensorData::new(values, shape), &recorded.device))
    };
    let own = call.kwargs.get("use_bottom_z_for_recon").and_then(Value::as_bool).unwrap_or(true);
    let spaces =
        recorded.model.density().expect("a VAE").prior(1, &recorded.device, &mut Noise::zero());
    let z = names.get("z").ok_or_else(|| broken("`embedding` lacks `z`"))?;
    let z = array(z, spaces.z().dims()[2])?;
    let (mut private, mut conditions) = (Vec::new(), Vec::new());
    for spec in &recorded.specs {
        let name_of: ModalityName = spec.name.clone();
        if let (Some(name), true) = (names.get(format!("modalities_z.{}", spec.name)), own) {
            let space = spaces.of(&spec.name);
            let space = space.ok_or_else(|| broken(format!("`{name}` has no space")))?;
            private.push((name_of, array(name, space.dims()[2])?));
        } else if let Some(name) = names.get(format!("cond_mod_data.{}", spec.name)) {
            conditions.push((name_of, array(name, spec.features())?));
        }
    }
    let latent = Latent::shared(z).with_private(private).with_conditions(conditions);
    let targets = targets(recorded, call.kwargs.get("modalities"))?;
    let mut found = reconstructions(recorded, &latent, targets);
    if recorded.model.density().expect("a VAE").conditions().is_some() {
        // A conditional model of the reference does not name what it generates.
        let only = found.tensors.values().next().cloned();
        found.tensors.extend(only.map(|values| ("recon.reconstruction".to_owned(), values)));
    }
    Ok(found)
}

fn generate_from_prior(recorded: &Recorded<'_>, call: &Call) -> Result<Found, Problem> {
    only(&call.kwargs, &["n_samples"])?;
    let rows = count(&call.kwargs, "n_samples", 1)?;
    let mut noise = Noise::recorded(recorded.adapter.prior_draws(recorded, call, rows)?);
    let latent = recorded.model.density().expect("a VAE").prior(rows, &recorded.device, &mut noise);
    let mut tensors = BTreeMap::from([("z".to_owned(), values(latent.z()))]);
    for (name, z) in latent.private() {
        tensors.insert(format!("modalities_z.{name}"), values(z.clone()));
    }
    Ok(Found { tensors, ..Found::default() })
}

fn joint_nll(recorded: &Recorded<'_>, call: &Call) -> Result<Found, Problem> {
    only(&call.kwargs, &["K", "batch_size_K"])?;
    let batch = batch(recorded, call)?;
    let samples = count(&call.kwargs, "K", 1000)?;
    // One chunk, as the noise was recorded.
    let budget = Budget { samples, max_rows: samples * batch.rows() };
    let nll = recorded.adapter.joint_nll(recorded, call, &batch, budget)?;
    Ok(Found { scalars: BTreeMap::from([("nll".into(), nll)]), ..Found::default() })
}

/// The reference encodes once a sample; ours takes all samples of a space at once.
fn cond_nll(recorded: &Recorded<'_>, call: &Call) -> Result<Found, Problem> {
    only(&call.kwargs, &["subset", "pred_mods", "k_iwae"])?;
    let batch = batch(recorded, call)?;
    let given = Given::Posterior(subset(recorded, call.kwargs.get("subset"))?);
    let samples = count(&call.kwargs, "k_iwae", 1000)?;
    if call.noise.is_empty() || !call.noise.len().is_multiple_of(samples) {
        return Err(broken(format!("{} draws of {samples} samples", call.noise.len())));
    }
    let mut draws: Vec<Draw> = Vec::new();
    for noise in call.noise.chunks(call.noise.len() / samples) {
        let sample = recorded.adapter.encode_draws(recorded, call, &batch, noise, 1)?;
        if draws.is_empty() {
            draws = sample;
        } else {
            draws.iter_mut().zip(sample).for_each(|(all, draw)| append(all, draw));
        }
    }
    let mut found = Found::default();
    for target in subset(recorded, call.kwargs.get("pred_mods"))?.iter() {
        let targets = Subset::single(target);
        let budget = Budget { samples, max_rows: samples * batch.rows() };
        let query = LikelihoodQuery { targets, given, budget };
        let mut noise = Noise::recorded(draws.clone());
        let estimate =
            recorded.model.density().expect("a VAE").log_likelihood(&batch, &query, &mut noise);
        recorded.used_up(&noise)?;
        let name = format!("cnll.{}", recorded.specs[target].name);
        found.scalars.insert(name, -scalar(estimate.log_likelihood.mean()));
    }
    Ok(found)
}

/// Appends the samples of a draw to those of another of its kind.
pub(super) fn append(all: &mut Draw, draw: Draw) {
    match (all, draw) {
        (Draw::Normal(shape, values), Draw::Normal(more_shape, more))
        | (Draw::Uniform(shape, values), Draw::Uniform(more_shape, more))
        | (Draw::Laplace(shape, values), Draw::Laplace(more_shape, more)) => {
            shape[0] += more_shape[0];
            values.extend(more);
        }
        (Draw::Choice(values), Draw::Choice(more)) => values.extend(more),
        (all, draw) => panic!("{draw:?} does not go on {all:?}"),
    }
}

/// Puts the weights of the case into a model.
pub(super) fn load(model: Model, case: &Case, layout: &Layout) -> Result<Model, Problem> {
    struct Load<'a> {
        case: &'a Case,
        layout: &'a Layout,
        path: Vec<String>,
        used: Vec<String>,
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
            let path = self.path.join(".");
            if self.layout.is_own(&path) {
                return param;
            }
            let WeightName { name, transposed } = self.layout.name(&path);
            let Some(array) = self.case.weights.get(&name) else {
                self.problems.push(format!("no weight `{name}` for parameter `{path}`"));
                return param;
            };
            self.used.push(name.clone());
            let mut expected = param.lazy_shape().to_vec();
            if transposed {
                expected.reverse();
            }
            if expected != array.shape {
                self.problems.push(format!("`{name}`: {:?} is not {expected:?}", array.shape));
                return param;
            }
            let data = TensorData::new(array.values.clone(), array.shape.clone());
            param.map(|old| {
                let new = Tensor::<D>::from_data(data, &old.device());
                let new = if transposed { new.swap_dims(0, 1) } else { new };
                new.set_require_grad(old.is_require_grad())
            })
        }
    }
    let mut load = Load { case, layout, path: Vec::new(), used: Vec::new(), problems: Vec::new() };
    let model = model.map(&mut load);
    for (name, array) in &case.weights {
        let zero = || array.values.iter().all(|&v| v == 0.0);
        match layout.absence(name) {
            _ if load.used.contains(name) => {}
            Some(Absent::Unused) => {}
            Some(Absent::Zero) if zero() => {}
            Some(Absent::Zero) => load.problems.push(format!("weight `{name}` is not zero")),
            None => load.problems.push(format!("weight `{name}` has no place in the model")),
        }
    }
    if load.problems.is_empty() { Ok(model) } else { Err(broken(load.problems.join("; "))) }
}
