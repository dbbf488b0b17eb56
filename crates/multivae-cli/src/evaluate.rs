//! `multivae evaluate`.

use std::io::Write;

use anyhow::Result;
use multivae::metrics::{EvaluateConfig, Evaluation, Mean, evaluate};

use crate::{
    arguments::EvaluateArguments,
    failure::Outcome,
    files::{self, NewFolder},
    run::Run,
    terminal::{say, table},
};

/// File of the measurements in the folder.
const METRICS: &str = "metrics.json";

/// Measures, prints and writes.
pub(crate) fn run(arguments: &EvaluateArguments) -> Result<Outcome> {
    if let Some(out) = &arguments.out {
        files::check_free(out, "choose another folder with `--out`")?;
    }
    let run = Run::open(&arguments.run)?;
    let data = match &arguments.data {
        None => run.test_split()?,
        Some(source) => run.all_rows(Some(source))?,
    };
    let config = EvaluateConfig { batch_size: arguments.run.batch_size, seed: arguments.run.seed };
    let evaluation = evaluate(&run.model, &data, &config, &run.device)?;
    say(text(&evaluation))?;
    if let Some(out) = &arguments.out {
        let folder = NewFolder::new(out)?;
        files::write_whole(&folder.path().join(METRICS), |file| {
            serde_json::to_writer_pretty(&mut *file, &evaluation)?;
            Ok(writeln!(file)?)
        })?;
        folder.finish()?;
        say(format!("\n{}", out.join(METRICS).display()))?;
    }
    Ok(Outcome::Done)
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
