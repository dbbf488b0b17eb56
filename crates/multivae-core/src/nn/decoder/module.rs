//! Decoders as modules: by hand, since what a likelihood learns is known only when it runs.

use std::fmt;

use burn::{
    module::{
        Content, Devices, DisplaySettings, Module, ModuleDisplay, ModuleDisplayDefault,
        ModuleMapper, ModuleVisitor,
    },
    tensor::Device,
};

use super::Decoder;

/// What visitors are told that the container is, as Burn says of a struct that derives a module.
const CONTAINER: &str = "Struct:Decoder";

/// As Burn derives it, but that what the likelihood learns has no path segment of its own: a tensor
/// `log_scale` is the parameter `log_scale` of the decoder, whichever likelihood asks for it.
impl Module for Decoder {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.learned.collect_devices(self.net.collect_devices(devices))
    }

    fn fork(self, device: &Device) -> Self {
        Self { net: self.net.fork(device), learned: self.learned.fork(device), ..self }
    }

    fn to_device(self, device: &Device) -> Self {
        Self { net: self.net.to_device(device), learned: self.learned.to_device(device), ..self }
    }

    fn train(self) -> Self {
        Self { net: self.net.train(), learned: self.learned.train(), ..self }
    }

    fn valid(&self) -> Self {
        Self { net: self.net.valid(), learned: self.learned.valid(), spec: self.spec.clone() }
    }

    fn materialize(self) -> Self {
        Self { net: self.net.materialize(), learned: self.learned.materialize(), ..self }
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.enter_module("net", CONTAINER);
        self.net.visit(visitor);
        visitor.exit_module("net", CONTAINER);
        self.learned.visit(visitor);
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        mapper.enter_module("net", CONTAINER);
        let net = self.net.map(mapper);
        mapper.exit_module("net", CONTAINER);
        Self { net, learned: self.learned.map(mapper), spec: self.spec }
    }
}

impl ModuleDisplayDefault for Decoder {
    fn content(&self, content: Content) -> Option<Content> {
        let content = content.add("net", &self.net);
        let content = self
            .learned
            .iter()
            .fold(content, |content, (name, learned)| content.add(name, learned));
        content.set_top_level_type("Decoder").optional()
    }
}

impl ModuleDisplay for Decoder {}

impl fmt::Display for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ModuleDisplay::format(self, DisplaySettings::default()))
    }
}
