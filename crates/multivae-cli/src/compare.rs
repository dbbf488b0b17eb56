//! `multivae compare`.

use std::path::Path;

use anyhow::{Context, Result};
use multivae::{
    report::{Comparison, Measures},
    run::{
        RunFolder,
        files::{self, NewFolder},
    },
};

use crate::{
    arguments::CompareArguments,
    evaluate::{EVALUATION, METRICS},
    failure::{Outcome, bad_input},
    terminal::{print_err, print_out, table},
};

/// Prints runs side by side, and writes a page of them.
pub(crate) fn run(arguments: &CompareArguments) -> Result<Outcome> {
    if let Some(out) = &arguments.out {
        files::check_free(out, "choose another folder with `--out`")?;
    }
    let measures = arguments.folders.iter().map(|folder| read(folder));
    let measures = measures.collect::<Result<Vec<_>>>()?;
    let runs = names(&arguments.folders).into_iter().zip(measures).collect();
    let comparison = Comparison { runs };
    let (head, rows) = comparison.table();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    print_out(table(&head, &rows))?;
    for warning in comparison.warnings() {
        print_err(&format!("warning: {warning}"));
    }
    if let Some(out) = &arguments.out {
        let folder = NewFolder::new(out)?;
        comparison.save(folder.path())?;
        folder.finish()?;
        print_out(format!("\n{}", out.join("report.html").display()))?;
    }
    Ok(Outcome::Done)
}

/// The measures of an evaluation, or of the one in the folder of a run.
fn read(folder: &Path) -> Result<Measures> {
    let is_run = folder.join(RunFolder::CONFIG).is_file();
    let own = if is_run { folder.join(EVALUATION) } else { folder.to_owned() };
    let path = own.join(METRICS);
    if path.is_file() {
        return Measures::read(&path).with_context(|| {
            format!("`{}` is not of `multivae evaluate --metrics`", own.display())
        });
    }
    let shown = folder.display();
    Err(bad_input(match is_run {
        true => format!(
            "the run `{shown}` is not evaluated yet: `multivae evaluate {shown} --metrics all`"
        ),
        false => format!("`{shown}` is neither a run nor an evaluation: it has no {METRICS}"),
    }))
}

/// The shortest ends of the paths that tell all folders apart.
fn names(folders: &[std::path::PathBuf]) -> Vec<String> {
    let parts = |path: &Path| -> Vec<String> {
        let names = path.components().filter_map(|part| match part {
            std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        });
        names.collect()
    };
    let all: Vec<Vec<String>> = folders.iter().map(|folder| parts(folder)).collect();
    let longest = all.iter().map(Vec::len).max().unwrap_or(0);
    let ends = |n: usize| -> Vec<String> {
        all.iter().map(|parts| parts[parts.len().saturating_sub(n)..].join("/")).collect()
    };
    let differ = |names: &[String]| {
        names.iter().enumerate().all(|(i, name)| !name.is_empty() && !names[..i].contains(name))
    };
    let short = (1..=longest).map(ends).find(|names| differ(names));
    // The same folder twice, or the current one.
    let numbered = || all.iter().enumerate().map(|(i, _)| format!("run {}", i + 1)).collect();
    short.unwrap_or_else(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_have_the_shortest_names_that_differ() {
        let of = |paths: &[&str]| names(&paths.iter().map(Into::into).collect::<Vec<_>>());
        assert_eq!(of(&["runs/a", "runs/b/"]), ["a", "b"]);
        assert_eq!(of(&["a/evaluation", "../b/evaluation"]), ["a/evaluation", "b/evaluation"]);
        assert_eq!(of(&["a", "a"]), ["run 1", "run 2"]);
        assert_eq!(of(&[".", "a"]), ["run 1", "run 2"]);
    }
}
