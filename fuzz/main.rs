//! Gives every reader its share of the time, each in a process of its own.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use multivae_fuzz::{
    memory::{self, Counted},
    mutate::Random,
    seal::{self, Files},
    targets::{TARGETS, Target},
};

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// Seconds for all readers, unless `--seconds` says how long each may take.
const TOTAL: f64 = 60.0;
/// What a reader may take for each byte of an input, and beside that, in bytes: images may claim 64 MiB
/// of pixels, which are held more than once while they are decoded.
const MEMORY: (usize, usize) = (1400, 256 << 20);
/// How long one input may take, in milliseconds.
const TIME: u64 = 20_000;
/// The exit status of a process that one input has held for longer.
const HANGS: u8 = 77;
/// How many processes of a reader may end at an input before it is left alone.
const DEATHS: usize = 8;

/// What is asked of the program.
#[derive(Clone, Debug, Default)]
struct Options {
    seconds: Option<f64>,
    /// How many inputs each reader gets, in place of an amount of time.
    inputs: Option<u64>,
    only: Option<String>,
    seed: u64,
    /// The first input, by its number.
    from: u64,
    /// Only this input, whose outcome is printed.
    case: Option<u64>,
    /// The reader and the folder of a process that reads.
    worker: Option<(String, PathBuf)>,
}

impl Options {
    fn read() -> Result<Self> {
        let mut options = Self::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("`{word}` wants a value"));
            match word.as_str() {
                "--seconds" => options.seconds = Some(value()?.parse()?),
                "--inputs" => options.inputs = Some(value()?.parse()?),
                "--only" => options.only = Some(value()?),
                "--seed" => options.seed = value()?.parse()?,
                "--from" => options.from = value()?.parse()?,
                "--case" => options.case = Some(value()?.parse()?),
                "--worker" => options.worker = Some((value()?, value()?.into())),
                _ => bail!(
                    "`{word}`: expected --seconds N or --inputs N, --only TEXT, --seed N, or with --only --case N"
                ),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(2);
        }
    };
    let done = match &options.worker {
        Some((name, folder)) => work(&options, name, folder),
        None => lead(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What has become of a reader.
#[derive(Default)]
struct Count {
    inputs: u64,
    taken: u64,
    /// The most memory of an input, in bytes.
    peak: usize,
    /// The longest time of an input, in milliseconds.
    slowest: u64,
    seconds: f64,
    findings: Vec<String>,
}

/// Starts the processes, and prints what has become of each reader.
fn lead(options: &Options) -> Result<bool> {
    let wanted = |target: &&Target| match &options.only {
        Some(only) => target.name.contains(only.as_str()),
        None => true,
    };
    let targets: Vec<&Target> = TARGETS.iter().filter(wanted).collect();
    ensure!(!targets.is_empty(), "no reader is called so");
    let seconds = match options.inputs {
        Some(_) => f64::from(u32::MAX),
        None => options.seconds.unwrap_or(TOTAL / targets.len() as f64),
    };
    let mut all = Count::default();
    println!(
        "{:<17} {:>10} {:>10} {:>9} {:>8} {:>8} {:>9}",
        "reader", "inputs", "taken", "inputs/s", "MiB", "ms", "findings"
    );
    for target in targets {
        let count = of(target, options, seconds)?;
        line(target.name, &count);
        for finding in &count.findings {
            println!("  {finding}");
        }
        all.inputs += count.inputs;
        all.taken += count.taken;
        all.peak = all.peak.max(count.peak);
        all.slowest = all.slowest.max(count.slowest);
        all.seconds += count.seconds;
        all.findings.extend(count.findings);
    }
    line("all", &all);
    Ok(all.findings.is_empty())
}

fn line(name: &str, count: &Count) {
    let Count { inputs, taken, peak, slowest, seconds, findings } = count;
    let rate = *inputs as f64 / seconds.max(1e-3);
    let (peak, findings) = (peak >> 20, findings.len());
    println!(
        "{name:<17} {inputs:>10} {taken:>10} {rate:>9.0} {peak:>8} {slowest:>8} {findings:>9}"
    );
}

/// Where inputs lie: in memory where the system has such a folder.
fn scratch() -> Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let there = memory.is_dir().then(|| tempfile::tempdir_in(memory).ok()).flatten();
    there.map_or_else(|| Ok(tempfile::tempdir()?), Ok)
}

/// Where inputs are kept that have failed.
fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fuzz")
}

fn of(target: &Target, options: &Options, seconds: f64) -> Result<Count> {
    let mut count = Count::default();
    let start = Instant::now();
    let mut from = options.case.unwrap_or(options.from);
    for _ in 0..DEATHS {
        let left = seconds - start.elapsed().as_secs_f64();
        if left <= 0.0 && count.inputs > 0 {
            break;
        }
        let folder = scratch()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--worker").arg(target.name).arg(folder.path());
        command.args(["--seconds", &left.max(0.1).to_string()]);
        command.args(["--seed", &options.seed.to_string(), "--from", &from.to_string()]);
        if let Some(inputs) = options.inputs {
            command.args(["--inputs", &inputs.to_string()]);
        }
        if let Some(case) = options.case {
            command.args(["--case", &case.to_string()]);
        }
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
        let mut text = String::new();
        child.stdout.take().context("a pipe")?.read_to_string(&mut text)?;
        let status = child.wait()?;
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("finding", finding)) => count.findings.push(finding.to_owned()),
                Some(("outcome", outcome)) => println!("{outcome}"),
                _ => {}
            }
        }
        let state = state(&folder.path().join("state"))?;
        count.inputs += state[0].saturating_sub(from);
        count.taken += state[1];
        count.peak = count.peak.max(state[2] as usize);
        count.slowest = count.slowest.max(state[3]);
        if status.code().is_some_and(|code| code <= 1) {
            ensure!(
                status.success() || !count.findings.is_empty(),
                "`{}` does not work",
                target.name
            );
            break;
        }
        // The input is still there.
        let case = state[0];
        let place = keep(target.name, case, &folder.path().join("input"))?;
        let how = match status.code() {
            Some(code) if code == i32::from(HANGS) => format!("longer than {TIME} ms"),
            _ => format!("the process ends, {status}"),
        };
        count.findings.push(format!("case {case}: {how}; kept in {}", place.display()));
        from = case + 1;
        if options.case.is_some() {
            break;
        }
    }
    count.seconds = start.elapsed().as_secs_f64();
    Ok(count)
}

/// Numbers of a process that may have died: its next input, how many were taken, peak, slowest.
fn state(path: &Path) -> Result<[u64; 4]> {
    let bytes = fs::read(path).unwrap_or_default();
    let number = |i: usize| {
        let bytes = bytes.get(8 * i..8 * i + 8);
        bytes.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
    };
    Ok([number(0), number(1), number(2), number(3)])
}

fn keep(name: &str, case: u64, input: &Path) -> Result<PathBuf> {
    let name: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let place = kept().join(format!("{name}-{case}"));
    let mut files = Files::new();
    multivae_fuzz::corpus::collect(input, input, &mut files)?;
    write(&place, &files, &Files::new())?;
    Ok(place)
}

/// Writes the files that differ from those that are there.
fn write(folder: &Path, files: &Files, there: &Files) -> Result<()> {
    for (name, _) in there.iter().filter(|(name, _)| !files.contains_key(*name)) {
        fs::remove_file(folder.join(name))?;
    }
    for (name, bytes) in files {
        if there.get(name) != Some(bytes) {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().context("a file in a folder")?)?;
            fs::write(path, bytes)?;
        }
    }
    Ok(())
}

/// The last panic of any thread.
static PANIC: Mutex<String> = Mutex::new(String::new());
/// When the present input was begun, in milliseconds; 0 between inputs.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// Reads inputs until the time is over.
fn work(options: &Options, name: &str, folder: &Path) -> Result<bool> {
    let target = TARGETS.iter().find(|target| target.name == name).context("no such reader")?;
    let seeds = (target.seeds)()?;
    let input = folder.join("input");
    let mut state = fs::File::create(folder.join("state"))?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or(String::new(), ToString::to_string);
        let text = panic.payload_as_str().unwrap_or("a panic");
        if let Ok(mut last) = PANIC.lock() {
            *last = format!("{place}: {text}");
        }
    }));
    let clock = Instant::now();
    let now = move || clock.elapsed().as_millis() as u64 + 1;
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_millis(500));
            let begun = BEGUN.load(Relaxed);
            if begun > 0 && now() > begun + TIME {
                std::process::exit(i32::from(HANGS));
            }
        }
    });
    let until = Duration::from_secs_f64(options.seconds.unwrap_or(1.0));
    let mut found = BTreeSet::new();
    let (mut case, mut taken, mut peak, mut slowest) = (options.from, 0u64, 0usize, 0u64);
    let mut there = Files::new();
    loop {
        let over = clock.elapsed() >= until || options.inputs.is_some_and(|most| case >= most);
        if over || options.case.is_some_and(|one| case > one) {
            break;
        }
        use std::io::{Seek, SeekFrom};
        state.seek(SeekFrom::Start(0))?;
        let numbers = [case, taken, peak as u64, slowest];
        state.write_all(&numbers.map(u64::to_le_bytes).concat())?;
        let files = made(&seeds, name, options.seed, case);
        write(&input, &files, &there)?;
        let bytes: usize = files.values().map(Vec::len).sum();
        there = files;
        let before = memory::start();
        BEGUN.store(now(), Relaxed);
        let begun = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| (target.read)(&input)));
        BEGUN.store(0, Relaxed);
        let took = begun.elapsed().as_millis() as u64;
        let most = memory::peak().saturating_sub(before);
        (peak, slowest) = (peak.max(most), slowest.max(took));
        let mut finding = match &result {
            Ok(Ok(())) => {
                taken += 1;
                None
            }
            Ok(Err(_)) => None,
            Err(_) => Some(format!("panics at {}", PANIC.lock().expect("no panic holds it"))),
        };
        if most > MEMORY.0 * bytes + MEMORY.1 {
            let (most, kilo) = (most >> 20, bytes >> 10);
            finding = finding.or(Some(format!("takes {most} MiB for {kilo} KiB")));
        }
        if options.case == Some(case) {
            let said = match result {
                Ok(Ok(())) => "taken".to_owned(),
                Ok(Err(error)) => format!("refused: {error:#}"),
                Err(_) => String::new(),
            };
            println!("outcome case {case}: {said}");
        }
        if let Some(finding) = finding {
            // One of each place.
            let place: String = finding.chars().filter(|c| !c.is_numeric()).collect();
            let kind: String = place.chars().take(90).collect();
            if found.insert(kind) {
                let kept = keep(name, case, &input)?;
                println!("finding case {case}: {finding}; kept in {}", kept.display());
            }
        }
        // A reader of configurations writes, too.
        if target.name == "configuration" {
            there.clear();
        }
        case += 1;
    }
    use std::io::{Seek, SeekFrom};
    state.seek(SeekFrom::Start(0))?;
    state.write_all(&[case, taken, peak as u64, slowest].map(u64::to_le_bytes).concat())?;
    Ok(found.is_empty())
}

/// An input by its number: the first are the seeds as they are.
fn made(seeds: &[Files], name: &str, seed: u64, case: u64) -> Files {
    if let Some(files) = seeds.get(case as usize) {
        return files.clone();
    }
    let start = name.bytes().fold(seed, |seed, byte| Random(seed ^ u64::from(byte)).draw());
    let mut random = Random(start ^ case.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut files = seeds[random.below(seeds.len())].clone();
    let others: Vec<&Files> = seeds.iter().collect();
    for _ in 0..1 + random.below(4) / 3 {
        seal::change(&mut files, &others, &mut random);
    }
    files
}
