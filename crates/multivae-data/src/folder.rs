//! Data as files lie in a folder, or as arrays in one file.

use std::path::{Path, PathBuf};

use multivae_core::schema::{Dtype, ImageConversion};
use rayon::prelude::*;

use crate::{
    assemble::{Files, Source},
    error::{DataError, Result, list},
    read::{
        self, Array, Ids, LabelFile, ModalityTable, Numbers, ReadOptions, TextTable,
        format::{self, Content},
    },
    reading::Reading,
    report::Warning,
};

/// The stem of the file of class labels, or the name of their array.
pub(crate) const LABELS: &str = "labels";
/// Names of arrays of identifiers.
const IDS: [&str; 2] = ["ids", "id"];
/// Arrays in which files written here say which modalities a row observes, and their names.
const OBSERVED: [&str; 2] = ["observed", "modalities"];
/// Ends of the stems of files that are written here beside the files of modalities and say
/// something about them.
const ABOUT: [&str; 5] = [".std", ".low", ".high", ".imputed", ".probabilities"];
/// The end of the stems of files from which others of the folder were generated.
const ORIGINALS: &str = ".original";
/// Ends of the names of arrays that name the columns of the array before, and the classes.
const COLUMNS: &str = ".columns";
const NAMES: &str = "labels.names";
/// The end of the names of arrays that say as text what the array before says as tokens.
const TEXT: &str = ".text";
/// The beginning of the names of arrays from which others of the file were generated.
const ORIGINAL: &str = "original_";
/// An array that says which task has written a file.
const WRITTEN: &str = "multivae.task";
/// Files that lie beside data and hold none, without their extension, in lower case.
const BESIDE: [&str; 7] =
    ["readme", "licence", "license", "citation", "changelog", "notes", "metadata"];

/// One modality for each file or folder of images or volumes in a folder, named by its stem; or for each array
/// of an NPZ or safetensors file.
pub(crate) fn open(path: &Path, reading: Reading) -> Result<Files> {
    if path.is_dir() && holds_files(path) {
        return folder(path, reading);
    }
    format::of(path).map_err(|_| format::not_a_source(path))?.files(path, reading)
}

fn folder(path: &Path, reading: Reading) -> Result<Files> {
    let mut notes = Vec::new();
    let mut files: Vec<(String, PathBuf)> = Vec::new();
    for path in read::entries(path)? {
        let stem = read::stem(&path);
        // What says something about the data is no data, unless it could be read as such.
        if BESIDE.contains(&stem.to_lowercase().as_str()) && format::of(&path).is_err() {
            let found = "it is passed over, since it is no data";
            notes.push(Warning::note(read::name(&path), found));
        } else {
            files.push((stem, path));
        }
    }
    files.sort();
    notes.extend(pass_over_about(&mut files));
    if let Some(pair) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(DataError::DuplicateModality {
            modality: pair[0].0.clone(),
            first: pair[0].1.clone(),
            second: pair[1].1.clone(),
        });
    }
    let labels = files.iter().position(|(name, _)| name == LABELS);
    let labels = labels.map(|place| files.remove(place).1);
    let of_ids = files.iter().position(|(name, path)| name == IDS[0] && is(path, Content::Table));
    let ids = of_ids.map(|place| ids(&files[place].1)).transpose()?.flatten();
    if let (Some(place), Some(_)) = (of_ids, &ids) {
        files.remove(place);
    }
    if files.is_empty() {
        let reason = "it has no files of modalities";
        return Err(DataError::EmptyFile { path: path.into(), reason });
    }
    let folders: Vec<_> = files
        .iter()
        .map(|(_, path)| path.clone())
        .filter(|path| is(path, Content::Images))
        .collect();
    let sources: Vec<Result<Source>> =
        files.into_par_iter().map(|(name, path)| source(name, &path, reading)).collect();
    let mut sources: Vec<Source> = sources.into_iter().collect::<Result<_>>()?;
    if let Some((path, ids)) = ids {
        // Tables have columns of their own, and images are known by their names.
        let arrays =
            |source: &&mut Source| source.block.layout.is_none() && source.block.ids.is_none();
        for source in sources.iter_mut().filter(arrays) {
            source.block.give_ids(&ids, &path)?;
        }
    }
    let label_codes = reading.codes_of_labels();
    let said = ReadOptions { codes: Some(&label_codes), ..ReadOptions::default() };
    let labels = labels.map(|path| format::of(&path)?.labels(&path, said)).transpose()?;
    let labels = read::image::labels_of(&folders, labels, &mut notes)?;
    Ok(Files { sources, labels, label_codes, splits: None, notes, rows: None })
}

/// The file or folder of a modality.
fn source(name: String, path: &Path, reading: Reading) -> Result<Source> {
    let codes = reading.codes_of(&name, &[]);
    let format = format::of(path)?;
    let images = match format.content() {
        Content::Images => reading.images_of(&name, ImageConversion::default()),
        _ if format.is_volumes() => reading.volumes_of(&name, ImageConversion::default()),
        _ => ImageConversion::default(),
    };
    let block = format.block(
        path,
        ReadOptions {
            codes: Some(&codes),
            images,
            column: reading.text_of(&name),
            ..ReadOptions::default()
        },
    )?;
    Ok(Source::plain(name, block, codes, images))
}

/// Leaves out files that say something about the file of a modality; says which.
fn pass_over_about(files: &mut Vec<(String, PathBuf)>) -> Option<Warning> {
    let stems: Vec<String> = files.iter().map(|(stem, _)| stem.clone()).collect();
    let is_about = |stem: &str| {
        let of = |end: &str| stem.strip_suffix(end).map(str::to_owned);
        // What was given to generate others can be there without them.
        of(ORIGINALS).is_some()
            || ABOUT.into_iter().filter_map(of).any(|stem| stems.contains(&stem))
    };
    let (about, kept): (Vec<_>, Vec<_>) =
        std::mem::take(files).into_iter().partition(|(stem, _)| is_about(stem));
    *files = kept;
    (!about.is_empty()).then(|| {
        let shown = list(about.iter().take(4).map(|(_, path)| read::name(path)));
        let more = about.len().saturating_sub(4);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        Warning::new(
            "folder",
            format!("files about others are no modalities and are passed over: {shown}{more}"),
            "rename those that are modalities, without a point in their names",
        )
    })
}

/// One modality for each array of a file.
pub(crate) fn arrays(path: &Path, arrays: Vec<Array>, reading: Reading) -> Result<Files> {
    let mut labels = None;
    let mut ids = None;
    let mut sources = Vec::new();
    let mut notes = Vec::new();
    let label_codes = reading.codes_of_labels();
    let said = ReadOptions { codes: Some(&label_codes), ..ReadOptions::default() };
    let (about, arrays): (Vec<Array>, Vec<Array>) =
        arrays.into_iter().partition(|array| array.is_about());
    let named = |name: &str| arrays.iter().any(|array| array.name == name);
    let written = about.iter().any(|array| array.name == WRITTEN);
    let own = written || IDS.iter().any(|id| named(id)) && named(OBSERVED[0]);
    for array in arrays {
        let name = array.name.clone();
        let of_rows = array.shape.len() == 1;
        if name == LABELS {
            let mut found = array.labels(path, said)?;
            if let Some(names) = about.iter().find(|array| array.name == NAMES) {
                found.names = Some(names.texts(path)?.to_vec());
            }
            labels = Some(LabelFile::Values(found));
        } else if IDS.contains(&name.as_str()) && of_rows {
            let reason = format!("the array `{name}` is named so");
            ids = Some(Ids { column: Some(name), reason, ids: array.ids(path)? });
        } else if own
            && OBSERVED.contains(&name.as_str())
            && matches!(array.dtype, Dtype::Bool | Dtype::Text)
        {
            let found = format!("the array `{name}` is passed over: it says what rows observe");
            notes.push(Warning::note(read::name(path), found));
        } else if written && name.starts_with(ORIGINAL) {
            let found = format!("the array `{name}` is passed over: others were generated from it");
            notes.push(Warning::note(read::name(path), found));
        } else {
            let mut block = array.block(&path.join(&name))?;
            if let Some(columns) = about.iter().find(|a| a.name == format!("{name}{COLUMNS}")) {
                block.columns = Some(columns.texts(path)?.to_vec());
                block.check_columns(&name)?;
            }
            let codes = reading.codes_of(&name, &[]);
            sources.push(Source::plain(name, block, codes, ImageConversion::default()));
        }
    }
    if sources.is_empty() {
        let reason = "it has no arrays of modalities";
        return Err(DataError::EmptyFile { path: path.into(), reason });
    }
    if let Some(ids) = ids {
        for source in &mut sources {
            source.block.give_ids(&ids, &path.join("ids"))?;
        }
    }
    Ok(Files { sources, labels, label_codes, splits: None, notes, rows: None })
}

/// Whether an array of this name holds labels or identifiers.
pub(crate) fn is_special(name: &str) -> bool {
    name == LABELS || IDS.contains(&name)
}

impl Array {
    /// Whether it says something about another array or about the file.
    fn is_about(&self) -> bool {
        let text = self.dtype == Dtype::Text;
        let ends = |ends: &[&str]| ends.iter().any(|end| self.name.ends_with(end));
        text && (self.name == WRITTEN || self.name == NAMES || ends(&[COLUMNS, TEXT]))
    }

    fn texts(&self, path: &Path) -> Result<&[String]> {
        match &self.numbers {
            Numbers::Text(texts) => Ok(texts),
            _ => Err(DataError::Type {
                path: path.join(&self.name).display().to_string(),
                expected: "text",
                found: self.dtype.to_string(),
            }),
        }
    }
}

impl ModalityTable {
    /// Gives an array the identifiers of its rows, which were read from `from`.
    pub(crate) fn give_ids(&mut self, ids: &Ids, from: &Path) -> Result<()> {
        if self.rows != ids.ids.len() {
            return Err(DataError::RowCounts {
                first: self.path.clone(),
                first_rows: self.rows,
                second: from.into(),
                second_rows: ids.ids.len(),
            });
        }
        self.ids = Some(ids.clone());
        Ok(())
    }

    /// Refuses names of columns that are not one for each value of a row, all different.
    pub(crate) fn check_columns(&self, modality: &str) -> Result<()> {
        let (columns, features) =
            (self.columns.as_deref().unwrap_or_default(), self.shape.iter().product::<usize>());
        let mut seen = std::collections::HashSet::new();
        if let Some(column) = columns.iter().find(|column| !seen.insert(*column)) {
            return Err(DataError::DuplicateColumn {
                path: self.path.clone(),
                column: column.clone(),
            });
        }
        if columns.len() != features {
            return Err(DataError::Shape {
                modality: modality.into(),
                path: self.path.clone(),
                expected: format!(
                    "{features} names in `{modality}{COLUMNS}`, one for each value of a row"
                ),
                found: columns.len().to_string(),
            });
        }
        Ok(())
    }
}

/// Whether a file or folder of a known format holds that.
fn is(path: &Path, content: Content) -> bool {
    format::of(path).is_ok_and(|format| format.content() == content)
}

/// Whether a folder is one of files, and not itself a file of several arrays in the form of one.
fn holds_files(path: &Path) -> bool {
    !format::of(path).is_ok_and(|format| format.content().has_arrays())
}

/// The identifiers in a table that holds nothing else, with its path; `None` if it holds more.
fn ids(path: &Path) -> Result<Option<(PathBuf, Ids)>> {
    let table = format::of(path)?.text(path, ReadOptions::default())?;
    match table.columns.len() {
        1 => Ok(Some((path.into(), only_column(path, table)?))),
        _ => Ok(None),
    }
}

/// The different words of a table that has one column.
pub(crate) fn one_column(path: &Path) -> Result<Ids> {
    let table = format::of(path)?.text(path, ReadOptions::default())?;
    if table.columns.len() != 1 {
        return Err(DataError::Malformed {
            path: path.into(),
            format: "table of one column",
            reason: format!("it has {} columns", table.columns.len()),
        });
    }
    only_column(path, table)
}

fn only_column(path: &Path, mut table: TextTable) -> Result<Ids> {
    let (column, ids) = table.columns.remove(0);
    read::check_ids(path, &ids)?;
    let reason = format!("`{}` holds nothing else", read::name(path));
    Ok(Ids { column: Some(column), reason, ids })
}

#[cfg(test)]
mod tests {
    use multivae_core::{dataset::Dataset, distribution::Likelihood};

    use super::*;
    use crate::{
        assemble::Assembled,
        fixture::{Folder, npy, npz, png, text},
    };

    fn opened(folder: &Folder, name: &str) -> Result<Assembled, String> {
        open(&folder.path(name), Reading::default())
            .and_then(|files| files.join(None))
            .map_err(|error| folder.message(error))
    }

    fn refused(folder: &Folder) -> String {
        opened(folder, "").map(|_| ()).expect_err("refused")
    }

    #[test]
    fn each_file_is_a_modality_by_name_and_labels_are_labels() {
        let folder = Folder::new([
            ("table.csv", text("id,x,y\na,1,2\nb,3,\nc,5,6\n")),
            ("labels.csv", text("kind,id\ncat,c\ndog,b\ndog,a\n")),
            ("images/a.png", png(2, 3, 51)),
            ("images/b.png", png(2, 3, 255)),
            (".hidden", text("not read")),
        ]);
        let Assembled { data, report, parts, .. } = opened(&folder, "").expect("whole");
        let specs = data.modalities();
        assert_eq!((specs[0].name.as_str(), &specs[0].shape[..]), ("images", &[1, 3, 2][..]));
        assert_eq!(specs[0].likelihood, Likelihood::laplace(0.75));
        assert_eq!((specs[1].name.as_str(), &specs[1].shape[..]), ("table", &[2][..]));
        assert_eq!(specs[1].likelihood, Likelihood::normal(1.0));
        assert_eq!(data.values(0)[5..7], [0.2, 1.0]);
        assert_eq!(data.values(1), [1.0, 2.0, 3.0, 0.0, 5.0, 6.0]);
        assert_eq!(data.labels(), Some([1, 1, 0].map(Some).to_vec()));
        assert_eq!(data.label_names().map(<[_]>::len), Some(2));
        assert_eq!((report.modalities[0].absent, report.modalities[1].missing_cells), (1, 1));
        assert!(parts.is_none());
    }

    #[test]
    fn arrays_of_one_file_are_modalities_in_its_order() {
        let folder = Folder::new([("a.npz", npz(&[("z", 3, 2), ("b", 3, 1)]))]);
        let data = opened(&folder, "a.npz").expect("whole").data;
        let names: Vec<_> = data.modalities().iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!((names, data.len()), (vec!["z", "b"], 3));
    }

    #[test]
    fn files_that_do_not_fit_are_refused_by_name() {
        for (files, expected) in [
            (vec![], "`.` is empty: it has no files of modalities"),
            (
                vec![("a.npy", npy(3, 1)), ("b.npy", npy(2, 1))],
                "`a.npy` has 3 rows and `b.npy` has 2; \
                 files without an `id` column must have the same rows",
            ),
            (
                vec![("a.npy", npy(3, 1)), ("a.csv", text("x\n1\n"))],
                "modality `a` is given twice: `a.csv` and `a.npy`",
            ),
            (
                vec![("a.npy", npy(3, 1)), ("about.txt", text("x"))],
                &format!("`about.txt`: expected {}, found another kind of file", format::called()),
            ),
            (
                vec![("a.npz", npz(&[("x", 2, 1), ("y", 2, 1)]))],
                "`a.npz`: expected one array, or the name of one in a manifest, \
                 found the arrays `x`, `y`",
            ),
            (
                vec![("my data.npy", npy(2, 1))],
                "modality name `my data` must not be empty nor hold `.`, `/`, `\\` or white space",
            ),
            (
                vec![("a.npy", npy(2, 1)), ("labels.npy", npy(2, 1))],
                "modality `labels`, row `0`: expected a whole number, found `0.5`",
            ),
            (
                vec![("a.npy", npy(2, 1)), ("labels/x.png", png(1, 1, 0))],
                "`labels`: expected a file of labels, or a folder of images with a folder for each class, \
                 found another kind of file",
            ),
        ] {
            assert_eq!(refused(&Folder::new(files)), expected);
        }
        let error = refused(&Folder::new([("a.npy", npy(3, 1)), ("about.txt", text("x"))]));
        let expected = format!("`about.txt`: expected {}, found another kind", format::called());
        assert!(error.starts_with(&expected), "{error}");
    }
}
