//! CelebA (Liu et al. 2015), aligned and cropped faces with attributes.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use image::imageops::FilterType;
use multivae_core::{
    distribution::Likelihood,
    schema::{Dtype, ImageConversion},
};
use rayon::prelude::*;

use super::{Parts, ResearchSet, files, known};
use crate::{
    assemble::{Files, Source},
    error::{DataError, Place, Result},
    read::{Array, ModalityTable, Numbers},
    reading::Reading,
    storage::Storage,
};

/// Height and width of the images.
const SIZE: u32 = 64;
/// All attributes.
const ATTRIBUTES: usize = 40;
/// Those of which a face shows something, by place, as the field takes them.
const VISIBLE: [usize; 18] = [4, 5, 8, 9, 11, 12, 15, 17, 18, 20, 21, 22, 26, 28, 31, 32, 33, 35];

/// `image` and 18 `attributes`.
pub(super) fn open(set: &ResearchSet, path: &Path, reading: Reading) -> Result<Files> {
    of_attributes(set, path, reading, &VISIBLE)
}

/// `image` and all `attributes`.
pub(super) fn open_all(set: &ResearchSet, path: &Path, reading: Reading) -> Result<Files> {
    let all: Vec<usize> = (0..ATTRIBUTES).collect();
    of_attributes(set, path, reading, &all)
}

fn of_attributes(
    set: &ResearchSet,
    path: &Path,
    reading: Reading,
    kept: &[usize],
) -> Result<Files> {
    let inner = path.join("celeba");
    let root = if inner.is_dir() { &inner } else { path };
    let attributes = Attributes::read(&root.join("list_attr_celeba.txt"))?;
    let parts = partition(&root.join("list_eval_partition.txt"))?;
    if let Some(image) = attributes.images.iter().find(|image| !parts.contains_key(*image)) {
        return Err(set.other(path, format!("no split of `{image}`")));
    }
    if parts.len() != attributes.images.len() {
        let found = format!(
            "{} images with attributes and {} with splits",
            attributes.images.len(),
            parts.len()
        );
        return Err(set.other(path, found));
    }
    let mut of_parts: [Vec<usize>; 3] = Default::default();
    for (row, image) in attributes.images.iter().enumerate() {
        of_parts[parts[image]].push(row);
    }
    let conversion = reading.images_of("image", reading.images);
    let size = conversion.resize.unwrap_or([SIZE; 2]);
    let folder = root.join("img_align_celeba");
    let image = images(&folder, &attributes.images, size)?;
    let values = attributes.values.chunks_exact(ATTRIBUTES);
    let values: Vec<f32> = values.flat_map(|row| kept.iter().map(|&place| row[place])).collect();
    let at = root.join("list_attr_celeba.txt");
    let block = ModalityTable::of_values(
        &at,
        vec![kept.len()],
        Storage::Floats(values),
        None,
        Dtype::Bool,
    )?;
    let columns = kept.iter().map(|&place| attributes.names[place].clone()).collect();
    let block = ModalityTable { columns: Some(columns), ..block };
    let ids = attributes.images;
    let codes = |name: &str| reading.codes_of(name, &[]);
    let said = ImageConversion { resize: conversion.resize, ..ImageConversion::default() };
    let sources = vec![
        Source::plain("image".into(), known(image, &ids), codes("image"), said),
        Source {
            likelihood: Some(Likelihood::Bernoulli {}),
            ..Source::plain(
                "attributes".into(),
                known(block, &ids),
                codes("attributes"),
                ImageConversion::default(),
            )
        },
    ];
    Ok(files(set, path, sources, (ids, None), Parts::Rows(of_parts), reading))
}

/// Images by their names, and 0 or 1 for each attribute.
struct Attributes {
    names: Vec<String>,
    images: Vec<String>,
    values: Vec<f32>,
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|cause| DataError::Read { path: path.into(), cause })
}

fn cell(path: &Path, line: usize, column: &str, expected: &'static str, found: &str) -> DataError {
    let place = Place::Line(line as u64 + 1);
    let (path, column, found) = (path.into(), column.into(), found.into());
    DataError::Cell { path, place, column, expected, found }
}

impl Attributes {
    /// A line with the number of images, one with the names of the attributes, and one for each image
    /// with 1 and -1.
    fn read(path: &Path) -> Result<Self> {
        let text = text(path)?;
        let malformed = |reason: String| DataError::Malformed {
            path: path.into(),
            format: "list of attributes",
            reason,
        };
        let mut lines = text.lines().enumerate();
        let count = lines.next().and_then(|(_, line)| line.trim().parse::<usize>().ok());
        let count =
            count.ok_or_else(|| malformed("its first line is no number of images".into()))?;
        let names: Vec<String> =
            lines.next().unwrap_or_default().1.split_whitespace().map(String::from).collect();
        if names.len() != ATTRIBUTES {
            return Err(malformed(format!(
                "expected {ATTRIBUTES} attributes, found {}",
                names.len()
            )));
        }
        let (mut images, mut values) = (Vec::new(), Vec::new());
        for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let mut cells = line.split_whitespace();
            images.push(cells.next().unwrap_or_default().to_owned());
            let before = values.len();
            for (name, found) in names.iter().zip(cells) {
                values.push(match found {
                    "1" => 1.0,
                    "-1" | "0" => 0.0,
                    found => return Err(cell(path, at, name, "1 or -1", found)),
                });
            }
            if values.len() - before != ATTRIBUTES {
                let found = (values.len() - before).to_string();
                return Err(cell(path, at, "attributes", "a value for each of 40", &found));
            }
        }
        if images.len() != count {
            return Err(malformed(format!("it says {count} images and has {}", images.len())));
        }
        Ok(Self { names, images, values })
    }
}

/// The split of each image: 0 for training, 1 for validation, 2 to test.
fn partition(path: &Path) -> Result<HashMap<String, usize>> {
    let text = text(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            let (image, part) = line.trim().split_once(char::is_whitespace).unwrap_or((line, ""));
            let part = match part.trim() {
                "0" => 0,
                "1" => 1,
                "2" => 2,
                found => return Err(cell(path, at, "split", "0, 1 or 2", found)),
            };
            Ok((image.to_owned(), part))
        })
        .collect()
}

/// Images whose shorter side is made as long as that of `size`, of which the middle is kept.
fn images(folder: &Path, names: &[String], size: [u32; 2]) -> Result<ModalityTable> {
    let [height, width] = size;
    let bytes = (height * width) as usize;
    let mut values = vec![0u8; names.len() * 3 * bytes];
    let mut rows: Vec<(&String, &mut [u8])> =
        names.iter().zip(values.chunks_exact_mut(3 * bytes)).collect();
    rows.par_iter_mut().try_for_each(|(name, out)| {
        let path: PathBuf = folder.join(name);
        let read = |cause| DataError::Read { path: path.clone(), cause };
        let file = fs::read(&path).map_err(read)?;
        let picture = image::load_from_memory(&file).map_err(|error| DataError::Malformed {
            path: path.clone(),
            format: "JPEG or PNG",
            reason: error.to_string(),
        })?;
        let (own_height, own_width) = (picture.height(), picture.width());
        let larger = f64::from(height) / f64::from(own_height);
        let scale = larger.max(f64::from(width) / f64::from(own_width));
        let scaled = |own: u32, least: u32| ((f64::from(own) * scale) as u32).max(least);
        let (tall, wide) = (scaled(own_height, height), scaled(own_width, width));
        let picture = picture.resize_exact(wide, tall, FilterType::Triangle);
        let picture = picture.crop_imm((wide - width) / 2, (tall - height) / 2, width, height);
        for (place, pixel) in picture.to_rgb8().pixels().enumerate() {
            for (channel, value) in pixel.0.into_iter().enumerate() {
                out[channel * bytes + place] = value;
            }
        }
        Ok::<_, DataError>(())
    })?;
    let shape = vec![names.len(), 3, height as usize, width as usize];
    let numbers = Numbers::Bytes(values);
    Array { name: "image".into(), shape, dtype: Dtype::U8, numbers }.block(folder)
}

#[cfg(test)]
mod tests {
    use multivae_core::dataset::Dataset;

    use super::*;
    use crate::{
        DataConfig,
        fixture::{Folder, png},
    };

    /// Six faces, of which the fifth is for validation and the last to test.
    fn folder(said: usize, fourth: &str) -> Folder {
        let names: Vec<String> = (0..40).map(|place| format!("A{place}")).collect();
        let mut list = format!("{said}\n{}\n", names.join(" "));
        let mut parts = String::new();
        let mut all = Vec::new();
        for face in 0..6u8 {
            let value = |place: u8| if (place + face).is_multiple_of(3) { " 1" } else { "-1" };
            let values: Vec<&str> = (0..40)
                .map(|place| if face == 3 && place == 0 { fourth } else { value(place) })
                .collect();
            list += &format!("00000{face}.jpg {}\n", values.join(" "));
            parts += &format!("00000{face}.jpg {}\n", [0, 0, 0, 0, 1, 2][usize::from(face)]);
            all.push((format!("celeba/img_align_celeba/00000{face}.jpg"), png(178, 218, face * 9)));
        }
        all.push(("celeba/list_attr_celeba.txt".into(), list.into_bytes()));
        all.push(("celeba/list_eval_partition.txt".into(), parts.into_bytes()));
        Folder::new(all.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())))
    }

    #[test]
    fn faces_and_attributes_are_read_with_the_published_splits() {
        let folder = folder(6, "1");
        let config = DataConfig::new(format!("celeba:{}", folder.source()));
        let splits = config.open().map_err(|error| folder.message(error)).expect("whole");
        assert_eq!((splits.train.len(), splits.valid.len(), splits.test.len()), (4, 1, 1));
        let specs = splits.test.modalities();
        assert_eq!((&specs[0].shape[..], &specs[1].shape[..]), (&[3, 64, 64][..], &[18][..]));
        assert_eq!(specs[1].likelihood, Likelihood::Bernoulli {});
        assert_eq!(splits.test.id(0), "000005.jpg");
        assert_eq!(splits.test.values(0)[4096], 45.0 / 255.0);
        let expected: Vec<f32> = VISIBLE
            .iter()
            .map(|place| f32::from(u8::from((place + 5).is_multiple_of(3))))
            .collect();
        assert_eq!(splits.test.values(1), expected);
        let columns = splits.record.schema.modalities[1].columns.clone().expect("names");
        assert_eq!((columns.len(), columns[17].as_str()), (18, "A35"));
        let all = DataConfig::new(format!("celeba-40:{}", folder.source())).open();
        assert_eq!(all.expect("whole").test.modalities()[1].shape, [40]);
    }

    #[test]
    fn the_middle_of_a_face_is_kept() {
        let mut picture = image::RgbImage::new(4, 8);
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            *pixel = image::Rgb([x as u8 * 10, y as u8 * 10, 7]);
        }
        let folder = Folder::new([]);
        picture.save(folder.path("a.png")).expect("writable");
        let table = images(&folder.path(""), &["a.png".to_owned()], [4, 4]).expect("a picture");
        let mut values = vec![0.0; 48];
        table.values.read(0, &mut values).expect("in memory");
        let values: Vec<u8> = values.iter().map(|value| (value * 255.0).round() as u8).collect();
        assert_eq!(values[..4], [0, 10, 20, 30]);
        assert_eq!([values[16], values[28], values[32]], [20, 50, 7], "lines 2 to 5 of 8");
    }

    #[test]
    fn lists_that_are_none_are_refused_by_line() {
        let refused = |folder: Folder| {
            let config = DataConfig::new(format!("celeba:{}", folder.source()));
            folder.message(config.open().map(|_| ()).expect_err("refused"))
        };
        let found = refused(folder(7, "1"));
        assert!(found.ends_with("it says 7 images and has 6"), "{found}");
        let found = refused(folder(6, "yes"));
        let expected =
            "`celeba/list_attr_celeba.txt`, line 6, column `A0`: expected 1 or -1, found `yes`";
        assert_eq!(found, expected);
        let lacking = folder(6, "1");
        std::fs::remove_file(lacking.path("celeba/img_align_celeba/000002.jpg")).expect("there");
        let found = refused(lacking);
        assert!(found.contains("`celeba/img_align_celeba/000002.jpg` cannot be read"), "{found}");
    }
}
