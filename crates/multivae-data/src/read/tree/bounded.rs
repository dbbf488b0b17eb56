//! A file that is read only so often.

use std::{
    fs::File,
    sync::atomic::{AtomicU64, Ordering},
};

use hdf5_pure::{FormatError, ReadSeekSource, Source};

/// Reads that a file of a few bytes may take.
const FEW: u64 = 1_000_000;
/// And for each of its bytes, of which an entry of an index takes several.
const PER_BYTE: u64 = 4;

/// A file of which parts may lead back to each other: whoever follows them without end gets an error
/// after more reads than the bytes of the file can need.
pub(super) struct Bounded {
    file: ReadSeekSource<File>,
    most: u64,
    left: AtomicU64,
}

impl Bounded {
    pub(super) fn new(file: File) -> Result<Self, FormatError> {
        let file = ReadSeekSource::new(file)?;
        let most = file.len().saturating_mul(PER_BYTE).saturating_add(FEW);
        Ok(Self::with(file, most))
    }

    fn with(file: ReadSeekSource<File>, most: u64) -> Self {
        Self { file, most, left: AtomicU64::new(most) }
    }
}

impl Source for Bounded {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FormatError> {
        let less = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            let Self { most, .. } = self;
            let bytes = self.len();
            return Err(FormatError::Source(format!(
                "parts of it lead back to each other: it was read {most} times, and has {bytes} bytes"
            )));
        }
        self.file.read_at(offset, buffer)
    }
}

#[cfg(test)]
mod tests {
    use hdf5_pure::FileBuilder;

    use super::*;

    #[test]
    fn a_file_is_not_read_more_often_than_it_may_be() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.h5");
        let mut builder = FileBuilder::new();
        builder.create_dataset("x").with_f64_data(&[1.0, 2.0]).with_shape(&[2]);
        std::fs::write(&path, builder.finish().expect("memory takes it")).expect("writable");
        let open = |most| {
            let file = ReadSeekSource::new(File::open(&path).expect("it is there"));
            hdf5_pure::File::from_source(Bounded::with(file.expect("a length"), most))
        };
        let read = |most| open(most).and_then(|file| file.dataset("x")?.read_f64());
        assert_eq!(read(1000).expect("enough"), [1.0, 2.0]);
        let error = read(3).expect_err("too few").to_string();
        assert!(error.contains("it was read 3 times"), "{error}");
    }
}
