//! What a flush and a read cost: many dirty partitions synced by few and many threads, and reads of 64 KiB.
//!
//! `cargo run --release --example flush_cost`; `FIDELOG_DIRTY_MAX` (default 1,000) bounds the dirty partitions.

mod small_broker;

use std::time::{Duration, Instant};

use fidelog_log::LogConfig;
use fidelog_record::types::Offset;
use small_broker::{SmallBroker, config, number};

const ROUNDS: u32 = 9;

fn main() {
    for dirty in [1, 10, 100, 1000] {
        if dirty <= number("FIDELOG_DIRTY_MAX", 1000) {
            for sync_threads in [1, 2, 4, 8] {
                flushes(u32::try_from(dirty).expect("a small number"), sync_threads);
            }
        }
    }
    reads();
}

fn flushes(dirty: u32, sync_threads: usize) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = LogConfig { sync_threads, sync_serial_max: 1, ..config() };
    let mut broker = SmallBroker::create(&directory.path().join("data"), dirty, config);
    let mut took = Vec::new();
    for round in 0..=ROUNDS {
        for index in 0..dirty as usize {
            broker.append(index, 1000);
        }
        let begun = Instant::now();
        broker.flush();
        if round > 0 {
            took.push(begun.elapsed());
        }
    }
    println!("{dirty} dirty, {sync_threads} threads: median {:.2?} a flush", median(&mut took));
}

fn reads() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut broker = SmallBroker::create(&directory.path().join("data"), 1, config());
    let batches = 400;
    for _ in 0..batches {
        broker.append(0, 4000);
        broker.flush();
    }
    let view = broker.logs[0].handle.view().clone();
    let steps = [("tail", Duration::ZERO), ("older", Duration::from_secs(5))];
    for (name, pause) in steps {
        std::thread::sleep(pause);
        let (begun, mut count) = (Instant::now(), 0u32);
        for _ in 0..20 {
            let mut next = Offset(batches / 2);
            while next < Offset(batches) {
                next = view.read(next, 64 * 1024, Offset(u64::MAX)).expect("a sound log").next_offset;
                count += 1;
            }
        }
        println!("{name}: {} ns a read of 64 KiB", begun.elapsed().as_nanos() / u128::from(count));
    }
}

fn median(took: &mut [Duration]) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}
