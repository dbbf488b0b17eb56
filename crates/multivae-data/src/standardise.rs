//! Standardisation: mean and deviation of the training rows, applied and undone.
//!
//! Moments are taken in double precision, in one pass, over the cells that are observed; values are
//! shifted and scaled in double precision and only then rounded, so that seconds since 1970 or
//! positions on a genome keep their differences.

use std::{fs, path::Path, sync::Arc};

use burn::tensor::{Device, Tensor, TensorData};
use multivae_core::{
    dataset::Dataset, distribution::Normalisation, modality::ModalitySpec, schema::Schema,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    error::{DataError, Result},
    memory::MemoryDataset,
    report::Warning,
    storage::{Change, Storage, View},
};

/// Rows that are read at once from data that does not give them one by one.
const CHUNK: usize = 256;

/// Whether modalities are standardised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standardise {
    /// Features with a normal or Laplace likelihood, to mean 0 and variance 1; of images and volumes
    /// those with values outside of `[0, 1]`. Positive ones, of a log-normal likelihood, to a geometric mean of
    /// 1. Others stay.
    #[default]
    Auto,
    /// None.
    None,
}

impl Standardise {
    fn takes(self, spec: &ModalitySpec) -> bool {
        let family = spec.likelihood.family();
        let changed = |feature| family.normalisation(feature) != Normalisation::None;
        self == Self::Auto && (0..spec.features()).any(changed)
    }
}

/// Mean and standard deviation of each feature; the pixels of an image share one deviation, and the
/// voxels of a volume one mean and one deviation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moments {
    /// Mean of each feature; of all values of a volume.
    #[serde(with = "alike")]
    pub mean: Vec<f64>,
    /// Standard deviation of each feature (divisor: the number of observed values), of all values of
    /// an image or volume from their means; 1 for a constant feature.
    #[serde(with = "alike")]
    pub std: Vec<f64>,
    /// Least and greatest observed value of each feature; empty in files of version 1, which do not
    /// say it.
    #[serde(default, with = "alike")]
    pub range: Vec<[f64; 2]>,
}

/// Values of features as a list, or as one value where they are many and alike.
mod alike {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    /// Up to so many values are a list.
    const FEW: usize = 1 << 6;
    /// The most features of a modality.
    const MOST: usize = 1 << 30;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Form<T> {
        Each(Vec<T>),
        All { all: T, count: usize },
    }

    pub(super) fn serialize<T: Serialize + PartialEq, S: Serializer>(
        values: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match values {
            [all, rest @ ..] if rest.len() >= FEW && rest.iter().all(|value| value == all) => {
                Form::All { all, count: values.len() }.serialize(serializer)
            }
            _ => values.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de> + Clone, D: Deserializer<'de>>(
        source: D,
    ) -> Result<Vec<T>, D::Error> {
        match Form::deserialize(source)? {
            Form::Each(values) => Ok(values),
            Form::All { all, count } if count <= MOST => Ok(vec![all; count]),
            Form::All { count, .. } => {
                Err(D::Error::custom(format!("expected at most {MOST} features, found {count}")))
            }
        }
    }
}

/// How many standard deviations new values can lie outside of the range of the training values
/// before they are drawn in, so that a single value cannot move a result without limit.
pub const LEEWAY: f64 = 10.0;

impl Moments {
    /// Mean and standard deviation of a feature.
    pub fn of(&self, feature: usize) -> (f64, f64) {
        (self.mean[feature], self.std[feature])
    }

    /// Between which standardised values of each feature new ones are kept: [`LEEWAY`] beyond the
    /// range of the training rows, and counts and classes of a mixed table anywhere; `None` in files
    /// of version 1, which do not say it.
    pub fn limits(&self, spec: &ModalitySpec) -> Option<Vec<(f32, f32)>> {
        let family = spec.likelihood.family();
        let limits = |(feature, [low, high]): (usize, &[f64; 2])| {
            if family.normalisation(feature) == Normalisation::None {
                return (f32::NEG_INFINITY, f32::INFINITY);
            }
            let (mean, std) = self.of(feature);
            let end = |value: f64, leeway: f64| ((value - mean) / std + leeway) as f32;
            (end(*low, -LEEWAY), end(*high, LEEWAY))
        };
        (!self.range.is_empty()).then(|| self.range.iter().enumerate().map(limits).collect())
    }
}

/// What a modality's values were shifted and scaled by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Name of the modality.
    pub modality: String,
    /// Its moments, or `None` if its values are as they are.
    pub moments: Option<Moments>,
}

/// The standardisation of all modalities, as fitted on a training split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standardisation {
    /// Version of the file's format.
    pub version: u32,
    /// One entry per modality, in the data's order.
    pub modalities: Vec<Entry>,
}

impl Standardisation {
    /// The version that this crate writes. It reads version 1 too, whose numbers are of single
    /// precision.
    pub const VERSION: u32 = 2;

    /// Leaves all values as they are.
    pub fn none(specs: &[ModalitySpec]) -> Self {
        let entry = |spec: &ModalitySpec| Entry { modality: spec.name.to_string(), moments: None };
        Self { version: Self::VERSION, modalities: specs.iter().map(entry).collect() }
    }

    /// Fits mean and standard deviation to the observed cells of `data`, in one pass over its rows.
    ///
    /// # Errors
    ///
    /// [`DataError::Unobserved`] for a modality that no row observes; [`DataError::Rows`] if rows
    /// cannot be read.
    pub fn fit(data: &dyn Dataset, which: Standardise) -> Result<Self> {
        let fit = |(m, spec): (usize, &ModalitySpec)| {
            if !(0..data.len()).any(|row| data.presence(row).contains(m)) {
                return Err(DataError::Unobserved { modality: spec.name.to_string() });
            }
            let moments = if which.takes(spec) { moments(data, m, spec)? } else { None };
            Ok(Entry { modality: spec.name.to_string(), moments })
        };
        let specs = data.modalities();
        let entries: Vec<_> = specs.par_iter().enumerate().map(fit).collect();
        let modalities = entries.into_iter().collect::<Result<_>>()?;
        Ok(Self { version: Self::VERSION, modalities })
    }

    /// Whether two standardisations say the same, as far as the precision of their versions goes.
    pub fn agrees(&self, other: &Self) -> bool {
        let single = self.version.min(other.version) < 2;
        let close = |a: f64, b: f64| {
            a == b || (single && (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1e-3))
        };
        let all = |a: &[f64], b: &[f64]| {
            a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| close(a, b))
        };
        let same = |(a, b): (&Entry, &Entry)| {
            a.modality == b.modality
                && match (&a.moments, &b.moments) {
                    (Some(a), Some(b)) => all(&a.mean, &b.mean) && all(&a.std, &b.std),
                    (None, None) => true,
                    // Version 1 left images outside of the unit range as they are.
                    _ => single,
                }
        };
        self.modalities.len() == other.modalities.len()
            && self.modalities.iter().zip(&other.modalities).all(same)
    }

    /// The moments of a modality, if it is known and standardised.
    pub fn moments(&self, modality: &str) -> Option<&Moments> {
        self.modalities.iter().find(|e| e.modality == modality)?.moments.as_ref()
    }

    /// Standardises `[.., features]`; values of a modality that is not standardised stay.
    ///
    /// # Panics
    ///
    /// If the last axis has another length than the modality has features.
    pub fn apply<const D: usize>(&self, modality: &str, values: Tensor<D>) -> Tensor<D> {
        match self.moments(modality) {
            Some(Moments { mean, std, .. }) => {
                let [mean, std] = rows(&values, [mean, std]);
                (values - mean) / std
            }
            None => values,
        }
    }

    /// Undoes [`Standardisation::apply`] on `[.., features]`, in the precision of the tensor; see
    /// [`Standardisation::invert_precise`] for values far from 0.
    ///
    /// # Panics
    ///
    /// If the last axis has another length than the modality has features.
    pub fn invert<const D: usize>(&self, modality: &str, values: Tensor<D>) -> Tensor<D> {
        match self.moments(modality) {
            Some(Moments { mean, std, .. }) => {
                let [mean, std] = rows(&values, [mean, std]);
                values * std + mean
            }
            None => values,
        }
    }

    /// Standardises rows in place, flattened `[rows, features]`, in double precision.
    pub fn apply_slice(&self, modality: &str, values: &mut [f32]) {
        self.each(modality, values, |value, mean, std| {
            *value = ((f64::from(*value) - mean) / std) as f32;
        });
    }

    /// Undoes [`Standardisation::apply_slice`].
    pub fn invert_slice(&self, modality: &str, values: &mut [f32]) {
        self.each(modality, values, |value, mean, std| {
            *value = (f64::from(*value) * std + mean) as f32;
        });
    }

    /// The values before standardisation, flattened `[rows, features]`, with all digits that they
    /// have: values far from 0 keep the differences that `f32` would round away.
    pub fn invert_precise(&self, modality: &str, values: &[f32]) -> Vec<f64> {
        let Some(moments) = self.moments(modality) else {
            return values.iter().copied().map(f64::from).collect();
        };
        let undo = |(place, &value): (usize, &f32)| {
            let (mean, std) = moments.of(place % moments.mean.len());
            f64::from(value) * std + mean
        };
        values.iter().enumerate().map(undo).collect()
    }

    /// Whether single precision would lose differences that the modality's values have before
    /// standardisation: whole numbers above 2^24, or a value that rounding moves by more than a
    /// hundred-thousandth of its deviation.
    pub fn needs_doubles(&self, modality: &str) -> bool {
        let Some(moments) = self.moments(modality) else { return false };
        (0..moments.mean.len()).any(|feature| {
            let (mean, std) = moments.of(feature);
            let reach = match moments.range.get(feature) {
                Some([low, high]) => low.abs().max(high.abs()),
                None => mean.abs() + 4.0 * std,
            };
            let rounding = reach * f64::from(f32::EPSILON) / 2.0;
            reach > f64::from(1 << 24) || rounding > 1e-5 * std
        })
    }

    /// The values in the units of the file that the modality was read from, flattened
    /// `[rows, features]`: standardisation undone, then
    /// [`in_file_units`](multivae_core::schema::ModalitySchema::in_file_units).
    pub fn file_units(&self, schema: &Schema, modality: &str, values: &[f32]) -> Vec<f64> {
        let mut values = self.invert_precise(modality, values);
        if let Some(known) = schema.modality(modality) {
            known.in_file_units(&mut values);
        }
        values
    }

    /// The data set with standardised values, and draws of those that are probabilities; modalities
    /// that stay are shared.
    ///
    /// # Errors
    ///
    /// As [`Standardisation::check`].
    pub fn apply_to(&self, data: &MemoryDataset) -> Result<MemoryDataset> {
        self.check(data.modalities())?;
        let apply = |(m, spec): (usize, &ModalitySpec)| {
            let storage = data.storage(m);
            let features = spec.features();
            let Some(moments) = self.moments(spec.name.as_str()) else {
                return Ok(match &**storage {
                    // Batches are of single precision.
                    Storage::Doubles(values) => Arc::new(Storage::Floats(
                        values.iter().map(|&value| value as f32).collect(),
                    )),
                    _ => storage.clone(),
                });
            };
            if !storage.is_plain() {
                let Moments { mean, std, .. } = moments.clone();
                let change = Change { mean, std, limits: None };
                return Ok(Arc::new(Storage::View(View::changed(storage.clone(), change))));
            }
            let mut values = vec![0.0; storage.len()];
            values.par_chunks_exact_mut(features).enumerate().try_for_each_init(
                || vec![0.0; features],
                |row, (place, out)| {
                    storage.read_precise(place * features, row)?;
                    for (feature, (out, value)) in out.iter_mut().zip(row.iter()).enumerate() {
                        let (mean, std) = moments.of(feature);
                        *out = ((value - mean) / std) as f32;
                    }
                    Ok::<_, DataError>(())
                },
            )?;
            Ok(Arc::new(Storage::Floats(values)))
        };
        let values: Vec<Result<_>> = data.modalities().par_iter().enumerate().map(apply).collect();
        let changed = data.clone().with_storage(values.into_iter().collect::<Result<_>>()?);
        Ok(changed.binarised(0, 0))
    }

    /// New data with standardised values, and what lies far outside of the training's range, by row
    /// and column: such values of tables are drawn in to [`LEEWAY`] deviations beyond it. A column
    /// that was constant in training has deviation 1.
    ///
    /// # Errors
    ///
    /// As [`Standardisation::check`].
    pub fn apply_to_new(&self, data: &MemoryDataset) -> Result<(MemoryDataset, Vec<Warning>)> {
        let applied = self.apply_to(data)?;
        let mut warnings = Vec::new();
        let mut storages = Vec::new();
        for (m, spec) in data.modalities().iter().enumerate() {
            let storage = applied.storage(m);
            let moments = self.moments(spec.name.as_str()).filter(|_| !spec.is_grid());
            let limits = moments.and_then(|moments| moments.limits(spec));
            let (Some(moments), Some(limits)) = (moments, limits) else {
                storages.push(storage.clone());
                continue;
            };
            let features = spec.features();
            let mut outside: Vec<(usize, usize)> = Vec::new();
            let mut values = vec![0.0; features];
            for row in (0..data.len()).filter(|&row| data.presence(row).contains(m)) {
                storage.read(data.stored_rows()[row] * features, &mut values)?;
                let mut cells = None;
                for (feature, (&(low, high), value)) in limits.iter().zip(&values).enumerate() {
                    if (low..=high).contains(value) {
                        continue;
                    }
                    let cells = cells.get_or_insert_with(|| data.cells(row, m));
                    if cells.as_ref().is_none_or(|cells| cells[feature]) {
                        outside.push((row, feature));
                    }
                }
            }
            warnings.extend(outside_of_training(data, m, moments, &outside));
            storages.push(match &**storage {
                _ if outside.is_empty() => storage.clone(),
                Storage::Floats(values) => {
                    let mut values = values.clone();
                    for (row, feature) in outside {
                        let value = &mut values[data.stored_rows()[row] * features + feature];
                        *value = value.clamp(limits[feature].0, limits[feature].1);
                    }
                    Arc::new(Storage::Floats(values))
                }
                _ => {
                    let Moments { mean, std, .. } = moments.clone();
                    let change = Change { mean, std, limits: Some(limits) };
                    let raw = data.storage(m).clone();
                    Arc::new(Storage::View(View::changed(raw, change)))
                }
            });
        }
        Ok((applied.with_storage(storages), warnings))
    }

    /// Checks that it belongs to these modalities.
    ///
    /// # Errors
    ///
    /// [`DataError::Standardisation`] for a modality it lacks, or of another number of features.
    pub fn check(&self, specs: &[ModalitySpec]) -> Result<()> {
        let names = || crate::error::list(self.modalities.iter().map(|e| &e.modality));
        for spec in specs {
            let bad = |expected: String, found: String| DataError::Standardisation {
                modality: spec.name.to_string(),
                expected,
                found,
            };
            let name = spec.name.as_str();
            let Some(entry) = self.modalities.iter().find(|e| e.modality == name) else {
                return Err(DataError::UnknownModality { modality: name.into(), known: names() });
            };
            if let Some(Moments { mean, std, range }) = &entry.moments {
                if !range.is_empty() && range.len() != mean.len() {
                    let expected = format!("{} ranges", mean.len());
                    return Err(bad(expected, range.len().to_string()));
                }
                for (what, values) in [("means", mean), ("standard deviations", std)] {
                    if values.len() != spec.features() {
                        let expected = format!("{} {what}", spec.features());
                        return Err(bad(expected, values.len().to_string()));
                    }
                }
                if let Some(std) = std.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
                    return Err(bad("positive standard deviations".into(), std.to_string()));
                }
            }
        }
        Ok(())
    }

    /// Writes it as JSON, beside `path` and then renamed.
    ///
    /// # Errors
    ///
    /// [`DataError::Write`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_vec_pretty(self).expect("numbers and names have a JSON form");
        crate::record::write_whole(path, &json)
    }

    /// Reads what [`Standardisation::save`] wrote.
    ///
    /// # Errors
    ///
    /// [`DataError::Read`], [`DataError::Malformed`].
    pub fn load(path: &Path) -> Result<Self> {
        let json = fs::read(path).map_err(|cause| DataError::Read { path: path.into(), cause })?;
        let malformed =
            |reason| DataError::Malformed { path: path.into(), format: "standardisation", reason };
        let found: Self = serde_json::from_slice(&json).map_err(|e| malformed(e.to_string()))?;
        if !(1..=Self::VERSION).contains(&found.version) {
            let reason =
                format!("expected version 1 or {}, found {}", Self::VERSION, found.version);
            return Err(malformed(reason));
        }
        Ok(found)
    }

    fn each(&self, modality: &str, values: &mut [f32], change: impl Fn(&mut f32, f64, f64)) {
        let Some(Moments { mean, std, .. }) = self.moments(modality) else { return };
        for row in values.chunks_exact_mut(mean.len()) {
            for ((value, &mean), &std) in row.iter_mut().zip(mean).zip(std) {
                change(value, mean, std);
            }
        }
    }
}

/// Moments of a feature, one value after the other (Welford).
#[derive(Clone, Copy, Debug)]
struct Running {
    count: f64,
    mean: f64,
    squares: f64,
    low: f64,
    high: f64,
}

impl Running {
    const NONE: Self =
        Self { count: 0.0, mean: 0.0, squares: 0.0, low: f64::INFINITY, high: f64::NEG_INFINITY };

    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let distance = value - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (value - self.mean);
        self.low = self.low.min(value);
        self.high = self.high.max(value);
    }

    /// What is known of the values of both.
    fn joined(self, other: &Self) -> Self {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let apart = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + apart * other.count / count,
            squares: self.squares
                + other.squares
                + apart * apart * self.count * other.count / count,
            low: self.low.min(other.low),
            high: self.high.max(other.high),
        }
    }

    /// Rounding gives a constant feature a tiny deviation, by which nothing must be divided.
    fn std(&self) -> f64 {
        let std = (self.squares / self.count).sqrt();
        if self.count == 0.0 || self.low == self.high || std == 0.0 { 1.0 } else { std }
    }
}

/// Moments of one modality over its observed cells; `None` for an image or a volume whose values are
/// in `[0, 1]`.
fn moments(data: &dyn Dataset, modality: usize, spec: &ModalitySpec) -> Result<Option<Moments>> {
    let image = spec.is_grid();
    let known = data.schema().and_then(|schema| schema.modality(spec.name.as_str()));
    // What was scaled by its range when it was read is in `[0, 1]`.
    if image && known.is_some_and(|known| !known.scale.is_identity()) {
        return Ok(None);
    }
    let features = spec.features();
    let family = spec.likelihood.family();
    let normalisations: Vec<_> = (0..features).map(|f| family.normalisation(f)).collect();
    let mut running = vec![Running::NONE; features];
    let mut logarithms = vec![Running::NONE; features];
    let mut add = |row: usize, values: &[f64]| {
        let cells = data.cells(row, modality);
        for (feature, &value) in values.iter().enumerate() {
            if cells.as_ref().is_none_or(|cells| cells[feature]) {
                running[feature].add(value);
                if normalisations[feature] == Normalisation::GeometricMean {
                    logarithms[feature].add(value.ln());
                }
            }
        }
    };
    let observing: Vec<usize> =
        (0..data.len()).filter(|&row| data.presence(row).contains(modality)).collect();
    let mut buffer = vec![0.0; features];
    for chunk in observing.chunks(CHUNK) {
        let coarse: Vec<usize> = chunk
            .iter()
            .copied()
            .filter(|&row| {
                let precise = data.precise(row, modality, &mut buffer);
                if precise {
                    add(row, &buffer);
                }
                !precise
            })
            .collect();
        for (row, values) in coarse.iter().zip(batch_rows(data, &coarse, modality)?) {
            add(*row, &values);
        }
    }
    if image && running.iter().all(|pixel| pixel.low >= 0.0 && pixel.high <= 1.0) {
        return Ok(None);
    }
    if spec.is_volume() && normalisations.iter().all(|&way| way == Normalisation::Standard) {
        let all = running.iter().fold(Running::NONE, Running::joined);
        let of_all = |value: f64| vec![as_written(value); features];
        let range = vec![[as_written(all.low), as_written(all.high)]; features];
        return Ok(Some(Moments { mean: of_all(all.mean), std: of_all(all.std()), range }));
    }
    // Pixels are not units of their own: each would be as loud as the others.
    let shared = image.then(|| {
        let pool = |pool: Running, pixel: &Running| Running {
            count: pool.count + pixel.count,
            squares: pool.squares + pixel.squares,
            low: pool.low.min(pixel.low),
            high: pool.high.max(pixel.high),
            ..pool
        };
        running.iter().fold(Running::NONE, pool).std()
    });
    let moments = |(place, feature): (usize, &Running)| match normalisations[place] {
        Normalisation::Standard => (feature.mean, shared.unwrap_or_else(|| feature.std())),
        Normalisation::GeometricMean => (0.0, logarithms[place].mean.exp()),
        Normalisation::None => (0.0, 1.0),
    };
    let (mean, std) = running
        .iter()
        .enumerate()
        .map(moments)
        .map(|(mean, std)| (as_written(mean), as_written(std)))
        .unzip();
    Ok(Some(Moments {
        range: running
            .iter()
            .map(|feature| if feature.count > 0.0 { [feature.low, feature.high] } else { [0.0; 2] })
            .map(|ends| ends.map(as_written))
            .collect(),
        mean,
        std,
    }))
}

/// Says which values lie far outside of the training's range: the first of each column, of at most
/// five columns.
fn outside_of_training(
    data: &MemoryDataset,
    modality: usize,
    moments: &Moments,
    outside: &[(usize, usize)],
) -> Vec<Warning> {
    let spec = &data.modalities()[modality];
    let known = data.schema().and_then(|schema| schema.modality(spec.name.as_str()));
    let mut columns: Vec<usize> = outside.iter().map(|&(_, feature)| feature).collect();
    columns.sort_unstable();
    columns.dedup();
    let mut values = vec![0.0; spec.features()];
    let mut warnings = Vec::new();
    for &feature in columns.iter().take(5) {
        let rows: Vec<_> = outside.iter().filter(|place| place.1 == feature).map(|p| p.0).collect();
        let column = known.map_or_else(|| feature.to_string(), |known| known.column(feature));
        data.precise(rows[0], modality, &mut values);
        let [low, high] = moments.range[feature];
        let before = if low == high {
            format!("was {low} in all training rows")
        } else {
            format!("went from {low} to {high} in training")
        };
        warnings.push(Warning::new(
            format!("modality `{}`, column `{column}`", spec.name),
            format!(
                "it {before} and is {} in row `{}`; {} rows are that far outside",
                values[feature],
                data.id(rows[0]),
                rows.len()
            ),
            format!(
                "they are drawn in to {LEEWAY} deviations beyond the training; check the column"
            ),
        ));
    }
    if columns.len() > 5 {
        warnings.push(Warning::new(
            format!("modality `{}`", spec.name),
            format!("{} more columns have values far outside of training", columns.len() - 5),
            "check units and scale of the file",
        ));
    }
    warnings
}

/// The next number that JSON gives back as it was written, so that a run's moments are the same
/// before and after they are saved: the reader is exact but for the last digit.
pub(crate) fn as_written(value: f64) -> f64 {
    let read = |value: f64| {
        let text = serde_json::to_string(&value).ok()?;
        serde_json::from_str(&text).ok()
    };
    let steps = std::iter::successors(Some(value), |&value| read(value));
    let mut pairs = steps.clone().zip(steps.skip(1)).take(16);
    pairs.find(|(before, after)| before == after).map_or(value, |(_, fixed)| fixed)
}

/// Rows of one modality as a batch has them.
fn batch_rows(data: &dyn Dataset, rows: &[usize], modality: usize) -> Result<Vec<Vec<f64>>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let spec = &data.modalities()[modality];
    let unreadable = |reason: String| DataError::Rows { reason };
    let batch =
        data.batch(rows, &Device::default()).map_err(|error| unreadable(error.to_string()))?;
    let values = batch.values()[modality].dense().ok_or_else(|| {
        unreadable(format!("modality `{}` holds tokens, which have no mean", spec.name))
    })?;
    let values: Vec<f32> = values
        .clone()
        .into_data()
        .try_into_vec()
        .map_err(|error| unreadable(format!("modality `{}`: {error:?}", spec.name)))?;
    let row = |row: &[f32]| row.iter().copied().map(f64::from).collect();
    Ok(values.chunks(spec.features()).map(row).collect())
}

/// `[features]` as a tensor that broadcasts over `values`, `[.., features]`.
fn rows<const D: usize, const N: usize>(
    values: &Tensor<D>,
    features: [&Vec<f64>; N],
) -> [Tensor<D>; N] {
    features.map(|features| {
        let mut shape = [1; D];
        shape[D - 1] = features.len();
        assert_eq!(values.dims()[D - 1], features.len(), "one value per feature");
        let features: Vec<f32> = features.iter().map(|&value| value as f32).collect();
        Tensor::from_data(TensorData::new(features, shape), &values.device())
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use multivae_core::distribution::Likelihood;
    use multivae_core::subset::Subset;
    use proptest::prelude::*;

    use super::*;
    use crate::cells::MissingCells;

    fn table(values: Vec<f32>, features: usize) -> MemoryDataset {
        let a = ModalitySpec::new("a", &[features]).expect("valid");
        let rows = values.len() / features;
        let image = ModalitySpec::new("image", &[1, 1, 1]).expect("valid");
        let image = (image, vec![0.5f32; rows].into());
        MemoryDataset::new(vec![(a, values.into()), image]).expect("whole rows")
    }

    proptest! {
        #[test]
        fn inversion_undoes_standardisation(
            values in proptest::collection::vec(-1e3f32..1e3, 30),
        ) {
            let data = table(values.clone(), 3);
            let fitted = Standardisation::fit(&data, Standardise::Auto).expect("observed");
            let mut changed = fitted.apply_to(&data).expect("its own").values(0);
            fitted.invert_slice("a", &mut changed);
            for (a, b) in changed.iter().zip(&values) {
                prop_assert!((a - b).abs() <= 1e-3 * b.abs().max(1.0), "{a} {b}");
            }
        }
    }

    #[test]
    fn standardised_rows_have_mean_0_and_deviation_1() {
        let data = table(vec![1.0, 10.0, 3.0, 30.0, 5.0, 50.0], 2);
        let fitted = Standardisation::fit(&data, Standardise::Auto).expect("observed");
        let data = fitted.apply_to(&data).expect("its own");
        let again = Standardisation::fit(&data, Standardise::Auto).expect("observed");
        let Moments { mean, std, .. } = again.moments("a").expect("a table");
        assert!(mean.iter().all(|m| m.abs() < 1e-6), "{mean:?}");
        assert!(std.iter().all(|s| (s - 1.0).abs() < 1e-6), "{std:?}");
    }

    #[test]
    fn missing_rows_have_no_part_in_it() {
        let data = table(vec![1.0, 3.0, 1e9], 1);
        let presence = vec![Subset::full(2), Subset::full(2), Subset::single(1)];
        let data = data.with_presence(presence).expect("a part");
        let fitted = Standardisation::fit(&data, Standardise::Auto).expect("observed");
        assert_eq!(
            fitted.moments("a"),
            Some(&Moments { mean: vec![2.0], std: vec![1.0], range: vec![[1.0, 3.0]] })
        );
    }

    #[test]
    fn missing_cells_have_no_part_in_it_whatever_stands_there() {
        let data = table(vec![1.0, 7.0, 3.0, 1e9, 1e9, 9.0], 2);
        let cells = MissingCells::from_flags(2, [false, false, false, true, true, false]);
        let data = data.with_missing_cells(vec![cells, None]).expect("rows keep a cell");
        let fitted = Standardisation::fit(&data, Standardise::Auto).expect("observed");
        let range = vec![[1.0, 3.0], [7.0, 9.0]];
        let expected = Moments { mean: vec![2.0, 8.0], std: vec![1.0, 1.0], range };
        assert_eq!(fitted.moments("a"), Some(&expected));
        let changed = fitted.apply_to(&data).expect("its own").values(0);
        assert_eq!(changed, [-1.0, -1.0, 1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn large_offsets_keep_their_differences_both_ways() {
        let spec = ModalitySpec::new("when", &[2]).expect("valid");
        let seconds = |row: usize| 1_700_000_000.0 + 60.5 * row as f64;
        let genome = |row: usize| 155_000_000.0 + row as f64;
        let values: Vec<f64> = (0..20).flat_map(|row| [seconds(row), genome(row)]).collect();
        let storage = Storage::precise(values.clone());
        let data = MemoryDataset::new(vec![(spec, storage)]).expect("whole rows");
        let fitted = Standardisation::fit(&data, Standardise::Auto).expect("observed");
        let changed = fitted.apply_to(&data).expect("its own").values(0);
        // The same as without the offset.
        let step = 60.5 * (33.25f64).sqrt();
        assert!((fitted.moments("when").expect("a table").std[0] - step).abs() < 1e-6 * step);
        for (found, value) in fitted.invert_precise("when", &changed).iter().zip(&values) {
            assert!((found - value).abs() < 1e-3, "{found} {value}");
        }
    }

    #[test]
    fn voxels_share_one_mean_and_one_deviation_which_are_written_once() {
        let spec = ModalitySpec::new("mri", &[1, 17, 16, 16]).expect("valid");
        let values: Vec<f32> = (0..2 * 4352).map(|place| (place % 100) as f32 * 7.0).collect();
        let (count, sum) =
            (values.len() as f64, values.iter().copied().map(f64::from).sum::<f64>());
        let squares: f64 = values.iter().map(|&v| (f64::from(v) - sum / count).powi(2)).sum();
        let data = MemoryDataset::new(vec![(spec, values.into())]).expect("two rows");
        let fitted = Standardisation::fit(&data, Standardise::Auto).expect("observed");
        let moments = fitted.moments("mri").expect("outside of the unit range");
        let (mean, std) = moments.of(4351);
        assert!((mean - sum / count).abs() < 1e-9 && (std - (squares / count).sqrt()).abs() < 1e-9);
        assert_eq!((moments.of(0), moments.range[5]), ((mean, std), [0.0, 693.0]));
        let text = serde_json::to_string(&fitted).expect("plain data");
        assert!(text.len() < 400, "{text}");
        assert_eq!(serde_json::from_str::<Standardisation>(&text).expect("its own"), fitted);
        let huge = text.replace("4352", "99999999999");
        assert!(serde_json::from_str::<Standardisation>(&huge).is_err());
    }

    #[test]
    fn images_outside_of_unit_range_share_one_deviation() {
        let image = ModalitySpec::new("curve", &[1, 2, 1]).expect("valid");
        let values = vec![100.0f32, 300.0, 100.0 + 2.0, 300.0 + 14.0];
        let data = MemoryDataset::new(vec![(image, values.clone().into())]).expect("two rows");
        let fitted = Standardisation::fit(&data, Standardise::Auto).expect("observed");
        let moments = fitted.moments("curve").expect("not in the unit range");
        // Squares of 1, 7, 1 and 7 have the mean 25.
        assert_eq!((&moments.mean[..], &moments.std[..]), (&[101.0, 307.0][..], &[5.0, 5.0][..]));
        let changed = fitted.apply_to(&data).expect("its own");
        assert_eq!(changed.values(0), [-0.2, -1.4, 0.2, 1.4]);
        let mut again = changed.values(0);
        fitted.invert_slice("curve", &mut again);
        assert_eq!(again, values);
    }

    #[test]
    fn files_of_single_precision_agree_with_what_is_fitted_now() {
        let data = table(vec![0.1, 0.7, 0.3], 1);
        let now = Standardisation::fit(&data, Standardise::Auto).expect("observed");
        let mut then = now.clone();
        then.version = 1;
        let moments = then.modalities[0].moments.as_mut().expect("a table");
        moments.mean[0] = f64::from(moments.mean[0] as f32);
        assert!(now.agrees(&then) && then.agrees(&now) && now.agrees(&now));
        then.version = 2;
        assert!(!now.agrees(&then));
        then.modalities[0].moments = None;
        assert!(!now.agrees(&then));
        then.version = 1;
        assert!(now.agrees(&then));
    }

    #[test]
    fn a_constant_feature_is_shifted_and_not_scaled() {
        let data = table(vec![0.1; 7], 1);
        let fitted = Standardisation::fit(&data, Standardise::Auto).expect("observed");
        assert_eq!(fitted.moments("a").expect("a table").std, [1.0]);
    }

    #[test]
    fn images_and_other_likelihoods_stay() {
        let data = table(vec![1.0, 2.0], 1);
        let fitted = Standardisation::fit(&data, Standardise::Auto).expect("observed");
        assert!(fitted.moments("a").is_some() && fitted.moments("image").is_none());
        let none = Standardisation::fit(&data, Standardise::None).expect("observed");
        assert_eq!(none, Standardisation::none(data.modalities()));
        let spec = ModalitySpec::new("b", &[1]).expect("valid");
        assert!(!Standardise::Auto.takes(&spec.with_likelihood(Likelihood::Bernoulli {})));
    }

    #[test]
    fn tensors_are_changed_as_slices_are() {
        let data = table(vec![1.0, 10.0, 3.0, 30.0], 2);
        let fitted = Standardisation::fit(&data, Standardise::Auto).expect("observed");
        let device = Device::flex();
        let values = Tensor::<3>::from_floats([[[1.0, 10.0], [3.0, 30.0]]], &device);
        let changed = fitted.apply("a", values.clone());
        let found: Vec<f32> = changed.clone().into_data().try_into_vec().expect("floats");
        assert_eq!(found, fitted.apply_to(&data).expect("its own").values(0));
        fitted.invert("a", changed).into_data().assert_eq(&values.into_data(), true);
    }

    #[test]
    fn a_file_gives_back_what_was_saved() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("standardisation.json");
        let data = table(vec![0.1, 0.7, 0.3], 1);
        let fitted = Standardisation::fit(&data, Standardise::Auto).expect("observed");
        fitted.save(&path).expect("writable");
        assert_eq!(Standardisation::load(&path).expect("readable"), fitted);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        fs::write(&path, r#"{"version":3,"modalities":[]}"#).expect("writable");
        let error = Standardisation::load(&path).expect_err("another version");
        assert!(error.to_string().contains("expected version 1 or 2, found 3"), "{error}");
    }

    #[test]
    fn a_standardisation_of_other_data_is_refused_by_modality() {
        let fitted = Standardisation::fit(&table(vec![1.0, 2.0], 1), Standardise::Auto);
        let error = fitted.expect("observed").apply_to(&table(vec![1.0, 2.0], 2));
        let error = error.expect_err("two features");
        assert!(error.to_string().contains("modality `a`: expected 2 means, found 1"), "{error}");
        let error = Standardisation::none(&[]).apply_to(&table(vec![1.0], 1));
        let error = error.expect_err("unknown").to_string();
        assert!(error.starts_with("the model has no modality `a`"), "{error}");
    }

    #[test]
    fn a_modality_that_no_row_observes_is_refused() {
        let data = table(vec![1.0], 1).with_presence(vec![Subset::single(1)]).expect("a part");
        let error = Standardisation::fit(&data, Standardise::Auto).expect_err("unobserved");
        assert!(error.to_string().starts_with("modality `a`"), "{error}");
    }
}
