//! Numbers as people read them.

/// A value, and its standard error if it has one: both with as many decimals as the error has two
/// digits in, or the value four.
pub fn shown(value: f64, standard_error: Option<f64>) -> (String, Option<String>) {
    let error = standard_error.filter(|error| error.is_finite() && *error > 0.0);
    let decimals = match error {
        Some(error) => 1.0 - error.log10().floor(),
        None if value == 0.0 || value.fract() == 0.0 => 0.0,
        None => 3.0 - value.abs().log10().floor(),
    };
    let decimals = decimals.clamp(0.0, 6.0) as usize;
    (plain(value, decimals), error.map(|error| plain(error, decimals)))
}

fn plain(value: f64, decimals: usize) -> String {
    match value {
        _ if value.is_nan() => "undefined".to_owned(),
        _ if value.is_infinite() => if value > 0.0 { "∞" } else { "\u{2212}∞" }.to_owned(),
        _ => format!("{value:.decimals$}").replace('-', "\u{2212}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_follow_the_error_or_the_size() {
        let text = |value, error| {
            let (value, error) = shown(value, error);
            format!("{value} {}", error.unwrap_or_default())
        };
        assert_eq!(text(-812.3456, Some(4.12)), "−812.3 4.1");
        assert_eq!(text(0.91234, Some(0.0123)), "0.912 0.012");
        assert_eq!(text(12_345.6, Some(321.0)), "12346 321");
        assert_eq!(text(0.123_456, None), "0.1235 ");
        assert_eq!(text(7.0, None), "7 ");
        assert_eq!(text(7.25, Some(0.0)), "7.250 ");
        assert_eq!(text(f64::INFINITY, Some(f64::NAN)), "∞ ");
        assert_eq!(text(f64::NAN, None), "undefined ");
    }
}
