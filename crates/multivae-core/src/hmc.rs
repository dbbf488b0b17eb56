//! Hamiltonian Monte Carlo: samples from a density that is known up to a factor, and its mode.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use multivae_core::{hmc::{HmcConfig, sample}, noise::Noise};
//!
//! // 400 chains towards N(2, 1), all from 0.
//! let start = Tensor::<2>::zeros([400, 1], &Device::flex());
//! let log_density = |z: Tensor<2>| -> Tensor<1> { ((z - 2.0).square() * -0.5).squeeze_dim(1) };
//! let config = HmcConfig { steps: 20, leapfrog: 10, step_size: 0.1 };
//! let chains = sample(&config, start, 400, &mut Noise::seeded(0), &log_density);
//! assert_eq!(chains.samples.dims(), [400, 1]);
//! let mean: f32 = chains.samples.mean().into_scalar();
//! assert!((mean - 2.0).abs() < 0.25, "{mean}"); // five standard errors
//! assert!(chains.acceptance.mean().into_scalar::<f32>() > 0.95);
//! ```

use burn::tensor::{Bool, GradientCheckpointingStrategy, Tensor};

use crate::{Error, Result, noise::Noise, options};

options! {
    /// How a chain moves.
    #[derive(Copy)]
    pub struct HmcConfig {
        /// Proposals, each of them accepted or not, at least 1.
        pub steps: usize = 100,
        /// Leapfrog steps of a proposal, at least 1.
        pub leapfrog: usize = 10,
        /// Length of a leapfrog step, above 0.
        pub step_size: f64 = 0.01,
    }
}

impl HmcConfig {
    /// `field` is where it stands in a configuration.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a value is out of its range.
    pub fn check(&self, field: &str) -> Result<()> {
        let Self { steps, leapfrog, step_size } = *self;
        let check = |holds: bool, key: &str, expected: &str, found: String| {
            let field = format!("{field}.{key}");
            let error = || Error::Config { field, expected: expected.into(), found };
            if holds { Ok(()) } else { Err(error()) }
        };
        check(steps > 0, "steps", "at least 1", steps.to_string())?;
        check(leapfrog > 0, "leapfrog", "at least 1", leapfrog.to_string())?;
        let valid = step_size.is_finite() && step_size > 0.0;
        check(valid, "step_size", "a finite number above 0", step_size.to_string())
    }
}

/// What chains came to.
#[derive(Clone, Debug)]
pub struct Hmc {
    /// The last state of each chain, `[rows, features]`, without a history of gradients.
    pub samples: Tensor<2>,
    /// The share of its proposals that were accepted, `[rows]`.
    pub acceptance: Tensor<1>,
}

/// A density that chains move in, known up to a factor per row: a function of states
/// `[rows, features]` with values `[rows]` in nats, each of its own row alone, or what knows its
/// gradient better than automatic differentiation.
///
/// A function is called with tensors on the autodiff device. Modules that it uses are best
/// [validated](burn::module::Module::valid), and so constants without dropout or statistics of the
/// batch; what lies on the plain device counts as a constant too.
pub trait LogDensity {
    /// Values `[rows]` and their gradient `[rows, features]`, both on the plain device, at states
    /// that lie on the autodiff device and want gradients.
    fn with_gradient(&self, at: Tensor<2>) -> (Tensor<1>, Tensor<2>);
}

impl<F: Fn(Tensor<2>) -> Tensor<1>> LogDensity for F {
    fn with_gradient(&self, at: Tensor<2>) -> (Tensor<1>, Tensor<2>) {
        let log_density = self(at.clone());
        // A row's density is its own, so that the sum has every row's gradient.
        let mut gradients = log_density.clone().sum().backward();
        let gradient = at.grad_remove(&mut gradients).expect("the density depends on the state");
        (log_density.inner(), gradient)
    }
}

/// Moves a chain from each row of `start`, `[samples * batch, features]` with the number of the
/// sample slowest, towards the density `exp(log_density)`.
///
/// A step draws a momentum `ρ ~ N(0, I)`, follows the leapfrog discretisation of the motion in the
/// potential `-log_density`, and accepts where it comes to with probability
/// `min(1, exp(H_before - H_after))`, `H = ½ |ρ|² - log_density`, row by row. A proposal whose `H`
/// is not finite is rejected. The mass is 1, and every step counts: there is no warm-up.
///
/// `log_density` is asked `steps * leapfrog + 1` times, with tensors on the autodiff device,
/// wherever `start` lies. Values that do not depend on the state, such as posteriors of encoders,
/// are best computed before.
///
/// The noise of a step is momenta `[samples, batch, features]`, then uniform values
/// `[samples, batch]`, so that the chains of a row do not depend on the batch around it.
///
/// Source: Neal 2011, "MCMC using Hamiltonian dynamics", arXiv 1206.1901.
///
/// # Panics
///
/// If `start` is not of `samples` times as many rows, or `log_density` does not depend on its
/// argument.
pub fn sample(
    config: &HmcConfig,
    start: Tensor<2>,
    samples: usize,
    noise: &mut Noise,
    log_density: &impl LogDensity,
) -> Hmc {
    let [rows, features] = start.dims();
    assert!(
        samples > 0 && rows.is_multiple_of(samples),
        "{rows} states are not {samples} samples of a batch"
    );
    let batch = rows / samples;
    // Gradients of what the caller made with one strategy cannot meet another.
    let strategy = start.gradient_checkpointing_strategy();
    let device = start.device().inner();
    let state = |at: Tensor<2>| State::new(at, strategy, log_density);

    let half = 0.5 * config.step_size;
    let mut here = state(start.inner());
    let mut accepted = Tensor::<1>::zeros([rows], &device);
    for _ in 0..config.steps {
        let momentum = noise.normal([samples, batch, features], 1, &device);
        let uniform = noise.uniform([samples, batch], 1, &device).reshape([rows]);
        let mut momentum = momentum.reshape([rows, features]);
        let before = here.energy(&momentum);
        let mut there = here.clone();
        for _ in 0..config.leapfrog {
            momentum = momentum + there.gradient * half;
            there = state(there.at + momentum.clone() * config.step_size);
            momentum = momentum + there.gradient.clone() * half;
        }
        let after = there.energy(&momentum);
        let accept = uniform.lower((before - after.clone()).exp()).bool_and(after.is_finite());
        accepted = accepted + accept.clone().float();
        here = here.replaced(there, accept);
    }
    let acceptance = accepted / config.steps as f64;
    match strategy {
        None => Hmc { samples: here.at, acceptance },
        Some(_) => {
            Hmc { samples: tracked(here.at, strategy), acceptance: tracked(acceptance, strategy) }
        }
    }
}

/// Climbs from each row of `start`, `[rows, features]`, to a mode of the density
/// `exp(log_density)`; where it finds nothing higher, the row stays where it was.
///
/// It takes 200 steps of Adam whose length falls from 0.2 to 0, and gives the highest state on the
/// way. `log_density` is as in [`sample`], and so is where the result lies.
///
/// Source: Kingma and Ba 2015, arXiv 1412.6980.
pub fn mode(start: Tensor<2>, log_density: &impl LogDensity) -> Tensor<2> {
    const STEPS: usize = 200;
    const LENGTH: f64 = 0.2;
    const DECAY: f64 = 0.9;

    let strategy = start.gradient_checkpointing_strategy();
    let mut here = State::new(start.inner(), strategy, log_density);
    let mut best = here.clone();
    let (mut mean, mut square) = (here.at.zeros_like(), here.at.zeros_like());
    for step in 0..STEPS {
        mean = mean * DECAY + here.gradient.clone() * (1.0 - DECAY);
        square = square * DECAY + here.gradient.square() * (1.0 - DECAY);
        let seen = 1.0 - DECAY.powi(step as i32 + 1);
        let length = LENGTH * (1.0 - step as f64 / STEPS as f64);
        let direction = mean.clone() / seen / ((square.clone() / seen).sqrt() + 1e-8);
        here = State::new(here.at + direction * length, strategy, log_density);
        let higher = here.log_density.clone().greater(best.log_density.clone());
        best = best.replaced(here.clone(), higher);
    }
    match strategy {
        None => best.at,
        Some(_) => tracked(best.at, strategy),
    }
}

/// The tensor on the autodiff device.
fn tracked<const D: usize>(
    tensor: Tensor<D>,
    strategy: Option<GradientCheckpointingStrategy>,
) -> Tensor<D> {
    let tensor = tensor.autodiff();
    match strategy {
        Some(strategy) => tensor.with_gradient_checkpointing_strategy(strategy),
        None => tensor,
    }
}

/// Where chains are, and what is known there; on the plain device.
#[derive(Clone)]
struct State {
    /// `[rows, features]`.
    at: Tensor<2>,
    /// `[rows]`.
    log_density: Tensor<1>,
    /// Of the log-density, `[rows, features]`.
    gradient: Tensor<2>,
}

impl State {
    fn new(
        at: Tensor<2>,
        strategy: Option<GradientCheckpointingStrategy>,
        log_density: &impl LogDensity,
    ) -> Self {
        let leaf = tracked(at.clone(), strategy).require_grad();
        let (log_density, gradient) = log_density.with_gradient(leaf);
        Self { at, log_density, gradient }
    }

    /// `[rows]`.
    fn energy(&self, momentum: &Tensor<2>) -> Tensor<1> {
        momentum.clone().square().sum_dim(1).squeeze_dim::<1>(1) * 0.5 - self.log_density.clone()
    }

    /// The other state in the rows of a mask.
    fn replaced(self, other: Self, rows: Tensor<1, Bool>) -> Self {
        let all = rows.clone().unsqueeze_dim::<2>(1).expand(self.at.dims());
        Self {
            at: self.at.mask_where(all.clone(), other.at),
            log_density: self.log_density.mask_where(rows, other.log_density),
            gradient: self.gradient.mask_where(all, other.gradient),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use burn::{
        module::Module,
        tensor::{Device, TensorData},
    };

    use super::*;
    use crate::{
        nn::{FlowBlocks, FlowConfig},
        noise::Draw,
    };

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().expect("floats")
    }

    fn standard_normal(z: Tensor<2>) -> Tensor<1> {
        z.square().sum_dim(1).squeeze_dim::<1>(1) * -0.5
    }

    #[test]
    fn chains_reach_mean_and_covariance_of_a_correlated_normal() {
        let device = Device::flex();
        let (mean, [a, b, c]) = ([1.0_f32, -2.0], [1.0_f64, 0.9, 2.0]);
        let determinant = a * c - b * b;
        let precision = [[c, -b], [-b, a]].map(|row| row.map(|x| (x / determinant) as f32));
        let log_density = |z: Tensor<2>| {
            let d = z - Tensor::from_floats([mean], &device);
            let precision = Tensor::from_floats(precision, &device);
            (d.clone().matmul(precision) * d).sum_dim(1).squeeze_dim::<1>(1) * -0.5
        };
        let n = 4000;
        let config = HmcConfig { steps: 30, leapfrog: 3, step_size: 0.4 };
        let start = Tensor::zeros([n, 2], &device);
        let found = sample(&config, start, 2, &mut Noise::seeded(4), &log_density);
        let z: Vec<f64> = values(found.samples).into_iter().map(f64::from).collect();
        let average = |f: &dyn Fn(f64, f64) -> f64| {
            z.chunks(2).map(|z| f(z[0], z[1])).sum::<f64>() / n as f64
        };
        let error = |variance: f64| 4.5 * (variance / n as f64).sqrt();
        let (x, y) = (f64::from(mean[0]), f64::from(mean[1]));
        let cases = [
            (average(&|u, _| u), x, a),
            (average(&|_, v| v), y, c),
            (average(&|u, _| (u - x).powi(2)), a, 2.0 * a * a),
            (average(&|_, v| (v - y).powi(2)), c, 2.0 * c * c),
            (average(&|u, v| (u - x) * (v - y)), b, a * c + b * b),
        ];
        for (found, expected, variance) in cases {
            assert!((found - expected).abs() < error(variance), "{found} is not {expected}");
        }
        let rows = values(found.acceptance);
        let acceptance = rows.iter().sum::<f32>() / n as f32;
        assert!(acceptance > 0.5 && rows.iter().all(|&a| a <= 1.0), "{acceptance}");
        // Steps of this length are not exact, so that some proposals must be refused.
        assert!(acceptance < 0.999, "{acceptance}");
    }

    #[test]
    fn climbing_finds_the_mode_of_a_correlated_normal_and_never_goes_down() {
        let device = Device::flex();
        let log_density = |z: Tensor<2>| {
            let d = z - Tensor::from_floats([[1.0, -2.0]], &device);
            let precision = Tensor::from_floats([[1.7, -0.8], [-0.8, 0.9]], &device);
            (d.clone().matmul(precision) * d).sum_dim(1).squeeze_dim::<1>(1) * -0.5
        };
        let start = Tensor::from_floats([[0.0, 0.0], [3.0, -3.0], [1.0, -2.0]], &device);
        let found = values(mode(start, &log_density));
        for row in found.chunks(2) {
            assert!((row[0] - 1.0).abs() < 0.01 && (row[1] + 2.0).abs() < 0.01, "{found:?}");
        }
        assert_eq!(found[4..], [1.0, -2.0]);
    }

    #[test]
    fn a_step_by_hand() {
        // z = 1, ρ = 0.5: ρ = 0.4, z = 1.08, ρ = 0.292, and H goes from 0.625 to 0.625832.
        let run = |uniform: f32| {
            let config = HmcConfig { steps: 1, leapfrog: 1, step_size: 0.2 };
            let mut noise = Noise::recorded([
                Draw::Normal(vec![1, 1, 1], vec![0.5]),
                Draw::Uniform(vec![1, 1], vec![uniform]),
            ]);
            let start = Tensor::ones([1, 1], &Device::flex());
            let found = sample(&config, start, 1, &mut noise, &standard_normal);
            assert_eq!(noise.remaining(), 0);
            (values(found.samples)[0], values(found.acceptance)[0])
        };
        let (accepted, share) = run(0.9991);
        assert!((accepted - 1.08).abs() < 1e-6 && share == 1.0, "{accepted}");
        assert_eq!(run(0.9993), (1.0, 0.0));
    }

    #[test]
    fn after_a_refusal_the_chain_goes_on_from_where_it_was() {
        // The step above, refused and then repeated.
        let config = HmcConfig { steps: 2, leapfrog: 1, step_size: 0.2 };
        let draws = [0.9993, 0.5].map(|uniform| {
            [Draw::Normal(vec![1, 1, 1], vec![0.5]), Draw::Uniform(vec![1, 1], vec![uniform])]
        });
        let start = Tensor::ones([1, 1], &Device::flex());
        let mut noise = Noise::recorded(draws.concat());
        let found = sample(&config, start, 1, &mut noise, &standard_normal);
        assert!((values(found.samples)[0] - 1.08).abs() < 1e-6);
        assert_eq!(values(found.acceptance), [0.5]);
    }

    #[test]
    fn the_density_is_evaluated_once_a_leapfrog_step_and_once_before() {
        let calls = Cell::new(0);
        let config = HmcConfig { steps: 7, leapfrog: 3, step_size: 1.5 };
        let start = Tensor::ones([4, 2], &Device::flex());
        let found = sample(&config, start, 1, &mut Noise::seeded(0), &|z: Tensor<2>| {
            calls.set(calls.get() + 1);
            assert!(z.device().is_autodiff());
            standard_normal(z)
        });
        assert_eq!(calls.get(), 7 * 3 + 1);
        let accepted: f32 = values(found.acceptance).iter().sum();
        assert!(accepted < 4.0, "a proposal was refused");
    }

    #[test]
    fn a_row_does_not_depend_on_the_rows_around_it() {
        let device = Device::flex();
        let config = HmcConfig { steps: 6, leapfrog: 3, step_size: 0.8 };
        // Rows are [sample, batch]; the second row of the batch is wild.
        let run = |start: &[f32], samples| {
            let n = start.len() / 2;
            let start = Tensor::from_data(TensorData::new(start.to_vec(), [n, 2]), &device);
            let found = sample(&config, start, samples, &mut Noise::seeded(9), &standard_normal);
            (values(found.samples), values(found.acceptance))
        };
        let (alone, share) = run(&[0.1, 0.2, 0.5, 0.6], 2);
        let wild = [f32::NAN, 1e30];
        let whole = [&[0.1, 0.2][..], &wild[..], &[0.5, 0.6][..], &wild[..]].concat();
        let (whole, shares) = run(&whole, 2);
        assert_eq!([&whole[0..2], &whole[4..6]].concat(), alone);
        assert_eq!([shares[0], shares[2]], share[..]);
    }

    #[test]
    fn proposals_without_density_are_refused() {
        // The density is that of sqrt(1 - z²), and not a number beyond 1.
        let config = HmcConfig { steps: 50, leapfrog: 2, step_size: 0.7 };
        let start = Tensor::zeros([64, 1], &Device::flex());
        let found = sample(&config, start, 1, &mut Noise::seeded(2), &|z: Tensor<2>| {
            (z.square().neg() + 1.0).log().squeeze_dim::<1>(1) * 0.5
        });
        let (samples, acceptance) = (values(found.samples), values(found.acceptance));
        assert!(samples.iter().all(|z| z.abs() < 1.0), "{samples:?}");
        assert!(acceptance.iter().any(|&a| a > 0.0) && acceptance.iter().all(|&a| a < 1.0));
    }

    #[test]
    fn modules_are_constants_and_results_lie_where_the_start_lies() {
        let plain = Device::flex();
        let flow =
            FlowConfig::Maf(FlowBlocks { blocks: 1, hidden: 4, layers: 1, batch_norm: true });
        let flow = crate::module::init_parameters(
            flow.init("flow", 2, &plain.clone().autodiff()).expect("valid").valid(),
        );
        let config = HmcConfig { steps: 3, leapfrog: 2, step_size: 0.1 };
        let run = |device: &Device| {
            let start = Tensor::ones([3, 2], device);
            sample(&config, start, 1, &mut Noise::seeded(1), &|z: Tensor<2>| {
                let base = flow.forward(z);
                standard_normal(base.value) + base.log_det
            })
        };
        let tracked = [plain.clone().autodiff(), plain.clone().autodiff().gradient_checkpointing()];
        let expected = run(&plain);
        assert!(!expected.samples.is_autodiff() && !expected.acceptance.is_autodiff());
        assert_ne!(values(expected.samples.clone()), [1.0; 6]);
        for device in tracked {
            let found = run(&device);
            assert!(found.samples.is_autodiff() && found.acceptance.is_autodiff());
            assert!(!found.samples.is_tracked() && !found.samples.is_require_grad());
            assert_eq!(values(found.samples), values(expected.samples.clone()));
        }
    }

    #[test]
    fn values_out_of_range_are_named() {
        let error = |json: &str| {
            let config: HmcConfig = serde_json::from_str(json).expect("known keys");
            config.check("model.hmc").expect_err("out of range").to_string()
        };
        assert_eq!(error(r#"{"steps":0}"#), "`model.hmc.steps`: expected at least 1, found 0");
        assert!(error(r#"{"leapfrog":0}"#).contains("`model.hmc.leapfrog`"));
        assert!(error(r#"{"step_size":-1.0}"#).contains("`model.hmc.step_size`"));
        assert!(HmcConfig::default().check("model.hmc").is_ok());
        assert!(serde_json::from_str::<HmcConfig>(r#"{"burn_in":3}"#).is_err());
    }

    #[test]
    #[should_panic(expected = "5 states are not 2 samples of a batch")]
    fn states_that_are_no_stack_are_refused() {
        let start = Tensor::zeros([5, 1], &Device::flex());
        let _ = sample(&HmcConfig::default(), start, 2, &mut Noise::zero(), &standard_normal);
    }
}
