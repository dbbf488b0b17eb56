//! CVAE: one draw; networks under other names.

use std::collections::BTreeMap;

use multivae_core::{
    batch::Batch,
    modality::{ModalityName, ModalitySpec},
    model::Loss,
    nn::EncoderConfig,
    noise::Draw,
};
use multivae_models::{ModalityConfig, ModelConfig, cvae::CvaeConfig};
use serde_json::Value;

use crate::parity::{
    Case, Problem, broken,
    calls::scalar,
    case::{Call, RecordedDraw},
    model::{Recorded, given, latent, number},
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
        let name = |value: &Value| {
            let name = value.as_str().unwrap_or_default();
            ModalityName::new(name).map_err(|error| broken(error.to_string()))
        };
        let main = name(&given["main_modality"])?;
        let list = given["conditioning_modalities"].as_array().into_iter().flatten();
        let conditioning = list.map(name).collect::<Result<Vec<_>, _>>()?;
        let encoder = &arch["encoder"];
        let joint_encoder =
            network::several(encoder, "joint_encoder", "encoder", specs, &mut layout)?;
        let read = |name: &ModalityName| specs.iter().find(|spec| spec.name == *name).cloned();
        let read: Vec<_> = conditioning.iter().filter_map(read).collect();
        let prior_network = match arch.get("prior_network") {
            None | Some(Value::Null) => None,
            Some(prior) => {
                let name = "prior_network";
                Some(network::several(prior, name, name, &read, &mut layout)?)
            }
        };
        let decoder = &arch["decoder"]["network"];
        let decoder = network::network(decoder, "decoder.net", "decoder.network", &mut layout)?;
        let modality = |spec: &ModalitySpec| ModalityConfig {
            shape: spec.shape.clone(),
            likelihood: Some(spec.likelihood.clone()),
            encoder: Some(EncoderConfig::mlp()),
            decoder: (spec.name == main).then(|| decoder.clone()),
            ..ModalityConfig::new(spec.name.clone())
        };
        let config = CvaeConfig {
            latent: latent(given)?,
            beta: number(given, "beta", 1.0),
            main: Some(main.clone()),
            conditioning,
            joint_encoder,
            prior_network,
            modalities: specs.iter().map(modality).collect(),
        };
        Ok((config.into(), layout))
    }

    fn scalars(
        &self,
        recorded: &Recorded<'_>,
        _batch: &Batch,
        loss: &Loss,
        _draws: Vec<Draw>,
    ) -> Result<BTreeMap<String, f64>, Problem> {
        let main = recorded.config()["main_modality"].as_str().unwrap_or_default();
        Ok(BTreeMap::from([
            ("loss".to_owned(), scalar(loss.total.clone())),
            ("metrics.kl".to_owned(), super::term(loss, "kl")?),
            (
                "metrics.recon_loss".to_owned(),
                super::term(loss, &format!("reconstruction/{main}"))?,
            ),
        ]))
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
