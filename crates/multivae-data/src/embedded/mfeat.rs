//! Multiple Features of the UCI repository: six sets of features of the same numerals.

use multivae_core::modality::ModalitySpec;
use rayon::prelude::*;

use super::inflate;
use crate::{error::Result, memory::MemoryDataset};

pub(super) const ROWS: usize = 2000;

/// Pixel averages of 16 lines.
pub(super) const PIXELS: usize = 16 * 15;

/// Profile correlations, Fourier coefficients, Karhunen-Loève coefficients, morphological features,
/// pixel averages, Zernike moments.
const SETS: [(&str, usize); 6] =
    [("fac", 216), ("fou", 76), ("kar", 64), ("mor", 6), ("pix", PIXELS), ("zer", 47)];

/// The six sets, with a unit normal likelihood each; not standardised.
pub(super) fn load() -> Result<MemoryDataset> {
    let features: usize = SETS.iter().map(|(_, features)| features).sum();
    let bytes = inflate(include_bytes!("../../assets/mfeat.zlib"), ROWS * (1 + 3 * features));
    let (labels, mut rest) = bytes.split_at(ROWS);
    let mut modalities = Vec::new();
    for (name, features) in SETS {
        let (planes, next) = rest.split_at(3 * ROWS * features);
        rest = next;
        modalities.push((ModalitySpec::new(name, &[features])?, decode(planes).into()));
    }
    MemoryDataset::new(modalities)?.with_labels(labels.iter().map(|&l| i64::from(l)).collect())
}

/// The labels, and the pixel averages `[rows, 16 * 15]` as shares of the most ink, 0 to 1.
pub(super) fn images() -> (Vec<u8>, Vec<f32>) {
    let features: usize = SETS.iter().map(|(_, features)| features).sum();
    let bytes = inflate(include_bytes!("../../assets/mfeat.zlib"), ROWS * (1 + 3 * features));
    let (labels, sets) = bytes.split_at(ROWS);
    let before = SETS.iter().take_while(|(name, _)| *name != "pix");
    let from = 3 * ROWS * before.map(|(_, features)| features).sum::<usize>();
    let mut ink = decode(&sets[from..from + 3 * ROWS * PIXELS]);
    ink.iter_mut().for_each(|value| *value /= 6.0);
    (labels.to_vec(), ink)
}

/// Decimal numbers from three planes of bytes; the format is in `assets/LICENCES.md`.
fn decode(planes: &[u8]) -> Vec<f32> {
    let n = planes.len() / 3;
    let (low, rest) = planes.split_at(n);
    let (middle, high) = rest.split_at(n);
    let power: [f64; 16] = std::array::from_fn(|exponent| 10f64.powi(exponent as i32));
    let value = |((&low, &middle), &high): ((&u8, &u8), &u8)| {
        let mantissa = u32::from(low) | u32::from(middle) << 8 | u32::from(high & 0b111) << 16;
        let value = f64::from(mantissa) / power[usize::from(high >> 3 & 0b1111)];
        (if high >> 7 == 1 { -value } else { value }) as f32
    };
    low.par_iter().zip(middle).zip(high).with_min_len(1 << 14).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_is_that_of_the_original_tables() {
        let data = load().expect("valid");
        for (m, first) in [
            [98.0, 236.0, 531.0],
            [0.065882, 0.19731, 0.10383],
            [-10.297, -11.667, 11.561],
            [1.0, 0.0, 0.0],
            [0.0, 3.0, 4.0],
            [0.011033, 0.83147, 15.352],
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(data.values(m)[..3], first, "{}", SETS[m].0);
        }
    }

    #[test]
    fn pixels_are_averages_from_0_to_6() {
        let pixels = load().expect("valid").values(4);
        assert!(pixels.iter().all(|p| (0.0..=6.0).contains(p) && p.fract() == 0.0));
    }
}
