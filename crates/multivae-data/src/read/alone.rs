//! One file, read by the reader of its format and by nothing else.

use std::path::Path;

use super::{ReadOptions, format, format::Content, torch};
use crate::{error::Result, manifest, reading::Reading};

/// Reads a file with the reader of its format: values, labels and identifiers, without the rows, the
/// splits and the statistics that become of them. It is for those who try readers with files of any
/// kind, by the million; [`inspect()`](crate::inspect()) says what a file holds.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("a.csv");
/// std::fs::write(&path, "a,b\n1,2\n3,4\n")?;
/// multivae_data::read_alone(&path)?;
/// std::fs::write(&path, "")?;
/// assert!(multivae_data::read_alone(&path).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of the reader.
pub fn read_alone(path: &Path) -> Result<()> {
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    match end {
        "toml" => return manifest::open(path, Reading::default()).map(drop),
        "pt" => return torch::read(path).map(drop),
        _ => {}
    }
    let (format, said) = (format::of(path)?, ReadOptions::default());
    match format.content() {
        Content::Table | Content::Array => {
            // A file holds either, and is refused by what it does not hold.
            let labels = format.labels(path, said).map(drop);
            format.block(path, said).map(drop).or_else(|error| labels.map_err(|_| error))
        }
        Content::Images | Content::Volumes => format.block(path, said).map(drop),
        Content::Arrays | Content::Annotated | Content::Absent => {
            format.files(path, Reading::default()).map(drop)
        }
    }
}
