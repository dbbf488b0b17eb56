//! Ranks that are processes, joined by MPI, which must be there: `cargo xtask mpi` runs these.

use std::{
    env, fs,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use multivae::train::{Collective, TrainError, join};

use crate::{
    every_model::{cases, distance, fit, model, rate_and_most},
    place::{Place, error},
    shares::weights,
};

/// As many processes as there are, whatever the number of cores, also for the user of a container.
const MPIRUN: &[&str] = &["--oversubscribe", "--allow-run-as-root", "--bind-to", "none"];

/// Sums of so many values, a hundred times after ten to warm up: seconds for each.
fn seconds_of_sum(ranks: &dyn Collective, values: usize) -> f64 {
    let mut values = vec![1.0f32; values];
    let mut sums = |times: usize| {
        let start = Instant::now();
        for _ in 0..times {
            values.fill(1.0);
            ranks.sum(&mut values).expect("all are there");
        }
        start.elapsed().as_secs_f64() / times as f64
    };
    sums(3);
    sums(20)
}

/// One of the processes where `mpirun -n N` has started it, and otherwise what starts them. MPI is
/// joined once in a process, so that this is one test.
#[test]
fn processes_make_the_steps_of_one() {
    let ranks = join().expect("a launcher and its MPI, or neither");
    if !ranks.is_several() {
        for ranks in ["2", "4"] {
            let own = env::current_exe().expect("this program");
            let status = Command::new("mpirun")
                .args(MPIRUN)
                .args(["-n", ranks])
                .arg(own)
                .args(["--exact", "mpi::processes_make_the_steps_of_one", "--nocapture"])
                .env("RAYON_NUM_THREADS", "1")
                .status();
            assert!(status.expect("mpirun starts").success(), "{ranks} ranks");
        }
        return;
    }
    let say = |line: String| {
        if ranks.is_first() {
            println!("{line}");
        }
    };
    let folder = tempfile::tempdir().expect("a folder");
    for (i, (name, options)) in cases().into_iter().enumerate() {
        let model = model(name, &options, 5);
        let alone = ranks.is_first().then(|| {
            let alone = fit(&model, name, 1, None, &folder.path().join(format!("{i}-alone")));
            weights(&alone.unwrap_or_else(|error| panic!("{name}: {error}")).last)
        });
        let own = folder.path().join(i.to_string());
        match fit(&model, name, 1, Some(Arc::clone(&ranks)), &own) {
            Ok(fitted) => {
                assert_eq!(own.exists(), ranks.is_first(), "{name}: the first rank writes");
                let off = alone.map_or(0.0, |one| distance(&one, &weights(&fitted.last)));
                say(format!("{name}: weights differ by {off:.1e} at most"));
                assert!(off <= rate_and_most(name).1, "{name}: {off}");
            }
            Err(TrainError::Config { .. } | TrainError::Rank { .. }) => {
                say(format!("{name}: refused, since it needs the rows of a batch all at once"));
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    for megabytes in [0.004, 0.1, 1.0, 10.0, 100.0] {
        let seconds = seconds_of_sum(&*ranks, (megabytes * 1e6 / 4.0) as usize);
        say(format!(
            "{} ranks, sum of {megabytes} MB: {:.3} ms, {:.3} ms per MB",
            ranks.ranks(),
            seconds * 1e3,
            seconds * 1e3 / megabytes
        ));
    }
}

/// The program on so many ranks.
fn mpirun(place: &Place, ranks: usize, arguments: &str) -> Command {
    let mut command = Command::new("mpirun");
    command
        .args(MPIRUN)
        .args(["-n", &ranks.to_string(), env!("CARGO_BIN_EXE_multivae")])
        .args(arguments.split_whitespace())
        .env("RAYON_NUM_THREADS", "1")
        .current_dir(place.path(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn on(place: &Place, ranks: usize, arguments: &str) -> Output {
    mpirun(place, ranks, arguments).output().expect("mpirun starts")
}

/// The processes that a process has started.
fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("Linux").filter_map(Result::ok);
    let numbers = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let of_parent = |process: &u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The name stands in brackets, and may hold anything.
        let rest = stat.rsplit(')').next().unwrap_or_default();
        rest.split_whitespace().nth(1) == Some(&parent.to_string())
    };
    let mut found: Vec<u32> = numbers.filter(of_parent).collect();
    found.sort_unstable();
    found
}

fn wait_for_lines(place: &Place, lines: usize, child: &mut Child) {
    let start = Instant::now();
    let file = place.path("run/metrics.jsonl");
    while fs::read_to_string(&file).map_or(0, |text| text.lines().count()) < lines {
        assert!(child.try_wait().expect("a child").is_none(), "the run has ended");
        assert!(start.elapsed() < Duration::from_secs(120), "there are no {lines} lines");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_rank_that_dies_ends_the_run_which_goes_on_with_another_number() {
    let unbroken = Place::new();
    let train = "train --config small.toml --epochs 60 --out run";
    unbroken.succeeds(train);

    let place = Place::new();
    let mut child = mpirun(&place, 3, train).spawn().expect("mpirun starts");
    wait_for_lines(&place, 20, &mut child);
    let ranks = children(child.id());
    assert_eq!(ranks.len(), 3, "{ranks:?}");
    let kill = Command::new("kill").args(["-KILL", &ranks[1].to_string()]).status();
    assert!(kill.expect("the command is there").success());
    let start = Instant::now();
    let output = child.wait_with_output().expect("a child");
    let message = error(&output);
    println!(
        "killed, after {:.1} s with {:?}:\n{message}",
        start.elapsed().as_secs_f64(),
        output.status.code()
    );
    assert!(!output.status.success());
    assert!(message.contains("signal 9 (Killed)"), "{message}");

    let output = on(&place, 2, "train --resume run");
    let message = error(&output);
    assert!(output.status.success(), "{message}");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("epoch 60/60") && text.contains("`run`: 60 epochs"), "{text}");
    assert_eq!(text.matches("epoch 60/60").count(), 1, "one rank prints\n{text}");
    let losses = |place: &Place| -> Vec<f64> {
        let text = fs::read_to_string(place.path("run/metrics.jsonl")).expect("a history");
        let loss = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            line["terms"]["loss"].as_f64().expect("a number")
        };
        text.lines().map(loss).collect()
    };
    let (one, several) = (losses(&unbroken), losses(&place));
    assert_eq!(one.len(), several.len());
    let off = one.iter().zip(&several).map(|(a, b)| (a - b).abs() / a.abs()).fold(0.0, f64::max);
    println!("losses of 60 epochs on 3 and 2 ranks, and on one: {off:.1e} apart, relative");
    assert!(off < 1e-4, "{off}");
    // One process goes on with it, too.
    place.succeeds("train --resume run --epochs 61");
}

#[test]
fn what_is_wrong_is_told_once_and_nothing_is_written() {
    let place = Place::new();
    place.file("sweep.toml", "[grid]\ntrain.seed = [0, 1]\n");
    let before = place.content();
    for (arguments, expected) in [
        ("train --config small.toml --data nowhere --out run", "nowhere"),
        ("train --config small.toml --devices flex,flex --out run", "the run has 3 ranks"),
        ("train --model dcca_ey --data data --out run", "`ranks`: expected 1"),
        ("sweep sweep.toml", "`processes`: expected one, for this task"),
    ] {
        let output = on(&place, 3, arguments);
        let message = error(&output);
        println!("{arguments}: {:?}\n{message}", output.status.code());
        assert!(!output.status.success());
        assert!(message.contains(expected), "{arguments}: {message}");
        if arguments.starts_with("train") {
            assert_eq!(message.matches("error: ").count(), 1, "{arguments}: {message}");
        }
        assert_eq!(place.content(), before, "{arguments}");
    }
}
