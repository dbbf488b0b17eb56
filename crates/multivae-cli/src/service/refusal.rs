//! Requests that are not answered, and what is said of them. Nothing of this machine is in it.

use std::{error::Error, fmt, path::Path};

use multivae::{
    core::{self, model::Lacks, pass::PassError},
    data::{DataError, Place},
    run::RunError,
};
use serde_json::{Map, Value, json};

use super::tasks::TooLate;
use crate::{failure, terminal::print_err};

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    /// The status of HTTP.
    pub(super) status: u16,
    /// One word for programs.
    pub(super) kind: &'static str,
    /// A sentence for people.
    message: String,
    /// Where it is, what was expected and what was found.
    about: Map<String, Value>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Refusal {}

impl Refusal {
    pub(super) fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), about: Map::new() }
    }

    /// A setting of a request that cannot be.
    pub(super) fn setting(
        name: &str,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        let message = format!("`{name}`: expected {expected}, found {found}");
        let refusal = Self::new(422, "setting", message).with("setting", name);
        refusal.with("expected", expected.to_string()).with("found", found.to_string())
    }

    /// More of something than the service takes.
    pub(super) fn too_many(kind: &'static str, what: &str, most: u64, found: u64) -> Self {
        let message = format!("expected at most {most} {what}, found {found}");
        Self::new(413, kind, message).with("expected", most).with("found", found)
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.about.insert(name.to_owned(), value.into());
        self
    }

    /// What went wrong, as far as it is about the request; all else is said on standard error only.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        if let Some(refusal) = error.chain().find_map(|cause| cause.downcast_ref::<Self>()) {
            return refusal.clone();
        }
        if error.chain().any(|cause| cause.is::<TooLate>()) {
            return Self::too_late();
        }
        let known = error.chain().find_map(|cause| {
            if let Some(error) = cause.downcast_ref::<RunError>() {
                return of_run(error);
            }
            if let Some(error) = cause.downcast_ref::<DataError>() {
                return of_data(error);
            }
            if let Some(PassError::Batch(error)) = cause.downcast_ref() {
                return Some(of_core(error));
            }
            if let Some(error) = cause.downcast_ref::<Lacks>() {
                return Some(lacks(error));
            }
            cause.downcast_ref::<core::Error>().map(of_core)
        });
        known.unwrap_or_else(|| {
            print_err(&format!("a request failed: {}", failure::message(error)));
            Self::internal()
        })
    }

    pub(super) fn internal() -> Self {
        Self::new(500, "internal", "the service has failed; its standard error says how")
    }

    pub(super) fn too_late() -> Self {
        Self::new(504, "time", "the answer takes longer than a request may take")
    }

    /// The body of the answer.
    pub(super) fn body(&self) -> Vec<u8> {
        let mut error = Map::new();
        error.insert("status".into(), self.status.into());
        error.insert("kind".into(), self.kind.into());
        error.insert("message".into(), self.message.clone().into());
        error.extend(self.about.clone());
        let mut body = json!({ "error": error }).to_string().into_bytes();
        body.push(b'\n');
        body
    }
}

fn lacks(error: &Lacks) -> Refusal {
    Refusal::new(422, "lacks", error.to_string())
}

fn of_core(error: &core::Error) -> Refusal {
    let refusal = Refusal::new(422, "request", error.to_string());
    match error {
        core::Error::UnknownModality { name, .. } => {
            Refusal { kind: "unknown_modality", ..refusal }.with("modality", name.clone())
        }
        _ => refusal,
    }
}

fn of_run(error: &RunError) -> Option<Refusal> {
    match error {
        RunError::Data(error) => of_data(error),
        RunError::Core(error) => Some(of_core(error)),
        RunError::Lacks(error) => Some(lacks(error)),
        RunError::Pass(PassError::Batch(error)) => Some(of_core(error)),
        RunError::Given { .. } | RunError::Targets { .. } => {
            Some(Refusal::new(422, "setting", error.to_string()))
        }
        RunError::Modality { name, .. } => {
            let refusal = Refusal::new(422, "unknown_modality", error.to_string());
            Some(refusal.with("modality", name.clone()))
        }
        _ => None,
    }
}

/// What is wrong about rows. Paths in it are `rows` and names of modalities below it.
fn of_data(error: &DataError) -> Option<Refusal> {
    let message = error.to_string();
    let of = |kind: &'static str| Refusal::new(422, kind, message.clone());
    let modality =
        |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Some(match error {
        DataError::UnknownModality { modality, known } => {
            of("unknown_modality").with("modality", &**modality).with("expected", &**known)
        }
        DataError::Columns { modality, columns, .. } => {
            of("columns").with("modality", &**modality).with("columns", &**columns)
        }
        DataError::Shape { modality, expected, found, .. } => of("shape")
            .with("modality", &**modality)
            .with("expected", &**expected)
            .with("found", &**found),
        DataError::Scale { modality, expected, found, .. } => of("scale")
            .with("modality", &**modality)
            .with("expected", &**expected)
            .with("found", &**found),
        DataError::Cell { path, place, column, expected, found } => {
            let row = match place {
                Place::Line(row) | Place::Row(row) => *row,
                _ => return Some(of("value")),
            };
            of("value")
                .with("modality", modality(path))
                .with("row", row)
                .with("column", &**column)
                .with("expected", *expected)
                .with("found", &**found)
        }
        DataError::Infinite { path, row, value, found } => of("value")
            .with("modality", modality(path))
            .with("row", *row)
            .with("column", value.to_string())
            .with("expected", "a finite number, or none where it is missing")
            .with("found", found.to_string()),
        DataError::Value { modality, row, expected, found } => of("value")
            .with("modality", &**modality)
            .with("row", &**row)
            .with("expected", &**expected)
            .with("found", &**found),
        DataError::Type { path, expected, found } => of("dtype")
            .with("modality", modality(Path::new(path)))
            .with("expected", *expected)
            .with("found", &**found),
        DataError::EmptyRows { first, .. } => of("rows").with("row", &**first),
        DataError::DuplicateColumn { path, column } => {
            of("columns").with("modality", modality(path)).with("columns", &**column)
        }
        DataError::Malformed { format: "NPZ" | "NPY", .. } => Refusal { status: 400, ..of("npz") },
        DataError::EmptyFile { .. }
        | DataError::Malformed { .. }
        | DataError::MissingColumn { .. }
        | DataError::Array { .. }
        | DataError::DuplicateModality { .. }
        | DataError::DuplicateId { .. }
        | DataError::RowCounts { .. }
        | DataError::MixedIds { .. }
        | DataError::NoCommonRows { .. }
        | DataError::PossibleIds { .. }
        | DataError::Config { .. } => of("rows"),
        DataError::Core(error) => of_core(error),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn body(error: anyhow::Error) -> Value {
        serde_json::from_slice::<Value>(&Refusal::of(&error).body()).expect("JSON")["error"].take()
    }

    #[test]
    fn a_cell_is_named_by_modality_row_and_column() {
        let error = DataError::Cell {
            path: "rows/blood".into(),
            place: Place::Row(3),
            column: "iron".into(),
            expected: "a number",
            found: "x".into(),
        };
        let found = body(RunError::Data(error).into());
        assert_eq!((&found["status"], &found["kind"]), (&json!(422), &json!("value")));
        assert_eq!((&found["modality"], &found["row"]), (&json!("blood"), &json!(3)));
        assert_eq!((&found["column"], &found["found"]), (&json!("iron"), &json!("x")));
    }

    #[test]
    fn what_is_not_about_the_request_is_not_told() {
        let cause = io::Error::other("disk");
        let found = body(RunError::Read { path: "secret/place".into(), cause }.into());
        assert_eq!(found["status"], 500);
        assert!(!found.to_string().contains("secret"), "{found}");
    }

    #[test]
    fn a_refusal_stays_what_it_is_below_other_words() {
        let refusal = Refusal::setting("n", "a number", "`x`");
        let error = anyhow::Error::new(refusal.clone()).context("while it was read");
        assert_eq!(Refusal::of(&error), refusal);
        assert_eq!(body(TooLate.into())["status"], 504);
    }
}
