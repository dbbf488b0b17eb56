//! Compares this library with cases recorded from the Python libraries MultiVae and multi-view-AE.
//!
//! `parity PATH... [--model a,b] [--device NAME]`: each `PATH` is a case, a folder of cases, or a file
//! `.json` of the values of multi-view-AE. Prints one line a case and ends with `N passed, N failed, N todo`; exits with 1 if any failed or none was found.

#[path = "../../multivae-models/tests/parity/mod.rs"]
mod parity;

use std::{
    env, fs,
    panic::{AssertUnwindSafe, UnwindSafe},
    path::{Path, PathBuf},
    process::ExitCode,
};

use burn::tensor::Device;
use multivae::device;
use parity::{Case, Golden, Outcome, Problem};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]
fn main() -> ExitCode {
    let (dirs, models, device) = match arguments(env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let mut counts = Counts::default();
    let wanted = |model: &str| models.as_ref().is_none_or(|m| m.iter().any(|m| m == model));
    for path in &dirs {
        let read = match path.extension().is_some_and(|kind| kind == "json") {
            true => golden(path, &wanted, &device, &mut counts),
            false => folder(path, &wanted, &device, &mut counts),
        };
        if let Err(error) = read {
            eprintln!("error: {}: {error}", path.display());
            return ExitCode::from(2);
        }
    }
    let Counts { passed, failed, todo } = counts;
    println!("{passed} passed, {failed} failed, {todo} todo");
    if failed > 0 || passed + failed + todo == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What has come of the cases.
#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    todo: usize,
}

impl Counts {
    /// Prints and counts a case. A panic of one is its failure, not the end of the others.
    #[expect(clippy::print_stdout, reason = "it is a program")]
    fn add(&mut self, name: &str, run: impl FnOnce() -> Result<Outcome, Problem> + UnwindSafe) {
        match std::panic::catch_unwind(run) {
            Err(_) => {
                println!("FAIL {name} panicked");
                self.failed += 1;
            }
            Ok(Err(Problem::Todo(why))) => {
                println!("TODO {name} {why}");
                self.todo += 1;
            }
            Ok(Err(Problem::Broken(why))) => {
                println!("FAIL {name} {why}");
                self.failed += 1;
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
                    self.failed += 1;
                } else if !outcome.todo.is_empty() {
                    self.todo += 1;
                } else {
                    println!("ok {name} max_rel={:.1e} {counts}", outcome.max_rel);
                    self.passed += 1;
                }
            }
        }
    }
}

/// Compares the cases of a folder.
fn folder(
    dir: &Path,
    wanted: &dyn Fn(&str) -> bool,
    device: &Device,
    counts: &mut Counts,
) -> Result<(), String> {
    for dir in find(dir).map_err(|error| error.to_string())? {
        let name = dir.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let case = Case::open(&dir);
        if case.as_ref().is_ok_and(|case| !wanted(&case.description().model)) {
            continue;
        }
        counts.add(&name, AssertUnwindSafe(|| parity::run(&case?, device)));
    }
    Ok(())
}

/// Compares the cases of a file of multi-view-AE.
fn golden(
    path: &Path,
    wanted: &dyn Fn(&str) -> bool,
    device: &Device,
    counts: &mut Counts,
) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let golden = Golden::new(&text).map_err(|error| error.to_string())?;
    for name in golden.names().iter().filter(|name| wanted(golden.model(name))) {
        counts.add(name, AssertUnwindSafe(|| golden.run(name, device)));
    }
    Ok(())
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
        return Err("expected one folder of cases or more, or a file".into());
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
