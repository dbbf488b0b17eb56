//! Measures as files and as tables.

use std::{fs, path::Path};

use multivae_metrics::{Entry, FindingKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    ReportError,
    entries::{everything, label, unique},
    error::write,
};

/// The version of the format that is written, and the newest that is read.
const VERSION: u32 = 1;

/// Everything that was measured of a model, as `metrics.json` holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Version of the format.
    pub version: u32,
    /// What was measured, in some words.
    pub title: String,
    /// On which rows, in a sentence.
    #[serde(default)]
    pub summary: String,
    /// What the numbers say, in words.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// What was measured with what: model, data, seed, versions, device, time.
    #[serde(default)]
    pub provenance: Vec<Fact>,
    /// All numbers.
    pub entries: Vec<Entry>,
    /// What could not be measured.
    #[serde(default)]
    pub absent: Vec<Absent>,
    /// The reports by name, in full.
    #[serde(default)]
    pub reports: Map<String, Value>,
}

/// A sentence about what was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Whether it calls for action.
    pub tone: Tone,
    /// The sentence.
    pub text: String,
}

impl From<multivae_metrics::Finding> for Finding {
    fn from(finding: multivae_metrics::Finding) -> Self {
        let tone = match finding.kind {
            FindingKind::UnusedDimensions => Tone::Note,
            FindingKind::PosteriorCollapse
            | FindingKind::WorseThanMean
            | FindingKind::NoBetterThanMean
            | FindingKind::ChanceCoherence
            | FindingKind::UnreliableLikelihood
            | FindingKind::IgnoredByEncoder
            | FindingKind::IgnoredByDecoder => Tone::Attention,
        };
        // The page is no Markdown.
        Self { tone, text: finding.text.replace('`', "") }
    }
}

/// Whether a finding calls for action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// As it should be.
    Good,
    /// To know.
    Note,
    /// Something is not as it should be.
    Attention,
}

/// Something that the numbers depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// What it was.
    pub value: String,
}

impl Fact {
    /// The name of the code of the data that was trained on.
    pub const TRAINED_ON: &str = "Code of the training data";
    /// The name of the code of the rows that were measured.
    pub const MEASURED_ON: &str = "Code of the evaluated rows";
}

/// A measure that could not be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// The measure.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl Measures {
    /// Nothing measured yet.
    pub fn new(title: &str) -> Self {
        Self {
            version: VERSION,
            title: title.to_owned(),
            summary: String::new(),
            findings: Vec::new(),
            provenance: Vec::new(),
            entries: Vec::new(),
            absent: Vec::new(),
            reports: Map::new(),
        }
    }

    /// The value of a fact of the provenance.
    pub(crate) fn fact(&self, name: &str) -> Option<&str> {
        self.provenance.iter().find(|fact| fact.name == name).map(|fact| fact.value.as_str())
    }

    /// Reads `metrics.json`.
    ///
    /// # Errors
    ///
    /// [`ReportError::File`], [`ReportError::Format`], [`ReportError::Version`].
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ReportError::File { path: path.to_owned(), source })?;
        let format = |source| ReportError::Format { path: path.to_owned(), source };
        // First the version alone: what a newer one holds is not known.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version: found } = serde_json::from_str(&text).map_err(format)?;
        if found > VERSION {
            return Err(ReportError::Version { path: path.to_owned(), found, newest: VERSION });
        }
        serde_json::from_str(&text).map_err(format)
    }

    /// Writes `metrics.json`, which reads back, into a file.
    ///
    /// # Errors
    ///
    /// [`ReportError::File`], [`ReportError::Json`].
    pub fn save_json(&self, path: &Path) -> Result<(), ReportError> {
        let mut text = serde_json::to_string_pretty(self).map_err(ReportError::Json)?;
        text.push('\n');
        write(path, text.as_bytes())
    }

    /// Writes the entries as a table: `report, measure, given, target, value, standard_error,
    /// count`, the given joined by `+`.
    ///
    /// # Errors
    ///
    /// [`ReportError::File`], [`ReportError::Table`].
    pub fn save_csv(&self, path: &Path) -> Result<(), ReportError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let head = ["report", "measure", "given", "target", "value", "standard_error", "count"];
        writer.write_record(head).map_err(ReportError::Table)?;
        for entry in &self.entries {
            writer.write_record(record(entry)).map_err(ReportError::Table)?;
        }
        let bytes = writer.into_inner().map_err(|e| ReportError::Table(e.into_error().into()))?;
        write(path, &bytes)
    }
}

/// The cells of an entry in a table of numbers.
pub(crate) fn record(entry: &Entry) -> [String; 7] {
    [
        entry.report.clone(),
        entry.measure.clone(),
        entry.given.join("+"),
        entry.target.clone(),
        entry.value.to_string(),
        entry.standard_error.map_or_else(String::new, |error| error.to_string()),
        entry.count.to_string(),
    ]
}

/// Entries laid out for reading.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    /// The one measure that all cells are of.
    pub(crate) measure: Option<&'a str>,
    /// What the rows are.
    pub(crate) corner: &'static str,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<(String, Vec<Option<&'a Entry>>)>,
}

/// The tables of one report: numbers for the whole, numbers by target, and for each measure that
/// was taken from given modalities one of set by target. `title` names a measure.
pub(crate) fn tables<'a>(entries: &[&'a Entry], title: impl Fn(&str) -> String) -> Vec<Table<'a>> {
    let mut tables = Vec::new();
    let of = |given: bool, target: bool| -> Vec<&'a Entry> {
        let fits = |e: &&&Entry| e.given.is_empty() != given && e.target.is_empty() != target;
        entries.iter().filter(fits).copied().collect()
    };
    let whole = of(false, false);
    if !whole.is_empty() {
        let rows = whole.iter().map(|entry| (title(&entry.measure), vec![Some(*entry)]));
        let (columns, rows) = (vec!["value".to_owned()], rows.collect());
        tables.push(Table { measure: None, corner: "measure", columns, rows });
    }
    let parts = of(false, true);
    let targets = |measure: &str| -> Vec<&'a str> {
        parts.iter().filter(|e| e.measure == measure).map(|e| e.target.as_str()).collect()
    };
    let measures = unique(parts.iter().map(|entry| entry.measure.as_str()));
    // Measures of the same things stand side by side.
    for group in unique(measures.iter().map(|measure| targets(measure))) {
        let own: Vec<&str> =
            measures.iter().copied().filter(|measure| targets(measure) == group).collect();
        let at = |target: &str, measure: &str| {
            parts.iter().find(|e| e.target == target && e.measure == measure).copied()
        };
        let row = |target: &&str| {
            ((*target).to_owned(), own.iter().map(|measure| at(target, measure)).collect())
        };
        let table = if let ([target], true) = (group.as_slice(), own.len() > 1) {
            // Of one thing the measures stand below each other.
            let rows = own.iter().map(|measure| (title(measure), vec![at(target, measure)]));
            let (columns, rows) = (vec![(*target).to_owned()], rows.collect());
            Table { measure: None, corner: "measure", columns, rows }
        } else {
            let columns = own.iter().map(|measure| title(measure)).collect();
            let rows = group.iter().map(row).collect();
            Table { measure: None, corner: "of", columns, rows }
        };
        tables.push(table);
    }
    let given: Vec<&'a Entry> = entries.iter().filter(|e| !e.given.is_empty()).copied().collect();
    let all = everything(&given);
    for measure in unique(given.iter().map(|entry| entry.measure.as_str())) {
        let own: Vec<&'a Entry> =
            given.iter().filter(|entry| entry.measure == measure).copied().collect();
        let targets = unique(own.iter().map(|entry| entry.target.as_str()));
        let mut sets = unique(own.iter().map(|entry| entry.given.as_slice()));
        sets.sort_by_key(|set| set.len());
        let at = |set: &[String], target: &str| {
            own.iter().find(|entry| entry.given == set && entry.target == target).copied()
        };
        let rows = sets
            .into_iter()
            .map(|set| (label(set, &all), targets.iter().map(|t| at(set, t)).collect()))
            .collect();
        let name = |target: &&str| if target.is_empty() { "value" } else { target }.to_owned();
        let columns = targets.iter().map(name).collect();
        tables.push(Table { measure: Some(measure), corner: "given", columns, rows });
    }
    tables
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn entry(
        report: &str,
        measure: &str,
        given: &[&str],
        target: &str,
        v: f64,
    ) -> Entry {
        Entry {
            report: report.to_owned(),
            measure: measure.to_owned(),
            given: given.iter().map(|&name| name.to_owned()).collect(),
            target: target.to_owned(),
            value: v,
            standard_error: Some(0.5),
            count: 10,
        }
    }

    #[test]
    fn entries_are_laid_out_by_what_they_are_about() {
        let entries = [
            entry("e", "elbo", &[], "", -1.0),
            entry("e", "kl", &[], "z", 2.0),
            entry("e", "likelihood", &[], "a", 2.5),
            entry("e", "active", &[], "z", 1.0),
            entry("e", "weight", &[], "a", 1.0),
            entry("e", "likelihood", &[], "b", 2.5),
            entry("e", "weight", &[], "b", 1.0),
            entry("e", "error", &["a", "b"], "b", 3.0),
            entry("e", "error", &["a"], "a", 4.0),
            entry("e", "error", &["a"], "b", 5.0),
        ];
        let entries: Vec<&Entry> = entries.iter().collect();
        let tables = tables(&entries, str::to_uppercase);
        let corners: Vec<_> = tables.iter().map(|table| table.corner).collect();
        assert_eq!(corners, ["measure", "measure", "of", "given"]);
        let names =
            |table: &Table<'_>| table.rows.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
        assert_eq!(names(&tables[1]), ["KL", "ACTIVE"], "both are of `z` alone");
        assert_eq!(tables[2].columns, ["LIKELIHOOD", "WEIGHT"], "both are of `a` and `b`");
        assert_eq!(names(&tables[2]), ["a", "b"]);
        let cross = &tables[3];
        assert_eq!(cross.columns, ["b", "a"]);
        let values: Vec<_> = cross
            .rows
            .iter()
            .map(|(name, cells)| {
                (name.as_str(), cells.iter().map(|c| c.map(|e| e.value)).collect())
            })
            .collect::<Vec<(_, Vec<_>)>>();
        assert_eq!(
            values,
            [("a", vec![Some(5.0), Some(4.0)]), ("a + b", vec![Some(3.0), None])],
            "smaller sets first"
        );
    }

    #[test]
    fn large_sets_have_short_names() {
        let names = |list: &[&str]| list.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        let all = names(&["a", "b", "c", "d"]);
        assert_eq!(label(&all, &all), "all");
        assert_eq!(label(&names(&["a", "b", "d"]), &all), "all but c");
        assert_eq!(label(&names(&["a", "c"]), &all), "a + c");
        assert_eq!(label(&names(&["a", "c"]), &names(&["a", "c"])), "a + c");
        assert_eq!(label(&[], &all), "nothing");
    }

    #[test]
    fn measures_read_back_and_those_of_a_newer_version_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("metrics.json");
        let mut measures = Measures::new("a model");
        measures.entries.push(entry("e", "elbo", &["a"], "b", -1.25));
        measures.absent.push(Absent { name: "fid".into(), reason: "no images".into() });
        measures.findings.push(Finding { tone: Tone::Attention, text: "collapsed".into() });
        measures.save_json(&path).expect("written");
        assert_eq!(Measures::read(&path).expect("its own text"), measures);
        measures.version = VERSION + 1;
        measures.save_json(&path).expect("written");
        let error = Measures::read(&path).expect_err("from the future").to_string();
        assert!(error.ends_with("has version 2: expected at most 1"), "{error}");
        fs::write(&path, "{}").expect("a file");
        assert!(matches!(Measures::read(&path), Err(ReportError::Format { .. })));
    }

    #[test]
    fn a_table_has_a_line_an_entry() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("metrics.csv");
        let mut measures = Measures::new("a model");
        measures.entries.push(entry("e", "error", &["a", "b"], "x,y", 0.5));
        measures.entries.push(Entry { standard_error: None, ..entry("e", "elbo", &[], "", -1.0) });
        measures.save_csv(&path).expect("written");
        let text = fs::read_to_string(&path).expect("text");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "report,measure,given,target,value,standard_error,count");
        assert_eq!(lines[1], "e,error,a+b,\"x,y\",0.5,0.5,10");
        assert_eq!(lines[2], "e,elbo,,,-1,,10");
    }
}
