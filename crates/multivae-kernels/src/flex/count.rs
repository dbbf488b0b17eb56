//! Log-densities of counts, summed over features.

use std::f32::consts::TAU;

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex,
        autodiff::{
            NodeId,
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        tensor::FloatTensor,
    },
    tensor::Tensor,
};
use burn_flex::FlexTensor;
use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::{dense, math, suits, tensor, values};

/// Fewest values that are worth a thread. What is added up over rows is added up by parts of as
/// many, so that results do not depend on the number of threads.
const PART: usize = 1 << 15;

/// Number of sums that a row is added up in.
const LANES: usize = 16;

/// Largest magnitude of the logarithm of a mean or a dispersion.
const LIMIT: f32 = 20.0;

/// The log-density, or `None` where it is not for this kernel.
pub(crate) fn negative_binomial(
    log_mean: &Tensor<3>,
    log_dispersion: &Tensor<1>,
    counts: &Tensor<2>,
) -> Option<Tensor<2>> {
    let [_, batch, features] = log_mean.dims();
    let fits = counts.dims() == [batch, features] && log_dispersion.dims() == [features];
    let empty = log_mean.shape().num_elements() == 0;
    let suit = suits(log_mean) && suits(log_dispersion) && suits(counts);
    (fits && !empty && suit).then(|| {
        let [mean, dispersion, counts] = [
            log_mean.clone().into_dispatch(),
            log_dispersion.clone().into_dispatch(),
            counts.clone().into_dispatch(),
        ];
        Tensor::from_dispatch(Dispatch::negative_binomial(mean, dispersion, counts))
    })
}

/// The operation that a backend has to know.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait NegativeBinomial: Backend {
    /// Of counts `[batch, features]` given log-means `[samples, batch, features]` and
    /// log-dispersions `[features]`: `[samples, batch]`.
    fn negative_binomial(
        log_mean: FloatTensor<Self>,
        log_dispersion: FloatTensor<Self>,
        counts: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// `ln(1 + x)` of `x` of at least 0.
#[inline(always)]
fn ln_1p(x: f32) -> f32 {
    // 2 artanh(s), and s is at most 0.2 where the series is taken.
    let s = x / (2.0 + x);
    let square = s * s;
    let mut sum = 1.0 / 11.0;
    for factor in [1.0 / 9.0, 1.0 / 7.0, 0.2, 1.0 / 3.0, 1.0] {
        sum = sum * square + factor;
    }
    if x < 0.5 { 2.0 * s * sum } else { math::ln(1.0 + x) }
}

/// The error of Stirling's formula, as `stirling_error` of `multivae-core` has it.
#[inline(always)]
fn stirling_error(z: f32) -> f32 {
    let moved = z + 4.0;
    let inverse = 1.0 / moved;
    let square = inverse * inverse;
    let series = ((square * (1.0 / 1260.0) - 1.0 / 360.0) * square + 1.0 / 12.0) * inverse;
    let product = math::ln((moved / (z + 1.0)) * (moved / (z + 2.0)) * (moved / (z + 3.0)));
    (z + 0.5) * ln_1p(4.0 / z) - 4.0 + product + series
}

/// `ψ(z) - ln z`, as `digamma_correction` of `multivae-core` has it.
#[inline(always)]
fn digamma_correction(z: f32) -> f32 {
    let inverse = 1.0 / (z + 4.0);
    let square = inverse * inverse;
    let series =
        ((square * (-1.0 / 252.0) + 1.0 / 120.0) * square - 1.0 / 12.0) * square - inverse * 0.5;
    let sum = 1.0 / z + 1.0 / (z + 1.0) + 1.0 / (z + 2.0) + 1.0 / (z + 3.0);
    ln_1p(4.0 / z) - sum + series
}

/// `ratio - 1 - ln ratio`, where `slant` is `(ratio - 1) / (ratio + 1)`, as `excess` of
/// `multivae-core` has it.
#[inline(always)]
fn excess(ratio: f32, slant: f32) -> f32 {
    let square = slant * slant;
    let odd = ((square * (1.0 / 9.0) + 1.0 / 7.0) * square + 0.2) * square;
    let odd = (odd + 1.0 / 3.0) * slant;
    let near = square * 2.0 * (1.0 / (1.0 - slant) - odd);
    let far = ratio - 1.0 - math::ln(ratio);
    if slant.abs() < 0.15 { near } else { far }
}

/// What is known of a dispersion.
struct Dispersions {
    theta: Vec<f32>,
    stirling: Vec<f32>,
    digamma: Vec<f32>,
}

impl Dispersions {
    fn of(logarithms: &[f32]) -> Self {
        let theta: Vec<f32> =
            logarithms.iter().map(|&l| math::exp(math::clamp(l, LIMIT))).collect();
        Self {
            stirling: theta.iter().map(|&theta| stirling_error(theta)).collect(),
            digamma: theta.iter().map(|&theta| digamma_correction(theta)).collect(),
            theta,
        }
    }
}

/// Counts of a row above 0, with what belongs to them, one after the other.
#[derive(Default)]
struct Above {
    features: Vec<u32>,
    count: Vec<f32>,
    mean: Vec<f32>,
    theta: Vec<f32>,
    of_theta: Vec<f32>,
}

impl Above {
    #[inline(always)]
    fn gather(&mut self, counts: &[f32], means: &[f32], of: &Dispersions, of_theta: &[f32]) {
        self.features.clear();
        self.features.extend((0..).zip(counts).filter(|(_, c)| **c != 0.0).map(|(f, _)| f));
        let Self { features, count, mean, theta, of_theta: own } = self;
        let gathered = |to: &mut Vec<f32>, from: &[f32]| {
            to.clear();
            to.extend(features.iter().map(|&feature| from[feature as usize]));
        };
        gathered(count, counts);
        gathered(mean, means);
        gathered(theta, &of.theta);
        gathered(own, of_theta);
    }
}

/// Densities of some rows.
struct Sums<'a> {
    log_mean: &'a [f32],
    counts: &'a [f32],
    dispersions: &'a Dispersions,
    /// The row of the first sum.
    first: usize,
    sums: &'a mut [f32],
}

impl NullaryFnOnce for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { log_mean, counts, dispersions, first, sums } = self;
        let Dispersions { theta, stirling, .. } = dispersions;
        let features = theta.len();
        let batch = counts.len() / features;
        let mut above = Above::default();
        let mut means = vec![0.0; features];
        let mut terms = vec![0.0; features];
        for (row, sum) in (first..).zip(sums) {
            let log_mean = &log_mean[row * features..][..features];
            let counts = &counts[row % batch * features..][..features];
            let of_row = terms.iter_mut().zip(&mut means).zip(log_mean).zip(counts).zip(theta);
            for ((((term, mean), log_mean), count), theta) in of_row {
                *mean = math::exp(math::clamp(*log_mean, LIMIT));
                let spread = *mean + theta;
                let ratio = theta / spread;
                // -ln(ratio), of two parts of one sign.
                let distance = excess(ratio, -*mean / (theta + spread)) + *mean / spread;
                *term = if *count == 0.0 { -theta * distance } else { 0.0 };
            }
            above.gather(counts, &means, dispersions, stirling);
            *sum = total(&terms);
            terms[..above.count.len()].fill(0.0);
            let of_row = terms
                .iter_mut()
                .zip(&above.count)
                .zip(&above.mean)
                .zip(&above.theta)
                .zip(&above.of_theta);
            for ((((term, count), mean), theta), of_theta) in of_row {
                let (total, spread) = (count + theta, mean + theta);
                let by_dispersion = excess(total / spread, (count - mean) / (total + spread));
                let (found, expected) = (mean / spread, count / total);
                let slant = (mean - count) / spread * (theta / total) / (found + expected);
                let by_count = excess(found / expected, slant);
                let stirling = stirling_error(total) - of_theta - stirling_error(*count);
                let scale = 0.5 * math::ln(theta / total / count / TAU);
                *term = stirling + scale - by_dispersion * theta - by_count * count;
            }
            *sum += total(&terms[..above.count.len()]);
        }
    }
}

/// Terms added up in as many sums as there are lanes.
#[inline(always)]
fn total(terms: &[f32]) -> f32 {
    let (blocks, rest) = terms.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for block in blocks {
        for lane in 0..LANES {
            lanes[lane] += block[lane];
        }
    }
    for (lane, term) in lanes.iter_mut().zip(rest) {
        *lane += term;
    }
    let mut total = 0.0;
    for lane in lanes {
        total += lane;
    }
    total
}

/// Slopes of some rows times the gradients of these.
struct Slopes<'a> {
    log_mean: &'a [f32],
    counts: &'a [f32],
    dispersions: &'a Dispersions,
    gradient: &'a [f32],
    /// The row of the first slopes.
    first: usize,
    by_mean: &'a mut [f32],
    /// Added up over the rows.
    by_dispersion: &'a mut [f32],
}

impl NullaryFnOnce for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { log_mean, counts, dispersions, gradient, first, by_mean, by_dispersion } = self;
        let Dispersions { theta, digamma, .. } = dispersions;
        let features = theta.len();
        let batch = counts.len() / features;
        let mut above = Above::default();
        let mut means = vec![0.0; features];
        let mut found = Vec::new();
        for (row, by_mean) in (first..).zip(by_mean.chunks_exact_mut(features)) {
            let log_mean = &log_mean[row * features..][..features];
            let counts = &counts[row % batch * features..][..features];
            let factor = gradient[row];
            for (mean, log_mean) in means.iter_mut().zip(log_mean) {
                *mean = math::exp(math::clamp(*log_mean, LIMIT));
            }
            let of_row =
                by_mean.iter_mut().zip(by_dispersion.iter_mut()).zip(&means).zip(counts).zip(theta);
            for ((((by_mean, by_dispersion), mean), count), theta) in of_row {
                let spread = mean + theta;
                let ratio = theta / spread;
                *by_mean = factor * (count - mean) * ratio;
                let slope = -theta * excess(ratio, -*mean / (theta + spread));
                *by_dispersion += if *count == 0.0 { factor * slope } else { 0.0 };
            }
            above.gather(counts, &means, dispersions, digamma);
            found.clear();
            found.resize(above.count.len(), 0.0);
            let of_row = found
                .iter_mut()
                .zip(&above.count)
                .zip(&above.mean)
                .zip(&above.theta)
                .zip(&above.of_theta);
            for ((((found, count), mean), theta), digamma) in of_row {
                let total = count + theta;
                let spread = mean + theta;
                let excess = excess(total / spread, (count - mean) / (total + spread));
                *found = factor * theta * (digamma_correction(total) - digamma - excess);
            }
            for (&feature, found) in above.features.iter().zip(&found) {
                by_dispersion[feature as usize] += found;
            }
        }
    }
}

fn forward(log_mean: &FlexTensor, log_dispersion: &FlexTensor, counts: &FlexTensor) -> FlexTensor {
    let [log_mean, log_dispersion, counts] = [log_mean, log_dispersion, counts].map(dense);
    let shape = log_mean.layout().shape();
    let (rows, features) = ([shape[0], shape[1]], shape[2]);
    let dispersions = Dispersions::of(values(&log_dispersion));
    let (log_mean, counts) = (values(&log_mean), values(&counts));
    let mut sums = vec![0.0; rows[0] * rows[1]];
    let part = PART.div_ceil(features);
    sums.par_chunks_mut(part).enumerate().for_each(|(number, sums)| {
        let (first, dispersions) = (number * part, &dispersions);
        Arch::new().dispatch(Sums { log_mean, counts, dispersions, first, sums });
    });
    tensor(sums, &rows)
}

/// Gradients in log-means and log-dispersions.
fn backward(
    log_mean: &FlexTensor,
    log_dispersion: &FlexTensor,
    counts: &FlexTensor,
    gradient: &[f32],
) -> [Vec<f32>; 2] {
    let dispersions = Dispersions::of(values(log_dispersion));
    let features = dispersions.theta.len();
    let (log_mean, counts) = (values(log_mean), values(counts));
    let part = PART.div_ceil(features);
    let mut by_mean = vec![0.0; log_mean.len()];
    let parts: Vec<Vec<f32>> = by_mean
        .par_chunks_mut(part * features)
        .enumerate()
        .map(|(number, by_mean)| {
            let (first, dispersions) = (number * part, &dispersions);
            let mut of_part = vec![0.0; features];
            let by_dispersion = &mut of_part[..];
            Arch::new().dispatch(Slopes {
                log_mean,
                counts,
                dispersions,
                gradient,
                first,
                by_mean,
                by_dispersion,
            });
            of_part
        })
        .collect();
    let mut by_dispersion = vec![0.0; features];
    for part in parts {
        by_dispersion.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    [by_mean, by_dispersion]
}

impl NegativeBinomial for Flex {
    fn negative_binomial(
        log_mean: FlexTensor,
        log_dispersion: FlexTensor,
        counts: FlexTensor,
    ) -> FlexTensor {
        forward(&log_mean, &log_dispersion, &counts)
    }
}

impl<C: CheckpointStrategy> NegativeBinomial for Autodiff<Flex, C> {
    fn negative_binomial(
        log_mean: FloatTensor<Self>,
        log_dispersion: FloatTensor<Self>,
        counts: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let sums = forward(log_mean.primitive(), log_dispersion.primitive(), counts.primitive());
        let nodes = [log_mean.node(), log_dispersion.node()];
        match NegativeBinomialBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let stored = [prep.checkpoint(&log_mean), prep.checkpoint(&log_dispersion)];
                let counts = counts.primitive().clone();
                prep.finish(State { stored, counts }, sums)
            }
            OpsKind::UnTracked(prep) => prep.finish(sums),
        }
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct State {
    /// Log-means and log-dispersions.
    stored: [NodeId; 2],
    counts: FlexTensor,
}

#[derive(Debug)]
struct NegativeBinomialBackward;

impl Backward<Flex, 2> for NegativeBinomialBackward {
    type State = State;

    fn backward(
        self,
        ops: Ops<State, 2>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let State { stored, counts } = ops.state;
        let nodes = ops.parents.map(|parent| parent.map(|node| node.id));
        let gradient = dense(&gradients.consume::<Flex>(&ops.node));
        let [log_mean, log_dispersion] =
            stored.map(|node| dense(&checkpointer.retrieve_node_output::<FlexTensor>(node)));
        let found = backward(&log_mean, &log_dispersion, &dense(&counts), values(&gradient));
        for ((node, found), of) in nodes.into_iter().zip(found).zip([&log_mean, &log_dispersion]) {
            if let Some(node) = node {
                gradients.register::<Flex>(node, tensor(found, of.layout().shape()));
            }
        }
    }
}
