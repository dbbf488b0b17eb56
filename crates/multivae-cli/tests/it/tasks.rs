//! What the tasks do when nothing is wrong.

use std::fs::{self, File};

use multivae::{
    metrics::Evaluation,
    models::ModelConfig,
    train::{History, Precision, Split},
};
use ndarray::{Array1, Array2, Array3};
use ndarray_npy::NpzReader;

use crate::place::{CONFIG, Place, ROWS, error, table, with_run};

fn npz(place: &Place, name: &str) -> NpzReader<File> {
    NpzReader::new(File::open(place.path(name)).expect("it was written")).expect("an NPZ")
}

#[test]
fn data_is_described_before_anything_is_trained_on_it() {
    let place = Place::new();
    place.file("mine/blood.csv", "patient,iron,zinc\np1,1.5,7\np2,,8\np3,2.5,9\n");
    place.file("mine/scan.csv", "patient,volume\np3,10\np1,30\np4,20\n");
    let text = place.succeeds("data mine");
    for expected in ["4 rows", "iron", "volume", "patient"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let text = place.succeeds("data mine --json");
    let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(found["rows"], 4);
    assert_eq!(found["modalities"][0]["columns"][0]["missing"], 1);
    assert!(place.succeeds("data").contains("mfeat"));
}

/// The loss of validation of the last epoch of a run.
fn last_valid_loss(place: &Place, run: &str) -> f64 {
    let history = History::read(&place.path(run).join("metrics.jsonl")).expect("it was written");
    history.get(2, Split::Valid, "loss").expect("every epoch is validated")
}

#[test]
fn steps_of_bf16_are_near_those_of_f32_or_are_said_to_be_those() {
    let place = Place::new();
    let run = |name: &str, more: &str| {
        let output = place.run(&format!("train --config small.toml --out {name} {more}"));
        assert!(output.status.success(), "{}", error(&output));
        error(&output) + &String::from_utf8(output.stdout).expect("text")
    };
    let said = [run("full", ""), run("half", "--set train.precision=bf16")];
    let [full, half] = ["full", "half"].map(|name| last_valid_loss(&place, name));
    let note = said.map(|said| said.contains("has no products of such numbers"));
    let available = Precision::Bf16.is_on(&multivae::device::open(None).expect("a device"));
    assert_eq!(note, [false, !available]);
    assert_eq!(half != full, available, "{half} {full}");
    assert!((half - full).abs() < 0.02 * full.abs(), "{half} {full}");
    place.fails("train --config small.toml --out third --set train.precision=f16", 2, &["bf16"]);
}

#[test]
fn a_run_has_its_files_and_prints_a_line_an_epoch() {
    let place = Place::new();
    let text = place.succeeds("train --config small.toml --out run");
    assert_eq!(text.lines().filter(|line| line.starts_with("epoch ")).count(), 2, "{text}");
    let names = [
        "run.toml",
        "standardisation.json",
        "data.json",
        "metrics.jsonl",
        "checkpoints/epoch-2.ckpt",
        "bundle/SHA256SUMS",
        "bundle/config.json",
        "bundle/schema.json",
        "bundle/model.safetensors",
        "bundle/README.md",
    ];
    for name in names {
        assert!(place.path("run").join(name).is_file(), "{name}");
    }
    assert!(place.left_over().is_empty());
}

#[test]
fn json_is_one_object_an_epoch_and_nothing_else() {
    let place = Place::new();
    let text = place.succeeds("train --config small.toml --json --out run");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["epoch"], 2);
    assert!(lines[1]["train"]["loss"].is_f64() && lines[1]["valid"]["loss"].is_f64(), "{text}");
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let history = |seed: u64| {
        let place = Place::new();
        place.succeeds(&format!("train --config small.toml --seed {seed} --out run"));
        fs::read_to_string(place.path("run/metrics.jsonl")).expect("a history")
    };
    assert_eq!(history(1), history(1));
    assert_ne!(history(1), history(2));
}

#[test]
fn every_model_trains_with_missing_modalities() {
    let place = Place::new();
    for name in ModelConfig::NAMES {
        // Stages need an epoch each.
        let defaults = place.succeeds(&format!("config {name}"));
        let stages =
            if defaults.contains("joint_epochs") { " --set model.joint_epochs=1" } else { "" };
        let train = format!(
            "train --model {name} --data data --missing 0.4 --epochs 2{stages} \
             --set model.latent=2 --out {name}"
        );
        if JOINT.contains(name) {
            place.fails(&train, 2, &["rows lack one", "complete_cases"]);
            place.succeeds(&match WHOLE.contains(name) {
                // What is complete of these rows is too little for a covariance.
                true => train.replace("--missing 0.4", "").replace("latent=2", "latent=1"),
                false => format!("{train} --set data.missing.pattern=complete_cases"),
            });
        } else {
            place.succeeds(&train);
        }
        if DENSITYLESS.contains(name) {
            place.fails(&format!("evaluate {name}"), 2, &["has no density"]);
            place.succeeds(&format!("encode {name} --out {name}.npz"));
        } else {
            place.succeeds(&format!("evaluate {name}"));
        }
    }
}

/// Models that learn from complete rows only.
const JOINT: &[&str] = &["jmvae", "telbo", "jnf", "cvae", "dccae", "dcca_ey"];

/// Models whose objective is one of a whole batch.
const WHOLE: &[&str] = &["dccae", "dcca_ey"];

/// Models without a bound of a likelihood.
const DENSITYLESS: &[&str] =
    &["ae", "maae", "mwae", "joint_aae", "dccae", "dcca_ey", "mmvm", "sparse_mvae", "mld"];

#[test]
fn an_encoding_has_means_identifiers_and_presence() {
    let place = with_run();
    place.succeeds("encode run --out means.npz");
    let bytes = std::fs::read(place.path("means.npz")).expect("it was written");
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(holds(b"z.npy") && !holds(b"z.npy.npy"), "NumPy finds the array under `z`");
    let mut arrays = npz(&place, "means.npz");
    let names = arrays.names().expect("names");
    let about = ["z.columns", "multivae.task"];
    assert_eq!(names, [&["z", "ids", "modalities", "observed"][..], &about].concat());
    let z: Array2<f32> = arrays.by_name("z").expect("two axes");
    assert_eq!(z.dim(), (ROWS, 2));
    let observed: Array2<bool> = arrays.by_name("observed").expect("two axes");
    assert_eq!(observed.dim(), (ROWS, 2));
    assert!(observed.iter().all(|&observed| observed));
}

#[test]
fn samples_have_an_axis_of_their_own_and_do_not_depend_on_the_batch_size() {
    let place = with_run();
    place.succeeds("encode run -n 3 --given gait --out samples.npz");
    place.succeeds("encode run -n 3 --given gait --batch-size 7 --out again.npz");
    let z: Array3<f32> = npz(&place, "samples.npz").by_name("z").expect("three axes");
    let again: Array3<f32> = npz(&place, "again.npz").by_name("z").expect("three axes");
    assert_eq!(z.dim(), (3, ROWS, 2));
    let far = z.iter().zip(&again).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 1e-5, "{far}");
    assert!(z.iter().any(|&value| value != z[[0, 0, 0]]));
}

#[test]
fn data_that_lacks_a_modality_is_encoded_from_the_others() {
    let place = with_run();
    place.file("other/gait.csv", table(&["speed", "step"], 0..ROWS));
    place.succeeds("encode run --data other --out other.npz");
    place.succeeds("encode run --given gait --out given.npz");
    let z: Array2<f32> = npz(&place, "other.npz").by_name("z").expect("two axes");
    let given: Array2<f32> = npz(&place, "given.npz").by_name("z").expect("two axes");
    let far = z.iter().zip(&given).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 1e-5, "{far}");
    let output = place.run("encode run --data other --given blood --out none.npz");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("40 of 40 rows observe nothing of `blood`"), "{message}");
}

#[test]
fn generated_values_are_in_the_units_of_the_data() {
    let place = Place::new();
    // Far from zero and wide: standardised values would be near zero.
    let far = |column: usize| {
        let rows = (0..ROWS).map(|row| format!("p{row},{}", 5000 + 100 * ((row * column) % 7)));
        format!("id,value\n{}\n", rows.collect::<Vec<_>>().join("\n"))
    };
    place.file("far/a.csv", far(2)).file("far/b.csv", far(3));
    place.succeeds("train --data far --epochs 1 --set model.latent=2 --out run");
    place.succeeds("generate run --given a --target b -n 5 --out b.npz");
    let mut arrays = npz(&place, "b.npz");
    let b: Array2<f32> = arrays.by_name("b").expect("two axes");
    assert_eq!(b.dim(), (5, 1));
    assert!(b.iter().all(|&value| (4000.0..7000.0).contains(&value)), "{b}");
    let original: Array2<f32> = arrays.by_name("original_b").expect("two axes");
    assert!(original.iter().all(|&value| value % 100.0 < 0.01 || value % 100.0 > 99.99));
    place.succeeds("generate run --prior -n 4 --out prior.npz");
    let a: Array2<f32> = npz(&place, "prior.npz").by_name("a").expect("two axes");
    assert_eq!(a.dim(), (4, 1));
}

#[test]
fn images_are_drawn_while_training_and_generated_as_png() {
    let place = Place::new();
    place.succeeds(
        "train --data mnist-labels --model mvae --epochs 1 --set data.rows=60 \
         --set output.picture_rows=3 --out run",
    );
    let size = |name: &str| {
        let picture = image::open(place.path(name)).expect("a picture");
        (picture.width(), picture.height())
    };
    // Three columns; original, reconstruction, and from the label.
    assert_eq!(size("run/pictures/epoch-1.png"), (2 + 3 * 30, 2 + 3 * 30));
    place.succeeds("generate run --prior -n 4 --out prior.png");
    assert_eq!(size("prior.png"), (2 + 4 * 30, 2 + 30));
    place.succeeds("generate run --given label -n 4 --target image --out image.png");
    assert_eq!(size("image.png"), (2 + 4 * 30, 2 + 2 * 30));
    place.succeeds("encode run --out z.npz");
    let labels: Array1<i64> = npz(&place, "z.npz").by_name("labels").expect("one axis");
    assert_eq!(labels.len(), 60);
}

#[test]
fn the_main_job_ends_with_a_picture_and_its_coherence_beside_chance() {
    let place = Place::new();
    let text = place.succeeds("train --epochs 1 --set data.rows=200");
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    let [coherence, picture, run] = lines[..] else { panic!("{text}") };
    assert!(run.contains("`runs/mhvae-numerals`: 1 epochs"), "{text}");
    assert!(coherence.starts_with("coherence: generated from one modality, "), "{text}");
    assert!(coherence.contains(" on 40 test rows; by chance 10.0 %, real values "), "{text}");
    let (path, told) = picture.split_once(": ").expect("a path and what it shows");
    assert!(told.contains("framed images are given"), "{text}");
    let drawn = image::open(place.path(path)).expect("a picture");
    // A column a class; of each modality the given, and below it the two others.
    assert_eq!((drawn.width(), drawn.height()), (10 * 92, 9 * 92 + 2 * 10));
    // What is measured again is the same.
    place.succeeds("evaluate runs/mhvae-numerals --metrics coherence");
    let file = place.path("runs/mhvae-numerals/evaluation/metrics.json");
    let file = fs::read(file).expect("measures");
    let measures: serde_json::Value = serde_json::from_slice(&file).expect("JSON");
    let of = &measures["reports"]["coherence"]["sizes"][0]["accuracy"]["mean"];
    let share = of.as_f64().unwrap_or_else(|| panic!("{measures}"));
    let said = format!("generated from one modality, {:.1} % show", 100.0 * share);
    assert!(coherence.contains(&said), "{coherence}, but {said}");
}

#[test]
fn coherence_is_not_promised_for_data_without_labels() {
    let place = Place::new();
    let train = "train --config small.toml --set output.coherence=true --out run";
    place.fails(train, 2, &["`output.coherence`", "labels"]);
    assert!(!place.path("run").exists());
}

#[test]
fn an_evaluation_prints_tables_and_writes_json() {
    let place = with_run();
    let text = place.succeeds("evaluate run --out report");
    for part in ["elbo", "log p(blood | z)", "blood -> gait", "blood+gait -> blood"] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    let json = fs::read_to_string(place.path("report/metrics.json")).expect("a report");
    let evaluation: Evaluation = serde_json::from_str(&json).expect("an evaluation");
    assert_eq!(evaluation.rows, ROWS / 5);
    // Three given subsets, two targets.
    assert_eq!(evaluation.cross.len(), 6);
    place.file("other/gait.csv", table(&["speed", "step"], 0..5));
    let text = place.succeeds("evaluate run --data other");
    assert!(text.contains("gait -> gait") && !text.contains("-> blood"), "{text}");
}

#[test]
fn the_lists_name_what_can_be_given() {
    let place = Place::new();
    let models = place.succeeds("models");
    for name in ModelConfig::NAMES {
        assert!(models.lines().any(|line| line.starts_with(name)), "{models}");
    }
    let data = place.succeeds("data");
    assert!(data.contains("polydigits") && data.contains("numerals"), "{data}");
    assert!(place.succeeds("devices").lines().any(|line| line.starts_with("flex")));
}

#[test]
fn a_printed_configuration_can_be_trained() {
    let place = Place::new();
    let text = place.succeeds("config mvae").replace("\"numerals\"", "\"data\"");
    place.file("mvae.toml", text);
    place.succeeds("train --config mvae.toml --epochs 1 --out run");
    // So can what a run has stored.
    place.succeeds("train --config run/run.toml --epochs 1 --out again");
    let history = |run: &str| fs::read(place.path(run).join("metrics.jsonl")).expect("a history");
    assert_eq!(history("run"), history("again"));
}

#[test]
fn a_conditional_model_needs_its_conditions_and_generates_the_rest() {
    let place = Place::new();
    place.succeeds("train --model cvae --data data --epochs 1 --set model.latent=2 --out run");
    let needs = ["`cvae` generates from `blood`", "--given gait"];
    place.fails("encode run --given gait --out z.npz", 2, &needs);
    place.fails("generate run --given gait --out x.npz", 2, &needs);
    place.fails("generate run --prior --out x.npz", 2, &["--prior", "`blood`", "--given"]);
    let only = ["`--target blood`", "`cvae` generates `gait` only"];
    place.fails("generate run --given blood --target blood --out x.npz", 2, &only);

    place.succeeds("encode run --given blood --out z.npz");
    place.succeeds("generate run --given blood -n 3 --out x.npz");
    let names = npz(&place, "x.npz").names().expect("names");
    assert!(names.contains(&"gait".to_owned()) && !names.contains(&"blood".to_owned()));
    let text = place.succeeds("evaluate run");
    for part in ["log p(gait | z)", "blood -> gait", "blood+gait -> gait"] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    assert!(!text.contains("-> blood") && !text.contains("\ngait ->"), "{text}");

    place.file("other/gait.csv", table(&["speed", "step"], 0..ROWS));
    place.fails("evaluate run --data other", 2, &["no row observes `blood`"]);
    let output = place.run("encode run --data other --out other.npz");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("40 of 40 rows lack something of `blood`"), "{message}");
}

#[test]
fn pictures_of_a_conditional_model_are_of_what_it_generates() {
    let place = Place::new();
    let size = |name: &str| {
        let picture = image::open(place.path(name)).expect("a picture");
        (picture.width(), picture.height())
    };
    let train = "train --data mnist-labels --model cvae --epochs 1 --set data.rows=60 \
                 --set output.picture_rows=3";
    let text = place.succeeds(&format!("{train} --set model.main=image --out image"));
    assert!(text.contains("generated.png: test rows; generated from label alone"), "{text}");
    // A column a class, and no image that is given.
    assert_eq!(size("image/pictures/generated.png").1, 92);
    // Three columns; original, reconstruction, and from the label.
    assert_eq!(size("image/pictures/epoch-1.png"), (2 + 3 * 30, 2 + 3 * 30));
    let text = place.succeeds(&format!("{train} --set model.main=label --out label"));
    assert!(!text.contains("generated.png"), "{text}");
    // The originals alone: an image that is given is not generated.
    assert_eq!(size("label/pictures/epoch-1.png"), (2 + 3 * 30, 2 + 30));
    let none = ["generates no images", "`.npz`"];
    place.fails("generate label --given image --out x.png", 2, &none);
}

/// Words of the names of modalities, columns and classes that `data` says of a source.
fn described(place: &Place, source: &str) -> serde_json::Value {
    serde_json::from_str(&place.succeeds(&format!("data {source} --json"))).expect("JSON")
}

fn columns(described: &serde_json::Value, modality: usize) -> Vec<&str> {
    let columns = described["modalities"][modality]["columns"].as_array().expect("a table");
    columns.iter().map(|column| column["name"].as_str().expect("a name")).collect()
}

#[test]
fn what_is_written_has_names_and_is_read_as_data() {
    let place = with_run();
    // Classes with names, and rows without one.
    let labels = (0..ROWS)
        .step_by(2)
        .map(|row| format!("p{row},{}\n", ["ill", "well, so far"][row / 2 % 2]));
    let labels: String = labels
        .map(|line| match line.split_once(',') {
            Some((id, class)) => format!("{id},\"{}\"\n", class.trim()),
            None => line,
        })
        .collect();
    place.file("new/blood.csv", table(&["salt", "iron", "sugar"], 0..ROWS));
    place.file("new/gait.csv", table(&["speed", "step"], 0..ROWS));
    place.file("new/labels.csv", format!("id,state\n{labels}"));
    for out in ["z.npz", "z.csv", "z"] {
        place.succeeds(&format!("encode run --data new --out {out}"));
    }
    place.file("alone/z.csv", fs::read(place.path("z.csv")).expect("it was written"));
    for source in ["z.npz", "alone", "z"] {
        let found = described(&place, source);
        assert_eq!((&found["rows"], columns(&found, 0)), (&ROWS.into(), vec!["z_0", "z_1"]));
        let expected = serde_json::json!([["ill", 10], ["well, so far", 10]]);
        match source {
            "alone" => assert!(found["labels"].is_null()),
            _ => assert_eq!(found["labels"]["classes"], expected, "{source}"),
        }
        let run = format!("of_{}", source.replace('.', "_"));
        let train = format!("train --data {source} --model mvae --epochs 1 --out {run}");
        place.succeeds(&train);
    }
    for out in ["g.npz", "g"] {
        place.succeeds(&format!("generate run --data new --given gait -n 100 --out {out}"));
        let found = described(&place, out);
        assert_eq!(
            (&found["rows"], found["modalities"].as_array().map(Vec::len)),
            (&ROWS.into(), Some(2))
        );
        assert_eq!(columns(&found, 0), ["iron", "sugar", "salt"], "as in the training");
        place.succeeds(&format!("encode run --data {out} --out of_{out}_again.npz"));
    }
    let original = fs::read_to_string(place.path("g/gait.original.csv")).expect("what was given");
    assert!(original.starts_with("id,speed,step\np0,"), "{original}");
    // One modality is one table; several are not.
    place.succeeds("generate run --data new --given gait --target blood --out blood.csv");
    let text = fs::read_to_string(place.path("blood.csv")).expect("a table");
    assert!(text.starts_with("id,iron,sugar,salt\np0,"), "{text}");
    place.fails("generate run --given gait --out both.csv", 2, &["`blood`, `gait` are several"]);
    place.fails("encode run -n 3 --out z3.csv", 2, &["z3.csv", "`.npz`"]);
    place.fails("encode run --out new", 2, &["`new` exists"]);
    place.succeeds("generate run --prior -n 4 --out prior");
    assert_eq!(described(&place, "prior")["rows"], 4);
}

#[test]
fn further_codes_and_conversions_are_kept_with_the_run() {
    let place = Place::new();
    let coded = |rows| table(&["iron", "sugar", "salt"], rows).replace("p3,", "p3,-999,LOD,");
    let coded = |rows| {
        let text: String = coded(rows);
        let cut = |line: &str| line.split(',').take(4).collect::<Vec<_>>().join(",") + "\n";
        text.lines().map(cut).collect::<String>()
    };
    place.file("mine/blood.csv", coded(0..ROWS));
    place.file("mine/gait.csv", table(&["speed", "step"], 0..ROWS));
    place.fails("train --data mine --out run", 2, &["found `LOD`"]);
    let found = place.succeeds("data mine --missing-codes=-999,LOD");
    assert!(found.contains("2 values are missing in 1 of these rows"), "{found}");
    place.succeeds("train --data mine --missing-codes -999,LOD --epochs 1 --out run");
    place.succeeds("evaluate run");
    place.file("new/blood.csv", coded(0..6));
    for run in ["run", "run/bundle"] {
        place.succeeds(&format!("encode {run} --data new --out z.npz"));
    }
}

#[test]
fn data_that_was_moved_is_named_and_checked() {
    let place = Place::new();
    place.succeeds("train --config small.toml --out run");
    fs::rename(place.path("data"), place.path("elsewhere")).expect("it can be moved");
    for task in ["encode run --out z.npz", "evaluate run", "train --resume run --epochs 3"] {
        place.fails(task, 2, &["is not at", "any more", "--resume RUN --data PATH"]);
    }
    place.succeeds("encode run --data elsewhere --out z.npz");
    place.file("other/blood.csv", table(&["iron", "sugar", "salt"], 1..ROWS));
    place.file("other/gait.csv", table(&["speed", "step"], 1..ROWS));
    place.fails("train --resume run --data other", 2, &["has changed since the run began"]);
    let text = place.succeeds("train --resume run --data elsewhere --epochs 3");
    assert!(text.contains("epoch 3/3"), "{text}");
    place.succeeds("evaluate run");
    let output = place.run("evaluate run --data elsewhere");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        message.contains("28 of these 40 rows are those that the run was trained on"),
        "{message}"
    );
}

#[test]
fn runs_on_different_data_are_compared_with_a_warning() {
    let place = with_run();
    place.file("other/blood.csv", table(&["iron", "sugar", "salt"], 1..ROWS + 1));
    place.file("other/gait.csv", table(&["speed", "step"], 1..ROWS + 1));
    place.succeeds("train --config small.toml --data other --out second");
    for run in ["run", "second"] {
        place.succeeds(&format!("evaluate {run} --metrics evaluation"));
    }
    let said = |arguments: &str| {
        let output = place.run(arguments);
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let warned = said("compare run second --out both");
    assert!(warned.contains("measured on different rows"), "{warned}");
    assert!(warned.contains("trained on different data"), "{warned}");
    let page = fs::read_to_string(place.path("both/report.html")).expect("a page");
    assert!(page.contains("measured on different rows"));
    assert_eq!(said("compare run run"), "");
}

#[test]
fn how_many_rows_are_generated_from_is_said() {
    let place = with_run();
    place.file("part/blood.csv", table(&["iron", "sugar", "salt"], 0..30));
    place.file("part/gait.csv", table(&["speed", "step"], 20..ROWS));
    let said = |n: usize| {
        let output =
            place.run(&format!("generate run --data part --given gait -n {n} --out g{n}.npz"));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let few = said(5);
    assert!(
        few.contains("5 of 20 rows that observe `gait`; `-n` takes more; 20 others lack something"),
        "{few}"
    );
    assert!(
        said(100).contains("20 of 20 rows that observe `gait`; 20 others lack something of it\n")
    );
}

#[test]
fn batch_normalisation_stays_finite_in_steps_of_one_row_and_without_a_modality() {
    let place = Place::new();
    let norm = r#"encoder = { kind = "branches", shared = { trunk = [
        { kind = "linear", outputs = 8 }, { kind = "batch_norm" } ] } }"#;
    let config = CONFIG.replacen("encoder = { kind = \"mlp\", hidden = [8] }", norm, 1);
    place.file("norm.toml", config);
    for (size, more) in [(1, ""), (27, ""), (14, " --missing 0.4")] {
        let train = format!("train --config norm.toml --batch-size {size}{more} --json");
        let text = place.succeeds(&format!("{train} --out run{size}"));
        let last: serde_json::Value =
            serde_json::from_str(text.lines().last().expect("an epoch")).expect("JSON");
        let loss = last["valid"]["loss"].as_f64().expect("a number");
        assert!(loss < 100.0, "{size}: {loss}");
    }
}

#[test]
fn a_run_without_test_rows_ends_as_others_do() {
    let place = Place::new();
    let train = "train --config small.toml --set data.split.test=0.0 --out run";
    let text = place.succeeds(train);
    assert!(text.contains("`run`: 2 epochs"), "{text}");
    let more = "train --epochs 1 --set data.rows=200 --set data.split.test=0.0 --out numerals";
    place.fails(more, 2, &["`output.coherence`: expected data with labels", "the test rows"]);
}
