//! `multivae encode`.

use std::path::Path;

use anyhow::Result;
use multivae::{
    core::{
        dataset::Dataset,
        model::{Draws, MultimodalModel},
        pass::Pass,
        subset::Subset,
    },
    run::{OpenedRows, Run, Trained},
};

use crate::{
    arguments::EncodeArguments,
    failure::{Outcome, bad_input},
    given,
    npz::Array,
    terminal::{print_err, print_out},
    written::{Form, Part, Role, Written},
};

/// Writes the latent values of all rows.
pub(crate) fn run(arguments: &EncodeArguments) -> Result<Outcome> {
    let form = form(&arguments.out, arguments.n)?;
    let run = given::run(&arguments.run)?;
    let given = given::modalities(&run, arguments.given.as_deref())?;
    let OpenedRows { data, files } =
        run.open_rows(arguments.data.as_deref(), arguments.missing_columns.into())?;
    let pass = Pass { batch_size: arguments.run.batch_size, seed: arguments.run.seed };
    let parts = parts(&run, &data, given, arguments.n, pass)?;
    let shape = |part: &Part| format!("{} {:?}", part.name, part.values.shape());
    let shown: Vec<_> = parts.iter().map(shape).collect();
    let written = Written::of("encode", &data, files.data.schema()).with_files(&files);
    written.with_presence(&data).with_parts(parts).write(&arguments.out, form)?;
    notes(&run, &data, given)?.iter().for_each(|note| print_err(note));
    print_out(format!("{}: {}", arguments.out.display(), shown.join(", ")))?;
    Ok(Outcome::Done)
}

/// Latent values of rows, one part for each space: means, or so many samples of each row.
pub(crate) fn parts(
    run: &Run,
    data: &dyn Dataset,
    given: Subset,
    samples: Option<usize>,
    pass: Pass,
) -> Result<Vec<Part>> {
    let draws = samples.map_or(Draws::Mean, Draws::Samples);
    let Trained { model, device, .. } = &run.trained;
    let spaces = pass.encode(model.encoder()?, data, given, draws, device)?;
    let parts = spaces.into_iter().map(|space| {
        let means = vec![data.len(), space.features];
        match draws {
            Draws::Mean => Part::latent(space.name, Array::Floats(means, space.values)),
            Draws::Samples(n) => Part {
                name: space.name,
                role: Role::Latent,
                columns: None,
                table: None,
                texts: None,
                values: Array::Floats([vec![n], means].concat(), space.values),
            },
        }
    });
    Ok(parts.collect())
}

/// What is to be known of rows that lack something.
pub(crate) fn notes(run: &Run, data: &dyn Dataset, given: Subset) -> Result<Vec<String>> {
    let (model, rows) = (&run.trained.model, data.len());
    let mut notes = Vec::new();
    let without = (0..rows).filter(|&row| given.iter().all(|m| !data.presence(row).contains(m)));
    let without = without.count();
    if without > 0 {
        let label = given.label(model.modalities());
        notes.push(format!(
            "{without} of {rows} rows observe nothing of `{label}`: theirs is the prior"
        ));
    }
    if let Some(needed) = model.encoder()?.conditions() {
        let lacks = |&row: &usize| needed.union(data.presence(row)) != data.presence(row);
        let lacking = (0..rows).filter(lacks).count();
        if lacking > 0 {
            let label = needed.label(model.modalities());
            notes.push(format!(
                "{lacking} of {rows} rows lack something of `{label}`: it is taken to be zero"
            ));
        }
    }
    Ok(notes)
}

/// The form of what is written: samples need an axis of their own.
fn form(out: &Path, samples: Option<usize>) -> Result<Form> {
    let shown = out.display();
    let form = Form::of(out).ok_or_else(|| {
        bad_input(format!(
            "`--out {shown}`: expected a file name that ends with `.npz`, `.csv`, `.parquet`, `.h5ad` or \
             `.h5mu`, or the name of a folder"
        ))
    })?;
    if samples.is_some() && form != Form::Npz {
        return Err(bad_input(format!(
            "`--out {shown}`: samples of rows are no table: expected a file name that ends with `.npz`"
        )));
    }
    form.check_free(out)?;
    Ok(form)
}
