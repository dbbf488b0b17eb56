//! `model_config.json` of the reference.

use std::collections::{BTreeMap, BTreeSet};

use multivae_core::{
    distribution::{Likelihood, Scale},
    modality::{ModalityName, ModalitySpec},
    nn::{Activation, EncoderConfig, JointEncoderConfig, NetworkConfig},
    objective::Rescale,
};
use serde_json::{Map, Value, json};

use super::{
    ExchangeError, Result,
    models::{Class, Own},
    names,
    weights::Weights,
};
use crate::{ModalityConfig, ModelConfig, registry::CLASSES};

/// Width of all hidden layers of the reference's default networks.
pub(super) const WIDTH: usize = 512;

/// What every class has.
pub(super) struct Base {
    pub(super) latent: usize,
    pub(super) rescale: Rescale,
    /// Names, shapes and likelihoods.
    pub(super) modalities: Vec<ModalityConfig>,
    /// Names of the parts that are pickled.
    custom: Vec<String>,
}

impl Base {
    /// Sorts the modalities, if all have a place.
    fn reorder(&mut self, place: impl Fn(&ModalityConfig) -> Option<usize>) {
        let Some(places) = self.modalities.iter().map(place).collect::<Option<Vec<_>>>() else {
            return;
        };
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by_key(|&m| places[m]);
        self.modalities = order.iter().map(|&m| self.modalities[m].clone()).collect();
        if let Rescale::Given(factors) = &mut self.rescale {
            *factors = order.iter().map(|&m| factors[m]).collect();
        }
    }

    /// Whether a part is the reference's default.
    pub(super) fn has(&self, part: &str) -> bool {
        !self.custom.iter().any(|custom| custom == part)
    }

    /// A network for each modality, unless the part is pickled.
    pub(super) fn each<T>(&self, part: &str, network: fn() -> T) -> ByName<T> {
        let modalities = self.modalities.iter().filter(|_| self.has(part));
        modalities.map(|config| (config.name.clone(), network())).collect()
    }

    /// The reference's default joint encoder, whose inputs follow the encoders, by the part's name.
    pub(super) fn joint_encoder(&self, part: &str) -> JointEncoderConfig {
        JointEncoderConfig {
            encoder: self.has(part).then(|| encoder(2)),
            ..JointEncoderConfig::default()
        }
    }

    /// The modalities with the reference's default networks, whose encoders have so many hidden
    /// layers; parts that are pickled stay open.
    pub(super) fn with_networks(self, hidden: usize) -> Vec<ModalityConfig> {
        let (encoders, decoders) = (self.has("encoders"), self.has("decoders"));
        let with = |config: ModalityConfig| ModalityConfig {
            encoder: encoders.then(|| encoder(hidden)),
            decoder: decoders.then(decoder),
            ..config
        };
        self.modalities.into_iter().map(with).collect()
    }
}

/// The reference's default encoder.
pub(super) fn encoder(hidden: usize) -> EncoderConfig {
    EncoderConfig::Mlp { hidden: vec![WIDTH; hidden], activation: Activation::Relu }
}

/// The reference's default decoder.
pub(super) fn decoder() -> NetworkConfig {
    NetworkConfig::Mlp {
        hidden: vec![WIDTH],
        activation: Activation::Relu,
        output: Activation::Sigmoid,
    }
}

/// The classes of the reference that are read.
fn classes() -> impl Iterator<Item = &'static Class> {
    CLASSES.iter().filter_map(|(_, class)| class.as_ref())
}

/// What `model_config.json` says.
#[derive(Clone, Debug)]
pub struct Reference {
    class: &'static str,
    config: ModelConfig,
    custom: Vec<String>,
}

/// Networks of the reference that are stored as pickled Python code, and where their description
/// belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name in the reference, as in `encoders.pkl`.
    pub name: String,
    /// The keys of our configuration that would describe it, such as `modalities.m0.encoder`.
    pub keys: Vec<String>,
}

impl Reference {
    /// Reads the content of `model_config.json`.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Class`], [`ExchangeError::Field`], [`ExchangeError::UnknownField`], or
    /// [`ExchangeError::Model`] for a name that no modality can have.
    pub fn read(json: &Value) -> Result<Self> {
        Self::read_with(json, &Weights::unordered(Vec::new()))
    }

    /// The same, where the weights tell in which order a joint encoder takes the modalities.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_with(json: &Value, weights: &Weights) -> Result<Self> {
        let Some(values) = json.as_object() else {
            return Err(field("model_config.json", "an object", json));
        };
        let found = values.get("name").and_then(Value::as_str).unwrap_or_default();
        let Some(class) = classes().find(|class| class.name == found) else {
            let known: Vec<_> = classes().map(|class| format!("`{}`", class.name)).collect();
            return Err(ExchangeError::Class { found: found.into(), known: known.join(", ") });
        };
        let mut fields = Fields::new(values);
        fields.know(&["name"]);
        let mut base = fields.base()?;
        if let Some(order) = names::order_of_modalities(weights) {
            let place =
                |config: &ModalityConfig| order.iter().position(|n| *n == config.name.as_str());
            base.reorder(place);
        }
        let custom = base.custom.clone();
        let config = (class.read)(&mut fields, base)?;
        fields.end(class.name)?;
        Ok(Self { class: class.name, config, custom })
    }

    /// The configuration's class in the reference.
    pub fn class(&self) -> &'static str {
        self.class
    }

    /// Our configuration as far as the reference's says it: networks that are pickled are left
    /// out, and shapes if the reference has none.
    pub fn open_config(&self) -> &ModelConfig {
        &self.config
    }

    /// What is pickled and not described in a configuration; see [`complete`](Self::complete).
    pub fn undescribed(&self, config: &ModelConfig) -> Vec<Part> {
        let part = |name: &String| {
            let keys = names::keys_of_part(config, name);
            Part { name: name.clone(), keys }
        };
        self.custom.iter().map(part).filter(|part| !part.keys.is_empty()).collect()
    }

    /// A configuration that says of the pickled networks what this one does not, completed.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Field`] with the first part that is not described, or
    /// [`ExchangeError::Model`] if the networks do not fit.
    pub fn complete(&self, config: ModelConfig) -> Result<ModelConfig> {
        if let Some(Part { name, keys }) = self.undescribed(&config).first() {
            return Err(ExchangeError::Field {
                field: keys.join("`, `"),
                expected: format!("a description of the pickled `{name}`"),
                found: "none".into(),
            });
        }
        let specs = names::modalities(&config)
            .iter()
            .map(ModalityConfig::spec)
            .collect::<Result<Vec<ModalitySpec>, _>>()?;
        Ok(config.with_modalities(&specs)?)
    }

    /// The complete configuration of a model without pickled networks.
    ///
    /// # Errors
    ///
    /// As [`complete`](Self::complete).
    pub fn config(&self) -> Result<ModelConfig> {
        self.complete(self.config.clone())
    }
}

/// The keys of a table, of which those that were asked for are known.
pub(super) struct Fields<'a> {
    values: &'a Map<String, Value>,
    known: BTreeSet<&'static str>,
}

fn field(name: &str, expected: &str, found: &Value) -> ExchangeError {
    ExchangeError::Field { field: name.into(), expected: expected.into(), found: found.to_string() }
}

/// Something for some modalities.
pub(super) type ByName<T> = BTreeMap<ModalityName, T>;

impl<'a> Fields<'a> {
    /// Of a table none of whose keys was asked for.
    pub(super) fn new(values: &'a Map<String, Value>) -> Self {
        Self { values, known: BTreeSet::new() }
    }

    /// Says that keys are known, whatever their values.
    pub(super) fn know(&mut self, keys: &[&'static str]) {
        self.known.extend(keys);
    }

    /// The value of a key; `None` if it is absent or null.
    fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.insert(key);
        self.values.get(key).filter(|value| !value.is_null())
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let wrong = |value: &Value| field(key, expected, value);
        self.value(key).map(|value| read(value).ok_or_else(|| wrong(value))).transpose()
    }

    pub(super) fn number(&mut self, key: &'static str) -> Result<Option<f64>> {
        self.read(key, "a number", Value::as_f64)
    }

    pub(super) fn count(&mut self, key: &'static str) -> Result<Option<usize>> {
        self.read(key, "a whole number of at least 0", whole)
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Result<Option<bool>> {
        self.read(key, "true or false", Value::as_bool)
    }

    /// A whole number that must be there.
    pub(super) fn needed(&mut self, key: &'static str) -> Result<usize> {
        self.count(key)?.ok_or_else(|| field(key, "a whole number", &Value::Null))
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Result<Option<T>> {
        let known: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        self.read(key, &known.join(" or "), |value| {
            let found = value.as_str()?;
            words.iter().find(|(word, _)| *word == found).map(|(_, value)| *value)
        })
    }

    fn object(&mut self, key: &'static str) -> Result<Option<&'a Map<String, Value>>> {
        self.read(key, "an object", Value::as_object)
    }

    fn by_name<T>(
        &mut self,
        key: &'static str,
        base: &Base,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<ByName<T>>> {
        let Some(sizes) = self.object(key)? else { return Ok(None) };
        let mut found = BTreeMap::new();
        for (name, value) in sizes {
            let Some(config) = base.modalities.iter().find(|c| c.name.as_str() == name) else {
                return Err(field(key, "names of modalities", &json!(name)));
            };
            let size = read(value).ok_or_else(|| field(key, expected, value))?;
            found.insert(config.name.clone(), size);
        }
        Ok(Some(found))
    }

    /// A size for each modality that has one.
    pub(super) fn sizes(
        &mut self,
        key: &'static str,
        base: &Base,
    ) -> Result<Option<ByName<usize>>> {
        self.by_name(key, base, "whole numbers", whole)
    }

    /// A number for each modality that has one.
    pub(super) fn weights(&mut self, key: &'static str, base: &Base) -> Result<ByName<f64>> {
        Ok(self.by_name(key, base, "numbers", Value::as_f64)?.unwrap_or_default())
    }

    /// The name of a modality that must be there.
    pub(super) fn name(&mut self, key: &'static str, base: &Base) -> Result<ModalityName> {
        let name = self.read(key, "a name", Value::as_str)?;
        let of = |config: &&ModalityConfig| Some(config.name.as_str()) == name;
        match base.modalities.iter().find(of) {
            Some(config) => Ok(config.name.clone()),
            None => Err(field(key, "the name of a modality", &json!(name))),
        }
    }

    /// Names of modalities; none if there is no list.
    pub(super) fn names(&mut self, key: &'static str) -> Result<Vec<ModalityName>> {
        self.value(key).map_or_else(|| Ok(Vec::new()), |list| names_of(key, list))
    }

    /// A likelihood by the keys of its kind and of its parameters.
    pub(super) fn likelihood(
        &mut self,
        kind: &'static str,
        parameters: &'static str,
    ) -> Result<Likelihood> {
        likelihood(self.value(kind), self.value(parameters))
    }

    /// Sets of modalities, in an object or in a list; empty ones are left out.
    pub(super) fn subsets(&mut self, key: &'static str) -> Result<Vec<Vec<ModalityName>>> {
        let wrong = |value: &Value| field(key, "lists of names", value);
        let lists: Vec<&Value> = match self.value(key) {
            None => return Ok(Vec::new()),
            Some(Value::Object(subsets)) => subsets.values().collect(),
            Some(Value::Array(subsets)) => subsets.iter().collect(),
            Some(other) => return Err(wrong(other)),
        };
        let lists = lists.into_iter().map(|list| names_of(key, list));
        let lists = lists.collect::<Result<Vec<_>>>()?;
        Ok(lists.into_iter().filter(|names| !names.is_empty()).collect())
    }

    fn base(&mut self) -> Result<Base> {
        let count = self.count("n_modalities")?;
        let dims = self.object("input_dims")?;
        let kinds = self.object("decoders_dist")?;
        let Some(names) = dims.or(kinds) else {
            return Err(ExchangeError::Field {
                field: "input_dims".into(),
                expected: "a shape for each modality, or `decoders_dist`".into(),
                found: "null".into(),
            });
        };
        // A model of one decoder has one distribution, whose parameters have no names.
        let one = self.values.contains_key("decoder_dist");
        let parameters = if one { None } else { self.object("decoder_dist_params")? };
        for (key, object) in
            [("input_dims", dims), ("decoders_dist", kinds), ("decoder_dist_params", parameters)]
        {
            for name in object.into_iter().flat_map(Map::keys) {
                if !names.contains_key(name) {
                    let expected = format!("one of the {} modalities", names.len());
                    return Err(field(key, &expected, &json!(name)));
                }
            }
        }
        if count.is_some_and(|count| count != names.len()) {
            let expected = format!("{}, the number of shapes", names.len());
            return Err(field("n_modalities", &expected, &json!(count)));
        }
        let modalities = names
            .keys()
            .map(|name| {
                let of = |object: Option<&'a Map<String, Value>>| object.and_then(|o| o.get(name));
                Ok(ModalityConfig {
                    shape: of(dims).map(shape).transpose()?.unwrap_or_default(),
                    likelihood: Some(likelihood(of(kinds), of(parameters))?),
                    ..ModalityConfig::new(ModalityName::new(name.as_str())?)
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let rescale = self.rescale(&modalities)?;
        let custom = self.read("custom_architectures", "a list of names", |value| {
            let names = value.as_array()?.iter().map(|name| name.as_str().map(str::to_owned));
            names.collect::<Option<Vec<_>>>()
        })?;
        Ok(Base {
            latent: self.count("latent_dim")?.unwrap_or(10),
            rescale,
            modalities,
            custom: custom.unwrap_or_default(),
        })
    }

    fn rescale(&mut self, modalities: &[ModalityConfig]) -> Result<Rescale> {
        let key = "rescale_factors";
        let factors = self.object(key)?;
        let rescales = self.flag("uses_likelihood_rescaling")?.unwrap_or(false);
        let Some(factors) = factors.filter(|_| rescales) else {
            return Ok(if rescales { Rescale::BySize } else { Rescale::None });
        };
        let factor = |config: &ModalityConfig| {
            factors.get(config.name.as_str()).and_then(Value::as_f64).ok_or_else(|| {
                let expected = format!("a number for `{}`", config.name);
                field(key, &expected, &Value::Object(factors.clone()))
            })
        };
        Ok(Rescale::Given(modalities.iter().map(factor).collect::<Result<_>>()?))
    }

    /// Refuses keys that nothing has asked for.
    pub(super) fn end(&self, class: &'static str) -> Result<()> {
        match self.values.keys().find(|key| !self.known.contains(key.as_str())) {
            None => Ok(()),
            Some(unknown) => {
                let known: Vec<_> = self.known.iter().map(|key| format!("`{key}`")).collect();
                Err(ExchangeError::UnknownField {
                    class,
                    field: unknown.clone(),
                    known: known.join(", "),
                })
            }
        }
    }
}

fn names_of(key: &str, list: &Value) -> Result<Vec<ModalityName>> {
    let wrong = |value: &Value| field(key, "lists of names", value);
    let list = list.as_array().ok_or_else(|| wrong(list))?;
    let name = |name: &Value| {
        let name = name.as_str().ok_or_else(|| wrong(name))?;
        Ok(ModalityName::new(name)?)
    };
    list.iter().map(name).collect()
}

fn whole(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|value| usize::try_from(value).ok())
}

fn shape(value: &Value) -> Result<Vec<usize>> {
    let axes = value.as_array().and_then(|axes| axes.iter().map(whole).collect());
    axes.ok_or_else(|| field("input_dims", "lists of whole numbers", value))
}

fn likelihood(kind: Option<&Value>, parameters: Option<&Value>) -> Result<Likelihood> {
    let key = "decoder_dist_params";
    let mut scale = 1.0;
    if let Some(parameters) = parameters {
        let object = parameters.as_object().ok_or_else(|| field(key, "objects", parameters))?;
        for (name, value) in object {
            scale = match (name.as_str(), value.as_f64()) {
                ("scale", Some(scale)) => scale,
                _ => return Err(field(key, "a number `scale` and nothing else", parameters)),
            };
        }
    }
    match kind.map(|kind| (kind, kind.as_str())) {
        None | Some((_, Some("normal"))) => Ok(Likelihood::normal(scale)),
        Some((_, Some("laplace"))) => Ok(Likelihood::laplace(scale)),
        Some((_, Some("bernoulli"))) => Ok(Likelihood::Bernoulli {}),
        Some((_, Some("categorical"))) => Ok(Likelihood::Categorical {}),
        Some((kind, _)) => Err(field(
            "decoders_dist",
            "\"normal\", \"laplace\", \"bernoulli\" or \"categorical\"",
            kind,
        )),
    }
}

/// The content of `model_config.json` for a model that the reference can rebuild from it: one of
/// its classes, with its default networks. `None` for others.
pub fn describe(config: &ModelConfig) -> Option<Value> {
    let (class, own) = classes().find_map(|class| Some((class.name, (class.write)(config)?)))?;
    let written = write(class, &own, &names::modalities(config));
    // Whatever it does not say is not the reference's.
    let again = Reference::read(&written).and_then(|reference| reference.config());
    (again.ok().as_ref() == Some(config)).then_some(written)
}

fn write(class: &str, own: &Own<'_>, modalities: &[ModalityConfig]) -> Value {
    let each = |value: &dyn Fn(usize, &ModalityConfig) -> Option<Value>| -> Value {
        let pairs = modalities.iter().enumerate();
        let named = pairs.filter_map(|(m, c)| Some((c.name.to_string(), value(m, c)?)));
        Value::Object(named.collect())
    };
    let base = |(latent, rescale): (usize, &Rescale)| {
        let factors = match rescale {
            Rescale::Given(factors) => each(&|m, _| Some(json!(factors.get(m)))),
            Rescale::None | Rescale::BySize => Value::Null,
        };
        let kind = |config: &ModalityConfig| config.likelihood.clone().unwrap_or_default().kind();
        json!({
            "n_modalities": modalities.len(),
            "latent_dim": latent,
            "input_dims": each(&|_, config| Some(json!(config.shape))),
            "uses_likelihood_rescaling": *rescale != Rescale::None,
            "rescale_factors": factors,
            "decoders_dist": each(&|_, config| Some(json!(kind(config)))),
            "decoder_dist_params": each(&|_, config| scale(config)),
            "custom_architectures": [],
        })
    };
    let mut values = json!({ "name": class });
    for part in own.base.map(base).iter().chain([&own.keys]) {
        for (key, value) in part.as_object().into_iter().flatten() {
            values[key] = value.clone();
        }
    }
    values
}

/// The parameters of a modality's likelihood, where they are not the defaults.
pub(super) fn scale(config: &ModalityConfig) -> Option<Value> {
    match config.likelihood.clone().unwrap_or_default().scale() {
        Some(Scale::Fixed(scale)) if scale != 1.0 => Some(json!({ "scale": scale })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::subset_mixture::SubsetsConfig;

    /// As the reference wrote it.
    fn mvae() -> Value {
        serde_json::from_str(
            r#"{"name": "MVAEConfig", "n_modalities": 2, "latent_dim": 5,
                "input_dims": {"m0": [7], "m1": [3]}, "uses_likelihood_rescaling": false,
                "rescale_factors": null, "decoders_dist": {"m0": "normal", "m1": "laplace"},
                "decoder_dist_params": {"m1": {"scale": 0.75}}, "custom_architectures": [],
                "use_subsampling": true, "k": 0, "warmup": 5, "beta": 2.0}"#,
        )
        .expect("JSON")
    }

    fn mopoe() -> Value {
        json!({
            "name": "MoPoEConfig", "n_modalities": 2, "latent_dim": 3,
            "input_dims": {"b": [4], "a": [1, 2, 2]}, "uses_likelihood_rescaling": true,
            "rescale_factors": {"a": 2.0, "b": 1.0},
            "decoders_dist": {"a": "bernoulli", "b": "categorical"},
            "decoder_dist_params": {}, "custom_architectures": [],
            "subsets": {"": [], "a": ["a"], "a_b": ["b", "a"]}, "beta": 2.5, "beta_style": 0.5,
            "modalities_specific_dim": {"a": 2, "b": 1},
        })
    }

    fn with(mut json: Value, key: &str, value: Value) -> Value {
        json[key] = value;
        json
    }

    fn message(json: Value) -> String {
        Reference::read(&json).map(|_| ()).expect_err("it is wrong").to_string()
    }

    #[test]
    fn a_configuration_of_the_reference_is_one_of_ours_and_back() {
        let config = Reference::read(&mvae()).and_then(|r| r.config()).expect("valid");
        let ModelConfig::Mvae(found) = &config else { panic!("{config:?}") };
        assert_eq!((found.latent, found.beta, found.warmup.epochs), (5, 2.0, 5));
        let spec = found.modalities[1].spec().expect("complete");
        assert_eq!((spec.shape, spec.likelihood), (vec![3], Likelihood::laplace(0.75)));
        assert_eq!(found.modalities[0].encoder, Some(encoder(2)));
        assert_eq!(describe(&config), Some(mvae()));
    }

    #[test]
    fn modalities_keep_their_order_and_private_spaces_their_sizes() {
        let config = Reference::read(&mopoe()).and_then(|r| r.config()).expect("valid");
        let ModelConfig::Mopoe(found) = &config else { panic!("{config:?}") };
        let names: Vec<&str> = found.modalities.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(found.rescale, Rescale::Given(vec![1.0, 2.0]));
        assert_eq!(found.private.values().copied().collect::<Vec<_>>(), [2, 1]);
        let two = |subsets: &SubsetsConfig| matches!(subsets, SubsetsConfig::Given(given) if given.len() == 2);
        assert!(two(&found.subsets), "{:?}", found.subsets);
        assert_eq!(found.modalities[0].encoder, Some(encoder(1)));
        // What we write is read as the same.
        let again = describe(&config).expect("default networks");
        assert_eq!(Reference::read(&again).and_then(|r| r.config()).expect("own"), config);
    }

    #[test]
    fn pickled_parts_are_listed_until_they_are_described() {
        let reference = Reference::read(&with(mvae(), "custom_architectures", json!(["encoders"])))
            .expect("valid");
        let mut config = reference.open_config().clone();
        let keys = vec!["modalities.m0.encoder".to_owned(), "modalities.m1.encoder".to_owned()];
        let part = Part { name: "encoders".into(), keys };
        assert_eq!(reference.undescribed(&config), [part]);
        assert!(reference.complete(config.clone()).is_err());
        let ModelConfig::Mvae(mvae) = &mut config else { panic!("{config:?}") };
        for modality in &mut mvae.modalities {
            modality.encoder = Some(EncoderConfig::mlp());
        }
        assert!(reference.undescribed(&config).is_empty());
        assert!(reference.complete(config).is_ok());
    }

    #[test]
    fn what_cannot_be_understood_is_an_error_that_names_it() {
        let text = message(with(mvae(), "betta", json!(1.0)));
        assert!(text.contains("unknown key `betta` of MVAEConfig") && text.contains("`beta`"));
        let text = message(with(mvae(), "name", json!("VAEConfig")));
        assert!(text.contains("`VAEConfig`") && text.contains("`MVAEConfig`"), "{text}");
        let text = message(with(mvae(), "beta", json!("two")));
        assert_eq!(text, "`beta`: expected a number, found \"two\"");
        let text = message(with(mvae(), "n_modalities", json!(3)));
        assert!(text.contains("`n_modalities`: expected 2"), "{text}");
        let text = message(with(mvae(), "decoders_dist", json!({"m0": "normal", "m9": "normal"})));
        assert!(text.contains("`decoders_dist`") && text.contains("m9"), "{text}");
        let text = message(with(mvae(), "decoders_dist", json!({"m0": "gamma", "m1": "normal"})));
        assert!(text.contains("gamma"), "{text}");
    }

    #[test]
    fn other_networks_are_not_described_as_defaults() {
        let config = ModelConfig::named("mvae").expect("listed");
        let specs = [ModalitySpec::new("a", &[3]).expect("valid")];
        assert_eq!(describe(&config.with_modalities(&specs).expect("valid")), None);
    }
}
