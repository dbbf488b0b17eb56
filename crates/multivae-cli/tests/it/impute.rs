//! What `impute` writes.

use std::fs;

use ndarray::{Array1, Array2};
use ndarray_npy::{NpzReader, ReadNpyExt, WriteNpyExt};

use crate::place::{Place, ROWS, table, with_run};

/// A table whose cells are `table`'s but for those that `hide` names, by row and column.
fn hidden(columns: &[&str], hide: impl Fn(usize, usize) -> Option<&'static str>) -> String {
    let text = table(columns, 0..ROWS);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (row, line) in lines.iter_mut().skip(1).enumerate() {
        let cells = line.split(',').enumerate().map(|(column, cell)| match column {
            0 => cell,
            _ => hide(row, column - 1).unwrap_or(cell),
        });
        *line = cells.collect::<Vec<_>>().join(",");
    }
    lines.join("\n") + "\n"
}

fn read(place: &Place, name: &str) -> String {
    fs::read_to_string(place.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Cells of a CSV without quotes, row by row, the header first.
fn cells(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split(',').collect()).collect()
}

/// Missing cells of `blood` and rows without `gait`, for the model of `run`.
fn incomplete(place: &Place) {
    let blood = hidden(&["iron", "sugar", "salt"], |row, column| match (row % 5, column) {
        (1, 0) => Some("NA"),
        (3, 2) => Some(""),
        _ => None,
    });
    // Spaces, signs and digits that no number would be written with.
    let blood = blood.replacen("p0,", "p0, +0", 1).replace("p2,", "\"p2\",");
    place.file("new/blood.csv", blood);
    place.file("new/gait.csv", table(&["speed", "step"], 10..ROWS + 2).replace('\n', "\r\n"));
}

#[test]
fn what_is_missing_is_imputed_and_all_else_stays_byte_by_byte() {
    let place = with_run();
    incomplete(&place);
    let text = place.succeeds("impute run --data new --out done");
    let (before, after) = (read(&place, "new/blood.csv"), read(&place, "done/blood.csv"));
    let (old, new) = (cells(&before), cells(&after));
    assert_eq!(new.len(), ROWS + 3, "a header, and two rows that only `gait` has");
    let mut filled = 0;
    for (old, new) in old.iter().zip(&new) {
        for (old, new) in old.iter().zip(new) {
            if *old == "NA" || old.is_empty() {
                assert!(new.parse::<f64>().is_ok_and(f64::is_finite), "{new}");
                filled += 1;
            } else {
                assert_eq!(old, new);
            }
        }
    }
    assert_eq!(filled, 16);
    assert_eq!((new[ROWS + 1][0], new[ROWS + 2][0]), ("p40", "p41"));
    assert!(new[ROWS + 1][1..].iter().all(|cell| cell.parse::<f64>().is_ok()));
    let (before, after) = (read(&place, "new/gait.csv"), read(&place, "done/gait.csv"));
    let added = after.strip_prefix(&before).expect("its own rows are complete");
    assert!(added.starts_with("p0,") && added.ends_with("\r\n"), "{added}");
    assert_eq!(added.lines().count(), 10);
    let line = |name: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with(name)).expect("a line of the table");
        line.split_whitespace().skip(1).map(str::to_owned).collect()
    };
    assert_eq!(line("blood"), ["42", "16", "16", "2", "0"], "{text}");
    assert_eq!(line("gait"), ["42", "0", "0", "10", "0"], "{text}");
    assert!(text.contains("gait: rows added that `gait.csv` does not have: 10"), "{text}");
    assert!(place.left_over().is_empty());
    // What was written is whole: imputing it again changes nothing.
    place.succeeds("impute run --data done --out again");
    for name in ["blood.csv", "gait.csv"] {
        assert_eq!(read(&place, &format!("done/{name}")), read(&place, &format!("again/{name}")));
    }
}

#[test]
fn imputing_complete_data_gives_the_same_files() {
    let place = with_run();
    // Columns in another order, semicolons, decimal commas, a mark, quotes and odd line ends.
    let blood = table(&["salt", "iron", "sugar"], 0..ROWS).replace(',', ";").replace('.', ",");
    place.file("new/blood.csv", format!("\u{feff}{blood}").replace('\n', "\r\n"));
    place.file("new/gait.csv", table(&["speed", "step"], 0..ROWS).replace("p1,", "\"p1\","));
    let text = place.succeeds("impute run --data new --out done");
    for name in ["blood.csv", "gait.csv"] {
        assert_eq!(read(&place, &format!("new/{name}")), read(&place, &format!("done/{name}")));
    }
    assert!(!text.contains("added") && !text.contains("rounded"), "{text}");
    // The run's own data, if nothing is named.
    place.succeeds("impute run --out own");
    assert_eq!(read(&place, "own/blood.csv"), read(&place, "data/blood.csv"));
}

#[test]
fn draws_have_a_deviation_and_an_interval_and_do_not_depend_on_the_batch_size() {
    let place = with_run();
    incomplete(&place);
    place.succeeds("impute run --data new --samples 60 --seed 3 --out done");
    place.succeeds("impute run --data new --samples 60 --seed 3 --batch-size 7 --out again");
    let text = |name: &str| read(&place, name);
    let [mean, std, low, high, mask] = ["", ".std", ".low", ".high", ".imputed"]
        .map(|kind| text(&format!("done/blood{kind}.csv")));
    let [mean, std, low, high, mask] = [&mean, &std, &low, &high, &mask].map(|text| cells(text));
    let number = |cell: &str| cell.parse::<f64>().expect("a number");
    let mut seen = 0;
    for row in 1..mean.len() {
        assert_eq!(mask[row][0].trim_matches('"'), mean[row][0].trim_matches('"'));
        for column in 1..mean[row].len() {
            if mask[row][column] == "1" {
                let [mean, std, low, high] =
                    [&mean, &std, &low, &high].map(|table| number(table[row][column]));
                assert!(low < mean && mean < high && std > 0.0, "{low} {mean} {high} {std}");
                seen += 1;
            } else {
                assert_eq!((mask[row][column], std[row][column], low[row][column]), ("0", "", ""));
            }
        }
    }
    assert_eq!(seen, 16 + 2 * 3);
    let again = text("again/blood.csv");
    for (a, b) in mean.iter().zip(cells(&again)).skip(1) {
        for (a, b) in a.iter().zip(b).skip(1) {
            assert!((number(a.trim()) - number(b.trim())).abs() < 1e-4, "{a} {b}");
        }
    }
    place.fails("impute run --data new --samples 1 --out one", 2, &["at least 2"]);
    // As data the folder holds what was imputed and nothing else.
    let found = place.succeeds("data done --json");
    let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    let modalities = found["modalities"].as_array().expect("a list");
    let names: Vec<_> = modalities.iter().map(|one| &one["spec"]["name"]).collect();
    assert_eq!(names, ["blood", "gait"]);
    assert!(found["modalities"][0]["columns"].as_array().expect("a table").len() == 3);
    place.succeeds("encode run --data done --out z.npz");
}

#[test]
fn a_folder_that_exists_is_never_written_into() {
    let place = with_run();
    fs::create_dir(place.path("empty")).expect("a folder");
    place.fails("impute run --out empty", 2, &["--out empty", "found one that exists"]);
    place.fails("impute run --data nowhere --out done", 2, &["nowhere"]);
}

#[test]
fn rows_that_observe_nothing_are_said_and_left() {
    let place = with_run();
    let rows = |row: usize| (row == 4).then_some("");
    place.file("new/blood.csv", hidden(&["iron", "sugar", "salt"], |row, _| rows(row)));
    place.file("new/gait.csv", hidden(&["speed", "step"], |row, _| rows(row)));
    let text = place.succeeds("impute run --data new --out done");
    assert!(
        text.contains("rows that observe nothing and are not imputed: 1, first `p4`"),
        "{text}"
    );
    assert_eq!(read(&place, "new/blood.csv"), read(&place, "done/blood.csv"));
    place.fails("encode run --data new --out z.npz", 2, &["row `p4` observes no modality"]);
}

#[test]
fn columns_that_new_data_lacks_are_refused_or_on_request_imputed() {
    let place = with_run();
    place.file("new/blood.csv", table(&["iron", "salt"], 0..ROWS));
    place.file("new/gait.csv", table(&["speed", "step"], 0..ROWS));
    let refused = ["blood.csv", "it lacks the columns `sugar`"];
    place.fails("impute run --data new --out done", 2, &refused);
    place.fails("encode run --data new --out z.npz", 2, &refused);
    place.succeeds("encode run --data new --missing-columns mask --out z.npz");
    place.succeeds("generate run --given gait --data new --missing-columns mask --out x.npz");
    place.succeeds("evaluate run --data new --missing-columns mask");
    place.succeeds("impute run --data new --missing-columns mask --out done");
    let after = read(&place, "done/blood.csv");
    let new = cells(&after);
    assert_eq!(new[0], ["id", "iron", "salt", "sugar"]);
    assert!(new[1..].iter().all(|row| row.len() == 4 && row[3].parse::<f64>().is_ok()), "{after}");
    // A modality without a file becomes one.
    place.file("less/gait.csv", table(&["speed", "step"], 0..ROWS));
    let text = place.succeeds("impute run --data less --out more");
    assert!(text.contains("blood: the data has no file of it, all is imputed"), "{text}");
    let after = read(&place, "more/blood.csv");
    assert_eq!(cells(&after)[0], ["id", "iron", "sugar", "salt"]);
    assert_eq!(after.lines().count(), ROWS + 1);
}

#[test]
fn values_far_from_zero_keep_their_differences() {
    let place = Place::new();
    let seconds = |row: usize| 1_700_000_000.0 + 20.0 * (row as f64 * 0.7).sin();
    let position = |row: usize| 155_000_000 + (row * 5) % 7;
    let rows: Vec<String> = (0..ROWS)
        .map(|row| match row {
            3 => format!("p{row},,{}", position(row)),
            4 => format!("p{row},{:.3},", seconds(row)),
            _ => format!("p{row},{:.3},{}", seconds(row), position(row)),
        })
        .collect();
    place.file("far/when.csv", format!("id,seconds,position\n{}\n", rows.join("\n")));
    place.file("far/other.csv", table(&["p", "q"], 0..ROWS));
    place.succeeds("train --data far --epochs 1 --set model.latent=2 --out run");
    place.succeeds("generate run --given when,other --data far -n 1000 --out when.npz");
    let file = fs::File::open(place.path("when.npz")).expect("it was written");
    let mut arrays = NpzReader::new(file).expect("an NPZ");
    let original: Array2<f64> = arrays.by_name("original_when").expect("doubles");
    for (row, values) in original.outer_iter().enumerate() {
        for (column, expected) in [seconds(row), position(row) as f64].into_iter().enumerate() {
            let missing = (row, column) == (3, 0) || (row, column) == (4, 1);
            assert_eq!(values[column].is_nan(), missing, "{row} {column}");
            assert!(missing || (values[column] - expected).abs() < 1e-3, "{row} {column}");
        }
    }
    let generated: Array2<f64> = arrays.by_name("when").expect("doubles");
    assert!(generated.column(0).iter().all(|value| (value - 1.7e9).abs() < 100.0));
    let other: Array2<f32> = arrays.by_name("other").expect("singles");
    assert_eq!(other.dim(), (ROWS, 2));
    let text = place.succeeds("impute run --out done");
    let expected = "when: columns of whole numbers whose imputed values are rounded: 1";
    assert!(text.contains(expected), "{text}");
    let after = read(&place, "done/when.csv");
    let new = cells(&after);
    let value = new[4][1].parse::<f64>().expect("a number");
    assert!((value - 1.7e9).abs() < 100.0 && value.fract() != 0.0, "{value}");
    let value = new[5][2].parse::<i64>().expect("a whole number");
    assert!((154_999_990..155_000_020).contains(&value), "{value}");
}

#[test]
fn arrays_become_arrays_of_their_type_with_identifiers_beside() {
    let place = Place::new();
    let write = |name: &str, values: &Array2<f64>| {
        let mut bytes = Vec::new();
        values.write_npy(&mut bytes).expect("memory");
        place.file(name, bytes);
    };
    let mut a = Array2::from_shape_fn((ROWS, 3), |(row, f)| (row as f64 + f as f64).sin() / 3.0);
    let b = Array2::from_shape_fn((ROWS, 2), |(row, f)| (row as f64 * 0.3 + f as f64).cos() / 3.0);
    write("arrays/a.npy", &a);
    write("arrays/b.npy", &b);
    place.succeeds("train --data arrays --epochs 1 --set model.latent=2 --out run");
    a[[2, 1]] = f64::NAN;
    a.row_mut(5).fill(f64::NAN);
    write("new/a.npy", &a);
    write("new/b.npy", &b);
    place.succeeds("impute run --data new --samples 9 --out done");
    let open = |name: &str| fs::File::open(place.path(name)).expect("it was written");
    let done = Array2::<f64>::read_npy(open("done/a.npy")).expect("doubles, as they were");
    for (place, value) in a.indexed_iter() {
        let new = done[place];
        assert!(new.is_finite() && (value.is_nan() || new == *value), "{place:?}: {value} {new}");
    }
    let mask = Array2::<bool>::read_npy(open("done/a.imputed.npy")).expect("flags");
    assert_eq!(mask.iter().filter(|imputed| **imputed).count(), 4);
    assert!(mask[[2, 1]] && mask[[5, 0]]);
    let bytes = |name: &str| fs::read(place.path(name)).expect("a file");
    assert_eq!(bytes("new/b.npy"), bytes("done/b.npy"));
    assert!(!place.path("done/ids.csv").exists(), "there are none");
    // With identifiers they lie beside.
    let mut npz =
        ndarray_npy::NpzWriter::new(fs::File::create(place.path("new.npz")).expect("new"));
    npz.add_array("a", &a).expect("written");
    npz.add_array("b", &b).expect("written");
    npz.add_array("ids", &Array1::from_iter((0..ROWS as i64).map(|id| id + 100))).expect("written");
    npz.finish().expect("written");
    place.succeeds("impute run --data new.npz --out from");
    let ids = read(&place, "from/ids.csv");
    assert!(ids.starts_with("ids\n100\n101\n"), "{ids}");
    assert_eq!(ids.lines().count(), ROWS + 1);
    // What was written is read, with its identifiers.
    place.succeeds("impute run --data from --out again");
    assert_eq!(read(&place, "again/ids.csv"), ids);
    assert_eq!(bytes("again/a.npy"), bytes("from/a.npy"));
}

#[test]
fn images_keep_their_values_and_their_type() {
    let place = Place::new();
    let images = ndarray::Array4::from_shape_fn((ROWS, 1, 3, 3), |(row, _, y, x)| {
        (row * 1601 + y * 709 + x * 97) as u16 % 60_000
    });
    let scans = |name: &str| {
        let file = fs::File::open(place.path(name)).expect("it was written");
        ndarray::Array4::<u16>::read_npy(file).expect("the type of the images")
    };
    let mut bytes = Vec::new();
    images.slice(ndarray::s![..30, .., .., ..]).write_npy(&mut bytes).expect("memory");
    let ids: String = (0..30).map(|row| format!("p{row}\n")).collect();
    place.file("both/scan.npy", bytes).file("both/ids.csv", format!("id\n{ids}"));
    place.file("both/t.csv", table(&["x", "y"], 0..ROWS));
    place.succeeds("train --data both --epochs 1 --set model.latent=2 --out run");
    place.succeeds("impute run --out done");
    let done = scans("done/scan.npy");
    assert_eq!(done.dim(), (ROWS, 1, 3, 3));
    assert_eq!(
        done.slice(ndarray::s![..30, .., .., ..]),
        images.slice(ndarray::s![..30, .., .., ..])
    );
    assert!(done.iter().skip(270).any(|value| *value != 0));
    // What was written is read, with its identifiers.
    place.succeeds("impute run --data done --out again");
    assert_eq!(scans("again/scan.npy"), done);
}

#[test]
fn conditions_of_a_conditional_model_are_not_imputed_and_that_is_said() {
    let place = Place::new();
    place.succeeds("train --model cvae --data data --epochs 1 --set model.latent=2 --out run");
    place.file("new/blood.csv", table(&["iron", "sugar", "salt"], 3..ROWS));
    place.file("new/gait.csv", table(&["speed", "step"], 0..ROWS - 4));
    let text = place.succeeds("impute run --data new --out done");
    assert!(text.contains("the model takes `blood` as given"), "{text}");
    let blood = read(&place, "done/blood.csv");
    assert!(blood.contains("\np0,,,\n"), "{blood}");
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).expect("a line");
    let counts = |name: &str| -> Vec<&str> { line(name).split_whitespace().skip(4).collect() };
    assert_eq!((counts("blood"), counts("gait")), (vec!["0", "3"], vec!["4", "0"]), "{text}");
}

#[test]
fn classes_are_imputed_as_probabilities() {
    let place = Place::new();
    let rows = (0..ROWS).map(|row| {
        let class = (row % 3, (row + 1) % 3, (row + 2) % 3);
        let hot = |class: usize| u8::from(class == 0);
        format!("p{row},{},{},{}\n", hot(class.0), hot(class.1), hot(class.2))
    });
    let rows: Vec<String> = rows.collect();
    place.file("mixed/kind.csv", format!("id,a,b,c\n{}", rows[..30].concat()));
    place.file("mixed/gait.csv", table(&["speed", "step"], 0..ROWS));
    let manifest = "[[modality]]\nname = 'kind'\nfile = 'kind.csv'\nlikelihood = { kind = \
                    'categorical' }\n[[modality]]\nname = 'gait'\nfile = 'gait.csv'\n";
    place.file("mixed/manifest.toml", manifest);
    place.succeeds("train --data mixed --epochs 1 --set model.latent=2 --out run");
    place.succeeds("impute run --samples 5 --out done");
    let after = read(&place, "done/kind.csv");
    for row in &cells(&after)[31..] {
        let values: Vec<f64> =
            row[1..].iter().map(|cell| cell.parse().expect("a number")).collect();
        assert!((values.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{row:?}");
        assert!(values.iter().all(|value| *value > 0.0 && *value < 1.0), "{row:?}");
    }
}

#[test]
fn a_mixed_table_is_imputed_in_its_own_words_units_and_dates() {
    let place = Place::new();
    let clinic = |hide: bool| {
        let line = |row: usize| {
            let missing = |column: usize| hide && (row + column).is_multiple_of(6);
            let cells = [
                ["ja", "nein"][row % 2].to_owned(),
                ["ii", "iii", "iv"][row % 3].to_owned(),
                format!("{} mg", 5 + row % 8),
                format!("2020-03-{:02}", 1 + row % 28),
                (row * row % 60).to_string(),
                format!("said {row}"),
            ];
            let cells = cells.into_iter().enumerate();
            let cells: Vec<_> = cells
                .map(|(c, cell)| if missing(c) && c < 5 { "--".into() } else { cell })
                .collect();
            format!("p{row};{}\n", cells.join(";"))
        };
        let rows: String = (0..ROWS).map(line).collect();
        format!("id;smokes;stage;dose;seen;nodes;remark\n{rows}")
    };
    place.file("data/blood.csv", clinic(false));
    place.succeeds("train --config small.toml --out run");
    place.file("new/blood.csv", clinic(true));
    place.file("new/gait.csv", table(&["speed", "step"], 0..ROWS + 1));
    let text = place.succeeds("impute run --data new --out done --samples 8");
    let (before, after) = (read(&place, "new/blood.csv"), read(&place, "done/blood.csv"));
    let rows = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|line| line.split(';').map(str::to_owned).collect()).collect()
    };
    let mut filled = 0;
    for (old, new) in rows(&before).iter().zip(&rows(&after)) {
        for (column, (old, new)) in old.iter().zip(new).enumerate() {
            if old != "--" {
                assert_eq!(old, new);
                continue;
            }
            filled += 1;
            let right = match column {
                1 => ["ja", "nein"].contains(&new.as_str()),
                2 => ["ii", "iii", "iv"].contains(&new.as_str()),
                3 => new.strip_suffix(" mg").is_some_and(|dose| dose.parse::<f64>().is_ok()),
                4 => new.len() == 10 && new.starts_with("20") && new.matches('-').count() == 2,
                5 => new.parse::<u64>().is_ok(),
                _ => false,
            };
            assert!(right, "column {column}: `{new}`");
        }
    }
    let hidden = |row: usize| (0..5).filter(|column| (row + column).is_multiple_of(6)).count();
    assert_eq!(filled, (0..ROWS).map(hidden).sum::<usize>());
    // A patient whom only the gait knows: all but the remark, which no model knows.
    let added = rows(&after).pop().expect("a row");
    assert!(added[0] == format!("p{ROWS}") && added[6].is_empty(), "{added:?}");
    assert!(added[1..6].iter().all(|cell| !cell.is_empty()), "{added:?}");
    let line = text.lines().find(|line| line.starts_with("blood")).expect("a line of the table");
    let counts: Vec<_> = line.split_whitespace().skip(1).collect();
    assert_eq!(counts, ["41", &filled.to_string(), "33", "1", "0"], "{text}");
    let chances = read(&place, "done/blood.probabilities.csv");
    let sum: f64 = cells(&chances)
        .iter()
        .filter(|cells| cells[0] == format!("p{ROWS}") && cells[1] == "stage")
        .map(|cells| cells[3].parse::<f64>().expect("a number"))
        .sum();
    assert!((sum - 1.0).abs() < 1e-3, "{sum}");
}
