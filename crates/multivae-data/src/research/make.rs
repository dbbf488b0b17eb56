//! PolyMNIST and its translated form, made of MNIST and photographs by their published recipe.

use std::{
    fs,
    path::{Path, PathBuf},
};

use image::{GrayImage, Luma, Rgb, RgbImage, imageops};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{mnist_labels::Mnist, polymnist::TRANSLATED, research};
use crate::{
    error::{DataError, Result},
    read,
};

/// Height and width of the images.
const SIZE: u32 = 28;
/// The brightness above which a pixel is one of the digit.
const BRIGHT: u8 = 128;
/// Rows to test for each row for training, as MNIST has them.
const TEST: usize = 6;

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Making {
    /// A digit on a part of a photograph.
    Polymnist,
    /// A digit that is made smaller and stands anywhere on a part of a photograph.
    Translated {
        /// How large the digit is, above 0 and below 1.
        scale: f64,
    },
}

/// A set to make.
///
/// The recipe is that of MMNISTDataset of MoPoE and of TranslatedMMNIST of MultiVae: for each modality
/// the images of a digit are put in a random order, and those at one place of all modalities are a row.
/// Pixels of a digit are those above 128, and where they are the colours of a random part of the
/// modality's photograph are inverted. Photographs and random numbers are others than those of the
/// published files, and so are results.
#[derive(Clone, Debug, PartialEq)]
pub struct MakeConfig {
    /// What is made.
    pub making: Making,
    /// How many modalities; `None` for as many as there are photographs, five at most.
    pub modalities: Option<usize>,
    /// Rows for training at most, of which a sixth as many are to test; `None` for all of MNIST.
    pub rows: Option<usize>,
    /// The seed.
    pub seed: u64,
}

/// An image of a digit on a part of a photograph.
fn composed(digit: &GrayImage, photo: &RgbImage, making: Making, rng: &mut ChaCha8Rng) -> RgbImage {
    let mut mask = digit.clone();
    if let Making::Translated { scale } = making {
        let side = (f64::from(SIZE) * scale) as u32;
        let free = (f64::from(SIZE) * (1.0 - scale)) as u32;
        let small = imageops::resize(digit, side, side, imageops::FilterType::Triangle);
        mask = GrayImage::from_pixel(SIZE, SIZE, Luma([0]));
        let (x, y) = (rng.random_range(0..free.max(1)), rng.random_range(0..free.max(1)));
        imageops::replace(&mut mask, &small, i64::from(x), i64::from(y));
    }
    let from_x = rng.random_range(0..photo.width() - SIZE + 1);
    let from_y = rng.random_range(0..photo.height() - SIZE + 1);
    RgbImage::from_fn(SIZE, SIZE, |x, y| {
        let Rgb(colours) = *photo.get_pixel(from_x + x, from_y + y);
        if mask.get_pixel(x, y).0[0] > BRIGHT {
            Rgb(colours.map(|c| 255 - c))
        } else {
            Rgb(colours)
        }
    })
}

/// The photographs of a folder, by name.
fn photographs(folder: &Path, count: Option<usize>) -> Result<Vec<RgbImage>> {
    let is = |path: &PathBuf| {
        let end = path.extension().unwrap_or_default().to_ascii_lowercase();
        path.is_file() && ["jpg", "jpeg", "png"].iter().any(|known| end == *known)
    };
    let paths: Vec<PathBuf> = read::entries(folder)?.into_iter().filter(is).collect();
    let wanted = count.unwrap_or(paths.len().min(5));
    if wanted < 2 || wanted > paths.len() {
        return Err(DataError::Config {
            field: "modalities".into(),
            expected: format!(
                "2 or more, each with a photograph, of which `{}` has {}",
                folder.display(),
                paths.len()
            ),
            found: wanted.to_string(),
        });
    }
    paths[..wanted]
        .iter()
        .map(|path| {
            let bytes =
                fs::read(path).map_err(|cause| DataError::Read { path: path.clone(), cause })?;
            let malformed = |reason: String| DataError::Malformed {
                path: path.clone(),
                format: "JPEG or PNG",
                reason,
            };
            let image =
                image::load_from_memory(&bytes).map_err(|error| malformed(error.to_string()))?;
            if image.width() < SIZE || image.height() < SIZE {
                let (width, height) = (image.width(), image.height());
                return Err(malformed(format!("it is {width}x{height}, less than {SIZE}x{SIZE}")));
            }
            Ok(image.to_rgb8())
        })
        .collect()
}

/// The images of each digit of some rows.
struct Digits(Vec<Vec<GrayImage>>);

impl Digits {
    fn of(mnist: &Mnist, rows: std::ops::Range<usize>) -> Result<Self> {
        let mut digits = vec![Vec::new(); 10];
        let mut values = vec![0.0; (SIZE * SIZE) as usize];
        for row in rows {
            mnist.images.values.read(row * values.len(), &mut values)?;
            let bytes = values.iter().map(|value| (value * 255.0).round() as u8).collect();
            let image = GrayImage::from_raw(SIZE, SIZE, bytes).expect("as many as the size says");
            digits[mnist.labels[row] as usize].push(image);
        }
        Ok(Self(digits))
    }

    /// Place among the images of a digit, and the digit, of the first `rows` rows.
    fn rows(&self, rows: Option<usize>) -> Vec<(usize, usize)> {
        let most = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let all = (0..most).flat_map(|place| (0..10).map(move |digit| (place, digit)));
        let there = all.filter(|&(place, digit)| place < self.0[digit].len());
        there.take(rows.unwrap_or(usize::MAX)).collect()
    }
}

impl MakeConfig {
    /// The folder within `to` that the files lie in, as they are called where they are published.
    fn folder(&self, to: &Path) -> PathBuf {
        match self.making {
            Making::Polymnist => to.join("MMNIST"),
            Making::Translated { scale } => {
                to.join(format!("{TRANSLATED}scale_{}_translated_True", (100.0 * scale) as u32))
            }
        }
    }

    /// Makes the images of `mnist`, a folder of its four files, and of `photos`, a folder of photographs
    /// of which each is that of a modality, in `to`, an empty folder; gives how many rows are for
    /// training and to test.
    ///
    /// # Errors
    ///
    /// [`DataError::Config`] for a scale or a number of modalities that cannot be;
    /// [`DataError::Read`], [`DataError::Malformed`], [`DataError::Shape`]; [`DataError::Write`].
    pub fn make(&self, mnist: &Path, photos: &Path, to: &Path) -> Result<[usize; 2]> {
        if let Making::Translated { scale } = self.making
            && !((1.0 / f64::from(SIZE)..1.0).contains(&scale))
        {
            return Err(DataError::Config {
                field: "scale".into(),
                expected: format!("a number from 1/{SIZE} to below 1"),
                found: scale.to_string(),
            });
        }
        if self.rows == Some(0) {
            let (expected, found) = ("1 row or more".into(), "0".into());
            return Err(DataError::Config { field: "rows".into(), expected, found });
        }
        let photos = photographs(photos, self.modalities)?;
        let set = research().iter().find(|set| set.name == "mnist-labels");
        let mnist = Mnist::read(set.expect("it is in the list"), mnist, mnist)?;
        if mnist.images.shape != [1, SIZE as usize, SIZE as usize] {
            return Err(DataError::Shape {
                modality: "mnist".into(),
                path: mnist.images.path.clone(),
                expected: format!("[1, {SIZE}, {SIZE}]"),
                found: format!("{:?}", mnist.images.shape),
            });
        }
        let root = self.folder(to);
        let all = mnist.labels.len();
        let test = self.rows.map(|rows| rows.div_ceil(TEST));
        let parts = [("train", 0..mnist.training, self.rows), ("test", mnist.training..all, test)];
        let mut made = [0, 0];
        for (part, (split, rows, most)) in parts.into_iter().enumerate() {
            let digits = Digits::of(&mnist, rows)?;
            let rows = digits.rows(most);
            made[part] = rows.len();
            photos.par_iter().enumerate().try_for_each(|(m, photo)| {
                let folder = root.join(split).join(format!("m{m}"));
                let failed = |path: &Path, cause| DataError::Write { path: path.into(), cause };
                fs::create_dir_all(&folder).map_err(|cause| failed(&folder, cause))?;
                // Orders and parts of photographs of a modality are those of its own numbers, so that
                // others do not change them.
                let seed = self.seed.wrapping_mul(1_000_003) ^ (part as u64) << 32 ^ m as u64;
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let mut orders: Vec<Vec<usize>> =
                    digits.0.iter().map(|images| (0..images.len()).collect()).collect();
                orders.iter_mut().for_each(|order| order.shuffle(&mut rng));
                for &(place, digit) in &rows {
                    let image = &digits.0[digit][orders[digit][place]];
                    let image = composed(image, photo, self.making, &mut rng);
                    let path = folder.join(format!("{place}.{digit}.png"));
                    image
                        .save(&path)
                        .map_err(|error| failed(&path, std::io::Error::other(error.to_string())))?;
                }
                Ok::<_, DataError>(())
            })?;
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use multivae_core::dataset::Dataset;

    use super::*;
    use crate::{DataConfig, fixture::Folder};

    fn idx(axes: &[u32], values: impl Iterator<Item = u8>) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, axes.len() as u8];
        axes.iter().for_each(|axis| bytes.extend(axis.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    /// 24 images for training and 6 to test of three digits, of which digit `d` is bright in the first
    /// `d + 1` lines; two photographs of one colour each.
    fn source() -> Folder {
        let images = |rows: u32| {
            let value = |i: u32| if i % 784 / 28 <= i / 784 % 3 { 200 } else { 100 };
            idx(&[rows, 28, 28], (0..rows * 784).map(value))
        };
        let of = |rows: u8| idx(&[u32::from(rows)], (0..rows).map(|row| row % 3));
        let folder = Folder::new([
            ("mnist/train-images-idx3-ubyte", images(24)),
            ("mnist/train-labels-idx1-ubyte", of(24)),
            ("mnist/t10k-images-idx3-ubyte", images(6)),
            ("mnist/t10k-labels-idx1-ubyte", of(6)),
            ("photos/readme.txt", b"two colours".to_vec()),
        ]);
        for (name, colour) in [("a.png", [10, 20, 30]), ("b.png", [50, 60, 70])] {
            let photo = RgbImage::from_pixel(40, 28, Rgb(colour));
            photo.save(folder.path("photos").join(name)).expect("writable");
        }
        folder
    }

    fn config(making: Making) -> MakeConfig {
        MakeConfig { making, modalities: None, rows: None, seed: 3 }
    }

    fn made(config: &MakeConfig, source: &Folder) -> Result<([usize; 2], Folder), String> {
        let to = Folder::new([]);
        let rows = config
            .make(&source.path("mnist"), &source.path("photos"), &to.path(""))
            .map_err(|error| source.message(error))?;
        Ok((rows, to))
    }

    #[test]
    fn a_digit_inverts_the_photograph_of_its_modality() {
        let source = source();
        let (rows, to) = made(&config(Making::Polymnist), &source).expect("made");
        assert_eq!(rows, [24, 6]);
        let config = DataConfig::new(format!("polymnist:{}", to.source()));
        let data = config.read().map_err(|error| to.message(error)).expect("its layout").data;
        assert_eq!((data.len(), data.modalities().len()), (30, 2));
        for row in 0..30 {
            let one = data.select(&[row]);
            let digit = one.label(0).expect("a digit");
            for (m, colour) in [(0, [10, 20, 30]), (1, [50, 60, 70])] {
                let values = one.values(m);
                for place in 0..784 {
                    let on = place / 28 <= digit as usize;
                    for (channel, colour) in colour.iter().enumerate() {
                        let expected = if on { 255 - colour } else { *colour };
                        assert_eq!(values[channel * 784 + place], expected as f32 / 255.0);
                    }
                }
            }
        }
    }

    #[test]
    fn a_translated_digit_is_smaller_and_within_the_image() {
        let source = source();
        let making = Making::Translated { scale: 0.75 };
        let (_, to) = made(&config(making), &source).expect("made");
        let folder = to.path("Translated_MMNIST_scale_75_translated_True/train/m1");
        let mut places = std::collections::HashSet::new();
        for path in read::entries(&folder).expect("there") {
            let image = image::open(&path).expect("an image").to_rgb8();
            let on = |y: u32| image.get_pixel(14, y).0 == [205, 195, 185];
            let lines: Vec<u32> = (0..28).filter(|&y| on(y)).collect();
            assert!((1..=3).contains(&lines.len()), "{lines:?}");
            let columns = (0..28).filter(|&x| image.get_pixel(x, lines[0]).0[0] == 205).count();
            assert_eq!(columns, 21);
            places.insert(lines[0]);
        }
        assert!(places.len() > 2 && places.iter().all(|&y| y < 7), "{places:?}");
        let data = DataConfig::new(format!("polymnist:{}", to.source())).read();
        assert_eq!(data.expect("its layout").data.len(), 30);
    }

    #[test]
    fn fewer_rows_are_the_first_of_all_and_a_seed_makes_the_same_again() {
        let source = source();
        let whole = config(Making::Polymnist);
        let few = MakeConfig { rows: Some(7), ..whole.clone() };
        let (rows, to) = made(&few, &source).expect("made");
        assert_eq!(rows, [7, 2]);
        let names: Vec<_> = read::entries(&to.path("MMNIST/train/m0")).expect("there");
        let names: Vec<_> = names.iter().map(|path| read::name(path)).collect();
        let expected =
            ["0.0.png", "0.1.png", "0.2.png", "1.0.png", "1.1.png", "1.2.png", "2.0.png"];
        assert_eq!(names, expected);
        let bytes = |to: &Folder| fs::read(to.path("MMNIST/train/m1/1.2.png")).expect("there");
        let again = made(&few, &source).expect("made").1;
        assert_eq!(bytes(&to), bytes(&again));
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let source = source();
        let refused = |config: MakeConfig| made(&config, &source).map(|_| ()).expect_err("refused");
        let plain = config(Making::Polymnist);
        let found = refused(MakeConfig { modalities: Some(3), ..plain.clone() });
        assert!(found.contains("`photos` has 2, found `3`"), "{found}");
        let found = refused(config(Making::Translated { scale: 1.5 }));
        assert!(found.starts_with("`scale`: expected a number from 1/28 to below 1"), "{found}");
        let found = refused(MakeConfig { rows: Some(0), ..plain.clone() });
        assert!(found.starts_with("`rows`: expected 1 row or more"), "{found}");
        let small = RgbImage::from_pixel(27, 40, Rgb([0, 0, 0]));
        small.save(source.path("photos/a.png")).expect("writable");
        let found = refused(plain);
        assert!(found.contains("it is 27x40, less than 28x28"), "{found}");
    }
}
