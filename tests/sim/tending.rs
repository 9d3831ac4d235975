//! What a process does now and then: retention, and the generation of a directory that is appended to.

use fidelog_broker::meta::state::Proposal;
use fidelog_log::env::Clock;
use fidelog_log::{Retention, new_start};

use crate::cluster::Sim;
use crate::event::{Own, Purpose};

/// Between two rounds, microseconds.
const EVERY: u64 = 500_000;
/// Segments one round may give up, as in the node.
const SEGMENTS_MAX: usize = 4;

impl Sim {
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
        for partition in life.partitions.values() {
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
