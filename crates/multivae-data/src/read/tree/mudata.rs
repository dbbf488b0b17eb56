//! MuData: an AnnData for each modality, whose rows are matched by their names.

use std::collections::HashMap;

use super::{Attribute, Tree, anndata, frame, join};
use crate::{
    assemble::{Files, Source},
    error::{DataError, Result, list},
    read::{LabelFile, ModalityTable, ReadOptions, TextTable, name},
    reading::Reading,
    report::Warning,
};

/// The group of modalities.
const MOD: &str = "mod";

/// The modalities in their order.
fn modalities(tree: &dyn Tree) -> Result<Vec<String>> {
    let there = tree.names(MOD)?;
    let order = tree.list(MOD, "mod-order")?;
    if let Some(lost) = order.iter().find(|name| !there.contains(name)) {
        let at = join(MOD, lost);
        return Err(tree.bad(&at, "a modality, which `mod-order` names", "nothing"));
    }
    let others = there.iter().filter(|name| !order.contains(name)).cloned();
    let all: Vec<String> = order.iter().cloned().chain(others).collect();
    if all.is_empty() {
        let reason = "it has no modalities in `mod`";
        return Err(DataError::EmptyFile { path: tree.path().into(), reason });
    }
    Ok(all)
}

/// Refuses modalities that share their columns and not their rows.
fn check_axis(tree: &dyn Tree) -> Result<()> {
    match tree.attribute("", "axis")? {
        Some(Attribute::Numbers(axis)) if axis == [1.0] => Err(tree.bad(
            "",
            "modalities of the same rows (axis 0)",
            "modalities of the same columns \
                 (axis 1)",
        )),
        _ => Ok(()),
    }
}

/// The names of all rows, and a check of what they say of each modality.
fn rows(tree: &dyn Tree, modalities: &[String]) -> Result<Vec<String>> {
    let names = frame::names(tree, "obs")?;
    for modality in modalities {
        let at = format!("obsmap/{modality}");
        if tree.node(&at)?.is_none() {
            continue;
        }
        let own = frame::names(tree, &join(&join(MOD, modality), "obs"))?;
        let places = tree.whole(&at, 0)?;
        if places.len() != names.len() {
            let expected = format!("{} numbers, one for each row of `obs`", names.len());
            return Err(tree.bad(&at, expected, places.len().to_string()));
        }
        for (row, (&place, name)) in
            places.iter().zip(&names).enumerate().filter(|(_, (p, _))| **p > 0)
        {
            let found = format!("`{place}`");
            match usize::try_from(place - 1).ok().and_then(|place| own.get(place)) {
                None => {
                    let expected = format!("at most {}, the rows of the modality", own.len());
                    return Err(tree.bad_row(&at, row, expected, found));
                }
                Some(other) if other != name => {
                    let expected = format!("the place of `{name}`");
                    return Err(tree.bad_row(&at, row, expected, format!("that of `{other}`")));
                }
                Some(_) => {}
            }
        }
        let placed = places.iter().filter(|&&place| place > 0).count();
        if placed != own.len() {
            let expected = format!("a place for each of the {} rows of the modality", own.len());
            return Err(tree.bad(&at, expected, placed.to_string()));
        }
    }
    Ok(names)
}

/// The path of an array, and that of the AnnData it belongs to: of a modality that is named alone
/// its `X`.
fn resolve<'a>(modalities: &[String], array: &'a str) -> (String, &'a str) {
    let plain = array.strip_prefix("mod/").unwrap_or(array);
    if modalities.iter().any(|name| name == plain) {
        return (join(MOD, plain), "X");
    }
    match plain.split_once('/') {
        Some((modality, rest)) if modalities.iter().any(|name| name == modality) => {
            (join(MOD, modality), rest)
        }
        _ => (String::new(), array),
    }
}

/// The values at `said.array`, or those of the only modality.
pub(super) fn block(tree: &dyn Tree, said: ReadOptions) -> Result<ModalityTable> {
    check_axis(tree)?;
    let modalities = modalities(tree)?;
    let array = match (said.array, &modalities[..]) {
        (Some(array), _) => array,
        (None, [only]) => only.as_str(),
        (None, _) => return Err(unnamed(tree, &modalities)),
    };
    let (own, rest) = resolve(&modalities, array);
    anndata::part(tree, &own, rest, said)
}

fn unnamed(tree: &dyn Tree, modalities: &[String]) -> DataError {
    DataError::Array {
        path: tree.path().into(),
        expected: "the name of one modality or array, by `array` in a manifest".into(),
        found: list(modalities),
    }
}

/// `X` of each modality.
pub(super) fn files(tree: &dyn Tree, reading: Reading) -> Result<Files> {
    check_axis(tree)?;
    let modalities = modalities(tree)?;
    let rows = rows(tree, &modalities)?;
    let file = name(tree.path());
    let mut notes = Vec::new();
    let mut sources = Vec::new();
    for modality in &modalities {
        let own = join(MOD, modality);
        if frame::names(tree, &join(&own, "obs"))?.is_empty() {
            notes.push(Warning::new(
                format!("modality `{modality}`"),
                format!("it has no rows in `{file}`, and is left out"),
                "take it out of the file if that is meant",
            ));
            continue;
        }
        let name = anndata::plain(modality);
        let codes = reading.codes_of(&name, &[]);
        let said = ReadOptions { codes: Some(&codes), ..ReadOptions::default() };
        let mut block = anndata::part(tree, &own, "X", said)?;
        block.path = tree.path().join(modality);
        sources.push(Source::plain(name, block, codes, Default::default()));
    }
    if sources.is_empty() {
        let reason = "no modality has a row";
        return Err(DataError::EmptyFile { path: tree.path().into(), reason });
    }
    let label_codes = reading.codes_of_labels();
    let said = ReadOptions { codes: Some(&label_codes), ..ReadOptions::default() };
    let known = columns(tree, &modalities)?;
    let labels = match guess(tree, &modalities)? {
        Some(column) => {
            notes.push(anndata::guessed(tree, &column));
            let said = ReadOptions { column: Some(&column), ..said };
            Some(LabelFile::Table(text(tree, said)?.without_codes(said)))
        }
        None => {
            notes.extend(anndata::choice(tree, &known));
            None
        }
    };
    Ok(Files { sources, labels, label_codes, splits: None, notes, rows: Some(rows) })
}

/// The columns of the table of all rows, and of those of the modalities.
fn columns(tree: &dyn Tree, modalities: &[String]) -> Result<Vec<String>> {
    let mut all = frame::columns(tree, "obs")?;
    for modality in modalities {
        for column in frame::columns(tree, &join(&join(MOD, modality), "obs"))? {
            if !all.contains(&column) {
                all.push(column);
            }
        }
    }
    Ok(all)
}

fn guess(tree: &dyn Tree, modalities: &[String]) -> Result<Option<String>> {
    let mut found = anndata::guess(tree, "obs", &frame::columns(tree, "obs")?)?;
    for modality in modalities {
        let obs = join(&join(MOD, modality), "obs");
        let other = anndata::guess(tree, &obs, &frame::columns(tree, &obs)?)?;
        match (&found, other) {
            (None, other) => found = other,
            (Some(one), Some(other)) if *one != other => return Ok(None),
            _ => {}
        }
    }
    Ok(found)
}

/// The table of all rows: the column that is wanted stands in `obs`, or else in those of the
/// modalities, where rows that several of them have must say the same.
pub(super) fn text(tree: &dyn Tree, said: ReadOptions) -> Result<TextTable> {
    check_axis(tree)?;
    let modalities = modalities(tree)?;
    let names = rows(tree, &modalities)?;
    let known = columns(tree, &modalities)?;
    let chosen = match said.column {
        Some(column) => vec![column.to_owned()],
        None => known.clone(),
    };
    let mut table = vec![(frame::OBS_NAMES.to_owned(), names)];
    for name in chosen {
        let cells = cells(tree, &modalities, &table[0].1, &known, &name)?;
        table.push((name, cells));
    }
    frame::finish(tree, "obs", table, said, &known)
}

/// The cells of a column for all rows.
fn cells(
    tree: &dyn Tree,
    modalities: &[String],
    rows: &[String],
    known: &[String],
    column: &str,
) -> Result<Vec<String>> {
    if frame::columns(tree, "obs")?.iter().any(|name| name == column) {
        let words = frame::checked(tree, "obs", column, rows.len())?.words();
        return Ok(words.into_iter().map(Option::unwrap_or_default).collect());
    }
    // `rna:kind` is the column of one modality, as older files have it in the table of all rows.
    let single =
        column.split_once(':').filter(|(modality, _)| modalities.iter().any(|m| m == modality));
    let (of, column) = match single {
        Some((modality, column)) => (vec![modality.to_owned()], column),
        None => (modalities.to_vec(), column),
    };
    let mut found: HashMap<String, (String, String)> = HashMap::new();
    let mut any = false;
    for modality in of {
        let obs = join(&join(MOD, &modality), "obs");
        if !frame::columns(tree, &obs)?.iter().any(|name| name == column) {
            continue;
        }
        any = true;
        let names = frame::names(tree, &obs)?;
        let words = frame::checked(tree, &obs, column, names.len())?.words();
        for (row, (name, word)) in names.into_iter().zip(words).enumerate() {
            let Some(word) = word else { continue };
            match found.get(&name) {
                Some((before, first)) if *before != word => {
                    let expected =
                        format!("`{before}` in row `{name}`, as modality `{first}` has it");
                    return Err(tree.bad_row(
                        &join(&obs, column),
                        row,
                        expected,
                        format!("`{word}`"),
                    ));
                }
                Some(_) => {}
                None => {
                    found.insert(name, (word, modality.clone()));
                }
            }
        }
    }
    if !any {
        frame::find(tree, "obs", known, column)?;
    }
    Ok(rows
        .iter()
        .map(|row| found.remove(row).map_or_else(String::new, |(word, _)| word))
        .collect())
}

#[cfg(all(test, feature = "hdf5"))]
mod tests {
    use multivae_core::{dataset::Dataset, subset::Subset};

    use crate::{
        DataConfig, Opened,
        fixture::{Folder, text, written, written_bytes},
        storage::Storage,
    };

    fn read(name: &str) -> Opened {
        DataConfig::new(written(name).display().to_string()).read().expect("valid")
    }

    fn manifest(file: &str, manifest: &str) -> Result<Opened, String> {
        let folder = Folder::new([("manifest.toml", text(manifest)), (file, written_bytes(file))]);
        DataConfig::new(folder.source()).read().map_err(|error| folder.message(error))
    }

    fn labels(file: &str, column: &str) -> Result<Vec<String>, String> {
        let given = format!(
            "[[modality]]\nname = 'rna'\nfile = '{file}'\narray = 'rna'\n\
             [[modality]]\nname = 'protein'\nfile = '{file}'\narray = 'mod/protein/X'\n\
             [labels]\nfile = '{file}'\ncolumn = '{column}'\n"
        );
        let data = manifest(file, &given)?.data;
        let names = data.label_names().expect("words").to_vec();
        let name =
            |label: Option<i64>| label.map_or("-".into(), |label| names[label as usize].clone());
        let all = data.labels().expect("named").into_iter().map(name).enumerate();
        Ok(all.map(|(row, label)| format!("{}={label}", data.id(row))).collect())
    }

    #[test]
    fn modalities_come_in_their_order_with_rows_in_that_of_all_rows() {
        for file in ["several.h5mu", "unpulled.h5mu"] {
            let Opened { data, .. } = read(file);
            let names: Vec<_> = data.modalities().iter().map(|spec| spec.name.as_str()).collect();
            assert_eq!(names, ["protein", "rna"]);
            let ids: Vec<_> = (0..data.len()).map(|row| data.id(row)).collect();
            assert_eq!(ids.join(" "), "cell7 cell3 cell2 cell4 cell5 cell6 cell0 cell1");
            assert_eq!(data.values(0)[..4], [7.0, 7.1, 7.2, 3.0]);
            // Row `cell3` of the genes is 4 where 3 + j is divisible by 3.
            assert_eq!(data.values(1)[..10], [0.0, 0.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 4.0, 0.0]);
            assert_eq!((data.presence(0), data.presence(1)), (Subset::single(0), Subset::full(2)));
            assert_eq!(data.presence(7), Subset::single(1));
            assert!(data.modalities().len() == 2, "flags in `obsm` are no modalities");
        }
    }

    #[test]
    fn a_modality_without_rows_is_left_out_with_a_word() {
        let Opened { data, report, .. } = read("subset.h5mu");
        assert_eq!((data.modalities().len(), data.len()), (1, 3));
        let said = report.warnings.iter().map(ToString::to_string);
        let expected = "modality `rna`: it has no rows in `subset.h5mu`, and is left out";
        assert_eq!(said.filter(|warning| warning.starts_with(expected)).count(), 1);
    }

    #[test]
    fn labels_stand_in_the_table_of_all_rows_or_in_those_of_modalities() {
        let site = labels("several.h5mu", "site").expect("in the table of all rows");
        // As the modalities of the manifest have the rows: `cell0` is the seventh of all, of `s0`.
        assert_eq!((&*site[0], &*site[3]), ("cell0=s0", "cell3=s1"));
        // Categories in one modality, text in the other.
        let kinds = labels("unpulled.h5mu", "kind").expect("both say the same");
        let expected = "cell7=k1 cell3=k1 cell2=k0 cell4=k0 cell5=k1 cell6=k0 cell0=k0 cell1=k1";
        let mut kinds: Vec<_> = kinds;
        let mut expected: Vec<_> = expected.split(' ').map(String::from).collect();
        kinds.sort();
        expected.sort();
        assert_eq!(kinds, expected);
        for file in ["several.h5mu", "unpulled.h5mu"] {
            let own = labels(file, "rna:kind").expect("of one modality");
            assert_eq!(own.iter().filter(|label| label.ends_with("=-")).count(), 3, "{own:?}");
        }
    }

    #[test]
    fn modalities_that_say_different_labels_of_a_row_are_refused_by_it() {
        let error = labels("unpulled.h5mu", "clash").expect_err("they differ");
        assert_eq!(
            error,
            "`unpulled.h5mu`, `mod/rna/obs/clash`, row 3: expected `p3` in row `cell3`, as modality \
             `protein` has it, found `other`"
        );
    }

    #[test]
    fn arrays_of_a_modality_and_of_all_rows_are_named_by_their_paths() {
        let of = |array: &str| {
            let given =
                format!("[[modality]]\nname = 'm'\nfile = 'several.h5mu'\narray = '{array}'\n");
            manifest("several.h5mu", &given)
        };
        let joint = of("obsm/X_joint").expect("valid").data;
        assert_eq!(
            (joint.values(0)[..4].to_vec(), joint.id(0)),
            (vec![0.0, 0.0, 1.0, 10.0], "cell7".into())
        );
        let rna = of("mod/rna/X").expect("valid").data;
        assert_eq!((rna.len(), rna.id(0)), (5, "cell0".into()));
        assert!(matches!(&**rna.storage(0), Storage::Sparse(_)));
        let unnamed = "[[modality]]\nname = 'm'\nfile = 'several.h5mu'\n";
        let error = manifest("several.h5mu", unnamed).map(|_| ()).expect_err("two modalities");
        assert!(
            error.contains("expected the name of one modality or array, by `array`"),
            "{error}"
        );
    }
}
