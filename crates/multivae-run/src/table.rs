//! Configurations as tables: read from files, changed key by key, laid over each other.
//!
//! ```
//! use multivae_run::table;
//! use toml::Table;
//!
//! let mut base: Table = toml::from_str("[train]\nepochs = 30\nseed = 1")?;
//! let mut over = Table::new();
//! table::set(&mut over, "train.epochs=5")?;
//! // What is no TOML value is text.
//! table::set(&mut over, "train.optimizer.name=sgd")?;
//! table::merge(&mut base, over);
//! assert_eq!(base["train"]["epochs"].as_integer(), Some(5));
//! assert_eq!(base["train"]["optimizer"]["name"].as_str(), Some("sgd"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use toml::{Table, Value};

use crate::{
    config::VERSION,
    error::{Result, RunError},
};

/// Keys that tell which variant of a setting a table is.
const TAGS: [&str; 2] = ["name", "kind"];

/// What messages call a file.
pub(crate) fn origin(path: &Path) -> String {
    format!("configuration `{}`", path.display())
}

/// Reads a file, JSON if its name ends with `.json` and else TOML, of a version that is known.
///
/// # Errors
///
/// [`RunError::Config`].
pub fn read(path: &Path) -> Result<Table> {
    let wrong = |reason: String| RunError::config(origin(path), reason);
    let text = std::fs::read_to_string(path).map_err(|error| {
        let what = format!("{} cannot be read", origin(path));
        RunError::config(what, error)
    })?;
    let table: Table = if path.extension().is_some_and(|extension| extension == "json") {
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?
    } else {
        toml::from_str(&text).map_err(|error| wrong(error.to_string()))?
    };
    match table.get("version") {
        None | Some(Value::Integer(1..=VERSION)) => Ok(table),
        Some(version) => Err(wrong(format!(
            "`version`: expected {VERSION} or lower, found {version}; a newer program has written it"
        ))),
    }
}

/// Puts a setting such as `train.epochs=5` into a table. A value that is no TOML is text.
///
/// # Errors
///
/// [`RunError::Setting`].
pub fn set(table: &mut Table, setting: &str) -> Result<()> {
    let Some((key, value)) = setting.split_once('=') else {
        return Err(RunError::setting(setting, "expected KEY=VALUE"));
    };
    let parsed = toml::from_str::<Table>(&format!("value = {value}")).ok();
    let value = parsed
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    insert(table, key.trim(), value)
}

/// Puts a value under a key such as `train.optimizer.name`.
///
/// # Errors
///
/// [`RunError::Setting`] for a key without names, or below a value that is no table.
pub fn insert(table: &mut Table, key: &str, value: Value) -> Result<()> {
    let mut place = table;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if part.is_empty() {
            return Err(RunError::setting(key, "is no key: expected names joined by dots"));
        }
        if parts.peek().is_none() {
            place.insert(part.to_owned(), value);
            return Ok(());
        }
        let next = place.entry(part).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = next else {
            return Err(RunError::setting(key, format!("`{part}` is set to a value before")));
        };
        place = next;
    }
    Ok(())
}

/// Lays `over` over `base`, table by table. Where a table changes its variant, as an optimiser
/// does with its `name`, the settings of the old variant are dropped.
pub fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => {
                let differs = |tag: &str| match (base.get(tag), over.get(tag)) {
                    (Some(old), Some(new)) => old != new,
                    _ => false,
                };
                if TAGS.into_iter().any(differs) {
                    *base = over;
                } else {
                    merge(base, over);
                }
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_without_a_value_or_with_an_empty_name_is_refused() {
        for (setting, part) in [("epochs", "KEY=VALUE"), ("a..b=1", "names joined by dots")] {
            let error = set(&mut Table::new(), setting).expect_err("no setting").to_string();
            assert!(error.contains(part), "{error}");
        }
        let mut table: Table = toml::from_str("a = 1").expect("TOML");
        let error = set(&mut table, "a.b=1").expect_err("below a number").to_string();
        assert!(error.contains("`a` is set to a value before"), "{error}");
    }

    #[test]
    fn another_variant_drops_the_settings_of_the_old_one() {
        let table = |text: &str| toml::from_str::<Table>(text).expect("TOML");
        let mut base = table("[optimizer]\nname = \"adam\"\nbeta_1 = 0.5");
        merge(&mut base, table("[optimizer]\nname = \"adam\"\nbeta_2 = 0.6"));
        assert_eq!(base["optimizer"].as_table().map(Table::len), Some(3));
        merge(&mut base, table("[optimizer]\nname = \"sgd\""));
        assert_eq!(base, table("[optimizer]\nname = \"sgd\""));
    }
}
