//! Training by several processes, which are joined by the MPI of this machine.

use std::{
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

/// How many processes are compared with one.
const RANKS: [usize; 2] = [2, 4];

/// Why it cannot be checked here, if so.
fn missing() -> Option<String> {
    let there = |program: &&str| {
        let mut ask = Command::new(program);
        ask.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        ask.status().is_ok_and(|status| status.success())
    };
    let absent = ["mpicc", "mpirun"].into_iter().find(|program| !there(program))?;
    Some(format!("there is no `{absent}`; Debian has it in `libopenmpi-dev` and `openmpi-bin`"))
}

/// Compares every model on several processes with one, times their sums, and kills one of them.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    if let Some(reason) = missing() {
        println!("NOT CHECKED: training over MPI: {reason}");
        return Ok(ExitCode::SUCCESS);
    }
    let runner = format!("CARGO_TARGET_{}_RUNNER", host()?.to_uppercase().replace('-', "_"));
    for ranks in RANKS {
        let mpirun =
            format!("mpirun --oversubscribe --allow-run-as-root --bind-to none -n {ranks}");
        let test = "mpi::processes_make_the_steps_of_one";
        call(tests(root, test).env(&runner, mpirun).env("RAYON_NUM_THREADS", "1"))?;
    }
    for test in [
        "mpi::a_rank_that_dies_ends_the_run_which_goes_on_with_another_number",
        "mpi::what_is_wrong_is_told_once_and_nothing_is_written",
    ] {
        call(&mut tests(root, test))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A test of the program with MPI, which is left out elsewhere.
fn tests(root: &Path, name: &str) -> Command {
    let mut cargo = crate::cargo();
    cargo.current_dir(root);
    cargo.args(["test", "--release", "--quiet", "--features", "multivae-cli/mpi", "--test", "cli"]);
    cargo.args(["--", "--ignored", "--exact", "--nocapture", name]);
    cargo
}

/// The platform that this machine builds for.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc does not start")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match text.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(host) => Ok(host.to_owned()),
        None => bail!("rustc does not say its host: {text:?}"),
    }
}

fn call(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} does not start"))?;
    ensure!(status.success(), "{command:?} has failed");
    Ok(())
}
