//! The section about the data: what `multivae_data::inspect` found, laid out.

use maud::{Markup, html};
use multivae_data::{
    Inspection, JoinKind, Warning,
    inspect::{ColumnInspection, LabelInspection, ModalityInspection, PresencePattern},
};
use serde_json::Value;

use crate::{ReportError, page::scrolling, table::Measures};

/// Its name among sections and reports.
pub(crate) const DATA: &str = "data";

/// Columns of a modality that are shown; the file with all measures holds the others too.
const COLUMNS: usize = 100;
/// Patterns and classes that are shown.
const LISTED: usize = 20;

impl Measures {
    /// Adds what was found in the data, as the report `data`, which the page shows as a section.
    ///
    /// ```
    /// use multivae_data::{DataConfig, inspect};
    /// use multivae_report::{Measures, Report};
    ///
    /// let data = DataConfig { rows: Some(40), ..DataConfig::new("polydigits") };
    /// let measures = Measures::new("a model").with_data(&inspect(&data)?);
    /// let page = Report { measures, figures: Vec::new() }.page()?;
    /// assert!(page.contains("id=\"data\"") && page.contains("40 rows"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If a name in it has no form in JSON, which none has.
    #[must_use]
    pub fn with_data(mut self, found: &Inspection) -> Self {
        let value = serde_json::to_value(found).expect("plain data");
        self.reports.insert(DATA.to_owned(), value);
        self
    }
}

/// The section's content, from the report that [`Measures::with_data`] has added.
pub(crate) fn section(report: &Value) -> Result<Markup, ReportError> {
    let found: Inspection = serde_json::from_value(report.clone())
        .map_err(|source| ReportError::Format { path: "reports.data".into(), source })?;
    Ok(content(&found))
}

fn content(found: &Inspection) -> Markup {
    html! {
        dl.facts {
            dt { "Source" } dd { (found.source) ", " (found.rows) " rows" }
            @if found.modalities.len() > 1 {
                dt { "Rows of files" } dd { (joined(found)) }
            }
            @for file in &found.join.files {
                dt { (file.file) } dd { (file.reason) }
            }
        }
        (warnings(&found.warnings))
        (modalities(&found.modalities))
        (patterns(&found.patterns))
        @if let Some(labels) = &found.labels { (classes(labels)) }
        @for modality in found.modalities.iter().filter(|m| !m.columns.is_empty()) {
            (columns(modality))
        }
    }
}

fn joined(found: &Inspection) -> String {
    let how = match found.join.kind {
        JoinKind::Place => "by place",
        JoinKind::Identifiers => "by identifiers",
    };
    let (several, all) = (found.join.with_several, found.join.complete);
    format!("matched {how}: {several} observe several modalities, {all} all")
}

fn warnings(warnings: &[Warning]) -> Markup {
    html! {
        @if !warnings.is_empty() {
            ul.findings {
                @for warning in warnings {
                    li class=(if warning.is_note() { "note" } else { "attention" }) {
                        (warning.to_string().replace('`', ""))
                    }
                }
            }
        }
    }
}

/// Least and greatest value.
fn range(range: Option<[f64; 2]>) -> String {
    range.map_or_else(|| "·".to_owned(), |[low, high]| format!("{low} to {high}"))
}

fn modalities(modalities: &[ModalityInspection]) -> Markup {
    let shape =
        |shape: &[usize]| shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("\u{d7}");
    let scale = |found: &ModalityInspection| {
        if found.scale.is_identity() {
            return "as in the file".to_owned();
        }
        match found.scale.offset {
            0.0 => format!("divided by {}", found.scale.factor),
            offset => format!("less {offset}, divided by {}", found.scale.factor),
        }
    };
    scrolling(html! {
        table {
            thead { tr {
                th { "Modality" } th { "Shape" } th { "Type" } th { "Values" } th { "Scale" }
                th { "Likelihood" } th { "Rows that observe it" } th { "Missing values in them" }
            } }
            tbody {
                @for found in modalities {
                    tr {
                        th scope="row" { (found.spec.name) }
                        td { (shape(&found.spec.shape)) }
                        td { (found.dtype) }
                        td { (range(found.range)) }
                        td { (scale(found)) }
                        td { (found.spec.likelihood.kind()) }
                        td { (found.observed.observed) }
                        td {
                            @if found.observed.missing_cells > 0 {
                                (found.observed.missing_cells) " in "
                                (found.observed.partial) " rows"
                            } @else { "0" }
                        }
                    }
                }
            }
        }
    })
}

fn patterns(patterns: &[PresencePattern]) -> Markup {
    let more = patterns.len().saturating_sub(LISTED);
    scrolling(html! {
        table {
            thead { tr { th { "Observed together" } th { "Rows" } } }
            tbody {
                @for pattern in patterns.iter().take(LISTED) {
                    tr { th scope="row" { (pattern.modalities.join(", ")) } td { (pattern.rows) } }
                }
                @if more > 0 { tr { th scope="row" { (more) " other sets" } td { "·" } } }
            }
        }
    })
}

fn classes(labels: &LabelInspection) -> Markup {
    let more = labels.classes.len().saturating_sub(LISTED);
    scrolling(html! {
        table {
            thead { tr { th { "Class" } th { "Rows" } } }
            tbody {
                @for (name, rows) in labels.classes.iter().take(LISTED) {
                    tr { th scope="row" { (name) } td { (rows) } }
                }
                @if more > 0 { tr { th scope="row" { (more) " other classes" } td { "·" } } }
                tr { th scope="row" { "without a label" } td { (labels.unlabelled) } }
            }
        }
    })
}

/// What kind of values a column has, as far as they tell.
fn kind(column: &ColumnInspection) -> &'static str {
    if let Some(kind) = &column.kind {
        return kind.name();
    }
    match column.range {
        None => "nothing observed",
        Some([low, high]) if low == high => "one value in all rows",
        Some([low, high]) if column.whole && low == 0.0 && high == 1.0 => "0 and 1",
        Some(_) if column.whole => "whole numbers",
        Some(_) => "numbers",
    }
}

fn columns(found: &ModalityInspection) -> Markup {
    let all = &found.columns;
    let likelihood = |column: &ColumnInspection| match (&column.kind, &column.likelihood) {
        (None, _) => found.spec.likelihood.kind(),
        (Some(_), Some(likelihood)) => likelihood.kind(),
        (Some(_), None) => "left out",
    };
    let more = all.len().saturating_sub(COLUMNS);
    html! {
        details {
            summary {
                "Columns of " (found.spec.name)
                span.small { " · " (all.len()) " columns" }
            }
            (scrolling(html! {
                table {
                    thead { tr {
                        th { "Column" } th { "Kind" } th { "Likelihood" } th { "Values" }
                        th { "Missing" }
                    } }
                    tbody {
                        @for column in all.iter().take(COLUMNS) {
                            tr {
                                th scope="row" { (column.name) }
                                td { (kind(column)) }
                                td { (likelihood(column)) }
                                td { (column.values()) }
                                td { (column.missing) }
                            }
                        }
                    }
                }
            }))
            @if more > 0 { p.small { "and " (more) " more, in metrics.json" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use multivae_data::{DataConfig, inspect};

    use super::*;
    use crate::Report;

    #[test]
    fn the_section_says_what_the_inspection_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("a file");
        };
        write(
            "blood.csv",
            "patient,crp,sodium,site\n7,1.5,140,2\n8,NA,138,2\n9,-999,141,2\n3,2,139,2\n",
        );
        write("scan.csv", "patient,left,right\n9,0.5,1\n8,0.25,2\n7,0.5,4\n");
        write("labels.csv", "patient,kind\n7,ill\n8,well\n9,NA\n");
        let config = DataConfig::new(folder.path().to_str().expect("plain"));
        let found = inspect(&config).expect("whole");
        let measures = Measures::new("a run").with_data(&found);
        let text = serde_json::to_string(&measures).expect("plain data");
        let again: Measures = serde_json::from_str(&text).expect("own text");
        let page = Report { measures: again, figures: Vec::new() }.page().expect("a page");
        for expected in [
            "id=\"data\"",
            "matched by identifiers: 3 observe several modalities, 3 all",
            "<th scope=\"row\">blood</th><td>3</td><td>text</td><td>-999 to 141</td>",
            "<td>normal</td><td>4</td><td>1 in 1 rows</td>",
            "<th scope=\"row\">blood, scan</th><td>3</td>",
            "<th scope=\"row\">ill</th><td>1</td>",
            "<th scope=\"row\">without a label</th><td>2</td>",
            "<th scope=\"row\">crp</th><td>numbers</td><td>normal</td><td>-999 to 2</td><td>1</td>",
            "<td>one value in all rows</td>",
            "<li class=\"attention\">",
            "far from the others",
        ] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        // Every warning, with its remedy.
        let remedies = found.warnings.iter().filter_map(|warning| warning.remedy.as_ref());
        for remedy in remedies {
            let shown = remedy.replace('`', "").replace('"', "&quot;").replace('<', "&lt;");
            assert!(page.contains(&shown), "{remedy}");
        }
    }

    #[test]
    fn a_page_without_data_has_no_section_and_a_damaged_one_is_an_error() {
        let plain = Report { measures: Measures::new("a run"), figures: Vec::new() };
        assert!(!plain.page().expect("a page").contains("id=\"data\""));
        let mut measures = Measures::new("a run");
        measures.reports.insert(DATA.to_owned(), Value::Bool(true));
        let damaged = Report { measures, figures: Vec::new() };
        assert!(matches!(damaged.page(), Err(ReportError::Format { .. })));
    }
}
