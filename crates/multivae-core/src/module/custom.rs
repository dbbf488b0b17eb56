//! A module behind a trait object.
//!
//! [`Module`] cannot be a trait object: it is `Clone`, and its `visit` and `map` are generic. Yet a
//! model must be able to hold a network that this library does not know. Here each generic method
//! crosses the border twice: erased on one side ([`Erase`] turns `visit_float::<D>` into
//! `float(rank, &dyn Any)`), and with its rank restored on the other ([`Restore`]).
//!
//! Users of the library meet none of this: they implement a role such as
//! [`Encoder`](crate::nn::Encoder) for a struct that derives `Module`, and hand a builder of it to
//! [`Networks`](crate::nn::Networks).

use std::{
    any::Any,
    fmt::{self, Debug},
};

use burn::{
    module::{
        Content, Devices, DisplaySettings, Flag, Module, ModuleDisplay, ModuleDisplayDefault,
        ModuleMapper, ModuleVisitor, Param,
    },
    tensor::{Bool, Device, Float, Int, Tensor},
};

/// A module of unknown type that plays the role `R`, a trait object such as
/// [`dyn DynEncoder`](crate::nn::DynEncoder).
///
/// It is a [`Module`] for every role that is a [`DynModule`] and for which it is `Clone`.
#[derive(Debug)]
pub struct Custom<R: ?Sized>(Box<R>);

impl<R: ?Sized> Custom<R> {
    pub(crate) fn from_box(role: Box<R>) -> Self {
        Self(role)
    }

    /// The role, ready to be called.
    pub fn role(&self) -> &R {
        &self.0
    }
}

impl<R: DynModule + ?Sized> Custom<R> {
    /// The module itself, if it is a `T`.
    pub fn downcast_ref<T: Module + ModuleDisplay + Sync + 'static>(&self) -> Option<&T> {
        self.0.as_any().downcast_ref::<Slot<T>>().map(Slot::get)
    }

    fn changed(mut self, change: Change<'_>) -> Self {
        self.0.dyn_change(change);
        self
    }
}

/// A module in place: empty only while one of its consuming methods runs.
#[derive(Clone, Debug)]
pub struct Slot<T>(Option<T>);

impl<T> Slot<T> {
    pub(crate) fn new(module: T) -> Self {
        Self(Some(module))
    }

    pub(crate) fn get(&self) -> &T {
        self.0.as_ref().expect("a slot is empty only while its module is updated")
    }

    fn update(&mut self, f: impl FnOnce(T) -> T) {
        self.0 = self.0.take().map(f);
    }
}

/// The consuming methods of [`Module`] that take no visitor.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// [`Module::to_device`].
    ToDevice(&'a Device),
    /// [`Module::fork`].
    Fork(&'a Device),
    /// [`Module::train`].
    Train,
    /// [`Module::valid`].
    Valid,
    /// [`Module::materialize`].
    Materialize,
}

/// The face of a [`Module`] that can be a trait object; implemented for every module in a
/// [`Slot`].
pub trait DynModule: Any + Debug + Send + Sync {
    /// See [`Module::collect_devices`].
    fn dyn_devices(&self, devices: Devices) -> Devices;
    /// See [`Module::visit`].
    fn dyn_visit(&self, visitor: &mut dyn DynVisitor);
    /// See [`Module::map`]; in place.
    fn dyn_map(&mut self, mapper: &mut dyn DynMapper);
    /// Applies a change in place.
    fn dyn_change(&mut self, change: Change<'_>);
    /// See [`ModuleDisplay::format`].
    fn dyn_format(&self, settings: DisplaySettings) -> String;
    /// The value as [`Any`], for downcasts.
    fn as_any(&self) -> &dyn Any;
}

impl<T: Module + ModuleDisplay + Sync + 'static> DynModule for Slot<T> {
    fn dyn_devices(&self, devices: Devices) -> Devices {
        self.get().collect_devices(devices)
    }

    fn dyn_visit(&self, visitor: &mut dyn DynVisitor) {
        self.get().visit(&mut Erase(visitor));
    }

    fn dyn_map(&mut self, mapper: &mut dyn DynMapper) {
        self.update(|module| module.map(&mut Erase(mapper)));
    }

    fn dyn_change(&mut self, change: Change<'_>) {
        self.update(|module| match change {
            Change::ToDevice(device) => module.to_device(device),
            Change::Fork(device) => module.fork(device),
            Change::Train => module.train(),
            Change::Valid => module.valid(),
            Change::Materialize => module.materialize(),
        });
    }

    fn dyn_format(&self, settings: DisplaySettings) -> String {
        self.get().format(settings)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl<R: DynModule + ?Sized> Module for Custom<R>
where
    Self: Clone,
{
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.0.dyn_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        self.changed(Change::Fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.changed(Change::ToDevice(device))
    }

    fn train(self) -> Self {
        self.changed(Change::Train)
    }

    fn valid(&self) -> Self {
        self.clone().changed(Change::Valid)
    }

    fn materialize(self) -> Self {
        self.changed(Change::Materialize)
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.0.dyn_visit(&mut Restore(visitor));
    }

    fn map<M: ModuleMapper>(mut self, mapper: &mut M) -> Self {
        self.0.dyn_map(&mut Restore(mapper));
        self
    }
}

impl<R: DynModule + ?Sized> ModuleDisplayDefault for Custom<R> {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&self.0.dyn_format(DisplaySettings::default())).optional()
    }
}

impl<R: DynModule + ?Sized> ModuleDisplay for Custom<R> {
    fn format(&self, settings: DisplaySettings) -> String {
        self.0.dyn_format(settings)
    }
}

impl<R: DynModule + ?Sized> fmt::Display for Custom<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ModuleDisplay::format(self, DisplaySettings::default()))
    }
}

/// [`ModuleVisitor`] without generics: a parameter comes as its rank and a `&Param<Tensor<..>>`.
pub trait DynVisitor {
    /// See [`ModuleVisitor::enter_module`].
    fn enter(&mut self, name: &str, container: &str);
    /// See [`ModuleVisitor::exit_module`].
    fn exit(&mut self, name: &str, container: &str);
    /// See [`ModuleVisitor::visit_flag`].
    fn flag(&mut self, flag: &Param<Flag>);
    /// See [`ModuleVisitor::visit_float`].
    fn float(&mut self, rank: usize, param: &dyn Any);
    /// See [`ModuleVisitor::visit_int`].
    fn int(&mut self, rank: usize, param: &dyn Any);
    /// See [`ModuleVisitor::visit_bool`].
    fn bool(&mut self, rank: usize, param: &dyn Any);
}

/// [`ModuleMapper`] without generics: a parameter comes and goes as its rank and a
/// `Param<Tensor<..>>`.
pub trait DynMapper {
    /// See [`ModuleMapper::enter_module`].
    fn enter(&mut self, name: &str, container: &str);
    /// See [`ModuleMapper::exit_module`].
    fn exit(&mut self, name: &str, container: &str);
    /// See [`ModuleMapper::map_flag`].
    fn flag(&mut self, flag: Param<Flag>) -> Param<Flag>;
    /// See [`ModuleMapper::map_float`].
    fn float(&mut self, rank: usize, param: Box<dyn Any>) -> Box<dyn Any>;
    /// See [`ModuleMapper::map_int`].
    fn int(&mut self, rank: usize, param: Box<dyn Any>) -> Box<dyn Any>;
    /// See [`ModuleMapper::map_bool`].
    fn bool(&mut self, rank: usize, param: Box<dyn Any>) -> Box<dyn Any>;
}

/// Generic calls in, dynamic calls out: what the hidden module is visited by.
struct Erase<'a, D: ?Sized>(&'a mut D);

/// Dynamic calls in, generic calls out: what Burn's visitor receives.
struct Restore<'a, S>(&'a mut S);

/// Runs `$body` with the constant `$d` equal to a rank known at run time. Burn's tensors have
/// ranks 0 to 8.
macro_rules! with_rank {
    ($rank:expr, $d:ident => $body:expr) => {
        with_rank!(@arms $rank, $d => $body; 0 1 2 3 4 5 6 7 8)
    };
    (@arms $rank:expr, $d:ident => $body:expr; $($n:literal)*) => {
        match $rank {
            $($n => { const $d: usize = $n; $body })*
            rank => unreachable!("Burn has no tensor of rank {rank}"),
        }
    };
}

macro_rules! erase_visit {
    ($($visit:ident => $dyn:ident: $kind:ty),*) => { $(
        fn $visit<const D: usize>(&mut self, param: &Param<Tensor<D, $kind>>) {
            self.0.$dyn(D, param);
        }
    )* };
}

macro_rules! restore_visit {
    ($($dyn:ident => $visit:ident: $kind:ty),*) => { $(
        fn $dyn(&mut self, rank: usize, param: &dyn Any) {
            with_rank!(rank, D => self.0.$visit(
                param.downcast_ref::<Param<Tensor<D, $kind>>>().expect("kind and rank match"),
            ))
        }
    )* };
}

macro_rules! erase_map {
    ($($map:ident => $dyn:ident: $kind:ty),*) => { $(
        fn $map<const D: usize>(
            &mut self,
            param: Param<Tensor<D, $kind>>,
        ) -> Param<Tensor<D, $kind>> {
            *self.0.$dyn(D, Box::new(param)).downcast().expect("kind and rank match")
        }
    )* };
}

macro_rules! restore_map {
    ($($dyn:ident => $map:ident: $kind:ty),*) => { $(
        fn $dyn(&mut self, rank: usize, param: Box<dyn Any>) -> Box<dyn Any> {
            with_rank!(rank, D => Box::new(self.0.$map::<D>(
                *param.downcast::<Param<Tensor<D, $kind>>>().expect("kind and rank match"),
            )))
        }
    )* };
}

impl ModuleVisitor for Erase<'_, dyn DynVisitor + '_> {
    erase_visit!(visit_float => float: Float, visit_int => int: Int, visit_bool => bool: Bool);

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        self.0.flag(flag);
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit(name, container);
    }
}

impl<V: ModuleVisitor> DynVisitor for Restore<'_, V> {
    restore_visit!(float => visit_float: Float, int => visit_int: Int, bool => visit_bool: Bool);

    fn flag(&mut self, flag: &Param<Flag>) {
        self.0.visit_flag(flag);
    }

    fn enter(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }

    fn exit(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}

impl ModuleMapper for Erase<'_, dyn DynMapper + '_> {
    erase_map!(map_float => float: Float, map_int => int: Int, map_bool => bool: Bool);

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.0.flag(flag)
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit(name, container);
    }
}

impl<M: ModuleMapper> DynMapper for Restore<'_, M> {
    restore_map!(float => map_float: Float, int => map_int: Int, bool => map_bool: Bool);

    fn flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.0.map_flag(flag)
    }

    fn enter(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }

    fn exit(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig};

    use super::*;
    use crate::{
        module::{freeze, init_parameters, parameters, tests::without_gradient},
        nn::{CustomNetwork, Network},
    };

    #[derive(Module, Debug)]
    struct Odd {
        linear: Linear,
        norm: BatchNorm,
        drop: Dropout,
        rows: Param<Tensor<3>>,
    }

    impl Network for Odd {
        fn forward(&self, input: Tensor<2>) -> Tensor<2> {
            let x = self.drop.forward(self.norm.forward(self.linear.forward(input)));
            x * self.rows.val().sum().unsqueeze()
        }
    }

    fn odd(device: &Device) -> CustomNetwork {
        CustomNetwork::new(Odd {
            linear: LinearConfig::new(2, 3).init(device),
            norm: BatchNormConfig::new(3).init(device),
            drop: DropoutConfig::new(0.5).init(),
            rows: burn::nn::Initializer::Ones.init([1, 2, 1], device),
        })
    }

    #[test]
    fn paths_ranks_and_identities_cross_the_border() {
        let custom = odd(&Device::flex());
        let inside = custom.downcast_ref::<Odd>().expect("the same type");
        let (out, own) = (parameters(&custom), parameters(inside));
        assert_eq!(out, own);
        assert_eq!(out.last().map(|p| (p.path.as_str(), p.shape.len())), Some(("rows", 3)));
    }

    #[test]
    fn a_record_brings_back_values_and_identities() {
        let device = Device::flex();
        let saved = init_parameters(odd(&device));
        let loaded = odd(&device).load_record(saved.clone().into_record());
        // Burn gives running statistics new identities at each load.
        let listed = |custom: &CustomNetwork| {
            let mut listed = parameters(custom);
            listed.retain(|parameter| !parameter.path.contains("running"));
            listed
        };
        assert_eq!(listed(&loaded), listed(&saved));
        let input = Tensor::ones([2, 2], &device);
        // Without dropout, whose draws differ from call to call.
        let (a, b) = (saved.valid().forward(input.clone()), loaded.valid().forward(input));
        assert_eq!(a.to_data(), b.to_data());
    }

    #[test]
    fn a_clone_is_another_module_with_the_same_parameters() {
        let custom = odd(&Device::flex());
        assert_eq!(parameters(&custom.clone()), parameters(&custom));
    }

    #[test]
    fn gradients_reach_the_parameters_inside() {
        let custom = init_parameters(odd(&Device::flex().autodiff()));
        let device = Device::flex().autodiff();
        let loss = custom.forward(Tensor::ones([4, 2], &device)).square().sum();
        // The running statistics do not learn.
        assert_eq!(
            without_gradient(&custom, &loss.backward()),
            ["norm.running_mean", "norm.running_var"]
        );
    }

    #[test]
    fn validation_and_freezing_reach_the_flags_inside() {
        let custom = init_parameters(odd(&Device::flex().autodiff()));
        let drop = |c: &CustomNetwork| {
            c.downcast_ref::<Odd>().expect("the same type").drop.training.is_enabled()
        };
        assert!(drop(&custom));
        assert!(!drop(&custom.valid()) && drop(&custom.valid().train()));
        assert!(!drop(&freeze(custom, &["drop".into()])));
    }

    #[test]
    fn the_inside_is_displayed() {
        let text = odd(&Device::flex()).to_string();
        assert!(text.contains("norm") && text.contains("d_output: 3"), "{text}");
    }

    #[test]
    fn a_foreign_type_is_not_found() {
        assert!(odd(&Device::flex()).downcast_ref::<Linear>().is_none());
    }
}
