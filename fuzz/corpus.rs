//! Small valid inputs, from which others are made.

use std::{
    fs,
    io::{Cursor, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use flate2::{Compression, write::GzEncoder};
use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::seal::Files;

/// The folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it lies in the workspace").to_owned()
}

/// A file of the tests of a crate.
pub fn kept(path: &str) -> Result<Vec<u8>> {
    let path = root().join("crates").join(path);
    fs::read(&path).with_context(|| path.display().to_string())
}

/// A file that a library of the field has written.
pub fn written(name: &str) -> Result<Vec<u8>> {
    kept(&format!("multivae-data/tests/data/formats/{name}"))
}

/// All files of a folder of the tests of a crate.
pub fn folder(path: &str) -> Result<Files> {
    let folder = root().join("crates").join(path);
    let mut files = Files::new();
    collect(&folder, &folder, &mut files)?;
    Ok(files)
}

/// All files of a folder.
pub fn collect(root: &Path, folder: &Path, files: &mut Files) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else {
            let name = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            files.insert(name, fs::read(&path)?);
        }
    }
    Ok(())
}

/// The members of an archive as files.
pub fn unpacked(bytes: &[u8], below: &str) -> Result<Files> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))?;
    let mut files = Files::new();
    for i in 0..archive.len() {
        let mut member = archive.by_index(i)?;
        if member.is_file() {
            let mut content = Vec::new();
            std::io::copy(&mut member, &mut content)?;
            files.insert(format!("{below}{}", member.name()), content);
        }
    }
    Ok(files)
}

/// One file as an input.
pub fn one(name: &str, bytes: impl Into<Vec<u8>>) -> Files {
    Files::from([(name.to_owned(), bytes.into())])
}

/// Packed by gzip.
pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).expect("memory takes all");
    packed.finish().expect("memory takes all")
}

/// Tables as text with these separators.
pub fn table(separator: char) -> String {
    let s = separator;
    let mut text = format!("id{s}age{s}grade{s}weight{s}site\n");
    for i in 0..12 {
        let grade = ["low", "mid", "high"][i % 3];
        let weight = if i % 5 == 2 { "NA".to_owned() } else { format!("{}.5", 60 + i) };
        text += &format!("p{i:02}{s}{}{s}{grade}{s}{weight}{s}\"{}\"\n", 30 + i, i % 2);
    }
    text
}

/// An array as NumPy writes it, of this type and shape.
pub fn npy(descr: &str, shape: &str, fortran: bool, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while !(header.len() + 11).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// Values 0, 0.5, 1, ..
pub fn floats(n: usize) -> Vec<u8> {
    (0..n).flat_map(|i| (i as f32 / 2.0).to_le_bytes()).collect()
}

/// An archive of arrays.
pub fn npz(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        archive.start_file(*name, SimpleFileOptions::default()).expect("memory takes all");
        archive.write_all(bytes).expect("memory takes all");
    }
    archive.finish().expect("memory takes all").into_inner()
}

/// Safetensors with two arrays and labels.
pub fn safetensors() -> Vec<u8> {
    let header = r#"{"a":{"dtype":"F32","shape":[6,2],"data_offsets":[0,48]},"b":{"dtype":"F16","shape":[6,3],"data_offsets":[48,84]},"labels":{"dtype":"U8","shape":[6],"data_offsets":[84,90]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(floats(12));
    bytes.extend([0x00, 0x3c].repeat(18));
    bytes.extend([0, 1, 2, 0, 1, 2]);
    bytes
}

/// IDX with 6 images of 4 x 4.
pub fn idx() -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    for n in [6u32, 4, 4] {
        bytes.extend(n.to_be_bytes());
    }
    bytes.extend((0..96).map(|i| (i * 37 % 251) as u8));
    bytes
}

/// Four images of 6 x 5 in a format, grey or in colours.
pub fn pictures(format: ImageFormat, end: &str, colours: bool) -> Result<Files> {
    let mut files = Files::new();
    for i in 0..4u32 {
        let mut bytes = Cursor::new(Vec::new());
        if colours {
            RgbImage::from_fn(6, 5, |x, y| Rgb([(x * 40 + i) as u8, (y * 40) as u8, 90]))
                .write_to(&mut bytes, format)?;
        } else {
            GrayImage::from_fn(6, 5, |x, y| Luma([(x * 30 + y * i) as u8]))
                .write_to(&mut bytes, format)?;
        }
        files.insert(format!("scan/{i}.{end}"), bytes.into_inner());
    }
    Ok(files)
}
