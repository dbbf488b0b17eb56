//! The program `multivae`.

use std::process::ExitCode;

use multivae::allocator::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    multivae_cli::main()
}
