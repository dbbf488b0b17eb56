//! A run on a server of MLflow, over its REST interface.
//!
//! The server is that of `MLFLOW_TRACKING_URI`, the experiment that of `MLFLOW_EXPERIMENT_NAME`;
//! who asks is said by `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, or
//! `MLFLOW_TRACKING_TOKEN`, as MLflow's own clients have it. Which run on the server it is stands in
//! `mlflow.json` in the run's folder.
//!
//! An epoch is one request, or several the last of which has the loss: a server that has the loss of
//! an epoch has all of it.
//!
//! Source: MLflow's REST API, version 2.0.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Ending, Failure, Point, Sink, leaves,
    server::{Credentials, Refused, Server},
    text,
};
use crate::observer::{Content, Exhibit, RunInfo, Stopped};

/// What a run remembers of the server.
const FILE: &str = "mlflow.json";
/// Where MLflow's own programs look if they are told nothing.
const ADDRESS: &str = "http://127.0.0.1:5000";
const EXPERIMENT: &str = "multivae";
const API: &str = "/api/2.0/mlflow";
/// Most metrics and parameters of a request, and the length of a parameter.
const METRICS: usize = 1000;
const PARAMETERS: usize = 100;
const LENGTH: usize = 6000;
/// By which it is known which epochs the server has.
const LOSS: &str = "train/loss";
/// How the server calls what it does not have.
const ABSENT: &str = "RESOURCE_DOES_NOT_EXIST";

/// A run on a server.
#[derive(Default)]
pub(super) struct Client {
    /// The server, if not that of the environment.
    address: Option<String>,
    place: Option<(Server, Known)>,
}

/// What is known of a run on a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    server: String,
    experiment_id: String,
    run_id: String,
    artifact_uri: String,
    /// Whether its parameters were written.
    described: bool,
}

impl Sink for Client {
    fn start(&mut self, run: &RunInfo) -> Result<usize, Failure> {
        let server = self.server()?;
        let path = run.dir.join(FILE);
        let known = known(&path)?.filter(|known| known.server == server.address());
        let (mut known, last) = match known {
            None => (create(&server, run, &path)?, 0),
            Some(known) => match last_epoch(&server, &known) {
                Ok(last) => {
                    let status = json!({ "run_id": known.run_id, "status": "RUNNING" });
                    server.post(&format!("{API}/runs/update"), &status)?;
                    (known, last)
                }
                // It was deleted there.
                Err(refused) if refused.code.as_deref() == Some(ABSENT) => {
                    (create(&server, run, &path)?, 0)
                }
                Err(refused) => return Err(refused.into()),
            },
        };
        if !known.described {
            describe(&server, &known, run)?;
            known.described = true;
            remember(&path, &known)?;
        }
        self.place = Some((server, known));
        Ok(last)
    }

    fn epoch(&mut self, point: &Point) -> Result<(), Failure> {
        let (server, known) = self.place.as_ref().ok_or("the run is not known yet")?;
        let names = names(point.values.iter().map(|(name, _)| name.as_str()));
        let metrics: Vec<Value> = names
            .into_iter()
            .zip(&point.values)
            .map(|(key, (_, value))| {
                json!({
                    "key": key, "value": number(*value), "timestamp": point.time,
                    "step": point.epoch,
                })
            })
            .collect();
        // The first has the loss.
        for part in metrics.chunks(METRICS).rev() {
            let body = json!({ "run_id": known.run_id, "metrics": part });
            server.post(&format!("{API}/runs/log-batch"), &body)?;
        }
        Ok(())
    }

    fn exhibit(&mut self, exhibit: &Arc<Exhibit>) -> Result<(), Failure> {
        let (server, known) = self.place.as_ref().ok_or("the run is not known yet")?;
        // It has no histograms, and artifacts elsewhere are not the server's.
        let Content::Png(bytes) = &exhibit.content else { return Ok(()) };
        if !known.artifact_uri.starts_with("mlflow-artifacts:") {
            return Ok(());
        }
        let Known { experiment_id, run_id, .. } = known;
        let name = metric_name(&exhibit.name).replace([':', ' '], "_");
        let file = format!("{name}/epoch-{}.png", exhibit.epoch);
        let artifacts = "/api/2.0/mlflow-artifacts/artifacts";
        server.put(&format!("{artifacts}/{experiment_id}/{run_id}/artifacts/{file}"), bytes)?;
        Ok(())
    }

    fn end(&mut self, ending: Ending) -> Result<(), Failure> {
        let (server, known) = self.place.as_ref().ok_or("the run is not known yet")?;
        let status = match ending {
            Ending::Stopped(Stopped::Interrupted) => "KILLED",
            Ending::Stopped(_) => "FINISHED",
            Ending::Failed => "FAILED",
        };
        let body = json!({ "run_id": known.run_id, "status": status, "end_time": now() });
        server.post(&format!("{API}/runs/update"), &body)?;
        Ok(())
    }
}

impl Client {
    fn server(&self) -> Result<Server, Failure> {
        let of = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(address) = &self.address {
            return Ok(Server::new(address, &Credentials::None)?);
        }
        let user = of("MLFLOW_TRACKING_USERNAME");
        let credentials = match (user, of("MLFLOW_TRACKING_TOKEN")) {
            (Some(user), _) => {
                Credentials::User(user, of("MLFLOW_TRACKING_PASSWORD").unwrap_or_default())
            }
            (None, Some(token)) => Credentials::Token(token),
            (None, None) => Credentials::None,
        };
        let address = of("MLFLOW_TRACKING_URI").unwrap_or_else(|| ADDRESS.to_owned());
        let server = Server::new(&address, &credentials);
        Ok(server.map_err(|error| format!("MLFLOW_TRACKING_URI: {error}"))?)
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What the folder of a run remembers.
fn known(path: &Path) -> Result<Option<Known>, Failure> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| format!("`{}`: {error}", path.display()))?,
    };
    let known = serde_json::from_str(&text);
    Ok(Some(known.map_err(|error| format!("`{}`: {error}", path.display()))?))
}

fn remember(path: &Path, known: &Known) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(known).expect("plain data");
    let written = multivae_files::write_whole(path, |file| file.write_all(text.as_bytes()));
    Ok(written.map_err(|error: io::Error| format!("`{}`: {error}", path.display()))?)
}

/// A word of an answer.
fn word(answer: &Value, path: &str) -> Result<String, Failure> {
    let found = answer.pointer(path).and_then(Value::as_str);
    Ok(found.ok_or_else(|| format!("the server's answer has no `{path}`"))?.to_owned())
}

/// Makes a run on the server, and remembers it at once.
fn create(server: &Server, run: &RunInfo, path: &Path) -> Result<Known, Failure> {
    let name = env::var("MLFLOW_EXPERIMENT_NAME").ok().filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| EXPERIMENT.to_owned());
    let by_name = || -> Result<Result<String, Failure>, Refused> {
        let path = format!("{API}/experiments/get-by-name");
        let found = server.get(&path, &[("experiment_name", &name)])?;
        Ok(word(&found, "/experiment/experiment_id"))
    };
    let experiment_id = match by_name() {
        Ok(found) => found?,
        Err(refused) if refused.code.as_deref() == Some(ABSENT) => {
            let body = json!({ "name": name });
            match server.post(&format!("{API}/experiments/create"), &body) {
                Ok(made) => word(&made, "/experiment_id")?,
                // Another run has made it in between.
                Err(refused) if refused.code.as_deref() == Some("RESOURCE_ALREADY_EXISTS") => {
                    by_name()??
                }
                Err(refused) => return Err(refused.into()),
            }
        }
        Err(refused) => return Err(refused.into()),
    };
    let run_name = run.dir.file_name().unwrap_or_default().to_string_lossy();
    let tag = |key: &str, value: &str| json!({ "key": key, "value": value });
    let body = json!({
        "experiment_id": experiment_id,
        "run_name": run_name,
        "start_time": now(),
        "tags": [
            tag("mlflow.source.name", "multivae"),
            tag("mlflow.source.type", "LOCAL"),
            tag("multivae.version", env!("CARGO_PKG_VERSION")),
        ],
    });
    let made = server.post(&format!("{API}/runs/create"), &body)?;
    let known = Known {
        server: server.address().to_owned(),
        experiment_id,
        run_id: word(&made, "/run/info/run_id")?,
        artifact_uri: word(&made, "/run/info/artifact_uri").unwrap_or_default(),
        described: false,
    };
    remember(path, &known)?;
    Ok(known)
}

/// The last epoch whose loss the server has.
fn last_epoch(server: &Server, known: &Known) -> Result<usize, Refused> {
    let found = server.get(&format!("{API}/runs/get"), &[("run_id", &known.run_id)])?;
    let metrics = found.pointer("/run/data/metrics").and_then(Value::as_array);
    let loss = metrics.into_iter().flatten().find(|metric| metric["key"] == LOSS);
    let step = loss.and_then(|metric| match &metric["step"] {
        Value::String(text) => text.parse().ok(),
        step => step.as_u64().and_then(|step| usize::try_from(step).ok()),
    });
    Ok(step.unwrap_or(0))
}

/// Writes the configuration as parameters, which cannot be changed afterwards.
fn describe(server: &Server, known: &Known, run: &RunInfo) -> Result<(), Failure> {
    let leaves: Vec<(String, Value)> =
        leaves(&run.configuration).into_iter().filter(|(_, leaf)| !leaf.is_null()).collect();
    let names = names(leaves.iter().map(|(name, _)| name.as_str()));
    let parameters: Vec<Value> = names
        .into_iter()
        .zip(&leaves)
        .map(|(key, (_, leaf))| json!({ "key": key, "value": shortened(&text(leaf)) }))
        .collect();
    for part in parameters.chunks(PARAMETERS) {
        let body = json!({ "run_id": known.run_id, "params": part });
        server.post(&format!("{API}/runs/log-batch"), &body)?;
    }
    Ok(())
}

/// What a parameter may hold, and that it is not all where it is not.
fn shortened(text: &str) -> String {
    const CUT: &str = " .. (cut)";
    if text.chars().count() <= LENGTH {
        return text.to_owned();
    }
    text.chars().take(LENGTH - CUT.len()).collect::<String>() + CUT
}

/// A value as the server reads it: JSON has no infinities.
fn number(value: f64) -> Value {
    match value {
        value if value.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        value => json!(value),
    }
}

/// The longest name of a metric or a parameter.
const LONGEST: usize = 250;

/// A name of letters, digits and what the server allows beside them, as a path.
fn metric_name(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-. :/".contains(c);
    let clean: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    let part = |part: &str| match part {
        "." => "_".to_owned(),
        ".." => "__".to_owned(),
        part => part.to_owned(),
    };
    let parts: Vec<String> = clean.split('/').filter(|p| !p.is_empty()).map(part).collect();
    match parts.join("/") {
        none if none.is_empty() => "_".to_owned(),
        name => name.chars().take(LONGEST).collect(),
    }
}

/// Names that are allowed and differ from each other.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    all.map(|name| {
        let clean = metric_name(name);
        let numbered = (2..).map(|i| {
            let end = format!("_{i}");
            clean.chars().take(LONGEST - end.len()).collect::<String>() + &end
        });
        let free = std::iter::once(clean.clone()).chain(numbered).find(|n| !taken.contains(n));
        let free = free.expect("there is always a greater number");
        taken.insert(free.clone());
        free
    })
    .collect()
}

#[cfg(test)]
mod tests;
