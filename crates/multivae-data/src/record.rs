//! What a run keeps of its data, so that it is the same data, read and split the same way, later.

use std::{collections::HashMap, fs, io::Write, path::Path};

use multivae_core::{
    dataset::Dataset,
    schema::{Fingerprint, Schema},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    error::{DataError, Result, list},
    fingerprint,
    memory::MemoryDataset,
    split::SplitIndices,
};

/// By what rows are known again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKey {
    /// By their identifiers.
    #[default]
    Identifier,
    /// By what they hold.
    Content,
}

/// Which rows are in which split, by identifier or content and not by place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitAssignment {
    /// By what rows are known.
    pub by: RowKey,
    /// Rows to learn from.
    pub train: Vec<String>,
    /// Rows to choose the best epoch by.
    pub valid: Vec<String>,
    /// Rows that nothing is chosen by.
    pub test: Vec<String>,
}

impl SplitAssignment {
    /// The assignment of a data set's rows, before anything is taken from them.
    pub fn of(data: &MemoryDataset, parts: &SplitIndices) -> Self {
        let by = if data.has_ids() { RowKey::Identifier } else { RowKey::Content };
        let keys = keys(data, by);
        let of = |rows: &[usize]| rows.iter().map(|&row| keys[row].clone()).collect();
        Self { by, train: of(&parts.train), valid: of(&parts.valid), test: of(&parts.test) }
    }

    /// The rows of each split in a data set, wherever they are in it; and the rows that were in no
    /// split.
    ///
    /// # Errors
    ///
    /// [`DataError::Changed`] if a row of a split is not there any more.
    pub fn parts(&self, data: &MemoryDataset, source: &str) -> Result<(SplitIndices, Vec<usize>)> {
        let keys = keys(data, self.by);
        let places: HashMap<&String, usize> =
            keys.iter().enumerate().map(|(place, key)| (key, place)).collect();
        let mut used = vec![false; data.len()];
        let mut gone = Vec::new();
        let mut rows = |names: &[String]| {
            let mut rows: Vec<usize> = Vec::with_capacity(names.len());
            for name in names {
                match places.get(name) {
                    Some(&row) => {
                        used[row] = true;
                        rows.push(row);
                    }
                    None => gone.push(name.clone()),
                }
            }
            rows
        };
        let parts = SplitIndices {
            train: rows(&self.train),
            valid: rows(&self.valid),
            test: rows(&self.test),
        };
        if !gone.is_empty() {
            let shown = list(gone.iter().take(3));
            return Err(DataError::Changed {
                name: source.into(),
                changes: match self.by {
                    RowKey::Identifier => format!("{} rows are gone, {shown}", gone.len()),
                    RowKey::Content => format!("{} rows are gone or hold other values", gone.len()),
                },
                remedy: REMEDY.into(),
            });
        }
        let others = (0..data.len()).filter(|&row| !used[row]).collect();
        Ok((parts, others))
    }
}

fn keys(data: &MemoryDataset, by: RowKey) -> Vec<String> {
    match by {
        RowKey::Identifier => (0..data.len()).map(|row| data.id(row)).collect(),
        RowKey::Content => fingerprint::row_codes(data),
    }
}

/// What to do about data that is not what it was.
pub(crate) const REMEDY: &str =
    "restore it, or use the data as it is now as new data, or train a new run";

/// What a run keeps of its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecord {
    /// Version of the format.
    pub version: u32,
    /// Columns, types, scales and classes.
    pub schema: Schema,
    /// Codes of the contents, before anything was taken or standardised.
    pub fingerprint: Fingerprint,
    /// Which rows are in which split.
    pub split: SplitAssignment,
}

impl DataRecord {
    /// The version that this crate writes and reads.
    pub const VERSION: u32 = 1;

    /// Refuses data that is not what was recorded.
    ///
    /// # Errors
    ///
    /// [`DataError::Changed`] with all that changed.
    pub fn check(&self, now: &Fingerprint, source: &str) -> Result<()> {
        let changes = self.fingerprint.changes(now);
        if changes.is_empty() {
            return Ok(());
        }
        Err(DataError::Changed {
            name: source.into(),
            changes: changes.join(", "),
            remedy: REMEDY.into(),
        })
    }

    /// Writes it as JSON, beside `path` and then renamed.
    ///
    /// # Errors
    ///
    /// [`DataError::Write`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_vec_pretty(self).expect("numbers and names have a JSON form");
        write_whole(path, &json)
    }

    /// Reads what [`DataRecord::save`] wrote.
    ///
    /// # Errors
    ///
    /// [`DataError::Read`], [`DataError::Malformed`]; [`DataError::Core`] for a schema that does
    /// not hold together.
    pub fn load(path: &Path) -> Result<Self> {
        let found: Self = read_json(path, "data record")?;
        if found.version != Self::VERSION {
            return Err(DataError::Malformed {
                path: path.into(),
                format: "data record",
                reason: format!("expected version {}, found {}", Self::VERSION, found.version),
            });
        }
        found.schema.check()?;
        Ok(found)
    }
}

/// Reads a value from a JSON file; a version that differs is the caller's to refuse.
fn read_json<T: DeserializeOwned>(path: &Path, format: &'static str) -> Result<T> {
    let json = fs::read(path).map_err(|cause| DataError::Read { path: path.into(), cause })?;
    serde_json::from_slice(&json).map_err(|error| DataError::Malformed {
        path: path.into(),
        format,
        reason: error.to_string(),
    })
}

/// Writes a file that is whole or not there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    multivae_files::write_whole(path, |file| file.write_all(bytes))
        .map_err(|cause| DataError::Write { path: path.into(), cause })
}

#[cfg(test)]
mod tests {
    use multivae_core::modality::ModalitySpec;

    use super::*;

    fn data(values: Vec<f32>) -> MemoryDataset {
        let spec = ModalitySpec::new("a", &[1]).expect("valid");
        MemoryDataset::new(vec![(spec, values.into())]).expect("rows")
    }

    fn parts() -> SplitIndices {
        SplitIndices { train: vec![0, 2], valid: vec![1], test: vec![3] }
    }

    fn record(data: &MemoryDataset) -> DataRecord {
        DataRecord {
            version: DataRecord::VERSION,
            schema: Schema::of_specs(data.modalities()),
            fingerprint: fingerprint::of(data),
            split: SplitAssignment::of(data, &parts()),
        }
    }

    #[test]
    fn rows_keep_their_split_wherever_they_are_and_new_rows_have_none() {
        let before = data(vec![1.0, 2.0, 3.0, 3.0]);
        let split = SplitAssignment::of(&before, &parts());
        assert_eq!(split.by, RowKey::Content);
        let after = data(vec![3.0, 9.0, 1.0, 2.0, 3.0]);
        let (found, others) = split.parts(&after, "a").expect("all rows are there");
        assert_eq!(found, SplitIndices { train: vec![2, 0], valid: vec![3], test: vec![4] });
        assert_eq!(others, [1]);
        let ids = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let named = before.with_ids(ids(&["p", "q", "r", "s"])).expect("four");
        let split = SplitAssignment::of(&named, &parts());
        let other = data(vec![0.0; 4]).with_ids(ids(&["s", "r", "q", "p"])).expect("four");
        let (found, _) = split.parts(&other, "a").expect("all rows are there");
        assert_eq!(found, SplitIndices { train: vec![3, 1], valid: vec![2], test: vec![0] });
        let fewer = data(vec![0.0; 2]).with_ids(ids(&["p", "q"])).expect("two");
        let error = split.parts(&fewer, "a").expect_err("two are gone").to_string();
        assert!(error.contains("2 rows are gone, `r`, `s`; restore it"), "{error}");
    }

    #[test]
    fn what_changed_is_said() {
        let before = data(vec![1.0, 2.0, 3.0, 4.0]);
        let record = record(&before);
        record.check(&fingerprint::of(&before), "d").expect("nothing changed");
        let grown = fingerprint::of(&data(vec![1.0, 2.0, 3.0, 4.0, 5.0]));
        let error = record.check(&grown, "d").expect_err("a row more").to_string();
        assert!(
            error.starts_with(
                "the data `d` has changed since the run began: the number of rows (4 then, 5 now), "
            ),
            "{error}"
        );
    }

    #[test]
    fn a_file_gives_back_what_was_saved_and_other_versions_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data.json");
        let saved = record(&data(vec![1.0, 2.0, 3.0, 4.0]));
        saved.save(&path).expect("writable");
        assert_eq!(DataRecord::load(&path).expect("readable"), saved);
        let other = DataRecord { version: 7, ..saved.clone() };
        other.save(&path).expect("writable");
        let error = DataRecord::load(&path).expect_err("another version").to_string();
        assert!(error.contains("expected version 1, found 7"), "{error}");
        let mut other = saved;
        other.schema.version = 7;
        other.save(&path).expect("writable");
        let error = DataRecord::load(&path).expect_err("another schema").to_string();
        assert!(error.starts_with("`schema.version`"), "{error}");
    }
}
