//! Cuts, start-overs and retention.

use fidelog_log::{LogWork, ProducerTable, ReadError};
use fidelog_record::types::Offset;

use crate::harness::{Heard, Machine, bytes_of, read_all};

#[test]
fn a_cut_takes_whole_batches_and_appends_go_on_from_there() {
    for to in [0, 1, 37, 58, 59, 60] {
        let machine = Machine::real();
        let mut broker = machine.create();
        let mut batches: Vec<_> = (0..30).map(|_| broker.append(2, 100)).collect();
        let done = broker.cut(Offset(to)).unwrap();
        let end = to / 2 * 2;
        assert_eq!(done.end, Offset(end), "cut to {to}");
        batches.truncate(end as usize / 2);
        broker.epoch = 2;
        batches.extend((0..10).map(|_| broker.append(3, 70)));
        assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches));
        drop(broker);
        let (broker, report) = machine.open();
        assert!(report.damage.is_empty(), "cut to {to}: {report:?}");
        assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches));
    }
}

#[test]
fn a_cut_below_what_is_committed_is_refused_and_the_log_goes_on() {
    let machine = Machine::real();
    let mut broker = machine.create();
    let batches: Vec<_> = (0..30).map(|_| broker.append(2, 100)).collect();
    broker.commit(Offset(40));
    assert!(broker.cut(Offset(39)).is_none());
    let late = broker.append(1, 1);
    assert_eq!(read_all(&broker.view(), 999), bytes_of(&[&batches[..], &[late]].concat()));
    broker.submit(LogWork::Cut { to: Offset(39), committed_end: Offset(40), permitted: None });
    broker.flush();
    let heard = broker.events.take();
    assert!(
        heard.iter().any(|heard| matches!(heard, Heard::Failed(why) if why.contains("committed"))),
        "{heard:?}"
    );
}

/// An operator gave up what only this log had; the records are kept aside, and the committed end goes back with them.
#[test]
fn a_permitted_cut_goes_below_what_is_committed_and_no_deeper() {
    let machine = Machine::real();
    let mut broker = machine.create();
    let batches: Vec<_> = (0..30).map(|_| broker.append(2, 100)).collect();
    broker.commit(Offset(40));
    let cut = |to, permitted| LogWork::Cut { to: Offset(to), committed_end: Offset(40), permitted };
    broker.submit(cut(10, Some(Offset(20))));
    broker.flush();
    let heard = broker.events.take();
    assert!(heard.iter().any(|heard| matches!(heard, Heard::Failed(_))), "{heard:?}");
    broker.submit(cut(20, Some(Offset(20))));
    broker.flush();
    let heard = broker.events.take();
    assert!(
        heard.iter().any(|heard| matches!(heard, Heard::Cut(done) if done.end == Offset(20))),
        "{heard:?}"
    );
    assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches[..10]));
    drop(broker);
    let (broker, report) = machine.open();
    assert_eq!((report.end, report.committed_end), (Offset(20), Offset(20)), "{report:?}");
    assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches[..10]));
}

#[test]
fn a_log_started_over_is_empty_and_begins_where_it_was_told() {
    for at in [0, 20, 500] {
        let machine = Machine::real();
        let mut broker = machine.create();
        for _ in 0..30 {
            broker.append(2, 100);
        }
        broker.submit(LogWork::StartOver { at: Offset(at), producers: ProducerTable::default() });
        broker.flush();
        let done = broker.hear_cut().unwrap();
        assert_eq!(done.end, Offset(at));
        assert!(done.epochs.entries().is_empty());
        let batches: Vec<_> = (0..20).map(|_| broker.append(2, 100)).collect();
        assert_eq!(broker.view().start(), Offset(at));
        drop(broker);
        let (broker, report) = machine.open();
        assert!(report.damage.is_empty(), "{report:?}");
        assert_eq!(broker.view().start(), Offset(at));
        assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches));
    }
}

#[test]
fn retention_removes_files_and_disturbs_no_reader() {
    let machine = Machine::real();
    let mut broker = machine.create();
    let batches: Vec<_> = (0..60).map(|_| broker.append(2, 100)).collect();
    let view = broker.view();
    let held = view.read(Offset(0), 700, Offset(120)).unwrap();
    let before = view.segments().unwrap().len();
    broker.commit(Offset(90));
    broker.submit(LogWork::AdvanceStart { to: Offset(101) });
    broker.flush();
    assert!(broker.events.take().iter().any(|heard| matches!(heard, Heard::Started(Offset(90)))));
    assert!(view.segments().unwrap().len() < before);
    assert!(bytes_of(&batches).starts_with(&held.batches));
    let gone = view.read(Offset(89), 700, Offset(120)).unwrap_err();
    assert!(matches!(gone, ReadError::OutOfRange { start: Offset(90), .. }));
    assert_eq!(read_all(&view, 999), bytes_of(&batches[45..]));
    drop((broker, view));
    let (broker, report) = machine.open();
    assert_eq!((report.start, report.end), (Offset(90), Offset(120)), "{report:?}");
    assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches[45..]));
}

#[test]
fn a_topic_has_its_own_limits_of_a_segment() {
    let mut machine = Machine::real();
    machine.config.segment_bytes = 1 << 20;
    let mut broker = machine.create();
    (0..30).for_each(|_| drop(broker.append(2, 100)));
    assert_eq!(broker.view().segments().unwrap().len(), 1);
    broker.submit(LogWork::Configure { segment_bytes: 4096, segment_ms: u64::MAX });
    (0..60).for_each(|_| drop(broker.append(2, 100)));
    let by_size = broker.view().segments().unwrap().len();
    assert!(by_size > 3, "{by_size} segments");
    // Append times rise by one a record here, and age counts when the file would grow.
    broker.submit(LogWork::Configure { segment_bytes: 1 << 20, segment_ms: 1 });
    (0..60).for_each(|_| drop(broker.append(2, 100)));
    let by_age = broker.view().segments().unwrap().len();
    assert!(by_age > by_size, "{by_age} segments");
}

#[test]
fn an_idle_log_rolls_when_it_is_told_and_only_if_it_holds_records() {
    let machine = Machine::real();
    let mut broker = machine.create();
    let batch = broker.append(2, 100);
    for _ in 0..2 {
        broker.submit(LogWork::Roll);
        broker.flush();
        let segments = broker.view().segments().unwrap();
        assert_eq!(segments.len(), 2, "{segments:?}");
        assert_eq!((segments[0].active, segments[0].oldest_ms), (false, batch.append_time_ms()));
        assert!(segments[1].active && segments[1].base == segments[1].end);
    }
    broker.commit(Offset(2));
    broker.submit(LogWork::AdvanceStart { to: Offset(2) });
    broker.flush();
    assert_eq!(broker.view().segments().unwrap().len(), 1);
    assert_eq!(broker.view().start(), Offset(2));
}

/// The second used to be planned against the same start as the first: the recovery point said the smaller one, while the
/// files below the greater one were removed, and the next start reported them missing.
#[test]
fn of_two_new_starts_in_one_flush_the_greater_counts() {
    let machine = Machine::real();
    let mut broker = machine.create();
    let ends: Vec<Offset> = (0..40).map(|_| broker.append(2, 300).end_offset()).collect();
    broker.commit(ends[39]);
    broker.submit(LogWork::AdvanceStart { to: ends[30] });
    broker.submit(LogWork::AdvanceStart { to: ends[10] });
    broker.flush();
    assert_eq!(broker.view().start(), ends[30]);
    broker.stop();
    let (broker, report) = machine.open();
    assert_eq!((broker.view().start(), report.damage), (ends[30], Vec::new()));
}
