//! Arrays under the reference's names: into a model, and out of it.

use std::collections::{BTreeMap, BTreeSet};

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Tensor, TensorData},
};

use super::{
    ExchangeError, Result,
    names::{self, Beside, Extra, Place},
};
use crate::{ModelConfig, cmvae::PRUNED};

/// A parameter or buffer, as PyTorch lays it out.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name in the state dictionary.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, the last axis first.
    pub values: Vec<f32>,
}

/// The weights of a model by name.
#[derive(Clone, Debug)]
pub struct Weights {
    entries: Vec<Entry>,
    /// Places in the list by name.
    places: BTreeMap<String, usize>,
    ordered: bool,
}

impl Weights {
    /// In the order of the state dictionary, by which networks of the user are told apart whose
    /// names are not known.
    pub fn ordered(entries: Vec<Entry>) -> Self {
        Self { ordered: true, ..Self::unordered(entries) }
    }

    /// In an order that says nothing.
    pub fn unordered(entries: Vec<Entry>) -> Self {
        let names = entries.iter().map(|entry| entry.name.clone());
        let places = names.enumerate().map(|(place, name)| (name, place)).collect();
        Self { entries, places, ordered: false }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All, in their order.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.places.get(name).map(|&place| &self.entries[place])
    }

    /// The names right below a path, in order if there is one.
    pub(super) fn parts(&self, path: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for entry in self.entries.iter().filter(|entry| self.ordered && is_below(&entry.name, path))
        {
            let part = entry.name[path.len() + 1..].split('.').next().unwrap_or_default();
            if !found.iter().any(|other| other == part) {
                found.push(part.to_owned());
            }
        }
        found
    }

    /// The weights below the path of a network, but for those of networks further below.
    fn below(&self, path: &str, places: &[Place]) -> Vec<&Entry> {
        let deeper = |entry: &Entry| {
            places.iter().any(|p| is_below(&p.theirs, path) && is_below(&entry.name, &p.theirs))
        };
        let below = |entry: &&Entry| {
            is_below(&entry.name, path) && !is_bookkeeping(entry) && !deeper(entry)
        };
        self.entries.iter().filter(below).collect()
    }
}

fn is_below(name: &str, path: &str) -> bool {
    name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
}

/// Whether an entry has no counterpart here: what batch normalisation counts and nothing reads,
/// and heads of no output.
fn is_bookkeeping(entry: &Entry) -> bool {
    entry.name.ends_with(".num_batches_tracked") || entry.values.is_empty()
}

/// A parameter of ours and its place.
#[derive(Clone, Debug)]
struct Slot {
    /// Its path as Burn has it.
    path: String,
    /// The path without names of enum variants.
    segments: Vec<String>,
    /// Those of them that stay in a name that we give.
    named: Vec<String>,
    /// Its name in PyTorch's layer.
    field: String,
    /// Whether the two axes lie the other way round in PyTorch.
    transposed: bool,
    /// Its shape in PyTorch.
    shape: Vec<usize>,
}

impl Slot {
    fn is_below(&self, path: &str) -> bool {
        let mut own = self.segments.iter();
        path.split('.').all(|segment| own.next().is_some_and(|found| found == segment))
    }

    /// The path of its layer.
    fn layer(&self) -> &[String] {
        &self.segments[..self.segments.len() - 1]
    }

    /// The name that we give it, below `theirs` in place of `ours`.
    fn own_name(&self, ours: &str, theirs: &str) -> String {
        let skip = if ours.is_empty() { 0 } else { ours.split('.').count() };
        let theirs = (!theirs.is_empty()).then_some(theirs);
        let rest = self.named[skip..self.named.len() - 1].iter().map(String::as_str);
        let parts: Vec<&str> =
            theirs.into_iter().chain(rest).chain([self.field.as_str()]).collect();
        parts.join(".")
    }
}

/// All parameters and running statistics, in the order of fields.
fn slots<M: Module>(model: &M) -> Vec<Slot> {
    #[derive(Default)]
    struct Collect {
        /// Names on the way to here, and what holds each.
        path: Vec<(String, String)>,
        found: Vec<Slot>,
    }
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.push((name.to_owned(), container.to_owned()));
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let path: Vec<&str> = self.path.iter().map(|(name, _)| name.as_str()).collect();
            let real = || self.path.iter().filter(|(_, holder)| !holder.starts_with("Enum:"));
            // PyTorch numbers the layers of a `Sequential` without a name for their list.
            let list = |(name, holder): &&(String, String)| {
                name == "layers" && holder == "Struct:Sequential"
            };
            let name = |(name, _): &(String, String)| name.clone();
            let (field, holder) = self.path.last().expect("a parameter is in a field");
            let linear = ["Struct:Linear", "Struct:Masked"].contains(&holder.as_str());
            let transposed = linear && field == "weight";
            let mut shape = param.lazy_shape().as_slice().to_vec();
            if transposed {
                shape.reverse();
            }
            self.found.push(Slot {
                path: path.join("."),
                segments: real().map(name).collect(),
                named: real().filter(|segment| !list(segment)).map(name).collect(),
                field: field_of(field, holder),
                transposed,
                shape,
            });
        }
    }
    let mut collect = Collect::default();
    model.visit(&mut collect);
    collect.found
}

/// What PyTorch calls a field of a layer.
fn field_of(field: &str, holder: &str) -> String {
    let name = match (holder, field) {
        ("Struct:BatchNorm" | "Struct:LayerNorm" | "Struct:GroupNorm", "gamma") => "weight",
        ("Struct:BatchNorm" | "Struct:LayerNorm" | "Struct:GroupNorm", "beta") => "bias",
        (_, field) => field,
    };
    name.to_owned()
}

/// Where all parameters stand in the reference.
#[derive(Default)]
struct Homes {
    /// Names by path here.
    of: BTreeMap<String, String>,
    /// What the reference has besides, and whether its values matter.
    extra: Vec<(Entry, bool)>,
    /// Paths of parameters that the reference does not have.
    ours: Vec<String>,
    /// Why parameters have no home: networks whose weights have other names.
    complaints: Vec<String>,
}

/// Where all parameters stand in the reference: with weights given, where one is that fits.
fn homes(slots: &[Slot], places: &[Place], beside: &Beside, weights: Option<&Weights>) -> Homes {
    let mut homes = Homes::default();
    for place in places {
        let own: Vec<&Slot> = slots.iter().filter(|slot| slot.is_below(&place.ours)).collect();
        let candidates = candidates(&own, place);
        let fits = |names: &&Vec<String>| {
            weights.is_none_or(|weights| names.iter().all(|name| weights.get(name).is_some()))
        };
        let names = match (candidates.iter().find(fits), weights) {
            (Some(names), _) => Ok(names.clone()),
            (None, Some(weights)) => in_order(&own, place, weights, places),
            (None, None) => unreachable!("without weights the first candidate fits"),
        };
        let names = match names {
            Ok(names) => names,
            Err(complaint) => {
                homes.complaints.push(complaint);
                continue;
            }
        };
        homes.extra.extend(match (&place.extra, weights) {
            (Extra::None, _) => Vec::new(),
            (Extra::Masks, _) => masks(&own, &names),
            (Extra::Unused(_), Some(weights)) => {
                let besides = weights.below(&place.theirs, places).into_iter();
                besides.filter(|e| !names.contains(&e.name)).map(|e| (e.clone(), false)).collect()
            }
            // A network of the user may have something else there, or nothing.
            (Extra::Unused(_), None) if candidates.len() == 1 => Vec::new(),
            (Extra::Unused(layer), None) => unused(&own, layer, place),
        });
        homes.of.extend(own.iter().map(|slot| slot.path.clone()).zip(names));
    }
    for slot in slots {
        if !places.iter().any(|place| slot.is_below(&place.ours)) {
            let own = slot.segments.join(".");
            let named = beside.parameters.iter().find(|(ours, _)| *ours == own);
            let name = named.map_or_else(|| slot.own_name("", ""), |(_, theirs)| theirs.clone());
            homes.of.insert(slot.path.clone(), name);
        }
    }
    let own = |slot: &&Slot| beside.ours.contains(&slot.segments.join("."));
    homes.ours = slots.iter().filter(own).map(|slot| slot.path.clone()).collect();
    homes.extra.extend(beside.zeros.iter().map(|&(ref name, features)| {
        let (name, values) = (name.clone(), vec![0.0; features]);
        (Entry { name, shape: vec![1, features], values }, true)
    }));
    homes
}

/// A layer like the last one, whose output nothing reads.
fn unused(slots: &[&Slot], layer: &str, place: &Place) -> Vec<(Entry, bool)> {
    let last = slots.last().map(|slot| slot.layer());
    let like = slots.iter().filter(|slot| Some(slot.layer()) == last);
    like.map(|slot| {
        let name = format!("{}.{layer}.{}", place.theirs, slot.field);
        let values = vec![0.0; slot.shape.iter().product()];
        (Entry { name, shape: slot.shape.clone(), values }, false)
    })
    .collect()
}

/// The masks of an autoregressive block.
fn masks(slots: &[&Slot], names: &[String]) -> Vec<(Entry, bool)> {
    let weights = slots.iter().zip(names).filter(|(slot, _)| slot.field == "weight");
    let layers: Vec<(&str, &[usize])> = weights
        .map(|(slot, name)| (name.trim_end_matches(".weight"), slot.shape.as_slice()))
        .collect();
    let features = layers.first().map_or(0, |(_, shape)| shape[1]);
    let entry = |(i, (layer, shape)): (usize, &(&str, &[usize]))| {
        let ends = [i == 0, i + 1 == layers.len()];
        let values = mask(shape[0], shape[1], features, ends);
        (Entry { name: format!("{layer}.mask"), shape: shape.to_vec(), values }, true)
    };
    layers.iter().enumerate().map(entry).collect()
}

/// Which inputs the outputs of an autoregressive layer see, `[outputs, inputs]`: feature `i` has
/// degree `i`, hidden unit `j` degree `j mod (features - 1)`.
fn mask(outputs: usize, inputs: usize, features: usize, [first, last]: [bool; 2]) -> Vec<f32> {
    let hidden = |unit: usize| unit % features.saturating_sub(1).max(1);
    let sees = |output: usize, input: usize| {
        let input = if first { input } else { hidden(input) };
        if last { input < output % features } else { input <= hidden(output) }
    };
    (0..outputs)
        .flat_map(|output| (0..inputs).map(move |input| f32::from(u8::from(sees(output, input)))))
        .collect()
}

/// Names that the weights of a network may have, the likeliest first: those of the reference's
/// network, and at last those that we give.
fn candidates(slots: &[&Slot], place: &Place) -> Vec<Vec<String>> {
    let mut layers: Vec<&[String]> = slots.iter().map(|slot| slot.layer()).collect();
    layers.dedup();
    let of_table = |table: &Vec<String>| -> Vec<String> {
        let name = |slot: &&Slot| {
            let layer = layers.iter().position(|layer| *layer == slot.layer());
            let layer = &table[layer.expect("its layer is among them")];
            let parts = [place.theirs.as_str(), layer, &slot.field];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
        };
        slots.iter().map(name).collect()
    };
    let tables = place.tables.iter().filter(|table| table.len() == layers.len());
    let own = slots.iter().map(|slot| slot.own_name(&place.ours, &place.theirs)).collect();
    tables.map(of_table).chain([own]).collect()
}

/// The names of a network's weights by their order.
fn in_order(
    slots: &[&Slot],
    place: &Place,
    weights: &Weights,
    places: &[Place],
) -> Result<Vec<String>, String> {
    let theirs = weights.below(&place.theirs, places);
    // A layer that nothing reads is the last one.
    let unread = matches!(place.extra, Extra::Unused(_)) && theirs.len() > slots.len();
    let theirs = &theirs[..if unread { slots.len() } else { theirs.len() }];
    let listed = || {
        let shown = |name: &str, shape: &[usize]| format!("{name} {shape:?}");
        let expected: Vec<_> = slots.iter().map(|s| shown(&s.field, &s.shape)).collect();
        let rest = |entry: &&Entry| shown(&entry.name[place.theirs.len() + 1..], &entry.shape);
        let found: Vec<_> = theirs.iter().map(rest).collect();
        format!("expected {}; found {}", list(&expected), list(&found))
    };
    let network = &place.theirs;
    if !weights.ordered {
        return Err(format!("`{network}`: its weights have other names: {}", listed()));
    }
    if theirs.len() != slots.len() {
        let (expected, found) = (slots.len(), theirs.len());
        return Err(format!(
            "`{network}`: the network has {expected} weights and the file has {found}: {}",
            listed()
        ));
    }
    for (slot, entry) in slots.iter().zip(theirs) {
        let inside = &slot.segments[place.ours.split('.').count()..];
        if let Some(expected) = contradiction(inside, &entry.name[network.len() + 1..]) {
            return Err(format!(
                "`{network}`: `{}` stands where {expected} was expected: {}",
                entry.name,
                listed()
            ));
        }
    }
    Ok(theirs.iter().map(|entry| entry.name.clone()).collect())
}

fn list(parts: &[String]) -> String {
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// What a name must not be called at a place of ours, since the order alone cannot tell the two
/// heads of an encoder apart.
fn contradiction(ours: &[String], theirs: &str) -> Option<&'static str> {
    let theirs = theirs.to_lowercase();
    let mut words = theirs.split(|c: char| !c.is_alphabetic());
    let spread = words
        .clone()
        .any(|word| word.contains("var") || ["lv", "std", "logstd", "sigma"].contains(&word));
    let middle = !spread && words.any(|word| ["mu", "mean", "loc", "embedding"].contains(&word));
    let head = |name: &str| ours.iter().any(|segment| segment == name);
    let bias = |name: &str| name == "bias" || name.ends_with(".bias");
    match ours.last().map(String::as_str) {
        Some("bias" | "beta") if !bias(&theirs) => Some("a bias"),
        Some("weight" | "gamma") if bias(&theirs) => Some("a weight"),
        _ if head("mean") && spread => Some("a mean"),
        _ if head("log_var") && middle => Some("a log-variance"),
        _ => None,
    }
}

/// The model with the weights of the reference; `config` is complete and the model's.
///
/// Where networks have names that are known, or are those that [`entries`] gives, weights go by
/// name, else by their order below the network's name. Every weight must find its place.
///
/// # Errors
///
/// [`ExchangeError::Weights`] with everything that does not fit.
pub fn fill<M: Module>(model: M, config: &ModelConfig, weights: &Weights) -> Result<M> {
    fill_places(model, &names::places(config), &names::beside(config), weights)
}

/// The same, where everything stands as given.
pub(super) fn fill_places<M: Module>(
    model: M,
    places: &[Place],
    beside: &Beside,
    weights: &Weights,
) -> Result<M> {
    let slots = slots(&model);
    let Homes { of, extra, ours, mut complaints } = homes(&slots, places, beside, Some(weights));
    let whole = complaints.is_empty();
    let mut used: BTreeSet<&str> = extra.iter().map(|(entry, _)| entry.name.as_str()).collect();
    for (expected, matters) in &extra {
        let found = weights.get(&expected.name);
        if *matters && found.is_some_and(|found| found != expected) {
            complaints
                .push(format!("`{}` has other values than the fixed ones here", expected.name));
        }
    }
    let mut values = BTreeMap::new();
    for slot in &slots {
        // What has no home is part of a network that was complained about.
        let Some(name) = of.get(&slot.path) else { continue };
        used.insert(name);
        let shape = &slot.shape;
        match weights.get(name) {
            Some(entry) if entry.shape == *shape => {
                values.insert(slot.path.clone(), laid_out(entry, slot));
            }
            Some(Entry { shape: found, .. }) => {
                complaints.push(format!("`{name}`: expected the shape {shape:?}, found {found:?}"));
            }
            // It stays as it starts.
            None if ours.contains(&slot.path) => {}
            None => complaints.push(format!("`{name}` of shape {shape:?} is missing")),
        }
    }
    for entry in weights.entries.iter().filter(|entry| whole && !is_bookkeeping(entry)) {
        if !used.contains(entry.name.as_str()) {
            let Entry { name, shape, .. } = entry;
            complaints.push(format!("`{name}` of shape {shape:?} has no place in the model"));
        }
    }
    if !complaints.is_empty() {
        return Err(ExchangeError::Weights(complaints));
    }
    Ok(model.map(&mut Fill { path: Vec::new(), values }))
}

/// The values of an entry as they lie here.
fn laid_out(entry: &Entry, slot: &Slot) -> Vec<f32> {
    match (slot.transposed, entry.shape.as_slice()) {
        (true, &[rows, columns]) => transpose(&entry.values, rows, columns),
        _ => {
            // What is minus infinity there is finite here.
            let finite = |&value: &f32| if value == f32::NEG_INFINITY { PRUNED } else { value };
            entry.values.iter().map(finite).collect()
        }
    }
}

/// The values of a parameter as they lie in the reference.
fn laid_out_there(values: Vec<f32>, slot: &Slot) -> Vec<f32> {
    match (slot.transposed, slot.shape.as_slice()) {
        (true, &[outputs, inputs]) => transpose(&values, inputs, outputs),
        _ => {
            let infinite = |value| if value == PRUNED { f32::NEG_INFINITY } else { value };
            values.into_iter().map(infinite).collect()
        }
    }
}

/// From `[rows, columns]` to `[columns, rows]`.
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
}

/// Puts values into parameters by path.
struct Fill {
    path: Vec<String>,
    values: BTreeMap<String, Vec<f32>>,
}

impl ModuleMapper for Fill {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(values) = self.values.remove(&self.path.join(".")) else { return param };
        param.map(|old| {
            let data = TensorData::new(values, old.dims().to_vec());
            Tensor::from_data(data, &old.device()).set_require_grad(old.is_require_grad())
        })
    }
}

/// The weights of a model under the names of the reference, in the order of the model's fields;
/// `config` is complete and the model's. Networks that the reference does not have get names as
/// PyTorch would give them.
///
/// # Errors
///
/// [`ExchangeError::Device`].
pub fn entries<M: Module>(model: &M, config: &ModelConfig) -> Result<Vec<Entry>> {
    let slots = slots(model);
    let (places, beside) = (names::places(config), names::beside(config));
    let Homes { mut of, extra, .. } = homes(&slots, &places, &beside, None);
    let mut read = Read { values: Vec::new(), path: Vec::new(), error: None };
    model.visit(&mut read);
    if let Some((path, reason)) = read.error {
        return Err(ExchangeError::Device { path, reason });
    }
    let entry = |(slot, values): (Slot, Vec<f32>)| {
        let values = laid_out_there(values, &slot);
        let name = of.remove(&slot.path).expect("every parameter has a name");
        Entry { name, shape: slot.shape, values }
    };
    let mut entries: Vec<Entry> = slots.into_iter().zip(read.values).map(entry).collect();
    entries.extend(extra.into_iter().map(|(entry, _)| entry));
    Ok(entries)
}

/// Names and shapes of a model's weights as [`entries`] gives them, without reading a value.
pub fn layout<M: Module>(model: &M, config: &ModelConfig) -> Vec<(String, Vec<usize>)> {
    let slots = slots(model);
    let (places, beside) = (names::places(config), names::beside(config));
    let Homes { mut of, extra, .. } = homes(&slots, &places, &beside, None);
    let own = slots.into_iter().map(|slot| {
        let name = of.remove(&slot.path).expect("every parameter has a name");
        (name, slot.shape)
    });
    own.chain(extra.into_iter().map(|(entry, _)| (entry.name, entry.shape))).collect()
}

/// Reads the values of all parameters, in the order of fields.
struct Read {
    values: Vec<Vec<f32>>,
    path: Vec<String>,
    error: Option<(String, String)>,
}

impl ModuleVisitor for Read {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        match param.val().try_into_data() {
            Ok(data) => self.values.push(data.iter::<f32>().collect()),
            Err(error) => {
                self.error.get_or_insert((self.path.join("."), error.to_string()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use multivae_core::{
        modality::ModalitySpec,
        nn::{BranchConfig, EncoderConfig, LayerConfig, NetworkConfig, Networks},
    };
    use serde_json::json;

    use super::*;
    use crate::{Model, exchange::Reference, mopoe::MopoeConfig};

    fn model(config: &ModelConfig, seed: u64) -> Model {
        let device = Device::flex();
        device.seed(seed);
        let model = config.init(&Networks::default(), &device).expect("a complete configuration");
        multivae_core::module::init_parameters(model)
    }

    fn mvae() -> ModelConfig {
        let json = json!({
            "name": "MVAEConfig", "n_modalities": 2, "latent_dim": 5,
            "input_dims": {"m0": [7], "Blood": [3]},
        });
        Reference::read(&json).and_then(|reference| reference.config()).expect("default networks")
    }

    /// One modality `x` with a private space.
    fn one(shape: &[usize], encoder: &str, decoder: &str, private: usize) -> ModelConfig {
        let config: MopoeConfig = serde_json::from_value(json!({
            "latent": 5,
            "private": {"x": private},
            "modalities": [
                {"name": "x", "encoder": {"kind": encoder}, "decoder": {"kind": decoder}}
            ],
        }))
        .expect("valid");
        let specs = [ModalitySpec::new("x", shape).expect("valid")];
        ModelConfig::from(config).with_modalities(&specs).expect("it fits")
    }

    /// Names and shapes below a prefix.
    fn shown(config: &ModelConfig, prefix: &str) -> Vec<String> {
        let entries = entries(&model(config, 0), config).expect("on the CPU");
        let below = entries.iter().filter_map(|e| Some((e.name.strip_prefix(prefix)?, &e.shape)));
        below.map(|(name, shape)| format!("{name} {shape:?}")).collect()
    }

    /// The weights of a model whose encoders have networks of the user.
    fn renamed(config: &ModelConfig, names: &[(&str, &str)]) -> Vec<Entry> {
        let mut entries = entries(&model(config, 1), config).expect("on the CPU");
        for entry in &mut entries {
            for (from, to) in names {
                if let Some(rest) = entry.name.strip_prefix(from) {
                    entry.name = format!("{to}{rest}");
                }
            }
        }
        entries
    }

    fn complaints(config: &ModelConfig, weights: &Weights) -> String {
        let filled = fill(model(config, 0), config, weights);
        filled.map(|_| ()).expect_err("it does not fit").to_string()
    }

    #[test]
    fn default_networks_are_called_as_in_the_reference() {
        assert_eq!(
            shown(&mvae(), "encoders.Blood."),
            [
                "layers.0.0.weight [512, 3]",
                "layers.0.0.bias [512]",
                "layers.1.0.weight [512, 512]",
                "layers.1.0.bias [512]",
                "embedding.weight [5, 512]",
                "embedding.bias [5]",
                "log_var.weight [5, 512]",
                "log_var.bias [5]",
            ]
        );
        assert_eq!(
            shown(&mvae(), "decoders.m0."),
            [
                "layers.0.0.weight [512, 5]",
                "layers.0.0.bias [512]",
                "layers.1.0.weight [7, 512]",
                "layers.1.0.bias [7]",
            ]
        );
    }

    #[test]
    fn published_networks_are_called_as_in_the_reference() {
        let conv = one(&[3, 28, 28], "polymnist_conv_adapted", "polymnist_conv", 2);
        let encoder = shown(&conv, "encoders.x.");
        assert_eq!(encoder[0], "encoder_class.0.weight [32, 3, 3, 3]");
        assert_eq!(encoder[6], "class_mu.weight [5, 128, 4, 4]");
        assert_eq!(encoder[19], "style_logvar.bias [2]");
        assert_eq!(shown(&conv, "decoders.x.")[2], "decoder.3.weight [128, 64, 3, 3]");

        let resnet = one(&[3, 28, 28], "polymnist_resnet", "polymnist_resnet", 2);
        let encoder = shown(&resnet, "encoders.x.");
        assert_eq!(encoder.len(), 40);
        assert_eq!(encoder[0], "conv_img_u.weight [64, 3, 3, 3]");
        assert_eq!(encoder[10], "resnet_u.2.shortcut_layer.weight [128, 64, 1, 1]");
        assert_eq!(encoder[38], "fc_lv_w.weight [2, 12544]");
        let decoder = shown(&resnet, "decoders.x.");
        assert_eq!(decoder[0], "fc.weight [12544, 7]");
        assert_eq!(decoder[6], "resnet.0.shortcut_layer.weight [128, 256, 1, 1]");
        assert_eq!(decoder.last().map(String::as_str), Some("conv_img.0.bias [3]"));

        let svhn = one(&[3, 32, 32], "svhn", "svhn", 0);
        assert_eq!(shown(&svhn, "encoders.x.")[6], "c1.weight [5, 128, 4, 4]");
        assert_eq!(shown(&svhn, "decoders.x.")[0], "dec.0.weight [5, 128, 4, 4]");
    }

    /// A model of the reference with two modalities.
    fn reference(keys: &str) -> ModelConfig {
        let text = format!(
            r#"{{{keys}, "n_modalities": 2, "latent_dim": 3, "input_dims": {{"x": [6], "y": [4]}}}}"#
        );
        let json = serde_json::from_str(&text).expect("JSON");
        Reference::read(&json).and_then(|reference| reference.config()).expect("default networks")
    }

    /// Names and shapes that are in no encoder and no decoder, sorted.
    fn besides(config: &ModelConfig) -> Vec<String> {
        let mut shown = shown(config, "");
        shown.retain(|name| !name.starts_with("encoders.") && !name.starts_with("decoders."));
        shown.sort();
        shown
    }

    #[test]
    fn priors_are_called_as_in_the_reference_whether_learned_or_not() {
        let expected = ["prior_log_var [1, 3]", "prior_mean [1, 3]"];
        for learned in ["true", "false"] {
            let keys = format!(r#""name": "MMVAEConfig", "learn_prior": {learned}"#);
            assert_eq!(besides(&reference(&keys)), expected);
        }
        let keys = r#""name": "MMVAEPlusConfig", "modalities_specific_dim": 2"#;
        assert_eq!(
            besides(&reference(keys)),
            [
                "logvars_priors.shared [1, 5]",
                "logvars_priors.x [1, 2]",
                "logvars_priors.y [1, 2]",
                "mean_priors.shared [1, 5]",
                "mean_priors.x [1, 2]",
                "mean_priors.y [1, 2]",
            ]
        );
        let keys =
            r#""name": "CMVAEConfig", "modalities_specific_dim": 2, "number_of_clusters": 2"#;
        assert_eq!(
            besides(&reference(keys)),
            [
                "_pc_params [2]",
                "logvar_clusters.0 [1, 3]",
                "logvar_clusters.1 [1, 3]",
                "mean_clusters.0 [1, 3]",
                "mean_clusters.1 [1, 3]",
                "r_logvars_priors.x [1, 2]",
                "r_logvars_priors.y [1, 2]",
                "r_mean_priors.x [1, 2]",
                "r_mean_priors.y [1, 2]",
                "w_logvar_prior [1, 2]",
                "w_mean_prior [1, 2]",
            ]
        );
    }

    #[test]
    fn a_prior_that_is_fixed_here_must_be_zero() {
        let config = reference(r#""name": "MMVAEConfig""#);
        let mut given = renamed(&config, &[]);
        let mean = given.iter_mut().find(|e| e.name == "prior_mean").expect("it is there");
        mean.values[1] = 0.5;
        let text = complaints(&config, &Weights::ordered(given));
        assert!(text.contains("`prior_mean` has other values than the fixed ones"), "{text}");
    }

    #[test]
    fn a_pruned_cluster_has_an_infinite_logit_there_and_a_finite_one_here() {
        let keys =
            r#""name": "CMVAEConfig", "modalities_specific_dim": 2, "number_of_clusters": 2"#;
        let config = reference(keys);
        let mut given = renamed(&config, &[]);
        let logits = given.iter_mut().find(|e| e.name == "_pc_params").expect("it is there");
        logits.values[1] = f32::NEG_INFINITY;
        let filled = fill(model(&config, 0), &config, &Weights::ordered(given.clone()));
        let filled = filled.expect("they fit");
        let finite = |entry: &Entry| entry.values.iter().all(|value| value.is_finite());
        let found = entries(&filled, &config).expect("on the CPU");
        assert!(!found.iter().all(finite));
        assert_eq!(found, given);
        let mut read = Read { values: Vec::new(), path: Vec::new(), error: None };
        filled.visit(&mut read);
        assert!(read.values.iter().flatten().all(|value| value.is_finite()));
    }

    #[test]
    fn a_joint_encoder_has_heads_that_nothing_reads() {
        let config = reference(r#""name": "JMVAEConfig""#);
        let names = besides(&config);
        assert_eq!(names.len(), 24);
        for name in [
            "joint_encoder.enc.1.0.bias [512]",
            "joint_encoder.encoders.y.embedding.weight [3, 512]",
            "joint_encoder.encoders.y.log_var.weight [3, 512]",
            "joint_encoder.fc2.weight [3, 512]",
        ] {
            assert!(names.iter().any(|other| other == name), "{name}: {names:?}");
        }
        let mut given = renamed(&config, &[]);
        let head = "joint_encoder.encoders.y.log_var.weight";
        given.iter_mut().find(|e| e.name == head).expect("it is there").values[0] = 0.5;
        assert!(fill(model(&config, 0), &config, &Weights::ordered(given)).is_ok());
    }

    #[test]
    fn a_joint_encoder_takes_the_modalities_in_the_order_of_its_weights() {
        let config = reference(r#""name": "JMVAEConfig""#);
        let mut given = renamed(&config, &[]);
        given.sort_by_key(|entry| !entry.name.starts_with("joint_encoder.encoders.y"));
        let json = json!({
            "name": "JMVAEConfig", "input_dims": {"x": [6], "y": [4]},
            "uses_likelihood_rescaling": true, "rescale_factors": {"x": 1.0, "y": 2.0},
        });
        let read = Reference::read_with(&json, &Weights::ordered(given)).expect("valid");
        let ModelConfig::Jmvae(found) = read.config().expect("default networks") else {
            panic!("{read:?}")
        };
        let names: Vec<&str> = found.modalities.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["y", "x"]);
        assert_eq!(found.rescale, multivae_core::objective::Rescale::Given(vec![2.0, 1.0]));
    }

    /// An encoder that the reference does not have.
    fn custom() -> ModelConfig {
        let mut config = MopoeConfig { latent: 2, ..MopoeConfig::default() };
        let spec = ModalitySpec::new("x", &[3]).expect("valid");
        let trunk = vec![LayerConfig::linear(4), LayerConfig::BatchNorm {}, LayerConfig::Relu {}];
        let mut modality = crate::ModalityConfig::new(spec.name.clone());
        modality.encoder = Some(EncoderConfig::Branches(BranchConfig::new(trunk).into()));
        modality.decoder = Some(NetworkConfig::mlp());
        config.modalities = vec![modality];
        ModelConfig::from(config).with_modalities(&[spec]).expect("it fits")
    }

    #[test]
    fn other_networks_are_called_as_pytorch_would() {
        assert_eq!(
            shown(&custom(), "encoders.x."),
            [
                "shared.trunk.0.weight [4, 3]",
                "shared.trunk.0.bias [4]",
                "shared.trunk.1.weight [4]",
                "shared.trunk.1.bias [4]",
                "shared.trunk.1.running_mean [4]",
                "shared.trunk.1.running_var [4]",
                "shared.mean.0.weight [2, 4]",
                "shared.mean.0.bias [2]",
                "shared.log_var.0.weight [2, 4]",
                "shared.log_var.0.bias [2]",
            ]
        );
    }

    #[test]
    fn weights_come_back_by_name_in_any_order() {
        for config in [mvae(), custom()] {
            let mut given = renamed(&config, &[]);
            given.reverse();
            let filled = fill(model(&config, 0), &config, &Weights::unordered(given.clone()));
            given.reverse();
            let found = entries(&filled.expect("they fit"), &config).expect("on the CPU");
            assert_eq!(found, given);
        }
    }

    /// As a network of the user's might be called in PyTorch.
    const FOREIGN: &[(&str, &str)] = &[
        ("encoders.x.shared.trunk", "encoders.x.features"),
        ("encoders.x.shared.mean.0", "encoders.x.fc_mu"),
        ("encoders.x.shared.log_var.0", "encoders.x.fc_lv"),
    ];

    #[test]
    fn weights_of_other_names_go_by_their_order() {
        let config = custom();
        let mut given = renamed(&config, FOREIGN);
        given.insert(
            6,
            Entry {
                name: "encoders.x.features.1.num_batches_tracked".into(),
                shape: Vec::new(),
                values: vec![9.0],
            },
        );
        let weights = Weights::ordered(given.clone());
        let filled = fill(model(&config, 0), &config, &weights).expect("they fit");
        let found = entries(&filled, &config).expect("on the CPU");
        // Another draw of the weights may differ: the generator belongs to the whole process.
        given.remove(6);
        let values = |entries: &[Entry]| -> Vec<Vec<f32>> {
            entries.iter().map(|entry| entry.values.clone()).collect()
        };
        assert_eq!(values(&found), values(&given));
        let names = |entries: &[Entry]| -> Vec<String> {
            entries.iter().map(|entry| entry.name.clone()).collect()
        };
        assert_eq!(names(&found), names(&renamed(&config, &[])));
        let given = Weights::unordered(renamed(&config, FOREIGN));
        let text = complaints(&config, &given);
        assert!(text.contains("`encoders.x`: its weights have other names"), "{text}");
    }

    #[test]
    fn words_of_a_name_are_not_taken_for_heads() {
        let slot = |head: &str| ["shared", head, "layers", "0", "weight"].map(str::to_owned);
        for name in ["blocks.3.weight", "multi_head.weight", "location.weight", "fc22.weight"] {
            assert_eq!(contradiction(&slot("log_var"), name), None, "{name}");
        }
        for name in ["fc_mu.weight", "blocks.mean.weight", "fc1.bias"] {
            assert!(contradiction(&slot("log_var"), name).is_some(), "{name}");
        }
        for name in ["fc_lv_u.weight", "logvar.weight", "log_covariance.weight"] {
            assert_eq!(contradiction(&slot("log_var"), name), None, "{name}");
        }
        assert_eq!(contradiction(&slot("mean"), "log_var.weight"), Some("a mean"));
    }

    #[test]
    fn heads_in_another_order_are_not_confused() {
        let config = custom();
        let swapped = [
            FOREIGN[0],
            ("encoders.x.shared.mean.0", "encoders.x.logvar"),
            ("encoders.x.shared.log_var.0", "encoders.x.mu"),
        ];
        let text = complaints(&config, &Weights::ordered(renamed(&config, &swapped)));
        assert!(text.contains("`encoders.x.logvar.weight` stands where a mean"), "{text}");
    }

    #[test]
    fn everything_that_does_not_fit_is_named() {
        let config = mvae();
        let mut given = renamed(&config, &[]);
        given[0].shape = vec![3, 512];
        given.push(Entry { name: "prior".into(), shape: vec![1], values: vec![0.0] });
        let text = complaints(&config, &Weights::ordered(given.clone()));
        let name = &given[0].name;
        let wrong = format!("`{name}`: expected the shape [512, 7], found [3, 512]");
        assert!(text.contains(&wrong), "{text}");
        assert!(text.contains("`prior` of shape [1] has no place in the model"), "{text}");
        given.remove(1);
        let text = complaints(&config, &Weights::ordered(given));
        assert!(
            text.contains("`encoders.m0`: the network has 8 weights and the file has 7"),
            "{text}"
        );
    }
}
