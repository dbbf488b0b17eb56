//! What the importance-weighted mixtures of experts share: draws source by source, one expert for
//! a whole batch, losses summed over rows.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, activation};
use multivae_core::{
    batch::Batch,
    distribution::Family,
    mixture::log_sum_exp,
    noise::{Draw, Noise},
    objective::Budget,
    subset::Subset,
};
use multivae_models::{
    Model,
    blocks::experts::{Estimator, ImportanceWeights},
};
use serde_json::Value;

use crate::parity::{
    Problem, broken,
    calls::{self, scalar},
    case::{Call, RecordedDraw},
    model::{Recorded, number, rescale},
};

/// The family of latent distributions.
pub(super) fn family(config: &Value) -> Result<Family, Problem> {
    match config.get("prior_and_posterior_dist").and_then(Value::as_str) {
        Some("laplace_with_softmax") => Ok(Family::LaplaceSoftmax),
        Some("normal_with_softplus") => Ok(Family::NormalSoftplus),
        Some("normal") => Ok(Family::Normal),
        other => Err(broken(format!("distribution {other:?}"))),
    }
}

pub(super) fn estimator(config: &Value) -> Result<Estimator, Problem> {
    match config.get("loss").and_then(Value::as_str) {
        Some("iwae_looser") => Ok(Estimator::Iwae),
        Some("dreg_looser") => Ok(Estimator::Dreg),
        other => Err(broken(format!("estimator {other:?}"))),
    }
}

pub(super) fn flag(config: &Value, key: &str) -> bool {
    config.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// The log-weights of a model's own samples, and which sources a row has.
fn importance_weights(
    model: &Model,
    batch: &Batch,
    samples: usize,
    noise: &mut Noise,
) -> (ImportanceWeights, Tensor<2>) {
    match model {
        Model::Mmvae(model) => model.importance_weights(batch, samples, noise),
        Model::MmvaePlus(model) => model.importance_weights(batch, samples, noise),
        Model::Cmvae(model) => model.importance_weights(batch, samples, noise),
        other => unreachable!("no mixture of experts: {other}"),
    }
}

/// Loss and sum of losses, which are the same value.
pub(super) fn scalars(
    recorded: &Recorded<'_>,
    batch: &Batch,
    draws: Vec<Draw>,
) -> Result<BTreeMap<String, f64>, Problem> {
    let value = value(recorded, &recorded.model, batch, draws)?;
    Ok([("loss".into(), value), ("loss_sum".into(), value)].into())
}

/// The value that the reference reports: with `dreg` the sum of weighted log-weights, which is not
/// the bound.
pub(super) fn value(
    recorded: &Recorded<'_>,
    model: &Model,
    batch: &Batch,
    draws: Vec<Draw>,
) -> Result<f64, Problem> {
    let config = recorded.config();
    let samples = number(config, "K", 10.0) as usize;
    let mut noise = Noise::recorded(draws);
    let (weights, sources) = importance_weights(model, batch, samples, &mut noise);
    let rescale = rescale(config, &recorded.specs)?.factors(&recorded.specs);
    let log_weights = weights.log_weights(&rescale, number(config, "beta", 1.0));
    let samples = log_weights.dims()[1] as f64;
    let each: Tensor<2> = match estimator(config)? {
        Estimator::Iwae => log_sum_exp(log_weights, 1).squeeze_dim::<2>(1) - samples.ln(),
        Estimator::Dreg => {
            let shares = activation::softmax(log_weights.clone(), 1);
            (shares * log_weights).sum_dim(1).squeeze_dim(1)
        }
    };
    let count = sources.clone().sum_dim(0);
    Ok(-scalar(((each * sources.clone()).sum_dim(0) / count).sum()))
}

/// How many modalities the batch observes.
pub(super) fn observed(batch: &Batch) -> usize {
    let rows = batch.presence().rows().iter().copied();
    rows.reduce(Subset::union).expect("a batch has rows").len()
}

/// The draws of a pass with private codes: by source shared codes, private codes, and those of the
/// other modalities in order. Ours: all shared, all private, then by modality those of the other
/// sources. `noise` holds that pass `repeats` times, one a row when there are several.
pub(super) fn with_private(
    recorded: &Recorded<'_>,
    noise: &[RecordedDraw],
    rows: usize,
    sources: usize,
    repeats: usize,
) -> Result<Vec<Draw>, Problem> {
    let block = 2 + sources - 1;
    if noise.len() != block * sources * repeats {
        return Err(broken(format!("{} draws of {sources} sources", noise.len())));
    }
    let of = |place: usize| -> Result<Draw, Problem> {
        // A draw of one row, or of all of them.
        let draws: Vec<&RecordedDraw> =
            (0..repeats).map(|row| &noise[row * block * sources + place]).collect();
        let samples = draws[0].shape[0];
        let features = draws[0].len / (samples * (rows / repeats));
        by_row(recorded, &draws, [samples, rows, features])
    };
    let stack = |places: Vec<usize>| -> Result<Draw, Problem> {
        let mut draws = places.into_iter().map(of);
        let mut all = draws.next().ok_or_else(|| broken("no draws"))??;
        for draw in draws {
            calls::append(&mut all, draw?);
        }
        Ok(all)
    };
    let stacked = |places: Vec<usize>| -> Result<Draw, Problem> {
        let draw = stack(places)?;
        Ok(reshaped(draw, |shape| vec![sources, shape[0] / sources, shape[1], shape[2]]))
    };
    let mut found = vec![
        stacked((0..sources).map(|r| r * block).collect())?,
        stacked((0..sources).map(|r| r * block + 1).collect())?,
    ];
    for m in (0..sources).filter(|_| sources > 1) {
        let others = (0..sources).filter(|&r| r != m);
        let place = |r: usize| r * block + 2 + if m < r { m } else { m - 1 };
        found.push(stack(others.map(place).collect())?);
    }
    Ok(found)
}

/// Draws `[samples, 1, features]` of single rows as one of all rows.
fn by_row(
    recorded: &Recorded<'_>,
    draws: &[&RecordedDraw],
    shape: [usize; 3],
) -> Result<Draw, Problem> {
    if draws.len() == 1 {
        return recorded.shaped(draws[0], shape.to_vec());
    }
    let [samples, rows, features] = shape;
    let joined = recorded.joined(draws.iter().copied(), vec![rows, samples, features])?;
    let turn = |values: Vec<f32>| {
        let mut turned = vec![0.0; values.len()];
        for (i, value) in values.into_iter().enumerate() {
            let (row, rest) = (i / (samples * features), i % (samples * features));
            let (sample, feature) = (rest / features, rest % features);
            turned[(sample * rows + row) * features + feature] = value;
        }
        turned
    };
    Ok(match joined {
        Draw::Normal(_, values) => Draw::Normal(shape.to_vec(), turn(values)),
        Draw::Laplace(_, values) => Draw::Laplace(shape.to_vec(), turn(values)),
        other => return Err(broken(format!("{other:?} is no latent noise"))),
    })
}

fn reshaped(draw: Draw, shape: impl Fn(&[usize]) -> Vec<usize>) -> Draw {
    match draw {
        Draw::Normal(old, values) => Draw::Normal(shape(&old), values),
        Draw::Laplace(old, values) => Draw::Laplace(shape(&old), values),
        other => other,
    }
}

/// The draws of `encode`: one expert for the whole batch and all samples, then every space.
pub(super) fn encode(
    recorded: &Recorded<'_>,
    call: &Call,
    rows: usize,
    noise: &[RecordedDraw],
    samples: usize,
) -> Result<Vec<Draw>, Problem> {
    if calls::flag(&call.kwargs, "return_mean") {
        // Ours is the mean of the mixture, and draws nothing.
        return Ok(Vec::new());
    }
    let convert = |draw: &RecordedDraw| match draw.kind.as_str() {
        "choice" => {
            let expert = recorded.draw(draw)?[0] as usize;
            Ok(Draw::Choice(vec![expert; samples * rows]))
        }
        _ => recorded.values(draw, samples, rows),
    };
    noise.iter().map(convert).collect()
}

/// The negative log-likelihood that the reference estimates from `samples` samples of every source:
/// the logarithm of the mean weight over sources and samples, summed over rows.
pub(super) fn nll(
    recorded: &Recorded<'_>,
    batch: &Batch,
    samples: usize,
    draws: Vec<Draw>,
    rescale: &[f64],
) -> Result<f64, Problem> {
    let mut noise = Noise::recorded(draws);
    let (weights, _) = importance_weights(&recorded.model, batch, samples, &mut noise);
    recorded.used_up(&noise)?;
    let log_weights = weights.log_weights(rescale, 1.0);
    let [sources, samples, rows] = log_weights.dims();
    let flat = log_weights.reshape([sources * samples, rows]);
    let mean = log_sum_exp(flat, 0).squeeze_dim::<1>(0) - ((sources * samples) as f64).ln();
    Ok(-scalar(mean.sum()))
}

/// The same of a model with private codes. The reference takes those of the other modalities from
/// their auxiliary priors, as its objective does, and one row after the other.
pub(super) fn nll_with_private(
    recorded: &Recorded<'_>,
    call: &Call,
    batch: &Batch,
    budget: Budget,
) -> Result<f64, Problem> {
    let (sources, rows) = (recorded.specs.len(), batch.rows());
    let draws = with_private(recorded, &call.noise, rows, sources, rows)?;
    nll(recorded, batch, budget.samples / sources, draws, &vec![1.0; sources])
}
