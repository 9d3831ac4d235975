//! A check that cannot fail is no check: every anomaly is made up once, and found.

use super::anomaly::Anomaly;
use super::checker::check;
use super::event::{History, Outcome, Read, Send, Value};

const fn value(counter: u64) -> Value {
    Value { producer: 7, counter }
}

fn acked(counter: u64, offset: u64) -> Send {
    send(counter, Outcome::Acked { offset: Some(offset) })
}

fn send(counter: u64, outcome: Outcome) -> Send {
    Send { value: value(counter), partition: 0, outcome }
}

fn read(offset: u64, counter: u64) -> Read {
    Read { session: 1, partition: 0, offset, value: Some(value(counter)) }
}

fn anomalies(sends: &[Send], reads: &[Read]) -> Vec<Anomaly> {
    check(&History { sends: sends.into(), reads: reads.into(), ..History::default() })
}

#[test]
fn a_good_history_has_no_anomaly() {
    let sends = [
        acked(0, 0),
        send(1, Outcome::NotStored),
        send(2, Outcome::Unknown),
        send(3, Outcome::Unknown),
        send(4, Outcome::Acked { offset: None }),
    ];
    assert_eq!(anomalies(&sends, &[read(0, 0), read(1, 3), read(2, 4)]), []);
}

#[test]
fn an_acknowledged_value_that_readers_passed_is_lost() {
    let found = anomalies(&[acked(0, 0), acked(1, 1)], &[read(1, 1)]);
    assert_eq!(found, [Anomaly::LostWrite { value: value(0), partition: 0, offset: 0 }]);
}

#[test]
fn an_acknowledged_value_that_is_not_there_at_the_end_is_unseen() {
    let found = anomalies(&[acked(0, 0), acked(1, 1)], &[read(0, 0)]);
    assert_eq!(found, [Anomaly::Unseen { value: value(1), partition: 0 }]);
    let found = anomalies(&[send(0, Outcome::Acked { offset: None })], &[]);
    assert_eq!(found, [Anomaly::Unseen { value: value(0), partition: 0 }]);
}

#[test]
fn a_value_that_was_definitely_not_stored_is_never_read() {
    let found = anomalies(&[send(0, Outcome::NotStored)], &[read(0, 0)]);
    assert_eq!(found, [Anomaly::AbortedRead { value: value(0), partition: 0, offset: 0 }]);
}

#[test]
fn an_offset_holds_one_value() {
    let (first, second) = (value(0).to_string(), value(1).to_string());
    let at = Anomaly::InconsistentOffset { partition: 0, offset: 0, first, second };
    let other = Read { session: 2, ..read(0, 1) };
    assert!(
        anomalies(&[acked(0, 0), send(1, Outcome::Unknown)], &[read(0, 0), other]).contains(&at),
        "two reads"
    );
    assert!(
        anomalies(&[acked(0, 0), send(1, Outcome::Unknown)], &[read(0, 1)]).contains(&at),
        "receipt and read"
    );
    assert!(anomalies(&[acked(0, 0), acked(1, 0)], &[]).contains(&at), "two receipts");
}

#[test]
fn a_value_stands_once() {
    let found = anomalies(&[acked(0, 0)], &[read(0, 0), read(1, 0)]);
    assert_eq!(found, [Anomaly::Duplicate { value: value(0), partition: 0, first: 0, second: 1 }]);
}

#[test]
fn values_stand_in_the_order_they_were_sent() {
    let sends = [send(0, Outcome::Unknown), send(1, Outcome::Unknown)];
    let found = anomalies(&sends, &[read(0, 1), read(1, 0)]);
    assert_eq!(found, [Anomaly::OutOfOrder { earlier: value(0), later: value(1), partition: 0 }]);
}

#[test]
fn a_session_never_goes_back() {
    let found = anomalies(&[acked(0, 0), acked(1, 1)], &[read(0, 0), read(1, 1), read(0, 0)]);
    assert_eq!(found, [Anomaly::NonmonotonicRead { session: 1, partition: 0, before: 1, offset: 0 }]);
}

#[test]
fn a_session_never_skips() {
    let sends = [acked(0, 0), acked(1, 1), acked(2, 2)];
    let other = |offset, counter| Read { session: 2, ..read(offset, counter) };
    let found = anomalies(&sends, &[other(0, 0), other(1, 1), other(2, 2), read(0, 0), read(2, 2)]);
    assert_eq!(found, [Anomaly::SkippedRead { session: 1, partition: 0, before: 0, offset: 2 }]);
}

#[test]
fn only_what_was_sent_is_read_and_only_where_it_was_sent() {
    let unexpected =
        |what: &str, partition| Anomaly::Unexpected { what: what.to_owned(), partition, offset: 0 };
    assert_eq!(anomalies(&[], &[read(0, 0)]), [unexpected("7-0", 0)]);
    let foreign = Read { value: None, ..read(0, 0) };
    assert_eq!(anomalies(&[], &[foreign]), [unexpected("something foreign", 0)]);
    let elsewhere = Read { partition: 1, ..read(0, 0) };
    assert_eq!(anomalies(&[send(0, Outcome::Unknown)], &[elsewhere]), [unexpected("7-0", 1)]);
}

#[test]
fn values_are_read_back_as_written() {
    assert_eq!(Value::parse(value(12).to_string().as_bytes()), Some(value(12)));
    assert_eq!(Value::parse(b"7-12 and some filling"), Some(value(12)));
    for foreign in [&b""[..], b"7", b"7-", b"-1", b"a-b", b"\xff-1"] {
        assert_eq!(Value::parse(foreign), None, "{foreign:?}");
    }
}
