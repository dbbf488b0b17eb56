//! Nexus: codes, then for each row whether it drops messages and which, then the shared space.

use std::collections::BTreeMap;

use multivae_core::{
    batch::{Batch, Presence, Progress, Purpose},
    modality::{ModalityName, ModalitySpec},
    model::Loss,
    noise::Draw,
};
use multivae_models::{ModelConfig, nexus::NexusConfig};
use serde_json::Value;

use crate::parity::{
    Case, Problem, broken,
    case::{Call, RecordedDraw},
    model::{Recorded, autoencoders, given, latent, number, numbers, private, rescale, warmup},
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
        layout.own("log_scales");
        let arch = &case.description.arch;
        let (mut top_encoders, mut top_decoders) = (BTreeMap::new(), BTreeMap::new());
        for spec in specs {
            let name = spec.name.as_str();
            let path = format!("top_encoders.{name}");
            let net = network::up_to_mean(&arch["top_encoders"][name], &path, &path, &mut layout)?;
            top_encoders.insert(spec.name.clone(), net);
            let path = format!("top_decoders.{name}");
            let net = network::network(&arch["top_decoders"][name], &path, &path, &mut layout)?;
            top_decoders.insert(spec.name.clone(), net);
        }
        let joint = &arch["joint_encoder"];
        let top_encoder =
            network::shared_encoder(joint, "top_encoder", "joint_encoder", &mut layout)?;
        let adaptive = given.get("adapt_top_decoder_variance").and_then(Value::as_array);
        let adaptive = adaptive.into_iter().flatten().filter_map(Value::as_str);
        let name = |name| ModalityName::new(name).map_err(|error| broken(error.to_string()));
        let config = NexusConfig {
            latent: latent(given)?,
            message: number(given, "msg_dim", 10.0) as usize,
            dropout: number(given, "dropout_rate", 0.0),
            warmup: warmup(given),
            top_beta: number(given, "top_beta", 1.0),
            adaptive: adaptive.map(name).collect::<Result<_, _>>()?,
            rescale: rescale(given, specs)?,
            private: private(case, specs),
            bottom_betas: numbers(given, "bottom_betas", specs),
            gammas: numbers(given, "gammas", specs),
            top_encoders,
            top_encoder: Some(top_encoder),
            top_decoders,
            modalities: autoencoders(case, specs, &mut layout)?,
        };
        Ok((config.into(), layout))
    }

    /// The reference's weight of an epoch is ours at its end.
    fn progress(&self, reference: Progress) -> Progress {
        Progress { fraction: 1.0, ..reference }
    }

    /// The reference drops messages whatever its mode.
    fn purpose(&self, _mode: Purpose) -> Purpose {
        Purpose::Train
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
        let annealing = warmup(config).weight(batch.progress);
        let betas = numbers(config, "bottom_betas", &recorded.specs);
        let (mut bottom, mut top) = (0.0, 0.0);
        // The metrics of codes count what stands in missing entries.
        let presence = Presence::complete(batch.rows(), recorded.specs.len(), &recorded.device);
        let filled = batch.clone().with_presence(presence).expect("as many rows");
        let filled = recorded.loss(&recorded.model, &filled, draws)?;
        for spec in &recorded.specs {
            let name = spec.name.as_str();
            let term = |part: &str| super::term(loss, &format!("{part}/{name}"));
            let (reconstruction, kl, code) =
                (term("reconstruction")?, term("kl_private")?, term("code")?);
            bottom += reconstruction + annealing * betas.get(&spec.name).unwrap_or(&1.0) * kl;
            top += code;
            let term = |part: &str| super::term(&filled, &format!("{part}/{name}"));
            found.insert(format!("metrics.recon_loss_{name}"), term("reconstruction")?);
            found.insert(format!("metrics.kl_{name}"), term("kl_private")?);
            found.insert(format!("metrics.recon_z_{name}"), code);
        }
        let kl = super::term(loss, "kl")?;
        top += annealing * number(config, "top_beta", 1.0) * kl;
        found.insert("metrics.annealing".into(), annealing);
        found.insert("metrics.bottom_loss".into(), bottom);
        found.insert("metrics.top_loss".into(), top);
        found.insert("metrics.joint_KLD".into(), kl);
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
        let (normal, other): (Vec<_>, Vec<_>) =
            noise.iter().partition(|draw| draw.kind == "normal");
        let mut found = normal
            .into_iter()
            .map(|draw| recorded.values(draw, 1, rows))
            .collect::<Result<Vec<_>, _>>()?;
        let rate = number(recorded.config(), "dropout_rate", 0.0);
        if rate > 0.0 {
            let shared = found.pop().ok_or_else(|| broken(format!("{}: no draws", call.id)))?;
            found.extend([dropped(recorded, call, rows, rate, &other)?, shared]);
        }
        Ok(found)
    }
}

/// Uniform values that make each row drop what the reference's draws make it drop.
fn dropped(
    recorded: &Recorded<'_>,
    call: &Call,
    rows: usize,
    rate: f64,
    draws: &[&RecordedDraw],
) -> Result<Draw, Problem> {
    let modalities = recorded.specs.len();
    let mut draws = draws.iter();
    let mut next = |kind: &str| match draws.next() {
        Some(draw) if draw.kind == kind => recorded.draw(draw),
        other => Err(broken(format!("{}: {other:?} where {kind} is drawn", call.id))),
    };
    let mut values = Vec::new();
    for _ in 0..rows {
        // Nothing is drawn where nothing is in doubt, and nothing dropped where rows are masked.
        let drops = match (recorded.case.description.incomplete, rate < 1.0) {
            (true, _) => false,
            (false, true) => next("bernoulli")?[0] == 1.0,
            (false, false) => true,
        };
        let mut row = vec![0.0; 2 + modalities];
        if drops {
            // Any value that falls to this number.
            row[1] = (next("randint")?[0] - 0.5) / (modalities - 1) as f32;
            for (place, &m) in next("permutation")?.iter().enumerate() {
                row[2 + m as usize] = place as f32 / modalities as f32;
            }
        } else {
            row[0] = 1.0;
        }
        values.extend(row);
    }
    Ok(Draw::Uniform(vec![rows, 2 + modalities], values))
}
