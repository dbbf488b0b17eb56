//! One run of a sweep: a folder, and the processes that fill it.
//!
//! ```text
//! points/NAME/config.toml     what it is trained with
//! points/NAME/run/            the run, as of `multivae train`
//! points/NAME/cost.json       seconds and memory of its training so far
//! points/NAME/evaluation/     its measures, with what they were asked for beside them
//! points/NAME/end.json        why there is nothing more to do, if that is no evaluation
//! points/NAME/log.txt         what its processes said
//! ```

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::MutexGuard,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use multivae::{
    metrics::Entry,
    report::Measures,
    run::{RunFolder, files},
    train::Interrupt,
};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::plan::{Evaluate, Limits, Point};
use crate::{evaluate::METRICS, failure::bad_input, terminal::INTERRUPTED};

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Exit code when what was given cannot be used: of a model that does not take this data.
const REFUSED: i32 = 2;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It was not started, or not ended.
    Open,
    /// It is trained and measured.
    Done,
    /// Its model does not take its data, with the reason.
    Refused(String),
    /// Something went wrong, with what was said last.
    Failed(String),
}

/// What training took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Seconds of its processes, from their start to their end.
    pub(crate) seconds: f64,
    /// Seconds of work of all their threads; `None` where the system does not tell.
    pub(crate) work: Option<f64>,
    /// Most memory that one of them held, in bytes; `None` where the system does not tell.
    pub(crate) memory: Option<u64>,
    /// The limits under which there is nothing more to train.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Limits>,
}

impl Cost {
    /// Of two processes, one after the other.
    fn and(&self, other: &Self) -> Self {
        let work = match (self.work, other.work) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        Self {
            seconds: self.seconds + other.seconds,
            work,
            memory: self.memory.max(other.memory),
            ended: other.ended.clone(),
        }
    }

    /// As measures beside those of the evaluation.
    fn entries(&self) -> Vec<Entry> {
        let entry = |measure: &str, value: f64| Entry {
            report: "cost".into(),
            measure: measure.into(),
            given: Vec::new(),
            target: String::new(),
            value,
            standard_error: None,
            count: 1,
        };
        let work = self.work.map(|seconds| entry("processor_seconds", seconds));
        let memory = self.memory.map(|bytes| entry("memory", bytes as f64 / 1e6));
        std::iter::once(entry("seconds", self.seconds)).chain(work).chain(memory).collect()
    }
}

/// What all runs of a sweep are done with.
pub(crate) struct Work<'a> {
    pub(crate) program: PathBuf,
    /// Threads of a process; as many as there are cores if not given.
    pub(crate) threads: Option<usize>,
    pub(crate) device: Option<&'a str>,
    pub(crate) limits: &'a Limits,
    pub(crate) evaluate: &'a Evaluate,
    /// Whether what failed is tried again.
    pub(crate) retry: bool,
    pub(crate) interrupt: Interrupt,
}

/// Gives the classifiers of other runs on the same data. If there are none yet, whoever measures
/// first trains them, if the data has classes, and keeps others waiting meanwhile.
pub(crate) type Classifiers<'a> = dyn Fn() -> (Option<PathBuf>, Option<MutexGuard<'a, bool>>) + 'a;

/// A run in its folder.
pub(crate) struct Place<'a> {
    pub(crate) point: &'a Point,
    folder: PathBuf,
}

impl<'a> Place<'a> {
    pub(crate) fn new(sweep: &Path, point: &'a Point) -> Self {
        Self { point, folder: sweep.join("points").join(&point.name) }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Its classifiers, which others on the same data can use.
    pub(crate) fn classifiers(&self) -> Option<PathBuf> {
        Some(self.at("run").join("classifiers")).filter(|folder| folder.is_dir())
    }

    /// What came of it so far.
    pub(crate) fn state(&self, evaluate: &Evaluate) -> Result<State> {
        if self.evaluated(evaluate) {
            return Ok(State::Done);
        }
        match fs::read_to_string(self.at("end.json")) {
            Err(_) => Ok(State::Open),
            Ok(text) => serde_json::from_str(&text)
                .with_context(|| format!("`{}`", self.at("end.json").display())),
        }
    }

    /// Its measures, with what it has cost.
    pub(crate) fn measures(&self) -> Result<Measures> {
        let mut measures = Measures::read(&self.at("evaluation").join(METRICS))?;
        measures.entries.extend(self.cost()?.entries());
        Ok(measures)
    }

    fn evaluated(&self, evaluate: &Evaluate) -> bool {
        let asked = fs::read_to_string(self.at("evaluation.txt")).ok();
        self.at("evaluation").join(METRICS).is_file()
            && asked.is_some_and(|asked| asked == evaluate.arguments().join(" "))
    }

    fn cost(&self) -> Result<Cost> {
        match fs::read_to_string(self.at("cost.json")) {
            Err(_) => Ok(Cost::default()),
            Ok(text) => serde_json::from_str(&text)
                .with_context(|| format!("`{}`", self.at("cost.json").display())),
        }
    }

    /// Does what is left to do.
    pub(crate) fn work(&self, work: &Work, classifiers: &Classifiers) -> Result<State> {
        self.prepare()?;
        match self.state(work.evaluate)? {
            State::Open => {}
            State::Failed(_) if work.retry => fs::remove_file(self.at("end.json"))?,
            ended => return Ok(ended),
        }
        let state = match self.train(work)? {
            State::Done => self.measure(work, classifiers)?,
            other => other,
        };
        if matches!(state, State::Refused(_) | State::Failed(_)) {
            write_json(&self.at("end.json"), &state)?;
        }
        Ok(state)
    }

    /// Refuses a folder that holds a run with other settings.
    pub(crate) fn check(&self) -> Result<()> {
        let path = self.at("config.toml");
        let Ok(found) = fs::read_to_string(&path) else { return Ok(()) };
        match toml::from_str::<Table>(&found).is_ok_and(|found| found == self.point.config) {
            true => Ok(()),
            false => Err(bad_input(format!(
                "`{}` is of another sweep, with other settings: choose another folder with `--out`, \
                 or remove it",
                path.display()
            ))),
        }
    }

    /// Makes the folder, unless it is there.
    fn prepare(&self) -> Result<()> {
        let path = self.at("config.toml");
        if path.is_file() {
            return Ok(());
        }
        let text = toml::to_string(&self.point.config).context("a configuration is TOML")?;
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("folder `{}`", self.folder.display()))?;
        Ok(files::write_whole(&path, |file| file.write_all(text.as_bytes()))?)
    }

    /// Trains to the last epoch or the limit.
    fn train(&self, work: &Work) -> Result<State> {
        let run = self.at("run");
        let before = self.cost()?;
        if before.ended.as_ref() == Some(work.limits) {
            return Ok(State::Done);
        }
        let mut command = vec!["train".to_owned()];
        if run.join(RunFolder::CONFIG).is_file() {
            command.extend(["--resume".into(), text(&run)]);
        } else {
            command.extend(["--config".into(), text(&self.at("config.toml"))]);
            command.extend(["--out".into(), text(&run)]);
        }
        if let Some(minutes) = work.limits.minutes {
            let left = minutes - before.seconds / 60.0;
            if left <= 0.0 {
                return Ok(State::Done);
            }
            command.extend(["--minutes".into(), left.to_string()]);
        }
        let record = |own: &Cost| write_json(&self.at("cost.json"), &before.and(own));
        let state = self.process(work, &command, record)?;
        if state == State::Done {
            let ended = Some(work.limits.clone());
            write_json(&self.at("cost.json"), &Cost { ended, ..self.cost()? })?;
        }
        Ok(state)
    }

    /// Measures what was trained.
    fn measure(&self, work: &Work, classifiers: &Classifiers) -> Result<State> {
        let out = self.at("evaluation");
        if out.exists() {
            fs::remove_dir_all(&out)?;
        }
        let asked = work.evaluate.arguments();
        let mut command = vec!["evaluate".to_owned(), text(&self.at("run"))];
        command.extend(asked.iter().cloned());
        command.push("--where-possible".into());
        command.extend(["--out".into(), text(&out)]);
        let (folder, tried) = classifiers();
        if let Some(folder) = folder {
            command.extend(["--classifiers".into(), text(&folder)]);
        }
        let state = self.process(work, &command, |_| Ok(()))?;
        if let Some(mut tried) = tried {
            *tried = true;
        }
        if state == State::Done {
            let said = asked.join(" ");
            files::write_whole(&self.at("evaluation.txt"), |file| file.write_all(said.as_bytes()))?;
        }
        Ok(state)
    }

    /// Runs the program, and tells every now and then what it has cost so far.
    fn process(
        &self,
        work: &Work,
        arguments: &[String],
        record: impl Fn(&Cost) -> Result<()>,
    ) -> Result<State> {
        let mut log = self.log()?;
        writeln!(log, "$ multivae {}", arguments.join(" "))?;
        let length = log.metadata()?.len();
        let mut command = Command::new(&work.program);
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if let Some(device) = work.device {
            command.args(["--device", device]);
        }
        if let Some(threads) = work.threads {
            command.env("RAYON_NUM_THREADS", threads.to_string());
        }
        let shown = work.program.display();
        let mut child = command.spawn().with_context(|| format!("`{shown}` does not start"))?;
        let start = Instant::now();
        let (mut own, mut told) = (Cost::default(), start);
        let status = loop {
            own.memory = most_memory(&child).or(own.memory);
            own.work = processor_seconds(&child).or(own.work);
            own.seconds = start.elapsed().as_secs_f64();
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if work.interrupt.is_stopped() {
                // Nothing is lost by it: what was not written yet is done again.
                child.kill()?;
                child.wait()?;
                record(&own)?;
                return Ok(State::Open);
            }
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                record(&own)?;
            }
            thread::sleep(LOOK);
        };
        record(&own)?;
        if status.success() {
            return Ok(State::Done);
        }
        // Of the run alone, or with us from the terminal.
        if work.interrupt.is_stopped() || status.code() == Some(INTERRUPTED.into()) {
            return Ok(State::Open);
        }
        let said = self.said_last(length)?;
        Ok(match status.code() {
            Some(REFUSED) => State::Refused(said),
            Some(code) => State::Failed(format!("{said} (exit code {code})")),
            None => State::Failed(format!("{said} ({status})")),
        })
    }

    fn log(&self) -> Result<File> {
        let path = self.at("log.txt");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.with_context(|| format!("`{}`", path.display()))
    }

    /// The last error in the log from a position on, or its last line.
    fn said_last(&self, from: u64) -> Result<String> {
        let text = fs::read(self.at("log.txt"))?;
        let own = text.get(usize::try_from(from)?..).unwrap_or_default();
        let text = String::from_utf8_lossy(own);
        let mut lines = text.lines().rev().filter(|line| !line.trim().is_empty());
        let last = lines.clone().next().unwrap_or("nothing was said");
        let error = lines.find_map(|line| line.strip_prefix("error: "));
        Ok(error.unwrap_or(last).to_owned())
    }
}

impl Evaluate {
    /// As `multivae evaluate` takes it.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut list = vec!["--metrics".to_owned(), self.metrics.join(",")];
        let numbers = [
            ("--rows", self.rows),
            ("--samples", self.samples),
            ("--likelihood-rows", self.likelihood_rows),
        ];
        for (name, number) in numbers {
            list.extend(number.into_iter().flat_map(|n| [name.to_owned(), n.to_string()]));
        }
        if !self.likelihoods.is_empty() {
            list.extend(["--likelihoods".to_owned(), self.likelihoods.join(",")]);
        }
        list
    }
}

/// What classifiers are trained on: the data of a run, as it was before anything was taken from it.
pub(crate) fn data_of(point: &Point) -> Value {
    let mut data = point.config.get("data").cloned().unwrap_or(Value::Table(Table::new()));
    if let Value::Table(data) = &mut data {
        data.remove("missing");
    }
    data
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value)?;
    Ok(files::write_whole(path, |file| file.write_all(text.as_bytes()))?)
}

/// The most memory that a process has held so far, in bytes, where the system tells it of a process
/// that runs.
fn most_memory(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The seconds that all threads of a process have worked so far, where the system tells it of a
/// process that runs.
fn processor_seconds(child: &Child) -> Option<f64> {
    /// Of the clock in which Linux tells it to programs, whatever its own.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
    // The name of the program, in parentheses, can hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}
