//! Bars: one value a name, or one value a number.

use maud::html;

use super::{
    canvas::{LINE, Scale, WIDTH, colour, cut, drawing, px, range, short, width_of},
    figure::{Content, Figure, Heading},
};

/// A bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What stands beside it.
    pub name: String,
    /// Its length.
    pub value: f64,
    /// Its standard error; drawn as a line of one to each side.
    pub error: Option<f64>,
}

/// Height of a lying bar with its room, in pixels.
const HEIGHT: f64 = 28.0;
/// Most characters of a name.
const LONGEST: usize = 22;

/// Lying bars with their names and values, the first on top. What is not finite has no bar.
pub fn bars(heading: Heading<'_>, list: &[Bar]) -> Figure {
    let names: Vec<String> = list.iter().map(|bar| cut(&bar.name, LONGEST)).collect();
    let left = names.iter().map(|name| width_of(name)).fold(0.0, f64::max) + 16.0;
    let values: Vec<String> = list.iter().map(|bar| short(bar.value)).collect();
    let right = values.iter().map(|value| width_of(value)).fold(0.0, f64::max) + 14.0;
    let ends = list.iter().flat_map(|bar| {
        let error = bar.error.unwrap_or(0.0);
        [bar.value - error, bar.value + error]
    });
    let (low, high) = range(ends);
    // From zero, unless all lie so far from it that no difference would be seen.
    let values_of = || list.iter().map(|bar| bar.value).filter(|value| value.is_finite());
    let far = low * high > 0.0 && (high - low) < 0.2 * low.abs().max(high.abs());
    let bounds = match far && values_of().count() > 1 {
        true => (low, high),
        false => (low.min(0.0), high.max(0.0)),
    };
    let x = Scale { values: bounds, pixels: (left, WIDTH - right) };
    let base = x.at(if bounds.0 > 0.0 { bounds.0 } else { 0.0f64.min(bounds.1) });
    let content = html! {
        @for (i, bar) in list.iter().enumerate() {
            @let y = 2.0 + i as f64 * HEIGHT;
            text.end x=(px(left - 10.0)) y=(px(y + 18.0)) { (names[i]) }
            @if bar.value.is_finite() {
                @let end = x.at(bar.value);
                g class=(colour(i)) {
                    rect x=(px(base.min(end))) y=(px(y + 4.0)) width=(px((end - base).abs().max(1.0))) height=(px(HEIGHT - 8.0)) rx="2" {}
                }
                @if let Some(error) = bar.error.filter(|error| error.is_finite() && *error > 0.0) {
                    line.error x1=(px(x.at(bar.value - error))) x2=(px(x.at(bar.value + error))) y1=(px(y + HEIGHT / 2.0)) y2=(px(y + HEIGHT / 2.0)) {}
                }
            }
            text.end x=(px(WIDTH - 4.0)) y=(px(y + 18.0)) { (values[i]) }
        }
        @if !far {
            line.axis x1=(px(x.at(0.0))) x2=(px(x.at(0.0))) y1="2" y2=(px(2.0 + list.len() as f64 * HEIGHT)) {}
        }
    };
    let height = 4.0 + list.len() as f64 * HEIGHT;
    heading.with(Content::Drawing(drawing(WIDTH, height, heading.title, &content)))
}

/// Standing columns in the given order, numbered from 0.
pub fn columns(heading: Heading<'_>, unit: &str, values: &[f64]) -> Figure {
    let height = 230.0;
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let high = finite().fold(0.0, f64::max);
    let high = if high > 0.0 { high * 1.05 } else { 1.0 };
    let y = Scale { values: (0.0, high), pixels: (height - 22.0, LINE + 8.0) };
    let marks = y.ticks(5);
    let edge = marks.iter().map(|mark| width_of(&short(*mark))).fold(0.0, f64::max) + 14.0;
    let wide = (WIDTH - edge - 8.0) / values.len().max(1) as f64;
    let gap = if wide > 4.0 { 0.2 * wide } else { 0.0 };
    // So many numbers as have room.
    let every = (34.0 / wide).ceil().max(1.0) as usize;
    let content = html! {
        text.muted x="8" y="13" { (unit) }
        @for mark in &marks {
            line.grid x1=(px(edge)) x2=(px(WIDTH - 8.0)) y1=(px(y.at(*mark))) y2=(px(y.at(*mark))) {}
            text.muted.end x=(px(edge - 6.0)) y=(px(y.at(*mark) + 4.5)) { (short(*mark)) }
        }
        g.s0 {
            @for (i, value) in values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
                rect x=(px(edge + i as f64 * wide + gap / 2.0)) width=(px(wide - gap))
                    y=(px(y.at(*value))) height=(px(y.pixels.0 - y.at(*value))) {
                    title { (i) ": " (short(*value)) }
                }
            }
        }
        @for i in (0..values.len()).step_by(every) {
            text.muted.middle x=(px(edge + (i as f64 + 0.5) * wide)) y=(px(height - 6.0)) { (i) }
        }
    };
    heading.with(Content::Drawing(drawing(WIDTH, height, heading.title, &content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: Heading<'_> = Heading { name: "n", section: "s", title: "t", caption: "c" };

    fn svg(figure: Figure) -> String {
        match figure.content {
            Content::Drawing(svg) => svg.0,
            Content::Images(_) => panic!("a drawing"),
        }
    }

    fn bar(name: &str, value: f64) -> Bar {
        Bar { name: name.to_owned(), value, error: Some(0.1) }
    }

    #[test]
    fn values_that_are_close_are_told_apart_and_the_axis_says_so() {
        let close = svg(bars(HEADING, &[bar("a", -1000.0), bar("b", -1010.0)]));
        assert!(!close.contains("class=\"axis\""), "{close}");
        let apart = svg(bars(HEADING, &[bar("a", 1.0), bar("b", -2.0), bar("c", f64::NAN)]));
        assert!(apart.contains("class=\"axis\""), "{apart}");
        assert_eq!(apart.matches("<rect").count(), 2);
    }

    #[test]
    fn columns_are_numbered_from_zero() {
        let drawn = svg(columns(HEADING, "nats", &[2.0, 1.0, 0.0]));
        assert_eq!(drawn.matches("<rect").count(), 3);
        assert!(drawn.contains("<title>0: 2</title>"), "{drawn}");
        assert!(!svg(columns(HEADING, "nats", &[])).contains("<rect"));
    }
}
