//! `multivae sampler`.

use std::fs::File;

use ndarray::Array2;
use ndarray_npy::NpzReader;

use crate::{
    classifier::labelled,
    place::{Place, with_run},
};

fn array(place: &Place, file: &str, name: &str) -> Array2<f32> {
    let file = File::open(place.path(file)).expect("it was written");
    NpzReader::new(file).expect("an NPZ").by_name(name).expect("two axes")
}

/// Settings with which each kind is fitted at once.
const KINDS: [(&str, &str); 4] = [
    ("gmm", "--set components=2"),
    ("maf", "--set epochs=2 --set hidden=8"),
    ("iaf", "--set epochs=2 --set hidden=8"),
    ("aggregate", "--set draws=2"),
];

#[test]
fn every_kind_is_fitted_and_sampled() {
    let place = with_run();
    for (kind, settings) in KINDS {
        let text = place.succeeds(&format!("sampler fit run --kind {kind} {settings}"));
        assert!(text.contains("z 2, fitted to 28 rows"), "{text}");
        assert_eq!(text.contains("nats"), kind != "aggregate", "{text}");
        let text = place.succeeds(&format!(
            "sampler sample run --kind {kind} -n 30 --batch-size 7 --out {kind}.npz"
        ));
        assert_eq!(text, format!("{kind}.npz: z [30, 2]\n"));
        let z = array(&place, &format!("{kind}.npz"), "z");
        assert_eq!(z.dim(), (30, 2));
        place.succeeds(&format!("sampler sample run/samplers/{kind} -n 30 --out again.npz"));
        let far = (z - array(&place, "again.npz", "z")).mapv(f32::abs);
        assert!(far.iter().all(|far| *far < 1e-4), "{kind}: {far}");
    }
    assert!(place.left_over().is_empty());
}

#[test]
fn modalities_are_generated_from_samples_in_the_units_of_the_data() {
    let place = with_run();
    place.succeeds("sampler fit run --kind gmm --out elsewhere --set components=2");
    place.succeeds("sampler sample elsewhere --run run -n 5 --target gait --out gait.npz");
    assert_eq!(array(&place, "gait.npz", "gait").dim(), (5, 2));
}

#[test]
fn what_cannot_be_fitted_or_found_is_said() {
    let place = with_run();
    let fit = "sampler fit run --kind gmm";
    place.fails(&format!("{fit} --set component=2"), 2, &["`component`", "`components`"]);
    place.fails(&format!("{fit} --set components=0"), 2, &["`components`: expected at least 1"]);
    place.fails(&format!("{fit} --set kind=maf"), 2, &["`--kind`"]);
    let sample = "sampler sample run --out z.npz";
    place.fails(sample, 2, &["It has none", "sampler fit"]);
    place.fails("sampler sample data --out z.npz", 2, &["neither", "run.toml"]);
    place.succeeds("sampler fit run --kind aggregate --out elsewhere");
    place.fails("sampler sample elsewhere --out z.npz", 2, &["`--run`"]);
    place.fails(
        "sampler sample elsewhere --run run --out z.txt",
        2,
        &["`.png`, `.npz`, `.csv`, `.parquet`, `.h5ad` or `.h5mu`"],
    );
    place.fails("sampler sample elsewhere --run run --out z.png", 2, &["no images"]);
    place.fails("sampler fit run --kind aggregate --out elsewhere", 2, &["not empty"]);
    place.succeeds(fit);
    place.succeeds(&format!("{fit} --out run/samplers/maf"));
    place.fails(sample, 2, &["`gmm`, `maf`", "`--kind`"]);
    // A sampler of a run with other spaces.
    place.succeeds("train --config small.toml --set model.latent=3 --out other");
    place.fails(
        "sampler sample elsewhere --run other --out z.npz",
        2,
        &["another model", "`z` of 3", "`z` of 2"],
    );
}

#[test]
fn samplers_of_a_run_are_compared_with_its_prior() {
    let place = labelled();
    place.succeeds("train --config small.toml --out run");
    place.succeeds("classifier run --epochs 3");
    let before = place.content();
    let text = place.succeeds("sampler compare run -n 50");
    assert_eq!(text.lines().count(), 2, "{text}");
    assert_eq!(place.content(), before, "classifiers that are there are used");
    place.succeeds("sampler fit run --kind gmm --set components=2");
    place.succeeds("sampler fit run --kind maf --set epochs=2 --set hidden=8");
    let text = place.succeeds("sampler compare run -n 50");
    let words: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
    assert!(text.starts_with("sampler") && text.contains("FID blood"), "{text}");
    let names: Vec<_> = words[1..].iter().map(|line| line[0]).collect();
    assert_eq!(names, ["prior", "gmm", "maf"]);
    for line in &words[1..] {
        // Coherence and agreement with their errors, and two distances.
        let numbers: Vec<f64> =
            line[1..].iter().map(|word| word.parse().expect("a number")).collect();
        assert_eq!(numbers.len(), 6, "{text}");
        assert!((0.0..=1.0).contains(&numbers[0]) && numbers[4] >= 0.0, "{text}");
    }
    place.fails("sampler compare data", 2, &["run.toml"]);
}
