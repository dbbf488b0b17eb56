//! Reads cases recorded from the Python library MultiVae and compares this library with them.
//!
//! A case is a folder with a model's configuration, weights, inputs, recorded noise and expected
//! values. Nothing here knows a case by its name.
//!
//! | file | holds |
//! |---|---|
//! | `case.rs` | the files of a case |
//! | `network.rs` | the description of its networks as configurations of ours, names of weights |
//! | `model.rs` | the model of a case, built and loaded |
//! | `adapters/` | what is particular to a model: configuration, noise order, reductions, metrics |
//! | `calls.rs` | the calls of a case, their expected values, the comparison |
//! | `golden.rs` | another form: values recorded from multi-view-AE, all in one file |

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the reader serves two programs, each using a part of it"
)]

mod adapters;
mod calls;
mod case;
mod golden;
mod model;
mod network;

pub use calls::{Outcome, run};
pub use case::{Array, Call, Case, Expected};
pub use golden::Golden;

/// Why a case, or a part of it, cannot be compared.
#[derive(Debug)]
pub enum Problem {
    /// The model or an option is not implemented.
    Todo(String),
    /// The case's files cannot be read.
    Broken(String),
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Todo(why) | Self::Broken(why) => f.write_str(why),
        }
    }
}

/// A problem of the files.
pub fn broken(why: impl Into<String>) -> Problem {
    Problem::Broken(why.into())
}
