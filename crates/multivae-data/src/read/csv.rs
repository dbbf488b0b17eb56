//! Tables of text: CSV and its kin.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord};

use super::{
    ModalityTable, Place, ReadOptions, TextTable, bytes,
    dialect::Dialect,
    format::{self, Content, Format},
    name,
    table::{self, Cell, Head, Rows, is_row},
};
use crate::{
    error::{DataError, Result},
    report::Warning,
};

mod rewrite;

pub use rewrite::TableText;

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

    fn has_header(&self) -> bool {
        true
    }

    fn is(&self, path: &Path) -> bool {
        format::ends(path, &["csv", "tsv", "tab"], true)
            || format::ends(path, &["txt"], true) && !starts_like_prose(path)
    }

    fn text(&self, path: &Path, said: ReadOptions) -> Result<TextTable> {
        table::text(Table::open(path, said)?, said)
    }

    fn block(&self, path: &Path, said: ReadOptions) -> Result<ModalityTable> {
        table::block(Table::open(path, said)?, said)
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
    head: Head,
    dialect: Dialect,
    /// Whether each row ends in a separator with nothing behind it.
    trailing: bool,
}

impl Rows for Table {
    fn head(&self) -> &Head {
        &self.head
    }

    fn into_head(self) -> Head {
        self.head
    }

    fn visit(&self, row: &mut dyn FnMut(u64, &[Cell<'_>]) -> Result<()>) -> Result<()> {
        let mut reader = self.reader(self.dialect.start);
        let mut record = StringRecord::new();
        let width = self.head.names.len();
        let mut skip = self.head.named;
        while reader.read_record(&mut record).map_err(|error| self.malformed(&error))? {
            let byte = record.position().map_or(0, csv::Position::byte);
            let mut cells: Vec<Cell> = record.iter().map(|cell| Cell::Text(cell.trim())).collect();
            if skip {
                if cells.len() > 1 || cells.iter().any(|cell| *cell != Cell::Text("")) {
                    skip = false;
                }
                continue;
            }
            if cells.len() == width + 1 && self.trailing && cells[width] == Cell::Text("") {
                cells.pop();
            }
            if cells.len() != width {
                let found = cells.len();
                let reason =
                    format!("line {}: expected {width} cells, found {found}", self.line(byte));
                return Err(self.invalid(reason));
            }
            row(byte, &cells)?;
        }
        Ok(())
    }

    fn place(&self, mark: u64) -> Place {
        Place::Line(self.line(mark))
    }

    fn places(&self, marks: Vec<u64>) -> Vec<Place> {
        let (mut counted, mut line) = (0, 1);
        let place = |mark| {
            // From row to row: from the start for each row it would take the square of their number.
            let end = self.end(mark);
            line += lines(&self.dialect.bytes[counted..end]);
            counted = end;
            Place::Line(line)
        };
        marks.into_iter().map(place).collect()
    }
}

impl Table {
    fn open(path: &Path, said: ReadOptions) -> Result<Self> {
        let (bytes, mut packing) = bytes(path)?;
        let mut dialect = Dialect::of(&name(path), bytes);
        dialect.notes.append(&mut packing);
        let head = Head { text: true, comma: dialect.comma, ..Head::new(path, Vec::new())? };
        let mut table = Self { head, dialect, trailing: false };
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
        let mut notes = std::mem::take(&mut table.dialect.notes);
        let headless = match said.header {
            Some(header) => !header,
            None => is_row(&header, row.as_deref(), table.dialect.comma),
        };
        if headless {
            if said.header.is_none() {
                notes.push(table::headless(&file));
            }
            header = table::numbered(header.len());
        }
        if let Some(row) = row {
            let empty = |cell: Option<&String>| cell.is_some_and(String::is_empty);
            if row.len() == header.len() + 1 && !headless && !empty(row.last()) {
                header.insert(0, String::new());
                notes.push(Warning::note(
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
                notes.push(Warning::note(&file, found));
            }
        }
        let comma = table.dialect.comma;
        let head = Head::new(path, header)?;
        table.head = Head { named: !headless, text: true, comma, notes, ..head };
        if table.head.names.len() == 1 {
            table.check_empty_lines()?;
        }
        table.head = table.head.with_id(said, None)?;
        Ok(table)
    }

    fn reader(&self, from: usize) -> csv::Reader<&[u8]> {
        ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.dialect.separator)
            .from_reader(&self.dialect.bytes[from..])
    }

    /// The number of the line, from 1, of the row read at a place.
    fn line(&self, byte: u64) -> u64 {
        lines(&self.dialect.bytes[..self.end(byte)]) + 1
    }

    /// Where the first cell of the row read at a place begins.
    fn end(&self, byte: u64) -> usize {
        let bytes = &self.dialect.bytes;
        let mut end = self.dialect.start + byte as usize;
        // A row is said to begin at the line breaks before it.
        while matches!(bytes.get(end), Some(b'\n' | b'\r')) {
            end += 1;
        }
        end.min(bytes.len())
    }

    fn invalid(&self, reason: String) -> DataError {
        DataError::Malformed { path: self.head.path.clone(), format: "CSV", reason }
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

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use multivae_core::schema::Dtype;

    use super::*;
    use crate::{fixture::Folder, read::number, storage::Storage};

    fn block(path: &Path, said: ReadOptions) -> Result<ModalityTable> {
        Csv.block(path, said)
    }

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
        for text in ["x,y\r\n1,2\r\n\r\n3,red\r\n", "x\ty\n1\t2\n\n3\tred", "x,y\r1,2\r\r3,red"] {
            let folder = Folder::new([("a.csv", text.as_bytes().to_vec())]);
            let table =
                Table::open(&folder.path("a.csv"), ReadOptions::default()).expect("a table");
            let mut marks = Vec::new();
            let visited = table.visit(&mut |mark, _| {
                marks.push(mark);
                Ok(())
            });
            visited.expect("two cells each");
            let one_by_one: Vec<Place> = marks.iter().map(|&mark| table.place(mark)).collect();
            assert_eq!(table.places(marks), one_by_one, "{text:?}");
            assert_eq!(one_by_one.last(), Some(&Place::Line(4)), "{text:?}");
        }
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
            assert_eq!(words[0].bad, (Place::Line(3), "red".into(), number::NUMBER), "{text:?}");
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
        let found =
            open(b"id,kind\r\n1,b\r\n2,\r\n", |path| Csv.text(path, ReadOptions::default()));
        let found = found.expect("valid");
        assert_eq!(found.columns[1], ("kind".into(), vec!["b".into(), String::new()]));
        assert_eq!(
            (found.places, found.id, found.wanted),
            ([2, 3].map(Place::Line).to_vec(), Some(0), None)
        );
    }
}
