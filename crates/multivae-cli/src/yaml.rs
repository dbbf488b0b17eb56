//! YAML of other programs, as values.

use std::{fs, path::Path};

use anyhow::Result;
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};

use crate::failure::bad_input;

/// The largest file: settings are some kilobytes.
const LARGEST: u64 = 1 << 20;
/// How deep lists and mappings may be.
const DEEPEST: usize = 64;

/// Reads a file that holds one mapping; an empty one is an empty mapping.
pub(crate) fn read(path: &Path) -> Result<Value> {
    let wrong = |error: String| bad_input(format!("`{}` cannot be read: {error}", path.display()));
    let size = fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > LARGEST {
        return Err(wrong(format!("{size} bytes are more than the {LARGEST} that are read")));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    match parse(&text).map_err(wrong)? {
        Value::Null => Ok(Value::Object(Map::new())),
        value @ Value::Object(_) => Ok(value),
        _ => Err(wrong("expected a mapping".into())),
    }
}

/// The value that a text holds.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    check(text)?;
    let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
    match documents.as_slice() {
        [] => Ok(Value::Null),
        [one] => value(one),
        several => Err(format!("expected one document, found {}", several.len())),
    }
}

/// Refuses what would take more memory than the text.
fn check(text: &str) -> Result<(), String> {
    let mut depth = 0usize;
    for event in Parser::new_from_str(text) {
        let (event, at) = event.map_err(|error| error.to_string())?;
        match event {
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
            Event::Alias(_) => {
                let line = at.start.line();
                return Err(format!("line {line}: an alias: expected the values themselves"));
            }
            _ => {}
        }
        if depth > DEEPEST {
            return Err(format!("lists and mappings are more than {DEEPEST} deep"));
        }
    }
    Ok(())
}

fn value(node: &Yaml<'_>) -> Result<Value, String> {
    Ok(match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(flag)) => Value::Bool(*flag),
        Yaml::Value(Scalar::Integer(number)) => Value::from(*number),
        Yaml::Value(Scalar::FloatingPoint(number)) => match number.into_inner() {
            number if number.is_finite() => Value::from(number),
            number => return Err(format!("{number} is not finite")),
        },
        Yaml::Value(Scalar::String(text)) => Value::from(text.to_string()),
        Yaml::Sequence(list) => Value::Array(list.iter().map(value).collect::<Result<_, _>>()?),
        Yaml::Mapping(entries) => {
            let entry = |(key, inner): (&Yaml<'_>, &Yaml<'_>)| match value(key)? {
                Value::String(key) => Ok((key, value(inner)?)),
                other => Err(format!("expected a name as a key, found {other}")),
            };
            Value::Object(entries.iter().map(entry).collect::<Result<_, String>>()?)
        }
        Yaml::Tagged(tag, _) => return Err(format!("the tag `{tag}` is not known")),
        Yaml::Representation(text, ..) => Value::from(text.to_string()),
        Yaml::Alias(_) | Yaml::BadValue => return Err("a value whose tag is not known".into()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_are_what_the_core_schema_says() {
        let text = "a: 0.\nb: 1e-3\nc: True\nd: null\ne: [1, 2.5]\nf: '0'\ng:\n  h: ${x}\n";
        let expected = json!({
            "a": 0.0, "b": 0.001, "c": true, "d": null, "e": [1, 2.5], "f": "0", "g": { "h": "${x}" },
        });
        assert_eq!(parse(text), Ok(expected));
        assert_eq!(parse("# nothing\n"), Ok(Value::Null));
    }

    #[test]
    fn what_is_no_plain_data_is_refused() {
        let refused = |text: &str, part: &str| {
            let error = parse(text).expect_err(text);
            assert!(error.contains(part), "{error}");
        };
        refused("a: [1\n", "line 2");
        refused("a: 1\na: 2\n", "duplicated key");
        refused("a: &x {b: 1}\nc: *x\n", "line 2: an alias");
        refused(&"[".repeat(100), "64 deep");
        refused("a: .inf\n", "not finite");
        refused("1: 2\n", "a name as a key");
        refused("a: 1\n---\nb: 2\n", "found 2");
        refused("a: !!python/object:os.system x\n", "tag");
    }
}
