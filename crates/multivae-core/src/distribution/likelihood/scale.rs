//! Where a positive parameter beside the location comes from.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Learned, Output};
use crate::{Error, Result, distribution::LOG_VAR_LIMIT};

/// How a scale, or the dispersion of counts, is found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub enum Scale {
    /// It is a number.
    Fixed(f64),
    /// One value is learned for the modality, from 1.
    Learned,
    /// One value is learned for each feature, from 1.
    LearnedPerFeature,
    /// The decoder yields its logarithm beside the location, within ±10.
    Decoded,
}

/// A scale as a configuration writes it: a number or a word.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Word(Word),
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Learned,
    LearnedPerFeature,
    Decoded,
}

impl From<Written> for Scale {
    fn from(written: Written) -> Self {
        match written {
            Written::Number(scale) => Self::Fixed(scale),
            Written::Word(Word::Learned) => Self::Learned,
            Written::Word(Word::LearnedPerFeature) => Self::LearnedPerFeature,
            Written::Word(Word::Decoded) => Self::Decoded,
        }
    }
}

impl From<Scale> for Written {
    fn from(scale: Scale) -> Self {
        match scale {
            Scale::Fixed(scale) => Self::Number(scale),
            Scale::Learned => Self::Word(Word::Learned),
            Scale::LearnedPerFeature => Self::Word(Word::LearnedPerFeature),
            Scale::Decoded => Self::Word(Word::Decoded),
        }
    }
}

impl From<f64> for Scale {
    fn from(scale: f64) -> Self {
        Self::Fixed(scale)
    }
}

impl Default for Scale {
    fn default() -> Self {
        Self::Fixed(1.0)
    }
}

/// Largest magnitude of the logarithm of a scale that a network may give.
const LOG_LIMIT: f64 = LOG_VAR_LIMIT / 2.0;

impl Scale {
    /// Parameters of a feature, with one location.
    pub(super) fn parameters(self) -> usize {
        if self == Self::Decoded { 2 } else { 1 }
    }

    /// The tensor that is learned, by its name.
    pub(super) fn learned(self, name: &str, shape: &[usize]) -> Vec<Learned> {
        match self {
            Self::Learned => vec![Learned::new(name, 1, 0.0)],
            Self::LearnedPerFeature => vec![Learned::new(name, shape.iter().product(), 0.0)],
            Self::Fixed(_) | Self::Decoded => Vec::new(),
        }
    }

    /// # Errors
    ///
    /// [`Error::Config`] for a number that is not positive and finite.
    pub(super) fn check(self, field: &str) -> Result<()> {
        match self {
            Self::Fixed(scale) if !(scale > 0.0 && scale.is_finite()) => Err(Error::Config {
                field: field.to_owned(),
                expected: "a positive number".into(),
                found: scale.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Its logarithm, `[1, 1, 1]`, `[1, 1, features]` or `[samples, batch, features]`.
    pub(super) fn log(self, output: &Output<'_>) -> Tensor<3> {
        match self {
            Self::Fixed(scale) => Tensor::full([1, 1, 1], scale.ln(), &output.all().device()),
            Self::Learned | Self::LearnedPerFeature => output.learned(0),
            Self::Decoded => output.parameter(1).clamp(-LOG_LIMIT, LOG_LIMIT),
        }
    }
}
