//! CUB with captions (Wah et al. 2011; Reed et al. 2016), as MMVAE and MultiVae have it.

use std::path::{Path, PathBuf};

use multivae_core::schema::{Channels, ImageConversion};

use super::{Parts, ResearchSet, files, joined, known, mnist_svhn::repeated, numbered};
use crate::{
    assemble::{Files, Source},
    error::{DataError, Result},
    read::{LabelFile, ModalityTable, ReadOptions, format, image},
    reading::Reading,
    text::{self, TextOptions},
};

/// Captions of each image.
const CAPTIONS: usize = 10;
/// Words of a caption that are kept.
const LENGTH: usize = 32;
/// How often a word has to occur.
const COUNT: usize = 4;
/// Words at most; the published captions have fewer.
const WORDS: usize = 10_000;
/// Height and width.
const SIZE: u32 = 64;

/// Images, the class of each, and the captions of a split.
struct Split {
    images: ModalityTable,
    classes: Vec<String>,
    captions: Vec<String>,
}

impl Split {
    fn read(
        set: &ResearchSet,
        path: &Path,
        root: &Path,
        split: &str,
        images: ImageConversion,
    ) -> Result<Self> {
        let name = if split == "train" { "trainval" } else { "test" };
        let file: PathBuf = root.join(format!("text_{name}classes.txt"));
        let read = |cause| DataError::Read { path: file.clone(), cause };
        let text = std::fs::read_to_string(&file).map_err(read)?;
        let captions: Vec<String> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect();
        let folder = root.join(split);
        if !folder.is_dir() {
            return Err(set.other(path, format!("no folder `{split}`")));
        }
        let said = ReadOptions { images, ..ReadOptions::default() };
        let images = format::of(&folder)?.block(&folder, said)?;
        let labels = image::labels_of(std::slice::from_ref(&folder), None, &mut Vec::new())?;
        let Some(LabelFile::Table(mut table)) = labels else {
            return Err(set.other(path, format!("no folders of classes in `{split}`")));
        };
        if captions.len() != images.rows * CAPTIONS {
            let (images, captions) = (images.rows, captions.len());
            let found =
                format!("{images} images and {captions} captions of `{split}`, ten of each");
            return Err(set.other(path, found));
        }
        Ok(Self { images, classes: table.columns.swap_remove(1).1, captions })
    }
}

/// `image` and `text`: a row is a caption with its image. Classes are those of the birds, of which none
/// is both in the training and in the test.
pub(super) fn open(set: &ResearchSet, path: &Path, reading: Reading) -> Result<Files> {
    let inner = path.join("cub");
    let root = if inner.is_dir() { &inner } else { path };
    let own = ImageConversion {
        channels: Some(Channels::Colour),
        resize: Some([SIZE; 2]),
        ..ImageConversion::default()
    };
    let images = reading.images_of("image", reading.images.or(own));
    let (train, test) = (
        Split::read(set, path, root, "train", images)?,
        Split::read(set, path, root, "test", images)?,
    );
    let training = train.captions.len();
    let captions = [train.captions, test.captions].concat();
    let classes = [train.classes, test.classes].concat();
    let ids = numbered(training, captions.len() - training);
    let places: Vec<Option<usize>> = (0..captions.len()).map(|row| Some(row / CAPTIONS)).collect();
    let classes = places.iter().flatten().map(|&place| classes[place].clone()).collect();
    let image = repeated(joined(train.images, test.images)?, &places);
    let options = TextOptions {
        length: Some(LENGTH),
        min_count: COUNT,
        vocabulary: WORDS,
        ..TextOptions::default()
    };
    let missing = vec![false; captions.len()];
    let text = text::of_texts(&root.join("text"), captions, &missing, "text".into(), options);
    let codes = reading.codes_of("image", &[]);
    let sources = vec![
        Source::plain("image".into(), known(image, &ids), codes, images),
        Source::text("text".into(), known(text, &ids)),
    ];
    Ok(files(set, path, sources, (ids, Some(classes)), Parts::First(training), reading))
}

#[cfg(test)]
mod tests {
    use multivae_core::dataset::Dataset;

    use crate::{
        DataConfig, TextCodec,
        fixture::{Folder, png},
    };

    /// Three birds of two classes to train and one of another to test, with `captions` of the first.
    fn folder(captions: usize) -> Folder {
        let caption = |bird: usize, of: usize| {
            format!("This bird is {} number{of}x{bird}.\n", ["red", "blue", "grey", "red"][bird])
        };
        let train: String = (0..captions).map(|row| caption(row / 10, row % 10)).collect();
        let test: String = (0..10).map(|of| caption(3, of)).collect();
        Folder::new([
            ("cub/train/001.Finch/b.jpg", png(5, 7, 10)),
            ("cub/train/001.Finch/a.jpg", png(9, 4, 5)),
            ("cub/train/002.Jay/a.jpg", png(8, 8, 20)),
            ("cub/test/003.Gull/a.jpg", png(8, 8, 30)),
            ("cub/text_trainvalclasses.txt", train.into_bytes()),
            ("cub/text_testclasses.txt", test.into_bytes()),
        ])
    }

    #[test]
    fn a_row_is_a_caption_with_its_image() {
        let folder = folder(30);
        let config = DataConfig::new(format!("cub:{}", folder.source()));
        let splits = config.open().map_err(|error| folder.message(error)).expect("whole");
        assert_eq!((splits.train.len(), splits.valid.len(), splits.test.len()), (27, 3, 10));
        let specs = splits.train.modalities();
        assert_eq!(specs[0].shape, [3, 64, 64]);
        let schema = splits.record.schema.modalities[1].clone();
        let codec = TextCodec::of(&schema.text.expect("it is text")).expect("its own");
        // Padding, unknown, and what occurs four times in the training: this bird is . and colours.
        assert_eq!(schema.spec.shape, [32, 9]);
        let data = config.read().expect("whole").data;
        let row = data.select(&[12]);
        assert_eq!(row.values(0)[0], 10.0 / 255.0, "the second image by name");
        let caption = codec.likeliest(&row.values(1)).expect("a caption");
        assert_eq!(caption, "this bird is blue <unk>.");
        let names = data.label_names().expect("classes").to_vec();
        assert_eq!(names[data.label(35).expect("a class") as usize], "003.Gull");
        let warnings: Vec<_> = splits.report.warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.iter().any(|w| w.contains("become `<unk>`")), "{warnings:?}");
    }

    #[test]
    fn captions_that_are_not_ten_of_each_image_are_refused() {
        let folder = folder(29);
        let config = DataConfig::new(format!("cub:{}", folder.source()));
        let found = folder.message(config.open().map(|_| ()).expect_err("refused"));
        assert!(
            found.ends_with("found 3 images and 29 captions of `train`, ten of each"),
            "{found}"
        );
    }
}
