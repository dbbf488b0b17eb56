//! Tasks of the workspace: `cargo xtask <task>`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to the terminal")]

mod ci;
mod loc;
mod pages;
mod tidy;
mod tree;

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Tasks of the workspace.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything a change must pass, each step with its time.
    Ci,
    /// Prints the layers of the crates and checks the rules of the source tree.
    Tidy,
    /// Compares models with values recorded from the reference implementation.
    Parity {
        /// Folders of cases.
        #[arg(required = true)]
        folders: Vec<String>,
        /// Only cases of these models, separated by commas.
        #[arg(long)]
        model: Option<String>,
    },
    /// Writes the pages of the models under `docs/models`.
    Docs,
    /// Counts lines of code, tests and documentation of each crate.
    Loc,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    let root = tree::root()?;
    match task {
        Task::Ci => ci::run(&root),
        Task::Tidy => tidy::run(&root),
        Task::Docs => pages::run(&root, &tree::files(&root)?),
        Task::Loc => loc::run(&root),
        Task::Parity { folders, model } => {
            // No `--package`: with the whole workspace selected, Burn has the features that
            // `cargo test` has already built.
            let mut cargo = Command::new("cargo");
            cargo.args(["run", "--quiet", "--release", "--example", "parity", "--"]).args(folders);
            if let Some(model) = model {
                cargo.args(["--model", &model]);
            }
            let status = cargo.status().context("cargo does not start")?;
            Ok(ExitCode::from(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1)))
        }
    }
}
