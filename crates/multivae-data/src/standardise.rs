//! Standardisation of tables.

use std::{fs, path::Path, sync::Arc};

use burn::tensor::{Tensor, TensorData};
use multivae_core::{dataset::Dataset, modality::ModalitySpec};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    error::{DataError, Result},
    memory::{MemoryDataset, Storage},
};

/// Whether modalities are standardised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standardise {
    /// Modalities with a normal or Laplace likelihood that are not images.
    #[default]
    Auto,
    /// None.
    None,
}

impl Standardise {
    fn takes(self, spec: &ModalitySpec) -> bool {
        self == Self::Auto && spec.likelihood.family().is_standardised() && !spec.is_image()
    }
}

/// Mean and standard deviation of each feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moments {
    /// Mean of each feature.
    pub mean: Vec<f32>,
    /// Standard deviation of each feature (divisor: the number of rows); 1 for a constant feature.
    pub std: Vec<f32>,
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
    /// One entry a modality, in the data's order.
    pub modalities: Vec<Entry>,
}

impl Standardisation {
    /// The version that this crate writes and reads.
    pub const VERSION: u32 = 1;

    /// Leaves all values as they are.
    pub fn none(specs: &[ModalitySpec]) -> Self {
        let entry = |spec: &ModalitySpec| Entry { modality: spec.name.to_string(), moments: None };
        Self { version: Self::VERSION, modalities: specs.iter().map(entry).collect() }
    }

    /// Fits mean and standard deviation of each feature to the observed rows of `data`.
    ///
    /// # Errors
    ///
    /// [`DataError::Unobserved`] for a modality that no row observes.
    pub fn fit(data: &MemoryDataset, which: Standardise) -> Result<Self> {
        let fit = |(m, spec): (usize, &ModalitySpec)| {
            if !(0..data.len()).any(|row| data.presence(row).contains(m)) {
                return Err(DataError::Unobserved { modality: spec.name.to_string() });
            }
            let moments = which.takes(spec).then(|| moments(data, m));
            Ok(Entry { modality: spec.name.to_string(), moments })
        };
        let specs = data.modalities();
        let entries: Vec<_> = specs.par_iter().enumerate().map(fit).collect();
        let modalities = entries.into_iter().collect::<Result<_>>()?;
        Ok(Self { version: Self::VERSION, modalities })
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
            Some(Moments { mean, std }) => {
                let [mean, std] = rows(&values, [mean, std]);
                (values - mean) / std
            }
            None => values,
        }
    }

    /// Undoes [`Standardisation::apply`] on `[.., features]`.
    ///
    /// # Panics
    ///
    /// If the last axis has another length than the modality has features.
    pub fn invert<const D: usize>(&self, modality: &str, values: Tensor<D>) -> Tensor<D> {
        match self.moments(modality) {
            Some(Moments { mean, std }) => {
                let [mean, std] = rows(&values, [mean, std]);
                values * std + mean
            }
            None => values,
        }
    }

    /// Standardises rows in place, flattened `[.., features]`.
    pub fn apply_slice(&self, modality: &str, values: &mut [f32]) {
        self.each(modality, values, |value, mean, std| *value = (*value - mean) / std);
    }

    /// Undoes [`Standardisation::apply_slice`].
    pub fn invert_slice(&self, modality: &str, values: &mut [f32]) {
        self.each(modality, values, |value, mean, std| *value = *value * std + mean);
    }

    /// The data set with standardised values; modalities that stay are shared.
    ///
    /// # Errors
    ///
    /// As [`Standardisation::check`].
    pub fn apply_to(&self, data: &MemoryDataset) -> Result<MemoryDataset> {
        self.check(data.modalities())?;
        let apply = |(m, spec): (usize, &ModalitySpec)| {
            let storage = data.storage(m);
            if self.moments(spec.name.as_str()).is_none() {
                return storage.clone();
            }
            let mut values = vec![0.0; storage.len()];
            storage.read(0, &mut values);
            self.apply_slice(spec.name.as_str(), &mut values);
            Arc::new(Storage::Floats(values))
        };
        let values = data.modalities().par_iter().enumerate().map(apply).collect();
        Ok(data.clone().with_storage(values))
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
                return Err(bad("an entry".into(), names()));
            };
            if let Some(Moments { mean, std }) = &entry.moments {
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
        let beside = path.with_extension("json.partial");
        fs::write(&beside, json)
            .and_then(|()| fs::rename(&beside, path))
            .map_err(|cause| DataError::Write { path: path.into(), cause })
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
        if found.version != Self::VERSION {
            let reason = format!("expected version {}, found {}", Self::VERSION, found.version);
            return Err(malformed(reason));
        }
        Ok(found)
    }

    fn each(&self, modality: &str, values: &mut [f32], change: impl Fn(&mut f32, f32, f32)) {
        let Some(Moments { mean, std }) = self.moments(modality) else { return };
        for row in values.chunks_exact_mut(mean.len()) {
            for ((value, &mean), &std) in row.iter_mut().zip(mean).zip(std) {
                change(value, mean, std);
            }
        }
    }
}

/// Moments of one modality over the rows that observe it, in two passes and double precision.
fn moments(data: &MemoryDataset, modality: usize) -> Moments {
    let features = data.modalities()[modality].features();
    let storage = &**data.storage(modality);
    let rows: Vec<usize> = (0..data.len())
        .filter(|&row| data.presence(row).contains(modality))
        .map(|row| data.stored_rows()[row])
        .collect();
    let n = rows.len() as f64;
    let mut buffer = vec![0.0; features];
    let mut mean = vec![0.0f64; features];
    let mut range = vec![(f32::INFINITY, f32::NEG_INFINITY); features];
    for row in &rows {
        storage.read(row * features, &mut buffer);
        for ((&value, mean), (low, high)) in buffer.iter().zip(&mut mean).zip(&mut range) {
            *mean += f64::from(value) / n;
            *low = low.min(value);
            *high = high.max(value);
        }
    }
    let mut variance = vec![0.0f64; features];
    for row in &rows {
        storage.read(row * features, &mut buffer);
        for ((&value, mean), variance) in buffer.iter().zip(&mean).zip(&mut variance) {
            *variance += (f64::from(value) - mean).powi(2) / n;
        }
    }
    // Rounding gives a constant feature a tiny deviation, by which nothing must be divided.
    let std = |(variance, (low, high)): (f64, (f32, f32))| {
        let std = variance.sqrt() as f32;
        if low == high || std == 0.0 { 1.0 } else { std }
    };
    Moments {
        mean: mean.into_iter().map(|mean| mean as f32).collect(),
        std: variance.into_iter().zip(range).map(std).collect(),
    }
}

/// `[features]` as a tensor that broadcasts over `values`, `[.., features]`.
fn rows<const D: usize, const N: usize>(
    values: &Tensor<D>,
    features: [&Vec<f32>; N],
) -> [Tensor<D>; N] {
    features.map(|features| {
        let mut shape = [1; D];
        shape[D - 1] = features.len();
        assert_eq!(values.dims()[D - 1], features.len(), "one value a feature");
        Tensor::from_data(TensorData::new(features.clone(), shape), &values.device())
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use multivae_core::distribution::Likelihood;
    use multivae_core::subset::Subset;
    use proptest::prelude::*;

    use super::*;

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
        let Moments { mean, std } = again.moments("a").expect("a table");
        assert!(mean.iter().all(|m| m.abs() < 1e-6), "{mean:?}");
        assert!(std.iter().all(|s| (s - 1.0).abs() < 1e-6), "{std:?}");
    }

    #[test]
    fn missing_rows_have_no_part_in_it() {
        let data = table(vec![1.0, 3.0, 1e9], 1);
        let presence = vec![Subset::full(2), Subset::full(2), Subset::single(1)];
        let data = data.with_presence(presence).expect("a part");
        let fitted = Standardisation::fit(&data, Standardise::Auto).expect("observed");
        assert_eq!(fitted.moments("a"), Some(&Moments { mean: vec![2.0], std: vec![1.0] }));
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
        fs::write(&path, r#"{"version":2,"modalities":[]}"#).expect("writable");
        let error = Standardisation::load(&path).expect_err("another version");
        assert!(error.to_string().contains("expected version 1, found 2"), "{error}");
    }

    #[test]
    fn a_standardisation_of_other_data_is_refused_by_modality() {
        let fitted = Standardisation::fit(&table(vec![1.0, 2.0], 1), Standardise::Auto);
        let error = fitted.expect("observed").apply_to(&table(vec![1.0, 2.0], 2));
        let error = error.expect_err("two features");
        assert!(error.to_string().contains("modality `a`: expected 2 means, found 1"), "{error}");
        let error = Standardisation::none(&[]).apply_to(&table(vec![1.0], 1));
        assert!(matches!(error, Err(DataError::Standardisation { .. })));
    }

    #[test]
    fn a_modality_that_no_row_observes_is_refused() {
        let data = table(vec![1.0], 1).with_presence(vec![Subset::single(1)]).expect("a part");
        let error = Standardisation::fit(&data, Standardise::Auto).expect_err("unobserved");
        assert!(error.to_string().starts_with("modality `a`"), "{error}");
    }
}
