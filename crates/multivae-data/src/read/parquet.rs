//! Parquet.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use arrow_array::RecordBatch;
use parquet::{
    arrow::arrow_reader::{
        ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
    },
    file::metadata::ParquetMetaData,
};

use super::{
    arrow::{Frame, FrameFormat},
    format, signature,
    table::check_claim,
};
use crate::error::{DataError, Result};

/// The first and the last bytes of a file.
const MAGIC: &[u8; 4] = b"PAR1";

/// Tables of columns with types, packed column by column.
pub(super) const FORMAT: FrameFormat =
    FrameFormat { name: NAME, called: "`.parquet`", is: format::is_parquet, frame };

const NAME: &str = "Parquet";

fn malformed(path: &Path, reason: impl ToString) -> DataError {
    DataError::Malformed { path: path.into(), format: NAME, reason: reason.to_string() }
}

fn frame(path: &Path) -> Result<Frame> {
    let read = |cause| DataError::Read { path: path.into(), cause };
    let mut file = File::open(path).map_err(read)?;
    let size = file.metadata().map_err(read)?.len();
    let mut first = Vec::new();
    file.by_ref().take(64).read_to_end(&mut first).map_err(read)?;
    if !first.starts_with(MAGIC) {
        return Err(signature::foreign(path, NAME, &first));
    }
    let mut last = [0; 4];
    file.seek(SeekFrom::Start(size.max(4) - 4)).map_err(read)?;
    file.read_exact(&mut last).map_err(read)?;
    if size < 12 || last != *MAGIC {
        return Err(malformed(path, "it does not end with `PAR1`: a part of it is missing"));
    }
    let about = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
        .map_err(|error| malformed(path, error))?;
    check(path, size, about.metadata())?;
    let mut batches: Vec<RecordBatch> = Vec::new();
    // Categories keep their order within a group of rows only.
    for group in 0..about.metadata().num_row_groups() {
        let file = file.try_clone().map_err(read)?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, about.clone())
            .with_row_groups(vec![group])
            .build()
            .map_err(|error| malformed(path, error))?;
        for batch in reader {
            batches.push(batch.map_err(|error| malformed(path, error))?);
        }
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let expected = about.metadata().file_metadata().num_rows();
    if usize::try_from(expected) != Ok(rows) {
        return Err(malformed(path, format!("expected {expected} rows, found {rows}")));
    }
    let whole = keeps_order(about.metadata());
    Ok(Frame::new(path, NAME, about.schema().clone(), batches, whole))
}

/// Whether the program that wrote the file keeps categories whole and in their order: others write
/// those that occur, as they occur.
fn keeps_order(about: &ParquetMetaData) -> bool {
    let by = about.file_metadata().created_by().unwrap_or_default();
    by.starts_with("parquet-cpp") || by.starts_with("fastparquet")
}

/// Refuses a header that claims more than the file can hold.
fn check(path: &Path, size: u64, about: &ParquetMetaData) -> Result<()> {
    let mut claim = 0u64;
    for group in about.row_groups() {
        let rows = positive(path, group.num_rows())?;
        for column in group.columns() {
            let first = column.dictionary_page_offset().unwrap_or(i64::MAX);
            let from = positive(path, first.min(column.data_page_offset()))?;
            let packed = positive(path, column.compressed_size())?;
            if from.saturating_add(packed) > size {
                let (name, end) = (column.column_path(), from.saturating_add(packed));
                let reason = format!("column `{name}` reaches to byte {end} of {size}");
                return Err(malformed(path, reason));
            }
            let values = positive(path, column.uncompressed_size())?.max(rows.saturating_mul(4));
            claim = claim.saturating_add(values);
        }
    }
    check_claim(path, NAME, size, claim)
}

fn positive(path: &Path, claim: i64) -> Result<u64> {
    u64::try_from(claim).map_err(|_| malformed(path, format!("its header says {claim}")))
}
