//! What TIFF files say that decoders pass over.
//!
//! A decoder of pictures makes the best of a file: of several pages it gives the first, of sections
//! that are no colours three, and white where a file has 0. Here values matter, so that such files
//! are refused or read as they are stored.

use std::{io::Cursor, path::Path};

use multivae_core::schema::Dtype;
use tiff::decoder::{Decoder, DecodingResult, Limits};

use crate::error::{DataError, Result};

const FORMAT: &str = "TIFF";
/// The tags that are read.
const TAGS: [u16; 6] = [SUBFILE, BITS, PHOTOMETRIC, SAMPLES, EXTRA, FORMATS];
const SUBFILE: u16 = 254;
const BITS: u16 = 258;
const PHOTOMETRIC: u16 = 262;
const SAMPLES: u16 = 277;
const EXTRA: u16 = 338;
const FORMATS: u16 = 339;
/// Pages that are looked at before a file counts as endless.
const MOST_PAGES: usize = 1 << 12;

/// What a file says of its first page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Bits of a value.
    bits: u64,
    /// Values of a pixel.
    samples: u64,
    /// Whether 0 is white.
    pub(super) white_is_zero: bool,
    /// 1 for unsigned integers, 2 for signed ones, 3 for floats.
    numbers: u64,
}

impl Page {
    /// Whether values are others than unsigned integers of 8 or 16 bits, or bits.
    pub(super) fn is_of_numbers(self) -> bool {
        self.samples == 1 && (self.numbers != 1 || self.bits > 16)
    }
}

/// Whether bytes begin as those of a TIFF file.
pub(super) fn is(bytes: &[u8]) -> bool {
    [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|mark| bytes.starts_with(*mark))
}

/// Reads what a file says, and refuses what is no picture of one page.
pub(super) fn page(path: &Path, bytes: &[u8]) -> Result<Page> {
    let malformed = |reason: &str| DataError::Malformed {
        path: path.into(),
        format: FORMAT,
        reason: reason.into(),
    };
    let refused = |expected: &'static str, found: String| DataError::Type {
        path: path.display().to_string(),
        expected,
        found,
    };
    let file = File { bytes, big: bytes[0] == b'M', long: bytes[2] == b'+' || bytes[3] == b'+' };
    let broken = || malformed("its list of tags goes beyond its end");
    let mut first = None;
    let mut pages = 0usize;
    let mut place = file.first().ok_or_else(broken)?;
    for _ in 0..MOST_PAGES {
        if place == 0 {
            break;
        }
        let (tags, next) = file.tags(place).ok_or_else(broken)?;
        // Thumbnails and masks of a page are marked as such.
        let own = tags[0].as_ref().is_none_or(|subfile| subfile[0] & 0b101 == 0);
        pages += usize::from(own);
        first.get_or_insert(tags);
        place = next;
    }
    let Some([_, bits, photometric, samples, extra, formats]) = first else {
        return Err(malformed("it has no page"));
    };
    if pages > 1 {
        return Err(refused(
            "one page; save volumes as NIfTI, or all pages as one array",
            format!("{pages} pages"),
        ));
    }
    let one = |values: &Option<Vec<u64>>, else_: u64| values.as_ref().map_or(else_, |v| v[0]);
    let page = Page {
        bits: one(&bits, 1),
        samples: one(&samples, 1),
        white_is_zero: one(&photometric, 1) == 0,
        numbers: one(&formats, 1),
    };
    let colour = match one(&photometric, 1) {
        0 | 1 => false,
        2 | 5 | 6 => true,
        3 => {
            return Err(refused(
                "grey or colours; save the indices of palettes as grey",
                "a palette".into(),
            ));
        }
        other => {
            return Err(refused("grey or colours", format!("photometric interpretation {other}")));
        }
    };
    let alpha = extra.as_ref().is_some_and(|extra| extra.len() == 1 && matches!(extra[0], 1 | 2));
    let own = if colour { 3 } else { 1 };
    let fits = page.samples == own
        || (page.samples == own + 1 && alpha)
        || (one(&photometric, 1) == 5 && page.samples == 4);
    if !fits {
        let what = if colour { "colour" } else { "grey" };
        return Err(refused(
            "one section, three of colour, or one more that is said to be transparency; save other \
             channels as an array",
            format!("{} sections of {what}", page.samples),
        ));
    }
    if page.numbers != 1 && page.samples > 1 {
        return Err(refused("colours as unsigned integers", "colours as other numbers".into()));
    }
    if page.is_of_numbers() && page.white_is_zero {
        return Err(refused("0 as black where values are signed or floats", "0 as white".into()));
    }
    Ok(page)
}

/// Grey values that are no unsigned integers of 8 or 16 bits, with height and width.
pub(super) fn numbers(path: &Path, bytes: &[u8]) -> Result<([usize; 2], Vec<f64>, Dtype)> {
    let malformed = |error: tiff::TiffError| DataError::Malformed {
        path: path.into(),
        format: FORMAT,
        reason: error.to_string(),
    };
    let mut decoder =
        Decoder::new(Cursor::new(bytes)).map_err(malformed)?.with_limits(Limits::default());
    let (width, height) = decoder.dimensions().map_err(malformed)?;
    // Values are held in double precision.
    let claimed = (u64::from(width) * u64::from(height)).saturating_mul(8);
    super::image::check_claim(path, claimed, 8 * bytes.len())?;
    macro_rules! numbers {
        ($values:expr, $dtype:ident) => {
            ($values.into_iter().map(|value| value as f64).collect(), Dtype::$dtype)
        };
    }
    let (values, dtype): (Vec<f64>, Dtype) = match decoder.read_image().map_err(malformed)? {
        DecodingResult::U8(values) => numbers!(values, U8),
        DecodingResult::U16(values) => numbers!(values, U16),
        DecodingResult::U32(values) => numbers!(values, U32),
        DecodingResult::U64(values) => numbers!(values, U64),
        DecodingResult::I8(values) => numbers!(values, I8),
        DecodingResult::I16(values) => numbers!(values, I16),
        DecodingResult::I32(values) => numbers!(values, I32),
        DecodingResult::I64(values) => numbers!(values, I64),
        DecodingResult::F16(values) => {
            (values.into_iter().map(|value| value.to_f64()).collect(), Dtype::F16)
        }
        DecodingResult::F32(values) => numbers!(values, F32),
        DecodingResult::F64(values) => numbers!(values, F64),
    };
    let size = [height as usize, width as usize];
    // Of single bits a decoder gives some that are packed.
    if size[0].checked_mul(size[1]) != Some(values.len()) {
        let found = values.len();
        return Err(DataError::Malformed {
            path: path.into(),
            format: FORMAT,
            reason: format!("expected a value for each of {width}x{height} pixels, found {found}"),
        });
    }
    Ok((size, values, dtype))
}

/// A file with its byte order and the width of its places: 8 bytes in BigTIFF, else 4.
struct File<'a> {
    bytes: &'a [u8],
    big: bool,
    long: bool,
}

impl File<'_> {
    /// An unsigned integer of so many bytes.
    fn number(&self, place: u64, width: usize) -> Option<u64> {
        let from = usize::try_from(place).ok()?;
        let bytes = self.bytes.get(from..from.checked_add(width)?)?;
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self.big {
            true => bytes.iter().fold(0, add),
            false => bytes.iter().rev().fold(0, add),
        })
    }

    /// The place of the first list of tags.
    fn first(&self) -> Option<u64> {
        if self.long { self.number(8, 8) } else { self.number(4, 4) }
    }

    /// The values of the tags that are read in a list of them, and the place of the next list.
    fn tags(&self, place: u64) -> Option<([Option<Vec<u64>>; 6], u64)> {
        let (head, entry, width) = if self.long { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.number(place, head)?;
        let mut found = [const { None }; 6];
        for i in 0..count.min(1 << 16) {
            let at = place.checked_add(head as u64 + i * entry)?;
            let tag = self.number(at, 2)? as u16;
            let Some(slot) = TAGS.iter().position(|&known| known == tag) else { continue };
            let size = match self.number(at + 2, 2)? {
                1 | 6 => 1,
                3 | 8 => 2,
                4 | 9 => 4,
                16 => 8,
                _ => continue,
            };
            let values = self.number(at + 4, width)?.min(16);
            // Values that fit stand in the entry, others where it says.
            let own = at + 4 + width as u64;
            let from = if values * size <= width as u64 { own } else { self.number(own, width)? };
            let read = (0..values)
                .map(|value| self.number(from.checked_add(value * size)?, size as usize));
            found[slot] = read.collect::<Option<Vec<u64>>>().filter(|values| !values.is_empty());
        }
        let after = count.checked_mul(entry)?.checked_add(head as u64)?;
        let next = self.number(place.checked_add(after)?, width)?;
        Some((found, next))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use multivae_core::schema::ImageConversion;

    use super::*;
    use crate::{
        fixture::{Folder, expected, numbers, written},
        read::{ModalityTable, ReadOptions, format},
        storage::Storage,
    };

    /// A folder of one image, as a modality.
    fn read(file: &str, name: &str, images: ImageConversion) -> Result<ModalityTable, String> {
        let bytes = fs::read(written(file)).expect("there");
        let folder = Folder::new([(name, bytes)]);
        let said = ReadOptions { images, ..ReadOptions::default() };
        let format = format::of(&folder.path("")).expect("a folder of images");
        format.block(&folder.path(""), said).map_err(|error| folder.message(error))
    }

    fn in_file(block: &ModalityTable) -> Vec<f64> {
        let value = |place| {
            crate::read::as_in_file(block.values.value(place).expect("in memory"), block.scale)
        };
        (0..block.values.len()).map(value).collect()
    }

    #[test]
    fn values_are_those_of_tifffile() {
        let files = expected("tiff/expected.json");
        for (name, known) in files.as_object().expect("files") {
            let block = read(&format!("tiff/{name}.tif"), "a.tif", ImageConversion::default());
            let block = block.expect(name);
            let known_shape = known["shape"].as_array().expect("a shape");
            let shape: Vec<usize> =
                known_shape.iter().map(|n| n.as_u64().expect("whole") as usize).collect();
            let shape = if shape.len() == 2 { [&[1], &shape[..]].concat() } else { shape };
            assert_eq!(block.shape, shape, "{name}");
            let scale = if name == "mask" { 255.0 } else { 1.0 };
            let found: Vec<f64> = in_file(&block).iter().map(|value| value / scale).collect();
            let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-7 * b.abs();
            let values = numbers(&known["values"]);
            assert!(found.iter().zip(&values).all(near), "{name}: {found:?} {values:?}");
            let dtype = match &name[..2] {
                "u1" | "ma" => Dtype::U8,
                "i2" => Dtype::I16,
                "f4" => Dtype::F32,
                _ => Dtype::U16,
            };
            assert_eq!(block.dtype, dtype, "{name}");
        }
    }

    #[test]
    fn what_a_decoder_would_read_in_part_is_refused() {
        for (name, expected) in [
            ("pages", "expected values of type one page"),
            ("sections", "found `3 sections of grey`"),
            ("fourth", "found `4 sections of colour`"),
            ("palette", "found `a palette`"),
            ("zstd", "is not a valid PNG, JPEG or TIFF file"),
            ("lzw", "is not a valid PNG, JPEG or TIFF file: no lzw end code"),
            ("white_floats", "found `0 as white`"),
            ("truncated", "is not a valid PNG, JPEG or TIFF file"),
        ] {
            let file = format!("tiff_refused/{name}.tif");
            let error = read(&file, "a.tif", ImageConversion::default()).expect_err(name);
            assert!(error.starts_with("`a.tif`") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn indices_of_palettes_are_classes_if_that_is_said() {
        let known = expected("png/expected.json");
        let classes = ImageConversion { label_map: Some(true), ..Default::default() };
        for name in ["palette", "few", "u2"] {
            let block = read(&format!("png/{name}.png"), "a.png", classes).expect(name);
            assert_eq!((block.shape.len(), block.scale.is_identity()), (3, true), "{name}");
            assert_eq!(in_file(&block), numbers(&known[name]), "{name}");
        }
        let colours = read("png/palette.png", "a.png", ImageConversion::default());
        let colours = colours.expect("a picture");
        assert_eq!(colours.shape[0], 3);
        assert!(
            colours.notes[0].to_string().contains("the colours of palettes are read in 1 of 1")
        );
        let deep = read("png/u2.png", "a.png", ImageConversion::default()).expect("16 bits");
        let Storage::Floats(values) = &deep.values else { panic!("16 bits do not fit bytes") };
        assert_eq!((deep.dtype, values[1]), (Dtype::U16, (2500.0 / 65535.0f64) as f32));
        let error = read("tiff/rgb.tif", "a.tif", classes).expect_err("colours");
        assert!(error.contains("expected values of type one class for each pixel"), "{error}");
    }

    #[test]
    fn a_file_that_breaks_off_is_refused_with_a_reason() {
        let bytes = b"II*\0\x08\0\0\0\x02\0\x02\x01";
        assert!(is(bytes));
        let error = page(Path::new("a.tif"), bytes).expect_err("no tags").to_string();
        assert_eq!(error, "`a.tif` is not a valid TIFF file: its list of tags goes beyond its end");
        let none = page(Path::new("a.tif"), b"MM\0*\0\0\0\0").expect_err("no page").to_string();
        assert!(none.ends_with("it has no page"), "{none}");
        // A list that is its own next one does not go on for ever.
        let bytes = b"II*\0\x08\0\0\0\0\0\x08\0\0\0";
        let error = page(Path::new("a.tif"), bytes).expect_err("endless").to_string();
        assert!(error.contains("found `4096 pages`"), "{error}");
    }
}
