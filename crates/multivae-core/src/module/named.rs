//! Modules by name.

use std::fmt;

use burn::{
    module::{
        Content, Devices, DisplaySettings, Module, ModuleDisplay, ModuleDisplayDefault,
        ModuleMapper, ModuleVisitor,
    },
    tensor::Device,
};

/// Modules keyed by name, in the order they were given.
///
/// A module's name is one segment of the paths of its parameters, `encoders.image.weight`, as
/// PyTorch's `ModuleDict` has it. Names are those of modalities, which are checked to be different
/// and without dots; see [`crate::modality::ModalityName`].
#[derive(Clone, Debug)]
pub struct Named<M> {
    entries: Vec<(String, M)>,
}

impl<M> Named<M> {
    /// The module called `name`.
    pub fn get(&self, name: &str) -> Option<&M> {
        self.entries.iter().find(|(n, _)| n == name).map(|(_, module)| module)
    }

    /// The module at a place, which for modalities is their number in the model's order.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub fn at(&self, index: usize) -> &M {
        &self.entries[index].1
    }

    /// Number of modules.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no module.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Names and modules, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &M)> {
        self.entries.iter().map(|(name, module)| (name.as_str(), module))
    }

    /// The modules, in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &M> {
        self.entries.iter().map(|(_, module)| module)
    }

    fn each(self, mut f: impl FnMut(M) -> M) -> Self {
        let entries = self.entries.into_iter().map(|(name, module)| (name, f(module))).collect();
        Self { entries }
    }
}

impl<S: Into<String>, M> FromIterator<(S, M)> for Named<M> {
    /// # Panics
    ///
    /// If a name comes twice.
    fn from_iter<I: IntoIterator<Item = (S, M)>>(modules: I) -> Self {
        let entries: Vec<(String, M)> =
            modules.into_iter().map(|(name, module)| (name.into(), module)).collect();
        for (i, (name, _)) in entries.iter().enumerate() {
            assert!(entries[..i].iter().all(|(n, _)| n != name), "two modules called `{name}`");
        }
        Self { entries }
    }
}

/// What visitors are told that the container is, as Burn says "Vec" and "Tuple".
const CONTAINER: &str = "Named";

impl<M: Module> Module for Named<M> {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.values().fold(devices, |devices, module| module.collect_devices(devices))
    }

    fn fork(self, device: &Device) -> Self {
        self.each(|module| module.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.each(|module| module.to_device(device))
    }

    fn train(self) -> Self {
        self.each(Module::train)
    }

    fn valid(&self) -> Self {
        let entry = |(name, module): (&str, &M)| (name.to_owned(), module.valid());
        Self { entries: self.iter().map(entry).collect() }
    }

    fn materialize(self) -> Self {
        self.each(Module::materialize)
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        for (name, module) in self.iter() {
            visitor.enter_module(name, CONTAINER);
            module.visit(visitor);
            visitor.exit_module(name, CONTAINER);
        }
    }

    fn map<Mapper: ModuleMapper>(self, mapper: &mut Mapper) -> Self {
        let each = |(name, module): (String, M)| {
            mapper.enter_module(&name, CONTAINER);
            let module = module.map(mapper);
            mapper.exit_module(&name, CONTAINER);
            (name, module)
        };
        Self { entries: self.entries.into_iter().map(each).collect() }
    }
}

impl<M: ModuleDisplay> ModuleDisplayDefault for Named<M> {
    fn content(&self, content: Content) -> Option<Content> {
        self.iter()
            .fold(content, |content, (name, module)| content.add(name, module))
            .set_top_level_type(CONTAINER)
            .optional()
    }
}

impl<M: ModuleDisplay> ModuleDisplay for Named<M> {}

impl<M: ModuleDisplay> fmt::Display for Named<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ModuleDisplay::format(self, DisplaySettings::default()))
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};

    use super::*;
    use crate::module::parameters;

    fn linears(names: &[&str]) -> Named<Linear> {
        names.iter().map(|&n| (n, LinearConfig::new(2, 2).init(&Device::flex()))).collect()
    }

    #[test]
    fn the_name_is_the_segment_of_the_path() {
        let paths: Vec<String> =
            parameters(&linears(&["b", "a"])).into_iter().map(|p| p.path).collect();
        assert_eq!(paths, ["b.weight", "b.bias", "a.weight", "a.bias"]);
    }

    #[test]
    fn modules_are_found_by_name_and_by_place() {
        let named = linears(&["b", "a"]);
        assert_eq!(named.get("a").map(|m| m.weight.id), Some(named.at(1).weight.id));
        assert!(named.get("c").is_none());
        assert_eq!(named.len(), 2);
        assert_eq!(named.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    #[should_panic(expected = "two modules called `a`")]
    fn a_name_given_twice_is_refused() {
        linears(&["a", "a"]);
    }

    #[test]
    fn a_record_brings_back_values_and_identities() {
        let (saved, other) = (linears(&["a", "b"]), linears(&["a", "b"]));
        let loaded = other.load_record(saved.clone().into_record());
        assert_eq!(parameters(&loaded), parameters(&saved));
        assert_eq!(loaded.at(1).weight.to_data(), saved.at(1).weight.to_data());
    }

    #[test]
    fn names_are_displayed() {
        let text = linears(&["pose"]).to_string();
        assert!(text.contains("pose") && text.contains("Linear"), "{text}");
    }
}
