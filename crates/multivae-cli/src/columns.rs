//! Rows as columns with types.

use multivae::{
    core::schema::{ColumnKind, TableColumn},
    data::{ColumnCells, cell_text},
};

use crate::{
    npz::Array,
    written::{Part, Texts},
};

/// How days and times are written where they are read back as these.
const DAYS: [&str; 2] = ["%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f"];

/// Identifiers, if there are any, and the columns of the parts.
pub(crate) fn of(id: &str, ids: Option<&[String]>, parts: &[&Part]) -> Vec<(String, ColumnCells)> {
    let ids = ids.map(|ids| {
        let cells = ids.iter().cloned().map(Some).collect();
        (id.to_owned(), ColumnCells::Text(cells))
    });
    ids.into_iter().chain(parts.iter().flat_map(|part| of_part(part))).collect()
}

/// The columns of a part: of a mixed table its own, else one for each value of a row.
fn of_part(part: &Part) -> Vec<(String, ColumnCells)> {
    if let Some(Texts { column, rows }) = &part.texts {
        return vec![(column.clone(), ColumnCells::Text(rows.clone()))];
    }
    let shape = part.shape();
    let width: usize = shape.iter().skip(1).product();
    let cells: Vec<ColumnCells> = match part.modelled() {
        Some(table) => table.map(|column| of_kind(column, &part.values, width)).collect(),
        None => (0..width).map(|feature| of_values(&part.values, width, feature)).collect(),
    };
    part.head().into_iter().zip(cells).collect()
}

fn of_values(values: &Array, width: usize, feature: usize) -> ColumnCells {
    // Every `width`th value from `feature` on.
    fn some<T: Clone, U>(values: &[T], at: (usize, usize), of: impl Fn(T) -> U) -> Vec<U> {
        let (width, feature) = at;
        values.iter().skip(feature).step_by(width).cloned().map(of).collect()
    }
    let at = (width, feature);
    match values {
        Array::Floats(_, values) => ColumnCells::Floats(some(values, at, |v| v)),
        Array::Doubles(_, values) => ColumnCells::Doubles(some(values, at, |v| v)),
        Array::Bytes(_, values) => ColumnCells::Integers(some(values, at, |v| Some(v.into()))),
        Array::Words(_, values) => ColumnCells::Integers(some(values, at, |v| Some(v.into()))),
        Array::Integers(_, values) => ColumnCells::Integers(some(values, at, Some)),
        Array::Flags(_, values) => ColumnCells::Flags(some(values, at, Some)),
        Array::Text(texts) => ColumnCells::Text(some(texts, at, Some)),
    }
}

/// The features of a column in a row; `None` if one is missing.
fn known<T: Copy + Into<f64>>(column: &TableColumn, row: &[T]) -> Option<Vec<f64>> {
    let values: Vec<f64> = row[column.features()].iter().map(|&value| value.into()).collect();
    values.iter().all(|value| !value.is_nan()).then_some(values)
}

/// The cells of a column of a mixed table: likeliest classes, days and counts.
fn of_kind(column: &TableColumn, values: &Array, width: usize) -> ColumnCells {
    let rows: Vec<Option<Vec<f64>>> = match values {
        Array::Floats(_, values) => {
            values.chunks_exact(width).map(|row| known(column, row)).collect()
        }
        Array::Doubles(_, values) => {
            values.chunks_exact(width).map(|row| known(column, row)).collect()
        }
        _ => panic!("values of a mixed table are floating point numbers"),
    };
    let first = |row: Option<Vec<f64>>| row.map(|row| row[0]);
    let text = |row: &[f64]| cell_text(&column.kind, row, |value| value.to_string());
    if let Some(names) = column.kind.classes() {
        let place = |row: Option<Vec<f64>>| {
            let text = text(&row?);
            names.iter().position(|name| *name == text)
        };
        let places = rows.into_iter().map(place).collect();
        return ColumnCells::Classes { places, names: names.to_vec() };
    }
    match &column.kind {
        ColumnKind::Count => ColumnCells::Integers(
            rows.into_iter().map(|row| first(row).map(|count| count.round() as i64)).collect(),
        ),
        ColumnKind::Date { format } if format == DAYS[0] => {
            ColumnCells::Days(rows.into_iter().map(|row| first(row).map(f64::round)).collect())
        }
        ColumnKind::Date { format } if format == DAYS[1] => {
            ColumnCells::Days(rows.into_iter().map(first).collect())
        }
        // In the form of the data, so that they are read as the data was.
        ColumnKind::Date { .. } => {
            ColumnCells::Text(rows.into_iter().map(|row| Some(text(&row?))).collect())
        }
        _ => {
            let numbers = rows.into_iter().map(|row| first(row).unwrap_or(f64::NAN));
            match values {
                Array::Doubles(..) => ColumnCells::Doubles(numbers.collect()),
                _ => ColumnCells::Floats(numbers.map(|number| number as f32).collect()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::Role;

    #[test]
    fn columns_of_a_mixed_table_have_their_types() {
        let column = |name: &str, first, kind| TableColumn { name: name.into(), first, kind };
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let date = |format: &str| ColumnKind::Date { format: format.into() };
        let table = vec![
            column("stage", 1, ColumnKind::Categorical { classes: words(&["i", "ii"]) }),
            column("note", 0, ColumnKind::Text),
            column("copies", 0, ColumnKind::Ordinal { levels: words(&["-1", "0", "2"]) }),
            column("dose", 3, ColumnKind::Real { unit: Some("mg".into()) }),
            column("nodes", 4, ColumnKind::Count),
            column("seen", 5, date("%Y-%m-%d")),
            column("left", 6, date("%d.%m.%Y")),
        ];
        let nan = f32::NAN;
        let values = vec![1.4, 0.2, 0.8, 2.5, 3.4, 0.9, 31.0, nan, 0.6, 0.4, nan, nan, nan, nan];
        let part = Part {
            name: "clinic".into(),
            role: Role::Modality,
            columns: None,
            table: Some(table),
            texts: None,
            values: Array::Floats(vec![2, 7], values),
        };
        let ids = ["p1".to_owned(), "p2".to_owned()];
        let mut found = of("id", Some(&ids), &[&part]).into_iter();
        let text = |texts: [Option<&str>; 2]| {
            ColumnCells::Text(texts.map(|text| text.map(str::to_owned)).to_vec())
        };
        let classes = |places: [Option<usize>; 2], names: &[&str]| ColumnCells::Classes {
            places: places.to_vec(),
            names: words(names),
        };
        for (name, cells) in [
            ("id", text([Some("p1"), Some("p2")])),
            ("stage", classes([Some(1), Some(0)], &["i", "ii"])),
            ("copies", classes([Some(2), None], &["-1", "0", "2"])),
        ] {
            assert_eq!(found.next(), Some((name.to_owned(), cells)));
        }
        let (name, cells) = found.next().expect("a dose");
        let ColumnCells::Floats(dose) = cells else { panic!("{cells:?}") };
        assert_eq!((name.as_str(), dose[0], dose[1].is_nan()), ("dose", 2.5, true));
        for (name, cells) in [
            ("nodes", ColumnCells::Integers(vec![Some(3), None])),
            ("seen", ColumnCells::Days(vec![Some(1.0), None])),
            ("left", text([Some("01.02.1970"), None])),
        ] {
            assert_eq!(found.next(), Some((name.to_owned(), cells)));
        }
        assert_eq!(found.next(), None);
    }

    #[test]
    fn values_of_a_row_are_columns_of_the_type_of_their_array() {
        let part = |values: Array| Part {
            name: "a".into(),
            role: Role::Modality,
            columns: None,
            table: None,
            texts: None,
            values,
        };
        let floats = part(Array::Floats(vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]));
        let bytes = part(Array::Bytes(vec![2, 1], vec![7, 255]));
        let found = of("id", None, &[&floats, &bytes]);
        let expected = [
            ("a_0", ColumnCells::Floats(vec![1.0, 3.0])),
            ("a_1", ColumnCells::Floats(vec![2.0, 4.0])),
            ("a_0", ColumnCells::Integers(vec![Some(7), Some(255)])),
        ];
        assert_eq!(found, expected.map(|(name, cells)| (name.to_owned(), cells)));
    }
}
