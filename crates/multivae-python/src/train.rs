//! Training on a thread of its own, while this one listens for signals and calls back.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use multivae::train::Interrupt;
use multivae_cli::program::{self, Ended, Told};
use pyo3::{prelude::*, types::PyDict};

use crate::compute;

/// How often signals are looked at.
const LISTENING: Duration = Duration::from_millis(50);

/// `multivae train` with these arguments: gives the folder of the run, and whether it was stopped
/// before its last epoch.
///
/// `heard(kind, value)` is called with what happens, on this thread: `line` and `event` with text,
/// `started` and `epoch` with a dict, `progress` with rows done and rows. If it gives `True` the run
/// ends after the step at work; if it raises, the run ends so and the exception is raised then. So it
/// is with an interrupt from the keyboard.
#[pyfunction]
pub(crate) fn train(
    py: Python<'_>,
    words: Vec<String>,
    heard: Bound<'_, PyAny>,
) -> PyResult<(String, bool)> {
    compute::begin()?;
    let (sender, receiver) = channel();
    // The lock is for the compiler: only this thread receives.
    let receiver = Mutex::new(receiver);
    let interrupt = Interrupt::new();
    let handle = interrupt.clone();
    let worker = thread::spawn(move || {
        compute::caught(|| {
            // Nobody listens any more after an error of the listener.
            let listener = Arc::new(move |told: Told| drop(sender.send(told)));
            program::train(words, listener, handle)
        })
    });
    let mut stopped: Option<PyErr> = None;
    loop {
        let told = py.detach(|| {
            receiver.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(LISTENING)
        });
        let answer = match told {
            Ok(told) if stopped.is_none() => call(py, &heard, told),
            Ok(_) | Err(RecvTimeoutError::Timeout) => Ok(false),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        match answer.and_then(|stop| py.check_signals().map(|()| stop)) {
            Ok(false) => {}
            Ok(true) => interrupt.stop(),
            Err(error) => {
                interrupt.stop();
                stopped.get_or_insert(error);
            }
        }
    }
    let ended = py.detach(|| worker.join());
    if let Some(error) = stopped {
        return Err(error);
    }
    let ended = ended.unwrap_or_else(|_| Err(anyhow::anyhow!("the thread of the run has ended")));
    let Ended { folder, interrupted } = ended.map_err(|error| compute::raised(&error))?;
    Ok((folder.display().to_string(), interrupted))
}

fn call(py: Python<'_>, heard: &Bound<'_, PyAny>, told: Told) -> PyResult<bool> {
    let answer = match told {
        Told::Line(line) => heard.call1(("line", line)),
        Told::Event(event) => heard.call1(("event", event)),
        Told::Progress { done, rows } => heard.call1(("progress", (done, rows))),
        Told::Started(run) => {
            let about = PyDict::new(py);
            about.set_item("epochs", run.epochs)?;
            about.set_item("epochs_done", run.epochs_done)?;
            about.set_item("rows", run.rows)?;
            about.set_item("validation_rows", run.validation_rows)?;
            about.set_item("parameters", run.parameters)?;
            about.set_item("modalities", &run.modalities)?;
            heard.call1(("started", about))
        }
        Told::Epoch(epoch) => {
            let about = PyDict::new(py);
            about.set_item("epoch", epoch.epoch)?;
            about.set_item("epochs", epoch.epochs)?;
            for (name, terms) in [("train", &epoch.train), ("valid", &epoch.valid)] {
                let values = PyDict::new(py);
                for (term, value) in terms {
                    values.set_item(term, *value)?;
                }
                about.set_item(name, values)?;
            }
            about.set_item("learning_rate", epoch.rate)?;
            about.set_item("best", epoch.best)?;
            about.set_item("seconds", epoch.seconds)?;
            heard.call1(("epoch", about))
        }
        _ => return Ok(false),
    };
    Ok(answer?.extract::<bool>().unwrap_or(false))
}
