//! What entries have in common: their modalities, and what sets of them are called.

use multivae_metrics::Entry;

/// A set of modalities in short: `all`, `all but a`, or the names.
pub(crate) fn label(given: &[String], all: &[String]) -> String {
    let left: Vec<&String> = all.iter().filter(|name| !given.contains(name)).collect();
    match left.as_slice() {
        _ if given.is_empty() => "nothing".to_owned(),
        [] if given.len() > 2 => "all".to_owned(),
        [one] if given.len() > 2 => format!("all but {one}"),
        _ => given.join(" + "),
    }
}

/// All modalities that are given or wanted somewhere.
pub(crate) fn everything(entries: &[&Entry]) -> Vec<String> {
    unique(entries.iter().flat_map(|entry| entry.given.iter()).cloned())
}

/// Values in the order of their first appearance.
pub(crate) fn unique<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.fold(Vec::new(), |mut list, value| {
        if !list.contains(&value) {
            list.push(value);
        }
        list
    })
}
