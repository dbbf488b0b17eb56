//! Situations that people of the field report, as they are met on the command line. Those about
//! reading files are told in `multivae-data`.

use std::{
    fs,
    io::Cursor,
    process::{Command, Stdio},
};

use ndarray::{Array, Array2, Array4, Dimension, ShapeBuilder};
use ndarray_npy::{NpzReader, WriteNpyExt};

use crate::place::{Place, error, table, with_run};

fn npy<D: Dimension, S: ShapeBuilder<Dim = D>>(shape: S) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut next = 0;
    let mut value = || {
        next += 7;
        (next % 31) as f32 / 31.0
    };
    Array::<f32, D>::from_shape_simple_fn(shape, &mut value)
        .write_npy(&mut bytes)
        .expect("memory takes it");
    bytes.into_inner()
}

fn encoding(place: &Place, name: &str) -> Array2<f32> {
    let file = fs::File::open(place.path(name)).expect("it was written");
    NpzReader::new(file).expect("an NPZ").by_name("z").expect("two axes")
}

const SMALL: &str = "--set model.latent=2 --set output.pictures_every=0";

#[test]
fn a_last_batch_of_one_row_is_trained_on() {
    let place = Place::new();
    // 28 training rows.
    for name in ["mopoe", "mvtcae"] {
        let train = format!("train --model {name} --data data --epochs 1 --batch-size 27 {SMALL}");
        let text = place.succeeds(&format!("{train} --out {name}"));
        assert!(!text.to_lowercase().contains("nan"), "{text}");
    }
}

#[test]
fn a_class_of_one_row_is_measured_with_the_others() {
    let place = with_run();
    let class = |row: usize| ["a", "b"][row % 2].to_owned();
    let labels: String = (0..40)
        .map(|row| format!("p{row},{}\n", if row == 7 { "alone".into() } else { class(row) }))
        .collect();
    place.file("classes/blood.csv", table(&["iron", "sugar", "salt"], 0..40));
    place.file("classes/gait.csv", table(&["speed", "step"], 0..40));
    place.file("classes/labels.csv", format!("id,kind\n{labels}"));
    place.succeeds(&format!("train --data classes --epochs 1 {SMALL} --out classed"));
    let text = place.succeeds("evaluate classed --metrics representation,clustering");
    assert!(text.contains("Linear probe") && !text.contains("NaN"), "{text}");
}

#[test]
fn images_of_any_proportion_volumes_and_sequences_come_back_in_their_shape() {
    let place = Place::new();
    let pose: String = (0..20).map(|row| format!("{row}.5,{}.25\n", row % 3)).collect();
    for (name, file, expected) in [
        ("square", npy([20, 1, 13, 18]), vec![1, 13, 18]),
        ("volume", npy([20, 1, 4, 5, 6]), vec![1, 4, 5, 6]),
        ("scan", npy([20, 1, 9, 8, 11]), vec![1, 9, 8, 11]),
        ("steps", npy([20, 9, 5]), vec![9, 5]),
    ] {
        place
            .file(&format!("{name}/x.npy"), file)
            .file(&format!("{name}/pose.csv"), format!("a,b\n{pose}"));
        place.succeeds(&format!("train --data {name} --epochs 1 {SMALL} --out of_{name}"));
        place
            .succeeds(&format!("generate of_{name} --given pose --target x -n 2 --out {name}.npz"));
        let file = fs::File::open(place.path(&format!("{name}.npz"))).expect("it was written");
        let x: ndarray::ArrayD<f32> = NpzReader::new(file).expect("NPZ").by_name("x").expect("x");
        assert_eq!(x.shape()[1..], expected);
        // As data again it is what it was.
        place.succeeds(&format!("encode of_{name} --data {name}.npz --out again.npz"));
    }
    // Volumes without their axis of channels are never images of many channels unsaid.
    let volume: Array4<f32> = Array4::zeros([20, 6, 5, 7]);
    let mut bytes = Cursor::new(Vec::new());
    volume.write_npy(&mut bytes).expect("memory takes it");
    place.file("mri/mri.npy", bytes.into_inner());
    place.fails("train --data mri --out run", 2, &["`mri`", "[1, 6, 5, 7]", "manifest"]);
}

/// Scans as they are named in neuroimaging, written by nibabel.
const SCANS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../multivae-data/tests/data/formats/bids");

#[test]
fn scans_train_whole_and_as_slices_and_are_read_alike_for_new_data() {
    let place = Place::new();
    let text = place.succeeds(&format!("data {SCANS} --slices coronal"));
    assert!(text.contains(": 20 rows") && text.contains("T1w: shape [1, 6, 5], i16"), "{text}");
    let train = format!("train --data {SCANS} --epochs 1 {SMALL} --set data.split.test=0.2");
    for (name, said, rows) in [("whole", "", 5), ("sliced", "--slices axial", 30)] {
        place.succeeds(&format!("{train} {said} --out {name}"));
        place.succeeds(&format!("encode {name} --data {SCANS} --out {name}.npz"));
        assert_eq!(encoding(&place, &format!("{name}.npz")).dim(), (rows, 2));
    }
    let record = fs::read_to_string(place.path("sliced/data.json")).expect("what a run keeps");
    let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    let subjects = |part: &str| -> Vec<&str> {
        let rows = record["split"][part].as_array().expect("rows").iter();
        let ids = rows.filter_map(|row| row.as_str()?.split_once("/slice-"));
        let mut subjects: Vec<&str> = ids.map(|(subject, _)| subject).collect();
        subjects.dedup();
        subjects
    };
    let parts = ["train", "valid", "test"].map(subjects);
    assert_eq!(parts.each_ref().map(Vec::len), [3, 1, 1], "{parts:?}");
    assert!(!parts[0].contains(&parts[1][0]) && !parts[0].contains(&parts[2][0]), "{parts:?}");
    place.fails("train --data data --slices axial --out other", 2, &["images.slices"]);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let place = Place::new();
    let run = |threads: &str, arguments: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_multivae"))
            .args(arguments.split_whitespace())
            .env("RAYON_NUM_THREADS", threads)
            .current_dir(place.path(""))
            .output()
            .expect("the program starts");
        assert!(output.status.success(), "{}", error(&output));
    };
    for threads in ["1", "2"] {
        run(threads, &format!("train --data data --epochs 1 {SMALL} --out run{threads}"));
        run(threads, &format!("encode run{threads} --out z{threads}.npz"));
    }
    assert_eq!(encoding(&place, "z1.npz"), encoding(&place, "z2.npz"));
}

#[test]
fn few_rows_have_samplers_with_fewer_parts() {
    let place = Place::new();
    place.file("few/a.csv", table(&["x", "y"], 0..10)).file("few/b.csv", table(&["z"], 0..10));
    place.succeeds(&format!("train --data few --epochs 1 {SMALL} --out run"));
    let output = place.run("sampler fit run --kind gmm");
    assert!(output.status.success(), "{}", error(&output));
    assert!(error(&output).contains("10 components were asked for, and there are 7 values"));
    place.succeeds("sampler sample run --kind gmm -n 3 --out samples.csv");
    let text = fs::read_to_string(place.path("samples.csv")).expect("a table");
    assert!(text.starts_with("z_0,z_1\n") && text.lines().count() == 4, "{text}");
}

#[test]
fn many_modalities_are_trained_or_refused_with_the_limit() {
    let place = Place::new();
    for m in 0..65 {
        if m < 11 {
            place.file(&format!("eleven/m{m}.csv"), table(&["x"], 0..20));
        }
        place.file(&format!("many/m{m}.csv"), table(&["x"], 0..20));
    }
    place.succeeds(&format!("train --data eleven --model mvtcae --epochs 1 {SMALL} --out run"));
    let subsets = ["`model.subsets`", "more than 10 modalities"];
    place.fails("train --data eleven --model mopoe --out other", 2, &subsets);
    place.fails("train --data many --model mvtcae --out other", 2, &["65 modalities", "1 to 64"]);
}

#[test]
fn more_columns_than_rows_and_more_latents_than_columns_are_trained_on() {
    let place = Place::new();
    let names: Vec<String> = (0..600).map(|column| format!("g{column}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    place.file("wide/rna.csv", table(&names, 0..12)).file("wide/age.csv", table(&["years"], 0..12));
    place.succeeds("train --data wide --epochs 1 --set model.latent=30 --out run");
    place.succeeds("encode run --out z.npz");
    assert_eq!(encoding(&place, "z.npz").dim(), (12, 30));
}

#[test]
fn rows_and_columns_that_are_given_twice_are_named() {
    let place = Place::new();
    place.file("ids/a.csv", "id,x\ns1,1\ns2,2\ns1,3\n").file("columns/a.csv", "id,M1,M1\ns1,1,2\n");
    // A long table has a line for each measurement.
    place.file("long/a.csv", "id,time,x\ns1,0,1.5\ns1,1,2.5\ns2,0,3.5\n");
    place.fails("train --data ids --out run", 2, &["`ids/a.csv`", "`s1` is given twice"]);
    place.fails("train --data columns --out run", 2, &["column `M1` is given twice"]);
    place.fails("train --data long --out run", 2, &["`s1` is given twice"]);
}

#[test]
fn lines_are_numbered_alike_whatever_ends_them() {
    let place = Place::new();
    for (name, end) in [("lf", "\n"), ("crlf", "\r\n"), ("cr", "\r")] {
        place.file(&format!("{name}/a.csv"), ["id,y", "p1,1", "p2,red", "p3,2", ""].join(end));
        place.fails(&format!("train --data {name} --out run"), 2, &["line 3, column `y`", "`red`"]);
    }
}

#[test]
fn whoever_reads_the_output_can_stop() {
    let place = Place::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_multivae"))
        .args(["config", "mopoe"])
        .current_dir(place.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn a_longer_schedule_goes_on_from_where_the_run_is() {
    let place = Place::new();
    let train = format!("train --data data {SMALL} --set train.schedule.name=cosine");
    place.succeeds(&format!("{train} --epochs 2 --out run"));
    let text = place.succeeds("train --resume run --epochs 4");
    assert!(text.contains("epoch 3/4") && text.contains("epoch 4/4"), "{text}");
}
