//! Samples and divergences of diagonal normal distributions, each in one pass.

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex,
        autodiff::{
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

use super::{dense, math, shape, suits, tensor, values};

/// Values that a thread works on at a time.
const PART: usize = 1 << 13;

/// Whether tensors are for these kernels: of one shape, and with values.
fn fit<const D: usize>(tensors: &[&Tensor<D>]) -> bool {
    let shape = tensors[0].shape();
    shape.num_elements() > 0 && tensors.iter().all(|x| x.shape() == shape && suits(x))
}

/// The samples, or `None` where they are not for this kernel.
pub(crate) fn rsample<const D: usize>(
    mean: &Tensor<D>,
    log_var: &Tensor<D>,
    noise: &Tensor<D>,
) -> Option<Tensor<D>> {
    fit(&[mean, log_var, noise]).then(|| {
        let [mean, log_var, noise] = [mean, log_var, noise].map(|x| x.clone().into_dispatch());
        Tensor::from_dispatch(Dispatch::rsample(mean, log_var, noise))
    })
}

/// The divergence, or `None` where it is not for this kernel.
pub(crate) fn kl<const D: usize>(q: &[Tensor<D>; 2], p: &[Tensor<D>; 2]) -> Option<Tensor<D>> {
    fit(&[&q[0], &q[1], &p[0], &p[1]]).then(|| {
        let [a, b, c, d] = [&q[0], &q[1], &p[0], &p[1]].map(|x| x.clone().into_dispatch());
        Tensor::from_dispatch(Dispatch::normal_kl(a, b, c, d))
    })
}

/// The operations that a backend has to know.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait Normals: Backend {
    /// Of a mean, a log-variance and standard normal values.
    fn rsample(
        mean: FloatTensor<Self>,
        log_var: FloatTensor<Self>,
        noise: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Of means and log-variances, with one entry in the last axis.
    fn normal_kl(
        q_mean: FloatTensor<Self>,
        q_log_var: FloatTensor<Self>,
        p_mean: FloatTensor<Self>,
        p_log_var: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

fn sample(mean: &FlexTensor, log_var: &FlexTensor, noise: &FlexTensor) -> FlexTensor {
    let [mean, log_var, noise] = [mean, log_var, noise].map(dense);
    let mut y = vec![0.0; values(&mean).len()];
    let parts = y
        .par_chunks_mut(PART)
        .zip(values(&mean).par_chunks(PART))
        .zip(values(&log_var).par_chunks(PART))
        .zip(values(&noise).par_chunks(PART));
    parts.for_each(|(((y, mean), log_var), noise)| {
        Arch::new().dispatch(Sample { y, mean, log_var, noise });
    });
    tensor(y, &shape(&mean))
}

struct Sample<'a> {
    y: &'a mut [f32],
    mean: &'a [f32],
    log_var: &'a [f32],
    noise: &'a [f32],
}

impl NullaryFnOnce for Sample<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { y, mean, log_var, noise } = self;
        for (((y, mean), log_var), noise) in y.iter_mut().zip(mean).zip(log_var).zip(noise) {
            *y = mean + math::exp(0.5 * log_var) * noise;
        }
    }
}

/// The gradient in the log-variance, which is that in the sample times half of what was added to
/// the mean; without noise that in the noise.
struct ScaledGradient<'a> {
    out: &'a mut [f32],
    gradient: &'a [f32],
    log_var: &'a [f32],
    noise: Option<&'a [f32]>,
}

impl NullaryFnOnce for ScaledGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { out, gradient, log_var, noise } = self;
        let all = out.iter_mut().zip(gradient).zip(log_var);
        match noise {
            Some(noise) => {
                for (((out, gradient), log_var), noise) in all.zip(noise) {
                    *out = 0.5 * gradient * math::exp(0.5 * log_var) * noise;
                }
            }
            None => {
                for ((out, gradient), log_var) in all {
                    *out = gradient * math::exp(0.5 * log_var);
                }
            }
        }
    }
}

/// Gradient in the log-variance where `noise` is given, else that in the noise.
fn scaled(gradient: &[f32], log_var: &[f32], noise: Option<&[f32]>) -> Vec<f32> {
    let mut out = vec![0.0; gradient.len()];
    out.par_chunks_mut(PART).enumerate().for_each(|(part, out)| {
        let range = part * PART..part * PART + out.len();
        Arch::new().dispatch(ScaledGradient {
            gradient: &gradient[range.clone()],
            log_var: &log_var[range.clone()],
            noise: noise.map(|noise| &noise[range]),
            out,
        });
    });
    out
}

/// Means and log-variances of two distributions.
#[derive(Clone, Debug)]
struct Pair([FlexTensor; 4]);

impl Pair {
    fn of(tensors: [&FlexTensor; 4]) -> Self {
        Self(tensors.map(dense))
    }

    fn slices(&self) -> [&[f32]; 4] {
        let Self([a, b, c, d]) = self;
        [a, b, c, d].map(values)
    }

    fn features(&self) -> usize {
        shape(&self.0[0]).last().copied().unwrap_or(1)
    }

    fn kl(&self) -> FlexTensor {
        let features = self.features();
        let slices = self.slices();
        let mut sums = vec![0.0; slices[0].len() / features];
        let rows = PART.div_ceil(features);
        sums.par_chunks_mut(rows).enumerate().for_each(|(part, sums)| {
            let range = part * rows * features..(part * rows + sums.len()) * features;
            let slices = slices.map(|slice| &slice[range.clone()]);
            Arch::new().dispatch(Divergences { features, slices, sums });
        });
        let mut shape = shape(&self.0[0]);
        *shape.last_mut().expect("there is an axis of features") = 1;
        tensor(sums, &shape)
    }

    /// Gradients in all four from those in the divergences.
    fn gradients(&self, gradient: &[f32]) -> [FlexTensor; 4] {
        let features = self.features();
        let slices = self.slices();
        let mut found = [(); 4].map(|()| vec![0.0; slices[0].len()]);
        let rows = PART.div_ceil(features);
        let [a, b, c, d] = &mut found;
        let parts = a
            .par_chunks_mut(rows * features)
            .zip(b.par_chunks_mut(rows * features))
            .zip(c.par_chunks_mut(rows * features))
            .zip(d.par_chunks_mut(rows * features));
        parts.enumerate().for_each(|(part, (((a, b), c), d))| {
            let range = part * rows * features..part * rows * features + a.len();
            let slices = slices.map(|slice| &slice[range.clone()]);
            let gradient = &gradient[part * rows..];
            Arch::new().dispatch(DivergenceGradients {
                features,
                slices,
                gradient,
                out: [a, b, c, d],
            });
        });
        found.map(|values| tensor(values, &shape(&self.0[0])))
    }
}

/// Number of sums that a row is added up in.
const LANES: usize = 16;

struct Divergences<'a> {
    features: usize,
    slices: [&'a [f32]; 4],
    sums: &'a mut [f32],
}

#[inline(always)]
fn term([q_mean, q_log_var, p_mean, p_log_var]: [f32; 4]) -> f32 {
    let (ratio, distance) = (q_log_var - p_log_var, q_mean - p_mean);
    0.5 * (math::exp(ratio) - ratio + distance * distance * math::exp(-p_log_var) - 1.0)
}

impl NullaryFnOnce for Divergences<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { features, slices: [a, b, c, d], sums } = self;
        for (row, sum) in sums.iter_mut().enumerate() {
            let range = row * features..(row + 1) * features;
            let (a, a_rest) = a[range.clone()].as_chunks::<LANES>();
            let (b, b_rest) = b[range.clone()].as_chunks::<LANES>();
            let (c, c_rest) = c[range.clone()].as_chunks::<LANES>();
            let (d, d_rest) = d[range].as_chunks::<LANES>();
            let mut lanes = [0.0; LANES];
            for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
                for lane in 0..LANES {
                    lanes[lane] += term([a[lane], b[lane], c[lane], d[lane]]);
                }
            }
            for lane in 0..a_rest.len() {
                lanes[lane] += term([a_rest[lane], b_rest[lane], c_rest[lane], d_rest[lane]]);
            }
            let mut total = 0.0;
            for lane in lanes {
                total += lane;
            }
            *sum = total;
        }
    }
}

struct DivergenceGradients<'a> {
    features: usize,
    slices: [&'a [f32]; 4],
    gradient: &'a [f32],
    out: [&'a mut [f32]; 4],
}

impl NullaryFnOnce for DivergenceGradients<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { features, slices: [a, b, c, d], gradient, out: [da, db, dc, dd] } = self;
        for (row, &g) in gradient.iter().enumerate().take(a.len() / features) {
            let range = row * features..(row + 1) * features;
            let given = a[range.clone()]
                .iter()
                .zip(&b[range.clone()])
                .zip(&c[range.clone()])
                .zip(&d[range.clone()]);
            let out = da[range.clone()]
                .iter_mut()
                .zip(&mut db[range.clone()])
                .zip(&mut dc[range.clone()])
                .zip(&mut dd[range]);
            for ((((da, db), dc), dd), (((a, b), c), d)) in out.zip(given) {
                let (ratio, precision) = (math::exp(b - d), math::exp(-d));
                let distance = (a - c) * precision;
                *da = g * distance;
                *dc = -g * distance;
                *db = 0.5 * g * (ratio - 1.0);
                *dd = 0.5 * g * (1.0 - ratio - (a - c) * distance);
            }
        }
    }
}

impl Normals for Flex {
    fn rsample(mean: FlexTensor, log_var: FlexTensor, noise: FlexTensor) -> FlexTensor {
        sample(&mean, &log_var, &noise)
    }

    fn normal_kl(
        q_mean: FlexTensor,
        q_log_var: FlexTensor,
        p_mean: FlexTensor,
        p_log_var: FlexTensor,
    ) -> FlexTensor {
        Pair::of([&q_mean, &q_log_var, &p_mean, &p_log_var]).kl()
    }
}

impl<C: CheckpointStrategy> Normals for Autodiff<Flex, C> {
    fn rsample(
        mean: FloatTensor<Self>,
        log_var: FloatTensor<Self>,
        noise: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let nodes = [mean.node(), log_var.node(), noise.node()];
        let y = sample(mean.primitive(), log_var.primitive(), noise.primitive());
        match SampleBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let kept = [dense(log_var.primitive()), dense(noise.primitive())];
                prep.finish(kept, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn normal_kl(
        q_mean: FloatTensor<Self>,
        q_log_var: FloatTensor<Self>,
        p_mean: FloatTensor<Self>,
        p_log_var: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let nodes = [q_mean.node(), q_log_var.node(), p_mean.node(), p_log_var.node()];
        let pair = Pair::of([
            q_mean.primitive(),
            q_log_var.primitive(),
            p_mean.primitive(),
            p_log_var.primitive(),
        ]);
        let y = pair.kl();
        match KlBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(pair, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[derive(Debug)]
struct SampleBackward;

impl Backward<Flex, 3> for SampleBackward {
    /// Log-variance and noise.
    type State = [FlexTensor; 2];

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [mean, log_var, noise] = ops.parents.map(|parent| parent.map(|node| node.id));
        let [log_variance, standard] = &ops.state;
        let gradient = dense(&gradients.consume::<Flex>(&ops.node));
        let shape = shape(&gradient);
        let outer = values(&gradient);
        if let Some(node) = log_var {
            let inner = scaled(outer, values(log_variance), Some(values(standard)));
            gradients.register::<Flex>(node, tensor(inner, &shape));
        }
        if let Some(node) = noise {
            let inner = scaled(outer, values(log_variance), None);
            gradients.register::<Flex>(node, tensor(inner, &shape));
        }
        if let Some(node) = mean {
            gradients.register::<Flex>(node, gradient);
        }
    }
}

#[derive(Debug)]
struct KlBackward;

impl Backward<Flex, 4> for KlBackward {
    type State = Pair;

    fn backward(self, ops: Ops<Self::State, 4>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = dense(&gradients.consume::<Flex>(&ops.node));
        let found = ops.state.gradients(values(&gradient));
        for (parent, found) in ops.parents.into_iter().zip(found) {
            if let Some(node) = parent {
                gradients.register::<Flex>(node.id, found);
            }
        }
    }
}
