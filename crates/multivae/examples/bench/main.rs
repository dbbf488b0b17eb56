//! Measures one model on one workload, when it is asked to.
//!
//! `bench MODEL WORKLOAD DEVICE [KEY=VALUE..]`, the last for the model's configuration, where
//! `DEVICE:bf16` trains with that precision, reads lines from its input and answers each with a line of JSON, so that whoever asks can let several
//! programs take turns. The lines are those of [`Measure`]:
//!
//! | line | answer, `ms` one entry a repetition |
//! |---|---|
//! | `ready 0` | nothing, once the program is there |
//! | `peak N` | N products of large matrices; `gflops` is the speed of the fastest |
//! | `train_step N` | N steps: gradients, optimiser, and the loss read back; `parts` are its first two, `gflop` the arithmetic of matrix products in a step |
//! | `second_stage N` | the same in the second stage of a model that has one |
//! | `epoch N` | N times the training of an epoch of 4096 rows through the trainer: rows in random order, and steps |
//! | `run N` | the same with all of the run: what it makes first, and the checkpoint that it writes |
//! | `encode N` | N times 1024 rows to posterior means, in batches of the workload |
//! | `generate N` | N times 1024 rows of the first modality to all others |
//! | `sample N` | N times a draw from the posterior of a batch given the first two modalities |
//! | `joint_nll N` | N times the joint likelihood of 256 rows, K = 1000 |
//! | `coherence N` | N times the coherence of 1000 rows of `polymnist`, from all subsets to all others |
//! | `reconstruction N` | N times how close they are decoded, from all subsets to all modalities: likelihood, squared error, PSNR, SSIM and MS-SSIM |
//! | `frechet N` | N times Fréchet and kernel distances, precision and recall, from all subsets to all others, of 128 features |
//! | `clustering N` | N times twenty fits of ten clusters |
//!
//! `peak_mb` is the largest memory of the program so far. `skipped` says why there is no answer.
//! `cargo xtask bench` is what asks.

mod looks;
mod measure;
mod workloads;

use std::{
    error::Error,
    io::{BufRead, Write},
    process::ExitCode,
};

use multivae::allocator::{MiMalloc, keep_pages};
use serde_json::{Value, json};

use crate::measure::{Measure, Subject};

// As in the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn run(arguments: &[String]) -> Result<()> {
    let [model, workload, device, set @ ..] = arguments else {
        return Err("expected a model, a workload and a device".into());
    };
    let workload = workloads::find(workload)?;
    let config = workloads::config(model, &workload, set)?;
    let mut subject = Subject::new(config, workload, device)?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (name, count) = line.split_once(' ').ok_or("expected a measure and a number")?;
        let measure: Measure = serde_json::from_value(json!(name))?;
        let mut answer = match subject.measure(measure, count.parse()?) {
            Ok(answer) => answer,
            Err(error) => json!({ "skipped": error.to_string() }),
        };
        answer["peak_mb"] = peak().map_or(Value::Null, |mb| json!(mb));
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

/// Largest resident memory so far in megabytes, where the system says it.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}

#[expect(clippy::print_stderr, reason = "it is a program")]
fn main() -> ExitCode {
    keep_pages();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
