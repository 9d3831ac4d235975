//! What is slow for a while: disks, watches, the way to the quorum, and single streams, on which what was said long ago
//! arrives after all.

use rand::seq::IndexedRandom;

use crate::cluster::Sim;
use crate::event::Event;
use crate::trouble::Trouble;

/// The usual times, microseconds at most.
pub(crate) const SYNC: u64 = 2_000;
pub(crate) const WATCH: u64 = 3_000;
/// What is proposed is late by so much, at most.
const ASK_MAX: u64 = 2_500_000;

impl Sim {
    pub(crate) fn slow_disk(&mut self, broker: usize, micros: u64) {
        self.tell("slow disk", &[broker as u64], || format!("the disk of broker {} is slow", broker + 1));
        self.brokers[broker].sync_micros_max = 400_000;
        self.agenda.after(micros, Event::Over(Trouble::SlowDisk(broker)));
    }

    pub(crate) fn slow_watch(&mut self, broker: usize, micros: u64) {
        self.tell("slow watch", &[broker as u64], || format!("the watch of broker {} lags", broker + 1));
        self.brokers[broker].watch_micros_max = 1_500_000;
        self.agenda.after(micros, Event::Over(Trouble::SlowWatch(broker)));
    }

    /// What this broker proposes arrives late: each proposal by a time of its own, or all of them by the same, as on one
    /// connection that stalls.
    pub(crate) fn slow_proposals(&mut self, broker: usize, micros: u64) {
        let in_order = self.percent(50);
        let by = if in_order { self.below(ASK_MAX) } else { ASK_MAX };
        self.tell("slow proposals", &[broker as u64, by], || {
            format!("what broker {} proposes arrives late, by {by} us; in order: {in_order}", broker + 1)
        });
        let machine = &mut self.brokers[broker];
        (machine.ask_micros_max, machine.asks_in_order) = (by, in_order);
        self.agenda.after(micros, Event::Over(Trouble::SlowProposals(broker)));
    }

    /// How much longer what this broker proposes now takes than one way over the network.
    pub(crate) fn asking_micros(&mut self, broker: usize) -> u64 {
        let machine = &self.brokers[broker];
        let (by, in_order) = (machine.ask_micros_max, machine.asks_in_order);
        if in_order { by } else { self.below(by) }
    }

    /// One stream of this broker is slow, both ways or one, while others between the same two are not.
    pub(crate) fn slow_stream(&mut self, broker: usize, micros: u64) {
        let all = self.network.of(broker);
        let Some(&id) = all.choose(&mut self.random) else { return };
        let (by, way) = (50_000 + self.below(1_500_000), self.below(3));
        let Some(stream) = self.network.streams.get_mut(&id) else { return };
        if way != 1 {
            stream.to_leader.slow_micros = by;
        }
        if way != 2 {
            stream.to_follower.slow_micros = by;
        }
        self.tell("slow stream", &[id.0, by], || {
            format!(
                "stream {} is slow by {by} us: {}",
                id.0,
                ["both ways", "to the follower", "to the leader"][usize::try_from(way).expect("below 3")]
            )
        });
        self.agenda.after(micros, Event::Over(Trouble::SlowStream(id)));
    }

    /// Disks, watches and proposals are as quick as ever.
    pub(crate) fn hurry(&mut self, broker: usize) {
        let machine = &mut self.brokers[broker];
        (machine.sync_micros_max, machine.watch_micros_max, machine.ask_micros_max) = (SYNC, WATCH, 0);
    }
}
