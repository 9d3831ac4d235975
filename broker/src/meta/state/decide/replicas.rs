//! What brokers report of their replica directories: made, lost, failed, deleted.

use std::collections::BTreeSet;

use fidelog_record::types::{BrokerEpoch, BrokerId, DirectoryId, TopicId, TopicPartition};

use super::super::{ClusterState, Entry, LostReplica, MadeReplica, Refusal, SeenPartition};

impl ClusterState {
    pub(super) fn decide_ready(
        &self,
        (broker, epoch): (BrokerId, BrokerEpoch),
        directory: DirectoryId,
        topic: TopicId,
        made: &[MadeReplica],
    ) -> Result<Entry, Refusal> {
        let current = self.current(broker, epoch)?.directory;
        if current != directory {
            return Err(Refusal::WrongDirectory { broker, given: directory, current });
        }
        self.existing(topic)?;
        // Of a copy that is gone by now nothing is said by this, and of one that is known nothing new.
        let is_news = |it: &&MadeReplica| {
            let entry = self.partition(TopicPartition { topic, partition: it.partition });
            let replica = entry.and_then(|entry| entry.replica(broker));
            replica.is_some_and(|replica| !replica.made && replica.since == it.since)
        };
        let partitions: BTreeSet<_> = made.iter().filter(is_news).map(|it| it.partition).collect();
        if partitions.is_empty() {
            return Err(Refusal::NoReplicaOfTopic { broker, topic });
        }
        Ok(Entry::ReplicasReady { broker, directory, topic, partitions: partitions.into_iter().collect() })
    }

    /// What was deleted, moved away or begun anew meanwhile is lost to nobody, and keeps no other from being told. A report
    /// that was under way for long says nothing of the copy that was made after it.
    pub(super) fn decide_lost(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        lost: &[LostReplica],
    ) -> Result<Entry, Refusal> {
        let is_there = |it: &&LostReplica| {
            let replica = self.partition(it.partition).and_then(|entry| entry.replica(broker));
            replica.is_some_and(|replica| replica.made && replica.since == it.since)
        };
        let named: Vec<_> = lost.iter().filter(is_there).map(|it| it.partition).collect();
        Ok(Entry::ReplicasLost { broker, partitions: self.made_replicas(broker, epoch, &named)? })
    }

    /// Only while whatever it holds is on others that can be read: all that was acknowledged is on every member, and the
    /// leader has all that is not. From then on it counts as lost, like one whose directory is gone (N14).
    pub(super) fn decide_giving_up(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        seen: SeenPartition,
    ) -> Result<Entry, Refusal> {
        let at = seen.partition;
        let partitions = self.seen_replicas(broker, epoch, &[seen])?;
        let (topic, partition) = (self.existing(at.topic)?, self.open_partition(at)?);
        let is_whole =
            |id: &BrokerId| partition.is_usable(*id, &self.brokers) && !partition.damaged.contains(id);
        let others = partition.isr.iter().filter(|id| **id != broker && is_whole(id)).count();
        let needed = if partition.isr.contains(&broker) { topic.min_insync_replicas() } else { 1 };
        let why_not = if !partition.damaged.contains(&broker) {
            "it is not known to be damaged"
        } else if partition.eligible.contains(&broker) {
            "it may hold what was acknowledged"
        } else if partition.leader.is_none_or(|leader| leader == broker || !is_whole(&leader)) {
            "nobody leads who holds everything undamaged"
        } else if others < usize::from(needed) {
            "too few others are in sync"
        } else {
            return Ok(Entry::ReplicasLost { broker, partitions });
        };
        Err(Refusal::ReplicaNeeded { partition: at, broker, reason: why_not.to_owned() })
    }

    /// Those of `partitions` whose entries are still as the broker saw them, if there are any: of the others it says
    /// again what it has to say.
    pub(super) fn seen_replicas(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        partitions: &[SeenPartition],
    ) -> Result<Vec<TopicPartition>, Refusal> {
        let current = |at| self.partition(at).map(|entry| entry.epoch);
        let (seen, late): (Vec<SeenPartition>, Vec<SeenPartition>) =
            partitions.iter().partition(|it| current(it.partition).is_none_or(|epoch| epoch == it.epoch));
        if let (true, Some(SeenPartition { partition, epoch: given })) = (seen.is_empty(), late.first()) {
            let current = current(*partition).unwrap_or_default();
            return Err(Refusal::StalePartitionEpoch { partition: *partition, given: *given, current });
        }
        let named: Vec<_> = seen.iter().map(|it| it.partition).collect();
        self.made_replicas(broker, epoch, &named)
    }

    /// `partitions`, once each, if `broker` has made its replica of every one.
    pub(super) fn made_replicas(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        partitions: &[TopicPartition],
    ) -> Result<Vec<TopicPartition>, Refusal> {
        self.current(broker, epoch)?;
        if partitions.is_empty() {
            return Err(Refusal::NothingNamed { what: "partitions".to_owned() });
        }
        let mut named = partitions.to_vec();
        named.sort_unstable();
        named.dedup();
        for &partition in &named {
            let entry = self.partition(partition).ok_or(Refusal::UnknownPartition { partition })?;
            let replica = entry.replica(broker).ok_or(Refusal::NotAReplica { broker, partition })?;
            if !replica.made {
                return Err(Refusal::ReplicaNotMade { broker, partition });
            }
        }
        Ok(named)
    }

    pub(super) fn decide_confirmation(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        topic: TopicId,
    ) -> Result<Entry, Refusal> {
        self.current(broker, epoch)?;
        let tombstone = self.tombstone(topic).ok_or(Refusal::NoTombstone { topic })?;
        if !tombstone.pending.contains(&broker) {
            return Err(Refusal::NoReplicaOfTopic { broker, topic });
        }
        Ok(Entry::ReplicaDeleted { broker, topic })
    }
}
