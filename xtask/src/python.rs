//! The module for Python: its wheel, and its tests in an environment of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};

/// Where the module lies.
const CRATE: &str = "crates/multivae-python";
/// What the wheel is built and tested with, beside NumPy, which it brings.
const TOOLS: &[&str] = &["maturin>=1.9,<2", "pytest"];
/// Libraries whose data it takes, and checkers of types; tests say what they leave out where they are
/// not there.
const LIBRARIES: &[&str] = &[
    "pandas",
    "pyarrow",
    "polars",
    "scipy",
    "scikit-learn",
    "anndata",
    "mudata",
    "mypy",
    "nbclient",
    "ipykernel",
    "matplotlib",
];
/// The largest wheel, in bytes.
const LARGEST: u64 = 40_000_000;

/// Why it cannot be tested here, if so.
pub(crate) fn missing() -> Option<String> {
    match version(&interpreter()) {
        Ok(found) if found >= (3, 10) => None,
        Ok((major, minor)) => Some(format!("Python {major}.{minor}; 3.10 is the oldest")),
        Err(error) => Some(format!("{error:#}")),
    }
}

fn interpreter() -> PathBuf {
    std::env::var_os("PYTHON").map_or_else(|| "python3".into(), PathBuf::from)
}

fn version(python: &Path) -> Result<(u32, u32)> {
    let ask = "import sys; print(*sys.version_info[:2])";
    let output = Command::new(python).args(["-c", ask]).output().context("no `python3`")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_whitespace().map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => bail!("`python3` does not say its version: {text:?}"),
    }
}

/// Builds the wheel into `target/wheels`, installs it into a new environment in `target/python`, and
/// runs the tests there.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    if let Some(reason) = missing() {
        bail!("the module for Python cannot be built: {reason}");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), |target| root.join(target));
    let (place, wheels) = (target.join("python"), target.join("wheels"));
    if !place.is_dir()
        && let Err(error) = call(Command::new(interpreter()).args(["-m", "venv"]).arg(&place))
    {
        println!("NOT CHECKED: the module for Python, since there is no environment: {error:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let python = place.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let pip = || {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip
    };
    if let Err(error) = call(pip().args(TOOLS)) {
        println!("NOT CHECKED: the module for Python, since it cannot be built: {error:#}");
        return Ok(ExitCode::SUCCESS);
    }
    for library in LIBRARIES {
        // One by one, since some have no package for the newest interpreter.
        if call(pip().arg(library)).is_err() {
            println!("NOT CHECKED with `{library}`: it cannot be installed");
        }
    }
    if wheels.is_dir() {
        fs::remove_dir_all(&wheels)?;
    }
    let manifest = root.join(CRATE).join("Cargo.toml");
    let mut build = Command::new(&python);
    build.args(["-m", "maturin", "build", "--release", "--locked", "--quiet", "--manifest-path"]);
    call(build.arg(manifest).arg("--out").arg(&wheels).arg("--interpreter").arg(&python))?;
    let files = fs::read_dir(&wheels)?.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let [wheel] = &files[..] else { bail!("expected one wheel, found {files:?}") };
    let bytes = fs::metadata(wheel)?.len();
    println!("{}: {bytes} bytes", wheel.display());
    ensure!(bytes <= LARGEST, "the wheel has {bytes} bytes, {LARGEST} at most were expected");
    call(pip().args(["--force-reinstall", "--no-deps"]).arg(wheel))?;
    // From elsewhere, so that the package is the one that was installed.
    let tests = root.join(CRATE).join("tests");
    let mut test = Command::new(&python);
    test.args(["-m", "pytest", "--quiet", "-p", "no:cacheprovider"]).arg(tests);
    call(test.current_dir(&target).env("MULTIVAE_CRATE", root.join(CRATE)))?;
    Ok(ExitCode::SUCCESS)
}

fn call(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} does not start"))?;
    ensure!(status.success(), "{command:?} has failed");
    Ok(())
}
