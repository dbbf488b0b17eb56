//! Random batches of training rows, as the trainer gathers them.
//!
//! `MULTIVAE_READING=cells.h5mu:packed cargo bench --workspace --bench reading` reads these; without it, `mfeat`.
//! `benches/reading.py` writes the file, and reads it by the loaders of anndata.

use std::{env, hint::black_box};

use burn::tensor::Device;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use multivae_core::{dataset::Dataset, noise::Noise};
use multivae_data::DataConfig;

const BATCH: usize = 128;

fn reading(c: &mut Criterion) {
    let device = Device::flex();
    let sources = env::var("MULTIVAE_READING").unwrap_or_else(|_| "mfeat".into());
    let mut group = c.benchmark_group("reading");
    group.throughput(Throughput::Elements(BATCH as u64));
    for source in sources.split(':') {
        let data = DataConfig::new(source).open().expect("a data set").train;
        let order = Noise::seeded(0).choose(data.len(), data.len());
        let mut batches = order.chunks_exact(BATCH).cycle();
        group.bench_function(format!("{source}/random rows"), |b| {
            b.iter(|| {
                let rows = batches.next().expect("it begins again");
                black_box(data.batch(rows, &device).expect("rows that are there"))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
