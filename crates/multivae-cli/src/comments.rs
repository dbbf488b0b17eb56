//! The configuration with comments.

use anyhow::{Context, Result};
use multivae::run::RunConfig;

/// What each key means, by its place. A test says if one is missing.
const MEANINGS: &[(&str, &str)] = &[
    ("version", "version of the format"),
    ("model", "the model; `multivae models` lists them"),
    ("model.name", "which model"),
    ("model.latent", "features of the (shared or top) latent space, at least 1"),
    ("model.levels", "levels of the hierarchy, 1 to 16"),
    ("model.beta", "weight of the divergence from the prior, at least 0"),
    ("model.beta_private", "further weight of the divergences of private spaces, at least 0"),
    ("model.warmup", "epochs over which the weight of the divergence grows from 0; 0 for none"),
    ("model.subsampling", "whether bounds of single modalities and random subsets are added"),
    ("model.random_subsets", "random subsets of 2 to M - 1 modalities a training batch"),
    ("model.subsets", "components of the mixture, lists of modalities; empty for all subsets"),
    (
        "model.shared_posterior",
        "whether the default networks have one posterior block a level for all modalities",
    ),
    (
        "model.rescale",
        "weights of the modalities' likelihoods: \"none\", \"by_size\" or { given = [..] }",
    ),
    ("model.alpha", "weight of the divergences from the unimodal posteriors, at least 0"),
    (
        "model.joint_epochs",
        "epochs of the first stage, at least 1; the rest of the run is the second",
    ),
    ("model.lambda", "weights of the likelihoods in the first stage by modality; else `rescale`"),
    ("model.gamma", "weights of the likelihoods in the second stage by modality; else `rescale`"),
    ("model.flow", "the normalizing flow of a modality"),
    ("model.flow.kind", "\"maf\" (fast densities) or \"iaf\" (fast samples)"),
    ("model.flow.blocks", "blocks, one after the other, at least 1"),
    ("model.flow.hidden", "width of the hidden layers of a block, at least 1"),
    ("model.flow.layers", "hidden layers of a block"),
    ("model.flow.batch_norm", "whether a batch normalisation follows each block"),
    ("model.hmc", "the chains that sample given several modalities but not all"),
    ("model.hmc.steps", "proposals, each of them accepted or not, at least 1"),
    ("model.hmc.leapfrog", "leapfrog steps of a proposal, at least 1"),
    ("model.hmc.step_size", "length of a leapfrog step, above 0"),
    ("model.joint_encoder", "the encoder of all modalities; follows theirs where not given"),
    ("model.samples", "importance samples from the posterior of each modality, at least 1"),
    (
        "model.family",
        "of priors and posteriors: \"normal\", \"normal_softplus\" or \"laplace_softmax\"",
    ),
    ("model.estimator", "of the gradients: \"iwae\", or \"dreg\" of lower variance"),
    ("model.learned_prior", "whether the scale of the prior is learned"),
    ("model.learned_modality_priors", "whether the scales of the auxiliary priors are learned"),
    (
        "model.private_prior",
        "where private codes that are not given come from: \"shared\" or \"modality\"",
    ),
    ("model.clusters", "clusters of the shared space, at least 1"),
    ("model.private", "features of private spaces, by modality or of each; 0 for none"),
    (
        "model.conditioning",
        "all modalities but `main`, the one that is generated, in the order in which they are \
         read; empty for all but the last",
    ),
    ("model.message", "features of a message, at least 1"),
    ("model.dropout", "probability that a training row sends only some messages, 0 to 1"),
    ("model.top_beta", "weight of the divergence of the shared space, at least 0"),
    ("model.adaptive", "modalities the scale of whose codes is not 1"),
    ("model.bottom_betas", "weights of the codes' divergences by modality; 1 if not named"),
    ("model.gammas", "weights of the codes' likelihoods by modality; 1 if not named"),
    ("model.private_betas", "weights of the private divergences by modality; 1 if not named"),
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
];

/// Keys that are absent by default: the key they are printed behind, what they mean, an example.
const ABSENT: &[(&str, &str, &str)] = &[
    ("data.source", "modalities of `polydigits`, 2 to 5; 3 if absent", "modalities = 3"),
    ("data.source", "use so many rows, drawn by `split.seed`; all if absent", "rows = 1000"),
];

/// The whole configuration as TOML that reads back, each key after what it means.
pub(crate) fn commented(config: &RunConfig) -> Result<String> {
    let text = toml::to_string(config).context("the configuration is no TOML")?;
    let mut out = String::new();
    let mut section = String::new();
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
        if let (Some(meaning), false) = (meaning(&key), line.is_empty()) {
            out += &format!("# {meaning}\n");
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

fn meaning(key: &str) -> Option<&'static str> {
    MEANINGS.iter().find(|(known, _)| *known == key).map(|(_, meaning)| *meaning)
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
