//! Folders of images.

use std::{
    collections::HashMap,
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use image::{
    DynamicImage, GrayImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, RgbImage,
    imageops::FilterType, metadata::Orientation,
};
use multivae_core::schema::{Background, Channels, Dtype, ValueScale};
use rayon::prelude::*;

use super::{
    Array, Ids, LabelFile, ModalityTable, Numbers, ReadOptions, TextTable, entries,
    format::{Content, Format},
    image_scale, name, palette, stem, tiff,
};
use crate::{
    error::{DataError, Place, Result},
    report::Warning,
    storage::Storage,
};

/// The name of the column of classes that folders stand for.
const CLASS: &str = "class";

/// Folders of images.
pub(super) struct Images;

impl Format for Images {
    fn name(&self) -> &'static str {
        "images"
    }

    fn called(&self) -> &'static str {
        "a folder of `.png`, `.jpg` or `.tif` images"
    }

    fn content(&self) -> Content {
        Content::Images
    }

    fn is(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn block(&self, path: &Path, said: ReadOptions) -> Result<ModalityTable> {
        block(path, said)
    }

    fn labels(&self, path: &Path, _said: ReadOptions) -> Result<LabelFile> {
        match classes(path)? {
            Some(table) => Ok(LabelFile::Table(table)),
            None => Err(DataError::UnsupportedFile {
                path: path.into(),
                expected: "a file of labels, or a folder of images with a folder for each class",
            }),
        }
    }
}

/// The PNG, JPEG and TIFF images of a folder, by name: `[channels, height, width]` in `[0, 1]`.
///
/// Grey images have one channel and others three; what is transparent is laid on black. Images of
/// 16 bits are scaled by as many bits as their values take, see [`image_scale`]. Photographs are
/// turned as their EXIF orientation says. Floats and signed integers of TIFF stay as they are, and so
/// do classes of pixels, which in images with a palette are its indices. The identifier of an image is its file's name without the
/// extension. Channels, size and background are others if that is said.
///
/// If the folder holds folders, each is a class, and holds the images of it.
fn block(folder: &Path, said: ReadOptions) -> Result<ModalityTable> {
    let Listed { paths, ids, classes } = Listed::of(folder)?;
    let images: Vec<_> = paths.par_iter().map(|path| decode(path, said)).collect();
    let images: Vec<Decoded> = images.into_iter().collect::<Result<_>>()?;
    check_sizes(&paths, &images)?;
    let shape = images[0].shape;
    super::check_ids(folder, &ids)?;
    let mut notes = Vec::new();
    if classes.is_some() {
        notes.push(Warning::note(name(folder), "its folders are taken for classes"));
    }
    notes.extend(about_transparency(folder, &images, said));
    let turned = images.iter().filter(|image| image.turned).count();
    if turned > 0 {
        let found = format!("{turned} images are turned as their EXIF orientation says");
        notes.push(Warning::note(name(folder), found));
    }
    if !said.images.is_identity() {
        let changed = images.iter().filter(|image| image.changed).count();
        if changed > 0 {
            let [channels, height, width] = shape;
            let found = format!(
                "{changed} of {} images are made {width}x{height} with {channels} channels",
                images.len()
            );
            notes.push(Warning::note(name(folder), found));
        }
    }
    notes.extend(about_pixels(folder, &paths, &images, said));
    let rows = images.len();
    let ids = Some(Ids { column: None, reason: "names of the files".into(), ids });
    if images.iter().any(|image| matches!(image.pixels, Pixels::Numbers(..))) {
        let mut block = numbers(folder, &paths, images)?.block(folder)?;
        (block.ids, block.notes) = (ids, notes);
        return Ok(block);
    }
    let is_classes = said.images.label_map == Some(true);
    let (values, dtype, scale) = if is_classes { classes_of(images) } else { join(images)? };
    if scale.factor != 255.0 && scale.factor != 65535.0 && !scale.is_identity() {
        let found = format!("values of 16-bit images go up to {} only", scale.factor);
        notes.push(Warning::note(name(folder), found));
    }
    Ok(ModalityTable {
        path: folder.into(),
        ids,
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
        matrix: false,
        layout: None,
    })
}

/// The images of a folder.
struct Listed {
    paths: Vec<PathBuf>,
    ids: Vec<String>,
    /// The class of each, if they lie in folders of classes.
    classes: Option<Vec<String>>,
}

impl Listed {
    fn of(folder: &Path) -> Result<Self> {
        let found = entries(folder)?;
        let (folders, files): (Vec<_>, Vec<_>) = found.into_iter().partition(|path| path.is_dir());
        if folders.is_empty() && files.is_empty() {
            return Err(DataError::EmptyFile { path: folder.into(), reason: "it has no images" });
        }
        if let (Some(path), Some(_)) = (files.first(), folders.first()) {
            return Err(DataError::UnsupportedFile {
                path: path.clone(),
                expected: "either images in a folder or folders of classes, not both",
            });
        }
        let mut paths = Vec::new();
        let mut classes = Vec::new();
        for class in &folders {
            let own = entries(class)?;
            if own.is_empty() {
                return Err(DataError::EmptyFile {
                    path: class.clone(),
                    reason: "it has no images",
                });
            }
            classes.extend(own.iter().map(|_| name(class)));
            paths.extend(own);
        }
        paths.extend(files);
        if let Some(path) = paths.iter().find(|path| !is_image(path)) {
            return Err(DataError::UnsupportedFile {
                path: path.clone(),
                expected: "a `.png`, `.jpg`, `.jpeg`, `.tif` or `.tiff` image",
            });
        }
        let classes = (!classes.is_empty()).then_some(classes);
        let stems: Vec<String> = paths.iter().map(|path| stem(path)).collect();
        let ids = match &classes {
            // Numbers that begin anew in every class are no identifiers.
            Some(classes) if super::check_ids(folder, &stems).is_err() => {
                classes.iter().zip(&stems).map(|(class, stem)| format!("{class}/{stem}")).collect()
            }
            _ => stems,
        };
        Ok(Self { paths, ids, classes })
    }
}

/// The class of each image, if the folder has a folder for each class.
fn classes(folder: &Path) -> Result<Option<TextTable>> {
    let Listed { ids, classes, .. } = Listed::of(folder)?;
    let places = (0..ids.len() as u64).map(Place::Row).collect();
    Ok(classes.map(|classes| TextTable {
        path: folder.into(),
        columns: vec![("id".into(), ids), (CLASS.into(), classes)],
        named: true,
        places,
        id: Some(0),
        wanted: Some(1),
        notes: Vec::new(),
    }))
}

/// Labels: those that are given, or else the classes that lie in folders of images.
///
/// # Errors
///
/// [`DataError::Value`] if an image lies in folders of different classes.
pub(crate) fn labels_of(
    folders: &[PathBuf],
    given: Option<LabelFile>,
    notes: &mut Vec<Warning>,
) -> Result<Option<LabelFile>> {
    let tables = folders.iter().map(|folder| classes(folder)).collect::<Result<Vec<_>>>()?;
    let mut tables = tables.into_iter().flatten();
    let Some(mut all) = tables.next() else { return Ok(given) };
    if given.is_some() {
        let found = "its folders are not taken for labels, since a file of labels is given";
        notes.push(Warning::new(
            name(&all.path),
            found,
            "remove the file if the folders are right",
        ));
        return Ok(given);
    }
    for table in tables {
        let known: HashMap<String, String> =
            all.columns[0].1.iter().cloned().zip(all.columns[1].1.iter().cloned()).collect();
        let [(_, ids), (_, classes)] = &table.columns[..] else { continue };
        for (id, class) in ids.iter().zip(classes) {
            match known.get(id) {
                Some(other) if other != class => {
                    return Err(DataError::Value {
                        modality: "labels".into(),
                        row: id.clone(),
                        expected: format!("class `{other}` as in `{}`", all.path.display()),
                        found: format!("{class} in {}", table.path.display()),
                    });
                }
                Some(_) => {}
                None => {
                    all.columns[0].1.push(id.clone());
                    all.columns[1].1.push(class.clone());
                    all.places.push(Place::Row(all.places.len() as u64));
                }
            }
        }
    }
    Ok(Some(LabelFile::Table(all)))
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    !path.is_dir() && ["png", "jpg", "jpeg", "tif", "tiff"].iter().any(|known| extension == *known)
}

/// Refuses images of several sizes; says how many are like the first that differs.
fn check_sizes(paths: &[PathBuf], images: &[Decoded]) -> Result<()> {
    let shape = images[0].shape;
    let Some(other) = images.iter().position(|image| image.shape != shape) else { return Ok(()) };
    let size = |[channels, height, width]: [usize; 3]| {
        let colour = ["grey", "colour", "colour with alpha"][channels / 2];
        format!("{width}x{height}, {colour} ({channels} channels)")
    };
    let alike = images.iter().filter(|image| image.shape == images[other].shape).count();
    let alike = match alike {
        1 => String::new(),
        _ => format!(" as {alike} of {} images are", images.len()),
    };
    Err(DataError::ImageSize {
        path: paths[other].clone(),
        found: size(images[other].shape) + &alike,
        first: paths[0].clone(),
        expected: size(shape),
    })
}

/// What became of transparent parts.
fn about_transparency(folder: &Path, images: &[Decoded], said: ReadOptions) -> Option<Warning> {
    let count = images.iter().filter(|image| image.transparent).count();
    if count == 0 || said.images.channels == Some(Channels::Alpha) {
        return None;
    }
    let done = match said.images.background {
        None | Some(Background::Black) => "are laid on black",
        Some(Background::White) => "are laid on white",
        Some(Background::Ignore) => "are taken as if they were opaque",
    };
    let found = format!("{count} images have transparent parts, which {done}");
    Some(match said.images.background {
        Some(_) => Warning::note(name(folder), found),
        None => {
            let remedy = "say another background, or keep transparency as a channel, with \
                          `--background` and `--channels alpha` or in a manifest";
            Warning::new(name(folder), found, remedy)
        }
    })
}

struct Decoded {
    shape: [usize; 3],
    pixels: Pixels,
    /// Whether a pixel is not fully opaque.
    transparent: bool,
    /// Whether it was turned by its EXIF orientation.
    turned: bool,
    /// Whether it has other channels or another size than in its file.
    changed: bool,
    /// Whether its file says 0 is white.
    white_is_zero: bool,
    /// Whether its colours are of a palette.
    palette: bool,
}

/// Channel by channel.
enum Pixels {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
    /// Others than unsigned integers, of one channel.
    Numbers(Vec<f64>, Dtype),
}

impl Pixels {
    /// Whether all are alike.
    fn is_constant(&self) -> bool {
        fn alike<T: PartialEq>(values: &[T]) -> bool {
            values.windows(2).all(|pair| pair[0] == pair[1])
        }
        match self {
            Self::Bytes(pixels) => alike(pixels),
            Self::Words(pixels) => alike(pixels),
            Self::Numbers(pixels, _) => alike(pixels),
        }
    }

    fn dtype(&self) -> Dtype {
        match self {
            Self::Bytes(_) => Dtype::U8,
            Self::Words(_) => Dtype::U16,
            Self::Numbers(_, dtype) => *dtype,
        }
    }
}

/// Bytes of pixels for each byte of a file, at most: deflate packs 1032 equal bytes into one, and LZW
/// some more.
const UNPACKED: u64 = 1400;
/// Bytes of pixels that any file may claim, as they are packed: a blank page of bits takes few bytes.
const FREE: u64 = 2 << 20;

/// Refuses a header that claims more pixels than its file can hold, before any memory is asked for.
pub(crate) fn check_claim(path: &Path, claimed: u64, bytes: usize) -> Result<()> {
    if claimed <= FREE || claimed / UNPACKED <= bytes as u64 {
        return Ok(());
    }
    Err(DataError::Malformed {
        path: path.into(),
        format: "PNG, JPEG or TIFF",
        reason: format!("its header claims {claimed} bytes of pixels, in a file of {bytes} bytes"),
    })
}

fn decode(path: &PathBuf, said: ReadOptions) -> Result<Decoded> {
    let read = |cause| DataError::Read { path: path.clone(), cause };
    let malformed = |error: image::ImageError| DataError::Malformed {
        path: path.clone(),
        format: "PNG, JPEG or TIFF",
        reason: error.to_string(),
    };
    let bytes = fs::read(path).map_err(read)?;
    let page = if tiff::is(&bytes) { Some(tiff::page(path, &bytes)?) } else { None };
    let white_is_zero = page.is_some_and(|page| page.white_is_zero);
    if page.is_some_and(tiff::Page::is_of_numbers) {
        let ([height, width], values, dtype) = tiff::numbers(path, &bytes)?;
        let shape = [1, height, width];
        check_numbers(path, shape, dtype, said)?;
        let pixels = Pixels::Numbers(values, dtype);
        let (transparent, turned, changed, palette) = (false, false, false, false);
        return Ok(Decoded { shape, pixels, transparent, turned, changed, white_is_zero, palette });
    }
    let is_classes = said.images.label_map == Some(true);
    let palette = palette::is(&bytes);
    // By its contents: a JPEG that is called `.png` is common.
    let reader = match page {
        // Of BigTIFF the format is not guessed.
        Some(_) => ImageReader::with_format(Cursor::new(&bytes), ImageFormat::Tiff),
        None => ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(read)?,
    };
    let mut decoder = reader.into_decoder().map_err(malformed)?;
    // Pixels of fewer bits are held in bytes.
    let held = u64::from(decoder.color_type().bits_per_pixel());
    let own = palette::bits(&bytes).unwrap_or(held);
    check_claim(path, decoder.total_bytes() / held * own.clamp(1, held), bytes.len())?;
    // An orientation that cannot be read is none.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = match palette && is_classes {
        true => DynamicImage::ImageLuma8(palette::indices(path, &bytes)?),
        false => DynamicImage::from_decoder(decoder).map_err(malformed)?,
    };
    if white_is_zero {
        // As they are stored: a decoder shows them as they look.
        image.invert();
    }
    if is_classes && (image.color().has_color() || image.color().has_alpha()) {
        return Err(DataError::Type {
            path: path.display().to_string(),
            expected: "one class for each pixel, as grey or by a palette",
            found: "colours".into(),
        });
    }
    image.apply_orientation(orientation);
    let own = if image.color().has_color() { 3 } else { 1 };
    let transparent = image.color().has_alpha()
        && image.to_rgba16().as_raw().iter().skip(3).step_by(4).any(|&alpha| alpha < u16::MAX);
    let channels = said.images.channels.map_or(own, Channels::count);
    let keeps = said.images.channels == Some(Channels::Alpha);
    let image = if keeps { image } else { opaque(image, said.images.background) };
    let size = (image.height(), image.width());
    let image = match said.images.resize {
        Some([height, width]) if (height, width) != size => {
            // Between two classes there is none.
            let filter = if is_classes { FilterType::Nearest } else { FilterType::Triangle };
            image.resize_exact(width, height, filter)
        }
        _ => image,
    };
    let changed = channels != own || size != (image.height(), image.width());
    let (height, width) = (image.height() as usize, image.width() as usize);
    // Bytes would cut 16 bits.
    let pixels = match (is_deep(&image), channels) {
        (false, 1) => Pixels::Bytes(image.into_luma8().into_raw()),
        (false, 3) => Pixels::Bytes(planes(&image.into_rgb8().into_raw(), 3)),
        (false, _) => Pixels::Bytes(planes(&image.into_rgba8().into_raw(), 4)),
        (true, 1) => Pixels::Words(image.into_luma16().into_raw()),
        (true, 3) => Pixels::Words(planes(&image.into_rgb16().into_raw(), 3)),
        (true, _) => Pixels::Words(planes(&image.into_rgba16().into_raw(), 4)),
    };
    let turned = orientation != Orientation::NoTransforms;
    let shape = [channels, height, width];
    Ok(Decoded { shape, pixels, transparent, turned, changed, white_is_zero, palette })
}

/// Refuses to change values that are no shares of white.
fn check_numbers(path: &Path, shape: [usize; 3], dtype: Dtype, said: ReadOptions) -> Result<()> {
    let [_, height, width] = shape;
    let channels = said.images.channels.is_some_and(|channels| channels != Channels::Grey);
    let size = said.images.resize.is_some_and(|[h, w]| [h as usize, w as usize] != [height, width]);
    if !channels && !size {
        return Ok(());
    }
    Err(DataError::Type {
        path: path.display().to_string(),
        expected: "unsigned integers of 8 or 16 bits where channels or size are changed",
        found: dtype.to_string(),
    })
}

/// What looks wrong about the pixels of images.
fn about_pixels(
    folder: &Path,
    paths: &[PathBuf],
    images: &[Decoded],
    said: ReadOptions,
) -> Vec<Warning> {
    let count = |is: &dyn Fn(&Decoded) -> bool| {
        let first = images.iter().position(is)?;
        let count = images.iter().filter(|image| is(image)).count();
        Some(format!("{count} of {} images, as in `{}`", images.len(), name(&paths[first])))
    };
    let mut notes = Vec::new();
    // If all are, the modality is warned of.
    let constant = |image: &Decoded| image.pixels.is_constant();
    if images.len() > 1
        && images[0].shape[1..] != [1, 1]
        && let Some(which) = count(&constant)
    {
        notes.push(Warning::new(
            name(folder),
            format!("all pixels are alike in {which}"),
            "check how the images were saved: 16 bits that were cut to 8 look white",
        ));
    }
    if let Some(which) = count(&|image| image.white_is_zero) {
        let found = format!("0 is white by the file in {which}: values are as they are stored");
        notes.push(Warning::note(name(folder), found));
    }
    if said.images.label_map != Some(true)
        && let Some(which) = count(&|image| image.palette)
    {
        notes.push(Warning::new(
            name(folder),
            format!("the colours of palettes are read in {which}"),
            "if they are classes say `--label-map`, or `label_map = true` in a manifest",
        ));
    }
    notes
}

/// Images of which some are no unsigned integers, as an array.
fn numbers(folder: &Path, paths: &[PathBuf], images: Vec<Decoded>) -> Result<Array> {
    let dtype = images[0].pixels.dtype();
    if let Some(other) = images.iter().position(|image| image.pixels.dtype() != dtype) {
        return Err(DataError::Type {
            path: paths[other].display().to_string(),
            expected: "values of one type in all images",
            found: format!("{}` beside `{dtype}", images[other].pixels.dtype()),
        });
    }
    let mut shape = vec![images.len()];
    shape.extend(images[0].shape);
    let values = images.into_iter().flat_map(|image| match image.pixels {
        Pixels::Numbers(values, _) => values,
        Pixels::Bytes(_) | Pixels::Words(_) => Vec::new(),
    });
    let numbers = Numbers::Doubles(values.collect());
    Ok(Array { name: name(folder), shape, dtype, numbers })
}

/// Classes of pixels as they are stored.
fn classes_of(images: Vec<Decoded>) -> (Storage, Dtype, ValueScale) {
    let deep = images.iter().any(|image| matches!(image.pixels, Pixels::Words(_)));
    let values = images.into_iter().flat_map(|image| -> Vec<f32> {
        match image.pixels {
            Pixels::Bytes(pixels) => pixels.into_iter().map(f32::from).collect(),
            Pixels::Words(pixels) => pixels.into_iter().map(f32::from).collect(),
            Pixels::Numbers(..) => Vec::new(),
        }
    });
    let dtype = if deep { Dtype::U16 } else { Dtype::U8 };
    (Storage::Floats(values.collect()), dtype, ValueScale::IDENTITY)
}

fn is_deep(image: &DynamicImage) -> bool {
    !matches!(
        image,
        DynamicImage::ImageLuma8(_)
            | DynamicImage::ImageLumaA8(_)
            | DynamicImage::ImageRgb8(_)
            | DynamicImage::ImageRgba8(_)
    )
}

/// The image without transparency, laid on a background.
fn opaque(image: DynamicImage, background: Option<Background>) -> DynamicImage {
    let (width, height) = (image.width(), image.height());
    let background = background.unwrap_or(Background::Black);
    match image {
        DynamicImage::ImageLumaA8(image) => {
            let pixels = laid(image.as_raw(), 1, u8::MAX, background);
            GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8)
        }
        DynamicImage::ImageRgba8(image) => {
            let pixels = laid(image.as_raw(), 3, u8::MAX, background);
            RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
        }
        DynamicImage::ImageLumaA16(image) => {
            let pixels = laid(image.as_raw(), 1, u16::MAX, background);
            ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageLuma16)
        }
        DynamicImage::ImageRgba16(image) => {
            let pixels = laid(image.as_raw(), 3, u16::MAX, background);
            ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageRgb16)
        }
        other => Some(other),
    }
    .expect("there are as many pixels as before")
}

/// Pixels of `colours` values and how opaque they are, on a background; `top` is opaque and white.
fn laid<T: Copy + Into<u64> + TryFrom<u64>>(
    pixels: &[T],
    colours: usize,
    top: T,
    background: Background,
) -> Vec<T> {
    let top_value: u64 = top.into();
    let on = |value: T, alpha: u64| match background {
        Background::Ignore => value,
        _ => {
            let behind = if background == Background::White { top_value } else { 0 };
            let sum = value.into() * alpha + behind * (top_value - alpha);
            T::try_from(sum / top_value).unwrap_or(top)
        }
    };
    pixels
        .chunks_exact(colours + 1)
        .flat_map(|pixel| {
            pixel[..colours].iter().map(move |&value| on(value, pixel[colours].into()))
        })
        .collect()
}

/// Channel by channel, from pixel by pixel.
fn planes<T: Copy>(pixels: &[T], channels: usize) -> Vec<T> {
    (0..channels).flat_map(|channel| pixels[channel..].iter().step_by(channels).copied()).collect()
}

/// One after the other, as bytes if all are; with their type and scale.
fn join(images: Vec<Decoded>) -> Result<(Storage, Dtype, ValueScale)> {
    if images.iter().all(|image| matches!(image.pixels, Pixels::Bytes(_))) {
        let bytes = images.into_iter().flat_map(|image| match image.pixels {
            Pixels::Bytes(pixels) => pixels,
            Pixels::Words(_) | Pixels::Numbers(..) => Vec::new(),
        });
        return Ok((Storage::Bytes(bytes.collect()), Dtype::U8, ValueScale::up_to(255.0)));
    }
    let mut values = Vec::new();
    for image in images {
        match image.pixels {
            // White is white in both.
            Pixels::Bytes(pixels) => values.extend(pixels.iter().map(|&b| f32::from(b) * 257.0)),
            Pixels::Words(pixels) => values.extend(pixels.iter().map(|&word| f32::from(word))),
            Pixels::Numbers(..) => {}
        }
    }
    let values = Storage::Floats(values);
    let (low, high, _) = values.extent()?;
    let scale = image_scale(3, true, low, high);
    Ok((values.rescaled(ValueScale::IDENTITY, scale)?, Dtype::U16, scale))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage, RgbaImage};

    use multivae_core::schema::ImageConversion;

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
    fn images_that_look_cut_are_warned_of_and_16_bits_with_transparency_are_read() {
        let folder = folder();
        let deep = ImageBuffer::<image::LumaA<u16>, _>::from_fn(2, 1, |x, _| {
            image::LumaA([40_000 + x as u16, if x == 0 { u16::MAX } else { 32_768 }])
        });
        deep.save(folder.path().join("a.png")).expect("writable");
        GrayImage::from_pixel(2, 1, Luma([255])).save(folder.path().join("b.png")).expect("saved");
        let block = block(folder.path(), ReadOptions::default()).expect("two images");
        let Storage::Floats(values) = &block.values else { panic!("16 bits do not fit bytes") };
        // The second pixel is half transparent, on black.
        let expected = [40_000.0, 20_000.0, 65_535.0, 65_535.0].map(|value: f32| value / 65_535.0);
        assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-5), "{values:?}");
        let said = block.notes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(said.contains("all pixels are alike in 1 of 2 images, as in `b.png`"), "{said}");
    }

    #[test]
    fn channels_and_size_are_changed_on_request() {
        let folder = folder();
        GrayImage::from_pixel(2, 2, Luma([9])).save(folder.path().join("a.png")).expect("writable");
        let rgb = RgbImage::from_pixel(4, 6, Rgb([30, 30, 30]));
        rgb.save(folder.path().join("b.png")).expect("writable");
        let said = |channels| ReadOptions {
            images: ImageConversion {
                channels: Some(channels),
                resize: Some([3, 2]),
                ..ImageConversion::default()
            },
            ..ReadOptions::default()
        };
        let colour = block(folder.path(), said(Channels::Colour)).expect("two images");
        assert_eq!(colour.shape, [3, 3, 2]);
        let expected = [vec![9; 18], vec![30; 18]].concat();
        assert_eq!(colour.values, Storage::Bytes(expected));
        let grey = block(folder.path(), said(Channels::Grey)).expect("two images");
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
            assert!(error.contains("a.png` is not a valid PNG, JPEG or TIFF file"), "{error}");
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
