//! Digits on photographs, by the recipe of PolyMNIST (Sutter et al. 2021, MoPoE-VAE).
//!
//! A row shows one digit in several modalities. For each modality another image of the digit is
//! drawn; where it has ink (above half), a 28x28 crop of the modality's photograph is inverted. So
//! modalities share the class and nothing else. Digits are not shared between splits: the rows are
//! split first, and then each split's images of a class are permuted among its rows of that class,
//! once a modality.
//!
//! The photographs and the number of digits differ from PolyMNIST's, so figures cannot be compared
//! with those of papers.

use multivae_core::{distribution::Likelihood, modality::ModalitySpec};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{Digits, PIXELS};
use crate::{error::Result, memory::MemoryDataset, split::SplitIndices, storage::Storage};

pub(super) const PHOTOS: [&[u8]; 5] = [
    include_bytes!("../../assets/photos/astronaut.png"),
    include_bytes!("../../assets/photos/coffee.png"),
    include_bytes!("../../assets/photos/chelsea.png"),
    include_bytes!("../../assets/photos/rocket.png"),
    include_bytes!("../../assets/photos/hubble.png"),
];
const SIDE: usize = 28;

/// Rows for the digits `kept`, split by `parts`: modalities `m0` and so on, `[3, 28, 28]` in
/// `[0, 1]`, with the Laplace likelihood of scale 0.75 that the field uses for PolyMNIST.
pub(super) fn compose(
    digits: &Digits,
    kept: &[usize],
    parts: &SplitIndices,
    modalities: usize,
    seed: u64,
) -> Result<MemoryDataset> {
    let labels: Vec<u8> = kept.iter().map(|&digit| digits.labels[digit]).collect();
    let built = (0..modalities)
        .into_par_iter()
        .map(|m| {
            let spec = ModalitySpec::new(&format!("m{m}"), &[3, SIDE, SIDE])?
                .with_likelihood(Likelihood::laplace(0.75));
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(m as u64);
            let shown = pair(&labels, parts, &mut random);
            let digits = shown.iter().map(|&row| digits.image(kept[row])).collect::<Vec<_>>();
            Ok((spec, paint(&digits, PHOTOS[m], &mut random)))
        })
        .collect::<Vec<Result<_>>>();
    MemoryDataset::new(built.into_iter().collect::<Result<_>>()?)?
        .with_labels(labels.into_iter().map(i64::from).collect())
}

/// For each row the row whose digit it shows: of the same class and split.
pub(super) fn pair(labels: &[u8], parts: &SplitIndices, random: &mut ChaCha8Rng) -> Vec<usize> {
    let mut shown = vec![0; labels.len()];
    for (_, part) in parts.named() {
        for class in 0..10 {
            let rows: Vec<_> = part.iter().copied().filter(|&row| labels[row] == class).collect();
            let mut permuted = rows.clone();
            permuted.shuffle(random);
            for (row, other) in rows.into_iter().zip(permuted) {
                shown[row] = other;
            }
        }
    }
    shown
}

/// Each digit as the inverted part of a random crop of the photograph, `[3, 28, 28]` bytes.
fn paint(digits: &[&[u8]], photo: &[u8], random: &mut ChaCha8Rng) -> Storage {
    let photo = image::load_from_memory(photo).expect("the embedded file is whole").into_rgb8();
    let (width, height) = (photo.width(), photo.height());
    let side = SIDE as u32;
    let crops: Vec<(usize, usize)> = digits
        .iter()
        .map(|_| {
            let (x, y) =
                (random.random_range(0..width - side), random.random_range(0..height - side));
            (x as usize, y as usize)
        })
        .collect();
    let (photo, width) = (photo.as_raw(), width as usize);
    let mut bytes = vec![0; digits.len() * 3 * PIXELS];
    bytes
        .par_chunks_exact_mut(3 * PIXELS)
        .with_min_len(64)
        .zip(digits.par_iter().zip(&crops))
        .for_each(|(out, (digit, &(x0, y0)))| {
            let (red, rest) = out.split_at_mut(PIXELS);
            let (green, blue) = rest.split_at_mut(PIXELS);
            for y in 0..SIDE {
                let from = 3 * ((y0 + y) * width + x0);
                let line = photo[from..from + 3 * SIDE].chunks_exact(3);
                for (x, colour) in line.enumerate() {
                    let pixel = y * SIDE + x;
                    // 255 - b is the inverse of b / 255.
                    let invert = if digit[pixel] > 128 { 255 } else { 0 };
                    red[pixel] = colour[0] ^ invert;
                    green[pixel] = colour[1] ^ invert;
                    blue[pixel] = colour[2] ^ invert;
                }
            }
        });
    Storage::Bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use multivae_core::dataset::Dataset;

    use super::*;
    use crate::split::SplitConfig;

    fn built(rows: usize, modalities: usize, seed: u64) -> (MemoryDataset, SplitIndices) {
        let parts = SplitConfig { seed, ..Default::default() }.parts(rows).expect("valid");
        let kept: Vec<_> = (0..rows).map(|row| row * 5000 / rows).collect();
        let data = compose(&Digits::load(), &kept, &parts, modalities, seed).expect("valid");
        (data, parts)
    }

    /// FNV-1a of the bytes of a modality.
    fn checksum(data: &MemoryDataset, modality: usize) -> u64 {
        let Storage::Bytes(bytes) = &**data.storage(modality) else { panic!("images are bytes") };
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    #[test]
    fn seed_0_gives_these_images_on_every_machine() {
        let (data, _) = built(5000, 5, 0);
        let found: Vec<_> = (0..5).map(|m| format!("{:016x}", checksum(&data, m))).collect();
        assert_eq!(
            found,
            [
                "a8fd470a480ff296",
                "fe6a6a74235793a0",
                "e83160bf951c0e17",
                "38b70e229b203687",
                "76ae1644bad76ccd",
            ]
        );
    }

    #[test]
    fn fewer_modalities_are_the_first_of_more() {
        let (two, five) = (built(500, 2, 1).0, built(500, 5, 1).0);
        assert_eq!(checksum(&two, 1), checksum(&five, 1));
        assert_ne!(checksum(&two, 1), checksum(&built(500, 2, 2).0, 1));
    }

    #[test]
    fn no_digit_is_in_two_splits_and_classes_agree() {
        let rows = 1000;
        let labels: Vec<u8> = (0..rows).map(|row| (row % 10) as u8).collect();
        let parts = SplitConfig::default().parts(rows).expect("valid");
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let shown = pair(&labels, &parts, &mut random);
        for (_, part) in parts.named() {
            let rows: HashSet<_> = part.iter().copied().collect();
            let digits: HashSet<_> = part.iter().map(|&row| shown[row]).collect();
            assert_eq!(rows, digits, "each split shows its own digits, each once");
        }
        assert!((0..rows).all(|row| labels[shown[row]] == labels[row]));
        assert!((0..rows).filter(|&row| shown[row] == row).count() < rows / 5);
    }

    #[test]
    fn modalities_show_different_images_of_a_class() {
        let (data, _) = built(500, 3, 0);
        assert_eq!(data.modalities()[2].shape, [3, 28, 28]);
        assert_eq!(data.modalities()[2].likelihood, Likelihood::laplace(0.75));
        let values = data.values(0);
        assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
        assert_eq!(data.label(499), Some(9));
    }
}
