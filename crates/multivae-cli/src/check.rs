//! What a model is checked for when its training ends: whether what it decodes is better than what
//! takes no model.

use std::sync::Arc;

use burn::tensor::Device;
use multivae::{
    core::{dataset::Dataset, model::MultimodalModel},
    metrics::{FEWEST_ROWS, Skill, SkillConfig, skill, skill_findings},
    models::Model,
    run::AlignedDataset,
};

/// Rows that are decoded at most and, however short the training was, at least.
const ROWS: [usize; 2] = [32, 512];
/// Modalities at most that are decoded: the work grows with their number and that of all.
const TARGETS: usize = 8;
/// Training rows at most of which the mean is.
const TRAIN_ROWS: usize = 2048;
/// Rows that are decoded for each that was trained on: with the forward passes of two given sets
/// per modality a hundredth of the training or so.
const SHARE: f64 = 0.02;
/// Findings that are shown.
const SHOWN: usize = 5;

/// What is said of a model after so many epochs, in lines; nothing of one that generates nothing.
///
/// It is checked on some validation rows, or on training rows where there are few.
pub(crate) fn lines(
    model: &Model,
    train: &Arc<dyn Dataset>,
    valid: &Arc<dyn Dataset>,
    epochs: usize,
    device: &Device,
) -> Vec<String> {
    let Ok(generator) = model.generator() else { return Vec::new() };
    let specs = model.modalities();
    let (data, which) =
        if valid.len() < ROWS[0] { (train, "training") } else { (valid, "validation") };
    let affordable = SHARE * (epochs * train.len()) as f64 / specs.len() as f64;
    let config = SkillConfig {
        rows: Some((affordable as usize).clamp(ROWS[0], ROWS[1])),
        train_rows: Some(TRAIN_ROWS),
        targets: Some(TARGETS),
        ..SkillConfig::default()
    };
    let aligned = |data: &Arc<dyn Dataset>| AlignedDataset::new(Arc::clone(data), specs);
    let checked = match (aligned(train), aligned(data)) {
        (Ok(train), Ok(data)) => {
            skill(generator, &train, &data, &config, device).map_err(|error| error.to_string())
        }
        (Err(error), _) | (_, Err(error)) => Err(error.to_string()),
    };
    match checked {
        Ok(skill) => {
            let generated = generator.generated().len();
            let of =
                (generated > TARGETS).then(|| format!(", {TARGETS} of {generated} modalities"));
            told(&skill, &format!("{which} rows{}", of.unwrap_or_default()))
        }
        Err(error) => vec![format!("what the model decodes could not be checked: {error}")],
    }
}

fn told(skill: &Skill, which: &str) -> Vec<String> {
    if skill.pairs.is_empty() {
        return Vec::new();
    }
    if skill.pairs.iter().all(|pair| pair.rows < FEWEST_ROWS) {
        let few = format!("{} {which} are too few", skill.rows);
        return vec![format!("whether the model is better than a mean is not known: {few}")];
    }
    let findings = skill_findings(skill);
    let rows =
        format!("{} {which}, against the mean of {} training rows", skill.rows, skill.train_rows);
    if findings.is_empty() {
        return vec![format!(
            "checked on {rows}: modalities are decoded closer to their values, from themselves \
             and from the others"
        )];
    }
    let mut lines = vec![format!("attention, checked on {rows}:")];
    lines.extend(findings.iter().take(SHOWN).map(|finding| format!("  {}", finding.text)));
    if findings.len() > SHOWN {
        let more = findings.len() - SHOWN;
        lines.push(format!(
            "  and {more} more: `multivae evaluate` with `--metrics reconstruction`"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use multivae::metrics::{Mean, PairSkill, Source};

    use super::*;

    fn skill(differences: &[f64]) -> Skill {
        let mean = |mean| Mean { mean, standard_error: 0.01 };
        let pair = |(i, &difference): (usize, &f64)| PairSkill {
            given: vec!["blood".into()],
            source: Source::Others,
            target: format!("m{i}"),
            rows: 40,
            error: mean(1.0 + difference),
            baseline: mean(1.0),
            difference: mean(difference),
        };
        let pairs = differences.iter().enumerate().map(pair).collect();
        Skill { rows: 40, train_rows: 200, pairs }
    }

    #[test]
    fn what_failed_is_told_first_with_rows_and_figures_and_not_without_end() {
        let lines = told(&skill(&[-0.5, 0.3, 0.0]), "validation rows");
        assert_eq!(
            lines,
            [
                "attention, checked on 40 validation rows, against the mean of 200 training rows:",
                "  `m1` decoded from `blood` is worse than the mean of its training rows: a squared \
                 error of 1.3000 ± 0.0100 against 1.0000 of the mean, on 40 rows.",
                "  `m2` decoded from `blood` is no better than the mean of its training rows: a \
                 squared error of 1.0000 ± 0.0100 against 1.0000 of the mean, on 40 rows.",
            ]
        );
        let lines = told(&skill(&[1.0; 9]), "training rows");
        assert_eq!(lines.len(), 7);
        assert!(lines[6].contains("and 4 more"), "{lines:?}");
    }

    #[test]
    fn a_model_that_did_not_fail_is_said_to_be_better_than_the_mean_and_no_more() {
        let lines = told(&skill(&[-0.5, -0.1]), "validation rows");
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("checked on 40 validation rows"), "{lines:?}");
        assert!(told(&skill(&[]), "validation rows").is_empty());
        let mut few = skill(&[-0.5]);
        few.pairs[0].rows = 3;
        assert!(told(&few, "validation rows")[0].contains("too few"));
    }
}
