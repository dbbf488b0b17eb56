//! A server on this machine that behaves as the Hugging Face Hub does, with a second one as the
//! place of large files; and what can go wrong with them.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Files in a part of a list.
const PART: usize = 4;
/// In every address of a large file. It gives access, so that no message may show it.
pub(crate) const SIGNATURE: &str = "X-Signature-5f2c";

/// Both servers.
pub(crate) struct Loopback {
    /// The address of the hub.
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

/// What went wrong with an answer.
#[derive(Clone)]
pub(crate) enum What {
    /// Another answer: status, a header, content.
    Answer(u16, &'static str, String),
    /// The content ends after so many bytes.
    Cut(usize),
    /// Nothing is said for so long, then the answer.
    Slow(Duration),
    /// It is done, and the answer is lost.
    Lost,
    /// The content is another one.
    Content(Vec<u8>),
}

struct Fault {
    /// Part of the method and path of requests that it befalls.
    request: String,
    times: usize,
    what: What,
}

/// A request that was made.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Whether it was made at the place of large files.
    pub(crate) elsewhere: bool,
    /// Method and path.
    pub(crate) request: String,
    pub(crate) authorization: Option<String>,
    pub(crate) range: Option<String>,
    pub(crate) body: Vec<u8>,
}

#[derive(Clone, Default)]
struct Repository {
    private: bool,
    head: Option<String>,
    tags: BTreeMap<String, String>,
    commits: BTreeMap<String, BTreeMap<String, File>>,
}

#[derive(Clone)]
struct File {
    content: Vec<u8>,
    large: bool,
    /// What a list says of it in place of the truth.
    line: Option<Value>,
}

#[derive(Default)]
struct State {
    hub: String,
    elsewhere: String,
    repositories: BTreeMap<String, Repository>,
    objects: BTreeMap<String, Vec<u8>>,
    faults: Vec<Fault>,
    seen: Vec<Seen>,
    /// New repositories are public, whatever was asked for.
    all_public: bool,
}

/// An answer on its way.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    content: Vec<u8>,
}

impl Answer {
    fn new(status: u16, content: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), content: content.into() }
    }

    fn json(value: &Value) -> Self {
        Self::new(200, value.to_string()).with("Content-Type", "application/json")
    }

    fn wrong(status: u16, code: &str, message: &str) -> Self {
        Self::new(status, json!({"error": message}).to_string())
            .with("Content-Type", "application/json")
            .with("X-Error-Code", code)
            .with("X-Error-Message", message)
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

impl Loopback {
    /// With the tokens `hf_writer`, `hf_reader` and `hf_stranger`, and nothing else.
    pub(crate) fn new() -> Self {
        let bind = || TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (hub, elsewhere) = (bind(), bind());
        let url = |listener: &TcpListener| {
            format!("http://{}", listener.local_addr().expect("it is bound"))
        };
        let state = State { hub: url(&hub), elsewhere: url(&elsewhere), ..State::default() };
        let found = Self { url: url(&hub), state: Arc::new(Mutex::new(state)) };
        for (listener, far) in [(hub, false), (elsewhere, true)] {
            let state = found.state.clone();
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = state.clone();
                    thread::spawn(move || serve(stream, far, &state));
                }
            });
        }
        found
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread has panicked")
    }

    /// The next requests of which this is a part go wrong.
    pub(crate) fn fault(&self, request: &str, times: usize, what: What) -> &Self {
        self.state().faults.push(Fault { request: request.to_owned(), times, what });
        self
    }

    /// All requests so far, which are forgotten.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state().seen)
    }

    /// New repositories are public, whatever is asked for.
    pub(crate) fn makes_all_public(&self) -> &Self {
        self.state().all_public = true;
        self
    }

    /// A repository that is there, with a commit of these files.
    pub(crate) fn holds<'a>(
        &self,
        name: &str,
        private: bool,
        files: impl IntoIterator<Item = (&'a str, Vec<u8>)>,
    ) -> String {
        let file = |(name, content): (&str, Vec<u8>)| {
            (name.to_owned(), File { content, large: is_large(name), line: None })
        };
        let tree = files.into_iter().map(file).collect();
        let mut state = self.state();
        let repository = state.repositories.entry(name.to_owned()).or_default();
        repository.private = private;
        repository.commit(tree)
    }

    /// What a list says of a file in place of the truth.
    pub(crate) fn lies(&self, name: &str, file: &str, line: Value) {
        let mut state = self.state();
        let repository = state.repositories.get_mut(name).expect("it is there");
        let head = repository.head.clone().expect("it has a commit");
        let tree = repository.commits.get_mut(&head).expect("its commit");
        let empty = File { content: Vec::new(), large: false, line: None };
        tree.entry(file.to_owned()).or_insert(empty).line = Some(line);
    }

    /// Gives the newest commit a name.
    pub(crate) fn tag(&self, name: &str, tag: &str) {
        let mut state = self.state();
        let repository = state.repositories.get_mut(name).expect("it is there");
        let head = repository.head.clone().expect("it has a commit");
        repository.tags.insert(tag.to_owned(), head);
    }

    /// The files of the newest commit, how many commits there are, and whether it is private.
    pub(crate) fn content(&self, name: &str) -> Option<(BTreeMap<String, Vec<u8>>, usize, bool)> {
        let state = self.state();
        let repository = state.repositories.get(name)?;
        let tree = repository.head.as_ref().map(|head| repository.commits[head].clone());
        let files = tree.unwrap_or_default().into_iter().map(|(name, file)| (name, file.content));
        Some((files.collect(), repository.commits.len(), repository.private))
    }
}

impl Repository {
    fn commit(&mut self, tree: BTreeMap<String, File>) -> String {
        let mut sum = Sha1::new().chain_update(self.commits.len().to_le_bytes());
        for (name, file) in &tree {
            sum.update(name);
            sum.update(&file.content);
        }
        let commit = hex(&sum.finalize());
        self.commits.insert(commit.clone(), tree);
        self.head = Some(commit.clone());
        commit
    }

    fn find(&self, revision: &str) -> Option<&String> {
        match revision {
            "main" => self.head.as_ref(),
            other => {
                let commit = self.commits.get_key_value(other).map(|(commit, _)| commit);
                commit.or_else(|| self.tags.get(other))
            }
        }
    }
}

impl File {
    fn git(&self) -> String {
        let length = self.content.len();
        hex(&Sha1::new()
            .chain_update(format!("blob {length}\0"))
            .chain_update(&self.content)
            .finalize())
    }
}

fn is_large(name: &str) -> bool {
    [".safetensors", ".pt", ".pkl", ".bin"].iter().any(|end| name.ends_with(end))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Answers one request.
fn serve(mut stream: TcpStream, far: bool, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let mut body = Vec::new();
    if let Some(length) = headers.get("content-length") {
        body.resize(length.parse().ok()?, 0);
        reader.read_exact(&mut body).ok()?;
    } else if headers.get("transfer-encoding").is_some_and(|kind| kind == "chunked") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let length = usize::from_str_radix(line.trim(), 16).ok()?;
            let start = body.len();
            body.resize(start + length, 0);
            reader.read_exact(&mut body[start..]).ok()?;
            reader.read_line(&mut line).ok()?;
            if length == 0 {
                break;
            }
        }
    }
    let seen = Seen {
        elsewhere: far,
        request: format!("{method} {path}"),
        authorization: headers.get("authorization").cloned(),
        range: headers.get("range").cloned(),
        body,
    };
    let (fault, mut answer) = {
        let mut state = state.lock().expect("no thread has panicked");
        state.seen.push(seen.clone());
        let fault = state
            .faults
            .iter_mut()
            .find(|fault| fault.times > 0 && seen.request.contains(&fault.request));
        let fault = fault.map(|fault| {
            fault.times -= 1;
            fault.what.clone()
        });
        let answer = match &fault {
            Some(What::Answer(status, header, content)) => {
                let answer = Answer::new(*status, content.clone());
                match header.split_once(": ") {
                    Some((name, value)) => {
                        answer.with(name, value.replace("ELSEWHERE", &state.elsewhere))
                    }
                    None => answer,
                }
            }
            _ => state.answer(&method, &path, &seen),
        };
        (fault, answer)
    };
    let mut sent = None;
    match fault {
        Some(What::Lost) => answer = Answer::new(504, "lost"),
        Some(What::Slow(time)) => thread::sleep(time),
        Some(What::Content(content)) => answer.content = content,
        Some(What::Cut(length)) => sent = Some(length),
        _ => {}
    }
    let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", answer.status);
    head += &format!("Content-Length: {}\r\n", answer.content.len());
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    // Who has seen enough closes the connection.
    stream.write_all(head.as_bytes()).ok()?;
    if method != "HEAD" {
        let length = sent.unwrap_or(usize::MAX).min(answer.content.len());
        stream.write_all(&answer.content[..length]).ok()?;
    }
    Some(())
}

impl State {
    fn answer(&mut self, method: &str, path: &str, seen: &Seen) -> Answer {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<String> = path.trim_start_matches('/').split('/').map(unescaped).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        if seen.elsewhere {
            return self.far(method, &parts, query, seen);
        }
        let token = seen.authorization.as_deref().and_then(|text| text.strip_prefix("Bearer "));
        let role = match token {
            None => "nobody",
            Some("hf_writer") => "write",
            Some("hf_reader") => "read",
            Some("hf_stranger") => "stranger",
            Some(_) => {
                return Answer::wrong(401, "", "Invalid credentials in Authorization header");
            }
        };
        let named = |owner: &str, name: &str| format!("{owner}/{name}");
        match (method, parts.as_slice()) {
            ("GET", ["api", "whoami-v2"]) => match role {
                "nobody" => Answer::wrong(401, "", "Invalid username or password."),
                _ => {
                    let role = if role == "stranger" { "write" } else { role };
                    Answer::json(&json!({
                        "type": "user", "name": "ada", "orgs": [],
                        "auth": {"type": "access_token", "accessToken": {"role": role}},
                    }))
                }
            },
            ("POST", ["api", "validate-yaml"]) => validated(&seen.body),
            ("POST", ["api", "repos", "create"]) => self.create(role, &seen.body),
            ("GET", ["api", "models", owner, name]) => {
                let name = named(owner, name);
                self.open(&name, role, |_, repository| repository.about(&name, "main"))
            }
            ("GET", ["api", "models", owner, name, "revision", revision]) => {
                let name = named(owner, name);
                self.open(&name, role, |_, repository| repository.about(&name, revision))
            }
            ("GET", ["api", "models", owner, name, "tree", revision, ..]) => {
                let name = named(owner, name);
                self.open(&name, role, |hub, repository| {
                    repository.list(hub, path, query, revision)
                })
            }
            ("POST", ["api", "models", owner, name, kind @ ("preupload" | "commit"), "main"]) => {
                let (name, kind) = (named(owner, name), (*kind).to_owned());
                self.write(&name, role, &kind, &seen.body)
            }
            ("POST", [owner, name, "info", "lfs", rest @ ..]) => {
                let name = named(owner, name.trim_end_matches(".git"));
                self.write(&name, role, &rest.join("/"), &seen.body)
            }
            ("GET" | "HEAD", [owner, name, "resolve", revision, file @ ..]) => {
                let (elsewhere, file) = (self.elsewhere.clone(), file.join("/"));
                let range = seen.range.clone();
                self.open(&named(owner, name), role, |_, repository| {
                    repository.resolve(&elsewhere, revision, &file, range.as_deref())
                })
            }
            _ => Answer::wrong(404, "", "Sorry, we can't find the page you are looking for."),
        }
    }

    /// The place of large files, where a signature gives access.
    fn far(&mut self, method: &str, parts: &[&str], query: &str, seen: &Seen) -> Answer {
        if query != SIGNATURE {
            return Answer::new(403, "<?xml version=\"1.0\"?><Error>AccessDenied</Error>");
        }
        match (method, parts) {
            ("PUT", ["put", oid]) if sha256(&seen.body) == *oid => {
                self.objects.insert((*oid).to_owned(), seen.body.clone());
                Answer::new(200, "")
            }
            ("PUT", _) => Answer::new(400, "BadDigest"),
            ("GET" | "HEAD", ["get", oid]) => {
                let known =
                    self.repositories.values().flat_map(|repository| repository.commits.values());
                let known = known.flat_map(|tree| tree.values());
                let found =
                    known.filter(|file| file.large).find(|file| sha256(&file.content) == *oid);
                match found {
                    Some(file) => ranged(&file.content, seen.range.as_deref()),
                    None => Answer::new(404, "NoSuchKey"),
                }
            }
            _ => Answer::new(405, ""),
        }
    }

    fn open(
        &self,
        name: &str,
        role: &str,
        then: impl FnOnce(&str, &Repository) -> Answer,
    ) -> Answer {
        let missing = |status| Answer::wrong(status, "RepoNotFound", "Repository not found");
        match self.repositories.get(name) {
            None if role == "nobody" => missing(401),
            None => missing(404),
            Some(repository) if repository.private && role == "nobody" => missing(401),
            Some(repository) if repository.private && role == "stranger" => missing(404),
            Some(repository) => then(&self.hub, repository),
        }
    }

    fn create(&mut self, role: &str, body: &[u8]) -> Answer {
        if role != "write" {
            let message = "You don't have the rights to create a model under the namespace \"ada\"";
            return Answer::wrong(403, "", message);
        }
        let asked: Value = serde_json::from_slice(body).expect("JSON");
        let word = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
        let name = format!("{}/{}", word("organization"), word("name"));
        if self.repositories.contains_key(&name) {
            return Answer::wrong(409, "", "You already created this model repo");
        }
        let private = word("visibility") == "private" && !self.all_public;
        let mut repository = Repository { private, ..Repository::default() };
        let attributes = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n".to_vec();
        let file = File { content: attributes, large: false, line: None };
        repository.commit(BTreeMap::from([(".gitattributes".to_owned(), file)]));
        let url = format!("{}/{name}", self.hub);
        self.repositories.insert(name.clone(), repository);
        Answer::json(&json!({"url": url, "name": name, "id": name}))
    }

    fn write(&mut self, name: &str, role: &str, kind: &str, body: &[u8]) -> Answer {
        let access = self.open(name, role, |_, _| Answer::new(200, ""));
        if access.status != 200 {
            return access;
        }
        if role != "write" {
            return Answer::wrong(403, "", "Forbidden: you must have write access");
        }
        let (elsewhere, hub) = (self.elsewhere.clone(), self.hub.clone());
        let repository = self.repositories.get_mut(name).expect("it was opened");
        let json = || serde_json::from_slice::<Value>(body).expect("JSON");
        match kind {
            "preupload" => {
                let tree = repository.head.as_ref().map(|head| &repository.commits[head]);
                let about = |file: &Value| {
                    let path = file["path"].as_str().expect("a path");
                    let there = tree.and_then(|tree| tree.get(path));
                    let oid = there
                        .map(|file| if file.large { sha256(&file.content) } else { file.git() });
                    let mode = if is_large(path) { "lfs" } else { "regular" };
                    json!({"path": path, "uploadMode": mode, "shouldIgnore": false, "oid": oid})
                };
                let files = json()["files"].as_array().expect("files").iter().map(about).collect();
                Answer::json(&json!({"files": Value::Array(files)}))
            }
            "objects/batch" => {
                let about = |object: &Value| {
                    let (oid, size) = (object["oid"].as_str().expect("a name"), &object["size"]);
                    if self.objects.contains_key(oid) {
                        return json!({"oid": oid, "size": size});
                    }
                    json!({"oid": oid, "size": size, "authenticated": true, "actions": {
                        "upload": {"href": format!("{elsewhere}/put/{oid}?{SIGNATURE}"), "header": {}},
                        "verify": {"href": format!("{hub}/{name}.git/info/lfs/verify")},
                    }})
                };
                let objects =
                    json()["objects"].as_array().expect("objects").iter().map(about).collect();
                Answer::json(&json!({"transfer": "basic", "objects": Value::Array(objects)}))
            }
            "verify" => {
                let asked = json();
                let oid = asked["oid"].as_str().expect("a name");
                let length = self.objects.get(oid).map(|content| json!(content.len()));
                if length == Some(asked["size"].clone()) {
                    Answer::json(&json!({}))
                } else {
                    Answer::wrong(404, "", "not uploaded")
                }
            }
            _ => {
                let text = String::from_utf8(body.to_vec()).expect("text");
                let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
                let lines: Vec<Value> = lines.collect();
                let head = repository.head.clone();
                if let Some(parent) = lines[0]["value"]["parentCommit"].as_str()
                    && head.as_deref() != Some(parent)
                {
                    return Answer::wrong(
                        412,
                        "",
                        "A commit has happened since. Please refresh and try again.",
                    );
                }
                let mut tree =
                    head.map(|head| repository.commits[&head].clone()).unwrap_or_default();
                for line in &lines[1..] {
                    let value = &line["value"];
                    let path = value["path"].as_str().expect("a path").to_owned();
                    let file = match line["key"].as_str() {
                        Some("file") => {
                            let content = value["content"].as_str().expect("content");
                            let content = STANDARD.decode(content).expect("base64");
                            File { content, large: false, line: None }
                        }
                        Some("lfsFile") => {
                            let oid = value["oid"].as_str().expect("a name");
                            let Some(content) = self.objects.get(oid).cloned() else {
                                return Answer::wrong(
                                    400,
                                    "",
                                    "LFS pointer to a file that was not uploaded",
                                );
                            };
                            File { content, large: true, line: None }
                        }
                        _ => {
                            tree.remove(&path);
                            continue;
                        }
                    };
                    tree.insert(path, file);
                }
                let commit = repository.commit(tree);
                let url = format!("{hub}/{name}/commit/{commit}");
                Answer::json(&json!({"success": true, "commitOid": commit, "commitUrl": url}))
            }
        }
    }
}

impl Repository {
    fn missing() -> Answer {
        Answer::wrong(404, "RevisionNotFound", "Invalid rev id")
    }

    fn about(&self, name: &str, revision: &str) -> Answer {
        let Some(commit) = self.find(revision) else { return Self::missing() };
        let files = self.commits[commit].keys().map(|file| json!({"rfilename": file}));
        Answer::json(&json!({
            "id": name, "modelId": name, "sha": commit, "private": self.private, "tags": [],
            "siblings": files.collect::<Vec<_>>(),
        }))
    }

    /// A part of the list of all files.
    fn list(&self, hub: &str, path: &str, query: &str, revision: &str) -> Answer {
        let Some(commit) = self.find(revision) else { return Self::missing() };
        let cursor = query.split('&').find_map(|pair| pair.strip_prefix("cursor=")?.parse().ok());
        let from: usize = cursor.unwrap_or(0);
        let tree = &self.commits[commit];
        let line = |(name, file): (&String, &File)| {
            if let Some(line) = &file.line {
                return line.clone();
            }
            let size = file.content.len();
            if file.large {
                let pointer = hex(&Sha1::digest(&file.content));
                json!({"type": "file", "path": name, "oid": pointer, "size": size,
                    "lfs": {"oid": sha256(&file.content), "size": size, "pointerSize": 130}})
            } else {
                json!({"type": "file", "path": name, "oid": file.git(), "size": size})
            }
        };
        let lines: Vec<Value> = tree.iter().skip(from).take(PART).map(line).collect();
        let answer = Answer::json(&Value::Array(lines));
        if from + PART < tree.len() {
            let next = format!("<{hub}{path}?cursor={}>; rel=\"next\"", from + PART);
            return answer.with("Link", next);
        }
        answer
    }

    fn resolve(&self, far: &str, revision: &str, name: &str, range: Option<&str>) -> Answer {
        let Some(commit) = self.find(revision) else { return Self::missing() };
        let Some(file) = self.commits[commit].get(name) else {
            return Answer::wrong(404, "EntryNotFound", "Entry not found");
        };
        if !file.large {
            let tag = format!("\"{}\"", file.git());
            return ranged(&file.content, range).with("ETag", tag).with("X-Repo-Commit", commit);
        }
        let oid = sha256(&file.content);
        Answer::new(302, "Found. Redirecting")
            .with("Location", format!("{far}/get/{oid}?{SIGNATURE}"))
            .with("X-Repo-Commit", commit)
            .with("X-Linked-Etag", format!("\"{oid}\""))
            .with("X-Linked-Size", file.content.len().to_string())
    }
}

/// A content from some byte on.
fn ranged(content: &[u8], range: Option<&str>) -> Answer {
    let from =
        range.and_then(|range| range.strip_prefix("bytes=")?.trim_end_matches('-').parse().ok());
    let all = content.len();
    match from {
        None => Answer::new(200, content),
        Some(from) if from >= all => {
            Answer::new(416, "").with("Content-Range", format!("bytes */{all}"))
        }
        Some(from) => Answer::new(206, &content[from..])
            .with("Content-Range", format!("bytes {from}-{}/{all}", all - 1)),
    }
}

/// What the Hub thinks of the top of a card.
fn validated(body: &[u8]) -> Answer {
    let asked: Value = serde_json::from_slice(body).expect("JSON");
    let content = asked["content"].as_str().expect("text");
    let about = |text: &str| json!([{"message": text}]);
    if content.contains("license: \"nonsense\"") {
        let errors = about("\"license\" must be one of [mit, apache-2.0]");
        let body = json!({"errors": errors, "warnings": []}).to_string();
        return Answer::new(400, body).with("Content-Type", "application/json");
    }
    let warnings =
        if content.contains("datasets:") { json!([]) } else { about("no datasets are named") };
    Answer::json(&json!({"errors": [], "warnings": warnings}))
}

/// A part of an address as it was before it was escaped.
fn unescaped(part: &str) -> String {
    let bytes = part.as_bytes();
    let (mut text, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let code = part.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                text.push(byte);
                at += 3;
            }
            None => {
                text.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(text).expect("text")
}
