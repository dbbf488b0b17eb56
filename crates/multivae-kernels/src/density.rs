//! Log-densities of decoders, summed over features.

use burn::tensor::{Tensor, activation::softplus};

#[cfg(feature = "flex")]
use crate::flex;

/// A density of one value given one output of a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Density {
    /// `-(output - x)² / 2`: normal of deviation 1, without its constant.
    Normal,
    /// `-|output - x|`: Laplace of scale 1, without its constant.
    Laplace,
    /// `x output - ln(1 + exp(output))`: Bernoulli of log-odds `output`.
    Bernoulli,
}

/// The log-density of values `[batch, features]` given outputs `[samples, batch, features]`,
/// summed over features: `[samples, batch]`, nats.
///
/// # Panics
///
/// If the shapes do not fit each other.
pub fn log_density(density: Density, output: Tensor<3>, values: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if let Some(sums) = flex::density::log_density(density, &output, &values) {
        return sums;
    }
    plain(density, output, values)
}

fn plain(density: Density, output: Tensor<3>, values: Tensor<2>) -> Tensor<2> {
    let values = values.unsqueeze_dim::<3>(0);
    let terms = match density {
        Density::Normal => (output - values).square() * -0.5,
        Density::Laplace => (output - values).abs().neg(),
        Density::Bernoulli => values * output.clone() - softplus(output, 1.0),
    };
    terms.sum_dim(2).squeeze_dim(2)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::near::assert_near;

    fn numbers<const D: usize>(shape: [usize; D], seed: usize) -> TensorData {
        let count = shape.iter().product();
        let number = |i| ((i * 37 + seed * 11) % 101) as f32 * 0.09 - 4.3;
        TensorData::new((0..count).map(number).collect::<Vec<f32>>(), shape)
    }

    /// Sums and both gradients.
    fn all(
        f: fn(Density, Tensor<3>, Tensor<2>) -> Tensor<2>,
        density: Density,
        [samples, batch, features]: [usize; 3],
    ) -> [Vec<f32>; 3] {
        let device = Device::flex().autodiff();
        let output = Tensor::<3>::from_data(numbers([samples, batch, features], 1), &device);
        let values = Tensor::<2>::from_data(numbers([batch, features], 2), &device);
        let (output, values) = (output.require_grad(), values.require_grad());
        let sums = f(density, output.clone(), values.clone());
        let weights = Tensor::<2>::from_data(numbers([samples, batch], 3), &device);
        let gradients = (sums.clone() * weights).sum().backward();
        let list = |data: TensorData| data.try_into_vec().expect("floats");
        [
            list(sums.into_data()),
            list(output.grad(&gradients).expect("tracked").into_data()),
            list(values.grad(&gradients).expect("tracked").into_data()),
        ]
    }

    #[test]
    fn sums_and_gradients_are_those_of_burn() {
        for density in [Density::Normal, Density::Laplace, Density::Bernoulli] {
            for shape in [[1, 1, 1], [1, 3, 5], [2, 3, 16], [3, 70, 500], [4, 1, 37]] {
                let found = all(log_density, density, shape);
                let expected = all(plain, density, shape);
                for (name, (found, expected)) in
                    ["sums", "outputs", "values"].iter().zip(found.iter().zip(&expected))
                {
                    let what = format_args!("{name} of {density:?} {shape:?}");
                    assert_near(found, expected, 1e-5, what);
                }
            }
        }
    }

    #[test]
    fn values_of_views_are_read_in_their_order() {
        let device = Device::flex();
        let output = Tensor::<3>::from_data(numbers([5, 3, 2], 1), &device).swap_dims(0, 2);
        let values = Tensor::<2>::from_data(numbers([5, 3], 2), &device).swap_dims(0, 1);
        let found = log_density(Density::Normal, output.clone(), values.clone());
        let distance = found - plain(Density::Normal, output, values);
        assert!(distance.abs().max().into_scalar::<f32>() < 1e-5);
    }
}
