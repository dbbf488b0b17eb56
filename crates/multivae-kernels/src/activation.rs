//! Functions of single values.

use burn::tensor::{Tensor, activation};

#[cfg(feature = "flex")]
use crate::flex;

/// A function of single values, alone or behind a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// The value itself.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `x` above 0, and so much of it below.
    LeakyRelu(f32),
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `limit · tanh(x / limit)`.
    SoftClamp(f32),
    /// The nearest number within ± a limit; no gradient where that is the limit.
    Clamp(f32),
    /// `1 / (exp(x) + floor)`: from a log-variance to a precision, the variance a floor larger.
    Precision(f32),
    /// `-ln(x)`: from a precision to a log-variance.
    NegLog,
}

impl Activation {
    /// Whether its derivative follows from what comes out of it, so that what goes in need not be
    /// kept.
    #[cfg(feature = "flex")]
    pub(crate) fn is_known_by_output(self) -> bool {
        !matches!(self, Self::Silu | Self::Precision(_))
    }

    /// By Burn's functions.
    pub(crate) fn plain<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Identity => x,
            Self::Relu => activation::relu(x),
            Self::LeakyRelu(slope) => activation::leaky_relu(x, f64::from(slope)),
            Self::Sigmoid => activation::sigmoid(x),
            Self::Silu => activation::silu(x),
            Self::SoftClamp(limit) => (x / limit).tanh() * limit,
            Self::Clamp(limit) => x.clamp(-limit, limit),
            Self::Precision(floor) => (x.exp() + floor).recip(),
            Self::NegLog => x.log().neg(),
        }
    }
}

/// The function of every value, in one pass forward and one backward.
pub fn activate<const D: usize>(x: Tensor<D>, activation: Activation) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if activation != Activation::Identity
        && let Some(y) = flex::activation::activate(&x, activation)
    {
        return y;
    }
    activation.plain(x)
}

#[cfg(test)]
pub(crate) const ALL: [Activation; 8] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu(0.2),
    Activation::Sigmoid,
    Activation::Silu,
    Activation::SoftClamp(3.0),
    Activation::Clamp(1.23),
    Activation::Precision(0.01),
];

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    /// Values of a function and its gradient, as lists.
    fn all(f: impl Fn(Tensor<2>) -> Tensor<2>, swapped: bool) -> [Vec<f32>; 2] {
        let device = Device::flex().autodiff();
        let values = (0..3 * 701).map(|i| (i % 701) as f32 * 0.05 - 17.5).collect::<Vec<f32>>();
        let x = Tensor::<2>::from_data(TensorData::new(values, [3, 701]), &device).require_grad();
        let turned = if swapped { x.clone().swap_dims(0, 1) } else { x.clone() };
        let y = f(turned);
        let factor = (y.clone().inner() * 0.7 + 0.3).autodiff();
        let gradients = (y.clone() * factor).sum().backward();
        let list = |data: TensorData| data.try_into_vec().expect("floats");
        [list(y.into_data()), list(x.grad(&gradients).expect("tracked").into_data())]
    }

    #[test]
    fn values_and_gradients_are_those_of_burn() {
        for activation in ALL {
            for swapped in [false, true] {
                let found = all(|x| activate(x, activation), swapped);
                let expected = all(|x| activation.plain(x), swapped);
                for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                    let off = (found - expected).abs();
                    assert!(
                        off <= 2e-6 * expected.abs().max(1.0),
                        "{activation:?}: {found} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn logarithms_of_positive_numbers_are_those_of_burn() {
        let of = |f: &dyn Fn(Tensor<2>) -> Tensor<2>| all(|x| f(x.abs() + 0.01), false);
        let found = of(&|x| activate(x, Activation::NegLog));
        let expected = of(&|x| Activation::NegLog.plain(x));
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            let off = (found - expected).abs();
            assert!(off <= 3e-6 * expected.abs().max(1.0), "{found} {expected}");
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let device = Device::flex();
        for activation in ALL.into_iter().chain([Activation::NegLog]) {
            let y = activate(Tensor::<1>::from_floats([f32::NAN, 1.0], &device), activation);
            let y: Vec<f32> = y.into_data().try_into_vec().expect("floats");
            assert!(y[0].is_nan() && y[1].is_finite(), "{activation:?}: {y:?}");
        }
    }
}
