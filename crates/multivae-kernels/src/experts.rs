//! Products of normal experts.

use burn::tensor::{Int, Tensor, TensorData};

use crate::Activation;
#[cfg(feature = "flex")]
use crate::flex;

/// What is done to variances before they become precisions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertSettings {
    /// Added to every variance.
    pub floor: f32,
    /// Largest magnitude of an expert's log-variance; others are the nearest within, without a gradient.
    pub limit: f32,
}

/// Products of a normal prior and normal experts, mean and log-variance `[sets, batch, latent]` each:
/// precisions add up, means are weighted by them.
///
/// The prior differs by set and row, `[sets, batch, latent]` each. Pair `(t, m)` says that set `t` has an
/// expert of member `m`, whose mean and log-variance stand side by side in `batch` rows of `experts`
/// `[pairs * batch, 2 latent]`. It counts in rows where `presence` `[members, batch]` is 1 and not where it
/// is 0. There is no gradient in the presence.
///
/// # Panics
///
/// If shapes do not fit each other.
pub fn product_of_experts(
    prior: [Tensor<3>; 2],
    experts: Tensor<2>,
    presence: Tensor<2>,
    pairs: &[[usize; 2]],
    settings: ExpertSettings,
) -> [Tensor<3>; 2] {
    #[cfg(feature = "flex")]
    if let Some(product) =
        flex::experts::product_of_experts(&prior, &experts, &presence, pairs, settings)
    {
        return product;
    }
    plain(prior, experts, presence, pairs, settings)
}

fn plain(
    [mean, log_var]: [Tensor<3>; 2],
    experts: Tensor<2>,
    presence: Tensor<2>,
    pairs: &[[usize; 2]],
    ExpertSettings { floor, limit }: ExpertSettings,
) -> [Tensor<3>; 2] {
    let ([sets, batch, latent], device) = (mean.dims(), mean.device());
    let precision = |log_var: Tensor<3>| Activation::Precision(floor).plain(log_var);
    let members: Vec<i64> = pairs.iter().map(|pair| pair[1] as i64).collect();
    let members = Tensor::<1, Int>::from_data(TensorData::new(members, [pairs.len()]), &device);
    let presence: Tensor<3> = presence.select(0, members).unsqueeze_dim(2);
    // What an absent expert says may be anything.
    let absent = presence.clone().equal_scalar(0.0).expand([pairs.len(), batch, latent]);
    let half = |i: usize| {
        let half = experts.clone().narrow(1, i * latent, latent);
        half.reshape([pairs.len(), batch, latent]).mask_fill(absent.clone(), 0.0)
    };
    let p = precision(Activation::Clamp(limit).plain(half(1))) * presence;
    // Sums over the experts of each set, as a product of matrices.
    let mut membership = vec![0f32; sets * pairs.len()];
    for (place, pair) in pairs.iter().enumerate() {
        membership[pair[0] * pairs.len() + place] = 1.0;
    }
    let membership =
        Tensor::<2>::from_data(TensorData::new(membership, [sets, pairs.len()]), &device);
    let sum = |x: Tensor<3>| {
        let x = x.reshape([pairs.len(), batch * latent]);
        membership.clone().matmul(x).reshape([sets, batch, latent])
    };
    let prior = precision(log_var);
    let total = prior.clone() + sum(p.clone());
    let weighted = prior * mean + sum(p * half(0));
    [weighted / total.clone(), Activation::NegLog.plain(total)]
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::near::assert_near;

    /// No log-variance lies at the limit, where a gradient on either side is right.
    const SETTINGS: ExpertSettings = ExpertSettings { floor: 0.01, limit: 2.43 };

    type Function =
        fn([Tensor<3>; 2], Tensor<2>, Tensor<2>, &[[usize; 2]], ExpertSettings) -> [Tensor<3>; 2];

    fn numbers<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
        let count = shape.iter().product();
        let number = |i| ((i * 37 + seed * 29) % 101) as f32 * 0.06 - 3.0;
        Tensor::from_data(
            TensorData::new((0..count).map(number).collect::<Vec<f32>>(), shape),
            device,
        )
    }

    /// The product, and the gradients in the prior and the experts.
    fn all(f: Function, batch: usize, latent: usize) -> Vec<Vec<f32>> {
        let device = Device::flex().autodiff();
        // The last set has the prior alone, and the second row lacks the first member.
        let pairs = [[0, 0], [1, 0], [0, 1], [2, 1]];
        let prior = [1, 2].map(|seed| numbers([4, batch, latent], seed, &device).require_grad());
        let experts = numbers([4 * batch, 2 * latent], 3, &device).require_grad();
        let presence = (0..2 * batch).map(|i| if i == 1 { 0.0 } else { 1.0 });
        let presence = TensorData::new(presence.collect::<Vec<f32>>(), [2, batch]);
        let presence = Tensor::<2>::from_data(presence, &device);
        let [mean, log_var] = f(prior.clone(), experts.clone(), presence, &pairs, SETTINGS);
        let factors = [4, 5].map(|seed| numbers([4, batch, latent], seed, &device));
        let [first, second] = factors;
        let gradients =
            ((mean.clone() * first).sum() + (log_var.clone() * second).sum()).backward();
        let list = |data: TensorData| data.try_into_vec().expect("floats");
        let [a, b] = prior.map(|x| list(x.grad(&gradients).expect("tracked").into_data()));
        let c = list(experts.grad(&gradients).expect("tracked").into_data());
        vec![list(mean.into_data()), list(log_var.into_data()), a, b, c]
    }

    #[test]
    fn products_and_gradients_are_those_of_burn() {
        for (batch, latent) in [(1, 1), (2, 5), (3, 64), (40, 33)] {
            let (found, expected) =
                (all(product_of_experts, batch, latent), all(plain, batch, latent));
            for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let what = format_args!("{part} of {batch}, {latent}");
                assert_near(found, expected, 1e-5, what);
            }
        }
    }

    #[test]
    fn what_an_absent_expert_says_has_no_influence() {
        let device = Device::flex();
        let prior = || [1, 2].map(|seed| numbers([1, 2, 3], seed, &device));
        let of = |f: Function, filler: f32| {
            let filler = Tensor::full([1, 6], filler, &device);
            let experts = Tensor::cat(vec![numbers([1, 6], 3, &device), filler], 0);
            let presence = Tensor::from_floats([[1.0, 0.0]], &device);
            let product = f(prior(), experts, presence, &[[0, 0]], SETTINGS);
            product.map(|x| x.into_data().try_into_vec::<f32>().expect("floats"))
        };
        for f in [product_of_experts, plain] {
            for filler in [40.0, f32::NAN] {
                assert_eq!(of(f, 0.0), of(f, filler));
            }
        }
    }
}
