//! Log-densities of counts, summed over features.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex;

/// Log-density of negative binomial counts `[batch, features]`, summed over features:
/// `[samples, batch]`, nats; of log-means `[samples, batch, features]` and log-dispersions
/// `[features]`, both within ±20 and as they are at the limit beyond.
///
/// `None` where the kernel is not for the tensors: other backends compute it from its terms, of
/// which the formulas are in `multivae-core`. Most counts are 0 or small: a 0 costs an exponential
/// and a logarithm, and only the others what Stirling's formula does.
///
/// # Panics
///
/// If the shapes do not fit each other.
pub fn negative_binomial(
    log_mean: &Tensor<3>,
    log_dispersion: &Tensor<1>,
    counts: &Tensor<2>,
) -> Option<Tensor<2>> {
    #[cfg(feature = "flex")]
    return flex::count::negative_binomial(log_mean, log_dispersion, counts);
    #[cfg(not(feature = "flex"))]
    {
        let _ = (log_mean, log_dispersion, counts);
        None
    }
}
