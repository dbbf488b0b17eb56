//! Tables of Arrow arrays, which Parquet and Feather files hold, as columns.
//!
//! What stands under a null is never looked at, and categories are taken by their text, never by
//! their codes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{
    Array, ArrayRef, GenericListArray, OffsetSizeTrait, RecordBatch, cast::AsArray, types::*,
};
use arrow_schema::{ArrowError, DataType, FieldRef, Schema, TimeUnit};
use chrono::{DateTime, NaiveDateTime};
use multivae_core::schema::Dtype;
use rayon::prelude::*;
use serde_json::Value;

use super::{
    ModalityTable, Place, ReadOptions, TextTable,
    format::{Content, Format},
    guard::guarded,
    name,
    table::{self, Cell, Column, Head},
};
use crate::{
    error::{DataError, Result},
    report::Warning,
};

const MICROSECONDS: i64 = 1_000_000;
const DAY: i64 = 86_400 * MICROSECONDS;
/// How days and times are written; those with a time only if one of the column is not midnight.
const DATE: &str = "%Y-%m-%d";
const TIME: &str = "%Y-%m-%d %H:%M:%S%.f";

/// A table as it is in a file.
pub(super) struct Frame {
    path: PathBuf,
    format: &'static str,
    schema: Arc<Schema>,
    rows: usize,
    /// The arrays of each field.
    columns: Vec<Vec<ArrayRef>>,
    /// Whether categories are whole and in their order; else they are those that occur.
    whole: bool,
}

/// A format of such tables: what it does follows from how a file is read.
pub(super) struct FrameFormat {
    pub(super) name: &'static str,
    pub(super) called: &'static str,
    pub(super) is: fn(&Path) -> bool,
    pub(super) frame: fn(&Path) -> Result<Frame>,
}

impl Format for FrameFormat {
    fn name(&self) -> &'static str {
        self.name
    }

    fn called(&self) -> &'static str {
        self.called
    }

    fn content(&self) -> Content {
        Content::Table
    }

    fn is(&self, path: &Path) -> bool {
        (self.is)(path)
    }

    fn text(&self, path: &Path, said: ReadOptions) -> Result<TextTable> {
        guarded(path, self.name, || (self.frame)(path)?.text(said))
    }

    fn block(&self, path: &Path, said: ReadOptions) -> Result<ModalityTable> {
        guarded(path, self.name, || (self.frame)(path)?.block(said))
    }
}

/// A table that a program holds in memory, of which categories are whole and in their order.
pub(crate) fn held(path: &Path, batches: Vec<RecordBatch>) -> Result<ModalityTable> {
    let Some(schema) = batches.first().map(RecordBatch::schema) else {
        return Err(DataError::EmptyFile { path: path.into(), reason: "it has no rows" });
    };
    const FORMAT: &str = "Arrow";
    // A column that is alone holds values, be they words; identifiers are given beside it.
    let column = match schema.fields().iter().as_slice() {
        [only] => Some(only.name().clone()),
        _ => None,
    };
    let said = ReadOptions { column: column.as_deref(), ..ReadOptions::default() };
    guarded(path, FORMAT, || Frame::new(path, FORMAT, schema.clone(), batches, true).block(said))
}

impl Frame {
    pub(super) fn new(
        path: &Path,
        format: &'static str,
        schema: Arc<Schema>,
        batches: Vec<RecordBatch>,
        whole: bool,
    ) -> Self {
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); schema.fields().len()];
        for batch in batches {
            let arrays = batch.columns().iter();
            columns.iter_mut().zip(arrays).for_each(|(of, array)| of.push(Arc::clone(array)));
        }
        Self { path: path.into(), format, schema, rows, columns, whole }
    }

    /// Every column but the identifiers as features.
    pub(super) fn block(mut self, said: ReadOptions) -> Result<ModalityTable> {
        let Opened { mut head, fields, .. } = self.open(said)?;
        let starts: Vec<usize> = starts(&fields);
        let columns: Vec<Result<Vec<Column>>> = fields
            .into_par_iter()
            .zip(starts)
            .map(|(field, first)| field.columns(&head, first, said))
            .collect();
        let columns: Vec<Vec<Column>> = columns.into_iter().collect::<Result<_>>()?;
        head.dtype = dtype(&self.schema);
        let mut columns: Vec<Column> = columns.into_iter().flatten().collect();
        columns.iter_mut().for_each(|column| column.settle(&Place::Row));
        table::of_columns(head, columns, said, &Place::Row)
    }

    /// All cells as text.
    pub(super) fn text(mut self, said: ReadOptions) -> Result<TextTable> {
        let Opened { mut head, fields, rows } = self.open(said)?;
        let mut wanted = said.column.map(|column| head.find(column)).transpose()?;
        // Beside a column that is named, only what can be identifiers is wanted.
        let takes = |field: &Field, place: usize| {
            wanted.is_none_or(|wanted| wanted == place)
                || head.id == Some(place)
                || field.arrays.first().is_some_and(|array| can_identify(array.data_type()))
        };
        let mut columns = Vec::new();
        let mut kept = Vec::new();
        for (field, first) in fields.iter().zip(starts(&fields)) {
            for part in (0..field.width).filter(|part| takes(field, first + part)) {
                kept.push(first + part);
                let mut cells = Vec::with_capacity(rows);
                field.visit(part, &mut |_, cell| {
                    cells.push(cell.text().into_owned());
                    Ok(())
                })?;
                columns.push(cells);
            }
        }
        let moved = |place: usize| kept.iter().position(|&other| other == place);
        wanted = wanted.and_then(moved);
        head.id = head.id.and_then(moved);
        head.names = kept.iter().map(|&place| head.names[place].clone()).collect();
        table::check_ids(&head, &columns, &Place::Row)?;
        let places = (0..rows as u64).map(Place::Row).collect();
        Ok(table::of_text(head, columns, places, wanted))
    }

    /// A column as it is read.
    fn field(&self, field: &FieldRef, mut arrays: Vec<ArrayRef>, pandas: &Pandas) -> Result<Field> {
        let (path, format) = (&self.path, self.format);
        let malformed =
            |reason: String| DataError::Malformed { path: path.clone(), format, reason };
        let name = field.name().clone();
        // Types that stand for others.
        let plain = match field.data_type() {
            DataType::RunEndEncoded(_, values) => Some(values.data_type().clone()),
            DataType::Dictionary(_, values) if !is_text(values) => Some((**values).clone()),
            kind if kind.is_decimal() => Some(DataType::Float64),
            _ => None,
        };
        if let Some(plain) = plain {
            for array in &mut arrays {
                *array = arrow_cast::cast(array, &plain)
                    .map_err(|error| malformed(format!("column `{name}`: {error}")))?;
            }
        }
        let kind = arrays.first().map_or(field.data_type(), |array| array.data_type()).clone();
        let is_vector = vector(&kind).is_some();
        let width = if is_vector { width(path, &name, &arrays)? } else { 1 };
        let classes = matches!(kind, DataType::Dictionary(..));
        let order = pandas.ordered(&name, field.dict_is_ordered() == Some(true));
        let levels = order.filter(|_| classes && self.whole);
        let levels = levels.and_then(|known| self::levels(&arrays, known));
        let unordered = order.is_some() && classes && levels.is_none();
        let times = matches!(kind, DataType::Timestamp(..) | DataType::Date64)
            && arrays.iter().any(|array| moments(array).flatten().any(|at| at % DAY != 0));
        let path = path.clone();
        Ok(Field {
            path,
            format,
            name,
            arrays,
            width,
            is_vector,
            classes,
            levels,
            unordered,
            times,
        })
    }

    /// The columns that are read, with their names, and which of them is the index.
    fn open(&mut self, said: ReadOptions) -> Result<Opened> {
        if self.rows == 0 {
            let reason = "it has no rows";
            return Err(DataError::EmptyFile { path: self.path.clone(), reason });
        }
        let pandas = Pandas::of(&self.schema);
        let mut notes = Vec::new();
        let (mut names, mut fields) = (Vec::new(), Vec::new());
        let mut index = None;
        let file = name(&self.path);
        if let Some(ids) = pandas.range(self.rows)
            && said.id.is_none()
            && self.schema.fields().iter().all(|field| field.name() != "id")
        {
            names.push(pandas.title("").to_owned());
            index = Some(0);
            fields.push(Field::of_ids(&self.path, ids));
        }
        // What is made of them takes their place in memory.
        let columns = std::mem::take(&mut self.columns);
        for (field, arrays) in self.schema.fields().iter().zip(columns) {
            let title = pandas.title(field.name());
            let subject = format!("{file}, column `{}`", field.name());
            if let Some(what) = unread(field.data_type()) {
                notes.push(Warning::new(
                    subject,
                    format!("it holds {what}: it is left out"),
                    "write it as numbers, text or dates if it is wanted",
                ));
                continue;
            }
            let field = self.field(field, arrays, &pandas)?;
            notes.extend(field.notes(&subject));
            if pandas.index.as_deref() == Some(field.name.as_str()) {
                index = Some(names.len());
            }
            match field.is_vector {
                true => names.extend((0..field.width).map(|place| format!("{title}[{place}]"))),
                false => names.push(title.to_owned()),
            }
            fields.push(field);
        }
        if pandas.levels > 1 {
            let found = format!("its index has {} levels, which are columns here", pandas.levels);
            notes.push(Warning::new(&file, found, "name one of them as `id` in a manifest"));
        }
        if names.is_empty() {
            let reason = "it has no columns that are read";
            return Err(DataError::EmptyFile { path: self.path.clone(), reason });
        }
        let head = Head::new(&self.path, names)?.with_id(said, index)?;
        Ok(Opened { head: Head { notes, ..head }, fields, rows: self.rows })
    }
}

struct Opened {
    head: Head,
    fields: Vec<Field>,
    rows: usize,
}

/// The first column of each field.
fn starts(fields: &[Field]) -> Vec<usize> {
    let widths = fields.iter().map(|field| field.width);
    widths.scan(0, |next, width| Some(std::mem::replace(next, *next + width))).collect()
}

/// A column of the file, or several if its cells are vectors.
struct Field {
    path: PathBuf,
    format: &'static str,
    name: String,
    arrays: Vec<ArrayRef>,
    width: usize,
    is_vector: bool,
    /// Whether its cells are categories, and in which order, if they have one that is known.
    classes: bool,
    levels: Option<Vec<String>>,
    /// Whether its order is said and cannot be told.
    unordered: bool,
    /// Whether a time of it is not midnight.
    times: bool,
}

impl Field {
    fn of_ids(path: &Path, ids: Vec<i64>) -> Self {
        let arrays: Vec<ArrayRef> = vec![Arc::new(arrow_array::Int64Array::from(ids))];
        Self {
            path: path.into(),
            format: "",
            name: String::new(),
            arrays,
            width: 1,
            is_vector: false,
            classes: false,
            levels: None,
            unordered: false,
            times: false,
        }
    }

    /// What is unusual about it.
    fn notes(&self, subject: &str) -> Vec<Warning> {
        let mut notes = Vec::new();
        if self.unordered {
            notes.push(Warning::new(
                subject,
                "its categories have an order that cannot be told from the file",
                "say their `levels` in a manifest if the order counts",
            ));
        }
        match self.arrays.first().map(|array| array.data_type()) {
            Some(DataType::Timestamp(_, Some(zone))) => {
                notes
                    .push(Warning::note(subject, format!("its times of `{zone}` are read as UTC")));
            }
            Some(DataType::Duration(_)) => {
                notes.push(Warning::note(subject, "its durations are read as days"));
            }
            _ => {}
        }
        notes
    }

    /// Its cells as columns, the first of which is `first` of the table.
    fn columns(self, head: &Head, first: usize, said: ReadOptions) -> Result<Vec<Column>> {
        let worded = self.arrays.first().is_some_and(|array| is_worded(array.data_type()));
        (0..self.width)
            .map(|part| {
                let mut column = Column::new(head, first + part, worded);
                if self.classes {
                    column = column.of_classes(self.levels.clone());
                }
                self.visit(part, &mut |row, cell| {
                    column.push(cell, row as u64, said).map_err(|expected| {
                        head.cell(Place::Row(row as u64), first + part, expected, &cell.text())
                    })
                })?;
                Ok(column)
            })
            .collect()
    }

    /// Calls `cell` with the row and the contents of every cell of a part.
    fn visit(
        &self,
        part: usize,
        cell: &mut dyn FnMut(usize, Cell<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut first = 0;
        for array in &self.arrays {
            let array = match self.is_vector {
                true => &self.part(array, part)?,
                false => array,
            };
            cells(array, self.times, &mut |row, found| cell(first + row, found))?;
            first += array.len();
        }
        Ok(())
    }

    /// The values at one place of all vectors.
    fn part(&self, array: &ArrayRef, part: usize) -> Result<ArrayRef> {
        let taken = match array.data_type() {
            DataType::FixedSizeList(..) => {
                let list = array.as_fixed_size_list();
                let place =
                    |row: usize| list.is_valid(row).then(|| list.value_offset_at(row) as u64);
                let places = (0..list.len()).map(|row| Some(place(row)? + part as u64)).collect();
                take(list.values(), places)
            }
            DataType::List(_) => take_of(array.as_list::<i32>(), part),
            _ => take_of(array.as_list::<i64>(), part),
        };
        taken.map_err(|error| DataError::Malformed {
            path: self.path.clone(),
            format: self.format,
            reason: format!("column `{}`: {error}", self.name),
        })
    }
}

fn take(values: &ArrayRef, places: Vec<Option<u64>>) -> Result<ArrayRef, ArrowError> {
    arrow_select::take::take(values, &arrow_array::UInt64Array::from(places), None)
}

fn take_of<O: OffsetSizeTrait>(
    list: &GenericListArray<O>,
    part: usize,
) -> Result<ArrayRef, ArrowError> {
    let offsets = list.value_offsets();
    let place = |row: usize| list.is_valid(row).then(|| (offsets[row].as_usize() + part) as u64);
    take(list.values(), (0..list.len()).map(place).collect())
}

/// How many values the vectors of a column have.
fn width(path: &Path, column: &str, arrays: &[ArrayRef]) -> Result<usize> {
    let mut found: Option<usize> = None;
    let mut first = 0;
    for array in arrays {
        for row in 0..array.len() {
            if array.is_null(row) {
                continue;
            }
            let here = match array.data_type() {
                DataType::FixedSizeList(_, width) => usize::try_from(*width).unwrap_or_default(),
                DataType::List(_) => array.as_list::<i32>().value_length(row) as usize,
                _ => array.as_list::<i64>().value_length(row) as usize,
            };
            let expected = *found.get_or_insert(here);
            if here != expected {
                return Err(DataError::Shape {
                    modality: format!("column `{column}`"),
                    path: path.into(),
                    expected: format!("vectors of {expected} values, as in the first row"),
                    found: format!("{here} in row {}", first + row),
                });
            }
        }
        first += array.len();
    }
    Ok(found.unwrap_or_default())
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The type of the values of a vector.
fn vector(kind: &DataType) -> Option<&DataType> {
    match kind {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Some(item.data_type())
        }
        _ => None,
    }
}

/// Whether a column holds words or text, which is kept.
fn is_worded(kind: &DataType) -> bool {
    let date = matches!(kind, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..));
    is_text(kind) || date || matches!(kind, DataType::Dictionary(..))
}

/// Whether the values of a column can be identifiers.
fn can_identify(kind: &DataType) -> bool {
    is_worded(kind) || kind.is_integer()
}

fn is_number(kind: &DataType) -> bool {
    kind.is_integer() || kind.is_floating() || matches!(kind, DataType::Boolean)
}

/// What a column holds that is not read; `None` if it is.
fn unread(kind: &DataType) -> Option<String> {
    let read = match kind {
        DataType::Null | DataType::Date32 | DataType::Date64 => true,
        DataType::Timestamp(..) | DataType::Duration(_) => true,
        DataType::Dictionary(_, values) => is_text(values) || unread(values).is_none(),
        DataType::RunEndEncoded(_, values) => unread(values.data_type()).is_none(),
        kind => match vector(kind) {
            Some(item) => is_number(item) || matches!(item, DataType::Null),
            None => is_number(kind) || is_text(kind) || kind.is_decimal(),
        },
    };
    (!read).then(|| format!("values of type `{kind}`"))
}

/// Calls `cell` with the row and the contents of every cell.
fn cells(
    array: &ArrayRef,
    times: bool,
    cell: &mut dyn FnMut(usize, Cell<'_>) -> Result<()>,
) -> Result<()> {
    // The values of numbers, each with its mask.
    macro_rules! whole {
        ($kind:ty) => {{
            for (row, value) in array.as_primitive::<$kind>().iter().enumerate() {
                cell(row, value.map_or(Cell::Missing, |value| Cell::Whole(value.into())))?;
            }
        }};
    }
    macro_rules! number {
        ($kind:ty) => {{
            for (row, value) in array.as_primitive::<$kind>().iter().enumerate() {
                cell(row, value.map_or(Cell::Missing, |value| Cell::Number(value.into())))?;
            }
        }};
    }
    macro_rules! text {
        ($texts:expr, $of:expr) => {{
            for (row, text) in $texts.iter().enumerate() {
                cell(row, text.map_or(Cell::Missing, $of))?;
            }
        }};
    }
    match array.data_type() {
        DataType::Boolean => text!(array.as_boolean(), Cell::Flag),
        DataType::Int8 => whole!(Int8Type),
        DataType::Int16 => whole!(Int16Type),
        DataType::Int32 => whole!(Int32Type),
        DataType::Int64 => whole!(Int64Type),
        DataType::UInt8 => whole!(UInt8Type),
        DataType::UInt16 => whole!(UInt16Type),
        DataType::UInt32 => whole!(UInt32Type),
        DataType::UInt64 => whole!(UInt64Type),
        DataType::Float16 => number!(Float16Type),
        DataType::Float32 => number!(Float32Type),
        DataType::Float64 => number!(Float64Type),
        DataType::Utf8 => text!(array.as_string::<i32>(), |text| Cell::Text(text.trim())),
        DataType::LargeUtf8 => text!(array.as_string::<i64>(), |text| Cell::Text(text.trim())),
        DataType::Utf8View => text!(array.as_string_view(), |text| Cell::Text(text.trim())),
        DataType::Dictionary(..) => {
            let of = array.as_any_dictionary();
            let (keys, words) = (of.normalized_keys(), texts(of.values()));
            for (row, key) in keys.into_iter().enumerate() {
                let word = words.get(key).filter(|_| of.is_valid(row)).and_then(Option::as_deref);
                cell(row, word.map_or(Cell::Missing, Cell::Word))?;
            }
        }
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
            let form = if times { TIME } else { DATE };
            for (row, at) in moments(array).enumerate() {
                match at.map(|at| moment(at).map(|time| time.format(form).to_string())) {
                    None => cell(row, Cell::Missing)?,
                    Some(Some(text)) => cell(row, Cell::Word(&text))?,
                    // Outside of all calendars, so that it is no number of a day either.
                    Some(None) => cell(row, Cell::Number(f64::INFINITY))?,
                }
            }
        }
        DataType::Duration(_) => {
            for (row, at) in moments(array).enumerate() {
                let days = at.map(|at| at as f64 / DAY as f64);
                cell(row, days.map_or(Cell::Missing, Cell::Number))?;
            }
        }
        // Only arrays without a value are left.
        _ => {
            for row in 0..array.len() {
                cell(row, Cell::Missing)?;
            }
        }
    }
    Ok(())
}

/// The texts of an array of text.
fn texts(array: &ArrayRef) -> Vec<Option<String>> {
    fn owned<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Vec<Option<String>> {
        texts.map(|text| text.map(|text| text.trim().to_owned())).collect()
    }
    match array.data_type() {
        DataType::Utf8 => owned(array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => owned(array.as_string::<i64>().iter()),
        DataType::Utf8View => owned(array.as_string_view().iter()),
        _ => Vec::new(),
    }
}

/// Microseconds since 1970 began, or of durations.
fn moments(array: &ArrayRef) -> impl Iterator<Item = Option<i64>> + '_ {
    let (factor, divisor) = match array.data_type() {
        DataType::Date32 => (DAY, 1),
        DataType::Date64 => (1_000, 1),
        DataType::Timestamp(unit, _) | DataType::Duration(unit) => match unit {
            TimeUnit::Second => (MICROSECONDS, 1),
            TimeUnit::Millisecond => (1_000, 1),
            TimeUnit::Microsecond => (1, 1),
            TimeUnit::Nanosecond => (1, 1_000),
        },
        _ => (1, 1),
    };
    let whole = arrow_cast::cast(array, &DataType::Int64).ok();
    (0..array.len()).map(move |row| {
        let whole = whole.as_ref()?.as_primitive::<Int64Type>();
        let valid = whole.is_valid(row);
        valid.then(|| whole.value(row).saturating_mul(factor).div_euclid(divisor))
    })
}

fn moment(microseconds: i64) -> Option<NaiveDateTime> {
    Some(DateTime::from_timestamp_micros(microseconds)?.naive_utc())
}

/// The categories of a column in their order, if all its arrays say the same ones, or if the first
/// says as many as there are.
fn levels(arrays: &[ArrayRef], known: Option<usize>) -> Option<Vec<String>> {
    let mut all = arrays.iter().map(|array| texts(array.as_any_dictionary().values()));
    let first: Vec<String> = all.next()?.into_iter().flatten().collect();
    let whole = match known {
        Some(known) => first.len() == known,
        None => all.all(|other| other.into_iter().flatten().eq(first.iter().cloned())),
    };
    whole.then_some(first)
}

/// The type of the numbers of a table: that of all, or the least that holds all.
fn dtype(schema: &Schema) -> Dtype {
    let kinds = schema.fields().iter().map(|field| field.data_type());
    let kinds: Vec<&DataType> = kinds.map(|kind| vector(kind).unwrap_or(kind)).collect();
    let numbers = kinds.iter().filter(|kind| is_number(kind));
    let mut of = numbers.map(|kind| match kind {
        DataType::Boolean => Dtype::Bool,
        DataType::Int8 => Dtype::I8,
        DataType::Int16 => Dtype::I16,
        DataType::Int32 => Dtype::I32,
        DataType::Int64 => Dtype::I64,
        DataType::UInt8 => Dtype::U8,
        DataType::UInt16 => Dtype::U16,
        DataType::UInt32 => Dtype::U32,
        DataType::UInt64 => Dtype::U64,
        DataType::Float16 => Dtype::F16,
        DataType::Float32 => Dtype::F32,
        _ => Dtype::F64,
    });
    let Some(first) = of.next() else { return Dtype::Text };
    if of.all(|other| other == first) { first } else { Dtype::F64 }
}

/// What pandas says of a table beside its columns.
#[derive(Default)]
struct Pandas {
    /// The column of the index, if it has one level.
    index: Option<String>,
    levels: usize,
    /// Start and step of an index that is a range.
    range: Option<(i64, i64)>,
    /// Name of the index.
    title: String,
    /// Columns of ordered categories, and how many these are.
    ordered: Vec<(String, bool, Option<usize>)>,
}

impl Pandas {
    fn of(schema: &Schema) -> Self {
        let text = schema.metadata().get("pandas");
        let Some(said) = text.and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
            return Self::default();
        };
        let levels = said["index_columns"].as_array().map_or(&[][..], Vec::as_slice);
        let index = match levels {
            [Value::String(column)] => Some(column.clone()),
            _ => None,
        };
        let range = match levels {
            [range] if range["kind"] == "range" => {
                range["start"].as_i64().zip(range["step"].as_i64())
            }
            _ => None,
        };
        let columns = said["columns"].as_array().map_or(&[][..], Vec::as_slice);
        let of_index =
            columns.iter().find(|column| column["field_name"].as_str() == index.as_deref());
        let title = match (range, index.as_deref()) {
            (Some(_), _) => levels[0]["name"].as_str(),
            (None, Some(_)) => of_index.and_then(|column| column["name"].as_str()),
            _ => None,
        };
        let title = title.unwrap_or_default().to_owned();
        let category = |column: &Value| {
            let ordered = column["metadata"]["ordered"].as_bool()?;
            let known = column["metadata"]["num_categories"].as_u64();
            let name = column["field_name"].as_str()?.to_owned();
            Some((name, ordered, known.and_then(|known| usize::try_from(known).ok())))
        };
        let ordered = columns.iter().filter_map(category).collect();
        Self { index, levels: levels.len(), range, title, ordered }
    }

    /// The name of a column; that of an index without a name is empty, as in a CSV file.
    fn title<'a>(&'a self, column: &'a str) -> &'a str {
        let of_index = column.is_empty() || self.index.as_deref() == Some(column);
        if of_index { &self.title } else { column }
    }

    /// The identifiers of an index that is a range and not that of all tables.
    fn range(&self, rows: usize) -> Option<Vec<i64>> {
        let (start, step) = self.range.filter(|&range| range != (0, 1))?;
        (0..rows as i64).map(|row| start.checked_add(row.checked_mul(step)?)).collect()
    }

    /// Whether a column's categories are ordered, and then how many they are if that is known.
    fn ordered(&self, column: &str, of_arrow: bool) -> Option<Option<usize>> {
        match self.ordered.iter().find(|(name, ..)| name == column) {
            Some((_, ordered, known)) => (*ordered || of_arrow).then_some(*known),
            None => of_arrow.then_some(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use multivae_core::{dataset::Dataset, schema::ColumnKind};
    use parquet::arrow::ArrowWriter;

    use super::*;
    use crate::{
        DataConfig,
        fixture::{Folder, example, npz, text},
        read::format,
    };

    fn block(file: &str) -> Result<ModalityTable, String> {
        let folder = Folder::new([(file, example(file))]);
        let path = folder.path(file);
        let format = format::of(&path).expect("known");
        format.block(&path, ReadOptions::default()).map_err(|error| folder.message(error))
    }

    /// The values of a table, none where one is missing.
    fn values(block: &ModalityTable) -> Vec<Option<f64>> {
        let width = block.shape[0];
        let missing = |place: usize| {
            block
                .missing
                .as_ref()
                .is_some_and(|cells| cells.is_missing(place / width, place % width))
        };
        (0..block.values.len())
            .map(|place| (!missing(place)).then(|| block.values.value(place).expect("in memory")))
            .collect()
    }

    fn certain(block: &ModalityTable) -> Option<(&str, Vec<&str>)> {
        let found = block.candidates.iter().find(|candidate| candidate.certain)?;
        Some((&found.column, found.ids.iter().map(String::as_str).collect()))
    }

    fn words<'a>(block: &'a ModalityTable, name: &str) -> Vec<&'a str> {
        let words = block.words.iter().find(|words| words.name == name).expect("of words");
        words.cells.iter().map(String::as_str).collect()
    }

    #[test]
    fn tables_of_pandas_have_their_index_kinds_and_missing_values_however_they_are_packed() {
        let names: Vec<String> = (0..24).map(|row| format!("p{row:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let steps: Vec<String> = (0..24).map(|row| (100 + 2 * row).to_string()).collect();
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        for (file, ids) in [
            ("pandas_named_index.parquet", Some(("patient", names.clone()))),
            ("pandas_named_index.feather", Some(("patient", names.clone()))),
            ("pandas_unnamed_index.parquet", Some(("", names))),
            ("pandas_range_index.parquet", Some(("", steps))),
            ("pandas_default_index.parquet", None),
        ] {
            let block = block(file).expect(file);
            assert_eq!(certain(&block), ids, "{file}");
            let columns = ["age", "count", "flag"].map(String::from).to_vec();
            assert_eq!((block.rows, &block.columns), (24, &Some(columns)), "{file}");
            let expected: Vec<Option<f64>> = (0..24)
                .flat_map(|row: u32| {
                    let row_f = f64::from(row);
                    [
                        (row % 7 != 3).then_some(40.5 + row_f),
                        (row % 6 != 5).then_some(row_f * row_f),
                        (row != 9).then_some(f64::from((row + 1) % 2)),
                    ]
                })
                .collect();
            assert_eq!(values(&block), expected, "{file}");
            assert_eq!(
                words(&block, "stage")[..5],
                ["late", "early", "middle", "late", ""],
                "{file}"
            );
            assert_eq!(words(&block, "seen")[..3], ["2021-03-01", "2021-03-02", ""], "{file}");
            let levels = |name: &str| {
                let words = block.words.iter().find(|words| words.name == name).expect("there");
                (words.classes, words.levels.clone())
            };
            let order = ["early", "middle", "late"].map(String::from).to_vec();
            assert_eq!(levels("stage"), (true, Some(order)), "{file}");
            assert_eq!((levels("sex"), levels("dose")), ((true, None), (false, None)), "{file}");
            assert!(block.notes.is_empty(), "{file}: {:?}", block.notes);
        }
    }

    #[test]
    fn a_table_of_types_is_a_modality_with_the_kinds_that_the_file_says() {
        let file = example("pandas_named_index.parquet");
        let folder = Folder::new([
            ("clinic.parquet", file),
            ("labels.csv", text("patient,kind\np00,a\np01,b\n")),
        ]);
        let opened = DataConfig::new(folder.source()).read().expect("whole");
        let schema = opened.data.schema().expect("it was read");
        let table = schema.modalities[0].table.as_ref().expect("mixed");
        let kinds: Vec<_> = table.iter().map(|c| (c.name.as_str(), c.kind.name())).collect();
        let expected = [
            ("age", "real"),
            ("count", "count"),
            ("flag", "binary"),
            ("sex", "binary"),
            ("stage", "ordinal"),
            ("seen", "date"),
            ("dose", "categorical"),
        ];
        assert_eq!(kinds, expected);
        let levels = ["early", "middle", "late"].map(String::from).to_vec();
        assert_eq!(table[4].kind, ColumnKind::Ordinal { levels });
        assert_eq!(table[5].kind, ColumnKind::Date { format: DATE.into() });
        assert_eq!((schema.id.as_deref(), opened.data.id(3)), (Some("patient"), "p03".into()));
        assert_eq!(opened.data.label(1), Some(1));
        assert!(!opened.origins[0].is_table(), "it is no text");
    }

    #[test]
    fn vectors_are_features_and_a_null_in_them_is_missing_whatever_stands_under_it() {
        let block = block("pyarrow_vectors.parquet").expect("valid");
        let columns = ["x", "v[0]", "v[1]", "w[0]", "w[1]", "w[2]"].map(String::from).to_vec();
        assert_eq!(
            (block.columns.as_ref(), certain(&block)),
            (Some(&columns), Some(("id", vec!["a", "b", "c"])))
        );
        let expected = [
            [Some(1.0), Some(1.0), None, Some(1.0), Some(2.0), Some(3.0)],
            [None, None, None, Some(4.0), None, Some(6.0)],
            [Some(3.0), Some(5.0), None, None, None, None],
        ];
        assert_eq!(values(&block), expected.concat());
        assert_eq!(block.dtype, Dtype::F64);
    }

    #[test]
    fn every_type_is_read_exactly_or_said() {
        let block = block("pyarrow_kinds.parquet").expect("valid");
        let columns = ["key", "price", "took", "half", "big", "empty"].map(String::from).to_vec();
        assert_eq!(block.columns, Some(columns));
        let found = values(&block);
        let column =
            |place: usize| -> Vec<_> { found.iter().skip(place).step_by(6).copied().collect() };
        assert_eq!(column(1), [Some(1.25), None, Some(-3.5)]);
        assert_eq!(column(2), [Some(0.5), None, Some(2.0)]);
        assert_eq!(column(3), [Some(0.5), Some(1.5), Some(-2.0)]);
        assert_eq!(column(5), [None; 3]);
        assert_eq!(words(&block, "day"), ["2020-02-29", "", "1969-12-31"]);
        assert_eq!(words(&block, "time"), ["2020-01-01 06:30:00", "2020-01-02 00:00:00", ""]);
        let key = block.candidates.iter().find(|candidate| candidate.column == "key");
        let digits = ["9007199254740993", "9007199254740994", "9007199254740995"];
        assert_eq!(key.expect("all differ").ids, digits);
        let notes: String = block.notes.iter().map(|note| note.to_string() + "\n").collect();
        for part in [
            "column `nested`: it holds values of type",
            "column `time`: its times of `Europe/Berlin` are read as UTC",
            "column `took`: its durations are read as days",
            "column `key`: 2 whole numbers have more than 53 bits and lose digits",
            "column `big`: 1 whole numbers have more than 53 bits and lose digits",
        ] {
            assert!(notes.contains(part), "{part}: {notes}");
        }
    }

    #[test]
    fn categories_are_taken_by_their_text_in_every_group_of_rows() {
        let block = block("pyarrow_row_groups.parquet").expect("valid");
        assert_eq!(words(&block, "kind"), ["b", "a", "c", "a", "d", "b"]);
    }

    #[test]
    fn tables_of_polars_are_the_same_in_parquet_files_and_streams() {
        for file in ["polars.parquet", "polars.arrow", "polars_stream.arrows"] {
            let block = block(file).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(certain(&block), Some(("id", vec!["a", "b", "c", "d"])), "{file}");
            let expected =
                [[Some(1.5), Some(1.0)], [None, Some(2.0)], [Some(3.5), None], [None, Some(4.0)]];
            assert_eq!(values(&block), expected.concat(), "{file}");
            assert_eq!(words(&block, "kind"), ["u", "v", "", "u"], "{file}");
            assert_eq!(words(&block, "level"), ["lo", "hi", "lo", ""], "{file}");
        }
    }

    /// A Parquet file of one table.
    fn packed(batch: &RecordBatch) -> Vec<u8> {
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("valid");
        writer.write(batch).expect("memory takes it");
        writer.into_inner().expect("memory takes it")
    }

    #[test]
    fn an_order_of_categories_that_a_writer_loses_is_not_made_up() {
        let keys = arrow_array::Int32Array::from(vec![2, 0, 2, 1]);
        let names: ArrayRef = Arc::new(arrow_array::StringArray::from(vec!["low", "mid", "high"]));
        let array = arrow_array::DictionaryArray::<Int32Type>::new(keys, names);
        let kind = array.data_type().clone();
        let field = arrow_schema::Field::new("level", kind, true).with_dict_is_ordered(true);
        let other = arrow_schema::Field::new("x", DataType::Float64, true);
        let schema = Arc::new(Schema::new(vec![field, other]));
        let x = arrow_array::Float64Array::from(vec![0.5; 4]);
        let batch = RecordBatch::try_new(schema, vec![Arc::new(array), Arc::new(x)]);
        let batch = batch.expect("columns of one length");
        let read = |name: &str, file: Vec<u8>| {
            let folder = Folder::new([(name, file)]);
            let format = format::of(&folder.path(name)).expect("known");
            let block = format.block(&folder.path(name), ReadOptions::default()).expect("valid");
            (block.words[0].levels.clone(), block.notes.len())
        };
        assert_eq!(read("a.parquet", packed(&batch)), (None, 1));
        let mut writer = arrow_ipc::writer::FileWriter::try_new(Vec::new(), &batch.schema());
        let writer = writer.as_mut().expect("valid");
        writer.write(&batch).and_then(|()| writer.finish()).expect("memory takes it");
        let order = ["low", "mid", "high"].map(String::from).to_vec();
        assert_eq!(read("a.arrow", writer.get_ref().clone()), (Some(order), 0));
    }

    /// A Parquet file of columns of text.
    fn parquet(columns: &[(&str, &[&str])]) -> Vec<u8> {
        let arrays = columns.iter().map(|(name, cells)| {
            let array: ArrayRef = Arc::new(arrow_array::StringArray::from(cells.to_vec()));
            (*name, array)
        });
        packed(&RecordBatch::try_from_iter(arrays).expect("columns of one length"))
    }

    #[test]
    fn labels_and_splits_can_be_parquet_and_columns_are_named_in_a_manifest() {
        let ids: &[&str] = &["b", "c", "a"];
        let about = parquet(&[
            ("who", ids),
            ("kind", &["2", "1", "2"]),
            ("part", &["train", "test", "train"]),
        ]);
        let manifest = "
            labels = { file = 'about.parquet', column = 'kind', id = 'who' }
            splits = { file = 'about.parquet', column = 'part', id = 'who' }
            [[modality]]
            name = 'x'
            file = 'x.parquet'
            id = 'id'
        ";
        let folder = Folder::new([
            ("manifest.toml", text(manifest)),
            ("about.parquet", about),
            ("x.parquet", example("pyarrow_vectors.parquet")),
        ]);
        let opened = DataConfig::new(folder.source()).read().map_err(|e| folder.message(e));
        let data = opened.expect("whole").data;
        let of = |row: usize| (data.id(row), data.label(row));
        assert_eq!(
            [0, 1, 2].map(of),
            [("a".into(), Some(2)), ("b".into(), Some(2)), ("c".into(), Some(1))]
        );
        folder.write(
            "manifest.toml",
            manifest.replace("column = 'part'", "column = 'kind'").as_bytes(),
        );
        let error = DataConfig::new(folder.source()).read().map(|_| ()).expect_err("no splits");
        assert_eq!(
            folder.message(error),
            "`about.parquet`, row 0, column `kind`: expected `train`, `valid` or `test`, found `2`"
        );
        folder.write("manifest.toml", manifest.replace("id = 'id'", "id = 'name'").as_bytes());
        let error =
            DataConfig::new(folder.source()).read().map(|_| ()).expect_err("no such column");
        assert!(
            folder.message(error).starts_with("`x.parquet` has no column `name`; it has `id`, `x`")
        );
    }

    #[test]
    fn bad_values_are_refused_by_row_and_column() {
        for (file, expected) in [
            (
                parquet(&[("id", &["a", "b", "a"]), ("x", &["1", "2", "3"])]),
                "`a.parquet`: identifier `a` is given twice",
            ),
            (
                parquet(&[("id", &["a", "", "c"]), ("x", &["1", "2", "3"])]),
                "`a.parquet`, row 1, column `id`: expected an identifier, found ``",
            ),
            (
                parquet(&[("id", &["a", "b"]), ("x", &["1", "inf"])]),
                "`a.parquet`, row 1, column `x`: expected a finite number, found `inf`",
            ),
            (
                parquet(&[("id", &["a", "b"])]),
                "`a.parquet` is empty: it has no columns besides the identifiers",
            ),
            (parquet(&[("id", &[]), ("x", &[])]), "`a.parquet` is empty: it has no rows"),
            (
                text("id,x\na,1\n"),
                "`a.parquet` is not a valid Parquet file: it begins with `id,x\\na,1\\n`",
            ),
            (
                npz(&[("a", 1, 1)]),
                "`a.parquet` is not a valid Parquet file: it is an archive, such as a workbook of a \
                 spreadsheet; call it `.xlsx`",
            ),
            (text(""), "`a.parquet` is not a valid Parquet file: it has no bytes"),
            (
                text("PAR1"),
                "`a.parquet` is not a valid Parquet file: it does not end with `PAR1`: a part of it is missing",
            ),
        ] {
            let folder = Folder::new([("a.parquet", file)]);
            let path = folder.path("a.parquet");
            let format = format::of(&path).expect("known");
            let error =
                format.block(&path, ReadOptions::default()).map(|_| ()).expect_err(expected);
            assert_eq!(folder.message(error), expected);
        }
    }

    #[test]
    fn files_of_other_names_are_known_by_their_first_bytes() {
        let refused = |name: &str, bytes: Vec<u8>| {
            let folder = Folder::new([(name, bytes)]);
            let path = folder.path(name);
            let found = format::of(&path).expect("known").block(&path, ReadOptions::default());
            folder.message(found.map(|_| ()).expect_err("another format"))
        };
        for (name, file, end) in [
            ("a.csv", "polars.parquet", "it is a Parquet file; call it `.parquet`"),
            ("a.arrow", "polars.parquet", "it is a Parquet file; call it `.parquet`"),
            ("a.parquet", "polars.arrow", "it is an Arrow or Feather file; call it `.arrow`"),
            (
                "a.feather",
                "version_1.feather",
                "it is a Feather file of version 1, which is no longer written",
            ),
        ] {
            let error = refused(name, example(file));
            assert!(error.starts_with(&format!("`{name}` is not a valid ")), "{error}");
            assert!(error.ends_with(end), "{error}");
        }
    }

    #[test]
    fn vectors_of_different_length_are_refused_by_their_row() {
        let lists = [Some(vec![Some(1.0), Some(2.0)]), None, Some(vec![Some(3.0)])];
        let list = arrow_array::ListArray::from_iter_primitive::<Float64Type, _, _>(lists);
        let list: ArrayRef = Arc::new(list);
        let batch = RecordBatch::try_from_iter([("v", list)]).expect("one column");
        let frame =
            Frame::new(Path::new("a.parquet"), "Parquet", batch.schema(), vec![batch], true);
        let error = frame.block(ReadOptions::default()).map(|_| ()).expect_err("of one value");
        assert_eq!(
            error.to_string(),
            "modality `column `v`` (`a.parquet`): expected vectors of 2 values, as in the first row, \
             found 1 in row 2"
        );
    }

    /// Damaged files give errors that name them; none panics, and none takes long.
    #[test]
    fn no_damage_of_a_file_does_more_than_an_error() {
        let folder = Folder::new([]);
        for file in
            ["polars.parquet", "polars.arrow", "polars_stream.arrows", "pyarrow_vectors.parquet"]
        {
            let whole = example(file);
            let path = folder.path(file);
            let format = format::of(&path).expect("known");
            let mut refused = 0;
            let mut read = |bytes: &[u8]| {
                fs::write(&path, bytes).expect("writable");
                match format.block(&path, ReadOptions::default()) {
                    Ok(_) => false,
                    Err(error) => {
                        refused += 1;
                        assert!(folder.message(error).starts_with(&format!("`{file}`")), "{file}");
                        true
                    }
                }
            };
            for end in (0..whole.len()).step_by(31) {
                // A stream can end behind any of its messages.
                let cut = read(&whole[..end]);
                assert!(cut || file.ends_with("arrows"), "{file} of {end} bytes");
            }
            let mut bytes = whole.clone();
            for place in (0..whole.len()).step_by(5) {
                bytes[place] ^= 0xff;
                read(&bytes);
                bytes[place] ^= 0xff;
            }
            assert!(refused > whole.len() / 40, "{file}: {refused}");
        }
    }
}
