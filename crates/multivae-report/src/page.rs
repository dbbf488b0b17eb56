//! The page: one file without a script, which needs no network.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use multivae_metrics::Entry;

use crate::{
    ReportError,
    about::{self, MEASURES, Measure, SECTIONS, Visibility},
    data::{self, DATA},
    entries::unique,
    error::{folder, write},
    figure::{Content, DRAWING, Figure, Strip, grid, images},
    number::shown,
    table::{Measures, Table, Tone, tables},
};

/// How everything looks, on the page and in drawings.
const STYLE: &str = include_str!("page.css");
/// Rows of a table from which on it has to be unfolded.
const LONG: usize = 6;

/// Measures and figures of one model.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was measured.
    pub measures: Measures,
    /// What there is to see.
    pub figures: Vec<Figure>,
}

impl Report {
    /// Writes `report.html`, `metrics.json`, `metrics.csv` and the figures under `figures` into a
    /// folder.
    ///
    /// # Errors
    ///
    /// [`ReportError`] if something cannot be written.
    pub fn save(&self, place: &Path) -> Result<(), ReportError> {
        folder(place)?;
        save_figures(&self.figures, place)?;
        self.measures.save_json(&place.join("metrics.json"))?;
        self.measures.save_csv(&place.join("metrics.csv"))?;
        write(&place.join("report.html"), self.page()?.as_bytes())
    }

    /// The page.
    ///
    /// # Errors
    ///
    /// [`ReportError::Image`].
    pub fn page(&self) -> Result<String, ReportError> {
        let measures = &self.measures;
        let sections = self.sections();
        let mut shown = Vec::new();
        for name in &sections {
            shown.push(self.section(name)?);
        }
        let lead = format!(
            "{} A value after ± is a standard error: about how far the number would move with \
             other rows of the same kind.",
            measures.summary
        );
        let body = html! {
            (top("evaluation", &measures.title, lead.trim_start()))
            @if !measures.findings.is_empty() {
                section #findings {
                    h2 { "Findings" }
                    ul.findings {
                        @for finding in &measures.findings {
                            li class=(tone(finding.tone)) { (finding.text) }
                        }
                    }
                }
            }
            (tiles(&measures.entries))
            (contents(&sections))
            @for section in &shown { (section) }
            @if !measures.absent.is_empty() {
                section #absent {
                    h2 { "Not measured" }
                    dl.facts {
                        @for absent in &measures.absent {
                            dt { (about::section(&absent.name).0) }
                            dd { (absent.reason) }
                        }
                    }
                }
            }
            @if !measures.provenance.is_empty() {
                section #provenance {
                    h2 { "How this was made" }
                    dl.facts {
                        @for fact in &measures.provenance {
                            dt { (fact.name) }
                            dd { (fact.value) }
                        }
                    }
                }
            }
        };
        Ok(document(&measures.title, &body))
    }

    /// The sections with something to show: those that are known in their order, then others.
    fn sections(&self) -> Vec<&str> {
        let figures = self.figures.iter().map(|figure| figure.section.as_str());
        let entries = self.measures.entries.iter().map(|entry| about::home(&entry.report));
        let data = self.measures.reports.contains_key(DATA).then_some(DATA);
        in_order(unique(figures.chain(entries).chain(data)))
    }

    fn section(&self, name: &str) -> Result<Markup, ReportError> {
        let (title, lead) = about::section(name);
        let figures: Vec<&Figure> = self.figures.iter().filter(|f| f.section == name).collect();
        let entries = self.measures.entries.iter();
        let entries: Vec<&Entry> = entries
            .filter(|entry| about::home(&entry.report) == name && about::is_shown(entry))
            .collect();
        let figures = gallery(&figures)?;
        let data = self.measures.reports.get(DATA).filter(|_| name == DATA);
        let data = data.map(data::section).transpose()?;
        let reports = unique(entries.iter().map(|entry| entry.report.as_str()));
        Ok(html! {
            section id=(name) {
                h2 { (title) }
                @if !lead.is_empty() { p.lead { (lead) } }
                (figures)
                @if let Some(data) = data { (data) }
                @let tables: Vec<(bool, Markup)> = reports
                    .into_iter()
                    .flat_map(|report| {
                        let own = entries.iter().filter(|entry| entry.report == report);
                        let own: Vec<&Entry> = own.copied().collect();
                        let tables = tables(&own, |measure| about::title(report, measure));
                        let laid_out = |table| laid_out(report, table);
                        tables.iter().map(laid_out).collect::<Vec<_>>()
                    })
                    .collect();
                @if tables.iter().any(|(folded, _)| !folded) {
                    div.tables {
                        @for (_, table) in tables.iter().filter(|(folded, _)| !folded) { (table) }
                    }
                }
                @for (_, table) in tables.iter().filter(|(folded, _)| *folded) { (table) }
                (explanations(&entries))
            }
        })
    }
}

/// Sections in the order of the page: those that are known, then others.
pub(crate) fn in_order(mut sections: Vec<&str>) -> Vec<&str> {
    let place = |name: &&str| SECTIONS.iter().position(|about| about.name == *name);
    sections.sort_by_key(|name| place(name).unwrap_or(SECTIONS.len()));
    sections
}

/// Writes figures into the folder `figures` of a place.
pub(crate) fn save_figures(figures: &[Figure], place: &Path) -> Result<(), ReportError> {
    if figures.is_empty() {
        return Ok(());
    }
    let place = place.join("figures");
    folder(&place)?;
    figures.iter().try_for_each(|figure| figure.save(&place).map(drop))
}

/// A whole page.
pub(crate) fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                // No icon: a browser would ask the network for one.
                link rel="icon" href="data:,";
                style { (PreEscaped(DRAWING)) (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    };
    page.into_string()
}

/// The head of a page.
pub(crate) fn top(kind: &str, title: &str, lead: &str) -> Markup {
    html! {
        header {
            p.kind { "multivae · " (kind) }
            h1 { (title) }
            p.lead { (lead) }
        }
    }
}

/// Links to the sections.
pub(crate) fn contents(sections: &[&str]) -> Markup {
    html! {
        @if sections.len() > 1 {
            nav aria-label="Sections" {
                @for name in sections {
                    a href=(format!("#{name}")) { (about::section(name).0) }
                }
            }
        }
    }
}

fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Note => "note",
        Tone::Attention => "attention",
    }
}

/// The numbers that say most, large.
fn tiles(entries: &[Entry]) -> Markup {
    let chosen: Vec<(&Entry, &Measure)> = MEASURES
        .iter()
        .filter_map(|about| {
            let mut own = entries
                .iter()
                .filter(|entry| entry.report == about.report && entry.measure == about.name);
            let entry = match about.visibility {
                Visibility::Top => own.find(|entry| entry.given.is_empty()),
                Visibility::TopFromAll => own.max_by_key(|entry| entry.given.len()),
                Visibility::Table | Visibility::Files => None,
            };
            Some((entry?, about))
        })
        .collect();
    html! {
        @if !chosen.is_empty() {
            div.tiles {
                @for (entry, about) in chosen {
                    @let (value, error) = shown(entry.value, entry.standard_error);
                    div {
                        p.name { (about.title) @if !entry.target.is_empty() { ", " (entry.target) } }
                        p.value { (value) }
                        p.small {
                            @if let Some(error) = error { "± " (error) " " }
                            (about.unit)
                        }
                    }
                }
            }
        }
    }
}

/// Figures side by side where there is room.
pub(crate) fn gallery(figures: &[&Figure]) -> Result<Markup, ReportError> {
    let mut shown = Vec::new();
    for figure in figures {
        let (class, content) = match &figure.content {
            Content::Drawing(svg) => ("drawing", svg.clone()),
            Content::Images(strips) => ("images", images_of(strips)?),
        };
        shown.push(html! {
            figure class=(class) id=(format!("figure-{}", figure.name)) {
                h3 { (figure.title) }
                (content)
                figcaption { (figure.caption) }
            }
        });
    }
    Ok(html! {
        @if !shown.is_empty() { div.gallery { @for figure in &shown { (figure) } } }
    })
}

fn images_of(strips: &[Strip]) -> Result<Markup, ReportError> {
    let mut shown = Vec::new();
    for strip in strips {
        let image = grid(&[&strip.row]);
        let (width, height) = image.dimensions();
        let source = format!("data:image/png;base64,{}", STANDARD.encode(images::png(&image)?));
        shown.push(html! {
            div.strip {
                span { (strip.label) }
                img src=(source) alt=(strip.label) width=(width) height=(height);
            }
        });
    }
    Ok(html! { div.strips { @for strip in &shown { (strip) } } })
}

/// A table in a box of its own, which scrolls where it is too wide; folded if it is long, and
/// whether it is.
fn laid_out(report: &str, table: &Table<'_>) -> (bool, Markup) {
    let title = table.measure.map(|measure| about::title(report, measure));
    let content = scrolling(html! {
        table {
            thead { tr { th { (table.corner) } @for name in &table.columns { th { (name) } } } }
            tbody {
                @for (name, cells) in &table.rows {
                    tr {
                        th scope="row" { (name) }
                        @for cell in cells { td { @if let Some(entry) = cell { (number(entry)) } @else { "·" } } }
                    }
                }
            }
        }
    });
    let unit = table.measure.and_then(|measure| about::measure(report, measure));
    let unit = unit.map(|about| about.unit).filter(|unit| !unit.is_empty());
    if table.rows.len() <= LONG && table.measure.is_none() {
        return (false, content);
    }
    let folded = html! {
        details {
            summary {
                (title.unwrap_or_else(|| table.columns.join(", ")))
                span.small {
                    @if let Some(unit) = unit { " · " (unit) }
                    " · " (table.rows.len()) " rows"
                }
            }
            (content)
        }
    };
    (true, folded)
}

/// Puts a table into its box.
pub(crate) fn scrolling(table: Markup) -> Markup {
    html! { div.scroll tabindex="0" { (table) } }
}

/// A value with its error.
pub(crate) fn number(entry: &Entry) -> Markup {
    let (value, error) = shown(entry.value, entry.standard_error);
    let count = format!("from {} rows", entry.count);
    html! {
        span title=(count) { (value) }
        @if let Some(error) = error { span.small { " ± " (error) } }
    }
}

/// What the measures mean, in words.
pub(crate) fn explanations(entries: &[&Entry]) -> Markup {
    let names = unique(entries.iter().map(|e| (e.report.as_str(), e.measure.as_str())));
    let known: Vec<_> =
        names.iter().filter_map(|(report, name)| about::measure(report, name)).collect();
    html! {
        @if !known.is_empty() {
            details.meaning {
                summary { "What these measures mean" }
                dl.facts {
                    @for about in known {
                        dt { (about.title) }
                        dd { (about.meaning) " " (about.better.text()) }
                    }
                }
            }
        }
    }
}
