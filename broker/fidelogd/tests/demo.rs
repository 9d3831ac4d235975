//! `demo` as a user runs it: real processes, a real disk, a kill -9.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

fn demo(directory: &Path, text: &[u8]) -> Output {
    let file = directory.join("text");
    std::fs::write(&file, text).expect("a temporary directory can be written to");
    Command::new(env!("CARGO_BIN_EXE_fidelogd"))
        .args(["demo", "--port-base", "0", "--data-dir"])
        .arg(directory.join("cluster"))
        .arg(file)
        .output()
        .expect("the program was built for this test")
}

fn told(output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{stdout}\n{stderr}")
}

#[test]
fn every_line_comes_back_byte_for_byte_though_a_broker_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for line in 0..5_000 {
        writeln!(text, "line {line}{}", if line % 3 == 0 { "\r" } else { "" }).unwrap();
    }
    let mut text = text.into_bytes();
    text.extend_from_slice(b"\n\n\xff\xfe\0 no line feed behind this");
    // Twice: the second replaces what the first left.
    for _ in 0..2 {
        let output = demo(directory.path(), &text);
        let told = told(&output);
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert!(told.contains("ended: signal 9"), "{told}");
        assert!(
            told.contains("5,003 lines in, 5,003 acknowledged, 5,003 records out, 5,003 the same"),
            "{told}"
        );
    }
}

/// An empty file cost the cluster of the demo before.
#[test]
fn a_file_without_a_line_replaces_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let first = demo(directory.path(), b"one\n");
    assert_eq!(first.status.code(), Some(0), "{}", told(&first));
    assert!(told(&first).contains(" --port-base "), "the ports were not the usual ones: {}", told(&first));
    let output = demo(directory.path(), b"");
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("is empty"), "{}", told(&output));
    assert!(directory.path().join("cluster/broker1").is_dir(), "the earlier cluster is gone");
    let left = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 2, "the cluster and the text");
}

#[test]
fn an_over_long_line_stops_with_its_number_and_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let text = [&b"one\ntwo\n"[..], &vec![b'x'; (1 << 20) + 1], b"\nfour\n"].concat();
    let output = demo(directory.path(), &text);
    let told = told(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("line 3 is longer than 1048576 bytes"), "{told}");
    assert!(told.contains("2 lines were acknowledged, among them all from 1 to 2"), "{told}");
}
