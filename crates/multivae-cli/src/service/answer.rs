//! Answers as JSON and as NPZ.

use std::{borrow::Cow, io::Cursor};

use anyhow::Result;
use multivae::{
    core::schema::{ColumnKind, TableColumn},
    data::cell_text,
};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use super::{
    request::Form,
    tasks::{Answer, Task},
};
use crate::{
    npz::{self, Array},
    written::{Part, Role, Written},
};

/// The body of an answer.
pub(super) fn body(answer: Answer, form: Form) -> Result<Vec<u8>> {
    match form {
        Form::Json => {
            let mut body = serde_json::to_vec(&Json(&answer))?;
            body.push(b'\n');
            Ok(body)
        }
        Form::Npz => {
            let mut file = Cursor::new(Vec::new());
            npz::write_to(&mut file, &answer.written.arrays())?;
            Ok(file.into_inner())
        }
    }
}

/// What is said about the parts whose names end so, and its name in JSON.
const ABOUT: [(&str, &str); 4] =
    [(".imputed", "imputed"), (".std", "std"), (".low", "low"), (".high", "high")];

struct Json<'a>(&'a Answer);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Answer { task, written, notes } = self.0;
        let Written { ids, parts, .. } = written;
        let mut map = out.serialize_map(None)?;
        map.serialize_entry("task", task.name())?;
        if let Some(ids) = ids {
            map.serialize_entry("ids", ids)?;
        }
        let about = |part: &Part| {
            let imputes = *task == Task::Impute;
            ABOUT.iter().position(|(end, _)| imputes && part.name.ends_with(end))
        };
        let own = |part: &&Part| part.role != Role::Original && about(part).is_none();
        let own: Vec<&Part> = parts.iter().filter(own).collect();
        let name = if *task == Task::Encode { "latents" } else { "modalities" };
        map.serialize_entry(name, &Parts { parts: own, end: "" })?;
        for (i, (end, name)) in ABOUT.iter().enumerate() {
            let parts: Vec<&Part> = parts.iter().filter(|part| about(part) == Some(i)).collect();
            if !parts.is_empty() {
                map.serialize_entry(name, &Parts { parts, end })?;
            }
        }
        map.serialize_entry("notes", notes)?;
        map.end()
    }
}

/// Parts by their names without an end.
pub(super) struct Parts<'a> {
    pub(super) parts: Vec<&'a Part>,
    pub(super) end: &'static str,
}

impl Serialize for Parts<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(self.parts.len()))?;
        for part in &self.parts {
            let name = part.name.strip_suffix(self.end).unwrap_or(&part.name);
            map.serialize_entry(name, &Rows(part))?;
        }
        map.end()
    }
}

/// The rows of a part, as a request can say them.
struct Rows<'a>(&'a Part);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let part = self.0;
        let mut map = out.serialize_map(None)?;
        if let Some(texts) = &part.texts {
            map.serialize_entry("rows", &texts.rows)?;
            return map.end();
        }
        if let Some(table) = part.modelled() {
            let table: Vec<&TableColumn> = table.collect();
            let names: Vec<&str> = table.iter().map(|column| column.name.as_str()).collect();
            map.serialize_entry("columns", &names)?;
            map.serialize_entry("rows", &Cells { table: &table, values: &part.values })?;
            return map.end();
        }
        if let Some(columns) = &part.columns {
            map.serialize_entry("columns", columns)?;
        }
        let shape = part.shape();
        let nested = Nested { shape: &shape, values: &part.values, start: 0 };
        // Samples of rows have an axis of their own before them.
        let samples = part.role == Role::Latent && shape.len() == 3;
        map.serialize_entry(if samples { "samples" } else { "rows" }, &nested)?;
        map.end()
    }
}

/// Values as lists within lists. What is no number is `null`.
struct Nested<'a> {
    shape: &'a [usize],
    values: &'a Array,
    start: usize,
}

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Some((&length, shape)) = self.shape.split_first() else {
            return Value { values: self.values, place: self.start }.serialize(out);
        };
        let step: usize = shape.iter().product();
        let mut list = out.serialize_seq(Some(length))?;
        for i in 0..length {
            let start = self.start + i * step;
            list.serialize_element(&Nested { shape, values: self.values, start })?;
        }
        list.end()
    }
}

/// One value of an array.
struct Value<'a> {
    values: &'a Array,
    place: usize,
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.values {
            Array::Floats(_, values) => out.serialize_f32(values[self.place]),
            Array::Doubles(_, values) => out.serialize_f64(values[self.place]),
            Array::Bytes(_, values) => out.serialize_u8(values[self.place]),
            Array::Words(_, values) => out.serialize_u16(values[self.place]),
            Array::Integers(_, values) => out.serialize_i64(values[self.place]),
            Array::Flags(_, values) => out.serialize_bool(values[self.place]),
            Array::Text(values) => out.serialize_str(&values[self.place]),
        }
    }
}

/// The cells of a mixed table.
struct Cells<'a> {
    table: &'a [&'a TableColumn],
    values: &'a Array,
}

impl Serialize for Cells<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let shape = self.values.shape();
        let width: usize = shape.iter().skip(1).product();
        out.collect_seq((0..shape[0]).map(|row| {
            let cell = |column: &&TableColumn| cell(column, self.values, row * width);
            self.table.iter().map(cell).collect::<Vec<_>>()
        }))
    }
}

/// A cell as JSON has it.
#[derive(Serialize)]
#[serde(untagged)]
enum Cell {
    Missing,
    Single(f32),
    Double(f64),
    Text(String),
}

fn cell(column: &TableColumn, values: &Array, start: usize) -> Cell {
    let places = column.features().map(|feature| start + feature);
    let numbers: Cow<[f64]> = match values {
        Array::Floats(_, values) => places.map(|place| f64::from(values[place])).collect(),
        Array::Doubles(_, values) => places.map(|place| values[place]).collect(),
        _ => panic!("values of a mixed table are floating point numbers"),
    };
    if numbers.iter().any(|number| number.is_nan()) {
        return Cell::Missing;
    }
    match &column.kind {
        ColumnKind::Real { .. } | ColumnKind::Positive => match values {
            Array::Floats(..) => Cell::Single(numbers[0] as f32),
            _ => Cell::Double(numbers[0]),
        },
        ColumnKind::Count => Cell::Double(numbers[0].round()),
        kind => Cell::Text(cell_text(kind, &numbers, |value| value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::written::Texts;

    fn part(name: &str, values: Array) -> Part {
        let (columns, table, texts) = (None, None, None);
        Part { name: name.into(), role: Role::Modality, columns, table, texts, values }
    }

    fn shown(part: &Part) -> serde_json::Value {
        let text = serde_json::to_string(&Rows(part)).expect("it has a form");
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn values_are_nested_as_their_shape_and_what_is_no_number_is_null() {
        let values = vec![0.1, f32::NAN, 2.0, 3.5];
        let image = part("image", Array::Floats(vec![2, 1, 2], values));
        assert_eq!(shown(&image), json!({"rows": [[[0.1, null]], [[2.0, 3.5]]]}));
        let flags = Array::Flags(vec![1, 2], vec![true, false]);
        assert_eq!(shown(&part("a", flags)), json!({"rows": [[true, false]]}));
        let mut z = Part::latent("z".into(), Array::Floats(vec![1, 1], vec![1.0]));
        assert_eq!(shown(&z), json!({"columns": ["z_0"], "rows": [[1.0]]}));
        z.values = Array::Floats(vec![2, 1, 1], vec![1.0, 2.0]);
        z.columns = None;
        assert_eq!(shown(&z), json!({"samples": [[[1.0]], [[2.0]]]}));
    }

    #[test]
    fn single_precision_is_written_with_the_digits_that_it_has() {
        let values = Array::Floats(vec![1, 1], vec![0.1]);
        let text = serde_json::to_string(&Rows(&part("a", values))).expect("it has a form");
        assert_eq!(text, r#"{"rows":[[0.1]]}"#);
    }

    #[test]
    fn cells_of_a_mixed_table_are_words_and_numbers_and_text_is_text() {
        let column = |name: &str, first, kind| TableColumn { name: name.into(), first, kind };
        let classes = vec!["i".into(), "ii".into()];
        let table = vec![
            column("stage", 0, ColumnKind::Categorical { classes }),
            column("note", 0, ColumnKind::Text),
            column("dose", 2, ColumnKind::Real { unit: Some("mg".into()) }),
            column("nodes", 3, ColumnKind::Count),
        ];
        let values = vec![0.2, 0.8, 0.5, 2.7, f32::NAN, 0.1, 1.5, f32::NAN];
        let clinic =
            Part { table: Some(table), ..part("clinic", Array::Floats(vec![2, 4], values)) };
        let expected = json!({
            "columns": ["stage", "dose", "nodes"],
            "rows": [["ii", 0.5, 3.0], [null, 1.5, null]],
        });
        assert_eq!(shown(&clinic), expected);
        let texts = Texts { column: "c".into(), rows: vec![Some("red".into()), None] };
        let note =
            Part { texts: Some(texts), ..part("note", Array::Floats(vec![2, 1], vec![0.0; 2])) };
        assert_eq!(shown(&note), json!({"rows": ["red", null]}));
    }
}
