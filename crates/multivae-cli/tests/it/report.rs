//! What `evaluate --metrics` and `compare` leave behind.

use std::fs;

use multivae::report::Measures;

use crate::place::{Place, with_run};

fn measures(place: &Place, folder: &str) -> Measures {
    Measures::read(&place.path(folder).join("metrics.json")).expect("it was written")
}

#[test]
fn a_report_is_one_page_with_all_that_was_measured() {
    let place = with_run();
    let text = place.succeeds("evaluate run --metrics all");
    assert!(text.contains("Evidence lower bound") && text.contains("report.html"), "{text}");
    let folder = place.path("run/evaluation");
    for name in ["report.html", "metrics.csv", "figures/loss.svg", "figures/latent-z-pca.svg"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    assert!(place.left_over().is_empty());
    let measures = measures(&place, "run/evaluation");
    let elbo = measures.entries.iter().find(|entry| entry.measure == "elbo");
    assert!(elbo.is_some_and(|entry| entry.count > 0 && entry.value.is_finite()));
    assert!(measures.reports["evaluation"]["elbo"].is_object());
    let table = fs::read_to_string(folder.join("metrics.csv")).expect("a table");
    assert_eq!(table.lines().count(), 1 + measures.entries.len());

    let page = fs::read_to_string(folder.join("report.html")).expect("a page");
    assert!(page.contains("mopoe on data") && page.contains("name=\"viewport\""));
    for outside in ["src=\"http", "href=\"http", "url(", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
    // The data has no labels: that is said, with what it keeps from being measured.
    let absent = measures.absent.iter().find(|absent| absent.name == "clustering");
    let absent = absent.expect("there is nothing to compare clusters with");
    assert!(absent.reason.contains("label"), "{absent:?}");
    assert!(page.contains("Not measured"));
    assert!(measures.absent.iter().any(|absent| absent.reason.contains("no images")));
}

#[test]
fn a_metric_that_is_asked_for_and_cannot_be_taken_is_an_error() {
    let place = with_run();
    place.fails("evaluate run --metrics elbo,clustering", 2, &["--metrics clustering", "label"]);
    place.fails("evaluate run --metrics beauty", 2, &["beauty", "reconstruction"]);
}

#[test]
fn measures_that_were_not_asked_for_are_not_taken_and_rows_can_be_fewer() {
    let place = with_run();
    place.succeeds("evaluate run --metrics elbo --rows 2 --out few");
    let few = measures(&place, "few");
    assert!(few.entries.iter().all(|entry| entry.report == "evaluation" && entry.count <= 2));
    assert!(few.absent.is_empty());
}

#[test]
fn runs_are_put_side_by_side() {
    let place = with_run();
    place.fails("compare run run", 2, &["`run`", "multivae evaluate run --metrics all"]);
    place.succeeds("evaluate run --metrics elbo");
    place.succeeds("evaluate run --metrics elbo,reconstruction --seed 1 --out second");
    let text = place.succeeds("compare run second --out both");
    assert!(text.lines().next().is_some_and(|head| head.contains("run  ")), "{text}");
    let row = text.lines().find(|line| line.contains("Evidence lower bound"));
    assert_eq!(row.map(|row| row.matches('±').count()), Some(2), "{text}");
    for name in ["report.html", "comparison.csv", "figures/evaluation-elbo.svg"] {
        assert!(place.path("both").join(name).is_file(), "{name}");
    }
    place.fails("compare run data", 2, &["`data`", "metrics.json"]);
    // What `evaluate` writes without `--metrics` is another thing.
    place.succeeds("evaluate run --out plain");
    place.fails("compare run plain", 2, &["plain", "--metrics"]);
}
