//! The daemon, as the cluster tests start it: exactly [`fidelogd::run`], and a tether to the test.
//!
//! With `FIDELOG_TESTS_TETHER` set it listens to its stdin. When that ends, so does the process: no broker outlives its
//! test, however the test ends. The line `panic thread` or `panic task` makes it panic there, as a bug would.

use std::io::BufRead;
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::var_os("FIDELOG_TESTS_TETHER").is_some() {
        std::thread::spawn(listen);
    }
    fidelogd::run(std::env::args_os())
}

fn listen() {
    for line in std::io::stdin().lock().lines() {
        match line.as_deref() {
            Ok("panic thread") => panic!("a thread was asked to panic"),
            Ok("panic task") => panic_in_a_task(),
            Ok(other) => eprintln!("not understood on stdin: {other}"),
            Err(_) => break,
        }
    }
    std::process::exit(1);
}

/// The runtime catches the panic of a task, unless the hook was quicker.
fn panic_in_a_task() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    let task = runtime.spawn(async { panic!("a task was asked to panic") });
    let caught = runtime.block_on(task);
    eprintln!("the panic went unnoticed: {caught:?}");
}
