//! What models with a joint encoder do where it cannot serve.

use burn::tensor::Tensor;
use multivae_core::{
    batch::{Batch, Presence, Values},
    model::{Draws, MultimodalModel},
    noise::Noise,
    subset::{Subset, Subsets},
};
use multivae_models::Model;

use crate::contract::{ROWS, complete, config, flat, floats, model};

const JOINT: &[&str] = &["jmvae", "telbo", "jnf"];

/// The mean code of a row.
fn code(model: &Model, batch: &Batch, given: Subset, row: usize) -> Vec<f32> {
    let latent =
        model.density().expect("a VAE").encode(batch, given, Draws::Mean, &mut Noise::zero());
    floats(latent.z().narrow(1, row, 1))
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
}

#[test]
fn a_row_that_lacks_some_of_what_is_given_is_encoded_from_the_rest() {
    let specs = flat();
    for name in JOINT {
        let (model, batch) = (model(&config(name, &specs)), complete(&specs));
        let sets: Vec<Subset> = Subsets::all(specs.len()).iter().collect();
        // One row observes all, the others this and that.
        let rows: Vec<Subset> = (0..ROWS).map(|row| sets[sets.len() - 1 - row]).collect();
        let presence = Presence::new(rows.clone(), specs.len(), &batch.device());
        let lacking = batch.clone().with_presence(presence).expect("as many rows");
        for (row, &observed) in rows.iter().enumerate() {
            let rest = code(&model, &batch, observed, row);
            let all = code(&model, &lacking, Subset::full(specs.len()), row);
            assert!(close(&rest, &all), "{name}, {observed}: {rest:?} {all:?}");
        }
    }
}

#[test]
fn the_joint_encoder_serves_all_modalities_only() {
    let specs = flat();
    for name in JOINT {
        let model = model(&config(name, &specs));
        let batch = complete(&specs);
        let changed = |m: usize| {
            let x = batch.values()[m].dense().expect("dense").clone();
            let other = Values::Dense(Tensor::ones_like(&x) - x);
            batch.clone().with_values(m, other).expect("as many rows")
        };
        for subset in Subsets::all(specs.len()).iter() {
            let before = code(&model, &batch, subset, 0);
            for m in 0..specs.len() {
                let after = code(&model, &changed(m), subset, 0);
                assert_eq!(before != after, subset.contains(m), "{name}: {subset} and {m}");
            }
        }
    }
}

#[test]
fn the_unimodal_divergence_of_telbo_is_that_of_the_unimodal_posterior() {
    let specs = flat();
    let (model, batch) = (model(&config("telbo", &specs)), complete(&specs));
    let loss = model.learner().loss(&batch, &mut Noise::seeded(1));
    for (m, spec) in specs.iter().enumerate() {
        let name = format!("unimodal_kl/{}", spec.name);
        let (_, found) = loss.terms.iter().find(|(n, _)| *n == name).expect("a term");
        let bound =
            model.density().expect("a VAE").bound(&batch, Subset::single(m), &mut Noise::zero());
        let expected = bound.divergences[0].1.clone().mean();
        assert!(close(&floats(found.clone()), &floats(expected)), "{name}");
    }
}
