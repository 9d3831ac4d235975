//! The command line against a real cluster: what goes in comes out, and exit codes are the contract's.

use std::process::{Command, Output};

use crate::harness::Cluster;

fn fidelog(cluster: &Cluster, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fidelog-under-test"));
    command.env("FIDELOG_BROKERS", cluster.addresses().join(",")).args(arguments);
    command.output().expect("the command line can be run")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_goes_in_and_comes_out() {
    let cluster = Cluster::start("cli").await;
    let expect = |arguments: &[&str], code: i32| {
        let output = fidelog(&cluster, arguments);
        assert_eq!(output.status.code(), Some(code), "fidelog {}: {}", arguments.join(" "), said(&output));
        output
    };
    expect(&["topic", "create", "orders", "-p", "1"], 0);
    expect(&["topic", "create", "orders"], 6);
    assert!(said(&expect(&["topic", "ls"], 0)).contains("orders"));
    expect(&["topic", "desc", "orders"], 0);
    expect(&["topic", "desc", "nobody"], 3);
    expect(&["topic", "create", "../etc"], 2);
    expect(&["no", "such", "command"], 2);

    let scratch = tempfile::tempdir().expect("a temporary directory");
    let lines: String = (0..2_000).map(|number| format!("line {number}\n")).collect();
    let file = scratch.path().join("lines.txt");
    std::fs::write(&file, &lines).expect("the file is written");
    expect(&["produce", "orders", "--file", file.to_str().expect("a plain path")], 0);
    let output = expect(&["consume", "orders", "-g", "billing", "-e"], 0);
    assert!(output.stdout == lines.as_bytes(), "what came out is not what went in");
    let lag = said(&expect(&["group", "lag", "billing", "orders", "-o", "jsonl"], 0));
    assert!(lag.contains("2000"), "{lag}");
}
