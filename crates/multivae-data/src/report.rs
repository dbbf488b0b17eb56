//! What was found when data was read: rows, joins, missing values, and what looks wrong.

use multivae_core::{dataset::Dataset, modality::ModalitySpec, schema::Fingerprint};
use serde::{Deserialize, Serialize};

use crate::memory::MemoryDataset;

/// Something about data that a reader of results should know, and what to do about it; or a note of
/// what was done already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The file, modality or column.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// What can be done about it; `None` for a note, about which nothing has to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Warning {
    /// What was found about a subject, and what to do.
    pub fn new(
        subject: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { subject: subject.into(), found: found.into(), remedy: Some(remedy.into()) }
    }

    /// What was found about a subject and is as it should be.
    pub fn note(subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self { subject: subject.into(), found: found.into(), remedy: None }
    }

    /// Whether nothing has to be done.
    pub fn is_note(&self) -> bool {
        self.remedy.is_none()
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.remedy {
            Some(remedy) => write!(f, "{}: {}; {remedy}", self.subject, self.found),
            None => write!(f, "{}: {}", self.subject, self.found),
        }
    }
}

/// How rows of several files were matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    /// By place: row `i` of one file is row `i` of every file.
    #[default]
    Place,
    /// By identifiers.
    Identifiers,
}

/// The identifiers of one file, and why they are taken for such.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdEvidence {
    /// The file or folder.
    pub file: String,
    /// The column, or `file names`; `None` if the file has no identifiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Why.
    pub reason: String,
}

/// How rows were matched, and what speaks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinReport {
    /// By place or by identifiers.
    pub kind: JoinKind,
    /// One entry per file.
    pub files: Vec<IdEvidence>,
    /// Rows that observe at least two modalities.
    pub with_several: usize,
    /// Rows that observe every modality.
    pub complete: usize,
}

/// What was found when data was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadReport {
    /// Rows of the data.
    pub rows: usize,
    /// One entry per modality, in the data's order.
    pub modalities: Vec<ModalityReport>,
    /// How the files were joined.
    pub join: JoinReport,
    /// Rows without a label, where other rows have one.
    pub unlabelled: usize,
    /// Labels whose identifier no modality has; they are left out.
    pub unused_labels: usize,
    /// What looks wrong, with a remedy each.
    pub warnings: Vec<Warning>,
    /// Codes of what was read.
    pub fingerprint: Fingerprint,
}

/// What was found of a modality.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModalityReport {
    /// Name of the modality.
    pub modality: String,
    /// Rows that observe at least one of its values.
    pub observed: usize,
    /// Rows that lack it since all its cells are empty or NaN.
    pub not_a_number: usize,
    /// Rows that lack it since its file does not have their identifier.
    pub absent: usize,
    /// Rows that observe some of its values and lack others.
    pub partial: usize,
    /// Values that are missing in rows that observe the modality.
    pub missing_cells: usize,
}

impl LoadReport {
    /// Of data of which nothing is missing.
    pub(crate) fn complete(data: &MemoryDataset) -> Self {
        let one = |spec: &ModalitySpec| ModalityReport {
            modality: spec.name.to_string(),
            observed: data.len(),
            ..Default::default()
        };
        Self {
            rows: data.len(),
            modalities: data.modalities().iter().map(one).collect(),
            join: JoinReport {
                with_several: if data.modalities().len() > 1 { data.len() } else { 0 },
                complete: data.len(),
                ..Default::default()
            },
            ..Default::default()
        }
    }

    pub(crate) fn log(&self) {
        for ModalityReport { modality, observed, not_a_number, absent, partial, missing_cells } in
            &self.modalities
        {
            let rows = self.rows;
            if not_a_number + absent > 0 {
                tracing::warn!(
                    modality,
                    rows,
                    observed,
                    not_a_number,
                    absent,
                    "modality `{modality}` is missing in {} of {rows} rows: {not_a_number} with \
                     only NaN or empty cells, {absent} not in its file",
                    not_a_number + absent,
                );
            } else {
                tracing::info!(
                    modality,
                    rows,
                    "modality `{modality}` is observed in all {rows} rows"
                );
            }
            if *missing_cells > 0 {
                tracing::info!(
                    modality,
                    missing_cells,
                    "modality `{modality}` lacks {missing_cells} single values in {partial} rows"
                );
            }
        }
        for warning in &self.warnings {
            if warning.is_note() {
                tracing::info!("{warning}");
            } else {
                tracing::warn!("{warning}");
            }
        }
    }
}
