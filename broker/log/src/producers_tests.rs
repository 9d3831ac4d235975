use fidelog_record::types::limits::PRODUCER_WINDOW_BATCHES;
use proptest::prelude::*;

use super::*;
use crate::testing;

const MANY: ProducerLimits = ProducerLimits { count_max: 1000, idle_ms: 5000 };

fn stamp(id: u64, epoch: u32, sequence: u64) -> ProducerStamp {
    ProducerStamp { id: ProducerId(id), epoch: ProducerEpoch(epoch), base_sequence: Sequence(sequence) }
}

fn header(stamp: ProducerStamp, offset: u64, count: u32, append_time_ms: u64) -> BatchHeader {
    let end_offset = Offset(offset + u64::from(count));
    BatchHeader {
        producer: stamp,
        base_offset: Offset(offset),
        end_offset,
        record_count: count,
        append_time_ms,
        ..testing::header()
    }
}

#[test]
fn a_resent_batch_gets_its_original_offsets() {
    let mut table = ProducerTable::default();
    table.apply(&header(stamp(7, 1, 0), 100, 3, 1));
    table.apply(&header(stamp(8, 1, 0), 103, 5, 1));
    table.apply(&header(stamp(7, 1, 3), 108, 2, 1));
    let duplicate = |base, end| Verdict::Duplicate { base_offset: Offset(base), end_offset: Offset(end) };
    assert_eq!(table.check(stamp(7, 1, 0), 3, MANY), duplicate(100, 103));
    assert_eq!(table.check(stamp(7, 1, 3), 2, MANY), duplicate(108, 110));
    assert_eq!(table.check(stamp(7, 1, 5), 2, MANY), Verdict::New);
}

#[test]
fn a_gap_is_out_of_order_and_names_what_may_come() {
    let mut table = ProducerTable::default();
    table.apply(&header(stamp(7, 1, 0), 0, 3, 1));
    assert_eq!(table.check(stamp(7, 1, 4), 1, MANY), Verdict::OutOfOrder { expected: Sequence(3) });
    assert_eq!(table.check(stamp(7, 1, 2), 3, MANY), Verdict::OutOfOrder { expected: Sequence(3) });
}

#[test]
fn a_lower_epoch_is_fenced_and_a_higher_one_starts_at_zero() {
    let mut table = ProducerTable::default();
    table.apply(&header(stamp(7, 2, 0), 0, 3, 1));
    assert_eq!(table.check(stamp(7, 1, 3), 1, MANY), Verdict::Fenced { current: ProducerEpoch(2) });
    assert_eq!(table.check(stamp(7, 3, 0), 1, MANY), Verdict::New);
    assert_eq!(table.check(stamp(7, 3, 3), 1, MANY), Verdict::OutOfOrder { expected: Sequence(0) });
}

#[test]
fn a_forgotten_producer_is_unknown_unless_it_begins() {
    let mut table = ProducerTable::default();
    table.apply(&header(stamp(7, 1, 0), 0, 3, 1000));
    table.apply(&header(stamp(8, 1, 0), 3, 3, 9000));
    for _ in 0..2 {
        assert_eq!(table.check(stamp(7, 1, 3), 1, MANY), Verdict::Unknown);
        assert_eq!(table.check(stamp(7, 2, 0), 1, MANY), Verdict::New);
        assert_eq!(table.check(stamp(8, 1, 3), 1, MANY), Verdict::New);
        table.expire(MANY.idle_ms);
    }
    assert_eq!(table.count(), 1);
}

#[test]
fn one_producer_too_many_is_refused_and_known_ones_go_on() {
    let mut table = ProducerTable::default();
    table.apply(&header(stamp(7, 1, 0), 0, 3, 1));
    let one = ProducerLimits { count_max: 1, ..MANY };
    assert_eq!(table.check(stamp(8, 1, 0), 1, one), Verdict::TooMany { count_max: 1 });
    assert_eq!(table.check(stamp(7, 1, 3), 1, one), Verdict::New);
}

/// Only appends move the log's own time, and a full table refused every append that could have moved it.
#[test]
fn room_is_made_at_the_time_a_new_batch_would_get_and_only_where_that_suffices() {
    let mut table = ProducerTable::default();
    table.apply(&header(stamp(7, 1, 0), 0, 1, 1000));
    table.apply(&header(stamp(8, 1, 0), 1, 1, 4000));
    let full = ProducerLimits { count_max: 2, ..MANY };
    assert_eq!(table.make_room(full, 6000), Err(6001), "both spoke within the idle time before 6000");
    let over = ProducerLimits { count_max: 1, ..MANY };
    assert_eq!(table.make_room(over, 6001), Err(6001), "7 is idle, but forgetting it alone makes no room");
    assert_eq!(table.check(stamp(7, 1, 1), 1, full), Verdict::New, "it is remembered");
    assert_eq!(table.make_room(full, 6001), Ok(()));
    assert_eq!(table.check(stamp(9, 1, 0), 1, full), Verdict::New);
    assert_eq!(table.check(stamp(7, 1, 1), 1, full), Verdict::Unknown);
    assert_eq!(table.check(stamp(8, 1, 1), 1, full), Verdict::New);
}

#[test]
fn older_than_the_window_is_already_stored() {
    let mut table = ProducerTable::default();
    let count = 3 * PRODUCER_WINDOW_BATCHES as u64;
    for index in 0..count {
        // Every other offset belongs to somebody else, so that no two batches merge.
        table.apply(&header(stamp(7, 1, index), 2 * index, 1, 1));
    }
    assert_eq!(table.check(stamp(7, 1, 0), 1, MANY), Verdict::AlreadyStored);
    let oldest = count - PRODUCER_WINDOW_BATCHES as u64;
    let expected = Verdict::Duplicate { base_offset: Offset(2 * oldest), end_offset: Offset(2 * oldest + 1) };
    assert_eq!(table.check(stamp(7, 1, oldest), 1, MANY), expected);
    assert!(table.producers[&ProducerId(7)].runs.len() <= PRODUCER_WINDOW_BATCHES);
}

/// An idle producer may begin anew under its old epoch. Where its memory had not been given back yet, the new runs were
/// put behind the old ones: sequences fell, the next snapshot passed for damaged, and after a restart that log had
/// forgotten every producer that retention had passed.
#[test]
fn a_producer_that_begins_anew_is_remembered_alike_wherever_it_was_forgotten() {
    let idle_ms = 100;
    let limits = ProducerLimits { idle_ms, ..MANY };
    let mut kept = ProducerTable::default();
    kept.apply(&header(stamp(7, 1, 0), 0, 3, 1));
    kept.apply(&header(ProducerStamp::NONE, 3, 1, 500));
    let mut forgotten = kept.clone();
    forgotten.expire(idle_ms);
    for table in [&mut kept, &mut forgotten] {
        assert_eq!(table.check(stamp(7, 1, 0), 2, limits), Verdict::New);
        table.apply(&header(stamp(7, 1, 0), 4, 2, 501));
    }
    assert_eq!(kept, forgotten);
    let snapshot = ProducerSnapshot { end: Offset(6), last_epoch: LeaderEpoch(1), table: kept };
    assert!(snapshot.is_sound());
}

proptest! {
    #[test]
    fn every_batch_of_the_window_is_known_by_its_offset(batches in prop::collection::vec((1u64..4, 1u32..5), 1..300)) {
        let mut table = ProducerTable::default();
        let mut next = BTreeMap::<u64, u64>::new();
        let mut placed = Vec::new();
        let mut offset = 0;
        for (id, count) in batches {
            let sequence = next.entry(id).or_default();
            let stamp = stamp(id, 1, *sequence);
            prop_assert_eq!(table.check(stamp, count, MANY), Verdict::New);
            table.apply(&header(stamp, offset, count, 1));
            placed.push((stamp, count, offset));
            *sequence += u64::from(count);
            offset += u64::from(count);
        }
        for (stamp, count, offset) in placed {
            let end_offset = Offset(offset + u64::from(count));
            let expected = Verdict::Duplicate { base_offset: Offset(offset), end_offset };
            prop_assert_eq!(table.check(stamp, count, MANY), expected);
        }
        let snapshot = ProducerSnapshot { end: Offset(offset), last_epoch: LeaderEpoch(1), table };
        let bytes = crate::small_file::encode(&snapshot);
        prop_assert_eq!(crate::small_file::decode::<ProducerSnapshot>(&bytes, std::path::Path::new("x")).unwrap(), snapshot);
    }
}

/// A leader's log was hurt while it ran, and mended: what the mended batches say took the place of what was known, because
/// the run of batches that went on behind them had begun before them. Resends of later batches were stored twice.
#[test]
fn what_came_after_a_mended_batch_stays_known() {
    let mut table = ProducerTable::default();
    (0..3).for_each(|sequence| table.apply(&header(stamp(7, 1, sequence), 10 + sequence, 1, 1)));
    let mut mended = ProducerTable::default();
    mended.apply(&header(stamp(7, 1, 1), 11, 1, 1));
    table.remember(&mended, MANY.idle_ms);
    let stored = Verdict::Duplicate { base_offset: Offset(12), end_offset: Offset(13) };
    assert_eq!(table.check(stamp(7, 1, 2), 1, MANY), stored);
}

proptest! {
    /// Whatever stretch of a log was damaged when the table was made: once its batches are remembered the table is the
    /// one that the whole log gives.
    #[test]
    fn what_was_damaged_is_remembered_as_if_it_had_been_there(
        batches in prop::collection::vec((1u64..4, 1u32..4, prop::bool::weighted(0.1)), 1..60),
        from in any::<prop::sample::Index>(),
        count in 1usize..20,
    ) {
        let mut next = std::collections::BTreeMap::<u64, (u32, u64)>::new();
        let mut offset = 0;
        let mut headers = Vec::new();
        for (id, count, new_epoch) in batches {
            let (epoch, sequence) = next.entry(id).or_insert((1, 0));
            if new_epoch {
                (*epoch, *sequence) = (*epoch + 1, 0);
            }
            headers.push(header(stamp(id, *epoch, *sequence), offset, count, 1000 + offset));
            *sequence += u64::from(count);
            offset += u64::from(count);
        }
        let from = from.index(headers.len());
        let to = (from + count).min(headers.len());
        let table = |kept: &dyn Fn(usize) -> bool| {
            let mut table = ProducerTable::default();
            headers.iter().enumerate().filter(|(index, _)| kept(*index)).for_each(|(_, header)| table.apply(header));
            table
        };
        let mut mended = table(&|index| !(from..to).contains(&index));
        mended.remember(&table(&|index| (from..to).contains(&index)), MANY.idle_ms);
        let whole = table(&|_| true);
        prop_assert_eq!(&mended, &whole);
        // A log that was hurt while it ran knows all of it already.
        mended.remember(&table(&|index| (from..to).contains(&index)), MANY.idle_ms);
        prop_assert_eq!(mended, whole);
    }
}
