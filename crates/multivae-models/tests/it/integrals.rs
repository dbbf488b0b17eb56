//! Densities of what is joined integrate to one, in one and in two dimensions.
//!
//! Every rule by which experts are joined, the mixtures over them, and every prior that is a mixture:
//! the sum of the density over a lattice, for a row that observes all experts, rows that lack some, and
//! a row without any.

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{Device, Tensor, TensorData},
};
use multivae_core::{
    distribution::{Family, LocationScale, Normal},
    fusion::{self, Experts, Product},
    mixture::Mixture,
    modality::ModalitySpec,
    module::init_parameters,
    nn::{FlowConfig, Networks},
    subset::{Subset, Subsets},
};
use multivae_models::{
    Model, ModelConfig,
    blocks::{
        experts::SharedPrior,
        pooling::{barycentre, correlated, hellinger},
        powers::{ExpertPowers, Powers},
    },
};
use serde_json::json;

const MODALITIES: usize = 3;
/// Half the side of the lattice, and the distance of its points.
const REACH: f32 = 14.0;
const STEP: [f32; 2] = [0.02, 0.1];

fn rows() -> Vec<Subset> {
    let set = |members: &[usize]| Subset::new(members.iter().copied()).expect("not empty");
    vec![set(&[0, 1, 2]), set(&[0, 2]), set(&[1])]
}

/// Values from a formula, between -1 and 1.
fn numbers(count: usize, phase: f32) -> Vec<f32> {
    (0..count).map(|i| (1.7 * i as f32 + phase).sin()).collect()
}

/// Experts of unequal means and widths, of which rows lack some.
fn experts(latent: usize) -> Experts {
    let (device, batch) = (Device::flex(), rows().len());
    let shape = [MODALITIES, batch, latent];
    let count = MODALITIES * batch * latent;
    let tensor =
        |phase: f32| Tensor::<3>::from_data(TensorData::new(numbers(count, phase), shape), &device);
    let presence: Vec<f32> = (0..MODALITIES)
        .flat_map(|m| rows().into_iter().map(move |row| f32::from(u8::from(row.contains(m)))))
        .collect();
    let presence = Tensor::from_data(TensorData::new(presence, [MODALITIES, batch]), &device);
    Experts::new(tensor(0.3) * 1.5, tensor(1.1) * 0.8, presence)
}

/// All points of a lattice for each of so many rows, `[points, rows, latent]`, and the volume of a cell.
fn lattice(latent: usize, rows: usize) -> (Tensor<3>, f64) {
    let step = STEP[latent - 1];
    let half = (REACH / step) as i32;
    let axis: Vec<f32> = (-half..=half).map(|i| i as f32 * step).collect();
    let points: Vec<f32> = match latent {
        1 => axis,
        _ => axis.iter().flat_map(|&x| axis.iter().flat_map(move |&y| [x, y])).collect(),
    };
    let count = points.len() / latent;
    let points = TensorData::new(points, [count, 1, latent]);
    let points = Tensor::<3>::from_data(points, &Device::flex());
    (points.expand([count, rows, latent]), f64::from(step).powi(latent as i32))
}

/// Checks a log-density, `[points, rows]` of `[points, rows, latent]`.
fn check(what: &str, latent: usize, rows: usize, log_prob: impl Fn(&Tensor<3>) -> Tensor<2>) {
    let (points, volume) = lattice(latent, rows);
    let sums: Vec<f32> =
        log_prob(&points).exp().sum_dim(0).into_data().try_into_vec().expect("floats");
    assert_eq!(sums.len(), rows, "{what}");
    for (row, sum) in sums.into_iter().enumerate() {
        let integral = f64::from(sum) * volume;
        assert!((integral - 1.0).abs() < 2e-3, "{what}, {latent}-d, row {row}: {integral}");
    }
}

fn standard(latent: usize) -> LocationScale<3> {
    Family::Normal.standard([1, 1, latent], &Device::flex())
}

type Rule = (&'static str, fn(&Experts, &Subsets) -> Normal<3>);

/// Every rule that makes one normal distribution of the experts of each subset.
const RULES: &[Rule] = &[
    ("product", |experts, subsets| Product::without_prior().of(experts, subsets)),
    ("product with the prior", |experts, subsets| Product::with_prior().of(experts, subsets)),
    ("product with the prior in the full set", |experts, subsets| {
        Product::prior_on_full_set().of(experts, subsets)
    }),
    ("mean", |experts, subsets| fusion::mean(experts, subsets, false)),
    ("mean with the prior", |experts, subsets| fusion::mean(experts, subsets, true)),
    ("geometric mean with the prior", |experts, subsets| {
        fusion::geometric_mean(experts, subsets, 0.3)
    }),
    ("barycentre", barycentre),
    ("hellinger", hellinger),
    ("correlated", |experts, subsets| correlated(experts, subsets, 0.6)),
];

#[test]
fn what_a_rule_makes_of_the_experts_of_a_set_integrates_to_one() {
    for latent in [1, 2] {
        let experts = experts(latent);
        let subsets = Subsets::all(MODALITIES);
        for (name, rule) in RULES {
            let joined = rule(&experts, &subsets);
            for (place, subset) in subsets.iter().enumerate() {
                let one = joined.clone().map(|x| x.narrow(0, place, 1));
                let what = format!("{name} of {subset}");
                check(&what, latent, rows().len(), |z| {
                    let [points, ..] = z.dims();
                    let shape = [points, rows().len(), latent];
                    one.clone().map(|x| x.expand(shape)).log_prob(z.clone())
                });
            }
        }
    }
}

#[test]
fn mixtures_over_sets_integrate_to_one_under_every_rule() {
    for latent in [1, 2] {
        let experts = experts(latent);
        let subsets = Subsets::all(MODALITIES);
        for (name, rule) in RULES {
            // A row uses the sets that it observes completely; the last row, by way of exception, none.
            let mut usable: Vec<Vec<usize>> = rows()
                .iter()
                .map(|row| {
                    let within = |s: &Subset| s.iter().all(|m| row.contains(m));
                    (0..subsets.len())
                        .filter(|&i| within(&subsets.iter().nth(i).expect("a set")))
                        .collect()
                })
                .collect();
            usable.last_mut().expect("rows").clear();
            let joined = rule(&experts, &subsets);
            let mixture = Mixture::new(joined.into(), usable, &standard(latent));
            check(&format!("mixture of {name}"), latent, rows().len(), |z| mixture.log_prob(z));
        }
    }
}

#[test]
fn products_with_learned_powers_integrate_to_one() {
    let specs: Vec<ModalitySpec> =
        ["a", "b", "c"].map(|name| ModalitySpec::new(name, &[1]).expect("valid")).to_vec();
    for latent in [1, 2] {
        let experts = experts(latent);
        for rule in [Powers::Normalised, Powers::Free] {
            let powers = ExpertPowers::init(&specs, latent, rule, &Device::flex());
            let powers = powers.map(&mut Scattered(0));
            let product = powers.product(&experts, Subset::full(MODALITIES));
            check(&format!("{rule:?} powers"), latent, rows().len(), |z| {
                product.clone().map(|x| x.expand(z.dims())).log_prob(z.clone())
            });
        }
    }
}

#[test]
fn mixtures_of_experts_of_every_family_integrate_to_one() {
    for latent in [1, 2] {
        let experts = experts(latent);
        for family in [Family::Normal, Family::NormalSoftplus, Family::LaplaceSoftmax] {
            let components = family.with_raw_scale(experts.mean.clone(), experts.log_var.clone());
            let prior = family.standard([1, 1, latent], &Device::flex());
            let mut observed = rows();
            // A set of which the last row has none.
            *observed.last_mut().expect("rows") = Subset::single(MODALITIES);
            let all = Subset::full(MODALITIES);
            let mixture = Mixture::of_experts(components, &observed, all, &prior);
            check(&format!("{family:?} experts"), latent, rows().len(), |z| mixture.log_prob(z));
        }
    }
}

#[test]
fn mixtures_through_flows_integrate_to_one() {
    for latent in [1, 2] {
        let experts = experts(latent);
        let flow = |_| {
            let net = FlowConfig::default().init("flow", latent, &Device::flex()).expect("a flow");
            Some(init_parameters(net).map(&mut Scattered(3)).valid())
        };
        let components = Normal::new(experts.mean, experts.log_var).into();
        let all = Subset::full(MODALITIES);
        let mixture = Mixture::of_experts(components, &rows(), all, &standard(latent));
        let mixture = mixture.through((0..MODALITIES).map(flow).collect());
        check("flows", latent, rows().len(), |z| mixture.log_prob(z));
    }
}

/// Gives parameters values from a formula, so that no component is like another.
struct Scattered(u32);

impl ModuleMapper for Scattered {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.0 += 1;
        let shape = param.val().dims();
        let values = numbers(shape.iter().product(), self.0 as f32);
        let values: Vec<f32> = values.into_iter().map(|x| 0.4 * x).collect();
        param.map(|old| Tensor::from_data(TensorData::new(values, shape), &old.device()))
    }
}

fn model(name: &str, options: &serde_json::Value) -> Model {
    let specs = ["a", "b"].map(|name| ModalitySpec::new(name, &[3]).expect("valid"));
    let mut value = json!({ "name": name });
    for (key, option) in options.as_object().expect("options by name") {
        value[key] = option.clone();
    }
    let config: ModelConfig = serde_json::from_value(value).expect("options of the model");
    let config = config.with_modalities(&specs).expect("the data suits");
    let model = config.init(&Networks::default(), &Device::flex()).expect("a model");
    init_parameters(model).map(&mut Scattered(0))
}

#[test]
fn learned_priors_integrate_to_one() {
    for latent in [1, 2] {
        for family in ["normal", "normal_softplus", "laplace_softmax"] {
            let options = json!({
                "latent": latent, "private": latent, "family": family, "features": 3, "components": 4,
                "pseudo_features": 3,
            });
            let Model::Mvp(mvp) = model("mvp", &options) else { panic!("another model") };
            check(&format!("MVP, {family}"), latent, 1, |z| mvp.shared_prior().log_prob(z));
            for m in 0..2 {
                let what = format!("private code {m} of MVP, {family}");
                check(&what, latent, 1, |w| mvp.private_prior(m).log_prob(w));
            }
            let options =
                json!({ "latent": latent, "private": 1, "family": family, "clusters": 4 });
            let Model::Cmvae(cmvae) = model("cmvae", &options) else { panic!("another model") };
            check(&format!("CMVAE, {family}"), latent, 1, |z| SharedPrior::log_prob(&cmvae, z));
            let options = json!({
                "latent": latent, "private": 1, "family": family, "learned_prior": true,
                "learned_location": true,
            });
            let Model::MmvaePlus(plus) = model("mmvae_plus", &options) else {
                panic!("another model")
            };
            check(&format!("MMVAE+, {family}"), latent, 1, |z| SharedPrior::log_prob(&plus, z));
        }
    }
}
