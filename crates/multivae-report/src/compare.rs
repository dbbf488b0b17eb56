//! Several runs side by side.

use std::path::Path;

use maud::{Markup, html};
use multivae_metrics::Entry;

use crate::{
    ReportError,
    about::{self, Better, Visibility},
    entries::{everything, label, unique},
    error::{folder, write},
    figure::{Axes, Bar, Curve, Figure, Heading, Point, bars, curves},
    number::shown,
    page::{
        contents, document, explanations, gallery, in_order, number, save_figures, scrolling, top,
    },
    table::{Fact, Measures},
};

/// Rows of a table from which on it has to be unfolded.
const LONG: usize = 12;

/// Measures of several runs.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// The runs by name.
    pub runs: Vec<(String, Measures)>,
}

/// A line of the comparison: a number of every run.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What it is, such as `coherence: Coherence, 1 given`.
    pub name: String,
    /// Whether it is among what is looked at first.
    pub first: bool,
    /// The value of each run and its standard error, where there are some.
    pub values: Vec<Option<(f64, Option<f64>)>>,
}

/// What a line of the comparison is about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    report: String,
    measure: String,
    given: Vec<String>,
    target: String,
}

impl Key {
    pub(crate) fn of(entry: &Entry) -> Self {
        Self {
            report: entry.report.clone(),
            measure: entry.measure.clone(),
            given: entry.given.clone(),
            target: entry.target.clone(),
        }
    }

    pub(crate) fn names(&self, entry: &Entry) -> bool {
        entry.report == self.report
            && entry.measure == self.measure
            && entry.given == self.given
            && entry.target == self.target
    }

    /// A number about it.
    pub(crate) fn entry(&self, value: f64, standard_error: Option<f64>, count: usize) -> Entry {
        let Self { report, measure, given, target } = self.clone();
        Entry { report, measure, given, target, value, standard_error, count }
    }

    fn better(&self) -> Better {
        about::measure(&self.report, &self.measure).map_or(Better::Neither, |about| about.better)
    }

    /// Whether it says something of the whole model: it has no target, or is among what says most.
    fn is_for_the_whole(&self) -> bool {
        let about = about::measure(&self.report, &self.measure);
        self.target.is_empty() || about.is_some_and(|about| about.visibility == Visibility::Top)
    }

    /// `title`, `title: target`, `title: given → target`.
    fn title(&self, all: &[String]) -> String {
        let title = about::title(&self.report, &self.measure);
        match (self.given.is_empty(), self.target.is_empty()) {
            (true, true) => title,
            (true, false) => format!("{title}: {}", self.target),
            (false, true) => format!("{title}: {}", label(&self.given, all)),
            (false, false) => format!("{title}: {} → {}", label(&self.given, all), self.target),
        }
    }
}

impl Comparison {
    /// Every number for the whole, and of those that were taken from given modalities the means by
    /// how many were given.
    pub fn lines(&self) -> Vec<Line> {
        let keys = self.keys();
        let whole = keys.iter().filter(|key| key.given.is_empty() && key.is_for_the_whole());
        let of_whole = |key: &Key| {
            let about = about::measure(&key.report, &key.measure);
            let value = |entry: &Entry| (entry.value, entry.standard_error);
            Line {
                name: format!("{}: {}", key.report, key.title(&[])),
                first: about.is_some_and(|about| about.visibility == Visibility::Top),
                values: self.find(key).into_iter().map(|entry| entry.map(value)).collect(),
            }
        };
        let mut lines: Vec<Line> = whole.map(of_whole).collect();
        for (report, measure) in self.crossed() {
            let runs = self.by_given(&report, &measure);
            let name = about::title(&report, &measure);
            let sizes = unique(runs.iter().flatten().map(|point| point.x as usize));
            lines.extend(sizes.into_iter().map(|size| {
                let of = |run: &Vec<Point>| {
                    let point = run.iter().find(|point| point.x as usize == size);
                    point.map(|point| (point.y, None))
                };
                Line {
                    name: format!("{report}: {name}, {size} given"),
                    first: false,
                    values: runs.iter().map(of).collect(),
                }
            }));
        }
        lines
    }

    /// The [lines](Self::lines) as text: the head of a table and its rows.
    pub fn table(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let mut head = vec!["measure".to_owned()];
        head.extend(self.runs.iter().map(|(name, _)| name.clone()));
        let row = |line: Line| {
            let values = line.values.into_iter().map(|value| match value {
                Some((value, error)) => text(value, error),
                None => "-".to_owned(),
            });
            std::iter::once(line.name).chain(values).collect()
        };
        (head, self.lines().into_iter().map(row).collect())
    }

    /// What speaks against comparing the numbers: runs that were measured on different rows, or
    /// trained on different data. Of reports without codes of their data, what they call it.
    pub fn warnings(&self) -> Vec<String> {
        let about = [
            (
                Fact::MEASURED_ON,
                &["Evaluated data", "Evaluated rows"][..],
                "the runs were measured on different rows",
                "their numbers do not tell which model is better",
            ),
            (
                Fact::TRAINED_ON,
                &["Training data"][..],
                "the runs were trained on different data",
                "differences can come from the data",
            ),
        ];
        let warning = |(code, names, what, so): (&str, &[&str], &str, &str)| {
            let coded = self.groups(&[code]);
            let groups = if coded.iter().any(|(value, _)| value.is_empty()) {
                self.groups(names)
            } else {
                coded
            };
            let shown = |(_, runs): &(String, Vec<usize>)| {
                let name = |&run: &usize| {
                    let (name, measures) = &self.runs[run];
                    let of = names.iter().filter_map(|fact| measures.fact(fact));
                    let of = of.collect::<Vec<_>>().join(", ");
                    if of.is_empty() { name.clone() } else { format!("{name} ({of})") }
                };
                runs.iter().map(name).collect::<Vec<_>>().join(", ")
            };
            let groups: Vec<_> = groups.iter().map(shown).collect();
            (groups.len() > 1).then(|| format!("{what}, {so}: {}", groups.join("; against ")))
        };
        about.into_iter().filter_map(warning).collect()
    }

    /// Runs by the values of some facts, in the order of their first appearance; empty where a run
    /// does not tell them.
    fn groups(&self, facts: &[&str]) -> Vec<(String, Vec<usize>)> {
        let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
        for (run, (_, measures)) in self.runs.iter().enumerate() {
            let values = facts.iter().map(|fact| measures.fact(fact).unwrap_or_default());
            let value = values.collect::<Vec<_>>().join("\n");
            match groups.iter_mut().find(|(known, _)| *known == value) {
                Some((_, runs)) => runs.push(run),
                None => groups.push((value, vec![run])),
            }
        }
        groups
    }

    /// Writes `report.html`, `comparison.csv` and the figures under `figures` into a folder.
    ///
    /// # Errors
    ///
    /// [`ReportError`] if something cannot be written.
    pub fn save(&self, place: &Path) -> Result<(), ReportError> {
        folder(place)?;
        save_figures(&self.figures(), place)?;
        self.save_csv(&place.join("comparison.csv"))?;
        write(&place.join("report.html"), self.page()?.as_bytes())
    }

    /// The page.
    ///
    /// # Errors
    ///
    /// [`ReportError::Image`].
    pub fn page(&self) -> Result<String, ReportError> {
        let names: Vec<&str> = self.runs.iter().map(|(name, _)| name.as_str()).collect();
        let title = format!("{} runs side by side", names.len());
        let lead = "The best value of a line is bold, where higher or lower is better. It leads \
                    only as far as the standard errors, after ±, let one tell.";
        let (keys, figures) = (self.keys(), self.figures());
        let sections = in_order(unique(keys.iter().map(|key| about::home(&key.report))));
        let mut shown = Vec::new();
        for name in &sections {
            let (title, lead) = about::section(name);
            let own: Vec<&Figure> = figures.iter().filter(|f| f.section == *name).collect();
            let (figures, tables) = (gallery(&own)?, self.tables(name, &keys));
            let own = |entry: &&Entry| about::home(&entry.report) == *name;
            let entries: Vec<&Entry> = self.shown().filter(own).collect();
            shown.push(html! {
                section id=(name) {
                    h2 { (title) }
                    @if !lead.is_empty() { p.lead { (lead) } }
                    (figures)
                    (tables)
                    (explanations(&entries))
                }
            });
        }
        let body = html! {
            (top("comparison", &title, lead))
            @let warnings = self.warnings();
            @if !warnings.is_empty() {
                section #findings {
                    h2 { "What does not compare" }
                    ul.findings { @for warning in &warnings { li.attention { (warning) } } }
                }
            }
            (contents(&sections))
            @for section in &shown { (section) }
            section #provenance {
                h2 { "How this was made" }
                (self.provenance())
            }
        };
        Ok(document(&title, &body))
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.runs.iter().flat_map(|(_, measures)| &measures.entries)
    }

    /// The entries that a page shows.
    fn shown(&self) -> impl Iterator<Item = &Entry> {
        self.entries().filter(|entry| about::is_shown(entry))
    }

    /// What is shown of any run, in the order of its first appearance.
    fn keys(&self) -> Vec<Key> {
        unique(self.shown().map(Key::of))
    }

    /// The entry of each run.
    fn find(&self, key: &Key) -> Vec<Option<&Entry>> {
        let entry = |(_, measures): &'_ (String, Measures)| {
            measures.entries.iter().position(|entry| key.names(entry))
        };
        let places = self.runs.iter().map(entry);
        let runs = self.runs.iter().zip(places);
        runs.map(|((_, measures), place)| place.map(|place| &measures.entries[place])).collect()
    }

    /// Measures that were taken from given modalities of targets.
    fn crossed(&self) -> Vec<(String, String)> {
        let crossed = self.shown().filter(|e| !e.given.is_empty() && !e.target.is_empty());
        unique(crossed.map(|entry| (entry.report.clone(), entry.measure.clone())))
    }

    /// A measure by how many modalities were given, one line per run: the mean over all sets of a size
    /// and the targets that they do not hold.
    fn by_given(&self, report: &str, measure: &str) -> Vec<Vec<Point>> {
        let line = |(_, measures): &(String, Measures)| {
            let own: Vec<&Entry> = measures
                .entries
                .iter()
                .filter(|e| e.report == report && e.measure == measure && !e.target.is_empty())
                .filter(|e| !e.given.is_empty() && !e.given.contains(&e.target))
                .collect();
            let mut sizes = unique(own.iter().map(|entry| entry.given.len()));
            sizes.sort_unstable();
            let point = |size: usize| {
                let values = own.iter().filter(|e| e.given.len() == size).map(|entry| entry.value);
                let values: Vec<f64> = values.collect();
                let y = values.iter().sum::<f64>() / values.len() as f64;
                Point { x: size as f64, y, error: None }
            };
            sizes.into_iter().map(point).collect()
        };
        self.runs.iter().map(line).collect()
    }

    /// Bars of every number for the whole that has a better side, and lines by how much was given.
    fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for key in self.keys() {
            let whole = key.given.is_empty() && key.is_for_the_whole();
            let Some(about) = about::measure(&key.report, &key.measure).filter(|_| whole) else {
                continue;
            };
            let title = key.title(&[]);
            let end =
                if key.target.is_empty() { String::new() } else { format!("-{}", key.target) };
            let name = format!("{}-{}{end}", key.report, key.measure).replace(['_', ' '], "-");
            if about.better == Better::Neither {
                continue;
            }
            let direction = about.better.text();
            // What was measured of one run alone says nothing beside others, and numbers by how
            // much was given are drawn below.
            let by_given = key.target.ends_with(" given");
            let list = self.find(&key).into_iter().zip(&self.runs);
            let bar = |(entry, (name, _)): (Option<&Entry>, &(String, Measures))| {
                let (value, error) = (entry?.value, entry?.standard_error);
                Some(Bar { name: name.clone(), value, error })
            };
            let list: Vec<Bar> = list.filter_map(bar).collect();
            if by_given || list.len() < 2.min(self.runs.len()) {
                continue;
            }
            let unit = if about.unit.is_empty() { "" } else { "In " };
            let stop = if about.unit.is_empty() { "" } else { ". " };
            let heading = Heading {
                name: &name,
                section: about::home(&key.report),
                title: &title,
                caption: &format!(
                    "{unit}{}{stop}{direction} Lines: one standard error to each side.",
                    about.unit
                ),
            };
            figures.push(bars(heading, &list));
        }
        for (report, measure) in self.crossed() {
            let lines = self.by_given(&report, &measure);
            if lines.iter().all(|line| line.len() < 2) {
                continue;
            }
            let lines = self.runs.iter().zip(lines);
            let lines: Vec<Curve> =
                lines.map(|((name, _), points)| Curve { name: name.clone(), points }).collect();
            let title = format!("{}, by how much is given", about::title(&report, &measure));
            let heading = Heading {
                name: &format!("{report}-{}-by-given", measure.replace('_', "-")),
                section: about::home(&report),
                title: &title,
                caption: "Mean over all sets of this size and the targets that they do not hold.",
            };
            let unit = about::measure(&report, &measure).map_or("", |about| about.unit);
            figures.push(curves(heading, Axes { x: "modalities given", y: unit }, &lines));
        }
        figures
    }

    /// The lines of a section: numbers for the whole, by target, and, folded, from given.
    fn tables(&self, section: &str, keys: &[Key]) -> Markup {
        let all = everything(&self.entries().collect::<Vec<_>>());
        let own: Vec<&Key> =
            keys.iter().filter(|key| about::home(&key.report) == section).collect();
        let (whole, rest): (Vec<&Key>, Vec<&Key>) =
            own.into_iter().partition(|key| key.given.is_empty());
        html! {
            @if !whole.is_empty() {
                @if whole.len() > LONG {
                    details { summary { "Numbers" span.small { " · " (whole.len()) " rows" } } (self.rows(&whole, &all)) }
                } @else { (self.rows(&whole, &all)) }
            }
            @if !rest.is_empty() {
                details {
                    summary { "From every given set" span.small { " · " (rest.len()) " rows" } }
                    (self.rows(&rest, &all))
                }
            }
        }
    }

    fn rows(&self, keys: &[&Key], all: &[String]) -> Markup {
        scrolling(html! {
            table {
                thead { tr { th { "measure" } @for (name, _) in &self.runs { th { (name) } } } }
                tbody {
                    @for key in keys {
                        @let entries = self.find(key);
                        @let best = best(&entries, key.better());
                        tr {
                            th scope="row" { (key.title(all)) }
                            @for entry in entries {
                                @if let Some(entry) = entry {
                                    td class=[(Some(entry.value) == best).then_some("best")] { (number(entry)) }
                                } @else { td { "·" } }
                            }
                        }
                    }
                }
            }
        })
    }

    /// What differs and what does not between the runs, as they tell it.
    fn provenance(&self) -> Markup {
        let facts = self.runs.iter().flat_map(|(_, measures)| &measures.provenance);
        let names = unique(facts.map(|fact| fact.name.as_str()));
        let value = |measures: &'_ Measures, name: &str| {
            let fact = measures.provenance.iter().find(|fact| fact.name == name);
            fact.map_or_else(|| "·".to_owned(), |fact| fact.value.clone())
        };
        scrolling(html! {
            table {
                thead { tr { th { "" } @for (name, _) in &self.runs { th { (name) } } } }
                tbody {
                    @for name in names {
                        tr {
                            th scope="row" { (name) }
                            @for (_, measures) in &self.runs { td.text { (value(measures, name)) } }
                        }
                    }
                }
            }
        })
    }

    fn save_csv(&self, path: &Path) -> Result<(), ReportError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let head =
            ["run", "report", "measure", "given", "target", "value", "standard_error", "count"];
        writer.write_record(head).map_err(ReportError::Table)?;
        for (name, measures) in &self.runs {
            for entry in &measures.entries {
                let record = crate::table::record(entry);
                let record = std::iter::once(name.clone()).chain(record);
                writer.write_record(record).map_err(ReportError::Table)?;
            }
        }
        let bytes = writer.into_inner().map_err(|e| ReportError::Table(e.into_error().into()))?;
        write(path, &bytes)
    }
}

/// The best value of several; `None` if there is no better side or nothing to compare.
fn best(entries: &[Option<&Entry>], better: Better) -> Option<f64> {
    let values = entries.iter().flatten().map(|entry| entry.value).filter(|value| !value.is_nan());
    let values: Vec<f64> = values.collect();
    // Of equal ones none is better.
    if values.iter().all(|value| *value == values[0]) {
        return None;
    }
    match better {
        Better::Higher => values.into_iter().max_by(f64::total_cmp),
        Better::Lower => values.into_iter().min_by(f64::total_cmp),
        Better::Neither => None,
    }
}

/// A value with its standard error, if it has one.
pub fn text(value: f64, standard_error: Option<f64>) -> String {
    match shown(value, standard_error) {
        (value, Some(error)) => format!("{value} ± {error}"),
        (value, None) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::entry;

    fn comparison() -> Comparison {
        let run = |elbo: f64, error: f64| Measures {
            entries: vec![
                entry("evaluation", "elbo", &[], "", elbo),
                entry("evaluation", "mean_squared_error", &["a"], "b", error),
                entry("evaluation", "mean_squared_error", &["a"], "c", 2.0 * error),
                entry("evaluation", "mean_squared_error", &["a", "b"], "c", error),
                entry("evaluation", "mean_squared_error", &["a", "b"], "b", 0.0),
            ],
            ..Measures::new("a run")
        };
        let mut second = run(-20.0, 1.0);
        second.entries.push(entry("own", "speed", &[], "", 3.0));
        Comparison { runs: vec![("one".into(), run(-10.0, 2.0)), ("two".into(), second)] }
    }

    #[test]
    fn the_better_value_of_a_line_is_bold_whichever_side_is_better() {
        let page = comparison().page().expect("a page");
        // The bound is better higher, three errors are better lower, the last pair is equal.
        let bold: Vec<&str> = page.split("<td class=\"best\">").skip(1).collect();
        assert_eq!(bold.len(), 4);
        assert!(bold[0].contains(">−10.00<"), "{}", &bold[0][..60]);
        assert!(bold[1].contains(">1.00<"), "{}", &bold[1][..60]);
    }

    #[test]
    fn the_table_of_the_terminal_has_means_by_how_much_is_given() {
        let (head, rows) = comparison().table();
        assert_eq!(head, ["measure", "one", "two"]);
        let row = |start: &str| {
            let row = rows.iter().find(|row| row[0].starts_with(start));
            row.unwrap_or_else(|| panic!("{start} in {rows:?}"))[1..].to_vec()
        };
        assert_eq!(row("evaluation: Evidence"), ["−10.00 ± 0.50", "−20.00 ± 0.50"]);
        assert_eq!(row("own: Speed"), ["-", "3.00 ± 0.50"]);
        let error = "evaluation: Squared error from given modalities, ";
        assert_eq!(row(&format!("{error}1 given")), ["3", "1.500"]);
        // The reconstruction of what was given does not count.
        assert_eq!(row(&format!("{error}2 given")), ["2", "1"]);
    }

    #[test]
    fn runs_on_different_data_are_warned_of_by_code_and_without_codes_by_name() {
        let told = |facts: [&[(&str, &str)]; 2]| {
            let mut comparison = comparison();
            for ((_, measures), facts) in comparison.runs.iter_mut().zip(facts) {
                let fact = |&(name, value): &(&str, &str)| Fact {
                    name: name.to_owned(),
                    value: value.to_owned(),
                };
                measures.provenance = facts.iter().map(fact).collect();
            }
            comparison
        };
        let data = ("Evaluated data", "a");
        let (one, two) = ((Fact::MEASURED_ON, "12"), (Fact::MEASURED_ON, "34"));
        assert!(comparison().warnings().is_empty());
        assert!(told([&[data, one], &[data, one]]).warnings().is_empty());
        // Data of one name is not always the same.
        let different = told([&[data, one], &[data, two]]);
        assert_eq!(
            different.warnings(),
            ["the runs were measured on different rows, their numbers do not tell which model is \
              better: one (a); against two (a)"]
        );
        assert!(different.page().expect("a page").contains("measured on different rows"));
        let named = told([&[("Training data", "a")], &[("Training data", "b")]]).warnings();
        assert!(named[0].starts_with("the runs were trained on different data"), "{named:?}");
        // One has a code and the other is of an earlier program.
        assert!(told([&[data, one], &[data]]).warnings().is_empty());
    }

    #[test]
    fn a_comparison_is_a_page_a_table_and_figures() {
        let folder = tempfile::tempdir().expect("a folder");
        comparison().save(folder.path()).expect("written");
        for name in ["report.html", "comparison.csv", "figures/evaluation-elbo.svg"] {
            assert!(folder.path().join(name).is_file(), "{name}");
        }
        let table = std::fs::read_to_string(folder.path().join("comparison.csv")).expect("text");
        assert_eq!(table.lines().count(), 1 + 5 + 6);
        assert!(table.contains("two,own,speed,,,3,0.5,10"), "{table}");
    }
}
