//! What a process does about what is wrong with its logs: it scrubs and mends damage with batches of other replicas, gives
//! up what cannot be mended, opens logs again that have stopped, and tells the quorum how its replicas are. As the node
//! does, without its pace.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use fidelog_broker::meta::state::{Proposal, SeenPartition};
use fidelog_broker::partition::{Condition, Machine, Partition, Telling};
use fidelog_log::{Log, LogView, MendError, Mended, ReadError};
use fidelog_record::types::{Offset, TopicPartition};

use crate::broker::{Life, index_of};
use crate::cluster::Sim;
use crate::event::{Own, Purpose};

/// Between two rounds, microseconds.
const EVERY: u64 = 300_000;
/// Attempts to mend before a replica is to be given up.
const ATTEMPTS_MAX: u32 = 20;
/// Read at once of what is scrubbed or asked for.
const READ_BYTES: usize = 64 << 10;

impl Sim {
    pub(crate) fn mend(&mut self, broker: usize) {
        self.own_later(broker, EVERY, Own::Mend);
        self.reopen_stopped(broker);
        let Some(life) = self.life(broker) else { return };
        let hosted: Vec<_> = life.partitions.iter().map(|(at, it)| (*at, Arc::clone(it))).collect();
        for (at, partition) in hosted {
            scrub(&partition);
            if !partition.view().is_damaged() {
                self.forget_unmended(broker, at);
            } else if self.healing || !self.percent(20) {
                self.mend_partition(broker, at, &partition);
            }
            drop(partition);
            self.settle(broker);
            self.give_up_replica(broker, at);
        }
        self.tell_conditions(broker);
    }

    fn forget_unmended(&mut self, broker: usize, at: TopicPartition) {
        if let Some(life) = self.life_mut(broker) {
            life.unmended.remove(&at);
        }
    }

    /// What nobody can mend is emptied and filled again, if the quorum lets it.
    fn give_up_replica(&mut self, broker: usize, at: TopicPartition) {
        let me = self.brokers[broker].id;
        let Some(life) = self.life_mut(broker) else { return };
        if life.unmended.get(&at).is_none_or(|&count| count < ATTEMPTS_MAX) {
            return;
        }
        let epoch = life.view.as_ref().and_then(|state| Some(state.partition(at)?.epoch));
        if let (Some(epoch), Some((broker_epoch, _))) = (epoch, life.registered) {
            life.refilling.insert(at);
            let partition = SeenPartition { partition: at, epoch };
            let wish = Proposal::GiveUpReplica { broker: me, broker_epoch, partition };
            self.propose(broker, wish, Purpose::Nothing);
        }
    }

    /// Mends one segment, if somebody has what is missing.
    fn mend_partition(&mut self, broker: usize, at: TopicPartition, partition: &Arc<Partition>) {
        for range in partition.view().damage() {
            match self.mended(broker, at, &partition.view(), range.start) {
                Ok(mended) => {
                    let Some(done) = self.take_mended(broker, partition, mended) else { return };
                    self.tell("mended", &[broker as u64, range.start.0], || {
                        format!("broker {} mends {at} around {}: {done}", broker + 1, range.start)
                    });
                    self.forget_unmended(broker, at);
                    return;
                }
                Err(why) => {
                    if matches!(why, MendError::Active { .. }) {
                        partition.roll();
                    }
                    self.tell("not mended", &[broker as u64, range.start.0], || {
                        format!("broker {} cannot mend {at} at {}: {why}", broker + 1, range.start)
                    });
                }
            }
        }
        let Some(life) = self.life_mut(broker) else { return };
        *life.unmended.entry(at).or_default() += 1;
    }

    fn mended(
        &mut self,
        broker: usize,
        at: TopicPartition,
        view: &LogView,
        from: Offset,
    ) -> Result<Mended, MendError> {
        let mut mending = view.mend(from, |_| ())?;
        while let Some(wanted) = mending.wanted(|_| ())? {
            let mut refused = MendError::Unfinished(wanted.clone());
            let filled = self.sources(broker, at).into_iter().any(|source| {
                let bytes = read(&source.view(), wanted.start, wanted.end);
                match bytes.map(|bytes| mending.fill(bytes)) {
                    Some(Ok(())) => true,
                    Some(Err(why)) => {
                        refused = why;
                        false
                    }
                    None => false,
                }
            });
            if !filled {
                return Err(refused);
            }
        }
        mending.finish()
    }

    /// Replicas that can be reached, the leader's first.
    fn sources(&self, broker: usize, at: TopicPartition) -> Vec<Arc<Partition>> {
        let Some(entry) = self.life(broker).and_then(|life| life.view.as_ref()?.partition(at)) else {
            return Vec::new();
        };
        let mut others: Vec<_> = entry.replicas.iter().map(|replica| replica.broker).collect();
        others.sort_by_key(|id| entry.leader != Some(*id));
        let others = others.into_iter().map(index_of).filter(|&other| {
            let cut = self.network.is_cut(broker, other) || self.network.is_cut(other, broker);
            other != broker && !cut && self.brokers[other].is_up()
        });
        others.filter_map(|other| self.partition(other, at)).collect()
    }

    /// The flusher puts it in its place; what it said to that, if it lived to.
    fn take_mended(&mut self, broker: usize, partition: &Arc<Partition>, mended: Mended) -> Option<String> {
        let flusher = Arc::clone(&self.life(broker)?.flusher);
        let mut taking = Box::pin(partition.take_mended(mended));
        let mut context = Context::from_waker(Waker::noop());
        let _ = taking.as_mut().poll(&mut context);
        flusher.flush_once(Duration::ZERO);
        let done = match taking.as_mut().poll(&mut context) {
            Poll::Ready(done) => Some(format!("{done:?}")),
            Poll::Pending => None,
        };
        drop((taking, flusher));
        self.settle(broker);
        done
    }

    fn reopen_stopped(&mut self, broker: usize) {
        let Some(life) = self.life(broker).filter(|life| life.home.latched().is_none()) else { return };
        let stopped: Vec<_> = life
            .partitions
            .iter()
            .filter(|(_, partition)| partition.inspect(Machine::is_stopped))
            .map(|(at, partition)| (*at, Arc::clone(partition)))
            .collect();
        for (at, partition) in stopped {
            let Some(told) = self.life(broker).map(|life| reopen(life, at, &partition)) else { return };
            drop(partition);
            self.tell("reopened", &[broker as u64], || format!("broker {}: {at}: {told}", broker + 1));
            self.settle(broker);
        }
    }

    /// Whether the quorum has heard of all that is wrong with what a process hosts, as far as its view shows.
    pub(crate) fn has_told_failures(&self, broker: usize) -> bool {
        self.to_tell(broker).iter().all(|(_, telling)| !matches!(telling, Telling::Failed(_)))
    }

    /// Says what the metadata does not say; what is not heard, or comes late, is said again.
    pub(crate) fn tell_conditions(&mut self, broker: usize) {
        let me = self.brokers[broker].id;
        let Some((broker_epoch, _)) = self.life(broker).and_then(|life| life.registered) else { return };
        for (seen, telling) in self.to_tell(broker) {
            let partitions = vec![seen];
            let proposal = match telling {
                Telling::Failed(reason) => {
                    Proposal::ReplicasFailed { broker: me, broker_epoch, partitions, reason }
                }
                Telling::Repaired(reason) => {
                    Proposal::ReplicasRepaired { broker: me, broker_epoch, partitions, reason }
                }
            };
            self.propose(broker, proposal, Purpose::Nothing);
        }
    }

    fn to_tell(&self, broker: usize) -> Vec<(SeenPartition, Telling)> {
        let me = self.brokers[broker].id;
        let Some(life) = self.life(broker) else { return Vec::new() };
        let Some(state) = &life.view else { return Vec::new() };
        let hosted = life.partitions.iter().map(|(at, partition)| (*at, Condition::of(partition)));
        let unopened = life.unopened.iter().map(|at| (*at, Condition::UNOPENED));
        let told = hosted.chain(unopened).filter_map(|(partition, condition)| {
            let entry = state.partition(partition)?;
            let telling = condition.to_tell(entry, me)?;
            Some((SeenPartition { partition, epoch: entry.epoch }, telling))
        });
        told.collect()
    }
}

/// Reads everything that is synced; what is damaged is noted by that.
pub(crate) fn scrub(partition: &Partition) {
    let view = partition.view();
    let mut next = view.start();
    while next < view.durable_end() {
        match view.digest(next..view.durable_end(), READ_BYTES) {
            Ok(digest) if digest.end > next => next = digest.end,
            Err(ReadError::DataLoss { range, .. }) => next = range.end.max(Offset(next.0 + 1)),
            Ok(_) | Err(_) => return,
        }
    }
}

/// Whole batches from `from` on, synced there.
fn read(view: &LogView, from: Offset, end: Offset) -> Option<Bytes> {
    let outcome = view.read(from, READ_BYTES, end.min(view.durable_end())).ok()?;
    (!outcome.batches.is_empty()).then_some(outcome.batches)
}

/// What came of opening a log again.
fn reopen(life: &Life, at: TopicPartition, partition: &Arc<Partition>) -> String {
    let (home, flusher) = (Arc::clone(&life.home), Arc::clone(&life.flusher));
    let mut opening = Box::pin(partition.reopen(async || Log::open(&home, at)));
    let mut context = Context::from_waker(Waker::noop());
    let mut polled = opening.as_mut().poll(&mut context);
    if polled.is_pending() {
        flusher.flush_once(Duration::ZERO);
        polled = opening.as_mut().poll(&mut context);
    }
    match polled {
        Poll::Ready(Ok(Some(report))) => {
            let found = report.findings.iter().map(|it| format!("{:?} {}", it.case, it.detail));
            format!("opened again up to {}: {}", report.end, found.collect::<Vec<_>>().join(", "))
        }
        Poll::Ready(Ok(None)) => "it is let go of for good".to_owned(),
        Poll::Ready(Err(why)) => why.to_string(),
        Poll::Pending => "it is not let go of".to_owned(),
    }
}
