//! Bytes written by old releases, kept for ever: what is written today is the same, and what was written is read.
//!
//! `FIDELOG_BLESS=1` writes missing files anew; an existing one changes only with a new format version.

use std::path::PathBuf;

use fidelog_record::types::Offset;

use crate::harness::{Machine, bytes_of, read_all};

const FILES: [&str; 5] = [
    "00000000000000000000.log",
    "00000000000000000000.index",
    "00000000000000000000.time",
    "00000000000000000024.producers",
    "epochs",
];
const ROOT_FILES: [&str; 3] = ["identity", "recovery-points", "clean-stop"];

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[test]
fn the_files_of_a_log_are_what_they_always_were() {
    let machine = Machine::real();
    let mut broker = machine.create();
    broker.append(2, 100);
    broker.epoch = 2;
    let batches: Vec<_> = (0..15).map(|_| broker.append(2, 100)).collect();
    broker.commit(Offset(10));
    broker.flush();
    let stored = read_all(&broker.view(), 999);
    assert!(stored.ends_with(&bytes_of(&batches)));
    broker.stop();
    let inner = FILES.iter().map(|name| (*name, machine.file(name)));
    let outer = ROOT_FILES.iter().map(|name| (*name, machine.root.join(name)));
    for (name, path) in inner.chain(outer) {
        let written = std::fs::read(&path).unwrap();
        if std::env::var_os("FIDELOG_BLESS").is_some() && !golden(name).exists() {
            std::fs::create_dir_all(golden("")).unwrap();
            std::fs::write(golden(name), &written).unwrap();
        }
        let kept = std::fs::read(golden(name)).unwrap();
        assert!(written == kept, "{name} is written differently");
        // What was kept is what is read from here on.
        std::fs::write(&path, kept).unwrap();
    }
    let (broker, report) = machine.open();
    assert!(report.met(fidelog_log::RecoveryCase::Clean), "{report:?}");
    assert_eq!(read_all(&broker.view(), 999), stored);
}
