//! Measures models on the workloads that the Python library MultiVae is measured on, on several
//! backends or against that library, taking turns.

mod record;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::pages;

/// The program that measures the Python library.
const PEER: &str = "xtask/src/bench/peer.py";
/// What is measured of it, and the version of torch that was tried with it.
const PACKAGES: &[&str] = &["multivae==1.0.3", "torch"];

const WORKLOADS: &[&str] = &["tabular", "mnist_svhn", "polymnist"];

/// A thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Bench {
    TrainStep,
    Epoch,
    Run,
    Encode,
    Generate,
    Sample,
    JointNll,
    Coherence,
    Reconstruction,
    Frechet,
    Clustering,
    Memory,
}

impl Bench {
    fn name(self) -> String {
        self.to_possible_value().expect("no variant is hidden").get_name().to_owned()
    }

    /// What the programs are asked for, one after the other, and how many in a turn.
    fn measures(self, steps: usize) -> Vec<(&'static str, usize)> {
        match self {
            Self::TrainStep | Self::Memory => {
                vec![("train_step", steps), ("second_stage", steps)]
            }
            Self::Epoch => vec![("epoch", 1)],
            Self::Run => vec![("run", 1)],
            Self::Encode => vec![("encode", 1)],
            Self::Generate => vec![("generate", 1)],
            Self::Sample => vec![("sample", 1)],
            Self::JointNll => vec![("joint_nll", 1)],
            Self::Coherence => vec![("coherence", 1)],
            Self::Reconstruction => vec![("reconstruction", 1)],
            Self::Frechet => vec![("frechet", 1)],
            Self::Clustering => vec![("clustering", 1)],
        }
    }
}

/// What to measure.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Only these models, separated by commas.
    #[arg(long, value_delimiter = ',')]
    models: Option<Vec<String>>,
    /// Only these workloads, separated by commas; `modalities:N` is one of N modalities alike, for
    /// our side alone.
    #[arg(long, value_delimiter = ',')]
    workloads: Option<Vec<String>>,
    /// What to measure, separated by commas.
    #[arg(long, value_delimiter = ',', default_values = ["train_step"])]
    benches: Vec<Bench>,
    /// Backends that take turns, separated by commas; each is a feature and a device, and may end with
    /// `:bf16` for that precision.
    #[arg(long, value_delimiter = ',', default_values = ["flex"])]
    backends: Vec<String>,
    /// Measured steps of a turn.
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Turns of each.
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// Threads of each side; all processors if not given.
    #[arg(long)]
    threads: Option<usize>,
    /// Takes turns with the Python library MultiVae, or with the first backend in f32.
    #[arg(long, value_enum)]
    against: Option<Peer>,
    /// Takes turns with another build of this library: its measuring program, which `cargo build
    /// --release --example bench` leaves in `target/release/examples` of another checkout.
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["against", "record"])]
    against_build: Option<PathBuf>,
    /// A Python that has it; without it an environment is made under `target/peer`.
    #[arg(long, requires = "against")]
    python: Option<PathBuf>,
    /// Fields of our models' configurations, such as `memory_mb=600`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Prints one JSON object a line.
    #[arg(long)]
    json: bool,
    /// Keeps the results under `benches/results` and writes the table of `docs/benchmarks.md`.
    #[arg(long)]
    record: bool,
}

impl Options {
    /// Whether somebody else takes turns, as the last side.
    fn has_peer(&self) -> bool {
        self.against.is_some() || self.against_build.is_some()
    }
}

/// Time between turns: threads of OpenMP look for work so long before they sleep.
const REST: Duration = Duration::from_millis(300);

/// Whom we are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    Multivae,
    F32,
}

/// Measures, prints and keeps.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let threads = match options.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism()?.get(),
    };
    if options.record && options.against == Some(Peer::F32) {
        bail!("what is kept is compared with the Python library");
    }
    let program = build(root, &options.backends)?;
    let python = match (options.against, &options.python) {
        (None | Some(Peer::F32), _) => None,
        (Some(_), Some(python)) => Some(python.clone()),
        (Some(Peer::Multivae), None) => Some(environment(root)?),
    };
    let models = pages::names(root)?;
    let models: Vec<&str> = models.iter().map(String::as_str).collect();
    let chosen = |given: &Option<Vec<String>>, all: &[&str]| -> Result<Vec<String>> {
        let Some(given) = given else { return Ok(all.iter().map(|&name| name.into()).collect()) };
        let known = |name: &str| all.contains(&name) || name.starts_with("modalities:");
        if let Some(unknown) = given.iter().find(|name| !known(name)) {
            bail!("unknown `{unknown}`; there are {}", all.join(", "));
        }
        Ok(given.clone())
    };
    let machine = record::machine(threads, python.as_deref())?;
    if !options.json {
        println!("{}", record::sentence(&machine));
    }
    let compare = |model: &str, workload: &str, lines: &mut Vec<Value>| -> Result<()> {
        let mut sides = Vec::new();
        for backend in &options.backends {
            let mut command = Command::new(&program);
            command.args([model, workload, backend]).args(&options.set);
            sides.push(Side::start(backend, command, threads)?);
        }
        if let Some(build) = &options.against_build {
            let mut command = Command::new(build);
            command.args([model, workload, &options.backends[0]]).args(&options.set);
            sides.push(Side::start("other build", command, threads)?);
        }
        if options.against == Some(Peer::F32) {
            let backend = plain(&options.backends[0]);
            let mut command = Command::new(&program);
            command.args([model, workload, backend]).args(&options.set);
            sides.push(Side::start("f32", command, threads)?);
        }
        if let Some(python) = &python {
            let mut command = Command::new(python);
            command.arg(root.join(PEER)).args([model, workload]);
            sides.push(Side::start("multivae", command, threads)?);
        }
        // None measures while another still starts.
        for side in &mut sides {
            side.ask("ready", 0)?;
        }
        let mut peaks = BTreeMap::new();
        if options.benches.contains(&Bench::TrainStep) {
            for (backend, side) in options.backends.iter().zip(&mut sides) {
                peaks.extend(side.ask("peak", 3)?["gflops"].as_f64().map(|p| (backend, p)));
            }
        }
        for bench in &options.benches {
            for found in measure(*bench, &mut sides, options)? {
                let mut line = found.line(*bench, model, workload, threads);
                if let (Some(speed), Some(peak)) =
                    (line["gflops"].as_f64(), peaks.get(&found.backend))
                {
                    line["peak_gflops"] = json!(peak.round());
                    line["peak_share"] = json!(rounded(speed / peak));
                }
                if options.json {
                    println!("{line}");
                } else {
                    println!("{}", shown(&line));
                }
                lines.push(line);
            }
        }
        Ok(())
    };
    let (mut lines, mut failed) = (Vec::new(), Vec::new());
    for workload in chosen(&options.workloads, WORKLOADS)? {
        for model in chosen(&options.models, &models)? {
            // The library has no networks for it on the other workloads.
            if model == "mhvae" && python.is_some() && workload != "polymnist" {
                continue;
            }
            // What one runs into, such as the end of the memory, does not cost the others.
            if let Err(error) = compare(&model, &workload, &mut lines) {
                eprintln!("{model} on {workload}: {error:#}");
                failed.push(format!("{model} on {workload}"));
            }
        }
    }
    if options.record {
        record::keep(root, &machine, &lines)?;
    }
    if let Some([least, mean, most]) = ratios(&lines) {
        println!("{mean:.3} times in the geometric mean, {least:.3} to {most:.3}");
    }
    if !failed.is_empty() {
        bail!("could not be measured: {}", failed.join(", "));
    }
    Ok(())
}

/// A backend without its precision.
fn plain(backend: &str) -> &str {
    backend.split_once(':').map_or(backend, |(name, _)| name)
}

/// Builds the measuring program with the backends and returns where it lies.
fn build(root: &Path, backends: &[String]) -> Result<PathBuf> {
    let backends = backends.iter().map(|backend| plain(backend));
    let features: Vec<_> =
        backends.chain(["mimalloc"]).map(|name| format!("multivae/{name}")).collect();
    let output = crate::cargo()
        .args(["build", "--release", "--example", "bench", "--message-format=json", "--features"])
        .arg(features.join(","))
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo does not start")?;
    if !output.status.success() {
        bail!("the measuring program could not be built");
    }
    let text = String::from_utf8(output.stdout).context("cargo speaks UTF-8")?;
    let program = text.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_bench = message["target"]["name"] == "bench" && message["executable"].is_string();
        is_bench.then(|| PathBuf::from(message["executable"].as_str().unwrap_or_default()))
    });
    program.context("cargo names no program")
}

/// A Python environment with the library, made once.
fn environment(root: &Path) -> Result<PathBuf> {
    let folder = root.join("target/peer");
    let python = folder.join("bin/python");
    let works = |python: &Path| {
        let check = Command::new(python).args(["-c", "import multivae, torch"]).output();
        check.is_ok_and(|output| output.status.success())
    };
    if works(&python) {
        return Ok(python);
    }
    eprintln!("making {} with {}; this takes minutes", folder.display(), PACKAGES.join(", "));
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    succeed(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    Ok(python)
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} does not start"))?;
    if !status.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}

/// A program that measures when it is asked to.
struct Side {
    name: String,
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Side {
    fn start(name: &str, mut command: Command, threads: usize) -> Result<Self> {
        for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(variable, threads.to_string());
        }
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("`{name}` does not start"))?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let input = input.context("its input is a pipe")?;
        let output = BufReader::new(output.context("its output is a pipe")?);
        Ok(Self { name: name.to_owned(), process, input, output })
    }

    fn ask(&mut self, measure: &str, count: usize) -> Result<Value> {
        writeln!(self.input, "{measure} {count}")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        serde_json::from_str(&answer)
            .with_context(|| format!("`{}` ended when it was asked for `{measure}`", self.name))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It ends with its input; one that hangs is not waited for.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// What one side measured, and the library beside it.
struct Found {
    measure: &'static str,
    backend: String,
    ours: Times,
    peer: Option<(String, Times)>,
}

/// All turns of a side.
#[derive(Clone, Default)]
struct Times {
    ms: Vec<f64>,
    gradients: Vec<f64>,
    optimiser: Vec<f64>,
    rows: u64,
    parameters: u64,
    gflop: f64,
    peak_mb: f64,
    skipped: Option<String>,
}

impl Times {
    fn add(&mut self, answer: &Value) {
        let numbers = |value: &Value| -> Vec<f64> {
            value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
        };
        self.ms.extend(numbers(&answer["ms"]));
        self.gradients.extend(numbers(&answer["parts"]["gradients"]));
        self.optimiser.extend(numbers(&answer["parts"]["optimiser"]));
        self.rows = answer["rows"].as_u64().unwrap_or(self.rows);
        self.parameters = answer["parameters"].as_u64().unwrap_or(self.parameters);
        self.gflop = answer["gflop"].as_f64().unwrap_or(self.gflop);
        self.peak_mb = answer["peak_mb"].as_f64().unwrap_or(self.peak_mb);
        if let Some(why) = answer["skipped"].as_str() {
            self.skipped = Some(why.to_owned());
        }
    }
}

/// Least, median and largest.
fn summary(values: &[f64]) -> Option<[f64; 3]> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = match sorted.len() {
        0 => return None,
        n if n % 2 == 0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted[middle],
    };
    Some([sorted[0], median, sorted[sorted.len() - 1]])
}

/// Lets all sides take turns.
fn measure(bench: Bench, sides: &mut [Side], options: &Options) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for (measure, count) in bench.measures(options.steps) {
        let mut times = vec![Times::default(); sides.len()];
        for _ in 0..options.rounds {
            for (side, times) in sides.iter_mut().zip(&mut times) {
                if times.skipped.is_none() {
                    std::thread::sleep(REST);
                    times.add(&side.ask(measure, count)?);
                }
            }
        }
        // A model of one stage has no second one.
        if measure == "second_stage" && times[0].skipped.is_some() {
            continue;
        }
        let peer = options.has_peer().then(|| times.pop()).flatten();
        let name = sides.last().map(|side| side.name.clone()).filter(|_| peer.is_some());
        for (side, ours) in sides.iter().zip(times) {
            let (backend, peer) = (side.name.clone(), name.clone().zip(peer.clone()));
            found.push(Found { measure, backend, ours, peer });
        }
    }
    Ok(found)
}

impl Found {
    fn line(&self, bench: Bench, model: &str, workload: &str, threads: usize) -> Value {
        let mut line = json!({
            "bench": bench.name(),
            "model": model,
            "workload": workload,
            "backend": self.backend,
            "threads": threads,
            "rows": self.ours.rows,
        });
        if matches!(bench, Bench::TrainStep | Bench::Memory) {
            line["stage"] = json!(if self.measure == "second_stage" { 2 } else { 1 });
        }
        if let Some(why) = &self.ours.skipped {
            line["skipped"] = json!(why);
            return line;
        }
        if bench == Bench::Memory {
            line["peak_mb"] = json!(self.ours.peak_mb.round());
            if let Some((name, peer)) = &self.peer {
                line["peer"] = json!(name);
                line["peer_peak_mb"] = json!(peer.peak_mb.round());
                line["ratio"] = json!(rounded(peer.peak_mb / self.ours.peak_mb));
            }
            return line;
        }
        if let Some([least, median, most]) = summary(&self.ours.ms) {
            line["ms_min"] = json!(rounded(least));
            line["ms_median"] = json!(rounded(median));
            line["ms_max"] = json!(rounded(most));
            if self.ours.gflop > 0.0 {
                line["gflop"] = json!(rounded(self.ours.gflop));
                line["gflops"] = json!((self.ours.gflop / median * 1e3).round());
            }
        }
        for (name, values) in
            [("gradients", &self.ours.gradients), ("optimiser", &self.ours.optimiser)]
        {
            if let Some([_, median, _]) = summary(values) {
                line[format!("{name}_ms_median")] = json!(rounded(median));
            }
        }
        let Some((name, peer)) = &self.peer else { return line };
        line["peer"] = json!(name);
        match (&peer.skipped, summary(&peer.ms), line["ms_median"].as_f64()) {
            (None, Some([least, median, _]), Some(ours)) => {
                line["peer_ms_min"] = json!(rounded(least));
                line["peer_ms_median"] = json!(rounded(median));
                line["ratio"] = json!(rounded(median / ours));
            }
            (why, ..) => line["peer_skipped"] = json!(why),
        }
        line
    }
}

/// Least, geometric mean and largest of the ratios of all lines.
fn ratios(lines: &[Value]) -> Option<[f64; 3]> {
    let ratios: Vec<f64> = lines.iter().filter_map(|line| line["ratio"].as_f64()).collect();
    let [least, _, most] = summary(&ratios)?;
    let mean = ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64;
    Some([least, mean.exp(), most])
}

/// Three digits behind the point.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// A line of the table on the terminal.
fn shown(line: &Value) -> String {
    let text = |key: &str| line[key].as_str().unwrap_or_default();
    let number = |key: &str| line[key].as_f64();
    let stage = line["stage"].as_u64().filter(|&stage| stage > 1);
    let model = text("model").to_owned() + &stage.map_or(String::new(), |s| format!(" ({s})"));
    let mut shown = format!(
        "{:<11} {:<11} {:<14} {:<8}",
        text("bench"),
        text("workload"),
        model,
        text("backend")
    );
    if let Some(why) = line["skipped"].as_str() {
        let _ = write!(shown, " skipped: {why}");
    }
    if let (Some(least), Some(median), Some(most)) =
        (number("ms_min"), number("ms_median"), number("ms_max"))
    {
        let _ = write!(shown, " {median:>10.2} ms ({least:.2} to {most:.2})");
    }
    if let Some(share) = number("peak_share") {
        let _ = write!(shown, " {:>3.0} % of peak", 100.0 * share);
    }
    if let Some(peak) = number("peak_mb") {
        let _ = write!(shown, " {peak:>10.0} MB");
    }
    if let Some(median) = number("peer_ms_median") {
        let _ = write!(shown, "   {} {median:>10.2} ms", text("peer"));
    }
    if let Some(peak) = number("peer_peak_mb") {
        let _ = write!(shown, "   {} {peak:>10.0} MB", text("peer"));
    }
    if let Some(ratio) = number("ratio") {
        let _ = write!(shown, "   {ratio:.2} times");
    }
    shown
}
