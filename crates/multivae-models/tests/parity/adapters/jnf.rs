//! JNF: one draw in both stages, metrics of the joint bound in both, and calls of the flows.

use std::collections::BTreeMap;

use multivae_core::{
    batch::{Batch, Progress},
    modality::ModalitySpec,
    model::Loss,
    noise::Draw,
    subset::Subset,
};
use multivae_models::{Model, ModelConfig, jnf::JnfConfig};
use serde_json::Value;

use crate::parity::{
    Case, Problem, broken,
    calls::{Found, only, scalar, values},
    case::{Call, RecordedDraw},
    model::{Recorded, autoencoders, given, latent, number, rescale},
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
        let arch = &case.description.arch;
        let mut flows = BTreeMap::new();
        for spec in specs {
            let flow = network::flow(arch, spec.name.as_str(), &mut layout)?;
            flows.insert(spec.name.clone(), flow);
        }
        let config = JnfConfig {
            latent: latent(given)?,
            joint_epochs: number(given, "warmup", 10.0) as usize,
            beta: number(given, "beta", 1.0),
            rescale: rescale(given, specs)?,
            flows,
            joint_encoder: network::joint_encoder(arch, specs, &mut layout)?,
            modalities: autoencoders(case, specs, &mut layout)?,
            ..JnfConfig::default()
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
        let config = recorded.config();
        let mut found = super::mean_and_sum(loss, batch);
        let second = batch.progress.epoch > number(config, "warmup", 10.0) as usize;
        let ljm = if second { scalar(loss.total.clone()) } else { 0.0 };
        // The reference reports the joint bound in both stages.
        let first = batch.clone().at(Progress::new(1, 0.0));
        let joint = recorded.loss(&recorded.model, &first, draws)?;
        let mut reconstruction = 0.0;
        for spec in &recorded.specs {
            reconstruction += super::term(&joint, &format!("reconstruction/{}", spec.name))?;
        }
        let kl = super::term(&joint, "kl")? * number(config, "beta", 1.0);
        found.insert("metrics.kld_prior".into(), kl * batch.rows() as f64);
        found.insert("metrics.recon_loss".into(), reconstruction);
        found.insert("metrics.ljm".into(), ljm);
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

    fn other(&self, recorded: &Recorded<'_>, call: &Call) -> Result<Found, Problem> {
        let Model::Jnf(model) = &recorded.model else { unreachable!("built from its config") };
        only(&call.kwargs, &[])?;
        let name = call.modality.as_deref().ok_or_else(|| broken("`modality` is missing"))?;
        let place = Subset::named(&recorded.specs, [name]).map_err(|e| broken(e.to_string()))?;
        let flow = model.flow(place.iter().next().expect("one modality"));
        let z = call.embedding.as_ref().and_then(|names| names.get("z")).and_then(Value::as_str);
        let z = z.ok_or_else(|| broken("`embedding` lacks `z`"))?;
        let z = recorded.case.tensor(z)?.rows(&recorded.device);
        let found = match call.call.as_str() {
            "flow_forward" => flow.forward(z),
            "flow_inverse" => flow.inverse(z),
            other => return Err(Problem::Todo(format!("call `{other}`"))),
        };
        let tensors = [("out", values(found.value)), ("log_abs_det_jac", values(found.log_det))];
        let tensors = tensors.map(|(name, values)| (name.to_owned(), values)).into();
        Ok(Found { tensors, ..Found::default() })
    }
}
