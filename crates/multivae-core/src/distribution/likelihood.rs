//! The distribution that a decoder parametrises.

use burn::tensor::{Tensor, activation::softplus};
use multivae_kernels::{Density, log_density};
use serde::{Deserialize, Serialize};

use super::{Bernoulli, Categorical, LN_2PI};
use crate::{Error, Result, batch::Values, modality::ModalityName};

/// The scale of a normal or Laplace likelihood.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scale {
    /// A fixed standard deviation (normal) or scale (Laplace).
    Fixed(f64),
    /// One learned value for the modality, from 1.
    Learned(LearnedScale),
}

/// The word `"learned"` in a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearnedScale {
    /// The scale is a parameter of the model.
    Learned,
}

impl Default for Scale {
    fn default() -> Self {
        Self::Fixed(1.0)
    }
}

/// How a decoder's output is a distribution over the values of a modality.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Likelihood {
    /// The output is the mean.
    Normal {
        /// Standard deviation.
        #[serde(default)]
        scale: Scale,
    },
    /// The output is the location.
    Laplace {
        /// Scale.
        #[serde(default)]
        scale: Scale,
    },
    /// The output is log-odds; values in `[0, 1]`.
    Bernoulli {},
    /// The output is logits over the last axis of the modality's shape; values are one-hot,
    /// probabilities or tokens.
    Categorical {},
}

impl Default for Likelihood {
    fn default() -> Self {
        Self::Normal { scale: Scale::default() }
    }
}

impl Likelihood {
    /// A normal likelihood of fixed standard deviation.
    pub fn normal(scale: f64) -> Self {
        Self::Normal { scale: Scale::Fixed(scale) }
    }

    /// A Laplace likelihood of fixed scale.
    pub fn laplace(scale: f64) -> Self {
        Self::Laplace { scale: Scale::Fixed(scale) }
    }

    /// Its name in a config.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Normal { .. } => "normal",
            Self::Laplace { .. } => "laplace",
            Self::Bernoulli {} => "bernoulli",
            Self::Categorical {} => "categorical",
        }
    }

    /// Its scale, if it has one.
    pub fn scale(&self) -> Option<Scale> {
        match self {
            Self::Normal { scale } | Self::Laplace { scale } => Some(*scale),
            Self::Bernoulli {} | Self::Categorical {} => None,
        }
    }

    /// # Errors
    ///
    /// [`Error::Config`] for a scale that is not positive and finite.
    pub fn check(&self, name: &ModalityName) -> Result<()> {
        match self.scale() {
            Some(Scale::Fixed(scale)) if !(scale > 0.0 && scale.is_finite()) => {
                Err(Error::Config {
                    field: format!("{name}.likelihood.scale"),
                    expected: "a positive number".into(),
                    found: scale.to_string(),
                })
            }
            _ => Ok(()),
        }
    }

    /// `log p(x | output)` summed over features, `[samples, batch]`.
    ///
    /// `output` is `[samples, batch, features]`, the values are those of the batch, of a modality
    /// of `shape`; `log_scale` `[1]` is the learned scale's logarithm where the scale is learned.
    ///
    /// # Panics
    ///
    /// If tokens are given to another likelihood than the categorical.
    pub fn log_prob(
        &self,
        output: Tensor<3>,
        values: &Values,
        shape: &[usize],
        log_scale: Option<Tensor<1>>,
    ) -> Tensor<2> {
        let [samples, batch, features] = output.dims();
        let classes = shape[shape.len() - 1];
        let dense = match values {
            Values::Dense(values) => values.clone(),
            Values::Tokens { ids, mask } => {
                assert_eq!(self.kind(), "categorical", "tokens have a categorical likelihood");
                let ids = ids.clone().repeat(&[samples, 1]);
                let mask = mask.clone().repeat(&[samples, 1]);
                return Categorical::new(output, classes).log_prob_tokens(ids, mask);
            }
        };
        // The constant and the scale leave the sum over features.
        let located = |sum: Tensor<2>, scale: Scale, power: i32, constant: f64| {
            let n = features as f64;
            match (scale, &log_scale) {
                (Scale::Learned(_), Some(log_scale)) => {
                    let log_scale = log_scale.clone().expand([samples, batch]);
                    sum * (log_scale.clone() * f64::from(-power)).exp()
                        - log_scale * n
                        - constant * n
                }
                (Scale::Fixed(scale), _) => sum / scale.powi(power) - (scale.ln() + constant) * n,
                (Scale::Learned(_), None) => sum - constant * n,
            }
        };
        match self {
            Self::Normal { scale } => {
                located(log_density(Density::Normal, output, dense), *scale, 2, LN_2PI / 2.0)
            }
            Self::Laplace { scale } => {
                let sum = log_density(Density::Laplace, output, dense);
                located(sum, *scale, 1, std::f64::consts::LN_2)
            }
            Self::Bernoulli {} => Bernoulli::new(output).log_prob(dense),
            Self::Categorical {} => {
                Categorical::new(output, classes).log_prob(dense.unsqueeze_dim::<3>(0))
            }
        }
    }

    /// The mean of the distribution, shaped like `output`: what to show of it.
    pub fn mean<const D: usize>(&self, output: Tensor<D>, shape: &[usize]) -> Tensor<D> {
        match self {
            Self::Normal { .. } | Self::Laplace { .. } => output,
            Self::Bernoulli {} => Bernoulli::new(output).mean(),
            Self::Categorical {} => Categorical::new(output, shape[shape.len() - 1]).mean(),
        }
    }
}

/// `ln(1 + exp(x)) + 1e-6`, a positive scale from any number.
pub fn softplus_scale<const D: usize>(value: Tensor<D>) -> Tensor<D> {
    softplus(value, 1.0) + 1e-6
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::distribution::{
        Laplace, Normal,
        tests::{close, scalar},
    };

    fn value(likelihood: Likelihood, log_scale: Option<f32>) -> f64 {
        let device = Device::flex();
        let output = Tensor::from_floats([[[0.3, -0.8]]], &device);
        let values = Values::Dense(Tensor::from_floats([[0.5, 0.9]], &device));
        let log_scale = log_scale.map(|s| Tensor::from_floats([s], &device));
        scalar(likelihood.log_prob(output, &values, &[2], log_scale))
    }

    fn tensors() -> (Tensor<2>, Tensor<2>) {
        let device = Device::flex();
        (Tensor::from_floats([[0.3, -0.8]], &device), Tensor::from_floats([[0.5, 0.9]], &device))
    }

    #[test]
    fn a_normal_likelihood_is_the_normal_density_fixed_or_learned() {
        let (output, values) = tensors();
        let log_var = output.full_like(2.0 * 0.4_f32.ln());
        let expected = scalar::<1>(Normal::new(output, log_var).log_prob(values));
        close(value(Likelihood::normal(0.4), None), expected, 1e-6, "fixed");
        let learned = Likelihood::Normal { scale: Scale::Learned(LearnedScale::Learned) };
        close(value(learned, Some(0.4_f32.ln())), expected, 1e-6, "learned");
    }

    #[test]
    fn a_laplace_likelihood_is_the_laplace_density_fixed_or_learned() {
        let (output, values) = tensors();
        let scale = output.full_like(0.4);
        let expected = scalar::<1>(Laplace::new(output, scale).log_prob(values));
        close(value(Likelihood::laplace(0.4), None), expected, 1e-6, "fixed");
        let learned = Likelihood::Laplace { scale: Scale::Learned(LearnedScale::Learned) };
        close(value(learned, Some(0.4_f32.ln())), expected, 1e-6, "learned");
    }

    #[test]
    fn a_scale_of_zero_is_refused() {
        let name = ModalityName::new("a").expect("valid");
        assert!(Likelihood::normal(0.0).check(&name).is_err());
    }

    #[test]
    fn a_likelihood_reads_and_writes_as_text() {
        let text = r#"{"kind":"laplace","scale":"learned"}"#;
        let likelihood: Likelihood = serde_json::from_str(text).expect("valid");
        assert_eq!(serde_json::to_string(&likelihood).expect("plain data"), text);
        let default: Likelihood = serde_json::from_str(r#"{"kind":"normal"}"#).expect("valid");
        assert_eq!(default, Likelihood::default());
        assert!(serde_json::from_str::<Likelihood>(r#"{"kind":"normal","scael":1}"#).is_err());
    }
}
