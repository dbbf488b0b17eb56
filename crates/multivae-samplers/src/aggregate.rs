//! The aggregate posterior: samples of `q(z | x)` of random training rows.
//!
//! As the prior of Tomczak and Welling 2018, "VAE with a VampPrior", but with the training rows
//! in place of learned inputs.

use burn::tensor::{Device, Tensor, TensorData};
use multivae_core::noise::Noise;

/// Posterior samples.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aggregate {
    pub(crate) features: usize,
    /// All of them, `[number, features]`.
    pub(crate) values: Vec<f32>,
}

impl Aggregate {
    /// Some of the samples, with replacement, `[rows, features]`.
    pub(crate) fn draw(&self, rows: usize, noise: &mut Noise, device: &Device) -> Tensor<2> {
        let count = self.values.len() / self.features;
        let shape = [count, self.features];
        let all = Tensor::<2>::from_data(TensorData::new(self.values.clone(), shape), device);
        let places = noise.uniform([rows], 0, device) * count as f64;
        // Rounding may reach the end.
        all.select(0, places.floor().clamp_max(count as f64 - 1.0).int())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_drawn_about_equally_often() {
        let values: Vec<f32> = (0..10).flat_map(|i| [i as f32, -(i as f32)]).collect();
        let aggregate = Aggregate { features: 2, values };
        let drawn = aggregate.draw(10_000, &mut Noise::seeded(0), &Device::flex());
        let drawn: Vec<f32> = drawn.into_data().try_into_vec().expect("floats");
        let mut counts = [0_usize; 10];
        for row in drawn.chunks(2) {
            assert_eq!(row[0], -row[1], "rows stay whole");
            counts[row[0] as usize] += 1;
        }
        // Five standard deviations of a binomial count of 10000 in 10.
        assert!(counts.iter().all(|&count| count.abs_diff(1000) < 150), "{counts:?}");
    }
}
