//! Who may use whom, held by reading the sources: the floors of the broker, what pure code may not name, where
//! unsafe code and files may be touched, and what a crate may import.
//!
//! It says what the compiler cannot; what it cannot say either stays an example.

mod floors;
mod manifests;
mod source;

use source::{Source, lines_with};

/// Fails with every breach, one a line.
fn report(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}\n", breaches.join("\n  "));
}

/// Where any of `words` stands in the files that `concerns` picks.
fn breaches(words: &[&str], code: impl Fn(&Source) -> &str, concerns: impl Fn(&str) -> bool) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in source::all().iter().filter(|source| concerns(&source.path)) {
        for word in words {
            let lines = lines_with(code(source), word);
            breaches.extend(lines.iter().map(|line| format!("{}:{line} names `{word}`", source.path)));
        }
    }
    breaches
}

fn is_source_of(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

/// Pure: from (state, event, now) to (state, effects). The shells beside pure files are named here.
fn is_pure(path: &str) -> bool {
    const PURE: [&str; 7] = [
        "proto/record/src/",
        "broker/src/replica/",
        "broker/src/meta/state/",
        "broker/src/group/state/",
        "broker/log/src/producers.rs",
        "broker/log/src/epochs.rs",
        "broker/log/src/retention.rs",
    ];
    const MACHINE: [&str; 8] =
        ["machine", "leading", "following", "produce", "pending", "effect", "outcome", "membership"];
    let machine = MACHINE.iter().any(|name| path.starts_with(&format!("broker/src/partition/{name}")));
    machine || is_source_of(path, &PURE)
}

#[test]
fn pure_code_names_no_clock_no_task_no_file_and_no_randomness() {
    let words =
        ["tokio", "Instant", "SystemTime", "rand", "std::fs", "std::thread", "std::net", "async", "await"];
    let found = breaches(&words, |source| &source.shipped, is_pure);
    report("pure code takes `now` and a seed from its caller, and answers with effects (DESIGN §2)", &found);
}

#[test]
fn only_rpc_names_tonic_and_the_wire() {
    let inside = |path: &str| path.starts_with("broker/src/") && !path.starts_with("broker/src/rpc/");
    let found = breaches(&["tonic", "fidelog_proto", "prost"], |source| &source.shipped, inside);
    report("of the broker's floors only rpc knows the wire (DESIGN §2)", &found);
}

#[test]
fn unsafe_code_lies_in_one_room() {
    let elsewhere =
        |path: &str| !path.starts_with("broker/log/src/env/mapping.rs") && !path.starts_with("tests/shim/");
    let found = breaches(&["unsafe"], |source| &source.code, elsewhere);
    report("unsafe code lies in broker/log/src/env/mapping.rs and the tests' shim", &found);
}

#[test]
fn files_are_reached_through_env_only() {
    let floors = |path: &str| {
        let floors = ["proto/src/", "proto/record/src/", "broker/src/", "broker/log/src/", "client/src/"];
        is_source_of(path, &floors) && !path.starts_with("broker/log/src/env/")
    };
    let found = breaches(&["std::fs", "tokio::fs", "memmap2"], |source| &source.shipped, floors);
    report(
        "files are reached through broker/log/src/env; the daemon and the CLI may read what a user names",
        &found,
    );
}

#[test]
fn nothing_is_left_undone_and_no_test_is_left_out() {
    let found = breaches(&["todo!", "unimplemented!", "#[ignore"], |source| &source.code, |_| true);
    report("finish it, or take it out", &found);
}

#[test]
fn files_are_short() {
    const LONG: usize = 400;
    const TOO_LONG: usize = 500;
    let sources = source::all();
    for source in sources.iter().filter(|source| source.line_count > LONG) {
        println!("{} has {} lines; around 150 are usual", source.path, source.line_count);
    }
    let too_long = sources.iter().filter(|source| source.line_count > TOO_LONG);
    let too_long: Vec<_> =
        too_long.map(|source| format!("{}: {} lines", source.path, source.line_count)).collect();
    report("a file of more than 500 lines holds more than one noun: split it", &too_long);
}
