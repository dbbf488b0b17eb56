//! The models of the reference that are read and written.

use multivae_core::objective::{Rescale, Warmup};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Result,
    reference::{Base, ByName, Fields},
};
use crate::{
    ModelConfig, crmvae::CrmvaeConfig, dmvae::DmvaeConfig, jmvae::JmvaeConfig, mhvae::MhvaeConfig,
    mopoe::MopoeConfig, mvae::MvaeConfig, mvtcae::MvtcaeConfig,
};

/// A class of the reference, and how its configuration is one of ours and back.
pub(super) struct Class {
    pub(super) name: &'static str,
    /// Reads the keys of its own.
    pub(super) read: fn(&mut Fields<'_>, Base) -> Result<ModelConfig>,
    /// Writes them; `None` for another model.
    pub(super) write: fn(&ModelConfig) -> Option<Own<'_>>,
}

/// What the reference writes of a model besides its modalities.
pub(super) struct Own<'a> {
    pub(super) latent: usize,
    pub(super) rescale: &'a Rescale,
    /// The keys of the class.
    pub(super) keys: Value,
}

impl<'a> Own<'a> {
    fn new(latent: usize, rescale: &'a Rescale, keys: Value) -> Self {
        Self { latent, rescale, keys }
    }
}

/// The models. A further one is a line here and two functions below; what it has beside encoders
/// and decoders is said in [`names`](super::names).
pub(super) const CLASSES: &[Class] = &[
    Class { name: "MVAEConfig", read: mvae, write: write_mvae },
    Class { name: "MoPoEConfig", read: mopoe, write: write_mopoe },
    // It has no default networks, from which the reference could rebuild it.
    Class { name: "MHVAEConfig", read: mhvae, write: |_| None },
    Class { name: "JMVAEConfig", read: jmvae, write: write_jmvae },
    Class { name: "MVTCAEConfig", read: mvtcae, write: write_mvtcae },
    Class { name: "CRMVAEConfig", read: crmvae, write: write_crmvae },
    Class { name: "DMVAEConfig", read: dmvae, write: write_dmvae },
];

/// What the reference has nothing for is null.
fn or_null<T: Serialize>(values: &ByName<T>) -> Value {
    if values.is_empty() { Value::Null } else { json!(values) }
}

fn mvae(fields: &mut Fields<'_>, base: Base) -> Result<ModelConfig> {
    let random = fields.count("k")?.unwrap_or(0);
    Ok(MvaeConfig {
        latent: base.latent,
        beta: fields.number("beta")?.unwrap_or(1.0),
        warmup: Warmup { epochs: fields.count("warmup")?.unwrap_or(10) },
        subsampling: fields.flag("use_subsampling")?.unwrap_or(true),
        // Of fewer modalities the reference draws none, whatever `k` says.
        random_subsets: if base.modalities.len() > 2 { random } else { 0 },
        rescale: base.rescale.clone(),
        modalities: base.with_networks(2),
    }
    .into())
}

fn write_mvae(config: &ModelConfig) -> Option<Own<'_>> {
    let ModelConfig::Mvae(config) = config else { return None };
    let keys = json!({
        "use_subsampling": config.subsampling,
        "k": config.random_subsets,
        "warmup": config.warmup.epochs,
        "beta": config.beta,
    });
    Some(Own::new(config.latent, &config.rescale, keys))
}

fn mopoe(fields: &mut Fields<'_>, base: Base) -> Result<ModelConfig> {
    let private = fields.sizes("modalities_specific_dim", &base)?;
    let hidden = if private.is_some() { 1 } else { 2 };
    let subsets = fields.subsets("subsets")?;
    // All of them is our default.
    let all = 1usize.checked_shl(base.modalities.len() as u32).unwrap_or(0);
    Ok(MopoeConfig {
        latent: base.latent,
        beta: fields.number("beta")?.unwrap_or(1.0),
        beta_private: fields.number("beta_style")?.unwrap_or(1.0),
        subsets: if subsets.len() + 1 == all { Vec::new() } else { subsets },
        rescale: base.rescale.clone(),
        private: private.unwrap_or_default(),
        modalities: base.with_networks(hidden),
    }
    .into())
}

fn write_mopoe(config: &ModelConfig) -> Option<Own<'_>> {
    let ModelConfig::Mopoe(config) = config else { return None };
    let keys = json!({
        "subsets": (!config.subsets.is_empty()).then_some(&config.subsets),
        "beta": config.beta,
        "beta_style": config.beta_private,
        "modalities_specific_dim": or_null(&config.private),
    });
    Some(Own::new(config.latent, &config.rescale, keys))
}

fn mhvae(fields: &mut Fields<'_>, base: Base) -> Result<ModelConfig> {
    Ok(MhvaeConfig {
        latent: base.latent,
        levels: fields.count("n_latent")?.unwrap_or(3),
        beta: fields.number("beta")?.unwrap_or(1.0),
        rescale: base.rescale,
        modalities: base.modalities,
        ..MhvaeConfig::default()
    }
    .into())
}

fn jmvae(fields: &mut Fields<'_>, base: Base) -> Result<ModelConfig> {
    Ok(JmvaeConfig {
        latent: base.latent,
        alpha: fields.number("alpha")?.unwrap_or(0.1),
        beta: fields.number("beta")?.unwrap_or(1.0),
        warmup: Warmup { epochs: fields.count("warmup")?.unwrap_or(10) },
        rescale: base.rescale.clone(),
        joint_encoder: base.joint_encoder(),
        modalities: base.with_networks(2),
    }
    .into())
}

fn write_jmvae(config: &ModelConfig) -> Option<Own<'_>> {
    let ModelConfig::Jmvae(config) = config else { return None };
    let keys = json!({
        "alpha": config.alpha, "warmup": config.warmup.epochs, "beta": config.beta,
    });
    Some(Own::new(config.latent, &config.rescale, keys))
}

fn mvtcae(fields: &mut Fields<'_>, base: Base) -> Result<ModelConfig> {
    Ok(MvtcaeConfig {
        latent: base.latent,
        alpha: fields.number("alpha")?.unwrap_or(0.1),
        beta: fields.number("beta")?.unwrap_or(2.5),
        rescale: base.rescale.clone(),
        modalities: base.with_networks(2),
    }
    .into())
}

fn write_mvtcae(config: &ModelConfig) -> Option<Own<'_>> {
    let ModelConfig::Mvtcae(config) = config else { return None };
    let keys = json!({ "alpha": config.alpha, "beta": config.beta });
    Some(Own::new(config.latent, &config.rescale, keys))
}

fn crmvae(fields: &mut Fields<'_>, base: Base) -> Result<ModelConfig> {
    Ok(CrmvaeConfig {
        latent: base.latent,
        beta: fields.number("beta")?.unwrap_or(2.5),
        rescale: base.rescale.clone(),
        modalities: base.with_networks(2),
    }
    .into())
}

fn write_crmvae(config: &ModelConfig) -> Option<Own<'_>> {
    let ModelConfig::Crmvae(config) = config else { return None };
    Some(Own::new(config.latent, &config.rescale, json!({ "beta": config.beta })))
}

fn dmvae(fields: &mut Fields<'_>, base: Base) -> Result<ModelConfig> {
    Ok(DmvaeConfig {
        latent: base.latent,
        beta: fields.number("beta")?.unwrap_or(1.0),
        private: fields.sizes("modalities_specific_dim", &base)?.unwrap_or_default(),
        private_betas: fields.weights("modalities_specific_betas", &base)?,
        rescale: base.rescale.clone(),
        modalities: base.with_networks(1),
    }
    .into())
}

fn write_dmvae(config: &ModelConfig) -> Option<Own<'_>> {
    let ModelConfig::Dmvae(config) = config else { return None };
    let keys = json!({
        "modalities_specific_dim": config.private,
        "modalities_specific_betas": or_null(&config.private_betas),
        "beta": config.beta,
    });
    Some(Own::new(config.latent, &config.rescale, keys))
}
