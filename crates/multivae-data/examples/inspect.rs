//! Says what data sources hold: `cargo run --release -p multivae-data --example inspect -- PATH..`

use std::{env, io::Write, process::ExitCode};

use multivae_data::{DataConfig, inspect};

fn main() -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    let mut out = std::io::stdout();
    for source in env::args().skip(1) {
        let text = match inspect(&DataConfig::new(&source)) {
            Ok(found) => found.to_string(),
            Err(error) => {
                code = ExitCode::FAILURE;
                format!("{source}: {error}\n")
            }
        };
        if writeln!(out, "{text}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    code
}
