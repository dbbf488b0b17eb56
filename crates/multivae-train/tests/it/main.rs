//! Runs of a tiny model.

mod kit;
mod resume;
