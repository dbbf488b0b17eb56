//! Points in the plane, coloured by label.

use maud::html;

use super::{
    canvas::{Scale, WIDTH, colour, drawing, legend, px, range},
    figure::{Content, Figure, Heading},
};

/// Points and their labels.
#[derive(Clone, Copy, Debug)]
pub struct Scatter<'a> {
    /// `(x, y)`; what is not finite is left out.
    pub points: &'a [(f64, f64)],
    /// One a point; empty if there are none.
    pub labels: &'a [i64],
    /// What is written along the axes; nothing where they have no meaning.
    pub axes: Option<(&'a str, &'a str)>,
}

/// Most points that are drawn; of more, some evenly spread.
const MOST: usize = 1000;
/// Height of the plane in pixels.
const HEIGHT: f64 = 380.0;

/// Draws the points.
pub fn scatter(heading: Heading<'_>, data: Scatter<'_>) -> Figure {
    let n = data.points.len();
    let chosen: Vec<usize> = (0..n.min(MOST)).map(|i| i * n / n.min(MOST)).collect();
    let finite =
        |row: &&usize| data.points[**row].0.is_finite() && data.points[**row].1.is_finite();
    let chosen: Vec<usize> = chosen.iter().filter(finite).copied().collect();
    let mut classes: Vec<i64> = data.labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let names: Vec<String> = classes.iter().map(ToString::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (key, tall) = legend(&names, 8.0, 4.0, WIDTH - 16.0);
    let top = tall + 8.0;
    let below = if data.axes.is_some() { 22.0 } else { 4.0 };
    let left = if data.axes.is_some() { 24.0 } else { 4.0 };
    let x = Scale {
        values: range(chosen.iter().map(|&row| data.points[row].0)),
        pixels: (left + 4.0, WIDTH - 8.0),
    };
    let y = Scale {
        values: range(chosen.iter().map(|&row| data.points[row].1)),
        pixels: (top + HEIGHT - below - 4.0, top + 4.0),
    };
    let class = |row: usize| {
        data.labels.get(row).and_then(|label| classes.binary_search(label).ok()).unwrap_or(0)
    };
    let content = html! {
        (key)
        rect.frame x=(px(left)) y=(px(top)) width=(px(WIDTH - left - 4.0)) height=(px(HEIGHT - below)) rx="6" {}
        g.points {
            @for &row in &chosen {
                circle class=(colour(class(row))) cx=(px(x.at(data.points[row].0))) cy=(px(y.at(data.points[row].1))) r="3" {}
            }
        }
        @if let Some((along, up)) = data.axes {
            text.muted.middle x=(px((left + WIDTH) / 2.0)) y=(px(top + HEIGHT - 5.0)) { (along) }
            @let (at_x, at_y) = (px(14.0), px(top + (HEIGHT - below) / 2.0));
            text.muted.middle x=(at_x) y=(at_y) transform=(format!("rotate(-90 {at_x} {at_y})")) { (up) }
        }
    };
    heading.with(Content::Drawing(drawing(WIDTH, top + HEIGHT, heading.title, &content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_points_are_thinned_and_labels_have_their_colours() {
        let heading = Heading { name: "n", section: "s", title: "t", caption: "c" };
        let points: Vec<(f64, f64)> = (0..3000).map(|i| (f64::from(i), 1.0)).collect();
        let labels: Vec<i64> = (0..3000).map(|i| if i < 1500 { 3 } else { 7 }).collect();
        let drawn = |data| match scatter(heading, data).content {
            Content::Drawing(svg) => svg.0,
            Content::Images(_) => panic!("a drawing"),
        };
        let svg = drawn(Scatter { points: &points, labels: &labels, axes: None });
        // With the two of the legend.
        assert_eq!(svg.matches("<circle").count(), 1002);
        assert_eq!(svg.matches("class=\"s0\"").count(), 501);
        assert!(svg.contains(">7<"), "the legend names the labels");
        let svg =
            drawn(Scatter { points: &[(f64::NAN, 0.0), (1.0, 2.0)], labels: &[], axes: None });
        assert_eq!(svg.matches("<circle").count(), 1);
    }
}
