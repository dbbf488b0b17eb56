//! Tables of AnnData: names of rows, and columns of several encodings.

use std::collections::HashMap;

use multivae_core::schema::Dtype;

use super::{Attribute, Kind, Leaf, Node, Tree, join};
use crate::{
    error::{DataError, Place, Result, list},
    read::{
        ModalityTable, Numbers, ReadOptions, TextTable,
        table::{self, Cell, Column, Head},
    },
};

/// What is done about tables as anndata wrote them before 0.7.
const COMPOUND: &str = "a group of columns; anndata before 0.7 has written this table: read the file \
     with anndata 0.7 to 0.12 and write it again";

/// The cells of a column.
#[derive(Debug, PartialEq)]
pub(super) enum Cells {
    /// Numbers, which are missing where the mask is true.
    Numbers { numbers: Numbers, mask: Option<Vec<bool>> },
    /// Text, categories and truth values; `None` where nothing is known.
    Words(Vec<Option<String>>),
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Numbers { numbers, .. } => numbers.len(),
            Self::Words(words) => words.len(),
        }
    }

    /// As text; `None` where nothing is known.
    pub(super) fn words(self) -> Vec<Option<String>> {
        match self {
            Self::Words(words) => words,
            Self::Numbers { numbers, mask } => {
                let masked = |row: usize| mask.as_ref().is_some_and(|mask| mask[row]);
                let texts = numbers.texts().into_iter().enumerate();
                texts.map(|(row, text)| (!masked(row) && text != "NaN").then_some(text)).collect()
            }
        }
    }
}

/// The name of the column of names.
fn index(tree: &dyn Tree, table: &str) -> Result<String> {
    match tree.node(table)? {
        Some(Node::Group) => Ok(tree.text(table, "_index")?.unwrap_or_else(|| "_index".into())),
        Some(Node::Array(_)) => Err(tree.bad(table, COMPOUND, "an array")),
        None => Err(tree.bad(table, "a table", "nothing")),
    }
}

/// The names of the rows of a table: there, and all different.
pub(super) fn names(tree: &dyn Tree, table: &str) -> Result<Vec<String>> {
    let at = join(table, &index(tree, table)?);
    different(tree, &at, cells(tree, &at)?.words())
}

/// Names that are there, and all different.
pub(super) fn different(
    tree: &dyn Tree,
    at: &str,
    words: Vec<Option<String>>,
) -> Result<Vec<String>> {
    let mut seen = HashMap::new();
    let mut names = Vec::with_capacity(words.len());
    for (row, name) in words.into_iter().enumerate() {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Err(tree.bad_row(at, row, "a name", "nothing"));
        };
        if let Some(first) = seen.insert(name.clone(), row) {
            let found = format!("`{name}`, which is the name of row {first} too");
            return Err(tree.bad_row(at, row, "names that all differ", found));
        }
        names.push(name);
    }
    Ok(names)
}

/// The columns of a table beside the names, in their order.
pub(super) fn columns(tree: &dyn Tree, table: &str) -> Result<Vec<String>> {
    let index = index(tree, table)?;
    let there: Vec<String> = tree
        .names(table)?
        .into_iter()
        .filter(|name| *name != index && name != "__categories")
        .collect();
    let order = tree.list(table, "column-order")?;
    if let Some(lost) = order.iter().find(|name| !there.contains(name)) {
        return Err(tree.bad(
            &join(table, lost),
            "a column, which `column-order` names",
            "nothing",
        ));
    }
    let others = there.iter().filter(|name| !order.contains(name)).cloned();
    Ok(order.iter().cloned().chain(others).collect())
}

/// A column of a table.
pub(super) fn column(tree: &dyn Tree, table: &str, name: &str) -> Result<Cells> {
    // As anndata wrote categories before 0.8.
    let categories = join(&join(table, "__categories"), name);
    let at = join(table, name);
    if tree.node(&categories)?.is_some() {
        return categorical(tree, &at, &categories);
    }
    cells(tree, &at)
}

/// Whether a column holds categories or text.
pub(super) fn is_words(tree: &dyn Tree, table: &str, name: &str) -> Result<bool> {
    let at = join(table, name);
    let encoding = tree.text(&at, "encoding-type")?;
    Ok(match tree.node(&at)? {
        Some(Node::Group) => {
            matches!(encoding.as_deref(), Some("categorical" | "nullable-string-array"))
        }
        Some(Node::Array(Leaf { kind: Kind::Text, .. })) => true,
        _ => tree.node(&join(&join(table, "__categories"), name))?.is_some(),
    })
}

/// Cells of one of the encodings.
pub(super) fn cells(tree: &dyn Tree, at: &str) -> Result<Cells> {
    let leaf = match tree.node(at)? {
        Some(Node::Array(leaf)) => leaf,
        Some(Node::Group) => return encoded(tree, at),
        None => return Err(tree.bad(at, "a column", "nothing")),
    };
    if leaf.shape.len() != 1 {
        return Err(tree.bad(at, "a column of one value per row", format!("{:?}", leaf.shape)));
    }
    Ok(match &leaf.kind {
        Kind::Text => Cells::Words(tree.texts(at)?.into_iter().map(Some).collect()),
        _ => match (tree.element(at, &leaf)?.dtype, tree.numbers(at)?) {
            (Dtype::Bool, Numbers::Bytes(flags)) => {
                Cells::Words(flags.into_iter().map(|flag| Some(truth(flag != 0))).collect())
            }
            (_, numbers) => Cells::Numbers { numbers, mask: None },
        },
    })
}

/// A truth value as Python writes it.
fn truth(value: bool) -> String {
    if value { "True" } else { "False" }.into()
}

/// Cells in a group.
fn encoded(tree: &dyn Tree, at: &str) -> Result<Cells> {
    let encoding = tree.text(at, "encoding-type")?;
    match encoding.as_deref() {
        Some("categorical") => categorical(tree, &join(at, "codes"), &join(at, "categories")),
        Some("nullable-integer" | "nullable-boolean" | "nullable-string-array") => masked(tree, at),
        other => {
            let found = other.map_or("a group without one".into(), |name| format!("`{name}`"));
            let expected = "a column of the encoding `categorical`, `nullable-integer`, \
                            `nullable-boolean` or `nullable-string-array`";
            Err(tree.bad(at, expected, found))
        }
    }
}

/// Values beside a mask that is true where there is none.
fn masked(tree: &dyn Tree, at: &str) -> Result<Cells> {
    let values = cells(tree, &join(at, "values"))?;
    let at = join(at, "mask");
    let mask: Vec<bool> = tree.whole(&at, 0)?.into_iter().map(|flag| flag != 0).collect();
    if mask.len() != values.len() {
        let expected = format!("{} values, as many as of `values`", values.len());
        return Err(tree.bad(&at, expected, mask.len().to_string()));
    }
    Ok(match values {
        Cells::Numbers { numbers, .. } => Cells::Numbers { numbers, mask: Some(mask) },
        Cells::Words(words) => {
            let known = words.into_iter().zip(mask);
            Cells::Words(known.map(|(word, masked)| word.filter(|_| !masked)).collect())
        }
    })
}

/// Numbers of categories, -1 where there is none.
fn categorical(tree: &dyn Tree, codes: &str, categories: &str) -> Result<Cells> {
    let names = cells(tree, categories)?.words();
    let numbers = tree.whole(codes, -1)?;
    if let Some(row) = numbers.iter().position(|&code| code >= names.len() as i64) {
        let expected = format!("a number below {}, the number of categories", names.len());
        return Err(tree.bad_row(codes, row, expected, format!("`{}`", numbers[row])));
    }
    let name = |code: i64| names.get(usize::try_from(code).ok()?)?.clone();
    Ok(Cells::Words(numbers.into_iter().map(name).collect()))
}

/// A table as text: the names of its rows, and the column that is wanted or all of them.
pub(super) fn text(tree: &dyn Tree, table: &str, said: ReadOptions) -> Result<TextTable> {
    let names = names(tree, table)?;
    let known = columns(tree, table)?;
    let chosen: Vec<String> = match said.column {
        Some(column) => vec![find(tree, table, &known, column)?],
        None => known.clone(),
    };
    let mut columns = vec![(OBS_NAMES.to_owned(), names)];
    for name in chosen {
        let cells = checked(tree, table, &name, columns[0].1.len())?;
        columns.push((name, cells.words().into_iter().map(Option::unwrap_or_default).collect()));
    }
    finish(tree, table, columns, said, &known)
}

/// What the column of names is called in messages and tables.
pub(super) const OBS_NAMES: &str = "obs_names";

/// A table of text, whose first column are the names of its rows.
pub(super) fn finish(
    tree: &dyn Tree,
    table: &str,
    mut columns: Vec<(String, Vec<String>)>,
    said: ReadOptions,
    known: &[String],
) -> Result<TextTable> {
    let id = match said.id {
        None => 0,
        Some(id) => match columns.iter().position(|(name, _)| name == id) {
            Some(place) => place,
            None => {
                let id = find(tree, table, known, id)?;
                let ids = checked(tree, table, &id, columns[0].1.len())?.words();
                columns.push((id.clone(), different(tree, &join(table, &id), ids)?));
                columns.len() - 1
            }
        },
    };
    Ok(TextTable {
        path: tree.path().into(),
        places: (0..columns[0].1.len() as u64).map(Place::Row).collect(),
        wanted: said.column.map(|_| 1),
        columns,
        named: true,
        id: Some(id),
        notes: Vec::new(),
    })
}

/// A column that has a cell for each row.
pub(super) fn checked(tree: &dyn Tree, table: &str, name: &str, rows: usize) -> Result<Cells> {
    let cells = column(tree, table, name)?;
    if cells.len() == rows {
        return Ok(cells);
    }
    let expected = format!("{rows} cells, one for each row of `{table}`");
    Err(tree.bad(&join(table, name), expected, cells.len().to_string()))
}

/// A column by its name.
pub(super) fn find(tree: &dyn Tree, table: &str, known: &[String], name: &str) -> Result<String> {
    match known.iter().find(|known| *known == name) {
        Some(name) => Ok(name.clone()),
        None => Err(DataError::MissingColumn {
            path: tree.path().join(table),
            column: name.into(),
            known: if known.is_empty() { "none".into() } else { list(known) },
        }),
    }
}

/// The classes of a column that holds categories, in their order if it has one; `None` of another
/// column.
fn classes(tree: &dyn Tree, table: &str, name: &str) -> Result<Option<Option<Vec<String>>>> {
    let at = join(table, name);
    let older = tree.node(&join(&join(table, "__categories"), name))?.is_some();
    if !older && tree.text(&at, "encoding-type")?.as_deref() != Some("categorical") {
        return Ok(None);
    }
    let ordered = tree.attribute(&at, "ordered")?;
    if older || !matches!(ordered, Some(Attribute::Numbers(flag)) if flag == [1.0]) {
        return Ok(Some(None));
    }
    let names = cells(tree, &join(&at, "categories"))?.words();
    Ok(Some(names.into_iter().collect()))
}

/// A table as a modality: columns of numbers are features, those of words get a kind as in any
/// table. The column of identifiers that is said is none.
pub(super) fn mixed(
    tree: &dyn Tree,
    table: &str,
    names: &[String],
    said: ReadOptions,
) -> Result<ModalityTable> {
    let known = columns(tree, table)?.into_iter().filter(|name| said.id != Some(name));
    let titles = std::iter::once(OBS_NAMES.to_owned()).chain(known).collect();
    let mut head = Head::new(&tree.path().join(table), titles)?;
    (head.id, head.dtype) = (Some(0), Dtype::F64);
    let mut filled = Vec::with_capacity(head.names.len());
    for (place, title) in head.names.iter().enumerate() {
        let at = join(table, title);
        let mut column = Column::new(&head, place, true);
        let push = |column: &mut Column, row: usize, cell: Cell| {
            let wrong = |expected| tree.bad_row(&at, row, expected, format!("`{}`", cell.text()));
            column.push(cell, row as u64, said).map_err(wrong)
        };
        if place == 0 {
            for (row, name) in names.iter().enumerate() {
                push(&mut column, row, Cell::Word(name))?;
            }
            filled.push(column);
            continue;
        }
        match checked(tree, table, title, names.len())? {
            Cells::Numbers { numbers, mask } => {
                let masked = |row: usize| mask.as_ref().is_some_and(|mask| mask[row]);
                let mut all = Vec::with_capacity(names.len());
                numbers.each(|value| all.push(value));
                for (row, value) in all.into_iter().enumerate() {
                    let known = !masked(row) && !value.is_nan();
                    push(
                        &mut column,
                        row,
                        if known { Cell::Number(value) } else { Cell::Missing },
                    )?;
                }
            }
            Cells::Words(words) => {
                if let Some(levels) = classes(tree, table, title)? {
                    column = column.of_classes(levels);
                }
                for (row, word) in words.iter().enumerate() {
                    let cell = word.as_deref().map_or(Cell::Missing, Cell::Word);
                    push(&mut column, row, cell)?;
                }
            }
        }
        filled.push(column);
    }
    filled.iter_mut().for_each(|column| column.settle(&Place::Row));
    let block = table::of_columns(head, filled, said, &Place::Row)?;
    // Who the rows are is known.
    Ok(ModalityTable { candidates: Vec::new(), ..block })
}
