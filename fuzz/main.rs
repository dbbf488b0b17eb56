//! Gives every reader its share of the time, each in a process of its own.
//!
//! An input is a seed with changes, or one that was kept: one whose outcome, the words of the reader's
//! message, was new. One of [`WHOLE`], and each with a new outcome, goes the whole way of a user's
//! file; the others are read by their reader alone, which is many times quicker. What is kept follows
//! from the inputs before, so that a seed and a number say what an input is, however the time was
//! divided.

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
/// Of so many inputs one goes the whole way of a user's file.
const WHOLE: u64 = 32;
/// Inputs with new outcomes that are kept of a reader, and the bytes of the largest.
const KEPT: (usize, usize) = (512, 1 << 18);
/// What a reader may take for each byte of an input, and beside that, in bytes.
const MEMORY: (usize, usize) = (1400, 256 << 20);
/// How long one input may take, in milliseconds of the processor, and by the clock in as many times
/// that: other programs may run beside.
const TIME: u64 = 20_000;
const WAITING: u64 = 30;
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
    /// How often every reader gets its time; the table is printed after each.
    rounds: Option<u64>,
    /// Where inputs with new outcomes are kept, to go on from there another time.
    corpus: Option<PathBuf>,
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
                "--rounds" => options.rounds = Some(value()?.parse()?),
                "--corpus" => options.corpus = Some(value()?.into()),
                "--seed" => options.seed = value()?.parse()?,
                "--from" => options.from = value()?.parse()?,
                "--case" => options.case = Some(value()?.parse()?),
                "--worker" => options.worker = Some((value()?, value()?.into())),
                _ => bail!(
                    "`{word}`: expected --seconds N or --inputs N, --rounds N, --corpus FOLDER, --only TEXT, \
                     --seed N, or with --only --case N"
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
#[derive(Clone, Default)]
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

impl Count {
    fn add(&mut self, other: Self) {
        self.inputs += other.inputs;
        self.taken += other.taken;
        self.peak = self.peak.max(other.peak);
        self.slowest = self.slowest.max(other.slowest);
        self.seconds += other.seconds;
        self.findings.extend(other.findings);
    }
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
    let own;
    let corpus = match &options.corpus {
        Some(folder) => folder.as_path(),
        None => {
            own = scratch()?;
            own.path()
        }
    };
    let mut counts = vec![Count::default(); targets.len()];
    let rounds = options.rounds.unwrap_or(1);
    for round in 1..=rounds {
        if rounds > 1 {
            println!("round {round}");
        }
        head();
        for (target, sum) in targets.iter().zip(&mut counts) {
            let count = of(target, options, seconds, &corpus.join(plain(target.name)))?;
            let found = count.findings.clone();
            sum.add(count);
            line(target.name, sum);
            for finding in &found {
                println!("  {finding}");
            }
        }
        let mut all = Count::default();
        counts.iter().cloned().for_each(|count| all.add(count));
        line("all", &all);
    }
    Ok(counts.iter().all(|count| count.findings.is_empty()))
}

fn head() {
    println!(
        "{:<17} {:>10} {:>10} {:>9} {:>8} {:>8} {:>9}",
        "reader", "inputs", "taken", "inputs/s", "MiB", "ms", "findings"
    );
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

fn of(target: &Target, options: &Options, seconds: f64, corpus: &Path) -> Result<Count> {
    let mut count = Count::default();
    let start = Instant::now();
    let mut from = Kept::open(corpus)?.next.max(options.from);
    for _ in 0..DEATHS {
        let left = seconds - start.elapsed().as_secs_f64();
        if left <= 0.0 && count.inputs > 0 {
            break;
        }
        let folder = scratch()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--worker").arg(target.name).arg(folder.path());
        command.args(["--seconds", &left.max(0.1).to_string()]).arg("--corpus").arg(corpus);
        command.args(["--seed", &options.seed.to_string(), "--from", &from.to_string()]);
        if let Some(inputs) = options.inputs {
            let left = inputs.saturating_sub(count.inputs);
            command.args(["--inputs", &(from + left).to_string()]);
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
        Kept::open(corpus)?.go_on_from(from)?;
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

/// A name as that of a file.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect()
}

/// The inputs of a reader that had new outcomes, in a folder.
#[derive(Default)]
struct Kept {
    folder: PathBuf,
    /// The next input.
    next: u64,
    /// The outcomes that there were.
    outcomes: BTreeSet<u64>,
    inputs: Vec<Files>,
}

impl Kept {
    /// The list of the folder: the next input, then a line for each outcome with the number of its
    /// input.
    const LIST: &str = "outcomes";

    /// What is there without the inputs.
    fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let mut kept = Self { folder: folder.to_owned(), ..Self::default() };
        let Ok(list) = fs::read_to_string(folder.join(Self::LIST)) else { return Ok(kept) };
        let mut numbers = list.split_whitespace().map(str::parse);
        kept.next = numbers.next().context("an empty list")??;
        kept.outcomes = numbers.collect::<Result<_, _>>()?;
        Ok(kept)
    }

    /// The same with the inputs, in the order in which they were kept.
    fn with_inputs(mut self) -> Result<Self> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            numbers.extend(entry?.file_name().to_string_lossy().parse::<u64>().ok());
        }
        numbers.sort_unstable();
        for number in numbers {
            let (mut files, place) = (Files::new(), self.folder.join(number.to_string()));
            multivae_fuzz::corpus::collect(&place, &place, &mut files)?;
            self.inputs.push(files);
        }
        Ok(self)
    }

    /// Whether an outcome is new; its input is kept if it is not large.
    fn take(&mut self, outcome: u64, case: u64, files: &Files) -> Result<bool> {
        let new = self.outcomes.len() < 1 << 12 && self.outcomes.insert(outcome);
        let bytes: usize = files.values().map(Vec::len).sum();
        if new && self.inputs.len() < KEPT.0 && bytes <= KEPT.1 && !files.is_empty() {
            write(&self.folder.join(case.to_string()), files, &Files::new())?;
            self.inputs.push(files.clone());
        }
        // Inputs that end the process are numbers as well.
        if new {
            self.go_on_from(case + 1)?;
        }
        Ok(new)
    }

    fn go_on_from(&mut self, next: u64) -> Result<()> {
        self.next = next;
        let outcomes: String = self.outcomes.iter().map(|outcome| format!("{outcome}\n")).collect();
        fs::write(self.folder.join(Self::LIST), format!("{next}\n{outcomes}"))?;
        Ok(())
    }
}

/// What an outcome says beside names and numbers, as a number.
fn kind(said: &str) -> u64 {
    let mut quoted = false;
    let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let words = said.bytes().filter(|&byte| {
        quoted ^= byte == b'`';
        !quoted && byte.is_ascii_alphabetic()
    });
    words.take(200).fold(0xcbf2_9ce4_8422_2325, mix)
}

fn keep(name: &str, case: u64, input: &Path) -> Result<PathBuf> {
    let place = kept().join(format!("{}-{case}", plain(name)));
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
            if fs::write(&path, bytes).is_err() {
                fs::create_dir_all(path.parent().context("a file in a folder")?)?;
                fs::write(path, bytes)?;
            }
        }
    }
    Ok(())
}

/// The last panic of any thread.
static PANIC: Mutex<String> = Mutex::new(String::new());
/// When the present input was begun, in milliseconds; 0 between inputs.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// Milliseconds of the processor that this process has taken; `None` where the system does not say it.
fn processor() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    // In hundredths of a second.
    Some(10 * (next()? + next()?))
}

/// Ends the process when an input holds it.
fn watch(now: impl Fn() -> u64) {
    let mut seen = (0, 0);
    loop {
        thread::sleep(Duration::from_millis(500));
        let begun = BEGUN.load(Relaxed);
        let worked = processor().unwrap_or_else(&now);
        if begun != seen.0 {
            seen = (begun, worked);
        }
        let long = worked > seen.1 + TIME || now() > begun + WAITING * TIME;
        if begun > 0 && long {
            std::process::exit(i32::from(HANGS));
        }
    }
}

/// Reads inputs until the time is over.
fn work(options: &Options, name: &str, folder: &Path) -> Result<bool> {
    let target = TARGETS.iter().find(|target| target.name == name).context("no such reader")?;
    let seeds = (target.seeds)()?;
    let corpus = options.corpus.clone().context("a folder of inputs that are kept")?;
    let input = folder.join("input");
    let state = fs::File::create(folder.join("state"))?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or(String::new(), ToString::to_string);
        let text = panic.payload_as_str().unwrap_or("a panic");
        if let Ok(mut last) = PANIC.lock() {
            *last = format!("{place}: {text}");
        }
    }));
    let clock = Instant::now();
    let now = move || clock.elapsed().as_millis() as u64 + 1;
    thread::spawn(move || watch(now));
    // Small inputs are read sooner by one thread than others are woken.
    let threads = rayon::ThreadPoolBuilder::new().num_threads(1).stack_size(8 << 20).build()?;
    threads.install(|| read(options, target, &seeds, Kept::open(&corpus)?, &input, &state, &clock))
}

/// Reads inputs until the time is over; whether none has failed.
fn read(
    options: &Options,
    target: &Target,
    seeds: &[Files],
    kept: Kept,
    input: &Path,
    state: &fs::File,
    clock: &Instant,
) -> Result<bool> {
    let name = target.name;
    let mut kept = kept.with_inputs()?;
    let until = Duration::from_secs_f64(options.seconds.unwrap_or(1.0));
    let mut found = BTreeSet::new();
    let (mut case, mut taken, mut peak, mut slowest) = (options.from, 0u64, 0usize, 0u64);
    let mut there = Files::new();
    let at = |case: u64, taken: u64, peak: usize, slowest: u64| {
        put(state, &[case, taken, peak as u64, slowest].map(u64::to_le_bytes).concat())
    };
    loop {
        let over = clock.elapsed() >= until || options.inputs.is_some_and(|most| case >= most);
        if over && options.case.is_none() || options.case.is_some_and(|one| case > one) {
            break;
        }
        at(case, taken, peak, slowest)?;
        let files = made(seeds, &kept.inputs, name, options.seed, case);
        write(input, &files, &there)?;
        let bytes: usize = files.values().map(Vec::len).sum();
        there = files;
        let before = memory::start();
        BEGUN.store(clock.elapsed().as_millis() as u64 + 1, Relaxed);
        let begun = Instant::now();
        let mut whole = case.is_multiple_of(WHOLE) || case < seeds.len() as u64;
        let mut result = Ok(Ok(()));
        if !whole {
            result = catch_unwind(AssertUnwindSafe(|| (target.read)(input)));
            let said = match &result {
                Ok(Ok(())) => "taken".to_owned(),
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => String::new(),
            };
            whole = kept.take(kind(&said), case, &there)? && result.is_ok();
        }
        if whole {
            result = catch_unwind(AssertUnwindSafe(|| (target.whole)(input)));
            // A reader of configurations writes, too.
            if name == "configuration" {
                there.clear();
            }
        }
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
                let kept = keep(name, case, input)?;
                println!("finding case {case}: {finding}; kept in {}", kept.display());
            }
        }
        case += 1;
    }
    at(case, taken, peak, slowest)?;
    kept.go_on_from(case)?;
    Ok(found.is_empty())
}

/// Writes at the beginning of a file.
fn put(mut file: &fs::File, bytes: &[u8]) -> Result<()> {
    use std::io::{Seek, SeekFrom};
    file.seek(SeekFrom::Start(0))?;
    file.write_all(bytes)?;
    Ok(())
}

/// An input by its number: the first are the seeds as they are; others are made of a seed or of one that
/// was kept.
fn made(seeds: &[Files], kept: &[Files], name: &str, seed: u64, case: u64) -> Files {
    if let Some(files) = seeds.get(case as usize) {
        return files.clone();
    }
    let start = name.bytes().fold(seed, |seed, byte| Random(seed ^ u64::from(byte)).draw());
    let mut random = Random(start ^ case.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let from = if random.below(2) == 0 || kept.is_empty() { seeds } else { kept };
    let mut files = from[random.below(from.len())].clone();
    let others: Vec<&Files> = seeds.iter().collect();
    for _ in 0..1 + random.below(4) / 3 {
        seal::change(&mut files, &others, &mut random);
    }
    files
}
