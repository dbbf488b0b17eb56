//! What needs more than one file: bundles of all models, folders of earlier programs.

mod bundle;
#[cfg(feature = "train")]
mod earlier;
mod models;
mod own;
