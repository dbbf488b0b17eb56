//! `multivae evaluate`.

use std::{io::Write, path::Path};

use anyhow::Result;
use multivae::{
    core::{dataset::Dataset, model::MultimodalModel, schema::Fingerprint},
    data::{DataConfig, Inspection, inspect},
    metrics::{EvaluateConfig, Evaluation, Mean, evaluate},
    report::{Absent, Comparison, Measures, Report},
    run::{
        AlignedDataset, Run,
        files::{self, NewFolder},
    },
};

use crate::{
    arguments::{EvaluateArguments, Metric},
    failure::Outcome,
    given,
    measure::{Evaluator, Measured},
    progress::Bar,
    provenance::{self, data_name},
    terminal::{print_err, print_out, table},
};

/// File of the measurements in the folder.
pub(crate) const METRICS: &str = "metrics.json";
/// Folder of the measurements in that of the run.
pub(crate) const EVALUATION: &str = "evaluation";
/// How it is said that the rows of an evaluation were the test split.
pub(crate) const UNSEEN: &str = "rows that training has not seen.";

/// Measures, prints and writes.
pub(crate) fn run(arguments: &EvaluateArguments) -> Result<Outcome> {
    let own = arguments.metrics.as_ref().map(|_| arguments.run.run.join(EVALUATION));
    let out = arguments.out.clone().or(own);
    if let Some(out) = &out {
        files::check_free(out, "choose another folder with `--out`")?;
    }
    let Rows { run, data, files, warning } = rows(arguments)?;
    if let Some(warning) = warning {
        print_err(&warning);
    }
    match (&arguments.metrics, out) {
        (Some(metrics), Some(out)) => {
            report(&run, &data, files.as_ref(), arguments, metrics, &out)?
        }
        (_, out) => bound(&run, &data, arguments, out.as_deref())?,
    }
    Ok(Outcome::Done)
}

/// The rows that are measured.
struct Rows {
    run: Run,
    data: AlignedDataset,
    /// What is known of their files.
    files: Option<Fingerprint>,
    /// What is wrong with measuring them.
    warning: Option<String>,
}

fn rows(arguments: &EvaluateArguments) -> Result<Rows> {
    let run = given::run(&arguments.run)?;
    let record = run.folder.record.as_ref();
    let (data, files) = match &arguments.data {
        None => (run.test_split()?, record.map(|record| record.fingerprint.clone())),
        Some(source) => {
            let opened = run.open_rows(Some(source), arguments.missing_columns.into())?;
            (opened.data, Some(opened.files.report.fingerprint))
        }
    };
    let mut warning = None;
    if let (Some(record), Some(files)) = (record, &files)
        && arguments.data.is_some()
        && record.fingerprint == *files
    {
        let (trained, rows) = (record.split.train.len(), files.rows);
        warning = Some(format!(
            "warning: {trained} of these {rows} rows are those that the run was trained on; its test \
             split is measured without `--data`"
        ));
    }
    let data = match arguments.rows {
        Some(n) => data.at_most(n),
        None => data,
    };
    Ok(Rows { run, data, files, warning })
}

/// Prints the evaluation, and writes it.
fn bound(
    run: &Run,
    data: &AlignedDataset,
    arguments: &EvaluateArguments,
    out: Option<&Path>,
) -> Result<()> {
    let config = EvaluateConfig { batch_size: arguments.run.batch_size, seed: arguments.run.seed };
    let bar = Bar::new("evaluation");
    let evaluation =
        evaluate(run.trained.model.density()?, &bar.watching(data), &config, &run.trained.device)?;
    drop(bar);
    print_out(text(&evaluation))?;
    if let Some(out) = out {
        let folder = NewFolder::new(out)?;
        files::write_whole(&folder.path().join(METRICS), |file| {
            serde_json::to_writer_pretty(&mut *file, &evaluation)?;
            Ok::<_, std::io::Error>(writeln!(file)?)
        })?;
        folder.finish()?;
        print_out(format!("\n{}", out.join(METRICS).display()))?;
    }
    Ok(())
}

/// Takes all wanted measures, prints those for the whole, and writes the report.
fn report(
    run: &Run,
    data: &AlignedDataset,
    files: Option<&Fingerprint>,
    arguments: &EvaluateArguments,
    metrics: &[Metric],
    out: &Path,
) -> Result<()> {
    let report = measured(run, data, files, arguments, metrics)?;
    let name = "value".to_owned();
    let (head, rows) = Comparison { runs: vec![(name, report.measures.clone())] }.table();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let folder = NewFolder::new(out)?;
    report.save(folder.path())?;
    folder.finish()?;
    print_out(table(&head, &rows))?;
    print_out(format!("\n{}", out.join("report.html").display()))
}

/// The report of all wanted measures; of all there are, where it is possible, if none is named.
pub(crate) fn report_of(arguments: &EvaluateArguments) -> Result<Report> {
    let Rows { run, data, files, warning } = rows(arguments)?;
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    let metrics = arguments.metrics.as_deref().unwrap_or(&[Metric::All]);
    measured(&run, &data, files.as_ref(), arguments, metrics)
}

fn measured(
    run: &Run,
    data: &AlignedDataset,
    files: Option<&Fingerprint>,
    arguments: &EvaluateArguments,
    metrics: &[Metric],
) -> Result<Report> {
    let own = run.folder.config.data.as_ref().map(|data| data.source.as_str());
    let source = arguments.data.as_deref().or(own).map_or("data".into(), data_name);
    let title = format!("{} on {source}", run.folder.config.model.name());
    let Measured { mut measures, figures, timings } =
        Evaluator::new(run, data, arguments).measure(metrics, &title)?;
    measures.summary = match &arguments.data {
        None => format!("On {} {UNSEEN}", data.len()),
        Some(_) => format!("On {} rows of {source}.", data.len()),
    };
    measures = with_data(measures, run, arguments)?;
    measures.provenance = provenance::facts(run, data, files, arguments, &timings)?;
    Ok(Report { measures, figures })
}

/// Adds what the data holds that the measures are of: what `multivae data` says of it.
fn with_data(mut measures: Measures, run: &Run, arguments: &EvaluateArguments) -> Result<Measures> {
    let config = match (&arguments.data, &run.folder.config.data) {
        (Some(source), _) => DataConfig::new(source),
        (None, Some(own)) => own.clone(),
        (None, None) => return Ok(measures),
    };
    Ok(match inspect(&config) {
        // Where the data lies is nobody else's business.
        Ok(found) => measures.with_data(&Inspection { source: data_name(&found.source), ..found }),
        Err(error) => {
            measures.absent.push(Absent { name: "data".into(), reason: error.to_string() });
            measures
        }
    })
}

fn number(mean: Mean) -> [String; 2] {
    [format!("{:.4}", mean.mean), format!("{:.4}", mean.standard_error)]
}

/// All measurements as tables.
fn text(evaluation: &Evaluation) -> String {
    let row = |name: &str, rows: usize, mean: Mean| {
        let [mean, error] = number(mean);
        vec![name.to_owned(), rows.to_string(), mean, error]
    };
    let mut bound = vec![row("elbo", evaluation.rows, evaluation.elbo)];
    for entry in &evaluation.log_likelihood {
        bound.push(row(&format!("log p({} | z)", entry.modality), entry.rows, entry.mean));
    }
    for entry in &evaluation.kl {
        bound.push(row(&entry.space, evaluation.rows, entry.mean));
    }
    let cross: Vec<_> = evaluation
        .cross
        .iter()
        .map(|entry| {
            let [error, error_error] =
                entry.mean_squared_error.map_or(["-".into(), "-".into()], number);
            let [likelihood, likelihood_error] = number(entry.log_likelihood);
            let given = entry.given.join("+");
            let name = format!("{given} -> {}", entry.target);
            vec![name, entry.rows.to_string(), error, error_error, likelihood, likelihood_error]
        })
        .collect();
    format!(
        "{}\n\n{}",
        table(&["nats, mean over rows", "rows", "mean", "std. error"], &bound),
        table(
            &["given -> target", "rows", "squared error", "std. error", "log p", "std. error"],
            &cross
        )
    )
}
