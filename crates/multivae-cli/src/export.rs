//! `multivae export`.

use std::{io::Write, path::Path};

use anyhow::Result;
use multivae::models::exchange;
use serde::Serialize;

use crate::{
    arguments::{ExportArguments, Format},
    failure::Outcome,
    files::{self, NewFolder},
    run::{Run, STANDARDISATION},
    terminal::say,
    torch,
};

/// Folder in that of the run.
const FOLDER: &str = "export";
/// Our configuration of the model.
const CONFIG: &str = "config.json";
/// The reference's configuration of the model.
const REFERENCE: &str = "model_config.json";

/// Writes a run's weights.
pub(crate) fn run(arguments: &ExportArguments) -> Result<Outcome> {
    let out = arguments.out.clone().unwrap_or_else(|| arguments.run.join(FOLDER));
    files::check_free(&out, "choose another folder with `--out`")?;
    let run = Run::open_on(&arguments.run, None)?;
    let config = &run.stored.config.model;
    let entries = exchange::entries(&run.model, config)?;
    let Format::Safetensors = arguments.format;
    let name = "model.safetensors";
    let weights = torch::safetensors(&entries)?;

    let new = NewFolder::new(&out)?;
    files::write_whole(&new.path().join(name), |file| Ok(file.write_all(&weights)?))?;
    write_json(&new.path().join(CONFIG), config)?;
    let reference = exchange::describe(config);
    if let Some(reference) = &reference {
        write_json(&new.path().join(REFERENCE), reference)?;
    }
    let standardisation = &run.stored.standardisation;
    if standardisation.modalities.iter().any(|entry| entry.moments.is_some()) {
        standardisation.save(&new.path().join(STANDARDISATION))?;
    }
    new.finish()?;
    let note = match reference {
        Some(_) => format!("; MultiVae rebuilds the model from {REFERENCE}"),
        None => String::new(),
    };
    say(format!("{}: {} weights{note}", out.join(name).display(), entries.len()))?;
    Ok(Outcome::Done)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    files::write_whole(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        Ok(writeln!(file)?)
    })
}
