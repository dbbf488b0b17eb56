//! Data as a manifest describes it.
//!
//! ```toml
//! [[modality]]
//! name = "scan"                            # in batches, files and parameters
//! file = "scans"                           # relative to the manifest; a folder of images
//! shape = [1, 64, 64]                      # optional: as in the file
//! likelihood = { kind = "bernoulli" }      # optional: by the values
//! channels = "grey"                        # optional, of images: or "colour", "alpha"
//! resize = [64, 64]                        # optional, of images: height and width
//! background = "white"                     # optional: behind transparent parts; or "black", "ignore"
//! label_map = true                         # optional: values are classes of pixels or voxels
//!
//! [[modality]]
//! name = "mri"
//! file = "bids"                            # a folder of volumes
//! array = "T1w"                            # of a folder by the names of BIDS with several suffixes
//! slices = "axial"                         # optional: a row for each slice; or "coronal", "sagittal"; of
//!                                          # arrays with `ids` as `SUBJECT/slice-012`: they are such
//!
//! [[modality]]
//! name = "genes"
//! file = "genes.csv"
//! id = "sample"                            # optional: the column of identifiers
//! header = true                            # optional: whether the first line names the columns
//! missing = [-999, "LOD"]                  # optional: codes that mean that nothing was measured
//! columns = { grade = "ordinal", note = "text" }   # optional: kinds of columns of a mixed table
//!
//! [[modality]]
//! name = "proteins"
//! file = "arrays.npz"
//! array = "proteins"                       # of a file with several; of a workbook `sheet = ".."`
//!
//! [[modality]]
//! name = "counts"
//! file = "cells.h5ad"                      # or `.h5mu`, `.h5`, `.zarr`
//! array = "layers/counts"                  # a path in it
//! ids = "patients.csv"                     # optional, of arrays: a table of one column, the identifiers
//! names = "proteins.csv"                   # optional, of arrays: a table of one column, the columns
//!
//! [[modality]]
//! name = "report"
//! file = "reports.csv"
//! text = { column = "report" }             # of text: it becomes tokens, see [`crate::text`]; `{}` if its
//!                                          # table has one column of text
//!
//! [labels]                                 # optional
//! file = "clinical.csv"
//! column = "stage"                         # of a table with several
//! id = "sample"
//!
//! [splits]                                 # optional: lists of row numbers or identifiers, or
//! file = "clinical.csv"                    # a column of `train`, `valid` and `test`
//! column = "split"
//! id = "sample"
//! ```

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use multivae_core::{
    distribution::Likelihood,
    schema::{Background, Channels, ImageConversion, Plane},
};
use rayon::prelude::*;
use serde::Deserialize;

use crate::{
    assemble::{Files, Fixed, RowName, Source},
    error::{DataError, Result},
    folder,
    mixed::Said,
    read::{
        self, ModalityTable, ReadOptions,
        format::{self, Content},
    },
    reading::{self, MissingCodes, Reading},
    text::TextOptions,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    modality: Vec<ModalityEntry>,
    labels: Option<LabelsEntry>,
    splits: Option<SplitsEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModalityEntry {
    name: String,
    file: PathBuf,
    #[serde(alias = "sheet")]
    array: Option<String>,
    id: Option<String>,
    ids: Option<PathBuf>,
    names: Option<PathBuf>,
    header: Option<bool>,
    channels: Option<Channels>,
    resize: Option<[u32; 2]>,
    background: Option<Background>,
    slices: Option<Plane>,
    label_map: Option<bool>,
    #[serde(default, deserialize_with = "reading::codes")]
    missing: Vec<String>,
    #[serde(default)]
    columns: BTreeMap<String, Said>,
    shape: Option<Vec<usize>>,
    likelihood: Option<Likelihood>,
    text: Option<TextOptions>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelsEntry {
    file: PathBuf,
    #[serde(alias = "sheet")]
    array: Option<String>,
    column: Option<String>,
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitsEntry {
    file: Option<PathBuf>,
    #[serde(alias = "sheet")]
    array: Option<String>,
    column: Option<String>,
    id: Option<String>,
    train: Option<Vec<RowName>>,
    valid: Option<Vec<RowName>>,
    test: Option<Vec<RowName>>,
}

/// Reads a manifest and the files that it names.
pub(crate) fn open(path: &Path, reading: Reading) -> Result<Files> {
    let (bytes, _) = read::bytes(path)?;
    let bad = |line: Option<usize>, reason: String| DataError::Manifest {
        path: path.into(),
        line: line.map(|line| format!(", line {line}")).unwrap_or_default(),
        reason,
    };
    let text = str::from_utf8(&bytes).map_err(|_| bad(None, "it is not UTF-8".into()))?;
    let Manifest { modality, labels, splits } = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        bad(line, error.message().into())
    })?;
    if modality.is_empty() {
        return Err(bad(None, "it has no `[[modality]]`".into()));
    }
    for (place, entry) in modality.iter().enumerate() {
        if let Some(other) = modality[..place].iter().find(|other| other.name == entry.name) {
            return Err(DataError::DuplicateModality {
                modality: entry.name.clone(),
                first: other.file.clone(),
                second: entry.file.clone(),
            });
        }
    }
    let beside = path.parent().unwrap_or(Path::new(""));
    let blocks: Vec<Result<(ModalityTable, MissingCodes, ImageConversion)>> = modality
        .par_iter()
        .map(
            |ModalityEntry {
                 name,
                 file,
                 array,
                 id,
                 ids,
                 names,
                 header,
                 channels,
                 resize,
                 background,
                 slices,
                 label_map,
                 missing,
                 text,
                 shape,
                 likelihood,
                 ..
             }| {
                let field = format!("modality `{name}`");
                let file = existing(beside, file)?;
                check_said(&file, &field, array, id, &None, &bad)?;
                if header.is_some() && !format::of(&file)?.has_header() {
                    let reason = format!(
                        "{field}: `header` is given, and the columns of `{}` have names or none",
                        file.display()
                    );
                    return Err(bad(None, reason));
                }
                let images = ImageConversion {
                    channels: *channels,
                    resize: *resize,
                    background: *background,
                    slices: *slices,
                    label_map: *label_map,
                };
                // Slices that were cut before say it with their identifiers.
                let cut = slices.filter(|_| ids.is_some());
                let asked = ImageConversion { slices: slices.filter(|_| cut.is_none()), ..images };
                check_images(&file, &field, asked, &bad)?;
                let (array, id) = (array.as_deref(), id.as_deref());
                let codes = reading.codes_of(name, missing);
                let images = match format::of(&file)?.is_volumes() {
                    true => reading.volumes_of(name, images),
                    false => ImageConversion { slices: cut, ..reading.images_of(name, images) },
                };
                let column = text.as_ref().and_then(|text| text.column.as_deref());
                if text.is_some() && (shape.is_some() || likelihood.is_some()) {
                    let reason = format!(
                        "{field}: `shape` and `likelihood` of text are those of its tokens"
                    );
                    return Err(bad(None, reason));
                }
                if text.is_some() && format::of(&file)?.content() != Content::Table {
                    let reason = format!(
                        "{field}: `text` is of a column of a table, and `{}` is none",
                        file.display()
                    );
                    return Err(bad(None, reason));
                }
                let said =
                    ReadOptions { array, column, id, header: *header, images, codes: Some(&codes) };
                let mut block = format::of(&file)?.block(&file, said)?;
                if text.is_some() {
                    block.keep_text();
                }
                if block.layout.is_some() && (ids.is_some() || names.is_some()) {
                    let reason = format!(
                        "{field}: `ids` and `names` are of arrays, and `{}` is a table",
                        file.display()
                    );
                    return Err(bad(None, reason));
                }
                if let Some(ids) = ids {
                    let ids = existing(beside, ids)?;
                    block.give_ids(&folder::one_column(&ids)?, &ids)?;
                }
                if let Some(names) = names {
                    let names = existing(beside, names)?;
                    block.columns = Some(folder::one_column(&names)?.ids);
                    block.check_columns(name)?;
                }
                Ok((block, codes, images))
            },
        )
        .collect();
    let mut folders = Vec::new();
    let mut sources = Vec::new();
    for (ModalityEntry { name, file, shape, likelihood, columns: said, text, .. }, block) in
        modality.into_iter().zip(blocks)
    {
        let text = text.map(|text| text.beside(beside));
        let (block, missing, mut images) = block?;
        let format = format::of(&beside.join(&file))?;
        match format.content() {
            Content::Images => folders.push(beside.join(file)),
            _ if format.is_volumes() => {}
            _ => images = ImageConversion { slices: images.slices, ..ImageConversion::default() },
        }
        sources.push(Source {
            name,
            block,
            shape,
            likelihood,
            missing,
            images,
            said,
            text,
            held: false,
        });
    }
    let label_codes = reading.codes_of_labels();
    let labels = labels
        .map(|LabelsEntry { file, array, column, id }| {
            let file = existing(beside, &file)?;
            check_said(&file, "`labels`", &array, &id, &column, &bad)?;
            let (array, column, id) = (array.as_deref(), column.as_deref(), id.as_deref());
            let codes = Some(&label_codes);
            format::of(&file)?
                .labels(&file, ReadOptions { array, column, id, codes, ..ReadOptions::default() })
        })
        .transpose()?;
    let mut notes = Vec::new();
    let labels = read::image::labels_of(&folders, labels, &mut notes)?;
    let splits = splits.map(|splits| fixed(path, beside, splits, &bad)).transpose()?;
    Ok(Files { sources, labels, label_codes, splits, notes, rows: None })
}

/// The path of a file beside the manifest.
fn existing(folder: &Path, file: &Path) -> Result<PathBuf> {
    let path = folder.join(file);
    match fs::metadata(&path) {
        Ok(_) => Ok(path),
        Err(cause) => Err(DataError::Read { path, cause }),
    }
}

/// Refuses what a file of its kind does not have.
fn check_said(
    file: &Path,
    entry: &str,
    array: &Option<String>,
    id: &Option<String>,
    column: &Option<String>,
    bad: &impl Fn(Option<usize>, String) -> DataError,
) -> Result<()> {
    let format = format::of(file)?;
    let table = format.content().has_columns();
    for (field, given, has) in [
        ("array", array.is_some(), format.has_parts()),
        ("id", id.is_some(), table),
        ("column", column.is_some(), table),
    ] {
        if given && !has {
            let (file, format) = (file.display(), format.name());
            let reason = format!("{entry}: `{field}` is given, and `{file}` ({format}) has none");
            return Err(bad(None, reason));
        }
    }
    Ok(())
}

/// Refuses what is said about images where there are none, and what images cannot be.
fn check_images(
    file: &Path,
    entry: &str,
    images: ImageConversion,
    bad: &impl Fn(Option<usize>, String) -> DataError,
) -> Result<()> {
    let format = format::of(file)?;
    let (pictures, volumes) = (format.content() == Content::Images, format.is_volumes());
    for (field, given, has, what) in [
        ("channels", images.channels.is_some(), pictures, "images"),
        ("resize", images.resize.is_some(), pictures, "images"),
        ("background", images.background.is_some(), pictures, "images"),
        ("slices", images.slices.is_some(), volumes, "volumes"),
        ("label_map", images.label_map.is_some(), pictures || volumes, "images and volumes"),
    ] {
        if given && !has {
            let file = file.display();
            return Err(bad(
                None,
                format!("{entry}: `{field}` is of {what}, and `{file}` has none"),
            ));
        }
    }
    if let Some(size) = images.resize.filter(|size| size.contains(&0)) {
        let reason = format!("{entry}: `resize`: expected a height and a width, found {size:?}");
        return Err(bad(None, reason));
    }
    Ok(())
}

fn fixed(
    path: &Path,
    folder: &Path,
    entry: SplitsEntry,
    bad: &impl Fn(Option<usize>, String) -> DataError,
) -> Result<Fixed> {
    match entry {
        SplitsEntry {
            file: Some(file),
            array,
            column,
            id,
            train: None,
            valid: None,
            test: None,
        } => {
            let file = existing(folder, &file)?;
            check_said(&file, "`splits`", &array, &id, &column, bad)?;
            let (array, column, id) = (array.as_deref(), column.as_deref(), id.as_deref());
            let said = ReadOptions { array, column, id, ..ReadOptions::default() };
            Ok(Fixed::Table(format::of(&file)?.text(&file, said)?))
        }
        SplitsEntry {
            file: None,
            array: None,
            column: None,
            id: None,
            train: Some(train),
            valid,
            test,
        } => Ok(Fixed::Lists {
            path: path.into(),
            train,
            valid: valid.unwrap_or_default(),
            test: test.unwrap_or_default(),
        }),
        _ => Err(bad(
            None,
            "`splits`: expected either `file` or the lists `train`, `valid`, `test`".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use multivae_core::dataset::Dataset;

    use super::*;
    use crate::{
        assemble::Assembled,
        fixture::{Folder, npz, png, text},
        split::SplitIndices,
    };

    fn folder(manifest: &str) -> Folder {
        Folder::new([
            ("manifest.toml", text(manifest)),
            ("scans/p1.png", png(2, 2, 10)),
            ("scans/p2.png", png(2, 2, 20)),
            ("genes.csv", text("sample,x,y\np2,1,2\np3,3,4\np1,0.5,0\n")),
            ("clinical.csv", text("sample,stage,split\np1,i,train\np2,ii,test\np3,i,valid\n")),
            ("arrays.npz", npz(&[("a", 3, 4), ("b", 3, 1)])),
        ])
    }

    fn opened(folder: &Folder) -> Result<Assembled, String> {
        open(&folder.path("manifest.toml"), Reading::default())
            .and_then(|files| files.join(None))
            .map_err(|error| folder.message(error))
    }

    fn refused(manifest: &str) -> String {
        opened(&folder(manifest)).map(|_| ()).expect_err("refused")
    }

    const GENES: &str = "[[modality]]\nname = 'genes'\nfile = 'genes.csv'\n";

    #[test]
    fn a_manifest_gives_shapes_likelihoods_labels_and_splits() {
        let manifest = "
            labels = { file = 'clinical.csv', column = 'stage', id = 'sample' }
            splits = { file = 'clinical.csv', column = 'split', id = 'sample' }
            [[modality]]
            name = 'scan'
            file = 'scans'
            shape = [4]
            likelihood = { kind = 'bernoulli' }
            [[modality]]
            name = 'genes'
            file = 'genes.csv'
            id = 'sample'
            likelihood = { kind = 'laplace', scale = 'learned' }
        ";
        let Assembled { data, parts, .. } = opened(&folder(manifest)).expect("whole");
        let specs = data.modalities();
        assert_eq!(
            (&specs[0].shape[..], specs[0].likelihood.clone()),
            (&[4][..], Likelihood::Bernoulli {})
        );
        assert_eq!((specs[1].likelihood.kind(), specs[1].name.as_str()), ("laplace", "genes"));
        let ids: Vec<_> = (0..3).map(|row| data.id(row)).collect();
        assert_eq!(ids, ["p1", "p2", "p3"]);
        assert_eq!(data.values(1), [0.5, 0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(data.labels(), Some([0, 1, 0].map(Some).to_vec()));
        assert_eq!(parts, Some(SplitIndices { train: vec![0], valid: vec![2], test: vec![1] }));
    }

    #[test]
    fn arrays_are_named_and_splits_can_be_lists() {
        let manifest = "
            [[modality]]
            name = 'a'
            file = 'arrays.npz'
            array = 'a'
            shape = [1, 2, 2]
            [splits]
            train = [0, 2]
            test = [1]
        ";
        let Assembled { data, parts, .. } = opened(&folder(manifest)).expect("whole");
        assert_eq!((data.len(), &data.modalities()[0].shape[..]), (3, &[1, 2, 2][..]));
        assert_eq!(parts, Some(SplitIndices { train: vec![0, 2], valid: vec![], test: vec![1] }));
        let genes = format!("{GENES}id = 'sample'\n[splits]\ntrain = ['p1']\ntest = ['p2']");
        let parts = opened(&folder(&genes)).expect("whole").parts;
        assert_eq!(parts, Some(SplitIndices { train: vec![2], valid: vec![], test: vec![0] }));
    }

    #[test]
    fn a_manifest_makes_images_one_kind_and_names_codes() {
        let manifest = "
            [[modality]]
            name = 'scan'
            file = 'scans'
            channels = 'colour'
            resize = [4, 6]
            background = 'white'
            [[modality]]
            name = 'genes'
            file = 'genes.csv'
            id = 'sample'
            missing = [0.5, 'LOD', 4]
        ";
        let Assembled { data, .. } = opened(&folder(manifest)).expect("whole");
        assert_eq!(data.modalities()[0].shape, [3, 4, 6]);
        let schema = data.schema().expect("read from files");
        assert_eq!(schema.modalities[1].missing_codes, ["0.5", "LOD", "4"]);
        assert_eq!(schema.modalities[0].images.resize, Some([4, 6]));
        assert!(schema.modalities[1].images.is_identity());
        assert_eq!(data.cells(0, 1), Some(vec![false, true]), "0.5 of `p1`");
        assert_eq!(data.cells(2, 1), Some(vec![true, false]), "4 of `p3`");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (manifest, expected) in [
            (
                format!("{GENES}colour = 1"),
                "manifest `manifest.toml`, line 4: unknown field `colour`, expected one of \
                 `name`, `file`, `array`, `sheet`, `id`, `ids`, `names`, `header`, `channels`, `resize`, `background`, `slices`, `label_map`, `missing`, `columns`, `shape`, \
                 `likelihood`, `text`",
            ),
            ("modality = []".into(), "manifest `manifest.toml`: it has no `[[modality]]`"),
            ("[[modality]]\nname = ".into(), "manifest `manifest.toml`, line 2: "),
            (
                "[[modality]]\nname = 'x'\nfile = 'x.csv'".into(),
                "`x.csv` cannot be read: No such file or directory",
            ),
            (
                format!("{GENES}{GENES}"),
                "modality `genes` is given twice: `genes.csv` and `genes.csv`",
            ),
            (format!("{GENES}id = 'name'"), "`genes.csv` has no column `name`; it has `sample`"),
            (
                format!("{GENES}id = 'sample'\nshape = [3]"),
                "modality `genes` (`genes.csv`): expected [3] = 3 values per row, found [2] = 2",
            ),
            (
                format!("{GENES}id = 'sample'\nchannels = 1"),
                "manifest `manifest.toml`: modality `genes`: `channels` is of images, and ",
            ),
            (
                "[[modality]]\nname = 'x'\nfile = 'scans'\nchannels = 2".into(),
                "manifest `manifest.toml`, line 4: `channels`: expected `grey`, `colour`, `alpha`, or 1, \
                 3, 4, found 2",
            ),
            (
                format!("{GENES}array = 'x'"),
                "manifest `manifest.toml`: modality `genes`: `array` is given, and ",
            ),
            (
                "[[modality]]\nname = 'x'\nfile = 'arrays.npz'\narray = 'c'".into(),
                "`arrays.npz`: expected an array `c`, found the arrays `a`, `b`",
            ),
            (
                format!("{GENES}id = 'sample'\nlikelihood = {{ kind = 'cauchy' }}"),
                "manifest `manifest.toml`, line 5: unknown variant `cauchy`, expected one of ",
            ),
            (
                format!("{GENES}id = 'sample'\n[splits]\ntrain = [0, 3]"),
                "manifest `manifest.toml`: `splits.train`: expected rows below 3, found `3`",
            ),
            (
                format!("{GENES}id = 'sample'\n[splits]\ntrain = [0]\ntest = ['p2']"),
                "manifest `manifest.toml`: `splits.test`: expected each row once, found `p2`",
            ),
            (
                format!("{GENES}id = 'sample'\n[splits]\ntrain = ['p9']"),
                "manifest `manifest.toml`: `splits.train`: expected identifiers of rows, found `p9`",
            ),
            (
                format!("{GENES}id = 'sample'\n[splits]\ntrain = [0]\nfile = 'clinical.csv'"),
                "manifest `manifest.toml`: `splits`: expected either `file` or the lists",
            ),
            (
                format!("{GENES}id = 'sample'\n[splits]\nfile = 'clinical.csv'\ncolumn = 'stage'"),
                "`clinical.csv`, line 2, column `stage`: expected `train`, `valid` or `test`, found",
            ),
            (
                format!("{GENES}id = 'sample'\n[splits]\ntrain = []"),
                "the training split has no rows: `manifest.toml` puts none there",
            ),
            (
                format!("{GENES}id = 'sample'\n[labels]\nfile = 'clinical.csv'\nid = 'sample'"),
                "`clinical.csv`: expected one column besides the identifiers, found `stage`, `split`",
            ),
        ] {
            let found = refused(&manifest);
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
