//! What normal and Laplace likelihoods share: densities whose scale leaves the sum over features.

use burn::tensor::Tensor;
use multivae_kernels::{Density, log_density};

use super::{Output, Scale};
use crate::batch::Target;

/// A density of a distance in units of a scale.
pub(super) struct Located {
    /// The density of scale 1 without its constant.
    pub(super) density: Density,
    /// With which power of the scale it goes.
    pub(super) power: i32,
    /// The constant, which is taken away from each value's log-density.
    pub(super) constant: f64,
}

impl Located {
    /// The log-density summed over observed features, `[samples, batch]`, in one pass over them,
    /// of values `[batch, features]` and one scale for all of them; `None` for other scales.
    pub(super) fn log_prob(
        &self,
        scale: Scale,
        output: &Output<'_>,
        values: Tensor<2>,
        target: &Target,
    ) -> Option<Tensor<2>> {
        let log_scale = match scale {
            Scale::Fixed(_) => None,
            Scale::Learned => Some(output.learned(0).squeeze_dim::<2>(0)),
            Scale::LearnedPerFeature | Scale::Decoded => return None,
        };
        let [samples, batch, features] = output.dims();
        let device = values.device();
        // Where a cell is missing value and output are 0: it adds nothing, and no gradient passes.
        let (location, values, count) = match &target.cells {
            None => (output.all(), values, None),
            Some(cells) => {
                let missing = cells.clone().equal_scalar(0.0);
                let count = cells.clone().sum_dim(1).transpose().expand([samples, batch]);
                let values = values.mask_fill(missing.clone(), 0.0);
                (output.without(&missing).all(), values, Some(count))
            }
        };
        let times_features = |value: f64| match &count {
            Some(count) => count.clone() * value,
            None => Tensor::full([samples, batch], features as f64 * value, &device),
        };
        let sum = log_density(self.density, location, values);
        Some(match (scale, log_scale) {
            (Scale::Fixed(scale), _) => {
                let sum = sum / scale.powi(self.power);
                match &count {
                    Some(_) => sum - times_features(scale.ln() + self.constant),
                    None => sum - (scale.ln() + self.constant) * features as f64,
                }
            }
            (_, Some(log_scale)) => {
                let log_scale = log_scale.expand([samples, batch]);
                sum * (log_scale.clone() * f64::from(-self.power)).exp()
                    - log_scale * times_features(1.0)
                    - times_features(self.constant)
            }
            (_, None) => unreachable!("a learned scale has its tensor"),
        })
    }
}
