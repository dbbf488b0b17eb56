//! What a representation shows, in words.

use serde::{Deserialize, Serialize};

use crate::representation::Representation;

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
    use crate::{Contribution, DimensionUse, Mean, SpaceUse};

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
    fn what_too_few_rows_say_is_no_finding() {
        let mut unsure = representation(&[1.0], 0.2, 0.5);
        unsure.contributions[0].decoding.standard_error = 1.0;
        assert_eq!(texts(&unsure), Vec::<String>::new());
    }
}
