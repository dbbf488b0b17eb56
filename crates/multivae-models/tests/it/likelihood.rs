//! Estimated likelihoods of linear normal models equal the closed form.
//!
//! With `z ~ N(0, t)` in one dimension and `x | z ~ N(w z, s² I)` the marginal is
//! `N(0, s² I + t w wᵀ)`.

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Device, Tensor, TensorData},
};
use multivae_core::{
    batch::{Batch, Presence, Values},
    distribution::{Family, Likelihood, Normal},
    modality::{ModalityName, ModalitySpec},
    model::{Given, LikelihoodQuery, MultimodalModel},
    module::init_parameters,
    nn::{
        Encoder, EncoderConfig, Encoding, HierarchyConfig, JointEncoderConfig, Network,
        NetworkConfig, Networks, PosteriorConfig,
    },
    noise::Noise,
    objective::Budget,
    subset::Subset,
};
use multivae_models::{
    ModalityConfig, Model, ModelConfig,
    blocks::powers::Powers,
    cmvae::CmvaeConfig,
    code_vae::CodeVaeConfig,
    crmvae::CrmvaeConfig,
    cvae::CvaeConfig,
    dmvae::DmvaeConfig,
    dvcca::DvccaConfig,
    gpoe::GpoeConfig,
    helvae::HelvaeConfig,
    jmvae::JmvaeConfig,
    jnf::JnfConfig,
    masked_vae::MaskedVaeConfig,
    mcvae::McvaeConfig,
    me_mvae::MeMvaeConfig,
    mhvae::MhvaeConfig,
    mmhvae::MmhvaeConfig,
    mmjsd::MmjsdConfig,
    mmvae::MmvaeConfig,
    mmvae_plus::MmvaePlusConfig,
    mmvae_plus_plus::MmvaePlusPlusConfig,
    mohelvae::MohelvaeConfig,
    mopoe::MopoeConfig,
    mvae::{MvaeConfig, Rule},
    mvp::MvpConfig,
    mvtcae::MvtcaeConfig,
    mwb_vae::MwbVaeConfig,
    nexus::NexusConfig,
    telbo::TelboConfig,
    wb_vae::WbVaeConfig,
    weighted_dmvae::WeightedDmvaeConfig,
};
use serde_json::json;

use crate::contract;

const WEIGHTS: [[f32; 2]; 2] = [[0.9, -0.4], [0.3, 1.1]];
const DEVIATION: f64 = 0.8;
/// Rows of (x_0, x_1).
const DATA: [[f32; 4]; 3] = [[0.5, -0.2, 0.4, 1.0], [-1.0, 0.7, 0.1, 0.2], [2.0, -1.5, 0.8, 1.9]];

/// Loading of a private code, which has as many features as `x`.
const PRIVATE: f64 = 0.5;

/// Reads the last features as `x` and gives a normal expert for `z`: the exact one, widened by
/// `widen` and moved by `shift`. Where a private posterior is wanted it is as wide as the prior.
#[derive(Module, Debug)]
struct Expert {
    #[module(skip)]
    weights: [f32; 2],
    #[module(skip)]
    variance: f64,
    widen: f64,
    shift: f64,
    #[module(skip)]
    private: Option<usize>,
}

impl Encoder for Expert {
    fn encode(&self, values: &Values) -> Encoding {
        let input = values.dense().expect("dense values").clone();
        let [rows, width] = input.dims();
        let x = input.narrow(1, width - 2, 2);
        let weights = Tensor::<2>::from_data([self.weights], &x.device());
        let norm = f64::from(self.weights[0].powi(2) + self.weights[1].powi(2));
        let mean = (x.clone() * weights).sum_dim(1) / norm + self.shift;
        let log_var = (self.variance / norm * self.widen).ln();
        let log_var = Tensor::full([rows, 1], log_var, &mean.device());
        let private = self.private.map(|_| Normal::new(x.clone() * PRIVATE, x.zeros_like()));
        Encoding { shared: Normal::new(mean, log_var), private }
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

/// `w z`, and [`PRIVATE`] times the private code that follows.
#[derive(Module, Debug)]
struct Loading {
    #[module(skip)]
    weights: [f32; 2],
}

impl Network for Loading {
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let weights = Tensor::<2>::from_data([self.weights], &input.device());
        let mean = input.clone().narrow(1, 0, 1).matmul(weights);
        match input.dims()[1] {
            1 => mean,
            width => mean + input.narrow(1, 1, width - 1) * PRIVATE,
        }
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

/// The first feature of what comes in.
#[derive(Module, Debug)]
struct First {
    #[module(skip)]
    nothing: (),
}

impl Network for First {
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        input.narrow(1, 0, 1)
    }
}

/// Sets all parameters of flows to a tenth, and those of mixtures that are priors to known values.
#[derive(Default)]
struct Known(Vec<String>);

/// Locations of the components of the shared prior of MVP, and the logarithm of their variance.
const PRIOR: ([f32; 3], f32) = ([-0.8, 0.1, 0.9], 0.2);
/// Its pseudo-features, and the maps from them to mean and logarithm of the variance: slope, offset.
const PSEUDO: ([f32; 2], [f32; 2], [f32; 2]) = ([-1.5, 1.0], [0.4, 0.2], [0.1, 0.3]);

impl Known {
    /// The values of a parameter, repeated over its places; `None` for one that stays.
    fn values(&self) -> Option<Vec<f32>> {
        let path = self.0.join(".");
        let line =
            |[slope, offset]: [f32; 2]| vec![if path.ends_with("weight") { slope } else { offset }];
        Some(match path.as_str() {
            _ if path.starts_with("flows") => vec![0.1],
            "prior_locations" => PRIOR.0.to_vec(),
            "prior_raw_scales" => vec![PRIOR.1],
            _ if path.ends_with("pseudo_features") => PSEUDO.0.to_vec(),
            _ if path.starts_with("private.") && path.contains(".mean.") => line(PSEUDO.1),
            _ if path.starts_with("private.") && path.contains(".raw_scale.") => line(PSEUDO.2),
            _ => return None,
        })
    }
}

impl ModuleMapper for Known {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.0.push(name.to_owned());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.0.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(values) = self.values() else { return param };
        let shape = param.val().dims();
        let values: Vec<f32> = values.into_iter().cycle().take(shape.iter().product()).collect();
        param.map(|old| Tensor::from_data(TensorData::new(values, shape), &old.device()))
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
            private: request.private,
        })
        .with_encoder("step", |_| Step { slope: SLOPE, variance: STEP })
        .with_encoder("pool", |_| Step { slope: 0.45, variance: STEP })
        .with_network("loading", move |request| Loading { weights: modality(request.settings) })
        .with_network("same", |_| Same { nothing: () })
        .with_network("first", |_| First { nothing: () })
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

fn step() -> EncoderConfig {
    EncoderConfig::Custom { name: "step".into(), settings: json!(null) }
}

/// From the sum of the means of single experts to a proposal for all of them.
fn pool() -> EncoderConfig {
    EncoderConfig::Custom { name: "pool".into(), settings: json!(null) }
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

/// The same with private codes, to which a part of the deviation belongs.
fn private_modalities(widen: f64, shift: f64) -> Vec<ModalityConfig> {
    let rest = Likelihood::normal((DEVIATION * DEVIATION - PRIVATE * PRIVATE).sqrt());
    let with_rest = |config| ModalityConfig { likelihood: Some(rest.clone()), ..config };
    modalities(widen, shift).into_iter().map(with_rest).collect()
}

/// Every model that generates all modalities, with experts that are exact or not, and the variance
/// of the shared value that its decoders read.
fn models(widen: f64, shift: f64) -> Vec<(ModelConfig, f64)> {
    let modalities = modalities(widen, shift);
    let own_modalities = private_modalities(widen, shift);
    let own = own_modalities.clone();
    let private: BTreeMap<_, _> = (0..2).map(|m| (name(m), 2)).collect();
    let joint_encoder = joint(widen, shift);
    let (latent, family) = (1, Family::Normal);
    let mut models: Vec<ModelConfig> = vec![
        MvaeConfig { latent, modalities: modalities.clone(), ..Default::default() }.into(),
        MopoeConfig { latent, modalities: modalities.clone(), ..Default::default() }.into(),
        MopoeConfig {
            latent,
            private: private.clone(),
            modalities: own.clone(),
            ..Default::default()
        }
        .into(),
        MvtcaeConfig { latent, modalities: modalities.clone(), ..Default::default() }.into(),
        CrmvaeConfig { latent, modalities: modalities.clone(), ..Default::default() }.into(),
        DmvaeConfig {
            latent,
            private: private.clone(),
            modalities: own.clone(),
            ..Default::default()
        }
        .into(),
        MmvaeConfig { latent, family, modalities: modalities.clone(), ..Default::default() }.into(),
        MmvaePlusConfig {
            latent,
            family,
            private: 2,
            modalities: own.clone(),
            ..Default::default()
        }
        .into(),
        CmvaeConfig {
            latent,
            family,
            private: 2,
            clusters: 3,
            modalities: own,
            ..Default::default()
        }
        .into(),
    ];
    models.extend(joined(&modalities, &own_modalities, &private));
    let (m, j) = (modalities.clone(), joint_encoder.clone());
    models
        .push(JmvaeConfig { latent, modalities: m, joint_encoder: j, ..Default::default() }.into());
    let (m, j) = (modalities.clone(), joint_encoder.clone());
    models
        .push(TelboConfig { latent, modalities: m, joint_encoder: j, ..Default::default() }.into());
    models.push(JnfConfig { latent, modalities, joint_encoder, ..Default::default() }.into());
    let mut models: Vec<_> = models.into_iter().map(|config| (config, 1.0)).collect();
    let (mhvae, variance) = hierarchy(widen, shift);
    let mmhvae = MmhvaeConfig {
        latent: mhvae.latent,
        levels: mhvae.levels,
        blocks: mhvae.blocks.clone(),
        shared_posterior: false,
        adversarial: 0.0,
        ..MmhvaeConfig::default()
    };
    models.extend([(mhvae.into(), variance), (mmhvae.into(), variance)]);
    models
}

/// Those with another rule that joins experts, with and without private codes.
fn joined(
    modalities: &[ModalityConfig],
    own: &[ModalityConfig],
    private: &BTreeMap<ModalityName, usize>,
) -> Vec<ModelConfig> {
    let (latent, none) = (1, BTreeMap::new());
    let mut models: Vec<ModelConfig> = Vec::new();
    for (private, modalities) in [(&none, modalities), (private, own)] {
        let (private, modalities) = (private.clone(), modalities.to_vec());
        for powers in [Powers::Normalised, Powers::Free] {
            let (private, modalities) = (private.clone(), modalities.clone());
            let gpoe = GpoeConfig { latent, powers, private, modalities, ..Default::default() };
            models.push(gpoe.into());
        }
        let (codes, networks) = (private.clone(), modalities.clone());
        models.push(
            WbVaeConfig { latent, private: codes, modalities: networks, ..Default::default() }
                .into(),
        );
        let (codes, networks) = (private.clone(), modalities.clone());
        models.push(
            HelvaeConfig { latent, private: codes, modalities: networks, ..Default::default() }
                .into(),
        );
        let (codes, networks) = (private.clone(), modalities.clone());
        models.push(
            MwbVaeConfig { latent, private: codes, modalities: networks, ..Default::default() }
                .into(),
        );
        let (codes, networks) = (private.clone(), modalities.clone());
        models.push(
            MohelvaeConfig { latent, private: codes, modalities: networks, ..Default::default() }
                .into(),
        );
        for prior_expert in [true, false] {
            let (private, modalities) = (private.clone(), modalities.clone());
            let mmjsd =
                MmjsdConfig { latent, prior_expert, private, modalities, ..Default::default() };
            models.push(mmjsd.into());
        }
    }
    let plus =
        MmvaePlusPlusConfig { latent, private: 2, modalities: own.to_vec(), ..Default::default() };
    models.push(plus.into());
    let masked = MaskedVaeConfig {
        latent,
        features: 1,
        pool: Some(pool()),
        modalities: modalities.to_vec(),
        ..Default::default()
    };
    models.push(masked.into());
    let rule = Rule::Mean;
    let mean = MvaeConfig { latent, rule, modalities: modalities.to_vec(), ..Default::default() };
    models.push(mean.into());
    let (private, own) = (private.clone(), own.to_vec());
    let dmvae = WeightedDmvaeConfig { latent, private, modalities: own, ..Default::default() };
    models.push(dmvae.into());
    let modalities = modalities.to_vec();
    let code = CodeVaeConfig { latent, modalities: modalities.clone(), ..Default::default() };
    models.push(code.into());
    models
        .push(McvaeConfig { latent, modalities: modalities.clone(), ..Default::default() }.into());
    models
        .push(DvccaConfig { latent, modalities: modalities.clone(), ..Default::default() }.into());
    models.push(MeMvaeConfig { latent, modalities, ..Default::default() }.into());
    models
}

/// A joint encoder that reads the last modality alone: its posterior is a proposal, not the exact
/// one.
fn joint(widen: f64, shift: f64) -> JointEncoderConfig {
    let inputs = (0..2).map(|m| (name(m), same())).collect();
    JointEncoderConfig { inputs, encoder: Some(expert(1, widen, shift)) }
}

/// A hierarchy of two levels, `z_2 ~ N(0, 1)`, `z_1 ~ N(SLOPE z_2, STEP)`.
fn hierarchy(widen: f64, shift: f64) -> (MhvaeConfig, f64) {
    fn each<T>(config: impl Fn(usize) -> T) -> BTreeMap<ModalityName, T> {
        (0..2).map(|m| (name(m), config(m))).collect()
    }
    let blocks = HierarchyConfig {
        encoders: each(|_| same()),
        bottom_up: each(|_| vec![]),
        top: each(|m| expert(m, 2.0 * widen, shift)),
        top_down: vec![same()],
        prior: vec![step()],
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
    (config, SLOPE * SLOPE + STEP)
}

/// `ln p(x_S)` of a row, the shared value of variance `t` having equal chances to be around each
/// location: by the matrix determinant lemma and Sherman and Morrison.
fn log_density(row: &[f32; 4], observed: Option<Subset>, t: f64, locations: &[f64]) -> f64 {
    let Some(observed) = observed else { return 0.0 };
    let places: Vec<usize> = observed.iter().flat_map(|m| [2 * m, 2 * m + 1]).collect();
    let s2 = DEVIATION * DEVIATION;
    let around = |location: f64| {
        let (mut xx, mut xw, mut ww) = (0.0, 0.0, 0.0);
        for &i in &places {
            let w = f64::from(WEIGHTS[i / 2][i % 2]);
            let x = f64::from(row[i]) - w * location;
            (xx, xw, ww) = (xx + x * x / s2, xw + x * w / s2, ww + w * w / s2);
        }
        let log_det = places.len() as f64 * (2.0 * std::f64::consts::PI * s2).ln();
        -0.5 * (log_det + (1.0 + t * ww).ln() + xx - t * xw * xw / (1.0 + t * ww))
    };
    let sum: f64 = locations.iter().map(|&location| around(location).exp()).sum();
    (sum / locations.len() as f64).ln()
}

/// Checks the estimates of the rows of `DATA`, the shared value having this variance.
fn check(
    config: &ModelConfig,
    variance: f64,
    presence: &[Subset; 3],
    given: Given,
    targets: Subset,
) {
    check_density(config, presence, given, targets, |row, set, observed, locations| {
        log_density(row, set.intersection(observed), variance, locations)
    });
}

/// The same under any log-density of a row in a set of modalities, where the row observes some.
fn check_density(
    config: &ModelConfig,
    presence: &[Subset; 3],
    given: Given,
    targets: Subset,
    log_density: impl Fn(&[f32; 4], Subset, Subset, &[f64]) -> f64,
) {
    let device = Device::flex();
    let specs: Vec<_> = (0..2)
        .map(|m| {
            let spec = ModalitySpec::new(name(m).as_str(), &[2]).expect("valid");
            spec.with_likelihood(Likelihood::normal(DEVIATION))
        })
        .collect();
    let config = config.clone().with_modalities(&specs).expect("the data suits");
    let model = init_parameters(config.init(&networks(), &device).expect("a model"))
        .map(&mut Known::default());
    let column = |m: usize| {
        let values: Vec<f32> = DATA.iter().flat_map(|row| row[2 * m..2 * m + 2].to_vec()).collect();
        Values::Dense(Tensor::from_data(TensorData::new(values, [3, 2]), &device))
    };
    let presence = Presence::new(presence.to_vec(), 2, &device);
    let rows = presence.rows().to_vec();
    let batch = Batch::new(vec![column(0), column(1)], presence).expect("one size");
    let locations = locations(&model);
    let expected = |row: &[f32; 4], observed: Subset| {
        let density = |set: Subset| log_density(row, set, observed, &locations);
        match given {
            Given::Nothing => density(targets),
            Given::Values(given) | Given::Posterior(given) => {
                density(targets.union(given)) - density(given)
            }
        }
    };
    for samples in [10, 100, 1000] {
        let query = LikelihoodQuery { given, targets, budget: Budget { samples, max_rows: 1500 } };
        let estimate =
            model.density().expect("a VAE").log_likelihood(&batch, &query, &mut Noise::seeded(3));
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
fn every_model_of_the_list_that_has_a_density_has_a_closed_form_here() {
    let listed = models(1.0, 0.0).into_iter().map(|(config, _)| config);
    let mut names: Vec<_> = listed
        .chain([codes(1.0, 0.0), conditional(false), mixtures(1.0, 0.0)])
        .map(|config| config.name().to_owned())
        .collect();
    names.sort_unstable();
    names.dedup();
    let specs = contract::flat();
    let has_density =
        |name: &&&str| contract::model(&contract::config(name, &specs)).density().is_ok();
    let mut expected: Vec<&str> = ModelConfig::NAMES.iter().filter(has_density).copied().collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn joint_likelihoods_equal_the_closed_form_for_complete_and_masked_rows() {
    for (config, variance) in &models(1.6, 0.2) {
        let presence = [both(), Subset::single(0), Subset::single(1)];
        check(config, *variance, &presence, Given::Nothing, both());
    }
}

#[test]
fn conditional_likelihoods_equal_the_closed_form_for_complete_and_masked_rows() {
    let given = Given::Values(Subset::single(0));
    for (config, variance) in &models(1.6, 0.2) {
        let presence = [both(), both(), Subset::single(1)];
        check(config, *variance, &presence, given, Subset::single(1));
    }
}

#[test]
fn the_likelihood_under_a_posterior_is_the_conditional_one_where_the_posterior_is_exact() {
    // MVAE's product with the prior is the exact posterior.
    let (config, variance) = &models(1.0, 0.0)[0];
    let given = Given::Posterior(Subset::single(0));
    check(config, *variance, &[both(); 3], given, Subset::single(1));
}

/// A model of two levels: `z ~ N(0, 1)`, codes `c_m ~ N(z, 1)`, `x_m ~ N(w_m c_m, s² I)`.
fn codes(widen: f64, shift: f64) -> ModelConfig {
    let each = |config: NetworkConfig| -> BTreeMap<ModalityName, NetworkConfig> {
        (0..2).map(|m| (name(m), config.clone())).collect()
    };
    let config = NexusConfig {
        latent: 1,
        message: 1,
        private: (0..2).map(|m| (name(m), 1)).collect(),
        top_encoders: each(same()),
        top_encoder: Some(step()),
        top_decoders: each(same()),
        modalities: modalities(widen, shift),
        ..NexusConfig::default()
    };
    config.into()
}

/// `ln p(x_S)` of a row under [`codes`], by the Cholesky factor of its covariance.
fn log_density_of_codes(row: &[f32; 4], observed: Option<Subset>) -> f64 {
    let Some(observed) = observed else { return 0.0 };
    let places: Vec<usize> = observed.iter().flat_map(|m| [2 * m, 2 * m + 1]).collect();
    let covariance = |i: usize, j: usize| {
        let weight = |i: usize| f64::from(WEIGHTS[i / 2][i % 2]);
        let of_codes = if i / 2 == j / 2 { 2.0 } else { 1.0 };
        let of_noise = if i == j { DEVIATION * DEVIATION } else { 0.0 };
        weight(i) * weight(j) * of_codes + of_noise
    };
    let values: Vec<f64> = places.iter().map(|&i| f64::from(row[i])).collect();
    log_normal(&values, |i, j| covariance(places[i], places[j]))
}

/// The log-density of values around 0, by the Cholesky factor of their covariance.
fn log_normal(values: &[f64], covariance: impl Fn(usize, usize) -> f64) -> f64 {
    let n = values.len();
    // The factor, row by row, and the whitened values.
    let (mut factor, mut white) = (vec![vec![0.0; n]; n], vec![0.0; n]);
    let mut log_density = -0.5 * n as f64 * std::f64::consts::TAU.ln();
    for i in 0..n {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| factor[i][k] * factor[j][k]).sum();
            let rest = covariance(i, j) - known;
            factor[i][j] = if i == j { rest.sqrt() } else { rest / factor[j][j] };
        }
        let known: f64 = (0..i).map(|k| factor[i][k] * white[k]).sum();
        white[i] = (values[i] - known) / factor[i][i];
        log_density -= 0.5 * white[i] * white[i] + factor[i][i].ln();
    }
    log_density
}

#[test]
fn likelihoods_of_codes_below_a_shared_space_equal_the_closed_form() {
    let (config, second) = (codes(1.6, 0.2), Subset::single(1));
    let presence = [both(), Subset::single(0), second];
    let density = |row: &[f32; 4], set: Subset, observed: Subset, _: &[f64]| {
        log_density_of_codes(row, set.intersection(observed))
    };
    check_density(&config, &presence, Given::Nothing, both(), density);
    let given = Given::Values(Subset::single(0));
    check_density(&config, &[both(), both(), second], given, second, density);
}

/// `u` and the private codes from mixtures, `x_m ~ N(w_m u + PRIVATE c_m, ..)`.
fn mixtures(widen: f64, shift: f64) -> ModelConfig {
    let config = MvpConfig {
        latent: 1,
        private: 2,
        features: 1,
        components: PRIOR.0.len(),
        pseudo_features: PSEUDO.0.len(),
        family: Family::Normal,
        modalities: private_modalities(widen, shift),
        ..MvpConfig::default()
    };
    config.into()
}

/// `ln p(x_S)` of a row under [`mixtures`]: the sum over all choices of components.
fn log_density_of_mixtures(row: &[f32; 4], observed: Option<Subset>) -> f64 {
    let Some(observed) = observed else { return 0.0 };
    let places: Vec<usize> = observed.iter().flat_map(|m| [2 * m, 2 * m + 1]).collect();
    let weight = |i: usize| f64::from(WEIGHTS[i / 2][i % 2]);
    let line = |map: [f32; 2], x: f32| f64::from(map[0]) * f64::from(x) + f64::from(map[1]);
    let mut densities = Vec::new();
    for location in PRIOR.0 {
        for first in PSEUDO.0 {
            for second in PSEUDO.0 {
                let code = |i: usize| if i < 2 { first } else { second };
                let rest = |&i: &usize| {
                    let mean = weight(i) * f64::from(location) + PRIVATE * line(PSEUDO.1, code(i));
                    f64::from(row[i]) - mean
                };
                let values: Vec<f64> = places.iter().map(rest).collect();
                let covariance = |i: usize, j: usize| {
                    let (i, j) = (places[i], places[j]);
                    let own = PRIVATE * PRIVATE * (line(PSEUDO.2, code(i)).exp() - 1.0);
                    let of_noise = if i == j { DEVIATION * DEVIATION + own } else { 0.0 };
                    weight(i) * weight(j) * f64::from(PRIOR.1).exp() + of_noise
                };
                densities.push(log_normal(&values, covariance).exp());
            }
        }
    }
    (densities.iter().sum::<f64>() / densities.len() as f64).ln()
}

#[test]
fn likelihoods_under_mixtures_as_priors_equal_the_closed_form() {
    let (config, second) = (mixtures(1.6, 0.2), Subset::single(1));
    let presence = [both(), Subset::single(0), second];
    let density = |row: &[f32; 4], set: Subset, observed: Subset, _: &[f64]| {
        log_density_of_mixtures(row, set.intersection(observed))
    };
    check_density(&config, &presence, Given::Nothing, both(), density);
    let given = Given::Values(Subset::single(0));
    check_density(&config, &[both(), both(), second], given, second, density);
}

/// `x_1 ~ N(w_1 z + PRIVATE x_0, s² I)` given `x_0`, with `z` standard normal, or
/// `z ~ N(SLOPE x_00, STEP)` where the prior is that of a network.
fn conditional(learned: bool) -> ModelConfig {
    let mut modalities = modalities(1.6, 0.2);
    modalities[0].decoder = None;
    let first = NetworkConfig::Custom { name: "first".into(), settings: json!(null) };
    let prior = JointEncoderConfig { inputs: [(name(0), first)].into(), encoder: Some(step()) };
    CvaeConfig {
        latent: 1,
        joint_encoder: joint(1.6, 0.2),
        prior_network: learned.then_some(prior),
        modalities,
        ..CvaeConfig::default()
    }
    .into()
}

#[test]
fn likelihoods_given_conditions_equal_the_closed_form() {
    for learned in [false, true] {
        let density = |row: &[f32; 4], set: Subset, observed: Subset, _: &[f64]| {
            // Only the second modality has a density. Conditions that a row lacks are 0.
            let second = set.intersection(observed).and_then(|s| s.intersection(Subset::single(1)));
            let conditions = if observed.contains(0) { [row[0], row[1]] } else { [0.0; 2] };
            let mean = if learned { SLOPE as f32 * conditions[0] } else { 0.0 };
            let mut rest = *row;
            for i in 0..2 {
                rest[2 + i] -= PRIVATE as f32 * conditions[i] + WEIGHTS[1][i] * mean;
            }
            log_density(&rest, second, if learned { STEP } else { 1.0 }, &[0.0])
        };
        let config = conditional(learned);
        let (first, second) = (Subset::single(0), Subset::single(1));
        for (given, targets) in [
            (Given::Nothing, both()),
            (Given::Nothing, first),
            (Given::Nothing, second),
            (Given::Values(first), second),
            (Given::Posterior(first), second),
        ] {
            check_density(&config, &[both(), first, second], given, targets, density);
        }
    }
}
