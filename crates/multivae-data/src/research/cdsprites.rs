//! CdSprites+ (Sejnova et al. 2023), one of its five levels.

use std::path::{Path, PathBuf};

use multivae_core::schema::{Dtype, ImageConversion};

use super::{Parts, ResearchSet, files, joined, known, numbered};
use crate::{
    assemble::{Files, Source},
    error::Result,
    read::{self, Array, ModalityTable, Numbers, format},
    reading::Reading,
    text::{self, TextOptions},
};

/// The file of the rows for training.
const TRAIN: &str = "traindata.h5";

/// The arrays of a file.
struct Split {
    path: PathBuf,
    image: ModalityTable,
    captions: Vec<String>,
}

/// Images `[rows, height, width, channels]` of which blue is the first channel, as OpenCV has them, as
/// `[rows, channels, height, width]` with red first.
fn channels_first(array: Array, set: &ResearchSet, path: &Path) -> Result<Array> {
    let (&[rows, height, width, 3], Numbers::Bytes(bytes)) = (&array.shape[..], &array.numbers)
    else {
        let found = format!("`image` of shape {:?} and type {}", array.shape, array.dtype);
        return Err(set.other(path, found));
    };
    let size = height * width;
    let mut out = vec![0; bytes.len()];
    for (out, image) in out.chunks_exact_mut(3 * size).zip(bytes.chunks_exact(3 * size)) {
        for (place, pixel) in image.chunks_exact(3).enumerate() {
            for (channel, value) in pixel.iter().rev().enumerate() {
                out[channel * size + place] = *value;
            }
        }
    }
    let (shape, numbers) = (vec![rows, 3, height, width], Numbers::Bytes(out));
    Ok(Array { name: "image".into(), shape, dtype: Dtype::U8, numbers })
}

impl Split {
    fn read(set: &ResearchSet, path: PathBuf) -> Result<Self> {
        let mut arrays = format::of(&path)?.arrays(&path)?;
        let mut take = |name: &str| {
            let place = arrays.iter().position(|array| array.name == name);
            let place = place.ok_or_else(|| set.other(&path, format!("no array `{name}`")))?;
            Ok::<_, crate::DataError>(arrays.swap_remove(place))
        };
        let (image, text) = (take("image")?, take("text")?);
        let Numbers::Text(captions) = text.numbers else {
            return Err(set.other(&path, format!("`text` of type {}", text.dtype)));
        };
        let image = channels_first(image, set, &path)?;
        if image.shape[0] != captions.len() {
            let found = format!("{} images and {} captions", image.shape[0], captions.len());
            return Err(set.other(&path, found));
        }
        Ok(Self { image: image.block(&path)?, captions, path })
    }
}

/// The folder of the files: the path, or the only one in it that has them, as archives are unpacked.
fn root(path: &Path) -> Result<Option<PathBuf>> {
    if path.join(TRAIN).exists() || !path.is_dir() {
        return Ok(Some(path.into()).filter(|path: &PathBuf| path.join(TRAIN).exists()));
    }
    let mut inner = read::entries(path)?.into_iter().filter(|inner| inner.join(TRAIN).exists());
    Ok(inner.next().filter(|_| inner.next().is_none()))
}

/// `image` and `text`; captions are also the classes.
pub(super) fn open(set: &ResearchSet, path: &Path, reading: Reading) -> Result<Files> {
    let Some(root) = root(path)? else { return Err(set.other(path, "no `traindata.h5`")) };
    let (train, test) = (root.join(TRAIN), root.join("testdata.h5"));
    let Split { path: at, image, captions } = Split::read(set, train)?;
    let (image, captions, ids, parts) = if test.exists() {
        let test = Split::read(set, test)?;
        let ids = numbered(captions.len(), test.captions.len());
        let parts = Parts::First(captions.len());
        (joined(image, test.image)?, [captions, test.captions].concat(), ids, parts)
    } else {
        let ids = (0..captions.len()).map(|row| row.to_string()).collect();
        (image, captions, ids, Parts::Free)
    };
    let codes = reading.codes_of("image", &[]);
    let options = TextOptions::default();
    let missing = vec![false; captions.len()];
    let text = text::of_texts(&at, captions.clone(), &missing, "text".into(), options);
    let sources = vec![
        Source::plain("image".into(), known(image, &ids), codes, ImageConversion::default()),
        Source::text("text".into(), known(text, &ids)),
    ];
    Ok(files(set, path, sources, (ids, Some(captions)), parts, reading))
}

#[cfg(all(test, feature = "hdf5"))]
mod tests {
    use hdf5_pure::FileBuilder;
    use multivae_core::dataset::Dataset;

    use crate::{DataConfig, fixture::Folder};

    const CAPTIONS: [&str; 3] = ["big red square", "small blue heart", "big blue ellipse"];

    fn h5(rows: usize, captions: usize) -> Vec<u8> {
        let mut file = FileBuilder::new();
        // Blue, green and red of a row differ.
        let pixel = |row: usize| [row as u8, 100 + row as u8, 200 + row as u8];
        let bytes: Vec<u8> = (0..rows).flat_map(|row| [pixel(row); 16].concat()).collect();
        file.create_dataset("image").with_u8_data(&bytes).with_shape(&[rows as u64, 4, 4, 3]);
        let texts: Vec<&str> = (0..captions).map(|row| CAPTIONS[row % 3]).collect();
        file.create_dataset("text").with_vlen_strings(&texts);
        file.finish().expect("memory takes it")
    }

    #[test]
    fn images_have_red_first_and_captions_are_words() {
        let folder = Folder::new([("traindata.h5", h5(20, 20)), ("testdata.h5", h5(3, 3))]);
        let config = DataConfig::new(format!("cdsprites:{}", folder.source()));
        let splits = config.open().map_err(|error| folder.message(error)).expect("whole");
        assert_eq!((splits.train.len(), splits.valid.len(), splits.test.len()), (18, 2, 3));
        let specs = splits.train.modalities();
        // Padding, unknown, and seven words.
        assert_eq!((&specs[0].shape[..], &specs[1].shape[..]), (&[3, 4, 4][..], &[3, 9][..]));
        let row = splits.test.select(&[2]);
        assert_eq!(row.text(0, 1), Some("big blue ellipse"));
        let values = row.values(0);
        assert_eq!(
            [values[0], values[16], values[47]],
            [202.0 / 255.0, 102.0 / 255.0, 2.0 / 255.0]
        );
        let names = splits.test.label_names().expect("captions");
        assert_eq!(names[row.label(0).expect("a class") as usize], "big blue ellipse");
        let alone = Folder::new([("level2/traindata.h5", h5(20, 20))]);
        let splits = DataConfig::new(format!("cdsprites:{}", alone.source())).open();
        let splits = splits.expect("whole");
        assert_eq!((splits.train.len(), splits.test.len()), (14, 4), "split as other data");
    }

    #[test]
    fn other_files_are_refused() {
        let refused = |files: Vec<(&str, Vec<u8>)>| {
            let folder = Folder::new(files);
            let config = DataConfig::new(format!("cdsprites:{}", folder.source()));
            folder.message(config.open().map(|_| ()).expect_err("refused"))
        };
        let found = refused(vec![("traindata.h5", h5(4, 3))]);
        assert!(found.ends_with("found 4 images and 3 captions"), "{found}");
        let found = refused(vec![("testdata.h5", h5(3, 3))]);
        assert!(found.ends_with("found no `traindata.h5`"), "{found}");
    }
}
