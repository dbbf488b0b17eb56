//! `multivae serve-model`: a model over HTTP.
//!
//! A request says rows and gets what `encode`, `generate` and `impute` would write of them. Threads
//! that talk to clients compute nothing; what is computed is computed by as many as there are cores, so
//! that many clients wait in a queue and do not slow each other down.

mod about;
mod answer;
mod http;
mod queue;
mod refusal;
mod request;
mod server;
mod tasks;

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    time::Duration,
};

use anyhow::{Context, Result};

use self::{
    about::Stored,
    server::{Server, Stop},
};
use crate::{
    arguments::ServeModelArguments,
    failure::{Outcome, bad_input},
    given,
    terminal::{INTERRUPTED, print_err, print_out},
};

/// What a request may take.
#[derive(Clone, Debug)]
struct Limits {
    /// Bytes of its body, packed or unpacked.
    body: u64,
    /// Rows.
    rows: u64,
    /// From its first byte to its answer.
    time: Duration,
    /// Requests at a time, those that wait included.
    requests: usize,
}

/// Serves the model of a run until it is interrupted.
pub(crate) fn run(arguments: &ServeModelArguments) -> Result<Outcome> {
    let limits = Limits {
        body: arguments.max_body << 20,
        rows: arguments.max_rows,
        time: Duration::from_secs_f64(arguments.max_seconds),
        requests: arguments.max_requests,
    };
    // Before the model is read, which can take long.
    let listener = listen(arguments.host, arguments.port)?;
    let address = listener.local_addr().context("the port has no address")?;
    let run = given::run_on(&arguments.run, arguments.device.as_deref())?;
    let stored = Stored::of(&run);
    let known = run.known()?;
    let about = about::describe(&run, &known, &stored, &limits);
    let stop = Stop::new(address);
    let asks = stop.clone();
    ctrlc::set_handler(move || {
        if asks.ask() {
            std::process::exit(INTERRUPTED.into());
        }
        print_err("interrupted: answers that are computed are finished; once more to end at once");
    })
    .context("the handler of interrupts cannot be set")?;
    if !address.ip().is_loopback() {
        print_err(&format!(
            "warning: whoever reaches {address} can use the model: there is no authentication, and \
             nothing is encrypted"
        ));
    }
    print_err(&format!("{} is served; Ctrl+C ends it", run.trained.config.name()));
    print_out(format!("http://{address}/"))?;
    let local = address.ip().is_loopback();
    Server::new(run, &about, stored, limits, local)?.serve(listener, &stop);
    Ok(Outcome::Done)
}

/// The port, before anything else is done.
fn listen(host: IpAddr, port: u16) -> Result<TcpListener> {
    TcpListener::bind(SocketAddr::new(host, port)).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => bad_input(format!(
            "`--port {port}`: port {port} of {host} is in use: expected a free one, or 0 for any"
        )),
        io::ErrorKind::PermissionDenied => bad_input(format!(
            "`--port {port}`: port {port} of {host} is not for this user: expected one from 1024 on"
        )),
        io::ErrorKind::AddrNotAvailable => {
            bad_input(format!("`--host {host}`: expected an address of this machine"))
        }
        _ => anyhow::Error::new(error).context(format!("port {port} of {host} cannot be opened")),
    })
}
