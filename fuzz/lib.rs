//! Readers are given files that are nearly right, by the million.
//!
//! `cargo test --release --workspace --test fuzz` gives every reader its share of a minute;
//! `-- --seconds 600 --only npz` gives one of them more. Inputs are small valid files with some bytes,
//! numbers or lines changed, within archives and under checksums as well; they derive from a seed and a
//! number, so that what fails can be had again. A reader may refuse an input or take it. It must not
//! panic, end the process, take more memory than a multiple of the input, or take longer than that.
//!
//! It is a program of its own and not one of `cargo fuzz`, which needs a nightly compiler and a
//! build of Burn with its instruments.

pub mod corpus;
pub mod memory;
pub mod mutate;
pub mod seal;
pub mod targets;
