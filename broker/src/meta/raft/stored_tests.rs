//! The stored forms, as they were first written: these texts are never edited, only added to.

use std::collections::{BTreeMap, BTreeSet};

use fidelog_record::types::BrokerId;

use super::fixture::{Entry, blank, found, grants, log_id};
use super::stored::{
    decode_entry, decode_image, decode_log_id, decode_snapshot_meta, decode_vote, encode_entry, encode_image,
    encode_log_id, encode_snapshot_meta, encode_vote,
};
use super::{Membership, SnapshotMeta, StoredMembership, Vote, Voter};
use crate::meta::state::fixture::founded;
use crate::meta::state::{Stored, encode};

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn joint() -> Membership {
    let voter = |n: u32| Voter { broker: BrokerId(n), address: format!("10.0.0.{n}:9095") };
    let nodes = BTreeMap::from([(7, voter(1)), (8, voter(2)), (u64::MAX, voter(3))]);
    Membership::new(vec![BTreeSet::from([7, 8]), BTreeSet::from([8])], nodes)
}

const JOINT: &str = r#"{"voters":[[7,8],[8]],"nodes":[{"node":7,"broker":1,"address":"10.0.0.1:9095"},{"node":8,"broker":2,"address":"10.0.0.2:9095"},{"node":18446744073709551615,"broker":3,"address":"10.0.0.3:9095"}]}"#;

#[test]
fn entries_look_as_they_always_did() {
    let member = |id| Entry { log_id: id, payload: openraft::EntryPayload::Membership(joint()) };
    let snapshot = text(founded().to_bytes());
    let texts = [
        (blank(log_id(1, 0)), r#"{"id":{"term":1,"leader":7,"index":0},"payload":"blank"}"#.to_owned()),
        (
            member(log_id(2, 3)),
            format!(r#"{{"id":{{"term":2,"leader":7,"index":3}},"payload":{{"membership":{JOINT}}}}}"#),
        ),
        (
            found(log_id(2, 4)),
            format!(
                r#"{{"id":{{"term":2,"leader":7,"index":4}},"payload":{{"command":{{"kind":"found","snapshot":{snapshot}}}}}}}"#
            ),
        ),
        (
            grants(log_id(3, 5), &founded(), 1),
            r#"{"id":{"term":3,"leader":7,"index":5},"payload":{"command":{"kind":"batch","base":0,"entries":[{"kind":"producer_ids_granted","broker":1,"from":1,"to_end":2}]}}}"#
                .to_owned(),
        ),
    ];
    for (entry, expected) in texts {
        assert_eq!(text(encode_entry(&entry)), expected);
        assert_eq!(decode_entry(expected.as_bytes()).unwrap(), entry);
    }
}

#[test]
fn facts_and_snapshots_look_as_they_always_did() {
    for (vote, expected) in [
        (Vote::new(3, 7), r#"{"term":3,"node":7,"committed":false}"#),
        (Vote::new_committed(4, u64::MAX), r#"{"term":4,"node":18446744073709551615,"committed":true}"#),
    ] {
        assert_eq!(text(encode_vote(&vote)), expected);
        assert_eq!(decode_vote(expected.as_bytes()).unwrap(), vote);
    }
    let expected = r#"{"term":3,"leader":7,"index":5}"#;
    assert_eq!(text(encode_log_id(&log_id(3, 5))), expected);
    assert_eq!(decode_log_id(expected.as_bytes()).unwrap(), log_id(3, 5));

    let meta = SnapshotMeta {
        last_log_id: Some(log_id(3, 5)),
        last_membership: StoredMembership::new(Some(log_id(2, 3)), joint()),
        snapshot_id: "x".to_owned(),
    };
    let expected = format!(
        r#"{{"id":"x","last":{{"term":3,"leader":7,"index":5}},"membership_at":{{"term":2,"leader":7,"index":3}},"membership":{JOINT}}}"#
    );
    assert_eq!(text(encode_snapshot_meta(&meta)), expected);
    assert_eq!(decode_snapshot_meta(expected.as_bytes()).unwrap(), meta);
    assert_eq!(
        decode_snapshot_meta(&encode_snapshot_meta(&SnapshotMeta::default())).unwrap(),
        SnapshotMeta::default()
    );

    let expected = format!(r#"{{"format":1,"state":{}}}"#, text(encode(&founded().to_snapshot())));
    assert_eq!(text(encode_image(Some(&founded()))), expected);
    assert_eq!(decode_image(expected.as_bytes()).unwrap(), Some(founded()));
    assert_eq!(decode_image(br#"{"format":1,"state":null}"#).unwrap(), None);
}

#[test]
fn unknown_fields_kinds_and_trailing_bytes_are_refused() {
    for wrong in [
        r#"{"id":{"term":1,"leader":7,"index":0},"payload":"blank","more":1}"#,
        r#"{"id":{"term":1,"leader":7,"index":0},"payload":"blonk"}"#,
        r#"{"id":{"term":1,"leader":7,"index":0},"payload":"blank"}{}"#,
        r#"{"id":{"term":1,"leader":7,"index":-1},"payload":"blank"}"#,
        r#"{"id":{"term":1,"leader":7,"index":0},"payload":{"command":{"kind":"batch","base":0,"entries":[{"kind":"new"}]}}}"#,
    ] {
        decode_entry(wrong.as_bytes()).unwrap_err();
    }
    decode_vote(br#"{"term":3,"node":7}"#).unwrap_err();
    decode_image(br#"{"format":2,"state":null}"#).unwrap_err();
}
