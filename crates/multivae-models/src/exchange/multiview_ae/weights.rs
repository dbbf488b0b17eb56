//! Arrays of the library, cut and named so that each is one parameter here.

use super::{
    super::{Entry, ExchangeError, Result, Weights},
    networks::Layout,
};

/// What is done to an array.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// The first `size` outputs of a layer are those of a layer of their own, whose name ends in
    /// `_private`.
    Split { layer: String, size: usize },
    /// The first inputs of a weight come last.
    Rotate { array: String, columns: usize },
    /// A row of log-variances becomes one of logarithms of scales.
    Scale { array: String, factor: f32 },
    /// Powers between 0 and 1, `[views, latent]`, become log-odds of each view, an array each whose
    /// name ends in the view's number.
    Odds { array: String },
    /// An array that stands there once more under this name.
    Again { name: String, array: String },
    /// Powers of 1, of which the library has no array.
    Ones { array: String, views: usize, latent: usize },
}

/// The power that is told from 1 by nothing in single precision.
const ALMOST: f64 = 1e-17;

fn log_odds(power: f64) -> f32 {
    (power.max(ALMOST) / (1.0 - power).max(ALMOST)).ln() as f32
}

impl Layout {
    /// The weights of the library as parameters here.
    pub(super) fn adapt(&self, weights: &Weights) -> Result<Weights> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut complaints = Vec::new();
        for entry in weights.entries() {
            match self.changes.iter().find(|change| change.concerns(&entry.name)) {
                None => entries.push(entry.clone()),
                Some(Change::Again { name, array }) => {
                    let same = |first: &Entry| first.values == entry.values;
                    if !weights.get(array).is_some_and(same) {
                        complaints.push(format!("`{name}` is another than `{array}`"));
                    }
                }
                Some(change) => match change.apply(entry) {
                    Ok(changed) => entries.extend(changed),
                    Err(complaint) => complaints.push(complaint),
                },
            }
        }
        for change in &self.changes {
            if let Change::Ones { array, views, latent } = change {
                entries.extend((0..*views).map(|m| Entry {
                    name: format!("{array}.{m}"),
                    shape: vec![*latent],
                    values: vec![log_odds(1.0); *latent],
                }));
            }
        }
        match complaints.is_empty() {
            true => Ok(Weights::unordered(entries)),
            false => Err(ExchangeError::Weights(complaints)),
        }
    }
}

impl Change {
    fn concerns(&self, name: &str) -> bool {
        match self {
            Self::Split { layer, .. } => {
                name.strip_prefix(layer.as_str()).is_some_and(|rest| rest.starts_with('.'))
            }
            Self::Rotate { array, .. } | Self::Scale { array, .. } | Self::Odds { array } => {
                array == name
            }
            Self::Again { name: again, .. } => again == name,
            Self::Ones { .. } => false,
        }
    }

    fn apply(&self, entry: &Entry) -> Result<Vec<Entry>, String> {
        let Entry { name, shape, values } = entry;
        let wrong = |expected: &str| format!("`{name}`: expected {expected}, found {shape:?}");
        Ok(match self {
            Self::Split { layer, size } => {
                let rows = shape.first().copied().unwrap_or(0);
                if rows <= *size {
                    return Err(wrong(&format!("more than {size} outputs")));
                }
                let cut = size * (values.len() / rows);
                let part = |name: String, rows: usize, values: &[f32]| {
                    let mut shape = shape.clone();
                    shape[0] = rows;
                    Entry { name, shape, values: values.to_vec() }
                };
                let own = format!("{layer}_private{}", &name[layer.len()..]);
                vec![
                    part(name.clone(), rows - size, &values[cut..]),
                    part(own, *size, &values[..cut]),
                ]
            }
            Self::Rotate { columns, .. } => {
                let [_, inputs] = shape[..] else { return Err(wrong("a matrix")) };
                if inputs < *columns {
                    return Err(wrong(&format!("at least {columns} inputs")));
                }
                let mut values = values.clone();
                values.chunks_mut(inputs.max(1)).for_each(|row| row.rotate_left(*columns));
                vec![Entry { values, ..entry.clone() }]
            }
            Self::Scale { factor, .. } => {
                let [1, features] = shape[..] else { return Err(wrong("one row")) };
                let values = values.iter().map(|value| value * factor).collect();
                vec![Entry { name: name.clone(), shape: vec![features], values }]
            }
            Self::Odds { .. } => {
                let [_, latent] = shape[..] else { return Err(wrong("a row a view")) };
                let row = |(m, row): (usize, &[f32])| Entry {
                    name: format!("{name}.{m}"),
                    shape: vec![latent],
                    values: row.iter().map(|&power| log_odds(f64::from(power))).collect(),
                };
                values.chunks(latent.max(1)).enumerate().map(row).collect()
            }
            Self::Again { .. } | Self::Ones { .. } => vec![entry.clone()],
        })
    }
}
