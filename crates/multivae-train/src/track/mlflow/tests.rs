//! Against a server on this machine that behaves as MLflow does.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::*;

/// What the server was told.
#[derive(Default)]
struct Told {
    runs: Vec<String>,
    /// Values by key, step and time, as the server keeps them.
    metrics: BTreeMap<(String, u64, u64), Value>,
    parameters: BTreeMap<String, String>,
    artifacts: BTreeMap<String, usize>,
    statuses: Vec<String>,
    authorisations: Vec<Option<String>>,
    /// Requests that are answered with an error before the others.
    failures: Vec<u16>,
    deleted: bool,
}

struct StandIn {
    address: String,
    told: Arc<Mutex<Told>>,
}

impl StandIn {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let told = Arc::new(Mutex::new(Told::default()));
        let shared = told.clone();
        // It ends with the process of the tests.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &shared);
            }
        });
        Self { address, told }
    }

    fn client(&self) -> Client {
        Client { address: Some(self.address.clone()), place: None }
    }
}

/// Reads one request and answers it.
fn answer(stream: TcpStream, told: &Mutex<Told>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut authorisation) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => authorisation = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut told = told.lock().ok()?;
    told.authorisations.push(authorisation);
    let (status, text) = match told.failures.pop() {
        Some(status) => (status, json!({ "message": "no" }).to_string()),
        None => reply(&mut told, &method, &target, &body),
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{text}",
        text.len()
    )
    .ok()
}

fn reply(told: &mut Told, method: &str, target: &str, body: &[u8]) -> (u16, String) {
    let absent = || (404, json!({ "error_code": ABSENT, "message": "no such thing" }).to_string());
    let done = |value: Value| (200, value.to_string());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if method == "PUT" {
        told.artifacts.insert(path.to_owned(), body.len());
        return done(json!({}));
    }
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    match path.trim_start_matches(API) {
        "/experiments/get-by-name" => absent(),
        "/experiments/create" => done(json!({ "experiment_id": "7" })),
        "/runs/create" => {
            assert!(body["start_time"].is_u64());
            told.runs.push(body["run_name"].as_str().expect("a name").to_owned());
            told.deleted = false;
            told.metrics.clear();
            let id = format!("run{}", told.runs.len());
            let uri = format!("mlflow-artifacts:/7/{id}/artifacts");
            done(json!({ "run": { "info": { "run_id": id, "artifact_uri": uri } } }))
        }
        "/runs/get" if told.deleted => absent(),
        "/runs/get" => {
            assert_eq!(query, format!("run_id=run{}", told.runs.len()));
            let loss =
                told.metrics.keys().filter(|(key, ..)| key == LOSS).map(|(_, step, _)| *step);
            let metrics: Vec<Value> =
                loss.max().map(|s| json!({ "key": LOSS, "step": s })).into_iter().collect();
            done(json!({ "run": { "data": { "metrics": metrics } } }))
        }
        "/runs/log-batch" => {
            for metric in body["metrics"].as_array().into_iter().flatten() {
                let key = metric["key"].as_str().expect("a name");
                let allowed = |c: char| c.is_ascii_alphanumeric() || "_-. :/".contains(c);
                let value = &metric["value"];
                let word = ["NaN", "Infinity", "-Infinity"].map(Value::from).contains(value);
                if !key.chars().all(allowed) || key.contains("//") || !(value.is_number() || word) {
                    let wrong = json!({ "error_code": "INVALID_PARAMETER_VALUE", "message": key });
                    return (400, wrong.to_string());
                }
                let (step, time) = (metric["step"].as_u64(), metric["timestamp"].as_u64());
                let at = (key.to_owned(), step.expect("whole"), time.expect("whole"));
                told.metrics.insert(at, value.clone());
            }
            for parameter in body["params"].as_array().into_iter().flatten() {
                let word = |key: &str| parameter[key].as_str().expect("text").to_owned();
                told.parameters.insert(word("key"), word("value"));
            }
            done(json!({}))
        }
        "/runs/update" => {
            told.statuses.push(body["status"].as_str().expect("a status").to_owned());
            done(json!({ "run_info": {} }))
        }
        _ => absent(),
    }
}

fn run(dir: &Path) -> RunInfo {
    RunInfo {
        dir: dir.join("my-run"),
        configuration: json!({
            "model": { "name": "mvae", "latent": 2, "critic": null, "list": [1, 2] },
            "data": { "source": "x".repeat(7000) },
        }),
        modalities: Vec::new(),
        epochs: 9,
        epochs_done: 0,
        rows: 4,
        validation_rows: 0,
        seed: 0,
        parameters: 1,
    }
}

fn point(epoch: usize) -> Point {
    let values = [
        (LOSS, 1.5),
        ("train/reconstruction/MMVAE+", f64::NAN),
        ("train/reconstruction/MMVAE-", f64::INFINITY),
        ("train/reconstruction/MMVAE_", 2.0),
        ("valid//loss", 3.0),
    ];
    let values = values.map(|(name, value)| (name.to_owned(), value)).to_vec();
    Point { epoch, values, time: 1_700_000_000_000 + epoch as u64 }
}

/// A folder with that of a run in it.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("my-run")).expect("a folder");
    dir
}

#[test]
fn a_run_is_written_as_the_server_wants_it() {
    let (dir, server) = (folder(), StandIn::new());
    let mut client = server.client();
    assert_eq!(client.start(&run(dir.path())).expect("it answers"), 0);
    client.epoch(&point(1)).expect("it answers");
    client.end(Ending::Stopped(Stopped::Finished)).expect("it answers");
    let told = server.told.lock().expect("no panic");
    assert_eq!(
        (told.runs.as_slice(), told.statuses.as_slice()),
        (["my-run".to_owned()].as_slice(), ["FINISHED".to_owned()].as_slice())
    );
    let metrics: Vec<(&str, u64, &Value)> =
        told.metrics.iter().map(|((key, step, _), value)| (key.as_str(), *step, value)).collect();
    let expected = [
        (LOSS, json!(1.5)),
        ("train/reconstruction/MMVAE-", json!("Infinity")),
        ("train/reconstruction/MMVAE_", json!("NaN")),
        ("train/reconstruction/MMVAE__2", json!(2.0)),
        ("valid/loss", json!(3.0)),
    ];
    assert_eq!(metrics, expected.each_ref().map(|(key, value)| (*key, 1, value)));
    assert_eq!(told.parameters["model.latent"], "2");
    assert_eq!(told.parameters["model.list"], "[1,2]");
    assert!(!told.parameters.contains_key("model.critic"));
    let long = &told.parameters["data.source"];
    assert_eq!(long.chars().count(), LENGTH);
    assert!(long.ends_with("(cut)"));
}

#[test]
fn a_run_that_goes_on_is_the_same_on_the_server() {
    let (dir, server) = (folder(), StandIn::new());
    let mut client = server.client();
    client.start(&run(dir.path())).expect("it answers");
    client.epoch(&point(1)).expect("it answers");
    client.epoch(&point(2)).expect("it answers");
    let mut again = server.client();
    assert_eq!(again.start(&run(dir.path())).expect("it answers"), 2);
    // An answer that was lost: the same point again is one.
    let before = server.told.lock().expect("no panic").metrics.len();
    again.epoch(&point(2)).expect("it answers");
    let mut told = server.told.lock().expect("no panic");
    assert_eq!((told.metrics.len(), told.runs.len()), (before, 1));
    assert_eq!(told.statuses, ["RUNNING"]);
    told.deleted = true;
    drop(told);
    // A run that was deleted there is made anew, and gets all epochs.
    let mut anew = server.client();
    assert_eq!(anew.start(&run(dir.path())).expect("it answers"), 0);
    assert_eq!(server.told.lock().expect("no panic").runs.len(), 2);
}

#[test]
fn a_run_whose_description_failed_is_described_when_it_is_tried_again() {
    let (dir, server) = (folder(), StandIn::new());
    // Experiment asked for, made, run made: the fourth request fails.
    let mut client = server.client();
    client.start(&run(dir.path())).expect("it answers");
    let path = dir.path().join("my-run").join(FILE);
    let mut left = known(&path).expect("readable").expect("there");
    left.described = false;
    remember(&path, &left).expect("written");
    server.told.lock().expect("no panic").parameters.clear();
    server.client().start(&run(dir.path())).expect("it answers");
    let told = server.told.lock().expect("no panic");
    assert_eq!((told.runs.len(), told.parameters.len()), (1, 4));
}

#[test]
fn pictures_are_artifacts() {
    let (dir, server) = (folder(), StandIn::new());
    let mut client = server.client();
    client.start(&run(dir.path())).expect("it answers");
    let exhibit = |content| Arc::new(Exhibit { epoch: 3, name: "pictures".into(), content });
    client.exhibit(&exhibit(Content::Png(vec![1; 9]))).expect("it answers");
    client.exhibit(&exhibit(Content::Values(vec![1.0]))).expect("nothing to do");
    let told = server.told.lock().expect("no panic");
    let path = "/api/2.0/mlflow-artifacts/artifacts/7/run1/artifacts/pictures/epoch-3.png";
    assert_eq!(told.artifacts, BTreeMap::from([(path.to_owned(), 9)]));
}

#[test]
fn what_goes_wrong_is_said_without_secrets() {
    let (dir, server) = (folder(), StandIn::new());
    server.told.lock().expect("no panic").failures = vec![500];
    let host = server.address.trim_start_matches("http://");
    let mut client =
        Client { address: Some(format!("http://someone:hunter2@{host}/")), place: None };
    let error = client.start(&run(dir.path())).expect_err("it refuses").to_string();
    assert!(error.contains("answers 500") && error.contains(host), "{error}");
    assert!(!error.contains("hunter2") && !error.contains("someone"), "{error}");
    let seen = server.told.lock().expect("no panic").authorisations.clone();
    assert_eq!(seen, [Some("Basic c29tZW9uZTpodW50ZXIy".to_owned())]);
    client.start(&run(dir.path())).expect("it answers now");
    let text = fs::read_to_string(dir.path().join("my-run").join(FILE)).expect("it is there");
    assert!(!text.contains("hunter2"), "{text}");

    for address in ["file:mlruns", "ftp://host", "databricks"] {
        let mut client = Client { address: Some(address.into()), place: None };
        let error = client.start(&run(dir.path())).expect_err("no server").to_string();
        assert!(error.contains("http:// or https://"), "{error}");
    }
    // Nobody is there.
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let mut client = Client { address: Some(format!("http://{free}")), place: None };
    assert!(client.start(&run(dir.path())).is_err());
}
