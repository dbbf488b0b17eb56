//! Tables with a header line.

use std::{collections::HashSet, path::Path};

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{Block, Labels, Said, bytes, check_ids};
use crate::{
    error::{DataError, Result, list},
    memory::Storage,
};

/// The column that holds identifiers if nothing else is said; or else a first column without a
/// name, as which data frames write their index.
const ID: &str = "id";

/// A table as it is in the file.
struct Table {
    header: Vec<String>,
    /// The column of identifiers.
    id: Option<usize>,
    bytes: Vec<u8>,
}

/// A column of text, with the lines of its cells.
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) ids: Option<Vec<String>>,
    pub(crate) cells: Vec<(u64, String)>,
}

/// Every column but the identifiers as a feature.
///
/// A row with an empty cell, `NaN` or `NA` is missing.
pub(super) fn block(path: &Path, id: Option<&str>) -> Result<Block> {
    let table = Table::open(path, id)?;
    let features = table.header.len() - usize::from(table.id.is_some());
    if features == 0 {
        let reason = "it has no columns besides the identifiers";
        return Err(DataError::EmptyFile { path: path.into(), reason });
    }
    let mut values = Vec::new();
    let mut missing = Vec::new();
    let ids = table.each(path, |line, record| {
        let start = values.len();
        let mut whole = true;
        for (column, cell) in record.iter().enumerate() {
            if table.id != Some(column) {
                match number(cell) {
                    Number::Value(value) => values.push(value),
                    Number::Missing => {
                        whole = false;
                        values.push(0.0);
                    }
                    Number::Bad(expected) => {
                        return Err(table.cell(path, line, column, expected, cell));
                    }
                }
            }
        }
        if !whole {
            values[start..].fill(0.0);
        }
        missing.push(!whole);
        Ok(())
    })?;
    let path = path.to_path_buf();
    Ok(Block { path, ids, shape: vec![features], values: Storage::Floats(values), missing })
}

/// Labels: whole numbers as they are; else the different words in alphabetical order are the
/// classes.
pub(super) fn labels(path: &Path, said: Said) -> Result<Labels> {
    let Column { name, ids, cells } = column(path, said)?;
    if let Some((line, cell)) = cells.iter().find(|(_, cell)| cell.is_empty()) {
        return Err(DataError::Cell {
            path: path.into(),
            line: *line,
            column: name,
            expected: "a label",
            found: cell.clone(),
        });
    }
    let numbers: Option<Vec<i64>> = cells.iter().map(|(_, cell)| cell.parse().ok()).collect();
    let (values, names) = match numbers {
        Some(values) => (values, None),
        None => {
            let mut names: Vec<_> = cells.iter().map(|(_, cell)| cell.clone()).collect();
            names.sort();
            names.dedup();
            let class = |(_, cell): &(u64, String)| {
                names.binary_search(cell).expect("every word is a class") as i64
            };
            (cells.iter().map(class).collect(), Some(names))
        }
    };
    Ok(Labels { path: path.into(), ids, values, names })
}

/// The named column of a table, or the only one besides the identifiers.
pub(crate) fn column(path: &Path, said: Said) -> Result<Column> {
    let table = Table::open(path, said.id)?;
    let wanted = match said.column {
        Some(name) => table.find(path, name)?,
        None => {
            let others: Vec<_> =
                (0..table.header.len()).filter(|&column| table.id != Some(column)).collect();
            match others[..] {
                [column] => column,
                _ => {
                    let found = list(others.iter().map(|&column| &table.header[column]));
                    let found = if others.is_empty() { "none".into() } else { found };
                    return Err(DataError::AmbiguousColumn { path: path.into(), found });
                }
            }
        }
    };
    let mut cells = Vec::new();
    let ids = table.each(path, |line, record| {
        cells.push((line, record[wanted].to_owned()));
        Ok(())
    })?;
    Ok(Column { name: table.header[wanted].clone(), ids, cells })
}

impl Table {
    fn open(path: &Path, id: Option<&str>) -> Result<Self> {
        let bytes = bytes(path)?;
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(&bytes[..]);
        let header = reader.headers().map_err(|error| malformed(path, &error))?;
        let header: Vec<String> = header.iter().map(str::to_owned).collect();
        let mut seen = HashSet::new();
        if let Some(column) = header.iter().find(|column| !seen.insert(*column)) {
            return Err(DataError::DuplicateColumn { path: path.into(), column: column.clone() });
        }
        if header.len() == 1 {
            check_empty_lines(path, &bytes)?;
        }
        let mut table = Self { header, id: None, bytes };
        table.id = match id {
            Some(id) => Some(table.find(path, id)?),
            None => (table.header.iter().position(|column| column == ID))
                .or_else(|| table.header.first().filter(|column| column.is_empty()).map(|_| 0)),
        };
        Ok(table)
    }

    fn find(&self, path: &Path, column: &str) -> Result<usize> {
        self.header.iter().position(|name| name == column).ok_or_else(|| DataError::MissingColumn {
            path: path.into(),
            column: column.into(),
            known: list(&self.header),
        })
    }

    /// Calls `row` with the line and the cells of each row; gives the identifiers.
    fn each(
        &self,
        path: &Path,
        mut row: impl FnMut(u64, &StringRecord) -> Result<()>,
    ) -> Result<Option<Vec<String>>> {
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(&self.bytes[..]);
        // Past the header, or an error in the first row would be said to be in the header.
        reader.headers().map_err(|error| malformed(path, &error))?;
        let mut record = StringRecord::new();
        let mut ids = Vec::new();
        let mut rows = 0;
        while reader.read_record(&mut record).map_err(|error| malformed(path, &error))? {
            rows += 1;
            let line = record.position().map_or(0, csv::Position::line);
            if let Some(id) = self.id {
                if record[id].is_empty() {
                    return Err(self.cell(path, line, id, "an identifier", ""));
                }
                ids.push(record[id].to_owned());
            }
            row(line, &record)?;
        }
        if rows == 0 {
            let reason = "it has no rows below its header";
            return Err(DataError::EmptyFile { path: path.into(), reason });
        }
        check_ids(path, &ids)?;
        Ok(self.id.map(|_| ids))
    }

    fn cell(
        &self,
        path: &Path,
        line: u64,
        column: usize,
        expected: &'static str,
        found: &str,
    ) -> DataError {
        let (path, column) = (path.into(), self.header[column].clone());
        DataError::Cell { path, line, column, expected, found: found.into() }
    }
}

/// Refuses empty lines within a table of one column, where they could be missing values, since the
/// reader would pass over them.
fn check_empty_lines(path: &Path, bytes: &[u8]) -> Result<()> {
    let lines: Vec<&[u8]> = bytes.trim_ascii().split(|&byte| byte == b'\n').collect();
    match lines.iter().position(|line| line.trim_ascii().is_empty()) {
        None => Ok(()),
        Some(line) => Err(DataError::Malformed {
            path: path.into(),
            format: "CSV",
            reason: format!("line {} is empty; a missing value is `NaN`", line + 1),
        }),
    }
}

enum Number {
    Value(f32),
    Missing,
    Bad(&'static str),
}

fn number(cell: &str) -> Number {
    match cell.parse::<f32>() {
        Ok(value) if value.is_finite() => Number::Value(value),
        Ok(value) if value.is_nan() => Number::Missing,
        Ok(_) => Number::Bad("a finite number"),
        Err(_) if cell.is_empty() || cell == "NA" => Number::Missing,
        Err(_) => Number::Bad("a number"),
    }
}

fn malformed(path: &Path, error: &csv::Error) -> DataError {
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => format!(
            "line {}: expected {expected_len} cells, found {len}",
            pos.as_ref().map_or(0, csv::Position::line)
        ),
        csv::ErrorKind::Utf8 { pos, .. } => {
            format!("line {}: the text is not UTF-8", pos.as_ref().map_or(0, csv::Position::line))
        }
        _ => error.to_string(),
    };
    DataError::Malformed { path: path.into(), format: "CSV", reason }
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

    fn table(text: &str) -> Result<Block, String> {
        open(text.as_bytes(), |path| block(path, None))
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            values in proptest::collection::vec(proptest::num::f32::NORMAL, 6),
        ) {
            let [a, b, c, d, e, f] = values[..] else { unreachable!("six values") };
            let text = format!("id,x,y\nr1,{a},{b}\nr2,{c},{d:e}\r\n\"r,3\",{e} ,\"{f}\"\n");
            let block = table(&text).expect("valid");
            prop_assert_eq!(block.values, Storage::Floats(values));
            prop_assert_eq!(block.ids, Some(vec!["r1".into(), "r2".into(), "r,3".into()]));
            prop_assert_eq!(block.shape, [2]);
        }
    }

    #[test]
    fn rows_with_an_empty_cell_are_missing() {
        let block = table("x,y\n1,2\n3,\nnan,4\nNA,5\n6,7\n").expect("valid");
        assert_eq!(block.missing, [false, true, true, true, false]);
        assert_eq!(
            block.values,
            Storage::Floats(vec![1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 6.0, 7.0])
        );
        assert_eq!(block.ids, None);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_column() {
        let block = table("\u{feff}id,x\r\na,1\r\n").expect("valid");
        assert_eq!(block.ids, Some(vec!["a".into()]));
    }

    #[test]
    fn a_packed_table_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv.gz");
        let mut file = GzEncoder::new(fs::File::create(&path).expect("new"), Compression::fast());
        file.write_all(b"x\n1\n2\n").and_then(|()| file.try_finish()).expect("writable");
        let block = block(&path, None).expect("valid");
        assert_eq!(block.values, Storage::Floats(vec![1.0, 2.0]));
    }

    #[test]
    fn bad_tables_are_refused_by_file_line_and_column() {
        for (text, expected) in [
            ("x,y\n1,2\n3,red\n", "`a.csv`, line 3, column `y`: expected a number, found `red`"),
            ("x\n1\ninf\n", "`a.csv`, line 3, column `x`: expected a finite number, found `inf`"),
            (
                "x\n1\n\n3\n",
                "`a.csv` is not a valid CSV file: line 3 is empty; a missing value is `NaN`",
            ),
            ("x\n1e99\n", "`a.csv`, line 2, column `x`: expected a finite number, found `1e99`"),
            ("x,y\n1,2\n3\n", "`a.csv` is not a valid CSV file: line 3: expected 2 cells, found 1"),
            ("x,y\n", "`a.csv` is empty: it has no rows below its header"),
            ("", "`a.csv` is empty: it has no bytes"),
            ("id\n1\n", "`a.csv` is empty: it has no columns besides the identifiers"),
            ("id,x\n1,2\n1,3\n", "`a.csv`: identifier `1` is given twice"),
            ("id,x\n1,2\n,3\n", "`a.csv`, line 3, column `id`: expected an identifier, found ``"),
            ("1,1\n2,3\n", "`a.csv`: column `1` is given twice; is the header line missing?"),
        ] {
            assert_eq!(table(text).expect_err("bad"), expected);
        }
        let error = open(b"x\n\xff\xfe\n", |path| block(path, None)).expect_err("not text");
        assert_eq!(error, "`a.csv` is not a valid CSV file: line 2: the text is not UTF-8");
    }

    #[test]
    fn the_column_of_identifiers_can_be_named() {
        assert_eq!(table(",x\ns1,2\n").expect("an index").ids, Some(vec!["s1".into()]));
        let read = |id| open(b"sample,x\ns1,2\n", move |path| block(path, Some(id)));
        assert_eq!(read("sample").expect("there").ids, Some(vec!["s1".into()]));
        assert_eq!(
            read("name").expect_err("not there"),
            "`a.csv` has no column `name`; it has `sample`, `x`"
        );
    }

    #[test]
    fn words_are_classes_in_alphabetical_order_and_numbers_are_themselves() {
        let read = |text: &str| open(text.as_bytes(), |path| labels(path, Said::default()));
        let words = read("id,kind\n1,b\n2,a\n3,b\n").expect("valid");
        assert_eq!(words.values, [1, 0, 1]);
        assert_eq!(words.names, Some(vec!["a".into(), "b".into()]));
        let numbers = read("kind\n7\n-2\n").expect("valid");
        assert_eq!((numbers.values, numbers.names), (vec![7, -2], None));
        assert_eq!(
            read("kind,age\na,1\n").expect_err("two columns"),
            "`a.csv`: expected one column besides the identifiers, found `kind`, `age`; \
             name one in a manifest"
        );
        assert_eq!(
            read("id,kind\n1,\n").expect_err("no label"),
            "`a.csv`, line 2, column `kind`: expected a label, found ``"
        );
    }
}
