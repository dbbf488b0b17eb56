//! Text on the command line: trained on, generated, imputed, and read by the words of a run.

use std::fs;

use crate::place::{Place, table};

const SMALL: &str = "--set model.latent=2 --set output.pictures_every=0";

/// A place with captions of 40 rows, of which every eighth has none, beside measurements.
fn place() -> Place {
    let place = Place::new();
    let caption = |row: usize| {
        let (size, colour) = (["a big", "a small"][row % 2], ["red", "blue", "grey"][row % 3]);
        let tail = if row.is_multiple_of(4) { ", with a stripe" } else { "" };
        format!("{size} {colour} bird{tail}.")
    };
    let captions: String = (0..40)
        .map(|row| match row % 8 {
            7 => format!("p{row},\n"),
            _ => format!("p{row},\"{}\"\n", caption(row)),
        })
        .collect();
    place.file("birds/caption.csv", format!("id,caption\n{captions}"));
    place.file("birds/gait.csv", table(&["speed", "step"], 0..40));
    // Few captions, often: without a word they would be classes.
    let manifest = "[[modality]]\nname = 'caption'\nfile = 'caption.csv'\ntext = {}\n\
                    [[modality]]\nname = 'gait'\nfile = 'gait.csv'\n";
    place.file("birds/manifest.toml", manifest);
    place
}

/// Identifier and text of the lines of a table.
fn lines(place: &Place, file: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(place.path(file)).expect("it was written");
    let line = |line: &str| {
        let (id, text) = line.split_once(',').expect("two columns");
        (id.to_owned(), text.trim_matches('"').to_owned())
    };
    text.lines().map(line).collect()
}

#[test]
fn captions_are_trained_on_generated_imputed_and_read_by_the_words_of_the_run() {
    let place = place();
    let found = place.succeeds("data birds");
    assert!(found.contains("caption: shape [9, 13]"), "{found}");
    place.succeeds(&format!("train --data birds --epochs 2 {SMALL} --out run"));
    // Words are kept with the run and with its bundle.
    for file in ["run/data.json", "run/bundle/schema.json"] {
        let text = fs::read_to_string(place.path(file)).expect("it was written");
        assert!(text.contains("<pad>") && text.contains("stripe"), "{file}");
    }
    let words = ["a", "big", "small", "red", "blue", "grey", "bird", ".", ",", "with", "stripe"];
    let known = |text: &str| {
        let text = text.replace(['.', ','], " ").replace("<unk>", " ");
        text.split_whitespace().all(|word| words.contains(&word))
    };
    place.succeeds("generate run --given gait --target caption -n 5 --out made.csv");
    let made = lines(&place, "made.csv");
    assert_eq!((made[0].1.as_str(), made.len()), ("caption", 6));
    assert!(made[1..].iter().all(|(_, text)| known(text)), "{made:?}");
    place.succeeds("generate run --prior -n 3 --out drawn");
    assert_eq!(
        fs::read_to_string(place.path("drawn/caption.csv")).expect("text").lines().count(),
        4
    );
    place.succeeds("impute run --out done");
    let done = lines(&place, "done/caption.csv");
    assert_eq!(done.len(), 41);
    let expected = "a big red bird, with a stripe.";
    assert_eq!(done[1], ("p0".to_owned(), expected.to_owned()), "what was read stays");
    let imputed = done.iter().filter(|(id, _)| id == "p7" || id == "p39");
    assert!(imputed.clone().count() == 2 && imputed.clone().all(|(_, text)| known(text)));
    place.succeeds("evaluate run");
    // New words are counted and not passed over.
    place.file("new/caption.csv", "id,caption\nx,A huge red bird.\ny,A blue bird\n");
    place.file("new/gait.csv", "id,speed,step\nx,1,2\ny,2,3\n");
    let said = place.succeeds("encode run --data new --out z.csv");
    assert_eq!(lines(&place, "z.csv").len(), 3, "{said}");
    // A bundle reads them as its run does.
    place.succeeds("encode run/bundle --data new --out again.csv");
    assert_eq!(lines(&place, "z.csv"), lines(&place, "again.csv"));
    // What was imputed is data as it was read.
    place.succeeds("encode run --data done --out whole.csv");
    assert_eq!(lines(&place, "whole.csv").len(), 41);
}
