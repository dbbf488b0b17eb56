//! Models given to others through a hub.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write},
    net::TcpListener,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{
    loopback::{Loopback, SIGNATURE, Seen, What},
    place::{Place, error, trained, with_run},
};

const TOKEN: &str = "hf_writer";
const PUSH: &str = "push run ada/gait --license mit";
const PULL: &str = "pull ada/gait --out pulled";

/// A hub, and who uses it.
struct User<'a> {
    hub: &'a Loopback,
    place: &'a Place,
    /// What was brought, outside of the place.
    home: TempDir,
    token: Option<&'a str>,
    /// Everything that was said.
    said: std::cell::RefCell<String>,
}

impl<'a> User<'a> {
    fn new(hub: &'a Loopback, place: &'a Place) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        Self { hub, place, home, token: Some(TOKEN), said: Default::default() }
    }

    fn with_token(self, token: Option<&'a str>) -> Self {
        Self { token, ..self }
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = self.place.command(arguments);
        for name in
            ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"]
        {
            command.env_remove(name);
        }
        command.env("HF_ENDPOINT", &self.hub.url).env("HF_HOME", self.home.path());
        if let Some(token) = self.token {
            command.env("HF_TOKEN", token);
        }
        command
    }

    fn output(&self, mut command: Command) -> Output {
        let output = command.output().expect("the program starts");
        let all = [output.stdout.as_slice(), &output.stderr].concat();
        self.said.borrow_mut().push_str(&String::from_utf8_lossy(&all));
        output
    }

    fn succeeds(&self, arguments: &str) -> String {
        let output = self.output(self.command(arguments));
        assert!(output.status.success(), "multivae {arguments}\n{}", error(&output));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Fails with a code, names all parts, and leaves the place as it was.
    fn fails(&self, arguments: &str, code: i32, parts: &[&str]) {
        self.fails_with(self.command(arguments), code, parts);
    }

    fn fails_with(&self, command: Command, code: i32, parts: &[&str]) {
        let before = self.place.content();
        let shown = format!("{command:?}");
        let output = self.output(command);
        let message = error(&output);
        assert_eq!(output.status.code(), Some(code), "{shown}\n{message}");
        assert!(message.lines().any(|line| line.starts_with("error: ")), "{shown}\n{message}");
        for part in parts {
            assert!(message.contains(part), "{shown}\n`{part}` is not in\n{message}");
        }
        assert!(!message.contains(".multivae-"), "{message}");
        assert_eq!(self.place.content(), before, "{shown}");
    }
}

/// The files of a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let file = |entry: fs::DirEntry| {
        let content = fs::read(entry.path()).expect("a file");
        (entry.file_name().into_string().expect("text"), content)
    };
    entries.map(file).collect()
}

/// The bundle of the small run.
fn bundle() -> BTreeMap<String, Vec<u8>> {
    files(&trained().path("run/bundle"))
}

/// Files for a repository.
fn named(files: &BTreeMap<String, Vec<u8>>) -> impl Iterator<Item = (&str, Vec<u8>)> {
    files.iter().map(|(name, content)| (name.as_str(), content.clone()))
}

/// A bundle with another content of a file, of which the checksum is right.
fn changed(name: &str, content: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = bundle();
    files.insert(name.to_owned(), content.to_vec());
    let list = String::from_utf8(files["SHA256SUMS"].clone()).expect("text");
    let line = |line: &str| {
        let (_, of) = line.split_once("  ").expect("a line of two parts");
        let sum: String =
            Sha256::digest(&files[of]).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{sum}  {of}\n")
    };
    let list: String = list.lines().map(line).collect();
    files.insert("SHA256SUMS".into(), list.into_bytes());
    files
}

fn count(seen: &[Seen], part: &str) -> usize {
    seen.iter().filter(|seen| seen.request.contains(part)).count()
}

#[test]
fn a_run_that_is_pushed_and_pulled_has_the_bits_of_its_bundle() {
    let (hub, place) = (Loopback::new(), with_run());
    let user = User::new(&hub, &place);
    let text = user.succeeds(PUSH);
    assert!(text.contains("ada/gait: a new private repository"), "{text}");
    let seen = hub.seen();
    let (content, commits, private) = hub.content("ada/gait").expect("it was made");
    assert!(private);
    assert_eq!(commits, 2, "the hub's own and one of ours");
    for (name, expected) in bundle().iter().filter(|(name, _)| *name != "README.md") {
        assert_eq!(content[name], *expected, "{name}");
    }
    // Weights go to where the hub wants them and not into the commit.
    let put: Vec<_> = seen.iter().filter(|seen| seen.request.starts_with("PUT /put/")).collect();
    assert!(put.len() == 1 && put[0].elsewhere && put[0].body == content["model.safetensors"]);
    assert!(put[0].authorization.is_none(), "{put:?}");
    let commit = seen.iter().find(|seen| seen.request.contains("/commit/main")).expect("made");
    let weights = &STANDARD.encode(&content["model.safetensors"])[..64];
    assert!(!String::from_utf8_lossy(&commit.body).contains(weights));
    let created = seen.iter().find(|seen| seen.request.contains("/create")).expect("made");
    let created: Value = serde_json::from_slice(&created.body).expect("JSON");
    assert_eq!(created, json!({"name": "gait", "organization": "ada", "visibility": "private"}));
    // What is there is not sent again.
    let text = user.succeeds(PUSH);
    assert!(text.contains("all files were there already"), "{text}");
    assert_eq!(count(&hub.seen(), "/commit/"), 0);

    let text = user.succeeds(PULL);
    assert!(text.contains("a bundle, whole by its checksums"), "{text}");
    assert!(hub.seen().iter().all(|seen| seen.elsewhere == seen.authorization.is_none()));
    let pulled = files(&place.path("pulled/bundle"));
    assert_eq!(pulled.len(), content.len() - 1, "all but .gitattributes");
    assert!(pulled.iter().all(|(name, bytes)| content[name] == *bytes));
    let origin: Value =
        serde_json::from_slice(&fs::read(place.path("pulled/hub.json")).expect("noted"))
            .expect("JSON");
    assert_eq!(origin["repository"], "ada/gait");
    let commit = origin["commit"].as_str().expect("a commit").to_owned();
    // Columns have their names, whichever order they are in.
    let text = fs::read_to_string(place.path("data/blood.csv")).expect("data");
    let turned = text.lines().map(|line| {
        let mut cells: Vec<_> = line.split(',').collect();
        cells[1..].reverse();
        cells.join(",") + "\n"
    });
    place.file("turned/blood.csv", turned.collect::<String>());
    fs::copy(place.path("data/gait.csv"), place.path("turned/gait.csv")).expect("a copy");
    for run in ["run", "pulled"] {
        place.succeeds(&format!("encode {run} --data turned --out {run}.csv"));
    }
    let read = |name: &str| fs::read_to_string(place.path(name)).expect("written");
    assert_eq!(read("run.csv"), read("pulled.csv"));
    // What was brought is there, by the name of its commit too, and from a run that was pulled the
    // same is pushed.
    user.succeeds(&format!("pull ada/gait@{commit} --out again"));
    assert_eq!(count(&hub.seen(), "/resolve/"), 0);
    assert_eq!(files(&place.path("again/bundle")), pulled);
    for run in ["again", "again/bundle"] {
        let text = user.succeeds(&format!("push {run} ada/gait --card again/bundle/README.md"));
        assert!(text.contains("all files were there already"), "{text}");
    }
    assert!(place.left_over().is_empty());
}

#[test]
fn nothing_of_a_card_or_a_bundle_says_who_and_where() {
    let (hub, place) = (Loopback::new(), Place::new());
    let user = User::new(&hub, &place);
    for name in ["blood", "gait"] {
        let path = place.path(&format!("data/{name}.csv"));
        let text = fs::read_to_string(&path).expect("data");
        fs::write(&path, text.replace("\np", "\npatient-")).expect("writable");
    }
    fs::rename(place.path("data"), place.path("ward-seven")).expect("there");
    place.succeeds("train --config small.toml --data ward-seven --out run");
    place.succeeds(
        "evaluate run --metrics evaluation,reconstruction,representation --where-possible",
    );
    user.succeeds(&format!("{PUSH} --dry-run dry"));
    assert!(hub.seen().is_empty());
    user.succeeds(&format!("{PUSH} --dataset ada/steps --message first"));
    let (content, ..) = hub.content("ada/gait").expect("pushed");
    let dry = files(&place.path("dry"));
    let home = place.path("").to_string_lossy().into_owned();
    let user_name = env::var("USER").unwrap_or_default();
    for (name, bytes) in content.iter().chain(&dry) {
        let text = String::from_utf8_lossy(bytes);
        for secret in ["patient-", "ward-seven", home.trim_end_matches('/')] {
            assert!(!text.contains(secret), "`{secret}` is in {name}:\n{text}");
        }
        assert!(user_name.len() < 4 || !text.contains(&format!("/{user_name}/")), "{name}");
    }
    let card = String::from_utf8(content["README.md"].clone()).expect("text");
    for part in [
        "---\nlicense: \"mit\"\nlibrary_name: multivae\ntags: [multimodal, variational-autoencoder, \"mopoe\"]",
        "datasets:\n- \"ada/steps\"\n",
        "model-index:\n- name: \"ada/gait\"\n",
        "      type: \"ada/steps\"\n",
        "## Results\n\nOn 8 rows that training has not seen.",
        "multivae pull ada/gait --out run",
        "## What it must not be used for",
    ] {
        assert!(card.contains(part), "`{part}` is not in\n{card}");
    }
    let dry = String::from_utf8(dry["README.md"].clone()).expect("text");
    assert!(dry.contains("      type: other\n      name: not published\n"), "{dry}");
    // Other weights than those that were measured.
    place.succeeds("train --resume run --epochs 4");
    user.fails(PUSH, 2, &["is of other weights", "evaluate it again"]);
}

#[test]
fn the_token_and_signatures_are_in_nothing_that_is_said() {
    let (hub, place) = (Loopback::new(), with_run());
    let user = User::new(&hub, &place);
    let logged = |arguments: &str| {
        let mut command = user.command(arguments);
        command.env("MULTIVAE_LOG", "trace");
        user.output(command)
    };
    hub.fault("PUT /put/", 1, What::Answer(403, "", "no".into()));
    assert!(!logged(PUSH).status.success());
    assert!(logged(PUSH).status.success());
    assert!(logged(PULL).status.success());
    // A server that says it again, and one that sends elsewhere.
    let said = format!("bad token {TOKEN} of Bearer {TOKEN}");
    let json = json!({"error": said}).to_string();
    for what in [
        What::Answer(403, "X-Error-Message: Bearer hf_writer", json.clone()),
        What::Answer(401, "", json.clone()),
        What::Answer(200, "Content-Type: text/html", format!("<html>{TOKEN}</html>")),
        What::Answer(307, "Location: ELSEWHERE/api/models", String::new()),
        What::Answer(302, "Location: ELSEWHERE/get/x?X-Signature-5f2c", String::new()),
        What::Answer(307, "Location: ftp://x", String::new()),
    ] {
        hub.fault("GET /api/models/ada/gait/revision", 1, what);
        assert!(!logged("pull ada/gait --out other").status.success());
    }
    hub.fault("GET /get/", 1, What::Answer(403, "", format!("{SIGNATURE} has ended")));
    hub.holds("ada/other", true, named(&changed("model.safetensors", b"other")));
    assert!(!logged("pull ada/other --out other").status.success());
    let said = user.said.borrow();
    assert!(said.contains("***"), "{said}");
    assert!(!said.contains(TOKEN), "{said}");
    let written = said.replace(&format!("{SIGNATURE} has ended"), "");
    assert!(!written.contains(SIGNATURE), "{written}");
    assert!(hub.seen().iter().all(|seen| !seen.elsewhere || seen.authorization.is_none()));
}

#[test]
fn what_a_hub_refuses_is_said_with_what_to_do() {
    let (hub, place) = (Loopback::new(), with_run());
    hub.holds("ada/seen", false, named(&bundle()));
    hub.holds("ada/closed", true, named(&bundle()));
    let user = User::new(&hub, &place);
    user.fails(
        "pull ada/none --out a",
        2,
        &["`ada/none@main`: ", "answers 404", "no such repository", "`HF_TOKEN`"],
    );
    user.fails("pull ada/seen@v9 --out a", 2, &["`ada/seen@v9`", "no such revision"]);
    user.fails("pull ada/../seen --out a", 2, &["expected OWNER/NAME"]);
    user.fails("pull ada/seen --out run", 2, &["run", "is not empty"]);
    user.fails("push run ada/seen --license mit", 2, &["is seen by everybody", "--public"]);
    user.fails("push run ada/gait", 2, &["names no licence", "`--license`"]);
    user.fails(
        "push run ada/gait --license nonsense",
        2,
        &["`README.md`", "must be one of [mit, apache-2.0]"],
    );
    user.fails("push data ada/gait --license mit", 2, &["is not the folder of a run"]);
    assert!(hub.content("ada/gait").is_none());

    let nobody = User::new(&hub, &place).with_token(None);
    nobody.fails("pull ada/closed --out a", 2, &["answers 401", "it is private: set `HF_TOKEN`"]);
    nobody.fails(PUSH, 2, &["needs a token that may write", "`HF_TOKEN`", "hf auth login"]);
    nobody.succeeds("pull ada/seen --out seen");
    fs::write(nobody.home.path().join("token"), format!("{TOKEN}\n")).expect("writable");
    nobody.succeeds("pull ada/closed --out closed");

    let user = User::new(&hub, &place);
    user.with_token(Some("hf_unknown")).fails(
        PUSH,
        2,
        &["answers 401", "`HF_TOKEN` is not accepted"],
    );
    let reader = User::new(&hub, &place).with_token(Some("hf_reader"));
    reader.fails(PUSH, 2, &["`ada/gait`", "may only read"]);
    let stranger = User::new(&hub, &place).with_token(Some("hf_stranger"));
    stranger.fails(PUSH, 2, &["answers 403", "don't have the rights", "has no right to do this"]);
    stranger.fails("pull ada/closed --out a", 2, &["answers 404", "may not see it"]);
}

#[test]
fn what_passes_is_waited_for() {
    let (hub, place) = (Loopback::new(), with_run());
    hub.holds("ada/gait", true, named(&bundle()));
    let user = User::new(&hub, &place);
    hub.fault(
        "GET /api/models/ada/gait/revision",
        2,
        What::Answer(429, "Retry-After: 0", "{}".into()),
    );
    hub.fault("GET /get/", 1, What::Answer(503, "", "busy".into()));
    hub.fault("/tree/", 1, What::Slow(Duration::from_secs(3)));
    let mut command = user.command(PULL);
    command.env("HF_HUB_DOWNLOAD_TIMEOUT", "1");
    let output = user.output(command);
    assert!(output.status.success(), "{}", error(&output));
    let seen = hub.seen();
    assert_eq!(count(&seen, "/revision/"), 3);
    assert_eq!(count(&seen, "GET /get/"), 2);
    // Who asks for an hour is told of, not waited for.
    hub.fault("/revision/", 1, What::Answer(429, "Retry-After: 3600", "{}".into()));
    user.fails("pull ada/gait --out a", 1, &["answers 429", "it asks to wait for 3600 seconds"]);
    hub.fault("/revision/", 4, What::Answer(500, "Retry-After: 0", r#"{"error": "oh no"}"#.into()));
    user.fails("pull ada/gait --out a", 1, &["answers 500", "oh no"]);
    let page = "<!DOCTYPE html><p>Please sign in</p>".to_owned();
    hub.fault("/tree/", 1, What::Answer(200, "Content-Type: text/html", page));
    user.fails("pull ada/gait --out b", 2, &["expected JSON, found HTML"]);
}

#[test]
fn a_hub_out_of_reach_is_named() {
    let (hub, place) = (Loopback::new(), with_run());
    let user = User::new(&hub, &place);
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let mut command = user.command(PULL);
    command.env("HF_ENDPOINT", format!("http://{free}"));
    user.fails_with(command, 1, &["`ada/gait@main`", "cannot be reached", &free.to_string()]);
    let mut command = user.command(PULL);
    command.env("HF_ENDPOINT", "https://ada:hf_writer@hub.example");
    user.fails_with(command, 2, &["`HF_ENDPOINT`", "without a user"]);
    assert!(!user.said.borrow().contains(TOKEN));
}

#[test]
fn a_transfer_that_breaks_goes_on_where_it_broke() {
    let (hub, place) = (Loopback::new(), with_run());
    hub.holds("ada/gait", true, named(&bundle()));
    let user = User::new(&hub, &place);
    hub.fault("GET /get/", 1, What::Cut(1000));
    hub.fault("GET /get/", 1, What::Cut(500));
    hub.fault("/config.json", 1, What::Cut(10));
    user.succeeds(PULL);
    let seen = hub.seen();
    let ranges = |part: &str| -> Vec<Option<String>> {
        let of = seen.iter().filter(|seen| seen.request.starts_with(part));
        of.map(|seen| seen.range.clone()).collect()
    };
    let from = |bytes: usize| Some(format!("bytes={bytes}-"));
    assert_eq!(ranges("GET /get/"), [None, from(1000), from(1500)]);
    let config = seen.iter().filter(|seen| seen.request.ends_with("/config.json"));
    assert_eq!(config.map(|seen| seen.range.clone()).collect::<Vec<_>>(), [None, from(10)]);
    assert_eq!(files(&place.path("pulled/bundle")), bundle());

    // What came is kept for the next time.
    let user = User::new(&hub, &place);
    hub.fault("GET /get/", 1, What::Cut(1000));
    hub.fault("GET /get/", 4, What::Cut(0));
    user.fails("pull ada/gait --out a", 1, &["`model.safetensors`", "broke after 1000 of", "kept"]);
    hub.seen();
    user.succeeds("pull ada/gait --out a");
    let seen = hub.seen();
    let get: Vec<_> = seen.iter().filter(|seen| seen.request.starts_with("GET /get/")).collect();
    assert!(get.len() == 1 && get[0].range == from(1000), "{get:?}");
    assert_eq!(files(&place.path("a/bundle")), bundle());
}

#[test]
fn a_pull_that_is_killed_leaves_no_run_and_goes_on_later() {
    let (hub, place) = (Loopback::new(), with_run());
    hub.holds("ada/gait", true, named(&bundle()));
    let user = User::new(&hub, &place);
    hub.fault("GET /get/", 1, What::Slow(Duration::from_secs(30)));
    let mut child = user.command(PULL).spawn().expect("it starts");
    while count(&hub.seen(), "GET /get/") == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("it still runs");
    child.wait().expect("a child");
    assert!(!place.path("pulled").exists());
    user.succeeds(PULL);
    assert_eq!(files(&place.path("pulled/bundle")), bundle());
}

#[test]
fn what_is_not_what_its_checksums_say_is_refused_and_nothing_is_written() {
    let (hub, place) = (Loopback::new(), with_run());
    hub.holds("ada/gait", true, named(&bundle()));
    let weights = bundle()["model.safetensors"].clone();
    let mut other = weights.clone();
    *other.last_mut().expect("weights") ^= 1;
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\n", "0".repeat(64));
    let file = "`ada/gait@main`, `model.safetensors`: ";
    let page = || What::Answer(200, "Content-Type: text/html", "<html>hello</html>".into());
    for (what, parts) in [
        (What::Content(other), ["expected the SHA-256 ", ", found "]),
        (What::Content([&weights[..], b"more"].concat()), ["expected ", " bytes, found "]),
        (What::Content(weights[..100].to_vec()), ["bytes, found 100", "expected"]),
        (
            What::Content(pointer.into_bytes()),
            ["a pointer of Git LFS in place of the file", "expected"],
        ),
        (page(), ["found a page of HTML", "proxy"]),
    ] {
        hub.fault("GET /get/", 1, what);
        let user = User::new(&hub, &place);
        user.fails(PULL, 2, &[file, parts[0], parts[1]]);
        // It is not taken for the right one later.
        user.succeeds("pull ada/gait --out later");
        assert_eq!(files(&place.path("later/bundle")), bundle());
        fs::remove_dir_all(place.path("later")).expect("there");
    }
    // The repository itself is wrong.
    let mut wrong = bundle();
    wrong.insert("model.safetensors".into(), weights[..200].to_vec());
    let header = |length: u64| {
        let mut bytes = weights.clone();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        bytes
    };
    let newer = String::from_utf8(bundle()["config.json"].clone()).expect("text");
    let newer = newer.replace("\"version\": 1", "\"version\": 99");
    let path = |name: &str| {
        let mut files = bundle();
        let list = format!("{}  {name}\n", "0".repeat(64));
        files.insert("SHA256SUMS".into(), list.into_bytes());
        files
    };
    for (i, (files, parts)) in [
        (wrong, ["model.safetensors", "is damaged or changed"]),
        (changed("model.safetensors", &header(u64::MAX)), ["model.safetensors", "eader"]),
        (changed("model.safetensors", &header(1 << 40)), ["model.safetensors", "eader"]),
        (changed("model.safetensors", &header(7)), ["model.safetensors", "eader"]),
        (changed("config.json", b"{\"format\": \"else\"}"), ["config.json", "found \"else\""]),
        (changed("config.json", newer.as_bytes()), ["config.json", "a newer program"]),
        (path("../out"), ["SHA256SUMS", "found `../out`"]),
        (path("/etc/passwd"), ["SHA256SUMS", "found `/etc/passwd`"]),
        (path("absent"), ["`absent`", "does not hold it"]),
    ]
    .into_iter()
    .enumerate()
    {
        hub.holds("ada/wrong", true, named(&files));
        let user = User::new(&hub, &place);
        user.fails(
            &format!("pull ada/wrong --out w{i}"),
            2,
            &["ada/wrong@main", parts[0], parts[1]],
        );
    }
}

#[test]
fn a_list_that_leads_out_of_a_repository_is_refused() {
    let (hub, place) = (Loopback::new(), with_run());
    let oid = "0".repeat(40);
    for (line, part) in [
        (
            json!({"type": "file", "path": "../a", "oid": oid, "size": 1}),
            "found one that leaves it",
        ),
        (json!({"type": "symlink", "path": "config.json", "oid": oid}), "found `symlink`"),
        (json!({"type": "file", "path": "config.json", "size": 1}), "expected a checksum"),
    ] {
        hub.holds("ada/gait", true, named(&bundle()));
        hub.lies("ada/gait", "config.json", line);
        User::new(&hub, &place).fails(PULL, 2, &["`ada/gait@main`", part]);
    }
    hub.holds("ada/gait", true, named(&bundle()));
    let many = json!({"type": "file", "path": "SHA256SUMS", "oid": oid, "size": 1u64 << 40});
    hub.lies("ada/gait", "SHA256SUMS", many);
    User::new(&hub, &place).fails(PULL, 2, &["`SHA256SUMS`", "expected at most"]);
    hub.holds(
        "ada/pickle",
        true,
        [("model.pkl", vec![0x80, 4]), ("pytorch_model.bin", vec![0x80])],
    );
    let parts =
        ["`ada/pickle@main`: has pickles only", "`model.pkl`", "never executed", "SHA256SUMS"];
    User::new(&hub, &place).fails("pull ada/pickle --out a", 2, &parts);
    hub.holds("ada/text", true, [("README.md", b"hello".to_vec())]);
    User::new(&hub, &place).fails("pull ada/text --out a", 2, &["is neither a bundle nor a model"]);
}

#[test]
fn what_was_brought_is_used_without_a_hub() {
    let (hub, place) = (Loopback::new(), with_run());
    hub.holds("ada/gait", true, named(&bundle()));
    hub.tag("ada/gait", "v1.0");
    let user = User::new(&hub, &place);
    user.succeeds("pull ada/gait@v1.0 --out online");
    let at = user.home.path().join("hub/models--ada--gait");
    let commit = fs::read_to_string(at.join("refs/v1.0")).expect("noted");
    assert!(commit.len() == 40, "{commit:?}");
    assert_eq!(files(&at.join("snapshots").join(&commit)), bundle());
    hub.seen();
    let offline = |arguments: &str| {
        let mut command = user.command(arguments);
        command.env("HF_HUB_OFFLINE", "1");
        command
    };
    let output = user.output(offline("pull ada/gait@v1.0 --out offline"));
    assert!(output.status.success(), "{}", error(&output));
    let output = user.output(offline(&format!("pull ada/gait@{commit} --out by-commit")));
    assert!(output.status.success(), "{}", error(&output));
    assert_eq!(files(&place.path("offline/bundle")), bundle());
    assert_eq!(files(&place.path("by-commit/bundle")), bundle());
    user.fails_with(
        offline(PULL),
        2,
        &["`ada/gait@main`", "is not in the cache", "`HF_HUB_OFFLINE`"],
    );
    user.fails_with(offline("pull ada/none --out a"), 2, &["`ada/none@main`", "in the cache"]);
    user.fails_with(offline(PUSH), 2, &["`HF_HUB_OFFLINE` forbids"]);
    assert!(hub.seen().is_empty());
    // What is damaged there is brought again, and refused without a hub.
    let weights = fs::canonicalize(at.join("snapshots").join(&commit).join("model.safetensors"));
    fs::write(weights.expect("a link"), b"damaged").expect("writable");
    user.fails_with(
        offline("pull ada/gait@v1.0 --out a"),
        2,
        &["`model.safetensors`", "is damaged"],
    );
    user.succeeds("pull ada/gait@v1.0 --out b");
    assert_eq!(files(&place.path("b/bundle")), bundle());
}

#[test]
fn a_model_of_the_python_library_is_pulled_and_its_pickles_are_left() {
    let (hub, place) = (Loopback::new(), with_run());
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/assets");
    for name in ["mvae", "custom"] {
        let mut saved = files(&assets.join(name));
        saved.remove("expected.safetensors");
        saved.insert("encoders.pkl".into(), b"\x80\x04never".to_vec());
        hub.holds(&format!("ada/{name}"), false, named(&saved));
    }
    let user = User::new(&hub, &place).with_token(None);
    let text = user.succeeds("pull ada/mvae --out mvae");
    assert!(text.contains("no pickle was executed"), "{text}");
    assert!(text.contains("not taken, as pickles: encoders.pkl"), "{text}");
    assert!(text.contains("mvae of m0 [7], m1 [3], 24 weights"), "{text}");
    assert_eq!(count(&hub.seen(), "encoders.pkl"), 0);
    place.succeeds("generate mvae --prior -n 3 --out prior.npz");
    let parts = ["`ada/custom@main` has networks", "pickled Python code", "`--config FILE`"];
    user.fails("pull ada/custom --out custom", 2, &parts);
}

#[test]
fn a_repository_is_private_unless_it_may_be_seen() {
    let (hub, place) = (Loopback::new(), with_run());
    let user = User::new(&hub, &place);
    let text = user.succeeds(&format!("{PUSH} --public"));
    assert!(text.contains("a new public repository"), "{text}");
    assert!(!hub.content("ada/gait").expect("made").2);
    let mut bare = bundle();
    bare.insert("README.md".into(), b"# Mine\n".to_vec());
    hub.holds("ada/bare", true, named(&bare));
    let output = user.output(user.command("pull ada/bare --out bare"));
    assert!(output.status.success() && error(&output).contains("the card names no licence"));
    hub.makes_all_public().seen();
    user.fails(
        "push run ada/other --license mit",
        2,
        &["was made so by the hub", "nothing was sent"],
    );
    let seen = hub.seen();
    assert_eq!(count(&seen, "PUT") + count(&seen, "/commit/") + count(&seen, "/preupload/"), 0);
    // Something else than a bundle.
    hub.holds("ada/else", true, [("model.pt", vec![1]), ("README.md", vec![2])]);
    user.fails("push run ada/else --license mit", 2, &["holds something else", "`model.pt`"]);
}

#[test]
fn a_push_is_whole_or_not_there() {
    let (hub, place) = (Loopback::new(), with_run());
    let user = User::new(&hub, &place);
    // Weights that do not arrive, or arrive as others.
    let third = "push run ada/third --license mit";
    hub.fault("PUT /put/", 4, What::Answer(500, "Retry-After: 0", "no".into()));
    user.fails(third, 1, &["`ada/third`, `model.safetensors`", "answers 500"]);
    hub.fault("/lfs/verify", 1, What::Answer(404, "", "lost".into()));
    user.fails(third, 2, &["`model.safetensors`", "answers 404"]);
    let names: Vec<_> = hub.content("ada/third").expect("made").0.into_keys().collect();
    assert_eq!(names, [".gitattributes"]);
    user.succeeds(third);
    // The commit is made and the answer lost: it is found.
    hub.fault("/commit/main", 1, What::Lost);
    user.succeeds(PUSH);
    assert_eq!(hub.content("ada/gait").expect("made").1, 2);
    // Somebody else pushes meanwhile: theirs stays.
    let mut old = bundle();
    old.insert("model_config.json".into(), b"{}".to_vec());
    old.insert("notes.txt".into(), b"mine".to_vec());
    hub.holds("ada/gait", true, named(&old));
    hub.fault(
        "/commit/main",
        1,
        What::Answer(412, "", r#"{"error": "A commit has happened since"}"#.into()),
    );
    user.fails(PUSH, 2, &["`ada/gait`", "answers 412", "A commit has happened since"]);
    assert_eq!(hub.content("ada/gait").expect("theirs").0, old);
    // What the bundle before had and the new one has not is gone; what is not ours stays.
    let text = user.succeeds(PUSH);
    assert!(text.contains("removed what was of the bundle before: model_config.json"), "{text}");
    let (content, ..) = hub.content("ada/gait").expect("ours");
    assert!(!content.contains_key("model_config.json") && content["notes.txt"] == b"mine");
}

#[test]
fn a_card_and_pictures_of_the_user_are_pushed_as_they_are() {
    let (hub, place) = (Loopback::new(), with_run());
    let user = User::new(&hub, &place);
    let card = "---\nlicense: cc-by-4.0\n---\n\n# Mine\n\n![](a.png)\n";
    place.file("card.md", format!("\u{feff}{card}")).file("bad.md", "# Mine\n");
    place.file("a.png", b"\x89PNG\r\n\x1a\nrest").file("b.png", "text");
    let own = "push run ada/gait --card";
    user.fails(
        &format!("{own} bad.md"),
        2,
        &["`--card bad.md` names no licence", "`license: mit`"],
    );
    user.fails(
        &format!("{own} card.md --pictures b.png"),
        2,
        &["`--pictures b.png`: expected a PNG"],
    );
    user.fails(&format!("{own} none.md"), 2, &["`--card none.md`"]);
    user.fails(&format!("{own} card.md --license mit"), 2, &[]);
    user.succeeds(&format!("{own} card.md --pictures a.png"));
    let (content, ..) = hub.content("ada/gait").expect("pushed");
    assert_eq!(content["README.md"], card.as_bytes());
    assert_eq!(content["a.png"], b"\x89PNG\r\n\x1a\nrest");
}

#[test]
fn an_import_of_a_bundle_has_its_bits_with_the_card_that_somebody_has_edited() {
    let place = with_run();
    place.succeeds("export run --out exported");
    place.file("exported/README.md", "Mine.\n");
    let exported = files(&place.path("exported"));
    place.succeeds("import exported --out imported");
    assert_eq!(files(&place.path("imported/bundle")), exported);
    place.succeeds("export imported --out again");
    let again = files(&place.path("again"));
    let of = |name: &str| (again[name].clone(), exported[name].clone());
    for name in ["config.json", "standardisation.json", "model.safetensors"] {
        let (found, expected) = of(name);
        assert_eq!(found, expected, "{name}");
    }
    place.succeeds("export run --format tar --out a.tar");
    place.succeeds("import a.tar --out unpacked");
    assert_eq!(
        files(&place.path("unpacked/bundle"))["model.safetensors"],
        exported["model.safetensors"]
    );
}

#[test]
fn the_hub_s_own_client_reads_what_was_pushed_and_pushes_what_is_pulled() {
    let installed = Command::new("python3").args(["-c", "import huggingface_hub"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        // Not captured as the output of tests is.
        let said = "NOT CHECKED: `python3` has no huggingface_hub to read what was pushed\n";
        io::stderr().write_all(said.as_bytes()).expect("it is open");
        return;
    }
    let (hub, place) = (Loopback::new(), with_run());
    let user = User::new(&hub, &place);
    user.succeeds(&format!("{PUSH} --dataset ada/steps"));
    user.succeeds(PULL);
    hub.seen();
    let script = "\
import json, os, sys
from huggingface_hub import HfApi, ModelCard, hf_hub_download, scan_cache_dir, snapshot_download
# From the cache that `pull` has written: nothing is brought again.
cached = snapshot_download('ada/gait', local_files_only=True)
names = sorted(os.listdir(cached))
scanned = [repo.repo_id for repo in scan_cache_dir().repos]
found = hf_hub_download('ada/gait', 'model.safetensors')
assert os.path.realpath(found) == os.path.realpath(os.path.join(cached, 'model.safetensors'))
# Into a folder, from the server.
snapshot_download('ada/gait', local_dir='python', cache_dir='python-cache')
card = ModelCard.load('python/README.md')
card.validate()
# And a cache that `pull` reads without a hub.
snapshot_download('ada/gait', cache_dir='python-cache')
api = HfApi()
api.create_repo('ada/python', private=True)
api.upload_folder(repo_id='ada/python', folder_path='python', ignore_patterns='.*')
data = card.data
print(json.dumps([names, scanned, data.license, data.library_name, data.tags, data.datasets]))
";
    let python = || {
        let mut command = Command::new("python3");
        command.current_dir(place.path("")).env("HF_ENDPOINT", &hub.url);
        command
            .env("HF_HOME", user.home.path())
            .env("HF_TOKEN", TOKEN)
            .env("HF_HUB_DISABLE_XET", "1");
        command
    };
    let output = python().args(["-W", "ignore", "-c", script]).output().expect("it starts");
    assert!(output.status.success(), "{}", error(&output));
    let text = String::from_utf8(output.stdout).expect("text");
    let found: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    let (content, ..) = hub.content("ada/gait").expect("pushed");
    let expected: Vec<_> = content.keys().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(found[0], json!(expected));
    assert_eq!(found[1], json!(["ada/gait"]));
    assert_eq!((&found[2], &found[3]), (&json!("mit"), &json!("multivae")));
    assert_eq!(found[4], json!(["multimodal", "variational-autoencoder", "mopoe"]));
    assert_eq!(found[5], json!(["ada/steps"]));
    for name in expected {
        assert_eq!(
            fs::read(place.path("python").join(name)).expect("brought"),
            content[name],
            "{name}"
        );
    }
    user.succeeds("pull ada/python --out from-python");
    let pulled = files(&place.path("from-python/bundle"));
    assert!(pulled.iter().all(|(name, bytes)| content[name] == *bytes));
    let mut command = user.command("pull ada/gait --out from-cache");
    command.env("HF_HUB_CACHE", place.path("python-cache")).env("HF_HUB_OFFLINE", "1");
    let output = user.output(command);
    assert!(output.status.success(), "{}", error(&output));
    assert_eq!(files(&place.path("from-cache/bundle")), pulled);
}
