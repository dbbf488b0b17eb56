//! Folders that the Python library multi-view-AE has saved.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use multivae::models::exchange::{
    Weights,
    multiview_ae::{Saved, View},
};
use pytorch_reader::{PickleValue, PytorchReader};
use serde_json::{Map, Value};

use crate::{failure::bad_input, torch, yaml};

/// Checkpoints that the library writes at the end of a run, the likelier first: both have the last
/// weights.
const CHECKPOINTS: [&str; 2] = ["model.ckpt", "last.ckpt"];
/// Under which PyTorch Lightning saves weights, and what the constructor was given.
const WEIGHTS: &str = "state_dict";
const CONSTRUCTOR: &str = "hyper_parameters";

/// A model that was found, and where.
pub(crate) struct Found {
    pub(crate) saved: Saved,
    pub(crate) weights: Weights,
    pub(crate) checkpoint: PathBuf,
    /// What was taken from where, and what differs, in sentences.
    pub(crate) notes: Vec<String>,
}

/// Whether a path may be what the library has saved: a checkpoint, or a folder with one.
pub(crate) fn is_at(path: &Path) -> bool {
    if path.is_file() {
        return has_ending(path, &["ckpt"]);
    }
    let files = files(path, &["ckpt", "yaml", "yml"]);
    files.is_ok_and(|files| !files.is_empty())
}

/// Reads it; `config` is a YAML file of the user's, `names` are those of the views in order.
pub(crate) fn read(path: &Path, config: Option<&Path>, names: &[String]) -> Result<Found> {
    let checkpoint = if path.is_file() { path.to_owned() } else { checkpoint(path)? };
    let constructor = constructor(&checkpoint)?;
    let shown = || format!("`{}`", checkpoint.display());
    let folder = match path.is_file() {
        true => path.parent().unwrap_or(Path::new(".")),
        false => path,
    };
    let views = views(&constructor, names).with_context(shown)?;
    let given = constructor.text("cfg");
    let file = match config {
        Some(file) => Some(file.to_owned()),
        None => settings_in(folder, given)?,
    };
    let mut notes = vec![format!("weights of `{}`", checkpoint.display())];
    let values = match &file {
        Some(file) => {
            notes.push(format!("settings of `{}`", file.display()));
            yaml::read(file)?
        }
        None => {
            notes.push("settings of multi-view-AE's defaults: the model was given none".into());
            Value::Object(Map::new())
        }
    };
    let weights = torch::read(&checkpoint, WEIGHTS)?;
    let Some(class) = constructor.text("model_name") else {
        return Err(bad_input(format!(
            "`{}` does not say which model it is: `{CONSTRUCTOR}` has no `model_name`",
            checkpoint.display()
        )));
    };
    let shown = || match &file {
        Some(file) => format!("settings `{}`", file.display()),
        None => shown(),
    };
    let latent = constructor.whole("z_dim");
    let saved = Saved::read(class, &views, latent, &values, &weights).with_context(shown)?;
    notes.extend(saved.notes().iter().cloned());
    Ok(Found { saved, weights, checkpoint, notes })
}

/// The views by the names of the user, or numbered.
fn views(constructor: &Constructor, names: &[String]) -> Result<Vec<View>> {
    let shapes = constructor.shapes("input_dim").ok_or_else(|| {
        bad_input(format!("`{CONSTRUCTOR}` has no `input_dim`: expected the sizes of the views"))
    })?;
    let names: Vec<String> = match names.is_empty() {
        true => (0..shapes.len()).map(|m| format!("v{m}")).collect(),
        false => names.to_vec(),
    };
    if names.len() != shapes.len() {
        return Err(bad_input(format!(
            "`--names`: expected {} names, one a view, found {}",
            shapes.len(),
            names.len()
        )));
    }
    if let Some(name) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
        return Err(bad_input(format!("`--names`: `{}` stands twice", name.1)));
    }
    let view = |(name, shape): (&String, &Vec<usize>)| Ok(View::new(name, shape)?);
    names.iter().zip(&shapes).map(view).collect()
}

/// The checkpoint to read in a folder.
fn checkpoint(folder: &Path) -> Result<PathBuf> {
    let found = files(folder, &["ckpt"])?;
    let named = CHECKPOINTS.iter().map(|name| folder.join(name)).find(|path| found.contains(path));
    match (named, found.as_slice()) {
        (Some(path), _) => Ok(path),
        (None, [one]) => Ok(one.clone()),
        (None, []) => {
            let pickled = folder.join("model.pkl").is_file();
            Err(bad_input(format!(
                "`{}` has no checkpoint: expected {}{}",
                folder.display(),
                CHECKPOINTS.join(" or "),
                match pickled {
                    true => "; model.pkl is pickled Python code, which is never executed",
                    false => "",
                }
            )))
        }
        (None, several) => Err(bad_input(format!(
            "`{}` has several checkpoints: give one of them in place of the folder, {}",
            folder.display(),
            list(several)
        ))),
    }
}

/// The settings in a folder; none if the model was given none.
fn settings_in(folder: &Path, given: Option<&str>) -> Result<Option<PathBuf>> {
    let found = files(folder, &["yaml", "yml"])?;
    // What `fit` and `save_config` write is complete, and the newest has the greatest name.
    let written = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("config_")
    };
    if let Some(newest) = found.iter().filter(written).max() {
        return Ok(Some(newest.clone()));
    }
    let read = |path: &PathBuf| -> Result<Option<PathBuf>> {
        check_package(path, given)?;
        Ok(Some(path.clone()))
    };
    match (found.as_slice(), given) {
        ([one], _) => read(one),
        ([], None) => Ok(None),
        ([], Some(name)) => Err(bad_input(format!(
            "the model was made with the settings `{name}`, which are not in `{}`: give them with \
             `--config FILE`",
            folder.display()
        ))),
        (several, given) => {
            let name = given.and_then(|given| Path::new(given).file_name());
            match several.iter().find(|path| name.is_some() && path.file_name() == name) {
                Some(path) => read(path),
                None => Err(bad_input(format!(
                    "`{}` has several files of settings: give one of them with `--config FILE`, {}",
                    folder.display(),
                    list(several)
                ))),
            }
        }
    }
}

/// Refuses settings that the library has not read: Hydra puts the keys of `folder/file.yaml` below
/// `folder` unless the file says otherwise.
fn check_package(path: &Path, given: Option<&str>) -> Result<()> {
    let Some(given) = given.map(Path::new) else { return Ok(()) };
    let in_folder = given.parent().is_some_and(|folder| !folder.as_os_str().is_empty());
    let wrong = |error: String| bad_input(format!("`{}` cannot be read: {error}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    if given.is_absolute() || !in_folder || text.contains("@package _global_") {
        return Ok(());
    }
    Err(bad_input(format!(
        "the model was made with the settings `{}`, which multi-view-AE has not read: in a file \
         that is given with its folder it needs the line `# @package _global_`. If the settings \
         of `{}` count all the same, give them with `--config`; if not, take the file away and \
         give one that `save_config` writes",
        given.display(),
        path.display()
    )))
}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    shown.join(", ")
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| endings.contains(&ending))
}

/// The files of a folder with such endings, by name.
fn files(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>> {
    let wrong = |error: std::io::Error| {
        bad_input(format!("folder `{}` cannot be read: {error}", folder.display()))
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.is_file() && has_ending(&path, endings) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What the constructor of a model was given.
struct Constructor(HashMap<String, PickleValue>);

/// The arguments that a checkpoint has of the model.
fn constructor(checkpoint: &Path) -> Result<Constructor> {
    let wrong = |error: &str| {
        bad_input(format!(
            "`{}` cannot be read as a checkpoint of multi-view-AE: {error}",
            checkpoint.display()
        ))
    };
    match PytorchReader::read_pickle_data(checkpoint, Some(CONSTRUCTOR)) {
        Ok(PickleValue::Dict(values)) => Ok(Constructor(values)),
        Ok(_) => Err(wrong(&format!("`{CONSTRUCTOR}` is not a dictionary"))),
        Err(error) => Err(wrong(&error.to_string())),
    }
}

fn number(value: &PickleValue) -> Option<usize> {
    match value {
        PickleValue::Int(number) => usize::try_from(*number).ok(),
        _ => None,
    }
}

impl Constructor {
    fn text(&self, key: &str) -> Option<&str> {
        match self.0.get(key) {
            Some(PickleValue::String(text)) => Some(text),
            _ => None,
        }
    }

    fn whole(&self, key: &str) -> Option<usize> {
        self.0.get(key).and_then(number)
    }

    /// Sizes or shapes.
    fn shapes(&self, key: &str) -> Option<Vec<Vec<usize>>> {
        let shape = |value: &PickleValue| match value {
            PickleValue::List(axes) => axes.iter().map(number).collect(),
            value => Some(vec![number(value)?]),
        };
        match self.0.get(key) {
            Some(PickleValue::List(views)) => views.iter().map(shape).collect(),
            _ => None,
        }
    }
}
