//! What was measured, kept: every line under `benches/results`, and a table in `docs`.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::WORKLOADS;
use crate::pages;

/// The page of the tables.
const PAGE: &str = "docs/benchmarks.md";
/// Folder of the results.
const RESULTS: &str = "benches/results";

/// What the figures depend on.
pub(super) fn machine(threads: usize, python: Option<&Path>) -> Result<Value> {
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| processor(&text));
    let said = |program: &mut Command| -> Option<String> {
        let output = program.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let mut machine = json!({
        "processor": processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        "processors": std::thread::available_parallelism()?.get(),
        "threads": threads,
        "system": std::env::consts::OS,
        "rustc": said(Command::new("rustc").arg("--version")),
        "commit": said(Command::new("git").args(["rev-parse", "--short", "HEAD"])),
        "date": said(
            Command::new("git")
                .args(["log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H%M"])
                .env("TZ", "UTC"),
        ),
    });
    if let Some(python) = python {
        let ask = "import platform, torch; from importlib.metadata import version as v; \
                   print('MultiVae', v('multivae') + ', torch', torch.__version__ + ', Python', \
                   platform.python_version())";
        machine["peer"] = json!(said(Command::new(python).args(["-c", ask])));
    }
    Ok(machine)
}

/// The processor's name with the widest instructions that kernels use, from what Linux says of it.
fn processor(text: &str) -> Option<String> {
    let line = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim())
    };
    let has = |flag: &str| line("flags").is_some_and(|flags| flags.split(' ').any(|f| f == flag));
    let widest = [("avx512_bf16", "AVX-512 with BF16"), ("avx512f", "AVX-512"), ("avx2", "AVX2")];
    let name = line("model name")?;
    Some(match widest.into_iter().find(|(flag, _)| has(flag)) {
        Some((_, instructions)) => format!("{name}, {instructions}"),
        None => name.to_owned(),
    })
}

/// The machine in words.
pub(super) fn sentence(machine: &Value) -> String {
    let text = |key: &str| machine[key].as_str().unwrap_or("?").to_owned();
    let peer = machine["peer"].as_str().map_or(String::new(), |peer| format!("; {peer}"));
    format!(
        "{}, {} processors, {} threads; {}; commit {} of {}{peer}",
        text("processor"),
        machine["processors"],
        machine["threads"],
        text("rustc"),
        text("commit"),
        text("date")
    )
}

/// Adds the lines to those of the same commit and threads, and writes the page anew from all files.
pub(super) fn keep(root: &Path, machine: &Value, lines: &[Value]) -> Result<()> {
    let folder = root.join(RESULTS);
    fs::create_dir_all(&folder)?;
    let text = |key: &str| machine[key].as_str().unwrap_or("unknown").to_owned();
    let name = format!("{}-{}-{}.jsonl", text("date"), text("commit"), machine["threads"]);
    let path = folder.join(name);
    let mut kept = match fs::read_to_string(&path) {
        Ok(kept) => kept,
        Err(_) => format!("{}\n", json!({ "machine": machine })),
    };
    for line in lines {
        writeln!(kept, "{line}")?;
    }
    write_whole(&path, &kept)?;
    write_whole(&root.join(PAGE), &page(&pages::names(root)?, &folder)?)
}

/// Beside, then renamed.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("part");
    fs::write(&beside, text).with_context(|| beside.display().to_string())?;
    fs::rename(&beside, path).with_context(|| path.display().to_string())
}

/// The page: for each file, newest first, a table of every kind of measure.
fn page(models: &[String], folder: &Path) -> Result<String> {
    let mut files: Vec<_> = fs::read_dir(folder)?
        .collect::<std::io::Result<Vec<_>>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    let mut page = String::from(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench --record`; the lines behind it are in `benches/results`.\n\
         Both sides took turns in one run, with the same models, settings, networks, batches and threads; \
         figures are medians in milliseconds, and the ratio is that of the Python library's to ours. \
         The newest state of the code comes first; an older one holds for what no newer one shows.\n",
    );
    for path in files.iter().rev() {
        let text = fs::read_to_string(path)?;
        let mut lines = Vec::new();
        let mut machine = Value::Null;
        for line in text.lines() {
            let value: Value = serde_json::from_str(line)
                .with_context(|| format!("{}: `{line}`", path.display()))?;
            match value.get("machine") {
                Some(found) => machine = found.clone(),
                None => lines.push(value),
            }
        }
        write!(page, "\n## {}\n", sentence(&machine))?;
        tables(models, &lines, &mut page)?;
    }
    Ok(page)
}

/// Lines by model, with its stage, and workload.
type Rows<'a> = BTreeMap<(String, String), &'a Value>;

/// One table a measure and backend: models down, workloads across.
fn tables(models: &[String], lines: &[Value], page: &mut String) -> Result<()> {
    let mut kinds: BTreeMap<(String, String), Rows<'_>> = BTreeMap::new();
    for line in lines {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let stage = if line["stage"] == 2 { " (stage 2)" } else { "" };
        let rows = kinds.entry((text("bench"), text("backend"))).or_default();
        // The last one stands where a thing was measured twice.
        rows.insert((text("model") + stage, text("workload")), line);
    }
    for ((bench, backend), cells) in &kinds {
        writeln!(page, "\n### `{bench}` on `{backend}`\n")?;
        writeln!(page, "| model | {} |", WORKLOADS.join(" | "))?;
        writeln!(page, "|---|{}", "---|".repeat(WORKLOADS.len()))?;
        for model in models {
            for stage in ["", " (stage 2)"] {
                let name = format!("{model}{stage}");
                let row: Vec<_> = WORKLOADS
                    .iter()
                    .map(|workload| cells.get(&(name.clone(), (*workload).to_owned())))
                    .collect();
                if row.iter().any(Option::is_some) {
                    let row: String = row
                        .iter()
                        .map(|line| format!(" {} |", line.map_or(String::new(), |line| cell(line))))
                        .collect();
                    writeln!(page, "| {name} |{row}")?;
                }
            }
        }
        let means: String = WORKLOADS
            .iter()
            .map(|workload| {
                let ratios: Vec<f64> = cells
                    .iter()
                    .filter(|((_, name), _)| name == workload)
                    .filter_map(|(_, line)| line["ratio"].as_f64())
                    .collect();
                format!(
                    " {} |",
                    mean(&ratios).map_or(String::new(), |mean| format!("**{mean:.2}**"))
                )
            })
            .collect();
        if means.contains('*') {
            writeln!(page, "| geometric mean of the ratios |{means}")?;
        }
    }
    Ok(())
}

/// The geometric mean.
fn mean(ratios: &[f64]) -> Option<f64> {
    let sum: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (!ratios.is_empty()).then(|| (sum / ratios.len() as f64).exp())
}

/// Ours, the library's and the ratio.
fn cell(line: &Value) -> String {
    if let Some(why) = line["skipped"].as_str() {
        return why.to_owned();
    }
    let number = |key: &str| line[key].as_f64();
    let (ours, peer, unit) = match number("peak_mb") {
        Some(peak) => (Some(peak), number("peer_peak_mb"), " MB"),
        None => (number("ms_median"), number("peer_ms_median"), ""),
    };
    let digits =
        |value: f64| if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") };
    match (ours.map(digits), peer.map(digits), number("ratio")) {
        (Some(ours), Some(peer), Some(ratio)) => {
            format!("{ours}{unit}, {peer}{unit}: **{ratio:.2}**")
        }
        (Some(ours), ..) => format!("{ours}{unit}"),
        _ => String::new(),
    }
}
