//! The configuration with comments.

use anyhow::{Context, Result};
use multivae::{
    core::options::{self, Field},
    run::RunConfig,
};

/// What each key means, by its place; the options of models and of training say it themselves. A
/// test says if one is missing.
const MEANINGS: &[(&str, &str)] = &[
    ("version", "version of the format"),
    ("model", "the model; `multivae models` lists them"),
    ("model.name", "which model"),
    ("data", "the data; `multivae data` lists what is embedded"),
    ("data.source", "an embedded data set, or the path of a folder, a file or a manifest"),
    ("data.standardise", "\"auto\" (tables yes, images no) or \"none\""),
    ("data.split", "shares of the rows; the rest is for training"),
    ("data.split.valid", "for choosing the best epoch"),
    ("data.split.test", "for `multivae generate --given` and `multivae evaluate`"),
    ("data.split.seed", "from which the order derives"),
    ("data.missing", "modalities that are taken from training and validation rows"),
    (
        "data.missing.pattern",
        "\"none\", \"mcar\" (completely at random), \"class_dependent\" or \"complete_cases\"; of single \
         values \"cells\", \"columns\" or \"blocks\"",
    ),
    ("data.missing.rate", "probability that a modality is missing"),
    ("data.missing.seed", "from which the missing entries derive"),
    ("output", "what a run writes besides checkpoints and measurements"),
    ("output.pictures_every", "epochs between two pictures of reconstructions; 0 for none"),
    ("output.picture_rows", "validation rows in a picture, at least 1"),
    (
        "output.coherence",
        "whether to measure coherence on the test rows at the end; it takes labels and trains classifiers",
    ),
];

/// Keys that are absent by default: the key they are printed behind, what they mean, an example.
const ABSENT: &[(&str, &str, &str)] = &[
    (
        "version",
        "whether encoders read which cells are observed beside the values, of all modalities or of \
         those in a list; false if absent",
        "observed_mask = true",
    ),
    ("data.source", "modalities of `polydigits`, 2 to 5; 3 if absent", "modalities = 3"),
    ("data.source", "use so many rows, drawn by `split.seed`; all if absent", "rows = 1000"),
    (
        "data.standardise",
        "codes in files that mean that nothing was measured, beside the usual ones",
        "missing_codes = [\"-999\", \"unknown\"]",
    ),
    (
        "data.standardise",
        "modalities of counts whose means are relative to the size of a row, its library size",
        "library_size = [\"rna\"]",
    ),
    (
        "data.standardise",
        "modalities whose values are probabilities, as those of grey images, of which 0 and 1 are \
         drawn, for each epoch anew",
        "binarise = [\"image\"]",
    ),
    (
        "data.standardise",
        "likelihoods of modalities by name, where the data is not to say them",
        "likelihoods = { rna = { kind = \"negative_binomial\" } }",
    ),
    (
        "data.standardise",
        "channels (\"grey\", \"colour\", \"alpha\"), height and width, and background (\"black\", \
         \"white\", \"ignore\") that images are made to have, slices (\"axial\", \"coronal\", \
         \"sagittal\") of volumes, and whether values are classes (label_map)",
        "images = { channels = \"grey\", resize = [64, 64] }",
    ),
];

/// The whole configuration as TOML that reads back, each key after what it means.
pub(crate) fn commented(config: &RunConfig) -> Result<String> {
    let text = toml::to_string(config).context("the configuration is no TOML")?;
    let mut out = String::new();
    let mut section = String::new();
    let options = config.model.options();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
            if section == "train" {
                out += &training(config);
            }
        }
        // The trainer explains its own section.
        if section == "train" || section.starts_with("train.") {
            continue;
        }
        let key = match line.split_once(" = ") {
            Some((name, _)) if section.is_empty() => name.to_owned(),
            Some((name, _)) => format!("{section}.{name}"),
            None => section.clone(),
        };
        if !line.is_empty() {
            out += &meaning(&key, &options);
        }
        out += &format!("{line}\n");
        for (_, meaning, example) in ABSENT.iter().filter(|(behind, ..)| *behind == key) {
            out += &format!("# {meaning}\n# {example}\n");
        }
    }
    Ok(out)
}

/// The section of the training.
fn training(config: &RunConfig) -> String {
    let mut out = String::from("# how the model is trained\n[train]\n");
    for line in config.train.commented_toml().lines() {
        // Its sections are parts of ours.
        let head = ["[", "# ["].into_iter().find(|head| line.starts_with(head));
        out += &match head {
            Some(head) => format!("{head}train.{}\n", &line[head.len()..]),
            None => format!("{line}\n"),
        };
    }
    out + "\n"
}

/// The comment of a key; nothing for one that is not known.
fn meaning(key: &str, options: &[Field]) -> String {
    if let Some((_, meaning)) = MEANINGS.iter().find(|(known, _)| *known == key) {
        return format!("# {meaning}\n");
    }
    let lines = key.strip_prefix("model.").and_then(|key| options::meaning(options, key));
    lines.unwrap_or_default().iter().map(|line| format!("#{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use multivae::models::ModelConfig;
    use toml::{Table, Value};

    use super::*;

    #[test]
    fn the_configuration_of_every_model_reads_back() {
        for name in ModelConfig::NAMES {
            let config = RunConfig::named(name).expect("listed");
            let text = commented(&config).expect("plain data");
            let read: RunConfig = toml::from_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert_eq!(read, config, "{text}");
        }
    }

    #[test]
    fn the_examples_of_absent_keys_read_back() {
        for name in ModelConfig::NAMES {
            let mut text = commented(&RunConfig::named(name).expect("listed")).expect("plain data");
            for (.., example) in ABSENT {
                assert!(text.contains(&format!("# {example}\n")), "{name}: `{example}`");
                text = text.replace(&format!("# {example}\n"), &format!("{example}\n"));
            }
            let read: Result<RunConfig, _> = toml::from_str(&text);
            assert!(read.is_ok(), "{name}: {read:?}");
        }
    }

    #[test]
    fn every_key_of_every_model_has_its_meaning() {
        for name in ModelConfig::NAMES {
            let text = commented(&RunConfig::named(name).expect("listed")).expect("plain data");
            let mut before = "";
            for line in text.lines().filter(|line| !line.is_empty()) {
                // The trainer explains the name of a variant with its section.
                let explained = before.starts_with('#') || before.starts_with("[train.");
                assert!(line.starts_with('#') || explained, "{name}: `{line}` has no comment");
                before = line;
            }
        }
    }

    #[test]
    fn every_meaning_is_of_a_key() {
        let known: Vec<Table> = ModelConfig::NAMES
            .iter()
            .map(|name| Table::try_from(RunConfig::named(name).expect("listed")).expect("data"))
            .collect();
        for (key, _) in MEANINGS {
            let find = |table: &Table| {
                let whole = Value::Table(table.clone());
                key.split('.').try_fold(&whole, |value, part| value.get(part)).is_some()
            };
            let exists = known.iter().any(find);
            assert!(exists, "`{key}`");
        }
    }
}
