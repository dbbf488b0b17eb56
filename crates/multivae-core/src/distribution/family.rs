//! Families of latent distributions, chosen by configuration.

use burn::tensor::{Device, Tensor, activation};
use serde::{Deserialize, Serialize};

use super::{LN_2PI, LOG_VAR_LIMIT, Laplace, Normal, sum_last};
use crate::noise::Noise;

/// A family of distributions with a location and a scale, and the map from what a network gives to
/// the scale.
///
/// | name | distribution | scale of a value `v` among `d` |
/// |---|---|---|
/// | `normal` | normal | `exp(v / 2)` |
/// | `normal_softplus` | normal | `ln(1 + exp(v)) + 1e-6` |
/// | `laplace_softmax` | Laplace | `d softmax(v) + 1e-6`, over the last axis |
///
/// Source: Shi et al. 2019 for the Laplace family, whose scales add up to a constant, so that none
/// can vanish; Palumbo et al. 2023 for softplus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Normal, of a log-variance.
    Normal,
    /// Normal, with softplus.
    NormalSoftplus,
    /// Laplace, with softmax.
    #[default]
    LaplaceSoftmax,
}

/// What keeps scales away from zero.
const SMALLEST: f64 = 1e-6;

impl Family {
    /// The distribution at `location` with the scale that `raw` stands for, both `[.., features]`.
    ///
    /// `raw` is held within ±[`LOG_VAR_LIMIT`] before it is mapped.
    pub fn with_raw_scale<const D: usize>(
        self,
        location: Tensor<D>,
        raw: Tensor<D>,
    ) -> LocationScale<D> {
        let raw = raw.clamp(-LOG_VAR_LIMIT, LOG_VAR_LIMIT);
        let scale = match self {
            Self::Normal => (raw * 0.5).exp(),
            Self::NormalSoftplus => activation::softplus(raw, 1.0) + SMALLEST,
            Self::LaplaceSoftmax => {
                let features = raw.dims()[D - 1] as f64;
                activation::softmax(raw, D - 1) * features + SMALLEST
            }
        };
        LocationScale { family: self, location, scale }
    }

    /// Location 0 and the scale of raw value 0, of a shape.
    pub fn standard<const D: usize>(self, shape: [usize; D], device: &Device) -> LocationScale<D> {
        let zeros = Tensor::zeros(shape, device);
        self.with_raw_scale(zeros.clone(), zeros)
    }

    /// Values of location 0 and scale 1, of a shape whose axis `row_axis` is the batch.
    pub fn noise<const D: usize>(
        self,
        shape: [usize; D],
        row_axis: usize,
        device: &Device,
        noise: &mut Noise,
    ) -> Tensor<D> {
        match self {
            Self::Normal | Self::NormalSoftplus => noise.normal(shape, row_axis, device),
            Self::LaplaceSoftmax => noise.laplace(shape, row_axis, device),
        }
    }
}

/// Independent values along the last axis, of one [`Family`].
#[derive(Clone, Debug)]
pub struct LocationScale<const D: usize> {
    /// The family.
    pub family: Family,
    /// Location, `[.., features]`: mean and median.
    pub location: Tensor<D>,
    /// Scale, positive, `[.., features]`: the deviation of a normal distribution.
    pub scale: Tensor<D>,
}

impl<const D: usize> LocationScale<D> {
    /// Log-density summed over the last axis; `R` is `D - 1`. Axes of size 1 are stretched.
    pub fn log_prob<const R: usize>(&self, value: Tensor<D>) -> Tensor<R> {
        match self.family {
            Family::LaplaceSoftmax => {
                Laplace::new(self.location.clone(), self.scale.clone()).log_prob(value)
            }
            Family::Normal | Family::NormalSoftplus => {
                let distance = (value - self.location.clone()) / self.scale.clone();
                sum_last(distance.square() * -0.5 - (self.scale.clone().log() + LN_2PI * 0.5))
            }
        }
    }

    /// `location + scale * noise`, differentiable in the parameters; see [`Family::noise`].
    pub fn rsample(&self, noise: Tensor<D>) -> Tensor<D> {
        self.location.clone() + self.scale.clone() * noise
    }

    /// Both parameters under a function.
    pub fn map<const R: usize>(self, f: impl Fn(Tensor<D>) -> Tensor<R>) -> LocationScale<R> {
        LocationScale { family: self.family, location: f(self.location), scale: f(self.scale) }
    }

    /// The same without gradients.
    pub fn detach(self) -> Self {
        self.map(Tensor::detach)
    }
}

impl<const D: usize> From<Normal<D>> for LocationScale<D> {
    fn from(normal: Normal<D>) -> Self {
        Self { family: Family::Normal, location: normal.mean, scale: (normal.log_var * 0.5).exp() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::tests::{close, integrates_to_one, scalar};

    fn raw() -> Tensor<2> {
        Tensor::from_floats([[0.1, -0.3, 0.7]], &Device::flex())
    }

    #[test]
    fn scales_equal_multivae() {
        let expected = [
            (Family::LaplaceSoftmax, [0.8589997, 0.5758050, 1.5651984]),
            (Family::NormalSoftplus, [0.7443977, 0.5543563, 1.1031870]),
        ];
        for (family, expected) in expected {
            let q = family.with_raw_scale(raw().zeros_like(), raw());
            let found: Vec<f32> = q.scale.into_data().try_into_vec().expect("floats");
            for (f, e) in found.iter().zip(expected) {
                close(f64::from(*f), e, 1e-6, "scale");
            }
        }
    }

    #[test]
    fn densities_integrate_to_one() {
        for family in [Family::Normal, Family::NormalSoftplus, Family::LaplaceSoftmax] {
            let device = Device::flex();
            let q = family.with_raw_scale(
                Tensor::<2>::from_floats([[0.3]], &device),
                Tensor::from_floats([[-0.8]], &device),
            );
            let log_prob = |x: f32| scalar::<1>(q.log_prob(Tensor::from_floats([[x]], &device)));
            integrates_to_one(log_prob, "family");
        }
    }

    #[test]
    fn a_normal_keeps_its_density() {
        let device = Device::flex();
        let normal = Normal::<2>::new(raw(), raw().neg());
        let value = Tensor::<2>::from_floats([[1.0, 0.0, -2.0]], &device);
        let (a, b): (Tensor<1>, Tensor<1>) =
            (normal.log_prob(value.clone()), LocationScale::from(normal).log_prob(value));
        close(scalar(a), scalar(b), 1e-6, "log_prob");
    }

    #[test]
    fn the_standard_scale_is_that_of_zeros() {
        let scale = |family: Family| {
            let q = family.standard::<2>([1, 4], &Device::flex());
            f64::from(q.scale.mean().into_scalar::<f32>())
        };
        close(scale(Family::Normal), 1.0, 1e-6, "normal");
        close(scale(Family::LaplaceSoftmax), 1.0 + 1e-6, 1e-6, "laplace");
        close(scale(Family::NormalSoftplus), 2f64.ln() + 1e-6, 1e-6, "softplus");
    }
}
