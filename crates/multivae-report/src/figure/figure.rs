//! A figure of any kind: where it stands, what is said of it, and what there is to see.

use std::path::{Path, PathBuf};

use maud::Markup;

use super::images::{self, Row, Strip, grid};
use crate::{ReportError, error::write};

/// How drawings look that stand in a file of their own.
pub(crate) const DRAWING: &str = include_str!("../drawing.css");

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
    pub(super) fn with(self, content: Content) -> Figure {
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
                write(&path, standing_alone(svg).as_bytes())?;
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

/// A drawing as a file of its own, on white.
fn standing_alone(svg: &Markup) -> String {
    let text = &svg.0;
    let inside = text.find('>').map_or(0, |at| at + 1);
    format!("{}<style>{DRAWING}</style>{}\n", &text[..inside], &text[inside..])
}

/// Strips below each other, whose columns belong together.
pub fn strips(heading: Heading<'_>, strips: Vec<Strip>) -> Figure {
    heading.with(Content::Images(strips))
}
