//! MHVAE: all levels of a subset, then the next subset; losses are sums over rows.

use std::collections::BTreeMap;

use multivae_core::{
    batch::Batch,
    modality::ModalitySpec,
    model::Loss,
    noise::{Draw, Noise},
    objective::Warmup,
    subset::Subsets,
};
use multivae_models::{ModalityConfig, Model, ModelConfig, mhvae::MhvaeConfig};
use serde_json::Value;

use crate::parity::{
    Case, Problem,
    calls::scalar,
    case::{Call, RecordedDraw},
    model::{Recorded, given, latent, number, rescale},
    network::{self, Layout},
};

pub(super) struct Adapter;

impl super::Adapter for Adapter {
    fn config(
        &self,
        case: &Case,
        specs: &[ModalitySpec],
    ) -> Result<(ModelConfig, Layout), Problem> {
        let (given, arch) = (given(case), &case.description.arch);
        let (blocks, layout) = network::hierarchy(arch, specs)?;
        let modality = |spec: &ModalitySpec| ModalityConfig {
            shape: spec.shape.clone(),
            likelihood: Some(spec.likelihood.clone()),
            ..ModalityConfig::new(spec.name.clone())
        };
        let config = MhvaeConfig {
            latent: latent(given)?,
            levels: number(given, "n_latent", 3.0) as usize,
            beta: number(given, "beta", 1.0),
            shared_posterior: arch.get("posterior_blocks").is_some_and(Value::is_array),
            warmup: Warmup { epochs: 0 },
            free_bits: 0.0,
            rescale: rescale(given, specs)?,
            memory_mb: None,
            blocks: Some(blocks),
            modalities: specs.iter().map(modality).collect(),
            ..MhvaeConfig::default()
        };
        Ok((config.into(), layout))
    }

    fn reduction(&self, batch: &Batch) -> f64 {
        batch.rows() as f64
    }

    fn scalars(
        &self,
        recorded: &Recorded<'_>,
        batch: &Batch,
        loss: &Loss,
        draws: Vec<Draw>,
    ) -> Result<BTreeMap<String, f64>, Problem> {
        let Model::Mhvae(model) = &recorded.model else { unreachable!("built from its config") };
        let mut found = super::sums(loss, batch);
        let bounds = model.subset_bounds(batch, &mut Noise::recorded(draws));
        for (i, kl) in bounds.kl.iter().enumerate() {
            let last = kl.dims()[0] - 1;
            let sum = scalar(kl.clone().narrow(0, last, 1).sum());
            found.insert(format!("metrics.kl_{}", i + 1), sum);
        }
        Ok(found)
    }

    fn forward_draws(
        &self,
        recorded: &Recorded<'_>,
        _call: &Call,
        batch: &Batch,
        noise: &[RecordedDraw],
    ) -> Result<Vec<Draw>, Problem> {
        let subsets = Subsets::all(recorded.specs.len()).len();
        let levels = noise.len() / subsets;
        let level = |level: usize| {
            let draws = || (0..subsets).map(|subset| &noise[subset * levels + level]);
            let features = draws().map(|draw| draw.len).sum::<usize>() / (subsets * batch.rows());
            recorded.joined(draws(), vec![subsets, batch.rows(), features])
        };
        (0..levels).map(level).collect()
    }
}
