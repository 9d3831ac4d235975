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
    broker.submit(LogWork::Cut { to: Offset(39), committed_end: Offset(40) });
    broker.flush();
    let heard = broker.events.take();
    assert!(
        heard.iter().any(|heard| matches!(heard, Heard::Failed(why) if why.contains("committed"))),
        "{heard:?}"
    );
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
