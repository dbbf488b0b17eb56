//! What a change must pass, cheapest first.

use std::{
    fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{page, python, scratch::Scratch};

/// Cases recorded from the reference implementation, where a clone has them beside it.
const PARITY: &str = "../shared/parity/public";

/// Features of the backends that are tested beside the default one, in a build of their own.
const BACKENDS: &str = "multivae/ndarray,multivae/wgpu,multivae/remote";

/// One model of each family, whose recorded cases run on these backends too.
const FAMILIES: &str = "mopoe,mmvae,mmvae_plus,jnf,mhvae";

/// Where Debian's `chromium-common` has a Vulkan driver that needs no GPU, and its loader.
const DRIVER: &str = "/usr/lib/chromium";

/// How the second build compiles: quickly, since few tests run in it, and next to nothing of the first
/// one has the features that it needs.
const QUICK: &str = "--config profile.release.opt-level=1 ";

/// A backend that the second build has and hardly uses, and which takes longest to build of all.
const IDLE: &str = "burn-flex";

/// One command with its environment.
struct Step {
    name: &'static str,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Step {
    fn new(name: &'static str, arguments: &str) -> Self {
        let arguments = arguments.split_whitespace().map(str::to_owned).collect();
        Self { name, arguments, environment: Vec::new() }
    }

    fn with(mut self, environment: &[(&'static str, String)]) -> Self {
        self.environment.extend_from_slice(environment);
        self
    }
}

/// Runs every step, stops at the first that fails, and prints the time of each.
pub(crate) fn run(root: &Path, quick: bool) -> Result<ExitCode> {
    let scratch = Scratch::new("ci")?;
    let mut times = Vec::new();
    let mut code = ExitCode::SUCCESS;
    let mut steps = steps(root, scratch.path());
    if !quick {
        let manifest = root.join("Cargo.toml");
        let text = fs::read_to_string(&manifest)
            .with_context(|| format!("{} is not read", manifest.display()))?;
        steps.extend(backends(root, &second_build(&text)?));
    }
    for step in steps {
        println!("\n== {}: cargo {}", step.name, step.arguments.join(" "));
        let start = Instant::now();
        let status = crate::cargo()
            .args(&step.arguments)
            .envs(step.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(root)
            .status()
            .context("cargo does not start")?;
        println!("-- {}: {:.1} s", step.name, start.elapsed().as_secs_f64());
        times.push((step.name, start.elapsed(), status.success()));
        if !status.success() {
            code = ExitCode::FAILURE;
            break;
        }
    }
    println!("\n{}", table(&times));
    Ok(code)
}

/// All steps. The first four need no running program; the last are the main job in short.
fn steps(root: &Path, scratch: &Path) -> Vec<Step> {
    let run = scratch.join("run").display().to_string();
    let grid = scratch.join("grid.png").display().to_string();
    let latents = scratch.join("latents.npz").display().to_string();
    let report = scratch.join("report").display().to_string();
    let program =
        |name, arguments: String| Step::new(name, &format!("run --quiet --release -- {arguments}"));
    let documentation = Step::new("doc", "doc --no-deps --workspace --release")
        .with(&[("RUSTDOCFLAGS", "-D warnings".into())]);
    let mut steps = vec![
        Step::new("format", "fmt --all --check"),
        Step::new("tidy", "xtask tidy"),
        Step::new("lint", "clippy --release --workspace --all-targets -- -D warnings"),
        documentation,
        Step::new("test", "test --release"),
        // With the features of the whole workspace, so that nothing is built twice.
        Step::new("own model", "test --release --workspace --test own_model"),
        Step::new("test tasks", "test --quiet --release --package xtask"),
        Step::new("audit", "xtask audit"),
        Step::new("packages", "xtask packages"),
        Step::new("torture", "xtask torture --kills 60 --disks 8 --stride 4001"),
        // A number of inputs, so that they are the same on every machine.
        Step::new("fuzz", "test --quiet --release --workspace --test fuzz -- --inputs 300"),
    ];
    match python::missing() {
        None => steps.push(Step::new("python", "xtask python")),
        Some(reason) => println!("the step `python` is left out: {reason}"),
    }
    let parity = root.join(PARITY);
    if parity.is_dir() {
        steps.push(Step::new("parity", &format!("xtask parity {PARITY}")));
    } else {
        println!("no folder {PARITY}: the step `parity` is left out");
    }
    steps.push(program("train", format!("train --epochs 2 --out {run}")));
    steps.push(program("encode", format!("encode {run} --out {latents}")));
    steps.push(program("generate", format!("generate {run} --prior --out {grid}")));
    steps.push(program("evaluate", format!("evaluate {run} --out {report}")));
    // The page of a run so small that everything can be measured.
    let folder = |name: &str| scratch.join(name).display().to_string();
    let (small, measured, compared) = (folder("small"), folder("measured"), folder("compared"));
    let data = "--data mnist-labels --set data.rows=500";
    steps.push(program("train small", format!("train {data} --epochs 2 --out {small}")));
    let options = "--metrics all --samples 10";
    steps.push(program("measure", format!("evaluate {small} {options} --out {measured}")));
    steps.push(program("compare", format!("compare {measured} {measured} --out {compared}")));
    if page::browser().is_some() {
        let pages = format!("xtask page {measured}/report.html {compared}/report.html");
        steps.push(Step::new("page", &pages));
        steps.push(Step::new("served page", &format!("xtask served {small}")));
    } else {
        println!("no browser: the steps `page` and `served page` are left out");
    }
    steps
}

/// The options of the second build. What the manifest compiles for size waits for disks and people, and is
/// not worth any time of the compiler there.
fn second_build(manifest: &str) -> Result<String> {
    let manifest: toml::Table = toml::from_str(manifest).context("the manifest is not read")?;
    let packages = ["profile", "release", "package"]
        .iter()
        .try_fold(&manifest, |table, key| table.get(*key)?.as_table())
        .context("the manifest has packages with levels of their own")?;
    let plain = packages.keys().map(String::as_str).chain([IDLE]);
    let options = plain.map(|name| format!("--config profile.release.package.{name}.opt-level=0 "));
    Ok(QUICK.to_owned() + &options.collect::<String>())
}

/// Short training on each backend, and recorded cases where there are some.
fn backends(root: &Path, quick: &str) -> Vec<Step> {
    let driver = Path::new(DRIVER).join("vk_swiftshader_icd.json");
    let environment = match driver.is_file() {
        true => vec![
            ("VK_DRIVER_FILES", driver.display().to_string()),
            ("LD_LIBRARY_PATH", DRIVER.to_owned()),
        ],
        false => {
            println!("no file {}: nothing is run on `wgpu`", driver.display());
            vec![]
        }
    };
    let test = format!("test {quick}--release --test backends --features {BACKENDS}");
    let mut steps = vec![Step::new("backends", &test).with(&environment)];
    let devices = [("parity ndarray", "ndarray", true), ("parity wgpu", "wgpu", driver.is_file())];
    for (name, device, there) in devices {
        if there && root.join(PARITY).is_dir() {
            let arguments = format!(
                "run {quick}--quiet --release --example parity --features {BACKENDS} -- {PARITY} \
                 --model {FAMILIES} --device {device}"
            );
            steps.push(Step::new(name, &arguments).with(&environment));
        }
    }
    steps
}

fn table(times: &[(&str, Duration, bool)]) -> String {
    let mut text = String::new();
    for (name, time, passed) in times {
        let verdict = if *passed { "passed" } else { "FAILED" };
        text += &format!("{name:<12} {verdict} {:>8.1} s\n", time.as_secs_f64());
    }
    let sum: Duration = times.iter().map(|(_, time, _)| *time).sum();
    text + &format!("{:<12}        {:>8.1} s", "all", sum.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_step_is_the_command_of_the_readme() {
        let steps = steps(Path::new("nowhere"), Path::new("scratch"));
        let test = steps.iter().find(|step| step.name == "test").expect("there is such a step");
        let command = format!("cargo {}", test.arguments.join(" "));
        assert_eq!(command, "cargo test --release");
        assert!(include_str!("../../README.md").lines().any(|line| line.trim() == command));
    }

    #[test]
    fn without_cases_there_is_no_parity_step() {
        let steps = steps(Path::new("nowhere"), Path::new("scratch"));
        assert!(steps.iter().all(|step| step.name != "parity"));
    }

    #[test]
    fn what_the_manifest_compiles_for_size_has_level_0_in_the_second_build() {
        let manifest =
            "[profile.release]\ndebug = 0\n[profile.release.package.a-b]\nopt-level = \"s\"\n";
        let expected = "--config profile.release.opt-level=1 \
                        --config profile.release.package.a-b.opt-level=0 \
                        --config profile.release.package.burn-flex.opt-level=0 ";
        assert_eq!(second_build(manifest).expect("it is read"), expected);
        assert!(second_build("[profile.release]\n").is_err());
        assert!(second_build(include_str!("../../Cargo.toml")).is_ok());
    }

    #[test]
    fn a_failed_step_is_told_from_a_passed_one() {
        let second = Duration::from_secs(1);
        let text = table(&[("format", second, true), ("lint", second, false)]);
        assert!(text.contains("format       passed      1.0 s"), "{text}");
        assert!(text.contains("lint         FAILED      1.0 s"), "{text}");
        assert!(text.ends_with("2.0 s"), "{text}");
    }
}
