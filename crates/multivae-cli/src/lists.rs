//! `multivae models`, `data`, `devices` and `config`.

use anyhow::Result;
use multivae::{
    data::{self, DataConfig},
    device::{self, BACKENDS},
    models::ModelConfig,
    run::{
        RunConfig,
        files::{self, NewFolder},
    },
};

use crate::{
    arguments::{DataArguments, DataTask, PackArguments, ReadingArguments},
    comments,
    failure::Outcome,
    fetch,
    terminal::print_out,
};

/// Lists the models.
pub(crate) fn models() -> Result<Outcome> {
    for (name, about) in ModelConfig::list() {
        print_out(format!("{name:<10} {about}"))?;
    }
    Ok(Outcome::Done)
}

/// Says what a data source holds, or lists the embedded data sets.
pub(crate) fn data(arguments: &DataArguments) -> Result<Outcome> {
    match &arguments.task {
        Some(DataTask::Pack(arguments)) => return pack(arguments),
        Some(DataTask::Get(arguments)) => return fetch::get(arguments),
        Some(DataTask::Make(arguments)) => return fetch::make(arguments),
        None => {}
    }
    if let Some(source) = &arguments.source {
        let ReadingArguments { missing_codes, .. } = &arguments.reading;
        let found = data::inspect(&DataConfig {
            missing_codes: missing_codes.clone(),
            images: arguments.reading.images(),
            ..DataConfig::new(source)
        })?;
        match arguments.json {
            true => print_out(serde_json::to_string_pretty(&found)?)?,
            false => print_out(found.to_string().trim_end())?,
        }
        return Ok(Outcome::Done);
    }
    for info in data::embedded() {
        print_out(format!("{:<13} {}", info.name, info.about))?;
        print_out(format!("{:<13} {} rows; {}", "", info.rows, info.modalities.join(", ")))?;
        print_out(format!("{:<13} {}", "", info.licence))?;
    }
    for set in data::research() {
        let name = format!("{}:PATH", set.name);
        print_out(format!("{name} {}", set.about))?;
        print_out(format!("{:<13} {}", "", set.layout))?;
    }
    Ok(Outcome::Done)
}

/// Writes data in a form of which random rows are read fast.
fn pack(arguments: &PackArguments) -> Result<Outcome> {
    let PackArguments { source, reading, out } = arguments;
    files::check_free(out, "choose another folder with `--out`")?;
    let config = DataConfig {
        missing_codes: reading.missing_codes.clone(),
        images: reading.images(),
        ..DataConfig::new(source)
    };
    let folder = NewFolder::new(out)?;
    let packed = data::pack::pack(&config, folder.path())?;
    files::write_sums(folder.path())?;
    folder.finish()?;
    for (name, file, rows) in &packed.modalities {
        print_out(format!("{name}: {rows} of {} rows in {file}", packed.rows))?;
    }
    Ok(Outcome::Done)
}

/// Lists the devices of the backends that are built in, and the other backends.
pub(crate) fn devices() -> Result<Outcome> {
    for backend in BACKENDS.iter().filter(|backend| backend.built) {
        let names = device::names(backend.name).unwrap_or_else(|| vec![backend.name.to_owned()]);
        for name in &names {
            print_out(format!("{name:<9} {}", backend.about))?;
        }
        if names.is_empty() {
            print_out(format!("{:<9} {}; none found", backend.name, backend.about))?;
        }
    }
    for backend in BACKENDS.iter().filter(|backend| !backend.built) {
        print_out(format!(
            "{:<9} {}; not built in, build with `--features {}`",
            backend.name, backend.about, backend.name
        ))?;
    }
    Ok(Outcome::Done)
}

/// Prints the configuration of a model with all defaults and what they mean.
pub(crate) fn config(model: &str) -> Result<Outcome> {
    print_out(comments::commented(&RunConfig::named(model)?)?.trim_end())?;
    Ok(Outcome::Done)
}
