//! What the linker is asked for: a program of a release without symbols, and one of functions that are
//! equal, of which generic code makes many.
//!
//! `strip` of the profile asks for the first, and Cargo leaves it out for packages with an optimisation
//! of their own. The second is what LLD can do, with which `rustc` comes for Linux on x86-64, and mold.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

const STRIP: &str = "-Wl,-s";
const FOLD: &str = "-Wl,--icf=all";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo::rustc-link-arg-bins={STRIP}");
        if folds() == Some(true) {
            println!("cargo::rustc-link-arg-bins={FOLD}");
        }
    }
}

/// Whether a small program can be linked so.
fn folds() -> Option<bool> {
    let folder = env::var_os("OUT_DIR")?;
    let (source, program) = (Path::new(&folder).join("a.rs"), Path::new(&folder).join("a"));
    fs::write(&source, "fn main() {}\n").ok()?;
    let mut rustc = Command::new(env::var_os("RUSTC")?);
    rustc.arg(&source).arg("-o").arg(program).args(["--target", &env::var("TARGET").ok()?]);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    rustc.arg(format!("-Clink-arg={FOLD}"));
    let status = rustc.stdout(Stdio::null()).stderr(Stdio::null()).status();
    Some(status.ok()?.success())
}
