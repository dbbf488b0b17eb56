//! What there is by which path, and the threads that say it.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use multivae::{device::on_workers, run::Run};
use serde_json::{Value, json};
use tracing::subscriber::NoSubscriber;

use super::{
    Limits,
    about::Stored,
    answer,
    http::{Body, Client, Head, Reply, Waits},
    queue::{Gate, Queue},
    refusal::Refusal,
    request::{Asked, Form},
    tasks::{self, Task},
};
use crate::terminal::print_err;

/// Connections at a time; further ones wait.
const CONNECTIONS: usize = 128;
/// How long a client may take to hear its answer after the service was asked to end.
const LEAVE: Duration = Duration::from_secs(20);
/// Memory of a thread that only waits.
const STACK: usize = 256 << 10;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Asks a service to end.
#[derive(Clone)]
pub(super) struct Stop {
    asked: Arc<AtomicBool>,
    address: SocketAddr,
}

impl Stop {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { asked: Arc::default(), address }
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Relaxed)
    }

    /// Says whether it was asked before.
    pub(super) fn ask(&self) -> bool {
        let before = self.asked.swap(true, Relaxed);
        // It waits for a client: this is one.
        let mut address = self.address;
        if address.ip().is_unspecified() {
            match address {
                SocketAddr::V4(_) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
                SocketAddr::V6(_) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            }
        }
        let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        before
    }
}

/// A model, and what is known of its clients.
pub(super) struct Server {
    run: Arc<Run>,
    about: Vec<u8>,
    list: Vec<u8>,
    rows: Vec<Vec<u8>>,
    limits: Limits,
    /// Whether only this machine reaches it.
    local: bool,
    queue: Queue,
    answered: AtomicU64,
    refused: AtomicU64,
}

impl Server {
    pub(super) fn new(
        run: Run,
        about: &Value,
        stored: Stored,
        limits: Limits,
        local: bool,
    ) -> Result<Self> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            run: Arc::new(run),
            about: line(about),
            list: line(&stored.list()),
            rows: stored.rows,
            local,
            queue: Queue::new(threads, limits.requests)?,
            limits,
            answered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Answers until it is asked to end, and then what was asked before.
    pub(super) fn serve(self, listener: TcpListener, stop: &Stop) {
        let server = Arc::new(self);
        let gate = Arc::new(Gate::new(CONNECTIONS));
        while !stop.is_asked() {
            let inside = gate.enter();
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                // Such as one that has gone already, or too many open files.
                Err(error) => {
                    tracing::warn!("a connection cannot be taken: {error}");
                    thread::sleep(Duration::from_millis(100));
                    continue;
                }
            };
            if stop.is_asked() {
                break;
            }
            let (server, stop) = (server.clone(), stop.clone());
            let talk = move || {
                let _inside = inside;
                // Answers are sent whole.
                let _ = stream.set_nodelay(true);
                let mut client = Client::new(stream);
                client.answer(&|| stop.is_asked(), |head, body| server.reply(head, body));
            };
            let thread = thread::Builder::new().name("client".into()).stack_size(STACK);
            if let Err(error) = thread.spawn(talk) {
                tracing::warn!("a connection cannot be taken: {error}");
            }
        }
        drop(listener);
        if !gate.empty_within(server.limits.time + LEAVE) {
            print_err("clients that do not take their answers are left");
        }
    }

    fn reply<S: Waits>(&self, head: &Head, body: &mut Body<'_, S>) -> Reply {
        let start = Instant::now();
        let reply = self.route(head, body, start).unwrap_or_else(Reply::from);
        let counter = if reply.status == 200 { &self.answered } else { &self.refused };
        counter.fetch_add(1, Relaxed);
        let (Head { method, path, .. }, milliseconds) = (head, start.elapsed().as_secs_f64() * 1e3);
        tracing::info!("{method} {path} {} {milliseconds:.1} ms", reply.status);
        reply
    }

    fn route<S: Waits>(
        &self,
        head: &Head,
        body: &mut Body<'_, S>,
        start: Instant,
    ) -> Result<Reply, Refusal> {
        if self.local && !head.is_local() {
            let message = "`Host`: expected a name of this machine, such as `localhost`";
            return Err(Refusal::new(421, "host", message));
        }
        let task = match head.path.as_str() {
            "/v1/encode" => Some(Task::Encode),
            "/v1/generate" => Some(Task::Generate),
            "/v1/impute" => Some(Task::Impute),
            _ => None,
        };
        if let Some(task) = task {
            return match head.method.as_str() {
                "POST" => self.compute(task, head, body, start),
                _ => Ok(Reply::method(head, "POST")),
            };
        }
        let there = match head.path.as_str() {
            "/" => Reply::new(PAGE, "text/html; charset=utf-8"),
            "/page.css" => Reply::new(STYLE, "text/css; charset=utf-8"),
            "/page.js" => Reply::new(SCRIPT, "text/javascript; charset=utf-8"),
            "/v1/health" => Reply::json(line(&self.health())),
            "/v1/model" => Reply::json(self.about.clone()),
            "/v1/rows" => Reply::json(self.list.clone()),
            path => {
                let row = path.strip_prefix("/v1/rows/").and_then(|row| row.parse::<usize>().ok());
                let row = row.and_then(|row| self.rows.get(row)).ok_or_else(|| {
                    let message = format!(
                        "there is no `{path}`; there are `/`, `/v1/health`, `/v1/model`, `/v1/rows`, \
                         `/v1/encode`, `/v1/generate` and `/v1/impute`"
                    );
                    Refusal::new(404, "path", message)
                })?;
                Reply::json(row.clone())
            }
        };
        match head.method.as_str() {
            "GET" | "HEAD" => Ok(there),
            _ => Ok(Reply::method(head, "GET, HEAD")),
        }
    }

    /// How it is.
    fn health(&self) -> Value {
        let (computed, waiting) = self.queue.counts();
        json!({
            "status": "ok",
            "model": self.run.trained.config.name(),
            "computed": computed,
            "waiting": waiting,
            "answered": self.answered.load(Relaxed),
            "refused": self.refused.load(Relaxed),
        })
    }

    /// Does a task in its turn.
    fn compute<S: Waits>(
        &self,
        task: Task,
        head: &Head,
        body: &mut Body<'_, S>,
        start: Instant,
    ) -> Result<Reply, Refusal> {
        let end = start + self.limits.time;
        let form = Form::of_content(head.content_type.as_deref())?;
        let wanted = Form::of_accept(head.accept.as_deref())?;
        let place = self.queue.place()?;
        let bytes = body.read(self.limits.body, end)?;
        let (run, query) = (self.run.clone(), head.query.clone());
        let (most_rows, most_bytes) = (self.limits.rows, self.limits.body);
        let work = move || {
            let done = || -> Result<Vec<u8>> {
                let asked = Asked::read(form, &bytes, query.as_deref(), most_bytes)?;
                drop(bytes);
                answer::body(tasks::answer(&run, task, asked, most_rows, end)?, wanted)
            };
            // What is found in rows is told to whoever has sent them.
            let quiet = || tracing::subscriber::with_default(NoSubscriber::new(), done);
            let device = run.trained.device.clone();
            on_workers(&device, quiet).map_err(|error| Refusal::of(&error))
        };
        let bytes = self.queue.run(place, end, work)??;
        Ok(Reply::new(bytes, wanted.name()))
    }
}

fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}
