//! Damaged segments mended with batches of an undamaged replica: in one step, verified, and never with anything else.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use fidelog_log::env::sim::{SimClock, SimDisk};
use fidelog_log::env::{Disk, OpenMode};
use fidelog_log::{LogView, LogWork, MendAnswer, MendDone, MendError, Mended, ReadError};
use fidelog_record::PlacedBatch;
use fidelog_record::types::Offset;

use crate::harness::{Broker, Machine, bytes_of, encoded, read_all};

fn machine(seed: u64) -> (SimDisk, Machine) {
    let disk = SimDisk::new(seed);
    let machine = Machine::on(Arc::new(disk.clone()), Arc::new(SimClock::default()));
    (disk, machine)
}

/// A broker with some sealed segments, all committed.
fn written(machine: &Machine, seed: u64) -> (Broker, Vec<PlacedBatch>) {
    let mut broker = machine.create();
    let batches = (0..60)
        .map(|number| {
            if number % 20 == 19 {
                broker.epoch += 1;
            }
            broker.append(1 + (seed as u32 + number) % 3, 100 + (number as usize * 37 + seed as usize) % 300)
        })
        .collect();
    broker.commit(broker.next);
    (broker, batches)
}

fn file(disk: &SimDisk, path: &std::path::Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// What a replica that holds `batches` would send of `range`.
fn of(batches: &[PlacedBatch], range: &Range<Offset>) -> Bytes {
    let within = |batch: &&PlacedBatch| range.contains(&batch.base_offset());
    let chosen: Vec<_> = batches.iter().filter(within).cloned().collect();
    bytes_of(&chosen).into()
}

/// Where a batch lies: the base of its segment, and its first byte there.
fn place(broker: &Broker, batches: &[PlacedBatch], index: usize) -> (u64, u64) {
    let base = batches[index].base_offset();
    let segments = broker.view().segments().unwrap();
    let segment = segments.iter().rfind(|segment| segment.base <= base).unwrap();
    let before = batches[..index].iter().filter(|batch| batch.base_offset() >= segment.base);
    (segment.base.0, 64 + before.map(|batch| batch.length() as u64).sum::<u64>())
}

fn mended(view: &LogView, batches: &[PlacedBatch], at: Offset) -> Result<Mended, MendError> {
    let mut mending = view.mend(at, |_| ())?;
    while let Some(wanted) = mending.wanted(|_| ())? {
        let mut part = wanted.clone();
        part.end = part.end.min(Offset(part.start.0 + 4)); // in pieces, as they come
        let part = of(batches, &part);
        mending.fill(part)?;
    }
    mending.finish()
}

fn take(broker: &Broker, mended: Mended) -> Result<MendDone, MendError> {
    let (sender, heard) = mpsc::channel();
    let answer = MendAnswer(Box::new(move |done| sender.send(done).unwrap()));
    broker.submit(LogWork::Mend { mended: Box::new(mended), answer });
    broker.flush();
    heard.recv().unwrap()
}

/// Mends until nothing is damaged any more.
fn mend_all(broker: &Broker, batches: &[PlacedBatch]) -> Vec<Range<Offset>> {
    let mut all = Vec::new();
    while let Some(damage) = broker.view().damage().first().cloned() {
        let mended = mended(&broker.view(), batches, damage.start).unwrap();
        all.extend(take(broker, mended).unwrap().mended);
    }
    all
}

fn find_all_damage(view: &LogView) {
    let mut next = view.start();
    while next < view.durable_end() {
        match view.read(next, 500, view.durable_end()) {
            Ok(outcome) => next = outcome.next_offset,
            Err(ReadError::DataLoss { range, .. }) => next = range.end,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_flipped_bit_is_mended_and_the_file_is_as_it_was() {
    for seed in 0..60 {
        let (disk, machine) = machine(seed);
        let (broker, batches) = written(&machine, seed);
        let index = (seed as usize * 7) % 40;
        let (base, position) = place(&broker, &batches, index);
        let before = file(&disk, &machine.log_file(base));
        let at = position + seed * 31 % batches[index].length() as u64;
        disk.flip_bit(&machine.log_file(base), at, (seed % 8) as u8).unwrap();
        find_all_damage(&broker.view());
        assert_eq!(broker.view().damage().len(), 1, "seed {seed}");
        let held = broker.view().read(Offset(base), 64 << 10, Offset(base + 1)).ok();
        let lost = mend_all(&broker, &batches);
        assert!(lost[0].contains(&batches[index].base_offset()), "seed {seed}: {lost:?}");
        assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches), "seed {seed}");
        let after = file(&disk, &machine.log_file(base));
        let used = after.len().min(before.len());
        assert!(before[..used] == after[..used], "seed {seed}: the file is another one");
        assert!(before[used..].iter().chain(&after[used..]).all(|byte| *byte == 0), "seed {seed}");
        assert_eq!(broker.home.aside_usage().1, 1, "seed {seed}: the damaged bytes are kept");
        drop(held); // bytes handed out before stay readable
        broker.stop();
        let (broker, report) = machine.open();
        assert!(report.damage.is_empty(), "seed {seed}: {report:?}");
        assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches), "seed {seed}");
    }
}

#[test]
fn a_missing_or_unreadable_segment_is_mended() {
    for seed in 0..12 {
        let (disk, machine) = machine(seed);
        let (broker, batches) = written(&machine, seed);
        let segments = broker.view().segments().unwrap();
        let chosen: Vec<_> = match seed % 4 {
            0 => vec![&segments[0]],
            1 => vec![&segments[1], &segments[2], &segments[3]],
            2 => segments.iter().collect(),
            _ => vec![segments.last().unwrap()],
        };
        let clean = seed % 3 != 0;
        if clean {
            broker.stop();
        } else {
            drop(broker);
        }
        for segment in &chosen {
            let path = machine.log_file(segment.base.0);
            machine.disk.remove_file(&path).unwrap();
            machine.disk.sync_dir(path.parent().unwrap()).unwrap();
        }
        if !clean {
            disk.kill();
        }
        let (mut broker, report) = machine.open();
        find_all_damage(&broker.view());
        assert!(!broker.view().damage().is_empty(), "seed {seed}: {report:?}");
        let written = batches.partition_point(|batch| batch.end_offset() <= report.end);
        let mut batches = batches[..written].to_vec();
        mend_all(&broker, &batches);
        assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches), "seed {seed}");
        batches.push(broker.append(2, 100));
        if clean {
            broker.stop();
        } else {
            drop(broker);
            disk.crash();
        }
        let (broker, report) = machine.open();
        assert!(report.damage.is_empty(), "seed {seed}: {report:?}");
        assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches), "seed {seed}");
    }
}

#[test]
fn an_unreadable_block_costs_the_batches_it_touches_until_they_are_mended() {
    for seed in 0..30 {
        let (disk, machine) = machine(seed);
        let (broker, batches) = written(&machine, seed);
        let index = (seed as usize * 11) % 40;
        let (base, position) = place(&broker, &batches, index);
        disk.make_unreadable(&machine.log_file(base), position..position + 1).unwrap();
        find_all_damage(&broker.view());
        let damage = broker.view().damage();
        assert_eq!(damage.len(), 1, "seed {seed}: {damage:?}");
        let touched: Vec<_> =
            batches.iter().filter(|batch| damage[0].contains(&batch.base_offset())).collect();
        assert!(
            touched.iter().any(|batch| batch.base_offset() == batches[index].base_offset()),
            "seed {seed}"
        );
        let bytes: usize = touched.iter().map(|batch| batch.length()).sum();
        assert!(bytes < 512 + 3 * 1100, "seed {seed}: {bytes} bytes are lost for one sector");
        mend_all(&broker, &batches);
        assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches), "seed {seed}");
    }
}

/// The flusher's step and everything before it, cut short after every number of changes to the disk in turn, by a power
/// cut or by the end of the process: what was served before is served after, and a second attempt mends the rest.
#[test]
fn a_crash_at_any_instant_leaves_the_damaged_log_or_the_mended_one() {
    let (mut damaged_found, mut mended_found) = (0, 0);
    for seed in 0..8 {
        let mut finished = false;
        for changes in 0.. {
            let (disk, machine) = machine(seed);
            let (broker, batches) = written(&machine, seed);
            let index = (seed as usize * 7) % 40;
            let (base, position) = place(&broker, &batches, index);
            disk.flip_bit(&machine.log_file(base), position + 60, 1).unwrap();
            let gone = (seed % 4 == 3).then(|| broker.view().segments().unwrap()[2].base);
            broker.stop();
            if let Some(gone) = gone {
                let path = machine.log_file(gone.0);
                machine.disk.remove_file(&path).unwrap();
                machine.disk.sync_dir(path.parent().unwrap()).unwrap();
            }
            let (broker, _) = machine.open();
            find_all_damage(&broker.view());
            let served = read_around(&broker.view());
            disk.crash_after(changes);
            let done = mend_some(&broker, &batches);
            drop(broker);
            finished = done && !disk.is_crashed();
            if seed % 2 == 0 {
                disk.crash()
            } else {
                disk.kill()
            }
            disk.restart();
            let (broker, report) = machine.open();
            let again = read_around(&broker.view());
            let whole = bytes_of(&batches);
            assert!(
                again.len() >= served.len() && again.len() <= whole.len(),
                "seed {seed}, {changes}: {report:?}"
            );
            if again == whole {
                mended_found += 1;
            } else {
                assert!(!finished, "seed {seed}, {changes}: a mended log is damaged again");
                damaged_found += 1;
            }
            mend_all(&broker, &batches);
            assert_eq!(read_all(&broker.view(), 999), whole, "seed {seed}, {changes}: {report:?}");
            if finished {
                break;
            }
        }
        assert!(finished);
    }
    assert!(damaged_found > 50 && mended_found > 8, "{damaged_found} {mended_found}");
}

/// Mends until that is done, or cannot go on; tells which.
fn mend_some(broker: &Broker, batches: &[PlacedBatch]) -> bool {
    while let Some(damage) = broker.view().damage().first().cloned() {
        let Ok(mended) = mended(&broker.view(), batches, damage.start) else { return false };
        let (sender, heard) = mpsc::channel();
        let answer = MendAnswer(Box::new(move |done| sender.send(done).unwrap()));
        broker.submit(LogWork::Mend { mended: Box::new(mended), answer });
        broker.flush();
        if !matches!(heard.recv(), Ok(Ok(_))) {
            return false;
        }
    }
    true
}

/// Everything that is served around damage.
fn read_around(view: &LogView) -> Vec<u8> {
    let (mut bytes, mut next) = (Vec::new(), view.start());
    while next < view.durable_end() {
        match view.read(next, 500, view.durable_end()) {
            Ok(outcome) => {
                bytes.extend_from_slice(&outcome.batches);
                next = outcome.next_offset;
            }
            Err(ReadError::DataLoss { range, .. }) => next = range.end,
            Err(error) => panic!("{error}"),
        }
    }
    bytes
}

/// Repair without verification would put whatever a peer says into the log.
#[test]
fn nothing_but_the_batch_that_belongs_there_is_taken() {
    let (disk, machine) = machine(1);
    let (broker, batches) = written(&machine, 1);
    let (base, position) = place(&broker, &batches, 5);
    disk.flip_bit(&machine.log_file(base), position + 60, 1).unwrap();
    find_all_damage(&broker.view());
    let wanted = &batches[5];
    let view = broker.view();
    let offer = |bytes: Bytes| {
        let mut mending = view.mend(wanted.base_offset(), |_| ()).unwrap();
        assert_eq!(mending.wanted(|_| ()).unwrap(), Some(wanted.base_offset()..wanted.end_offset()));
        let refused = mending.fill(bytes).unwrap_err();
        assert!(matches!(mending.finish(), Err(MendError::Unfinished(_))));
        refused
    };
    let mut flipped = wanted.to_bytes().to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(matches!(offer(flipped.into()), MendError::Misfit { .. }), "a damaged body");
    let mut flipped = wanted.to_bytes().to_vec();
    flipped[33] ^= 1;
    assert!(matches!(offer(flipped.into()), MendError::Misfit { .. }), "a damaged head");
    assert!(matches!(offer(batches[6].to_bytes()), MendError::Foreign { .. }), "the next batch");
    assert!(matches!(offer(batches[4].to_bytes()), MendError::Foreign { .. }), "the one before");
    let both = bytes_of(&batches[5..7]);
    assert!(matches!(offer(both.into()), MendError::Foreign { .. }), "more than is due");
    let stamp = fidelog_record::ProducerStamp::NONE;
    let placed = |epoch: u32, at: fidelog_record::types::TopicPartition| {
        let mut placement = broker.placement();
        placement.topic_partition = at;
        placement.base_offset = wanted.base_offset();
        placement.committed_below = Offset(0);
        placement.leader_epoch = fidelog_record::types::LeaderEpoch(epoch);
        encoded(wanted.record_count(), 50, 3, stamp).place(placement).to_bytes()
    };
    let at = broker.handle.partition();
    assert!(matches!(offer(placed(9, at)), MendError::Foreign { .. }), "another epoch");
    let other = fidelog_record::types::TopicPartition {
        partition: fidelog_record::types::PartitionIndex(at.partition.0 + 1),
        ..at
    };
    assert!(matches!(offer(placed(1, other)), MendError::Misfit { .. }), "another partition's");
    let unfinished = |name: &str| name.ends_with(".unfinished");
    let directory = machine.log_file(base);
    let names = machine.disk.list(directory.parent().unwrap()).unwrap();
    assert!(!names.iter().any(|entry| unfinished(&entry.name)), "what was not used is removed: {names:?}");
    assert_eq!(broker.view().damage().len(), 1, "still damaged, still told");
}

#[test]
fn a_segment_that_changed_meanwhile_is_left_alone() {
    let (disk, machine) = machine(3);
    let (mut broker, batches) = written(&machine, 3);
    let (base, position) = place(&broker, &batches, 30);
    disk.flip_bit(&machine.log_file(base), position + 60, 1).unwrap();
    find_all_damage(&broker.view());
    let at = batches[30].base_offset();
    let cut = mended(&broker.view(), &batches, at).unwrap();
    broker.committed_end = Offset(0);
    broker.submit(LogWork::AdvanceStart { to: Offset(broker.next.0) });
    broker.flush();
    assert!(matches!(take(&broker, cut), Err(MendError::Changed)), "retention passed it");
    assert_eq!(broker.view().damage(), []);
    assert!(matches!(broker.view().mend(at, |_| ()), Err(MendError::NotDamaged { .. })));
}

#[test]
fn the_segment_that_is_written_to_is_mended_once_it_is_sealed() {
    let (disk, machine) = machine(4);
    let (broker, batches) = written(&machine, 4);
    let last = batches.len() - 1;
    let (base, position) = place(&broker, &batches, last);
    disk.flip_bit(&machine.log_file(base), position + 60, 1).unwrap();
    find_all_damage(&broker.view());
    let at = batches[last].base_offset();
    assert!(matches!(broker.view().mend(at, |_| ()), Err(MendError::Active { .. })));
    broker.submit(LogWork::Roll);
    broker.flush();
    mend_all(&broker, &batches);
    assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches));
}

#[test]
fn what_could_be_read_after_all_is_not_damaged_any_more() {
    let (disk, machine) = machine(5);
    let (broker, batches) = written(&machine, 5);
    let (base, position) = place(&broker, &batches, 10);
    disk.flip_bit(&machine.log_file(base), position + 60, 1).unwrap();
    find_all_damage(&broker.view());
    disk.flip_bit(&machine.log_file(base), position + 60, 1).unwrap();
    assert_eq!(mend_all(&broker, &batches), []);
    assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches));
    assert_eq!(broker.home.aside_usage().1, 0);
}

#[test]
fn replicas_are_compared_by_digests_and_damage_in_the_way_is_noted() {
    let (disk, first) = machine(6);
    let (_, second) = machine(7);
    let ((mine, batches), (theirs, _)) = (written(&first, 6), written(&second, 6));
    let whole = Offset(0)..mine.view().sealed_end();
    let digest = |broker: &Broker, range: &Range<Offset>| broker.view().digest(range.clone(), usize::MAX);
    assert_eq!(digest(&mine, &whole).unwrap(), digest(&theirs, &whole).unwrap());
    assert_eq!(digest(&mine, &whole).unwrap().end, whole.end);
    let part = batches[3].base_offset()..batches[9].end_offset();
    let (digest_part, all) = (digest(&mine, &part).unwrap(), digest(&mine, &whole).unwrap());
    assert_eq!((digest_part.batch_count, digest_part.end), (7, part.end));
    assert_ne!(digest_part.digest, all.digest);
    let bounded = mine.view().digest(whole.clone(), 1).unwrap();
    assert_eq!((bounded.batch_count, bounded.end), (1, batches[0].end_offset()));
    let (base, position) = place(&mine, &batches, 5);
    disk.flip_bit(&first.log_file(base), position + 60, 1).unwrap();
    assert!(matches!(digest(&mine, &part), Err(ReadError::DataLoss { .. })));
    assert!(mine.view().is_damaged());
}
