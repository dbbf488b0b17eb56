//! Tables and arrays whose rows a program has in memory.

use std::{collections::HashMap, path::Path};

use multivae_core::schema::{Dtype, ModalitySchema};

use super::{
    Array, Numbers, Place, ReadOptions,
    table::{self, Cell, Column, Head},
};
use crate::{
    error::{DataError, Result},
    given::{NewCell, NewRow},
    read::{Ids, ModalityTable},
};

/// The column of identifiers, which no table of values has.
const ID: &str = "";
/// What a value of an array can be.
const NUMBER: &str = "a number, or `null` for one that is missing";

impl NewCell {
    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Missing => Cell::Missing,
            Self::Number(value) => Cell::Number(*value),
            Self::Whole(value) => Cell::Whole((*value).into()),
            Self::Flag(flag) => Cell::Flag(*flag),
            Self::Text(text) => Cell::Text(text.trim()),
        }
    }
}

/// A table by the names of its columns, where rows say them, and else by the order in which the model
/// has them.
pub(crate) fn table(
    path: &Path,
    known: &ModalitySchema,
    columns: Option<Vec<String>>,
    rows: &[NewRow],
    ids: &[String],
    said: ReadOptions,
) -> Result<ModalityTable> {
    let listed = rows.iter().any(|row| matches!(row, NewRow::List { .. }));
    let own = match columns {
        Some(columns) => columns,
        None if listed => names(known),
        None => Vec::new(),
    };
    let width = own.len();
    let mut head = Head::new(path, [vec![ID.to_owned()], own].concat())?;
    head.id = Some(0);
    let mut places: HashMap<String, usize> = head.names.iter().cloned().zip(0..).collect();
    for row in rows {
        let NewRow::Named(cells) = row else { continue };
        for (name, _) in cells {
            if !places.contains_key(name) {
                places.insert(name.clone(), head.names.len());
                head.names.push(name.clone());
            }
        }
    }
    // Rows of which each has columns of its own are mostly missing.
    let given = rows.iter().map(NewRow::len).sum::<usize>() as u64;
    let cells = (rows.len() as u64).saturating_mul(head.names.len() as u64);
    table::check_claim(path, "table", given, cells.saturating_mul(8))?;
    let mut columns: Vec<Column> =
        (0..head.names.len()).map(|column| Column::new(&head, column, true)).collect();
    let mut line = vec![Cell::Missing; head.names.len()];
    for (row, (values, id)) in rows.iter().zip(ids).enumerate() {
        line.fill(Cell::Missing);
        line[0] = Cell::Word(id);
        match values {
            NewRow::Missing => {}
            NewRow::Named(cells) => {
                cells.iter().for_each(|(name, cell)| line[places[name]] = cell.cell());
            }
            NewRow::List { shape, cells } => {
                if cells.len() != width || shape.len() > 1 && *shape != known.spec.shape {
                    return Err(DataError::Shape {
                        modality: known.spec.name.to_string(),
                        path: path.into(),
                        expected: format!("{width} values, one for each column"),
                        found: format!("{shape:?} in row {row}"),
                    });
                }
                line[1..].iter_mut().zip(cells).for_each(|(into, cell)| *into = cell.cell());
            }
        }
        for (place, (column, cell)) in columns.iter_mut().zip(&line).enumerate() {
            column.push(*cell, row as u64, said).map_err(|expected| {
                head.cell(Place::Row(row as u64), place, expected, &cell.text())
            })?;
        }
    }
    columns.iter_mut().for_each(|column| column.settle(&Place::Row));
    let mut block = table::of_columns(head, columns, said, &Place::Row)?;
    block.candidates.clear();
    block.ids = Some(of_rows(ids));
    Ok(block)
}

/// The columns of a row in the order in which the model has them, without text that is not modelled.
fn names(known: &ModalitySchema) -> Vec<String> {
    if let Some(text) = &known.text {
        return vec![text.column.clone()];
    }
    match &known.table {
        Some(table) => {
            let modelled = table.iter().filter(|column| column.kind.features() > 0);
            modelled.map(|column| column.name.clone()).collect()
        }
        None => known.columns.clone().unwrap_or_default(),
    }
}

/// Values without names, nested as the model has them or flat.
pub(crate) fn array(
    path: &Path,
    known: &ModalitySchema,
    rows: &[NewRow],
    ids: &[String],
) -> Result<ModalityTable> {
    let (spec, features) = (&known.spec, known.spec.features());
    let shape_error = |row: usize, found: String| DataError::Shape {
        modality: spec.name.to_string(),
        path: path.into(),
        expected: format!("{:?}, as the model has it, or as many values in a list", spec.shape),
        found: format!("{found} in row {row}"),
    };
    let mut values = Vec::with_capacity(rows.len().saturating_mul(features));
    for (row, given) in rows.iter().enumerate() {
        match given {
            NewRow::Missing => values.extend(std::iter::repeat_n(f64::NAN, features)),
            NewRow::Named(_) => return Err(shape_error(row, "columns with names".into())),
            NewRow::List { shape, cells } => {
                let fits = *shape == spec.shape || (shape.len() < 2 && cells.len() == features);
                if !fits {
                    return Err(shape_error(row, format!("{shape:?}")));
                }
                for (place, cell) in cells.iter().enumerate() {
                    values.push(number(cell).ok_or_else(|| DataError::Cell {
                        path: path.into(),
                        place: Place::Row(row as u64),
                        column: place.to_string(),
                        expected: NUMBER,
                        found: cell.cell().text().into_owned(),
                    })?);
                }
            }
        }
    }
    // In the units of the data, so also of its type.
    let dtype = if known.dtype == Dtype::Text { Dtype::F64 } else { known.dtype };
    let shape = [&[rows.len()][..], &spec.shape].concat();
    let numbers = Numbers::Doubles(values);
    let mut block = Array { name: spec.name.to_string(), shape, dtype, numbers }.block(path)?;
    block.ids = Some(of_rows(ids));
    Ok(block)
}

fn number(cell: &NewCell) -> Option<f64> {
    match cell {
        NewCell::Missing => Some(f64::NAN),
        NewCell::Number(value) => Some(*value),
        NewCell::Whole(value) => Some(*value as f64),
        NewCell::Flag(flag) => Some(f64::from(u8::from(*flag))),
        NewCell::Text(_) => None,
    }
}

fn of_rows(ids: &[String]) -> Ids {
    Ids { column: None, reason: "they were given with the rows".into(), ids: ids.to_vec() }
}
