//! CMVAE: as MMVAE+, with clusters.

use std::collections::BTreeMap;

use multivae_core::{
    batch::Batch,
    modality::ModalitySpec,
    model::Loss,
    noise::{Draw, Noise},
    objective::Budget,
};
use multivae_models::{Model, ModelConfig, blocks::experts::PrivatePrior, cmvae::CmvaeConfig};

use serde_json::Value;

use super::experts::{self, estimator, family, flag};
use crate::parity::{
    Case, Problem, broken,
    calls::{self, Found, values},
    case::{Call, RecordedDraw},
    model::{Recorded, autoencoders, given, latent, number, rescale},
    network::{Absent, Layout},
};

pub(super) struct Adapter;

impl super::Adapter for Adapter {
    fn config(
        &self,
        case: &Case,
        specs: &[ModalitySpec],
    ) -> Result<(ModelConfig, Layout), Problem> {
        let (given, mut layout) = (given(case), Layout::default());
        let clusters = number(given, "number_of_clusters", 10.0) as usize;
        let learned_modality_priors = flag(given, "learn_modality_prior");
        layout.leave("w_mean_prior", Absent::Zero);
        layout.leave("w_logvar_prior", Absent::Zero);
        layout.parameter("cluster_logits", "_pc_params");
        for c in 0..clusters {
            layout.parameter(format!("cluster_locations.{c}"), format!("mean_clusters.{c}"));
            layout.leave(format!("logvar_clusters.{c}"), Absent::Zero);
        }
        for spec in specs {
            let name = &spec.name;
            layout.leave(format!("r_mean_priors.{name}"), Absent::Zero);
            if learned_modality_priors {
                layout.parameter(
                    format!("modality_priors.{name}.raw"),
                    format!("r_logvars_priors.{name}"),
                );
            } else {
                layout.leave(format!("r_logvars_priors.{name}"), Absent::Zero);
            }
        }
        let config = CmvaeConfig {
            clusters,
            latent: latent(given)?,
            private: number(given, "modalities_specific_dim", 1.0) as usize,
            beta: number(given, "beta", 1.0),
            samples: number(given, "K", 10.0) as usize,
            family: family(given)?,
            learned_modality_priors,
            private_prior: match given.get("reconstruction_option").and_then(Value::as_str) {
                Some("single_prior") => PrivatePrior::Modality,
                _ => PrivatePrior::Shared,
            },
            estimator: estimator(given)?,
            rescale: rescale(given, specs)?,
            modalities: autoencoders(case, specs, &mut layout)?,
        };
        Ok((config.into(), layout))
    }

    fn reduction(&self, batch: &Batch) -> f64 {
        batch.rows() as f64
    }

    fn value(
        &self,
        recorded: &Recorded<'_>,
        model: &Model,
        batch: &Batch,
        _loss: &Loss,
        draws: Vec<Draw>,
    ) -> Result<f64, Problem> {
        experts::value(recorded, model, batch, draws)
    }

    fn scalars(
        &self,
        recorded: &Recorded<'_>,
        batch: &Batch,
        _loss: &Loss,
        draws: Vec<Draw>,
    ) -> Result<BTreeMap<String, f64>, Problem> {
        experts::scalars(recorded, batch, draws)
    }

    fn encode_draws(
        &self,
        recorded: &Recorded<'_>,
        call: &Call,
        batch: &Batch,
        noise: &[RecordedDraw],
        samples: usize,
    ) -> Result<Vec<Draw>, Problem> {
        experts::encode(recorded, call, batch.rows(), noise, samples)
    }

    fn forward_draws(
        &self,
        recorded: &Recorded<'_>,
        _call: &Call,
        batch: &Batch,
        noise: &[RecordedDraw],
    ) -> Result<Vec<Draw>, Problem> {
        experts::with_private(recorded, noise, batch.rows(), experts::observed(batch), 1)
    }

    fn joint_nll(
        &self,
        recorded: &Recorded<'_>,
        call: &Call,
        batch: &Batch,
        budget: Budget,
    ) -> Result<f64, Problem> {
        experts::nll_with_private(recorded, call, batch, budget)
    }

    fn prior_draws(
        &self,
        recorded: &Recorded<'_>,
        call: &Call,
        rows: usize,
    ) -> Result<Vec<Draw>, Problem> {
        let convert = |draw: &RecordedDraw| match draw.kind.as_str() {
            "categorical" => {
                Ok(Draw::Choice(recorded.draw(draw)?.iter().map(|&v| v as usize).collect()))
            }
            _ => recorded.values(draw, 1, rows),
        };
        call.noise.iter().map(convert).collect()
    }

    fn other(&self, recorded: &Recorded<'_>, call: &Call) -> Result<Found, Problem> {
        let Model::Cmvae(model) = &recorded.model else { unreachable!("built from its config") };
        let batch = calls::batch(recorded, call)?;
        let sources = recorded.specs.len();
        match call.call.as_str() {
            "predict_clusters" => {
                let shape = vec![sources, 1, batch.rows(), latent(recorded.config())?];
                let mut noise = Noise::recorded([recorded.joined(&call.noise, shape)?]);
                let clusters = model.predict_clusters(&batch, &mut noise);
                recorded.used_up(&noise)?;
                let labels = clusters.labels.iter().map(|&c| c as f32).collect();
                let mut tensors = BTreeMap::from([
                    ("clusters".to_owned(), labels),
                    ("norm_lliks".to_owned(), values(clusters.log_density)),
                ]);
                for (m, spec) in recorded.specs.iter().enumerate() {
                    let share = clusters.probabilities.clone().narrow(0, m, 1);
                    tensors.insert(format!("pc_zs.{}", spec.name), values(share));
                }
                Ok(Found { tensors, ..Found::default() })
            }
            other => Err(broken(format!("call `{other}`"))),
        }
    }
}
