//! Parity with the Python library on the bundled cases.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read},
};

use burn::tensor::Device;
use flate2::read::GzDecoder;
use multivae_models::{ModelConfig, exchange};
use tar::Archive;

use crate::parity::{Case, Golden, run};

/// Files of the cases by case name.
pub(crate) fn cases() -> BTreeMap<String, BTreeMap<String, Vec<u8>>> {
    let bytes = include_bytes!("../parity/assets/cases.tar.gz");
    let mut archive = Archive::new(GzDecoder::new(Cursor::new(bytes)));
    let mut cases: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for entry in archive.entries().expect("a tar archive") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        let (case, file) = path.split_once('/').expect("case/file");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("the entry's bytes");
        cases.entry(case.to_owned()).or_default().insert(file.to_owned(), content);
    }
    cases
}

/// Compares all cases of a model.
fn check(model: &str, cases: &BTreeMap<String, BTreeMap<String, Vec<u8>>>) {
    let mut compared = 0;
    for (name, files) in cases {
        let case = Case::new(
            &files["case.json"],
            &files["weights.safetensors"],
            &files["tensors.safetensors"],
        )
        .unwrap_or_else(|problem| panic!("{name}: {problem}"));
        if case.description().model != model {
            continue;
        }
        let outcome =
            run(&case, &Device::flex()).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert!(outcome.failures.is_empty(), "{name}: {:#?}", outcome.failures);
        assert!(outcome.todo.is_empty(), "{name}: {:#?}", outcome.todo);
        assert!(outcome.compared > 0, "{name} compared nothing");
        compared += 1;
    }
    assert!(compared > 3, "{compared} cases of {model}");
}

#[test]
fn every_model_that_multivae_has_equals_it_on_its_cases() {
    let cases = &cases();
    std::thread::scope(|scope| {
        for model in ModelConfig::NAMES.iter().filter(|model| exchange::is_known(model)) {
            scope.spawn(move || check(model, cases));
        }
    });
}

/// The recorded values of multi-view-AE, as text.
fn golden_text() -> String {
    let bytes = include_bytes!("../parity/assets/golden.json.gz");
    let mut text = String::new();
    GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("text in an archive");
    text
}

fn golden(text: &str) -> Golden {
    Golden::new(text).unwrap_or_else(|problem| panic!("{problem}"))
}

#[test]
fn models_of_multi_view_ae_equal_its_values_or_those_it_should_have() {
    let golden = golden(&golden_text());
    let mut compared = 0;
    // The one rule that no model has.
    for name in golden.names().iter().filter(|name| *name != "rule/mean") {
        let outcome = golden.run(name, &Device::flex());
        let outcome = outcome.unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert!(outcome.failures.is_empty(), "{name}: {:#?}", outcome.failures);
        assert!(outcome.compared > 0, "{name} compared nothing");
        compared += 1;
    }
    assert!(compared > 15, "{compared}");
}

#[test]
fn the_value_of_an_objective_that_is_wrong_is_noticed() {
    let mut json: serde_json::Value = serde_json::from_str(&golden_text()).expect("JSON");
    // What the library computes, in place of what it should.
    for (case, right) in [
        ("DVCCA_private", "losses_paper_correct"),
        ("weighted_DMVAE", "losses_paper_correct_cross_term"),
        ("mWAE", "losses_if_critic_linear"),
    ] {
        let case = json["cases"][case].as_object_mut().expect("a case");
        case.remove(right).expect("it has both");
    }
    let golden = golden(&json.to_string());
    for case in ["DVCCA_private", "weighted_DMVAE", "mWAE"] {
        let outcome =
            golden.run(case, &Device::flex()).unwrap_or_else(|problem| panic!("{problem}"));
        assert!(!outcome.failures.is_empty(), "{case}");
    }
}

#[test]
fn a_changed_weight_makes_the_comparison_fail() {
    let files = &cases()["mvae_default"];
    let mut weights = files["weights.safetensors"].clone();
    // The sign of every other weight.
    let header = u64::from_le_bytes(weights[..8].try_into().expect("eight bytes")) as usize;
    weights[8 + header..].chunks_exact_mut(8).for_each(|pair| pair[3] ^= 0x80);
    let case = Case::new(&files["case.json"], &weights, &files["tensors.safetensors"])
        .unwrap_or_else(|problem| panic!("{problem}"));
    let outcome = run(&case, &Device::flex()).unwrap_or_else(|problem| panic!("{problem}"));
    assert!(!outcome.failures.is_empty());
}
