//! Samplers of latent spaces of multimodal variational autoencoders.
//!
//! They see a model only through [`Generate`](multivae_core::model::Generate). All yield
//! latent values chunk by chunk, and row `i` depends on the seed and on `i` alone.
//!
//! | sampler | draws from |
//! |---|---|
//! | [`PriorSampler`] | the prior of the model |
//! | [`Sampler`] of kind `gmm` | a Gaussian mixture fitted to posterior samples of training rows |
//! | of kind `maf`, `iaf` | a masked or an inverse autoregressive flow fitted to them |
//! | of kind `aggregate` | the posterior samples themselves |
//!
//! ```
//! # use burn::tensor::Device;
//! # use multivae_core::{dataset::Dataset, model::Generate, pass::Pass, subset::Subset};
//! # use multivae_testkit::{LinearGaussian, Rows};
//! # let device = Device::flex();
//! # let data = Rows::new(2, (0..20).map(|i| vec![Some(i as f32), None]).collect());
//! # let model = LinearGaussian::new(0.5, data.modalities(), &device);
//! use multivae_samplers::{PriorSampler, Sampler, SamplerConfig};
//!
//! // 1000 rows, of which no more than 256 are decoded at once.
//! let sampler = PriorSampler { rows: 1000, chunk: 256, seed: 0 };
//! let mut rows = 0;
//! for latent in sampler.chunks(&model, &device)? {
//!     rows += model.decode(&latent, Subset::single(0))[0].dims()[1];
//! }
//! assert_eq!(rows, 1000);
//!
//! // The same from a mixture.
//! let config = SamplerConfig::named("gmm").expect("a kind");
//! let pass = Pass { batch_size: 256, seed: 0 };
//! let sampler = Sampler::fit(&model, &data, &config, pass, &device, &|_share| ())?;
//! let mut rows = 0;
//! for latent in sampler.chunks(&model, 1000, 256, 0, &device)? {
//!     rows += model.decode(&latent, Subset::single(0))[0].dims()[1];
//! }
//! assert_eq!(rows, 1000);
//! # Ok::<(), multivae_samplers::SamplerError>(())
//! ```

mod aggregate;
mod config;
mod error;
mod flow;
mod layout;
mod mixture;
mod prior;
mod sampler;
mod store;

pub use config::{AggregateConfig, FlowFitConfig, MixtureConfig, SamplerConfig};
pub use error::{Result, SamplerError};
pub use layout::Space;
pub use prior::{PriorSampler, join};
pub use sampler::Sampler;
pub use store::FILE;

/// The README, so that its example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    //! Values of two features for the tests of all densities.

    use burn::tensor::Device;
    use multivae_core::noise::Noise;

    /// Points about a ring of radius 2, `[points, 2]`.
    pub(crate) fn ring(points: usize) -> Vec<f32> {
        let point = |i: usize| {
            let angle = i as f32 * 2.399_963;
            let radius = 2.0 + 0.3 * (i as f32 * 0.917).sin();
            [radius * angle.cos(), radius * angle.sin()]
        };
        (0..points).flat_map(point).collect()
    }

    /// Points about a parabola, `[points, 2]`: `a = 1 + 2 s` and `b = a² / 4 - 1 + t / 2` with
    /// standard normal `s` and `t`.
    pub(crate) fn parabola(points: usize, seed: u64) -> Vec<f32> {
        let normal = Noise::seeded(seed).normal([points, 2], 0, &Device::flex());
        let normal: Vec<f32> = normal.into_data().try_into_vec().expect("floats");
        let point = |n: &[f32]| {
            let a = 1.0 + 2.0 * n[0];
            [a, 0.25 * a * a - 1.0 + 0.5 * n[1]]
        };
        normal.chunks(2).flat_map(point).collect()
    }

    /// Means, variances and covariance of the parabola.
    pub(crate) const PARABOLA: [f64; 5] = [1.0, 0.25, 4.0, 3.25, 2.0];

    const SIDE: usize = 400;
    const STEP: f32 = 0.05;

    /// Points of a lattice over ±10, `[points, 2]`.
    pub(crate) fn grid() -> Vec<f32> {
        let axis = |i: usize| (i as f32 - (SIDE - 1) as f32 / 2.0) * STEP;
        (0..SIDE).flat_map(|i| (0..SIDE).flat_map(move |j| [axis(i), axis(j)])).collect()
    }

    /// The integral of a density over the lattice.
    pub(crate) fn integral(log_density: &[f64]) -> f64 {
        log_density.iter().map(|value| value.exp()).sum::<f64>() * f64::from(STEP).powi(2)
    }

    /// Means, variances and covariance of two features.
    pub(crate) fn moments(values: &[f32]) -> [f64; 5] {
        let rows: Vec<[f64; 2]> =
            values.chunks(2).map(|row| [f64::from(row[0]), f64::from(row[1])]).collect();
        let mean =
            |of: &dyn Fn(&[f64; 2]) -> f64| rows.iter().map(of).sum::<f64>() / rows.len() as f64;
        let (a, b) = (mean(&|row| row[0]), mean(&|row| row[1]));
        let product =
            |i: usize, j: usize, m: [f64; 2]| mean(&|row| (row[i] - m[0]) * (row[j] - m[1]));
        [a, b, product(0, 0, [a, a]), product(1, 1, [b, b]), product(0, 1, [a, b])]
    }
}
