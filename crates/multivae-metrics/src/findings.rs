//! What measures show, in words: what has failed is said, with the figures that show it.

use serde::{Deserialize, Serialize};

use crate::{
    coherence::Coherence,
    likelihood::{ConditionalLikelihood, Likelihoods},
    representation::Representation,
    skill::{PairSkill, Skill, Source},
};

/// Something about a model that its user should know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// The latent space or the modality that it is about.
    pub subject: String,
    /// A sentence, with the number that shows it.
    pub text: String,
    /// That number.
    pub value: f64,
}

/// Kinds of [`Finding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// What is decoded of a modality is farther from it than the mean of its training rows.
    WorseThanMean,
    /// What is decoded of a modality is not closer to it than the mean of its training rows.
    NoBetterThanMean,
    /// What is generated shows the class of what was given as often as by chance.
    ChanceCoherence,
    /// Estimates of likelihoods rest on single samples.
    UnreliableLikelihood,
    /// The posterior of a whole latent space is the prior.
    PosteriorCollapse,
    /// Some dimensions of a latent space hold nothing.
    UnusedDimensions,
    /// What a modality shows does not reach the latent values.
    IgnoredByEncoder,
    /// A modality is generated without regard to the latent values.
    IgnoredByDecoder,
}

/// Divergence in nats below which a dimension is the prior's.
const COLLAPSED: f64 = 0.01;

/// Share of the latent variance below which leaving a modality out moves nothing.
const UNMOVED: f64 = 0.001;

/// Standard errors by which a number differs from 0.
const ERRORS: f64 = 2.0;

/// Nats of a whole modality that are nothing.
const NOTHING: f64 = 1.0;

/// What a representation shows: collapsed spaces, unused dimensions, ignored modalities.
///
/// - A dimension is unused if it is not active, and its divergence is below 0.01 nats.
/// - A space has collapsed if all of its dimensions are unused. Private spaces, whose posteriors
///   are the prior where their modality is not given, count as others do.
/// - A modality is ignored by the encoder if leaving it out moves the posterior's mean by less than
///   0.1 % of the total variance.
/// - It is ignored by the decoder if its likelihood is not higher, by more than two standard
///   errors, with latent values of its row than with those of the prior, and two standard errors
///   above what was measured is less than a nat. Where so few rows are tested that more is
///   possible, nothing is said.
pub fn findings(representation: &Representation) -> Vec<Finding> {
    let least = representation.least_variance;
    let spaces = representation.spaces.iter().filter_map(|space| {
        let total = space.dimensions.len();
        let unused: Vec<usize> =
            (0..total).filter(|&i| !space.is_used(i, least, COLLAPSED)).collect();
        let kl: f64 = unused.iter().map(|&i| space.dimensions[i].kl.mean).sum();
        let name = &space.space;
        if unused.is_empty() {
            return None;
        }
        let finding = if unused.len() == total {
            Finding {
                kind: FindingKind::PosteriorCollapse,
                subject: name.clone(),
                text: format!(
                    "The posterior of `{name}` has collapsed to the prior: all of its {total} \
                     dimensions together are {kl:.4} nats away from it, so `{name}` says nothing \
                     about the data."
                ),
                value: kl,
            }
        } else {
            let value = unused.len() as f64;
            Finding {
                kind: FindingKind::UnusedDimensions,
                subject: name.clone(),
                text: format!(
                    "{} of {total} dimensions of `{name}` hold nothing: {}; together they are \
                     {kl:.4} nats away from the prior.",
                    unused.len(),
                    ranges(&unused)
                ),
                value,
            }
        };
        Some(finding)
    });
    let modalities = representation.contributions.iter().flat_map(|part| {
        let name = &part.modality;
        let encoder = (part.shift.mean < UNMOVED).then(|| Finding {
            kind: FindingKind::IgnoredByEncoder,
            subject: name.clone(),
            text: format!(
                "`{name}` is ignored where it is encoded: without it the posterior's mean moves \
                 by {:.3} % of its variance.",
                100.0 * part.shift.mean
            ),
            value: part.shift.mean,
        });
        let decoding = part.decoding;
        let error = ERRORS * decoding.standard_error;
        let ignored = decoding.mean <= error && decoding.mean + error < NOTHING;
        let decoder = ignored.then(|| Finding {
            kind: FindingKind::IgnoredByDecoder,
            subject: name.clone(),
            text: format!(
                "`{name}` is generated without regard to the latent values: its log-likelihood is \
                 {:.3} ± {:.3} nats higher with those of its row than with those of the prior.",
                decoding.mean, decoding.standard_error
            ),
            value: decoding.mean,
        });
        [encoder, decoder]
    });
    spaces.chain(modalities.flatten()).collect()
}

/// Rows from which on a comparison with the mean of the training rows says anything.
pub const FEWEST_ROWS: usize = 8;

/// What the comparison with the mean of the training rows shows, the worst first.
///
/// - Of fewer than [`FEWEST_ROWS`] rows nothing is said.
/// - A modality is decoded worse than by the mean if its squared error is higher by more than two
///   standard errors of the difference, row by row.
/// - It is decoded no better if its error is not lower by more than two of them.
pub fn skill_findings(skill: &Skill) -> Vec<Finding> {
    let finding = |pair: &PairSkill| {
        let PairSkill { difference, target, given, .. } = pair;
        if pair.rows < FEWEST_ROWS {
            return None;
        }
        let reach = ERRORS * difference.standard_error;
        let (kind, how) = if difference.mean > reach {
            (FindingKind::WorseThanMean, "worse than")
        } else if difference.mean >= -reach {
            (FindingKind::NoBetterThanMean, "no better than")
        } else {
            return None;
        };
        let from: Vec<String> = given.iter().map(|name| format!("`{name}`")).collect();
        let from = match pair.source {
            Source::Itself if given.len() == 1 => "itself".to_owned(),
            Source::Itself | Source::Others => from.join(", "),
        };
        let text = format!(
            "`{target}` decoded from {from} is {how} the mean of its training rows: a squared error \
             of {:.4} ± {:.4} against {:.4} of the mean, on {} rows.",
            pair.error.mean, pair.error.standard_error, pair.baseline.mean, pair.rows
        );
        Some(Finding { kind, subject: target.clone(), text, value: pair.explained() })
    };
    let mut findings: Vec<Finding> = skill.pairs.iter().filter_map(finding).collect();
    let worse = |finding: &Finding| finding.kind == FindingKind::WorseThanMean;
    findings.sort_by(|a, b| worse(b).cmp(&worse(a)).then(a.value.total_cmp(&b.value)));
    findings
}

/// What coherence shows if it is that of chance: from which single modalities others are generated
/// whose class is right no more often, in the mean over classes, than one among so many by chance,
/// as far as two standard errors tell.
pub fn coherence_findings(coherence: &Coherence) -> Vec<Finding> {
    let chance = 1.0 / coherence.classes.len().max(1) as f64;
    let single = |pair: &&crate::PairCoherence| pair.given.len() == 1 && !pair.reconstructed;
    let failed = |pair: &&crate::PairCoherence| {
        let recall = pair.scores.macro_recall;
        recall.mean <= chance + ERRORS * recall.standard_error
    };
    let pairs = coherence.pairs.iter().filter(single).filter(failed);
    pairs
        .map(|pair| {
            let (given, recall) = (&pair.given[0], pair.scores.macro_recall);
            Finding {
                kind: FindingKind::ChanceCoherence,
                subject: pair.target.clone(),
                text: format!(
                    "`{}` generated from `{given}` shows the right class no more often than by \
                     chance: {:.1} % ± {:.1} of a class's rows against {:.1} %, on {} rows.",
                    pair.target,
                    100.0 * recall.mean,
                    100.0 * recall.standard_error,
                    100.0 * chance,
                    pair.rows
                ),
                value: recall.mean,
            }
        })
        .collect()
}

/// What estimates of conditional likelihoods are worth: of how many pairs the standard error of a row's
/// estimate is a nat or more, which is what two means of one sample have.
///
/// `log p(x_T | x_S)` is a difference of two estimates of which each is too low, so that it may be too
/// high as well, by as much as the posterior given `S` lies beside that of the row.
pub fn likelihood_findings(likelihoods: &Likelihoods) -> Option<Finding> {
    let pairs = &likelihoods.conditional;
    let unsure = |pair: &&ConditionalLikelihood| pair.values.sampling_error >= 1.0;
    let beside =
        |pair: &ConditionalLikelihood| (pair.values.mean.mean - pair.posterior.mean.mean).abs();
    let unsure: Vec<&ConditionalLikelihood> = pairs.iter().filter(unsure).collect();
    let worst = unsure.iter().max_by(|a, b| beside(a).total_cmp(&beside(b)))?;
    let given: Vec<String> = worst.given.iter().map(|name| format!("`{name}`")).collect();
    Some(Finding {
        kind: FindingKind::UnreliableLikelihood,
        subject: worst.target.clone(),
        text: format!(
            "Conditional log-likelihoods of {} of {} pairs rest on single samples of {}, and may be \
             far too high: that of `{}` given {} is {:.1} nats, of what is generated for it {:.1}. \
             Compare models by the log-likelihood of what is generated, or take more samples.",
            unsure.len(),
            pairs.len(),
            likelihoods.samples,
            worst.target,
            given.join(", "),
            worst.values.mean.mean,
            worst.posterior.mean.mean,
        ),
        value: unsure.len() as f64 / pairs.len() as f64,
    })
}

/// Ascending numbers as text, neighbours joined: `0-2, 5`.
fn ranges(numbers: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match parts.last_mut() {
            Some((_, end)) if *end + 1 == number => *end = number,
            _ => parts.push((number, number)),
        }
    }
    let show = |&(start, end): &(usize, usize)| {
        if start == end { start.to_string() } else { format!("{start}-{end}") }
    };
    parts.iter().map(show).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Contribution, DimensionUse, LogLikelihood, Mean, PairCoherence, Scores, SpaceUse};

    fn mean(mean: f64) -> Mean {
        Mean { mean, standard_error: 0.1 }
    }

    fn representation(kl: &[f64], shift: f64, decoding: f64) -> Representation {
        let dimension = |&kl: &f64| DimensionUse { variance: kl, kl: mean(kl) };
        Representation {
            rows: 10,
            least_variance: 0.01,
            probes: Vec::new(),
            spaces: vec![SpaceUse {
                space: "z".into(),
                active: 0,
                dimensions: kl.iter().map(dimension).collect(),
            }],
            contributions: vec![Contribution {
                modality: "sound".into(),
                rows: 10,
                shift: mean(shift),
                bound: mean(1.0),
                decoding: mean(decoding),
            }],
            robustness: Vec::new(),
        }
    }

    fn texts(representation: &Representation) -> Vec<String> {
        findings(representation).into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn a_model_that_uses_all_has_no_findings() {
        assert_eq!(texts(&representation(&[1.0, 0.4], 0.2, 3.0)), Vec::<String>::new());
    }

    #[test]
    fn unused_dimensions_are_named_with_their_divergence() {
        let found = texts(&representation(&[0.001, 1.0, 0.002, 0.001, 0.003], 0.2, 3.0));
        assert_eq!(
            found,
            ["4 of 5 dimensions of `z` hold nothing: 0, 2-4; together they are 0.0070 nats away \
              from the prior."]
        );
    }

    #[test]
    fn a_space_without_used_dimensions_has_collapsed() {
        let found = findings(&representation(&[0.001, 0.002], 0.2, 3.0));
        assert_eq!(found[0].kind, FindingKind::PosteriorCollapse);
        assert!(found[0].text.contains("0.0030 nats"), "{found:?}");
    }

    #[test]
    fn ignored_modalities_are_named_with_what_shows_it() {
        let found = findings(&representation(&[1.0], 0.0002, 0.15));
        let kinds: Vec<_> = found.iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, [FindingKind::IgnoredByEncoder, FindingKind::IgnoredByDecoder]);
        assert!(found[0].text.contains("`sound`") && found[0].text.contains("0.020 %"));
        assert!(found[1].text.contains("0.150 ± 0.100 nats"), "{found:?}");
    }

    #[test]
    fn coherence_of_chance_is_found_and_that_of_a_model_is_not() {
        let pair = |given: &str, target: &str, recall: f64| PairCoherence {
            given: vec![given.into()],
            target: target.into(),
            reconstructed: given == target,
            rows: 50,
            scores: Scores {
                accuracy: Mean { mean: 0.9, standard_error: 0.01 },
                macro_recall: Mean { mean: recall, standard_error: 0.02 },
            },
            by_class: Vec::new(),
        };
        let coherence = Coherence {
            rows: 50,
            draws: 1,
            classes: vec![0, 1, 2, 3],
            // A majority class makes an accuracy of 90 % of nothing at all.
            pairs: vec![pair("a", "b", 0.28), pair("b", "a", 0.5), pair("a", "a", 0.2)],
            subsets: Vec::new(),
            sizes: Vec::new(),
        };
        let found = coherence_findings(&coherence);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].kind, FindingKind::ChanceCoherence);
        for part in ["`b` generated from `a`", "28.0 %", "25.0 %", "50 rows"] {
            assert!(found[0].text.contains(part), "{}", found[0].text);
        }
    }

    #[test]
    fn likelihoods_of_single_samples_are_found_with_the_one_furthest_from_what_is_generated() {
        let of = |value: f64, sampling_error: f64| LogLikelihood {
            rows: 7,
            mean: mean(value),
            sampling_error,
        };
        let pair = |given: &[&str], value: f64, error: f64| ConditionalLikelihood {
            given: given.iter().map(|&name| name.to_owned()).collect(),
            target: "genes".into(),
            values: of(value, error),
            posterior: of(-3.0, 0.2),
        };
        let conditional = vec![
            pair(&["scan"], 5.0, 0.99),
            pair(&["age"], 2.0, 1.2),
            pair(&["age", "scan"], 9.0, 1.4),
        ];
        let mut likelihoods =
            Likelihoods { samples: 40, joint: of(-9.0, 2.0), marginal: vec![], conditional };
        let found = likelihood_findings(&likelihoods).expect("two of three");
        assert_eq!((found.kind, found.value), (FindingKind::UnreliableLikelihood, 2.0 / 3.0));
        for part in ["2 of 3", "samples of 40", "`genes` given `age`, `scan` is 9.0", "it -3.0"] {
            assert!(found.text.contains(part), "{}", found.text);
        }
        likelihoods.conditional.truncate(1);
        assert!(likelihood_findings(&likelihoods).is_none());
    }

    #[test]
    fn what_too_few_rows_say_is_no_finding() {
        let mut unsure = representation(&[1.0], 0.2, 0.5);
        unsure.contributions[0].decoding.standard_error = 1.0;
        assert_eq!(texts(&unsure), Vec::<String>::new());
    }
}
