//! Compares this library with cases recorded from the Python library MultiVae.
//!
//! `parity DIR... [--model a,b] [--device NAME]`: each `DIR` is a case, or a folder of cases. Prints one line a
//! case and ends with `N passed, N failed, N todo`; exits with 1 if any failed or none was found.

#[path = "../../multivae-models/tests/parity/mod.rs"]
mod parity;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use burn::tensor::Device;
use multivae::device;
use parity::{Case, Problem};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]
fn main() -> ExitCode {
    let (dirs, models, device) = match arguments(env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let mut cases = Vec::new();
    for dir in &dirs {
        match find(dir) {
            Ok(found) => cases.extend(found),
            Err(error) => {
                eprintln!("error: {}: {error}", dir.display());
                return ExitCode::from(2);
            }
        }
    }
    let (mut passed, mut failed, mut todo) = (0, 0, 0);
    for dir in cases {
        let name = dir.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let case = match Case::open(&dir) {
            Ok(case) => case,
            Err(problem) => {
                println!("FAIL {name} {problem}");
                failed += 1;
                continue;
            }
        };
        if models.as_ref().is_some_and(|models| !models.contains(&case.description().model)) {
            continue;
        }
        // A panic of one case is its failure, not the end of the others.
        let outcome = std::panic::catch_unwind(|| parity::run(&case, &device));
        match outcome {
            Err(_) => {
                println!("FAIL {name} panicked");
                failed += 1;
            }
            Ok(Err(Problem::Todo(why))) => {
                println!("TODO {name} {why}");
                todo += 1;
            }
            Ok(Err(Problem::Broken(why))) => {
                println!("FAIL {name} {why}");
                failed += 1;
            }
            Ok(Ok(outcome)) => {
                for line in &outcome.failures {
                    println!("FAIL {name} {line}");
                }
                for line in &outcome.todo {
                    println!("TODO {name} {line}");
                }
                let counts = format!("compared={} left_out={}", outcome.compared, outcome.left_out);
                if !outcome.failures.is_empty() {
                    failed += 1;
                } else if !outcome.todo.is_empty() {
                    todo += 1;
                } else {
                    println!("ok {name} max_rel={:.1e} {counts}", outcome.max_rel);
                    passed += 1;
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed, {todo} todo");
    if failed > 0 || passed + failed + todo == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

type Arguments = (Vec<PathBuf>, Option<Vec<String>>, Device);

fn arguments(mut given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let (mut dirs, mut models, mut device) = (Vec::new(), None, None);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--model" => {
                let list = given.next().ok_or("`--model` needs a list of models")?;
                models = Some(list.split(',').map(str::to_owned).collect());
            }
            "--device" => device = Some(given.next().ok_or("`--device` needs a name")?),
            flag if flag.starts_with('-') => return Err(format!("unknown option `{flag}`")),
            dir => dirs.push(PathBuf::from(dir)),
        }
    }
    if dirs.is_empty() {
        return Err("expected one folder of cases or more".into());
    }
    let device = device::open(device.as_deref()).map_err(|error| error.to_string())?;
    Ok((dirs, models, device))
}

/// The cases of a folder: itself, or its folders, by name.
fn find(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    if dir.join("case.json").exists() {
        return Ok(vec![dir.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.join("case.json").exists() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
