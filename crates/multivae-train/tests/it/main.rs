//! Runs of a tiny model.

mod devices;
mod failures;
mod kit;
mod reports;
mod resume;
mod settings;
mod stages;
