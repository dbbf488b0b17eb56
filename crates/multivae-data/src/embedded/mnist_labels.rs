//! MNIST digits and their labels.

use multivae_core::{distribution::Likelihood, modality::ModalitySpec};

use super::Digits;
use crate::{error::Result, memory::MemoryDataset};

/// `image` `[1, 28, 28]` in `[0, 1]`, Bernoulli, and `label` `[10]`, one-hot.
pub(super) fn load() -> Result<MemoryDataset> {
    let Digits { labels, images } = Digits::load();
    let one_hot: Vec<f32> = labels
        .iter()
        .flat_map(|&label| (0..10).map(move |class| f32::from(u8::from(class == label))))
        .collect();
    let image = ModalitySpec::new("image", &[1, 28, 28])?.with_likelihood(Likelihood::Bernoulli {});
    let label = ModalitySpec::new("label", &[10])?.with_likelihood(Likelihood::Categorical {});
    MemoryDataset::new(vec![(image, images.into()), (label, one_hot.into())])?
        .with_labels(labels.into_iter().map(i64::from).collect())
}

#[cfg(test)]
mod tests {
    use multivae_core::dataset::Dataset;

    use super::*;

    #[test]
    fn the_label_modality_is_the_label_one_hot() {
        let data = load().expect("valid");
        for (row, values) in data.values(1).chunks(10).enumerate() {
            let hot = data.label(row).expect("labelled") as usize;
            assert!(values.iter().enumerate().all(|(i, &v)| v == f32::from(u8::from(i == hot))));
        }
    }

    #[test]
    fn images_have_ink_and_paper() {
        let images = load().expect("valid").values(0);
        assert!(images.iter().all(|value| (0.0..=1.0).contains(value)));
        let mean = images.iter().sum::<f32>() / images.len() as f32;
        // The mean of MNIST's training set is 0.1307.
        assert!((mean - 0.1307).abs() < 0.005, "{mean}");
    }
}
