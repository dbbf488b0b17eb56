//! MMVAE+: as MMVAE, with private codes.

use std::collections::BTreeMap;

use multivae_core::{
    batch::Batch, modality::ModalitySpec, model::Loss, noise::Draw, objective::Budget,
};
use multivae_models::{
    Model, ModelConfig, blocks::experts::PrivatePrior, mmvae_plus::MmvaePlusConfig,
};

use serde_json::Value;

use super::experts::{self, estimator, family, flag};
use crate::parity::{
    Case, Problem,
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
        let learned_prior = flag(given, "learn_shared_prior");
        let learned_modality_priors = flag(given, "learn_modality_prior");
        layout.leave("mean_priors.shared", Absent::Zero);
        if learned_prior {
            layout.parameter("prior.raw", "logvars_priors.shared");
        } else {
            layout.leave("logvars_priors.shared", Absent::Zero);
        }
        for spec in specs {
            let name = &spec.name;
            layout.leave(format!("mean_priors.{name}"), Absent::Zero);
            if learned_modality_priors {
                layout.parameter(
                    format!("modality_priors.{name}.raw"),
                    format!("logvars_priors.{name}"),
                );
            } else {
                layout.leave(format!("logvars_priors.{name}"), Absent::Zero);
            }
        }
        let config = MmvaePlusConfig {
            latent: latent(given)?,
            private: number(given, "modalities_specific_dim", 1.0) as usize,
            beta: number(given, "beta", 1.0),
            samples: number(given, "K", 10.0) as usize,
            family: family(given)?,
            learned_prior,
            learned_modality_priors,
            private_prior: match given.get("reconstruction_option").and_then(Value::as_str) {
                Some("single_prior") => PrivatePrior::Modality,
                _ => PrivatePrior::Shared,
            },
            estimator: estimator(given)?,
            rescale: rescale(given, specs)?,
            modalities: autoencoders(case, specs, &mut layout)?,
            ..MmvaePlusConfig::default()
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
}
