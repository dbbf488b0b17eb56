//! The distribution that a decoder parametrises.

use burn::tensor::{Tensor, activation::softplus};
use multivae_kernels::{Density, log_density};
use serde::{Deserialize, Serialize};

use super::{Bernoulli, Categorical, LN_2PI};
use crate::{
    Error, Result,
    batch::{Target, Values},
    modality::ModalityName,
};

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

    /// `log p(x | output)` summed over observed features, `[samples, batch]`.
    ///
    /// `output` is `[samples, batch, features]`, the target is of a modality of `shape`;
    /// `log_scale` `[1]` is the learned scale's logarithm where the scale is learned. A missing cell
    /// contributes nothing to value or gradient.
    ///
    /// # Panics
    ///
    /// If tokens are given to another likelihood than the categorical.
    pub fn log_prob(
        &self,
        output: Tensor<3>,
        target: &Target,
        shape: &[usize],
        log_scale: Option<Tensor<1>>,
    ) -> Tensor<2> {
        let [samples, batch, features] = output.dims();
        let classes = shape[shape.len() - 1];
        let dense = match &target.values {
            Values::Dense(values) => values.clone(),
            Values::Tokens { ids, mask } => {
                assert_eq!(self.kind(), "categorical", "tokens have a categorical likelihood");
                let ids = ids.clone().repeat(&[samples, 1]);
                let mask = mask.clone().repeat(&[samples, 1]);
                return Categorical::new(output, classes).log_prob_tokens(ids, mask);
            }
        };
        // Where a cell is missing its value is 0, and its output is made one under which 0 has a
        // density of 1, but for constants: it adds nothing, and no gradient passes.
        let (output, count) = match &target.cells {
            None => (output, None),
            Some(cells) => {
                let missing = cells.clone().equal_scalar(0.0).unsqueeze_dim::<3>(0);
                let neutral = if matches!(self, Self::Bernoulli {}) { IMPOSSIBLE } else { 0.0 };
                let output = output.mask_fill(missing.expand([samples, batch, features]), neutral);
                let count = cells.clone().sum_dim(1).transpose().expand([samples, batch]);
                (output, Some(count))
            }
        };
        let times_features = |value: f64| match &count {
            Some(count) => count.clone() * value,
            None => Tensor::full([samples, batch], features as f64 * value, &dense.device()),
        };
        // The constant and the scale leave the sum over features.
        let located =
            |sum: Tensor<2>, scale: Scale, power: i32, constant: f64| match (scale, &log_scale) {
                (Scale::Learned(_), Some(log_scale)) => {
                    let log_scale = log_scale.clone().expand([samples, batch]);
                    sum * (log_scale.clone() * f64::from(-power)).exp()
                        - log_scale * times_features(1.0)
                        - times_features(constant)
                }
                (Scale::Fixed(scale), _) => {
                    let sum = sum / scale.powi(power);
                    match &count {
                        Some(_) => sum - times_features(scale.ln() + constant),
                        None => sum - (scale.ln() + constant) * features as f64,
                    }
                }
                (Scale::Learned(_), None) => sum - times_features(constant),
            };
        match self {
            Self::Normal { scale } => {
                let sum = log_density(Density::Normal, output, dense.clone());
                located(sum, *scale, 2, LN_2PI / 2.0)
            }
            Self::Laplace { scale } => {
                let sum = log_density(Density::Laplace, output, dense.clone());
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

/// Log-odds under which 0 is certain in single precision.
const IMPOSSIBLE: f64 = -1e4;

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
        scalar(likelihood.log_prob(output, &values.into(), &[2], log_scale))
    }

    #[test]
    fn a_missing_cell_adds_nothing_to_density_or_gradient() {
        let device = Device::flex().autodiff();
        let learned = Scale::Learned(LearnedScale::Learned);
        for likelihood in [
            Likelihood::normal(0.4),
            Likelihood::laplace(0.4),
            Likelihood::Normal { scale: learned },
            Likelihood::Bernoulli {},
            Likelihood::Categorical {},
        ] {
            let log_scale = likelihood.scale().filter(|s| *s == learned);
            let log_scale = || log_scale.map(|_| Tensor::from_floats([-0.3], &device));
            let output =
                Tensor::<3>::from_floats([[[0.3, -0.8, 0.1, 1.3]]], &device).require_grad();
            // Two pairs of classes, the second of which is missing.
            let values = Values::Dense(Tensor::from_floats([[0.0, 1.0, 0.0, 0.0]], &device));
            let cells = Some(Tensor::from_floats([[1.0, 1.0, 0.0, 0.0]], &device));
            let target = Target { cells, ..values.into() };
            let masked = likelihood.log_prob(output.clone(), &target, &[2, 2], log_scale());
            let gradients = masked.clone().sum().backward();
            let gradient = output.grad(&gradients).expect("it learns").narrow(2, 2, 2);
            let gradient: Vec<f32> = gradient.into_data().try_into_vec().expect("floats");
            assert_eq!(gradient, [0.0, 0.0], "{likelihood:?}");
            let seen = Values::Dense(Tensor::from_floats([[0.0, 1.0]], &device));
            let expected =
                likelihood.log_prob(output.narrow(2, 0, 2), &seen.into(), &[1, 2], log_scale());
            close(scalar(masked), scalar(expected), 1e-6, likelihood.kind());
        }
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
