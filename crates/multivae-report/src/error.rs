//! What can go wrong with a report.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why a report cannot be made, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file cannot be read or written.
    #[error("`{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold measures.
    #[error("`{}` holds no measures", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A file was written by a newer version of this crate.
    #[error("`{}` has version {found}: expected at most {newest}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that is read.
        newest: u32,
    },
    /// Measures cannot be written as a table.
    #[error("the table of measures cannot be written")]
    Table(#[source] csv::Error),
    /// Measures cannot be written as JSON.
    #[error("the measures cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// Images cannot be written as PNG.
    #[error("the images cannot be written as PNG")]
    Image(#[source] image::ImageError),
}

/// Writes a file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    fs::write(path, bytes).map_err(|source| ReportError::File { path: path.to_owned(), source })
}

/// Makes a folder if there is none.
pub(crate) fn folder(path: &Path) -> Result<(), ReportError> {
    fs::create_dir_all(path).map_err(|source| ReportError::File { path: path.to_owned(), source })
}
