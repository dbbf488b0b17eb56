//! The prior.

use burn::tensor::Device;
use multivae_core::{
    batch::NoiseKey,
    model::{Generate, Latent},
    noise::Noise,
};

use crate::{Result, SamplerError};

/// Draws rows from the prior of all latent spaces, chunk by chunk.
///
/// Row `i` depends on the seed and on `i` alone, not on how many rows there are or how they are
/// cut into chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriorSampler {
    /// How many rows.
    pub rows: usize,
    /// How many rows at most at once, at least 1: memory against speed.
    pub chunk: usize,
    /// What the rows derive from.
    pub seed: u64,
}

impl PriorSampler {
    /// The rows, in order, as latent values `[1, chunk, features]` per space; the last chunk may be
    /// shorter.
    ///
    /// # Errors
    ///
    /// [`SamplerError::Conditional`].
    ///
    /// # Panics
    ///
    /// If `chunk` is 0.
    pub fn chunks<'a>(
        self,
        model: &'a dyn Generate,
        device: &'a Device,
    ) -> Result<impl Iterator<Item = Latent> + 'a> {
        assert!(self.chunk > 0, "a chunk has at least one row");
        SamplerError::of_conditions(model)?;
        Ok((0..self.rows).step_by(self.chunk).map(move |start| {
            let rows = self.chunk.min(self.rows - start);
            let key = NoiseKey { seed: self.seed, epoch: 0, step: 0, first_row: start };
            model.prior(rows, device, &mut Noise::keyed(key))
        }))
    }

    /// All rows at once, `[1, rows, features]` per space; `None` if there are none.
    ///
    /// # Errors
    ///
    /// [`SamplerError::Conditional`].
    ///
    /// # Panics
    ///
    /// If `chunk` is 0.
    pub fn all(self, model: &dyn Generate, device: &Device) -> Result<Option<Latent>> {
        Ok(join(self.chunks(model, device)?.collect()))
    }
}

/// Latent values of the same spaces one after the other along the batch; `None` for no parts.
///
/// # Panics
///
/// If the parts differ in their spaces, features or samples.
pub fn join(parts: Vec<Latent>) -> Option<Latent> {
    Latent::join(&parts, 1)
}

#[cfg(test)]
mod tests {
    use multivae_core::dataset::Dataset;
    use multivae_testkit::{Conditional, LinearGaussian, Rows};

    use super::*;

    fn draw(rows: usize, chunk: usize, seed: u64) -> Vec<f32> {
        let device = Device::flex();
        let data = Rows::new(1, vec![vec![Some(0.0)]]);
        let model = LinearGaussian::new(1.0, data.modalities(), &device);
        let sampler = PriorSampler { rows, chunk, seed };
        let latent = sampler.all(&model, &device).expect("no condition").expect("there are rows");
        latent.z().into_data().try_into_vec().expect("floats")
    }

    #[test]
    fn rows_do_not_depend_on_the_chunk() {
        let whole = draw(10, 10, 3);
        for chunk in [1, 3, 7, 100] {
            assert_eq!(draw(10, chunk, 3), whole, "chunks of {chunk}");
        }
        assert_eq!(draw(4, 2, 3), whole[..4]);
    }

    #[test]
    fn another_seed_gives_other_rows() {
        assert_ne!(draw(4, 4, 0), draw(4, 4, 1));
    }

    #[test]
    fn the_prior_has_mean_zero_and_variance_one() {
        let values = draw(20_000, 4096, 0);
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 5.0 / n.sqrt(), "{mean}");
        assert!((variance - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{variance}");
    }

    #[test]
    fn a_conditional_model_is_refused_with_its_conditions() {
        let device = Device::flex();
        let data = Rows::new(2, vec![vec![Some(0.0), Some(1.0)]]);
        let model = Conditional::new(1.0, data.modalities(), &device);
        let sampler = PriorSampler { rows: 3, chunk: 3, seed: 0 };
        let error = sampler.all(&model, &device).expect_err("it has conditions");
        assert!(error.to_string().contains("`m0`"), "{error}");
    }

    #[test]
    fn no_rows_are_no_latent() {
        assert!(join(Vec::new()).is_none());
    }
}
