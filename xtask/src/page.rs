//! Opens reports in headless Chromium, as people will: at the width of a phone and of a desk, in
//! light and in dark. It is told what to do over a pipe, by the DevTools protocol.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::scratch::Scratch;

/// Names of the browser, the first found is taken.
const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome"];
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tallest picture in pixels; more is cut.
const TALLEST: f64 = 12_000.0;

/// A screen.
pub(crate) struct Screen {
    pub(crate) name: &'static str,
    pub(crate) width: u32,
    height: u32,
    /// Pixels of the picture a pixel of the page.
    scale: f64,
    dark: bool,
}

pub(crate) const SCREENS: &[Screen] = &[
    Screen { name: "phone", width: 390, height: 844, scale: 2.0, dark: false },
    Screen { name: "phone-dark", width: 390, height: 844, scale: 2.0, dark: true },
    Screen { name: "desk", width: 1280, height: 900, scale: 1.0, dark: false },
    Screen { name: "desk-dark", width: 1280, height: 900, scale: 1.0, dark: true },
];

/// What is read from a page once it is there.
const LOOK: &str = "(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const right = (element) => element.getBoundingClientRect().right;
  return {
    title: document.title,
    heading: all('h1').map((e) => e.textContent).join(''),
    sections: all('section').length,
    headless: all('section').filter((e) => !e.querySelector('h2')).length,
    figures: all('figure').length,
    unsaid: all('figure').filter((e) => !e.querySelector('figcaption')?.textContent).length,
    empty: all('figure').filter((e) => !e.querySelector('svg, img')).length,
    broken: all('img').filter((e) => !e.complete || e.naturalWidth === 0).length,
    flat: all('figure svg').filter((e) => e.getBoundingClientRect().height < 10).length,
    undefined: all('svg *').filter((e) => [...e.attributes].some((a) => /NaN|Infinity/.test(a.value))).length,
    tables: all('table').length,
    loose: all('table').filter((e) => !e.closest('.scroll')).length,
    scripts: all('script').length,
    dead: all('nav a').filter((e) => !document.querySelector(e.getAttribute('href'))).length,
    width: document.documentElement.scrollWidth,
    wide: all('figure, header, .tiles, .scroll, details').filter((e) => right(e) > innerWidth + 1).length,
    height: document.documentElement.scrollHeight,
    ground: getComputedStyle(document.body).backgroundColor,
  };
})()";

/// Opens every page on every screen; pictures go into a folder if there is one.
pub(crate) fn run(pages: &[PathBuf], pictures: Option<&Path>) -> Result<ExitCode> {
    if let Some(folder) = pictures {
        fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    }
    let mut browser = Browser::start()?;
    let mut complaints = Vec::new();
    for page in pages {
        let path = fs::canonicalize(page).with_context(|| format!("{}", page.display()))?;
        let drawn = figures_beside(&path);
        let mut grounds = Vec::new();
        for screen in SCREENS {
            let seen = browser.open(&path, screen)?;
            let place = format!("{}, {}", page.display(), screen.name);
            let found = complain(&seen, screen, drawn);
            complaints.extend(found.into_iter().map(|complaint| format!("{place}: {complaint}")));
            grounds.push(seen.look["ground"].clone());
            let (figures, tables) = (&seen.look["figures"], &seen.look["tables"]);
            println!(
                "{place}: {figures} figures, {tables} tables, {} pixels tall",
                seen.look["height"]
            );
            if let Some(folder) = pictures {
                let name = path.parent().and_then(Path::file_name).unwrap_or_default();
                let name = format!("{}-{}.png", name.to_string_lossy(), screen.name);
                fs::write(folder.join(name), browser.picture(screen, &seen.look)?)?;
            }
        }
        if grounds[0] == grounds[1] {
            complaints.push(format!("{}: as light in the dark", page.display()));
        }
    }
    for complaint in &complaints {
        eprintln!("error: {complaint}");
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many figures lie in the folder `figures` beside a page; `None` if there is none.
fn figures_beside(page: &Path) -> Option<usize> {
    let folder = page.parent()?.join("figures");
    fs::read_dir(folder).ok().map(Iterator::count)
}

/// A page on a screen.
pub(crate) struct Seen {
    pub(crate) look: Value,
    /// What it asked the network or the disk for, other than itself.
    pub(crate) requests: Vec<String>,
    /// What it complained about.
    pub(crate) errors: Vec<String>,
}

/// Everything that is wrong with a page.
fn complain(seen: &Seen, screen: &Screen, figures: Option<usize>) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut check = |holds: bool, complaint: String| {
        if !holds {
            complaints.push(complaint);
        }
    };
    let number = |name: &str| seen.look[name].as_u64().unwrap_or(u64::MAX);
    let text = |name: &str| seen.look[name].as_str().unwrap_or_default().to_owned();
    check(!text("title").is_empty(), "no title".into());
    check(!text("heading").is_empty(), "no heading".into());
    check(number("sections") > 0, "no sections".into());
    if let Some(figures) = figures {
        let found = number("figures");
        check(found == figures as u64, format!("{found} figures, {figures} files"));
    }
    let none = [
        ("headless", "sections without a heading"),
        ("unsaid", "figures without a caption"),
        ("empty", "figures without a picture"),
        ("broken", "images that cannot be shown"),
        ("flat", "drawings without height"),
        ("undefined", "elements of drawings with coordinates that are no numbers"),
        ("loose", "tables without a box that scrolls"),
        ("scripts", "scripts"),
        ("dead", "links to sections that are not there"),
        ("wide", "elements that reach over the edge"),
    ];
    for (name, what) in none {
        check(number(name) == 0, format!("{} {what}", seen.look[name]));
    }
    let (width, wanted) = (number("width"), u64::from(screen.width));
    check(width <= wanted, format!("{width} pixels wide on a screen of {wanted}"));
    for request in &seen.requests {
        check(false, format!("asks for {request}"));
    }
    for error in &seen.errors {
        check(false, format!("says {error}"));
    }
    complaints
}

/// The browser of this machine, if it has one.
pub(crate) fn browser() -> Option<&'static str> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let has = |name: &str| std::env::split_paths(&paths).any(|folder| folder.join(name).is_file());
    BROWSERS.iter().copied().find(|name| has(name))
}

/// A browser without a window, which ends with its owner.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    calls: u64,
    events: Vec<Value>,
    _profile: Scratch,
}

impl Browser {
    pub(crate) fn start() -> Result<Self> {
        let Some(program) = browser() else {
            bail!(
                "no browser to look at reports with: expected one of {} in PATH; on Debian \
                 `apt-get install chromium`",
                BROWSERS.join(", ")
            );
        };
        let profile = Scratch::new("browser")?;
        // The pipe of the protocol is file 3 and 4; a shell lays standard input and output there.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", program])
            .args([
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("no shell to start the browser with")?;
        let input = child.stdin.take().context("the browser has no input")?;
        let output = child.stdout.take().context("the browser has no output")?;
        let (sender, messages) = mpsc::channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let message = message.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
                let Some(message) = message else { break };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let (session, events) = (None, Vec::new());
        let mut browser =
            Self { child, input, messages, session, calls: 0, events, _profile: profile };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", &attach)?;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Network", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(browser)
    }

    /// Asks for something and waits for the answer; events go to their list.
    fn call(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.input.write_all(message.to_string().as_bytes())?;
        self.input.write_all(&[0])?;
        self.input.flush()?;
        loop {
            let message = self.next().with_context(|| format!("`{method}`"))?;
            if message["id"] == id {
                ensure!(message["error"].is_null(), "`{method}`: {}", message["error"]);
                return Ok(message["result"].clone());
            }
            self.events.push(message);
        }
    }

    fn next(&mut self) -> Result<Value> {
        self.messages.recv_timeout(PATIENCE).context("the browser does not answer")
    }

    /// Opens a file and looks at it.
    fn open(&mut self, page: &Path, screen: &Screen) -> Result<Seen> {
        self.go(&format!("file://{}", page.display()), screen)?;
        let look = self.evaluate(LOOK)?;
        self.seen(look, |asked| same(asked, page))
    }

    /// Opens an address.
    pub(crate) fn go(&mut self, url: &str, screen: &Screen) -> Result<()> {
        let Screen { width, height, scale, dark, .. } = *screen;
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", &metrics)?;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}))?;
        self.events.clear();
        let answer = self.call("Page.navigate", &json!({"url": url}))?;
        ensure!(answer["errorText"].is_null(), "{url}: {}", answer["errorText"]);
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next()?;
            self.events.push(event);
        }
        Ok(())
    }

    /// The value of an expression in the page that is open, once it has one.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let query = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let found = self.call("Runtime.evaluate", &query)?;
        ensure!(found["exceptionDetails"].is_null(), "{}", found["exceptionDetails"]);
        Ok(found["result"]["value"].clone())
    }

    /// What was seen of a page: how it looks, what it asked for beside its own, and what it said.
    pub(crate) fn seen(&mut self, look: Value, own: impl Fn(&str) -> bool) -> Result<Seen> {
        // What has happened in between comes with the next answer.
        self.call("Page.getFrameTree", &json!({}))?;
        let of = |method: &'static str| {
            self.events.iter().filter(move |event| event["method"] == method).map(|e| &e["params"])
        };
        let requests = of("Network.requestWillBeSent")
            .filter_map(|event| event["request"]["url"].as_str())
            .filter(|asked| !asked.starts_with("data:") && !own(asked))
            .map(str::to_owned)
            .collect();
        let thrown = of("Runtime.exceptionThrown").map(|e| e["exceptionDetails"]["text"].clone());
        let logged = of("Log.entryAdded")
            .filter(|event| event["entry"]["level"] == "error")
            .map(|event| event["entry"]["text"].clone());
        let errors = thrown.chain(logged).map(|text| text.to_string()).collect();
        Ok(Seen { look, requests, errors })
    }

    /// A picture of the whole page that is open.
    pub(crate) fn picture(&mut self, screen: &Screen, look: &Value) -> Result<Vec<u8>> {
        let height = look["height"].as_f64().unwrap_or(0.0).min(TALLEST);
        let clip = json!({"x": 0, "y": 0, "width": screen.width, "height": height, "scale": 1});
        let options = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let answer = self.call("Page.captureScreenshot", &options)?;
        let data = answer["data"].as_str().context("the browser gives no picture")?;
        Ok(STANDARD.decode(data)?)
    }
}

/// Whether an address is the file itself, however it is escaped.
fn same(address: &str, page: &Path) -> bool {
    let name = page.file_name().map(|name| name.to_string_lossy().into_owned());
    name.is_some_and(|name| address.starts_with("file://") && address.ends_with(&name))
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(look: Value) -> Seen {
        Seen { look, requests: Vec::new(), errors: Vec::new() }
    }

    fn good() -> Value {
        json!({
            "title": "t", "heading": "h", "sections": 2, "figures": 3, "width": 390, "headless": 0,
            "unsaid": 0, "empty": 0, "broken": 0, "flat": 0, "undefined": 0, "loose": 0,
            "scripts": 0, "dead": 0, "wide": 0,
        })
    }

    #[test]
    fn a_good_page_is_left_alone() {
        assert_eq!(complain(&seen(good()), &SCREENS[0], Some(3)), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let mut look = good();
        look["width"] = json!(412);
        look["broken"] = json!(1);
        let page = Seen { requests: vec!["http://x/".into()], ..seen(look) };
        let complaints = complain(&page, &SCREENS[0], Some(4)).join("\n");
        for part in ["412 pixels wide", "3 figures, 4 files", "1 images", "asks for http://x/"] {
            assert!(complaints.contains(part), "{part} in {complaints}");
        }
        // What was not found out counts as wrong.
        assert!(!complain(&seen(json!({})), &SCREENS[0], None).is_empty());
    }

    #[test]
    fn a_page_may_ask_for_itself_only() {
        let page = Path::new("/a b/report.html");
        assert!(same("file:///a%20b/report.html", page));
        assert!(!same("http://host/report.html", page) && !same("file:///a/other.css", page));
    }
}
