//! Figures, one file a kind. All are drawn as SVG whose colours are names of the page's theme, so
//! that one drawing serves a light page, a dark one and a paper; images are strips of PNG.

mod bars;
mod canvas;
mod curves;
#[expect(clippy::module_inception, reason = "the figure itself, beside its kinds")]
mod figure;
mod heat;
pub(crate) mod images;
mod scatter;

pub use bars::{Bar, bars, columns};
pub use curves::{Axes, Curve, Point, Term, curves, losses};
pub(crate) use figure::{Content, DRAWING};
pub use figure::{Figure, Heading, strips};
pub use heat::{Cells, heat};
pub use images::{Row, Strip, grid, sheet};
pub use scatter::{Scatter, scatter};
