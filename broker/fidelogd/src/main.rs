//! The Fidelog daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    fidelogd::run(std::env::args_os())
}
