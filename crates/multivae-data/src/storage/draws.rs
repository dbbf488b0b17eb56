//! Zeros and ones that are drawn with values as their probabilities.

use std::sync::Arc;

use super::Storage;
use crate::error::Result;

/// A value of 0 or 1 for each value `p` of another storage, which is 1 with probability `p`: a draw
/// is a function of a key and of the place of the value, so that whoever reads it reads the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Draws {
    base: Arc<Storage>,
    key: u64,
}

impl Draws {
    /// The draws of a key; those of other draws take their place.
    pub(crate) fn new(of: &Arc<Storage>, key: u64) -> Self {
        match &**of {
            Storage::Draws(Self { base, .. }) => Self { base: base.clone(), key },
            _ => Self { base: of.clone(), key },
        }
    }

    pub(super) fn len(&self) -> usize {
        self.base.len()
    }

    pub(super) fn read<T: From<f32>>(&self, from: usize, out: &mut [T]) -> Result<()> {
        let mut probabilities = vec![0.0f32; out.len()];
        self.base.read(from, &mut probabilities)?;
        for ((out, p), place) in out.iter_mut().zip(probabilities).zip(from as u64..) {
            *out = T::from(f32::from(u8::from(uniform(self.key, place) < p)));
        }
        Ok(())
    }
}

/// The key of the draws of a modality in an epoch of a run; epoch 0 is that of what is not learned
/// from.
pub(crate) fn key(seed: u64, epoch: u64, modality: usize) -> u64 {
    [epoch, modality as u64].iter().fold(mixed(seed), |key, &part| mixed(key ^ part))
}

/// A number from 0, below 1: that of a place in the stream of a key (SplitMix64).
fn uniform(key: u64, place: u64) -> f32 {
    let bits = mixed(key.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    (bits >> 40) as f32 * (1.0 / (1u64 << 24) as f32)
}

/// Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
fn mixed(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(draws: &Draws, from: usize, count: usize) -> Vec<f32> {
        let mut out = vec![9.0; count];
        draws.read(from, &mut out).expect("in memory");
        out
    }

    #[test]
    fn a_value_is_drawn_with_its_probability_and_the_same_whoever_reads_it() {
        const EACH: usize = 40_000;
        let levels = [0.0, 0.05, 0.5, 0.8, 1.0];
        let values: Vec<f32> = (0..levels.len() * EACH).map(|i| levels[i % 5]).collect();
        let base = Arc::new(Storage::Floats(values));
        let draws = Draws::new(&base, key(3, 1, 0));
        let all = read(&draws, 0, base.len());
        assert!(all.iter().all(|&value| value == 0.0 || value == 1.0));
        for (level, p) in levels.into_iter().enumerate() {
            let ones: f32 = all.iter().skip(level).step_by(5).sum();
            // Five standard deviations of the share.
            let error = 5.0 * (p * (1.0 - p) / EACH as f32).sqrt();
            assert!((ones / EACH as f32 - p).abs() <= error, "{p}: {ones} of {EACH}");
        }
        assert_eq!(read(&draws, 17, 100), all[17..117]);
        // Another epoch, run or modality has other draws, as independent as those of two places.
        for other in [key(3, 2, 0), key(4, 1, 0), key(3, 1, 1)] {
            let again = Draws::new(&Arc::new(Storage::Draws(draws.clone())), other);
            let again = read(&again, 0, base.len());
            let halves = || all.iter().zip(&again).skip(2).step_by(5);
            let same = halves().filter(|(a, b)| a == b).count() as f32 / EACH as f32;
            assert!((same - 0.5).abs() < 0.0125, "{same}");
        }
    }
}
