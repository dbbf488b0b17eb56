//! What models with a joint encoder share: it serves the rows that observe every modality, and
//! the encoders of single modalities serve the others.

use burn::tensor::Tensor;
use multivae_core::{
    Result,
    batch::Batch,
    distribution::Normal,
    fusion::Product,
    mixture::Mixture,
    model::Stage,
    module::Named,
    nn::{EncoderConfig, EncoderNet, JointEncoder, JointEncoderConfig},
    subset::Subset,
};

use crate::blocks::{self, ModalityConfig};

/// Fills in what the configuration of the joint encoder leaves open.
///
/// # Errors
///
/// As [`JointEncoderConfig::complete`].
pub fn complete(
    config: JointEncoderConfig,
    modalities: &[ModalityConfig],
    latent: usize,
) -> Result<JointEncoderConfig> {
    let specs = blocks::specs(modalities)?;
    let encoders: Vec<EncoderConfig> = modalities
        .iter()
        .zip(&specs)
        .map(|(c, spec)| c.encoder.clone().unwrap_or_else(|| EncoderConfig::default_for(spec)))
        .collect();
    config.complete(&specs.iter().zip(&encoders).collect::<Vec<_>>(), latent)
}

/// Two stages: the joint encoder and the decoders for so many epochs, then what was frozen before.
pub fn stages(joint_epochs: usize, unimodal: &[&str]) -> Vec<Stage> {
    vec![
        Stage::new("joint").frozen(unimodal).epochs(joint_epochs),
        Stage::new("unimodal").frozen(&["joint_encoder", "decoders"]),
    ]
}

/// The joint posterior `q(z | x_1, .., x_M)` of complete rows, `[batch, latent]`.
///
/// # Panics
///
/// If a row lacks a modality: objectives of joint models are defined for complete rows only.
pub fn of_complete(joint: &JointEncoder, batch: &Batch) -> Normal<2> {
    check_complete(batch);
    joint.encode(batch, 0..batch.presence().modalities())
}

/// # Panics
///
/// If a row lacks a modality.
pub fn check_complete(batch: &Batch) {
    assert!(batch.presence().is_complete(), "a joint model learns from complete rows only");
}

/// Which rows the joint encoder serves: those that observe all modalities, if all are given.
#[derive(Clone, Debug)]
pub struct JointRows(Vec<bool>);

impl JointRows {
    /// The rows that observe all modalities, if all are given.
    pub fn new(batch: &Batch, given: Subset) -> Self {
        let all = Subset::full(batch.presence().modalities());
        Self(batch.presence().rows().iter().map(|&row| given == all && row == all).collect())
    }

    /// Whether it serves any row.
    pub fn any(&self) -> bool {
        self.0.contains(&true)
    }

    /// Whether it serves every row.
    pub fn all(&self) -> bool {
        !self.0.contains(&false)
    }

    /// Takes values `[.., batch, features]` of the joint encoder in the rows that it serves, and
    /// others in the other rows.
    pub fn choose<const D: usize>(&self, joint: Tensor<D>, other: Tensor<D>) -> Tensor<D> {
        choose(&self.0, joint, other)
    }
}

/// Takes values `[.., batch, features]` of the first tensor in the rows that are true, of the
/// second in the others.
pub fn choose<const D: usize>(rows: &[bool], first: Tensor<D>, second: Tensor<D>) -> Tensor<D> {
    let flags: Vec<f32> = rows.iter().map(|&row| f32::from(u8::from(row))).collect();
    let mut shape = [1; D];
    shape[D - 2] = rows.len();
    let mask = Tensor::<1>::from_floats(flags.as_slice(), &second.device()).reshape(shape);
    second.clone().mask_where(mask.greater_scalar(0.5).expand(second.dims()), first)
}

/// The posterior `q(z | x_S)`, `[batch, latent]`: that of the joint encoder in rows that it
/// serves, else the product of the posteriors of single modalities under `rule`.
pub fn posterior(
    joint: &JointEncoder,
    encoders: &Named<EncoderNet>,
    batch: &Batch,
    given: Subset,
    rule: Product,
) -> Normal<2> {
    let served = JointRows::new(batch, given);
    let of_all = served.any().then(|| joint.encode(batch, given.iter()));
    let product = || {
        let experts = blocks::encode(encoders, joint.modalities(), batch, given).experts;
        blocks::only(rule.of(&experts, &blocks::all_of(given.len())))
    };
    match of_all {
        Some(of_all) if served.all() => of_all,
        Some(of_all) => {
            let product = product();
            Normal::new(
                served.choose(of_all.mean, product.mean),
                served.choose(of_all.log_var, product.log_var),
            )
        }
        None => product(),
    }
}

/// What [`proposal`] gives.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// What `z` is drawn from, row by row.
    pub mixture: Mixture,
    /// The rows whose component is that of the joint encoder.
    pub served: JointRows,
    /// The joint posterior, `[batch, latent]`, meaningful in those rows; `None` if there are none.
    pub of_all: Option<Normal<2>>,
}

/// A proposal of values of `z` for rows of which the modalities `given` are to be explained: the
/// posterior of the joint encoder in rows that it serves, else the mixture of the posteriors of
/// single modalities, which is wider than their product; the prior where a row observes none.
///
/// The joint encoder's component comes first, if it serves any row; then come those of `given`,
/// unless it serves all.
pub fn proposal(
    joint: &JointEncoder,
    encoders: &Named<EncoderNet>,
    batch: &Batch,
    given: Subset,
) -> Proposal {
    let served = JointRows::new(batch, given);
    let of_all = served.any().then(|| joint.encode(batch, given.iter()));
    let mut components = Vec::new();
    components.extend(of_all.clone().map(|q| q.map(|x| x.unsqueeze_dim::<3>(0))));
    let single = components.len();
    if !served.all() {
        let experts = blocks::encode(encoders, joint.modalities(), batch, given).experts;
        components.push(Normal::new(experts.mean, experts.log_var));
    }
    let usable = |(row, &served): (&Subset, &bool)| match served {
        true => vec![0],
        false => {
            let observed = given.iter().enumerate().filter(|(_, m)| row.contains(*m));
            observed.map(|(place, _)| single + place).collect()
        }
    };
    let usable = batch.presence().rows().iter().zip(&served.0).map(usable).collect();
    let stack =
        |part: fn(&Normal<3>) -> Tensor<3>| Tensor::cat(components.iter().map(part).collect(), 0);
    let stack = Normal::new(stack(|q| q.mean.clone()), stack(|q| q.log_var.clone()));
    let prior = Normal::standard_like(&stack.mean.clone().narrow(0, 0, 1).narrow(1, 0, 1));
    let mixture = Mixture::new(stack.into(), usable, &prior.into());
    Proposal { mixture, served, of_all }
}
