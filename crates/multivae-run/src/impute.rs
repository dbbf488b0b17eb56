//! Missing values, from what their rows observe.

use multivae_core::{
    dataset::Dataset,
    distribution::Likelihood,
    model::{Draws, MultimodalModel},
    noise::Noise,
    pass::{self, Pass},
    schema::Schema,
    subset::Subset,
};
use multivae_data::Standardisation;

use crate::{
    align::AlignedDataset,
    error::Result,
    run::{OpenedRows, Run},
    trained::Trained,
};

/// Values that are drawn at once at most, of all samples of the rows of a batch.
const AT_ONCE: usize = 1 << 24;
/// The quantiles of an interval: a central one of 90 %.
const ENDS: [f64; 2] = [0.05, 0.95];

/// How missing values are imputed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impute {
    /// Rows at once, at least 1: memory against speed. Draws do not depend on it.
    pub batch_size: usize,
    /// What draws derive from.
    pub seed: u64,
    /// Draws of each value from `p(x | z)`, `z` from `q(z | observed)`. Without them a value is the
    /// mean of `p(x | z)` at the mean of `q(z | observed)`, and has no interval.
    pub samples: Option<usize>,
}

/// How far the draws of a value lie apart, in the units of its file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Their standard deviation.
    pub std: f64,
    /// Their 5 % quantile.
    pub low: f64,
    /// Their 95 % quantile.
    pub high: f64,
}

/// The imputed values of one modality, in the units of its file.
#[derive(Clone, Debug, Default)]
pub struct Imputed {
    features: usize,
    /// Place of each row among those below.
    places: Vec<Option<usize>>,
    /// Which values are imputed, `[rows with some, features]`.
    missing: Vec<bool>,
    means: Vec<f64>,
    /// Empty without draws.
    intervals: Vec<Interval>,
    /// Imputed values of rows that observe others of this modality.
    pub cells: usize,
    /// The rows of these values.
    pub partial: usize,
    /// Rows that lack the modality, all of whose values are imputed.
    pub whole: usize,
    /// Rows with missing values that cannot be imputed: of a modality that a conditional model takes
    /// as given, or in a row that lacks such a one.
    pub left: usize,
}

impl Imputed {
    /// Whether nothing is imputed.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// The value that is imputed; `None` for one that is observed or cannot be imputed.
    pub fn value(&self, row: usize, feature: usize) -> Option<f64> {
        Some(self.means[self.place(row, feature)?])
    }

    /// How far its draws lie apart; `None` without draws, too.
    pub fn interval(&self, row: usize, feature: usize) -> Option<Interval> {
        self.intervals.get(self.place(row, feature)?).copied()
    }

    fn place(&self, row: usize, feature: usize) -> Option<usize> {
        let place = self.places[row]? * self.features + feature;
        self.missing[place].then_some(place)
    }
}

impl Run {
    /// Every missing value of the rows, from all that each row observes, in the units of the rows'
    /// files; of modalities that they have no files of, in those of the training. One entry per
    /// modality of the model.
    ///
    /// # Errors
    ///
    /// [`RunError::Lacks`](crate::RunError::Lacks) if the model does not encode or generate,
    /// [`RunError::Pass`](crate::RunError::Pass).
    pub fn impute(&self, rows: &OpenedRows, how: &Impute) -> Result<Vec<Imputed>> {
        let specs = self.trained.modalities();
        let known = self.folder.schema()?.unwrap_or_else(|| Schema::of_specs(specs));
        let mut schema = known.clone();
        if let Some(found) = rows.files.data.schema() {
            schema.modalities = found.modalities.clone();
            let absent = known.modalities.into_iter();
            schema
                .modalities
                .extend(absent.filter(|m| found.modality(m.spec.name.as_str()).is_none()));
        }
        self.trained.impute(&rows.data, &schema, how)
    }
}

impl Trained {
    /// Every missing value of data, in the units that its schema says; see [`Run::impute`].
    ///
    /// # Errors
    ///
    /// As [`Run::impute`].
    pub fn impute(
        &self,
        data: &AlignedDataset,
        schema: &Schema,
        how: &Impute,
    ) -> Result<Vec<Imputed>> {
        let (encoder, generator) = (self.model.encoder()?, self.model.generator()?);
        let (specs, targets) = (self.modalities(), generator.generated());
        let mut imputed: Vec<Imputed> = specs
            .iter()
            .map(|spec| Imputed {
                features: spec.features(),
                places: vec![None; data.len()],
                ..Imputed::default()
            })
            .collect();
        // Of a mixed table a class is one value, be it several features.
        let values: Vec<_> =
            specs.iter().map(|spec| Some(schema.modality(spec.name.as_str())?.cells())).collect();
        let mut rows = Vec::new();
        for row in 0..data.len() {
            let given = encoder.conditions();
            let lacks =
                given.is_some_and(|needed| needed.union(data.presence(row)) != data.presence(row));
            let mut any = false;
            for (m, imputed) in imputed.iter_mut().enumerate() {
                let missing = data.missing(row, m);
                let count = match &values[m] {
                    Some(values) => values.iter().filter(|value| missing[value.start]).count(),
                    None => missing.iter().filter(|missing| **missing).count(),
                };
                if count == 0 {
                    continue;
                }
                if lacks || !targets.contains(m) {
                    imputed.left += 1;
                    continue;
                }
                any = true;
                imputed.places[row] = Some(imputed.missing.len() / imputed.features);
                imputed.missing.extend(missing);
                if data.presence(row).contains(m) {
                    imputed.cells += count;
                    imputed.partial += 1;
                } else {
                    imputed.whole += 1;
                }
            }
            if any {
                rows.push(row);
            }
        }
        let widest = specs.iter().map(|spec| spec.features()).max().unwrap_or(1);
        let size = (AT_ONCE / (how.samples.unwrap_or(1) * widest)).clamp(1, how.batch_size);
        let pass = Pass { batch_size: size, seed: how.seed };
        let draws = how.samples.map_or(Draws::Mean, Draws::Samples);
        let incomplete = data.clone().select(&rows);
        for batch in pass.batches(&incomplete, &self.device) {
            let (range, batch) = batch?;
            let mut noise = Noise::of(&batch);
            let all = Subset::full(specs.len());
            let latent = encoder.encode(&batch, all, draws, &mut noise);
            for (m, output) in targets.iter().zip(generator.decode(&latent, targets)) {
                let offset = batch.offset(m);
                let spec = &specs[m];
                let name = spec.name.as_str();
                let means = generator.mean(output.clone(), m, offset);
                let drawn = how.samples.map(|_| match spec.likelihood {
                    // Single classes say less than the probabilities that they are drawn by.
                    Likelihood::Categorical { .. } => means.clone(),
                    _ => generator.sample(output, m, offset, &mut noise),
                });
                let imputed = &mut imputed[m];
                let places: Vec<_> =
                    rows[range.clone()].iter().map(|&row| imputed.places[row]).collect();
                if places.iter().all(Option::is_none) {
                    continue;
                }
                let means = pass::read(means.mean_dim(0), name)?;
                let means = self.standardisation.file_units(schema, name, &means);
                let drawn = drawn.map(|drawn| pass::read(drawn, name)).transpose()?;
                let units = Units { standardisation: &self.standardisation, schema, name };
                for (i, _) in places.iter().enumerate().filter(|(_, place)| place.is_some()) {
                    // Rows come in the order of their places.
                    let of_row = i * imputed.features..(i + 1) * imputed.features;
                    imputed.means.extend(&means[of_row.clone()]);
                    if let Some(drawn) = &drawn {
                        let width = range.len() * imputed.features;
                        imputed.intervals.extend(units.intervals(drawn, width, of_row));
                    }
                }
            }
        }
        Ok(imputed)
    }
}

/// The way back from the values that a model sees to those of a file.
struct Units<'a> {
    standardisation: &'a Standardisation,
    schema: &'a Schema,
    name: &'a str,
}

impl Units<'_> {
    /// How far the draws of the values of a row lie apart; `width` values of each draw, of which
    /// `row` are the row's.
    fn intervals(&self, drawn: &[f32], width: usize, row: std::ops::Range<usize>) -> Vec<Interval> {
        let samples: Vec<Vec<f64>> = drawn
            .chunks_exact(width)
            .map(|sample| {
                self.standardisation.file_units(self.schema, self.name, &sample[row.clone()])
            })
            .collect();
        let n = samples.len();
        (0..row.len())
            .map(|feature| {
                let mut values: Vec<f64> = samples.iter().map(|sample| sample[feature]).collect();
                values.sort_unstable_by(f64::total_cmp);
                let mean = values.iter().sum::<f64>() / n as f64;
                let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
                let [low, high] = ENDS.map(|share| quantile(&values, share));
                Interval { std: (square / (n - 1).max(1) as f64).sqrt(), low, high }
            })
            .collect()
    }
}

/// A quantile of values in ascending order, interpolated between two of them.
fn quantile(values: &[f64], share: f64) -> f64 {
    let place = share * (values.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(values.len() - 1);
    let part = place - below as f64;
    values[below] + part * (values[above] - values[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let values = [0.0, 1.0, 2.0, 10.0];
        assert_eq!([0.0, 0.5, 1.0].map(|share| quantile(&values, share)), [0.0, 1.5, 10.0]);
        assert_eq!(quantile(&[3.0], 0.95), 3.0);
    }
}
