//! Every model of the list begins at the means of its counts.

use std::collections::BTreeSet;

use burn::tensor::{Device, Tensor};
use multivae_core::{
    batch::{Batch, Presence, Values},
    dataset::{Dataset, DatasetError},
    distribution::{ColumnRun, Likelihood, Mixed, Scale},
    modality::ModalitySpec,
    model::{Generate, MultimodalModel},
    module::init_parameters,
    nn::Networks,
    noise::Noise,
    start::at_means,
    subset::Subset,
};
use multivae_models::ModelConfig;
use serde_json::json;

use crate::contract::config;

/// Counts of three genes, a table of a number and a count, and numbers.
struct Counts(Vec<ModalitySpec>);

impl Counts {
    fn new() -> Self {
        let spec = |name: &str, features: usize, likelihood| {
            ModalitySpec::new(name, &[features]).expect("valid").with_likelihood(likelihood)
        };
        let genes = json!({ "kind": "negative_binomial", "dispersion": "decoded" });
        let table = Mixed::new(vec![
            ColumnRun::new(1, Likelihood::normal(Scale::Decoded)),
            ColumnRun::new(1, Likelihood::Poisson {}),
        ]);
        Self(vec![
            spec("genes", 3, serde_json::from_value(genes).expect("valid")),
            spec("table", 2, table.into()),
            spec("blood", 2, Likelihood::normal(1.0)),
        ])
    }
}

impl Dataset for Counts {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.0
    }

    fn len(&self) -> usize {
        5000
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
        let values = |of: &dyn Fn(usize) -> Vec<f32>| {
            let all: Vec<f32> = rows.iter().flat_map(|&row| of(row)).collect();
            let values = Tensor::<1>::from_floats(all.as_slice(), device);
            Values::Dense(values.reshape([rows.len() as i32, -1]))
        };
        // Means of 0, 40 and 600000 where they are observed, and of 6.
        let genes = |row: usize| match self.presence(row).contains(0) {
            true => vec![0.0, 30.0 + 20.0 * (row / 2 % 2) as f32, 600_000.0],
            false => vec![f32::NAN; 3],
        };
        let values = vec![
            values(&genes),
            values(&|row| vec![-50.0, 5.0 + 2.0 * (row % 2) as f32]),
            values(&|_| vec![1.0, 2.0]),
        ];
        let presence = rows.iter().map(|&row| self.presence(row)).collect();
        Ok(Batch::new(values, Presence::new(presence, 3, device))?)
    }

    fn presence(&self, row: usize) -> Subset {
        // Every other row lacks the genes.
        if row.is_multiple_of(2) {
            Subset::full(3)
        } else {
            Subset::single(1).union(Subset::single(2))
        }
    }
}

#[test]
fn decoders_of_counts_begin_at_the_means_of_what_is_observed() {
    let (data, device) = (Counts::new(), Device::flex());
    // Of 4096 rows of 5000 half observe the genes.
    let half = (0..4096).filter(|i| (i * 5000 / 4096) % 2 == 0).count() as f32;
    let mut seen = BTreeSet::new();
    for &name in ModelConfig::NAMES {
        let config = config(name, data.modalities());
        let before = init_parameters(config.init(&Networks::default(), &device).expect("a model"));
        let after = at_means(before.clone(), &data, &device).expect("rows in memory");
        let (Ok(old), Ok(new)) = (before.generator(), after.generator()) else { continue };
        let decoded = |generator: &dyn Generate, m: usize| -> Vec<f32> {
            let latent = generator.prior(1, &device, &mut Noise::seeded(3));
            let output = generator.decode(&latent, Subset::single(m)).remove(0);
            output.into_data().try_into_vec().expect("floats")
        };
        for m in new.generated().iter().filter(|&m| new.decoder(m).is_some()) {
            let expected = match m {
                0 => vec![(0.5 / half).ln(), 40.0_f32.ln(), 600_000.0_f32.ln(), 0.0, 0.0, 0.0],
                1 => vec![0.0, 0.0, 6.0_f32.ln()],
                _ => vec![0.0; 2],
            };
            let [old, new] = [decoded(old, m), decoded(new, m)];
            for ((old, new), expected) in old.iter().zip(&new).zip(&expected) {
                assert!((new - old - expected).abs() < 0.02, "{name}, {m}: {old} {new} {expected}");
            }
            seen.insert(name);
        }
    }
    // Others have no decoder, or one of another kind.
    assert!(seen.len() > ModelConfig::NAMES.len() / 2, "{seen:?}");
}
