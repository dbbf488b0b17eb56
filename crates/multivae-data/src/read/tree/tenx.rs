//! Matrices of 10x Genomics: features by barcodes, of several types of features.

use std::collections::HashMap;

use super::{Tree, anndata, frame, join, matrix};
use crate::{
    assemble::{Files, Source},
    error::{DataError, Result, list},
    read::{Ids, ModalityTable, ReadOptions, name},
    reading::Reading,
    report::Warning,
};

/// What features are in files that do not say it.
const GENES: &str = "Gene Expression";

/// Where the parts of a matrix are.
pub(super) struct Matrix {
    group: String,
    /// Names, identifiers and types of features, of which older files lack the types.
    names: String,
    ids: String,
    types: Option<String>,
}

/// Features by type.
struct Features {
    names: Vec<String>,
    /// The type of each feature.
    types: Vec<String>,
    /// The types in the order in which they first occur.
    order: Vec<String>,
    notes: Vec<Warning>,
}

impl Matrix {
    /// Of a file of Cell Ranger 3 and later, or of one before.
    pub(super) fn of(tree: &dyn Tree) -> Result<Option<Self>> {
        let has = |at: &str| Ok::<_, DataError>(tree.node(at)?.is_some());
        let group = "matrix".to_owned();
        if has("matrix/barcodes")? && has("matrix/features/id")? {
            let features = join(&group, "features");
            let types = join(&features, "feature_type");
            let types = has(&types)?.then_some(types);
            let (names, ids) = (join(&features, "name"), join(&features, "id"));
            return Ok(Some(Self { group, names, ids, types }));
        }
        // One group for each genome; with several, none is the matrix.
        let groups = tree.names("")?;
        let [group] = &groups[..] else { return Ok(None) };
        if has(&join(group, "barcodes"))? && has(&join(group, "gene_names"))? {
            let (names, ids) = (join(group, "gene_names"), join(group, "genes"));
            return Ok(Some(Self { group: group.clone(), names, ids, types: None }));
        }
        Ok(None)
    }

    fn features(&self, tree: &dyn Tree) -> Result<Features> {
        let texts = |at: &str| -> Result<Vec<String>> {
            let words = frame::cells(tree, at)?.words();
            Ok(words.into_iter().map(Option::unwrap_or_default).collect())
        };
        let same = |at: &str, found: usize, expected: usize| {
            let expected = format!("{expected} cells, one for each feature");
            tree.bad(at, expected, found.to_string())
        };
        let ids = frame::different(tree, &self.ids, frame::cells(tree, &self.ids)?.words())?;
        let mut names = texts(&self.names)?;
        if names.len() != ids.len() {
            return Err(same(&self.names, names.len(), ids.len()));
        }
        let types = match &self.types {
            Some(at) => texts(at)?,
            None => vec![GENES.to_owned(); ids.len()],
        };
        if types.len() != ids.len() {
            return Err(same(self.types.as_deref().unwrap_or_default(), types.len(), ids.len()));
        }
        let mut order: Vec<String> = Vec::new();
        for kind in &types {
            if !order.contains(kind) {
                order.push(kind.clone());
            }
        }
        let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
        for (name, kind) in names.iter().zip(&types) {
            *counts.entry((name, kind)).or_insert(0) += 1;
        }
        let again: Vec<usize> = (0..names.len())
            .filter(|&place| {
                names[place].is_empty() || counts[&(&*names[place], &*types[place])] > 1
            })
            .collect();
        let mut notes = Vec::new();
        if let Some(&first) = again.first() {
            let found = format!(
                "{} features share their name with others, such as `{}`: they are called by their \
                 identifier, such as `{}`",
                again.len(),
                names[first],
                ids[first]
            );
            notes.push(Warning::note(name(tree.path()), found));
        }
        again.into_iter().for_each(|place| names[place] = ids[place].clone());
        Ok(Features { names, types, order, notes })
    }

    /// The counts of one type of features.
    fn counts(&self, tree: &dyn Tree, features: &Features, kind: &str) -> Result<ModalityTable> {
        let at = join(&self.group, "barcodes");
        let barcodes = frame::different(tree, &at, frame::cells(tree, &at)?.words())?;
        self.check_shape(tree, features.names.len(), barcodes.len())?;
        let mut columns = Vec::new();
        let chosen: Vec<Option<u32>> = features
            .types
            .iter()
            .zip(&features.names)
            .map(|(other, name)| {
                (other == kind).then(|| {
                    columns.push(name.clone());
                    columns.len() as u32 - 1
                })
            })
            .collect();
        let chosen = (columns.len() < features.names.len()).then_some(&chosen[..]);
        // Barcodes are its columns, and our rows.
        let (order, parts) = (matrix::Order::Csr, matrix::SCIPY);
        let (rows, width) = (barcodes.len(), features.names.len());
        let counts = matrix::Sparse { order, rows, columns: width, parts };
        let mut block = counts.block(tree, &self.group, chosen)?;
        block.columns = Some(columns);
        block.matrix = true;
        let reason = "they are the barcodes of the file".to_owned();
        block.ids = Some(Ids { column: Some("barcodes".into()), reason, ids: barcodes });
        block.path = tree.path().join(kind);
        Ok(block)
    }

    fn check_shape(&self, tree: &dyn Tree, features: usize, barcodes: usize) -> Result<()> {
        let at = join(&self.group, "shape");
        let shape = tree.whole(&at, 0)?;
        if shape == [features as i64, barcodes as i64] {
            return Ok(());
        }
        let expected = format!("[{features}, {barcodes}], the numbers of features and barcodes");
        Err(tree.bad(&at, expected, format!("{shape:?}")))
    }

    /// The type of features that `said.array` names, or the only one.
    pub(super) fn block(&self, tree: &dyn Tree, said: ReadOptions) -> Result<ModalityTable> {
        let features = self.features(tree)?;
        let named = |name: &str| {
            features.order.iter().find(|kind| *kind == name || anndata::plain(kind) == name)
        };
        let kind = match (said.array, &features.order[..]) {
            (Some(name), _) => named(name),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let Some(kind) = kind else {
            return Err(DataError::Array {
                path: tree.path().into(),
                expected: match said.array {
                    Some(name) => format!("features of type `{name}`"),
                    None => {
                        "one type of features, or the name of one by `array` in a manifest".into()
                    }
                },
                found: list(&features.order),
            });
        };
        let mut block = self.counts(tree, &features, kind)?;
        block.notes.extend(features.notes);
        Ok(block)
    }

    /// A modality for each type of features.
    pub(super) fn files(&self, tree: &dyn Tree, reading: Reading) -> Result<Files> {
        let features = self.features(tree)?;
        let mut sources = Vec::new();
        for kind in &features.order {
            let name = anndata::plain(kind);
            let codes = reading.codes_of(&name, &[]);
            let block = self.counts(tree, &features, kind)?;
            sources.push(Source::plain(name, block, codes, Default::default()));
        }
        let (labels, splits, rows) = (None, None, None);
        let label_codes = reading.codes_of_labels();
        Ok(Files { sources, labels, label_codes, splits, notes: features.notes, rows })
    }
}

#[cfg(all(test, feature = "hdf5"))]
mod tests {
    use multivae_core::dataset::Dataset;

    use crate::{
        DataConfig,
        fixture::{Folder, text, written, written_bytes},
        storage::Storage,
    };

    #[test]
    fn types_of_features_are_modalities_with_barcodes_as_rows() {
        let opened = DataConfig::new(written("tenx.h5").display().to_string()).read();
        let opened = opened.expect("valid");
        let data = opened.data;
        let names: Vec<_> = data.modalities().iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!(names, ["Gene_Expression", "Antibody_Capture"]);
        assert_eq!((data.len(), data.id(3)), (4, "AAAC3-1".into()));
        // Cell i has i + 1 of feature j where i + j is divisible by 3.
        let genes = [1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0, 0.0];
        assert_eq!(data.values(0), genes);
        assert_eq!(data.values(1), [1.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0, 0.0]);
        assert!(matches!(&**data.storage(0), Storage::Sparse(_)));
        let schema = data.schema().expect("read from a file");
        let columns = |m: usize| schema.modalities[m].columns.clone().unwrap_or_default().join(" ");
        assert_eq!((columns(0), columns(1)), ("TP53 ENSG2 ENSG3".into(), "CD3 CD4".into()));
        let said = opened.report.warnings.iter().map(ToString::to_string).collect::<String>();
        assert!(said.contains("2 features share their name with others, such as `MYC`"), "{said}");
    }

    #[test]
    fn one_type_is_named_in_a_manifest() {
        let of = |array: &str| {
            let manifest = format!("[[modality]]\nname = 'm'\nfile = 'tenx.h5'\n{array}");
            let folder = Folder::new([
                ("manifest.toml", text(&manifest)),
                ("tenx.h5", written_bytes("tenx.h5")),
            ]);
            let opened = DataConfig::new(folder.source()).read();
            opened.map_err(|error| folder.message(error))
        };
        let data = of("array = 'Antibody Capture'").expect("valid").data;
        assert_eq!(data.modalities()[0].shape, [2]);
        let error = of("").map(|_| ()).expect_err("two types");
        let expected = "`tenx.h5`: expected one type of features, or the name of one by `array` in \
                        a manifest, found the arrays `Gene Expression`, `Antibody Capture`";
        assert_eq!(error, expected);
    }
}
