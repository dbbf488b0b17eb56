//! PolyMNIST (Sutter et al. 2021), and its translated form.

use std::path::Path;

use multivae_core::schema::ImageConversion;
use rayon::prelude::*;

use super::{files, joined, research};
use crate::{
    assemble::{Files, Source},
    error::{DataError, Result},
    read::{self, Ids, ModalityTable, ReadOptions, format},
    reading::Reading,
};

/// Modalities `m0`, `m1`, .. of PNG files called `INDEX.DIGIT.png`: those of one index and digit are
/// one row. Identifiers are `train/INDEX.DIGIT` and `test/INDEX.DIGIT`.
pub(super) fn open(path: &Path, reading: Reading) -> Result<Files> {
    let inner = path.join("MMNIST");
    let root = if inner.is_dir() { &inner } else { path };
    let set = &research()[0];
    let names: Vec<String> = (0..)
        .map(|m| format!("m{m}"))
        .take_while(|m| root.join("train").join(m).is_dir())
        .collect();
    if names.is_empty() {
        let tensors = root.join("train").join("m0.pt").exists();
        let found = if tensors {
            "tensors `m0.pt`, which hold the same images: unpack the archive of images instead"
        } else {
            "no folder `train/m0`"
        };
        return Err(set.other(path, found));
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
    Ok(files(path, sources, ids, labels, training, reading))
}

#[cfg(test)]
mod tests {
    use multivae_core::dataset::Dataset;

    use crate::{
        DataConfig,
        fixture::{Folder, png, text},
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

    #[test]
    fn other_layouts_are_refused_with_what_is_there() {
        let refused = |folder: &Folder| {
            let config = DataConfig::new(format!("polymnist:{}", folder.source()));
            folder.message(config.open().map(|_| ()).expect_err("refused"))
        };
        let found = refused(&Folder::new([("train/m0.pt", text("x"))]));
        assert!(found.contains("found tensors `m0.pt`"), "{found}");
        let found = refused(&Folder::new([("a.csv", text("x"))]));
        assert!(found.contains("found no folder `train/m0`"), "{found}");
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
