//! Data as biologists keep it, from training to results in a copy of their file.

use std::fs;

use crate::place::Place;

/// A file that a library of the field has written.
fn written(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../multivae-data/tests/data/formats");
    fs::read(format!("{folder}/{name}")).expect("committed with the tests")
}

const TRAIN: &str = "--model mopoe --epochs 1 --set model.latent=2";

#[test]
fn results_go_into_a_copy_of_the_users_file() {
    let place = Place::new();
    place.file("cells.h5mu", written("several.h5mu"));
    place.file("dense.h5ad", written("dense.h5ad"));
    let text = place.succeeds("data cells.h5mu");
    assert!(text.contains("protein") && text.contains("rna"), "{text}");
    place.succeeds(&format!("train --data cells.h5mu {TRAIN} --out run"));
    place.succeeds("encode run --out encoded.h5mu");
    // The latent values are data again, beside what the file had.
    let manifest = "[[modality]]\nname = 'z'\nfile = 'encoded.h5mu'\narray = 'obsm/X_multivae'\n\
                    [[modality]]\nname = 'rna'\nfile = 'encoded.h5mu'\narray = 'rna'\n";
    place.file("again.toml", manifest);
    let text = place.succeeds("data again.toml");
    assert!(text.contains("8 rows"), "{text}");
    let generated =
        "generate run --data cells.h5mu --given protein --target rna -n 8 --out made.h5mu";
    place.succeeds(generated);
    // Rows without the modality that was given have no generated values.
    let layer = "[[modality]]\nname = 'rna'\nfile = 'made.h5mu'\narray = 'rna'\n\
                 [[modality]]\nname = 'made'\nfile = 'made.h5mu'\narray = \
                 'mod/rna/layers/multivae_generate'\n";
    place.file("layer.toml", layer);
    place.succeeds("data layer.toml");
    place.succeeds("impute run --out whole.h5mu");
    let both = "[[modality]]\nname = 'rna'\nfile = 'whole.h5mu'\narray = 'rna/layers/multivae_impute'\n\
                [[modality]]\nname = 'protein'\nfile = 'whole.h5mu'\narray = \
                'protein/layers/multivae_impute'\n";
    place.file("whole.toml", both);
    place.succeeds("data whole.toml");
    // Cells of which the genes were not measured have theirs beside those of all cells.
    let all = "[[modality]]\nname = 'rna'\nfile = 'whole.h5mu'\narray = \
               'obsm/X_multivae_impute_rna'\n";
    place.file("all.toml", all);
    let text = place.succeeds("data all.toml");
    assert!(text.contains("8 rows"), "{text}");
    // A copy is of the file that the rows came from, and of no other.
    place.fails("encode run --out z.h5ad", 2, &["`--out z.h5ad`", "cells.h5mu", "ends otherwise"]);
    place.fails("encode run --data dense.h5ad --out z.h5ad", 2, &["dense"]);
    assert!(!place.path("z.h5ad").exists());
}
