//! Functions of one number that compilers turn into vector instructions, accurate to a few units
//! in the last place.

use std::f32::consts::LOG2_E;

/// `exp(x)` for `x` of at most 0.
#[inline(always)]
pub(crate) fn exp_negative(x: f32) -> f32 {
    // ln 2 in two parts, the first with few bits, so that its products are exact.
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    // Adding and taking away 1.5 · 2^23 rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    // Below, the result is not a normal number. What is not a number stays so.
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * HIGH) - n * LOW;
    // Taylor's series on ±ln(2) / 2.
    let mut sum = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + factor;
    }
    // The lowest bits of the shifted number are n in binary.
    sum * f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()))
}

/// `exp(x)`, infinite above 88.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let t = exp_negative(-x.abs());
    let value = if x > 0.0 { 1.0 / t } else { t };
    if x > 88.0 { f32::INFINITY } else { value }
}

/// The natural logarithm.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    // Numbers below the normal ones are raised to those.
    const RAISE: f32 = 8_388_608.0;
    let low = x < f32::MIN_POSITIVE;
    let raised = if low { x * RAISE } else { x };
    // x = 2^n · m with m in [1/√2, √2): the bits of 1/√2 are what is taken off before the cut.
    let shifted = raised.to_bits().wrapping_sub(0x3f35_04f3);
    let n = (shifted as i32 >> 23) as f32 - if low { 23.0 } else { 0.0 };
    let m = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(0x3f35_04f3));
    // ln(m) = 2 artanh(s), and s is at most 0.172.
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut sum = 1.0 / 9.0;
    for factor in [1.0 / 7.0, 0.2, 1.0 / 3.0] {
        sum = sum * square + factor;
    }
    // Small terms first. ln 2 as above.
    let rest = 2.0 * s * square * sum - 2.121_944_4e-4 * n;
    let value = n * 0.693_359_4 + (2.0 * s + rest);
    let value = if x == 0.0 { f32::NEG_INFINITY } else { value };
    let value = if x < 0.0 { f32::NAN } else { value };
    if x < f32::INFINITY { value } else { x }
}

/// `x` within ± a limit; what is not a number stays so.
#[inline(always)]
pub(crate) fn clamp(x: f32, limit: f32) -> f32 {
    let x = if x < -limit { -limit } else { x };
    if x > limit { limit } else { x }
}

/// `ln(1 + exp(x))`.
#[inline(always)]
pub(crate) fn softplus(x: f32) -> f32 {
    let t = exp_negative(-x.abs());
    // ln(1 + t) = 2 artanh(s), and s is at most 1/3.
    let s = t / (2.0 + t);
    let square = s * s;
    let mut sum = 1.0 / 15.0;
    for factor in [1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 0.2, 1.0 / 3.0, 1.0] {
        sum = sum * square + factor;
    }
    x.max(0.0) + 2.0 * s * sum
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let t = exp_negative(-x.abs());
    let near_one = 1.0 / (1.0 + t);
    if x < 0.0 { t * near_one } else { near_one }
}

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let t = exp_negative(-2.0 * x.abs());
    let large = ((1.0 - t) / (1.0 + t)).copysign(x);
    // Near 0 the difference above has few digits left: Taylor's series there.
    let square = x * x;
    let mut sum = -1382.0 / 155_925.0;
    for factor in [62.0 / 2835.0, -17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0, 1.0] {
        sum = sum * square + factor;
    }
    if x.abs() < 0.3 { x * sum } else { large }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_those_of_the_standard_library() {
        for i in -4000..4000 {
            let x = i as f32 * 0.02;
            let exact = f64::from(x);
            let check = |name: &str, found: f32, expected: f64| {
                let error = ((f64::from(found) - expected) / expected).abs();
                assert!(error < 4e-7, "{name}({x}) = {found}, not {expected}");
            };
            if exact < 87.0 {
                check("exp", exp(x.max(-87.0)), exact.max(-87.0).exp());
            }
            check("exp", exp_negative(-x.abs()), (-exact.abs()).exp());
            check("softplus", softplus(x), exact.exp().ln_1p());
            if x != 0.0 {
                check("tanh", tanh(x), exact.tanh());
            }
            check("sigmoid", sigmoid(x), 1.0 / (1.0 + (-exact).exp()));
            if exact.abs() > 0.03 && exact.abs() < 87.0 {
                // The logarithm of what the exponential function yields.
                check("ln", ln(x.exp()), f64::from(x.exp()).ln());
            }
            check("ln", ln(x.abs() * 1e-40 + 1e-42), f64::from(x.abs() * 1e-40 + 1e-42).ln());
        }
    }

    #[test]
    fn extreme_values_stay_what_they_are() {
        assert_eq!((softplus(1e30), sigmoid(1e30)), (1e30, 1.0));
        assert!(softplus(-1e30) < 1e-37 && sigmoid(-1e30) < 1e-37);
        assert_eq!((tanh(-1e30), tanh(f32::INFINITY), tanh(0.0)), (-1.0, 1.0, 0.0));
        assert!(tanh(f32::NAN).is_nan());
        assert_eq!((ln(0.0), ln(1.0), ln(f32::INFINITY)), (f32::NEG_INFINITY, 0.0, f32::INFINITY));
        assert!(ln(-1.0).is_nan() && ln(f32::NAN).is_nan() && ln(-1e-40).is_nan());
        assert!(softplus(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
        assert_eq!((softplus(f32::INFINITY), sigmoid(f32::INFINITY)), (f32::INFINITY, 1.0));
        assert_eq!(
            [-11.0, -3.0, 10.5, f32::INFINITY].map(|x| clamp(x, 10.0)),
            [-10.0, -3.0, 10.0, 10.0]
        );
        assert!(clamp(f32::NAN, 10.0).is_nan());
    }
}
