//! Folders of images.

use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageReader};
use rayon::prelude::*;

use super::{Block, entries, stem};
use crate::{
    error::{DataError, Result},
    memory::Storage,
};

/// The PNG and JPEG images of a folder, by name: `[channels, height, width]` in `[0, 1]`.
///
/// Grey images have one channel and others three; transparency is left out. The identifier of an
/// image is its file's name without the extension.
pub(super) fn block(folder: &Path) -> Result<Block> {
    let paths = entries(folder)?;
    if paths.is_empty() {
        return Err(DataError::EmptyFile { path: folder.into(), reason: "it has no images" });
    }
    if let Some(path) = paths.iter().find(|path| !is_image(path)) {
        return Err(DataError::UnsupportedFile {
            path: path.clone(),
            expected: "a `.png`, `.jpg` or `.jpeg` image",
        });
    }
    let images: Vec<_> = paths.par_iter().map(decode).collect();
    let images: Vec<Decoded> = images.into_iter().collect::<Result<_>>()?;
    let shape = images[0].shape;
    if let Some(other) = images.iter().position(|image| image.shape != shape) {
        let size = |[channels, height, width]: [usize; 3]| {
            format!("{width}x{height} with {channels} channels")
        };
        return Err(DataError::ImageSize {
            path: paths[other].clone(),
            found: size(images[other].shape),
            first: paths[0].clone(),
            expected: size(shape),
        });
    }
    let ids: Vec<String> = paths.iter().map(|path| stem(path)).collect();
    super::check_ids(folder, &ids)?;
    let missing = vec![false; images.len()];
    Ok(Block {
        path: folder.into(),
        ids: Some(ids),
        shape: shape.to_vec(),
        values: join(images),
        missing,
    })
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    !path.is_dir() && ["png", "jpg", "jpeg"].iter().any(|known| extension == *known)
}

struct Decoded {
    shape: [usize; 3],
    pixels: Pixels,
}

/// Channel by channel.
enum Pixels {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

fn decode(path: &PathBuf) -> Result<Decoded> {
    let read = |cause| DataError::Read { path: path.clone(), cause };
    // By its contents: a JPEG that is called `.png` is common.
    let image = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(read)?
        .decode()
        .map_err(|error| DataError::Malformed {
            path: path.clone(),
            format: "PNG or JPEG",
            reason: error.to_string(),
        })?;
    let (height, width) = (image.height() as usize, image.width() as usize);
    let channels = if image.color().has_color() { 3 } else { 1 };
    let pixels = match &image {
        DynamicImage::ImageLuma8(_) | DynamicImage::ImageLumaA8(_) => {
            Pixels::Bytes(image.into_luma8().into_raw())
        }
        DynamicImage::ImageRgb8(_) | DynamicImage::ImageRgba8(_) => {
            Pixels::Bytes(planes(&image.into_rgb8().into_raw()))
        }
        // 16 bits a channel, which bytes would cut.
        _ if channels == 1 => {
            let pixels = image.into_luma16().into_raw();
            Pixels::Floats(pixels.into_iter().map(|v| f32::from(v) / 65535.0).collect())
        }
        _ => Pixels::Floats(planes(&image.into_rgb32f().into_raw())),
    };
    Ok(Decoded { shape: [channels, height, width], pixels })
}

/// Channel by channel, from pixel by pixel.
fn planes<T: Copy>(pixels: &[T]) -> Vec<T> {
    (0..3).flat_map(|channel| pixels[channel..].iter().step_by(3).copied()).collect()
}

/// One after the other; as bytes if all are.
fn join(images: Vec<Decoded>) -> Storage {
    let mut bytes = Vec::new();
    let all_bytes = images.iter().all(|image| matches!(image.pixels, Pixels::Bytes(_)));
    let mut floats = Vec::new();
    for image in images {
        match image.pixels {
            Pixels::Bytes(pixels) if all_bytes => bytes.extend(pixels),
            Pixels::Bytes(pixels) => floats.extend(pixels.iter().map(|&b| f32::from(b) / 255.0)),
            Pixels::Floats(pixels) => floats.extend(pixels),
        }
    }
    if all_bytes { Storage::Bytes(bytes) } else { Storage::Floats(floats) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage, RgbaImage};

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[test]
    fn images_are_read_channel_by_channel_with_their_names() {
        let folder = folder();
        let rgb = RgbImage::from_fn(2, 1, |x, _| Rgb([10, 20 + x as u8, 30]));
        rgb.save(folder.path().join("b.png")).expect("writable");
        let rgba = RgbaImage::from_pixel(2, 1, image::Rgba([1, 2, 3, 4]));
        rgba.save(folder.path().join("a.png")).expect("writable");
        let block = block(folder.path()).expect("two images");
        assert_eq!(block.ids, Some(vec!["a".into(), "b".into()]));
        assert_eq!(block.shape, [3, 1, 2]);
        assert_eq!(block.values, Storage::Bytes(vec![1, 1, 2, 2, 3, 3, 10, 10, 20, 21, 30, 30]));
    }

    #[test]
    fn jpeg_and_16_bit_images_are_read() {
        let folder = folder();
        let deep = ImageBuffer::<Luma<u16>, _>::from_pixel(8, 8, Luma([257 * 100]));
        deep.save(folder.path().join("a.png")).expect("writable");
        let flat = GrayImage::from_pixel(8, 8, Luma([100]));
        flat.save(folder.path().join("b.jpg")).expect("writable");
        let block = block(folder.path()).expect("two images");
        assert_eq!(block.shape, [1, 8, 8]);
        let Storage::Floats(values) = block.values else { panic!("16 bits do not fit bytes") };
        assert!(values.iter().all(|value| (value - 100.0 / 255.0).abs() < 0.01), "{values:?}");
    }

    #[test]
    fn images_of_different_size_are_refused_with_both() {
        let folder = folder();
        GrayImage::new(2, 1).save(folder.path().join("a.png")).expect("writable");
        GrayImage::new(2, 2).save(folder.path().join("b.png")).expect("writable");
        let error = block(folder.path()).expect_err("two sizes").to_string();
        assert!(error.contains("b.png` is 2x2 with 1 channels, and"), "{error}");
        assert!(error.contains("a.png` is 2x1 with 1 channels"), "{error}");
    }

    #[test]
    fn truncated_foreign_and_no_images_are_refused() {
        let folder = folder();
        assert!(matches!(block(folder.path()), Err(DataError::EmptyFile { .. })));
        let path = folder.path().join("a.png");
        GrayImage::new(20, 20).save(&path).expect("writable");
        let bytes = fs::read(&path).expect("readable");
        for bytes in [&bytes[..bytes.len() / 2], b"id,a\n"] {
            fs::write(&path, bytes).expect("writable");
            let error = block(folder.path()).expect_err("not whole").to_string();
            assert!(error.contains("a.png` is not a valid PNG or JPEG file"), "{error}");
        }
        fs::write(folder.path().join("a.gif"), b"GIF89a").expect("writable");
        let error = block(folder.path()).expect_err("another kind").to_string();
        assert!(error.contains("a.gif`: expected a `.png`"), "{error}");
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        let folder = folder();
        for file in ["a.png", "a.jpg"] {
            GrayImage::new(8, 8).save(folder.path().join(file)).expect("writable");
        }
        let error = block(folder.path()).expect_err("twice").to_string();
        assert!(error.contains("identifier `a` is given twice"), "{error}");
    }
}
