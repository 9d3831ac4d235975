//! Who is thought alive, and by what lease leaders acknowledge: heartbeats, fencing, and the elections that follow.

use std::collections::BTreeMap;
use std::time::Duration;

use fidelog_log::env::Moment;
use fidelog_record::types::{BrokerEpoch, LeaderEpoch, Offset};

use super::cluster::{BROKERS, Cluster, id_of, index_of};
use crate::partition::{Lease, Machine};

const LEASE: Duration = Duration::from_millis(400);
const IN_TOUCH: Duration = Duration::from_millis(100);

/// A heartbeat on its way, or its answer.
#[derive(Debug)]
pub(super) struct Heartbeat {
    from: usize,
    life: BrokerEpoch,
    sent: Moment,
    answered: bool,
}

/// Somebody who reads the end of the partition, wherever it is told.
#[derive(Debug, Default)]
pub(super) struct Reader {
    epoch: LeaderEpoch,
    end: Offset,
}

/// Rounds that ask whether a broker still leads (N18).
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// The greatest epoch that anybody has led in.
    pub(super) served: LeaderEpoch,
    /// By broker and number: the epoch it was about, and the greatest served when it began.
    pub(super) begun: BTreeMap<(usize, u64), (LeaderEpoch, LeaderEpoch)>,
    pub(super) confirmed_count: usize,
}

/// Whether it could begin is seen by what comes back.
fn drop_round(_: Option<u64>) {}

impl Cluster {
    /// Somebody wants to read what only a leader may tell.
    pub(super) fn begin_round(&mut self, index: usize) {
        let served = self.rounds.served;
        let Some(machine) = &self.brokers[index].machine else { return };
        let Some(epoch) = machine.published().leading else { return };
        let number = machine.round.number + 1;
        self.rounds.begun.insert((index, number), (epoch, served));
        self.step(index, |machine, now| drop_round(machine.begin_round(epoch, now)));
    }

    pub(super) fn round_confirmed(&mut self, index: usize, number: u64) {
        let (epoch, served) = self.rounds.begun[&(index, number)];
        assert!(served <= epoch, "broker {} is confirmed in epoch {epoch}; {served} had begun", index + 1);
        self.tell(|| format!("broker {} is confirmed in epoch {epoch}", index + 1));
        self.rounds.confirmed_count += 1;
    }

    pub(super) fn heartbeat(&mut self, index: usize) {
        if self.brokers[index].machine.is_some() {
            let life = self.brokers[index].life;
            self.heartbeats.push(Heartbeat { from: index, life, sent: self.now, answered: false });
        }
    }

    /// A heartbeat reaches the quorum, or its answer the broker; in any order.
    pub(super) fn deliver_heartbeat(&mut self) {
        if self.heartbeats.is_empty() {
            return;
        }
        let at = self.random.below(self.heartbeats.len());
        let beat = &mut self.heartbeats[at];
        let (from, sent) = (beat.from, beat.sent);
        let broker = &mut self.brokers[from];
        let stale = broker.machine.is_none() || broker.life != beat.life;
        if stale || !beat.answered && self.quorum.fenced.contains(&id_of(from)) {
            self.heartbeats.swap_remove(at);
        } else if !beat.answered {
            beat.answered = true;
        } else {
            let until = sent.plus(LEASE).max(broker.lease.until);
            let in_touch_until = sent.plus(IN_TOUCH).max(broker.lease.in_touch_until);
            broker.lease = Lease { until, in_touch_until };
            self.heartbeats.swap_remove(at);
        }
    }

    /// Heartbeats without a network between: for when faults are over.
    pub(super) fn beat_all(&mut self) {
        for index in 0..BROKERS {
            let now = self.now;
            self.brokers[index].lease = Lease { until: now.plus(LEASE), in_touch_until: now.plus(IN_TOUCH) };
        }
    }

    /// A broker is thought dead: one whose process ended, or one that runs on and does not know.
    pub(super) fn fence(&mut self, index: usize) {
        let dead = self.brokers[index].machine.is_none();
        // With a minimum of one nobody else may hold what the lying disk lost.
        let lossy = self.brokers.iter().any(|broker| broker.lossy);
        if lossy && self.quorum.now().min_insync == 1 {
            return;
        }
        if dead || self.random.chance(25) {
            self.quorum.fence(id_of(index));
            self.tell(|| format!("the quorum fences broker {}", index + 1));
        }
    }

    pub(super) fn unfence(&mut self, index: usize) {
        let broker = &self.brokers[index];
        // Its watch has passed its registration, and its log is open.
        if broker.machine.as_ref().is_some_and(|machine| machine.assignment().is_some()) {
            self.quorum.unfence(id_of(index));
            self.tell(|| format!("the quorum unfences broker {}", index + 1));
        }
    }

    /// The quorum has waited long enough for those that did not restart uncleanly.
    pub(super) fn elect_unclean(&mut self) {
        let members = self.quorum.members();
        let here = |id: &_| !self.quorum.fenced.contains(id);
        // A disk that lied is made up for by the others: one fault of this kind needs them all (N10).
        let lossy = self.brokers.iter().any(|broker| broker.lossy);
        if lossy && !members.iter().all(here) {
            return;
        }
        let told = members.into_iter().filter(here).filter_map(|id| {
            self.brokers[index_of(id)].machine.as_ref()?;
            let log = self.brokers[index_of(id)].log.recovered();
            Some((id, (log.epochs.last_epoch(), log.durable_end)))
        });
        let told = told.collect();
        self.quorum.elect_unclean(&told);
        self.tell(|| format!("the quorum chooses among {told:?}"));
    }

    /// A planned move.
    pub(super) fn elect(&mut self) {
        let members: Vec<_> = self.quorum.now().isr.iter().copied().collect();
        if let Some(id) = self.random.pick(&members).copied() {
            self.quorum.elect(id);
            self.tell(|| format!("the quorum lets broker {id} lead, if it may"));
            if self.random.chance(30) {
                self.elect(); // before anybody has seen that
            }
        }
    }

    /// A reader that never goes back to an older epoch asks some broker for the end (N6).
    pub(super) fn read_end(&mut self, index: usize) {
        let published = self.brokers[index].machine.as_ref().map(Machine::published);
        let Some(published) = published else { return };
        let Some(epoch) = published.leading.filter(|&epoch| epoch >= self.reader.epoch) else { return };
        self.reader.epoch = epoch;
        if published.confirmed {
            let end = published.positions.committed_end;
            let told = self.reader.end;
            assert!(
                end >= told,
                "broker {} tells the end {end} in epoch {epoch}; {told} was told",
                index + 1
            );
            self.reader.end = end;
        }
    }
}
