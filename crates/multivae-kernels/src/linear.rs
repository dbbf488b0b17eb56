//! Affine maps.

use burn::tensor::{Tensor, module};

#[cfg(feature = "flex")]
use crate::flex;
use crate::{Activation, Precision, precision::rounded};

/// Affine map of rows `[rows, inputs]` by a weight `[inputs, outputs]` and a bias `[outputs]`, and
/// what follows it: `[rows, outputs]`. The product has the current [`Precision`].
///
/// # Panics
///
/// Where [`burn::tensor::module::linear`] panics: if shapes do not fit each other.
pub fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if let Some(bias) = &bias
        && let Some(y) = flex::linear::linear(&x, &weight, bias, activation)
    {
        return y;
    }
    plain(x, weight, bias, activation)
}

fn plain(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<2> {
    if !Precision::current().rounds(&x.device()) {
        return activation.plain(module::linear(x, weight, bias));
    }
    let y = rounded([x, weight], |[x, weight]| module::linear(x, weight, None));
    activation.plain(match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::near::assert_near;

    type Function = fn(Tensor<2>, Tensor<2>, Option<Tensor<1>>, Activation) -> Tensor<2>;

    fn numbers<const D: usize>(shape: [usize; D], seed: usize) -> TensorData {
        let count = shape.iter().product();
        let number = |i| ((i * 37 + seed * 11) % 101) as f32 * 0.02 - 1.01;
        TensorData::new((0..count).map(number).collect::<Vec<f32>>(), shape)
    }

    /// The map and its three gradients.
    fn all(
        f: Function,
        [rows, inputs, outputs]: [usize; 3],
        activation: Activation,
        swapped: bool,
    ) -> [Vec<f32>; 4] {
        let device = Device::flex().autodiff();
        let matrix = |shape: [usize; 2], seed| {
            let [down, right] = shape;
            if swapped {
                Tensor::<2>::from_data(numbers([right, down], seed), &device).swap_dims(0, 1)
            } else {
                Tensor::<2>::from_data(numbers(shape, seed), &device)
            }
        };
        let x = matrix([rows, inputs], 1).require_grad();
        let weight = matrix([inputs, outputs], 2).require_grad();
        let bias = Tensor::<1>::from_data(numbers([outputs], 3), &device).require_grad();
        let y = f(x.clone(), weight.clone(), Some(bias.clone()), activation);
        let factor = Tensor::<2>::from_data(numbers([rows, outputs], 4), &device);
        let gradients = (y.clone() * factor).sum().backward();
        let list = |data: TensorData| data.try_into_vec().expect("floats");
        [
            list(y.into_data()),
            list(x.grad(&gradients).expect("tracked").into_data()),
            list(weight.grad(&gradients).expect("tracked").into_data()),
            list(bias.grad(&gradients).expect("tracked").into_data()),
        ]
    }

    #[test]
    fn maps_and_gradients_are_those_of_burn() {
        for activation in crate::activation::ALL {
            // Large enough to be worked on in parts. Among so many values some lie where the gradient of
            // a function that has corners is up to rounding.
            let corners = matches!(
                activation,
                Activation::Relu | Activation::LeakyRelu(_) | Activation::Clamp(_)
            );
            let large = (!corners).then_some([2500, 30, 270]);
            let shapes = [[1, 1, 1], [3, 5, 2], [64, 40, 512], [300, 70, 33]];
            for shape in shapes.into_iter().chain(large) {
                for swapped in [false, true] {
                    let found = all(linear, shape, activation, swapped);
                    let expected = all(plain, shape, activation, swapped);
                    for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        let what = format_args!("{part} of {shape:?} {activation:?}");
                        assert_near(found, expected, 1e-5, what);
                    }
                }
            }
        }
    }

    /// Of operands that are each off by at most 2^-8 of their size, products are by about 2^-7, and so
    /// are their sums of that of the products' sizes, which is below `depth` here.
    #[test]
    fn maps_of_rounded_operands_are_near_and_the_same_by_both_ways() {
        let shape = [70, 300, 40];
        let exact = all(linear, shape, Activation::Identity, false);
        let kernel = Precision::Bf16.scope(|| all(linear, shape, Activation::Identity, false));
        let by_burn = all(
            |x, weight, bias, _| {
                let y = rounded([x, weight], |[x, weight]| module::linear(x, weight, None));
                y + bias.expect("given").unsqueeze()
            },
            shape,
            Activation::Identity,
            false,
        );
        let [rows, inputs, outputs] = shape;
        let differ = kernel != exact;
        assert_eq!(differ, Precision::Bf16.is_on(&Device::flex()), "as the processor has it");
        for (part, depth) in [inputs, outputs, rows].into_iter().enumerate() {
            for found in [&kernel[part], &by_burn[part]] {
                let off = found.iter().zip(&exact[part]).map(|(a, b)| (a - b).abs());
                let most = off.fold(0.0, f32::max);
                assert!(most < depth as f32 / 128.0, "{part}: {most}");
            }
        }
        // Sums for the bias are not products.
        assert_eq!(kernel[3], exact[3]);
    }

    #[test]
    fn what_is_frozen_has_no_gradient_and_the_rest_has() {
        let device = Device::flex().autodiff();
        let x = Tensor::<2>::ones([2, 3], &device);
        let weight = Tensor::<2>::ones([3, 4], &device);
        let bias = Tensor::<1>::ones([4], &device).require_grad();
        let y = linear(x.clone(), weight.clone(), Some(bias.clone()), Activation::Relu);
        let gradients = y.sum().backward();
        assert!(x.grad(&gradients).is_none() && weight.grad(&gradients).is_none());
        let gradient: Vec<f32> =
            bias.grad(&gradients).expect("tracked").into_data().try_into_vec().expect("floats");
        assert_eq!(gradient, [2.0; 4]);
    }

    #[test]
    fn a_rectifier_hides_no_value_that_is_not_a_number() {
        let device = Device::flex();
        let x = Tensor::<2>::from_floats([[f32::NAN], [-1.0], [2.0]], &device);
        let one = Tensor::<2>::ones([1, 1], &device);
        let y = linear(x, one, Some(Tensor::zeros([1], &device)), Activation::Relu);
        let y: Vec<f32> = y.into_data().try_into_vec().expect("floats");
        assert!(y[0].is_nan() && y[1..] == [0.0, 2.0]);
    }
}
