//! `multivae export`.

use anyhow::Result;
use multivae::{models::exchange, run::files};

use crate::{
    arguments::{ExportArguments, Format},
    failure::Outcome,
    given,
    terminal::print_out,
};

/// Folder in that of the run.
const FOLDER: &str = "export";

/// Writes a run's bundle.
pub(crate) fn run(arguments: &ExportArguments) -> Result<Outcome> {
    let end = match arguments.format {
        Format::Safetensors => "",
        Format::Tar => ".tar",
    };
    let own = || arguments.run.join(format!("{FOLDER}{end}"));
    let out = arguments.out.clone().unwrap_or_else(own);
    files::check_free(&out, "choose another place with `--out`")?;
    let run = given::run_on(&arguments.run, None)?;
    let bundle = run.bundle()?;
    match arguments.format {
        Format::Safetensors => bundle.save(&out)?,
        Format::Tar => bundle.save_archive(&out)?,
    }
    let note = match exchange::describe(bundle.config()) {
        Some(_) => "; MultiVae rebuilds the model from model_config.json",
        None => "",
    };
    print_out(format!("{}: {} weights{note}", out.display(), bundle.weights().len()))?;
    Ok(Outcome::Done)
}
