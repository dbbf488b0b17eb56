//! What is done in one pass, against the operations of Burn that do the same: an affine map with
//! its activation, activations alone, samples and divergences, log-densities, densities seen through
//! flows, sums of squares, a step of Adam, forward and backward; and the similarity of images.

use std::hint::black_box;

use burn::{
    optim::{AdamConfig, Optimizer},
    tensor::{Device, Tensor, activation, module},
};
use criterion::Criterion;
use multivae::metrics::{ssim, ssim_map};
use multivae_core::{
    distribution::Family, hmc::LogDensity, mixture::Mixture, nn::FlowConfig, noise::Noise,
};
use multivae_kernels::{
    Activation, AdamSettings, Decay, Density, Precision, activate, linear, log_density, normal_kl,
    on_workers, rsample, sum_of_squares,
};

fn maps(c: &mut Criterion) {
    let device = Device::flex().autodiff();
    for [rows, inputs, outputs] in [[64, 512, 512], [2560, 512, 3072]] {
        let mut group = c.benchmark_group(format!("linear/{rows}x{inputs}x{outputs}"));
        let x = Tensor::<2>::full([rows, inputs], 0.1, &device).require_grad();
        let weight = Tensor::<2>::full([inputs, outputs], 0.01, &device).require_grad();
        let bias = Tensor::<1>::full([outputs], 0.2, &device).require_grad();
        let one_pass = || {
            let y = linear(x.clone(), weight.clone(), Some(bias.clone()), Activation::Sigmoid);
            black_box(y.sum().backward())
        };
        group.bench_function("one pass", |b| b.iter(one_pass));
        if Precision::Bf16.is_on(&device) {
            group.bench_function("bf16", |b| b.iter(|| Precision::Bf16.scope(one_pass)));
        }
        group.bench_function("burn", |b| {
            b.iter(|| {
                let y = module::linear(x.clone(), weight.clone(), Some(bias.clone()));
                black_box(activation::sigmoid(y).sum().backward())
            });
        });
        group.finish();
    }
}

/// Both sides of a function of one tensor or several.
fn compare(
    c: &mut Criterion,
    name: &str,
    one_pass: impl Fn() -> Tensor<3>,
    burn: impl Fn() -> Tensor<3>,
) {
    let mut group = c.benchmark_group(name);
    group.bench_function("one pass", |b| b.iter(|| black_box(one_pass().sum().backward())));
    group.bench_function("burn", |b| b.iter(|| black_box(burn().sum().backward())));
    group.finish();
}

fn values(c: &mut Criterion) {
    let device = Device::flex().autodiff();
    let tensor = |value: f32| Tensor::<3>::full([7, 128, 6272], value, &device).require_grad();
    let (x, positive) = (tensor(0.3), tensor(2.0));
    compare(
        c,
        "activate/silu",
        || activate(x.clone(), Activation::Silu),
        || activation::silu(x.clone()),
    );
    compare(
        c,
        "activate/clamp",
        || activate(x.clone(), Activation::Clamp(20.0)),
        || x.clone().clamp(-20.0, 20.0),
    );
    compare(
        c,
        "activate/precision",
        || activate(x.clone(), Activation::Precision(1e-8)),
        || (x.clone().exp() + 1e-8).recip(),
    );
    compare(
        c,
        "activate/neg_log",
        || activate(positive.clone(), Activation::NegLog),
        || positive.clone().log().neg(),
    );
}

fn normals(c: &mut Criterion) {
    let device = Device::flex().autodiff();
    for features in [64, 6272] {
        let tensor =
            |value: f32| Tensor::<3>::full([7, 128, features], value, &device).require_grad();
        let [mean, log_var, other] = [0.3, -0.5, 0.1].map(tensor);
        compare(
            c,
            &format!("rsample/{features}"),
            || rsample(mean.clone(), log_var.clone(), other.clone()),
            || mean.clone() + (log_var.clone() * 0.5).exp() * other.clone(),
        );
        compare(
            c,
            &format!("normal_kl/{features}"),
            || normal_kl([mean.clone(), log_var.clone()], [other.clone(), other.clone()]),
            || {
                let ratio = log_var.clone() - other.clone();
                let distance = (mean.clone() - other.clone()).square() * other.clone().neg().exp();
                ((ratio.clone().exp() - ratio + distance - 1.0) * 0.5).sum_dim(2)
            },
        );
    }
}

fn densities(c: &mut Criterion) {
    let device = Device::flex().autodiff();
    let (samples, batch, features) = (7, 128, 3 * 28 * 28);
    let output = Tensor::<3>::full([samples, batch, features], 0.4, &device).require_grad();
    let values = Tensor::<2>::full([batch, features], 0.5, &device);
    for density in [Density::Normal, Density::Laplace, Density::Bernoulli] {
        let mut group = c.benchmark_group(format!("density/{density:?}"));
        group.bench_function("one pass", |b| {
            b.iter(|| {
                let sums = log_density(density, output.clone(), values.clone());
                black_box(sums.sum().backward())
            });
        });
        group.bench_function("burn", |b| {
            b.iter(|| {
                let values = values.clone().unsqueeze_dim::<3>(0);
                let terms = match density {
                    Density::Normal => (output.clone() - values).square() * -0.5,
                    Density::Laplace => (output.clone() - values).abs().neg(),
                    Density::Bernoulli => {
                        values * output.clone() - activation::softplus(output.clone(), 1.0)
                    }
                };
                let sums: Tensor<2> = terms.sum_dim(2).squeeze_dim(2);
                black_box(sums.sum().backward())
            });
        });
        group.finish();
    }
}

/// A posterior of two of JNF's flows, as its chains ask for it.
fn flows(c: &mut Criterion) {
    let device = Device::flex();
    let (rows, latent) = (64, 10);
    let flow = || FlowConfig::maf().init("flow", latent, &device).expect("valid");
    let prior = Family::Normal.standard([1, 1, latent], &device);
    let components = Family::Normal.standard([2, rows, latent], &device);
    let product = Mixture::new(components, vec![vec![0, 1]; rows], &prior)
        .through(vec![Some(flow()), Some(flow())])
        .product();
    let z = Tensor::full([rows, latent], 0.3, &device.clone().autodiff());
    let mut group = c.benchmark_group("flows/64 x 10");
    group.bench_function("one pass", |b| {
        b.iter(|| black_box(product.with_gradient(z.clone().require_grad())));
    });
    group.bench_function("burn", |b| {
        let composed = |z| product.log_density(z);
        b.iter(|| black_box(composed.with_gradient(z.clone().require_grad())));
    });
    group.finish();
}

fn adam(c: &mut Criterion) {
    let device = Device::flex();
    let gradient = Tensor::<2>::full([1000, 1000], 0.01, &device);
    let mut group = c.benchmark_group("adam/1M weights");
    let decay = Decay::Gradient(0.0);
    let settings =
        AdamSettings { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, decay, amsgrad: false };
    fn steps<O: Optimizer>(b: &mut criterion::Bencher<'_>, optimizer: &O, gradient: &Tensor<2>) {
        let mut kept = (gradient.ones_like(), None);
        b.iter(|| {
            let (weights, state) = std::mem::replace(&mut kept, (gradient.clone(), None));
            kept = optimizer.step(1e-3, weights, gradient.clone(), state);
        });
    }
    group.bench_function("one pass", |b| steps(b, &settings.build(), &gradient));
    group.bench_function("burn", |b| steps(b, &AdamConfig::new().build(), &gradient));
    group.finish();
}

fn squares(c: &mut Criterion) {
    let gradient = Tensor::<2>::full([1000, 1000], 0.01, &Device::flex());
    let mut group = c.benchmark_group("sum of squares/1M weights");
    group.bench_function("one pass", |b| b.iter(|| black_box(sum_of_squares(gradient.clone()))));
    group.bench_function("burn", |b| {
        b.iter(|| black_box((gradient.clone() * gradient.clone()).sum()));
    });
    group.finish();
}

/// Images as PolyMNIST has them.
fn similarity(c: &mut Criterion) {
    let device = Device::flex();
    let mut noise = Noise::seeded(0);
    let mut images = || -> Tensor<4> { noise.normal([256, 3, 28, 28], 0, &device) };
    let (images, references) = (images(), images());
    let mut group = c.benchmark_group("similarity/256x3x28x28");
    let both = || (images.clone(), references.clone());
    group.bench_function("one pass", |b| {
        b.iter(|| {
            let (images, references) = both();
            black_box(ssim(images, references, 1.0))
        });
    });
    group.bench_function("maps", |b| {
        b.iter(|| {
            let (images, references) = both();
            black_box(ssim_map(images, references, 1.0).mean())
        });
    });
    group.finish();
}

/// On the threads that kernels share, as training is.
fn main() {
    on_workers(&Device::flex(), || {
        let mut criterion = Criterion::default().configure_from_args();
        for measure in [maps, values, normals, densities, flows, squares, adam, similarity] {
            measure(&mut criterion);
        }
        criterion.final_summary();
    });
}
