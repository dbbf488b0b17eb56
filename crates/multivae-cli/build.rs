//! The program of a release has no symbols.
//!
//! `strip` of the profile says so, and Cargo leaves it out for packages with an optimisation of their
//! own.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo::rustc-link-arg-bins=-Wl,-s");
    }
}
