//! A trained model and what is asked of it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use multivae::{
    core::modality::ModalitySpec, data::MissingColumns, models::exchange::Entry,
    run::Run as Trained,
};
use multivae_cli::program::{self, Choice};
use numpy::{IntoPyArray, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::{prelude::*, types::PyDict};

use crate::{compute::detached, output};

/// A run, or a bundle, with its best weights. Its methods may be called from several threads.
#[pyclass(frozen, module = "multivae_rs._native")]
pub(crate) struct Run(Arc<Trained>);

#[pymethods]
impl Run {
    /// Opens a folder or an archive.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf, device: Option<String>) -> PyResult<Self> {
        detached(py, move || Ok(Self(Arc::new(program::open(&path, device.as_deref())?))))
    }

    /// The model without its run, as the bytes of an archive.
    fn archive(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        detached(py, || Ok(self.0.bundle()?.to_bytes()?))
    }

    /// Of the bytes of an archive.
    #[staticmethod]
    fn of_archive(py: Python<'_>, bytes: Vec<u8>, device: Option<String>) -> PyResult<Self> {
        detached(py, move || Ok(Self(Arc::new(program::open_bytes(&bytes, device.as_deref())?))))
    }

    /// Writes the bundle of the model as a folder, which must be new.
    fn export(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        detached(py, || Ok(self.0.bundle()?.save(&path)?))
    }

    /// The configuration of the run as JSON.
    #[getter]
    fn config(&self, py: Python<'_>) -> PyResult<String> {
        detached(py, || Ok(serde_json::to_string(&self.0.folder.config)?))
    }

    /// Name, shape and likelihood of each modality.
    #[getter]
    fn modalities(&self) -> Vec<(String, Vec<usize>, String)> {
        let specs = self.0.trained.modalities().iter();
        let about = |spec: &ModalitySpec| {
            let likelihood = spec.likelihood.family().name().to_owned();
            (spec.name.to_string(), spec.shape.clone(), likelihood)
        };
        specs.map(about).collect()
    }

    /// How many parameters the model has.
    #[getter]
    fn parameters(&self) -> usize {
        multivae::prelude::Module::num_params(&self.0.trained.model)
    }

    /// Latent values, a part for each space.
    #[pyo3(signature = (source, *, given, samples, seed, batch_size, mask_columns))]
    #[allow(clippy::too_many_arguments, reason = "they are named where it is called")]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        source: Option<String>,
        given: Option<Vec<String>>,
        samples: Option<usize>,
        seed: u64,
        batch_size: usize,
        mask_columns: bool,
    ) -> PyResult<Bound<'py, PyDict>> {
        let choice = choice(given, None, samples, seed, batch_size, mask_columns);
        let done = detached(py, || program::encode(&self.0, source.as_deref(), &choice))?;
        output::of(py, done)
    }

    /// Modalities from those that are given.
    #[pyo3(signature = (source, *, given, target, samples, seed, batch_size, mask_columns))]
    #[allow(clippy::too_many_arguments, reason = "they are named where it is called")]
    fn generate<'py>(
        &self,
        py: Python<'py>,
        source: Option<String>,
        given: Option<Vec<String>>,
        target: Option<Vec<String>>,
        samples: Option<usize>,
        seed: u64,
        batch_size: usize,
        mask_columns: bool,
    ) -> PyResult<Bound<'py, PyDict>> {
        let choice = choice(given, target, samples, seed, batch_size, mask_columns);
        let done = detached(py, || program::generate(&self.0, source.as_deref(), &choice))?;
        output::of(py, done)
    }

    /// Rows of the prior.
    #[pyo3(signature = (rows, *, target, seed, batch_size))]
    fn sample<'py>(
        &self,
        py: Python<'py>,
        rows: usize,
        target: Option<Vec<String>>,
        seed: u64,
        batch_size: usize,
    ) -> PyResult<Bound<'py, PyDict>> {
        let choice = choice(None, target, None, seed, batch_size, false);
        let done = detached(py, || program::sample(&self.0, rows, &choice))?;
        output::of(py, done)
    }

    /// Rows with their missing values imputed.
    #[pyo3(signature = (source, *, samples, seed, batch_size, mask_columns))]
    fn impute<'py>(
        &self,
        py: Python<'py>,
        source: Option<String>,
        samples: Option<usize>,
        seed: u64,
        batch_size: usize,
        mask_columns: bool,
    ) -> PyResult<Bound<'py, PyDict>> {
        let choice = choice(None, None, samples, seed, batch_size, mask_columns);
        let done = detached(py, || program::impute(&self.0, source.as_deref(), &choice))?;
        output::of(py, done)
    }

    /// The bound of rows and its parts, as JSON.
    #[pyo3(signature = (source, *, seed, batch_size, mask_columns))]
    fn score(
        &self,
        py: Python<'_>,
        source: Option<String>,
        seed: u64,
        batch_size: usize,
        mask_columns: bool,
    ) -> PyResult<String> {
        let choice = choice(None, None, None, seed, batch_size, mask_columns);
        detached(py, || {
            let evaluation = program::score(&self.0, source.as_deref(), &choice)?;
            Ok(serde_json::to_string(&evaluation)?)
        })
    }

    /// The same model with other weights, all of them by their names.
    fn with_weights(
        &self,
        py: Python<'_>,
        weights: BTreeMap<String, PyReadonlyArrayDyn<'_, f32>>,
    ) -> PyResult<Self> {
        let entry = |(name, values): (String, PyReadonlyArrayDyn<'_, f32>)| {
            let shape = values.shape().to_vec();
            Ok(Entry { name, shape, values: values.as_slice()?.to_vec() })
        };
        let entries = weights.into_iter().map(entry).collect::<PyResult<Vec<_>>>()?;
        detached(py, || Ok(Self(Arc::new(program::with_weights(&self.0, entries)?))))
    }

    /// The weights by the names that PyTorch's libraries have for them.
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let bundle = detached(py, || Ok(self.0.bundle()?))?;
        let whole = PyDict::new(py);
        for entry in bundle.weights() {
            let values = entry.values.clone().into_pyarray(py).reshape(entry.shape.clone())?;
            whole.set_item(&entry.name, values)?;
        }
        Ok(whole)
    }
}

fn choice(
    given: Option<Vec<String>>,
    target: Option<Vec<String>>,
    samples: Option<usize>,
    seed: u64,
    batch_size: usize,
    mask_columns: bool,
) -> Choice {
    let missing_columns = if mask_columns { MissingColumns::Mask } else { MissingColumns::Refuse };
    Choice { given, target, samples, seed, batch_size, missing_columns }
}
