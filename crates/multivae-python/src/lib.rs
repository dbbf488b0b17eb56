//! The module `multivae_rs._native`: data of Python's libraries in, arrays out, and between them the
//! tasks of the program. What users see is in `python/multivae_rs`.

mod compute;
mod data;
mod output;
mod run;
mod train;

use multivae::{
    allocator::MiMalloc,
    device::{self, BACKENDS},
    models::ModelConfig,
    run::RunConfig,
};
use multivae_cli::program;
use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::{
        commented, compute::take_warnings, data::Data, defaults, devices, evaluate, main, models,
        run::Run, task, train::train,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// Names of the models, each with what it is in a line.
#[pyfunction]
fn models() -> Vec<(String, String)> {
    let named = |(name, about): (&str, &str)| (name.to_owned(), about.to_owned());
    ModelConfig::list().into_iter().map(|(name, about)| named((&name, &about))).collect()
}

/// All settings of a model with their defaults, as JSON.
#[pyfunction]
fn defaults(py: Python<'_>, model: String) -> PyResult<String> {
    compute::detached(py, move || Ok(serde_json::to_string(&RunConfig::named(&model)?)?))
}

/// Names of the devices of the backends that are built in.
#[pyfunction]
fn devices(py: Python<'_>) -> PyResult<Vec<String>> {
    let built = BACKENDS.iter().filter(|backend| backend.built);
    let named = |name: &'static str| device::names(name).unwrap_or_else(|| vec![name.to_owned()]);
    compute::detached(py, || Ok(built.flat_map(|backend| named(backend.name)).collect()))
}

/// All settings of a model with their defaults, as TOML whose comments say what they mean.
#[pyfunction]
fn commented(py: Python<'_>, model: String) -> PyResult<String> {
    compute::detached(py, move || program::defaults(&model))
}

/// What `multivae evaluate` measures, as JSON, and the page that shows it.
#[pyfunction]
fn evaluate(py: Python<'_>, words: Vec<String>) -> PyResult<(String, String)> {
    compute::detached(py, move || {
        let report = program::evaluate(words)?;
        Ok((serde_json::to_string(&report.measures)?, report.page()?))
    })
}

/// A task of the program with its arguments, whose lines are printed.
#[pyfunction]
fn task(py: Python<'_>, words: Vec<String>) -> PyResult<()> {
    compute::detached(py, move || program::task(words))
}

/// The program with these arguments; its exit code.
#[pyfunction]
fn main(py: Python<'_>, words: Vec<String>) -> u8 {
    py.detach(|| program::main(words))
}
