//! Rules that join experts other than products of them, for all subsets at once.

use burn::tensor::{Int, Tensor, TensorData};
use multivae_core::{
    distribution::Normal,
    fusion::Experts,
    subset::{Subset, Subsets},
};

use crate::blocks::codes::shares;

/// The barycentre of the observed experts of each subset in the Wasserstein distance of order 2, with
/// equal weights, `[subset, batch, latent]`: means and deviations are averaged. The prior where a row
/// observes none.
pub fn barycentre(experts: &Experts, subsets: &Subsets) -> Normal<3> {
    let [modalities, batch, latent] = experts.mean.dims();
    let membership = subsets.membership(&experts.mean.device());
    let count = membership.clone().matmul(experts.presence.clone());
    let presence = experts.presence.clone().unsqueeze_dim::<3>(2);
    let average = |x: Tensor<3>| {
        let x = (x * presence.clone()).reshape([modalities, batch * latent]);
        let sum = membership.clone().matmul(x).reshape([subsets.len(), batch, latent]);
        sum / count.clone().clamp_min(1.0).unsqueeze_dim(2)
    };
    let none = count.clone().equal_scalar(0.0).float().unsqueeze_dim::<3>(2);
    let deviation = average((experts.log_var.clone() * 0.5).exp()) + none;
    Normal::new(average(experts.mean.clone()), deviation.log() * 2.0)
}

/// The normal distribution with the moments of `(Σ_m √q(z | x_m))²` over the observed experts of each
/// subset, up to a factor, in each feature: Hölder pooling of order ½, `[subset, batch, latent]`. The
/// prior where a row observes none.
///
/// The pool is a mixture of `√(q_i q_j)` over all pairs, each with itself too, which are normal with
/// the affinity of the pair as weight.
///
/// Source: Vo and Valera 2026, arXiv 2601.06572.
pub fn hellinger(experts: &Experts, subsets: &Subsets) -> Normal<3> {
    let pairs = Pairs::of(experts);
    let pools: Vec<Normal<2>> = subsets.iter().map(|subset| pairs.pool(subset)).collect();
    let stack = |of: fn(&Normal<2>) -> &Tensor<2>| {
        Tensor::stack(pools.iter().map(|pool| of(pool).clone()).collect(), 0)
    };
    Normal::new(stack(|pool| &pool.mean), stack(|pool| &pool.log_var))
}

/// The normal distributions `√(q_i q_j)` of all pairs of experts, up to a factor.
struct Pairs {
    /// `[expert, expert, batch, latent]`.
    mean: Tensor<4>,
    variance: Tensor<4>,
    /// How much two experts overlap, 1 for one with itself, `[expert, expert, batch, 1]`; 0 where a row
    /// lacks one of them.
    affinity: Tensor<4>,
    /// 1 where a row observes the expert, `[expert, batch]`.
    presence: Tensor<2>,
}

impl Pairs {
    fn of(experts: &Experts) -> Self {
        let [count, batch, latent] = experts.mean.dims();
        let shape = [count, count, batch, latent];
        let rows = |x: &Tensor<3>| x.clone().unsqueeze_dim::<4>(1).expand(shape);
        let columns = |x: &Tensor<3>| x.clone().unsqueeze_dim::<4>(0).expand(shape);
        let (mean, log_var) = (&experts.mean, &experts.log_var);
        let (variance, precision) = (log_var.clone().exp(), log_var.clone().neg().exp());
        let weighted = mean.clone() * precision.clone();
        let total = rows(&precision) + columns(&precision);
        let sum = rows(&variance) + columns(&variance);
        let apart = (rows(mean) - columns(mean)).square() / (sum.clone() * 4.0);
        let overlap = (rows(log_var) + columns(log_var)) * 0.25 - (sum * 0.5).log() * 0.5;
        let presence = experts.presence.clone().unsqueeze_dim::<3>(2);
        let one = [count, count, batch, 1];
        let first = presence.clone().unsqueeze_dim::<4>(1).expand(one);
        let second = presence.unsqueeze_dim::<4>(0).expand(one);
        Self {
            mean: (rows(&weighted) + columns(&weighted)) / total.clone(),
            variance: total.recip() * 2.0,
            affinity: (overlap - apart).sum_dim(3).exp() * first * second,
            presence: experts.presence.clone(),
        }
    }

    /// The pool of the experts in a subset, `[batch, latent]`.
    fn pool(&self, subset: Subset) -> Normal<2> {
        let [count, _, batch, latent] = self.mean.dims();
        let places: Vec<i64> = subset.iter().map(|m| m as i64).collect();
        let all = places.len() == count;
        let n = places.len();
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [n]), &self.mean.device());
        let of = |x: &Tensor<4>| match all {
            true => x.clone(),
            false => x.clone().select(0, places.clone()).select(1, places.clone()),
        };
        let (pair_mean, affinity) = (of(&self.mean), of(&self.affinity));
        let over_pairs = |x: Tensor<4>| x.sum_dim(0).sum_dim(1);
        let norm = over_pairs(affinity.clone());
        let weights = affinity / norm.clamp_min(f64::from(f32::MIN_POSITIVE));
        let mean = over_pairs(pair_mean.clone() * weights.clone());
        let apart = pair_mean - mean.clone().expand([n, n, batch, latent]);
        let spread = apart.square() + of(&self.variance);
        let observed = self.presence.clone().select(0, places.clone()).sum_dim(0);
        let none = observed.equal_scalar(0.0).float().transpose();
        let variance = over_pairs(spread * weights).reshape([batch, latent]) + none;
        Normal::new(mean.reshape([batch, latent]), variance.log())
    }
}

/// The consensus of the experts of each subset whose errors are correlated by `correlation`, 0 to 1
/// exclusively, in each feature, `[subset, batch, latent]`; the prior where a row observes none of a
/// subset.
///
/// With precisions `a_i²`, `k` experts and `c = ρ / (1 + (k - 1) ρ)`, the precision is
/// `t = (Σ a² - c (Σ a)²) / (1 - ρ)` and the mean `(Σ a² μ - c Σ a Σ a μ) / ((1 - ρ) t)`.
///
/// Source: Winkler 1981; Mancisidor et al. 2025, arXiv 2505.01134.
pub fn correlated(experts: &Experts, subsets: &Subsets, correlation: f64) -> Normal<3> {
    let [count, batch, latent] = experts.mean.dims();
    let membership = subsets.membership(&experts.mean.device());
    let presence = experts.presence.clone();
    let sum = |x: Tensor<3>| {
        let x = (x * presence.clone().unsqueeze_dim(2)).reshape([count, batch * latent]);
        membership.clone().matmul(x).reshape([subsets.len(), batch, latent])
    };
    let a = (experts.log_var.clone() * -0.5).exp();
    let (first, second) = (sum(a.clone()), sum(a.clone().square()));
    let first_mean = sum(a.clone() * experts.mean.clone());
    let second_mean = sum(a.square() * experts.mean.clone());
    let k = membership.matmul(presence.clone());
    let none = k.clone().equal_scalar(0.0).float().unsqueeze_dim::<3>(2);
    let k = k.clamp_min(1.0);
    let c = ((k - 1.0) * correlation + 1.0).recip() * correlation;
    let c = c.unsqueeze_dim::<3>(2);
    let precision = (second - c.clone() * first.clone().square()) / (1.0 - correlation) + none;
    let mean = (second_mean - c * first * first_mean) / (precision.clone() * (1.0 - correlation));
    Normal::new(mean, precision.log().neg())
}

/// `1/n Σ_j KL(q_i ‖ q_j)` over the `n` experts that a row observes, `[modality, batch]`: nats, 0 where
/// the modality is missing. It is at least the divergence from their mixture.
pub fn mean_divergences(experts: &Experts) -> Tensor<2> {
    let [count, batch, latent] = experts.mean.dims();
    let shape = [count, count, batch, latent];
    let rows = |x: &Tensor<3>| x.clone().unsqueeze_dim::<4>(1).expand(shape);
    let columns = |x: &Tensor<3>| x.clone().unsqueeze_dim::<4>(0).expand(shape);
    let q = Normal::new(rows(&experts.mean), rows(&experts.log_var));
    let kl: Tensor<3> = q.kl(&Normal::new(columns(&experts.mean), columns(&experts.log_var)));
    let mean = (kl * shares(&experts.presence).unsqueeze_dim::<3>(0)).sum_dim(1);
    mean.squeeze_dim::<2>(1) * experts.presence.clone()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use multivae_core::fusion::Product;

    use super::*;

    /// Of three rows, the second lacks the second expert and the third both.
    fn experts(filler: f32) -> Experts {
        let device = Device::flex();
        Experts::new(
            Tensor::from_floats([[[1.0], [1.0], [filler]], [[3.0], [filler], [filler]]], &device),
            Tensor::from_floats([[[0.0], [0.5], [filler]], [[0.0], [filler], [filler]]], &device),
            Tensor::from_floats([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]], &device),
        )
    }

    fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().try_into_vec().expect("floats")
    }

    fn close(found: &[f32], expected: &[f32]) {
        let near = |(f, e): (&f32, &f32)| (f - e).abs() < 1e-5;
        assert!(found.iter().zip(expected).all(near), "{found:?} is not {expected:?}");
    }

    fn both() -> Subsets {
        Subsets::new(2, vec![Subset::full(2)]).expect("valid")
    }

    #[test]
    fn a_row_with_one_expert_has_that_and_one_with_none_the_prior() {
        for rule in [barycentre, hellinger] {
            let q = rule(&experts(4.0), &both());
            close(&numbers(q.mean)[1..], &[1.0, 0.0]);
            close(&numbers(q.log_var)[1..], &[0.5, 0.0]);
        }
    }

    #[test]
    fn all_subsets_at_once_equal_one_by_one() {
        let experts = experts(2.0);
        for rule in [barycentre, hellinger] {
            let all = rule(&experts, &Subsets::all(2));
            for (t, subset) in Subsets::all(2).iter().enumerate() {
                let one = rule(&experts, &Subsets::new(2, vec![subset]).expect("valid"));
                close(&numbers(all.mean.clone())[3 * t..3 * t + 3], &numbers(one.mean));
                close(&numbers(all.log_var.clone())[3 * t..3 * t + 3], &numbers(one.log_var));
            }
            // A subset of one is its expert, or the prior where the row lacks it.
            close(&numbers(all.mean)[3..6], &[3.0, 0.0, 0.0]);
            close(&numbers(all.log_var)[..3], &[0.0, 0.5, 0.0]);
        }
    }

    #[test]
    fn what_a_missing_expert_says_has_no_influence() {
        for rule in [barycentre, hellinger] {
            let of = |filler| {
                let q = rule(&experts(filler), &Subsets::all(2));
                (numbers(q.mean), numbers(q.log_var))
            };
            assert_eq!(of(-3.0), of(7.0));
        }
        assert_eq!(
            numbers(mean_divergences(&experts(-3.0))),
            numbers(mean_divergences(&experts(7.0)))
        );
    }

    #[test]
    fn a_consensus_without_correlation_is_the_product() {
        let (experts, subsets) = (experts(2.0), Subsets::all(2));
        let product = Product::without_prior().of(&experts, &subsets);
        let found = correlated(&experts, &subsets, 0.0);
        close(&numbers(found.mean), &numbers(product.mean));
        close(&numbers(found.log_var), &numbers(product.log_var));
        // Two equal ones that agree in all are worth little more than one.
        let both = correlated(&experts, &subsets, 0.99).log_var.exp();
        let both = numbers(both)[2 * 3];
        assert!(both > 0.98 && both < 1.0, "{both}");
    }

    #[test]
    fn equal_experts_keep_their_width_and_others_are_wider_by_their_distance() {
        // N(1, 1) and N(3, 1): affinity e^-½, so that the pair at 2 has weight 2 e^-½ / (2 + 2 e^-½).
        let q = hellinger(&experts(0.0), &both());
        let affinity = (-0.5_f32).exp();
        let own = 1.0 / (1.0 + affinity);
        close(&numbers(q.mean)[..1], &[2.0]);
        close(&numbers(q.log_var.exp())[..1], &[1.0 + own]);
        close(&numbers(barycentre(&experts(0.0), &both()).log_var.exp())[..1], &[1.0]);
    }
}
