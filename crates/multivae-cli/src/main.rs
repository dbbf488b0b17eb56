//! The command line: trains, encodes, generates and evaluates.

mod arguments;
mod comments;
mod config;
mod device;
mod encode;
mod evaluate;
mod failure;
mod files;
mod generate;
mod lists;
mod npz;
mod picture;
mod run;
mod terminal;
mod train;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::{
    arguments::{Arguments, Task},
    failure::Outcome,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("MULTIVAE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
    let result = match &arguments.task {
        Task::Train(arguments) => train::run(arguments),
        Task::Encode(arguments) => encode::run(arguments),
        Task::Generate(arguments) => generate::run(arguments),
        Task::Evaluate(arguments) => evaluate::run(arguments),
        Task::Models => lists::models(),
        Task::Data => lists::data(),
        Task::Devices => lists::devices(),
        Task::Config { model } => lists::config(model),
    };
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted) => ExitCode::from(failure::INTERRUPTED),
        Err(error) => failure::report(&error),
    }
}
