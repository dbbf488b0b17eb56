//! Figures from the rows of measures.

use multivae_metrics::Entry;

use crate::{
    about::{self, MEASURES, Map},
    entries::{everything, label, unique},
    figure::{Axes, Bar, Cells, Curve, Figure, Heading, Point, bars, columns, curves, heat},
};

/// A heat map of a measure that was taken from given modalities: subset by target. `None` if there
/// are no such rows. Without a range each column has its own colours.
pub fn heat_map(
    entries: &[Entry],
    report: &str,
    measure: &str,
    range: Option<(f64, f64)>,
) -> Option<Figure> {
    let chosen: Vec<&Entry> = of(entries, report, measure).collect();
    let mut columns = unique(chosen.iter().map(|entry| entry.target.clone()));
    let mut sets = unique(chosen.iter().map(|entry| entry.given.clone()));
    sets.sort_by_key(Vec::len);
    let all = everything(&chosen);
    // Modalities stand in the same order above and beside.
    columns.sort_by_key(|target| all.iter().position(|name| name == target).unwrap_or(all.len()));
    let at = |given: &[String], target: &str| {
        chosen.iter().find(|entry| entry.given == given && entry.target == target)
    };
    let cells = Cells {
        rows: sets.iter().map(|given| label(given, &all)).collect(),
        values: sets
            .iter()
            .map(|given| columns.iter().map(|t| at(given, t).map(|entry| entry.value)).collect())
            .collect(),
        framed: sets.iter().map(|g| columns.iter().map(|t| g.contains(t)).collect()).collect(),
        columns,
        range,
    };
    if cells.rows.is_empty() {
        return None;
    }
    let colours = match range {
        Some(_) => "Bright is high",
        None => "Bright is high, in each column by itself",
    };
    let mut cells_of = cells.framed.iter().flatten().zip(cells.values.iter().flatten());
    let framed = match cells_of.any(|(framed, value)| *framed && value.is_some()) {
        true => " A frame says that the wanted was among the given.",
        false => "",
    };
    let better = about::measure(report, measure).map_or("", |about| about.better.text());
    let caption =
        format!("Rows: what was given; columns: what was wanted. {colours}. {better}{framed}");
    let heading = Heading {
        name: &format!("{report}-{}", measure.replace('_', "-")),
        section: about::home(report),
        title: &about::title(report, measure),
        caption: &caption,
    };
    Some(heat(heading, "given", &cells))
}

/// All figures that can be drawn from the rows of measures: a heat map of each measure that was
/// taken from given modalities, coherence by how many were given, what each dimension and each
/// modality is worth, and what is left when modalities are missing.
pub fn drawn(entries: &[Entry]) -> Vec<Figure> {
    let mut figures = Vec::new();
    if let Some(figure) = coherence(entries) {
        figures.push(figure);
    }
    for about in MEASURES {
        let range = match about.map {
            Map::None => continue,
            Map::Own => None,
            Map::Range(low, high) => Some((low, high)),
        };
        figures.extend(heat_map(entries, about.report, about.name, range));
    }
    figures.extend(shares(entries));
    figures.extend(dimensions(entries));
    for measure in ["contribution_shift", "contribution_decoding"] {
        figures.extend(contributions(entries, measure));
    }
    for measure in ["robustness_accuracy", "robustness_bound", "robustness_hidden"] {
        figures.extend(robustness(entries, measure));
    }
    figures
}

/// The entries of a measure that nothing was given for.
fn whole<'a>(entries: &'a [Entry], report: &'a str, measure: &'a str) -> Vec<&'a Entry> {
    let fits = |e: &&Entry| e.report == report && e.measure == measure && e.given.is_empty();
    entries.iter().filter(fits).collect()
}

/// Mean coherence by the number of given modalities, which stands in the target as `2 given`.
fn coherence(entries: &[Entry]) -> Option<Figure> {
    let point = |entry: &&Entry| {
        let x = entry.target.strip_suffix(" given")?.parse().ok()?;
        Some(Point { x, y: entry.value, error: entry.standard_error })
    };
    let sizes = whole(entries, "coherence", "mean_accuracy");
    let points: Vec<Point> = sizes.iter().filter_map(point).collect();
    let heading = Heading {
        name: "coherence-by-given",
        section: "coherence",
        title: "Coherence by how much is given",
        caption: "Mean over all sets of this size and the targets that they do not hold. A model \
                  that joins what it is given well gains from more of it. Bars: one standard \
                  error.",
    };
    let line = Curve { name: "generated".to_owned(), points };
    let axes = Axes { x: "modalities given", y: "share of rows with the right class" };
    (line.points.len() > 1).then(|| curves(heading, axes, &[line]))
}

/// How often each class is generated.
fn shares(entries: &[Entry]) -> Option<Figure> {
    let bar = |entry: &&Entry| Bar {
        name: entry.target.clone(),
        value: entry.value,
        error: entry.standard_error,
    };
    let list: Vec<Bar> = whole(entries, "joint_coherence", "class_share").iter().map(bar).collect();
    let heading = Heading {
        name: "joint-coherence-classes",
        section: "coherence",
        title: "Classes that are generated from nothing",
        caption: "Share of samples by the class that most of their modalities show. Lines: one \
                  standard error.",
    };
    (!list.is_empty()).then(|| bars(heading, &list))
}

/// The divergence of each dimension, one figure per space. Targets are `SPACE NUMBER`.
fn dimensions(entries: &[Entry]) -> Vec<Figure> {
    let all = whole(entries, "representation", "dimension_kl");
    let space = |entry: &'_ Entry| entry.target.rsplit_once(' ').map(|(space, _)| space.to_owned());
    let spaces = unique(all.iter().filter_map(|entry| space(entry)));
    let draw = |name: String| {
        let own = all.iter().filter(|entry| space(entry).as_deref() == Some(name.as_str()));
        let values: Vec<f64> = own.map(|entry| entry.value).collect();
        let title = format!("Divergence of each dimension of {name}");
        let heading = Heading {
            name: &format!("kl-{name}"),
            section: "representation",
            title: &title,
            caption: "Nats by which the posterior differs from the prior, by the number of the \
                      dimension. Dimensions near zero hold nothing.",
        };
        columns(heading, "nats", &values)
    };
    spaces.into_iter().map(draw).collect()
}

/// A measure of each modality.
fn contributions(entries: &[Entry], measure: &str) -> Option<Figure> {
    let list = whole(entries, "representation", measure);
    let about = about::measure("representation", measure)?;
    let bar = |entry: &&Entry| Bar {
        name: entry.target.clone(),
        value: entry.value,
        error: entry.standard_error,
    };
    let heading = Heading {
        name: &measure.replace('_', "-"),
        section: "representation",
        title: about.title,
        caption: &format!("{} In {}. Lines: one standard error.", about.meaning, about.unit),
    };
    (!list.is_empty()).then(|| bars(heading, &list.iter().map(bar).collect::<Vec<_>>()))
}

/// A measure by the share of modalities that are missing, which stands in the target.
fn robustness(entries: &[Entry], measure: &str) -> Option<Figure> {
    let point = |entry: &&Entry| {
        let x = entry.target.parse().ok()?;
        Some(Point { x, y: entry.value, error: entry.standard_error })
    };
    let list = whole(entries, "representation", measure);
    let points: Vec<Point> = list.iter().filter_map(point).collect();
    let about = about::measure("representation", measure)?;
    let heading = Heading {
        name: &measure.replace('_', "-"),
        section: "representation",
        title: about.title,
        caption: &format!("{} Bars: one standard error.", about.meaning),
    };
    let line = Curve { name: "test rows".to_owned(), points };
    let axes = Axes { x: "share of modalities that are taken away", y: about.unit };
    (line.points.len() > 1).then(|| curves(heading, axes, &[line]))
}

/// The rows of a measure that were taken from given modalities.
fn of<'a>(
    entries: &'a [Entry],
    report: &'a str,
    measure: &'a str,
) -> impl Iterator<Item = &'a Entry> {
    entries
        .iter()
        .filter(move |e| e.report == report && e.measure == measure && !e.given.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::entry;

    #[test]
    fn what_can_be_drawn_is() {
        let entries = [
            entry("coherence", "mean_accuracy", &[], "1 given", 0.5),
            entry("coherence", "mean_accuracy", &[], "2 given", 0.75),
            entry("coherence", "accuracy", &["a"], "b", 0.5),
            entry("joint_coherence", "class_share", &[], "3", 0.1),
            entry("representation", "dimension_kl", &[], "z 0", 1.5),
            entry("representation", "dimension_kl", &[], "z_a 0", 0.5),
            entry("representation", "contribution_shift", &[], "a", 0.5),
            entry("representation", "robustness_bound", &[], "0.00", -5.0),
            entry("representation", "robustness_bound", &[], "0.50", -9.0),
            entry("representation", "robustness_hidden", &[], "0.50", -9.0),
            entry("unknown", "measure", &["a"], "b", 1.0),
        ];
        let names: Vec<_> = drawn(&entries).into_iter().map(|figure| figure.name).collect();
        let expected = [
            "coherence-by-given",
            "coherence-accuracy",
            "joint-coherence-classes",
            "kl-z",
            "kl-z_a",
            "contribution-shift",
            "robustness-bound",
        ];
        assert_eq!(names, expected);
        assert!(drawn(&[]).is_empty());
    }

    #[test]
    fn a_map_has_a_row_a_set_and_frames_what_was_given() {
        let entries = [
            entry("coherence", "accuracy", &["a", "b"], "a", 0.5),
            entry("coherence", "accuracy", &["a"], "b", 0.25),
        ];
        let figure = heat_map(&entries, "coherence", "accuracy", Some((0.0, 1.0)));
        let figure = figure.expect("two entries");
        assert!(figure.caption.contains("frame"), "{}", figure.caption);
        assert!(heat_map(&entries, "coherence", "recall", None).is_none());
    }
}
