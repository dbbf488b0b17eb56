//! MoPoE: one component a row, by its place in a complete batch, drawn otherwise.

use std::collections::BTreeMap;

use multivae_core::{
    batch::Batch,
    modality::{ModalityName, ModalitySpec},
    model::Loss,
    noise::{Draw, Noise},
    objective::Budget,
    subset::Subset,
};
use multivae_models::{
    Model, ModelConfig, blocks::subset_mixture::SubsetsConfig, mopoe::MopoeConfig,
};
use serde_json::Value;

use crate::parity::{
    Case, Problem, broken,
    calls::scalar,
    case::{Call, RecordedDraw},
    model::{Recorded, autoencoders, given, latent, number, private, rescale},
    network::Layout,
};

pub(super) struct Adapter;

/// Draws other than components: those of incomplete rows are made and not used by `encode`.
fn values(noise: &[RecordedDraw]) -> impl Iterator<Item = &RecordedDraw> {
    noise.iter().filter(|draw| draw.kind != "categorical")
}

impl super::Adapter for Adapter {
    fn config(
        &self,
        case: &Case,
        specs: &[ModalitySpec],
    ) -> Result<(ModelConfig, Layout), Problem> {
        let (given, mut layout) = (given(case), Layout::default());
        let subsets = given.get("subsets").and_then(Value::as_object);
        let names = |list: &Value| {
            let names = list.as_array().into_iter().flatten().filter_map(Value::as_str);
            names.map(|name| ModalityName::new(name).map_err(|e| broken(e.to_string()))).collect()
        };
        let subsets: Vec<Vec<ModalityName>> = subsets
            .into_iter()
            .flat_map(|subsets| subsets.values())
            .map(names)
            .collect::<Result<_, _>>()?;
        let config = MopoeConfig {
            latent: latent(given)?,
            beta: number(given, "beta", 1.0),
            beta_private: number(given, "beta_style", 1.0),
            subsets: SubsetsConfig::Given(
                subsets.into_iter().filter(|names| !names.is_empty()).collect(),
            ),
            rescale: rescale(given, specs)?,
            private: private(case, specs),
            modalities: autoencoders(case, specs, &mut layout)?,
        };
        Ok((config.into(), layout))
    }

    fn scalars(
        &self,
        recorded: &Recorded<'_>,
        batch: &Batch,
        loss: &Loss,
        _draws: Vec<Draw>,
    ) -> Result<BTreeMap<String, f64>, Problem> {
        let mut found = super::mean_and_sum(loss, batch);
        for spec in &recorded.specs {
            let value = super::term(loss, &format!("reconstruction/{}", spec.name))?;
            found.insert(format!("metrics.recon_{}", spec.name), value);
        }
        found.insert("metrics.joint_divergence".into(), super::term(loss, "kl")?);
        Ok(found)
    }

    fn forward_draws(
        &self,
        recorded: &Recorded<'_>,
        call: &Call,
        batch: &Batch,
        noise: &[RecordedDraw],
    ) -> Result<Vec<Draw>, Problem> {
        let Model::Mopoe(model) = &recorded.model else { unreachable!("built from its config") };
        let rows = batch.rows();
        let components = model.components().subsets.len();
        let chosen = if recorded.case.description.incomplete {
            let first =
                noise.first().ok_or_else(|| broken(format!("{}: no recorded draws", call.id)))?;
            recorded.draw(first)?.iter().map(|&v| v as usize).collect()
        } else {
            // The reference deals rows to components by their place in the batch.
            let share = rows / components;
            (0..rows)
                .map(|row| row.checked_div(share).unwrap_or(components).min(components - 1))
                .collect()
        };
        let rest = values(noise).map(|draw| recorded.values(draw, 1, rows));
        std::iter::once(Ok(Draw::Choice(chosen))).chain(rest).collect()
    }

    fn encode_draws(
        &self,
        recorded: &Recorded<'_>,
        _call: &Call,
        batch: &Batch,
        noise: &[RecordedDraw],
        samples: usize,
    ) -> Result<Vec<Draw>, Problem> {
        values(noise).map(|draw| recorded.values(draw, samples, batch.rows())).collect()
    }

    fn joint_nll(
        &self,
        recorded: &Recorded<'_>,
        call: &Call,
        batch: &Batch,
        budget: Budget,
    ) -> Result<f64, Problem> {
        let Model::Mopoe(model) = &recorded.model else { unreachable!("built from its config") };
        let mut noise = Noise::recorded(self.joint_draws(recorded, call, batch, budget.samples)?);
        let targets = Subset::full(recorded.specs.len());
        let estimate = model.likelihood_by_product(batch, targets, budget, &mut noise);
        recorded.used_up(&noise)?;
        Ok(-scalar(estimate.log_likelihood.sum()))
    }
}
