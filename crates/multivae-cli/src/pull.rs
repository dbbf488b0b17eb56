//! `multivae pull`.

use std::{fs, path::Path};

use anyhow::{Error, Result, anyhow};
use multivae::run::{
    RunFolder,
    files::{self, NewFolder},
    hub::{Hub, Kind, Place, Settings},
};
use serde_json::json;

use crate::{
    arguments::{ImportArguments, PullArguments},
    failure::{self, Outcome, bad_input},
    import,
    progress::Transfers,
    push,
    terminal::{print_err, print_out},
};

/// Where a run that was pulled notes what it was, in its folder.
const ORIGIN: &str = "hub.json";

/// Makes a run of a model on a hub.
pub(crate) fn run(arguments: &PullArguments) -> Result<Outcome> {
    let place: Place = arguments.place.parse()?;
    files::check_free(&arguments.out, "choose another folder with `--out`")?;
    let hub = Hub::new(Settings::from_environment()?);
    // It lies beside the run, and is gone with the end of this function.
    let brought = NewFolder::new(&arguments.out)?;
    let transfers = Transfers::default();
    let pulled =
        hub.pull(&place, brought.path(), &|name, done, all| transfers.set(name, done, all))?;
    drop(transfers);
    let origin = json!({
        "endpoint": hub.settings().endpoint,
        "repository": place.repository.to_string(),
        "revision": place.revision,
        "commit": pulled.commit,
    });
    let import = ImportArguments {
        folder: brought.path().to_owned(),
        out: arguments.out.clone(),
        config: arguments.config.clone(),
        names: Vec::new(),
    };
    let lines = import::make(&import, &[(ORIGIN, format!("{origin:#}\n").into_bytes())])
        .map_err(|error| elsewhere(&error, brought.path(), &place))?;
    let what = match pulled.kind {
        Kind::Bundle => "a bundle, whole by its checksums",
        Kind::Reference => "a model of the Python library MultiVae; no pickle was executed",
    };
    print_out(format!("{place}: {what}, commit {}", pulled.commit))?;
    if !pulled.left.is_empty() {
        print_out(format!("  not taken, as pickles: {}", pulled.left.join(", ")))?;
    }
    for line in lines {
        print_out(line)?;
    }
    if pulled.kind == Kind::Bundle {
        let bundle = arguments.out.join(RunFolder::BUNDLE);
        let card = bundle.join("README.md");
        print_out(format!("  its card: {}", card.display()))?;
        let text = fs::read_to_string(&card).unwrap_or_default();
        if push::license(&text).ok().flatten().is_none() {
            print_err("warning: the card names no licence: ask its owner what you may do with it");
        }
    }
    Ok(Outcome::Done)
}

/// An error about files that were brought, by where they come from.
fn elsewhere(error: &Error, brought: &Path, place: &Place) -> Error {
    let message = failure::message(error).replace(&*brought.to_string_lossy(), &place.to_string());
    if failure::code(error) == failure::BAD_INPUT { bad_input(message) } else { anyhow!(message) }
}
