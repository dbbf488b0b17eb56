//! What drawings have in common: their size, scales and texts.

use maud::{Markup, html};

/// Width of a drawing in pixels: wide enough for a phone's screen, and two stand side by side on a
/// desk.
pub(crate) const WIDTH: f64 = 480.0;
/// Height of a text's line in pixels.
pub(crate) const LINE: f64 = 18.0;
/// Colours of series; see the theme of the page.
const COLOURS: usize = 10;

/// An `svg` element with a description for who cannot see it.
pub(crate) fn drawing(width: f64, height: f64, label: &str, content: &Markup) -> Markup {
    html! {
        svg.plot xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {} {}", px(width), px(height)))
            width=(px(width)) height=(px(height)) role="img" aria-label=(label) { (content) }
    }
}

/// The class of the colour of series number `i`.
pub(crate) fn colour(i: usize) -> String {
    format!("s{}", i % COLOURS)
}

/// A coordinate, to a tenth of a pixel.
pub(crate) fn px(value: f64) -> String {
    trimmed(format!("{value:.1}"))
}

/// A number at an axis, short.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        _ if !size.is_finite() => return "·".to_owned(),
        _ if size == 0.0 => "0".to_owned(),
        _ if !(1e-3..1e6).contains(&size) => format!("{value:.1e}"),
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 1.0 => trimmed(format!("{value:.2}")),
        _ => trimmed(format!("{value:.4}")),
    };
    text.replace('-', "\u{2212}")
}

fn trimmed(text: String) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// About how wide a text is, in pixels; nothing here measures fonts.
pub(crate) fn width_of(text: &str) -> f64 {
    let wide = |letter: char| match letter {
        'm' | 'w' | 'M' | 'W' | '→' => 12.0,
        'i' | 'j' | 'l' | 't' | 'f' | 'I' | ' ' | '.' | ',' | ':' => 4.5,
        _ => 7.8,
    };
    text.chars().map(wide).sum()
}

/// A text no longer than `most` characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// A straight map of values to pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) values: (f64, f64),
    pub(crate) pixels: (f64, f64),
}

impl Scale {
    /// The pixel of a value; values outside are drawn at the edge.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let ((low, high), (from, to)) = (self.values, self.pixels);
        let share = if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
        from + share * (to - from)
    }

    /// About `n` round values within.
    pub(crate) fn ticks(&self, n: usize) -> Vec<f64> {
        let (low, high) = self.values;
        let step = (high - low) / n.max(1) as f64;
        if step.is_nan() || step <= 0.0 {
            return vec![low];
        }
        let unit = 10f64.powf(step.log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * unit);
        let step = steps.into_iter().find(|s| *s >= step).unwrap_or(10.0 * unit);
        let first = (low / step).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }
}

/// The smallest range that holds all finite values, a little wider; from 0 to 1 if there are none.
pub(crate) fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|value| value.is_finite()) {
        (low, high) = (low.min(value), high.max(value));
    }
    if low > high {
        return (0.0, 1.0);
    }
    let margin = if high > low { 0.05 * (high - low) } else { low.abs().max(1.0) * 0.1 };
    (low - margin, high + margin)
}

/// Names beside their colours, in as many lines as they need below `top`. Gives their height too.
pub(crate) fn legend(names: &[&str], left: f64, top: f64, width: f64) -> (Markup, f64) {
    let (mut x, mut y) = (left, top);
    let mut places = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let wide = 14.0 + width_of(name) + 12.0;
        if x > left && x + wide > left + width {
            (x, y) = (left, y + LINE);
        }
        places.push((i, *name, x, y));
        x += wide;
    }
    let content = html! {
        @for (i, name, x, y) in &places {
            circle class=(colour(*i)) cx=(px(x + 5.0)) cy=(px(y + 8.0)) r="5" {}
            text x=(px(x + 14.0)) y=(px(y + 12.5)) { (name) }
        }
    };
    let height = if names.is_empty() { 0.0 } else { y - top + LINE };
    (content, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let scale = |low, high| Scale { values: (low, high), pixels: (0.0, 100.0) };
        assert_eq!(scale(0.0, 10.0).ticks(5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(scale(-3.2, 4.1).ticks(4), [-2.0, 0.0, 2.0, 4.0]);
        assert_eq!(scale(0.0, 9.0).ticks(4), [0.0, 2.5, 5.0, 7.5]);
        assert_eq!(scale(1.0, 1.0).ticks(4), [1.0]);
        assert_eq!(scale(0.0, 0.31).ticks(3).len(), 2);
    }

    #[test]
    fn values_outside_of_a_scale_stand_at_its_edge() {
        let scale = Scale { values: (0.0, 2.0), pixels: (10.0, 0.0) };
        assert_eq!([-1.0, 0.0, 1.0, 5.0].map(|v| scale.at(v)), [10.0, 10.0, 5.0, 0.0]);
    }

    #[test]
    fn numbers_at_an_axis_are_short() {
        let shown = [0.0, 1234.5, -12.5, 0.3, 0.1 + 0.2, 2e7, 1e-5].map(short);
        assert_eq!(shown, ["0", "1234", "−12.5", "0.3", "0.3", "2.0e7", "1.0e−5"]);
    }

    #[test]
    fn a_range_leaves_out_what_is_no_number() {
        let (low, high) = range([f64::NAN, 0.0, 1.0, f64::INFINITY].into_iter());
        assert!(low < 0.0 && low > -0.1 && high > 1.0 && high < 1.1);
        assert_eq!(range(std::iter::empty()), (0.0, 1.0));
    }
}
