//! What trying readers with files that are nearly right has found, a sentence and a test each.
//!
//! The files here are harmless: where a crate of others ends the process or takes all memory, what is
//! tested is that it is not handed such a file, by one that claims little more than may be claimed.

use std::{
    fs,
    io::{Cursor, Write},
};

use flate2::Crc;

use crate::{
    DataConfig,
    fixture::{Folder, written_bytes},
    inspect,
    read::image::check_claim,
};

/// What reading a folder of these files is refused with.
fn refused(files: &[(&str, Vec<u8>)]) -> String {
    let folder = Folder::new(files.iter().cloned());
    let error = inspect(&DataConfig::new(folder.source())).expect_err("it is not as it claims");
    folder.message(error)
}

/// A grey PNG that claims a size and holds nothing.
fn claims(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes()[..], &[8, 0, 0, 0, 0]].concat();
    for (name, content) in [(b"IHDR", header), (b"IDAT", vec![0x78, 0x9c]), (b"IEND", vec![])] {
        let mut crc = Crc::new();
        crc.update(name);
        crc.update(&content);
        bytes.extend((content.len() as u32).to_be_bytes());
        bytes.extend(name);
        bytes.extend(content);
        bytes.extend(crc.sum().to_be_bytes());
    }
    bytes
}

/// A hundred bytes of PNG or TIFF whose header claimed billions of pixels ended the process: the
/// decoder asked for their memory at once.
#[test]
fn an_image_that_claims_more_pixels_than_its_file_can_hold_is_refused() {
    let file = claims(1500, 1500);
    let length = file.len();
    let message = refused(&[("scan/a.png", file)]);
    let expected = format!(
        "`scan/a.png` is not a valid PNG, JPEG or TIFF file: its header claims 2250000 bytes of \
         pixels, in a file of {length} bytes"
    );
    assert_eq!(message, expected);
    for (claimed, bytes, fits) in [
        (2 << 20, 10, true),
        ((2 << 20) + 1, 10, false),
        (1_000_000_000, 1 << 20, true),
        (u64::MAX, 1 << 20, false),
    ] {
        assert_eq!(check_claim("a.png".as_ref(), claimed, bytes).is_ok(), fits, "{claimed}");
    }
}

/// A header of NPY that claimed to be 660 MB long took as much memory before it was found to be
/// shorter.
#[test]
fn a_header_of_npy_that_claims_to_be_longer_than_its_file_is_refused() {
    let mut bytes = b"\x93NUMPY\x03\x00".to_vec();
    bytes.extend(100_000u32.to_le_bytes());
    bytes.extend(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }\n");
    let message = refused(&[("a.npy", bytes)]);
    let expected = "`a.npy` is not a valid NPY file: its header claims to be longer than the file";
    assert_eq!(message, expected);
}

/// Floats and signed integers of TIFF that do not say of how many bits they are made rows that were not
/// whole, and reading them panicked.
#[test]
fn values_of_tiff_that_are_fewer_than_its_pixels_are_refused() {
    let mut bytes = written_bytes("tiff/i2.tif");
    // The tag of bits, which becomes one that nobody knows.
    let tag = bytes.windows(4).position(|tag| tag == [2, 1, 3, 0]).expect("it has one");
    bytes[tag + 1] = 0;
    let message = refused(&[("scan/a.tif", bytes)]);
    assert!(message.starts_with("`scan/a.tif` is not a valid TIFF file: "), "{message}");
}

/// A TIFF of a few hundred bytes whose header claimed 64 MB of pixels took 194 MB before its end was
/// missed, since any file could claim as many.
#[test]
fn an_image_takes_no_more_memory_than_its_file_can_hold() {
    // What is said of width and height, and of the rows of a strip, each in two bytes.
    let claiming = |file: &str, size: u16| {
        let mut bytes = written_bytes(file);
        for tag in [[0u8, 1], [1, 1], [22, 1]] {
            let at = bytes.windows(2).position(|two| two == tag).expect("it has the tag");
            bytes[at + 2..at + 4].copy_from_slice(&[3, 0]);
            bytes[at + 8..at + 10].copy_from_slice(&size.to_le_bytes());
        }
        refused(&[("scan/a.tif", bytes)])
    };
    for file in ["tiff/u1.tif", "tiff/f4.tif"] {
        let message = claiming(file, 2000);
        assert!(message.contains("its header claims "), "{message}");
    }
    // A blank page of bits is a small file, which is read.
    let mut blank = Cursor::new(Vec::new());
    let mut encoder = png::Encoder::new(&mut blank, 4000, 4000);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().expect("memory takes all");
    writer.write_image_data(&[0; 500 * 4000]).expect("memory takes all");
    writer.finish().expect("memory takes all");
    let blank = blank.into_inner();
    assert!(blank.len() < 10_000, "{}", blank.len());
    let folder = Folder::new([("scan/a.png", blank)]);
    let found = inspect(&DataConfig::new(folder.source())).expect("a blank page");
    assert_eq!(found.modalities[0].spec.shape, [1, 4000, 4000]);
}

/// Text in a chunk of Zarr that claims to be longer than the chunk made the library panic.
#[cfg(feature = "zarr")]
#[test]
fn text_of_zarr_that_claims_to_be_longer_than_its_chunk_is_refused() {
    let folder = Folder::new([]);
    let archive = Cursor::new(written_bytes("cells_sharded.zarr.zip"));
    let mut archive = zip::ZipArchive::new(archive).expect("committed with the tests");
    archive.extract(folder.path("a.zarr")).expect("writable");
    let chunk = folder.path("a.zarr/obs/label/categories/c/0");
    let mut bytes = fs::read(&chunk).expect("there");
    // The length of the first of two texts, which the chunk holds as they are.
    let at = bytes.windows(5).position(|text| text == [1, 0, 0, 0, b'a']).expect("it has it");
    bytes[at] = 9;
    fs::write(&chunk, bytes).expect("writable");
    let error = inspect(&DataConfig::new(folder.path("a.zarr").display().to_string()));
    let message = folder.message(error.expect_err("it is damaged"));
    let expected = "`a.zarr` is not a valid Zarr file: it is damaged: range end index";
    assert!(message.starts_with(expected), "{message}");
}

/// Three values in a matrix that claimed 16 million columns took 382 MB, since each column has its place.
#[test]
fn a_sparse_matrix_that_claims_more_columns_than_its_file_can_use_is_refused() {
    let member = |descr: &str, shape: &str, data: &[u8]| {
        let mut header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        header.push_str(&" ".repeat((128 - 11 - header.len() % 64) % 64));
        header.push('\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        [bytes, header.into_bytes(), data.to_vec()].concat()
    };
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let shape = [2i64, 2_000_000].map(i64::to_le_bytes).concat();
    for (name, bytes) in [
        ("format.npy", member("|S3", "()", b"csr")),
        ("shape.npy", member("<i8", "(2,)", &shape)),
        ("data.npy", member("<f4", "(1,)", &[0, 0, 0x80, 0x3f])),
        ("indices.npy", member("<i4", "(1,)", &[0; 4])),
        ("indptr.npy", member("<i4", "(3,)", &[0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0])),
    ] {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).expect("memory");
        archive.write_all(&bytes).expect("memory takes all");
    }
    let bytes = archive.finish().expect("memory takes all").into_inner();
    let length = bytes.len();
    let message = refused(&[("a.npz", bytes)]);
    let expected = format!("its shape claims 2000000 columns, in a file of {length} bytes");
    assert!(message.ends_with(&expected), "{message}");
}

/// A sparse array of MATLAB of two kilobytes claimed so many rows that it took 735 MB with its zeros.
#[test]
fn a_sparse_array_of_matlab_that_claims_more_than_its_file_can_hold_is_refused() {
    let mut bytes = written_bytes("mat/plain.mat");
    // Five rows and seven columns, of which the second becomes ten million.
    let axes: Vec<u8> = [5u32, 7].map(u32::to_le_bytes).concat();
    let sparse = bytes.windows(5).position(|name| name == b"spars").expect("it has one");
    let at = bytes[..sparse].windows(8).rposition(|found| found == axes).expect("its shape");
    bytes[at + 4..at + 8].copy_from_slice(&10_000_000u32.to_le_bytes());
    let message = refused(&[("a.mat", bytes)]);
    assert!(message.contains("takes 400000000 bytes with all its zeros"), "{message}");
}
