//! MVAE: the subsets one after the other, each on the rows that observe it.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use multivae_core::{
    batch::{Batch, Purpose},
    modality::ModalitySpec,
    model::Loss,
    noise::{Draw, Noise},
    subset::{Subset, Subsets},
};
use multivae_models::{Model, ModelConfig, mvae::MvaeConfig};
use serde_json::Value;

use crate::parity::{
    Case, Problem, broken,
    calls::scalar,
    case::{Call, RecordedDraw},
    model::{Recorded, autoencoders, given, latent, number, rescale, warmup},
    network::Layout,
};

pub(super) struct Adapter;

fn subsampling(config: &Value) -> bool {
    config.get("use_subsampling").and_then(Value::as_bool).unwrap_or(true)
}

impl super::Adapter for Adapter {
    fn config(
        &self,
        case: &Case,
        specs: &[ModalitySpec],
    ) -> Result<(ModelConfig, Layout), Problem> {
        let (given, mut layout) = (given(case), Layout::default());
        let config = MvaeConfig {
            latent: latent(given)?,
            beta: number(given, "beta", 1.0),
            warmup: warmup(given),
            subsampling: subsampling(given),
            random_subsets: if specs.len() > 2 { number(given, "k", 0.0) as usize } else { 0 },
            rescale: rescale(given, specs)?,
            modalities: autoencoders(case, specs, &mut layout)?,
            ..MvaeConfig::default()
        };
        Ok((config.into(), layout))
    }

    fn scalars(
        &self,
        recorded: &Recorded<'_>,
        batch: &Batch,
        loss: &Loss,
        draws: Vec<Draw>,
    ) -> Result<BTreeMap<String, f64>, Problem> {
        let Model::Mvae(model) = &recorded.model else { unreachable!("built from its config") };
        let mut found = super::mean_and_sum(loss, batch);
        let config = recorded.config();
        let beta = number(config, "beta", 1.0) * warmup(config).weight(batch.progress);
        let bounds = model.subset_bounds(batch, &mut Noise::recorded(draws));
        let negative = bounds.negative(beta);
        let reconstruction = bounds.negative(0.0);
        for (t, subset) in bounds.subsets.iter().enumerate() {
            let observes = |row: &Subset| subset.intersection(*row).is_some();
            if !batch.presence().rows().iter().any(observes) {
                continue;
            }
            let mut names: Vec<&str> =
                subset.iter().map(|m| recorded.specs[m].name.as_str()).collect();
            names.sort_unstable();
            let key = names.join("_");
            let mut put = |name: String, values: &Tensor<2>| {
                found.insert(format!("metrics.{name}"), scalar(bounds.mean(values, t)));
            };
            put(key.clone(), &negative);
            put(format!("kld{key}"), &bounds.kl);
            put(format!("recon{key}"), &reconstruction);
        }
        found.insert("metrics.beta".into(), beta);
        Ok(found)
    }

    fn forward_draws(
        &self,
        recorded: &Recorded<'_>,
        call: &Call,
        batch: &Batch,
        noise: &[RecordedDraw],
    ) -> Result<Vec<Draw>, Problem> {
        let rows = batch.rows();
        let mut noise = noise.iter();
        let mut next =
            || noise.next().ok_or_else(|| broken(format!("{}: too few recorded draws", call.id)));
        let mut found = Vec::new();
        let n = recorded.specs.len();
        let config = recorded.config();
        let mut subsets = vec![Subset::full(n)];
        if subsampling(config) {
            if n > 1 {
                subsets.extend((0..n).map(Subset::single));
            }
            let random = number(config, "k", 0.0) as usize;
            if batch.purpose == Purpose::Train && n > 2 && random > 0 {
                // An index into the subsets of middle size, by size, then in order.
                let chosen: Vec<usize> =
                    recorded.draw(next()?)?.iter().map(|&v| v as usize).collect();
                let candidates: Vec<Subset> =
                    Subsets::all(n).iter().filter(|s| (2..n).contains(&s.len())).collect();
                for &i in &chosen {
                    subsets.push(
                        *candidates
                            .get(i)
                            .ok_or_else(|| broken(format!("{}: no subset number {i}", call.id)))?,
                    );
                }
                found.push(Draw::Choice(chosen));
            }
        }
        let latent = latent(config)?;
        let mut values = Vec::new();
        for subset in &subsets {
            // The reference draws for the rows that observe the subset only.
            let observes = |row: usize| subset.intersection(batch.presence().rows()[row]).is_some();
            let mut dense = vec![0.0; rows * latent];
            let kept: Vec<usize> = (0..rows).filter(|&row| observes(row)).collect();
            if !kept.is_empty() {
                let drawn = recorded.draw(next()?)?;
                if drawn.len() != kept.len() * latent {
                    return Err(broken(format!("{}: a draw for other rows", call.id)));
                }
                for (i, row) in kept.into_iter().enumerate() {
                    dense[row * latent..][..latent].copy_from_slice(&drawn[i * latent..][..latent]);
                }
            }
            values.extend(dense);
        }
        found.push(Draw::Normal(vec![subsets.len(), rows, latent], values));
        Ok(found)
    }
}
