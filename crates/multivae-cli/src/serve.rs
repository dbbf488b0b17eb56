//! `multivae serve`.

use anyhow::Result;
use multivae::device;

use crate::{arguments::ServeArguments, failure::Outcome, terminal::print_err};

/// Lends a device until the program is interrupted.
pub(crate) fn run(arguments: &ServeArguments) -> Result<Outcome> {
    let device = device::open(arguments.device.as_deref())?;
    let port = arguments.port;
    print_err(&format!(
        "{device:?} is lent at `remote:ws://THIS-HOST:{port}` to whoever reaches that port; Ctrl+C ends it"
    ));
    device::serve(device, port)?;
    Ok(Outcome::Done)
}
