//! What the arguments of a task give: its run, modalities of it.

use std::path::Path;

use anyhow::{Context, Result};
use multivae::{
    core::subset::Subset,
    device,
    run::{Run, RunFolder},
};

use crate::arguments::RunArguments;

/// Reads the folder and the best weights.
pub(crate) fn run(arguments: &RunArguments) -> Result<Run> {
    run_on(&arguments.run, arguments.device.as_deref())
}

/// The same on a device; `None` for the default one.
pub(crate) fn run_on(folder: &Path, device: Option<&str>) -> Result<Run> {
    let folder = RunFolder::open(folder)?;
    Ok(folder.load(&device::open(device)?)?)
}

/// The modalities of `--given`; all if it was not given.
pub(crate) fn modalities(run: &Run, names: Option<&[String]>) -> Result<Subset> {
    let given = run.trained.given(&words(names));
    given.with_context(|| shown("--given", names))
}

/// The modalities of `--target`; all that the model generates if it was not given.
pub(crate) fn targets(run: &Run, names: Option<&[String]>) -> Result<Subset> {
    let targets = run.trained.targets(&words(names));
    targets.with_context(|| shown("--target", names))
}

fn words(names: Option<&[String]>) -> Vec<&str> {
    names.unwrap_or_default().iter().map(String::as_str).collect()
}

fn shown(flag: &str, names: Option<&[String]>) -> String {
    format!("`{flag} {}`", names.unwrap_or_default().join(","))
}
