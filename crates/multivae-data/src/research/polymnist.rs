//! PolyMNIST (Sutter et al. 2021), and its translated form.

use std::path::{Path, PathBuf};

use multivae_core::schema::ImageConversion;
use rayon::prelude::*;

use super::{Parts, ResearchSet, files, joined, known, shares, whole};
use crate::{
    assemble::{Files, Source},
    error::{DataError, Result},
    read::{self, Ids, ModalityTable, ReadOptions, format, torch},
    reading::Reading,
};

/// The beginning of the name of a folder of the translated form.
pub(super) const TRANSLATED: &str = "Translated_MMNIST_";

/// Modalities `m0`, `m1`, .. of PNG files called `INDEX.DIGIT.png`: those of one index and digit are
/// one row. Identifiers are `train/INDEX.DIGIT` and `test/INDEX.DIGIT`.
pub(super) fn open(set: &ResearchSet, path: &Path, reading: Reading) -> Result<Files> {
    let inner = inner(path)?;
    let root = inner.as_deref().unwrap_or(path);
    let names: Vec<String> = (0..)
        .map(|m| format!("m{m}"))
        .take_while(|m| root.join("train").join(m).is_dir())
        .collect();
    if names.is_empty() {
        if root.join("train/m0.pt").exists() {
            return tensors(set, path, root, reading);
        }
        return Err(set.other(path, "no folder `train/m0` and no file `train/m0.pt`"));
    }
    let one = |m: &String, split: &str| -> Result<(ModalityTable, Vec<String>)> {
        let folder = root.join(split).join(m);
        let images = reading.images_of(m, ImageConversion::default());
        let said = ReadOptions { images, ..ReadOptions::default() };
        let table = format::of(&folder)?.block(&folder, said)?;
        let ids = table.ids.as_ref().map(|ids| ids.ids.clone()).unwrap_or_default();
        Ok((table, ids))
    };
    let tables: Vec<Result<_>> =
        names.par_iter().map(|m| Ok((one(m, "train")?, one(m, "test")?))).collect();
    let mut sources = Vec::new();
    let mut known: Option<(Vec<String>, usize)> = None;
    for (name, tables) in names.into_iter().zip(tables) {
        let ((train, of_train), (test, of_test)) = tables?;
        let training = of_train.len();
        let prefixed = |split: &str, ids: Vec<String>| {
            ids.into_iter().map(|id| format!("{split}/{id}")).collect::<Vec<_>>()
        };
        let ids = [prefixed("train", of_train), prefixed("test", of_test)].concat();
        match &known {
            None => known = Some((ids.clone(), training)),
            Some((first, _)) if *first != ids => {
                let other = ids.iter().find(|id| !first.contains(id));
                let found = match other {
                    Some(id) => format!("an image `{id}` of `{name}` that `m0` does not have"),
                    None => format!("fewer images of `{name}` than of `m0`"),
                };
                return Err(set.other(path, found));
            }
            Some(_) => {}
        }
        let mut block = joined(train, test)?;
        let reason = "the names of its images are".to_owned();
        block.ids = Some(Ids { column: None, reason, ids });
        let codes = reading.codes_of(&name, &[]);
        let images = reading.images_of(&name, ImageConversion::default());
        sources.push(Source::plain(name, block, codes, images));
    }
    let (ids, training) = known.expect("there is a modality");
    let digit = |id: &String| match id.rsplit_once('.') {
        Some((_, digit)) if digit.len() == 1 && digit.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(digit.to_owned())
        }
        _ => Err(DataError::Value {
            modality: "m0".into(),
            row: id.clone(),
            expected: "the name of an image as `INDEX.DIGIT.png`".into(),
            found: read::name(Path::new(id)),
        }),
    };
    let labels = ids.iter().map(digit).collect::<Result<Vec<_>>>()?;
    Ok(files(set, path, sources, (ids, Some(labels)), Parts::First(training), reading))
}

/// The folder of the set in `path`, as the archive and MultiVae call it, if there is one.
fn inner(path: &Path) -> Result<Option<PathBuf>> {
    let known = path.join("MMNIST");
    if known.is_dir() || path.join("train").is_dir() || !path.is_dir() {
        return Ok(known.is_dir().then_some(known));
    }
    let translated = |path: &PathBuf| path.is_dir() && read::name(path).starts_with(TRANSLATED);
    let mut found = read::entries(path)?.into_iter().filter(translated);
    Ok(found.next().filter(|_| found.next().is_none()))
}

/// Modalities `m0.pt`, `m1.pt`, .. of tensors of all images, `[rows, 3, 28, 28]` from 0 to 1, and
/// `labels.pt`. Rows are in the order of the tensors, identifiers `train/ROW` and `test/ROW`.
fn tensors(set: &ResearchSet, path: &Path, root: &Path, reading: Reading) -> Result<Files> {
    let names: Vec<String> = (0..)
        .map(|m| format!("m{m}"))
        .take_while(|m| root.join("train").join(format!("{m}.pt")).exists())
        .collect();
    let read = |split: &str, name: &str| {
        let file = root.join(split).join(format!("{name}.pt"));
        let array = torch::read(&file)?.tensor(&file, name)?;
        Ok::<_, DataError>((file, array))
    };
    let labels_of = |split: &str| {
        let (file, array) = read(split, "labels")?;
        whole(set, &file, array)
    };
    let (train, test) = (labels_of("train")?, labels_of("test")?);
    let ids = super::numbered(train.len(), test.len());
    let mut sources = Vec::new();
    for name in names {
        let one = |split: &str, labels: &[i64]| {
            let (file, array) = read(split, &name)?;
            let rows = array.shape.first().copied().unwrap_or(0);
            if array.shape.len() != 4 || rows != labels.len() {
                let (shape, labels) = (&array.shape, labels.len());
                let found = format!("`{split}/{name}.pt` of shape {shape:?} and {labels} labels");
                return Err(set.other(path, found));
            }
            shares(&file, array)
        };
        let block = known(joined(one("train", &train)?, one("test", &test)?)?, &ids);
        let codes = reading.codes_of(&name, &[]);
        sources.push(Source::plain(name, block, codes, ImageConversion::default()));
    }
    let labels = train.iter().chain(&test).map(i64::to_string).collect();
    Ok(files(set, path, sources, (ids, Some(labels)), Parts::First(train.len()), reading))
}

#[cfg(test)]
mod tests {
    use multivae_core::dataset::Dataset;

    use crate::{
        DataConfig,
        fixture::{Folder, png, text},
        read::torch::tests::{Written, saved},
        storage::Storage,
    };

    /// 20 training and 3 test rows of two modalities.
    fn folder(prefix: &str) -> Folder {
        let mut files = Vec::new();
        for (split, rows) in [("train", 20u8), ("test", 3)] {
            for m in 0..2u8 {
                for row in 0..rows {
                    let name = format!("{prefix}{split}/m{m}/{row}.{}.png", row % 10);
                    files.push((name, png(28, 28, row * 10 + m)));
                }
            }
        }
        Folder::new(files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())))
    }

    #[test]
    fn images_of_one_name_are_a_row_with_its_digit_and_the_published_splits() {
        for prefix in ["", "MMNIST/"] {
            let folder = folder(prefix);
            let config = DataConfig::new(format!("polymnist:{}", folder.source()));
            let splits = config.open().expect("whole");
            let sizes = (splits.train.len(), splits.valid.len(), splits.test.len());
            assert_eq!(sizes, (18, 2, 3));
            assert_eq!(splits.test.id(1), "test/1.1");
            assert_eq!((splits.test.label(2), splits.train.label(0)), (Some(2), Some(0)));
            assert_eq!(splits.test.modalities()[1].shape, [1, 28, 28]);
            assert_eq!(splits.test.select(&[2]).values(1)[0], 21.0 / 255.0);
        }
    }

    /// 20 training and 3 test rows of two modalities as tensors.
    fn tensors(labels: i64, share: f32) -> Folder {
        let mut files = Vec::new();
        for (split, rows) in [("train", 20usize), ("test", 3)] {
            for m in 0..2usize {
                let value = |i: usize| ((i / 2352 * 10 + m) as f32 / 255.0) * share;
                let values: Vec<f32> = (0..rows * 2352).map(value).collect();
                let tensor = Written::floats(&[rows, 3, 28, 28], &values);
                files.push((format!("MMNIST/{split}/m{m}.pt"), saved(tensor)));
            }
            let count = if split == "train" { labels } else { 3 };
            let digits: Vec<i64> = (0..count).map(|row| row % 10).collect();
            files.push((format!("MMNIST/{split}/labels.pt"), saved(Written::integers(&digits))));
        }
        Folder::new(files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())))
    }

    #[test]
    fn tensors_of_all_images_are_the_same_rows() {
        let folder = tensors(20, 1.0);
        let splits = DataConfig::new(format!("polymnist:{}", folder.source()));
        let splits = splits.open().map_err(|error| folder.message(error)).expect("whole");
        let sizes = (splits.train.len(), splits.valid.len(), splits.test.len());
        assert_eq!(sizes, (18, 2, 3));
        assert_eq!((splits.test.id(1), splits.test.label(2)), ("test/1".into(), Some(2)));
        assert_eq!(splits.test.modalities()[1].shape, [3, 28, 28]);
        assert_eq!(splits.test.select(&[2]).values(1)[0], 21.0 / 255.0);
        assert!(matches!(&**splits.test.storage(0), Storage::Bytes(_)), "a byte for each value");
        let warning = splits.report.warnings.iter().map(ToString::to_string);
        let warning = warning.into_iter().find(|w| w.contains("published")).expect("a small set");
        assert!(
            warning.contains(
                "20 rows are for training and 3 to test; the published set has \
                                  60000 and 10000"
            ),
            "{warning}"
        );
        // What are no shares of 255 stay as they are.
        let splits = DataConfig::new(format!("polymnist:{}", tensors(20, 0.5).source()));
        assert!(splits.open().is_err(), "the folder is gone");
        let folder = tensors(20, 0.5);
        let splits = DataConfig::new(format!("polymnist:{}", folder.source())).open();
        let splits = splits.expect("whole");
        assert_eq!(splits.test.select(&[2]).values(1)[0], 21.0 / 255.0 * 0.5);
        let folder = tensors(19, 1.0);
        let found = DataConfig::new(format!("polymnist:{}", folder.source())).open();
        let found = folder.message(found.map(|_| ()).expect_err("a label less"));
        assert!(found.ends_with("`train/m0.pt` of shape [20, 3, 28, 28] and 19 labels"), "{found}");
    }

    #[test]
    fn other_layouts_are_refused_with_what_is_there() {
        let refused = |folder: &Folder| {
            let config = DataConfig::new(format!("polymnist:{}", folder.source()));
            folder.message(config.open().map(|_| ()).expect_err("refused"))
        };
        let found = refused(&Folder::new([("train/m0.pt", text("x"))]));
        assert!(found.contains("`train/labels.pt` cannot be read"), "{found}");
        let found = refused(&Folder::new([("a.csv", text("x"))]));
        assert!(found.contains("found no folder `train/m0` and no file `train/m0.pt`"), "{found}");
        let lacking = folder("");
        std::fs::remove_file(lacking.path("test/m1/2.2.png")).expect("there");
        let found = refused(&lacking);
        assert!(found.contains("fewer images of `m1`"), "{found}");
        let named = folder("");
        for m in ["m0", "m1"] {
            named.write(&format!("test/{m}/x.png"), &png(28, 28, 3));
        }
        let found = refused(&named);
        assert!(found.contains("`INDEX.DIGIT.png`, found `x`"), "{found}");
        let config = DataConfig::new("polymnist:/nowhere/at/all");
        let found = config.open().map(|_| ()).expect_err("absent").to_string();
        assert!(found.contains("`/nowhere/at/all` cannot be read"), "{found}");
    }
}
