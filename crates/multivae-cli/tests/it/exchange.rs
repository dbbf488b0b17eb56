//! Models of the Python library MultiVae, there and back.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
};

use ndarray::{Array2, ArrayD};
use ndarray_npy::{NpzReader, write_npy};
use safetensors::{Dtype, SafeTensors};

use crate::place::Place;

type Arrays = BTreeMap<String, ArrayD<f32>>;

/// The arrays of a safetensors file.
fn arrays(path: &Path) -> Arrays {
    let bytes = fs::read(path).expect("a file");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let array = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        let values = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let array = ArrayD::from_shape_vec(view.shape(), values).expect("as many values");
        (name, array)
    };
    file.tensors().into_iter().map(array).collect()
}

/// A place with a saved model in `saved`, what it computes, and its inputs in `data`.
fn saved(model: &str) -> (Place, Arrays) {
    let place = Place::new();
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/assets").join(model);
    for name in ["model_config.json", "model.pt", "environment.json"] {
        let bytes = fs::read(assets.join(name)).expect("an asset");
        place.file(&format!("saved/{name}"), bytes);
    }
    let expected = arrays(&assets.join("expected.safetensors"));
    fs::remove_dir_all(place.path("data")).expect("it is there");
    fs::create_dir(place.path("data")).expect("a folder");
    for (name, values) in &expected {
        if let Some(modality) = name.strip_prefix("input.") {
            write_npy(place.path(&format!("data/{modality}.npy")), values).expect("a file");
        }
    }
    (place, expected)
}

/// Checks an array of an NPZ.
fn same(place: &Place, file: &str, name: &str, expected: &ArrayD<f32>) {
    let mut npz =
        NpzReader::new(File::open(place.path(file)).expect("it was written")).expect("an NPZ");
    let found: Array2<f32> = npz.by_name(name).expect("two axes");
    assert_eq!(found.shape(), expected.shape(), "{file} {name}");
    let far = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 2e-6, "{file} {name}: {far}");
}

#[test]
fn an_imported_model_encodes_and_decodes_as_the_one_that_was_saved() {
    let (place, expected) = saved("mvae");
    let text = place.succeeds("import saved --out run");
    assert!(text.contains("mvae of m0 [7], m1 [3], 24 weights"), "{text}");
    for (given, names) in [("all", "m0,m1"), ("m0", "m0"), ("m1", "m1")] {
        place.succeeds(&format!("encode run --data data --given {names} --out {given}.npz"));
        same(&place, &format!("{given}.npz"), "z", &expected[&format!("encode_mean.{given}")]);
    }
    place.succeeds("generate run --data data --given m0,m1 -n 6 --out decoded.npz");
    for name in ["m0", "m1"] {
        same(&place, "decoded.npz", name, &expected[&format!("decode_of_encode_mean_all.{name}")]);
    }
    let text = place.succeeds("evaluate run --data data");
    assert!(text.contains("m0+m1 -> m1"), "{text}");
    place.succeeds("generate run --prior -n 3 --out prior.npz");
    assert!(place.left_over().is_empty());
}

#[test]
fn private_spaces_are_imported_too() {
    let (place, expected) = saved("mopoe");
    place.succeeds("import saved --out run");
    for given in ["a", "b"] {
        let file = format!("{given}.npz");
        place.succeeds(&format!("encode run --data data --given {given} --out {file}"));
        let mean = |space: &str| &expected[&format!("encode_mean.{given}{space}")];
        same(&place, &file, "z", mean(""));
        same(&place, &file, "z_a", mean(".a"));
        same(&place, &file, "z_b", mean(".b"));
        place.succeeds(&format!("generate run --data data --given {given} -n 6 --out {file}"));
        let decoded = |name: &str| &expected[&format!("decode_mean.{given}.{name}")];
        same(&place, &file, "b", decoded("b"));
        // The reference's outputs are log-odds.
        same(&place, &file, "a", &decoded("a").mapv(|x| 1.0 / (1.0 + (-x).exp())));
    }
}

/// The networks of the model `custom`.
const DESCRIPTION: &str = r#"
[[model.modalities]]
name = "a"
decoder = { kind = "mlp", hidden = [4], activation = "tanh" }

[model.modalities.encoder]
kind = "branches"
shared.trunk = [
    { kind = "linear", outputs = 4 },
    { kind = "tanh" },
    { kind = "linear", outputs = 3 },
    { kind = "relu" },
]

[[model.modalities]]
name = "b"
decoder = { kind = "mlp", hidden = [4], activation = "tanh" }

[model.modalities.encoder]
kind = "branches"
shared.trunk = [
    { kind = "linear", outputs = 4 },
    { kind = "tanh" },
    { kind = "linear", outputs = 3 },
    { kind = "relu" },
]
"#;

#[test]
fn pickled_networks_are_listed_and_never_read() {
    let (place, _) = saved("custom");
    // Nobody looks into them.
    place.file("saved/encoders.pkl", "cos\nsystem\n(S'touch executed'\ntR.");
    let parts = [
        "pickled Python code, which is never executed",
        "encoders.pkl: `model.modalities.b.encoder`, `model.modalities.a.encoder`",
        "decoders.pkl: `model.modalities.b.decoder`, `model.modalities.a.decoder`",
        "`--config FILE`",
    ];
    place.fails("import saved --out run", 2, &parts);
}

#[test]
fn described_networks_take_the_weights_in_order() {
    let (place, expected) = saved("custom");
    place.file("networks.toml", DESCRIPTION);
    place.succeeds("import saved --config networks.toml --out run");
    for (given, names) in [("all", "a,b"), ("a", "a"), ("b", "b")] {
        let file = format!("{given}.npz");
        place.succeeds(&format!("encode run --data data --given {names} --out {file}"));
        same(&place, &file, "z", &expected[&format!("encode_mean.{given}")]);
        place.succeeds(&format!("generate run --data data --given {names} -n 6 --out {file}"));
        for name in ["a", "b"] {
            same(&place, &file, name, &expected[&format!("decode_mean.{given}.{name}")]);
        }
    }
    // What is exported is read again, now by our names.
    place.succeeds("export run --out exported");
    assert!(!place.path("exported/model_config.json").exists(), "the reference cannot rebuild it");
    let itself = ["`--config networks.toml`", "describes its networks itself"];
    place.fails("import exported --config networks.toml --out again", 2, &itself);
    place.succeeds("import exported --out again");
    place.succeeds("encode again --data data --out again.npz");
    same(&place, "again.npz", "z", &expected["encode_mean.all"]);
}

#[test]
fn a_description_that_does_not_fit_is_refused() {
    let (place, _) = saved("custom");
    let refuses = |from: &str, to: &str, parts: &[&str]| {
        let text = DESCRIPTION.replace(from, to);
        assert_ne!(text, DESCRIPTION, "`{from}` stands in the description");
        place.file("networks.toml", text);
        place.fails("import saved --config networks.toml --out run", 2, parts);
    };
    refuses(
        "outputs = 4",
        "outputs = 5",
        &["`encoders.a.features.0.weight`: expected the shape [5, 3], found [4, 3]"],
    );
    refuses(
        "    { kind = \"linear\", outputs = 3 },\n",
        "",
        &["`encoders.a`: the network has 6 weights and the file has 8", "fc_logvar.bias [2]"],
    );
    refuses(
        "name = \"b\"\ndecoder = { kind = \"mlp\", hidden = [4], activation = \"tanh\" }\n",
        "name = \"b\"\n",
        &["decoders.pkl: `model.modalities.b.decoder`\n"],
    );
    refuses("name = \"b\"", "name = \"c\"", &["networks.toml", "modalities of the model", "\"c\""]);
    refuses("kind = \"branches\"", "kind = \"branch\"", &["networks.toml", "branch"]);
    place.file("networks.toml", format!("[train]\nepochs = 2\n{DESCRIPTION}"));
    let parts = ["networks.toml", "unknown key `train`"];
    place.fails("import saved --config networks.toml --out run", 2, &parts);
}

#[test]
fn a_saved_model_that_is_damaged_is_refused() {
    let damaged = |change: &dyn Fn(&Place, Vec<u8>), parts: &[&str]| {
        let (place, _) = saved("mopoe");
        let bytes = fs::read(place.path("saved/model.pt")).expect("it is there");
        change(&place, bytes);
        place.fails("import saved --out run", 2, parts);
    };
    damaged(
        &|place, mut bytes| {
            bytes.truncate(60_000);
            place.file("saved/model.pt", bytes);
        },
        &["saved/model.pt", "cannot be read"],
    );
    damaged(
        &|place, mut bytes| {
            // A weight, whose checksum the archive has.
            bytes[50_000] ^= 1;
            place.file("saved/model.pt", bytes);
        },
        &["saved/model.pt", "cannot be read"],
    );
    damaged(
        &|place, _| {
            place.file("saved/model.pt", "weights");
        },
        &["saved/model.pt", "cannot be read"],
    );
    damaged(
        &|place, _| fs::remove_file(place.path("saved/model.pt")).expect("it is there"),
        &["`saved` has no weights", "model.pt"],
    );
    damaged(
        &|place, _| fs::remove_file(place.path("saved/model_config.json")).expect("it is there"),
        &["saved/model_config.json", "cannot be read"],
    );
}

#[test]
fn a_saved_configuration_that_is_not_understood_is_refused() {
    let (place, _) = saved("mopoe");
    let path = "saved/model_config.json";
    let text = fs::read_to_string(place.path(path)).expect("it is there");
    let refuses = |from: &str, to: &str, parts: &[&str]| {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "`{from}` stands in the configuration");
        place.file(path, changed);
        place.fails("import saved --out run", 2, parts);
    };
    refuses("\"beta\"", "\"betta\"", &[path, "unknown key `betta` of MoPoEConfig", "`beta`"]);
    refuses("MoPoEConfig", "VAEConfig", &[path, "`VAEConfig`", "`MoPoEConfig`"]);
    refuses(
        "\"latent_dim\": 3",
        "\"latent_dim\": 4",
        &[
            "saved/model.pt",
            "`encoders.b.embedding.weight`: expected the shape [4, 512], found [3, 512]",
        ],
    );
    refuses("MoPoEConfig\"", "MoPoEConfig", &[path, "cannot be read"]);
}

#[test]
fn nothing_is_overwritten() {
    let (place, _) = saved("mopoe");
    place.file("run/notes", "mine");
    place.fails("import saved --out run", 2, &["folder `run` exists and is not empty", "--out"]);
    place.succeeds("import saved --out good");
    place.fails("export good --out run", 2, &["folder `run` exists and is not empty", "--out"]);
    assert!(place.left_over().is_empty());
}

#[test]
fn an_imported_run_says_that_it_has_no_data_and_no_training() {
    let (place, _) = saved("mopoe");
    place.succeeds("import saved --out run");
    for task in ["encode run --out z.npz", "evaluate run", "generate run --given a --out a.npz"] {
        place.fails(task, 2, &["`run` was imported", "`--data`"]);
    }
    place.fails("train --resume run --epochs 9", 2, &["`run` was imported", "no training"]);
    let text = fs::read_to_string(place.path("run/run.toml")).expect("it is there");
    assert!(text.contains("name = \"mopoe\"") && !text.contains("train"), "{text}");
}

#[test]
fn an_exported_model_has_the_names_and_the_bits_of_the_one_that_was_imported() {
    let (place, _) = saved("mvae");
    place.succeeds("import saved --out run");
    let text = place.succeeds("export run --format safetensors");
    assert!(text.contains("24 weights; MultiVae rebuilds the model"), "{text}");
    let json = |path: &str| -> serde_json::Value {
        let text = fs::read_to_string(place.path(path)).expect("it was written");
        serde_json::from_str(&text).expect("JSON")
    };
    assert_eq!(json("run/export/model_config.json"), json("saved/model_config.json"));
    assert_eq!(json("run/export/config.json")["model"]["name"], "mvae");
    let standardisation = json("run/export/standardisation.json");
    assert!(standardisation["modalities"][0]["moments"].is_null(), "{standardisation}");

    let bits = |path: &str| -> BTreeMap<String, (Vec<usize>, Vec<u32>)> {
        let arrays = arrays(&place.path(path));
        let bits = |array: &ArrayD<f32>| array.iter().map(|x| x.to_bits()).collect();
        arrays.iter().map(|(k, v)| (k.clone(), (v.shape().to_vec(), bits(v)))).collect()
    };
    let exported = bits("run/export/model.safetensors");
    assert_eq!(exported, stored(&place.path("saved/model.pt")));
    // And back once more.
    place.succeeds("import run/export --out again");
    place.succeeds("export again");
    assert_eq!(bits("again/export/model.safetensors"), exported);
}

/// The bits of the weights that PyTorch has stored.
fn stored(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u32>)> {
    let reader = pytorch_reader::PytorchReader::with_top_level_key(path, "model_state_dict");
    let tensors = reader.expect("intact").into_tensors().into_iter();
    tensors
        .map(|(name, tensor)| {
            let bytes = tensor.read().expect("intact");
            let bits = bytes.as_chunks().0.iter().map(|b| u32::from_ne_bytes(*b)).collect();
            (name, (tensor.shape().to_vec(), bits))
        })
        .collect()
}

#[test]
fn a_model_that_was_trained_here_is_exported_with_its_standardisation() {
    let place = crate::place::with_run();
    place.succeeds("export run --out out");
    for name in ["model.safetensors", "config.json", "standardisation.json"] {
        assert!(place.path("out").join(name).is_file(), "{name}");
    }
    let names: Vec<String> = arrays(&place.path("out/model.safetensors")).into_keys().collect();
    assert!(names.contains(&"encoders.blood.layers.0.0.weight".to_owned()), "{names:?}");
}

#[test]
fn what_is_exported_is_imported_as_a_folder_and_as_an_archive() {
    let place = crate::place::with_run();
    place.succeeds("export run --out out");
    place.succeeds("export run --format tar --out out.tar");
    place.succeeds("encode run --data data --out z.npz");
    let encoding = |name: &str| fs::read(place.path(name)).expect("an encoding");
    for from in ["out", "out.tar", "run/bundle"] {
        let text = place.succeeds(&format!("import {from} --out again"));
        assert!(text.contains("mopoe of blood [3], gait [2]"), "{text}");
        // Standardised as before, and no training to go on with.
        place.succeeds("encode again --data data --out again.npz");
        assert_eq!(encoding("again.npz"), encoding("z.npz"), "{from}");
        place.fails("train --resume again", 2, &["`again` was imported", "no training"]);
        place.fails("evaluate again", 2, &["`again` was imported", "`--data`"]);
        fs::remove_dir_all(place.path("again")).expect("it is there");
    }
    assert!(place.left_over().is_empty());
}

#[test]
fn a_bundle_says_nothing_of_where_it_was_trained() {
    let place = crate::place::with_run();
    place.succeeds("export run --out out");
    let config = fs::read_to_string(place.path("run/run.toml")).expect("a configuration");
    let source = config.lines().find_map(|line| line.strip_prefix("source = "));
    let source = source.expect("its data has a path").trim_matches('"').as_bytes();
    assert!(Path::new(std::str::from_utf8(source).expect("text")).is_absolute());
    for entry in fs::read_dir(place.path("out")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).expect("a file");
        let found = bytes.windows(source.len()).any(|window| window == source);
        assert!(!found, "{}", path.display());
    }
}

#[test]
fn a_bundle_stands_for_a_run() {
    let place = crate::place::with_run();
    place.succeeds("export run --out out");
    place.succeeds("encode out --data data --out z.npz");
    place.succeeds("encode run --data data --out run.npz");
    let bytes = |name: &str| fs::read(place.path(name)).expect("an encoding");
    assert_eq!(bytes("z.npz"), bytes("run.npz"));
    place.succeeds("generate out --prior -n 2 --out x.npz");
    place.fails("encode out --out z.npz", 2, &["`out` was imported", "`--data`"]);
    let weights = place.path("out/model.safetensors");
    let mut damaged = fs::read(&weights).expect("it is there");
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(weights, damaged).expect("a file");
    place.fails("encode out --data data --out z.npz", 2, &["model.safetensors", "checksum"]);
    place.fails("import out --out again", 2, &["model.safetensors", "checksum"]);
}

#[test]
fn an_export_of_an_earlier_program_is_refused_with_what_to_do() {
    let place = crate::place::with_run();
    place.succeeds("export run --out out");
    let text = fs::read_to_string(place.path("out/config.json")).expect("it is there");
    let config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    place.file("out/config.json", config["model"].to_string());
    for name in ["SHA256SUMS", "model_config.json"] {
        let _ = fs::remove_file(place.path("out").join(name));
    }
    place.fails("import out --out again", 2, &["out/SHA256SUMS", "write it again with `export`"]);
}
