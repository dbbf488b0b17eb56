//! Joining files to rows.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use multivae_core::{
    dataset::Dataset,
    distribution::{Likelihood, Support},
    modality::{self, ModalitySpec},
    subset::Subset,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    error::{DataError, Result},
    memory::{MemoryDataset, Storage},
    read::{Block, Labels},
    split::Parts,
};

/// What was found when data was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Rows of the data.
    pub rows: usize,
    /// One entry a modality, in the data's order.
    pub modalities: Vec<ModalityReport>,
    /// Labels whose identifier no modality has; they are left out.
    pub unused_labels: usize,
}

/// What was found of a modality.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModalityReport {
    /// Name of the modality.
    pub modality: String,
    /// Rows that observe it.
    pub observed: usize,
    /// Rows that lack it since a value is NaN or a cell is empty.
    pub not_a_number: usize,
    /// Rows that lack it since its file does not have their identifier.
    pub absent: usize,
}

impl LoadReport {
    /// Of data of which nothing is missing.
    pub(crate) fn complete(data: &MemoryDataset) -> Self {
        let one = |spec: &ModalitySpec| ModalityReport {
            modality: spec.name.to_string(),
            observed: data.len(),
            ..Default::default()
        };
        Self {
            rows: data.len(),
            modalities: data.modalities().iter().map(one).collect(),
            unused_labels: 0,
        }
    }

    fn log(&self) {
        for ModalityReport { modality, observed, not_a_number, absent } in &self.modalities {
            let rows = self.rows;
            if not_a_number + absent > 0 {
                tracing::warn!(
                    modality,
                    rows,
                    observed,
                    not_a_number,
                    absent,
                    "modality `{modality}` is missing in {} of {rows} rows: {not_a_number} with NaN \
                     or an empty cell, {absent} not in its file",
                    not_a_number + absent,
                );
            } else {
                tracing::info!(
                    modality,
                    rows,
                    "modality `{modality}` is observed in all {rows} rows"
                );
            }
        }
        if self.unused_labels > 0 {
            tracing::warn!("{} labels are of rows that no modality has", self.unused_labels);
        }
    }
}

/// The file of one modality, and what is said about it.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) block: Block,
    pub(crate) shape: Option<Vec<usize>>,
    pub(crate) likelihood: Option<Likelihood>,
}

/// Which split a row is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Train,
    Valid,
    Test,
}

/// A row in a list of rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(untagged)]
pub(crate) enum RowName {
    Number(usize),
    Id(String),
}

/// Splits that the data itself gives.
pub(crate) enum Fixed {
    Lists { path: PathBuf, train: Vec<RowName>, valid: Vec<RowName>, test: Vec<RowName> },
    Column { path: PathBuf, ids: Option<Vec<String>>, parts: Vec<Part> },
}

/// All files of a data set.
pub(crate) struct Files {
    pub(crate) sources: Vec<Source>,
    pub(crate) labels: Option<Labels>,
    pub(crate) splits: Option<Fixed>,
}

/// Rows, and their splits where these are fixed.
pub(crate) struct Assembled {
    pub(crate) data: MemoryDataset,
    pub(crate) parts: Option<Parts>,
    pub(crate) report: LoadReport,
}

/// A file as far as joining is concerned.
struct Side<'a> {
    path: &'a Path,
    rows: usize,
    ids: Option<&'a [String]>,
}

/// How rows are found in files.
enum Join {
    /// Row `i` is row `i` of every file.
    Place { rows: usize, ids: Option<Vec<String>> },
    /// Row `i` has identifier `i`.
    Ids(Vec<String>),
}

impl Files {
    /// Joins the files.
    pub(crate) fn join(self) -> Result<Assembled> {
        let Self { sources, labels, splits } = self;
        let join = {
            let of_labels = labels.as_ref().map(|labels| Side {
                path: &labels.path,
                rows: labels.values.len(),
                ids: labels.ids.as_deref(),
            });
            let of_splits = splits.as_ref().and_then(|splits| match splits {
                Fixed::Column { path, ids, parts } => {
                    Some(Side { path, rows: parts.len(), ids: ids.as_deref() })
                }
                Fixed::Lists { .. } => None,
            });
            let of_sources: Vec<_> = sources.iter().map(|source| source.block.side()).collect();
            Join::of(&of_sources, of_labels.into_iter().chain(of_splits).collect())?
        };
        let mut report = LoadReport { rows: join.rows(), ..Default::default() };
        let mut modalities = Vec::new();
        let mut presence = vec![0u64; join.rows()];
        let specs: Vec<_> = sources.iter().map(spec).collect::<Result<_>>()?;
        modality::check_all(&specs)?;
        for (m, (source, spec)) in sources.into_iter().zip(specs).enumerate() {
            let places = join.places(source.block.ids.as_deref());
            let mut found = ModalityReport { modality: source.name, ..Default::default() };
            for (row, presence) in presence.iter_mut().enumerate() {
                match places.as_ref().map_or(Some(row), |places| places[row]) {
                    None => found.absent += 1,
                    Some(place) if source.block.missing[place] => found.not_a_number += 1,
                    Some(_) => {
                        found.observed += 1;
                        *presence |= 1 << m;
                    }
                }
            }
            let values = match places {
                Some(places) => gather(&source.block.values, &places, spec.features()),
                None => source.block.values,
            };
            modalities.push((spec, values));
            report.modalities.push(found);
        }
        let empty: Vec<_> = (0..presence.len()).filter(|&row| presence[row] == 0).collect();
        if let Some(&first) = empty.first() {
            return Err(DataError::EmptyRows { first: join.name(first), count: empty.len() });
        }
        let presence: Vec<Subset> = presence
            .into_iter()
            .map(|bits| Subset::new((0..64).filter(|m| bits >> m & 1 == 1)))
            .collect::<Result<_, _>>()?;
        let mut data = MemoryDataset::new(modalities)?.with_presence(presence)?;
        if let Some(labels) = labels {
            let (values, unused) = join.labels(&labels)?;
            report.unused_labels = unused;
            data = data.with_labels(values)?;
            if let Some(names) = labels.names {
                data = data.with_label_names(names);
            }
        }
        let parts = splits.map(|splits| join.parts(splits)).transpose()?;
        if let Some(ids) = join.into_ids() {
            data = data.with_ids(ids)?;
        }
        check_values(&data)?;
        report.log();
        Ok(Assembled { data, parts, report })
    }
}

impl Block {
    fn side(&self) -> Side<'_> {
        Side { path: &self.path, rows: self.missing.len(), ids: self.ids.as_deref() }
    }
}

impl Join {
    fn of(modalities: &[Side], others: Vec<Side>) -> Result<Self> {
        let sides: Vec<_> = modalities.iter().chain(&others).collect();
        let without = sides.iter().find(|side| side.ids.is_none());
        let with: Vec<_> = sides.iter().filter_map(|side| Some((side.path, side.ids?))).collect();
        let Some(without) = without else {
            let mut seen = HashSet::new();
            let ids = modalities.iter().flat_map(|side| side.ids.into_iter().flatten());
            return Ok(Self::Ids(ids.filter(|id| seen.insert(*id)).cloned().collect()));
        };
        // Files without identifiers can stand beside files that all have the same ones.
        if let Some((path, _)) = with.iter().find(|(_, ids)| *ids != with[0].1) {
            return Err(DataError::MixedIds { with: path.into(), without: without.path.into() });
        }
        let first = sides[0];
        if let Some(other) = sides.iter().find(|side| side.rows != first.rows) {
            return Err(DataError::RowCounts {
                first: first.path.into(),
                first_rows: first.rows,
                second: other.path.into(),
                second_rows: other.rows,
            });
        }
        Ok(Self::Place { rows: first.rows, ids: with.first().map(|(_, ids)| ids.to_vec()) })
    }

    fn rows(&self) -> usize {
        match self {
            Self::Place { rows, .. } => *rows,
            Self::Ids(ids) => ids.len(),
        }
    }

    fn name(&self, row: usize) -> String {
        match self {
            Self::Place { ids: None, .. } => row.to_string(),
            Self::Place { ids: Some(ids), .. } | Self::Ids(ids) => ids[row].clone(),
        }
    }

    fn into_ids(self) -> Option<Vec<String>> {
        match self {
            Self::Place { ids, .. } => ids,
            Self::Ids(ids) => Some(ids),
        }
    }

    /// Where each row is in a file, or `None` if row `i` is row `i`.
    fn places(&self, ids: Option<&[String]>) -> Option<Vec<Option<usize>>> {
        match (self, ids) {
            (Self::Ids(rows), Some(ids)) if rows != ids => {
                let places: HashMap<_, _> = ids.iter().enumerate().map(|(i, id)| (id, i)).collect();
                Some(rows.iter().map(|id| places.get(id).copied()).collect())
            }
            _ => None,
        }
    }

    /// The label of each row, and how many labels are of other rows.
    fn labels(&self, labels: &Labels) -> Result<(Vec<i64>, usize)> {
        let Some(places) = self.places(labels.ids.as_deref()) else {
            return Ok((labels.values.clone(), 0));
        };
        let without: Vec<_> = (0..places.len()).filter(|&row| places[row].is_none()).collect();
        if let Some(&first) = without.first() {
            return Err(DataError::MissingLabels {
                path: labels.path.clone(),
                first: self.name(first),
                count: without.len(),
            });
        }
        let unused = labels.values.len() - places.len();
        Ok((places.into_iter().flatten().map(|place| labels.values[place]).collect(), unused))
    }

    fn parts(&self, fixed: Fixed) -> Result<Parts> {
        let (path, parts) = match fixed {
            Fixed::Column { path, ids, parts } => {
                let places = self.places(ids.as_deref());
                let mut out = Parts::default();
                for row in 0..self.rows() {
                    match places.as_ref().map_or(Some(row), |p| p[row]).map(|place| parts[place]) {
                        Some(Part::Train) => out.train.push(row),
                        Some(Part::Valid) => out.valid.push(row),
                        Some(Part::Test) => out.test.push(row),
                        None => {}
                    }
                }
                (path, out)
            }
            Fixed::Lists { path, train, valid, test } => {
                let mut seen = HashSet::new();
                let mut rows = |field: &str, names: Vec<RowName>| -> Result<Vec<usize>> {
                    names.into_iter().map(|name| self.row(&path, field, name, &mut seen)).collect()
                };
                let parts = Parts {
                    train: rows("train", train)?,
                    valid: rows("valid", valid)?,
                    test: rows("test", test)?,
                };
                (path, parts)
            }
        };
        if parts.train.is_empty() {
            let reason = format!("`{}` puts none there", path.display());
            return Err(DataError::NoRows { reason });
        }
        let used: usize = parts.named().iter().map(|(_, rows)| rows.len()).sum();
        if used < self.rows() {
            tracing::warn!("{} rows are in no split and are left out", self.rows() - used);
        }
        Ok(parts)
    }

    /// The number of a row in a list.
    fn row(
        &self,
        path: &Path,
        field: &str,
        name: RowName,
        seen: &mut HashSet<usize>,
    ) -> Result<usize> {
        let bad = |expected: &str, found: String| DataError::Manifest {
            path: path.into(),
            line: String::new(),
            reason: format!("`splits.{field}`: expected {expected}, found `{found}`"),
        };
        let row = match &name {
            RowName::Number(row) if *row < self.rows() => *row,
            RowName::Number(row) => {
                return Err(bad(&format!("rows below {}", self.rows()), row.to_string()));
            }
            RowName::Id(id) => {
                let known = match self {
                    Self::Place { ids, .. } => ids.as_deref().unwrap_or_default(),
                    Self::Ids(ids) => ids,
                };
                let place = known.iter().position(|known| known == id);
                place.ok_or_else(|| bad("identifiers of rows", id.clone()))?
            }
        };
        if seen.insert(row) { Ok(row) } else { Err(bad("each row once", self.name(row))) }
    }
}

/// The modality of a file.
fn spec(source: &Source) -> Result<ModalitySpec> {
    let Block { path, shape, values, .. } = &source.block;
    let features: usize = shape.iter().product();
    let shape = match &source.shape {
        Some(said) if said.iter().product::<usize>() != features => {
            return Err(DataError::Shape {
                modality: source.name.clone(),
                path: path.clone(),
                expected: format!("{said:?} = {} values a row", said.iter().product::<usize>()),
                found: format!("{shape:?} = {features}"),
            });
        }
        Some(said) => said,
        None => shape,
    };
    let likelihood = source.likelihood.clone().unwrap_or_else(|| likelihood(shape, values));
    let spec = ModalitySpec::new(&source.name, shape)?.with_likelihood(likelihood);
    spec.check()?;
    Ok(spec)
}

/// The likelihood of values that nothing is said about: Bernoulli if all are 0 or 1; for images in
/// `[0, 1]` Laplace of scale 0.75, which the field uses for PolyMNIST; else unit normal.
fn likelihood(shape: &[usize], values: &Storage) -> Likelihood {
    let binary = match values {
        Storage::Floats(values) => values.par_iter().all(|&v| v == 0.0 || v == 1.0),
        Storage::Bytes(bytes) => bytes.par_iter().all(|&b| b == 0 || b == 255),
    };
    let unit = match values {
        Storage::Floats(values) => values.par_iter().all(|v| (0.0..=1.0).contains(v)),
        Storage::Bytes(_) => true,
    };
    match (binary, shape.len() == 3 && unit) {
        (true, _) => Likelihood::Bernoulli {},
        (false, true) => Likelihood::laplace(0.75),
        (false, false) => Likelihood::normal(1.0),
    }
}

/// Checks that the values are such as their likelihood takes.
fn check_values(data: &MemoryDataset) -> Result<()> {
    for (m, spec) in data.modalities().iter().enumerate() {
        let family = spec.likelihood.family();
        let support = family.support();
        if let Support::Real = support {
            continue;
        }
        let mut buffer = vec![0.0; spec.features()];
        for row in (0..data.len()).filter(|&row| data.presence(row).contains(m)) {
            data.storage(m).read(row * spec.features(), &mut buffer);
            if let Some(column) = support.first_outside(&buffer, &spec.shape, |_| true) {
                let (modality, row) = (spec.name.to_string(), data.id(row));
                let expected = format!("{support} for a {} likelihood", family.name());
                let found = buffer[column];
                return Err(DataError::Value { modality, row, expected, found });
            }
        }
    }
    Ok(())
}

/// Rows in another order; 0 where there are none.
fn gather(values: &Storage, places: &[Option<usize>], features: usize) -> Storage {
    fn rows<T: Copy + Default + Send + Sync>(
        values: &[T],
        places: &[Option<usize>],
        features: usize,
    ) -> Vec<T> {
        let mut out = vec![T::default(); places.len() * features];
        out.par_chunks_exact_mut(features).zip(places).for_each(|(out, place)| {
            if let Some(place) = place {
                out.copy_from_slice(&values[place * features..(place + 1) * features]);
            }
        });
        out
    }
    match values {
        Storage::Floats(values) => Storage::Floats(rows(values, places, features)),
        Storage::Bytes(values) => Storage::Bytes(rows(values, places, features)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(name: &str, ids: Option<&[&str]>, values: Vec<f32>) -> Source {
        let block = Block {
            path: name.into(),
            ids: ids.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect()),
            shape: vec![1],
            missing: values.iter().map(|value| value.is_nan()).collect(),
            values: values.into(),
        };
        Source { name: name.into(), block, shape: None, likelihood: None }
    }

    fn labels(ids: Option<&[&str]>, values: Vec<i64>) -> Labels {
        let ids = ids.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
        Labels { path: "labels".into(), ids, values, names: None }
    }

    fn join(sources: Vec<Source>, labels: Option<Labels>) -> Result<Assembled> {
        Files { sources, labels, splits: None }.join()
    }

    fn message(sources: Vec<Source>, labels: Option<Labels>) -> String {
        join(sources, labels).map(|_| ()).expect_err("cannot be joined").to_string()
    }

    #[test]
    fn rows_are_joined_by_their_identifiers_and_what_a_file_lacks_is_missing() {
        let a = block("a", Some(&["x", "y"]), vec![1.5, 2.5]);
        let b = block("b", Some(&["z", "y", "w"]), vec![30.0, 20.0, f32::NAN]);
        let c = block("c", Some(&["w", "z"]), vec![5.0, 6.0]);
        let labels = labels(Some(&["w", "x", "v", "y", "z"]), vec![4, 1, 0, 2, 3]);
        let Assembled { data, report, .. } = join(vec![a, b, c], Some(labels)).expect("joined");
        let ids: Vec<_> = (0..data.len()).map(|row| data.id(row)).collect();
        assert_eq!(ids, ["x", "y", "z", "w"]);
        assert_eq!(data.values(0), [1.5, 2.5, 0.0, 0.0]);
        assert_eq!(data.values(1), [0.0, 20.0, 30.0, 0.0]);
        assert_eq!(data.values(2), [0.0, 0.0, 6.0, 5.0]);
        assert_eq!(data.labels(), Some(vec![1, 2, 3, 4]));
        assert_eq!((report.rows, report.unused_labels), (4, 1));
        let counts = |m: usize| {
            let ModalityReport { observed, not_a_number, absent, .. } = report.modalities[m];
            (observed, not_a_number, absent)
        };
        assert_eq!([counts(0), counts(1), counts(2)], [(2, 0, 2), (2, 1, 1), (2, 0, 2)]);
    }

    #[test]
    fn files_without_identifiers_are_joined_by_place() {
        let sources = vec![block("a", None, vec![1.5, 2.5]), block("b", None, vec![3.0, 4.0])];
        let data = join(sources, Some(labels(Some(&["x", "y"]), vec![7, 8]))).expect("joined").data;
        assert_eq!((data.id(1), data.label(1)), ("y".into(), Some(8)));
        assert_eq!(data.values(1), [3.0, 4.0]);
    }

    #[test]
    fn files_that_cannot_be_joined_are_refused_with_both() {
        assert_eq!(
            message(vec![block("a", None, vec![1.0]), block("b", None, vec![1.0, 2.0])], None),
            "`a` has 1 rows and `b` has 2; files without an `id` column must have the same rows"
        );
        let sources = || {
            let a = block("a", Some(&["x", "y"]), vec![1.0, 2.0]);
            vec![a, block("b", Some(&["y", "x"]), vec![1.0, 2.0])]
        };
        assert_eq!(
            message(sources(), Some(labels(None, vec![0, 1]))),
            "`b` has identifiers and `labels` has none: rows can only be joined if all files have them"
        );
        assert_eq!(
            message(sources(), Some(labels(Some(&["y", "z"]), vec![0, 1]))),
            "`labels` has no label for row `x`; 1 rows lack one"
        );
        assert_eq!(
            message(vec![block("a", None, vec![1.0, 2.0])], Some(labels(None, vec![0]))),
            "`a` has 2 rows and `labels` has 1; files without an `id` column must have the same rows"
        );
    }

    #[test]
    fn rows_that_observe_nothing_are_refused_by_the_first_and_their_number() {
        let nan = f32::NAN;
        let a = || block("a", Some(&["x", "y", "z"]), vec![1.0, nan, nan]);
        assert_eq!(message(vec![a()], None), "row `y` observes no modality; there are 2 such rows");
        let b = block("b", Some(&["z"]), vec![3.0]);
        assert_eq!(
            message(vec![a(), b], None),
            "row `y` observes no modality; there are 1 such rows"
        );
    }

    #[test]
    fn likelihoods_follow_from_shape_and_values() {
        let image = [1, 2, 1];
        for (shape, values, expected) in [
            (&[2][..], vec![0.5, 1.0], Likelihood::normal(1.0)),
            (&[2][..], vec![0.0, 1.0], Likelihood::Bernoulli {}),
            (&image, vec![0.5, 1.0], Likelihood::laplace(0.75)),
            (&image, vec![0.0, 1.0], Likelihood::Bernoulli {}),
            (&image, vec![0.0, 7.0], Likelihood::normal(1.0)),
        ] {
            assert_eq!(likelihood(shape, &Storage::Floats(values)), expected);
        }
        assert_eq!(likelihood(&image, &vec![0u8, 255].into()), Likelihood::Bernoulli {});
        assert_eq!(likelihood(&image, &vec![0u8, 9].into()), Likelihood::laplace(0.75));
    }

    #[test]
    fn values_that_a_likelihood_cannot_have_are_refused_by_modality_and_row() {
        let with = |likelihood, values| {
            let source = block("a", Some(&["x", "y"]), values);
            message(vec![Source { likelihood: Some(likelihood), ..source }], None)
        };
        assert_eq!(
            with(Likelihood::Bernoulli {}, vec![0.5, 1.5]),
            "modality `a`, row `y`: expected values from 0 to 1 for a bernoulli likelihood, \
             found `1.5`"
        );
        assert_eq!(
            with(Likelihood::Categorical {}, vec![1.0, 0.5]),
            "modality `a`, row `y`: expected values from 0 to 1 whose sum over the last axis is 1 \
             for a categorical likelihood, found `0.5`"
        );
        assert_eq!(
            with(Likelihood::normal(-1.0), vec![1.0, 0.5]),
            "`a.likelihood.scale`: expected a positive number, found -1"
        );
    }
}
