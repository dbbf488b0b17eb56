//! The options of each model of the library.

use std::collections::BTreeMap;

use multivae_core::{
    distribution::Family,
    modality::ModalityName,
    nn::{JointEncoderConfig, LayerConfig, NetworkConfig},
    objective::{Rescale, Warmup},
};
use serde_json::{Value, json};

use super::{
    super::{Result, Weights, names::Place, reference::Fields},
    networks::{self, Encoder, Heads, Layout, with_decoders},
    settings::{Posterior, Settings, field},
    weights::Change,
};
use crate::{
    ModelConfig,
    ae::AeConfig,
    blocks::{experts::Estimator, powers::Powers},
    dccae::DccaeConfig,
    dvcca::DvccaConfig,
    gpoe::GpoeConfig,
    jmvae::JmvaeConfig,
    maae::MaaeConfig,
    mcvae::McvaeConfig,
    me_mvae::MeMvaeConfig,
    mmjsd::MmjsdConfig,
    mmvae::MmvaeConfig,
    mmvae_plus::MmvaePlusConfig,
    mopoe::MopoeConfig,
    mvae::{MvaeConfig, Rule},
    mvtcae::MvtcaeConfig,
    mwae::MwaeConfig,
    sparse_mvae::SparseMvaeConfig,
    weighted_dmvae::WeightedDmvaeConfig,
};

/// A model here.
pub(super) struct Model {
    pub(super) config: ModelConfig,
    pub(super) layout: Layout,
    pub(super) notes: Vec<String>,
}

type Read = fn(&Settings, &Weights) -> Result<Model>;

/// The models by their names in the library.
pub(super) const CLASSES: &[(&str, Read)] = &[
    ("AE", ae),
    ("mAAE", maae),
    ("mWAE", mwae),
    ("DCCAE", dccae),
    ("mcVAE", mcvae),
    ("DVCCA", dvcca),
    ("mVAE", mvae),
    ("me_mVAE", me_mvae),
    ("JMVAE", jmvae),
    ("mmVAE", mmvae),
    ("mmVAEPlus", mmvae_plus),
    ("mvtCAE", mvtcae),
    ("MoPoEVAE", mopoe),
    ("mmJSD", mmjsd),
    ("weighted_mVAE", weighted_mvae),
    ("DMVAE", dmvae),
    ("weighted_DMVAE", weighted_dmvae),
];

impl Model {
    fn new(config: impl Into<ModelConfig>, layout: Layout) -> Self {
        Self { config: config.into(), layout, notes: Vec::new() }
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// The options of a model, of which those of training and of all models are known.
fn options(settings: &Settings) -> Fields<'_> {
    let mut fields = Fields::new(settings.model());
    fields.know(&[
        "save_model",
        "seed_everything",
        "seed",
        "z_dim",
        "learning_rate",
        "return_mean",
        "eps",
        "sparse",
        "threshold",
    ]);
    fields
}

/// The sections of all encoders, that of joint ones too.
fn encoders(settings: &Settings) -> Vec<(String, &Value)> {
    let views = (0..settings.views.len()).map(|m| settings.network("encoder", Some(m)));
    views.chain([settings.network("encoder", None)]).collect()
}

/// Refuses posteriors that are not normal.
fn normal(settings: &Settings) -> Result<()> {
    let encoders = encoders(settings);
    match settings.posterior(&encoders)? {
        Posterior::Normal => Ok(()),
        Posterior::LaplaceSoftmax => {
            let (name, values) = &encoders[0];
            let key = format!("{name}.enc_dist");
            Err(field(key, "`Normal`, the one family that this model has", &values["enc_dist"]))
        }
    }
}

/// How many features are dropped, of a model that learns it.
fn sparse(fields: &mut Fields<'_>) -> Result<Option<f64>> {
    let sparse = fields.flag("sparse")?.unwrap_or(false);
    let threshold = fields.number("threshold")?.unwrap_or(0.0);
    // The library trains a sparse model only if it has a threshold.
    Ok((sparse && threshold != 0.0).then_some(threshold))
}

fn number(fields: &mut Fields<'_>, key: &'static str) -> Result<f64> {
    Ok(fields.number(key)?.unwrap_or(1.0))
}

/// What all terms but the likelihoods are multiplied with, so that those have weight one.
fn without_weights(fields: &mut Fields<'_>, views: f64) -> Result<f64> {
    Ok(if fields.flag("weight_ll")?.unwrap_or(false) { views } else { 1.0 })
}

fn warmup(fields: &mut Fields<'_>) -> Result<Warmup> {
    Ok(Warmup { epochs: fields.count("warmup")?.unwrap_or(0) })
}

fn joined_by_mean(fields: &mut Fields<'_>) -> Result<bool> {
    Ok(fields.word("join_type", &[("PoE", false), ("Mean", true)])?.unwrap_or(false))
}

/// So many private features of each view.
fn private(settings: &Settings, size: usize) -> BTreeMap<ModalityName, usize> {
    settings.views.iter().map(|view| (view.name.clone(), size)).collect()
}

/// How the features that encoders yield are shared out: so many are private.
fn split(fields: &mut Fields<'_>, settings: &Settings) -> Result<(usize, usize)> {
    let size = fields.needed("s_dim")?;
    if size == 0 || size >= settings.latent {
        let expected = format!("at least 1 and less than the {} of `z_dim`", settings.latent);
        return Err(field("s_dim", &expected, &json!(size)));
    }
    Ok((settings.latent - size, size))
}

fn views(settings: &Settings) -> f64 {
    settings.views.len() as f64
}

fn ae(settings: &Settings, _: &Weights) -> Result<Model> {
    options(settings).end("AE")?;
    let (modalities, layout) = networks::modalities(settings, Heads::Code)?;
    Ok(Model::new(AeConfig { latent: settings.latent, modalities, ..AeConfig::default() }, layout))
}

fn dccae(settings: &Settings, _: &Weights) -> Result<Model> {
    let mut fields = options(settings);
    let lambda = number(&mut fields, "_lambda")?;
    fields.end("DCCAE")?;
    let (modalities, layout) = networks::modalities(settings, Heads::Code)?;
    let latent = settings.latent;
    Ok(Model::new(DccaeConfig { latent, lambda, modalities, ..DccaeConfig::default() }, layout))
}

/// The critic of codes: one layer, since the library reads no others from its settings.
fn critic(layout: &mut Layout) -> Option<NetworkConfig> {
    let table = vec!["linear_layers.0".to_owned()];
    layout.places.push(Place::new("critic".into(), "discriminator".into(), vec![table]));
    Some(NetworkConfig::layers(vec![LayerConfig::linear_open()]))
}

fn maae(settings: &Settings, _: &Weights) -> Result<Model> {
    options(settings).end("mAAE")?;
    settings.standard_prior()?;
    let (modalities, mut layout) = networks::modalities(settings, Heads::Code)?;
    let (latent, critic) = (settings.latent, critic(&mut layout));
    let config = MaaeConfig { latent, critic, modalities, ..MaaeConfig::default() };
    Ok(Model::new(config, layout).note(
        "the critic's objective is that of the paper here; multi-view-AE has a 1 outside of the \
         logarithm",
    ))
}

fn mwae(settings: &Settings, _: &Weights) -> Result<Model> {
    options(settings).end("mWAE")?;
    settings.standard_prior()?;
    let (modalities, mut layout) = networks::modalities(settings, Heads::Code)?;
    let (latent, critic) = (settings.latent, critic(&mut layout));
    let config = MwaeConfig { latent, critic, modalities, ..MwaeConfig::default() };
    Ok(Model::new(config, layout).note(
        "the critic is linear here, as a Wasserstein critic must be; multi-view-AE has trained it \
         behind a sigmoid",
    ))
}

fn mcvae(settings: &Settings, _: &Weights) -> Result<Model> {
    let mut fields = options(settings);
    let (beta, threshold) = (number(&mut fields, "beta")?, sparse(&mut fields)?);
    fields.end("mcVAE")?;
    normal(settings)?;
    let heads = if threshold.is_some() { Heads::Mean } else { Heads::Both };
    let (modalities, mut layout) = networks::modalities(settings, heads)?;
    if threshold.is_some() {
        layout = layout.with_mean_encoders();
        log_alpha(&mut layout, settings);
    }
    let config = McvaeConfig {
        latent: settings.latent,
        // Likelihoods are divided by the number of pairs there and added up over views here.
        beta: beta * views(settings).powi(2),
        sparse: threshold.is_some(),
        threshold: threshold.unwrap_or(1.0),
        modalities,
        ..McvaeConfig::default()
    };
    Ok(Model::new(config, layout.within("channels")))
}

/// The dropout rates of a sparse model, which each encoder there has, too.
fn log_alpha(layout: &mut Layout, settings: &Settings) {
    layout.changes.extend((0..settings.views.len()).map(|m| Change::Again {
        name: format!("encoders.{m}.log_alpha"),
        array: "log_alpha".into(),
    }));
    layout.beside.parameters.push(("log_alpha".into(), "log_alpha".into()));
}

fn dvcca(settings: &Settings, _: &Weights) -> Result<Model> {
    let mut fields = options(settings);
    let beta = number(&mut fields, "beta")?;
    let has_private = fields.flag("private")?.unwrap_or(false);
    if let Some(threshold) = sparse(&mut fields)? {
        let expected = "0: this model has no dropout rates here";
        return Err(field("model.threshold", expected, &json!(threshold)));
    }
    fields.end("DVCCA")?;
    normal(settings)?;
    let mut layout = Layout::default();
    let shared = Encoder::read(settings, None, Heads::Both)?;
    let mut found = vec![None; settings.views.len()];
    let path = |m: usize| format!("encoders.{}", settings.views[m].name);
    if has_private {
        for (m, place) in found.iter_mut().enumerate() {
            let own = Encoder::read(settings, Some(m), Heads::Both)?;
            let theirs = format!("private_encoders.{m}");
            if m == 0 {
                own.place(format!("{}.private", path(0)), theirs, &mut layout);
                *place = Some(shared.config_beside(&own));
            } else {
                own.place(path(m), theirs, &mut layout);
                *place = Some(own.config());
            }
        }
        shared.place(format!("{}.shared", path(0)), "encoders.0".into(), &mut layout);
    } else {
        found[0] = Some(shared.config());
        shared.place(path(0), "encoders.0".into(), &mut layout);
    }
    let modalities = with_decoders(settings, found, 0, &mut layout)?;
    let config = DvccaConfig {
        latent: settings.latent,
        beta,
        primary: Some(settings.views[0].name.clone()),
        private: if has_private { private(settings, settings.latent) } else { BTreeMap::new() },
        modalities,
        ..DvccaConfig::default()
    };
    let model = Model::new(config, layout);
    Ok(match has_private {
        true => model.note(
            "each divergence counts once here; multi-view-AE counts that of the last private \
             space twice and none of the shared one",
        ),
        false => model,
    })
}

fn mvae(settings: &Settings, _: &Weights) -> Result<Model> {
    let mut fields = options(settings);
    let by_mean = joined_by_mean(&mut fields)?;
    let has_prior = fields.flag("use_prior")?.unwrap_or(true);
    let factor = without_weights(&mut fields, views(settings))?;
    let beta = number(&mut fields, "beta")? * factor;
    let (warmup, threshold) = (warmup(&mut fields)?, sparse(&mut fields)?);
    fields.end("mVAE")?;
    normal(settings)?;
    let latent = settings.latent;
    if by_mean && (threshold.is_some() || !has_prior) {
        let expected = "`PoE`: the mean of experts without the prior has no counterpart here";
        return Err(field("model.join_type", expected, &json!("Mean")));
    }
    if let Some(threshold) = threshold {
        let (modalities, layout) = networks::modalities(settings, Heads::Mean)?;
        let mut layout = layout.with_mean_encoders();
        log_alpha(&mut layout, settings);
        let config = SparseMvaeConfig {
            latent,
            beta,
            warmup,
            threshold,
            modalities,
            ..SparseMvaeConfig::default()
        };
        return Ok(Model::new(config, layout));
    }
    let (modalities, layout) = networks::modalities(settings, Heads::Both)?;
    if !has_prior {
        // With no weight on the divergences from single posteriors it is the bound of the product.
        let config = MvtcaeConfig { latent, alpha: 0.0, beta, modalities, ..Default::default() };
        let model = Model::new(config, layout);
        return Ok(match warmup.epochs {
            0 => model,
            epochs => model.note(format!(
                "the divergence has its whole weight; the warm-up of {epochs} epochs is over"
            )),
        });
    }
    let config = MvaeConfig {
        latent,
        beta,
        warmup,
        subsampling: false,
        rule: if by_mean { Rule::Mean } else { Rule::Product },
        modalities,
        ..MvaeConfig::default()
    };
    Ok(Model::new(config, layout))
}

fn me_mvae(settings: &Settings, _: &Weights) -> Result<Model> {
    let mut fields = options(settings);
    let count = views(settings);
    if joined_by_mean(&mut fields)? {
        let expected = "`PoE`, the one rule of this model here";
        return Err(field("model.join_type", expected, &json!("Mean")));
    }
    let factor = without_weights(&mut fields, count)?;
    let weighs = fields.flag("weight_kld")?.unwrap_or(false);
    let config = MeMvaeConfig {
        latent: settings.latent,
        beta: number(&mut fields, "beta")? * factor,
        beta_single: if weighs { 1.0 / count } else { 1.0 },
        warmup: warmup(&mut fields)?,
        prior_expert: fields.flag("use_prior")?.unwrap_or(false),
        ..MeMvaeConfig::default()
    };
    fields.end("me_mVAE")?;
    normal(settings)?;
    let (modalities, layout) = networks::modalities(settings, Heads::Both)?;
    Ok(Model::new(MeMvaeConfig { modalities, ..config }, layout))
}

fn jmvae(settings: &Settings, _: &Weights) -> Result<Model> {
    let mut fields = options(settings);
    let (alpha, warmup) = (number(&mut fields, "alpha")?, warmup(&mut fields)?);
    fields.end("JMVAE")?;
    normal(settings)?;
    let mut layout = Layout::default();
    let joint = Encoder::read(settings, None, Heads::Both)?;
    joint.place("joint_encoder.encoder".into(), "encoders.0".into(), &mut layout);
    let mut encoders = Vec::new();
    let mut inputs = BTreeMap::new();
    for (m, view) in settings.views.iter().enumerate() {
        let encoder = Encoder::read(settings, Some(m), Heads::Both)?;
        let theirs = format!("encoders.{}", m + 1);
        encoder.place(format!("encoders.{}", view.name), theirs, &mut layout);
        encoders.push(Some(encoder.config()));
        inputs.insert(view.name.clone(), NetworkConfig::layers(Vec::new()));
    }
    let modalities = with_decoders(settings, encoders, 0, &mut layout)?;
    let config = JmvaeConfig {
        latent: settings.latent,
        alpha,
        beta: 1.0,
        warmup,
        joint_encoder: JointEncoderConfig { inputs, encoder: Some(joint.config()) },
        modalities,
        ..JmvaeConfig::default()
    };
    Ok(Model::new(config, layout))
}

/// The families of models that weigh samples.
fn family(settings: &Settings) -> Result<Family> {
    Ok(match settings.posterior(&encoders(settings))? {
        Posterior::Normal => Family::Normal,
        Posterior::LaplaceSoftmax => Family::LaplaceSoftmax,
    })
}

fn samples(fields: &mut Fields<'_>) -> Result<(usize, f64, Estimator)> {
    let samples = fields.count("K")?.unwrap_or(1);
    let beta = number(fields, "beta")?;
    let dreg = fields.flag("DREG_loss")?.unwrap_or(false);
    Ok((samples, beta, if dreg { Estimator::Dreg } else { Estimator::Iwae }))
}

const DRAWN_AGAIN: &str = "samples are weighed as they are decoded here; multi-view-AE draws those \
                           that it weighs anew";

fn mmvae(settings: &Settings, _: &Weights) -> Result<Model> {
    let mut fields = options(settings);
    let (samples, beta, estimator) = samples(&mut fields)?;
    fields.end("mmVAE")?;
    let family = family(settings)?;
    let (modalities, layout) = networks::modalities(settings, Heads::Both)?;
    let config = MmvaeConfig {
        latent: settings.latent,
        beta,
        samples,
        family,
        learned_prior: false,
        estimator,
        modalities,
        ..MmvaeConfig::default()
    };
    Ok(Model::new(config, layout).note(DRAWN_AGAIN))
}

fn mmvae_plus(settings: &Settings, weights: &Weights) -> Result<Model> {
    let mut fields = options(settings);
    let (samples, beta, estimator) = samples(&mut fields)?;
    let (latent, private) = (fields.needed("u_dim")?, fields.needed("w_dim")?);
    // It never moves what it says it learns of them.
    fields.know(&["learn_private_prior"]);
    let learned = fields.flag("learn_shared_prior")?.unwrap_or(false);
    if fields.flag("multiple_latents")? == Some(false) {
        return Err(field("model.multiple_latents", "true", &json!(false)));
    }
    fields.end("mmVAEPlus")?;
    let family = family(settings)?;
    if settings.latent != latent + private {
        let expected = format!("{}, `u_dim` and `w_dim` together", latent + private);
        return Err(field("model.z_dim", &expected, &json!(settings.latent)));
    }
    let (modalities, mut layout) = networks::modalities(settings, Heads::Private)?;
    let [location, scale] = ["mean_priors_shared", "logvar_priors_shared"];
    let moved = |name: &str| weights.get(name).is_some_and(|e| e.values.iter().any(|x| *x != 0.0));
    let learned = learned || moved(scale);
    if learned && family == Family::LaplaceSoftmax && !settings.prior_has_softmax() {
        let expected = "`with_softmax: true`, as the encoders have, or a prior that is not learned";
        return Err(field("prior", expected, &Value::Null));
    }
    let learned_location = moved(location);
    let beside = &mut layout.beside;
    match learned {
        true => beside.parameters.push(("prior.raw".into(), scale.into())),
        false => beside.zeros.push((scale.into(), settings.latent)),
    }
    match learned_location {
        true => beside.parameters.push(("location".into(), location.into())),
        false => beside.zeros.push((location.into(), settings.latent)),
    }
    let config = MmvaePlusConfig {
        latent,
        private,
        beta,
        samples,
        family,
        learned_prior: learned,
        learned_location,
        learned_modality_priors: false,
        estimator,
        modalities,
        ..MmvaePlusConfig::default()
    };
    Ok(Model::new(config, layout).note(DRAWN_AGAIN))
}

fn mvtcae(settings: &Settings, _: &Weights) -> Result<Model> {
    let mut fields = options(settings);
    let (beta, alpha) = (number(&mut fields, "beta")?, fields.number("alpha")?.unwrap_or(0.5));
    fields.end("mvtCAE")?;
    normal(settings)?;
    let (modalities, layout) = networks::modalities(settings, Heads::Both)?;
    let latent = settings.latent;
    let config = MvtcaeConfig { latent, alpha, beta, modalities, ..MvtcaeConfig::default() };
    Ok(Model::new(config, layout))
}

fn mopoe(settings: &Settings, _: &Weights) -> Result<Model> {
    let mut fields = options(settings);
    let factor = without_weights(&mut fields, views(settings))?;
    let beta = number(&mut fields, "beta")? * factor;
    fields.end("MoPoEVAE")?;
    normal(settings)?;
    let (modalities, layout) = networks::modalities(settings, Heads::Both)?;
    let latent = settings.latent;
    Ok(Model::new(MopoeConfig { latent, beta, modalities, ..MopoeConfig::default() }, layout))
}

fn mmjsd(settings: &Settings, _: &Weights) -> Result<Model> {
    let mut fields = options(settings);
    let count = views(settings);
    let factor = without_weights(&mut fields, count)?;
    let alpha = number(&mut fields, "alpha")? * factor;
    let beta = number(&mut fields, "beta")? * factor;
    let has_private = fields.flag("private")?.unwrap_or(true);
    let sizes = match has_private {
        true => Some(split(&mut fields, settings)?),
        false => {
            fields.know(&["s_dim"]);
            None
        }
    };
    fields.end("mmJSD")?;
    normal(settings)?;
    let heads = sizes.map_or(Heads::Both, |(_, size)| Heads::Split(size));
    let (modalities, layout) = networks::modalities(settings, heads)?;
    let config = MmjsdConfig {
        latent: sizes.map_or(settings.latent, |(latent, _)| latent),
        // It divides by one more than there are views, with the prior among them or not.
        alpha: if has_private { alpha * count / (count + 1.0) } else { alpha },
        beta: beta / count,
        prior_expert: !has_private,
        private: sizes.map_or_else(BTreeMap::new, |(_, size)| private(settings, size)),
        modalities,
        ..MmjsdConfig::default()
    };
    let model = Model::new(config, layout);
    Ok(match has_private {
        true => model,
        false => model.note(
            "the divergence of the prior is part of the objective here; multi-view-AE leaves it out",
        ),
    })
}

/// Powers that are learned.
fn powers(layout: &mut Layout, settings: &Settings) {
    layout.changes.push(Change::Odds { array: POWERS.into() });
    power_names(layout, settings);
}

const POWERS: &str = "poe_weight";

fn power_names(layout: &mut Layout, settings: &Settings) {
    for (m, view) in settings.views.iter().enumerate() {
        let ours = format!("powers.logits.{}", view.name);
        layout.beside.parameters.push((ours, format!("{POWERS}.{m}")));
    }
}

fn weighted_mvae(settings: &Settings, _: &Weights) -> Result<Model> {
    let mut fields = options(settings);
    // Nothing there reads it.
    fields.know(&["_lambda"]);
    let count = views(settings);
    let beta = number(&mut fields, "beta")? * count;
    let sizes = match fields.flag("private")?.unwrap_or(false) {
        true => Some(split(&mut fields, settings)?),
        false => {
            fields.know(&["s_dim"]);
            None
        }
    };
    fields.end("weighted_mVAE")?;
    normal(settings)?;
    let heads = sizes.map_or(Heads::Both, |(_, size)| Heads::Split(size));
    let (modalities, mut layout) = networks::modalities(settings, heads)?;
    powers(&mut layout, settings);
    let config = GpoeConfig {
        latent: sizes.map_or(settings.latent, |(latent, _)| latent),
        beta,
        beta_private: 1.0 / count,
        powers: Powers::Free,
        private: sizes.map_or_else(BTreeMap::new, |(_, size)| private(settings, size)),
        modalities,
        ..GpoeConfig::default()
    };
    Ok(Model::new(config, layout))
}

fn dmvae(settings: &Settings, _: &Weights) -> Result<Model> {
    let (config, mut layout) = private_and_shared(settings, "DMVAE")?;
    // The product of experts as they are.
    let (views, latent) = (settings.views.len(), config.latent);
    layout.changes.push(Change::Ones { array: POWERS.into(), views, latent });
    power_names(&mut layout, settings);
    Ok(Model::new(config, layout).note(CROSSED))
}

fn weighted_dmvae(settings: &Settings, _: &Weights) -> Result<Model> {
    let (config, mut layout) = private_and_shared(settings, "weighted_DMVAE")?;
    if config.rescale != Rescale::None {
        let expected = "none: it counts in some terms only, which has no counterpart here";
        return Err(field("model._lambda", expected, &settings.model()["_lambda"]));
    }
    powers(&mut layout, settings);
    Ok(Model::new(config, layout).note(CROSSED))
}

const CROSSED: &str = "a view is decoded from the shared code of another and its own private one \
                       here, as in the paper; multi-view-AE takes them the other way round";

/// A model of private spaces and a product of the shared ones.
fn private_and_shared(
    settings: &Settings,
    class: &'static str,
) -> Result<(WeightedDmvaeConfig, Layout)> {
    let mut fields = options(settings);
    let beta = number(&mut fields, "beta")?;
    fields.know(&["private", "_lambda"]);
    let (latent, size) = split(&mut fields, settings)?;
    fields.end(class)?;
    normal(settings)?;
    let rescale = match settings.model().get("_lambda") {
        None | Some(Value::Null) => Rescale::None,
        Some(list) => {
            let numbers: Option<Vec<f64>> = list
                .as_array()
                .filter(|list| list.len() == settings.views.len())
                .and_then(|list| list.iter().map(Value::as_f64).collect());
            match numbers {
                None => return Err(field("model._lambda", "a number for each view", list)),
                Some(numbers) if numbers.iter().all(|x| *x == 1.0) => Rescale::None,
                Some(numbers) => Rescale::Given(numbers),
            }
        }
    };
    let (modalities, layout) = networks::modalities(settings, Heads::Split(size))?;
    let config = WeightedDmvaeConfig {
        latent,
        beta: beta * views(settings),
        powers: Powers::Free,
        private: private(settings, size),
        private_betas: settings.views.iter().map(|view| (view.name.clone(), beta)).collect(),
        rescale,
        modalities,
    };
    Ok((config, layout))
}
