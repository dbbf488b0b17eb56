//! The text of a table with other contents in some of its cells.

use std::ops::Range;

use super::Table;
use crate::{
    error::{DataError, Result},
    origin::Origin,
    read::{Layout, ReadOptions, table::Rows},
};

/// The text of a table as it is in its file, to be written again with other contents in some cells:
/// all else, from the header to the ends of the lines, stays byte by byte.
///
/// Text of UTF-16 becomes UTF-8, and runs of spaces between cells become tabs.
#[derive(Debug)]
pub struct TableText {
    bytes: Vec<u8>,
    separator: u8,
    comma: bool,
    trailing: bool,
    /// The line of the names of columns, if there is one.
    header: Option<Line>,
    /// The lines of the rows.
    lines: Vec<Line>,
    layout: Layout,
    /// The row of the data of each row of the file.
    of_data: Vec<Option<usize>>,
    /// Rows of the data that the file does not have.
    added: Vec<usize>,
}

/// Where the cells of a line are.
#[derive(Debug)]
struct Line {
    cells: Vec<Range<usize>>,
    /// Where the line ends, before its line break.
    end: usize,
}

impl TableText {
    /// Reads the file again; `None` if it is no table of text.
    ///
    /// # Errors
    ///
    /// [`DataError::Changed`] if it has other rows by now; any other [`DataError`].
    pub fn open(origin: &Origin) -> Result<Option<Self>> {
        let Some(layout) = origin.layout.as_ref().filter(|layout| layout.text) else {
            return Ok(None);
        };
        let id = layout.said_id.as_deref();
        let said = ReadOptions { id, header: layout.header, ..ReadOptions::default() };
        let table = Table::open(&origin.path, said)?;
        let mut starts = Vec::new();
        table.each(&mut |byte, _| {
            starts.push(byte as usize);
            Ok(())
        })?;
        let Table { head, dialect, trailing } = table;
        let (bytes, separator) = (dialect.bytes, dialect.separator);
        let line = |from: usize| Line::at(&bytes, dialect.start + from, separator);
        let header = head.named.then(|| line(0));
        let lines: Vec<_> = starts.into_iter().map(line).collect();
        if lines.len() != origin.file_rows {
            return Err(DataError::Changed {
                name: origin.path.display().to_string(),
                changes: format!(
                    "the number of rows ({} then, {} now)",
                    origin.file_rows,
                    lines.len()
                ),
                remedy: "start again".into(),
            });
        }
        let mut of_data = vec![None; lines.len()];
        let mut added = Vec::new();
        for (row, place) in origin.rows.iter().enumerate() {
            match place {
                Some(place) => of_data[*place] = Some(row),
                None => added.push(row),
            }
        }
        let (comma, layout) = (dialect.comma, layout.clone());
        Ok(Some(Self { bytes, separator, comma, trailing, header, lines, layout, of_data, added }))
    }

    /// Rows of the file that are not among the rows of the data: they stay as they are.
    pub fn other_rows(&self) -> usize {
        self.of_data.iter().filter(|row| row.is_none()).count()
    }

    /// Rows of the data that the file does not have: they are written below the others.
    pub fn added_rows(&self) -> usize {
        self.added.len()
    }

    /// Whether the text stays as it is if no cell gets other contents.
    pub fn is_whole(&self) -> bool {
        self.added.is_empty() && self.layout.columns.iter().all(Option::is_some)
    }

    /// The text with other contents: `cell` gives those of a feature in a row of the data, `None`
    /// for a row of the file that is not among them; or `None` if they stay, which are empty where
    /// the file has none. Features that the file does not have become columns at the end, with the
    /// names that `column` gives; `id` is the identifier of a row.
    pub fn rewritten(
        &self,
        column: impl Fn(usize) -> String,
        id: impl Fn(usize) -> String,
        mut cell: impl FnMut(Option<usize>, usize) -> Option<String>,
    ) -> Vec<u8> {
        let new: Vec<usize> = (0..self.layout.columns.len())
            .filter(|&feature| self.layout.columns[feature].is_none())
            .collect();
        let mut out = Vec::with_capacity(self.bytes.len());
        let mut copied = 0;
        if let Some(header) = &self.header {
            out.extend(&self.bytes[..header.end]);
            copied = header.end;
            for &feature in &new {
                self.append(&mut out, &column(feature));
            }
        }
        for (line, row) in self.lines.iter().zip(&self.of_data) {
            let mut changed: Vec<(usize, String)> = Vec::new();
            for (feature, place) in self.layout.columns.iter().enumerate() {
                if let Some(place) = *place
                    && let Some(text) = cell(*row, feature)
                {
                    changed.push((place, text));
                }
            }
            changed.sort_unstable_by_key(|(place, _)| *place);
            for (place, text) in changed {
                let Range { start, end } = line.cells[place].clone();
                out.extend(&self.bytes[copied..start]);
                out.extend(self.quoted(&text).as_bytes());
                copied = end;
            }
            out.extend(&self.bytes[copied..line.end]);
            copied = line.end;
            for &feature in &new {
                let text = cell(*row, feature).unwrap_or_default();
                self.append(&mut out, &text);
            }
        }
        out.extend(&self.bytes[copied..]);
        if !self.added.is_empty() && !out.ends_with(b"\n") && !out.ends_with(b"\r") {
            out.extend(self.line_break());
        }
        for &row in &self.added {
            let mut cells = vec![String::new(); self.layout.names.len()];
            if let Some(place) = self.layout.id {
                cells[place] = self.quoted(&id(row));
            }
            for (feature, place) in self.layout.columns.iter().enumerate() {
                if let Some(place) = *place {
                    cells[place] = self.quoted(&cell(Some(row), feature).unwrap_or_default());
                }
            }
            let separator = char::from(self.separator).to_string();
            out.extend(cells.join(&separator).as_bytes());
            if self.trailing {
                out.push(self.separator);
            }
            for &feature in &new {
                self.append(&mut out, &cell(Some(row), feature).unwrap_or_default());
            }
            out.extend(self.line_break());
        }
        out
    }

    /// A number as the table writes numbers.
    pub fn number(&self, value: impl std::fmt::Display) -> String {
        let text = value.to_string();
        if self.comma { text.replace('.', ",") } else { text }
    }

    /// One more cell at the end of a line.
    fn append(&self, out: &mut Vec<u8>, text: &str) {
        let text = self.quoted(text);
        if self.trailing {
            out.extend(text.as_bytes());
            out.push(self.separator);
        } else {
            out.push(self.separator);
            out.extend(text.as_bytes());
        }
    }

    /// The contents of a cell, in quotes if they need them.
    fn quoted(&self, text: &str) -> String {
        if text.contains([char::from(self.separator), '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    }

    /// How the file ends its lines.
    fn line_break(&self) -> &'static [u8] {
        match self.bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            Some(place) if self.bytes[place..].starts_with(b"\r\n") => b"\r\n",
            Some(place) if self.bytes[place] == b'\r' => b"\r",
            _ => b"\n",
        }
    }
}

impl Line {
    /// The line that begins at a place, or at the first line below that holds something.
    fn at(bytes: &[u8], from: usize, separator: u8) -> Self {
        let mut place = from;
        while matches!(bytes.get(place), Some(b'\n' | b'\r')) {
            place += 1;
        }
        let mut cells = Vec::new();
        loop {
            let start = place;
            if bytes.get(place) == Some(&b'"') {
                place += 1;
                while let Some(&byte) = bytes.get(place) {
                    place += 1;
                    if byte == b'"' {
                        if bytes.get(place) != Some(&b'"') {
                            break;
                        }
                        place += 1;
                    }
                }
            }
            let ends = |byte: &u8| *byte == separator || matches!(byte, b'\n' | b'\r');
            while bytes.get(place).is_some_and(|byte| !ends(byte)) {
                place += 1;
            }
            cells.push(start..place);
            if bytes.get(place) != Some(&separator) {
                return Self { cells, end: place };
            }
            place += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use multivae_core::dataset::Dataset;

    use super::*;
    use crate::{
        DataConfig,
        fixture::{Folder, text},
    };

    /// A table in which all missing cells became `9.5`, beside one that has a row more.
    fn filled(table: &str) -> String {
        let other = "id,y\np0,1\np1,2\np2,3\np3,4\n";
        let folder = Folder::new([("a.csv", text(table)), ("b.csv", text(other))]);
        let opened = DataConfig::new(folder.source()).read().expect("a table");
        let of_a = TableText::open(&opened.origins[0]).expect("readable").expect("a table");
        let data = &opened.data;
        let missing = |row: Option<usize>, feature: usize| {
            let row = row?;
            let there = data.presence(row).contains(0)
                && data.cells(row, 0).is_none_or(|cells| cells[feature]);
            (!there).then(|| of_a.number(9.5))
        };
        let schema = data.schema().expect("it was read");
        let column = |feature| schema.modalities[0].column(feature);
        let out = of_a.rewritten(column, |row| data.id(row), missing);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn only_missing_cells_change_however_a_table_is_written() {
        for (before, after) in [
            (
                "id,x,y\np0,1,\np1,NA,+2.0\np2,3,4",
                "id,x,y\np0,1,9.5\np1,9.5,+2.0\np2,3,4\np3,9.5,9.5\n",
            ),
            (
                "# a note\r\nx;id;y\r\n1,5;p0;\r\n\r\n;p2;2\r\n",
                "# a note\r\nx;id;y\r\n1,5;p0;9,5\r\n\r\n9,5;p2;2\r\n9,5;p1;9,5\r\n9,5;p3;9,5\r\n",
            ),
            (
                "id,\"x, of all\",y,\np0,\" 1\",,\n\"p1\", 2 ,3,\n",
                "id,\"x, of all\",y,\np0,\" 1\",9.5,\n\"p1\", 2 ,3,\np2,9.5,9.5,\np3,9.5,9.5,\n",
            ),
            (
                "x y\np0   1 NA\np1 2   3\n",
                "x\ty\np0\t1\t9.5\np1\t2\t3\np2\t9.5\t9.5\np3\t9.5\t9.5\n",
            ),
        ] {
            assert_eq!(filled(before), after);
        }
    }
}
