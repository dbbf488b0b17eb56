//! Products of normal experts.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex;
use crate::{Activation, activate};

/// Normal distributions of single modalities.
#[derive(Clone, Debug)]
pub struct NormalExperts {
    /// Means, `[modality, batch, latent]`.
    pub mean: Tensor<3>,
    /// Log-variances, `[modality, batch, latent]`.
    pub log_var: Tensor<3>,
    /// 1 where the modality is observed, `[modality, batch]`.
    pub presence: Tensor<2>,
    /// Smallest variance, added to each.
    pub floor: f32,
}

/// Mean and log-variance, `[subset, batch, latent]`, of products of experts to powers `weights`
/// `[subset, modality]`, with a prior of mean 0 and precision `prior` `[subset, batch]`:
///
/// ```text
/// T = prior + Σ_m w_m / (exp(log_var_m) + floor)
/// mean = Σ_m w_m mean_m / (exp(log_var_m) + floor) / T,   log_var = -ln T
/// ```
///
/// where `w_m` is 0 if the modality is not observed. Differentiable in all but `presence`.
///
/// # Panics
///
/// If shapes do not fit each other.
pub fn product_of_experts(
    experts: NormalExperts,
    weights: Tensor<2>,
    prior: Tensor<2>,
) -> [Tensor<3>; 2] {
    #[cfg(feature = "flex")]
    if let Some(product) = flex::experts::product(&experts, &weights, &prior) {
        return product;
    }
    plain(experts, weights, prior)
}

fn plain(experts: NormalExperts, weights: Tensor<2>, prior: Tensor<2>) -> [Tensor<3>; 2] {
    let NormalExperts { mean, log_var, presence, floor } = experts;
    let ([modalities, batch, latent], [subsets, _]) = (mean.dims(), weights.dims());
    let precision = activate(log_var, Activation::Precision(floor)) * presence.unsqueeze_dim(2);
    let weighted_mean = precision.clone() * mean;
    // One matrix product over all subsets: [subset, modality] x [modality, batch * latent].
    let flat = |x: Tensor<3>| x.reshape([modalities, batch * latent]);
    let sums = weights.matmul(Tensor::cat(vec![flat(precision), flat(weighted_mean)], 1));
    let halves = sums.reshape([subsets, 2, batch * latent]);
    let half = |i| halves.clone().narrow(1, i, 1).reshape([subsets, batch, latent]);
    let precision = half(0) + prior.unsqueeze_dim(2);
    [half(1) / precision.clone(), activate(precision, Activation::NegLog)]
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    type Function = fn(NormalExperts, Tensor<2>, Tensor<2>) -> [Tensor<3>; 2];

    fn numbers<const D: usize>(shape: [usize; D], seed: usize) -> Tensor<D> {
        let count = shape.iter().product();
        let number = |i| ((i * 37 + seed * 11) % 101) as f32 * 0.04 - 2.0;
        let data = TensorData::new((0..count).map(number).collect::<Vec<f32>>(), shape);
        Tensor::from_data(data, &Device::flex().autodiff())
    }

    /// Both results and the gradients in means and log-variances; every third of the modalities
    /// and weights is 0.
    fn all(
        f: Function,
        [subsets, modalities, batch, latent]: [usize; 4],
        floor: f32,
        swapped: bool,
    ) -> Vec<Vec<f32>> {
        let stack = |seed| {
            let given = match swapped {
                true => numbers([modalities, latent, batch], seed),
                false => numbers([modalities, batch, latent], seed),
            }
            .require_grad();
            (given.clone(), if swapped { given.swap_dims(1, 2) } else { given })
        };
        let ((means, mean), (log_vars, log_var)) = (stack(1), stack(2));
        let some = |x: Tensor<2>| x.greater_scalar(-0.7).float();
        let presence = some(numbers([modalities, batch], 3));
        let weights = numbers([subsets, modalities], 4);
        let weights = weights.clone().abs() * some(weights);
        let prior = numbers([subsets, batch], 5).abs() + 0.1;
        let [mean, log_var] = f(NormalExperts { mean, log_var, presence, floor }, weights, prior);
        let factor = |seed| numbers([subsets, batch, latent], seed);
        let loss = mean.clone() * factor(6) + log_var.clone() * factor(7);
        let gradients = loss.sum().backward();
        let gradients = [means, log_vars].map(|x| x.grad(&gradients).expect("tracked"));
        let list = |data: TensorData| data.try_into_vec().expect("floats");
        let found = [mean, log_var].map(|x| list(x.into_data()));
        found.into_iter().chain(gradients.map(|x| list(x.into_data()))).collect()
    }

    #[test]
    fn products_and_gradients_are_those_of_burn() {
        for shape in [[1, 1, 1, 1], [3, 2, 5, 7], [7, 3, 64, 10], [31, 5, 9, 130]] {
            for floor in [0.0, 0.3] {
                for swapped in [false, true] {
                    let found = all(product_of_experts, shape, floor, swapped);
                    let expected = all(plain, shape, floor, swapped);
                    for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        assert_eq!(found.len(), expected.len());
                        let scale = expected.iter().fold(1.0_f32, |scale, e| scale.max(e.abs()));
                        for (found, expected) in found.iter().zip(expected) {
                            let close = (found - expected).abs() <= 1e-5 * scale;
                            assert!(close, "{part} of {shape:?}: {found} {expected}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn weights_and_priors_that_learn_have_gradients() {
        let stack = |seed| numbers([2, 3, 4], seed);
        let experts = NormalExperts {
            mean: stack(1),
            log_var: stack(2),
            presence: Tensor::ones([2, 3], &stack(1).device()),
            floor: 0.0,
        };
        let weights = (numbers([3, 2], 3).abs() + 0.1).detach().require_grad();
        let prior = Tensor::ones([3, 3], &weights.device()).require_grad();
        let [mean, log_var] = product_of_experts(experts, weights.clone(), prior.clone());
        let gradients = (mean + log_var).sum().backward();
        assert!(weights.grad(&gradients).is_some() && prior.grad(&gradients).is_some());
    }
}
