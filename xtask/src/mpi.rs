//! Training by several processes, which are joined by the MPI of this machine.

use std::{
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, ensure};

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
    let mut cargo = crate::cargo();
    cargo.current_dir(root);
    cargo.args(["test", "--release", "--quiet", "--features", "multivae-cli/mpi", "--test", "cli"]);
    // One after the other, since some measure time.
    cargo.args(["--", "--test-threads", "1", "--nocapture", "mpi::"]);
    let status = cargo.status().with_context(|| format!("{cargo:?} does not start"))?;
    ensure!(status.success(), "{cargo:?} has failed");
    Ok(ExitCode::SUCCESS)
}
