//! The laws that every model of the list obeys.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    optim::GradientsParams,
    store::ModuleRecord,
    tensor::{Device, Int, Tensor, TensorData},
};
use multivae_core::{
    batch::{Batch, Presence, Progress, Purpose, Values},
    distribution::Likelihood,
    modality::ModalitySpec,
    model::{Draws, Encode, Generate, Given, LikelihoodQuery, MultimodalModel, Rows},
    module::{Parameter, freeze, init_parameters, parameters},
    nn::Networks,
    noise::Noise,
    objective::Budget,
    subset::{Subset, Subsets},
};
use multivae_models::{Model, ModelConfig};
use serde_json::json;

pub(crate) const ROWS: usize = 6;
const LATENT: usize = 3;

/// Three flat modalities of different likelihoods.
pub(crate) fn flat() -> Vec<ModalitySpec> {
    let spec = |name, shape: &[usize], likelihood| {
        ModalitySpec::new(name, shape).expect("valid").with_likelihood(likelihood)
    };
    vec![
        spec("blood", &[5], Likelihood::normal(0.7)),
        spec("genes", &[4], Likelihood::laplace(0.5)),
        spec("stage", &[3], Likelihood::Categorical {}),
    ]
}

/// Two images and a label.
fn images() -> Vec<ModalitySpec> {
    vec![
        ModalitySpec::new("scan", &[1, 8, 8]).expect("valid"),
        ModalitySpec::new("photo", &[3, 8, 8])
            .expect("valid")
            .with_likelihood(Likelihood::Bernoulli {}),
    ]
}

/// A small model of a name, with whatever options make all its parts run.
pub(crate) fn config(name: &str, specs: &[ModalitySpec]) -> ModelConfig {
    let listed = ModelConfig::named(name).expect("a model of the list");
    let mut value = serde_json::to_value(&listed).expect("plain data");
    value["latent"] = json!(LATENT);
    for (key, option) in listed.exercise(specs).as_object().into_iter().flatten() {
        value[key] = option.clone();
    }
    let config: ModelConfig = serde_json::from_value(value).expect("fields of the model");
    config.with_modalities(specs).expect("the data suits")
}

pub(crate) fn model(config: &ModelConfig) -> Model {
    let model = config.init(&Networks::default(), &Device::flex().autodiff()).expect("a model");
    init_parameters(model).map(&mut Scattered(0))
}

/// Gives parameters values that look random and are the same in every run, as large as those of
/// the usual initialisation.
struct Scattered(u32);

impl ModuleMapper for Scattered {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.0 += 1;
        let (seed, shape) = (self.0, param.val().dims());
        let size: usize = shape.iter().product();
        let inputs = if D == 2 { shape[0] } else { size / shape[0] };
        let bound = (inputs.max(4) as f32).sqrt().recip();
        let value = |i: usize| {
            let bits = (i as u32 ^ seed.rotate_left(16)).wrapping_mul(2_654_435_761);
            let bits = (bits ^ bits >> 15).wrapping_mul(2_246_822_519);
            ((bits ^ bits >> 13) as f32 / u32::MAX as f32 * 2.0 - 1.0) * bound
        };
        let data = TensorData::new((0..size).map(value).collect::<Vec<f32>>(), shape);
        param.map(|old| {
            let learns = old.is_require_grad();
            Tensor::from_data(data, &old.device()).set_require_grad(learns)
        })
    }
}

/// Values from a formula, so that no generator is shared.
fn values(spec: &ModalitySpec, rows: usize, device: &Device) -> Tensor<2> {
    let features = spec.features();
    let value = |i: usize| match spec.likelihood {
        Likelihood::Categorical {} => f32::from(u8::from(i % features == i / features % features)),
        _ => 0.5 + 0.5 * (0.7 * i as f32).sin(),
    };
    let data: Vec<f32> = (0..rows * features).map(value).collect();
    Tensor::from_data(TensorData::new(data, [rows, features]), device)
}

pub(crate) fn complete(specs: &[ModalitySpec]) -> Batch {
    let device = Device::flex().autodiff();
    Batch::complete(specs.iter().map(|s| values(s, ROWS, &device)).collect()).expect("one size")
}

/// Rows that lack this and that, one with a single modality; `filler` stands in what is missing.
fn incomplete(specs: &[ModalitySpec], filler: f32) -> Batch {
    let device = Device::flex().autodiff();
    let n = specs.len();
    let rows: Vec<Subset> = (0..ROWS)
        .map(|row| match row {
            0 => Subset::full(n),
            1 => Subset::single(0),
            // The second modality is in the first row only.
            _ => Subset::new(
                (0..n)
                    .filter(|&m| m != 1 && (m != 0 || row % 2 == 0))
                    .chain((row % 2 == 1 && n == 2).then_some(0)),
            )
            .expect("the last modality is there, or the first"),
        })
        .collect();
    let presence = Presence::new(rows, n, &device);
    let inputs = specs
        .iter()
        .enumerate()
        .map(|(m, spec)| {
            let x = values(spec, ROWS, &device);
            let missing = presence.of(m).equal_scalar(0.0).unsqueeze_dim::<2>(1).expand(x.dims());
            Values::Dense(x.mask_fill(missing, filler))
        })
        .collect();
    let mut batch = Batch::new(inputs, presence).expect("one size");
    batch.purpose = Purpose::Train;
    batch
}

/// Models whose bound draws a component of a mixture, so that it depends on the numbers of the
/// components for given noise.
const DRAWS_COMPONENTS: &[&str] = &["jnf"];

/// Models whose shared space has a part for each modality, side by side in their order.
const SIDE_BY_SIDE: &[&str] = &["mld"];

fn each(check: impl Fn(&str, &[ModalitySpec])) {
    assert!(!ModelConfig::NAMES.is_empty());
    for name in ModelConfig::NAMES {
        check(name, &flat());
        check(name, &images());
    }
}

/// Encodes; every model of the list does.
fn encoder(model: &Model) -> &dyn Encode {
    model.encoder().expect("every model of the list encodes")
}

/// What a model that decodes nothing has no say in.
fn generator(model: &Model) -> Option<&dyn Generate> {
    model.generator().ok()
}

/// The values of all latent spaces.
fn codes(model: &Model, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Vec<f32> {
    let latent = encoder(model).encode(batch, given, draws, noise);
    latent.named().into_iter().flat_map(|(_, z)| floats(z)).collect()
}

/// The bound; nothing of a model without densities.
fn bound(model: &Model, batch: &Batch, given: Subset, noise: &mut Noise) -> Vec<f32> {
    let density = model.density();
    density.map_or_else(|_| Vec::new(), |vae| floats(vae.bound(batch, given, noise).elbo()))
}

/// Whether a model's codes are without noise.
fn is_deterministic(model: &Model, batch: &Batch) -> bool {
    // What is not given may be drawn of codes that are known exactly.
    let drawn = |draws| codes(model, batch, Subset::single(0), draws, &mut Noise::seeded(7));
    drawn(Draws::Mean) == drawn(Draws::Samples(1))
}

/// The fewest rows of which an objective is defined, and whether it is a mean over rows.
fn rows(model: &Model) -> (usize, bool) {
    let stages = model.learner().stages();
    let phases = || stages.iter().flat_map(|stage| &stage.phases);
    let least = phases().map(|phase| phase.rows.least()).max().expect("there are phases");
    (least, phases().all(|phase| phase.rows == Rows::Any))
}

fn loss(model: &Model, batch: &Batch) -> f32 {
    model.learner().loss(batch, &mut Noise::seeded(1)).total.into_scalar::<f32>()
}

pub(crate) fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("floats")
}

/// Gradients of all parameters by path; `None` where there is none.
fn gradients(model: &Model, batch: &Batch) -> Vec<(String, Option<Vec<f32>>)> {
    struct Read<'a> {
        gradients: &'a GradientsParams,
        path: Vec<String>,
        found: Vec<(String, Option<Vec<f32>>)>,
    }
    impl ModuleVisitor for Read<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = self.gradients.get::<D>(param.id).map(floats);
            self.found.push((self.path.join("."), gradient));
        }
    }
    let (_, gradients) = model.learner().step(batch, &mut Noise::seeded(1)).into_gradients(model);
    let mut read = Read { gradients: &gradients, path: Vec::new(), found: Vec::new() };
    model.visit(&mut read);
    read.found
}

/// What adds a constant to codes has no influence on their covariance.
fn cannot_learn(model: &Model, path: &str) -> bool {
    !rows(model).1 && generator(model).is_none() && path.ends_with(".bias")
}

#[test]
fn gradients_reach_every_parameter() {
    each(|name, specs| {
        let mut batch = complete(specs);
        batch.purpose = Purpose::Train;
        let whole = model(&config(name, specs));
        let mut learned = BTreeSet::new();
        let mut epoch = 1;
        for stage in whole.learner().stages() {
            let below = |parameter: &Parameter| stage.frozen.iter().any(|p| parameter.is_below(p));
            let frozen: BTreeSet<String> =
                parameters(&whole).into_iter().filter(below).map(|p| p.path).collect();
            let model = freeze(whole.clone(), &stage.frozen);
            for (number, phase) in stage.phases.iter().enumerate() {
                batch.progress = Progress::new(epoch, 0.0).in_phase(number);
                let below = |p: &Parameter| phase.learns.iter().any(|of| p.is_below(of));
                let learns = |p: &Parameter| phase.learns.is_empty() || below(p);
                let learns: BTreeSet<String> =
                    parameters(&whole).into_iter().filter(learns).map(|p| p.path).collect();
                for (path, gradient) in gradients(&model, &batch) {
                    let of = format!("{name}, stage {}, {}: `{path}`", stage.name, phase.name);
                    if frozen.contains(&path) {
                        assert!(gradient.is_none(), "{of} is frozen");
                        continue;
                    }
                    if !learns.contains(&path) {
                        continue;
                    }
                    let gradient = gradient.unwrap_or_else(|| panic!("{of} has no gradient"));
                    assert!(gradient.iter().all(|g| g.is_finite()), "{of}");
                    // A unit of ReLU may be dead in six rows, a whole layer may not.
                    let any = gradient.iter().any(|&g| g != 0.0);
                    assert!(any || cannot_learn(&model, &path), "{of} learns nothing");
                    learned.insert(path);
                }
            }
            epoch += stage.epochs.unwrap_or(0);
        }
        for parameter in parameters(&whole) {
            assert!(learned.contains(&parameter.path), "{name}: `{}`", parameter.path);
        }
    });
}

#[test]
fn a_memory_budget_changes_neither_loss_nor_gradients() {
    for specs in [flat(), images()] {
        for shared in [true, false] {
            let model_of = |memory: Option<f64>| {
                let mut value = serde_json::to_value(config("mhvae", &specs)).expect("plain data");
                value["memory_mb"] = json!(memory);
                value["shared_posterior"] = json!(shared);
                value.as_object_mut().expect("fields").remove("blocks");
                let config: ModelConfig = serde_json::from_value(value).expect("fields");
                model(&config.with_modalities(&specs).expect("the data suits"))
            };
            let batch = incomplete(&specs, 0.0);
            let whole = model_of(None);
            let (loss, expected) = (loss(&whole, &batch), gradients(&whole, &batch));
            // One subset at a time, and as many as leave a rest.
            for part in [1e-9, 0.08] {
                let model = model_of(Some(part));
                let found = self::loss(&model, &batch);
                assert!((found - loss).abs() < 1e-5 * loss.abs(), "{found}, all at once {loss}");
                for ((path, found), (_, expected)) in
                    gradients(&model, &batch).iter().zip(&expected)
                {
                    let (Some(found), Some(expected)) = (found, expected) else {
                        panic!("`{path}`: {found:?}, all at once {expected:?}")
                    };
                    let size = expected.iter().fold(1e-3_f32, |most, g| most.max(g.abs()));
                    for (found, expected) in found.iter().zip(expected) {
                        let off = (found - expected).abs();
                        assert!(off < 1e-5 * size, "`{path}`: {found}, all at once {expected}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_stands_in_a_missing_entry_changes_neither_loss_nor_gradients() {
    each(|name, specs| {
        let model = model(&config(name, specs));
        let of = |filler: f32| {
            let batch = incomplete(specs, filler);
            let all = Subset::full(specs.len());
            let bound = bound(&model, &batch, all, &mut Noise::seeded(2));
            let latent = codes(&model, &batch, all, Draws::Samples(2), &mut Noise::seeded(3));
            let objective = (!model.learner().needs_complete_rows())
                .then(|| (loss(&model, &batch), gradients(&model, &batch)));
            (objective, bound, latent)
        };
        let zero = of(0.0);
        assert!(zero.0.as_ref().is_none_or(|(loss, _)| loss.is_finite()), "{name}");
        assert!(zero.1.iter().chain(&zero.2).all(|v| v.is_finite()), "{name}");
        for filler in [1e9, f32::NAN, f32::INFINITY] {
            assert_eq!(of(filler), zero, "{name} with filler {filler}");
        }
    });
}

/// Complete rows of which every fourth cell or so was not measured, in each modality another;
/// `filler` stands there.
fn with_holes(specs: &[ModalitySpec], filler: f32) -> Batch {
    let device = Device::flex().autodiff();
    let (mut inputs, mut cells) = (Vec::new(), Vec::new());
    for (m, spec) in specs.iter().enumerate() {
        let observed: Vec<f32> = (0..ROWS * spec.features())
            .map(|i| f32::from(u8::from((i / spec.features() + i + m) % 4 != 0)))
            .collect();
        let shape = [ROWS, spec.features()];
        let observed = Tensor::<2>::from_data(TensorData::new(observed, shape), &device);
        let missing = observed.clone().equal_scalar(0.0);
        inputs.push(Values::Dense(values(spec, ROWS, &device).mask_fill(missing, filler)));
        cells.push(Some(observed));
    }
    let presence = Presence::complete(ROWS, specs.len(), &device);
    let batch = Batch::new(inputs, presence).and_then(|batch| batch.with_cells(cells));
    let mut batch = batch.expect("one size");
    batch.purpose = Purpose::Train;
    batch
}

/// What a model makes of a batch: objective, gradients, bounds, latent values, estimated
/// likelihoods.
type Results = (f32, Vec<(String, Option<Vec<f32>>)>, Vec<f32>, Vec<f32>, Vec<f32>);

fn results(model: &Model, batch: &Batch, modalities: usize) -> Results {
    let all = Subset::full(modalities);
    let budget = Budget { samples: 3, max_rows: 100 };
    let likelihood = model.density().map_or_else(
        |_| Vec::new(),
        |vae| {
            floats(vae.joint_likelihood(batch, all, budget, &mut Noise::seeded(4)).log_likelihood)
        },
    );
    (
        loss(model, batch),
        gradients(model, batch),
        bound(model, batch, all, &mut Noise::seeded(2)),
        codes(model, batch, all, Draws::Samples(2), &mut Noise::seeded(3)),
        likelihood,
    )
}

#[test]
fn what_stands_in_a_missing_cell_changes_no_result() {
    each(|name, specs| {
        let model = model(&config(name, specs));
        let zero = results(&model, &with_holes(specs, 0.0), specs.len());
        let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
        assert!(zero.0.is_finite() && finite(&zero.2) && finite(&zero.3), "{name}");
        for filler in [-7.0, 1e9, f32::NAN, f32::INFINITY] {
            let found = results(&model, &with_holes(specs, filler), specs.len());
            assert_eq!(found, zero, "{name} with filler {filler}");
        }
    });
}

/// Zeros are what encoders read where a cell is missing, so that only the density can tell a
/// missing cell from one that was measured as 0.
#[test]
fn a_missing_cell_is_not_a_measured_zero() {
    each(|name, specs| {
        let model = model(&config(name, specs));
        // In the stage in which decoders learn.
        let holes = with_holes(specs, 0.0).at(Progress::new(1, 0.0));
        let zeros = holes.clone().with_cells(vec![None; specs.len()]).expect("no masks");
        let (holes, zeros) =
            (results(&model, &holes, specs.len()), results(&model, &zeros, specs.len()));
        assert_eq!(holes.3, zeros.3, "{name}: latent values");
        // Without decoders there is no density.
        let decodes = parameters(&model)
            .iter()
            .any(|p| p.is_below("decoders") || p.is_below("channels.decoders"));
        assert_eq!(holes.0 != zeros.0, decodes || generator(&model).is_some(), "{name}: loss");
        assert_eq!(holes.2 != zeros.2, model.density().is_ok(), "{name}: bound");
    });
}

/// With the mask beside the values encoders tell the two apart, and nothing else changes: neither
/// fillers nor a mask of ones, which is what rows without one have.
#[test]
fn a_model_that_reads_masks_tells_a_missing_cell_from_a_zero() {
    each(|name, specs| {
        let masked: Vec<ModalitySpec> =
            specs.iter().map(|spec| spec.clone().with_observed_mask()).collect();
        let config = config(name, &masked);
        let text = serde_json::to_string(&config).expect("plain data");
        assert_eq!(serde_json::from_str::<ModelConfig>(&text).expect("its own text"), config);
        let model = model(&config);
        assert_eq!(model.modalities(), masked, "{name}");
        let holes = with_holes(specs, 0.0).at(Progress::new(1, 0.0));
        let zeros = holes.clone().with_cells(vec![None; specs.len()]).expect("no masks");
        let found = results(&model, &holes, specs.len());
        assert_ne!(found.3, results(&model, &zeros, specs.len()).3, "{name}: latent values");
        let filled = with_holes(specs, f32::NAN).at(Progress::new(1, 0.0));
        assert_eq!(results(&model, &filled, specs.len()), found, "{name}");
        let ones = zeros.values().iter().map(|v| v.dense().map(Tensor::ones_like)).collect();
        let ones = zeros.clone().with_cells(ones).expect("the same shapes");
        let (ones, none) =
            (results(&model, &ones, specs.len()), results(&model, &zeros, specs.len()));
        assert_eq!(ones.3, none.3, "{name}: latent values");
    });
}

#[test]
fn masks_of_cells_that_are_all_observed_change_nothing() {
    each(|name, specs| {
        let model = model(&config(name, specs));
        let mut batch = complete(specs);
        batch.purpose = Purpose::Train;
        let ones = batch.values().iter().map(|v| v.dense().map(Tensor::ones_like)).collect();
        let masked = batch.clone().with_cells(ones).expect("the same shapes");
        let (plain, masked) =
            (results(&model, &batch, specs.len()), results(&model, &masked, specs.len()));
        assert!((plain.0 - masked.0).abs() <= 1e-5 * plain.0.abs(), "{name}: {}", masked.0);
        assert_eq!(plain.3, masked.3, "{name}: latent values");
        for ((path, plain), (_, masked)) in plain.1.iter().zip(&masked.1) {
            let (plain, masked) =
                (plain.as_deref().unwrap_or(&[]), masked.as_deref().unwrap_or(&[]));
            let size = plain.iter().fold(1e-3_f32, |most, g| most.max(g.abs()));
            let off = plain.iter().zip(masked).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(plain.len() == masked.len() && off < 1e-4 * size, "{name}: `{path}` by {off}");
        }
    });
}

#[test]
fn a_missing_modality_is_not_the_same_as_an_observed_one() {
    each(|name, specs| {
        let model = model(&config(name, specs));
        let all = Subset::full(specs.len());
        let of = |batch: &Batch| match model.learner().needs_complete_rows() {
            true => {
                let bound = bound(&model, batch, all, &mut Noise::seeded(1));
                (bound, codes(&model, batch, all, Draws::Mean, &mut Noise::seeded(1)))
            }
            false => (vec![loss(&model, batch)], Vec::new()),
        };
        assert_ne!(of(&incomplete(specs, 0.0)), of(&complete(specs)), "{name}");
    });
}

#[test]
fn an_objective_of_complete_rows_is_not_evaluated_on_others() {
    each(|name, specs| {
        let model = model(&config(name, specs));
        let objective = AssertUnwindSafe(|| loss(&model, &incomplete(specs, 0.0)));
        let refuses = catch_unwind(objective).is_err();
        assert_eq!(refuses, model.learner().needs_complete_rows(), "{name}");
    });
}

#[test]
fn the_same_noise_gives_the_same_loss_and_another_another() {
    each(|name, specs| {
        let (model, batch) = (model(&config(name, specs)), complete(specs));
        assert_eq!(loss(&model, &batch), loss(&model, &batch), "{name}");
        let other = model.learner().loss(&batch, &mut Noise::seeded(9)).total.into_scalar::<f32>();
        assert_eq!(other != loss(&model, &batch), !is_deterministic(&model, &batch), "{name}");
    });
}

#[test]
fn the_order_of_modalities_has_no_effect() {
    /// Copies parameters by path.
    struct Copy(Vec<(String, Vec<f32>)>, Vec<String>);
    impl Copy {
        /// A joint encoder reads the features of the modalities in their order: the rows of its
        /// first weight, one block a modality, turn with them.
        fn turned(&self, path: &str, mut values: Vec<f32>, inputs: usize) -> Vec<f32> {
            let first = path.starts_with("joint_encoder.encoder") && path.ends_with(".weight");
            if first && inputs.is_multiple_of(LATENT) && inputs < 4 * LATENT {
                let block = values.len() / inputs * LATENT;
                values.rotate_left(block);
            }
            values
        }
    }
    impl ModuleMapper for Copy {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.1.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.1.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let path = self.1.join(".");
            let (_, values) = self.0.iter().find(|(p, _)| *p == path).expect("the same paths");
            let shape = param.val().dims();
            let data = TensorData::new(self.turned(&path, values.clone(), shape[0]), shape);
            param.map(|old| Tensor::from_data(data, &old.device()))
        }
    }
    struct All(Vec<(String, Vec<f32>)>, Vec<String>);
    impl ModuleVisitor for All {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.1.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.1.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push((self.1.join("."), floats(param.val())));
        }
    }
    each(|name, specs| {
        let first = model(&config(name, specs));
        let mut turned = specs.to_vec();
        turned.rotate_left(1);
        // The private space stays with its modality.
        let mut value = serde_json::to_value(config(name, specs)).expect("plain data");
        value["modalities"].as_array_mut().expect("a list").rotate_left(1);
        let second: ModelConfig = serde_json::from_value(value).expect("plain data");
        let mut all = All(Vec::new(), Vec::new());
        first.visit(&mut all);
        let second = model(&second).map(&mut Copy(all.0, Vec::new()));
        let (a, b) = (complete(specs), complete(&turned));
        let n = specs.len();
        for subset in Subsets::all(n).iter() {
            let moved = Subset::new(subset.iter().map(|m| (m + n - 1) % n)).expect("not empty");
            let of = |model: &Model, batch: &Batch, given, turned: bool| {
                let mut noise = Noise::zero();
                let Ok(vae) = model.density() else {
                    // The spaces of single modalities, by name.
                    let latent = encoder(model).encode(batch, given, Draws::Mean, &mut noise);
                    let mut named = latent.named();
                    named.sort_by(|(a, _), (b, _)| a.cmp(b));
                    let mut values: Vec<f32> =
                        named.into_iter().flat_map(|(_, z)| floats(z)).collect();
                    if turned && SIDE_BY_SIDE.contains(&name) {
                        values.chunks_mut(n * LATENT).for_each(|row| row.rotate_right(LATENT));
                    }
                    return values;
                };
                if !DRAWS_COMPONENTS.contains(&name) {
                    return floats(vae.bound(batch, given, &mut noise).elbo());
                }
                // As many samples of every component.
                let budget = Budget { samples: 42, max_rows: 100 };
                floats(vae.joint_likelihood(batch, given, budget, &mut noise).log_likelihood)
            };
            for (x, y) in of(&first, &a, subset, false).iter().zip(of(&second, &b, moved, true)) {
                assert!((x - y).abs() < 1e-4 * x.abs().max(1.0), "{name} {subset}: {x} {y}");
            }
        }
    });
}

#[test]
fn configuration_and_record_rebuild_the_model() {
    each(|name, specs| {
        let config = config(name, specs);
        let text = serde_json::to_string(&config).expect("plain data");
        let again: ModelConfig = serde_json::from_str(&text).expect("its own text");
        assert_eq!(config, again, "{name}");
        let first = model(&config);
        let bytes = first.clone().into_record().into_bytes().expect("a record");
        let record = ModuleRecord::from_bytes(bytes).expect("its own bytes");
        let second =
            model(&again).try_load_record(record).unwrap_or_else(|e| panic!("{name}: {e}"));
        let batch = complete(specs);
        assert_eq!(loss(&first, &batch), loss(&second, &batch), "{name}");
    });
}

#[test]
fn an_unknown_key_of_the_configuration_is_refused() {
    for name in ModelConfig::NAMES {
        let text = format!(r#"{{"name":"{name}","latnet":3}}"#);
        let error = serde_json::from_str::<ModelConfig>(&text).expect_err("no such key");
        assert!(error.to_string().contains("latnet"), "{name}: {error}");
    }
}

#[test]
fn shapes_are_as_documented() {
    each(|name, specs| {
        let model = model(&config(name, specs));
        let (batch, n) = (complete(specs), specs.len());
        let device = batch.device();
        for (draws, samples) in [(Draws::Mean, 1), (Draws::Samples(1), 1), (Draws::Samples(4), 4)] {
            let noise = &mut Noise::seeded(0);
            let latent = encoder(&model).encode(&batch, Subset::single(n - 1), draws, noise);
            for (space, z) in latent.spaces() {
                assert_eq!(z.dims()[..2], [samples, ROWS], "{name}: {space}");
            }
            for (of, x) in latent.conditions() {
                let spec = specs.iter().find(|spec| spec.name == *of).expect("a modality");
                assert_eq!(x.dims(), [samples, ROWS, spec.features()], "{name}: {of}");
            }
            let Some(generator) = generator(&model) else { continue };
            let targets = generator.generated();
            let decoded = generator.decode(&latent, targets);
            assert_eq!(decoded.len(), targets.len(), "{name}");
            for (m, x) in targets.iter().zip(decoded) {
                let spec = &specs[m];
                assert_eq!(x.dims(), [samples, ROWS, spec.features()], "{name}: {}", spec.name);
            }
        }
        if let Some(generator) = generator(&model) {
            let prior = generator.prior(7, &device, &mut Noise::seeded(0));
            let noise = &mut Noise::zero();
            let encoded = generator.encode(&batch, Subset::full(n), Draws::Mean, noise);
            let shape = |l: &multivae_core::model::Latent| {
                l.spaces().map(|(s, z)| (s.clone(), z.dims()[2])).collect::<Vec<_>>()
            };
            assert_eq!(shape(&prior), shape(&encoded), "{name}: prior samples have all spaces");
            let prior_mean = generator.prior(7, &device, &mut Noise::zero());
            let top = prior_mean.levels().last().expect("a model has a shared space").clone();
            let descended = generator.descend(top, &mut Noise::zero());
            assert_eq!(descended.levels().count(), prior_mean.levels().count(), "{name}");
            for (found, expected) in descended.levels().zip(prior_mean.levels()) {
                let (found, expected) = (floats(found.clone()), floats(expected.clone()));
                assert_eq!(found, expected, "{name}: lower levels");
            }
            let targets = generator.generated();
            for (m, x) in targets.iter().zip(generator.decode(&prior, targets)) {
                assert_eq!(x.dims(), [1, 7, specs[m].features()], "{name}");
            }
        }
        let loss = model.learner().loss(&batch, &mut Noise::seeded(0));
        let names: Vec<_> = loss.terms.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, model.learner().terms(batch.progress), "{name}");
        assert_eq!(loss.total.dims(), [1], "{name}");
    });
}

#[test]
fn a_modality_is_either_generated_or_a_condition_of_the_latent_values() {
    each(|name, specs| {
        let (model, batch) = (model(&config(name, specs)), complete(specs));
        let all = Subset::full(specs.len());
        let latent = encoder(&model).encode(&batch, all, Draws::Mean, &mut Noise::zero());
        let read: BTreeSet<_> = latent.conditions().map(|(name, _)| name.clone()).collect();
        let Some(conditions) = encoder(&model).conditions() else {
            assert!(generator(&model).is_none_or(|model| model.generated() == all), "{name}");
            assert!(read.is_empty(), "{name}: {read:?}");
            return;
        };
        let vae = model.density().expect("a VAE");
        assert!(conditions.intersection(vae.generated()).is_none(), "{name}");
        assert_eq!(conditions.union(vae.generated()), all, "{name}");
        let names = conditions.iter().map(|m| specs[m].name.clone()).collect();
        assert_eq!(read, names, "{name}");
        // What is not generated has no density, and what is not given is not read.
        for m in conditions.iter() {
            let log_prob = vae.log_prob(&batch, &latent, m);
            assert!(floats(log_prob).iter().all(|&v| v == 0.0), "{name}");
        }
        let without = vae.encode(&batch, vae.generated(), Draws::Mean, &mut Noise::zero());
        let prior = vae.prior(ROWS, &batch.device(), &mut Noise::zero());
        for (latent, what) in [(&without, "not given"), (&prior, "of the prior")] {
            for (of, x) in latent.conditions() {
                assert!(floats(x.clone()).iter().all(|&v| v == 0.0), "{name}: {of} {what}");
            }
        }
    });
}

#[test]
fn equal_rows_count_as_one_also_of_texts() {
    let specs = vec![
        ModalitySpec::new("blood", &[5]).expect("valid"),
        ModalitySpec::new("report", &[4, 3])
            .expect("valid")
            .with_likelihood(Likelihood::Categorical {}),
    ];
    let device = Device::flex().autodiff();
    let batch = |rows: usize| {
        let ids = Tensor::<2, Int>::from_data([[2, 0, 1, 0]], &device).repeat(&[rows, 1]);
        let mask = Tensor::<2>::from_floats([[1.0, 1.0, 1.0, 0.0]], &device).repeat(&[rows, 1]);
        let blood = Values::Dense(Tensor::ones([rows, 5], &device) * 0.3);
        let presence = Presence::complete(rows, 2, &device);
        Batch::new(vec![blood, Values::Tokens { ids, mask }], presence).expect("one size")
    };
    for name in ModelConfig::NAMES {
        let model = model(&config(name, &specs));
        if !rows(&model).1 {
            // The covariance of equal rows is none.
            continue;
        }
        let loss = |rows| {
            model.learner().loss(&batch(rows), &mut Noise::zero()).total.into_scalar::<f32>()
        };
        let (one, six) = (loss(1), loss(6));
        assert!((one - six).abs() < 1e-4 * one.abs(), "{name}: {one} {six}");
    }
}

#[test]
fn one_row_and_extreme_values_give_finite_losses() {
    each(|name, specs| {
        let model = model(&config(name, specs));
        let (device, (least, _)) = (Device::flex().autodiff(), rows(&model));
        for scale in [0.0, 1.0, 1e4, -1e4] {
            let inputs = specs.iter().map(|s| match s.likelihood {
                Likelihood::Normal { .. } | Likelihood::Laplace { .. } => {
                    Tensor::full([least, s.features()], scale, &device)
                }
                _ => values(s, least, &device),
            });
            let mut batch = Batch::complete(inputs.collect()).expect("one size");
            batch.purpose = Purpose::Train;
            assert!(loss(&model, &batch).is_finite(), "{name} at {scale}");
            let gradients = gradients(&model, &batch);
            let finite = |g: &Vec<f32>| g.iter().all(|v| v.is_finite());
            for (path, gradient) in gradients {
                assert!(gradient.as_ref().is_none_or(finite), "{name} at {scale}: `{path}`");
            }
        }
    });
}

#[test]
fn conditioning_on_what_a_row_lacks_is_conditioning_on_nothing() {
    each(|name, specs| {
        let model = model(&config(name, specs));
        let batch = incomplete(specs, 0.0);
        // The last row lacks modality 1: its code given modality 1 is the prior's mean.
        let noise = &mut Noise::zero();
        let given = encoder(&model).encode(&batch, Subset::single(1), Draws::Mean, noise);
        let Some(generator) = generator(&model) else { return };
        let prior = generator.prior(ROWS, &batch.device(), &mut Noise::zero());
        for ((space, a), (_, b)) in given.spaces().zip(prior.spaces()) {
            let last = |z: &Tensor<3>| floats(z.clone().narrow(1, ROWS - 1, 1));
            for (x, y) in last(a).iter().zip(last(b)) {
                assert!((x - y).abs() < 1e-5, "{name}: {space}");
            }
        }
    });
}

#[test]
fn an_estimated_likelihood_is_at_least_the_bound() {
    each(|name, specs| {
        let model = model(&config(name, specs));
        let batch = incomplete(specs, 0.0);
        let all = Subset::full(specs.len());
        let query = LikelihoodQuery {
            given: Given::Nothing,
            targets: all,
            budget: Budget { samples: 100, max_rows: 60 },
        };
        let Ok(vae) = model.density() else { return };
        let estimate = vae.log_likelihood(&batch, &query, &mut Noise::seeded(5));
        // The bound is the mean of log-weights, the estimate the logarithm of their mean.
        let bound = |seed| {
            let bound = vae.bound(&batch, all, &mut Noise::seeded(seed)).elbo();
            bound.mean().into_scalar::<f32>()
        };
        let bounds: Vec<f32> = (0..20).map(bound).collect();
        let n = bounds.len() as f32;
        let bound = bounds.iter().sum::<f32>() / n;
        let variance = bounds.iter().map(|b| (b - bound).powi(2)).sum::<f32>() / (n - 1.0);
        // Where the posterior is nearly exact they differ by no more than chance.
        let chance = 3.0 * (variance / n).sqrt();
        let estimate = estimate.log_likelihood.mean().into_scalar::<f32>();
        assert!(estimate.is_finite() && estimate > bound - chance, "{name}: {estimate} {bound}");
    });
}

#[test]
fn every_public_type_can_cross_threads() {
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Model>();
    send_and_sync::<ModelConfig>();
}

#[test]
fn what_a_batch_keeps_of_encoders_changes_nothing() {
    each(|name, specs| {
        let model = model(&config(name, specs));
        let given: Vec<Subset> = match encoder(&model).conditions() {
            Some(conditions) => vec![conditions, Subset::full(specs.len())],
            None => Subsets::all(specs.len()).iter().collect(),
        };
        let batch = incomplete(specs, 0.3);
        let keeping = batch.clone().keeping();
        let same = |plain: &Batch, keeping: &Batch| {
            for &given in &given {
                let of = |batch: &Batch| {
                    codes(&model, batch, given, Draws::Samples(2), &mut Noise::seeded(3))
                };
                assert_eq!(of(plain), of(keeping), "{name} given {given:?}");
            }
        };
        same(&batch, &keeping);
        // Of other rows nothing is known yet, whatever was kept.
        let rows = batch.presence().rows().iter().map(|_| Subset::full(specs.len())).collect();
        let presence = Presence::new(rows, specs.len(), &batch.device());
        let all = |batch: Batch| batch.with_presence(presence.clone()).expect("as many rows");
        same(&all(batch), &all(keeping));
    });
}

#[test]
fn decoded_values_have_the_density_of_the_latent_values_that_they_are_decoded_from() {
    each(|name, specs| {
        let model = model(&config(name, specs));
        let Ok(vae) = model.density() else { return };
        let batch = incomplete(specs, 0.3);
        let given = vae.conditions().unwrap_or(Subset::single(0));
        let latent = vae.encode(&batch, given, Draws::Samples(2), &mut Noise::seeded(3));
        let targets = vae.generated();
        for (m, parameters) in targets.iter().zip(vae.decode(&latent, targets)) {
            let found = vae.log_prob_of(&batch, parameters, m);
            assert_eq!(found.dims(), [2, ROWS], "{name}");
            assert_eq!(floats(found), floats(vae.log_prob(&batch, &latent, m)), "{name}");
        }
    });
}
