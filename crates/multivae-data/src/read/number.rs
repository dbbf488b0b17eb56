//! Numbers and missing values as tables write them.

/// What was expected where a cell is no number.
pub(crate) const NUMBER: &str = "a number";

/// What a cell of a table holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Value(f64),
    Missing,
    /// Neither; what was expected.
    Bad(&'static str),
}

/// Whether a cell says that nothing was measured, in one of the ways of pandas, R, spreadsheets
/// and clinical exports.
pub(crate) fn is_missing(cell: &str) -> bool {
    const CODES: &[&str] = &[
        "",
        "na",
        "n/a",
        "#n/a",
        "<na>",
        "#na",
        "#n/a n/a",
        "nan",
        "-nan",
        "+nan",
        "none",
        "null",
        "1.#qnan",
        "-1.#qnan",
        "1.#ind",
        "-1.#ind",
        "#value!",
        "#ref!",
        "#div/0!",
        "#null!",
        "#num!",
        "-",
        "--",
        "---",
        ".",
        "..",
        "?",
        "n.a.",
        "n.d.",
        "nd",
        "missing",
        "[not available]",
        "[not applicable]",
        "[not evaluated]",
        "[unknown]",
        "[discrepancy]",
        "[completed]",
        "not available",
        "not applicable",
        "not reported",
        "not measured",
        "unknown",
        "\u{2013}",
        "\u{2014}",
    ];
    // No code is longer: long cells need no comparison.
    cell.len() <= 16 && CODES.iter().any(|code| cell.eq_ignore_ascii_case(code))
}

/// Whether a cell of labels says that the label is not known. Words such as `unknown` and `none`
/// can be classes, and stay.
pub(crate) fn is_unlabelled(cell: &str) -> bool {
    let word = ["none", "unknown", "missing", "nd", "?", "-", "."];
    is_missing(cell) && !word.iter().any(|word| cell.eq_ignore_ascii_case(word)) || cell == "None"
}

/// Whether a cell among names of classes says that nothing is known: as [`is_missing`], but `none`
/// can be a class.
pub(crate) fn is_no_class(cell: &str) -> bool {
    is_missing(cell) && (!cell.eq_ignore_ascii_case("none") || cell == "None")
}

/// The number in a cell; with `comma` a comma is the decimal mark.
pub(crate) fn number(cell: &str, comma: bool) -> Number {
    // Nearly every cell is a plain number.
    if let Ok(value) = cell.parse::<f64>() {
        return checked(value);
    }
    if is_missing(cell) {
        return Number::Missing;
    }
    // As data frames write truth values.
    for (word, value) in [("true", 1.0), ("false", 0.0)] {
        if cell.eq_ignore_ascii_case(word) {
            return Number::Value(value);
        }
    }
    let minus = cell.replace('\u{2212}', "-");
    let plain = if comma {
        let grouped = minus.replacen(',', "#", 1);
        if grouped.contains(',') {
            return Number::Bad(NUMBER);
        }
        ungrouped(&grouped.replace('#', ","), '.', ',').map(|plain| plain.replace(',', "."))
    } else {
        ungrouped(&minus, ',', '.')
    };
    match plain.and_then(|plain| plain.parse::<f64>().ok()) {
        Some(value) => checked(value),
        None => Number::Bad(NUMBER),
    }
}

/// A number as what it is in single precision.
pub(super) fn checked(value: f64) -> Number {
    // Values are handed to models in single precision.
    if value.is_nan() {
        Number::Missing
    } else if (value as f32).is_infinite() {
        Number::Bad("a finite number")
    } else {
        Number::Value(value)
    }
}

/// The number without marks between groups of three digits; `None` if the groups are others.
fn ungrouped(cell: &str, group: char, decimal: char) -> Option<String> {
    if !cell.contains(group) {
        return Some(cell.into());
    }
    let (whole, rest) = cell.find(decimal).map_or((cell, ""), |at| cell.split_at(at));
    let digits = whole.trim_start_matches(['-', '+']);
    let mut groups = digits.split(group);
    let first = groups.next()?;
    let of_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let fits = (1..=3).contains(&first.len())
        && of_digits(first)
        && groups.all(|part| part.len() == 3 && of_digits(part));
    fits.then(|| format!("{}{rest}", whole.replace(group, "")))
}

/// Numbers that are written where nothing was measured.
pub(crate) const SENTINELS: [f64; 25] = [
    -999.0,
    -9999.0,
    -99999.0,
    -99.0,
    -98.0,
    -97.0,
    -999.9,
    -99.9,
    -888.0,
    -777.0,
    -1e30,
    99.0,
    999.0,
    9999.0,
    99999.0,
    98.0,
    998.0,
    9998.0,
    888.0,
    8888.0,
    777.0,
    7777.0,
    999.9,
    1e20,
    9.969_21e36,
];

/// Which of these a number is.
pub(crate) fn sentinel(value: f64) -> Option<usize> {
    // Most numbers are not looked up.
    if value > -97.0 && value < 98.0 {
        return None;
    }
    SENTINELS.iter().position(|&code| code == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_that_means_missing_is_found() {
        for (place, code) in SENTINELS.into_iter().enumerate() {
            assert_eq!(sentinel(code), Some(place));
        }
        assert_eq!([0.0, 5.5, -96.0, 100.0].map(sentinel), [None; 4]);
    }

    #[test]
    fn codes_for_missing_are_known_in_any_case() {
        for code in [
            "N/A",
            "null",
            "None",
            "#N/A",
            "-",
            ".",
            "n.d.",
            "?",
            "NULL",
            "<NA>",
            "na",
            "nan",
            "-nan",
            "1.#QNAN",
            "",
            "--",
            "[Not Available]",
            "[Not Applicable]",
            "-1.#IND",
            "NaN",
        ] {
            assert_eq!(number(code, false), Number::Missing, "{code}");
        }
        assert_eq!(number("red", false), Number::Bad(NUMBER));
        assert!(is_unlabelled("NA") && is_unlabelled("") && is_unlabelled("nan"));
        assert!(!is_unlabelled("unknown") && !is_unlabelled("glia"));
    }

    #[test]
    fn marks_between_thousands_and_signs_of_typesetters_are_read() {
        for (cell, comma, expected) in [
            ("1,234", false, 1234.0),
            ("-12,345,678.5", false, -12_345_678.5),
            ("1.234,5", true, 1234.5),
            ("0,5", true, 0.5),
            ("\u{2212}3.5", false, -3.5),
            ("16777217", false, 16_777_217.0),
            ("True", false, 1.0),
            ("FALSE", false, 0.0),
        ] {
            assert_eq!(number(cell, comma), Number::Value(expected), "{cell}");
        }
        for (cell, comma) in [("1,5", false), ("1,23,456", false), ("0x1F", false), ("1,5,2", true)]
        {
            assert_eq!(number(cell, comma), Number::Bad(NUMBER), "{cell}");
        }
        assert_eq!(number("1e99", false), Number::Bad("a finite number"));
        assert_eq!(number("inf", false), Number::Bad("a finite number"));
    }
}
