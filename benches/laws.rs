//! Fusion of posteriors over all subsets, densities of likelihoods, noise.

use std::hint::black_box;

use burn::tensor::{Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use multivae_core::{
    batch::Values,
    distribution::{Likelihood, Output},
    fusion::{Experts, Product},
    noise::Noise,
    subset::Subsets,
};

const BATCH: usize = 128;
const LATENT: usize = 64;

fn laws(c: &mut Criterion) {
    let device = Device::flex();
    let mut group = c.benchmark_group("laws");
    for modalities in [2, 5, 8] {
        let mut noise = Noise::seeded(0);
        let stack: Tensor<3> = noise.normal([modalities, BATCH, LATENT], 1, &device);
        let presence = Tensor::ones([modalities, BATCH], &device);
        let experts = Experts::new(stack.clone(), stack, presence);
        let subsets = Subsets::all(modalities);
        group.bench_function(format!("product/{modalities} modalities"), |b| {
            b.iter(|| black_box(Product::with_prior().of(&experts, &subsets)));
        });
    }
    let features = 3 * 28 * 28;
    let shape = [features];
    for likelihood in [Likelihood::normal(0.7), Likelihood::laplace(0.7), Likelihood::Bernoulli {}]
    {
        let output = Tensor::full([7, BATCH, features], 0.4, &device);
        let target = Values::Dense(Tensor::full([BATCH, features], 0.5, &device)).into();
        group.bench_function(format!("log_prob/{}", likelihood.kind()), |b| {
            let output = Output::new(output.clone(), &shape, &[]);
            b.iter(|| black_box(likelihood.family().log_prob(&output, &target)));
        });
    }
    group.bench_function("noise/1M normal values", |b| {
        let mut noise = Noise::seeded(0);
        b.iter(|| black_box(noise.normal([BATCH, 8192], 0, &device)));
    });
    group.finish();
}

criterion_group!(benches, laws);
criterion_main!(benches);
