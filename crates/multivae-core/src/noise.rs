//! Randomness as an argument.
//!
//! Burn's generators belong to the backend, for its CPU backend to the whole process. A [`Noise`]
//! belongs to its caller: it gives the same values on every backend and for any number of threads
//! or devices, and tests can replace it by recorded values.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use multivae_core::{batch::NoiseKey, noise::{Draw, Noise}};
//!
//! let device = Device::flex();
//! let numbers = |x: Tensor<2>| x.into_data().try_into_vec::<f32>().expect("floats");
//!
//! // Three rows of two values. Rows 1 and 2, alone on another device, see what they see here.
//! let key = NoiseKey { seed: 7, epoch: 1, step: 0, first_row: 0 };
//! let whole = numbers(Noise::keyed(key).normal([3, 2], 0, &device));
//! let share = Noise::keyed(NoiseKey { first_row: 1, ..key }).normal([2, 2], 0, &device);
//! assert_eq!(numbers(share), whole[2..]);
//! // Another step has other noise.
//! let next = Noise::keyed(NoiseKey { step: 1, ..key }).normal([3, 2], 0, &device);
//! assert_ne!(numbers(next), whole);
//!
//! // For tests: means in place of samples, or known values.
//! assert_eq!(numbers(Noise::zero().normal([1, 2], 0, &device)), [0.0, 0.0]);
//! let mut recorded = Noise::recorded([Draw::Normal(vec![1, 2], vec![0.5, -0.5])]);
//! assert_eq!(numbers(recorded.normal([1, 2], 0, &device)), [0.5, -0.5]);
//! assert_eq!(recorded.remaining(), 0);
//! ```

use std::collections::{BTreeMap, VecDeque};

use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, Poisson, StandardNormal};
use rayon::prelude::*;

use crate::batch::{Batch, NoiseKey};

/// A recorded draw; see [`Noise::recorded`].
#[derive(Clone, Debug, PartialEq)]
pub enum Draw {
    /// Standard normal values of a shape.
    Normal(Vec<usize>, Vec<f32>),
    /// Uniform values in `[0, 1)` of a shape.
    Uniform(Vec<usize>, Vec<f32>),
    /// Laplace values of location 0 and scale 1 of a shape.
    Laplace(Vec<usize>, Vec<f32>),
    /// Gamma values of a shape.
    Gamma(Vec<usize>, Vec<f32>),
    /// Poisson counts of a shape.
    Poisson(Vec<usize>, Vec<f32>),
    /// Chosen numbers.
    Choice(Vec<usize>),
}

/// A source of random values.
///
/// Draws are made row by row, each row from a stream of its own that is keyed by (seed, epoch,
/// step, number of the draw, row): a share of a batch sees the noise that its rows would see in
/// the whole batch.
#[derive(Debug)]
pub struct Noise(Source);

#[derive(Debug)]
enum Source {
    Keyed { key: NoiseKey, draws: u64 },
    Recorded(VecDeque<Draw>),
    Zero,
}

impl Noise {
    /// The noise of a batch, from its key.
    pub fn of(batch: &Batch) -> Self {
        Self::keyed(batch.key)
    }

    /// The noise of a key.
    pub fn keyed(key: NoiseKey) -> Self {
        Self(Source::Keyed { key, draws: 0 })
    }

    /// A source outside of any run.
    pub fn seeded(seed: u64) -> Self {
        Self::keyed(NoiseKey { seed, epoch: 0, step: 0, first_row: 0 })
    }

    /// Gives the recorded draws in their order.
    ///
    /// Every method panics when the next draw is of another kind or shape than asked for, or when
    /// there is none.
    pub fn recorded(draws: impl IntoIterator<Item = Draw>) -> Self {
        Self(Source::Recorded(draws.into_iter().collect()))
    }

    /// Zeros for normal values, one half for uniform ones, means for gamma values and counts, the
    /// first for choices: means and modes.
    pub fn zero() -> Self {
        Self(Source::Zero)
    }

    /// Recorded draws that were not asked for yet.
    pub fn remaining(&self) -> usize {
        match &self.0 {
            Source::Recorded(draws) => draws.len(),
            _ => 0,
        }
    }

    /// Standard normal values of `shape`, whose axis `row_axis` is the batch.
    pub fn normal<const D: usize>(
        &mut self,
        shape: [usize; D],
        row_axis: usize,
        device: &Device,
    ) -> Tensor<D> {
        let values = match &mut self.0 {
            Source::Keyed { key, draws } => {
                *draws += 1;
                by_row(*key, *draws, &shape, row_axis, |rng| StandardNormal.sample(rng))
            }
            Source::Recorded(draws) => match draws.pop_front() {
                Some(Draw::Normal(found, values)) if found == shape => values,
                other => mismatch("normal values", &shape, other.as_ref()),
            },
            Source::Zero => vec![0.0; shape.iter().product()],
        };
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// Uniform values in `[0, 1)` of `shape`, whose axis `row_axis` is the batch.
    pub fn uniform<const D: usize>(
        &mut self,
        shape: [usize; D],
        row_axis: usize,
        device: &Device,
    ) -> Tensor<D> {
        let values = match &mut self.0 {
            Source::Keyed { key, draws } => {
                *draws += 1;
                by_row(*key, *draws, &shape, row_axis, |rng| rng.random::<f32>())
            }
            Source::Recorded(draws) => match draws.pop_front() {
                Some(Draw::Uniform(found, values)) if found == shape => values,
                other => mismatch("uniform values", &shape, other.as_ref()),
            },
            Source::Zero => vec![0.5; shape.iter().product()],
        };
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// Laplace values of location 0 and scale 1, of `shape`, whose axis `row_axis` is the batch.
    pub fn laplace<const D: usize>(
        &mut self,
        shape: [usize; D],
        row_axis: usize,
        device: &Device,
    ) -> Tensor<D> {
        let values = match &mut self.0 {
            Source::Keyed { key, draws } => {
                *draws += 1;
                by_row(*key, *draws, &shape, row_axis, |rng| {
                    standard_laplace(2.0 * rng.random::<f64>() - 1.0)
                })
            }
            Source::Recorded(draws) => match draws.pop_front() {
                Some(Draw::Laplace(found, values)) if found == shape => values,
                other => mismatch("Laplace values", &shape, other.as_ref()),
            },
            Source::Zero => vec![0.0; shape.iter().product()],
        };
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// Gamma values of scale 1 with the given positive shape parameters, which are also their
    /// means; `row_axis` is the batch. They have no gradient.
    pub fn gamma<const D: usize>(&mut self, mean: Tensor<D>, row_axis: usize) -> Tensor<D> {
        let (shape, device) = (mean.dims(), mean.device());
        let means = host(mean);
        let values = match &mut self.0 {
            Source::Keyed { key, draws } => {
                *draws += 1;
                by_place(*key, *draws, &shape, row_axis, |rng, place| {
                    let mean = f64::from(means[place]);
                    // A parameter that is no positive number has no distribution, which is told.
                    Gamma::new(mean, 1.0).map_or(f64::NAN, |gamma| gamma.sample(rng)) as f32
                })
            }
            Source::Recorded(draws) => match draws.pop_front() {
                Some(Draw::Gamma(found, values)) if found == shape => values,
                other => mismatch("gamma values", &shape, other.as_ref()),
            },
            Source::Zero => means,
        };
        Tensor::from_data(TensorData::new(values, shape), &device)
    }

    /// Poisson counts of the given means; `row_axis` is the batch. They have no gradient.
    pub fn poisson<const D: usize>(&mut self, mean: Tensor<D>, row_axis: usize) -> Tensor<D> {
        let (shape, device) = (mean.dims(), mean.device());
        let means = host(mean);
        let values = match &mut self.0 {
            Source::Keyed { key, draws } => {
                *draws += 1;
                by_place(*key, *draws, &shape, row_axis, |rng, place| {
                    let mean = f64::from(means[place]);
                    if mean == 0.0 {
                        return 0.0;
                    }
                    Poisson::new(mean).map_or(f64::NAN, |counts| counts.sample(rng)) as f32
                })
            }
            Source::Recorded(draws) => match draws.pop_front() {
                Some(Draw::Poisson(found, values)) if found == shape => values,
                other => mismatch("counts", &shape, other.as_ref()),
            },
            Source::Zero => means.into_iter().map(f32::round).collect(),
        };
        Tensor::from_data(TensorData::new(values, shape), &device)
    }

    /// So many numbers per row, `[samples, batch]`, drawn from the row's weights, which need not add
    /// up to one.
    ///
    /// # Panics
    ///
    /// If a row has no positive weight.
    pub fn categorical(&mut self, weights: &[Vec<f64>], samples: usize) -> Vec<usize> {
        match &mut self.0 {
            Source::Keyed { key, draws } => {
                *draws += 1;
                let mut rngs: Vec<_> =
                    (0..weights.len()).map(|row| stream(*key, *draws, row)).collect();
                let mut sample = || {
                    let rows = weights.iter().zip(&mut rngs);
                    rows.map(|(w, rng)| pick(w, rng.random::<f64>())).collect::<Vec<_>>()
                };
                (0..samples).flat_map(|_| sample()).collect()
            }
            Source::Recorded(draws) => match draws.pop_front() {
                Some(Draw::Choice(found)) if found.len() == samples * weights.len() => found,
                other => mismatch("choices", &[samples, weights.len()], other.as_ref()),
            },
            Source::Zero => {
                let row: Vec<usize> = weights.iter().map(|w| pick(w, 0.0)).collect();
                row.repeat(samples)
            }
        }
    }

    /// `n` different numbers below `of`, the same for the whole batch.
    ///
    /// # Panics
    ///
    /// If `n` is above `of`.
    pub fn choose(&mut self, n: usize, of: usize) -> Vec<usize> {
        assert!(n <= of, "{n} different numbers below {of}");
        match &mut self.0 {
            Source::Keyed { key, draws } => {
                *draws += 1;
                // The whole batch shares the choice, whatever its first row.
                let mut rng = stream(NoiseKey { first_row: 0, ..*key }, *draws, 0);
                // The first steps of a shuffle, with those places alone that have another number.
                let mut moved = BTreeMap::new();
                let mut pick = |i: usize| {
                    let j = i + (rng.next_u64() % (of - i) as u64) as usize;
                    let first = moved.get(&i).copied().unwrap_or(i);
                    moved.insert(j, first).unwrap_or(j)
                };
                (0..n).map(&mut pick).collect()
            }
            Source::Recorded(draws) => match draws.pop_front() {
                Some(Draw::Choice(found)) if found.len() == n => found,
                other => mismatch("choices", &[n], other.as_ref()),
            },
            Source::Zero => (0..n).collect(),
        }
    }
}

fn mismatch(wanted: &str, shape: &[usize], found: Option<&Draw>) -> ! {
    let found = match found {
        None => "nothing".to_owned(),
        Some(Draw::Normal(shape, _)) => format!("normal values {shape:?}"),
        Some(Draw::Uniform(shape, _)) => format!("uniform values {shape:?}"),
        Some(Draw::Laplace(shape, _)) => format!("Laplace values {shape:?}"),
        Some(Draw::Gamma(shape, _)) => format!("gamma values {shape:?}"),
        Some(Draw::Poisson(shape, _)) => format!("counts {shape:?}"),
        Some(Draw::Choice(values)) => format!("{} choices", values.len()),
    };
    panic!("the recorded noise holds {found} where {wanted} {shape:?} are asked for")
}

/// The standard Laplace value at `u` in `[-1, 1)`: `-sign(u) ln(1 - |u|)`.
pub fn standard_laplace(u: f64) -> f32 {
    // The end of the interval is as far out as the value next to it.
    let tail = (1.0 - u.abs()).max(f64::EPSILON);
    (-u.signum() * tail.ln()) as f32
}

/// The place of a uniform value among weights.
fn pick(weights: &[f64], uniform: f64) -> usize {
    let total: f64 = weights.iter().sum();
    assert!(total > 0.0, "a row has no component to draw");
    let mut left = uniform * total;
    let mut last = 0;
    for (i, &w) in weights.iter().enumerate() {
        if w > 0.0 {
            last = i;
            if left < w {
                return i;
            }
            left -= w;
        }
    }
    last
}

/// The stream of one row in one draw.
fn stream(key: NoiseKey, draw: u64, row: usize) -> ChaCha8Rng {
    let mut seed = [0; 32];
    for (place, value) in seed.chunks_exact_mut(8).zip([key.seed, key.epoch, key.step, draw]) {
        place.copy_from_slice(&value.to_le_bytes());
    }
    let mut rng = ChaCha8Rng::from_seed(seed);
    rng.set_stream((key.first_row + row) as u64);
    rng
}

/// The values of a tensor in the order of memory.
fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("they were converted")
}

/// As [`by_row`], of values that depend on their place in the order of memory.
fn by_place(
    key: NoiseKey,
    draw: u64,
    shape: &[usize],
    row_axis: usize,
    value: impl Fn(&mut ChaCha8Rng, usize) -> f32 + Sync,
) -> Vec<f32> {
    let rows = shape[row_axis];
    let rest: usize = shape[row_axis + 1..].iter().product();
    let mut values = vec![0.0; shape.iter().product()];
    let of = |row: usize| {
        let mut rng = stream(key, draw, row);
        let starts = (row * rest..).step_by((rows * rest).max(1)).take_while(|s| *s < values.len());
        let places = starts.flat_map(|start| start..start + rest);
        places.map(|place| (place, value(&mut rng, place))).collect::<Vec<_>>()
    };
    let drawn: Vec<_> = (0..rows).into_par_iter().map(of).collect();
    for (place, value) in drawn.into_iter().flatten() {
        values[place] = value;
    }
    values
}

/// Values of `shape`, each row of axis `row_axis` from its own stream, in parallel over rows.
fn by_row(
    key: NoiseKey,
    draw: u64,
    shape: &[usize],
    row_axis: usize,
    value: impl Fn(&mut ChaCha8Rng) -> f32 + Sync,
) -> Vec<f32> {
    let rows = shape[row_axis];
    let (lead, rest) = (
        shape[..row_axis].iter().product::<usize>(),
        shape[row_axis + 1..].iter().product::<usize>(),
    );
    let mut values = vec![0.0; lead * rows * rest];
    let fill = |row: usize| {
        let mut rng = stream(key, draw, row);
        (0..lead * rest).map(|_| value(&mut rng)).collect::<Vec<f32>>()
    };
    if rest == 0 || values.is_empty() {
        return values;
    }
    if lead == 1 {
        values.par_chunks_mut(rest).enumerate().for_each(|(row, out)| {
            let mut rng = stream(key, draw, row);
            out.fill_with(|| value(&mut rng));
        });
        return values;
    }
    let by_row: Vec<Vec<f32>> = (0..rows).into_par_iter().map(fill).collect();
    values.par_chunks_mut(rows * rest).enumerate().for_each(|(at, out)| {
        for (row, out) in out.chunks_mut(rest).enumerate() {
            out.copy_from_slice(&by_row[row][at * rest..(at + 1) * rest]);
        }
    });
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(key: NoiseKey, shape: [usize; 3]) -> Vec<f32> {
        let mut noise = Noise(Source::Keyed { key, draws: 0 });
        noise.normal(shape, 1, &Device::flex()).into_data().try_into_vec().expect("floats")
    }

    const KEY: NoiseKey = NoiseKey { seed: 7, epoch: 1, step: 2, first_row: 0 };

    #[test]
    fn a_share_of_a_batch_sees_the_noise_of_its_rows() {
        let whole = draw(KEY, [2, 4, 3]);
        let share = draw(NoiseKey { first_row: 2, ..KEY }, [2, 2, 3]);
        for sample in 0..2 {
            assert_eq!(share[sample * 6..][..6], whole[sample * 12 + 6..][..6]);
        }
    }

    #[test]
    fn steps_and_draws_differ() {
        assert_ne!(draw(KEY, [1, 4, 3]), draw(NoiseKey { step: 3, ..KEY }, [1, 4, 3]));
        let mut noise = Noise::seeded(0);
        let device = Device::flex();
        let (a, b) = (noise.normal([4, 4], 0, &device), noise.normal([4, 4], 0, &device));
        assert!(!a.all_close(b, None, None));
    }

    #[test]
    fn normal_values_have_mean_zero_and_variance_one() {
        let values = draw(KEY, [1, 1000, 100]);
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 5.0 / n.sqrt(), "{mean}");
        assert!((variance - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{variance}");
    }

    #[test]
    fn gamma_values_and_counts_have_their_mean_and_variance() {
        let device = Device::flex();
        let mean = || Tensor::<2>::full([2000, 20], 2.5, &device);
        let moments = |values: Tensor<2>| {
            let mean = values.clone().mean().into_scalar::<f32>();
            (mean, (values - mean).square().mean().into_scalar::<f32>())
        };
        for (mean, variance) in [
            moments(Noise::seeded(1).gamma(mean(), 0)),
            moments(Noise::seeded(1).poisson(mean(), 0)),
        ] {
            assert!((mean - 2.5).abs() < 0.05 && (variance - 2.5).abs() < 0.15);
        }
        let none: f32 =
            Noise::seeded(1).poisson(Tensor::<2>::zeros([3, 2], &device), 0).sum().into_scalar();
        assert_eq!(none, 0.0);
        let rounded = Noise::zero().poisson(mean(), 0).max().into_scalar::<f32>();
        assert_eq!(rounded, 3.0);
    }

    #[test]
    fn a_share_of_a_batch_sees_the_counts_of_its_rows() {
        let device = Device::flex();
        let means = Tensor::<1>::from_floats([1.0, 8.0, 30.0, 2.0], &device);
        let means = means.reshape([1, 4, 1]).expand([3, 4, 2]);
        let whole = Noise::keyed(KEY).poisson(means.clone(), 1);
        let key = NoiseKey { first_row: 2, ..KEY };
        let share = Noise::keyed(key).poisson(means.narrow(1, 2, 2), 1);
        assert_eq!(share.to_data(), whole.narrow(1, 2, 2).to_data());
    }

    #[test]
    fn categorical_draws_follow_the_weights_and_never_take_weight_zero() {
        let weights = vec![vec![1.0, 0.0, 3.0]; 4000];
        let drawn = Noise::seeded(1).categorical(&weights, 1);
        let last = drawn.iter().filter(|&&i| i == 2).count() as f64 / 4000.0;
        assert!(drawn.iter().all(|&i| i != 1));
        assert!((last - 0.75).abs() < 5.0 * (0.75_f64 * 0.25 / 4000.0).sqrt(), "{last}");
    }

    #[test]
    fn laplace_values_have_mean_zero_and_variance_two() {
        let mut noise = Noise::keyed(KEY);
        let values = noise.laplace([1000, 100], 0, &Device::flex());
        let n = 1e5_f64;
        let mean = f64::from(values.clone().mean().into_scalar::<f32>());
        let variance = f64::from(values.square().mean().into_scalar::<f32>());
        assert!(mean.abs() < 5.0 * (2.0 / n).sqrt(), "{mean}");
        // The fourth moment is 24.
        assert!((variance - 2.0).abs() < 5.0 * (20.0 / n).sqrt(), "{variance}");
        assert!(standard_laplace(-1.0).is_finite());
    }

    #[test]
    fn samples_of_a_row_differ_and_do_not_depend_on_the_other_rows() {
        let draw = |rows: usize| Noise::seeded(4).categorical(&vec![vec![1.0; 9]; rows], 50);
        let (two, three) = (draw(2), draw(3));
        let first = |all: &[usize], rows: usize| {
            all.chunks(rows).map(|sample| sample[0]).collect::<Vec<_>>()
        };
        assert_eq!(first(&two, 2), first(&three, 3));
        assert!((0..9).all(|i| first(&two, 2).contains(&i)));
    }

    #[test]
    fn choices_are_different() {
        let mut chosen = Noise::seeded(3).choose(6, 6);
        chosen.sort_unstable();
        assert_eq!(chosen, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    #[should_panic(expected = "the recorded noise holds normal values [2] where normal values [3]")]
    fn a_recorded_draw_of_another_shape_is_refused() {
        let mut noise = Noise::recorded([Draw::Normal(vec![2], vec![0.0; 2])]);
        let _: Tensor<1> = noise.normal([3], 0, &Device::flex());
    }
}
