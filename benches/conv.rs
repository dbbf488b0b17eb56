//! Convolutions: the kernels of `multivae-kernels` beside Burn's own, on the Flex backend.
//!
//! `forward` runs without automatic differentiation, `backward` is the backward pass alone, with
//! all three gradients.

use std::{hint::black_box, time::Duration};

use burn::tensor::{
    Device, Distribution, Tensor,
    activation::relu,
    module,
    ops::{ConvOptions, ConvTransposeOptions},
};
use criterion::{BatchSize, Criterion, SamplingMode, criterion_group, criterion_main};
use multivae_kernels::{Activation, Order, Precision, conv_transpose2d, conv2d};

/// A layer: `up` is a transposed convolution, of output padding `extra`.
struct Shape {
    id: &'static str,
    up: bool,
    batch: usize,
    channels: [usize; 2],
    size: usize,
    kernel: usize,
    stride: usize,
    extra: usize,
}

#[rustfmt::skip]
const SHAPES: &[Shape] = &[
    // Encoder and decoder of PolyMNIST images.
    Shape { id: "polymnist/down1", up: false, batch: 128, channels: [3, 32], size: 28, kernel: 3, stride: 2, extra: 0 },
    Shape { id: "polymnist/down2", up: false, batch: 128, channels: [32, 64], size: 14, kernel: 3, stride: 2, extra: 0 },
    Shape { id: "polymnist/down3", up: false, batch: 128, channels: [64, 128], size: 7, kernel: 3, stride: 2, extra: 0 },
    Shape { id: "polymnist/up1", up: true, batch: 128, channels: [128, 64], size: 4, kernel: 3, stride: 2, extra: 0 },
    Shape { id: "polymnist/up2", up: true, batch: 128, channels: [64, 32], size: 7, kernel: 3, stride: 2, extra: 1 },
    Shape { id: "polymnist/up3", up: true, batch: 128, channels: [32, 3], size: 14, kernel: 3, stride: 2, extra: 1 },
    // Blocks of the hierarchical model, for seven subsets of 128 rows.
    Shape { id: "mhvae/halve", up: false, batch: 896, channels: [32, 32], size: 28, kernel: 3, stride: 2, extra: 0 },
    Shape { id: "mhvae/join", up: false, batch: 896, channels: [64, 32], size: 14, kernel: 3, stride: 1, extra: 0 },
    Shape { id: "mhvae/pointwise", up: false, batch: 896, channels: [32, 64], size: 14, kernel: 1, stride: 1, extra: 0 },
    Shape { id: "mhvae/double", up: true, batch: 896, channels: [32, 32], size: 14, kernel: 3, stride: 2, extra: 1 },
    Shape { id: "mhvae/output", up: true, batch: 896, channels: [32, 3], size: 28, kernel: 3, stride: 1, extra: 0 },
];

struct Layer<'a> {
    shape: &'a Shape,
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
}

impl<'a> Layer<'a> {
    fn new(shape: &'a Shape, device: &Device) -> Self {
        let Shape { up, batch, channels: [input, output], size, kernel, .. } = *shape;
        let normal = Distribution::Normal(0.0, 1.0);
        let [first, second] = if up { [input, output] } else { [output, input] };
        Self {
            shape,
            x: Tensor::random([batch, input, size, size], normal, device),
            weight: Tensor::random([first, second, kernel, kernel], normal, device),
            bias: Tensor::random([output], normal, device),
        }
    }

    fn require_grad(self) -> Self {
        Self {
            shape: self.shape,
            x: self.x.require_grad(),
            weight: self.weight.require_grad(),
            bias: self.bias.require_grad(),
        }
    }

    fn run(&self, kernels: bool) -> Tensor<4> {
        let Shape { up, kernel, stride, extra, .. } = *self.shape;
        let (stride, padding) = ([stride; 2], [kernel / 2; 2]);
        let (x, weight, bias) = (self.x.clone(), self.weight.clone(), Some(self.bias.clone()));
        if up {
            let options = ConvTransposeOptions::new(stride, padding, [extra; 2], [1, 1], 1);
            if kernels {
                conv_transpose2d(x, weight, bias, options, Activation::Relu, Order::Planes)
            } else {
                relu(module::conv_transpose2d(x, weight, bias, options))
            }
        } else {
            let options = ConvOptions::new(stride, padding, [1, 1], 1);
            if kernels {
                conv2d(x, weight, bias, options, Activation::Relu, Order::Planes)
            } else {
                relu(module::conv2d(x, weight, bias, options))
            }
        }
    }
}

fn conv(c: &mut Criterion) {
    let mut group = c.benchmark_group("conv");
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    for shape in SHAPES {
        let device = Device::flex();
        let plain = Layer::new(shape, &device);
        let tracked = Layer::new(shape, &device.clone().autodiff()).require_grad();
        let sides = [
            ("kernels", true, Precision::F32),
            ("bf16", true, Precision::Bf16),
            ("burn", false, Precision::F32),
        ];
        for (name, kernels, precision) in sides.into_iter().filter(|side| side.2.is_on(&device)) {
            group.bench_function(format!("{}/forward/{name}", shape.id), |b| {
                b.iter(|| black_box(precision.scope(|| plain.run(kernels))));
            });
            group.bench_function(format!("{}/backward/{name}", shape.id), |b| {
                b.iter_batched(
                    || precision.scope(|| tracked.run(kernels)).sum(),
                    |loss| black_box(loss.backward()),
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, conv);
criterion_main!(benches);
