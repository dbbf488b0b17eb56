//! Work without the lock of the interpreter, and what becomes of its errors and warnings.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, OnceLock, PoisonError},
};

use anyhow::Result;
use multivae_cli::program;
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

/// Warnings that nobody has taken yet.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// More are of no use to anybody.
const MOST: usize = 100;

/// The warnings since they were last taken.
#[pyfunction]
pub(crate) fn take_warnings() -> Vec<String> {
    std::mem::take(&mut WARNINGS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Does work without the lock of the interpreter.
pub(crate) fn detached<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T> + Send,
) -> PyResult<T> {
    begin()?;
    let done = py.detach(|| caught(work));
    done.map_err(|error| raised(&error))
}

/// What is done, with a panic as an error.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // Nothing is used again of what was computed until then.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("unknown");
        Err(anyhow::anyhow!("a defect of multivae, please report it: {text}"))
    })
}

/// The exception of an error: `ValueError` if it is about what was given, else `RuntimeError`.
pub(crate) fn raised(error: &anyhow::Error) -> PyErr {
    let message = program::message(error);
    match program::is_about_input(error) {
        true => PyValueError::new_err(message),
        false => PyRuntimeError::new_err(message),
    }
}

/// What comes before the first work of a process; refuses work in a process that was forked after.
///
/// The threads of kernels stay behind in the other process, and who waits for them waits for ever.
pub(crate) fn begin() -> PyResult<()> {
    static PROCESS: OnceLock<u32> = OnceLock::new();
    let here = std::process::id();
    let first = *PROCESS.get_or_init(|| {
        multivae::allocator::keep_pages();
        let quiet = Targets::new()
            .with_default(Level::WARN)
            .with_targets(["ureq", "ureq_proto", "rustls"].map(|name| (name, Level::ERROR)));
        // A program that has Python in its own process may have set its own.
        let _ = tracing_subscriber::registry().with(Collected.with_filter(quiet)).try_init();
        here
    });
    if first == here {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(format!(
        "multivae has worked in process {first} before it was forked, and its threads are not in this \
         one ({here}): start processes by `multiprocessing.get_context(\"spawn\")`, or fork before the \
         first model is used"
    )))
}

/// Keeps warnings until they are taken.
struct Collected;

impl<S: Subscriber> Layer<S> for Collected {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        let mut warnings = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.len() < MOST && !warnings.contains(&message.0) {
            warnings.push(message.0);
        }
    }
}
