//! Laws of the importance-weighted mixtures of experts, on which the reference fails.

use burn::{
    module::Module,
    store::ModuleRecord,
    tensor::{Device, Tensor, TensorData},
};
use multivae_core::{
    batch::{Batch, Presence, Values},
    modality::ModalitySpec,
    model::{Draws, MultimodalModel},
    noise::Noise,
    subset::Subset,
};
use multivae_models::{Model, ModelConfig, cmvae::Cmvae};
use serde_json::json;

use crate::contract;

const ROWS: usize = 40;

fn specs() -> Vec<ModalitySpec> {
    ["a", "b"].map(|name| ModalitySpec::new(name, &[3]).expect("valid")).to_vec()
}

fn model(name: &str, options: &serde_json::Value) -> Model {
    let mut value = json!({ "name": name, "latent": 2, "samples": 5, "family": "normal" });
    for (key, option) in options.as_object().expect("options by name") {
        value[key] = option.clone();
    }
    let config: ModelConfig = serde_json::from_value(value).expect("options of the model");
    contract::model(&config.with_modalities(&specs()).expect("the data suits"))
}

/// Rows in two groups far apart.
fn batch() -> Batch {
    let device = Device::flex().autodiff();
    let value = |i: usize| {
        let side = if (i / 3).is_multiple_of(2) { 3.0 } else { -3.0 };
        side + (0.7 * i as f32).sin()
    };
    let data: Vec<f32> = (0..ROWS * 3).map(value).collect();
    let values = Tensor::<2>::from_data(TensorData::new(data, [ROWS, 3]), &device);
    Batch::complete(vec![values.clone(), values]).expect("one size")
}

fn value(tensor: &Tensor<1>) -> f32 {
    tensor.clone().into_scalar::<f32>()
}

fn cmvae(model: Model) -> Cmvae {
    match model {
        Model::Cmvae(model) => model,
        other => panic!("not CMVAE: {other}"),
    }
}

#[test]
fn beta_weighs_the_divergence() {
    for name in ["mmvae", "mmvae_plus", "cmvae", "mvp"] {
        // The same weights: those of one model.
        let first = model(name, &json!({ "beta": 1.0 }));
        let record = first.clone().into_record();
        let second = model(name, &json!({ "beta": 5.0 })).load_record(record);
        let loss =
            |model: &Model| value(&model.learner().loss(&batch(), &mut Noise::seeded(1)).total);
        assert_ne!(loss(&first), loss(&second), "{name}");
    }
}

#[test]
fn both_estimators_report_the_bound() {
    for name in ["mmvae", "mmvae_plus", "cmvae", "mvp"] {
        let dreg = model(name, &json!({ "estimator": "dreg" }));
        let bound = value(&dreg.learner().loss(&batch(), &mut Noise::seeded(1)).total);
        let (loss, _) = dreg.learner().step(&batch(), &mut Noise::seeded(1)).into_gradients(&dreg);
        assert!((value(&loss.total) - bound).abs() < 1e-4 * bound.abs(), "{name}");
        // A number that is not the mean of weighted log-weights is above their mean.
        let record = dreg.into_record();
        let iwae = model(name, &json!({ "estimator": "iwae" })).load_record(record);
        let (loss, _) = iwae.learner().step(&batch(), &mut Noise::seeded(1)).into_gradients(&iwae);
        assert!((value(&loss.total) - bound).abs() < 1e-4 * bound.abs(), "{name}");
    }
}

#[test]
fn every_row_and_sample_draws_its_own_expert() {
    let model = model("mmvae", &json!({}));
    let batch = batch();
    let mean = |m: usize| {
        let mut noise = Noise::zero();
        model
            .density()
            .expect("a VAE")
            .encode(&batch, Subset::single(m), Draws::Mean, &mut noise)
            .z()
    };
    let (a, b) = (mean(0), mean(1));
    // Without noise around the experts, values are the means of those that were drawn.
    let z = model.density().expect("a VAE").encode(
        &batch,
        Subset::full(2),
        Draws::Samples(8),
        &mut Noise::seeded(1),
    );
    let distance = |to: &Tensor<3>| {
        let squares: Tensor<3> = (z.z() - to.clone()).square().sum_dim(2);
        squares.squeeze_dim::<2>(2)
    };
    let nearer: Vec<f32> =
        distance(&a).lower(distance(&b)).float().into_data().iter::<f32>().collect();
    let of_row = |row: usize| nearer.iter().skip(row).step_by(ROWS).sum::<f32>();
    assert!((0..ROWS).any(|row| of_row(row) > 0.0 && of_row(row) < 8.0), "samples of a row");
    let first: f32 = nearer[..ROWS].iter().sum();
    assert!(first > 0.0 && first < ROWS as f32, "rows of a sample");
}

#[test]
fn samples_of_the_prior_have_a_private_code_for_each_modality() {
    for name in ["mmvae_plus", "cmvae"] {
        let model = model(name, &json!({ "private": 2 }));
        let latent = model.density().expect("a VAE").prior(
            4,
            &Device::flex().autodiff(),
            &mut Noise::seeded(1),
        );
        let code =
            |m: usize| latent.private().nth(m).expect("a private space").1.clone().into_data();
        assert_eq!(latent.z().dims(), [1, 4, 2], "{name}");
        assert_ne!(code(0), code(1), "{name}");
    }
}

#[test]
fn the_prior_of_private_codes_is_the_one_that_is_learned() {
    // Scales of the Laplace family add up over all features of the prior, and not over a part.
    let model = model(
        "mmvae_plus",
        &json!({
            "family": "laplace_softmax", "learned_prior": true, "private": 2,
        }),
    );
    let raw = Tensor::<2>::from_floats([[3.0, 3.0, -3.0, -3.0]], &Device::flex());
    struct Set(Vec<String>, Tensor<2>);
    impl burn::module::ModuleMapper for Set {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn map_float<const D: usize>(
            &mut self,
            param: burn::module::Param<Tensor<D>>,
        ) -> burn::module::Param<Tensor<D>> {
            if self.0.join(".") != "prior.raw" {
                return param;
            }
            let data = self.1.to_data();
            param.map(|old| Tensor::from_data(data, &old.device()))
        }
    }
    let model = model.map(&mut Set(Vec::new(), raw));
    let spread = |z: &Tensor<3>| f64::from(z.clone().abs().mean().into_scalar::<f32>());
    let drawn = model.density().expect("a VAE").prior(
        4000,
        &Device::flex().autodiff(),
        &mut Noise::seeded(1),
    );
    let (shared, private) =
        (spread(&drawn.z()), spread(drawn.private().next().expect("a private space").1));
    // Of four scales that add up to 4, two take nearly all: 2 / (1 + e^-6) each.
    assert!((shared - 1.995).abs() < 0.1 && private < 0.01, "{shared} {private}");
    let given = model.density().expect("a VAE").encode(
        &batch(),
        Subset::single(0),
        Draws::Samples(50),
        &mut Noise::seeded(1),
    );
    assert!(
        spread(given.private().nth(1).expect("a private space").1) < 0.01,
        "the code of what is not given"
    );
}

#[test]
fn pruned_clusters_stay_pruned_and_everything_stays_finite() {
    let options = json!({ "clusters": 4, "private": 1 });
    let (pruned, pruning) = cmvae(model("cmvae", &options)).prune([batch()], &mut Noise::seeded(1));
    let counts: Vec<usize> = pruning.scores.iter().map(|(count, _)| *count).collect();
    assert_eq!(counts, [4, 3, 2, 1]);
    let lowest = pruning.scores.iter().min_by(|a, b| a.1.total_cmp(&b.1)).expect("four scores");
    assert_eq!(pruning.kept.iter().filter(|kept| **kept).count(), lowest.0);
    assert!(pruning.scores.iter().all(|(_, score)| score.is_finite()), "{:?}", pruning.scores);

    // Prune on until one cluster is left, which is what fails in the reference.
    let one = Model::from(only_cluster(pruned, 2));
    let (loss, _) = one.learner().step(&batch(), &mut Noise::seeded(2)).into_gradients(&one);
    assert!(value(&loss.total).is_finite());
    let bytes = one.clone().into_record().into_bytes().expect("a record");
    let record = ModuleRecord::from_bytes(bytes).expect("its own bytes");
    let again = cmvae(model("cmvae", &options).load_record(record));
    let labels = again.predict_clusters(&batch(), &mut Noise::seeded(3)).labels;
    assert_eq!(labels, vec![2; ROWS], "the cluster that was kept, not the first");
    let drawn =
        again.density().expect("a VAE").prior(50, &Device::flex().autodiff(), &mut Noise::zero());
    let location = drawn.z().narrow(1, 0, 1).into_data();
    let last = drawn.z().narrow(1, 49, 1).into_data();
    assert_eq!(location, last, "all samples are around one location");
}

/// Prunes all clusters but one, by data that lies there.
fn only_cluster(model: Cmvae, kept: usize) -> Cmvae {
    struct Keep(Vec<String>, usize);
    impl burn::module::ModuleMapper for Keep {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn map_float<const D: usize>(
            &mut self,
            param: burn::module::Param<Tensor<D>>,
        ) -> burn::module::Param<Tensor<D>> {
            if self.0.join(".") != "cluster_logits" {
                return param;
            }
            let count = param.val().dims()[0];
            let logit = |c| if c == self.1 { 0.0 } else { multivae_models::cmvae::PRUNED };
            let logits: Vec<f32> = (0..count).map(logit).collect();
            let data = TensorData::new(logits, [count]);
            param.map(|old| Tensor::from_data(data, &old.device()).require_grad())
        }
    }
    model.map(&mut Keep(Vec::new(), kept))
}

#[test]
fn a_row_votes_with_what_it_observes() {
    let model = cmvae(model("cmvae", &json!({ "clusters": 3, "private": 1 })));
    let device = Device::flex().autodiff();
    let complete = batch();
    let mut values = complete.values().to_vec();
    values[1] = Values::Dense(Tensor::full([ROWS, 3], f32::NAN, &device));
    let presence = Presence::new(vec![Subset::single(0); ROWS], 2, &device);
    let partial = Batch::new(values, presence).expect("one size");
    let clusters = model.predict_clusters(&partial, &mut Noise::zero());
    let probabilities = clusters.probabilities;
    assert_eq!(probabilities.dims(), [2, 3, ROWS]);
    let first = probabilities.clone().narrow(0, 0, 1).reshape([3, ROWS]);
    let expected: Vec<usize> =
        first.argmax(0).into_data().iter::<i64>().map(|label| label as usize).collect();
    assert_eq!(clusters.labels, expected);
    assert_eq!(probabilities.narrow(0, 1, 1).sum().into_scalar::<f32>(), 0.0);
}
