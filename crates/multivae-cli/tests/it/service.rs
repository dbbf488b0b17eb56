//! A model over HTTP.

use std::{
    fs,
    io::{BufRead, BufReader, Cursor, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output},
    thread,
    time::{Duration, Instant},
};

use ndarray::{Array, Array2, Array3, Dimension};
use ndarray_npy::{NpzReader, NpzWriter, ReadNpyExt};
use serde_json::{Value, json};

use crate::place::{Place, error, table, trained, with_run};

/// Forms of bodies.
pub(crate) const JSON: &str = "application/json";
const NPZ: &str = "application/x-npz";

/// A service that ends with its owner.
pub(crate) struct Service {
    child: Child,
    /// Its address without a path.
    pub(crate) address: String,
}

impl Service {
    /// The model of a run in a place, on a port of its own; arguments are separated by spaces.
    pub(crate) fn start(place: &Place, arguments: &str) -> Self {
        let mut child = place.start(&format!("serve-model {arguments} --port 0"));
        let mut line = String::new();
        let output = child.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("text");
        let address = line.trim().strip_prefix("http://").and_then(|rest| rest.strip_suffix('/'));
        let Some(address) = address.map(str::to_owned) else {
            let output = child.wait_with_output().expect("it has ended");
            panic!("`{line}`\n{}", error(&output));
        };
        Self { child, address }
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the process to end, as Ctrl+C does.
    pub(crate) fn interrupt(&self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status().expect("a shell's `kill`");
        assert!(sent.success());
    }

    /// Waits until it has ended.
    pub(crate) fn ended(mut self) -> Output {
        let start = Instant::now();
        while self.child.try_wait().expect("a child").is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
        let status = self.child.wait().expect("a child");
        let mut stderr = Vec::new();
        let mut pipe = self.child.stderr.take().expect("it is piped");
        pipe.read_to_end(&mut stderr).expect("it is closed");
        Output { status, stdout: Vec::new(), stderr }
    }

    /// Asks once and gives the status, the head and the body of the answer.
    fn ask(&self, request: &[u8]) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        // It may answer before it has read all.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        let end = text.find("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
        let head = text[..end].to_owned();
        let status = head[9..12].parse().expect("a status");
        (status, head, answer[end + 4..].to_vec())
    }

    /// Sends a body and asks for a form of the answer.
    fn post(&self, path: &str, form: (&str, &str), body: &[u8]) -> (u16, Vec<u8>) {
        let (status, _, answer) = self.ask(&post(path, form, body));
        (status, answer)
    }

    /// Sends JSON, and gives the answer to it, which has to be one.
    fn json(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.post(path, (JSON, JSON), body.to_string().as_bytes());
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Sends JSON that is refused, and gives what is said of it.
    fn refused(&self, path: &str, body: &str) -> Value {
        let (status, answer) = self.post(path, (JSON, JSON), body.as_bytes());
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        let error = answer["error"].clone();
        assert_eq!(error["status"], status, "{answer}");
        assert_ne!(status, 200, "{body}");
        error
    }

    fn get(&self, path: &str) -> Value {
        let (status, _, body) = self.ask(&plain("GET", path));
        assert_eq!(status, 200, "{path}");
        serde_json::from_slice(&body).expect("JSON")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request that sends a body.
fn post(path: &str, (form, accept): (&str, &str), body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {form}\r\nAccept: {accept}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn plain(method: &str, path: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").into_bytes()
}

/// The rows of a table of text: identifiers, and objects by column with the same digits.
fn rows(text: &str) -> (Vec<String>, Vec<Value>) {
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().expect("a header");
    let row = |cells: Vec<&str>| {
        let cells = head.iter().zip(&cells).skip(1).map(|(name, cell)| {
            let value = if cell.is_empty() { "null" } else { cell };
            ((*name).to_owned(), serde_json::from_str(value).expect("a number"))
        });
        Value::Object(cells.collect())
    };
    lines.map(|cells| (cells[0].to_owned(), row(cells))).unzip()
}

const BLOOD: &[&str] = &["iron", "sugar", "salt"];
const GAIT: &[&str] = &["speed", "step"];

/// New rows, of which some cells and some modalities are missing, as files in `new` and as JSON.
fn new_rows(place: &Place) -> Value {
    let mut lines: Vec<String> = table(BLOOD, 3..9).lines().map(str::to_owned).collect();
    let cells: Vec<&str> = lines[2].split(',').collect();
    lines[2] = format!("{},,{},{}", cells[0], cells[2], cells[3]);
    let blood = lines.join("\n") + "\n";
    let gait = table(GAIT, 3..7);
    place.file("new/blood.csv", &blood).file("new/gait.csv", &gait);
    let (ids, blood) = rows(&blood);
    let mut gait = rows(&gait).1;
    gait.resize(ids.len(), Value::Null);
    json!({"ids": ids, "modalities": {"blood": blood, "gait": gait}})
}

fn with(mut body: Value, name: &str, value: impl Into<Value>) -> Value {
    body[name] = value.into();
    body
}

/// An array of an NPZ in memory.
fn array<D: Dimension>(bytes: &[u8], name: &str) -> Array<f32, D> {
    let mut npz = NpzReader::new(Cursor::new(bytes)).expect("an NPZ");
    npz.by_name(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn bits<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<u32> {
    values.into_iter().map(|value| value.to_bits()).collect()
}

/// All numbers of JSON in order.
fn numbers(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        Value::Number(number) => vec![number.as_f64().expect("a number") as f32],
        _ => vec![f32::NAN],
    }
}

#[test]
fn an_encoding_is_the_one_that_the_program_writes() {
    let place = with_run();
    let body = new_rows(&place);
    let service = Service::start(&place, "run");
    for (options, settings) in [
        ("", json!({})),
        ("--given gait", json!({"given": ["gait"]})),
        ("-n 3 --seed 5", json!({"samples": 3, "seed": 5})),
    ] {
        place.succeeds(&format!("encode run --data new {options} --out z.npz"));
        let file = fs::read(place.path("z.npz")).expect("it was written");
        let mut body = body.clone();
        settings.as_object().expect("it is one").iter().for_each(|(name, value)| {
            body[name] = value.clone();
        });
        let (status, answer) = service.post("/v1/encode", (JSON, NPZ), body.to_string().as_bytes());
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
        assert_eq!(answer, file, "{options}: the same file");
        let found = service.json("/v1/encode", &body);
        let expected: Vec<f32> = if options.starts_with("-n") {
            let z: Array3<f32> = array(&file, "z");
            z.into_iter().collect()
        } else {
            let z: Array2<f32> = array(&file, "z");
            z.into_iter().collect()
        };
        let z = &found["latents"]["z"];
        let z = if options.starts_with("-n") { &z["samples"] } else { &z["rows"] };
        assert_eq!(bits(&numbers(z)), bits(&expected), "{options}");
        assert_eq!(found["ids"], body["ids"]);
        std::fs::remove_file(place.path("z.npz")).expect("it is there");
    }
}

#[test]
fn what_is_generated_is_what_the_program_writes() {
    let place = with_run();
    let (ids, blood) = rows(&table(BLOOD, 3..9));
    place.file("new/blood.csv", table(BLOOD, 3..9));
    let service = Service::start(&place, "run");
    let body = json!({"ids": ids, "modalities": {"blood": blood}, "target": ["gait"]});
    place.succeeds("generate run --data new --given blood --target gait --out made.npz");
    let (status, answer) = service.post("/v1/generate", (JSON, NPZ), body.to_string().as_bytes());
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(answer, fs::read(place.path("made.npz")).expect("it was written"));
    let expected: Array2<f32> = array(&answer, "gait");
    let found = service.json("/v1/generate", &body);
    assert_eq!(bits(&numbers(&found["modalities"]["gait"]["rows"])), bits(&expected));
    assert_eq!(found["modalities"]["gait"]["columns"], json!(GAIT));
    // What was generated can be sent as it is.
    let back = json!({"modalities": found["modalities"]});
    assert_eq!(
        service.json("/v1/encode", &back)["latents"]["z"]["rows"].as_array().map(Vec::len),
        Some(6)
    );

    place.succeeds("generate run --prior -n 5 --seed 7 --out prior.npz");
    let prior = json!({"n": 5, "seed": 7});
    let (_, answer) = service.post("/v1/generate", (JSON, NPZ), prior.to_string().as_bytes());
    assert_eq!(answer, fs::read(place.path("prior.npz")).expect("it was written"));
    let (_, query) = service.post("/v1/generate?n=5&seed=7", (NPZ, NPZ), b"");
    assert_eq!(query, answer);
}

#[test]
fn imputed_values_are_those_that_the_program_writes() {
    let place = with_run();
    // Arrays, which the program writes with all their digits.
    let gap = |row: usize, column: usize| (row + column) % 4 == 1;
    let value = |row: usize, column: usize| (row as f32 * 0.7 + column as f32).sin();
    let blood =
        Array2::from_shape_fn(
            (6, 3),
            |(row, column)| {
                if gap(row, column) { f32::NAN } else { value(row, column) }
            },
        );
    let gait = Array2::from_shape_fn((6, 2), |(row, column)| value(row, column));
    let mut file = Cursor::new(Vec::new());
    let mut npz = NpzWriter::new(&mut file);
    npz.add_array("blood", &blood).expect("memory takes it");
    npz.add_array("gait", &gait).expect("memory takes it");
    npz.finish().expect("memory takes it");
    let file = file.into_inner();
    place.file("new.npz", &file);
    let service = Service::start(&place, "run");
    place.succeeds("impute run --data new.npz --samples 8 --seed 3 --out done");
    let read = |name: &str| {
        let bytes = fs::read(place.path(&format!("done/{name}.npy"))).expect("it was written");
        Array2::<f32>::read_npy(&bytes[..]).expect("an array")
    };
    let (status, answer) = service.post("/v1/impute?samples=8&seed=3", (NPZ, NPZ), &file);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    for name in ["blood", "blood.std", "blood.low", "blood.high"] {
        let found: Array2<f32> = array(&answer, name);
        assert_eq!(bits(&found), bits(&read(name)), "{name}");
    }
    // The same as JSON.
    let rows: Vec<Vec<Option<f32>>> = blood
        .outer_iter()
        .map(|row| row.iter().map(|value| (!value.is_nan()).then_some(*value)).collect())
        .collect();
    let gait: Vec<Vec<f32>> = gait.outer_iter().map(|row| row.to_vec()).collect();
    let body = json!({"modalities": {"blood": rows, "gait": gait}, "samples": 8, "seed": 3});
    let found = service.json("/v1/impute", &body);
    assert_eq!(bits(&numbers(&found["modalities"]["blood"]["rows"])), bits(&read("blood")));
    assert_eq!(bits(&numbers(&found["std"]["blood"]["rows"])), bits(&read("blood.std")));
    let flags = &found["imputed"]["blood"]["rows"];
    for row in 0..6 {
        for column in 0..3 {
            assert_eq!(flags[row][column], gap(row, column), "{row}, {column}");
        }
    }
}

#[test]
fn a_bundle_answers_as_its_run_does() {
    let place = with_run();
    let body = new_rows(&place);
    place.succeeds("export run --format tar --out given.tar");
    place.succeeds("export run --out given");
    let of = |run: &str| {
        let service = Service::start(&place, run);
        let about = service.get("/v1/model");
        (service.json("/v1/encode", &body), about)
    };
    let ((run, about), (bundle, described)) = (of("run"), of("given"));
    assert_eq!(run, bundle);
    assert_eq!(run, of("given.tar").0);
    assert_eq!(about["modalities"], described["modalities"]);
    assert!(about["rows"]["kept"].as_u64() > Some(0), "{about}");
    assert_eq!(described["rows"], json!({"kept": 0, "reason": "the model comes without data"}));
}

#[test]
fn the_model_and_its_rows_are_described() {
    let place = trained();
    let service = Service::start(place, "run");
    let health = service.get("/v1/health");
    assert_eq!((&health["status"], &health["model"]), (&json!("ok"), &json!("mopoe")));
    let about = service.get("/v1/model");
    let blood = &about["modalities"][0];
    assert_eq!((&blood["name"], &blood["shape"]), (&json!("blood"), &json!([3])));
    assert_eq!(blood["columns"], json!([{"name": "iron"}, {"name": "sugar"}, {"name": "salt"}]));
    assert_eq!((&blood["likelihood"], &blood["kind"]), (&json!("normal"), &json!("table")));
    assert_eq!(about["can"]["impute"], json!({"able": true}));
    assert_eq!(about["limits"]["rows"], 10_000);
    let list = service.get("/v1/rows");
    let count = list["rows"].as_u64().expect("a number");
    assert!(count > 0 && list["ids"].as_array().map(Vec::len) == Some(count as usize), "{list}");
    // A row that is kept is a request, and its values are those of the file.
    let row = service.get("/v1/rows/0");
    let id = row["ids"][0].as_str().expect("text");
    let file = table(BLOOD, 0..crate::place::ROWS);
    let line = file.lines().find(|line| line.starts_with(&format!("{id},"))).expect("its row");
    let cells: Vec<f64> = line.split(',').skip(1).map(|cell| cell.parse().expect("ok")).collect();
    assert_eq!(row["modalities"]["blood"]["rows"], json!([cells]));
    service.json("/v1/encode", &row);
    // The page and all that it loads.
    for (path, part) in [("/", "<title>"), ("/page.css", "--accent"), ("/page.js", "fetch(")] {
        let (status, head, body) = service.ask(&plain("GET", path));
        assert_eq!(status, 200, "{path}");
        assert!(head.contains("Content-Security-Policy: default-src 'none'"), "{head}");
        assert!(String::from_utf8_lossy(&body).contains(part), "{path}");
    }
    let (status, head, body) = service.ask(&plain("HEAD", "/"));
    assert!(status == 200 && body.is_empty() && head.contains("Content-Length: "), "{head}");
}

#[test]
fn a_mixed_table_is_asked_and_answered_in_its_own_words() {
    let place = Place::new();
    let mut text = "id,stage,age,dose\n".to_owned();
    for row in 0..60 {
        let stage = ["i", "ii", "iii"][row % 3];
        text += &format!("p{row},{stage},{},{:.2}\n", 30 + 7 * row % 50, 0.5 + (row % 3) as f64);
    }
    place.file("mixed/clinic.csv", text).file("mixed/blood.csv", table(BLOOD, 0..60));
    place.succeeds("train --model mopoe --data mixed --epochs 2 --set model.latent=2 --out run");
    let service = Service::start(&place, "run");
    let about = service.get("/v1/model");
    let place_of = |name: &str| {
        let all = about["modalities"].as_array().expect("a list");
        all.iter().find(|modality| modality["name"] == name).expect("it is there").clone()
    };
    let stage = &place_of("clinic")["columns"][0];
    assert_eq!(stage["classes"], json!(["i", "ii", "iii"]), "{stage}");
    let body = json!({"modalities": {
        "clinic": [{"stage": "ii", "age": 51, "dose": null}, {"stage": null, "age": 40, "dose": 1.5}],
        "blood": {"columns": ["salt", "iron", "sugar"], "rows": [[0.1, 0.2, 0.3], null]},
    }});
    let found = service.json("/v1/impute", &body);
    let clinic = &found["modalities"]["clinic"];
    assert_eq!(clinic["columns"], json!(["stage", "age", "dose"]));
    assert_eq!((&clinic["rows"][0][0], clinic["rows"][0][1].as_f64()), (&json!("ii"), Some(51.0)));
    assert!(clinic["rows"][0][2].is_number() && clinic["rows"][1][0].is_string(), "{clinic}");
    assert_eq!(
        found["imputed"]["clinic"]["rows"],
        json!([[false, false, true], [true, false, false]])
    );
    let error = service.refused("/v1/encode", r#"{"modalities": {"clinic": [{"stage": "ii"}]}}"#);
    assert_eq!((&error["kind"], &error["modality"]), (&json!("columns"), &json!("clinic")));
    let masked = json!({"modalities": {"clinic": [{"stage": "ii"}]}, "missing_columns": "mask"});
    service.json("/v1/encode", &masked);
}

#[test]
fn rows_of_another_model_are_refused_by_name() {
    let place = trained();
    let service = Service::start(place, "run");
    for (path, body, kind, parts) in [
        (
            "/v1/encode",
            r#"{"modalities": {"bones": [[1]]}}"#,
            "unknown_modality",
            &["bones", "`blood`"][..],
        ),
        (
            "/v1/encode",
            r#"{"modalities": {"blood": [{"lead": 1}]}}"#,
            "columns",
            &["blood", "lead"],
        ),
        (
            "/v1/encode",
            r#"{"modalities": {"blood": [{"iron": 1}]}}"#,
            "columns",
            &["sugar", "salt"],
        ),
        (
            "/v1/encode",
            r#"{"modalities": {"blood": [[1, 2]]}}"#,
            "shape",
            &["3 values", "[2] in row 0"],
        ),
        (
            "/v1/encode",
            r#"{"modalities": {"blood": [[1, 2, "much"]]}}"#,
            "value",
            &["row 0", "salt", "much"],
        ),
        ("/v1/encode", r#"{"modalities": {"blood": [[1, 2, 1e300]]}}"#, "value", &["salt"]),
        (
            "/v1/encode",
            r#"{"modalities": {"blood": [null]}}"#,
            "rows",
            &["row `0` observes no modality"],
        ),
        ("/v1/encode", r#"{"modalities": {"blood": []}}"#, "rows", &["`rows` is empty"]),
        (
            "/v1/encode",
            r#"{"modalities": {"blood": [[1, 2, 3]], "gait": []}}"#,
            "shape",
            &["gait", "1 rows"],
        ),
        (
            "/v1/encode",
            r#"{"ids": ["a", "a"], "modalities": {"blood": [[1, 2, 3], [1, 2, 3]]}}"#,
            "rows",
            &["`a` is given twice"],
        ),
        (
            "/v1/encode",
            r#"{"modalities": {"blood": [[1, 2, 3]]}, "given": ["bones"]}"#,
            "unknown_modality",
            &["bones"],
        ),
        (
            "/v1/encode",
            r#"{"modalities": {"blood": [[1, 2, 3]]}, "samples": 0}"#,
            "setting",
            &["samples"],
        ),
        (
            "/v1/encode",
            r#"{"modalities": {"blood": [[1, 2, 3]]}, "target": ["gait"]}"#,
            "setting",
            &["target"],
        ),
        ("/v1/encode", "{}", "setting", &["modalities"]),
        (
            "/v1/generate",
            r#"{"modalities": {"blood": [[1, 2, 3]]}, "given": ["gait"]}"#,
            "rows",
            &["row `0`", "gait"],
        ),
        ("/v1/generate", r#"{"n": 0}"#, "setting", &["`n`"]),
        ("/v1/generate", r#"{"target": ["bones"]}"#, "unknown_modality", &["bones"]),
        (
            "/v1/impute",
            r#"{"modalities": {"blood": [[1, null, 3]]}, "samples": 1}"#,
            "setting",
            &["samples"],
        ),
        ("/v1/encode", r#"{"modalities": "#, "json", &["line 1"]),
        ("/v1/encode", r#"{"modalities": {"blood": [[1, NaN, 3]]}}"#, "json", &["line 1"]),
        ("/v1/encode", r#"{"modality": {}}"#, "json", &["unknown field `modality`"]),
        (
            "/v1/encode",
            r#"{"modalities": {"blood": [[[1], 2]]}}"#,
            "json",
            &["values stand beside lists"],
        ),
    ] {
        let error = service.refused(path, body);
        assert_eq!(error["kind"], kind, "{body}: {error}");
        for part in parts {
            assert!(error.to_string().contains(part), "{body}: {part} is not in {error}");
        }
    }
    let error =
        service.refused("/v1/encode", r#"{"modalities": {"blood": [[1, 2, 3], [1, "x", 3]]}}"#);
    assert_eq!((&error["modality"], &error["row"]), (&json!("blood"), &json!(1)));
    assert_eq!((&error["column"], &error["found"]), (&json!("sugar"), &json!("x")));
}

#[test]
fn archives_that_are_none_or_too_large_are_refused() {
    let place = trained();
    let service = Service::start(place, "run --max-body 1");
    let npz = |array: ndarray::ArrayD<f64>, name: &str, packed: bool| {
        let mut file = Cursor::new(Vec::new());
        let mut writer = match packed {
            true => NpzWriter::new_compressed(&mut file),
            false => NpzWriter::new(&mut file),
        };
        writer.add_array(name, &array).expect("memory takes it");
        writer.finish().expect("memory takes it");
        file.into_inner()
    };
    let zeros = |shape: &[usize]| ndarray::ArrayD::<f64>::zeros(shape);
    let good = npz(zeros(&[2, 3]), "blood", false);
    let bomb = npz(zeros(&[400_000, 3]), "blood", true);
    assert!(bomb.len() < 20_000, "{} bytes", bomb.len());
    let mut objects = good.clone();
    let place_of_type = objects.windows(4).position(|four| four == b"'<f8").expect("a type") + 1;
    objects[place_of_type..place_of_type + 3].copy_from_slice(b"<c8");
    for (body, status, parts) in [
        (bomb, 400, &["more than 1048576 bytes when they are unpacked"][..]),
        (good[..good.len() / 2].to_vec(), 400, &["not a valid NPZ file"]),
        (b"no archive".to_vec(), 400, &["not a valid NPZ file"]),
        (npz(zeros(&[2, 4]), "blood", false), 422, &["blood", "[3]", "[4]"]),
        (npz(zeros(&[2, 3]), "bones", false), 422, &["bones"]),
        (
            npz(ndarray::ArrayD::from_elem(vec![2, 3], f64::INFINITY), "blood", false),
            422,
            &["blood", "finite"],
        ),
    ] {
        let (found, answer) = service.post("/v1/encode", (NPZ, JSON), &body);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(found, status, "{answer}");
        assert!(parts.iter().all(|part| answer.contains(part)), "{parts:?}: {answer}");
    }
    let (status, answer) = service.post("/v1/encode", (NPZ, JSON), &objects);
    assert!(status == 400 || status == 422, "{}", String::from_utf8_lossy(&answer));
    let (status, answer) = service.post("/v1/encode?sed=1", (NPZ, JSON), &good);
    assert_eq!(status, 422, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(service.post("/v1/encode", (NPZ, JSON), &good).0, 200);
}

#[test]
fn what_is_no_request_of_this_service_is_refused() {
    let place = trained();
    let service = Service::start(place, "run --max-body 1 --max-rows 3");
    let row = "[1, 2, 3]";
    let rows = |count: usize| {
        format!(r#"{{"modalities": {{"blood": [{}]}}}}"#, vec![row; count].join(","))
    };
    assert_eq!(service.post("/v1/encode", (JSON, JSON), rows(3).as_bytes()).0, 200);
    let large = format!(r#"{{"ids": ["{}"]}}"#, "x".repeat(1 << 20));
    let error = service.refused("/v1/encode", &large);
    assert_eq!((&error["status"], &error["expected"]), (&json!(413), &json!(1 << 20)));
    let error = service.refused("/v1/encode", &rows(4));
    assert_eq!((&error["status"], &error["kind"]), (&json!(413), &json!("too_many_rows")));
    assert_eq!(service.refused("/v1/generate", r#"{"n": 4}"#)["kind"], "too_many_rows");
    let body = rows(1);
    for (request, status, part) in [
        (plain("GET", "/v1/decode"), 404, "/v1/decode"),
        (plain("GET", "/v1/rows/9999"), 404, "/v1/rows/9999"),
        (plain("GET", "/../run.toml"), 404, "run.toml"),
        (plain("GET", "/v1/encode"), 405, "expected POST, found GET"),
        (plain("DELETE", "/v1/model"), 405, "Allow: GET, HEAD"),
        (post("/v1/encode", ("text/csv", JSON), body.as_bytes()), 415, "application/x-npz"),
        (post("/v1/encode", (JSON, "image/png"), body.as_bytes()), 406, "image/png"),
        (b"nonsense\r\n\r\n".to_vec(), 400, "head"),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".to_vec(), 421, "Host"),
        (b"POST /v1/encode HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), 411, "Content-Length"),
    ] {
        let (found, head, answer) = service.ask(&request);
        let text = format!("{head}\n{}", String::from_utf8_lossy(&answer));
        assert_eq!(found, status, "{text}");
        assert!(text.contains(part), "{part}: {text}");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!(answer["error"]["status"], status);
    }
    // Nothing of this machine was said, and the service goes on.
    let folder = place.path("run").display().to_string();
    for path in ["/v1/model", "/v1/health", "/v1/rows", "/v1/rows/0"] {
        assert!(!service.get(path).to_string().contains(&folder), "{path}");
    }
    assert_eq!(service.get("/v1/health")["computed"], 0);
}

#[test]
fn requests_end_in_time() {
    let place = trained();
    let service = Service::start(place, "run --max-seconds 0.001");
    let rows = vec![json!([0.1, 0.2, 0.3]); 5000];
    let error = service.refused("/v1/encode", &json!({"modalities": {"blood": rows}}).to_string());
    assert!([408, 503, 504].map(Value::from).contains(&error["status"]), "{error}");
    // A body that never comes.
    let service = Service::start(place, "run --max-seconds 0.3");
    let head = "POST /v1/encode HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\n\r\n{";
    let start = Instant::now();
    let mut stream = TcpStream::connect(&service.address).expect("it listens");
    stream.write_all(head.as_bytes()).expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it closes");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn more_requests_than_there_are_places_are_sent_away() {
    let place = trained();
    let service = Service::start(place, "run --max-requests 1");
    // The first takes the only place while its body is on its way.
    let body = r#"{"modalities": {"blood": [[1, 2, 3]]}}"#;
    let whole = post("/v1/encode", (JSON, JSON), body.as_bytes());
    let (first, last) = whole.split_at(whole.len() - 5);
    let mut slow = TcpStream::connect(&service.address).expect("it listens");
    slow.write_all(first).expect("it listens");
    let start = Instant::now();
    while service.get("/v1/health")["waiting"] != 1 {
        assert!(start.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(2));
    }
    let (status, head, _) = service.ask(&whole);
    assert!(status == 503 && head.contains("Retry-After: 1"), "{head}");
    slow.write_all(last).expect("it listens");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(service.ask(&whole).0, 200);
}

#[test]
fn many_clients_get_the_answers_that_one_gets() {
    let place = trained();
    let service = Service::start(place, "run");
    let bodies: Vec<String> = (0..8)
        .map(|i| {
            let body = json!({"modalities": {"blood": [[0.1 * f64::from(i), 0.2, 0.3]]}});
            with(with(body, "samples", 2), "seed", i).to_string()
        })
        .collect();
    let alone: Vec<_> = bodies
        .iter()
        .map(|body| service.post("/v1/encode", (JSON, JSON), body.as_bytes()))
        .collect();
    assert!(alone.iter().all(|(status, _)| *status == 200));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for (body, expected) in bodies.iter().zip(&alone) {
                    let found = service.post("/v1/encode", (JSON, JSON), body.as_bytes());
                    assert!(found == *expected, "{}", String::from_utf8_lossy(&found.1));
                }
            });
        }
    });
}

#[test]
fn an_interrupt_lets_a_running_answer_end() {
    let place = trained();
    let service = Service::start(place, "run");
    let body = r#"{"modalities": {"blood": [[1, 2, 3]]}}"#;
    let whole = post("/v1/encode", (JSON, JSON), body.as_bytes());
    let (first, last) = whole.split_at(whole.len() - 5);
    let mut running = TcpStream::connect(&service.address).expect("it listens");
    running.write_all(first).expect("it listens");
    let start = Instant::now();
    while service.get("/v1/health")["waiting"] != 1 {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    // One that only stays open does not hold it up.
    let idle = TcpStream::connect(&service.address).expect("it listens");
    service.interrupt();
    let start = Instant::now();
    while TcpStream::connect(&service.address).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20), "it still listens");
        thread::sleep(Duration::from_millis(5));
    }
    running.write_all(last).expect("it still reads");
    let mut answer = String::new();
    running.read_to_string(&mut answer).expect("it still answers");
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("Connection: close"),
        "{answer}"
    );
    let output = service.ended();
    drop(idle);
    assert!(output.status.success(), "{}", error(&output));
    assert!(error(&output).contains("interrupted: answers that are computed are finished"));
}

#[test]
fn a_port_in_use_and_other_hosts_are_said() {
    let place = trained();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let parts = [format!("port {port} of 127.0.0.1 is in use"), format!("--port {port}")];
    place.fails(
        &format!("serve-model run --port {port}"),
        2,
        &[&parts[0], &parts[1], "or 0 for any"],
    );
    place.fails("serve-model nowhere --port 0", 2, &["nowhere"]);
    place.fails("serve-model run --host 203.0.113.7 --port 0", 2, &["--host 203.0.113.7"]);
    let open = Service::start(place, "run --host 0.0.0.0");
    open.interrupt();
    let said = error(&open.ended());
    assert!(said.contains("warning: whoever reaches 0.0.0.0:"), "{said}");
    assert!(said.contains("there is no authentication"), "{said}");
    let help = place.succeeds("serve-model --help");
    assert!(help.contains("Answer requests by HTTP") && help.contains("authentication"), "{help}");
}

/// Resident memory of a process in KiB, and its peak.
fn memory(id: u32) -> Option<(u64, u64)> {
    let text = fs::read_to_string(Path::new("/proc").join(id.to_string()).join("status")).ok()?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some((field("VmRSS:")?, field("VmHWM:")?))
}

/// One request over a connection that is kept; gives the status.
fn again(stream: &mut BufReader<TcpStream>, request: &[u8]) -> u16 {
    stream.get_mut().write_all(request).expect("it listens");
    let mut line = String::new();
    stream.read_line(&mut line).expect("an answer");
    let status = line[9..12].parse().expect("a status");
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).expect("a head");
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().expect("a number");
        }
        if line == "\r\n" {
            break;
        }
    }
    stream.read_exact(&mut vec![0; length]).expect("a body");
    status
}

/// `MULTIVAE_REQUESTS=10000 cargo test --release --test cli -- --nocapture many_clients` measures.
#[test]
#[allow(clippy::print_stdout, reason = "it is a measurement")]
fn requests_of_many_clients_leave_no_error_and_no_memory() {
    const CLIENTS: usize = 32;
    let asked = std::env::var("MULTIVAE_REQUESTS");
    let requests = asked.map_or(1000, |number| number.parse().expect("a number of requests"));
    let place = trained();
    let service = Service::start(place, "run");
    let asked = |i: usize| {
        let value = 0.01 * (i % 100) as f64;
        let body = json!({"modalities": {"blood": [[value, 0.2, 0.3]], "gait": [null]}});
        let (path, body) = match i % 3 {
            0 => ("/v1/encode", body),
            1 => (
                "/v1/generate",
                with(
                    json!({"modalities": {"blood": [[value, 0.2, 0.3]]}}),
                    "target",
                    json!(["gait"]),
                ),
            ),
            _ => ("/v1/impute", with(body, "samples", 10)),
        };
        let request = String::from_utf8(post(path, (JSON, JSON), body.to_string().as_bytes()));
        request.expect("text").replace("Connection: close\r\n", "").into_bytes()
    };
    let round = |requests: usize| -> Vec<Duration> {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let address = &service.address;
                    let asked = &asked;
                    scope.spawn(move || {
                        let stream = TcpStream::connect(address).expect("it listens");
                        stream.set_nodelay(true).expect("a socket");
                        let mut stream = BufReader::new(stream);
                        let own = (client..requests).step_by(CLIENTS);
                        own.map(|i| {
                            let request = asked(i);
                            let start = Instant::now();
                            assert_eq!(again(&mut stream, &request), 200);
                            start.elapsed()
                        })
                        .collect::<Vec<_>>()
                    })
                })
                .collect();
            clients.into_iter().flat_map(|client| client.join().expect("no error")).collect()
        })
    };
    round(requests);
    let before = memory(service.id());
    let start = Instant::now();
    let mut times = round(requests);
    let whole = start.elapsed();
    let after = memory(service.id());
    round(requests);
    let last = memory(service.id());
    times.sort_unstable();
    let quantile = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu =
        cpu.lines().find(|line| line.starts_with("model name")).unwrap_or("unknown").to_owned();
    println!(
        "{requests} requests of {CLIENTS} clients in {:.1} s, {:.0} a second; p50 {:.1} ms, p90 \
         {:.1} ms, p99 {:.1} ms, longest {:.1} ms; resident KiB and peak before {before:?}, after \
         {after:?}, and after as many again {last:?}; {}; {:?} cores",
        whole.as_secs_f64(),
        requests as f64 / whole.as_secs_f64(),
        quantile(0.5).as_secs_f64() * 1e3,
        quantile(0.9).as_secs_f64() * 1e3,
        quantile(0.99).as_secs_f64() * 1e3,
        quantile(1.0).as_secs_f64() * 1e3,
        cpu.split(':').next_back().unwrap_or_default().trim(),
        thread::available_parallelism(),
    );
    assert_eq!(times.len(), requests);
    if let (Some((before, _)), Some((last, _))) = (before, last) {
        assert!(last < before + 32 * 1024, "{before} KiB grew to {last} KiB");
    }
    let health = service.get("/v1/health");
    assert_eq!((&health["refused"], &health["computed"]), (&json!(0), &json!(0)));
}
