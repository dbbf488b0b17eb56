//! `multivae classifier`.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use burn::tensor::Device;
use multivae::{
    core::dataset::Dataset,
    data::{DataConfig, MemoryDataset, MissingConfig},
    device,
    metrics::{Classifier, ClassifierConfig, load_classifiers, train_classifiers},
    run::{
        Run, RunFolder,
        files::{self, NewFolder},
    },
};

use crate::{
    arguments::ClassifierArguments,
    failure::{Outcome, bad_input},
    given,
    progress::Bar,
    terminal::{print_err, print_out, table},
};

/// Folder of the classifiers in a run's folder.
const CLASSIFIERS: &str = "classifiers";

/// Trains, or reads, prints and writes.
pub(crate) fn run(arguments: &ClassifierArguments) -> Result<Outcome> {
    let defaults = ClassifierConfig::default();
    let config = ClassifierConfig {
        epochs: arguments.epochs.unwrap_or(defaults.epochs),
        batch_size: arguments.batch_size.unwrap_or(defaults.batch_size),
        seed: arguments.seed,
        ..defaults
    };
    let (classifiers, folder) = match (&arguments.run, &arguments.data, &arguments.out) {
        (Some(folder), ..) => {
            let run = given::run_on(folder, arguments.device.as_deref())?;
            (of_run(&run, &config, &Bar::new("classifiers"))?, folder.join(CLASSIFIERS))
        }
        (None, Some(source), Some(out)) => {
            files::check_free(out, "choose another folder with `--out`")?;
            let device = device::open(arguments.device.as_deref())?;
            let splits = DataConfig::new(source.as_str()).open()?;
            let bar = Bar::new("classifiers");
            let trained = train(&splits.train, &splits.test, &config, &device, &bar)?;
            write(&trained, out)?;
            (trained, out.clone())
        }
        _ => return Err(bad_input("expected a run, or `--data` and `--out`")),
    };
    print_out(text(&classifiers))?;
    print_out(format!("\n{}", folder.display()))?;
    Ok(Outcome::Done)
}

/// The classifiers in a given folder, or else in the run's, whatever their settings; if the run has
/// none they are trained and kept there.
pub(crate) fn any_of_run(run: &Run, given: Option<&Path>, bar: &Bar) -> Result<Vec<Classifier>> {
    let own = run.folder.path.join(CLASSIFIERS);
    let folder = given.unwrap_or(&own);
    match (load_classifiers(folder, run.trained.model.modalities(), &run.trained.device)?, given) {
        (Some(loaded), _) => Ok(loaded),
        (None, None) => of_run(run, &ClassifierConfig::default(), bar),
        (None, Some(folder)) => Err(bad_input(format!(
            "`{}` has no classifiers of the model's modalities",
            folder.display()
        ))),
    }
}

/// The classifiers of a run: those in its folder if they were trained with the same settings, else
/// trained on its data and written there.
///
/// They learn from the training rows as they were before modalities were taken from them.
pub(crate) fn of_run(run: &Run, config: &ClassifierConfig, bar: &Bar) -> Result<Vec<Classifier>> {
    let folder = run.folder.path.join(CLASSIFIERS);
    let known = load_classifiers(&folder, run.trained.model.modalities(), &run.trained.device)?;
    if let Some(known) = known.filter(|known| known.iter().all(|one| one.config() == config)) {
        return Ok(known);
    }
    let (rows, test) = whole_rows(&run.folder)?;
    let trained = train(&rows, &test, config, &run.trained.device, bar)?;
    if folder.exists() {
        // They are the run's own, and the new ones are whole.
        fs::remove_dir_all(&folder)
            .with_context(|| format!("folder `{}` cannot be replaced", folder.display()))?;
    }
    write(&trained, &folder)?;
    Ok(trained)
}

/// Training and test rows of a run's data, standardised as the run's, of which nothing was taken.
fn whole_rows(folder: &RunFolder) -> Result<(MemoryDataset, MemoryDataset)> {
    let config = folder.data()?;
    let splits = folder.splits()?;
    if config.missing == MissingConfig::default() {
        return Ok((splits.train, splits.test));
    }
    if let Some(record) = &folder.record {
        let whole = DataConfig { missing: MissingConfig::default(), ..config.clone() };
        let whole = whole.reopen(record, &folder.standardisation)?;
        return Ok((whole.train, whole.test));
    }
    let all = config.open_all(&folder.standardisation)?.data;
    let whole = DataConfig { missing: MissingConfig::default(), ..config.clone() }.open()?;
    Ok((all.select(whole.train.stored_rows()), all.select(whole.test.stored_rows())))
}

fn train(
    rows: &MemoryDataset,
    test: &MemoryDataset,
    config: &ClassifierConfig,
    device: &Device,
    bar: &Bar,
) -> Result<Vec<Classifier>> {
    if test.is_empty() {
        return Err(bad_input("the test split of the data has no rows"));
    }
    let trained = train_classifiers(rows, test, config, device, &|done| bar.set(done))?;
    let has = |name: &str| trained.iter().any(|one| one.report().modality == name);
    for spec in rows.modalities().iter().filter(|spec| !has(spec.name.as_str())) {
        print_err(&format!(
            "`{}` has no classifier: too few of its training rows have a label",
            spec.name
        ));
    }
    Ok(trained)
}

/// Writes a new folder, whole or not at all.
fn write(classifiers: &[Classifier], folder: &Path) -> Result<()> {
    let new = NewFolder::new(folder)?;
    for classifier in classifiers {
        classifier.save(new.path())?;
    }
    Ok(new.finish()?)
}

fn text(classifiers: &[Classifier]) -> String {
    let row = |classifier: &Classifier| {
        let report = classifier.report();
        vec![
            report.modality.clone(),
            report.classes.len().to_string(),
            report.train_rows.to_string(),
            report.epochs.to_string(),
            report.rows.to_string(),
            format!("{:.4}", report.accuracy.mean),
            format!("{:.4}", report.accuracy.standard_error),
        ]
    };
    let head = ["classifier", "classes", "rows", "epochs", "test rows", "accuracy", "std. error"];
    table(&head, &classifiers.iter().map(row).collect::<Vec<_>>())
}
