//! What is slow for a while: disks, watches, the way to the quorum, and single streams, on which what was said long ago
//! arrives after all.

use rand::seq::IndexedRandom;

use crate::cluster::Sim;
use crate::event::Event;
use crate::trouble::Trouble;

/// The usual times, microseconds at most.
pub(crate) const SYNC: u64 = 2_000;
pub(crate) const WATCH: u64 = 3_000;

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

    /// What this broker proposes arrives late, each proposal by a time of its own.
    pub(crate) fn slow_proposals(&mut self, broker: usize, micros: u64) {
        self.tell("slow proposals", &[broker as u64], || {
            format!("what broker {} proposes arrives late", broker + 1)
        });
        self.brokers[broker].ask_micros_max = 2_500_000;
        self.agenda.after(micros, Event::Over(Trouble::SlowProposals(broker)));
    }

    /// One stream of this broker is slow, while others between the same two are not.
    pub(crate) fn slow_stream(&mut self, broker: usize, micros: u64) {
        let all = self.network.of(broker);
        let Some(&id) = all.choose(&mut self.random) else { return };
        let by = 50_000 + self.below(1_500_000);
        let Some(stream) = self.network.streams.get_mut(&id) else { return };
        stream.slow_micros = by;
        self.tell("slow stream", &[id.0, by], || format!("stream {} is slow", id.0));
        self.agenda.after(micros, Event::Over(Trouble::SlowStream(id)));
    }

    /// Disks, watches and proposals are as quick as ever.
    pub(crate) fn hurry(&mut self, broker: usize) {
        let machine = &mut self.brokers[broker];
        (machine.sync_micros_max, machine.watch_micros_max, machine.ask_micros_max) = (SYNC, WATCH, 0);
    }
}
