//! Runs of a tiny model.

mod devices;
mod failures;
mod kit;
mod observers;
mod phases;
mod ranks;
mod resume;
mod settings;
mod stages;
