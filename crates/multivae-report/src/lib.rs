//! Figures and a self-contained page from the measures of multimodal variational autoencoders.
//!
//! Everything is made from the rows of [`Entries`](multivae_metrics::Entries) and from plain
//! series of numbers: a new measure appears in the tables, in `metrics.csv` and in comparisons
//! without a line here. What is said of a measure stands in `about.rs`.
//!
//! ```
//! use multivae_metrics::Entry;
//! use multivae_report::{Axes, Curve, Heading, Measures, Point, Report, curves};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let entry = Entry {
//!     report: "evaluation".into(),
//!     measure: "elbo".into(),
//!     given: vec![],
//!     target: String::new(),
//!     value: -801.25,
//!     standard_error: Some(2.5),
//!     count: 500,
//! };
//! let measures = Measures { entries: vec![entry], ..Measures::new("mopoe on polydigits") };
//! let heading = Heading { name: "loss", section: "training", title: "Loss", caption: "By epoch." };
//! let points = [(1.0, 950.0), (2.0, 860.0)].map(|(x, y)| Point { x, y, error: None });
//! let line = Curve { name: "training rows".into(), points: points.to_vec() };
//! let figures = vec![curves(heading, Axes { x: "epoch", y: "nats" }, &[line])];
//!
//! Report { measures, figures }.save(folder)?;
//! for name in ["report.html", "metrics.json", "metrics.csv", "figures/loss.svg"] {
//!     assert!(folder.join(name).is_file());
//! }
//! assert_eq!(Measures::read(&folder.join("metrics.json"))?.entries[0].value, -801.25);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod about;
mod compare;
mod data;
mod draw;
mod entries;
mod error;
mod figure;
mod number;
mod page;
mod replicas;
mod table;

pub use compare::{Comparison, Line, text};
pub use draw::{drawn, heat_map};
pub use error::ReportError;
pub use figure::{
    Axes, Bar, Cells, Curve, Figure, Heading, Point, Row, Scatter, Strip, Term, bars, columns,
    curves, grid, heat, losses, scatter, sheet, strips,
};
pub use number::shown;
pub use page::Report;
pub use table::{Absent, Fact, Finding, Measures, Tone};

/// The README, so that its example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
