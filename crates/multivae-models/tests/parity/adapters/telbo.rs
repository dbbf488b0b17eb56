//! TELBO: the joint draw first, which the second stage has no use for.

use std::collections::BTreeMap;

use multivae_core::{batch::Batch, modality::ModalitySpec, model::Loss, noise::Draw};
use multivae_models::{ModelConfig, telbo::TelboConfig};

use crate::parity::{
    Case, Problem, broken,
    case::{Call, RecordedDraw},
    model::{Recorded, autoencoders, given, latent, number, numbers, rescale},
    network::{self, Layout},
};

pub(super) struct Adapter;

fn joint_epochs(recorded: &Recorded<'_>) -> usize {
    number(recorded.config(), "warmup", 10.0) as usize
}

impl super::Adapter for Adapter {
    fn config(
        &self,
        case: &Case,
        specs: &[ModalitySpec],
    ) -> Result<(ModelConfig, Layout), Problem> {
        let (given, mut layout) = (given(case), Layout::default());
        let config = TelboConfig {
            latent: latent(given)?,
            joint_epochs: number(given, "warmup", 10.0) as usize,
            rescale: rescale(given, specs)?,
            lambda: numbers(given, "lambda_factors", specs),
            gamma: numbers(given, "gamma_factors", specs),
            joint_encoder: network::joint_encoder(&case.description.arch, specs, &mut layout)?,
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
        let rows = batch.rows() as f64;
        let mut found = super::mean_and_sum(loss, batch);
        if batch.progress.epoch > joint_epochs(recorded) {
            for spec in &recorded.specs {
                let term =
                    |kind: &str| super::term(loss, &format!("unimodal_{kind}/{}", spec.name));
                let sum = (term("reconstruction")? + term("kl")?) * rows;
                found.insert(format!("metrics.{}", spec.name), sum);
            }
            return Ok(found);
        }
        let mut reconstruction = 0.0;
        for spec in &recorded.specs {
            reconstruction += super::term(loss, &format!("reconstruction/{}", spec.name))?;
        }
        let kl = super::term(loss, "kl")?;
        found.insert("recon_loss".into(), reconstruction);
        found.insert("metrics.recon_joint".into(), reconstruction);
        found.insert("KLD".into(), kl);
        found.insert("metrics.kld_joint".into(), kl * rows);
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
        let (joint, unimodal) =
            noise.split_first().ok_or_else(|| broken(format!("{}: no recorded draws", call.id)))?;
        if batch.progress.epoch <= joint_epochs(recorded) {
            return Ok(vec![recorded.values(joint, 1, rows)?]);
        }
        let shape = vec![recorded.specs.len(), rows, latent(recorded.config())?];
        Ok(vec![recorded.joined(unimodal, shape)?])
    }
}
