//! Lines of JSON: an object for each row.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fmt,
    path::Path,
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use super::{
    ModalityTable, Place, ReadOptions, TextTable, bytes,
    format::{self, Content, Format},
    signature,
    table::{self, Cell, Head, Rows},
};
use crate::error::{DataError, Result};

/// What a value of an object can be.
const VALUE: &str = "a number, text, `true`, `false` or `null`";

/// Objects one a line, whose keys are the columns; what an object does not have is missing.
pub(crate) struct JsonLines;

impl Format for JsonLines {
    fn name(&self) -> &'static str {
        "JSON lines"
    }

    fn called(&self) -> &'static str {
        "`.jsonl`, `.ndjson` (an object a line, also `.gz`)"
    }

    fn content(&self) -> Content {
        Content::Table
    }

    fn is(&self, path: &Path) -> bool {
        format::ends(path, &["jsonl", "ndjson"], true)
    }

    fn text(&self, path: &Path, said: ReadOptions) -> Result<TextTable> {
        table::text(Table::open(path, said)?, said)
    }

    fn block(&self, path: &Path, said: ReadOptions) -> Result<ModalityTable> {
        table::block(Table::open(path, said)?, said)
    }
}

/// The keys and values of an object, in its order.
struct Object<'a>(Vec<(Cow<'a, str>, Value)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    entries.push((key, map.next_value()?));
                }
                Ok(Object(entries))
            }
        }
        source.deserialize_map(Entries)
    }
}

struct Table {
    head: Head,
    text: String,
    /// The column of each key.
    places: HashMap<String, usize>,
}

impl Rows for Table {
    fn head(&self) -> &Head {
        &self.head
    }

    fn into_head(self) -> Head {
        self.head
    }

    fn visit(&self, row: &mut dyn FnMut(u64, &[Cell<'_>]) -> Result<()>) -> Result<()> {
        for (line, text) in lines(&self.text) {
            let Object(entries) = object(&self.head.path, line, text)?;
            let mut cells = vec![Cell::Missing; self.head.names.len()];
            for (key, value) in &entries {
                let column = self.places[&**key];
                cells[column] = match value {
                    Value::Null => Cell::Missing,
                    Value::Bool(flag) => Cell::Flag(*flag),
                    Value::Number(number) => number
                        .as_i64()
                        .map(i128::from)
                        .or_else(|| number.as_u64().map(i128::from))
                        .map_or(Cell::Number(number.as_f64().unwrap_or(f64::NAN)), Cell::Whole),
                    Value::String(text) => Cell::Text(text.trim()),
                    Value::Array(_) => return Err(self.nested(line, column, "an array")),
                    Value::Object(_) => return Err(self.nested(line, column, "an object")),
                };
            }
            row(line, &cells)?;
        }
        Ok(())
    }

    fn place(&self, mark: u64) -> Place {
        Place::Line(mark)
    }
}

impl Table {
    fn open(path: &Path, said: ReadOptions) -> Result<Self> {
        let (bytes, notes) = bytes(path)?;
        if signature::of(&bytes).is_some() {
            return Err(signature::foreign(path, "JSON lines", &bytes[..bytes.len().min(64)]));
        }
        let size = bytes.len() as u64;
        let text = String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
            malformed(path, format!("line {line}: the text is not UTF-8; save it as UTF-8"))
        })?;
        let mut names: Vec<String> = Vec::new();
        let mut places = HashMap::new();
        let mut rows = 0;
        for (line, text) in lines(&text) {
            rows += 1;
            let Object(entries) = object(path, line, text)?;
            let mut seen = HashSet::new();
            for (key, _) in &entries {
                if !seen.insert(&**key) {
                    return Err(malformed(path, format!("line {line}: `{key}` is given twice")));
                }
                if !places.contains_key(&**key) {
                    places.insert(key.to_string(), names.len());
                    names.push(key.to_string());
                }
            }
            table::check_claim(path, "JSON lines", size, 8 * rows * names.len() as u64)?;
        }
        let head = Head { notes, ..Head::new(path, names)? }.with_id(said, None)?;
        Ok(Self { head, text, places })
    }

    fn nested(&self, line: u64, column: usize, found: &str) -> DataError {
        self.head.cell(Place::Line(line), column, VALUE, found)
    }
}

/// The lines that hold something, by their numbers from 1.
fn lines(text: &str) -> impl Iterator<Item = (u64, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().map(|(line, text)| (line as u64 + 1, text.trim()));
    lines.filter(|(_, text)| !text.is_empty())
}

fn object<'a>(path: &Path, line: u64, text: &'a str) -> Result<Object<'a>> {
    serde_json::from_str(text).map_err(|error| {
        let hint = match text {
            _ if text.starts_with('[') => "; write an object a line, without brackets around all",
            _ if text.contains("NaN") || text.contains("Infinity") => {
                "; a value that is missing is `null`, and `NaN` and `Infinity` are no JSON"
            }
            _ => "",
        };
        // Each line is a text of its own.
        let error = error.to_string().replace("line 1 column", "character");
        malformed(path, format!("line {line}: {error}{hint}"))
    })
}

fn malformed(path: &Path, reason: String) -> DataError {
    DataError::Malformed { path: path.into(), format: JsonLines.name(), reason }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::{
        fixture::{Folder, example, text},
        storage::Storage,
    };

    fn block(content: &str) -> Result<ModalityTable, String> {
        let folder = Folder::new([("a.jsonl", text(content))]);
        let path = folder.path("a.jsonl");
        JsonLines.block(&path, ReadOptions::default()).map_err(|error| folder.message(error))
    }

    #[test]
    fn keys_are_columns_and_what_an_object_lacks_is_missing() {
        let content = "\u{feff}{\"id\": \"001\", \"x\": 1.5, \"kind\": \"a\"}\r\n\n\
                       {\"id\": \"2\", \"y\": 3, \"x\": null}\n\
                       {\"y\": true, \"id\": 3, \"kind\": \"b\"}";
        let block = block(content).expect("valid");
        assert_eq!(block.columns, Some(vec!["x".into(), "y".into()]));
        assert_eq!(block.values, Storage::Floats(vec![1.5, 0.0, 0.0, 3.0, 0.0, 1.0]));
        let missing = block.missing.expect("some");
        let flags: Vec<_> = (0..6).map(|at| missing.is_missing(at / 2, at % 2)).collect();
        assert_eq!(flags, [false, true, true, false, true, false]);
        assert_eq!(block.candidates[0].ids, ["001", "2", "3"]);
        let words = &block.words[0];
        assert_eq!(
            (words.name.as_str(), &words.cells[..]),
            ("kind", &["a", "", "b"].map(String::from)[..])
        );
    }

    #[test]
    fn files_of_data_frames_are_read() {
        for (file, columns, values) in [
            ("pandas.jsonl", vec!["x", "n"], vec![1.5, 1.0, 0.0, 2.0, 3.0, 3.0]),
            ("polars.ndjson", vec!["x"], vec![1.5, 0.0]),
        ] {
            let folder = Folder::new([(file, example(file))]);
            let block = JsonLines.block(&folder.path(file), ReadOptions::default());
            let block = block.unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(block.columns, Some(columns.into_iter().map(String::from).collect()));
            assert_eq!(block.values, Storage::Floats(values), "{file}");
            assert_eq!(block.missing.map(|missing| missing.count()), Some(1), "{file}");
        }
    }

    #[test]
    fn large_whole_numbers_keep_their_digits_as_identifiers() {
        let content =
            "{\"id\": 9007199254740993, \"x\": 1}\n{\"id\": 18446744073709551615, \"x\": 2}";
        let block = block(content).expect("valid");
        assert_eq!(block.candidates[0].ids, ["9007199254740993", "18446744073709551615"]);
        let content = "{\"x\": 9007199254740993, \"y\": 0.5}\n{\"x\": 1, \"y\": 0.5}";
        let found = self::block(content).expect("valid").notes[0].to_string();
        assert!(found.contains("column `x`: 1 whole numbers have more than 53 bits"), "{found}");
    }

    #[test]
    fn other_text_is_refused_by_its_line() {
        for (content, expected) in [
            ("", "`a.jsonl` is empty: it has no bytes"),
            ("\n", "`a.jsonl` is empty: it has no rows below its header"),
            (
                "{\"a\": 1}\n{\"a\": [1, 2]}",
                "`a.jsonl`, line 2, column `a`: expected a number, text, `true`, `false` or `null`, \
                 found `an array`",
            ),
            (
                "{\"a\": {}}",
                "`a.jsonl`, line 1, column `a`: expected a number, text, `true`, `false` or `null`, \
                 found `an object`",
            ),
            (
                "{\"a\": 1, \"a\": 2}",
                "`a.jsonl` is not a valid JSON lines file: line 1: `a` is given twice",
            ),
            (
                "{\"a\": 1}\n{\"a\": ",
                "`a.jsonl` is not a valid JSON lines file: line 2: EOF while parsing a value at \
                 character 5",
            ),
            (
                "{\"a\": NaN}",
                "`a.jsonl` is not a valid JSON lines file: line 1: expected value at character 7; a \
                 value that is missing is `null`, and `NaN` and `Infinity` are no JSON",
            ),
            (
                "[{\"a\": 1}]",
                "`a.jsonl` is not a valid JSON lines file: line 1: invalid type: sequence, expected \
                 an object at character 0; write an object a line, without brackets around all",
            ),
            (
                "{\"id\": \"p\", \"x\": 1}\n{\"id\": \"p\", \"x\": 2}",
                "`a.jsonl`: identifier `p` is given twice",
            ),
            (
                "PAR1",
                "`a.jsonl` is not a valid JSON lines file: it is a Parquet file; call it `.parquet`",
            ),
        ] {
            assert_eq!(block(content).map(|_| ()).expect_err("refused"), expected, "{content}");
        }
    }

    #[test]
    fn packed_lines_are_read_and_other_keys_in_each_are_too_many() {
        let mut file = GzEncoder::new(Vec::new(), Compression::fast());
        file.write_all(b"{\"x\": 1}\n{\"x\": 2}").expect("memory takes it");
        let folder = Folder::new([("a.ndjson.gz", file.finish().expect("memory takes it"))]);
        let block = JsonLines.block(&folder.path("a.ndjson.gz"), ReadOptions::default());
        assert_eq!(block.expect("valid").values, Storage::Floats(vec![1.0, 2.0]));
        let content: String = (0..6000).map(|key| format!("{{\"{key}\":1}}\n")).collect();
        let error = self::block(&content).map(|_| ()).expect_err("a table of 36 million cells");
        assert!(error.contains("it claims to hold"), "{error}");
    }
}
