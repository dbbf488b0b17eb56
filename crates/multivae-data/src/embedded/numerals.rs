//! One numeral by three hands: what a model can learn in two minutes, and anybody can judge.
//!
//! | modality | shape | shows |
//! |---|---|---|
//! | `mnist` | `[1, 28, 28]` | a digit of MNIST |
//! | `mfeat` | `[1, 16, 15]` | a numeral of UCI Multiple Features, from Dutch utility maps |
//! | `photo` | `[3, 28, 28]` | another digit of MNIST, cut out of the photograph of a cup of coffee |
//!
//! A row has one class. The three images have it in common and nothing else: they were written
//! independently, the first two by writers of two continents. No image is in two splits: rows are
//! split first, then each split's images of a class are dealt among its rows of that class. There
//! are 500 digits of MNIST a class and 200 of mfeat, so that one of these is in two or three rows.

use multivae_core::{distribution::Likelihood, modality::ModalitySpec};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    Digits, PIXELS, mfeat,
    polydigits::{PHOTOS, pair},
};
use crate::{error::Result, memory::MemoryDataset, split::SplitIndices, storage::Storage};

/// The photograph among those of `polydigits`: coffee.
const PHOTO: usize = 1;

/// Where in it the 28x28 pixels are that digits are cut out of, from the left and from the top: no
/// pixel is dark.
const PLACE: (usize, usize) = (90, 30);

/// Rows for the digits `kept`, split by `parts`: values in `[0, 1]`, Bernoulli likelihoods.
pub(super) fn compose(
    digits: &Digits,
    kept: &[usize],
    parts: &SplitIndices,
    seed: u64,
) -> Result<MemoryDataset> {
    let labels: Vec<u8> = kept.iter().map(|&digit| digits.labels[digit]).collect();
    let spec = |name, shape: &[usize]| {
        Ok::<_, crate::DataError>(
            ModalitySpec::new(name, shape)?.with_likelihood(Likelihood::Bernoulli {}),
        )
    };
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let others = pair(&labels, parts, &mut random);
    let photo = crop();
    let photos = others.iter().flat_map(|&row| cut_out(&photo, digits.image(kept[row]))).collect();

    let (classes, ink) = mfeat::images();
    let dealt = deal(&labels, parts, &classes, &mut random);
    let mfeat: Vec<f32> = dealt
        .iter()
        .flat_map(|&numeral| &ink[numeral * mfeat::PIXELS..][..mfeat::PIXELS])
        .copied()
        .collect();
    let own: Vec<u8> = kept.iter().flat_map(|&digit| digits.image(digit)).copied().collect();
    MemoryDataset::new(vec![
        (spec("mnist", &[1, 28, 28])?, Storage::Bytes(own)),
        (spec("mfeat", &[1, 16, 15])?, mfeat.into()),
        (spec("photo", &[3, 28, 28])?, Storage::Bytes(photos)),
    ])?
    .with_labels(labels.into_iter().map(i64::from).collect())
}

/// The pixels that digits are cut out of, `[3, 28, 28]`.
fn crop() -> Vec<u8> {
    let photo = image::load_from_memory(PHOTOS[PHOTO]).expect("the embedded file is whole");
    let photo = photo.into_rgb8();
    let pixel = |place: usize| {
        let (x, y) = (PLACE.0 + place % 28, PLACE.1 + place / 28);
        photo.get_pixel(x as u32, y as u32)
    };
    (0..3)
        .flat_map(|channel| (0..PIXELS).map(move |place| (channel, place)))
        .map(|(channel, place)| pixel(place)[channel])
        .collect()
}

/// The crop where the digit has ink, and nothing elsewhere.
fn cut_out(crop: &[u8], digit: &[u8]) -> impl Iterator<Item = u8> {
    let shown = |(&colour, &ink): (&u8, &u8)| (u16::from(colour) * u16::from(ink) / 255) as u8;
    crop.iter().zip(digit.iter().cycle()).map(shown)
}

/// For each row one of the others of its class, of `classes`: a split has as large a share of them
/// as of the rows, and none that another split has.
fn deal(
    labels: &[u8],
    parts: &SplitIndices,
    classes: &[u8],
    random: &mut ChaCha8Rng,
) -> Vec<usize> {
    let mut dealt = vec![0; labels.len()];
    for class in 0..10 {
        let mut of_class: Vec<_> = (0..classes.len()).filter(|&n| classes[n] == class).collect();
        of_class.shuffle(random);
        let total = labels.iter().filter(|&&label| label == class).count();
        // One for each split stays in reserve, for the first of its rows.
        let spread = of_class.len() - parts.named().len();
        let (mut place, mut least) = (0, 0);
        for (_, part) in parts.named() {
            let mut last = None;
            for &row in part.iter().filter(|&&row| labels[row] == class) {
                let next = (place * spread / total).max(least);
                dealt[row] = of_class[next];
                (place, last) = (place + 1, Some(next));
            }
            least = last.map_or(least, |last| last + 1);
        }
    }
    dealt
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use multivae_core::dataset::Dataset;

    use super::*;
    use crate::split::SplitConfig;

    fn built(rows: usize, seed: u64) -> (MemoryDataset, SplitIndices) {
        let parts = SplitConfig { seed, ..Default::default() }.parts(rows).expect("valid");
        let kept: Vec<_> = (0..rows).map(|row| row * 5000 / rows).collect();
        (compose(&Digits::load(), &kept, &parts, seed).expect("valid"), parts)
    }

    #[test]
    fn classes_agree_and_no_numeral_is_in_two_splits() {
        let (classes, _) = mfeat::images();
        for rows in [30, 1000, 5000] {
            let labels: Vec<u8> = (0..rows).map(|row| (row * 10 / rows) as u8).collect();
            let parts = SplitConfig::default().parts(rows).expect("valid");
            let dealt = deal(&labels, &parts, &classes, &mut ChaCha8Rng::seed_from_u64(0));
            assert!((0..rows).all(|row| classes[dealt[row]] == labels[row]));
            let mut seen = HashSet::new();
            for (_, part) in parts.named() {
                let own: HashSet<_> = part.iter().map(|&row| dealt[row]).collect();
                assert!(own.is_disjoint(&seen), "{rows} rows");
                seen.extend(own);
            }
            assert!(rows < 5000 || seen.len() > 1950, "{} of 2000 are shown", seen.len());
        }
    }

    #[test]
    fn a_split_of_one_row_has_a_numeral_of_its_own() {
        let labels = vec![3; 500];
        let parts = SplitIndices { train: (0..498).collect(), valid: vec![498], test: vec![499] };
        let classes: Vec<u8> = (0..2000).map(|n| (n / 200) as u8).collect();
        let dealt = deal(&labels, &parts, &classes, &mut ChaCha8Rng::seed_from_u64(0));
        assert_ne!(dealt[498], dealt[499]);
        assert!(dealt[..498].iter().all(|n| ![dealt[498], dealt[499]].contains(n)));
    }

    #[test]
    fn photographs_show_another_digit_than_the_row_of_mnist() {
        let (data, _) = built(500, 0);
        let (mnist, photo) = (data.values(0), data.values(2));
        let shown = |row: usize, of: usize| {
            let (ink, red) = (&mnist[of * 784..][..784], &photo[row * 2352..][..784]);
            ink.iter().zip(red).all(|(&ink, &red)| (ink < 0.01) == (red < 0.01))
        };
        assert!((0..500).filter(|&row| shown(row, row)).count() < 50);
        let label = |row| data.label(row).expect("labelled");
        let one = (0..500).find(|&of| shown(0, of)).expect("a digit of the data");
        assert_eq!(label(one), label(0));
        assert!(photo.iter().all(|value| (0.0..=1.0).contains(value)));
    }

    #[test]
    fn images_of_maps_are_shares_of_ink_and_derive_from_the_seed() {
        let values = |seed| built(200, seed).0.values(1);
        let first = values(0);
        assert_eq!(first.len(), 200 * 240);
        assert!(first.iter().all(|v| (0.0..=1.0).contains(v) && (v * 6.0).fract() < 1e-5));
        assert!(first.contains(&1.0) && first == values(0) && first != values(1));
    }
}
