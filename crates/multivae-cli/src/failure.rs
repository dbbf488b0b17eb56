//! How the program ends.

use std::{fmt, io};

use anyhow::Error;
use multivae::{
    core::{model::Lacks, pass::PassError},
    data::DataError,
    device::DeviceError,
    metrics::MetricsError,
    models::exchange::ExchangeError,
    report::ReportError,
    run::RunError,
    samplers::SamplerError,
    train::TrainError,
};

use crate::terminal;

/// Exit code when what was given cannot be used.
pub(crate) const BAD_INPUT: u8 = 2;
/// Exit code when something went wrong while running.
pub(crate) const FAILED: u8 = 1;

/// How a task ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Interrupted,
}

/// What the user gave cannot be used.
#[derive(Debug)]
pub(crate) struct BadInput(String);

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadInput {}

/// Another rank of the run tells what has happened.
#[derive(Debug)]
struct ToldElsewhere {
    message: String,
    code: u8,
}

impl fmt::Display for ToldElsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ToldElsewhere {}

/// The error of a rank of a run, silent if another one tells of it: what a rank has met with is told by
/// that rank, what all of them have come to by the first.
pub(crate) fn of_rank(error: Error, rank: usize) -> Error {
    let train = error.chain().find_map(|cause| cause.downcast_ref::<TrainError>());
    let elsewhere = match train {
        Some(TrainError::Rank { .. }) => true,
        Some(TrainError::NotFinite { .. } | TrainError::Apart { .. }) => rank > 0,
        _ => false,
    };
    if !elsewhere {
        return error;
    }
    let (message, code) = (message(&error), code(&error));
    Error::new(ToldElsewhere { message, code })
}

/// An error about what the user gave.
pub(crate) fn bad_input(message: impl Into<String>) -> Error {
    Error::new(BadInput(message.into()))
}

/// Writes the error with its causes and gives the exit code.
pub(crate) fn report(error: &Error) -> u8 {
    if is_closed_pipe(error) {
        // Who reads our output has seen enough.
        return 0;
    }
    if let Some(told) = error.downcast_ref::<ToldElsewhere>() {
        return told.code;
    }
    let message = message(error);
    terminal::print_err(&format!("error: {message}"));
    code(error)
}

/// The error with its causes and what to do about it, in one line.
pub(crate) fn message(error: &Error) -> String {
    let mut message = causes(error);
    for advice in error.chain().filter_map(|cause| advice(cause.downcast_ref()?)) {
        message += &format!(": {advice}");
    }
    message
}

/// The error with its causes, in one line.
pub(crate) fn causes(error: &Error) -> String {
    let mut message = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Some errors repeat their cause in their own message.
        if !message.contains(&cause) {
            if !message.is_empty() {
                message += ": ";
            }
            message += cause.trim_end();
        }
    }
    message
}

/// What to do about an error of a run on the command line.
fn advice(error: &RunError) -> Option<&'static str> {
    match error {
        RunError::NoData { .. } => Some("give `--data`"),
        RunError::Moved { .. } => Some(
            "`multivae train --resume RUN --data PATH` says where it is now, and goes on with the run \
             only if it has epochs left",
        ),
        _ => None,
    }
}

/// Whether an error of a run is about what the user gave.
fn is_bad_run(error: &RunError) -> bool {
    !matches!(
        error,
        RunError::Write { .. }
            | RunError::Unreachable { .. }
            | RunError::Data(DataError::Write { .. })
            | RunError::Pass(PassError::Device { .. })
            | RunError::Exchange(ExchangeError::Device { .. })
            | RunError::Weights { source: ExchangeError::Device { .. }, .. }
    )
}

/// Whether something cannot be measured for what it is measured of, not for what it runs on.
pub(crate) fn is_about_input(error: &Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<BadInput>()
            || cause.is::<Lacks>()
            || cause.is::<SamplerError>()
            || cause.downcast_ref().is_some_and(is_bad_run)
            || cause
                .downcast_ref::<MetricsError>()
                .is_some_and(|e| !matches!(e, MetricsError::Pass(PassError::Device { .. })))
    })
}

fn is_closed_pipe(error: &Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The exit code of an error.
pub(crate) fn code(error: &Error) -> u8 {
    let bad = error.chain().any(|cause| {
        cause.is::<BadInput>()
            || cause.is::<Lacks>()
            || cause.is::<multivae::core::Error>()
            || cause.downcast_ref().is_some_and(is_bad_run)
            || matches!(cause.downcast_ref(), Some(DeviceError::Name(_)))
            || cause
                .downcast_ref::<ExchangeError>()
                .is_some_and(|e| !matches!(e, ExchangeError::Device { .. }))
            || cause
                .downcast_ref::<DataError>()
                .is_some_and(|e| !matches!(e, DataError::Write { .. }))
            || cause.downcast_ref::<TrainError>().is_some_and(|e| {
                matches!(
                    e,
                    TrainError::Config { .. } | TrainError::Occupied(_) | TrainError::Data(_)
                )
            })
            || cause
                .downcast_ref::<PassError>()
                .is_some_and(|e| !matches!(e, PassError::Device { .. }))
            || cause.downcast_ref::<SamplerError>().is_some_and(|e| {
                !matches!(
                    e,
                    SamplerError::NotFinite { .. }
                        | SamplerError::Write { .. }
                        | SamplerError::Pass(PassError::Device { .. })
                )
            })
            || cause.downcast_ref::<ReportError>().is_some_and(|e| {
                matches!(e, ReportError::Format { .. } | ReportError::Version { .. })
            })
            || cause.downcast_ref::<MetricsError>().is_some_and(|e| {
                !matches!(
                    e,
                    MetricsError::NotFinite { .. } | MetricsError::Pass(PassError::Device { .. })
                )
            })
    });
    if bad { BAD_INPUT } else { FAILED }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn one_rank_tells_what_has_happened() {
        let of = |error: TrainError, rank| of_rank(error.into(), rank).is::<ToldElsewhere>();
        let gone = || TrainError::Rank { rank: 2, reason: "the disk is full".into() };
        assert!(of(gone(), 0) && of(gone(), 1));
        let apart = || TrainError::Apart { rank: 1, epoch: 3 };
        assert_eq!([of(apart(), 0), of(apart(), 1)], [false, true]);
        let own = of_rank(bad_input("no such file"), 3);
        assert!(!own.is::<ToldElsewhere>() && code(&own) == BAD_INPUT);
    }

    #[test]
    fn what_the_user_gave_is_told_from_what_went_wrong() {
        let deep = Err::<(), _>(bad_input("unknown key")).context("config").expect_err("given");
        assert_eq!(code(&deep), BAD_INPUT);
        let core = multivae::core::Error::EmptySubset;
        assert_eq!(code(&Error::new(core)), BAD_INPUT);
        let disk = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(code(&Error::new(disk)), FAILED);
    }
}
