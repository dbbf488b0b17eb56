//! Models that the Python library multi-view-AE has saved.

use std::{
    fs::{self, File},
    path::Path,
};

use ndarray::{ArrayD, IxDyn};
use ndarray_npy::{NpzReader, write_npy};
use serde_json::Value;

use crate::place::Place;

/// What the settings are called in the folders.
const SETTINGS: &str = "config_2026-11-29_080000.yaml";

/// An array of nested lists.
fn array(value: &Value) -> ArrayD<f32> {
    fn shape(value: &Value) -> Vec<usize> {
        match value.as_array() {
            Some(list) => std::iter::once(list.len()).chain(shape(&list[0])).collect(),
            None => Vec::new(),
        }
    }
    fn flat(value: &Value, into: &mut Vec<f32>) {
        match value.as_array() {
            Some(list) => list.iter().for_each(|value| flat(value, into)),
            None => into.push(value.as_f64().expect("a number") as f32),
        }
    }
    let mut values = Vec::new();
    flat(value, &mut values);
    ArrayD::from_shape_vec(IxDyn(&shape(value)), values).expect("as many values")
}

/// A place with a saved model in `saved`, its inputs in `data`, and what the library computes.
fn saved(model: &str) -> (Place, Value) {
    let place = Place::new();
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/assets/multiview_ae");
    let assets = assets.join(model);
    for name in [SETTINGS, "model.ckpt"] {
        place.file(&format!("saved/{name}"), fs::read(assets.join(name)).expect("an asset"));
    }
    let text = fs::read_to_string(assets.join("expected.json")).expect("an asset");
    let expected: Value = serde_json::from_str(&text).expect("JSON");
    fs::remove_dir_all(place.path("data")).expect("it is there");
    fs::create_dir(place.path("data")).expect("a folder");
    for (m, view) in expected["views"].as_array().expect("a list").iter().enumerate() {
        write_npy(place.path(&format!("data/v{m}.npy")), &array(view)).expect("a file");
    }
    (place, expected)
}

/// Checks arrays of an NPZ side by side.
fn same(place: &Place, file: &str, names: &[&str], expected: &Value) {
    let mut npz =
        NpzReader::new(File::open(place.path(file)).expect("it was written")).expect("an NPZ");
    let expected = array(expected);
    let rows = expected.shape()[0];
    let mut found: Vec<Vec<f32>> = vec![Vec::new(); rows];
    for name in names {
        let part: ArrayD<f32> = npz.by_name(name).expect("an array");
        assert_eq!(part.shape()[0], rows, "{file} {name}");
        for (row, values) in found.iter_mut().zip(part.outer_iter()) {
            row.extend(values.iter());
        }
    }
    let found = found.concat();
    assert_eq!(found.len(), expected.len(), "{file} {names:?}");
    let far = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 2e-6, "{file} {names:?}: {far}");
}

#[test]
fn an_imported_joint_encoder_encodes_and_decodes_as_the_one_that_was_saved() {
    let (place, expected) = saved("jmvae");
    let text = place.succeeds("import saved --out run");
    assert!(text.contains("jmvae of v0 [5], v1 [3], 38 weights"), "{text}");
    assert!(text.contains("weights of `saved/model.ckpt`"), "{text}");
    assert!(text.contains(&format!("settings of `saved/{SETTINGS}`")), "{text}");
    place.succeeds("encode run --data data --out z.npz");
    same(&place, "z.npz", &["z"], &expected["latents"][0]);
    place.succeeds("generate run --data data --given v0,v1 -n 6 --out x.npz");
    for (m, name) in ["v0", "v1"].into_iter().enumerate() {
        same(&place, "x.npz", &[name], &expected["reconstructions"][0][m]);
    }
    let config = fs::read_to_string(place.path("run/run.toml")).expect("it is there");
    assert!(config.contains("alpha = 0.5"), "{config}");
    assert!(place.left_over().is_empty());
}

#[test]
fn private_features_come_first_there_and_last_here() {
    let (place, expected) = saved("mmjsd");
    let text = place.succeeds("import saved --names blood,gait,mri --out run");
    assert!(text.contains("mmjsd of blood [5], gait [3], mri [4]"), "{text}");
    for (m, name) in ["blood", "gait", "mri"].into_iter().enumerate() {
        let from = place.path(&format!("data/v{m}.npy"));
        fs::rename(from, place.path(&format!("data/{name}.npy"))).expect("it is there");
    }
    place.succeeds("encode run --data data --out z.npz");
    place.succeeds("generate run --data data --given blood,gait,mri -n 6 --out x.npz");
    for (m, name) in ["blood", "gait", "mri"].into_iter().enumerate() {
        same(&place, "z.npz", &[&format!("z_{name}"), "z"], &expected["latents"][m]);
        same(&place, "x.npz", &[name], &expected["reconstructions"][0][m]);
    }
}

#[test]
fn convolutions_are_imported_too() {
    let (place, expected) = saved("images");
    place.succeeds("import saved/model.ckpt --out run");
    place.succeeds("encode run --data data --out z.npz");
    same(&place, "z.npz", &["z"], &expected["latents"][0]);
    place.succeeds("generate run --data data --given v0,v1 -n 6 --out x.npz");
    same(&place, "x.npz", &["v0"], &expected["reconstructions"][0][0]);
    same(&place, "x.npz", &["v1"], &expected["reconstructions"][0][1]);
}

#[test]
fn options_without_a_counterpart_are_refused_by_name() {
    let (place, _) = saved("jmvae");
    let path = format!("saved/{SETTINGS}");
    let text = fs::read_to_string(place.path(&path)).expect("it is there");
    let refuses = |from: &str, to: &str, parts: &[&str]| {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "`{from}` stands in the settings");
        place.file(&path, changed);
        place.fails("import saved --out run", 2, parts);
    };
    let mlp = "multiviewae.architectures.mlp.VariationalEncoder";
    let conditional = "multiviewae.architectures.mlp.ConditionalVariationalEncoder";
    refuses(mlp, conditional, &[&path, "_target_", "labels"]);
    refuses(mlp, "mine.VariationalEncoder", &[&path, "_target_", "`multiviewae.architectures.`"]);
    refuses("distributions.Normal", "distributions.Laplace", &[&path, "enc_dist", "with_softmax"]);
    refuses("  loc: 0.0", "  loc: 1.0", &[&path, "`prior.loc`", "standard"]);
    refuses("  alpha: 0.5", "  alfa: 0.5", &[&path, "unknown key `alfa` of JMVAE", "`alpha`"]);
    refuses("  alpha: 0.5", "  alpha: ${gamma}", &[&path, "`model.alpha`", "save_config"]);
    refuses("  alpha: 0.5", "  alpha: half", &[&path, "`alpha`", "a number"]);
    let model = "model:\n  save_model";
    refuses(model, &format!("defaults: [other]\n{model}"), &[&path, "`defaults`"]);
    refuses("  alpha: 0.5", "  alpha: [0.5", &[&path, "cannot be read", "line"]);
    // A width that the weights do not have.
    refuses("    - 4\n", "    - 5\n", &["model.ckpt", "expected the shape [5, 6], found [4, 6]"]);
}

#[test]
fn settings_are_found_or_asked_for() {
    let (place, _) = saved("jmvae");
    let settings = format!("saved/{SETTINGS}");
    let text = fs::read_to_string(place.path(&settings)).expect("it is there");
    fs::remove_file(place.path(&settings)).expect("it is there");
    place.fails("import saved --out run", 2, &["`settings.yaml`", "`saved`", "`--config FILE`"]);
    place.file("elsewhere.yaml", &text);
    place.succeeds("import saved --config elsewhere.yaml --out run");
    place.file("saved/a.yaml", &text).file("saved/b.yaml", &text);
    let several = ["several files of settings", "saved/a.yaml", "saved/b.yaml", "`--config FILE`"];
    place.fails("import saved --out again", 2, &several);
    place.file("saved/settings.yaml", &text);
    let said = place.succeeds("import saved --out again");
    assert!(said.contains("settings of `saved/settings.yaml`"), "{said}");
}

#[test]
fn a_checkpoint_that_is_damaged_or_of_something_else_is_refused() {
    let refused = |change: &dyn Fn(&Place, Vec<u8>), parts: &[&str]| {
        let (place, _) = saved("jmvae");
        let bytes = fs::read(place.path("saved/model.ckpt")).expect("it is there");
        change(&place, bytes);
        place.fails("import saved --out run", 2, parts);
    };
    let checkpoint = "saved/model.ckpt";
    for length in [0, 1, 100, 6000, 13_000] {
        let cut = move |place: &Place, mut bytes: Vec<u8>| {
            bytes.truncate(length);
            place.file("saved/model.ckpt", bytes);
        };
        refused(&cut, &[checkpoint, "cannot be read"]);
    }
    let text = |place: &Place, _: Vec<u8>| {
        place.file("saved/model.ckpt", "weights");
    };
    refused(&text, &[checkpoint, "cannot be read"]);
    let foreign = |place: &Place, _: Vec<u8>| {
        // What MultiVae saves has other keys.
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/assets/mopoe/model.pt");
        place.file("saved/model.ckpt", fs::read(assets).expect("an asset"));
    };
    refused(&foreign, &[checkpoint, "hyper_parameters"]);
    let pickled = |place: &Place, _: Vec<u8>| {
        fs::remove_file(place.path("saved/model.ckpt")).expect("it is there");
        place.file("saved/model.pkl", "cos\nsystem\n(S'touch executed'\ntR.");
    };
    refused(&pickled, &["`saved` has no checkpoint", "model.ckpt", "never executed"]);
    let several = |place: &Place, bytes: Vec<u8>| {
        fs::remove_file(place.path("saved/model.ckpt")).expect("it is there");
        place.file("saved/epoch=1.ckpt", &bytes).file("saved/epoch=2.ckpt", &bytes);
    };
    refused(&several, &["several checkpoints", "saved/epoch=1.ckpt", "saved/epoch=2.ckpt"]);
}

#[test]
fn settings_that_hydra_has_put_elsewhere_are_not_taken_for_those_of_the_model() {
    let (place, _) = saved("jmvae");
    let settings = format!("saved/{SETTINGS}");
    let text = fs::read_to_string(place.path(&settings)).expect("it is there");
    fs::remove_file(place.path(&settings)).expect("it is there");
    // The checkpoint says `settings.yaml`: a folder of the same length before a shorter name.
    let bytes = fs::read(place.path("saved/model.ckpt")).expect("it is there");
    let (from, to) = (b"settings.yaml".as_slice(), b"folder/a.yaml".as_slice());
    let changed = repacked(&bytes, from, to);
    place.file("saved/model.ckpt", changed).file("saved/a.yaml", &text);
    let parts = ["`folder/a.yaml`", "`# @package _global_`", "`--config`"];
    place.fails("import saved --out run", 2, &parts);
    place.succeeds("import saved --config saved/a.yaml --out run");
    place.file("saved/a.yaml", format!("# @package _global_\n{text}"));
    place.succeeds("import saved --out again");
}

/// An archive with other bytes in its pickle, of the same length.
fn repacked(archive: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut old = zip::ZipArchive::new(std::io::Cursor::new(archive)).expect("an archive");
    let mut new = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for i in 0..old.len() {
        let mut entry = old.by_index(i).expect("an entry");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).expect("intact");
        if entry.name().ends_with("data.pkl") {
            let at = bytes.windows(from.len()).position(|window| window == from);
            let at = at.expect("it is there");
            bytes[at..at + to.len()].copy_from_slice(to);
        }
        let stored = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        new.start_file(entry.name(), stored).expect("a new entry");
        std::io::Write::write_all(&mut new, &bytes).expect("in memory");
    }
    new.finish().expect("in memory").into_inner()
}

#[test]
fn names_of_views_are_as_many_as_views() {
    let (place, _) = saved("jmvae");
    place.fails(
        "import saved --names a --out run",
        2,
        &["`--names`", "expected 2 names", "found 1"],
    );
    place.fails("import saved --names a,a --out run", 2, &["`--names`", "`a` stands twice"]);
    place.fails("import saved --names a,b/c --out run", 2, &["b/c"]);
}
