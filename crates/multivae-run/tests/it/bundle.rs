//! A bundle gives back the model that it was made of, or says what is wrong with it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::{Device, Tensor};
use multivae_core::{
    model::{Draws, MultimodalModel},
    noise::Noise,
    subset::Subset,
};
use multivae_models::{ModelConfig, exchange::Entry};
use multivae_run::{Bundle, RunError, RunFolder, weights};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::models::{self, bits, standardisation};

/// A bundle in a folder, to be changed.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a temporary folder"));
        models::bundle().save(&place.path()).expect("a free place");
        place
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("bundle")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.file(name), content).expect("a file");
    }

    /// Writes a file, and the checksum that it now has.
    fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        let sum = |content: &[u8]| -> String {
            Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let old = sum(&fs::read(self.file(name)).expect("it is there"));
        let sums = fs::read_to_string(self.file("SHA256SUMS")).expect("it is there");
        assert!(sums.contains(&old), "{sums}");
        self.write("SHA256SUMS", sums.replace(&old, &sum(content.as_ref())));
        self.write(name, content);
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.file(name)).expect("it is there")).expect("JSON")
    }

    fn config(&self, change: impl FnOnce(&mut Value)) -> &Self {
        let mut config = self.json("config.json");
        change(&mut config);
        self.replace("config.json", config.to_string());
        self
    }

    fn weights(&self, change: impl FnOnce(&mut Vec<Entry>)) -> &Self {
        let bytes = fs::read(self.file("model.safetensors")).expect("it is there");
        let mut entries = weights::from_safetensors(&bytes).expect("own file");
        change(&mut entries);
        self.replace("model.safetensors", weights::to_safetensors(&entries).expect("valid"));
        self
    }

    /// Opening and loading fails, and the message has all parts.
    fn refuses(&self, parts: &[&str]) {
        let loaded = Bundle::open(&self.path()).and_then(|bundle| bundle.load(&Device::flex()));
        let message = loaded.map(|_| ()).expect_err("refused").to_string();
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in\n{message}");
        }
    }
}

#[test]
fn weights_come_back_bit_for_bit_for_every_model() {
    let mut normalised = Vec::new();
    for name in ModelConfig::NAMES {
        let config = models::config(name);
        let model = models::model(&config);
        let bundle = Bundle::new(&model, &config, &standardisation()).expect(name);
        let bytes = bundle.to_bytes().expect(name);
        let again = Bundle::from_bytes(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(again.config(), &config, "{name}");
        let trained = again.load(&Device::flex()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (expected, found) = (bits(&model), bits(&trained.model));
        assert_eq!(found, expected, "{name}");
        if expected.iter().any(|(path, _)| path.ends_with("running_var")) {
            normalised.push(*name);
        }
        assert_eq!(again.to_bytes().expect(name), bytes, "{name}: the same files");
    }
    // All but those whose networks are not those of modalities.
    let others: Vec<_> =
        ModelConfig::NAMES.iter().filter(|name| !normalised.contains(*name)).collect();
    assert_eq!(others, [&"mhvae", &"mmhvae"]);
}

#[test]
fn a_bundle_says_what_it_was_made_of_in_a_folder_and_in_an_archive() {
    let schema = json!({"blood": {"columns": ["iron", "sugar", "salt"]}});
    let bundle = models::bundle().with_schema(schema.clone());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (place, archive) = (folder.path().join("mine"), folder.path().join("mine.tar"));
    bundle.save(&place).expect("a free place");
    bundle.save_archive(&archive).expect("a free place");
    for path in [&place, &archive] {
        let found = Bundle::open(path).expect("own bundle");
        assert_eq!(found.config(), bundle.config());
        assert_eq!(found.modalities(), models::specs());
        assert_eq!(found.standardisation(), &standardisation());
        assert_eq!(found.schema(), Some(&schema));
        assert_eq!(found.card(), bundle.card());
        assert_eq!(found.to_bytes().expect("files"), bundle.to_bytes().expect("files"));
    }
    let names: Vec<String> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn a_card_names_modalities_and_may_be_edited() {
    let place = Place::new();
    let card = fs::read_to_string(place.file("README.md")).expect("it is there");
    for part in ["# mopoe of blood, gait", "| `blood` | 3 | yes |", "| `gait` | 2 | no |"] {
        assert!(card.contains(part), "`{part}` is not in\n{card}");
    }
    place.write("README.md", "Mine.");
    place.write("notes.txt", "Not read.");
    assert_eq!(Bundle::open(&place.path()).expect("intact").card(), "Mine.");
    fs::remove_file(place.file("README.md")).expect("it is there");
    assert_eq!(Bundle::open(&place.path()).expect("intact").card(), "");
}

#[test]
fn values_go_in_and_come_out_in_the_units_of_the_data() {
    let device = Device::flex();
    let bundle = models::bundle();
    let trained = bundle.load(&device).expect("own bundle");
    let values = [[110.0, -5.3, 0.1], [90.0, -4.7, 1.1]];
    let blood = Tensor::<2>::from_floats(values, &device);
    let batch = trained.batch(&[("blood", blood)]).expect("three features");
    let inside: Vec<f32> =
        batch.values()[0].dense().expect("a table").clone().into_data().iter().collect();
    let expected = [1.0, -1.0, 0.0, -1.0, 1.0, 1.0];
    assert!(inside.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{inside:?}");
    let given = trained.given(&["blood"]).expect("its name");
    assert_eq!(given, Subset::single(0));
    let latent = trained
        .encode(&batch, given, Draws::Samples(4), &mut Noise::seeded(1))
        .expect("it encodes");
    let targets = trained.targets(&[]).expect("all");
    let generated = trained.generate(&latent, targets).expect("it generates");
    assert_eq!(generated[0].dims(), [4, 2, 3]);
    assert_eq!(generated[1].dims(), [4, 2, 2]);
    let raw = trained.model.generator().expect("it generates").decode(&latent, targets);
    let standardised: Vec<f32> = raw[0].clone().into_data().iter().collect();
    let found: Vec<f32> = generated[0].clone().into_data().iter().collect();
    let (mean, std) = ([100.0, -5.0, 0.1], [10.0, 0.3, 1.0]);
    for (i, (raw, found)) in standardised.iter().zip(&found).enumerate() {
        let expected = raw * std[i % 3] + mean[i % 3];
        assert!((expected - found).abs() < 1e-4, "{expected} {found}");
    }
}

#[test]
fn names_and_shapes_that_the_model_does_not_have_are_refused() {
    let device = Device::flex();
    let trained = models::bundle().load(&device).expect("own bundle");
    let zeros = |features: usize| Tensor::<2>::zeros([2, features], &device);
    let message = |values: &[(&str, Tensor<2>)]| {
        trained.batch(values).map(|_| ()).expect_err("refused").to_string()
    };
    assert!(message(&[("scan", zeros(3))]).contains("unknown modality `scan`"));
    assert!(message(&[("blood", zeros(2))]).contains("expected [2, 3], found [2, 2]"));
    assert!(message(&[("blood", zeros(3)), ("blood", zeros(3))]).contains("given twice"));
    assert!(message(&[]).contains("must not be empty"));
    assert!(trained.subset(&["scan"]).is_err());

    let config = models::config("cvae");
    let conditional = Bundle::new(&models::model(&config), &config, &standardisation());
    let conditional = conditional.expect("it fits").load(&device).expect("own bundle");
    let error = conditional.given(&["gait"]).expect_err("it lacks something").to_string();
    assert_eq!(error, "`cvae` generates from `blood`, which has to be given; found `gait`");
    let error = conditional.targets(&["blood"]).expect_err("a condition").to_string();
    assert_eq!(error, "`cvae` generates `gait` only; found `blood`");
}

#[test]
fn every_byte_of_every_file_counts() {
    let place = Place::new();
    for name in ["SHA256SUMS", "config.json", "standardisation.json", "model.safetensors"] {
        let whole = fs::read(place.file(name)).expect("it is there");
        for at in [0, 1, whole.len() / 3, whole.len() / 2, whole.len() - 2] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            place.write(name, bytes);
            place.refuses(&[]);
        }
        place.write(name, &whole[..whole.len() - 3]);
        place.refuses(&[]);
        place.write(name, &whole);
    }
    place.write("model.safetensors", "");
    place.refuses(&["model.safetensors`: is damaged or changed: expected the checksum"]);
}

#[test]
fn every_byte_of_an_archive_counts() {
    let bundle = models::bundle().with_card("");
    let whole = bundle.to_bytes().expect("files");
    let same = |bytes: &[u8]| {
        let opened = Bundle::from_bytes(bytes).and_then(|bundle| bundle.load(&Device::flex()));
        opened.is_ok_and(|trained| {
            let expected = bundle.load(&Device::flex()).expect("own bundle");
            bits(&trained.model) == bits(&expected.model)
                && trained.config == expected.config
                && trained.standardisation == expected.standardisation
        })
    };
    // A change may be of what nothing reads, such as owners of files or room between them.
    let refused = (0..whole.len())
        .step_by(199)
        .filter(|&at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            let opened = Bundle::from_bytes(&bytes).is_ok();
            assert!(!opened || same(&bytes), "byte {at}");
            !opened
        })
        .count();
    assert!(refused > 10, "{refused}");
    for length in (0..whole.len() - 1024).step_by(777) {
        assert!(Bundle::from_bytes(&whole[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn a_file_that_is_missing_is_named() {
    for name in ["config.json", "standardisation.json", "model.safetensors"] {
        let place = Place::new();
        fs::remove_file(place.file(name)).expect("it is there");
        place.refuses(&[name, "is missing"]);
        let place = Place::new();
        let sums = fs::read_to_string(place.file("SHA256SUMS")).expect("it is there");
        let rest = sums.lines().filter(|line| !line.ends_with(name));
        place.write("SHA256SUMS", rest.collect::<Vec<_>>().join("\n"));
        place.refuses(&["SHA256SUMS", &format!("does not list `{name}`")]);
    }
    let place = Place::new();
    fs::remove_file(place.file("SHA256SUMS")).expect("it is there");
    place.refuses(&["SHA256SUMS", "is missing", "write it again with `export`"]);
    assert!(matches!(Bundle::open(Path::new("nowhere.tar")), Err(RunError::Read { .. })));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let place = Place::new();
    let sums = fs::read_to_string(place.file("SHA256SUMS")).expect("it is there");
    place.write("SHA256SUMS", sums.replace("  model.safetensors", "  ../model.safetensors"));
    place.refuses(&["SHA256SUMS", "expected the name of a file", "`../model.safetensors`"]);
}

#[test]
fn newer_and_foreign_files_are_refused() {
    let place = Place::new();
    place.config(|config| config["version"] = json!(2));
    place.refuses(&["config.json", "`version`: expected 1 or lower, found 2", "newer program"]);
    place.config(|config| {
        // What a newer program may add is not what is to be told.
        config["unknown"] = json!(1);
    });
    place.refuses(&["newer program"]);
    place.config(|config| config["version"] = json!(1));
    place.refuses(&["config.json", "unknown field `unknown`"]);
    place.config(|config| config["version"] = json!(0));
    place.refuses(&["`version`: expected 1, found 0"]);
    place.config(|config| config["format"] = json!("other"));
    place.refuses(&["`format`: expected \"multivae-bundle\", found \"other\""]);
    // What earlier programs exported.
    let place = Place::new();
    let model = place.json("config.json")["model"].to_string();
    place.replace("config.json", model);
    place.refuses(&["`format`: expected \"multivae-bundle\", found none"]);
}

#[test]
fn weights_of_another_model_are_refused_by_name() {
    let weight = "encoders.blood.shared.mean.0.weight";
    let find = |entries: &[Entry]| {
        let place = entries.iter().position(|entry| entry.name == weight);
        place.unwrap_or_else(|| {
            let names: Vec<_> = entries.iter().map(|entry| &entry.name).collect();
            panic!("{names:?}")
        })
    };
    let place = Place::new();
    place.weights(|entries| drop(entries.remove(find(entries))));
    place.refuses(&["model.safetensors", weight, "missing"]);
    let place = Place::new();
    place.weights(|entries| {
        let at = find(entries);
        entries[at].shape.reverse();
    });
    place.refuses(&["model.safetensors", weight, "expected the shape [2, 4], found [4, 2]"]);
    for name in ["other.weight", "other.num_batches_tracked"] {
        let place = Place::new();
        let entry = Entry { name: name.into(), shape: vec![1], values: vec![0.0] };
        place.weights(|entries| entries.push(entry));
        place.refuses(&["model.safetensors", name, "no place in the model"]);
    }
}

#[test]
fn a_size_that_is_not_true_is_refused_before_anything_of_it_is_made() {
    let place = Place::new();
    place.config(|config| config["model"]["latent"] = json!(1_000_000_000));
    place.refuses(&["model.safetensors", "expected the shape [1000000000, 4], found [2, 4]"]);
}

#[test]
fn parts_that_contradict_each_other_are_refused() {
    let place = Place::new();
    place.config(|config| config["modalities"][1]["shape"] = json!([5]));
    place.refuses(&["config.json", "`modalities`", "`gait` [2]", "`gait` [5]"]);
    let place = Place::new();
    let mut standardisation = place.json("standardisation.json");
    standardisation["modalities"][0]["moments"]["std"] = json!([1.0]);
    place.replace("standardisation.json", standardisation.to_string());
    place.refuses(&["`blood`", "3 standard deviations", "1"]);
    standardisation["version"] = json!(9);
    place.replace("standardisation.json", standardisation.to_string());
    place.refuses(&["standardisation.json", "`version`: expected 2, found 9"]);
}

#[test]
fn only_a_bundle_is_replaced() {
    let place = Place::new();
    let bundle = models::bundle().with_card("Second.");
    assert!(matches!(bundle.save(&place.path()), Err(RunError::Occupied { .. })));
    bundle.replace(&place.path()).expect("a bundle is there");
    assert_eq!(Bundle::open(&place.path()).expect("intact").card(), "Second.");
    let other = tempfile::tempdir().expect("a temporary folder");
    fs::write(other.path().join("mine"), "").expect("a file");
    assert!(matches!(bundle.replace(other.path()), Err(RunError::Occupied { .. })));
}

#[test]
fn the_folder_of_a_bundle_is_a_run_without_data() {
    let place = Place::new();
    let folder = RunFolder::open(&place.path()).expect("a bundle");
    assert!(matches!(folder.splits(), Err(RunError::NoData { .. })));
    let run = folder.load(&Device::flex()).expect("intact");
    let expected: BTreeMap<_, _> =
        bits(&models::model(&models::config("mopoe"))).into_iter().collect();
    assert_eq!(bits(&run.trained.model).into_iter().collect::<BTreeMap<_, _>>(), expected);
    let missing = RunFolder::open(place.0.path()).map(|_| ()).expect_err("no run").to_string();
    assert!(missing.contains("is not the folder of a run: it has no run.toml"), "{missing}");
}
