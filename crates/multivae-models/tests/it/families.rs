//! All models with likelihoods other than those of the reference: counts, positive and ordinal
//! values, and one of the user's, with single cells missing.

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Device, Gradients, Tensor, TensorData},
};
use multivae_core::{
    Error,
    batch::{Batch, Presence, Progress, Purpose, Values},
    distribution::{LikelihoodFamily, Output, Support},
    modality::ModalitySpec,
    model::{Draws, MultimodalModel},
    module::init_parameters,
    nn::Networks,
    noise::Noise,
    subset::Subset,
};
use multivae_models::{Model, ModelConfig};
use serde_json::json;

use crate::contract::config;

/// Exponential waiting times of log-rate `output`.
#[derive(Debug)]
struct Exponential;

impl LikelihoodFamily for Exponential {
    fn name(&self) -> &str {
        "exponential"
    }

    fn support(&self) -> Support {
        Support::Positive
    }

    fn terms(&self, output: &Output<'_>, values: Tensor<3>, _: Option<&Tensor<1>>) -> Tensor<3> {
        output.parameter(0) - values * output.parameter(0).exp()
    }

    fn mean(&self, output: &Output<'_>, _: Option<&Tensor<1>>) -> Tensor<3> {
        output.parameter(0).neg().exp()
    }

    fn sample(&self, output: &Output<'_>, _: Option<&Tensor<1>>, noise: &mut Noise) -> Tensor<3> {
        let mean = self.mean(output, None);
        let uniform = noise.uniform(mean.dims(), 1, &mean.device());
        mean * uniform.neg().log1p().neg()
    }
}

fn networks() -> Networks {
    Networks::default().with_likelihood("exponential", Exponential)
}

/// Values of every support that the reference lacks.
fn specs() -> Vec<ModalitySpec> {
    let spec = |name: &str, features: usize, likelihood| {
        let likelihood = serde_json::from_value(likelihood).expect("valid");
        ModalitySpec::new(name, &[features]).expect("valid").with_likelihood(likelihood)
    };
    vec![
        spec("reads", 4, json!({ "kind": "zero_inflated_negative_binomial" })),
        spec("doses", 3, json!({ "kind": "log_normal", "scale": "decoded" })),
        spec("stage", 2, json!({ "kind": "ordinal", "classes": 3 })),
        spec("waits", 2, json!({ "kind": "custom", "name": "exponential" })),
    ]
}

const ROWS: usize = 5;

/// Rows whose values are in the supports; every third cell is missing, and `filler` stands there.
fn batch(specs: &[ModalitySpec], filler: f32) -> Batch {
    let device = Device::flex().autodiff();
    let (mut values, mut masks) = (Vec::new(), Vec::new());
    for spec in specs {
        let shape = [ROWS, spec.features()];
        let missing = |i: usize| i % 3 == 1;
        let value = |i: usize| if missing(i) { filler } else { (1 + i % 2) as f32 };
        let tensor = |f: &dyn Fn(usize) -> f32| {
            let data: Vec<f32> = (0..shape[0] * shape[1]).map(f).collect();
            Tensor::<2>::from_data(TensorData::new(data, shape), &device)
        };
        values.push(Values::Dense(tensor(&value)));
        masks.push(Some(tensor(&|i| f32::from(u8::from(!missing(i))))));
    }
    let offsets = specs
        .iter()
        .map(|spec| (spec.name.as_str() == "reads").then(|| Tensor::full([ROWS], 0.7, &device)));
    let mut batch = Batch::new(values, Presence::complete(ROWS, specs.len(), &device))
        .and_then(|batch| batch.with_cells(masks))
        .and_then(|batch| batch.with_offsets(offsets.collect()))
        .expect("one size");
    batch.purpose = Purpose::Train;
    // Models with two stages learn their decoders in the first.
    batch.progress = Progress::new(1, 0.0);
    batch
}

fn model(config: &ModelConfig) -> Model {
    init_parameters(config.init(&networks(), &Device::flex().autodiff()).expect("a model"))
}

/// Gradients of all parameters that have one, with the names of their fields.
struct Listed<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    found: Vec<(String, Vec<f32>)>,
}

impl ModuleVisitor for Listed<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            let gradient = gradient.into_data().try_into_vec().expect("floats");
            self.found.push((self.path.join("."), gradient));
        }
    }
}

#[test]
fn every_model_learns_every_kind_of_value_and_sees_no_missing_cell() {
    for name in ModelConfig::NAMES {
        let specs = specs();
        let model = model(&config(name, &specs));
        let learn = |filler: f32| {
            let batch = batch(&specs, filler);
            let loss = model.learner().loss(&batch, &mut Noise::seeded(3)).total;
            let value = loss.clone().into_scalar::<f32>();
            let gradients = loss.backward();
            let mut listed = Listed { gradients: &gradients, path: vec![], found: vec![] };
            model.visit(&mut listed);
            (value, listed.found)
        };
        let (value, gradients) = learn(0.0);
        assert!(value.is_finite(), "{name}: {value}");
        for (path, gradient) in &gradients {
            assert!(gradient.iter().all(|g| g.is_finite()), "{name}: {path}");
        }
        for filler in [f32::NAN, -3.5] {
            let (other, others) = learn(filler);
            assert_eq!((other, &others), (value, &gradients), "{name}");
        }
        // A conditional model generates one of them, and only that has a decoder.
        let Ok(generator) = model.generator() else { continue };
        let generates = |m: usize| generator.generated().contains(m);
        for (m, learned) in [(0, "log_dispersion"), (2, "thresholds")] {
            let found = gradients.iter().any(|(path, _)| path.ends_with(&format!(".{learned}")));
            assert_eq!(found, generates(m), "{name}: {learned}");
        }
    }
}

#[test]
fn every_model_shows_means_and_draws_samples_of_every_kind_of_value() {
    for name in ModelConfig::NAMES {
        let specs = specs();
        let model = model(&config(name, &specs));
        let batch = batch(&specs, 0.0);
        let encoder = model.encoder().expect("all models of the list encode");
        let Ok(generator) = model.generator() else { continue };
        let noise = &mut Noise::seeded(4);
        let given = encoder.conditions().unwrap_or_else(|| Subset::full(specs.len()));
        let latent = encoder.encode(&batch, given, Draws::Samples(2), noise);
        let targets = generator.generated();
        for (m, output) in targets.iter().zip(generator.decode(&latent, targets)) {
            let offset = batch.offset(m);
            let mean = generator.mean(output.clone(), m, offset);
            assert_eq!(mean.dims(), [2, ROWS, specs[m].features()], "{name}");
            let sample = generator.sample(output, m, offset, noise);
            let sample: Vec<f32> = sample.into_data().try_into_vec().expect("floats");
            let spec = &generator.modalities()[m];
            let checked = spec.likelihood.check_values(&spec.name, &spec.shape, &sample, |_| true);
            checked.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

#[test]
fn a_likelihood_that_was_not_given_is_refused_before_a_model_is_built() {
    let config = config("mvae", &specs());
    let error = config.init(&Networks::default(), &Device::flex()).expect_err("it is not there");
    let expected = Error::UnknownLikelihood { name: "exponential".into(), known: "none".into() };
    assert_eq!(error, expected);
}
