//! The containers Burn lacks: modules by name, modules behind a trait.
//!
//! Burn implements [`Module`] for vectors, arrays, options, tuples and what derives it, but for no
//! map and no trait object. [`Named`] is that map and [`Custom`] that object. All hand-written
//! `impl Module`s of this crate are here, but for that of decoders, which hold what their likelihood
//! asks for: they are what an upgrade of Burn breaks.
//!
//! Beside them are three functions over the parameters of any module: [`init_parameters`] draws them,
//! [`parameters`] lists them by path, [`freeze`] keeps some of them from learning.

mod custom;
mod named;

pub use custom::{Change, Custom, DynMapper, DynModule, DynVisitor, Slot};
pub use named::Named;

use burn::{
    module::{Flag, Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Bool, Int, Tensor},
};

/// Draws every parameter of `module` now.
///
/// Burn draws a parameter at its first use, in the order of use. Until then any other draw of the
/// device's generator changes what it will be.
pub fn init_parameters<M: Module>(module: M) -> M {
    struct Draw;
    impl ModuleVisitor for Draw {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            param.val();
        }
        fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
            param.val();
        }
        fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
            param.val();
        }
    }
    module.visit(&mut Draw);
    module
}

/// Where a parameter is, and its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Names of the fields that lead to it, joined by dots. Variants of enums are among them, as
    /// in Burn's records: `encoders.image.Branches.shared.trunk.layers.0.Linear.weight`.
    pub path: String,
    /// Its identity, which records and optimisers go by.
    pub id: ParamId,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl Parameter {
    /// Whether it is below a path, as [`freeze`] reads prefixes.
    pub fn is_below(&self, prefix: &str) -> bool {
        is_below(self.path.split('.'), prefix)
    }

    /// The path without the names of enum variants, the form that exchange files use:
    /// `encoders.image.shared.trunk.layers.0.weight`.
    ///
    /// Variants are the segments that begin with a capital letter, unless `keep` says that one is
    /// a name: modalities may be named with a capital.
    pub fn exchange_path(&self, keep: impl Fn(&str) -> bool) -> String {
        let variant = |segment: &&str| segment.starts_with(char::is_uppercase) && !keep(segment);
        self.path.split('.').filter(|s| !variant(s)).collect::<Vec<_>>().join(".")
    }
}

/// All floating-point parameters of `module` and its running statistics, in the order of fields,
/// without drawing those that are not drawn yet.
pub fn parameters<M: Module>(module: &M) -> Vec<Parameter> {
    #[derive(Default)]
    struct List {
        path: Vec<String>,
        found: Vec<Parameter>,
    }
    impl ModuleVisitor for List {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let shape = param.lazy_shape().as_slice().to_vec();
            self.found.push(Parameter { path: self.path.join("."), id: param.id, shape });
        }
    }
    let mut list = List::default();
    module.visit(&mut list);
    list.found
}

/// Keeps all parameters below the given paths from learning, and turns off dropout and running
/// statistics there; leaves the rest as it is.
///
/// A prefix is whole segments of a path, and may leave out names of enum variants: `encoders.a`
/// covers `encoders.a.Branches.shared.mean` and not `encoders.ab.Branches.shared.mean`, and
/// `encoders.a.shared` covers the former too. [`Module::unfreeze`] undoes it.
pub fn freeze<M: Module>(module: M, prefixes: &[String]) -> M {
    struct Freeze<'a> {
        path: Vec<String>,
        prefixes: &'a [String],
    }
    impl Freeze<'_> {
        fn covered(&self) -> bool {
            self.prefixes
                .iter()
                .any(|prefix| is_below(self.path.iter().map(String::as_str), prefix))
        }
    }
    impl ModuleMapper for Freeze<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if self.covered() { param.set_require_grad(false) } else { param }
        }
        fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
            if self.covered() { flag.with_value(false) } else { flag }
        }
    }
    module.map(&mut Freeze { path: Vec::new(), prefixes })
}

/// Whether a path is below a prefix of whole segments, which may leave out names of enum variants.
fn is_below<'a>(path: impl Iterator<Item = &'a str>, prefix: &str) -> bool {
    let mut path = path;
    prefix.split('.').all(|segment| {
        // Variants are what begins with a capital letter and is not asked for.
        path.find(|s| *s == segment || !s.starts_with(char::is_uppercase))
            .is_some_and(|s| s == segment)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use burn::{
        nn::{Dropout, DropoutConfig, Linear, LinearConfig},
        tensor::{Device, Gradients},
    };

    use super::*;

    /// Paths of the parameters that a backward pass gave no gradient.
    pub(crate) fn without_gradient<M: Module>(module: &M, gradients: &Gradients) -> Vec<String> {
        struct Without<'a> {
            path: Vec<String>,
            gradients: &'a Gradients,
            found: Vec<String>,
        }
        impl ModuleVisitor for Without<'_> {
            fn enter_module(&mut self, name: &str, _container: &str) {
                self.path.push(name.to_owned());
            }
            fn exit_module(&mut self, _name: &str, _container: &str) {
                self.path.pop();
            }
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if param.val().grad(self.gradients).is_none() {
                    self.found.push(self.path.join("."));
                }
            }
        }
        let mut without = Without { path: Vec::new(), gradients, found: Vec::new() };
        module.visit(&mut without);
        without.found
    }

    #[derive(Module, Debug)]
    struct Pair {
        a: Linear,
        ab: Linear,
        drop: Dropout,
    }

    fn pair(device: &Device) -> Pair {
        let linear = || LinearConfig::new(2, 3).init(device);
        Pair { a: linear(), ab: linear(), drop: DropoutConfig::new(0.5).init() }
    }

    #[test]
    fn parameters_are_listed_by_path_without_being_drawn() {
        let pair = pair(&Device::flex());
        let listed = parameters(&pair);
        let paths: Vec<&str> = listed.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["a.weight", "a.bias", "ab.weight", "ab.bias"]);
        assert_eq!(listed[0].shape, [2, 3]);
        assert_eq!(listed[0].id, pair.a.weight.id);
        assert!(!pair.a.weight.is_initialized());
    }

    #[test]
    fn settled_parameters_are_drawn() {
        let pair = init_parameters(pair(&Device::flex()));
        assert!(pair.a.weight.is_initialized() && pair.ab.weight.is_initialized());
    }

    #[test]
    fn freezing_covers_whole_segments_only_and_flags_too() {
        let device = Device::flex().autodiff();
        let frozen = freeze(init_parameters(pair(&device)), &["a".into(), "drop".into()]);
        assert!(!frozen.a.weight.val().is_require_grad());
        assert!(frozen.ab.weight.val().is_require_grad());
        assert!(!frozen.drop.training.is_enabled());
        let thawed = frozen.unfreeze();
        assert!(thawed.a.weight.val().is_require_grad() && thawed.drop.training.is_enabled());
    }

    #[derive(Module, Debug)]
    enum Choice {
        Linear(Linear),
    }

    #[test]
    fn prefixes_may_leave_out_variants() {
        let device = Device::flex().autodiff();
        let module = || -> Named<Choice> {
            let linear = || Choice::Linear(LinearConfig::new(2, 3).init(&device));
            init_parameters([("A", linear()), ("B", linear())].into_iter().collect())
        };
        let learning = |prefix: &str| -> Vec<String> {
            let frozen = freeze(module(), &[prefix.to_owned()]);
            let mut learning = Vec::new();
            for (name, Choice::Linear(linear)) in frozen.iter() {
                let bias = linear.bias.as_ref().expect("with bias");
                for (field, learns) in [
                    ("weight", linear.weight.val().is_require_grad()),
                    ("bias", bias.val().is_require_grad()),
                ] {
                    if learns {
                        learning.push(format!("{name}.{field}"));
                    }
                }
            }
            learning
        };
        assert_eq!(learning("A"), ["B.weight", "B.bias"]);
        assert_eq!(learning("A.weight"), ["A.bias", "B.weight", "B.bias"]);
        assert_eq!(learning("A.Linear.weight"), ["A.bias", "B.weight", "B.bias"]);
        assert_eq!(learning("C"), ["A.weight", "A.bias", "B.weight", "B.bias"]);
    }

    #[test]
    fn exchange_paths_leave_variants_out_and_keep_names() {
        let path = "encoders.MRI.Branches.shared.trunk.layers.0.Linear.weight".to_owned();
        let parameter = Parameter { path, id: ParamId::new(), shape: vec![] };
        let found = parameter.exchange_path(|segment| segment == "MRI");
        assert_eq!(found, "encoders.MRI.shared.trunk.layers.0.weight");
    }
}
