//! Results in a copy of the file that the data came from, so that other programs go on from there.
//!
//! A copy of an `.h5ad` or `.h5mu` gets values for its rows: embeddings in `obsm`, values of the
//! variables in `layers`, columns of `obs`. All else in it is as it was, and rows are found by their
//! names, whatever their order. What of the same name was there is replaced.
//!
//! ```no_run
//! use std::path::Path;
//! use multivae_data::annotate::{Annotation, Values, annotate};
//!
//! let ids = ["cell0", "cell1"].map(String::from);
//! let latent = Values::Matrix { width: 2, values: vec![0.5, -1.0, 0.25, 2.0], columns: None };
//! let latent = Annotation { modality: None, name: "X_multivae".into(), values: latent };
//! annotate(Path::new("cells.h5ad"), Path::new("encoded.h5ad"), &ids, &[latent])?;
//! # Ok::<(), multivae_data::DataError>(())
//! ```

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use hdf5_pure::{AttrValue, DatasetBuilder, Error, File, Group};

use crate::{
    error::{DataError, Result, list},
    read::tree::{self, hdf5},
};

/// What is said about values that none of the rows has.
const ENCODING: &str = "encoding-type";
const VERSION: &str = "encoding-version";

/// Values for the rows of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// The modality of an `.h5mu` whose values these are; `None` for those of all of its rows, and
    /// in an `.h5ad`.
    pub modality: Option<String>,
    /// The name of the embedding, the layer or the column.
    pub name: String,
    /// The values.
    pub values: Values,
}

/// Values by row.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Several numbers for each row, `[rows, width]` flattened.
    Matrix {
        /// Numbers of a row.
        width: usize,
        /// Row by row; NaN where there is none.
        values: Vec<f32>,
        /// The variables that they are of: a layer, which has all variables of the file. Without
        /// them they are an embedding.
        columns: Option<Vec<String>>,
    },
    /// A number for each row, NaN where there is none: a column.
    Numbers(Vec<f64>),
    /// A word for each row that has one: a column of categories.
    Classes(Vec<Option<String>>),
}

impl Values {
    /// How many rows they are of.
    pub fn rows(&self) -> usize {
        match self {
            Self::Matrix { width, values, .. } => values.len() / (*width).max(1),
            Self::Numbers(values) => values.len(),
            Self::Classes(values) => values.len(),
        }
    }
}

/// Whether a file is of a kind that can be annotated, by its name.
pub fn is_annotated(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str()).map(str::to_lowercase);
    end.is_some_and(|end| end == "h5ad" || end == "h5mu")
}

/// The names of the rows of a file, or of a modality of an `.h5mu`, in their order.
///
/// # Errors
///
/// [`DataError::Inside`] if there is no such modality, or names are missing or given twice;
/// [`DataError::Read`], [`DataError::Malformed`].
pub fn rows(source: &Path, modality: Option<&str>) -> Result<Vec<String>> {
    hdf5::names(source, &tree::join(&own(modality), "obs"))
}

/// The group of a modality, or that of the whole file.
fn own(modality: Option<&str>) -> String {
    modality.map_or_else(String::new, |modality| format!("mod/{modality}"))
}

/// Copies `source` to `out` with values for the rows called `ids`; gives how many rows of the file
/// have no value, which stand as NaN or without a class. Values of a modality are for those of the
/// rows that it has. After an error there is nothing new.
///
/// # Errors
///
/// [`DataError::Inside`] for a row, a modality or a variable that the file does not have, or has and
/// the values do not; [`DataError::Read`], [`DataError::Malformed`], [`DataError::Write`].
pub fn annotate(
    source: &Path,
    out: &Path,
    ids: &[String],
    annotations: &[Annotation],
) -> Result<usize> {
    // What does not fit is said before anything is copied.
    let mut placed = Vec::new();
    for annotation in annotations {
        placed.push(Placed::new(source, ids, annotation)?);
    }
    let without = placed.iter().map(|placed| placed.without).max().unwrap_or_default();
    multivae_files::edit_copy(source, out, |copy| edit(copy, &placed)).map_err(
        |error| match error {
            Error::Io(cause) => DataError::Write { path: out.into(), cause },
            error => hdf5::failed(out, "", error),
        },
    )?;
    Ok(without)
}

/// Values in the order of the rows of the file.
struct Placed<'a> {
    /// The group that holds `obs`, empty for the whole file.
    own: String,
    name: &'a str,
    values: Values,
    /// Rows of the file without values.
    without: usize,
}

impl<'a> Placed<'a> {
    fn new(source: &Path, ids: &[String], annotation: &'a Annotation) -> Result<Self> {
        let Annotation { modality, name, values } = annotation;
        let own = own(modality.as_deref());
        let bad = |inside: String, expected: String, found: String| DataError::Inside {
            path: source.into(),
            inside: inside.into(),
            place: "".into(),
            expected,
            found,
        };
        if values.rows() != ids.len() {
            let (expected, found) = (format!("{} rows", ids.len()), values.rows().to_string());
            return Err(bad(name.clone(), expected, found));
        }
        let obs = tree::join(&own, "obs");
        let rows = hdf5::names(source, &obs)?;
        let places: HashMap<&String, usize> = ids.iter().zip(0..).collect();
        let here: HashSet<&String> = rows.iter().collect();
        if modality.is_none()
            && let Some(lost) = ids.iter().find(|id| !here.contains(id))
        {
            return Err(bad(obs, format!("a row `{lost}`, which has values"), "none".into()));
        }
        let places: Vec<Option<usize>> = rows.iter().map(|row| places.get(row).copied()).collect();
        let without = places.iter().filter(|place| place.is_none()).count();
        let values = match values {
            Values::Matrix { width, values, columns } => {
                let order = match columns {
                    None => (0..*width).collect(),
                    Some(columns) => {
                        let var = tree::join(&own, "var");
                        let known = hdf5::names(source, &var)?;
                        variables(columns, &known)
                            .map_err(|(expected, found)| bad(var, expected, found))?
                    }
                };
                let mut out = Vec::with_capacity(places.len() * order.len());
                for place in places {
                    match place {
                        Some(row) => out.extend(order.iter().map(|&c| values[row * width + c])),
                        None => out.resize(out.len() + order.len(), f32::NAN),
                    }
                }
                Values::Matrix { width: order.len(), values: out, columns: columns.clone() }
            }
            Values::Numbers(values) => {
                let value = |place: Option<usize>| place.map_or(f64::NAN, |row| values[row]);
                Values::Numbers(places.into_iter().map(value).collect())
            }
            Values::Classes(values) => {
                let value = |place: Option<usize>| values[place?].clone();
                Values::Classes(places.into_iter().map(value).collect())
            }
        };
        Ok(Self { own, name, values, without })
    }
}

/// The column of each variable of the file.
fn variables(
    columns: &[String],
    known: &[String],
) -> std::result::Result<Vec<usize>, (String, String)> {
    let places: HashMap<&String, usize> = columns.iter().zip(0..).collect();
    let lost: Vec<&String> = known.iter().filter(|name| !places.contains_key(name)).collect();
    if known.len() == columns.len() && lost.is_empty() {
        return Ok(known.iter().map(|name| places[name]).collect());
    }
    let found = match lost.first() {
        Some(_) => format!("values without {}", list(lost.iter().take(4))),
        None => format!("values of {} variables", columns.len()),
    };
    Err((format!("values of all its {} variables", known.len()), found))
}

/// A text attribute as h5py writes it.
fn text(text: &str) -> AttrValue {
    AttrValue::VarLenString(text.into())
}

fn edit(path: &Path, placed: &[Placed]) -> std::result::Result<(), Error> {
    let file = File::open_rw(path)?;
    let root = file.root();
    // Columns that tables get, and those that they have.
    let mut orders: Vec<(String, Vec<String>)> = Vec::new();
    for Placed { own, name, values, .. } in placed {
        match values {
            Values::Matrix { width, values, columns } => {
                let group = tree::join(own, if columns.is_some() { "layers" } else { "obsm" });
                dictionary(&root, &group)?;
                let at = tree::join(&group, name);
                replace(&root, &at)?;
                let rows = values.len() / width.max(&1);
                root.create_dataset(&at, |array| {
                    array.with_f32_data(values).with_shape(&[rows as u64, *width as u64]);
                    encoded(array, "array", "0.2.0");
                })?;
            }
            Values::Numbers(numbers) => {
                let at = tree::join(&tree::join(own, "obs"), name);
                replace(&root, &at)?;
                root.create_dataset(&at, |array| {
                    array.with_f64_data(numbers).with_shape(&[numbers.len() as u64]);
                    encoded(array, "array", "0.2.0");
                })?;
            }
            Values::Classes(words) => {
                let at = tree::join(&tree::join(own, "obs"), name);
                replace(&root, &at)?;
                categories(&root, &at, words)?;
            }
        }
        if !matches!(values, Values::Matrix { .. }) {
            let obs = tree::join(own, "obs");
            let place = match orders.iter().position(|(known, _)| *known == obs) {
                Some(place) => place,
                None => {
                    let attributes = root.group(&obs)?.attrs()?;
                    let order = attributes.get("column-order").and_then(AttrValue::as_strings);
                    orders.push((obs, order.unwrap_or_default().to_vec()));
                    orders.len() - 1
                }
            };
            if !orders[place].1.iter().any(|known| known == name) {
                orders[place].1.push((*name).to_owned());
            }
        }
    }
    for (obs, order) in orders {
        root.group(&obs)?.set_attr("column-order", AttrValue::VarLenStringArray(order))?;
    }
    file.close()
}

/// Makes a group of things by name, if it is not there.
fn dictionary(root: &Group, at: &str) -> std::result::Result<(), Error> {
    if root.group(at).is_ok() {
        return Ok(());
    }
    root.create_group_with(at, |group| {
        group.set_attr(ENCODING, text("dict"));
        group.set_attr(VERSION, text("0.1.0"));
    })?;
    Ok(())
}

/// Takes away what is there.
fn replace(root: &Group, at: &str) -> std::result::Result<(), Error> {
    if root.dataset(at).is_ok() || root.group(at).is_ok() {
        root.delete(at)?;
    }
    Ok(())
}

fn encoded(array: &mut DatasetBuilder, encoding: &str, version: &str) {
    array.set_attr(ENCODING, text(encoding)).set_attr(VERSION, text(version));
}

/// A column of categories: their names, and of each row its place among them or -1.
fn categories(root: &Group, at: &str, words: &[Option<String>]) -> std::result::Result<(), Error> {
    let mut names: Vec<&str> = words.iter().flatten().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let places: HashMap<&str, i32> = names.iter().copied().zip(0..).collect();
    let code = |word: &Option<String>| word.as_ref().map_or(-1, |word| places[word.as_str()]);
    let codes: Vec<i32> = words.iter().map(code).collect();
    root.create_group_with(at, |group| {
        group.set_attr(ENCODING, text("categorical"));
        group.set_attr(VERSION, text("0.2.0"));
        group.set_attr("ordered", AttrValue::U8(0));
        group.create_dataset("codes", |array| {
            array.with_i32_data(&codes).with_shape(&[codes.len() as u64]);
            encoded(array, "array", "0.2.0");
        });
        group.create_dataset("categories", |array| {
            array.with_vlen_strings(&names);
            encoded(array, "string-array", "0.2.0");
        });
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{self, Write},
        process::Command,
    };

    use multivae_core::dataset::Dataset;

    use super::*;
    use crate::{
        DataConfig,
        fixture::{Folder, text, written, written_bytes},
    };

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// An embedding, a column of numbers and one of classes of two rows.
    fn two(prefix: &str) -> Vec<Annotation> {
        let of = |name: &str, values| Annotation {
            modality: None,
            name: format!("{prefix}{name}"),
            values,
        };
        let latent = Values::Matrix { width: 2, values: vec![1.0, 2.0, 3.0, 4.0], columns: None };
        vec![
            of("latent", latent),
            of("number", Values::Numbers(vec![0.5, f64::NAN])),
            of("class", Values::Classes(vec![Some("b".into()), None])),
        ]
    }

    fn read(folder: &Folder, manifest: &str) -> crate::Opened {
        folder.write("manifest.toml", &text(manifest));
        DataConfig::new(folder.path("manifest.toml").display().to_string()).read().expect("valid")
    }

    #[test]
    fn a_copy_has_values_for_its_rows_by_their_names_and_all_it_had() {
        let folder = Folder::new([]);
        let out = folder.path("out.h5ad");
        let layer = Values::Matrix {
            width: 4,
            values: (0..8).map(|value| value as f32).collect(),
            columns: Some(names(&["G3", "G2", "G1", "G0"])),
        };
        let mut all = two("m_");
        all.push(Annotation { modality: None, name: "m".into(), values: layer });
        let ids = names(&["cell4", "cell1"]);
        let without = annotate(&written("dense.h5ad"), &out, &ids, &all).expect("it fits");
        assert_eq!(without, 4);
        // And again over what is there.
        let again = folder.path("again.h5ad");
        annotate(&out, &again, &ids, &all).expect("it fits");
        for file in ["out.h5ad", "again.h5ad"] {
            let of = |array: &str| {
                format!(
                    "[[modality]]\nname = 'm{}'\nfile = '{file}'\narray = '{array}'\n",
                    array.len()
                )
            };
            let manifest = format!("labels = {{ file = '{file}', column = 'm_class' }}\n")
                + &of("obsm/m_latent")
                + &of("layers/m")
                + &of("X");
            let data = read(&folder, &manifest).data;
            assert_eq!(data.len(), 6, "rows without values have others");
            let row = |id: &str| (0..6).find(|&row| data.id(row) == id).expect("a row");
            let values = |m: usize, id: &str| {
                let width = data.modalities()[m].features();
                data.values(m)[row(id) * width..][..width].to_vec()
            };
            assert_eq!((values(0, "cell4"), values(0, "cell1")), (vec![1.0, 2.0], vec![3.0, 4.0]));
            assert_eq!(values(1, "cell4"), [3.0, 2.0, 1.0, 0.0]);
            assert_eq!(values(2, "cell1"), [1.0, 1.1, 1.2, 1.3]);
            assert!(!data.presence(row("cell0")).contains(0), "a row without values lacks them");
            assert_eq!((data.label(row("cell4")), data.label(row("cell1"))), (Some(0), None));
        }
    }

    #[test]
    fn what_does_not_fit_leaves_nothing_behind() {
        let folder = Folder::new([]);
        let out = folder.path("out.h5ad");
        let layer = |columns: &[&str]| Annotation {
            modality: None,
            name: "m".into(),
            values: Values::Matrix {
                width: columns.len(),
                values: vec![0.0; 2 * columns.len()],
                columns: Some(names(columns)),
            },
        };
        let wrong = |ids: &[&str], annotation: Annotation| {
            let source = written("dense.h5ad");
            let error = annotate(&source, &out, &names(ids), &[annotation]).expect_err("wrong");
            error.to_string().rsplit_once("dense.h5ad`, ").expect("names the file").1.to_owned()
        };
        let latent = || two("")[0].clone();
        assert_eq!(
            wrong(&["cell1", "other"], latent()),
            "`obs`: expected a row `other`, which has values, found none"
        );
        assert_eq!(wrong(&["cell1"], latent()), "`latent`: expected 1 rows, found 2");
        assert_eq!(
            wrong(&["cell1", "cell2"], layer(&["G0", "G1", "G2"])),
            "`var`: expected values of all its 4 variables, found values without `G3`"
        );
        let of = Annotation { modality: Some("rna".into()), ..latent() };
        assert_eq!(
            wrong(&["cell1", "cell2"], of),
            "`mod/rna/obs`: expected a table, found nothing"
        );
        let left = fs::read_dir(folder.path("")).expect("a folder").count();
        assert_eq!(left, 0);
    }

    /// What libraries of the field say of the copies; `None` where they are not installed.
    fn python(script: &str) -> Option<String> {
        let installed = |modules: &str| {
            let import =
                Command::new("python3").args(["-c", &format!("import {modules}")]).output();
            import.is_ok_and(|output| output.status.success())
        };
        if !installed("anndata, mudata") {
            return None;
        }
        let output = Command::new("python3").args(["-W", "ignore", "-c", script]).output();
        let output = output.expect("it was started before");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    #[test]
    fn anndata_and_mudata_read_the_copies() {
        let folder = Folder::new([("several.h5mu", written_bytes("several.h5mu"))]);
        let (cells, several) = (folder.path("out.h5ad"), folder.path("out.h5mu"));
        let ids = names(&["cell4", "cell1"]);
        annotate(&written("dense.h5ad"), &cells, &ids, &two("m_")).expect("it fits");
        let layer = Annotation {
            modality: Some("rna".into()),
            name: "m".into(),
            values: Values::Matrix {
                width: 5,
                values: (0..10).map(|value| value as f32).collect(),
                columns: Some(names(&["G0", "G1", "G2", "G3", "G4"])),
            },
        };
        let all = [two("m_"), vec![layer]].concat();
        annotate(&folder.path("several.h5mu"), &several, &ids, &all).expect("it fits");
        let script = format!(
            "import anndata, mudata\n\
             a = anndata.read_h5ad(r'{}')\n\
             print(a.obsm['m_latent'][[4, 1]].tolist(), a.obs['m_number'].iloc[4])\n\
             print(a.obs['m_class'].tolist()[4], a.obs['m_class'].isna().sum(), a.X[5, 3])\n\
             print(a.obs.columns.tolist()[-3:], a.layers['counts'].sum())\n\
             m = mudata.read_h5mu(r'{}')\n\
             print(m.obsm['m_latent'][m.obs_names.get_loc('cell4')].tolist())\n\
             print(m['rna'].layers['m'][[4, 1]].tolist(), m['protein'].X[0, 1])\n",
            cells.display(),
            several.display()
        );
        let Some(said) = python(&script) else {
            // Not captured as the output of tests is.
            let said = "NOT CHECKED: `python3` has no anndata and mudata to read the copies\n";
            io::stderr().write_all(said.as_bytes()).expect("it is open");
            return;
        };
        let expected = "[[1.0, 2.0], [3.0, 4.0]] 0.5\nb 5 5.3\n\
                        ['m_number', 'm_class'] 26\n[1.0, 2.0]\n\
                        [[0.0, 1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0, 9.0]] 7.1";
        assert_eq!(said.replace("'note', ", ""), expected);
    }
}
