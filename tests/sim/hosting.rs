//! What a process makes of the metadata its watch shows: as the node does, it keeps what it saw before it acts, opens or
//! makes logs, tells partitions their assignment, and removes what is deleted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fidelog_broker::meta::state::{
    Changes, ClusterState, LostReplica, OfflineReason, PartitionEntry, Proposal, ReplicaEnd, TopicEntry,
    TopicState,
};
use fidelog_broker::partition::{Assignment, Partition};
use fidelog_log::{Flusher, Log, OpenError, RecoveryReport};
use fidelog_record::types::{Offset, PartitionIndex, TopicId, TopicPartition};

use crate::cluster::Sim;
use crate::event::Own;

/// Between two attempts to open a log, or to delete one, microseconds.
const AGAIN: u64 = 400_000;

/// What came of opening a log.
enum Opened {
    Log(Box<Log>, RecoveryReport),
    Lost,
}

impl Sim {
    /// The watch of a process will show what is new.
    pub(crate) fn watch_soon(&mut self, broker: usize) {
        let late = self.brokers[broker].watch_micros_max;
        let Some(life) = self.life_mut(broker).filter(|life| life.registered.is_some() && !life.watch_due)
        else {
            return;
        };
        life.watch_due = true;
        let micros = self.hop() + self.below(late);
        self.own_later(broker, micros, Own::Watch);
    }

    /// The watch shows entries, some of them again, or begins anew with the whole state.
    pub(crate) fn watch(&mut self, broker: usize) {
        let quorum = self.quorum_node();
        if self.network.is_cut(quorum, broker) || self.quorum.away || !self.healing && self.percent(3) {
            // It breaks, and is opened again later.
            let micros = 50_000 + self.below(300_000);
            self.own_later(broker, micros, Own::Watch);
            return;
        }
        let whole = self.percent(5);
        let count = 1 + usize::try_from(self.below(4)).expect("below 4");
        let Some(life) = self.life_mut(broker) else { return };
        life.watch_due = false;
        let (next, changes) = match life.view.clone() {
            Some(old) if whole => {
                let new = Arc::clone(self.quorum.state());
                let changes = Changes::between(&old, &new);
                (new, changes)
            }
            Some(old) => {
                let mut state = ClusterState::clone(&old);
                let mut changes = Changes::default();
                for (index, entry) in self.quorum.entries_after(old.index(), count) {
                    changes.merge(state.apply(index, &entry).expect("entries of the quorum apply"));
                }
                (Arc::new(state), changes)
            }
            None => {
                let state = Arc::clone(self.quorum.state());
                let changes = Changes::of_everything(&state);
                (state, changes)
            }
        };
        self.show(broker, next, &changes);
        let seen = self.life(broker).and_then(|life| life.view.as_ref()).map(|view| view.index());
        if seen.is_some_and(|seen| seen < self.quorum.state().index()) {
            self.watch_soon(broker);
        }
    }

    /// Kept, synced, and then shown (N1).
    fn show(&mut self, broker: usize, state: Arc<ClusterState>, changes: &Changes) {
        let expected = self.quorum.state_at(state.index()).expect("shown, so committed");
        self.judge.viewed(broker, &state, expected);
        let Some(life) = self.life_mut(broker) else { return };
        let seen = life.home.identity();
        if seen.meta_index_seen < state.index() || seen.quorum_incarnation.is_none() {
            let index = state.index().max(seen.meta_index_seen);
            if let Err(error) = life.home.note_metadata(state.incarnation(), index) {
                let why = error.to_string();
                if error.is_full() && life.home.latched().is_none() {
                    life.watch_due = true;
                    self.own_later(broker, AGAIN, Own::Watch);
                } else {
                    self.end(broker, &why);
                }
                return;
            }
        }
        self.tell("view", &[broker as u64, state.index().0], || {
            format!("broker {} sees the metadata at {}", broker + 1, state.index())
        });
        life_view(self, broker, &state);
        let Some((epoch, index)) = self.life(broker).and_then(|life| life.registered) else { return };
        let me = self.brokers[broker].id;
        if state.index() >= index && state.broker(me).is_none_or(|entry| entry.epoch != epoch) {
            self.end(broker, "a later start of this broker has registered");
            return;
        }
        let passed = state.index() >= index;
        let begins = passed && self.life(broker).is_some_and(|life| !life.hosting);
        if begins {
            if let Some(life) = self.life_mut(broker) {
                life.hosting = true;
            }
            self.follow(broker, &state, &Changes::of_everything(&state));
            self.begin_service(broker);
        } else if passed {
            self.follow(broker, &state, changes);
        }
    }

    fn follow(&mut self, broker: usize, state: &Arc<ClusterState>, changes: &Changes) {
        let me = self.brokers[broker].id;
        let mine = |id: &TopicPartition| state.partition(*id).is_some_and(|entry| entry.has_replica(me));
        let of_topics = changes.topics.iter().flat_map(|&topic| partitions_of(state, topic));
        let touched: BTreeSet<_> = changes.partitions.iter().copied().chain(of_topics).filter(mine).collect();
        self.leave(broker, state, changes);
        let Some(life) = self.life_mut(broker) else { return };
        let (back, touched): (BTreeSet<_>, BTreeSet<_>) =
            touched.into_iter().partition(|at| life.leaving.contains(at));
        // They are taken up as soon as nothing of their former data is left.
        let first = back.into_iter().filter(|&at| life.unopened.insert(at)).count() > 0;
        if first {
            self.own_later(broker, AGAIN, Own::OpenAgain);
        }
        let mut lost = Vec::new();
        for &at in &touched {
            self.empty_given_up(broker, state, at);
            if !self.open_if_missing(broker, state, at, &mut lost) {
                return; // It has ended over this.
            }
        }
        if !lost.is_empty()
            && let Some((broker_epoch, _)) = self.life(broker).and_then(|life| life.registered)
        {
            self.report(broker, Proposal::ReplicasLost { broker: me, broker_epoch, lost });
        }
        let barred = Arc::new(state.barred());
        let hosted = self.life(broker).filter(|_| !changes.brokers.is_empty());
        let hosted: Vec<_> = hosted.iter().flat_map(|life| life.partitions.keys().copied()).collect();
        for at in hosted.into_iter().chain(touched.iter().copied()) {
            self.step(broker, at, |partition| partition.barred(Arc::clone(&barred)));
        }
        for &at in &touched {
            self.assign(broker, state, at);
        }
        for topic in touched.iter().map(|at| at.topic).collect::<BTreeSet<_>>() {
            self.report_ready(broker, state, topic);
        }
        for &topic in &changes.topics {
            self.begin_removal(broker, state, topic);
        }
        self.report_ends(broker, state, &touched);
        self.tell_conditions(broker);
    }

    /// Whether the process goes on.
    fn open_if_missing(
        &mut self,
        broker: usize,
        state: &ClusterState,
        at: TopicPartition,
        lost: &mut Vec<LostReplica>,
    ) -> bool {
        let me = self.brokers[broker].id;
        let made = state.partition(at).and_then(|entry| entry.replica(me)).is_some_and(|it| it.made);
        let Some(life) = self.life_mut(broker) else { return false };
        if life.partitions.contains_key(&at) {
            return true;
        }
        match open(life, at, made) {
            Ok(Opened::Log(log, report)) => {
                life.unopened.remove(&at);
                self.host(broker, at, *log, &report, made);
            }
            Ok(Opened::Lost) => {
                life.unopened.remove(&at);
                lost.push(LostReplica::seen(state, me, at));
            }
            Err(error) => {
                let why = error.to_string();
                let stays = life.home.latched().is_none() && !life.process.has_ended();
                let first = life.unopened.insert(at);
                self.tell("unopened", &[broker as u64], || format!("broker {}: {why}", broker + 1));
                if !stays || self.brokers[broker].disk.is_crashed() {
                    self.end(broker, &why);
                    return false;
                }
                if first {
                    self.own_later(broker, AGAIN, Own::OpenAgain);
                }
            }
        }
        true
    }

    pub(crate) fn open_again(&mut self, broker: usize) {
        let Some(life) = self.life(broker).filter(|life| !life.unopened.is_empty()) else { return };
        let Some(state) = life.view.clone() else { return };
        let partitions = life.unopened.clone();
        self.follow(broker, &state, &Changes { partitions, ..Changes::default() });
        if self.life(broker).is_some_and(|life| !life.unopened.is_empty()) {
            self.own_later(broker, AGAIN, Own::OpenAgain);
        }
    }

    fn assign(&mut self, broker: usize, state: &ClusterState, at: TopicPartition) {
        let (Some(entry), Some(topic)) = (state.partition(at), state.topic(at.topic)) else { return };
        if topic.state != TopicState::Open {
            return;
        }
        let assignment = assignment(entry, topic);
        self.step(broker, at, |partition| partition.assigned(assignment));
        if entry.leader == Some(self.brokers[broker].id) {
            for (stream, incarnate) in self.network.live(broker) {
                self.step(broker, at, |partition| partition.stream_up_if_down(stream, incarnate));
            }
        }
    }

    /// Says which replicas of a topic on this broker are made, while the metadata does not show it.
    fn report_ready(&mut self, broker: usize, state: &ClusterState, topic: TopicId) {
        let me = self.brokers[broker].id;
        let Some(life) = self.life(broker) else { return };
        let Some((broker_epoch, _)) = life.registered else { return };
        let mut made = state.unmade(me, topic);
        made.retain(|it| {
            let at = TopicPartition { topic, partition: it.partition };
            life.partitions.contains_key(&at) && !life.refilling.contains(&at)
        });
        if !made.is_empty() {
            let directory = life.registration.directory;
            let ready = Proposal::ReplicasReady { broker: me, broker_epoch, directory, topic, made };
            self.report(broker, ready);
        }
    }

    /// N10: where replicas that restarted uncleanly end, for partitions that wait to hear that.
    fn report_ends(&mut self, broker: usize, state: &ClusterState, touched: &BTreeSet<TopicPartition>) {
        let me = self.brokers[broker].id;
        let Some(life) = self.life(broker) else { return };
        let Some((broker_epoch, _)) = life.registered else { return };
        let end = |at: &TopicPartition| {
            let entry = state.partition(*at).filter(|entry| entry.is_member(me))?;
            let Some(OfflineReason::RestartedUncleanly { reports, .. }) = &entry.offline else { return None };
            if reports.iter().any(|it| it.broker == me && it.broker_epoch == broker_epoch) {
                return None;
            }
            let view = life.partitions.get(at)?.view();
            let durable_end = view.durable_end();
            let last = durable_end.0.checked_sub(1).and_then(|last| view.epoch_at(Offset(last)));
            Some(ReplicaEnd { partition: *at, last_epoch: last.unwrap_or_default(), durable_end })
        };
        let ends: Vec<_> = touched.iter().filter_map(end).collect();
        if !ends.is_empty() {
            self.report(broker, Proposal::ReportEnds { broker: me, broker_epoch, ends });
        }
    }

    fn begin_removal(&mut self, broker: usize, state: &ClusterState, topic: TopicId) {
        let me = self.brokers[broker].id;
        let pending = state.tombstone(topic).is_some_and(|tombstone| tombstone.pending.contains(&me));
        let Some(life) = self.life_mut(broker).filter(|_| pending) else { return };
        if life.removing.insert(topic) {
            for (_, partition) in life.partitions.range(range_of(topic)) {
                partition.stopping();
            }
            self.settle(broker);
            self.own_later(broker, 1_000, Own::Remove(topic));
        }
    }

    /// A replica that nobody counts on any more, as this process wished, is emptied; then it is made anew.
    fn empty_given_up(&mut self, broker: usize, state: &ClusterState, at: TopicPartition) {
        let me = self.brokers[broker].id;
        let Some(life) = self.life(broker).filter(|life| life.refilling.contains(&at)) else { return };
        let is_given_up = state.partition(at).and_then(|it| it.replica(me)).is_some_and(|it| !it.made);
        let Some(partition) = life.partitions.get(&at).cloned().filter(|_| is_given_up) else { return };
        let (flusher, home) = (Arc::clone(&life.flusher), Arc::clone(&life.home));
        let removed = delete(&partition, &flusher) && home.remove_partition(at).is_ok();
        drop((partition, flusher, home));
        self.tell("emptied", &[broker as u64, u64::from(removed)], || {
            format!("broker {} gives {at} up, to be filled again: {removed}", broker + 1)
        });
        let Some(life) = self.life_mut(broker) else { return };
        if removed {
            life.refilling.remove(&at);
            life.partitions.remove(&at);
            self.judge.unhosted(broker, at);
        } else {
            life.unopened.insert(at);
            self.own_later(broker, AGAIN, Own::OpenAgain);
        }
    }

    /// Deletes what there is of a topic; what the disk refuses is tried again.
    pub(crate) fn remove(&mut self, broker: usize, topic: TopicId) {
        let Some(life) = self.life_mut(broker) else { return };
        let (flusher, home) = (Arc::clone(&life.flusher), Arc::clone(&life.home));
        let hosted: Vec<_> =
            life.partitions.range(range_of(topic)).map(|(at, it)| (*at, Arc::clone(it))).collect();
        let mut removed = true;
        for (at, partition) in hosted {
            if delete(&partition, &flusher) {
                self.life_mut(broker).into_iter().for_each(|life| drop(life.partitions.remove(&at)));
                self.judge.unhosted(broker, at);
            } else {
                removed = false;
            }
        }
        let removed = removed && home.remove_topic(topic).is_ok();
        drop((flusher, home));
        self.settle(broker);
        let Some(life) = self.life_mut(broker) else { return };
        match life.registered.filter(|_| removed) {
            Some((broker_epoch, _)) => {
                life.removing.remove(&topic);
                let broker_id = self.brokers[broker].id;
                self.report(broker, Proposal::ReplicaDeleted { broker: broker_id, broker_epoch, topic });
            }
            None => self.own_later(broker, AGAIN, Own::Remove(topic)),
        }
    }
}

fn life_view(sim: &mut Sim, broker: usize, state: &Arc<ClusterState>) {
    if let Some(life) = sim.life_mut(broker) {
        life.view = Some(Arc::clone(state));
    }
}

/// Whether a partition's log is deleted.
fn delete(partition: &Partition, flusher: &Flusher) -> bool {
    let mut closing = Box::pin(partition.close(true));
    let mut context = Context::from_waker(Waker::noop());
    let _ = closing.as_mut().poll(&mut context);
    flusher.flush_once(Duration::ZERO);
    matches!(closing.as_mut().poll(&mut context), Poll::Ready(Ok(())))
}

fn range_of(topic: TopicId) -> std::ops::RangeInclusive<TopicPartition> {
    let at = |index| TopicPartition { topic, partition: PartitionIndex(index) };
    at(0)..=at(u32::MAX)
}

fn partitions_of(state: &ClusterState, topic: TopicId) -> Vec<TopicPartition> {
    let count = state.topic(topic).map_or(0, |topic| topic.partition_count);
    (0..count).map(|index| TopicPartition { topic, partition: PartitionIndex(index) }).collect()
}

/// The entry as a machine needs it.
fn assignment(entry: &PartitionEntry, topic: &TopicEntry) -> Assignment {
    let lost_leader = match &entry.offline {
        Some(OfflineReason::LeaderLostItsData { broker, .. }) => Some(*broker),
        _ => None,
    };
    Assignment {
        replicas: entry.replicas.iter().map(|replica| replica.broker).collect(),
        copies: entry.copies(),
        isr: entry.isr.iter().copied().collect(),
        leader: entry.leader,
        leader_epoch: entry.leader_epoch,
        partition_epoch: entry.epoch,
        min_insync: usize::from(topic.min_insync_replicas()),
        damaged: entry.damaged.iter().copied().collect(),
        lost_leader,
        recoveries: entry.recoveries.clone(),
    }
}

fn open(life: &crate::broker::Life, at: TopicPartition, made: bool) -> Result<Opened, OpenError> {
    if !made {
        match Log::create(&life.home, at) {
            Ok(log) => return Ok(Opened::Log(Box::new(log), RecoveryReport::default())),
            // An earlier process made it and could not say so any more.
            Err(OpenError::Exists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    match Log::open(&life.home, at) {
        Ok((log, report)) => Ok(Opened::Log(Box::new(log), report)),
        Err(OpenError::Missing { .. }) => Ok(Opened::Lost),
        Err(error) => Err(error),
    }
}
