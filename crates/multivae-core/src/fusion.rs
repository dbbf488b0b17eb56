//! Rules that join the posteriors of modalities, over all subsets at once, under masks.
//!
//! | rule | posterior of a subset | as in |
//! |---|---|---|
//! | [`Product`] | product of its observed experts, with or without the prior | MVAE, MoPoE, MVTCAE, CRMVAE, DMVAE |
//! | [`product_with`] | product of its observed experts and a prior that differs by subset and row | MHVAE |
//! | [`mixture_weights`] | weights of a mixture over subsets | MMVAE, MoPoE |
//! | [`mean`] | mean of the parameters of its observed experts, with or without the prior | MVAE on request |
//! | [`geometric_mean`] | normalised geometric mean with the prior | mmJSD |
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use multivae_core::{
//!     fusion::{Experts, Product, geometric_mean, mixture_weights},
//!     subset::{Subset, Subsets},
//! };
//!
//! let device = Device::flex();
//! // N(1, 1) and N(4, 1/2) in both rows; the second row lacks the second modality.
//! let experts = Experts::new(
//!     Tensor::from_floats([[[1.0], [1.0]], [[4.0], [4.0]]], &device),
//!     Tensor::from_floats([[[0.0], [0.0]], [[-0.6931472], [-0.6931472]]], &device),
//!     Tensor::from_floats([[1.0, 1.0], [1.0, 0.0]], &device),
//! );
//! let subsets = Subsets::new(2, vec![Subset::single(1), Subset::full(2)])?;
//! let close = |found: Tensor<3>, expected: [f32; 4]| {
//!     assert_eq!(found.dims(), [2, 2, 1]); // [subset, batch, latent]
//!     let found: Vec<f32> = found.into_data().try_into_vec().expect("floats");
//!     assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-5), "{found:?}");
//! };
//!
//! // Precisions are 1 and 2: 9/3 for both, and the prior where a row observes nothing of the subset.
//! let product = Product::without_prior().of(&experts, &subsets);
//! close(product.mean, [4.0, 0.0, 3.0, 1.0]);
//! close(product.log_var.exp(), [0.5, 1.0, 1.0 / 3.0, 1.0]);
//! // With the prior as an expert of precision 1: 9/4 for both.
//! close(Product::with_prior().of(&experts, &subsets).mean, [8.0 / 3.0, 0.0, 2.25, 0.5]);
//! // Half of the power to the prior: the same means, precisions as if halved.
//! let mean = geometric_mean(&experts, &subsets, 0.5);
//! close(mean.log_var.exp(), [2.0 / 3.0, 1.0, 0.8, 1.0]);
//!
//! // A mixture over both subsets: the second row can use neither, so it falls back on the subset
//! // that holds a modality it observes.
//! let weights = mixture_weights(&[Subset::full(2), Subset::single(0)], &subsets);
//! assert_eq!(weights, [[0.5, 0.5], [0.0, 1.0]]);
//! # Ok::<(), multivae_core::Error>(())
//! ```

use burn::tensor::{Int, Tensor, TensorData};
use multivae_kernels::{Activation, ExpertSettings, activate, product_of_experts};

use crate::{
    distribution::{LOG_VAR_LIMIT, Normal},
    subset::{Subset, Subsets},
};

/// Normal posteriors of single modalities, stacked, with a mask.
#[derive(Clone, Debug)]
pub struct Experts {
    /// Means, `[modality, batch, latent]`.
    pub mean: Tensor<3>,
    /// Log-variances, `[modality, batch, latent]`.
    pub log_var: Tensor<3>,
    /// 1 where the modality is observed, `[modality, batch]`.
    pub presence: Tensor<2>,
}

impl Experts {
    /// Takes means and log-variances `[modality, batch, latent]` and a mask `[modality, batch]`.
    pub fn new(mean: Tensor<3>, log_var: Tensor<3>, presence: Tensor<2>) -> Self {
        Self { mean, log_var, presence }
    }
}

/// How the prior enters products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriorExpert {
    /// It is an expert of every product.
    Always,
    /// It is an expert of no product, but stands in for rows without any expert.
    Never,
    /// It is an expert of the product of all modalities only.
    FullSet,
    /// It is an expert of products of two or more: a single expert stays what it is.
    Several,
}

/// The product of experts: precisions add up, means are weighted by precision.
///
/// `q(z | x_S) ∝ p(z)^a Π_{m in S} q(z | x_m)^{w_m}` with `p(z) = N(0, I)`. A missing expert has
/// precision zero.
///
/// Source: Wu and Goodman 2018; Cao and Fleet 2014 for the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Product {
    /// Whether the prior takes part.
    pub prior: PriorExpert,
    /// Smallest variance of an expert, added to it.
    pub floor: f64,
}

impl Product {
    /// With the prior as an expert: MVAE, DMVAE.
    pub fn with_prior() -> Self {
        Self { prior: PriorExpert::Always, floor: TINY }
    }

    /// Without the prior: MVTCAE, CRMVAE.
    pub fn without_prior() -> Self {
        Self { prior: PriorExpert::Never, floor: POE_FLOOR }
    }

    /// With the prior in the product of all modalities only: MoPoE.
    pub fn prior_on_full_set() -> Self {
        Self { prior: PriorExpert::FullSet, floor: POE_FLOOR }
    }

    /// The posteriors of all subsets, `[subset, batch, latent]`.
    pub fn of(&self, experts: &Experts, subsets: &Subsets) -> Normal<3> {
        let weights = subsets.membership(&experts.mean.device());
        self.weighted(experts, subsets, weights)
    }

    /// The same with powers `w_m` of the experts, `[subset, modality]`, which should be 0 outside
    /// of the subset: the generalised product.
    pub fn weighted(&self, experts: &Experts, subsets: &Subsets, weights: Tensor<2>) -> Normal<3> {
        let [modalities, batch, latent] = experts.mean.dims();
        let device = experts.mean.device();
        let presence = experts.presence.clone();
        let precision = precision(&experts.log_var, self.floor) * presence.clone().unsqueeze_dim(2);
        let weighted_mean = precision.clone() * experts.mean.clone();
        // One matrix product over all subsets: [subset, modality] x [modality, batch * latent].
        let flat = |x: Tensor<3>| x.reshape([modalities, batch * latent]);
        let n = subsets.len();
        let sums =
            weights.clone().matmul(Tensor::cat(vec![flat(precision), flat(weighted_mean)], 1));
        let halves = sums.reshape([n, 2, batch * latent]);
        let half = |i| halves.clone().narrow(1, i, 1).reshape([n, batch, latent]);
        let (precision, weighted_mean) = (half(0), half(1));
        // The prior's precision, [subset, batch].
        let observed = subsets.membership(&device).matmul(presence);
        let prior = match self.prior {
            PriorExpert::Always => observed.ones_like(),
            PriorExpert::Never => observed.clone().equal_scalar(0.0).float(),
            PriorExpert::FullSet => {
                let full = observed.clone().equal_scalar(modalities as f32);
                (full.float() + observed.equal_scalar(0.0).float()).clamp_max(1.0)
            }
            PriorExpert::Several => observed.not_equal_scalar(1.0).float(),
        };
        let precision = precision + (prior / (1.0 + self.floor)).unsqueeze_dim(2);
        normalised(precision, weighted_mean)
    }
}

/// The precision of an expert whose variance is a floor larger.
fn precision(log_var: &Tensor<3>, floor: f64) -> Tensor<3> {
    activate(log_var.clone(), Activation::Precision(floor as f32))
}

/// A distribution of sums over experts: of their precisions, and of means times precisions.
fn normalised(precision: Tensor<3>, weighted_mean: Tensor<3>) -> Normal<3> {
    Normal::new(weighted_mean / precision.clone(), activate(precision, Activation::NegLog))
}

/// Posteriors of single modalities for some of the subsets of a stack.
#[derive(Clone, Debug)]
pub struct Conditional<'a> {
    /// Places of subsets in the stack, and of modalities that they hold in `presence`.
    pub pairs: &'a [[usize; 2]],
    /// Mean and log-variance of each pair side by side, `[pairs * batch, 2 latent]`.
    pub posteriors: Tensor<2>,
    /// 1 where a modality is observed, `[modality, batch]`.
    pub presence: Tensor<2>,
}

/// The product of a prior that differs by subset and row, `[subset, batch, latent]`, with the
/// posteriors of the modalities of each subset, whose log-variances are held within
/// ±[`LOG_VAR_LIMIT`]: one level of a hierarchical model.
///
/// Source: Dorent et al. 2023, arXiv 2309.08747.
pub fn product_with(prior: &Normal<3>, experts: Conditional<'_>) -> Normal<3> {
    let Conditional { pairs, posteriors, presence } = experts;
    let settings = ExpertSettings { floor: POE_FLOOR as f32, limit: LOG_VAR_LIMIT as f32 };
    let prior = [prior.mean.clone(), prior.log_var.clone()];
    let [mean, log_var] = product_of_experts(prior, posteriors, presence, pairs, settings);
    Normal::new(mean, log_var)
}

/// The variance that MultiVae's `poe` adds to every expert's.
pub const POE_FLOOR: f64 = 1e-8;

/// A variance that changes no result in single precision and keeps the largest precision finite.
const TINY: f64 = 1e-30;

/// Equal weights of the subsets that a row can use, `[batch][subset]` on the host.
///
/// A subset is available to a row that observes all its modalities. A row to which none is
/// available uses those that hold any modality it observes, whose products leave the others out,
/// and if there is none of those either, all.
///
/// Source: Sutter et al. 2021 for the mixture of products; with single modalities as subsets, the
/// mixture of experts of Shi et al. 2019.
pub fn mixture_weights(rows: &[Subset], subsets: &Subsets) -> Vec<Vec<f64>> {
    let weights = |row: &Subset| {
        let rules: [&dyn Fn(Subset) -> bool; 3] = [
            &|s| s.iter().all(|m| row.contains(m)),
            &|s| s.iter().any(|m| row.contains(m)),
            &|_| true,
        ];
        let flags = rules
            .iter()
            .map(|rule| subsets.iter().map(rule).collect::<Vec<bool>>())
            .find(|flags| flags.contains(&true))
            .expect("the last rule takes every subset, and there is one");
        let n = flags.iter().filter(|&&f| f).count() as f64;
        flags.into_iter().map(|f| f64::from(u8::from(f)) / n).collect()
    };
    rows.iter().map(weights).collect()
}

/// Picks one component for each sample and row, `[samples, batch, latent]`, from a stack
/// `[component, batch, latent]`; `component` is `[samples, batch]`.
pub fn select_rows(stack: &Tensor<3>, component: &[usize], samples: usize) -> Tensor<3> {
    let [n, batch, latent] = stack.dims();
    let rows: Vec<i64> =
        component.iter().enumerate().map(|(i, c)| (c * batch + i % batch) as i64).collect();
    let rows = TensorData::new(rows, [samples * batch]);
    let rows = Tensor::<1, Int>::from_data(rows, &stack.device());
    stack.clone().reshape([n * batch, latent]).select(0, rows).reshape([samples, batch, latent])
}

/// The mean of the observed experts of each subset, in mean and in log-variance,
/// `[subset, batch, latent]`; the standard normal where a row observes none. With `prior` the standard
/// normal is one more expert.
///
/// Source: the joining rule `Mean` of multi-view-AE (Lawry Aguila et al. 2023).
pub fn mean(experts: &Experts, subsets: &Subsets, prior: bool) -> Normal<3> {
    let [modalities, batch, latent] = experts.mean.dims();
    let membership = subsets.membership(&experts.mean.device());
    let presence = experts.presence.clone();
    let count = membership.clone().matmul(presence.clone()) + f64::from(u8::from(prior));
    let average = |x: Tensor<3>| {
        let x = (x * presence.clone().unsqueeze_dim(2)).reshape([modalities, batch * latent]);
        let sum = membership.clone().matmul(x).reshape([subsets.len(), batch, latent]);
        sum / count.clone().clamp_min(1.0).unsqueeze_dim(2)
    };
    Normal::new(average(experts.mean.clone()), average(experts.log_var.clone()))
}

/// The normalised geometric mean of the observed experts and the prior: the dynamic prior of the
/// multimodal Jensen-Shannon divergence, `[subset, batch, latent]`.
///
/// Each of the `n` observed experts has power `(1 - prior_weight) / n`, the prior `prior_weight`.
///
/// Source: Sutter et al. 2020, "Multimodal generative learning utilizing Jensen-Shannon
/// divergence"; Nielsen 2019.
pub fn geometric_mean(experts: &Experts, subsets: &Subsets, prior_weight: f64) -> Normal<3> {
    let [modalities, batch, latent] = experts.mean.dims();
    let membership = subsets.membership(&experts.mean.device());
    let presence = experts.presence.clone();
    let count = membership.clone().matmul(presence.clone());
    let none = count.clone().equal_scalar(0.0).float();
    let share = (count.clamp_min(1.0).recip() * (1.0 - prior_weight)).unsqueeze_dim::<3>(2);
    let sum = |x: Tensor<3>| {
        let x = (x * presence.clone().unsqueeze_dim(2)).reshape([modalities, batch * latent]);
        membership.clone().matmul(x).reshape([subsets.len(), batch, latent]) * share.clone()
    };
    let precision = precision(&experts.log_var, TINY);
    let prior = (none * (1.0 - prior_weight) + prior_weight).unsqueeze_dim(2);
    let total = sum(precision.clone()) + prior;
    normalised(total, sum(precision * experts.mean.clone()))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use proptest::prelude::*;

    use super::*;

    fn experts(mean: &[[f32; 2]], log_var: &[[f32; 2]], presence: &[f32]) -> Experts {
        let (device, n) = (Device::flex(), mean.len());
        let tensor =
            |v: &[[f32; 2]]| Tensor::from_data(TensorData::new(v.concat(), [n, 1, 2]), &device);
        Experts::new(
            tensor(mean),
            tensor(log_var),
            Tensor::from_data(TensorData::new(presence.to_vec(), [n, 1]), &device),
        )
    }

    fn values(tensor: Tensor<3>) -> Vec<f32> {
        tensor.into_data().try_into_vec().expect("floats")
    }

    fn check(found: Vec<f32>, expected: &[f32], tolerance: f32) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() <= tolerance * e.abs().max(1.0), "{found:?} is not {expected:?}");
        }
    }

    fn full(n: usize) -> Subsets {
        Subsets::new(n, vec![Subset::full(n)]).expect("valid")
    }

    const MEAN: [[f32; 2]; 2] = [[1.0, -2.0], [0.5, 3.0]];
    const LOG_VAR: [[f32; 2]; 2] = [[0.0, 1.0], [-1.0, 0.5]];

    #[test]
    fn product_without_prior_equals_multivae_poe() {
        let q = Product::without_prior().of(&experts(&MEAN, &LOG_VAR, &[1.0, 1.0]), &full(2));
        check(values(q.mean), &[0.6344707, 1.1122966], 1e-6);
        check(values(q.log_var), &[-1.3132616, 0.025923], 1e-6);
    }

    #[test]
    fn product_with_prior_equals_multivae_stable_poe() {
        let q = Product::with_prior().of(&experts(&MEAN, &LOG_VAR, &[1.0, 1.0]), &full(2));
        check(values(q.mean), &[0.5, 0.5489402], 1e-6);
        check(values(q.log_var), &[-1.5514446, -0.6802697], 1e-6);
    }

    #[test]
    fn the_floor_of_poe_equals_multivae() {
        let sharp = experts(&[[0.0; 2]], &[[-20.0, -30.0]], &[1.0]);
        let q = Product::without_prior().of(&sharp, &full(1));
        check(values(q.log_var), &[-18.2333, -18.420681], 1e-5);
        let q = Product::with_prior().of(&sharp, &full(1));
        check(values(q.log_var), &[-20.0, -30.0], 1e-5);
    }

    #[test]
    fn the_sharpest_experts_stay_finite() {
        let sharp = experts(&[[3.0, -3.0]], &[[-200.0, 80.0]], &[1.0]);
        for rule in [Product::with_prior(), Product::without_prior()] {
            let q = rule.of(&sharp, &full(1));
            assert!(values(q.mean).iter().chain(&values(q.log_var)).all(|v| v.is_finite()));
        }
    }

    #[test]
    fn a_row_without_experts_has_the_prior_under_every_rule() {
        let none = experts(&MEAN, &LOG_VAR, &[0.0, 0.0]);
        let subsets = full(2);
        let rules = [
            Product::with_prior().of(&none, &subsets),
            Product::without_prior().of(&none, &subsets),
            Product::prior_on_full_set().of(&none, &subsets),
            mean(&none, &subsets, true),
            mean(&none, &subsets, false),
            geometric_mean(&none, &subsets, 0.3),
        ];
        for q in rules {
            check(values(q.mean), &[0.0, 0.0], 1e-6);
            check(values(q.log_var), &[0.0, 0.0], 1e-6);
        }
    }

    #[test]
    fn the_prior_joins_the_full_set_only() {
        let all = experts(&MEAN, &LOG_VAR, &[1.0, 1.0]);
        let q = Product::prior_on_full_set().of(&all, &Subsets::all(2));
        // Single experts come out as they are, but for the floor.
        check(values(q.mean.clone())[..4].to_vec(), &MEAN.concat(), 1e-6);
        check(values(q.log_var)[..4].to_vec(), &LOG_VAR.concat(), 1e-6);
        check(values(q.mean)[4..].to_vec(), &[0.5, 0.5489402], 1e-6);
    }

    #[test]
    fn the_prior_joins_several_experts_and_no_single_one() {
        let rule = Product { prior: PriorExpert::Several, ..Product::with_prior() };
        let of = |presence: &[f32]| rule.of(&experts(&MEAN, &LOG_VAR, presence), &full(2));
        check(values(of(&[1.0, 1.0]).mean), &[0.5, 0.5489402], 1e-6);
        check(values(of(&[0.0, 1.0]).mean), &MEAN[1], 1e-6);
        check(values(of(&[0.0, 1.0]).log_var), &LOG_VAR[1], 1e-6);
        check(values(of(&[0.0, 0.0]).mean), &[0.0, 0.0], 1e-6);
    }

    #[test]
    fn the_mean_of_parameters_counts_what_is_observed_and_the_prior_if_asked() {
        let of =
            |presence: &[f32], prior| mean(&experts(&MEAN, &LOG_VAR, presence), &full(2), prior);
        check(values(of(&[1.0, 1.0], false).mean), &[0.75, 0.5], 1e-6);
        check(values(of(&[1.0, 1.0], false).log_var), &[-0.5, 0.75], 1e-6);
        check(values(of(&[1.0, 1.0], true).mean), &[0.5, 1.0 / 3.0], 1e-6);
        check(values(of(&[1.0, 1.0], true).log_var), &[-1.0 / 3.0, 0.5], 1e-6);
        check(values(of(&[0.0, 1.0], false).mean), &MEAN[1], 1e-6);
        check(values(of(&[0.0, 1.0], true).mean), &[0.25, 1.5], 1e-6);
    }

    #[test]
    fn a_product_with_a_standard_normal_prior_is_that_of_all_subsets() {
        let subsets = Subsets::all(2);
        for presence in [[1.0, 1.0], [1.0, 0.0]] {
            let stack = experts(&MEAN, &LOG_VAR, &presence);
            let rule = Product { prior: PriorExpert::Always, floor: POE_FLOOR };
            let expected = rule.of(&stack, &subsets);
            let held = |m: usize| subsets.holding(m).into_iter().map(move |t| [t, m]);
            let pairs: Vec<[usize; 2]> = (0..2).flat_map(held).collect();
            let one = |&[_, m]: &[usize; 2]| {
                let of = |x: &Tensor<3>| x.clone().narrow(0, m, 1).reshape([1, 2]);
                Tensor::cat(vec![of(&stack.mean), of(&stack.log_var)], 1)
            };
            let posteriors = Tensor::cat(pairs.iter().map(one).collect(), 0);
            let presence = stack.presence.clone();
            let experts = Conditional { pairs: &pairs, posteriors, presence };
            let found = product_with(&Normal::standard_like(&expected.mean), experts);
            check(values(found.mean), &values(expected.mean), 1e-6);
            check(values(found.log_var), &values(expected.log_var), 1e-6);
        }
    }

    #[test]
    fn a_component_is_picked_for_each_sample_and_row() {
        let stack = Tensor::from_floats([[[1.0], [2.0]], [[3.0], [4.0]]], &Device::flex());
        let picked = select_rows(&stack, &[1, 0, 0, 0], 2);
        assert_eq!(picked.dims(), [2, 2, 1]);
        check(values(picked), &[3.0, 2.0, 1.0, 2.0], 0.0);
    }

    #[test]
    fn mixture_weights_are_equal_over_what_a_row_observes() {
        let rows = [Subset::full(2), Subset::single(1)];
        let third = 1.0 / 3.0;
        assert_eq!(
            mixture_weights(&rows, &Subsets::all(2)),
            [vec![third, third, third], vec![0.0, 1.0, 0.0]]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn all_subsets_at_once_equal_one_by_one(
            mean in prop::collection::vec(prop::array::uniform2(-3f32..3.0), 3),
            log_var in prop::collection::vec(prop::array::uniform2(-4f32..4.0), 3),
            presence in prop::collection::vec(0..2u8, 3),
        ) {
            let presence: Vec<f32> = presence.into_iter().map(f32::from).collect();
            let stack = experts(&mean, &log_var, &presence);
            let all = Product::with_prior().of(&stack, &Subsets::all(3));
            for (t, subset) in Subsets::all(3).iter().enumerate() {
                // By the textbook formula, in double precision.
                let (mut precision, mut weighted) = ([1f64; 2], [0f64; 2]);
                for m in subset.iter().filter(|&m| presence[m] == 1.0) {
                    for d in 0..2 {
                        let p = (-f64::from(log_var[m][d])).exp();
                        precision[d] += p;
                        weighted[d] += p * f64::from(mean[m][d]);
                    }
                }
                let found = values(all.mean.clone());
                for d in 0..2 {
                    let expected = weighted[d] / precision[d];
                    prop_assert!((f64::from(found[t * 2 + d]) - expected).abs() < 1e-4);
                }
            }
        }

        #[test]
        fn what_a_missing_expert_says_has_no_influence(filler in prop::array::uniform2(-50f32..50.0)) {
            let run = |filler: [f32; 2]| {
                let stack = experts(&[MEAN[0], filler], &[LOG_VAR[0], filler], &[1.0, 0.0]);
                let q = Product::without_prior().of(&stack, &Subsets::all(2));
                (values(q.mean), values(q.log_var))
            };
            prop_assert_eq!(run(filler), run([0.0; 2]));
        }
    }
}
