//! What a file is by its first bytes, whatever its name says.

use std::path::Path;

use super::name;
use crate::error::DataError;

/// First bytes, what a file is that has them, and by which end of its name it is read; `None` if
/// it is not read here as it is.
const KNOWN: &[(&[u8], &str, Option<&str>)] = &[
    (b"PAR1", "a Parquet file", Some(".parquet")),
    (b"PARE", "an encrypted Parquet file", None),
    (b"ARROW1", "an Arrow or Feather file", Some(".arrow")),
    (b"FEA1", "a Feather file of version 1, which is no longer written", None),
    (b"\xd0\xcf\x11\xe0", "a workbook of an older Excel, or one with a password", None),
    (b"PK\x03\x04", "an archive, such as a workbook of a spreadsheet", Some(".xlsx")),
    (b"\x93NUMPY", "an array of NumPy", Some(".npy")),
    (b"\x89HDF\r\n", "an HDF5 file", Some(".h5")),
    (b"\x89PNG", "an image", None),
    (b"SQLite format 3", "a data base", None),
    (b"%PDF", "a document", None),
    (b"RDX", "a file of R", None),
    (b"\x1f\x8b", "packed with gzip", None),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", None),
];

/// What a file is by its first bytes, and by which end of its name it is read.
pub(super) fn of(bytes: &[u8]) -> Option<(&'static str, Option<&'static str>)> {
    let known = KNOWN.iter().find(|(start, ..)| bytes.starts_with(start));
    known.map(|&(_, what, end)| (what, end))
}

/// The error about a file that is none of its name; `format` is what its name says.
pub(super) fn foreign(path: &Path, format: &'static str, bytes: &[u8]) -> DataError {
    let reason = match of(bytes) {
        Some((what, Some(end))) if !name(path).to_ascii_lowercase().ends_with(end) => {
            format!("it is {what}; call it `{end}`")
        }
        Some((what, _)) => format!("it is {what}"),
        None if bytes.is_empty() => "it has no bytes".to_owned(),
        None => {
            let shown: String =
                bytes.iter().take(16).flat_map(|b| b.escape_ascii()).map(char::from).collect();
            format!("it begins with `{shown}`")
        }
    };
    DataError::Malformed { path: path.into(), format, reason }
}
