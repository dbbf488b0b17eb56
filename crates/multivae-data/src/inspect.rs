//! What a data source holds, said before anything is trained on it.

use std::{cmp::Reverse, collections::BTreeMap, fmt, ops::Range};

use multivae_core::{
    dataset::Dataset,
    distribution::Likelihood,
    modality::ModalitySpec,
    schema::{ColumnKind, Dtype, Fingerprint, ModalitySchema, TableColumn, ValueScale},
};
use serde::{Deserialize, Serialize};

use crate::{
    config::{DataConfig, Opened},
    error::Result,
    memory::MemoryDataset,
    mixed,
    report::{JoinKind, JoinReport, ModalityReport, Warning},
};

/// What a data source holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The source, as it was given.
    pub source: String,
    /// Rows.
    pub rows: usize,
    /// How files were joined, and what speaks for it.
    pub join: JoinReport,
    /// One entry per modality, in the data's order.
    pub modalities: Vec<ModalityInspection>,
    /// Which modalities rows observe together, the most frequent first.
    pub patterns: Vec<PresencePattern>,
    /// The labels, if there are any.
    pub labels: Option<LabelInspection>,
    /// What looks wrong, with a remedy each.
    pub warnings: Vec<Warning>,
    /// Codes of the contents.
    pub fingerprint: Fingerprint,
}

/// What a modality holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModalityInspection {
    /// Name, shape of a row and likelihood, as they would be in a run.
    pub spec: ModalitySpec,
    /// Type of the values in the file.
    pub dtype: Dtype,
    /// From the file's units to stored values.
    pub scale: ValueScale,
    /// Least and greatest observed value in the file's units.
    pub range: Option<[f64; 2]>,
    /// How many rows observe it, and why the others do not.
    pub observed: ModalityReport,
    /// One entry per column of a table; empty for images and other arrays of several axes.
    pub columns: Vec<ColumnInspection>,
}

/// What a column of a table holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnInspection {
    /// Its name, or its place from 0 if the file has no names.
    pub name: String,
    /// Rows that observe the modality and lack this value.
    pub missing: usize,
    /// Least and greatest observed value in the file's units.
    pub range: Option<[f64; 2]>,
    /// Whether all observed values are whole numbers.
    pub whole: bool,
    /// What it holds, if the table is a mixed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ColumnKind>,
    /// The likelihood that it has in a mixed table; `None` for one that is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likelihood: Option<Likelihood>,
    /// Rows of each class, in the order of `kind`, of a column with classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<usize>,
}

/// Modalities that are observed together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresencePattern {
    /// The modalities.
    pub modalities: Vec<String>,
    /// Rows that observe these and no other.
    pub rows: usize,
}

/// What labels there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelInspection {
    /// Name of each class, or its number, and its rows.
    pub classes: Vec<(String, usize)>,
    /// Rows without a label.
    pub unlabelled: usize,
}

/// Reads a data source and says what it holds: nothing is split, standardised or taken away.
///
/// # Errors
///
/// Any [`DataError`](crate::DataError).
pub fn inspect(config: &DataConfig) -> Result<Inspection> {
    let Opened { data, report, .. } = config.read()?;
    let reports = report.modalities.iter().cloned().map(Some).chain(std::iter::repeat(None));
    let modalities: Vec<_> = data
        .modalities()
        .iter()
        .enumerate()
        .zip(reports)
        .map(|((m, spec), report)| modality(&data, m, spec, report.unwrap_or_default()))
        .collect();
    let mut warnings = report.warnings;
    for modality in &modalities {
        warnings.extend(constant_columns(modality));
    }
    Ok(Inspection {
        source: config.source.clone(),
        rows: data.len(),
        join: report.join,
        modalities,
        patterns: patterns(&data),
        labels: labels(&data),
        warnings,
        fingerprint: report.fingerprint,
    })
}

fn modality(
    data: &MemoryDataset,
    m: usize,
    spec: &ModalitySpec,
    observed: ModalityReport,
) -> ModalityInspection {
    let known = data.schema().and_then(|schema| schema.modality(spec.name.as_str()));
    let known = known.cloned().unwrap_or_else(|| ModalitySchema::new(spec.clone()));
    let columns = if spec.shape.len() == 1 { columns(data, m, &known) } else { Vec::new() };
    ModalityInspection {
        spec: spec.clone(),
        dtype: known.dtype,
        scale: known.scale,
        range: known.range,
        observed,
        columns,
    }
}

fn columns(data: &MemoryDataset, m: usize, known: &ModalitySchema) -> Vec<ColumnInspection> {
    let features = known.spec.features();
    let feature = |first: usize| (known.column(first), first..first + 1, None);
    let of_table =
        |column: &TableColumn| (column.name.clone(), column.features(), Some(column.kind.clone()));
    let places: Vec<(String, Range<usize>, Option<ColumnKind>)> = match &known.table {
        Some(table) => table.iter().map(of_table).collect(),
        None => (0..features).map(feature).collect(),
    };
    let start = |(name, _, kind): &(String, Range<usize>, Option<ColumnKind>)| {
        let classes = kind.as_ref().and_then(ColumnKind::classes).map_or(0, <[String]>::len);
        ColumnInspection {
            name: name.clone(),
            missing: 0,
            range: None,
            whole: true,
            kind: kind.clone(),
            likelihood: kind.as_ref().and_then(mixed::likelihood),
            classes: vec![0; classes],
        }
    };
    let mut columns: Vec<_> = places.iter().map(start).collect();
    let mut row_values = vec![0.0; features];
    for row in (0..data.len()).filter(|&row| data.presence(row).contains(m)) {
        if !data.precise(row, m, &mut row_values) {
            continue;
        }
        let cells = data.cells(row, m);
        for ((_, places, _), column) in places.iter().zip(&mut columns) {
            if places.is_empty() {
                continue;
            }
            if cells.as_ref().is_some_and(|cells| !cells[places.start]) {
                column.missing += 1;
                continue;
            }
            let values = &row_values[places.clone()];
            match &column.kind {
                Some(kind) if !column.classes.is_empty() => {
                    let class = kind.class_number(values).expect("it has classes");
                    column.classes[class] += 1;
                }
                _ => {
                    let value = known.scale.invert(values[0]);
                    let [low, high] = column.range.unwrap_or([value; 2]);
                    column.range = Some([low.min(value), high.max(value)]);
                    column.whole &= value.fract() == 0.0;
                }
            }
        }
    }
    columns
}

impl ColumnInspection {
    /// Its values in words: classes with their rows, first and last day, or least and greatest
    /// value with the unit; empty if nothing is observed.
    pub fn values(&self) -> String {
        if let Some(classes) = self.kind.as_ref().and_then(ColumnKind::classes) {
            let counted = classes.iter().zip(&self.classes);
            let shown: Vec<_> =
                counted.take(SHOWN).map(|(class, rows)| format!("{class} ({rows})")).collect();
            return match classes.len() - shown.len() {
                0 => shown.join(", "),
                more => format!("{} and {more} more", shown.join(", ")),
            };
        }
        match (&self.kind, self.range) {
            (_, None) => String::new(),
            (Some(ColumnKind::Date { format }), Some(ends)) => {
                let [from, to] = ends.map(|days| mixed::date(days, format).unwrap_or_default());
                format!("{from} to {to}")
            }
            (Some(ColumnKind::Real { unit: Some(unit) }), Some([low, high])) => {
                format!("{low} to {high} {unit}")
            }
            (_, Some([low, high])) => format!("{low} to {high}"),
        }
    }

    /// What is known of a column of a mixed table, in a line; `None` of another table.
    fn line(&self) -> Option<String> {
        let kind = self.kind.as_ref()?;
        let mut text = format!("    {}: {}", self.name, kind.name());
        let values = self.values();
        match kind {
            ColumnKind::Text => text += ", left out",
            _ if values.is_empty() => {}
            _ if kind.classes().is_some() => text += &format!(" of {values}"),
            _ => text += &format!(" from {values}"),
        }
        if self.missing > 0 {
            text += &format!("; {} missing", self.missing);
        }
        Some(text)
    }
}

/// Columns of which all values are the same say nothing.
fn constant_columns(modality: &ModalityInspection) -> Option<Warning> {
    let constant = |column: &&ColumnInspection| {
        let classes = column.classes.iter().filter(|rows| **rows > 0).count();
        column.range.is_some_and(|[low, high]| low == high) || classes == 1
    };
    let names: Vec<_> = modality.columns.iter().filter(constant).map(|c| &c.name).collect();
    let shown = crate::error::list(names.iter().take(5));
    (!names.is_empty() && modality.observed.observed > 1).then(|| {
        Warning::new(
            format!("modality `{}`", modality.spec.name),
            format!("{} columns have one value in all rows, such as {shown}", names.len()),
            "remove them if that is not meant",
        )
    })
}

fn patterns(data: &MemoryDataset) -> Vec<PresencePattern> {
    let mut counts = BTreeMap::new();
    for row in 0..data.len() {
        let names: Vec<String> =
            data.presence(row).iter().map(|m| data.modalities()[m].name.to_string()).collect();
        *counts.entry(names).or_insert(0) += 1;
    }
    let mut patterns: Vec<_> =
        counts.into_iter().map(|(modalities, rows)| PresencePattern { modalities, rows }).collect();
    patterns.sort_by_key(|pattern| Reverse(pattern.rows));
    patterns
}

fn labels(data: &MemoryDataset) -> Option<LabelInspection> {
    let labels = data.labels()?;
    let mut counts = BTreeMap::new();
    for label in labels.iter().flatten() {
        *counts.entry(*label).or_insert(0) += 1;
    }
    let name = |label: i64| {
        let names = data.label_names().zip(usize::try_from(label).ok());
        names.and_then(|(names, i)| names.get(i).cloned()).unwrap_or_else(|| label.to_string())
    };
    Some(LabelInspection {
        classes: counts.into_iter().map(|(label, rows)| (name(label), rows)).collect(),
        unlabelled: labels.iter().filter(|label| label.is_none()).count(),
    })
}

/// Columns whose names are shown.
const SHOWN: usize = 8;
/// Columns of a mixed table that are shown.
const MOST: usize = 40;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} rows", self.source, self.rows)?;
        let join = match self.join.kind {
            JoinKind::Place => "by place",
            JoinKind::Identifiers => "by identifiers",
        };
        if self.modalities.len() > 1 {
            writeln!(
                f,
                "rows are matched {join}: {} observe several modalities, {} all",
                self.join.with_several, self.join.complete
            )?;
        }
        for file in &self.join.files {
            writeln!(f, "  {}: {}", file.file, file.reason)?;
        }
        for modality in &self.modalities {
            let ModalityInspection { spec, dtype, scale, range, observed, columns } = modality;
            write!(f, "modality {}: shape {:?}, {dtype}", spec.name, spec.shape)?;
            if let Some([low, high]) = range {
                write!(f, " from {low} to {high}")?;
            }
            if !scale.is_identity() {
                write!(f, ", divided by {}", scale.factor)?;
            }
            writeln!(f, ", {}; observed in {} rows", spec.likelihood.kind(), observed.observed)?;
            let mixed: Vec<_> = columns.iter().filter_map(ColumnInspection::line).collect();
            let same = columns.iter().all(|column| column.kind == columns[0].kind);
            if let (Some(kind), true) = (columns.first().and_then(|c| c.kind.as_ref()), same) {
                let classes = kind.classes().map(|classes| format!(" of {}", classes.join(", ")));
                writeln!(f, "  all columns: {}{}", kind.name(), classes.unwrap_or_default())?;
            }
            if !mixed.is_empty() && !same {
                writeln!(f, "  columns:")?;
                for line in mixed.iter().take(MOST) {
                    writeln!(f, "{line}")?;
                }
                if mixed.len() > MOST {
                    writeln!(f, "    and {} more", mixed.len() - MOST)?;
                }
            } else if !columns.is_empty() {
                let names: Vec<_> = columns.iter().map(|c| c.name.as_str()).collect();
                let shown = &names[..names.len().min(SHOWN)];
                let more = match names.len() - shown.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                writeln!(f, "  columns: {}{more}", shown.join(", "))?;
            }
            if observed.missing_cells > 0 {
                let ModalityReport { missing_cells, partial, .. } = observed;
                writeln!(f, "  {missing_cells} values are missing in {partial} of these rows")?;
                let plain = mixed.is_empty() || same;
                let mut worst: Vec<_> = columns.iter().filter(|c| plain && c.missing > 0).collect();
                worst.sort_by_key(|column| Reverse(column.missing));
                for column in worst.iter().take(5) {
                    writeln!(f, "    column {}: {} missing", column.name, column.missing)?;
                }
            }
        }
        for PresencePattern { modalities, rows } in &self.patterns {
            writeln!(f, "{rows} rows observe {}", modalities.join(", "))?;
        }
        if let Some(LabelInspection { classes, unlabelled }) = &self.labels {
            let shown: Vec<_> =
                classes.iter().map(|(name, rows)| format!("{name} ({rows})")).collect();
            writeln!(f, "labels: {}; {unlabelled} rows have none", shown.join(", "))?;
        }
        for warning in &self.warnings {
            writeln!(f, "{}: {warning}", if warning.is_note() { "note" } else { "warning" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Folder, text};

    #[test]
    fn a_source_is_described_with_join_missing_values_labels_and_warnings() {
        let folder = Folder::new([
            (
                "blood.csv",
                text("patient,crp,sodium,site\n7,1.5,140,2\n8,NA,138,2\n9,-999,141,2\n3,2,139,2\n"),
            ),
            ("scan.csv", text("patient,left,right\n9,0.5,1\n8,0.25,2\n7,0.5,4\n")),
            ("labels.csv", text("patient,kind\n7,ill\n8,well\n9,NA\n")),
        ]);
        let found = inspect(&DataConfig::new(folder.source())).expect("whole");
        assert_eq!((found.rows, found.join.kind), (4, JoinKind::Identifiers));
        assert_eq!((found.join.with_several, found.join.complete), (3, 3));
        let blood = &found.modalities[0];
        assert_eq!((blood.dtype, blood.observed.missing_cells), (Dtype::Text, 1));
        assert_eq!(blood.columns[0].missing, 1);
        assert_eq!(blood.columns[1].range, Some([138.0, 141.0]));
        assert!(blood.columns[1].whole && !blood.columns[0].whole);
        assert_eq!(found.patterns[0].modalities, ["blood", "scan"]);
        let labels = found.labels.as_ref().expect("some");
        assert_eq!(labels.classes, [("ill".into(), 1), ("well".into(), 1)]);
        assert_eq!(labels.unlabelled, 2);
        let text = found.to_string();
        for expected in [
            "rows are matched by identifiers: 3 observe several modalities, 3 all",
            "modality blood: shape [3], text from -999 to 141, normal; observed in 4 rows",
            "labels: ill (1), well (1); 2 rows have none",
            "column `crp`: 1 values are -999, far from the others (1.5 to 2)",
            "1 columns have one value in all rows, such as `site`",
        ] {
            assert!(text.contains(expected), "{text}");
        }
        let json = serde_json::to_string(&found).expect("plain data");
        assert_eq!(serde_json::from_str::<Inspection>(&json).expect("just written"), found);
    }
}
