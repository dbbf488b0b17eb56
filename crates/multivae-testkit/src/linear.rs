//! The linear Gaussian model.

use std::f64::consts::TAU;

use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor, TensorData},
};
use multivae_core::{
    batch::{Batch, Progress},
    modality::ModalitySpec,
    model::{Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal},
    noise::Noise,
    objective::{Budget, Estimate},
    subset::Subset,
};

/// `z ~ N(0, 1)` and `x_m ~ N(slope z, 1)` for every modality, each of one feature.
///
/// Its posterior given `k` values is `N(slope Σ x / (1 + k slope²), 1 / (1 + k slope²))`, and it
/// encodes to exactly that. Its bound takes the expectation over `z` in closed form, so that with
/// all observed modalities given it equals [`log_density`].
#[derive(Module, Debug)]
pub struct LinearGaussian {
    slope: Param<Tensor<1>>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
}

/// `log p(x)` of observed values of one row under [`LinearGaussian`], in nats: a normal density
/// with covariance `I + slope² 1 1ᵀ`.
pub fn log_density(slope: f64, values: &[f64]) -> f64 {
    let k = values.len() as f64;
    let (sum, squares) = values.iter().fold((0.0, 0.0), |(s, q), x| (s + x, q + x * x));
    let determinant = 1.0 + k * slope * slope;
    let distance = squares - slope * slope * sum * sum / determinant;
    -0.5 * (k * TAU.ln() + determinant.ln() + distance)
}

impl LinearGaussian {
    /// With the modalities of the data set [`Rows`](crate::Rows).
    pub fn new(slope: f32, modalities: &[ModalitySpec], device: &Device) -> Self {
        let slope = Param::from_tensor(Tensor::from_floats([slope], device));
        Self { slope, modalities: modalities.to_vec() }
    }

    /// The current slope.
    pub fn slope(&self) -> f32 {
        self.slope.val().into_scalar()
    }

    /// Values `[batch, modality]`, 0 where missing, and the mask of `given` and observed.
    fn observed(&self, batch: &Batch, given: Subset) -> (Tensor<2>, Tensor<2>) {
        let columns = batch.values().iter().map(|v| v.dense().expect("dense values").clone());
        let mask = batch.presence().mask();
        let chosen: Vec<f32> =
            (0..self.modalities.len()).map(|m| f32::from(u8::from(given.contains(m)))).collect();
        let chosen: Tensor<1> = Tensor::from_floats(chosen.as_slice(), &mask.device());
        let values = Tensor::cat(columns.collect(), 1) * mask.clone();
        (values, mask * chosen.unsqueeze_dim(0))
    }

    /// Mean and variance of the posterior, `[batch]`.
    fn posterior(&self, batch: &Batch, given: Subset) -> (Tensor<1>, Tensor<1>) {
        let (values, mask) = self.observed(batch, given);
        let slope = self.slope.val();
        let count: Tensor<1> = mask.clone().sum_dim(1).squeeze_dim(1);
        let sum: Tensor<1> = (values * mask).sum_dim(1).squeeze_dim(1);
        let precision = count * slope.clone().square() + 1.0;
        (sum * slope / precision.clone(), precision.recip())
    }
}

impl Multimodal for LinearGaussian {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for LinearGaussian {
    fn terms(&self, _: Progress) -> Vec<String> {
        vec!["log_likelihood".into(), "kl".into()]
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let bound = self.bound(batch, Subset::full(self.modalities.len()), noise);
        let likelihood: Tensor<1> = bound.log_likelihood.sum_dim(1).squeeze_dim::<1>(1).mean();
        let kl = bound.divergences[0].1.clone().mean();
        let total = kl.clone() - likelihood.clone();
        Loss { total, terms: vec![("log_likelihood".into(), likelihood), ("kl".into(), kl)] }
    }
}

impl Encode for LinearGaussian {
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let (mean, variance) = self.posterior(batch, given);
        let rows = mean.dims()[0];
        let column = |x: Tensor<1>| x.reshape([1, rows, 1]);
        let z = match draws {
            Draws::Mean => column(mean),
            Draws::Samples(n) => {
                let standard = noise.normal([n, rows, 1], 1, &batch.device());
                column(mean) + column(variance.sqrt()) * standard
            }
        };
        Latent::shared(z)
    }
}

impl Generate for LinearGaussian {
    fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
        Latent::shared(noise.normal([1, rows, 1], 1, device))
    }

    fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
        let mean = latent.z() * self.slope.val().reshape([1, 1, 1]);
        targets.iter().map(|_| mean.clone()).collect()
    }
}

impl Density for LinearGaussian {
    fn bound(&self, batch: &Batch, given: Subset, _noise: &mut Noise) -> Bound {
        let (mean, variance) = self.posterior(batch, given);
        let (values, _) = self.observed(batch, given);
        let slope = self.slope.val();
        let location = (mean.clone() * slope.clone()).unsqueeze_dim(1);
        let spread = (variance.clone() * slope.square()).unsqueeze_dim(1);
        let distance = (values - location).square() + spread;
        let kl = (mean.square() + variance.clone() - variance.log() - 1.0) * 0.5;
        Bound {
            log_likelihood: (distance + TAU.ln()) * -0.5 * batch.presence().mask(),
            divergences: vec![("z".into(), kl)],
        }
    }

    /// The closed form.
    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        _: Budget,
        _noise: &mut Noise,
    ) -> Estimate {
        let slope = f64::from(self.slope());
        let (values, _) = self.observed(batch, targets);
        let values: Vec<f32> = values.into_data().try_into_vec().expect("floats");
        let m = self.modalities.len();
        let exact: Vec<f32> = batch
            .presence()
            .rows()
            .iter()
            .enumerate()
            .map(|(row, observed)| {
                let chosen = observed.iter().filter(|&i| targets.contains(i));
                let chosen: Vec<_> = chosen.map(|i| f64::from(values[row * m + i])).collect();
                // The densities of a row are summed in f64 and reported as Burn's floats.
                log_density(slope, &chosen) as f32
            })
            .collect();
        let log_likelihood =
            Tensor::from_data(TensorData::new(exact, [batch.rows()]), &batch.device());
        Estimate { standard_error: log_likelihood.zeros_like(), log_likelihood }
    }
}

/// [`LinearGaussian`] given its first modality, which it does not generate.
///
/// Its prior is the posterior given that modality, so that its bound with all observed modalities
/// given is the logarithm of their conditional density.
#[derive(Module, Debug)]
pub struct Conditional {
    model: LinearGaussian,
}

impl Conditional {
    /// As [`LinearGaussian::new`].
    pub fn new(slope: f32, modalities: &[ModalitySpec], device: &Device) -> Self {
        Self { model: LinearGaussian::new(slope, modalities, device) }
    }

    fn with_condition(&self, latent: Latent, values: Tensor<2>) -> Latent {
        let samples = latent.z().dims()[0];
        let values = values.unsqueeze_dim::<3>(0).repeat(&[samples, 1, 1]);
        latent.with_conditions(vec![(self.modalities()[0].name.clone(), values)])
    }
}

impl Multimodal for Conditional {
    fn modalities(&self) -> &[ModalitySpec] {
        self.model.modalities()
    }
}

impl Learn for Conditional {
    fn terms(&self, progress: Progress) -> Vec<String> {
        self.model.terms(progress)
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        self.model.loss(batch, noise)
    }
}

impl Encode for Conditional {
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let latent = self.model.encode(batch, given, draws, noise);
        let (values, _) = self.model.observed(batch, given);
        self.with_condition(latent, values.narrow(1, 0, 1))
    }

    fn conditions(&self) -> Option<Subset> {
        Some(Subset::single(0))
    }
}

impl Generate for Conditional {
    fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
        let latent = self.model.prior(rows, device, noise);
        self.with_condition(latent, Tensor::zeros([rows, 1], device))
    }

    fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
        assert!(!targets.contains(0), "the first modality is not generated");
        self.model.decode(latent, targets)
    }
}

impl Density for Conditional {
    fn log_prob(&self, batch: &Batch, latent: &Latent, modality: usize) -> Tensor<2> {
        let log_prob = self.model.log_prob(batch, latent, modality);
        if modality == 0 { log_prob.zeros_like() } else { log_prob }
    }

    fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        let bound = self.model.bound(batch, given, noise);
        let (mean, variance) = self.model.posterior(batch, given);
        let (prior_mean, prior_variance) = self.model.posterior(batch, Subset::single(0));
        let ratio = variance / prior_variance.clone();
        let distance = (mean - prior_mean).square() / prior_variance;
        let kl = (ratio.clone() - ratio.log() + distance - 1.0) * 0.5;
        let [rows, modalities] = bound.log_likelihood.dims();
        let rest = bound.log_likelihood.narrow(1, 1, modalities - 1);
        let none = Tensor::zeros([rows, 1], &batch.device());
        Bound {
            log_likelihood: Tensor::cat(vec![none, rest], 1),
            divergences: vec![("z".into(), kl)],
        }
    }

    fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let given = Subset::single(0);
        let both = self.model.joint_likelihood(batch, targets.union(given), budget, noise);
        both.minus(self.model.joint_likelihood(batch, given, budget, noise))
    }
}

#[cfg(test)]
mod tests {
    use multivae_core::{
        dataset::Dataset,
        model::{Given, LikelihoodQuery},
    };

    use super::*;
    use crate::Rows;

    fn rows() -> Rows {
        Rows::new(2, vec![vec![Some(0.5), Some(-1.0)], vec![None, Some(2.0)]])
    }

    #[test]
    fn the_bound_with_all_given_is_the_density() {
        let (data, device) = (rows(), Device::flex());
        let model = LinearGaussian::new(0.7, data.modalities(), &device);
        let batch = data.batch(&[0, 1], &device).expect("rows in memory");
        let elbo = model.bound(&batch, Subset::full(2), &mut Noise::zero()).elbo();
        let elbo: Vec<f32> = elbo.into_data().try_into_vec().expect("floats");
        let expected = [log_density(0.7, &[0.5, -1.0]), log_density(0.7, &[2.0])];
        for (found, expected) in elbo.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{elbo:?} {expected}");
        }
    }

    #[test]
    fn the_bound_with_fewer_given_is_below_the_density() {
        let (data, device) = (rows(), Device::flex());
        let model = LinearGaussian::new(0.7, data.modalities(), &device);
        let batch = data.batch(&[0], &device).expect("rows in memory");
        let elbo = model.bound(&batch, Subset::single(0), &mut Noise::zero()).elbo();
        assert!(f64::from(elbo.into_scalar::<f32>()) < log_density(0.7, &[0.5, -1.0]) - 1e-3);
    }

    #[test]
    fn the_bound_given_a_condition_is_the_conditional_density() {
        let (data, device) = (rows(), Device::flex());
        let model = Conditional::new(0.7, data.modalities(), &device);
        let batch = data.batch(&[0], &device).expect("rows in memory");
        let elbo = model.bound(&batch, Subset::full(2), &mut Noise::zero()).elbo();
        let expected = log_density(0.7, &[0.5, -1.0]) - log_density(0.7, &[0.5]);
        assert!((f64::from(elbo.into_scalar::<f32>()) - expected).abs() < 1e-5);
    }

    #[test]
    fn a_conditional_density_is_the_joint_over_the_given() {
        let (data, device) = (rows(), Device::flex());
        let model = LinearGaussian::new(0.7, data.modalities(), &device);
        let batch = data.batch(&[0], &device).expect("rows in memory");
        let query = LikelihoodQuery {
            targets: Subset::single(0),
            given: Given::Values(Subset::single(1)),
            budget: Budget { samples: 1, max_rows: 1 },
        };
        let found = model.log_likelihood(&batch, &query, &mut Noise::zero()).log_likelihood;
        let expected = log_density(0.7, &[0.5, -1.0]) - log_density(0.7, &[-1.0]);
        assert!((f64::from(found.into_scalar::<f32>()) - expected).abs() < 1e-5);
    }
}
