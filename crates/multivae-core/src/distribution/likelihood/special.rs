//! Functions of one variable that densities of counts are made of.
//!
//! Logarithms of gamma functions are large where their differences matter: single precision would
//! lose every digit of the density of a negative binomial of dispersion 10⁴. What is computed here
//! is what remains of them after Stirling's formula, which is small for every argument and vanishes
//! for large ones, so that no digits are lost in the difference.

use burn::tensor::Tensor;

/// `ln Γ(z + 1) - (z + 1/2) ln z + z - ln(2π) / 2` of positive numbers: the error of Stirling's
/// formula.
///
/// The argument is moved up by 4 by the recurrence of the gamma function, where three terms of the
/// series leave 4e-8. The absolute error is below 2e-6 for `z` from 1e-6 to 1e9, in single
/// precision.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use multivae_core::distribution::likelihood::stirling_error;
///
/// // ln 2! = 2.5 ln 2 - 2 + ln(2π) / 2 + the error.
/// let two = Tensor::<1>::from_floats([2.0], &Device::flex());
/// let error = stirling_error(two).into_scalar::<f32>();
/// assert!((error - 0.041_340_7).abs() < 1e-6);
/// ```
pub fn stirling_error<const D: usize>(z: Tensor<D>) -> Tensor<D> {
    let moved = z.clone() + 4.0;
    let inverse = moved.clone().recip();
    let square = inverse.clone().square();
    let series = ((square.clone() * (1.0 / 1260.0) - 1.0 / 360.0) * square + 1.0 / 12.0) * inverse;
    // (z + 4)³ / ((z + 1)(z + 2)(z + 3)), each factor from 1 to 4.
    let ratio = |k: f64| moved.clone() / (z.clone() + k);
    let product = (ratio(1.0) * ratio(2.0) * ratio(3.0)).log();
    (z.clone() + 0.5) * (z.recip() * 4.0).log1p() - 4.0 + product + series
}

/// `ψ(z) - ln z` of positive numbers, `ψ` the derivative of `ln Γ`.
///
/// The argument is moved up by 4, where four terms of the series leave 6e-8. The error is below
/// 2e-6 of `1 / z + 1`, in single precision.
pub fn digamma_correction<const D: usize>(z: Tensor<D>) -> Tensor<D> {
    let inverse = (z.clone() + 4.0).recip();
    let square = inverse.clone().square();
    let series = ((square.clone() * (-1.0 / 252.0) + 1.0 / 120.0) * square.clone() - 1.0 / 12.0)
        * square
        - inverse * 0.5;
    let reciprocal = |k: f64| (z.clone() + k).recip();
    let sum = reciprocal(0.0) + reciprocal(1.0) + reciprocal(2.0) + reciprocal(3.0);
    (reciprocal(0.0) * 4.0).log1p() - sum + series
}

/// `ratio - 1 - ln ratio` of positive numbers, which is not negative and 0 at 1; `slant` is
/// `(ratio - 1) / (ratio + 1)`, computed without the loss of digits that this has near 1.
///
/// Near 1 it is a series in `slant`, after Loader 2000, *Fast and accurate computation of binomial
/// probabilities*.
pub(super) fn excess<const D: usize>(ratio: Tensor<D>, slant: Tensor<D>) -> Tensor<D> {
    let square = slant.clone().square();
    let odd = ((square.clone() / 9.0 + 1.0 / 7.0) * square.clone() + 0.2) * square.clone();
    let odd = (odd + 1.0 / 3.0) * slant.clone();
    let near = square * 2.0 * ((slant.clone().neg() + 1.0).recip() - odd);
    let far = ratio.clone() - 1.0 - ratio.log();
    far.mask_where(slant.abs().lower_scalar(NEAR), near)
}

/// Below which slant the series of [`excess`] is used; its first neglected term is 2e-9 of it.
const NEAR: f64 = 0.15;

#[cfg(test)]
pub(super) mod tests {
    use burn::tensor::Device;

    use super::*;

    /// `ln Γ(z)` of positive numbers in double precision: moved up to 15, then six terms of
    /// Stirling's series, which leave 1e-16.
    pub(in super::super) fn ln_gamma(z: f64) -> f64 {
        let (mut moved, mut shift) = (z, 0.0);
        while moved < 15.0 {
            shift += moved.ln();
            moved += 1.0;
        }
        let square = (moved * moved).recip();
        let terms = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0];
        let series = terms.iter().rev().fold(-691.0 / 360_360.0, |sum, term| sum * square + term);
        (moved - 0.5) * moved.ln() - moved + 0.5 * std::f64::consts::TAU.ln() + series / moved
            - shift
    }

    fn of(function: fn(Tensor<1>) -> Tensor<1>, z: f64) -> f64 {
        let z = Tensor::from_floats([z as f32], &Device::flex());
        f64::from(function(z).into_scalar::<f32>())
    }

    const ARGUMENTS: [f64; 14] =
        [1e-6, 1e-3, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 7.5, 40.0, 1e3, 1e4, 1e6, 1e9];

    #[test]
    fn the_reference_is_the_logarithm_of_factorials() {
        let mut factorial = 0.0;
        for n in 1..30 {
            assert!((ln_gamma(f64::from(n)) - factorial).abs() < 1e-13 * factorial.max(1.0), "{n}");
            factorial += f64::from(n).ln();
        }
        let half = ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln();
        assert!(half.abs() < 1e-14, "{half}");
    }

    #[test]
    fn errors_of_stirlings_formula_are_those_of_the_reference() {
        for z in ARGUMENTS {
            let z = f64::from(z as f32);
            // For large arguments the reference itself loses digits, and the series is exact.
            let expected = match z > 1e3 {
                true => 1.0 / (12.0 * z),
                false => {
                    ln_gamma(z + 1.0) - (z + 0.5) * z.ln() + z - 0.5 * std::f64::consts::TAU.ln()
                }
            };
            let found = of(stirling_error, z);
            assert!((found - expected).abs() < 2e-6, "{z}: {found} {expected}");
        }
    }

    #[test]
    fn digamma_is_the_slope_of_the_reference() {
        for z in ARGUMENTS.into_iter().filter(|z| *z <= 1e4) {
            let z = f64::from(z as f32);
            let step = z * 1e-4;
            let slope = (ln_gamma(z + step) - ln_gamma(z - step)) / (2.0 * step);
            let found = of(digamma_correction, z) + z.ln();
            assert!((found - slope).abs() < 3e-6 * (1.0 / z + 1.0), "{z}: {found} {slope}");
        }
    }

    #[test]
    fn excess_is_continuous_and_exact_near_one() {
        for exponent in -60..=60 {
            let slant = 0.9 * f64::from(exponent) / 60.0;
            let ratio = (1.0 + slant) / (1.0 - slant);
            let expected = 2.0 * slant / (1.0 - slant) - 2.0 * slant.atanh();
            let tensor = |x: f64| Tensor::<1>::from_floats([x as f32], &Device::flex());
            let found = excess(tensor(ratio), tensor(slant)).into_scalar::<f32>();
            let error = (f64::from(found) - expected).abs();
            assert!(error <= 4e-6 * expected, "{slant}: {found} {expected}");
        }
    }
}
