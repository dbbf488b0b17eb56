//! Event files of TensorBoard: records with checksums, and what they hold.
//!
//! A record is its length, the checksum of that, its bytes, and the checksum of those; the bytes are
//! an event, a message of Protocol Buffers. The few messages that a run needs are written and read
//! here: `tensorboard-rs` and `tboard`, which write event files, have not been kept for years, and
//! neither reads a file back to go on with it.
//!
//! Source: `tensorflow/core/lib/io/record_writer.h`, `event.proto` and `summary.proto` of
//! TensorFlow, `plugin_data.proto` of TensorBoard's plugin for hyper-parameters.

/// The checksum of a record: CRC-32C, turned and shifted, so that checksums of checksums are none.
fn checksum(bytes: &[u8]) -> u32 {
    const SHIFT: u32 = 0xa282_ead8;
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(SHIFT)
}

/// Bytes of a record beside its content.
const AROUND: usize = 16;

/// A record.
pub(super) fn record(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(content.len() + AROUND);
    bytes.extend(length);
    bytes.extend(checksum(&length).to_le_bytes());
    bytes.extend(content);
    bytes.extend(checksum(content).to_le_bytes());
    bytes
}

/// The contents of the records of a file, up to the first that is cut off or damaged, and how many
/// bytes they take.
pub(super) fn records(bytes: &[u8]) -> (Vec<&[u8]>, usize) {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(content) = first(&bytes[at..]) {
        at += content.len() + AROUND;
        found.push(content);
    }
    (found, at)
}

/// The content of the first record.
fn first(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    if checksum(length) != u32::from_le_bytes(*sum) {
        return None;
    }
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let content = rest.get(..length)?;
    let sum = rest[length..].first_chunk::<4>()?;
    (checksum(content) == u32::from_le_bytes(*sum)).then_some(content)
}

/// A message of Protocol Buffers, field by field.
#[derive(Clone, Debug, Default)]
pub(super) struct Message(Vec<u8>);

/// How values of a field are written.
const VARINT: u64 = 0;
const EIGHT: u64 = 1;
const LENGTH: u64 = 2;
const FOUR: u64 = 5;

impl Message {
    pub(super) fn new() -> Self {
        Self::default()
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    pub(super) fn integer(mut self, field: u64, value: u64) -> Self {
        self.key(field, VARINT);
        self.varint(value);
        self
    }

    pub(super) fn double(mut self, field: u64, value: f64) -> Self {
        self.key(field, EIGHT);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn float(mut self, field: u64, value: f32) -> Self {
        self.key(field, FOUR);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        self.key(field, LENGTH);
        self.varint(bytes.as_ref().len() as u64);
        self.0.extend(bytes.as_ref());
        self
    }

    pub(super) fn message(self, field: u64, inner: Self) -> Self {
        self.bytes(field, inner.0)
    }

    pub(super) fn doubles(self, field: u64, values: impl Iterator<Item = f64>) -> Self {
        let bytes: Vec<u8> = values.flat_map(f64::to_le_bytes).collect();
        self.bytes(field, bytes)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(not(test), allow(dead_code, reason = "only tests look at numbers"))]
pub(super) enum Value<'a> {
    Integer(u64),
    Eight([u8; 8]),
    Four([u8; 4]),
    Bytes(&'a [u8]),
}

/// The fields of a message in their order; what cannot be read ends them.
pub(super) fn fields(mut bytes: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let Some((field, rest)) = field(bytes) else { break };
        found.push(field);
        bytes = rest;
    }
    found
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

fn field(bytes: &[u8]) -> Option<((u64, Value<'_>), &[u8])> {
    let (key, rest) = varint(bytes)?;
    let (value, rest) = match key & 7 {
        VARINT => {
            let (value, rest) = varint(rest)?;
            (Value::Integer(value), rest)
        }
        EIGHT => {
            let (value, rest) = rest.split_first_chunk::<8>()?;
            (Value::Eight(*value), rest)
        }
        FOUR => {
            let (value, rest) = rest.split_first_chunk::<4>()?;
            (Value::Four(*value), rest)
        }
        LENGTH => {
            let (length, rest) = varint(rest)?;
            let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (Value::Bytes(value), rest)
        }
        _ => return None,
    };
    Some(((key >> 3, value), rest))
}

/// What is known of an event that was written: its step, and the tags of its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) step: usize,
    pub(super) tags: Vec<String>,
}

impl Seen {
    pub(super) fn of(event: &[u8]) -> Self {
        let mut seen = Self::default();
        for (field, value) in fields(event) {
            match (field, value) {
                (2, Value::Integer(step)) => seen.step = usize::try_from(step).unwrap_or(0),
                (5, Value::Bytes(summary)) => {
                    seen.tags.extend(fields(summary).into_iter().filter_map(tag))
                }
                _ => {}
            }
        }
        seen
    }
}

/// The tag of a value of a summary.
fn tag((field, value): (u64, Value<'_>)) -> Option<String> {
    let (1, Value::Bytes(value)) = (field, value) else { return None };
    fields(value).into_iter().find_map(|(field, value)| match (field, value) {
        (1, Value::Bytes(tag)) => Some(String::from_utf8_lossy(tag).into_owned()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_checksums_of_tensorflow() {
        // CRC-32C of nine digits is 0xe3069283, as its standard says.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        // The first record of every event file of TensorFlow 2 at the time 0.
        let event = Message::new().double(1, 0.0).bytes(3, "brain.Event:2").into_bytes();
        assert_eq!(event.len(), 24);
        let bytes = record(&event);
        assert_eq!(bytes[..12], [24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(records(&bytes), (vec![event.as_slice()], bytes.len()));
    }

    #[test]
    fn records_end_where_one_is_cut_off_or_damaged() {
        let both = [record(b"first"), record(b"second")].concat();
        let length = record(b"first").len();
        for end in length..both.len() {
            assert_eq!(records(&both[..end]), (vec![b"first".as_slice()], length), "{end}");
        }
        for at in length..both.len() {
            let mut damaged = both.clone();
            damaged[at] ^= 4;
            assert_eq!(records(&damaged).1, length, "{at}");
        }
    }

    #[test]
    fn fields_come_back() {
        let bytes = Message::new()
            .integer(1, 300)
            .double(2, -0.5)
            .float(3, 1.5)
            .message(4, Message::new().bytes(1, "x"))
            .doubles(5, [1.0, 2.0].into_iter())
            .into_bytes();
        let packed = [1.0f64.to_le_bytes(), 2.0f64.to_le_bytes()].concat();
        assert_eq!(
            fields(&bytes),
            [
                (1, Value::Integer(300)),
                (2, Value::Eight((-0.5f64).to_le_bytes())),
                (3, Value::Four(1.5f32.to_le_bytes())),
                (4, Value::Bytes(b"\x0a\x01x")),
                (5, Value::Bytes(&packed)),
            ]
        );
        // Lengths that lie end the fields.
        for end in 0..bytes.len() {
            assert!(fields(&bytes[..end]).len() < 6);
        }
    }
}
