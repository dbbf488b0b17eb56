//! Settings of the library: defaults, merging, classes and distributions.

use multivae_core::distribution::{Likelihood, Scale};
use serde_json::{Map, Value, json};

use super::{
    super::{ExchangeError, Result},
    View,
};

/// Where the library's own networks and distributions are.
const ARCHITECTURES: &str = "multiviewae.architectures.";
const DISTRIBUTIONS: &str = "multiviewae.base.distributions.";

/// Settings of a model, complete.
pub(super) struct Settings {
    pub(super) views: Vec<View>,
    /// Features of what an encoder yields, `z_dim`.
    pub(super) latent: usize,
    values: Value,
}

/// The error about a value.
pub(super) fn field(name: impl Into<String>, expected: &str, found: &Value) -> ExchangeError {
    ExchangeError::Field { field: name.into(), expected: expected.into(), found: found.to_string() }
}

impl Settings {
    pub(super) fn new(
        class: &str,
        views: &[View],
        latent: Option<usize>,
        given: &Value,
    ) -> Result<Self> {
        let Some(given) = given.as_object() else {
            return Err(field("settings", "a mapping", given));
        };
        // Hydra would look for other files.
        if let Some(list) = given.get("defaults") {
            let itself = |entry: &Value| entry == "_self_";
            if !list.as_array().is_some_and(|list| list.iter().all(itself)) {
                let expected = "nothing: settings in one file, as `save_config` writes them";
                return Err(field("defaults", expected, list));
            }
        }
        let mut values = defaults(class);
        for group in ["model", "encoder", "decoder", "prior"] {
            match given.get(group) {
                None | Some(Value::Null) => {}
                Some(Value::Object(own)) => merge(&mut values[group], own),
                Some(other) => return Err(field(group, "a mapping", other)),
            }
        }
        resolved("", &values)?;
        // What the constructor was given comes before what is in the file.
        let size = match latent {
            Some(latent) => latent,
            None => whole("model.z_dim", &values["model"]["z_dim"])?,
        };
        if views.is_empty() || size == 0 {
            return Err(field("z_dim", "views, and at least one latent feature", &json!(size)));
        }
        Ok(Self { views: views.to_vec(), latent: size, values })
    }

    /// The section of a model's options.
    pub(super) fn model(&self) -> &Map<String, Value> {
        self.values["model"].as_object().expect("a mapping by default")
    }

    /// A section of an encoder or a decoder, and its name: that of a view, or what all have in
    /// common.
    pub(super) fn network(&self, group: &str, view: Option<usize>) -> (String, &Value) {
        let own = view.map(|m| format!("{}{m}", &group[..3]));
        let networks = &self.values[group];
        match own.filter(|own| networks.get(own).is_some()) {
            Some(own) => (format!("{group}.{own}"), &networks[&own]),
            None => (format!("{group}.default"), &networks["default"]),
        }
    }

    /// Refuses a prior other than a standard one.
    pub(super) fn standard_prior(&self) -> Result<()> {
        let prior = &self.values["prior"];
        for (key, expected) in [("loc", 0.0), ("scale", 1.0)] {
            let numbers = match &prior[key] {
                Value::Array(list) => list.clone(),
                other => vec![other.clone()],
            };
            if !numbers.iter().all(|number| number.as_f64() == Some(expected)) {
                let text = format!("{expected}: the prior of the models here is a standard one");
                return Err(field(format!("prior.{key}"), &text, &prior[key]));
            }
        }
        Ok(())
    }

    /// The family of prior and posteriors, which the library demands to be the same.
    pub(super) fn posterior(&self, encoders: &[(String, &Value)]) -> Result<Posterior> {
        let prior = &self.values["prior"];
        let mut found = None;
        for (name, encoder) in encoders {
            let key = format!("{name}.enc_dist");
            let distribution = &encoder["enc_dist"];
            let soft = distribution["with_softmax"] == true;
            let posterior = match (distribution_of(&key, distribution)?, soft) {
                ("Normal", _) => Posterior::Normal,
                ("Laplace", true) => Posterior::LaplaceSoftmax,
                ("Laplace", false) => {
                    let expected = "`with_softmax: true`, the one map to scales of Laplace here";
                    return Err(field(key, expected, distribution));
                }
                _ => return Err(field(key, "`Normal` or `Laplace`", distribution)),
            };
            if found.is_some_and(|found| found != posterior) {
                return Err(field(key, "the family of the other encoders", distribution));
            }
            found = Some(posterior);
        }
        let found = found.unwrap_or(Posterior::Normal);
        let expected = match found {
            Posterior::Normal => "Normal",
            Posterior::LaplaceSoftmax => "Laplace",
        };
        if distribution_of("prior", prior)? != expected {
            return Err(field("prior", &format!("`{expected}`, as the encoders have"), prior));
        }
        self.standard_prior()?;
        Ok(found)
    }

    /// Whether the prior's scales are mapped as those of the encoders, which matters only where
    /// they are learned.
    pub(super) fn prior_has_softmax(&self) -> bool {
        self.values["prior"]["with_softmax"] == true
    }
}

/// Families of posteriors that are here, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Posterior {
    Normal,
    LaplaceSoftmax,
}

/// Merges key by key, as the library does.
fn merge(into: &mut Value, from: &Map<String, Value>) {
    for (key, value) in from {
        match value {
            Value::Object(inner) if into[key].is_object() => merge(&mut into[key], inner),
            other => into[key] = other.clone(),
        }
    }
}

/// Refuses what stands for a value elsewhere.
fn resolved(path: &str, value: &Value) -> Result<()> {
    match value {
        Value::Object(values) => {
            let mut inner = values.iter();
            inner.try_for_each(|(key, value)| resolved(&format!("{path}.{key}"), value))
        }
        Value::Array(values) => values.iter().try_for_each(|value| resolved(path, value)),
        Value::String(text) if text.contains("${") || text == "???" => {
            let path = path.trim_start_matches('.');
            Err(field(path, "the value itself, as `save_config` writes it", value))
        }
        _ => Ok(()),
    }
}

/// The class of a network among the library's own, such as `mlp.Encoder`.
pub(super) fn architecture<'a>(name: &str, network: &'a Value) -> Result<&'a str> {
    let target = &network["_target_"];
    target.as_str().and_then(|target| target.strip_prefix(ARCHITECTURES)).ok_or_else(|| {
        let expected = format!("a class of `{ARCHITECTURES}`: others are code, which is never run");
        field(format!("{name}._target_"), &expected, target)
    })
}

/// The class of a distribution.
fn distribution_of<'a>(name: &str, distribution: &'a Value) -> Result<&'a str> {
    let target = &distribution["_target_"];
    target.as_str().and_then(|target| target.strip_prefix(DISTRIBUTIONS)).ok_or_else(|| {
        field(format!("{name}._target_"), &format!("a class of `{DISTRIBUTIONS}`"), target)
    })
}

/// What a decoder of a class parametrises, and the factor by which its `logvar_out` becomes the
/// logarithm of a scale here, if it learns one.
pub(super) fn likelihood(
    name: &str,
    decoder: &Value,
    learned: bool,
) -> Result<(Likelihood, Option<f32>)> {
    let key = format!("{name}.dec_dist");
    let distribution = &decoder["dec_dist"];
    let class = distribution_of(&key, distribution)?;
    Ok(match (class, learned) {
        ("Normal", true) => (Likelihood::normal(Scale::LearnedPerFeature), Some(0.5)),
        ("Laplace", true) => (Likelihood::laplace(Scale::LearnedPerFeature), Some(0.5)),
        // Its covariances are what the others take for deviations.
        ("MultivariateNormal", true) => (Likelihood::normal(Scale::LearnedPerFeature), Some(0.25)),
        // The squared error, but for a constant.
        ("Default", false) => (Likelihood::normal(0.5_f64.sqrt()), None),
        ("Bernoulli" | "ApproxBernoulli", false) => (Likelihood::Bernoulli {}, None),
        ("Categorical", false) => (Likelihood::Categorical {}, None),
        ("Laplace", false) => {
            let scale = &distribution["scale"];
            let scale = match scale {
                Value::Null => 0.75,
                scale => scale
                    .as_f64()
                    .ok_or_else(|| field(format!("{key}.scale"), "a number", scale))?,
            };
            (Likelihood::laplace(scale), None)
        }
        (_, true) => {
            return Err(field(key, "`Normal`, `Laplace` or `MultivariateNormal`", distribution));
        }
        (_, false) => {
            let expected = "`Default`, `Bernoulli`, `ApproxBernoulli`, `Categorical` or `Laplace`";
            return Err(field(key, expected, distribution));
        }
    })
}

pub(super) fn whole(name: &str, value: &Value) -> Result<usize> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| field(name, "a whole number", value))
}

/// What the library has for what nobody gives.
fn defaults(class: &str) -> Value {
    let own = match class {
        "DCCAE" => json!({ "_lambda": 1 }),
        "mcVAE" => json!({ "beta": 1 }),
        "DVCCA" => json!({ "beta": 1, "private": false }),
        "mVAE" => json!({
            "beta": 1, "join_type": "PoE", "threshold": 0.2, "warmup": 10, "use_prior": true,
            "weight_ll": false,
        }),
        "me_mVAE" => json!({
            "beta": 1, "join_type": "PoE", "warmup": 0, "use_prior": false, "weight_kld": false,
            "weight_ll": false,
        }),
        "JMVAE" => json!({ "alpha": 1, "warmup": 0 }),
        "mmVAE" => json!({ "K": 1, "beta": 1, "DREG_loss": false }),
        "mvtCAE" => json!({ "beta": 1, "alpha": 0.5 }),
        "MoPoEVAE" => json!({ "beta": 1, "weight_ll": false }),
        "mmJSD" => json!({
            "private": true, "s_dim": 2, "alpha": 1, "beta": 1, "weight_ll": false,
        }),
        "weighted_mVAE" => json!({ "beta": 1, "_lambda": 1, "private": false }),
        "DMVAE" | "weighted_DMVAE" => json!({ "private": true, "s_dim": 3, "beta": 1 }),
        "mmVAEPlus" => json!({
            "K": 1, "beta": 1, "u_dim": 3, "w_dim": 2, "learn_private_prior": true,
            "learn_shared_prior": false, "multiple_latents": true,
        }),
        _ => json!({}),
    };
    let mut model = json!({ "z_dim": 5, "sparse": false, "threshold": 0 });
    merge(&mut model, own.as_object().expect("an object"));
    let deterministic = matches!(class, "AE" | "mAAE" | "mWAE" | "DCCAE");
    let network = |kind: &str, key: &str| {
        let (class, distribution) = match deterministic {
            true => (kind.to_owned(), "Default"),
            false => (format!("Variational{kind}"), "Normal"),
        };
        json!({ "default": {
            "_target_": format!("{ARCHITECTURES}mlp.{class}"),
            "hidden_layer_dim": [],
            "bias": true,
            "non_linear": false,
            key: { "_target_": format!("{DISTRIBUTIONS}{distribution}") },
        }})
    };
    json!({
        "model": model,
        "encoder": network("Encoder", "enc_dist"),
        "decoder": network("Decoder", "dec_dist"),
        "prior": { "_target_": format!("{DISTRIBUTIONS}Normal"), "loc": 0.0, "scale": 1.0 },
    })
}
