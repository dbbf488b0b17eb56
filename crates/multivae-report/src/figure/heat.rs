//! A table whose cells are coloured by their values.

use maud::html;

use super::{
    canvas::{Scale, WIDTH, cut, drawing, px, short, width_of},
    figure::{Content, Figure, Heading},
};

/// What a heat map shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cells {
    /// Names of the rows.
    pub rows: Vec<String>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// `[row][column]`; nothing where nothing was measured.
    pub values: Vec<Vec<Option<f64>>>,
    /// `[row][column]`: cells with a frame, such as those of what was given.
    pub framed: Vec<Vec<bool>>,
    /// The values of the darkest and the brightest colour; without it each column has its own,
    /// from its lowest to its highest value.
    pub range: Option<(f64, f64)>,
}

/// Colours from dark to bright: viridis (Smith and van der Walt), which prints in grey and is read
/// by who does not tell red from green.
const COLOURS: [[f64; 3]; 6] = [
    [68.0, 1.0, 84.0],
    [65.0, 68.0, 135.0],
    [42.0, 120.0, 142.0],
    [34.0, 168.0, 132.0],
    [122.0, 209.0, 81.0],
    [253.0, 231.0, 37.0],
];
/// Height of a row in pixels.
const HEIGHT: f64 = 26.0;
/// Most characters of a name.
const LONGEST: usize = 24;

/// Draws the cells.
pub fn heat(heading: Heading<'_>, corner: &str, cells: &Cells) -> Figure {
    let names: Vec<String> = cells.rows.iter().map(|name| cut(name, LONGEST)).collect();
    let longest = names.iter().map(|name| width_of(name)).fold(width_of(corner), f64::max);
    let (left, top) = (longest + 18.0, 30.0);
    let wide = ((WIDTH - left) / cells.columns.len().max(1) as f64).clamp(44.0, 130.0);
    let own = left + wide * cells.columns.len() as f64 + 2.0;
    let width = own.max(WIDTH);
    let height = top + HEIGHT * cells.rows.len() as f64 + 2.0;
    let of_column = |column: usize| {
        let values = cells.values.iter().filter_map(|row| row[column]).filter(|v| v.is_finite());
        let (low, high) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        // Values that are all but equal have colours that are all but equal.
        let room = (0.05 * low.abs().max(high.abs()) - 0.5 * (high - low)).max(0.0);
        Scale { values: cells.range.unwrap_or((low - room, high + room)), pixels: (0.0, 1.0) }
    };
    let scales: Vec<Scale> = (0..cells.columns.len()).map(of_column).collect();
    let most = (wide / 7.5) as usize;
    // In the middle, where there are few columns.
    let shift = format!("translate({} 0)", px((width - own) / 2.0));
    let content = html! { g transform=(shift) {
        text.muted x="4" y=(px(top - 10.0)) { (corner) }
        @for (column, name) in cells.columns.iter().enumerate() {
            text.strong.middle x=(px(left + (column as f64 + 0.5) * wide)) y=(px(top - 10.0)) { (cut(name, most)) }
        }
        @for (row, name) in names.iter().enumerate() {
            @let y = top + row as f64 * HEIGHT;
            text.end x=(px(left - 10.0)) y=(px(y + 17.5)) { (name) }
            @for (column, value) in cells.values[row].iter().enumerate() {
                @let x = left + column as f64 * wide;
                @if let Some(value) = value.filter(|value| value.is_finite()) {
                    @let (fill, dark) = colour(scales[column].at(value));
                    rect x=(px(x + 1.0)) y=(px(y + 1.0)) width=(px(wide - 2.0)) height=(px(HEIGHT - 2.0)) rx="3" fill=(fill) {
                        title { (cells.rows[row]) " → " (cells.columns[column]) ": " (short(value)) }
                    }
                    @if cells.framed[row][column] {
                        rect x=(px(x + 3.5)) y=(px(y + 3.5)) width=(px(wide - 7.0)) height=(px(HEIGHT - 7.0)) rx="2"
                            class=(ink(dark)) fill="none" stroke="currentColor" stroke-opacity="0.75" {}
                    }
                    text class=(format!("cell middle {}", ink(dark))) x=(px(x + wide / 2.0)) y=(px(y + 17.5)) { (cell(value, cells.range)) }
                } @else {
                    text.muted.middle x=(px(x + wide / 2.0)) y=(px(y + 17.5)) { "·" }
                }
            }
        }
    } };
    heading.with(Content::Drawing(drawing(width, height, heading.title, &content)))
}

/// A value in a cell: of a range that is known with two decimals, others with three digits.
fn cell(value: f64, range: Option<(f64, f64)>) -> String {
    let size = value.abs();
    match range {
        Some(_) => format!("{value:.2}").replace('-', "\u{2212}"),
        None if (0.0995..99.95).contains(&size) => {
            let decimals = (2.0 - size.log10().floor()).clamp(0.0, 3.0) as usize;
            format!("{value:.decimals$}").replace('-', "\u{2212}")
        }
        None if (1e-3..0.0995).contains(&size) => format!("{value:.3}").replace('-', "\u{2212}"),
        None => short(value),
    }
}

/// The class of what is written on a colour.
fn ink(dark: bool) -> &'static str {
    if dark { "on-dark" } else { "on-bright" }
}

/// The colour of a share of 0 to 1, and whether it is a dark one.
fn colour(share: f64) -> (String, bool) {
    let place = share.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f64;
    let below = (place.floor() as usize).min(COLOURS.len() - 2);
    let part = place - below as f64;
    let mix = |i: usize| COLOURS[below][i] + part * (COLOURS[below + 1][i] - COLOURS[below][i]);
    let [red, green, blue] = [mix(0), mix(1), mix(2)];
    // Brightness as by ITU-R BT.601.
    let bright = 0.299 * red + 0.587 * green + 0.114 * blue;
    (format!("#{:02x}{:02x}{:02x}", red as u8, green as u8, blue as u8), bright < 128.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_from_dark_to_bright_and_texts_can_be_read_on_them() {
        assert_eq!(colour(0.0), ("#440154".to_owned(), true));
        assert_eq!(colour(1.0), ("#fde725".to_owned(), false));
        assert_eq!(colour(7.0), colour(1.0));
        assert_eq!(colour(0.2).0, "#414487");
    }

    #[test]
    fn cells_have_few_digits() {
        let shown = [0.08312, 0.1234, 12.345, -1571.2, 0.0].map(|value| cell(value, None));
        assert_eq!(shown, ["0.083", "0.123", "12.3", "−1571", "0"]);
        assert_eq!(cell(1.0, Some((0.0, 1.0))), "1.00");
    }

    #[test]
    fn what_was_not_measured_has_no_colour() {
        let cells = Cells {
            rows: vec!["a".into(), "a & b".into()],
            columns: vec!["a".into(), "b".into()],
            values: vec![vec![Some(0.5), None], vec![Some(0.25), Some(f64::NAN)]],
            framed: vec![vec![true, false], vec![true, true]],
            range: None,
        };
        let heading = Heading { name: "n", section: "s", title: "t", caption: "c" };
        let Content::Drawing(svg) = heat(heading, "given", &cells).content else {
            panic!("a drawing")
        };
        let svg = svg.0;
        assert_eq!(svg.matches("<title>").count(), 2, "{svg}");
        assert!(svg.contains("a &amp; b → a: 0.25") && !svg.contains("NaN"), "{svg}");
        // Each column has its own range.
        assert!(svg.contains("#fde725") && svg.contains("#440154"), "{svg}");
    }
}
