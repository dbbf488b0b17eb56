//! JMVAE: one draw, and weights that rise once an epoch.

use std::collections::BTreeMap;

use multivae_core::{
    batch::{Batch, Progress},
    modality::ModalitySpec,
    model::Loss,
    noise::Draw,
};
use multivae_models::{ModelConfig, jmvae::JmvaeConfig};

use crate::parity::{
    Case, Problem,
    case::{Call, RecordedDraw},
    model::{Recorded, autoencoders, given, latent, number, rescale, warmup},
    network::{self, Layout},
};

pub(super) struct Adapter;

impl super::Adapter for Adapter {
    fn config(
        &self,
        case: &Case,
        specs: &[ModalitySpec],
    ) -> Result<(ModelConfig, Layout), Problem> {
        let (given, mut layout) = (given(case), Layout::default());
        let config = JmvaeConfig {
            latent: latent(given)?,
            alpha: number(given, "alpha", 0.1),
            beta: number(given, "beta", 1.0),
            warmup: warmup(given),
            rescale: rescale(given, specs)?,
            joint_encoder: network::joint_encoder(&case.description.arch, specs, &mut layout)?,
            modalities: autoencoders(case, specs, &mut layout)?,
        };
        Ok((config.into(), layout))
    }

    /// The reference's weight of an epoch is ours at its end.
    fn progress(&self, reference: Progress) -> Progress {
        Progress { fraction: 1.0, ..reference }
    }

    fn scalars(
        &self,
        recorded: &Recorded<'_>,
        batch: &Batch,
        loss: &Loss,
        _draws: Vec<Draw>,
    ) -> Result<BTreeMap<String, f64>, Problem> {
        let config = recorded.config();
        let mut found = super::mean_and_sum(loss, batch);
        let (mut reconstruction, mut apart) = (0.0, 0.0);
        for spec in &recorded.specs {
            reconstruction += super::term(loss, &format!("reconstruction/{}", spec.name))?;
            apart += super::term(loss, &format!("kl_unimodal/{}", spec.name))?;
        }
        let elbo = reconstruction + number(config, "beta", 1.0) * super::term(loss, "kl")?;
        let whole = elbo + number(config, "alpha", 0.1) * apart;
        found.insert("metrics.elbo".into(), elbo);
        found.insert("metrics.loss_no_ponderation".into(), whole * batch.rows() as f64);
        found.insert("metrics.beta".into(), warmup(config).weight(batch.progress));
        Ok(found)
    }

    fn forward_draws(
        &self,
        recorded: &Recorded<'_>,
        _call: &Call,
        batch: &Batch,
        noise: &[RecordedDraw],
    ) -> Result<Vec<Draw>, Problem> {
        noise.iter().map(|draw| recorded.values(draw, 1, batch.rows())).collect()
    }
}
