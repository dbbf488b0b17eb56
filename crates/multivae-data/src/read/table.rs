//! Tables, whatever file they come from: the one place that makes values, words and candidates for
//! identifiers of cells.
//!
//! A format that reads row by row implements [`Rows`]; one that reads column by column fills a
//! [`Column`] for each. Text that reads as a number is one, unless the file says that it is a word.

use std::{
    borrow::Cow,
    collections::HashSet,
    path::{Path, PathBuf},
};

use multivae_core::schema::{Dtype, ValueScale};
use rayon::prelude::*;

use super::{
    Candidate, Layout, ModalityTable, Place, ReadOptions, TextTable, Words, name,
    number::{self, Number, number},
    usual_id,
};
use crate::{
    cells::MissingCells,
    error::{DataError, Result, list},
    report::Warning,
    storage::Storage,
};

/// The column that holds identifiers if nothing else is said; or else a first column without a
/// name, as which data frames write their index.
const ID: &str = "id";
/// What was expected where an identifier is missing.
const IDENTIFIER: &str = "an identifier";

/// What can be held in memory of a file: so many bytes for each of its own, and so many beside.
///
/// Repeated values take nearly no space in a file, but no header makes more of it than this.
const EXPANDS: u64 = 1 << 10;
const BESIDE: u64 = 64 << 20;

/// Refuses what a header claims if it is more than a file of this size can hold.
pub(super) fn check_claim(path: &Path, format: &'static str, size: u64, claim: u64) -> Result<()> {
    if claim <= size.saturating_mul(EXPANDS).saturating_add(BESIDE) {
        return Ok(());
    }
    Err(DataError::Malformed {
        path: path.into(),
        format,
        reason: format!(
            "it claims to hold {claim} bytes of values, more than {EXPANDS} for each of its {size}"
        ),
    })
}

/// What is known of a table beside its rows.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) path: PathBuf,
    /// Names of the columns; their numbers if the file names none.
    pub(super) names: Vec<String>,
    /// Whether the file names its columns.
    pub(super) named: bool,
    /// The column of identifiers, where it is certain.
    pub(super) id: Option<usize>,
    /// Whether a comma is the decimal mark of numbers in text.
    pub(super) comma: bool,
    /// Whether the file is text, of which single cells can be written anew.
    pub(super) text: bool,
    /// The type of the values in the file.
    pub(super) dtype: Dtype,
    /// What is unusual about the file.
    pub(super) notes: Vec<Warning>,
}

impl Head {
    /// Of a file whose cells are text or have types of their own, without identifiers.
    ///
    /// # Errors
    ///
    /// [`DataError::DuplicateColumn`].
    pub(super) fn new(path: &Path, names: Vec<String>) -> Result<Self> {
        let mut seen = HashSet::new();
        if let Some(column) = names.iter().find(|column| !seen.insert(*column)) {
            return Err(DataError::DuplicateColumn { path: path.into(), column: column.clone() });
        }
        Ok(Self {
            path: path.into(),
            names,
            named: true,
            id: None,
            comma: false,
            text: false,
            dtype: Dtype::Text,
            notes: Vec::new(),
        })
    }

    /// The same with the column of identifiers that is said, or else called `id`, or `index`, or
    /// else the first if it has no name.
    ///
    /// # Errors
    ///
    /// [`DataError::MissingColumn`].
    pub(super) fn with_id(mut self, said: ReadOptions, index: Option<usize>) -> Result<Self> {
        self.id = match said.id {
            Some(id) => Some(self.find(id)?),
            None => (self.names.iter().position(|column| column == ID))
                .or(index)
                .or_else(|| self.names.first().filter(|column| column.is_empty()).map(|_| 0)),
        };
        Ok(self)
    }

    /// The place of a column.
    ///
    /// # Errors
    ///
    /// [`DataError::MissingColumn`].
    pub(super) fn find(&self, column: &str) -> Result<usize> {
        self.names.iter().position(|name| name == column).ok_or_else(|| DataError::MissingColumn {
            path: self.path.clone(),
            column: column.into(),
            known: list(&self.names),
        })
    }

    /// The error about a cell.
    pub(super) fn cell(
        &self,
        place: Place,
        column: usize,
        expected: &'static str,
        found: &str,
    ) -> DataError {
        DataError::Cell {
            path: self.path.clone(),
            place,
            column: self.names[column].clone(),
            expected,
            found: found.into(),
        }
    }

    /// The error about an identifier that is given twice.
    fn twice(&self, id: &str) -> DataError {
        DataError::DuplicateId { path: self.path.clone(), id: id.into() }
    }

    fn no_rows(&self) -> DataError {
        let reason = "it has no rows below its header";
        DataError::EmptyFile { path: self.path.clone(), reason }
    }
}

/// A cell as a format gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Missing,
    Number(f64),
    /// A whole number with all its digits.
    Whole(i128),
    Flag(bool),
    /// Text, which is a number if it reads as one.
    Text(&'a str),
    /// Text that is none, such as a category or a day.
    Word(&'a str),
}

impl Cell<'_> {
    /// As text; nothing if it is missing.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Missing => Cow::Borrowed(""),
            Self::Number(value) if value.is_nan() => Cow::Borrowed(""),
            Self::Number(value) => Cow::Owned(value.to_string()),
            Self::Whole(value) => Cow::Owned(value.to_string()),
            // As data frames write truth values.
            Self::Flag(true) => Cow::Borrowed("True"),
            Self::Flag(false) => Cow::Borrowed("False"),
            Self::Text(text) | Self::Word(text) => Cow::Borrowed(text),
        }
    }

    fn is_blank(&self) -> bool {
        matches!(self, Self::Missing | Self::Text("") | Self::Word(""))
    }
}

/// A table that is gone through row by row, more than once.
pub(super) trait Rows {
    /// What is known of it.
    fn head(&self) -> &Head;

    /// The same, once its rows are read.
    fn into_head(self) -> Head
    where
        Self: Sized;

    /// Calls `row` with a mark and the cells of each row, one for each name.
    fn visit(&self, row: &mut dyn FnMut(u64, &[Cell<'_>]) -> Result<()>) -> Result<()>;

    /// The place in the file that a mark says.
    fn place(&self, mark: u64) -> Place;

    /// The places of all rows, whose marks come in the order of the file.
    fn places(&self, marks: Vec<u64>) -> Vec<Place> {
        marks.into_iter().map(|mark| self.place(mark)).collect()
    }

    /// As [`visit`](Self::visit), without rows that hold nothing: those at the end are left over by
    /// spreadsheets; those between others hold a place, unless identifiers say which row is which.
    /// Gives how many were passed over, and refuses identifiers that are missing or given twice.
    fn each(&self, row: &mut dyn FnMut(u64, &[Cell<'_>]) -> Result<()>) -> Result<usize> {
        let head = self.head();
        let (width, id) = (head.names.len(), head.id);
        let mut seen = HashSet::new();
        let (mut rows, mut blanks, mut waiting) = (0, 0, Vec::new());
        self.visit(&mut |mark, cells| {
            if width > 1 && cells.iter().all(Cell::is_blank) {
                blanks += 1;
                waiting.push(mark);
                return Ok(());
            }
            if id.is_none() {
                for mark in waiting.drain(..) {
                    blanks -= 1;
                    rows += 1;
                    row(mark, &vec![Cell::Missing; width])?;
                }
            }
            rows += 1;
            if let Some(id) = id {
                check_id(head, &mut seen, cells[id], id, || self.place(mark))?;
            }
            row(mark, cells)
        })?;
        if rows == 0 { Err(head.no_rows()) } else { Ok(blanks) }
    }
}

/// Refuses an identifier that is missing or was seen before.
fn check_id(
    head: &Head,
    seen: &mut HashSet<String>,
    cell: Cell,
    column: usize,
    place: impl Fn() -> Place,
) -> Result<()> {
    let text = cell.text();
    if text.is_empty() {
        return Err(head.cell(place(), column, IDENTIFIER, ""));
    }
    if seen.insert(text.clone().into_owned()) { Ok(()) } else { Err(head.twice(&text)) }
}

/// Refuses identifiers of a table that are missing or given twice.
pub(super) fn check_ids(
    head: &Head,
    columns: &[Vec<String>],
    place: &dyn Fn(u64) -> Place,
) -> Result<()> {
    let Some(id) = head.id else { return Ok(()) };
    let mut seen = HashSet::new();
    let mut rows = columns[id].iter().enumerate();
    rows.try_for_each(|(row, cell)| {
        check_id(head, &mut seen, Cell::Word(cell), id, || place(row as u64))
    })
}

/// Says how many rows without anything were passed over.
fn note_blanks(head: &mut Head, blanks: usize) {
    if blanks > 0 {
        let found = format!("{blanks} rows without any value are passed over");
        head.notes.push(Warning::new(name(&head.path), found, "delete them in the file"));
    }
}

/// Every column but the identifiers as a feature; single cells can be missing.
pub(super) fn block(table: impl Rows, said: ReadOptions) -> Result<ModalityTable> {
    let head = table.head();
    let mut columns: Vec<_> = (0..head.names.len()).map(|c| Column::new(head, c, false)).collect();
    let blanks = table.each(&mut |mark, cells| {
        for (column, (cell, into)) in cells.iter().zip(&mut columns).enumerate() {
            into.push(*cell, mark, said).map_err(|expected| {
                table.head().cell(table.place(mark), column, expected, &cell.text())
            })?;
        }
        Ok(())
    })?;
    // The text of columns of numbers is not kept, so that of words is read again.
    let worded: Vec<usize> = (0..columns.len()).filter(|&c| columns[c].is_worded()).collect();
    if !worded.is_empty() {
        worded.iter().for_each(|&c| columns[c].cells = Some(Vec::new()));
        table.each(&mut |_, cells| {
            worded.iter().for_each(|&c| columns[c].keep(cells[c], said));
            Ok(())
        })?;
    }
    for column in &mut columns {
        column.settle(&|mark| table.place(mark));
    }
    let mut head = table.into_head();
    note_blanks(&mut head, blanks);
    finish(head, columns, said)
}

/// All cells of a table as text.
pub(super) fn text(table: impl Rows, said: ReadOptions) -> Result<TextTable> {
    let head = table.head();
    let wanted = said.column.map(|column| head.find(column)).transpose()?;
    let mut columns: Vec<Vec<String>> = vec![Vec::new(); head.names.len()];
    let mut marks = Vec::new();
    let blanks = table.each(&mut |mark, cells| {
        marks.push(mark);
        for (column, cell) in columns.iter_mut().zip(cells) {
            column.push(cell.text().into_owned());
        }
        Ok(())
    })?;
    let places = table.places(marks);
    let mut head = table.into_head();
    note_blanks(&mut head, blanks);
    Ok(of_text(head, columns, places, wanted))
}

/// A table of text from its columns.
pub(super) fn of_text(
    head: Head,
    columns: Vec<Vec<String>>,
    places: Vec<Place>,
    wanted: Option<usize>,
) -> TextTable {
    let Head { path, names, named, id, notes, .. } = head;
    let columns = names.into_iter().zip(columns).collect();
    TextTable { path, columns, named, places, id, wanted, notes }
}

/// Numbers in as little memory as keeps their digits.
#[derive(Debug)]
enum Numbers {
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
}

impl Numbers {
    fn push(&mut self, value: f64) {
        match self {
            Self::Floats(values) => {
                let short = value as f32;
                if f64::from(short) == value || value.is_nan() {
                    values.push(short);
                } else {
                    let mut doubles: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
                    doubles.push(value);
                    *self = Self::Doubles(doubles);
                }
            }
            Self::Doubles(values) => values.push(value),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Doubles(values) => values.len(),
        }
    }

    fn at(&self, row: usize) -> f64 {
        match self {
            Self::Floats(values) => f64::from(values[row]),
            Self::Doubles(values) => values[row],
        }
    }
}

/// A column while its cells are read.
#[derive(Debug)]
pub(super) struct Column {
    comma: bool,
    /// Whether it holds the identifiers for certain.
    certain: bool,
    /// Not a number where a cell is missing or a word.
    values: Numbers,
    /// The text of all cells, if it is kept.
    cells: Option<Vec<String>>,
    track: Track,
    /// The classes that the file says, if it says their order.
    levels: Option<Vec<String>>,
    /// Whether the file says that its words are of few classes.
    classes: bool,
    /// Whole numbers that have more digits than a number of double precision.
    rounded: usize,
}

impl Column {
    /// Without cells yet; `keeps` says whether their text is kept.
    pub(super) fn new(head: &Head, column: usize, keeps: bool) -> Self {
        Self {
            comma: head.comma,
            certain: head.id == Some(column),
            values: Numbers::Floats(Vec::new()),
            cells: keeps.then(Vec::new),
            track: Track::new(&head.names[column]),
            levels: None,
            classes: false,
            rounded: 0,
        }
    }

    /// The same of a file that says the classes of the column; with `levels`, in this order.
    pub(super) fn of_classes(mut self, levels: Option<Vec<String>>) -> Self {
        (self.classes, self.levels) = (true, levels);
        self
    }

    /// Takes the next cell.
    ///
    /// # Errors
    ///
    /// What was expected, if it is neither a number nor a word.
    pub(super) fn push(
        &mut self,
        cell: Cell,
        mark: u64,
        said: ReadOptions,
    ) -> Result<(), &'static str> {
        if self.cells.is_some() {
            self.keep(cell, said);
        }
        if self.certain {
            self.track.kept.push(cell.text().into_owned());
            self.values.push(f64::NAN);
            return Ok(());
        }
        let track = &mut self.track;
        let value = match cell {
            Cell::Missing => Number::Missing,
            Cell::Number(value) if said.is_number_code(value) => Number::Missing,
            Cell::Whole(value) if said.is_number_code(value as f64) => Number::Missing,
            Cell::Number(value) => match number::checked(value) {
                Number::Value(value) => {
                    track.number(&cell, value);
                    Number::Value(value)
                }
                other => other,
            },
            Cell::Whole(whole) => {
                let value = whole as f64;
                self.rounded += usize::from(value as i128 != whole);
                track.number(&cell, value);
                Number::Value(value)
            }
            Cell::Flag(flag) => {
                track.end();
                Number::Value(f64::from(u8::from(flag)))
            }
            Cell::Text(text) | Cell::Word(text) if said.is_code(text) => Number::Missing,
            Cell::Text(text) => match number(text, self.comma) {
                Number::Value(value) => {
                    track.number(&cell, value);
                    Number::Value(value)
                }
                other => other,
            },
            Cell::Word(_) => Number::Bad(number::NUMBER),
        };
        match value {
            Number::Value(value) => self.values.push(value),
            Number::Missing => {
                track.end();
                self.values.push(f64::NAN);
            }
            Number::Bad(expected) if expected == number::NUMBER => {
                track.word(&cell.text(), mark, expected);
                self.values.push(f64::NAN);
            }
            Number::Bad(expected) => return Err(expected),
        }
        Ok(())
    }

    /// Keeps the text of the next cell.
    fn keep(&mut self, cell: Cell, said: ReadOptions) {
        let text = cell.text();
        let text = if said.is_code(&text) { String::new() } else { text.into_owned() };
        self.cells.get_or_insert_default().push(text);
    }

    /// Whether some cell is a word, so that it is no feature.
    fn is_worded(&self) -> bool {
        !self.certain && self.track.word.is_some()
    }

    /// Finds the place of the first word.
    pub(super) fn settle(&mut self, place: &dyn Fn(u64) -> Place) {
        let word = self.track.word.take();
        self.track.bad = word.map(|(mark, cell, expected)| (place(mark), cell, expected));
    }
}

/// What is known of a column while its rows are read.
#[derive(Debug)]
struct Track {
    /// Whether the column can still hold identifiers: no cell is missing, none is a fraction, and
    /// all differ.
    alive: bool,
    usual: bool,
    kept: Vec<String>,
    seen: HashSet<String>,
    /// The first cell that is no number: its mark, what it holds, and what was expected.
    word: Option<(u64, String, &'static str)>,
    /// The same with its place, once all is read.
    bad: Option<(Place, String, &'static str)>,
    /// The first cell that is given twice below a usual name.
    twice: Option<String>,
    rows: usize,
}

impl Track {
    fn new(name: &str) -> Self {
        let usual = usual_id(name).is_some();
        let (kept, seen) = (Vec::new(), HashSet::new());
        Self { alive: true, usual, kept, seen, word: None, bad: None, twice: None, rows: 0 }
    }

    fn number(&mut self, cell: &Cell, value: f64) {
        self.rows += 1;
        if !self.alive {
            return;
        }
        let text = cell.text();
        if value.fract() != 0.0 || text.contains(['e', 'E', ',']) {
            self.end();
        }
        self.candidate(&text);
    }

    /// A cell of text, which can be an identifier from the first row on, or below a usual name.
    fn word(&mut self, cell: &str, mark: u64, expected: &'static str) {
        self.rows += 1;
        if self.rows > 1 && self.word.is_none() && !self.usual {
            self.end();
        }
        self.word.get_or_insert_with(|| (mark, cell.to_owned(), expected));
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

/// A modality from columns that are read column by column, of which the certain identifiers are not
/// checked yet.
pub(super) fn of_columns(
    head: Head,
    columns: Vec<Column>,
    said: ReadOptions,
    place: &dyn Fn(u64) -> Place,
) -> Result<ModalityTable> {
    if let Some(id) = head.id {
        let mut seen = HashSet::new();
        let mut rows = columns[id].track.kept.iter().enumerate();
        rows.try_for_each(|(row, cell)| {
            check_id(&head, &mut seen, Cell::Word(cell), id, || place(row as u64))
        })?;
    }
    finish(head, columns, said)
}

/// A modality from all its columns, whose words have places.
fn finish(mut head: Head, columns: Vec<Column>, said: ReadOptions) -> Result<ModalityTable> {
    let rows = columns.first().map_or(0, |column| column.values.len());
    if rows == 0 {
        return Err(head.no_rows());
    }
    let mut candidates = Vec::new();
    let mut features: Vec<(usize, Numbers)> = Vec::new();
    let mut words = Vec::new();
    for (place, column) in columns.into_iter().enumerate() {
        let Column { certain, values, cells, track, levels, classes, rounded, .. } = column;
        let name = head.names[place].clone();
        let Track { bad, twice, kept, alive, .. } = track;
        let word = bad.clone().filter(|_| !certain);
        let of_words = word.is_some();
        if let Some(bad) = word {
            if let Some(id) = twice.filter(|_| head.id.is_none()) {
                return Err(head.twice(&id));
            }
            let cells = cells.unwrap_or_default();
            words.push(Words { column: place, name: name.clone(), cells, bad, classes, levels });
        }
        // Text whose column is said is text even if all of it differs.
        let is_text = said.column == Some(name.as_str());
        if !is_text && (certain || (alive && kept.len() == rows)) {
            candidates.push(Candidate {
                usual: usual_id(&name),
                column: name.clone(),
                named: head.named,
                certain,
                feature: (!of_words && !certain).then_some(features.len()),
                bad,
                ids: kept,
            });
        }
        if !certain && !of_words {
            if rounded > 0 {
                head.notes.push(Warning::new(
                    format!("{}, column `{name}`", self::name(&head.path)),
                    format!("{rounded} whole numbers have more than 53 bits and lose digits"),
                    "if they are identifiers, name the column as `id` in a manifest",
                ));
            }
            features.push((place, values));
        }
    }
    let is_text = words.iter().any(|words| said.column == Some(words.name.as_str()));
    if features.is_empty() && !is_text && words.len() <= usize::from(head.id.is_none()) {
        let reason = "it has no columns besides the identifiers";
        return Err(DataError::EmptyFile { path: head.path, reason });
    }
    let (places, values): (Vec<usize>, Vec<Numbers>) = features.into_iter().unzip();
    let (values, missing) = by_row(rows, values);
    let columns = places.iter().map(|&column| head.names[column].clone()).collect();
    let layout = Layout {
        header: said.header,
        said_id: said.id.map(str::to_owned),
        names: head.names,
        columns: places.iter().copied().map(Some).collect(),
        id: head.id,
        comma: head.comma,
        text: head.text,
    };
    Ok(ModalityTable {
        path: head.path,
        ids: None,
        candidates,
        shape: vec![places.len()],
        columns: head.named.then_some(columns),
        words,
        table: None,
        rows,
        values,
        missing,
        dtype: head.dtype,
        scale: ValueScale::IDENTITY,
        notes: head.notes,
        matrix: false,
        layout: Some(layout),
    })
}

/// Columns as rows, and which of their values are missing.
fn by_row(rows: usize, columns: Vec<Numbers>) -> (Storage, Option<MissingCells>) {
    let width = columns.len();
    if width == 0 {
        return (Storage::Floats(Vec::new()), None);
    }
    let flags = (0..rows).flat_map(|row| columns.iter().map(move |column| column.at(row).is_nan()));
    let missing = MissingCells::from_flags(width, flags);
    let value = |place: usize| {
        let value = columns[place % width].at(place / width);
        if value.is_nan() { 0.0 } else { value }
    };
    let values = (0..rows * width).into_par_iter();
    let precise = columns.iter().any(|column| matches!(column, Numbers::Doubles(_)));
    let values = match precise {
        true => Storage::Doubles(values.map(value).collect()),
        false => Storage::Floats(values.map(|place| value(place) as f32).collect()),
    };
    (values, missing)
}

/// Names of columns where the file has none: their numbers.
pub(super) fn numbered(width: usize) -> Vec<String> {
    (0..width).map(|column| column.to_string()).collect()
}

/// Whether the first line of a table is a row like those below: all its cells are numbers, or all
/// but the first, which is text as in the next row. Numbers in sequence are names of columns, as
/// data frames write them, and so are years, and five or more numbers that rise.
pub(super) fn is_row(first: &[String], second: Option<&[String]>, comma: bool) -> bool {
    let value = |cell: &String| match number(cell, comma) {
        Number::Value(value) => Some(value),
        Number::Missing | Number::Bad(_) => None,
    };
    let numbers = |cells: &[String]| -> Option<Vec<f64>> {
        let known = cells.iter().filter(|cell| !number::is_missing(cell));
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

/// What is said of a first line that is taken for a row.
pub(super) fn headless(file: &str) -> Warning {
    Warning::new(
        file,
        "its first line is taken for a row, since it holds numbers like those below",
        "if it names the columns, say `header = true` in a manifest",
    )
}
