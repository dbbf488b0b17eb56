//! Columns that are 0 in all rows of a site: what `anndata.concat` makes of features that one part lacks.

use std::collections::BTreeMap;

use super::{Tree, frame};
use crate::{
    error::{Result, list},
    read::ModalityTable,
    report::Warning,
};

/// Columns of `obs` that say where rows come from, in lower case.
const SITES: [&str; 11] = [
    "batch",
    "batch_id",
    "site",
    "dataset",
    "study",
    "sample",
    "sample_id",
    "center",
    "centre",
    "library",
    "plate",
];
/// Sites at most; more are no sites.
const MOST: usize = 100;
/// Rows of a site at least.
const FEWEST: usize = 20;
/// Values that are looked at; of more it would take too long to open a file.
const VALUES: usize = 200_000_000;
/// The probability, below which zeros are not taken for chance.
const CHANCE: f64 = 1e-6;

/// Warns of columns that are 0 in all rows of a site, and so often not in others that this is no chance.
pub(super) fn unmeasured(
    tree: &dyn Tree,
    obs: &str,
    known: &[String],
    block: &ModalityTable,
) -> Result<Vec<Warning>> {
    let features: usize = block.shape.iter().product();
    if block.rows * features > VALUES {
        return Ok(Vec::new());
    }
    let mut warnings = Vec::new();
    for column in known.iter().filter(|name| SITES.contains(&name.to_lowercase().as_str())) {
        if !frame::is_words(tree, obs, column)? {
            continue;
        }
        let words = frame::checked(tree, obs, column, block.rows)?.words();
        let mut sites: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (row, word) in words.iter().enumerate() {
            if let Some(word) = word {
                sites.entry(word).or_default().push(row);
            }
        }
        if (2..=MOST).contains(&sites.len()) {
            warnings.extend(of_sites(column, &sites, block, features)?);
        }
    }
    Ok(warnings)
}

fn of_sites(
    column: &str,
    sites: &BTreeMap<&str, Vec<usize>>,
    block: &ModalityTable,
    features: usize,
) -> Result<Vec<Warning>> {
    // How often each column of each site is not 0.
    let mut counts = Vec::new();
    let mut values = vec![0.0; features];
    for rows in sites.values() {
        let mut count = vec![0usize; features];
        for row in rows {
            block.values.read(row * features, &mut values)?;
            count.iter_mut().zip(&values).for_each(|(count, value)| {
                *count += usize::from(*value != 0.0);
            });
        }
        counts.push(count);
    }
    let all: usize = sites.values().map(Vec::len).sum();
    let total: Vec<usize> =
        (0..features).map(|f| counts.iter().map(|count| count[f]).sum()).collect();
    let mut warnings = Vec::new();
    for ((site, rows), count) in sites.iter().zip(&counts) {
        let others = (all - rows.len()) as f64;
        if rows.len() < FEWEST || others == 0.0 {
            continue;
        }
        let odd = |&f: &usize| {
            let share = total[f] as f64 / others;
            count[f] == 0 && rows.len() as f64 * (1.0 - share).ln() < CHANCE.ln()
        };
        let lacking: Vec<usize> = (0..features).filter(odd).collect();
        if lacking.is_empty() {
            continue;
        }
        let name = |f: &usize| match &block.columns {
            Some(columns) => columns[*f].clone(),
            None => f.to_string(),
        };
        let shown = list(lacking.iter().take(5).map(name));
        warnings.push(Warning::new(
            format!("`{column}` of `obs`"),
            format!(
                "{} columns are 0 in all {} rows of `{site}` and often not in others, such as {shown}: \
                 they were probably not measured there, as after joining files that lack them",
                lacking.len(),
                rows.len()
            ),
            "write NaN where nothing was measured, or give each site a file of its own",
        ));
    }
    Ok(warnings)
}

#[cfg(all(test, feature = "hdf5"))]
mod tests {
    use hdf5_pure::{AttrValue, FileBuilder};

    use crate::{DataConfig, fixture::Folder};

    /// 60 cells of three genes and two batches; the first gene is 0 in the first `absent` cells.
    fn cells(absent: usize, column: &str) -> Vec<u8> {
        let text = |text: &str| AttrValue::VarLenString(text.into());
        let mut file = FileBuilder::new();
        file.set_attr("encoding-type", text("anndata"));
        let values: Vec<f32> = (0..60)
            .flat_map(|row| {
                let first = if row < absent || usize::is_multiple_of(row, 4) { 0.0 } else { 2.0 };
                [first, (row % 3) as f32, if row == 59 { 1.0 } else { 0.0 }]
            })
            .collect();
        file.create_dataset("X").with_f32_data(&values).with_shape(&[60, 3]);
        for (table, names) in [
            ("obs", (0..60).map(|row| format!("c{row}")).collect::<Vec<_>>()),
            ("var", ["g0", "g1", "g2"].map(String::from).to_vec()),
        ] {
            let mut group = file.create_group(table);
            group.set_attr("_index", text("names"));
            group.set_attr("encoding-type", text("dataframe"));
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            group.create_dataset("names").with_vlen_strings(&names);
            if table == "obs" {
                let of: Vec<&str> = (0..60).map(|row| if row < 30 { "a" } else { "b" }).collect();
                group.create_dataset(column).with_vlen_strings(&of);
            }
            file.add_group(group.finish());
        }
        file.finish().expect("memory takes it")
    }

    fn warnings(bytes: Vec<u8>) -> Vec<String> {
        let folder = Folder::new([("a.h5ad", bytes)]);
        let opened = DataConfig::new(folder.path("a.h5ad").display().to_string()).read();
        let opened = opened.map_err(|error| folder.message(error)).expect("valid");
        let warnings = opened.report.warnings.iter().map(ToString::to_string);
        warnings.filter(|warning| warning.contains("not measured there")).collect()
    }

    #[test]
    fn whole_columns_of_zeros_of_one_site_are_named_with_the_site() {
        let found = warnings(cells(30, "Batch"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("1 columns are 0 in all 30 rows of `a`"), "{found:?}");
        assert!(found[0].contains("such as `g0`"), "{found:?}");
        assert!(warnings(cells(29, "Batch")).is_empty(), "one cell has it");
        assert!(warnings(cells(30, "stage")).is_empty(), "no column says the site");
    }
}
