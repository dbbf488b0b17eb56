//! AnnData: a matrix of cells by genes with layers, embeddings and tables.

use super::{Node, Tree, frame, join, matrix, sites};
use crate::{
    assemble::{Files, Source},
    error::{DataError, Result, list},
    read::{Ids, LabelFile, ModalityTable, ReadOptions, name, stem},
    reading::Reading,
    report::Warning,
};

/// The matrix itself.
const X: &str = "X";
/// Columns that hold class labels if nothing is said.
const LABELS: [&str; 3] = ["label", "labels", "class"];

/// The values at `said.array`, or of `X`.
pub(super) fn block(tree: &dyn Tree, said: ReadOptions) -> Result<ModalityTable> {
    part(tree, "", said.array.unwrap_or(X), said)
}

/// The values at a path below an AnnData, which is itself at `own`.
pub(super) fn part(
    tree: &dyn Tree,
    own: &str,
    array: &str,
    said: ReadOptions,
) -> Result<ModalityTable> {
    let at = join(own, array);
    let obs = join(own, "obs");
    let absent = || DataError::Array {
        path: tree.path().into(),
        expected: format!("an array `{at}`"),
        found: list(arrays(tree, own).unwrap_or_default()),
    };
    let names = frame::names(tree, &obs)?;
    let (mut block, columns) = match array.split_once('/') {
        _ if array == "obs" => return table(tree, own, names, said),
        _ if tree.node(&at)?.is_none() => return Err(absent()),
        None if array == X => variables(tree, &at, &join(own, "var"), names.len())?,
        Some(("layers", _)) => variables(tree, &at, &join(own, "var"), names.len())?,
        Some(("raw", X)) => variables(tree, &at, &join(own, "raw/var"), names.len())?,
        Some(("obsm", _)) => (embedding(tree, &at, &names, said)?, None),
        _ => return Err(absent()),
    };
    // A table of numbers has names and kinds of its own.
    if block.columns.is_none() {
        block.columns = columns;
        block.matrix = true;
    }
    block.ids = Some(ids(tree, &obs, names, said)?);
    Ok(block)
}

/// A matrix whose columns are the rows of a table.
fn variables(
    tree: &dyn Tree,
    at: &str,
    table: &str,
    rows: usize,
) -> Result<(ModalityTable, Option<Vec<String>>)> {
    let columns = frame::names(tree, table)?;
    let block = matrix::block(tree, at, rows, Some(columns.len()))?;
    Ok((block, Some(columns)))
}

/// Values of each row that are no variables: an array, a sparse matrix or a table of numbers.
fn embedding(
    tree: &dyn Tree,
    at: &str,
    names: &[String],
    said: ReadOptions,
) -> Result<ModalityTable> {
    let table =
        tree.is_group(at)? && tree.text(at, "encoding-type")?.as_deref() == Some("dataframe");
    if !table {
        return matrix::block(tree, at, names.len(), None);
    }
    frame::mixed(tree, at, names, said)
}

/// The table of what is known of the rows, as a modality of columns of several kinds.
fn table(
    tree: &dyn Tree,
    own: &str,
    names: Vec<String>,
    said: ReadOptions,
) -> Result<ModalityTable> {
    let obs = join(own, "obs");
    let mut block = frame::mixed(tree, &obs, &names, said)?;
    block.ids = Some(ids(tree, &obs, names, said)?);
    Ok(block)
}

/// The identifiers of the rows: their names, or the column that is said.
pub(super) fn ids(
    tree: &dyn Tree,
    obs: &str,
    names: Vec<String>,
    said: ReadOptions,
) -> Result<Ids> {
    let (column, reason, ids) = match said.id {
        None => {
            let reason = format!("they are the names of the rows of `{obs}`");
            (frame::OBS_NAMES.to_owned(), reason, names)
        }
        Some(id) => {
            let id = frame::find(tree, obs, &frame::columns(tree, obs)?, id)?;
            let words = frame::checked(tree, obs, &id, names.len())?.words();
            let ids = frame::different(tree, &join(obs, &id), words)?;
            (id, "the manifest names it".to_owned(), ids)
        }
    };
    Ok(Ids { column: Some(column), reason, ids })
}

/// What an AnnData holds that can be a modality.
pub(super) fn arrays(tree: &dyn Tree, own: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for one in [X, "raw/X"] {
        if tree.node(&join(own, one))?.is_some() {
            found.push(join(own, one));
        }
    }
    for group in ["layers", "obsm"] {
        let group = join(own, group);
        if tree.is_group(&group)? {
            found.extend(tree.names(&group)?.iter().map(|name| join(&group, name)));
        }
    }
    found.push(join(own, "obs"));
    Ok(found)
}

/// The name of a modality from the name of a file.
pub(super) fn plain(name: &str) -> String {
    let word =
        |c: char| if c == '.' || c == '/' || c == '\\' || c.is_whitespace() { '_' } else { c };
    if name.is_empty() { X.into() } else { name.chars().map(word).collect() }
}

/// `X` as the only modality, called as the file.
pub(super) fn files(tree: &dyn Tree, reading: Reading) -> Result<Files> {
    let stem = stem(tree.path());
    // Folders keep what looks like an extension.
    let name = plain(stem.strip_suffix(".zarr").unwrap_or(&stem));
    let codes = reading.codes_of(&name, &[]);
    let said = ReadOptions { codes: Some(&codes), ..ReadOptions::default() };
    if !matches!(tree.node(X)?, Some(Node::Array(_) | Node::Group)) {
        return Err(DataError::Array {
            path: tree.path().into(),
            expected: "a matrix `X`, or another one by `array` in a manifest".into(),
            found: list(arrays(tree, "")?),
        });
    }
    let mut block = block(tree, said)?;
    block.path = tree.path().into();
    let label_codes = reading.codes_of_labels();
    let said = ReadOptions { codes: Some(&label_codes), ..ReadOptions::default() };
    let known = frame::columns(tree, "obs")?;
    let mut notes = sites::unmeasured(tree, "obs", &known, &block)?;
    let labels = match guess(tree, "obs", &known)? {
        Some(column) => {
            notes.push(guessed(tree, &column));
            let said = ReadOptions { column: Some(&column), ..said };
            Some(LabelFile::Table(frame::text(tree, "obs", said)?.without_codes(said)))
        }
        None => {
            notes.extend(choice(tree, &known));
            None
        }
    };
    let others: Vec<_> = arrays(tree, "")?.into_iter().filter(|name| name != X).collect();
    notes.push(Warning::note(
        self::name(tree.path()),
        format!("`X` is the modality; a manifest can name others by `array`: {}", list(others)),
    ));
    let source = Source::plain(name, block, codes, Default::default());
    let (sources, splits, rows) = (vec![source], None, None);
    Ok(Files { sources, labels, label_codes, splits, notes, rows })
}

/// The column of labels, if exactly one is called so and holds categories or text.
pub(super) fn guess(tree: &dyn Tree, obs: &str, known: &[String]) -> Result<Option<String>> {
    let mut found = None;
    for column in known.iter().filter(|name| LABELS.contains(&name.to_lowercase().as_str())) {
        if frame::is_words(tree, obs, column)? {
            if found.is_some() {
                return Ok(None);
            }
            found = Some(column.clone());
        }
    }
    Ok(found)
}

/// Says which column was taken for labels.
pub(super) fn guessed(tree: &dyn Tree, column: &str) -> Warning {
    let found = format!("the column `{column}` of `obs` holds the labels, since it is called so");
    Warning::note(name(tree.path()), found)
}

/// Says which columns could be labels.
pub(super) fn choice(tree: &dyn Tree, known: &[String]) -> Option<Warning> {
    let file = name(tree.path());
    (!known.is_empty()).then(|| {
        let found = format!(
            "no column of `obs` is taken for labels; a manifest can name one, \
             `[labels]`, `file = \"{file}\"`, `column = ..`: {}",
            list(known.iter().take(20))
        );
        Warning::note(file, found)
    })
}

#[cfg(all(test, feature = "hdf5"))]
mod tests {
    use multivae_core::{dataset::Dataset, schema::Dtype};

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

    /// A modality of an array of a file.
    fn array(file: &str, array: &str) -> Result<Opened, String> {
        manifest(file, &format!("[[modality]]\nname = 'm'\nfile = '{file}'\narray = '{array}'\n"))
    }

    fn labels(file: &str, column: &str) -> Vec<String> {
        let given = format!(
            "[[modality]]\nname = 'm'\nfile = '{file}'\narray = 'obsm/X_pca'\n\
             [labels]\nfile = '{file}'\ncolumn = '{column}'\n"
        );
        let opened = manifest(file, &given).expect("valid");
        let labels = opened.data.labels().expect("named");
        let name = |label: Option<i64>| match (label, opened.data.label_names()) {
            (None, _) => "-".into(),
            (Some(label), None) => label.to_string(),
            (Some(label), Some(names)) => names[label as usize].clone(),
        };
        labels.into_iter().map(name).collect()
    }

    /// As `make_hdf5.py` makes it.
    fn counts(rows: usize, columns: usize) -> Vec<f32> {
        let cell = |place: usize| (place / columns, place % columns);
        let count = |(i, j): (usize, usize)| if (i + j) % 3 == 0 { i as f32 + 1.0 } else { 0.0 };
        (0..rows * columns).map(|place| count(cell(place))).collect()
    }

    #[test]
    fn a_dense_matrix_is_read_with_names_of_cells_and_genes() {
        let Opened { data, report, .. } = read("dense.h5ad");
        let spec = &data.modalities()[0];
        assert_eq!((spec.name.as_str(), &spec.shape[..], data.len()), ("dense", &[4][..], 6));
        let expected = |place: usize| ((place / 4) as f64 + (place % 4) as f64 / 10.0) as f32;
        assert_eq!(data.values(0), (0..24).map(expected).collect::<Vec<_>>());
        assert_eq!((data.id(0), data.id(5)), ("cell0".into(), "cell5".into()));
        let schema = data.schema().expect("read from a file");
        let columns = schema.modalities[0].columns.as_ref().expect("genes have names");
        assert_eq!(columns.join(" "), "G0 G1 G2 G3");
        assert_eq!(schema.modalities[0].dtype, Dtype::F32);
        assert_eq!(data.labels(), None);
        let notes: Vec<_> = report.warnings.iter().map(|note| note.to_string()).collect();
        assert!(notes[0].contains("`cell_type`, `batch`, `treated`, `donor`"), "{notes:?}");
        assert!(notes[1].contains("`layers/counts`, `layers/half`, `obsm/X_pca`"), "{notes:?}");
    }

    #[test]
    fn rows_and_columns_of_a_sparse_matrix_stay_sparse() {
        for (file, stored) in [("csr.h5ad", Dtype::F64), ("csc.h5ad", Dtype::I32)] {
            let Opened { data, .. } = read(file);
            assert_eq!(data.values(0), counts(6, 5), "{file}");
            let schema = data.schema().expect("read from a file");
            assert_eq!(schema.modalities[0].dtype, stored, "{file}");
            assert_eq!((data.id(2), data.len()), ("cell2".into(), 6));
            let Storage::Sparse(rows) = &**data.storage(0) else { panic!("{file} is dense") };
            assert_eq!((rows.entries(), rows.width()), (10, 5));
        }
    }

    #[test]
    fn one_column_of_words_that_is_called_so_holds_the_labels() {
        let Opened { data, report, .. } = read("csr.h5ad");
        assert_eq!(data.labels(), Some([0, 1, 0, 1, 0, 1].map(Some).to_vec()));
        assert_eq!(data.label_names(), Some(&["a".to_owned(), "b".to_owned()][..]));
        assert!(report.warnings[0].found.contains("`label` of `obs` holds the labels"));
    }

    #[test]
    fn every_encoding_of_a_column_can_hold_labels() {
        for (column, expected) in [
            ("cell_type", "B cell,T cell,-,B cell,T cell,NK"),
            ("batch", "0,1,0,1,0,1"),
            ("treated", "True,False,True,False,True,False"),
            ("donor", "d0,d1,d2,d0,d1,d2"),
            ("age", "30,31,32,33,34,35"),
            ("passed", "True,False,False,True,False,False"),
            ("weight", "-,1,2,3,4,5"),
            ("smokes", "True,False,True,-,True,False"),
            ("note", "note 0,-,note 2,note 3,note 4,note 5"),
        ] {
            assert_eq!(labels("dense.h5ad", column).join(","), expected, "{column}");
        }
        let unknown = "[[modality]]\nname = 'm'\nfile = 'dense.h5ad'\n\
                       [labels]\nfile = 'dense.h5ad'\ncolumn = 'kind'\n";
        let error = manifest("dense.h5ad", unknown).map(|_| ()).expect_err("no such column");
        assert!(
            error.starts_with("`dense.h5ad/obs` has no column `kind`; it has `cell_"),
            "{error}"
        );
    }

    #[test]
    fn layers_and_embeddings_are_read_by_their_paths() {
        let data = array("dense.h5ad", "layers/counts").expect("valid").data;
        assert_eq!(data.values(0), counts(6, 4));
        assert!(matches!(&**data.storage(0), Storage::Sparse(_)));
        let data = array("dense.h5ad", "layers/half").expect("valid").data;
        assert_eq!(data.schema().expect("read").modalities[0].dtype, Dtype::F16);
        assert!((data.values(0)[1] - 0.1).abs() < 1e-4);
        let data = array("dense.h5ad", "obsm/X_pca").expect("valid").data;
        assert_eq!(data.values(0)[2..6], [1.0, -1.0, 2.0, -2.0]);
        let error = array("dense.h5ad", "layers/none").map(|_| ()).expect_err("no such layer");
        assert!(error.starts_with("`dense.h5ad`: expected an array `layers/none`, found the arr"));
        assert!(error.contains("`X`, `layers/counts`"), "{error}");
    }

    #[test]
    fn the_table_of_cells_is_a_modality_of_columns_of_several_kinds() {
        let given = "[[modality]]\nname = 'm'\nfile = 'dense.h5ad'\narray = 'obs'\n\
                     columns = { note = 'text', age = 'real', weight = 'real', score = 'real' }\n";
        let data = manifest("dense.h5ad", given).expect("valid").data;
        let schema = data.schema().expect("read from a file");
        let table = schema.modalities[0].table.as_ref().expect("a mixed table");
        let kinds: Vec<_> =
            table.iter().map(|column| format!("{} {}", column.name, column.kind.name())).collect();
        assert_eq!(
            kinds.join(", "),
            "cell_type categorical, batch binary, treated binary, donor categorical, age real, score \
             real, passed binary, weight real, smokes binary, note text"
        );
        let cells = |row: usize| data.cells(row, 0).unwrap_or_default();
        // The score of the second cell, and the weight of the first, under its mask.
        let first = |name: &str| table.iter().find(|c| c.name == name).expect("a column").first;
        assert!(!cells(1)[first("score")] && cells(1)[first("age")] && !cells(0)[first("weight")]);
        assert_eq!(data.id(5), "cell5");
        let data = array("dense.h5ad", "obsm/adt").expect("valid").data;
        let columns = data.schema().expect("read").modalities[0].columns.clone();
        assert_eq!(columns.unwrap_or_default().join(" "), "CD3 CD4");
        assert_eq!(data.values(0)[2..6], [1.0, 0.5, 2.0, 1.0]);
    }

    #[test]
    fn a_file_without_a_matrix_says_what_else_it_has() {
        let source = written("no_x.h5ad").display().to_string();
        let error = DataConfig::new(&source).read().map(|_| ()).expect_err("no matrix");
        let expected = "expected a matrix `X`, or another one by `array` in a manifest, found the \
                        arrays `obsm/X_umap`, `obs`";
        assert!(error.to_string().contains(expected), "{error}");
        let data = array("no_x.h5ad", "obsm/X_umap").expect("valid").data;
        assert_eq!(data.values(0), [1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_file_of_older_encodings_is_read() {
        let data = read("old.h5ad").data;
        assert_eq!(data.values(0), counts(4, 5));
        assert_eq!((data.id(3), data.len()), ("c3".into(), 4));
        let given = "[[modality]]\nname = 'm'\nfile = 'old.h5ad'\n\
                     [labels]\nfile = 'old.h5ad'\ncolumn = 'kind'\n";
        let data = manifest("old.h5ad", given).expect("valid").data;
        assert_eq!(data.labels(), Some(vec![Some(0), Some(1), None, Some(1)]));
    }

    #[test]
    fn a_column_of_the_table_can_join_rows_with_other_files() {
        let given = "[[modality]]\nname = 'm'\nfile = 'dense.h5ad'\nid = 'age'\n\
                     [[modality]]\nname = 'n'\nfile = 'n.csv'\n";
        let folder = Folder::new([
            ("manifest.toml", text(given)),
            ("dense.h5ad", written_bytes("dense.h5ad")),
            ("n.csv", text("id,x\n35,0.5\n30,1.5\n")),
        ]);
        let data = DataConfig::new(folder.source()).read().expect("valid").data;
        assert_eq!((data.id(0), data.values(1)[0], data.values(1)[5]), ("30".into(), 1.5, 0.5));
    }
}
