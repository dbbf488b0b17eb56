//! The models of the reference that are read and written.

use multivae_core::{
    distribution::Family,
    nn::{Activation, FlowConfig, JointEncoderConfig, NetworkConfig},
    objective::{Rescale, Warmup},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Result,
    reference::{Base, ByName, Fields, WIDTH, decoder, encoder, scale},
};
use crate::{
    ModelConfig,
    blocks::{
        experts::{Estimator, PrivatePrior},
        subset_mixture::SubsetsConfig,
    },
    cmvae::CmvaeConfig,
    crmvae::CrmvaeConfig,
    cvae::CvaeConfig,
    dmvae::DmvaeConfig,
    jmvae::JmvaeConfig,
    jnf::JnfConfig,
    mhvae::MhvaeConfig,
    mmvae::MmvaeConfig,
    mmvae_plus::MmvaePlusConfig,
    mopoe::MopoeConfig,
    mvae::MvaeConfig,
    mvtcae::MvtcaeConfig,
    nexus::NexusConfig,
    registry::CLASSES,
    telbo::TelboConfig,
};

/// A class of the reference, and how its configuration is one of ours and back.
pub(crate) struct Class {
    pub(super) name: &'static str,
    /// Reads the keys of its own.
    pub(super) read: fn(&mut Fields<'_>, Base) -> Result<ModelConfig>,
    /// Writes them; `None` for another model.
    pub(super) write: fn(&ModelConfig) -> Option<Own<'_>>,
    /// The keys that the reference's examples set.
    pub(super) example: fn(&Example<'_>) -> Value,
}

/// Data of an example of the reference.
#[derive(Clone, Copy, Debug)]
pub struct Example<'a> {
    /// Its name, such as `polymnist`.
    pub data: &'a str,
    /// The names of its modalities.
    pub modalities: &'a [&'a str],
    /// Latent features of each modality alone, for models that have such.
    pub private: usize,
}

impl Example<'_> {
    /// A size for each modality.
    fn each(&self, size: usize) -> Value {
        self.modalities.iter().map(|name| ((*name).to_owned(), json!(size))).collect()
    }

    /// With the size of the shared space that examples of images have beside private ones.
    fn with_shared(&self, mut keys: Value) -> Value {
        if self.data == "polymnist" {
            keys["latent_dim"] = json!(32);
        }
        keys
    }
}

/// What the reference's example of a model sets, by the model's name here: its class and keys, of
/// which the defaults are left out. `None` for a model that the reference lacks.
pub fn example(model: &str, data: &Example<'_>) -> Option<Value> {
    let (_, class) = CLASSES.iter().find(|(name, _)| *name == model)?;
    let class = class.as_ref()?;
    let mut keys = (class.example)(data);
    keys["name"] = json!(class.name);
    Some(keys)
}

/// Whether the reference has a model, by the model's name here.
pub fn is_known(model: &str) -> bool {
    CLASSES.iter().any(|(name, class)| *name == model && class.is_some())
}

/// What the reference writes of a model besides its modalities.
pub(crate) struct Own<'a> {
    /// Latent features and rescaling of the classes that have what all have.
    pub(super) base: Option<(usize, &'a Rescale)>,
    /// The keys of the class.
    pub(super) keys: Value,
}

impl<'a> Own<'a> {
    fn new(latent: usize, rescale: &'a Rescale, keys: Value) -> Self {
        Self { base: Some((latent, rescale)), keys }
    }
}

// The models. A further one is a constant here, with functions below, which its line of the list of
// models reaches; what it has beside encoders and decoders is said in [`names`](super::names).

pub(crate) const MVAE: Class = Class {
    name: "MVAEConfig",
    read: mvae,
    write: write_mvae,
    example: |_| json!({ "use_subsampling": true, "warmup": 0, "beta": 2.5 }),
};
pub(crate) const MOPOE: Class = Class {
    name: "MoPoEConfig",
    read: mopoe,
    write: write_mopoe,
    example: |_| json!({ "beta": 2.5 }),
};
/// It has no default networks, from which the reference could rebuild it.
pub(crate) const MHVAE: Class =
    Class { name: "MHVAEConfig", read: mhvae, write: |_| None, example: |_| json!({}) };
pub(crate) const JMVAE: Class = Class {
    name: "JMVAEConfig",
    read: jmvae,
    write: write_jmvae,
    example: |_| json!({ "alpha": 0.1, "warmup": 200 }),
};
pub(crate) const TELBO: Class =
    Class { name: "TELBOConfig", read: telbo, write: write_telbo, example: |_| json!({}) };
pub(crate) const JNF: Class =
    Class { name: "JNFConfig", read: jnf, write: write_jnf, example: |_| json!({ "warmup": 400 }) };
pub(crate) const MVTCAE: Class = Class {
    name: "MVTCAEConfig",
    read: mvtcae,
    write: write_mvtcae,
    example: |_| json!({ "beta": 2.5, "alpha": 5.0 / 6.0 }),
};
pub(crate) const CRMVAE: Class = Class {
    name: "CRMVAEConfig",
    read: crmvae,
    write: write_crmvae,
    example: |_| json!({ "beta": 0.1 }),
};
pub(crate) const DMVAE: Class =
    Class { name: "DMVAEConfig", read: dmvae, write: write_dmvae, example: example_dmvae };
pub(crate) const MMVAE: Class = Class {
    name: "MMVAEConfig",
    read: mmvae,
    write: write_mmvae,
    example: |_| {
        json!({
            "K": 10, "prior_and_posterior_dist": "laplace_with_softmax", "learn_prior": false,
        })
    },
};
pub(crate) const MMVAE_PLUS: Class = Class {
    name: "MMVAEPlusConfig",
    read: mmvae_plus,
    write: write_mmvae_plus,
    example: example_private_experts,
};
pub(crate) const CMVAE: Class = Class {
    name: "CMVAEConfig",
    read: cmvae,
    write: write_cmvae,
    example: example_private_experts,
};
pub(crate) const NEXUS: Class =
    Class { name: "NexusConfig", read: nexus, write: write_nexus, example: example_nexus };
pub(crate) const CVAE: Class =
    Class { name: "CVAEConfig", read: cvae, write: write_cvae, example: |_| json!({}) };

const FAMILIES: &[(&str, Family)] = &[
    ("laplace_with_softmax", Family::LaplaceSoftmax),
    ("normal_with_softplus", Family::NormalSoftplus),
    ("normal", Family::Normal),
];
const ESTIMATORS: &[(&str, Estimator)] =
    &[("iwae_looser", Estimator::Iwae), ("dreg_looser", Estimator::Dreg)];
const PRIVATE_PRIORS: &[(&str, PrivatePrior)] =
    &[("joint_prior", PrivatePrior::Shared), ("single_prior", PrivatePrior::Modality)];

/// The reference's word for a value.
fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    let found = words.iter().find(|(_, other)| other == value);
    found.expect("every value has a word").0
}

/// What the reference has nothing for is null.
fn or_null<T: Serialize>(values: &ByName<T>) -> Value {
    if values.is_empty() { Value::Null } else { json!(values) }
}

fn example_dmvae(data: &Example<'_>) -> Value {
    data.with_shared(match data.data {
        "mnist_svhn" => json!({
            "modalities_specific_dim": { "mnist": 1, "svhn": 4 },
            "rescale_factors": { "mnist": 50, "svhn": 1 },
            "uses_likelihood_rescaling": true,
        }),
        _ => json!({ "modalities_specific_dim": data.each(data.private) }),
    })
}

fn example_private_experts(data: &Example<'_>) -> Value {
    data.with_shared(json!({
        "K": 1,
        "prior_and_posterior_dist": "laplace_with_softmax",
        "beta": 2.5,
        "modalities_specific_dim": data.private,
        "learn_modality_prior": true,
        "loss": "iwae_looser",
    }))
}

fn example_nexus(data: &Example<'_>) -> Value {
    let size = if data.data == "polymnist" { 64 } else { data.private };
    json!({ "modalities_specific_dim": data.each(size) })
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
        ..MvaeConfig::default()
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
        subsets: SubsetsConfig::Given(if subsets.len() + 1 == all { Vec::new() } else { subsets }),
        rescale: base.rescale.clone(),
        private: private.unwrap_or_default(),
        modalities: base.with_networks(hidden),
    }
    .into())
}

fn write_mopoe(config: &ModelConfig) -> Option<Own<'_>> {
    let ModelConfig::Mopoe(config) = config else { return None };
    // Subsets that are drawn are those of all, on average.
    let subsets = match &config.subsets {
        SubsetsConfig::Given(subsets) if !subsets.is_empty() => Some(subsets),
        _ => None,
    };
    let keys = json!({
        "subsets": subsets,
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
        // The reference has neither.
        warmup: Warmup { epochs: 0 },
        free_bits: 0.0,
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
        joint_encoder: base.joint_encoder("joint_encoder"),
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

fn telbo(fields: &mut Fields<'_>, base: Base) -> Result<ModelConfig> {
    Ok(TelboConfig {
        latent: base.latent,
        joint_epochs: fields.count("warmup")?.unwrap_or(10).max(1),
        rescale: base.rescale.clone(),
        lambda: fields.weights("lambda_factors", &base)?,
        gamma: fields.weights("gamma_factors", &base)?,
        joint_encoder: base.joint_encoder("joint_encoder"),
        modalities: base.with_networks(2),
    }
    .into())
}

fn write_telbo(config: &ModelConfig) -> Option<Own<'_>> {
    let ModelConfig::Telbo(config) = config else { return None };
    let keys = json!({
        "warmup": config.joint_epochs,
        "lambda_factors": or_null(&config.lambda),
        "gamma_factors": or_null(&config.gamma),
    });
    Some(Own::new(config.latent, &config.rescale, keys))
}

fn jnf(fields: &mut Fields<'_>, base: Base) -> Result<ModelConfig> {
    Ok(JnfConfig {
        latent: base.latent,
        joint_epochs: fields.count("warmup")?.unwrap_or(10).max(1),
        beta: fields.number("beta")?.unwrap_or(1.0),
        rescale: base.rescale.clone(),
        flow: FlowConfig::maf(),
        joint_encoder: base.joint_encoder("joint_encoder"),
        modalities: base.with_networks(2),
        ..JnfConfig::default()
    }
    .into())
}

fn write_jnf(config: &ModelConfig) -> Option<Own<'_>> {
    let ModelConfig::Jnf(config) = config else { return None };
    let keys = json!({ "warmup": config.joint_epochs, "beta": config.beta });
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

fn mmvae(fields: &mut Fields<'_>, base: Base) -> Result<ModelConfig> {
    Ok(MmvaeConfig {
        latent: base.latent,
        beta: fields.number("beta")?.unwrap_or(1.0),
        samples: fields.count("K")?.unwrap_or(10),
        family: fields.word("prior_and_posterior_dist", FAMILIES)?.unwrap_or_default(),
        learned_prior: fields.flag("learn_prior")?.unwrap_or(true),
        estimator: fields.word("loss", ESTIMATORS)?.unwrap_or_default(),
        rescale: base.rescale.clone(),
        modalities: base.with_networks(2),
    }
    .into())
}

fn write_mmvae(config: &ModelConfig) -> Option<Own<'_>> {
    let ModelConfig::Mmvae(config) = config else { return None };
    let keys = json!({
        "K": config.samples,
        "prior_and_posterior_dist": word(FAMILIES, &config.family),
        "learn_prior": config.learned_prior,
        "beta": config.beta,
        "loss": word(ESTIMATORS, &config.estimator),
    });
    Some(Own::new(config.latent, &config.rescale, keys))
}

fn mmvae_plus(fields: &mut Fields<'_>, base: Base) -> Result<ModelConfig> {
    Ok(MmvaePlusConfig {
        latent: base.latent,
        private: fields.needed("modalities_specific_dim")?,
        beta: fields.number("beta")?.unwrap_or(1.0),
        samples: fields.count("K")?.unwrap_or(10),
        family: fields.word("prior_and_posterior_dist", FAMILIES)?.unwrap_or_default(),
        learned_prior: fields.flag("learn_shared_prior")?.unwrap_or(false),
        learned_modality_priors: fields.flag("learn_modality_prior")?.unwrap_or(true),
        private_prior: fields.word("reconstruction_option", PRIVATE_PRIORS)?.unwrap_or_default(),
        estimator: fields.word("loss", ESTIMATORS)?.unwrap_or_default(),
        rescale: base.rescale.clone(),
        modalities: base.with_networks(1),
        ..MmvaePlusConfig::default()
    }
    .into())
}

fn write_mmvae_plus(config: &ModelConfig) -> Option<Own<'_>> {
    let ModelConfig::MmvaePlus(config) = config else { return None };
    let keys = json!({
        "K": config.samples,
        "prior_and_posterior_dist": word(FAMILIES, &config.family),
        "learn_shared_prior": config.learned_prior,
        "learn_modality_prior": config.learned_modality_priors,
        "beta": config.beta,
        "modalities_specific_dim": config.private,
        "reconstruction_option": word(PRIVATE_PRIORS, &config.private_prior),
        "loss": word(ESTIMATORS, &config.estimator),
    });
    Some(Own::new(config.latent, &config.rescale, keys))
}

fn cmvae(fields: &mut Fields<'_>, base: Base) -> Result<ModelConfig> {
    Ok(CmvaeConfig {
        clusters: fields.count("number_of_clusters")?.unwrap_or(10),
        latent: base.latent,
        private: fields.needed("modalities_specific_dim")?,
        beta: fields.number("beta")?.unwrap_or(1.0),
        samples: fields.count("K")?.unwrap_or(10),
        family: fields.word("prior_and_posterior_dist", FAMILIES)?.unwrap_or_default(),
        learned_modality_priors: fields.flag("learn_modality_prior")?.unwrap_or(true),
        private_prior: fields.word("reconstruction_option", PRIVATE_PRIORS)?.unwrap_or_default(),
        estimator: fields.word("loss", ESTIMATORS)?.unwrap_or_default(),
        rescale: base.rescale.clone(),
        modalities: base.with_networks(1),
    }
    .into())
}

fn write_cmvae(config: &ModelConfig) -> Option<Own<'_>> {
    let ModelConfig::Cmvae(config) = config else { return None };
    let keys = json!({
        "K": config.samples,
        "prior_and_posterior_dist": word(FAMILIES, &config.family),
        "learn_modality_prior": config.learned_modality_priors,
        "beta": config.beta,
        "modalities_specific_dim": config.private,
        "reconstruction_option": word(PRIVATE_PRIORS, &config.private_prior),
        "loss": word(ESTIMATORS, &config.estimator),
        "number_of_clusters": config.clusters,
    });
    Some(Own::new(config.latent, &config.rescale, keys))
}

fn nexus(fields: &mut Fields<'_>, base: Base) -> Result<ModelConfig> {
    // There is one way of joining messages.
    fields.word("aggregator", &[("mean", ())])?;
    Ok(NexusConfig {
        latent: base.latent,
        message: fields.count("msg_dim")?.unwrap_or(10),
        dropout: fields.number("dropout_rate")?.unwrap_or(0.0),
        warmup: Warmup { epochs: fields.count("warmup")?.unwrap_or(20) },
        top_beta: fields.number("top_beta")?.unwrap_or(1.0),
        adaptive: fields.names("adapt_top_decoder_variance")?,
        rescale: base.rescale.clone(),
        private: fields.sizes("modalities_specific_dim", &base)?.unwrap_or_default(),
        bottom_betas: fields.weights("bottom_betas", &base)?,
        gammas: fields.weights("gammas", &base)?,
        top_encoders: base.each("top_encoders", message_encoder),
        top_encoder: base.has("joint_encoder").then(|| encoder(2)),
        top_decoders: base.each("top_decoders", decoder),
        modalities: base.with_networks(2),
    }
    .into())
}

/// The reference's default encoder up to its mean, which is all that it reads of it.
fn message_encoder() -> NetworkConfig {
    NetworkConfig::Mlp {
        hidden: vec![WIDTH; 2],
        activation: Activation::Relu,
        output: Activation::None,
    }
}

fn write_nexus(config: &ModelConfig) -> Option<Own<'_>> {
    let ModelConfig::Nexus(config) = config else { return None };
    let keys = json!({
        "modalities_specific_dim": config.private,
        "bottom_betas": or_null(&config.bottom_betas),
        "dropout_rate": config.dropout,
        "msg_dim": config.message,
        "aggregator": "mean",
        "top_beta": config.top_beta,
        "gammas": or_null(&config.gammas),
        "warmup": config.warmup.epochs,
        "adapt_top_decoder_variance":
            (!config.adaptive.is_empty()).then_some(&config.adaptive),
    });
    Some(Own::new(config.latent, &config.rescale, keys))
}

fn cvae(fields: &mut Fields<'_>, base: Base) -> Result<ModelConfig> {
    let main = fields.name("main_modality", &base)?;
    let likelihood = fields.likelihood("decoder_dist", "decoder_dist_params")?;
    let mut modalities = base.modalities.clone();
    for config in &mut modalities {
        config.encoder = base.has("encoder").then(|| encoder(2));
        if config.name == main {
            config.likelihood = Some(likelihood.clone());
            config.decoder = base.has("decoder").then(decoder);
        }
    }
    Ok(CvaeConfig {
        latent: base.latent,
        beta: fields.number("beta")?.unwrap_or(1.0),
        main: Some(main),
        conditioning: fields.names("conditioning_modalities")?,
        joint_encoder: base.joint_encoder("encoder"),
        // Where the reference has one, it is the user's.
        prior_network: (!base.has("prior_network")).then(JointEncoderConfig::default),
        modalities,
    }
    .into())
}

fn write_cvae(config: &ModelConfig) -> Option<Own<'_>> {
    let ModelConfig::Cvae(config) = config else { return None };
    let main = config.modalities.iter().find(|c| Some(&c.name) == config.main.as_ref())?;
    let shapes: Map<String, Value> =
        config.modalities.iter().map(|c| (c.name.to_string(), json!(c.shape))).collect();
    let keys = json!({
        "conditioning_modalities": config.conditioning,
        "main_modality": config.main,
        "input_dims": shapes,
        "latent_dim": config.latent,
        "beta": config.beta,
        "decoder_dist": main.likelihood.clone().unwrap_or_default().kind(),
        "decoder_dist_params": scale(main).unwrap_or_else(|| json!({})),
        "custom_architectures": [],
    });
    Some(Own { base: None, keys })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Reference, describe};

    /// The keys that the reference writes of each class that it can rebuild, as it writes them.
    const WRITTEN: &[&str] = &[
        r#""name": "MVAEConfig", "use_subsampling": false, "k": 1, "warmup": 3, "beta": 2.0"#,
        r#""name": "MoPoEConfig", "subsets": null, "beta": 2.5, "beta_style": 0.5,
            "modalities_specific_dim": null"#,
        r#""name": "MoPoEConfig", "subsets": [["x"], ["x", "y"]], "beta": 2.5, "beta_style": 0.5,
            "modalities_specific_dim": {"x": 1, "y": 2, "w": 0}"#,
        r#""name": "JMVAEConfig", "alpha": 0.3, "warmup": 3, "beta": 2.0"#,
        r#""name": "TELBOConfig", "warmup": 3, "lambda_factors": null,
            "gamma_factors": {"w": 1.0, "x": 2.0, "y": 3.0}"#,
        r#""name": "JNFConfig", "warmup": 3, "beta": 2.0"#,
        r#""name": "MVTCAEConfig", "alpha": 0.3, "beta": 2.0"#,
        r#""name": "CRMVAEConfig", "beta": 2.0"#,
        r#""name": "DMVAEConfig", "modalities_specific_dim": {"w": 1, "x": 2, "y": 3},
            "modalities_specific_betas": {"x": 0.5}, "beta": 2.0"#,
        r#""name": "MMVAEConfig", "K": 3, "prior_and_posterior_dist": "normal",
            "learn_prior": false, "beta": 2.0, "loss": "iwae_looser""#,
        r#""name": "MMVAEPlusConfig", "K": 3, "prior_and_posterior_dist": "normal_with_softplus",
            "learn_shared_prior": true, "learn_modality_prior": false, "beta": 2.0,
            "modalities_specific_dim": 2, "reconstruction_option": "single_prior",
            "loss": "dreg_looser""#,
        r#""name": "CMVAEConfig", "K": 3, "prior_and_posterior_dist": "laplace_with_softmax",
            "learn_modality_prior": true, "beta": 2.0, "modalities_specific_dim": 2,
            "reconstruction_option": "joint_prior", "loss": "dreg_looser",
            "number_of_clusters": 4"#,
        r#""name": "NexusConfig", "modalities_specific_dim": {"w": 1, "x": 2, "y": 3},
            "bottom_betas": null, "dropout_rate": 0.25, "msg_dim": 7, "aggregator": "mean",
            "top_beta": 2.0, "gammas": {"x": 0.5}, "warmup": 3,
            "adapt_top_decoder_variance": ["x"]"#,
    ];

    /// As the reference writes it; it has not what the other classes have.
    const CVAE: &str = r#"{"name": "CVAEConfig", "conditioning_modalities": ["w", "x"],
        "main_modality": "y", "input_dims": {"x": [2, 2], "y": [6], "w": [3]}, "latent_dim": 3,
        "beta": 2.0, "decoder_dist": "laplace", "decoder_dist_params": {"scale": 0.5},
        "custom_architectures": []}"#;

    fn whole(keys: &str) -> Value {
        let text = format!(
            r#"{{{keys}, "n_modalities": 3, "latent_dim": 3,
                "input_dims": {{"y": [6], "x": [2, 2], "w": [3]}},
                "uses_likelihood_rescaling": true, "rescale_factors": null,
                "decoders_dist": {{"y": "normal", "x": "laplace", "w": "bernoulli"}},
                "decoder_dist_params": {{"x": {{"scale": 0.5}}}}, "custom_architectures": []}}"#
        );
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn what_is_read_of_a_class_is_written_again() {
        let cvae = serde_json::from_str(CVAE).expect("JSON");
        for json in WRITTEN.iter().map(|keys| whole(keys)).chain([cvae]) {
            let config = Reference::read(&json).and_then(|reference| reference.config());
            let config = config.unwrap_or_else(|error| panic!("{error}: {json}"));
            assert_eq!(describe(&config), Some(json));
        }
    }

    #[test]
    fn every_class_that_is_written_is_in_the_test_above() {
        let classes = CLASSES.iter().filter_map(|(_, class)| class.as_ref());
        for class in classes.filter(|class| class.name != "MHVAEConfig") {
            let tested = WRITTEN.iter().chain([&CVAE]).any(|keys| keys.contains(class.name));
            assert!(tested, "{}", class.name);
        }
    }

    #[test]
    fn a_word_that_the_reference_does_not_have_is_refused() {
        let json = whole(&WRITTEN[9].replace("iwae_looser", "iwae"));
        let text = Reference::read(&json).map(|_| ()).expect_err("no such loss").to_string();
        assert_eq!(text, "`loss`: expected \"iwae_looser\" or \"dreg_looser\", found \"iwae\"");
    }
}
