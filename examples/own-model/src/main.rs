//! The whole command line with a model of one's own:
//!
//! ```text
//! $ cargo run --release --package own-model -- train --model average --data mfeat --epochs 5
//! $ cargo run --release --package own-model -- evaluate runs/average-mfeat --metrics all
//! ```

mod model;

use std::process::ExitCode;

use multivae::models::custom::register;

fn main() -> ExitCode {
    let known = register::<model::AverageConfig>("average", "Average of the unimodal posteriors");
    match known {
        Ok(()) => multivae_cli::main(),
        // The name is taken: a defect of this file, and no matter of what the user gave.
        Err(error) => multivae_cli::fail(&error.into()),
    }
}
