//! What a process does now and then: it flushes, tells its partitions the time, and looks after retention and the
//! generation of a directory that is appended to.

use std::sync::Arc;
use std::time::Duration;

use fidelog_broker::meta::state::Proposal;
use fidelog_log::env::Clock;
use fidelog_log::{FlushOutcome, Retention, new_start};

use crate::cluster::Sim;
use crate::event::{Own, Purpose};

/// What a flush waits for when syncs are quick, microseconds.
const FLUSH_MICROS_MIN: u64 = 100;
/// Between two rounds of housekeeping, microseconds.
const EVERY: u64 = 500_000;
/// Segments one round may give up, as in the node.
const SEGMENTS_MAX: usize = 4;

impl Sim {
    pub(crate) fn flush_soon(&mut self, broker: usize) {
        let slow = self.brokers[broker].sync_micros_max;
        let Some(life) = self.life_mut(broker).filter(|life| !life.flush_due) else { return };
        life.flush_due = true;
        let micros = FLUSH_MICROS_MIN + self.below(slow);
        self.own_later(broker, micros, Own::Flush);
    }

    pub(crate) fn flush(&mut self, broker: usize) {
        let Some(life) = self.life_mut(broker) else { return };
        life.flush_due = false;
        let flusher = Arc::clone(&life.flusher);
        let outcome = flusher.flush_once(Duration::ZERO);
        drop(flusher);
        let idle = matches!(outcome, FlushOutcome::Idle);
        if let FlushOutcome::Flushed(counts) = &outcome
            && let Some(life) = self.life_mut(broker)
        {
            life.flushed_bytes += counts.bytes;
        }
        if let FlushOutcome::Latched(reason) = &outcome
            && let Some(life) = self.life_mut(broker)
            && !life.exiting
            && !life.process.has_ended()
        {
            life.exiting = true;
            self.tell("latched", &[broker as u64], || format!("broker {} fails: {reason}", broker + 1));
            self.own_later(broker, 30_000, Own::Exit);
        }
        if idle {
            // Its thread waits for work, and looks after recovery points now and then.
            if self.brokers[broker].disk.is_crashed() {
                self.end(broker, "the power is gone");
            }
            return;
        }
        self.settle(broker);
    }

    pub(crate) fn tick(&mut self, broker: usize) {
        self.own_later(broker, self.settings.tick, Own::Tick);
        let Some(life) = self.life(broker) else { return };
        for partition in life.partitions.values() {
            if partition.wants_ticks() {
                partition.tick();
            }
        }
        self.settle(broker);
    }

    pub(crate) fn tend(&mut self, broker: usize) {
        self.own_later(broker, EVERY, Own::Tend);
        self.raise_generation(broker);
        let Some(retention_bytes) = self.settings.retention_bytes else { return };
        let retention = Retention {
            retention_ms: None,
            retention_bytes: Some(retention_bytes),
            segment_count_max: SEGMENTS_MAX,
        };
        let wall_ms = self.brokers[broker].clock.wall_ms();
        let Some(life) = self.life(broker) else { return };
        let state = self.quorum.state();
        for (at, partition) in &life.partitions {
            if state.topic(at.topic).is_none_or(|topic| topic.internal) {
                continue; // positions are given up by their owners alone
            }
            let Ok(segments) = partition.view().segments() else { continue };
            let published = partition.published().borrow().clone();
            let start = new_start(&segments, retention, wall_ms, published.positions.committed_end);
            if let Some(start) = start.filter(|_| published.leading.is_some()) {
                partition.advance_start(start);
            }
        }
        self.settle(broker);
    }

    /// Synced first, then registered (N13).
    fn raise_generation(&mut self, broker: usize) {
        let me = self.brokers[broker].id;
        let Some(life) = self.life_mut(broker) else { return };
        let Some((broker_epoch, _)) = life.registered.filter(|_| life.flushed_bytes > life.raised_at_bytes)
        else {
            return;
        };
        life.raised_at_bytes = life.flushed_bytes;
        let raised = life.home.raise_generation();
        if let Ok(generation) = raised {
            self.propose(
                broker,
                Proposal::RaiseGeneration { broker: me, broker_epoch, generation },
                Purpose::Nothing,
            );
        }
        self.settle(broker);
    }
}
