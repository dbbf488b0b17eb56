//! Training steps: forward, backward, optimiser.

use std::hint::black_box;

use burn::{
    optim::{AdamConfig, GradientsParams},
    tensor::Device,
};
use criterion::{Criterion, criterion_group, criterion_main};
use multivae_benches::workload;
use multivae_core::{model::MultimodalModel, noise::Noise};

const BATCH: usize = 128;

fn steps(c: &mut Criterion) {
    let device = Device::flex().autodiff();
    let mut group = c.benchmark_group("step");
    group.sample_size(10);
    for data in ["mfeat", "polydigits"] {
        for name in ["mvae", "mopoe", "mhvae"] {
            let (model, batch) = workload(name, data, BATCH, &device);
            group.bench_function(format!("{data}/{name}/forward"), |b| {
                b.iter(|| black_box(model.learner().loss(&batch, &mut Noise::seeded(0))));
            });
            let mut optimizer = AdamConfig::new().init();
            let mut model = model;
            group.bench_function(format!("{data}/{name}/step"), |b| {
                b.iter(|| {
                    let loss = model.learner().loss(&batch, &mut Noise::seeded(0)).total;
                    let gradients = GradientsParams::from_grads(loss.backward(), &model);
                    model = optimizer.step(1e-3, model.clone(), gradients);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
