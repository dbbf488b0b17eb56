//! DMVAE: for each posterior of the shared space its draw and those of all private codes.

use std::collections::BTreeMap;

use multivae_core::{batch::Batch, modality::ModalitySpec, model::Loss, noise::Draw};
use multivae_models::{ModelConfig, dmvae::DmvaeConfig};

use crate::parity::{
    Case, Problem, broken,
    calls::{batch, scalar},
    case::{Call, RecordedDraw},
    model::{Recorded, autoencoders, given, latent, number, numbers, private, rescale},
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
        let config = DmvaeConfig {
            latent: latent(given)?,
            beta: number(given, "beta", 1.0),
            private: private(case, specs),
            private_betas: numbers(given, "modalities_specific_betas", specs),
            rescale: rescale(given, specs)?,
            modalities: autoencoders(case, specs, &mut layout)?,
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
        let mut found = BTreeMap::from([("loss".to_owned(), scalar(loss.total.clone()))]);
        found.insert("metrics.joint".into(), super::term(loss, "joint")?);
        for spec in &recorded.specs {
            let value = super::term(loss, &format!("single/{}", spec.name))?;
            found.insert(format!("metrics.{}", spec.name), value);
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
        // One draw a space, shared first, for each of 1 + M posteriors.
        let spaces = 1 + recorded.specs.len();
        (0..spaces)
            .map(|space| {
                let draws: Vec<_> = noise.iter().skip(space).step_by(spaces).collect();
                let len = draws.iter().map(|draw| draw.len).sum::<usize>();
                let features = len / (draws.len() * batch.rows());
                let shape = vec![draws.len(), batch.rows(), features];
                recorded.joined(draws, shape)
            })
            .collect()
    }

    fn joint_draws(
        &self,
        recorded: &Recorded<'_>,
        call: &Call,
        batch: &Batch,
        samples: usize,
    ) -> Result<Vec<Draw>, Problem> {
        let rows = batch.rows();
        // The shared draw is of all rows at once or of one row after the other; private ones are
        // of one row after the other, in chunks of samples.
        let of = |part: &str| -> Vec<&RecordedDraw> {
            call.noise.iter().filter(|draw| draw.label.contains(part)).collect()
        };
        let shared = of(":z_joint");
        let mut found = vec![match shared.as_slice() {
            [all] => recorded.values(all, samples, rows)?,
            each => by_row(recorded, each, samples, rows)?,
        }];
        for spec in &recorded.specs {
            let draws = of(&format!("mod={}]", spec.name));
            found.push(by_row(recorded, &draws, samples, rows)?);
        }
        Ok(found)
    }

    /// The reference encodes the private code of a missing modality from its filler.
    fn rows_of_fillers(
        &self,
        recorded: &Recorded<'_>,
        call: &Call,
        tensor: &str,
    ) -> Result<Vec<usize>, Problem> {
        let private = |spec: &ModalitySpec| tensor == format!("modalities_z.{}", spec.name);
        let Some(m) = recorded.specs.iter().position(private) else { return Ok(Vec::new()) };
        let batch = batch(recorded, call)?;
        let presence = batch.presence();
        let rows = presence.rows().iter().enumerate();
        Ok(rows.filter(|(_, row)| !row.contains(m)).map(|(i, _)| i).collect())
    }
}

/// Draws of one row after the other, `[rows, samples, features]`, as `[samples, rows, features]`.
fn by_row(
    recorded: &Recorded<'_>,
    draws: &[&RecordedDraw],
    samples: usize,
    rows: usize,
) -> Result<Draw, Problem> {
    let len = draws.iter().map(|draw| draw.len).sum::<usize>();
    let features = len / (samples * rows);
    match recorded.joined(draws.iter().copied(), vec![rows, samples, features])? {
        Draw::Normal(_, values) => {
            let turned = (0..samples).flat_map(|sample| {
                let values = &values;
                (0..rows).flat_map(move |row| {
                    values[(row * samples + sample) * features..][..features].to_vec()
                })
            });
            Ok(Draw::Normal(vec![samples, rows, features], turned.collect()))
        }
        other => Err(broken(format!("private codes from {other:?}"))),
    }
}
