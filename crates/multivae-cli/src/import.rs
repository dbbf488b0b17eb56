//! `multivae import`.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use multivae::{
    core::nn::Networks,
    data::Standardisation,
    device,
    models::exchange::{self, Part, Reference},
    run::{
        Bundle, RunConfig, RunFolder,
        config::describe,
        files::{self, NewFolder},
    },
    train,
};
use serde_json::Value;

use crate::{
    arguments::ImportArguments,
    failure::{Outcome, bad_input},
    multiview_ae::{self, Found},
    terminal::print_out,
    torch,
};

/// Where the reference puts a model's configuration.
const CONFIG: &str = "model_config.json";
/// Where weights may be.
const WEIGHTS: [&str; 2] = ["model.pt", "model.safetensors"];
/// Under which MultiVae saves the weights of a model.
const KEY: &str = "model_state_dict";

/// Makes a run of a saved model.
pub(crate) fn run(arguments: &ImportArguments) -> Result<Outcome> {
    files::check_free(&arguments.out, "choose another folder with `--out`")?;
    for line in make(arguments, &[])? {
        print_out(line)?;
    }
    Ok(Outcome::Done)
}

/// Makes a run of a saved model, with further files in its folder; lines that say what it is.
pub(crate) fn make(
    arguments: &ImportArguments,
    further: &[(&str, Vec<u8>)],
) -> Result<Vec<String>> {
    let Imported { bundle, weights, notes } = imported(arguments)?;
    let trained = bundle.load(&device::open(None)?)?;
    let config = RunConfig::imported(trained.config.clone());
    let new = NewFolder::new(&arguments.out)?;
    RunFolder::write(new.path(), &config, &trained.standardisation)?;
    train::save_weights(new.path(), &trained.model)?;
    let own = new.path().join(RunFolder::BUNDLE);
    if Bundle::is_at(&arguments.folder) {
        // What somebody gives away stays what it is, bit by bit, whichever program wrote it.
        copy(&arguments.folder, &own)?;
    } else {
        bundle.save(&own)?;
    }
    for (name, content) in further {
        files::write_whole(&new.path().join(name), |file| file.write_all(content))?;
    }
    new.finish()?;
    let modalities = bundle.modalities().iter();
    let modalities = modalities.map(|spec| format!("{} {:?}", spec.name, spec.shape));
    let mut lines = vec![format!(
        "{}: {} of {}, {} weights",
        arguments.out.display(),
        config.model.name(),
        modalities.collect::<Vec<_>>().join(", "),
        weights.unwrap_or(bundle.weights().len())
    )];
    lines.extend(notes.into_iter().map(|note| format!("  {note}")));
    Ok(lines)
}

/// Copies the files of a bundle, which was opened.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let new = NewFolder::new(to)?;
    for name in Bundle::members(from)? {
        let path = from.join(&name);
        let content = fs::read(&path).with_context(|| format!("`{}`", path.display()))?;
        files::write_whole(&new.path().join(name), |file| file.write_all(&content))?;
    }
    Ok(new.finish()?)
}

/// Reads a saved model with what its folder says of it, and makes the model.
pub(crate) fn read(folder: &Path) -> Result<()> {
    let arguments = ImportArguments {
        folder: folder.into(),
        out: PathBuf::new(),
        config: None,
        names: Vec::new(),
    };
    imported(&arguments)?.bundle.load(&device::open(None)?)?;
    Ok(())
}

/// A model, the number of its weights where it came from, and what is to be said of it.
struct Imported {
    bundle: Bundle,
    weights: Option<usize>,
    notes: Vec<String>,
}

fn imported(arguments: &ImportArguments) -> Result<Imported> {
    let place = &arguments.folder;
    // A configuration of MultiVae is there whatever else is.
    if !place.join(CONFIG).is_file() && !Bundle::is_at(place) && multiview_ae::is_at(place) {
        return multiview_ae(arguments);
    }
    if let Some(name) = arguments.names.first() {
        return Err(bad_input(format!(
            "`--names {name}`: the modalities of `{}` have names",
            place.display()
        )));
    }
    if let Some(bundle) = bundle(arguments)? {
        return Ok(Imported { bundle, weights: None, notes: Vec::new() });
    }
    let (bundle, weights) = reference(arguments)?;
    Ok(Imported { bundle, weights: Some(weights), notes: Vec::new() })
}

/// A model that multi-view-AE has saved.
fn multiview_ae(arguments: &ImportArguments) -> Result<Imported> {
    let config = arguments.config.as_deref();
    let Found { saved, weights, checkpoint, notes } =
        multiview_ae::read(&arguments.folder, config, &arguments.names)?;
    let model = saved.config();
    let first = multivae::run::init(model, &Networks::default(), 0, &device::open(None)?)?;
    let filled = saved.fill(first, &weights);
    let filled = filled.with_context(|| format!("`{}`", checkpoint.display()))?;
    let standardisation = Standardisation::none(filled.modalities());
    let bundle = Bundle::new(&filled, model, &standardisation)?;
    Ok(Imported { bundle, weights: Some(weights.len()), notes })
}

/// What `export` has written, if it is that.
fn bundle(arguments: &ImportArguments) -> Result<Option<Bundle>> {
    let place = &arguments.folder;
    // A configuration without the reference's beside it is of ours.
    let ours = place.join("config.json").is_file() && !place.join(CONFIG).is_file();
    if !place.is_file() && !Bundle::is_at(place) && !ours {
        return Ok(None);
    }
    if let Some(file) = &arguments.config {
        return Err(bad_input(format!(
            "`--config {}`: `{}` describes its networks itself",
            file.display(),
            place.display()
        )));
    }
    Ok(Some(Bundle::open(place)?))
}

/// A model that the reference has saved, and the number of its weights.
fn reference(arguments: &ImportArguments) -> Result<(Bundle, usize)> {
    let folder = &arguments.folder;
    let path = folder.join(CONFIG);
    let shown = || format!("configuration `{}`", path.display());
    let json = json(&path)?;
    // What is wrong with it is said before the weights are read, which may be large.
    Reference::read(&json).with_context(shown)?;
    let file = WEIGHTS.map(|name| folder.join(name)).into_iter().find(|path| path.is_file());
    let Some(file) = file else {
        return Err(bad_input(format!(
            "`{}` has no weights: expected {}",
            folder.display(),
            WEIGHTS.join(" or ")
        )));
    };
    let weights = torch::read(&file, KEY)?;
    let reference = Reference::read_with(&json, &weights).with_context(shown)?;
    let model = match &arguments.config {
        None => reference.open_config().clone(),
        Some(file) => describe(reference.open_config(), file)?,
    };
    let parts = reference.undescribed(&model);
    if !parts.is_empty() {
        return Err(pickled(folder, &parts));
    }
    let model = reference.complete(model).with_context(shown)?;
    let device = device::open(None)?;
    let first = multivae::run::init(&model, &Networks::default(), 0, &device)?;
    let filled =
        exchange::fill(first, &model, &weights).with_context(|| format!("`{}`", file.display()))?;
    let standardisation = Standardisation::none(filled.modalities());
    Ok((Bundle::new(&filled, &model, &standardisation)?, weights.len()))
}

fn json(path: &Path) -> Result<Value> {
    let wrong = |error: String| bad_input(format!("`{}` cannot be read: {error}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
}

/// The error about networks that are code.
fn pickled(folder: &Path, parts: &[Part]) -> anyhow::Error {
    let lines: Vec<_> = parts
        .iter()
        .map(|Part { name, keys }| {
            let keys: Vec<_> = keys.iter().map(|key| format!("`model.{key}`")).collect();
            format!("  {name}.pkl: {}", keys.join(", "))
        })
        .collect();
    let by_modality = parts.iter().flat_map(|part| &part.keys).any(|key| key.contains("encoder"));
    let example = if by_modality {
        "\nSuch a file reads, with presets or layers as `multivae config` has them:\n  \
         [[model.modalities]]\n  name = \"m0\"\n  encoder = { kind = \"polymnist_conv\" }"
    } else {
        ""
    };
    bad_input(format!(
        "`{}` has networks that are stored as pickled Python code, which is never executed. \
         Describe them in a file and give it with `--config FILE`; their weights are then taken \
         from model.pt, by name or in order. What is missing:\n{}{example}",
        folder.display(),
        lines.join("\n"),
    ))
}
