//! Power cuts at every kind of moment: whatever was reported durable is there, and what is there is what was
//! written, in order.

use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::sim::{SimClock, SimDisk};
use fidelog_log::{Flusher, LogWork, ProducerTable};
use fidelog_record::PlacedBatch;
use fidelog_record::types::Offset;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::harness::{Broker, Heard, Machine, bytes_of, partition, read_all};

/// What must be found after a crash.
#[derive(Default)]
struct Model {
    /// Everything placed and not cut, from the first offset that may be left.
    batches: Vec<PlacedBatch>,
    /// At least this far.
    durable_end: Offset,
    /// A start-over that was asked for and not reported.
    starting_over: Option<Offset>,
}

impl Model {
    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Durable(end) => self.durable_end = end,
            Heard::Cut(done) => {
                if self.starting_over.take().is_some() {
                    self.batches.clear();
                }
                self.batches.retain(|batch| batch.end_offset() <= done.end);
                self.durable_end = done.end;
            }
            Heard::Secured(_) | Heard::Started(_) | Heard::Failed(_) | Heard::Closed(_) => {}
        }
    }

    fn check(&mut self, broker: &Broker, context: &str) {
        let view = broker.view();
        if let Some(at) = self.starting_over.take()
            && view.start() == at
        {
            assert_eq!(view.written_end(), at, "{context}");
            *self = Self { durable_end: at, ..Self::default() };
        }
        let (start, end) = (view.start(), view.written_end());
        assert!(end >= self.durable_end, "{context}: ends at {end}, {} was durable", self.durable_end);
        self.batches.retain(|batch| batch.base_offset() >= start);
        let kept = self.batches.iter().take_while(|batch| batch.end_offset() <= end).count();
        self.batches.truncate(kept);
        assert_eq!(
            self.batches.last().map_or(start, PlacedBatch::end_offset),
            end,
            "{context}: an unknown end"
        );
        let differs = |found: &[u8]| {
            let batch = self.batches.iter().scan(0, |at, batch| {
                let from = *at;
                *at += batch.length();
                Some((from, batch))
            });
            batch
                .into_iter()
                .find(|(at, batch)| found.get(*at..*at + batch.length()) != Some(&batch.to_bytes()[..]))
                .map(|(_, batch)| *batch.header())
        };
        let found = read_all(&view, 777);
        assert!(found == bytes_of(&self.batches), "{context}: first other batch: {:?}", differs(&found));
        self.durable_end = end;
    }
}

/// One seed: several lives of a broker, each ended by a power cut, a kill or a clean stop.
fn run(seed: u64) -> u64 {
    let mut random = StdRng::seed_from_u64(seed);
    let disk = SimDisk::new(seed);
    let clock = SimClock::default();
    let machine = Machine::on(Arc::new(disk.clone()), Arc::new(clock.clone()));
    machine.create().stop();
    let mut model = Model::default();
    for life in 0..8 {
        if random.random_bool(0.3) {
            disk.crash_after(random.random_range(0..60)); // also while it recovers
        }
        let Some((mut broker, report)) = machine.try_open() else {
            assert!(disk.is_crashed(), "seed {seed}, life {life}: a start failed");
            disk.restart();
            continue;
        };
        let context = format!("seed {seed}, life {life}, {report:?}");
        if !disk.is_crashed() {
            assert!(report.damage.is_empty(), "{context}");
            model.check(&broker, &context);
        }
        if random.random_bool(0.8) {
            disk.crash_after(random.random_range(0..200));
        }
        for _ in 0..random.random_range(0..40) {
            if disk.is_crashed() || !step(&mut random, &clock, &mut broker, &mut model) {
                break;
            }
        }
        end_life(&mut random, &disk, broker, &context);
    }
    disk.changes()
}

fn end_life(random: &mut StdRng, disk: &SimDisk, broker: Broker, context: &str) {
    match random.random_range(0..3) {
        _ if disk.is_crashed() => disk.restart(),
        0 => disk.crash(),
        1 => disk.kill(),
        _ => match broker.flusher.shutdown() {
            Ok(_) => {}
            Err(error) => {
                assert!(disk.is_crashed(), "{context}: {error}");
                disk.restart();
            }
        },
    }
}

/// One thing a partition does; tells whether the broker goes on.
fn step(random: &mut StdRng, clock: &SimClock, broker: &mut Broker, model: &mut Model) -> bool {
    match random.random_range(0..20) {
        0 => broker.epoch += 1,
        1 => clock.advance(Duration::from_millis(400)),
        2 => broker.commit(model.durable_end),
        3 => broker.submit(LogWork::Roll),
        4 => {
            let to = Offset(random.random_range(broker.committed_end.0..=broker.next.0));
            model.durable_end = model.durable_end.min(to);
            let back = model.batches.iter().rfind(|batch| batch.base_offset() <= to);
            model.durable_end = model.durable_end.min(back.map_or(to, PlacedBatch::base_offset));
            broker.submit(LogWork::Cut { to, committed_end: broker.committed_end, permitted: None });
            broker.epoch += 1;
        }
        5 => {
            let choice = random.random_range(0..=model.batches.len());
            if let Some(batch) = model.batches.get(choice) {
                broker.submit(LogWork::AdvanceStart { to: batch.base_offset().min(broker.committed_end) });
            }
        }
        6 if random.random_bool(0.3) => {
            let at = broker.next.plus(random.random_range(0..5));
            model.starting_over = Some(at);
            broker.submit(LogWork::StartOver { at, producers: ProducerTable::default() });
            broker.committed_end = at;
            broker.epoch += 1;
        }
        _ => {
            for _ in 0..random.random_range(1..4) {
                let Ok(placed) = broker.place(random.random_range(1..4), random.random_range(1..400)) else {
                    return false;
                };
                model.batches.push(placed);
            }
        }
    }
    broker.flush();
    for heard in broker.events.take() {
        match &heard {
            Heard::Failed(_) => return false,
            Heard::Cut(done) => (broker.next, broker.room) = (done.end, done.room_bytes),
            Heard::Secured(Ok(room)) => broker.room = room.bytes,
            _ => {}
        }
        model.hear(heard);
    }
    true
}

#[test]
fn nothing_durable_is_lost_and_nothing_else_is_found() {
    let seeds = std::env::var("FIDELOG_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    for seed in 0..seeds {
        run(seed);
    }
}

#[test]
fn a_seed_gives_the_same_disk_calls_again() {
    for seed in 0..10 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

/// The check above must be able to fail.
#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let found = (0..20).any(|seed| {
        std::panic::catch_unwind(|| {
            let disk = SimDisk::new(seed);
            let machine = Machine::on(Arc::new(disk.clone()), Arc::new(SimClock::default()));
            let mut broker = machine.create();
            disk.set_lying(true);
            for _ in 0..20 {
                broker.append(2, 100);
            }
            let durable_end = broker.view().durable_end();
            disk.crash();
            let ends = machine.try_open().map(|(_, report)| (report.end, report.damage.is_empty()));
            assert_eq!(ends, Some((durable_end, true)));
        })
        .is_err()
    });
    assert!(found, "a lying disk went unnoticed");
}

/// A clean stop used to speak for every log there was: one that was killed above its recovery point, and not opened by
/// the next process, was then opened unread, and the next append went over what had been acknowledged.
#[test]
fn a_clean_stop_speaks_only_for_logs_that_were_opened() {
    let disk = SimDisk::new(12);
    let mut machine = Machine::on(Arc::new(disk.clone()), Arc::new(SimClock::default()));
    machine.config.recovery_point_bytes = u64::MAX;
    machine.config.segment_bytes = 1 << 20;
    machine.config.growth_bytes_min = 1 << 16;
    machine.config.growth_bytes_max = 1 << 18;
    let mut broker = machine.create();
    broker.append(2, 100);
    broker.home.checkpoint().unwrap();
    (0..6).for_each(|_| drop(broker.append(2, 100)));
    let durable_end = broker.view().durable_end();
    drop(broker);
    disk.kill();
    // Twice: the second process must pass on what the first could not vouch for.
    for _ in 0..2 {
        let home = machine.home();
        assert!(!home.found().is_clean(partition()));
        assert!(Flusher::new(home).shutdown().unwrap(), "nothing has failed");
        disk.kill();
    }
    let (broker, report) = machine.open();
    assert_eq!(report.end, durable_end, "{report:?}");
    broker.stop();
    // And what a process vouched for, the next one does, that leaves it alone.
    for _ in 0..2 {
        let home = machine.home();
        assert!(home.found().is_clean(partition()));
        assert!(Flusher::new(home).shutdown().unwrap(), "nothing has failed");
    }
    let (_broker, report) = machine.open();
    assert_eq!((report.end, report.scanned_bytes), (durable_end, 0), "{report:?}");
}
