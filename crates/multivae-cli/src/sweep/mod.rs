//! `multivae sweep`: many runs of one file.
//!
//! `plan.rs` is the file and the runs that it asks for, `point.rs` one of them with its folder and
//! its processes, `results.rs` the tables and the page.

mod plan;
mod point;
mod results;

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context, Result};
use multivae::train::check_single;

use self::{
    plan::Plan,
    point::{Place, State, Work, data_of},
};
use crate::{
    arguments::SweepArguments,
    failure::{Outcome, bad_input},
    terminal::{self, print_err, print_out},
};

/// The variable that says how many threads a process has.
const THREADS: &str = "RAYON_NUM_THREADS";

/// Does what is left of a sweep, and writes its tables.
pub(crate) fn run(arguments: &SweepArguments) -> Result<Outcome> {
    let plan = Plan::read(&arguments.sweep)?;
    let out = arguments.out.clone().unwrap_or_else(|| default_folder(&arguments.sweep));
    let places: Vec<Place> = plan.points.iter().map(|point| Place::new(&out, point)).collect();
    if arguments.list {
        for (i, point) in plan.points.iter().enumerate() {
            print_out(format!("{}  {}", i + 1, point.name))?;
        }
        return Ok(Outcome::Done);
    }
    if let Some(path) = &arguments.slurm {
        results::slurm(path, &arguments.sweep, &out, places.len())?;
        print_out(path.display())?;
        return Ok(Outcome::Done);
    }
    let chosen: Vec<&Place> = match arguments.only {
        None => places.iter().collect(),
        Some(k) => vec![places.get(k - 1).ok_or_else(|| {
            bad_input(format!("`--only`: expected at most {}, found {k}", places.len()))
        })?],
    };
    // Before anything is done. Processes of the runs would take each other for ranks.
    check_single()?;
    chosen.iter().try_for_each(|place| place.check())?;
    let mut interrupted = false;
    if !arguments.collect {
        let own = std::env::var_os(THREADS).is_some();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let work = Work {
            program: std::env::current_exe().context("the program does not know its own path")?,
            threads: (arguments.jobs > 1 && !own).then(|| (cores / arguments.jobs).max(1)),
            device: arguments.device.as_deref(),
            limits: &plan.limits,
            evaluate: &plan.evaluate,
            retry: arguments.retry,
            interrupt: terminal::interrupt()?,
        };
        all(&chosen, &work, arguments.jobs)?;
        interrupted = work.interrupt.is_stopped();
    }
    if arguments.only.is_none() {
        let results = results::read(&plan, &places)?;
        results.save(&out)?;
        print_out(results.text())?;
        print_out(format!("\n{}: {}", out.display(), results.progress()))?;
    }
    if interrupted {
        print_err("interrupted; the same command goes on");
        return Ok(Outcome::Interrupted);
    }
    Ok(Outcome::Done)
}

/// The folder of a sweep that is not told where to go.
fn default_folder(sweep: &Path) -> PathBuf {
    Path::new("runs").join(sweep.file_stem().unwrap_or(sweep.as_os_str()))
}

/// Does all runs, several at a time, each when one before it has ended.
fn all(places: &[&Place], work: &Work, jobs: usize) -> Result<()> {
    let next = AtomicUsize::new(0);
    let mut keys = Vec::new();
    let by_data: Vec<usize> = places
        .iter()
        .map(|place| {
            let data = data_of(place.point);
            keys.iter().position(|known| *known == data).unwrap_or_else(|| {
                keys.push(data);
                keys.len() - 1
            })
        })
        .collect();
    // Whether somebody has measured on the data, and so trained classifiers if it has classes.
    let tried: Vec<Mutex<bool>> = keys.iter().map(|_| Mutex::new(false)).collect();
    let shared = |i: usize| {
        let mut same = places.iter().zip(&by_data).filter(|(_, data)| **data == by_data[i]);
        same.find_map(|(place, _)| place.classifiers())
    };
    let job = || -> Result<()> {
        loop {
            let i = next.fetch_add(1, Ordering::SeqCst);
            let Some(place) = places.get(i) else { return Ok(()) };
            if work.interrupt.is_stopped() {
                return Ok(());
            }
            let known = || {
                let tried = tried[by_data[i]].lock().unwrap_or_else(PoisonError::into_inner);
                match shared(i) {
                    None if !*tried => (None, Some(tried)),
                    known => (known, None),
                }
            };
            let state = place.work(work, &known)?;
            let name = &place.point.name;
            match state {
                State::Done => print_err(&format!("{}/{}  {name}", i + 1, places.len())),
                State::Refused(why) => {
                    print_err(&format!("{}/{}  {name} refused: {why}", i + 1, places.len()));
                }
                State::Failed(why) => {
                    print_err(&format!("{}/{}  {name} failed: {why}", i + 1, places.len()));
                }
                State::Open => {}
            }
        }
    };
    thread::scope(|scope| {
        let jobs: Vec<_> = (0..jobs.min(places.len())).map(|_| scope.spawn(job)).collect();
        let ended = jobs.into_iter().map(|job| match job.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        ended.collect::<Result<Vec<()>>>().map(drop)
    })
}
