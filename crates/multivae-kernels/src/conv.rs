//! Convolutions of images.

use burn::tensor::{
    Tensor, module,
    ops::{ConvOptions, ConvTransposeOptions},
};

#[cfg(feature = "flex")]
use crate::flex::conv::operation;
use crate::{Activation, Precision, precision::rounded};

/// How images `[batch, channels, height, width]` lie in memory. What they are does not depend on
/// it; what is fast does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Channel after channel, as everything else has them.
    #[default]
    Planes,
    /// Pixel after pixel: for what only another convolution will read.
    Pixels,
}

/// Convolution of images `[batch, channels, height, width]` with a weight
/// `[features, channels / groups, kernel height, kernel width]` and a bias `[features]`, and what
/// follows it: `[batch, features, height, width]`, which lies in memory as `order` says.
///
/// Equals [`burn::tensor::module::conv2d`] and the activation, up to rounding, which depends on the
/// current [`Precision`]. Dilation, groups, and
/// types other than `f32` are left to it; they pay no heed to the order that is asked for.
///
/// # Panics
///
/// Where Burn's function panics: if shapes do not fit each other.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions<2>,
    activation: Activation,
    order: Order,
) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if let Some(y) = operation::conv2d(&x, &weight, bias.as_ref(), &options, activation, order) {
        return y;
    }
    convolve([x, weight], bias, activation, |[x, weight], bias| {
        module::conv2d(x, weight, bias, options)
    })
}

/// Transposed convolution of images `[batch, features, height, width]` with a weight
/// `[features, channels / groups, kernel height, kernel width]` and a bias `[channels]`, and what
/// follows it: `[batch, channels, height, width]`, which lies in memory as `order` says.
///
/// Equals [`burn::tensor::module::conv_transpose2d`] and the activation, up to rounding. Dilation,
/// groups, and types other than `f32` are left to it; they pay no heed to the order that is asked
/// for.
///
/// # Panics
///
/// Where Burn's function panics: if shapes do not fit each other.
pub fn conv_transpose2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvTransposeOptions<2>,
    activation: Activation,
    order: Order,
) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if let Some(y) =
        operation::conv_transpose2d(&x, &weight, bias.as_ref(), &options, activation, order)
    {
        return y;
    }
    convolve([x, weight], bias, activation, |[x, weight], bias| {
        module::conv_transpose2d(x, weight, bias, options)
    })
}

/// One of Burn's convolutions in the current precision, and what follows it.
fn convolve(
    operands: [Tensor<4>; 2],
    bias: Option<Tensor<1>>,
    activation: Activation,
    f: impl FnOnce([Tensor<4>; 2], Option<Tensor<1>>) -> Tensor<4>,
) -> Tensor<4> {
    if !Precision::current().rounds(&operands[0].device()) {
        return activation.plain(f(operands, bias));
    }
    let y = rounded(operands, |operands| f(operands, None));
    activation.plain(match bias {
        Some(bias) => y + bias.unsqueeze_dims(&[0, 2, 3]),
        None => y,
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, FloatDType, TensorData, s};

    use super::*;

    /// One of the two operations, with all that shapes it.
    #[derive(Clone, Copy, Debug)]
    struct Case {
        transposed: bool,
        batch: usize,
        /// Of the input and of the output.
        channels: [usize; 2],
        size: [usize; 2],
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        output_padding: [usize; 2],
        dilation: usize,
        groups: usize,
        bias: bool,
        activation: Activation,
        order: Order,
    }

    const PLAIN: Case = Case {
        transposed: false,
        batch: 2,
        channels: [3, 5],
        size: [7, 6],
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        output_padding: [0, 0],
        dilation: 1,
        groups: 1,
        bias: true,
        activation: Activation::Identity,
        order: Order::Planes,
    };

    impl Case {
        fn input(&self) -> [usize; 4] {
            [self.batch, self.channels[0], self.size[0], self.size[1]]
        }

        fn weight(&self) -> [usize; 4] {
            let [input, output] = self.channels;
            let [first, second] = if self.transposed { [input, output] } else { [output, input] };
            [first, second / self.groups, self.kernel[0], self.kernel[1]]
        }

        /// Whether anything is left of the image.
        fn fits(&self) -> bool {
            (0..2).all(|axis| {
                let [k, s, p] = [self.kernel, self.stride, self.padding].map(|pair| pair[axis]);
                let (size, extra) = (self.size[axis], self.output_padding[axis]);
                if self.transposed {
                    extra < s && (size - 1) * s + k + extra > 2 * p
                } else {
                    extra == 0 && size + 2 * p >= k
                }
            })
        }

        /// By the functions of this crate, or by Burn's.
        fn run(
            &self,
            kernels: bool,
            x: Tensor<4>,
            weight: Tensor<4>,
            bias: Option<Tensor<1>>,
        ) -> Tensor<4> {
            let Self { stride, padding, output_padding, dilation, groups, .. } = *self;
            let dilation = [dilation; 2];
            if self.transposed {
                let options =
                    ConvTransposeOptions::new(stride, padding, output_padding, dilation, groups);
                if kernels {
                    conv_transpose2d(x, weight, bias, options, self.activation, self.order)
                } else {
                    self.activation.plain(module::conv_transpose2d(x, weight, bias, options))
                }
            } else {
                let options = ConvOptions::new(stride, padding, dilation, groups);
                if kernels {
                    conv2d(x, weight, bias, options, self.activation, self.order)
                } else {
                    self.activation.plain(module::conv2d(x, weight, bias, options))
                }
            }
        }
    }

    /// Values in (-1, 1) that a number chooses.
    fn values<const D: usize>(shape: [usize; D], seed: u32, device: &Device) -> Tensor<D> {
        let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    #[track_caller]
    fn assert_close<const D: usize>(
        what: &str,
        case: &Case,
        found: Tensor<D>,
        expected: Tensor<D>,
    ) {
        assert_eq!(found.dims(), expected.dims(), "{what} of {case:?}");
        let scale: f32 = expected.clone().abs().max().into_scalar();
        let error: f32 = (found - expected).abs().max().into_scalar();
        assert!(error <= 1e-5 * scale.max(1e-3), "{what} of {case:?}: {error} of {scale}");
    }

    /// Output and all gradients are Burn's.
    #[track_caller]
    fn check(case: &Case) {
        compare(case, Precision::F32);
    }

    /// The same for a precision, of operands that have it.
    #[track_caller]
    fn compare(case: &Case, precision: Precision) {
        let device = Device::flex().autodiff();
        let exact = |x: Tensor<4>| match precision {
            Precision::F32 => x,
            Precision::Bf16 => (x * 64.0).round() / 64.0,
        };
        let x = exact(values(case.input(), 1, &device)).require_grad();
        let weight = exact(values(case.weight(), 2, &device)).require_grad();
        let bias = case.bias.then(|| values([case.channels[1]], 3, &device).require_grad());
        let [found, expected] = [true, false].map(|kernels| {
            precision.scope(|| case.run(kernels, x.clone(), weight.clone(), bias.clone()))
        });
        assert_close("output", case, found.clone().inner(), expected.clone().inner());
        let factor = exact(values(expected.dims(), 4, &device));
        let [found, expected] = [found, expected].map(|y| (y * factor.clone()).sum().backward());
        let [a, b] = [&found, &expected].map(|g| x.grad(g).expect("it is asked for"));
        assert_close("input gradient", case, a, b);
        let [a, b] = [&found, &expected].map(|g| weight.grad(g).expect("it is asked for"));
        assert_close("weight gradient", case, a, b);
        if let Some(bias) = bias {
            let [a, b] = [&found, &expected].map(|g| bias.grad(g).expect("it is asked for"));
            assert_close("bias gradient", case, a, b);
        }
    }

    #[test]
    fn convolutions_and_their_gradients_equal_those_of_burn() {
        let channels = [1, 3, 5, 32];
        let mut count = 0;
        for kernel in 1..=4 {
            for stride in 1..=2 {
                for padding in 0..=2 {
                    for output_padding in 0..stride {
                        for transposed in [false, true] {
                            for (turn, batch) in [1, 2, 7].into_iter().enumerate() {
                                let case = Case {
                                    transposed,
                                    batch,
                                    channels: [
                                        channels[(count + turn) % 4],
                                        channels[(count / 4 + 2 * turn) % 4],
                                    ],
                                    size: [[5, 8], [7, 3], [9, 9]][(count + turn) % 3],
                                    kernel: [kernel; 2],
                                    stride: [stride; 2],
                                    padding: [padding; 2],
                                    output_padding: [output_padding; 2],
                                    bias: count % 5 != 0,
                                    activation: crate::activation::ALL[count % 8],
                                    order: [Order::Planes, Order::Pixels][count / 3 % 2],
                                    ..PLAIN
                                };
                                if case.fits() {
                                    check(&case);
                                    count += 1;
                                }
                            }
                        }
                    }
                }
            }
        }
        assert!(count > 120, "only {count} shapes fit");
    }

    /// Burn's functions would round what comes out.
    #[cfg(feature = "flex")]
    #[test]
    fn products_of_rounded_operands_are_those_of_these_operands() {
        for (number, channels) in
            [[1, 5], [3, 32], [32, 3], [17, 64], [40, 70]].into_iter().enumerate()
        {
            for transposed in [false, true] {
                for kernel in [1, 3, 4] {
                    for stride in [1, 2] {
                        let case = Case {
                            transposed,
                            batch: [1, 7, 40][number % 3],
                            channels,
                            size: [9, 8],
                            kernel: [kernel; 2],
                            stride: [stride; 2],
                            bias: number % 2 == 0,
                            order: [Order::Planes, Order::Pixels][number % 2],
                            ..PLAIN
                        };
                        compare(&case, Precision::Bf16);
                    }
                }
            }
        }
    }

    /// On other backends Burn's functions get rounded operands.
    #[test]
    fn rounding_for_burn_keeps_output_and_bias_in_full() {
        let device = Device::flex();
        let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
        let x = values(PLAIN.input(), 1, &device);
        let weight = values(PLAIN.weight(), 2, &device);
        let exact = module::conv2d(x.clone(), weight.clone(), None, options.clone());
        let found = rounded([x, weight], |[x, weight]| module::conv2d(x, weight, None, options));
        assert_eq!(found.dtype(), exact.dtype());
        let off: f32 = (found - exact).abs().max().into_scalar();
        // 27 products below 1, and the rounding of the sum itself.
        assert!(off > 0.0 && off < 2.0 * 27.0 / 128.0, "{off}");
    }

    #[test]
    fn height_and_width_may_differ_in_everything() {
        for transposed in [false, true] {
            check(&Case {
                transposed,
                kernel: [4, 1],
                stride: [1, 3],
                padding: [2, 0],
                output_padding: if transposed { [0, 2] } else { [0, 0] },
                ..PLAIN
            });
        }
    }

    #[test]
    fn batches_and_images_of_several_parts_equal_burn() {
        for transposed in [false, true] {
            let case = Case { transposed, channels: [32, 32], size: [28, 28], ..PLAIN };
            check(&Case { batch: 19, ..case });
            check(&Case { batch: 300, channels: [9, 11], size: [5, 5], stride: [2, 2], ..case });
            check(&Case {
                batch: 70,
                size: [7, 7],
                kernel: [1, 1],
                padding: [0, 0],
                activation: Activation::Sigmoid,
                ..case
            });
            check(&Case { batch: 1, channels: [40, 3], size: [64, 61], ..case });
        }
    }

    #[test]
    fn a_vector_becomes_an_image() {
        check(&Case {
            transposed: true,
            batch: 65,
            channels: [20, 16],
            size: [1, 1],
            kernel: [4, 4],
            padding: [0, 0],
            ..PLAIN
        });
    }

    #[test]
    fn dilation_and_groups_are_left_to_burn() {
        for transposed in [false, true] {
            check(&Case { transposed, dilation: 2, ..PLAIN });
            check(&Case { transposed, channels: [6, 6], groups: 3, ..PLAIN });
        }
    }

    #[test]
    fn padding_may_differ_at_the_two_ends() {
        let device = Device::flex();
        let x = values([2, 3, 7, 6], 1, &device);
        let weight = values([5, 3, 3, 3], 2, &device);
        let options = ConvOptions::new_with_padding([2, 1], [(0, 2), (1, 0)], [1, 1], 1);
        let found = conv2d(
            x.clone(),
            weight.clone(),
            None,
            options.clone(),
            Activation::Identity,
            Order::Planes,
        );
        assert_close("output", &PLAIN, found, module::conv2d(x, weight, None, options));
    }

    #[test]
    fn views_are_read_as_what_they_show() {
        for device in [Device::flex(), Device::flex().autodiff()] {
            for transposed in [false, true] {
                let case = Case { transposed, channels: [3, 3], ..PLAIN };
                let x =
                    values([6, 4, 7, 2], 1, &device).swap_dims(1, 3).slice(s![.., .., 1.., 1..]);
                let x = Tensor::cat(vec![x.clone(), x.clone().slice(s![.., 0..1, .., ..])], 1)
                    .permute([0, 1, 3, 2]);
                let x = x.slice(s![0..6;2, .., .., ..]);
                let weight =
                    values([3, 4, 3, 3], 2, &device).swap_dims(2, 3).slice(s![.., 1.., .., ..]);
                let bias = values([6, 1], 3, &device).slice(s![2..5, ..]).squeeze_dim::<1>(1);
                let [found, expected] = [true, false].map(|kernels| {
                    case.run(kernels, x.clone(), weight.clone(), Some(bias.clone()))
                });
                assert_close("output", &case, found, expected);
            }
        }
    }

    #[test]
    fn gradients_that_nobody_asks_for_are_absent() {
        let device = Device::flex().autodiff();
        for transposed in [false, true] {
            let case = Case { transposed, ..PLAIN };
            for asked in 0..8 {
                let [of_x, of_weight, of_bias] = [1, 2, 4].map(|bit| asked & bit != 0);
                let x = values(case.input(), 1, &device).set_require_grad(of_x);
                let weight = values(case.weight(), 2, &device).set_require_grad(of_weight);
                let bias = values([5], 3, &device).set_require_grad(of_bias);
                let y = case.run(true, x.clone(), weight.clone(), Some(bias.clone()));
                if asked == 0 {
                    continue;
                }
                let gradients = y.sum().backward();
                assert_eq!(x.grad(&gradients).is_some(), of_x);
                assert_eq!(weight.grad(&gradients).is_some(), of_weight);
                assert_eq!(bias.grad(&gradients).is_some(), of_bias);
            }
        }
    }

    #[test]
    fn gradients_flow_through_layers_and_under_checkpointing() {
        for device in
            [Device::flex().autodiff(), Device::flex().autodiff().gradient_checkpointing()]
        {
            let x = values([3, 2, 9, 9], 1, &device);
            let [a, b] = [values([4, 2, 3, 3], 2, &device), values([4, 2, 3, 3], 3, &device)]
                .map(Tensor::require_grad);
            let [found, expected] = [true, false].map(|kernels| {
                let down = Case { stride: [2, 2], ..PLAIN };
                let up = Case { transposed: true, ..down };
                let hidden = down.run(kernels, x.clone(), a.clone(), None).tanh();
                up.run(kernels, hidden, b.clone(), None).exp().sum().backward()
            });
            for weight in [a, b] {
                let [found, expected] =
                    [&found, &expected].map(|g| weight.grad(g).expect("it is asked for"));
                assert_close("weight gradient", &PLAIN, found, expected);
            }
        }
    }

    #[test]
    fn either_order_may_follow_either() {
        let device = Device::flex().autodiff();
        let x = values([3, 2, 9, 9], 1, &device).require_grad();
        let [a, b] = [values([9, 2, 3, 3], 2, &device), values([9, 11, 3, 3], 3, &device)]
            .map(Tensor::require_grad);
        for activation in crate::activation::ALL {
            let run = |kernels: bool, first: Order, last: Order| {
                let down = Case { stride: [2, 2], activation, order: first, ..PLAIN };
                let up = Case { transposed: true, order: last, ..down };
                let hidden = down.run(kernels, x.clone(), a.clone(), None);
                // Both a convolution and something else read it.
                let other = hidden.clone().slice(s![.., 1..3, .., ..]).tanh().sum();
                let y = up.run(kernels, hidden, b.clone(), None);
                let gradients = (y.clone().powi_scalar(2).sum() + other).backward();
                let found = [&x, &a, &b].map(|t| t.grad(&gradients).expect("asked for"));
                (y.inner(), found)
            };
            let (expected, of_burn) = run(false, Order::Planes, Order::Planes);
            for first in [Order::Planes, Order::Pixels] {
                for last in [Order::Planes, Order::Pixels] {
                    let (found, gradients) = run(true, first, last);
                    assert_close("output", &PLAIN, found, expected.clone());
                    for (found, expected) in gradients.into_iter().zip(of_burn.clone()) {
                        assert_close("gradient", &PLAIN, found, expected);
                    }
                }
            }
        }
    }

    #[test]
    fn no_automatic_differentiation_is_needed() {
        let device = Device::flex();
        for transposed in [false, true] {
            let case = Case { transposed, ..PLAIN };
            let (x, weight) = (values(case.input(), 1, &device), values(case.weight(), 2, &device));
            let [found, expected] =
                [true, false].map(|kernels| case.run(kernels, x.clone(), weight.clone(), None));
            assert_close("output", &case, found, expected);
        }
    }

    #[test]
    fn other_types_are_left_to_burn() {
        let device = Device::flex();
        for transposed in [false, true] {
            let case = Case { transposed, ..PLAIN };
            let x = values(case.input(), 1, &device).cast(FloatDType::F64);
            let weight = values(case.weight(), 2, &device).cast(FloatDType::F64);
            let [found, expected] =
                [true, false].map(|kernels| case.run(kernels, x.clone(), weight.clone(), None));
            assert_eq!(found.to_data(), expected.to_data());
        }
    }

    #[test]
    fn two_runs_give_the_same_bits() {
        let device = Device::flex().autodiff();
        for transposed in [false, true] {
            let case = Case { transposed, batch: 50, channels: [8, 9], size: [12, 12], ..PLAIN };
            let run = || {
                let x = values(case.input(), 1, &device).require_grad();
                let weight = values(case.weight(), 2, &device).require_grad();
                let y = case.run(true, x.clone(), weight.clone(), None);
                let gradients = (y.clone() * y).sum().backward();
                let [x, weight] = [x, weight].map(|t| t.grad(&gradients).expect("asked for"));
                (x.to_data(), weight.to_data())
            };
            assert_eq!(run(), run());
        }
    }

    #[test]
    #[should_panic(expected = "conv2d")]
    fn channels_that_do_not_fit_are_refused() {
        let device = Device::flex();
        let (x, weight) = (values([1, 3, 5, 5], 1, &device), values([2, 4, 3, 3], 2, &device));
        conv2d(
            x,
            weight,
            None,
            ConvOptions::new([1, 1], [0, 0], [1, 1], 1),
            Activation::Identity,
            Order::Planes,
        );
    }
}
