//! Sweeps: many runs of one file.

use std::{collections::BTreeMap, fs, process::Command, thread, time::Duration};

use crate::place::{Place, error};

/// Two models and a third that does not take incomplete rows, with two seeds each.
const SWEEP: &str = r#"
[base]
data.source = "mfeat"
data.rows = 120
data.missing = { pattern = "mcar", rate = 0.2 }
train = { epochs = 2, batch_size = 32 }
output.pictures_every = 0

[grid]
model.name = ["mvae", "jnf", "mopoe"]

[replicas]
train.seed = [0, 1]

[evaluate]
metrics = ["evaluation", "representation"]
rows = 20
"#;

fn place(text: &str) -> Place {
    let place = Place::new();
    fs::write(place.path("sweep.toml"), text).expect("writable");
    place
}

/// The rows of a table by the name of the run, and of each its cells by the head.
fn rows(place: &Place, name: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut table = csv::Reader::from_path(place.path(&format!("out/{name}"))).expect("a table");
    let row = |row: BTreeMap<String, String>| (row["run"].clone(), row);
    table.deserialize().map(|line| row(line.expect("a row"))).collect()
}

/// All numbers but those of time and memory, which differ from run to run.
fn measured(place: &Place) -> Vec<(String, String, String)> {
    let own = |run: String, row: BTreeMap<String, String>| {
        let row = row.into_iter().filter(|(measure, _)| !measure.starts_with("cost"));
        row.map(move |(measure, value)| (run.clone(), measure, value)).collect::<Vec<_>>()
    };
    rows(place, "runs.csv").into_iter().flat_map(|(run, row)| own(run, row)).collect()
}

#[test]
fn a_sweep_measures_every_run_says_what_was_refused_and_does_nothing_twice() {
    let place = place(SWEEP);
    let listed = place.succeeds("sweep sweep.toml --list");
    assert_eq!(listed.lines().count(), 6, "{listed}");
    assert!(listed.starts_with("1  mvae-seed=0\n2  mvae-seed=1\n"), "{listed}");
    let said = place.succeeds("sweep sweep.toml --out out --jobs 2");
    assert!(said.contains("out: 4 of 6 runs done, 2 refused"), "{said}");
    assert!(said.contains("jnf-seed=1 refused: `jnf` learns from rows with all"), "{said}");

    let runs = rows(&place, "runs.csv");
    assert_eq!(runs["mopoe-seed=1"]["state"], "done");
    assert_eq!(runs["mopoe-seed=1"]["train.seed"], "1");
    assert_eq!(runs["jnf-seed=0"]["state"], "refused");
    let elbo = "evaluation: Evidence lower bound";
    let value = |run: &str| runs[run][elbo].parse::<f64>().expect("a number");
    let groups = rows(&place, "groups.csv");
    let number = |key: &str| groups["mvae"][key].parse::<f64>().expect("a number");
    let (a, b) = (value("mvae-seed=0"), value("mvae-seed=1"));
    assert!((number(elbo) - (a + b) / 2.0).abs() < 1e-9 * a.abs());
    let error = number(&format!("{elbo}, standard error"));
    assert!((error - (a - b).abs() / 2.0).abs() < 1e-9 * a.abs(), "{error} of {a} and {b}");
    assert!(runs["mvae-seed=0"]["cost: Time of training"].parse::<f64>().expect("a time") > 0.0);
    assert!(
        fs::read_to_string(place.path("out/table.md")).expect("a table").contains("| mvae | 2/2 |")
    );
    assert!(place.path("out/report/report.html").is_file());

    // Asked for again, nothing is trained or measured again, and a run that is added is.
    let log = fs::read(place.path("out/points/mvae-seed=0/log.txt")).expect("a log");
    let before = measured(&place);
    fs::write(place.path("sweep.toml"), SWEEP.replace("\"mopoe\"]", "\"mopoe\", \"ae\"]"))
        .expect("writable");
    let said = place.succeeds("sweep sweep.toml --out out");
    assert!(said.contains("6 of 8 runs done, 2 refused"), "{said}");
    assert_eq!(fs::read(place.path("out/points/mvae-seed=0/log.txt")).expect("a log"), log);
    let after = measured(&place);
    assert!(before.iter().all(|cell| after.contains(cell)) && after.len() > before.len());

    // A model without a density has what it can have.
    let autoencoder = &rows(&place, "runs.csv")["ae-seed=0"];
    assert_eq!(autoencoder["state"], "done");
    assert!(autoencoder[elbo].is_empty(), "{autoencoder:?}");
    assert!(!autoencoder["representation: Linear probe, 1 given"].is_empty(), "{autoencoder:?}");

    // Other measures are taken of what is trained.
    let fewer = SWEEP.replace("rows = 20", "rows = 10");
    fs::write(place.path("sweep.toml"), fewer).expect("writable");
    place.succeeds("sweep sweep.toml --out out");
    let log = place.path("out/points/mvae-seed=0/log.txt");
    let log = fs::read_to_string(log).expect("a log");
    let commands = |name: &str| log.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!((commands("$ multivae train"), commands("$ multivae evaluate")), (1, 2), "{log}");

    // Other settings under the same names are another sweep.
    fs::write(place.path("sweep.toml"), SWEEP.replace("epochs = 2", "epochs = 3"))
        .expect("writable");
    place.fails("sweep sweep.toml --out out", 2, &["mvae-seed=0", "another sweep"]);
}

#[test]
fn models_without_a_density_or_a_shared_space_are_measured_as_far_as_it_goes() {
    let text = SWEEP
        .replace("data.missing = { pattern = \"mcar\", rate = 0.2 }\n", "")
        .replace("[\"mvae\", \"jnf\", \"mopoe\"]", "[\"dccae\", \"dcca_ey\", \"mmvm\", \"mld\"]")
        .replace("[0, 1]", "[0]")
        // Of the correlated ones all codes together have fewer features than a batch has rows.
        .replace("output.pictures_every = 0", "output.pictures_every = 0\nmodel.latent = 1")
        .replace("[\"evaluation\", \"representation\"]", "[\"all\"]");
    let place = place(&text);
    let said = place.succeeds("sweep sweep.toml --out out");
    assert!(said.contains("out: 4 of 4 runs done"), "{said}");
    for (run, row) in rows(&place, "runs.csv") {
        let probe = &row["representation: Linear probe, 1 given"];
        let right = probe.parse::<f64>().expect("a share");
        assert!((0.0..=1.0).contains(&right), "{run}: {probe}");
    }
}

#[test]
fn a_killed_sweep_goes_on_to_the_table_of_one_that_never_stopped() {
    let text = SWEEP.replace(", \"jnf\", \"mopoe\"]", "]").replace("epochs = 2", "epochs = 12");
    let (broken, whole) = (place(&text), place(&text));
    whole.succeeds("sweep sweep.toml --out out");
    let mut child = broken.start("sweep sweep.toml --out out");
    let history = broken.path("out/points/mvae-seed=0/run/metrics.jsonl");
    let lines = || fs::read_to_string(&history).map_or(0, |text| text.lines().count());
    while lines() < 6 {
        assert!(child.try_wait().expect("a child").is_none(), "the sweep has ended");
        thread::sleep(Duration::from_millis(5));
    }
    #[cfg(unix)]
    {
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(kill.expect("the command is there").success());
        let output = child.wait_with_output().expect("a child");
        assert_eq!(output.status.code(), Some(130), "{}", error(&output));
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(out.contains("0 of 2 runs done, 2 to go"), "{out}");
    }
    #[cfg(not(unix))]
    child.kill().expect("a child");
    broken.succeeds("sweep sweep.toml --out out");
    assert_eq!(measured(&broken), measured(&whole));
}

#[test]
fn time_ends_a_run_which_can_be_used_and_resumed() {
    let place = Place::new();
    let output = place.run("train --config small.toml --epochs 100000 --minutes 0.05 --out run");
    let message = error(&output);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("the time is over after "), "{message}");
    assert!(message.contains("--resume run"), "{message}");
    place.succeeds("encode run/bundle --data data --out z.npz");
    place.fails("train --config small.toml --minutes 0 --out other", 2, &["above 0"]);
}

#[test]
fn an_array_of_slurm_has_a_task_for_each_run() {
    let place = place(SWEEP);
    place.succeeds("sweep sweep.toml --out out --slurm array.sh");
    let script = fs::read_to_string(place.path("array.sh")).expect("a script");
    assert!(script.contains("#SBATCH --array=1-6\n"), "{script}");
    assert!(script.contains("--only \"$SLURM_ARRAY_TASK_ID\""), "{script}");
    place.succeeds("sweep sweep.toml --out out --only 2");
    assert!(place.path("out/points/mvae-seed=1/evaluation/metrics.json").is_file());
    let said = place.succeeds("sweep sweep.toml --out out --collect");
    assert!(said.contains("1 of 6 runs done, 5 to go"), "{said}");
    place.fails("sweep sweep.toml --out out --only 7", 2, &["expected at most 6, found 7"]);
}
