//! What is said of models that failed, and of data that is not as it was in training.

use std::fs;

use multivae::report::{Measures, Tone};

use crate::place::{Place, error, table};

/// A model that learns nothing: its steps are too small to move a weight.
const FROZEN: &str = "--set train.optimizer.learning_rate=1e-12";

#[test]
fn a_model_that_learned_nothing_is_not_praised() {
    let place = Place::new();
    // 16 rows to evaluate on, 10 for validation, which are too few to end with.
    let split = "--set data.split.test=0.4 --set data.split.valid=0.25";
    let text = place.succeeds(&format!("train --config small.toml {FROZEN} {split} --out run"));
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|line| line.starts_with("attention, checked on "));
    let start = start.unwrap_or_else(|| panic!("nothing is said: {text}"));
    let part = "14 training rows, against the mean of 14 training rows";
    assert!(lines[start].contains(part), "{part}: {text}");
    let said = lines[start + 1];
    assert!(said.contains("the mean of its training rows: a squared error of "), "{said}");
    // What the run was comes last, as always.
    assert!(lines[lines.len() - 1].contains("2 epochs"), "{text}");

    place.succeeds("evaluate run --metrics reconstruction,representation");
    let folder = place.path("run/evaluation");
    let measures = Measures::read(&folder.join("metrics.json")).expect("it was written");
    let first = &measures.findings[0];
    assert_eq!(first.tone, Tone::Attention);
    assert!(first.text.contains("the mean of its training rows"), "{first:?}");
    assert!(measures.findings.iter().all(|finding| finding.tone != Tone::Good));
    let explained = measures.entries.iter().filter(|entry| entry.measure == "explained");
    assert_eq!(explained.count(), 4);
    // The page says what the data holds, in the words of `multivae data`.
    let page = fs::read_to_string(folder.join("report.html")).expect("a page");
    let data = place.succeeds("data data --json");
    let data: serde_json::Value = serde_json::from_str(&data).expect("JSON");
    assert_eq!(measures.reports["data"]["modalities"], data["modalities"]);
    for part in ["id=\"data\"", "matched by identifiers", "Columns of blood", "iron"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains(&place.path("data").display().to_string()), "paths are not given away");
}

#[test]
fn encoders_read_masks_where_a_setting_says_so_and_the_run_keeps_it() {
    let place = Place::new();
    let rows = table(&["iron", "sugar", "salt"], 0..40).replace("p3,", "p3,NA,");
    // One cell of row 3 is missing: what moved behind is cut off.
    let rows: String = rows
        .lines()
        .map(|line| line.splitn(5, ',').take(4).collect::<Vec<_>>().join(",") + "\n")
        .collect();
    place.file("data/blood.csv", rows);
    place.succeeds("train --config small.toml --set observed_mask=true --out run");
    let config = fs::read_to_string(place.path("run/run.toml")).expect("it was written");
    assert_eq!(config.matches("observed_mask = true").count(), 3, "{config}");
    for task in ["encode run --out z.npz", "evaluate run", "export run --out bundle"] {
        place.succeeds(task);
    }
    place.succeeds("import bundle --out again");
    place.succeeds("encode again --data data --out y.npz");
    assert_eq!(
        fs::read(place.path("z.npz")).expect("written"),
        fs::read(place.path("y.npz")).expect("written")
    );
    place.fails(
        "train --config small.toml --set observed_mask=[\"bloods\"] --out other",
        2,
        &["observed_mask", "`bloods`"],
    );
    place.succeeds("train --config small.toml --set observed_mask=[\"blood\"] --out one");
    let config = fs::read_to_string(place.path("one/run.toml")).expect("it was written");
    assert_eq!(config.matches("observed_mask = true").count(), 1, "{config}");
}

#[test]
fn new_values_outside_of_the_training_are_said_by_row_and_column() {
    let flags = |last: &str| {
        let row = |i: usize| format!("p{i},{},{},0\n", i % 2, i / 2 % 2);
        format!("id,smokes,drinks,never\n{}{last}", (0..39).map(row).collect::<String>())
    };
    let place = Place::new();
    fs::remove_file(place.path("data/gait.csv")).expect("it was there");
    let wide = |last: &str| {
        let row = |i: usize| format!("p{i},{}.5,7\n", i % 5);
        format!("id,speed,silent\n{}{last}", (0..39).map(row).collect::<String>())
    };
    place.file("data/blood.csv", flags("p39,0,0,0\n"));
    place.file("data/gait.csv", wide("p39,1.5,7\n"));
    place.succeeds("train --config small.toml --out run");
    // A count where there were truth values.
    place.file("counts/blood.csv", flags("p39,0,3,0\n"));
    place.fails(
        "encode run --data counts --out z.npz",
        2,
        &["modality `blood`", "row `p39`", "bernoulli", "`3` in column `drinks`"],
    );
    // A column that was constant, and a value far outside.
    place.file("far/gait.csv", wide("p39,1e9,4000\n"));
    let output = place.run("encode run --data far --out far.npz");
    let message = error(&output);
    assert!(output.status.success(), "{message}");
    for part in ["column `silent`", "was 7 in all training rows", "4000 in row `p39`"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(message.contains("column `speed`") && message.contains("1000000000"), "{message}");
    // The influence is bounded: as much farther outside is the same.
    place.file("farther/gait.csv", wide("p39,1e15,4e9\n"));
    place.succeeds("encode run --data farther --out farther.npz");
    let bytes = |name: &str| fs::read(place.path(name)).expect("it was written");
    assert_eq!(bytes("far.npz"), bytes("farther.npz"));
}

#[test]
fn batches_of_one_row_and_missing_rows_train_under_batch_normalisation() {
    let place = Place::new();
    let encoder = |name: &str| {
        format!(
            "[[model.modalities]]\nname = \"{name}\"\n[model.modalities.encoder]\n\
             kind = \"branches\"\n[model.modalities.encoder.shared]\n\
             trunk = [{{ kind = \"linear\", outputs = 8 }}, {{ kind = \"batch_norm\" }}]\n"
        )
    };
    place.file(
        "norm.toml",
        format!(
            "[model]\nname = \"mopoe\"\nlatent = 2\n{}{}[data]\nsource = \"data\"\n[train]\n\
             epochs = 2\n",
            encoder("blood"),
            encoder("gait")
        ),
    );
    // 36 rows in batches of 35 leave one; the other run has batches of one row throughout.
    for (name, rows, more) in [
        ("last", 35, "--set data.split.valid=0.05 --set data.split.test=0.05"),
        ("one", 1, ""),
        ("missing", 8, "--missing 0.8"),
    ] {
        let text = place
            .succeeds(&format!("train --config norm.toml --batch-size {rows} {more} --out {name}"));
        let losses: Vec<f64> = text
            .lines()
            .filter(|line| line.starts_with("epoch "))
            .flat_map(|line| line.split_whitespace().filter_map(|word| word.parse::<f64>().ok()))
            .collect();
        assert!(losses.iter().all(|loss| loss.is_finite() && loss.abs() < 1e3), "{name}: {text}");
        place.succeeds(&format!("evaluate {name}"));
    }
}
