//! Tables of text: CSV and its kin.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use csv::{ReaderBuilder, StringRecord};
use multivae_core::schema::{Dtype, ValueScale};

use super::{
    Candidate, Layout, ModalityTable, ReadOptions, TextTable, Words, bytes,
    dialect::Dialect,
    format::{self, Content, Format},
    name,
    number::{self, Number, is_missing, number},
    usual_id,
};
use crate::{
    cells::MissingCells,
    error::{DataError, Result, list},
    report::Warning,
    storage::Storage,
};

mod rewrite;

pub use rewrite::TableText;

/// The column that holds identifiers if nothing else is said; or else a first column without a
/// name, as which data frames write their index.
const ID: &str = "id";

/// Tables of text, separated by commas, semicolons, tabs, bars or spaces.
pub(crate) struct Csv;

impl Format for Csv {
    fn name(&self) -> &'static str {
        "CSV"
    }

    fn called(&self) -> &'static str {
        "`.csv`, `.tsv`, `.txt` (a table, also `.gz`)"
    }

    fn content(&self) -> Content {
        Content::Table
    }

    fn is(&self, path: &Path) -> bool {
        format::ends(path, &["csv", "tsv", "tab"], true)
            || format::ends(path, &["txt"], true) && !starts_like_prose(path)
    }

    fn text(&self, path: &Path, said: ReadOptions) -> Result<TextTable> {
        text(path, said)
    }

    fn block(&self, path: &Path, said: ReadOptions) -> Result<ModalityTable> {
        block(path, said)
    }
}

/// Whether a text file does not look like a table: its first lines have no separator in common.
fn starts_like_prose(path: &Path) -> bool {
    // What cannot be read is said when it is read.
    let Ok((bytes, _)) = bytes(path) else { return false };
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(1 << 16)]).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(3).collect();
    let separated = |line: &&str| line.contains(['\t', ',', ';', '|']);
    let numbers = |line: &&str| {
        let cells: Vec<_> = line.split_whitespace().collect();
        !cells.is_empty() && cells.iter().skip(1).all(|cell| cell.parse::<f64>().is_ok())
    };
    lines.len() < 2 || !(lines.iter().all(separated) || lines.iter().skip(1).all(numbers))
}

/// A table as it is in the file.
struct Table {
    path: PathBuf,
    dialect: Dialect,
    header: Vec<String>,
    /// Whether the file names its columns.
    named: bool,
    /// The column of identifiers, where it is certain.
    id: Option<usize>,
    /// Whether each row ends in a separator with nothing behind it.
    trailing: bool,
}

/// Every column but the identifiers as a feature; single cells can be missing.
///
/// Columns that could hold identifiers are given as candidates beside the values.
fn block(path: &Path, said: ReadOptions) -> Result<ModalityTable> {
    let mut table = Table::open(path, said)?;
    let width = table.header.len();
    let comma = table.dialect.comma;
    let mut tracks: Vec<_> = (0..width).map(|column| Track::new(&table, column)).collect();
    let mut values: Vec<f64> = Vec::new();
    let blanks = table.each(|table, byte, cells| {
        for ((column, cell), track) in cells.iter().enumerate().zip(&mut tracks) {
            let value = if table.id == Some(column) {
                track.keep(cell);
                f64::NAN
            } else {
                match number(cell, comma) {
                    _ if said.is_code(cell) => {
                        track.end();
                        f64::NAN
                    }
                    Number::Value(value) => {
                        track.number(cell, value);
                        value
                    }
                    Number::Missing => {
                        track.end();
                        f64::NAN
                    }
                    Number::Bad(expected) if expected == number::NUMBER => {
                        track.text(cell, byte, expected);
                        f64::NAN
                    }
                    Number::Bad(expected) => {
                        return Err(table.cell(byte, column, expected, cell));
                    }
                }
            };
            values.push(value);
        }
        Ok(())
    })?;
    table.note_blanks(blanks);
    let rows = values.len() / width;
    let mut candidates = Vec::new();
    let mut features: Vec<usize> = Vec::new();
    let mut words = Vec::new();
    for (column, track) in tracks.into_iter().enumerate() {
        let name = table.header[column].clone();
        let certain = table.id == Some(column);
        let bad = track.bad.map(|(byte, cell, expected)| (table.line(byte), cell, expected));
        if let Some(bad) = bad.clone().filter(|_| !certain) {
            if track.twice.is_some() && table.id.is_none() {
                return Err(table.twice(track.twice));
            }
            words.push(Words { column, name: name.clone(), cells: Vec::new(), bad });
        }
        let of_words = bad.is_some();
        if certain || (track.alive && track.kept.len() == rows) {
            candidates.push(Candidate {
                usual: usual_id(&name),
                column: name,
                named: table.named,
                certain,
                feature: (!of_words && !certain).then_some(features.len()),
                bad,
                ids: track.kept,
            });
        }
        if !certain && !of_words {
            features.push(column);
        }
    }
    if !words.is_empty() {
        table.each(|_, _, cells| {
            for words in &mut words {
                let cell = cells[words.column];
                words.cells.push(if said.is_code(cell) { String::new() } else { cell.to_owned() });
            }
            Ok(())
        })?;
    }
    if features.is_empty() && words.len() <= usize::from(table.id.is_none()) {
        let reason = "it has no columns besides the identifiers";
        return Err(DataError::EmptyFile { path: path.into(), reason });
    }
    if features.len() < width {
        let kept = values.chunks_exact(width).flat_map(|row| features.iter().map(|&c| row[c]));
        values = kept.collect();
    }
    let missing = match features.len() {
        0 => None,
        n => MissingCells::from_flags(n, values.iter().map(|value| value.is_nan())),
    };
    for value in values.iter_mut().filter(|value| value.is_nan()) {
        *value = 0.0;
    }
    let columns = features.iter().map(|&column| table.header[column].clone()).collect();
    let layout = Layout {
        header: said.header,
        said_id: said.id.map(str::to_owned),
        names: table.header,
        columns: features.iter().copied().map(Some).collect(),
        id: table.id,
        comma: table.dialect.comma,
    };
    Ok(ModalityTable {
        path: path.to_path_buf(),
        ids: None,
        candidates,
        shape: vec![features.len()],
        columns: table.named.then_some(columns),
        words,
        table: None,
        rows,
        values: Storage::precise(values),
        missing,
        dtype: Dtype::Text,
        scale: ValueScale::IDENTITY,
        notes: table.dialect.notes,
        matrix: false,
        layout: Some(layout),
    })
}

/// All cells of a table as text.
fn text(path: &Path, said: ReadOptions) -> Result<TextTable> {
    let mut table = Table::open(path, said)?;
    let wanted = said.column.map(|column| table.find(column)).transpose()?;
    let mut columns: Vec<Vec<String>> = vec![Vec::new(); table.header.len()];
    let mut bytes = Vec::new();
    let blanks = table.each(|_, byte, cells| {
        bytes.push(byte);
        for (column, cell) in columns.iter_mut().zip(cells) {
            column.push((*cell).to_owned());
        }
        Ok(())
    })?;
    table.note_blanks(blanks);
    let lines = bytes.into_iter().map(|byte| table.line(byte)).collect();
    Ok(TextTable {
        path: path.into(),
        columns: table.header.into_iter().zip(columns).collect(),
        named: table.named,
        lines,
        id: table.id,
        wanted,
        notes: table.dialect.notes,
    })
}

/// What is known of a column while its rows are read.
struct Track {
    /// Whether the column can still hold identifiers: no cell is missing, none is a fraction, and
    /// all differ.
    alive: bool,
    usual: bool,
    kept: Vec<String>,
    seen: HashSet<String>,
    /// The first cell that is no number: where, what it holds, and what was expected.
    bad: Option<(u64, String, &'static str)>,
    /// The first cell that is given twice below a usual name.
    twice: Option<String>,
    rows: usize,
}

impl Track {
    fn new(table: &Table, column: usize) -> Self {
        let usual = usual_id(&table.header[column]).is_some();
        let (kept, seen) = (Vec::new(), HashSet::new());
        Self { alive: true, usual, kept, seen, bad: None, twice: None, rows: 0 }
    }

    /// A cell of a column of identifiers.
    fn keep(&mut self, cell: &str) {
        self.kept.push(cell.to_owned());
    }

    fn number(&mut self, cell: &str, value: f64) {
        self.rows += 1;
        if self.alive && (value.fract() != 0.0 || cell.contains(['e', 'E', ','])) {
            self.end();
        }
        self.candidate(cell);
    }

    /// A cell of text, which can be an identifier from the first row on, or below a usual name.
    fn text(&mut self, cell: &str, byte: u64, expected: &'static str) {
        self.rows += 1;
        if self.rows > 1 && self.bad.is_none() && !self.usual {
            self.end();
        }
        self.bad.get_or_insert_with(|| (byte, cell.to_owned(), expected));
        self.candidate(cell);
    }

    fn candidate(&mut self, cell: &str) {
        if self.alive {
            if self.seen.insert(cell.to_owned()) {
                self.kept.push(cell.to_owned());
            } else {
                self.twice = self.usual.then(|| cell.to_owned());
                self.end();
            }
        }
    }

    fn end(&mut self) {
        self.alive = false;
        self.kept = Vec::new();
        self.seen = HashSet::new();
    }
}

impl Table {
    fn open(path: &Path, said: ReadOptions) -> Result<Self> {
        let (bytes, mut packing) = bytes(path)?;
        let mut dialect = Dialect::of(&name(path), bytes);
        dialect.notes.append(&mut packing);
        let mut table = Self {
            path: path.into(),
            dialect,
            header: Vec::new(),
            named: true,
            id: None,
            trailing: false,
        };
        let mut first = Vec::new();
        let mut reader = table.reader(table.dialect.start);
        let mut record = StringRecord::new();
        while first.len() < 2 {
            if !reader.read_record(&mut record).map_err(|error| table.malformed(&error))? {
                break;
            }
            let cells: Vec<String> = record.iter().map(|cell| cell.trim().to_owned()).collect();
            if cells.len() > 1 || cells.iter().any(|cell| !cell.is_empty()) {
                first.push(cells);
            }
        }
        drop(reader);
        let mut first = first.into_iter();
        let Some(mut header) = first.next() else {
            return Err(DataError::EmptyFile { path: path.into(), reason: "it has no lines" });
        };
        let row = first.next();
        let file = name(path);
        let headless = match said.header {
            Some(header) => !header,
            None => is_row(&header, row.as_deref(), table.dialect.comma),
        };
        if headless {
            table.named = false;
            if said.header.is_none() {
                table.dialect.notes.push(Warning::new(
                    &file,
                    "its first line is taken for a row, since it holds numbers like those below",
                    "if it names the columns, say `header = true` in a manifest",
                ));
            }
            header = (0..header.len()).map(|column| column.to_string()).collect();
        }
        if let Some(row) = row {
            let empty = |cell: Option<&String>| cell.is_some_and(String::is_empty);
            if row.len() == header.len() + 1 && !headless && !empty(row.last()) {
                header.insert(0, String::new());
                table.dialect.notes.push(Warning::note(
                    &file,
                    "its header has one cell less than its rows: the first cells are names of rows",
                ));
            } else if empty(row.last()) && row.len() == header.len() + 1 {
                table.trailing = true;
            } else if header.len() > 1 && !headless && empty(header.last()) && empty(row.last()) {
                table.trailing = true;
                header.pop();
            }
            if table.trailing {
                let found = "its lines end in a separator with nothing behind it";
                table.dialect.notes.push(Warning::note(&file, found));
            }
        }
        let mut seen = HashSet::new();
        if let Some(column) = header.iter().find(|column| !seen.insert(*column)) {
            return Err(DataError::DuplicateColumn { path: path.into(), column: column.clone() });
        }
        table.header = header;
        if table.header.len() == 1 {
            table.check_empty_lines()?;
        }
        table.id = match said.id {
            Some(id) => Some(table.find(id)?),
            None => (table.header.iter().position(|column| column == ID))
                .or_else(|| table.header.first().filter(|column| column.is_empty()).map(|_| 0)),
        };
        Ok(table)
    }

    fn reader(&self, from: usize) -> csv::Reader<&[u8]> {
        ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.dialect.separator)
            .from_reader(&self.dialect.bytes[from..])
    }

    fn find(&self, column: &str) -> Result<usize> {
        self.header.iter().position(|name| name == column).ok_or_else(|| DataError::MissingColumn {
            path: self.path.clone(),
            column: column.into(),
            known: list(&self.header),
        })
    }

    /// Calls `row` with the place and the trimmed cells of each row; gives how many rows without
    /// any value were passed over.
    fn each(&self, mut row: impl FnMut(&Self, u64, &[&str]) -> Result<()>) -> Result<usize> {
        let mut reader = self.reader(self.dialect.start);
        let mut record = StringRecord::new();
        let width = self.header.len();
        let mut seen = HashSet::new();
        let (mut rows, mut skip, mut blanks, mut waiting) = (0, self.named, 0, Vec::new());
        while reader.read_record(&mut record).map_err(|error| self.malformed(&error))? {
            let byte = record.position().map_or(0, csv::Position::byte);
            let mut cells: Vec<&str> = record.iter().map(str::trim).collect();
            if skip {
                if cells.len() > 1 || cells.iter().any(|cell| !cell.is_empty()) {
                    skip = false;
                }
                continue;
            }
            if cells.len() == width + 1 && self.trailing && cells[width].is_empty() {
                cells.pop();
            }
            if cells.len() != width {
                let found = cells.len();
                let reason =
                    format!("line {}: expected {width} cells, found {found}", self.line(byte));
                return Err(self.invalid(reason));
            }
            // Rows without anything at the end are left over by spreadsheets; between others they
            // hold a place.
            if width > 1 && cells.iter().all(|cell| cell.is_empty()) {
                blanks += 1;
                waiting.push(byte);
                continue;
            }
            if self.id.is_none() {
                for byte in waiting.drain(..) {
                    blanks -= 1;
                    rows += 1;
                    row(self, byte, &vec![""; width])?;
                }
            }
            rows += 1;
            if let Some(id) = self.id {
                if cells[id].is_empty() {
                    return Err(self.cell(byte, id, "an identifier", ""));
                }
                if !seen.insert(cells[id].to_owned()) {
                    let (path, id) = (self.path.clone(), cells[id].to_owned());
                    return Err(DataError::DuplicateId { path, id });
                }
            }
            row(self, byte, &cells)?;
        }
        if rows == 0 {
            let reason = "it has no rows below its header";
            return Err(DataError::EmptyFile { path: self.path.clone(), reason });
        }
        Ok(blanks)
    }

    fn note_blanks(&mut self, blanks: usize) {
        if blanks > 0 {
            let found = format!("{blanks} rows without any value are passed over");
            let subject = name(&self.path);
            self.dialect.notes.push(Warning::new(subject, found, "delete them in the file"));
        }
    }

    /// The number of the line, from 1, of the row read at a place.
    fn line(&self, byte: u64) -> u64 {
        let bytes = &self.dialect.bytes;
        let mut end = self.dialect.start + byte as usize;
        // A row is said to begin at the line breaks before it.
        while matches!(bytes.get(end), Some(b'\n' | b'\r')) {
            end += 1;
        }
        lines(&bytes[..end.min(bytes.len())]) + 1
    }

    fn cell(&self, byte: u64, column: usize, expected: &'static str, found: &str) -> DataError {
        DataError::Cell {
            path: self.path.clone(),
            line: self.line(byte),
            column: self.header[column].clone(),
            expected,
            found: found.into(),
        }
    }

    /// The error about an identifier that is given twice.
    fn twice(&self, id: Option<String>) -> DataError {
        DataError::DuplicateId { path: self.path.clone(), id: id.unwrap_or_default() }
    }

    fn invalid(&self, reason: String) -> DataError {
        DataError::Malformed { path: self.path.clone(), format: "CSV", reason }
    }

    fn malformed(&self, error: &csv::Error) -> DataError {
        self.invalid(match error.kind() {
            csv::ErrorKind::Utf8 { pos, .. } => {
                let line = self.line(pos.as_ref().map_or(0, csv::Position::byte));
                format!("line {line}: the text is not UTF-8; save it as UTF-8")
            }
            _ => error.to_string(),
        })
    }

    /// Refuses empty lines within a table of one column, where they could be missing values, since
    /// the reader would pass over them.
    fn check_empty_lines(&self) -> Result<()> {
        let bytes = self.dialect.bytes.trim_ascii_end();
        let text = String::from_utf8_lossy(&bytes[self.dialect.start.min(bytes.len())..]);
        let before = lines(&bytes[..self.dialect.start.min(bytes.len())]);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        match text.split('\n').position(|line| line.trim().is_empty()) {
            None => Ok(()),
            Some(line) => {
                let line = before + line as u64 + 1;
                Err(self.invalid(format!("line {line} is empty; a missing value is `NaN`")))
            }
        }
    }
}

/// How many lines end in a text: at a line feed, a carriage return, or both.
fn lines(text: &[u8]) -> u64 {
    let ends = |(place, &byte): (usize, &u8)| match byte {
        b'\n' => true,
        b'\r' => text.get(place + 1) != Some(&b'\n'),
        _ => false,
    };
    text.iter().enumerate().filter(|&line| ends(line)).count() as u64
}

/// Whether the first line of a table is a row like those below: all its cells are numbers, or all
/// but the first, which is text as in the next row. Numbers in sequence are names of columns, as
/// data frames write them, and so are years, and five or more numbers that rise.
fn is_row(first: &[String], second: Option<&[String]>, comma: bool) -> bool {
    let value = |cell: &String| match number(cell, comma) {
        Number::Value(value) => Some(value),
        Number::Missing | Number::Bad(_) => None,
    };
    let numbers = |cells: &[String]| -> Option<Vec<f64>> {
        let known = cells.iter().filter(|cell| !is_missing(cell));
        known.map(value).collect::<Option<Vec<_>>>().filter(|values| !values.is_empty())
    };
    let names = |values: &[f64]| {
        let steps = values.windows(2).all(|pair| pair[1] - pair[0] == 1.0);
        let years = values.iter().all(|v| v.fract() == 0.0 && (1800.0..2200.0).contains(v));
        // Such as masses or wavelengths.
        let rising = values.len() > 4 && values.windows(2).all(|pair| pair[1] > pair[0]);
        let counted = steps && (values[0] == 0.0 || values[0] == 1.0);
        values.len() > 1 && (years || counted || rising)
    };
    let text = |cell: Option<&String>| {
        cell.is_some_and(|cell| !cell.is_empty() && matches!(number(cell, comma), Number::Bad(_)))
    };
    if let Some(values) = numbers(first) {
        let index = first[0].is_empty();
        return !index && !names(&values);
    }
    let Some(second) = second else { return false };
    first.len() == second.len()
        && first.len() > 1
        && text(first.first())
        && usual_id(&first[0]).is_none()
        && text(second.first())
        && numbers(&second[1..]).is_some()
        && numbers(&first[1..]).is_some_and(|values| !names(&values))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn open<T>(text: &[u8], read: impl Fn(&Path) -> Result<T>) -> Result<T, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv");
        fs::write(&path, text).expect("writable");
        let place = folder.path().display().to_string();
        read(&path).map_err(|error| error.to_string().replace(&format!("{place}/"), ""))
    }

    fn table(text: &str) -> Result<ModalityTable, String> {
        open(text.as_bytes(), |path| block(path, ReadOptions::default()))
    }

    /// The candidates that are certain, or else all.
    fn ids(block: &ModalityTable) -> Vec<(&str, Vec<&str>)> {
        let candidates = block.candidates.iter();
        let certain = block.candidates.iter().any(|candidate| candidate.certain);
        candidates
            .filter(|candidate| candidate.certain || !certain)
            .map(|c| (c.column.as_str(), c.ids.iter().map(String::as_str).collect()))
            .collect()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            values in proptest::collection::vec(proptest::num::f32::NORMAL, 6),
        ) {
            let [a, b, c, d, e, f] = values[..] else { unreachable!("six values") };
            let text = format!("id,x,y\nr1,{a},{b}\nr2,{c},{d:e}\r\n\"r,3\",{e} ,\"{f}\"\n");
            let block = table(&text).expect("valid");
            // `f32` writes as few digits as tell it from others, and so can `f64` have more.
            let mut found = vec![0.0; 6];
            block.values.read(0, &mut found).expect("in memory");
            prop_assert_eq!(found, values);
            prop_assert_eq!(ids(&block), [("id", vec!["r1", "r2", "r,3"])]);
            prop_assert_eq!(block.shape, [2]);
        }
    }

    #[test]
    fn a_missing_cell_is_a_missing_cell() {
        let block = table("x,y\n1,2\n3,\nnan,4\nNA,[Not Available]\n6,7\n").expect("valid");
        let missing = block.missing.as_ref().expect("some");
        let of_rows: Vec<_> = (0..5).map(|row| missing.missing_in(row)).collect();
        assert_eq!(of_rows, [0, 1, 1, 2, 0]);
        assert_eq!(
            block.values,
            Storage::Floats(vec![1.0, 2.0, 3.0, 0.0, 0.0, 4.0, 0.0, 0.0, 6.0, 7.0])
        );
        assert_eq!(block.columns, Some(vec!["x".into(), "y".into()]));
        assert_eq!(block.dtype, Dtype::Text);
    }

    #[test]
    fn numbers_keep_the_digits_that_are_written() {
        let block = table("when\n1700000000.125\n1700000060.25\n").expect("valid");
        assert_eq!(block.values, Storage::Doubles(vec![1_700_000_000.125, 1_700_000_060.25]));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_column() {
        let block = table("\u{feff}id,x\r\na,1\r\n").expect("valid");
        assert_eq!(ids(&block), [("id", vec!["a"])]);
    }

    #[test]
    fn ways_of_writing_tables_give_the_same_values() {
        for (text, columns) in [
            ("id\tx\ty\na\t1\t-2.5\nb\t3\t4\n", true),
            ("id;x;y\na;1;-2,5\nb;3;4,0\n", true),
            ("id|x|y\na|1|-2.5\nb|3|4\n", true),
            ("id x   y\na 1 -2.5\nb   3 4\n", true),
            ("sep=;\nid;x;y\na;1;-2.5\nb;3;4\n", true),
            ("# from the lab\nid,x,y\na,1,-2.5\nb,3,4\n", true),
            ("#id,x,y\na,1,-2.5\nb,3,4\n", true),
            ("id,x,y,\na,1,-2.5,\nb,3,4,\n", true),
            ("id,x,y\na,1,-2.5,\nb,3,4,\n", true),
            ("id,x,y\na,1,-2.5\nb,3,4\n,,\n,,\n\n", true),
            ("x,y\na,1,-2.5\nb,3,4\n", true),
            ("id,x,y\ra,1,-2.5\rb,3,4\r", true),
            ("id,x,y\na,1\u{a0},\u{2212}2.5\nb,3,4\n", true),
            ("\"id\",\"x\",\"y\"\n\"a\",\"1\",\"-2.5\"\n\"b\",\"3\",\"4\"\n", true),
            ("a,1,-2.5\nb,3,4\n", false),
        ] {
            let block = table(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(block.values, Storage::Floats(vec![1.0, -2.5, 3.0, 4.0]), "{text}");
            let found = ids(&block).into_iter().find(|(_, ids)| ids == &["a", "b"]);
            assert!(found.is_some(), "{text}: {:?}", block.candidates);
            assert_eq!(block.columns.is_some(), columns, "{text}");
            assert_eq!(block.missing, None, "{text}");
        }
    }

    #[test]
    fn a_first_line_of_numbers_is_a_row_and_not_names() {
        let found = table("0.5,1.5\n2.5,3.5\n").expect("valid");
        assert_eq!((found.rows, found.columns), (2, None));
        assert!(found.notes[0].found.contains("its first line is taken for a row"));
        let masses = "group,85.5,90.25,91.5,92.5,101.75\nill,1,2,1,2,1\n";
        for text in [
            masses,
            "0,1,2\n5,6,7\n",
            ",0,1\na,5,6\n",
            "id,2019,2020\na,5,6\n",
            "y,2019,2020\na,5,6\n",
        ] {
            assert_eq!(table(text).expect("valid").rows, 1, "{text}");
        }
        let said = |header| {
            let said = ReadOptions { header: Some(header), ..ReadOptions::default() };
            open(b"7,8\n2,3\n", move |path| block(path, said)).expect("valid").rows
        };
        assert_eq!((said(true), said(false)), (1, 2));
    }

    #[test]
    fn lines_are_counted_whatever_ends_them_and_comes_before() {
        for text in [
            "x,y\n1,2\n3,red\n",
            "x,y\r\n1,2\r\n3,red\r\n",
            "x,y\r1,2\r3,red\r",
            "# note\r\nx,y\r\n3,red\r\n",
            "sep=,\nx,y\n3,red\n",
            "x,y\r\n\r\n3,red\r\n",
        ] {
            let words = table(text).expect("kinds are settled later").words;
            assert_eq!(words[0].name, "y");
            assert_eq!(words[0].bad, (3, "red".into(), number::NUMBER), "{text:?}");
        }
    }

    #[test]
    fn columns_whose_values_differ_are_candidates_for_identifiers() {
        let block = table("patient,age,x\n7,30,0.5\n8,30,0.7\n").expect("valid");
        assert_eq!(ids(&block), [("patient", vec!["7", "8"])]);
        assert_eq!(block.candidates[0].feature, Some(0));
        let block = table("who,x\nann,0.5\nbob,0.7\n").expect("valid");
        assert_eq!(ids(&block), [("who", vec!["ann", "bob"])]);
        assert_eq!((block.candidates[0].feature, block.shape), (None, vec![1]));
    }

    #[test]
    fn a_packed_table_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv.gz");
        let mut file = GzEncoder::new(fs::File::create(&path).expect("new"), Compression::fast());
        file.write_all(b"x\n1\n2\n").and_then(|()| file.try_finish()).expect("writable");
        let block = block(&path, ReadOptions::default()).expect("valid");
        assert_eq!(block.values, Storage::Floats(vec![1.0, 2.0]));
    }

    #[test]
    fn bad_tables_are_refused_by_file_line_and_column() {
        for (text, expected) in [
            ("x\n1\ninf\n", "`a.csv`, line 3, column `x`: expected a finite number, found `inf`"),
            (
                "x\n1\n\n3\n",
                "`a.csv` is not a valid CSV file: line 3 is empty; a missing value is `NaN`",
            ),
            ("x\n1e99\n", "`a.csv`, line 2, column `x`: expected a finite number, found `1e99`"),
            ("x,y\n1,2\n3\n", "`a.csv` is not a valid CSV file: line 3: expected 2 cells, found 1"),
            (
                "x,y\r\n1,2\r\n3\r\n",
                "`a.csv` is not a valid CSV file: line 3: expected 2 cells, found 1",
            ),
            ("x,y\n", "`a.csv` is empty: it has no rows below its header"),
            ("", "`a.csv` is empty: it has no bytes"),
            ("id\n1\n", "`a.csv` is empty: it has no columns besides the identifiers"),
            ("id,x\n1,2\n1,3\n", "`a.csv`: identifier `1` is given twice"),
            ("patient,x\nann,2\nann,3\n", "`a.csv`: identifier `ann` is given twice"),
            ("patient,x\nann,2\nann,3\nbob,4\n", "`a.csv`: identifier `ann` is given twice"),
            ("id,x\n1,2\n,3\n", "`a.csv`, line 3, column `id`: expected an identifier, found ``"),
            ("a,a\n2,3\n", "`a.csv`: column `a` is given twice; is the header line missing?"),
        ] {
            assert_eq!(table(text).expect_err("bad"), expected);
        }
        let error = open(b"x\n\xff\xfe\n", |path| block(path, ReadOptions::default()));
        assert_eq!(
            error.expect_err("not text"),
            "`a.csv` is not a valid CSV file: line 2: the text is not UTF-8; save it as UTF-8"
        );
    }

    #[test]
    fn the_column_of_identifiers_can_be_named() {
        assert_eq!(ids(&table(",x\ns1,2\n").expect("an index")), [("", vec!["s1"])]);
        let read = |id| {
            let said = ReadOptions { id: Some(id), ..ReadOptions::default() };
            open(b"sample,x\ns1,2\n", move |path| block(path, said))
        };
        assert_eq!(ids(&read("sample").expect("there")), [("sample", vec!["s1"])]);
        assert_eq!(
            read("name").expect_err("not there"),
            "`a.csv` has no column `name`; it has `sample`, `x`"
        );
    }

    #[test]
    fn all_cells_are_given_as_text_with_their_lines() {
        let found = open(b"id,kind\r\n1,b\r\n2,\r\n", |path| text(path, ReadOptions::default()));
        let found = found.expect("valid");
        assert_eq!(found.columns[1], ("kind".into(), vec!["b".into(), String::new()]));
        assert_eq!((found.lines, found.id, found.wanted), (vec![2, 3], Some(0), None));
    }
}
