//! Classifiers of a run and of data.

use std::fs;

use multivae::{core::modality::ModalitySpec, metrics::load_classifiers, prelude::Device};

use crate::place::{Place, ROWS};

/// A place whose data has labels: the sign of what `blood` and `gait` begin with.
pub(crate) fn labelled() -> Place {
    let place = Place::new();
    let sign = |row: usize| if (row as f64 * 0.7).sin() > 0.0 { "high" } else { "low" };
    let rows: String = (0..ROWS).map(|row| format!("p{row},{}\n", sign(row))).collect();
    place.file("data/labels.csv", format!("id,label\n{rows}"));
    place
}

/// What the files of a folder hold.
fn files(place: &Place, folder: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(place.path(folder)).expect("the folder");
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(path).expect("a file"))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn classifiers_of_a_run_are_trained_once() {
    let place = labelled();
    place.succeeds("train --config small.toml --missing 0.4 --out run");
    let first = place.succeeds("classifier run --epochs 20");
    let lines: Vec<&str> = first.lines().collect();
    assert!(lines[0].starts_with("classifier  classes  rows"), "{first}");
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    // Of 40 rows 28 are for training, whatever was taken from them, and 3 of these are held out.
    assert_eq!(cells(lines[1])[..3], ["blood", "2", "25"], "{first}");
    assert_eq!(cells(lines[2])[..3], ["gait", "2", "25"], "{first}");
    let written = files(&place, "run/classifiers");
    let names: Vec<_> = written.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["blood.classifier", "gait.classifier"]);

    let file = place.path("run/classifiers/blood.classifier");
    let before = fs::metadata(&file).and_then(|data| data.modified()).expect("a time");
    assert_eq!(place.succeeds("classifier run --epochs 20"), first);
    let after = fs::metadata(&file).and_then(|data| data.modified()).expect("a time");
    assert_eq!(before, after);

    place.succeeds("classifier run --epochs 20 --seed 1");
    assert_ne!(files(&place, "run/classifiers"), written);
    assert!(place.left_over().is_empty());
}

#[test]
fn classifiers_of_data_go_where_they_are_told() {
    let place = labelled();
    place.succeeds("classifier --data data --out told --epochs 3");
    let spec = |name, features| ModalitySpec::new(name, &[features]).expect("valid");
    let specs = [spec("blood", 3), spec("gait", 2)];
    let read = load_classifiers(&place.path("told"), &specs, &Device::flex()).expect("whole");
    assert_eq!(read.map(|all| all.len()), Some(2));
    place.fails("classifier --data data --out told", 2, &["`told` exists and is not empty"]);
}

#[test]
fn data_without_labels_have_no_classifier() {
    let place = Place::new();
    place.fails("classifier --data data --out told", 2, &["labels of at least 2 classes"]);
    place.fails("classifier data", 2, &["`data` is not the folder of a run"]);
}
