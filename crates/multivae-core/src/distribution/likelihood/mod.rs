//! Distributions that decoders parametrise.
//!
//! A decoder yields some numbers for each feature; a [`LikelihoodFamily`] says how many, and how
//! they are a distribution over values. [`Likelihood`] is the choice of one in a configuration.
//!
//! | kind | values | parameters per feature |
//! |---|---|---|
//! | `normal` | real | mean; with `scale = "decoded"` also the logarithm of the deviation |
//! | `laplace` | real | location; with `scale = "decoded"` also the logarithm of the scale |
//! | `bernoulli` | from 0 to 1 | log-odds |
//! | `categorical` | one-hot, probabilities, tokens | logits over the last axis |
//! | `log_normal` | positive | mean of the logarithm; with `scale = "decoded"` also its log-deviation |
//! | `poisson` | counts | logarithm of the mean |
//! | `negative_binomial` | counts | logarithm of the mean; with `dispersion = "decoded"` also that of the dispersion |
//! | `zero_inflated_poisson`, `zero_inflated_negative_binomial` | counts | as without inflation, then log-odds of a zero beside the counts |
//! | `ordinal` | class numbers in order | place on a line that learned thresholds cut |
//! | `mixed` | columns of several of these kinds | those of its runs of columns, one after the other |
//! | `custom` | the user's | the user's; see [`Networks::with_likelihood`](crate::nn::Networks::with_likelihood) |
//!
//! # Layout of parameters
//!
//! Outputs are `[samples, batch, parameters * features]`: first all features of the first
//! parameter, then all of the second. An image of `[channels, height, width]` with two parameters is
//! the output of a network that yields `[2 * channels, height, width]`.
//!
//! # A family of one's own
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use multivae_core::{
//!     batch::Values,
//!     distribution::{LikelihoodFamily, Output, Support},
//!     modality::ModalitySpec,
//!     nn::{Decoder, NetworkConfig, Networks},
//!     noise::Noise,
//! };
//!
//! /// Exponential waiting times of log-rate `output`.
//! #[derive(Debug)]
//! struct Exponential;
//!
//! impl LikelihoodFamily for Exponential {
//!     fn name(&self) -> &str {
//!         "exponential"
//!     }
//!     fn support(&self) -> Support {
//!         Support::Positive
//!     }
//!     fn terms(&self, output: &Output<'_>, x: Tensor<3>, _: Option<&Tensor<1>>) -> Tensor<3> {
//!         let log_rate = output.parameter(0);
//!         log_rate.clone() - x * log_rate.exp()
//!     }
//!     fn mean(&self, output: &Output<'_>, _: Option<&Tensor<1>>) -> Tensor<3> {
//!         output.parameter(0).neg().exp()
//!     }
//!     fn sample(&self, output: &Output<'_>, _: Option<&Tensor<1>>, noise: &mut Noise) -> Tensor<3> {
//!         let mean = self.mean(output, None);
//!         let uniform = noise.uniform(mean.dims(), 1, &mean.device());
//!         mean * uniform.neg().log1p().neg()
//!     }
//! }
//!
//! let device = Device::flex();
//! let networks = Networks::default().with_likelihood("exponential", Exponential);
//! let spec: ModalitySpec = serde_json::from_str(
//!     r#"{"name":"waits","shape":[2],"likelihood":{"kind":"custom","name":"exponential"}}"#,
//! )
//! .expect("valid");
//! let decoder = Decoder::init(&NetworkConfig::mlp(), &spec, &[3], &networks, &device)?;
//! let output = decoder.decode(Tensor::zeros([1, 1, 3], &device));
//! let waits = Values::Dense(Tensor::from_floats([[0.5, 2.0]], &device));
//! assert_eq!(decoder.log_prob(output, &waits.into()).dims(), [1, 1]);
//! # Ok::<(), multivae_core::Error>(())
//! ```

mod bernoulli;
mod categorical;
mod count;
mod custom;
mod laplace;
mod located;
mod log_normal;
mod mixed;
mod negative_binomial;
mod normal;
mod ordinal;
mod output;
mod poisson;
mod scale;
mod special;
mod support;
mod zero_inflated;

pub use bernoulli::Bernoulli;
pub use categorical::Categorical;
pub use custom::Custom;
pub use laplace::Laplace;
pub use log_normal::LogNormal;
pub use mixed::{ColumnRun, Mixed};
pub use negative_binomial::NegativeBinomial;
pub use normal::Normal;
pub use ordinal::Ordinal;
pub use output::{Learned, Output};
pub use poisson::Poisson;
pub use scale::Scale;
pub use special::{digamma_correction, stirling_error};
pub use support::Support;
pub use zero_inflated::{ZeroInflatedNegativeBinomial, ZeroInflatedPoisson};

use std::fmt;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    batch::{Target, Values},
    modality::ModalityName,
    noise::Noise,
};

/// A family of distributions over the values of a modality, in terms of what its decoder yields.
///
/// A family needs a name, the density of single values, a mean and samples; the rest follows.
pub trait LikelihoodFamily: fmt::Debug + Send + Sync {
    /// What it is called in a configuration.
    fn name(&self) -> &str;

    /// How many numbers of a decoder's output belong to each feature.
    fn parameters(&self) -> usize {
        1
    }

    /// Shape of a decoder's output for values of `shape`, both without the batch axis: the first
    /// axis is [`parameters`](Self::parameters) times as long.
    fn output_shape(&self, shape: &[usize]) -> Vec<usize> {
        let mut output = shape.to_vec();
        if let Some(first) = output.first_mut() {
            *first *= self.parameters();
        }
        output
    }

    /// Which values it is a distribution over.
    fn support(&self) -> Support;

    /// Tensors that the decoder of values of `shape` holds beside its network, and learns.
    fn learned(&self, _shape: &[usize]) -> Vec<Learned> {
        Vec::new()
    }

    /// The output at which every feature has the mean that is given, `[parameters * features]`, so
    /// that a decoder may begin there; other parameters are 0. `None` where features have a scale
    /// that any decoder begins near to.
    fn output_of_means(&self, _means: &[f32]) -> Option<Vec<f32>> {
        None
    }

    /// Checks the settings; `field` is where they stand, as `blood.likelihood`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`].
    fn check(&self, _field: &str) -> Result<()> {
        Ok(())
    }

    /// Checks that it is one of values of `shape`; `field` is where its settings stand.
    ///
    /// # Errors
    ///
    /// [`Error::Config`].
    fn check_shape(&self, _shape: &[usize], _field: &str) -> Result<()> {
        Ok(())
    }

    /// The column of the first observed value of a row of `shape` that it does not take, and what
    /// it takes there; `observed` says of a column whether anything is there.
    fn first_outside(
        &self,
        row: &[f32],
        shape: &[usize],
        observed: &dyn Fn(usize) -> bool,
    ) -> Option<(usize, Support)> {
        let support = self.support();
        support.first_outside(row, shape, observed).map(|column| (column, support))
    }

    /// Log-density of every single value, `[samples, batch, features]`, nats, of values
    /// `[1, batch, features]` in the support. `offset`, `[batch]`, is added to the logarithm of
    /// means of counts.
    fn terms(
        &self,
        output: &Output<'_>,
        values: Tensor<3>,
        offset: Option<&Tensor<1>>,
    ) -> Tensor<3>;

    /// `log p(x | output)` summed over observed features, `[samples, batch]`, nats.
    ///
    /// Where a cell is missing neither its value nor its parameters have any influence, and no
    /// gradient passes.
    ///
    /// # Panics
    ///
    /// If tokens are given to a family that reads numbers.
    fn log_prob(&self, output: &Output<'_>, target: &Target) -> Tensor<2> {
        sum_of_terms(self, output, target)
    }

    /// The mean, `[samples, batch, features]`: what to show of an output. Without `offset`,
    /// `[batch]`, means of counts are those of an offset of 0.
    fn mean(&self, output: &Output<'_>, offset: Option<&Tensor<1>>) -> Tensor<3>;

    /// One value for each output, `[samples, batch, features]`; see [`mean`](Self::mean).
    fn sample(
        &self,
        output: &Output<'_>,
        offset: Option<&Tensor<1>>,
        noise: &mut Noise,
    ) -> Tensor<3>;

    /// What a feature of a table of such values is brought to before a model sees it.
    fn normalisation(&self, _feature: usize) -> Normalisation {
        Normalisation::None
    }

    /// What encoders see of values `[batch, features]`, in which missing cells are 0.
    fn encode_view(&self, values: Tensor<2>) -> Tensor<2> {
        values
    }
}

/// What a feature of a table is brought to before a model sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalisation {
    /// It stays as it is.
    None,
    /// Mean 0 and variance 1.
    Standard,
    /// A geometric mean of 1, so that positive values stay positive.
    GeometricMean,
}

/// The values of a target, `[batch, features]`.
///
/// # Panics
///
/// If they are tokens.
fn dense<F: LikelihoodFamily + ?Sized>(family: &F, target: &Target) -> Tensor<2> {
    match &target.values {
        Values::Dense(values) => values.clone(),
        Values::Tokens { .. } => {
            panic!("tokens have a categorical likelihood, not `{}`", family.name())
        }
    }
}

/// The log-density of single values, summed over observed ones, `[samples, batch]`.
fn sum_of_terms<F: LikelihoodFamily + ?Sized>(
    family: &F,
    output: &Output<'_>,
    target: &Target,
) -> Tensor<2> {
    let values = dense(family, target);
    let offset = target.offset.as_ref();
    let terms = match &target.cells {
        None => family.terms(output, values.unsqueeze_dim(0), offset),
        Some(cells) => {
            let missing = cells.clone().equal_scalar(0.0);
            let values = values.mask_fill(missing.clone(), family.support().example());
            let terms = family.terms(&output.without(&missing), values.unsqueeze_dim(0), offset);
            let missing = missing.unsqueeze_dim::<3>(0).expand(terms.dims());
            terms.mask_fill(missing, 0.0)
        }
    };
    terms.sum_dim(2).squeeze_dim(2)
}

/// Declares [`Likelihood`]: a line is the name in a configuration, what it is, the variant, and
/// the family, `{}` for one without settings.
macro_rules! likelihoods {
    ($($kind:literal, $about:literal => $name:ident $family:tt;)*) => {
        /// How a decoder's output is a distribution over the values of a modality.
        ///
        /// ```
        /// use multivae_core::distribution::{Likelihood, Scale};
        ///
        /// let text = r#"{"kind":"negative_binomial","dispersion":"learned_per_feature"}"#;
        /// let counts: Likelihood = serde_json::from_str(text).expect("valid");
        /// assert_eq!(counts.kind(), "negative_binomial");
        /// assert_eq!(counts.family().output_shape(&[7]), [7]);
        /// assert_eq!(Likelihood::normal(Scale::Decoded).family().output_shape(&[7]), [14]);
        /// ```
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", deny_unknown_fields)]
        #[non_exhaustive]
        pub enum Likelihood {
            $(#[doc = $about] #[serde(rename = $kind)] $name $family,)*
            /// A likelihood for each of several runs of columns.
            #[serde(rename = "mixed")]
            Mixed(Mixed),
            /// A likelihood of the user's, by name.
            #[serde(rename = "custom")]
            Custom(Custom),
        }

        impl Likelihood {
            /// Names of all likelihoods of single values of the library, and what each is.
            pub const KINDS: &[(&str, &str)] = &[$(($kind, $about)),*];

            /// All likelihoods of single values of the library, with their defaults.
            pub fn all() -> Vec<Self> {
                vec![$(<$name>::default().into()),*]
            }

            /// Its name in a config.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $kind,)*
                    Self::Mixed(_) => "mixed",
                    Self::Custom(_) => "custom",
                }
            }

            /// The family that it chooses.
            pub fn family(&self) -> &dyn LikelihoodFamily {
                match self {
                    $(likelihoods!(@pattern family, $name $family) =>
                        likelihoods!(@family family, $name $family),)*
                    Self::Mixed(family) => family,
                    Self::Custom(family) => family,
                }
            }
        }

        $(likelihoods!(@from $name $family);)*
    };
    (@pattern $family:ident, $name:ident {}) => { Self::$name {} };
    (@pattern $family:ident, $name:ident ($type:ty)) => { Self::$name($family) };
    (@family $family:ident, $name:ident {}) => { &$name };
    (@family $family:ident, $name:ident ($type:ty)) => { $family };
    (@from $name:ident {}) => {
        impl From<$name> for Likelihood {
            fn from(_: $name) -> Self {
                Self::$name {}
            }
        }
    };
    (@from $name:ident ($type:ty)) => {
        impl From<$type> for Likelihood {
            fn from(family: $type) -> Self {
                Self::$name(family)
            }
        }
    };
}

likelihoods! {
    "normal", "Real values; the output is the mean." => Normal (Normal);
    "laplace", "Real values with heavier tails; the output is the location." => Laplace (Laplace);
    "bernoulli", "Values in `[0, 1]`; the output is log-odds." => Bernoulli {};
    "categorical", "One-hot values, probabilities or tokens; the output is logits over the last \
        axis of the modality's shape." => Categorical {};
    "log_normal", "Positive values; the output is the mean of their logarithms." =>
        LogNormal (LogNormal);
    "poisson", "Counts; the output is the logarithm of the mean." => Poisson {};
    "negative_binomial", "Counts that vary more than their mean; the output is its logarithm." =>
        NegativeBinomial (NegativeBinomial);
    "zero_inflated_poisson", "Poisson counts with zeros beside them." => ZeroInflatedPoisson {};
    "zero_inflated_negative_binomial", "Negative binomial counts with zeros beside them." =>
        ZeroInflatedNegativeBinomial (ZeroInflatedNegativeBinomial);
    "ordinal", "Numbers of classes that have an order, from 0; the output is a place on a line." =>
        Ordinal (Ordinal);
}

impl From<Mixed> for Likelihood {
    fn from(family: Mixed) -> Self {
        Self::Mixed(family)
    }
}

impl From<Custom> for Likelihood {
    fn from(family: Custom) -> Self {
        Self::Custom(family)
    }
}

impl Default for Likelihood {
    fn default() -> Self {
        Self::normal(Scale::default())
    }
}

impl Likelihood {
    /// A normal likelihood, of a fixed standard deviation or one that is found.
    pub fn normal(scale: impl Into<Scale>) -> Self {
        Self::Normal(Normal { scale: scale.into() })
    }

    /// A Laplace likelihood, of a fixed scale or one that is found.
    pub fn laplace(scale: impl Into<Scale>) -> Self {
        Self::Laplace(Laplace { scale: scale.into() })
    }

    /// Its scale, if it is normal or Laplace.
    pub fn scale(&self) -> Option<Scale> {
        match self {
            Self::Normal(Normal { scale }) | Self::Laplace(Laplace { scale }) => Some(*scale),
            _ => None,
        }
    }

    /// Checks its settings, and that it is one of values of `shape`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a setting out of its range, such as a scale that is not positive.
    pub fn check(&self, name: &ModalityName, shape: &[usize]) -> Result<()> {
        let field = format!("{name}.likelihood");
        self.family().check(&field)?;
        self.family().check_shape(shape, &field)
    }

    /// Checks that rows of values, each of `shape`, are in the support; `observed` says of a place
    /// in `rows` whether anything is there.
    ///
    /// # Errors
    ///
    /// [`Error::Value`], with the first row and column, from 0, that is not.
    pub fn check_values(
        &self,
        name: &ModalityName,
        shape: &[usize],
        rows: &[f32],
        observed: impl Fn(usize) -> bool,
    ) -> Result<()> {
        let features: usize = shape.iter().product();
        for (row, values) in rows.chunks(features.max(1)).enumerate() {
            let there = |column: usize| observed(row * features + column);
            if let Some((column, support)) = self.family().first_outside(values, shape, &there) {
                return Err(Error::Value {
                    modality: name.to_string(),
                    row,
                    column,
                    expected: format!("{support} for a {} likelihood", self.family().name()),
                    found: values[column].to_string(),
                });
            }
        }
        Ok(())
    }

    /// What encoders see of values in which missing cells are 0: counts by `ln(1 + x)`, most
    /// others as they are. Tokens stay tokens.
    pub fn encode_view(&self, values: Values) -> Values {
        match values {
            Values::Dense(values) => Values::Dense(self.family().encode_view(values)),
            tokens @ Values::Tokens { .. } => tokens,
        }
    }
}

#[cfg(test)]
mod tests;
