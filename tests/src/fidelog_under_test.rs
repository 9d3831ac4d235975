//! The command line, as the cluster tests call it: exactly [`fidelog_cli::run`].

use std::process::ExitCode;

fn main() -> ExitCode {
    fidelog_cli::run(std::env::args_os())
}
