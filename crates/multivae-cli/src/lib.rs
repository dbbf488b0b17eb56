//! The command line: trains, encodes, generates and evaluates.
//!
//! It is a library so that a program with models of its own has the whole of it: such a program
//! [registers](multivae::models::custom::register) them, and calls [`main`].
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     // multivae::models::custom::register::<MyConfig>("my_model", "What it is in a line")?;
//!     multivae_cli::main()
//! }
//! ```

mod annotated;
mod arguments;
mod check;
mod classifier;
mod closing;
mod columns;
mod comments;
mod compare;
mod config;
mod drawing;
mod encode;
mod evaluate;
mod export;
mod failure;
mod fetch;
mod generate;
mod given;
mod import;
mod impute;
mod lists;
mod measure;
mod multiview_ae;
mod npz;
mod picture;
pub mod program;
mod progress;
mod provenance;
#[cfg(feature = "hub")]
mod pull;
#[cfg(feature = "hub")]
mod push;
#[doc(hidden)]
pub mod reading;
mod sampler;
#[cfg(feature = "remote")]
mod serve;
mod service;
mod sweep;
mod terminal;
mod torch;
mod train;
mod watched;
mod written;
mod yaml;

use std::process::ExitCode;

use burn::tensor::Device;
use clap::Parser;
use multivae::{allocator::keep_pages, device::on_workers};
use tracing::Level;
use tracing_subscriber::{
    Layer, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{
    arguments::{Arguments, Task},
    failure::Outcome,
};

/// What other libraries log no more than.
const QUIET: [&str; 3] = ["ureq", "ureq_proto", "rustls"];

/// Does what the arguments of the process ask for, and says how the process is to end: with 0, with
/// 1 if something failed while running, with 2 if what was given cannot be used, with 130 after an
/// interrupt.
pub fn main() -> ExitCode {
    ExitCode::from(with(&Arguments::parse()))
}

fn with(arguments: &Arguments) -> u8 {
    keep_pages();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(terminal::log)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .without_time()
        .with_target(false);
    // Another program that has this one in its process may have set its own.
    let _ = tracing_subscriber::registry().with(lines.with_filter(told())).try_init();
    // A panic is a defect, here or in a driver; its message is on standard error already.
    let Ok(result) = std::panic::catch_unwind(|| run(&arguments.task)) else {
        terminal::print_err(
            "error: the program has panicked; please report this with the lines above",
        );
        return failure::FAILED;
    };
    match result {
        Ok(Outcome::Done) => 0,
        Ok(Outcome::Interrupted) => terminal::INTERRUPTED,
        Err(error) => failure::report(&error),
    }
}

/// What is told of the work of libraries: warnings, or what `MULTIVAE_LOG` asks for.
fn told() -> Targets {
    const VARIABLE: &str = "MULTIVAE_LOG";
    let warnings = Targets::new().with_default(Level::WARN);
    let Ok(asked) = std::env::var(VARIABLE) else { return warnings };
    let told: Targets = asked.parse().unwrap_or_else(|error| {
        terminal::print_err(&format!(
            "warning: {VARIABLE} is `{asked}`: expected a level as `debug`, or levels of modules as \
             `multivae_train=debug,warn`: {error}"
        ));
        warnings
    });
    // Requests are logged there byte by byte, with tokens and passwords.
    told.with_targets(QUIET.map(|library| (library, Level::INFO)))
}

/// Prints an error as the program prints its own, and says how the process is to end.
pub fn fail(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(failure::report(error))
}

/// On the threads that kernels use, but for tasks that have threads of their own and wait for them.
fn run(task: &Task) -> anyhow::Result<Outcome> {
    match task {
        Task::Train(_) | Task::Sweep(_) | Task::ServeModel(_) => here(task),
        #[cfg(feature = "remote")]
        Task::Serve(_) => here(task),
        _ => on_workers(&Device::default(), || here(task)),
    }
}

fn here(task: &Task) -> anyhow::Result<Outcome> {
    match task {
        Task::Train(arguments) => train::run(arguments),
        Task::Sweep(arguments) => sweep::run(arguments),
        Task::Encode(arguments) => encode::run(arguments),
        Task::Generate(arguments) => generate::run(arguments),
        Task::Impute(arguments) => impute::run(arguments),
        Task::Evaluate(arguments) => evaluate::run(arguments),
        Task::Classifier(arguments) => classifier::run(arguments),
        Task::Sampler(task) => sampler::run(task),
        Task::Compare(arguments) => compare::run(arguments),
        Task::Import(arguments) => import::run(arguments),
        Task::Export(arguments) => export::run(arguments),
        Task::ServeModel(arguments) => service::run(arguments),
        #[cfg(feature = "hub")]
        Task::Push(arguments) => push::run(arguments),
        #[cfg(feature = "hub")]
        Task::Pull(arguments) => pull::run(arguments),
        Task::Models => lists::models(),
        Task::Data(arguments) => lists::data(arguments),
        Task::Devices => lists::devices(),
        #[cfg(feature = "remote")]
        Task::Serve(arguments) => serve::run(arguments),
        Task::Config { model } => lists::config(model),
    }
}
