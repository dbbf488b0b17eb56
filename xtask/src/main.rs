//! Tasks of the workspace: `cargo xtask <task>`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to the terminal")]

mod audit;
mod bench;
mod ci;
mod loc;
mod mpi;
mod packages;
mod page;
mod pages;
mod python;
mod scratch;
mod served;
mod tidy;
mod torture;
mod tree;
mod unsafe_code;

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

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
    Ci {
        /// Leaves out other backends, which need a build of Burn of their own.
        #[arg(long)]
        quick: bool,
    },
    /// Prints the layers of the crates and checks the rules of the source tree.
    Tidy,
    /// Licences and sources of all that the program is built of, and crates of several versions.
    Audit {
        /// A copy of <https://github.com/rustsec/advisory-db>: what is known to be wrong with them.
        #[arg(long, value_name = "FOLDER")]
        advisories: Option<PathBuf>,
    },
    /// Packs every published crate without building it, in their order, and checks that all is there.
    Packages {
        /// Also asks the registry, over the network, as far as `cargo publish --dry-run` does.
        #[arg(long)]
        registry: bool,
    },
    /// Kills runs and tasks at random moments, fills their disks and cuts their files; every run ends in
    /// the bits of an unbroken one, and what a task writes is whole or absent.
    Torture(torture::Options),
    /// Compares models with values recorded from the reference implementations.
    Parity {
        /// Folders of cases, or files of values of multi-view-AE.
        #[arg(required = true)]
        folders: Vec<String>,
        /// Only cases of these models, separated by commas.
        #[arg(long)]
        model: Option<String>,
        /// The device; with another than `flex` its backend is built in.
        #[arg(long, default_value = "flex")]
        device: String,
    },
    /// Compares backends, and this library with the Python library MultiVae, on its workloads.
    Bench(bench::Options),
    /// Writes the pages of the models under `docs/models`, and `docs/unsafe.md`.
    Docs,
    /// Opens reports in headless Chromium at the width of a phone and of a desk, and checks that
    /// all is there, nothing is too wide and nothing is asked of the network.
    Page {
        /// The reports.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Folder for pictures of them.
        #[arg(long)]
        pictures: Option<PathBuf>,
    },
    /// Serves the model of a run and looks at its page in headless Chromium: what it shows at the
    /// width of a phone and of a desk, and what it answers when its buttons are pressed.
    Served {
        /// Folders of runs.
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        /// Folder for pictures of it.
        #[arg(long)]
        pictures: Option<PathBuf>,
    },
    /// Builds the wheel for Python, installs it into an environment of its own and runs its tests.
    Python,
    /// Builds the program with MPI and compares every model on several processes with one, where there
    /// is an MPI.
    Mpi,
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
        Task::Ci { quick } => ci::run(&root, quick),
        Task::Tidy => tidy::run(&root),
        Task::Audit { advisories } => audit::run(&root, advisories.as_deref()),
        Task::Packages { registry } => packages::run(&root, registry),
        Task::Torture(options) => torture::run(&options),
        Task::Docs => {
            let files = tree::files(&root)?;
            unsafe_code::write(&root, &files)?;
            pages::run(&root, &files)
        }
        Task::Python => python::run(&root),
        Task::Mpi => mpi::run(&root),
        Task::Loc => loc::run(&root),
        Task::Page { files, pictures } => page::run(&files, pictures.as_deref()),
        Task::Served { runs, pictures } => served::run(&runs, pictures.as_deref()),
        Task::Parity { folders, model, device } => {
            let backend = device.split(':').next().unwrap_or_default();
            let mut cargo = example("parity", backend);
            cargo.args(folders).args(["--device", &device]);
            if let Some(model) = model {
                cargo.args(["--model", &model]);
            }
            exit(&mut cargo)
        }
        Task::Bench(options) => {
            bench::run(&root, &options)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Runs an example of the libraries.
///
/// No `--package`: with the whole workspace selected, Burn has the features that `cargo test` has
/// already built.
fn example(name: &str, backend: &str) -> Command {
    let mut cargo = cargo();
    cargo.args(["run", "--quiet", "--release", "--example", name]);
    cargo.args(["--features", &format!("multivae/{backend}"), "--"]);
    cargo
}

/// Cargo, without what the cargo that started this program says of its package: some build scripts
/// look at that, and Burn would be built anew whenever it changes.
fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// Runs a command and passes its exit status on.
fn exit(command: &mut Command) -> Result<ExitCode> {
    let status = command.status().context("cargo does not start")?;
    Ok(ExitCode::from(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1)))
}
