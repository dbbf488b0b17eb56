//! Indices of PNG images with a palette, which decoders of pictures replace by colours.

use std::{io::Cursor, path::Path};

use image::GrayImage;
use png::{ColorType, Decoder, DecodingError, Transformations};

use crate::error::{DataError, Result};

/// Where the type of colours stands in a PNG file, and what it is where there is a palette.
const PLACE: usize = 25;
const PALETTE: u8 = 3;

/// The bits that a pixel of a PNG has in its file; `None` of another file.
///
/// The decoder of `image` says them of what it makes of pixels.
pub(super) fn bits(bytes: &[u8]) -> Option<u64> {
    // The signature, the length and name of the first chunk, width and height.
    let [depth, kind] = bytes.get(24..26)? else { return None };
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return None;
    }
    let samples = match kind {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    Some(u64::from(*depth) * samples)
}

/// Whether bytes are those of a PNG image with a palette.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.get(PLACE) == Some(&PALETTE)
}

/// The indices of an image's pixels.
pub(super) fn indices(path: &Path, bytes: &[u8]) -> Result<GrayImage> {
    let malformed =
        |reason: String| DataError::Malformed { path: path.into(), format: "PNG", reason };
    let broken = |error: DecodingError| malformed(error.to_string());
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(broken)?;
    let size = reader.output_buffer_size();
    let mut rows = vec![0; size.ok_or_else(|| malformed("its size is beyond memory".into()))?];
    let info = reader.next_frame(&mut rows).map_err(broken)?;
    if info.color_type != ColorType::Indexed {
        return Err(malformed(format!("expected a palette, found {:?}", info.color_type)));
    }
    let bits = info.bit_depth as usize;
    let (width, per_byte) = (info.width as usize, 8 / bits.clamp(1, 8));
    let mask = u8::MAX >> (8 - bits.clamp(1, 8));
    let index = |row: &[u8], pixel: usize| {
        let shift = 8 - bits * (pixel % per_byte + 1);
        row[pixel / per_byte] >> shift & mask
    };
    let indices: Vec<u8> = rows
        .chunks_exact(info.line_size)
        .flat_map(|row| (0..width).map(move |pixel| index(row, pixel)))
        .collect();
    GrayImage::from_raw(info.width, info.height, indices)
        .ok_or_else(|| malformed("its rows are fewer than its height".into()))
}
