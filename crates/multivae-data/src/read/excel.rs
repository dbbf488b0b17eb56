//! Workbooks of Excel and OpenDocument.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use calamine::{
    CellErrorType, Data, DataRef, ExcelDateTime, Ods, Reader, SheetType, SheetVisible, Sheets, Xlsx,
};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use zip::ZipArchive;

use super::{
    ModalityTable, Place, ReadOptions, TextTable,
    format::{self, Content, Format},
    guard::guarded,
    name, signature,
    table::{self, Cell, Head, Rows, is_row},
};
use crate::{
    error::{DataError, Result, list},
    report::Warning,
};

const DAY: i64 = 86_400_000;
/// How days and times are written; those with a time only if one of the column is not midnight.
const DATE: &str = "%Y-%m-%d";
const TIME: &str = "%Y-%m-%d %H:%M:%S%.f";
/// Rows that are looked at to find the header.
const FIRST: usize = 64;

mod claims;

/// Workbooks, of which one sheet is a table.
pub(crate) struct Excel;

impl Format for Excel {
    fn name(&self) -> &'static str {
        "Excel"
    }

    fn called(&self) -> &'static str {
        "`.xlsx`, `.ods` (a workbook)"
    }

    fn content(&self) -> Content {
        Content::Table
    }

    fn has_header(&self) -> bool {
        true
    }

    fn has_parts(&self) -> bool {
        true
    }

    fn is(&self, path: &Path) -> bool {
        format::is_workbook(path)
    }

    fn text(&self, path: &Path, said: ReadOptions) -> Result<TextTable> {
        table::text(guarded(path, self.name(), || Table::open(path, said))?, said)
    }

    fn block(&self, path: &Path, said: ReadOptions) -> Result<ModalityTable> {
        table::block(guarded(path, self.name(), || Table::open(path, said))?, said)
    }
}

/// What a cell holds.
#[derive(Clone, Debug, PartialEq)]
enum Held {
    Number(f64),
    Flag(bool),
    Text(String),
    /// A day or time, in milliseconds since 1970 began.
    Time(i64),
    Error(CellErrorType),
}

/// The cells of a sheet that hold something, by row and column from 0.
#[derive(Debug, Default)]
struct Sheet {
    cells: Vec<(u32, u32, Held)>,
    /// Formulas without a value, and where the first is.
    formulas: usize,
    first: Option<(u32, u32)>,
    durations: bool,
}

impl Sheet {
    fn put(&mut self, (row, column): (u32, u32), data: Data) {
        let held = match data {
            Data::Empty => return,
            Data::Int(value) => Held::Number(value as f64),
            Data::Float(value) => Held::Number(value),
            Data::Bool(flag) => Held::Flag(flag),
            Data::DateTime(time) => self.time(&time),
            Data::DateTimeIso(text) => iso(&text).map_or(Held::Text(text), Held::Time),
            Data::String(text) | Data::DurationIso(text) => match text.trim() {
                "" => return,
                text => Held::Text(text.to_owned()),
            },
            Data::Error(error) => Held::Error(error),
        };
        self.cells.push((row, column, held));
    }

    fn time(&mut self, time: &ExcelDateTime) -> Held {
        // A time without a day is a part of one.
        if time.is_duration() || time.as_f64() < 1.0 {
            self.durations = true;
            return Held::Number(time.as_f64());
        }
        let (year, month, day, hour, minute, second, milli) = time.to_ymd_hms_milli();
        let at = NaiveDate::from_ymd_opt(year.into(), month.into(), day.into()).and_then(|day| {
            day.and_hms_milli_opt(hour.into(), minute.into(), second.into(), milli.into())
        });
        // Excel has a 29th of February 1900.
        at.map_or_else(
            || Held::Text(format!("{year:04}-{month:02}-{day:02}")),
            |at| Held::Time(at.and_utc().timestamp_millis()),
        )
    }
}

/// A day or time as OpenDocument has it.
fn iso(text: &str) -> Option<i64> {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
        .ok()
        .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))?;
    Some(time.and_utc().timestamp_millis())
}

/// The letters of a column and the number of a row, as spreadsheets show them.
fn letters(column: u32) -> String {
    let mut rest = column;
    let mut name = Vec::new();
    loop {
        name.push(char::from(b'A' + (rest % 26) as u8));
        match rest / 26 {
            0 => break,
            more => rest = more - 1,
        }
    }
    name.into_iter().rev().collect()
}

fn malformed(path: &Path, reason: impl ToString) -> DataError {
    DataError::Malformed { path: path.into(), format: Excel.name(), reason: reason.to_string() }
}

type Book = Sheets<BufReader<File>>;

/// Opens a workbook by what it is, whatever its name says.
fn open(path: &Path) -> Result<(Book, u64)> {
    let read = |cause| DataError::Read { path: path.into(), cause };
    let mut file = File::open(path).map_err(read)?;
    let size = file.metadata().map_err(read)?.len();
    let mut first = Vec::new();
    file.by_ref().take(64).read_to_end(&mut first).map_err(read)?;
    file.seek(SeekFrom::Start(0)).map_err(read)?;
    // The library's readers of older forms take what a damaged file claims, without any end.
    let old = "a workbook of an older Excel or one with a password is not read: save it as `.xlsx`, \
               without a password";
    if first.starts_with(b"\xd0\xcf\x11\xe0") {
        return Err(malformed(path, old));
    }
    if !first.starts_with(b"PK\x03\x04") {
        return Err(signature::foreign(path, Excel.name(), &first));
    }
    let archive = ZipArchive::new(BufReader::new(&file));
    let mut archive = archive.map_err(|error| malformed(path, error))?;
    let holds = |part: &str| archive.file_names().any(|name| name == part);
    let (xlsx, ods) = (holds("xl/workbook.xml"), holds("content.xml"));
    if holds("xl/workbook.bin") {
        return Err(malformed(path, old));
    }
    if !xlsx && !ods {
        return Err(malformed(path, "it is an archive that holds no workbook"));
    }
    claims::check(path, size, &mut archive)?;
    drop(archive);
    file.seek(SeekFrom::Start(0)).map_err(read)?;
    let file = BufReader::new(file);
    let book = match xlsx {
        true => Sheets::Xlsx(Xlsx::new(file).map_err(|error| malformed(path, error))?),
        false => Sheets::Ods(Ods::new(file).map_err(|error| malformed(path, error))?),
    };
    Ok((book, size))
}

/// The cells of a sheet; with `any` of the first that holds something only.
fn sheet(path: &Path, book: &mut Book, title: &str, any: bool) -> Result<Sheet> {
    let bad = |error: &dyn std::fmt::Display| malformed(path, format!("sheet `{title}`: {error}"));
    let mut sheet = Sheet::default();
    match book {
        // Else room is reserved for all that lies between two cells, however far apart they are.
        Sheets::Xlsx(book) => {
            let mut cells = book.worksheet_cells_reader(title).map_err(|error| bad(&error))?;
            while let Some(cell) =
                cells.next_cell_with_formula_metadata().map_err(|error| bad(&error))?
            {
                if cell.formula.is_some() && cell.value == DataRef::Empty {
                    sheet.formulas += 1;
                    sheet.first.get_or_insert(cell.pos);
                }
                sheet.put(cell.pos, cell.value.into());
                if any && !sheet.cells.is_empty() {
                    break;
                }
            }
        }
        _ => {
            let range = book.worksheet_range(title).map_err(|error| bad(&error))?;
            let (row, column) = range.start().unwrap_or_default();
            for (r, c, data) in range.used_cells() {
                sheet.put((row + r as u32, column + c as u32), data.clone());
            }
        }
    }
    sheet.cells.sort_by_key(|&(row, column, _)| (row, column));
    Ok(sheet)
}

struct Table {
    head: Head,
    /// The rows below the header that hold something, by their number from 0 in the sheet.
    rows: Vec<(u32, Vec<(usize, Held)>)>,
    /// Whether the days of a column have times.
    times: Vec<bool>,
}

impl Rows for Table {
    fn head(&self) -> &Head {
        &self.head
    }

    fn into_head(self) -> Head {
        self.head
    }

    fn visit(&self, row: &mut dyn FnMut(u64, &[Cell<'_>]) -> Result<()>) -> Result<()> {
        let blank = vec![Cell::Missing; self.head.names.len()];
        let mut next = self.rows.first().map_or(0, |(line, _)| *line);
        for (line, held) in &self.rows {
            // Rows without anything hold a place.
            for empty in next..*line {
                row(u64::from(empty) + 1, &blank)?;
            }
            next = line + 1;
            let mut times: Vec<(usize, String)> = Vec::new();
            for (column, cell) in held {
                match cell {
                    Held::Time(at) => times.push((*column, self.written(*column, *at))),
                    Held::Error(error) if *error != CellErrorType::NA => {
                        let place = self.place(u64::from(*line) + 1);
                        let found = error.to_string();
                        return Err(self.head.cell(place, *column, "a value", &found));
                    }
                    _ => {}
                }
            }
            let mut cells = blank.clone();
            for (column, cell) in held {
                cells[*column] = match cell {
                    Held::Number(value) => Cell::Number(*value),
                    Held::Flag(flag) => Cell::Flag(*flag),
                    Held::Text(text) => Cell::Text(text),
                    Held::Time(_) | Held::Error(_) => Cell::Missing,
                };
            }
            for (column, text) in &times {
                cells[*column] = Cell::Word(text);
            }
            row(u64::from(*line) + 1, &cells)?;
        }
        Ok(())
    }

    fn place(&self, mark: u64) -> Place {
        Place::Line(mark)
    }
}

impl Table {
    fn open(path: &Path, said: ReadOptions) -> Result<Self> {
        let (mut book, size) = open(path)?;
        let mut notes = Vec::new();
        let title = chosen(path, &mut book, said, &mut notes)?;
        let sheet = sheet(path, &mut book, &title, false)?;
        if let Some((row, column)) = sheet.first {
            notes.push(Warning::new(
                name(path),
                format!(
                    "{} formulas have no value, the first in {}{}: they are missing",
                    sheet.formulas,
                    letters(column),
                    row + 1
                ),
                "open it in a program for spreadsheets, and save it there",
            ));
        }
        if sheet.durations {
            let found = "its times without a day are read as parts of a day";
            notes.push(Warning::note(name(path), found));
        }
        Self::of(path, sheet.cells, size, notes, said)
    }

    fn of(
        path: &Path,
        cells: Vec<(u32, u32, Held)>,
        size: u64,
        mut notes: Vec<Warning>,
        said: ReadOptions,
    ) -> Result<Self> {
        let mut rows: Vec<(u32, Vec<(u32, Held)>)> = Vec::new();
        for (row, column, held) in cells {
            match rows.last_mut() {
                Some((last, of_row)) if *last == row => of_row.push((column, held)),
                _ => rows.push((row, vec![(column, held)])),
            }
        }
        let start = beginning(&rows);
        let below = rows.split_off(start);
        if let (Some((first, _)), Some((last, _))) = (rows.first(), rows.last()) {
            let lines = match first == last {
                true => format!("line {}", first + 1),
                false => format!("lines {} to {}", first + 1, last + 1),
            };
            let found = format!("{lines} before its header are passed over");
            notes.push(Warning::note(name(path), found));
        }
        let mut used: Vec<u32> =
            below.iter().flat_map(|(_, cells)| cells.iter().map(|(column, _)| *column)).collect();
        used.sort_unstable();
        used.dedup();
        let (Some((first, _)), Some((last, _))) = (below.first(), below.last()) else {
            return Err(DataError::EmptyFile { path: path.into(), reason: "it has no cells" });
        };
        let lines = u64::from(last - first) + 1;
        table::check_claim(path, "Excel", size, 8 * lines * used.len() as u64)?;
        let place = |column: u32| used.binary_search(&column).unwrap_or_default();
        let mut rows: Vec<(u32, Vec<(usize, Held)>)> = below
            .into_iter()
            .map(|(row, cells)| {
                (row, cells.into_iter().map(|(c, held)| (place(c), held)).collect())
            })
            .collect();
        let texts = |cells: &[(usize, Held)]| {
            let mut texts = vec![String::new(); used.len()];
            cells.iter().for_each(|(column, held)| texts[*column] = held.text());
            texts
        };
        let mut names = texts(&rows[0].1);
        let second = rows.get(1).map(|(_, cells)| texts(cells));
        let headless = match said.header {
            Some(header) => !header,
            None => is_row(&names, second.as_deref(), false),
        };
        if headless {
            if said.header.is_none() {
                notes.push(table::headless(&name(path)));
            }
            names = table::numbered(names.len());
        } else {
            rows.remove(0);
            for (place, title) in names.iter_mut().enumerate().skip(1) {
                if title.is_empty() {
                    *title = letters(used[place]);
                    let found = format!("column {title} has no name: it is called `{title}`");
                    notes.push(Warning::note(name(path), found));
                }
            }
        }
        let mut times = vec![false; names.len()];
        for (column, held) in rows.iter().flat_map(|(_, cells)| cells) {
            times[*column] |= matches!(held, Held::Time(at) if at.rem_euclid(DAY) != 0);
        }
        let head = Head::new(path, names)?;
        let head = Head { named: !headless, notes, ..head }.with_id(said, None)?;
        Ok(Self { head, rows, times })
    }

    /// A day or time of a column as text.
    fn written(&self, column: usize, at: i64) -> String {
        let form = if self.times[column] { TIME } else { DATE };
        let time = DateTime::from_timestamp_millis(at);
        time.map_or_else(String::new, |time| time.naive_utc().format(form).to_string())
    }
}

impl Held {
    /// As the name of a column.
    fn text(&self) -> String {
        match self {
            Self::Number(value) => value.to_string(),
            Self::Flag(flag) => Cell::Flag(*flag).text().into_owned(),
            Self::Text(text) => text.clone(),
            Self::Time(at) => DateTime::from_timestamp_millis(*at)
                .map_or_else(String::new, |time| time.naive_utc().format(DATE).to_string()),
            Self::Error(error) => error.to_string(),
        }
    }
}

/// The first row of the table: above it can stand titles, which fill less than half of its columns,
/// or the first one only.
fn beginning(rows: &[(u32, Vec<(u32, Held)>)]) -> usize {
    let first = &rows[..rows.len().min(FIRST)];
    let most = first.iter().map(|(_, cells)| cells.len()).max().unwrap_or_default();
    let left = first.iter().filter_map(|(_, cells)| Some(cells.first()?.0)).min();
    let is_title = |cells: &[(u32, Held)]| {
        let only = cells.len() == 1 && most > 1 && cells.first().map(|(column, _)| *column) == left;
        2 * cells.len() < most || only
    };
    first.iter().position(|(_, cells)| !is_title(cells)).unwrap_or_default()
}

/// The sheet that is said, or the first that holds something.
fn chosen(
    path: &Path,
    book: &mut Book,
    said: ReadOptions,
    notes: &mut Vec<Warning>,
) -> Result<String> {
    let sheets = book.sheets_metadata().iter().filter(|sheet| sheet.typ == SheetType::WorkSheet);
    let sheets: Vec<(String, bool)> =
        sheets.map(|s| (s.name.clone(), s.visible == SheetVisible::Visible)).collect();
    if let Some(title) = said.array {
        let known = sheets.iter().any(|(name, _)| name == title);
        return if known {
            Ok(title.to_owned())
        } else {
            Err(DataError::Config {
                field: "sheet".into(),
                expected: format!(
                    "a sheet of `{}`, {}",
                    path.display(),
                    list(sheets.iter().map(|(name, _)| name))
                ),
                found: title.to_owned(),
            })
        };
    }
    let mut filled = Vec::new();
    for (title, _) in sheets.into_iter().filter(|(_, visible)| *visible) {
        if !sheet(path, book, &title, true)?.cells.is_empty() {
            filled.push(title);
        }
    }
    let mut titles = filled.into_iter();
    let first = titles.next().ok_or_else(|| DataError::EmptyFile {
        path: path.into(),
        reason: "none of its sheets that are shown holds anything",
    })?;
    let others: Vec<String> = titles.collect();
    if !others.is_empty() {
        notes.push(Warning::new(
            name(path),
            format!("its sheet `{first}` is read, and not {}", list(&others)),
            "name another one in a manifest: `sheet = ..`",
        ));
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use multivae_core::dataset::Dataset;
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;
    use crate::{
        DataConfig,
        fixture::{Folder, example, npz, text},
        storage::Storage,
    };

    fn read(name: &str, bytes: Vec<u8>, array: Option<&str>) -> Result<ModalityTable, String> {
        let folder = Folder::new([(name, bytes)]);
        let said = ReadOptions { array, ..ReadOptions::default() };
        Excel.block(&folder.path(name), said).map_err(|error| folder.message(error))
    }

    fn block(file: &str) -> ModalityTable {
        read(file, example(file), None).unwrap_or_else(|error| panic!("{error}"))
    }

    fn words<'a>(block: &'a ModalityTable, name: &str) -> Vec<&'a str> {
        let words = block.words.iter().find(|words| words.name == name).expect("of words");
        words.cells.iter().map(String::as_str).collect()
    }

    fn notes(block: &ModalityTable) -> Vec<String> {
        block.notes.iter().map(ToString::to_string).collect()
    }

    fn missing(block: &ModalityTable) -> Vec<(usize, usize)> {
        let width = block.shape[0];
        let places = (0..block.rows).flat_map(|row| (0..width).map(move |column| (row, column)));
        places
            .filter(|&(r, c)| block.missing.as_ref().is_some_and(|m| m.is_missing(r, c)))
            .collect()
    }

    #[test]
    fn a_sheet_below_a_title_has_numbers_dates_truth_values_and_text_with_its_digits() {
        let block = block("openpyxl_two_sheets.xlsx");
        let columns = ["code", "age", "flag", "score"].map(String::from).to_vec();
        assert_eq!(block.columns, Some(columns));
        let code = block.candidates.iter().find(|candidate| candidate.column == "code");
        assert_eq!(code.expect("all differ").ids, ["001", "002", "010", "100"]);
        let expected =
            [1.0, 30.5, 1.0, 1.0, 2.0, 0.0, 0.0, 0.0, 10.0, 41.0, 1.0, 3.0, 100.0, 52.25, 0.0, 4.0];
        assert_eq!(block.values, Storage::Floats(expected.to_vec()));
        assert_eq!(missing(&block), [(1, 1), (1, 3), (3, 2)]);
        assert_eq!(words(&block, "seen"), ["2021-03-01", "2021-03-02", "2021-03-03", ""]);
        assert_eq!(words(&block, "stage"), ["i", "ii", "i", "ii"]);
        let notes = notes(&block).join("\n");
        assert!(notes.contains("its sheet `patients` is read, and not `blood`"), "{notes}");
        assert!(notes.contains("line 1 before its header are passed over"), "{notes}");
    }

    #[test]
    fn a_sheet_can_be_named_and_an_unknown_one_is_refused() {
        let file = example("openpyxl_two_sheets.xlsx");
        let blood = read("a.xlsx", file.clone(), Some("blood")).expect("there");
        assert_eq!(blood.columns, Some(vec!["code".into(), "iron".into()]));
        assert!(blood.notes.is_empty(), "{:?}", blood.notes);
        let error = read("a.xlsx", file.clone(), Some("urine")).map(|_| ()).expect_err("not there");
        assert_eq!(
            error,
            "`sheet`: expected a sheet of `a.xlsx`, `patients`, `blood`, `empty`, found `urine`"
        );
        let manifest = "
            [[modality]]
            name = 'blood'
            file = 'ward.xlsx'
            sheet = 'blood'
            id = 'code'
            [labels]
            file = 'ward.xlsx'
            sheet = 'patients'
            column = 'stage'
            id = 'code'
        ";
        let folder = Folder::new([("manifest.toml", text(manifest)), ("ward.xlsx", file)]);
        let opened = DataConfig::new(folder.source()).read().map_err(|e| folder.message(e));
        let data = opened.expect("whole").data;
        assert_eq!((data.id(0), data.values(0)), ("001".into(), vec![5.0, 6.5, 7.0, 8.0]));
        assert_eq!(data.labels(), Some([0, 1, 0, 1].map(Some).to_vec()));
    }

    #[test]
    fn errors_in_cells_are_named_and_formulas_without_a_value_are_said() {
        let error = read("a.xlsx", example("openpyxl_error.xlsx"), None).map(|_| ());
        assert_eq!(
            error.expect_err("an error"),
            "`a.xlsx`, line 3, column `y`: expected a value, found `#REF!`"
        );
        let block = block("openpyxl_formulas_without_values.xlsx");
        assert_eq!(missing(&block), [(0, 1), (1, 1)]);
        let notes = notes(&block).join("\n");
        assert!(
            notes.contains("2 formulas have no value, the first in C2: they are missing"),
            "{notes}"
        );
    }

    #[test]
    fn values_of_formulas_times_and_other_forms_of_workbooks_are_read() {
        let formulas = block("xlsxwriter_formulas.xlsx");
        assert_eq!(formulas.values, Storage::Floats(vec![0.5, 1.0, 1.5, 3.0, 2.5, 5.0]));
        let times = ["2022-01-01 00:00:00", "2022-01-02 06:00:00", "2022-01-03 12:00:00"];
        assert_eq!((words(&formulas, "when"), notes(&formulas).len()), (times.to_vec(), 0));
        let ods = block("pandas.ods");
        assert_eq!(ods.columns, Some(["x", "flag", "code"].map(String::from).to_vec()));
        assert_eq!(ods.values, Storage::Floats(vec![1.5, 1.0, 7.0, 0.0, 0.0, 8.0, 3.0, 1.0, 9.0]));
        assert_eq!(words(&ods, "day"), ["2020-01-01", "2020-01-02", ""]);
        let code = ods.candidates.iter().find(|candidate| candidate.column == "code");
        assert_eq!(code.expect("all differ").ids, ["007", "008", "009"]);
        let index = block("pandas_index.xlsx");
        let found = index.candidates.iter().map(|c| (c.column.as_str(), c.certain)).take(2);
        assert_eq!(found.collect::<Vec<_>>(), [("", false), ("id", true)]);
    }

    #[test]
    fn tables_lie_anywhere_in_a_sheet() {
        let cell = |row, column, text: &str| {
            let held = text.parse().map_or_else(|_| Held::Text(text.into()), Held::Number);
            (row, column, held)
        };
        let of = |rows: &[(u32, &[(u32, &str)])]| {
            let cells = rows.iter().flat_map(|(row, cells)| {
                cells.iter().map(move |(column, text)| cell(*row, *column, text))
            });
            let said = ReadOptions::default();
            let table = Table::of(Path::new("a.xlsx"), cells.collect(), 100, Vec::new(), said);
            table.and_then(|table| table::block(table, said)).map_err(|error| error.to_string())
        };
        // A group of columns above their names, an empty row, and a row that says nothing.
        let block = of(&[
            (2, &[(3, "Blood")]),
            (4, &[(1, "id"), (3, "x"), (4, "y"), (6, "z")]),
            (5, &[(1, "a"), (3, "1"), (4, "2"), (6, "3")]),
            (8, &[(1, "b"), (4, "5"), (6, "6")]),
        ]);
        let block = block.expect("valid");
        assert_eq!(block.columns, Some(["x", "y", "z"].map(String::from).to_vec()));
        assert_eq!((block.rows, missing(&block)), (2, vec![(1, 0)]));
        let found = notes(&block).join("\n");
        assert!(found.contains("line 3 before its header are passed over"), "{found}");
        assert!(found.contains("2 rows without any value are passed over"), "{found}");
        // Numbers only, and a column without a name.
        assert_eq!(of(&[(0, &[(0, "0.5")]), (1, &[(0, "2.5")])]).expect("valid").rows, 2);
        let block = of(&[(0, &[(0, "id"), (1, "x")]), (1, &[(0, "a"), (1, "1"), (3, "2")])]);
        let columns = block.expect("valid").columns;
        assert_eq!(columns, Some(["x", "D"].map(String::from).to_vec()));
        // Cells that lie far apart take no room.
        let far: &[(u32, &[(u32, &str)])] =
            &[(0, &[(0, "a"), (1, "b")]), (1, &[(0, "1"), (1, "2")]), (u32::MAX - 1, &[(0, "1")])];
        let error = of(far).map(|_| ()).expect_err("too far");
        assert!(error.contains("it claims to hold 68719476720 bytes of values"), "{error}");
        assert_eq!([0, 25, 26, 701, 702].map(letters), ["A", "Z", "AA", "ZZ", "AAA"]);
    }

    #[test]
    fn other_files_are_refused_by_what_they_are() {
        let whole = example("openpyxl_error.xlsx");
        for (bytes, part) in [
            (text("id,x\na,1\n"), "it begins with `id,x\\na,1\\n`"),
            (text("<html><table>"), "it begins with `<html><table>`"),
            (npz(&[("a", 1, 1)]), "it is an archive that holds no workbook"),
            (example("polars.parquet"), "it is a Parquet file; call it `.parquet`"),
            (
                example("xlwt.xls"),
                "a workbook of an older Excel or one with a password is not read",
            ),
            (whole[..whole.len() / 2].to_vec(), "invalid Zip archive"),
        ] {
            let error = read("a.xlsx", bytes, None).map(|_| ()).expect_err(part);
            assert!(error.starts_with("`a.xlsx` is not a valid Excel file: "), "{error}");
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_workbook_that_claims_more_than_it_holds_is_refused() {
        let mut archive = ZipArchive::new(Cursor::new(example("xlsxwriter_formulas.xlsx")));
        let archive = archive.as_mut().expect("a workbook");
        let mut out = ZipWriter::new(Cursor::new(Vec::new()));
        for place in 0..archive.len() {
            let mut part = archive.by_index(place).expect("there");
            let mut content = String::new();
            part.read_to_string(&mut content).expect("text");
            let content = content.replace("uniqueCount=\"", "uniqueCount=\"1000000000");
            out.start_file(part.name(), SimpleFileOptions::default()).expect("a name");
            out.write_all(content.as_bytes()).expect("memory takes it");
        }
        let bytes = out.finish().expect("memory takes it").into_inner();
        let error = read("a.xlsx", bytes, None).map(|_| ()).expect_err("too many texts");
        assert!(error.contains("it claims to hold "), "{error}");
    }

    /// Damaged workbooks give errors that name them, and none panics.
    #[test]
    fn no_damage_of_a_workbook_does_more_than_an_error() {
        let folder = Folder::new([]);
        for file in ["openpyxl_error.xlsx", "pandas.ods"] {
            let mut bytes = example(file);
            let path = folder.path(file);
            for place in (0..bytes.len()).step_by(23) {
                bytes[place] ^= 0xff;
                folder.write(file, &bytes);
                if let Err(error) = Excel.block(&path, ReadOptions::default()) {
                    assert!(folder.message(error).contains(&format!("`{file}`")), "{file}");
                }
                bytes[place] ^= 0xff;
            }
        }
    }
}
