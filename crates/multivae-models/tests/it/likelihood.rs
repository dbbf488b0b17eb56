//! Estimated likelihoods of linear normal models equal the closed form.
//!
//! With `z ~ N(0, t)` in one dimension and `x | z ~ N(w z, s² I)` the marginal is
//! `N(0, s² I + t w wᵀ)`; a private value adds to the variance of one feature.

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Device, Tensor, TensorData},
};
use multivae_core::{
    batch::{Batch, Presence, Values},
    distribution::{Family, Likelihood, Normal},
    modality::{ModalityName, ModalitySpec},
    model::{Budget, Given, LikelihoodQuery, MultimodalVae},
    module::settle,
    nn::{
        Encoder, EncoderConfig, Encoding, HierarchyConfig, Network, NetworkConfig, Networks,
        PosteriorConfig,
    },
    noise::Noise,
    subset::Subset,
};
use multivae_models::{
    ModalityConfig, Model, ModelConfig, cmvae::CmvaeConfig, mhvae::MhvaeConfig, mmvae::MmvaeConfig,
    mmvae_plus::MmvaePlusConfig, mopoe::MopoeConfig, mvae::MvaeConfig,
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

/// An [`Expert`] with a normal posterior of one private feature that ignores the values.
#[derive(Module, Debug)]
struct PrivateExpert {
    expert: Expert,
    shift: f64,
    log_var: f64,
}

impl Encoder for PrivateExpert {
    fn encode(&self, values: &Values) -> Encoding {
        let shared = self.expert.encode(values).shared;
        let like = |value: f64| shared.mean.full_like(value);
        let private = Normal::new(like(self.shift), like(self.log_var));
        Encoding { shared, private: Some(private) }
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

/// `w u + PRIVATE w_m`, the private value being added to the first feature.
#[derive(Module, Debug)]
struct PrivateLoading {
    loading: Loading,
}

/// What a private value is multiplied by.
const PRIVATE: f64 = 0.6;

impl Network for PrivateLoading {
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let own = input.clone().narrow(1, 1, 1) * PRIVATE;
        let zero = own.zeros_like();
        self.loading.forward(input.narrow(1, 0, 1)) + Tensor::cat(vec![own, zero], 1)
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
        .with_encoder("private_expert", move |request| PrivateExpert {
            expert: Expert {
                weights: modality(request.settings),
                variance: DEVIATION * DEVIATION + PRIVATE * PRIVATE,
                widen: get(request.settings, "widen"),
                shift: get(request.settings, "shift"),
            },
            shift: 0.1,
            log_var: 0.1,
        })
        .with_network("private_loading", move |request| PrivateLoading {
            loading: Loading { weights: modality(request.settings) },
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

fn name(modality: usize) -> ModalityName {
    ModalityName::new(format!("m{modality}")).expect("valid")
}

fn both() -> Subset {
    Subset::full(2)
}

fn modalities(widen: f64, shift: f64) -> Vec<ModalityConfig> {
    (0..2)
        .map(|m| ModalityConfig {
            encoder: Some(expert(m, widen, shift)),
            decoder: Some(loading(m)),
            ..ModalityConfig::new(name(m))
        })
        .collect()
}

/// The same with a private space of one feature a modality.
fn private_modalities(widen: f64, shift: f64) -> Vec<ModalityConfig> {
    let settings = |m: usize| json!({ "modality": m, "widen": widen, "shift": shift });
    (0..2)
        .map(|m| ModalityConfig {
            encoder: Some(EncoderConfig::Custom {
                name: "private_expert".into(),
                settings: settings(m),
            }),
            decoder: Some(NetworkConfig::Custom {
                name: "private_loading".into(),
                settings: settings(m),
            }),
            ..ModalityConfig::new(name(m))
        })
        .collect()
}

/// The density of the data under a model.
#[derive(Clone, Copy)]
struct Marginal {
    /// Variance of the shared value around its location.
    variance: f64,
    /// Deviation that private values add to the first feature of each modality.
    private: f64,
}

const PLAIN: Marginal = Marginal { variance: 1.0, private: 0.0 };

impl Marginal {
    /// `ln p(x_S)` of a row, the shared value having equal chances to be around each location: by
    /// the matrix determinant lemma and Sherman and Morrison.
    fn log_density(&self, row: &[f32; 4], observed: Option<Subset>, locations: &[f64]) -> f64 {
        let Some(observed) = observed else { return 0.0 };
        let places: Vec<usize> = observed.iter().flat_map(|m| [2 * m, 2 * m + 1]).collect();
        let around = |location: f64| {
            let (mut log_det, mut xx, mut xw, mut ww) = (0.0, 0.0, 0.0, 0.0);
            for &i in &places {
                let w = f64::from(WEIGHTS[i / 2][i % 2]);
                let x = f64::from(row[i]) - w * location;
                let own = if i % 2 == 0 { self.private } else { 0.0 };
                let v = DEVIATION * DEVIATION + own * own;
                log_det += (2.0 * std::f64::consts::PI * v).ln();
                xx += x * x / v;
                xw += x * w / v;
                ww += w * w / v;
            }
            let t = self.variance;
            -0.5 * (log_det + (1.0 + t * ww).ln() + xx - t * xw * xw / (1.0 + t * ww))
        };
        let sum: f64 = locations.iter().map(|&location| around(location).exp()).sum();
        (sum / locations.len() as f64).ln()
    }
}

/// Every model of the list, with experts that are exact or not.
fn models(widen: f64, shift: f64) -> Vec<(ModelConfig, Marginal)> {
    let plain = modalities(widen, shift);
    let private = private_modalities(widen, shift);
    let with_private = Marginal { private: PRIVATE, ..PLAIN };
    let (latent, family) = (1, Family::Normal);
    vec![
        (MvaeConfig { latent, modalities: plain.clone(), ..Default::default() }.into(), PLAIN),
        (MopoeConfig { latent, modalities: plain.clone(), ..Default::default() }.into(), PLAIN),
        (
            MopoeConfig {
                latent,
                private: (0..2).map(|m| (name(m), 1)).collect(),
                modalities: private.clone(),
                ..Default::default()
            }
            .into(),
            with_private,
        ),
        (MmvaeConfig { latent, family, modalities: plain, ..Default::default() }.into(), PLAIN),
        (
            MmvaePlusConfig {
                latent,
                family,
                private: 1,
                modalities: private.clone(),
                ..Default::default()
            }
            .into(),
            with_private,
        ),
        (
            CmvaeConfig {
                latent,
                family,
                private: 1,
                clusters: 3,
                modalities: private,
                ..Default::default()
            }
            .into(),
            with_private,
        ),
        hierarchy(widen, shift),
    ]
}

/// A hierarchy of two levels, `z_2 ~ N(0, 1)`, `z_1 ~ N(SLOPE z_2, STEP)`.
fn hierarchy(widen: f64, shift: f64) -> (ModelConfig, Marginal) {
    let step = EncoderConfig::Custom { name: "step".into(), settings: json!(null) };
    fn each<T>(config: impl Fn(usize) -> T) -> BTreeMap<ModalityName, T> {
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
    (config.into(), Marginal { variance: SLOPE * SLOPE + STEP, ..PLAIN })
}

/// Checks the estimates of the rows of `DATA`.
fn check(
    config: &ModelConfig,
    marginal: &Marginal,
    presence: &[Subset; 3],
    given: Given,
    targets: Subset,
) {
    let device = Device::flex();
    let specs: Vec<_> = (0..2)
        .map(|m| {
            let spec = ModalitySpec::new(name(m).as_str(), &[2]).expect("valid");
            spec.with_likelihood(Likelihood::normal(DEVIATION))
        })
        .collect();
    let config = config.clone().with_modalities(&specs).expect("the data suits");
    let model = settle(config.init(&networks(), &device).expect("a model"));
    let column = |m: usize| {
        let values: Vec<f32> = DATA.iter().flat_map(|row| row[2 * m..2 * m + 2].to_vec()).collect();
        Values::Dense(Tensor::from_data(TensorData::new(values, [3, 2]), &device))
    };
    let presence = Presence::new(presence.to_vec(), 2, &device);
    let rows = presence.rows().to_vec();
    let batch = Batch::new(vec![column(0), column(1)], presence).expect("one size");
    let locations = locations(&model);
    let expected = |row: &[f32; 4], observed: Subset| {
        let density =
            |set: Subset| marginal.log_density(row, set.intersection(observed), &locations);
        match given {
            Given::Nothing => density(targets),
            Given::Values(given) | Given::Posterior(given) => {
                density(targets.union(given)) - density(given)
            }
        }
    };
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

/// Where the shared value may be around: locations of clusters, or zero.
fn locations(model: &Model) -> Vec<f64> {
    struct Find(Vec<String>, Vec<f64>);
    impl ModuleVisitor for Find {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.0.join(".").starts_with("cluster_locations") {
                self.1.extend(param.val().into_data().iter::<f64>());
            }
        }
    }
    let mut find = Find(Vec::new(), Vec::new());
    model.visit(&mut find);
    if find.1.is_empty() { vec![0.0] } else { find.1 }
}

#[test]
fn joint_likelihoods_equal_the_closed_form_for_complete_and_masked_rows() {
    for (config, marginal) in &models(1.6, 0.2) {
        let presence = [both(), Subset::single(0), Subset::single(1)];
        check(config, marginal, &presence, Given::Nothing, both());
    }
}

#[test]
fn conditional_likelihoods_equal_the_closed_form_for_complete_and_masked_rows() {
    let given = Given::Values(Subset::single(0));
    for (config, marginal) in &models(1.6, 0.2) {
        let presence = [both(), both(), Subset::single(1)];
        check(config, marginal, &presence, given, Subset::single(1));
    }
}

#[test]
fn the_likelihood_under_a_posterior_is_the_conditional_one_where_the_posterior_is_exact() {
    // MVAE's product with the prior is the exact posterior.
    let (config, marginal) = &models(1.0, 0.0)[0];
    let given = Given::Posterior(Subset::single(0));
    check(config, marginal, &[both(); 3], given, Subset::single(1));
}
