//! Arrow's own files and streams, of which Feather is one.

use std::{fs, io::Cursor, ops::Range, path::Path, sync::Arc};

use arrow_array::{RecordBatch, UInt8Array};
use arrow_ipc::{
    Block, Message,
    convert::try_fb_to_schema,
    reader::{FileDecoder, StreamReader, read_footer_length},
    root_as_footer, root_as_message,
};
use arrow_schema::Schema;

use super::{
    arrow::{Frame, FrameFormat},
    format, signature,
    table::check_claim,
};
use crate::error::{DataError, Result};

/// The first bytes of a file, and of a message in a stream.
const MAGIC: &[u8] = b"ARROW1";
const MESSAGE: [u8; 4] = [0xff; 4];
/// The bytes behind the footer: its length, and the first bytes again.
const TRAILER: usize = 10;

/// Tables of columns with types as Arrow holds them in memory.
pub(super) const FORMAT: FrameFormat =
    FrameFormat { name: NAME, called: "`.arrow`, `.feather`", is: format::is_arrow, frame };

const NAME: &str = "Arrow";

fn malformed(path: &Path, reason: impl ToString) -> DataError {
    DataError::Malformed { path: path.into(), format: NAME, reason: reason.to_string() }
}

fn frame(path: &Path) -> Result<Frame> {
    let bytes = fs::read(path).map_err(|cause| DataError::Read { path: path.into(), cause })?;
    let (schema, batches) = if bytes.starts_with(MAGIC) {
        file(path, bytes)?
    } else if bytes.starts_with(&MESSAGE) {
        stream(path, bytes)?
    } else {
        return Err(signature::foreign(path, NAME, &bytes[..bytes.len().min(64)]));
    };
    Ok(Frame::new(path, NAME, schema, batches, true))
}

type Batches = (Arc<Schema>, Vec<RecordBatch>);

fn file(path: &Path, bytes: Vec<u8>) -> Result<Batches> {
    let size = bytes.len();
    let cut = || malformed(path, "it does not end with `ARROW1`: a part of it is missing");
    let trailer = size.checked_sub(TRAILER).filter(|&at| at >= 8).ok_or_else(cut)?;
    let length = bytes[trailer..].try_into().ok().and_then(|end| read_footer_length(end).ok());
    let start = length.and_then(|length| trailer.checked_sub(length)).ok_or_else(cut)?;
    // The bytes as Arrow holds them, so that arrays are parts of them and no copies.
    let bytes = UInt8Array::from(bytes).values().inner().clone();
    let footer = root_as_footer(&bytes[start..trailer])
        .map_err(|error| malformed(path, format!("its footer is damaged: {error}")))?;
    let schema = footer.schema().ok_or_else(|| malformed(path, "its footer has no schema"))?;
    if !schema.endianness().equals_to_target_endianness() {
        return Err(malformed(path, "its bytes are in the order of another kind of machine"));
    }
    let schema = Arc::new(try_fb_to_schema(schema).map_err(|error| malformed(path, error))?);
    let mut decoder = FileDecoder::new(schema.clone(), footer.version());
    let mut claim = Claim { path, size, bytes: 0, columns: schema.fields().len() };
    let mut message = |block: &Block| {
        let place = place(block, size)
            .ok_or_else(|| malformed(path, format!("a part of it lies outside: {block:?}")))?;
        let head = usize::try_from(block.metaDataLength()).unwrap_or_default();
        let block = bytes.slice_with_length(place.start, place.len());
        claim.add(&block[..head], &block[head..])?;
        Ok::<_, DataError>(block)
    };
    for block in footer.dictionaries().iter().flatten() {
        let data = message(block)?;
        decoder.read_dictionary(block, &data).map_err(|error| malformed(path, error))?;
    }
    let mut batches = Vec::new();
    for block in footer.recordBatches().iter().flatten() {
        let data = message(block)?;
        let batch = decoder.read_record_batch(block, &data);
        batches.extend(batch.map_err(|error| malformed(path, error))?);
    }
    Ok((schema, batches))
}

/// Where a block lies, if that is within the file.
fn place(block: &Block, size: usize) -> Option<Range<usize>> {
    let start = usize::try_from(block.offset()).ok()?;
    let head = usize::try_from(block.metaDataLength()).ok()?;
    let end = start.checked_add(head)?.checked_add(usize::try_from(block.bodyLength()).ok()?)?;
    (end <= size).then_some(start..end)
}

fn stream(path: &Path, bytes: Vec<u8>) -> Result<Batches> {
    let size = bytes.len();
    let mut claim = Claim { path, size, bytes: 0, columns: 1 };
    let mut at = 0;
    while at < size {
        let cut = || malformed(path, format!("it ends within the message at byte {at}"));
        let start = bytes.get(at..at + 8).ok_or_else(cut)?;
        let length = i32::from_le_bytes(start[4..].try_into().map_err(|_| cut())?);
        let length = usize::try_from(length).map_err(|_| cut())?;
        if length == 0 {
            break;
        }
        let head = bytes.get(at..at + 8 + length).ok_or_else(cut)?;
        let body = usize::try_from(claim.message(head)?.bodyLength()).map_err(|_| cut())?;
        let from = at + 8 + length;
        let end = from.checked_add(body).ok_or_else(cut)?;
        claim.add(head, bytes.get(from..end).ok_or_else(cut)?)?;
        at = end;
    }
    let reader =
        StreamReader::try_new(Cursor::new(&bytes), None).map_err(|error| malformed(path, error))?;
    let schema = reader.schema();
    let batches: Result<Vec<_>, _> = reader.collect();
    Ok((schema, batches.map_err(|error| malformed(path, error))?))
}

/// What the headers of a file say that it holds.
struct Claim<'a> {
    path: &'a Path,
    size: usize,
    bytes: u64,
    columns: usize,
}

impl Claim<'_> {
    fn message<'b>(&self, head: &'b [u8]) -> Result<Message<'b>> {
        let prefix = if head.starts_with(&MESSAGE) { 8 } else { 4 };
        let message = head.get(prefix..).unwrap_or_default();
        root_as_message(message)
            .map_err(|error| malformed(self.path, format!("a message is damaged: {error}")))
    }

    /// Refuses a message that says that more is in its body than there is, or than can be.
    fn add(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        let message = self.message(head)?;
        let batch = match message.header_as_dictionary_batch() {
            Some(dictionary) => dictionary.data(),
            None => message.header_as_record_batch(),
        };
        let Some(batch) = batch else { return Ok(()) };
        let columns = self.columns as u64;
        let rows = u64::try_from(batch.length()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(rows.saturating_mul(4 * columns.max(1)));
        let packed = batch.compression().is_some();
        for buffer in batch.buffers().iter().flatten() {
            let bytes = usize::try_from(buffer.offset()).ok().and_then(|from| {
                body.get(from..from.checked_add(usize::try_from(buffer.length()).ok()?)?)
            });
            let bytes = bytes
                .ok_or_else(|| malformed(self.path, format!("values lie outside: {buffer:?}")))?;
            // Packed values begin with their length; -1 says that they are not packed.
            if let Some(length) = bytes.first_chunk().filter(|_| packed) {
                let length = u64::try_from(i64::from_le_bytes(*length)).unwrap_or_default();
                self.bytes = self.bytes.saturating_add(length);
            }
        }
        check_claim(self.path, NAME, self.size as u64, self.bytes)
    }
}
