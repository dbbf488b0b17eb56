//! `multivae encode`.

use anyhow::Result;
use multivae::core::{
    dataset::Dataset,
    model::{Draws, MultimodalModel},
    pass::Pass,
};

use crate::{
    arguments::EncodeArguments,
    failure::{Outcome, bad_input},
    given,
    npz::{self, Array},
    terminal::{print_err, print_out},
};

/// Writes the latent values of all rows.
pub(crate) fn run(arguments: &EncodeArguments) -> Result<Outcome> {
    if arguments.out.extension().is_none_or(|extension| extension != "npz") {
        return Err(bad_input(format!(
            "`--out {}`: expected a file name that ends with `.npz`",
            arguments.out.display()
        )));
    }
    let run = given::run(&arguments.run)?;
    let given = given::modalities(&run, arguments.given.as_deref())?;
    let data = run.open_rows(arguments.data.as_deref(), arguments.missing_columns.into())?.data;
    let draws = arguments.n.map_or(Draws::Mean, Draws::Samples);
    let rows = data.len();
    let pass = Pass { batch_size: arguments.run.batch_size, seed: arguments.run.seed };
    let spaces =
        pass.encode(run.trained.model.encoder()?, &data, given, draws, &run.trained.device)?;
    let mut arrays: Vec<(String, Array)> = spaces
        .into_iter()
        .map(|space| {
            let shape = match draws {
                Draws::Mean => vec![rows, space.features],
                Draws::Samples(n) => vec![n, rows, space.features],
            };
            (space.name, Array::Floats(shape, space.values))
        })
        .collect();
    let shown: Vec<_> = arrays
        .iter()
        .map(|(name, array)| match array {
            Array::Floats(shape, _) => format!("{name} {shape:?}"),
            _ => name.clone(),
        })
        .collect();
    arrays.extend(about(&data));
    npz::write(&arguments.out, &arrays)?;

    let without = (0..rows).filter(|&row| given.iter().all(|m| !data.presence(row).contains(m)));
    let without = without.count();
    if without > 0 {
        let label = given.label(run.trained.model.modalities());
        print_err(&format!(
            "{without} of {rows} rows observe nothing of `{label}`: theirs is the prior"
        ));
    }
    if let Some(needed) = run.trained.model.encoder()?.conditions() {
        let lacks = |&row: &usize| needed.union(data.presence(row)) != data.presence(row);
        let lacking = (0..rows).filter(lacks).count();
        if lacking > 0 {
            let label = needed.label(run.trained.model.modalities());
            print_err(&format!(
                "{lacking} of {rows} rows lack something of `{label}`: it is taken to be zero"
            ));
        }
    }
    print_out(format!("{}: {}", arguments.out.display(), shown.join(", ")))?;
    Ok(Outcome::Done)
}

/// Which rows these are: `ids`, `observed` `[rows, modality]` with `modalities`, and `labels` if
/// every row has one.
fn about(data: &dyn Dataset) -> Vec<(String, Array)> {
    let (rows, specs) = (data.len(), data.modalities());
    let ids = (0..rows).map(|row| data.id(row)).collect();
    let observed = (0..rows).flat_map(|row| {
        let presence = data.presence(row);
        (0..specs.len()).map(move |m| presence.contains(m))
    });
    let names = specs.iter().map(|spec| spec.name.to_string()).collect();
    let mut arrays = vec![
        ("ids".into(), Array::Text(ids)),
        ("modalities".into(), Array::Text(names)),
        ("observed".into(), Array::Flags(vec![rows, specs.len()], observed.collect())),
    ];
    if let Some(labels) = (0..rows).map(|row| data.label(row)).collect::<Option<Vec<_>>>() {
        arrays.push(("labels".into(), Array::Integers(vec![rows], labels)));
    }
    arrays
}
