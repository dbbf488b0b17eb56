//! MVTCAE: one draw; metrics are sums over the batch.

use std::collections::BTreeMap;

use multivae_core::{batch::Batch, modality::ModalitySpec, model::Loss, noise::Draw};
use multivae_models::{ModelConfig, mvtcae::MvtcaeConfig};

use crate::parity::{
    Case, Problem,
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
        let config = MvtcaeConfig {
            latent: latent(given)?,
            alpha: number(given, "alpha", 0.1),
            beta: number(given, "beta", 2.5),
            rescale: rescale(given, specs)?,
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
        let mut put = |name: String, term: &str| {
            let value = super::term(loss, term)? * batch.rows() as f64;
            found.insert(format!("metrics.{name}"), value);
            Ok::<_, Problem>(())
        };
        put("joint_divergence".into(), "kl")?;
        for spec in &recorded.specs {
            let name = spec.name.as_str();
            put(name.into(), &format!("reconstruction/{name}"))?;
            put(format!("kld_{name}"), &format!("kl_expert/{name}"))?;
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
        noise.iter().map(|draw| recorded.values(draw, 1, batch.rows())).collect()
    }
}
