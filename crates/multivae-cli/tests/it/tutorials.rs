//! The tutorials: every command of their pages runs, with fewer epochs and rows.

use std::{fs, path::Path};

use crate::place::Place;

/// A block of a page: what it is written in, and its lines.
fn blocks(text: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, Vec<String>)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language.to_owned(), Vec::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, lines))) => lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    blocks
}

/// A command as it is run here: two epochs, few rows of data that is large.
fn short(command: &str) -> String {
    let mut words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    if let Some(place) = words.iter().position(|word| word == "--epochs") {
        words[place + 1] = "2".into();
        if ["mfeat", "mnist-labels", "polydigits"]
            .iter()
            .any(|name| words.contains(&(*name).into()))
        {
            words.extend(["--set".into(), "data.rows=200".into()]);
        }
    }
    if words[0] == "evaluate" {
        words.extend(["--rows", "20", "--samples", "5"].map(str::to_owned));
    }
    words.join(" ")
}

/// A file as it is written here.
fn short_file(lines: &[String]) -> String {
    let line = |line: &String| match line.split_once(" = ") {
        Some(("train.epochs", _)) => {
            "train.epochs = 2\ndata.rows = 200\noutput.pictures_every = 0".into()
        }
        Some(("samples", _)) => "samples = 5\nrows = 20".into(),
        _ if line.trim() == "modalities = 2" => format!("{line}\nrows = 200"),
        _ => line.clone(),
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Does what a page says, from its top to its end; gives how many commands it has.
fn follow(page: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tutorials");
    let text = fs::read_to_string(folder.join(page)).expect("a page");
    let place = Place::new();
    let mut commands = 0;
    for (language, lines) in blocks(&text) {
        match language.as_str() {
            "toml" => {
                let name = lines[0].strip_prefix("# ").expect("the first line names the file");
                place.file(name, short_file(&lines));
            }
            "sh" => {
                for line in &lines {
                    let command = line.strip_prefix("multivae ").expect("a command of the program");
                    place.succeeds(&short(command));
                    commands += 1;
                }
            }
            // What Python writes there is written here, as there may be none.
            "python" if lines.iter().any(|line| line.contains("arrays.npz")) => {
                let values = |features: usize| {
                    let value = |i: usize| ((i * 7919) % 101) as f32 / 50.0 - 1.0;
                    ndarray::Array2::from_shape_fn((60, features), |(r, c)| value(r * features + c))
                };
                let file = fs::File::create(place.path("arrays.npz")).expect("a file");
                let mut arrays = ndarray_npy::NpzWriter::new(file);
                arrays.add_array("a", &values(5)).expect("written");
                arrays.add_array("b", &values(3)).expect("written");
                arrays.finish().expect("written");
            }
            "python" | "text" => {}
            other => panic!("{page}: a block of `{other}`"),
        }
    }
    commands
}

#[test]
fn first_steps() {
    assert!(follow("first-steps.md") >= 12);
}

#[test]
fn tables() {
    assert!(follow("tables.md") >= 7);
}

#[test]
fn images() {
    assert!(follow("images.md") >= 7);
}

#[test]
fn choosing() {
    assert!(follow("choosing.md") >= 2);
}

#[test]
fn missing() {
    assert!(follow("missing.md") >= 3);
}

#[test]
fn python() {
    assert!(follow("python.md") >= 6);
}

#[test]
fn collapse() {
    assert!(follow("collapse.md") >= 5);
}

#[test]
fn every_page_is_followed_here_and_listed_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tutorials");
    let list = fs::read_to_string(folder.join("README.md")).expect("a list");
    let own = include_str!("tutorials.rs");
    for entry in fs::read_dir(&folder).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("text");
        if name != "README.md" {
            assert!(list.contains(&format!("({name})")), "README.md does not name {name}");
            assert!(own.contains(&format!("follow(\"{name}\")")), "nothing follows {name}");
        }
    }
}
