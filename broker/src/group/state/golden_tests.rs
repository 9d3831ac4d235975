//! Bytes written by every version, kept for ever: each file of `golden/` decodes and encodes to itself.
//!
//! A changed file is a broken promise to those who have such records on disk. New kinds get new files.

use std::path::PathBuf;

use fidelog_record::types::{Generation, LeaderEpoch, Offset, PartitionIndex};

use super::fixture::*;
use super::*;

fn entries() -> Vec<(&'static str, Entry)> {
    let position = |offset: Option<u64>, owner: &str| Position {
        offset: offset.map(Offset),
        leader_epoch: LeaderEpoch(2),
        generation: Generation(u64::MAX),
        owner: OwnerName::new(owner).unwrap(),
        committed_at_ms: 1_750_000_000_001,
    };
    let at = |index, position| PartitionPosition { partition: PartitionIndex(index), position };
    let slices = vec![
        SnapshotSlice {
            group: group("billing"),
            topic: topic(0xaa),
            positions: vec![at(0, position(Some(u64::MAX), "host-1 \"größe\"\n")), at(1, position(None, ""))],
        },
        SnapshotSlice {
            group: group("search"),
            topic: topic(0xbb),
            positions: vec![at(7, position(Some(0), "b"))],
        },
    ];
    vec![
        ("opened", open("billing", 0xaa, &[0, 1], "host-1")),
        ("committed", commit("billing", 0xaa, 1, 42, Generation(7))),
        ("reset", reset("billing", 0xaa, 1, 0)),
        ("deleted_group", delete("billing", None)),
        ("deleted_topic", delete("billing", Some(0xaa))),
        ("snapshot_begin", Entry::SnapshotBegin { as_of: Offset(99), generation_last: Generation(12) }),
        ("snapshot_part", Entry::SnapshotPart { index: 3, slices }),
        ("snapshot_end", Entry::SnapshotEnd { part_count: 4, position_count: 7001 }),
    ]
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/group/state/golden").join(format!("{name}.json"))
}

fn golden(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{}: {error}", path(name).display()))
}

#[test]
fn every_golden_entry_decodes_and_encodes_to_itself() {
    for (name, entry) in entries() {
        let bytes = golden(name);
        assert_eq!(Entry::from_bytes(bytes.as_bytes()).unwrap(), entry, "{name} means something else now");
        assert_eq!(
            String::from_utf8(entry.to_bytes()).unwrap(),
            bytes,
            "{name} would be written differently now"
        );
    }
}

#[test]
fn what_this_version_does_not_know_is_refused() {
    let refused = |text: &str| assert!(Entry::from_bytes(text.as_bytes()).is_err(), "accepted: {text}");
    refused(r#"{"kind":"joined","group":"billing"}"#);
    refused("");
    let known = golden("committed");
    refused(&format!("{known} {known}"));
    for field in ["\"group\"", "\"generation\""] {
        let unknown = known.replacen(field, &format!("\"later\":1,{field}"), 1);
        assert_ne!(unknown, known);
        refused(&unknown);
    }
    let inner = golden("snapshot_part");
    for field in ["\"owner\"", "\"positions\"", "\"position\""] {
        let unknown = inner.replacen(field, &format!("\"later\":1,{field}"), 1);
        assert_ne!(unknown, inner);
        refused(&unknown);
    }
    refused(&golden("opened").replace("host-1", &"x".repeat(250)));
}

/// `FIDELOG_BLESS=1` writes the files of new kinds; existing ones are never touched.
#[test]
fn every_kind_has_its_file() {
    for (name, entry) in entries() {
        if !path(name).exists() {
            assert!(std::env::var_os("FIDELOG_BLESS").is_some(), "{name}: write it with FIDELOG_BLESS=1");
            std::fs::write(path(name), entry.to_bytes()).unwrap();
        }
    }
}
