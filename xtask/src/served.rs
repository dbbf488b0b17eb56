//! Looks at the page of a service in headless Chromium, and uses it as people will.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::page::{Browser, SCREENS, Screen, Seen};

/// Waits until the page has its row.
const READY: &str = "new Promise((done) => {
  const look = () => document.body.dataset.ready === 'true'
    || !document.querySelector('#error').hidden ? done(true) : setTimeout(look, 20);
  look();
})";

/// What is read from the page once it is there.
const LOOK: &str = "(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const right = (element) => element.getBoundingClientRect().right;
  // A picture whose pixels are all alike shows nothing.
  const flat = (canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.every((value, i) => i % 4 === 3 || value === data[i % 4]);
  };
  const said = all('#error').map((e) => e.hidden ? '' : e.textContent).join('');
  return {
    title: document.title,
    heading: all('h1').map((e) => e.textContent).join(''),
    modalities: all('#cards .card').length,
    made: all('#answer .card').length,
    empty: all('#answer .card .body').filter((e) => !e.querySelector('td, canvas, blockquote')).length,
    pictures: all('#answer canvas').length,
    flat: all('#answer canvas').filter(flat).length,
    undefined: all('main').filter((e) => /undefined|NaN|\\[object/.test(e.innerText)).length,
    said,
    width: document.documentElement.scrollWidth,
    wide: all('.card, .bar, .facts, .scroll, pre').filter((e) => right(e) > innerWidth + 1).length,
    height: document.documentElement.scrollHeight,
    ground: getComputedStyle(document.body).backgroundColor,
  };
})()";

/// Leaves the last modality for the model to make, unless it needs some.
const UNTICK: &str = "(() => {
  const boxes = [...document.querySelectorAll('#cards input[type=checkbox]')];
  if (boxes.length > 1 && state.model.needed.length === 0) boxes.at(-1).click();
})()";

/// The tasks in the order in which their buttons are pressed; the last one's answer is in pictures.
const TASKS: &[&str] = &["prior", "encode", "impute", "generate"];

/// Serves each run and looks at its page on every screen; pictures go into a folder if there is one.
pub(crate) fn run(runs: &[std::path::PathBuf], pictures: Option<&Path>) -> Result<ExitCode> {
    if let Some(folder) = pictures {
        fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    }
    let mut complaints = Vec::new();
    for run in runs {
        let service = Service::start(run)?;
        let mut browser = Browser::start()?;
        let mut grounds = Vec::new();
        for screen in SCREENS {
            let place = format!("{}, {}", run.display(), screen.name);
            let mut say = |found: Vec<String>| {
                complaints.extend(found.into_iter().map(|found| format!("{place}: {found}")));
            };
            browser.go(&service.url, screen)?;
            browser.evaluate(READY)?;
            let look = browser.evaluate(LOOK)?;
            grounds.push(look["ground"].clone());
            ensure!(look["said"] == "", "{place}: says {}", look["said"]);
            browser.evaluate(UNTICK)?;
            for task in TASKS {
                let found = press(&mut browser, task)?;
                let Some(look) = found else { continue };
                say(complain(&look, screen, task));
                if let Some(folder) = pictures {
                    let name = run.file_name().unwrap_or_default().to_string_lossy();
                    let name = format!("{name}-{}-{task}.png", screen.name);
                    fs::write(folder.join(name), browser.picture(screen, &look)?)?;
                }
            }
            let Seen { look, requests, errors } =
                browser.seen(look, |asked| asked.starts_with(&service.url))?;
            say(requests.iter().map(|request| format!("asks for {request}")).collect());
            say(errors.iter().map(|error| format!("says {error}")).collect());
            println!("{place}: {} modalities", look["modalities"]);
        }
        if grounds[0] == grounds[1] {
            complaints.push(format!("{}: as light in the dark", run.display()));
        }
        drop(browser);
        service.end()?;
    }
    for complaint in &complaints {
        eprintln!("error: {complaint}");
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Presses the button of a task and waits for its answer; `None` if the model cannot do it.
fn press(browser: &mut Browser, task: &str) -> Result<Option<Value>> {
    let pressed = browser.evaluate(&format!(
        "(async () => {{
          const button = document.querySelector('#task-{task}');
          if (button.disabled) return false;
          delete document.querySelector('#answer').dataset.task;
          button.click();
          const error = document.querySelector('#error');
          const wait = () => new Promise((done) => setTimeout(done, 20));
          while (document.querySelector('#answer').dataset.task !== '{task}' && error.hidden) await wait();
          return true;
        }})()"
    ))?;
    if pressed != true {
        return Ok(None);
    }
    Ok(Some(browser.evaluate(LOOK)?))
}

/// Everything that is wrong with an answer on the page.
fn complain(look: &Value, screen: &Screen, task: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let number = |name: &str| look[name].as_u64().unwrap_or(u64::MAX);
    let mut check = |holds: bool, complaint: String| {
        if !holds {
            complaints.push(format!("{task}: {complaint}"));
        }
    };
    check(look["said"] == "", format!("says {}", look["said"]));
    for name in ["title", "heading"] {
        check(look[name].as_str().is_some_and(|text| !text.is_empty()), format!("no {name}"));
    }
    for name in ["modalities", "made"] {
        check(number(name) > 0 && number(name) < u64::MAX, format!("no {name}"));
    }
    let none = [
        ("empty", "answers without anything"),
        ("flat", "pictures of one colour"),
        ("undefined", "values that are none"),
        ("wide", "elements that reach over the edge"),
    ];
    for (name, what) in none {
        check(number(name) == 0, format!("{} {what}", look[name]));
    }
    let (width, wanted) = (number("width"), u64::from(screen.width));
    check(width <= wanted, format!("{width} pixels wide on a screen of {wanted}"));
    complaints
}

/// A service of a run, which ends with its owner.
struct Service {
    child: Child,
    url: String,
}

impl Service {
    fn start(run: &Path) -> Result<Self> {
        let mut child = crate::cargo()
            .args(["run", "--quiet", "--release", "--", "serve-model"])
            .arg(run)
            .args(["--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .context("cargo does not start")?;
        let output = child.stdout.take().context("the service has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let url = line.trim().to_owned();
        let service = Self { child, url };
        ensure!(service.url.starts_with("http://"), "no service of `{}`", run.display());
        Ok(service)
    }

    /// Ends it as Ctrl+C does.
    fn end(mut self) -> Result<()> {
        // Cargo has become the program.
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status()?;
        ensure!(sent.success(), "the service cannot be interrupted");
        let status = self.child.wait()?;
        ensure!(status.success(), "the service has ended with {status}");
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_good_answer_is_left_alone_and_what_is_wrong_is_said() {
        let good = json!({
            "title": "t", "heading": "h", "modalities": 2, "made": 2, "empty": 0, "flat": 0,
            "undefined": 0, "wide": 0, "said": "", "width": 390,
        });
        assert_eq!(complain(&good, &SCREENS[0], "generate"), Vec::<String>::new());
        let mut bad = good.clone();
        (bad["said"], bad["flat"], bad["width"]) = (json!("no"), json!(1), json!(400));
        let complaints = complain(&bad, &SCREENS[0], "generate").join("\n");
        for part in ["generate: says \"no\"", "1 pictures of one colour", "400 pixels wide"] {
            assert!(complaints.contains(part), "{part} in {complaints}");
        }
        // What was not found out counts as wrong.
        assert!(!complain(&json!({}), &SCREENS[0], "generate").is_empty());
    }
}
