//! Arrays by path, of any file of groups; those of MATLAB have their axes the other way round.

use super::{Attribute, Kind, Node, Tree, join, matrix};
use crate::{
    assemble::Files,
    error::{DataError, Result, list},
    folder,
    read::{Array, LabelFile, ModalityTable, Numbers, ReadOptions, name},
    reading::Reading,
    report::Warning,
    storage::IN_MEMORY,
};

/// The attribute by which MATLAB says what an array is.
const CLASS: &str = "MATLAB_class";
/// The attribute of an array that stands for one without values.
const EMPTY: &str = "MATLAB_empty";
/// The attribute of a group that holds a sparse matrix: how many rows it has.
const SPARSE: &str = "MATLAB_sparse";
/// Groups of groups that are looked into.
const DEPTH: usize = 32;

/// Paths of all arrays and sparse matrices.
fn paths(tree: &dyn Tree) -> Result<Vec<String>> {
    fn walk(tree: &dyn Tree, group: &str, depth: usize, into: &mut Vec<String>) -> Result<()> {
        for name in tree.names(group)? {
            let at = join(group, &name);
            // What MATLAB keeps beside its variables.
            if name.starts_with('#') {
                continue;
            }
            match tree.node(&at)? {
                Some(Node::Array(_)) => into.push(at),
                Some(Node::Group) if is_sparse(tree, &at)? => into.push(at),
                Some(Node::Group) if depth > 0 => walk(tree, &at, depth - 1, into)?,
                _ => {}
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(tree, "", DEPTH, &mut found)?;
    Ok(found)
}

fn is_sparse(tree: &dyn Tree, at: &str) -> Result<bool> {
    if tree.attribute(at, SPARSE)?.is_some() {
        return Ok(true);
    }
    let parts = ["data", "indices", "indptr"];
    let there = parts.iter().map(|part| Ok(tree.node(&join(at, part))?.is_some()));
    let there: Vec<bool> = there.collect::<Result<_>>()?;
    Ok(there.into_iter().all(|there| there) && matrix::order(tree, at).is_ok())
}

/// The path of the array that is named, or of the only one.
fn choose(tree: &dyn Tree, said: ReadOptions) -> Result<String> {
    if let Some(array) = said.array
        && let array = array.trim_matches('/')
        && tree.node(array)?.is_some()
    {
        return Ok(array.to_owned());
    }
    let mut known = paths(tree)?;
    match (said.array, known.len()) {
        (None, 1) => Ok(known.remove(0)),
        (array, _) => Err(DataError::Array {
            path: tree.path().into(),
            expected: match array {
                Some(array) => format!("an array `{array}`"),
                None => "one array, or the path of one by `array` in a manifest".into(),
            },
            found: if known.is_empty() { "none".into() } else { list(known) },
        }),
    }
}

/// The array that `said.array` names, or the only one.
pub(super) fn block(tree: &dyn Tree, said: ReadOptions) -> Result<ModalityTable> {
    let at = choose(tree, said)?;
    match tree.node(&at)? {
        Some(Node::Array(leaf)) if !is_matlab(tree, &at)? => {
            let rows = usize::try_from(leaf.rows()).unwrap_or(usize::MAX);
            matrix::dense(tree, &at, leaf, rows, None, IN_MEMORY)
        }
        Some(Node::Array(_)) => array(tree, &at)?.block(&tree.path().join(&at)),
        _ if tree.attribute(&at, SPARSE)?.is_some() => sparse(tree, &at),
        _ => {
            let [rows, _] = matrix::shape(tree, &at)?;
            matrix::block(tree, &at, usize::try_from(rows).unwrap_or(usize::MAX), None)
        }
    }
}

/// Class labels of an array.
pub(super) fn labels(tree: &dyn Tree, said: ReadOptions) -> Result<LabelFile> {
    let at = choose(tree, said)?;
    Ok(LabelFile::Values(array(tree, &at)?.labels(tree.path(), said)?))
}

/// All arrays, if there are some and none is in a group.
pub(super) fn files(tree: &dyn Tree, reading: Reading) -> Result<Files> {
    let known = paths(tree)?;
    if known.iter().any(|path| path.contains('/')) {
        return Err(DataError::Array {
            path: tree.path().into(),
            expected: "arrays that are in no group, or a manifest that names them by `array`"
                .into(),
            found: list(known.iter().take(20)),
        });
    }
    let mut notes = Vec::new();
    let mut arrays = Vec::new();
    for at in known {
        match left_out(tree, &at)? {
            Some(reason) => {
                let found = format!("`{at}` is left out: it is {reason}");
                notes.push(Warning::note(name(tree.path()), found));
            }
            None => arrays.push(array(tree, &at)?),
        }
    }
    let mut files = folder::arrays(tree.path(), arrays, reading)?;
    files.notes.extend(notes);
    Ok(files)
}

/// All arrays of a file.
pub(super) fn all(tree: &dyn Tree) -> Result<Vec<Array>> {
    let known = paths(tree)?;
    let read = known.iter().filter(|at| matches!(left_out(tree, at), Ok(None)));
    read.map(|at| array(tree, at)).collect()
}

/// Why an array of a file of several is no modality, if it is none.
fn left_out(tree: &dyn Tree, at: &str) -> Result<Option<String>> {
    let Some(Node::Array(leaf)) = tree.node(at)? else {
        return Ok(Some("a sparse matrix, which a manifest can name".into()));
    };
    if let Kind::Other(found) = &leaf.kind {
        return Ok(Some(found.clone()));
    }
    let class = tree.text(at, CLASS)?;
    Ok(match class.as_deref() {
        _ if is_empty(tree, at)? => Some("empty".into()),
        Some(class @ ("cell" | "struct" | "function_handle")) => Some(format!("a {class}")),
        Some("char") if !folder::is_special(at) => Some("text".into()),
        _ if leaf.shape.is_empty() => Some("a single value".into()),
        _ => None,
    })
}

fn is_matlab(tree: &dyn Tree, at: &str) -> Result<bool> {
    Ok(tree.text(at, CLASS)?.is_some())
}

fn is_empty(tree: &dyn Tree, at: &str) -> Result<bool> {
    Ok(matches!(tree.attribute(at, EMPTY)?, Some(Attribute::Numbers(flag)) if flag != [0.0]))
}

/// An array with its rows as the first axis.
fn array(tree: &dyn Tree, at: &str) -> Result<Array> {
    let array = tree.array(at)?;
    let Some(class) = tree.text(at, CLASS)? else { return Ok(array) };
    if is_empty(tree, at)? {
        let reason = "its array has no values";
        return Err(DataError::EmptyFile { path: tree.path().join(at), reason });
    }
    let Array { name, mut shape, dtype, numbers } = array;
    // In MATLAB the first axis is the one that varies fastest.
    shape.reverse();
    let numbers = numbers.by_rows(&shape);
    match class.as_str() {
        "char" => Ok(text(name, &shape, numbers)),
        "cell" | "struct" | "function_handle" => {
            Err(tree.bad(at, "numbers or text", format!("a {class}")))
        }
        _ => Ok(Array { name, shape, dtype, numbers }),
    }
}

/// Text of MATLAB: a row of letters for each.
fn text(name: String, shape: &[usize], letters: Numbers) -> Array {
    let width = shape.iter().skip(1).product::<usize>().max(1);
    let mut points = Vec::with_capacity(letters.len());
    letters.each(|point| points.push(point as u16));
    let texts: Vec<String> = points
        .chunks(width)
        .map(|row| String::from_utf16_lossy(row).trim_end_matches([' ', '\0']).to_owned())
        .collect();
    let (shape, numbers) = (vec![texts.len()], Numbers::Text(texts));
    Array { name, shape, dtype: multivae_core::schema::Dtype::Text, numbers }
}

/// A sparse matrix of MATLAB, which lies column by column.
fn sparse(tree: &dyn Tree, at: &str) -> Result<ModalityTable> {
    let rows = match tree.attribute(at, SPARSE)? {
        Some(Attribute::Numbers(rows)) if rows.len() == 1 => rows[0] as usize,
        _ => return Err(tree.bad(at, "a number of rows in `MATLAB_sparse`", "something else")),
    };
    let starts = tree.leaf(&join(at, matrix::MATLAB[0]))?.rows();
    let columns = usize::try_from(starts.saturating_sub(1)).unwrap_or(usize::MAX);
    let order = matrix::Order::Csc;
    matrix::Sparse { order, rows, columns, parts: matrix::MATLAB }.block(tree, at, None)
}

#[cfg(all(test, feature = "hdf5"))]
mod tests {
    use multivae_core::{dataset::Dataset, schema::Dtype};

    use crate::{
        DataConfig, Opened,
        fixture::{Folder, text, written, written_bytes},
    };

    fn array(file: &str, array: &str) -> Result<Opened, String> {
        let manifest = format!("[[modality]]\nname = 'm'\nfile = '{file}'\narray = '{array}'\n");
        let folder = Folder::new([("manifest.toml", text(&manifest)), (file, written_bytes(file))]);
        DataConfig::new(folder.source()).read().map_err(|error| folder.message(error))
    }

    #[test]
    fn arrays_of_any_type_order_and_filter_are_read_by_their_path() {
        let expected = |place: usize| ((place / 3) as f64 + (place % 3) as f64 / 10.0) as f32;
        let expected: Vec<f32> = (0..12).map(expected).collect();
        let tenfold: Vec<f32> = expected.iter().map(|value| (value * 10.0).round()).collect();
        for (path, dtype, values) in [
            ("group/big", Dtype::F64, &expected),
            ("/group/whole", Dtype::I16, &tenfold),
            ("group/bytes", Dtype::U8, &tenfold),
        ] {
            let data = array("plain.h5", path).expect("valid").data;
            assert_eq!(data.schema().expect("read").modalities[0].dtype, dtype, "{path}");
            let found = data.values(0);
            assert!(found.iter().zip(values).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        }
        let half = array("plain.h5", "group/half").expect("valid").data.values(0);
        assert!(half.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 2e-3), "{half:?}");
        let flags = array("plain.h5", "group/flags").expect("valid").data.values(0);
        assert_eq!(flags[..6], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
        let volume = array("plain.h5", "group/volume").expect("valid").data;
        assert_eq!(volume.modalities()[0].shape, [2, 3, 4]);
    }

    #[test]
    fn what_is_no_array_of_numbers_is_refused_with_its_path() {
        for (path, expected) in [
            (
                "group/pair",
                "`plain.h5`, `group/pair`: expected truth values, or integers or floats of at most \
                 64 bits, found a compound of a, b",
            ),
            ("group/none", "`plain.h5`: expected an array `group/none`, found the arrays `group/b"),
            ("group/words", "`plain.h5`, `group/words`: expected numbers, found text"),
        ] {
            let error = array("plain.h5", path).map(|_| ()).expect_err("no numbers");
            assert!(error.starts_with(expected), "{error}");
        }
        let error = DataConfig::new(written("plain.h5").display().to_string()).read();
        let error = error.map(|_| ()).expect_err("in a group").to_string();
        assert!(error.contains("expected arrays that are in no group, or a manifest"), "{error}");
    }

    #[test]
    fn arrays_that_are_in_no_group_are_modalities_as_those_of_npz() {
        let data = DataConfig::new(written("arrays.h5").display().to_string()).read();
        let data = data.expect("valid").data;
        let names: Vec<_> = data.modalities().iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!((names, data.id(1)), (vec!["a", "b"], "p2".into()));
        assert_eq!(data.labels(), Some([0, 1, 0, 1].map(Some).to_vec()));
        assert_eq!(data.values(1)[..4], [0.0, 1.0, 10.0, 11.0]);
    }

    #[test]
    fn arrays_of_matlab_have_their_rows_first_again() {
        let Opened { data, report, .. } =
            DataConfig::new(written("matlab.mat").display().to_string()).read().expect("valid");
        let specs: Vec<_> =
            data.modalities().iter().map(|spec| (spec.name.as_str(), spec.shape[0])).collect();
        assert_eq!(specs, [("flags", 3), ("whole", 3), ("x", 3)]);
        assert_eq!(data.values(2)[..4], [0.0, 0.1, 0.2, 1.0]);
        assert_eq!(data.values(1)[..4], [0.0, 1.0, 2.0, 10.0]);
        let said = report.warnings.iter().map(ToString::to_string).collect::<String>();
        assert!(said.contains("`empty` is left out: it is empty"), "{said}");
    }
}
