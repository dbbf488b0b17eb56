//! MNIST with its labels as a modality (LeCun et al. 1998; Suzuki et al. 2016).

use std::path::{Path, PathBuf};

use multivae_core::{distribution::Likelihood, schema::ImageConversion};

use super::{Parts, ResearchSet, files, joined, known, numbered, one_hot};
use crate::{
    assemble::{Files, Source},
    error::Result,
    read::{LabelFile, ModalityTable, ReadOptions, format},
    reading::Reading,
};

/// Images and digits of MNIST, those for training first.
pub(super) struct Mnist {
    pub(super) images: ModalityTable,
    pub(super) labels: Vec<i64>,
    /// How many are for training.
    pub(super) training: usize,
}

impl Mnist {
    /// From the four files of a folder.
    pub(super) fn read(set: &ResearchSet, path: &Path, folder: &Path) -> Result<Self> {
        let file = |stem: &str| -> Result<PathBuf> {
            let there = [stem.to_owned(), format!("{stem}.gz")].map(|name| folder.join(name));
            let found = there.into_iter().find(|path| path.exists());
            found.ok_or_else(|| set.other(path, format!("no `{stem}`")))
        };
        let mut parts = Vec::new();
        for split in ["train", "t10k"] {
            let images = file(&format!("{split}-images-idx3-ubyte"))?;
            let labels = file(&format!("{split}-labels-idx1-ubyte"))?;
            let images = format::of(&images)?.block(&images, ReadOptions::default())?;
            let LabelFile::Values(found) =
                format::of(&labels)?.labels(&labels, ReadOptions::default())?
            else {
                return Err(set.other(path, "a table of labels"));
            };
            if found.values.len() != images.rows {
                let (labels, images) = (found.values.len(), images.rows);
                return Err(
                    set.other(path, format!("{images} images and {labels} labels of `{split}`"))
                );
            }
            parts.push((images, found.values));
        }
        let training = parts[0].0.rows;
        let labels: Vec<i64> =
            parts.iter().flat_map(|(_, labels)| labels.iter().flatten()).copied().collect();
        if let Some(label) = labels.iter().find(|label| !(0..10).contains(*label)) {
            return Err(set.other(path, format!("a label {label}")));
        }
        let mut images = parts.into_iter().map(|(images, _)| images);
        let (Some(train), Some(test)) = (images.next(), images.next()) else {
            unreachable!("there are two parts")
        };
        Ok(Self { images: joined(train, test)?, labels, training })
    }
}

/// `image`, Bernoulli, and `label`, one-hot.
pub(super) fn open(set: &ResearchSet, path: &Path, reading: Reading) -> Result<Files> {
    let Mnist { images, labels, training } = Mnist::read(set, path, path)?;
    let ids = numbered(training, labels.len() - training);
    let label = one_hot(set, path, &labels, &path.join("label"))?;
    let source = |name: &str, block, likelihood| Source {
        likelihood: Some(likelihood),
        ..Source::plain(
            name.into(),
            known(block, &ids),
            reading.codes_of(name, &[]),
            ImageConversion::default(),
        )
    };
    let sources = vec![
        source("image", images, Likelihood::Bernoulli {}),
        source("label", label, Likelihood::Categorical {}),
    ];
    let labels = labels.iter().map(i64::to_string).collect();
    Ok(files(set, path, sources, (ids, Some(labels)), Parts::First(training), reading))
}

#[cfg(test)]
mod tests {
    use multivae_core::dataset::Dataset;

    use crate::{DataConfig, fixture::Folder};

    fn idx(axes: &[u32], values: impl Iterator<Item = u8>) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, axes.len() as u8];
        axes.iter().for_each(|axis| bytes.extend(axis.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    fn files(labels: u8) -> Vec<(&'static str, Vec<u8>)> {
        let images = |rows: u32| idx(&[rows, 28, 28], (0..rows * 784).map(|i| (i / 784) as u8 * 9));
        let of = |rows: u8| idx(&[u32::from(rows)], (0..rows).map(|row| row % 10));
        vec![
            ("train-images-idx3-ubyte", images(20)),
            ("train-labels-idx1-ubyte", of(labels)),
            ("t10k-images-idx3-ubyte", images(4)),
            ("t10k-labels-idx1-ubyte", of(4)),
        ]
    }

    #[test]
    fn images_and_labels_are_read_with_the_published_splits() {
        let folder = Folder::new(files(20));
        let splits = DataConfig::new(format!("mnist-labels:{}", folder.source()));
        let splits = splits.open().expect("whole");
        assert_eq!((splits.train.len(), splits.valid.len(), splits.test.len()), (18, 2, 4));
        assert_eq!((splits.test.id(3), splits.test.label(3)), ("test/3".into(), Some(3)));
        let row = splits.test.select(&[3]);
        assert_eq!(row.values(0)[5], 27.0 / 255.0);
        assert_eq!(row.values(1), [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn files_that_lack_or_differ_are_named() {
        let refused = |files| {
            let folder = Folder::new(files);
            let config = DataConfig::new(format!("mnist-labels:{}", folder.source()));
            folder.message(config.open().map(|_| ()).expect_err("refused"))
        };
        let found = refused(files(19));
        assert!(found.ends_with("found 20 images and 19 labels of `train`"), "{found}");
        let found = refused(files(20)[..3].to_vec());
        assert!(found.ends_with("found no `t10k-labels-idx1-ubyte`"), "{found}");
    }
}
