//! Samples and divergences of diagonal normal distributions.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex;

/// `mean + exp(log_var / 2) * noise`, differentiable in all three, of one shape or of shapes that
/// Burn broadcasts.
pub fn rsample<const D: usize>(mean: Tensor<D>, log_var: Tensor<D>, noise: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let Some(sample) = flex::normal::rsample(&mean, &log_var, &noise) {
        return sample;
    }
    plain_rsample(mean, log_var, noise)
}

fn plain_rsample<const D: usize>(
    mean: Tensor<D>,
    log_var: Tensor<D>,
    noise: Tensor<D>,
) -> Tensor<D> {
    mean + (log_var * 0.5).exp() * noise
}

/// Means and log-variances of two normal distributions `q` and `p`: the divergence `KL(q ‖ p)`,
/// summed over the last axis, which stays with one entry, nats.
pub fn normal_kl<const D: usize>(q: [Tensor<D>; 2], p: [Tensor<D>; 2]) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let Some(kl) = flex::normal::kl(&q, &p) {
        return kl;
    }
    plain_kl(q, p)
}

fn plain_kl<const D: usize>(q: [Tensor<D>; 2], p: [Tensor<D>; 2]) -> Tensor<D> {
    let ([q_mean, q_log_var], [p_mean, p_log_var]) = (q, p);
    let ratio = q_log_var - p_log_var.clone();
    let distance = (q_mean - p_mean).square() * p_log_var.neg().exp();
    ((ratio.clone().exp() - ratio + distance - 1.0) * 0.5).sum_dim(D - 1)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::near::assert_near;

    fn numbers(seed: usize, rows: usize, features: usize, device: &Device) -> Tensor<3> {
        let number = |i: usize| ((i * 37 + seed * 29) % 101) as f32 * 0.06 - 3.0;
        let values: Vec<f32> = (0..2 * rows * features).map(number).collect();
        Tensor::from_data(TensorData::new(values, [2, rows, features]), device).require_grad()
    }

    /// What a function of four tensors gives, and its gradients.
    fn all(
        f: impl Fn([Tensor<3>; 4]) -> Tensor<3>,
        rows: usize,
        features: usize,
        swapped: bool,
    ) -> Vec<Vec<f32>> {
        let device = Device::flex().autodiff();
        let given = [1, 2, 3, 4].map(|seed| {
            if swapped {
                numbers(seed, features, rows, &device)
            } else {
                numbers(seed, rows, features, &device)
            }
        });
        let turned = given.clone().map(|x| if swapped { x.swap_dims(1, 2) } else { x });
        let y = f(turned);
        let factor = (y.clone().inner() * 0.1 + 0.7).autodiff();
        let gradients = (y.clone() * factor).sum().backward();
        let list = |data: TensorData| data.try_into_vec().expect("floats");
        let found = given.iter().filter_map(|x| x.grad(&gradients)).map(|g| list(g.into_data()));
        std::iter::once(list(y.into_data())).chain(found).collect()
    }

    #[track_caller]
    fn same(found: Vec<Vec<f32>>, expected: Vec<Vec<f32>>, parts: usize) {
        assert_eq!((found.len(), expected.len()), (parts, parts));
        for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_near(found, expected, 3e-6, part);
        }
    }

    #[test]
    fn samples_and_divergences_and_their_gradients_are_those_of_burn() {
        for (rows, features) in [(1, 1), (3, 5), (130, 300)] {
            for swapped in [false, true] {
                let sample = |f: fn(Tensor<3>, Tensor<3>, Tensor<3>) -> Tensor<3>| {
                    all(
                        |[mean, log_var, noise, _]| f(mean, log_var, noise),
                        rows,
                        features,
                        swapped,
                    )
                };
                same(sample(rsample), sample(plain_rsample), 4);
                let kl = |f: fn([Tensor<3>; 2], [Tensor<3>; 2]) -> Tensor<3>| {
                    all(|[a, b, c, d]| f([a, b], [c, d]), rows, features, swapped)
                };
                same(kl(normal_kl), kl(plain_kl), 5);
            }
        }
    }

    #[test]
    fn shapes_that_differ_are_broadcast() {
        let device = Device::flex();
        let mean = Tensor::<2>::from_floats([[1.0], [2.0]], &device);
        let noise = Tensor::<2>::from_floats([[0.5, -0.5], [1.0, 0.0]], &device);
        let y = rsample(mean.clone(), mean.zeros_like(), noise).into_data();
        assert_eq!(y.try_into_vec::<f32>().expect("floats"), [1.5, 0.5, 3.0, 2.0]);
    }
}
