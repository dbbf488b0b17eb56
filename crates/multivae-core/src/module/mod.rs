//! The containers Burn lacks: modules by name, modules behind a trait.
//!
//! All hand-written `impl Module`s of this crate are here: they are what an upgrade of Burn breaks.
