//! Tables of columns with types, read and written.

use std::fs;

use multivae::{
    core::dataset::Dataset,
    data::{ColumnCells, DataConfig, MemoryDataset, write_parquet},
};

use crate::place::{Place, ROWS, table, with_run};

/// The data of a folder.
fn data(place: &Place, folder: &str) -> MemoryDataset {
    let source = place.path(folder).display().to_string();
    DataConfig::new(source).read().unwrap_or_else(|error| panic!("{folder}: {error}")).data
}

fn ids(data: &MemoryDataset) -> Vec<String> {
    (0..data.len()).map(|row| data.id(row)).collect()
}

/// The cells of `table` as a Parquet file, without those that `hide` names.
fn parquet(columns: &[&str], hide: impl Fn(usize, usize) -> bool) -> Vec<u8> {
    let text = table(columns, 0..ROWS);
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let ids = rows.iter().map(|row| Some(row[0].to_owned())).collect();
    let mut cells = vec![("id".to_owned(), ColumnCells::Text(ids))];
    for (place, column) in columns.iter().enumerate() {
        let value = |(row, cells): (usize, &Vec<&str>)| match hide(row, place) {
            true => f64::NAN,
            false => cells[1 + place].parse().expect("a number"),
        };
        let values = rows.iter().enumerate().map(value).collect();
        cells.push(((*column).to_owned(), ColumnCells::Doubles(values)));
    }
    let mut bytes = Vec::new();
    write_parquet("a.parquet".as_ref(), &mut bytes, &cells).expect("memory takes it");
    bytes
}

#[test]
fn latents_and_generated_rows_are_parquet_by_the_end_of_the_name() {
    let place = with_run();
    place.file("z/readme.txt", "latents").file("csv/readme.txt", "latents");
    place.file("made/readme.txt", "rows");
    place.succeeds("encode run --data data --out z/z.parquet");
    place.succeeds("encode run --data data --out csv/z.csv");
    let (found, expected) = (data(&place, "z"), data(&place, "csv"));
    assert_eq!((ids(&found), found.values(0)), (ids(&expected), expected.values(0)));
    let columns = |data: &MemoryDataset| data.schema().expect("read").modalities[0].columns.clone();
    assert_eq!(columns(&found), Some(vec!["z_0".into(), "z_1".into()]));
    place.succeeds("generate run --given gait --target blood -n 5 --out made/blood.parquet");
    let made = data(&place, "made");
    assert_eq!((made.len(), made.values(0).len()), (5, 15));
    assert_eq!(columns(&made), Some(["iron", "sugar", "salt"].map(String::from).to_vec()));
    let two = "generate run --prior --out both.parquet";
    place.fails(two, 2, &["both.parquet", "`blood`, `gait` are several tables"]);
    place.fails("encode run -n 3 --out z.parquet", 2, &["samples of rows are no table"]);
    assert!(place.left_over().is_empty());
}

#[test]
fn a_parquet_file_is_trained_on_and_its_missing_values_are_imputed_in_one() {
    let place = Place::new();
    fs::remove_file(place.path("data/blood.csv")).expect("it is there");
    let columns = ["iron", "sugar", "salt"];
    let hidden = |row: usize, column: usize| row % 5 == 1 && column == 0;
    place.file("data/blood.parquet", parquet(&columns, hidden));
    place.succeeds("train --config small.toml --out run");
    let text = place.succeeds("impute run --out done");
    assert!(text.contains("blood"), "{text}");
    let (before, after) = (data(&place, "data"), data(&place, "done"));
    assert_eq!(ids(&before), ids(&after));
    for row in 0..ROWS {
        assert!(after.cells(row, 0).is_none(), "row {row} is whole");
        for column in 0..3 {
            let of = |data: &MemoryDataset| data.values(0)[3 * row + column];
            if hidden(row, column) {
                assert!(of(&after).is_finite() && of(&after) != 0.0);
            } else {
                assert_eq!(of(&after), of(&before));
            }
        }
    }
    assert!(place.path("done/blood.parquet").is_file() && place.path("done/gait.csv").is_file());
}
