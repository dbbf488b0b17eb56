//! Densities of counts, and their slopes, without loss of digits.
//!
//! A density that a network learns from needs its value and its derivatives. Both have short exact
//! forms, but not the same one: a derivative of the form that gives the value to all digits costs
//! many operations and loses digits. So values are computed outside of the graph of gradients, and
//! joined to it by their slopes, in [`Density::attach`].

use std::f64::consts::TAU;

use burn::tensor::{Bool, Tensor};

use super::{
    Output,
    special::{digamma_correction, excess, stirling_error},
};

/// Largest magnitude of the logarithm of a mean or a dispersion: 2e-9 to 5e8. Beyond it values and
/// slopes are those at the limit, so that gradients lead back.
const LOG_LIMIT: f64 = 20.0;

/// A log-density of single values, `[samples, batch, features]`, and its derivative by each
/// parameter, which stand outside of any graph of gradients.
pub(super) struct Density {
    pub(super) value: Tensor<3>,
    pub(super) slopes: Vec<Tensor<3>>,
}

impl Density {
    /// The value, with the slopes as its gradients by `parameters`, which may be stretched.
    pub(super) fn attach(self, parameters: Vec<Tensor<3>>) -> Tensor<3> {
        let tracked = parameters.into_iter().zip(self.slopes).filter(|(p, _)| p.is_tracked());
        tracked.fold(self.value, |value, (parameter, slope)| {
            value + (parameter.clone() - parameter.detach()) * slope
        })
    }
}

/// The logarithm of the mean, `[samples, batch, features]`: the first parameter and the offset.
pub(super) fn log_mean(output: &Output<'_>, offset: Option<&Tensor<1>>) -> Tensor<3> {
    let log_mean = output.parameter(0);
    match offset {
        Some(offset) => {
            let rows = offset.dims()[0];
            log_mean + offset.clone().reshape([1, rows, 1])
        }
        None => log_mean,
    }
}

/// The mean or dispersion whose logarithm is given, within its limits.
pub(super) fn exp(logarithm: Tensor<3>) -> Tensor<3> {
    logarithm.clamp(-LOG_LIMIT, LOG_LIMIT).exp()
}

/// Logarithms of means, and 0 for the parameters that follow.
pub(super) fn output_of_means(means: &[f32], parameters: usize) -> Vec<f32> {
    let limit = LOG_LIMIT as f32;
    let logarithms = means.iter().map(|mean| mean.ln().clamp(-limit, limit));
    logarithms.chain(std::iter::repeat_n(0.0, means.len() * (parameters - 1))).collect()
}

/// Counts of 0, `[1, batch, features]`, stretched to the shape of `like`.
fn zeros(counts: &Tensor<3>, like: &Tensor<3>) -> Tensor<3, Bool> {
    counts.clone().equal_scalar(0.0).expand(like.dims())
}

/// The counts with 1 where they are 0, so that what is computed of them is finite there.
fn positive(counts: &Tensor<3>) -> Tensor<3> {
    counts.clone().mask_fill(counts.clone().equal_scalar(0.0), 1.0)
}

/// Poisson: `x η - exp(η) - ln x!` of log-mean `η`.
///
/// With `ln x!` by Stirling's formula the large parts cancel in closed form:
/// `-x (r - 1 - ln r) - ln(2π x) / 2 - δ(x)`, `r = exp(η) / x`, for positive `x`.
pub(super) fn poisson(log_mean: Tensor<3>, counts: Tensor<3>) -> Density {
    let mean = exp(log_mean.detach());
    let positive = positive(&counts);
    let difference = mean.clone() - positive.clone();
    let slant = difference / (mean.clone() + positive.clone());
    let distance = excess(mean.clone() / positive.clone(), slant) * positive.clone();
    let constant = (positive.clone() * TAU).log() * 0.5 + stirling_error(positive);
    let zero = zeros(&counts, &mean);
    let value = (distance + constant).neg().mask_where(zero, mean.clone().neg());
    Density { value, slopes: vec![counts - mean] }
}

/// Negative binomial of log-mean and log-dispersion `ln θ`, with variance `μ + μ² / θ`:
/// `ln Γ(x + θ) - ln Γ(θ) - ln x! + θ ln(θ / (θ + μ)) + x ln(μ / (θ + μ))`, as scvi-tools has it.
///
/// With Stirling's formula the large parts cancel in closed form, for positive `x`:
/// `δ(x + θ) - δ(θ) - δ(x) - θ e(r) - x e(q) + ln(θ / (2π x (x + θ))) / 2`, where
/// `e(r) = r - 1 - ln r`, `r = (x + θ) / (μ + θ)`, `q = r μ / x`; for 0 it is `-θ ln(1 + μ / θ)`.
pub(super) fn negative_binomial(
    log_mean: Tensor<3>,
    log_dispersion: Tensor<3>,
    counts: Tensor<3>,
) -> Density {
    let mean = exp(log_mean.detach());
    let dispersion = exp(log_dispersion.detach());
    let total = counts.clone() + dispersion.clone();
    let spread = mean.clone() + dispersion.clone();
    let difference = counts.clone() - mean.clone();
    let by_dispersion = excess(
        total.clone() / spread.clone(),
        difference.clone() / (total.clone() + spread.clone()),
    );
    let value = {
        let positive = positive(&counts);
        let total = positive.clone() + dispersion.clone();
        // Both sides of the ratio q.
        let found = mean.clone() / spread.clone();
        let expected = positive.clone() / total.clone();
        let slant = (mean.clone() - positive.clone()) / spread.clone()
            * (dispersion.clone() / total.clone())
            / (found.clone() + expected.clone());
        let by_count = excess(found / expected, slant);
        // Small for all arguments, and without the axis of samples unless dispersion is decoded.
        let stirling = stirling_error(total.clone())
            - stirling_error(dispersion.clone())
            - stirling_error(positive.clone());
        let scale = (dispersion.clone() / total / positive.clone() / TAU).log() * 0.5;
        let value =
            stirling + scale - by_dispersion.clone() * dispersion.clone() - by_count * positive;
        let none = (mean.clone() / dispersion.clone()).log1p() * dispersion.clone().neg();
        value.mask_where(zeros(&counts, &none), none)
    };
    let by_log_mean = difference * (dispersion.clone() / spread);
    let by_log_dispersion =
        (digamma_correction(total) - digamma_correction(dispersion.clone()) - by_dispersion)
            * dispersion;
    Density { value, slopes: vec![by_log_mean, by_log_dispersion] }
}

/// The same with zeros beside the counts, of log-odds `ζ`: a count of 0 has the density
/// `π + (1 - π) p(0)`, any other `(1 - π) p(x)`, with `π = 1 / (1 + exp(-ζ))`. The slope by `ζ`
/// follows those of the counts.
pub(super) fn zero_inflated(counted: Density, log_odds: Tensor<3>, counts: Tensor<3>) -> Density {
    let Density { value, slopes } = counted;
    let log_odds = log_odds.detach();
    let zero = zeros(&counts, &value);
    let inflated = value.clone().max_pair(log_odds.clone())
        + (value.clone() - log_odds.clone()).abs().neg().exp().log1p();
    // ln(1 + exp(ζ)), without overflow.
    let none = log_odds.clone().clamp_min(0.0) + log_odds.clone().abs().neg().exp().log1p();
    // How likely a count of 0 is one of the counts.
    let share = logistic(value.clone() - log_odds.clone());
    let share = share.ones_like().mask_where(zero.clone(), share);
    let by_log_odds = share.clone().neg() + 1.0 - logistic(log_odds);
    let mut slopes: Vec<_> = slopes.into_iter().map(|slope| slope * share.clone()).collect();
    slopes.push(by_log_odds);
    Density { value: value.mask_where(zero, inflated) - none, slopes }
}

fn logistic(x: Tensor<3>) -> Tensor<3> {
    burn::tensor::activation::sigmoid(x)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::{super::special::tests::ln_gamma, *};
    use crate::distribution::tests::close;

    /// One value of each number, `[1, 1, values]`.
    fn row(values: &[f64]) -> Tensor<3> {
        let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
        let shape = [1, 1, values.len()];
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    fn list(tensor: Tensor<3>) -> Vec<f64> {
        let values: Vec<f32> = tensor.into_data().try_into_vec().expect("floats");
        values.into_iter().map(f64::from).collect()
    }

    fn column<const N: usize>(table: &[[f64; N]], number: usize) -> Vec<f64> {
        table.iter().map(|line| line[number]).collect()
    }

    /// The textbook form in double precision.
    fn poisson_reference(log_mean: f64, x: f64) -> f64 {
        x * log_mean - log_mean.exp() - ln_gamma(x + 1.0)
    }

    /// The textbook form in double precision, `ln Γ` by differences of Stirling's formula where
    /// those of its values would lose digits.
    fn negative_binomial_reference(log_mean: f64, log_dispersion: f64, x: f64) -> f64 {
        let (mean, theta) = (log_mean.exp(), log_dispersion.exp());
        let rising = match theta > 1e3 && x <= 1e5 {
            // ln Γ(x + θ) - ln Γ(θ) - x ln θ, by its factors.
            true => (0..x as u32).map(|k| (f64::from(k) / theta).ln_1p()).sum::<f64>(),
            false => ln_gamma(x + theta) - ln_gamma(theta) - x * theta.ln(),
        };
        let spread = (mean / theta).ln_1p();
        rising - ln_gamma(x + 1.0) - (theta + x) * spread + x * log_mean
    }

    /// Means from 1e-3 to 1e6, dispersions from 1e-3 to 1e4 and far beyond, counts to 1e6.
    fn grid() -> Vec<[f64; 3]> {
        let log = |values: &[f64]| -> Vec<f64> {
            values.iter().map(|value| f64::from(value.ln() as f32)).collect()
        };
        let means = log(&[1e-3, 0.03, 0.5, 1.0, 7.0, 100.0, 9e3, 1e6]);
        let dispersions = log(&[1e-3, 0.1, 0.9, 3.0, 10.0, 100.0, 1e3, 1e4, 1e7]);
        let counts = [0.0, 1.0, 2.0, 3.0, 8.0, 99.0, 1e3, 9.1e3, 1e5, 1e6];
        let mut grid = Vec::new();
        for &mean in &means {
            for &dispersion in &dispersions {
                grid.extend(counts.map(|count| [mean, dispersion, count]));
            }
        }
        grid
    }

    /// The largest error, of the larger of 1 and what is expected.
    fn largest_error(found: &[f64], expected: &[f64], what: &[[f64; 3]]) -> (f64, String) {
        let errors = found.iter().zip(expected).zip(what).map(|((found, expected), what)| {
            assert!(found.is_finite(), "{what:?}: {found}");
            let error = (found - expected).abs() / expected.abs().max(1.0);
            (error, format!("{what:?}: found {found}, expected {expected}"))
        });
        errors.max_by(|a, b| a.0.total_cmp(&b.0)).expect("the grid is not empty")
    }

    /// The slope of a function by central differences.
    fn slope(f: impl Fn(f64) -> f64, at: f64) -> f64 {
        let step = 1e-4;
        (f(at + step) - f(at - step)) / (2.0 * step)
    }

    #[test]
    fn poisson_densities_equal_scipy() {
        // Log-mean, count, and scipy.stats.poisson.logpmf of scipy 1.17.1.
        let table = [
            [-6.5, 0.0, -0.00150343919298],
            [-6.5, 2.0, -13.6946506198],
            [0.25, 0.0, -1.28402541669],
            [0.25, 1.0, -1.03402541669],
            [0.25, 7.0, -8.05918677775],
            [3.0, 20.0, -2.42115338394],
            [3.0, 60.0, -28.7137103469],
            [8.0, 3000.0, -4.98284008727],
            [12.0, 162_000.0, -8.66953661112],
        ];
        let found = list(poisson(row(&column(&table, 0)), row(&column(&table, 1))).value);
        for (found, [log_mean, x, expected]) in found.into_iter().zip(table) {
            close(found, expected, 1e-5, &format!("{x} of {log_mean}"));
            close(poisson_reference(log_mean, x), expected, 1e-10, "the reference");
        }
    }

    #[test]
    fn negative_binomial_densities_equal_scipy() {
        // Log-mean, log-dispersion, count, and scipy.stats.nbinom.logpmf of scipy 1.17.1; the last
        // four, where that loses digits, by mpmath 1.4.1 with 50 digits.
        let table = [
            [-6.5, 0.0, 0.0, -0.00150231015975],
            [-6.5, 0.0, 3.0, -19.5060092406],
            [0.25, -3.0, 0.0, -0.163701940569],
            [0.25, -3.0, 5.0, -4.86134119299],
            [0.25, 0.5, 1.0, -1.27550299207],
            [2.0, 2.0, 0.0, -5.12170340197],
            [2.0, 2.0, 30.0, -10.7722918751],
            [5.0, 4.5, 150.0, -3.91892982336],
            [5.0, 4.5, 900.0, -218.242018789],
            [1.0, 9.25, 50.0, -101.091204472],
            [13.75, 1.0, 1e6, -14.2709360629],
            [1.0, 9.25, 3.0, -1.5101816337674],
            [1.0, 13.75, 50.0, -101.19488203702],
            [10.0, 18.5, 22_000.0, -5.9343458510831],
            [0.25, 19.5, 5.0, -4.821517144503],
        ];
        let [log_mean, log_dispersion, x] = [0, 1, 2].map(|number| row(&column(&table, number)));
        let found = list(negative_binomial(log_mean, log_dispersion, x).value);
        for (found, [log_mean, log_dispersion, x, expected]) in found.into_iter().zip(table) {
            let what = format!("{x} of {log_mean}, {log_dispersion}");
            close(found, expected, 1e-5, &what);
            let reference = negative_binomial_reference(log_mean, log_dispersion, x);
            close(reference, expected, 1e-8, &what);
        }
    }

    #[test]
    fn zero_inflated_densities_equal_scipy() {
        // Log-mean, log-dispersion, log-odds, count, and the mixture by scipy 1.17.1.
        let table = [
            [0.25, 0.5, -1.0, 0.0, -0.594578347594],
            [0.25, 0.5, -1.0, 4.0, -3.43959082974],
            [2.0, 1.0, 3.0, 0.0, -0.0471862773027],
            [2.0, 1.0, 3.0, 2.0, -5.62481160084],
            [6.0, -1.0, -8.0, 0.0, -2.57142925641],
        ];
        let [log_mean, log_dispersion, log_odds, x] =
            [0, 1, 2, 3].map(|number| row(&column(&table, number)));
        let counted = negative_binomial(log_mean, log_dispersion, x.clone());
        let found = list(zero_inflated(counted, log_odds, x).value);
        for (found, line) in found.into_iter().zip(table) {
            close(found, line[4], 1e-5, &format!("{line:?}"));
        }
    }

    #[test]
    fn densities_lose_two_millionths_at_most_from_means_of_a_thousandth_to_a_million() {
        let grid = grid();
        let [log_mean, log_dispersion, x] = [0, 1, 2].map(|number| row(&column(&grid, number)));
        let found = list(negative_binomial(log_mean.clone(), log_dispersion, x.clone()).value);
        let expected: Vec<f64> =
            grid.iter().map(|&[m, d, x]| negative_binomial_reference(m, d, x)).collect();
        let (error, what) = largest_error(&found, &expected, &grid);
        assert!(error < 2e-6, "{error:.1e} of {what}");

        let found = list(poisson(log_mean, x).value);
        let expected: Vec<f64> = grid.iter().map(|&[m, _, x]| poisson_reference(m, x)).collect();
        let (error, what) = largest_error(&found, &expected, &grid);
        assert!(error < 2e-6, "{error:.1e} of {what}");
    }

    #[test]
    fn poisson_counts_near_a_large_mean_keep_what_single_precision_has() {
        // A mean of single precision is known to 6e-8 of itself, which at 1e6 is 6e-5 nats of a
        // density one deviation off.
        for mean in [1e2, 1e4, 1e6_f64] {
            let log_mean = f64::from(mean.ln() as f32);
            for deviations in [-3.0, -1.0, 0.0, 0.5, 2.0] {
                let x = (mean + deviations * mean.sqrt()).round();
                let found = list(poisson(row(&[log_mean]), row(&[x])).value)[0];
                let tolerance = 1e-6 + 1.5e-7 * mean.sqrt();
                close(found, poisson_reference(log_mean, x), tolerance, &format!("{x} of {mean}"));
            }
        }
    }

    /// What central differences of values of up to 1e7 nats are good for.
    const SLOPES: f64 = 3e-5;

    #[test]
    fn slopes_are_those_of_the_textbook_form() {
        // A mean of single precision is known to 6e-8 of itself, and so is its distance from a
        // count, which is the slope: where that vanishes beside the mean there is nothing to
        // compare.
        let mut grid = grid();
        grid.retain(|&[m, _, x]| (x - m.exp()).abs() > 1e-2 * m.exp());
        let [log_mean, log_dispersion, x] = [0, 1, 2].map(|number| row(&column(&grid, number)));
        let density = negative_binomial(log_mean.clone(), log_dispersion, x.clone());
        let by_log_mean =
            |&[m, d, x]: &[f64; 3]| slope(|m| negative_binomial_reference(m, d, x), m);
        let by_log_dispersion =
            |&[m, d, x]: &[f64; 3]| slope(|d| negative_binomial_reference(m, d, x), d);
        let by_poisson = |&[m, _, x]: &[f64; 3]| slope(|m| poisson_reference(m, x), m);
        let [of_mean, of_dispersion] = [0, 1].map(|number| density.slopes[number].clone());
        let of_poisson = poisson(log_mean, x).slopes[0].clone();
        let check = |found: Tensor<3>, expected: &dyn Fn(&[f64; 3]) -> f64, name: &str| {
            let expected: Vec<f64> = grid.iter().map(expected).collect();
            let (error, what) = largest_error(&list(found), &expected, &grid);
            assert!(error < SLOPES, "{name}: {error:.1e} of {what}");
        };
        check(of_mean, &by_log_mean, "negative binomial by its mean");
        check(of_dispersion, &by_log_dispersion, "negative binomial by its dispersion");
        check(of_poisson, &by_poisson, "Poisson by its mean");
    }

    #[test]
    fn slopes_become_gradients_of_stretched_parameters() {
        let device = Device::flex().autodiff();
        let on = |tensor: Tensor<3>| Tensor::<3>::from_data(tensor.into_data(), &device);
        let log_mean = on(row(&[0.3, -0.2, 1.0, 2.0]).reshape([2, 1, 2])).require_grad();
        let log_dispersion = on(row(&[0.5, -1.0])).require_grad();
        let log_odds = on(row(&[0.0, 0.7, -0.4, 0.1]).reshape([2, 1, 2])).require_grad();
        let counts = on(row(&[0.0, 3.0]));
        let counted = negative_binomial(log_mean.clone(), log_dispersion.clone(), counts.clone());
        let density = zero_inflated(counted, log_odds.clone(), counts);
        let slopes = density.slopes.clone();
        let value = density.value.clone();
        let attached =
            density.attach(vec![log_mean.clone(), log_dispersion.clone(), log_odds.clone()]);
        assert_eq!(attached.to_data(), value.to_data());
        let gradients = attached.sum().backward();
        let gradient = |p: &Tensor<3>| p.grad(&gradients).expect("tracked").into_data();
        assert_eq!(gradient(&log_mean), slopes[0].to_data());
        assert_eq!(gradient(&log_dispersion), slopes[1].clone().sum_dim(0).to_data());
        assert_eq!(gradient(&log_odds), slopes[2].to_data());
    }

    #[test]
    fn beyond_the_limits_gradients_lead_back() {
        let density = poisson(row(&[100.0, -100.0]), row(&[5.0, 5.0]));
        let slopes = list(density.slopes[0].clone());
        assert!(slopes[0] < -1e6 && slopes[1] > 4.0, "{slopes:?}");
        assert!(list(density.value).iter().all(|value| value.is_finite()));
    }
}
