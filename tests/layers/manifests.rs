//! What a crate may import (DESIGN §1), read from the manifests.

use std::fs;

use crate::source::root;

/// A crate's folder, which of ours it may import, and what it must never import.
const CRATES: [(&str, &[&str], &[&str]); 7] = [
    ("proto", &[], &["tokio"]),
    ("proto/record", &[], &["tonic", "prost", "tokio", "rand"]),
    ("broker/log", &["fidelog-record"], &["tonic", "prost", "tokio", "futures"]),
    ("broker", &["fidelog-proto", "fidelog-record", "fidelog-log"], &["rand"]),
    ("broker/fidelogd", &["fidelog-broker", "fidelog-client"], &[]),
    ("client", &["fidelog-proto", "fidelog-record"], &["redb"]),
    ("client/cli", &["fidelog-client", "fidelog-record", "fidelog-log"], &["redb"]),
];

/// The names under `[dependencies]` and `[build-dependencies]`: what is shipped or builds what is shipped.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            inside = ["dependencies", "build-dependencies"].contains(&table);
            names.extend(table.strip_prefix("dependencies.").map(str::to_owned));
        } else if inside && !line.is_empty() {
            names.extend(line.split(['.', '=', ' ']).next().map(str::to_owned));
        }
    }
    names
}

#[test]
fn no_crate_imports_what_it_may_not() {
    let mut breaches = Vec::new();
    for (folder, ours, never) in CRATES {
        let manifest =
            fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("every crate has a manifest");
        for name in dependencies(&manifest) {
            let foreign = name.starts_with("fidelog") && !ours.contains(&name.as_str());
            if foreign || never.iter().any(|never| name == *never || name.starts_with(&format!("{never}-"))) {
                breaches.push(format!("{folder}/Cargo.toml imports `{name}`"));
            }
        }
    }
    crate::report("what a crate may import is written in DESIGN §1", &breaches);
}

#[test]
fn dependencies_are_told_from_other_tables() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\na.workspace = true\nb = { path = \"b\" } # c\n[dev-dependencies]\nd = \"1\"\n";
    assert_eq!(dependencies(manifest), ["a", "b"]);
}
