//! The `fidelog` command: a shell around [`fidelog_cli::run`].

use std::process::ExitCode;

fn main() -> ExitCode {
    fidelog_cli::run(std::env::args_os())
}
