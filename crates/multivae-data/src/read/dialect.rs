//! How a table is written: separator, decimal mark, lines before the header, row names.

use crate::{
    read::number::{Number, number},
    report::Warning,
};

/// Logical lines that are looked at.
const SAMPLE: usize = 64;

/// How a table is written.
#[derive(Debug)]
pub(super) struct Dialect {
    /// The table's bytes, as UTF-8 with one byte between cells.
    pub(super) bytes: Vec<u8>,
    /// Where the header, or the first row, begins in `bytes`.
    pub(super) start: usize,
    pub(super) separator: u8,
    /// Whether a comma is the decimal mark.
    pub(super) comma: bool,
    /// What is unusual.
    pub(super) notes: Vec<Warning>,
}

impl Dialect {
    /// Looks at the first lines of a table; `name` is that of its file.
    pub(super) fn of(name: &str, bytes: Vec<u8>) -> Self {
        let mut notes = Vec::new();
        let bytes = utf8(name, bytes, &mut notes);
        let mut start = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let mut told = None;
        let first = line(&bytes, start);
        if let Some(separator) = first.strip_prefix(b"sep=").and_then(|rest| rest.first()) {
            told = Some(*separator);
            start = next(&bytes, start);
            notes.push(Warning::note(name, "it begins with a line `sep=`"));
        }
        let mut comments = 0;
        while line(&bytes, start).starts_with(b"#") {
            // A header such as `#id,x,y` has as many cells as the row below it.
            let below = next(&bytes, start);
            let cells = |line: &[u8]| b"\t;,|".map(|separator| count(line, separator));
            let (here, there) = (cells(line(&bytes, start)), cells(line(&bytes, below)));
            if here == there && here.iter().any(|&count| count > 0) {
                start += 1;
                break;
            }
            if below >= bytes.len() {
                break;
            }
            start = below;
            comments += 1;
        }
        if comments > 0 {
            let found = format!("{comments} lines of comment before the header are passed over");
            notes.push(Warning::note(name, found));
        }
        let lines = sample(&bytes, start);
        let (separator, spaces) = match told {
            Some(separator) => (separator, false),
            None => separator(&lines),
        };
        let called = match separator {
            _ if spaces => Some("spaces"),
            b'\t' => Some("tabs"),
            b';' => Some("semicolons"),
            b'|' => Some("bars"),
            _ => None,
        };
        let comma = separator != b',' && decimal_comma(&lines, separator);
        if let Some(called) = called {
            let mark = if comma { ", and a comma is the decimal mark" } else { "" };
            let found = format!("its cells are separated by {called}{mark}");
            notes.push(Warning::note(name, found));
        }
        // What is passed over stays, so that lines keep their numbers.
        let bytes = if spaces { [&bytes[..start], &tabs(&bytes[start..])].concat() } else { bytes };
        Self { bytes, start, separator: if spaces { b'\t' } else { separator }, comma, notes }
    }
}

/// The bytes as UTF-8, if a mark says that they are UTF-16.
fn utf8(name: &str, bytes: Vec<u8>, notes: &mut Vec<Warning>) -> Vec<u8> {
    let units = |word: fn([u8; 2]) -> u16| -> Vec<u16> {
        bytes[2..].as_chunks::<2>().0.iter().map(|&pair| word(pair)).collect()
    };
    let units = match bytes[..] {
        [0xff, 0xfe, ..] => units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => units(u16::from_be_bytes),
        _ => return bytes,
    };
    notes.push(Warning::note(name, "its text is UTF-16"));
    String::from_utf16_lossy(&units).into_bytes()
}

/// The line that begins at `start`, without its end.
fn line(bytes: &[u8], start: usize) -> &[u8] {
    let rest = &bytes[start.min(bytes.len())..];
    let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
    &rest[..end]
}

/// Where the line after that at `start` begins.
fn next(bytes: &[u8], start: usize) -> usize {
    let end = start + line(bytes, start).len();
    let ending = if bytes[end..].starts_with(b"\r\n") { 2 } else { 1 };
    (end + ending).min(bytes.len())
}

/// The first lines that are not empty; a line break within quotes is part of its line.
fn sample(bytes: &[u8], start: usize) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let (mut from, mut quoted) = (start, false);
    for place in start..=bytes.len() {
        let end = match bytes.get(place) {
            Some(b'"') => {
                quoted = !quoted;
                false
            }
            Some(b'\n' | b'\r') => !quoted,
            Some(_) => false,
            None => true,
        };
        if end {
            if !bytes[from..place].trim_ascii().is_empty() {
                lines.push(&bytes[from..place]);
            }
            from = place + 1;
            if lines.len() == SAMPLE {
                break;
            }
        }
    }
    lines
}

/// How often a separator stands in a line, outside of quotes.
fn count(line: &[u8], separator: u8) -> usize {
    let mut quoted = false;
    let separates = |&&byte: &&u8| {
        quoted ^= byte == b'"';
        !quoted && byte == separator
    };
    line.iter().filter(separates).count()
}

/// The cells of a line, without their quotes.
fn cells(line: &[u8], separator: u8) -> Vec<String> {
    let mut quoted = false;
    line.split(|&byte| {
        quoted ^= byte == b'"';
        !quoted && byte == separator
    })
    .map(|cell| String::from_utf8_lossy(cell).trim().trim_matches('"').to_owned())
    .collect()
}

/// The separator that stands equally often in all lines, and whether it is runs of spaces. The
/// first line can have one cell less, as R writes tables with names of rows.
fn separator(lines: &[&[u8]]) -> (u8, bool) {
    let Some((head, rows)) = lines.split_first() else { return (b',', false) };
    for separator in [b'\t', b';', b',', b'|'] {
        let head = count(head, separator);
        let of_rows = rows.first().map_or(head, |row| count(row, separator));
        let even = rows.iter().all(|row| count(row, separator) == of_rows);
        if even && of_rows > 0 && (head == of_rows || head + 1 == of_rows) {
            return (separator, false);
        }
    }
    let words = |line: &[u8]| String::from_utf8_lossy(line).split_whitespace().count();
    let numbers = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        line.split_whitespace().skip(1).all(|cell| !matches!(number(cell, false), Number::Bad(_)))
    };
    let width = rows.first().map_or_else(|| words(head), |row| words(row));
    let even = rows.iter().all(|row| words(row) == width && numbers(row));
    if even && width > 1 && (words(head) == width || words(head) + 1 == width) && !rows.is_empty() {
        return (b' ', true);
    }
    let most = [b',', b'\t', b';', b'|'].into_iter().find(|&separator| count(head, separator) > 0);
    (most.unwrap_or(b','), false)
}

/// Whether cells are written with a decimal comma: one has a comma that does not stand between
/// groups of thousands, or all do between such groups and nothing has a decimal point.
fn decimal_comma(lines: &[&[u8]], separator: u8) -> bool {
    let cells: Vec<String> = lines.iter().flat_map(|line| cells(line, separator)).collect();
    let digits = |cell: &str| {
        let cell = cell.trim_start_matches(['-', '+']);
        cell.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b',' | b'.' | b'e' | b'-'))
            && cell.bytes().any(|byte| byte.is_ascii_digit())
    };
    let with: Vec<&String> =
        cells.iter().filter(|cell| cell.contains(',') && digits(cell)).collect();
    if with.is_empty() {
        return false;
    }
    let grouped = |cell: &&String| matches!(number(cell, false), Number::Value(_));
    let point = cells.iter().any(|cell| cell.contains('.') && digits(cell) && !cell.contains(','));
    !with.iter().all(grouped) || (separator == b';' && !point)
}

/// Runs of spaces as single tabs, line by line.
fn tabs(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut quoted, mut waiting, mut begun) = (false, false, false);
    for &byte in bytes {
        quoted ^= byte == b'"';
        match byte {
            b'\n' | b'\r' => {
                (waiting, begun) = (false, false);
                out.push(byte);
            }
            b' ' | b'\t' if !quoted => waiting = true,
            _ => {
                if waiting && begun {
                    out.push(b'\t');
                }
                (waiting, begun) = (false, true);
                out.push(byte);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (char, bool, String) {
        let dialect = Dialect::of("a.csv", text.into());
        let rest = String::from_utf8_lossy(&dialect.bytes[dialect.start..]).into_owned();
        (char::from(dialect.separator), dialect.comma, rest.lines().next().unwrap_or("").into())
    }

    #[test]
    fn separators_and_decimal_marks_are_found() {
        for (text, separator, comma) in [
            ("id,x\na,1\n", ',', false),
            ("id\tx\na\t1,5\n", '\t', true),
            ("id;x;y\na;1,5;2,25\n", ';', true),
            ("id;x\na;1.5\n", ';', false),
            ("id|x\na|1\n", '|', false),
            ("1 2  3\n 4 5 6\n", '\t', false),
            ("x\n1\n2\n", ',', false),
            ("kind\nT cell\nB cell\n", ',', false),
            ("id\tx\ty\na\t1,234\t0.5\n", '\t', false),
            ("id,\"a;b\"\nr,1\n", ',', false),
            ("x;y\nr1;1;2\nr2;3;4\n", ';', false),
        ] {
            let found = of(text);
            assert_eq!((found.0, found.1), (separator, comma), "{text}");
        }
    }

    #[test]
    fn lines_before_the_header_are_passed_over_and_said() {
        assert_eq!(of("sep=;\nid;x\na;1\n"), (';', false, "id;x".into()));
        assert_eq!(of("# exported\n# by hand\r\nid,x\na,1\n").2, "id,x");
        assert_eq!(of("#id,x\na,1\n").2, "id,x");
        let notes = Dialect::of("a.csv", b"# exported\nid\tx\na\t1\n".to_vec()).notes;
        let found: Vec<_> = notes.iter().map(|note| note.found.as_str()).collect();
        assert_eq!(
            found,
            [
                "1 lines of comment before the header are passed over",
                "its cells are separated by tabs",
            ]
        );
    }

    #[test]
    fn utf_16_is_read() {
        let mut bytes = vec![0xff, 0xfe];
        bytes.extend("id,x\na,1\n".encode_utf16().flat_map(u16::to_le_bytes));
        let dialect = Dialect::of("a.csv", bytes);
        assert_eq!(dialect.bytes, b"id,x\na,1\n");
    }
}
