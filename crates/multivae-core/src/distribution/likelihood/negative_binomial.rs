//! The negative binomial likelihood.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Learned, LikelihoodFamily, Output, Scale, Support, count, sum_of_terms};
use crate::{
    Result,
    batch::{Target, Values},
    noise::Noise,
};

/// Counts that vary more than their mean; the output, with the offset added, is the logarithm of
/// the mean `μ`, within ±20. The variance is `μ + μ² / θ` with the dispersion `θ`.
///
/// The parameterisation is that of scvi-tools, Lopez et al. 2018. Encoders see `ln(1 + x)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NegativeBinomial {
    /// Dispersion `θ`; counts are Poisson's where it is large.
    #[serde(default = "learned_per_feature")]
    pub dispersion: Scale,
}

/// As single-cell models have it: a dispersion for each gene.
pub(super) const fn learned_per_feature() -> Scale {
    Scale::LearnedPerFeature
}

impl Default for NegativeBinomial {
    fn default() -> Self {
        Self { dispersion: learned_per_feature() }
    }
}

impl LikelihoodFamily for NegativeBinomial {
    fn name(&self) -> &str {
        "negative_binomial"
    }

    fn parameters(&self) -> usize {
        self.dispersion.parameters()
    }

    fn support(&self) -> Support {
        Support::Counts
    }

    fn learned(&self, shape: &[usize]) -> Vec<Learned> {
        self.dispersion.learned("log_dispersion", shape)
    }

    fn check(&self, field: &str) -> Result<()> {
        self.dispersion.check(&format!("{field}.dispersion"))
    }

    fn output_of_means(&self, means: &[f32]) -> Option<Vec<f32>> {
        Some(count::output_of_means(means, self.parameters()))
    }

    fn terms(
        &self,
        output: &Output<'_>,
        values: Tensor<3>,
        offset: Option<&Tensor<1>>,
    ) -> Tensor<3> {
        let parameters = [count::log_mean(output, offset), self.dispersion.log(output)];
        let [log_mean, log_dispersion] = parameters.clone();
        count::negative_binomial(log_mean, log_dispersion, values).attach(parameters.into())
    }

    fn log_prob(&self, output: &Output<'_>, target: &Target) -> Tensor<2> {
        if let (Values::Dense(counts), None) = (&target.values, &target.cells)
            && self.dispersion != Scale::Decoded
        {
            let log_mean = count::log_mean(output, target.offset.as_ref());
            let features = log_mean.dims()[2];
            let log_dispersion = self.dispersion.log(output).expand([1, 1, features]);
            let log_dispersion = log_dispersion.reshape([features]);
            let sums = multivae_kernels::negative_binomial(&log_mean, &log_dispersion, counts);
            if let Some(sums) = sums {
                return sums;
            }
        }
        sum_of_terms(self, output, target)
    }

    fn mean(&self, output: &Output<'_>, offset: Option<&Tensor<1>>) -> Tensor<3> {
        count::exp(count::log_mean(output, offset))
    }

    /// Poisson counts of a rate that is gamma distributed.
    fn sample(
        &self,
        output: &Output<'_>,
        offset: Option<&Tensor<1>>,
        noise: &mut Noise,
    ) -> Tensor<3> {
        let mean = self.mean(output, offset);
        let dispersion = count::exp(self.dispersion.log(output)).expand(mean.dims());
        let rate = noise.gamma(dispersion.clone(), 1) * mean / dispersion;
        noise.poisson(rate, 1)
    }

    fn encode_view(&self, values: Tensor<2>) -> Tensor<2> {
        values.log1p()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    /// Values and gradients in log-means and log-dispersions.
    fn all(
        log_prob: fn(&NegativeBinomial, &Output<'_>, &Target) -> Tensor<2>,
        [samples, batch, features]: [usize; 3],
    ) -> [Vec<f32>; 3] {
        let device = Device::flex().autodiff();
        let numbers = |count: usize, step: usize, by: f32, from: f32| -> Vec<f32> {
            (0..count).map(|i| ((i * step) % 101) as f32 * by + from).collect()
        };
        let count = samples * batch * features;
        let log_mean = TensorData::new(numbers(count, 37, 0.13, -5.0), [samples, batch, features]);
        let log_mean = Tensor::<3>::from_data(log_mean, &device).require_grad();
        let log_dispersion = TensorData::new(numbers(features, 53, 0.15, -6.0), [features]);
        let log_dispersion = Tensor::<1>::from_data(log_dispersion, &device).require_grad();
        // Mostly 0, some small, few large.
        let counts = (0..batch * features).map(|i| match (i * 7) % 11 {
            0..=6 => 0.0,
            n @ 7..=9 => (n - 6) as f32,
            _ => ((i * 131) % 9000) as f32,
        });
        let counts = TensorData::new(counts.collect::<Vec<f32>>(), [batch, features]);
        let offset: Vec<f32> = (0..batch).map(|row| row as f32 * 0.1).collect();
        let target = Target {
            values: Values::Dense(Tensor::from_data(counts, &device)),
            cells: None,
            offset: Some(Tensor::from_floats(offset.as_slice(), &device)),
        };
        let learned = [log_dispersion.clone()];
        let shape = [features];
        let output = Output::new(log_mean.clone(), &shape, &learned);
        let sums = log_prob(&NegativeBinomial::default(), &output, &target);
        let weights = numbers(samples * batch, 29, 0.02, -1.0);
        let weights = Tensor::<2>::from_data(TensorData::new(weights, [samples, batch]), &device);
        let gradients = (sums.clone() * weights).sum().backward();
        let list = |data: TensorData| data.try_into_vec().expect("floats");
        [
            list(sums.into_data()),
            list(log_mean.grad(&gradients).expect("tracked").into_data()),
            list(log_dispersion.grad(&gradients).expect("tracked").into_data()),
        ]
    }

    #[test]
    fn sums_and_gradients_of_the_kernel_are_those_of_the_terms() {
        for shape in [[1, 1, 1], [1, 3, 5], [2, 3, 16], [3, 70, 500], [4, 1, 37]] {
            let found = all(NegativeBinomial::log_prob, shape);
            let expected = all(sum_of_terms, shape);
            for (name, (found, expected)) in
                ["sums", "means", "dispersions"].iter().zip(found.iter().zip(&expected))
            {
                assert_eq!(found.len(), expected.len());
                let scale = expected.iter().fold(1.0_f32, |scale, e| scale.max(e.abs()));
                for (found, expected) in found.iter().zip(expected) {
                    let error = (found - expected).abs();
                    let own = 2e-5 * expected.abs() + 2e-6 * scale.min(100.0);
                    assert!(error <= own, "{name} of {shape:?}: {found} {expected}");
                }
            }
        }
    }
}
