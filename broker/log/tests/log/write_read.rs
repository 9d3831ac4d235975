//! Appending, rolling, reading, looking up by time.

use fidelog_log::{LogWork, ReadError};
use fidelog_record::types::{LeaderEpoch, Offset};

use crate::harness::{Heard, Machine, bytes_of, read_all};

#[test]
fn what_is_appended_is_read_back_over_many_segments() {
    let machine = Machine::real();
    let mut broker = machine.create();
    let batches: Vec<_> =
        (0..60).map(|index| broker.append(1 + index % 3, 50 + index as usize * 7)).collect();
    let view = broker.view();
    assert!(view.segments().unwrap().len() > 4);
    for bytes_max in [1, 500, 5000, 1 << 20] {
        assert_eq!(read_all(&view, bytes_max), bytes_of(&batches), "in steps of {bytes_max}");
    }
    assert_eq!(view.durable_end(), broker.next);
}

#[test]
fn a_read_may_begin_in_the_middle_of_a_batch_and_ends_below_the_limit() {
    let machine = Machine::real();
    let mut broker = machine.create();
    let batches: Vec<_> = (0..10).map(|_| broker.append(5, 20)).collect();
    let view = broker.view();
    let outcome = view.read(Offset(7), 1 << 20, Offset(20)).unwrap();
    assert_eq!(outcome.first_offset, Offset(5));
    assert_eq!(outcome.next_offset, Offset(20));
    assert_eq!(outcome.batches, bytes_of(&batches[1..4]));
    let nothing = view.read(Offset(20), 1 << 20, Offset(20)).unwrap();
    assert_eq!(nothing.next_offset, Offset(20));
    let beyond = view.read(Offset(21), 1 << 20, Offset(20)).unwrap_err();
    assert!(matches!(beyond, ReadError::OutOfRange { start: Offset(0), end: Offset(20), .. }));
}

#[test]
fn one_flush_takes_all_that_waits_and_syncs_once() {
    let machine = Machine::real();
    let mut broker = machine.create();
    broker.secure(3000).unwrap();
    for _ in 0..5 {
        broker.place(1, 100).unwrap();
    }
    let outcome = broker.flush();
    let fidelog_log::FlushOutcome::Flushed(counts) = outcome else { panic!("{outcome:?}") };
    assert_eq!((counts.batches, counts.syncs), (5, 1));
    let heard = broker.events.take();
    assert!(matches!(heard.as_slice(), [Heard::Durable(Offset(5))]), "{heard:?}");
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_of_its_own() {
    let machine = Machine::real();
    let mut broker = machine.create();
    let batches = [broker.append(1, 100), broker.append(1, 20_000), broker.append(1, 100)];
    assert_eq!(read_all(&broker.view(), 1), bytes_of(&batches));
}

#[test]
fn a_time_finds_the_first_batch_that_is_as_young() {
    let machine = Machine::real();
    let mut broker = machine.create();
    for _ in 0..80 {
        broker.append(1, 100);
    }
    let view = broker.view();
    // The record at offset n has the timestamp 10 * (n + 1).
    for offset in 0..80 {
        for time in [10 * offset + 1, 10 * offset + 10] {
            assert_eq!(view.offset_for_time(time, broker.next).unwrap(), Some(Offset(offset)), "time {time}");
        }
    }
    assert_eq!(view.offset_for_time(801, broker.next).unwrap(), None);
    assert_eq!(view.offset_for_time(500, Offset(20)).unwrap(), None);
}

#[test]
fn epochs_are_told_by_the_batches() {
    let machine = Machine::real();
    let mut broker = machine.create();
    broker.append(4, 10);
    broker.epoch = 3;
    broker.append(4, 10);
    let view = broker.view();
    assert_eq!(view.end_of_epoch(LeaderEpoch(2)), Some((LeaderEpoch(1), Offset(4))));
    assert_eq!(view.end_of_epoch(LeaderEpoch(3)), Some((LeaderEpoch(3), Offset(8))));
    assert_eq!(view.epoch_at(Offset(5)), Some(LeaderEpoch(3)));
}

#[test]
fn readers_of_many_threads_never_see_half_a_batch() {
    let machine = Machine::real();
    let mut broker = machine.create();
    let view = broker.view();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    read_all(&view, 700);
                }
            });
        }
        for _ in 0..200 {
            broker.append(2, 60);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(view.durable_end(), Offset(400));
}

#[test]
fn a_roll_keeps_the_room_there_was() {
    let machine = Machine::real();
    let mut broker = machine.create();
    broker.append(1, 10);
    broker.submit(LogWork::Roll);
    let batch = broker.place(1, 500).unwrap();
    broker.flush();
    assert_eq!(broker.view().segments().unwrap().len(), 2);
    assert_eq!(broker.view().durable_end(), batch.end_offset());
}
