//! What a modality is.
//!
//! ```
//! use multivae_core::{distribution::Likelihood, modality::{ModalitySpec, check_all}};
//!
//! let scan = ModalitySpec::new("scan", &[1, 8, 8])?.with_likelihood(Likelihood::Bernoulli {});
//! assert_eq!(scan.features(), 64);
//! // Names become parts of paths, and are different within a model.
//! assert!(ModalitySpec::new("scans/first", &[3]).is_err());
//! assert!(check_all(&[scan.clone(), scan]).is_err());
//! # Ok::<(), multivae_core::Error>(())
//! ```

use std::fmt;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, batch::Values, distribution::Likelihood};

/// The name of a modality: not empty, without `.`, `/`, `\` or white space, since it becomes a
/// part of parameter paths and file names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModalityName(String);

impl ModalityName {
    /// Checks and takes a name.
    ///
    /// # Errors
    ///
    /// [`Error::ModalityName`].
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let bad = |c: char| matches!(c, '.' | '/' | '\\') || c.is_whitespace() || c.is_control();
        if name.is_empty() || name.contains(bad) {
            return Err(Error::ModalityName(name));
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ModalityName {
    type Error = Error;
    fn try_from(name: String) -> Result<Self> {
        Self::new(name)
    }
}

impl From<ModalityName> for String {
    fn from(name: ModalityName) -> Self {
        name.0
    }
}

impl fmt::Display for ModalityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A modality: its name, the shape of one sample and the likelihood of its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModalitySpec {
    /// Name in batches, files and parameter paths.
    pub name: ModalityName,
    /// Shape of one sample, without the batch axis: `[features]`, `[channels, height, width]`,
    /// `[channels, depth, height, width]`, or `[length, vocabulary]` for text.
    pub shape: Vec<usize>,
    /// How a decoder's output is a distribution over values.
    #[serde(default)]
    pub likelihood: Likelihood,
    /// Whether encoders read which cells are observed beside the values, so that they tell a
    /// missing cell from one that was measured as 0; see [`input_shape`](Self::input_shape).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observed_mask: bool,
}

impl ModalitySpec {
    /// A modality with a unit normal likelihood.
    ///
    /// # Errors
    ///
    /// [`Error::ModalityName`], [`Error::Config`] if an axis of `shape` is 0 or there is none.
    pub fn new(name: &str, shape: &[usize]) -> Result<Self> {
        let spec = Self {
            name: ModalityName::new(name)?,
            shape: shape.to_vec(),
            likelihood: Likelihood::default(),
            observed_mask: false,
        };
        spec.check()?;
        Ok(spec)
    }

    /// The same with another likelihood.
    pub fn with_likelihood(mut self, likelihood: Likelihood) -> Self {
        self.likelihood = likelihood;
        self
    }

    /// The same with the mask of its cells beside the values that encoders read.
    pub fn with_observed_mask(mut self) -> Self {
        self.observed_mask = true;
        self
    }

    /// Shape of what encoders read of one sample: the shape of the values, or with
    /// [`observed_mask`](Self::observed_mask) twice its first axis, so that the mask of a table lies
    /// behind its features, and that of an image in further channels.
    pub fn input_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if self.observed_mask {
            shape[0] *= 2;
        }
        shape
    }

    /// What encoders read of values in which what is missing is 0: counts by their logarithms, see
    /// [`Likelihood::encode_view`]; with [`observed_mask`](Self::observed_mask) `cells` behind them,
    /// `[batch, features]`, 1 where a cell is observed and 0 where it is not.
    pub fn input(&self, values: Values, cells: impl FnOnce() -> Tensor<2>) -> Values {
        match self.likelihood.encode_view(values) {
            Values::Dense(values) if self.observed_mask => {
                Values::Dense(Tensor::cat(vec![values, cells()], 1))
            }
            values => values,
        }
    }

    /// Whether a sample is `[length, vocabulary]`.
    pub fn is_sequence(&self) -> bool {
        self.shape.len() == 2
    }

    /// Values of one sample.
    pub fn features(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether a sample is `[channels, height, width]`.
    pub fn is_image(&self) -> bool {
        self.shape.len() == 3
    }

    /// Whether a sample is `[channels, depth, height, width]`.
    pub fn is_volume(&self) -> bool {
        self.shape.len() == 4
    }

    /// Whether a sample is an image or a volume, whose features are pixels or voxels.
    pub fn is_grid(&self) -> bool {
        self.is_image() || self.is_volume()
    }

    /// # Errors
    ///
    /// [`Error::Config`] if an axis of the shape is 0 or there is none, the likelihood's scale is
    /// not positive, or a mask of cells is asked for of a sequence, which has one of its own.
    pub fn check(&self) -> Result<()> {
        if self.shape.is_empty() || self.shape.contains(&0) {
            return Err(Error::Config {
                field: format!("{}.shape", self.name),
                expected: "at least one axis, none of length 0".into(),
                found: format!("{:?}", self.shape),
            });
        }
        if self.observed_mask && self.is_sequence() {
            return Err(Error::Config {
                field: format!("{}.observed_mask", self.name),
                expected: "false for a sequence, whose padding is masked already".into(),
                found: "true".into(),
            });
        }
        self.likelihood.check(&self.name, &self.shape)
    }
}

/// Checks that there are 1 to 64 modalities with different names, each valid.
///
/// # Errors
///
/// [`Error::ModalityCount`], [`Error::DuplicateModality`], or as [`ModalitySpec::check`].
pub fn check_all(specs: &[ModalitySpec]) -> Result<()> {
    if !(1..=64).contains(&specs.len()) {
        return Err(Error::ModalityCount(specs.len()));
    }
    for (i, spec) in specs.iter().enumerate() {
        spec.check()?;
        if specs[..i].iter().any(|other| other.name == spec.name) {
            return Err(Error::DuplicateModality(spec.name.to_string()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_split_a_path_are_refused() {
        for name in ["", "a.b", "a/b", "a b", "a\\b"] {
            assert_eq!(ModalityName::new(name), Err(Error::ModalityName(name.into())));
        }
        assert!(ModalityName::new("image-2_é").is_ok());
    }

    #[test]
    fn a_name_given_twice_is_refused() {
        let spec = ModalitySpec::new("a", &[2]).expect("valid");
        assert_eq!(check_all(&[spec.clone(), spec]), Err(Error::DuplicateModality("a".into())));
    }

    #[test]
    fn an_axis_of_length_zero_is_refused() {
        assert!(matches!(ModalitySpec::new("a", &[3, 0]), Err(Error::Config { .. })));
    }
}
