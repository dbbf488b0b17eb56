//! Folders of images.

use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageReader, imageops::FilterType};
use multivae_core::schema::{Dtype, ValueScale};
use rayon::prelude::*;

use super::{Ids, ModalityTable, ReadOptions, entries, image_scale, name, stem};
use crate::{
    error::{DataError, Result},
    memory::Storage,
    report::Warning,
};

/// The PNG and JPEG images of a folder, by name: `[channels, height, width]` in `[0, 1]`.
///
/// Grey images have one channel and others three; what is transparent is laid on black. Images of
/// 16 bits are scaled by as many bits as their values take, see [`image_scale`]. The identifier of
/// an image is its file's name without the extension. Channels and size are changed if that is said.
pub(super) fn block(folder: &Path, said: ReadOptions) -> Result<ModalityTable> {
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
    let images: Vec<_> = paths.par_iter().map(|path| decode(path, said)).collect();
    let images: Vec<Decoded> = images.into_iter().collect::<Result<_>>()?;
    let shape = images[0].shape;
    if let Some(other) = images.iter().position(|image| image.shape != shape) {
        let size = |[channels, height, width]: [usize; 3]| {
            let colour = if channels == 1 { "grey" } else { "colour" };
            format!("{width}x{height}, {colour} ({channels} channels)")
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
    let mut notes = Vec::new();
    let transparent = images.iter().filter(|image| image.transparent).count();
    if transparent > 0 {
        let found = format!("{transparent} images have transparent parts, which are laid on black");
        let remedy = "remove the transparency if another background is meant";
        notes.push(Warning::new(name(folder), found, remedy));
    }
    let rows = images.len();
    let (values, dtype, scale) = join(images);
    if scale.factor != 255.0 && scale.factor != 65535.0 && !scale.is_identity() {
        let found = format!("values of 16-bit images go up to {} only", scale.factor);
        notes.push(Warning::note(name(folder), found));
    }
    Ok(ModalityTable {
        path: folder.into(),
        ids: Some(Ids { column: None, reason: "names of the files".into(), ids }),
        candidates: Vec::new(),
        shape: shape.to_vec(),
        columns: None,
        words: Vec::new(),
        table: None,
        rows,
        values,
        missing: None,
        dtype,
        scale,
        notes,
        layout: None,
    })
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    !path.is_dir() && ["png", "jpg", "jpeg"].iter().any(|known| extension == *known)
}

struct Decoded {
    shape: [usize; 3],
    pixels: Pixels,
    /// Whether a pixel is not fully opaque.
    transparent: bool,
}

/// Channel by channel.
enum Pixels {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

fn decode(path: &PathBuf, said: ReadOptions) -> Result<Decoded> {
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
    let image = match said.resize {
        Some([height, width]) => image.resize_exact(width, height, FilterType::Triangle),
        None => image,
    };
    let (height, width) = (image.height() as usize, image.width() as usize);
    let own = if image.color().has_color() { 3 } else { 1 };
    let channels = said.channels.unwrap_or(own);
    let deep = !matches!(
        image,
        DynamicImage::ImageLuma8(_)
            | DynamicImage::ImageLumaA8(_)
            | DynamicImage::ImageRgb8(_)
            | DynamicImage::ImageRgba8(_)
    );
    let alpha: Option<Vec<u16>> = image.color().has_alpha().then(|| {
        // Opaque is the type's largest value.
        let pixels = image.to_rgba16().into_raw();
        pixels.into_iter().skip(3).step_by(4).collect()
    });
    let transparent = alpha.as_ref().is_some_and(|alpha| alpha.iter().any(|&a| a < u16::MAX));
    let pixels = match (deep, channels) {
        (false, 1) => Pixels::Bytes(image.into_luma8().into_raw()),
        (false, _) => Pixels::Bytes(planes(&image.into_rgb8().into_raw())),
        // Bytes would cut 16 bits.
        (true, 1) => Pixels::Words(image.into_luma16().into_raw()),
        (true, _) => Pixels::Words(planes(&image.into_rgb16().into_raw())),
    };
    let pixels = match (pixels, alpha.filter(|_| transparent)) {
        (pixels, None) => pixels,
        (Pixels::Bytes(pixels), Some(alpha)) => {
            let on_black = |(value, &alpha): (u8, &u16)| {
                (u32::from(value) * u32::from(alpha) / u32::from(u16::MAX)) as u8
            };
            Pixels::Bytes(pixels.into_iter().zip(alpha.iter().cycle()).map(on_black).collect())
        }
        (Pixels::Words(pixels), Some(alpha)) => {
            let on_black = |(value, &alpha): (u16, &u16)| {
                (u64::from(value) * u64::from(alpha) / u64::from(u16::MAX)) as u16
            };
            Pixels::Words(pixels.into_iter().zip(alpha.iter().cycle()).map(on_black).collect())
        }
    };
    Ok(Decoded { shape: [channels, height, width], pixels, transparent })
}

/// Channel by channel, from pixel by pixel.
fn planes<T: Copy>(pixels: &[T]) -> Vec<T> {
    (0..3).flat_map(|channel| pixels[channel..].iter().step_by(3).copied()).collect()
}

/// One after the other, as bytes if all are; with their type and scale.
fn join(images: Vec<Decoded>) -> (Storage, Dtype, ValueScale) {
    if images.iter().all(|image| matches!(image.pixels, Pixels::Bytes(_))) {
        let bytes = images.into_iter().flat_map(|image| match image.pixels {
            Pixels::Bytes(pixels) => pixels,
            Pixels::Words(_) => Vec::new(),
        });
        return (Storage::Bytes(bytes.collect()), Dtype::U8, ValueScale::up_to(255.0));
    }
    let mut values = Vec::new();
    for image in images {
        match image.pixels {
            // White is white in both.
            Pixels::Bytes(pixels) => values.extend(pixels.iter().map(|&b| f32::from(b) * 257.0)),
            Pixels::Words(pixels) => values.extend(pixels.iter().map(|&word| f32::from(word))),
        }
    }
    let values = Storage::Floats(values);
    let (low, high, _) = values.extent();
    let scale = image_scale(3, true, low, high);
    (values.rescaled(ValueScale::IDENTITY, scale), Dtype::U16, scale)
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
        let rgba = RgbaImage::from_pixel(2, 1, image::Rgba([100, 200, 50, 51]));
        rgba.save(folder.path().join("a.png")).expect("writable");
        let block = block(folder.path(), ReadOptions::default()).expect("two images");
        assert_eq!(block.ids.expect("names").ids, ["a", "b"]);
        assert_eq!(block.shape, [3, 1, 2]);
        assert_eq!(
            block.values,
            Storage::Bytes(vec![20, 20, 40, 40, 10, 10, 10, 10, 20, 21, 30, 30])
        );
    }

    #[test]
    fn jpeg_and_16_bit_images_are_read() {
        let folder = folder();
        let deep = ImageBuffer::<Luma<u16>, _>::from_pixel(8, 8, Luma([257 * 100]));
        deep.save(folder.path().join("a.png")).expect("writable");
        let flat = GrayImage::from_pixel(8, 8, Luma([100]));
        flat.save(folder.path().join("b.jpg")).expect("writable");
        let block = block(folder.path(), ReadOptions::default()).expect("two images");
        assert_eq!(block.shape, [1, 8, 8]);
        let Storage::Floats(values) = block.values else { panic!("16 bits do not fit bytes") };
        assert!(values.iter().all(|value| (value - 100.0 / 255.0).abs() < 0.01), "{values:?}");
    }

    #[test]
    fn twelve_bits_in_files_of_sixteen_are_scaled_by_twelve() {
        let folder = folder();
        let deep = ImageBuffer::<Luma<u16>, _>::from_fn(2, 1, |x, _| Luma([x as u16 * 3531]));
        deep.save(folder.path().join("a.png")).expect("writable");
        let block = block(folder.path(), ReadOptions::default()).expect("one image");
        assert_eq!((block.scale, block.dtype), (ValueScale::up_to(4095.0), Dtype::U16));
        assert_eq!(block.values, Storage::Floats(vec![0.0, (3531.0 / 4095.0f64) as f32]));
        assert_eq!(block.notes.len(), 1);
    }

    #[test]
    fn channels_and_size_are_changed_on_request() {
        let folder = folder();
        GrayImage::from_pixel(2, 2, Luma([9])).save(folder.path().join("a.png")).expect("writable");
        let rgb = RgbImage::from_pixel(4, 6, Rgb([30, 30, 30]));
        rgb.save(folder.path().join("b.png")).expect("writable");
        let said = |channels| ReadOptions {
            channels: Some(channels),
            resize: Some([3, 2]),
            ..ReadOptions::default()
        };
        let colour = block(folder.path(), said(3)).expect("two images");
        assert_eq!(colour.shape, [3, 3, 2]);
        let expected = [vec![9; 18], vec![30; 18]].concat();
        assert_eq!(colour.values, Storage::Bytes(expected));
        let grey = block(folder.path(), said(1)).expect("two images");
        assert_eq!((grey.shape, grey.values.len()), (vec![1, 3, 2], 12));
    }

    #[test]
    fn images_of_different_size_are_refused_with_both() {
        let folder = folder();
        GrayImage::new(2, 1).save(folder.path().join("a.png")).expect("writable");
        GrayImage::new(2, 2).save(folder.path().join("b.png")).expect("writable");
        let error =
            block(folder.path(), ReadOptions::default()).expect_err("two sizes").to_string();
        assert!(error.contains("b.png` is 2x2, grey (1 channels), and"), "{error}");
        assert!(error.contains("a.png` is 2x1, grey (1 channels)"), "{error}");
    }

    #[test]
    fn truncated_foreign_and_no_images_are_refused() {
        let folder = folder();
        assert!(matches!(
            block(folder.path(), ReadOptions::default()),
            Err(DataError::EmptyFile { .. })
        ));
        let path = folder.path().join("a.png");
        GrayImage::new(20, 20).save(&path).expect("writable");
        let bytes = fs::read(&path).expect("readable");
        for bytes in [&bytes[..bytes.len() / 2], b"id,a\n"] {
            fs::write(&path, bytes).expect("writable");
            let error =
                block(folder.path(), ReadOptions::default()).expect_err("not whole").to_string();
            assert!(error.contains("a.png` is not a valid PNG or JPEG file"), "{error}");
        }
        fs::write(folder.path().join("a.gif"), b"GIF89a").expect("writable");
        let error =
            block(folder.path(), ReadOptions::default()).expect_err("another kind").to_string();
        assert!(error.contains("a.gif`: expected a `.png`"), "{error}");
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        let folder = folder();
        for file in ["a.png", "a.jpg"] {
            GrayImage::new(8, 8).save(folder.path().join(file)).expect("writable");
        }
        let error = block(folder.path(), ReadOptions::default()).expect_err("twice").to_string();
        assert!(error.contains("identifier `a` is given twice"), "{error}");
    }
}
