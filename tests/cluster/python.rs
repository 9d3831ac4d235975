//! Another language: a Python client generated from the `.proto` files talks to one broker, which forwards.
//!
//! `FIDELOG_PYTHON` names an interpreter that has `grpcio` and `grpcio-tools`; default `python3`.

use std::path::Path;
use std::process::Command;

use crate::harness::{Cluster, lacks};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_python_client_produces_fetches_and_commits() {
    let python = std::env::var("FIDELOG_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python).args(["-c", "import grpc, grpc_tools"]).output();
    let ready = probe.is_ok_and(|probe| probe.status.success());
    if !ready && lacks("a generated Python client", &format!("grpcio and grpcio-tools for {python}")) {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the project's root");
    let generated = tempfile::tempdir().expect("a temporary directory");
    let out = generated.path().to_str().expect("a plain path");
    let protos = ["common", "produce", "fetch", "topics", "cluster", "positions"];
    let made = Command::new(&python)
        .current_dir(root)
        .args(["-m", "grpc_tools.protoc", "-I", "proto"])
        .args([format!("--python_out={out}"), format!("--grpc_python_out={out}")])
        .args(protos.map(|name| format!("proto/fidelog/v1/{name}.proto")))
        .output()
        .expect("the generator runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let cluster = Cluster::start("python").await;
    let client = cluster.client().await;
    cluster.topic(&client, "orders").await;
    cluster.in_sync(&client, "orders").await;
    for address in cluster.addresses() {
        let ran = Command::new(&python)
            .env("PYTHONPATH", generated.path())
            .arg(root.join("tests/python/produce_consume.py"))
            .args([address.as_str(), "orders"])
            .output()
            .expect("the client runs");
        let said =
            format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "through {address}: {said}");
        println!("through {address}: {said}");
    }
}
