//! Folders of files for tests.

use std::{
    fmt::Display,
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

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

/// The path of a file that a library of the field has written; see `tests/data/formats`.
pub(crate) fn written(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/formats")).join(name)
}

/// The contents of such a file.
pub(crate) fn written_bytes(name: &str) -> Vec<u8> {
    fs::read(written(name)).expect("committed with the tests")
}

/// What these libraries read from them.
pub(crate) fn expected(name: &str) -> serde_json::Value {
    let text = fs::read_to_string(written(name)).expect("it lies beside them");
    serde_json::from_str(&text).expect("JSON")
}

/// Numbers of such a file, of which some are text, so that they keep all their digits.
pub(crate) fn numbers(values: &serde_json::Value) -> Vec<f64> {
    let number = |value: &serde_json::Value| match value.as_str() {
        Some(text) => text.parse().expect("a number"),
        None => value.as_f64().expect("a number"),
    };
    values.as_array().expect("a list").iter().map(number).collect()
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("readable").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).expect("writable");
        }
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
