//! MHD, multimodal handwritten digits (Vasco et al. 2022).

use std::path::Path;

use multivae_core::{distribution::Likelihood, schema::ImageConversion};

use super::{Parts, ResearchSet, files, joined, known, numbered, one_hot, shares, whole};
use crate::{
    assemble::{Files, Source},
    error::{DataError, Result},
    read::{Array, ModalityTable, Numbers, torch},
    reading::Reading,
};

/// The tensors of a split.
struct Split {
    labels: Vec<i64>,
    image: ModalityTable,
    trajectory: ModalityTable,
    audio: ModalityTable,
}

/// Three slabs `[3, 32, 32]` of a sound as one of `[1, 32, 96]`: they stand behind one another on the
/// last axis, which is their first.
fn joined_slabs(values: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for (out, sound) in out.chunks_exact_mut(3072).zip(values.chunks_exact(3072)) {
        for (place, value) in sound.iter().enumerate() {
            let (slab, first, second) = (place / 1024, place / 32 % 32, place % 32);
            out[second * 96 + slab * 32 + first] = *value;
        }
    }
    out
}

impl Split {
    /// A tuple of labels, images, trajectories, sounds and what both were normalised by.
    fn read(set: &ResearchSet, path: &Path, split: &str) -> Result<Self> {
        let file = path.join(format!("mhd_{split}.pt"));
        if !file.exists() {
            return Err(set.other(path, format!("no `mhd_{split}.pt`")));
        }
        let values = match torch::read(&file)? {
            torch::Value::List(values) if values.len() >= 4 => values,
            other => return Err(set.other(&file, other.name())),
        };
        let mut values = values.into_iter();
        let mut take = |name: &str| -> Result<Array> {
            values.next().expect("there are four").tensor(&file, name)
        };
        let labels = whole(set, &file, take("label")?)?;
        let (image, trajectory, audio) = (take("image")?, take("trajectory")?, take("audio")?);
        let shape = |array: &Array| {
            set.other(&file, format!("`{}` of shape {:?}", array.name, array.shape))
        };
        for array in [&image, &trajectory, &audio] {
            if array.shape.first() != Some(&labels.len()) {
                let (shape, labels) = (&array.shape, labels.len());
                let found = format!("`{}` of shape {shape:?} and {labels} labels", array.name);
                return Err(set.other(&file, found));
            }
        }
        let image = match image.shape[1..] {
            [1, 28, 28] | [28, 28] => Array { shape: vec![labels.len(), 1, 28, 28], ..image },
            _ => return Err(shape(&image)),
        };
        let audio = match (&audio.shape[1..], &audio.numbers) {
            ([3, 32, 32], Numbers::Floats(values)) => Array {
                shape: vec![labels.len(), 1, 32, 96],
                numbers: Numbers::Floats(joined_slabs(values)),
                ..audio
            },
            _ => return Err(shape(&audio)),
        };
        let width = trajectory.shape[1..].iter().product();
        let trajectory = Array { shape: vec![labels.len(), width], ..trajectory };
        Ok(Self {
            image: shares(&file, image)?,
            trajectory: trajectory.block(&file)?,
            audio: audio.block(&file)?,
            labels,
        })
    }
}

/// `image`, `label`, `trajectory` and `audio`. What sounds and trajectories were normalised by is kept
/// in the file and not undone.
pub(super) fn open(set: &ResearchSet, path: &Path, reading: Reading) -> Result<Files> {
    let (train, test) = (Split::read(set, path, "train")?, Split::read(set, path, "test")?);
    let training = train.labels.len();
    let labels = [train.labels, test.labels].concat();
    let ids = numbered(training, labels.len() - training);
    let label = one_hot(set, path, &labels, &path.join("label"))?;
    let source = |name: &str, block: ModalityTable| {
        let codes = reading.codes_of(name, &[]);
        Source::plain(name.into(), known(block, &ids), codes, ImageConversion::default())
    };
    let sources = vec![
        source("image", joined(train.image, test.image)?),
        Source { likelihood: Some(Likelihood::Categorical {}), ..source("label", label) },
        source("trajectory", joined(train.trajectory, test.trajectory)?),
        source("audio", joined(train.audio, test.audio)?),
    ];
    let labels = labels.iter().map(i64::to_string).collect();
    Ok::<_, DataError>(files(
        set,
        path,
        sources,
        (ids, Some(labels)),
        Parts::First(training),
        reading,
    ))
}

#[cfg(test)]
mod tests {
    use multivae_core::dataset::Dataset;

    use crate::{
        DataConfig,
        fixture::Folder,
        read::torch::tests::{Written, saved_tuple},
    };

    fn split(rows: usize, sounds: usize) -> Vec<u8> {
        let row = |of: usize, width: usize| (of / width) as f32;
        let values = |width: usize, of: &dyn Fn(usize) -> f32| -> Vec<f32> {
            (0..rows * width).map(of).collect()
        };
        let audio = |i: usize| row(i, 3072) + (i % 3072) as f32 / 4096.0;
        saved_tuple(vec![
            Written::integers(&(0..rows as i64).map(|row| row % 10).collect::<Vec<_>>()),
            Written::floats(&[rows, 1, 28, 28], &values(784, &|i| row(i, 784) / 255.0)),
            Written::floats(&[rows, 200], &values(200, &|i| row(i, 200) - 0.5)),
            Written::floats(&[sounds, 3, 32, 32], &values(3072, &audio)[..sounds * 3072]),
        ])
    }

    #[test]
    fn four_modalities_of_one_digit_are_read_with_the_published_splits() {
        let folder = Folder::new([("mhd_train.pt", split(20, 20)), ("mhd_test.pt", split(4, 4))]);
        let config = DataConfig::new(format!("mhd:{}", folder.source()));
        let data = config.read().map_err(|error| folder.message(error)).expect("whole").data;
        let shapes: Vec<_> =
            data.modalities().iter().map(|s| (s.name.to_string(), s.shape.clone())).collect();
        let expected = [
            ("image", vec![1, 28, 28]),
            ("label", vec![10]),
            ("trajectory", vec![200]),
            ("audio", vec![1, 32, 96]),
        ];
        assert_eq!(shapes, expected.map(|(name, shape)| (name.to_owned(), shape)));
        let row = data.select(&[21]);
        assert_eq!((row.id(0), row.label(0)), ("test/1".into(), Some(1)));
        assert_eq!(row.values(0)[7], 1.0 / 255.0);
        assert_eq!(row.values(1)[1], 1.0);
        assert_eq!(row.values(2)[3], 0.5);
        // Slab 2, first axis 5, second axis 7.
        let place = 2 * 1024 + 5 * 32 + 7;
        assert_eq!(row.values(3)[7 * 96 + 2 * 32 + 5], 1.0 + place as f32 / 4096.0);
        let splits = config.open().expect("whole");
        assert_eq!((splits.train.len(), splits.valid.len(), splits.test.len()), (18, 2, 4));
    }

    #[test]
    fn other_tuples_are_refused() {
        let refused = |train: Vec<u8>| {
            let folder = Folder::new([("mhd_train.pt", train), ("mhd_test.pt", split(4, 4))]);
            let config = DataConfig::new(format!("mhd:{}", folder.source()));
            folder.message(config.open().map(|_| ()).expect_err("refused"))
        };
        let found = refused(split(20, 19));
        assert!(found.ends_with("`audio` of shape [19, 3, 32, 32] and 20 labels"), "{found}");
        let found = refused(saved_tuple(vec![Written::integers(&[1])]));
        assert!(
            found.contains("expected a tensor as `image`, found") || found.contains("tuple of")
        );
        let folder = Folder::new([("mhd_train.pt", split(2, 2))]);
        let config = DataConfig::new(format!("mhd:{}", folder.source()));
        let found = folder.message(config.open().map(|_| ()).expect_err("half"));
        assert!(found.ends_with("found no `mhd_test.pt`"), "{found}");
    }
}
