//! Lines over a common axis: losses by epoch, a measure by what is missing.

use maud::{Markup, html};

use super::{
    canvas::{LINE, Scale, WIDTH, colour, drawing, legend, px, range, short, width_of},
    figure::{Content, Figure, Heading},
};

/// A value on a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Along the axis.
    pub x: f64,
    /// The value.
    pub y: f64,
    /// Its standard error; drawn as a bar of one to each side.
    pub error: Option<f64>,
}

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What the legend says.
    pub name: String,
    /// Its points, in order along the axis. What is not finite is left out.
    pub points: Vec<Point>,
}

/// What the axes mean.
#[derive(Clone, Copy, Debug)]
pub struct Axes<'a> {
    /// Along.
    pub x: &'a str,
    /// Upwards.
    pub y: &'a str,
}

/// Lines in one drawing.
pub fn curves(heading: Heading<'_>, axes: Axes<'_>, lines: &[Curve]) -> Figure {
    // One line needs no name.
    let named = if lines.len() > 1 { lines } else { &[] };
    let names: Vec<&str> = named.iter().map(|line| line.name.as_str()).collect();
    let (key, tall) = legend(&names, 8.0, 4.0, WIDTH - 16.0);
    let panel = Panel { left: 0.0, top: tall + 8.0, width: WIDTH, height: 250.0 };
    let content = html! { (key) (panel.draw(axes, lines)) };
    let label = format!("{}: {} over {}", heading.title, axes.y, axes.x);
    heading.with(Content::Drawing(drawing(WIDTH, panel.top + panel.height, &label, &content)))
}

/// A term of the loss, epoch by epoch: `(epoch, value)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Term {
    /// Its name.
    pub name: String,
    /// On training rows, while learning from them.
    pub train: Vec<(usize, f64)>,
    /// On validation rows, after the epoch.
    pub valid: Vec<(usize, f64)>,
}

impl Term {
    fn curves(&self) -> Vec<Curve> {
        let curve = |name: &str, values: &[(usize, f64)]| Curve {
            name: name.to_owned(),
            points: values
                .iter()
                .map(|&(epoch, y)| Point { x: epoch as f64, y, error: None })
                .collect(),
        };
        [curve("training rows", &self.train), curve("validation rows", &self.valid)]
            .into_iter()
            .filter(|curve| !curve.points.is_empty())
            .collect()
    }
}

/// The loss, and its parts side by side; `terms` begins with the total. None if there are no terms.
pub fn losses(terms: &[Term]) -> Vec<Figure> {
    let Some((total, parts)) = terms.split_first() else { return Vec::new() };
    let nats = Axes { x: "epoch", y: "nats" };
    let heading = Heading {
        name: "loss",
        section: "training",
        title: "Loss",
        caption: "What training minimises, as the mean over rows. Lower is better; where the line \
                  of the validation rows turns up, the model begins to learn its training rows by \
                  heart.",
    };
    let mut figures = vec![curves(heading, nats, &total.curves())];
    if !parts.is_empty() {
        let heading = Heading {
            name: "loss-terms",
            section: "training",
            title: "Terms of the loss",
            caption: "The parts of the loss, each on a scale of its own. A divergence (kl) that \
                      falls to zero says that the latent space is not used.",
        };
        figures.push(panels(heading, parts));
    }
    figures
}

/// Two small drawings per row.
fn panels(heading: Heading<'_>, terms: &[Term]) -> Figure {
    let (width, height) = (WIDTH / 2.0, 150.0);
    let names: Vec<String> = terms.iter().flat_map(Term::curves).map(|c| c.name).collect();
    let mut unique: Vec<&str> = Vec::new();
    for name in &names {
        if !unique.contains(&name.as_str()) {
            unique.push(name);
        }
    }
    let (key, tall) = legend(&unique, 8.0, 4.0, WIDTH - 16.0);
    let place = |i: usize| Panel {
        left: (i % 2) as f64 * width,
        top: tall + 8.0 + (i / 2) as f64 * (height + LINE + 6.0) + LINE,
        width,
        height,
    };
    let content = html! {
        (key)
        @for (i, term) in terms.iter().enumerate() {
            @let panel = place(i);
            text.strong x=(px(panel.left + 8.0)) y=(px(panel.top - 3.0)) { (term.name) }
            (panel.draw(Axes { x: "", y: "" }, &term.curves()))
        }
    };
    let last = place(terms.len() - 1);
    let label = format!("{} over epochs", heading.title);
    heading.with(Content::Drawing(drawing(WIDTH, last.top + height + 4.0, &label, &content)))
}

/// A place for axes and lines, in pixels.
#[derive(Clone, Copy, Debug)]
struct Panel {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Panel {
    fn draw(self, axes: Axes<'_>, lines: &[Curve]) -> Markup {
        let finite = |line: &Curve| -> Vec<Point> {
            line.points.iter().copied().filter(|p| p.x.is_finite() && p.y.is_finite()).collect()
        };
        let lines: Vec<Vec<Point>> = lines.iter().map(finite).collect();
        let (low, high) = heights(&lines);
        let below = if axes.x.is_empty() { 22.0 } else { 22.0 + LINE };
        let above = if axes.y.is_empty() { 6.0 } else { 6.0 + LINE };
        let y = Scale {
            values: (low, high),
            pixels: (self.top + self.height - below, self.top + above),
        };
        let marks = y.ticks(if self.height > 200.0 { 6 } else { 4 });
        let longest = marks.iter().map(|mark| width_of(&short(*mark))).fold(0.0, f64::max);
        let edge = self.left + 14.0 + longest;
        let all = || lines.iter().flatten().map(|p| p.x);
        let (first, last) =
            (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
        let ends = if first < last { (first, last) } else { range(all()) };
        let x = Scale { values: ends, pixels: (edge + 6.0, self.left + self.width - 12.0) };
        let right = x.pixels.1;
        // Epochs and counts are whole.
        let whole = all().all(|x| x.fract() == 0.0);
        let steps = x.ticks(if self.width > 300.0 { 6 } else { 3 }).into_iter();
        let steps: Vec<f64> = steps.filter(|step| !whole || step.fract() == 0.0).collect();
        let dots = lines.iter().map(Vec::len).max().unwrap_or(0) <= 40;
        html! {
            @if !axes.y.is_empty() {
                text.muted x=(px(self.left + 8.0)) y=(px(self.top + 13.0)) { (axes.y) }
            }
            @for mark in &marks {
                line.grid x1=(px(edge)) x2=(px(right)) y1=(px(y.at(*mark))) y2=(px(y.at(*mark))) {}
                text.muted.end x=(px(edge - 6.0)) y=(px(y.at(*mark) + 4.5)) { (short(*mark)) }
            }
            @for step in &steps {
                text.muted.middle x=(px(x.at(*step))) y=(px(y.pixels.0 + 17.0)) { (short(*step)) }
            }
            @if !axes.x.is_empty() {
                text.muted.middle x=(px((edge + right) / 2.0)) y=(px(self.top + self.height - 5.0)) { (axes.x) }
            }
            @for (i, line) in lines.iter().enumerate() {
                @let at: Vec<String> =
                    line.iter().map(|p| format!("{},{}", px(x.at(p.x)), px(y.at(p.y)))).collect();
                g class=(colour(i)) {
                    polyline.line points=(at.join(" ")) {}
                    @for p in line {
                        @if let Some(error) = p.error.filter(|error| error.is_finite()) {
                            line.whisker x1=(px(x.at(p.x))) x2=(px(x.at(p.x)))
                                y1=(px(y.at(p.y - error))) y2=(px(y.at(p.y + error))) {}
                        }
                        @if dots {
                            circle cx=(px(x.at(p.x))) cy=(px(y.at(p.y))) r="2.6" {
                                title { (short(p.x)) ": " (short(p.y)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The range of the values. A first value that is far from all others, as that of a first epoch,
/// would leave no room for the rest: it is drawn at the edge.
fn heights(lines: &[Vec<Point>]) -> (f64, f64) {
    let bounds = |skip: usize| {
        range(lines.iter().flat_map(|line| {
            let skip = if line.len() > skip + 4 { skip } else { 0 };
            line.iter().skip(skip).flat_map(|p| {
                let error = p.error.unwrap_or(0.0);
                [p.y - error, p.y + error]
            })
        }))
    };
    let (all, later) = (bounds(0), bounds(1));
    if all.1 - all.0 > 4.0 * (later.1 - later.0) { later } else { all }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[f64]) -> Vec<Point> {
        let points = values.iter().enumerate();
        points.map(|(i, &y)| Point { x: i as f64, y, error: None }).collect()
    }

    #[test]
    fn a_first_value_far_away_leaves_room_for_the_rest() {
        let (low, high) = heights(&[line(&[1000.0, 5.0, 4.0, 3.5, 3.2, 3.0])]);
        assert!(low > 2.0 && high < 6.0, "{low} {high}");
        let (_, high) = heights(&[line(&[6.0, 5.0, 4.0, 3.5, 3.2, 3.0])]);
        assert!(high > 6.0);
        // Of few values none is left out.
        let (_, high) = heights(&[line(&[1000.0, 5.0, 4.0])]);
        assert!(high > 1000.0);
    }

    #[test]
    fn every_term_has_a_panel_and_the_total_a_figure_of_its_own() {
        let term = |name: &str| Term {
            name: name.to_owned(),
            train: vec![(1, 3.0), (2, 2.0)],
            valid: vec![(1, 3.5), (2, f64::NAN)],
        };
        let figures = losses(&[term("loss"), term("kl"), term("reconstruction/a")]);
        let names: Vec<_> = figures.iter().map(|figure| figure.name.as_str()).collect();
        assert_eq!(names, ["loss", "loss-terms"]);
        let Content::Drawing(terms) = &figures[1].content else { panic!("a drawing") };
        let terms = terms.0.as_str();
        assert_eq!(terms.matches("<polyline").count(), 4);
        assert!(terms.contains("reconstruction/a") && !terms.contains("NaN"), "{terms}");
        assert!(losses(&[]).is_empty());
    }
}
