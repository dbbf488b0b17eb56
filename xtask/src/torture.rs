//! Runs and tasks that are killed, starved of disk or given cut files, and what becomes of them.
//!
//! Every run ends in the bits of one that nothing has happened to, or says clearly why it does not go
//! on; what a task writes is whole or absent. Moments, cuts and sizes of disks derive from a seed;
//! what a process has reached at a moment does not.

mod checkpoint;
mod disk;
mod place;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::place::{Ended, Place};
use crate::scratch::Scratch;

/// How often a run is killed before it is left to end, at most.
const PER_RUN: usize = 10;

/// What is asked of the task.
#[derive(Args)]
pub(crate) struct Options {
    /// Kills in total
    #[arg(long, value_name = "N", default_value_t = 300)]
    kills: usize,
    /// Disks that fill up, in total
    #[arg(long, value_name = "N", default_value_t = 40)]
    disks: usize,
    /// Bytes between two cuts of a checkpoint; 1 cuts it at every offset
    #[arg(long, value_name = "BYTES", default_value_t = 251)]
    stride: usize,
    /// What moments, cuts and sizes of disks derive from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Only kinds whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// The program; without it the one of this tree is built
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
}

/// A run that is trained.
#[derive(Clone, Copy)]
struct Training {
    kind: &'static str,
    /// The start of the model's table.
    model: &'static str,
    arguments: &'static str,
    /// What else happens to it.
    besides: Besides,
}

#[derive(Clone, Copy, PartialEq)]
enum Besides {
    Nothing,
    /// Some kills are interrupts, after which the best weights so far are written.
    Interrupts,
    /// Files have other times after each kill, as if the clock had been put.
    Clock,
    /// Pictures are drawn after each epoch.
    Pictures,
}

const ONE: &str = "name = \"mopoe\"\nlatent = 2";
const TWO: &str = "name = \"telbo\"\nlatent = 2\njoint_epochs = 12";
const ADVERSARIAL: &str = "name = \"joint_aae\"\nlatent = 2";

/// One model for each way to learn.
const TRAININGS: &[Training] = &[
    Training { kind: "one stage", model: ONE, arguments: "", besides: Besides::Nothing },
    Training { kind: "two stages", model: TWO, arguments: "", besides: Besides::Nothing },
    Training { kind: "adversarial", model: ADVERSARIAL, arguments: "", besides: Besides::Nothing },
    Training {
        kind: "one stage, two devices",
        model: ONE,
        arguments: "--devices flex,flex",
        besides: Besides::Nothing,
    },
    Training {
        kind: "adversarial, two devices",
        model: ADVERSARIAL,
        arguments: "--devices flex,flex",
        besides: Besides::Nothing,
    },
    Training { kind: "interrupts", model: TWO, arguments: "", besides: Besides::Interrupts },
    Training { kind: "clock jumps", model: ONE, arguments: "", besides: Besides::Clock },
    Training { kind: "pictures", model: ONE, arguments: "", besides: Besides::Pictures },
];

/// Tasks that write something: its name is the last argument.
const TASKS: &[(&str, &str)] = &[
    ("export", "export run --out bundle"),
    ("export, one file", "export run --format tar --out bundle.tar"),
    ("encode, NPZ", "encode run --data data --out z.npz"),
    ("encode, folder", "encode run --data data --out z"),
    ("impute", "impute run --data holes --samples 3 --out filled"),
    ("generate, folder", "generate run --prior -n 200 --out made"),
    ("data pack", "data pack data --out packed"),
];

/// What has become of a kind.
#[derive(Default)]
struct Count {
    /// What was done to it: kills, cuts, disks.
    done: usize,
    /// Runs and files that were compared.
    compared: usize,
    /// Unfinished files and folders beside them, which a killed process cannot remove.
    left: usize,
    failures: Vec<String>,
    time: Duration,
}

/// A generator whose numbers are those of its seed everywhere: SplitMix64.
pub(super) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number in `0..n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// A number in `[0, 1)`.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Everything of the task.
struct Torture<'a> {
    options: &'a Options,
    program: PathBuf,
    folder: PathBuf,
    counts: Vec<(String, Count)>,
}

/// Does it all, prints a line for each kind, and fails if one of them has not survived.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let program = match &options.program {
        Some(program) => fs::canonicalize(program)
            .with_context(|| format!("no program `{}`", program.display()))?,
        None => place::built()?,
    };
    let scratch = Scratch::new("torture")?;
    let folder = scratch.path().to_owned();
    let mut torture = Torture { options, program, folder, counts: Vec::new() };
    torture.all()?;
    println!("\n{}", table(&torture.counts));
    let failures = torture.counts.iter().flat_map(|(kind, count)| {
        count.failures.iter().map(move |failure| format!("{kind}: {failure}"))
    });
    let failures: Vec<String> = failures.collect();
    for failure in &failures {
        eprintln!("error: {failure}");
    }
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("what there was is in {}", scratch.path().display());
    // So that it can be looked at.
    std::mem::forget(scratch);
    Ok(ExitCode::FAILURE)
}

impl Torture<'_> {
    fn all(&mut self) -> Result<()> {
        let Options { kills, disks, .. } = *self.options;
        // Seven in ten kills are of runs.
        let runs: Vec<_> = TRAININGS.iter().filter(|run| self.wants(run.kind)).collect();
        let tasks: Vec<_> = TASKS.iter().filter(|(kind, _)| self.wants(kind)).collect();
        let of_tasks = match (runs.len(), tasks.len()) {
            (_, 0) => 0,
            (0, _) => kills,
            _ => kills * 3 / 10,
        };
        for (i, training) in runs.iter().enumerate() {
            let share = share(kills - of_tasks, runs.len(), i);
            self.kind(training.kind, |torture, count, random| {
                torture.train(**training, share, count, random)
            })?;
        }
        for (i, (kind, arguments)) in tasks.iter().enumerate() {
            let share = share(of_tasks, tasks.len(), i);
            self.kind(kind, |torture, count, random| {
                torture.task(arguments, share, count, random)
            })?;
        }
        self.kind("cut checkpoints", Self::cuts)?;
        let ways = disk::Way::all(&self.folder);
        let each = disks.div_ceil(2 * ways.len().max(1));
        for way in ways {
            self.kind(&format!("disk full, {way}, train"), |torture, count, random| {
                torture.full_training(way, each, count, random)
            })?;
            self.kind(&format!("disk full, {way}, tasks"), |torture, count, random| {
                torture.full_tasks(way, each, count, random)
            })?;
        }
        Ok(())
    }

    fn wants(&self, kind: &str) -> bool {
        self.options.only.as_ref().is_none_or(|only| kind.contains(only.as_str()))
    }

    /// Does what a kind is, in numbers of its own.
    fn kind(
        &mut self,
        kind: &str,
        work: impl FnOnce(&Self, &mut Count, &mut Random) -> Result<()>,
    ) -> Result<()> {
        if !self.wants(kind) {
            return Ok(());
        }
        let mut count = Count::default();
        let seed = kind
            .bytes()
            .fold(self.options.seed, |seed, byte| Random(seed ^ u64::from(byte)).next());
        let start = Instant::now();
        work(self, &mut count, &mut Random(seed)).with_context(|| kind.to_owned())?;
        count.time = start.elapsed();
        let Count { done, compared, failures, time, .. } = &count;
        let (failed, time) = (failures.len(), time.as_secs_f64());
        println!("{kind}: {done} done, {compared} compared, {failed} failed, {time:.1} s");
        self.counts.push((kind.to_owned(), count));
        Ok(())
    }

    fn place(&self, kind: &str) -> Result<Place> {
        let name: String =
            kind.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        Place::new(&self.folder.join(name), &self.program)
    }

    /// Kills runs, each several times, and lets each end.
    fn train(
        &self,
        training: Training,
        kills: usize,
        count: &mut Count,
        random: &mut Random,
    ) -> Result<()> {
        if kills == 0 {
            return Ok(());
        }
        let place = self.place(training.kind)?;
        match training.besides {
            Besides::Pictures => place.configure_images(training.model)?,
            _ => place.configure(training.model)?,
        }
        let start = format!("train --config small.toml {}", training.arguments);
        let begun = Instant::now();
        place.succeeds(&format!("{start} --out unbroken"))?;
        let whole = begun.elapsed();
        let unbroken = place.tree("unbroken")?;
        while count.done < kills {
            let name = format!("run-{}", count.compared);
            self.chain(&place, training, &start, &name, whole, kills, count, random)?;
            let found = place.tree(&name)?;
            count.compared += 1;
            if let Some(difference) = unbroken.unlike(&found) {
                count.failures.push(format!("`{name}`: {difference}"));
            } else {
                place.remove(&name)?;
            }
        }
        count.left = place.left_over()?;
        Ok(())
    }

    /// One run from its start to its end.
    #[expect(clippy::too_many_arguments, reason = "all of a kind")]
    fn chain(
        &self,
        place: &Place,
        training: Training,
        start: &str,
        name: &str,
        whole: Duration,
        kills: usize,
        count: &mut Count,
        random: &mut Random,
    ) -> Result<()> {
        let resumed = format!("train --resume {name} {}", training.arguments);
        let begin = format!("{start} --out {name}");
        let order = |place: &Place| if place.has(name) { &resumed } else { &begin }.clone();
        for _ in 0..PER_RUN {
            if count.done == kills {
                break;
            }
            let moment = whole.mul_f64(0.6 * random.unit());
            let interrupt = training.besides == Besides::Interrupts && random.below(2) == 0;
            let ended = match interrupt {
                true => place.interrupted(&order(place), moment)?,
                false => place.killed(&order(place), moment)?,
            };
            match ended {
                Ended::Killed => count.done += 1,
                Ended::Interrupted => {}
                // It was faster than the moment.
                Ended::Done => break,
                Ended::Failed(message) => {
                    count.failures.push(format!("`{name}` does not go on: {message}"));
                    return Ok(());
                }
            }
            if training.besides == Besides::Clock && place.has(name) {
                put_clock(&place.path(name), random)?;
            }
        }
        if let Err(error) = place.succeeds(&order(place)) {
            count.failures.push(format!("`{name}` does not end: {error:#}"));
        }
        Ok(())
    }

    /// A place with a finished run in `run`, and data with missing cells in `holes`.
    fn trained(&self, kind: &str) -> Result<Place> {
        let place = self.place(kind)?;
        place.configure(ONE)?;
        place.holes()?;
        place.succeeds("train --config small.toml --epochs 4 --out run")?;
        Ok(place)
    }

    /// Kills a task; what it writes is whole or absent, and the next try writes it.
    fn task(
        &self,
        arguments: &str,
        kills: usize,
        count: &mut Count,
        random: &mut Random,
    ) -> Result<()> {
        if kills == 0 {
            return Ok(());
        }
        let place = self.trained(arguments)?;
        let out = arguments.rsplit(' ').next().expect("the task has arguments");
        let begun = Instant::now();
        place.succeeds(arguments)?;
        let whole = begun.elapsed();
        let expected = place.tree(out)?;
        // A task may be faster than every moment.
        for _ in 0..20 * kills {
            if count.done == kills {
                break;
            }
            place.remove(out)?;
            let before = place.tree("run")?;
            match place.killed(arguments, whole.mul_f64(random.unit()))? {
                Ended::Killed => count.done += 1,
                Ended::Done | Ended::Interrupted => {}
                Ended::Failed(message) => {
                    count.failures.push(message);
                    continue;
                }
            }
            if let Some(difference) = before.unlike(&place.tree("run")?) {
                count.failures.push(format!("the run has changed: {difference}"));
            }
            let mut complain = |when: &str| -> Result<()> {
                if place.has(out) {
                    count.compared += 1;
                    if let Some(difference) = expected.unlike(&place.tree(out)?) {
                        count.failures.push(format!("{when}: {difference}"));
                    }
                }
                Ok(())
            };
            complain("killed")?;
            if !place.has(out) && random.below(4) == 0 {
                place.succeeds(arguments)?;
                ensure!(place.has(out), "`{arguments}` writes nothing");
                complain("again")?;
            }
        }
        count.left = place.left_over()?;
        Ok(())
    }

    /// Cuts and changes the newest checkpoint: no run goes on from it.
    fn cuts(&self, count: &mut Count, random: &mut Random) -> Result<()> {
        let place = self.place("cuts")?;
        place.configure("name = \"mopoe\"\nlatent = 1")?;
        let start = "train --config small.toml --set train.keep_last=3";
        place.succeeds(&format!("{start} --epochs 4 --out unbroken"))?;
        let unbroken = place.tree("unbroken")?;
        place.succeeds(&format!("{start} --epochs 3 --out run"))?;
        let newest = place.path("run/checkpoints/epoch-3.ckpt");
        let whole = fs::read(&newest).context("a checkpoint")?;
        let mut check = |bytes: &[u8], what: String, goes_on: bool| -> Result<()> {
            fs::write(&newest, bytes)?;
            count.done += 1;
            let before = place.tree("run")?;
            let refused = place.fails("train --resume run --epochs 4")?;
            match refused {
                None => count.failures.push(format!("{what}: the run goes on")),
                Some((code, message)) => {
                    for part in ["error: ", "epoch-3.ckpt", "epoch-2.ckpt"] {
                        if !message.contains(part) {
                            count.failures.push(format!("{what}: no `{part}` in {message}"));
                        }
                    }
                    if code == 101 || message.contains("panicked") {
                        count.failures.push(format!("{what}: {message}"));
                    }
                }
            }
            if let Some(difference) = before.unlike(&place.tree("run")?) {
                count.failures.push(format!("{what}: the run has changed: {difference}"));
            }
            if goes_on {
                // Without the broken file it goes on from the one before.
                place.copy("run", "again")?;
                fs::remove_file(place.path("again/checkpoints/epoch-3.ckpt"))?;
                place.succeeds("train --resume again --epochs 4")?;
                count.compared += 1;
                if let Some(difference) = unbroken.unlike(&place.tree("again")?) {
                    count.failures.push(format!("{what}, without it: {difference}"));
                }
                place.remove("again")?;
            }
            Ok(())
        };
        let mut offsets: Vec<usize> = (0..whole.len()).step_by(self.options.stride).collect();
        // Where its lines end and near its end.
        offsets.extend([1, 20, 84, 85, 86, whole.len() - 1, whole.len() - 2]);
        for (i, &offset) in offsets.iter().enumerate() {
            check(&whole[..offset], format!("cut at {offset} of {}", whole.len()), i % 50 == 0)?;
        }
        for _ in 0..offsets.len() / 4 {
            let (at, bit) = (random.below(whole.len()), random.below(8));
            // The version may be older, which is no damage.
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            check(&bytes, format!("bit {bit} of byte {at} changed"), false)?;
        }
        fs::write(&newest, &whole)?;
        place.succeeds("train --resume run --epochs 4")?;
        count.compared += 1;
        if let Some(difference) = unbroken.unlike(&place.tree("run")?) {
            count.failures.push(format!("intact again: {difference}"));
        }
        Ok(())
    }

    /// Trains where the room ends before the run does; with more room it goes on.
    fn full_training(
        &self,
        way: disk::Way,
        disks: usize,
        count: &mut Count,
        random: &mut Random,
    ) -> Result<()> {
        for i in 0..disks {
            let training = TRAININGS[i % 3];
            let place = self.place(&format!("{way} {}", training.kind))?;
            place.configure(training.model)?;
            let start = "train --config small.toml";
            if !place.has("unbroken") {
                place.succeeds(&format!("{start} --out unbroken"))?;
            }
            let unbroken = place.tree("unbroken")?;
            let disk = way.disk(&place, "disk", unbroken.room(way), random)?;
            count.done += 1;
            let ended = disk.run(&place, &format!("{start} --out disk/run"))?;
            let full = full_or_done(&ended, count);
            disk.grow()?;
            if place.has("disk/run") {
                place.succeeds("train --resume disk/run")?;
            } else {
                ensure!(full, "the run has ended, and is not there");
                place.succeeds(&format!("{start} --out disk/run"))?;
            }
            count.compared += 1;
            if let Some(difference) = unbroken.unlike(&place.tree("disk/run")?) {
                count.failures.push(difference);
            }
            disk.clear(&place)?;
        }
        Ok(())
    }

    /// Tasks where the room ends: what they write is whole or absent, and nothing is left.
    fn full_tasks(
        &self,
        way: disk::Way,
        disks: usize,
        count: &mut Count,
        random: &mut Random,
    ) -> Result<()> {
        let place = self.trained(&format!("{way} tasks"))?;
        let mut expected = BTreeMap::new();
        for i in 0..disks {
            let (_, arguments) = TASKS[i % TASKS.len()];
            let out = arguments.rsplit(' ').next().expect("the task has arguments");
            if !expected.contains_key(out) {
                place.succeeds(arguments)?;
                expected.insert(out, place.tree(out)?);
            }
            let whole = &expected[out];
            let there = format!("disk/{out}");
            let inside = arguments.replace(&format!("--out {out}"), &format!("--out {there}"));
            let disk = way.disk(&place, "disk", whole.room(way), random)?;
            count.done += 1;
            let ended = disk.run(&place, &inside)?;
            full_or_done(&ended, count);
            let left = place.tree("disk")?;
            if place.has(&there) {
                count.compared += 1;
                if let Some(difference) = whole.unlike(&place.tree(&there)?) {
                    count.failures.push(format!("{arguments}: {difference}"));
                }
            } else if !left.is_empty() {
                count.failures.push(format!("{arguments}: it leaves {left}"));
            }
            disk.clear(&place)?;
        }
        Ok(())
    }
}

/// Whether the disk was full, said clearly; anything else but success is a failure.
fn full_or_done(ended: &Ended, count: &mut Count) -> bool {
    match ended {
        Ended::Failed(message) => {
            let said = ["No space left", "File too large", "storage full"];
            if !said.iter().any(|part| message.contains(part)) || message.contains("panicked") {
                count.failures.push(format!("it does not say that the disk is full: {message}"));
            }
            true
        }
        Ended::Killed => {
            count.failures.push("it was killed by the limit".into());
            true
        }
        Ended::Done | Ended::Interrupted => false,
    }
}

/// Gives the files of a folder times of any year.
fn put_clock(folder: &Path, random: &mut Random) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            put_clock(&path, random)?;
            continue;
        }
        let years = 130 * 365 * 24 * 3600;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(random.below(years) as u64);
        fs::File::options().append(true).open(&path)?.set_modified(time)?;
    }
    Ok(())
}

/// The share of one of several kinds in a number.
fn share(total: usize, kinds: usize, kind: usize) -> usize {
    total * (kind + 1) / kinds - total * kind / kinds
}

fn table(counts: &[(String, Count)]) -> String {
    let mut text = format!(
        "{:<32} {:>6} {:>8} {:>6} {:>6} {:>8}\n",
        "kind", "done", "compared", "failed", "left", "s"
    );
    let line = |kind: &str, count: &Count, failed: usize| {
        let Count { done, compared, left, time, .. } = count;
        let time = time.as_secs_f64();
        format!("{kind:<32} {done:>6} {compared:>8} {failed:>6} {left:>6} {time:>8.1}\n")
    };
    let mut all = Count::default();
    let mut failed = 0;
    for (kind, count) in counts {
        text += &line(kind, count, count.failures.len());
        all.done += count.done;
        all.compared += count.compared;
        all.left += count.left;
        all.time += count.time;
        failed += count.failures.len();
    }
    text + line("all", &all, failed).trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for (total, kinds) in [(0, 3), (7, 3), (1000, 7), (2, 5)] {
            let sum: usize = (0..kinds).map(|kind| share(total, kinds, kind)).sum();
            assert_eq!(sum, total);
        }
    }

    #[test]
    fn numbers_are_those_of_the_seed_and_lie_in_their_range() {
        let draw = |seed| {
            let mut random = Random(seed);
            (0..100).map(|_| random.below(7)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!((0..7).all(|n| draw(1).contains(&n)) && draw(1).iter().all(|&n| n < 7));
        let mut random = Random(3);
        assert!((0..100).all(|_| (0.0..1.0).contains(&random.unit())));
    }

    #[test]
    fn the_table_counts_what_failed() {
        let failed = Count { done: 3, compared: 1, failures: vec!["a".into()], ..Count::default() };
        let text =
            table(&[("one".into(), Count { done: 2, ..Count::default() }), ("two".into(), failed)]);
        let last: Vec<&str> = text.lines().last().expect("a line").split_whitespace().collect();
        assert_eq!(last, ["all", "5", "1", "1", "0", "0.0"]);
    }

    #[test]
    fn a_full_disk_that_is_not_said_is_a_failure() {
        for (message, failures) in [
            ("error: `a` cannot be written: No space left on device (os error 28)", 0),
            ("error: something", 1),
            ("thread 'main' panicked: No space left on device", 1),
        ] {
            let mut count = Count::default();
            assert!(full_or_done(&Ended::Failed(message.into()), &mut count));
            assert_eq!(count.failures.len(), failures, "{message}");
        }
        let mut count = Count::default();
        assert!(!full_or_done(&Ended::Done, &mut count) && count.failures.is_empty());
    }
}
