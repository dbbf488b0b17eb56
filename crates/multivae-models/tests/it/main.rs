//! Tests over all models: laws, minimum work, parity with the reference, likelihoods.

#[path = "../parity/mod.rs"]
mod parity;

mod batch_norm;
mod contract;
mod exchange;
mod experts;
mod families;
mod integrals;
mod joint;
mod likelihood;
mod reference;
mod start;
mod statistics;
mod subsets;
mod work;
