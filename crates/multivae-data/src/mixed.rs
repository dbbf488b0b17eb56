//! Mixed tables: which kind of values each column holds, from cells to features by it, and back.
//!
//! The kind of a column is what the user says of it, or what its observed cells speak for:
//!
//! | cells | kind |
//! |---|---|
//! | numbers, each with the same unit behind it | real |
//! | classes that the file itself says, in an order of three or more | ordinal |
//! | days or times, all written alike | date |
//! | two words, or 0 and 1 | binary |
//! | words of which each stands in two rows or more on average | categorical |
//! | other words | text, which is left out |
//! | at most seven whole numbers within ten of each other and twenty of 0 | ordinal |
//! | whole numbers from 0 on that reach far above the least | count |
//! | numbers above 0 whose logarithms are less skewed by half | positive |
//! | other numbers | real |
//!
//! A column of numbers with some words among them is refused, since these could be typing errors,
//! unless its values are few.
//! Kinds of numbers are told from at least [`FEWEST`] rows; with fewer they are real.
//! A table of numbers alone has one likelihood where one is right for all of its columns: all binary,
//! all ordinal with the same levels, mostly counts, all real or positive (normal).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta};
use multivae_core::{
    distribution::{
        ColumnRun, Likelihood, Mixed, Scale,
        likelihood::{LogNormal, NegativeBinomial, Ordinal},
    },
    schema::{ColumnKind, ModalitySchema, TableColumn},
};
use serde::Deserialize;

use crate::{
    assemble::Source,
    cells::MissingCells,
    error::{DataError, Place, Result, list},
    read::{
        ModalityTable, Words, name,
        number::{self, Number},
    },
    report::Warning,
    storage::Storage,
    text::{self, TextOptions},
};

/// Rows from which on whole numbers say that they are counts or levels.
pub(crate) const FEWEST: usize = 20;
/// Levels and classes of a column of numbers at most.
const LEVELS: usize = 7;
/// How far levels are apart at most.
const SPAN: f64 = 10.0;
/// Classes of a column of words at most.
const CLASSES: usize = 200;
/// Features of a table above which a few whole numbers say nothing: it is an array of measurements.
const WIDE: usize = 100;

/// How dates are written, and which other way of writing could be meant.
const DATES: &[&str] = &[
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d-%m-%Y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
];

/// What a user says of a column: the name of a kind, or a kind with its classes in order.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Said {
    Name(String),
    Kind(ColumnKind),
}

/// A column of the file, with its cells by row.
enum Cells<'a> {
    /// Its place among the features of the table.
    Numbers(usize),
    Words(&'a Words),
}

/// Columns of a file as they are read, before and after each has a kind.
struct Columns<'a> {
    block: &'a ModalityTable,
    /// Whether a comma is the decimal mark of words that hold numbers.
    comma: bool,
}

/// A cell.
#[derive(Clone, Debug, PartialEq)]
enum Cell<'a> {
    Number(f64),
    Word(&'a str),
    Missing,
}

impl<'a> Columns<'a> {
    /// All columns in the order of the file, by name.
    fn all(&self) -> Vec<(usize, String, Cells<'a>)> {
        let names = self.block.columns.iter().flatten().enumerate();
        let place = |feature: usize| {
            let layout = self.block.layout.as_ref();
            layout.and_then(|layout| layout.columns[feature]).unwrap_or(feature)
        };
        let numbers = names.map(|(f, name)| (place(f), name.clone(), Cells::Numbers(f)));
        let words = self.block.words.iter();
        let words = words.map(|words| (words.column, words.name.clone(), Cells::Words(words)));
        let mut all: Vec<_> = numbers.chain(words).collect();
        all.sort_by_key(|(place, ..)| *place);
        all
    }

    fn cell(&self, cells: &Cells<'a>, row: usize) -> Cell<'a> {
        match cells {
            Cells::Numbers(feature) => {
                let features: usize = self.block.shape.iter().product();
                let missing = self.block.missing.as_ref();
                if missing.is_some_and(|missing| missing.is_missing(row, *feature)) {
                    Cell::Missing
                } else {
                    let value = self.block.values.value(row * features + feature);
                    Cell::Number(value.expect("tables of columns are in memory"))
                }
            }
            Cells::Words(words) => {
                let cell = words.cells[row].as_str();
                if number::is_no_class(cell) { Cell::Missing } else { Cell::Word(cell) }
            }
        }
    }

    fn observed(&self, cells: &Cells<'a>) -> impl Iterator<Item = Cell<'a>> {
        let cells = (0..self.block.rows).map(|row| self.cell(cells, row));
        cells.filter(|cell| *cell != Cell::Missing).collect::<Vec<_>>().into_iter()
    }
}

/// The number in a word, if it is one.
fn plain(word: &str, comma: bool) -> Option<f64> {
    match number::number(word, comma) {
        Number::Value(value) => Some(value),
        _ => None,
    }
}

/// A number and the unit behind it.
fn with_unit(word: &str, comma: bool) -> Option<(f64, &str)> {
    let at = word.rfind(|c: char| c.is_ascii_digit())? + 1;
    let unit = word[at..].trim_start();
    let fits = !unit.is_empty()
        && unit.len() <= 16
        && unit.starts_with(|c: char| c.is_alphabetic() || "%°µ/".contains(c));
    let value = plain(word[..at].trim(), comma)?;
    fits.then_some((value, unit))
}

/// Days since 1970 began.
fn days(word: &str, format: &str) -> Option<f64> {
    let time = NaiveDateTime::parse_from_str(word, format)
        .ok()
        .or_else(|| NaiveDate::parse_from_str(word, format).ok()?.and_hms_opt(0, 0, 0))?;
    let days = time.and_utc().timestamp_millis() as f64 / 86_400_000.0;
    // Years of two digits are of an unknown century.
    (days > -300_000.0).then_some(days)
}

/// A day or time as it is written.
pub(crate) fn date(days: f64, format: &str) -> Option<String> {
    let whole = !format.contains("%H");
    let days = if whole { days.round() } else { days };
    let since = TimeDelta::try_milliseconds((days * 86_400_000.0).round() as i64)?;
    let time = DateTime::UNIX_EPOCH.checked_add_signed(since)?;
    Some(time.naive_utc().format(&format.replace("%.f", "")).to_string())
}

/// A cell of a column by its features in the units of the file: the likeliest class, a day or time, a
/// count, or a number as `number` writes it, with its unit; empty for text that is not modelled.
///
/// # Panics
///
/// If there are not as many features as the column has.
pub fn cell_text(kind: &ColumnKind, features: &[f64], number: impl Fn(f64) -> String) -> String {
    let nearest = |numbers: Vec<f64>| {
        let apart = |place: &usize| (numbers[*place] - features[0]).abs();
        (0..numbers.len()).min_by(|a, b| apart(a).total_cmp(&apart(b)))
    };
    let class = match kind.numbers() {
        Some(numbers) => nearest(numbers),
        None => kind.class_number(features),
    };
    if let (Some(classes), Some(class)) = (kind.classes(), class) {
        return classes[class].clone();
    }
    match kind {
        ColumnKind::Text => String::new(),
        ColumnKind::Date { format } => date(features[0], format).unwrap_or_default(),
        ColumnKind::Count => features[0].round().to_string(),
        ColumnKind::Real { unit: Some(unit) } => format!("{} {unit}", number(features[0])),
        _ => number(features[0]),
    }
}

/// A number as the name of a class.
fn title(value: f64) -> String {
    value.to_string()
}

/// Gives each column of a table its kind, and makes features of its columns, if the table needs
/// that: if it holds words, if kinds are said, or if columns of numbers are of several kinds.
///
/// # Errors
///
/// [`DataError::Cell`] for a word among numbers; [`DataError::Config`] for something said of a column
/// that is not there or cannot be so.
pub(crate) fn infer(source: &mut Source) -> Result<Vec<Warning>> {
    let mut warnings = Vec::new();
    let block = &source.block;
    let open = source.likelihood.is_none() && source.shape.is_none();
    if block.words.is_empty() && source.said.is_empty() && !open {
        return Ok(warnings);
    }
    if let Some(words) = block.words.first().filter(|_| !open) {
        let (place, found, expected) = words.bad.clone();
        let (path, column) = (block.path.clone(), words.name.clone());
        return Err(DataError::Cell { path, place, column, expected, found });
    }
    if block.matrix && source.said.is_empty() {
        source.likelihood = matrix(block)?;
        return Ok(warnings);
    }
    let columns =
        Columns { block, comma: block.layout.as_ref().is_some_and(|layout| layout.comma) };
    let all = columns.all();
    if let Some(unknown) = source.said.keys().find(|said| !all.iter().any(|(_, n, _)| n == *said)) {
        return Err(DataError::Config {
            field: format!("columns of modality `{}`", source.name),
            expected: format!(
                "names of columns, of {}",
                list(all.iter().map(|(_, n, _)| n).take(20))
            ),
            found: unknown.clone(),
        });
    }
    let subject = |column: &str| format!("modality `{}`, column `{column}`", source.name);
    let mut kinds = Vec::new();
    for (_, column, cells) in &all {
        let kind = match source.said.get(column) {
            Some(said) => columns.said(&source.name, column, cells, said)?,
            None => columns.guess(cells, &subject(column), &mut warnings)?,
        };
        kinds.push(kind);
    }
    if let ([(_, column, Cells::Words(_))], [ColumnKind::Text]) = (&all[..], &kinds[..])
        && source.said.is_empty()
    {
        // Text and nothing else: there is nothing to leave it out for.
        let column = column.clone();
        return text::take(source, column, TextOptions::default());
    }
    let alone = block.words.is_empty() && source.said.is_empty();
    if alone {
        match numeric(&columns, &mut kinds)? {
            Numeric::As(likelihood) => {
                if likelihood.is_some() {
                    source.likelihood = likelihood;
                }
                return Ok(warnings);
            }
            Numeric::Mixed => {}
        }
    }
    let named = all.iter().zip(kinds).map(|((_, name, _), kind)| (name.clone(), kind));
    let (table, likelihood) = table(named.collect());
    let Some(likelihood) = likelihood else {
        return Err(DataError::EmptyFile {
            path: block.path.clone(),
            reason: "it has no columns besides the identifiers and text that is left out",
        });
    };
    let encoded = encode(&columns, &all, &table, &source.name)?;
    warnings.extend(encoded.1);
    let layout = all.iter().map(|(place, ..)| Some(*place)).collect();
    take(&mut source.block, encoded.0, table, layout);
    source.likelihood = Some(likelihood);
    Ok(warnings)
}

/// What is right for a table of numbers.
enum Numeric {
    /// One likelihood for all columns; `None` for that of values about which nothing is said.
    As(Option<Likelihood>),
    Mixed,
}

/// The likelihood of a matrix of one assay; `None` for that of values about which nothing is said.
fn matrix(block: &ModalityTable) -> Result<Option<Likelihood>> {
    let (low, high, whole) = block.values.extent()?;
    let counts = whole && low >= 0.0 && high > 1.0;
    Ok(counts.then(|| NegativeBinomial::default().into()))
}

fn numeric(columns: &Columns, kinds: &mut [ColumnKind]) -> Result<Numeric> {
    let block = columns.block;
    let scaled = !block.scale.is_identity() || block.shape.len() != 1;
    if scaled || block.rows < FEWEST {
        return Ok(Numeric::As(None));
    }
    let is = |kind: &ColumnKind, name: &str| kind.name() == name;
    let count = |name: &str| kinds.iter().filter(|kind| is(kind, name)).count();
    let real = count("real") + count("positive");
    let (low, high, whole) = block.values.extent()?;
    if (low == 0.0 && high == 1.0 && whole) || real == kinds.len() {
        return Ok(Numeric::As(None));
    }
    if whole && low >= 0.0 && 2 * count("count") >= kinds.len() {
        return Ok(Numeric::As(Some(NegativeBinomial::default().into())));
    }
    if whole && are_levels(low, high) {
        let mut levels = BTreeSet::new();
        for (_, _, cells) in columns.all() {
            levels.extend(columns.observed(&cells).filter_map(|cell| match cell {
                Cell::Number(value) => Some(value as i64),
                _ => None,
            }));
        }
        if (3..=LEVELS).contains(&levels.len()) && block.columns.is_some() {
            let levels: Vec<_> = levels.into_iter().map(|level| title(level as f64)).collect();
            kinds.fill(ColumnKind::Ordinal { levels });
            return Ok(Numeric::Mixed);
        }
    }
    let few = kinds.len() > WIDE && 20 * real >= 19 * kinds.len();
    if few || block.columns.is_none() {
        return Ok(Numeric::As(None));
    }
    Ok(Numeric::Mixed)
}

impl<'a> Columns<'a> {
    /// The kind that the observed cells of a column speak for.
    fn guess(
        &self,
        cells: &Cells<'a>,
        subject: &str,
        warnings: &mut Vec<Warning>,
    ) -> Result<ColumnKind> {
        let words = match cells {
            Cells::Numbers(_) => {
                let values: Vec<f64> = self.numbers(cells);
                return Ok(of_numbers(&values));
            }
            Cells::Words(words) => words,
        };
        let observed: Vec<&str> = self
            .observed(cells)
            .filter_map(|cell| match cell {
                Cell::Word(word) => Some(word),
                _ => None,
            })
            .collect();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        observed.iter().for_each(|word| *counts.entry(word).or_insert(0) += 1);
        if words.classes {
            // A file that says so need not repeat each.
            let kind = of_classes(words.levels.as_deref(), &counts, true);
            warnings.extend(left_out(&kind, subject, &counts, observed.len()));
            return Ok(kind);
        }
        let with_units: Option<Vec<_>> =
            observed.iter().map(|word| with_unit(word, self.comma)).collect();
        if let Some(units) = with_units
            && let Some((_, unit)) = units.first()
            && units.iter().all(|(_, other)| other == unit)
            && counts.len() > 2
        {
            return Ok(ColumnKind::Real { unit: Some((*unit).to_owned()) });
        }
        let formats: Vec<&str> = (DATES.iter().copied())
            .filter(|format| observed.iter().all(|word| days(word, format).is_some()))
            .collect();
        if let Some(format) = formats.first().filter(|_| !observed.is_empty()) {
            if let Some(other) = formats.get(1) {
                warnings.push(Warning::new(
                    subject,
                    format!("its dates are taken for `{format}`, and could be `{other}` as well"),
                    "say which in a manifest: `columns = { NAME = { kind = \"date\", format = .. } }`",
                ));
            }
            return Ok(ColumnKind::Date { format: (*format).to_owned() });
        }
        let numbers = observed.iter().filter(|word| plain(word, self.comma).is_some()).count();
        let repeated = 2 * counts.len() <= observed.len();
        let few = repeated && counts.len() <= LEVELS.max(observed.len() / 10);
        if 2 * numbers > observed.len() && !few {
            let (place, found, expected) = words.bad.clone();
            let (path, column) = (self.block.path.clone(), words.name.clone());
            return Err(DataError::Cell { path, place, column, expected, found });
        }
        let kind = of_classes(None, &counts, repeated);
        warnings.extend(left_out(&kind, subject, &counts, observed.len()));
        Ok(kind)
    }

    fn numbers(&self, cells: &Cells<'a>) -> Vec<f64> {
        let number = |cell: Cell| match cell {
            Cell::Number(value) => Some(value),
            Cell::Word(word) => plain(word, self.comma),
            Cell::Missing => None,
        };
        self.observed(cells).filter_map(number).collect()
    }

    /// The kind that is said, with what is not said of it.
    fn said(
        &self,
        modality: &str,
        column: &str,
        cells: &Cells<'a>,
        said: &Said,
    ) -> Result<ColumnKind> {
        let names = || {
            let name = |cell: Cell| match cell {
                Cell::Number(value) => title(value),
                Cell::Word(word) => word.to_owned(),
                Cell::Missing => String::new(),
            };
            let mut names: Vec<String> =
                self.observed(cells).map(name).collect::<BTreeSet<_>>().into_iter().collect();
            if names.iter().all(|name| plain(name, self.comma).is_some()) {
                let key = |name: &String| plain(name, self.comma).unwrap_or_default();
                names.sort_by(|a, b| key(a).total_cmp(&key(b)));
            }
            names
        };
        let known =
            "`real`, `positive`, `count`, `binary`, `ordinal`, `categorical`, `date` or `text`";
        let bad = |expected: &str, found: &str| DataError::Config {
            field: format!("column `{column}` of modality `{modality}`"),
            expected: expected.into(),
            found: found.into(),
        };
        let kind = match said {
            Said::Kind(kind) => kind.clone(),
            Said::Name(name) => match name.as_str() {
                "real" => ColumnKind::Real { unit: None },
                "positive" => ColumnKind::Positive,
                "count" => ColumnKind::Count,
                "binary" => ColumnKind::Binary { classes: names() },
                "ordinal" => ColumnKind::Ordinal { levels: names() },
                "categorical" => ColumnKind::Categorical { classes: names() },
                "date" => match self.guess(cells, "", &mut Vec::new())? {
                    date @ ColumnKind::Date { .. } => date,
                    _ => return Err(bad("a column of dates", "another one; give their `format`")),
                },
                "text" => ColumnKind::Text,
                other => return Err(bad(known, other)),
            },
        };
        let classes = kind.classes().map_or(usize::MAX, <[String]>::len);
        match kind {
            ColumnKind::Binary { .. } if classes != 2 => {
                Err(bad("two classes", &format!("{classes}")))
            }
            ColumnKind::Ordinal { .. } if classes < 2 => {
                Err(bad("at least two levels", &format!("{classes}")))
            }
            kind => Ok(kind),
        }
    }
}

/// The kind of a column of words by how often each stands in it, and whether they are repeated as
/// classes are; `levels` are the classes in their order, if the file says one.
fn of_classes(
    levels: Option<&[String]>,
    counts: &BTreeMap<&str, usize>,
    repeated: bool,
) -> ColumnKind {
    match levels {
        Some([first, second]) => {
            return ColumnKind::Binary { classes: vec![first.clone(), second.clone()] };
        }
        Some(levels) if (3..=CLASSES).contains(&levels.len()) => {
            return ColumnKind::Ordinal { levels: levels.to_vec() };
        }
        _ => {}
    }
    if counts.len() > CLASSES || (counts.len() > 2 && !repeated) {
        return ColumnKind::Text;
    }
    let classes: Vec<String> = counts.keys().map(|&word| word.to_owned()).collect();
    match classes.len() {
        0 => ColumnKind::Text,
        2 => ColumnKind::Binary { classes },
        _ => ColumnKind::Categorical { classes },
    }
}

/// Says that a column of words is left out, if it is.
fn left_out(
    kind: &ColumnKind,
    subject: &str,
    counts: &BTreeMap<&str, usize>,
    observed: usize,
) -> Option<Warning> {
    let left = matches!(kind, ColumnKind::Text) && !counts.is_empty();
    left.then(|| {
        Warning::new(
            subject,
            format!("{} different texts in {observed} rows: it is left out", counts.len()),
            "say its kind in a manifest if it is to be modelled",
        )
    })
}

/// Whether whole numbers between these can be levels: few, and not far from 0 as years are.
fn are_levels(low: f64, high: f64) -> bool {
    high - low <= SPAN && low.abs().max(high.abs()) <= 2.0 * SPAN
}

/// The kind of a column of numbers.
fn of_numbers(values: &[f64]) -> ColumnKind {
    let real = ColumnKind::Real { unit: None };
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    if values.len() < FEWEST || low == high {
        return real;
    }
    let whole = values.iter().all(|value| value.fract() == 0.0);
    if whole && are_levels(low, high) {
        let levels: BTreeSet<i64> = values.iter().map(|&value| value as i64).collect();
        let names: Vec<_> = levels.iter().map(|&level| title(level as f64)).collect();
        match levels.len() {
            2 => return ColumnKind::Binary { classes: names },
            3..=LEVELS => return ColumnKind::Ordinal { levels: names },
            _ => {}
        }
    }
    if whole && low >= 0.0 && low <= 0.02 * high {
        return ColumnKind::Count;
    }
    if low > 0.0 {
        let logarithms: Vec<_> = values.iter().map(|value| value.ln()).collect();
        let (plain, log) = (skewness(values), skewness(&logarithms));
        if plain > 1.0 && log.abs() < 0.5 * plain {
            return ColumnKind::Positive;
        }
    }
    real
}

fn skewness(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let moment = |power| values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / n;
    moment(3) / moment(2).powf(1.5)
}

/// The likelihood of a column of a mixed table; `None` for text, which is left out.
pub(crate) fn likelihood(kind: &ColumnKind) -> Option<Likelihood> {
    let scale = Scale::LearnedPerFeature;
    Some(match kind {
        ColumnKind::Real { .. } | ColumnKind::Date { .. } => Likelihood::normal(scale),
        ColumnKind::Positive => LogNormal { scale }.into(),
        ColumnKind::Count => NegativeBinomial::default().into(),
        ColumnKind::Binary { .. } => Likelihood::Bernoulli {},
        ColumnKind::Ordinal { levels } => Ordinal { classes: levels.len() }.into(),
        ColumnKind::Categorical { .. } => Likelihood::Categorical {},
        _ => return None,
    })
}

/// The columns with their features, which stand by likelihood, and the likelihood of all; `None` if
/// there is no feature.
fn table(named: Vec<(String, ColumnKind)>) -> (Vec<TableColumn>, Option<Likelihood>) {
    // Columns of one likelihood stand together, classes of a column alone.
    let mut runs: Vec<(Likelihood, Vec<usize>)> = Vec::new();
    for (column, (_, kind)) in named.iter().enumerate() {
        let Some(likelihood) = likelihood(kind) else { continue };
        let alone = matches!(kind, ColumnKind::Categorical { .. });
        match runs.iter_mut().find(|(other, _)| *other == likelihood && !alone) {
            Some((_, columns)) => columns.push(column),
            None => runs.push((likelihood, vec![column])),
        }
    }
    let mut table: Vec<TableColumn> =
        named.into_iter().map(|(name, kind)| TableColumn { name, first: 0, kind }).collect();
    let mut first = 0;
    let mut of_runs = Vec::new();
    for (likelihood, columns) in runs {
        let start = first;
        for column in columns {
            table[column].first = first;
            first += table[column].kind.features();
        }
        of_runs.push(ColumnRun::new(first - start, likelihood));
    }
    let likelihood = (first > 0).then(|| Mixed::new(of_runs).into());
    (table, likelihood)
}

/// Names of the features of a mixed table.
fn feature_names(table: &[TableColumn]) -> Vec<String> {
    let features = table.iter().map(|column| column.kind.features()).sum();
    let mut names = vec![String::new(); features];
    for column in table {
        match &column.kind {
            ColumnKind::Categorical { classes } => {
                for (name, class) in names[column.features()].iter_mut().zip(classes) {
                    *name = format!("{}={class}", column.name);
                }
            }
            _ => names[column.features()].fill(column.name.clone()),
        }
    }
    names
}

/// The features of all rows, and which are missing.
struct Encoded {
    values: Vec<f64>,
    missing: Vec<bool>,
}

/// Makes features of cells; says what is not one of the known classes.
///
/// # Errors
///
/// [`DataError::Cell`] for a word where a number is due.
fn encode<'a>(
    columns: &Columns<'a>,
    all: &[(usize, String, Cells<'a>)],
    table: &[TableColumn],
    modality: &str,
) -> Result<(Encoded, Vec<Warning>)> {
    let (rows, features) =
        (columns.block.rows, table.iter().map(|column| column.kind.features()).sum::<usize>());
    let mut values = vec![0.0; rows * features];
    let mut missing = vec![true; rows * features];
    let mut warnings = Vec::new();
    for column in table.iter().filter(|column| column.kind.features() > 0) {
        let Some((_, _, cells)) = all.iter().find(|(_, name, _)| *name == column.name) else {
            continue;
        };
        let classes = column.kind.classes().map(|classes| Classes::of(classes, columns.comma));
        let mut unknown: Vec<(usize, String)> = Vec::new();
        for row in 0..rows {
            let cell = columns.cell(cells, row);
            let place = match (&classes, &cell) {
                (_, Cell::Missing) => continue,
                (Some(classes), cell) => match classes.find(cell, columns.comma) {
                    Some(class) => class as f64,
                    None => {
                        let found = match cell {
                            Cell::Number(value) => title(*value),
                            Cell::Word(word) => (*word).to_owned(),
                            Cell::Missing => continue,
                        };
                        unknown.push((row, found));
                        continue;
                    }
                },
                (None, Cell::Number(value)) => *value,
                (None, Cell::Word(word)) => match number_in(word, &column.kind, columns.comma) {
                    Some(value) => value,
                    // Codes that are classes elsewhere are missing numbers.
                    None if number::is_missing(word) => continue,
                    None => return Err(wrong_cell(columns.block, cells, row, word, &column.kind)),
                },
            };
            let of_row = row * features + column.first..row * features + column.features().end;
            missing[of_row.clone()].fill(false);
            match column.kind {
                ColumnKind::Categorical { .. } => values[of_row.start + place as usize] = 1.0,
                _ => values[of_row.start] = place,
            }
        }
        if let Some((row, found)) = unknown.first() {
            let classes = column.kind.classes().unwrap_or_default();
            warnings.push(Warning::new(
                format!("modality `{modality}`, column `{}`", column.name),
                format!(
                    "`{found}` in row {} is none of its classes {}; {} such cells are taken for \
                     missing",
                    row + 1,
                    list(classes.iter().take(10)),
                    unknown.len()
                ),
                "check how its classes are written",
            ));
        }
    }
    Ok((Encoded { values, missing }, warnings))
}

/// The number that a word holds by the kind of its column.
fn number_in(word: &str, kind: &ColumnKind, comma: bool) -> Option<f64> {
    match kind {
        ColumnKind::Date { format } => days(word, format),
        ColumnKind::Real { unit: Some(unit) } => {
            let (value, found) = with_unit(word, comma)?;
            (found == unit).then_some(value)
        }
        _ => plain(word, comma),
    }
}

fn wrong_cell(
    block: &ModalityTable,
    cells: &Cells,
    row: usize,
    found: &str,
    kind: &ColumnKind,
) -> DataError {
    let (column, first) = match cells {
        Cells::Words(words) => (words.name.clone(), words.bad.0),
        Cells::Numbers(feature) => (feature.to_string(), Place::Line(0)),
    };
    let expected = match kind {
        ColumnKind::Date { .. } => "a date as in the other rows",
        ColumnKind::Real { unit: Some(_) } => "a number with the unit of the other rows",
        _ => number::NUMBER,
    };
    // The line of the first word is known; of a later one the row is.
    let place = match cells {
        Cells::Words(words)
            if words.cells.iter().position(|cell| cell == &words.bad.1) == Some(row) =>
        {
            first
        }
        _ => first.of_row(row),
    };
    DataError::Cell { path: block.path.clone(), place, column, expected, found: found.into() }
}

/// Classes by the ways they can be written.
struct Classes<'a> {
    words: HashMap<&'a str, usize>,
    numbers: Vec<Option<f64>>,
}

impl<'a> Classes<'a> {
    fn of(classes: &'a [String], comma: bool) -> Self {
        Self {
            words: classes.iter().enumerate().map(|(i, class)| (class.as_str(), i)).collect(),
            numbers: classes.iter().map(|class| plain(class, comma)).collect(),
        }
    }

    fn find(&self, cell: &Cell, comma: bool) -> Option<usize> {
        let number = match cell {
            Cell::Word(word) => {
                if let Some(&class) = self.words.get(word) {
                    return Some(class);
                }
                plain(word, comma)?
            }
            Cell::Number(value) => *value,
            Cell::Missing => return None,
        };
        self.numbers.iter().position(|other| *other == Some(number))
    }
}

/// Puts features in the place of columns.
fn take(
    block: &mut ModalityTable,
    encoded: Encoded,
    table: Vec<TableColumn>,
    layout: Vec<Option<usize>>,
) {
    let names = feature_names(&table);
    block.shape = vec![names.len()];
    block.values = Storage::precise(encoded.values);
    block.missing = MissingCells::from_flags(names.len(), encoded.missing);
    block.columns = Some(names);
    block.words = Vec::new();
    block.table = Some(table);
    if let Some(of_file) = &mut block.layout {
        of_file.columns = layout;
    }
}

/// Makes features of the cells of new data, by the columns of the data that a model was trained on.
/// Columns that it lacks are missing in every row, if `masked`.
///
/// # Errors
///
/// [`DataError::Columns`] for columns that are not there, or too many; as [`infer`].
pub(crate) fn conform(
    known: &ModalitySchema,
    source: &mut Source,
    masked: bool,
) -> Result<Vec<Warning>> {
    let Some(table) = &known.table else {
        return match source.block.words.first() {
            Some(words) => {
                let (place, found, expected) = words.bad.clone();
                let (path, column) = (source.block.path.clone(), words.name.clone());
                Err(DataError::Cell { path, place, column, expected, found })
            }
            None => Ok(Vec::new()),
        };
    };
    let block = &source.block;
    let columns =
        Columns { block, comma: block.layout.as_ref().is_some_and(|layout| layout.comma) };
    let all = columns.all();
    if block.columns.is_none() {
        return Err(DataError::Shape {
            modality: source.name.clone(),
            path: block.path.clone(),
            expected: "a table whose first line names its columns".into(),
            found: name(&block.path),
        });
    }
    let bad = |what, columns: Vec<&String>, remedy: &str| DataError::Columns {
        modality: source.name.clone(),
        path: block.path.clone(),
        what,
        columns: list(columns),
        remedy: remedy.to_owned(),
    };
    let modelled = |column: &&TableColumn| column.kind.features() > 0;
    let lacking: Vec<_> = (table.iter().filter(modelled))
        .map(|column| &column.name)
        .filter(|column| !all.iter().any(|(_, name, _)| name == *column))
        .collect();
    let extra: Vec<_> = (all.iter())
        .map(|(_, name, _)| name)
        .filter(|name| !table.iter().any(|column| column.name == **name))
        .collect();
    if !extra.is_empty() {
        return Err(bad("the model was not trained on the columns", extra, "remove them"));
    }
    if !lacking.is_empty() && !masked {
        let remedy = "add them, or ask for missing columns to be masked";
        return Err(bad("it lacks the columns", lacking, remedy));
    }
    let mut warnings = Vec::new();
    if !lacking.is_empty() {
        let found = format!("the columns {} are missing in every row", list(lacking));
        warnings.push(Warning::note(format!("modality `{}`", source.name), found));
    }
    let (encoded, found) = encode(&columns, &all, table, &source.name)?;
    warnings.extend(found);
    let place = |column: &TableColumn| {
        all.iter().find(|(_, name, _)| *name == column.name).map(|(place, ..)| *place)
    };
    let (table, layout) = (table.clone(), table.iter().map(place).collect());
    take(&mut source.block, encoded, table, layout);
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use multivae_core::{dataset::Dataset, modality::ModalitySpec};

    use super::*;
    use crate::{
        DataConfig, Lacking, MissingColumns, Opened, Splits,
        fixture::{Folder, text},
        inspect::inspect,
    };

    const ROWS: usize = 40;

    /// A clinical table; some cells are missing in different ways.
    fn clinic(rows: std::ops::Range<usize>, head: &str) -> String {
        let line = |row: usize| {
            let cell = |column: &str| match column {
                "age" if row % 9 == 4 => "[Not Available]".into(),
                "age" => format!("{}.5", 30 + row * 7 % 40),
                "sex" => ["male", "female"][row % 2].into(),
                "stage" if row % 11 == 3 => "--".into(),
                "stage" => ["i", "ii", "iii"][row * 5 % 3].into(),
                "nodes" => (row * row % 60).to_string(),
                "grade" => (1 + row % 4).to_string(),
                "dose" => format!("{} mg", 5 + row % 8),
                "seen" => format!("{:02}.03.20{:02}", 1 + row % 28, 10 + row % 9),
                "cost" => format!("\"{},{:03}\"", 1 + row % 3, row * 37 % 1000),
                "protein" => (0.01 * 1.35f64.powi((row * 13 % 29) as i32)).to_string(),
                "note" => format!("remark {row} of the doctor"),
                other => panic!("no column {other}"),
            };
            let cells: Vec<String> = head.split(',').map(cell).collect();
            format!("p{row},{}\n", cells.join(","))
        };
        format!("patient,{head}\n{}", rows.map(line).collect::<String>())
    }

    const HEAD: &str = "age,sex,stage,nodes,grade,dose,seen,cost,protein,note";

    fn trained(manifest: Option<&str>) -> (Folder, Splits) {
        let folder = Folder::new([("clinic.csv", text(&clinic(0..ROWS, HEAD)))]);
        if let Some(manifest) = manifest {
            folder.write("data.toml", manifest.as_bytes());
        }
        let source = match manifest {
            Some(_) => folder.path("data.toml").display().to_string(),
            None => folder.source(),
        };
        let splits = DataConfig::new(source).open().map_err(|e| folder.message(e)).expect("whole");
        (folder, splits)
    }

    fn new(
        splits: &Splits,
        content: &str,
        missing_columns: MissingColumns,
    ) -> Result<Opened, String> {
        let folder = Folder::new([("clinic.csv", text(content))]);
        let lacking = Lacking { missing_columns, ..Lacking::default() };
        DataConfig::new(folder.source())
            .open_new(&splits.record.schema, &splits.standardisation, lacking)
            .map_err(|error| folder.message(error))
    }

    fn kinds(splits: &Splits) -> Vec<(&str, &'static str)> {
        let table = splits.record.schema.modalities[0].table.as_ref().expect("mixed");
        table.iter().map(|column| (column.name.as_str(), column.kind.name())).collect()
    }

    #[test]
    fn every_column_of_a_clinical_table_gets_its_kind() {
        let (_folder, splits) = trained(None);
        let expected = [
            ("age", "real"),
            ("sex", "binary"),
            ("stage", "categorical"),
            ("nodes", "count"),
            ("grade", "ordinal"),
            ("dose", "real"),
            ("seen", "date"),
            ("cost", "real"),
            ("protein", "positive"),
            ("note", "text"),
        ];
        assert_eq!(kinds(&splits), expected);
        let spec = &splits.record.schema.modalities[0].spec;
        // Eight columns of one feature and a stage of three.
        assert_eq!((spec.shape.as_slice(), spec.likelihood.kind()), (&[11][..], "mixed"));
        let report = inspect(&DataConfig::new(_folder.source())).expect("whole").to_string();
        for part in [
            "sex: binary of female (20), male (20)",
            "stage: categorical of i (12), ii (12), iii (12); 4 missing",
            "age: real from 30.5 to 69.5; 4 missing",
            "dose: real from 5 to 12 mg",
            "seen: date from 01.03.2010 to 27.03.2018",
            "note: text, left out",
            "8 values are missing in 8 of these rows",
            "40 different texts in 40 rows: it is left out",
        ] {
            assert!(report.contains(part), "{part}: {report}");
        }
    }

    #[test]
    fn columns_are_standardised_by_kind_and_one_row_encodes_as_among_others() {
        let (_folder, splits) = trained(None);
        let known = &splits.record.schema.modalities[0];
        let first = |name: &str| {
            known.table.iter().flatten().find(|column| column.name == name).expect("there").first
        };
        let data = &splits.train;
        let rows = data.values(0);
        let width = known.spec.features();
        let column = |feature: usize| rows.iter().skip(feature).step_by(width).copied();
        assert!(column(first("sex")).all(|value| value == 0.0 || value == 1.0));
        assert!(column(first("nodes")).all(|value| value.fract() == 0.0));
        let n = data.len() as f32;
        let mean = column(first("protein")).map(f32::ln).sum::<f32>() / n;
        assert!(mean.abs() < 1e-4, "{mean}");
        assert!((column(first("cost")).sum::<f32>() / n).abs() < 1e-4);
        // Other order, one row, and many.
        let turned = "note,stage,protein,seen,sex,age,cost,dose,grade,nodes";
        let one = new(&splits, &clinic(7..8, turned), MissingColumns::Refuse).expect("it fits");
        let all = new(&splits, &clinic(0..ROWS, HEAD), MissingColumns::Refuse).expect("it fits");
        let of = |opened: &Opened, row: usize| opened.data.select(&[row]).values(0);
        assert_eq!(of(&one, 0), of(&all, 7));
        assert_eq!(
            all.data.cells(3, 0).expect("stage is missing")[first("stage")..][..3],
            [false; 3]
        );
    }

    #[test]
    fn what_the_training_did_not_know_is_said_by_row_and_column() {
        let (_folder, splits) = trained(None);
        let table = clinic(0..3, HEAD).replacen(",ii,", ",iv,", 1);
        let opened = new(&splits, &table, MissingColumns::Refuse).expect("a class is unknown");
        let found = opened.report.warnings.iter().map(ToString::to_string).collect::<String>();
        assert!(
            found.contains("modality `clinic`, column `stage`: `iv` in row 3 is none of its"),
            "{found}"
        );
        let refused = |table: &str| {
            new(&splits, table, MissingColumns::Refuse).map(|_| ()).expect_err("refused")
        };
        let message = refused(&clinic(0..3, HEAD).replacen("30.5", "young", 1));
        assert!(
            message.contains("clinic.csv")
                && message.contains("`age`")
                && message.contains("`young`"),
            "{message}"
        );
        let message = refused(&clinic(0..3, HEAD).replacen("5 mg", "5 g", 1));
        assert!(message.contains("the unit of the other rows, found `5 g`"), "{message}");
        let without = "age,sex,nodes,grade,dose,seen,cost,protein";
        let message = refused(&clinic(0..3, without));
        assert!(message.contains("it lacks the columns `stage`"), "{message}");
        let masked = new(&splits, &clinic(0..3, without), MissingColumns::Mask).expect("masked");
        let missing = masked.data.cells(0, 0).expect("some are missing");
        assert_eq!(missing.iter().filter(|there| !**there).count(), 3);
    }

    #[test]
    fn kinds_that_are_said_count_and_wrong_ones_are_refused() {
        let manifest = "[[modality]]\nname = \"clinic\"\nfile = \"clinic.csv\"\n";
        let with = |columns: &str| format!("{manifest}columns = {{ {columns} }}\n");
        let said = r#"stage = { kind = "ordinal", levels = ["i", "ii", "iii"] }, grade = "categorical", nodes = "real""#;
        let (_folder, splits) = trained(Some(&with(said)));
        let kinds = kinds(&splits);
        assert!(kinds.contains(&("stage", "ordinal")) && kinds.contains(&("nodes", "real")));
        assert!(kinds.contains(&("grade", "categorical")));
        for (columns, part) in [
            ("sax = \"binary\"", "expected names of columns"),
            ("stage = \"binary\"", "expected two classes, found `3`"),
            ("stage = \"colour\"", "expected `real`, `positive`"),
            ("stage = \"date\"", "expected a column of dates"),
        ] {
            let folder = Folder::new([("clinic.csv", text(&clinic(0..ROWS, HEAD)))]);
            folder.write("data.toml", with(columns).as_bytes());
            let source = folder.path("data.toml").display().to_string();
            let error = DataConfig::new(source).read().map(|_| ()).expect_err("wrong").to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_word_among_numbers_is_refused_by_its_line() {
        let table = clinic(0..ROWS, "age,sex").replacen("44.5", "4A.5", 1);
        let folder = Folder::new([("clinic.csv", text(&table))]);
        let error =
            DataConfig::new(folder.source()).read().map(|_| ()).expect_err("a typing error");
        let message = folder.message(error);
        assert_eq!(message, "`clinic.csv`, line 4, column `age`: expected a number, found `4A.5`");
    }

    #[test]
    fn tables_of_numbers_alone_have_one_likelihood_where_it_is_right() {
        let likelihood = |value: &dyn Fn(usize, usize) -> f64| {
            let line = |row: usize| {
                let cells: Vec<String> =
                    (0..4).map(|column| value(row, column).to_string()).collect();
                format!("p{row},{}\n", cells.join(","))
            };
            let content = format!("id,a,b,c,d\n{}", (0..ROWS).map(line).collect::<String>());
            let folder = Folder::new([("genes.csv", text(&content))]);
            let data = DataConfig::new(folder.source()).read().expect("whole").data;
            data.modalities()[0].likelihood.clone()
        };
        let kind = |value: &dyn Fn(usize, usize) -> f64| likelihood(value).kind();
        assert_eq!(kind(&|row, column| ((row + column) % 2) as f64), "bernoulli");
        assert_eq!(kind(&|row, column| (row * (column + 3) % 97) as f64), "negative_binomial");
        assert_eq!(kind(&|row, column| ((row * 31 + column * 7) % 17) as f64 / 7.0), "normal");
        // Copy numbers: whole numbers from -2 to 2 in all columns are one order.
        let copies = likelihood(&|row, column| ((row * (column + 2)) % 5) as f64 - 2.0);
        let Likelihood::Mixed(Mixed { runs }) = copies else { panic!("{copies:?}") };
        assert_eq!((runs.len(), runs[0].features), (1, 4));
        assert_eq!(runs[0].likelihood, Ordinal { classes: 5 }.into());
        // A flag and a grade beside measurements.
        let table = likelihood(&|row, column| match column {
            0 => (row % 2) as f64,
            1 => (row % 5) as f64,
            _ => (row * 17 % 23) as f64 / 3.0,
        });
        let Likelihood::Mixed(Mixed { runs }) = table else { panic!("{table:?}") };
        let kinds: Vec<_> = runs.iter().map(|run| (run.likelihood.kind(), run.features)).collect();
        assert_eq!(kinds, [("bernoulli", 1), ("ordinal", 1), ("normal", 2)]);
    }

    #[test]
    fn levels_that_are_numbers_come_back_as_these() {
        let kind = |levels: &[&str]| ColumnKind::Ordinal {
            levels: levels.iter().map(|&level| level.into()).collect(),
        };
        let copies = kind(&["-2", "0", "1"]);
        let runs = vec![ColumnRun::new(1, Ordinal { classes: 3 })];
        let spec = ModalitySpec::new("genes", &[1]).expect("valid");
        let spec = spec.with_likelihood(Mixed::new(runs).into());
        let table = Some(vec![TableColumn { name: "g".into(), first: 0, kind: copies.clone() }]);
        let known = ModalitySchema { table, ..ModalitySchema::new(spec) };
        let mut values = [0.0, 0.5, 1.0, 2.0];
        known.in_file_units(&mut values);
        assert_eq!(values, [-2.0, -1.0, 0.0, 1.0]);
        let text = |kind: &ColumnKind, value: f64| cell_text(kind, &[value], |v| v.to_string());
        assert_eq!([-1.9, -0.9, 0.8].map(|value| text(&copies, value)), ["-2", "0", "1"]);
        // Years are no levels, and words have none.
        assert_eq!(of_numbers(&[2001.0, 2002.0, 2003.0].repeat(9)).name(), "real");
        assert_eq!(text(&kind(&["low", "high"]), 0.6), "high");
    }

    #[test]
    fn dates_keep_their_days_and_their_form() {
        for (format, word) in [
            ("%Y-%m-%d", "1969-12-31"),
            ("%d.%m.%Y", "29.02.2024"),
            ("%b %d, %Y", "Mar 05, 2001"),
            ("%Y-%m-%d %H:%M", "2020-01-01 06:00"),
        ] {
            let days = days(word, format).expect("a date");
            assert_eq!(date(days, format).as_deref(), Some(word), "{days}");
        }
        assert_eq!(days("1970-01-02", "%Y-%m-%d"), Some(1.0));
        assert_eq!(days("1970-01-02 12:00", "%Y-%m-%d %H:%M"), Some(1.5));
        assert_eq!(days("01.02.03", "%d.%m.%Y"), None, "a year of two digits");
    }

    #[test]
    fn hidden_cells_of_a_class_are_hidden_together() {
        let (_folder, splits) = trained(None);
        let hidden = crate::missing::cells(&splits.train, 0.4, 3).expect("a rate");
        let known = &splits.record.schema.modalities[0];
        let stage =
            known.table.iter().flatten().find(|c| c.name == "stage").expect("there").features();
        let mut lost = 0;
        for row in 0..hidden.len() {
            let Some(cells) = hidden.cells(row, 0) else { continue };
            let there = cells[stage.clone()].iter().filter(|there| **there).count();
            assert!([0, 3].contains(&there), "{there}");
            lost += usize::from(there == 0);
        }
        assert!(lost > 5, "{lost}");
    }
}
