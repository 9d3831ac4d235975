//! Looks at every step, keeps what was seen, and asks the properties.

use std::collections::BTreeMap;

use bytes::Bytes;
use fidelog_broker::meta::state::ClusterState;
use fidelog_broker::partition::{Positions, ProduceAnswer, Role};
use fidelog_log::{ReadError, RecoveryReport};
use fidelog_record::types::{BrokerId, LeaderEpoch, Offset, TopicPartition};
use fidelog_record::{Batches, EncodedBatch, PlacedBatch};

use crate::broker::index_of;
use crate::cluster::Sim;
use crate::properties::{
    acknowledgements, elected, history, in_sync, leaders, names, positions, readers, settled, synced, uncut,
    undamaged, views,
};

/// Read at once to see what became durable.
const LOOK_BYTES: usize = 64 << 10;

/// What became of a batch, as its producer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stored,
    Unknown,
    Refused,
}

/// What the disk did to a log since its former process synced it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Soundness {
    /// Nothing.
    Whole,
    /// A bit of the batch that begins here has flipped.
    Hurt(Offset),
    /// It lost what was synced, or may have.
    Unknown,
}

/// What a replica's log held when it was last looked at.
#[derive(Debug, Default)]
pub(crate) struct Shadow {
    pub(crate) start: Offset,
    pub(crate) committed_end: Offset,
    pub(crate) durable_end: Offset,
    /// It was in the in-sync set, and believed, when its process ended.
    was_member: bool,
    /// The epoch this process was seen to lead, open.
    opened: LeaderEpoch,
    /// Synced, in order; without those that were damaged when they were to be read.
    pub(crate) batches: Vec<PlacedBatch>,
}

/// All that was seen.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    pub(crate) names: names::Names,
    pub(crate) history: BTreeMap<TopicPartition, history::History>,
    leaders: leaders::Leaders,
    pub(crate) settled: settled::Settled,
    pub(crate) positions: positions::Positions,
    pub(crate) shadows: BTreeMap<(usize, TopicPartition), Shadow>,
    /// When the last fault was over.
    pub(crate) healing_since: fidelog_log::env::Moment,
}

impl Judge {
    /// A process hosts a log that ends at `end`.
    pub(crate) fn hosted(
        &mut self,
        broker: usize,
        at: TopicPartition,
        end: Offset,
        soundness: Soundness,
        report: &RecoveryReport,
    ) {
        match (self.shadows.get(&(broker, at)), soundness) {
            (Some(before), Soundness::Whole) => {
                synced::outlives_its_process(broker, at, end, before.committed_end);
                if before.was_member {
                    undamaged::is_whole(broker, at, report);
                }
            }
            (Some(before), Soundness::Hurt(hurt)) => {
                uncut::reaches_what_is_known(broker, at, end, &before.batches, hurt);
            }
            (None, _) | (_, Soundness::Unknown) => {}
        }
        self.shadows.insert((broker, at), Shadow::default());
    }

    /// What `broker` says is committed, and is damaged there, is what another of the `members` holds (N10): all had
    /// synced it.
    fn fill(&mut self, broker: usize, at: TopicPartition, committed_end: Offset, members: &[BrokerId]) {
        let history = self.history.entry(at).or_default();
        let holders: Vec<_> = std::iter::once(broker).chain(members.iter().copied().map(index_of)).collect();
        while history.end() < committed_end {
            let shadows = holders.iter().filter_map(|&holder| self.shadows.get(&(holder, at)));
            let Some(batch) = shadows.filter_map(|it| it.at(history.end())).next() else { return };
            history.committed(broker, batch);
        }
    }

    pub(crate) fn unhosted(&mut self, broker: usize, at: TopicPartition) {
        self.shadows.remove(&(broker, at));
    }

    pub(crate) fn committed_end(&self, at: TopicPartition) -> Offset {
        self.history.get(&at).map_or(Offset::ZERO, history::History::end)
    }

    pub(crate) fn viewed(&mut self, broker: usize, shown: &ClusterState, committed: &ClusterState) {
        views::agree(broker, shown, committed);
    }

    pub(crate) fn acknowledged(
        &mut self,
        at: TopicPartition,
        by: (usize, u64),
        batch: &EncodedBatch,
        answer: &ProduceAnswer,
    ) {
        if let ProduceAnswer::Stored(stored) = answer {
            self.leaders.acknowledged(at, stored.epoch, by);
            acknowledgements::is_true(self.history.entry(at).or_default(), batch, stored);
        }
    }

    pub(crate) fn settled(&mut self, lane: usize, number: u64, fate: Fate) {
        self.settled.told(lane, number, fate);
    }

    pub(crate) fn read(&mut self, at: TopicPartition, from: Offset, bytes: &Bytes, next: Offset) {
        readers::is_committed(self.history.entry(at).or_default(), at, from, bytes, next);
    }

    pub(crate) fn out_of_range(&mut self, at: TopicPartition, asked: Offset, start: Offset, end: Offset) {
        readers::may_be_out_of_range(self.history.entry(at).or_default(), asked, start, end);
    }
}

/// What a look at a machine shows.
struct Look {
    positions: Positions,
    /// The epoch it leads in, open, and whom it waits for.
    leads: Option<LeaderEpoch>,
}

impl Sim {
    /// Looks at everything a process hosts.
    pub(crate) fn observe(&mut self, broker: usize) {
        let Some(life) = self.life(broker).filter(|_| !self.done) else { return };
        let hosted: Vec<_> = life.partitions.keys().copied().collect();
        for at in hosted {
            self.observe_one(broker, at);
        }
    }

    fn observe_one(&mut self, broker: usize, at: TopicPartition) {
        let Some(life) = self.brokers[broker].life.as_ref() else { return };
        let Some(partition) = life.partitions.get(&at) else { return };
        let look = partition.inspect(|machine| Look {
            positions: machine.positions(),
            leads: match machine.role() {
                Role::Leader(leading) if leading.is_open() => Some(leading.epoch),
                _ => None,
            },
        });
        let Some(shadow) = self.judge.shadows.get_mut(&(broker, at)) else { return };
        let Positions { start, committed_end, durable_end, end } = look.positions;
        assert!(
            start <= committed_end && committed_end <= durable_end && durable_end <= end,
            "broker {}: {at}: positions out of order: {:?}",
            broker + 1,
            look.positions
        );
        assert!(
            committed_end >= shadow.committed_end,
            "broker {}: {at}: the committed end went back from {} to {committed_end}",
            broker + 1,
            shadow.committed_end
        );
        let unchanged =
            (start, committed_end, durable_end) == (shadow.start, shadow.committed_end, shadow.durable_end);
        if unchanged && look.leads.is_none_or(|epoch| epoch == shadow.opened) {
            return;
        }
        shadow.cut_to(durable_end);
        if start > shadow.durable_end {
            *shadow = Shadow { durable_end: start, opened: shadow.opened, ..Shadow::default() };
        }
        if start > shadow.start {
            // Retention, or a new beginning.
            shadow.batches.retain(|batch| batch.end_offset() > start);
        }
        shadow.committed_end = shadow.committed_end.max(start);
        shadow.start = start;
        if durable_end > shadow.durable_end {
            let from = shadow.durable_end.max(start);
            let (batches, reached) = held(partition, at, from, durable_end);
            for batch in &batches {
                self.judge.names.held(at, batch);
            }
            shadow.batches.extend(batches);
            shadow.durable_end = reached;
        }
        let shadow_committed = shadow.committed_end;
        let known_end = self.judge.committed_end(at);
        if self.brokers[broker].lied_since.is_some() && start > known_end {
            // All that is left of its log is the name of a last segment, and where a log begins it takes all before
            // for committed: nothing that other members hold makes that true.
            let why = format!("{at} begins at {start}, and what is committed ends at {known_end}");
            return self.blame(broker, &why);
        }
        let members = self.quorum.state().partition(at).map(|entry| entry.isr.clone()).unwrap_or_default();
        self.judge.fill(broker, at, committed_end, &members);
        let Some(shadow) = self.judge.shadows.get_mut(&(broker, at)) else { return };
        let history = self.judge.history.entry(at).or_default();
        let known = shadow.batches.partition_point(|it| it.end_offset() <= shadow_committed);
        let newly_committed =
            || shadow.batches[known..].iter().take_while(|it| it.end_offset() <= committed_end);
        if self.brokers[broker].lied_since.is_some() {
            let end =
                newly_committed().last().map_or(history.end(), PlacedBatch::end_offset).max(history.end());
            let other = newly_committed().find(|batch| history.contradicts(batch));
            if let Some(at) = other.map(PlacedBatch::base_offset).or((committed_end > end).then_some(end)) {
                return self.blame(broker, &format!("it shows something else at {at} as committed"));
            }
        }
        newly_committed().for_each(|batch| history.committed(broker, batch));
        history.reached(broker, shadow_committed, committed_end);
        shadow.committed_end = committed_end;
        let newly = look.leads.filter(|epoch| *epoch != shadow.opened);
        shadow.opened = newly.unwrap_or(shadow.opened);
        self.judge_leader(broker, at, &look, newly, shadow_committed);
    }

    /// A promise was broken by what this broker leads with. A disk that lied may look as if it held more than those that
    /// did not, when all of them restart uncleanly (N10): no rule saves that, and the run ends here.
    pub(crate) fn blame(&mut self, broker: usize, why: &str) {
        assert!(self.brokers[broker].tainted, "{why}");
        self.tell("void", &[broker as u64], || format!("the disk of broker {} lied: {why}", broker + 1));
        self.done = true;
    }

    fn judge_leader(
        &mut self,
        broker: usize,
        at: TopicPartition,
        look: &Look,
        newly: Option<LeaderEpoch>,
        committed_before: Offset,
    ) {
        let Some(entry) = self.quorum.state().partition(at) else { return };
        // An epoch that is over may say what it likes: nobody believes it.
        if look.leads != Some(entry.leader_epoch) {
            return;
        }
        let shadow = &self.judge.shadows[&(broker, at)];
        let history = &self.judge.history[&at];
        let damaged = self.partition(broker, at).is_some_and(|it| !it.view().damage().is_empty());
        let lacks = elected::lacks(broker, shadow, history).filter(|_| newly.is_some() && !damaged);
        if let Some(lacks) = lacks {
            self.blame(broker, &lacks);
            return;
        }
        if look.positions.committed_end > committed_before {
            self.judge_members(at);
        }
    }

    /// A process is about to end: which of its replicas may be counted on.
    pub(crate) fn note_members(&mut self, broker: usize) {
        let me = self.brokers[broker].id;
        for ((_, at), shadow) in self.judge.shadows.iter_mut().filter(|((owner, _), _)| *owner == broker) {
            let entry = self.quorum.state().partition(*at);
            shadow.was_member =
                entry.is_some_and(|entry| entry.isr.contains(&me) && !entry.unproven.contains(&me));
        }
    }

    /// Every member of a set holds what is committed, also one that left the in-sync set while it was below the minimum
    /// (N9): as far as its process runs, and the quorum believes it.
    pub(crate) fn judge_members(&self, at: TopicPartition) {
        let Some(entry) = self.quorum.state().partition(at) else { return };
        let end = self.judge.committed_end(at);
        for member in entry.members().filter(|member| !entry.unproven.contains(member)) {
            let other = index_of(member);
            let Some(partition) = self.partition(other, at) else { continue };
            let known = self.judge.shadows.get(&(other, at));
            if let Some(known) = known.filter(|_| partition.view().damage().is_empty()) {
                in_sync::holds(member, known, end);
            }
        }
    }
}

impl Shadow {
    /// The batch that begins at `base`.
    pub(crate) fn at(&self, base: Offset) -> Option<&PlacedBatch> {
        let place = self.batches.partition_point(|it| it.base_offset() < base);
        self.batches.get(place).filter(|it| it.base_offset() == base)
    }

    /// The log was cut, or began anew.
    fn cut_to(&mut self, durable_end: Offset) {
        if durable_end < self.durable_end {
            self.durable_end = durable_end;
            while self.batches.pop_if(|batch| batch.end_offset() > durable_end).is_some() {}
        }
    }
}

/// How often the disk may refuse to be looked at.
const REFUSED_MAX: u32 = 100;

/// Whole batches of `from..below` but for what is damaged, and how far they reach.
pub(crate) fn held(
    partition: &fidelog_broker::partition::Partition,
    at: TopicPartition,
    from: Offset,
    below: Offset,
) -> (Vec<PlacedBatch>, Offset) {
    let (view, mut next, mut batches, mut refused) = (partition.view(), from, Vec::new(), 0);
    while next < below {
        match view.read(next, LOOK_BYTES, below) {
            Ok(read) if read.next_offset > next => {
                let found: Result<Vec<_>, _> = Batches::new(read.batches, at).collect();
                let Ok(found) = found else { break };
                batches.extend(found);
                next = read.next_offset;
            }
            // Told, served around, and not repaired.
            Err(ReadError::DataLoss { range, .. }) => next = range.end.min(below),
            // A fault that was planned for the product.
            Err(_) if refused < REFUSED_MAX => refused += 1,
            _ => break,
        }
    }
    (batches, next)
}
