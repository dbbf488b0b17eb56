//! CRMVAE: the joint draw, then those of single modalities; the loss is a sum over the batch.

use std::collections::BTreeMap;

use multivae_core::{batch::Batch, modality::ModalitySpec, model::Loss, noise::Draw};
use multivae_models::{ModelConfig, crmvae::CrmvaeConfig};

use crate::parity::{
    Case, Problem, broken,
    case::{Call, RecordedDraw},
    model::{Recorded, autoencoders, given, latent, number, rescale},
    network::Layout,
};

pub(super) struct Adapter;

impl super::Adapter for Adapter {
    fn config(
        &self,
        case: &Case,
        specs: &[ModalitySpec],
    ) -> Result<(ModelConfig, Layout), Problem> {
        let (given, mut layout) = (given(case), Layout::default());
        let config = CrmvaeConfig {
            latent: latent(given)?,
            beta: number(given, "beta", 2.5),
            rescale: rescale(given, specs)?,
            modalities: autoencoders(case, specs, &mut layout)?,
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
        _draws: Vec<Draw>,
    ) -> Result<BTreeMap<String, f64>, Problem> {
        let mut found = super::sums(loss, batch);
        let mut put = |name: String, term: &str| {
            found.insert(format!("metrics.{name}"), super::term(loss, term)?);
            Ok::<_, Problem>(())
        };
        put("joint_divergence".into(), "kl")?;
        for spec in &recorded.specs {
            let name = spec.name.as_str();
            put(format!("kl_{name}"), &format!("kl_expert/{name}"))?;
            put(format!("recon_{name}_from_joint"), &format!("reconstruction/{name}"))?;
            put(format!("recon_{name}_from_{name}"), &format!("self_reconstruction/{name}"))?;
        }
        Ok(found)
    }

    fn forward_draws(
        &self,
        recorded: &Recorded<'_>,
        call: &Call,
        batch: &Batch,
        noise: &[RecordedDraw],
    ) -> Result<Vec<Draw>, Problem> {
        let (joint, own) =
            noise.split_first().ok_or_else(|| broken(format!("{}: no recorded draws", call.id)))?;
        let shape = vec![own.len(), batch.rows(), latent(recorded.config())?];
        Ok(vec![recorded.values(joint, 1, batch.rows())?, recorded.joined(own, shape)?])
    }
}
