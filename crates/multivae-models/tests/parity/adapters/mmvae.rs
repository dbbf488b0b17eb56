//! MMVAE: losses are sums over rows; one expert is drawn for a whole batch.

use std::collections::BTreeMap;

use multivae_core::{
    batch::Batch, modality::ModalitySpec, model::Loss, noise::Draw, objective::Budget,
};
use multivae_models::{Model, ModelConfig, mmvae::MmvaeConfig};

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
        let learned_prior = flag(given, "learn_prior");
        layout.leave("prior_mean", Absent::Zero);
        if learned_prior {
            layout.parameter("prior.raw", "prior_log_var");
        } else {
            layout.leave("prior_log_var", Absent::Zero);
        }
        let config = MmvaeConfig {
            latent: latent(given)?,
            beta: number(given, "beta", 1.0),
            samples: number(given, "K", 10.0) as usize,
            family: family(given)?,
            learned_prior,
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
        let sources = experts::observed(batch);
        let samples = noise.first().map_or(0, |draw| draw.shape[0]);
        let features = latent(recorded.config())?;
        let shape = vec![sources, samples, batch.rows(), features];
        Ok(vec![recorded.joined(noise, shape)?])
    }

    /// The paper's version: the tighter bound, of one chunk of samples of every source. The other
    /// is a defect, as are several chunks.
    fn joint_nll(
        &self,
        recorded: &Recorded<'_>,
        call: &Call,
        batch: &Batch,
        budget: Budget,
    ) -> Result<f64, Problem> {
        let draws = self.forward_draws(recorded, call, batch, &call.noise)?;
        let rescale = rescale(recorded.config(), &recorded.specs)?.factors(&recorded.specs);
        experts::nll(recorded, batch, budget.samples, draws, &rescale)
    }
}
