//! Products of normal experts, each in one pass.

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
use crate::ExpertSettings;

/// The product, or `None` where it is not for this kernel.
pub(crate) fn product_of_experts(
    prior: &[Tensor<3>; 2],
    experts: &Tensor<2>,
    presence: &Tensor<2>,
    pairs: &[[usize; 2]],
    settings: ExpertSettings,
) -> Option<[Tensor<3>; 2]> {
    let [sets, batch, latent] = prior[0].dims();
    let [members, rows] = presence.dims();
    let fits = prior[1].dims() == prior[0].dims()
        && experts.dims() == [pairs.len() * batch, 2 * latent]
        && rows == batch
        && pairs.iter().all(|&[set, member]| set < sets && member < members);
    let empty = pairs.is_empty() || [sets, batch, latent].contains(&0);
    let suit = prior.iter().all(suits) && suits(experts) && suits(presence);
    (fits && !empty && suit).then(|| {
        let product = Product { sets, batch, latent, pairs: pairs.to_vec(), settings };
        let [mean, log_var] = [&prior[0], &prior[1]].map(|x| x.clone().into_dispatch());
        let [experts, presence] = [experts, presence].map(|x| x.clone().into_dispatch());
        let both = Dispatch::product_of_experts(mean, log_var, experts, presence, product);
        let both = Tensor::<4>::from_dispatch(both);
        [0, 1].map(|half| both.clone().narrow(0, half, 1).squeeze_dim(0))
    })
}

/// Which experts are joined, and how.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    sets: usize,
    batch: usize,
    latent: usize,
    /// Sets and members.
    pairs: Vec<[usize; 2]>,
    settings: ExpertSettings,
}

/// The operation that a backend has to know.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait ProductOfExperts: Backend {
    /// Of a prior, experts and their presence: means and log-variances `[2, sets, batch, latent]`.
    fn product_of_experts(
        mean: FloatTensor<Self>,
        log_var: FloatTensor<Self>,
        experts: FloatTensor<Self>,
        presence: FloatTensor<Self>,
        product: Product,
    ) -> FloatTensor<Self>;
}

/// What goes in: means and log-variances of the prior, experts, and their presence.
type Inputs = [FlexTensor; 4];

impl Product {
    /// Values of a set in the prior and in the product.
    fn block(&self) -> usize {
        self.batch * self.latent
    }

    /// Of each set, the places and members of its pairs.
    fn of_sets(&self) -> Vec<Vec<[usize; 2]>> {
        let mut found = vec![Vec::new(); self.sets];
        for (place, &[set, member]) in self.pairs.iter().enumerate() {
            found[set].push([place, member]);
        }
        found
    }

    fn forward(&self, inputs: &Inputs) -> FlexTensor {
        let [mean, log_var, experts, presence] = [0, 1, 2, 3].map(|i| values(&inputs[i]));
        let block = self.block();
        let mut both = vec![0.0; 2 * self.sets * block];
        let (means, log_vars) = both.split_at_mut(self.sets * block);
        let of_sets = self.of_sets();
        let sets = means.par_chunks_mut(block).zip(log_vars.par_chunks_mut(block));
        sets.zip(&of_sets).enumerate().for_each(|(set, ((weighted, total), pairs))| {
            let range = set * block..(set + 1) * block;
            let prior = [&mean[range.clone()], &log_var[range]];
            Arch::new().dispatch(Join {
                product: self,
                prior,
                experts,
                presence,
                pairs,
                weighted,
                total,
            });
        });
        tensor(both, &[2, self.sets, self.batch, self.latent])
    }

    /// Gradients in means and log-variances of the prior and in the experts, from those in the product
    /// `both` of the inputs.
    fn gradients(&self, gradient: &[f32], both: &[f32], inputs: &Inputs) -> [Vec<f32>; 3] {
        let [mean, log_var, experts, presence] = [0, 1, 2, 3].map(|i| values(&inputs[i]));
        let (block, count) = (self.block(), self.sets * self.block());
        let [mut of_mean, mut of_log_var] = [(); 2].map(|()| vec![0.0; count]);
        // Gradients in the sums of weighted means and of precisions.
        let [mut of_weighted, mut of_total] = [(); 2].map(|()| vec![0.0; count]);
        let parts = of_mean
            .par_chunks_mut(block)
            .zip(of_log_var.par_chunks_mut(block))
            .zip(of_weighted.par_chunks_mut(block).zip(of_total.par_chunks_mut(block)));
        parts.enumerate().for_each(|(set, ((of_mean, of_log_var), (of_weighted, of_total)))| {
            let range = set * block..(set + 1) * block;
            let second = count + range.start..count + range.end;
            Arch::new().dispatch(Sums {
                gradient: [&gradient[range.clone()], &gradient[second.clone()]],
                both: [&both[range.clone()], &both[second]],
                prior: [&mean[range.clone()], &log_var[range]],
                floor: self.settings.floor,
                out: [of_mean, of_log_var, of_weighted, of_total],
            });
        });
        let mut of_experts = vec![0.0; experts.len()];
        let pairs = of_experts.par_chunks_mut(2 * block).zip(experts.par_chunks(2 * block));
        pairs.zip(&self.pairs).for_each(|((out, experts), &[set, member])| {
            let range = set * block..(set + 1) * block;
            let sums = [&of_weighted[range.clone()], &of_total[range]];
            let presence = &presence[member * self.batch..][..self.batch];
            Arch::new().dispatch(Experts { product: self, sums, experts, presence, out });
        });
        [of_mean, of_log_var, of_experts]
    }
}

#[inline(always)]
fn precision(log_var: f32, floor: f32) -> f32 {
    1.0 / (math::exp(log_var) + floor)
}

/// The product of one set.
struct Join<'a> {
    product: &'a Product,
    prior: [&'a [f32]; 2],
    /// All experts, and the presence of all members.
    experts: &'a [f32],
    presence: &'a [f32],
    /// Of the set.
    pairs: &'a [[usize; 2]],
    /// Sums of means times precisions, then means.
    weighted: &'a mut [f32],
    /// Sums of precisions, then log-variances.
    total: &'a mut [f32],
}

impl NullaryFnOnce for Join<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { product, prior: [mean, log_var], experts, presence, pairs, weighted, total } =
            self;
        let Product { batch, latent, settings: ExpertSettings { floor, limit }, .. } = *product;
        for row in 0..batch {
            let range = row * latent..(row + 1) * latent;
            let (weighted, total) = (&mut weighted[range.clone()], &mut total[range.clone()]);
            let prior = mean[range.clone()].iter().zip(&log_var[range]);
            for ((weighted, total), (mean, log_var)) in
                weighted.iter_mut().zip(&mut *total).zip(prior)
            {
                let p = precision(*log_var, floor);
                *total = p;
                *weighted = p * mean;
            }
            for &[place, member] in pairs {
                let factor = presence[member * batch + row];
                // What an absent expert says may be anything.
                if factor == 0.0 {
                    continue;
                }
                let expert = &experts[(place * batch + row) * 2 * latent..][..2 * latent];
                let (mean, log_var) = expert.split_at(latent);
                let expert = mean.iter().zip(log_var);
                for ((weighted, total), (mean, log_var)) in
                    weighted.iter_mut().zip(&mut *total).zip(expert)
                {
                    let p = precision(math::clamp(*log_var, limit), floor) * factor;
                    *total += p;
                    *weighted += p * mean;
                }
            }
            for (weighted, total) in weighted.iter_mut().zip(&mut *total) {
                *weighted /= *total;
                *total = -math::ln(*total);
            }
        }
    }
}

/// Gradients of one set in its prior and in its sums.
struct Sums<'a> {
    gradient: [&'a [f32]; 2],
    both: [&'a [f32]; 2],
    prior: [&'a [f32]; 2],
    floor: f32,
    out: [&'a mut [f32]; 4],
}

impl NullaryFnOnce for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { gradient, both, prior, floor, out: [a, b, c, d] } = self;
        let out = a.iter_mut().zip(b).zip(c.iter_mut().zip(d));
        let given = gradient[0].iter().zip(gradient[1]).zip(both[0].iter().zip(both[1]));
        let prior = prior[0].iter().zip(prior[1]);
        for ((((a, b), (c, d)), ((of_mean, of_log_var), (mean, log_var))), (m, v)) in
            out.zip(given).zip(prior)
        {
            // The inverse of the sum of precisions.
            let inverse = math::exp(*log_var);
            let weighted = of_mean * inverse;
            let total = -(of_mean * mean + of_log_var) * inverse;
            let (variance, p) = (math::exp(*v), precision(*v, floor));
            *a = weighted * p;
            *b = -(weighted * m + total) * (variance * p) * p;
            *c = weighted;
            *d = total;
        }
    }
}

/// Gradients of the experts of one pair.
struct Experts<'a> {
    product: &'a Product,
    /// Gradients in the sums of its set.
    sums: [&'a [f32]; 2],
    experts: &'a [f32],
    /// Of its member.
    presence: &'a [f32],
    /// Zeros.
    out: &'a mut [f32],
}

impl NullaryFnOnce for Experts<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { product, sums, experts, presence, out } = self;
        let Product { latent, settings: ExpertSettings { floor, limit }, .. } = *product;
        let rows = experts.chunks_exact(2 * latent).zip(out.chunks_exact_mut(2 * latent));
        let sums = sums[0].chunks_exact(latent).zip(sums[1].chunks_exact(latent));
        for (((expert, out), (weighted, total)), &factor) in rows.zip(sums).zip(presence) {
            if factor == 0.0 {
                continue;
            }
            let (mean, log_var) = expert.split_at(latent);
            let (of_mean, of_log_var) = out.split_at_mut(latent);
            let given = mean.iter().zip(log_var).zip(weighted.iter().zip(total));
            let out = of_mean.iter_mut().zip(of_log_var);
            for ((of_mean, of_log_var), ((mean, log_var), (weighted, total))) in out.zip(given) {
                let within = math::clamp(*log_var, limit);
                let (variance, p) = (math::exp(within), precision(within, floor));
                let slope = -(weighted * mean + total) * factor * (variance * p) * p;
                *of_mean = weighted * p * factor;
                *of_log_var = if within <= -limit || within >= limit { 0.0 } else { slope };
            }
        }
    }
}

impl ProductOfExperts for Flex {
    fn product_of_experts(
        mean: FlexTensor,
        log_var: FlexTensor,
        experts: FlexTensor,
        presence: FlexTensor,
        product: Product,
    ) -> FlexTensor {
        product.forward(&[mean, log_var, experts, presence].map(|x| dense(&x)))
    }
}

impl<C: CheckpointStrategy> ProductOfExperts for Autodiff<Flex, C> {
    fn product_of_experts(
        mean: FloatTensor<Self>,
        log_var: FloatTensor<Self>,
        experts: FloatTensor<Self>,
        presence: FloatTensor<Self>,
        product: Product,
    ) -> FloatTensor<Self> {
        let nodes = [mean.node(), log_var.node(), experts.node()];
        let inputs = [&mean, &log_var, &experts, &presence].map(|x| dense(x.primitive()));
        let both = product.forward(&inputs);
        match ProductBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((product, inputs, both.clone()), both),
            OpsKind::UnTracked(prep) => prep.finish(both),
        }
    }
}

#[derive(Debug)]
struct ProductBackward;

impl Backward<Flex, 3> for ProductBackward {
    /// What goes in, and what comes out.
    type State = (Product, Inputs, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let (product, inputs, both) = ops.state;
        let gradient = dense(&gradients.consume::<Flex>(&ops.node));
        let found = product.gradients(values(&gradient), values(&both), &inputs);
        for ((parent, found), input) in ops.parents.into_iter().zip(found).zip(&inputs) {
            if let Some(node) = parent {
                gradients.register::<Flex>(node.id, tensor(found, &shape(input)));
            }
        }
    }
}
