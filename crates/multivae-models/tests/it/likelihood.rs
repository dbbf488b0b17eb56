//! Estimated likelihoods of linear normal models equal the closed form.
//!
//! With `z ~ N(0, t)` in one dimension and `x | z ~ N(w z, s² I)` the marginal is
//! `N(0, s² I + t w wᵀ)`.

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{Device, Tensor, TensorData},
};
use multivae_core::{
    batch::{Batch, Presence, Values},
    distribution::{Likelihood, Normal},
    modality::{ModalityName, ModalitySpec},
    model::{Budget, Given, LikelihoodQuery, MultimodalVae},
    nn::{
        Encoder, EncoderConfig, Encoding, HierarchyConfig, JointEncoderConfig, Network,
        NetworkConfig, Networks, PosteriorConfig,
    },
    noise::Noise,
    subset::Subset,
};
use multivae_models::{
    ModalityConfig, ModelConfig, jmvae::JmvaeConfig, jnf::JnfConfig, mhvae::MhvaeConfig,
    mopoe::MopoeConfig, mvae::MvaeConfig, telbo::TelboConfig,
};
use serde_json::json;

const WEIGHTS: [[f32; 2]; 2] = [[0.9, -0.4], [0.3, 1.1]];
const DEVIATION: f64 = 0.8;
/// Rows of (x_0, x_1).
const DATA: [[f32; 4]; 3] = [[0.5, -0.2, 0.4, 1.0], [-1.0, 0.7, 0.1, 0.2], [2.0, -1.5, 0.8, 1.9]];

/// Reads the last features as `x` and gives a normal expert for `z`: the exact one, widened by
/// `widen` and moved by `shift`.
#[derive(Module, Debug)]
struct Expert {
    #[module(skip)]
    weights: [f32; 2],
    #[module(skip)]
    variance: f64,
    widen: f64,
    shift: f64,
}

impl Encoder for Expert {
    fn encode(&self, values: &Values) -> Encoding {
        let input = values.dense().expect("dense values").clone();
        let [rows, width] = input.dims();
        let x = input.narrow(1, width - 2, 2);
        let weights = Tensor::<2>::from_data([self.weights], &x.device());
        let norm = f64::from(self.weights[0].powi(2) + self.weights[1].powi(2));
        let mean = (x * weights).sum_dim(1) / norm + self.shift;
        let log_var = (self.variance / norm * self.widen).ln();
        let log_var = Tensor::full([rows, 1], log_var, &mean.device());
        Encoding { shared: Normal::new(mean, log_var), private: None }
    }
}

/// `N(slope z, variance)`.
#[derive(Module, Debug)]
struct Step {
    slope: f64,
    variance: f64,
}

impl Encoder for Step {
    fn encode(&self, values: &Values) -> Encoding {
        let mean = values.dense().expect("dense values").clone() * self.slope;
        let log_var = mean.full_like(self.variance.ln());
        Encoding { shared: Normal::new(mean, log_var), private: None }
    }
}

/// `w z`.
#[derive(Module, Debug)]
struct Loading {
    #[module(skip)]
    weights: [f32; 2],
}

impl Network for Loading {
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let weights = Tensor::<2>::from_data([self.weights], &input.device());
        input.matmul(weights)
    }
}

/// What comes in.
#[derive(Module, Debug)]
struct Same {
    #[module(skip)]
    nothing: (),
}

impl Network for Same {
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        input
    }
}

/// Sets all parameters to a tenth: those of flows, since the networks above have none.
struct Tenths;

impl ModuleMapper for Tenths {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| old.full_like(0.1))
    }
}

const SLOPE: f64 = 0.7;
const STEP: f64 = 0.5;

fn networks() -> Networks {
    let get = |settings: &serde_json::Value, key: &str| settings[key].as_f64().expect("a number");
    let modality = |settings: &serde_json::Value| {
        WEIGHTS[settings["modality"].as_u64().expect("a number") as usize]
    };
    Networks::default()
        .with_encoder("expert", move |request| Expert {
            weights: modality(request.settings),
            variance: DEVIATION * DEVIATION,
            widen: get(request.settings, "widen"),
            shift: get(request.settings, "shift"),
        })
        .with_encoder("step", |_| Step { slope: SLOPE, variance: STEP })
        .with_network("loading", move |request| Loading { weights: modality(request.settings) })
        .with_network("same", |_| Same { nothing: () })
}

fn expert(modality: usize, widen: f64, shift: f64) -> EncoderConfig {
    let settings = json!({ "modality": modality, "widen": widen, "shift": shift });
    EncoderConfig::Custom { name: "expert".into(), settings }
}

fn loading(modality: usize) -> NetworkConfig {
    NetworkConfig::Custom { name: "loading".into(), settings: json!({ "modality": modality }) }
}

fn same() -> NetworkConfig {
    NetworkConfig::Custom { name: "same".into(), settings: json!(null) }
}

fn modalities(widen: f64, shift: f64) -> Vec<ModalityConfig> {
    (0..2)
        .map(|m| ModalityConfig {
            encoder: Some(expert(m, widen, shift)),
            decoder: Some(loading(m)),
            ..ModalityConfig::new(ModalityName::new(format!("m{m}")).expect("valid"))
        })
        .collect()
}

/// A joint encoder that reads the last modality alone: its posterior is a proposal, not the exact
/// one.
fn joint(widen: f64, shift: f64) -> JointEncoderConfig {
    let name = |m| ModalityName::new(format!("m{m}")).expect("valid");
    let inputs = (0..2).map(|m| (name(m), same())).collect();
    JointEncoderConfig { inputs, encoder: Some(expert(1, widen, shift)) }
}

/// Models of the marginal with `t = 1`, with experts that are exact or not.
fn flat(widen: f64, shift: f64) -> Vec<(ModelConfig, f64)> {
    let modalities = modalities(widen, shift);
    let mvae = MvaeConfig { latent: 1, modalities: modalities.clone(), ..MvaeConfig::default() };
    let mopoe = MopoeConfig { latent: 1, modalities: modalities.clone(), ..MopoeConfig::default() };
    let joint_encoder = joint(widen, shift);
    let jmvae = JmvaeConfig {
        latent: 1,
        modalities: modalities.clone(),
        joint_encoder: joint_encoder.clone(),
        ..JmvaeConfig::default()
    };
    let telbo = TelboConfig {
        latent: 1,
        modalities: modalities.clone(),
        joint_encoder: joint_encoder.clone(),
        ..TelboConfig::default()
    };
    let jnf = JnfConfig { latent: 1, modalities, joint_encoder, ..JnfConfig::default() };
    let models: [ModelConfig; 5] =
        [mvae.into(), mopoe.into(), jmvae.into(), telbo.into(), jnf.into()];
    models.map(|model| (model, 1.0)).into()
}

/// A hierarchy of two levels, `z_2 ~ N(0, 1)`, `z_1 ~ N(SLOPE z_2, STEP)`.
fn hierarchy(widen: f64, shift: f64) -> (ModelConfig, f64) {
    let step = EncoderConfig::Custom { name: "step".into(), settings: json!(null) };
    fn each<T>(config: impl Fn(usize) -> T) -> BTreeMap<ModalityName, T> {
        let name = |m| ModalityName::new(format!("m{m}")).expect("valid");
        (0..2).map(|m| (name(m), config(m))).collect()
    }
    let blocks = HierarchyConfig {
        encoders: each(|_| same()),
        bottom_up: each(|_| vec![]),
        top: each(|m| expert(m, 2.0 * widen, shift)),
        top_down: vec![same()],
        prior: vec![step],
        posterior: PosteriorConfig::PerModality(each(|m| vec![expert(m, widen, shift)])),
        decoders: each(loading),
    };
    let config = MhvaeConfig {
        latent: 1,
        levels: 2,
        blocks: Some(blocks),
        shared_posterior: false,
        ..MhvaeConfig::default()
    };
    (config.into(), SLOPE * SLOPE + STEP)
}

/// `ln N(x; 0, s² I + t w wᵀ)` by the matrix determinant lemma and Sherman and Morrison.
fn exact(x: &[f32], weights: &[f32], t: f64) -> f64 {
    let s2 = DEVIATION * DEVIATION;
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let (xx, xw, ww) = (dot(x, x), dot(x, weights), dot(weights, weights));
    let n = x.len() as f64;
    let log_det = n * s2.ln() + (1.0 + t * ww / s2).ln();
    let quadratic = (xx - t * xw * xw / (s2 + t * ww)) / s2;
    -0.5 * (n * (2.0 * std::f64::consts::PI).ln() + log_det + quadratic)
}

fn both() -> Vec<f32> {
    WEIGHTS.concat()
}

/// Checks the estimates of the rows of `DATA` against `expected`.
fn check(
    config: &ModelConfig,
    presence: &[Subset; 3],
    given: Given,
    targets: Subset,
    expected: impl Fn(&[f32; 4], Subset) -> f64,
) {
    let device = Device::flex();
    let specs: Vec<_> = ["m0", "m1"]
        .iter()
        .map(|name| {
            let spec = ModalitySpec::new(name, &[2]).expect("valid");
            spec.with_likelihood(Likelihood::normal(DEVIATION))
        })
        .collect();
    let config = config.clone().with_modalities(&specs).expect("the data suits");
    let model = config.init(&networks(), &device).expect("a model").map(&mut Tenths);
    let column = |m: usize| {
        let values: Vec<f32> = DATA.iter().flat_map(|row| row[2 * m..2 * m + 2].to_vec()).collect();
        Values::Dense(Tensor::from_data(TensorData::new(values, [3, 2]), &device))
    };
    let presence = Presence::new(presence.to_vec(), 2, &device);
    let rows = presence.rows().to_vec();
    let batch = Batch::new(vec![column(0), column(1)], presence).expect("one size");
    for samples in [10, 100, 1000] {
        let query = LikelihoodQuery { given, targets, budget: Budget { samples, max_rows: 1500 } };
        let estimate = model.log_likelihood(&batch, &query, &mut Noise::seeded(3));
        let found: Vec<f32> = estimate.log_likelihood.into_data().try_into_vec().expect("floats");
        let error: Vec<f32> = estimate.standard_error.into_data().try_into_vec().expect("floats");
        for (row, data) in DATA.iter().enumerate() {
            let expected = expected(data, rows[row]);
            let distance = (f64::from(found[row]) - expected).abs();
            assert!(
                distance <= 3.0 * f64::from(error[row]) + 1e-4,
                "{} with {samples} samples, row {row}: expected {expected}, found {} ± {}",
                config.name(),
                found[row],
                error[row]
            );
        }
    }
}

/// Every model, with the variance of what its decoders read.
fn models(widen: f64, shift: f64) -> Vec<(ModelConfig, f64)> {
    let mut models = flat(widen, shift);
    models.push(hierarchy(widen, shift));
    models
}

#[test]
fn joint_likelihoods_equal_the_closed_form_for_complete_and_masked_rows() {
    for (config, t) in &models(1.6, 0.2) {
        let presence = [Subset::full(2), Subset::single(0), Subset::single(1)];
        check(config, &presence, Given::Nothing, Subset::full(2), |row, observed| {
            match observed.len() {
                2 => exact(row, &both(), *t),
                _ if observed.contains(0) => exact(&row[..2], &WEIGHTS[0], *t),
                _ => exact(&row[2..], &WEIGHTS[1], *t),
            }
        });
    }
}

#[test]
fn conditional_likelihoods_equal_the_closed_form() {
    let given = Given::Values(Subset::single(0));
    for (config, t) in &models(1.6, 0.2) {
        let presence = [Subset::full(2), Subset::full(2), Subset::single(1)];
        check(config, &presence, given, Subset::single(1), |row, observed| {
            if observed.contains(0) {
                exact(row, &both(), *t) - exact(&row[..2], &WEIGHTS[0], *t)
            } else {
                exact(&row[2..], &WEIGHTS[1], *t)
            }
        });
    }
}

#[test]
fn the_likelihood_under_a_posterior_is_the_conditional_one_where_the_posterior_is_exact() {
    // MVAE's product with the prior is the exact posterior.
    let (config, t) = &flat(1.0, 0.0)[0];
    let given = Given::Posterior(Subset::single(0));
    check(config, &[Subset::full(2); 3], given, Subset::single(1), |row, _| {
        exact(row, &both(), *t) - exact(&row[..2], &WEIGHTS[0], *t)
    });
}
