//! Mixtures over sets of modalities whose sets are drawn: the objective of all of them on average, at the
//! cost of those that are drawn.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    batch::{Batch, Presence, Values},
    modality::ModalitySpec,
    model::{Draws, Given, LikelihoodQuery, Loss, MultimodalModel},
    nn::Networks,
    noise::Noise,
    objective::Budget,
    subset::Subset,
};
use multivae_models::{Model, ModelConfig};
use serde_json::{Value, json};

use crate::contract;

/// The models that are a mixture over all sets.
const MIXTURES: &[&str] = &["mopoe", "mwb_vae", "mohelvae"];

fn specs(count: usize) -> Vec<ModalitySpec> {
    (0..count).map(|m| ModalitySpec::new(&format!("m{m}"), &[2]).expect("valid")).collect()
}

fn model(name: &str, modalities: usize, subsets: &Value) -> Model {
    let network = |kind: &str| json!({ "kind": kind, "hidden": [4] });
    let modality = |spec: &ModalitySpec| json!({ "name": spec.name.as_str(), "encoder": network("mlp"), "decoder": network("mlp") });
    let specs = specs(modalities);
    let config: ModelConfig = serde_json::from_value(json!({
        "name": name, "latent": 2, "subsets": subsets,
        "modalities": specs.iter().map(modality).collect::<Vec<_>>(),
    }))
    .expect("options of the model");
    contract::model(&config.with_modalities(&specs).expect("the data suits"))
}

/// Rows of which every second lacks every second modality.
fn batch(modalities: usize, rows: usize) -> Batch {
    let device = Device::flex().autodiff();
    let mut noise = Noise::seeded(7);
    let values = (0..modalities).map(|_| noise.normal([rows, 2], 0, &device));
    let values: Vec<Values> = values.map(Values::Dense).collect();
    let observed = |row: usize| {
        Subset::new((0..modalities).filter(|m| row.is_multiple_of(2) || m.is_multiple_of(2)))
    };
    let observed = (0..rows).map(|row| observed(row).expect("not empty")).collect();
    Batch::new(values, Presence::new(observed, modalities, &device)).expect("one size")
}

fn term(loss: &Loss, name: &str) -> f64 {
    let (_, value) = loss.terms.iter().find(|(n, _)| n == name).expect("a term");
    f64::from(value.clone().into_scalar::<f32>())
}

#[test]
fn the_divergence_of_drawn_sets_is_that_of_all_on_average() {
    let batch = batch(4, 6);
    for name in MIXTURES {
        let all = model(name, 4, &json!([]));
        let exact = term(&all.learner().loss(&batch, &mut Noise::seeded(0)), "kl");
        let drawn = model(name, 4, &json!({ "sampled": 3 }));
        let drawn = drawn.load_record(all.into_record());
        let found: Vec<f64> = (0..600)
            .map(|seed| term(&drawn.learner().loss(&batch, &mut Noise::seeded(seed)), "kl"))
            .collect();
        let n = found.len() as f64;
        let mean = found.iter().sum::<f64>() / n;
        let variance = found.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        assert!(variance > 0.0, "{name}: nothing is drawn");
        let error = (variance / n).sqrt();
        assert!((mean - exact).abs() < 4.0 * error, "{name}: {mean} ± {error}, exactly {exact}");
    }
}

#[test]
fn the_whole_objective_of_drawn_sets_is_that_of_all_on_average() {
    let batch = batch(3, 4);
    let all = model("mopoe", 3, &json!([]));
    let record = all.clone().into_record();
    let drawn = model("mopoe", 3, &json!({ "sampled": 2 })).load_record(record);
    // Samples of latent values too, of which both take one a row.
    let moments = |model: &Model, first: u64| {
        let of = |seed: u64| {
            let loss = model.learner().loss(&batch, &mut Noise::seeded(first + seed));
            f64::from(loss.total.into_scalar::<f32>())
        };
        let found: Vec<f64> = (0..600).map(of).collect();
        let n = found.len() as f64;
        let mean = found.iter().sum::<f64>() / n;
        (mean, found.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0) / n)
    };
    let ((a, of_a), (b, of_b)) = (moments(&all, 0), moments(&drawn, 1000));
    let error = (of_a + of_b).sqrt();
    assert!((a - b).abs() < 4.0 * error, "{a} {b} ± {error}");
}

#[test]
fn twelve_and_twenty_modalities_learn_and_are_evaluated() {
    for name in MIXTURES {
        for modalities in [12, 20] {
            let model = model(name, modalities, &json!({ "sampled": 3 }));
            let batch = batch(modalities, 4);
            let noise = &mut Noise::seeded(1);
            let (loss, gradients) = model.learner().step(&batch, noise).into_gradients(&model);
            assert!(loss.total.into_scalar::<f32>().is_finite() && !gradients.is_empty(), "{name}");
            let vae = model.density().expect("a VAE");
            let all = Subset::full(modalities);
            let z: Tensor<3> = vae.encode(&batch, all, Draws::Mean, noise).z();
            assert_eq!(z.dims(), [1, 4, 2], "{name}");
            let budget = Budget { samples: 30, max_rows: 1000 };
            let query = LikelihoodQuery { targets: all, given: Given::Nothing, budget };
            let estimate = vae.log_likelihood(&batch, &query, noise).log_likelihood;
            assert!(contract::floats(estimate).iter().all(|x| x.is_finite()), "{name}");
        }
    }
}

#[test]
fn all_sets_of_too_many_modalities_are_refused_with_the_way_out() {
    let specs = specs(12);
    for name in MIXTURES {
        let config = ModelConfig::named(name).expect("a model of the list");
        let error = config
            .with_modalities(&specs)
            .and_then(|c| c.init(&Networks::default(), &Device::flex()));
        let error = error.expect_err("4095 sets").to_string();
        assert!(error.contains("sampled"), "{name}: {error}");
    }
}
