//! Folders of files for tests.

use std::{fmt::Display, fs, io::Cursor, path::PathBuf};

use image::{GrayImage, ImageFormat, Luma};
use ndarray::Array2;
use ndarray_npy::{NpzWriter, WriteNpyExt};
use tempfile::TempDir;

/// A folder that is removed with its value.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// With the given files; folders in their names are made.
    pub(crate) fn new<'a>(files: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for (name, bytes) in files {
            folder.write(name, &bytes);
        }
        folder
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("writable");
        fs::write(path, bytes).expect("writable");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.0.path().into() } else { self.0.path().join(name) }
    }

    /// The folder, as a source.
    pub(crate) fn source(&self) -> String {
        self.0.path().display().to_string()
    }

    /// The message without the place of the folder.
    pub(crate) fn message(&self, error: impl Display) -> String {
        error.to_string().replace(&format!("{}/", self.source()), "").replace(&self.source(), ".")
    }
}

/// A text file.
pub(crate) fn text(text: &str) -> Vec<u8> {
    text.into()
}

/// A file that another library has written; see `tests/data/formats`.
pub(crate) fn example(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats");
    fs::read(folder.join(name)).expect("it is in the repository")
}

/// An NPY file of `rows` rows of `features` values, 0.5 above the numbers from 0.
pub(crate) fn npy(rows: usize, features: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    array(rows, features).write_npy(&mut bytes).expect("memory takes it");
    bytes
}

/// An NPZ file of such arrays.
pub(crate) fn npz(arrays: &[(&str, usize, usize)]) -> Vec<u8> {
    let mut writer = NpzWriter::new_compressed(Cursor::new(Vec::new()));
    for (name, rows, features) in arrays {
        writer.add_array(*name, &array(*rows, *features)).expect("memory takes it");
    }
    writer.finish().expect("memory takes it").into_inner()
}

/// A grey PNG image of one shade.
pub(crate) fn png(width: u32, height: u32, shade: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    GrayImage::from_pixel(width, height, Luma([shade]))
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("memory takes it");
    bytes.into_inner()
}

fn array(rows: usize, features: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, features), |(row, f)| (row * features + f) as f32 + 0.5)
}
