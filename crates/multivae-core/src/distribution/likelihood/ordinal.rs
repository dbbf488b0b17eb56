//! The ordinal likelihood.

use burn::tensor::{
    Tensor,
    activation::{log_sigmoid, sigmoid},
};
use serde::{Deserialize, Serialize};

use super::{Learned, LikelihoodFamily, Output, Support};
use crate::{Error, Result, noise::Noise};

/// Numbers of classes that have an order, from 0, such as stages of a disease; the output is a
/// place on a line that learned thresholds `c` of each feature cut into classes.
///
/// Cumulative logits, McCullagh 1980: `P(x <= k) = 1 / (1 + exp(f - c_k))`. The first threshold of
/// a feature is a parameter, and each next one is above it by the exponential of one. At first all
/// classes are equally likely at an output of 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ordinal {
    /// Number of classes, at least 2.
    pub classes: usize,
}

impl Default for Ordinal {
    /// Two classes, the least.
    fn default() -> Self {
        Self { classes: 2 }
    }
}

impl Ordinal {
    /// Thresholds, `[1, 1, features]` each, in rising order; all but the first with the logarithm
    /// of its distance from the one before.
    fn thresholds(self, output: &Output<'_>) -> Vec<(Tensor<3>, Option<Tensor<3>>)> {
        let (learned, features) = (output.learned(0), output.features());
        let part = |k: usize| learned.clone().narrow(2, k * features, features);
        let mut thresholds = vec![(part(0), None)];
        for k in 1..self.classes - 1 {
            let gap = part(k);
            let next = thresholds[k - 1].0.clone() + gap.clone().exp();
            thresholds.push((next, Some(gap)));
        }
        thresholds
    }

    /// The probability of a class above each threshold, `[samples, batch, features]`.
    fn above(self, output: &Output<'_>) -> impl Iterator<Item = Tensor<3>> {
        let place = output.parameter(0);
        let thresholds = self.thresholds(output).into_iter();
        thresholds.map(move |(threshold, _)| sigmoid(place.clone() - threshold))
    }
}

impl LikelihoodFamily for Ordinal {
    fn name(&self) -> &str {
        "ordinal"
    }

    fn support(&self) -> Support {
        Support::Levels(self.classes)
    }

    fn learned(&self, shape: &[usize]) -> Vec<Learned> {
        let features: usize = shape.iter().product();
        let logit = |k: usize| (k as f32 / (self.classes - k) as f32).ln();
        let initial = |k: usize| match k {
            1 => logit(1),
            _ => (logit(k) - logit(k - 1)).ln(),
        };
        let initial = (1..self.classes).flat_map(|k| vec![initial(k); features]).collect();
        vec![Learned { name: "thresholds".into(), initial }]
    }

    fn check(&self, field: &str) -> Result<()> {
        if self.classes >= 2 {
            return Ok(());
        }
        Err(Error::Config {
            field: format!("{field}.classes"),
            expected: "at least 2 classes".into(),
            found: self.classes.to_string(),
        })
    }

    /// With `u` and `l` the thresholds above and below a class, less the output:
    /// `ln(σ(u) - σ(l)) = ln σ(u) + ln σ(-l) + ln(1 - exp(l - u))`.
    fn terms(&self, output: &Output<'_>, values: Tensor<3>, _: Option<&Tensor<1>>) -> Tensor<3> {
        let place = output.parameter(0);
        let is = |class: usize| values.clone().equal_scalar(class as f32).float();
        let mut terms = place.zeros_like();
        for (k, (threshold, gap)) in self.thresholds(output).into_iter().enumerate() {
            let upper = threshold - place.clone();
            terms =
                terms + log_sigmoid(upper.clone()) * is(k) + log_sigmoid(upper.neg()) * is(k + 1);
            if let Some(gap) = gap {
                let between = gap.exp().neg().exp().neg().log1p();
                terms = terms + between * is(k);
            }
        }
        terms
    }

    /// The expected number of the class.
    fn mean(&self, output: &Output<'_>, _: Option<&Tensor<1>>) -> Tensor<3> {
        self.above(output).fold(output.parameter(0).zeros_like(), |sum, above| sum + above)
    }

    fn sample(&self, output: &Output<'_>, _: Option<&Tensor<1>>, noise: &mut Noise) -> Tensor<3> {
        let uniform = noise.uniform(output.dims(), 1, &output.all().device());
        let passed = |above: Tensor<3>| uniform.clone().lower(above).float();
        self.above(output).fold(uniform.zeros_like(), |class, above| class + passed(above))
    }
}
