//! Figures, one file a kind. All are drawn as SVG whose colours are names of the page's theme, so
//! that one drawing serves a light page, a dark one and a paper; images are strips of PNG.

mod bars;
mod canvas;
mod curves;
mod heat;
pub(crate) mod images;
mod scatter;

use std::path::{Path, PathBuf};

pub use bars::{Bar, bars, columns};
pub use curves::{Axes, Curve, Point, Term, curves, losses};
pub use heat::{Cells, heat};
pub use images::{Row, Strip, grid, strips};
use maud::Markup;
pub use scatter::{Scatter, scatter};

use crate::{ReportError, error::write, page};

/// A figure of a report.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Name of its file without the ending; unique in a report.
    pub name: String,
    /// The section of the page that it belongs to, as [`Entry::report`](multivae_metrics::Entry).
    pub section: String,
    /// What it is, in some words.
    pub title: String,
    /// How to read it, in a sentence or two.
    pub caption: String,
    pub(crate) content: Content,
}

/// What there is to see.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// An `svg` element.
    Drawing(Markup),
    /// Images, row by row.
    Images(Vec<Strip>),
}

/// Where a figure stands and what is said of it.
#[derive(Clone, Copy, Debug)]
pub struct Heading<'a> {
    /// As [`Figure::name`].
    pub name: &'a str,
    /// As [`Figure::section`].
    pub section: &'a str,
    /// As [`Figure::title`].
    pub title: &'a str,
    /// As [`Figure::caption`].
    pub caption: &'a str,
}

impl Heading<'_> {
    fn with(self, content: Content) -> Figure {
        Figure {
            name: self.name.to_owned(),
            section: self.section.to_owned(),
            title: self.title.to_owned(),
            caption: self.caption.to_owned(),
            content,
        }
    }
}

impl Figure {
    /// Writes the figure as `NAME.svg` or, of images, `NAME.png` into a folder. Gives its path.
    ///
    /// # Errors
    ///
    /// [`ReportError::File`], [`ReportError::Image`].
    pub fn save(&self, folder: &Path) -> Result<PathBuf, ReportError> {
        match &self.content {
            Content::Drawing(svg) => {
                let path = folder.join(format!("{}.svg", self.name));
                write(&path, page::standing_alone(svg).as_bytes())?;
                Ok(path)
            }
            Content::Images(strips) => {
                let path = folder.join(format!("{}.png", self.name));
                let rows: Vec<&Row> = strips.iter().map(|strip| &strip.row).collect();
                write(&path, &images::png(&grid(&rows))?)?;
                Ok(path)
            }
        }
    }
}
