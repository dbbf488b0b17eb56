//! Which rows of which files belong together: finding identifiers, and saying why they do not fit.

use std::{collections::HashSet, path::Path};

use crate::{
    error::{DataError, Result},
    read::{Candidate, Ids, name},
};

/// Columns of whole numbers that are looked at as identifiers in one file: with more, they are
/// features.
const MOST_NUMBERS: usize = 50;

/// Rows from which on equal numbers of two files are no coincidence.
const FEWEST: usize = 5;

/// A file whose rows are to be matched.
pub(crate) struct Unmatched<'a> {
    pub(crate) path: &'a Path,
    /// Identifiers that are certain.
    pub(crate) fixed: Option<&'a Ids>,
    pub(crate) candidates: &'a [Candidate],
    /// Whether the file is of use if a column of numbers is taken for identifiers.
    pub(crate) spare: bool,
    /// Whether a column of words is taken for identifiers without any evidence from other files.
    pub(crate) words: bool,
}

/// The candidate that is taken for identifiers, and why.
pub(crate) struct Choice {
    pub(crate) candidate: usize,
    pub(crate) reason: String,
}

/// For each file the candidate that holds its identifiers: what is certain; else a column with a
/// usual name, of words, or the only one of different whole numbers, if its values are those of
/// another file.
///
/// # Errors
///
/// [`DataError::PossibleIds`] if two columns hold the same numbers in another order and nothing
/// else says that they are identifiers.
pub(crate) fn choose(files: &[Unmatched]) -> Result<Vec<Option<Choice>>> {
    let sets: Vec<Vec<HashSet<&str>>> = files
        .iter()
        .map(|file| file.candidates.iter().map(|candidate| set(&candidate.ids)).collect())
        .collect();
    let fixed: Vec<Option<HashSet<&str>>> =
        files.iter().map(|file| file.fixed.map(|ids| set(&ids.ids))).collect();
    let mut choices: Vec<Option<Choice>> = Vec::new();
    for (i, file) in files.iter().enumerate() {
        choices.push(choice(files, &sets, &fixed, i, file));
    }
    refuse_possible(files, &sets, &choices)?;
    Ok(choices)
}

fn set(ids: &[String]) -> HashSet<&str> {
    ids.iter().map(String::as_str).collect()
}

fn choice(
    files: &[Unmatched],
    sets: &[Vec<HashSet<&str>>],
    fixed: &[Option<HashSet<&str>>],
    i: usize,
    file: &Unmatched,
) -> Option<Choice> {
    if file.fixed.is_some() {
        return None;
    }
    if let Some(candidate) = file.candidates.iter().position(|candidate| candidate.certain) {
        let reason = match file.candidates[candidate].column.as_str() {
            "" => "the first column has no name".to_owned(),
            column => format!("the column `{column}` is named so"),
        };
        return Some(Choice { candidate, reason });
    }
    // The best of the other files: share of common values, and whether that column is known or
    // called the same.
    let best = |c: usize| -> (f64, bool, usize) {
        let own = &file.candidates[c];
        let mut best = (0.0, false, i);
        for (j, other) in files.iter().enumerate().filter(|(j, _)| *j != i) {
            if let Some(ids) = &fixed[j] {
                let share = overlap(&sets[i][c], ids);
                if share > best.0 {
                    best = (share, true, j);
                }
                continue;
            }
            let certain = other.candidates.iter().any(|candidate| candidate.certain);
            for (d, candidate) in other.candidates.iter().enumerate() {
                if certain && !candidate.certain {
                    continue;
                }
                let share = overlap(&sets[i][c], &sets[j][d]);
                let said = candidate.certain
                    || candidate.usual.is_some()
                    || candidate.bad.is_some()
                    || (own.named && candidate.named && candidate.column == own.column);
                if (share, said) > (best.0, best.1) {
                    best = (share, said, j);
                }
            }
        }
        best
    };
    let numbers = file.candidates.iter().filter(|candidate| candidate.bad.is_none()).count();
    let mut found: Vec<(usize, &Candidate, (f64, bool, usize))> = file
        .candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| candidate.bad.is_some() || (file.spare && numbers <= MOST_NUMBERS))
        .map(|(c, candidate)| (c, candidate, best(c)))
        .collect();
    let rank = |candidate: &Candidate| candidate.usual.unwrap_or(usize::MAX);
    found.sort_by(|a, b| b.2.0.total_cmp(&a.2.0).then_with(|| rank(a.1).cmp(&rank(b.1))));
    let joins = |&(c, candidate, (share, _, j)): &(usize, &Candidate, (f64, bool, usize))| Choice {
        candidate: c,
        reason: format!(
            "the values of {} all differ, and {:.0} % are in `{}`",
            title(candidate),
            100.0 * share,
            name(files[j].path)
        ),
    };
    let usual = found.iter().find(|(_, candidate, best)| candidate.usual.is_some() && best.0 > 0.0);
    let words = found.iter().find(|(_, candidate, best)| candidate.bad.is_some() && best.0 > 0.0);
    let whole: Vec<_> = found
        .iter()
        .filter(|(_, candidate, best)| {
            let enough = candidate.ids.len() >= FEWEST;
            candidate.bad.is_none() && enough && best.0 >= 0.8 && best.1
        })
        .collect();
    if let Some(found) = usual.or(words) {
        return Some(joins(found));
    }
    if let [found] = whole[..] {
        return Some(joins(found));
    }
    let alone = |&(c, candidate, _): &(usize, &Candidate, (f64, bool, usize))| Choice {
        candidate: c,
        reason: format!("the values of {} all differ", title(candidate)),
    };
    let usual = found.iter().filter(|(_, candidate, _)| candidate.usual.is_some());
    if let Some(found) = usual.min_by_key(|(_, candidate, _)| rank(candidate)) {
        return Some(alone(found));
    }
    let words: Vec<_> = found.iter().filter(|(_, candidate, _)| candidate.bad.is_some()).collect();
    match words[..] {
        [found] if file.words => Some(alone(found)),
        _ => None,
    }
}

fn title(candidate: &Candidate) -> String {
    if candidate.named {
        format!("column `{}`", candidate.column)
    } else {
        format!("column {}", candidate.column)
    }
}

/// Refuses two files without identifiers of which one column each holds the same numbers in
/// another order.
fn refuse_possible(
    files: &[Unmatched],
    sets: &[Vec<HashSet<&str>>],
    choices: &[Option<Choice>],
) -> Result<()> {
    let only = |i: usize| -> Option<usize> {
        let open = choices[i].is_none() && files[i].fixed.is_none() && files[i].spare;
        match files[i].candidates {
            [_] if open => Some(0),
            _ => None,
        }
    };
    for i in 0..files.len() {
        for j in 0..i {
            let (Some(c), Some(d)) = (only(i), only(j)) else { continue };
            let (a, b) = (&files[j].candidates[d], &files[i].candidates[c]);
            if a.ids.len() >= FEWEST && a.ids != b.ids && overlap(&sets[i][c], &sets[j][d]) >= 0.8 {
                return Err(DataError::PossibleIds {
                    first: files[j].path.into(),
                    first_column: a.column.clone(),
                    second: files[i].path.into(),
                    second_column: b.column.clone(),
                });
            }
        }
    }
    Ok(())
}

/// The share of the smaller set that is in the other one, 0 to 1.
fn overlap(a: &HashSet<&str>, b: &HashSet<&str>) -> f64 {
    let (small, large) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if small.is_empty() {
        return 0.0;
    }
    small.iter().filter(|id| large.contains(*id)).count() as f64 / small.len() as f64
}

/// Identifiers and names of columns of a file, for a hint.
pub(crate) struct Named<'a> {
    pub(crate) file: String,
    pub(crate) ids: &'a [String],
    pub(crate) columns: Option<&'a [String]>,
}

/// Why two files have few identifiers in common, if changing how they are written would help.
pub(crate) fn hint(a: &Named, b: &Named) -> Option<String> {
    let set = |ids: &[String]| -> HashSet<String> { ids.iter().cloned().collect() };
    let share = |a: &HashSet<String>, b: &HashSet<String>| {
        let common = a.intersection(b).count();
        common as f64 / a.len().min(b.len()).max(1) as f64
    };
    let (of_a, of_b) = (set(a.ids), set(b.ids));
    let plain = share(&of_a, &of_b);
    if let (Some(columns), Some(others)) = (a.columns, b.columns)
        && plain == 0.0
        && columns.len().min(others.len()) > 1
        && share(&set(columns), &set(others)) >= 0.5
    {
        return Some(format!(
            "`{}` and `{}` have the same columns: their rows seem to be features and their columns \
             samples; transpose them",
            a.file, b.file
        ));
    }
    for (one, other) in [(a, b), (b, a)] {
        if let Some(columns) = other.columns
            && share(&set(one.ids), &set(columns)) >= 0.5
        {
            return Some(format!(
                "the identifiers of `{}` are columns of `{}`, which seems to be transposed",
                one.file, other.file
            ));
        }
    }
    type Change = fn(&str) -> String;
    let changes: [(Change, &str); 4] = [
        (|id| id.split_whitespace().collect::<Vec<_>>().join(" "), "but for blanks"),
        (|id| id.to_lowercase(), "but for upper and lower case"),
        (number_in, "as numbers: leading zeros or decimals differ, as spreadsheets write them"),
        (
            |id| id.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect(),
            "but for marks between letters",
        ),
    ];
    for (change, what) in changes {
        if let Some((x, y)) = pair(a.ids, b.ids, |id| Some(change(id)), plain) {
            return Some(format!(
                "`{x}` of `{}` and `{y}` of `{}` agree {what}; write them alike",
                a.file, b.file
            ));
        }
    }
    for (long, short) in [(a, b), (b, a)] {
        let known = set(short.ids);
        let head = |id: &str| -> Option<String> {
            let ends = id.char_indices().map(|(end, _)| end).rev();
            ends.map(|end| &id[..end]).find(|part| known.contains(*part)).map(str::to_owned)
        };
        let tail = |id: &str| -> Option<String> {
            let starts = id.char_indices().skip(1).map(|(start, _)| start);
            starts.map(|start| &id[start..]).find(|part| known.contains(*part)).map(str::to_owned)
        };
        let sample = &long.ids[..long.ids.len().min(500)];
        for (part, what) in
            [(&head as &dyn Fn(&str) -> Option<String>, "suffix"), (&tail, "prefix")]
        {
            let found: Vec<_> = sample.iter().filter_map(|id| Some((id, part(id)?))).collect();
            if let Some((id, part)) = found.first()
                && found.len() as f64 >= 0.5 * sample.len().min(known.len()) as f64
                && found.len() as f64 > plain * sample.len() as f64
            {
                return Some(format!(
                    "`{id}` of `{}` is `{part}` of `{}` with a {what}; remove it",
                    long.file, short.file
                ));
            }
        }
    }
    None
}

/// Two identifiers that are alike after a change, if that matches many more than before.
fn pair<'a>(
    a: &'a [String],
    b: &'a [String],
    change: impl Fn(&str) -> Option<String>,
    plain: f64,
) -> Option<(&'a String, &'a String)> {
    let changed: std::collections::HashMap<String, &String> =
        b.iter().filter_map(|id| Some((change(id)?, id))).collect();
    let found: Vec<_> = a.iter().filter_map(|id| Some((id, *changed.get(&change(id)?)?))).collect();
    let share = found.len() as f64 / a.len().min(b.len()).max(1) as f64;
    (share >= 0.5 && share > plain + 0.1).then(|| found.into_iter().find(|(x, y)| x != y)).flatten()
}

/// The number that an identifier is or ends in, without leading zeros or decimals of zero.
fn number_in(id: &str) -> String {
    if let Ok(value) = id.trim().parse::<f64>() {
        return value.to_string();
    }
    let start = id.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (head, digits) = id.split_at(start);
    format!("{head}{}", digits.trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn said(a: &[&str], b: &[&str]) -> Option<String> {
        let (a, b) = (ids(a), ids(b));
        hint(
            &Named { file: "a".into(), ids: &a, columns: None },
            &Named { file: "b".into(), ids: &b, columns: None },
        )
    }

    #[test]
    fn the_likely_reason_is_said_with_a_pair() {
        for (a, b, expected) in [
            (&["AC-1", "GT-1"], &["AC", "GT"], "`AC-1` of `a` is `AC` of `b` with a suffix"),
            (&["AC", "GT"], &["x_AC", "x_GT"], "`x_AC` of `b` is `AC` of `a` with a prefix"),
            (&["001", "002"], &["1", "2"], "`001` of `a` and `1` of `b` agree as numbers"),
            (&["1.0", "2.0"], &["1", "2"], "`1.0` of `a` and `1` of `b` agree as numbers"),
            (&["P01", "P02"], &["P1", "P2"], "`P01` of `a` and `P1` of `b` agree as numbers"),
            (&["1E5", "7"], &["100000", "8"], "`1E5` of `a` and `100000` of `b` agree as numbers"),
            (&["abc", "def"], &["ABC", "DEF"], "`abc` of `a` and `ABC` of `b` agree but for upper"),
            (&["a-b", "c-d"], &["a.b", "c.d"], "`a-b` of `a` and `a.b` of `b` agree but for marks"),
        ] {
            let found = said(a, b).expect("a hint");
            assert!(found.starts_with(expected), "{found}");
        }
        assert_eq!(said(&["x", "y"], &["p", "q"]), None);
    }

    #[test]
    fn transposed_tables_are_recognised_by_their_columns() {
        let (genes, sites, patients) =
            (ids(&["g1", "g2"]), ids(&["cg1", "cg2"]), ids(&["P1", "P2", "P3"]));
        let named = |file: &str, ids, columns| Named { file: file.into(), ids, columns };
        let found =
            hint(&named("rna", &genes, Some(&patients)), &named("meth", &sites, Some(&patients)));
        assert!(found.expect("a hint").ends_with("transpose them"));
        let found = hint(&named("rna", &genes, Some(&patients)), &named("b", &patients, None));
        let found = found.expect("a hint");
        assert_eq!(
            found,
            "the identifiers of `b` are columns of `rna`, which seems to be transposed"
        );
    }
}
