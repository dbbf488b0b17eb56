//! Products of normal experts, over all subsets at once.

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

use super::{activation::apply_all, dense, math, shape, suits, tensor, values};
use crate::{Activation, NormalExperts};

/// Values that a thread works on at a time.
const PART: usize = 1 << 13;

/// Mean and log-variance, or `None` where they are not for this kernel.
pub(crate) fn product(
    experts: &NormalExperts,
    weights: &Tensor<2>,
    prior: &Tensor<2>,
) -> Option<[Tensor<3>; 2]> {
    let NormalExperts { mean, log_var, presence, floor } = experts;
    let (shape @ [modalities, batch, latent], [subsets, _]) = (mean.dims(), weights.dims());
    let fits = log_var.dims() == shape
        && presence.dims() == [modalities, batch]
        && weights.dims() == [subsets, modalities]
        && prior.dims() == [subsets, batch];
    let constant = |x: &Tensor<2>| suits(x) && !x.is_tracked();
    let empty = [subsets, modalities, batch, latent].contains(&0);
    let ours = fits && !empty && suits(mean) && suits(log_var);
    (ours && [presence, weights, prior].into_iter().all(constant)).then(|| {
        let [mean, log_var] = [mean, log_var].map(|x| x.clone().into_dispatch());
        let [presence, weights, prior] =
            [presence, weights, prior].map(|x| x.clone().into_dispatch());
        let both = Dispatch::product_of_experts(mean, log_var, presence, weights, prior, *floor);
        let both = Tensor::<4>::from_dispatch(both);
        [0, 1].map(|i| both.clone().narrow(0, i, 1).squeeze_dim(0))
    })
}

/// The operation that a backend has to know.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait ProductOfExperts: Backend {
    /// Means above log-variances, `[2, subset, batch, latent]`, of means and log-variances
    /// `[modality, batch, latent]`, `[modality, batch]`, `[subset, modality]`, `[subset, batch]`
    /// and a floor. The last three take no gradient.
    fn product_of_experts(
        mean: FloatTensor<Self>,
        log_var: FloatTensor<Self>,
        presence: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        prior: FloatTensor<Self>,
        floor: f32,
    ) -> FloatTensor<Self>;
}

/// What experts weigh, and the prior.
#[derive(Clone, Debug)]
struct Rule {
    /// By subset, row and modality.
    powers: Vec<f32>,
    /// By subset and row.
    prior: Vec<f32>,
    modalities: usize,
    batch: usize,
    floor: f32,
}

impl Rule {
    fn new(presence: &FlexTensor, weights: &FlexTensor, prior: &FlexTensor, floor: f32) -> Self {
        let [modalities, batch] = [0, 1].map(|axis| shape(presence)[axis]);
        let [presence, weights, prior] = [presence, weights, prior].map(dense);
        let presence = values(&presence);
        let weight = |weights: &[f32], row: usize| -> Vec<f32> {
            let weigh = |(m, weight)| weight * presence[m * batch + row];
            weights.iter().enumerate().map(weigh).collect()
        };
        let powers = values(&weights)
            .chunks_exact(modalities)
            .flat_map(|weights| (0..batch).flat_map(move |row| weight(weights, row)))
            .collect();
        Self { powers, prior: values(&prior).to_vec(), modalities, batch, floor }
    }

    /// Means above log-variances.
    fn product(&self, mean: &FlexTensor, log_var: &FlexTensor) -> FlexTensor {
        let latent = shape(mean)[2];
        let (mean, precision) = (dense(mean), self.precision(log_var));
        let rows = self.prior.len();
        let mut both = vec![0.0; 2 * rows * latent];
        let (means, log_vars) = both.split_at_mut(rows * latent);
        let part = PART.div_ceil(latent * self.modalities);
        let parts = means.par_chunks_mut(part * latent).zip(log_vars.par_chunks_mut(part * latent));
        parts.enumerate().for_each(|(number, (means, log_vars))| {
            let (first, mean, precision) = (number * part, values(&mean), &*precision);
            Arch::new().dispatch(Sum {
                rule: self,
                latent,
                mean,
                precision,
                first,
                means,
                log_vars,
            });
        });
        tensor(both, &[2, rows / self.batch, self.batch, latent])
    }

    fn precision(&self, log_var: &FlexTensor) -> Vec<f32> {
        let mut precision = values(&dense(log_var)).to_vec();
        apply_all(&mut precision, Activation::Precision(self.floor));
        precision
    }

    /// Gradients in means and log-variances from those in what came out, `both`.
    fn gradients(
        &self,
        mean: &FlexTensor,
        log_var: &FlexTensor,
        both: &FlexTensor,
        gradient: &FlexTensor,
    ) -> [FlexTensor; 2] {
        let shape = shape(mean);
        let latent = shape[2];
        let (both, mean, precision) = (dense(both), dense(mean), self.precision(log_var));
        // In sums of means times precisions, and in sums of precisions.
        let mut of_sums = values(&dense(gradient)).to_vec();
        let half = of_sums.len() / 2;
        let (upper, lower) = of_sums.split_at_mut(half);
        let (means, log_vars) = values(&both).split_at(half);
        let parts = upper
            .par_chunks_mut(PART)
            .zip(lower.par_chunks_mut(PART))
            .zip(means.par_chunks(PART))
            .zip(log_vars.par_chunks(PART));
        parts.for_each(|(((upper, lower), means), log_vars)| {
            Arch::new().dispatch(OfSums { upper, lower, means, log_vars });
        });
        let mut of_mean = vec![0.0; mean.layout().num_elements()];
        let mut of_log_var = vec![0.0; of_mean.len()];
        let part = PART.div_ceil(latent * self.prior.len().div_ceil(self.batch));
        let parts =
            of_mean.par_chunks_mut(part * latent).zip(of_log_var.par_chunks_mut(part * latent));
        parts.enumerate().for_each(|(number, (of_mean, of_log_var))| {
            Arch::new().dispatch(OfExperts {
                rule: self,
                latent,
                of_sums: &of_sums,
                mean: values(&mean),
                precision: &precision,
                first: number * part,
                of_mean,
                of_log_var,
            });
        });
        [of_mean, of_log_var].map(|values| tensor(values, &shape))
    }
}

/// Products of some rows, counted over subsets.
struct Sum<'a> {
    rule: &'a Rule,
    latent: usize,
    mean: &'a [f32],
    precision: &'a [f32],
    first: usize,
    means: &'a mut [f32],
    log_vars: &'a mut [f32],
}

impl NullaryFnOnce for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { rule, latent, mean, precision, first, means, log_vars } = self;
        let Rule { modalities, batch, .. } = *rule;
        let rows = means.chunks_exact_mut(latent).zip(log_vars.chunks_exact_mut(latent));
        for (row, (means, totals)) in (first..).zip(rows) {
            means.fill(0.0);
            totals.fill(rule.prior[row]);
            for (m, &power) in rule.powers[row * modalities..][..modalities].iter().enumerate() {
                if power == 0.0 {
                    continue;
                }
                let expert = (m * batch + row % batch) * latent;
                let (mean, precision) = (&mean[expert..][..latent], &precision[expert..][..latent]);
                let sums = means.iter_mut().zip(&mut *totals);
                for ((sum, total), (mean, precision)) in sums.zip(mean.iter().zip(precision)) {
                    *total += power * precision;
                    *sum += power * precision * mean;
                }
            }
            for (mean, total) in means.iter_mut().zip(totals) {
                *mean /= *total;
                *total = -math::ln(*total);
            }
        }
    }
}

/// Gradients in the mean and the log-variance become those in both sums.
struct OfSums<'a> {
    upper: &'a mut [f32],
    lower: &'a mut [f32],
    means: &'a [f32],
    log_vars: &'a [f32],
}

impl NullaryFnOnce for OfSums<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let gradients = self.upper.iter_mut().zip(self.lower);
        for ((upper, lower), (mean, log_var)) in gradients.zip(self.means.iter().zip(self.log_vars))
        {
            let variance = math::exp(*log_var);
            *upper *= variance;
            *lower = -*lower * variance - *upper * mean;
        }
    }
}

/// Gradients in some rows of experts, counted over modalities.
struct OfExperts<'a> {
    rule: &'a Rule,
    latent: usize,
    of_sums: &'a [f32],
    mean: &'a [f32],
    precision: &'a [f32],
    first: usize,
    of_mean: &'a mut [f32],
    of_log_var: &'a mut [f32],
}

impl NullaryFnOnce for OfExperts<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { rule, latent, of_sums, mean, precision, first, of_mean, of_log_var } = self;
        let Rule { modalities, batch, floor, .. } = *rule;
        let (upper, lower) = of_sums.split_at(of_sums.len() / 2);
        let rows = of_mean.chunks_exact_mut(latent).zip(of_log_var.chunks_exact_mut(latent));
        for (expert, (of_mean, of_log_var)) in (first..).zip(rows) {
            let (m, row) = (expert / batch, expert % batch);
            of_mean.fill(0.0);
            of_log_var.fill(0.0);
            for product in (row..rule.prior.len()).step_by(batch) {
                let power = rule.powers[product * modalities + m];
                if power == 0.0 {
                    continue;
                }
                let (upper, lower) =
                    (&upper[product * latent..][..latent], &lower[product * latent..][..latent]);
                let sums = of_mean.iter_mut().zip(&mut *of_log_var);
                for ((of_mean, of_precision), (upper, lower)) in sums.zip(upper.iter().zip(lower)) {
                    *of_mean += power * upper;
                    *of_precision += power * lower;
                }
            }
            let (mean, precision) =
                (&mean[expert * latent..][..latent], &precision[expert * latent..][..latent]);
            let sums = of_mean.iter_mut().zip(of_log_var);
            for ((of_mean, of_log_var), (mean, precision)) in sums.zip(mean.iter().zip(precision)) {
                let of_precision = *of_mean * mean + *of_log_var;
                *of_log_var = -of_precision * precision * (1.0 - floor * precision);
                *of_mean *= precision;
            }
        }
    }
}

impl ProductOfExperts for Flex {
    fn product_of_experts(
        mean: FlexTensor,
        log_var: FlexTensor,
        presence: FlexTensor,
        weights: FlexTensor,
        prior: FlexTensor,
        floor: f32,
    ) -> FlexTensor {
        Rule::new(&presence, &weights, &prior, floor).product(&mean, &log_var)
    }
}

impl<C: CheckpointStrategy> ProductOfExperts for Autodiff<Flex, C> {
    fn product_of_experts(
        mean: FloatTensor<Self>,
        log_var: FloatTensor<Self>,
        presence: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        prior: FloatTensor<Self>,
        floor: f32,
    ) -> FloatTensor<Self> {
        let nodes = [mean.node(), log_var.node()];
        let rule = Rule::new(presence.primitive(), weights.primitive(), prior.primitive(), floor);
        let both = rule.product(mean.primitive(), log_var.primitive());
        match ProductBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let experts = [prep.checkpoint(&mean), prep.checkpoint(&log_var)];
                prep.finish(State { rule, experts, both: both.clone() }, both)
            }
            OpsKind::UnTracked(prep) => prep.finish(both),
        }
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct State {
    rule: Rule,
    /// Means and log-variances.
    experts: [NodeId; 2],
    /// What came out.
    both: FlexTensor,
}

#[derive(Debug)]
struct ProductBackward;

impl Backward<Flex, 2> for ProductBackward {
    type State = State;

    fn backward(
        self,
        ops: Ops<State, 2>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let State { rule, experts, both } = ops.state;
        let gradient = gradients.consume::<Flex>(&ops.node);
        let [mean, log_var] =
            experts.map(|node| checkpointer.retrieve_node_output::<FlexTensor>(node));
        let found = rule.gradients(&mean, &log_var, &both, &gradient);
        for (parent, found) in ops.parents.into_iter().zip(found) {
            if let Some(node) = parent {
                gradients.register::<Flex>(node.id, found);
            }
        }
    }
}
