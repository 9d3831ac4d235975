//! Changes of an in-sync set: only the leader's, only against the version it has seen (N7, N8).

use fidelog_log::env::planted::{Planted, is_planted};
use fidelog_record::types::{BrokerId, TopicPartition};

use super::super::{ClusterState, Entry, IsrMember, PartitionEntry, Proposal, Refusal};

impl ClusterState {
    pub(super) fn decide_isr(&self, proposal: &Proposal) -> Result<Entry, Refusal> {
        let Proposal::ChangeIsr { partition: at, broker, broker_epoch, leader_epoch, partition_epoch, isr } =
            proposal
        else {
            unreachable!("decide passes changes of in-sync sets only");
        };
        let (at, broker) = (*at, *broker);
        self.current(broker, *broker_epoch)?;
        let topic = self.existing(at.topic)?;
        let partition = self.open_partition(at)?;
        if partition.leader != Some(broker) {
            return Err(Refusal::NotLeader { broker, partition: at, leader: partition.leader });
        }
        if partition.leader_epoch != *leader_epoch {
            let (given, current) = (*leader_epoch, partition.leader_epoch);
            return Err(Refusal::StaleLeaderEpoch { partition: at, given, current });
        }
        if partition.epoch != *partition_epoch {
            let (given, current) = (*partition_epoch, partition.epoch);
            return Err(Refusal::StalePartitionEpoch { partition: at, given, current });
        }
        if !isr.iter().any(|member| member.broker == broker) {
            return Err(Refusal::LeaderLeaves { partition: at, leader: broker });
        }
        let (mut named, mut refused) = (Vec::with_capacity(isr.len()), None);
        for (place, member) in isr.iter().enumerate() {
            if isr[..place].iter().any(|other| other.broker == member.broker) {
                return Err(Refusal::NamedTwice { partition: at, broker: member.broker });
            }
            match self.check_member(at, partition, member) {
                Ok(()) => named.push(member.broker),
                Err(refusal) => {
                    refused.get_or_insert(refusal);
                }
            }
        }
        // One that cannot be added keeps no other from coming and going: the leader waits for all it has named, and so
        // for whatever part of them is taken (N7).
        let is_same = named.len() == partition.isr.len() && partition.isr.iter().all(|it| named.contains(it));
        // Nor is a part of what was named taken that falls below the minimum, which nobody asked for.
        let min = usize::from(topic.min_insync_replicas());
        let falls_below = named.len() < min && min <= partition.isr.len();
        if let Some(refusal) = refused.filter(|_| is_same || falls_below) {
            return Err(refusal);
        }
        if let Some(leader) = self.leader_instead(partition, broker, &named, topic.min_insync_replicas()) {
            return Ok(Entry::LeaderMoved { partition: at, leader, chosen: false });
        }
        Ok(Entry::IsrChanged { partition: at, isr: partition.in_replica_order(&named) })
    }

    /// Who is to lead instead of a shrink below the minimum: when so many seem to have failed at once but live and
    /// have the minimum without the asker, it is likelier the asker that is cut off (N11). Taken in turn, so that no
    /// two ask each other for ever.
    fn leader_instead(
        &self,
        partition: &PartitionEntry,
        asker: BrokerId,
        wanted: &[BrokerId],
        min: u16,
    ) -> Option<BrokerId> {
        let min = usize::from(min);
        let shrinks = partition.isr.iter().any(|member| !wanted.contains(member));
        if !shrinks || wanted.len() >= min {
            return None;
        }
        let others = partition.preferable_after(asker, &self.brokers);
        others.first().copied().filter(|_| others.len() >= min)
    }

    /// Who stays may be named as of an older registration: it is only who is *added* that must be exactly whom the
    /// leader has matched.
    fn check_member(
        &self,
        at: TopicPartition,
        partition: &PartitionEntry,
        it: &IsrMember,
    ) -> Result<(), Refusal> {
        let broker = it.broker;
        let replica = partition.replica(broker).ok_or(Refusal::NotAReplica { broker, partition: at })?;
        if partition.isr.contains(&broker) {
            return Ok(());
        }
        let known = self.registered(broker)?;
        if is_planted(Planted::StaleIncarnationAdded) {
            return Ok(());
        }
        let refuse = |reason: String| Err(Refusal::MemberMismatch { partition: at, broker, reason });
        if known.epoch != it.broker_epoch {
            return refuse(format!("its broker epoch is {}, not {}", known.epoch, it.broker_epoch));
        }
        if known.directory != it.directory || replica.directory != it.directory {
            return refuse(format!("its directory is {}, not {}", known.directory, it.directory));
        }
        if !replica.made {
            return refuse("it has not made its replica yet".to_owned());
        }
        if known.fenced {
            return refuse("it is fenced".to_owned());
        }
        if known.draining {
            return refuse("it is draining".to_owned());
        }
        if partition.damaged.contains(&broker) {
            return refuse("it holds damage that is not mended".to_owned());
        }
        Ok(())
    }
}
