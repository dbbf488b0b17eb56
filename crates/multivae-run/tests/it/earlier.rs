//! Folders of runs that earlier programs have written.
//!
//! `assets/run-1` is of the first format: `train` with an MVAE of two latent features and two
//! hidden units, on 100 rows of `mfeat` of which three tenths of the entries are missing, two epochs.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use multivae_core::{
    dataset::Dataset,
    model::{Draws, MultimodalModel},
    pass::Pass,
};
use multivae_data::{Lacking, MissingColumns};
use multivae_run::{Bundle, Run, RunError, RunFolder};

use crate::models::bits;

fn run_1() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/assets/run-1")
}

#[test]
fn a_run_of_the_first_format_opens_and_encodes_as_it_did() {
    let device = Device::flex();
    let run = Run::open(&run_1(), &device).expect("an intact run");
    assert_eq!(run.folder.config.model.name(), "mvae");
    assert_eq!(run.folder.config.data.as_ref().map(|data| data.source.as_str()), Some("mfeat"));
    assert_eq!(run.test_split().expect("embedded data").len(), 20);
    let rows = run.all_rows(None).expect("embedded data");
    assert_eq!(rows.len(), 100);
    let (given, pass) = (run.trained.given(&[]).expect("all"), Pass { batch_size: 64, seed: 0 });
    let model = run.trained.model.encoder().expect("it encodes");
    let tables = pass.encode(model, &rows, given, Draws::Mean, &device).expect("embedded data");
    // What the program printed that has trained it.
    let expected = [
        0.147_850_5,
        -0.071_302_67,
        0.197_790_03,
        -0.098_150_276,
        0.198_039_62,
        -0.126_283_74,
        0.124_528_26,
        -0.129_636_6,
    ];
    let found = &tables[0].values;
    let far = found.iter().zip(expected).map(|(a, b): (&f32, f32)| (a - b).abs());
    let far = far.fold(0.0, f32::max);
    assert!(far < 1e-5, "{far}: {:?}", &found[..8]);
}

/// It knows no names of columns, so that masking those that new data lacks would be a guess.
#[test]
fn columns_are_not_masked_for_a_run_that_knows_no_names() {
    let run = Run::open(&run_1(), &Device::flex()).expect("an intact run");
    let lacking = Lacking { missing_columns: MissingColumns::Mask, ..Lacking::default() };
    let error = run.open_rows(Some("polydigits"), lacking).map(|_| ()).expect_err("no names");
    assert!(matches!(error, RunError::NoColumns { .. }), "{error}");
    assert!(error.to_string().contains("run-1"), "{error}");
}

#[test]
fn a_run_of_the_first_format_becomes_a_bundle() {
    let device = Device::flex();
    let run = Run::open(&run_1(), &device).expect("an intact run");
    let bytes = run.bundle().and_then(|bundle| bundle.to_bytes()).expect("complete");
    let bundle = Bundle::from_bytes(&bytes).expect("own bundle");
    let trained = bundle.load(&device).expect("own bundle");
    assert_eq!(bits(&trained.model), bits(&run.trained.model));
    assert_eq!(bundle.standardisation(), &RunFolder::open(&run_1()).expect("it").standardisation);
}

fn run_0_2() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/assets/run-0.2")
}

#[test]
fn a_run_and_a_bundle_of_version_0_2_encode_tables_of_several_kinds_as_they_did() {
    let device = Device::flex();
    for folder in [run_0_2(), run_0_2().join("bundle")] {
        let run = Run::open(&folder, &device).expect("intact");
        let data = run_0_2().join("data").display().to_string();
        let rows = run.open_rows(Some(&data), Lacking::default()).expect("its own data").data;
        assert_eq!((rows.len(), &*rows.id(3)), (24, "p03"));
        let (given, pass) =
            (run.trained.given(&[]).expect("all"), Pass { batch_size: 64, seed: 0 });
        let model = run.trained.model.encoder().expect("it encodes");
        let tables = pass.encode(model, &rows, given, Draws::Mean, &device).expect("its own data");
        // What the program printed that has trained it.
        let expected = [-0.026_960_693, -0.083_696_13, -0.026_560_43, 0.076_203_36];
        let found = &tables[0].values;
        let far = found.iter().zip(expected).map(|(a, b): (&f32, f32)| (a - b).abs());
        assert!(far.fold(0.0, f32::max) < 1e-5, "{:?}", &found[..4]);
    }
}
